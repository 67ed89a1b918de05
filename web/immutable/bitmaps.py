"""Facets, filters and counts by bitmaps, for tables of databases that cannot change.

SQL reads every row of a filter for each facet of a page, and most rows of a table for a filter
that most rows pass. This plugin keeps a bitmap for each value of a column: the rows that have it.
What a page's filters find is then the intersection of a few bitmaps, its count and the counts of
its facets are the sizes of intersections, and a page of few rows is read by their numbers. Pages,
JSON, links and the SQL that is shown stay as Datasette makes them; what is run in its place finds
the same rows.

A table's columns are named in its metadata, those that hold JSON arrays of texts apart::

    plugins:
      bitmaps:
        columns: [os, target]
        arrays: [stacks]

The bitmaps are made in the background when the server starts; a page that needs one waits for it.
SQL does what they cannot (see table_bitmaps.py). Where filters of other kinds are on a page, SQL
finds its rows, once for all facets. The filters on arrays (`arraycontains`) are those of
arrays.py, and a page's count is spared by database.py.

This relies on Datasette waiting for one plugin's filters after the other, and on its facets asking
`execute` of their `ds` once for each column and reading `value` and `count`;
tests/web/immutable/test_bitmaps.py fails when that changes.
"""

import copy
import functools
import heapq
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, Results
from datasette.facets import Facet
from datasette.filters import FilterArguments
from datasette.tracer import trace
from datasette.utils import await_me_maybe, sqlite_timelimit
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable import table_page
from web.immutable.loop_turns import pause
from web.immutable.plugin_filters import PluginFilters
from web.immutable.sql import literal, quoted
from web.immutable.table_bitmaps import Condition, RowsOf, TableBitmaps

# So few rows are looked up by their numbers. More of them, or a larger share of all, are met soon
# enough on the way through all rows in the page's order.
LISTED_ROWS = 5_000
LISTED_SHARE = 0.05

ROWS = "bitmaps.rows"
"""Where a request's scope has the rows that its page's filters find."""

bitmaps_by_datasette: WeakKeyDictionary[Datasette, dict[tuple[str, str], TableBitmaps]] = (
    WeakKeyDictionary()
)
"""The bitmaps of each database and table."""


def bitmaps_of(datasette: Datasette, database: str, table: str | None) -> TableBitmaps | None:
    """Return the bitmaps of a table, or None if its metadata asks for none."""
    return bitmaps_by_datasette.get(datasette, {}).get((database, table or ""))


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Begin to make the bitmaps of all tables whose metadata asks for them."""
    table_page.install()
    made = bitmaps_by_datasette.setdefault(datasette, {})
    for name, database in datasette.databases.items():
        tables = datasette.metadata("tables", database=name) or {}
        for table in tables if not database.is_mutable else ():
            if config := datasette.plugin_config("bitmaps", database=name, table=table):
                made[name, table] = TableBitmaps(Path(database.path), table, config)


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Let SQL ask which rows pass conditions (`bitmap_rows`, a JSON array), and how many.

    Both functions take a table, and of each condition column, lookup and value. They are NULL for a
    table without bitmaps.
    """

    def passing(table: str, texts: Sequence[str]) -> BitMap | None:
        bitmaps = bitmaps_of(datasette, database, table)
        conditions = [Condition(*texts[place : place + 3]) for place in range(0, len(texts), 3)]
        return bitmaps.passing(conditions) if bitmaps else None

    def bitmap_rows(table: str, *texts: str) -> str | None:
        rows = passing(table, texts)
        return None if rows is None else json.dumps(rows.to_array().tolist())

    def bitmap_count(table: str, *texts: str) -> int | None:
        rows = passing(table, texts)
        return None if rows is None else len(rows)

    for function in (bitmap_rows, bitmap_count):
        conn.create_function(function.__name__, -1, function, deterministic=True)


@hookimpl(wrapper=True, tryfirst=True)  # type: ignore[untyped-decorator]
def register_facet_classes() -> Generator[None, list[list[type]], list[list[type]]]:
    """Let the facets of every type count by bitmaps."""
    classes_of_plugins = yield
    return [[_counting_by_bitmaps(facet) for facet in classes] for classes in classes_of_plugins]


@functools.cache
def _counting_by_bitmaps(facet: type[Any]) -> type[Any]:
    return type(facet.__name__, (BitmapFacet, facet), {})


class BitmapFacet(Facet):  # type: ignore[misc]
    """A facet that is counted by bitmaps where there are some; to be mixed into a facet class."""

    async def facet_results(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the facets in Datasette's form, and the columns that took too long."""
        results, timed_out = [], []
        for config in self.get_configs():
            facet = await self._of_one_column(config)
            results_of_column, late = await super(BitmapFacet, facet).facet_results()
            results += results_of_column
            timed_out += late
            await pause()
        return results, timed_out

    async def _of_one_column(self, config: dict[str, Any]) -> "BitmapFacet":
        """Return the same facet for one column, with the counts if they are known."""
        facet = copy.copy(self)
        facet.get_configs = lambda: [config]
        column = config["config"].get("column") or config["config"]["simple"]
        bitmaps = bitmaps_of(self.ds, self.database, self.table)
        rows_of = await bitmaps.rows_of(self.type, column) if bitmaps else None
        rows: BitMap | None = self.request.scope.get(ROWS)
        if rows_of is not None and rows is not None:
            facet.ds = Answering(self.ds, _counts(rows_of, rows, self.get_facet_size() + 1))
            facet.row_count = len(rows)
        return facet


class Answering:
    """Datasette, but that its answer to the query of a facet is known."""

    def __init__(self, datasette: Datasette, counts: Iterable[tuple[str, int]]) -> None:
        self._datasette = datasette
        self._rows = [{"value": value, "count": count} for value, count in counts]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._datasette, name)

    async def execute(self, *_: object, **__: object) -> Results:
        """Answer the query."""
        return Results(self._rows, False, [("value",), ("count",)])


def _counts(rows_of: RowsOf, rows: BitMap, most: int) -> list[tuple[str, int]]:
    """Return the values that most rows have, as SQL would order them."""
    counts = ((value, rows.intersection_cardinality(having)) for value, having in rows_of.items())
    by_count = ((-count, value) for value, count in counts if count)
    return [(value, -negative) for negative, value in heapq.nsmallest(most, by_count)]


class PageFilters(NamedTuple):
    """The filters of one page, as Datasette is about to write them.

    Attributes:
        table: The page's table.
        conditions: Those by column.
        clauses: All of them in SQL; those by column come first, in the same order.
        params: The parameters of the SQL.
        known: Those of plugins that know which rows they find.
    """

    table: str
    conditions: Sequence[Condition]
    clauses: Sequence[str]
    params: Mapping[str, Any]
    known: Sequence[PluginFilters]

    @property
    def need_no_sql(self) -> bool:
        """Whether all are by column or known, none of another plugin or a visitor's SQL."""
        known = sum(len(each.where_clauses) for each in self.known)
        return len(self.clauses) == len(self.conditions) + known


@hookimpl(wrapper=True, tryfirst=True)  # type: ignore[untyped-decorator]
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Generator[None, list[object], list[object]]:
    """Note which rows the page's filters find, and let SQL find them faster."""
    plugins = yield
    bitmaps = bitmaps_of(datasette, database, table)
    if bitmaps is None:
        return plugins
    by_plugins: list[FilterArguments] = []

    async def noting(plugin: object) -> FilterArguments | None:
        filters: FilterArguments | None = await await_me_maybe(plugin)
        if filters and filters.where_clauses:
            by_plugins.append(filters)
        return filters

    async def use_bitmaps() -> None:
        metadata = datasette.table_metadata(database, table)
        filters = _page_filters(table, request, metadata, by_plugins)
        await _use(bitmaps, filters, request, datasette.get_database(database))

    # Datasette waits for one after the other, so the last one knows of all.
    return [*(functools.partial(noting, plugin) for plugin in plugins), use_bitmaps]


def _page_filters(
    table: str, request: Request, metadata: Mapping[str, Any], by_plugins: Iterable[FilterArguments]
) -> PageFilters:
    filters = table_page.column_filters(request, metadata)
    clauses, params = filters.build_where_clauses(table)
    lookups = {key for key, *_ in filters.lookups()}
    conditions = [Condition(*each) for each in filters.selections() if each[1] in lookups]
    for plugin in by_plugins:
        clauses += plugin.where_clauses
        params |= plugin.params
    known = [plugin for plugin in by_plugins if isinstance(plugin, PluginFilters)]
    return PageFilters(table, conditions, clauses, params, known)


async def _use(
    bitmaps: TableBitmaps, filters: PageFilters, request: Request, database: Database
) -> None:
    """Let the page be made with what bitmaps know of its filters."""
    all_rows = await bitmaps.all_rows()
    if all_rows is None:
        return
    told = [condition for condition in filters.conditions if await bitmaps.can_tell(condition)]
    rows = bitmaps.passing(told)
    plain = table_page.from_where(filters.table, filters.clauses)
    faster = plain
    if told:
        is_listed = len(rows) <= min(LISTED_ROWS, LISTED_SHARE * len(all_rows))
        faster = table_page.from_where(filters.table, _faster_clauses(filters, told, is_listed))
        table_page.run_instead(functools.partial(_replaced, plain.rstrip(), faster.rstrip()))
    for each in filters.known:
        rows = rows & each.rows
    if filters.need_no_sql and (not rows or len(told) == len(filters.conditions)):
        _note_rows(request, database, filters, rows)
    elif _is_counted(request):
        rows_by_sql = await _rows_by_sql(database, f"select rowid {faster}", filters.params)
        if rows_by_sql is not None:
            _note_rows(request, database, filters, rows_by_sql)


def _replaced(plain: str, faster: str, sql: str, _is_own: bool) -> str:
    return sql.replace(plain, faster)


def _faster_clauses(
    filters: PageFilters, told: Sequence[Condition], is_listed: bool
) -> Sequence[str]:
    """Return clauses that find the same rows in less time.

    Rows that are few are listed by their numbers. Many are met soon in the order of the page, but
    SQLite, which knows only how many rows a value has on average, would take an index, collect and
    sort them all; so it is kept from the index. A visitor's own SQL may hold an `or`, so the list
    comes first: there it belongs to the filters by column, whatever follows.
    """
    clauses = list(filters.clauses)
    for place, condition in enumerate(filters.conditions):
        if condition in told:
            clauses[place] = _faster_clause(condition, clauses[place], filters)
    return [_listing(filters, told), *clauses] if is_listed else clauses


def _faster_clause(condition: Condition, clause: str, filters: PageFilters) -> str:
    """Keep SQLite from an index, and from unfolding arrays whose text does not hold the element."""
    if condition.lookup == "exact":
        return f"+{clause}"
    # Bitmaps are made of arrays only where nothing is escaped.
    is_in_text = f"instr({quoted(condition.column)}, {_parameter(condition, filters)})"
    if condition.lookup == "arraycontains":
        return f"{is_in_text} and {clause}"
    return f"({quoted(condition.column)} is null or not {is_in_text} or {clause})"


def _parameter(condition: Condition, filters: PageFilters) -> str:
    # Any with the same value will do.
    return next(f":{name}" for name, value in filters.params.items() if value == condition.value)


def _listing(filters: PageFilters, told: Iterable[Condition]) -> str:
    asked = [literal(filters.table)]
    for condition in told:
        asked += [literal(condition.column), literal(condition.lookup)]
        asked.append(_parameter(condition, filters))
    rows = f"select value from json_each(bitmap_rows({', '.join(asked)}))"
    return f"{quoted(filters.table)}.rowid in ({rows})"


def _note_rows(request: Request, database: Database, filters: PageFilters, rows: BitMap) -> None:
    """Note which rows a page's filters find, for its facets and its count."""
    request.scope[ROWS] = rows
    if hasattr(database, "remember_count"):
        sql = f"select count(*) {table_page.from_where(filters.table, filters.clauses)}"
        database.remember_count(sql, filters.params, len(rows))


def _is_counted(request: Request) -> bool:
    """Tell whether the page says how many rows there are, as Datasette's table page does."""
    return "_nocount" not in request.args and request.args.get("_shape") not in {"array", "object"}


async def _rows_by_sql(database: Database, sql: str, params: Mapping[str, object]) -> BitMap | None:
    """Return the rows whose rowids a query finds; None if that takes too long."""

    def fetch(connection: sqlite3.Connection) -> BitMap | None:
        cursor = connection.cursor()
        # A tuple of one number is enough.
        cursor.row_factory = None
        with sqlite_timelimit(connection, database.ds.setting("facet_time_limit_ms")):
            try:
                return BitMap(chain.from_iterable(cursor.execute(sql, params)))
            except (sqlite3.Error, TypeError, OverflowError):
                # Interrupted; or the visitor's own SQL is wrong, as the page's query will tell.
                return None

    with trace("sql", database=database.name, sql=sql, params=params):
        rows: BitMap | None = await database.execute_fn(fetch)
    return rows
