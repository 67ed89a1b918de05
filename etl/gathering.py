"""Gather what all indexes say of one package, from where `records.db` says that it is.

A spec is in many indexes, and most say the same of it: only what differs is read.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from etl.problems import Problem
from etl.records import Facts, Source, Spec
from etl.sorting import read_at
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


class _Row(NamedTuple):
    hash: str
    number: int
    is_binary: int
    digest: bytes
    start: int
    end: int
    size: int | None
    tarball: str | None
    fault: str | None


def gather(folder: Path, package: str, num_refused: int) -> Gathered:
    """What the indexes say of a package.

    Args:
        folder: the staging folder.
        package: its name.
        num_refused: how many sources were refused by now, for other records were in `records.db`
            before.

    Raises:
        ChangedError: an index changed since its records were sorted.
    """
    if not (folder / "records.db").exists():
        return Gathered([], [])
    indexes, compilers = _known(folder, num_refused)
    specs: dict[int, list[Spec]] = defaultdict(list)
    found: list[Problem] = []
    for rows in _rows(folder, package):
        told: dict[bytes, Facts] = {}
        for row in rows:
            index = indexes[row.number]
            if row.digest not in told:
                record = _record(index, row)
                told[row.digest] = record.facts_with(compilers)
            specs[row.number].append(_spec(index, row, told[row.digest]))
            if row.fault and row.is_binary:
                found.append(Problem(index.path, 0, "size-unknown", row.fault))
    return Gathered([_source(indexes[number], specs[number]) for number in sorted(specs)], found)


def read_first(folder: Path, hashes: Collection[str]) -> dict[str, Record]:
    """The records with one of these hashes, of each hash the one that counts."""
    if not hashes:
        return {}
    indexes, _ = _known(folder, -1)
    with closing(_open(folder)) as records:
        rows = records.execute(
            "SELECT hash, source, start, end, min(source) FROM records"
            " WHERE hash IN (SELECT value FROM json_each(?)) GROUP BY hash",
            [as_json(sorted(hashes))],
        ).fetchall()
    found = {}
    for spec, number, start, end, _ in rows:
        index = indexes[number]
        found[spec] = read_at(index.file, Span(spec, start, end), index.version)
    return found


@lru_cache(maxsize=1)
def _known(folder: Path, _num_refused: int) -> tuple[Mapping[int, Index], Mapping[str, str]]:
    """The indexes by their numbers, and the versions of compilers by their hashes."""
    with closing(_open(folder)) as records:
        indexes = {row[0]: Index(*row) for row in records.execute("SELECT * FROM sources")}
        return indexes, dict(records.execute("SELECT hash, version FROM compilers").fetchall())


def _open(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(folder / 'records.db').resolve().as_uri()}?mode=ro", uri=True)


def _rows(folder: Path, package: str) -> Iterator[list[_Row]]:
    """The records of each hash, in the order in which their indexes count."""
    with closing(_open(folder)) as records:
        rows = records.execute(
            "SELECT hash, source, is_binary, digest, start, end, size, tarball, fault"
            " FROM records WHERE package = ? ORDER BY hash, source",
            [package],
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            yield [_Row(*row) for row in group]


def _record(index: Index, row: _Row) -> Record:
    return read_at(index.file, Span(row.hash, row.start, row.end), index.version)


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
