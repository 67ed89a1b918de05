"""What the tests of build caches have in common: build, compare every table, verify."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from etl.cli import main
from tests.etl import mirror
from tests.etl.cache_oracle import KEYS, Index, Tables, actual, expected
from tests.etl.mirror import Record, index
from tests.pages import dag_hash, write_specs


def run(command: str, *arguments: object) -> Result:
    """Run a command of the command line in one process."""
    options = [] if any(str(argument) == "--jobs" for argument in arguments) else ["--jobs", "1"]
    return CliRunner().invoke(main, [command, *options, *map(str, arguments)])


def query(database: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, parameters).fetchall()


def prove(
    database: Path,
    paths: Sequence[object],
    indexes: Sequence[Index],
    pages: Iterable[Path] = (),
) -> Tables:
    """Build a database, hold every table against the oracle, and verify it.

    Returns:
        The rows of the tables.
    """
    result = run("build", database, *paths)
    assert result.exit_code == 0, result.output
    found = compare(database, indexes, pages)
    result = run("verify", database, *paths)
    assert result.exit_code == 0, result.output
    assert query(database, "PRAGMA foreign_key_check") == []
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    return found


def compare(database: Path, indexes: Sequence[Index], pages: Iterable[Path] = ()) -> Tables:
    """Hold every table against the oracle, row by row; the rows."""
    found, told = actual(database), expected(indexes, pages)
    for name in KEYS:
        assert found[name] == told[name], name
    targets: dict[str, int] = {}
    for row in told["specs"]:
        targets[row["target"]] = targets.get(row["target"], 0) + 1
    assert dict(query(database, "SELECT name, num_specs FROM targets WHERE num_specs")) == targets
    return found


def problems(database: Path) -> list[tuple[str, str, str]]:
    """The problems of a database: source, severity, kind."""
    return query(database, "SELECT source, severity, kind FROM problems ORDER BY id")


def one(rows: Iterable[dict[str, Any]], **values: object) -> dict[str, Any]:
    """The only row with these values."""
    (row,) = [row for row in rows if all(row[name] == value for name, value in values.items())]
    return row


class Site:
    """A folder where mirrors are written, and the indexes that should be found there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.indexes: dict[str, Index] = {}
        self.pages: list[Path] = []

    def cache(
        self,
        release: str,
        stack: str,
        *records: Record,
        layout: int = 3,
        sizes: Mapping[str, int] | None = None,
        **options: Any,
    ) -> Path:
        """Write a mirror: its folder."""
        folder = self.folder / release / ("" if stack == "root" else stack)
        version = "8" if layout == 3 else "7"
        content = index(*records, version=version)
        by_hash = {dag_hash(word): size for word, size in (sizes or {}).items()}
        if layout == 3:
            file = mirror.write_layout3(folder, content, sizes=by_hash, **options)
        else:
            file = mirror.write_layout2(folder, content, by_hash)
        found = Index(release, stack, layout, file, folder)
        self.indexes[found.path] = found
        return folder

    def page(self, release: str, package: str, *specs: Mapping[str, Any]) -> None:
        self.pages.append(write_specs(self.folder, release, package, *specs))

    def prove(self, *paths: object) -> Tables:
        return prove(self.database, paths or [self.folder], list(self.indexes.values()), self.pages)

    @property
    def database(self) -> Path:
        return self.folder.parent / "a.db"

    def problems(self) -> list[tuple[Any, ...]]:
        return query(self.database, "SELECT source, kind, message FROM problems ORDER BY id")
