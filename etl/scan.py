"""List the files that should be pages: path in the database, size, SHA-256, release and package.

Only the first lines are parsed here. It is enough to see whether anything changed since the last
build, and to hand all pages of a package to one process.
"""

import hashlib
import os
import re
import sqlite3
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from etl import extract
from etl.extract import PageError, Refusal
from etl.find import (
    PAGE_NAME,
    Folder,
    Found,
    Search,
    WrongUseError,
    as_text,
    layout_path,
    named,
    share_out,
    walk,
)
from etl.workers import Workers

TASKS_OF_FOLDER = 128
"""Into so many tasks at most a folder is shared out: the processes are to end at one time."""

# The first lines of an ordinary page; any other page is parsed whole for its names.
_HEAD = re.compile(
    rb'---\ntitle: "([\w.+-]+)"\nlayout: cache\ncategories: \[package, ([\w.+-]+)\]\n', re.ASCII
)


Item = TypeVar("Item")
_Row = tuple[object, ...]


class ScannedFile(NamedTuple):
    """A file that should be a page; the columns of the table `files` of the staging folder.

    Attributes:
        real: absolute path without links, as bytes since it need not be UTF-8.
        file: as the person who named it would name it, for messages.
        path: its path in the database.
        in_layout: whether the folders in `path` name a release and a package.
        bytes: its size; 0 if it cannot be read or is too large.
        sha256: of its content; of no bytes if it cannot be read or is too large.
        release: from the front matter; None for a page that will be refused.
        package: from the front matter; None for a page that will be refused.
    """

    real: bytes
    file: str
    path: str
    in_layout: bool
    bytes: int
    sha256: str
    release: str | None
    package: str | None


def read_file(real: bytes) -> bytes:
    """The content of a file.

    Raises:
        PageError: it cannot be read, or is larger than any page.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:  # noqa: PTH123
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise PageError(Refusal(0, "unreadable", "not a regular file"))
            if status.st_size > extract.MAX_BYTES:
                raise PageError(extract.too_large(status.st_size))
            # It may grow meanwhile, or be one of the kernel's, which have no size and no end.
            return file.read(status.st_size + 1)
    except OSError as error:
        raise PageError(Refusal(0, "unreadable", f"cannot be read: {error.strerror}")) from None


class _Task(NamedTuple):
    """Pages to list, and folders whose pages are to be listed."""

    pages: Sequence[Found]
    folders: Sequence[Folder]


def _scan(task: _Task) -> tuple[list[_Row], list[Folder]]:
    """The files, and the links to folders that were met."""
    found = [walk(folder) for folder in task.folders]
    pages = chain(task.pages, *(below.pages for below in found))
    links = [link for below in found for link in below.links]
    # A plain tuple goes to another process in half the time.
    return [tuple(_scan_file(page)) for page in pages], links


def _scan_file(found: Found) -> ScannedFile:
    real = os.fsencode(found.real)
    file = as_text(found.file)
    layout = layout_path(found.real)
    name = as_text(layout or found.real.rsplit("/", 1)[-1])
    data, release, package = b"", None, None
    with suppress(PageError):
        data = read_file(real)
        release, package = _names(data, layout)
    path = f"{release}/{package}/{name}" if layout is None and release else name
    digest = hashlib.sha256(data).hexdigest()
    return ScannedFile(real, file, path, layout is not None, len(data), digest, release, package)


def _names(data: bytes, layout: str | None) -> tuple[str | None, str | None]:
    """Release and package; a page that its folders do not name so is first made sure to be one."""
    head = _HEAD.match(data)
    if head:
        release, package = head[2].decode(), head[1].decode()
        if layout and layout.split("/")[:2] == [release, package]:
            return release, package
    try:
        page = extract.read_page(data)
    except PageError:
        return None, None
    return page.release, page.package


def scan(folder: Path, paths: Sequence[Path], workers: Workers) -> Iterator[int]:
    """Write `files.db` into the staging folder.

    Yields:
        Numbers of files as they are listed.

    Raises:
        WrongUseError: a path is missing or holds no pages.
    """
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        files.execute("PRAGMA synchronous = OFF")
        columns = ", ".join(ScannedFile._fields)
        files.execute(f"CREATE TABLE files ({columns}, PRIMARY KEY (real))")
        insert = f"INSERT OR IGNORE INTO files VALUES ({_marks(len(ScannedFile._fields))})"
        for path in paths:
            number = 0
            for rows in _scanned(named(path), workers):
                files.executemany(insert, rows)
                number += len(rows)
                yield len(rows)
            if not number:
                raise WrongUseError(
                    f"{path}: no pages here; expected <release>/<package>/{PAGE_NAME} below it"
                )


def _scanned(top: Found | Folder, workers: Workers) -> Iterator[Sequence[_Row]]:
    if isinstance(top, Found):
        yield [_scan_file(top)]
        return
    search = Search(top)
    for folder in search:
        pages, folders, links = share_out(folder)
        for rows, met in workers.run(_scan, _tasks(pages, folders)):
            yield rows
            links += met
        search.follow(links)


def _tasks(pages: Sequence[Found], folders: Sequence[Folder]) -> Iterator[_Task]:
    yield from (_Task(part, ()) for part in _parts(pages))
    yield from (_Task((), part) for part in _parts(folders))


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    size = len(items) // TASKS_OF_FOLDER + 1
    return (items[start : start + size] for start in range(0, len(items), size))


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def tell_apart(folder: Path) -> None:
    """Give every file that is left in `files.db` a path of its own.

    Copies with one path are one page. Different contents with one path are numbered in the order
    of their SHA-256, which depends on neither the folders nor the order of the arguments.
    """
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        while _number_same_paths(files):
            # A number can give a file the path of another one that is really called so.
            pass


def _number_same_paths(files: sqlite3.Connection) -> bool:
    files.execute(
        "DELETE FROM files WHERE rowid NOT IN (SELECT min(rowid) FROM files GROUP BY path, sha256)"
    )
    same_path = files.execute(
        "SELECT rowid, row_number() OVER (PARTITION BY path ORDER BY sha256) FROM files WHERE path"
        " IN (SELECT path FROM files GROUP BY path HAVING count(*) > 1)"
    ).fetchall()
    files.executemany(
        "UPDATE files SET path = path || ' (' || ? || ')' WHERE rowid = ?",
        [(number, rowid) for rowid, number in same_path if number > 1],
    )
    return bool(same_path)


def select(folder: Path, releases: Collection[str], packages: Collection[str]) -> None:
    """Keep only the files of these releases and packages; an empty collection keeps all.

    A page without readable names counts by its folders.

    Raises:
        WrongUseError: there is no page of a release or package that was asked for.
    """
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        files.create_function("folder", 2, lambda path, part: path.split("/")[part])
        for column, part, names in (("release", 0, releases), ("package", 1, packages)):
            wanted = [as_text(name) for name in names]
            if not wanted:
                continue
            name = f"coalesce({column}, CASE WHEN in_layout THEN folder(path, {part}) END, '')"
            marks = _marks(len(wanted))
            files.execute(f"DELETE FROM files WHERE {name} NOT IN ({marks})", wanted)
            kept = {row[0] for row in files.execute(f"SELECT DISTINCT {name} FROM files")}
            if missing := sorted(set(wanted) - kept):
                raise WrongUseError(f"no page of {column} {', '.join(missing)} in these paths")
