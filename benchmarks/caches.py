"""Measure builds from build caches: `python -m benchmarks --caches today`.

The caches are made up (`benchmarks.mirrors`). Every command runs in fresh processes; the naive way
(`benchmarks.naive_caches`) runs in the same minutes as the build that it is compared with.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from benchmarks.building import Step, step
from benchmarks.measure import run

_ETL = (sys.executable, "-m", "etl")
_LIST = "cache_spack_io_index.json"
_PUBLIC = "s3://spack-binaries/"
_UNCHANGED_RUNS = 3


class CacheContents(NamedTuple):
    """What was built.

    Attributes:
        indexes: number of indexes.
        source_bytes: their size.
        records: number of records in all of them together.
        specs: number of different binaries.
        edges: number of dependencies in the database.
        database_bytes: its size.
    """

    indexes: int
    source_bytes: int
    records: int
    specs: int
    edges: int
    database_bytes: int


class CacheBuilding(NamedTuple):
    """All that was measured of one collection of build caches, in one run.

    Attributes:
        size: its name.
        day: when, in ISO 8601.
        machine: what the figures depend on.
        contents: what was built.
        build: a build where there was no database.
        naive: the naive build, if it was measured.
        others: the other commands.
    """

    size: str
    day: str
    machine: Mapping[str, str]
    contents: CacheContents
    build: Step
    naive: Step | None
    others: Sequence[Step]


class CacheFiles(NamedTuple):
    """Where the caches and what is made of them are."""

    caches: Path
    database: Path
    naive: Path
    fetched: Path


def measure_caches(
    files: CacheFiles, repeats: int, tell: Callable[[str], None], *, naive: bool
) -> tuple[Step, Step | None, list[Step]]:
    """Measure the build, the naive build if wanted, and the other commands.

    Args:
        files: the caches, and where to write.
        repeats: how often a build is measured.
        tell: is told what is measured next.
        naive: whether the naive build is measured, once.

    Raises:
        FailedError: a command failed.
    """
    builds, naives = [], []
    for turn in range(repeats):
        tell(f"build ({turn + 1} of {repeats})")
        files.database.unlink(missing_ok=True)
        builds.append(run(*_ETL, "build", "--quiet", files.database, files.caches))
        if naive and turn == 0:
            tell("the naive build")
            files.naive.unlink(missing_ok=True)
            command = (sys.executable, "-m", "benchmarks.naive_caches")
            naives.append(run(*command, files.naive, files.caches))
    others = [*_unchanged(files, tell), *_fetched(files, tell)]
    return step("build", builds), step("naive", naives) if naives else None, others


def _unchanged(files: CacheFiles, tell: Callable[[str], None]) -> Iterator[Step]:
    tell("build with nothing changed")
    again = (*_ETL, "build", "--quiet", files.database, files.caches)
    yield step("build, nothing changed", [run(*again) for _ in range(_UNCHANGED_RUNS)])
    tell("verify")
    verify = (*_ETL, "verify", "--quiet", files.database, files.caches)
    yield step("verify", [run(*verify)])


def _fetched(files: CacheFiles, tell: Callable[[str], None]) -> Iterator[Step]:
    with _served(files.caches) as address:
        listed = (files.caches / _LIST).read_text().replace(_PUBLIC, f"{address}/")
        (files.caches / "local.json").write_text(listed)
        fetch = (*_ETL, "fetch", "--quiet", files.fetched, f"{address}/local.json")
        tell("fetch")
        yield step("fetch, from this machine", [run(*fetch)])
        tell("fetch with nothing changed")
        yield step("fetch, nothing changed", [run(*fetch) for _ in range(_UNCHANGED_RUNS)])
    (files.caches / "local.json").unlink()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine for as long as the block runs; its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def read_cache_contents(database: Path) -> CacheContents:
    """What a database built from build caches holds."""
    query = (
        "SELECT count(*) AS indexes, sum(bytes) AS bytes, sum(num_records) AS records,"
        " (SELECT count(*) FROM specs) AS specs, (SELECT count(*) FROM dependencies) AS edges"
        " FROM sources WHERE kind = 'index'"
    )
    output = run(Path(sys.executable).with_name("sqlite-utils"), database, query).output
    (row,) = json.loads(output)
    return CacheContents(
        row["indexes"],
        row["bytes"],
        row["records"],
        row["specs"],
        row["edges"],
        database.stat().st_size,
    )
