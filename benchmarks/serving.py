"""Measure how long first visits of every kind of page take, on this machine alone.

    python -m benchmarks.serving DB

Datasette is started with the command of `make serve`, on a free port of the loopback device, and
asked as a browser asks it: one request after the other on one connection, gzip accepted.
"""

import http.client
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click

from benchmarks.measure import ROOT, FailedError, sampled
from benchmarks.page_kinds import ALL_FACETS, Kind, page_kinds
from publish.site import DATABASE, INSPECT, serve_options, write_inspect

_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": "benchmark"}
_ANSWER_SECONDS = 60
_START_SECONDS = 60
_DATASETTE = (sys.executable, "-m", "datasette", "serve")
CLIENTS = 16
"""How many clients ask at once where pages are asked for again."""

_AGAIN = ("/", "/spack-cache", "/spack-cache/packages", "/spack-cache/specs")
_CSV = "/spack-cache/specs.csv?_stream=on&_size=max"


class Bounds(NamedTuple):
    """How much is measured.

    Attributes:
        requests: most requests of each kind that count.
        seconds: no kind's next request begins after this time.
        stream_seconds: after this time the rest of the CSV stream is not read.
    """

    requests: int = 40
    seconds: float = 4
    stream_seconds: float = 60


class Served(NamedTuple):
    """How one kind of page was served.

    Attributes:
        name: as `Kind` has it.
        limit: as `Kind` has it.
        visits: number of requests that count.
        p50: milliseconds in which half of the requests were answered.
        p95: milliseconds in which 95 of 100 were.
        slowest: the address that took longest.
        failed: the requests that got another answer than a page, as `status address`.
        timed_out: facets that Datasette gave up on, at the address that took longest.
    """

    name: str
    limit: int | None
    visits: int
    p50: float
    p95: float
    slowest: str
    failed: Sequence[str]
    timed_out: Sequence[str]


class Stream(NamedTuple):
    """How the CSV of all specs was served.

    Attributes:
        bytes: how much was read.
        seconds: how long that took.
        before: bytes of memory that the server's process had before.
        most: the most that it had meanwhile.
        after: what it had afterwards.
    """

    bytes: int
    seconds: float
    before: int
    most: int
    after: int


class Hits(NamedTuple):
    """How pages were served that had been asked for before.

    Attributes:
        p50: milliseconds in which half of one client's requests were answered.
        p95: milliseconds in which 95 of 100 were.
        a_second: requests a second that several clients had answered together.
    """

    p50: float
    p95: float
    a_second: float


class Serving(NamedTuple):
    """All that was measured of one database.

    Attributes:
        start: seconds from starting Datasette to its first answer.
        ready: seconds from starting it to the first page of specs with all facets.
        kinds: each kind of page.
        stream: the CSV stream.
        hits: pages that had been asked for before.
    """

    start: float
    ready: float
    kinds: Sequence[Served]
    stream: Stream
    hits: Hits


class Server(NamedTuple):
    """A running Datasette.

    Attributes:
        port: where it listens on 127.0.0.1.
        pid: its process.
        start: seconds from its start to its first answer.
    """

    port: int
    pid: int
    start: float


def measure_serving(database: Path, bounds: Bounds) -> Serving:
    """Serve a database of ours and measure every kind of page.

    Raises:
        FailedError: Datasette does not start.
    """
    kinds = _kinds(database, bounds)
    with serving(database) as server:
        ready = server.start + _ask_for_facets(server)
        served = [measure_kind(server, kind, bounds) for kind in kinds]
        hits = measure_hits(server, bounds)
        return Serving(server.start, ready, served, measure_stream(server, bounds), hits)


def _ask_for_facets(server: Server) -> float:
    """Seconds until a page that needs all that Datasette makes in the background is there."""
    started = time.perf_counter()
    with closing(_connect(server.port)) as connection:
        _get(connection, ALL_FACETS)
    return time.perf_counter() - started


def measure_naive_serving(naive: Path, database: Path, bounds: Bounds) -> list[Served]:
    """Serve a database built the naive way as one would first, and measure what pages it has.

    Args:
        naive: that database.
        database: the one of ours, from the same pages, that the addresses are taken from.
        bounds: how much is measured.

    Raises:
        FailedError: Datasette does not start.
    """
    kinds = [
        kind._replace(addresses=[address + kind.naive for address in kind.addresses])
        for kind in _kinds(database, bounds)
        if kind.naive is not None
    ]
    with serving(naive, naive=True) as server:
        return [measure_kind(server, kind, bounds) for kind in kinds]


def _kinds(database: Path, bounds: Bounds) -> list[Kind]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as facts:
        # One that doesn't count, and those that do.
        return page_kinds(facts, 1 + bounds.requests)


@contextmanager
def serving(database: Path, *, naive: bool = False) -> Iterator[Server]:
    """Datasette on a database, under the name `spack-cache`, for as long as the block runs.

    Args:
        database: the file, whatever its name.
        naive: start it with no metadata, plugins or settings.

    Raises:
        FailedError: it does not start; the message is what it printed.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        named = folder / DATABASE
        named.symlink_to(database.absolute())
        port = _free_port()
        command = _naive_command(named, port) if naive else serve_command(named, port)
        log = folder / "log"
        started = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            _wait(process, port, log)
            yield Server(port, process.pid, time.perf_counter() - started)
        finally:
            process.terminate()
            process.wait()


def serve_command(database: Path, port: int) -> list[str]:
    """The command with which `make serve` starts Datasette; writes the inspect file it needs."""
    inspect = database.with_name(INSPECT)
    write_inspect(database, inspect)
    return [*_DATASETTE, *serve_options(database, inspect), f"--port={port}"]


def _naive_command(database: Path, port: int) -> list[str]:
    return [*_DATASETTE, str(database), f"--port={port}"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with closing(_connect(port)) as connection:
                _get(connection, "/-/versions.json")
        except ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise FailedError(log.read_text())


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)


def _get(connection: http.client.HTTPConnection, address: str) -> tuple[int, bytes]:
    connection.request("GET", address, headers=_HEADERS)
    response = connection.getresponse()
    return response.status, response.read()


def measure_kind(server: Server, kind: Kind, bounds: Bounds) -> Served:
    """Ask for the addresses of a kind, within the bounds.

    The first one does not count, unless there is no other: it makes Datasette load templates.
    """
    first, *others = kind.addresses
    times: dict[str, float] = {}
    failed = []
    end = time.monotonic() + bounds.seconds
    with closing(_connect(server.port)) as connection:
        if others:
            _get(connection, first)
        for address in others or [first]:
            started = time.perf_counter()
            status, _ = _get(connection, address)
            times[address] = (time.perf_counter() - started) * 1000
            if status not in {200, 302}:
                failed.append(f"{status} {address}")
            if time.monotonic() > end:
                break
    slowest = max(times, key=lambda address: times[address])
    return Served(
        kind.name,
        kind.limit,
        len(times),
        percentile(times.values(), 50),
        percentile(times.values(), 95),
        slowest,
        failed,
        _timed_out_facets(server, slowest),
    )


def percentile(values: Iterable[float], percent: int) -> float:
    """The smallest of the values that no less than this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[ceil(len(ordered) * percent / 100) - 1]


def _timed_out_facets(server: Server, address: str) -> list[str]:
    """The facets of a table's page that took too long, as its JSON tells."""
    path, _, query = address.partition("?")
    if not re.fullmatch("/spack-cache/[a-z_]+", path):
        return []
    with closing(_connect(server.port)) as connection:
        connection.request("GET", f"{path}.json?{query}")
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            # A search for more than words leads elsewhere.
            return []
        timed_out: list[str] = json.load(response).get("facets_timed_out", [])
        return timed_out


def measure_stream(server: Server, bounds: Bounds) -> Stream:
    """Read the CSV of all specs as a program does, without gzip."""
    size = 0
    with closing(_connect(server.port)) as connection, sampled(server.pid) as memory:
        before = memory.sample()
        started = time.perf_counter()
        connection.request("GET", _CSV)
        response = connection.getresponse()
        while part := response.read(64 * 1024):
            size += len(part)
            if time.perf_counter() - started > bounds.stream_seconds:
                break
        seconds = time.perf_counter() - started
        return Stream(size, seconds, before, memory.most, memory.sample())


def measure_hits(server: Server, bounds: Bounds) -> Hits:
    """Ask for a few pages again and again: one client, then several."""
    times = _ask_again(server, bounds)
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        asked = [clients.submit(_ask_again, server, bounds) for _ in range(CLIENTS)]
        answered = sum(len(one.result()) for one in asked)
    seconds = time.perf_counter() - started
    return Hits(percentile(times, 50), percentile(times, 95), answered / seconds)


def _ask_again(server: Server, bounds: Bounds) -> list[float]:
    """Milliseconds of each request after the first round."""
    times = []
    with closing(_connect(server.port)) as connection:
        for address in _AGAIN:
            _get(connection, address)
        for _ in range(bounds.requests):
            for address in _AGAIN:
                started = time.perf_counter()
                _get(connection, address)
                times.append((time.perf_counter() - started) * 1000)
    return times


@click.command()
@click.argument("database", metavar="DB", type=click.Path(exists=True, path_type=Path))
@click.option("--requests", default=Bounds().requests, show_default=True, help="Of each kind.")
@click.option("--seconds", default=Bounds().seconds, show_default=True, help="For each kind.")
def main(database: Path, requests: int, seconds: float) -> None:
    """Serve DB and print the milliseconds of each kind of page."""
    found = measure_serving(database, Bounds(requests, seconds))
    click.echo(f"first answer after {found.start:.1f} s")
    click.echo("  p50   p95 limit visits page")
    for kind in found.kinds:
        missed = "!" if kind.limit and kind.p95 > kind.limit else " "
        click.echo(
            f"{kind.p50:5.0f} {kind.p95:5.0f}{missed}{kind.limit or '-':>5} {kind.visits:6}"
            f" {kind.name} {' '.join([*kind.failed[:3], *kind.timed_out])}"
        )
    click.echo(found.stream)
    click.echo(found.hits)


if __name__ == "__main__":
    main()
