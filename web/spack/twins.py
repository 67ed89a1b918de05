"""In which dependency the twins of a spec differ from it."""

from collections.abc import Sequence
from typing import NamedTuple

from datasette.database import Database

from web.spack.dags import read_dags
from web.spack.differences import UNKNOWN, Differences, Pair, words

MOST_EXPLAINED = 20
"""Of so many twins a spec's page tells what they differ in."""

MOST_WORDS = 4
"""So many differences of a twin are told; the comparison has all."""


NAMES = ("this one", "the twin")


class Explained(NamedTuple):
    """What a twin differs in.

    Attributes:
        words: The nearest differences, the first ones; none where its dependencies are unknown.
        more: How many there are beside these.
    """

    words: list[str]
    more: int


async def explained(db: Database, spec: str, twins: Sequence[str]) -> dict[str, Explained]:
    """Return what the first of a spec's twins differ in, by their hashes."""
    twins = twins[:MOST_EXPLAINED]
    if not twins:
        return {}
    dags = await read_dags(db, [spec, *twins])
    differences = Differences(dags)
    return {twin: _explained(differences, (spec, twin)) for twin in twins}


def _explained(differences: Differences, pair: Pair) -> Explained:
    said: list[str] = []
    for look in differences.nearest(pair):
        is_root = look.a.hash == pair[0]
        if is_root and look.unexplained == UNKNOWN:
            # Nobody knows what they depend on, and that they are twins is told already.
            continue
        said.extend(words(look, is_root=is_root, names=NAMES))
    said = list(dict.fromkeys(said))
    return Explained(said[:MOST_WORDS], max(0, len(said) - MOST_WORDS))
