"""The SQL of a search runs in plain SQLite, and a query of the site's own is shown as it is."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette

from tests.web.immutable.plain import answer, served
from web.immutable import shown_sql

OWN = "select rowid from notes_fts where notes_fts match escape_fts(:search)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create virtual table notes_fts using fts5 (title, body)")
        database.executemany(
            "insert into notes_fts values (?, ?)",
            [("a-b river", "sea"), ("river", 'say "hi"'), ("sea", "river")],
        )
    return path


@pytest.fixture
def datasette(path: Path) -> Iterator[Datasette]:
    with served(path, shown_sql, queries={"find": OWN}) as site:
        yield site


@pytest.mark.parametrize(
    ("query", "ids", "params"),
    [
        ("_search=a-b", [1], {"search": '"a-b"'}),
        ('_search=say "hi', [2], {"search": '"say" "hi"'}),
        ("_search_title=river", [1, 2], {"search_0": '"river"'}),
        ("_search=sea OR say&_searchmode=raw", [1, 2, 3], {"search": "sea OR say"}),
    ],
)
async def test_a_search(
    datasette: Datasette, path: Path, query: str, ids: list[int], params: dict[str, str]
) -> None:
    page = await answer(datasette, f"/notes/notes_fts.json?{query.replace(' ', '+')}")
    assert page["query"]["params"] == params
    assert [row[0] for row in page["rows"]] == ids
    with closing(sqlite3.connect(path)) as database:
        alone = database.execute(page["query"]["sql"], params).fetchall()
    assert [row[0] for row in alone] == ids


async def test_a_query_of_the_site(datasette: Datasette) -> None:
    page = await answer(datasette, "/notes/find.json?search=a-b")
    assert page["rows"] == [[1]]
    assert page["query"] == {"sql": OWN, "params": {"search": "a-b"}}
