"""Databases and sites that several tests share; each is built once a run."""

import _sqlite3
import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl.cli import main
from tests.pages import REAL, write_made
from web.immutable import limits

ROOT = Path(__file__).parents[1]
SQLITE = ctypes.CDLL(_sqlite3.__file__)
"""The library that Python's sqlite3 uses."""


def build(database: Path, *arguments: str | Path) -> Path:
    """Build a database through the command line."""
    result = CliRunner().invoke(main, ["build", str(database), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return database


@pytest.fixture(scope="session", autouse=True)
def _memory_for_all() -> Iterator[None]:
    """Let no site bound SQLite's memory for all other sites and builds of the process.

    The bound is one for the whole process, and SQL can only lower it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HEAP_BYTES", 1_000_000_000)
        yield


@contextmanager
def bounded_memory(most: int) -> Iterator[None]:
    """Let sites bound SQLite's memory, of the whole process, as they do outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HEAP_BYTES", most)
        yield
    # SQLite's own function can raise it again.
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
