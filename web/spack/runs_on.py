"""Specs that run on a machine: `_runs_on=zen4` filters the table of specs.

A machine runs what was built for its own CPU target and for those that this one descends from
(`target_compatibility`).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.bitmaps import bitmaps_of
from web.immutable.plugin_filters import PluginFilter, PluginFilters
from web.spack.names import DATABASE
from web.spack.needs import FEW_ROWS
from web.spack.targets import target_named, targets_of

ARGUMENT = "_runs_on"

CLAUSE = "specs.target in (select runs from target_compatibility where target = :{})"


@hookimpl  # type: ignore[untyped-decorator]
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Callable[[], Awaitable[Any]] | None:
    """Filter the table of specs by the machines that they run on."""
    machines = request.args.getlist(ARGUMENT)
    if database != DATABASE or table != "specs" or not any(machines):
        return None

    async def filters() -> PluginFilters:
        return PluginFilters(
            [
                await runs_on(datasette, machine, number)
                for number, machine in enumerate(filter(None, machines))
            ]
        )

    return filters


async def runs_on(datasette: Datasette, machine: str, number: int = 0) -> PluginFilter:
    """Return the filter for what runs on a machine.

    Args:
        datasette: Where the table is served.
        machine: The machine's CPU target, in capitals or not.
        number: How many such filters the page has before this one.
    """
    target = target_named(machine, await targets_of(datasette)) or machine
    name = f"runs_on{number}"
    rows = await rows_running_on(datasette, target)
    # Many rows are soon met in the page's order: SQLite would collect and sort them all instead.
    clause = f"{'+' if len(rows) > FEW_ROWS else ''}{CLAUSE.format(name)}"
    return PluginFilter((ARGUMENT, machine), f"runs on {target}", clause, name, target, rows)


async def rows_running_on(datasette: Datasette, target: str) -> BitMap:
    """Return the rows of the specs that run on a machine.

    Args:
        datasette: Where the table is served.
        target: The machine's CPU target.
    """
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    rows_of = await bitmaps.rows_of("column", "target") if bitmaps else None
    if rows_of is not None:
        runs = (await targets_of(datasette)).get(target, frozenset())
        return BitMap.union(BitMap(), *(rows_of[each] for each in runs if each in rows_of))

    def fetch(connection: sqlite3.Connection) -> BitMap:
        sql = f"select rowid from specs where {CLAUSE.format('target')}"
        return BitMap([row[0] for row in connection.execute(sql, {"target": target})])

    rows: BitMap = await datasette.get_database(DATABASE).execute_fn(fetch)
    return rows
