"""The flow of a build: list → read → load, under a lock, in a folder that is always removed."""

import glob
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from etl.errors import FailedError, WrongUseError
from etl.files import swap_in
from etl.load import check_packages, write_database
from etl.lock import locked
from etl.problems import Problem, limited
from etl.reading import read_all
from etl.schema import APPLICATION_ID
from etl.sources.choice import Choice
from etl.sources.listing import list_files
from etl.staging import staging
from etl.unchanged import fingerprint, has_indexes, is_unchanged, read_ids
from etl.workers import Workers

MAX_JOBS = 8
"""Most processes that parse: each writes a database, and SQLite attaches ten at once."""

Progress = Callable[[str, int, int], None]
"""Told of each step: its name, how many are done, how many there are (0 where not known)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to read.

    Attributes:
        paths: pages, indexes, or folders searched for both.
        releases: only these releases; empty for all.
        packages: only these packages; empty for all.
        jobs: number of processes that parse.
    """

    paths: tuple[Path, ...]
    releases: Collection[str] = ()
    packages: Collection[str] = ()
    jobs: int = 1

    @property
    def choice(self) -> Choice:
        """Which of the sources there to read."""
        return Choice.of(self.releases, self.packages)


@dataclass(frozen=True, slots=True)
class Report:
    """What was read.

    Attributes:
        pages: number of pages found.
        indexes: number of indexes of build caches found.
        bytes: their size.
        refused: number of them that cannot be loaded.
        warnings: number of warnings.
        packages: number of packages.
        specs: number of different DAG hashes.
        releases: number of releases.
        written: whether the database was replaced.
    """

    pages: int
    indexes: int
    bytes: int
    refused: int = 0
    warnings: int = 0
    packages: int = 0
    specs: int = 0
    releases: int = 0
    written: bool = False


def check(request: Request, tell: Callable[[Problem], None], progress: Progress) -> Report:
    """Read everything, report every problem, keep nothing.

    Args:
        request: what to read.
        tell: called for each problem, its source being the file, sorted by path.
        progress: told of each step.

    Raises:
        WrongUseError: a path is missing or holds no sources.
        ChangedError: a source changed while it was read.
        FailedError: there is no room for temporary files.
    """
    with temporary_folder() as folder:
        with Workers(request.jobs) as workers:
            total = find_sources(folder, request, workers, progress)
            _read(folder, request, workers, progress, total)
        return _report(folder, tell)


def build(
    database: Path,
    request: Request,
    tell: Callable[[Problem], None],
    progress: Progress,
    *,
    skip_bad: bool = False,
    force: bool = False,
) -> Report | None:
    """Read everything and replace the database, if no source is bad or bad ones may be left out.

    Args:
        database: the file to replace or create.
        request: what to read.
        tell: called for each problem, its source being the file, sorted by path.
        progress: told of each step.
        skip_bad: leave bad sources out.
        force: build even if nothing changed.

    Returns:
        What was read, or None if nothing changed since the database was built.

    Raises:
        WrongUseError: a path is missing or holds no sources, or the database is another's file.
        FailedError: the database cannot be written.
        ChangedError: a source changed while it was read.
    """
    # A link stays a link: the file it leads to is replaced.
    database = Path(os.path.realpath(database))
    _check_ours(database)
    with failures(str(database)), _build_folder(database) as folder:
        with Workers(request.jobs) as workers:
            total = find_sources(folder, request, workers, progress)
            choice = request.choice
            if not force and is_unchanged(database, folder, choice, workers, skip_bad=skip_bad):
                return None
            _read(folder, request, workers, progress, total)
        report = _report(folder, tell)
        if report.refused and not skip_bad:
            return report
        progress("Writing the database", 0, 0)
        made_by = fingerprint(choice, of_indexes=has_indexes(folder))
        write_database(folder / "new.db", folder, made_by)
        swap_in(folder / "new.db", database)
        return replace(report, written=True)


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Tell of what cannot be written; `what` is named where the system names no file."""
    try:
        yield
    except sqlite3.Error as error:
        raise FailedError(f"{what}: cannot be written: {error}") from None
    except OSError as error:
        name = error.filename or what
        raise FailedError(f"{name}: cannot be written: {error.strerror}") from None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder for temporary files, which is removed.

    Raises:
        FailedError: there is no room for it, or for what is written there.
    """
    with (
        failures("temporary files"),
        tempfile.TemporaryDirectory() as name,
        failures(f"temporary files in {Path(name).parent}"),
    ):
        yield Path(name)


def check_at_rest(database: Path) -> None:
    """See that no program has left changes beside a database.

    SQLite would play them back into the database, or into a new one of its name.

    Raises:
        WrongUseError: there are some.
    """
    for suffix in ("-journal", "-wal"):
        if (rest := Path(f"{database}{suffix}")).exists():
            raise WrongUseError(f"{rest}: another program is changing the database; close it first")


def _check_ours(database: Path) -> None:
    with failures(str(database)):
        if not database.parent.is_dir():
            raise WrongUseError(f"{database}: the folder {database.parent} does not exist")
        check_at_rest(database)
        if not database.exists():
            return
        if not database.is_file():
            raise WrongUseError(f"{database}: not a file; name the database to write")
        if database.stat().st_size and read_ids(database)[0] != APPLICATION_ID:
            raise WrongUseError(
                f"{database}: not a database that this tool made, so it is not overwritten; "
                "name another file, or remove this one"
            )


@contextmanager
def _build_folder(database: Path) -> Iterator[Path]:
    """An empty folder beside the database, for one build at a time."""
    prefix = f".{database.name}.building-"
    with locked(database.with_name(f".{database.name}.lock"), str(database)):
        # What a killed build left. Its processes may write for a moment yet, so never there again.
        for left in database.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=database.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def find_sources(folder: Path, request: Request, workers: Workers, progress: Progress) -> int:
    """Write the list of what there is to read into the staging folder.

    Returns:
        How many sources are to be read: one that was found by several ways counts once.

    Raises:
        WrongUseError: a path is missing or holds no sources.
    """
    done = 0
    for count in list_files(folder, request.paths, request.choice, workers):
        done += count
        progress("Finding sources", done, 0)
    with closing(sqlite3.connect(folder / "files.db")) as files:
        (total,) = files.execute(
            "SELECT (SELECT count(*) FROM files) + (SELECT count(*) FROM indexes)"
        ).fetchone()
    return int(total)


def _read(folder: Path, request: Request, workers: Workers, progress: Progress, total: int) -> None:
    done = 0
    for count in read_all(folder, request.choice, workers):
        done += count
        progress("Reading", done, total)


def _report(folder: Path, tell: Callable[[Problem], None]) -> Report:
    with staging(folder) as staged:
        rows = staged.execute(
            "SELECT file, line, kind, message FROM all_problems"
            " JOIN (SELECT path, file FROM files.files UNION ALL"
            " SELECT path, file FROM files.indexes) ON path = source"
            " ORDER BY source, line, kind, message"
        )
        for _, of_file in groupby((Problem(*row) for row in rows), attrgetter("source")):
            for problem in limited(of_file):
                tell(problem)
        check_packages(staged)
        pages, indexes, size = staged.execute(
            "SELECT coalesce(sum(kind = 'page'), 0), coalesce(sum(kind = 'index'), 0),"
            " coalesce(sum(bytes), 0) FROM staged_sources"
        ).fetchone()
        refused, warnings = staged.execute(
            "SELECT count(DISTINCT CASE severity WHEN 'error' THEN source END),"
            " coalesce(sum(severity = 'warning'), 0) FROM all_problems"
        ).fetchone()
        packages, specs, releases = staged.execute(
            "SELECT count(*), coalesce(sum(num_specs), 0),"
            " (SELECT count(DISTINCT release) FROM staged_package_releases) FROM staged_packages"
        ).fetchone()
        return Report(pages, indexes, size, refused, warnings, packages, specs, releases)
