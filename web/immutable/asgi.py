"""The types of ASGI (https://asgi.readthedocs.io/), and its headers."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from datasette.app import Datasette
from datasette.utils import add_cors_headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


def header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    """Return the value of a header, or b"" if there is none; those of one name become a list.

    Args:
        headers: Of a request or an answer.
        wanted: The header's name in lower case.
    """
    return b", ".join([value for name, value in headers if name.lower() == wanted])


def headers_by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return what `header` does of all names there are, for who needs several."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = found[key] + b", " + value if key in found else value
    return found


def cors_headers(datasette: Datasette) -> dict[str, str]:
    """Return the headers that let pages of other sites read an answer, if any site may."""
    headers: dict[str, str] = {}
    if datasette.cors:
        add_cors_headers(headers)
    return headers
