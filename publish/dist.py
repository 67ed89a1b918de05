"""The database for people who want the data: compressed, and its tables as CSV and Parquet.

With them go checksums and a description that programs read (Data Package,
https://datapackage.org/), whose words are those of `etl.schema`, as on the site. The same
database gives the same files.
"""

import gzip
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from etl.lock import locked
from etl.schema import TABLES, Column, Table
from publish.site import DATABASE, METADATA, PublishError, check_database

DUCKDB_LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "threads": 1,
}
ROWS_IN_A_GROUP = 16_384
"""Rows of a Parquet file that are in memory together."""

CHECKSUMS = "SHA256SUMS"
DESCRIPTION = "datapackage.json"
PARTS = (f"{DATABASE}.gz", "csv", "parquet", DESCRIPTION, CHECKSUMS)
"""What is written, for a reader in this order."""


def write_dist(folder: Path, database: Path) -> None:
    """Write the files; those of before are replaced when all are complete.

    Args:
        folder: where to; other files in it stay.
        database: the database.

    Raises:
        FailedError: another run is writing them.
        PublishError: there is no such database, or DuckDB is not installed.
    """
    check_database(database)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", str(folder)):
        _write_parts(folder, database)


def _write_parts(folder: Path, database: Path) -> None:
    new = folder / ".new"
    shutil.rmtree(new, ignore_errors=True)
    (new / "csv").mkdir(parents=True)
    (new / "parquet").mkdir()
    _write_gzip(database, new / f"{DATABASE}.gz")
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        for table in TABLES:
            _write_csv(opened, table, _csv(new, table))
    for table in TABLES:
        _write_parquet(table, _csv(new, table), _parquet(new, table))
    (new / DESCRIPTION).write_text(json.dumps(_describe(new), indent=2, ensure_ascii=False) + "\n")
    (new / CHECKSUMS).write_text("".join(_checksums(new)))
    for part in PARTS:
        _replace(new / part, folder / part)
    new.rmdir()


def _csv(folder: Path, table: Table) -> Path:
    return folder / "csv" / f"{table.name}.csv"


def _parquet(folder: Path, table: Table) -> Path:
    return folder / "parquet" / f"{table.name}.parquet"


def _replace(new: Path, old: Path) -> None:
    if old.is_dir():
        shutil.rmtree(old)
    new.replace(old)


def _write_gzip(database: Path, file: Path) -> None:
    # A name and a time in it would make the file differ from day to day.
    with (
        database.open("rb") as plain,
        file.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)


def _write_csv(database: sqlite3.Connection, table: Table, file: Path) -> None:
    # Texts in quotes and NULL as nothing, so that NULL and '' stay two values.
    line = " || ',' || ".join(_csv_value(column) for column in table.columns)
    order = "rowid" if table.rowid else ", ".join(table.key)
    with file.open("w", encoding="utf-8", newline="") as written:
        written.write(",".join(table.column_names) + "\n")
        for (text,) in database.execute(f"select {line} from {table.name} order by {order}"):
            written.write(text + "\n")


def _csv_value(column: Column) -> str:
    if column.type == "INTEGER":
        return f"coalesce({column.name}, '')"
    return f"""coalesce('"' || replace({column.name}, '"', '""') || '"', '')"""


def _write_parquet(table: Table, csv: Path, parquet: Path) -> None:
    try:
        import duckdb
    except ImportError as error:
        raise PublishError("DuckDB is not installed: pip install duckdb") from error
    types = {"TEXT": "VARCHAR", "INTEGER": "BIGINT"}
    columns = {column.name: types[column.type] for column in table.columns}
    with duckdb.connect(config=DUCKDB_LIMITS) as connection:
        connection.execute(
            f"""
            copy (
                select * from read_csv(
                    '{_quoted(csv)}', header = true, auto_detect = false, columns = {columns},
                    delim = ',', quote = '"', escape = '"', nullstr = '',
                    allow_quoted_nulls = false, parallel = false
                )
            ) to '{_quoted(parquet)}'
            (format parquet, compression zstd, row_group_size {ROWS_IN_A_GROUP})
            """
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _describe(folder: Path) -> dict[str, Any]:
    site = yaml.safe_load(METADATA.read_text())
    tables = [
        {
            "name": name,
            "path": str(file.relative_to(folder)),
            "description": table.description,
            "format": file.suffix.removeprefix("."),
            "mediatype": mediatype,
            **_size_and_hash(file),
            "schema": _schema(table),
        }
        for table in TABLES
        for name, file, mediatype in (
            (table.name, _csv(folder, table), "text/csv"),
            (
                f"{table.name}-parquet",
                _parquet(folder, table),
                "application/vnd.apache.parquet",
            ),
        )
    ]
    packed = folder / f"{DATABASE}.gz"
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": Path(DATABASE).stem,
        "title": site["title"],
        # Of two names Datasette shows one link.
        "sources": [
            {"title": name, "path": f"https://{name}/"} for name in site["source"].split(" and ")
        ],
        "resources": [
            *tables,
            {
                "name": "database",
                "path": packed.name,
                "description": "All tables with their indexes, as one SQLite database.",
                "format": "sqlite",
                "mediatype": "application/gzip",
                **_size_and_hash(packed),
            },
        ],
    }


def _schema(table: Table) -> dict[str, Any]:
    keys = {other.name: other.key[0] for other in TABLES}
    return {
        "fields": [_field(column) for column in table.columns],
        "missingValues": [],
        "primaryKey": list(table.key),
        "foreignKeys": [
            {
                "fields": [column.name],
                "reference": {"resource": column.references, "fields": [keys[column.references]]},
            }
            for column in table.columns
            if column.references
        ],
    }


def _field(column: Column) -> dict[str, Any]:
    types = {"TEXT": "string", "INTEGER": "integer"}
    return {
        "name": column.name,
        "type": types[column.type],
        "description": column.description,
        **({"missingValues": [""]} if column.null else {"constraints": {"required": True}}),
    }


def _size_and_hash(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "hash": f"sha256:{_sha256(file)}"}


def _checksums(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield f"{_sha256(file)}  {file.relative_to(folder)}\n"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
