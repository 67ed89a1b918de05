"""Lets requests that need much of the event loop step aside for the others.

Datasette makes its pages on the one event loop that also answers everybody else. A page of a
thousand rows of forty columns takes a second there, during which not even a health check is
answered. So this plugin measures how long each request keeps the loop, and asks those that have
had more than `LIGHT_SECONDS` to pause: after each cell, every few pieces that a template writes,
each facet and each piece of the answer. One that pauses goes on when no light request is being
answered, or after `PAUSES` times as long as a heavy one has just worked, whichever comes first; and
of all that pause only one, that which has worked least. So light pages lose at most the share that
is left to heavy ones, however many these are.

What can be known to be too much is refused: a page that grows beyond `PAGE_CHARACTERS`, and a
request that would be one too many to wait. It depends on

- Datasette calling `render_cell` for each cell of a page and waiting for what it gives, and
- Datasette writing its pages with `Template.render_async` of the templates of its environment.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.views.base import DatasetteError
from jinja2 import Environment, Template

from web.immutable.asgi import App, Message, Receive, Scope, Send
from web.immutable.visits import BusyError, Measured, Visit, current_visit

LIGHT_SECONDS = 0.1
"""Work on the event loop that each request may do without pausing."""

SLICE_SECONDS = 0.003
"""How long a heavy request works before it pauses."""

PAUSES = 6
"""How much longer than it worked a heavy request pauses for light ones."""

MOST_HEAVY = 30
"""So many heavy requests are answered at a time; each takes memory."""

PIECES_AT_ONCE = 32
"""So many pieces of a page, or cells, are made before the time is looked at."""

PAGE_CHARACTERS = 20_000_000
"""Length of the longest page; a thousand rows with many long cells fit."""

TOO_LONG = (
    f"The page would have more than {PAGE_CHARACTERS:,} characters. Ask for fewer rows or columns, "
    "or for JSON or CSV."
)

PIECE_BYTES = 65_536
"""A longer answer is sent, and compressed, in pieces of this size."""


class Gate:
    """What heavy requests of one event loop wait for; who has worked least goes first."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._light: set[Visit] = set()
        self._heavy: set[Visit] = set()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._rests_until = 0.0

    def enter(self, visit: Visit) -> None:
        """Note that a request has come; it is light at first."""
        self._light.add(visit)

    def leave(self, visit: Visit) -> None:
        """Note that a request has its answer: from now on it is the reader who takes the time."""
        self._heavy.discard(visit)
        self._light.discard(visit)
        if self._waiting and not self._light:
            self._loop.call_soon(self._let_one_go_on)

    async def pause(self, visit: Visit, worked: float) -> None:
        """Let a heavy request wait for light ones.

        Args:
            visit: the request.
            worked: the seconds that it has worked since its last pause.

        Raises:
            BusyError: too many heavy ones are being answered.
        """
        if visit in self._light:
            self.leave(visit)
            if len(self._heavy) >= MOST_HEAVY:
                raise BusyError
            self._heavy.add(visit)
        self._rests_until = self._loop.time() + PAUSES * worked
        turn = self._loop.create_future()
        heapq.heappush(self._waiting, (visit.work_seconds + worked, next(self._number), turn))
        # What has come meanwhile is let in first.
        self._loop.call_soon(self._let_one_go_on)
        await turn

    def _let_one_go_on(self) -> None:
        while self._waiting and self._waiting[0][2].done():  # its request was given up
            heapq.heappop(self._waiting)
        if not self._waiting:
            return
        rests = self._rests_until - self._loop.time()
        if self._light and rests > 0:
            self._loop.call_later(rests, self._let_one_go_on)
            return
        heapq.heappop(self._waiting)[2].set_result(None)
        # It works before this is called, and pauses or waits for something else.
        self._loop.call_soon(self._let_one_go_on)


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def _gate() -> Gate:
    return _gates.setdefault(asyncio.get_running_loop(), Gate())


def _too_long(visit: Visit | None) -> float:
    """How long a request has worked without a pause, in seconds, if it should pause; else 0."""
    if not visit:
        return 0
    worked = time.thread_time() - visit.step_began
    return worked if worked > SLICE_SECONDS and visit.work_seconds + worked > LIGHT_SECONDS else 0


async def pause() -> None:
    """Let the request that is being answered pause, if it has worked too long; for anyone to call.

    Raises:
        BusyError: too many are being answered that need to.
    """
    visit = current_visit.get()
    if visit and (worked := _too_long(visit)):
        await _gate().pause(visit, worked)


class PausingTemplate(Template):
    """A template that pauses while it is written."""

    async def render_async(self, *args: Any, **kwargs: Any) -> str:
        """Write the page.

        Raises:
            DatasetteError: it is too long.
        """
        page: list[str] = []
        length = 0
        visit = current_visit.get()
        async with aclosing(self.generate_async(*args, **kwargs)) as pieces:
            async for piece in pieces:
                page.append(piece)
                length += len(piece)
                if length > PAGE_CHARACTERS:
                    raise DatasetteError(TOO_LONG, status=400)
                # To ask for the time takes longer than most pieces.
                if not len(page) % PIECES_AT_ONCE and _too_long(visit):
                    await pause()
        return "".join(page)


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Environment) -> None:
    """Let the templates pause."""
    env.template_class = PausingTemplate


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def render_cell() -> Awaitable[None] | None:
    """Pause between the cells of a page, which others make.

    As the first of them this one is always waited for. To ask for the time takes longer than many
    a cell.
    """
    visit = current_visit.get()
    if visit is None:
        return None
    visit.cells += 1
    return pause() if not visit.cells % PIECES_AT_ONCE and _too_long(visit) else None


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper() -> Callable[[App], App]:
    """Measure each request, and send long answers in pieces."""
    return _measured


def _measured(app: App) -> App:
    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or current_visit.get():
            # A request that the server makes to itself is part of the one that it answers.
            await app(scope, receive, send)
            return
        visit, gate = Visit(), _gate()

        async def send_in_pieces(message: Message) -> None:
            gate.leave(visit)
            for piece in _pieces(message):
                await send(piece)
                if piece.get("more_body"):
                    await pause()

        gate.enter(visit)
        token = current_visit.set(visit)
        try:
            await Measured(visit, app(scope, receive, send_in_pieces))
        finally:
            current_visit.reset(token)
            gate.leave(visit)

    return measured


def _pieces(message: Message) -> Iterator[Message]:
    body = message.get("body", b"")
    if len(body) <= 2 * PIECE_BYTES:
        yield message
        return
    for start in range(0, len(body), PIECE_BYTES):
        more = start + PIECE_BYTES < len(body) or message.get("more_body", False)
        yield {**message, "body": body[start : start + PIECE_BYTES], "more_body": more}
