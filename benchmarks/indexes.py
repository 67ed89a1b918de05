"""What each table and index costs, and which kinds of page read which index.

    python -m benchmarks.indexes DB

The pages are asked for in this process, of Datasette as `make serve` starts it. SQLite tells each
statement that it runs, and EXPLAIN QUERY PLAN which indexes the statement reads.
"""

import asyncio
import io
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import click
from datasette.app import Datasette
from datasette.cli import serve

from benchmarks.page_kinds import ALL_FACETS, Kind, page_kinds
from benchmarks.serving import serve_command
from etl.schema import TABLES
from publish.site import DATABASE

_VISITS = 5
_READS = re.compile(r"USING (?:COVERING )?INDEX (\w+)")
_QUERY = re.compile(r"\s*(select|with)\b", re.IGNORECASE)


class Cost(NamedTuple):
    """What a table or an index takes, and what for.

    Attributes:
        name: as in SQL.
        bytes: its size.
        serves: what the schema has the index for; "" if it is not one of the schema's.
        read_by: the kinds of page that read the index; of a table's own key, all that look it up.
    """

    name: str
    bytes: int
    serves: str
    read_by: Sequence[str]


def costs(database: Path, visits: int = _VISITS) -> list[Cost]:
    """The tables and indexes of a database of ours, largest first; a page at least.

    Args:
        database: the file.
        visits: how many pages of each kind are asked for.
    """
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as facts:
        sizes = facts.execute(
            "SELECT name, pgsize FROM dbstat WHERE aggregate = 1 ORDER BY pgsize DESC, name"
        ).fetchall()
        kinds = page_kinds(facts, visits)
    serves = {
        "_".join(("idx", table.name, *index.columns)): index.serves
        for table in TABLES
        for index in table.indexes
    }
    # The site logs requests, which are none of a visitor.
    with redirect_stderr(io.StringIO()):
        read_by = asyncio.run(_read_by(database, kinds))
    return [Cost(name, size, serves.get(name, ""), read_by.get(name, ())) for name, size in sizes]


async def _read_by(database: Path, kinds: Sequence[Kind]) -> Mapping[str, Sequence[str]]:
    """For each index, the kinds of page that read it."""
    found: dict[str, list[str]] = {}
    with TemporaryDirectory() as folder, _statements() as statements:
        named = Path(folder) / DATABASE
        named.symlink_to(database.absolute())
        datasette = _datasette(serve_command(named, port=0))
        await datasette.invoke_startup()
        connection = datasette.get_database("spack-cache").connect()
        datasette._prepare_connection(connection, "spack-cache")
        # Its facets are counted by what the server reads in the background when it starts.
        await datasette.client.get(ALL_FACETS)
        for index in sorted(_indexes(connection, [*statements])):
            found[index] = ["the server's start"]
        for kind in kinds:
            statements.clear()
            for address in kind.addresses:
                await datasette.client.get(address)
            for index in sorted(_indexes(connection, [*statements])):
                found.setdefault(index, []).append(kind.name)
        connection.close()
        _close(datasette)
    return found


def _datasette(command: Sequence[str]) -> Datasette:
    """The Datasette that a command would serve."""
    arguments = list(command[command.index("serve") + 1 :])
    with serve.make_context("serve", arguments) as context:
        return serve.callback(**context.params, return_instance=True)


def _close(datasette: Datasette) -> None:
    datasette.executor.shutdown()
    for database in datasette.databases.values():
        database.close()


@contextmanager
def _statements() -> Iterator[set[str]]:
    """The statements, with their values, that connections run which are opened in the block."""
    statements: set[str] = set()

    class Traced(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            super().set_trace_callback(statements.add)

        def set_trace_callback(self, callback: Any) -> None:
            # A plugin wants to be told too.
            def tell(statement: str) -> None:
                statements.add(statement)
                callback(statement)

            super().set_trace_callback(tell)

    with patch.object(sqlite3, "connect", partial(sqlite3.connect, factory=Traced)):
        yield statements


def _indexes(connection: sqlite3.Connection, statements: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for statement in filter(_QUERY.match, statements):
        try:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        except sqlite3.OperationalError:
            # It is of Datasette's own database.
            continue
        for step in plan:
            found.update(_READS.findall(step["detail"]))
    return found


@click.command()
@click.argument("database", metavar="DB", type=click.Path(exists=True, path_type=Path))
def main(database: Path) -> None:
    """Print what the tables and indexes of DB cost, and what reads them."""
    for cost in costs(database):
        click.echo(f"{cost.bytes:13,} {cost.name}: {cost.serves}")
        for name in cost.read_by:
            click.echo(f"{'':16}{name}")


if __name__ == "__main__":
    main()
