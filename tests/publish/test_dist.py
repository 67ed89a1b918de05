"""`make dist`: the database as files, for people who want the data."""

import csv
import gzip
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from etl.lock import locked
from etl.schema import TABLES, Table
from publish.cli import main
from tests.conftest import build
from tests.pages import spec, write_specs


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with NULL, an empty text, and texts that CSV has to quote."""
    folder = tmp_path_factory.mktemp("database")
    write_specs(
        folder / "pages",
        "develop",
        "hdf5",
        spec("quoted", variants=['note="a,b"', "flags=", "path='x'"], size=7),
        spec("none", compiler="none", versions=["ü;1"]),
    )
    older = spec("none", compiler="none", versions=["ü;1"], tarball="https://t")
    write_specs(folder / "pages", "develop-2025-07-13", "hdf5", older)
    return build(folder / "spack-cache.db", folder / "pages")


@pytest.fixture(scope="module")
def dist(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` writes; only for reading."""
    folder = tmp_path_factory.mktemp("dist")
    done = CliRunner().invoke(main, ["dist", str(database), str(folder)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        f"{folder}/{part}"
        for part in ("spack-cache.db.gz", "csv", "parquet", "datapackage.json", "SHA256SUMS")
    ]
    return folder


@pytest.fixture
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database)) as connection:
        yield connection


def rows_of(connection: sqlite3.Connection, table: Table) -> list[tuple[Any, ...]]:
    order = "rowid" if table.rowid else ", ".join(table.key)
    return connection.execute(f"select * from {table.name} order by {order}").fetchall()


TABLE = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def test_what_is_there(dist: Path) -> None:
    files = {str(file.relative_to(dist)) for file in dist.rglob("*") if file.is_file()}
    assert files == {
        *("spack-cache.db.gz", "datapackage.json", "SHA256SUMS"),
        *(f"csv/{table.name}.csv" for table in TABLES),
        *(f"parquet/{table.name}.parquet" for table in TABLES),
    }


def test_the_database_is_the_database(dist: Path, database: Path) -> None:
    assert gzip.decompress((dist / "spack-cache.db.gz").read_bytes()) == database.read_bytes()


@TABLE
def test_csv_has_every_row(dist: Path, table: Table, opened: sqlite3.Connection) -> None:
    with (dist / "csv" / f"{table.name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == table.column_names
    assert rows == [
        ["" if value is None else str(value) for value in row] for row in rows_of(opened, table)
    ]


@TABLE
def test_parquet_has_every_row_and_type(
    dist: Path, table: Table, opened: sqlite3.Connection
) -> None:
    types = {"TEXT": "VARCHAR", "INTEGER": "BIGINT"}
    parquet = f"'{dist}/parquet/{table.name}.parquet'"
    with duckdb.connect() as reader:
        assert reader.execute(f"select * from {parquet}").fetchall() == rows_of(opened, table)
        described = reader.execute(f"describe select * from {parquet}").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        (column.name, types[column.type]) for column in table.columns
    ]


def test_parquet_of_the_real_pages_has_the_same_counts(real_database: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["dist", str(real_database), str(tmp_path)]).exit_code == 0
    with duckdb.connect() as reader, closing(sqlite3.connect(real_database)) as database:
        for table in TABLES:
            count = f"select count(*) from {table.name}"
            parquet = f"select count(*) from '{tmp_path}/parquet/{table.name}.parquet'"
            assert reader.execute(parquet).fetchone() == database.execute(count).fetchone()
        (specs,) = reader.execute(f"select count(*) from '{tmp_path}/csv/specs.csv'").fetchall()
    assert specs == (414,)


def test_null_and_empty_texts_stay_apart(dist: Path) -> None:
    with duckdb.connect() as reader:
        sql = f"select variant, name, value from '{dist}/parquet/variants.parquet' where value = ''"
        assert reader.execute(sql).fetchall() == [("flags=", "flags", "")]
        sql = f"select count(*) from '{dist}/parquet/specs.parquet' where compiler_version is null"
        assert reader.execute(sql).fetchall() == [(1,)]


def test_checksums_hold(dist: Path) -> None:
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    files = {str(file.relative_to(dist)) for file in dist.rglob("*") if file.is_file()}
    assert set(sums) == files - {"SHA256SUMS"}
    for name, expected in sums.items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == expected


def test_the_data_package_says_what_the_schema_says(dist: Path) -> None:
    package = json.loads((dist / "datapackage.json").read_text())
    assert package["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"
    assert package["name"] == "spack-cache"
    assert package["sources"] == [
        {"title": "binaries.spack.io", "path": "https://binaries.spack.io/"},
        {"title": "cache.spack.io", "path": "https://cache.spack.io/"},
    ]
    assert "licenses" not in package
    resources = {resource["name"]: resource for resource in package["resources"]}
    assert set(resources) == {
        *(table.name for table in TABLES),
        *(f"{table.name}-parquet" for table in TABLES),
        "database",
    }
    for table in TABLES:
        for name in (table.name, f"{table.name}-parquet"):
            resource = resources[name]
            assert resource["description"] == table.description
            assert [
                (field["name"], field["description"]) for field in resource["schema"]["fields"]
            ] == [(column.name, column.description) for column in table.columns]


def test_a_resource_in_full(dist: Path) -> None:
    package = json.loads((dist / "datapackage.json").read_text())
    (resource,) = (one for one in package["resources"] if one["name"] == "spec_releases")
    file = dist / "csv" / "spec_releases.csv"
    assert resource == {
        "name": "spec_releases",
        "path": "csv/spec_releases.csv",
        "description": "Which spec is in which release, whether in a stack or in none.",
        "format": "csv",
        "mediatype": "text/csv",
        "bytes": file.stat().st_size,
        "hash": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
        "schema": {
            "fields": [
                {
                    "name": "spec",
                    "type": "string",
                    "description": "The spec's hash.",
                    "constraints": {"required": True},
                },
                {
                    "name": "release",
                    "type": "string",
                    "description": "The release.",
                    "constraints": {"required": True},
                },
                {
                    "name": "tarball",
                    "type": "string",
                    "description": "Address of the binary; NULL where no source tells it.",
                    "missingValues": [""],
                },
            ],
            "missingValues": [],
            "primaryKey": ["spec", "release"],
            "foreignKeys": [
                {"fields": ["spec"], "reference": {"resource": "specs", "fields": ["hash"]}},
                {"fields": ["release"], "reference": {"resource": "releases", "fields": ["name"]}},
            ],
        },
    }


def test_the_same_database_gives_the_same_files(dist: Path, database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    (folder / "csv").mkdir(parents=True)
    (folder / "csv" / "old.csv").touch()
    (folder / "bundle").mkdir()
    again = CliRunner().invoke(main, ["dist", str(database), str(folder)])
    assert again.exit_code == 0
    assert (folder / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()
    # What was written before is gone, what something else wrote is not.
    assert {file.name for file in folder.iterdir()} == {
        *("spack-cache.db.gz", "csv", "parquet", "datapackage.json", "SHA256SUMS", "bundle"),
    }
    assert not (folder / "csv" / "old.csv").exists()


def test_without_duckdb(database: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['duckdb'] = None; from publish.cli import main; "
        f"main(['dist', {str(database)!r}, {str(tmp_path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "Error: DuckDB is not installed: pip install duckdb\n"


def test_two_runs_at_once(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    with locked(folder / ".lock", "it"):
        other = CliRunner().invoke(main, ["dist", str(database), str(folder)])
    assert other.exit_code == 1
    assert other.output == f"Error: {folder}: another run is writing it; wait for its end\n"
    assert list(folder.iterdir()) == []
