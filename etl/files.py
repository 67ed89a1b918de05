"""Putting a complete file in the place of another, in one step."""

import os
from pathlib import Path


def swap_in(new: Path, file: Path) -> None:
    """Put a complete file in the place of another.

    Raises:
        OSError: it cannot be written.
    """
    _sync(new)
    new.replace(file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(file: Path, text: str) -> None:
    """Write a text that is there as a whole or not at all.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
