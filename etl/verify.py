"""Prove that a database holds every fact of the pages and nothing else.

What the pages say is read by the general reader alone, which the build takes only for what is out
of the ordinary. It is then worked out anew, spec by spec, and compared with every row of every
table. The facts wait in a private database on disk, where SQLite sorts them by hash, so memory
follows the largest page and not their number.
"""

import json
import os
import sqlite3
import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from etl import mirrors, problems, schema
from etl.build import Progress, Request, check_at_rest, find_pages, temporary_folder
from etl.errors import FailedError, RefusedError, WrongUseError
from etl.order import newest_first, parse_release, releases_newest_first
from etl.problems import KINDS
from etl.records import Spec
from etl.schema import Table
from etl.sources.choice import Choice
from etl.sources.content import Content
from etl.sources.listing import FILE_COLUMNS, ListedFile
from etl.sources.pages import general, page_of
from etl.sources.pages.review import review
from etl.spelling import as_json, spec_text, split_compiler, variant_values
from etl.targets import all_targets
from etl.unchanged import is_wal, read_only_uri, tool_fingerprint
from etl.workers import Workers

Row = tuple[Any, ...]

_FILES_IN_TASK = 64
_BYTES_IN_TASK = 4 * 1024 * 1024
"""What is read is handed over whole; as many bytes of pages, and one page more, at a time."""

_STATISTICS = ("sqlite_stat1", "sqlite_stat4")

_FACTS = """
CREATE TABLE page (
    id INTEGER PRIMARY KEY, path TEXT, release TEXT, package TEXT, num_specs INTEGER,
    bytes INTEGER, sha256 TEXT, line INTEGER, refused INTEGER, position INTEGER, copy INTEGER
);
CREATE TABLE entry (
    page INTEGER, line INTEGER, hash TEXT, version TEXT, compiler TEXT, os TEXT, platform TEXT,
    target TEXT, variants TEXT, size INTEGER, stacks TEXT, tarball TEXT
);
CREATE TABLE remark (page INTEGER, line INTEGER, kind TEXT, message TEXT);
CREATE TABLE unknown (page INTEGER, place TEXT, key TEXT, count INTEGER);
CREATE TABLE spec (hash TEXT PRIMARY KEY) WITHOUT ROWID;
"""


def verify(
    database: Path, request: Request, progress: Progress = lambda step, done, total: None
) -> Iterator[str]:
    """Compare a database with the pages it came from.

    Args:
        database: the file that a build wrote; it is only read.
        request: what the build was asked to read.
        progress: told of each step.

    Yields:
        One line for each difference: table, key, column, what the pages say and what the database
        says. Nothing at all if the database is proved right.

    Raises:
        FailedError: the database is damaged, or lacks a table or column.
        WrongUseError: there is no such database of this tool; a path is missing or holds no pages,
            or nothing of a release or package that was asked for.
    """
    try:
        with closing(_open(database)) as db:
            yield from _check_definitions(db)
            yield from _check_file(db, database)
            _read_pages(db, request, progress)
            _judge(db)
            totals = _Totals(_positions(db))
            yield from _check_specs(db, totals)
            for table, rows in totals.rows(db):
                yield from _compare(table, rows, db.execute(_select(table)))
            yield from _check_ranks(db, totals)
            yield from _check_sources(db)
            yield from _check_problems(db)
            yield from _check_search(db)
    except sqlite3.Error as error:
        raise FailedError(f"{database}: {error}") from error


def _open(database: Path) -> sqlite3.Connection:
    """A private database on disk, with the one to verify attached, read-only, as `built`."""
    # The system's reason why not says more than SQLite's.
    try:
        if not stat.S_ISREG(database.stat().st_mode):
            raise WrongUseError(f"{database}: not a file; name the database to verify")
        database.open("rb").close()
    except OSError as error:
        raise WrongUseError(f"{database}: {error.strerror}") from None
    # A link's database has them beside itself.
    check_at_rest(database.resolve())
    db = sqlite3.connect("", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("ATTACH ? AS built", [read_only_uri(database)])
        # One transaction, so that all that is read is of one state of the database.
        db.execute("BEGIN")
        _require_ours(db, database)
        for statement in _FACTS.split(";"):
            db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db


def _require_ours(db: sqlite3.Connection, database: Path) -> None:
    if db.execute("PRAGMA built.application_id").fetchone()[0] != schema.APPLICATION_ID:
        raise WrongUseError(f"{database}: not a database that this tool made")
    for table in schema.TABLES:
        found = {name for _, name, *_ in db.execute(f"PRAGMA built.table_info({table.name})")}
        if missing := [name for name in table.column_names if name not in found]:
            raise FailedError(f"{database}: table {table.name} lacks {', '.join(missing)}")


def _check_definitions(db: sqlite3.Connection) -> Iterator[str]:
    """Every table, key, index and search index must be defined as in a new, empty database."""
    with closing(sqlite3.connect(":memory:")) as empty:
        schema.create_tables(empty)
        schema.create_indexes(empty)
        expected = _definitions(empty, "main")
    found = _definitions(db, "built")
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            yield f"schema {name}: missing in the database"
        elif name not in expected:
            yield f"schema {name}: in the database, but this tool makes no such thing"
        elif expected[name] != found[name]:
            yield f"schema {name}: expected {expected[name]!r}, database has {found[name]!r}"


def _definitions(db: sqlite3.Connection, name: str) -> dict[str, str]:
    """Name → table and SQL of everything but what ANALYZE adds."""
    rows = db.execute(
        "SELECT name, type || ' of ' || tbl_name || ': ' || coalesce(sql, '')"
        f" FROM {name}.sqlite_master WHERE name NOT IN {_STATISTICS}"
    )
    return {name: " ".join(definition.split()) for name, definition in rows}


def _check_file(db: sqlite3.Connection, database: Path) -> Iterator[str]:
    if db.execute("PRAGMA built.user_version").fetchone()[0] != tool_fingerprint():
        yield "user_version: another version of this tool made the database, or of a library of it"
    # Nothing else is in the file: no page that is free, none of another kind of journal.
    if is_wal(database):
        yield "journal_mode: expected delete, database has wal"
    for name in ("freelist_count", "auto_vacuum"):
        (found,) = db.execute(f"PRAGMA built.{name}").fetchone()
        if found:
            yield f"{name}: expected 0, database has {found}"
    for (found,) in db.execute("PRAGMA built.integrity_check"):
        if found != "ok":
            yield f"integrity: {found}"
    for table, rowid, parent, _ in db.execute("PRAGMA built.foreign_key_check"):
        where = "" if rowid is None else f" row {rowid}"
        yield f"foreign key: {table}{where} refers to a row that {parent} does not have"
    yield from _check_statistics(db)


def _check_statistics(db: sqlite3.Connection) -> Iterator[str]:
    """SQLite plans its queries by them: each index must be there, with its number of rows."""
    rows = db.execute("SELECT tbl, idx, stat FROM built.sqlite_stat1")
    found = {(table, index): str(stat).partition(" ")[0] for table, index, stat in rows}
    for table in schema.TABLES:
        (count,) = db.execute(f"SELECT count(*) FROM built.{table.name}").fetchone()
        indexes = db.execute(f"PRAGMA built.index_list({table.name})").fetchall()
        for _, index, _, origin, _ in indexes if count else ():
            # The key of a table WITHOUT ROWID goes by the table's name.
            name = table.name if origin == "pk" and not table.rowid else index
            said = found.get((table.name, name), "nothing")
            if said != str(count):
                yield f"statistics of {name}: expected {count} rows, database says {said}"


def _check_search(db: sqlite3.Connection) -> Iterator[str]:
    """Compare each search index, to the byte, with one that is made anew from the same rows."""
    for table in schema.TABLES:
        if table.search is None:
            continue
        index, column = f"{table.name}_fts", table.search.column
        db.execute(
            f"CREATE VIRTUAL TABLE temp.{index} USING fts5"
            f"({column}, tokenize='{table.search.tokenize}', content='')"
        )
        db.execute(
            f"INSERT INTO temp.{index} (rowid, {column})"
            f" SELECT rowid, {column} FROM built.{table.name}"
        )
        for part in ("data", "idx", "docsize", "config"):
            made, found = (f"SELECT * FROM {where}.{index}_{part}" for where in ("temp", "built"))
            if db.execute(
                f"SELECT 1 FROM ({made} EXCEPT {found}) UNION ALL"
                f" SELECT 1 FROM ({found} EXCEPT {made}) LIMIT 1"
            ).fetchone():
                yield f"{index}_{part}: the search index is not that of {table.name}.{column}"


def _select(table: Table, condition: str = "") -> str:
    return f"SELECT {', '.join(table.column_names)} FROM built.{table.name} {condition}"


def _compare(table: Table, expected: Collection[Row], found: Iterable[Row]) -> Iterator[str]:
    """Compare rows both ways; the key is the first columns of a row."""
    in_database = list(found)
    if set(in_database) == set(expected):
        return
    width = len(table.key)
    missing = {row[:width]: row for row in expected}
    for row in in_database:
        right = missing.pop(row[:width], None)
        if right is None:
            yield _added(table, row)
            continue
        for column, said, has in zip(table.column_names, right, row, strict=True):
            if said != has:
                yield f"{_named(table, row)}, {column}: pages say {said!r}, database says {has!r}"
    for _, row in sorted(missing.items(), key=itemgetter(0)):
        yield f"{_named(table, row)}: missing in the database; pages say {_shown(row)}"


def _added(table: Table, row: Row) -> str:
    return f"{_named(table, row)}: in the database, but no page says so"


def _named(table: Table, row: Row) -> str:
    return f"{table.name} {_shown(row[: len(table.key)])}"


def _shown(values: Row) -> str:
    return ", ".join(
        value if isinstance(value, str) and value.isprintable() else repr(value) for value in values
    )


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


def _read_pages(db: sqlite3.Connection, request: Request, progress: Progress) -> None:
    with (
        temporary_folder() as folder,
        Workers(request.jobs) as workers,
    ):
        total, done = find_pages(folder, request, workers, progress), 0
        for read, readings in workers.run(_read_files, _tasks(folder, request.choice)):
            _keep(db, readings)
            done += read
            progress("Reading pages", done, total)
    names = [row[:2] for row in db.execute("SELECT release, package FROM page")]
    request.choice.check({release for release, _ in names}, {package for _, package in names})


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
        return _Reading((file.path, *names, None, *facts, 0, 1), remarks=error.refusals)
    if not file.is_chosen(choice, page):
        return None
    return _Reading(
        (file.path, page.release, page.package, len(page.specs), *facts, page.specs_line, 0),
        [(page.specs_line, *_entry(spec)) for spec in page.specs],
        [
            (found.line, found.kind, found.message)
            for found in review(file.path, page, in_layout=file.in_layout)
        ],
        [(*key, count) for key, count in page.unknown.items()],
    )


def _entry(spec: Spec) -> Row:
    facts = spec.facts
    system = (facts.os, facts.platform, facts.target)
    stacks = as_json(spec.stacks.names)
    return (
        spec.hash,
        *(facts.version, facts.compiler, *system),
        *(facts.variants.json, facts.size, stacks, spec.tarball),
    )


def _keep(db: sqlite3.Connection, readings: Iterable[_Reading]) -> None:
    for reading in readings:
        page = db.execute(
            "INSERT INTO page (path, release, package, num_specs, bytes, sha256, line, refused)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
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


def _judge(db: sqlite3.Connection) -> None:
    """Go through the good pages, newest release first, then by path: the first one wins."""
    shared = _shared_hashes(db)
    owners: dict[str, tuple[str, str]] = {}
    verdicts: list[tuple[bool, int, bool, int]] = []
    remarks: list[Row] = []
    good = "SELECT release, id, path, package, sha256, line FROM page WHERE NOT refused"
    releases = {release for release, *_ in db.execute(good)}
    for release in releases_newest_first(releases):
        accepted: dict[str, tuple[str, str]] = {}
        in_order = db.execute(f"{good} AND release = ? ORDER BY path", [release])
        for _, page, path, package, sha256, line in in_order:
            first, same = accepted.get(package, (path, sha256))
            hashes = sorted(shared.get(page, ()))
            other = next((h for h in hashes if owners.get(h, (package,))[0] != package), None)
            if same != sha256:
                twin = f"{first} is another page of {package} in {release}"
                remarks.append((page, line, "two-pages", twin))
            elif other:
                owner = f"hash {other} is of package {owners[other][0]} in {owners[other][1]}"
                remarks.append((page, line, "two-packages", owner))
            else:
                owners.update(dict.fromkeys(hashes, (package, path)))
            refused = bool(other) or same != sha256
            verdicts.append((refused, len(verdicts), package in accepted, page))
            if not refused:
                accepted.setdefault(package, (path, sha256))
    db.executemany("UPDATE page SET refused = ?, position = ?, copy = ? WHERE id = ?", verdicts)
    db.executemany(
        "DELETE FROM remark WHERE page = ?", [(page,) for refused, *_, page in verdicts if refused]
    )
    db.executemany("INSERT INTO remark VALUES (?, ?, ?, ?)", remarks)


def _shared_hashes(db: sqlite3.Connection) -> Mapping[int, Sequence[str]]:
    """The hashes that more than one package has, by page."""
    found: dict[int, list[str]] = defaultdict(list)
    for page, spec in db.execute(
        "SELECT page, hash FROM entry WHERE hash IN ("
        " SELECT hash FROM entry JOIN page ON page.id = entry.page"
        " GROUP BY hash HAVING min(package) <> max(package))"
    ):
        found[page].append(spec)
    return found


_LISTINGS = """
SELECT entry.hash, page.package, page.release, page.id AS page, entry.line, version, compiler, os,
    platform, target, variants, size, stacks, tarball
FROM entry JOIN page ON page.id = entry.page
WHERE NOT page.refused AND NOT page.copy
ORDER BY entry.hash, page.position
"""


class _Listing(NamedTuple):
    """A spec on an accepted page, as `_LISTINGS` selects it."""

    hash: str
    package: str
    release: str
    page: int
    line: int
    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: str
    size: int | None
    stacks: str
    tarball: str | None


_MERGED = slice(_Listing._fields.index("version"), _Listing._fields.index("stacks"))
_UNKNOWN = {("compiler", "none"), ("size", None)}


def _positions(db: sqlite3.Connection) -> dict[str, int]:
    """The position of each release of an accepted page."""
    releases = db.execute("SELECT DISTINCT release FROM page WHERE NOT refused")
    in_order = releases_newest_first(release for (release,) in releases)
    return {release: position for position, release in enumerate(in_order, start=1)}


# The rank of a version is known only when all specs of its package are.
_SPECS = replace(
    schema.SPECS,
    columns=tuple(column for column in schema.SPECS.columns if column.name != "version_rank"),
)


def _check_specs(db: sqlite3.Connection, totals: "_Totals") -> Iterator[str]:
    """Compare, spec by spec, the four tables that tell of specs; add up what the others need."""
    tables = (_SPECS, schema.SPEC_STACKS, schema.SPEC_RELEASES, schema.SPEC_VARIANTS)
    queries = [_select(table, f"WHERE {table.key[0]} = ?") for table in tables]
    for spec, group in groupby(db.execute(_LISTINGS), key=itemgetter(0)):
        listings = [_Listing(*row) for row in group]
        kept = _merge(db, listings)
        db.execute("INSERT INTO spec VALUES (?)", [spec])
        rows = _spec_rows(kept, listings, totals.positions)
        totals.add(kept, rows)
        for table, query, expected in zip(tables, queries, rows, strict=True):
            yield from _compare(table, expected, db.execute(query, [spec]))
    for table in tables:
        nowhere = f"WHERE {table.key[0]} NOT IN (SELECT hash FROM spec)"
        for row in db.execute(_select(table, nowhere)):
            yield _added(table, row)


def _merge(db: sqlite3.Connection, listings: Sequence[_Listing]) -> _Listing:
    """The newest listing with, in each column, the newest value that is known."""
    first, *others = listings
    if all(other[_MERGED] == first[_MERGED] for other in others):
        return first
    columns = _Listing._fields[_MERGED]
    return first._replace(**{column: _newest_known(db, column, listings) for column in columns})


def _newest_known(db: sqlite3.Connection, column: str, listings: Sequence[_Listing]) -> Any:
    """The newest known value of a column; every known one that differs is noted as a conflict."""
    values = [(one, getattr(one, column)) for one in listings]
    known = [(one, value) for one, value in values if (column, value) not in _UNKNOWN]
    newest, kept = (known or values)[0]
    for one, value in known:
        if _meaning(column, value) != _meaning(column, kept):
            shown = (_plain(column, kept), newest.release, _plain(column, value))
            message = problems.conflict(one.hash, column, *shown)
            db.execute(
                "INSERT INTO remark VALUES (?, ?, 'conflict', ?)", [one.page, one.line, message]
            )
    return kept


def _meaning(column: str, value: Any) -> object:
    return _variant_values(value) if column == "variants" else value


def _plain(column: str, value: Any) -> object:
    return _values(value) if column == "variants" else value


def _spec_rows(
    kept: _Listing, listings: Sequence[_Listing], positions: Mapping[str, int]
) -> tuple[Collection[Row], ...]:
    """The rows of a spec in `specs`, `spec_stacks`, `spec_releases` and `spec_variants`."""
    stacks = {(kept.hash, stack, one.release) for one in listings for stack in _values(one.stacks)}
    system = (kept.platform, kept.os, kept.target)
    row = (
        kept.hash,
        kept.package,
        kept.version,
        kept.compiler,
        *split_compiler(kept.compiler),
        kept.os,
        kept.platform,
        kept.target,
        kept.variants,
        kept.size,
        spec_text(kept.package, kept.version, _values(kept.variants), system, kept.compiler),
        as_json(sorted({stack for _, stack, _ in stacks})),
        as_json([one.release for one in listings]),
        positions[listings[0].release],
    )
    return (
        [row],
        stacks,
        [(kept.hash, one.release, one.tarball) for one in listings],
        [(kept.hash, variant) for variant, _, _ in _variant_values(kept.variants)],
    )


@lru_cache(maxsize=8192)
def _values(listed: str) -> tuple[str, ...]:
    return tuple(json.loads(listed))


@lru_cache(maxsize=8192)
def _variant_values(listed: str) -> frozenset[tuple[str, str, str]]:
    """The rows of `variants` that a list in `specs.variants` stands for."""
    return frozenset(row for variant in _values(listed) for row in variant_values(variant))


class _Totals:
    """Adds up, spec by spec, what the tables hold that are not about single specs."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        self.positions = positions
        self._packages: dict[str, tuple[set[str], ...]] = defaultdict(
            lambda: tuple(set() for _ in range(6))
        )
        self._stack_packages: dict[str, set[str]] = defaultdict(set)
        self._stack_releases: dict[str, set[str]] = defaultdict(set)
        self._release_packages: dict[str, set[str]] = defaultdict(set)
        self._specs: dict[str, Counter[str]] = defaultdict(Counter)
        self._variants: Counter[tuple[str, str, str]] = Counter()

    def add(self, kept: _Listing, rows: Sequence[Collection[Row]]) -> None:
        """Count one spec: its merged listing and its rows as `_spec_rows` gives them."""
        _, in_stacks, in_releases, _ = rows
        stacks = {stack for _, stack, _ in in_stacks}
        values = (kept.version, kept.compiler, kept.os, kept.platform, kept.target)
        *columns, package_stacks = self._packages[kept.package]
        for column, value in zip(columns, values, strict=True):
            column.add(value)
        package_stacks |= stacks
        for stack in stacks:
            self._stack_packages[stack].add(kept.package)
        for _, stack, release in in_stacks:
            self._stack_releases[stack].add(release)
        for _, release, _ in in_releases:
            self._release_packages[release].add(kept.package)
        self._specs["packages"][kept.package] += 1
        self._specs["targets"][kept.target] += 1
        self._specs["stacks"].update(stacks)
        self._specs["releases"].update(release for _, release, _ in in_releases)
        self._variants.update(_variant_values(kept.variants))

    def rows(self, db: sqlite3.Connection) -> Iterator[tuple[Table, Collection[Row]]]:
        """The rows of each table that follows from the specs and the accepted pages."""
        releases: dict[str, list[str]] = defaultdict(list)
        for package, release in db.execute(
            "SELECT DISTINCT package, release FROM page WHERE NOT refused"
        ):
            releases[package].append(release)
        yield schema.PACKAGES, [self._package(*one) for one in releases.items()]
        yield schema.STACKS, [self._stack(name) for name in self._specs["stacks"]]
        tarballs = _tarballs(db)
        yield schema.RELEASES, [self._release(name, tarballs[name]) for name in self.positions]
        yield schema.VARIANTS, [(*variant, specs) for variant, specs in self._variants.items()]
        yield from _target_rows(self._specs["targets"])

    def versions(self) -> Iterator[tuple[str, list[str]]]:
        """Each package and its versions, newest first."""
        for package, (versions, *_) in self._packages.items():
            yield package, newest_first(versions)

    def _package(self, name: str, releases: Collection[str]) -> Row:
        versions, *others = self._packages[name]
        return (
            name,
            self._specs["packages"][name],
            as_json(newest_first(versions)),
            *(as_json(sorted(values)) for values in others),
            as_json(releases_newest_first(releases)),
        )

    def _stack(self, name: str) -> Row:
        releases = as_json(releases_newest_first(self._stack_releases[name]))
        return name, len(self._stack_packages[name]), self._specs["stacks"][name], releases

    def _release(self, name: str, tarballs: tuple[int, int]) -> Row:
        release = parse_release(name)
        if release is None:
            raise AssertionError(f"a page of release {name!r} was accepted")
        return (
            name,
            release.kind,
            release.date,
            self.positions[name],
            len(self._release_packages[name]),
            self._specs["releases"][name],
            mirrors.mirror(name, *tarballs),
        )


def _tarballs(db: sqlite3.Connection) -> Mapping[str, tuple[int, int]]:
    """For each release, how many tarballs are in each of the two places of its mirror."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for release, tarball in db.execute(
        "SELECT release, tarball FROM entry JOIN page ON page.id = entry.page"
        " WHERE tarball IS NOT NULL AND NOT refused AND NOT copy"
    ):
        early, plain = found[release]
        more = mirrors.count_tarballs(release, [tarball])
        found[release] = early + more[0], plain + more[1]
    return found


def _target_rows(specs: Mapping[str, int]) -> Iterator[tuple[Table, Collection[Row]]]:
    targets = all_targets(specs)
    counted = [(one.name, one.vendor, one.family, specs.get(one.name, 0)) for one in targets]
    yield schema.TARGETS, counted
    yield schema.TARGET_COMPATIBILITY, [(one.name, runs) for one in targets for runs in one.runs]


def _check_ranks(db: sqlite3.Connection, totals: _Totals) -> Iterator[str]:
    db.execute("CREATE TABLE rank (package, version, rank, PRIMARY KEY (package, version))")
    for package, versions in totals.versions():
        db.executemany(
            "INSERT INTO rank VALUES (?, ?, ?)",
            [(package, version, rank) for rank, version in enumerate(versions, start=1)],
        )
    for spec, has, rank in db.execute(
        "SELECT hash, version_rank, rank FROM built.specs LEFT JOIN rank USING (package, version)"
        " WHERE version_rank IS NOT rank"
    ):
        yield f"specs {spec}, version_rank: pages say {rank}, database says {has}"


def _check_sources(db: sqlite3.Connection) -> Iterator[str]:
    expected = (
        "SELECT path, 'page', iif(refused, NULL, release), iif(refused, NULL, package), NULL,"
        " NULL, NULL, NULL, iif(refused, NULL, num_specs), bytes, sha256 FROM page"
    )
    yield from _compare_queries(db, schema.SOURCES, expected)


def _compare_queries(db: sqlite3.Connection, table: Table, expected: str) -> Iterator[str]:
    """Compare a table with the rows of a query; only what differs is taken out of SQLite."""
    found = _select(table)
    missing = db.execute(f"SELECT * FROM ({expected}) EXCEPT {found}").fetchall()
    yield from _compare(table, missing, db.execute(f"{found} EXCEPT SELECT * FROM ({expected})"))


def _check_problems(db: sqlite3.Connection) -> Iterator[str]:
    db.execute("CREATE TABLE expected (path TEXT, line INTEGER, kind TEXT, message TEXT)")
    db.execute(
        "INSERT INTO expected SELECT path, remark.line, kind, message FROM remark"
        " JOIN page ON page.id = remark.page"
        " WHERE refused OR NOT copy OR kind LIKE 'path-%'"
    )
    db.create_function("unknown_key", 3, problems.unknown_key)
    db.execute(
        "INSERT INTO expected"
        " SELECT min(path), 0, 'unknown-key', unknown_key(place, key, sum(count))"
        " FROM unknown JOIN page ON page.id = unknown.page"
        " WHERE NOT refused AND NOT copy GROUP BY place, key"
    )
    db.create_function("severity", 1, lambda kind: KINDS[kind].severity)
    yield from _compare_queries(
        db,
        schema.PROBLEMS,
        "SELECT row_number() OVER (ORDER BY path, line, kind, message), path, severity(kind), kind,"
        " message FROM expected",
    )
