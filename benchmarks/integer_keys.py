"""The same facts as a database of ours with integers for keys, to see what readable keys cost.

    python -m benchmarks.integer_keys NEW DB

It has the same tables, indexes and search. A name, hash or path is held once in its table, by the
row it identifies; what refers to it holds that row's number. A column of `specs` or `nodes` with
few different values holds numbers too, of the values in a table of their own, and `specs.spec`,
which says nothing that the other columns don't, is left out. No smaller form was found in which
each fact can be asked for with SQL.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from etl.schema import NODES, SPECS, TABLES, Column, Table

_SHARING = (SPECS, NODES)
_ROW_OF_ITS_OWN = {"hash", "spec"}


def build(new: Path, database: Path) -> int:
    """Write the integer-keyed form of a database.

    Args:
        new: the file to write, which must not exist.
        database: a database of ours.

    Returns:
        The size of the new file in bytes.
    """
    with closing(sqlite3.connect(new, uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("ATTACH ? AS built", [f"{database.absolute().as_uri()}?mode=ro"])
        connection.execute("BEGIN")
        for statement in _statements():
            connection.execute(statement)
        connection.execute("COMMIT")
    return new.stat().st_size


def _statements() -> Iterator[str]:
    yield "CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
    for table in _SHARING:
        for column in table.columns:
            if _is_shared(table, column):
                yield (
                    "INSERT OR IGNORE INTO texts (text) SELECT DISTINCT"
                    f" {column.name} FROM built.{table.name} WHERE {column.name} IS NOT NULL"
                )
    for table in TABLES:
        yield from _fill(table)
    for table in TABLES:
        yield from _index(table)
    yield "ANALYZE main"


def _is_shared(table: Table, column: Column) -> bool:
    return (
        table in _SHARING
        and column.type == "TEXT"
        and not column.references
        and column.name not in _ROW_OF_ITS_OWN
    )


def _fill(table: Table) -> Iterator[str]:
    columns = [column for column in table.columns if (table, column.name) != (SPECS, "spec")]
    definitions = [_definition(table, column) for column in columns]
    values = [_value(table, column) for column in columns]
    if _is_numbered(table):
        definitions.insert(0, "number INTEGER PRIMARY KEY")
        values.insert(0, "rowid" if table.rowid else "NULL")
        order, ending = "rowid" if table.rowid else table.key[0], ""
    else:
        definitions.append(f"PRIMARY KEY ({', '.join(table.key)})")
        order, ending = ", ".join(str(n) for n in range(1, len(table.key) + 1)), " WITHOUT ROWID"
    yield f"CREATE TABLE {table.name} ({', '.join(definitions)}){ending}"
    yield (
        f"INSERT INTO main.{table.name} SELECT {', '.join(values)} FROM built.{table.name} AS row"
        f" ORDER BY {order}"
    )


def _is_numbered(table: Table) -> bool:
    """Whether its rows have numbers: `nodes`, which others refer to, has none in our database."""
    return table.rowid or table is NODES


def _definition(table: Table, column: Column) -> str:
    number = column.references or _is_shared(table, column)
    unique = " UNIQUE" if _is_numbered(table) and column.name in table.key else ""
    return f"{column.name} {'INTEGER' if number else column.type}{unique}"


def _value(table: Table, column: Column) -> str:
    if column.references:
        key = next(other.key[0] for other in TABLES if other.name == column.references)
        return f"(SELECT number FROM main.{column.references} WHERE {key} = row.{column.name})"
    if _is_shared(table, column):
        return f"(SELECT id FROM texts WHERE text = row.{column.name})"
    return f"row.{column.name}"


def _index(table: Table) -> Iterator[str]:
    for index in table.indexes:
        name = "_".join(("idx", table.name, *index.columns))
        yield f"CREATE INDEX {name} ON {table.name} ({', '.join(index.columns)})"
    if table.search:
        column, tokenize = table.search.column, table.search.tokenize
        name = f"{table.name}_fts"
        yield f"CREATE VIRTUAL TABLE {name} USING fts5({column}, content='', tokenize='{tokenize}')"
        yield (
            f"INSERT INTO {name} (rowid, {column}) SELECT rowid, {column} FROM built.{table.name}"
            " ORDER BY rowid"
        )


@click.command()
@click.argument("new", type=click.Path(exists=False, path_type=Path))
@click.argument("database", metavar="DB", type=click.Path(exists=True, path_type=Path))
def main(new: Path, database: Path) -> None:
    """Write the integer-keyed form of DB to NEW; print the size of both in bytes."""
    click.echo(f"{build(new, database)} {database.stat().st_size}")


if __name__ == "__main__":
    main()
