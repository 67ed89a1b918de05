"""The names that the database knows, by which people search: packages, systems, stacks and more."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from web.spack.names import DATABASE
from web.spack.syntax import names_of_compiler

SQLS = {
    "packages": "select name, num_specs from packages order by num_specs desc, name",
    "oses": """
        select listed.value, sum(num_specs) from packages, json_each(oses) as listed
        group by listed.value order by 2 desc, 1
    """,
    "platforms": """
        select listed.value, sum(num_specs) from packages, json_each(platforms) as listed
        group by listed.value order by 2 desc, 1
    """,
    "targets": "select name, num_specs from targets order by num_specs desc, name",
    "stacks": "select name, num_specs from stacks order by num_specs desc, name",
    "releases": 'select name, num_specs from releases order by "position"',
    "compilers": """
        select listed.value, sum(num_specs) from packages, json_each(compilers) as listed
        group by listed.value order by 2 desc, 1
    """,
    "variants": "select variant, num_specs from variants order by num_specs desc, variant",
}
"""Of each kind, names and how many specs have them at most, the likeliest first."""

VARIANTS_OF_SQL = """
    select variant from variants
    where name in (select value from json_each(:names)) and exists (
        select 1 from specs cross join spec_variants
        where specs.package = :package and spec_variants.spec = specs.hash
            and spec_variants.variant = variants.variant
    )
"""


class Known(NamedTuple):
    """Names of each kind, the likeliest first, and how many specs have them at most.

    Attributes:
        packages: Packages.
        oses: Operating systems.
        platforms: Platforms.
        targets: CPU targets, those too that no spec is built for.
        stacks: Stacks.
        releases: Releases in their order, newest first.
        compilers: Compilers, without versions.
        variants: Values of variants, such as `+mpi` and `build_type=Release`.
    """

    packages: Mapping[str, int]
    oses: Mapping[str, int]
    platforms: Mapping[str, int]
    targets: Mapping[str, int]
    stacks: Mapping[str, int]
    releases: Mapping[str, int]
    compilers: Mapping[str, int]
    variants: Mapping[str, int]

    def named(self, kind: str, text: str) -> str | None:
        """Return the name of a kind that a text is, in capitals or not; None if there is none.

        Args:
            kind: One of the attributes.
            text: The text.
        """
        names: Mapping[str, int] = getattr(self, kind)
        if text in names:
            return text
        lower = text.lower()
        return next((name for name in names if name.lower() == lower), None)

    def compiler_names(self, name: str) -> list[str]:
        """Return all names of a compiler that specs have as a fact.

        Args:
            name: One of its names.
        """
        return [each for each in names_of_compiler(name) if each in self.compilers]

    @property
    def current(self) -> str:
        """The newest release; "" if there is none."""
        return next(iter(self.releases), "")


_known: WeakKeyDictionary[Datasette, Known] = WeakKeyDictionary()


async def known_names(datasette: Datasette) -> Known:
    """Return the names that a site knows; those of what cannot change are read once."""
    if datasette in _known:
        return _known[datasette]
    database = datasette.get_database(DATABASE)
    known: Known = await database.execute_fn(_read)
    if not database.is_mutable:
        _known[datasette] = known
    return known


def _read(connection: sqlite3.Connection) -> Known:
    read = {kind: dict(connection.execute(sql).fetchall()) for kind, sql in SQLS.items()}
    return Known(**{**read, "compilers": _without_versions(read["compilers"].items())})


def _without_versions(compilers: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for compiler, specs in compilers:
        name = compiler.partition("@")[0]
        found[name] = found.get(name, 0) + specs
    return found


async def variants_of(datasette: Datasette, package: str, names: Iterable[str]) -> list[str]:
    """Return the variants of a package that have one of these names.

    Args:
        datasette: Where the database is served.
        package: The package.
        names: Names of variants, such as `mpi`.
    """
    db = datasette.get_database(DATABASE)
    values = {"package": package, "names": json.dumps(list(names))}
    return [row["variant"] for row in await db.execute(VARIANTS_OF_SQL, values)]
