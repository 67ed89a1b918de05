"""What needs what, to the end: the dependencies of all specs, in memory.

SQL follows dependencies by their hashes, from one to the next. To what a single spec needs, some
hundred nodes, that takes a millisecond; to all that need zlib, half of all specs, it takes seconds.
So the server reads the table `dependencies` once when it starts, in the order of its index on
`dependency`, and keeps for each node a bitmap of those that need it. To follow them to the end is
then a few thousand unions.

Nodes are known by numbers: binaries by their rowids in `specs`, the others by the numbers after
these. Rows of `specs` stand in the order of packages (`etl.load`), so the binaries of a package are
one range of numbers.
"""

import asyncio
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3
from pyroaring import BitMap

from web.immutable.asgi import App, Receive, Scope, Send
from web.immutable.background import begin
from web.immutable.bitmaps import bitmaps_of
from web.immutable.prefix import path_below_prefix
from web.immutable.requests import sql_of_visitor
from web.spack.names import DATABASE, OTHER_NODES

RUN, BUILD, TEST = range(3)
"""What a dependency is needed for: linked with or needed to run, whatever else; else to build; else
to test."""

PURPOSES = (RUN, BUILD, TEST)

# Grouped in the order of the index, which has all that is asked for.
EDGES_SQL = f"""
    with grouped as (
        select dependency, virtuals,
            case when link or run then {RUN} when build then {BUILD} else {TEST} end as purpose,
            json_group_array(coalesce(specs.rowid, dependencies.spec)) as users
        from dependencies left join specs on specs.hash = dependencies.spec
        group by dependency, virtuals, link, run, build
    )
    select coalesce((select rowid from specs where hash = dependency), dependency),
        virtuals, purpose, users
    from grouped
"""

OTHERS_SQL = f"select hash, package from {OTHER_NODES} order by hash"

PACKAGES_SQL = "select min(rowid), package from specs group by package order by 1"


class Edges(NamedTuple):
    """Dependencies on one node that are alike.

    Attributes:
        dependency: The number of the node.
        virtuals: What it provides to those that need it.
        purpose: What it is needed for.
        users: The numbers of those that need it.
    """

    dependency: int
    virtuals: frozenset[str]
    purpose: int
    users: BitMap


class Graph:
    """The dependencies of a database.

    Attributes:
        num_specs: The largest number that a binary has; 0 if there is none.
        others: The numbers of nodes that are no binaries, by hash.
        virtuals: All that some dependency provides.
    """

    def __init__(
        self, packages: Sequence[tuple[int, str]], others: Mapping[str, str], num_specs: int
    ) -> None:
        """Make a graph without edges.

        Args:
            packages: The first row of each package in `specs`, in order.
            others: The packages of the other nodes, by hash, in order.
            num_specs: The number of the last row of `specs`.
        """
        self.num_specs = num_specs
        self.others = {key: num_specs + place for place, key in enumerate(others, start=1)}
        self.virtuals: dict[str, list[Edges]] = {}
        self._packages_of_others = list(others.values())
        self._starts = [start for start, _ in packages]
        self._names = [name for _, name in packages]
        self._edges: dict[int, list[Edges]] = {}
        self._users: dict[int, BitMap] = {}

    def add(self, edges: Edges) -> None:
        """Add dependencies on a node."""
        self._edges.setdefault(edges.dependency, []).append(edges)
        for virtual in edges.virtuals:
            self.virtuals.setdefault(virtual, []).append(edges)
        if edges.purpose == RUN:
            known = self._users.get(edges.dependency)
            self._users[edges.dependency] = known | edges.users if known else edges.users

    @property
    def dependencies(self) -> Iterable[int]:
        """The nodes that something needs."""
        return self._edges

    def is_binary(self, number: int) -> bool:
        """Tell whether a node is a binary."""
        return number <= self.num_specs

    def package(self, number: int) -> str:
        """Return the package of a node."""
        if number > self.num_specs:
            return self._packages_of_others[number - self.num_specs - 1]
        return self._names[bisect_right(self._starts, number) - 1]

    def binaries(self, nodes: BitMap) -> BitMap:
        """Return those nodes that are binaries."""
        return nodes & BitMap(range(self.num_specs + 1))

    def count_by_package(self, nodes: BitMap) -> Iterator[tuple[str, int]]:
        """Count the binaries of each package among nodes, by package."""
        before = 0
        found = nodes.iter_equal_or_larger(0)
        while (first := next(found, None)) is not None and first <= self.num_specs:
            place = bisect_right(self._starts, first)
            end = self._starts[place] if place < len(self._starts) else self.num_specs + 1
            until = nodes.rank(end - 1)
            yield self._names[place - 1], until - before
            before = until
            found = nodes.iter_equal_or_larger(end)

    def needing(
        self,
        nodes: Iterable[int] | None,
        purposes: Sequence[int] = PURPOSES,
        virtuals: Iterable[str] = (),
    ) -> BitMap:
        """Return what needs one of the nodes directly.

        Args:
            nodes: The nodes, or None for any.
            purposes: What for.
            virtuals: As what: the node provides all of these to it.
        """
        wanted = frozenset(virtuals)
        return _union(
            edges.users
            for edges in self._meant(nodes, wanted)
            if edges.purpose in purposes and wanted <= edges.virtuals
        )

    def _meant(self, nodes: Iterable[int] | None, virtuals: frozenset[str]) -> Iterator[Edges]:
        if nodes is None:
            yield from self.virtuals.get(min(virtuals), [])
            return
        for node in nodes:
            yield from self._edges.get(node, [])

    def runners(self, nodes: BitMap) -> BitMap:
        """Return the nodes, and all that link with them or need them to run, to the end."""
        found = new = nodes
        while new:
            users = (self._users[node] for node in new if node in self._users)
            new = _union(users) - found
            found = found | new
        return found

    def everything_above(self, nodes: BitMap) -> BitMap:
        """Return the nodes, and all that need them for whatever purpose, to the end."""
        found = new = nodes
        while new:
            new = self.needing(new) - found
            found = found | new
        return found

    def users(self, nodes: Iterable[int] | None, virtuals: Iterable[str] = ()) -> BitMap:
        """Return what needs one of the nodes as Spack's `^` means it.

        Anywhere below by links and needs to run, or directly to build.
        """
        direct = self.needing(nodes, (RUN,), virtuals)
        return self.runners(direct) | self.needing(nodes, (BUILD,), virtuals)

    def running_users(self, node: int) -> BitMap:
        """Return what links with a node or needs it to run, directly."""
        return self._users.get(node, BitMap())


def _union(bitmaps: Iterable[BitMap]) -> BitMap:
    return BitMap.union(BitMap(), *bitmaps)


def read_graph(path: Path) -> Graph:
    """Read the dependencies of a database; one without them gives a graph without edges.

    Raises:
        sqlite3.Error: it is no database of ours.
    """
    # One of Datasette's connections would have the limits of visitors.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        others = dict(connection.execute(OTHERS_SQL))
        (num_specs,) = connection.execute("select coalesce(max(rowid), 0) from specs").fetchone()
        graph = Graph(connection.execute(PACKAGES_SQL).fetchall(), others, num_specs)
        virtuals_of: dict[str, frozenset[str]] = {}
        for dependency, virtuals, purpose, users in connection.execute(EDGES_SQL):
            if virtuals not in virtuals_of:
                virtuals_of[virtuals] = frozenset(json.loads(virtuals))
            number = graph.others[dependency] if isinstance(dependency, str) else dependency
            numbers = _numbers(json.loads(users), graph.others)
            graph.add(Edges(number, virtuals_of[virtuals], purpose, numbers))
    return graph


def _numbers(users: list[int | str], others: Mapping[str, int]) -> BitMap:
    try:
        return BitMap(array("I", users))  # type: ignore[arg-type]
    except TypeError:
        # Some are no binaries.
        return BitMap([others[user] if isinstance(user, str) else user for user in users])


_graphs: WeakKeyDictionary[Datasette, Future[Graph]] = WeakKeyDictionary()


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Begin to read the dependencies, when the bitmaps of `specs` are made: facets come first."""
    database = datasette.databases.get(DATABASE)
    if database is None or database.is_mutable:
        return
    bitmaps = bitmaps_of(datasette, DATABASE, "specs")
    path = Path(database.path)

    def read() -> Graph:
        if bitmaps:
            bitmaps.wait()
        return read_graph(path)

    _graphs[datasette] = begin(read, "graph")


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Let questions wait for the dependencies: in their SQL, waiting would take of their time."""

    def wrap(app: App) -> App:
        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            future = _graphs.get(datasette)
            if future and not future.done() and await _is_query(datasette, scope):
                await graph_of(datasette)
            await app(scope, receive, send)

        return waiting

    return wrap


async def _is_query(datasette: Datasette, scope: Scope) -> bool:
    """Tell whether a request is for a question, or brings SQL of its own."""
    if scope["type"] != "http":
        return False
    *_, name = path_below_prefix(datasette, scope["path"]).split("/")
    queries = await datasette.get_canned_queries(DATABASE, None)
    return name.partition(".")[0] in queries or bool(sql_of_visitor(datasette, scope))


def known_graph(datasette: Datasette) -> Graph | None:
    """Return the same, waiting for it; not for the thread that serves pages."""
    future = _graphs.get(datasette)
    return future.result() if future else None


async def graph_of(datasette: Datasette) -> Graph | None:
    """Return the dependencies, once they are read; None if the server does not keep them."""
    future = _graphs.get(datasette)
    if future is None:
        return None
    # A visitor who leaves must not cancel what others wait for.
    return await asyncio.shield(asyncio.wrap_future(future))
