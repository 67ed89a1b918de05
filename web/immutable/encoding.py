"""Says rightly who is sent compressed answers, and that answers differ by it.

datasette-gzip looks for the letters `gzip` anywhere in `Accept-Encoding`, so who forbids it
(`gzip;q=0`) gets it, and says that answers differ (`Vary`) only with those that it compresses:
a cache would give a small answer, or one without a body, for another. So this plugin, which stands
around that one, hands on a header that is either `gzip` or not there.
"""

import functools
from collections.abc import Callable

from datasette import hookimpl

from web.immutable.asgi import App, Headers, Message, Receive, Scope, Send, header

ACCEPT = b"accept-encoding"


# Browsers send few different ones; no more are remembered, because a header can have 64 KB.
@functools.lru_cache(maxsize=16)
def accepts_gzip(accept: bytes) -> bool:
    """Tell whether a client wants gzip at least as much as no compression (RFC 9110, 12.5.3).

    Args:
        accept: The value of `Accept-Encoding`, empty if there is none: nothing is compressed then.
    """
    weights = dict(_weight(part) for part in accept.lower().split(b","))
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def _weight(part: bytes) -> tuple[bytes, float]:
    """The name of a coding and its weight; 0 where that cannot be read."""
    name, *parameters = (each.strip() for each in part.split(b";"))
    for parameter in parameters:
        key, _, value = parameter.partition(b"=")
        if key.strip() == b"q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0
    return name, 1.0


def without_encoding(scope: Scope) -> Scope:
    """The same request by a client that takes nothing compressed."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != ACCEPT]
    return {**scope, "headers": headers}


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper() -> Callable[[App], App]:
    """Stand around the compression."""
    return _normalised


def _normalised(app: App) -> App:
    async def normalised(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        is_wanted = accepts_gzip(header(scope["headers"], ACCEPT))
        scope = without_encoding(scope)
        if is_wanted:
            scope["headers"].append((ACCEPT, b"gzip"))
        await app(scope, receive, lambda message: send(_with_vary(message)))

    return normalised


def _with_vary(message: Message) -> Message:
    if message["type"] != "http.response.start":
        return message
    headers: Headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
    # What is had in parts is never compressed: the parts would be those of something else.
    if header(headers, b"accept-ranges"):
        return message
    vary = header(headers, b"vary")
    named = {name.strip().lower() for name in vary.split(b",")}
    if named.isdisjoint({ACCEPT, b"*"}):
        headers = [(name, value) for name, value in headers if name.lower() != b"vary"]
        headers.append((b"vary", b", ".join(filter(None, (vary, b"Accept-Encoding")))))
    return {**message, "headers": headers}
