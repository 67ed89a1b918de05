"""Every page is opened once, and read again only where it must be; what was read is settled."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import etl.reading
from benchmarks.corpus import Size, write_corpus
from etl.cli import main
from tests.pages import dag_hash, page, spec, write, write_specs

Built = Callable[..., Counter[str]]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Built]:
    """Builds `a.db` of the folder `pages`, then verifies it; how often each page was opened."""
    opened: Counter[str] = Counter()
    system_open = os.open
    monkeypatch.chdir(tmp_path)

    def watched(path: str | bytes, *arguments: Any, **options: Any) -> int:
        if (file := os.fsdecode(path)).endswith(".md"):
            opened[os.path.relpath(file, tmp_path.resolve() / "pages")] += 1
        return system_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)

    def build(*options: str) -> Counter[str]:
        opened.clear()
        # One process, for the others would open files unseen.
        arguments = ["--jobs", "1", "--skip-bad", "--quiet", *options, "a.db", "pages"]
        result = CliRunner().invoke(main, ["build", *arguments])
        assert result.exit_code == 0, result.output
        counted = Counter(opened)
        again = ["verify", "--jobs", "1", "--quiet", "a.db", "pages"]
        assert CliRunner().invoke(main, again).output == ""
        return counted

    return build


def query(sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("a.db")) as connection:
        return connection.execute(sql).fetchall()


def errors() -> list[tuple[Any, ...]]:
    return query("SELECT source, kind, message FROM problems WHERE severity = 'error'")


@pytest.fixture
def corpus(tmp_path: Path) -> list[str]:
    """Some seventy ordinary pages of four releases; their paths."""
    size = Size(releases=4, packages=18, entries=400, develop=0.3)
    write_corpus(tmp_path, size, seed=3, jobs=1)
    (tmp_path / "_cache").rename(tmp_path / "pages")
    return [
        file.relative_to(tmp_path / "pages").as_posix()
        for file in (tmp_path / "pages").glob("*/*/specs.md")
    ]


def test_every_page_is_opened_once(build: Built, corpus: list[str]) -> None:
    assert len(corpus) > 60
    assert build() == Counter(corpus)


def test_nothing_changed_is_found_by_one_opening(build: Built, corpus: list[str]) -> None:
    build()
    before = Path("a.db").stat().st_ino
    assert build() == Counter(corpus)
    assert Path("a.db").stat().st_ino == before


def test_a_new_page_and_a_changed_one_are_seen_by_two_openings_at_most(
    build: Built, corpus: list[str]
) -> None:
    build()
    write_specs(Path("pages"), "develop", "zzz", spec("new"))
    opened = build()
    assert set(opened) == {*corpus, "develop/zzz/specs.md"}
    assert max(opened.values()) == 2
    write_specs(Path("pages"), "develop", "zzz", spec("other"))
    opened = build("--force")
    assert opened == Counter([*corpus, "develop/zzz/specs.md"])


def test_a_clash_of_hashes_has_only_its_packages_read_again(
    build: Built, corpus: list[str]
) -> None:
    own = ["develop/aaa/specs.md", "develop/zzz/specs.md", "v0.1/zzz/specs.md"]
    write_specs(Path("pages"), "develop", "aaa", spec("one"))
    write_specs(Path("pages"), "develop", "zzz", spec("one"), spec("two"))
    write_specs(Path("pages"), "v0.1", "zzz", spec("two"))
    opened = build()
    assert opened == Counter([*corpus, *own, *own[1:]])
    assert errors() == [
        (
            "develop/zzz/specs.md",
            "two-packages",
            f"hash {dag_hash('one')} is of package aaa in develop/aaa/specs.md",
        )
    ]
    assert query("SELECT hash, package, releases FROM specs WHERE package IN ('aaa', 'zzz')") == [
        (dag_hash("one"), "aaa", '["develop"]'),
        (dag_hash("two"), "zzz", '["v0.1"]'),
    ]
    assert query("SELECT name, num_specs FROM packages WHERE name IN ('aaa', 'zzz')") == [
        ("aaa", 1),
        ("zzz", 1),
    ]


def test_a_misplaced_page_is_read_with_its_own_package(build: Built, corpus: list[str]) -> None:
    write_specs(Path("pages"), "develop", "own", spec("one"))
    write_specs(Path("pages"), "v0.1", "own", spec("one"))
    # In the folders of another package, of another release, of both.
    write(Path("pages"), "develop", "other", page("own", "v0.2", [spec("one")]))
    write(Path("pages"), "v0.3", "own", page("own", "v0.4", [spec("one")]))
    write(Path("pages"), "develop", "more", page("own", "develop-2025-03-23", [spec("one")]))
    opened = build()
    again = ["develop/own/specs.md", "v0.1/own/specs.md"]
    # Only those that stand where they should are opened again.
    assert {path: count for path, count in opened.items() if count > 1} == dict.fromkeys(again, 2)
    assert query(f"SELECT releases FROM specs WHERE hash = '{dag_hash('one')}'") == [
        ('["develop","develop-2025-03-23","v0.4","v0.2","v0.1"]',)
    ]
    assert query("SELECT path, release FROM sources WHERE package = 'own'") == [
        ("develop/more/specs.md", "develop-2025-03-23"),
        ("develop/other/specs.md", "v0.2"),
        ("develop/own/specs.md", "develop"),
        ("v0.1/own/specs.md", "v0.1"),
        ("v0.3/own/specs.md", "v0.4"),
    ]
    assert query("SELECT source, kind FROM problems") == [
        ("develop/more/specs.md", "path-package"),
        ("develop/more/specs.md", "path-release"),
        ("develop/other/specs.md", "path-package"),
        ("develop/other/specs.md", "path-release"),
        ("v0.3/own/specs.md", "path-release"),
    ]


def test_a_package_of_misplaced_pages_only(build: Built) -> None:
    write(Path("pages"), "develop", "a", page("b", "develop", [spec("one")]))
    write(Path("pages"), "develop", "b", page("a", "develop", [spec("two")]))
    assert build() == Counter(["develop/a/specs.md", "develop/b/specs.md"])
    assert query("SELECT hash, package FROM specs ORDER BY hash") == [
        (dag_hash("one"), "b"),
        (dag_hash("two"), "a"),
    ]


def test_copies_are_one_page(build: Built) -> None:
    text = page("zlib", "develop", [spec("one")])
    for folder in ("zlib", "copy", "another"):
        write(Path("pages"), "develop", folder, text)
    write(Path("pages/more"), "develop", "zlib", text)
    build()
    assert query("SELECT path, num_specs FROM sources") == [
        ("develop/another/specs.md", 1),
        ("develop/copy/specs.md", 1),
        ("develop/zlib/specs.md", 1),
    ]
    assert query("SELECT num_specs FROM releases") == [(1,)]
    assert errors() == []


def test_two_pages_of_which_one_is_misplaced(build: Built) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("one"))
    write(Path("pages"), "develop", "aaa", page("zlib", "develop", [spec("two")]))
    build()
    # The one that comes first by its path counts.
    assert errors() == [
        (
            "develop/zlib/specs.md",
            "two-pages",
            "develop/aaa/specs.md is another page of zlib in develop",
        )
    ]
    assert query("SELECT hash FROM specs") == [(dag_hash("two"),)]


def test_a_misplaced_page_with_a_hash_of_another_package(build: Built) -> None:
    write_specs(Path("pages"), "develop", "aaa", spec("one"))
    write(Path("pages"), "develop", "bbb", page("ccc", "develop", [spec("one")]))
    write_specs(Path("pages"), "develop", "ccc", spec("two"))
    write_specs(Path("pages"), "v0.1", "ddd", spec("two"))
    build()
    # The misplaced page is refused, so the other page of ccc counts, and ddd cannot have its hash.
    assert errors() == [
        (
            "develop/bbb/specs.md",
            "two-packages",
            f"hash {dag_hash('one')} is of package aaa in develop/aaa/specs.md",
        ),
        (
            "v0.1/ddd/specs.md",
            "two-packages",
            f"hash {dag_hash('two')} is of package ccc in develop/ccc/specs.md",
        ),
    ]
    assert query("SELECT hash, package FROM specs") == [
        (dag_hash("one"), "aaa"),
        (dag_hash("two"), "ccc"),
    ]
    assert query("SELECT name FROM packages") == [("aaa",), ("ccc",)]


def test_of_two_pages_the_second_is_refused_as_such_whatever_its_hashes(build: Built) -> None:
    write_specs(Path("pages"), "develop", "aaa", spec("one"))
    write(Path("pages"), "v0.1", "zlib", page("zlib", "v0.1", [spec("two")]))
    write(Path("pages"), "v0.1", "zzz", page("zlib", "v0.1", [spec("one")]))
    build()
    assert errors() == [
        ("v0.1/zzz/specs.md", "two-pages", "v0.1/zlib/specs.md is another page of zlib in v0.1")
    ]


def test_a_chain_of_pages_that_wait_for_each_other(build: Built) -> None:
    names = "abcdefgh"
    write_specs(Path("pages"), "develop", "first", spec("a"))
    for one, other in pairwise(names):
        # Refused for the hash of the one before, so that its twin has its turn.
        write(Path("pages"), "v0.1", f"{one}1", page(one, "v0.1", [spec(one)]))
        write(Path("pages"), "v0.1", f"{one}2", page(one, "v0.1", [spec(other)]))
    build()
    refused = [(f"v0.1/{one}1/specs.md", "two-packages") for one in names[:-1]]
    assert [row[:2] for row in errors()] == refused
    assert query("SELECT hash, package FROM specs ORDER BY hash") == [
        (dag_hash("a"), "first"),
        *((dag_hash(other), one) for one, other in pairwise(names)),
    ]


@pytest.mark.parametrize(
    ("jobs", "files_in_task"), [("1", 1), ("1", 3), ("1", 256), ("2", 1), ("2", 256), ("8", 1)]
)
def test_how_the_work_is_shared_out_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str, files_in_task: int
) -> None:
    monkeypatch.setattr(etl.reading, "FILES_IN_TASK", files_in_task)
    pages = tmp_path / "pages"
    for name in "abcdefghijklmnop":
        write_specs(pages, "develop", name, spec(name), spec("q"))
        write(pages, "v0.1", f"{name}2", page(name, "v0.1", [spec(name), spec(f"{name}b")]))
    arguments = [
        "build",
        "--skip-bad",
        "--quiet",
        "--jobs",
        jobs,
        str(tmp_path / "a.db"),
        str(pages),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        rows = connection.execute("SELECT hash, package, releases FROM specs ORDER BY hash")
        expected = [(dag_hash("a"), "a", '["develop","v0.1"]'), (dag_hash("ab"), "a", '["v0.1"]')]
        expected += [
            row
            for name in "bcdefghijklmnop"
            for row in (
                (dag_hash(name), name, '["v0.1"]'),
                (dag_hash(f"{name}b"), name, '["v0.1"]'),
            )
        ]
        expected.append((dag_hash("q"), "a", '["develop"]'))
        assert rows.fetchall() == sorted(expected)


def test_copies_with_a_hash_of_another_package_are_refused_at_once(
    build: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("pages")
    write_specs(folder, "develop", "aa", spec("one"))
    for number in range(20):
        write(folder, "v0.20.0", f"p{number}", page("bb", "v0.20.0", [spec("one")]))
    read: list[int] = []
    read_page = etl.reading.page_of
    monkeypatch.setattr("etl.reading.page_of", lambda content: read.append(1) or read_page(content))
    build()
    # Once as they come, once with their own package, and once more because they are refused.
    assert len(read) == 1 + 3 * 20
    assert len(errors()) == 20
