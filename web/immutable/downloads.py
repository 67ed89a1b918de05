"""Sends the file of a database so that a download shows its progress and can be resumed.

Datasette sends it without its length, and compression would take part of a processor for as long
as the slowest client reads. This plugin leaves to Datasette's own view who may have which file,
and sends it with its length, in the range asked for (RFC 9110, section 14), never compressed. So
`curl -C -`, `wget -c` and browsers go on where they stopped, and programs that read a database
over HTTP, page by page, can.
"""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from weakref import WeakKeyDictionary

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_decode
from datasette.utils.asgi import AsgiFileDownload, Request
from datasette.views.base import DatasetteError
from datasette.views.database import DatabaseDownload

from web.immutable.asgi import App, Receive, Scope, Send
from web.immutable.conditions import none_match_fails
from web.immutable.encoding import without_encoding

CHUNK = 128 * 1024
"""Bytes that are read at once; each download has so much in memory."""

CLOUD_RUN_BYTES = 32 * 1024 * 1024
"""Google Cloud Run refuses a longer answer whose length is told (https://cloud.google.com/run/quotas),
so there, where the environment has `K_SERVICE`, it is sent without; HEAD tells the length."""

RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.ASCII)
"""One range; who asks for several at once gets the whole, as is allowed."""

EXPOSED = "Link, Accept-Ranges, Content-Range, Content-Length, Etag"
"""What scripts of other sites may see, where Datasette lets them see anything."""

FileIdentity = tuple[int, int, int, int]

_opened: WeakKeyDictionary[Database, FileIdentity] = WeakKeyDictionary()


class UnsatisfiableError(Exception):
    """A range that begins behind the end of the file."""


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Note which files are served."""
    for database in datasette.databases.values():
        if database.path and not database.is_mutable:
            _opened[database] = file_identity(Path(database.path))


def file_identity(file: Path) -> FileIdentity:
    """Tell a file from others that may take its name: device, inode, bytes, nanoseconds."""
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, object]]:
    """Take the address of Datasette's own view."""
    return [(r"^/(?P<database>[^\/\.]+)\.db$", download)]


async def download(datasette: Datasette, request: Request, send: Send) -> object:
    """Answer with the file of a database, if Datasette lets who asks have it."""
    if request.method not in {"GET", "HEAD"}:
        return await DatabaseDownload.as_view(datasette)(request, send)
    condition = request.headers.get("if-none-match", "").encode("latin-1")
    found = await DatabaseDownload(datasette).get(_without_condition(request))
    if not isinstance(found, AsgiFileDownload):
        return found
    tag = found.headers.get("Etag", "")
    if condition and none_match_fails(condition, tag.encode()):
        return FilePart(Path(found.filepath), 304, _headers(found))
    database = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    identity = file_identity(Path(found.filepath))
    if identity != _opened.setdefault(database, identity):
        raise DatasetteError(
            "The file of this database was replaced since the server started.", status=503
        )
    return _whole_or_part(request, found, tag)


def _without_condition(request: Request) -> Request:
    """The same request, answered in full: Datasette compares tags as texts."""
    kept = [pair for pair in request.scope["headers"] if pair[0].lower() != b"if-none-match"]
    return Request({**request.scope, "headers": kept}, request.receive)


def _headers(found: AsgiFileDownload) -> dict[str, str]:
    headers = {name: value for name, value in found.headers.items() if name != "Transfer-Encoding"}
    if "Access-Control-Expose-Headers" in headers:
        headers["Access-Control-Expose-Headers"] = EXPOSED
    return headers | {"Accept-Ranges": "bytes"}


def _whole_or_part(request: Request, found: AsgiFileDownload, tag: str) -> object:
    file = Path(found.filepath)
    size = file.stat().st_size
    headers = _headers(found)
    try:
        wanted = _range_of(request, tag, size)
    except UnsatisfiableError:
        headers["Content-Range"] = f"bytes */{size}"
        return Response.text("This range is not in the file.", status=416, headers=headers)
    first, last = wanted or (0, size - 1)
    if wanted:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    length = last - first + 1
    if request.method == "HEAD" or length <= CLOUD_RUN_BYTES or "K_SERVICE" not in os.environ:
        headers["Content-Length"] = str(length)
    headers["Content-Type"] = found.content_type
    headers["Content-Disposition"] = f'attachment; filename="{found.filename}"'
    return FilePart(file, 206 if wanted else 200, headers, first, length)


def _range_of(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte that are asked for; None for the whole file.

    Raises:
        UnsatisfiableError: nothing of the range is in the file.
    """
    condition = request.headers.get("if-range", tag)
    asked = RANGE.fullmatch(request.headers.get("range", ""))
    if request.method != "GET" or not asked or condition != tag:
        return None
    first, last, suffix = (int(number) if number else None for number in asked.groups())
    if first is None:
        first, last = max(0, size - (suffix or 0)), size - 1
    elif last is not None and last < first:
        return None
    if first >= size:
        raise UnsatisfiableError
    return first, size - 1 if last is None else min(last, size - 1)


class FilePart:
    """A response of some bytes of a file, which are read as they are sent."""

    def __init__(
        self, file: Path, status: int, headers: dict[str, str], first: int = 0, length: int = 0
    ) -> None:
        self._file = file
        self._status = status
        self._headers = [
            (name.encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        self._first = first
        self._left = length

    async def asgi_send(self, send: Send) -> None:
        """Send it.

        Raises:
            EOFError: the file has become shorter.
        """
        with self._file.open("rb") as opened:
            opened.seek(self._first)
            await send(
                {"type": "http.response.start", "status": self._status, "headers": self._headers}
            )
            while self._left:
                chunk = await self._next_chunk(opened)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})

    async def _next_chunk(self, opened: BinaryIO) -> bytes:
        chunk = await asyncio.to_thread(opened.read, min(CHUNK, self._left))
        if not chunk:
            raise EOFError(f"{self._file} has become shorter")
        self._left -= len(chunk)
        return chunk


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper() -> Callable[[App], App]:
    """Keep compression, which stands inside of this, from such files.

    Datasette finds a database by many spellings of its name, but only before these letters.
    """

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
                if path.endswith(b".db"):
                    scope = without_encoding(scope)
            await app(scope, receive, send)

        return wrapped

    return wrap
