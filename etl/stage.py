"""Read all pages of each package, several packages at a time, into staging databases.

Each process writes `shard-<process>.db` in the staging folder, from which the load sorts and
indexes. Rows wait on disk, so memory follows the largest package and not the corpus.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

from etl import extract, quick
from etl.extract import Page, PageError
from etl.order import release_key
from etl.problems import Problem
from etl.review import review, review_path
from etl.scan import read_file
from etl.schema import PACKAGES, SPECS
from etl.transform import PackageRows, Source, SpecRows, merge, package_rows, spec_rows
from etl.workers import Workers

BYTES_IN_TASK = 2 * 1024 * 1024
"""Bytes of pages in a task: much enough to be worth handing over, few enough to share fairly."""

_PARAMETERS = 1000
"""Parameters in one INSERT; several rows in a statement are 2 to 3 times as fast as one."""

SHARD_TABLES: Mapping[str, tuple[str, ...]] = {
    "specs": SPECS.column_names,
    "packages": PACKAGES.column_names,
    "spec_stacks": ("spec", "stack", "release"),
    "spec_releases": ("spec", "release", "tarball", "package"),
    "spec_variants": ("spec", "variant"),
    "package_variants": ("variant", "name", "value", "num_specs"),
    "package_stacks": ("package", "stack", "num_specs"),
    "package_releases": ("package", "release", "num_specs"),
    "stack_releases": ("stack", "release"),
    "accepted": ("path", "release", "package", "num_specs"),
    "problems": ("page", "line", "severity", "kind", "message"),
    "unknown_keys": ("place", "key", "page", "occurrences"),
}


class ChangedError(Exception):
    """A page changed between its two readings."""


class PageFile(NamedTuple):
    """A page to read: absolute path, path in the database, whether its folders name it."""

    real: bytes
    path: str
    in_layout: bool
    sha256: str


class Task(NamedTuple):
    """All pages of some packages, in page order: newest release first, then by path."""

    folder: Path
    packages: tuple[tuple[str, tuple[PageFile, ...]], ...]
    refused: Mapping[str, str]


def stage(folder: Path, refused: Mapping[str, str], workers: Workers) -> Iterator[int]:
    """Read the files listed in `files.db` into the shards of the staging folder.

    Args:
        folder: the staging folder.
        refused: pages to refuse, each with the reason.
        workers: who reads.

    Yields:
        Numbers of pages as they are read.

    Raises:
        ChangedError: a page is not what the scan found.
    """
    for shard in folder.glob("shard-*.db"):
        shard.unlink()
    yield from workers.run(_stage_packages, _tasks(folder, refused))


def _tasks(folder: Path, refused: Mapping[str, str]) -> Iterator[Task]:
    packages: list[tuple[str, tuple[PageFile, ...]]] = []
    size = 0
    for package, files, file_bytes in _files_by_package(folder):
        packages.append((package, files))
        size += file_bytes
        if size > BYTES_IN_TASK:
            yield Task(folder, tuple(packages), refused)
            packages, size = [], 0
    if packages:
        yield Task(folder, tuple(packages), refused)


def _files_by_package(folder: Path) -> Iterator[tuple[str, tuple[PageFile, ...], int]]:
    with closing(sqlite3.connect(folder / "files.db")) as files:
        # A page without names will be refused; its own path keeps it apart from all packages.
        rows = files.execute(
            "SELECT coalesce(package, '/' || path), release, path, real, in_layout, sha256, bytes"
            " FROM files ORDER BY 1, path"
        )
        for package, group in groupby(rows, key=lambda row: row[0]):
            ordered = sorted(group, key=lambda row: release_key(row[1] or ""), reverse=True)
            pages = tuple(
                PageFile(real, path, bool(in_layout), sha256)
                for _, _, path, real, in_layout, sha256, _ in ordered
            )
            yield package, pages, sum(row[-1] for row in ordered)


def _stage_packages(task: Task) -> int:
    with closing(sqlite3.connect(task.folder / f"shard-{os.getpid()}.db")) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        for table, columns in SHARD_TABLES.items():
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})")
        for package, files in task.packages:
            _PackageReader(connection, task.refused).read(package, files)
        connection.commit()
    return sum(len(files) for _, files in task.packages)


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


class _PackageReader:
    """Reads the pages of one package into a shard."""

    def __init__(self, connection: sqlite3.Connection, refused: Mapping[str, str]) -> None:
        self._connection = connection
        self._refused = refused
        self._problems: list[Problem] = []
        self._accepted: list[tuple[str, str, str, int]] = []
        self._unknown: list[tuple[str, str, str, int]] = []

    def read(self, package: str, files: Iterable[PageFile]) -> None:
        merged = merge(package, self._sources(files))
        if self._accepted:
            parts: Iterator[SpecRows | PackageRows] = chain(
                spec_rows(merged), [package_rows(merged)]
            )
            for rows in parts:
                for table in fields(rows):
                    insert_rows(self._connection, table.name, getattr(rows, table.name))
        insert_rows(self._connection, "accepted", self._accepted)
        insert_rows(self._connection, "unknown_keys", self._unknown)
        insert_rows(
            self._connection,
            "problems",
            [
                (found.page, found.line, found.severity, found.kind, found.message)
                for found in (*self._problems, *merged.problems)
            ],
        )

    def _sources(self, files: Iterable[PageFile]) -> Iterator[Source]:
        """The accepted pages that add facts, in the order given, one for each release."""
        seen: dict[str, PageFile] = {}
        for file in files:
            try:
                page = _read_page(file)
            except PageError as error:
                self._problems.extend(Problem(file.path, *found) for found in error.refusals)
                continue
            if file.path in self._refused:
                self._refuse(file, page, "two-packages", self._refused[file.path])
                continue
            first = seen.setdefault(page.release, file)
            if first.sha256 != file.sha256:
                message = f"{first.path} is another page of {page.package} in {page.release}"
                self._refuse(file, page, "two-pages", message)
                continue
            self._accepted.append((file.path, page.release, page.package, len(page.entries)))
            if first is file:
                self._problems.extend(review(file.path, page, in_layout=file.in_layout))
                self._unknown.extend((*key, file.path, n) for key, n in page.unknown.items())
                yield Source(file.path, page)
            elif file.in_layout:
                self._problems.extend(review_path(file.path, page))

    def _refuse(self, file: PageFile, page: Page, kind: str, message: str) -> None:
        self._problems.append(Problem(file.path, page.specs_line, kind, message))


def _read_page(file: PageFile) -> Page:
    data = read_file(file.real)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        name = os.fsdecode(file.real)
        raise ChangedError(f"{name} changed while it was read; run the command again")
    return quick.read_page(data) or extract.read_page(data)
