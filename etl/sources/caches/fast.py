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
from mmap import mmap

import msgspec
from msgspec import UNSET

from etl.errors import RefusedError
from etl.sources.caches import grammar
from etl.sources.caches.grammar import RawDependency, RawRecord, Record, Value
from etl.sources.caches.spans import Header, Span
from etl.spelling import Variants

_HEAD = re.compile(rb'\{"database":\{"version":"(\d{1,4})","installs":\{', re.ASCII)
_TAIL = b"}}}"
_START = re.compile(rb'"([a-z2-7]{32})":(?=\{"spec":\{)')
_OUTER_QUOTES = 2 * len(("spec",))
_LONGEST_CACHED = 4_000

_decode_record = msgspec.json.Decoder(RawRecord).decode
_decode_parameters = msgspec.json.Decoder(dict[str, bool | str | list[str]]).decode


def read_header(data: mmap) -> Header | None:
    """Where the records of an index are; None if it is not laid out as Spack writes it."""
    head = _HEAD.match(data)
    end = len(data)
    while end and data[end - 1] in b" \t\r\n":
        end -= 1
    if not head or data[max(0, end - len(_TAIL)) : end] != _TAIL:
        return None
    if end - len(_TAIL) < head.end():
        return None
    return Header(head[1].decode(), head.end(), end - len(_TAIL))


def spans(data: mmap, header: Header, start: int, end: int) -> Iterator[Span] | None:
    """The records that begin in a part of an index; None if one is not laid out as expected.

    Args:
        data: the index.
        header: where its records are.
        start: where the part begins.
        end: where it ends.
    """
    found = list(_START.finditer(data, start, min(end + 64, header.end)))
    found = [match for match in found if match.start() < end]
    if start == header.start and (found[0].start() if found else header.end) != start:
        return None
    following = _START.search(data, found[-1].end(), header.end) if found else None
    stops = [match.start() - 1 for match in found[1:]]
    if found:
        stops.append(following.start() - 1 if following else header.end)
    result = []
    for match, stop in zip(found, stops, strict=True):
        if stop < header.end and data[stop] != ord(","):
            return None
        result.append(Span(match[1].decode(), match.end(), stop))
    return iter(result)


def read_record(data: bytes) -> Record | None:
    """Read an ordinary record; None if `general.read_record` must look at it."""
    if len(data) > grammar.MAX_RECORD or not data.isascii() or b"\\" in data or b"\x7f" in data:
        return None
    try:
        raw = _decode_record(data)
        variants, flags, quotes = _parameters(bytes(raw.spec.parameters))
        if data.count(b'"') != quotes + _quotes(raw):
            return None
        return grammar.record_with(raw, variants, flags)
    except (msgspec.MsgspecError, RefusedError, RecursionError):
        return None


def _parameters(data: bytes) -> tuple[Variants, str, int]:
    return (_short_parameters if len(data) <= _LONGEST_CACHED else _long_parameters)(data)


def _long_parameters(data: bytes) -> tuple[Variants, str, int]:
    parameters: dict[str, Value] = _decode_parameters(data)
    quotes = 2 * len(parameters)
    for value in parameters.values():
        if isinstance(value, str):
            quotes += 2
        elif not isinstance(value, bool):
            quotes += 2 * len(value)
    return *grammar.spell_parameters(parameters), quotes


# Parameters repeat from spec to spec, so each spelling of some is read once.
_short_parameters = lru_cache(maxsize=4096)(_long_parameters)


def _quotes(raw: RawRecord) -> int:
    """How many quotes a record has but for its parameters, if no key of it occurs twice.

    Without backslashes every text has two.
    """
    spec = raw.spec
    texts = len(("spec", "name", "version", "arch", "parameters", "hash"))
    texts += len((spec.name, spec.version, spec.hash))
    texts += (raw.ref_count is not UNSET) + (raw.in_buildcache is not UNSET)
    for value in (
        *(spec.namespace, spec.package_hash, spec.patches, spec.dependencies),
        *(spec.full_hash, spec.build_hash, spec.process_hash),
    ):
        texts += _texts_of(value)
    texts += _texts_of_arch(spec.arch)
    for one in spec.dependencies or ():
        texts += _texts_of_dependency(one)
    return 2 * (texts + _texts_of_rare(spec))


def _texts_of(value: object) -> int:
    """How many texts a key and its value are; the key may be absent."""
    if value is UNSET:
        return 0
    if isinstance(value, str):
        return 2
    # Of a list of objects it is the key alone.
    return 1 + (sum(isinstance(one, str) for one in value) if isinstance(value, list) else 0)


def _texts_of_arch(arch: grammar.RawArch) -> int:
    texts = len(("platform", "platform_os", "target")) + 2
    target = arch.target
    if isinstance(target, str):
        return texts + 1
    keys = (target.name, target.vendor, target.features, target.parents, target.cpupart)
    return texts + sum(map(_texts_of, keys)) + (target.generation is not UNSET)


def _texts_of_dependency(one: RawDependency) -> int:
    # The name; most have a hash and parameters besides.
    edge = one.parameters
    if isinstance(edge, grammar.RawEdge):
        texts = 2 + 1 + 1 + len(edge.deptypes)
        texts += 1 + len(edge.virtuals) if isinstance(edge.virtuals, list) else 0
    else:
        texts = 2
    if isinstance(one.hash, str) and one.type is UNSET:
        texts += 2
        if one.full_hash is UNSET and one.build_hash is UNSET:
            return texts
        return texts + _texts_of(one.full_hash) + _texts_of(one.build_hash)
    return texts + sum(map(_texts_of, (one.hash, one.type, one.full_hash, one.build_hash)))


def _texts_of_rare(spec: grammar.RawSpec) -> int:
    texts = 0
    if isinstance(spec.compiler, grammar.RawCompiler):
        texts += len(("compiler", "name", "version")) + 2
    if isinstance(spec.annotations, grammar.RawAnnotations):
        texts += 1 + (spec.annotations.original_specfile_version is not UNSET)
        texts += _texts_of(spec.annotations.compiler)
    if isinstance(spec.build_spec, grammar.RawBuildSpec):
        texts += len(("build_spec", "name", "hash")) + 2
    if spec.external is None:
        texts += 1
    elif isinstance(spec.external, grammar.RawExternal):
        texts += 1 + _texts_of(spec.external.path) + _texts_of(spec.external.module)
        extra = spec.external.extra_attributes
        # What is in there is not loaded; that no key of it occurs twice, `general` sees.
        texts += 0 if extra is UNSET else 1
    return texts
