"""What a spec, or any other node, depends on and what depends on it, as its page shows it.

A tree shows one level at a time, since a node can be reached in thousands of ways:
`/-/dependencies/<hash>` is the level below a node, as a part of a page. The flat list has each node
once.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import sqlite3
from datasette.utils.asgi import NotFound, Request, Response
from pyroaring import BitMap

from etl.order import newest_first
from web.spack.dags import PURPOSES, full_name
from web.spack.graph import Graph, graph_of
from web.spack.held import rows_held
from web.spack.names import DATABASE, OTHER_NODES, SHORT_HASH, Count
from web.spack.needs import BELOW_SQL

MOST_DEPENDENCIES = 500
"""So many dependencies are listed on a page, of each kind."""

DIRECT_SQL = f"""
    select hash, package, version, kind, external, virtuals, {", ".join(PURPOSES)},
        (select count(*) from dependencies as below where below.spec = hash) as number
    from dependencies join nodes on hash = dependency
    where dependencies.spec = :hash order by package, version, hash
"""

# Of a join with what is below, SQLite first makes a Bloom filter of all nodes.
FLAT_SQL = f"""
    select nodes.hash, nodes.package, nodes.version, nodes.kind, nodes.external, specs.size,
        (select json_group_array("release") from spec_releases where spec = nodes.hash) as releases
    from nodes left join specs on specs.hash = nodes.hash
    where nodes.hash in ({BELOW_SQL.format(":hash")}) and nodes.hash <> :hash
    order by nodes.package, nodes.version, nodes.hash
"""

ALL_SQL = """
    with recursive below(hash) as (
        select :hash
        union
        select dependency from below cross join dependencies on spec = below.hash
    )
    select count(*) - 1 from below
"""

NUMBER_SQL = "select rowid from specs where hash = :hash"

VERSIONS_SQL = f"""
    select rowid as node, version from specs where package = :package
    union all
    select hash, version from {OTHER_NODES} where package = :package
"""

NODE_SQL = "select package, version, kind from nodes where hash = :hash"


class Node(NamedTuple):
    """What is known of a dependency wherever it stands.

    Attributes:
        hash: Its hash.
        package: Its package.
        version: Its version, or None of one without record.
        kind: binary, external or missing.
        external: Path or module of an external one.
    """

    hash: str
    package: str
    version: str | None
    kind: str
    external: str | None

    @property
    def name(self) -> str:
        """Package and version, as far as known."""
        return full_name(self.package, self.version)

    @property
    def short(self) -> str:
        """The beginning of its hash, as Spack shows it."""
        return self.hash[:SHORT_HASH]


class Edge(NamedTuple):
    """A direct dependency.

    Attributes:
        node: What is needed.
        purposes: What it is needed for: build, link, run, test.
        virtuals: What it provides.
        number: How many dependencies it has itself.
    """

    node: Node
    purposes: Sequence[str]
    virtuals: Sequence[str]
    number: int

    @property
    def is_to_run(self) -> bool:
        """Whether it is linked with, or needed to run."""
        return "link" in self.purposes or "run" in self.purposes


class Level(NamedTuple):
    """One level of the tree: what a node depends on directly.

    Attributes:
        to_run: What is linked with or needed to run, as far as a page has room.
        others: What is needed only to build or to test.
        number: How many there are of both.
    """

    to_run: Sequence[Edge]
    others: Sequence[Edge]
    number: int


class Needed(NamedTuple):
    """A node that is linked with or needed to run, directly or not.

    Attributes:
        node: It.
        size: Of its binary in bytes, or None where unknown.
        releases: The releases that have a binary of it.
    """

    node: Node
    size: int | None
    releases: frozenset[str]


class Users(NamedTuple):
    """What depends on a node.

    Attributes:
        constraint: It as a dependency in Spack's syntax; finds these specs.
        number: How many specs.
        packages: Their packages and how many there are of each, the most first.
    """

    constraint: str
    number: int
    packages: Sequence[Count]


class PackageUser(NamedTuple):
    """A package with binaries that depend directly on another package.

    Attributes:
        package: Its name.
        specs: How many of its binaries do.
        versions: The versions of the other package that they depend on, newest first.
    """

    package: str
    specs: int
    versions: Sequence[str]


class Dependencies(NamedTuple):
    """What is known of the dependencies of a node.

    Attributes:
        level: The direct ones.
        flat: All that it links with or needs to run, to the end, each once; by name.
        number: How many nodes there are below it, what they need to be built included.
        direct: What depends on it directly, for whatever purpose.
        users: What links with it or needs it to run, to the end, or to build directly.
    """

    level: Level
    flat: Sequence[Needed]
    number: int
    direct: Users | None
    users: Users | None

    def lacking(self, release: str) -> Sequence[Needed]:
        """Return what is needed to run and of which a release has no binary."""
        return [
            needed
            for needed in self.flat
            if needed.node.kind != "external" and release not in needed.releases
        ]

    @property
    def externals(self) -> Sequence[Needed]:
        """What is needed to run and was on the machine that built."""
        return [needed for needed in self.flat if needed.node.kind == "external"]

    @property
    def num_binaries(self) -> int:
        """How many of those that are needed to run have to be installed."""
        return len(self.flat) - len(self.externals)

    def size(self, own: int | None) -> tuple[int, int]:
        """Return the size of a spec and of what it needs to run, and of how many it is unknown.

        Args:
            own: The size of the spec, or None.
        """
        sizes = [needed.size for needed in self.flat if needed.node.kind != "external"]
        known = [size for size in [own, *sizes] if size is not None]
        return sum(known), len(sizes) + 1 - len(known)


async def dependencies_of(db: Database, key: str) -> Dependencies:
    """Return what is known of the dependencies of the node with this hash."""
    values = {"hash": key}
    graph = await graph_of(db.ds)
    direct, users = await _users(db, graph, key) if graph else (None, None)
    return Dependencies(
        level=await level_below(db, key),
        flat=[
            Needed(_node(row), row["size"], frozenset(json.loads(row["releases"])))
            for row in await db.execute(FLAT_SQL, values)
        ],
        number=(await db.execute(ALL_SQL, values)).single_value(),
        direct=direct,
        users=users,
    )


async def level_below(db: Database, key: str) -> Level:
    """Return what the node with this hash depends on directly."""
    edges = [_edge(row) for row in await db.execute(DIRECT_SQL, {"hash": key})]
    to_run = [edge for edge in edges if edge.is_to_run]
    others = [edge for edge in edges if not edge.is_to_run]
    return Level(to_run[:MOST_DEPENDENCIES], others[:MOST_DEPENDENCIES], len(edges))


async def _users(db: Database, graph: Graph, key: str) -> tuple[Users, Users]:
    number = graph.others.get(key)
    if number is None:
        number = (await db.execute(NUMBER_SQL, {"hash": key})).single_value()
    node = BitMap([number])

    def count(_: sqlite3.Connection) -> tuple[Users, Users]:
        return (
            _counted(graph, f"%/{key}", graph.needing(node)),
            _counted(graph, f"^/{key}", graph.users(node)),
        )

    # In a thread of those for SQL: what needs zlib takes a while.
    counted: tuple[Users, Users] = await db.execute_fn(count)
    return counted


async def users_of_package(db: Database, package: str, release: str) -> Sequence[PackageUser]:
    """Return the packages whose binaries depend directly on one, those with the most first.

    Args:
        db: The database.
        package: The package.
        release: The release whose binaries count, or "" for all.
    """
    graph = await graph_of(db.ds)
    if graph is None:
        return []
    nodes: dict[str, BitMap] = {}
    for node, version in await db.execute(VERSIONS_SQL, {"package": package}):
        number = graph.others[node] if isinstance(node, str) else node
        nodes.setdefault(version or "", BitMap()).add(number)

    def count(connection: sqlite3.Connection) -> Sequence[PackageUser]:
        rows = rows_held(db.ds, connection, release)
        versions: dict[str, list[str]] = {}
        everyone = BitMap()
        for version in newest_first(nodes):
            users = graph.needing(nodes[version]) & rows
            everyone |= users
            for user, _number in graph.count_by_package(users):
                versions.setdefault(user, []).append(version)
        users_of = [
            PackageUser(*each, versions[each[0]]) for each in graph.count_by_package(everyone)
        ]
        return sorted(users_of, key=lambda user: (-user.specs, user.package))

    counted: Sequence[PackageUser] = await db.execute_fn(count)
    return counted


def _counted(graph: Graph, constraint: str, users: BitMap) -> Users:
    users = graph.binaries(users)
    counts = [Count(*each) for each in graph.count_by_package(users)]
    packages = sorted(counts, key=lambda count: (-count.specs, count.value))
    return Users(constraint, len(users), packages)


def _node(row: Mapping[str, Any]) -> Node:
    return Node(row["hash"], row["package"], row["version"], row["kind"], row["external"])


def _edge(row: Mapping[str, Any]) -> Edge:
    purposes = [purpose for purpose in PURPOSES if row[purpose]]
    return Edge(_node(row), purposes, json.loads(row["virtuals"]), row["number"])


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the levels of trees."""
    return [(r"^/-/dependencies/(?P<hash>\w+)$", level_page)]


async def level_page(datasette: Datasette, request: Request) -> Response:
    """Answer with the level below a node, as a part of a page."""
    db, key = datasette.get_database(DATABASE), request.url_vars["hash"]
    if not (await db.execute(NODE_SQL, {"hash": key})).rows:
        raise NotFound(f"No dependency has the hash {key}.")
    context = {"level": await level_below(db, key), "key": key}
    return Response.html(await datasette.render_template("dependencies.html", context, request))
