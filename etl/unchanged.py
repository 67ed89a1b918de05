"""Whether a build would give the database that is there: by the hashes of its sources.

Pages are opened for it, and once more if they are then read.
"""

import hashlib
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from etl.schema import APPLICATION_ID
from etl.sources.choice import Choice
from etl.sources.content import Content
from etl.sources.listing import FILE_COLUMNS, ListedFile, names_in
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


@lru_cache(maxsize=1)
def tool_fingerprint() -> int:
    """31 bits that differ when the tool, or a library that decides what it writes, does."""
    digest = hashlib.sha256()
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
    if not database.exists() or read_ids(database) != (APPLICATION_ID, tool_fingerprint()):
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
        old.executemany("INSERT INTO found VALUES (?, ?, ?)", _index_rows(folder))
        if old.execute(_OTHERS, [0]).fetchone():
            return False
        for rows in workers.run(_hash_files, _tasks(folder, choice)):
            (last,) = old.execute("SELECT count(*) FROM found").fetchone()
            old.executemany("INSERT INTO found VALUES (?, ?, ?)", rows)
            if old.execute(_OTHERS, [last]).fetchone():
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
        old.execute(f"SELECT 1 FROM sources WHERE {column} = ? LIMIT 1", [name]).fetchone()
        for column, names in (("release", choice.releases), ("package", choice.packages))
        for name in names
    )


_OTHERS = """
SELECT 1 FROM found LEFT JOIN sources USING (path) WHERE found.rowid > ?
AND (found.bytes, found.sha256) IS NOT (sources.bytes, sources.sha256) LIMIT 1
"""


def _index_rows(folder: Path) -> list[_Row]:
    """The indexes, which were hashed when they were listed; only those that are wanted are."""
    with closing(sqlite3.connect(folder / "files.db")) as files:
        return files.execute("SELECT path, bytes, sha256 FROM indexes").fetchall()


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
