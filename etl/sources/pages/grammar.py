"""What a page is: its keys, what each value may be, and how much of each there may be.

The one place that both readers of pages take this from. `general` reads any page and explains
what is wrong with it; `fast` reads ordinary pages with the same result.

The bounds are there for pages made to fill or stall whoever reads them, far beyond what real
pages hold. Together with that on the names of a package (`etl.load`) they see to it that no row of
the database is larger than half of `schema.MAX_ROW`: a spec's variants, twice (the list and the
spec in one line), and the names of its package. A page of the site shows a hundred of them.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from etl.records import Spec
from etl.schema import MAX_ROW
from etl.spelling import Variants

MAX_BYTES = 32 * 1024 * 1024
"""Largest page that is read at all; the largest real ones have a few megabytes."""

MAX_YAML = 1024 * 1024
"""Most characters given to a YAML parser, which is slow."""

MAX_META = 1024 * 1024
"""Most bytes of `meta`, which has a few names of each kind."""

MAX_RECORD = 250_000
"""Most bytes of one object of `spec_details`; real ones have some hundreds."""

MAX_SPECS = 200_000
"""Most specs of a page; real ones have some thousands."""

MAX_SCALAR = 500
"""Longest number or date in YAML, which has spellings that take hours to work out."""

MAX_DEPTH = 16
"""Deepest nesting of YAML; a real page has 5 levels."""

MAX_TARBALL = 4_000
"""Most bytes of the address of a tarball."""

MAX_STACKS = 100
"""Most stacks of a spec."""

MAX_LISTED = 300_000
"""Most that all different lists of variants of a page may weigh, which are kept in memory."""

MAX_NAMES = MAX_ROW // 10
"""Most bytes of all different versions, compilers, stacks and other names of a page."""

TOP_KEYS = frozenset({"title", "layout", "categories", "meta", "spec_details"})
TOP_REQUIRED = ("title", "categories", "meta", "spec_details")
META_LISTS = ("compilers", "oss", "platforms", "stacks", "targets", "versions")
META_KEYS = frozenset({"num_specs", "num_specs_by_stack", *META_LISTS})
SPEC_REQUIRED = (
    *("compiler", "hash", "os", "platform", "target"),
    *("versions", "variants", "stacks", "size"),
)
SPEC_KEYS = frozenset({*SPEC_REQUIRED, "tarball"})

ORDINARY_HEAD = rb'---\ntitle: "([\w.+-]+)"\nlayout: cache\ncategories: \[package, ([\w.+-]+)\]\n'
"""Pattern of how pages that upstream wrote begin: package and release."""

VARIANT = re.compile(r"(\+\+?|~~?)[\w.-]+|[\w.-]+:?==?.*", re.ASCII)
COMPILER = re.compile(r"[^@]+(@=?[^@=]+)?")
WEB_ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)


def weight(variants: Variants) -> int:
    """What a list of variants weighs in memory: about as much as three values, and its values."""
    return 3 + len(variants.values)


class Meta(NamedTuple):
    """The page's own summary of its specs, as the generator counted it, compilers as spelled."""

    num_specs: int
    num_specs_by_stack: Mapping[str, int]
    compilers: frozenset[str]
    oss: frozenset[str]
    platforms: frozenset[str]
    stacks: frozenset[str]
    targets: frozenset[str]
    versions: frozenset[str]


class Names(NamedTuple):
    """What the specs of a page name, under the keys of `meta`; of a stack, how many it has."""

    compilers: frozenset[str]
    oss: frozenset[str]
    platforms: frozenset[str]
    stacks: Mapping[str, int]
    targets: frozenset[str]
    versions: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes of all of them as JSON."""
        return sum(len("".join(names).encode()) + len('"",') * len(names) for names in self)


def names_of(specs: Collection[Spec]) -> Names:
    """What these specs name."""
    if not specs:
        return Names(frozenset(), frozenset(), frozenset(), {}, frozenset(), frozenset())
    stacks: Counter[str] = Counter()
    # Lists that are alike are counted first, then unfolded.
    for listed, count in Counter([spec.stacks.names for spec in specs]).items():
        for stack in listed:
            stacks[stack] += count
    versions, compilers, oses, platforms, targets, *_ = zip(
        *[spec.facts for spec in specs], strict=True
    )
    return Names(
        frozenset(compilers),
        frozenset(oses),
        frozenset(platforms),
        stacks,
        frozenset(targets),
        frozenset(versions),
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One page that holds what a page must hold.

    Attributes:
        release: the second of `categories`.
        package: the `title`.
        specs: its specs in the page's order.
        names: what its specs name.
        meta: its summary of them.
        meta_line: line of `meta` in the file.
        specs_line: line of `spec_details` in the file.
        unknown: (place, key) → how often a key nobody knows occurs; only the first keys.
        unknown_more: how many more such keys there are.
        layout: what `layout` says.
        body: number of characters but white space behind the front matter.
    """

    release: str
    package: str
    specs: tuple[Spec, ...]
    names: Names
    meta: Meta
    meta_line: int
    specs_line: int
    unknown: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unknown_more: int = 0
    layout: str = "cache"
    body: int = 0
