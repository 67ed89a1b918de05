"""The content of one source: opened once, read to its end or refused."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from etl.errors import Refusal, RefusedError


class Content(NamedTuple):
    """What was read of a file.

    Attributes:
        data: its bytes; none if it cannot be read or is too large.
        sha256: of these bytes, 64 hexadecimal digits.
        refusal: why it cannot be read, or None.
    """

    data: bytes
    sha256: str
    refusal: Refusal | None = None


def no_content(refusal: Refusal) -> Content:
    """What is left of a file that cannot be read."""
    return Content(b"", hashlib.sha256(b"").hexdigest(), refusal)


def too_large(size: int, most: int) -> Refusal:
    """Why a file of this many bytes is refused."""
    return Refusal(0, "too-large", f"{size:,} bytes, expected at most {most:,}")


def read_content(real: bytes, most: int) -> Content:
    """Read a file.

    Args:
        real: its absolute path without links.
        most: bytes that it may have.
    """
    try:
        data = _read(real, most)
    except RefusedError as error:
        return no_content(error.refusals[0])
    return Content(data, hashlib.sha256(data).hexdigest())


@contextmanager
def open_source(real: bytes) -> Iterator[BinaryIO]:
    """Open a file to read.

    Args:
        real: its absolute path without links.

    Raises:
        RefusedError: it is not a regular file.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK a named pipe would wait for a writer for ever; a link was put there
    # after the folder was searched.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(real, flags), "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise RefusedError(Refusal(0, "unreadable", "not a regular file"))
        yield file


def _read(real: bytes, most: int) -> bytes:
    try:
        with open_source(real) as file:
            status = os.fstat(file.fileno())
            if status.st_size > most:
                raise RefusedError(too_large(status.st_size, most))
            # It may grow meanwhile, or be one of the kernel's, which have no size and no end.
            data = file.read(status.st_size + 1)
            if status.st_size and len(data) != status.st_size:
                raise RefusedError(Refusal(0, "unreadable", "it changed while it was read"))
            return data
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise RefusedError(Refusal(0, "unreadable", message)) from None
