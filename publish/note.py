"""The version note: which code and which pages a published copy is made of."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from publish import git
from publish.site import ROOT

NEWEST_SNAPSHOT = "select name from releases where kind = 'snapshot' order by position limit 1"


def version_note(database: Path, sources: Iterable[Path], project: Path = ROOT) -> str:
    """Name the project's commit and, where known, the pages' commit and the newest snapshot.

    For example `project:1a2b3c4d5e6f,pages:0f9e8d7c6b5a,snapshot:develop-2025-07-13`. A commit
    with changes that are not committed has a `+`; without git the project's version stands for
    the commit. There is no space in it, because recipes of hosts do not quote it.

    Args:
        database: a database that was built.
        sources: what it was built from; the first that is a repository of its own counts.
        project: the folder of this project.
    """
    parts = [f"project:{_commit(project) or version('spack-cache-to-sqlite')}"]
    within = _top_level(project)
    commits = (_commit(source) for source in sources if _top_level(source) != within)
    parts += [f"pages:{own}" for own in islice(filter(None, commits), 1)]
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        parts += [f"snapshot:{name}" for (name,) in opened.execute(NEWEST_SNAPSHOT)]
    return ",".join(parts)


def _commit(folder: Path) -> str | None:
    found = git.ask(folder, "rev-parse", "--short=12", "HEAD")
    changed = git.ask(folder, "status", "--porcelain", "--", ".")
    return f"{found}+" if found and changed else found


def _top_level(folder: Path) -> str | None:
    return git.ask(folder, "rev-parse", "--show-toplevel")
