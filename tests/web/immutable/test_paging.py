"""Every row of a sorted table is on one page, in order; compared with rows sorted by Python."""

import csv
import html
import io
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from datasette.app import Datasette

from tests.web.immutable.plain import answer, served
from web.immutable import paging

COLOURS = ["red", None, "blue", "red", "", "red", "blue", None]

# The keys are in another order than the rows, and neither is that of any column.
NUMBERS = [number * 37 % 60 for number in range(60)]
THINGS = [
    {
        "id": f"t/{number:02},{number % 3}",
        "colour": COLOURS[number % 8],
        "size": None if number % 10 == 3 else number // 20,
        "weight": number % 4 / 3,
        "version": f"1.{number % 12}",
        "place": None if number % 9 == 5 else 12 - number % 12,
        "maker": number % 2 + 1,
        "loose": [5, "5", 10, 9, 0.1 + 0.2, "x", b"b\xff", None, "", b"a"][number % 10],
    }
    for number in NUMBERS
]
SORT_BY = {"size": "weight", "version": {"sort_desc": "place"}, "maker": {"sort": "colour"}}

TABLES = {
    "things": "id text primary key",
    "pairs": "id text, primary key (colour, maker, id)",
    "notes": "id text",
    "ranked": "id text primary key",
    "by_default": "id text primary key",
    "by_default_desc": "id text primary key",
}
KEYS = {"pairs": ("colour", "maker", "id"), "notes": ("rowid",)}


@pytest.fixture(scope="module")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    path = tmp_path_factory.mktemp("paging") / "shelf.db"
    columns = "colour text, size integer, weight real, version text, place integer"
    columns += ", loose, maker integer references makers (id)"
    with closing(sqlite3.connect(path)) as database, database:
        for table, (key, *constraint) in (
            (name, text.split(", ", 1)) for name, text in TABLES.items()
        ):
            database.execute(f"create table {table} ({', '.join([key, columns, *constraint])})")
            database.executemany(
                f"insert into {table} values (:id, :colour, :size, :weight, :version, :place, :loose, :maker)",
                rows_of(table),
            )
            # The order of rows without a tie-break is then not that of the keys.
            database.execute(f"create index {table}_colour on {table} (colour, size desc)")
        database.execute("create view seen as select colour, size, id from things where maker = 1")
        database.execute("create table makers (id integer primary key, name text)")
        database.executemany("insert into makers values (?, ?)", [(1, "Ann"), (2, "Bob")])
    config = {"plugins": {"paging": {"sort_by": SORT_BY}}}
    tables = {
        "ranked": config,
        "by_default": {"sort": "version", **config},
        "by_default_desc": {"sort_desc": "colour", "size": 7},
    }
    with served(path, paging, tables=tables) as site:
        yield site


def rows_of(table: str) -> list[dict[str, Any]]:
    rows = [{**row, "rowid": place} for place, row in enumerate(THINGS, 1)]
    # No part of a key is null here.
    return (
        [{**row, "colour": row["colour"] or "none"} for row in rows] if table == "pairs" else rows
    )


def in_sqlite(value: Any) -> tuple[int, Any]:
    """What to sort values by: nulls, numbers, texts, blobs."""
    kinds = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}
    return kinds[type(value)], value or b"" if isinstance(value, bytes) else value or type(value)()


def ids_in_order(table: str, column: str, *, descending: bool = False) -> list[str]:
    """The ids of all rows in SQLite's order of values, equal ones by their keys."""
    rows = sorted(rows_of(table), key=lambda row: [row[key] for key in KEYS.get(table, ("id",))])
    rows.sort(key=lambda row: in_sqlite(row[column]), reverse=descending)  # keeps equal ones
    return [row["id"] for row in rows]


async def ids_of_json(datasette: Datasette, path: str) -> list[str]:
    ids, url = [], path
    while url:
        page = await answer(datasette, url)
        ids += [row["id"] for row in page["rows"]]
        assert len(ids) <= len(THINGS), "the pages have no end"
        url = page["next_url"]
    return ids


async def ids_of_html(datasette: Datasette, path: str) -> list[str]:
    ids, url = [], path
    while url:
        page = (await datasette.client.get(url)).text
        ids += re.findall(r'<td class="col-id[^>]*>(?:<a [^>]*>)?(t/[^<]*)<', page)
        following = re.search(r'<a href="http://localhost([^"]*)">Next page', page)
        url = html.unescape(following[1]) if following else ""
    return ids


async def ids_of_csv(datasette: Datasette, path: str) -> list[str]:
    text = (await datasette.client.get(path)).text
    return [row["id"] for row in csv.DictReader(io.StringIO(text))]


READERS = {"html": ids_of_html, "json": ids_of_json, "csv": ids_of_csv}


async def ids(datasette: Datasette, reader: str, table: str, **arguments: str) -> list[str]:
    extension = {"html": "", "json": ".json", "csv": ".csv"}[reader]
    own = {"json": {"_shape": "objects"}, "csv": {"_stream": "on"}}.get(reader, {})
    query = urlencode({"_size": "7", **own, **arguments})
    found = await READERS[reader](datasette, f"/shelf/{table}{extension}?{query}")
    return [each.split("</a>")[0] for each in found]


@pytest.mark.parametrize(
    ("reader", "table", "column"),
    [
        *(
            ("json", table, column)
            for table in ("things", "pairs", "notes")
            for column in ("colour", "size", "weight", "version", "loose", "maker", "id")
        ),
        *((reader, table, "colour") for reader in ("html", "csv") for table in TABLES),
    ],
)
@pytest.mark.parametrize("argument", ["_sort", "_sort_desc"])
async def test_every_row_is_on_one_page_in_order(
    datasette: Datasette, reader: str, table: str, column: str, argument: str
) -> None:
    found = await ids(datasette, reader, table, **{argument: column})
    assert found == ids_in_order(table, column, descending=argument == "_sort_desc")


@pytest.mark.parametrize("size", ["1", "2", "30", "59", "60"])
async def test_at_any_size_of_page(datasette: Datasette, size: str) -> None:
    found = await ids(datasette, "json", "things", _sort="colour", _size=size)
    assert found == ids_in_order("things", "colour")


@pytest.mark.parametrize("argument", ["_sort", "_sort_desc"])
async def test_with_filters(datasette: Datasette, argument: str) -> None:
    found = await ids(
        datasette, "json", "things", **{argument: "size", "maker": "1", "_where": "place < 11"}
    )
    wanted = {row["id"] for row in THINGS if row["maker"] == 1 and (row["place"] or 11) < 11}
    order = ids_in_order("things", "size", descending=argument == "_sort_desc")
    assert found == [each for each in order if each in wanted]


async def test_with_labels_of_other_tables(datasette: Datasette) -> None:
    found = await ids(datasette, "json", "things", _sort="maker", _labels="on")
    assert found == ids_in_order("things", "maker")


@pytest.mark.parametrize("labels", ["on", "off"])
async def test_where_the_column_is_not_shown(datasette: Datasette, labels: str) -> None:
    columns = {"_col": "maker", "_labels": labels}
    found = await ids(datasette, "json", "things", _sort="colour", **columns)
    assert found == ids_in_order("things", "colour")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("argument", ["_sort", "_sort_desc"])
async def test_a_view_is_ordered_by_all_its_columns(
    datasette: Datasette, reader: str, argument: str
) -> None:
    found = await ids(datasette, reader, "seen", **{argument: "colour"})
    rows = sorted(
        (row for row in THINGS if row["maker"] == 1),
        key=lambda row: (row["size"] is not None, row["size"] or 0, row["id"]),
    )
    rows.sort(
        key=lambda row: (row["colour"] is not None, row["colour"] or ""),
        reverse=argument == "_sort_desc",
    )
    assert found == [row["id"] for row in rows]


async def test_the_sql_that_is_shown_has_the_order(datasette: Datasette) -> None:
    for arguments, order in {
        "_sort=colour": "order by colour, id limit 101",
        "_sort_desc=colour&_next=red,t~2F00~2C0": "order by colour desc, id limit 101",
        "": "order by id limit 101",
    }.items():
        found = await answer(datasette, f"/shelf/things.json?{arguments}")
        assert found["query"]["sql"].endswith(order)


@pytest.mark.parametrize("reader", ["json", "csv"])
@pytest.mark.parametrize("argument", ["_sort", "_sort_desc"])
@pytest.mark.parametrize(
    ("column", "rank", "is_turned"),
    [("size", "weight", False), ("version", "place", True), ("maker", "colour", False)],
)
async def test_a_column_is_sorted_by_its_rank(
    datasette: Datasette, reader: str, argument: str, column: str, rank: str, is_turned: bool
) -> None:
    found = await ids(datasette, reader, "ranked", **{argument: column})
    descending = (argument == "_sort_desc") != is_turned
    assert found == ids_in_order("ranked", rank, descending=descending)


@pytest.mark.parametrize(
    ("table", "column", "descending"),
    [("by_default", "place", True), ("by_default_desc", "colour", True)],
)
@pytest.mark.parametrize("reader", READERS)
async def test_the_order_of_metadata(
    datasette: Datasette, reader: str, table: str, column: str, descending: bool
) -> None:
    found = await ids(datasette, reader, table)
    assert found == ids_in_order(table, column, descending=descending)


async def test_a_page_says_what_was_asked_for_not_the_rank(datasette: Datasette) -> None:
    path = "/shelf/ranked.json?colour=red&_sort_desc=version&_facet=colour&_size=7"
    found = await answer(datasette, path)
    assert found["human_description_en"] == ('where colour = "red" sorted by version descending')
    query = dict(parse_qsl(found["next_url"].partition("?")[2]))
    assert query.pop("_next") == found["next"]
    assert query == dict(parse_qsl(path.partition("?")[2]))
    (value,) = found["facet_results"]["colour"]["results"]
    assert "place" not in value["toggle_url"]
    assert "order by place, id limit 8" in found["query"]["sql"]


async def test_the_page_of_a_rank_has_arrow_and_links_of_its_column(datasette: Datasette) -> None:
    page = (await datasette.client.get("/shelf/ranked?_sort=version&_size=7")).text
    heads = dict(re.findall(r'data-column="(\w+)".*?<a href="([^"]*)"', page, re.DOTALL))
    assert heads["version"] == "/shelf/ranked?_size=7&amp;_sort_desc=version"
    assert heads["colour"] == "/shelf/ranked?_size=7&amp;_sort=colour"
    assert page.count("▼") == 1
    assert "sorted by version" in page
    assert 'value="version" selected' in page
    page = (await datasette.client.get("/shelf/ranked?_sort_desc=version&_size=7")).text
    assert page.count("▲") == 1


async def test_a_rank_can_be_sorted_by_itself(datasette: Datasette) -> None:
    found = await ids(datasette, "json", "ranked", _sort="place")
    assert found == ids_in_order("ranked", "place")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("things?_sort=unknown", 500, "Cannot sort table by unknown"),
        (
            "things?_sort=id&_sort_desc=id",
            500,
            "Cannot use _sort and _sort_desc at the same time",
        ),
        ("things?_sort=id&_sort_by_desc=on", 302, ""),
        ("nothing?_sort=id", 404, "Table not found"),
    ],
)
async def test_what_datasette_refuses_is_refused_as_ever(
    datasette: Datasette, path: str, status: int, text: str
) -> None:
    response = await datasette.client.get(f"/shelf/{path}")
    assert response.status_code == status
    assert text in response.text
    assert response.headers.get("location") in {None, "/shelf/things?_sort_desc=id"}
