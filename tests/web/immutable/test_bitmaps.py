"""Pages that bitmaps answer, compared with the same pages where SQL does, and with SQL itself.

A database that can change has no bitmaps, so Datasette is asked on one file in both ways. What
each filter finds is compared with SQL in test_arrays.py, with bitmaps and without.
"""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from tests.web.immutable.plain import answer, registered, served
from web.immutable import arrays, bitmaps, database, paging, shown_sql, table_bitmaps

PLUGINS = (shown_sql, paging, arrays, bitmaps, database)
BITMAPS = {"columns": ["colour", "shape"], "arrays": ["tags"]}
FACETS = ["colour", {"array": "tags"}]

TAGS = ("_facet_array", "tags")
FILTERS: list[list[tuple[str, str]]] = [
    [],
    [("colour", "red")],
    [("colour", "blue")],
    [("colour__exact", "blue"), ("_sort_desc", "size")],
    [("colour", "red"), ("_sort", "shape"), ("_size", "7")],
    [("colour", "red"), ("colour", "blue")],
    [("colour", "blue"), ("shape", "cube"), TAGS],
    [("tags__arraycontains", "round"), ("_facet", "shape")],
    [("tags__arraynotcontains", "round"), ("colour", "blue"), TAGS],
    [("tags__arraynotcontains", "round"), ("_size", "9")],
    [("tags__arraycontains", "big"), ("tags__arraynotcontains", "round")],
    [("tags__arraycontains", "round"), TAGS, ("_facet_size", "1")],
    [("tags__arraycontains", "not there"), TAGS],
    [("tags__arraycontains", '"big"')],
    [("size__gt", "7"), ("shape", "cube")],
    [("colour__unknown", "x"), ("shape", "cube")],
    [("_search", "river"), ("tags__arraycontains", "round")],
    [("_search_note", 'ri "ver'), ("colour", "red")],
    [("_search", "river OR sea"), ("_searchmode", "raw"), ("colour", "blue")],
    [("_where", "size > 1"), ("shape", "cube")],
    [("_where", "colour = 'red' or 1"), ("colour", "blue"), ("_size", "20")],
    [("_where", "colour = 'red' or 1"), ("colour", "not there"), ("_size", "20")],
    [("_through", '{"table": "owners", "column": "name", "value": "Ann"}')],
    [("_through", '{"table": "owners", "column": "name", "value": "Ann"}'), ("colour", "blue")],
    [("shape", "cube"), ("_size", "2"), ("_next", "300")],
    [("colour", "blue"), ("_size", "2"), ("_next", "cube,307"), ("_sort", "shape"), TAGS],
    [("colour", "blue"), ("_col", "size"), ("_nocount", "1")],
    [("shape", "cube"), ("_shape", "array")],
    [("colour", "a\0b")],
    [("shape", 'O\'Reilly "x" :p0')],
]


def write_things(path: Path) -> Path:
    """A table of 1000 things, ten of them blue, and seven of these round."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            create table things (
                id text primary key, colour text, shape text, size integer, note text, tags text
            );
            create index things_colour on things (colour);
            create table owners (thing text references things (id), name text);
            create virtual table things_fts using fts5 (note, content="things");
            """
        )
        connection.executemany(
            "insert into things values (?, ?, ?, ?, ?, ?)",
            [
                (
                    f"{number:03}",
                    "blue" if number % 100 == 7 else "red",
                    ["ball", "cube", None, 'O\'Reilly "x" :p0'][number % 4],
                    number % 13,
                    ["river bank", "sea shore"][number % 2],
                    json.dumps(["round", "big"] if number % 3 else ["big"]),
                )
                for number in range(1000)
            ],
        )
        connection.execute("insert into owners select id, 'Ann' from things where size < 5")
        connection.execute("insert into things_fts (things_fts) values ('rebuild')")
    return path


@contextmanager
def things(
    path: Path, config: dict[str, list[str]], *, is_fixed: bool = True, **settings: object
) -> Iterator[Datasette]:
    table = {"facets": FACETS, "plugins": {"bitmaps": config}}
    with served(
        path,
        *PLUGINS,
        tables={"things": table},
        is_fixed=is_fixed,
        **{"trace_debug": True, **settings},
    ) as datasette:
        yield datasette


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_things(tmp_path_factory.mktemp("bitmaps") / "shelf.db")


@pytest.fixture(scope="module")
def fixed(path: Path) -> Iterator[Datasette]:
    with things(path, BITMAPS) as datasette:
        yield datasette


@pytest.fixture(scope="module")
def changing(path: Path) -> Iterator[Datasette]:
    with things(path, BITMAPS, is_fixed=False) as datasette:
        yield datasette


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_the_answers_are_those_of_sql(
    fixed: Datasette, changing: Datasette, filters: list[tuple[str, str]]
) -> None:
    address = f"/shelf/things.json?{urlencode(filters)}"
    by_bitmaps, by_sql = await answer(fixed, address), await answer(changing, address)
    for found in (by_bitmaps, by_sql):
        if isinstance(found, dict):
            del found["query_ms"]
    assert by_bitmaps == by_sql


def without_page(filters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in filters if pair[0] != "_shape"]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_the_sql_that_is_shown_finds_the_same_in_plain_sqlite(
    fixed: Datasette, path: Path, filters: list[tuple[str, str]]
) -> None:
    page = await answer(fixed, f"/shelf/things.json?{urlencode(without_page(filters))}")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(page["query"]["sql"], page["query"]["params"]).fetchall()
    size = int(dict(filters).get("_size", 100))
    assert [list(row) for row in rows[:size]] == page["rows"]


@pytest.fixture(scope="module")
def duck(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(sqlite3.connect(path)) as connection, duckdb.connect() as duck:
        for table in ("things", "owners"):
            columns = connection.execute(f"select name, type from pragma_table_info('{table}')")
            duck.execute(f"create table {table} ({', '.join(map(' '.join, columns))})")
            rows = connection.execute(f"select * from {table}").fetchall()
            places = ", ".join("?" * len(rows[0]))
            duck.executemany(f"insert into {table} values ({places})", rows)
        yield duck


@pytest.mark.parametrize(
    "filters",
    # DuckDB has no FTS5, says `$p0` for `:p0`, and puts nulls last.
    [
        filters
        for filters in FILTERS
        if not {"_search", "_search_note"} & set(dict(filters))
        and ("colour", "a\0b") not in filters
    ],
    ids=str,
)
async def test_the_sql_that_is_shown_finds_the_same_in_duckdb(
    fixed: Datasette, duck: duckdb.DuckDBPyConnection, filters: list[tuple[str, str]]
) -> None:
    page = await answer(fixed, f"/shelf/things.json?{urlencode(without_page(filters))}")
    duck.execute("set default_null_order = 'nulls_first_on_asc_last_on_desc'")
    sql, params = page["query"]["sql"], page["query"]["params"]
    for name in params:
        sql = re.sub(rf":{name}\b", f"${name}", sql)
    rows = duck.execute(sql, params).fetchall()
    size = int(dict(filters).get("_size", 100))
    assert [list(row) for row in rows[:size]] == page["rows"]


async def traced(datasette: Datasette, query: str) -> tuple[Any, list[str]]:
    """The answer, and the SQL on `things` that it took."""
    found = await answer(datasette, f"/shelf/things.json?{query}&_trace=1")
    statements = [trace["sql"] for trace in found["_trace"]["traces"]]
    return found, [sql for sql in statements if re.search(r"from \"?things\b|bitmap", sql)]


def facets_of(found: Any) -> dict[str, dict[str, int]]:
    return {
        name: {value["value"]: value["count"] for value in facet["results"]}
        for name, facet in found["facet_results"].items()
    }


@pytest.mark.parametrize(
    ("query", "rows", "facets", "is_listed"),
    [
        (
            "",
            1000,
            {"colour": {"red": 990, "blue": 10}, "tags": {"big": 1000, "round": 666}},
            False,
        ),
        ("colour=red", 990, {"colour": {"red": 990}, "tags": {"big": 990, "round": 659}}, False),
        ("colour=blue", 10, {"colour": {"blue": 10}, "tags": {"big": 10, "round": 7}}, True),
        (
            "colour=blue&tags__arraycontains=round",
            7,
            {"colour": {"blue": 7}, "tags": {"big": 7, "round": 7}},
            True,
        ),
        ("colour=green", 0, {"colour": {}, "tags": {}}, True),
    ],
)
async def test_a_page_takes_one_query(
    fixed: Datasette, query: str, rows: int, facets: dict[str, dict[str, int]], is_listed: bool
) -> None:
    found, statements = await traced(fixed, query)
    assert found["filtered_table_rows_count"] == rows
    assert facets_of(found) == facets
    (statement,) = statements
    assert statement.endswith("order by id limit 101")
    assert ("rowid in (select value from json_each(bitmap_rows(" in statement) == is_listed
    assert "bitmap" not in found["query"]["sql"]


async def test_many_rows_are_not_looked_up_in_an_index(fixed: Datasette) -> None:
    _, (statement,) = await traced(fixed, "colour=red&tags__arraycontains=round")
    assert 'where +"colour" = :p0 and instr("tags", :p1) and exists (' in statement


async def test_a_large_table_is_read_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with things(path, BITMAPS) as datasette:
        monkeypatch.setattr(table_bitmaps, "ROWS_IN_PART", 7)
        found, statements = await traced(datasette, "colour=red")
    assert facets_of(found)["tags"] == {"big": 990, "round": 659}
    assert len(statements) == 1


async def test_with_another_filter_sql_finds_the_rows_once(fixed: Datasette) -> None:
    found, statements = await traced(fixed, "colour=red&id__gt=500")
    assert found["filtered_table_rows_count"] == 494
    assert facets_of(found)["tags"] == {"big": 494, "round": 329}
    find, page = statements
    assert find.startswith("select rowid from things where ")
    assert page.endswith("order by id limit 101")


@pytest.mark.parametrize("quiet", ["_nocount=1&_nofacet=1", "_nofacet=1&_shape=array"])
async def test_a_page_that_does_not_count_does_not_look_for_all_rows(
    path: Path, quiet: str
) -> None:
    statements: list[str] = []

    class Watch:
        __name__ = "watch"

        @hookimpl  # type: ignore[untyped-decorator]
        def prepare_connection(self, conn: sqlite3.Connection) -> None:
            conn.create_function("seen", 1, lambda text: statements.append(text) or 1)

    with registered(Watch()), things(path, BITMAPS) as datasette:
        query = f"{quiet}&_where=seen(id)&_size=2&id__gt=990"
        found = await answer(datasette, f"/shelf/things.json?{query}")
    rows = found if isinstance(found, list) else found["rows"]
    assert len(rows) == 2
    # The third tells whether there is a next page.
    assert statements == ["991", "992", "993"]


async def test_sql_of_the_site_can_count_by_bitmaps(fixed: Datasette) -> None:
    count = "select bitmap_count('things', 'tags', 'arraycontains', 'round')"
    assert (await answer(fixed, f"/shelf.json?{urlencode({'sql': count})}"))["rows"] == [[666]]


async def test_a_column_without_bitmaps_is_left_to_sql(path: Path) -> None:
    with things(path, {"columns": ["id"]}) as datasette:
        found, statements = await traced(datasette, "colour=blue")
    assert facets_of(found) == {"colour": {"blue": 10}, "tags": {"big": 10, "round": 7}}
    # Its rows, the page, and a facet each.
    assert len(statements) == 4


ODD_VALUES = {
    "integer": ("integer", [5, 50, None], ["5", "05", "50"]),
    "integers as text": ("text", [5, 50, None], ["5", "05"]),
    "no type": ("", ["5", 5, b"5", None], ["5"]),
    "real": ("real", [5, 1.5], ["5", "5.0", "1.50"]),
    "case": ("text collate nocase", ["Red", "red", "blue", "1"], ["red", "RED", "blue", "1"]),
    "blanks": ("text collate rtrim", ["red", "red ", "blue"], ["red", "red  ", "blue"]),
    "odd text in numbers": ("numeric", ["5", "x", None], ["5", "5.0", "x"]),
}


@pytest.mark.parametrize(("kind", "values", "asked"), ODD_VALUES.values(), ids=ODD_VALUES)
async def test_values_that_bitmaps_cannot_compare_are_left_to_sql(
    tmp_path: Path, kind: str, values: list[object], asked: list[str]
) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"create table odd (id integer primary key, n {kind}, tags text {kind[4:]})"
        )
        connection.executemany(
            "insert into odd (n, tags) values (?, ?)",
            [(value, json.dumps([str(value)])) for value in values * 3],
        )
        expected = {
            text: [row[0] for row in connection.execute("select id from odd where n = ?", [text])]
            for text in asked
        }
    config = {"facets": ["n"], "plugins": {"bitmaps": {"columns": ["n", "nowhere"]}}}
    with served(path, *PLUGINS, tables={"odd": config}) as datasette:
        for text, ids in expected.items():
            found = await answer(datasette, f"/odd/odd.json?{urlencode({'n': text})}")
            assert [row[0] for row in found["rows"]] == ids
            assert found["filtered_table_rows_count"] == len(ids)
            assert sum(facets_of(found)["n"].values()) == len(ids)
    assert all(expected.values()) or kind == "text"


async def test_databases_have_bitmaps_of_their_own(tmp_path: Path) -> None:
    for name, kind in {"numbers": "integer", "texts": "text"}.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as connection, connection:
            connection.execute(f"create table items (id integer primary key, n {kind})")
            connection.executemany("insert into items (n) values (?)", [(5,), (6,), (5,)])
    config = {"tables": {"items": {"plugins": {"bitmaps": {"columns": ["n"]}}}}}
    with registered(*PLUGINS):
        datasette = Datasette(
            immutables=[str(tmp_path / "numbers.db"), str(tmp_path / "texts.db")],
            metadata={"databases": {"numbers": config, "texts": config}},
        )
        for name in ("numbers", "texts"):
            found = await answer(datasette, f"/{name}/items.json?n=5&_nosuggest=1")
            assert [row[0] for row in found["rows"]] == [1, 3], name
        datasette.executor.shutdown()
        for each in datasette.databases.values():
            each.close()


@pytest.mark.parametrize(
    "table",
    [
        "create table odd (id text primary key, colour text, tags text) without rowid",
        "create table odd (id integer primary key, colour text, tags text)",
        "create table odd (id text, colour text, tags text)",
        "create table odd (rowid text, colour text, tags text)",
    ],
    ids=["without rowid", "large rowids", "values that are no texts", "another rowid"],
)
async def test_a_table_that_bitmaps_cannot_hold_is_left_to_sql(tmp_path: Path, table: str) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(table)
        connection.executemany(
            "insert into odd values (?, ?, ?)",
            [
                (2**40 + number, "red" if number % 3 else (b"r", "red")[number % 2], tags)
                for number, tags in enumerate(['["a"]', "[1]", '["a", "b"]', "[]", None] * 2)
            ],
        )
        connection.execute("create view seen as select * from odd")
    config = {"facets": FACETS, "plugins": {"bitmaps": BITMAPS}}
    with served(path, *PLUGINS, tables={"odd": config, "seen": config}) as datasette:
        for name in ("odd", "seen"):
            found = await answer(datasette, f"/odd/{name}.json?colour=red")
            assert found["filtered_table_rows_count"] == 8
            assert facets_of(found)["tags"] == {"a": 3, "b": 2, "1": 1}


@pytest.mark.parametrize("where", ["no such column", "1 union select 'x'", "1 limit 3", "')"])
async def test_wrong_sql_of_a_visitor_is_told_as_ever(fixed: Datasette, where: str) -> None:
    query = urlencode({"_where": where, "colour": "red"})
    response = await fixed.client.get(f"/shelf/things.json?{query}")
    assert (response.status_code, response.json()["ok"]) == (400, False)


class Nap:
    """A plugin with an SQL function that takes its time."""

    __name__ = "nap"

    @hookimpl  # type: ignore[untyped-decorator]
    def prepare_connection(self, conn: sqlite3.Connection) -> None:
        conn.create_function("nap", 0, lambda: time.sleep(0.0005))


async def test_facets_that_take_too_long_are_named(path: Path) -> None:
    nap = Nap()
    pm.register(nap)
    try:
        limits = {"facet_time_limit_ms": 50, "sql_time_limit_ms": 60_000}
        with things(path, BITMAPS, **limits) as datasette:
            page = await datasette.client.get("/shelf/things?_where=nap()+is+null&_size=1")
    finally:
        pm.unregister(nap)
    assert "These facets timed out: colour, tags" in page.text
    assert "1,000 rows" in page.text
