"""Why two specs differ, though they may look the same: their facts, or what is below them.

Two nodes are compared by what is known of both (`Look`): facts, and their direct dependencies,
which are paired by package. A pair of dependencies with different hashes is looked at in the same
way. What is unknown of one of them is no difference.

- `nearest` goes down from the two specs only until something differs: what a person would name
  first.
- `causes` goes down everywhere, and tells which differences have no other below them: these are
  where it began, and all above them have other hashes for that reason.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

from etl.order import version_key
from web.spack.dags import Dags, Edge, Node

FACTS = (
    *("package", "version", "compiler", "os", "platform", "target"),
    *("variants", "flags", "namespace", "build_spec", "external"),
)
"""What a node is known by, beside its hash and its dependencies; two of them are lists."""

LISTS = frozenset({"variants", "flags"})

COMPILERS = frozenset({"c", "cxx", "fortran"})
"""What compilers provide, in the words of Spack 1."""

MOST_PAIRS = 4_000
"""So many pairs of nodes are looked at."""

UNLISTED = "unlisted"
"""All that is listed of both is the same."""

UNKNOWN = "unknown"
"""What is known of both is the same, and of one or both the dependencies are not known."""

Pair = tuple[str, str]
"""The hashes of two nodes that are compared."""


class Fact(NamedTuple):
    """A fact of two nodes.

    Attributes:
        name: One of `FACTS`.
        a: Its values of the first node; None where unknown.
        b: Its values of the second.
    """

    name: str
    a: tuple[str, ...] | None
    b: tuple[str, ...] | None

    @property
    def differs(self) -> bool:
        """Whether it is known of both, and not the same."""
        return self.a is not None and self.b is not None and set(self.a) != set(self.b)

    @property
    def shared(self) -> tuple[str, ...]:
        """The values that both have."""
        return tuple(value for value in self.a or () if value in (self.b or ()))

    @property
    def only_a(self) -> tuple[str, ...]:
        """The values that only the first has."""
        return tuple(value for value in self.a or () if value not in (self.b or ()))

    @property
    def only_b(self) -> tuple[str, ...]:
        """The values that only the second has."""
        return tuple(value for value in self.b or () if value not in (self.a or ()))


class Dependencies(NamedTuple):
    """Direct dependencies of two nodes, in pairs of the same package, by package.

    Attributes:
        same: Those with the same hash.
        different: Those with different hashes.
        only_a: What only the first depends on.
        only_b: What only the second depends on.
    """

    same: list[tuple[Edge, Edge]]
    different: list[tuple[Edge, Edge]]
    only_a: list[Edge]
    only_b: list[Edge]

    @property
    def rows(self) -> list[tuple[Edge | None, Edge | None]]:
        """All that is not quite the same, side by side."""
        lone = [(edge, None) for edge in self.only_a], [(None, edge) for edge in self.only_b]
        same = [pair for pair in self.same if _is_needed_otherwise(*pair)]
        return [*self.different, *lone[0], *lone[1], *same]

    @property
    def needed_otherwise(self) -> list[tuple[Edge, Edge]]:
        """The pairs that are needed for other purposes, or as other virtual packages."""
        return [pair for pair in (*self.same, *self.different) if _is_needed_otherwise(*pair)]


def _is_needed_otherwise(a: Edge, b: Edge) -> bool:
    return (a.purposes, a.virtuals) != (b.purposes, b.virtuals)


class Look(NamedTuple):
    """What differs between two nodes themselves.

    Attributes:
        a: The first.
        b: The second.
        facts: The facts that differ.
        dependencies: Their direct dependencies; None where those of one are unknown.
        unexplained: `UNLISTED` or `UNKNOWN` if there is no difference to be found; otherwise "".
    """

    a: Node
    b: Node
    facts: list[Fact]
    dependencies: Dependencies | None
    unexplained: str

    @property
    def is_difference(self) -> bool:
        """Whether they differ in something else than the hashes of what is below them."""
        return self.is_enough or bool(
            self.unexplained or (self.dependencies and self.dependencies.needed_otherwise)
        )

    @property
    def is_enough(self) -> bool:
        """Whether nobody asks for what is below, to know why they are two."""
        lone = self.dependencies and (self.dependencies.only_a or self.dependencies.only_b)
        return bool(self.facts or lone)

    @property
    def below(self) -> list[Pair]:
        """The pairs of dependencies whose hashes differ."""
        different = self.dependencies.different if self.dependencies else []
        return [(a.hash, b.hash) for a, b in different]


class Cause(NamedTuple):
    """A difference, and where it was found.

    Attributes:
        look: The difference.
        depth: How many dependencies below the two specs it is, at least.
        is_first: Whether no other difference is below it.
    """

    look: Look
    depth: int
    is_first: bool


class Differences:
    """Finds differences between nodes that were read; each pair is looked at once."""

    def __init__(self, dags: Dags) -> None:
        """Compare what is in `dags`."""
        self._dags = dags
        self._looks: dict[Pair, Look] = {}
        self.is_cut = dags.is_cut
        """Whether there is more than was read, or compared."""

    def look(self, pair: Pair) -> Look:
        """Return what differs between two nodes that were read."""
        if pair not in self._looks:
            self._looks[pair] = look_at(self._dags[pair[0]], self._dags[pair[1]])
        return self._looks[pair]

    def nearest(self, pair: Pair) -> list[Look]:
        """Return the differences that are met first, going down from two specs.

        Where the two differ in a fact, or only one has a dependency, what is below them is left
        alone.
        """
        walked = self._walk(pair, goes_below_differences=False)
        return [look for look in map(self.look, walked) if look.is_difference]

    def causes(self, pair: Pair) -> list[Cause]:
        """Return all differences at and below two specs, those without others below them first.

        Among those, and among the others, the deepest come first.
        """
        depths = self.pairs(pair)
        above = defaultdict(list)
        for one in depths:
            for below in self.look(one).below:
                above[below].append(one)
        found = [one for one in depths if self.look(one).is_difference]
        later = _ancestors(found, above)
        causes = [Cause(self.look(one), depths[one], one not in later) for one in found]
        return sorted(causes, key=lambda cause: (not cause.is_first, -cause.depth))

    def pairs(self, pair: Pair) -> dict[Pair, int]:
        """Return two specs, all pairs of dependencies that differ, and how deep below they are."""
        return self._walk(pair, goes_below_differences=True)

    def _walk(self, start: Pair, *, goes_below_differences: bool) -> dict[Pair, int]:
        """Return the pairs that are met, breadth first, and how deep they are."""
        depths = {start: 0} if start[0] in self._dags and start[1] in self._dags else {}
        for pair in (waiting := list(depths)):
            look = self.look(pair)
            if look.is_enough and not goes_below_differences:
                continue
            for below in look.below:
                if below in depths or below[0] not in self._dags or below[1] not in self._dags:
                    continue
                if len(self._looks) + len(waiting) > MOST_PAIRS:
                    self.is_cut = True
                    return depths
                depths[below] = depths[pair] + 1
                waiting.append(below)
        return depths


def _ancestors(pairs: Iterable[Pair], above: dict[Pair, list[Pair]]) -> set[Pair]:
    """Return all that is above any of these pairs."""
    waiting = list(pairs)
    found: set[Pair] = set()
    while waiting:
        for upper in above.get(waiting.pop(), ()):
            if upper not in found:
                found.add(upper)
                waiting.append(upper)
    return found


def look_at(a: Node, b: Node) -> Look:
    """Compare two nodes by themselves."""
    dependencies = None
    if a.edges is not None and b.edges is not None:
        dependencies = paired(a.edges, b.edges)
    # Most that are compared have the same facts, letter by letter.
    is_same = a[1:-1] == b[1:-1]
    facts = [] if is_same else [fact for fact in facts_of(a, b) if fact.differs]
    look = Look(a, b, facts, dependencies, "")
    if look.is_difference or look.below:
        return look
    return look._replace(unexplained=UNKNOWN if dependencies is None else UNLISTED)


def facts_of(a: Node, b: Node) -> list[Fact]:
    """Return what is, or could be, known of two nodes.

    A compiler that one of them names as a dependency is left out: it is told there.
    """
    is_compared = a.edges is not None and b.edges is not None
    is_below = is_compared and (names_compiler(a) or names_compiler(b))
    names = [name for name in FACTS if name != "compiler" or not is_below]
    return [Fact(name, values(a, name), values(b, name)) for name in names]


def names_compiler(node: Node) -> bool:
    """Tell whether a node is known to depend on its compiler, as those of Spack 1 do."""
    return any(
        edge.name == node.compiler or not COMPILERS.isdisjoint(edge.virtuals)
        for edge in node.edges or ()
    )


def values(node: Node, fact: str) -> tuple[str, ...] | None:
    """Return the values of a fact, of which most have one; None where it is unknown."""
    if fact == "external":
        return {"binary": ("no",), "external": (node.external or "yes",)}.get(node.kind)
    value: str | None = getattr(node, fact)
    if fact == "build_spec" and value is None and node.flags is not None:
        # Indexes tell of every spec that was spliced.
        return ("none",)
    if value is None:
        return None
    return tuple(json.loads(value)) if fact in LISTS else (value,)


def paired(a: Iterable[Edge], b: Iterable[Edge]) -> Dependencies:
    """Pair the direct dependencies of two nodes.

    Of several of one package those with the same hash are a pair, then those that provide the
    same, then the oldest versions of what is left.
    """
    found = Dependencies([], [], [], [])
    of_a, of_b = _by_package(a), _by_package(b)
    for package in sorted(of_a.keys() | of_b.keys()):
        _pair(found, of_a.get(package, []), of_b.get(package, []))
    return found


def _by_package(edges: Iterable[Edge]) -> dict[str, list[Edge]]:
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.package, []).append(edge)
    return found


def _pair(found: Dependencies, a: list[Edge], b: list[Edge]) -> None:
    if len(a) == len(b) == 1:
        # As nearly all are.
        (found.same if a[0].hash == b[0].hash else found.different).append((a[0], b[0]))
        return
    by_hash = {edge.hash: edge for edge in b}
    same = [(edge, by_hash[edge.hash]) for edge in a if edge.hash in by_hash]
    found.same.extend(same)
    known = {edge.hash for edge, _ in same}
    left = [sorted((e for e in edges if e.hash not in known), key=_order) for edges in (a, b)]
    of_a, of_b = (_by_virtuals(edges) for edges in left)
    alike = [
        pair
        for each in sorted(of_a.keys() & of_b.keys())
        for pair in zip(of_a[each], of_b[each], strict=False)
    ]
    found.different.extend(alike)
    known = {edge.hash for pair in alike for edge in pair}
    left_a, left_b = ([edge for edge in edges if edge.hash not in known] for edges in left)
    for first, second in zip_longest(left_a, left_b):
        if first and second:
            found.different.append((first, second))
        elif first:
            found.only_a.append(first)
        elif second:
            found.only_b.append(second)


def _by_virtuals(edges: Iterable[Edge]) -> dict[tuple[str, ...], list[Edge]]:
    found: dict[tuple[str, ...], list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.virtuals, []).append(edge)
    return found


def _order(edge: Edge) -> tuple[object, ...]:
    return edge.version is None, version_key(edge.version or ""), edge.hash


def words(look: Look, *, is_root: bool, names: tuple[str, str]) -> list[str]:
    """Return what differs, as briefly as a column of a table has room for.

    Args:
        look: The difference.
        is_root: Whether it is one of the two specs themselves, not of what is below them.
        names: What the two specs are called.
    """
    package = look.a.package
    said = [_fact_words(package, fact) for fact in look.facts]
    if found := look.dependencies:
        for lone, name in ((found.only_a, names[0]), (found.only_b, names[1])):
            who = name if is_root else f"{package} of {name}"
            said.extend(f"only {who}: {edge.name}" for edge in lone)
        of = "" if is_root else f"{package}: "
        said.extend(f"{of}{a.package} {needed(a)} / {needed(b)}" for a, b in found.needed_otherwise)
    if look.unexplained == UNKNOWN:
        said.append(f"{look.a.name}, of which no more is known")
    elif look.unexplained:
        said.append(f"{look.a.name}, in nothing that is listed")
    return said


def _fact_words(package: str, fact: Fact) -> str:
    named = "" if fact.name in {"version", *LISTS} else f"{fact.name} "
    only_a, only_b = (" ".join(only) or "none" for only in (fact.only_a, fact.only_b))
    return f"{package} {named}{only_a} / {only_b}"


def needed(edge: Edge) -> str:
    """Return what a dependency is needed for, and as what."""
    said = " ".join(edge.purposes) or "nothing"
    return f"{said} as {' '.join(edge.virtuals)}" if edge.virtuals else said
