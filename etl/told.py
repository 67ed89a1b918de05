"""What all sources say, read by the general readers alone into a private database, and judged.

`verify` compares a database with it. The facts wait on disk, where SQLite sorts them by hash, so
memory follows the largest page and the largest record, and not their number.
"""

import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from etl import problems
from etl.build import Progress, Request, find_sources, temporary_folder
from etl.errors import Refusal, RefusedError
from etl.order import releases_newest_first
from etl.records import Spec
from etl.sorting import listed_indexes, repeated, unpacked
from etl.sources.caches import Faults, record_at
from etl.sources.caches import general as caches
from etl.sources.caches.general import MORE_KEYS, Unknown
from etl.sources.caches.grammar import Record
from etl.sources.caches.listing import ListedIndex
from etl.sources.caches.sizes import read_sizes, size_tasks
from etl.sources.choice import Choice
from etl.sources.content import Content
from etl.sources.listing import FILE_COLUMNS, ListedFile
from etl.sources.pages import general, page_of
from etl.sources.pages.review import review
from etl.spelling import as_json
from etl.workers import Workers

Row = tuple[Any, ...]

_FILES_IN_TASK = 64
_BYTES_IN_TASK = 4 * 1024 * 1024
"""What is read is handed over whole; as many bytes of pages, and one page more, at a time."""

_ROWS_AT_ONCE = 1000

TABLES = """
CREATE TABLE page (
    id INTEGER PRIMARY KEY, kind TEXT, path TEXT, release TEXT, package TEXT, num_specs INTEGER,
    bytes INTEGER, sha256 TEXT, line INTEGER, refused INTEGER, number INTEGER, stack TEXT,
    layout INTEGER, version TEXT, num_records INTEGER, mirror TEXT, home TEXT,
    position INTEGER, copy INTEGER
);
CREATE TABLE entry (
    page INTEGER, line INTEGER, is_binary INTEGER, hash TEXT, package TEXT, version TEXT,
    compiler TEXT, os TEXT, platform TEXT, target TEXT, variants TEXT, size INTEGER,
    namespace TEXT, flags TEXT, build_spec TEXT, external TEXT, dependencies TEXT, stacks TEXT,
    tarball TEXT, compiler_from TEXT
);
CREATE TABLE size (
    page INTEGER, hash TEXT, size INTEGER, tarball TEXT, fault TEXT, PRIMARY KEY (page, hash)
) WITHOUT ROWID;
CREATE TABLE other (
    page INTEGER, hash TEXT, package TEXT, version TEXT, external TEXT
);
CREATE TABLE remark (page INTEGER, line INTEGER, kind TEXT, message TEXT);
CREATE TABLE unknown (page INTEGER, place TEXT, key TEXT, count INTEGER);
CREATE TABLE spec (hash TEXT PRIMARY KEY, package TEXT, is_binary INTEGER) WITHOUT ROWID;
CREATE TABLE overruled (page INTEGER, stack TEXT, hash TEXT);
CREATE TABLE named (dependency TEXT, number INTEGER, spec TEXT, name TEXT, path TEXT)
"""
"""What every source says; `page` has a row for an index too, and `entry` one for a record.

`other` has the records of packages that were not asked for.
"""


class _Task(NamedTuple):
    """Files to read, as rows of `files`."""

    folder: Path
    files: Sequence[Row]
    choice: Choice


class _Reading(NamedTuple):
    """What is said by one page, or why it is bad, as rows of the private database without ids."""

    page: Row
    entries: Sequence[Row] = ()
    remarks: Sequence[Row] = ()
    unknown: Sequence[Row] = ()


def read_sources(db: sqlite3.Connection, request: Request, progress: Progress) -> None:
    """Read all sources into the tables.

    Raises:
        WrongUseError: a path is missing or holds no sources, or nothing of a release or package
            that was asked for.
    """
    with (
        temporary_folder() as folder,
        Workers(request.jobs) as workers,
    ):
        total, done = find_sources(folder, request, workers, progress), 0
        for listed in _read_indexes(db, folder, request.choice):
            done += listed
            progress("Reading", done, total)
        for read, readings in workers.run(_read_files, _tasks(folder, request.choice)):
            _keep(db, readings)
            done += read
            progress("Reading", done, total)
    releases = {name for (name,) in db.execute("SELECT release FROM page")}
    packages = {name for (name,) in db.execute("SELECT DISTINCT package FROM entry")}
    packages |= {name for (name,) in db.execute("SELECT package FROM page")}
    request.choice.check(releases, packages)


def _tasks(folder: Path, choice: Choice) -> Iterator[_Task]:
    with closing(sqlite3.connect(folder / "files.db")) as files:
        rows = files.execute(f"SELECT {FILE_COLUMNS} FROM files ORDER BY path")
        part: list[Row] = []
        size = 0
        for row in rows:
            part.append(row)
            size += _size(row[0])
            if len(part) == _FILES_IN_TASK or size > _BYTES_IN_TASK:
                yield _Task(folder, part, choice)
                part, size = [], 0
        yield _Task(folder, part, choice)


def _size(real: bytes) -> int:
    try:
        return Path(os.fsdecode(real)).stat().st_size
    except OSError:
        # It is told when it is read.
        return 0


def _read_files(task: _Task) -> tuple[int, list[_Reading]]:
    files = (ListedFile(*row) for row in task.files)
    readings = (_reading(file, file.read(task.folder), task.choice) for file in files)
    return len(task.files), [reading for reading in readings if reading]


def _reading(file: ListedFile, content: Content, choice: Choice) -> _Reading | None:
    facts = (len(content.data), content.sha256)
    try:
        page = page_of(content, general.read_page)
    except RefusedError as error:
        names = file.names_to_choose_by()
        if not file.is_chosen(choice):
            return None
        row = ("page", file.path, *names, None, *facts, 0, 1)
        return _Reading(row, remarks=error.refusals)
    if not file.is_chosen(choice, page):
        return None
    return _Reading(
        (
            "page",
            file.path,
            page.release,
            page.package,
            len(page.specs),
            *facts,
            page.specs_line,
            0,
        ),
        [(page.specs_line, 1, *_entry(page.package, spec)) for spec in page.specs],
        [
            (found.line, found.kind, found.message)
            for found in review(file.path, page, in_layout=file.in_layout)
        ],
        [(*key, count) for key, count in page.unknown.items()],
    )


def _entry(package: str, spec: Spec) -> Row:
    facts = spec.facts
    system = (facts.os, facts.platform, facts.target)
    stacks = as_json(spec.stacks.names)
    return (
        *(spec.hash, package, facts.version, facts.compiler, *system),
        *(facts.variants.json, facts.size, *[None] * 5, stacks, spec.tarball, None),
    )


def _keep(db: sqlite3.Connection, readings: Iterable[_Reading]) -> None:
    for reading in readings:
        page = db.execute(
            "INSERT INTO page"
            " (kind, path, release, package, num_specs, bytes, sha256, line, refused)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            reading.page,
        ).lastrowid
        for table, rows in (
            ("entry", reading.entries),
            ("remark", reading.remarks),
            ("unknown", reading.unknown),
        ):
            if rows:
                marks = ", ".join("?" * (len(rows[0]) + 1))
                db.executemany(
                    f"INSERT INTO {table} VALUES ({marks})", [(page, *row) for row in rows]
                )


def _read_indexes(db: sqlite3.Connection, folder: Path, choice: Choice) -> Iterator[int]:
    """Read all indexes, record by record."""
    for number, listed in listed_indexes(folder):
        (page,) = db.execute(
            "INSERT INTO page (kind, path, release, bytes, sha256, line, refused, number, stack,"
            " layout, mirror, home) VALUES ('index', ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?) RETURNING id",
            [
                *(listed.path, listed.release, listed.bytes, listed.sha256, number),
                *(listed.stack, listed.layout, listed.mirror, listed.home),
            ],
        ).fetchone()
        refusals = _IndexReader(db, page, listed, choice).read(folder, number)
        if refusals:
            rows = [(page, *refusal) for refusal in refusals]
            db.executemany("INSERT INTO remark VALUES (?, ?, ?, ?)", rows)
            db.execute("UPDATE page SET refused = 1 WHERE id = ?", [page])
            db.execute("DELETE FROM entry WHERE page = ?", [page])
            db.execute("DELETE FROM other WHERE page = ?", [page])
        yield 1


class _IndexReader:
    """Reads one index."""

    def __init__(
        self, db: sqlite3.Connection, page: int, listed: ListedIndex, choice: Choice
    ) -> None:
        self._db = db
        self._page = page
        self._listed = listed
        self._packages = choice.packages
        self._unknown: Unknown = Counter()
        self._faults = Faults()
        self._silent = 0

    def read(self, folder: Path, number: int) -> list[Refusal]:
        """Read all records; why the index is refused, if it is."""
        listed = self._listed
        if listed.refusal:
            return [listed.refusal]
        try:
            with unpacked(folder, number, listed) as data:
                version = caches.read_version(data)
                self._db.execute("UPDATE page SET version = ? WHERE id = ?", [version, self._page])
                found = caches.spans(data, self._unknown)
                arguments = (version, self._unknown, self._faults, caches.read_record)
                read = (record_at(s, data[s.start : s.end], *arguments) for s in found)
                self._keep(record for record in read if record)
        except RefusedError as error:
            self._faults.add(error)
        if refusals := self._faults.refusals() or self._repeated():
            return refusals
        self._keep_others()
        return []

    def _keep(self, records: Iterator[Record]) -> None:
        count = 0
        while part := list(islice(records, _ROWS_AT_ONCE)):
            count += len(part)
            self._silent += sum(record.in_buildcache is None for record in part)
            chosen = [r for r in part if not self._packages or r.package in self._packages]
            marks = ", ".join("?" * 20)
            self._db.executemany(f"INSERT INTO entry VALUES ({marks})", map(self._entry_of, chosen))
            self._db.executemany(
                "INSERT INTO other VALUES (?, ?, ?, ?, ?)",
                [
                    (self._page, r.hash, r.package, r.facts.version, r.facts.external)
                    for r in part
                    if self._packages and r.package not in self._packages
                ],
            )
        self._db.execute("UPDATE page SET num_records = ? WHERE id = ?", [count, self._page])

    def _entry_of(self, record: Record) -> Row:
        facts = record.facts
        system = (facts.os, facts.platform, facts.target)
        more = (facts.namespace, facts.flags, facts.build_spec, facts.external)
        return (
            *(self._page, 0, int(record.is_binary), record.hash, record.package),
            *(facts.version, facts.compiler, *system, facts.variants.json, None, *more),
            *(as_json(facts.dependencies), as_json([self._listed.stack]), None),
            record.compiler_from,
        )

    def _repeated(self) -> list[Refusal]:
        rows = self._db.execute(
            "SELECT hash FROM (SELECT page, hash FROM entry UNION ALL SELECT page, hash FROM other)"
            " WHERE page = ? GROUP BY hash HAVING count(*) > 1 ORDER BY hash",
            [self._page],
        )
        return repeated(spec for (spec,) in rows.fetchall())

    def _keep_others(self) -> None:
        """Keep what is known of the index besides its records."""
        page = self._page
        self._db.execute(
            "UPDATE page SET num_specs ="
            " (SELECT count(*) FROM entry WHERE page = ? AND is_binary) WHERE id = ?",
            [page, page],
        )
        remarks = [("in-buildcache", problems.silent(self._silent))] if self._silent else []
        if more := self._unknown.pop(MORE_KEYS, 0):
            remarks.append(("unknown-key", problems.unknown_keys(more)))
        self._db.executemany(
            "INSERT INTO remark VALUES (?, 0, ?, ?)", [(page, *remark) for remark in remarks]
        )
        self._db.executemany(
            "INSERT INTO unknown VALUES (?, ?, ?, ?)",
            [(page, *key, count) for key, count in self._unknown.items()],
        )
        for task in size_tasks(page, self._listed):
            self._db.executemany(
                "INSERT OR IGNORE INTO size VALUES (?, ?, ?, ?, ?)",
                [(page, *size) for size in read_sizes(task)],
            )


def judge(db: sqlite3.Connection) -> None:
    """Go through the good sources in the order in which they count: the first one wins.

    That is newest release first, and in it the indexes, then pages by path.
    """
    shared = _shared_hashes(db)
    owners: dict[str, tuple[str, str]] = {}
    verdicts: list[tuple[bool, int, bool, int]] = []
    remarks: list[Row] = []
    good = "SELECT release, id, path, package, sha256, line FROM page WHERE NOT refused"
    releases = {release for release, *_ in db.execute(good)}
    for release in releases_newest_first(releases):
        accepted: dict[str, tuple[str, str]] = {}
        in_order = db.execute(
            f"{good} AND release = ? ORDER BY number IS NULL, number, path", [release]
        )
        for _, page, path, package, sha256, line in in_order:
            first, same = accepted.get(package, (path, sha256))
            hashes = shared.get(page, {})
            other = next((h for h in sorted(hashes) if _is_of_other(h, hashes, owners)), None)
            if same != sha256:
                twin = f"{first} is another page of {package} in {release}"
                remarks.append((page, line, "two-pages", twin))
            elif other:
                owner = f"hash {other} is of package {owners[other][0]} in {owners[other][1]}"
                remarks.append((page, line, "two-packages", owner))
            else:
                for spec, name in hashes.items():
                    owners.setdefault(spec, (name, path))
            refused = bool(other) or same != sha256
            verdicts.append((refused, len(verdicts), package in accepted, page))
            if not refused and package is not None:
                accepted.setdefault(package, (path, sha256))
    db.executemany("UPDATE page SET refused = ?, position = ?, copy = ? WHERE id = ?", verdicts)
    db.executemany(
        "DELETE FROM remark WHERE page = ?", [(page,) for refused, *_, page in verdicts if refused]
    )
    db.executemany("INSERT INTO remark VALUES (?, ?, ?, ?)", remarks)
    _resolve_compilers(db)
    _remark_sizes(db)


def _is_of_other(
    spec: str, hashes: Mapping[str, str], owners: Mapping[str, tuple[str, str]]
) -> bool:
    return spec in owners and owners[spec][0] != hashes[spec]


def _shared_hashes(db: sqlite3.Connection) -> Mapping[int, Mapping[str, str]]:
    """The hashes that more than one package has, and their packages, by source."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for page, spec, package in db.execute(
        "SELECT page, hash, package FROM entry WHERE hash IN ("
        " SELECT hash FROM entry GROUP BY hash HAVING min(package) <> max(package))"
    ):
        found[page][spec] = package
    return found


def _resolve_compilers(db: sqlite3.Connection) -> None:
    """Give a compiler that is a dependency its version: that of the record that counts."""
    db.execute(
        "CREATE TABLE compiler AS SELECT hash, version, min(number) FROM ("
        " SELECT hash, entry.version, number FROM entry JOIN page ON page.id = page"
        "  WHERE NOT refused AND kind = 'index'"
        " UNION ALL SELECT hash, other.version, number FROM other JOIN page ON page.id = page"
        "  WHERE NOT refused"
        ") WHERE hash IN (SELECT compiler_from FROM entry) GROUP BY hash"
    )
    db.execute("CREATE UNIQUE INDEX compiler_by_hash ON compiler (hash)")
    db.execute(
        "UPDATE entry SET compiler = compiler || '@' ||"
        " (SELECT version FROM compiler WHERE hash = compiler_from)"
        " WHERE compiler_from IN (SELECT hash FROM compiler)"
    )


def _remark_sizes(db: sqlite3.Connection) -> None:
    """Note which binaries of unknown size have something that should have told it."""
    db.execute(
        "INSERT INTO remark SELECT page, 0, 'size-unknown', fault"
        " FROM entry JOIN size USING (page, hash) JOIN page ON page.id = page"
        " WHERE NOT refused AND is_binary AND fault IS NOT NULL"
    )
