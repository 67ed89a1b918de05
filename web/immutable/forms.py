"""Forms for SQL with parameters: labels, help, choices and the defaults that the SQL itself has.

Datasette shows a text field with the bare name of each parameter. Metadata can say more, for
all queries of a database:

    databases:
      mydb:
        plugins:
          queries:
            parameters:
              os:
                label: Operating system
                description: Where it runs.
                options: select distinct os from specs order by os

`options` is a list, or SQL whose first column is one.

Datasette passes a parameter that is missing as '' and knows no defaults, so SQL gives them with
`coalesce(nullif(:os, ''), <default>)`. The form of a canned query shows what `<default>` is at the
moment; that of SQL which a visitor wrote does not, since each would be one more query to run.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted
from datasette.utils.sqlite import sqlite3

MOST_CHOICES = 150
"""More options than this are suggested while typing, not listed to choose from."""

MOST_SUGGESTIONS = 2000
"""More options than this would make the page too large, and are left out."""

PARENTHESES_OR_QUOTED = re.compile(r"""[()]|'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


class Field(NamedTuple):
    """One parameter in the form of a query.

    Attributes:
        name: The parameter's name in the SQL.
        label: Its name for people.
        description: What to enter, or "".
        value: What was asked for, or "".
        default: What the SQL takes instead of "", or "".
        choices: All possible values to choose from; empty if any text may be entered.
        suggestions: Values to suggest while typing.
    """

    name: str
    label: str
    description: str
    value: str
    default: str
    choices: Sequence[str]
    suggestions: Sequence[str]


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates `query_fields(database, sql, values)`."""

    async def query_fields(database: str, sql: str, values: Mapping[str, str]) -> list[Field]:
        return await fields(datasette, database, sql, values)

    env.globals["query_fields"] = query_fields


async def fields(
    datasette: Datasette, database: str, sql: str, values: Mapping[str, str]
) -> list[Field]:
    """Return the fields of a query's form.

    Args:
        datasette: Where the query is.
        database: The name of its database.
        sql: The query.
        values: The query's parameters in the order of the form, and what was asked for.
    """
    config = datasette.plugin_config("queries", database=database) or {}
    described = config.get("parameters", {})
    db = datasette.get_database(database)
    queries = await datasette.get_canned_queries(database, None)
    is_canned = sql in {query["sql"] for query in queries.values()}
    return [
        await _field(
            db,
            name,
            described.get(name, {}),
            values[name],
            await _default(db, sql, name, values) if is_canned else "",
        )
        for name in values
    ]


async def _field(
    db: Database, name: str, described: Mapping[str, Any], value: str, default: str
) -> Field:
    options = await _options(db, described.get("options", []))
    choices = options if len(options) <= MOST_CHOICES else []
    return Field(
        name,
        described.get("label") or name.replace("_", " ").capitalize(),
        described.get("description", ""),
        value,
        default,
        choices,
        [] if choices or len(options) > MOST_SUGGESTIONS else options,
    )


async def _options(db: Database, options: str | Sequence[str]) -> Sequence[str]:
    if not isinstance(options, str):
        return options
    rows = await db.execute(f"select * from ({options}) limit {MOST_SUGGESTIONS + 1}")
    return [str(row[0]) for row in rows if row[0] is not None]


async def _default(db: Database, sql: str, name: str, values: Mapping[str, str]) -> str:
    expression = default_expression(sql, name)
    if not expression:
        return ""
    try:
        rows = await db.execute(f"select ({expression})", dict(values), log_sql_errors=False)
    except (sqlite3.Error, sqlite3.Warning, QueryInterrupted):
        # It is no SQL by itself: it refers to columns of the query around it, for example.
        return ""
    default = rows.single_value()
    return "" if default is None else str(default)


def default_expression(sql: str, name: str) -> str:
    """Return the SQL of what a query takes where a parameter is empty, or "".

    Args:
        sql: The query.
        name: The parameter.
    """
    start = re.search(
        rf"coalesce\(\s*nullif\(\s*:{re.escape(name)}\s*,\s*''\s*\)\s*,", sql, re.IGNORECASE
    )
    if not start:
        return ""
    depth = 1
    for part in PARENTHESES_OR_QUOTED.finditer(sql, start.end()):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if not depth:
            return sql[start.end() : part.start()].strip()
    return ""
