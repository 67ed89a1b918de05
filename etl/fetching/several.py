"""Several things at a time, in one process."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run something to its end, or until SIGTERM or ctrl-C; then all of it is tidied up first.

    asyncio sees to ctrl-C, but what a handler of SIGTERM raises would cut its tidying short.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(_quietly(work))
    ended = False
    before = signal.getsignal(signal.SIGTERM)

    async def until_ended() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def end(*_: object) -> None:
            nonlocal ended
            ended = True
            if task:
                loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGTERM, end)
        return await _quietly(work)

    try:
        with suppress(asyncio.CancelledError):
            return asyncio.run(until_ended())
    finally:
        signal.signal(signal.SIGTERM, before)
        if ended:
            # Now as whoever called expects it.
            signal.raise_signal(signal.SIGTERM)
    raise KeyboardInterrupt


async def _quietly(work: Coroutine[Any, Any, Result]) -> Result:
    """Do not tell of tasks that a second ctrl-C cut short."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), KeyboardInterrupt):
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)
    return await work


async def each(
    items: Iterable[Item], work: Callable[[Item], Awaitable[None]], at_once: int
) -> None:
    """Do something for each of many items.

    Args:
        items: taken one by one, when there is somebody to work on the next.
        work: what to do; what it raises ends the work on all others, and is raised.
        at_once: how many items are worked on at a time.
    """
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        # The others are what followed from the first, or just as good.
        raise errors.exceptions[0] from None
