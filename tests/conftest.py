"""Databases and sites that several tests share; each is built once a run."""

import _sqlite3
import ctypes
import gc
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl.cli import main
from tests.pages import REAL, write_made

ROOT = Path(__file__).parents[1]
SQLITE = ctypes.CDLL(_sqlite3.__file__)
"""The library that Python's sqlite3 uses."""


def build(database: Path, *arguments: str | Path) -> Path:
    """Build a database through the command line."""
    result = CliRunner().invoke(main, ["build", str(database), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return database


@pytest.fixture(autouse=True)
def _memory_for_all(request: pytest.FixtureRequest) -> None:
    """Give builds the memory that a site of the same process has taken from them.

    The site bounds SQLite's memory, and does so for the whole process, for good: SQL can only lower
    the bound, so SQLite's own function is asked to lift it.
    """
    if "web" not in request.path.relative_to(ROOT).parts:
        SQLITE.sqlite3_hard_heap_limit64(ctypes.c_int64(0))


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
