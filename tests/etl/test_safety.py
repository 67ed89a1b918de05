"""Whatever happens to a build, the database is the old one or the new one, and nothing is left."""

import errno
import hashlib
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import etl.build
import etl.reading
from benchmarks.corpus import Size, write_corpus
from etl.cli import main
from tests.pages import REAL, page, spec, write, write_specs

ROOT = Path(__file__).parents[2]

# Makes many small tasks of few pages, and can stop itself at the start of a step.
DRIVER = """
import os, signal
import etl.build, etl.reading
from etl.__main__ import main

etl.reading.FILES_IN_TASK = 8

def stop_before(name):
    step = getattr(etl.build, name)
    def stopped(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGSTOP)
        return step(*arguments, **keywords)
    setattr(etl.build, name, stopped)

def stop_amid(name):
    step = getattr(etl.build, name)
    def stopped(*arguments, **keywords):
        for number, result in enumerate(step(*arguments, **keywords)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGSTOP)
            yield result
    setattr(etl.build, name, stopped)

if __name__ == "__main__":
    if name := os.environ.get("STOP_BEFORE"):
        stop_before(name)
    if name := os.environ.get("STOP_AMID"):
        stop_amid(name)
    main()
"""
STEPS = (
    {"STOP_AMID": "list_files"},
    {"STOP_BEFORE": "is_unchanged"},
    {"STOP_AMID": "read_all"},
    {"STOP_BEFORE": "_report"},
    {"STOP_BEFORE": "write_database"},
    {"STOP_BEFORE": "swap_in"},
)
INTERRUPTED = "Error: Interrupted.\n"

Limit = Callable[[], None]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 140 pages of four releases; only for reading."""
    folder = tmp_path_factory.mktemp("pages")
    write_corpus(folder, Size(releases=4, packages=36, entries=1200, develop=0.3), seed=1, jobs=1)
    return folder / "_cache"


@pytest.fixture(scope="module")
def two_databases(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The bytes of the database of one release, and of that of all."""
    folder = tmp_path_factory.mktemp("built")
    old = built_here(folder / "old.db", pages / "develop")
    return old, built_here(folder / "new.db", pages)


def built_here(database: Path, *arguments: object) -> bytes:
    result = CliRunner().invoke(main, ["build", str(database), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return database.read_bytes()


class Place:
    """A folder with the database of one release, where all releases are built."""

    def __init__(self, folder: Path, pages: Path, databases: tuple[bytes, bytes]) -> None:
        self.pages = pages
        self.old, self.new = databases
        self.folder = folder / "database"
        self.temporary = folder / "temporary"
        self.folder.mkdir()
        self.temporary.mkdir()
        self.database = self.folder / "a.db"
        self.database.write_bytes(self.old)
        self._driver = folder / "driver.py"
        self._driver.write_text(DRIVER)
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, *options: str, limit: Limit | None = None, variables: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a build in a process group of its own, as a terminal does."""
        started = subprocess.Popen(
            [sys.executable, self._driver, "build", *options, self.database, self.pages],
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary), "LC_ALL": "C.UTF-8"}
            | (variables or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=limit,
        )
        self._started.append(started)
        return started

    def run(self, *options: str, limit: Limit | None = None) -> tuple[int, str]:
        """Build; the exit status and the last line of the messages."""
        started = self.start(*options, limit=limit)
        _, messages = started.communicate()
        assert "Traceback" not in messages
        return started.returncode, messages.splitlines(keepends=True)[-1]

    def start_and_stop(self, step: dict[str, str], *options: str) -> subprocess.Popen[str]:
        """Start a build that has stopped itself at a step."""
        started = self.start("--jobs", "2", *options, variables=step)
        _, status = os.waitpid(started.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        return started

    def is_old(self) -> bool:
        return self.database.read_bytes() == self.old

    def is_whole(self) -> bool:
        return self.database.read_bytes() in (self.old, self.new)

    def left(self) -> list[str]:
        """What is in the two folders beside the database."""
        found = [*self.folder.iterdir(), *self.temporary.iterdir()]
        return sorted(file.name for file in found if file != self.database)

    def build_all(self) -> None:
        """Build without disturbance: the database is new and alone."""
        assert self.run("--jobs", "1")[0] == 0
        assert self.database.read_bytes() == self.new
        assert self.left() == []

    def end(self) -> None:
        for one in self._started:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.communicate()


@pytest.fixture
def place(tmp_path: Path, pages: Path, two_databases: tuple[bytes, bytes]) -> Iterator[Place]:
    place = Place(tmp_path, pages, two_databases)
    yield place
    place.end()


def running(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # pid (name) state parent group …
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(folder.name))
    return found


def has_ended(group: int) -> bool:
    return not running(group)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(step.values()))
def test_killed_at_a_step(place: Place, step: dict[str, str]) -> None:
    started = place.start_and_stop(step)
    os.kill(started.pid, signal.SIGKILL)
    wait_until(partial(has_ended, started.pid))
    assert place.is_old()
    place.build_all()


def test_killed_at_any_moment(place: Place) -> None:
    started = time.monotonic()
    place.build_all()
    whole = time.monotonic() - started
    for turn in range(8):
        place.database.write_bytes(place.old)
        killed = place.start("--jobs", "2" if turn % 2 else "1")
        time.sleep(whole * turn / 8)
        killed.kill()
        wait_until(partial(has_ended, killed.pid))
        assert place.is_whole()
    place.build_all()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: " ".join(step.values()))
def test_ctrl_c_at_a_step(place: Place, step: dict[str, str]) -> None:
    started = place.start_and_stop(step)
    os.killpg(started.pid, signal.SIGINT)
    os.killpg(started.pid, signal.SIGCONT)
    output, messages = started.communicate()
    assert (started.returncode, output) == (1, "")
    said = messages.splitlines(keepends=True)
    assert [line for line in said if not line.endswith("…\n")] == [INTERRUPTED]
    wait_until(partial(has_ended, started.pid))
    assert place.is_old()
    assert place.left() == []


def test_ctrl_c_while_processes_start(place: Place) -> None:
    started = place.start("--jobs", "3", "--quiet")
    wait_until(lambda: len(running(started.pid)) > 2)
    os.killpg(started.pid, signal.SIGINT)
    assert started.communicate() == ("", INTERRUPTED)
    assert started.returncode == 1
    assert (place.is_old(), place.left()) == (True, [])


def test_ctrl_c_again_and_again(place: Place) -> None:
    started = place.start_and_stop({"STOP_AMID": "read_all"}, "--quiet")
    os.killpg(started.pid, signal.SIGCONT)
    while running(started.pid):
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGINT)
        time.sleep(0.02)
    _, messages = started.communicate()
    assert "Traceback" not in messages
    assert place.is_old()
    place.build_all()


def test_ended_by_a_service_manager_again_and_again(place: Place) -> None:
    started = place.start_and_stop({"STOP_AMID": "read_all"}, "--quiet")
    os.kill(started.pid, signal.SIGCONT)
    while started.poll() is None:
        started.terminate()
        time.sleep(0.02)
    assert started.communicate() == ("", "")
    assert started.returncode == 128 + signal.SIGTERM
    wait_until(partial(has_ended, started.pid))
    assert (place.is_old(), place.left()) == (True, [])


def test_ctrl_c_when_the_new_database_is_there_already(
    tmp_path: Path, pages: Path, two_databases: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two_databases
    (tmp_path / "a.db").write_bytes(old)
    fsync = os.fsync

    def interrupted(handle: int) -> None:
        fsync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    result = CliRunner().invoke(main, ["build", "--quiet", str(tmp_path / "a.db"), str(pages)])
    assert (tmp_path / "a.db").read_bytes() == new
    assert "nothing was changed" not in result.output


def test_a_process_that_was_killed_is_reported(place: Place) -> None:
    started = place.start_and_stop({"STOP_AMID": "read_all"}, "--quiet")
    for process in running(started.pid):
        if b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    os.kill(started.pid, signal.SIGCONT)
    assert started.communicate()[1] == (
        "Error: a process that read pages was killed, perhaps because memory ran out; "
        "try again with --jobs 1\n"
    )
    assert started.returncode == 1
    assert (place.is_old(), place.left()) == (True, [])


# ---- no room, no permission --------------------------------------------------------------------


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["build", "--help"], ["check", REAL]]
)
def test_a_full_standard_output(arguments: list[str | Path]) -> None:
    with FULL.open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "etl", *arguments],
            cwd=ROOT,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = [line for line in result.stderr.splitlines() if not line.endswith("…")]
    why = os.strerror(errno.ENOSPC)
    assert (result.returncode, said) == (
        1,
        [f"Error: The standard output cannot be written: {why}"],
    )


@pytest.mark.parametrize("kilobytes", [0, 8, 100, 1000])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_that_may_not_grow(place: Place, kilobytes: int, jobs: str) -> None:
    assert kilobytes * 1024 < len(place.new)
    most = (kilobytes * 1024, kilobytes * 1024)
    status, said = place.run(
        "--jobs", jobs, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, most)
    )
    assert status == 1
    assert said.startswith(f"Error: {place.database}: cannot be written: ")
    assert (place.is_old(), place.left()) == (True, [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.getuid() != 0 or mount is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_specs(few, "develop", "zlib", spec("a"))
    old = built_here(small_disk / "a.db", few)
    result = CliRunner().invoke(main, ["build", "--quiet", str(small_disk / "a.db"), str(REAL)])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {small_disk}/a.db: cannot be written: database or disk is full\n",
    )
    assert (small_disk / "a.db").read_bytes() == old
    assert list(small_disk.iterdir()) == [small_disk / "a.db"]


def test_no_room_for_what_check_keeps_meanwhile(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "others.txt").write_bytes(bytes(1000 * 1024))
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    result = CliRunner().invoke(main, ["check", "--quiet", str(REAL)])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: temporary files in {small_disk}: cannot be written: database or disk is full\n",
    )
    assert list(small_disk.iterdir()) == [small_disk / "others.txt"]


# Imports all, then gives up root, whom no permission stops, then runs the command.
NOBODY = """
import os, sys, tempfile
from etl.cli import main

with tempfile.TemporaryDirectory() as folder:
    main(["build", "--quiet", folder + "/a.db", sys.argv[1]], standalone_mode=False)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
main(sys.argv[2:], prog_name="spack-cache-to-sqlite")
"""


def as_nobody(*arguments: object) -> tuple[int, str]:
    """Run a command as an ordinary user: exit status and last line of the messages."""
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, REAL, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.fixture
def open_place(tmp_path: Path) -> Iterator[Path]:
    """A folder that anybody can reach, with a folder `closed` that nobody can."""
    above = (tmp_path, *tmp_path.parents)
    closed_above = [folder for folder in above if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode for folder in closed_above}
    for folder in closed_above:
        folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir()
    yield tmp_path
    closed.chmod(0o755)
    for folder, mode in modes.items():
        folder.chmod(mode)


def test_a_folder_that_may_not_be_written(open_place: Path) -> None:
    closed = open_place / "closed"
    old = built_here(closed / "a.db", REAL)
    closed.chmod(0o555)
    pages = open_place / "pages"
    write_specs(pages, "develop", "zlib", spec("a"))
    status, said = as_nobody("build", "--jobs", "1", closed / "a.db", pages)
    assert status == 1
    assert said.endswith(": cannot be written: Permission denied")
    assert (closed / "a.db").read_bytes() == old
    assert list(closed.iterdir()) == [closed / "a.db"]


def test_a_folder_that_may_not_be_entered(open_place: Path) -> None:
    closed = open_place / "closed"
    pages = open_place / "pages"
    write_specs(pages, "develop", "zlib", spec("a"))
    closed.chmod(0o000)
    status, said = as_nobody("build", "--jobs", "1", closed / "a.db", pages)
    assert status in (1, 2)
    assert said.endswith("Permission denied")


def test_a_page_that_may_not_be_read(open_place: Path) -> None:
    file = write_specs(open_place / "pages", "develop", "zlib", spec("a"))
    file.chmod(0o000)
    write_specs(open_place / "pages", "develop", "xz", spec("b"))
    (open_place / "database").mkdir(mode=0o777)
    (open_place / "database").chmod(0o777)
    database = open_place / "database" / "a.db"
    status, said = as_nobody("build", "--skip-bad", "--jobs", "1", database, open_place / "pages")
    assert (status, said) == (0, "Writing the database…")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT source, kind, message FROM problems").fetchall() == [
            ("develop/zlib/specs.md", "unreadable", "cannot be read: Permission denied")
        ]
        assert connection.execute("SELECT name FROM packages").fetchall() == [("xz",)]


def test_a_folder_of_pages_that_may_not_be_read(open_place: Path) -> None:
    write_specs(open_place, "closed", "zlib", spec("a"))
    (open_place / "closed").chmod(0o000)
    assert as_nobody("check", "--jobs", "1", open_place) == (
        2,
        f"Error: {open_place}/closed: cannot read this folder: Permission denied",
    )


# ---- others at work ----------------------------------------------------------------------------


def test_two_builds_at_once(place: Place) -> None:
    first = place.start_and_stop({"STOP_AMID": "read_all"})
    assert place.run() == (
        1,
        f"Error: {place.database}: another run is writing it; wait for its end\n",
    )
    assert place.is_old()
    os.kill(first.pid, signal.SIGCONT)
    first.communicate()
    assert first.returncode == 0
    assert place.database.read_bytes() == place.new
    assert place.left() == []


def test_builds_that_race(place: Place) -> None:
    racing = [place.start("--jobs", "1", "--quiet", "--force") for _ in range(4)]
    ends = [(*one.communicate(), one.returncode) for one in racing]
    lost = {
        ("", f"Error: {place.database}: another run is writing it; wait for its end\n", 1),
        ("", f"Error: {place.database}: another run just wrote it; run the command again\n", 1),
    }
    assert ("", "", 0) in ends
    assert set(ends) - {("", "", 0)} <= lost
    assert place.database.read_bytes() == place.new
    assert place.left() == []


def test_readers_see_the_old_or_the_new(
    tmp_path: Path, pages: Path, two_databases: tuple[bytes, bytes]
) -> None:
    database = tmp_path / "a.db"
    for number, content in enumerate(two_databases):
        (tmp_path / f"{number}.db").write_bytes(content)
    whole = [counts(tmp_path / f"{number}.db") for number in range(2)]
    shutil.copy(tmp_path / "0.db", database)
    seen: list[tuple[int, ...]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(counts(database))

    readers = [threading.Thread(target=read) for _ in range(2)]
    with closing(sqlite3.connect(database)) as from_before:
        assert all_counts(from_before) == whole[0]
        for reader in readers:
            reader.start()
        try:
            for turn in range(6):
                built_here(database, "--jobs", "1", pages if turn % 2 == 0 else pages / "develop")
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert all_counts(from_before) == whole[0]
    assert set(seen) == set(whole)


def counts(database: Path) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return all_counts(connection)


def all_counts(connection: sqlite3.Connection) -> tuple[int, ...]:
    # One statement for each table, as a page of Datasette runs several.
    tables = ("packages", "specs", "spec_stacks", "spec_releases", "spec_variants", "sources")
    with connection:
        connection.execute("BEGIN")
        return tuple(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
        )


def change_behind_list(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Make a change when the pages have been listed."""
    read_all = etl.build.read_all

    def changed(*arguments: Any) -> Iterator[int]:
        change()
        yield from read_all(*arguments)

    monkeypatch.setattr(etl.build, "read_all", changed)


def test_a_page_that_changes_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_specs(tmp_path / "pages", "develop", "zlib", spec("a"))
    text = page("zlib", "develop", [spec("a"), spec("b")])
    change_behind_list(monkeypatch, partial(file.write_text, text))
    built_here(tmp_path / "a.db", tmp_path / "pages")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        found = connection.execute("SELECT num_specs, sha256 FROM sources").fetchall()
    assert found == [(2, hashlib.sha256(text.encode()).hexdigest())]


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_text("oops")])
def test_a_page_that_changes_between_two_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    write_specs(tmp_path / "pages", "develop", "xz", spec("a"))
    file = write_specs(tmp_path / "pages", "develop", "zlib", spec("a"))
    old = built_here(tmp_path / "a.db", "--skip-bad", tmp_path / "pages")
    take_back = etl.reading.take_back

    def changed(*arguments: Any) -> None:
        change(file)
        take_back(*arguments)

    monkeypatch.setattr(etl.reading, "take_back", changed)
    arguments = ["--quiet", "--force", str(tmp_path / "a.db"), str(tmp_path / "pages")]
    result = CliRunner().invoke(main, ["build", *arguments])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {file} changed while it was read; run the command again\n",
    )
    assert (tmp_path / "a.db").read_bytes() == old
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.db", "pages"]


def test_a_page_that_goes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_specs(tmp_path / "pages", "develop", "zlib", spec("a"))
    change_behind_list(monkeypatch, file.unlink)
    result = CliRunner().invoke(main, ["check", "--quiet", str(tmp_path / "pages")])
    assert (result.exit_code, result.output) == (
        1,
        f"{file}: cannot be read: No such file or directory [unreadable]\nError: 1 bad source.\n",
    )


# ---- odd files and folders ---------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs a quiet command in an empty folder: exit status, and the last line of what it says."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [command, "--quiet", *arguments])
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, result.output.rpartition("\n\n")[2]

    return run


def query(sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect("a.db")) as connection:
        return connection.execute(sql).fetchall()


Run = Callable[..., tuple[int, str]]


def test_a_pipe_or_a_device_is_no_database(run: Run) -> None:
    os.mkfifo("pipe.db")
    Path("zero.db").symlink_to("/dev/zero")
    for name, file in (("pipe.db", Path("pipe.db").resolve()), ("zero.db", "/dev/zero")):
        assert run("build", name, str(REAL)) == (
            2,
            f"Error: {file}: not a file; name the database to write\n",
        )


def test_a_name_too_long_for_a_database(run: Run) -> None:
    # One is too long itself, the other with what the lock's name adds.
    for name in ("a" * 300, "a" * 250):
        status, said = run("build", name, str(REAL))
        assert status in (1, 2)
        assert said.endswith(f"{os.strerror(errno.ENAMETOOLONG)}\n")
    assert list(Path().iterdir()) == []


def test_what_another_program_left_of_a_database_that_is_gone(run: Run) -> None:
    # SQLite would play it back into the new database.
    for suffix in ("-journal", "-wal"):
        rest = Path(f"a.db{suffix}")
        rest.write_text("changes")
        status, said = run("build", "a.db", str(REAL))
        assert (status, said.split(": ")[1]) == (2, str(rest.resolve()))
        assert not Path("a.db").exists()
        rest.unlink()


def test_a_database_that_was_given_a_write_ahead_log(run: Run) -> None:
    built_here(Path("a.db"), REAL)
    query("PRAGMA journal_mode = WAL")
    # An empty log that the first left would make the second think that it is in use.
    for _ in range(2):
        assert run("build", "a.db", str(REAL)) == (0, "")
    assert not Path("a.db-wal").exists()


@pytest.mark.parametrize("size", [100, 5000, 100_000, 800_000])
def test_a_database_that_was_cut_is_replaced(run: Run, size: int) -> None:
    whole = built_here(Path("a.db"), REAL)
    os.truncate("a.db", size)
    assert run("build", "a.db", str(REAL)) == (0, "")
    assert Path("a.db").read_bytes() == whole


def test_a_pipe_called_as_a_page(run: Run) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    Path("pages/develop/xz").mkdir()
    os.mkfifo("pages/develop/xz/specs.md")
    assert run("build", "--skip-bad", "a.db", "pages")[0] == 0
    assert query("SELECT path, bytes FROM sources WHERE release IS NULL") == [
        ("develop/xz/specs.md", 0)
    ]
    assert query("SELECT severity, kind, message FROM problems") == [
        ("error", "unreadable", "not a regular file")
    ]
    assert run("verify", "a.db", "pages") == (0, "")


def test_what_is_wrong_with_an_unreadable_page_is_looked_at_again(run: Run) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    file = Path("pages/develop/xz/specs.md")
    file.parent.mkdir()
    file.symlink_to("specs.md")
    run("build", "--skip-bad", "a.db", "pages")
    file.unlink()
    os.mkfifo(file)
    run("build", "--skip-bad", "a.db", "pages")
    assert query("SELECT message FROM problems") == [("not a regular file",)]


def test_a_folder_called_as_a_page_is_searched(run: Run) -> None:
    write_specs(Path("pages/specs.md"), "develop", "zlib", spec("a"))
    assert run("build", "a.db", "pages") == (0, "")
    assert query("SELECT path FROM sources") == [("develop/zlib/specs.md",)]


def test_a_link_called_as_a_page_that_leads_nowhere(run: Run) -> None:
    Path("pages/develop/zlib").mkdir(parents=True)
    Path("pages/develop/zlib/specs.md").symlink_to("gone")
    assert run("check", "pages") == (
        1,
        "pages/develop/zlib/specs.md: cannot be read: No such file or directory [unreadable]\n"
        "Error: 1 bad source.\n",
    )


def test_folders_that_link_to_each_other(run: Run) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    Path("pages/itself").symlink_to("itself")
    # Ten folders, each with links to all: searched by every way, they would take years.
    for one in range(10):
        Path(f"pages/{one}").mkdir()
        for other in range(10):
            Path(f"pages/{one}/{other}").symlink_to(f"../{other}")
    Path("pages/0/up").symlink_to("../../pages")
    write_specs(Path("pages/0/more"), "develop", "xz", spec("b"))
    assert run("build", "a.db", "pages") == (0, "")
    assert query("SELECT path FROM sources") == [
        ("develop/xz/specs.md",),
        ("develop/zlib/specs.md",),
    ]
    assert run("verify", "a.db", "pages") == (0, "")


def test_links_in_folders_that_are_shared_out(run: Run) -> None:
    for number, (one, other) in enumerate(product("abcde", "fghijkmn")):
        write_specs(Path("pages"), "develop", f"p{number}", spec(one + other))
    write_specs(Path("elsewhere"), "v0.23.1", "xz", spec("xb"))
    Path("pages/develop/p7/out").symlink_to("../../../elsewhere/v0.23.1")
    Path("pages/develop/p8/out").symlink_to("../../../elsewhere/v0.23.1/xz")
    Path("pages/develop/p30/up").symlink_to("../..")
    told = (
        "a link that leads out of the folder that was named; name what it leads to [unreadable]\n"
    )
    assert run("build", "a.db", "pages", "--jobs", "2") == (
        1,
        f"pages/develop/p7/out: {told}pages/develop/p8/out: {told}"
        f"Error: 2 bad sources; a.db was not changed. Correct the sources, or leave them out with "
        "--skip-bad.\n",
    )
    assert run("build", "a.db", "pages", "--jobs", "2", "--skip-bad")[0] == 0
    assert query("SELECT count(*), sum(release = 'develop') FROM sources") == [(42, 40)]
    assert run("verify", "a.db", "pages") == (0, "")


def test_folders_nested_deeper_than_python_calls(run: Run, tmp_path: Path) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    os.chdir("pages")
    for _ in range(sys.getrecursionlimit() + 100):
        Path("a").mkdir()
        os.chdir("a")
    os.chdir(tmp_path)
    try:
        assert run("build", "a.db", "pages") == (0, "")
    finally:
        # Python's own way to remove folders cannot.
        subprocess.run(["rm", "-r", "pages"], check=True)
    assert query("SELECT count(*) FROM sources") == [(1,)]


def test_names_that_are_not_utf8(run: Run) -> None:
    text = page("zlib", "develop", [spec("a")])
    folder = os.fsdecode(b"pages/develop/z\xff")
    Path(folder).mkdir(parents=True)
    Path(folder, "specs.md").write_text(text)
    named = os.fsdecode(b"zlib\xfe.md")
    Path(named).write_text(page("xz", "develop", [spec("b")]))
    assert run("build", "a.db", "pages", named) == (0, "")
    assert query("SELECT path FROM sources") == [
        (r"develop/xz/zlib\xfe.md",),
        (r"develop/z\xff/specs.md",),
    ]
    assert query("SELECT kind FROM problems") == [("path-package",)]
    assert run("verify", "a.db", "pages", named) == (0, "")
    database = os.fsdecode(b"\xfd.db")
    assert run("build", database, "pages") == (0, "")
    assert Path(database).is_file()


def test_what_was_asked_for_is_not_utf8(run: Run) -> None:
    assert run("check", "-r", os.fsdecode(b"v\xff"), str(REAL)) == (
        2,
        "Error: nothing of release v\\xff in these paths\n",
    )


def test_a_name_that_breaks_the_line(run: Run) -> None:
    write(Path("pages"), "develop", "z\nlib", "no page")
    assert run("check", "pages") == (
        1,
        "pages/develop/z\\nlib/specs.md:1: found 'no page', expected --- as the first line"
        " [front-matter]\nError: 1 bad source.\n",
    )
    write_specs(Path("pages"), "develop", "z\nlib", spec("a"))
    assert run("build", "a.db", "pages") == (0, "")
    assert query("SELECT path FROM sources") == [("develop/z\\nlib/specs.md",)]
    assert run("verify", "a.db", "pages") == (0, "")


def test_a_file_of_the_kernel_that_has_no_end(run: Run) -> None:
    Path("page.md").symlink_to("/proc/self/maps")
    status, said = run("check", "page.md")
    assert (status, said.splitlines()[-1]) == (1, "Error: 1 bad source.")


def test_a_file_with_the_path_that_a_numbered_one_gets(run: Run) -> None:
    texts = [page("zlib", "develop", [spec(name)]) for name in "abc"]
    write(Path("one"), "develop", "zlib", texts[0])
    write(Path("two"), "develop", "zlib", texts[1])
    Path("specs.md (2)").write_text(texts[2])
    assert run("build", "--skip-bad", "a.db", "one", "two", "specs.md (2)")[0] == 0
    paths = [path for (path,) in query("SELECT path FROM sources ORDER BY path")]
    assert paths == [
        "develop/zlib/specs.md",
        "develop/zlib/specs.md (2)",
        "develop/zlib/specs.md (2) (2)",
    ]
