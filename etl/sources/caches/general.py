"""Read any record, and any index, or explain what is wrong: with json, record by record.

Memory follows one record: an index is read through a window that moves over its file.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from etl.errors import Refusal, RefusedError
from etl.problems import MOST_NAMES
from etl.sources.bounds import has_control, printable, shortened
from etl.sources.caches import grammar
from etl.sources.caches.grammar import RawRecord, Record, refuse
from etl.sources.caches.manifests import DATABASE_VERSIONS
from etl.sources.caches.spans import Span
from etl.sources.content import FileBytes

_WINDOWS = (2048, 65_536, grammar.MAX_RECORD + 1)
_WINDOWS_OF_KEYS = (64, *_WINDOWS)
_NO_SPACE = re.compile(rb"[^ \t\r\n]")
_SPACE_AT_ONCE = 64
_MOST_KEYS = 1_000
# `-Infinity`, or an escape for two halves of a character: where one is cut off, JSON is wrong.
_LONGEST_TOKEN = 12
_RECORD_KEYS = frozenset({"spec", "in_buildcache"})
# Of no use here, and what Spack's database on a disk, not that of a build cache, has besides.
_INSTALLATION_KEYS = frozenset(
    {"ref_count", "path", "installed", "explicit", "installation_time", "origin", "deprecated_for"}
)
_NOT_LOADED = ("concrete", "package_hash", "patches", "full_hash", "build_hash", "process_hash")
_SPEC_KEYS = frozenset({*grammar.RawSpec.__struct_fields__, "parameters", *_NOT_LOADED})
_NOT_CONCRETE = ("propagate", "abstract")
NODES_BY_NAME = "5"
"""The version of database whose nodes and dependencies stand under their names."""

Unknown = Counter[tuple[str, str]]
"""(place, key) → how often a key that nobody knows occurs."""

MORE_KEYS = ("", "")
"""Counts the keys beyond those that are named."""


def read_record(data: bytes, version: str, unknown: Unknown) -> Record:
    """Read the bytes of a record.

    Args:
        data: the record, one JSON value.
        version: of the database.
        unknown: where keys that nobody knows are counted.

    Raises:
        RefusedError: with the reason why it cannot be loaded.
    """
    if len(data) > grammar.MAX_RECORD:
        raise refuse("too-large", f"more than {grammar.MAX_RECORD:,} bytes")
    found = _decode(data)
    if not isinstance(found, dict):
        raise refuse("type", f"it is {_kind(found)}, expected an object")
    if "spec" not in found:
        raise refuse("missing-key", "it has no `spec`")
    spec = found["spec"]
    if not isinstance(spec, dict):
        raise refuse("type", f"`spec` is {_kind(spec)}, expected an object")
    if version == NODES_BY_NAME:
        spec = _flat(spec)
    if spec.get("concrete") is False or any(key in spec for key in _NOT_CONCRETE):
        raise refuse("abstract", "the spec is not concrete")
    found["spec"] = _known(spec, _SPEC_KEYS, "spec", unknown)
    found = _known(found, _RECORD_KEYS | _INSTALLATION_KEYS, "record", unknown)
    for key in _INSTALLATION_KEYS:
        found.pop(key, None)
    for key in _NOT_LOADED:
        found["spec"].pop(key, None)
    _tidy(found["spec"], unknown)
    parameters = _parameters(found["spec"])
    return grammar.record_of(_convert(found), parameters)


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise refuse("encoding", f"it is not UTF-8: {error.reason}") from None
    except RecursionError:
        raise refuse("json", "it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise refuse("json", f"it is not valid JSON: {error.msg}") from None
    except ValueError:
        raise refuse("type", "it holds a number that is too long") from None


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        twice = next(key for key, count in Counter(k for k, _ in items).items() if count > 1)
        raise refuse("duplicate-key", f"it has an object with two keys {shortened(twice, 60)!r}")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise refuse("type", f"it holds {name}, which is no JSON")


def _flat(spec: dict[str, Any]) -> dict[str, Any]:
    """A node of database 5 in the form of later ones."""
    if len(spec) != 1:
        raise refuse("type", f"`spec` has {len(spec)} names, expected one")
    ((name, node),) = spec.items()
    if not isinstance(node, dict):
        raise refuse("type", f"`spec` holds {_kind(node)}, expected an object")
    flat = {"name": name, **node}
    dependencies = node.get("dependencies")
    if isinstance(dependencies, dict):
        if not all(isinstance(edge, dict) for edge in dependencies.values()):
            raise refuse("type", "a dependency is no object")
        flat["dependencies"] = [{"name": key, **edge} for key, edge in dependencies.items()]
    return flat


def _known(
    found: dict[str, Any], keys: frozenset[str], place: str, unknown: Unknown
) -> dict[str, Any]:
    """What of an object is known; the rest is counted."""
    others = found.keys() - keys
    for key in sorted(others):
        if has_control(key):
            raise refuse("encoding", f"a key of the {place} holds a control character")
        named = (place, shortened(key))
        if named in unknown or len(unknown) < MOST_NAMES:
            unknown[named] += 1
        else:
            unknown[MORE_KEYS] += 1
    return {key: value for key, value in found.items() if key in keys} if others else found


def _tidy(spec: dict[str, Any], unknown: Unknown) -> None:
    """Take out what is known to say nothing, and count what is not known."""
    for key, shape in (("arch", grammar.RawArch), ("annotations", grammar.RawAnnotations)):
        if isinstance(spec.get(key), dict):
            spec[key] = _known(spec[key], frozenset(shape.__struct_fields__), key, unknown)
    arch = spec.get("arch")
    if isinstance(arch, dict) and isinstance(arch.get("target"), dict):
        # But for its name archspec knows better what a target is.
        target = arch["target"]
        arch["target"] = {"name": target["name"]} if "name" in target else {}
    if isinstance(spec.get("external"), dict):
        # What Spack found out about an external one; of any shape.
        spec["external"].pop("extra_attributes", None)
    if isinstance(spec.get("dependencies"), list):
        edge = frozenset(grammar.RawDependency.__struct_fields__)
        spec["dependencies"] = [
            _known(one, edge, "dependency", unknown) if isinstance(one, dict) else one
            for one in spec["dependencies"]
        ]


def _parameters(spec: dict[str, Any]) -> dict[str, grammar.Value]:
    """The parameters, which are taken out."""
    parameters = spec.pop("parameters", {})
    if not isinstance(parameters, dict):
        raise refuse("type", f"`parameters` is {_kind(parameters)}, expected an object")
    for key, value in parameters.items():
        texts = value if isinstance(value, list) else [value]
        if not isinstance(value, bool) and not all(isinstance(text, str) for text in texts):
            message = "expected true, false, a text or a list of texts"
            raise refuse("type", f"the parameter {shortened(key)!r} is {_kind(value)}, {message}")
    return parameters


def _convert(found: dict[str, Any]) -> RawRecord:
    try:
        return msgspec.convert(found, RawRecord)
    except msgspec.ValidationError as error:
        kind = "missing-key" if "missing required field" in str(error) else "type"
        # It names keys as they are.
        raise refuse(kind, shortened(printable(str(error)))) from None
    except UnicodeEncodeError:
        raise refuse("encoding", "it holds a lone surrogate") from None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")


class _Scanner:
    """Reads JSON from a file, one value at a time."""

    def __init__(self, data: FileBytes) -> None:
        self._data = data
        self.place = 0

    def space(self) -> None:
        most = _SPACE_AT_ONCE
        while part := self._data[self.place : self.place + most]:
            found = _NO_SPACE.search(part)
            self.place += found.start() if found else len(part)
            if found:
                return
            most = grammar.MAX_RECORD

    def take(self, mark: str) -> bool:
        """Go behind a mark if it is next."""
        self.space()
        if self._data[self.place : self.place + 1] == mark.encode():
            self.place += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(f"expected {mark}")

    def fail(self, what: str) -> NoReturn:
        if self.place >= len(self._data):
            raise refuse("json", f"the index ends too early: {what}")
        line = _line(self._data, self.place)
        raise RefusedError(Refusal(line, "json", f"not valid JSON: {what}"))

    def value(self, windows: Sequence[int] = _WINDOWS) -> tuple[Any, int, int]:
        """The next value, and where it begins and ends."""
        self.space()
        start = self.place
        for size in windows:
            part = self._data[start : start + size]
            is_whole = start + size >= len(self._data)
            text = part.decode("utf-8", "surrogateescape")
            try:
                found, length = _decoder.raw_decode(text)
            except RecursionError:
                self.fail("a value is nested too deeply")
            except json.JSONDecodeError as error:
                if is_whole or _is_no_cut(error, text):
                    self.place += len(text[: error.pos].encode("utf-8", "surrogateescape"))
                    self.fail(error.msg)
                continue
            except ValueError:
                self.fail("a number is too long")
            if is_whole or length < len(text):
                self.place += len(text[:length].encode("utf-8", "surrogateescape"))
                return found, start, self.place
        self._fail_in(start)
        raise AssertionError

    def _fail_in(self, start: int) -> None:
        message = f"a value has more than {grammar.MAX_RECORD:,} bytes, or is not valid JSON"
        raise RefusedError(Refusal(_line(self._data, start), "too-large", message))

    def key(self) -> str:
        key, _, _ = self.value(_WINDOWS_OF_KEYS)
        if not isinstance(key, str):
            self.fail("expected a key")
        self.expect(":")
        return key

    def items(self) -> Iterator[str]:
        """The keys of the next object; the value behind each is to be read before the next key."""
        if not self.take("{"):
            if self.place < len(self._data):
                found, _, _ = self.value()
                raise refuse("type", f"the index has {_kind(found)} where an object is expected")
            self.fail("expected {")
        if self.take("}"):
            return
        while True:
            self.space()
            yield self.key()
            if self.take("}"):
                return
            self.expect(",")


def _is_no_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Whether what is wrong with a part of a text is not that it ends there."""
    return not error.msg.startswith("Unterminated") and error.pos < len(text) - _LONGEST_TOKEN


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def _line(data: FileBytes, place: int) -> int:
    """The line of a place, for messages; 0 in a file of one line, where it says nothing."""
    newlines = 0
    for start in range(0, place, grammar.MAX_RECORD):
        newlines += data[start : min(start + grammar.MAX_RECORD, place)].count(b"\n")
    return newlines + 1 if newlines else 0


def read_version(data: FileBytes) -> str:
    """The version of an index.

    Raises:
        RefusedError: it has none, or one that cannot be read.
    """
    scanner = _Scanner(data)
    has_database = False
    for key in _each_once(scanner.items()):
        if key != "database":
            scanner.value()
            continue
        has_database = True
        for inner in _each_once(scanner.items()):
            if inner == "version":
                return _version(scanner.value()[0])
            if inner == "installs":
                for _ in scanner.items():
                    scanner.value()
            else:
                scanner.value()
    if not has_database:
        raise refuse("missing-key", "the index has no `database`")
    raise refuse("database-version", "the index does not say of which version it is")


def _version(found: object) -> str:
    if isinstance(found, str) and found in map(str, DATABASE_VERSIONS):
        return found
    expected = f"expected a text from {DATABASE_VERSIONS[0]} to {DATABASE_VERSIONS[-1]}"
    raise refuse("database-version", f"version of the index is {found!r:.60}, {expected}")


def spans(data: FileBytes, unknown: Unknown) -> Iterator[Span]:
    """Where the records of an index are.

    Args:
        data: the index.
        unknown: where keys that nobody knows are counted.

    Raises:
        RefusedError: it is no such index.
    """
    scanner = _Scanner(data)
    has_installs = False
    for key in _each_once(scanner.items()):
        if key != "database":
            scanner.value()
            _known({key: None}, frozenset(), "index", unknown)
            continue
        for inner in _each_once(scanner.items()):
            if inner == "installs":
                has_installs = True
                yield from _records(scanner)
            else:
                scanner.value()
                _known({inner: None}, frozenset({"version"}), "database", unknown)
    scanner.space()
    if scanner.place < len(data):
        scanner.fail("there is text behind the index")
    if not has_installs:
        raise refuse("missing-key", "the index has no `database` with `installs`")


def _each_once(keys: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for key in keys:
        if len(seen) == _MOST_KEYS:
            raise refuse("too-large", f"the index has more than {_MOST_KEYS:,} keys beside records")
        if key in seen:
            raise refuse("duplicate-key", f"the index has two keys {shortened(key, 60)!r}")
        seen.add(key)
        yield key


def _records(scanner: _Scanner) -> Iterator[Span]:
    for number, key in enumerate(scanner.items(), start=1):
        if number > grammar.MAX_RECORDS:
            most = f"expected at most {grammar.MAX_RECORDS:,}"
            raise refuse("too-large", f"the index has more records, {most}")
        grammar.check_hash(key)
        try:
            _, start, end = scanner.value()
        except RefusedError as error:
            (line, kind, message), *_ = error.refusals
            raise RefusedError(Refusal(line, kind, f"record {key}: {message}")) from None
        yield Span(key, start, end)
