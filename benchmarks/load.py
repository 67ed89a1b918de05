"""How the site holds up: 16 clients on all kinds of pages, alone and beside hostile SQL.

    python -m benchmarks.load DB

Serves a database on the loopback device, asks for pages of all kinds for a minute, and then for
as long again while other clients send SQL that is meant to do harm. Each page is asked for the
first time. Prints how long each kind took both times, how each hostile query ended, and how much
memory the server took. Status 1 if a page failed, or if a hostile query did not end in a clear
answer in time.
"""

import asyncio
import itertools
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import click
import httpx

from benchmarks.measure import FailedError, sampled
from benchmarks.page_kinds import page_kinds
from benchmarks.serving import percentile, serving
from publish.site import settings

ADDRESSES = 400
"""Addresses of each kind of page; few kinds are asked for more often than that."""

WAIT_SECONDS = 120
"""A client gives up after this; the page has failed then."""

SPARE_SECONDS = 2.0
"""What a hostile query may take beyond the time limit, once for its turn and once for itself."""

OWN_SQL = "SQL of a visitor"
"""The kind of page that has to wait for hostile SQL, and can be refused because of it."""

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
}


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
    """The hostile queries, in each form that Datasette answers in."""
    return {
        name: itertools.cycle(
            f"/spack-cache{ending}?sql={quote_plus(sql)}" for ending in (".json", ".csv", "")
        )
        for name, sql in HOSTILE.items()
    }


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


def report(alone: Mapping[str, Times], beside: Mapping[str, Times]) -> Iterator[str]:
    """The tables to print."""
    yield "| page | requests | p50 ms | p95 ms | p50 beside hostile SQL | p95 | times slower |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in sorted(alone.keys() & beside.keys()):
        before, after = alone[name].milliseconds, beside[name].milliseconds
        slower = percentile(after, 50) / percentile(before, 50)
        yield (
            f"| {name} | {len(before)} | {percentile(before, 50):.0f} | "
            f"{percentile(before, 95):.0f} | {percentile(after, 50):.0f} | "
            f"{percentile(after, 95):.0f} | {slower:.1f} |"
        )
    yield from ("", "| hostile SQL | HTTP statuses | longest, s |", "| --- | --- | ---: |")
    for name in sorted(beside.keys() & HOSTILE.keys()):
        statuses = ", ".join(
            f"{count} of {status}" for status, count in beside[name].statuses.items()
        )
        yield f"| {name} | {statuses} | {max(beside[name].milliseconds) / 1000:.1f} |"


def faults(seen: Mapping[str, Times]) -> Iterator[str]:
    """What should not have happened."""
    longest = 2 * int(settings()["sql_time_limit_ms"]) + SPARE_SECONDS * 1000
    for name, times in seen.items():
        if name in HOSTILE and max(times.milliseconds) > longest:
            yield f"{name}: {max(times.milliseconds) / 1000:.1f} s"
        allowed = {200, 302}
        if name in HOSTILE:
            allowed = {200, 400, 503}
        elif name == OWN_SQL:
            allowed = {200, 503}
        if wrong := set(times.statuses) - allowed:
            yield f"{name}: status {', '.join(map(str, sorted(wrong)))}"


@click.command()
@click.argument("database", type=click.Path(path_type=Path, exists=True))
@click.option("--seconds", default=60.0, help="How long each of the two measurements takes.")
@click.option("--clients", default=16, help="How many ask for pages.")
@click.option("--hostile", default=4, help="How many send hostile SQL.")
def main(database: Path, seconds: float, clients: int, hostile: int) -> None:
    """Load the site of DATABASE, a database of this project whatever its name."""
    pages, harm = [kinds_of_pages(database)] * clients, [kinds_of_harm()] * hostile
    try:
        with serving(database) as server:
            address = f"http://127.0.0.1:{server.port}"
            with sampled(server.pid) as memory:
                alone = asyncio.run(ask(address, pages, seconds))
            with sampled(server.pid) as memory_beside:
                beside = asyncio.run(ask(address, [*pages, *harm], seconds))
    except FailedError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(report(alone, beside)))
    click.echo(
        f"\nMost memory of the server: {memory.most / 1e6:.0f} MB with pages, "
        f"{memory_beside.most / 1e6:.0f} MB with hostile SQL beside them"
    )
    if wrong := [*faults(alone), *faults(beside)]:
        raise click.ClickException("; ".join(wrong))


if __name__ == "__main__":
    main()
