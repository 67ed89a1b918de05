"""Lets browsers and CDNs ask whether an answer they keep still holds, and answers at once.

The database of a published copy never changes while it is served, so an address has one answer
until another database or another version of the site is deployed. Each answer carries a tag made
of both (ETag). Who asks again with that tag gets "304 Not Modified", without any SQL being run.
The site is its templates, static files and plugins; a plugin whose code is elsewhere than in the
plugins folder names the folders it is in, as `SOURCES`.

Answers are fresh for Datasette's `default_cache_ttl`. Left out are errors, answers to people with
cookies, Datasette's own pages below `/-/`, and SQL that a visitor wrote, which can depend on the
time of day.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from datasette import __version__, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from web.immutable.asgi import App, Message, Receive, Scope, Send, header


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Answer what still holds; tag what is sent."""
    databases = [each for each in datasette.databases.values() if not each.is_memory]
    if not datasette.cache_headers or any(each.is_mutable for each in databases):
        return lambda app: app
    tag = _tag(datasette)
    fresh = f"max-age={datasette.setting('default_cache_ttl')}".encode()

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if not _may_be_kept(scope):
                await app(scope, receive, send)
            elif tag in header(scope["headers"], b"if-none-match"):
                await _not_modified(send, tag, fresh)
            else:
                await app(scope, receive, lambda message: send(_tagged(message, tag, fresh)))

        return wrapped

    return wrap


def _tag(datasette: Datasette) -> bytes:
    """Name the database and everything else that an answer is made of."""
    made_of = hashlib.sha256(f"{__version__} {datasette.version_note}".encode())
    made_of.update(json.dumps(datasette.metadata(), sort_keys=True, default=str).encode())
    for database in datasette.databases.values():
        made_of.update(str(database.hash).encode())
    for file in _files(datasette):
        made_of.update(file.read_bytes())
    return f'W/"{made_of.hexdigest()[:32]}"'.encode()


def _files(datasette: Datasette) -> Iterator[Path]:
    static = [path for _, path in datasette.static_mounts]
    code = [path for plugin in pm.get_plugins() for path in getattr(plugin, "SOURCES", ())]
    for folder in (datasette.template_dir, datasette.plugins_dir, *static, *sorted(code)):
        if folder:
            files = (file for file in sorted(Path(folder).rglob("*")) if file.is_file())
            yield from (file for file in files if "__pycache__" not in file.parts)


def _may_be_kept(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    if scope["path"].startswith("/-/") and not scope["path"].startswith("/-/static"):
        return False
    if b"sql=" in scope["query_string"] or b"_where=" in scope["query_string"]:
        return False
    return not any(name in {b"cookie", b"authorization"} for name, _ in scope["headers"])


def _tagged(message: Message, tag: bytes, fresh: bytes) -> Message:
    if message["type"] != "http.response.start" or message["status"] != 200:
        return message
    headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
    names = {name.lower() for name, _ in headers}
    if b"no-store" in header(headers, b"cache-control") or not names.isdisjoint(
        {b"set-cookie", b"etag"}
    ):
        return message
    if b"cache-control" not in names:
        headers.append((b"cache-control", fresh))
    return {**message, "headers": [*headers, (b"etag", tag)]}


async def _not_modified(send: Send, tag: bytes, fresh: bytes) -> None:
    headers = [
        (b"etag", tag),
        (b"cache-control", fresh),
        (b"vary", b"Accept-Encoding, Cookie, Authorization"),
    ]
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
