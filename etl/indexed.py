"""What is known of indexes only when all packages were read: dependencies that have no record.

With it goes what is staged of each index as a whole: its row in `sources` and its problems.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from etl import problems
from etl.gathering import gathering
from etl.problems import Problem
from etl.sorting import SortedIndex, count_binaries
from etl.sources.caches.general import MORE_KEYS
from etl.sources.choice import Choice
from etl.staging import Shard, staging


class _Named(NamedTuple):
    """A dependency, and the record that counts first of those that name it."""

    hash: str
    number: int
    spec: str
    name: str
    package: str | None


def stage_indexes(
    shard: Shard, folder: Path, choice: Choice, indexes: Sequence[SortedIndex]
) -> None:
    """Stage what is known of indexes, and the nodes of which there is no record.

    Args:
        shard: where to stage it.
        folder: the staging folder.
        choice: which packages were read.
        indexes: all indexes.
    """
    if not indexes:
        return
    found: list[Problem] = []
    with staging(folder) as staged:
        odd = list(_odd_dependencies(staged))
    nodes: list[tuple[str, str, str | None, str, str | None]] = []
    with gathering(folder) as gatherer:
        unknown = [one.hash for one in odd if one.package is None]
        elsewhere = gatherer.read_first(unknown) if gatherer and unknown else {}
    for one in odd:
        path = indexes[one.number - 1].listed.path
        if one.package is not None:
            message = problems.other_name(one.spec, one.hash, one.name, one.package)
            found.append(Problem(path, 0, "conflict", message))
        elif record := elsewhere.get(one.hash):
            # Its package was not asked for.
            kind = "missing" if record.facts.external is None else "external"
            version, external = record.facts.version, record.facts.external or None
            nodes.append((one.hash, record.package, version, kind, external))
        else:
            nodes.append((one.hash, one.name, None, "missing", None))
            message = problems.missing_record(one.spec, one.name, one.hash)
            found.append(Problem(path, 0, "missing-record", message))
    shard.insert("nodes", nodes)
    # All of them are nodes; as problems the first ones will do.
    found = list(problems.limited(found))
    counts = count_binaries(folder, choice.packages)
    for index in indexes:
        found.extend(_problems(index))
        shard.insert("sources", [_source_row(index, counts.get(index.number, 0))])
        path = index.listed.path
        shard.insert("unknown_keys", [(*key, path, n) for key, n in _unknown(index)])
    shard.insert(
        "problems",
        [(one.source, one.line, one.severity, one.kind, one.message) for one in found],
    )
    good = [index.listed for index in indexes if not index.refusals]
    shard.insert("stack_releases", [(one.stack, one.release) for one in good])
    homes = {one.release: (one.release, one.home, one.layout) for one in reversed(good)}
    shard.insert("homes", list(homes.values()))


_ODD = """
SELECT dependency, number, spec, name, package
FROM staged_named LEFT JOIN known ON known.hash = dependency
WHERE package IS NOT name ORDER BY dependency, number, spec
"""


def _odd_dependencies(staged: sqlite3.Connection) -> Iterator[_Named]:
    """The dependencies that have no record, or one of another name: each once."""
    staged.execute("CREATE TEMP TABLE known (hash TEXT PRIMARY KEY, package TEXT) WITHOUT ROWID")
    staged.execute("INSERT INTO known SELECT hash, package FROM staged_nodes ORDER BY hash")
    for _, rows in groupby(staged.execute(_ODD), key=itemgetter(0)):
        yield _Named(*next(rows))


def _source_row(index: SortedIndex, num_specs: int) -> tuple[object, ...]:
    listed = index.listed
    facts = (listed.bytes, listed.sha256, listed.release, None)
    if index.refusals:
        return (listed.path, "index", *[None] * 7, *facts)
    names = (listed.release, None, listed.stack, listed.layout)
    numbers = (index.version, index.num_records, num_specs)
    return (listed.path, "index", *names, *numbers, *facts)


def _problems(index: SortedIndex) -> Iterator[Problem]:
    path = index.listed.path
    if index.refusals:
        yield from (Problem(path, *refusal) for refusal in index.refusals)
        return
    if index.num_silent:
        yield Problem(path, 0, "in-buildcache", problems.silent(index.num_silent))
    if more := index.unknown[MORE_KEYS]:
        yield Problem(path, 0, "unknown-key", problems.unknown_keys(more))


def _unknown(index: SortedIndex) -> Iterator[tuple[tuple[str, str], int]]:
    for key, number in sorted(index.unknown.items()):
        if key != MORE_KEYS and not index.refusals:
            yield key, number
