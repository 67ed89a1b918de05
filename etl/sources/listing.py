"""List the files that should be pages, with the release and the package each is of; and indexes.

A page in upstream's layout is believed to be of the release and the package that its folders name
until it is read, so that it need not be opened for being listed. Any other page, and pages with
one path from several folders, are read at once and their content is kept, so that no page is
opened twice.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from etl.errors import Refusal, RefusedError, WrongUseError
from etl.order import releases_newest_first
from etl.sources.caches.listing import ROOT, ListedIndex, indexes_of
from etl.sources.choice import Choice
from etl.sources.content import Content, no_content, read_content
from etl.sources.find import (
    PAGE_NAME,
    Folder,
    Found,
    FoundCache,
    as_text,
    layout_path,
    named,
    share_out,
    walk,
)
from etl.sources.pages import grammar, page_of
from etl.sources.pages.grammar import Page
from etl.workers import Workers

TASKS_OF_FOLDER = 128
"""Into so many tasks at most a folder is shared out: the processes are to end at one time."""

# Any other page than one that begins so is parsed whole for its names.
_HEAD = re.compile(grammar.ORDINARY_HEAD, re.ASCII)

INDEX_COLUMNS = ", ".join(ListedIndex._fields)
"""What to select from `indexes` for a `ListedIndex`.

Their rowids are the order in which they count: newest release first, and in it the whole mirror
first, then stacks by name.
"""

_INSERT_INDEX = f"INSERT INTO indexes VALUES ({', '.join('?' * len(ListedIndex._fields))})"

Item = TypeVar("Item")
_Row = tuple[object, ...]


class ListedFile(NamedTuple):
    """A file that should be a page; the columns of the table `files` of the staging folder.

    Attributes:
        real: absolute path without links, as bytes since it need not be UTF-8.
        file: as the person who named it would name it, for messages.
        path: its path in the database.
        in_layout: whether the folders in `path` name a release and a package.
        is_placed: whether `release` and `package` are what the page says, not its folders.
        release: the release it is of; None if it says none.
        package: the package it is of; None if it says none.
        is_kept: whether what was read of it is kept, in the column `content` of its row.
        unread_kind: of the refusal, if it cannot be read.
        unread_message: of the refusal, if it cannot be read.
        sha256: of the content; None of a file that was not read yet.
    """

    real: bytes
    file: str
    path: str
    in_layout: bool
    is_placed: bool
    release: str | None
    package: str | None
    is_kept: bool = False
    unread_kind: str | None = None
    unread_message: str | None = None
    sha256: str | None = None

    def read(self, folder: Path) -> Content:
        """What is in it: what was read when it was listed, or else what is read now.

        Args:
            folder: the staging folder.
        """
        if not self.is_kept:
            return read_content(self.real, grammar.MAX_BYTES)
        refusal = None
        if self.unread_kind:
            refusal = Refusal(0, self.unread_kind, self.unread_message or "")
        with closing(sqlite3.connect(folder / "files.db")) as files:
            kept = "SELECT content FROM files WHERE real = ?"
            (data,) = files.execute(kept, [self.real]).fetchone()
        return Content(data, self.sha256 or "", refusal)

    def is_chosen(self, choice: Choice, page: Page | None = None) -> bool:
        """Whether it is one of those to read; a link of which nothing is known is one of all.

        Args:
            choice: which are to be read.
            page: what was read of it, if it could be read.
        """
        is_anything = self.unread_kind is not None and not self.in_layout
        return is_anything or choice.includes(*self.names_to_choose_by(page))

    def names_to_choose_by(self, page: Page | None = None) -> tuple[str, str]:
        """Release and package: as the page says; without readable names it counts by its folders.

        Args:
            page: what was read of it, if it could be read.
        """
        if page:
            return page.release, page.package
        if self.is_placed and self.release and self.package:
            return self.release, self.package
        is_placed = self.in_layout or self.unread_kind
        release, package = (*self.path.split("/"), "", "")[:2] if is_placed else ("", "")
        return release, package


FILE_COLUMNS = ", ".join(ListedFile._fields)
"""What to select from `files` for a `ListedFile`; contents are left where they are."""

_INSERT = f"INSERT OR IGNORE INTO files VALUES ({', '.join('?' * (len(ListedFile._fields) + 1))})"


def names_in(content: Content, folders: tuple[str, str] | None) -> tuple[str, str] | None:
    """Release and package that a page says it is of; None if it is to be refused.

    Args:
        content: what is in it.
        folders: what its folders say. A page that says the same in its first lines is believed;
            any other is first made sure to be a page.
    """
    head = _HEAD.match(content.data)
    if head and folders == (head[2].decode(), head[1].decode()):
        return folders
    try:
        page = page_of(content)
    except RefusedError:
        return None
    return page.release, page.package


def list_files(
    folder: Path, paths: Sequence[Path], choice: Choice, workers: Workers
) -> Iterator[int]:
    """Write `files.db` into the staging folder.

    Args:
        folder: the staging folder.
        paths: what was named.
        choice: what is wanted of it; of the files that must be read, only these are listed.
        workers: who looks into folders and files.

    Yields:
        Numbers of files as they are listed.

    Raises:
        WrongUseError: a path is missing, or holds neither pages nor build caches.
    """
    caches: list[FoundCache] = []
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        files.execute("PRAGMA synchronous = OFF")
        files.execute(f"CREATE TABLE files ({FILE_COLUMNS}, content, PRIMARY KEY (real))")
        files.execute(f"CREATE TABLE indexes ({INDEX_COLUMNS})")
        for path in paths:
            number = 0
            for rows, found in _found(named(path), workers):
                files.executemany(_INSERT, ((*row, b"") for row in rows))
                caches += found
                number += len(rows) + len(found)
                yield len(rows)
            if not number:
                raise WrongUseError(
                    f"{path}: neither pages nor build caches here; expected"
                    f" <release>/<package>/{PAGE_NAME} or a mirror with an index below it"
                )
        indexes = _indexes(caches, choice, workers)
        files.executemany(_INSERT_INDEX, indexes)
        yield len(indexes)
        files.execute("CREATE INDEX by_path ON files (path)")
        while _read_others(files, choice, workers):
            # What was read can have the path of a page that was not.
            pass
        while _number_same_paths(files):
            # A number can give a file the path of another one that is really called so.
            pass
        files.execute("CREATE INDEX by_package ON files (package)")


class _Task(NamedTuple):
    """Pages to list, and folders whose pages are to be listed."""

    pages: Sequence[Found]
    folders: Sequence[Folder]


_Listing = tuple[Sequence[_Row], Sequence[FoundCache]]


def _found(top: Found | FoundCache | Folder, workers: Workers) -> Iterator[_Listing]:
    if isinstance(top, Found):
        yield [tuple(_listed(top))], ()
        return
    if isinstance(top, FoundCache):
        yield (), [top]
        return
    pages, folders, caches = share_out(top)
    yield (), caches
    tasks = chain(
        (_Task(part, ()) for part in _parts(pages)), (_Task((), part) for part in _parts(folders))
    )
    yield from workers.run(_list, tasks)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    size = len(items) // TASKS_OF_FOLDER + 1
    return (items[start : start + size] for start in range(0, len(items), size))


def _list(task: _Task) -> _Listing:
    rows: list[_Row] = []
    caches: list[FoundCache] = []
    for found in chain(task.pages, *map(walk, task.folders)):
        if isinstance(found, FoundCache):
            caches.append(found)
        else:
            # A plain tuple goes to another process in half the time.
            rows.append(tuple(_listed(found)))
    return rows, caches


def _indexes(caches: Sequence[FoundCache], choice: Choice, workers: Workers) -> list[ListedIndex]:
    """The indexes that are wanted, each once, in the order in which they count."""
    found = [index for listed in workers.run(_read_cache, caches) for index in listed]
    # Of one whose release cannot be told, nobody knows whether it is wanted.
    wanted = {i for i in found if i.release is None or choice.includes_release(i.release)}
    releases = releases_newest_first({index.release or "" for index in wanted})
    place = {release: number for number, release in enumerate(releases)}
    in_order = sorted(wanted, key=lambda index: _order_of_index(index, place))
    return list(_each_path_once(in_order))


def _read_cache(cache: FoundCache) -> list[ListedIndex]:
    return list(indexes_of(cache))


def _order_of_index(index: ListedIndex, place: Mapping[str, int]) -> tuple[object, ...]:
    is_stack = index.stack != ROOT
    # Which of two copies is read depends on neither the folders nor the order of the arguments.
    content = (index.unread_kind or "", index.sha256, -(index.layout or 0))
    return (place[index.release or ""], is_stack, index.stack or "", *content, index.file)


def _each_path_once(indexes: Iterable[ListedIndex]) -> Iterator[ListedIndex]:
    """Leave copies out, and refuse a second index of a stack that differs."""
    for path, group in groupby(indexes, key=attrgetter("path")):
        kept: dict[object, ListedIndex] = {}
        for index in group:
            kept.setdefault((index.sha256, index.unread_kind, index.unread_message), index)
        first, *others = kept.values()
        yield first
        for number, other in enumerate(others, start=2):
            numbered = other._replace(path=f"{path} ({number})")
            if not other.unread_kind:
                message = f"{first.file} is another index of this stack, and differs"
                numbered = numbered.refused(Refusal(0, "two-indexes", message))
            yield numbered


def _listed(found: Found) -> ListedFile:
    real, file = os.fsencode(found.real), as_text(found.file)
    layout = layout_path(found.real)
    path = as_text(layout or found.real.rsplit("/", 1)[-1])
    if found.leads_out is not None:
        message = "a link that leads out of the folder that was named; name what it leads to"
        if layout is None:
            path = as_text(os.path.relpath(found.file, found.leads_out))
        unread = ListedFile(real, file, path, layout is not None, False, None, None)
        return _placed(unread, no_content(Refusal(0, "unreadable", message)))
    release, package = path.split("/")[:2] if layout else (None, None)
    return ListedFile(real, file, path, layout is not None, False, release, package)


def _read_others(files: sqlite3.Connection, choice: Choice, workers: Workers) -> bool:
    """Read the files whose folders do not tell what they are of; keep those that are wanted.

    Returns:
        Whether there were any.
    """
    others = files.execute(
        f"SELECT {FILE_COLUMNS} FROM files WHERE NOT is_kept AND (NOT in_layout OR path IN"
        " (SELECT path FROM files GROUP BY path HAVING count(*) > 1))"
    ).fetchall()
    for rows in workers.run(_place_all, _parts(others)):
        wanted = [(*file, data) for file, data in rows if ListedFile(*file).is_chosen(choice)]
        files.executemany("DELETE FROM files WHERE real = ?", [file[:1] for file, _ in rows])
        files.executemany(_INSERT, wanted)
    return bool(others)


def _place_all(rows: Sequence[Any]) -> list[tuple[Any, bytes]]:
    read = ((ListedFile(*row), read_content(row[0], grammar.MAX_BYTES)) for row in rows)
    return [(tuple(_placed(file, content)), content.data) for file, content in read]


def _placed(file: ListedFile, content: Content) -> ListedFile:
    """A file of which it is known what it says it is of."""
    folders = (file.release, file.package) if file.release and file.package else None
    release, package = names_in(content, folders) or (None, None)
    path = file.path
    if not file.in_layout and release:
        path = f"{release}/{package}/{path}"
    return file._replace(
        path=path,
        is_placed=True,
        release=release,
        package=package,
        is_kept=True,
        unread_kind=content.refusal.kind if content.refusal else None,
        unread_message=content.refusal.message if content.refusal else None,
        sha256=content.sha256,
    )


def _number_same_paths(files: sqlite3.Connection) -> bool:
    """Give every file a path of its own.

    Copies with one path are one page. Different contents with one path are numbered in the order
    of their SHA-256, or of why they cannot be read, which depends on neither the folders nor the
    order of the arguments.
    """
    same_path = files.execute(
        "SELECT rowid, path,"
        " row_number() OVER (PARTITION BY path, sha256, unread_kind, unread_message"
        " ORDER BY rowid),"
        " dense_rank() OVER (PARTITION BY path ORDER BY sha256, unread_kind, unread_message)"
        " FROM files"
        " WHERE path IN (SELECT path FROM files GROUP BY path HAVING count(*) > 1)"
    ).fetchall()
    files.executemany(
        "DELETE FROM files WHERE rowid = ?", [(row[0],) for row in same_path if row[2] > 1]
    )
    files.executemany(
        "UPDATE files SET path = path || ' (' || ? || ')' WHERE rowid = ?",
        [(number, rowid) for rowid, _, copy, number in same_path if copy == 1 and number > 1],
    )
    return bool(same_path)
