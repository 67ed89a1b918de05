"""Run tasks in several processes, with no more of them waiting than keeps the processes busy."""

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Self, TypeVar

from etl.errors import WorkerDiedError

Task = TypeVar("Task")
Result = TypeVar("Result")


TASKS_WORTH_PROCESSES = 8
"""Fewer tasks than this are done before other processes have even started."""


class Workers:
    """Up to `jobs` processes; a few tasks, or a single job, run in this process.

    Meanwhile no garbage is collected. Records hold no circles, and there are many of them: looking
    for some costs a sixth of the time.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._was_collecting = gc.isenabled()

    def __enter__(self) -> Self:
        gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool:
            with _interrupts_held():
                self._pool.shutdown(cancel_futures=True)
        if self._was_collecting:
            gc.enable()

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results, in the order of the tasks.

        Args:
            function: at the top level of a module, so that another process can import it.
            tasks: taken one by one, as processes come free.

        Raises:
            WorkerDiedError: a process was killed.
        """
        waiting = iter(tasks)
        first = list(islice(waiting, TASKS_WORTH_PROCESSES))
        if self._pool is None and (self._jobs == 1 or len(first) < TASKS_WORTH_PROCESSES):
            yield from map(function, chain(first, waiting))
            return
        try:
            yield from self._run(function, chain(first, waiting))
        except BrokenProcessPool:
            raise WorkerDiedError(
                "a process that read pages was killed, perhaps because memory ran out; "
                "try again with --jobs 1"
            ) from None

    def _run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        if self._pool is None:
            # spawn: a process must not inherit locks, connections or this one's memory.
            self._pool = ProcessPoolExecutor(
                self._jobs, mp_context=get_context("spawn"), initializer=_start
            )
        running: deque[Future[Result]] = deque()
        for task in tasks:
            with _interrupts_held():
                running.append(self._pool.submit(function, task))
            if len(running) > 2 * self._jobs:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let ctrl-C wait; a process that starts meanwhile never gets it.

    ctrl-C reaches every process of the terminal, also one that has only begun to start. The main
    one answers it for all.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start() -> None:
    gc.disable()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)
