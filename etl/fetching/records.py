"""Going through an index record by record, however large it is."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from etl.fetching.web import NOT_GZIP, FetchError

_CHUNK = 2**20
_MOST = 2**24
"""Most characters of a value; a record has some thousands."""

_BLANKS = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def binaries(file: Path, compression: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and hash of each binary of an index of layout 3, in its order.

    Args:
        file: the index.
        compression: `none` or `gzip`.

    Raises:
        FetchError: it is no index, or damaged.
        OSError: it cannot be read.
    """
    for dag_hash, record in records(file, compression):
        match record:
            case {"in_buildcache": True, "spec": {"name": str(name), "version": str(version)}}:
                yield name, version, dag_hash


def records(file: Path, compression: str) -> Iterator[tuple[str, Any]]:
    """Each hash of an index and its record, in its order; that is JSON, and not looked into.

    Args:
        file: the index.
        compression: `none` or `gzip`.

    Raises:
        FetchError: it is no index, or damaged.
        OSError: it cannot be read.
    """
    with _opened(file, compression) as opened:
        yield from _installs(_Text(opened))


@contextmanager
def _opened(file: Path, compression: str) -> Iterator[TextIO]:
    try:
        if compression == "gzip":
            with gzip.open(file, "rt", encoding="utf-8") as text:
                yield text
        else:
            with file.open(encoding="utf-8") as text:
                yield text
    except (*NOT_GZIP, UnicodeDecodeError) as error:
        raise _damaged(f"{error}") from None


def _installs(text: "_Text") -> Iterator[tuple[str, Any]]:
    found = False
    for _ in text.members("database"):
        for _ in text.members("installs"):
            found = True
            for dag_hash in text.names():
                yield dag_hash, text.value()
    if text.next():
        raise _damaged("something stands behind it")
    if not found:
        raise _damaged("it has no `installs`")


def _damaged(why: str) -> FetchError:
    return FetchError(f"it is no index of a build cache, or a damaged one: {why}")


class _Text:
    """JSON of which only a part is in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def next(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def value(self) -> Any:
        """Take the next value."""
        self.next()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError:
                raise _damaged("it is nested too deep") from None
            except ValueError as error:
                if len(self._text) - self._at > _MOST or not self._read():
                    raise _damaged(str(error)) from None
                continue
            # A number could go on in what is not yet read.
            length = end - self._at
            if end < len(self._text) or not self._read():
                self._at += length
                return value

    def names(self) -> Iterator[str]:
        """Each key of an object, which is next; whoever takes one takes its value."""
        self._take("{")
        if self.next() == "}":
            return self._take("}")
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise _damaged("a key is no text")
            self._take(":")
            yield key
            if self.next() == "}":
                return self._take("}")
            self._take(",")

    def members(self, wanted: str) -> Iterator[None]:
        """Go through an object, and stop where the value of a certain key is next."""
        for key in self.names():
            if key == wanted:
                yield
            else:
                self.value()

    def _take(self, expected: str) -> None:
        found = self.next()
        if found != expected:
            raise _damaged(f"found {found or 'its end'!r}, expected {expected!r}")
        self._at += 1

    def _read(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
