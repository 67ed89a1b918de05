"""What the schema means, in the forms that others read: Datasette's metadata."""

from etl.schema import TABLES


def datasette_tables() -> dict[str, dict[str, object]]:
    """Datasette's metadata of every table: description, columns, and how it is shown.

    Returns:
        What belongs under `tables` of a database in metadata.yml, in the schema's order.
    """
    return {
        table.name: {
            "description": table.description,
            "columns": {column.name: column.description for column in table.columns},
            **table.show,
        }
        for table in TABLES
    }
