"""Bounds what one SQL query can cost, on a Datasette whose visitors write their own.

Datasette bounds the time of a query and the number of rows it shows. That leaves memory: one
value can be a gigabyte, a thousand rows can be several, and SQLite's planner can be led to fill
all memory before a query's time begins. It also leaves time: Datasette looks at the clock
between instructions of SQLite's virtual machine, of which one can take seconds, and what many
rows of many columns take to become HTML is on no clock. So this plugin

- lowers SQLite's own limits (https://www.sqlite.org/limits.html),
- gives SQLite's memory a ceiling (https://www.sqlite.org/pragma.html#pragma_hard_heap_limit),
- bounds the bytes that a query can return,
- refuses `printf` and `format`: `printf('%.*c', 2000000000, 'x')` takes SQLite 3.40 15 s,
- interrupts a query that Datasette's time limit did not stop,
- runs one query of visitors at a time, so that the other SQL threads serve the site's pages.

A query over a limit ends in an error that says so (HTTP status 400); one that had to wait too
long for its turn in status 503.
"""

import asyncio
import sqlite3 as standard_sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakSet

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.handle_exception import handle_exception as datasettes_own_page
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError

from web.immutable.asgi import App, Receive, Scope, Send

SQLITE_LIMITS = {
    # Bytes of one value: `instr` and `replace` take time that grows with its square, 0.2 s here.
    standard_sqlite3.SQLITE_LIMIT_LENGTH: 250_000,
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

GRACE_SECONDS = 0.25
"""How long after Datasette's time limit a query is interrupted, and how often that is looked at."""


class Guard:
    """Watches the queries of one connection, one after the other."""

    def __init__(self, connection: sqlite3.Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._deadline = float("inf")
        self._bytes = 0

    def begin(self, _sql: str) -> None:
        """Note that a query begins (for `set_trace_callback`)."""
        self._deadline = time.monotonic() + self._seconds
        self._bytes = 0

    def row(self, cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
        """Return a row as Datasette wants it (for `row_factory`).

        Raises:
            sqlite3.OperationalError: the query returned too much.
        """
        self._bytes += sum(len(value) for value in values if isinstance(value, (str, bytes)))
        if self._bytes > RESULT_BYTES:
            raise sqlite3.OperationalError(
                f"the result has more than {RESULT_BYTES:,} bytes; ask for fewer rows or columns"
            )
        return sqlite3.Row(cursor, values)

    def interrupt_if_late(self) -> None:
        """Interrupt the query if its time is over; does nothing where none is running."""
        if time.monotonic() > self._deadline:
            self._deadline = float("inf")
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                self._connection.interrupt()


class Watch:
    """A thread that interrupts late queries, started with the first connection."""

    def __init__(self) -> None:
        self._guards: WeakSet[Guard] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, guard: Guard) -> None:
        """Watch this connection too, for as long as it lives."""
        with self._lock:
            self._guards.add(guard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="limits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(GRACE_SECONDS)
            self._interrupt_late()

    def _interrupt_late(self) -> None:
        with self._lock:
            guards = list(self._guards)
        for guard in guards:
            guard.interrupt_if_late()


watch = Watch()


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Set the limits of a connection; Datasette's `_internal` database is not for visitors."""
    if database == "_internal":
        return
    if hasattr(conn, "setlimit"):  # not in pysqlite3, which Datasette prefers where it is installed
        for limit, value in SQLITE_LIMITS.items():
            conn.setlimit(limit, value)
    conn.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
    conn.set_authorizer(_authorize)
    guard = Guard(conn, datasette.setting("sql_time_limit_ms") / 1000 + GRACE_SECONDS)
    conn.set_trace_callback(guard.begin)
    conn.row_factory = guard.row
    watch.add(guard)


def _authorize(action: int, _: str | None, name: str | None, *rest: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and name and name.lower() in REFUSED_FUNCTIONS:
        return int(sqlite3.SQLITE_DENY)
    return int(sqlite3.SQLITE_OK)


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Generator[None, list[object], list[object]]:
    """Explain what Datasette would take for a fault of its own (status 500).

    These are the ceiling on SQLite's memory and, where CSV was asked for, the time limit.
    """
    answers = yield
    if isinstance(exception, MemoryError):
        error = DatasetteError("This query needs more memory than a query gets here.", status=400)
    elif isinstance(exception, QueryInterrupted):
        error = DatasetteError("This query takes longer than a query may take here.", status=400)
    else:
        return answers
    return [datasettes_own_page(datasette, request, error)]


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Let requests that bring SQL of a visitor through one at a time."""
    seconds = datasette.setting("sql_time_limit_ms") / 1000
    own = frozenset(_sql_in(datasette.metadata()))
    turn = asyncio.Semaphore()

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if own.issuperset(_sql_of(scope)):
                await app(scope, receive, send)
                return
            try:
                await asyncio.wait_for(turn.acquire(), seconds)
            except TimeoutError:
                await _busy(datasette).asgi_send(send)
                return
            try:
                await app(scope, receive, send)
            finally:
                turn.release()

        return wrapped

    return wrap


def _sql_in(metadata: object) -> Iterator[str]:
    """The queries of charts, which a browser asks for as if a visitor had written them."""
    if isinstance(metadata, dict):
        for name, value in metadata.items():
            if name == "query" and isinstance(value, str):
                yield value.strip()
            yield from _sql_in(value)


def _sql_of(scope: Scope) -> list[str]:
    asked = scope.get("query_string", b"")
    if b"sql=" not in asked and b"_where=" not in asked:
        return []
    asked = parse_qs(asked.decode("latin-1"))
    return [sql.strip() for name in ("sql", "_where") for sql in asked.get(name, [])]


def _busy(datasette: Datasette) -> Response:
    headers = {"Retry-After": "10", "Cache-Control": "no-store"}
    if datasette.cors:
        headers["Access-Control-Allow-Origin"] = "*"
    return Response.text(
        "Others are running SQL queries of their own at the moment. Please try again.",
        status=503,
        headers=headers,
    )
