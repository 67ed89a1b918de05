"""Keeps whole answers in memory while every database is immutable.

An immutable database cannot change while Datasette runs, so an answer stays right until the
process ends. The cache is bounded by bytes; the answers that were asked for longest ago go first.
Left out are answers to people with cookies, Datasette's own pages below `/-/`, and SQL that a
visitor wrote, which can depend on the time of day.

Plugin configuration (all optional):
    plugins:
      response-cache:
        megabytes: 64      # 0 turns the cache off
"""

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from datasette import hookimpl
from datasette.app import Datasette

from web.immutable.asgi import App, Headers, Message, Receive, Scope, Send, header

Key = tuple[bytes, bytes, bool]

DEFAULT_MEGABYTES = 64
_LARGEST_SHARE = 16


class Answer(NamedTuple):
    """A complete response of status 200."""

    headers: Headers
    body: bytes


class ResponseCache:
    """Answers by address, the least recently used first; at most `capacity` bytes of bodies."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def get(self, key: Key) -> Answer | None:
        """The answer of an address, which becomes the most recently used."""
        answer = self._answers.get(key)
        if answer:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer) -> None:
        """Keep an answer unless it is too large, and drop old ones until it fits."""
        if len(answer.body) > self.largest or key in self._answers:
            return
        self._answers[key] = answer
        self.size += len(answer.body)
        while self.size > self.capacity:
            _, dropped = self._answers.popitem(last=False)
            self.size -= len(dropped.body)

    @property
    def largest(self) -> int:
        """Bytes of the largest body that is kept."""
        return self.capacity // _LARGEST_SHARE


class _Recorder:
    """Passes a response on while keeping a copy, as long as it may be kept."""

    def __init__(self, send: Send, largest: int) -> None:
        self._send = send
        self._largest = largest
        self._headers: Headers | None = None
        self._body = bytearray()
        self.answer: Answer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._headers = _kept_headers(message)
        elif self._headers is not None:
            self._body += message.get("body", b"")
            if len(self._body) > self._largest:
                self._headers = None
            elif not message.get("more_body"):
                self.answer = Answer(self._headers, bytes(self._body))
        await self._send(message)


def _kept_headers(start: Message) -> Headers | None:
    """The headers of a response that may be kept; None for any other."""
    headers: Headers = list(start.get("headers", []))
    found = {name.lower(): value for name, value in headers}
    private = b"no-store" in found.get(b"cache-control", b"") or b"set-cookie" in found
    return None if private or start["status"] != 200 else headers


def cache_responses(app: App, cache: ResponseCache) -> App:
    """An application that answers from the cache what it has answered before."""

    async def cached(scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await app(scope, receive, send)
            return
        answer = cache.get(key)
        if answer is None:
            recorder = _Recorder(send, cache.largest)
            await app(scope, receive, recorder.send)
            if recorder.answer:
                cache.put(key, recorder.answer)
            return
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    return cached


def _key(scope: Scope) -> Key | None:
    """What tells one answer from another; None for a request whose answer is not kept."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    if any(
        header(scope["headers"], name) for name in (b"cookie", b"authorization", b"if-none-match")
    ):
        return None
    if scope["path"].startswith("/-/"):
        return None
    if b"sql=" in scope["query_string"] or b"_where=" in scope["query_string"]:
        return None
    path = scope.get("raw_path") or scope["path"].encode()
    return path, scope["query_string"], b"gzip" in header(scope["headers"], b"accept-encoding")


def _is_immutable(datasette: Datasette) -> bool:
    databases = [db for name, db in datasette.databases.items() if name != "_internal"]
    return bool(databases) and not any(database.is_mutable for database in databases)


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Put the cache around everything else, compression included."""
    config = datasette.plugin_config("response-cache") or {}
    capacity = int(config.get("megabytes", DEFAULT_MEGABYTES)) * 1024 * 1024

    def wrap(app: App) -> App:
        if not capacity or not _is_immutable(datasette):
            return app
        return cache_responses(app, ResponseCache(capacity))

    return wrap


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Spare the garbage collector what start-up made: it is most of what there is, and stays.

    Without this, collections while pages are made double the slowest answers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
