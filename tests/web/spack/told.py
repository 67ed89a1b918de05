"""What the sample's indexes tell of dependencies, read and followed in the plainest way."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tests.etl import samples
from tests.etl.cache_oracle import Index, records

TYPES = ("build", "link", "run", "test")


class Edge(NamedTuple):
    """A dependency: what on, what for, and as what."""

    hash: str
    types: frozenset[str]
    virtuals: frozenset[str]

    @property
    def is_to_run(self) -> bool:
        return bool(self.types & {"link", "run"})


class Node(NamedTuple):
    """What the first index that has it as a binary, or else the first at all, tells of a hash."""

    package: str
    version: str
    facts: Mapping[str, object]
    variants: frozenset[str]
    kind: str
    edges: tuple[Edge, ...]


class Told:
    """All nodes of some indexes, by hash."""

    def __init__(self, indexes: Iterable[Index]) -> None:
        self.nodes: dict[str, Node] = {}
        self.held: dict[tuple[str, str], set[str]] = {}
        for index in indexes:
            for key, record in records(index.file).items():
                kind = "missing" if record.external is None else "external"
                if record.binary:
                    kind = "binary"
                    for stack in {index.stack, ""}:
                        self.held.setdefault((index.release, stack), set()).add(key)
                if key not in self.nodes or (kind == "binary" != self.nodes[key].kind):
                    edges = [
                        Edge(to, frozenset(t), frozenset(v))
                        for to, (_, t, v) in record.edges.items()
                    ]
                    self.nodes[key] = Node(
                        str(record.facts["package"]),
                        str(record.facts["version"]),
                        record.facts,
                        frozenset(variant for variant, *_ in record.values),
                        kind,
                        tuple(edges),
                    )

    @property
    def binaries(self) -> set[str]:
        return {key for key, node in self.nodes.items() if node.kind == "binary"}

    def below(self, key: str, is_meant: Callable[[Edge], bool]) -> set[str]:
        """All that a node leads to by edges of a kind, without itself."""
        found: set[str] = set()
        left = [key]
        while left:
            for edge in self.nodes[left.pop()].edges:
                if is_meant(edge) and edge.hash not in found:
                    found.add(edge.hash)
                    left.append(edge.hash)
        return found - {key}

    def to_run(self, key: str) -> set[str]:
        return self.below(key, lambda edge: edge.is_to_run)

    def seen_by_caret(self, key: str) -> list[Edge]:
        """The dependencies that `^` means, of Spack 1: all below by link and run, and to build."""
        nodes = {key} | self.to_run(key)
        running = [edge for each in nodes for edge in self.nodes[each].edges if edge.is_to_run]
        return running + [edge for edge in self.nodes[key].edges if "build" in edge.types]

    def having(self, is_meant: Callable[[Edge], bool], *, is_direct: bool = False) -> set[str]:
        """The binaries that have a dependency."""
        return {
            key
            for key in self.binaries
            if any(
                is_meant(edge)
                for edge in (self.nodes[key].edges if is_direct else self.seen_by_caret(key))
            )
        }

    def by_package(self, keys: Iterable[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for key in keys:
            package = self.nodes[key].package
            counts[package] = counts.get(package, 0) + 1
        return counts

    def key(self, package: str, release: str = "develop", stack: str = "") -> str:
        """The hash of the only binary of a package in a stack."""
        (found,) = [k for k in self.held[release, stack] if self.nodes[k].package == package]
        return found


def of_sample() -> Told:
    """What the indexes of the repository tell."""
    return Told(samples.ALL)
