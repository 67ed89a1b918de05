"""Functions for the SQL of questions that count who needs what in a release.

Each takes a release and a stack of it, or '' for the whole release, whose binaries count, and gives
a JSON array for `json_each`:

- `packages_needing(release, stack, package, versions, how)`: the packages whose binaries depend on
  one, or on a range of its versions, and how many do; `how` is `directly` or `to the end`, which
  mean what `%` and `^` do (needs.py);
- `specs_needing`, with the same arguments and a rowid: the rowids of these binaries behind that
  one, by package; so many as one value of SQL can hold;
- `most_needed_nodes(release, stack, kind)`: of each dependency its hash, and how many binaries
  depend on it directly; `kind` is that of `nodes`, or '' for any;
- `most_needed_packages(release, stack)`: of each package its name, of how many packages and how
  many binaries depend directly on one of its versions;
- `holes(release, stack)`: of each dependency that a binary links with or needs to run, and that is
  no binary there itself nor external, its hash and how many binaries need it so. `num_holes` has
  the same arguments and says how many there are.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.spack.graph import Graph
from web.spack.held import rows_held
from web.spack.names import DATABASE
from web.spack.needs import MeaninglessError, Needs, explaining, needed_graph, needs_with
from web.spack.syntax import MOST_CHARACTERS, Need, Sought

MOST = 5_000
"""So many packages or hashes are told, since one value of SQL has a bound (`MAX_ROW`)."""

MOST_ROWS = 30_000
"""The same for rows, whose numbers are shorter; who wants more asks again behind the last."""

MOST_ROWID = 2**32 - 1
"""A bitmap has no larger number."""

VERSIONS = re.compile(r"[\w.,:=+-]{1,500}", re.ASCII)
"""What Spack allows in a constraint on a version."""

HOW = {"directly": True, "to the end": False}
"""How a package can be needed, and whether that is directly."""

EXTERNALS_SQL = "select hash from nodes where kind = 'external'"

HASHES_SQL = """
    select rowid, hash from specs where rowid in (select value from json_each(?))
"""


class Asked(NamedTuple):
    """What a function is asked, and what it needs to answer.

    Attributes:
        graph: The dependencies.
        needs: Tells which specs depend on something.
        connection: To the database.
        rows: The binaries that count.
    """

    graph: Graph
    needs: Needs
    connection: sqlite3.Connection
    rows: BitMap


def packages_needing(asked: Asked, *needed: str) -> list[tuple[str, int]]:
    """Return packages and how many of their binaries depend on another package, the most first."""
    counts = asked.graph.count_by_package(_needing(asked, *needed))
    return sorted(counts, key=lambda count: (-count[1], count[0]))[:MOST]


def specs_needing(asked: Asked, package: str, versions: str, how: str, after: str) -> list[int]:
    """Return the first rows, behind one, of the binaries that depend on a package.

    Raises:
        MeaninglessError: the versions are none, or the row is no number.
    """
    if not after.isdecimal():
        raise MeaninglessError(f"“{after[:MOST_CHARACTERS]}” is no number of a row.")
    rows = _needing(asked, package, versions, how)
    passed = rows.rank(min(int(after), MOST_ROWID))
    return rows[passed : passed + MOST_ROWS].to_array().tolist()


def _needing(asked: Asked, package: str, versions: str, how: str) -> BitMap:
    constraint = versions.replace(" ", "")
    if constraint and not VERSIONS.fullmatch(constraint):
        raise MeaninglessError(
            f"“{versions[:MOST_CHARACTERS]}” are no versions in Spack's syntax. Such as these are:"
            " 5.6, 5.6.0:5.6.1, :3.0.12, =1.14.5, and several with commas between them."
        )
    if how not in HOW or not package:
        return BitMap()
    node = Sought(words=(package,), versions=(constraint,) if constraint else ())
    return asked.needs.rows([Need(HOW[how], (), node)]) & asked.rows


def most_needed_nodes(asked: Asked, kind: str) -> list[tuple[str, int]]:
    """Return hashes of dependencies and how many binaries depend on each, the most first."""
    graph = asked.graph
    meant = _of_kind(asked, kind)
    counts = {
        node: number
        for node in graph.dependencies
        if (meant is None or node in meant)
        and (number := graph.needing([node]).intersection_cardinality(asked.rows))
    }
    return _with_hashes(asked, counts)


def most_needed_packages(asked: Asked) -> list[tuple[str, int, int]]:
    """Return packages, and how many packages and binaries depend on each, the most first."""
    graph = asked.graph
    users: dict[str, BitMap] = {}
    for node in graph.dependencies:
        found = graph.needing([node]) & asked.rows
        if found:
            package = graph.package(node)
            users[package] = users[package] | found if package in users else found
    counts = [
        (package, sum(1 for _ in graph.count_by_package(found)), len(found))
        for package, found in users.items()
    ]
    return sorted(counts, key=lambda count: (-count[1], -count[2], count[0]))[:MOST]


def holes(asked: Asked) -> list[tuple[str, int]]:
    """Return hashes of what is lacking and how many binaries need it to run, the most first."""
    counts = {
        node: asked.graph.running_users(node).intersection_cardinality(asked.rows)
        for node in _lacking(asked)
    }
    return _with_hashes(asked, counts)


def num_holes(asked: Asked) -> int:
    """Return how much is lacking."""
    return sum(1 for _ in _lacking(asked))


def _lacking(asked: Asked) -> Iterator[int]:
    externals = _of_kind(asked, "external") or BitMap()
    there = asked.rows | externals
    for node in asked.graph.dependencies:
        if node not in there and asked.graph.running_users(node).intersect(asked.rows):
            yield node


def _of_kind(asked: Asked, kind: str) -> BitMap | None:
    """Return the nodes of a kind, or None for any."""
    graph = asked.graph
    if not kind:
        return None
    externals = BitMap(graph.others[key] for (key,) in asked.connection.execute(EXTERNALS_SQL))
    if kind == "external":
        return externals
    others = BitMap(graph.others.values())
    binaries = BitMap(graph.dependencies) - others
    return {"missing": others - externals, "binary": binaries}.get(kind, BitMap())


def _with_hashes(asked: Asked, counts: dict[int, int]) -> list[tuple[str, int]]:
    most = sorted(counts.items(), key=lambda count: -count[1])[:MOST]
    binaries = [node for node, _ in most if asked.graph.is_binary(node)]
    hashes: dict[int, str] = dict(asked.connection.execute(HASHES_SQL, [json.dumps(binaries)]))
    hashes |= {number: key for key, number in asked.graph.others.items() if number in counts}
    told = [(hashes[node], number) for node, number in most]
    return sorted(told, key=lambda count: (-count[1], count[0]))


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "packages_needing": (5, packages_needing),
    "specs_needing": (6, specs_needing),
    "most_needed_nodes": (3, most_needed_nodes),
    "most_needed_packages": (2, most_needed_packages),
    "holes": (2, holes),
    "num_holes": (2, num_holes),
}
"""What SQL calls each function, how many arguments it has there, and what answers."""


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Give SQL the functions."""
    if database != DATABASE:
        return
    for name, (number, function) in FUNCTIONS.items():
        answer = partial(_answer, datasette, function)
        conn.create_function(name, number, explaining(answer), deterministic=True)


def _answer(
    datasette: Datasette,
    function: Callable[..., Any],
    *arguments: object,
) -> str | int:
    graph = needed_graph(datasette)
    path = Path(datasette.get_database(DATABASE).path)
    # Datasette's connection is busy with the statement that asks.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        # SQL knows no types of arguments.
        release, stack, *others = map(str, arguments)
        rows = rows_held(datasette, connection, release, stack)
        needs = needs_with(datasette, graph)
        answer = function(Asked(graph, needs, connection, rows), *others)
    return answer if isinstance(answer, int) else json.dumps(answer, separators=(",", ":"))
