"""Run git, whatever repository the caller's environment is tied to."""

import os
import subprocess
from pathlib import Path

TIES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
"""Variables that git sets for hooks and that would lead it to another repository."""


def run(folder: Path, *arguments: str) -> str:
    """What a git command says in a folder. It never asks for a password.

    Raises:
        subprocess.CalledProcessError: it failed; `stderr` says why.
        FileNotFoundError: there is no git.
    """
    environment = {name: value for name, value in os.environ.items() if name not in TIES}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        # A name in a repository need not be UTF-8.
        errors="surrogateescape",
        check=True,
        env=environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
    )
    return done.stdout.strip()


def ask(folder: Path, *arguments: str) -> str | None:
    """What a git command says in a folder; None where it fails or there is no git."""
    try:
        return run(folder, *arguments)
    except (OSError, subprocess.CalledProcessError):
        return None
