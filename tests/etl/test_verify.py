"""`verify` finds every difference between a database and its pages, and nothing else."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etl.build import Request
from etl.errors import FailedError, WrongUseError
from etl.schema import PROBLEMS, TABLES, Column, Table
from etl.verify import verify
from tests.conftest import build
from tests.etl import mirror
from tests.pages import REAL, dag_hash, meta_of, page, spec, write, write_specs

Tamper = Callable[..., Path]

OTHERS = [table for table in TABLES if table is not PROBLEMS]


def write_odd(folder: Path) -> Path:
    """Pages that are merged, disagree, are odd in every way that is a warning, or are refused.

    There is an index too, of what is external, missing, or depends on others.
    """
    write_specs(
        folder,
        "develop",
        "zlib",
        spec("one", compiler="none", variants=["+pic", "libs='shared,static'"], stacks=[]),
        spec("two", compiler="gcc@=13.2.0", target="my_own", size=7, tarball="https://x.org/two"),
    )
    write_specs(
        folder,
        "develop-2025-03-23",
        "zlib",
        spec("one", compiler="gcc@=11.4.0", size=5, variants=["libs:='static,shared'", "+pic"]),
        spec("two", versions=["1.1"], os="centos7", platform="darwin", size=8, variants=["~pic"]),
    )
    write_specs(folder, "v0.18", "zlib", spec("one", compiler="gcc@9", target="zen4", size=5))
    write_specs(folder, "v0.18.0", "empty")

    odd = spec("three", new=1, stacks=["root", "root"], variants=["x=1", "x:=1", "++y", "z==''"])
    meta = meta_of([spec("other", compiler="gcc@=13.2.0", os="rhel8")]) | {
        "num_specs": 3,
        "newer": 1,
    }
    text = page("cmake", "v0.20.0", [odd], meta).replace(
        "layout: cache", "layout: other\nnewest: 1"
    )
    write(folder, "v0.20.0", "cmake", f"{text}\nMore text.\n")
    write(folder, "v0.21.0", "make", f"{text}\nMore text.\n")
    write(folder, "v0.22.0", "cmake", page("cmake", "v0.20.0", [spec("four")]))

    write_specs(folder, "v0.19.0", "thief", spec("one"))
    write(folder, "v0.19.0", "cut", page("cut", "v0.19.0", [spec("five")])[:-40])
    write(folder, "v0.19.0", "text", b"\xff")

    cmake = mirror.record("cmake", external={"path": "/usr"})
    hole = mirror.record("curl", in_buildcache=False)
    deps = [mirror.dep("cmake", types=["build"], virtuals=["make"]), mirror.dep("curl")]
    mirror.write_layout3(folder / "our", mirror.index(cmake, hole, mirror.record("app", deps=deps)))
    return folder


@pytest.fixture(scope="module")
def odd_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_odd(tmp_path_factory.mktemp("odd") / "pages")


@pytest.fixture(scope="module")
def odd_database(odd_pages: Path) -> Path:
    return build(odd_pages.parent / "spack-cache.db", odd_pages, "--skip-bad")


@pytest.fixture
def tamper(odd_database: Path, tmp_path: Path) -> Tamper:
    """Changes a copy of the database with one statement of SQL."""

    def change(sql: str, *parameters: object) -> Path:
        copy = tmp_path / "tampered.db"
        if not copy.exists():
            shutil.copy(odd_database, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.execute(sql, parameters)
        return copy

    return change


def differences(database: Path, *pages: Path) -> list[str]:
    return list(verify(database, Request(pages)))


def some_row(database: Path, table: Table) -> tuple[Any, ...]:
    """The row of a table that comes first by its key."""
    with closing(sqlite3.connect(database)) as connection:
        order = ", ".join(table.key)
        sql = f"SELECT * FROM {table.name} ORDER BY {order} LIMIT 1"
        return tuple(connection.execute(sql).fetchone())


def changed(column: Column, value: Any) -> Any:
    return (value or 0) + 1000 if column.type == "INTEGER" else f"{value or ''}x"


def key_of(table: Table, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[: len(table.key)]


def by_key(table: Table) -> str:
    return " AND ".join(f"{name} = ?" for name in table.key)


def shown(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))


def missing(table: Table, row: tuple[Any, ...]) -> str:
    key = shown(key_of(table, row))
    # The rank of a version is compared by itself.
    said = [
        value for name, value in zip(table.column_names, row, strict=True) if name != "version_rank"
    ]
    return f"{table.name} {key}: missing in the database; sources say {shown(tuple(said))}"


def extra(table: Table, row: tuple[Any, ...]) -> str:
    return f"{table.name} {shown(key_of(table, row))}: in the database, but no source says so"


def test_the_real_pages_are_in_the_database(real_database: Path) -> None:
    assert differences(real_database, REAL) == []


def test_merged_odd_and_refused_pages_are_in_the_database(
    odd_database: Path, odd_pages: Path
) -> None:
    assert differences(odd_database, odd_pages) == []
    with closing(sqlite3.connect(odd_database)) as connection:
        kinds = connection.execute("SELECT kind, count(*) FROM problems GROUP BY kind").fetchall()
    assert dict(kinds) == {
        "body": 1,
        "conflict": 9,
        "encoding": 1,
        "front-matter": 1,
        "layout": 1,
        "meta": 4,
        "path-package": 1,
        "path-release": 1,
        "repeated-value": 2,
        "two-packages": 1,
        "two-pages": 1,
        "unknown-key": 3,
    }


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table in OTHERS for column in table.columns],
    ids=lambda part: part.name,
)
def test_every_changed_value_is_found(
    odd_database: Path, odd_pages: Path, tamper: Tamper, table: Table, column: Column
) -> None:
    row = some_row(odd_database, table)
    place = table.column_names.index(column.name)
    value = changed(column, row[place])
    database = tamper(
        f"UPDATE {table.name} SET {column.name} = ? WHERE {by_key(table)}",
        value,
        *key_of(table, row),
    )
    found = differences(database, odd_pages)
    if column.name in table.key:
        assert missing(table, row) in found
        assert extra(table, (*row[:place], value, *row[place + 1 :])) in found
    else:
        said = f"sources say {row[place]!r}, database says {value!r}"
        assert f"{table.name} {shown(key_of(table, row))}, {column.name}: {said}" in found


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.name)
def test_every_deleted_row_is_found(
    odd_database: Path, odd_pages: Path, tamper: Tamper, table: Table
) -> None:
    row = some_row(odd_database, table)
    database = tamper(f"DELETE FROM {table.name} WHERE {by_key(table)}", *key_of(table, row))
    assert missing(table, row) in differences(database, odd_pages)


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.name)
def test_every_added_row_is_found(
    odd_database: Path, odd_pages: Path, tamper: Tamper, table: Table
) -> None:
    first, *rest = some_row(odd_database, table)
    row = (changed(table.columns[0], first), *rest)
    database = tamper(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(row))})", *row)
    assert extra(table, row) in differences(database, odd_pages)


LAST = "v0.22.0/cmake/specs.md"
MESSAGE = "the folder says release 'v0.21.0', the front matter 'v0.20.0', which counts"
FINGERPRINT = "user_version: another version of this tool made the database, or of a library of it"
STATISTICS = "statistics of idx_problems_source: expected {} rows, database says 26"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "SET id = 0 WHERE id = 25",
            [
                "problems 0: in the database, but no source says so",
                "problems 25: missing in the database; sources say "
                f"25, v0.21.0/make/specs.md, warning, path-release, {MESSAGE}",
            ],
        ),
        (
            f"SET source = '{LAST}' WHERE id = 25",
            [f"problems 25, source: sources say 'v0.21.0/make/specs.md', database says '{LAST}'"],
        ),
        (
            "SET severity = 'error' WHERE id = 25",
            ["problems 25, severity: sources say 'warning', database says 'error'"],
        ),
        (
            "SET kind = 'path-package' WHERE id = 25",
            ["problems 25, kind: sources say 'path-release', database says 'path-package'"],
        ),
        (
            "SET message = 'other' WHERE id = 25",
            [f"problems 25, message: sources say \"{MESSAGE}\", database says 'other'"],
        ),
        (
            "SET kind = 'two-packages' WHERE id = 26",
            ["problems 26, kind: sources say 'two-pages', database says 'two-packages'"],
        ),
        (
            "SET message = 'hash x is of package y in z' WHERE kind = 'two-packages'",
            [
                f"problems 12, message: sources say 'hash {dag_hash('one')} is of package zlib in "
                "develop/zlib/specs.md', database says 'hash x is of package y in z'"
            ],
        ),
        (
            "SET message = 'bad' WHERE kind = 'encoding'",
            [
                "problems 11, message: sources say 'byte 0xff is not UTF-8: invalid start byte', "
                "database says 'bad'"
            ],
        ),
    ],
)
def test_every_changed_problem_is_found(
    odd_pages: Path, tamper: Tamper, change: str, expected: list[str]
) -> None:
    assert differences(tamper(f"UPDATE problems {change}"), odd_pages) == expected


def test_a_deleted_warning_is_found(odd_pages: Path, tamper: Tamper) -> None:
    assert differences(tamper("DELETE FROM problems WHERE id = 25"), odd_pages) == [
        STATISTICS.format(25),
        "problems 25: missing in the database; "
        f"sources say 25, v0.21.0/make/specs.md, warning, path-release, {MESSAGE}",
    ]


def test_a_deleted_error_is_found(odd_pages: Path, tamper: Tamper) -> None:
    assert differences(tamper("DELETE FROM problems WHERE id = 26"), odd_pages) == [
        STATISTICS.format(25),
        f"problems 26: missing in the database; sources say 26, {LAST}, error, two-pages, "
        "v0.20.0/cmake/specs.md is another page of cmake in v0.20.0",
    ]


def test_an_added_problem_is_found(odd_pages: Path, tamper: Tamper) -> None:
    tamper("INSERT INTO problems SELECT 27, source, severity, kind, message FROM problems LIMIT 1")
    database = tamper(
        "INSERT INTO problems VALUES (28, 'v0.20.0/cmake/specs.md', 'error', 'yaml', 'bad')"
    )
    assert differences(database, odd_pages) == [
        STATISTICS.format(28),
        "problems 27: in the database, but no source says so",
        "problems 28: in the database, but no source says so",
    ]


def test_a_page_that_was_not_read_is_found(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    write_specs(pages, "develop", "zlib", spec("one"))
    database = build(tmp_path / "a.db", pages)
    write_specs(pages, "develop-2025-03-23", "zlib", spec("one"))
    found = differences(database, pages)
    spec_hash = dag_hash("one")
    new = "develop-2025-03-23"
    assert [line for line in found if not line.startswith("sources ")] == [
        f"""specs {spec_hash}, releases: sources say '["develop","{new}"]', """
        """database says '["develop"]'""",
        *(
            f"spec_stacks {spec_hash}, {stack}, {new}: missing in the database; "
            f"sources say {spec_hash}, {stack}, {new}"
            for stack in ("e4s", "root")
        ),
        f"spec_releases {spec_hash}, {new}: missing in the database; "
        f"sources say {spec_hash}, {new}, None",
        f"""packages zlib, releases: sources say '["develop","{new}"]', """
        """database says '["develop"]'""",
        f"""stacks e4s, releases: sources say '["develop","{new}"]', database says '["develop"]'""",
        f"""stacks root, releases: sources say '["develop","{new}"]', database says '["develop"]'""",
        f"releases {new}: missing in the database; sources say {new}, snapshot, 2025-03-23, 2, 1, 1, "
        f"https://binaries.spack.io/{new}, None",
    ]
    (page_line,) = [line for line in found if line.startswith("sources ")]
    assert page_line.startswith(
        f"sources {new}/zlib/specs.md: missing in the database; sources say "
    )


def test_a_page_that_is_gone_is_found(tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "zlib", spec("one"))
    write_specs(tmp_path / "pages", "develop", "gone")
    database = build(tmp_path / "a.db", tmp_path / "pages")
    (tmp_path / "pages/develop/gone/specs.md").unlink()
    assert differences(database, tmp_path / "pages") == [
        "packages gone: in the database, but no source says so",
        "sources develop/gone/specs.md: in the database, but no source says so",
    ]


def test_a_bad_page_that_was_loaded_is_found(tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "zlib", spec("one"))
    file = write_specs(tmp_path / "pages", "develop", "bad")
    database = build(tmp_path / "a.db", tmp_path / "pages")
    file.write_bytes(b"\xff")
    found = differences(database, tmp_path / "pages")
    name = "sources develop/bad/specs.md"
    assert f"{name}, release: sources say None, database says 'develop'" in found
    assert f"{name}, num_specs: sources say None, database says 0" in found
    assert (
        "problems 1: missing in the database; sources say 1, develop/bad/specs.md, error, encoding, "
        "byte 0xff is not UTF-8: invalid start byte" in found
    )


def test_a_good_page_that_was_refused_is_found(tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "zlib", spec("one"))
    file = write(tmp_path / "pages", "develop", "good", "bad")
    database = build(tmp_path / "a.db", tmp_path / "pages", "--skip-bad")
    file.write_text(page("good", "develop", []))
    found = differences(database, tmp_path / "pages")
    name = "sources develop/good/specs.md"
    assert f"{name}, release: sources say 'develop', database says None" in found
    assert "problems 1: in the database, but no source says so" in found


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["-r", "develop"], {"releases": ["develop"]}),
        (["-p", "zlib", "-p", "cut"], {"packages": ["zlib", "cut"]}),
        (["-r", "v0.19.0", "-p", "text"], {"releases": ["v0.19.0"], "packages": ["text"]}),
    ],
)
def test_only_some_releases_and_packages(
    odd_pages: Path, tmp_path: Path, options: list[str], named: dict[str, list[str]]
) -> None:
    database = build(tmp_path / "a.db", odd_pages, "--skip-bad", *options)
    assert list(verify(database, Request((odd_pages,), **named))) == []
    assert list(verify(database, Request((odd_pages,)))) != []


def test_pages_named_themselves_and_twice(tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text(page("zlib", "develop", [spec("one")]))
    other = tmp_path / "other" / "copy.md"
    other.parent.mkdir()
    other.write_text(page("zlib", "develop", [spec("two")]))
    bad = tmp_path / "bad.txt"
    bad.write_text("bad")
    write_specs(tmp_path / "a", "develop", "zlib", spec("one"))
    write_specs(tmp_path / "b", "develop", "zlib", spec("three"))
    paths = [copy, other, bad, tmp_path / "a", tmp_path / "b", tmp_path / "a/develop"]
    database = build(tmp_path / "a.db", *paths, "--skip-bad")
    assert differences(database, *reversed(paths)) == []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT path, num_specs FROM sources").fetchall() == [
            ("bad.txt", None),
            ("develop/zlib/copy.md", 1),
            ("develop/zlib/copy.md (2)", None),
            ("develop/zlib/specs.md", None),
            ("develop/zlib/specs.md (2)", 1),
        ]


def test_one_name_for_two_packages_is_decided_by_the_newest_page(tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "new", spec("one"))
    write_specs(tmp_path / "pages", "v0.20.0", "old", spec("one"))
    write(tmp_path / "pages", "v0.20.0", "other", page("old", "v0.20.0", [spec("two")]))
    write_specs(tmp_path / "pages", "v0.19.0", "older", spec("two"))
    database = build(tmp_path / "a.db", tmp_path / "pages", "--skip-bad")
    assert differences(database, tmp_path / "pages") == []
    with closing(sqlite3.connect(database)) as connection:
        kinds = connection.execute("SELECT source, kind FROM problems WHERE severity = 'error'")
        assert kinds.fetchall() == [
            ("v0.19.0/older/specs.md", "two-packages"),
            ("v0.20.0/old/specs.md", "two-packages"),
        ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "DROP INDEX idx_releases_position",
            "schema idx_releases_position: missing in the database",
        ),
        (
            "CREATE TABLE other (x)",
            "schema other: in the database, but this tool makes no such thing",
        ),
        (
            "ALTER TABLE stacks ADD COLUMN more TEXT",
            'schema stacks: expected \'table of stacks: CREATE TABLE "stacks" ( "name" TEXT PRIMARY '
            'KEY NOT NULL, "num_packages" INTEGER NOT NULL, "num_specs" INTEGER NOT NULL, '
            '"releases" TEXT NOT NULL )\', database has \'table of stacks: CREATE TABLE "stacks" '
            '( "name" TEXT PRIMARY KEY NOT NULL, "num_packages" INTEGER NOT NULL, "num_specs" '
            'INTEGER NOT NULL, "releases" TEXT NOT NULL , more TEXT)\'',
        ),
        (
            "UPDATE spec_releases SET release = 'v9' WHERE release = 'v0.18'",
            "foreign key: spec_releases refers to a row that releases does not have",
        ),
        (
            "UPDATE sources SET release = 'v9' WHERE path = 'v0.18/zlib/specs.md'",
            "foreign key: sources row 5 refers to a row that releases does not have",
        ),
    ],
)
def test_a_damaged_database_is_found(
    odd_pages: Path, tamper: Tamper, statement: str, expected: str
) -> None:
    assert expected in differences(tamper(statement), odd_pages)


# Every change that SQLite itself lets through: of the schema, of the search indexes, of the file.
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "DELETE FROM specs_fts_idx",
            ["specs_fts_idx: the search index is not that of specs.spec"],
        ),
        (
            "DELETE FROM packages_fts_idx",
            ["packages_fts_idx: the search index is not that of packages.name"],
        ),
        (
            "UPDATE specs_fts_idx SET pgno = pgno + 2",
            ["specs_fts_idx: the search index is not that of specs.spec"],
        ),
        (
            "UPDATE specs_fts_config SET v = 3 WHERE k = 'version'",
            ["specs_fts_config: the search index is not that of specs.spec"],
        ),
        (
            "INSERT INTO specs_fts_config VALUES ('rank', 'bm25(10.0)')",
            ["specs_fts_config: the search index is not that of specs.spec"],
        ),
        (
            "INSERT INTO packages_fts(packages_fts, rank) VALUES ('rank', 'bm25(10.0)')",
            [
                f"packages_fts_{part}: the search index is not that of packages.name"
                for part in ("data", "config")
            ],
        ),
        (
            "DELETE FROM specs_fts_config",
            ["specs_fts_config: the search index is not that of specs.spec"],
        ),
        (
            "INSERT INTO packages_fts(packages_fts, rowid, name) SELECT 'delete', rowid, name"
            " FROM packages WHERE name = 'zlib'",
            [
                f"packages_fts_{part}: the search index is not that of packages.name"
                for part in ("data", "idx", "docsize")
            ],
        ),
        (
            "INSERT INTO specs_fts(rowid, spec) VALUES (9, 'word')",
            [
                f"specs_fts_{part}: the search index is not that of specs.spec"
                for part in ("data", "idx", "docsize")
            ],
        ),
        (
            "UPDATE specs_fts_docsize SET sz = x'09'",
            ["specs_fts_docsize: the search index is not that of specs.spec"],
        ),
        (
            "DELETE FROM packages_fts_docsize",
            ["packages_fts_docsize: the search index is not that of packages.name"],
        ),
        ("PRAGMA user_version = 7", [FINGERPRINT]),
        (
            "CREATE TABLE sqliteXstat1 (tbl, idx, stat)",
            ["schema sqliteXstat1: in the database, but this tool makes no such thing"],
        ),
        (
            "CREATE VIEW more AS SELECT 1",
            ["schema more: in the database, but this tool makes no such thing"],
        ),
        (
            "CREATE TRIGGER more AFTER INSERT ON specs BEGIN SELECT 1; END",
            ["schema more: in the database, but this tool makes no such thing"],
        ),
        (
            "CREATE INDEX more ON specs (size)",
            [
                "schema more: in the database, but this tool makes no such thing",
                "statistics of more: expected 4 rows, database says nothing",
            ],
        ),
        (
            "DELETE FROM sqlite_stat1 WHERE idx = 'idx_specs_os'",
            ["statistics of idx_specs_os: expected 4 rows, database says nothing"],
        ),
        (
            "UPDATE sqlite_stat1 SET stat = '4000 1' WHERE idx = 'idx_specs_os'",
            ["statistics of idx_specs_os: expected 4 rows, database says 4000"],
        ),
        *(
            (
                f"UPDATE sqlite_stat1 SET stat = {value} WHERE idx = 'idx_specs_os'",
                [f"statistics of idx_specs_os: expected 4 rows, database says {said}"],
            )
            for value, said in (("NULL", "None"), ("''", ""), ("x'00'", "b'\\x00'"))
        ),
        (
            "DELETE FROM sqlite_stat1 WHERE idx = 'idx_spec_stacks_stack_release'",
            [
                "statistics of idx_spec_stacks_stack_release: expected 10 rows, database says nothing"
            ],
        ),
        (
            "DELETE FROM sqlite_stat1 WHERE idx = 'spec_stacks'",
            ["statistics of spec_stacks: expected 10 rows, database says nothing"],
        ),
        (
            "DELETE FROM sqlite_stat1 WHERE idx = 'sqlite_autoindex_specs_1'",
            ["statistics of sqlite_autoindex_specs_1: expected 4 rows, database says nothing"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_change_that_hides_facts_is_found(
    odd_pages: Path, tamper: Tamper, statement: str, expected: list[str]
) -> None:
    assert differences(tamper(statement), odd_pages) == expected


@pytest.mark.parametrize("name", ["sqlite?stat1", "sqlite_stat2", "sqlite_hidden"])
def test_a_table_with_a_name_of_sqlites_own_is_found(
    odd_pages: Path, tamper: Tamper, name: str
) -> None:
    database = tamper("CREATE TABLE other (x)")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET name = ?, tbl_name = ?, sql = ? WHERE name = 'other'",
            [name, name, f'CREATE TABLE "{name}" (x)'],
        )
    assert differences(database, odd_pages) == [
        f"schema {name}: in the database, but this tool makes no such thing"
    ]


def test_a_damaged_index_is_found(odd_pages: Path, odd_database: Path, tmp_path: Path) -> None:
    content = odd_database.read_bytes()
    with closing(sqlite3.connect(odd_database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'idx_sources_package'"
        ).fetchone()
    index = content[(root - 1) * size : root * size]
    damaged = index.replace(b"cmake", b"cmakf")
    assert damaged != index
    database = tmp_path / "damaged.db"
    database.write_bytes(content.replace(index, damaged))
    found = differences(database, odd_pages)
    assert any("missing from index idx_sources_package" in line for line in found)
    assert all(line.startswith("integrity: ") for line in found)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            [
                "CREATE TABLE more (x)",
                "INSERT INTO more VALUES (zeroblob(20000))",
                "DROP TABLE more",
            ],
            "freelist_count: expected 0, database has 3",
        ),
        (
            ["PRAGMA journal_mode = WAL"],
            "journal_mode: expected delete, database has wal",
        ),
    ],
)
def test_what_is_in_the_file_beside_the_tables_is_found(
    odd_pages: Path, tamper: Tamper, statements: list[str], expected: str
) -> None:
    for statement in statements:
        database = tamper(statement)
    assert expected in differences(database, odd_pages)


def test_a_database_with_a_write_ahead_log_is_left_as_it_is(
    odd_pages: Path, tamper: Tamper, tmp_path: Path
) -> None:
    database = tamper("PRAGMA journal_mode = WAL")
    assert differences(database, odd_pages) == ["journal_mode: expected delete, database has wal"]
    # An empty log beside it would make the next build think that it is in use.
    assert [entry.name for entry in tmp_path.iterdir()] == [database.name]


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_database_that_another_program_is_changing(
    odd_pages: Path, odd_database: Path, tmp_path: Path, suffix: str
) -> None:
    database, link = tmp_path / "a.db", tmp_path / "link.db"
    shutil.copy(odd_database, database)
    link.symlink_to(database)
    rest = tmp_path / f"a.db{suffix}"
    rest.write_text("changes")
    message = f"{rest}: another program is changing the database; close it first"
    for name in (database, link):
        with pytest.raises(WrongUseError, match="^" + re.escape(message) + "$"):
            differences(name, odd_pages)


def not_ours(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE packages (name)")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: None, "No such file or directory"),
        (lambda file: file.mkdir(), "not a file; name the database to verify"),
        (os.mkfifo, "not a file; name the database to verify"),
        (lambda file: file.write_text("text" * 1000), "file is not a database"),
        (lambda file: file.touch(), "not a database that this tool made"),
        (not_ours, "not a database that this tool made"),
    ],
)
def test_a_file_that_is_not_our_database(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    file = tmp_path / "a #1?.db"
    make(file)
    kind = FailedError if message == "file is not a database" else WrongUseError
    with pytest.raises(kind, match="^" + re.escape(f"{file}: {message}") + "$"):
        differences(file, REAL)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE problems", "table problems lacks id, source, severity, kind, message"),
        ("ALTER TABLE stacks RENAME COLUMN num_specs TO n", "table stacks lacks num_specs"),
    ],
)
def test_a_database_without_a_table_or_column(tamper: Tamper, statement: str, message: str) -> None:
    database = tamper(statement)
    with pytest.raises(FailedError, match=f"^{re.escape(str(database))}: {message}$"):
        differences(database, REAL)


def test_a_database_that_is_cut_off(odd_database: Path, odd_pages: Path, tmp_path: Path) -> None:
    content = odd_database.read_bytes()
    cut = tmp_path / "cut.db"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(FailedError, match=r"/cut\.db: database disk image is malformed$"):
        differences(cut, odd_pages)


def test_a_path_that_does_not_exist(real_database: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match=r"/none: No such file or directory$"):
        differences(real_database, tmp_path / "none")


def test_a_folder_without_pages(real_database: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WrongUseError, match=r": neither pages nor build caches here; expected <release>/"
    ):
        differences(real_database, tmp_path)


@pytest.mark.parametrize("named", [{"releases": ["nope"]}, {"packages": ["nope"]}])
def test_a_release_or_package_that_is_not_there(
    real_database: Path, named: dict[str, list[str]]
) -> None:
    what = next(iter(named)).removesuffix("s")
    with pytest.raises(WrongUseError, match=f"^nothing of {what} nope in these paths$"):
        list(verify(real_database, Request((REAL,), **named)))


def test_the_database_is_only_read(odd_database: Path, odd_pages: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(odd_database, tmp_path / "copy.db"))
    copy.chmod(0o444)
    assert differences(copy, odd_pages) == []
    assert copy.read_bytes() == odd_database.read_bytes()
    assert list(tmp_path.iterdir()) == [copy]


def test_progress_is_told(real_database: Path, tmp_path: Path) -> None:
    for number in range(150):
        write(tmp_path, "develop", f"p{number}", page(f"p{number}", "develop", []))
    told: list[tuple[str, int, int]] = []
    list(verify(real_database, Request((tmp_path,)), lambda *step: told.append(step)))
    assert told[:2] == [("Finding sources", 0, 0), ("Finding sources", 2, 0)]
    assert ("Finding sources", 150, 0) in told
    assert told[-3:] == [
        ("Reading", 64, 150),
        ("Reading", 128, 150),
        ("Reading", 150, 150),
    ]
