"""Find the pages and the build caches below the folders that were named.

Rules of the source: a page is `<release>/<package>/specs.md`. A folder is a build cache if it holds
the manifest of an index (layout 3), `build_cache/index.json` (layout 2), an `index.json`, or what
`fetch` wrote; of several, the first counts. Any other file is a page or an index only when it is
named itself. What a build cache holds besides is not searched.

No link leads out of the folder that was named: pages come from strangers, and what their links
lead to is not theirs. Such a link is found, to be refused, and never followed. Other links need
not be followed: what they lead to is found by itself.
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from etl.errors import WrongUseError
from etl.sources.caches.fetched import LIST_NAME
from etl.sources.caches.manifests import INDEX_PATH
from etl.sources.content import GZIP

PAGE_NAME = "specs.md"
INDEX_NAME = "index.json"
OLD_INDEX = f"build_cache/{INDEX_NAME}"
"""The index of a mirror of layout 2, below the mirror."""

INDEX_MANIFESTS = INDEX_PATH.rsplit("/", 1)[0]
"""Folder with the manifests of the indexes of a mirror of layout 3, below the mirror."""

_CACHES = ((INDEX_MANIFESTS, 3), (OLD_INDEX, 2), (INDEX_NAME, None))
"""What makes a folder a build cache, and of which layout; the first counts."""

_SNIFFED = 64

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
        release: the name that was given to the build cache there, if any.
        is_fetched: whether the folder is in one that `fetch` wrote, whose list tells the caches.
    """

    real: str
    file: str
    top: str
    named: str
    release: str | None = None
    is_fetched: bool = False


class FoundCache(NamedTuple):
    """A build cache, or an index by itself.

    Attributes:
        folder: where it is.
        below: the index, the folder of its manifests, or the list of what was fetched, below
            that folder.
        layout: 3, 2, or None of an index by itself and of a list.
    """

    folder: Folder
    below: str
    layout: int | None = None


class Contents(NamedTuple):
    """What is in a folder, or in several, in the order of names."""

    pages: list[Found]
    folders: list[Folder]
    caches: list[FoundCache]


def named(path: Path) -> Found | FoundCache | Folder:
    """What a person named: a page, an index, or a folder to search; `NAME=PATH` names a cache.

    Raises:
        WrongUseError: there is nothing, or neither file nor folder.
    """
    name, equals, rest = str(path).partition("=")
    if equals and name and rest and not os.path.lexists(path):
        found = named(Path(rest))
        if isinstance(found, Folder):
            return found._replace(release=as_text(name))
        if isinstance(found, FoundCache):
            return found._replace(folder=found.folder._replace(release=as_text(name)))
        raise WrongUseError(f"{rest}: a page, which names its release itself")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WrongUseError(f"{as_text(str(path))}: {reason}") from None
    real = os.path.realpath(path)
    if stat.S_ISDIR(mode):
        return Folder(real, str(path), real, str(path))
    if stat.S_ISREG(mode):
        return _named_index(real, str(path)) or Found(real, str(path))
    raise WrongUseError(f"{path}: neither a page nor a folder")


def _named_index(real: str, file: str) -> FoundCache | None:
    """The cache of an index that was named itself; None if it is none."""
    for index, layout in ((INDEX_PATH, 3), (OLD_INDEX, 2), (LIST_NAME, None)):
        if real.endswith(f"/{index}"):
            above = index.count("/") + 1
            top, shown = real.rsplit("/", above)[0] or "/", file
            for _ in range(above):
                shown = os.path.dirname(shown) if shown else ""  # noqa: PTH120 - as it was named
            found = INDEX_MANIFESTS if layout == 3 else index
            return FoundCache(Folder(top, shown or ".", top, shown or "."), found, layout)
    if not _is_index(real):
        return None
    folder, name = real.rsplit("/", 1)
    shown = os.path.dirname(file) or "."  # noqa: PTH120
    return FoundCache(Folder(folder or "/", shown, folder or "/", shown), name)


def _is_index(real: str) -> bool:
    if real.endswith((".json", ".json.gz")):
        return True
    try:
        with open(real, "rb") as file:  # noqa: PTH123
            start = file.read(_SNIFFED)
    except OSError:
        # It is told when it is read as a page.
        return False
    return start.startswith(GZIP) or start.lstrip().startswith(b"{")


def share_out(folder: Folder) -> Contents:
    """Go down from a folder until there are enough folders to share among several processes.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    pages: list[Found] = []
    caches: list[FoundCache] = []
    folders = [folder]
    while 0 < len(folders) < _ENOUGH_FOLDERS:
        level = [_contents(each) for each in folders]
        pages += chain.from_iterable(each.pages for each in level)
        caches += chain.from_iterable(each.caches for each in level)
        folders = [*chain.from_iterable(each.folders for each in level)]
    return Contents(pages, folders, caches)


def walk(folder: Folder) -> Iterator[Found | FoundCache]:
    """All pages and build caches in and below a folder.

    Raises:
        WrongUseError: a folder cannot be read.
    """
    waiting = [folder]
    while waiting:
        pages, folders, caches = _contents(waiting.pop())
        yield from pages
        yield from caches
        waiting.extend(reversed(folders))


def _contents(folder: Folder) -> Contents:
    found = Contents([], [], [])
    above = folder.real.rstrip("/")
    entries = _listed(folder.file)
    if cache := _cache_in(folder, {entry.name for entry in entries}):
        found.caches.append(cache)
        is_list = cache.below == LIST_NAME
        folder = folder._replace(is_fetched=folder.is_fetched or is_list)
        of_cache = () if is_list else ("v3", "blobs", "build_cache")
        entries = [entry for entry in entries if entry.name not in of_cache]
    for entry in entries:
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


def _cache_in(folder: Folder, names: Collection[str]) -> FoundCache | None:
    """The build cache that a folder holds, if any."""
    if folder.is_fetched:
        return None
    if LIST_NAME in names:
        return FoundCache(folder, LIST_NAME)
    # Most folders hold none of these names, and are not looked into.
    for index, layout in _CACHES:
        if index.partition("/")[0] in names and os.path.exists(f"{folder.file}/{index}"):  # noqa: PTH110
            return FoundCache(folder, index, layout)
    return None


def holds_cache(folder: str) -> bool:
    """Whether a folder is a build cache."""
    return any(os.path.exists(f"{folder}/{index}") for index, _ in _CACHES)  # noqa: PTH110


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
