"""Bounds what one SQL query can cost, on a Datasette whose visitors write their own.

Datasette bounds the time of a query and the number of rows it shows. That leaves memory: one
value can be a gigabyte, a thousand rows can be several, and SQLite's planner can be led to fill
all memory before a query's time begins. It also leaves single instructions of SQLite's virtual
machine that take seconds: Datasette looks at the clock between them. So this plugin

- lowers SQLite's own limits (https://www.sqlite.org/limits.html),
- gives SQLite's memory a ceiling (https://www.sqlite.org/pragma.html#pragma_hard_heap_limit),
- bounds the bytes that a query can return,
- refuses `printf` and `format`: `printf('%.*c', 2000000000, 'x')` takes SQLite 3.40 15 s,
- asks once whether SQLite has JSON: Datasette opens a connection to ask for each page of a table,
  and leaves it to the garbage collector, which may come when the memory is used up.

Time, and who has to wait for whom, is the business of `sql_turns` and `loop_turns`. A query over a
limit ends in an error that says so (HTTP status 400), one that had to wait for too long in 503.
"""

import functools
import sqlite3 as standard_sqlite3
from collections.abc import Generator
from typing import Any

from datasette import Response, facets, hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.handle_exception import handle_exception as datasettes_own_page
from datasette.plugins import pm
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError

from web.immutable.asgi import cors_headers
from web.immutable.sql_turns import running_job
from web.immutable.visits import BusyError

DEFAULT_VALUE_BYTES = 250_000
"""Bytes of one value, or of one row: `instr` and `replace` take time that grows with its square,
0.2 s here. A plugin whose database has longer rows says how long, as its `VALUE_BYTES`."""

SQLITE_LIMITS = {
    # Columns of a result: each cell of it is made into HTML while nobody else is served.
    standard_sqlite3.SQLITE_LIMIT_COLUMN: 40,
    # Bytes of a pattern: LIKE and GLOB take time that grows with the pattern times the text.
    standard_sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 500,
}

HEAP_BYTES = 64_000_000
"""SQLite's own memory, of all connections of the process together."""

RESULT_BYTES = 10_000_000
"""Texts and blobs in the rows that a query returns; a thousand of the longest specs fit."""

REFUSED_FUNCTIONS = {"printf", "format"}

TOO_MUCH = f"the result has more than {RESULT_BYTES:,} bytes; ask for fewer rows or columns"


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Let Datasette's facets remember whether SQLite has JSON."""
    if not hasattr(facets.detect_json1, "cache_info"):
        facets.detect_json1 = functools.cache(facets.detect_json1)


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Set the limits of a connection; Datasette's `_internal` database is not for visitors."""
    if database == "_internal":
        return
    if hasattr(conn, "setlimit"):  # not in pysqlite3, which Datasette prefers where it is installed
        for limit, value in SQLITE_LIMITS.items():
            conn.setlimit(limit, value)
        conn.setlimit(standard_sqlite3.SQLITE_LIMIT_LENGTH, _value_bytes())
    conn.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
    conn.set_authorizer(_authorize)
    conn.row_factory = _row


def _value_bytes() -> int:
    plugins = pm.get_plugins()
    told = [plugin.VALUE_BYTES for plugin in plugins if hasattr(plugin, "VALUE_BYTES")]
    return max(told, default=DEFAULT_VALUE_BYTES)


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
    """Return a row as Datasette wants it, and end a query that returns too much.

    The query is interrupted: an error that is raised here would leave its statement open.
    """
    if job := running_job():
        job.result_bytes += sum(len(value) for value in values if isinstance(value, (str, bytes)))
        if job.result_bytes > RESULT_BYTES:
            job.refuse(sqlite3.OperationalError(TOO_MUCH))
    return sqlite3.Row(cursor, values)


def _authorize(action: int, _: str | None, name: str | None, *rest: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and name and name.lower() in REFUSED_FUNCTIONS:
        return int(sqlite3.SQLITE_DENY)
    return int(sqlite3.SQLITE_OK)


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Generator[None, list[object], list[object]]:
    """Explain what Datasette would take for a fault of its own (status 500).

    These are the ceiling on SQLite's memory, the time limit where CSV was asked for, and having to
    wait for too long.
    """
    answers = yield
    if isinstance(exception, BusyError):
        return [_busy(datasette)]
    if isinstance(exception, MemoryError):
        error = DatasetteError("This query needs more memory than a query gets here.", status=400)
    elif isinstance(exception, QueryInterrupted):
        error = DatasetteError("This query takes longer than a query may take here.", status=400)
    else:
        return answers
    return [datasettes_own_page(datasette, request, error)]


def _busy(datasette: Datasette) -> Response:
    headers = {"Retry-After": "10", "Cache-Control": "no-store", **cors_headers(datasette)}
    return Response.text(
        "This needs much computing, and others are waiting for theirs at the moment. "
        "Please try again.",
        status=503,
        headers=headers,
    )
