"""Which query runs next, and what is left of one that has ended."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.sqlite import sqlite3

from tests.web.conftest import opened
from web.immutable import limits, loop_turns, sql_turns
from web.immutable.sql_turns import TurnsExecutor, running_job
from web.immutable.visits import BusyError, Visit, current_visit

ENDLESS = "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c"

Run = Callable[[Visit | None, Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def executor() -> Iterator[TurnsExecutor]:
    """One with a thread for young queries and one for old ones, and a time limit of a minute."""
    executor = TurnsExecutor(1, 1, lambda: 60)
    yield executor
    executor.shutdown()


@pytest.fixture
def run(executor: TurnsExecutor) -> Run:
    """A function that hands a job to the executor, for a visit."""

    def run(visit: Visit | None, function: Callable[[], Any]) -> Future[Any]:
        token = current_visit.set(visit)
        try:
            return executor.submit(function)
        finally:
            current_visit.reset(token)

    return run


class Query:
    """A job that runs until it is interrupted, or told to end.

    Attributes:
        begun: is set when it begins, each time.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.times = 0
        self._is_over = False

    def __call__(self) -> str:
        """Run."""
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            connection.set_progress_handler(lambda: self._is_over, 100)
            job = running_job()
            assert job
            job.connections = [connection]
            self.times += 1
            self.begun.set()
            try:
                connection.execute(ENDLESS).fetchall()
            except sqlite3.OperationalError:
                return "ended" if self._is_over else "interrupted"
        raise AssertionError

    def end(self) -> None:
        """Let it end now, and whenever it begins again."""
        self._is_over = True


def test_a_short_query_does_not_wait_for_long_ones(run: Run) -> None:
    long = [Query() for _ in range(3)]
    waiting = [run(Visit(), query) for query in long]
    assert run(Visit(), lambda: "short").result() == "short"
    for query in long:
        query.end()
    assert [future.result() for future in waiting] == ["ended"] * 3


def test_what_waits_goes_by_what_its_request_has_had(run: Run) -> None:
    order: list[float] = []
    first = Query()
    running = run(Visit(), first)
    first.begun.wait()
    # All are old, and wait for the one that runs, which becomes old itself.
    visits = [Visit(sql_seconds=seconds) for seconds in (1e9 + 3, 1e9 + 1, 1e9 + 2)]
    waiting = [run(visit, lambda visit=visit: order.append(visit.sql_seconds)) for visit in visits]
    first.end()
    for future in (running, *waiting):
        future.result()
    assert [round(seconds - 1e9) for seconds in order] == [1, 2, 3]


def test_an_old_query_that_runs_makes_room_for_one_that_has_had_less(run: Run) -> None:
    greedy = Query()
    waiting = run(Visit(sql_seconds=1e9), greedy)
    greedy.begun.wait()
    greedy.begun.clear()
    assert run(Visit(sql_seconds=1), lambda: "modest").result() == "modest"
    # It begins again by itself, and what it gave when it was interrupted is forgotten.
    greedy.begun.wait()
    greedy.end()
    assert waiting.result() == "ended"
    assert greedy.times == 2


def test_equals_do_not_keep_each_other_from_ending(run: Run) -> None:
    # Each is interrupted for the other, but gets twice as long each time.
    def long() -> str:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            job = running_job()
            assert job
            job.connections = [connection]
            sql = ENDLESS.replace("from c)", "from c limit 600000)")
            try:
                connection.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return "interrupted"
        return "ended"

    waiting = [run(Visit(), long) for _ in range(3)]
    assert [future.result() for future in waiting] == ["ended"] * 3


def test_what_the_server_does_by_itself_does_not_give_way(run: Run) -> None:
    own, visitors = Query(), [Query(), Query()]
    running = run(None, own)
    own.begun.wait()
    waiting = [run(Visit(sql_seconds=1), query) for query in visitors]
    visitors[0].begun.wait()
    own.end()
    assert running.result() == "ended"
    assert own.times == 1
    for query in visitors:
        query.end()
    assert [future.result() for future in waiting] == ["ended"] * 2


def test_who_waits_for_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_turns, "GRACE_SECONDS", 60)
    executor = TurnsExecutor(1, 1, lambda: 0)
    greedy, token = Query(), current_visit.set(Visit(sql_seconds=1))
    try:
        running = executor.submit(greedy)
        greedy.begun.wait()
        with pytest.raises(BusyError):
            executor.submit(lambda: None).result()
        greedy.end()
        running.result()
    finally:
        current_visit.reset(token)
        executor.shutdown()


def test_who_would_be_one_too_many_to_wait_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_turns, "MOST_WAITING", 2)
    greedy, visit = Query(), Visit(sql_seconds=1)
    running = run(visit, greedy)
    greedy.begun.wait()
    waiting = [run(visit, lambda: "done") for _ in range(3)]
    with pytest.raises(BusyError):
        waiting[2].result()
    greedy.end()
    assert [future.result() for future in (running, *waiting[:2])] == ["ended", "done", "done"]


def test_want_of_memory_is_tried_twice_because_others_may_have_had_it(run: Run) -> None:
    for most, expected in ((1, "enough"), (9, MemoryError)):
        tries: list[int] = []

        def hungry(tries: list[int] = tries, most: int = most) -> str:
            tries.append(1)
            if len(tries) <= most:
                raise MemoryError
            return "enough"

        future = run(Visit(), hungry)
        if expected is MemoryError:
            with pytest.raises(MemoryError):
                future.result()
        else:
            assert future.result() == expected
        assert len(tries) == 2


def test_errors_and_ends_are_passed_on(executor: TurnsExecutor, run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Visit(), lambda: 1 / 0).result()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        run(Visit(), lambda: None)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Datasette]:
    """A Datasette of which these plugins are all there are, with one thread for all SQL."""
    monkeypatch.setattr(sql_turns.os, "cpu_count", lambda: 1)
    with opened(memory=True, settings={"num_sql_threads": 1, "sql_time_limit_ms": 2000}) as shop:
        yield shop


@pytest.fixture(autouse=True)
def _plugins() -> Iterator[None]:
    """The plugins are registered as long as a test runs, unless the site's own are anyway."""

    mine = [each for each in (limits, sql_turns, loop_turns) if not pm.is_registered(each)]
    for plugin in mine:
        pm.register(plugin)
    yield
    for plugin in mine:
        pm.unregister(plugin)


TOO_MUCH = """
    with recursive c(n) as (select 1 union all select n + 1 from c limit 200)
    select zeroblob(250000) as z, 1 from c
"""


async def test_nothing_of_a_query_that_returned_too_much_stays(alone: Datasette) -> None:
    await alone.invoke_startup()

    def interrupt_late(connection: sqlite3.Connection) -> list[tuple[int]]:
        # As a watcher that looked a moment before the query ended would.
        connection.interrupt()
        rows = connection.execute("select 1 union select 2").fetchall()
        return [tuple(row) for row in rows]

    database = alone.get_database("_memory")
    for _ in range(6):
        answer = await alone.client.get("/_memory.json", params={"sql": TOO_MUCH})
        assert answer.status_code == 400
        assert answer.json()["error"] == limits.TOO_MUCH
        assert await database.execute_fn(interrupt_late) == [(1,), (2,)]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 from (select 1 union select 2) where abs(-9223372036854775808)",
        "select json('[')",
        "select",
        ENDLESS,
    ],
)
async def test_nothing_of_a_query_that_failed_stays(alone: Datasette, sql: str) -> None:
    await alone.invoke_startup()

    def first_of_many(connection: sqlite3.Connection) -> Any:
        # Its statement stays open when it fails, as long as something holds its cursor.
        cursor = connection.cursor()
        cursor.execute("select 1 union all select 2")
        return [cursor.fetchone(), connection.execute(sql).fetchall()]

    def interrupt_late(connection: sqlite3.Connection) -> Any:
        connection.interrupt()
        return connection.execute("select 3").fetchone()[0]

    database = alone.get_database("_memory")
    token = current_visit.set(Visit())
    alone._settings["sql_time_limit_ms"] = 1
    try:
        with pytest.raises(sqlite3.Error) as error:
            await database.execute_fn(first_of_many)
    finally:
        alone._settings["sql_time_limit_ms"] = 2000
        current_visit.reset(token)
    assert error.value is not None
    assert await database.execute_fn(interrupt_late) == 3


async def test_a_query_inside_a_query_does_not_reset_what_it_returned(alone: Datasette) -> None:
    # Full-text search runs statements of its own on the same connection.
    await alone.invoke_startup()

    def search(connection: sqlite3.Connection) -> list[Any]:
        connection.execute("create virtual table if not exists words using fts5(word)")
        connection.execute("insert into words values ('gcc')")
        return connection.execute(
            TOO_MUCH.replace(", 1", ", (select rowid from words where words match 'gcc' and n > 0)")
        ).fetchall()

    with pytest.raises(sqlite3.OperationalError, match="more than 10,000,000 bytes"):
        await alone.get_database("_memory").execute_fn(search)


async def test_a_turn_ends_with_the_query(alone: Datasette) -> None:
    """Who reads an answer slowly keeps nobody waiting."""
    await alone.invoke_startup()
    is_sent, may_end = asyncio.Event(), asyncio.Event()
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        is_sent.set()
        await may_end.wait()
        bodies.append(message.get("body", b""))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/_memory.csv",
        "query_string": b"sql=select+1+as+n&_stream=1",
        "headers": [],
    }
    slow = asyncio.create_task(alone.client.app(scope, receive, send))
    await is_sent.wait()
    visitors = [
        alone.client.get(
            "/_memory.json", params={"sql": f"select {number} as n", "_shape": "array"}
        )
        for number in range(4)
    ]
    answers = await asyncio.gather(*visitors)
    assert [answer.json() for answer in answers] == [[{"n": number}] for number in range(4)]
    assert not bodies
    may_end.set()
    await slow
    assert b"".join(bodies) == b"n\r\n1\r\n"
