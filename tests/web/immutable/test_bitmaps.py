"""Pages that bitmaps answer, compared with the same pages where SQL does.

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

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from tests.web.conftest import ROOT, open_site, opened
from web.immutable import bitmaps

VARIANTS = ("_facet_array", "variants")
FILTERS: list[list[tuple[str, str]]] = [
    [],
    [("os", "ubuntu22.04")],
    [("os__exact", "ubuntu22.04"), ("_sort_desc", "size")],
    [("os", "ubuntu22.04"), ("os", "rhel8")],
    [("package", "hdf5"), VARIANTS],
    [("stacks__arraycontains", "e4s"), ("_facet", "package")],
    [("stacks__arraynotcontains", "e4s"), ("platform", "linux"), VARIANTS],
    [("releases__arraycontains", "develop"), ("releases__arraynotcontains", "v0.23.1")],
    [("variants__arraycontains", "+mpi"), VARIANTS, ("_facet_size", "3")],
    [("variants__arraycontains", "not there"), VARIANTS],
    [("version__gt", "1.2"), ("platform", "linux")],
    [("os__unknown", "x"), ("target", "x86_64_v3")],
    [("_search", "mpi"), ("stacks__arraycontains", "e4s")],
    [("_where", "size > 1"), ("platform", "linux")],
    [("_through", '{"table": "spec_variants", "column": "variant", "value": "+mpi"}')],
    [("platform", "linux"), ("_size", "2"), ("_next", "b")],
    [("platform", "linux"), ("_nocount", "1")],
    [("platform", "linux"), ("_shape", "array")],
    [("os", "a\0b")],
    [("compiler", 'O\'Reilly "x" :p0')],
]


@pytest.fixture(scope="module")
def changing_site(made_database: Path) -> Iterator[Datasette]:
    """The site of the made-up pages, of a database that could change."""
    with open_site(made_database, is_fixed=False) as site:
        yield site


async def answer(datasette: Datasette, path: str) -> Any:
    response = await datasette.client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_the_answers_are_those_of_sql(
    site: Datasette, changing_site: Datasette, filters: list[tuple[str, str]]
) -> None:
    path = f"/spack-cache/specs.json?{urlencode(filters)}"
    by_bitmaps, by_sql = await answer(site, path), await answer(changing_site, path)
    for found in (by_bitmaps, by_sql):
        if isinstance(found, dict):
            del found["query_ms"], found["query"]
    assert by_bitmaps == by_sql


async def test_the_count_and_the_facets_of_a_real_filter(real_site: Datasette) -> None:
    found = await answer(
        real_site,
        "/spack-cache/specs.json?platform=linux&stacks__arraycontains=e4s&_size=1"
        "&_facet_array=variants&_facet_size=3",
    )
    facets = {
        name: [(value["value"], value["count"]) for value in facet["results"]]
        for name, facet in found["facet_results"].items()
    }
    assert found["filtered_table_rows_count"] == 55
    assert facets == {
        "version": [("3.12.4", 18), ("3.0.0", 12), ("2.4.3", 9)],
        "compiler": [("none", 39), ("gcc@11.4.0", 16)],
        "os": [("ubuntu22.04", 55)],
        "platform": [("linux", 55)],
        "target": [("x86_64_v3", 55)],
        "stacks": [("e4s", 55), ("root", 55)],
        "releases": [("develop", 55)],
        "variants": [("build_system=python_pip", 55)],
    }


@contextmanager
def things(folder: Path, config: dict[str, list[str]], **settings: object) -> Iterator[Datasette]:
    """Datasette on a table of 1000 things, ten of them blue, and seven of these round."""
    path = folder / "things.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table things (id text primary key, colour text, tags text)")
        database.executemany(
            "insert into things values (?, ?, ?)",
            [
                (f"{number:03}", "blue" if number % 100 == 7 else "red", json.dumps(tags))
                for number in range(1000)
                for tags in [["round", "big"] if number % 3 else ["big"]]
            ],
        )
        database.execute("create index things_colour on things (colour)")
    table = {"facets": ["colour", {"array": "tags"}], "plugins": {"bitmaps": config}}
    with opened(
        immutables=[str(path)],
        plugins_dir=str(ROOT / "web" / "plugins"),
        metadata={"databases": {"things": {"tables": {"things": table}}}},
        settings={"trace_debug": True, "suggest_facets": False, **settings},
    ) as datasette:
        yield datasette


THINGS = {"columns": ["colour"], "arrays": ["tags"]}


async def traced(datasette: Datasette, query: str) -> tuple[Any, list[str]]:
    """The answer, and the SQL on `things` that it took."""
    found = await answer(datasette, f"/things/things.json?{query}&_trace=1")
    statements = [trace["sql"] for trace in found["_trace"]["traces"]]
    return found, [sql for sql in statements if re.search(r"from \"?things\b|bitmap", sql)]


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
    tmp_path: Path, query: str, rows: int, facets: dict[str, dict[str, int]], is_listed: bool
) -> None:
    with things(tmp_path, THINGS) as datasette:
        found, statements = await traced(datasette, query)
    assert found["filtered_table_rows_count"] == rows
    assert {
        name: {value["value"]: value["count"] for value in facet["results"]}
        for name, facet in found["facet_results"].items()
    } == facets
    (statement,) = statements
    assert statement.endswith("order by id limit 101")
    assert ("rowid in (select value from json_each(bitmap_rows(" in statement) == is_listed


async def test_a_large_table_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with things(tmp_path, THINGS) as datasette:
        monkeypatch.setattr(bitmaps, "ROWS_IN_PART", 7)
        found, statements = await traced(datasette, "colour=red")
    assert found["filtered_table_rows_count"] == 990
    assert [value["count"] for value in found["facet_results"]["tags"]["results"]] == [990, 659]
    assert len(statements) == 1


async def test_with_another_filter_sql_finds_the_rows_once(tmp_path: Path) -> None:
    with things(tmp_path, THINGS) as datasette:
        found, statements = await traced(datasette, "colour=red&id__gt=500")
    assert found["filtered_table_rows_count"] == 494
    assert [value["count"] for value in found["facet_results"]["tags"]["results"]] == [494, 329]
    find, page = statements
    assert find.startswith('select rowid from "things" where ')
    assert page.endswith("order by id limit 101")


@pytest.mark.parametrize("quiet", ["_nocount=1&_nofacet=1", "_nofacet=1&_shape=array"])
async def test_a_page_that_does_not_count_does_not_look_for_all_rows(
    tmp_path: Path, quiet: str
) -> None:
    statements: list[str] = []

    class Watch:
        __name__ = "watch"

        @hookimpl  # type: ignore[untyped-decorator]
        def prepare_connection(self, conn: sqlite3.Connection) -> None:
            conn.create_function("seen", 1, lambda text: statements.append(text) or 1)

    watch = Watch()
    pm.register(watch)
    try:
        with things(tmp_path, THINGS) as datasette:
            found = await answer(
                datasette, f"/things/things.json?{quiet}&_where=seen(id)&_size=2&id__gt=990"
            )
    finally:
        pm.unregister(watch)
    rows = found if isinstance(found, list) else found["rows"]
    assert len(rows) == 2
    # The third tells whether there is a next page.
    assert statements == ["991", "992", "993"]


async def test_the_sql_of_a_page_runs_alone(tmp_path: Path) -> None:
    with things(tmp_path, THINGS) as datasette:
        found, _ = await traced(datasette, "colour=blue&_sort_desc=id&_size=2")
        query = {"sql": found["query"]["sql"], **found["query"]["params"]}
        alone = await answer(datasette, f"/things.json?{urlencode(query)}")
        count = "select bitmap_count('things', 'tags', 'arraycontains', 'round')"
        assert (await answer(datasette, f"/things.json?{urlencode({'sql': count})}"))["rows"] == [
            [666]
        ]
    assert [row[0] for row in found["rows"]] == ["907", "807"]
    assert alone["rows"][:2] == found["rows"]


async def test_a_column_without_bitmaps_is_left_to_sql(tmp_path: Path) -> None:
    with things(tmp_path, {"columns": ["id"]}) as datasette:
        found, statements = await traced(datasette, "colour=blue")
    assert found["facet_results"]["colour"]["results"][0]["count"] == 10
    assert [value["count"] for value in found["facet_results"]["tags"]["results"]] == [10, 7]
    # Its rows, the page, and a facet each.
    assert len(statements) == 4


@pytest.mark.parametrize(
    "table",
    [
        "create table odd (id text primary key, colour text, tags text) without rowid",
        "create table odd (id integer primary key, colour text, tags text)",
        "create table odd (id text, colour text, tags text)",
    ],
    ids=["without rowid", "large rowids", "values that are no texts"],
)
async def test_a_table_that_bitmaps_cannot_hold_is_left_to_sql(tmp_path: Path, table: str) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(table)
        database.executemany(
            "insert into odd values (?, ?, ?)",
            [
                (2**40 + number, "red" if number % 3 else (b"r", "red")[number % 2], tags)
                for number, tags in enumerate(['["a"]', "[1]", '["a", "b"]', "no", None] * 2)
            ],
        )
    config = {"facets": ["colour", {"array": "tags"}], "plugins": {"bitmaps": THINGS}}
    with opened(
        immutables=[str(path)],
        plugins_dir=str(ROOT / "web" / "plugins"),
        metadata={"databases": {"odd": {"tables": {"odd": config}}}},
    ) as datasette:
        found = await answer(datasette, "/odd/odd.json?colour=red&_nosuggest=1")
    assert found["filtered_table_rows_count"] == 8
    assert [
        (value["value"], value["count"]) for value in found["facet_results"]["tags"]["results"]
    ] == [("a", 3), ("b", 2), ("1", 1)]


@pytest.mark.parametrize("where", ["no such column", "1 union select 'x'", "1 limit 3", "')"])
async def test_wrong_sql_of_a_visitor_is_told_as_ever(site: Datasette, where: str) -> None:
    query = urlencode({"_where": where, "platform": "linux"})
    response = await site.client.get(f"/spack-cache/specs.json?{query}")
    assert (response.status_code, response.json()["ok"]) == (400, False)


class Nap:
    """A plugin with an SQL function that takes its time."""

    __name__ = "nap"

    @hookimpl  # type: ignore[untyped-decorator]
    def prepare_connection(self, conn: sqlite3.Connection) -> None:
        conn.create_function("nap", 0, lambda: time.sleep(0.0005))


async def test_facets_that_take_too_long_are_named(tmp_path: Path) -> None:
    nap = Nap()
    pm.register(nap)
    try:
        with things(
            tmp_path, THINGS, facet_time_limit_ms=50, sql_time_limit_ms=60_000
        ) as datasette:
            page = await datasette.client.get("/things/things?_where=nap()+is+null&_size=1")
    finally:
        pm.unregister(nap)
    assert "These facets timed out: colour, tags" in page.text
    assert "1,000 rows" in page.text


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/spack-cache/packages/hdf5"),
        *("/spack-cache/releases/develop", "/spack-cache/releases/v0~2E23~2E1"),
        "/spack-cache/stacks/e4s",
    ],
)
async def test_pages_are_the_same_where_the_database_could_change(
    made_database: Path, path: str
) -> None:
    pages = []
    for is_fixed in (True, False):
        with open_site(made_database, is_fixed=is_fixed) as site:
            response = await site.client.get(path)
            assert response.status_code == 200
            pages.append(re.sub(r"took \d+ ms", "", response.text))
    assert pages[0] == pages[1]
