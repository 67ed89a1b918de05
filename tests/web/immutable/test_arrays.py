"""Filters of columns and JSON arrays, and their facets, compared with SQL on a table of all elements.

The site's plugins serve two databases: `items` with columns `tags` (indexed) and `loose` (not)
that hold the same hostile cells and `plain` that holds lists of texts, and another with a table
without a primary key. All of it is served twice, without bitmaps and with them.
"""

import html
import itertools
import json
import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.filters import FilterArguments, Filters
from datasette.plugins import pm
from datasette.utils.asgi import Request

from web.immutable import arrays

WEB = Path(__file__).parents[3] / "web"

THREE_PLUGINS = """
from datasette.plugins import pm
from web.immutable import arrays, bitmaps, database

for plugin in (arrays, bitmaps, database):
    if not pm.is_registered(plugin):
        pm.register(plugin)
"""

HOSTILE = "<script>alert('x')</script>"
ARRAYS: list[list[Any]] = [
    [],
    ["red", "blue"],
    ["blue", "red", "red"],
    ["red", HOSTILE],
    [HOSTILE, 'say "hi"', "O'Reilly"],
    ["a&b=c#d;e", "100%", "two words"],
    ["naïve café", "日本"],
    ["naïve café", "back\\slash", "line\nbreak"],
    ["{v}", "{c}", ":p0"],
    ["", "red"],
    ["None", "blue"],
    [None, "blue", None],
    [1, 2, 2, 1.5],
    ["1", "red"],
    ["1", 1],
    [True, False, "true"],
    [["red", "blue"], {"red": "blue"}],
]
NO_ARRAYS = [None, "", "red", "[1,", '{"red": "blue"}', '"red"', "7", "null"]
CELLS = [
    *(json.dumps(array) for array in ARRAYS),
    *(json.dumps(array, ensure_ascii=False, separators=(",", ":")) for array in ARRAYS),
    *NO_ARRAYS,
]
PLAIN_CELLS = [
    *(
        json.dumps(array, ensure_ascii=False)
        for array in ARRAYS
        if all(isinstance(element, str) and element.isprintable() for element in array)
        and not any({'"', "\\"} & set(element) for element in array)
    ),
    None,
]
BITMAPS = {"columns": ["colour", "note", "size"], "arrays": ["plain", "tags"]}
OTHER_DATABASE = "other shelf"
OTHER_TABLE = 'reader\'s "list"'


class Row(NamedTuple):
    id: str
    colour: str | None
    size: int
    made: str
    note: str
    tags: str | None
    loose: str | None
    plain: str | None


class Condition(NamedTuple):
    """A filter, as arguments of the page and as a condition of SQL on `items`.

    Attributes:
        pairs: The arguments.
        sql: The condition.
    """

    pairs: dict[str, str]
    sql: str


def has(column: str, text: str) -> str:
    literal = text.replace("'", "''")
    return f"id in (select item from elements where source = '{column}' and element = '{literal}')"


def contains(column: str, text: str) -> Condition:
    return Condition({f"{column}__arraycontains": text}, has(column, text))


def lacks(column: str, text: str) -> Condition:
    return Condition({f"{column}__arraynotcontains": text}, f"not {has(column, text)}")


def through(value: str) -> dict[str, str]:
    return {"_through": json.dumps({"table": "owners", "column": "name", "value": value})}


CONDITIONS = {
    "exact": Condition({"colour": "red"}, "colour = 'red'"),
    "not": Condition({"colour__not": "green"}, "colour != 'green'"),
    "blank": Condition({"colour__isblank": "1"}, "coalesce(colour, '') = ''"),
    "in": Condition({"colour__in": "red,blue"}, "colour in ('red', 'blue')"),
    "greater": Condition({"size__gt": "40"}, "size > 40"),
    "date": Condition({"made__date": "2024-02-01"}, "date(made) = '2024-02-01'"),
    "search": Condition({"_search": "river"}, "note like '%river%'"),
    "where": Condition({"_where": "size % 2 = 0"}, "size % 2 = 0"),
    "through": Condition(through("Ann"), "id in (select item from owners where name = 'Ann')"),
    "indexed contains": contains("tags", "red"),
    "indexed contains markup": contains("tags", HOSTILE),
    "indexed contains number": contains("tags", "1"),
    "indexed lacks": lacks("tags", "blue"),
    "contains": contains("loose", "naïve café"),
    "contains null": contains("loose", "None"),
    "contains backslash": contains("loose", "back\\slash"),
    "contains nothing": contains("loose", ""),
    "lacks": lacks("loose", "red"),
    "contains unknown": contains("tags", "not there"),
    "plain contains": contains("plain", "red"),
    "plain contains markup": contains("plain", HOSTILE),
    "plain lacks": lacks("plain", "blue"),
    "plain contains unknown": contains("plain", "not there"),
}
ARRAY_COLUMNS = ("tags", "loose", "plain")
# Pairs of these are tried too.
OFTEN = ("exact", "blank", "in", "greater", "search", "where", "through", "indexed contains number")
OFTEN += (
    "lacks",
    "plain contains",
    "plain contains markup",
    "plain lacks",
    "plain contains unknown",
)
# Datasette's facet of arrays ends in an error where a cell is no JSON.
FACETS = [("_facet", "colour"), ("_facet_array", "plain"), ("_facet_date", "made")]


def element_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def elements(cell: str | None) -> set[str]:
    """The texts of a cell's elements; a JSON value that is no array is its own only element."""
    try:
        value = json.loads(cell or "")
    except ValueError:
        return set()
    if isinstance(value, dict):
        value = list(value.values())
    return {element_text(each) for each in (value if isinstance(value, list) else [value])}


TEXTS = {text for cell in CELLS for text in elements(cell)}


def make_rows() -> list[Row]:
    chance = random.Random(4)
    return [
        Row(
            f"item/{number:04}",
            chance.choice(["red", "blue", "green", "", None]),
            chance.randrange(100),
            f"2024-02-{chance.randrange(1, 6):02}T10:00",
            chance.choice(["river bank", "sea shore", "river sea"]),
            chance.choice(CELLS),
            chance.choice(CELLS),
            chance.choice(PLAIN_CELLS),
        )
        for number in range(1000)
    ]


def write_items(path: Path) -> None:
    rows = make_rows()
    database = sqlite3.connect(path)
    database.executescript(
        """
        create table items (
            id text primary key, colour text, size integer, made text, note text,
            tags text, loose text, plain text
        );
        create index items_tags on items (tags);
        create view red_items as select * from items where colour = 'red';
        create table elements (item text, source text, element text);
        create table owners (item text references items (id), name text);
        create virtual table items_fts using fts5 (note, content="items");
        """
    )
    database.executemany("insert into items values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    database.executemany(
        "insert into elements values (?, ?, ?)",
        [
            (row.id, column, text)
            for row in rows
            for column in ARRAY_COLUMNS
            for text in elements(getattr(row, column))
        ],
    )
    database.executemany(
        "insert into owners values (?, ?)",
        [(row.id, name) for row in rows for name in ("Ann", "Bob") if ord(name[0]) + row.size & 1],
    )
    database.execute("insert into owners select id, 'Cid' from items where size < 50")
    database.execute("insert into items_fts (items_fts) values ('rebuild')")
    database.execute("analyze")
    database.commit()
    database.close()


def write_other(path: Path) -> None:
    words = ["one", "two=2", "two=3", "+four", "~four", "five six"]
    database = sqlite3.connect(path)
    database.execute(f'create table [{OTHER_TABLE}] ("key words" text, value text)')
    database.executemany(
        f"insert into [{OTHER_TABLE}] values (?, ?)",
        [(json.dumps(words[: n % 5 + n % 2]), json.dumps(words[n % 6 :])) for n in range(60)],
    )
    database.commit()
    database.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facets")
    write_items(folder / "items.db")
    write_other(folder / f"{OTHER_DATABASE}.db")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "three.py").write_text(THREE_PLUGINS)
    (folder / "templates").mkdir()
    for name in ("_facet_results.html", "_active_filters.html"):
        (folder / "templates" / name).symlink_to(WEB / "templates" / name)
    (folder / "templates" / "table.html").write_text(
        '{% extends "default:table.html" %}'
        '{% block description_source_license %}{% include "_active_filters.html" %}{% endblock %}'
    )
    return folder


def make_datasette(
    folder: Path,
    metadata: dict[str, Any] | None = None,
    databases: Sequence[Path] | None = None,
) -> Datasette:
    return Datasette(
        [],
        immutables=[str(path) for path in databases or sorted(folder.glob("*.db"))],
        plugins_dir=str(folder / "plugins"),
        template_dir=str(folder / "templates"),
        metadata=metadata,
        settings={"suggest_facets": False, "template_debug": True, "trace_debug": True},
    )


@pytest.fixture(scope="module", autouse=True)
def plugins() -> Iterator[None]:
    """Leave no plugin registered that was not before."""
    before = set(pm.get_plugins())
    yield
    for plugin in set(pm.get_plugins()) - before:
        pm.unregister(plugin)


@pytest.fixture(scope="module", params=[None, BITMAPS], ids=["sql", "bitmaps"])
def datasette(folder: Path, plugins: None, request: pytest.FixtureRequest) -> Iterator[Datasette]:
    config = {"plugins": {"bitmaps": request.param}} if request.param else {}
    datasette = make_datasette(folder, {"databases": {"items": {"tables": {"items": config}}}})
    yield datasette
    datasette.executor.shutdown()


@pytest.fixture
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / "items.db")
    yield connection
    connection.close()


async def get_json(datasette: Datasette, path: str) -> dict[str, Any]:
    response = await datasette.client.get(path.removeprefix("http://localhost"))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def get_html(datasette: Datasette, path: str) -> str:
    response = await datasette.client.get(path)
    assert response.status_code == 200, response.text
    return str(response.text)


def address(*pairs: tuple[str, str], table: str = "/items/items", extension: str = ".json") -> str:
    return f"{table}{extension}?{urlencode(pairs)}"


def counts(facet: dict[str, Any]) -> list[tuple[Any, int]]:
    return [(result["value"], result["count"]) for result in facet["results"]]


def all_counts(answer: dict[str, Any]) -> dict[str, list[tuple[Any, int]]]:
    return {name: counts(facet) for name, facet in answer["facet_results"].items()}


def expected_counts(
    database: sqlite3.Connection, *conditions: Condition
) -> dict[str, list[tuple[Any, int]]]:
    where = " and ".join(condition.sql for condition in conditions) or "true"
    order = "group by 1 order by 2 desc, 1"
    found = {
        "colour": f"select colour, count(*) from items where {where} and colour not null {order}",
        "made": f"select date(made), count(*) from items where {where} {order}",
        "plain": "select element, count(*) from items join elements on item = id"
        f" where source = 'plain' and {where} {order}",
    }
    return {name: database.execute(sql).fetchall() for name, sql in found.items()}


@pytest.mark.parametrize(
    "names",
    [(), *itertools.combinations(CONDITIONS, 1), *itertools.combinations(OFTEN, 2)],
    ids=" + ".join,
)
async def test_facets_and_filters_count_what_sql_counts(
    datasette: Datasette, database: sqlite3.Connection, names: tuple[str, ...]
) -> None:
    conditions = [CONDITIONS[name] for name in names]
    filters = [pair for condition in conditions for pair in condition.pairs.items()]
    where = " and ".join(condition.sql for condition in conditions) or "true"
    answer = await get_json(
        datasette, address(*filters, *FACETS, ("_facet_size", "max"), ("_size", "1"))
    )
    total = database.execute(f"select count(*) from items where {where}").fetchone()[0]
    assert answer["filtered_table_rows_count"] == total
    assert all_counts(answer) == expected_counts(database, *conditions)


async def test_any_element_is_found(datasette: Datasette, database: sqlite3.Connection) -> None:
    for text, lookup in itertools.product(sorted(TEXTS), ("arraycontains", "arraynotcontains")):
        for column in ARRAY_COLUMNS:
            answer = await get_json(
                datasette, address((f"{column}__{lookup}", text), ("_nofacet", "1"), ("_size", "0"))
            )
            negation = "not" if lookup == "arraynotcontains" else ""
            found = database.execute(
                f"select count(*) from items where {negation} {has(column, text)}"
            )
            assert (text, column, answer["filtered_table_rows_count"]) == (
                text,
                column,
                found.fetchone()[0],
            )


async def test_every_link_of_a_facet_gives_its_count_and_leads_back(datasette: Datasette) -> None:
    pairs = [("tags__arraycontains", "red"), ("note__not", "x"), ("_facet_array", "plain")]
    answer = await get_json(datasette, address(*pairs, ("_facet_size", "max")))
    results = answer["facet_results"]["plain"]["results"]
    texts = {text for cell in PLAIN_CELLS if cell for text in elements(cell)}
    assert {result["value"] for result in results} == texts
    for result in results:
        assert not result["selected"]
        toggled = await get_json(datasette, result["toggle_url"])
        assert toggled["filtered_table_rows_count"] == result["count"]
        values = toggled["facet_results"]["plain"]["results"]
        chosen = next(each for each in values if each["selected"])
        assert (chosen["value"], chosen["count"]) == (result["value"], result["count"])
        query = chosen["toggle_url"].partition("?")[2]
        assert parse_qsl(query, keep_blank_values=True) == [*pairs, ("_facet_size", "max")]


def write_cells(path: Path, cells: list[Any]) -> None:
    database = sqlite3.connect(path)
    database.execute("create table cells (id integer primary key, cell)")
    database.executemany("insert into cells (cell) values (?)", [[cell] for cell in cells])
    database.commit()
    database.close()


async def test_links_of_elements_that_are_no_texts_find_them(tmp_path: Path, folder: Path) -> None:
    write_cells(tmp_path / "cells.db", ['["a", 1, 1]', "[1, 2.5, null]", "[100.0, [1, 2], true]"])
    datasette = make_datasette(folder, databases=[tmp_path / "cells.db"])
    answer = await get_json(datasette, "/cells/cells.json?_facet_array=cell")
    results = answer["facet_results"]["cell"]["results"]
    assert [(result["value"], result["count"]) for result in results] == [
        *(("1", 3), ("None", 1), ("2.5", 1), ("100.0", 1), ("[1,2]", 1), ("a", 1))
    ]
    for result in results:
        toggled = await get_json(datasette, result["toggle_url"])
        assert toggled["filtered_table_rows_count"] == result["count"]


ODD_CELLS: list[Any] = [
    *("[" * 3000 + "]" * 3000, "[1,]", "{'a': 1}", '["a"] x', b"\xff\x00", "[]", 7, 1.5),
    *(b'["a"]', '["a"]', '["a", "\\u0061", "b"]', ' [ "a b" ] ', '["\\"a\\""]'),
    *("[-0, 1]", "[0.1, 100.0]", "[null, null, true, 1]", '["null"]', '["1"]'),
]


@pytest.mark.parametrize(
    ("element", "ids"),
    [
        *(("a", [9, 10, 11]), ("b", [11]), ("a b", [12]), ('"a"', [13]), ("c", [])),
        *(("1", [14, 16, 18]), ("0.1", [15]), ("100.0", [15]), ("7", [7]), ("1.5", [8])),
        *(("None", [16]), ("null", [17]), ('"null"', []), ("", [])),
    ],
)
async def test_no_cell_breaks_a_filter(
    tmp_path: Path, folder: Path, element: str, ids: list[int]
) -> None:
    write_cells(tmp_path / "cells.db", ODD_CELLS)
    datasette = make_datasette(folder, databases=[tmp_path / "cells.db"])
    everything = set(range(1, len(ODD_CELLS) + 1))
    for lookup, expected in (
        ("arraycontains", set(ids)),
        ("arraynotcontains", everything - set(ids)),
    ):
        query = urlencode({f"cell__{lookup}": element, "_col": "id", "_shape": "arrayfirst"})
        response = await datasette.client.get(f"/cells/cells.json?{query}")
        assert set(response.json()) == expected


@contextmanager
def without_plugin() -> Iterator[None]:
    pm.unregister(arrays)
    try:
        yield
    finally:
        pm.register(arrays)


async def test_json_is_datasettes_own_in_another_database(datasette: Datasette) -> None:
    path = address(
        ("_facet_array", "key words"),
        ("_facet_array", '{"column": "value"}'),
        ("value__arraycontains", "five six"),
        ("_facet_size", "4"),
        table=datasette.urls.table(OTHER_DATABASE, OTHER_TABLE),
    )
    ours = await get_json(datasette, path)
    with without_plugin():
        datasettes_own = await get_json(datasette, path)
    assert ours["facet_results"] == datasettes_own["facet_results"]
    assert counts(ours["facet_results"]["key words"]) == [
        ("one", 54),
        ("two=2", 42),
        ("two=3", 30),
        ("+four", 18),
    ]
    assert [facet["truncated"] for facet in ours["facet_results"].values()] == [True, True]


async def test_metadata_facets_are_counted_once_and_cannot_be_hidden(folder: Path) -> None:
    facets = ["colour", {"array": "plain"}]
    datasette = make_datasette(
        folder,
        metadata={
            "databases": {"items": {"tables": {"items": {"facets": facets, "facet_size": 3}}}}
        },
    )
    answer = await get_json(
        datasette,
        address(("_facet_array", "plain"), ("_facet", "colour"), ("_facet", "note")),
    )
    assert {name: facet["hideable"] for name, facet in answer["facet_results"].items()} == {
        "colour": False,
        "plain": False,
        "note": True,
    }
    assert {len(facet["results"]) for facet in answer["facet_results"].values()} == {3}


def facets_and_links(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """The values of all facets, with the arguments of their links in one order."""
    return {
        name: [
            [
                *(each[key] for key in ("value", "label", "count", "selected")),
                sorted(parse_qsl(each["toggle_url"].partition("?")[2])),
            ]
            for each in facet["results"]
        ]
        for name, facet in answer["facet_results"].items()
    }


LATER_PAGES = {
    "key": ("items", [("_size", "300")]),
    "sorted": ("items", [("_size", "300"), ("_sort", "size")]),
    "sorted, with nulls": ("items", [("_size", "300"), ("_sort_desc", "colour")]),
    "filters": ("items", [("_size", "9"), ("tags__arraycontains", "red"), ("colour", "red")]),
    "filters, sorted": (
        "items",
        [("_size", "12"), ("_sort", "made"), ("_search", "river"), ("size__in", "1,2,3,4,5,6")],
    ),
    "other filters": (
        "items",
        [*through("Ann").items(), ("colour__not", "green"), ("_where", "size > 1")],
    ),
    "view": ("red_items", [("_size", "9"), ("tags__arraycontains", "blue")]),
}


@pytest.mark.parametrize(("table", "pairs"), LATER_PAGES.values(), ids=LATER_PAGES)
async def test_later_pages_count_the_whole_filter(
    datasette: Datasette, table: str, pairs: list[tuple[str, str]]
) -> None:
    page = await get_json(datasette, address(*pairs, *FACETS, table=f"/items/{table}"))
    facets, total = facets_and_links(page), page["filtered_table_rows_count"]
    ids, pages = [row[0] for row in page["rows"]], 1
    while page["next_url"]:
        page = await get_json(datasette, page["next_url"])
        assert facets_and_links(page) == facets
        ids += [row[0] for row in page["rows"]]
        pages += 1
    assert pages > 2
    assert len(set(ids)) == len(ids) == total


async def test_later_pages_of_a_table_without_primary_key(datasette: Datasette) -> None:
    table = datasette.urls.table(OTHER_DATABASE, OTHER_TABLE)
    first = await get_json(
        datasette,
        address(("_facet_array", "value"), ("_facet", "rowid"), ("_size", "30"), table=table),
    )
    second = await get_json(datasette, first["next_url"])
    assert len(second["rows"]) == 30
    assert facets_and_links(second) == facets_and_links(first)


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        ([("colour", "red")], "colour = 'red'"),
        (
            [("colour", "red"), ("size__gt", "40"), ("colour__in", "red,blue")],
            "colour = 'red' and size > 40",
        ),
        (list(through("Bob").items()), "id in (select item from owners where name = 'Bob')"),
        (
            [*through("Bob").items(), ("size__lt", "80"), ("_search", "sea")],
            "id in (select item from owners where name = 'Bob') and size < 80 and note glob '*sea*'",
        ),
        ([("_where", "note != ':p0'"), ("colour", "blue")], "colour = 'blue'"),
    ],
)
async def test_through_goes_with_other_filters(
    datasette: Datasette,
    database: sqlite3.Connection,
    filters: list[tuple[str, str]],
    where: str,
) -> None:
    answer = await get_json(
        datasette, address(*through("Cid").items(), *filters, *FACETS, ("_facet_size", "max"))
    )
    condition = Condition({}, f"id in (select item from owners where name = 'Cid') and {where}")
    assert answer["filtered_table_rows_count"] > 0
    assert all_counts(answer) == expected_counts(database, condition)


class AbovePlugin:
    """A plugin whose filter has a parameter named as Datasette names those of columns."""

    @hookimpl  # type: ignore[untyped-decorator]
    def filters_from_request(self, request: Request) -> FilterArguments | None:
        if "_above" not in request.args:
            return None
        return FilterArguments(
            ["""note != ':p0' and note != ":p0" and [size] > :p0"""],
            {"p0": int(request.args["_above"])},
        )


async def test_filters_of_other_plugins_have_parameters_of_their_own(
    datasette: Datasette, database: sqlite3.Connection
) -> None:
    plugin = AbovePlugin()
    pm.register(plugin)
    try:
        answer = await get_json(
            datasette,
            address(("_above", "70"), ("colour", "red"), *through("Cid").items(), *FACETS),
        )
        above = await get_json(datasette, address(("_above", "70"), ("colour", "red"), *FACETS))
    finally:
        pm.unregister(plugin)
    assert answer["filtered_table_rows_count"] == 0
    found = database.execute("select count(*) from items where size > 70 and colour = 'red'")
    assert above["filtered_table_rows_count"] == found.fetchone()[0]


async def test_a_facet_that_takes_too_long_is_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "endless.db"
    database = sqlite3.connect(path)
    database.execute(
        """create view endless as with recursive numbers (tags) as (
            select 1 union all select tags + 1 from numbers
        ) select tags from numbers"""
    )
    database.close()
    datasette = Datasette(
        [str(path)],
        plugins_dir=str(folder / "plugins"),
        template_dir=str(folder / "templates"),
        settings={"sql_time_limit_ms": 100, "facet_time_limit_ms": 50, "suggest_facets": False},
    )
    page = await get_html(datasette, "/endless/endless?_facet_array=tags&_size=1")
    assert "These facets timed out: tags" in page


async def test_csv_stream_holds_all_rows_of_the_filter(
    datasette: Datasette, database: sqlite3.Connection
) -> None:
    path = address(
        ("tags__arraycontains", "red"), ("_stream", "1"), ("_size", "10"), extension=".csv"
    )
    lines = (await get_html(datasette, path + "&_col=size")).splitlines()
    found = database.execute(f"select count(*) from items where {has('tags', 'red')}")
    assert len(lines) - 1 == found.fetchone()[0]


async def test_loading_the_plugin_again_changes_nothing(folder: Path) -> None:
    lookups = []
    for _ in range(2):
        datasette = make_datasette(folder)
        await datasette.invoke_startup()
        lookups.append(list(Filters([]).lookups()))
        answer = await get_json(datasette, address(*FACETS))
        assert list(answer["facet_results"]) == ["colour", "made", "plain"]
    assert lookups[0] == lookups[1]
    assert [display for key, display, _ in lookups[0] if key.startswith("array")] == [
        "array contains",
        "array does not contain",
    ]


ACTIVE = [
    (("tags__arraycontains", "red"), "tags contains red"),
    (("tags__arraycontains", HOSTILE), f"tags contains {HOSTILE}"),
    (("loose__arraynotcontains", "blue"), "loose does not contain blue"),
    (("colour", "red"), "colour = red"),
    (("note__not", ""), 'note != ""'),
    (("size__gt", "4"), "size > 4"),
    (("colour__in", "red,blue"), 'colour in ["red", "blue"]'),
    (("made__notnull", "1"), "made is not null"),
    (("_search", 'river "bank"'), 'search matches river "bank"'),
    (("_where", 'note != "x"'), 'note != "x"'),
    (("_through", through("Cid")["_through"]), "owners.name = Cid"),
]
NO_FILTERS = [("_sort", "size"), ("size__unknown", "4"), ("_search_note", "x"), ("_size", "3")]


async def context(datasette: Datasette, path: str) -> dict[str, Any]:
    page = await get_html(datasette, f"{path}&_context=1")
    values: dict[str, Any] = json.loads(
        html.unescape(page.removeprefix("<pre>").removesuffix("</pre>"))
    )
    return values


async def test_each_active_filter_is_said_and_can_be_removed(datasette: Datasette) -> None:
    pairs = [pair for pair, _ in ACTIVE]
    page = address(*pairs, ("_next", "1,item~2F0001"), *NO_FILTERS, extension="")
    active = (await context(datasette, page))["active_filters"]
    assert [text for text, _ in active] == [text for _, text in ACTIVE]
    for pair, (_, remove_url) in zip(pairs, active, strict=True):
        path, _, query = remove_url.partition("?")
        assert path == "/items/items"
        assert parse_qsl(query, keep_blank_values=True) == [
            *(other for other in pairs if other != pair),
            *NO_FILTERS,
            ("_context", "1"),
        ]


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("/items/items?_search_note=sea", ['search column "note" matches sea']),
        ("/items/elements?_search=sea", []),
        ("/items/red_items?size=4&size=4", ["size = 4"]),
        ("/items/items?_sort=size", []),
    ],
)
async def test_only_filters_that_datasette_applies_are_said(
    datasette: Datasette, path: str, texts: list[str]
) -> None:
    active = (await context(datasette, path))["active_filters"]
    assert [text for text, _ in active] == texts


async def test_a_page_says_its_filters(datasette: Datasette) -> None:
    page = await get_html(
        datasette,
        address(("tags__arraycontains", HOSTILE), ("colour", "red"), *FACETS, extension=""),
    )
    (said,) = re.findall(r'<ul class="active-filters".*?</ul>', page, re.DOTALL)
    words = " ".join(html.unescape(re.sub("<[^>]*>", " ", said)).split())
    assert words == f"where tags contains {HOSTILE} \u2716 and colour = red \u2716"
    assert HOSTILE not in page
    other = await get_html(datasette, "/items/items")
    assert "active-filters" not in other


def facet_of(*labels: str, selected: str = "", kind: str = "array") -> dict[str, Any]:
    results = [{"label": label, "selected": label == selected} for label in labels]
    return {"type": kind, "results": results}


def grouped(datasette: Datasette, facet: dict[str, Any]) -> list[tuple[str, list[str], bool]]:
    return [
        (group.name, [result["label"] for result in group.results], group.selected)
        for group in datasette.jinja_env.filters["facet_groups"](facet)
    ]


MANY = [
    "~mpi",
    "+mpi",
    "Plain",
    "b=1",
    "b=2",
    "b=3",
    "a=x",
    "c=1",
    "c=2",
    "c=3",
    "c=4",
    "+",
    "=d",
    "x",
]


async def test_many_values_are_grouped_by_name(datasette: Datasette) -> None:
    await datasette.invoke_startup()
    assert grouped(datasette, facet_of(*MANY, selected="b=2")) == [
        ("", ["+"], False),
        ("", ["=d"], False),
        ("", ["a=x"], False),
        ("b", ["b=1", "b=2", "b=3"], True),
        ("c", ["c=1", "c=2", "c=3", "c=4"], False),
        ("mpi", ["~mpi", "+mpi"], False),
        ("", ["Plain"], False),
        ("", ["x"], False),
    ]


@pytest.mark.parametrize(
    "facet",
    [
        facet_of(*MANY[:12]),
        facet_of(*MANY, kind="column"),
        facet_of(*(f"name{number}={number}" for number in range(20)), "name1=x"),
        facet_of(),
    ],
    ids=["few", "column", "hardly any name in common", "none"],
)
async def test_other_values_are_one_list(datasette: Datasette, facet: dict[str, Any]) -> None:
    await datasette.invoke_startup()
    labels = [result["label"] for result in facet["results"]]
    assert grouped(datasette, facet) == [("", labels, False)]


async def test_groups_unfold_on_the_page(folder: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "many.db")
    database.execute("create table many (marks text)")
    database.execute("insert into many values (?)", [json.dumps(MANY)])
    database.commit()
    database.close()
    datasette = Datasette(
        [str(tmp_path / "many.db")],
        plugins_dir=str(folder / "plugins"),
        template_dir=str(folder / "templates"),
    )
    page = await get_html(datasette, "/many/many?_facet_array=marks&marks__arraycontains=b%3D2")
    summaries = re.findall(r"<details( open)?>\s*<summary>(\S+) <span[^>]*>(\d)</span>", page)
    assert summaries == [(" open", "b", "3"), ("", "c", "4"), ("", "mpi", "2")]
    assert len(re.findall(r"arraycontains=[^\"]*\">[^<]+</a> 1</li>", page)) == len(MANY) - 1
    assert 'aria-label="Remove filter: marks b=2"' in page


@pytest.mark.parametrize(
    ("clause", "renamed"),
    [
        ("a = :p0", "a = :q0"),
        ("[:p0] = ':p0' and \":p0\" = `:p0`", "[:p0] = ':p0' and \":p0\" = `:p0`"),
        # A bracket that is never closed is looked at once, not once for each that follows.
        ("a = :p0 and [[[ :p0", "a = :q0 and [[[ :p0"),
    ],
)
def test_parameters_are_renamed_where_they_are_some(clause: str, renamed: str) -> None:
    assert arrays._renamed(clause, {"p0": "q0"}) == renamed
