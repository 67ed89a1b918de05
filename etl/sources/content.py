"""The content of one source: opened once, read to its end or refused."""

import hashlib
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from etl.errors import Refusal, RefusedError
from etl.sources.pages import grammar, read_page
from etl.sources.pages.general import too_large
from etl.sources.pages.grammar import Page


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


def read_content(real: bytes) -> Content:
    """Read a file, given its absolute path without links."""
    try:
        data = _read(real)
    except RefusedError as error:
        return no_content(error.refusals[0])
    return Content(data, hashlib.sha256(data).hexdigest())


def page_of(content: Content, read: Callable[[bytes], Page] = read_page) -> Page:
    """The page that was read.

    Args:
        content: what was read of its file.
        read: how to read its bytes.

    Raises:
        RefusedError: with the reasons why it cannot be loaded.
    """
    if content.refusal:
        raise RefusedError(content.refusal)
    return read(content.data)


def _read(real: bytes) -> bytes:
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever; a link was put there
        # after the folder was searched.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(real, flags), "rb", buffering=0) as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RefusedError(Refusal(0, "unreadable", "not a regular file"))
            if status.st_size > grammar.MAX_BYTES:
                raise RefusedError(too_large(status.st_size))
            # It may grow meanwhile, or be one of the kernel's, which have no size and no end.
            return file.read(status.st_size + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise RefusedError(Refusal(0, "unreadable", message)) from None
