"""`/-/health`: which database is served; for load balancers, and for who deploys.

The answer comes from memory, so that it stays quick while SQL queries keep the server busy. It
is an error (HTTP status 503) if the database cannot be read, or if its file was replaced after
the start: connections opened since then would read another database than the older ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from datasette import Response, __version__, hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils.sqlite import sqlite3

from web.immutable.asgi import cors_headers
from web.immutable.downloads import FileIdentity, file_identity
from web.spack.names import DATABASE, RELEASES_SQL

COUNTS = "select " + ", ".join(
    f"(select count(*) from {table}) as {table}"
    for table in ("packages", "specs", "stacks", "releases")
)


class NotServedError(Exception):
    """There is no database to serve, or it is not the one that was opened."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of the database that was opened.

    Attributes:
        file: identity of the file.
        facts: what `/-/health` says of it.
    """

    file: FileIdentity
    facts: dict[str, Any]


_served: WeakKeyDictionary[Datasette, Served] = WeakKeyDictionary()


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, object]]:
    """Serve `/-/health`."""
    return [(r"^/-/health$", health)]


async def health(datasette: Datasette) -> Response:
    """Say whether the database is served, and which one it is; never from a cache."""
    headers = {"Cache-Control": "no-store", **cors_headers(datasette)}
    try:
        facts = await _facts(datasette)
    except NotServedError as error:
        answer = {"status": "error", "error": str(error)}
        return Response.json(answer, status=503, headers=headers)
    return Response.json({"status": "ok", **facts}, headers=headers)


async def _facts(datasette: Datasette) -> dict[str, Any]:
    database = datasette.databases.get(DATABASE)
    if database is None:
        raise NotServedError(f"no database {DATABASE} was opened")
    try:
        file = file_identity(Path(database.path))
    except OSError as error:
        raise NotServedError("the file of the database is gone") from error
    served = _served.get(datasette)
    if served is None:
        served = _served[datasette] = Served(file, await _read(datasette))
    if served.file != file:
        raise NotServedError("the file of the database was replaced: start the server again")
    return served.facts


async def _read(datasette: Datasette) -> dict[str, Any]:
    database = datasette.databases[DATABASE]
    try:
        counts = (await database.execute(COUNTS)).first()
        releases = (await database.execute(RELEASES_SQL)).rows
    except (sqlite3.Error, QueryInterrupted) as error:
        raise NotServedError("the database cannot be read") from error
    snapshots = [row["name"] for row in releases if row["kind"] == "snapshot"]
    return {
        "database": DATABASE,
        "hash": database.hash,
        "counts": dict(counts),
        "releases": [row["name"] for row in releases],
        "newest_snapshot": snapshots[0] if snapshots else None,
        "version_note": datasette.version_note,
        "datasette": __version__,
    }
