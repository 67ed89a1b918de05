"""Find the pages below the folders that were named.

Rule of the source: a page is `<release>/<package>/specs.md`. Any other file is a page only when
it is named itself.

No link leads out of the folder that was named: pages come from strangers, and what their links
lead to is not theirs. Such a link is found, to be refused, and never followed. Other links need
not be followed: what they lead to is found by itself.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from etl.errors import WrongUseError

PAGE_NAME = "specs.md"

_ENOUGH_FOLDERS = 16
"""So many folders keep several processes busy; most collections have more releases."""

_NAME = attrgetter("name")
_BREAKS_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Found(NamedTuple):
    """A file that should be a page, or a link that leads out of the folder that was named.

    Attributes:
        real: its absolute path without links; what makes two names one file.
        file: how the person who named it would name it, for messages.
        leads_out: of a link that leads out, the folder that was named; otherwise None.
    """

    real: str
    file: str
    leads_out: str | None = None


class Folder(NamedTuple):
    """A folder to search.

    Attributes:
        real: as of `Found`.
        file: as of `Found`.
        top: `real` of the folder that was named.
        named: `file` of the folder that was named.
    """

    real: str
    file: str
    top: str
    named: str


class Contents(NamedTuple):
    """What is in a folder, or in several, in the order of names: pages, and folders to search."""

    pages: list[Found]
    folders: list[Folder]


def named(path: Path) -> Found | Folder:
    """What a person named: a page, or a folder to search.

    Raises:
        WrongUseError: there is nothing, or neither file nor folder.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WrongUseError(f"{as_text(str(path))}: {reason}") from None
    real = os.path.realpath(path)
    if stat.S_ISDIR(mode):
        return Folder(real, str(path), real, str(path))
    if stat.S_ISREG(mode):
        return Found(real, str(path))
    raise WrongUseError(f"{path}: neither a page nor a folder")


def share_out(folder: Folder) -> Contents:
    """Go down from a folder until there are enough folders to share among several processes.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    pages: list[Found] = []
    folders = [folder]
    while 0 < len(folders) < _ENOUGH_FOLDERS:
        level = [_contents(each) for each in folders]
        pages += chain.from_iterable(each.pages for each in level)
        folders = [*chain.from_iterable(each.folders for each in level)]
    return Contents(pages, folders)


def walk(folder: Folder) -> Iterator[Found]:
    """All pages in and below a folder.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    waiting = [folder]
    while waiting:
        pages, folders = _contents(waiting.pop())
        yield from pages
        waiting.extend(reversed(folders))


def _contents(folder: Folder) -> Contents:
    found = Contents([], [])
    above = folder.real.rstrip("/")
    for entry in _listed(folder.file):
        real = f"{above}/{entry.name}"
        is_folder = _is_folder(entry)
        if entry.is_symlink():
            if is_folder or entry.name == PAGE_NAME:
                found.pages.extend(_behind_link(folder, entry.path, real, is_folder))
        elif is_folder:
            found.folders.append(folder._replace(real=real, file=entry.path))
        elif entry.name == PAGE_NAME:
            found.pages.append(Found(real, entry.path))
    return found


def _behind_link(folder: Folder, link: str, own_path: str, is_folder: bool) -> Iterator[Found]:
    real = os.path.realpath(link)
    if not f"{real}/".startswith(f"{folder.top.rstrip('/')}/"):
        yield Found(own_path, link, folder.named)
    elif not is_folder:
        yield Found(real, link)


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=_NAME)
    except OSError as error:
        message = f"{as_text(folder)}: cannot read this folder: {error.strerror}"
        raise WrongUseError(message) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link to itself leads nowhere, as one to a file that is gone.
        if error.errno == errno.ELOOP:
            return False
        message = f"{as_text(entry.path)}: cannot follow this link: {error.strerror}"
        raise WrongUseError(message) from None


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
