"""What a person sees of a page, for tests: its text by heading, its links."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple

HEADINGS = {"h1", "h2", "h3"}
UNSEEN = {"script", "style", "select"}
APART = {"button", "dd", "details", "dt", "label", "li", "p", "pre", "span", "summary", "td", "th"}


class Link(NamedTuple):
    """A link's text and address."""

    text: str
    href: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.links: list[Link] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._heading = ""
        self._in_main = False
        self._in_heading = False
        self._unseen = 0
        self._link: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._in_main |= tag == "main"
        self._unseen += tag in UNSEEN
        if tag in APART:
            self.handle_data(" ")
        if tag in HEADINGS and self._in_main:
            self._heading, self._in_heading = "", True
        if tag == "a" and self._in_main:
            self._link = ("", attributes["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_main &= tag != "main"
        self._unseen -= tag in UNSEEN
        if tag in HEADINGS:
            self._in_heading = False
            self._heading = _spaced(self._heading)
            self.sections[self._heading] = ""
        if tag == "a" and self._link:
            self.links.append(Link(_spaced(self._link[0]), self._link[1]))
            self._link = None

    def handle_data(self, data: str) -> None:
        if not self._in_main or self._unseen:
            return
        if self._in_heading:
            self._heading += data
        elif self._heading:
            self.sections[self._heading] += data
        if self._link:
            self._link = (self._link[0] + data, self._link[1])


def _spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    return reader


def sections(html: str) -> dict[str, str]:
    """Headings of the page's main part, and the text below each."""
    return {heading: _spaced(text) for heading, text in _read(html).sections.items()}


def links(html: str) -> list[Link]:
    """The links of the page's main part."""
    return _read(html).links


def tags(html: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Every tag of the page that begins an element, and its attributes."""
    yield from _read(html).tags
