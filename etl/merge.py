"""One row for each hash: the releases of a package → rows; whose word counts.

Where two sources differ, a known value beats an unknown one (compiler `none`, size NULL, what only
indexes tell); of two known values the newest release's is kept and the other recorded as a problem.
In one release indexes count before a page: what a page says of a stack, its index knows better.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, cast

from etl import problems
from etl.mirrors import count_tarballs
from etl.order import newest_first, releases_newest_first
from etl.problems import Problem
from etl.records import Dependency, Facts, Source, Spec
from etl.spelling import (
    NO_COMPILER,
    Variants,
    VariantValue,
    as_json,
    spec_text,
    split_compiler,
)
from etl.staging import encode_edges

_SPECS_AT_A_TIME = 500
_UNKNOWN = {
    "compiler": NO_COMPILER,
    **dict.fromkeys(("size", "namespace", "flags", "build_spec", "external", "dependencies")),
}

References = dict[tuple[str, str], tuple[int, str]]
"""Dependency and name → where it is named so first: number of the index, hash of the spec."""


@dataclass(frozen=True, slots=True)
class SpecRows:
    """Rows about some specs of a package; each field is named as the staging table it is for.

    Attributes:
        specs: in the columns' order, sorted by hash; `newest` is the release, not its position.
        spec_stacks: spec, stack, release.
        spec_releases: spec, release, tarball, package.
        spec_lists: spec, and the name of its list of variants.
        nodes: hash, package, version, kind, external; also of what is no spec.
        edges: spec, and what it depends on in one value, as `load` takes it apart.
    """

    specs: list[tuple[object, ...]]
    spec_stacks: list[tuple[str, str, str]]
    spec_releases: list[tuple[str, str, str | None, str]]
    spec_lists: list[tuple[str, str]]
    nodes: list[tuple[str, str, str, str, str | None]]
    edges: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class PackageRows:
    """Rows about a whole package; each field is named as the staging table it is for.

    Attributes:
        packages: the package's own row, in the columns' order.
        package_variants: variant, name, value, number of specs.
        lists: name of a list of variants, variant.
        package_stacks: package, stack, number of specs in any release.
        package_releases: package, release, number of specs, and of tarballs in each of the two
            places where the mirror of the release can be.
        stack_releases: stack, release.
        named: dependency, number of the index, spec, name: where each hash that the package
            depends on is named first.
    """

    packages: list[tuple[object, ...]]
    package_variants: list[tuple[str, str, str, int]]
    lists: list[tuple[str, str]]
    package_stacks: list[tuple[str, str, int]]
    package_releases: list[tuple[str, str, int, int, int]]
    stack_releases: list[tuple[str, str]]
    named: list[tuple[str, int, str, str]]


@lru_cache(maxsize=1024)
def _union_json(lists: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], str]:
    union = tuple(sorted({value for values in lists for value in values}))
    return union, as_json(union)


@lru_cache(maxsize=1024)
def _list_json(values: tuple[str, ...]) -> str:
    return as_json(values)


class _Presence(NamedTuple):
    """That a spec is in a release."""

    release: str
    tarball: str | None
    stacks: tuple[str, ...]


class _Merged:
    """A spec while the sources of its package are read, in the order in which they count."""

    __slots__ = ("facts", "first", "holes", "known_in", "presences")

    def __init__(self, facts: Facts, first: Source) -> None:
        self.facts = facts
        self.first = first
        self.presences: list[_Presence] = []
        # The stacks whose index has no binary of it, by release.
        self.holes: set[tuple[str, str]] | None = None
        # The source each value is from, where it is not the first.
        self.known_in: dict[str, Source] = {}

    def source_of(self, column: str) -> Source:
        return self.known_in.get(column, self.first)

    @property
    def kind(self) -> str:
        if self.presences:
            return "binary"
        return "missing" if self.facts.external is None else "external"


@dataclass(frozen=True, slots=True)
class MergedPackage:
    """All accepted sources of one package.

    Attributes:
        package: its name.
        nodes: its specs by hash, also those of which there is no binary.
        releases: how many specs it has in each release.
        lists: the lists of variants of its specs, and a name for each.
        problems: what the releases disagree on.
    """

    package: str
    nodes: dict[str, _Merged]
    releases: dict[str, int]
    lists: dict[Variants, str]
    problems: list[Problem]

    @property
    def specs(self) -> Iterator[_Merged]:
        """Those of which there is a binary."""
        return (node for node in self.nodes.values() if node.presences)


def merge(package: str, sources: Iterable[Source]) -> MergedPackage:
    """Merge the accepted sources of one package.

    Args:
        package: its name.
        sources: what is said of it, newest release first; of one release the whole mirror's index
            first, then those of stacks, then a page.
    """
    merged: dict[str, _Merged] = {}
    found: list[Problem] = []
    releases: dict[str, int] = {}
    for source in sources:
        if source.stack is None:
            releases.setdefault(source.release, 0)
        overruled: dict[str, list[str]] = {}
        for spec in source.specs:
            known = _node(merged, source, spec, found)
            if not spec.is_binary:
                known.holes = {*(known.holes or ()), (source.release, source.stack or "")}
            elif _is_new_in_release(known, source, spec, overruled):
                releases[source.release] = releases.get(source.release, 0) + 1
        found.extend(_overruled(source, overruled))
    lists = {node.facts.variants for node in merged.values() if node.presences}
    names = {variants: f"{package}/{number}" for number, variants in enumerate(lists)}
    return MergedPackage(package, merged, releases, names, found)


def _node(merged: dict[str, _Merged], source: Source, spec: Spec, found: list[Problem]) -> _Merged:
    known = merged.get(spec.hash)
    if known is None:
        known = merged[spec.hash] = _Merged(spec.facts, source)
    elif known.facts is not spec.facts and known.facts != spec.facts:
        found.extend(_reconcile(spec.hash, known, spec.facts, source))
    return known


def _is_new_in_release(
    known: _Merged, source: Source, spec: Spec, overruled: dict[str, list[str]]
) -> bool:
    """Note that a release has a binary of a spec; the stacks that an index denies are left out."""
    stacks = spec.stacks.names
    if source.stack is None and known.holes:
        denied = [stack for stack in stacks if (source.release, stack) in known.holes]
        stacks = tuple(stack for stack in stacks if stack not in denied)
        for stack in denied:
            overruled.setdefault(stack, []).append(spec.hash)
    last = known.presences[-1] if known.presences else None
    if last is None or last.release != source.release:
        known.presences.append(_Presence(source.release, spec.tarball, stacks))
        return True
    stacks = last.stacks + tuple(stack for stack in stacks if stack not in last.stacks)
    tarball = spec.tarball if last.tarball is None else last.tarball
    known.presences[-1] = _Presence(source.release, tarball, stacks)
    return False


def _overruled(page: Source, stacks: dict[str, list[str]]) -> Iterator[Problem]:
    for stack, hashes in stacks.items():
        yield Problem(page.path, page.line, "stack", problems.overruled(stack, hashes))


def _reconcile(spec: str, kept: _Merged, other: Facts, source: Source) -> Iterator[Problem]:
    """Fill in what only the older source knows; report what the two know differently."""
    for column in Facts._fields:
        ours, theirs = getattr(kept.facts, column), getattr(other, column)
        if ours is theirs or _fact(theirs) == _fact(ours):
            continue
        if _is_unknown(column, theirs, ours):
            continue
        if _is_unknown(column, ours, theirs):
            kept.facts = kept.facts._replace(**{column: theirs})
            kept.known_in[column] = source
            continue
        newest = kept.source_of(column)
        where = newest.path if newest.release == source.release else newest.release
        message = problems.conflict(spec, column, _shown(ours), where, _shown(theirs))
        yield Problem(source.path, source.line, "conflict", message)


def _is_unknown(column: str, value: object, other: object) -> bool:
    """Whether a value is not known, if the other one differs from it."""
    if column == "dependencies" and value is not None and other is not None:
        # Databases up to 6 do not tell what a dependency provides.
        edges, others = (cast("tuple[Dependency, ...]", each) for each in (value, other))
        return not any(edge.virtuals for edge in edges) and edges == without_virtuals(others)
    return value == _UNKNOWN.get(column, ...)


def without_virtuals(dependencies: Iterable[Dependency]) -> tuple[Dependency, ...]:
    """Dependencies as an index tells that does not know what they provide."""
    return tuple(edge._replace(virtuals=()) for edge in dependencies)


def _fact(value: object) -> object:
    # Two lists that differ only in order or quotes say the same.
    return value.values if isinstance(value, Variants) else value


def _shown(value: object) -> object:
    if isinstance(value, Variants):
        return value.listed
    if isinstance(value, tuple):
        return [problems.dependency(*edge) for edge in value]
    return value


def spec_rows(merged: MergedPackage) -> Iterator[SpecRows]:
    """The rows of a package's specs, some at a time: a large package has hundreds of thousands."""
    hashes = iter(sorted(merged.nodes))
    versions = newest_first({spec.facts.version for spec in merged.specs})
    ranks = {version: rank for rank, version in enumerate(versions, start=1)}
    while part := list(islice(hashes, _SPECS_AT_A_TIME)):
        rows = SpecRows([], [], [], [], [], [])
        for spec_hash in part:
            node = merged.nodes[spec_hash]
            _add_node(rows, merged.package, spec_hash, node)
            if node.presences:
                rank = ranks[node.facts.version]
                rows.specs.append(_spec_row(spec_hash, merged.package, rank, node))
                rows.spec_lists.append((spec_hash, merged.lists[node.facts.variants]))
                _add_rows_of_releases(rows, merged.package, spec_hash, node)
        yield rows


def _add_node(rows: SpecRows, package: str, spec: str, node: _Merged) -> None:
    facts = node.facts
    external = (facts.external or None) if node.kind == "external" else None
    rows.nodes.append((spec, package, facts.version, node.kind, external))
    if facts.dependencies:
        rows.edges.append((spec, encode_edges(facts.dependencies)))


def _add_rows_of_releases(rows: SpecRows, package: str, spec_hash: str, spec: _Merged) -> None:
    for release, tarball, stacks in spec.presences:
        rows.spec_releases.append((spec_hash, release, tarball, package))
        rows.spec_stacks.extend([(spec_hash, stack, release) for stack in stacks])


def package_rows(merged: MergedPackage) -> PackageRows:
    """The rows of a package as a whole."""
    package = merged.package
    in_stack: Counter[str] = Counter()
    variants: Counter[Variants] = Counter()
    present: set[tuple[tuple[str, ...], str]] = set()
    tarballs: dict[str, list[str]] = {release: [] for release in merged.releases}
    for spec in merged.specs:
        in_stack.update(_stacks_of(spec)[0])
        variants[spec.facts.variants] += 1
        for presence in spec.presences:
            present.add((presence.stacks, presence.release))
            if presence.tarball:
                tarballs[presence.release].append(presence.tarball)
    return PackageRows(
        [_package_row(merged, in_stack)] if merged.releases else [],
        list(_count_values(variants)),
        [
            (name, value.variant)
            for variants, name in merged.lists.items()
            for value in variants.values
        ],
        [(package, stack, count) for stack, count in sorted(in_stack.items())],
        [
            (package, release, count, *count_tarballs(release, tarballs[release]))
            for release, count in merged.releases.items()
        ],
        sorted({(stack, release) for stacks, release in present for stack in stacks}),
        [(key, *where, name) for (key, name), where in sorted(_named(merged).items())],
    )


def _named(merged: MergedPackage) -> References:
    found: References = {}
    for spec, node in merged.nodes.items():
        number = node.source_of("dependencies").number
        for dependency in node.facts.dependencies or ():
            other = found.get(dependency[:2])
            if other is None or (number, spec) < other:
                found[dependency[:2]] = (number, spec)
    return found


def _stacks_of(spec: _Merged) -> tuple[tuple[str, ...], str]:
    """The stacks of a spec in any release, sorted, and the same as a JSON array."""
    return _union_json(tuple(dict.fromkeys(presence.stacks for presence in spec.presences)))


def _count_values(lists: Counter[Variants]) -> Iterator[tuple[str, str, str, int]]:
    counts: Counter[VariantValue] = Counter()
    for variants, count in lists.items():
        for value in variants.values:
            counts[value] += count
    for value, count in sorted(counts.items()):
        yield *value, count


def _spec_row(spec_hash: str, package: str, rank: int, spec: _Merged) -> tuple[object, ...]:
    facts = spec.facts
    name, version = split_compiler(facts.compiler)
    variants = facts.variants
    system = (facts.platform, facts.os, facts.target)
    return (
        spec_hash,
        package,
        facts.version,
        rank,
        facts.compiler,
        name,
        version,
        facts.os,
        facts.platform,
        facts.target,
        variants.json,
        facts.size,
        spec_text(package, facts.version, variants.listed, system, facts.compiler),
        _stacks_of(spec)[1],
        _list_json(tuple(presence.release for presence in spec.presences)),
        spec.presences[0].release,
        facts.namespace,
        facts.flags,
        facts.build_spec,
    )


def _package_row(merged: MergedPackage, stacks: Iterable[str]) -> tuple[object, ...]:
    facts = [spec.facts for spec in merged.specs]
    return (
        merged.package,
        len(facts),
        as_json(newest_first({fact.version for fact in facts})),
        *(
            as_json(sorted({getattr(fact, column) for fact in facts}))
            for column in ("compiler", "os", "platform", "target")
        ),
        as_json(sorted(stacks)),
        as_json(releases_newest_first(merged.releases)),
    )
