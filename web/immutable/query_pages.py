"""The site's own questions answered whole: in pages with a total, and as CSV with all rows.

Datasette ends the answer to a canned query after `max_returned_rows`, as it does with SQL that a
visitor wrote, and CSV does not say so. A canned query is of whoever runs the site, so here

- HTML has `HTML_ROWS` rows a page; `?_page=2` is the second, and templates find an `answer_page`;
- JSON has `JSON_ROWS` rows, or `_size` of them. If there are more, it says `"truncated": true` and
  has a `next` and a `next_url`, as the JSON of tables does (with `_shape=array` that is the header
  `Link`). `total` is the number of all rows;
- CSV has all rows, in a stream.

A page ends early where its rows have `PAGE_BYTES`. Each is read by one run of the query: what is
before it is skipped, and what is behind it is counted, within Datasette's time limit.

Visitors' SQL keeps Datasette's bounds. Its CSV says where it is cut with the header
`X-Truncated: true`, which no reader of CSV stumbles over.

This depends on Datasette 0.65: `TableView.data` answers canned queries with four values, of which
`as_csv` takes the first page, and takes three for each later one, that it asks for with `_next`;
and a query's own statement alone asks `Database.execute` to truncate.
"""

import functools
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.utils import path_with_replaced_args, sqlite_timelimit, tilde_decode
from datasette.utils.asgi import AsgiStream, Request, Response
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError
from datasette.views.database import DatabaseView
from datasette.views.table import TableView

from web.immutable import table_page
from web.immutable.table_page import Data

HTML_ROWS = 100
JSON_ROWS = 5_000
MOST_OFFSET = 10**9

PAGE_BYTES = 4_000_000
"""Characters of the texts of one page; of the blobs, bytes."""

TRUNCATED = "X-Truncated"
"""The header of CSV that does not have all rows."""

EXPOSED = "Link, X-Truncated"
"""What scripts of other sites may see, where Datasette lets them see anything."""

CSV = "csv"
EMPTY = "&nbsp;"
"""A cell without a value, as Datasette shows it."""

AsCsv = Callable[..., Awaitable[Any]]
Execute = Callable[..., Awaitable[Results]]


@dataclass
class Part:
    """A part of the rows of an answer.

    Attributes:
        sql: The query.
        first: How many rows are before it.
        most: How many it has at most.
        is_counted: Whether the rows behind it are to be counted.
        taken: How many it has.
        has_more: Whether there are rows behind it.
        total: How many rows there are, or None where that is not known.
    """

    sql: str
    first: int
    most: int
    is_counted: bool
    taken: int = 0
    has_more: bool = False
    total: int | None = None

    @property
    def end(self) -> int:
        """How many rows are before those behind it."""
        return self.first + self.taken

    def read(self, connection: sqlite3.Connection, params: Any) -> Results:
        """Run the query and return these rows."""
        cursor = connection.cursor()
        # Nobody sees the others, so they count for nothing that bounds what is returned.
        cursor.row_factory = None
        cursor.execute(self.sql, params if params is not None else {})
        skipped = _consume(islice(cursor, self.first))
        make = connection.row_factory
        rows, size = [], 0
        for values in islice(cursor, self.most):
            rows.append(make(cursor, values))
            size += sum(len(value) for value in values if isinstance(value, str | bytes))
            if size > PAGE_BYTES:
                break
        self.taken = len(rows)
        more = _consume(cursor if self.is_counted else islice(cursor, 1))
        self.has_more = more > 0
        self.total = skipped + self.taken + more if self.is_counted or not more else None
        return Results(rows, self.has_more, cursor.description)


def _consume(rows: Any) -> int:
    """Return how many rows there are, keeping none."""
    counted = enumerate(rows, 1)
    last = deque(counted, maxlen=1)
    return last[0][0] if last else 0


class AnswerPage(NamedTuple):
    """Where a page of an answer stands.

    Attributes:
        number: The page's number, from 1.
        first: The number of its first row, from 1.
        last: The number of its last row.
        total: How many rows there are.
        previous_url: Of the page before, or "".
        next_url: Of the page behind, or "".
    """

    number: int
    first: int
    last: int
    total: int
    previous_url: str
    next_url: str


_part: ContextVar[Part | None] = ContextVar("part", default=None)
"""Of the question that is being answered."""

_cut: ContextVar[list[bool] | None] = ContextVar("cut", default=None)
"""Whether the CSV that is being made ends before all rows are there."""


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Stand around Datasette's views of tables and of databases, once in a process."""
    table_page.wrap_data(_paged)
    _install()


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any) -> None:
    """Give templates a filter that leaves out columns that say nothing."""
    env.filters["said_columns"] = said_columns


def said_columns(
    columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[list[str], list[list[object]]]:
    """Return columns and rows without the columns that are empty in all rows.

    A question whose answer has no use for a column leaves it empty: its SQL cannot drop it.

    Args:
        columns: The names of an answer's columns.
        rows: Datasette's `display_rows`, in which what is empty is `&nbsp;`.
    """
    said = [place for place in range(len(columns)) if any(row[place] != EMPTY for row in rows)]
    return [columns[place] for place in said], [[row[place] for place in said] for row in rows]


@functools.cache
def _install() -> None:
    TableView.as_csv = _streaming(TableView.as_csv)
    DatabaseView.as_csv = _saying(DatabaseView.as_csv)
    DatabaseView.data = _noting(DatabaseView.data)
    Database.execute = _reading(Database.execute)


def _reading(execute: Execute) -> Execute:
    @functools.wraps(execute)
    async def reading(
        self: Database, sql: str, params: Any = None, truncate: bool = False, **options: Any
    ) -> Results:
        part = _part.get()
        if part is None or not truncate or sql != part.sql:
            return await execute(self, sql, params, truncate, **options)
        limits = (options.get("custom_time_limit"), self.ds.sql_time_limit_ms)
        milliseconds = min(limit for limit in limits if limit)

        def read(connection: sqlite3.Connection) -> Results:
            try:
                with sqlite_timelimit(connection, milliseconds):
                    return part.read(connection, params)
            except sqlite3.DatabaseError as error:
                if error.args == ("interrupted",):
                    raise QueryInterrupted(error, sql, params) from error
                raise

        return await self.execute_fn(read)

    return reading


def _paged(data: Data) -> Data:
    @functools.wraps(data)
    async def paged(view: TableView, request: Request, *arguments: Any, **options: Any) -> Any:
        query = await _canned(view.ds, request)
        if query is None or query.get("write"):
            return await data(view, request, *arguments, **options)
        part = _asked(request, query["sql"], options.get("_next"))
        token = _part.set(part)
        try:
            answer = await data(view, request, *arguments, **options)
        finally:
            _part.reset(token)
        if isinstance(answer, Response):
            return answer
        told = _told(view.ds, request, part, answer)
        return told[:3] if "_next" in options else told

    return paged


async def _canned(datasette: Datasette, request: Request) -> Mapping[str, Any] | None:
    """Return the canned query that a request is for, or None."""
    try:
        database = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        return None
    name = tilde_decode(request.url_vars["table"])
    query: Mapping[str, Any] | None = await datasette.get_canned_query(
        database.name, name, request.actor
    )
    return query


def _asked(request: Request, sql: str, later: str | None) -> Part:
    """Return the part of an answer that is asked for.

    Raises:
        DatasetteError: a number is none.
    """
    form = request.url_vars.get("format")
    if form == CSV:
        return Part(sql, int(later or 0), sys.maxsize, is_counted=False)
    if form is None:
        page = _number(request, "_page", 1, MOST_OFFSET // HTML_ROWS) or 1
        return Part(sql, (page - 1) * HTML_ROWS, HTML_ROWS, is_counted=True)
    is_most = request.args.get("_size") == "max"
    size = JSON_ROWS if is_most else _number(request, "_size", 1, JSON_ROWS) or JSON_ROWS
    return Part(sql, _number(request, "_next", 0, MOST_OFFSET) or 0, size, is_counted=True)


def _number(request: Request, name: str, least: int, most: int) -> int | None:
    text = request.args.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) <= most:
        raise DatasetteError(f"{name} has to be a number from {least} to {most:,}.", status=400)
    return int(text)


def _told(
    datasette: Datasette, request: Request, part: Part, answer: Sequence[Any]
) -> tuple[Any, ...]:
    """Return what Datasette made of a part, and which part of the answer it is."""
    data, for_html, *rest = answer
    if data.get("error"):
        if request.url_vars.get("format") == CSV:
            raise DatasetteError(data["error"], status=400)
        return data, for_html, *rest
    if part.total is not None:
        data["total"] = part.total
    if part.has_more:
        data["next"] = str(part.end)
        data["next_url"] = _url(datasette, request, {"_next": data["next"]})

    async def told_for_html() -> dict[str, Any]:
        return {**await for_html(), "answer_page": _page(datasette, request, part)}

    return data, told_for_html, *rest


def _page(datasette: Datasette, request: Request, part: Part) -> AnswerPage:
    number = part.first // HTML_ROWS + 1
    total = part.total or 0

    def url(other: int) -> str:
        return _url(datasette, request, {"_page": None if other == 1 else str(other)})

    last_page = max(1, -(-total // HTML_ROWS))
    before = min(number - 1, last_page)
    return AnswerPage(
        number,
        part.first + 1,
        part.end,
        total,
        url(before) if before else "",
        url(number + 1) if part.end < total and part.taken else "",
    )


def _url(datasette: Datasette, request: Request, arguments: Mapping[str, str | None]) -> str:
    path = datasette.urls.path(path_with_replaced_args(request, dict(arguments)))
    url: str = datasette.absolute_url(request, path)
    return url


def _streaming(as_csv: AsCsv) -> AsCsv:
    @functools.wraps(as_csv)
    async def streaming(view: TableView, request: Request, database: str) -> Any:
        if await _canned(view.ds, request) is not None:
            request = _for_stream(request)
        return await as_csv(view, request, database)

    return streaming


def _for_stream(request: Request) -> Request:
    """Return the request for the stream of all rows."""
    left_out = {"_next", "_page", "_size", "_stream"}
    pairs = [
        (name, value)
        for name in request.args
        if name not in left_out
        for value in request.args.getlist(name)
    ]
    query_string = urlencode([*pairs, ("_stream", "1")]).encode()
    return Request({**request.scope, "query_string": query_string}, request.receive)


def _noting(data: Data) -> Data:
    @functools.wraps(data)
    async def noting(*arguments: Any, **options: Any) -> Any:
        answer = await data(*arguments, **options)
        cut = _cut.get()
        if cut is not None and not isinstance(answer, Response):
            cut.append(bool(answer[0].get("truncated")))
        return answer

    return noting


def _saying(as_csv: AsCsv) -> AsCsv:
    @functools.wraps(as_csv)
    async def saying(view: DatabaseView, request: Request, database: str) -> Any:
        cut: list[bool] = []
        token = _cut.set(cut)
        try:
            answer = await as_csv(view, request, database)
        finally:
            _cut.reset(token)
        if any(cut) and isinstance(answer, AsgiStream):
            answer.headers[TRUNCATED] = "true"
            if "Access-Control-Expose-Headers" in answer.headers:
                answer.headers["Access-Control-Expose-Headers"] = EXPOSED
        return answer

    return saying
