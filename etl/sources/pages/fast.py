"""Read ordinary pages fast: the same `Page` as `general.read_page` gives, or None.

An ordinary page is plain ASCII without backslashes, has exactly the keys every page has, and
nothing wrong. All others are left to `general`, which reads anything and explains what is wrong.
Only what is equal on both ways may be accepted here: a test compares them on real, made-up and
damaged pages.
"""

import re
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import msgspec

from etl.order import parse_release
from etl.records import Facts, Spec
from etl.sources import bounds
from etl.sources.pages import grammar
from etl.sources.pages.grammar import Meta, Page
from etl.spelling import Stacks, Variants, spell_compiler, spell_stacks, spell_variants

_FRONT = re.compile(
    grammar.ORDINARY_HEAD + rb"meta: ({[^\n]*})\nspec_details: (\[[^\n]*\])\n---\n?",
    re.ASCII,
)
_META_LINE, _SPECS_LINE = 5, 6
_CONTROLS = bytes({*range(32), 127} - {ord("\n")})
_HASHES = re.compile(r"([a-z2-7]{32})*", re.ASCII)

_LONGEST_LIST = 50_000
"""Bytes of a list. With no white space to spare, no spec is then larger than it may be."""

_LONGEST_CACHED = 4_000
"""Bytes of a list that is kept: a thousand of the longest would take much memory."""


class _RawMeta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    num_specs: int
    num_specs_by_stack: dict[str, int]
    compilers: list[str]
    oss: list[str]
    platforms: list[str]
    stacks: list[str]
    targets: list[str]
    versions: list[str]


class _RawSpec(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    hash: str
    versions: msgspec.Raw
    compiler: str
    os: str
    platform: str
    target: str
    variants: msgspec.Raw
    stacks: msgspec.Raw
    size: int | str
    tarball: str | None = None


_decode_meta = msgspec.json.Decoder(_RawMeta).decode
_decode_specs = msgspec.json.Decoder(list[_RawSpec]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


class _NotOrdinaryError(Exception):
    """The page must be read by `general`."""


def read_page(data: bytes) -> Page | None:
    """Read the bytes of an ordinary page; None if `general.read_page` must look at it."""
    front = _front(data)
    if front is None:
        return None
    try:
        meta = _meta(front.meta)
        specs = _specs(front.specs, data.count(b'"', front.specs_start))
    except (msgspec.MsgspecError, _NotOrdinaryError, RecursionError):
        return None
    names = grammar.names_of(specs)
    if names.size > grammar.MAX_NAMES:
        return None
    return Page(front.release, front.title, specs, names, meta, _META_LINE, _SPECS_LINE)


class _Front(NamedTuple):
    """The front matter of what may be an ordinary page.

    Attributes:
        title: the package.
        release: the release.
        meta: JSON.
        specs: JSON; not copied, for it can be large.
        specs_start: where that begins; no quotes stand behind its end.
    """

    title: str
    release: str
    meta: bytes
    specs: memoryview
    specs_start: int


def _front(data: bytes) -> _Front | None:
    plain = (
        len(data) <= grammar.MAX_BYTES
        and data.isascii()
        and b"\\" not in data
        and b"  " not in data
        and len(data.translate(None, _CONTROLS)) == len(data)
    )
    found = _FRONT.fullmatch(data) if plain else None
    if not found:
        return None
    start, end = found.span(4)
    specs = memoryview(data)[start:end]
    front = _Front(found[1].decode(), found[2].decode(), found[3], specs, start)
    if parse_release(front.release) is None:
        return None
    try:
        _name(front.title), _name(front.release)
    except _NotOrdinaryError:
        return None
    return front


def _meta(data: bytes) -> Meta:
    if len(data) > grammar.MAX_META:
        raise _NotOrdinaryError
    raw = _decode_meta(data)
    lists = {key: frozenset(getattr(raw, key)) for key in grammar.META_LISTS}
    counts = raw.num_specs_by_stack
    texts = len(grammar.META_KEYS) + len(counts)
    texts += sum(len(getattr(raw, key)) for key in grammar.META_LISTS)
    # Without backslashes every text has two quotes. More of them than texts were decoded means
    # that a key occurs twice, of which the decoder keeps only one.
    if (
        data.count(b'"') != 2 * texts
        or not all(0 <= n <= bounds.MAX_SIZE for n in (raw.num_specs, *counts.values()))
        or max(map(len, chain(counts, *lists.values())), default=0) > bounds.MAX_NAME
    ):
        raise _NotOrdinaryError
    lists["compilers"] = frozenset(map(spell_compiler, lists["compilers"]))
    return Meta(raw.num_specs, counts, **lists)


def _specs(data: memoryview, quotes_there: int) -> tuple[Spec, ...]:
    raws = _decode_specs(data)
    raws.reverse()
    specs = []
    quotes = weight = 0
    counted: set[int] = set()
    # One after the other goes as its spec comes, so that not all of both are there at one time.
    while raws:
        raw = raws.pop()
        version = _version(bytes(raw.versions))
        listed = bytes(raw.variants)
        is_short = len(listed) <= _LONGEST_CACHED
        variants, variants_quotes = (_variants if is_short else _long_variants)(listed)
        listed = bytes(raw.stacks)
        is_short = len(listed) <= _LONGEST_CACHED
        stacks, stacks_quotes = (_stacks if is_short else _long_stacks)(listed)
        # Nine keys, five texts and a version; then a size and a tarball that are texts.
        quotes += 30 + variants_quotes + stacks_quotes
        size: int | None = None
        if raw.size == "-":
            quotes += 2
        elif isinstance(raw.size, int) and 0 <= raw.size <= bounds.MAX_SIZE:
            size = raw.size
        else:
            raise _NotOrdinaryError
        if raw.tarball is not None:
            quotes += 4
            if len(raw.tarball) > grammar.MAX_TARBALL:
                raise _NotOrdinaryError
        if id(variants) not in counted:
            counted.add(id(variants))
            weight += grammar.weight(variants)
            if weight > grammar.MAX_LISTED:
                raise _NotOrdinaryError
        compiler = _compiler(raw.compiler)
        system = (_name(raw.os), _name(raw.platform), _name(raw.target))
        facts = Facts(version, compiler, *system, variants, size)
        specs.append(Spec(raw.hash, facts, stacks, raw.tarball))
    if (
        quotes_there != quotes
        or len(specs) > grammar.MAX_SPECS
        or not _good_hashes([spec.hash for spec in specs])
    ):
        raise _NotOrdinaryError
    return tuple(specs)


def _good_hashes(hashes: list[str]) -> bool:
    return (
        len(set(hashes)) == len(hashes)
        and set(map(len, hashes)) <= {32}
        and _HASHES.fullmatch("".join(hashes)) is not None
    )


# Lists repeat from spec to spec, so each spelling of one is read once. The caches are bounded:
# memory must not follow the number of pages.


@lru_cache(maxsize=512)
def _version(data: bytes) -> str:
    versions = _decode_texts(data)
    if len(versions) != 1 or not versions[0] or len(versions[0]) > bounds.MAX_NAME:
        raise _NotOrdinaryError
    return versions[0]


def _long_variants(data: bytes) -> tuple[Variants, int]:
    if len(data) > _LONGEST_LIST:
        raise _NotOrdinaryError
    variants = tuple(_decode_texts(data))
    if (
        not all(map(grammar.VARIANT.fullmatch, variants))
        or sum(variant.count(",") + 1 for variant in variants) > bounds.MAX_VALUES
    ):
        raise _NotOrdinaryError
    spelled = spell_variants(variants)
    if len(spelled.json) > bounds.MAX_VARIANTS:
        raise _NotOrdinaryError
    return spelled, 2 * len(variants)


def _long_stacks(data: bytes) -> tuple[Stacks, int]:
    if len(data) > _LONGEST_LIST:
        raise _NotOrdinaryError
    stacks = tuple(_decode_texts(data))
    if len(stacks) > grammar.MAX_STACKS:
        raise _NotOrdinaryError
    return spell_stacks(tuple(map(_name, stacks))), 2 * len(stacks)


_variants = lru_cache(maxsize=1024)(_long_variants)
_stacks = lru_cache(maxsize=1024)(_long_stacks)


# Names repeat too: one text serves for all.


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    if len(name) > bounds.MAX_NAME or bounds.fault_of_name(name):
        raise _NotOrdinaryError
    return name


@lru_cache(maxsize=1024)
def _compiler(compiler: str) -> str:
    if len(compiler) > bounds.MAX_NAME or not grammar.COMPILER.fullmatch(compiler):
        raise _NotOrdinaryError
    return spell_compiler(compiler)
