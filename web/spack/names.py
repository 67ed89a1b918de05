"""What several pages need to know of the database: names, addresses, SQL."""

from typing import NamedTuple
from urllib.parse import urlencode

from datasette.utils import tilde_encode

from etl.schema import PACKAGES, RELEASES, STACKS, TABLES, VARIANTS
from etl.sources import bounds
from etl.sources.pages import grammar
from etl.spelling import variant_values

DATABASE = "spack-cache"
"""The name by which Datasette knows the database."""

DAG_HASH = bounds.HASH
HASH_LENGTH = 32

SHORT_HASH = 7
"""How many characters of a hash Spack shows, and how many a word that may be one has at least."""

WEB_ADDRESS = grammar.WEB_ADDRESS
"""How an address begins that a link may lead to; `javascript:` runs, and `//` is anybody's."""

LONGEST_KEY = 600
"""What has more characters is not put into an address, of which servers take no more than some."""

PAGE_TABLES = {
    table.name.removesuffix("s"): table.name for table in (PACKAGES, STACKS, RELEASES, VARIANTS)
}
"""The table that has a page for a value, by the column's name; a plural names a list of them."""

IN_STACK = "_in_stack"
"""The filter of specs by a stack in a release (`web.spack.in_stack`)."""

ARRAYS = frozenset(
    column.name
    for table in TABLES
    for column in table.columns
    if column.description.startswith("JSON array")
)
"""Columns that hold lists."""

LISTS_RELEASE = "instr(releases, json_quote({})) > 0"
"""SQL that tells whether a column `releases`, a JSON array, holds a release."""

OTHER_NODES = """(
    select * from nodes where kind = 'external'
    union all
    select * from nodes where kind = 'missing'
)"""
"""SQL of the nodes that are no binaries. Most are, so where a query names both other kinds at once,
SQLite reads all nodes."""

# Pages that ask with the same text share one answer (`execute_once`).
CURRENT_RELEASE_SQL = "select * from releases where position = 1"
RELEASES_SQL = "select * from releases order by position"
STACK_COUNTS_SQL = "select release, stack, count(*) from spec_stacks group by stack, release"


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
        pairs = [
            (f"{column}__arraycontains" if column in ARRAYS else column, each)
            for column, value in filters.items()
            for each in ([value] if isinstance(value, str) else value)
        ]
        return f"{self.database}/specs?{urlencode(pairs)}"

    def in_stack(self, stack: str, release: str, **filters: str | list[str]) -> str:
        """Return the address of the specs that a stack holds in a release.

        Args:
            stack: The stack.
            release: The release.
            filters: Others, as `specs` takes them.
        """
        others = self.specs(**filters)
        joint = "&" if filters else ""
        return f"{others}{joint}{urlencode({IN_STACK: f'{stack}@{release}'})}"

    def query(self, name: str, **parameters: str) -> str:
        """Return the address of a canned query's answer."""
        return f"{self.database}/{name}?{urlencode(parameters)}"

    def element(self, column: str, value: str) -> str | None:
        """Return the address of what is known of an element of a list, if anything is."""
        if len(value) > LONGEST_KEY:
            return None
        table = PAGE_TABLES.get(column.removesuffix("s"))
        if table == VARIANTS.name and not _is_one_value(value):
            return self.specs(variants=value)
        return self.row(table, value) if table else None


def _is_one_value(variant: str) -> bool:
    """Tell whether a variant is spelled like the one row of `variants` that it stands for."""
    return bool(variant) and [value.variant for value in variant_values(variant)] == [variant]


def begins_hash(text: str) -> bool:
    """Tell whether a text can be a DAG hash or its beginning."""
    return bool(DAG_HASH.fullmatch(text.ljust(HASH_LENGTH, "a")))


def is_web_address(text: str) -> bool:
    """Tell whether a text can be the address of a link."""
    return bool(WEB_ADDRESS.match(text))
