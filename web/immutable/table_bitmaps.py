"""The rows that have each value of a table's columns, as bitmaps of rowids.

Only what SQL would answer alike is made: bitmaps of a column whose values are texts (or null) that
SQLite compares byte by byte, and of arrays that are plainly of texts, in a table whose rowids are
numbers of 32 bits. There are none of other columns, and whoever asks leaves those to SQL.
"""

import asyncio
import json
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.sql import quoted

# SQLite's memory is bounded (limits.py); it holds the numbers of so many rows as text at a time.
ROWS_IN_PART = 1_000_000

KIND_OF_LOOKUP = {"exact": "column", "arraycontains": "array", "arraynotcontains": "array"}
"""The kind of bitmaps that each of Datasette's filters asks."""

ASCII_LETTER = re.compile("[A-Za-z]")

RowsOf = Mapping[str, BitMap]
"""The rows of each value of a column, or of each element of its arrays."""

Made = TypeVar("Made")


class Condition(NamedTuple):
    """One filter: `column__lookup=value`."""

    column: str
    lookup: str
    value: str


class TableBitmaps:
    """The bitmaps of one table, which are made in the background.

    Attributes:
        table: Its name.
    """

    def __init__(self, path: Path, table: str, config: Mapping[str, list[str]]) -> None:
        self.table = table
        self._path = path
        # One after the other: each takes much memory for a moment, and needs to know all rows.
        with_one_thread = ThreadPoolExecutor(1, thread_name_prefix="bitmaps")
        self._all_rows = with_one_thread.submit(_unless_impossible, self._read_all_rows)
        self._rows_of: dict[tuple[str, str], Future[RowsOf | None]] = {
            (kind, column): with_one_thread.submit(_unless_impossible, read, column)
            for kind, key, read in (
                ("column", "columns", self._read_column),
                ("array", "arrays", self._read_arrays),
            )
            for column in config.get(key, [])
        }
        with_one_thread.shutdown(wait=False)

    async def rows_of(self, kind: str, column: str) -> RowsOf | None:
        """Return the bitmaps of a column, once they are made; None if it can have none.

        Args:
            kind: `column` for its values, `array` for the elements of its arrays.
            column: Its name.
        """
        future = self._rows_of.get((kind, column))
        return await _result(future) if future else None

    async def all_rows(self) -> BitMap | None:
        """Return the rows of the table, once they are known; None if bitmaps cannot hold them."""
        return await _result(self._all_rows)

    def wait(self) -> None:
        """Return when all bitmaps are made."""
        wait(self._rows_of.values())

    async def can_tell(self, condition: Condition) -> bool:
        """Tell whether bitmaps know the rows that pass a condition."""
        kind = KIND_OF_LOOKUP.get(condition.lookup)
        return kind is not None and await self.rows_of(kind, condition.column) is not None

    def known_to_pass(self, conditions: Sequence[Condition]) -> BitMap | None:
        """Return the rows that pass all conditions; None if that cannot be told.

        Waits for bitmaps that are not made yet: not for the thread that serves pages.
        """
        kinds = [(KIND_OF_LOOKUP.get(each.lookup, ""), each.column) for each in conditions]
        known = all(kind in self._rows_of and self._rows_of[kind].result() for kind in kinds)
        return self.passing(conditions) if known and self._all_rows.result() else None

    def passing(self, conditions: Iterable[Condition]) -> BitMap:
        """Return the rows that pass all conditions; waits for bitmaps that are not made yet.

        Args:
            conditions: Those that `can_tell` accepts.
        """
        rows = self._all_rows.result() or BitMap()
        for condition in conditions:
            column = KIND_OF_LOOKUP[condition.lookup], condition.column
            having = (self._rows_of[column].result() or {}).get(condition.value, BitMap())
            rows = rows - having if condition.lookup == "arraynotcontains" else rows & having
        return rows

    def _read_all_rows(self) -> BitMap | None:
        with closing(self._connect()) as connection:
            table = quoted(self.table)
            columns = connection.execute(f"pragma table_info({table})").fetchall()
            if any(name.lower() == "rowid" for _, name, *_ in columns):
                return None
            return BitMap(chain.from_iterable(connection.execute(f"select rowid from {table}")))

    def _read_column(self, column: str) -> RowsOf | None:
        rows_of = self._read(column, _itself)
        if rows_of is None or not self._compares_bytes(column, rows_of):
            return None
        return rows_of

    def _read_arrays(self, column: str) -> RowsOf | None:
        return self._read(column, _elements)

    def _read(
        self, column: str, texts_in: Callable[[object], Iterable[str] | None]
    ) -> RowsOf | None:
        """Return the rows of each text that is found in a value; None if one cannot be looked into.

        Args:
            column: The column's name.
            texts_in: Returns the texts in a value, or None.
        """
        numbers_of: dict[str, array[int]] = {}
        with closing(self._connect()) as connection:
            for value, numbers in connection.execute(self._sql_of_values(column)):
                texts = texts_in(value)
                if texts is None:
                    return None
                rows = array("I", json.loads(numbers))
                for text in texts:
                    numbers_of.setdefault(text, array("I")).extend(rows)
        return {text: BitMap(rows) for text, rows in numbers_of.items()}

    def _sql_of_values(self, column: str) -> str:
        all_rows = self._all_rows.result()
        if all_rows is None:
            raise OverflowError
        name = quoted(column)
        part = f", rowid / {ROWS_IN_PART}" if len(all_rows) > ROWS_IN_PART else ""
        return f"""
            select {name}, json_group_array(rowid) from {quoted(self.table)}
            where {name} is not null group by {name} collate binary{part}
        """

    def _compares_bytes(self, column: str, rows_of: RowsOf) -> bool:
        """Tell whether SQLite finds no other text equal to one of the column's."""
        value = next(filter(ASCII_LETTER.search, rows_of), next(iter(rows_of), None))
        if value is None:
            return True
        other_case = ASCII_LETTER.sub(lambda letter: letter[0].swapcase(), value)
        name = quoted(column)
        alike = [text for text in (other_case, f"{value} ") if text != value]
        any_equal = " or ".join([f"{name} = ?"] * len(alike))
        sql = f"select {any_equal} from {quoted(self.table)} where rowid = ?"
        with closing(self._connect()) as connection:
            (is_equal,) = connection.execute(sql, [*alike, rows_of[value].min()]).fetchone()
        return not is_equal

    def _connect(self) -> sqlite3.Connection:
        # One of Datasette's connections would have the limits of visitors.
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        connection: sqlite3.Connection = sqlite3.connect(uri, uri=True)
        return connection


async def _result(future: Future[Made]) -> Made:
    # A visitor who leaves must not cancel what others wait for.
    return await asyncio.shield(asyncio.wrap_future(future))


def _unless_impossible(read: Callable[..., Made | None], *arguments: object) -> Made | None:
    """Return what is read; None if there are no rowids, or such as need more than 32 bits."""
    try:
        return read(*arguments)
    except (sqlite3.Error, OverflowError, TypeError):
        return None


def _itself(value: object) -> list[str] | None:
    return [value] if isinstance(value, str) else None


def _elements(text: object) -> set[str] | None:
    """Return the elements of an array; None if it is not plainly one of texts.

    What else JSON can hold is for SQLite to read, which alone knows how it casts it.
    """
    try:
        values = json.loads(text) if isinstance(text, str) and "\\" not in text else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    return set(values)
