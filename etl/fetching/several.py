"""Several things at a time, in one process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


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
