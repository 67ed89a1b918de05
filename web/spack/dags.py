"""What lies below specs: nodes and edges of their DAGs, read from the database in one go.

A database that was not built here can have a cycle in it, and an index can name a hundred thousand
dependencies: so the walk of SQLite ends by itself (`union` meets a hash once), and after so many
nodes and edges. What was not read is told from what is not there.
"""

import json
import sqlite3
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from datasette.database import Database

PURPOSES = ("build", "link", "run", "test")
"""What a dependency can be needed for, as columns of `dependencies` call it."""

MOST_NODES = 2_000
MOST_EDGES = 20_000
MOST_CHARACTERS = 4_000_000
"""So much of what is below some specs is read; of variants and flags so many characters."""

# SQLite walks breadth first, so what is cut off is the lowest.
_REACHED = f"""
    with recursive reached(hash) as (
        select value from json_each(:roots)
        union
        select dependency from reached join dependencies on spec = reached.hash
        limit {MOST_NODES + 1}
    )
"""

NODES_SQL = f"""
    {_REACHED}
    select * from (
        select nodes.hash, nodes.package, nodes.version, kind, external,
            compiler, os, platform, target, namespace, build_spec, variants, flags,
            sum(coalesce(length(variants) + length(flags), 0)) over (rows unbounded preceding)
            as characters
        from reached cross join nodes using (hash) left join specs using (hash)
    ) where characters <= {MOST_CHARACTERS}
"""

EDGES_SQL = f"""
    {_REACHED}
    select spec, dependency, package, version, kind, virtuals, {", ".join(PURPOSES)}
    from reached cross join dependencies on spec = reached.hash
    join nodes on nodes.hash = dependency limit {MOST_EDGES + 1}
"""


class Edge(NamedTuple):
    """A dependency of a node.

    Attributes:
        hash: Its hash.
        package: Its package.
        version: Its version, or None where unknown.
        kind: binary, external or missing.
        purposes: What it is needed for, in the order of `PURPOSES`.
        virtuals: What it provides, sorted.
    """

    hash: str
    package: str
    version: str | None
    kind: str
    purposes: tuple[str, ...]
    virtuals: tuple[str, ...]

    @property
    def name(self) -> str:
        """Package and version, as far as known."""
        return full_name(self.package, self.version)


class Node(NamedTuple):
    """What is known of a hash; None is what is not.

    Attributes:
        hash: The hash.
        package: Its package.
        version: Its version.
        kind: binary, external or missing.
        external: Path or module of an external one.
        compiler: Name and version of its compiler; `none` without one.
        os: The operating system it was built for.
        platform: The platform it was built for.
        target: The CPU it was built for.
        namespace: The repository of its recipe.
        build_spec: What a spliced one was built as.
        variants: JSON array: its variants.
        flags: JSON array: its compiler flags.
        edges: What it depends on directly.
    """

    hash: str
    package: str
    version: str | None
    kind: str
    external: str | None
    compiler: str | None
    os: str | None
    platform: str | None
    target: str | None
    namespace: str | None
    build_spec: str | None
    variants: str | None
    flags: str | None
    edges: tuple[Edge, ...] | None

    @property
    def name(self) -> str:
        """Package and version, as far as known."""
        return full_name(self.package, self.version)

    @property
    def only_pages_tell(self) -> bool:
        """Whether it is a binary that no index tells of: its dependencies are unknown."""
        return self.kind == "binary" and self.flags is None


class Dags:
    """What lies below some specs; nodes are made of their rows when they are looked at."""

    def __init__(self, nodes: Sequence[sqlite3.Row], edges: Sequence[sqlite3.Row]) -> None:
        """Keep what `NODES_SQL` and `EDGES_SQL` return."""
        self._rows = {row["hash"]: row for row in nodes}
        self._edges = {spec: list(of_one) for spec, of_one in groupby(edges, key=itemgetter(0))}
        self._has_all_edges = len(edges) <= MOST_EDGES
        if not self._has_all_edges:
            # Of the last one there may be more, and of those without any nobody knows.
            del self._edges[edges[-1]["spec"]]
        below = {row["dependency"] for row in edges}
        self.is_cut = not self._has_all_edges or not below <= self._rows.keys()
        """Whether there is more than was read."""
        self._made: dict[str, Node] = {}

    def __contains__(self, node: str) -> bool:
        """Tell whether the node with this hash was read."""
        return node in self._rows

    def __getitem__(self, node: str) -> Node:
        """Return the node with this hash, which must have been read."""
        if node not in self._made:
            self._made[node] = self._node(node)
        return self._made[node]

    def below(self, root: str, ends: Container[str] = ()) -> list[Node]:
        """Return the node with this hash and all that were read below it, nearest first.

        Args:
            root: The hash.
            ends: Hashes below which nothing is looked for.
        """
        found = {root: self[root]}
        for node in (waiting := [self[root]]):
            for edge in node.edges or () if node.hash not in ends else ():
                if edge.hash in self and edge.hash not in found:
                    found[edge.hash] = self[edge.hash]
                    waiting.append(self[edge.hash])
        return list(found.values())

    def _node(self, node: str) -> Node:
        found = Node._make((*tuple(self._rows[node])[:-1], None))
        edges = tuple(map(_edge, self._edges.get(node, ())))
        if found.only_pages_tell:
            return found
        # Indexes list the dependencies of a binary, be there none; of others they need not.
        is_told = edges or (found.kind == "binary" and self._has_all_edges)
        return found._replace(edges=edges) if is_told else found


def full_name(package: str, version: str | None) -> str:
    """Return a package with its version, if that is known."""
    return package if version is None else f"{package}@{version}"


async def read_dags(db: Database, roots: Iterable[str]) -> Dags:
    """Return the nodes with these hashes, and all that is below them."""
    values = {"roots": json.dumps(list(roots))}
    nodes, edges = await db.execute(NODES_SQL, values), await db.execute(EDGES_SQL, values)
    return Dags(nodes.rows, edges.rows)


def _edge(row: sqlite3.Row) -> Edge:
    _, spec, package, version, kind, virtuals, *needed = row
    return Edge(spec, package, version, kind, _purposes(*needed), _provided(virtuals))


# There are few of them, and thousands of edges.
@lru_cache(maxsize=16)
def _purposes(*needed: int) -> tuple[str, ...]:
    return tuple(name for name, is_needed in zip(PURPOSES, needed, strict=True) if is_needed)


@lru_cache(maxsize=256)
def _provided(virtuals: str) -> tuple[str, ...]:
    return tuple(sorted(json.loads(virtuals)))
