"""Where the records of an index are in its file."""

from typing import NamedTuple


class Header(NamedTuple):
    """Where the records of an index are.

    Attributes:
        version: of the database.
        start: where the first record's key is, in bytes.
        end: where the object of records ends, not including its brace.
    """

    version: str
    start: int
    end: int


class Span(NamedTuple):
    """Where a record is.

    Attributes:
        hash: the key that it stands under.
        start: where its value begins, in bytes.
        end: where that ends.
    """

    hash: str
    start: int
    end: int
