"""`/-/health`: which database is served."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from datasette import __version__
from datasette.app import Datasette
from datasette.inspect import inspect_hash

from tests.web.conftest import open_site


async def test_it_says_which_database_is_served(site: Datasette, made_database: Path) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/-/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "database": "spack-cache",
        "hash": inspect_hash(made_database),
        "counts": {"packages": 5, "specs": 11, "stacks": 7, "releases": 4},
        "releases": ["develop", "develop-2025-07-13", "develop-2025-07-06", "v0.23.1"],
        "newest_snapshot": "develop-2025-07-13",
        "version_note": None,
        "datasette": __version__,
    }


async def test_no_cache_keeps_it(site: Datasette) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/-/health")
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_without_a_snapshot_and_with_a_note(real_database: Path) -> None:
    with open_site(real_database) as site:
        site.version_note = "project:1a2b3c4d5e6f"
        facts = (await site.client.get("/-/health")).json()
    assert facts["newest_snapshot"] is None
    assert facts["version_note"] == "project:1a2b3c4d5e6f"


async def test_a_replaced_database_is_an_error(made_database: Path, tmp_path: Path) -> None:
    database = tmp_path / "spack-cache.db"
    shutil.copy(made_database, database)
    with open_site(database) as site:
        assert (await site.client.get("/-/health")).status_code == 200
        another = tmp_path / "another.db"
        shutil.copy(made_database, another)
        another.replace(database)
        answer = await site.client.get("/-/health")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "error",
            "error": "the file of the database was replaced: start the server again",
        }
        database.unlink()
        assert (await site.client.get("/-/health")).json()["error"] == (
            "the file of the database is gone"
        )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("other.db", "no database spack-cache was opened"),
        ("spack-cache.db", "the database cannot be read"),
    ],
)
async def test_another_database_is_an_error(tmp_path: Path, name: str, error: str) -> None:
    with closing(sqlite3.connect(tmp_path / name)) as database:
        database.execute("create table books (title)")
    with open_site(tmp_path / name) as site:
        answer = await site.client.get("/-/health")
    assert answer.status_code == 503
    assert answer.json()["error"] == error
