"""Read ordinary pages fast: the same `Page` as `extract.read_page` gives, or None.

An ordinary page is plain ASCII without backslashes, has exactly the keys every page has, and
nothing wrong. All others are left to `extract`, which reads anything and explains what is wrong.
Only what is equal on both ways may be accepted here: a test compares them on real, made-up and
damaged pages.
"""

import re
from functools import lru_cache

import msgspec

from etl import extract
from etl.extract import Entry, Meta, Page
from etl.order import parse_release

_FRONT = re.compile(
    rb'---\ntitle: "([\w.+-]+)"\nlayout: cache\ncategories: \[package, ([\w.+-]+)\]\n'
    rb"meta: ({[^\n]*})\nspec_details: (\[[^\n]*\])\n---\n?",
    re.ASCII,
)
_META_LINE, _SPECS_LINE = 5, 6
_CONTROLS = bytes({*range(32), 127} - {ord("\n")})
_HASHES = re.compile(r"([a-z2-7]{32})*", re.ASCII)


class _RawMeta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    num_specs: int
    num_specs_by_stack: dict[str, int]
    compilers: list[str]
    oss: list[str]
    platforms: list[str]
    stacks: list[str]
    targets: list[str]
    versions: list[str]


class _RawEntry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
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
_decode_entries = msgspec.json.Decoder(list[_RawEntry]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


class _NotOrdinaryError(Exception):
    """The page must be read by `extract`."""


def read_page(data: bytes) -> Page | None:
    """Read the bytes of an ordinary page; None if `extract.read_page` must look at it."""
    front = _front(data)
    if front is None:
        return None
    title, release, meta_json, specs_json = front
    try:
        meta = _meta(meta_json)
        entries = _entries(specs_json)
    except (msgspec.MsgspecError, _NotOrdinaryError, RecursionError):
        return None
    return Page(release, title, entries, meta, _META_LINE, _SPECS_LINE)


def _front(data: bytes) -> tuple[str, str, bytes, bytes] | None:
    plain = (
        len(data) <= extract.MAX_BYTES
        and data.isascii()
        and b"\\" not in data
        and len(data.translate(None, _CONTROLS)) == len(data)
    )
    found = _FRONT.fullmatch(data) if plain else None
    if not found:
        return None
    title, release, meta, specs = found.groups()
    if b".." in title or b".." in release or parse_release(release.decode()) is None:
        return None
    return title.decode(), release.decode(), meta, specs


def _meta(data: bytes) -> Meta:
    raw = _decode_meta(data)
    lists = [getattr(raw, key) for key in extract.META_LISTS]
    counts = raw.num_specs_by_stack
    texts = len(extract.META_KEYS) + len(counts) + sum(map(len, lists))
    # Without backslashes every text has two quotes. More of them than texts were decoded means
    # that a key occurs twice, of which the decoder keeps only one.
    if data.count(b'"') != 2 * texts or not all(
        0 <= n <= extract.MAX_SIZE for n in (raw.num_specs, *counts.values())
    ):
        raise _NotOrdinaryError
    return Meta(raw.num_specs, counts, *map(frozenset, lists))


def _entries(data: bytes) -> tuple[Entry, ...]:
    raws = _decode_entries(data)
    entries = []
    quotes = 0
    for raw in raws:
        versions, versions_quotes = _versions(bytes(raw.versions))
        variants, variants_quotes = _variants(bytes(raw.variants))
        stacks, stacks_quotes = _stacks(bytes(raw.stacks))
        # Nine keys and five texts; then a size and a tarball that are texts.
        quotes += 28 + versions_quotes + variants_quotes + stacks_quotes
        size: int | None = None
        if raw.size == "-":
            quotes += 2
        elif isinstance(raw.size, int) and 0 <= raw.size <= extract.MAX_SIZE:
            size = raw.size
        else:
            raise _NotOrdinaryError
        if raw.tarball is not None:
            quotes += 4
        if not (
            _is_compiler(raw.compiler)
            and _is_name(raw.os)
            and _is_name(raw.platform)
            and _is_name(raw.target)
        ):
            raise _NotOrdinaryError
        entries.append(
            Entry(
                raw.hash,
                versions,
                raw.compiler,
                raw.os,
                raw.platform,
                raw.target,
                variants,
                stacks,
                size,
                raw.tarball,
            )
        )
    if data.count(b'"') != quotes or not _good_hashes([raw.hash for raw in raws]):
        raise _NotOrdinaryError
    return tuple(entries)


def _good_hashes(hashes: list[str]) -> bool:
    return (
        len(set(hashes)) == len(hashes)
        and set(map(len, hashes)) <= {32}
        and _HASHES.fullmatch("".join(hashes)) is not None
    )


# Lists repeat from spec to spec, so each spelling of one is read once. The caches are bounded:
# memory must not follow the number of pages.


@lru_cache(maxsize=512)
def _versions(data: bytes) -> tuple[str, int]:
    versions = _decode_texts(data)
    if len(versions) != 1 or not versions[0]:
        raise _NotOrdinaryError
    return versions[0], 2


@lru_cache(maxsize=1024)
def _variants(data: bytes) -> tuple[tuple[str, ...], int]:
    variants = tuple(_decode_texts(data))
    if not all(map(extract.VARIANT.fullmatch, variants)):
        raise _NotOrdinaryError
    return variants, 2 * len(variants)


@lru_cache(maxsize=1024)
def _stacks(data: bytes) -> tuple[tuple[str, ...], int]:
    stacks = tuple(_decode_texts(data))
    if not all(map(_is_name, stacks)):
        raise _NotOrdinaryError
    return stacks, 2 * len(stacks)


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return bool(name) and "/" not in name and ".." not in name


@lru_cache(maxsize=1024)
def _is_compiler(compiler: str) -> bool:
    return extract.COMPILER.fullmatch(compiler) is not None
