"""The commands of the Dockerfiles, run as they stand in a new environment.

This installs packages, so it needs a package index. Without one it is skipped, but with CI=true
it fails.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from datasette.inspect import inspect_hash

from publish.cli import main
from publish.site import pins
from tests.pages import REAL
from tests.publish.servers import Server, free_port, running
from tests.publish.stand_ins import StandIns
from tests.publish.test_deploy import deploy, sign_in


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A package index that pip reaches."""
    folder = str(tmp_path_factory.mktemp("download"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0"]
    command = [*pip, "download", "--no-deps", "--no-cache-dir", "--dest", folder, next(pins())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip("pip reaches no package index; CI=true makes that a failure")


@pytest.fixture(params=["make publish", "make bundle"])
def application(
    request: pytest.FixtureRequest, index: None, tmp_path: Path, real_database: Path
) -> Path:
    """A folder with a Dockerfile and what it copies."""
    if request.param == "make publish":
        tools = sign_in(StandIns.make(tmp_path / "google"))
        done = deploy(real_database, "cloudrun", PATH=str(tools.path))
        assert done.returncode == 0, done.stderr
        return tools.upload
    folder = tmp_path / "bundle"
    CliRunner().invoke(main, ["bundle", str(real_database), str(REAL), str(folder)])
    return folder


@pytest.fixture
def environment(application: Path, tmp_path: Path) -> dict[str, str]:
    """What the Dockerfile sets, and a new virtual environment first on PATH."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    path = f"{venv / 'bin'}:{os.environ['PATH']}"
    return {**variables_of(application), "PATH": path, "PORT": str(free_port())}


@pytest.fixture
def server(application: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """The site as the Dockerfile installs, inspects and starts it."""
    for command in commands_of(application, "RUN"):
        run = {"shell": True, "cwd": application, "env": {**os.environ, **environment}}
        done = subprocess.run(command, **run, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (start,) = commands_of(application, "CMD")
    command = start.replace("0.0.0.0", "127.0.0.1")
    with running(command, application, int(environment["PORT"]), environment) as running_server:
        yield running_server


def commands_of(application: Path, instruction: str) -> list[str]:
    """The shell commands of a Dockerfile's RUN or CMD."""
    text = (application / "Dockerfile").read_text().replace("\\\n", "")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def variables_of(application: Path) -> dict[str, str]:
    """What its ENV instructions set, in both spellings."""
    variables: dict[str, str] = {}
    for line in commands_of(application, "ENV"):
        words = shlex.split(line)
        if "=" in words[0]:
            variables |= dict(word.split("=", 1) for word in words)
        else:
            variables[words[0]] = " ".join(words[1:])
    return variables


PAGES = {
    "/": "Spack build cache",
    "/spack-cache/packages/py-msgpack": "py-msgpack",
    "/spack-cache/specs.json?package=py-msgpack&_size=1&_shape=array": '"package": "py-msgpack"',
    "/spack-cache/specs.csv?package=py-msgpack&_size=1": "hash,package,version",
    "/spack-cache/find_a_binary.json?package=py-msgpack&_shape=array": '"py-msgpack"',
    "/spack-cache/find_a_binary": "Is there a binary?",
    "/spack-cache/specs.install?package=py-msgpack": "spack install",
    "/-/dashboards/spack-cache": "Charts",
    "/static/site.css": ":root",
    "/static/LICENSE.txt": "Apache License",
}


def test_the_site_answers(
    server: Server, application: Path, environment: Mapping[str, str], real_database: Path
) -> None:
    health = httpx.get(f"{server.address}/-/health").json()
    assert health["status"] == "ok"
    assert health["hash"] == inspect_hash(real_database)
    assert health["counts"]["specs"] == 414
    assert health["version_note"].startswith("project:")
    settings = httpx.get(f"{server.address}/-/settings.json").json()
    assert settings["suggest_facets"] is False
    for path, expected in PAGES.items():
        answer = httpx.get(server.address + path, timeout=30)
        assert answer.status_code == 200, path
        assert expected in answer.text, path
    for check in commands_of(application, "HEALTHCHECK .* CMD"):
        shell = {"shell": True, "env": {**os.environ, **environment}}
        assert subprocess.run(check, **shell, check=False).returncode == 0
    python = Path(environment["PATH"].partition(":")[0]) / "python"
    frozen = [python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    installed = subprocess.run(frozen, capture_output=True, text=True, check=True).stdout.lower()
    assert set(installed.replace("_", "-").split()) == set(pins())
