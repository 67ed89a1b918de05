"""What one query of a visitor can cost."""

import asyncio
import ctypes
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
from datasette import utils
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from tests.conftest import SQLITE, bounded_memory
from tests.web.conftest import open_site
from web.immutable import limits, sql_turns
from web.immutable.visits import BusyError

# Read before any test puts another in its place (tests/conftest.py).
HEAP_BYTES = limits.HEAP_BYTES

RECURSION = "with recursive c(n) as (select 1 union all select n + 1 from c)"


@pytest.fixture
def impatient(made_database: Path) -> Iterator[Datasette]:
    """A site of its own with a time limit that tests can wait for."""
    with open_site(made_database) as datasette:
        datasette._settings["sql_time_limit_ms"] = datasette.sql_time_limit_ms = 100
        yield datasette


async def ask(datasette: Datasette, sql: str) -> httpx.Response:
    await datasette.invoke_startup()
    answer: httpx.Response = await datasette.client.get(f"/spack-cache.json?sql={quote_plus(sql)}")
    return answer


async def refusal(datasette: Datasette, sql: str) -> str:
    """The error that a query ends in."""
    answer = await ask(datasette, sql)
    assert answer.status_code == 400
    return str(answer.json()["error"])


async def test_a_value_has_a_bounded_length(site: Datasette) -> None:
    assert (await ask(site, "select length(zeroblob(250000)) as n")).json()["rows"] == [[250000]]
    assert await refusal(site, "select zeroblob(250001)") == "string or blob too big"
    joined = f"{RECURSION} select group_concat(zeroblob(99999)) from (select n from c limit 3)"
    assert await refusal(site, joined) == "string or blob too big"


async def test_a_result_has_a_bounded_number_of_columns(site: Datasette) -> None:
    assert (await ask(site, f"select {', '.join('1' * 40)}")).json()["rows"] == [[1] * 40]
    assert await refusal(site, f"select {', '.join('1' * 41)}") == "too many columns in result set"


async def test_a_pattern_has_a_bounded_length(site: Datasette) -> None:
    assert (await ask(site, f"select 'a' glob '{'*' * 500}' as yes")).json()["rows"] == [[1]]
    error = await refusal(site, f"select 'a' glob '{'*' * 501}'")
    assert error == "LIKE or GLOB pattern too complex"


async def test_a_result_has_a_bounded_size(site: Datasette) -> None:
    rows = f"{RECURSION} select zeroblob(250000) from c limit "
    assert len((await ask(site, f"{rows} 40")).json()["rows"]) == 40
    assert await refusal(site, f"{rows} 41") == (
        "the result has more than 10,000,000 bytes; ask for fewer rows or columns"
    )
    # The next query starts from nothing.
    assert len((await ask(site, f"{rows} 40")).json()["rows"]) == 40


@pytest.mark.parametrize("function", ["printf", "FORMAT"])
async def test_functions_that_do_not_mind_the_time_are_refused(
    site: Datasette, function: str
) -> None:
    error = await refusal(site, f"select {function}('%.*c', 2000000000, 'x')")
    assert error in {
        f"not authorized to use function: {function}",
        # SQLite before 3.38 has no function of this name.
        f"no such function: {function}",
    }


@pytest.fixture
def bounded(made_database: Path) -> Iterator[Datasette]:
    """A site that bounds SQLite's memory, as it does outside of tests."""
    with bounded_memory(HEAP_BYTES), open_site(made_database) as datasette:
        yield datasette


async def test_memory_that_planning_takes_is_bounded(bounded: Datasette) -> None:
    doubled = ", ".join(
        f"t{number} as (select a.x from t{number - 1} a, t{number - 1} b)"
        for number in range(1, 26)
    )
    sql = f"with t0 as (select max(1) x), {doubled} select * from t25"
    answer = await bounded.client.get(f"/spack-cache?sql={quote_plus(sql)}")
    assert answer.status_code == 400
    assert SQLITE.sqlite3_hard_heap_limit64(ctypes.c_int64(-1)) == 64_000_000
    assert "needs more memory than a query gets here" in answer.text


async def test_a_query_that_is_too_slow_ends_as_csv_too(impatient: Datasette) -> None:
    await impatient.invoke_startup()
    sql = quote_plus(f"{RECURSION} select count(*) from c")
    answer = await impatient.client.get(f"/spack-cache.csv?sql={sql}")
    assert answer.status_code == 400
    assert "longer than a query may take" in answer.text


async def test_a_query_is_interrupted_where_datasette_does_not_look(
    impatient: Datasette,
) -> None:
    await impatient.invoke_startup()

    def count(connection: sqlite3.Connection) -> str:
        with pytest.raises(sqlite3.OperationalError) as error:
            connection.execute(f"{RECURSION} select count(*) from c").fetchall()
        return str(error.value)

    database = impatient.databases["spack-cache"]
    assert await database.execute_fn(count) == "interrupted"


async def test_queries_that_take_long_take_turns(impatient: Datasette) -> None:
    await impatient.invoke_startup()
    transport = httpx.ASGITransport(impatient.app())
    endless = quote_plus(f"{RECURSION} select count(*) from c")
    short = quote_plus("select 1 as n")
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
        answers = await asyncio.gather(
            *(visitor.get(f"/spack-cache.json?sql={endless}") for _ in range(8)),
            visitor.get("/spack-cache/packages/hdf5"),
            visitor.get("/spack-cache/specs.json?os=ubuntu22.04"),
            visitor.get(f"/spack-cache.json?sql={short}"),
        )
    statuses = [answer.status_code for answer in answers]
    assert statuses[8:] == [200, 200, 200]
    assert set(statuses[:8]) <= {400, 503}
    assert 400 in statuses


@pytest.mark.parametrize("address", ["/spack-cache.json?sql=select+1", "/spack-cache/specs"])
async def test_who_had_to_wait_for_too_long_is_told_to_come_back(
    impatient: Datasette, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def busy(*_: object) -> None:
        raise BusyError

    await impatient.client.get("/-/versions.json")
    monkeypatch.setattr(impatient.databases["spack-cache"], "execute_fn", busy)
    refused = await impatient.client.get(address)
    assert refused.status_code == 503
    assert refused.text == (
        "This needs much computing, and others are waiting for theirs at the moment. "
        "Please try again."
    )
    assert refused.headers["retry-after"] == "10"
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["access-control-allow-origin"] == "*"


async def test_a_plugin_can_say_that_values_are_longer(
    made_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_turns, "VALUE_BYTES", 300_000, raising=False)
    with open_site(made_database) as datasette:
        assert (await ask(datasette, "select length(zeroblob(300000)) as n")).json()["rows"] == [
            [300000]
        ]
        assert await refusal(datasette, "select zeroblob(300001)") == "string or blob too big"


async def test_charts_do_not_wait_for_a_turn(impatient: Datasette) -> None:
    await impatient.invoke_startup()
    (dashboard,) = impatient.metadata()["plugins"]["datasette-dashboards"].values()
    queries = [chart["query"] for chart in dashboard["charts"].values() if "query" in chart]
    transport = httpx.ASGITransport(impatient.app())
    endless = quote_plus(f"{RECURSION} select count(*) from c")
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
        _, *charts = await asyncio.gather(
            *(visitor.get(f"/spack-cache.json?sql={endless}") for _ in range(1)),
            *(visitor.get(f"/spack-cache.json?sql={quote_plus(query)}") for query in queries * 3),
        )
    assert {answer.status_code for answer in charts} == {200}


async def test_pages_open_no_connections_of_their_own(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each would take 15 kB of the memory that all queries share.
    await site.client.get("/spack-cache/packages?_x=1")
    opened: list[str] = []
    monkeypatch.setattr(utils.sqlite3, "connect", lambda path, **_: opened.append(path))
    assert (await site.client.get("/spack-cache/packages?_x=2")).status_code == 200
    assert opened == []


async def test_datasette_itself_is_not_limited(site: Datasette) -> None:
    def longest(connection: sqlite3.Connection) -> int:
        return int(connection.execute("select length(zeroblob(250001))").fetchone()[0])

    assert await site.databases["_internal"].execute_fn(longest) == 250001


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/spack-cache?sql=select+1", 403),
        ("/spack-cache/specs?_where=1%3D0", 403),
        ("/-/dashboards/spack-cache", 403),
        ("/spack-cache/specs", 200),
        ("/spack-cache/find_a_binary", 200),
        ("/-/find?q=hdf", 200),
    ],
)
async def test_sql_of_visitors_can_be_turned_off(
    impatient: Datasette, path: str, status: int
) -> None:
    impatient._settings["default_allow_sql"] = False
    await impatient.invoke_startup()
    assert (await impatient.client.get(path)).status_code == status
