"""Read ordinary records fast: the same `Record` as `general.read_record` gives, or None.

An ordinary record is plain ASCII without backslashes, has no key that nobody knows, none twice,
and nothing wrong. All others are left to `general`. Only what is equal on both ways may be
accepted here: a test compares them on real, made-up and damaged records.

An index as Spack writes it, compact, is split where records begin. A text cannot hold such a place,
for it would need quotes, which a text has only behind a backslash; a key can, but then what is cut
out is no JSON, and the index is left to `general`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from etl.errors import RefusedError
from etl.records import Dependency
from etl.sources.caches import grammar
from etl.sources.caches.grammar import Record, Value
from etl.sources.caches.spans import Header, Span
from etl.sources.content import FileBytes
from etl.spelling import Variants

_HEAD = re.compile(rb'\{"database":\{"version":"(\d{1,4})","installs":\{', re.ASCII)
_TAIL = b"}}}"
_MARK = b'":{"spec":{'
_HASH = re.compile(rb"[a-z2-7]{32}")
_HASH_KEY = b'"hash":"'
_ANY_HASH = b"a" * 32
_HASH_AS_KEY = re.compile(rb'"[a-z2-7]{32}"')
_KEY = len('"') + 32
_COMMA = b","
_MOST_SPACE = 1_000
_LONGEST_HEAD = 100
_CHUNK = 64 * 1024
_LONGEST_CACHED = 4_000
_LONGEST_DEPENDENCY = 500

_decode_arch = msgspec.json.Decoder(grammar.RawArch).decode
_decode_parameters = msgspec.json.Decoder(dict[str, bool | str | list[str]]).decode
_decode_dependency = msgspec.json.Decoder(grammar.RawDependency).decode
_decode_annotations = msgspec.json.Decoder(grammar.RawAnnotations).decode
_decode_compiler = msgspec.json.Decoder(grammar.RawCompiler).decode
_decode_build_spec = msgspec.json.Decoder(grammar.RawBuildSpec).decode
_decode_external = msgspec.json.Decoder(grammar.RawExternal).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


def read_header(data: FileBytes) -> Header | None:
    """Where the records of an index are; None if it is not laid out as Spack writes it."""
    head = _HEAD.match(data[:_LONGEST_HEAD])
    last = data[-_MOST_SPACE:]
    end = len(data) - len(last) + len(last.rstrip(b" \t\r\n"))
    if not head or data[max(0, end - len(_TAIL)) : end] != _TAIL:
        return None
    if end - len(_TAIL) < head.end():
        return None
    return Header(head[1].decode(), head.end(), end - len(_TAIL))


def spans(data: FileBytes, header: Header, start: int, end: int) -> Iterator[Span] | None:
    """The records that begin in a part of an index; None if one is not laid out as expected.

    Args:
        data: the index.
        header: where its records are.
        start: where the part begins.
        end: where it ends.
    """
    text = data[start : min(end + len(_MARK) + _KEY, header.end)]
    starts: list[int] = []
    marks = _marks(text)
    for mark in marks:
        if mark < _KEY and start > header.start:
            # Its key begins in the part before.
            continue
        if not _HASH_AS_KEY.fullmatch(text, max(0, mark - _KEY), mark + 1):
            return None
        starts.append(start + mark - _KEY)
    if starts and starts[-1] >= end:
        starts.pop()
    if start == header.start and (starts[0] if starts else header.end) != start:
        return None
    if not starts:
        return iter(())
    following = _next_mark(data, starts[-1] + _KEY + 1, header.end)
    stops = [each - 1 for each in starts[1:]]
    stops.append(header.end if following < 0 else following - _KEY - 1)
    if any(data[stop : stop + 1] != _COMMA for stop in stops if stop < header.end):
        return None
    return iter([_span(data, each, stop) for each, stop in zip(starts, stops, strict=True)])


def _marks(text: bytes) -> Iterator[int]:
    """Where the keys of records end: at the quote behind each."""
    place = text.find(_MARK)
    while place >= 0:
        yield place
        place = text.find(_MARK, place + 1)


def _next_mark(data: FileBytes, start: int, end: int) -> int:
    for place in range(start, end, _CHUNK):
        found = data[place : min(place + _CHUNK + len(_MARK) - 1, end)].find(_MARK)
        if found >= 0:
            return place + found
    return -1


def _span(data: FileBytes, start: int, end: int) -> Span:
    # Behind the key are a quote and a colon.
    return Span(data[start + 1 : start + _KEY].decode(), start + _KEY + 2, end)


def read_record(data: bytes) -> Record | None:
    """Read an ordinary record; None if `general.read_record` must look at it."""
    if len(data) > grammar.MAX_RECORD or not data.isascii() or b"\\" in data or b"\x7f" in data:
        return None
    try:
        raw = _decode_record(data)
        parts = _parts(raw.spec)
        # Without backslashes every text has two quotes. More of them than texts were decoded means
        # that a key occurs twice, of which the decoder keeps only one.
        if data.count(b'"') != 2 * _texts(raw) + parts.quotes:
            return None
        return grammar.make_record(
            (raw.spec.hash, raw.spec.name, raw.spec.version, raw.spec.namespace, raw.in_buildcache),
            *parts[:5],
        )
    except (msgspec.MsgspecError, RefusedError, RecursionError):
        return None


class _RawSpec(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A node whose parts are decoded by themselves, for they repeat from record to record."""

    name: str
    version: str
    arch: msgspec.Raw
    parameters: msgspec.Raw
    hash: str
    namespace: str | UnsetType = UNSET
    package_hash: str | UnsetType = UNSET
    dependencies: list[msgspec.Raw] | UnsetType = UNSET
    annotations: msgspec.Raw | UnsetType = UNSET
    patches: msgspec.Raw | UnsetType = UNSET
    compiler: msgspec.Raw | UnsetType = UNSET
    external: msgspec.Raw | UnsetType = UNSET
    build_spec: msgspec.Raw | UnsetType = UNSET


class _RawRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    spec: _RawSpec
    ref_count: int | UnsetType = UNSET
    in_buildcache: bool | UnsetType = UNSET


_decode_record = msgspec.json.Decoder(_RawRecord).decode


class _Parts(NamedTuple):
    """What the parts of a record are, as `grammar.make_record` takes them, and their quotes."""

    system: tuple[str, str, str]
    parameters: tuple[Variants, str]
    compiler: str | None
    dependencies: list[Dependency]
    rare: tuple[str | None, str | None]
    quotes: int


def _parts(spec: _RawSpec) -> _Parts:
    system, quotes = _system(_bounded(spec.arch))
    listed = bytes(spec.parameters)
    is_short = len(listed) <= _LONGEST_CACHED
    variants, flags, more = (_parameters if is_short else _long_parameters)(listed)
    quotes += more
    dependencies = []
    for raw in spec.dependencies or ():
        dependency, more = _dependency(_bounded(raw, _LONGEST_DEPENDENCY))
        dependencies.append(dependency)
        quotes += more
    compiler: str | None = None
    rare: tuple[str | None, str | None] = (None, None)
    if spec.annotations is not UNSET:
        compiler, more = _annotations(_bounded(spec.annotations))
        quotes += more
    if spec.compiler is not UNSET:
        compiler, more = _compiler(_bounded(spec.compiler))
        quotes += more
    if spec.patches is not UNSET:
        quotes += _quotes_of_list(bytes(spec.patches))
    if spec.external is not UNSET or spec.build_spec is not UNSET:
        rare, more = _rare(spec)
        quotes += more
    return _Parts(system, (variants, flags), compiler, dependencies, rare, quotes)


def _texts(raw: _RawRecord) -> int:
    """How many texts a record has, keys included, but for those in its parts."""
    spec = raw.spec
    # "spec", and of the spec five keys with three values.
    texts = 1 + 8
    texts += (raw.ref_count is not UNSET) + (raw.in_buildcache is not UNSET)
    texts += 2 * (spec.namespace is not UNSET) + 2 * (spec.package_hash is not UNSET)
    parts = (
        *(spec.dependencies, spec.annotations, spec.patches),
        *(spec.compiler, spec.external, spec.build_spec),
    )
    for part in parts:
        texts += part is not UNSET
    return texts


class _NotOrdinaryError(msgspec.MsgspecError):
    """The record must be read by `general`."""


def _counted(data: bytes, texts: int) -> int:
    """The quotes of a part, if it has as many as so many texts have."""
    quotes = data.count(b'"')
    if quotes != 2 * texts:
        raise _NotOrdinaryError
    return quotes


def _bounded(part: msgspec.Raw, most: int = _LONGEST_CACHED) -> bytes:
    """The bytes of a part, if they are few enough to be kept."""
    data = bytes(part)
    if len(data) > most:
        raise _NotOrdinaryError
    return data


# Parts repeat from record to record, so each spelling of one is read once. The caches are bounded:
# memory must not follow the number of records.


@lru_cache(maxsize=1024)
def _system(data: bytes) -> tuple[tuple[str, str, str], int]:
    raw = _decode_arch(data)
    texts = len(("platform", "platform_os", "target")) + 2
    target = raw.target
    if isinstance(target, str):
        texts += 1
    else:
        keys = (target.name, target.vendor, target.features, target.parents, target.cpupart)
        texts += sum(map(_texts_of, keys)) + (target.generation is not UNSET)
    return grammar.system_of(raw), _counted(data, texts)


def _texts_of(value: str | list[str] | UnsetType) -> int:
    """How many texts a key and its value are; the key may be absent."""
    if isinstance(value, UnsetType):
        return 0
    return 2 if isinstance(value, str) else 1 + len(value)


def _long_parameters(data: bytes) -> tuple[Variants, str, int]:
    parameters: dict[str, Value] = _decode_parameters(data)
    texts = len(parameters)
    for value in parameters.values():
        texts += 1 if isinstance(value, str) else 0 if isinstance(value, bool) else len(value)
    return *grammar.spell_parameters(parameters), _counted(data, texts)


_parameters = lru_cache(maxsize=4096)(_long_parameters)


@lru_cache(maxsize=32_768)
def _dependency(data: bytes) -> tuple[Dependency, int]:
    start = data.find(_HASH_KEY) + len(_HASH_KEY)
    end = start + len(_ANY_HASH)
    if start < len(_HASH_KEY) or not _HASH.fullmatch(data, start, end):
        raise _NotOrdinaryError
    # But for the hash there are few.
    alike, quotes = _any_dependency(data[:start] + _ANY_HASH + data[end:])
    return Dependency(data[start:end].decode(), *alike[1:]), quotes


@lru_cache(maxsize=8192)
def _any_dependency(data: bytes) -> tuple[Dependency, int]:
    raw = _decode_dependency(data)
    texts = sum(map(_texts_of, (raw.name, raw.hash, raw.full_hash, raw.build_hash)))
    texts += 0 if isinstance(raw.type, UnsetType) else 1 + len(raw.type)
    edge = raw.parameters
    if isinstance(edge, grammar.RawEdge):
        texts += 2 + len(edge.deptypes) + _texts_of(edge.virtuals)
    return grammar.dependency_of(raw), _counted(data, texts)


@lru_cache(maxsize=1024)
def _annotations(data: bytes) -> tuple[str | None, int]:
    raw = _decode_annotations(data)
    texts = (raw.original_specfile_version is not UNSET) + (raw.compiler is not UNSET)
    return grammar.compiler_noted(raw), _counted(data, texts + isinstance(raw.compiler, str))


@lru_cache(maxsize=1024)
def _compiler(data: bytes) -> tuple[str | None, int]:
    raw = _decode_compiler(data)
    return grammar.compiler_of(raw), _counted(data, len(("name", "version")) + 2)


def _quotes_of_list(data: bytes) -> int:
    return _counted(data, len(_decode_texts(data)))


def _rare(spec: _RawSpec) -> tuple[tuple[str | None, str | None], int]:
    quotes = 0
    build_spec = external = None
    if spec.build_spec is not UNSET:
        data = bytes(spec.build_spec)
        build_spec = grammar.build_spec_of(_decode_build_spec(data))
        quotes += _counted(data, len(("name", "hash")) + 2)
    if spec.external is not UNSET:
        data = bytes(spec.external)
        raw = _decode_external(data)
        if raw.extra_attributes is not UNSET and bytes(raw.extra_attributes) != b"{}":
            # Whether a key occurs twice in there, `general` sees.
            raise _NotOrdinaryError
        external = grammar.external_of(raw)
        texts = _texts_of_place(raw.path) + _texts_of_place(raw.module)
        quotes += _counted(data, texts + (raw.extra_attributes is not UNSET))
    return (build_spec, external), quotes


def _texts_of_place(value: str | list[str] | UnsetType | None) -> int:
    return 1 if value is None else _texts_of(value)
