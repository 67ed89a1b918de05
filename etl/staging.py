"""Rows waiting on disk, so that memory follows the largest package and not the input.

Each process writes `shard-<process>.db` in the staging folder; the load sorts and indexes what is
in all of them. What was staged of a group of sources can be taken back, so that one package can
be read again.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

import msgspec

from etl import problems
from etl.records import Dependency
from etl.schema import NODES, PACKAGES, SOURCES, SPECS

_PARAMETERS = 1000
"""Parameters in one INSERT; several rows in a statement are 2 to 3 times as fast as one."""

SHARD_TABLES: Mapping[str, tuple[str, ...]] = {
    "specs": SPECS.column_names,
    "packages": PACKAGES.column_names,
    "spec_stacks": ("spec", "stack", "release"),
    "spec_releases": ("spec", "release", "tarball", "package"),
    # Lists of variants repeat from spec to spec; in the database each spec has its own.
    "spec_lists": ("spec", "list"),
    "lists": ("list", "variant"),
    "package_variants": ("variant", "name", "value", "num_specs"),
    "package_stacks": ("package", "stack", "num_specs"),
    "package_releases": ("package", "release", "num_specs", "in_releases", "elsewhere"),
    "stack_releases": ("stack", "release"),
    "nodes": NODES.column_names,
    # One row for each spec: in order of these, what they depend on is in order too.
    "edges": ("spec", "edges"),
    "named": ("dependency", "number", "spec", "name"),
    # A refused one has no release; `by_` is what it is chosen by.
    "sources": (*SOURCES.column_names, "by_release", "by_package"),
    "problems": ("source", "line", "severity", "kind", "message"),
    "unknown_keys": ("place", "key", "source", "occurrences"),
    # Where the build cache of a release is.
    "homes": ("release", "mirror", "layout"),
    # Pages that say of themselves that they are of another release or package than their folders.
    "misplaced": ("real", "release", "package", "content", "sha256"),
    # The rows that were staged of a group of sources.
    "staged": ("source_group", "table_name", "first", "last"),
}


encode_edges = msgspec.msgpack.Encoder().encode
"""What a spec depends on in one value."""

decode_edges = msgspec.msgpack.Decoder(tuple[Dependency, ...]).decode
"""The same taken apart."""


class Shard:
    """The rows that this process has staged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Stage rows of a table of `SHARD_TABLES`."""
        insert_rows(self._connection, table, rows)

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Remember what is staged meanwhile as that of a group."""
        before = self._last_rows()
        yield
        after = self._last_rows()
        rows = [(name, table, before[table] + 1, last) for table, last in after.items()]
        self.insert("staged", [row for row in rows if row[2] <= row[3]])

    def _last_rows(self) -> dict[str, int]:
        tables = [table for table in SHARD_TABLES if table != "staged"]
        last = ", ".join(f"(SELECT coalesce(max(rowid), 0) FROM {table})" for table in tables)
        row = self._connection.execute(f"SELECT {last}").fetchone()
        return dict(zip(tables, row, strict=True))


@contextmanager
def own_shard(folder: Path) -> Iterator[Shard]:
    """The shard of this process, to write to; kept when all went well."""
    with writing(folder / f"shard-{os.getpid()}.db") as connection:
        for table, columns in SHARD_TABLES.items():
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})")
        yield Shard(connection)


@contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a staging database; kept when all went well."""
    with closing(sqlite3.connect(file)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection
        connection.commit()


def insert_rows(
    connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[object]]
) -> None:
    """Insert rows, as many as the parameters of one statement allow at a time."""
    if not rows:
        return
    width = len(rows[0])
    most = _PARAMETERS // width
    marks = f"({', '.join('?' * width)})"
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        values = ", ".join([marks] * len(part))
        connection.execute(f"INSERT INTO {table} VALUES {values}", tuple(chain.from_iterable(part)))


def take_back(folder: Path, groups: Collection[str]) -> None:
    """Remove all that was staged of these groups of sources."""
    for file in _shards(folder):
        with writing(file) as connection:
            for group in groups:
                rows = connection.execute(
                    "SELECT table_name, first, last FROM staged WHERE source_group = ?", [group]
                ).fetchall()
                for table, first, last in rows:
                    between = f"DELETE FROM {table} WHERE rowid BETWEEN ? AND ?"
                    connection.execute(between, [first, last])
                connection.execute("DELETE FROM staged WHERE source_group = ?", [group])


def take_misplaced(folder: Path) -> Iterator[tuple[str, str, bytes, str, bytes]]:
    """Release, package, content, SHA-256 and file of each misplaced page, which is removed."""
    for file in _shards(folder):
        with writing(file) as connection:
            yield from connection.execute(
                "SELECT release, package, content, sha256, real FROM misplaced"
            )
            connection.execute("DELETE FROM misplaced")


@contextmanager
def staging(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a staging folder: `files` and a view on each table of all shards."""
    connection = sqlite3.connect("", uri=True)
    with closing(connection):
        attach_staging(connection, folder)
        yield connection


def attach_staging(connection: sqlite3.Connection, folder: Path) -> None:
    """Make `files` and the tables of all shards readable as temporary views `staged_*`."""
    connection.execute("ATTACH ? AS files", [_read_only(folder / "files.db")])
    shards = _shards(folder)
    for number, shard in enumerate(shards):
        connection.execute(f"ATTACH ? AS shard{number}", [_read_only(shard)])
    connection.create_function("unknown_key", 3, problems.unknown_key, deterministic=True)
    for table, columns in SHARD_TABLES.items():
        parts = [
            f"SELECT {', '.join(columns)} FROM shard{number}.{table}"
            for number in range(len(shards))
        ]
        connection.execute(f"CREATE TEMP VIEW staged_{table} AS {' UNION ALL '.join(parts)}")
    connection.execute(_ALL_PROBLEMS)


# A key nobody knows is named once for the whole build.
_ALL_PROBLEMS = """
CREATE TEMP VIEW all_problems AS
SELECT source, line, severity, kind, message FROM staged_problems
UNION ALL
SELECT min(source), 0, 'warning', 'unknown-key', unknown_key(place, key, sum(occurrences))
FROM staged_unknown_keys GROUP BY place, key
"""


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.db"))


def _read_only(file: Path) -> str:
    return f"{file.resolve().as_uri()}?mode=ro&immutable=1"
