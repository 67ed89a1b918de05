"""What cannot be served ends in one message and status 1, before anything is served."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import ROOT
from web.immutable.files import UnfitFileError, check_database, check_inspect_file

PLUGINS = str(ROOT / "web" / "plugins")
BUILD = "Build or copy it again."
INSPECT = "Delete it and write it again, with datasette inspect DATABASE --inspect-file FILE."


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table books (title)")
        database.execute("insert into books values (zeroblob(50000))")
    return path


def _garble(path: Path) -> None:
    path.write_bytes(b"This is a text, and no database at all. " * 100)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8192])


def _cut_last_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _spoil_schema(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 400 + content[500:])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_garble, f"no database (file is not a database). {BUILD}"),
        (_spoil_schema, f"no database (database disk image is malformed). {BUILD}"),
        (_empty, f"a database without tables. {BUILD}"),
        (_cut_off, f"no database (database disk image is malformed). {BUILD}"),
        # SQLite would notice only when it reads this page.
        (_cut_last_page, f"100 bytes are missing at its end. {BUILD}"),
    ],
)
def test_a_database_that_is_none(shelf: Path, spoil: Callable[[Path], None], message: str) -> None:
    check_database(shelf)
    spoil(shelf)
    with pytest.raises(UnfitFileError) as raised:
        check_database(shelf)
    assert str(raised.value) == f"{shelf}: {message}"
    assert served("--immutable", str(shelf)) == f"Error: {shelf}: {message}\n"


def served(*arguments: str) -> str:
    """What `datasette serve` says on stderr when it refuses to start."""
    command = [sys.executable, "-m", "datasette", "serve", *arguments, "--port", "0"]
    done = subprocess.run(
        [*command, "--plugins-dir", PLUGINS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


FACTS = {"hash": "0" * 64, "size": 57_344, "file": "shelf.db", "tables": {"books": {"count": 1}}}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "says nothing of shelf.db."),
        (FACTS | {"tables": []}, "says nothing of shelf.db."),
        (FACTS | {"tables": {"books": 1}}, "says nothing of shelf.db."),
        (FACTS | {"hash": None}, "says nothing of shelf.db."),
        (FACTS | {"size": 1}, "about another shelf.db."),
    ],
)
def test_inspect_data_that_is_of_no_use(shelf: Path, facts: Any, message: str) -> None:
    assert shelf.stat().st_size == FACTS["size"]
    inspect = shelf.with_name("inspect.json")
    inspect.write_text(json.dumps({"shelf": FACTS}))
    check_inspect_file(inspect, shelf)
    inspect.write_text(json.dumps({"shelf": facts}))
    with pytest.raises(UnfitFileError) as raised:
        check_inspect_file(inspect, shelf)
    assert str(raised.value) == f"{inspect}: {message} {INSPECT}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_inspect_data_that_is_no_json(shelf: Path, text: str, reason: str) -> None:
    inspect = shelf.with_name("inspect.json")
    inspect.write_text(text)
    with pytest.raises(UnfitFileError) as raised:
        check_inspect_file(inspect, shelf)
    assert str(raised.value) == f"{inspect}: not JSON ({reason}). {INSPECT}"


def test_a_folder_with_inspect_data_of_another_database(shelf: Path) -> None:
    inspect = shelf.with_name("inspect-data.json")
    inspect.write_text(json.dumps({"shelf": FACTS | {"size": 1}}))
    assert served(str(shelf.parent)) == (
        f"Error: The inspect file: about another shelf.db. {INSPECT}\n"
    )
