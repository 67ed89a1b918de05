"""What is asked once of a database that cannot change, and every time of one that can."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.database import Database

from tests.web.conftest import ROOT, measured, opened


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A database of two books."""
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table books (name text primary key, pages integer)")
        database.executemany("insert into books values (?, ?)", [("a", 1), ("b", 2)])
    return path


@pytest.fixture(params=["fixed", "changing"])
def datasette(shelf: Path, request: pytest.FixtureRequest) -> Iterator[Datasette]:
    files = {"immutables": [str(shelf)]} if request.param == "fixed" else {"files": [str(shelf)]}
    with opened(
        files.get("files", []),
        immutables=files.get("immutables", []),
        plugins_dir=str(ROOT / "web" / "plugins"),
    ) as datasette:
        yield datasette


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the databases that are asked, once for each query."""
    names: list[str] = []
    original = Database.execute_fn

    async def noted(self: Database, function: Callable[[sqlite3.Connection], Any]) -> Any:
        names.append(self.name)
        return await original(self, function)

    monkeypatch.setattr(Database, "execute_fn", noted)
    return names


def is_fixed(datasette: Datasette) -> bool:
    return not datasette.get_database("shelf").is_mutable


async def test_the_schema_is_asked_once(datasette: Datasette, asked: list[str]) -> None:
    pages = []
    for _ in range(2):
        asked.clear()
        response = await datasette.client.get("/shelf.json")
        assert response.status_code == 200
        pages.append(response.json()["tables"])
    assert pages[0] == pages[1]
    assert [(table["name"], table["columns"]) for table in pages[0]] == [
        ("books", ["name", "pages"])
    ]
    # Whether the schema changed, and which files are attached, is asked each time.
    assert (asked.count("shelf") <= 2) == is_fixed(datasette)


async def test_who_changes_an_answer_changes_nothing(datasette: Datasette) -> None:
    await datasette.invoke_startup()
    shelf = datasette.get_database("shelf")
    for _ in range(2):
        columns = await shelf.table_columns("books")
        assert columns == ["name", "pages"]
        columns.clear()


async def test_other_questions_have_other_answers(datasette: Datasette) -> None:
    await datasette.invoke_startup()
    shelf = datasette.get_database("shelf")
    sql = "select count(*) from books where name = :p0"
    if is_fixed(datasette):
        shelf.remember_count(sql, {"p0": "a"}, 7)
    counts = [
        (await shelf.execute(sql, {"p0": name})).single_value() for name in ("a", "b", "c", "a")
    ]
    assert counts == ([7, 1, 0, 7] if is_fixed(datasette) else [1, 1, 0, 1])
    for name, exists in (("books", True), ("booklets", False), ("BOOKS", False), ("books", True)):
        assert await shelf.table_exists(name) == exists


async def test_a_query_of_the_site_runs_once(datasette: Datasette, asked: list[str]) -> None:
    await datasette.invoke_startup()
    shelf = datasette.get_database("shelf")
    asked.clear()
    answers = [await shelf.execute_once("select sum(pages) from books") for _ in range(3)]
    assert [answer.single_value() for answer in answers] == [3, 3, 3]
    assert asked == ["shelf"] * (1 if is_fixed(datasette) else 3)


async def test_visitors_cannot_fill_the_memory(shelf: Path) -> None:
    with opened(immutables=[str(shelf)], plugins_dir=str(ROOT / "web" / "plugins")) as datasette:
        await datasette.invoke_startup()
        database = datasette.get_database("shelf")
        with measured() as grown:
            for number in range(3_000):
                assert not await database.table_exists(f"{number} " + "a" * 3_000)
            for number in range(200):
                assert not await database.table_exists(f"{number} " + "b" * 60_000)
                database.remember_count("select count(*) …", {"p0": "c" * 60_000}, number)
        assert grown() < 4_500_000
        assert await database.table_exists("books")


async def test_what_visitors_ask_does_not_push_out_what_the_site_asks(
    shelf: Path, asked: list[str]
) -> None:
    with opened(immutables=[str(shelf)], plugins_dir=str(ROOT / "web" / "plugins")) as datasette:
        await datasette.invoke_startup()
        database = datasette.get_database("shelf")
        await database.execute_once("select sum(pages) from books")
        for number in range(5_000):
            database.remember_count("select count(*) …", {"p0": number}, number)
        asked.clear()
        assert (await database.execute_once("select sum(pages) from books")).single_value() == 3
        assert asked == []
