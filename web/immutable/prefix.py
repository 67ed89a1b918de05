"""Lets every address lead where it should on a site that is below a prefix (setting `base_url`).

Datasette puts the prefix before addresses that it makes of a request's path, and forgets it in
redirects, in facets by date and in links to binary values. So an address has the prefix twice
where the request came with it, or lacks it where a proxy took it away. Here each request has the
prefix, whatever the proxy does, and so has each address that is made of its path.

This depends on three things in Datasette: it makes them of `Request.path`; `Urls.path` leaves a
`PrefixedUrlString` as it is; and so do the functions that add to one, but for `path_with_format`.
(Each method that is asked of such a text makes Datasette list all methods of texts; not here.)

A proxy that takes the prefix away must not serve a database of the same name: nobody could tell
the prefix `/mydb/` from the database `/mydb/`.
"""

import re
from collections.abc import Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import PrefixedUrlString, StartupError
from datasette.utils import path_with_format as plain_path_with_format
from datasette.utils.asgi import Request
from datasette.views import base, database

from web.immutable.asgi import App, Receive, Scope, Send

_METHODS = frozenset(name for name in dir(str) if not name.startswith("__"))

_plain_path: Callable[[Request], str] = Request.path.fget


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Let Datasette know that a request's path has the prefix, in this whole process.

    Where there is none a path stays a plain text, which is faster.

    Raises:
        StartupError: there cannot be such a prefix.
    """
    PrefixedUrlString.__getattribute__ = _attribute
    prefix = datasette.setting("base_url")
    if not re.fullmatch(r"/(?:[\w.~-]+/)*", prefix):
        raise StartupError(f"base_url is {prefix!r}; it begins and ends with a slash: /prefix/")
    if prefix == "/":
        return
    Request.path = property(lambda request: PrefixedUrlString(_plain_path(request)))
    for views in (base, database):
        views.path_with_format = path_with_format


def _attribute(text: PrefixedUrlString, name: str) -> Any:
    """Return an attribute of an address as Datasette does, without listing all of them each time.

    What its methods return is an address too. A page with facets asks some hundreds of times.
    """
    if name not in _METHODS:
        return object.__getattribute__(text, name)

    def method(*args: Any, **options: Any) -> Any:
        value = getattr(str, name)(text, *args, **options)
        if isinstance(value, str):
            return PrefixedUrlString(value)
        if isinstance(value, list | tuple):
            return type(value)(map(PrefixedUrlString, value))
        return value

    return method


def path_with_format(**options: Any) -> PrefixedUrlString:
    """Return the address of another format of a request's page, as Datasette's function does."""
    return PrefixedUrlString(plain_path_with_format(**options))


def path_below_prefix(datasette: Datasette, path: str) -> str:
    """Return what Datasette finds the page by: a request's path without the prefix."""
    prefix: str = datasette.setting("base_url")
    return "/" + path[len(prefix) :] if path.startswith(prefix) else path


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Give the prefix back to the requests from which a proxy took it."""
    prefix: str = datasette.setting("base_url")

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and not scope["path"].startswith(prefix):
                scope = {**scope, **_with_prefix(scope, prefix)}
            await app(scope, receive, send)

        return wrapped

    return wrap


def _with_prefix(scope: Scope, prefix: str) -> dict[str, str | bytes]:
    path = scope["path"]
    raw = scope.get("raw_path") or path.encode()
    if f"{path}/" == prefix:
        return {"path": prefix, "raw_path": prefix.encode()}
    return {
        "path": prefix + path.removeprefix("/"),
        "raw_path": prefix.encode() + raw.removeprefix(b"/"),
    }
