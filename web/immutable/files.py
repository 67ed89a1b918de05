"""Refuses to start with files that cannot be served, and says which, why, and what to do.

A database that is cut short, empty, or none at all would otherwise end in a traceback, or be
served until somebody asks for what is missing.
"""

import json
from contextlib import closing
from pathlib import Path

import click
from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

BUILD_AGAIN = "Build or copy it again."
INSPECT_AGAIN = "Delete it and write it again, with datasette inspect DATABASE --inspect-file FILE."


class UnfitFileError(Exception):
    """A file that cannot be served; the message names it and says what to do."""


def check_database(file: Path) -> None:
    """Make sure that a file is a database with tables, and that nothing is cut off.

    Raises:
        UnfitFileError: it is not.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)) as db:
            (tables,) = db.execute("select count(*) from sqlite_master").fetchone()
            (pages,) = db.execute("pragma page_count").fetchone()
            (page_size,) = db.execute("pragma page_size").fetchone()
    except sqlite3.Error as error:
        raise UnfitFileError(f"{file}: no database ({error}). {BUILD_AGAIN}") from None
    missing = pages * page_size - file.stat().st_size
    if missing > 0:
        raise UnfitFileError(f"{file}: {missing:,} bytes are missing at its end. {BUILD_AGAIN}")
    if not tables:
        raise UnfitFileError(f"{file}: a database without tables. {BUILD_AGAIN}")


def check_inspect_file(inspect: Path, database: Path) -> None:
    """Make sure that a file is what `datasette inspect` wrote about a database.

    Raises:
        UnfitFileError: it is not.
    """
    try:
        data = json.loads(inspect.read_text())
    except (OSError, ValueError) as error:
        raise UnfitFileError(f"{inspect}: not JSON ({error}). {INSPECT_AGAIN}") from None
    check_inspect_data(data, database.stem, database, str(inspect))


def check_inspect_data(data: object, name: str, database: Path, inspect: str) -> None:
    """Make sure that this is what `datasette inspect` says about a database.

    Args:
        data: What was read as JSON.
        name: The database's, for Datasette.
        database: Its file.
        inspect: Where the data is from, for the message.

    Raises:
        UnfitFileError: it is not.
    """
    match data.get(name) if isinstance(data, dict) else None:
        case {"hash": str(), "size": int(size), "tables": dict(tables)} if all(
            isinstance(table, dict) and "count" in table for table in tables.values()
        ):
            if size != database.stat().st_size:
                raise UnfitFileError(f"{inspect}: about another {database.name}. {INSPECT_AGAIN}")
        case _:
            raise UnfitFileError(f"{inspect}: says nothing of {database.name}. {INSPECT_AGAIN}")


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Check all files that cannot change, before another plugin asks them for anything.

    Raises:
        click.ClickException: one is unfit; `datasette serve` shows the message and ends with 1.
    """
    try:
        for name, database in datasette.databases.items():
            if not database.is_mutable:
                _check(datasette, name, Path(database.path))
    except UnfitFileError as error:
        raise click.ClickException(str(error)) from None


def _check(datasette: Datasette, name: str, database: Path) -> None:
    check_database(database)
    if datasette.inspect_data and name in datasette.inspect_data:
        check_inspect_data(datasette.inspect_data, name, database, "The inspect file")
