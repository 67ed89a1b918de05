"""Lets an answer that goes wrong while it is sent break off, and asks for no body that nobody gets.

Datasette streams CSV from query to query. Where one fails, at the time limit say, it writes the
error's text as the last line and ends the answer as if nothing had happened, and whoever reads it
takes a part for the whole. This plugin ends such an answer without its end, so the server closes
the connection in the midst of the transfer, which every client tells from a complete one.

How an answer goes wrong is told in a way that needs none of Datasette's texts: what is sent while
an exception is being handled that was not when the answer began, or begins a second answer, is
about that exception. The plugin stands closest to Datasette, where no other one has put what is
sent aside for later.

An answer to HEAD ends where its body begins. Datasette would make all of it, the whole of a table.
"""

import sys
from asyncio import CancelledError
from collections.abc import Callable

from datasette import hookimpl

from web.immutable.asgi import App, Message, Receive, Scope, Send


class EnoughError(CancelledError):
    """Ends the making of a body that is not sent."""


class Stream:
    """One answer on its way.

    Attributes:
        is_cut: Whether it went wrong after its beginning; nothing more of it is sent then.
    """

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self._has_begun = False
        self._handled: BaseException | None = None
        self.is_cut = False

    async def send(self, message: Message) -> None:
        """Pass a message on, unless the answer is cut.

        Raises:
            EnoughError: the answer is complete without its body.
        """
        handled = sys.exception()
        if not self._has_begun:
            self._has_begun, self._handled = True, handled
        elif message["type"] == "http.response.start" or handled is not self._handled:
            self.is_cut = True
        if self.is_cut:
            return
        if self._is_head and message["type"] == "http.response.body":
            await self._send({"type": "http.response.body"})
            raise EnoughError
        await self._send(message)


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper() -> Callable[[App], App]:
    """Stand between Datasette and all other plugins."""
    return _watched


def _watched(app: App) -> App:
    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        try:
            await app(scope, receive, Stream(send, is_head=scope["method"] == "HEAD").send)
        except EnoughError:
            return

    return watched
