"""What several pages need to know of the database: names, addresses, SQL."""

import re
from typing import NamedTuple
from urllib.parse import urlencode

from datasette.utils import tilde_encode

from etl import extract

DATABASE = "spack-cache"
"""The name by which Datasette knows the database."""

DAG_HASH = extract.HASH

WEB_ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)
"""How an address begins that a link may lead to; `javascript:` runs, and `//` is anybody's."""

TABLES = {
    "package": "packages",
    "stack": "stacks",
    "release": "releases",
    "variant": "variants",
}
"""The table that has a page for a value, by the column's name; a plural names a list of them."""

ONE_VALUE = re.compile(r"[+~][^+~].*|[^+~=][^=]*=(?!=)[^,'\"]*")
"""A variant, as specs list them, that is spelled like the one row of `variants` it stands for."""

LISTS_RELEASE = "instr(releases, json_quote({})) > 0"
"""SQL that tells whether a column `releases`, a JSON array, holds a release."""

# Pages that ask with the same text share one answer (`execute_once`).
CURRENT_RELEASE_SQL = "select * from releases where position = 1"
RELEASES_SQL = "select * from releases order by position"
STACK_COUNTS_SQL = "select release, stack, count(*) from spec_stacks group by release, stack"


class Count(NamedTuple):
    """A value and the number of specs that have it."""

    value: str
    specs: int


class Places(NamedTuple):
    """Where the pages of a database are.

    Attributes:
        database: the address of the database, without a slash at the end.
    """

    database: str

    def row(self, table: str, key: str) -> str:
        """Return the address of a row's page."""
        return f"{self.database}/{table}/{tilde_encode(key)}"

    def specs(self, **filters: str | list[str]) -> str:
        """Return the address of the specs for which each column is, or contains, a value.

        Args:
            filters: For a column that holds lists, one value or several; for others one.
        """
        arrays = {"stacks", "releases", "variants"}
        pairs = [
            (f"{column}__arraycontains" if column in arrays else column, each)
            for column, value in filters.items()
            for each in ([value] if isinstance(value, str) else value)
        ]
        return f"{self.database}/specs?{urlencode(pairs)}"

    def query(self, name: str, **parameters: str) -> str:
        """Return the address of a canned query's answer."""
        return f"{self.database}/{name}?{urlencode(parameters)}"

    def element(self, column: str, value: str) -> str | None:
        """Return the address of what is known of an element of a list, if anything is."""
        table = TABLES.get(column.removesuffix("s"))
        if table == "variants" and not ONE_VALUE.fullmatch(value):
            return self.specs(variants=value)
        return self.row(table, value) if table else None


def is_web_address(text: str) -> bool:
    """Tell whether a text can be the address of a link."""
    return bool(WEB_ADDRESS.match(text))
