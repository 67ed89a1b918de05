"""Keeps whole answers, here and at browsers and CDNs, while no database can change.

The databases of a published copy never change while they are served, so an address has one answer
until others, or another version of the site, are deployed. So answers are

- kept in memory, bounded by bytes; those asked for longest ago go first;
- fresh for Datasette's `default_cache_ttl`, where they do not say otherwise themselves;
- tagged (`ETag`). Who asks again with that tag gets "304 Not Modified".

A tag names all that an answer is made of: the databases, the templates, static files and plugins,
the address with its host, and the headers for caches. So none but a good answer of this very
address can have it, and who brings it is answered at once, without any SQL being run. A plugin
whose code is elsewhere than in the plugins folder names the folders it is in, as `SOURCES`.

What may be kept is said in one place: `may_be_kept` of a request, `is_kept` of its answer.

Plugin configuration (all optional):
    plugins:
      response-cache:
        megabytes: 64      # 0 keeps nothing in memory
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from datasette import __version__, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from web.immutable.asgi import (
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    header,
    headers_by_name,
)
from web.immutable.conditions import names, none_match_fails
from web.immutable.encoding import ACCEPT, accepts_gzip
from web.immutable.memory import Memory, bytes_of
from web.immutable.prefix import path_below_prefix
from web.immutable.requests import sql_of_visitor

DEFAULT_MEGABYTES = 64
_LARGEST_SHARE = 16
_PAIR_BYTES = 64

_OF_LENGTH = {b"content-length", b"transfer-encoding"}
_OF_SOMEBODY = {b"cookie", b"authorization"}
_OF_UNMODIFIED = {b"cache-control", b"etag", b"vary", b"access-control-allow-origin"}

Address = tuple[str, bytes, bytes, bytes]
"""Scheme, host, path and query string: pages hold links with all of them."""

STATIC = ("/-/static/", "/-/static-plugins/")
"""Where Datasette serves files; its other pages below `/-/` tell of the moment."""

USUAL_VARY = b"Cookie, Authorization, Accept-Encoding"
"""What the answers of Datasette's pages differ by."""


class Answer(NamedTuple):
    """A complete response of status 200."""

    headers: Headers
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        texts = (text for pair in self.headers for text in pair)
        return bytes_of(self.body, *texts) + len(self.headers) * _PAIR_BYTES


def may_be_kept(datasette: Datasette, scope: Scope) -> bool:
    """Tell whether a request has one answer for everybody, as long as the databases are served.

    SQL that a visitor wrote can depend on the time of day; a person with cookies may be somebody.
    """
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    path = path_below_prefix(datasette, scope["path"])
    if path.startswith("/-/") and not path.startswith(STATIC):
        return False
    if not _OF_SOMEBODY.isdisjoint([name.lower() for name, _ in scope["headers"]]):
        return False
    return not sql_of_visitor(datasette, scope)


def is_kept(status: int, headers: Headers) -> bool:
    """Tell whether the answer to such a request is good, and nobody's own.

    One with an ETag of its own looks after itself.
    """
    return (
        status == 200
        and b"no-store" not in header(headers, b"cache-control").lower()
        and header(headers, b"vary") != b"*"
        and not any(name.lower() in {b"set-cookie", b"etag"} for name, _ in headers)
    )


class Tags(NamedTuple):
    """Makes the tags of answers.

    Attributes:
        site: Names the databases and the site.
        fresh: The usual value of `Cache-Control`.
    """

    site: bytes
    fresh: bytes

    def tag(self, address: Address, cache_control: bytes, vary: bytes) -> bytes:
        """Name one answer and its headers for caches."""
        made_of = hashlib.blake2b(key=self.site, digest_size=16)
        for part in (address[0].encode(), *address[1:], cache_control, vary):
            made_of.update(b"%d:%b" % (len(part), part))
        return f'W/"{made_of.hexdigest()}"'.encode()

    def tagged(self, address: Address, headers: Headers) -> Headers:
        """The headers of an answer with its tag, and fresh if they do not say how long it is."""
        cache_control = header(headers, b"cache-control") or self.fresh
        kept = [pair for pair in headers if pair[0].lower() != b"cache-control"]
        tag = self.tag(address, cache_control, header(headers, b"vary"))
        return [*kept, (b"cache-control", cache_control), (b"etag", tag)]

    def usual(self, address: Address) -> Headers:
        """The headers for caches that nearly every answer of an address has."""
        tag = self.tag(address, self.fresh, USUAL_VARY)
        return [(b"cache-control", self.fresh), (b"etag", tag), (b"vary", USUAL_VARY)]


class _Recorder:
    """Passes a response on, tagged, while keeping a copy as long as it may be kept.

    Attributes:
        answer: The copy, when it is complete.
    """

    def __init__(self, reply: "_Reply", tags: Tags, address: Address, largest: int) -> None:
        self._reply = reply
        self._tags = tags
        self._address = address
        self._largest = largest
        self._headers: Headers | None = None
        self._body = bytearray()
        self.answer: Answer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
            return
        if self._headers is not None:
            self._keep(self._headers, message)
        await self._reply.send(message)

    async def _begin(self, start: Message) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in start["headers"]]
        if is_kept(start["status"], headers):
            self._headers = self._tags.tagged(self._address, headers)
            await self._reply.begin(self._headers)
        else:
            await self._reply.send(start)

    def _keep(self, headers: Headers, message: Message) -> None:
        self._body += message.get("body", b"")
        if len(self._body) > self._largest:
            self._headers = None
            self._body.clear()
        elif not message.get("more_body"):
            self.answer = Answer(_with_length(headers, len(self._body)), bytes(self._body))


def _with_length(headers: Headers, length: int) -> Headers:
    """The headers of a whole answer: without its length a server would send it in chunks."""
    is_told = any(name.lower() in _OF_LENGTH for name, _ in headers)
    return headers if is_told else [*headers, (b"content-length", b"%d" % length)]


class _Reply:
    """Answers one request: whole, or with 304 if who asks has it already.

    Attributes:
        is_conditional: Whether who asks has anything.
    """

    def __init__(self, send: Send, condition: bytes, *, is_head: bool) -> None:
        self._condition = condition
        self.is_conditional = bool(condition)
        self._is_head = is_head
        self._send = send
        self._is_over = False

    def is_named(self, headers: Headers) -> bool:
        """Tell whether who asks has named the tag of an answer with these headers."""
        return names(self._condition, header(headers, b"etag"))

    async def unmodified(self, headers: Headers) -> None:
        """Give no more than the headers for caches of an answer that who asks has."""
        headers = [pair for pair in headers if pair[0].lower() in _OF_UNMODIFIED]
        await self.send({"type": "http.response.start", "status": 304, "headers": headers})
        await self.send({"type": "http.response.body"})
        self._is_over = True

    async def begin(self, headers: Headers) -> None:
        """Begin a good answer; it is over at once if who asks has it."""
        if self.is_conditional and none_match_fails(self._condition, header(headers, b"etag")):
            await self.unmodified(headers)
        else:
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, message: Message) -> None:
        """Pass on what belongs to the answer, unless it is over."""
        if not self._is_over:
            await self._send(message)

    async def whole(self, answer: Answer) -> None:
        """Give an answer that was kept."""
        await self.begin(answer.headers)
        body = b"" if self._is_head else answer.body
        await self.send({"type": "http.response.body", "body": body})


def keep_answers(app: App, tags: Tags, capacity: int, is_askable: Callable[[Scope], bool]) -> App:
    """An application that answers what it has answered before, and tags its answers.

    Args:
        app: Makes the answers.
        tags: Makes their tags.
        capacity: Bytes that the answers in memory may have.
        is_askable: Tells of a request whether its answer may be kept.
    """
    memory: Memory[tuple[Address, bool], Answer] = Memory(capacity, capacity // _LARGEST_SHARE)

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_askable(scope):
            await app(scope, receive, send)
            return
        asked = headers_by_name(scope["headers"])
        address = _address(scope, asked.get(b"host", b""))
        key = address, accepts_gzip(asked.get(ACCEPT, b""))
        condition = asked.get(b"if-none-match", b"")
        reply = _Reply(send, condition, is_head=scope["method"] == "HEAD")
        if reply.is_conditional and reply.is_named(usual := tags.usual(address)):
            await reply.unmodified(usual)
        elif key in memory:
            await reply.whole(memory[key])
        else:
            recorder = _Recorder(reply, tags, address, capacity // _LARGEST_SHARE)
            await app(scope, receive, recorder.send)
            if recorder.answer and scope["method"] == "GET":
                size = recorder.answer.size + bytes_of(*address)
                memory.put(key, recorder.answer, size)

    return kept


def _address(scope: Scope, host: bytes) -> Address:
    path = scope.get("raw_path") or scope["path"].encode()
    return scope.get("scheme", "http"), host, path, scope["query_string"]


_names: WeakKeyDictionary[Datasette, bytes] = WeakKeyDictionary()


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Read all that answers are made of before anybody waits for one."""
    if _is_immutable(datasette):
        _names[datasette] = _name_of_site(datasette)


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Stand around everything that makes answers, compression included."""

    def wrap(app: App) -> App:
        kept: App | None = None

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            # Not before the first request: until then databases can be added.
            nonlocal kept
            kept = kept or _kept_answers(datasette, app)
            await kept(scope, receive, send)

        return wrapped

    return wrap


def _kept_answers(datasette: Datasette, app: App) -> App:
    if not datasette.cache_headers or not _is_immutable(datasette):
        return app
    config = datasette.plugin_config("response-cache") or {}
    capacity = int(config.get("megabytes", DEFAULT_MEGABYTES)) * 1024 * 1024
    fresh = f"max-age={datasette.setting('default_cache_ttl')}".encode()
    name = _names.get(datasette) or _name_of_site(datasette)
    return keep_answers(
        app, Tags(name, fresh), capacity, lambda scope: may_be_kept(datasette, scope)
    )


def _is_immutable(datasette: Datasette) -> bool:
    """Tell whether there are databases, and none that can change."""
    databases = [
        database
        for name, database in datasette.databases.items()
        # The one is Datasette's own, the other has nothing in it but what visitors ask.
        if name not in {"_internal", "_memory"}
    ]
    return bool(databases) and not any(database.is_mutable for database in databases)


def _name_of_site(datasette: Datasette) -> bytes:
    """Name the databases and everything else that all answers are made of."""
    made_of = hashlib.sha256()
    facts = (
        __version__,
        datasette.version_note,
        datasette.metadata(),
        datasette.settings_dict(),
        datasette.cors,
        [database.hash for database in datasette.databases.values()],
        sorted(f"{each.project_name}=={each.version}" for _, each in pm.list_plugin_distinfo()),
    )
    made_of.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for file in _files(datasette):
        made_of.update(file.read_bytes())
    return made_of.digest()


def _files(datasette: Datasette) -> Iterator[Path]:
    static = [path for _, path in datasette.static_mounts]
    code = [path for plugin in pm.get_plugins() for path in getattr(plugin, "SOURCES", ())]
    for folder in (datasette.template_dir, datasette.plugins_dir, *static, *sorted(code)):
        if folder:
            files = (file for file in sorted(Path(folder).rglob("*")) if file.is_file())
            yield from (file for file in files if "__pycache__" not in file.parts)
