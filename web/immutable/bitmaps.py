"""Facets, filters and counts by bitmaps, for tables of databases that cannot change.

SQL reads every row of a filter for each facet of a page, and most rows of a table for a filter
that most rows pass. This plugin keeps a bitmap for each value of a column: the rows that have it.
What a page's filters find is then the intersection of a few bitmaps, its count and the counts of
its facets are the sizes of intersections, and a page of few rows is read by their numbers. Pages,
JSON and links stay as Datasette makes them.

A table's columns are named in its metadata, those that hold JSON arrays of texts apart::

    plugins:
      bitmaps:
        columns: [os, target]
        arrays: [stacks]

The bitmaps are made in the background when the server starts; a page that needs one waits for it.
SQL does what they cannot: other columns, values that are no texts, tables without rowids. Where
filters of other kinds are on a page, SQL finds its rows, once for all facets. The filters on
arrays (`arraycontains`) are those of arrays.py, and a page's count is spared by database.py. A
column that is named here must compare its texts byte by byte, as SQLite does unless told otherwise.
"""

import asyncio
import copy
import functools
import heapq
import json
from array import array
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, Results
from datasette.facets import Facet
from datasette.filters import Filter, FilterArguments, Filters
from datasette.tracer import trace
from datasette.utils import await_me_maybe, escape_sqlite, sqlite_timelimit
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.loop_turns import pause
from web.immutable.requests import is_column_filter
from web.immutable.sql import literal, quoted

# So few rows are looked up by their numbers. More of them, or a larger share of all, are met soon
# enough on the way through all rows in the page's order.
LISTED_ROWS = 5_000
LISTED_SHARE = 0.05

# SQLite's memory is bounded (limits.py); it holds the numbers of so many rows as text at a time.
ROWS_IN_PART = 1_000_000

ROWS = "bitmaps.rows"

Values = Mapping[str, BitMap]
"""The rows of each value of a column, or of each element of its arrays."""

Loaded = TypeVar("Loaded")

# The kind of bitmaps that each of Datasette's filters asks.
KIND_OF_LOOKUP = {"exact": "column", "arraycontains": "array", "arraynotcontains": "array"}


class Condition(NamedTuple):
    """One filter: `column__lookup=value`."""

    column: str
    lookup: str
    value: str


bitmaps_by_datasette: WeakKeyDictionary[Datasette, dict[tuple[str, str], "TableBitmaps"]] = (
    WeakKeyDictionary()
)
"""The bitmaps of each database and table."""


known_columns: set[tuple[str, str]] = set()
"""Tables and columns, of any database, whose filters by value need no index."""


class Exact(Filter):  # type: ignore[misc]
    """Datasette's filter by a column's value, kept from the column's index where bitmaps know it.

    Rows that are few are listed by their numbers. Many are met soon in the order of the page, but
    SQLite, which knows only how many rows a value has on average, would collect and sort them all.
    """

    def __init__(self, original: Filter) -> None:
        self._original = original
        self.key = original.key
        self.display = original.display
        self.no_argument = original.no_argument

    def where_clause(
        self, table: str, column: str, value: str, param_counter: int
    ) -> tuple[str, str]:
        """Return the condition in SQL and the value of its one parameter."""
        clause, param = self._original.where_clause(table, column, value, param_counter)
        return (f"+{clause}" if (table, column) in known_columns else clause), param

    def human_clause(self, column: str, value: str) -> str:
        """Return the condition in English."""
        text: str = self._original.human_clause(column, value)
        return text


class TableBitmaps:
    """The bitmaps of one table.

    Attributes:
        table: Its name.
    """

    def __init__(self, path: Path, table: str, config: Mapping[str, list[str]]) -> None:
        self.table = table
        self._path = path
        # One after the other: each takes much memory for a moment, and needs to know all rows.
        with_one_thread = ThreadPoolExecutor(1, thread_name_prefix="bitmaps")
        self._all_rows = with_one_thread.submit(_if_possible, self._load_all_rows)
        self._values: dict[tuple[str, str], Future[Values | None]] = {
            (kind, column): with_one_thread.submit(_if_possible, self._load, column, elements)
            for kind, key, elements in (
                ("column", "columns", _itself),
                ("array", "arrays", _elements),
            )
            for column in config.get(key, [])
        }
        with_one_thread.shutdown(wait=False)

    async def values(self, kind: str, column: str) -> Values | None:
        """Return the bitmaps of a column, once they are made; None if it has none.

        Args:
            kind: `column` for its values, `array` for the elements of its arrays.
            column: Its name.
        """
        future = self._values.get((kind, column))
        return await _result(future) if future else None

    async def all_rows(self) -> BitMap | None:
        """Return the rows of the table, once they are known; None if it has no rowids."""
        return await _result(self._all_rows)

    async def knows(self, condition: Condition) -> bool:
        """Tell whether bitmaps can tell the rows of a condition."""
        kind = KIND_OF_LOOKUP.get(condition.lookup)
        return kind is not None and await self.values(kind, condition.column) is not None

    def rows(self, conditions: Iterable[Condition]) -> BitMap:
        """Return the rows that pass all conditions; waits for bitmaps that are not made yet.

        Args:
            conditions: Those that `knows` accepts.
        """
        rows = self._all_rows.result() or BitMap()
        for condition in conditions:
            values = self._values[KIND_OF_LOOKUP[condition.lookup], condition.column].result() or {}
            rows = _passing(rows, values, condition)
        return rows

    def _load_all_rows(self) -> BitMap:
        with closing(self._connect()) as connection:
            sql = f"select rowid from {quoted(self.table)}"
            return BitMap(chain.from_iterable(connection.execute(sql)))

    def _load(
        self, column: str, elements: Callable[[object], Iterable[str] | None]
    ) -> Values | None:
        all_rows = self._all_rows.result()
        if all_rows is None:
            return None
        name = quoted(column)
        part = f", rowid / {ROWS_IN_PART}" if len(all_rows) > ROWS_IN_PART else ""
        sql = f"""
            select {name}, json_group_array(rowid) from {quoted(self.table)}
            where {name} is not null group by {name}{part}
        """
        rows_of: dict[str, array[int]] = {}
        with closing(self._connect()) as connection:
            for value, rows in connection.execute(sql):
                of_value = elements(value)
                if of_value is None:
                    return None
                numbers = array("I", json.loads(rows))
                for element in of_value:
                    rows_of.setdefault(element, array("I")).extend(numbers)
        return {element: BitMap(numbers) for element, numbers in rows_of.items()}

    def _connect(self) -> sqlite3.Connection:
        # One of Datasette's connections would have the limits of visitors.
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        connection: sqlite3.Connection = sqlite3.connect(uri, uri=True)
        return connection


async def _result(future: Future[Loaded]) -> Loaded:
    # A visitor who leaves must not cancel what others wait for.
    return await asyncio.shield(asyncio.wrap_future(future))


def _if_possible(load: Callable[..., Loaded], *arguments: object) -> Loaded | None:
    try:
        return load(*arguments)
    except (sqlite3.OperationalError, OverflowError):
        # There are no rowids, or such as need more than 32 bits.
        return None


class Answering:
    """Datasette, but that its answer to a query of a facet is known."""

    def __init__(self, datasette: Datasette, counts: Iterable[tuple[str, int]]) -> None:
        self._datasette = datasette
        self._rows = [{"value": value, "count": count} for value, count in counts]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._datasette, name)

    async def execute(self, *_: object, **__: object) -> Results:
        """Answer the query."""
        return Results(self._rows, False, [("value",), ("count",)])


class BitmapFacet(Facet):  # type: ignore[misc]
    """A facet that is counted by bitmaps where there are some; to be mixed into a facet class."""

    async def facet_results(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the facets in Datasette's form, and the columns that took too long."""
        results, timed_out = [], []
        for config in self.get_configs():
            facet = await self._alone(config)
            found, late = await super(BitmapFacet, facet).facet_results()
            results += found
            timed_out += late
            await pause()
        return results, timed_out

    async def _alone(self, config: dict[str, Any]) -> "BitmapFacet":
        """Return the same facet for one column, with the counts if they are known."""
        facet = copy.copy(self)
        facet.get_configs = lambda: [config]
        column = config["config"].get("column") or config["config"]["simple"]
        bitmaps = bitmaps_of(self.ds, self.database, self.table)
        values = await bitmaps.values(self.type, column) if bitmaps else None
        rows: BitMap | None = self.request.scope.get(ROWS)
        if values is not None and rows is not None:
            facet.ds = Answering(self.ds, _counts(values, rows, self.get_facet_size() + 1))
            facet.row_count = len(rows)
        return facet


async def _rows_by_sql(
    database: Database, table: str, where: str, params: Mapping[str, object]
) -> BitMap | None:
    """Return the rows that pass a page's filters; None if that takes too long."""
    sql = f"select rowid from {quoted(table)} {where}"

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


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Begin to make the bitmaps of all tables whose metadata asks for them."""
    made = bitmaps_by_datasette.setdefault(datasette, {})
    for name, database in datasette.databases.items():
        tables = datasette.metadata("tables", database=name) or {}
        for table in tables if not database.is_mutable else ():
            if config := datasette.plugin_config("bitmaps", database=name, table=table):
                made[name, table] = TableBitmaps(Path(database.path), table, config)
                known_columns.update((table, column) for column in config.get("columns", []))
    exact = Filters._filters_by_key["exact"]
    if not isinstance(exact, Exact):
        Filters._filters_by_key["exact"] = Exact(exact)
        Filters._filters[:] = Filters._filters_by_key.values()


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Let SQL ask which rows pass conditions (`bitmap_rows`, a JSON array), and how many.

    Both functions take a table, and of each condition column, lookup and value. They are NULL for a
    table without bitmaps.
    """

    def rows(table: str, texts: Sequence[str]) -> BitMap | None:
        bitmaps = bitmaps_of(datasette, database, table)
        conditions = [Condition(*texts[place : place + 3]) for place in range(0, len(texts), 3)]
        return bitmaps.rows(conditions) if bitmaps else None

    def bitmap_rows(table: str, *texts: str) -> str | None:
        found = rows(table, texts)
        return None if found is None else json.dumps(found.to_array().tolist())

    def bitmap_count(table: str, *texts: str) -> int | None:
        found = rows(table, texts)
        return None if found is None else len(found)

    for function in (bitmap_rows, bitmap_count):
        conn.create_function(function.__name__, -1, function, deterministic=True)


@hookimpl(wrapper=True, tryfirst=True)  # type: ignore[untyped-decorator]
def register_facet_classes() -> Generator[None, list[list[type]], list[list[type]]]:
    """Let the facets of every type count by bitmaps."""
    plugins = yield
    return [[_facet_class(facet) for facet in facets] for facets in plugins]


@functools.cache
def _facet_class(facet: type[Any]) -> type[Any]:
    return type(facet.__name__, (BitmapFacet, facet), {})


@hookimpl(wrapper=True, tryfirst=True)  # type: ignore[untyped-decorator]
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Generator[None, list[object], list[object]]:
    """Note what the page's filters find, and list its rows where they are few."""
    plugins = yield
    bitmaps = bitmaps_of(datasette, database, table)
    if bitmaps is None:
        return plugins
    others: list[FilterArguments] = []

    async def watched(plugin: object) -> FilterArguments | None:
        filters: FilterArguments | None = await await_me_maybe(plugin)
        if filters and filters.where_clauses:
            others.append(filters)
        return filters

    async def own() -> FilterArguments:
        return await _filters(bitmaps, request, datasette.get_database(database), others)

    # Datasette waits for one after the other, so the last one knows of all.
    return [*(functools.partial(watched, plugin) for plugin in plugins), own]


async def _filters(
    bitmaps: TableBitmaps,
    request: Request,
    database: Database,
    others: Sequence[FilterArguments],
) -> FilterArguments:
    columns = Filters(sorted(_filter_pairs(request)))
    conditions = [Condition(*selection) for selection in columns.selections()]
    known = [condition for condition in conditions if await bitmaps.knows(condition)]
    all_rows = await bitmaps.all_rows()
    if all_rows is None:
        return FilterArguments([])
    found = bitmaps.rows(known)
    clauses, params = columns.build_where_clauses(bitmaps.table)
    listed = min(LISTED_ROWS, LISTED_SHARE * len(all_rows))
    own = [_listing(bitmaps.table, known, params)] if known and len(found) <= listed else []
    clauses = [*clauses, *chain.from_iterable(other.where_clauses for other in others), *own]
    for other in others:
        params |= other.params
    # As Datasette will write it.
    where = f"where {' and '.join(clauses)} " if clauses else ""
    rows: BitMap | None = found
    if found and (others or len(known) < len(conditions)):
        if not _is_counted(request):
            return FilterArguments(own)
        rows = await _rows_by_sql(database, bitmaps.table, where, params)
    if rows is not None:
        request.scope[ROWS] = rows
        sql = f"select count(*) from {escape_sqlite(bitmaps.table)} {where}"
        if hasattr(database, "remember_count"):
            database.remember_count(sql, params, len(rows))
    return FilterArguments(own)


def _is_counted(request: Request) -> bool:
    """Tell whether the page says how many rows there are, as Datasette's table page does."""
    return "_nocount" not in request.args and request.args.get("_shape") not in {"array", "object"}


def _filter_pairs(request: Request) -> list[tuple[str, str]]:
    """The filters by column, as Datasette's table page tells them from other arguments."""
    return [
        (key, value)
        for key in request.args
        if is_column_filter(key)
        for value in request.args.getlist(key)
    ]


def _listing(table: str, conditions: Iterable[Condition], params: Mapping[str, str]) -> str:
    # Any parameter with the same value will do.
    names = {value: f":{name}" for name, value in params.items()}
    asked = ", ".join(
        f"{literal(condition.column)}, {literal(condition.lookup)}, {names[condition.value]}"
        for condition in conditions
    )
    rows = f"select value from json_each(bitmap_rows({literal(table)}, {asked}))"
    return f"{quoted(table)}.rowid in ({rows})"


def _passing(rows: BitMap, values: Values, condition: Condition) -> BitMap:
    having = values.get(condition.value, BitMap())
    return rows - having if condition.lookup == "arraynotcontains" else rows & having


def _counts(values: Values, rows: BitMap, most: int) -> list[tuple[str, int]]:
    """Return the values that most rows have, as SQL would order them."""
    counts = ((value, rows.intersection_cardinality(having)) for value, having in values.items())
    found = ((-count, value) for value, count in counts if count)
    return [(value, -negative) for negative, value in heapq.nsmallest(most, found)]


def _itself(value: object) -> list[str] | None:
    return [value] if isinstance(value, str) else None


def _elements(text: object) -> set[str] | None:
    """Return the elements of an array; None if it is not plainly one of texts.

    What else JSON can hold is for SQLite to read, which alone knows how it casts it.
    """
    try:
        values = json.loads(text) if isinstance(text, str) and "\\" not in text else None
    except ValueError:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    return set(values)


def bitmaps_of(datasette: Datasette, database: str, table: str | None) -> TableBitmaps | None:
    """Return the bitmaps of a table, or None if its metadata asks for none."""
    return bitmaps_by_datasette.get(datasette, {}).get((database, table or ""))
