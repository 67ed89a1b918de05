"""Cells that people can read: short lists that unfold, short hashes, links, digit groups.

Only HTML pages are changed: JSON and CSV have the values as they are. Every value is escaped.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import to_css_class
from markupsafe import Markup, escape

from web.spack.names import DAG_HASH, DATABASE, TABLES, Places

SHOWN = 4
"""How many elements of a list are seen before it is unfolded."""

HASH_COLUMNS = re.compile(r"(.*_)?(hash|hashes|spec|twin)")
DIGESTS = {"sha256"}
NOT_COUNTED = {"id", "position"}


@hookimpl  # type: ignore[untyped-decorator]
def render_cell(value: object, column: str, database: str, datasette: Datasette) -> Markup | None:
    """Show a value of the database for people, or leave it to Datasette."""
    if database != DATABASE or value is None:
        return None
    if isinstance(value, int):
        return None if column in NOT_COUNTED else number(value)
    places = Places(datasette.urls.database(database))
    if isinstance(value, Mapping):
        return expanded(places, column, value)
    return text_cell(places, column, value) if isinstance(value, str) else None


def number(value: int) -> Markup:
    """Show a number with its thousands apart."""
    return Markup('<span class="number">{}</span>').format(f"{value:,}")


def of(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 spec`, `1,200 specs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def expanded(places: Places, column: str, value: Mapping[str, Any]) -> Markup:
    """Show a foreign key and the label of the row it leads to, where that says more."""
    key, label = str(value["value"]), value["label"]
    shown = cell(places, column, key)
    return shown if label == value["value"] else Markup("{} {}").format(shown, label)


def cell(places: Places, column: str, value: str | Sequence[str]) -> Markup:
    """Show a text or a list as in a column of this name."""
    if isinstance(value, str):
        return text_cell(places, column, value) or escape(value)
    return unfolding(places, column, value)


@lru_cache(maxsize=8192)
def text_cell(places: Places, column: str, value: str) -> Markup | None:
    """Show a text: a list, a hash or what has a page; None for any other."""
    if value.startswith("["):
        elements = _elements(value)
        return None if elements is None else unfolding(places, column, elements)
    if DAG_HASH.fullmatch(value) and HASH_COLUMNS.fullmatch(column):
        return hash_cell(places, value)
    if column in DIGESTS:
        return Markup('<span class="hash" title="{0}">{0}</span>').format(value)
    if value and column in TABLES:
        return Markup('<a href="{}">{}</a>').format(places.row(TABLES[column], value), value)
    return None


def hash_cell(places: Places, spec: str) -> Markup:
    """Show a hash: it is all there, to be copied, and its beginning is seen."""
    return Markup(
        '<span class="copied"><a class="hash" href="{1}">{0}</a>'
        '<button class="copy icon" type="button" data-copy="{0}" aria-label="Copy hash {2}">'
        "</button></span>"
    ).format(spec, f"{places.database}/specs/{spec}", spec[:7])


def unfolding(places: Places, column: str, elements: Sequence[str]) -> Markup:
    """Show a list: its first elements, and all when it is unfolded."""
    shown = [_element(places, column, element) for element in elements]
    seen = len(shown) if len(shown) <= SHOWN + 1 else SHOWN
    start = Markup('<span class="values">{}</span>').format(Markup(" ").join(shown[:seen]))
    if seen == len(shown):
        return start
    return Markup(
        '{}<details class="more"><summary><span class="when-closed">{} of {} shown</span>'
        '<span class="when-open">Show fewer</span></summary>'
        '<span class="values">{}</span></details>'
    ).format(start, seen, len(shown), Markup(" ").join(shown[seen:]))


def _element(places: Places, column: str, value: str) -> Markup:
    address = places.element(column, value)
    if address is None:
        return Markup('<span class="value">{}</span>').format(value)
    return Markup('<a class="value" href="{}">{}</a>').format(address, value)


def _elements(text: str) -> list[str] | None:
    """Return the elements of a JSON array of texts and numbers, or None for anything else."""
    try:
        values = json.loads(text)
        if any(isinstance(value, dict | list) for value in values):
            return None
        elements = [value if isinstance(value, str) else json.dumps(value) for value in values]
        # Half a surrogate pair cannot be sent.
        "".join(elements).encode()
    except (ValueError, RecursionError):
        return None
    return elements


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates `places`, and filters for cells, rows and numbers of things."""

    def places() -> Places:
        return Places(datasette.urls.path(DATABASE))

    env.globals["places"] = places
    env.filters["cell"] = lambda value, column: cell(places(), column, value)
    env.filters["table_rows"] = lambda rows, columns: table_rows(places(), rows, columns)
    env.filters["query_rows"] = query_rows
    env.filters["of"] = of


def table_rows(places: Places, rows: Iterable[Any], columns: Sequence[str]) -> Markup:
    """Return the rows of a table page.

    One function writes them all, because a template that does takes twice as long.

    Args:
        places: Where links lead.
        rows: Datasette's `display_rows`.
        columns: The columns to be shown.
    """
    classes = {column: f"col-{to_css_class(column)}" for column in columns}

    def cells(row: Any) -> str:
        return "".join(
            f'<td class="{classes[data["column"]]} type-{data["value_type"]}">'
            f"{_table_cell(places, data)}</td>"
            for data in row
            if data["column"] in classes
        )

    return _rows(cells(row) for row in rows)


def _table_cell(places: Places, data: Mapping[str, Any]) -> Markup:
    if data["value_type"] == "pk" and DAG_HASH.fullmatch(data["raw"]):
        return hash_cell(places, data["raw"])
    return escape(data["value"])


def query_rows(rows: Iterable[Sequence[object]], columns: Sequence[str]) -> Markup:
    """Return the rows of a query's answer, as `table_rows` does for a table."""
    classes = [f"col-{to_css_class(column)}" for column in columns]
    return _rows(
        "".join(
            f'<td class="{css}">{escape(value)}</td>'
            for css, value in zip(classes, row, strict=True)
        )
        for row in rows
    )


def _rows(rows: Iterable[str]) -> Markup:
    # Every cell in these was escaped above.
    return Markup("".join(f"<tr>{row}</tr>\n" for row in rows))  # noqa: S704
