"""Measure the commands that build and check a database, each in fresh processes.

Builds and the floor take turns, so that what else the machine does falls on both alike.
"""

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks import floor, integer_keys
from benchmarks.measure import Run, run
from etl.sources.find import PAGE_NAME

_ETL = (sys.executable, "-m", "etl")
_UNCHANGED_RUNS = 3
_SIZE, _OTHER_SIZE = b'"size": "-"', b'"size": 1'


class Step(NamedTuple):
    """One command, measured once or several times.

    Attributes:
        name: what it does.
        seconds: of each run.
        cpu: seconds of computing in each run, on all cores together.
        memory: bytes that all its processes had together at one time, at most.
        each: bytes that each process had, at most, in the run in which they had the most.
    """

    name: str
    seconds: Sequence[float]
    cpu: Sequence[float]
    memory: int
    each: Sequence[int]

    @property
    def median(self) -> float:
        """The middle one of the runs."""
        return median(self.seconds)


class Contents(NamedTuple):
    """What a database holds.

    Attributes:
        pages: number of pages it was made from.
        source_bytes: their size.
        entries: number of specs, each counted once for each release that holds it.
        specs: number of different hashes.
        database_bytes: its size.
    """

    pages: int
    source_bytes: int
    entries: int
    specs: int
    database_bytes: int


class Building(NamedTuple):
    """All that was measured of one collection.

    Attributes:
        contents: what was built.
        build: a build where there was no database.
        floor: the floor for it; its computing includes what the floor itself leaves out.
        floor_parts: seconds of the floor's steps, in the order of `floor.Seconds`.
        naive: the naive build, if it was measured.
        others: the other commands.
        integer_bytes: size of the same facts with integer keys.
    """

    contents: Contents
    build: Step
    floor: Step
    floor_parts: Sequence[float]
    naive: Step | None
    others: Sequence[Step]
    integer_bytes: int


class Files(NamedTuple):
    """Where one collection and what is made from it are.

    Attributes:
        pages: the folder that holds the releases.
        database: the database built from them.
        naive: the one that the naive way builds.
        scratch: a file that is written and removed again.
    """

    pages: Path
    database: Path
    naive: Path
    scratch: Path


def measure_building(
    files: Files, repeats: int, tell: Callable[[str], None], *, naive: bool
) -> Building:
    """Measure everything about building one collection; leaves both databases behind.

    Args:
        files: the collection, and where to write.
        repeats: how often a build and the floor are measured.
        tell: is told what is measured next.
        naive: whether the naive build is measured too, once.

    Raises:
        FailedError: a command failed.
    """
    builds, floors, parts, naives = [], [], [], []
    for turn in range(repeats):
        tell(f"build, then the floor ({turn + 1} of {repeats})")
        builds.append(build_anew(files))
        floors.append(_floor(files))
        parts.append(msgspec.json.decode(floors[-1].output, type=floor.Seconds))
        if naive and turn == 0:
            tell("the naive build")
            naives.append(_naive(files))
    tell("with integer keys")
    integer_bytes = integer_keys.build(files.scratch, files.database)
    files.scratch.unlink()
    return Building(
        contents=read_contents(files.database),
        build=step("build", builds),
        floor=step("floor", floors)._replace(seconds=[one.total for one in parts]),
        floor_parts=[median(of_step) for of_step in zip(*map(astuple, parts), strict=True)],
        naive=step("naive", naives) if naives else None,
        others=[*_unchanged(files, tell), *_changed(files, tell)],
        integer_bytes=integer_bytes,
    )


def step(name: str, runs: Collection[Run]) -> Step:
    """The runs of one command as one record."""
    largest = max(runs, key=lambda one: one.memory)
    seconds, cpu = [one.seconds for one in runs], [one.cpu for one in runs]
    return Step(name, seconds, cpu, largest.memory, largest.each)


def build_anew(files: Files, *options: str) -> Run:
    """Build where there is no database."""
    files.database.unlink(missing_ok=True)
    return run(*_ETL, "build", "--quiet", *options, files.database, files.pages)


def _build_again(files: Files) -> Run:
    return run(*_ETL, "build", "--quiet", files.database, files.pages)


def read_contents(database: Path) -> Contents:
    """What a database of ours holds."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as facts:
        pages, source_bytes, entries, specs = facts.execute(
            "SELECT count(*), sum(bytes), (SELECT count(*) FROM spec_releases),"
            " (SELECT count(*) FROM specs) FROM sources"
        ).fetchone()
    return Contents(pages, source_bytes, entries, specs, database.stat().st_size)


def _floor(files: Files) -> Run:
    command = (sys.executable, "-m", "benchmarks.floor")
    measured = run(*command, files.scratch, files.database, files.pages)
    files.scratch.unlink()
    return measured


def _naive(files: Files) -> Run:
    files.naive.unlink(missing_ok=True)
    return run(sys.executable, "-m", "benchmarks.naive", files.naive, files.pages)


def _unchanged(files: Files, tell: Callable[[str], None]) -> Iterator[Step]:
    """What leaves the database as it is."""
    tell("build with nothing changed")
    runs = [_build_again(files) for _ in range(_UNCHANGED_RUNS)]
    yield step("build, nothing changed", runs)
    tell("check")
    yield step("check", [run(*_ETL, "check", "--quiet", files.pages)])
    tell("verify")
    yield step("verify", [run(*_ETL, "verify", "--quiet", files.database, files.pages)])


def _changed(files: Files, tell: Callable[[str], None]) -> Iterator[Step]:
    """What builds a database that differs, beside the one that stays."""
    copy = files._replace(database=files.scratch)
    tell("build --jobs 1")
    yield step("build --jobs 1", [build_anew(copy, "--jobs=1")])
    pages = sorted(files.pages.glob(f"*/*/{PAGE_NAME}"))
    for name, number in (("one page", 1), ("1 % of the pages", max(1, len(pages) // 100))):
        tell(f"build with {name} changed")
        shutil.copyfile(files.database, copy.database)
        with _with_changes(random.Random(number).sample(pages, number)):
            yield step(f"build, {name} changed", [_build_again(copy)])
    copy.database.unlink()


@contextmanager
def _with_changes(pages: Sequence[Path]) -> Iterator[None]:
    """Change one fact of each page for as long as the block runs."""
    before = {page: page.read_bytes() for page in pages}
    try:
        for page, data in before.items():
            page.write_bytes(data.replace(_SIZE, _OTHER_SIZE, 1))
        yield
    finally:
        for page, data in before.items():
            page.write_bytes(data)
