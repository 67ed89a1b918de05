"""Filters of a table page that a plugin answers, which say which rows they find and what they mean.

Datasette knows the filters of a plugin as SQL and words (`FilterArguments`). Of these here it is
known which rows they find, so that facets and counts need not ask SQL (bitmaps.py), and which part
of the address each is, so that people can take one away (arrays.py).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from datasette.filters import FilterArguments
from pyroaring import BitMap


class PluginFilter(NamedTuple):
    """One filter.

    Attributes:
        pair: Name and value in the query string.
        text: What it says, for people.
        clause: It as SQL.
        parameter: The name of the one parameter of the SQL, of no other filter.
        value: Its value.
        rows: The rowids that it finds.
    """

    pair: tuple[str, str]
    text: str
    clause: str
    parameter: str
    value: str
    rows: BitMap


class PluginFilters(FilterArguments):  # type: ignore[misc]
    """The filters of one plugin on one page.

    Attributes:
        texts: What each part of the query string says.
        rows: The rowids that all of them find.
    """

    def __init__(self, filters: Sequence[PluginFilter]) -> None:
        """Make them of one filter or more."""
        super().__init__(
            [each.clause for each in filters],
            {each.parameter: each.value for each in filters},
            [each.text for each in filters],
        )
        self.texts: Mapping[tuple[str, str], str] = {each.pair: each.text for each in filters}
        self.rows = BitMap.intersection(*(each.rows for each in filters))
