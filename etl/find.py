"""Find the pages below the folders that were named.

Rule of the source: a page is `<release>/<package>/specs.md`. Any other file is a page only when
it is named itself.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PAGE_NAME = "specs.md"

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


def find_pages(paths: Sequence[Path]) -> Iterator[Found]:
    """Every page in or below the paths; a file that is reached twice comes twice.

    Raises:
        WrongUseError: a path does not exist, is neither file nor folder, or a folder cannot be
            read or holds no page.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise WrongUseError(f"{path}: {error.strerror}") from None
        if stat.S_ISDIR(mode):
            pages = _search(str(path))
            first = next(pages, None)
            if first is None:
                message = (
                    f"{path}: no pages here; expected <release>/<package>/{PAGE_NAME} below it"
                )
                raise WrongUseError(message)
            yield first
            yield from pages
        elif stat.S_ISREG(mode):
            yield Found(os.path.realpath(path), str(path))
        else:
            raise WrongUseError(f"{path}: neither a page nor a folder")


def _search(top: str) -> Iterator[Found]:
    """Search a folder, then the folders outside it that links lead to, each of them once.

    A link to a folder that was searched already leads nowhere new, so circles end.
    """
    searched: set[str] = set()
    waiting = [(top, os.path.realpath(top))]
    while waiting:
        folder, real = waiting.pop()
        if any(above in searched for above in _and_above(real)):
            continue
        searched.add(real)
        links: list[tuple[str, str]] = []
        yield from _walk(folder, real, links)
        waiting.extend(reversed(links))


def _and_above(folder: str) -> Iterator[str]:
    """An absolute path and all folders above it."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield "/"


def _walk(folder: str, real: str, links: list[tuple[str, str]]) -> Iterator[Found]:
    """The pages below a folder in the order of names; links to folders are noted in `links`."""
    waiting = [(folder, real)]
    while waiting:
        folder, real = waiting.pop()
        below: list[tuple[str, str]] = []
        for entry in _listed(folder):
            child = (entry.path, f"{real.rstrip('/')}/{entry.name}")
            if entry.is_symlink():
                child = (entry.path, os.path.realpath(entry.path))
            if _is_folder(entry):
                (links if entry.is_symlink() else below).append(child)
            elif entry.name == PAGE_NAME:
                yield Found(child[1], entry.path)
        waiting.extend(reversed(below))


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
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
