"""Which process reads which package: sources → merge → staging.

First the records of all indexes are sorted by package. Then, package by package, they are read
together with its pages.
Every page in upstream's layout is opened once, together with the other pages of the package that
its folders name; what was read when it was listed is not opened again.
Then the packages are read again, and no others, of which

- a page turned up in the folders of another package or release, or
- a page is to be refused because one of its hashes is of another package.

Where an index is to be refused because of that, all packages are read again.
"""

import heapq
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from etl.errors import Refusal, RefusedError, changed
from etl.gathering import Gatherer, gathering
from etl.indexed import stage_indexes
from etl.merge import PackageRows, SpecRows, merge, package_rows, spec_rows
from etl.order import release_key, releases_newest_first
from etl.problems import Problem
from etl.records import Source
from etl.sorting import (
    SortedIndex,
    check_unchanged,
    count_records,
    records_of,
    refuse_indexes,
    sort_records,
)
from etl.sources.choice import Choice
from etl.sources.content import Content
from etl.sources.listing import FILE_COLUMNS, ListedFile
from etl.sources.pages import page_of
from etl.sources.pages.grammar import Page
from etl.sources.pages.review import review, review_path
from etl.spelling import as_json
from etl.staging import Shard, own_shard, staging, take_back, take_misplaced
from etl.workers import Workers

FILES_IN_TASK = 128
"""Files in a task: many enough to be worth handing over, few enough to share fairly."""

_RECORDS_LIKE_A_FILE = 50
"""So many records of indexes are as much work as a page."""

# A page without names will be refused; its own path keeps it apart from all packages.
_GROUP = "coalesce(package, '/' || path)"


class Task(NamedTuple):
    """Groups of files to read; each has all files of a package, newest release first."""

    folder: Path
    groups: tuple[tuple[str, tuple[ListedFile, ...]], ...]
    choice: Choice
    refused: Mapping[str, str]


@dataclass
class _Read:
    """What is known of the sources while they are read.

    Attributes:
        folder: the staging folder.
        choice: which to read.
        indexes: all indexes, in the order in which they count.
        refused: the sources that are refused because of others, and why.
    """

    folder: Path
    choice: Choice
    indexes: Sequence[SortedIndex]
    refused: dict[str, str]


def read_all(folder: Path, choice: Choice, workers: Workers) -> Iterator[int]:
    """Read the files listed in `files.db` into the shards of the staging folder.

    Args:
        folder: the staging folder.
        choice: which to read.
        workers: who reads.

    Yields:
        Numbers of sources as they are read for the first time.

    Raises:
        ChangedError: a page is not what it was a moment before.
        WrongUseError: there is nothing of a release or package that was asked for.
    """
    indexes = yield from sort_records(folder, workers)
    read = _Read(folder, choice, indexes, {})
    yield from workers.run(_read_groups, _tasks(read))
    while again := _place(folder) or _clashing(read):
        _remember_hashes(folder, again)
        take_back(folder, again)
        for _ in workers.run(_read_groups, _tasks(read, again)):
            pass
    check_unchanged(read.indexes)
    with own_shard(folder) as shard:
        stage_indexes(shard, folder, choice, read.indexes)
    with staging(folder) as staged:
        found = staged.execute("SELECT by_release, by_package FROM staged_sources").fetchall()
    packages = {package for package, _ in count_records(folder)}
    choice.check({release for release, _ in found}, packages | {package for _, package in found})


def _tasks(read: _Read, only: Collection[str] = ()) -> Iterator[Task]:
    groups: list[tuple[str, tuple[ListedFile, ...]]] = []
    size = 0
    for group, files, records in _groups(read, only):
        groups.append((group, files))
        size += len(files) + records // _RECORDS_LIKE_A_FILE
        if size >= FILES_IN_TASK:
            yield Task(read.folder, tuple(groups), read.choice, read.refused)
            groups, size = [], 0
    yield Task(read.folder, tuple(groups), read.choice, read.refused)


def _groups(
    read: _Read, only: Collection[str]
) -> Iterator[tuple[str, tuple[ListedFile, ...], int]]:
    """The files of each package, or only of some packages, and how many records it has."""
    counts = dict(count_records(read.folder))
    if read.choice.packages or only:
        wanted = {*(only or counts)} & {*(read.choice.packages or counts)}
        counts = {package: number for package, number in counts.items() if package in wanted}
    for group, files in _files(read.folder, only):
        yield group, files, counts.pop(group, 0)
    for package, number in counts.items():
        yield package, (), number


def _files(folder: Path, only: Collection[str]) -> Iterator[tuple[str, tuple[ListedFile, ...]]]:
    with closing(sqlite3.connect(folder / "files.db")) as files:
        chosen = f"WHERE {_GROUP} IN (SELECT value FROM json_each(?)) OR ? = '[]'"
        rows = files.execute(
            f"SELECT {_GROUP}, {FILE_COLUMNS} FROM files {chosen} ORDER BY 1, path",
            [as_json(sorted(only))] * 2,
        )
        for group, members in groupby(rows, key=itemgetter(0)):
            listed = [ListedFile(*row[1:]) for row in members]
            listed.sort(key=lambda file: release_key(file.release or ""), reverse=True)
            yield group, tuple(listed)


def _read_groups(task: Task) -> int:
    with own_shard(task.folder) as shard, gathering(task.folder) as gatherer:
        for group, files in task.groups:
            with shard.group(group):
                _GroupReader(shard, task, gatherer).read(group, files)
    return sum(len(files) for _, files in task.groups)


class _GroupReader:
    """Reads the pages of one package into a shard."""

    def __init__(self, shard: Shard, task: Task, gatherer: Gatherer | None) -> None:
        self._shard = shard
        self._gatherer = gatherer
        self._folder = task.folder
        self._choice = task.choice
        self._refused = task.refused
        self._problems: list[Problem] = []
        self._sources: list[tuple[object, ...]] = []
        self._unknown: list[tuple[str, str, str, int]] = []

    def read(self, group: str, files: Sequence[ListedFile]) -> None:
        merged = merge(group, self._all(group, files))
        if merged.releases or merged.nodes:
            parts: Iterator[SpecRows | PackageRows] = chain(
                spec_rows(merged), [package_rows(merged)]
            )
            for rows in parts:
                for table in fields(rows):
                    self._shard.insert(table.name, getattr(rows, table.name))
        self._shard.insert("sources", self._sources)
        self._shard.insert("unknown_keys", self._unknown)
        self._shard.insert(
            "problems",
            [
                (found.source, found.line, found.severity, found.kind, found.message)
                for found in (*self._problems, *merged.problems)
            ],
        )

    def _all(self, group: str, files: Sequence[ListedFile]) -> Iterator[Source]:
        """What indexes and pages say of a package, in the order in which they count."""
        packages = self._choice.packages
        if self._gatherer is None or (packages and group not in packages):
            yield from self._accepted(files)
            return
        gathered = self._gatherer.gather(group)
        self._problems.extend(gathered.problems)
        releases = {file.release for file in files if file.release}
        in_order = releases_newest_first({*releases, *(s.release for s in gathered.sources)})
        place = {release: number for number, release in enumerate(in_order)}
        # A page is read when its turn comes, so that not all of a package's are there at one time.
        yield from heapq.merge(
            gathered.sources,
            self._accepted(files),
            key=lambda source: (place[source.release], source.stack is None),
        )

    def _accepted(self, files: Iterable[ListedFile]) -> Iterator[Source]:
        """The pages that add facts, in the order given, one for each release."""
        first: dict[str, tuple[ListedFile, str]] = {}
        for file in files:
            content = self._read(file)
            try:
                page = page_of(content)
            except RefusedError as error:
                self._refuse(file, content, error.refusals)
                continue
            if not file.is_chosen(self._choice, page):
                continue
            if not file.is_placed and (file.release, file.package) != (page.release, page.package):
                row = (file.real, page.release, page.package, content.data, content.sha256)
                self._shard.insert("misplaced", [row])
                continue
            other, sha256 = first.get(page.release, (file, content.sha256))
            if file.path in self._refused:
                reason = Refusal(page.specs_line, "two-packages", self._refused[file.path])
                self._refuse(file, content, [reason], page)
            elif sha256 != content.sha256:
                message = f"{other.path} is another page of {page.package} in {page.release}"
                reason = Refusal(page.specs_line, "two-pages", message)
                self._refuse(file, content, [reason], page)
            else:
                self._accept(file, content, page)
                if other is file:
                    first[page.release] = (file, content.sha256)
                    self._review(file, page)
                    yield Source(file.path, page.specs_line, page.release, page.specs)
                elif file.in_layout:
                    self._problems.extend(review_path(file.path, page))

    def _read(self, file: ListedFile) -> Content:
        content = file.read(self._folder)
        if file.sha256 not in (None, content.sha256):
            raise changed(file.file)
        return content

    def _refuse(
        self,
        file: ListedFile,
        content: Content,
        reasons: Iterable[Refusal],
        page: Page | None = None,
    ) -> None:
        if file.is_chosen(self._choice, page):
            by = file.names_to_choose_by(page)
            self._problems.extend(Problem(file.path, *reason) for reason in reasons)
            facts = (len(content.data), content.sha256)
            self._sources.append((file.path, "page", *[None] * 7, *facts, *by))

    def _accept(self, file: ListedFile, content: Content, page: Page) -> None:
        names = (page.release, page.package)
        facts = (len(page.specs), len(content.data), content.sha256)
        self._sources.append((file.path, "page", *names, *[None] * 4, *facts, *names))

    def _review(self, file: ListedFile, page: Page) -> None:
        self._problems.extend(review(file.path, page, in_layout=file.in_layout))
        self._unknown.extend((*key, file.path, n) for key, n in page.unknown.items())


def _place(folder: Path) -> set[str]:
    """Give pages in the folders of others to their own packages; these are returned."""
    packages = set()
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        for release, package, content, sha256, real in take_misplaced(folder):
            packages.add(package)
            files.execute(
                "UPDATE files SET is_placed = 1, is_kept = 1, release = ?, package = ?,"
                " content = ?, sha256 = ? WHERE real = ?",
                [release, package, content, sha256, real],
            )
    return packages


def _clashing(read: _Read) -> set[str]:
    """Refuse sources that share a hash with another package.

    Returns:
        The groups that are to be read again.
    """
    with staging(read.folder) as staged:
        found = _clashes(staged, read)
        read.refused |= found
        packages = {
            package
            for path, package in staged.execute("SELECT path, package FROM staged_sources")
            if path in found
        }
    indexes = [index for index in read.indexes if index.listed.path in found]
    if not indexes:
        return packages
    every = {group for group, *_ in _groups(read, ())}
    for index in indexes:
        index.refusals.append(Refusal(0, "two-packages", found[index.listed.path]))
    refuse_indexes(read.folder, read.indexes)
    return every


def _remember_hashes(folder: Path, packages: Collection[str]) -> None:
    """Note what was read of the files of these packages, which will be opened again."""
    with staging(folder) as staged:
        hashes = dict(staged.execute("SELECT path, sha256 FROM staged_sources"))
    with closing(sqlite3.connect(folder / "files.db")) as files, files:
        for package in packages:
            rows = files.execute(
                "SELECT path FROM files WHERE package = ? AND sha256 IS NULL", [package]
            ).fetchall()
            files.executemany(
                "UPDATE files SET sha256 = ? WHERE path = ?",
                [(hashes.get(path), path) for (path,) in rows],
            )


def _clashes(staged: sqlite3.Connection, read: _Read) -> dict[str, str]:
    """Sources to refuse because a hash of theirs belongs to another package in an earlier one.

    Goes through the sources that share such hashes in the order in which they count: newest release
    first, in it indexes first, then pages by path. Stops behind a refused page that kept another
    page of the same release and package out, for that one must have its turn before the pages
    behind it; and behind a refused index, without which the others may be right.

    Args:
        staged: a connection of `staging`.
        read: which sources are refused already.

    Returns:
        The sources and the reasons; empty if every hash has one package.
    """
    staged.execute(
        "CREATE TEMP TABLE shared AS SELECT hash FROM staged_nodes"
        " GROUP BY hash HAVING count(*) > 1"
    )
    if not staged.execute("SELECT 1 FROM shared LIMIT 1").fetchone():
        return {}
    told: dict[_Shared, dict[str, str]] = {}
    for spec, release, path, package in staged.execute(_SHARED_HASHES):
        told.setdefault(_Shared(release, 0, path), {})[spec] = package
    shared = [spec for (spec,) in staged.execute("SELECT hash FROM shared")]
    for spec, number, package in records_of(read.folder, shared):
        listed = read.indexes[number - 1].listed
        told.setdefault(_Shared(listed.release or "", number, listed.path), {})[spec] = package
    owners: dict[str, tuple[str, str]] = {}
    found: dict[str, str] = {}
    for source in _in_order(told):
        hashes = told[source]
        other = next((h for h in sorted(hashes) if _is_of_other(h, hashes[h], owners)), None)
        if other is None:
            # Where an index has a hash, the page seems to have it too, but comes behind it.
            for spec, package in hashes.items():
                owners.setdefault(spec, (package, source.path))
            continue
        found[source.path] = f"hash {other} is of package {owners[other][0]} in {owners[other][1]}"
        if source.number or _has_twin(staged, source.path, {*read.refused, *found}):
            break
    return found


def _is_of_other(spec: str, package: str, owners: Mapping[str, tuple[str, str]]) -> bool:
    return spec in owners and owners[spec][0] != package


class _Shared(NamedTuple):
    """A source that shares a hash with another package; `number` is 0 of a page."""

    release: str
    number: int
    path: str


def _in_order(sources: Iterable[_Shared]) -> list[_Shared]:
    found = list(sources)
    releases = releases_newest_first({source.release for source in found})
    place = {release: number for number, release in enumerate(releases)}
    return sorted(found, key=lambda one: (place[one.release], not one.number, one[1:]))


_SHARED_HASHES = """
SELECT specs.hash, accepted.release, accepted.path, accepted.package
FROM shared JOIN staged_specs AS specs USING (hash)
JOIN staged_spec_releases AS present
    ON present.spec = specs.hash AND present.package = specs.package
JOIN staged_sources AS accepted
    ON accepted.package = specs.package AND accepted.release = present.release
"""


def _has_twin(staged: sqlite3.Connection, path: str, refused: Collection[str]) -> bool:
    twins = staged.execute(
        "SELECT twin.path FROM files.files AS page JOIN files.files AS twin"
        " ON twin.release = page.release AND twin.package = page.package"
        " WHERE page.path = ? AND twin.path <> page.path"
        # Its copies are refused with it.
        " AND twin.path NOT IN (SELECT copy.path FROM staged_sources AS own"
        " JOIN staged_sources AS copy USING (release, package, sha256) WHERE own.path = page.path)",
        [path],
    )
    return any(twin not in refused for (twin,) in twins)
