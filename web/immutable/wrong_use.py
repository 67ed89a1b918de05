"""Answers what nobody can mean with a status of 400 to 414 and words that help, never with 500.

Datasette checks some of what an address can hold. What it does not check ends in an error of
Python or SQLite that is taken for a fault of the server: `_sort=` with a column that is not there,
`_through=` with something that is no JSON, a character NUL. So this plugin

- refuses at once, before any work is done or anything is kept: addresses, and lists of arguments,
  that are too long (much of Datasette takes time that grows with the square of their length),
  methods that nothing here has, a `Host` that is none, and SQL with so many blanks in a row that
  Datasette's check of it would take seconds;
- checks what table pages take for JSON, numbers and names;
- takes an error that Datasette's own code ended in, while it answered a request, for a fault of
  the request: it says what is wrong if it knows, else what Python said. An error in the code of a
  plugin, and a database that cannot be read, stay faults of the server.

It depends on Datasette raising `DatasetteError` without a status for wrong use, and on the modules
of Datasette being called `datasette`.
"""

import functools
import json
import re
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from types import UnionType
from typing import Any
from urllib.parse import urlsplit

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.asgi import NotFound, Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError

from web.immutable.asgi import App, Receive, Scope, Send, cors_headers, header
from web.immutable.requests import is_column_filter, sql_of_visitor

ADDRESS_BYTES = 8_000
"""Length of the longest address, path and query string together; browsers send more."""

MOST_ARGUMENTS = 100
"""So many arguments can be behind a path."""

BLANKS_IN_A_ROW = 200
"""So many blanks and new lines can be in a row in a visitor's SQL."""

METHODS = ("GET", "HEAD", "OPTIONS", "POST")

HOST = re.compile(rb"[\w.~-]*(?:\[[0-9a-f:.]+\])?(?::\d{1,5})?", re.IGNORECASE)
"""A name, an address of IPv4, or of IPv6 in brackets; and perhaps a port."""

FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RecursionError),
    *(TypeError, ValueError, sqlite3.Warning, sqlite3.InterfaceError, sqlite3.DataError),
    *(sqlite3.ProgrammingError, sqlite3.OperationalError),
)
"""What Datasette ends in where it did not check; not what a database that is broken leads to."""


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(
    datasette: Datasette,
) -> Generator[None, list[Callable[[App], App]], list[Callable[[App], App]]]:
    """Refuse first of all what costs too much to look at."""
    wrappers = yield

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            refusal = _refusal(datasette, scope) if scope["type"] == "http" else None
            await (refusal.asgi_send(send) if refusal else app(scope, receive, send))

        return wrapped

    return [*wrappers, wrap]


def _refusal(datasette: Datasette, scope: Scope) -> Response | None:
    query_string = scope.get("query_string", b"")
    if len(scope.get("raw_path") or scope["path"]) + len(query_string) > ADDRESS_BYTES:
        return _plain(datasette, 414, f"An address has at most {ADDRESS_BYTES:,} bytes here.")
    if query_string.count(b"&") >= MOST_ARGUMENTS:
        return _plain(datasette, 400, f"An address has at most {MOST_ARGUMENTS} arguments here.")
    if scope["method"] not in METHODS:
        methods = ", ".join(METHODS)
        answer = _plain(datasette, 405, f"The methods here are {methods}.")
        answer.headers["Allow"] = methods
        return answer
    if not _is_host(header(scope["headers"], b"host")):
        return _plain(datasette, 400, "The header Host has to be a name, and perhaps a port.")
    for sql in sql_of_visitor(datasette, scope):
        if any(len(blanks) > BLANKS_IN_A_ROW for blanks in re.findall(r"\s+", sql)):
            return _plain(
                datasette, 400, f"SQL has at most {BLANKS_IN_A_ROW} blanks in a row here."
            )
    return None


# No more of them: a header can have 64 KB.
@functools.lru_cache(maxsize=16)
def _is_host(host: bytes) -> bool:
    """Tell whether links can be made with a header `Host`."""
    try:
        return bool(HOST.fullmatch(host)) and urlsplit(b"//" + host).port != 0
    except ValueError:
        return False


def _plain(datasette: Datasette, status: int, text: str) -> Response:
    return Response.text(text + "\n", status=status, headers=cors_headers(datasette))


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def filters_from_request(request: Request) -> None:
    """Check the arguments of a table page, before anything is done with them.

    Raises:
        DatasetteError: some are wrong.
    """
    if reasons := "; ".join(dict.fromkeys(_reasons(request))):
        raise DatasetteError(reasons, status=400)


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Generator[None, list[object], list[object]]:
    """Let Datasette answer as if it had checked the request."""
    meant = _as_wrong_use(request, exception)
    answers = yield
    if meant is None:
        return answers
    found: list[object] = pm.hook.handle_exception(
        datasette=datasette, request=request, exception=meant
    )
    return found


def _as_wrong_use(request: Request, exception: Exception) -> Any:
    """Return the error that Datasette should have raised; None if this one says what it is."""
    if (
        isinstance(exception, DatasetteError)
        and "pks" in request.url_vars
        and str(exception.message).startswith("no such table")
    ):
        return NotFound(f"There is no table {request.url_vars['table']}.")
    if isinstance(exception, DatasetteError) and exception.status == 500:
        return DatasetteError(exception.message, title=exception.title, status=400)
    if not isinstance(exception, FAULTS) or not _is_datasettes(exception):
        return None
    if request.method == "POST":
        return DatasetteError("Nothing can be posted to this address.", status=405)
    if "pks" in request.url_vars and isinstance(exception, sqlite3.ProgrammingError):
        return NotFound("The address of a row has one value for each column of the primary key.")
    if request.url_vars.get("format") == "csv" and "table" not in request.url_vars:
        return NotFound("There is no CSV of a whole database, only of tables and of queries.")
    reasons = (
        "; ".join(dict.fromkeys(_reasons(request)))
        or f"This address cannot be answered: {exception}"
    )
    return DatasetteError(reasons, status=400)


def _is_datasettes(exception: Exception) -> bool:
    """Tell whether Datasette's code, or what of the standard library it called, raised an error."""
    modules = [
        str(frame.f_globals.get("__name__"))
        for frame, _ in traceback.walk_tb(exception.__traceback__)
    ]
    packages = (name.partition(".")[0] for name in reversed(modules))
    return next(name for name in packages if name not in sys.stdlib_module_names) == "datasette"


def _reasons(request: Request) -> Iterator[str]:
    """Say what is wrong with arguments of a table page that Datasette does not check."""
    for key in request.args:
        for value in request.args.getlist(key):
            if "\0" in key or ("\0" in value and not is_column_filter(key)):
                yield "The character NUL is in no name and in no SQL here"
            elif key.startswith("_facet") and key != "_facet" and not key.startswith("_facet_"):
                yield f"There is no argument {key}"
            elif key == "_timelimit" and value and not re.fullmatch(r"\d{1,9}", value):
                yield "_timelimit has to be a number of milliseconds"
            elif key == "_through" and not (
                _has(value, "table", "column") and _has(value, "value", of=str | int | float)
            ):
                yield '_through has to be JSON such as {"table": "a", "column": "b", "value": "c"}'
            elif (
                key.startswith("_facet")
                and value.startswith("{")
                and not (_has(value, "column") or _has(value, "simple"))
            ):
                yield f'{key} has to be the name of a column, or JSON such as {{"column": "a"}}'
            elif (
                key.endswith(("__in", "__notin")) and value.startswith("[") and not _is_list(value)
            ):
                yield f"{key} has to be values with commas between them, or a JSON array of them"
            elif key.endswith(("__gt", "__gte", "__lt", "__lte")) and _is_too_large(value):
                yield f"{key} has to be a number of at most 18 digits"


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _has(text: str, *keys: str, of: type | UnionType = str) -> bool:
    """Tell whether a text is a JSON object with such values of all these keys."""
    found = _json(text)
    return isinstance(found, dict) and all(isinstance(found.get(key), of) for key in keys)


def _is_list(text: str) -> bool:
    found = _json(text)
    return isinstance(found, list) and all(isinstance(each, str | int | float) for each in found)


def _is_too_large(text: str) -> bool:
    """Tell whether Datasette would take a text for an integer that SQLite has not."""
    return text.isdigit() and not re.fullmatch(r"[0-9]{1,18}", text)
