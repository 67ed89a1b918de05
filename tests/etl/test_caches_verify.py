"""`verify` proves a database of build caches; the same caches always give the same database."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import build
from tests.etl import mirror
from tests.etl.cache_builds import Site, query, run
from tests.etl.cache_oracle import KEYS
from tests.etl.mirror import dep, record
from tests.etl.samples import CACHES, SAMPLE
from tests.pages import REAL, dag_hash, spec

NEW_COLUMNS = {
    "nodes": ("hash", "package", "version", "kind", "external"),
    "dependencies": ("spec", "dependency", "build", "link", "run", "test", "virtuals"),
    "specs": ("size", "namespace", "flags", "build_spec"),
    "spec_releases": ("tarball",),
    "releases": ("kind", "mirror", "layout", "position"),
    "sources": ("kind", "stack", "layout", "database_version", "num_records", "num_specs"),
}
"""What build caches tell and pages do not; the contract of SCHEMA.md."""


def write_all(folder: Path) -> Site:
    """Pages and caches of every layout that are merged, disagree, and are odd in many ways."""
    site = Site(folder)
    gcc = record("gcc", "12.2.0", external={"path": "/usr", "module": None}, compiler=None)
    spliced = {"name": "hdf", "hash": dag_hash("before")}
    native = [dep("gcc", types=["build"], virtuals=["c", "cxx"]), dep("zlib", virtuals=["z"])]
    hdf = record("hdf", "1.14", deps=native, compiler=None, build_spec=spliced)
    flags = {"pic": True, "libs": ["shared", "static"], "cflags": ["-O2", "-g"]}
    zlib = record("zlib", "1.3", parameters=flags, deps=[dep("nothing", types=["test"])])
    hole = record("zlib", "1.3", in_buildcache=False)
    site.cache("develop", "root", gcc, hdf, zlib, sizes={"hdf": 7, "zlib": 8}, compression="gzip")
    site.cache("develop", "e4s", gcc, hdf, hole, sizes={"hdf": 7})
    site.cache("develop", "gpu", record("xz", "5.6"), sizes={"xz": 9})
    old = record("zlib", "1.2", compiler="gcc@11.1.0", parameters={"pic": False})
    site.cache("v0.23.1", "root", old, record("gzip", "1.13"), layout=2, sizes={"gzip": 5})
    site.page("develop", "zlib", spec("zlib", stacks=["e4s", "root"]), spec("page"))
    site.page("develop-2025-07-13", "hdf", spec("hdf", compiler="none", stacks=[]))
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return write_all(tmp_path_factory.mktemp("verify") / "site")


@pytest.fixture(scope="module")
def database(site: Site) -> Path:
    return build(site.folder.parent / "a.db", site.folder)


def differences(database: Path, *paths: Path) -> list[str]:
    result = run("verify", database, *paths)
    assert result.exit_code in (0, 1), result.output
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert (result.exit_code == 0) == (f"{database} holds" in result.stdout), result.output
    return result.stdout.splitlines() if result.exit_code else []


def tampered(database: Path, copy: Path, *statements: tuple[str, Sequence[Any]]) -> Path:
    """A copy of the database, changed by SQL."""
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for sql, parameters in statements:
            connection.execute(sql, parameters)
    return copy


def columns_of(database: Path, table: str) -> dict[str, str]:
    return {row[1]: row[2] for row in query(database, f"PRAGMA table_info({table})")}


def row_of(database: Path, table: str, place: int = 0) -> dict[str, Any]:
    columns = list(columns_of(database, table))
    sql = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(KEYS[table])}"
    return dict(zip(columns, query(database, sql)[place], strict=True))


def where(table: str) -> str:
    return " AND ".join(f"{column} = ?" for column in KEYS[table])


def key_of(table: str, row: dict[str, Any]) -> list[Any]:
    return [row[column] for column in KEYS[table]]


def named(table: str, row: dict[str, Any]) -> str:
    return f"{table} {', '.join(map(str, key_of(table, row)))}"


def assert_told(found: list[str], start: str) -> None:
    assert [line for line in found if line.startswith(start)] != [], (start, found)


def other(kind: str, value: Any) -> Any:
    return (value or 0) + 1000 if kind == "INTEGER" else f"{value or ''}x"


def test_the_database_holds_what_the_sources_say(site: Site, database: Path) -> None:
    site.prove(site.folder)
    assert differences(database, site.folder) == []
    kinds = dict(query(database, "SELECT kind, count(*) FROM problems GROUP BY kind"))
    assert kinds.keys() == {"conflict", "missing-record", "stack"}


def test_every_new_column_is_there(database: Path) -> None:
    for table, columns in NEW_COLUMNS.items():
        assert set(columns) <= columns_of(database, table).keys()


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("table", KEYS)
def test_every_changed_value_is_found(
    site: Site, database: Path, tmp_path: Path, table: str, place: int
) -> None:
    row = row_of(database, table, place)
    columns = {
        column: other(kind, row[column])
        for column, kind in columns_of(database, table).items()
        # Ranks are compared by themselves.
        if column not in KEYS[table] and column != "version_rank"
    }
    if not columns:
        pytest.skip("the key is all there is")
    changes = ", ".join(f"{column} = ?" for column in columns)
    sql = f"UPDATE {table} SET {changes} WHERE {where(table)}"
    copy = tampered(database, tmp_path / "b.db", (sql, [*columns.values(), *key_of(table, row)]))
    found = differences(copy, site.folder)
    for column in columns:
        start = f"{named(table, row)}, {column}: "
        assert_told(found, start)


def test_a_changed_rank_is_found(site: Site, database: Path, tmp_path: Path) -> None:
    sql = "UPDATE specs SET version_rank = 3 WHERE hash = ?"
    copy = tampered(database, tmp_path / "b.db", (sql, [dag_hash("zlib")]))
    start = f"specs {dag_hash('zlib')}, version_rank: "
    found = differences(copy, site.folder)
    assert_told(found, start)


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table, columns in NEW_COLUMNS.items() for column in columns],
)
def test_a_value_that_is_unknown_again_is_found(
    site: Site, database: Path, tmp_path: Path, table: str, column: str
) -> None:
    sql = f"SELECT {', '.join(KEYS[table])} FROM {table} WHERE {column} IS NOT NULL"
    key = query(database, f"{sql} ORDER BY {', '.join(KEYS[table])}")[0]
    if column in KEYS[table] or not _can_be_null(database, table, column):
        pytest.skip("it is never NULL")
    sql = f"UPDATE {table} SET {column} = NULL WHERE {where(table)}"
    found = differences(tampered(database, tmp_path / "b.db", (sql, key)), site.folder)
    start = f"{table} {', '.join(map(str, key))}, {column}: "
    assert_told(found, start)


def _can_be_null(database: Path, table: str, column: str) -> bool:
    (rule,) = query(
        database, f"SELECT \"notnull\" FROM pragma_table_info('{table}') WHERE name = ?", column
    )
    return rule == (0,)


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("table", KEYS)
def test_every_deleted_row_is_found(
    site: Site, database: Path, tmp_path: Path, table: str, place: int
) -> None:
    row = row_of(database, table, place)
    sql = f"DELETE FROM {table} WHERE {where(table)}"
    copy = tampered(database, tmp_path / "b.db", (sql, key_of(table, row)))
    start = f"{named(table, row)}: missing in the database"
    found = differences(copy, site.folder)
    assert_told(found, start)


@pytest.mark.parametrize("table", KEYS)
def test_every_added_row_is_found(site: Site, database: Path, tmp_path: Path, table: str) -> None:
    row = row_of(database, table)
    first = KEYS[table][0]
    row[first] = other(columns_of(database, table)[first], row[first])
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    copy = tampered(database, tmp_path / "b.db", (sql, [*row.values()]))
    start = f"{named(table, row)}: in the database, but no"
    found = differences(copy, site.folder)
    assert_told(found, start)


@pytest.mark.parametrize("kind", ["conflict", "missing-record", "stack"])
@pytest.mark.parametrize("change", ["DELETE FROM problems", "UPDATE problems SET message = 'x'"])
def test_a_changed_warning_is_found(
    site: Site, database: Path, tmp_path: Path, kind: str, change: str
) -> None:
    copy = tampered(database, tmp_path / "b.db", (f"{change} WHERE kind = ?", [kind]))
    found = differences(copy, site.folder)
    assert [line for line in found if line.startswith("problems ")] != [], found


# What changes in the caches after a build.

Edit = Callable[[Path], object]


def new_index(folder: Path) -> None:
    content = mirror.index(record("xz", "5.8"))
    mirror.write_layout3(folder / "develop/gpu", content)


def new_layout2_index(folder: Path) -> None:
    mirror.write_layout2(folder / "v0.23.1", mirror.index(record("gzip", "1.14"), version="7"))


def new_size(folder: Path) -> None:
    told = {"name": "xz", "version": "5.6"}
    mirror.write_size(folder / "develop/gpu", told, dag_hash("xz"), 10)


def new_size_of_layout2(folder: Path) -> None:
    (file,) = (folder / "v0.23.1/build_cache").rglob("*.spack")
    file.write_bytes(file.read_bytes() + b"\0")


def without_size(folder: Path) -> None:
    shutil.rmtree(folder / "develop/gpu/v3/manifests/spec")


def without_index(folder: Path) -> None:
    shutil.rmtree(folder / "develop/e4s")


def another_index(folder: Path) -> None:
    mirror.write_bare(folder / "develop/cpu", mirror.index(record("lz", "1.9")))


def without_page(folder: Path) -> None:
    (folder / "develop/zlib/specs.md").unlink()


EDITS: list[tuple[Edit, str]] = [
    (new_index, f"specs {dag_hash('xz')}, version: "),
    (new_layout2_index, f"specs {dag_hash('gzip')}, version: "),
    (new_size, f"specs {dag_hash('xz')}, size: "),
    (new_size_of_layout2, f"specs {dag_hash('gzip')}, size: "),
    (without_size, f"specs {dag_hash('xz')}, size: "),
    (without_index, f"spec_stacks {dag_hash('hdf')}, e4s, develop: in the database, but no"),
    (another_index, f"specs {dag_hash('lz')}: missing in the database"),
    (without_page, f"specs {dag_hash('page')}: in the database, but no"),
]


@pytest.mark.parametrize(
    ("edit", "expected"), EDITS, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_changes_after_a_build_is_noticed(
    tmp_path: Path, database: Path, site: Site, edit: Edit, expected: str
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    copy = tmp_path / "a.db"
    shutil.copy(database, copy)
    assert "nothing changed" in run("build", copy, folder).stdout
    edit(folder)
    found = differences(copy, folder)
    assert [line for line in found if line.startswith(expected)] != [], found
    result = run("build", copy, folder)
    assert result.exit_code == 0, result.output
    assert "nothing changed" not in result.stdout
    assert differences(copy, folder) == []
    assert "nothing changed" in run("build", copy, folder).stdout


def test_times_of_files_are_no_change(tmp_path: Path, site: Site, database: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    shutil.copy(database, tmp_path / "a.db")
    for number, file in enumerate(sorted(folder.rglob("*"))):
        os.utime(file, (number * 1e7, 1e9 - number * 1e5))
    assert "nothing changed" in run("build", tmp_path / "a.db", folder).stdout


def test_a_refused_index_that_is_the_same_is_no_change(tmp_path: Path) -> None:
    folder = tmp_path / "caches"
    mirror.write_bare(folder / "develop", mirror.index(record("zlib")))
    bad = mirror.write_bare(folder / "v0.23.1", "{")
    arguments = ("build", "--skip-bad", tmp_path / "a.db", folder)
    assert run(*arguments).exit_code == 0
    assert "nothing changed" in run(*arguments).stdout
    bad.write_text("[")
    assert "nothing changed" not in run(*arguments).stdout
    assert "nothing changed" in run(*arguments).stdout
    bad.write_text(json.dumps(mirror.index(record("xz"))))
    assert "nothing changed" not in run(*arguments).stdout
    assert query(tmp_path / "a.db", "SELECT package FROM specs") == [("xz",), ("zlib",)]
    bad.unlink()
    assert "nothing changed" not in run(*arguments).stdout


def test_another_name_for_a_cache_is_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    mirror.write_bare(folder, mirror.index(record("zlib")))
    database = tmp_path / "a.db"
    assert run("build", database, folder).exit_code == 0
    assert "nothing changed" in run("build", database, folder).stdout
    assert "nothing changed" not in run("build", database, f"develop={folder}").stdout
    assert query(database, "SELECT name FROM releases") == [("develop",)]


# The same caches give the same file.


def digest(tmp_path: Path, *arguments: object) -> str:
    database = tmp_path / "a.db"
    result = run("build", "--force", database, *arguments)
    assert result.exit_code == 0, result.output
    return hashlib.sha256(database.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def expected(database: Path) -> str:
    """SHA-256 of the database of the made-up site, built in the plainest way."""
    return hashlib.sha256(database.read_bytes()).hexdigest()


def test_the_order_of_the_paths(tmp_path: Path, site: Site, expected: str) -> None:
    releases = sorted(site.folder.iterdir())
    assert digest(tmp_path, *releases) == expected
    assert digest(tmp_path, *reversed(releases)) == expected
    stacks = [site.folder / "develop" / stack for stack in ("gpu", "e4s")]
    assert digest(tmp_path, *stacks, *releases) == expected
    assert digest(tmp_path, site.folder, *stacks, site.folder) == expected


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_number_of_processes(
    tmp_path: Path, site: Site, expected: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many tasks, so that every process gets some.
    monkeypatch.setattr("etl.reading.FILES_IN_TASK", 1, raising=False)
    assert digest(tmp_path, "--jobs", jobs, site.folder) == expected


def test_another_folder(tmp_path: Path, site: Site, expected: str) -> None:
    moved = tmp_path / "an other\nfolder"
    # Made in another order, so that the file system lists it in another.
    for file in sorted(site.folder.rglob("*"), reverse=True):
        if file.is_file():
            copy = moved / file.relative_to(site.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    assert digest(tmp_path, moved) == expected
    link = tmp_path / "link"
    link.symlink_to(moved)
    assert digest(tmp_path, link) == expected


def test_what_stood_there_before(tmp_path: Path, site: Site, expected: str) -> None:
    digest(tmp_path, site.folder / "v0.23.1")
    assert digest(tmp_path, site.folder) == expected


def test_samples_and_pages_in_any_order_and_number_of_processes(tmp_path: Path) -> None:
    plain = digest(tmp_path, SAMPLE, CACHES, REAL)
    assert digest(tmp_path, REAL, CACHES, SAMPLE) == plain
    assert digest(tmp_path, "--jobs", 2, CACHES, REAL, SAMPLE) == plain
    parts = [SAMPLE / "develop/e4s-neoverse-v2", REAL / "develop", SAMPLE / "develop/e4s"]
    caches = [CACHES / "clingo-bootstrap", CACHES / "v0.23.1/e4s"]
    assert digest(tmp_path, *parts, *caches) == plain
    assert run("verify", tmp_path / "a.db", *caches, *parts).exit_code == 0
