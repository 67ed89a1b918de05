"""What is SQL of a visitor, compared with what Datasette runs."""

from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from tests.web.conftest import opened
from web.immutable.requests import sql_of_visitor

CHART = "\n select  count(*) as n, 'ä' from (select 1)\n"
METADATA = {
    "plugins": {"charts": {"one": {"query": CHART, "title": "select 2"}, "two": {"query": None}}}
}


@pytest.fixture
def shop() -> Iterator[Datasette]:
    """A Datasette whose database has nothing but what is asked of it."""
    with opened(memory=True, metadata=METADATA) as datasette:
        yield datasette


def sql_in(datasette: Datasette, query_string: str) -> list[str]:
    return sql_of_visitor(
        datasette, {"type": "http", "path": "/x", "query_string": query_string.encode("latin-1")}
    )


SPELLINGS = [
    ("sql=select+1", "select 1"),
    ("%73ql=select%201", "select 1"),
    ("s%71%6C=select+1", "select 1"),
    ("%73%71%6c=select+1%2B1", "select 1+1"),
    ("a=1&sql=select+1&b", "select 1"),
    ("&&sql=select+1&&", "select 1"),
    # A semicolon and what looks like a key separate nothing.
    ("sql=select+1;sql=select+2", "select 1;sql=select 2"),
    ("sql=select+'sql=1'", "select 'sql=1'"),
    ("sql=select+'%C3%A4'", "select 'ä'"),
    ("sql=select+'%E4'", "select '\ufffd'"),
    ("sql=select+'a%00b'", "select 'a\0b'"),
    ("sql=%20select+1%0A", " select 1\n"),
]


@pytest.mark.parametrize(("query_string", "sql"), SPELLINGS)
async def test_sql_is_what_datasette_runs(shop: Datasette, query_string: str, sql: str) -> None:
    assert sql_in(shop, query_string) == [sql]
    answer = await shop.client.get(f"/_memory.json?{query_string}")
    if answer.status_code == 200:  # It is 400 for two statements, whose SQL is not shown.
        assert answer.json()["query"]["sql"] == sql


NO_SQL = [
    "",
    "SQL=select+1",
    "sql",
    "_sql=select+1",
    "sql%20=select+1",
    "+sql=select+1",
    "a=sql%3Dselect+1",
    "a=1%26sql=select+1",
    "a=1;sql=select+1",
    "a=b?sql=select+1",
    "%2573ql=select+1",
    "_WHERE=1",
    "_where__contains=1",
]


@pytest.mark.parametrize("query_string", NO_SQL)
async def test_what_datasette_does_not_run_is_no_sql(shop: Datasette, query_string: str) -> None:
    assert [text for text in sql_in(shop, query_string) if text] == []
    answer = await shop.client.get(f"/_memory.json?{query_string}")
    assert answer.status_code == 200
    assert "rows" not in answer.json()


@pytest.mark.parametrize(
    ("query_string", "sql"),
    [
        ("_where=1%3D1", ["1=1"]),
        ("%5Fwhere=1", ["1"]),
        ("_where=1&_where=2", ["1", "2"]),
        ("_where=", [""]),
        ("_where=1&sql=select+1", ["select 1", "1"]),
    ],
)
def test_conditions_are_sql_each_of_them(
    shop: Datasette, query_string: str, sql: list[str]
) -> None:
    assert sql_in(shop, query_string) == sql


def spelled(name: str) -> Iterator[str]:
    """A name with each choice of its letters percent-encoded, in hexadecimal of either case."""
    for letters in product(*((each, f"%{ord(each):02x}", f"%{ord(each):02X}") for each in name)):
        yield "".join(letters)


BEFORE = ["", "a=1&", "a=1;", "a&&", "%26", "%", "%2", "%25", "+", "%20", "\xff", "%C3", "%E5%BFsq"]
BEHIND = ["=1", "", "&b=2", "%3D1", "+=1", "%", "\xe4=1", "%00=1", "s=1", "=1&sql"]


@pytest.mark.parametrize("name", ["sql", "SQL", "\u017fql", "sq", "_where", "_wher", "where"])
def test_no_spelling_slips_through_before_it_is_parsed(shop: Datasette, name: str) -> None:
    encoded = name.encode().decode("latin-1")
    for before, spelling, behind in product(BEFORE, sorted(set(spelled(encoded))), BEHIND):
        query_string = before + spelling + behind
        pairs = parse_qsl(query_string, keep_blank_values=True)
        expected = [value for wanted in ("sql", "_where") for key, value in pairs if key == wanted]
        assert sql_in(shop, query_string) == expected, query_string


@pytest.mark.parametrize("spelling", ["_where", "%5Fwher%65", "_w%68ere"])
async def test_datasette_takes_all_spellings_of_a_condition(
    shop: Datasette, spelling: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "shop.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table goods (name text)")
        connection.executemany("insert into goods values (?)", [("tea",), ("milk",)])
    with opened([path]) as datasette:
        address = f"/shop/goods.json?_shape=array&{spelling}=name%3D'tea'"
        assert (await datasette.client.get(address)).json() == [{"rowid": 1, "name": "tea"}]
    assert sql_in(shop, f"{spelling}=name%3D'tea'") == ["name='tea'"]


def test_the_queries_of_charts_are_not_a_visitors(shop: Datasette) -> None:
    chart = "select++count(*)+as+n,+'%C3%A4'+from+(select+1)"
    assert sql_in(shop, f"sql={chart}&_shape=objects") == []
    assert sql_in(shop, f"%73ql=%20{chart}%0a") == []
    assert sql_in(shop, f"sql={chart}&sql=select+1") == ["select 1"]
    assert sql_in(shop, f"sql={chart}+--") != []
    assert sql_in(shop, "sql=select+2") == ["select 2"]
    assert sql_in(shop, f"sql={chart}&_where=1") == ["1"]
