"""Cells that people can read: short lists that unfold, short hashes, links, digit groups.

Only HTML pages are changed: JSON and CSV have the values as they are. Every value is escaped.

Datasette asks for each cell by itself, and gets one that becomes HTML when its page does. By
then it is known what the page would become, and where its cells have more than it has room for,
all of them show less of long lists and texts. The page of a row shows all of them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import to_css_class
from markupsafe import Markup, escape

from etl.schema import MAX_ROW, NODES
from etl.spelling import NO_COMPILER
from web.spack.commands import install, use_mirror
from web.spack.names import (
    ARRAYS,
    DAG_HASH,
    DATABASE,
    LONGEST_KEY,
    PAGE_TABLES,
    Places,
    is_web_address,
)

SHOWN = 4
"""How many elements of a list are seen before it is unfolded."""

MOST_ELEMENTS = 1_024
"""How many elements of a list unfold in a table."""

ROOM = 2_000_000
"""How many characters of texts and lists a page of rows shows; its HTML has two to eight times
as many."""

ELEMENT_ROOM = 20
"""What an element takes beside its own characters, which are in its address too."""

LONGEST_CLASS = 100
"""A column with a longer name gives no class to its cells."""

LONGEST_KEPT = 100
"""What is made of an element with more characters is not kept for other pages."""

HASHES = {"hash", "hashes", "spec", "twin", "dependency"}
"""Last words of the names of columns that hold hashes."""

TICKED = ("hash", "spec")
"""Columns by whose hashes rows of a query's answer can be ticked."""

DIGESTS = {"sha256"}
VALUE_BYTES = MAX_ROW
"""What visitors' SQL may read of one value (`web.immutable.limits`): any of the database."""

NOT_COUNTED = {"id", "position", "version_rank", "newest"}
SIZES = {"size", "bytes"}
"""Columns of tables that hold numbers of bytes."""

NUMBER = '<span class="number">'


class Bounds(NamedTuple):
    """How much of a value is shown.

    Attributes:
        elements: How many elements of a list; 0 if lists are shown as texts.
        characters: How many characters of a text, or of an element.
    """

    elements: int
    characters: int


WHOLE = Bounds(ROOM, ROOM)
FEWEST = Bounds(0, 16)
"""So much of a value is shown however many there are."""


MakeElement = Callable[[Places, str, str], Markup]
"""Makes an element of a list: where links lead, the list's column, the element."""


class Cell(NamedTuple):
    """A text of a row, or the key of another, that has yet to become HTML.

    Attributes:
        places: Where links lead.
        column: The column's name.
        text: The value.
        label: What is known of the row that it leads to, or "".
        is_ours: Whether it is a value of a table, not what a visitor's SQL made.
    """

    places: Places
    column: str
    text: str
    label: str = ""
    is_ours: bool = False

    def __html__(self) -> Markup:
        """Return all of it, for templates."""
        return self.html(WHOLE)

    def html(self, bounds: Bounds, make: MakeElement | None = None) -> Markup:
        """Return what is seen of it.

        Args:
            bounds: How much that is at most.
            make: How to make an element of a list.
        """
        shown = self._list(bounds, make or _element) or self._text(bounds)
        label = escape(cut(self.label, bounds.characters))
        return Markup("{} {}").format(shown, label) if label else shown

    def room(self, bounds: Bounds) -> int:
        """Return about how many characters a page shows of it at most."""
        elements = 1
        if bounds.elements and self.text.startswith("["):
            elements = min(bounds.elements, self.text.count(",") + 1)
        characters = min(len(self.text), elements * bounds.characters)
        return characters + elements * ELEMENT_ROOM + min(len(self.label), bounds.characters)

    def _text(self, bounds: Bounds) -> Markup:
        if len(self.text) > bounds.characters:
            return escape(cut(self.text, bounds.characters))
        return text_cell(self.places, self.column, self.text)

    def _list(self, bounds: Bounds, make: MakeElement) -> Markup | None:
        is_list = bounds.elements and self.text.startswith("[")
        values = _values(self.text) if is_list else None
        texts = None if values is None else _texts(values[: bounds.elements])
        if values is None or texts is None:
            return None
        elements = [self._element(text, bounds, make) for text in texts]
        return unfolding(elements, len(values))

    def _element(self, text: str, bounds: Bounds, make: MakeElement) -> Markup:
        if len(text) > bounds.characters:
            return _value(cut(text, bounds.characters))
        if self.is_ours and len(text) <= LONGEST_KEPT:
            make = _kept_element
        return make(self.places, self.column, text)


@hookimpl  # type: ignore[untyped-decorator]
def render_cell(
    value: object, column: str, table: str | None, database: str, datasette: Datasette
) -> Markup | Cell | None:
    """Show a value of the database for people, or leave it to Datasette."""
    if database != DATABASE or value is None or value == "":
        return None
    if isinstance(value, int):
        if table and column in SIZES:
            return size(value)
        return None if column in NOT_COUNTED else number(value)
    if table == NODES.name and column == "package":
        # There may be no binary of it, and so no page.
        return None
    places = _places(datasette)
    if isinstance(value, str):
        return Cell(places, column, value, is_ours=table is not None)
    if isinstance(value, Mapping):
        # A foreign key and what Datasette calls its label.
        key, label = str(value["value"]), str(value["label"])
        return Cell(places, column, key, "" if label == key else label, is_ours=True)
    return None


_places_of: WeakKeyDictionary[Datasette, Places] = WeakKeyDictionary()


def _places(datasette: Datasette) -> Places:
    """Return where the pages are; once, since Datasette works it out anew for each cell."""
    places = _places_of.get(datasette)
    if places is None:
        places = _places_of[datasette] = Places(datasette.urls.path(DATABASE))
    return places


def number(value: int) -> Markup:
    """Show a number with its thousands apart."""
    return Markup(f"{NUMBER}{value:,}</span>")  # noqa: S704 (digits)


def size(value: int) -> Markup:
    """Show a number of bytes in a unit that suits it; all of its digits are there too."""
    if value < 1_000:
        return Markup("{}").format(of(value, "byte"))
    number, units = value / 1_000, ["kB", "MB", "GB", "TB"]
    while number >= 999.95 and len(units) > 1:
        number, units = number / 1_000, units[1:]
    shown = Markup('<span class="number" title="{:,} bytes">{:,.1f} {}</span>')
    return shown.format(value, number, units[0])


def of(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 spec`, `1,200 specs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def cut(text: str, most: int) -> str:
    """Return a text, or its beginning if it has more than so many characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def cell(places: Places, column: str, value: str | Sequence[str]) -> Markup:
    """Show a text or a list as in a column of this name."""
    if isinstance(value, str):
        return text_cell(places, column, value)
    return unfolding([_element(places, column, text) for text in value], len(value))


def text_cell(places: Places, column: str, value: str) -> Markup:
    """Show a text: a hash, what has a page, an address, or any other."""
    if DAG_HASH.fullmatch(value) and column.rpartition("_")[2] in HASHES:
        return hash_cell(places, value)
    if column in DIGESTS:
        return Markup('<span class="hash" title="{0}">{0}</span>').format(value)
    if column in PAGE_TABLES:
        return _link(places.row(PAGE_TABLES[column], value), value)
    return _link(value, value) if is_web_address(value) else escape(value)


def hash_cell(places: Places, spec: str) -> Markup:
    """Show the hash of a spec: it is all there, to be copied, and its beginning is seen."""
    return Markup(  # noqa: S704 (a hash has letters and digits only)
        f'<span class="copied"><a class="hash" href="{places.database}/specs/{spec}">{spec}</a>'
        f'<button class="copy icon" type="button" data-copy="{spec}"'
        f' aria-label="Copy hash {spec[:7]}"></button></span>'
    )


def unfolding(elements: Sequence[Markup], number: int) -> Markup:
    """Show a list: its first elements, and more when it is unfolded.

    Args:
        elements: The elements that are shown.
        number: How many the list has.
    """
    seen = number if number <= SHOWN + 1 and len(elements) == number else SHOWN
    html = f'<span class="values">{" ".join(elements[:seen])}</span>'
    left = number - len(elements)
    if seen < len(elements):
        html += (
            f'<details class="more"><summary><span class="when-closed">{seen} of {number:,} shown'
            '</span><span class="when-open">Show fewer</span></summary>'
            f'<span class="values">{" ".join(elements[seen:])}</span>'
            f"{f' and {left:,} more' if left else ''}</details>"
        )
    elif left:
        html += f" and {left:,} more"
    return Markup(html)  # noqa: S704 (the elements are HTML)


def _element(places: Places, column: str, value: str) -> Markup:
    address = places.element(column, value)
    return _value(value) if address is None else _link(address, value, ' class="value"')


def _value(text: str) -> Markup:
    return Markup(f'<span class="value">{escape(text)}</span>')  # noqa: S704 (escaped)


def _link(address: str, text: str, attributes: str = "") -> Markup:
    html = f'<a{attributes} href="{escape(address)}">{escape(text)}</a>'
    return Markup(html)  # noqa: S704 (escaped)


_kept_element = lru_cache(maxsize=8192)(_element)
"""The same, for short ones of tables: these are few, and a visitor cannot make others."""


def _values(text: str) -> list[Any] | None:
    """Return the elements of a JSON array, or None for anything else."""
    try:
        values: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values


def _texts(values: Sequence[Any]) -> list[str] | None:
    """Return texts and numbers as they are shown, or None if there is anything else."""
    if any(isinstance(value, dict | list) for value in values):
        return None
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    try:
        # Half a surrogate pair cannot be sent.
        "".join(texts).encode()
    except UnicodeEncodeError:
        return None
    return texts


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates `places`, commands, and filters for cells, rows and numbers of things."""
    most = Bounds(MOST_ELEMENTS, datasette.setting("truncate_cells_html") or ROOM)

    def places() -> Places:
        return _places(datasette)

    env.globals["places"] = places
    env.globals["array_columns"] = ARRAYS
    env.globals["no_compiler"] = NO_COMPILER
    env.globals["use_mirror"] = use_mirror
    env.globals["install"] = install
    env.filters["cell"] = lambda value, column: cell(places(), column, value)
    env.filters["element"] = lambda value, column: _element(places(), column, value)
    env.filters["table_rows"] = lambda rows, columns, ticked="": table_rows(
        places(), rows, columns, most, ticked
    )
    env.filters["ticked_column"] = ticked_column
    env.filters["query_rows"] = lambda rows, columns, ticked="": query_rows(
        rows, columns, most, ticked
    )
    env.filters["is_number"] = is_number
    env.filters["is_web_address"] = is_web_address
    env.filters["of"] = of
    env.filters["size"] = size


def is_number(shown: object) -> bool:
    """Tell whether this is what `number` returned."""
    return isinstance(shown, Markup) and shown.startswith(NUMBER)


def fitting(cells: Iterable[object], most: Bounds) -> Bounds:
    """Return how much of each cell can be shown for a page to have room for all."""
    texts = [cell for cell in cells if isinstance(cell, Cell)]
    bounds = most
    if sum(len(cell.text) + len(cell.label) for cell in texts) * ELEMENT_ROOM < ROOM:
        # However many elements they have.
        return bounds
    while bounds > FEWEST and _room(texts, bounds) > ROOM:
        elements = bounds.elements // 2
        characters = max(FEWEST.characters, bounds.characters // 2)
        bounds = Bounds(elements if elements >= SHOWN else 0, characters)
    return bounds


def _room(texts: Iterable[Cell], bounds: Bounds) -> int:
    return sum(text.room(bounds) for text in texts)


def table_rows(
    places: Places, rows: Iterable[Any], columns: Sequence[str], most: Bounds, ticked: str = ""
) -> Markup:
    """Return the rows of a table page.

    One function writes them all, because a template that does takes twice as long.

    Args:
        places: Where links lead.
        rows: Datasette's `display_rows`.
        columns: The columns to be shown.
        most: How much of a cell is shown at most.
        ticked: The column of hashes by which rows can be ticked, or "".
    """
    classes = {column: _class(column) for column in columns}

    def cells(row: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
        for data in row:
            if (css := classes.get(data["column"])) is not None:
                cell = _table_cell(places, data, data["column"] == ticked)
                yield f"{css} type-{data['value_type']}", cell

    return _rows((list(cells(row)) for row in rows), most)


def _table_cell(places: Places, data: Mapping[str, Any], is_ticked: bool) -> object:
    if data["value_type"] == "pk" and DAG_HASH.fullmatch(data["raw"]):
        shown = hash_cell(places, data["raw"])
        return tick(data["raw"]) + shown if is_ticked else shown
    if data["value_type"] == "pk" and len(data["raw"]) > LONGEST_KEY:
        return Cell(places, "", data["raw"])
    return data["value"]


def query_rows(
    rows: Iterable[Sequence[object]], columns: Sequence[str], most: Bounds, ticked: str = ""
) -> Markup:
    """Return the rows of a query's answer, as `table_rows` does for a table."""
    classes = [_class(column) for column in columns]
    place = list(columns).index(ticked) if ticked else -1

    def cells(row: Sequence[object]) -> list[tuple[str, object]]:
        listed = list(zip(classes, row, strict=True))
        if ticked and isinstance(shown := row[place], Cell):
            spec = hash_cell(shown.places, shown.text)
            listed[place] = classes[place], tick(shown.text) + spec
        return listed

    return _rows(map(cells, rows), most)


def ticked_column(rows: Sequence[Sequence[object]], columns: Sequence[str]) -> str:
    """Return the column of a query's answer by which its rows can be ticked, or "".

    It holds a hash in each row, and none twice: two are compared.
    """
    for column in TICKED:
        if column not in columns or len(rows) < 2:
            continue
        place = columns.index(column)
        cells = [row[place] for row in rows]
        hashes = {cell.text for cell in cells if isinstance(cell, Cell)}
        if len(hashes) == len(cells) and all(map(DAG_HASH.fullmatch, hashes)):
            return column
    return ""


def tick(spec: str) -> Markup:
    """Return what ticks a row, to compare its spec with another's (`web.spack.compare`)."""
    return Markup(  # noqa: S704 (a hash has letters and digits only)
        f'<input class="tick" type="checkbox" form="compare" name="spec" value="{spec}"'
        f' aria-label="Compare /{spec[:7]}">'
    )


def _class(column: str) -> str:
    return f"col-{to_css_class(column)}" if len(column) <= LONGEST_CLASS else ""


def _rows(rows: Iterable[list[tuple[str, object]]], most: Bounds) -> Markup:
    """Return rows of cells, each with its class, as far as a page has room for them."""
    listed = list(rows)
    bounds = fitting((value for row in listed for _, value in row), most)
    known: dict[object, Markup] = {}
    # Many cells have the same elements; these are kept for this page alone.
    make = cache(_element)

    def html(value: object) -> Markup:
        if not isinstance(value, Cell):
            return escape(value)
        if value not in known:
            known[value] = value.html(bounds, make)
        return known[value]

    def cells(row: list[tuple[str, object]]) -> str:
        return "".join(f'<td class="{css}">{html(value)}</td>' for css, value in row)

    # Every cell in these was escaped above.
    return Markup("".join(f"<tr>{cells(row)}</tr>\n" for row in listed))  # noqa: S704
