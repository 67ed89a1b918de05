"""Write the database from the staging databases, and swap it in when it is complete.

Every table is filled in the order of its key, so the file needs no VACUUM, and the same pages
give the same bytes however they were shared out among processes.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path

import archspec.cpu

from etl import problems
from etl.order import parse_release, release_key, releases_newest_first
from etl.problems import as_json
from etl.schema import APPLICATION_ID, MIRROR, create_indexes, create_tables
from etl.stage import SHARD_TABLES

PRAGMAS = (
    # A quarter less time than with the usual 4096, as each page is written by a call of its own.
    "page_size = 8192",
    # Nobody reads the file before it is complete, and an interrupted one is deleted.
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    # Large sorts are faster through files than in memory, and with a thread beside.
    "temp_store = FILE",
    "threads = 1",
    f"cache_size = -{4 * 1024}",
    f"application_id = {APPLICATION_ID}",
)
"""How a new database is written."""


@contextmanager
def staging(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a staging folder: `files` and a view on each table of all shards."""
    connection = sqlite3.connect("", uri=True)
    with closing(connection):
        attach_staging(connection, folder)
        yield connection


def attach_staging(connection: sqlite3.Connection, folder: Path) -> None:
    """Make `files` and the tables of all shards readable as temporary views `staged_*`."""
    connection.execute("ATTACH ? AS files", [_read_only(folder / "files.db")])
    shards = sorted(folder.glob("shard-*.db"))
    for number, shard in enumerate(shards):
        connection.execute(f"ATTACH ? AS shard{number}", [_read_only(shard)])
    connection.create_function("unknown_key", 3, problems.unknown_key, deterministic=True)
    for table, columns in SHARD_TABLES.items():
        parts = [
            f"SELECT {', '.join(columns)} FROM shard{number}.{table}"
            for number in range(len(shards))
        ]
        connection.execute(f"CREATE TEMP VIEW staged_{table} AS {' UNION ALL '.join(parts)}")
    connection.execute(_ALL_PROBLEMS)


# A key nobody knows is named once for the whole build.
_ALL_PROBLEMS = """
CREATE TEMP VIEW all_problems AS
SELECT page, line, severity, kind, message FROM staged_problems
UNION ALL
SELECT min(page), 0, 'warning', 'unknown-key', unknown_key(place, key, sum(occurrences))
FROM staged_unknown_keys GROUP BY place, key
"""


def _read_only(file: Path) -> str:
    return f"{file.resolve().as_uri()}?mode=ro&immutable=1"


def clashes(staged: sqlite3.Connection, refused: Mapping[str, str]) -> dict[str, str]:
    """Pages to refuse because a hash of theirs belongs to another package on an earlier page.

    Goes through the pages that share such hashes in page order: newest release first, then by
    path. Stops behind a refused page that kept another page of the same release and package out,
    for that one must have its turn before the pages behind it.

    Args:
        staged: a connection of `staging`.
        refused: the pages that are refused already.

    Returns:
        The pages and the reasons; empty if every hash has one package.
    """
    staged.execute(
        "CREATE TEMP TABLE shared AS SELECT hash FROM staged_specs"
        " GROUP BY hash HAVING count(*) > 1"
    )
    if not staged.execute("SELECT 1 FROM shared LIMIT 1").fetchone():
        return {}
    pages: dict[tuple[str, str, str], set[str]] = {}
    for spec, release, path, package in staged.execute(_SHARED_HASHES):
        pages.setdefault((release, path, package), set()).add(spec)
    in_order = sorted(sorted(pages, key=itemgetter(1)), key=_age, reverse=True)
    owners: dict[str, tuple[str, str]] = {}
    found: dict[str, str] = {}
    for release, path, package in in_order:
        hashes = sorted(pages[release, path, package])
        other = next((h for h in hashes if owners.get(h, (package,))[0] != package), None)
        if other is None:
            owners |= dict.fromkeys(hashes, (package, path))
            continue
        found[path] = f"hash {other} is of package {owners[other][0]} in {owners[other][1]}"
        if _has_twin(staged, path, {*refused, *found}):
            break
    return found


_SHARED_HASHES = """
SELECT specs.hash, accepted.release, accepted.path, accepted.package
FROM shared JOIN staged_specs AS specs USING (hash)
JOIN staged_spec_releases AS present
    ON present.spec = specs.hash AND present.package = specs.package
JOIN staged_accepted AS accepted
    ON accepted.package = specs.package AND accepted.release = present.release
"""


def _age(page: tuple[str, str, str]) -> tuple[object, ...]:
    return release_key(page[0])


def _has_twin(staged: sqlite3.Connection, path: str, refused: Collection[str]) -> bool:
    twins = staged.execute(
        "SELECT twin.path FROM files.files AS page JOIN files.files AS twin"
        " ON twin.release = page.release AND twin.package = page.package"
        " WHERE page.path = ? AND twin.path <> page.path",
        [path],
    )
    return any(twin not in refused for (twin,) in twins)


def write_database(file: Path, folder: Path, fingerprint: int) -> None:
    """Write a new database from a staging folder.

    Args:
        file: the database, which must not exist.
        folder: the staging folder.
        fingerprint: what made it, for `PRAGMA user_version`.

    Raises:
        sqlite3.Error: the file cannot be written, for example because the disk is full.
    """
    with closing(sqlite3.connect(file, uri=True, isolation_level=None)) as connection:
        for pragma in (*PRAGMAS, f"user_version = {fingerprint}"):
            connection.execute(f"PRAGMA {pragma}")
        attach_staging(connection, folder)
        connection.execute("BEGIN")
        create_tables(connection)
        _fill(connection)
        create_indexes(connection)
        connection.execute("ANALYZE main")
        connection.execute("COMMIT")


def _fill(connection: sqlite3.Connection) -> None:
    _fill_releases(connection)
    for statement in _FILL:
        connection.execute(statement)
    _fill_stacks(connection)
    _fill_targets(connection)


_FILL = (
    "INSERT INTO packages SELECT * FROM staged_packages ORDER BY name",
    "INSERT INTO specs SELECT * FROM staged_specs ORDER BY package, hash",
    """
    INSERT INTO spec_releases
    SELECT spec, release, tarball FROM staged_spec_releases ORDER BY spec, release
    """,
    "INSERT INTO spec_stacks SELECT * FROM staged_spec_stacks ORDER BY spec, stack, release",
    "INSERT INTO spec_variants SELECT * FROM staged_spec_variants ORDER BY spec, variant",
    """
    INSERT INTO variants
    SELECT variant, name, value, sum(num_specs)
    FROM staged_package_variants GROUP BY variant, name, value ORDER BY variant
    """,
    """
    INSERT INTO pages
    SELECT path, accepted.release, accepted.package, num_specs, bytes, sha256
    FROM files.files LEFT JOIN staged_accepted AS accepted USING (path) ORDER BY path
    """,
    """
    INSERT INTO problems (page, severity, kind, message)
    SELECT page, severity, kind, message FROM temp.all_problems
    ORDER BY page, line, kind, message
    """,
)


def _fill_releases(connection: sqlite3.Connection) -> None:
    counts = {
        release: (packages, specs)
        for release, packages, specs in connection.execute(
            "SELECT release, sum(num_specs > 0), sum(num_specs)"
            " FROM staged_package_releases GROUP BY release"
        )
    }
    for position, name in enumerate(releases_newest_first(counts), start=1):
        release = parse_release(name)
        if release is None:
            raise AssertionError(f"a page of release {name!r} was accepted")
        row = (name, release.kind, release.date, position, *counts[name], MIRROR + name)
        connection.execute("INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _fill_stacks(connection: sqlite3.Connection) -> None:
    releases: dict[str, set[str]] = {}
    for stack, release in connection.execute(
        "SELECT DISTINCT stack, release FROM staged_stack_releases"
    ):
        releases.setdefault(stack, set()).add(release)
    counted = connection.execute(
        "SELECT stack, count(*), sum(num_specs) FROM staged_package_stacks"
        " GROUP BY stack ORDER BY stack"
    ).fetchall()
    for stack, packages, specs in counted:
        row = (stack, packages, specs, as_json(releases_newest_first(releases[stack])))
        connection.execute("INSERT INTO stacks VALUES (?, ?, ?, ?)", row)


def _fill_targets(connection: sqlite3.Connection) -> None:
    """All targets of the pages and of archspec, the library that Spack itself uses."""
    known = archspec.cpu.TARGETS
    counts = dict(
        connection.execute("SELECT target, count(*) FROM specs GROUP BY target").fetchall()
    )
    for name in sorted({*counts, *known}):
        target = known.get(name)
        vendor, family = (target.vendor, str(target.family)) if target else (None, None)
        row = (name, vendor, family, counts.get(name, 0))
        connection.execute("INSERT INTO targets VALUES (?, ?, ?, ?)", row)
    for name in sorted({*counts, *known}):
        ancestors = [str(one) for one in known[name].ancestors] if name in known else []
        connection.executemany(
            "INSERT INTO target_compatibility VALUES (?, ?)",
            [(name, runs) for runs in sorted({name, *ancestors})],
        )


def swap_in(new: Path, database: Path) -> None:
    """Put the complete file in the database's place, in one step."""
    _sync(new)
    new.replace(database)
    _sync(database.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
