"""The command line: what it says, when it stops, with which status."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl.cli import main
from etl.schema import APPLICATION_ID
from tests.pages import REAL, dag_hash, page, spec, write, write_specs

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


def query(sql: str, database: str = "a.db") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def without_seconds(output: str) -> str:
    return re.sub(r"\d+\.\d s\b", "N s", output)


def test_build_says_what_it_read_and_wrote(run: Run) -> None:
    result = run("build", "a.db", REAL)
    assert result.exit_code == 0
    size = Path("a.db").stat().st_size / 1e6
    assert without_seconds(result.stdout) == (
        "Read 5 pages (0.1 MB): 5 packages, 414 specs, 1 release, 0 warnings; "
        f"wrote a.db ({size:.1f} MB) in N s\n"
    )
    assert result.stderr == "Finding sources…\nReading…\nWriting the database…\n"


def test_build_again_says_that_nothing_changed(run: Run) -> None:
    run("build", "a.db", REAL)
    before = Path("a.db").stat()
    result = run("build", "a.db", REAL)
    assert (result.exit_code, result.stdout) == (0, "a.db: nothing changed\n")
    assert Path("a.db").stat().st_mtime_ns == before.st_mtime_ns
    assert run("build", "a.db", REAL, "--force").stdout.startswith("Read 5 pages")
    assert Path("a.db").stat().st_ino != before.st_ino


def test_build_sees_that_a_page_changed_came_or_went(run: Run) -> None:
    shutil.copytree(REAL, "pages")
    run("build", "a.db", "pages")
    file = Path("pages/develop/py-msgpack/specs.md")
    text = file.read_text()
    file.write_text(text.replace("neoverse_v2", "neoverse_v3"))
    assert "wrote a.db" in run("build", "a.db", "pages").stdout
    assert query("SELECT count(*) FROM specs WHERE target = 'neoverse_v3'") == [(8,)]
    file.unlink()
    assert "Read 4 pages" in run("build", "a.db", "pages").stdout
    file.write_text(text)
    assert "Read 5 pages" in run("build", "a.db", "pages").stdout


def test_quiet_says_nothing(run: Run) -> None:
    assert run("build", "a.db", REAL, "--quiet").output == ""
    assert run("check", REAL, "--quiet").output == ""
    assert run("verify", "a.db", REAL, "--quiet").output == ""


def test_only_some_packages_and_releases(run: Run) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    write_specs(Path("pages"), "v0.23.1", "zlib", spec("b"))
    write_specs(Path("pages"), "v0.23.1", "xz", spec("c"))
    run("build", "a.db", "pages", "-r", "v0.23.1", "-p", "zlib", "-p", "xz")
    assert query("SELECT path FROM sources") == [
        ("v0.23.1/xz/specs.md",),
        ("v0.23.1/zlib/specs.md",),
    ]
    run("build", "a.db", "pages", "-p", "zlib")
    assert query("SELECT hash FROM specs") == [(dag_hash("a"),), (dag_hash("b"),)]
    result = run("build", "a.db", "pages", "-r", "v9", "-r", "develop")
    assert result.exit_code == 2
    assert result.output.endswith("Error: nothing of release v9 in these paths\n")


def test_a_bad_page_leaves_the_database_as_it_was(run: Run) -> None:
    run("build", "a.db", REAL)
    before = Path("a.db").read_bytes()
    write(Path("pages"), "develop", "b", "oops")
    write(Path("pages"), "develop", "a", page("a", "develop", [spec("a", os="")]))
    result = run("build", "a.db", "pages")
    assert result.exit_code == 1
    assert without_seconds(result.output) == (
        "Finding sources…\n"
        "Reading…\n"
        f"pages/develop/a/specs.md:6: spec 1 ('{dag_hash('a')}'): os '' is empty [name]\n"
        "pages/develop/b/specs.md:1: found 'oops', expected --- as the first line [front-matter]\n"
        "Read 2 pages (0.0 MB): 0 packages, 0 specs, 0 releases, 0 warnings in N s\n"
        "Error: 2 bad sources; a.db was not changed. Correct the sources, or leave them out with "
        "--skip-bad.\n"
    )
    assert Path("a.db").read_bytes() == before
    assert sorted(file.name for file in Path().iterdir()) == ["a.db", "pages"]


def test_skip_bad_leaves_them_out_and_lists_them(run: Run) -> None:
    write(Path("pages"), "develop", "b", "oops")
    write_specs(Path("pages"), "develop", "a", spec("a"))
    result = run("build", "a.db", "pages", "--skip-bad")
    assert result.exit_code == 0
    assert "1 package, 1 spec, 1 release, 0 warnings, left 1 bad source out; wrote" in result.stdout
    assert query("SELECT id, source, severity, kind, message FROM problems") == [
        (
            1,
            "develop/b/specs.md",
            "error",
            "front-matter",
            "found 'oops', expected --- as the first line",
        )
    ]
    assert query("SELECT path, release, package, num_specs, bytes FROM sources") == [
        ("develop/a/specs.md", "develop", "a", 1, len(page("a", "develop", [spec("a")]))),
        ("develop/b/specs.md", None, None, None, 4),
    ]
    assert run("build", "a.db", "pages", "--skip-bad").stdout == "a.db: nothing changed\n"
    assert run("build", "a.db", "pages").exit_code == 1


def test_check_prints_the_same_and_writes_nothing(run: Run) -> None:
    write(Path("pages"), "develop", "b", "oops")
    write_specs(Path("pages"), "v0.9", "other", spec("a"))
    write(Path("pages"), "v0.9", "c", page("a", "v0.9", [spec("b")]))
    built, checked = run("build", "a.db", "pages"), run("check", "pages")
    assert checked.exit_code == built.exit_code == 1
    problems = [line for line in built.stderr.split("\n") if line.startswith("pages/")]
    assert problems == [
        "pages/develop/b/specs.md:1: found 'oops', expected --- as the first line [front-matter]",
        "pages/v0.9/c/specs.md: warning: the folder says package 'c', the front matter 'a', "
        "which counts [path-package]",
    ]
    assert [line for line in checked.stderr.split("\n") if line.startswith("pages/")] == problems
    assert checked.stderr.endswith("Error: 1 bad source.\n")
    assert [file.name for file in Path().iterdir()] == ["pages"]


def test_check_of_good_pages(run: Run) -> None:
    result = run("check", REAL)
    assert result.exit_code == 0
    assert without_seconds(result.stdout) == (
        "Read 5 pages (0.1 MB): 5 packages, 414 specs, 1 release, 0 warnings in N s\n"
    )


def test_a_page_named_by_itself(run: Run) -> None:
    Path("one.txt").write_text(page("zlib", "v0.18", [spec("a")]))
    Path("bad.md").write_text("# Notes\n")
    assert run("build", "a.db", "one.txt").exit_code == 0
    assert query("SELECT path FROM sources") == [("v0.18/zlib/one.txt",)]
    result = run("build", "a.db", "one.txt", "bad.md")
    assert result.exit_code == 1
    assert "bad.md:1: found '# Notes', expected --- as the first line [front-matter]" in (
        result.stderr
    )
    assert run("build", "a.db", "one.txt", "bad.md", "--skip-bad").exit_code == 0
    assert query("SELECT path FROM sources") == [("bad.md",), ("v0.18/zlib/one.txt",)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing", "missing: No such file or directory"),
        (
            "empty",
            "empty: neither pages nor build caches here; expected <release>/<package>/specs.md or a"
            " mirror with an index below it",
        ),
        ("/dev/null", "/dev/null: neither a page nor a folder"),
        ("pipe", "pipe: neither a page nor a folder"),
    ],
)
@pytest.mark.parametrize("command", [("build", "b.db"), ("check",), ("verify", "a.db")])
def test_a_path_without_pages_is_wrong_use(
    run: Run, real_database: Path, command: tuple[str, ...], path: str, message: str
) -> None:
    Path("empty").mkdir()
    Path("a.db").symlink_to(real_database)
    os.mkfifo("pipe")
    result = run(*command, path)
    assert (result.exit_code, result.output.split("Error: ")[1]) == (2, f"{message}\n")
    assert not Path("b.db").exists()


@pytest.mark.parametrize("command", [("build", "b.db"), ("check",), ("verify", "a.db")])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-r", "nope"), "nothing of release nope in these paths"),
        (("-p", "nope"), "nothing of package nope in these paths"),
        (
            ("-r", "develop", "-r", "no", "-r", "never"),
            "nothing of release never, no in these paths",
        ),
    ],
)
def test_what_was_asked_for_is_not_there(
    run: Run, real_database: Path, command: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    Path("a.db").symlink_to(real_database)
    result = run(*command, REAL, "--quiet", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.split("\n")[-2:] == [f"Error: {message}", ""]
    assert not Path("b.db").exists()


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("pipe", "pipe: not a file; name the database to verify"),
        ("empty", "empty: not a file; name the database to verify"),
        ("missing", "missing: No such file or directory"),
        ("/dev/zero", "/dev/zero: not a file; name the database to verify"),
    ],
)
def test_what_cannot_be_verified(run: Run, database: str, message: str) -> None:
    Path("empty").mkdir()
    os.mkfifo("pipe")
    result = run("verify", database, REAL, "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"\n\nError: {message}\n")


def test_a_name_that_is_not_there_is_told_although_nothing_changed(run: Run) -> None:
    assert run("build", "a.db", REAL, "-r", "develop").exit_code == 0
    result = run("build", "a.db", REAL, "-r", "develop", "-r", "nope")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: nothing of release nope in these paths\n")


def test_what_the_site_could_not_show_is_told_by_check_too(run: Run, tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    for number, release in enumerate(("develop", "v0.20.0", "v0.19.0", "v0.18.0")):
        specs = [
            spec(f"{letters[number]}{one}{other}", versions=[f"{number}{one}{other}" + "0" * 200])
            for one in letters[:10]
            for other in letters[:11]
        ]
        write_specs(tmp_path / "pages", release, "many", *specs)
    for command in (["check"], ["build", "--skip-bad", "a.db"]):
        result = run(*command, str(tmp_path / "pages"), "--quiet")
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: packages many: a row of 90,754 bytes, and at most 62,500 can be shown; leave"
            " releases out: name the others with --release\n"
        )
    assert run("build", "a.db", str(tmp_path / "pages"), "-r", "develop").exit_code == 0


def test_verify_says_what_differs_and_not_too_much_of_it(run: Run) -> None:
    run("build", "b.db", REAL, "-p", "py-msgpack")
    result = run("verify", "b.db", REAL, "--quiet")
    assert (result.exit_code, len(result.stdout.split("\n"))) == (1, 101)
    assert result.stderr == "Error: 100 differences or more between b.db and the sources.\n"
    run("build", "a.db", REAL, "--force")
    with closing(sqlite3.connect("a.db", isolation_level=None)) as connection:
        connection.execute("UPDATE specs SET size = 1 WHERE hash LIKE '255hk%'")
    result = run("verify", "a.db", REAL, "--quiet")
    assert (result.exit_code, result.stdout) == (
        1,
        "specs 255hkvjjlmt7je7ljqabxkt4rcdwlcbh, size: sources say None, database says 1\n",
    )
    assert result.stderr == "Error: 1 difference between a.db and the sources.\n"


def test_a_file_of_others_is_not_overwritten(run: Run) -> None:
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    Path("text.db").write_text("important\n" * 100)
    Path("folder.db").mkdir()
    for name, message in (
        ("other.db", "not a database that this tool made, so it is not overwritten; "
         "name another file, or remove this one"),
        ("text.db", "not a database that this tool made, so it is not overwritten; "
         "name another file, or remove this one"),
        ("folder.db", "not a file; name the database to write"),
        ("no/a.db", f"the folder {Path('no').resolve()} does not exist"),
    ):  # fmt: skip
        result = run("build", name, REAL)
        assert result.exit_code == 2
        expected = f"Error: {Path(name).resolve()}: {message}"
        assert " ".join(result.output.split("\n")[-2].split()) == expected
    assert Path("text.db").read_text() == "important\n" * 100


def test_an_empty_file_is_filled_and_a_link_stays_a_link(run: Run) -> None:
    Path("real.db").touch()
    Path("a.db").symlink_to("real.db")
    assert run("build", "a.db", REAL).exit_code == 0
    assert Path("a.db").is_symlink()
    assert query("SELECT count(*) FROM specs", "real.db") == [(414,)]
    assert query("PRAGMA application_id") == [(APPLICATION_ID,)]


def clash(one: str, other: str) -> None:
    """Two packages that claim one hash, in these releases."""
    write_specs(Path("pages"), one, "zlib", spec("a"), spec("b"))
    write_specs(Path("pages"), other, "xz", spec("a"), spec("c"))


@pytest.mark.parametrize(
    ("one", "other", "refused", "kept"),
    [
        ("v0.9", "v0.9", "v0.9/zlib", "xz"),
        ("develop", "v0.9", "v0.9/xz", "zlib"),
        ("v0.9", "v0.10", "v0.9/zlib", "xz"),
    ],
)
def test_a_hash_of_two_packages(run: Run, one: str, other: str, refused: str, kept: str) -> None:
    clash(one, other)
    result = run("build", "a.db", "pages", "--skip-bad")
    assert result.exit_code == 0, result.output
    kept_page = f"{other if kept == 'xz' else one}/{kept}/specs.md"
    assert query("SELECT source, kind, message FROM problems") == [
        (
            f"{refused}/specs.md",
            "two-packages",
            f"hash {dag_hash('a')} is of package {kept} in {kept_page}",
        )
    ]
    assert query("SELECT DISTINCT package FROM specs") == [(kept,)]
    assert run("check", "pages").exit_code == 1


def test_two_pages_of_one_release_and_package(run: Run) -> None:
    text = page("zlib", "develop", [spec("a")])
    write(Path("pages"), "develop", "zlib", text)
    write(Path("pages"), "develop", "copy", text)
    write(Path("pages"), "develop", "other", page("zlib", "develop", [spec("b")]))
    assert run("build", "a.db", "pages", "--skip-bad").exit_code == 0
    assert query("SELECT source, kind, message FROM problems") == [
        ("develop/copy/specs.md", "path-package",
         "the folder says package 'copy', the front matter 'zlib', which counts"),
        ("develop/other/specs.md", "two-pages",
         "develop/copy/specs.md is another page of zlib in develop"),
    ]  # fmt: skip
    assert query("SELECT path, num_specs FROM sources") == [
        ("develop/copy/specs.md", 1),
        ("develop/other/specs.md", None),
        ("develop/zlib/specs.md", 1),
    ]
    assert query("SELECT hash FROM specs") == [(dag_hash("a"),)]


def test_the_twin_of_a_refused_page_has_its_turn(run: Run) -> None:
    write_specs(Path("pages"), "v2", "aaa", spec("a"))
    # Refused for its hash, which is of aaa in a newer release …
    write_specs(Path("pages"), "v1", "zlib", spec("a"))
    # … so this other page of zlib in v1 counts, and owns b …
    write(Path("pages"), "v1", "zlib2", page("zlib", "v1", [spec("b")]))
    # … which xz, in a page behind it, therefore cannot have.
    write(Path("pages"), "v1", "zz", page("xz", "v1", [spec("b")]))
    assert run("build", "a.db", "pages", "--skip-bad").exit_code == 0
    assert query("SELECT source, kind FROM problems WHERE severity = 'error'") == [
        ("v1/zlib/specs.md", "two-packages"),
        ("v1/zz/specs.md", "two-packages"),
    ]
    assert query("SELECT hash, package FROM specs") == [
        (dag_hash("a"), "aaa"),
        (dag_hash("b"), "zlib"),
    ]


def test_a_page_is_refused_only_for_hashes_that_it_holds(run: Run) -> None:
    write_specs(Path("pages"), "develop", "aaa", spec("a"))
    write_specs(Path("pages"), "develop", "bbb", spec("b"))
    # aaa has a page in develop too, but the hash of bbb is not on it.
    write_specs(Path("pages"), "v0.20.0", "aaa", spec("b"), spec("c"))
    assert run("build", "a.db", "pages", "--skip-bad").exit_code == 0
    assert query("SELECT source, kind FROM problems") == [("v0.20.0/aaa/specs.md", "two-packages")]
    assert run("verify", "a.db", "pages").exit_code == 0


def test_a_selection_is_numbered_for_itself(run: Run) -> None:
    for folder, package in (("x", "zlib"), ("y", "xz")):
        text = page(package, "develop", [spec(package)])
        write(Path(folder), "develop", "shared", text)
    for package in ("xz", "zlib"):
        run("build", "a.db", "x", "y", "-p", package)
        assert query("SELECT path FROM sources") == [("develop/shared/specs.md",)]
        assert run("verify", "a.db", "x", "y", "-p", package).exit_code == 0


def test_a_bad_page_is_selected_by_its_folders(run: Run) -> None:
    bad = page("zlib", "develop", [spec("a")])[:-40]
    write(Path("pages"), "v0.9", "other", bad)
    write_specs(Path("pages"), "v0.9", "xz", spec("b"))
    assert run("build", "a.db", "pages", "-r", "v0.9", "--skip-bad").exit_code == 0
    assert query("SELECT path FROM sources") == [
        ("v0.9/other/specs.md",),
        ("v0.9/xz/specs.md",),
    ]
    assert run("verify", "a.db", "pages", "-r", "v0.9").exit_code == 0


def test_two_files_with_one_path(run: Run) -> None:
    for folder, name in (("x", "a"), ("y", "b")):
        write_specs(Path(folder), "develop", "zlib", spec(name))
    write_specs(Path("z"), "develop", "zlib", spec("a"))
    first = run("build", "a.db", "x", "y", "z", "--skip-bad")
    assert first.exit_code == 0, first.output
    pages = query("SELECT path, release FROM sources")
    assert pages == [("develop/zlib/specs.md", "develop"), ("develop/zlib/specs.md (2)", None)]
    before = Path("a.db").read_bytes()
    run("build", "a.db", "z", "y", "x", "--skip-bad", "--force")
    assert Path("a.db").read_bytes() == before


def test_wrong_options_are_wrong_use(run: Run) -> None:
    assert run("build", "a.db").exit_code == 2
    assert run("build", "a.db", REAL, "--jobs", 0).exit_code == 2
    assert run("frobnicate").exit_code == 2
