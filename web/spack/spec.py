"""What a spec's page says beside its row: where it is, how to install it, what it needs, twins."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from datasette.database import Database

from web.spack.commands import spec_words
from web.spack.dags import PURPOSES
from web.spack.twins import Explained, explained

MOST_DEPENDENCIES = 500
"""So many dependencies are listed on the page of a spec."""

HELD_SQL = """
    select releases.name, releases.kind, releases.mirror, releases.layout, spec_releases.tarball, (
        select json_group_array(stack) from spec_stacks
        where spec = spec_releases.spec and release = releases.name
    ) as stacks
    from spec_releases join releases on releases.name = spec_releases.release
    where spec = :hash order by releases.position
"""

DEPENDENCIES_SQL = f"""
    select hash, package, version, kind, external, virtuals, {", ".join(PURPOSES)}
    from dependencies join nodes on hash = dependency
    where spec = :hash order by package, version, hash limit {MOST_DEPENDENCIES + 1}
"""

DEPENDENTS_SQL = "select count(*) from dependencies where dependency = :hash"

KIND = "package, version, compiler, os, platform, target"

# Pages list the same variants in different orders, which are as long as each other.
SORTED = (
    "(select group_concat(value, char(0)) from (select value from json_each({}) order by value))"
)
TWINS_SQL = f"""
    with mine as (select * from specs where hash = :hash),
    alike as (
        select variants from specs where ({KIND}) = (select {KIND} from mine)
        and length(variants) = (select length(variants) from mine)
        group by variants
        having {SORTED.format("variants")} = (select {SORTED.format("variants")} from mine)
    )
    select hash, stacks, releases, count(*) over () as number from specs
    where ({KIND}) = (select {KIND} from mine) and variants in alike and hash != :hash
    order by hash limit :most
"""

MOST_TWINS = 100
"""So many twins are listed on the page of a spec."""

LONGEST_FILTER = 1_000
"""Characters of variants that a link can filter by."""


class Held(NamedTuple):
    """A release that has the spec.

    Attributes:
        release: Its name.
        kind: Its kind.
        mirror: The address or folder of its build cache.
        layout: The layout of its build cache, or None where nothing tells.
        tarball: The address of the binary, where a source tells it.
        stacks: The stacks of the release that hold the spec, sorted.
    """

    release: str
    kind: str
    mirror: str
    layout: int | None
    tarball: str | None
    stacks: list[str]


class Dependency(NamedTuple):
    """What a spec was built or runs with.

    Attributes:
        hash: Its hash.
        name: Package and version, as far as known.
        kind: binary, external or missing.
        external: Path or module of an external one.
        purposes: What it is needed for: build, link, run, test.
        virtuals: What it provides.
    """

    hash: str
    name: str
    kind: str
    external: str | None
    purposes: list[str]
    virtuals: list[str]


class Twin(NamedTuple):
    """Another spec that is the same in all but its hash.

    Attributes:
        hash: Its hash.
        stacks: The stacks that hold it in any release.
        releases: The releases that have it, newest first.
        explained: What it differs in; None of those that come too late to be looked at.
    """

    hash: str
    stacks: list[str]
    releases: list[str]
    explained: Explained | None


class SpecPage(NamedTuple):
    """What is known of a spec.

    Attributes:
        row: Its row of `specs`.
        variants: Its variants.
        to_copy: The spec in one line, quoted if a shell would act on it.
        flags: Its compiler flags, or None where only pages tell of it.
        held: The releases that have it, newest first.
        dependencies: What it depends on directly, by name, as far as a page has room; None where
            only pages tell of it.
        has_more: Whether there are more dependencies than these.
        num_dependents: How many specs, of all that indexes tell of, depend on it directly.
        twins: Specs that differ from it in nothing that is known but the hash; the first ones.
        num_twins: How many there are.
    """

    row: Mapping[str, Any]
    variants: list[str]
    to_copy: str
    flags: list[str] | None
    held: list[Held]
    dependencies: list[Dependency] | None
    has_more: bool
    num_dependents: int
    twins: list[Twin]
    num_twins: int

    @property
    def quoted(self) -> bool:
        """Whether a shell would act on the spec."""
        return bool(self.to_copy != self.row["spec"])

    @property
    def kind(self) -> dict[str, str | list[str]]:
        """What finds the spec and its twins, and others where its variants are too many."""
        filters = {column: self.row[column] for column in KIND.split(", ")}
        short = len(self.row["variants"]) <= LONGEST_FILTER
        return filters | ({"variants": self.variants} if short else {})


async def spec_page(db: Database, spec: str) -> SpecPage:
    """Return what is known of the spec with this hash, which must be in the database."""
    row = (await db.execute("select * from specs where hash = :hash", {"hash": spec})).first()
    held = [
        Held(release, kind, mirror, layout, tarball, sorted(json.loads(stacks)))
        for release, kind, mirror, layout, tarball, stacks in await db.execute(
            HELD_SQL, {"hash": spec}
        )
    ]
    needed = [_dependency(found) for found in await db.execute(DEPENDENCIES_SQL, {"hash": spec})]
    dependents = await db.execute(DEPENDENTS_SQL, {"hash": spec})
    twins = await db.execute(TWINS_SQL, {"hash": spec, "most": MOST_TWINS})
    told = await explained(db, spec, [twin["hash"] for twin in twins])
    return SpecPage(
        row=dict(row),
        variants=json.loads(row["variants"]),
        to_copy=spec_words(row["spec"]),
        # Indexes tell the flags of every spec, be there none.
        flags=None if row["flags"] is None else json.loads(row["flags"]),
        held=held,
        dependencies=None if row["flags"] is None else needed[:MOST_DEPENDENCIES],
        has_more=len(needed) > MOST_DEPENDENCIES,
        num_dependents=dependents.single_value(),
        twins=[
            Twin(
                hash=twin["hash"],
                stacks=json.loads(twin["stacks"]),
                releases=json.loads(twin["releases"]),
                explained=told.get(twin["hash"]),
            )
            for twin in twins
        ],
        num_twins=twins.rows[0]["number"] if twins.rows else 0,
    )


def _dependency(row: sqlite3.Row) -> Dependency:
    return Dependency(
        hash=row["hash"],
        name="@".join(filter(None, (row["package"], row["version"]))),
        kind=row["kind"],
        external=row["external"],
        purposes=[purpose for purpose in PURPOSES if row[purpose]],
        virtuals=json.loads(row["virtuals"]),
    )
