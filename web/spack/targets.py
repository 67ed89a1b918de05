"""Which CPU targets a text means, as Spack reads `target=`: ranges and lists by ancestry.

    zen4                that one
    zen3,zen4           each of them
    x86_64_v3:          that one and all that run its binaries
    :x86_64_v3          that one and all whose binaries run on it
    x86_64_v2:zen4      both

Who runs what stands in the table `target_compatibility`.
"""

from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from web.spack.names import DATABASE

COMPATIBILITY_SQL = "select target, runs from target_compatibility"

Runs = Mapping[str, frozenset[str]]
"""What each target runs the binaries of: itself and all its ancestors."""


def read_targets(connection: sqlite3.Connection) -> Runs:
    """Return what each target runs.

    Args:
        connection: To the database.
    """
    return grouped(connection.execute(COMPATIBILITY_SQL))


def grouped(rows: Iterable[tuple[str, str]]) -> Runs:
    """Return what each target runs.

    Args:
        rows: Targets, and each time one that it runs.
    """
    found: dict[str, set[str]] = {}
    for target, runs in rows:
        found.setdefault(target, set()).add(runs)
    return {target: frozenset(runs) for target, runs in found.items()}


_runs: WeakKeyDictionary[Datasette, Runs] = WeakKeyDictionary()


async def targets_of(datasette: Datasette) -> Runs:
    """Return what each target of a site runs; what cannot change is read once."""
    if datasette in _runs:
        return _runs[datasette]
    database = datasette.get_database(DATABASE)
    runs: Runs = await database.execute_fn(read_targets)
    if not database.is_mutable:
        _runs[datasette] = runs
    return runs


def target_named(text: str, runs: Runs) -> str | None:
    """Return the target that has a name, in capitals or not.

    Args:
        text: The name.
        runs: What each target runs.
    """
    lower = text.strip().lower()
    return next((name for name in runs if name.lower() == lower), None)


def meant(text: str, runs: Runs) -> frozenset[str]:
    """Return the targets that a text means, of those that are known.

    Args:
        text: What follows `target=`, in capitals or not.
        runs: What each target runs.
    """
    by_lower = {name.lower(): name for name in runs}
    found: set[str] = set()
    for part in text.lower().split(","):
        low, colon, high = (by_lower.get(each, each) for each in part.strip().partition(":"))
        if not colon:
            found |= {low} & runs.keys()
            continue
        found |= {
            name
            for name, below in runs.items()
            if (not low or low in below) and (not high or name in runs.get(high, ()))
        }
    return frozenset(found)
