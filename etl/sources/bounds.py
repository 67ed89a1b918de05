"""What a name, a hash and a text may be, in whatever kind of source; and how much of them."""

import re
import unicodedata

from etl.schema import MAX_ROW

MAX_SIZE = 2**63 - 1
"""Largest number of bytes that SQLite's INTEGER holds."""

MAX_NAME = 250
"""Most bytes of a name, a version or a compiler."""

MAX_VARIANTS = MAX_ROW // 10
"""Most bytes of a spec's variants as JSON; real ones have some hundreds."""

MAX_VALUES = 500
"""Most values that the variants of a spec stand for, `x=a,b` being two."""

HASH = re.compile(r"[a-z2-7]{32}", re.ASCII)


def fault_of_name(name: str) -> str | None:
    """What is wrong with the name of a package, release, stack or system, if anything."""
    if not name:
        return "is empty"
    if "/" in name:
        return "holds a slash"
    if ".." in name:
        return "holds .."
    return None


def is_longer(text: str, most: int) -> bool:
    """Whether a text has more bytes than it may have."""
    # A character has at most four bytes.
    return len(text) > most or (
        len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most
    )


def control_in(text: str) -> str | None:
    """The first control character or lone surrogate of a text, if any."""
    if text.isprintable():
        return None
    return next((c for c in text if unicodedata.category(c) in ("Cc", "Cs")), None)


def has_control(text: str) -> bool:
    """Whether a text holds a control character or a lone surrogate."""
    return control_in(text) is not None


def printable(text: str) -> str:
    """A text for messages: what a terminal would not show as it is, is spelled with a backslash."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = MAX_NAME) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= most else f"{text[:most]}…"
