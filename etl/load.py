"""Write the database from the staging databases.

Every table is filled in the order of its key, so the file needs no VACUUM, and the same pages
give the same bytes however they were shared out among processes.
"""

import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from etl.errors import FailedError
from etl.mirrors import mirror
from etl.order import release_of, releases_newest_first
from etl.schema import (
    APPLICATION_ID,
    MAX_ROW,
    PACKAGES,
    SOURCES,
    SPECS,
    STACKS,
    Table,
    create_indexes,
    create_tables,
)
from etl.spelling import as_json
from etl.staging import attach_staging, decode_edges, insert_rows
from etl.targets import all_targets

_SPECS_AT_A_TIME = 500

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


def write_database(file: Path, folder: Path, fingerprint: int) -> None:
    """Write a new database from a staging folder.

    Args:
        file: the database, which must not exist.
        folder: the staging folder.
        fingerprint: what made it, for `PRAGMA user_version`.

    Raises:
        FailedError: a row would be larger than the site can show.
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
    _fill_dependencies(connection)
    _fill_stacks(connection)
    _fill_targets(connection)
    _check_size(connection, STACKS, "stacks", MAX_ROW // 4)


_FILL = (
    "INSERT INTO packages SELECT * FROM staged_packages ORDER BY name",
    f"""
    INSERT INTO specs
    SELECT {", ".join(n if n != "newest" else "position" for n in SPECS.column_names)}
    FROM staged_specs JOIN releases ON releases.name = newest ORDER BY package, hash
    """,
    """
    INSERT INTO spec_releases
    SELECT spec, release, tarball FROM staged_spec_releases ORDER BY spec, release
    """,
    "INSERT INTO spec_stacks SELECT * FROM staged_spec_stacks ORDER BY spec, stack, release",
    # Each spec's list is sorted once, and not each of its variants.
    "CREATE TEMP TABLE lists (list, variant, PRIMARY KEY (list, variant)) WITHOUT ROWID",
    "INSERT INTO lists SELECT list, variant FROM staged_lists ORDER BY list, variant",
    "CREATE TEMP TABLE listed (spec PRIMARY KEY, list) WITHOUT ROWID",
    "INSERT INTO listed SELECT spec, list FROM staged_spec_lists ORDER BY spec",
    """
    INSERT INTO spec_variants
    SELECT spec, variant FROM listed CROSS JOIN lists USING (list) ORDER BY spec, variant
    """,
    """
    INSERT INTO variants
    SELECT variant, name, value, sum(num_specs)
    FROM staged_package_variants GROUP BY variant, name, value ORDER BY variant
    """,
    "INSERT INTO nodes SELECT * FROM staged_nodes ORDER BY hash",
    f"""
    INSERT INTO sources
    SELECT {", ".join(SOURCES.column_names)} FROM staged_sources ORDER BY path
    """,
    """
    INSERT INTO problems (source, severity, kind, message)
    SELECT source, severity, kind, message FROM temp.all_problems
    ORDER BY source, line, kind, message
    """,
)


def _fill_releases(connection: sqlite3.Connection) -> None:
    counts = {
        release: numbers
        for release, *numbers in connection.execute(
            "SELECT release, sum(num_specs > 0), sum(num_specs), sum(in_releases), sum(elsewhere)"
            " FROM staged_package_releases GROUP BY release"
        )
    }
    caches = {
        release: where
        for release, *where in connection.execute(
            "SELECT release, mirror, layout FROM staged_homes"
        )
    }
    names = releases_newest_first({*counts, *caches})
    for position, name in enumerate(names, start=1):
        release = release_of(name)
        packages, specs, in_releases, elsewhere = counts.get(name, (0, 0, 0, 0))
        home, layout = caches.get(name, (None, None))
        address = mirror(name, in_releases, elsewhere, home)
        row = (name, release.kind, release.date, position, packages, specs, address, layout)
        connection.execute("INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _fill_dependencies(connection: sqlite3.Connection) -> None:
    in_order = connection.execute("SELECT spec, edges FROM staged_edges ORDER BY spec")
    while part := in_order.fetchmany(_SPECS_AT_A_TIME):
        rows = [
            (spec, one.hash, one.build, one.link, one.run, one.test, _json(one.virtuals))
            for spec, edges in part
            for one in decode_edges(edges)
        ]
        insert_rows(connection, "dependencies", rows)


_json = lru_cache(maxsize=1024)(as_json)


def _fill_stacks(connection: sqlite3.Connection) -> None:
    releases: dict[str, set[str]] = {}
    for stack, release in connection.execute(
        "SELECT DISTINCT stack, release FROM staged_stack_releases"
    ):
        releases.setdefault(stack, set()).add(release)
    counted = connection.execute(
        # An index can have no binary at all; its stack is there all the same.
        "SELECT stack, count(package), coalesce(sum(num_specs), 0)"
        " FROM (SELECT DISTINCT stack FROM staged_stack_releases)"
        " LEFT JOIN staged_package_stacks USING (stack) GROUP BY stack ORDER BY stack"
    ).fetchall()
    for stack, packages, specs in counted:
        row = (stack, packages, specs, as_json(releases_newest_first(releases[stack])))
        connection.execute("INSERT INTO stacks VALUES (?, ?, ?, ?)", row)


def _fill_targets(connection: sqlite3.Connection) -> None:
    counts = dict(
        connection.execute("SELECT target, count(*) FROM specs GROUP BY target").fetchall()
    )
    targets = all_targets(counts)
    connection.executemany(
        "INSERT INTO targets VALUES (?, ?, ?, ?)",
        [(one.name, one.vendor, one.family, counts.get(one.name, 0)) for one in targets],
    )
    connection.executemany(
        "INSERT INTO target_compatibility VALUES (?, ?)",
        [(one.name, runs) for one in targets for runs in one.runs],
    )


def check_packages(staged: sqlite3.Connection) -> None:
    """Make sure that the site can show every package, and so its specs.

    The arrays of a spec are among those of its package, and its variants are bounded on its page.

    Args:
        staged: a connection to the staging folder.

    Raises:
        FailedError: it cannot.
    """
    _check_size(staged, PACKAGES, "staged_packages", MAX_ROW // 4)


def _check_size(connection: sqlite3.Connection, table: Table, rows: str, most: int) -> None:
    size = " + ".join(f"length(CAST({column} AS BLOB))" for column in table.column_names)
    row = connection.execute(
        f"SELECT name, {size} FROM {rows} WHERE {size} > {most} ORDER BY name LIMIT 1"
    ).fetchone()
    if row:
        raise FailedError(
            f"{table.name} {row[0]}: a row of {row[1]:,} bytes, and at most {most:,} can be shown;"
            " leave releases out: name the others with --release"
        )
