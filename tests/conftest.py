"""Databases and sites that several tests share; each is built once a run."""

import gc
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl.cli import main
from tests.pages import REAL, write_made


def build(database: Path, *arguments: str | Path) -> Path:
    """Build a database through the command line."""
    result = CliRunner().invoke(main, ["build", str(database), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return database


@pytest.fixture(scope="session")
def real_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the real pages; only for reading."""
    return build(tmp_path_factory.mktemp("real") / "spack-cache.db", REAL)


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the made-up pages of `write_made`; only for reading."""
    folder = tmp_path_factory.mktemp("made")
    return build(folder / "spack-cache.db", write_made(folder / "pages"))


def pytest_sessionfinish() -> None:
    """Let go of what the site keeps from the garbage collector; DuckDB counts it as leaked."""
    gc.unfreeze()
