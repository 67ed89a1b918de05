"""What each request has cost so far: seconds of SQL, and seconds of work on the event loop.

Who has to wait is told by what a request costs, never by how it is spelled: an address can be
written in any number of ways, and a page without any SQL of a visitor can cost more than one with.
`sql_turns` and `loop_turns` let those wait that have had most.
"""

import time
from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


class BusyError(Exception):
    """A request had to wait too long for others, or would have been one too many to wait."""


@dataclass(eq=False)
class Visit:
    """One request.

    Attributes:
        sql_seconds: how long its SQL has run, attempts that were broken off included.
        work_seconds: how long it has kept the event loop, without what it is doing now. As it is
            for who is to blame, this is the time of the processor, not of the clock.
        step_began: when it began what it is doing now, by `time.thread_time`.
        cells: how many cells have been made for it.
    """

    sql_seconds: float = 0.0
    work_seconds: float = 0.0
    step_began: float = 0.0
    cells: int = 0


current_visit: ContextVar[Visit | None] = ContextVar("current_visit", default=None)
"""The request that is being answered; None for what the server does by itself."""


class Measured:
    """Waits for some work, and notes how long each step of it keeps the event loop."""

    def __init__(self, visit: Visit, work: Awaitable[None]) -> None:
        self._visit = visit
        self._work = work

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        step, value = steps.send, None
        while True:
            self._visit.step_began = time.thread_time()
            try:
                awaited = step(value)
            except StopIteration:
                return
            finally:
                self._visit.work_seconds += time.thread_time() - self._visit.step_began
            try:
                value = yield awaited
                step = steps.send
            except BaseException as error:
                step, value = steps.throw, error

    async def wait(self) -> None:
        """Wait for it."""
        await self
