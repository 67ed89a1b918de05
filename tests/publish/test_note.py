"""The version note: which code and which pages a copy is made of."""

from importlib.metadata import version
from pathlib import Path

import pytest

from publish import git
from publish.note import version_note
from tests.publish.stand_ins import StandIns


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one commit, with pages of its own."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    return repository(tmp_path / "project")


def repository(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "page").write_text(folder.name)
    git.run(folder, "init", "--quiet")
    git.run(folder, "add", "--all")
    git.run(folder, "commit", "--quiet", "--message", "First")
    return folder


def head(folder: Path) -> str:
    return git.run(folder, "rev-parse", "HEAD")[:12]


def test_commits_and_snapshot(project: Path, made_database: Path) -> None:
    # A clone of the pages inside the project, as `make pages` makes it.
    pages = repository(project / "pages")
    (project / ".gitignore").write_text("/pages/\n")
    git.run(project, "add", "--all")
    git.run(project, "commit", "--quiet", "--message", "Ignore")
    assert version_note(made_database, [pages], project) == (
        f"project:{head(project)},pages:{head(pages)},snapshot:develop-2025-07-13"
    )


def test_changes_are_told(project: Path, made_database: Path, tmp_path: Path) -> None:
    pages = repository(tmp_path / "pages")
    (project / "new").touch()
    (pages / "data" / "page").write_text("changed")
    assert version_note(made_database, [pages / "data"], project) == (
        f"project:{head(project)}+,pages:{head(pages)}+,snapshot:develop-2025-07-13"
    )


def test_of_several_sources_the_first_repository_is_told(
    project: Path, real_database: Path, tmp_path: Path
) -> None:
    first, second = (repository(tmp_path / name) for name in ("first", "second"))
    sources = [project / "data", Path(f"mine={tmp_path}"), first / "data", second]
    assert version_note(real_database, sources, project) == (
        f"project:{head(project)},pages:{head(first)}"
    )


def test_pages_of_the_project_have_no_commit_of_their_own(
    project: Path, real_database: Path
) -> None:
    note = version_note(real_database, [project / "data"], project)
    assert note == f"project:{head(project)}"


def test_without_git_the_version_stands_for_the_commit(
    project: Path, real_database: Path, tmp_path: Path, stand_ins: StandIns
) -> None:
    own = version("spack-cache-to-sqlite")
    assert version_note(real_database, [tmp_path], tmp_path) == f"project:{own}"
    (stand_ins.path / "git").unlink()
    assert version_note(real_database, [project / "data"], project) == f"project:{own}"
