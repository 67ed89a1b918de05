"""Filters of a plugin that knows which rows they find: facets, counts, chips, pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.filters import FilterArguments
from datasette.utils.asgi import Request
from pyroaring import BitMap

from tests.web.immutable.plain import answer, served
from tests.web.immutable.test_bitmaps import BITMAPS, FACETS, PLUGINS, facets_of, write_things
from web.immutable import arrays, bitmaps
from web.immutable.plugin_filters import PluginFilter, PluginFilters


class Multiples:
    """A plugin that filters by the number of a row: `_multiple=7`.

    Attributes:
        is_known: whether it says which rows it finds.
    """

    __name__ = "multiples"
    is_known = True

    @hookimpl  # type: ignore[untyped-decorator]
    def filters_from_request(self, request: Request) -> Any:
        filters = [
            PluginFilter(
                pair=("_multiple", value),
                text=f"is a multiple of {value}",
                clause=f"things.rowid % cast(:multiple{number} as integer) = 0",
                parameter=f"multiple{number}",
                value=value,
                rows=BitMap(range(0, 1001, int(value))) - BitMap([0]),
            )
            for number, value in enumerate(request.args.getlist("_multiple"))
        ]
        if not filters:
            return None
        known = PluginFilters(filters)
        if self.is_known:
            return known
        return FilterArguments(known.where_clauses, known.params, known.human_descriptions)


MULTIPLES = Multiples()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_things(tmp_path_factory.mktemp("multiples") / "shelf.db")


@pytest.fixture(scope="module")
def pages(path: Path) -> Iterator[Datasette]:
    table = {"facets": FACETS, "plugins": {"bitmaps": BITMAPS}}
    with served(path, *PLUGINS, MULTIPLES, tables={"things": table}) as datasette:
        yield datasette


FILTERS: list[list[tuple[str, str]]] = [
    [("_multiple", "7")],
    [("_multiple", "7"), ("_multiple", "3")],
    [("_multiple", "7"), ("colour", "red"), ("_facet", "shape")],
    [("_multiple", "1"), ("tags__arraycontains", "round"), ("_size", "5")],
    [("_multiple", "100"), ("colour", "blue")],
    [("_multiple", "7"), ("size__gt", "7")],
    [("_multiple", "7"), ("_where", "size > 1")],
    [("_multiple", "7"), ("_search", "river")],
    [("_multiple", "7"), ("_size", "3"), ("_sort_desc", "size")],
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_pages_are_those_of_a_plugin_that_knows_no_rows(
    pages: Datasette, filters: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/shelf/things.json?{urlencode(filters)}"
    known = await answer(pages, address)
    monkeypatch.setattr(MULTIPLES, "is_known", False)
    by_sql = await answer(pages, address)
    for found in (known, by_sql):
        del found["query_ms"]

    assert known == by_sql
    assert known["filtered_table_rows_count"] > 0 or filters == FILTERS[4]


async def test_counts_come_from_the_rows_that_are_known(
    pages: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def rows_by_sql(_: object, sql: str, __: object) -> None:
        asked.append(sql)

    monkeypatch.setattr(bitmaps, "_rows_by_sql", rows_by_sql)
    query = urlencode([("_multiple", "7"), ("_multiple", "2"), ("colour", "red")])
    found = await answer(pages, f"/shelf/things.json?{query}")
    red = [n for n in range(14, 1001, 14) if (n - 1) % 100 != 7]

    assert asked == []
    assert found["filtered_table_rows_count"] == len(red)
    assert facets_of(found)["colour"] == {"red": len(red)}
    await answer(pages, f"/shelf/things.json?{query}&size__gt=3")
    assert len(asked) == 1


async def test_each_filter_can_be_taken_away(pages: Datasette) -> None:
    query = "_multiple=7&colour=red&_multiple=2&_next=500"
    request = Request.fake(f"/shelf/things?{query}")
    await pages.client.get("/shelf/things")
    filters = PluginFilters(
        [
            PluginFilter(("_multiple", n), f"is a multiple of {n}", "1", f"m{n}", n, BitMap())
            for n in ("7", "2")
        ]
    )
    request.scope[arrays.APPLIED] = [filters]

    assert [
        (each.text, parse_qsl(urlsplit(each.remove_url).query))
        for each in arrays.active_filters(pages, request)
    ] == [
        ("is a multiple of 7", [("colour", "red"), ("_multiple", "2")]),
        ("colour = red", [("_multiple", "7"), ("_multiple", "2")]),
        ("is a multiple of 2", [("_multiple", "7"), ("colour", "red")]),
    ]
