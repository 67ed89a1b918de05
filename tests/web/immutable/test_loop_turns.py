"""Requests that need much of the event loop step aside for the others."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.views.base import DatasetteError
from jinja2 import DictLoader, Environment

from tests.web.conftest import opened
from web.immutable import limits, loop_turns
from web.immutable.loop_turns import Gate, pause
from web.immutable.visits import BusyError, Measured, Visit, current_visit


class Clock:
    """Takes the place of `time`: goes on when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def thread_time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("web.immutable.visits.time", clock)
    monkeypatch.setattr("web.immutable.loop_turns.time", clock)
    return clock


async def test_work_is_measured_without_what_is_waited_for(clock: Clock) -> None:
    visit, waited = Visit(), asyncio.Event()

    async def other() -> None:
        clock.now += 100
        waited.set()

    async def work() -> None:
        clock.now += 1
        await waited.wait()
        clock.now += 2
        assert visit.work_seconds == 1
        assert clock.thread_time() - visit.step_began == 2

    async with asyncio.TaskGroup() as group:
        group.create_task(Measured(visit, work()).wait())
        group.create_task(other())
    assert visit.work_seconds == 3


async def test_errors_pass_through_what_measures() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def survives() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1000)

    with pytest.raises(ZeroDivisionError):
        await Measured(Visit(), fails())
    task = asyncio.create_task(Measured(Visit(), survives()).wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def test_a_heavy_request_waits_until_no_light_one_is_left() -> None:
    gate, heavy, light = Gate(), Visit(), [Visit(), Visit()]
    for visit in (heavy, *light):
        gate.enter(visit)
    task = asyncio.create_task(gate.pause(heavy, worked=1000))
    for visit in light:
        await asyncio.sleep(0.01)
        assert not task.done()
        gate.leave(visit)
    await task


async def test_a_heavy_request_goes_on_after_a_while_beside_light_ones() -> None:
    gate, heavy, light = Gate(), Visit(), Visit()
    gate.enter(heavy)
    gate.enter(light)
    await gate.pause(heavy, worked=0.001)


async def test_of_heavy_requests_that_which_worked_least_goes_on_first() -> None:
    gate, light, order = Gate(), Visit(), []
    gate.enter(light)

    async def work(seconds: float) -> None:
        visit = Visit(work_seconds=seconds)
        gate.enter(visit)
        for _ in range(2):
            await gate.pause(visit, worked=1000)
            order.append(visit.work_seconds)
            visit.work_seconds += 1000

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2):
            group.create_task(work(seconds))
        await asyncio.sleep(0.01)
        assert order == []
        gate.leave(light)
    assert order == [1, 2, 3, 1001, 1002, 1003]


async def test_who_gave_up_keeps_nobody_waiting() -> None:
    gate, light, heavy = Gate(), Visit(), [Visit(), Visit()]
    for visit in (light, *heavy):
        gate.enter(visit)
    tasks = [asyncio.create_task(gate.pause(visit, worked=1000)) for visit in heavy]
    await asyncio.sleep(0)
    tasks[0].cancel()
    gate.leave(light)
    await tasks[1]


async def test_there_is_an_end_to_how_many_can_be_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_turns, "MOST_HEAVY", 2)
    gate, visits = Gate(), [Visit() for _ in range(4)]
    for visit in visits:
        gate.enter(visit)
    for visit in visits[:2]:
        await gate.pause(visit, worked=0)
        await gate.pause(visit, worked=0)
    with pytest.raises(BusyError):
        await gate.pause(visits[2], worked=0)
    # One that is being sent counts no longer, however slowly it is read.
    gate.leave(visits[0])
    await gate.pause(visits[3], worked=0)
    await gate.pause(visits[0], worked=0)


@pytest.mark.parametrize(
    ("worked_before", "works", "pauses"),
    [(0, 0.099, False), (0, 0.101, True), (0.11, 0.002, False), (0.11, 0.004, True)],
)
async def test_who_has_worked_much_pauses_after_each_slice(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    worked_before: float,
    works: float,
    pauses: bool,
) -> None:
    paused: list[float] = []

    async def note(_: Gate, __: Visit, worked: float) -> None:
        paused.append(worked)

    monkeypatch.setattr(Gate, "pause", note)
    token = current_visit.set(Visit(work_seconds=worked_before, step_began=7))
    clock.now = 7 + works
    await pause()
    current_visit.reset(token)
    assert paused == pytest.approx([works] * pauses)


async def test_what_belongs_to_no_request_does_not_pause(clock: Clock) -> None:
    clock.now = 1000
    assert loop_turns.render_cell() is None
    await pause()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Visit]:
    """Each request that pauses, each time; all do after the least work."""
    noted: list[Visit] = []

    async def note(_: Gate, visit: Visit, __: float) -> None:
        noted.append(visit)

    monkeypatch.setattr(Gate, "pause", note)
    monkeypatch.setattr(loop_turns, "LIGHT_SECONDS", 0)
    monkeypatch.setattr(loop_turns, "SLICE_SECONDS", 0)
    monkeypatch.setattr(loop_turns, "PIECES_AT_ONCE", 2)
    return noted


@pytest.fixture
def shop() -> Iterator[Datasette]:
    """A Datasette with these plugins, unless another test has registered those of the site."""
    plugins = [each for each in (limits, loop_turns) if not pm.is_registered(each)]
    for plugin in plugins:
        pm.register(plugin)
    with opened(memory=True) as datasette:
        yield datasette
    for plugin in plugins:
        pm.unregister(plugin)


CELLS = (
    "with recursive c(n) as (select 1 union all select n + 1 from c limit 9) select n, n m from c"
)


async def test_pages_pause_at_each_cell_and_between_pieces(
    shop: Datasette, pauses: list[Visit]
) -> None:
    await shop.invoke_startup()
    answer = await shop.client.get("/_memory", params={"sql": CELLS})
    assert answer.text.count("<td ") == 18
    # Once for each cell that is made, and then for each few that the template writes.
    assert len(pauses) > 36
    assert len(set(pauses)) == 1


async def test_pages_are_as_they_would_be(shop: Datasette, pauses: list[Visit]) -> None:
    await shop.invoke_startup()
    paused = await shop.client.get("/_memory?_x=1", params={"sql": CELLS})
    shop.jinja_env.cache.clear()
    shop.jinja_env.template_class = Environment.template_class
    count = len(pauses)
    plain = await shop.client.get("/_memory?_x=1", params={"sql": CELLS})
    assert len(pauses) < count * 2
    texts = {re.sub(r"took [\d.]+ms", "", answer.text) for answer in (plain, paused)}
    assert len(texts) == 1


async def test_a_page_that_grows_too_long_is_refused(
    shop: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.invoke_startup()
    monkeypatch.setattr(loop_turns, "PAGE_CHARACTERS", 3000)
    environment = Environment(
        loader=DictLoader({"a": "{% for n in numbers %}{{ n }}{% endfor %}"}),
        enable_async=True,
        autoescape=True,
    )
    loop_turns.prepare_jinja2_environment(environment)
    template = environment.get_template("a")
    assert await template.render_async(numbers=["x" * 1000] * 3) == "x" * 3000
    with pytest.raises(DatasetteError, match="Ask for fewer rows"):
        await template.render_async(numbers=["x" * 1000] * 4)


async def test_a_server_that_has_too_much_to_do_says_so(
    shop: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.invoke_startup()
    monkeypatch.setattr(loop_turns, "LIGHT_SECONDS", 0)
    monkeypatch.setattr(loop_turns, "SLICE_SECONDS", 0)
    monkeypatch.setattr(loop_turns, "MOST_HEAVY", 0)
    answer = await shop.client.get("/_memory", params={"sql": CELLS})
    assert answer.status_code == 503
    assert answer.text.startswith("This needs much computing")


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 200_000])
async def test_long_answers_are_sent_in_pieces(pauses: list[Visit], size: int, more: bool) -> None:
    sent: list[Any] = []
    body = bytes(range(256)) * (size // 256 + 1)

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body[:size], "more_body": more})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> None:
        raise AssertionError

    wrapped = loop_turns.asgi_wrapper()(app)
    await wrapped({"type": "http"}, receive, send)
    start, *pieces = sent
    assert start == {"type": "http.response.start", "status": 200, "headers": []}
    assert b"".join(piece["body"] for piece in pieces) == body[:size]
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [more]
    lengths = [len(piece["body"]) for piece in pieces]
    assert lengths == ([size] if size <= 131_072 else [65_536] * (size // 65_536) + [size % 65_536])
    assert len(pauses) == len(pieces) - 1 + more


async def test_compressed_answers_are_whole(shop: Datasette) -> None:
    await shop.invoke_startup()
    sql = "select hex(zeroblob(100000)) as zeros"
    answer = await shop.client.get(
        "/_memory.json", params={"sql": sql, "_shape": "array"}, headers={"accept-encoding": "gzip"}
    )
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == [{"zeros": "0" * 200_000}]
