"""Prove that a database holds every fact of the pages and nothing else.

What the pages say, read by `reread` and not as the build reads them, is worked out anew, spec by
spec, and compared with every row of every table. The facts wait in a private database on disk,
where SQLite sorts them by hash, so memory follows neither the pages' number nor their size.

Shared with the build are only definitions: the schema, the order of releases and versions, and
the wording of warnings.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import archspec.cpu

from etl import problems, schema
from etl.order import Release, newest_first, parse_release, releases_newest_first
from etl.problems import KINDS, as_json
from etl.reread import File, Page, find_files, read_file, variant_rows
from etl.schema import Table

Row = tuple[Any, ...]

_PAGES_BETWEEN_REPORTS = 100
_CLASHES = ("two-pages", "two-packages")
_ERRORS = [
    kind.name for kind in KINDS.values() if kind.severity == "error" and kind.name not in _CLASHES
]

_FACTS = """
CREATE TABLE page (
    id INTEGER PRIMARY KEY, path TEXT, release TEXT, package TEXT, num_specs INTEGER,
    bytes INTEGER, sha256 TEXT, refused TEXT, reason TEXT, position INTEGER, copy INTEGER
);
CREATE TABLE entry (
    page INTEGER, line INTEGER, hash TEXT, version TEXT, compiler TEXT, os TEXT, platform TEXT,
    target TEXT, variants TEXT, size INTEGER, stacks TEXT, tarball TEXT
);
CREATE TABLE remark (page INTEGER, line INTEGER, kind TEXT, message TEXT);
CREATE TABLE unknown (page INTEGER, place TEXT, key TEXT, count INTEGER);
CREATE TABLE spec (hash TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class CannotVerify(Exception):  # noqa: N818 (the name says what happened)
    """The database or the pages cannot be read, so nothing was compared.

    The message is one line for the person who asked.
    """


def verify(
    database: Path,
    paths: Sequence[Path],
    releases: Collection[str] = (),
    packages: Collection[str] = (),
    progress: Callable[[int], object] = lambda pages: None,
) -> Iterator[str]:
    """Compare a database with the pages it came from.

    A refused page is accepted only where `problems` has an error for it and it is found bad here
    too; what the error's message says is not compared.

    Args:
        database: the file that a build wrote; it is only read.
        paths: the pages, and folders to search for them, that the build was given.
        releases: the releases that the build was restricted to, if any.
        packages: the packages that the build was restricted to, if any.
        progress: called now and then with the number of pages read so far.

    Yields:
        One line for each difference: table, key, column, what the pages say and what the database
        says. Nothing at all if the database is proved right.

    Raises:
        CannotVerify: the database is not readable, not of this tool or lacks a table or column,
            or one of the paths does not exist.
    """
    try:
        with closing(_open(database)) as db:
            yield from _check_definitions(db)
            yield from _check_file(db)
            files = map(read_file, find_files(paths))
            _keep_files(db, _select_files(files, releases, packages), progress)
            _name_pages(db)
            _judge(db)
            totals = _Totals()
            yield from _check_specs(db, totals)
            for table, rows in totals.rows(db):
                yield from _compare(table, rows, db.execute(_select(table)))
            yield from _check_pages(db)
            yield from _check_problems(db)
            yield from _check_search(db)
    except sqlite3.Error as error:
        raise CannotVerify(f"{database}: {error}") from error
    except OSError as error:
        raise CannotVerify(f"{error.filename}: {error.strerror}") from error


def _open(database: Path) -> sqlite3.Connection:
    """A private database on disk, with the one to verify attached, read-only, as `built`."""
    # The system's reason why not says more than SQLite's.
    database.open("rb").close()
    db = sqlite3.connect("", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("ATTACH ? AS built", [f"{database.absolute().as_uri()}?mode=ro"])
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
        raise CannotVerify(f"{database}: not a database that this tool made")
    for table in schema.TABLES:
        found = {name for _, name, *_ in db.execute(f"PRAGMA built.table_info({table.name})")}
        if missing := [name for name in table.column_names if name not in found]:
            raise CannotVerify(f"{database}: table {table.name} lacks {', '.join(missing)}")


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
        f" FROM {name}.sqlite_master WHERE name NOT LIKE 'sqlite_stat%'"
    )
    return {name: " ".join(definition.split()) for name, definition in rows}


def _check_file(db: sqlite3.Connection) -> Iterator[str]:
    for (found,) in db.execute("PRAGMA built.integrity_check"):
        if found != "ok":
            yield f"integrity: {found}"
    for table, rowid, parent, _ in db.execute("PRAGMA built.foreign_key_check"):
        where = "" if rowid is None else f" row {rowid}"
        yield f"foreign key: {table}{where} refers to a row that {parent} does not have"


def _check_search(db: sqlite3.Connection) -> Iterator[str]:
    """FTS5's own check, which compares the words of each row with the index.

    The check is an INSERT, which a read-only database refuses, so it runs on a copy of the index.
    """
    for table in schema.TABLES:
        if table.search is None:
            continue
        index, column = f"{table.name}_fts", table.search.column
        db.execute(
            f"CREATE TEMP VIEW {table.name} AS SELECT rowid, {column} FROM built.{table.name}"
        )
        db.execute(
            f"CREATE VIRTUAL TABLE temp.{index} USING fts5"
            f"({column}, tokenize='{table.search.tokenize}', content='{table.name}')"
        )
        for part in ("data", "idx", "docsize", "config"):
            db.execute(f"DELETE FROM temp.{index}_{part}")
            db.execute(f"INSERT INTO temp.{index}_{part} SELECT * FROM built.{index}_{part}")
        try:
            db.execute(f"INSERT INTO temp.{index}({index}, rank) VALUES ('integrity-check', 1)")
        except sqlite3.DatabaseError:
            yield f"{index}: the search index does not match {table.name}.{column}"


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
            yield f"{_named(table, row)}: in the database, but no page says so"
            continue
        for column, said, has in zip(table.column_names, right, row, strict=True):
            if said != has:
                yield f"{_named(table, row)}, {column}: pages say {said!r}, database says {has!r}"
    for _, row in sorted(missing.items(), key=itemgetter(0)):
        yield f"{_named(table, row)}: missing in the database; pages say {_shown(row)}"


def _named(table: Table, row: Row) -> str:
    return f"{table.name} {_shown(row[: len(table.key)])}"


def _shown(values: Row) -> str:
    return ", ".join(
        value if isinstance(value, str) and value.isprintable() else repr(value) for value in values
    )


def _select_files(
    files: Iterable[File], releases: Collection[str], packages: Collection[str]
) -> Iterator[File]:
    """The files of these releases and packages; a bad page is of those that its folders name."""
    for file in files:
        release, package = file.folders
        if isinstance(file.page, Page):
            release, package = file.page.release, file.page.package
        if (not releases or release in releases) and (not packages or package in packages):
            yield file


def _keep_files(
    db: sqlite3.Connection, files: Iterable[File], progress: Callable[[int], object]
) -> None:
    number = 0
    for number, file in enumerate(files, start=1):
        if isinstance(file.page, Page):
            _keep_page(db, number, file, file.page)
        else:
            db.execute(
                "INSERT INTO page (id, path, bytes, sha256, refused, reason)"
                " VALUES (?, ?, ?, ?, 'bad', ?)",
                [number, file.path, file.bytes, file.sha256, str(file.page)],
            )
        if number % _PAGES_BETWEEN_REPORTS == 0:
            progress(number)
    progress(number)


def _keep_page(db: sqlite3.Connection, number: int, file: File, page: Page) -> None:
    db.execute(
        "INSERT INTO page (id, path, release, package, num_specs, bytes, sha256)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            number,
            file.path,
            page.release,
            page.package,
            len(page.entries),
            file.bytes,
            file.sha256,
        ],
    )
    db.executemany(
        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(number, page.specs_line, *entry) for entry in page.entries],
    )
    db.executemany(
        "INSERT INTO remark VALUES (?, ?, ?, ?)",
        [(number, *remark) for remark in (*page.remarks, *_misplaced(file.folders, page))],
    )
    db.executemany(
        "INSERT INTO unknown VALUES (?, ?, ?, ?)",
        [(number, *key, count) for key, count in page.unknown.items()],
    )


def _misplaced(folders: tuple[str, str], page: Page) -> Iterator[tuple[int, str, str]]:
    release, package = folders
    if release not in ("", page.release):
        yield 0, "path-release", problems.path_release(release, page.release)
    if package not in ("", page.package):
        yield 0, "path-package", problems.path_package(package, page.package)


def _name_pages(db: sqlite3.Connection) -> None:
    """Copies with one path are one page; other contents under one path are numbered."""
    db.execute("DELETE FROM page WHERE id NOT IN (SELECT min(id) FROM page GROUP BY path, sha256)")
    same_path = db.execute(
        "SELECT path, id FROM page WHERE path IN"
        " (SELECT path FROM page GROUP BY path HAVING count(*) > 1) ORDER BY path, sha256"
    ).fetchall()
    for path, pages in groupby(same_path, key=itemgetter(0)):
        for number, (_, page) in enumerate(pages, start=1):
            if number > 1:
                db.execute("UPDATE page SET path = ? WHERE id = ?", [f"{path} ({number})", page])


def _judge(db: sqlite3.Connection) -> None:
    """Go through the good pages, newest release first, then by path: the first one wins."""
    shared = _shared_hashes(db)
    owners: dict[str, str] = {}
    verdicts: list[tuple[str | None, int, bool, int]] = []
    good = "SELECT release, id, package, sha256 FROM page WHERE refused IS NULL"
    releases = {release for release, *_ in db.execute(good)}
    for release in releases_newest_first(releases):
        accepted: dict[str, str] = {}
        in_order = db.execute(f"{good} AND release = ? ORDER BY path", [release])
        for _, page, package, sha256 in in_order:
            refused = None
            if accepted.get(package, sha256) != sha256:
                refused = "two-pages"
            elif any(owners.get(spec, package) != package for spec in shared.get(page, ())):
                refused = "two-packages"
            verdicts.append((refused, len(verdicts), package in accepted, page))
            if refused is None:
                accepted[package] = sha256
                owners.update(dict.fromkeys(shared.get(page, ()), package))
    db.executemany(
        "UPDATE page SET refused = ?1, reason = ?1, position = ?2, copy = ?3 WHERE id = ?4",
        verdicts,
    )


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
SELECT entry.hash, page.package, page.release, page.id AS page, line, version, compiler, os,
    platform, target, variants, size, stacks, tarball
FROM entry JOIN page ON page.id = entry.page
WHERE page.refused IS NULL AND NOT page.copy
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


def _check_specs(db: sqlite3.Connection, totals: "_Totals") -> Iterator[str]:
    """Compare, spec by spec, the four tables that tell of specs; add up what the others need."""
    tables = (schema.SPECS, schema.SPEC_STACKS, schema.SPEC_RELEASES, schema.SPEC_VARIANTS)
    queries = [_select(table, f"WHERE {table.key[0]} = ?") for table in tables]
    for spec, group in groupby(db.execute(_LISTINGS), key=itemgetter(0)):
        listings = [_Listing(*row) for row in group]
        kept = _merge(db, listings)
        db.execute("INSERT INTO spec VALUES (?)", [spec])
        rows = _spec_rows(kept, listings)
        totals.add(kept, rows)
        for table, query, expected in zip(tables, queries, rows, strict=True):
            yield from _compare(table, expected, db.execute(query, [spec]))
    for table in tables:
        nowhere = f"WHERE {table.key[0]} NOT IN (SELECT hash FROM spec)"
        yield from _compare(table, [], db.execute(_select(table, nowhere)))


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


def _spec_rows(kept: _Listing, listings: Sequence[_Listing]) -> tuple[Collection[Row], ...]:
    """The rows of a spec in `specs`, `spec_stacks`, `spec_releases` and `spec_variants`."""
    stacks = {(kept.hash, stack, one.release) for one in listings for stack in _values(one.stacks)}
    name, _, version = kept.compiler.partition("@")
    text = [f"{kept.package}@{kept.version}", *_values(kept.variants)]
    text.append(f"arch={kept.platform}-{kept.os}-{kept.target}")
    if kept.compiler != "none":
        text.append(f"%{kept.compiler}")
    row = (
        kept.hash,
        kept.package,
        kept.version,
        kept.compiler,
        name,
        version or None,
        kept.os,
        kept.platform,
        kept.target,
        kept.variants,
        kept.size,
        " ".join(text),
        as_json(sorted({stack for _, stack, _ in stacks})),
        as_json([one.release for one in listings]),
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
    return frozenset(row for variant in _values(listed) for row in variant_rows(variant))


class _Totals:
    """Adds up, spec by spec, what the tables hold that are not about single specs."""

    def __init__(self) -> None:
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
            "SELECT DISTINCT package, release FROM page WHERE refused IS NULL"
        ):
            releases[package].append(release)
        yield schema.PACKAGES, [self._package(*one) for one in releases.items()]
        yield schema.STACKS, [self._stack(name) for name in self._specs["stacks"]]
        names = {name for listed in releases.values() for name in listed}
        in_order = filter(None, map(parse_release, releases_newest_first(names)))
        rows = [self._release(release, n) for n, release in enumerate(in_order, start=1)]
        yield schema.RELEASES, rows
        yield schema.VARIANTS, [(*variant, specs) for variant, specs in self._variants.items()]
        yield from _target_rows(self._specs["targets"])

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

    def _release(self, release: Release, position: int) -> Row:
        name = release.name
        packages, specs = len(self._release_packages[name]), self._specs["releases"][name]
        return name, release.kind, release.date, position, packages, specs, schema.MIRROR + name


def _target_rows(specs: Mapping[str, int]) -> Iterator[tuple[Table, Collection[Row]]]:
    known = archspec.cpu.TARGETS
    names = {*specs, *known}
    targets, compatible = [], []
    for name in names:
        target = known.get(name)
        vendor, family = (target.vendor, str(target.family)) if target else (None, None)
        targets.append((name, vendor, family, specs.get(name, 0)))
        runs = {name, *(str(one) for one in target.ancestors)} if target else {name}
        compatible += [(name, other) for other in runs]
    yield schema.TARGETS, targets
    yield schema.TARGET_COMPATIBILITY, compatible


def _check_pages(db: sqlite3.Connection) -> Iterator[str]:
    expected = (
        "SELECT path, iif(refused IS NULL, release, NULL), iif(refused IS NULL, package, NULL),"
        " iif(refused IS NULL, num_specs, NULL), bytes, sha256 FROM page"
    )
    found = _select(schema.PAGES)
    # Only what differs is taken out of SQLite: there are many pages.
    missing = db.execute(f"{expected} EXCEPT {found}").fetchall()
    yield from _compare(schema.PAGES, missing, db.execute(f"{found} EXCEPT {expected}"))


def _check_problems(db: sqlite3.Connection) -> Iterator[str]:
    """Warnings exactly; of a refused page that there is an error."""
    db.execute("CREATE TABLE expected (page TEXT, line INTEGER, kind TEXT, message TEXT)")
    db.execute(
        "INSERT INTO expected SELECT path, line, kind, message FROM remark"
        " JOIN page ON page.id = remark.page"
        " WHERE refused IS NULL AND (NOT copy OR kind LIKE 'path-%')"
    )
    db.create_function("unknown_key", 3, problems.unknown_key)
    db.execute(
        "INSERT INTO expected"
        " SELECT min(path), 0, 'unknown-key', unknown_key(place, key, sum(count))"
        " FROM unknown JOIN page ON page.id = unknown.page"
        " WHERE refused IS NULL AND NOT copy GROUP BY place, key"
    )
    yield from _check_problem_rows(db)
    for page, kind, message in db.execute(
        "SELECT page, kind, message FROM expected EXCEPT"
        " SELECT page, kind, message FROM built.problems"
    ):
        yield f"problems of page {page}: missing in the database; pages say {kind}: {message}"
    for page, reason in db.execute(
        "SELECT path, reason FROM page WHERE refused IS NOT NULL AND path NOT IN"
        " (SELECT page FROM built.problems WHERE severity = 'error')"
    ):
        yield f"problems of page {page}: the page is bad ({reason}), but no error says so"


def _check_problem_rows(db: sqlite3.Connection) -> Iterator[str]:
    last: Row = ()
    numbers_right = True
    rows = db.execute(
        "SELECT has.id, has.page, has.severity, has.kind, has.message, refused, line"
        " FROM built.problems AS has LEFT JOIN page ON page.path = has.page"
        " LEFT JOIN expected ON expected.page = has.page AND expected.kind = has.kind"
        " AND expected.message = has.message ORDER BY has.id"
    )
    for number, (key, page, severity, kind, message, refused, line) in enumerate(rows, start=1):
        name = f"problems {key!r}"
        if key != number and numbers_right:
            numbers_right = False
            yield f"{name}, id: expected {number}; the numbers run from 1 without gaps"
        if refused is None and line is None:
            yield f"{name}: in the database, but no page says so: {_shown((page, kind, message))}"
            continue
        kinds = _kinds_of(refused, kind)
        if kind not in kinds:
            yield f"{name}, kind: pages say {' or '.join(kinds)}, database says {kind!r}"
        right = "error" if refused else KINDS[kind].severity
        if severity != right:
            yield f"{name}, severity: pages say {right!r}, database says {severity!r}"
        place = (page,) if refused else (page, line, kind, message)
        if place < last or (place == last and not refused):
            yield f"{name}: out of order, or twice"
        last = place


def _kinds_of(refused: str | None, kind: str) -> Collection[str]:
    """The kinds a problem may be of: any error, where the page itself is bad."""
    if refused is None:
        return [kind]
    return _ERRORS if refused == "bad" else [refused]
