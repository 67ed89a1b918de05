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
    tell = "--eval=into: ; $(info into $(FETCH_INTO))"
    command = ["make", "--dry-run", "--no-print-directory", tell, *done, "into", target, *values]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    into = said.splitlines()[0].removeprefix("into ")
    # The shell takes folders from its environment.
    said = said.replace('"$PAGES"', variables.get("PAGES", "data/_cache"))
    said = said.replace('"$FETCH_INTO"', into)
    return [line for line in said.splitlines() if line.startswith(f"{PYTHON} -m publish")]


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


def test_a_folder_of_any_name_arrives_whole(tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n')
    stub.chmod(0o755)
    name = "my  pages; 'x' * [y] ü"
    done = subprocess.run(
        ["make", "--old-file=.venv/.ready", f"PY={stub}", "DB=a.db", "a.db", f"PAGES={name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("<")]
    assert said == ["<-m>", "<etl>", "<build>", "<a.db>", f"<{name}>"]


def test_what_to_fetch_arrives_whole(tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n')
    stub.chmod(0o755)
    folder = "my  caches; 'x' * [y] ü"

    def arguments(*variables: str) -> list[str]:
        command = ["make", "--old-file=.venv/.ready", f"PY={stub}", "fetch", *variables]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    assert arguments() == ["<-m>", "<etl>", "<fetch>", "<-->", "<caches>"]
    assert arguments(
        *("RELEASES=develop  v0.23.1", "STACKS=* e4s", "SIZES=1"),
        *("MIRROR=mine=https://h/x", f"CACHES={folder}"),
    ) == [
        *("<-m>", "<etl>", "<fetch>", "<--sizes>"),
        *("<--release=develop>", "<--release=v0.23.1>", "<--stack=*>", "<--stack=e4s>"),
        *("<-->", f"<{folder}>", "<mine=https://h/x>"),
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
