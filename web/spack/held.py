"""The rows of `specs` that a release, or a stack of one, holds."""

from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.bitmaps import bitmaps_of
from web.immutable.table_bitmaps import Condition
from web.spack.names import DATABASE

ALL_SQL = "select rowid from specs"

RELEASE_SQL = """
    select specs.rowid from spec_releases cross join specs on specs.hash = spec_releases.spec
    where "release" = :release
"""

STACK_SQL = """
    select specs.rowid from spec_stacks cross join specs on specs.hash = spec_stacks.spec
    where stack = :stack and "release" = :release
"""


def rows_held(
    datasette: Datasette, connection: sqlite3.Connection, release: str, stack: str = ""
) -> BitMap:
    """Return the rows of the specs of a release, or of one of its stacks.

    It can wait for bitmaps: not for the thread that serves pages.

    Args:
        datasette: Where the database is served.
        connection: To the database.
        release: The release; "" for all specs.
        stack: The stack of the release, or "".
    """
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    if bitmaps and not stack:
        conditions = [Condition("releases", "arraycontains", release)] if release else []
        rows = bitmaps.known_to_pass(conditions)
        if rows is not None:
            return rows
    sql = STACK_SQL if stack else RELEASE_SQL if release else ALL_SQL
    cursor = connection.execute(sql, {"release": release, "stack": stack})
    return BitMap([row[0] for row in cursor])
