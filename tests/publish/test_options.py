"""`python -m publish options`, with which the site is served from the project itself."""

import json
import shlex
import shutil
import signal
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from datasette.app import DEFAULT_SETTINGS

from publish.cli import main
from publish.site import ROOT, settings, write_inspect
from tests.publish.servers import free_port, running


def test_the_settings_are_datasettes() -> None:
    assert {
        name: (type(value), type(DEFAULT_SETTINGS[name])) for name, value in settings().items()
    } == {
        "default_cache_ttl": (int, int),
        "facet_time_limit_ms": (int, int),
        "max_csv_mb": (int, int),
        "sql_time_limit_ms": (int, int),
        "suggest_facets": (bool, bool),
    }


def test_the_site_is_served_with_its_settings_and_finishes_what_it_began(
    real_database: Path, tmp_path: Path
) -> None:
    inspect = tmp_path / "inspect.json"
    write_inspect(real_database, inspect)
    said = CliRunner().invoke(main, ["options", str(real_database), str(inspect)])
    assert said.exit_code == 0
    port = free_port()
    command = [sys.executable, "-m", "datasette", "serve", *shlex.split(said.output)]
    with running([*command, "--port", str(port)], ROOT, port) as server:
        in_force = httpx.get(f"{server.address}/-/settings.json").json()
        assert in_force | settings() == in_force
        facts = httpx.get(f"{server.address}/-/health").json()
        assert facts["hash"] == json.loads(inspect.read_text())["spack-cache"]["hash"]
        address = f"{server.address}/spack-cache/specs.csv?_stream=on&_size=max"
        whole = httpx.get(address).text
        with httpx.stream("GET", address) as answer:
            parts = answer.iter_text(1000)
            begun = next(parts)
            server.process.send_signal(signal.SIGTERM)
            assert begun + "".join(parts) == whole
        server.process.wait()
        assert server.process.stderr
        log = server.process.stderr.read().decode()
    assert log.count('path="/spack-cache/specs.csv?_stream=on&_size=max" status=200') == 2
    assert "Traceback" not in log
    # uvicorn ends with the signal that stopped it.
    assert server.process.returncode in {0, -signal.SIGTERM}


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        ("spack-cache.db", "no database (file is not a database). Build or copy it again."),
        (
            "inspect.json",
            "not JSON (Expecting value: line 1 column 1 (char 0)). Delete it and write it again, "
            "with datasette inspect DATABASE --inspect-file FILE.",
        ),
    ],
)
def test_files_that_cannot_be_served_are_named(
    real_database: Path, tmp_path: Path, spoiled: str, message: str
) -> None:
    database, inspect = tmp_path / "spack-cache.db", tmp_path / "inspect.json"
    shutil.copy(real_database, database)
    write_inspect(database, inspect)
    (tmp_path / spoiled).write_text("What is this? " * 100)
    said = CliRunner().invoke(main, ["options", str(database), str(inspect)])
    assert said.exit_code == 1
    assert said.output == f"Error: {tmp_path / spoiled}: {message}\n"
