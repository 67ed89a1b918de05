"""`make pages`, with a repository on this machine in place of upstream's."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from publish import git
from publish.cli import main
from publish.pages import fetch
from publish.site import PublishError
from tests.pages import spec, write_specs
from tests.publish.stand_ins import StandIns


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository as upstream's: two packages in each of three releases, and other files."""
    folder = tmp_path / "upstream"
    for release in ("develop", "develop-2025-07-13", "v0.23.1"):
        for package in ("hdf5", "xz"):
            write_specs(folder / "_cache", release, package, spec(f"{package}{release[0]}b"))
    (folder / "assets").mkdir()
    (folder / "assets" / "logo.svg").write_text("<svg/>")
    (folder / "index.html").write_text("<p>")
    git.run(folder, "init", "--quiet")
    git.run(folder, "config", "uploadpack.allowFilter", "true")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git.run(folder, "add", "--all")
    git.run(folder, "commit", "--quiet", "--message", "Pages")
    return git.run(folder, "rev-parse", "HEAD")


def pages(folder: Path, upstream: Path, releases: str) -> Result:
    source = ("--source", upstream.as_uri())
    return CliRunner().invoke(main, ["pages", str(folder), "--releases", releases, *source])


def found(folder: Path) -> set[str]:
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(file) for file in files if file.parts[0] != ".git"}


DEVELOP = {"_cache/develop/hdf5/specs.md", "_cache/develop/xz/specs.md"}
VERSION = {"_cache/v0.23.1/hdf5/specs.md", "_cache/v0.23.1/xz/specs.md"}
SNAPSHOT = {
    "_cache/develop-2025-07-13/hdf5/specs.md",
    "_cache/develop-2025-07-13/xz/specs.md",
}
# Git's sparse checkout always has the files of the folders above.
ALWAYS = {"index.html"}


def test_only_the_pages_asked_for_are_fetched(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    done = pages(folder, upstream, "v0.23.1 develop")
    at = git.run(upstream, "rev-parse", "--short=12", "HEAD")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        f"Asking {upstream.as_uri()} what there is",
        "develop: 2 pages",
        "v0.23.1: 2 pages",
        f"{folder} is at commit {at}",
    ]
    assert found(folder) == DEVELOP | VERSION | ALWAYS
    for page in DEVELOP | VERSION:
        assert (folder / page).read_bytes() == (upstream / page).read_bytes()
    # Neither the contents of the other release nor those of the logo have come.
    assert len(missing(folder)) == 3


def missing(folder: Path) -> list[str]:
    """Objects that were promised and not fetched."""
    listed = git.run(folder, "rev-list", "--objects", "--missing=print", "HEAD")
    return [line for line in listed.splitlines() if line.startswith("?")]


def test_exactly_the_releases_asked_for_last_stay(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    pages(folder, upstream, "develop")
    assert pages(folder, upstream, "v0.23.1").exit_code == 0
    assert found(folder) == VERSION | ALWAYS


def test_all_are_all(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    assert pages(folder, upstream, "all").exit_code == 0
    assert found(folder) == DEVELOP | SNAPSHOT | VERSION | ALWAYS


def test_changes_come_with_the_next_run(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    pages(folder, upstream, "all")
    write_specs(upstream / "_cache", "develop", "hdf5", spec("new"))
    write_specs(upstream / "_cache", "develop", "zlib", spec("zlib"))
    (upstream / "_cache" / "v0.23.1" / "xz" / "specs.md").unlink()
    at = commit(upstream)
    assert pages(folder, upstream, "all").exit_code == 0
    assert git.run(folder, "rev-parse", "HEAD") == at
    assert found(folder) == (
        (DEVELOP | SNAPSHOT | VERSION | ALWAYS | {"_cache/develop/zlib/specs.md"})
        - {"_cache/v0.23.1/xz/specs.md"}
    )
    changed = "_cache/develop/hdf5/specs.md"
    assert (folder / changed).read_bytes() == (upstream / changed).read_bytes()
    # History does not pile up.
    assert git.run(folder, "rev-list", "--count", "HEAD") == "1"


def test_it_goes_on_after_it_was_broken_off(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"

    def interrupt(said: str) -> None:
        if said.startswith("develop:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(folder, ["all"], upstream.as_uri(), interrupt)
    assert found(folder) == DEVELOP | ALWAYS
    # As a kill at the worst moment leaves it.
    (folder / ".git" / "index.lock").touch()
    (folder / ".git" / "info" / "sparse-checkout.lock").touch()
    (folder / "_cache" / "develop" / "xz" / "specs.md").unlink()
    (folder / "_cache" / "develop" / "hdf5" / "specs.md").write_text("half")
    assert pages(folder, upstream, "all").exit_code == 0
    assert found(folder) == DEVELOP | SNAPSHOT | VERSION | ALWAYS
    for page in DEVELOP:
        assert (folder / page).read_bytes() == (upstream / page).read_bytes()


def test_a_release_that_does_not_exist(upstream: Path, tmp_path: Path) -> None:
    done = pages(tmp_path / "pages", upstream, "develop v9.9 v8")
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == (
        "Error: No release v9.9, v8. There are: develop develop-2025-07-13 v0.23.1"
    )
    assert found(tmp_path / "pages") == set()


def test_a_folder_with_something_else_is_left_alone(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    done = pages(folder, upstream, "develop")
    assert done.exit_code == 1
    assert done.output == (
        f"Error: {folder} holds something else than pages from {upstream.as_uri()}.\n"
    )
    assert found(folder) == {"thesis.txt"}


def test_a_folder_of_another_source_is_left_alone(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    pages(folder, upstream, "develop")
    with pytest.raises(PublishError, match="holds something else than pages from https://a"):
        fetch(folder, ["develop"], "https://a", print)
    assert found(folder) == DEVELOP | ALWAYS


def test_a_source_that_does_not_answer(tmp_path: Path) -> None:
    done = pages(tmp_path / "pages", tmp_path / "nowhere", "develop")
    assert done.exit_code == 1
    assert "Error: git fetch --depth failed; run it again to go on." in done.output
    assert "does not appear to be a git repository" in done.output


def test_two_runs_at_once(upstream: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    others: list[Result] = []

    def second(said: str) -> None:
        if said.startswith("Asking"):
            others.append(pages(folder, upstream, "develop"))

    fetch(folder, ["develop"], upstream.as_uri(), second)
    (other,) = others
    assert other.exit_code == 1
    assert other.output == f"Error: {folder}: another run is writing it; wait for its end\n"


def test_without_git(upstream: Path, tmp_path: Path, stand_ins: StandIns) -> None:
    (stand_ins.path / "git").unlink()
    done = pages(tmp_path / "pages", upstream, "develop")
    assert (done.exit_code, done.output) == (1, "Error: git is not installed, or not on PATH.\n")


def test_the_environment_of_a_git_hook_does_not_lead_it_astray(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = git.run(upstream, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(upstream / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(upstream))
    assert pages(tmp_path / "pages", upstream, "develop").exit_code == 0
    assert git.run(upstream, "rev-parse", "HEAD") == before
    assert found(tmp_path / "pages") == DEVELOP | ALWAYS


@pytest.mark.parametrize("name", ["*", "[x]", "a b", 'q"t', "back\\slash", "ü", "日本"])
def test_folders_of_any_name_are_fetched(upstream: Path, tmp_path: Path, name: str) -> None:
    write_specs(upstream / "_cache", name, "zlib", spec("z"))
    commit(upstream)
    folder = tmp_path / "pages"
    fetch(folder, ["v0.23.1", name], upstream.as_uri(), print)
    fetch(folder, ["v0.23.1", name], upstream.as_uri(), print)
    assert found(folder) == ALWAYS | VERSION | {f"_cache/{name}/zlib/specs.md"}


def test_links_of_upstream_lead_nowhere(upstream: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    (upstream / "_cache/develop/evil").mkdir()
    (upstream / "_cache/develop/evil/specs.md").symlink_to(secret)
    (upstream / "_cache/develop/folder").symlink_to(tmp_path)
    commit(upstream)
    folder = tmp_path / "pages"
    fetch(folder, ["develop"], upstream.as_uri(), print)
    assert [path for path in folder.rglob("*") if path.is_symlink()] == []
    assert (folder / "_cache/develop/evil/specs.md").read_text() == str(secret)
