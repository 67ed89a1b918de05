"""One spelling for each fact, and one row for each hash: the pages of a package → rows.

Spellings (from the description of the source): `gcc@=13.2.0` and `gcc@13.2.0` are one compiler,
`x:=a,b` and `x=a,b` one variant, a quoted list of values is each of its values.

Merging: where two releases differ, a known value beats an unknown one (compiler `none`, size
NULL); of two known values the newest release's is kept and the other recorded as a problem.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from etl import problems
from etl.extract import Entry, Page
from etl.order import newest_first, releases_newest_first
from etl.problems import Problem, as_json

NO_COMPILER = "none"
_SPECS_AT_A_TIME = 500
_UNKNOWN = {"compiler": NO_COMPILER, "size": None}


class VariantValue(NamedTuple):
    """One value of one variant, a row of `variants`."""

    variant: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """A spec's list of variants in one spelling.

    Compared by identity, which is fast: lists are spelled once and shared. Whether two lists say
    the same is for `values` to tell.

    Attributes:
        listed: the variants in the page's order, each once.
        json: `listed` as in `specs.variants`.
        values: the values they stand for, sorted, each once.
        repeated: the variants that the page names more than once.
    """

    listed: tuple[str, ...]
    json: str
    values: tuple[VariantValue, ...]
    repeated: tuple[str, ...]


class Facts(NamedTuple):
    """What is true of a spec in every release; `size` in bytes."""

    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: Variants
    size: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """A page and its path in the database."""

    path: str
    page: Page


@dataclass(frozen=True, slots=True)
class SpecRows:
    """Rows about some specs of a package; each field is named as the staging table it is for.

    Attributes:
        specs: in the columns' order, sorted by hash.
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
        package_releases: package, release, number of specs.
        stack_releases: stack, release.
    """

    packages: list[tuple[object, ...]]
    package_variants: list[tuple[str, str, str, int]]
    package_stacks: list[tuple[str, str, int]]
    package_releases: list[tuple[str, str, int]]
    stack_releases: list[tuple[str, str]]


@lru_cache(maxsize=1024)
def spell_compiler(compiler: str) -> str:
    """`gcc@=13.2.0` → `gcc@13.2.0`: the `=` only says "exactly"."""
    return compiler.replace("@=", "@", 1)


@lru_cache(maxsize=1024)
def split_compiler(compiler: str) -> tuple[str, str | None]:
    """Name and version of a compiler in our spelling; the version of `none` is None."""
    name, _, version = compiler.partition("@")
    return name, version or None


# Lists of variants differ in a few of many: what they share is kept once, not once for each list.


@lru_cache(maxsize=1024)
def spell_variant(variant: str) -> str:
    """`x:=a,b` → `x=a,b`; everything else stays as it is."""
    name, equals, value = variant.partition("=")
    return f"{name.removesuffix(':')}={value}" if equals else variant


@lru_cache(maxsize=1024)
def variant_values(variant: str) -> tuple[VariantValue, ...]:
    """The values of a variant in our spelling: one each for `+x`, `~x`, and each of a list.

    A doubled sign (`++x`, `x==v`) says that dependencies get the variant too; the value is the
    same.
    """
    if variant[0] in "+~":
        name = variant.lstrip("+~")
        value = "true" if variant[0] == "+" else "false"
        return (VariantValue(variant[0] + name, name, value),)
    name, _, text = variant.partition("=")
    text = text.removeprefix("=")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return tuple(VariantValue(f"{name}={value}", name, value) for value in text.split(","))


@lru_cache(maxsize=1024)
def spell_variants(variants: tuple[str, ...]) -> Variants:
    """A page's list of variants in our spelling."""
    spelled = [spell_variant(variant) for variant in variants]
    listed = tuple(dict.fromkeys(spelled))
    values = {value for variant in listed for value in variant_values(variant)}
    return Variants(listed, as_json(listed), tuple(sorted(values)), _repeated(spelled))


@lru_cache(maxsize=1024)
def _spell_stacks(stacks: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(dict.fromkeys(stacks)), _repeated(stacks)


def _repeated(values: Sequence[str]) -> tuple[str, ...]:
    if len(set(values)) == len(values):
        return ()
    return tuple(value for value, count in Counter(values).items() if count > 1)


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
    """A spec while the pages of its package are read, newest first."""

    __slots__ = ("facts", "known_in", "presences")

    def __init__(self, facts: Facts, release: str) -> None:
        self.facts = facts
        self.presences: list[_Presence] = []
        # The release each value is from, where it is not that of the first presence.
        self.known_in: dict[str, str] = {}

    def newest(self, column: str) -> str:
        return self.known_in.get(column) or self.presences[0].release


@dataclass(frozen=True, slots=True)
class MergedPackage:
    """All accepted pages of one package.

    Attributes:
        package: its name.
        specs: its specs by hash.
        releases: how many specs it has in each release.
        problems: what the releases disagree on, or a page says twice.
    """

    package: str
    specs: dict[str, _Merged]
    releases: dict[str, int]
    problems: list[Problem]


def merge(package: str, sources: Iterable[Source]) -> MergedPackage:
    """Merge the accepted pages of one package.

    Args:
        package: its name.
        sources: its pages, newest release first, one for each release.
    """
    merged: dict[str, _Merged] = {}
    found: list[Problem] = []
    releases: dict[str, int] = {}
    for source in sources:
        releases[source.page.release] = len(source.page.entries)
        for entry in source.page.entries:
            _add(merged, source, entry, found)
    return MergedPackage(package, merged, releases, found)


def _add(merged: dict[str, _Merged], source: Source, entry: Entry, found: list[Problem]) -> None:
    variants = spell_variants(entry.variants)
    stacks, repeated_stacks = _spell_stacks(entry.stacks)
    facts = Facts(
        entry.version,
        spell_compiler(entry.compiler),
        entry.os,
        entry.platform,
        entry.target,
        variants,
        entry.size,
    )
    spec = merged.get(entry.hash)
    if spec is None:
        spec = merged[entry.hash] = _Merged(facts, source.page.release)
    elif spec.facts != facts:
        found.extend(_reconcile(entry.hash, spec, facts, source))
    spec.presences.append(_Presence(source.page.release, entry.tarball, stacks))
    if variants.repeated or repeated_stacks:
        for key, values in (("variants", variants.repeated), ("stacks", repeated_stacks)):
            for value in values:
                message = problems.repeated_value(entry.hash, key, value)
                found.append(_problem(source, "repeated-value", message))


def _problem(source: Source, kind: str, message: str) -> Problem:
    return Problem(source.path, source.page.specs_line, kind, message)


def _reconcile(spec: str, kept: _Merged, other: Facts, source: Source) -> Iterator[Problem]:
    """Fill in what only the older page knows; report what the two pages know differently."""
    for column in Facts._fields:
        ours, theirs = getattr(kept.facts, column), getattr(other, column)
        if _fact(theirs) == _fact(ours) or theirs == _UNKNOWN.get(column, ...):
            continue
        if ours == _UNKNOWN.get(column, ...):
            kept.facts = kept.facts._replace(**{column: theirs})
            kept.known_in[column] = source.page.release
            continue
        message = problems.conflict(spec, column, _shown(ours), kept.newest(column), _shown(theirs))
        yield _problem(source, "conflict", message)


def _fact(value: object) -> object:
    # Two lists that differ only in order or quotes say the same.
    return value.values if isinstance(value, Variants) else value


def _shown(value: object) -> object:
    return value.listed if isinstance(value, Variants) else value


def spec_rows(merged: MergedPackage) -> Iterator[SpecRows]:
    """The rows of a package's specs, some at a time: a large package has hundreds of thousands."""
    hashes = iter(sorted(merged.specs))
    while part := list(islice(hashes, _SPECS_AT_A_TIME)):
        rows = SpecRows([], [], [], [])
        for spec_hash in part:
            _add_spec_rows(rows, merged.package, spec_hash, merged.specs[spec_hash])
        yield rows


def _add_spec_rows(rows: SpecRows, package: str, spec_hash: str, spec: _Merged) -> None:
    rows.specs.append(_spec_row(spec_hash, package, spec))
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
    for spec in merged.specs.values():
        in_stack.update(_stacks_of(spec)[0])
        variants[spec.facts.variants] += 1
        present.update((presence.stacks, presence.release) for presence in spec.presences)
    return PackageRows(
        [_package_row(merged, in_stack)],
        list(_count_values(variants)),
        [(package, stack, count) for stack, count in sorted(in_stack.items())],
        [(package, release, count) for release, count in merged.releases.items()],
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


def _spec_row(spec_hash: str, package: str, spec: _Merged) -> tuple[object, ...]:
    facts = spec.facts
    name, version = split_compiler(facts.compiler)
    return (
        spec_hash,
        package,
        facts.version,
        facts.compiler,
        name,
        version,
        facts.os,
        facts.platform,
        facts.target,
        facts.variants.json,
        facts.size,
        spec_text(package, facts),
        _stacks_of(spec)[1],
        _list_json(tuple(presence.release for presence in spec.presences)),
    )


def spec_text(package: str, facts: Facts) -> str:
    """The spec in one line: the compiler last, since Spack 1.0 binds what follows it to it."""
    parts = [
        f"{package}@{facts.version}",
        *facts.variants.listed,
        f"arch={facts.platform}-{facts.os}-{facts.target}",
    ]
    if facts.compiler != NO_COMPILER:
        parts.append(f"%{facts.compiler}")
    return " ".join(parts)


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
