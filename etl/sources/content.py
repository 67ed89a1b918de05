"""The content of one source: opened once, read to its end or refused."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from etl.errors import Refusal, RefusedError, changed

GZIP = b"\x1f\x8b"
"""How what is compressed with gzip begins."""

_AHEAD = 256 * 1024


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


class FileBytes:
    """The bytes of a file, read when they are asked for.

    They are not mapped into memory: where another program cuts the file short, reading that ends
    the process, and all that was read counts as memory.
    """

    def __init__(self, handle: int, name: str) -> None:
        self._handle = handle
        self._name = name
        self._size = os.fstat(handle).st_size
        self._block = b""
        self._start = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Some of the bytes.

        Raises:
            ChangedError: they are gone.
        """
        start, end, _ = part.indices(self._size)
        if end <= start:
            return b""
        if start < self._start or end > self._start + len(self._block):
            self._block = os.pread(self._handle, max(end - start, _AHEAD), start)
            self._start = start
            if len(self._block) < end - start:
                raise changed(self._name)
        return self._block[start - self._start : end - self._start]


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
