"""What the home page says of the database."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

from etl.spelling import NO_COMPILER
from web.spack.names import CURRENT_RELEASE_SQL, DATABASE

# Each step finds the next system in the index, instead of reading it for every spec.
OSES_SQL = """
    with recursive oses(os) as (
        select min(os) from specs
        union all
        select (select min(os) from specs where os > oses.os) from oses where os is not null
    )
    select os from oses where os is not null
"""

MIRRORS_SQL = "select count(*) from releases where kind = 'mirror'"

# A spec of the largest package, of which there is most to find.
EXAMPLE_SQL = """
    select package, os, compiler_name, target from specs
    where package = (select name from packages order by num_specs desc, name limit 1)
    order by os desc, hash limit 1
"""


class Home(NamedTuple):
    """What the home page shows.

    Attributes:
        current: The row of `releases` of the current release, or None in an empty database.
        has_mirrors: Whether there are build caches that are no releases of Spack.
        snapshot: The date of the newest snapshot (ISO 8601), or None if there is none.
        counts: How many rows each table has.
        oses: The operating systems that there are binaries for.
        questions: The canned queries in the order of the metadata.
        examples: Searches that find something, for the line below the search box.
        size: The size of the database in bytes.
    """

    current: Mapping[str, Any] | None
    has_mirrors: bool
    snapshot: str | None
    counts: Mapping[str, int]
    oses: list[str]
    questions: list[Mapping[str, Any]]
    examples: list[str]
    size: int


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    template: str, request: Request, datasette: Datasette
) -> dict[str, Home] | Callable[[], Awaitable[dict[str, Home]]]:
    """Give the home page its `home`."""
    if template != "index.html" or DATABASE not in datasette.databases:
        return {}

    async def variables() -> dict[str, Home]:
        return {"home": await home(datasette, request.actor)}

    return variables


async def home(datasette: Datasette, actor: Mapping[str, Any] | None) -> Home:
    """Return what the home page shows to somebody."""
    db = datasette.get_database(DATABASE)
    current = (await db.execute_once(CURRENT_RELEASE_SQL)).first()
    snapshot = await db.execute_once("select max(date) from releases")
    mirrors = await db.execute_once(MIRRORS_SQL)
    queries = await datasette.get_canned_queries(DATABASE, actor)
    return Home(
        current=dict(current) if current else None,
        has_mirrors=bool(mirrors.single_value()),
        snapshot=snapshot.single_value(),
        counts=await db.table_counts(limit=1000),
        oses=[os for (os,) in await db.execute_once(OSES_SQL)],
        questions=list(queries.values()),
        examples=_examples((await db.execute_once(EXAMPLE_SQL)).first()),
        size=db.size,
    )


def _examples(spec: Mapping[str, Any] | None) -> list[str]:
    if spec is None:
        return []
    package = spec["package"]
    built = "" if spec["compiler_name"] == NO_COMPILER else f" %{spec['compiler_name']}"
    return [package, f"{package} os={spec['os']}", f"{package}{built} target={spec['target']}"]
