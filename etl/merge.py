"""One row for each hash: the releases of a package → rows; whose word counts.

Where two releases differ, a known value beats an unknown one (compiler `none`, size NULL); of two
known values the newest release's is kept and the other recorded as a problem.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from etl import problems
from etl.mirrors import count_tarballs
from etl.order import newest_first, releases_newest_first
from etl.problems import Problem
from etl.records import Facts, Source, Spec
from etl.spelling import (
    NO_COMPILER,
    Variants,
    VariantValue,
    as_json,
    spec_text,
    split_compiler,
)

_SPECS_AT_A_TIME = 500
_UNKNOWN = {"compiler": NO_COMPILER, "size": None}


@dataclass(frozen=True, slots=True)
class SpecRows:
    """Rows about some specs of a package; each field is named as the staging table it is for.

    Attributes:
        specs: in the columns' order, sorted by hash; `newest` is the release, not its position.
        spec_stacks: spec, stack, release.
        spec_releases: spec, release, tarball, package.
        spec_variants: spec, variant.
    """

    specs: list[tuple[object, ...]]
    spec_stacks: list[tuple[str, str, str]]
    spec_releases: list[tuple[str, str, str | None, str]]
    spec_variants: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PackageRows:
    """Rows about a whole package; each field is named as the staging table it is for.

    Attributes:
        packages: the package's own row, in the columns' order.
        package_variants: variant, name, value, number of specs.
        package_stacks: package, stack, number of specs in any release.
        package_releases: package, release, number of specs, and of tarballs in each of the two
            places where the mirror of the release can be.
        stack_releases: stack, release.
    """

    packages: list[tuple[object, ...]]
    package_variants: list[tuple[str, str, str, int]]
    package_stacks: list[tuple[str, str, int]]
    package_releases: list[tuple[str, str, int, int, int]]
    stack_releases: list[tuple[str, str]]


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
    """A spec while the sources of its package are read, newest release first."""

    __slots__ = ("facts", "known_in", "presences")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.presences: list[_Presence] = []
        # The release each value is from, where it is not that of the first presence.
        self.known_in: dict[str, str] = {}

    def newest(self, column: str) -> str:
        return self.known_in.get(column) or self.presences[0].release


@dataclass(frozen=True, slots=True)
class MergedPackage:
    """All accepted sources of one package.

    Attributes:
        package: its name.
        specs: its specs by hash.
        releases: how many specs it has in each release.
        problems: what the releases disagree on.
    """

    package: str
    specs: dict[str, _Merged]
    releases: dict[str, int]
    problems: list[Problem]


def merge(package: str, sources: Iterable[Source]) -> MergedPackage:
    """Merge the accepted sources of one package.

    Args:
        package: its name.
        sources: what is said of it, newest release first, one source for each release.
    """
    merged: dict[str, _Merged] = {}
    found: list[Problem] = []
    releases: dict[str, int] = {}
    for source in sources:
        releases[source.release] = len(source.specs)
        for spec in source.specs:
            _add(merged, source, spec, found)
    return MergedPackage(package, merged, releases, found)


def _add(merged: dict[str, _Merged], source: Source, spec: Spec, found: list[Problem]) -> None:
    known = merged.get(spec.hash)
    if known is None:
        known = merged[spec.hash] = _Merged(spec.facts)
    elif known.facts != spec.facts:
        found.extend(_reconcile(spec.hash, known, spec.facts, source))
    known.presences.append(_Presence(source.release, spec.tarball, spec.stacks.names))


def _reconcile(spec: str, kept: _Merged, other: Facts, source: Source) -> Iterator[Problem]:
    """Fill in what only the older source knows; report what the two know differently."""
    for column in Facts._fields:
        ours, theirs = getattr(kept.facts, column), getattr(other, column)
        if _fact(theirs) == _fact(ours) or theirs == _UNKNOWN.get(column, ...):
            continue
        if ours == _UNKNOWN.get(column, ...):
            kept.facts = kept.facts._replace(**{column: theirs})
            kept.known_in[column] = source.release
            continue
        message = problems.conflict(spec, column, _shown(ours), kept.newest(column), _shown(theirs))
        yield Problem(source.path, source.line, "conflict", message)


def _fact(value: object) -> object:
    # Two lists that differ only in order or quotes say the same.
    return value.values if isinstance(value, Variants) else value


def _shown(value: object) -> object:
    return value.listed if isinstance(value, Variants) else value


def spec_rows(merged: MergedPackage) -> Iterator[SpecRows]:
    """The rows of a package's specs, some at a time: a large package has hundreds of thousands."""
    hashes = iter(sorted(merged.specs))
    versions = newest_first({spec.facts.version for spec in merged.specs.values()})
    ranks = {version: rank for rank, version in enumerate(versions, start=1)}
    while part := list(islice(hashes, _SPECS_AT_A_TIME)):
        rows = SpecRows([], [], [], [])
        for spec_hash in part:
            spec = merged.specs[spec_hash]
            rank = ranks[spec.facts.version]
            rows.specs.append(_spec_row(spec_hash, merged.package, rank, spec))
            _add_rows_of_others(rows, merged.package, spec_hash, spec)
        yield rows


def _add_rows_of_others(rows: SpecRows, package: str, spec_hash: str, spec: _Merged) -> None:
    rows.spec_variants.extend([(spec_hash, value.variant) for value in spec.facts.variants.values])
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
    for spec in merged.specs.values():
        in_stack.update(_stacks_of(spec)[0])
        variants[spec.facts.variants] += 1
        for presence in spec.presences:
            present.add((presence.stacks, presence.release))
            if presence.tarball:
                tarballs[presence.release].append(presence.tarball)
    return PackageRows(
        [_package_row(merged, in_stack)],
        list(_count_values(variants)),
        [(package, stack, count) for stack, count in sorted(in_stack.items())],
        [
            (package, release, count, *count_tarballs(release, tarballs[release]))
            for release, count in merged.releases.items()
        ],
        sorted({(stack, release) for stacks, release in present for stack in stacks}),
    )


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
    )


def _package_row(merged: MergedPackage, stacks: Iterable[str]) -> tuple[object, ...]:
    facts = [spec.facts for spec in merged.specs.values()]
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
