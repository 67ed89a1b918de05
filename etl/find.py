"""Find the pages below the folders that were named.

Rule of the source: a page is `<release>/<package>/specs.md`. Any other file is a page only when
it is named itself.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PAGE_NAME = "specs.md"


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
            pages = _walk(str(path), os.path.realpath(path), frozenset())
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


def _walk(folder: str, real: str, above: frozenset[str]) -> Iterator[Found]:
    """Search a folder in the order of names, through links but never in a circle."""
    if real in above:
        return
    above |= {real}
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise WrongUseError(f"{folder}: cannot read this folder: {error.strerror}") from None
    for entry in listed:
        child = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
        if entry.is_dir():
            yield from _walk(entry.path, child, above)
        elif entry.name == PAGE_NAME:
            yield Found(child, entry.path)


def layout_path(real: str) -> str | None:
    """`<release>/<package>/specs.md` of a page in upstream's layout, None of any other."""
    parts = real.rsplit("/", 3)
    if len(parts) == 4 and parts[3] == PAGE_NAME and parts[1] and parts[2]:
        return "/".join(parts[1:])
    return None
