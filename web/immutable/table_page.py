"""Datasette's table page from within: what it asks the database as text, and how to change that.

Datasette 0.65 has no hook for a page's order, nor for SQL that is run but not shown. So this is the
one module that knows the insides of its `TableView`, and replaces methods of Datasette. It relies
on

- `TableView.data(request, default_labels, _next, _size)`, which makes the pages of all formats, and
  each part of a CSV stream: it reads what to sort by from `request.args`, and writes links from
  `request.query_string`;
- what that returns: a dict (with `query`, `next`, `next_url`, `human_description_en`), a coroutine
  function for what only HTML needs (with `request`, `sort`, `sort_desc`), and names of templates;
- the page's own statement, which alone asks `Database.execute` to truncate its rows and reads
  `select … from <table> where <filters> order by <order> limit <rows> offset <rows>`; it and the
  statements of counts and facets hold `from <table> where <filters>` as it stands here;
- the condition of `_next` to be the last of the filters, its parameters to be those of the key and
  then the column's value, as text;
- a row with labels to be a dict, of which Datasette expects an IndexError for a missing column.

tests/web/immutable/test_table_page.py fails when Datasette changes any of that.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from datasette.database import Database, Results
from datasette.filters import Filters
from datasette.utils import CustomRow, MultiParams, escape_sqlite
from datasette.utils.asgi import Request
from datasette.views.base import ureg
from datasette.views.table import TableView

from web.immutable.requests import is_column_filter

Data = Callable[..., Awaitable[Any]]
"""`TableView.data`, or what stands in its place."""

Rewrite = Callable[[str, bool], str]
"""Makes of one statement another to run instead; told whether it is the page's own."""


class Sort(NamedTuple):
    """What a page is sorted by.

    Attributes:
        column: The column's name.
        descending: Whether the largest comes first.
    """

    column: str
    descending: bool

    @property
    def argument(self) -> str:
        """The argument of the address, and the name in metadata, that asks for it."""
        return "_sort_desc" if self.descending else "_sort"

    @property
    def sql(self) -> str:
        """It as Datasette writes it behind `order by`."""
        return f"{escape_sqlite(self.column)}{' desc' if self.descending else ''}"

    @property
    def text(self) -> str:
        """It as Datasette's description of a page ends with it."""
        return f"sorted by {self.column}{' descending' if self.descending else ''}"


class SortedRequest(Request):  # type: ignore[misc]
    """A request whose page is sorted in another way than its links say."""

    def __init__(self, request: Request, sort: Sort) -> None:
        super().__init__(request.scope, request.receive)
        others = [name for name in request.args if name not in {"_sort", "_sort_desc"}]
        values = {name: request.args.getlist(name) for name in others}
        self._args = MultiParams(values | {sort.argument: [sort.column]})

    @property
    def args(self) -> MultiParams:
        """The arguments that the page is made from."""
        return self._args


def sort_of(request: Request, metadata: Mapping[str, Any]) -> Sort | None:
    """Return what Datasette sorts a page by; None if that is nothing, or refused.

    Args:
        request: The page's.
        metadata: The table's.
    """
    asked, asked_desc = request.args.get("_sort"), request.args.get("_sort_desc")
    if "_sort_by_desc" in request.args:  # a form's box, which Datasette answers with a redirect
        return None
    if not asked and not asked_desc:
        asked, asked_desc = metadata.get("sort"), metadata.get("sort_desc")
    if bool(asked) == bool(asked_desc):
        return None
    return Sort(asked or asked_desc, bool(asked_desc))


def ordered_by(sql: str, table: str, sort: Sort, then_by: Sequence[str]) -> str:
    """Return the page's own statement with more columns to order by, unless it has some.

    Args:
        sql: The statement.
        table: The table's name.
        sort: What the page is sorted by.
        then_by: Columns for rows that are equal there.
    """
    limit = re.search(r" limit \d+(?: offset \d+)?\Z", sql)
    ordered = sql[: limit.start()] if limit else ""
    if f" from {escape_sqlite(table)} " not in ordered or not ordered.endswith(
        f"order by {sort.sql}"
    ):
        return sql
    others = [escape_sqlite(column) for column in then_by if column != sort.column]
    return ", ".join([ordered, *others]) + sql[len(ordered) :]


def after_row(sql: str, table: str, sort: Sort, key: Sequence[str]) -> str:
    """Return the statement of a later page, continuing from the value that the last row has.

    The address holds that value as text. In a column of no type a number is another value than its
    text, and nobody reads a blob from one.

    Args:
        sql: The page's own statement.
        table: The table's name.
        sort: What the page is sorted by.
        key: The columns of its primary key.
    """
    column = re.escape(escape_sqlite(sort.column))
    later = re.search(
        rf"\({column} [<>] :p(\d+) or (?:{column} is null or )?\({column} = :p\1 ", sql
    )
    if not later:
        return sql
    first = int(later[1]) - len(key)
    row = " and ".join(f"{escape_sqlite(name)} = :p{first + i}" for i, name in enumerate(key))
    name = escape_sqlite(sort.column)
    is_meant = f"({name} = cast(:p{later[1]} as numeric) or typeof({name}) = 'blob')"
    value = f"select {name} from {escape_sqlite(table)} where {row} and {is_meant}"
    condition = re.sub(r":p\d+", lambda token: f"coalesce(({value}), {token[0]})", later[0])
    return sql[: later.start()] + condition + sql[later.end() :]


def column_filters(request: Request, metadata: Mapping[str, Any]) -> Filters:
    """Return a page's filters by column, as the page itself makes them.

    Args:
        request: The page's.
        metadata: The table's.
    """
    pairs = [
        (key, value)
        for key in request.args
        if is_column_filter(key)
        for value in request.args.getlist(key)
    ]
    return Filters(sorted(pairs), metadata.get("units", {}), ureg)


def from_where(table: str, clauses: Sequence[str]) -> str:
    """Return what each statement of a page holds.

    Args:
        table: The table's name.
        clauses: The conditions of all filters, in Datasette's order: those by column come first.
    """
    where = f"where {' and '.join(clauses)} " if clauses else ""
    return f"from {escape_sqlite(table)} {where}"


def without_next(sql: str, table: str, clauses: Sequence[str]) -> str:
    """Return what facets count, without the condition that begins a later page.

    Args:
        sql: Datasette's, which selects the rows of the page and of all behind it.
        table: The table's name.
        clauses: The conditions of all filters, in Datasette's order.
    """
    before, all_pages, _ = sql.partition(from_where(table, clauses).rstrip())
    return f"{before}{all_pages} "


_rewrites: ContextVar[list[Rewrite] | None] = ContextVar("rewrites", default=None)
"""Of the page that is being made."""

_wraps: list[Callable[[Data], Data]] = []


def run_instead(rewrite: Rewrite) -> None:
    """Change the statements of the page that is being made, from now on; not those it shows."""
    rewrites = _rewrites.get()
    if rewrites is not None:
        rewrites.append(rewrite)


@functools.cache
def wrap_data(wrap: Callable[[Data], Data]) -> None:
    """Let a function stand around `TableView.data` in this process; what it makes can run others.

    Args:
        wrap: Returns what is called in place of what it is given.
    """
    install()
    _wraps.append(wrap)


@functools.cache
def install() -> None:
    """Replace Datasette's methods, once in a process."""
    TableView.data = _noting(TableView.data)
    CustomRow.__missing__ = _missing
    Database.execute = _rewriting(Database.execute)


def _noting(data: Data) -> Data:
    @functools.wraps(data)
    async def noting(*arguments: Any, **options: Any) -> Any:
        token = _rewrites.set([])
        try:
            wrapped = functools.reduce(lambda inner, wrap: wrap(inner), _wraps, data)
            return await wrapped(*arguments, **options)
        finally:
            _rewrites.reset(token)

    return noting


def _rewriting(execute: Callable[..., Awaitable[Results]]) -> Callable[..., Awaitable[Results]]:
    @functools.wraps(execute)
    async def rewriting(
        self: Database, sql: str, params: Any = None, truncate: bool = False, **options: Any
    ) -> Results:
        for rewrite in _rewrites.get() or ():
            sql = rewrite(sql, truncate)
        return await execute(self, sql, params, truncate, **options)

    return rewriting


def _missing(_row: CustomRow, column: str) -> Any:
    raise IndexError(column)
