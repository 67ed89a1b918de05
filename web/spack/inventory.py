"""Which packages have a binary for which system: all specs at once, by bitmaps.

A system is an operating system and, perhaps, the CPU target of a machine. What runs on a machine
was built for its own target or for one that this descends from (`target_compatibility`). A
package's columns `oses`, `targets` and `releases` cannot tell: each is a list of its own, and the
binary for the one need not be that for the other. So rows of `specs` are intersected, and counted
by package.

Where the database can change there are no bitmaps (`web.immutable.bitmaps`); then the columns are
read for each request. Which packages a stack has in a release only the table `spec_stacks` tells.
It has hundreds of thousands of rows, and is read in the background when the server starts.
"""

import asyncio
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.bitmaps import bitmaps_of
from web.immutable.table_bitmaps import RowsOf
from web.spack.names import DATABASE, RELEASES_SQL

PACKAGES_SQL = "select name, versions from packages order by name"

RUNS_SQL = """
    select target, runs, coalesce(family, 'other') as family
    from target_compatibility join targets on name = target
    order by family is null, family, target
"""

STACKS_SQL = """
    select distinct stack, package
    from spec_stacks cross join specs on specs.hash = spec_stacks.spec where "release" = ?
"""

COLUMNS = ("package", "version", "os", "target")

Stacks = Mapping[str, BitMap]
"""The packages of each stack of a release, by their numbers in the order of names."""


class Inventory(NamedTuple):
    """What the database holds, as rows of `specs`.

    Attributes:
        versions: The versions of each package, newest first, by its name in order.
        releases: The releases, newest first.
        runs: The targets whose binaries a machine runs, by the machine's target.
        families: The machines that run any binary at all, by the family of their CPUs.
        rows: The rows of each value of a column: of those in `COLUMNS`, and of `release`.
    """

    versions: Mapping[str, Sequence[str]]
    releases: Sequence[str]
    runs: Mapping[str, frozenset[str]]
    families: Mapping[str, Sequence[str]]
    rows: Mapping[str, RowsOf]

    @property
    def oses(self) -> list[str]:
        """The operating systems that there are binaries for."""
        return sorted(self.rows["os"])

    @property
    def all_rows(self) -> BitMap:
        """All rows."""
        return BitMap.union(BitMap(), *self.rows["os"].values())

    def held(self, release: str) -> BitMap:
        """Return the rows of a release."""
        return self.rows["release"].get(release, BitMap())

    def running_on(self, machine: str) -> BitMap:
        """Return the rows that run on a machine, of whatever operating system."""
        targets = self.rows["target"]
        runs = self.runs.get(machine, frozenset())
        return BitMap.union(BitMap(), *(targets[each] for each in runs if each in targets))

    def usable(self, rows: BitMap, os: str, machine: str) -> BitMap:
        """Return those rows that run on a system; "" is any."""
        if os:
            rows = rows & self.rows["os"].get(os, BitMap())
        return rows & self.running_on(machine) if machine else rows

    def by_package(self, rows: BitMap) -> dict[str, int]:
        """Return the packages of rows, by name, and how many rows each has."""
        of_package = self.rows["package"]
        counts = ((name, rows.intersection_cardinality(of_package[name])) for name in self._known)
        return {name: specs for name, specs in counts if specs}

    def newest(self, package: str, rows: BitMap) -> str:
        """Return the newest version that a package has among rows, or ""."""
        rows = rows & self.rows["package"][package]
        of_version = self.rows["version"]
        found = (
            version
            for version in self.versions[package]
            if version in of_version and rows.intersect(of_version[version])
        )
        return next(found, "")

    def numbers(self, packages: Container[str]) -> BitMap:
        """Return the numbers of packages, as `Stacks` has them."""
        return BitMap(number for number, name in enumerate(self.versions) if name in packages)

    def named(self, numbers: BitMap) -> list[str]:
        """Return the packages that have these numbers."""
        return [name for number, name in enumerate(self.versions) if number in numbers]

    @property
    def _known(self) -> Iterator[str]:
        return (name for name in self.versions if name in self.rows["package"])


_inventories: WeakKeyDictionary[Datasette, Inventory] = WeakKeyDictionary()

_stacks: WeakKeyDictionary[Datasette, dict[str, "Future[Stacks]"]] = WeakKeyDictionary()
"""The stacks of each release, of sites whose database cannot change."""


async def inventory_of(datasette: Datasette) -> Inventory:
    """Return what the database of a site holds, once it is known."""
    if datasette in _inventories:
        return _inventories[datasette]
    inventory = await _inventory(datasette)
    if not datasette.get_database(DATABASE).is_mutable:
        _inventories[datasette] = inventory
    return inventory


async def _inventory(datasette: Datasette) -> Inventory:
    db = datasette.get_database(DATABASE)
    rows = {column: await _rows_of(datasette, "column", column) for column in COLUMNS}
    rows["release"] = await _rows_of(datasette, "array", "releases")
    packages = (await db.execute_fn(lambda conn: conn.execute(PACKAGES_SQL).fetchall())) or []
    runs: dict[str, set[str]] = {}
    families: dict[str, dict[str, None]] = {}
    for machine, target, family in await db.execute_fn(
        lambda conn: conn.execute(RUNS_SQL).fetchall()
    ):
        runs.setdefault(machine, set()).add(target)
        if target in rows["target"]:
            families.setdefault(family, {})[machine] = None
    return Inventory(
        versions={name: json.loads(versions) for name, versions in packages},
        releases=[row["name"] for row in await db.execute(RELEASES_SQL)],
        runs={machine: frozenset(targets) for machine, targets in runs.items()},
        families={family: list(machines) for family, machines in families.items()},
        rows=rows,
    )


async def _rows_of(datasette: Datasette, kind: str, column: str) -> RowsOf:
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    known = await bitmaps.rows_of(kind, column) if bitmaps else None
    if known is not None:
        return known
    db = datasette.get_database(DATABASE)
    rows_of: RowsOf = await db.execute_fn(_reading(kind, column))
    return rows_of


def _reading(kind: str, column: str) -> Callable[[sqlite3.Connection], RowsOf]:
    sql = f"select {column}, rowid from specs"
    if kind == "array":
        sql = f"select value, specs.rowid from specs, json_each({column})"

    def read(connection: sqlite3.Connection) -> RowsOf:
        rows_of: dict[str, BitMap] = {}
        for value, row in connection.execute(sql):
            rows_of.setdefault(value, BitMap()).add(row)
        return rows_of

    return read


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Begin to read the stacks of all releases, when the bitmaps of `specs` are made."""
    database = datasette.databases.get(DATABASE)
    if database is None or database.is_mutable:
        return
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    path = Path(database.path)
    with_one_thread = ThreadPoolExecutor(1, thread_name_prefix="stacks")
    if bitmaps:
        with_one_thread.submit(bitmaps.wait)
    _stacks[datasette] = {
        release: with_one_thread.submit(_read_apart, path, release)
        for release in _release_names(path)
    }
    with_one_thread.shutdown(wait=False)


def _release_names(path: Path) -> Iterable[str]:
    """Return the releases, newest first; none of a database that is not ours."""
    try:
        with closing(_connect(path)) as connection:
            return [name for (name,) in connection.execute(RELEASES_SQL.replace("*", "name"))]
    except sqlite3.Error:
        return []


def _read_apart(path: Path, release: str) -> Stacks:
    with closing(_connect(path)) as connection:
        return _read_stacks(connection, release)


def _read_stacks(connection: sqlite3.Connection, release: str) -> Stacks:
    numbers = {name: number for number, (name, _) in enumerate(connection.execute(PACKAGES_SQL))}
    stacks: dict[str, BitMap] = {}
    for stack, package in connection.execute(STACKS_SQL, [release]):
        stacks.setdefault(stack, BitMap()).add(numbers[package])
    return stacks


def _connect(path: Path) -> sqlite3.Connection:
    # One of Datasette's connections would have the limits of visitors.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    connection: sqlite3.Connection = sqlite3.connect(uri, uri=True)
    return connection


async def stacks_of(datasette: Datasette, release: str) -> Stacks:
    """Return the packages of each stack of a release that there is, once they are known."""
    future = _stacks.get(datasette, {}).get(release)
    if future:
        # A visitor who leaves must not cancel what others wait for.
        return await asyncio.shield(asyncio.wrap_future(future))
    db = datasette.get_database(DATABASE)
    stacks: Stacks = await db.execute_fn(lambda connection: _read_stacks(connection, release))
    return stacks
