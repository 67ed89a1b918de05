"""Pages of the build cache website: YAML front matter, one page for each release and package."""

from etl.sources.pages import fast, general
from etl.sources.pages.grammar import Page


def read_page(data: bytes) -> Page:
    """Read the bytes of a page: fast where it is an ordinary one.

    Raises:
        RefusedError: with the reasons why it cannot be loaded.
    """
    return fast.read_page(data) or general.read_page(data)
