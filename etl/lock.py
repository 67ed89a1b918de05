"""One at a time: a file that whoever writes something holds meanwhile."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.errors import FailedError


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold a lock, in a file that is gone afterwards.

    Args:
        file: the file; its folder exists.
        what: what is written meanwhile, for the message to others.

    Raises:
        FailedError: another process holds it, or did so a moment ago.
    """
    handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedError(f"{what}: another run is writing it; wait for its end") from None
        if not _is_same_file(handle, file):
            # The other run ended, and removed the file, between our opening and locking it.
            raise FailedError(f"{what}: another run just wrote it; run the command again")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _is_same_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
