"""Which releases would fit on a host that takes no database of this size."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

RELEASES = "select name from releases order by position"
SPECS_OF = "select spec from spec_releases where release = ?"
ENTRIES_OF = """
    select (select count(*) from spec_stacks where release = :release)
         + (select count(*) from spec_releases where release = :release)
"""

SPARE = 0.9
"""How much of the room is filled, because the size of what does not exist is an estimate."""


def releases_that_fit(database: Path, room: int) -> list[str]:
    """The releases that would fit into `room` bytes together, newest first.

    The estimate is on the safe side: a database of some releases is taken to need as much of
    this one's size as they have of its specs, or of its rows of stacks and releases, whichever
    is more.

    Args:
        database: a database that is too large.
        room: bytes that the host takes.
    """
    size = database.stat().st_size
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
        return list(_fitting(opened, SPARE * room / size))


def _fitting(database: sqlite3.Connection, share: float) -> Iterator[str]:
    (all_specs,) = database.execute("select count(*) from specs").fetchone()
    releases = [name for (name,) in database.execute(RELEASES)]
    entries_of = {name: _entries(database, name) for name in releases}
    specs: set[str] = set()
    entries = 0
    for name in releases:
        with_it = specs.union(spec for (spec,) in database.execute(SPECS_OF, (name,)))
        entries_with_it = entries + entries_of[name]
        parts = (len(with_it) / all_specs, entries_with_it / sum(entries_of.values()))
        if max(parts) <= share:
            specs, entries = with_it, entries_with_it
            yield name


def _entries(database: sqlite3.Connection, release: str) -> int:
    (entries,) = database.execute(ENTRIES_OF, {"release": release}).fetchone()
    return int(entries)
