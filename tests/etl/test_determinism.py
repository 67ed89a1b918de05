"""The same pages give the same file, byte for byte, however and wherever it is built."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import etl.reading
from benchmarks.corpus import Size, write_corpus
from etl.cli import main
from tests.pages import page, spec, write, write_specs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of five releases with every kind of dispute between pages; only for reading."""
    folder = tmp_path_factory.mktemp("pages")
    write_corpus(folder, Size(releases=5, packages=12, entries=300, develop=0.3), seed=2, jobs=1)
    cache = folder / "_cache"
    # Releases that differ in what they know, say and list, and a key that many pages have.
    for number, release in enumerate(("develop", "develop-2025-07-06", "v0.23.1", "v0.18")):
        changes = {
            "compiler": ("none", "gcc@13.2.0", "gcc@12.1.0", "gcc@=12.1.0")[number],
            "variants": [f"n={value}" for value in range(number, 4)] + ["+z", "e=ü", "+z"],
            "mood": number,
        }
        write_specs(cache, release, "zlib", spec("z", **changes), spec("zz"))
    # Pages that nobody can load, a hash of another package, copies, two pages of one package.
    write_specs(cache, "v0.23.1", "xz", spec("z"), spec("x"))
    write(cache, "develop", "bad", "no page")
    write(cache, "v0.18", "worse", b"---\n\xff")
    write(cache, "v0.23.1", "copy", page("one", "v0.18", [spec("c")]))
    write(cache, "v0.18", "one", page("one", "v0.18", [spec("c")]))
    write(cache, "v0.18", "another", page("one", "v0.18", [spec("d")]))
    write(folder / "more", "develop", "zlib", page("zlib", "develop", [spec("m")]))
    return folder


@pytest.fixture(scope="module")
def expected(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the database of all pages, built in the plainest way."""
    database = tmp_path_factory.mktemp("expected") / "a.db"
    result = invoke(database, [pages], "--jobs", "1")
    assert "two-pages" in result
    assert "two-packages" in result
    assert "conflict" in result
    return hashlib.sha256(database.read_bytes()).hexdigest()


def invoke(database: Path, paths: Sequence[Path], *options: str) -> str:
    arguments = ["build", "--skip-bad", *options, str(database), *map(str, paths)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


Build = Callable[..., str]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a database of these paths: its SHA-256."""

    def build(paths: Sequence[Path], *options: str) -> str:
        database = tmp_path / "a.db"
        invoke(database, paths, "--force", *options)
        return hashlib.sha256(database.read_bytes()).hexdigest()

    return build


def test_the_order_of_the_arguments(pages: Path, expected: str, build: Build) -> None:
    releases = sorted((pages / "_cache").iterdir())
    files = sorted(pages.rglob("specs.md"))
    assert build([*releases, pages / "more"]) == expected
    assert build([pages / "more", *reversed(releases)]) == expected
    assert build(files[::-1]) == expected
    assert build([*files[1::2], *files[::2]]) == expected


def test_what_is_named_twice(pages: Path, expected: str, build: Build) -> None:
    some = pages / "_cache" / "develop"
    assert build([some, pages, some / "zlib" / "specs.md", pages]) == expected


def test_another_folder(pages: Path, expected: str, build: Build, tmp_path: Path) -> None:
    moved = tmp_path / "an other\nfolder"
    # Made in another order, so that the file system lists it in another.
    for file in sorted(pages.rglob("specs.md"), reverse=True):
        copy = moved / file.relative_to(pages)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    assert build([moved]) == expected
    link = tmp_path / "link"
    link.symlink_to(moved)
    assert build([link]) == expected


def test_the_times_of_the_files(pages: Path, expected: str, build: Build, tmp_path: Path) -> None:
    moved = tmp_path / "pages"
    shutil.copytree(pages, moved)
    for number, file in enumerate(sorted(moved.rglob("*"))):
        os.utime(file, (number * 1e7, 1e9 - number * 1e7))
    assert build([moved]) == expected


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_number_of_processes(
    jobs: int, pages: Path, expected: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many tasks, so that every process gets some.
    monkeypatch.setattr(etl.reading, "FILES_IN_TASK", 1)
    assert build([pages], "--jobs", str(jobs)) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2", "TZ": "Pacific/Kiritimati"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Etc/GMT+12"},
        {"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONOPTIMIZE": "2"},
    ],
    ids=lambda environment: " ".join(environment),
)
def test_the_environment(
    environment: dict[str, str], pages: Path, expected: str, tmp_path: Path
) -> None:
    # Two processes: the workers inherit all this.
    command = ["build", "--skip-bad", "--jobs", "2", "a.db", str(pages)]
    built = subprocess.run(
        [sys.executable, "-m", "etl", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert hashlib.sha256((tmp_path / "a.db").read_bytes()).hexdigest() == expected


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_the_mask_of_new_files(mask: int, pages: Path, expected: str, build: Build) -> None:
    before = os.umask(mask)
    try:
        assert build([pages]) == expected
    finally:
        os.umask(before)


def test_what_stood_there_before(pages: Path, expected: str, build: Build, tmp_path: Path) -> None:
    build([pages / "_cache" / "develop"])
    assert build([pages]) == expected
    assert invoke(tmp_path / "a.db", [pages]).endswith("nothing changed\n")
    assert hashlib.sha256((tmp_path / "a.db").read_bytes()).hexdigest() == expected


def test_files_that_cannot_be_read_are_no_copies_of_each_other(tmp_path: Path) -> None:
    for name, size in (("one", 33 * 1024 * 1024), ("two", 0)):
        file = write(tmp_path / name, "develop", "x", "")
        os.truncate(file, size)
    built = []
    for order in (("one", "two"), ("two", "one")):
        paths = [str(tmp_path / name) for name in order]
        database = tmp_path / f"{order[0]}.db"
        result = CliRunner().invoke(main, ["build", "--skip-bad", str(database), *paths])
        assert result.exit_code == 0, result.output
        assert CliRunner().invoke(main, ["verify", str(database), *paths[::-1]]).exit_code == 0
        built.append(database.read_bytes())
    assert built[0] == built[1]
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT source, kind FROM problems").fetchall()
    assert found == [
        ("develop/x/specs.md", "empty"),
        ("develop/x/specs.md (2)", "too-large"),
    ]
