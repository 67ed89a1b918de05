"""Gives the page of an error the query that failed, so that it can be mended there.

Datasette shows a form again where SQLite refused the SQL, but not where the SQL is no SELECT or
took too long: what was typed is gone. Templates find `failed_query()`: the query of the request
that went wrong, or None if it brought none.
"""

from contextvars import ContextVar
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import tilde_decode
from datasette.utils.asgi import Request


class FailedQuery(NamedTuple):
    """What was asked.

    Attributes:
        action: The address of the form that asked.
        sql: The SQL that was typed; "" for a question of the site's own.
        values: The other arguments, by name.
    """

    action: str
    sql: str
    values: dict[str, str]


_failed: ContextVar[Request | None] = ContextVar("failed", default=None)


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def handle_exception(request: Request) -> None:
    """Note which request goes wrong; whoever answers it does so in the same task."""
    _failed.set(request)


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates `failed_query`."""
    env.globals["failed_query"] = lambda: _query(datasette, _failed.get())


def _query(datasette: Datasette, request: Request | None) -> FailedQuery | None:
    if request is None or "database" not in request.url_vars:
        return None
    sql = request.args.get("sql") or ""
    values = {
        name: request.args.get(name)
        for name in request.args
        if name != "sql" and not name.startswith("_")
    }
    try:
        database = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        return None
    name = tilde_decode(request.url_vars.get("table") or "")
    if not name:
        return FailedQuery(datasette.urls.database(database.name), sql, values) if sql else None
    if name in (datasette.metadata("queries", database=database.name) or {}):
        return FailedQuery(datasette.urls.query(database.name, name), "", values)
    return None
