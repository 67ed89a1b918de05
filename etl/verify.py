"""Prove that a database holds every fact of the sources and nothing else.

What they say is read by the general readers alone, which the build takes only for what is out of
the ordinary (`etl.told`). It is then worked out anew, spec by spec, and compared with every row of
every table.
"""

import json
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

from etl import mirrors, problems, schema, told
from etl.build import Progress, Request, check_at_rest
from etl.errors import FailedError, WrongUseError
from etl.order import newest_first, release_of, releases_newest_first
from etl.problems import KINDS, Problem
from etl.schema import Table
from etl.sources.choice import Choice
from etl.spelling import as_json, spec_text, split_compiler, variant_values
from etl.targets import all_targets
from etl.unchanged import fingerprint, is_wal, read_only_uri

Row = tuple[Any, ...]

_FILES_IN_TASK = 64
_BYTES_IN_TASK = 4 * 1024 * 1024
"""What is read is handed over whole; as many bytes of pages, and one page more, at a time."""

_STATISTICS = ("sqlite_stat1", "sqlite_stat4")


def verify(
    database: Path, request: Request, progress: Progress = lambda step, done, total: None
) -> Iterator[str]:
    """Compare a database with the sources it came from.

    Args:
        database: the file that a build wrote; it is only read.
        request: what the build was asked to read.
        progress: told of each step.

    Yields:
        One line for each difference: table, key, column, what the sources say and what the database
        says. Nothing at all if the database is proved right.

    Raises:
        FailedError: the database is damaged, or lacks a table or column.
        WrongUseError: there is no such database of this tool; a path is missing or holds no
            sources, or nothing of a release or package that was asked for.
    """
    try:
        with closing(_open(database)) as db:
            yield from _check_definitions(db)
            yield from _check_file(db, database)
            told.read_sources(db, request, progress)
            yield from _check_maker(db, request.choice)
            told.judge(db)
            totals = _Totals(_positions(db))
            yield from _check_specs(db, totals)
            yield from _check_other_nodes(db)
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
        for statement in told.TABLES.split(";"):
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


def _check_maker(db: sqlite3.Connection, choice: Choice) -> Iterator[str]:
    (of_indexes,) = db.execute("SELECT EXISTS (SELECT 1 FROM page WHERE kind = 'index')").fetchone()
    (found,) = db.execute("PRAGMA built.user_version").fetchone()
    if found != fingerprint(choice, of_indexes=bool(of_indexes)):
        yield "user_version: another version of this tool made the database, or of a library of it"


def _check_file(db: sqlite3.Connection, database: Path) -> Iterator[str]:
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
                yield f"{_named(table, row)}, {column}: sources say {said!r}, database says {has!r}"
    for _, row in sorted(missing.items(), key=itemgetter(0)):
        yield f"{_named(table, row)}: missing in the database; sources say {_shown(row)}"


def _added(table: Table, row: Row) -> str:
    return f"{_named(table, row)}: in the database, but no source says so"


def _named(table: Table, row: Row) -> str:
    return f"{table.name} {_shown(row[: len(table.key)])}"


def _shown(values: Row) -> str:
    return ", ".join(
        value if isinstance(value, str) and value.isprintable() else repr(value) for value in values
    )


_LISTINGS = """
SELECT entry.hash, entry.package, page.release, page.id AS page, entry.line, is_binary,
    page.number, page.path, entry.version, compiler, os, platform, target, variants,
    iif(is_binary, coalesce(size.size, entry.size), entry.size),
    namespace, flags, build_spec, external, dependencies, stacks,
    iif(is_binary, coalesce(page.mirror || '/' || size.tarball, entry.tarball), NULL)
FROM entry JOIN page ON page.id = entry.page LEFT JOIN size USING (page, hash)
WHERE NOT page.refused AND NOT page.copy
ORDER BY entry.hash, page.position
"""


class _Listing(NamedTuple):
    """A spec in an accepted source, as `_LISTINGS` selects it."""

    hash: str
    package: str
    release: str
    page: int
    line: int
    is_binary: int
    number: int | None
    path: str
    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: str
    size: int | None
    namespace: str | None
    flags: str | None
    build_spec: str | None
    external: str | None
    dependencies: str | None
    stacks: str
    tarball: str | None


_MERGED = slice(_Listing._fields.index("version"), _Listing._fields.index("stacks"))
_UNKNOWN = {
    ("compiler", "none"),
    *((column, None) for column in ("size", "namespace", "flags", "build_spec", "external")),
    ("dependencies", None),
}


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
    """Compare, spec by spec, the tables that tell of specs; add up what the others need."""
    of_specs = (_SPECS, schema.SPEC_STACKS, schema.SPEC_RELEASES, schema.SPEC_VARIANTS)
    of_nodes = (schema.NODES, schema.DEPENDENCIES)
    tables = of_specs + of_nodes
    # By name: to hash a table takes longer than to ask it.
    queries = {table.name: _select(table, f"WHERE {table.key[0]} = ?") for table in tables}
    for spec, group in groupby(db.execute(_LISTINGS), key=itemgetter(0)):
        listings = [_Listing(*row) for row in group]
        kept = _merge(db, listings)
        binaries = [one for one in listings if one.is_binary]
        row = (spec, kept.package, bool(binaries))
        db.execute("INSERT INTO spec VALUES (?, ?, ?)", row)
        expected = list(zip(of_nodes, _node_rows(db, kept, listings), strict=True))
        if binaries:
            stacks = _stacks(db, listings)
            rows = _spec_rows(kept, binaries, stacks, totals.positions)
            totals.add(kept, rows)
            expected += zip(of_specs, rows, strict=True)
        for table, found in expected:
            yield from _compare(table, found, db.execute(queries[table.name], [spec]))
    for table in tables:
        known = "hash FROM spec" if table in of_nodes else "hash FROM spec WHERE is_binary"
        nowhere = f"WHERE {table.key[0]} NOT IN (SELECT {known})"
        if table is not schema.NODES:
            for row in db.execute(_select(table, nowhere)):
                yield _added(table, row)


def _stacks(db: sqlite3.Connection, listings: Sequence[_Listing]) -> set[tuple[str, str]]:
    """Stack and release: as the indexes say, and where no index of a stack denies it, the pages."""
    denied = {
        (stack, one.release)
        for one in listings
        if not one.is_binary
        for stack in _values(one.stacks)
    }
    found = set()
    for one in listings:
        for stack in _values(one.stacks) if one.is_binary else ():
            if one.number is None and (stack, one.release) in denied:
                row = (one.page, stack, one.hash)
                db.execute("INSERT INTO overruled VALUES (?, ?, ?)", row)
            else:
                found.add((stack, one.release))
    return found


def _node_rows(
    db: sqlite3.Connection, kept: _Listing, listings: Sequence[_Listing]
) -> tuple[Collection[Row], Collection[Row]]:
    """The rows of a hash in `nodes` and `dependencies`; what it depends on is noted."""
    kind = "missing" if kept.external is None else "external"
    if any(one.is_binary for one in listings):
        kind = "binary"
    external = (kept.external or None) if kind == "external" else None
    edges = json.loads(kept.dependencies or "[]")
    # The source of the edges that are kept is the first that tells them so.
    source = next((one for one in listings if one.dependencies == kept.dependencies), kept)
    db.executemany(
        "INSERT INTO named VALUES (?, ?, ?, ?, ?)",
        [(edge[0], source.number, kept.hash, edge[1], source.path) for edge in edges],
    )
    return (
        [(kept.hash, kept.package, kept.version, kind, external)],
        [(kept.hash, edge[0], *edge[2:6], as_json(edge[6])) for edge in edges],
    )


def _check_other_nodes(db: sqlite3.Connection) -> Iterator[str]:
    """Compare the nodes of which no record was loaded, and note which dependencies are odd."""
    odd = db.execute(
        "SELECT dependency, number, named.spec, name, path, spec.package"
        " FROM named LEFT JOIN spec ON spec.hash = dependency"
        " WHERE spec.package IS NOT name ORDER BY dependency, number, named.spec"
    )
    elsewhere = {
        row[0]: row[1:4]
        for row in db.execute(
            "SELECT hash, other.package, other.version, external, min(number) FROM other"
            " JOIN page ON page.id = page WHERE NOT refused GROUP BY hash"
        )
    }
    expected: list[Row] = []
    remarks: list[Problem] = []
    for dependency, rows in groupby(odd.fetchall(), key=itemgetter(0)):
        _, _, spec, name, path, package = next(rows)
        if package is not None:
            message = problems.other_name(spec, dependency, name, package)
            remarks.append(Problem(path, 0, "conflict", message))
        elif dependency in elsewhere:
            package, version, external = elsewhere[dependency]
            kind = "missing" if external is None else "external"
            expected.append((dependency, package, version, kind, external or None))
        else:
            expected.append((dependency, name, None, "missing", None))
            message = problems.missing_record(spec, name, dependency)
            remarks.append(Problem(path, 0, "missing-record", message))
    db.executemany(
        "INSERT INTO remark SELECT id, 0, ?2, ?3 FROM page WHERE path = ?1",
        [(one.source, one.kind, one.message) for one in problems.limited(remarks)],
    )
    others = _select(schema.NODES, "WHERE hash NOT IN (SELECT hash FROM spec)")
    yield from _compare(schema.NODES, expected, db.execute(others))


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
            if column == "dependencies" and value == _without_virtuals(kept):
                continue
            if column == "dependencies" and kept == _without_virtuals(value):
                # The same with what they provide, which the newest source does not tell.
                newest, kept = one, value
                continue
            where = newest.path if newest.release == one.release else newest.release
            shown = (_plain(column, kept), where, _plain(column, value))
            message = problems.conflict(one.hash, column, *shown)
            db.execute(
                "INSERT INTO remark VALUES (?, ?, 'conflict', ?)", [one.page, one.line, message]
            )
    return kept


def _without_virtuals(dependencies: str) -> str:
    return as_json([[*edge[:6], []] for edge in json.loads(dependencies)])


def _meaning(column: str, value: Any) -> object:
    return _variant_values(value) if column == "variants" else value


def _plain(column: str, value: Any) -> object:
    if column == "dependencies":
        return [problems.dependency(*edge) for edge in json.loads(value)]
    return _values(value) if column == "variants" else value


def _spec_rows(
    kept: _Listing,
    listings: Sequence[_Listing],
    in_stacks: Collection[tuple[str, str]],
    positions: Mapping[str, int],
) -> tuple[Collection[Row], ...]:
    """The rows of a spec in `specs`, `spec_stacks`, `spec_releases` and `spec_variants`."""
    stacks = {(kept.hash, stack, release) for stack, release in in_stacks}
    releases: dict[str, str | None] = {}
    for one in listings:
        releases[one.release] = releases.get(one.release) or one.tarball
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
        as_json(list(releases)),
        positions[listings[0].release],
        kept.namespace,
        kept.flags,
        kept.build_spec,
    )
    return (
        [row],
        stacks,
        [(kept.hash, release, tarball) for release, tarball in releases.items()],
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
        # For each release, how many tarballs are in each of the two places of its mirror.
        self._tarballs: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))

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
        for _, release, tarball in in_releases:
            self._release_packages[release].add(kept.package)
            early, plain = self._tarballs[release]
            more = mirrors.count_tarballs(release, [tarball] if tarball else [])
            self._tarballs[release] = early + more[0], plain + more[1]
        self._specs["packages"][kept.package] += 1
        self._specs["targets"][kept.target] += 1
        self._specs["stacks"].update(stacks)
        self._specs["releases"].update(release for _, release, _ in in_releases)
        self._variants.update(_variant_values(kept.variants))

    def rows(self, db: sqlite3.Connection) -> Iterator[tuple[Table, Collection[Row]]]:
        """The rows of each table that follows from the specs and the accepted pages."""
        releases: dict[str, set[str]] = defaultdict(set)
        for package, release in db.execute(
            "SELECT DISTINCT package, release FROM page WHERE NOT refused AND kind = 'page'"
        ):
            releases[package].add(release)
        for release, packages in self._release_packages.items():
            for package in packages:
                releases[package].add(release)
        yield schema.PACKAGES, [self._package(*one) for one in releases.items()]
        homes: dict[str, tuple[str, int | None]] = {}
        for release, stack, home, layout in db.execute(
            "SELECT release, stack, home, layout FROM page WHERE NOT refused AND kind = 'index'"
            " ORDER BY number"
        ):
            homes.setdefault(release, (home, layout))
            self._stack_releases[stack].add(release)
        yield schema.STACKS, [self._stack(name) for name in self._stack_releases]
        yield (
            schema.RELEASES,
            [self._release(name, homes.get(name)) for name in self.positions],
        )
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

    def _release(self, name: str, cache: tuple[str, int | None] | None) -> Row:
        release = release_of(name)
        home, layout = cache or (None, None)
        return (
            name,
            release.kind,
            release.date,
            self.positions[name],
            len(self._release_packages[name]),
            self._specs["releases"][name],
            mirrors.mirror(name, *self._tarballs[name], home),
            layout,
        )


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
        yield f"specs {spec}, version_rank: sources say {rank}, database says {has}"


def _check_sources(db: sqlite3.Connection) -> Iterator[str]:
    expected = (
        "SELECT path, kind, iif(refused, NULL, release), iif(refused, NULL, package),"
        " iif(refused, NULL, stack), iif(refused, NULL, layout), iif(refused, NULL, version),"
        " iif(refused, NULL, num_records), iif(refused, NULL, num_specs), bytes, sha256 FROM page"
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
        "INSERT INTO expected SELECT path, remark.line, remark.kind, message FROM remark"
        " JOIN page ON page.id = remark.page"
        " WHERE refused OR NOT copy OR remark.kind LIKE 'path-%'"
    )
    for path, line, stack, rows in _overruled(db):
        row = (path, line, "stack", problems.overruled(stack, rows))
        db.execute("INSERT INTO expected VALUES (?, ?, ?, ?)", row)
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


def _overruled(db: sqlite3.Connection) -> Iterator[tuple[str, int, str, list[str]]]:
    rows = db.execute(
        "SELECT path, page.line, overruled.stack, hash FROM overruled"
        " JOIN page ON page.id = overruled.page ORDER BY path, overruled.stack"
    ).fetchall()
    for (path, line, stack), group in groupby(rows, key=itemgetter(0, 1, 2)):
        yield path, line, stack, [row[3] for row in group]
