"""Pages that are not there, and what was probably meant: packages, specs, tables, questions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_decode, tilde_encode
from datasette.utils.asgi import NotFound, Request, Response

from etl.schema import NODES, SPECS, TABLES
from web.immutable.asgi import cors_headers
from web.immutable.prefix import path_below_prefix
from web.spack.names import DAG_HASH, DATABASE

MOST = 8
"""How many suggestions are made."""

LONGEST_WORD = 250
"""No name is longer, nor like what is."""

NAMED = tuple(table.name for table in TABLES if table.key == ("name",))
"""Tables whose rows are known by a name that people type."""

KEYS = {table.name: table.key[0] for table in TABLES if len(table.key) == 1}
"""The columns that tell the rows of a table apart, where one does."""

SPECS_SQL = """
    select hash, spec from specs where hash >= :start and hash < :start || '~'
    order by hash limit :most
"""


class Suggestion(NamedTuple):
    """A page that may have been meant.

    Attributes:
        text: What it is about.
        kind: What that is: package, spec, stack, release, target, table or question.
        path: Its address below the database's.
    """

    text: str
    kind: str
    path: str


@hookimpl  # type: ignore[untyped-decorator]
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Callable[[], Awaitable[Response]] | None:
    """Answer people who ask for what is not there with what they may have meant."""
    if not isinstance(exception, NotFound) or request.path.endswith(".json"):
        return None

    async def response() -> Response:
        path = path_below_prefix(datasette, request.path)
        words = [tilde_decode(part) for part in path.split("/") if part]
        if meant := await _meant(datasette, words):
            return Response.redirect(meant)
        context = {
            "word": words[-1] if words else "",
            "kind": words[-2] if len(words) > 1 else "",
            "suggestions": await suggestions(datasette, words),
        }
        html = await datasette.render_template("404.html", context, request, "not_found")
        return Response.html(html, status=404, headers=cors_headers(datasette))

    return response


async def _meant(datasette: Datasette, words: Sequence[str]) -> str | None:
    """Return the page of a row whose key has a dot, which Datasette took for a format.

    Or that of a node whose hash was taken for that of a spec.
    """
    if DATABASE not in datasette.databases:
        return None
    if len(words) == 3 and words[:2] == [DATABASE, SPECS.name] and DAG_HASH.fullmatch(words[2]):
        return await _row(datasette, NODES.name, words[2])
    if len(words) != 3 or words[0] != DATABASE or words[1] not in KEYS or "." not in words[2]:
        return None
    return await _row(datasette, *words[1:])


async def _row(datasette: Datasette, table: str, key: str) -> str | None:
    db = datasette.get_database(DATABASE)
    found = await db.execute(f"select 1 from {table} where {KEYS[table]} = ?", [key])
    path: str = datasette.urls.row(DATABASE, table, tilde_encode(key))
    return path if found.first() else None


async def suggestions(datasette: Datasette, words: Sequence[str]) -> list[Suggestion]:
    """Return what may have been meant by an address.

    Args:
        datasette: Where it was asked for.
        words: The parts of its path.
    """
    if not words or DATABASE not in datasette.databases:
        return []
    db = datasette.get_database(DATABASE)
    *_, table, word = ["", *words]
    if table == "specs":
        return await _specs(db, word)
    if table in NAMED:
        return await _rows(db, table, word)
    places = await _places(datasette, db)
    pages = [places[name] for name in await _close(word, places)]
    return (pages + await _rows(db, "packages", word))[:MOST]


def close(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that are like a word, the likeliest first."""
    by_lower = {name.lower(): name for name in names}
    lower = word.lower()
    parts = sorted((name for name in by_lower if lower in name), key=len) if len(word) > 1 else []
    found = get_close_matches(lower, by_lower, n=MOST, cutoff=0.7)
    return [by_lower[name] for name in dict.fromkeys([*found, *parts])][:MOST]


async def _close(word: str, names: Iterable[str]) -> list[str]:
    # Thousands of names take a while, in which others want their pages.
    return await asyncio.to_thread(close, word, names) if len(word) <= LONGEST_WORD else []


async def _specs(db: Database, start: str) -> list[Suggestion]:
    # A hash that was cut off, or has something behind it.
    start = start.strip().lower().lstrip("/")[:7]
    specs = await db.execute(SPECS_SQL, {"start": start, "most": MOST}) if start else []
    return [
        Suggestion(spec["spec"], f"spec {spec['hash'][:7]}", f"specs/{spec['hash']}")
        for spec in specs
    ]


async def _rows(db: Database, table: str, word: str) -> list[Suggestion]:
    names = [name for (name,) in await db.execute(f"select name from {table}")]
    return [
        Suggestion(name, table.removesuffix("s"), f"{table}/{tilde_encode(name)}")
        for name in await _close(word, names)
    ]


async def _places(datasette: Datasette, db: Database) -> Mapping[str, Suggestion]:
    hidden = await db.hidden_table_names()
    tables = {
        name: Suggestion(name, "table", name)
        for name in await db.table_names()
        if name not in hidden
    }
    queries = await datasette.get_canned_queries(DATABASE, None)
    return tables | {
        name: Suggestion(query.get("title") or name, "question", name)
        for name, query in queries.items()
    }
