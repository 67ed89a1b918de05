"""The targets of `publish.mk` call the command line with what the Makefile knows."""

import subprocess
from pathlib import Path

import pytest

from publish.site import ROOT

PYTHON = ".venv/bin/python"


def planned(target: str, **variables: str) -> list[str]:
    """What make would run for a target where everything has been installed and built."""
    done = [f"--old-file={name}" for name in (".venv/.ready", ".venv/.test-ready", "build")]
    values = [f"{name}={value}" for name, value in variables.items()]
    tell = "--eval=told: ; $(info $(FETCH_INTO)) $(info $(SOURCES)) $(info $(EACH_SOURCE))"
    command = ["make", "--dry-run", "--no-print-directory", tell, *done, "told", target, *values]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    into, sources, each_source, *lines = said.splitlines()
    # The shell takes folders from its environment.
    planned = [
        line.removeprefix(each_source.replace("$$", "$"))
        .strip()
        .replace('"$@"', sources)
        .replace('"$FETCH_INTO"', into)
        for line in lines
    ]
    return [line for line in planned if line.startswith(f"{PYTHON} -m publish")]


@pytest.mark.parametrize("host", ["cloudrun", "fly", "vercel", "heroku"])
def test_publish_checks_before_it_builds(host: str) -> None:
    assert planned("publish", TARGET=host, PAGES="pages") == [
        f"{PYTHON} -m publish check",
        f"{PYTHON} -m publish deploy spack-cache.db pages",
    ]


def test_bundle_and_dist() -> None:
    assert planned("bundle") == [
        f"{PYTHON} -m publish bundle spack-cache.db data/_cache dist/bundle"
    ]
    assert planned("dist") == [f"{PYTHON} -m publish dist spack-cache.db dist"]


@pytest.mark.parametrize(("pages", "into"), [("data/_cache", "pages"), ("mine", "mine")])
def test_pages_are_never_fetched_over_the_projects_own(pages: str, into: str) -> None:
    assert planned("pages", PAGES=pages) == [f"{PYTHON} -m publish pages {into}"]


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """Stands in for Python, and says what it is called with."""
    made = tmp_path / "python"
    made.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n')
    made.chmod(0o755)
    return made


def given(stub: Path, *arguments: str) -> list[str]:
    """What make gives to Python where everything has been installed and built."""
    done = ("--old-file=.venv/.ready", "--old-file=build")
    command = ["make", *done, f"PY={stub}", "DB=a.db", *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line[1:-1] for line in said.splitlines() if line.startswith("<")]


TAKES_SOURCES = {
    "a.db": (["-m", "etl", "build", "a.db"], []),
    "verify": (["-m", "etl", "verify", "a.db"], []),
    "bundle": (["-m", "publish", "bundle", "a.db"], ["dist/bundle"]),
}


@pytest.mark.parametrize("variable", ["SOURCES", "PAGES"])
@pytest.mark.parametrize("target", TAKES_SOURCES)
def test_a_folder_of_any_name_arrives_whole(
    stub: Path, tmp_path: Path, target: str, variable: str
) -> None:
    folder = tmp_path / "my  pages; 'x' * [y] ü"
    folder.mkdir()
    before, after = TAKES_SOURCES[target]

    assert given(stub, target, f"{variable}={folder}") == [*before, str(folder), *after]


@pytest.mark.parametrize("target", TAKES_SOURCES)
def test_several_sources_have_spaces_between(stub: Path, target: str) -> None:
    before, after = TAKES_SOURCES[target]

    assert given(stub, target, "SOURCES=data/sample-mirror  mine=/srv/*/[a] data/_cache") == [
        *(*before, "data/sample-mirror", "mine=/srv/*/[a]", "data/_cache", *after)
    ]
    assert given(stub, target) == [*before, "data/_cache", *after]


def test_what_to_fetch_arrives_whole(stub: Path) -> None:
    folder = "my  caches; 'x' * [y] ü"

    assert given(stub, "fetch") == ["-m", "etl", "fetch", "--", "caches"]
    assert given(
        *(stub, "fetch", "RELEASES=develop  v0.23.1", "STACKS=* e4s", "SIZES=1"),
        *("MIRROR=mine=https://h/x", f"CACHES={folder}"),
    ) == [
        *("-m", "etl", "fetch", "--sizes"),
        *("--release=develop", "--release=v0.23.1", "--stack=*", "--stack=e4s"),
        *("--", folder, "mine=https://h/x"),
    ]


def test_variables_of_make_arrive() -> None:
    done = subprocess.run(
        ["make", "--old-file=.venv/.ready", "publish", "TARGET=heroku", "SERVICE=my site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Nothing was published to Heroku:" in done.stderr
    assert "SERVICE can have a-z, 0-9 and hyphens inside: my site" in done.stderr


def test_without_releases_it_says_what_to_give() -> None:
    done = subprocess.run(
        ["make", "--old-file=.venv/.ready", "pages"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert 'Error: Which releases? RELEASES="develop v0.23.1", or RELEASES=all' in done.stderr
