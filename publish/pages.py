"""Fetch the pages of some releases from the repository of Spack's build-cache website."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from etl.lock import locked
from etl.order import releases_newest_first
from publish import git
from publish.site import PublishError

SOURCE = "https://github.com/spack/cache.spack.io"
ALL = "all"

CACHE = "_cache"
"""The folder of the repository that holds a folder for each release."""

FETCH = ("--depth", "1", "--filter=blob:none", "--no-tags")
"""Neither history nor contents; a checkout then fetches the contents that it needs."""

_PATTERN = frozenset("*?[]\\")
"""Characters for which git takes the name of a folder for a pattern."""

Say = Callable[[str], None]


def fetch(folder: Path, releases: Sequence[str], source: str, say: Say) -> None:
    """Make a folder hold the newest pages of exactly these releases.

    Only the pages asked for are fetched, without history (sparse, shallow, blobless), release
    after release. So a run that was broken off goes on where it was, and the next one fetches
    what has changed.

    Args:
        folder: a new or empty folder, or one that was filled by this before.
        releases: names of releases, or only `all`.
        source: address of the repository.
        say: called with what happens.

    Raises:
        PublishError: there is no such release, the folder holds something else, or git failed.
    """
    if not shutil.which("git"):
        raise PublishError("git is not installed, or not on PATH.")
    with _clear_errors():
        _prepare(folder, source)
        # A link would lead to a file of whoever fetches; as a text it leads nowhere.
        git.run(folder, "config", "core.symlinks", "false")
        with locked(folder / ".git/fetch-pages.lock", str(folder)):
            _remove_locks_of_git(folder / ".git")
            say(f"Asking {source} what there is")
            git.run(folder, "fetch", *FETCH, "origin", "HEAD")
            commit = git.run(folder, "rev-parse", "FETCH_HEAD")
            chosen = _choose(releases, _releases_at(folder, commit))
            _check_out(folder, commit, chosen, say)
        say(f"{folder} is at commit {commit[:12]}")


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except subprocess.CalledProcessError as error:
        command = " ".join(error.cmd[3:5])
        said = str(error.stderr).strip()
        raise PublishError(f"git {command} failed; run it again to go on.\n{said}") from error


def _prepare(folder: Path, source: str) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        top = git.ask(folder, "rev-parse", "--show-toplevel")
        origin = git.ask(folder, "remote", "get-url", "origin")
        if top != str(folder.resolve()) or origin != source:
            raise PublishError(f"{folder} holds something else than pages from {source}.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    git.run(folder, "init", "--quiet")
    git.run(folder, "remote", "add", "origin", source)
    # The list of what is not checked out stays short: a hundred releases take half the time.
    git.run(folder, "config", "index.sparse", "true")


def _remove_locks_of_git(own: Path) -> None:
    """Remove the locks that git left when it was killed."""
    for left in (own / "index.lock", own / "shallow.lock", own / "info/sparse-checkout.lock"):
        left.unlink(missing_ok=True)


def _releases_at(folder: Path, commit: str) -> list[str]:
    found = git.run(folder, "ls-tree", "-d", "-z", "--name-only", commit, f"{CACHE}/")
    return releases_newest_first(Path(path).name for path in found.split("\0") if path)


def _choose(wanted: Sequence[str], there_are: Sequence[str]) -> list[str]:
    if list(wanted) == [ALL]:
        return list(there_are)
    if missing := [name for name in wanted if name not in there_are]:
        raise PublishError(f"No release {', '.join(missing)}. There are: {' '.join(there_are)}")
    return [name for name in there_are if name in wanted]


def _check_out(folder: Path, commit: str, releases: Sequence[str], say: Say) -> None:
    there = [name for name in releases if (folder / CACHE / name).is_dir()]
    git.run(folder, "sparse-checkout", "set", "--cone", *_folders(there))
    git.run(folder, "checkout", "--quiet", "--force", "--detach", commit)
    for name in releases:
        if name not in there:
            git.run(folder, "sparse-checkout", "add", *_folders([name]))
        say(f"{name}: {_count(folder / CACHE / name)} pages")


def _folders(releases: Sequence[str]) -> Iterator[str]:
    """The folders of releases, as arguments that git takes by their letters."""
    if any(_PATTERN.intersection(name) for name in releases):
        yield "--skip-checks"
    yield from (f"{CACHE}/{name}" for name in releases)


def _count(folder: Path) -> str:
    return f"{sum(1 for _ in folder.glob('*/specs.md')):,}"
