"""What a release's page says beside its row: its stacks, and what changed since the one before."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_decode
from datasette.utils.asgi import Request

DATABASE = "spack-cache"
TEMPLATE = "row-spack-cache-releases.html"

STACKS_SQL = """
    select stack, count(*) from spec_stacks where release = :release
    group by stack order by count(*) desc, stack
"""

# develop and its snapshots are one row of releases, the versions another.
NEIGHBOURS_SQL = """
    select name from releases
    where (kind = 'version') = (select kind = 'version' from releases where name = :release)
    order by position
"""

# Few specs have a list of releases of their own, so the lists are told apart, not the specs.
LISTS_SQL = "select releases, count(*) from specs group by releases"
PACKAGES_SQL = "select name, releases from packages order by name"

# Versions that the release before lacks are few, and one spec is enough to find each of them.
NEW_VERSIONS_SQL = """
    with old as (
        select distinct package, version from spec_releases
        join specs on hash = spec_releases.spec where release = :before
    )
    select package, version from (select distinct package, version from specs) as known
    where (package, version) not in old and exists (
        select 1 from specs join spec_releases on spec_releases.spec = hash
        where package = known.package and version = known.version and release = :release
    ) order by package, version
"""


class Count(NamedTuple):
    """A value and the number of specs that have it."""

    value: str
    specs: int


class Changes(NamedTuple):
    """What a release has and another does not, and the other way around.

    Attributes:
        before: The release before.
        added_specs: How many specs are new.
        removed_specs: How many specs are gone.
        added_packages: The packages that are new, sorted.
        removed_packages: The packages that are gone, sorted.
        new_versions: Packages and versions of which the release before has no spec.
    """

    before: str
    added_specs: int
    removed_specs: int
    added_packages: list[str]
    removed_packages: list[str]
    new_versions: list[tuple[str, str]]


class ReleasePage(NamedTuple):
    """What is known of a release.

    Attributes:
        name: Its name.
        kind: develop, snapshot or version.
        date: Of a snapshot (ISO 8601), or None.
        num_packages: How many packages it has.
        num_specs: How many specs it has.
        mirror: The address of its build cache.
        stacks: Its stacks, the largest first.
        newer: The release after it, or "".
        changes: What changed since the one before, or None for the first.
    """

    name: str
    kind: str
    date: str | None
    num_packages: int
    num_specs: int
    mirror: str
    stacks: list[Count]
    newer: str
    changes: Changes | None


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    template: str, request: Request, datasette: Datasette
) -> dict[str, ReleasePage] | Callable[[], Awaitable[dict[str, ReleasePage]]]:
    """Give the page of a release its `release`."""
    if template != TEMPLATE:
        return {}

    async def variables() -> dict[str, ReleasePage]:
        db = datasette.get_database(DATABASE)
        return {"release": await release_page(db, tilde_decode(request.url_vars["pks"]))}

    return variables


async def release_page(db: Database, name: str) -> ReleasePage:
    """Return what is known of a release, which must be in the database."""
    release = {"release": name}
    row = (await db.execute("select * from releases where name = :release", release)).first()
    line = [other for (other,) in await db.execute(NEIGHBOURS_SQL, release)]
    place = line.index(name)
    before = line[place + 1 :]
    return ReleasePage(
        name=name,
        kind=row["kind"],
        date=row["date"],
        num_packages=row["num_packages"],
        num_specs=row["num_specs"],
        mirror=row["mirror"],
        stacks=[Count(*stack) for stack in await db.execute(STACKS_SQL, release)],
        newer=line[place - 1] if place else "",
        changes=await changes(db, name, before[0]) if before else None,
    )


async def changes(db: Database, release: str, before: str) -> Changes:
    """Return what a release has that another has not, and the other way around."""
    lists = [tuple(row) for row in await db.execute(LISTS_SQL)]
    packages = [tuple(row) for row in await db.execute(PACKAGES_SQL)]
    versions = await db.execute(NEW_VERSIONS_SQL, {"release": release, "before": before})
    return Changes(
        before=before,
        added_specs=sum(specs for text, specs in lists if _only(text, release, before)),
        removed_specs=sum(specs for text, specs in lists if _only(text, before, release)),
        added_packages=[name for name, text in packages if _only(text, release, before)],
        removed_packages=[name for name, text in packages if _only(text, before, release)],
        new_versions=[tuple(row) for row in versions],
    )


def _only(releases: str, one: str, other: str) -> bool:
    # Names of releases hold nothing that JSON would write in another way.
    return f'"{one}"' in releases and f'"{other}"' not in releases
