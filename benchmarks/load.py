"""How the site holds up: clients on all kinds of pages, alone and beside hostile ones.

    python -m benchmarks.load DB
    python -m benchmarks.load DB --seconds 600     an attack of ten minutes
    python -m benchmarks.load DB --odd 20000       and as many requests that nobody would make

Serves a database on the loopback device, asks for pages of all kinds for a minute, and then for
as long again while other clients send SQL that is meant to do harm, and addresses without SQL that
cost as much. Each page is asked for the first time. Prints how long each kind took both times, how
each hostile request ended, and how much memory the server took. Status 1 if a page failed, if pages
took more than 1.5 times as long (the middle of all kinds), or if a hostile request did not end in a
clear answer in time.
"""

import asyncio
import itertools
import random
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import click
import httpx

from benchmarks.measure import FailedError, sampled
from benchmarks.odd_requests import ask_oddly, odd_faults, report_odd
from benchmarks.page_kinds import page_kinds
from benchmarks.serving import percentile, serving

MOST_TIMES_SLOWER = 1.5
"""Pages may take so many times as long beside hostile clients, as the middle of their kinds."""

ADDRESSES = 400
"""Addresses of each kind of page; few kinds are asked for more often than that."""

WAIT_SECONDS = 120
"""A client gives up after this; the page has failed then."""

MOST_SECONDS = 60.0
"""After this a hostile request must have an answer; proxies wait no longer."""

OWN_SQL = "SQL of a visitor"
"""The kind of page that is a visitor's own harmless query."""

RECURSION = "with recursive c(n) as (select 1 union all select n + 1 from c)"

HOSTILE = {
    "endless recursion": f"{RECURSION} select count(*) from c",
    "endless sort": f"{RECURSION} select n from c order by random() limit 1",
    "cross join": "select count(*) from specs a, specs b, specs c",
    "huge blob": "select hex(zeroblob(400000000))",
    "huge replacement": "select length(replace(hex(zeroblob(50000000)), '0', '0123456789'))",
    "huge printf": "select length(printf('%.*c', 2000000000, 'x'))",
    "endless group_concat": f"{RECURSION} select group_concat(hex(zeroblob(10000))) from c",
    "many large rows": f"{RECURSION} select hex(zeroblob(100000)) from c",
    "wide rows": f"select {', '.join('1' * 1000)} from specs",
    "json bomb": "select count(*) from json_each('[' || replace(hex(zeroblob(9e7)), '00', '1,')"
    " || '1]')",
    "deep json": "select json(replace(hex(zeroblob(90000)), '00', '['))",
    "glob pattern": f"select hex(zeroblob(100000)) glob '{'*0' * 1000}*1'",
    "like pattern": f"{RECURSION} select count(*) from c"
    f" where hex(zeroblob(100000)) like '{'0_%' * 100}1'",
    "long instr": f"{RECURSION}, texts as (select hex(zeroblob(60000)) a, hex(zeroblob(30000)) b)"
    " select sum(instr(a, b || '1')) from c, texts",
    "expanding WITH": "with t0 as (select 1 x), "
    + ", ".join(f"t{i} as (select a.x from t{i - 1} a, t{i - 1} b)" for i in range(1, 26))
    + " select * from t25",
    "hundred unions": "select count(*) from ("
    + " union ".join(["select spec, variants from specs"] * 100)
    + ")",
    "blobs behind a search": f"{RECURSION} select zeroblob(250000),"
    " (select rowid from specs_fts where specs_fts match 'gcc' and n > 0 limit 1) from c",
    "wide rows as a page": f"{RECURSION} select {', '.join(['n'] * 40)} from c limit 1000",
}

_NOT_LIKE = "&".join(f"variants__notlike=%25{number}%25" for number in range(30))
_FACETS = "&".join(
    f"_facet={column}"
    for column in ("package", "version", "compiler", "os", "target", "size", "variants", "spec")
)

HEAVY = {
    "thirty filters": f"/specs?{_NOT_LIKE}",
    "facets of many values": f"/specs?{_FACETS}&_facet_array=variants&_facet_size=max",
    "facets behind a filter": f"/specs?spec__contains=a&{_FACETS}",
    "most rows": "/specs?_size=max",
    "a stream with a condition": "/specs.csv?_stream=on&_where=1",
    "many arguments": f"/specs?{'&'.join(['_col=os'] * 90)}&_facet=package&_facet_size=max",
    "a condition of brackets": f"/specs?_where={'[' * 7000}",
}
"""Addresses without a query of a visitor's own, below the database's."""


@dataclass
class Times:
    """What was seen of requests of one kind.

    Attributes:
        milliseconds: how long each took.
        statuses: how often each HTTP status was the answer; 0 where there was none.
    """

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


Kinds = Mapping[str, Iterator[str]]
"""Addresses of each kind of request, one after the other without end."""


def kinds_of_pages(database: Path) -> Kinds:
    """All kinds of page that are served, health and a harmless query of a visitor included."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as facts:
        kinds = {kind.name: kind.addresses for kind in page_kinds(facts, ADDRESSES)}
    count = quote_plus("select count(*) from packages")
    own = {"health": ["/-/health"], OWN_SQL: [f"/spack-cache.json?sql={count}"]}
    return {name: itertools.cycle(addresses) for name, addresses in (kinds | own).items()}


def kinds_of_harm() -> Kinds:
    """The hostile requests; the SQL in each form that Datasette answers in."""
    asked = {
        name: [f"{ending}?sql={quote_plus(sql)}" for ending in (".json", ".csv", "")]
        for name, sql in HOSTILE.items()
    }
    asked |= {name: [address] for name, address in HEAVY.items()}
    return {name: _never_the_same(addresses) for name, addresses in asked.items()}


def _never_the_same(addresses: Sequence[str]) -> Iterator[str]:
    for number, address in enumerate(itertools.cycle(addresses)):
        yield f"/spack-cache{address}&_n={number}"


def attack(address: str, clients: int, seconds: float) -> dict[str, Times]:
    """Send hostile requests; to be run in a process of its own, beside who measures.

    Args:
        address: of the site.
        clients: how many send them.
        seconds: for how long.
    """
    return asyncio.run(ask(address, [kinds_of_harm() for _ in range(clients)], seconds))


async def ask(address: str, clients: Sequence[Kinds], seconds: float) -> dict[str, Times]:
    """Ask for everything in turn, from several clients at once.

    Args:
        address: of the site.
        clients: what each client asks for, kind after kind.
        seconds: for how long.

    Returns:
        What was seen of each kind.
    """
    seen: dict[str, Times] = {}
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=len(clients))
    async with (
        httpx.AsyncClient(base_url=address, timeout=WAIT_SECONDS, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for number, kinds in enumerate(clients):
            # Each client goes through the kinds in an order of its own, the same in every run.
            order = random.Random(number).sample(list(kinds), len(kinds))
            group.create_task(_ask_in_turn(client, kinds, order, end, seen))
    return seen


async def _ask_in_turn(
    client: httpx.AsyncClient,
    kinds: Kinds,
    order: Sequence[str],
    end: float,
    seen: dict[str, Times],
) -> None:
    for name in itertools.cycle(order):
        if time.monotonic() > end:
            return
        started = time.perf_counter()
        try:
            status = (await client.get(next(kinds[name]))).status_code
        except httpx.TransportError:
            status = 0
        times = seen.setdefault(name, Times())
        times.milliseconds.append((time.perf_counter() - started) * 1000)
        times.statuses[status] += 1


def times_slower(alone: Mapping[str, Times], beside: Mapping[str, Times]) -> dict[str, float]:
    """How many times as long the middle request of each kind of page took beside hostile ones."""
    return {
        name: percentile(beside[name].milliseconds, 50) / percentile(alone[name].milliseconds, 50)
        for name in sorted(alone.keys() & beside.keys())
    }


def middle(times: Mapping[str, float]) -> float:
    """The middle of the kinds of page; 1 if there was too little time for any."""
    return statistics.median(times.values()) if times else 1.0


def report(
    alone: Mapping[str, Times], beside: Mapping[str, Times], harm: Mapping[str, Times]
) -> Iterator[str]:
    """The tables to print."""
    yield "| page | requests | p50 ms | p95 ms | p50 beside hostile ones | p95 | times slower |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, slower in times_slower(alone, beside).items():
        before, after = alone[name].milliseconds, beside[name].milliseconds
        yield (
            f"| {name} | {len(before)} | {percentile(before, 50):.0f} | "
            f"{percentile(before, 95):.0f} | {percentile(after, 50):.0f} | "
            f"{percentile(after, 95):.0f} | {slower:.1f} |"
        )
    yield from ("", "| hostile request | HTTP statuses | longest, s |", "| --- | --- | ---: |")
    for name in sorted(harm):
        statuses = ", ".join(
            f"{count} of {status}" for status, count in harm[name].statuses.items()
        )
        yield f"| {name} | {statuses} | {max(harm[name].milliseconds) / 1000:.1f} |"


def faults(
    alone: Mapping[str, Times], beside: Mapping[str, Times], harm: Mapping[str, Times]
) -> Iterator[str]:
    """What should not have happened."""
    slower = middle(times_slower(alone, beside))
    if slower > MOST_TIMES_SLOWER:
        yield f"pages took {slower:.1f} times as long beside hostile clients"
    for name, times in harm.items():
        if max(times.milliseconds) > MOST_SECONDS * 1000:
            yield f"{name}: {max(times.milliseconds) / 1000:.1f} s"
    for seen, allowed in ((alone, {200, 302}), (beside, {200, 302}), (harm, {200, 400, 503})):
        for name, times in seen.items():
            if wrong := set(times.statuses) - allowed:
                yield f"{name}: status {', '.join(map(str, sorted(wrong)))}"


@click.command()
@click.argument("database", type=click.Path(path_type=Path, exists=True))
@click.option("--seconds", default=60.0, help="How long each of the two measurements takes.")
@click.option("--clients", default=4, help="How many ask for pages.")
@click.option("--hostile", default=4, help="How many send hostile requests.")
@click.option("--odd", default=0, help="How many requests to send that nobody would make.")
def main(database: Path, seconds: float, clients: int, hostile: int, odd: int) -> None:
    """Load the site of DATABASE, a database of this project whatever its name."""
    pages = [kinds_of_pages(database)] * clients
    try:
        with serving(database) as server, ProcessPoolExecutor(1) as apart:
            address = f"http://127.0.0.1:{server.port}"
            with sampled(server.pid) as memory:
                alone = asyncio.run(ask(address, pages, seconds))
            with sampled(server.pid) as memory_beside:
                attacked = apart.submit(attack, address, hostile, seconds)
                beside = asyncio.run(ask(address, pages, seconds))
                harm = attacked.result()
            answers = asyncio.run(ask_oddly(server.port, odd))
    except FailedError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(alone, beside, harm)))
    slower = middle(times_slower(alone, beside))
    click.echo(
        f"\nPages took {slower:.2f} times as long beside hostile clients. "
        f"Most memory of the server: {memory.most / 1e6:.0f} MB with pages, "
        f"{memory_beside.most / 1e6:.0f} MB with hostile clients beside them"
    )
    if odd:
        click.echo("\n".join(report_odd(answers)))
    if wrong := [*faults(alone, beside, harm), *odd_faults(answers)]:
        raise click.ClickException("; ".join(wrong))


if __name__ == "__main__":
    main()
