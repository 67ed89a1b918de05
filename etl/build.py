"""The flow of a build: scan → stage → load, under a lock, in a folder that is always removed."""

import fcntl
import glob
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from etl.find import WrongUseError
from etl.load import clashes, staging, swap_in, write_database
from etl.scan import scan, select, tell_apart
from etl.schema import APPLICATION_ID
from etl.stage import stage
from etl.workers import Workers

MAX_JOBS = 8
"""Most processes that parse: each writes a database, and SQLite attaches ten at once."""

Progress = Callable[[str, int, int], None]
"""Told of each step: its name, how many are done, how many there are (0 where not known)."""


class FailedError(Exception):
    """The build could not be finished; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to read.

    Attributes:
        paths: pages, or folders searched for pages.
        releases: only these releases; empty for all.
        packages: only these packages; empty for all.
        jobs: number of processes that parse.
    """

    paths: tuple[Path, ...]
    releases: Collection[str] = ()
    packages: Collection[str] = ()
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """One problem as a person is told: file, line (0 for none), severity, kind, message."""

    file: str
    line: int
    severity: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was read.

    Attributes:
        pages: number of pages found.
        bytes: their size.
        refused: number of them that cannot be loaded.
        warnings: number of warnings.
        packages: number of packages.
        specs: number of different DAG hashes.
        releases: number of releases.
        written: whether the database was replaced.
    """

    pages: int
    bytes: int
    refused: int = 0
    warnings: int = 0
    packages: int = 0
    specs: int = 0
    releases: int = 0
    written: bool = False


def check(request: Request, tell: Callable[[FoundProblem], None], progress: Progress) -> Report:
    """Read everything, report every problem, keep nothing.

    Args:
        request: what to read.
        tell: called for each problem, sorted by path.
        progress: told of each step.

    Raises:
        WrongUseError: a path is missing or holds no pages.
        ChangedError: a page changed while it was read.
        FailedError: there is no room for temporary files.
    """
    with _failures("temporary files"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Workers(request.jobs) as workers:
            _scan(folder, request, workers, progress)
            _stage(folder, workers, progress)
        return _report(folder, tell)


def build(
    database: Path,
    request: Request,
    tell: Callable[[FoundProblem], None],
    progress: Progress,
    *,
    skip_bad: bool = False,
    force: bool = False,
) -> Report | None:
    """Read everything and replace the database, if no page is bad or bad ones may be left out.

    Args:
        database: the file to replace or create.
        request: what to read.
        tell: called for each problem, sorted by path.
        progress: told of each step.
        skip_bad: leave bad pages out.
        force: build even if nothing changed.

    Returns:
        What was read, or None if nothing changed since the database was built.

    Raises:
        WrongUseError: a path is missing or holds no pages, or the database is another's file.
        FailedError: the database cannot be written.
        ChangedError: a page changed while it was read.
    """
    # A link stays a link: the file it leads to is replaced.
    database = Path(os.path.realpath(database))
    _check_ours(database)
    with _failures(str(database)), _build_folder(database) as folder:
        with Workers(request.jobs) as workers:
            _scan(folder, request, workers, progress)
            if not force and _is_unchanged(database, folder, skip_bad=skip_bad):
                return None
            _stage(folder, workers, progress)
        report = _report(folder, tell)
        if report.refused and not skip_bad:
            return report
        progress("Writing the database", 0, 0)
        write_database(folder / "new.db", folder, tool_fingerprint())
        swap_in(folder / "new.db", database)
        return replace(report, written=True)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise FailedError(f"{what}: cannot be written: {error}") from None
    except OSError as error:
        name = error.filename or what
        raise FailedError(f"{name}: cannot be written: {error.strerror}") from None


def _check_ours(database: Path) -> None:
    with _failures(str(database)):
        if not database.parent.is_dir():
            raise WrongUseError(f"{database}: the folder {database.parent} does not exist")
        # SQLite would play them back, into a new database too.
        for suffix in ("-journal", "-wal"):
            if (rest := Path(f"{database}{suffix}")).exists():
                raise WrongUseError(
                    f"{rest}: another program is changing the database; close it first"
                )
        if not database.exists():
            return
        if not database.is_file():
            raise WrongUseError(f"{database}: not a file; name the database to write")
        if database.stat().st_size and read_ids(database)[0] != APPLICATION_ID:
            raise WrongUseError(
                f"{database}: not a database that this tool made, so it is not overwritten; "
                "name another file, or remove this one"
            )


def read_ids(database: Path) -> tuple[int, int]:
    """`PRAGMA application_id` and `user_version` of a file; zeros if it is no SQLite database."""
    with database.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        return 0, 0
    return int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big")


@lru_cache(maxsize=1)
def tool_fingerprint() -> int:
    """31 bits that differ when the tool, or a library that decides what it writes, does."""
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    for part in (version("archspec"), version("sqlite-utils"), sqlite3.sqlite_version):
        digest.update(part.encode())
    return int.from_bytes(digest.digest()[:4], "big") >> 1


@contextmanager
def _build_folder(database: Path) -> Iterator[Path]:
    """An empty folder beside the database, for one build at a time."""
    prefix = f".{database.name}.building-"
    with _lock(database.with_name(f".{database.name}.lock"), database):
        # What a killed build left. Its processes may write for a moment yet, so never there again.
        for left in database.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=database.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(file: Path, database: Path) -> Iterator[None]:
    handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedError(
                f"{database}: another build is writing it; wait for its end"
            ) from None
        if not _is_same_file(handle, file):
            # The other build ended, and removed the file, between our opening and locking it.
            raise FailedError(f"{database}: another build just wrote it; run the command again")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _is_same_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _scan(folder: Path, request: Request, workers: Workers, progress: Progress) -> None:
    done = 0
    for count in scan(folder, request.paths, workers):
        done += count
        progress("Finding pages", done, 0)
    select(folder, request.releases, request.packages)
    tell_apart(folder)


def _is_unchanged(database: Path, folder: Path, *, skip_bad: bool) -> bool:
    """Whether the database was made by this tool from exactly these pages."""
    if not database.exists() or read_ids(database) != (APPLICATION_ID, tool_fingerprint()):
        return False
    # A damaged database is replaced.
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(folder / "files.db", uri=True)) as files,
    ):
        # What cannot be read is looked at again: the reason may be another one.
        if files.execute("SELECT 1 FROM files WHERE bytes = 0 LIMIT 1").fetchone():
            return False
        files.execute("ATTACH ? AS old", [f"{database.as_uri()}?mode=ro"])
        counts = "SELECT (SELECT count(*) FROM main.files) = (SELECT count(*) FROM old.pages)"
        others = (
            "SELECT 1 FROM main.files LEFT JOIN old.pages USING (path)"
            " WHERE (files.bytes, files.sha256) IS NOT (pages.bytes, pages.sha256) LIMIT 1"
        )
        # Every path is there once on both sides.
        if not files.execute(counts).fetchone()[0] or files.execute(others).fetchone():
            return False
        # Left out last time; without --skip-bad it must be reported now.
        bad = files.execute("SELECT 1 FROM old.pages WHERE release IS NULL LIMIT 1").fetchone()
        return skip_bad or not bad
    return False


def _stage(folder: Path, workers: Workers, progress: Progress) -> None:
    with closing(sqlite3.connect(folder / "files.db")) as files:
        (total,) = files.execute("SELECT count(*) FROM files").fetchone()
    refused: dict[str, str] = {}
    while True:
        done = 0
        for count in stage(folder, refused, workers):
            done += count
            progress("Reading pages", done, total)
        with staging(folder) as staged:
            found = clashes(staged, refused)
        if not found:
            return
        refused |= found


def _report(folder: Path, tell: Callable[[FoundProblem], None]) -> Report:
    with staging(folder) as staged:
        for row in staged.execute(
            "SELECT file, line, severity, kind, message FROM all_problems"
            " JOIN files.files ON files.path = page ORDER BY page, line, kind, message"
        ):
            tell(FoundProblem(*row))

        pages, size = staged.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM files"
        ).fetchone()
        refused, warnings = staged.execute(
            "SELECT count(DISTINCT CASE severity WHEN 'error' THEN page END),"
            " coalesce(sum(severity = 'warning'), 0) FROM all_problems"
        ).fetchone()
        packages, specs, releases = staged.execute(
            "SELECT count(*), coalesce(sum(num_specs), 0),"
            " (SELECT count(DISTINCT release) FROM staged_package_releases) FROM staged_packages"
        ).fetchone()
        return Report(pages, size, refused, warnings, packages, specs, releases)
