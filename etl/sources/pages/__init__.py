"""Pages of the build cache website: YAML front matter, one page for each release and package."""

from collections.abc import Callable

from etl.errors import RefusedError
from etl.sources.content import Content
from etl.sources.pages import fast, general
from etl.sources.pages.grammar import Page


def read_page(data: bytes) -> Page:
    """Read the bytes of a page: fast where it is an ordinary one.

    Raises:
        RefusedError: with the reasons why it cannot be loaded.
    """
    return fast.read_page(data) or general.read_page(data)


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
