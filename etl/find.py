"""Find the pages below the folders that were named.

Rule of the source: a page is `<release>/<package>/specs.md`. Any other file is a page only when
it is named itself.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

PAGE_NAME = "specs.md"

_ENOUGH_FOLDERS = 16
"""So many folders keep several processes busy; most collections have more releases."""

_NAME = attrgetter("name")
_BREAKS_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class WrongUseError(Exception):
    """What was asked for cannot be done as asked; the message says what to change."""


class Found(NamedTuple):
    """A file that should be a page.

    Attributes:
        real: its absolute path without links; what makes two names one file.
        file: how the person who named it would name it, for messages.
    """

    real: str
    file: str


class Folder(NamedTuple):
    """A folder to search; its paths are those of `Found`."""

    real: str
    file: str


class Contents(NamedTuple):
    """What is in a folder, or in several, in the order of names.

    Attributes:
        pages: the pages.
        folders: the folders to search next.
        links: the links to folders.
    """

    pages: list[Found]
    folders: list[Folder]
    links: list[Folder]


def named(path: Path) -> Found | Folder:
    """What a person named: a page, or a folder to search.

    Raises:
        WrongUseError: there is nothing, or neither file nor folder.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise WrongUseError(f"{path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return Folder(os.path.realpath(path), str(path))
    if stat.S_ISREG(mode):
        return Found(os.path.realpath(path), str(path))
    raise WrongUseError(f"{path}: neither a page nor a folder")


class Search:
    """A search of a folder, and of the folders outside it that links lead to, each of them once.

    A link to a folder that was searched already leads nowhere new, so circles end.
    """

    def __init__(self, top: Folder) -> None:
        self._waiting = [top]
        self._searched: set[str] = set()

    def __iter__(self) -> Iterator[Folder]:
        """The folders to search; meanwhile `follow` may add more."""
        while self._waiting:
            folder = self._waiting.pop()
            if not any(above in self._searched for above in _and_above(folder.real)):
                self._searched.add(folder.real)
                yield folder

    def follow(self, links: Iterable[Folder]) -> None:
        """Search what these links lead to, too."""
        self._waiting.extend(reversed([*links]))


def _and_above(folder: str) -> Iterator[str]:
    """An absolute path and all folders above it."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield "/"


def share_out(folder: Folder) -> Contents:
    """Go down from a folder until there are enough folders to share among several processes.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    pages: list[Found] = []
    folders = [folder]
    links: list[Folder] = []
    while 0 < len(folders) < _ENOUGH_FOLDERS:
        level = [_contents(each) for each in folders]
        pages += chain.from_iterable(each.pages for each in level)
        links += chain.from_iterable(each.links for each in level)
        folders = [*chain.from_iterable(each.folders for each in level)]
    return Contents(pages, folders, links)


def walk(folder: Folder) -> Contents:
    """All pages in and below a folder, and the links there.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    found = Contents([], [], [])
    waiting = [folder]
    while waiting:
        pages, folders, links = _contents(waiting.pop())
        found.pages.extend(pages)
        found.links.extend(links)
        waiting.extend(reversed(folders))
    return found


def _contents(folder: Folder) -> Contents:
    found = Contents([], [], [])
    above = folder.real.rstrip("/")
    for entry in _listed(folder.file):
        is_link = entry.is_symlink()
        real = os.path.realpath(entry.path) if is_link else f"{above}/{entry.name}"
        if _is_folder(entry):
            (found.links if is_link else found.folders).append(Folder(real, entry.path))
        elif entry.name == PAGE_NAME:
            found.pages.append(Found(real, entry.path))
    return found


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=_NAME)
    except OSError as error:
        raise WrongUseError(f"{folder}: cannot read this folder: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link to itself leads nowhere, as one to a file that is gone.
        if error.errno == errno.ELOOP:
            return False
        raise WrongUseError(f"{entry.path}: cannot follow this link: {error.strerror}") from None


def as_text(path: str) -> str:
    """A path, or another word of the command line, as text to store and to show on one line.

    Bytes that are not UTF-8 and characters that break a line are spelled with a backslash.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _BREAKS_A_LINE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def layout_path(real: str) -> str | None:
    """`<release>/<package>/specs.md` of a page in upstream's layout, None of any other."""
    parts = real.rsplit("/", 3)
    if len(parts) == 4 and parts[3] == PAGE_NAME and parts[1] and parts[2]:
        return "/".join(parts[1:])
    return None
