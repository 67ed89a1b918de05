"""Gather what all indexes say of one package, from where `records.db` says that it is.

A spec is in many indexes, and most say the same of it: only what differs is read.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from etl.problems import Problem
from etl.records import Facts, Source, Spec
from etl.sorting import opened_again, read_again
from etl.sources.caches.grammar import Record
from etl.sources.caches.spans import Span
from etl.spelling import Stacks, as_json


class Index(NamedTuple):
    """An index whose records are sorted; the columns of `sources` in `records.db`.

    Attributes:
        number: the order in which it counts.
        path: its path in the database.
        release: the release it is of.
        stack: the stack it is of.
        mirror: address of the mirror whose index it is.
        file: where its records are.
        version: of the database.
    """

    number: int
    path: str
    release: str
    stack: str
    mirror: str
    file: bytes
    version: str


class Gathered(NamedTuple):
    """What the indexes say of a package.

    Attributes:
        sources: one for each index that has a record of it, in the order in which they count.
        problems: what is odd about its records.
    """

    sources: list[Source]
    problems: list[Problem]


_ROW = "hash, source, is_binary, digest, start, end, size, tarball, fault"
_MOST_FILES = 64


class _Row(NamedTuple):
    """A record, as `_ROW` selects it."""

    hash: str
    number: int
    is_binary: int
    digest: bytes
    start: int
    end: int
    size: int | None
    tarball: str | None
    fault: str | None


class Gatherer:
    """Reads the records of packages, for as long as a task takes."""

    def __init__(self, records: sqlite3.Connection) -> None:
        self._records = records
        self._indexes = {row[0]: Index(*row) for row in records.execute("SELECT * FROM sources")}
        versions = records.execute("SELECT hash, version FROM compilers WHERE version IS NOT NULL")
        self._compilers = dict(versions.fetchall())
        self._files = ExitStack()
        self._open: dict[bytes, int] = {}

    def close(self) -> None:
        """Close all files."""
        self._forget_files()
        self._records.close()

    def gather(self, package: str) -> Gathered:
        """What the indexes say of a package.

        Args:
            package: its name.

        Raises:
            ChangedError: an index changed since its records were sorted.
        """
        specs: dict[int, list[Spec]] = defaultdict(list)
        found: list[Problem] = []
        for rows in self._rows(package):
            told: dict[bytes, Facts] = {}
            for row in rows:
                index = self._indexes[row.number]
                facts = told.get(row.digest)
                if facts is None:
                    facts = told[row.digest] = self._read(row).facts_with(self._compilers)
                specs[row.number].append(_spec(index, row, facts))
                if row.fault and row.is_binary:
                    found.append(Problem(index.path, 0, "size-unknown", row.fault))
        sources = [_source(self._indexes[number], specs[number]) for number in sorted(specs)]
        return Gathered(sources, found)

    def read_first(self, hashes: Collection[str]) -> dict[str, Record]:
        """The records with one of these hashes, of each hash the one that counts."""
        rows = self._records.execute(
            f"SELECT {_ROW}, min(source) FROM records"
            " WHERE hash IN (SELECT value FROM json_each(?)) GROUP BY hash",
            [as_json(sorted(hashes))],
        ).fetchall()
        return {row[0]: self._read(_Row(*row[:-1])) for row in rows}

    def _rows(self, package: str) -> Iterator[list[_Row]]:
        """The records of each hash, in the order in which their indexes count."""
        rows = self._records.execute(
            f"SELECT {_ROW} FROM records WHERE package = ? ORDER BY hash, source", [package]
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            yield [_Row(*row) for row in group]

    def _read(self, row: _Row) -> Record:
        index = self._indexes[row.number]
        file = self._open.get(index.file)
        if file is None:
            if len(self._open) == _MOST_FILES:
                self._forget_files()
            file = self._open[index.file] = self._files.enter_context(opened_again(index.file))
        # Not mapped: all of a large index would count as memory, and one cut off is a bus error.
        return read_again(file, Span(row.hash, row.start, row.end), index.version, index.file)

    def _forget_files(self) -> None:
        self._open.clear()
        self._files.close()


@contextmanager
def gathering(folder: Path) -> Iterator[Gatherer | None]:
    """Open what was sorted; None if there is no index."""
    file = folder / "records.db"
    if not file.exists():
        yield None
        return
    uri = f"{file.resolve().as_uri()}?mode=ro"
    with closing(Gatherer(sqlite3.connect(uri, uri=True))) as gatherer:
        yield gatherer


def _spec(index: Index, row: _Row, facts: Facts) -> Spec:
    if not row.is_binary:
        return Spec(row.hash, facts, _stacks(index.stack), None, is_binary=False)
    tarball = None
    if row.tarball is not None:
        facts = facts._replace(size=row.size)
        tarball = f"{index.mirror}/{row.tarball}"
    return Spec(row.hash, facts, _stacks(index.stack), tarball)


@lru_cache(maxsize=1024)
def _stacks(stack: str) -> Stacks:
    return Stacks((stack,), ())


def _source(index: Index, specs: list[Spec]) -> Source:
    return Source(index.path, 0, index.release, tuple(specs), index.stack, index.number)
