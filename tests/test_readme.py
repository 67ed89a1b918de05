"""What the README, and what it leads to, says is true."""

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cogapp import Cog

from etl.cli import main
from etl.problems import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CACHES = (ROOT / "docs" / "caches.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)


def test_generated_parts_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert Cog().main(["cog", "--check", "README.md"]) == 0


def test_there_are_five_questions_or_more() -> None:
    assert len(QUERIES) >= 5


@pytest.mark.parametrize("sql", QUERIES, ids=lambda sql: sql.split("\n")[0])
def test_every_question_has_an_answer_in_the_real_pages(real_database: Path, sql: str) -> None:
    with closing(sqlite3.connect(real_database)) as connection:
        assert connection.execute(sql).fetchall()


@pytest.mark.parametrize("sql", QUERIES, ids=lambda sql: sql.split("\n")[0])
def test_the_addresses_of_an_answer_ask_its_question(sql: str) -> None:
    asked = [
        (urlsplit(address).path, parse_qs(urlsplit(address).query)["sql"][0])
        for address in re.findall(r"\]\((http://127.0.0.1:8001/[^)]*\?sql=[^)]*)\)", README)
    ]
    for path in ("/spack-cache", "/spack-cache.json", "/spack-cache.csv"):
        assert (path, sql.strip()) in asked


def test_every_make_target_exists() -> None:
    makefiles = "".join((ROOT / name).read_text() for name in ("Makefile", "publish.mk"))
    targets = set(re.findall(r"^([a-z]+):", makefiles, re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z]+)", README, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z]+)`", README))
    assert {"serve", "test"} <= named
    assert named <= targets


def test_every_command_of_the_tool_is_real() -> None:
    command = r"^    \.venv/bin/spack-cache-to-sqlite (.*)$"
    lines = re.findall(command, README + CACHES, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"build", "fetch", "verify"}
    for line in lines:
        name, *arguments = shlex.split(line)
        # Raises if an option does not exist.
        main.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_every_file_that_is_linked_exists(link: str) -> None:
    assert (ROOT / link).is_file()


def test_the_problems_of_build_caches_are_kinds_of_problems() -> None:
    named = re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (`.*?`) \| ", CACHES, re.MULTILINE)))
    assert len(named) == 9
    assert set(named) <= set(KINDS)
