"""Whether a build would give the database that is there: by the hashes of its sources.

Pages are opened for it, and once more if they are then read.
"""

import hashlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from etl.schema import APPLICATION_ID
from etl.sorting import listed_indexes, read_numbered_sizes
from etl.sources.caches.listing import ListedIndex
from etl.sources.caches.sizes import size_tasks
from etl.sources.choice import Choice
from etl.sources.content import Content
from etl.sources.listing import FILE_COLUMNS, ListedFile, names_in
from etl.spelling import as_json
from etl.workers import Workers

_FILES_IN_TASK = 256

_Row = tuple[str, int, str]
"""Path, bytes and SHA-256 of a source."""


def read_ids(database: Path) -> tuple[int, int]:
    """`PRAGMA application_id` and `user_version` of a file; zeros if it is no SQLite database."""
    with database.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        return 0, 0
    return int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big")


def is_wal(database: Path) -> bool:
    """Whether another program gave the file a write-ahead log (byte 18 of SQLite's file format)."""
    with database.open("rb") as file:
        return file.read(19)[18:] == b"\2"


def read_only_uri(database: Path) -> str:
    """What SQLite opens a database at rest by, and leaves nothing beside it."""
    # Of one with a write-ahead log it would leave an empty log, for the next build to stumble on.
    mode = "immutable=1" if is_wal(database) else "mode=ro"
    return f"{database.absolute().as_uri()}?{mode}"


def fingerprint(choice: Choice, *, of_indexes: bool) -> int:
    """31 bits that differ when a build would write something else of the same sources.

    Args:
        choice: which were asked for. Pages of other packages are not among the sources then, but an
            index is, of which only some records are read.
        of_indexes: whether an index is among them.
    """
    return _fingerprint(tuple(sorted({*choice.packages})) if of_indexes else ())


def has_indexes(folder: Path) -> bool:
    """Whether `files.db` in the staging folder lists an index."""
    with closing(sqlite3.connect(folder / "files.db")) as files:
        return bool(files.execute("SELECT EXISTS (SELECT 1 FROM indexes)").fetchone()[0])


@lru_cache(maxsize=1)
def _fingerprint(packages: tuple[str, ...]) -> int:
    digest = hashlib.sha256(as_json(packages).encode() if packages else b"")
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(module.read_bytes())
    libraries = map(version, ("archspec", "msgspec", "PyYAML", "sqlite-utils"))
    for part in (*libraries, sys.version, sqlite3.sqlite_version):
        digest.update(part.encode())
    return int.from_bytes(digest.digest()[:4], "big") >> 1


def is_unchanged(
    database: Path, folder: Path, choice: Choice, workers: Workers, *, skip_bad: bool
) -> bool:
    """Whether the database was made by this tool from exactly the files listed in `files.db`.

    Args:
        database: the database.
        folder: the staging folder.
        choice: which of the files would be read.
        workers: who opens the files.
        skip_bad: whether bad sources may be left out.
    """
    indexes = dict(listed_indexes(folder))
    ids = (APPLICATION_ID, fingerprint(choice, of_indexes=bool(indexes)))
    if not database.exists() or read_ids(database) != ids:
        return False
    # One whose list of sources is damaged is replaced; whether the rest is right, verify tells.
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(read_only_uri(database), uri=True)) as old,
    ):
        # Left out last time; without --skip-bad it must be reported now. What could not be read
        # is looked at again: the reason may be another one.
        bad = "release IS NULL" if not skip_bad else "bytes = 0"
        if old.execute(f"SELECT 1 FROM sources WHERE {bad} LIMIT 1").fetchone():
            return False
        old.execute("CREATE TEMP TABLE found (path, bytes, sha256)")
        # They were hashed when they were listed.
        hashed = [(one.path, one.bytes, one.sha256) for one in indexes.values()]
        old.executemany("INSERT INTO found VALUES (?, ?, ?)", hashed)
        if old.execute(_OTHERS, [0]).fetchone():
            return False
        for rows in workers.run(_hash_files, _tasks(folder, choice)):
            (last,) = old.execute("SELECT count(*) FROM found").fetchone()
            old.executemany("INSERT INTO found VALUES (?, ?, ?)", rows)
            if old.execute(_OTHERS, [last]).fetchone():
                return False
        # Of pages alone every spec would be looked at for nothing.
        if indexes and not _has_same_sizes(old, indexes, workers):
            return False
        (same_number,) = old.execute(
            "SELECT (SELECT count(*) FROM found) = (SELECT count(*) FROM sources)"
        ).fetchone()
        # Every path is there once on both sides.
        return bool(same_number) and _has_all(old, choice)
    return False


def _has_all(old: sqlite3.Connection, choice: Choice) -> bool:
    """Whether all that was asked for is there; if not, a reading tells what is missing."""
    return all(
        old.execute(f"SELECT 1 FROM {table} WHERE name = ?", [name]).fetchone()
        for table, names in (("releases", choice.releases), ("packages", choice.packages))
        for name in names
    )


_OTHERS = """
SELECT 1 FROM found LEFT JOIN sources USING (path) WHERE found.rowid > ?
AND (found.bytes, found.sha256) IS NOT (sources.bytes, sources.sha256) LIMIT 1
"""


def _has_same_sizes(
    old: sqlite3.Connection, indexes: Mapping[int, ListedIndex], workers: Workers
) -> bool:
    """Whether the sizes of binaries are those of the manifests and tarballs that are there."""
    old.execute("CREATE TEMP TABLE told (release, spec, size, tarball)")
    tasks = (task for number, index in indexes.items() for task in size_tasks(number, index))
    for number, sizes in workers.run(read_numbered_sizes, tasks):
        listed = indexes[number]
        old.executemany(
            "INSERT INTO told VALUES (?, ?, ?, ?)",
            (
                (listed.release, one.hash, one.size, f"{listed.mirror}/{one.tarball}")
                for one in sizes
                if one.tarball is not None
            ),
        )
    old.execute("CREATE INDEX temp.told_by_spec ON told (spec)")
    (differ,) = old.execute(_OTHER_SIZES).fetchone()
    return not differ


# What is told of no binary of the release says nothing here.
_OTHER_SIZES = """
SELECT EXISTS (
    SELECT 1 FROM told JOIN spec_releases USING (spec, release)
    WHERE NOT EXISTS (
        SELECT 1 FROM told AS same WHERE same.spec = told.spec AND same.release = told.release
        AND same.tarball IS spec_releases.tarball
    )
) OR EXISTS (
    SELECT 1 FROM specs WHERE size IS NOT NULL AND namespace IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM told WHERE told.spec = specs.hash AND told.size = specs.size)
)
"""


class _Task(NamedTuple):
    """Files to open, as rows of `files`."""

    folder: Path
    files: Sequence[tuple[object, ...]]
    choice: Choice


def _tasks(folder: Path, choice: Choice) -> Iterator[_Task]:
    with closing(sqlite3.connect(folder / "files.db")) as files:
        rows = files.execute(f"SELECT {FILE_COLUMNS} FROM files")
        while part := rows.fetchmany(_FILES_IN_TASK):
            yield _Task(folder, part, choice)


def _hash_files(task: _Task) -> list[_Row]:
    files = (ListedFile(*row) for row in task.files)  # type: ignore[arg-type]
    rows = (_hashed(file, file.read(task.folder), task.choice) for file in files)
    return [row for row in rows if row]


def _hashed(file: ListedFile, content: Content, choice: Choice) -> _Row | None:
    if choice != Choice():
        names = None if file.is_placed else names_in(content, file.names_to_choose_by())
        if not (choice.includes(*names) if names else file.is_chosen(choice)):
            return None
    return file.path, len(content.data), content.sha256
