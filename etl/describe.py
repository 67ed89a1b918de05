"""What the schema means, in the form that others read: Datasette's metadata."""

from etl.schema import TABLES


def describe(name: str) -> dict[str, object]:
    """What a table and its columns hold, as Datasette's metadata of the table has it.

    Args:
        name: the table.

    Raises:
        KeyError: there is no such table.
    """
    table = {table.name: table for table in TABLES}[name]
    return {
        "description": table.description,
        "columns": {column.name: column.description for column in table.columns},
    }
