"""Pages are found below the folder that was named, and no link leads out of it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.sources import find
from etl.sources.find import Folder, Found, layout_path, named, walk
from tests.pages import REAL, spec, write_specs

Run = Callable[..., tuple[int, str]]
TOLD = "a link that leads out of the folder that was named; name what it leads to"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a quiet command in an empty folder: exit status, and what it says."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [command, "--quiet", *arguments])
        assert isinstance(result.exception, SystemExit | None), result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened, by their real paths."""
    found: list[str] = []
    system_open = os.open

    def watched(path: str | bytes, *arguments: int, **options: int) -> int:
        found.append(os.path.realpath(os.fsdecode(path)))
        return system_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)
    return found


def query(sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect("a.db")) as connection:
        return connection.execute(sql).fetchall()


def test_only_pages_of_the_layout_are_found_in_a_folder(tmp_path: Path) -> None:
    write_specs(tmp_path, "develop", "zlib", spec("a"))
    (tmp_path / "notes.md").write_text("no page")
    (tmp_path / "develop/zlib/SPECS.md").write_text("no page")
    (tmp_path / "specs.md").write_text("a page, perhaps")
    folder = named(tmp_path)
    assert isinstance(folder, Folder)
    assert [
        Path(found.real).relative_to(tmp_path.resolve()).as_posix() for found in walk(folder)
    ] == [
        "specs.md",
        "develop/zlib/specs.md",
    ]


def test_a_file_that_is_named_is_a_page_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x")
    (tmp_path / "link.txt").symlink_to("one.txt")
    assert named(tmp_path / "link.txt") == Found(
        str((tmp_path / "one.txt").resolve()), str(tmp_path / "link.txt")
    )


@pytest.mark.parametrize(
    ("real", "path"),
    [
        ("/a/b/develop/zlib/specs.md", "develop/zlib/specs.md"),
        ("/develop/zlib/specs.md", "develop/zlib/specs.md"),
        ("/zlib/specs.md", None),
        ("/specs.md", None),
        ("/develop/zlib/other.md", None),
    ],
)
def test_what_is_in_upstreams_layout(real: str, path: str | None) -> None:
    assert layout_path(real) == path


# Each leads to a file with a secret, or to a folder with one.
LINKS = {
    "a file as a page": ("pages/develop/xz/specs.md", "../../../elsewhere/v0.18/xz/specs.md"),
    "a file of another name": ("pages/develop/xz/specs.md", "../../../secret"),
    "an absolute path": ("pages/develop/xz/specs.md", "/etc/passwd"),
    "a folder as a package": ("pages/develop/xz", "../../elsewhere/v0.18/xz"),
    "a folder as a release": ("pages/v0.18", "../elsewhere/v0.18"),
    "all that is above": ("pages/up", ".."),
    "a folder whose name only begins alike": ("pages/v0.18", "../pages-too"),
    "the root of the system": ("pages/v0.18", "/"),
    "through a link inside": ("pages/develop/xz/specs.md", "../../inside/secret"),
}


@pytest.fixture
def secrets(run: Run) -> None:
    """A page, and files outside the folder that is named."""
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    write_specs(Path("elsewhere"), "v0.18", "xz", spec("b"))
    write_specs(Path("pages-too"), "v0.18", "xz", spec("b"))
    Path("secret").write_text("the secret")
    Path("pages/inside").symlink_to("..")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(("link", "target"), LINKS.values(), ids=list(LINKS))
def test_no_link_leads_out_of_the_folder_that_was_named(
    run: Run, opened: list[str], link: str, target: str
) -> None:
    if "inside" not in target:
        Path("pages/inside").unlink()
    Path(link).parent.mkdir(exist_ok=True)
    Path(link).symlink_to(target)
    status, said = run("check", "pages")
    problems = [line for line in said.splitlines() if line.startswith("pages/")]
    assert f"{link}: {TOLD} [unreadable]" in problems
    assert {line.partition(": ")[2] for line in problems} == {f"{TOLD} [unreadable]"}
    assert status == 1
    assert run("build", "a.db", "pages", "--skip-bad")[0] == 0
    assert query("SELECT hash FROM specs") == [(spec("a")["hash"],)]
    errors = query("SELECT DISTINCT severity, kind, message FROM problems")
    assert errors == [("error", "unreadable", TOLD)]
    refused = query("SELECT * FROM sources WHERE release IS NULL")
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert {row[1:] for row in refused} == {("page", *[None] * 7, 0, nothing)}
    assert run("verify", "a.db", "pages") == (0, "")
    inside = str(Path("pages").resolve())
    outside = [file for file in opened if not file.startswith(inside + "/")]
    assert not [file for file in outside if Path(file).name in ("specs.md", "secret", "passwd")]


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("link", ["pages/v0.18", "pages/develop/other"])
def test_a_link_that_leads_out_is_told_whatever_was_chosen(run: Run, link: str) -> None:
    Path("pages/inside").unlink()
    Path(link).symlink_to(Path("elsewhere").resolve())
    told = f"{link}: {TOLD} [unreadable]"
    for options in ([], ["-r", "develop"], ["-p", "zlib"]):
        status, said = run("check", *options, "pages")
        assert (status, said.splitlines()[0]) == (1, told)


@pytest.mark.usefixtures("secrets")
def test_what_a_link_leads_to_can_be_named(run: Run) -> None:
    Path("pages/inside").unlink()
    Path("pages/v0.18").symlink_to("../elsewhere/v0.18")
    assert run("build", "a.db", "pages/develop", "pages/v0.18") == (0, "")
    assert query("SELECT path FROM sources") == [
        ("develop/zlib/specs.md",),
        ("v0.18/xz/specs.md",),
    ]
    Path("one.md").symlink_to("elsewhere/v0.18/xz/specs.md")
    assert run("build", "a.db", "one.md") == (0, "")
    assert query("SELECT path FROM sources") == [("v0.18/xz/specs.md",)]


def test_links_inside_the_folder_that_was_named_add_nothing(run: Run) -> None:
    write_specs(Path("pages"), "develop", "zlib", spec("a"))
    Path("pages/develop/copy").symlink_to("zlib")
    Path("pages/v0.18").symlink_to("develop")
    Path("pages/develop/other").mkdir()
    Path("pages/develop/other/specs.md").symlink_to("../zlib/specs.md")
    Path("linked").symlink_to("pages")
    for top in ("pages", "linked", "pages/"):
        assert run("build", "a.db", top, "--force") == (0, "")
        assert query("SELECT path FROM sources") == [("develop/zlib/specs.md",)]
        assert run("verify", "a.db", top) == (0, "")


def test_a_link_inside_to_a_page_of_another_name(run: Run) -> None:
    file = write_specs(Path("pages"), "develop", "zlib", spec("a"))
    Path("pages/kept").mkdir()
    file.rename("pages/kept/zlib.md")
    file.symlink_to("../../kept/zlib.md")
    assert run("build", "a.db", "pages") == (0, "")
    assert query("SELECT path, release FROM sources") == [("develop/zlib/zlib.md", "develop")]
    assert run("verify", "a.db", "pages") == (0, "")


def test_the_real_pages_are_shared_out_in_the_order_of_their_names() -> None:
    folder = named(REAL)
    assert isinstance(folder, Folder)
    assert [Path(found.file).parent.name for found in find.share_out(folder).pages] == [
        "py-cloudpickle",
        "py-filelock",
        "py-msgpack",
        "py-pdm-backend",
        "py-safetensors",
    ]
