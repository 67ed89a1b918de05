"""How names and texts are written in SQL."""


def quoted(identifier: str) -> str:
    """Write the name of a table or column."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write a text."""
    return "'" + text.replace("'", "''") + "'"
