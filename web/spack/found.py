"""How many specs an address of the table of specs finds, filter by filter.

Each filter's rows are a bitmap, so that what would be found without one of them, or in another
release, is an intersection. Bitmaps of columns are those of web/immutable/bitmaps.py; what these
cannot tell SQL does, with the conditions that the page itself has.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from datasette.app import Datasette
from datasette.filters import Filters
from datasette.utils import sqlite_timelimit
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from etl.spelling import variant_values
from web.immutable.bitmaps import bitmaps_of
from web.immutable.requests import is_column_filter
from web.immutable.table_bitmaps import Condition, RowsOf
from web.spack.names import DATABASE
from web.spack.needs import MeaninglessError, needed_rows, needs_in, needs_of
from web.spack.runs_on import ARGUMENT as RUNS_ON
from web.spack.runs_on import runs_on

Pair = tuple[str, str]
"""Name and value of a filter in a query string."""

THROUGH = ("spec_variants", "spec_stacks", "spec_releases")
"""Tables of which `_through` can be told here."""

SEARCH_SQL = "specs.rowid in (select rowid from specs_fts where specs_fts match escape_fts(:p0))"

THROUGH_SQL = 'specs.hash in (select spec from {} where "{}" = :p0)'


class UntellableError(Exception):
    """A filter whose rows cannot be told apart from the page's others, or not in time."""


def is_filter(key: str) -> bool:
    """Tell whether an argument of the table of specs filters it."""
    return key in {"_search", "_through", "_needs", "_needed_by", "_where", RUNS_ON} or (
        is_column_filter(key) or key.startswith("_search_")
    )


async def rows_of_pairs(datasette: Datasette, pairs: Iterable[Pair]) -> Mapping[Pair, BitMap]:
    """Return the rows that each filter finds by itself.

    Args:
        datasette: Where the table is served.
        pairs: The filters; other arguments are left out.

    Raises:
        UntellableError: the rows of one cannot be told.
    """
    filters = [pair for pair in dict.fromkeys(pairs) if is_filter(pair[0]) and pair[1] != ""]
    return {pair: await _rows_of_pair(datasette, pair) for pair in filters}


async def all_rows(datasette: Datasette) -> BitMap:
    """Return the rows of all specs.

    Args:
        datasette: Where the table is served.

    Raises:
        UntellableError: that takes too long.
    """
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    rows = await bitmaps.all_rows() if bitmaps else None
    return rows if rows is not None else await _rows_by_sql(datasette, "1", {})


async def rows_by_value(datasette: Datasette, kind: str, column: str) -> RowsOf:
    """Return the rows of each value of a column; nothing where there are no bitmaps.

    Args:
        datasette: Where the table is served.
        kind: `column`, or `array` for the elements of its arrays.
        column: Its name.
    """
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    return (await bitmaps.rows_of(kind, column) if bitmaps else None) or {}


def having_all(rows: Iterable[BitMap], every: BitMap) -> BitMap:
    """Return what is in all of some bitmaps.

    Args:
        rows: The bitmaps.
        every: The rows of all specs: what is in all of no bitmaps.
    """
    return reduce(BitMap.intersection, rows, every)


async def lists_with(datasette: Datasette, value: str) -> RowsOf:
    """Return the rows of each variant, as specs spell it, that has a value: `languages='c,c++'`.

    Args:
        datasette: Where the table is served.
        value: The value, such as `languages=c`; nothing is returned where there are no bitmaps.
    """
    name = value.partition("=")[0]
    rows_of = await rows_by_value(datasette, "array", "variants")
    return {
        variant: rows
        for variant, rows in rows_of.items()
        if variant == value
        or (
            variant.startswith(f"{name}=")
            and any(each.variant == value for each in variant_values(variant))
        )
    }


async def _rows_of_pair(datasette: Datasette, pair: Pair) -> BitMap:
    key, value = pair
    if key == RUNS_ON:
        return (await runs_on(datasette, value)).rows
    try:
        if key == "_needs":
            return await _rows_needing(datasette, value)
        if key == "_needed_by":
            return await needed_rows(datasette, value)
    except MeaninglessError as error:
        raise UntellableError(key) from error
    if key == "_search":
        return await _rows_by_sql(datasette, SEARCH_SQL, {"p0": value})
    if key == "_through":
        return await _rows_through(datasette, value)
    if not is_column_filter(key):
        raise UntellableError(key)
    return await _rows_by_column(datasette, pair)


async def _rows_needing(datasette: Datasette, text: str) -> BitMap:
    needs = await needs_of(datasette)
    wanted = needs_in(text)
    rows: BitMap = await datasette.get_database(DATABASE).execute_fn(lambda _: needs.rows(wanted))
    return rows


async def _rows_through(datasette: Datasette, value: str) -> BitMap:
    try:
        through = json.loads(value)
        table, column, sought = through["table"], through["column"], str(through["value"])
    except (ValueError, LookupError, TypeError) as error:
        raise UntellableError(value) from error
    if column == "variant" and (lists := await lists_with(datasette, sought)):
        return BitMap.union(*lists.values())
    if table not in THROUGH or column not in {"variant", "stack", "release"}:
        raise UntellableError(value)
    return await _rows_by_sql(datasette, THROUGH_SQL.format(table, column), {"p0": sought})


async def _rows_by_column(datasette: Datasette, pair: Pair) -> BitMap:
    clauses, params = Filters([pair]).build_where_clauses("specs")
    condition = Condition(*next(Filters([pair]).selections()))
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    if bitmaps and await bitmaps.can_tell(condition) and await bitmaps.all_rows() is not None:
        return bitmaps.passing([condition])
    rows_of = await rows_by_value(datasette, "column", condition.column)
    if condition.lookup == "in" and rows_of and (values := _listed(condition.value)):
        return BitMap.union(BitMap(), *(rows_of[each] for each in values if each in rows_of))
    return await _rows_by_sql(datasette, " and ".join(clauses), params)


def _listed(value: str) -> Sequence[str]:
    """Return what the filter `in` compares with, if it is plainly an array of texts."""
    try:
        values = json.loads(value)
    except ValueError:
        return []
    is_plain = isinstance(values, list) and all(isinstance(each, str) for each in values)
    return values if is_plain else []


async def _rows_by_sql(datasette: Datasette, clause: str, params: Mapping[str, object]) -> BitMap:
    def fetch(connection: sqlite3.Connection) -> BitMap:
        with sqlite_timelimit(connection, datasette.setting("facet_time_limit_ms")):
            cursor = connection.execute(f"select rowid from specs where {clause}", params)
            return BitMap([row[0] for row in cursor])

    try:
        rows: BitMap = await datasette.get_database(DATABASE).execute_fn(fetch)
    except (sqlite3.Error, OverflowError) as error:
        raise UntellableError(clause) from error
    return rows
