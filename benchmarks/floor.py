"""The floor: the least that building the database can take, for a build to be compared with.

    python -m benchmarks.floor NEW READY PAGES

It reads the bytes of all pages, decodes their two long values into whatever they hold, and
inserts rows that are ready into the same tables, with the same pragmas, indexes, search and
ANALYZE, in one process. It checks nothing, spells nothing anew, merges nothing and writes no
staging files. The pages' contents stay unused: the rows come from a database that was built
before, some thousands at a time. Finding the pages and fetching the rows is not in the time, nor
is the start of Python.
"""

import gc
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import msgspec

from etl.load import PRAGMAS
from etl.schema import TABLES, create_indexes, create_tables
from etl.sources.find import PAGE_NAME
from etl.staging import insert_rows

_ROWS_AT_ONCE = 50_000


@dataclass(slots=True)
class Seconds:
    """How long each step took."""

    read: float = 0
    decode: float = 0
    insert: float = 0
    index: float = 0
    analyze: float = 0

    @property
    def total(self) -> float:
        """The floor."""
        return self.read + self.decode + self.insert + self.index + self.analyze

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Add the time that the block takes to a step."""
        started = time.perf_counter()
        yield
        setattr(self, step, getattr(self, step) + time.perf_counter() - started)


STEPS = tuple(step.name for step in fields(Seconds))
"""The names of the steps, in order."""


def build(new: Path, ready: Path, pages: Path) -> Seconds:
    """Measure the floor.

    Args:
        new: the database to write, which must not exist.
        ready: a database that was built from the pages.
        pages: the folder that holds the releases, in upstream's layout.
    """
    seconds = Seconds()
    _read(pages, seconds)
    with (
        closing(sqlite3.connect(f"{ready.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(new, isolation_level=None)) as target,
    ):
        (fingerprint,) = source.execute("PRAGMA user_version").fetchone()
        for pragma in (*PRAGMAS, f"user_version = {fingerprint}"):
            target.execute(f"PRAGMA {pragma}")
        target.execute("BEGIN")
        _insert(source, target, seconds)
        with seconds.of("index"):
            create_indexes(target)
        with seconds.of("analyze"):
            target.execute("ANALYZE main")
        with seconds.of("insert"):
            target.execute("COMMIT")
    return seconds


def _read(pages: Path, seconds: Seconds) -> None:
    for page in sorted(pages.glob(f"*/*/{PAGE_NAME}")):
        with seconds.of("read"):
            data = page.read_bytes()
        with seconds.of("decode"):
            _decode(data)


def _decode(data: bytes) -> None:
    for line in data.split(b"\n"):
        if line.startswith((b"meta: ", b"spec_details: ")):
            msgspec.json.decode(line[line.index(b" ") :])


def _insert(source: sqlite3.Connection, target: sqlite3.Connection, seconds: Seconds) -> None:
    with seconds.of("insert"):
        create_tables(target)
    for table in TABLES:
        order = "rowid" if table.rowid else ", ".join(table.key)
        rows = source.execute(f"SELECT * FROM {table.name} ORDER BY {order}")
        while part := rows.fetchmany(_ROWS_AT_ONCE):
            with seconds.of("insert"):
                insert_rows(target, table.name, part)


@click.command()
@click.argument("new", type=click.Path(exists=False, path_type=Path))
@click.argument("ready", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("pages", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(new: Path, ready: Path, pages: Path) -> None:
    """Measure the floor for building READY from PAGES, with NEW; print the seconds as JSON."""
    # There is nothing to collect, and looking for it takes time.
    gc.disable()
    seconds = build(new, ready, pages)
    click.echo(msgspec.json.encode(asdict(seconds)))


if __name__ == "__main__":
    main()
