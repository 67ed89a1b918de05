"""Closes connections whose client does nothing, and all of them some time after the server's end.

`datasette serve` gives no times to its server, uvicorn, which waits without end for a request that
is never finished and for a client that does not read its answer; and as long as one of these is
there, it does not end at SIGTERM. So this plugin watches connections. Closed without further ado
is one

- that waits for a request, or for more of one, for `request_seconds`;
- whose client reads nothing of what it asked for, for `stalled_seconds`: many minutes are fine for
  an answer, as long as something of it is read;
- that is still there `closing_seconds` after the server has stopped listening.

And nothing more is made for a client that is gone; Datasette would go on to the last row.

This stands on two habits of uvicorn: it starts an application (ASGI's lifespan) before it listens,
by `create_server` of the same event loop; and it runs an application in a task that it makes while
it is handed what the client sent. Where that is otherwise nothing is watched.

Plugin configuration (all optional):
    plugins:
      connections:
        request_seconds: 30
        stalled_seconds: 120
        closing_seconds: 20
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

from datasette import hookimpl
from datasette.app import Datasette

from web.immutable.asgi import App, Message, Receive, Scope, Send


class Times(NamedTuple):
    """How long a connection may wait, in seconds (see above)."""

    request_seconds: float = 30
    stalled_seconds: float = 120
    closing_seconds: float = 20

    @property
    def interval(self) -> float:
        """How often connections are looked at."""
        return min(1.0, *(each / 4 for each in self))


class ClientGoneError(CancelledError):
    """Ends the making of an answer that nobody reads."""


class Connection:
    """What a client and the server wait for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._unsent = 0
        self._since = self._loop.time()
        self._requests = 0
        self._is_receiving = False
        self.is_lost = False

    def is_late(self, times: Times) -> bool:
        """Look at the connection, and tell whether its client has done nothing for too long."""
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, now
        elif unsent:
            return now - self._since > times.stalled_seconds
        waits_for_client = self._is_receiving or not self._requests
        return waits_for_client and now - self._since > times.request_seconds

    def abort(self) -> None:
        """Close it, and forget what is still to be sent."""
        self._transport.abort()

    async def answer(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer a request, for as long as its client is there."""
        has_all = False

        async def receive_in_time() -> Message:
            nonlocal has_all
            if has_all:
                return await receive()
            self._note(receiving=True)
            message = await receive()
            self._note(receiving=False)
            has_all = not message.get("more_body", False)
            return message

        async def send_to_somebody(message: Message) -> None:
            if self.is_lost:
                raise ClientGoneError
            await send(message)

        # One can begin before another has ended: inside of it, or sent at the same time.
        self._requests += 1
        try:
            await app(scope, receive_in_time, send_to_somebody)
        except CancelledError:
            if not self.is_lost:
                raise
        finally:
            self._requests -= 1
            self._note(receiving=False)

    def _note(self, *, receiving: bool) -> None:
        self._is_receiving, self._since = receiving, self._loop.time()


_connection: ContextVar[Connection] = ContextVar("connection")


class WatchedProtocol(asyncio.Protocol):
    """A server's protocol for one connection, of which a watch knows."""

    def __init__(self, protocol: asyncio.Protocol, watch: "Watch") -> None:
        self._protocol = protocol
        self._watch = watch
        self._connection: Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that there is a connection."""
        self._connection = Connection(cast("asyncio.Transport", transport))
        self._watch.connections.add(self._connection)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Let an application that is started now know which connection it is for."""
        token = _connection.set(self._connection)
        try:
            self._protocol.data_received(data)
        finally:
            _connection.reset(token)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nobody is there any more."""
        self._connection.is_lost = True
        self._watch.connections.discard(self._connection)
        self._protocol.connection_lost(exc)


class Watch:
    """Watches all connections of the servers that an event loop is asked for."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._servers: list[asyncio.Server] = []
        self._closing_since: float | None = None
        self.connections: set[Connection] = set()

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the servers that are made from now on."""
        for name in ("create_server", "create_unix_server"):
            setattr(loop, name, self._watched(getattr(loop, name)))
        self._look(loop)

    def _watched(
        self, create: Callable[..., Awaitable[asyncio.Server]]
    ) -> Callable[..., Awaitable[asyncio.Server]]:
        async def create_watched(
            factory: Callable[[], asyncio.Protocol], *places: Any, **options: Any
        ) -> asyncio.Server:
            server = await create(lambda: WatchedProtocol(factory(), self), *places, **options)
            self._servers.append(server)
            return server

        return create_watched

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        is_over = self._is_over(loop.time())
        for connection in list(self.connections):
            if connection.is_late(self._times) or is_over:
                connection.abort()
        loop.call_later(self._times.interval, self._look, loop)

    def _is_over(self, now: float) -> bool:
        if not self._servers or any(server.is_serving() for server in self._servers):
            return False
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since > self._times.closing_seconds


@hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Watch the connections of the server that starts the application."""
    times = Times(**(datasette.plugin_config("connections") or {}))

    def wrap(app: App) -> App:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            connection = _connection.get(None)
            if scope["type"] == "lifespan":
                Watch(times).begin(asyncio.get_running_loop())
            if scope["type"] == "http" and connection:
                await connection.answer(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return wrapped

    return wrap
