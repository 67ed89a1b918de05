"""What the home page says of the database."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request

from etl.spelling import NO_COMPILER
from web.spack.names import CURRENT_RELEASE_SQL, DATABASE, LISTS_RELEASE

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

WELL_KNOWN = ("hdf5", "py-numpy", "openmpi", "trilinos", "cmake", "zlib-ng")
"""Packages that most visitors have heard of, the first of them that there is."""

# What most specs of it in the newest release were built for and with, those of Linux first.
EXAMPLE_SQL = f"""
    with known as (
        select key, value as package
        from json_each(json_array({", ".join(map("'{}'".format, WELL_KNOWN))}))
    ),
    current as (select name as "release" from releases where position = 1),
    example as (
        select name as package from current cross join packages
        left join known on known.package = packages.name
        where {LISTS_RELEASE.format('current."release"')}
        order by known.key is null, known.key, num_specs desc, name limit 1
    )
    select package, os, compiler_name, target, min(hash) as hash
    from current cross join example cross join specs using (package)
    where {LISTS_RELEASE.format('current."release"')}
    group by os, compiler_name, target
    order by platform <> 'linux', count(*) desc, os desc, target limit 1
"""

DEPENDENCY_SQL = """
    select nodes.package from dependencies cross join nodes on nodes.hash = dependency
    where spec = :hash and link and kind = 'binary'
    order by nodes.package = 'gcc-runtime', virtuals = '[]', nodes.package limit 1
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
        examples=await _examples(db),
        size=db.size,
    )


async def _examples(db: Database) -> list[str]:
    """Return searches that find something in the newest release."""
    spec = (await db.execute_once(EXAMPLE_SQL)).first()
    if spec is None:
        return []
    package = spec["package"]
    built = "" if spec["compiler_name"] == NO_COMPILER else f" %{spec['compiler_name']}"
    needed = (await db.execute(DEPENDENCY_SQL, {"hash": spec["hash"]})).first()
    return [
        package,
        f"{package} os={spec['os']}",
        f"{package}{built} target={spec['target']}",
        *([f"{package} ^{needed['package']}"] if needed else []),
    ]
