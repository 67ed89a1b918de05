"""Which query runs next: those of requests that have had least SQL so far.

Datasette hands its queries to an executor with a few threads, in the order in which they come. A
few visitors whose queries take seconds then keep everybody's pages waiting, whether they write SQL
or add filters to an address. So this plugin puts an executor of its own in place of Datasette's
(`Datasette.executor`, used by `Database.execute_fn`, and only there):

- Of the queries that wait, those of requests that have had least SQL go first.
- A query that makes its request's SQL last longer than `YOUNG_SECONDS` is an old one. Only so many
  of these run at a time that one of the machine's cores is left (at least one). One that runs
  goes on if there is room; else it is interrupted, and begins again when it is its turn.
- An old one that runs makes room for one whose request has had less than half of its request's,
  and `HEAD_START_SECONDS` less. So among equals each gets twice as long as the time before, and all
  come to an end.
- An old one that has not ended after `WAIT_LIMITS` times Datasette's time limit, and does not run,
  ends in `BusyError`.

So a query ends, or gives way, by what it costs; nothing is told from its text. A turn is the time
that a query runs: however slowly an answer is read, nobody waits for that. To begin again costs
`YOUNG_SECONDS` at first, and only where others want the same cores. It is safe because what runs
here only reads; Datasette writes in other threads. What SQL has had is the time of the processor,
where the system tells it for each thread, so that nobody is blamed for a machine that is busy.

While a job runs (`running_job`), what happens on its thread's connections belongs to it. It is
interrupted by `sqlite3_interrupt`, over and over until it ends, since SQLite forgets an interrupt
between two statements; and never after it has ended. Whatever ends it, no statement stays open:
SQLite would take an interrupt that comes late for every later statement of that connection.
"""

import functools
import heapq
import itertools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from web.immutable.asgi import App
from web.immutable.visits import BusyError, Visit, current_visit

YOUNG_SECONDS = 0.1
"""SQL that each request may have without waiting for those that need much."""

HEAD_START_SECONDS = 0.5
"""How much less SQL a request must have had, at least, for its query to interrupt another's."""

GRACE_SECONDS = 0.25
"""How long after Datasette's time limit a query is interrupted, if Datasette itself did not."""

WAIT_LIMITS = 5
"""How long an old query waits for its turn, in times of Datasette's time limit."""

MOST_WAITING = 50
"""So many old queries wait; each has a request that takes memory."""

LOOK_SECONDS = 0.01
"""How often queries that run are looked at."""


@dataclass(eq=False)
class Job:
    """A function that Datasette wants to be run with a connection, in any thread.

    Attributes:
        run: the function.
        future: where its result is waited for.
        visit: the request that needs it; None for what the server does by itself, which never
            has to wait.
        is_old: whether its request has had so much SQL that it has to wait for others.
        gives_way: whether it was interrupted to begin again later.
        refusal: what it ends in, whatever it gives.
        result_bytes: of the rows that it has read.
    """

    run: Callable[[], Any]
    future: Future[Any]
    visit: Visit | None
    is_old: bool = False
    gives_way: bool = False
    refusal: Exception | None = None
    result_bytes: int = 0
    attempts: int = 0
    began: float = 0.0
    clock: Callable[[], float] = time.perf_counter
    clock_began: float = 0.0
    waits_since: float = 0.0
    connections: Sequence[sqlite3.Connection] = ()

    def begin(self, connections: Sequence[sqlite3.Connection]) -> None:
        """Get ready to run on a thread that has, or will have, these connections."""
        self.connections = connections
        self.gives_way, self.refusal, self.result_bytes = False, None, 0
        self.attempts += 1
        self.began = time.monotonic()
        self.clock = _thread.clock
        self.clock_began = self.clock()

    def interrupt(self) -> None:
        """Interrupt what it does now; to be asked for only while it runs."""
        for connection in self.connections:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                connection.interrupt()

    def refuse(self, error: Exception) -> None:
        """End it with an error."""
        self.refusal = error
        self.interrupt()

    def give_way(self) -> None:
        """Let it begin again later."""
        self.gives_way = True
        self.interrupt()

    def seconds(self) -> float:
        """How long it has had the processor, this time."""
        return self.clock() - self.clock_began

    @property
    def sql_before(self) -> float:
        """How much SQL its request has had before, in seconds."""
        return self.visit.sql_seconds if self.visit else 0.0

    def sql_seconds(self) -> float:
        """How much SQL its request has had, with what runs now."""
        return self.sql_before + self.seconds() if self.visit else 0.0


def _clock_of_this_thread() -> Callable[[], float]:
    if sys.platform == "linux":
        return functools.partial(
            time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident())
        )
    return time.perf_counter


class _Thread(threading.local):
    """What a thread has.

    Attributes:
        job: the job it runs.
        connections: those that it has opened.
        clock: tells how long it has had the processor.
    """

    job: Job | None = None

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.clock = _clock_of_this_thread()


_thread = _Thread()


def running_job() -> Job | None:
    """Return the job that runs in this thread."""
    return _thread.job


class Queue:
    """Jobs that wait, those first whose requests have had least SQL."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._number = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, job: Job) -> None:
        """Add a job."""
        heapq.heappush(self._heap, (job.sql_before, next(self._number), job))

    def get(self) -> Job:
        """Take the first job."""
        return heapq.heappop(self._heap)[2]

    def least(self) -> float:
        """How much SQL the request of the first one has had; infinity if none waits."""
        return self._heap[0][0] if self._heap else float("inf")

    def take_out(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        """Take all jobs that are meant."""
        taken = [entry for entry in self._heap if is_meant(entry[2])]
        if taken:
            self._heap = [entry for entry in self._heap if entry not in taken]
            heapq.heapify(self._heap)
        return [job for *_, job in taken]


class TurnsExecutor(Executor):
    """Runs jobs in threads, in the order that this module's docstring states.

    Args:
        young: how many jobs run at a time whose requests have had little SQL.
        old: how many others run at a time.
        limit_seconds: tells Datasette's time limit for a query.
    """

    def __init__(self, young: int, old: int, limit_seconds: Callable[[], float]) -> None:
        self._most = {False: young, True: old}
        self._limit_seconds = limit_seconds
        self._lock = threading.Lock()
        # What follows is for who holds the lock.
        self._waiting = {False: Queue(), True: Queue()}
        self._running: set[Job] = set()
        self._is_shut_down = False
        # One entry for each time that a thread should look for a job.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._is_used = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"sql_{number}", daemon=True)
            for number, target in enumerate([self._watch, *[self._work] * (young + old)])
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in one of the threads, for the request that is being answered."""
        job = Job(functools.partial(fn, *args, **kwargs), Future(), current_visit.get())
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._wait(job, is_old=job.sql_before > YOUNG_SECONDS)
        return job.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads, when the jobs that run have ended; those that wait are cancelled."""
        with self._lock:
            self._is_shut_down = True
            waiting = [job for queue in self._waiting.values() for job in queue.take_out(bool)]
        for job in waiting:
            job.future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        self._is_used.set()
        if wait:
            for thread in self._threads:
                thread.join()

    def _wait(self, job: Job, *, is_old: bool) -> None:
        if is_old and len(self._waiting[True]) >= MOST_WAITING:
            job.future.set_exception(BusyError())
            return
        job.is_old = is_old
        job.waits_since = job.waits_since or time.monotonic()
        self._waiting[is_old].put(job)
        self._calls.put(None)

    def _work(self) -> None:
        while not self._is_shut_down:
            self._calls.get()
            while job := self._take():
                self._run(job)

    def _take(self) -> Job | None:
        """Take the job that is next; None if there is none, or no room for it."""
        with self._lock:
            for is_old, queue in self._waiting.items():
                while queue and self._has_room(is_old=is_old):
                    job = queue.get()
                    if job.attempts or job.future.set_running_or_notify_cancel():
                        job.begin(_thread.connections)
                        self._running.add(job)
                        self._is_used.set()
                        return job
        return None

    def _has_room(self, *, is_old: bool) -> bool:
        return sum(job.is_old is is_old for job in self._running) < self._most[is_old]

    def _run(self, job: Job) -> None:
        error, result = None, None
        _thread.job = job
        try:
            result = job.run()
        except BaseException as raised:
            error = raised
            # What is left there would keep statements open.
            traceback.clear_frames(raised.__traceback__)
        _thread.job = None
        if self._ends(job, error):
            if error := job.refusal or error:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

    def _ends(self, job: Job, error: BaseException | None) -> bool:
        """Note that a job has run; tell whether that was all, or it begins again later."""
        with self._lock:
            self._running.discard(job)
            if job.visit:
                job.visit.sql_seconds += job.seconds()
            # All queries share one heap: others may have had the memory that it needs.
            again = job.gives_way or (isinstance(error, MemoryError) and job.attempts == 1)
            if again:
                self._wait(job, is_old=True)
        return not again

    def _watch(self) -> None:
        """Look after the jobs, as long as there are some."""
        while not self._is_shut_down:
            self._is_used.wait()
            with self._lock:
                for job in self._running:
                    self._look_at(job)
                late = time.monotonic() - WAIT_LIMITS * self._limit_seconds()
                given_up = self._waiting[True].take_out(lambda job: job.waits_since < late)  # noqa: B023
                if not (self._running or self._waiting[True] or self._is_shut_down):
                    self._is_used.clear()
            for job in given_up:
                job.future.set_exception(BusyError())
            time.sleep(LOOK_SECONDS)

    def _look_at(self, job: Job) -> None:
        if time.monotonic() - job.began > self._limit_seconds() + GRACE_SECONDS:
            job.interrupt()
        elif job.is_old:
            least = self._waiting[True].least()
            if least + max(least, HEAD_START_SECONDS) < job.sql_seconds():
                job.give_way()
        elif job.sql_seconds() > YOUNG_SECONDS:
            if self._has_room(is_old=True) and not self._waiting[True]:
                job.is_old = True
                self._calls.put(None)
            else:
                job.give_way()


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Put the executor in place; Datasette asks for wrappers when all else is there."""
    if datasette.executor and not isinstance(datasette.executor, TurnsExecutor):
        datasette.executor.shutdown()
        datasette.executor = TurnsExecutor(
            datasette.setting("num_sql_threads"),
            max(1, (os.cpu_count() or 1) - 1),
            lambda: datasette.setting("sql_time_limit_ms") / 1000,
        )
    return lambda app: app


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Note which connections a thread has; Datasette's `_internal` database is not for visitors."""
    if database != "_internal":
        _thread.connections.append(conn)
