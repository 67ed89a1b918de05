"""Read any page: split the front matter, parse it, validate each value → `Page`, or explain why.

Rules of the source: a page is YAML front matter between two `---` lines. `meta` and
`spec_details` are one line of JSON each, written by `json.dumps`; where they are, a JSON parser
reads them, because YAML parsers are slow and read surrogate pairs and `1e+20` differently.

Memory follows what is kept, not what a hostile page holds: no copy of the page is made, the
objects of `spec_details` are read one after the other, and YAML is read from the parser's events.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NoReturn

import yaml

from etl.errors import Refusal, RefusedError
from etl.order import parse_release
from etl.problems import MOST_OF_A_KIND, more_of_a_kind
from etl.records import Facts, Spec
from etl.sources import bounds
from etl.sources.content import too_large
from etl.sources.pages import grammar
from etl.sources.pages.grammar import Meta, Page
from etl.spelling import Stacks, Variants, spell_compiler, spell_stacks, spell_variants

_BOM = codecs.BOM_UTF8
_FENCE = re.compile(rb"---[^\S\n]*$", re.MULTILINE)
_LINE_OF_FENCE = re.compile(rb"^---[^\S\n]*$", re.MULTILINE)
_ONE_LINE = re.compile(rb"(meta|spec_details):[ \t]+([{\[].*)", re.DOTALL)
_STAND_IN = "the value stands on one line of JSON"
# In a page as a whole, tabs and both ends of lines (\n, \r\n) may stand. In UTF-8 the control
# characters from U+0080 on are these two bytes.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\r(?!\n|\Z)")
# YAML knows more ends of lines than \n. Its parser compares every directive with all others.
_DIRECTIVE = re.compile(r"(?<![^\n\u2028\u2029])%")
_JSON_SPACE = re.compile(rb"[ \t\n\r]*")
# The bytes of a character in UTF-8 but the first one.
_INSIDE_CHARACTERS = bytes(range(0x80, 0xC0))
_CHUNK = 1024 * 1024
_SLICES = (4096, 65_536, grammar.MAX_RECORD + 1)
_TEXT_KEYS = frozenset({"title", "layout", "categories"})


def read_page(data: bytes) -> Page:
    """Read the bytes of a page.

    Raises:
        RefusedError: with the reasons why it cannot be loaded.
    """
    _check_encoding(data)
    start, end, behind = _split(data)
    top = _parse(data, start, end)
    return _validate(top, data[behind:].decode())


def _refuse(line: int, kind: str, message: str) -> NoReturn:
    raise RefusedError(Refusal(line, kind, message))


def _check_encoding(data: bytes) -> None:
    if len(data) > grammar.MAX_BYTES:
        raise RefusedError(too_large(len(data), grammar.MAX_BYTES))
    if not data.strip():
        _refuse(0, "empty", "the page is empty, expected front matter between two --- lines")
    if not data.isascii():
        _check_utf8(data)
    if found := _CONTROL.search(data):
        character = found[0].decode()
        name = "a NUL" if character == "\0" else f"the control character U+{ord(character):04X}"
        _refuse(data.count(b"\n", 0, found.start()) + 1, "encoding", f"the line holds {name}")


def _check_utf8(data: bytes) -> None:
    # In parts, since a text can take four times as much memory as its bytes.
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _CHUNK):
        end = start + _CHUNK
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start:end], final=end >= len(data))
        except UnicodeDecodeError as error:
            place = start - waiting + error.start
            line = data.count(b"\n", 0, place) + 1
            _refuse(line, "encoding", f"byte 0x{data[place]:02x} is not UTF-8: {error.reason}")


def _split(data: bytes) -> tuple[int, int, int]:
    """Where the front matter begins and ends, and where the text behind it begins."""
    # By lines that end at \n only, and without a list of them: there can be millions.
    first = _FENCE.match(data, len(_BOM) if data.startswith(_BOM) else 0)
    if not first:
        found = _short(data.partition(b"\n")[0][:_CHUNK].decode("utf-8-sig", "ignore"))
        _refuse(1, "front-matter", f"found {found}, expected --- as the first line")
    last = _LINE_OF_FENCE.search(data, first.end())
    if not last:
        line = data.count(b"\n") + 1
        _refuse(line, "front-matter", "the page ends before the --- that closes the front matter")
    return first.end() + 1, last.start(), last.end()


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


@dataclass(frozen=True, slots=True)
class _Top:
    """The front matter: the values of its keys and the lines on which the keys stand."""

    values: dict[str, Any]
    lines: dict[str, int]


def _parse(data: bytes, start: int, end: int) -> _Top:
    if data.count(b"\n", start, end) > grammar.MAX_YAML:
        _refuse(2, "too-large", f"more than {grammar.MAX_YAML:,} lines of YAML")
    cut: dict[str, Any] = {}
    broken: Refusal | None = None
    short: list[str] = []
    size = 0
    for number, line in enumerate(_lines(data, start, end), start=2):
        value = _without_space_behind(line)
        one_line = _ONE_LINE.fullmatch(value)
        key = one_line[1].decode() if one_line else ""
        if one_line and key not in cut:
            column = one_line.start(2)
            try:
                cut[key] = _parse_json(key, value[column:], number)
                # A text instead of the value: YAML then refuses lines that would continue it.
                short.append(f'{key}: "{_STAND_IN}"')
                continue
            except json.JSONDecodeError as error:
                broken = broken or Refusal(
                    number,
                    "json",
                    f"{key} is not valid JSON at column {column + error.colno}: {error.msg}",
                )
        size += len(line)
        # Characters are counted later; there are as many as bytes at most, and a fourth at least.
        short.append(str(line, "utf-8") if size <= 4 * grammar.MAX_YAML else "")
    if size > 4 * grammar.MAX_YAML:
        raise RefusedError(broken or _too_much_yaml(size))
    try:
        top = _parse_yaml("\n".join(short))
    except RefusedError as bad:
        # A value that looks like JSON and is no YAML either was meant as JSON.
        raise RefusedError(broken) if broken else bad from None
    for key in cut:
        if top.values.get(key) != _STAND_IN:
            _refuse(top.lines.get(key, 2), "yaml", f"a line of {key} is inside another value")
    return _Top({**top.values, **cut}, top.lines)


def _lines(data: bytes, start: int, end: int) -> Iterator[memoryview]:
    """The lines of the front matter, none of them copied."""
    view = memoryview(data)
    while start <= end:
        stop = data.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        yield view[start:stop]
        start = stop + 1


def _without_space_behind(line: memoryview) -> memoryview:
    last = len(line)
    while last and line[last - 1] in b" \t\r":
        last -= 1
    return line[:last]


def _parse_json(key: str, text: memoryview, line: int) -> Any:
    """The value of `meta`, or the specs of `spec_details`.

    Raises:
        RefusedError: it is JSON, but such as must not be.
        json.JSONDecodeError: it is no JSON.
    """
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda items: _object(key, items, line),
        parse_constant=lambda name: _refuse(line, "type", f"{key} holds {name}, which is no JSON"),
    )
    try:
        if key == "spec_details" and text[0] == ord("["):
            return _read_specs(_records(decoder, text, line), line)
        if len(text) > grammar.MAX_META:
            most = f"expected at most {grammar.MAX_META:,}"
            _refuse(line, "too-large", f"{key} has {len(text):,} bytes, {most}")
        return decoder.decode(str(text, "utf-8"))
    except RecursionError:
        _refuse(line, "json", f"{key} is nested too deeply")
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python refuses to read numbers of thousands of digits.
        _refuse(line, "type", f"{key} holds a number that is too long")


def _object(key: str, items: list[tuple[str, Any]], line: int) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        twice = next(name for name, count in Counter(k for k, _ in items).items() if count > 1)
        _refuse(line, "duplicate-key", f"{key} has an object with two keys {_short(twice)}")
    return found


def _records(decoder: json.JSONDecoder, text: memoryview, line: int) -> Iterator[Any]:
    """The values of a JSON array, one after the other.

    Raises:
        RefusedError: there are too many, or one is too large.
        json.JSONDecodeError: it is no JSON.
    """
    place = _behind_space(text, 1)
    if _is_at(text, place, "]"):
        _end(text, place + 1)
        return
    number = 0
    while True:
        number += 1
        if number > grammar.MAX_SPECS:
            most = f"expected at most {grammar.MAX_SPECS:,}"
            _refuse(line, "too-large", f"spec_details has more values, {most}")
        value, place = _record(decoder, text, place, f"spec {number}", line)
        yield value
        place = _behind_space(text, place)
        if _is_at(text, place, "]"):
            _end(text, place + 1)
            return
        if not _is_at(text, place, ","):
            raise _no_json("Expecting ',' delimiter", text, place)
        place = _behind_space(text, place + 1)


def _record(
    decoder: json.JSONDecoder, text: memoryview, start: int, name: str, line: int
) -> tuple[Any, int]:
    """One value and the place behind it.

    It is read from a slice, a larger one if it does not end there, so that a value that is too
    large is never built.
    """
    for size in _SLICES:
        part = str(text[start : start + size], "utf-8", "ignore")
        is_whole = start + size >= len(text)
        try:
            value, length = decoder.raw_decode(part)
        except json.JSONDecodeError as error:
            if is_whole or _is_wrong_before_the_cut(error, part):
                place = start + len(part[: error.pos].encode())
                raise _no_json(error.msg, text, place) from None
            continue
        if is_whole or length < len(part):
            return value, start + len(part[:length].encode())
    most = f"expected at most {grammar.MAX_RECORD:,}"
    _refuse(line, "too-large", f"{name} has more bytes, {most}")


def _is_wrong_before_the_cut(error: json.JSONDecodeError, part: str) -> bool:
    """Whether a slice is no JSON for another reason than that it ends too early."""
    # An escape of a character has up to twelve characters (two halves of one).
    return error.pos < len(part) - 12 and not error.msg.startswith("Unterminated string")


def _is_at(text: memoryview, place: int, mark: str) -> bool:
    return place < len(text) and text[place] == ord(mark)


def _behind_space(text: memoryview, place: int) -> int:
    found = _JSON_SPACE.match(text, place)
    return found.end() if found else place


def _end(text: memoryview, place: int) -> None:
    if (place := _behind_space(text, place)) < len(text):
        raise _no_json("Extra data", text, place)


def _no_json(reason: str, text: memoryview, place: int) -> json.JSONDecodeError:
    """The error at a place in bytes, which it counts in characters."""
    before = bytes(text[:place])
    return json.JSONDecodeError(reason, "", len(before.translate(None, _INSIDE_CHARACTERS)))


def _too_much_yaml(size: int) -> Refusal:
    most = f"expected at most {grammar.MAX_YAML:,}"
    return Refusal(2, "too-large", f"{size:,} characters of YAML, {most}")


def _parse_yaml(text: str) -> _Top:
    if len(text) > grammar.MAX_YAML:
        raise RefusedError(_too_much_yaml(len(text)))
    if found := _DIRECTIVE.search(text):
        line = text.count("\n", 0, found.start()) + 2
        _refuse(line, "yaml", "a directive (%), which no page has")
    try:
        return _read_top(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        line, where = 2, ""
        if mark := error.problem_mark or error.context_mark:
            line, where = int(mark.line) + 2, f" at column {mark.column + 1}"
        what = error.problem or error.context
        _refuse(line, "yaml", f"the front matter is not valid YAML{where}: {what}")
    except yaml.YAMLError as error:
        _refuse(2, "yaml", f"the front matter is not valid YAML: {_one_line(error)}")


def _line_of(event: yaml.Event) -> int:
    """Line in the file: the front matter starts on its second, and YAML counts from 0."""
    return (event.start_mark.line if event.start_mark else 0) + 2


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_top(events: Iterator[Any]) -> _Top:
    _stream, _document, first = next(events), next(events, None), next(events, None)
    if not isinstance(first, yaml.MappingStartEvent):
        _check_rest(first, events)
        _refuse(2, "front-matter", "the front matter is not a list of `key: value` lines")
    _refuse_tricks(first, 1)
    top = _Top({}, {})
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(event, top.values, "front matter", 1)
        top.lines[key] = _line_of(event)
        top.values[key] = _value(next(events), events, 1, as_text=key in _TEXT_KEYS)
    _document_end, another = next(events), next(events)
    if isinstance(another, yaml.DocumentStartEvent):
        _refuse(_line_of(another), "yaml", "there is another YAML document")
    return top


def _check_rest(first: Any, events: Iterator[Any]) -> None:
    """Tell what is wrong with YAML that is no mapping, if more than that is."""
    depth = 0
    for event in chain((first,), events) if first else ():
        depth += isinstance(event, yaml.CollectionStartEvent)
        _refuse_tricks(event, depth)
        depth -= isinstance(event, yaml.CollectionEndEvent)


def _value(event: Any, events: Iterator[Any], depth: int, *, as_text: bool = False) -> Any:
    """Build a value from the parser's events, so that nothing hostile is ever built.

    `title`, `layout` and `categories` are text whatever they look like.
    """
    depth += isinstance(event, yaml.CollectionStartEvent)
    _refuse_tricks(event, depth)
    if isinstance(event, yaml.ScalarEvent):
        return event.value if as_text else _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_value(item, events, depth, as_text=as_text))
        return items
    found: dict[str, Any] = {}
    place = f"object on line {_line_of(event)}"
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(event, found, place, depth)
        found[key] = _value(next(events), events, depth)
    return found


def _key(event: Any, seen: Mapping[str, object], place: str, depth: int) -> str:
    _refuse_tricks(event, depth + isinstance(event, yaml.CollectionStartEvent))
    if not isinstance(event, yaml.ScalarEvent):
        _refuse(_line_of(event), "type", f"{place}: a key is not a text")
    if event.value in seen:
        _refuse(_line_of(event), "duplicate-key", f"{place}: two keys {_short(event.value)}")
    return str(event.value)


def _refuse_tricks(event: Any, depth: int) -> None:
    """Refuse what only hostile YAML has."""
    line = _line_of(event)
    if isinstance(event, yaml.AliasEvent):
        _refuse(line, "yaml", f"an alias (*{_short(event.anchor)}), which no page has")
    if anchor := getattr(event, "anchor", None):
        _refuse(line, "yaml", f"an anchor (&{_short(anchor)}), which no page has")
    if tag := getattr(event, "tag", None):
        _refuse(line, "yaml", f"a tag ({_short(tag)}), which no page has")
    if depth > grammar.MAX_DEPTH:
        _refuse(line, "yaml", f"nested deeper than {grammar.MAX_DEPTH} levels")


def _scalar(event: Any) -> Any:
    """What PyYAML's safe loader makes of a scalar; in quotes it is always a text."""
    if not event.implicit[0]:
        return event.value
    tag = _resolver.resolve(yaml.ScalarNode, event.value, (True, False))
    if tag == "tag:yaml.org,2002:str":
        return event.value
    if len(event.value) > grammar.MAX_SCALAR:
        _refuse(_line_of(event), "type", f"a number of more than {grammar.MAX_SCALAR} characters")
    try:
        return _constructor.construct_object(yaml.ScalarNode(tag, event.value))
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        _refuse(_line_of(event), "type", f"unreadable value: {_one_line(error)}")


_resolver: Any = yaml.resolver.Resolver()
_constructor: Any = yaml.constructor.SafeConstructor()


class _Faults:
    """Collects what is wrong with a page.

    The same fault of many specs becomes one line; of one kind only the first are told.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[int, str, str], str] = {}
        self._again: Counter[tuple[int, str, str]] = Counter()
        self._told: Counter[str] = Counter()
        self._untold: dict[str, tuple[int, int]] = {}

    def add(self, line: int, kind: str, text: str, where: str, times: int = 1) -> None:
        fault = (line, kind, text)
        if fault in self._first:
            self._again[fault] += times
        elif self._told[kind] < MOST_OF_A_KIND:
            self._told[kind] += 1
            self._first[fault] = where
            self._again[fault] = times - 1
        else:
            first_line, count = self._untold.get(kind, (line, 0))
            self._untold[kind] = first_line, count + times

    def extend(self, others: "_Faults") -> None:
        """Take over the faults that were collected by another."""
        for fault, where in others._first.items():
            self.add(*fault, where, times=1 + others._again[fault])
        for kind, (line, count) in others._untold.items():
            self._untold[kind] = line, self._untold.get(kind, (0, 0))[1] + count

    def refusals(self) -> Iterator[Refusal]:
        for fault, where in self._first.items():
            line, kind, text = fault
            again = f" (and {self._again[fault]:,} more specs)" if self._again[fault] else ""
            yield Refusal(line, kind, f"{where}{text}{again}")
        for kind, (line, count) in self._untold.items():
            yield Refusal(line, kind, more_of_a_kind(count))

    def __bool__(self) -> bool:
        return bool(self._first)


class _Unknown:
    """Counts keys that nobody knows, by place; only the first ones are named."""

    def __init__(self) -> None:
        self.named: Counter[tuple[str, str]] = Counter()
        self.more = 0

    def add(self, place: str, keys: Iterable[str], times: int = 1) -> None:
        for key in keys:
            # One that nobody knows may hold anything, and must be stored.
            shown = bounds.shortened(
                key.encode("unicode_escape").decode() if bounds.control_in(key) else key
            )
            if (place, shown) in self.named or len(self.named) < MOST_OF_A_KIND:
                self.named[place, shown] += times
            else:
                self.more += times

    def extend(self, others: "_Unknown") -> None:
        """Take over what was counted by another."""
        for (place, key), times in others.named.items():
            self.add(place, [key], times)
        self.more += others.more


@dataclass(frozen=True, slots=True)
class _Specs:
    """The specs of a page, what is wrong with them, and their keys that nobody knows."""

    specs: list[Spec] = field(default_factory=list)
    faults: _Faults = field(default_factory=_Faults)
    unknown: _Unknown = field(default_factory=_Unknown)


@dataclass(frozen=True, slots=True)
class _Check:
    """Validates the values of one object; `where` is how messages name it."""

    faults: _Faults
    line: int
    where: str = ""

    def fault(self, kind: str, text: str) -> None:
        self.faults.add(self.line, kind, text, self.where)

    def text(self, key: str, value: object, most: int = bounds.MAX_NAME) -> str:
        if not isinstance(value, str):
            self.fault("type", f"{key} is {_type(value)}, expected a text")
            return ""
        if found := bounds.control_in(value):
            self.fault("encoding", f"{key} holds the character U+{ord(found):04X}")
            return ""
        if bounds.is_longer(value, most):
            self.fault("too-large", f"{key} {_short(value)} has more than {most:,} bytes")
            return ""
        return value

    def name(self, key: str, value: object) -> str:
        name = self.text(key, value)
        if name == value and (reason := bounds.fault_of_name(name)):
            self.fault("name", f"{key} {_short(value)} {reason}")
        return name

    def texts(
        self, key: str, value: object, check: Callable[[str, object], str]
    ) -> tuple[str, ...]:
        if not isinstance(value, list):
            self.fault("type", f"{key} is {_type(value)}, expected a list of texts")
            return ()
        return tuple(check(f"{key}: a value", item) for item in value)

    def number(self, key: str, value: object) -> int:
        if type(value) is not int:
            self.fault("type", f"{key} is {_type(value)}, expected a whole number")
            return 0
        if not 0 <= value <= bounds.MAX_SIZE:
            self.fault("size", f"{key} is {_short(value)}, expected 0 to 2^63-1")
            return 0
        return value

    def missing(self, value: Mapping[str, object], keys: Iterable[str], prefix: str = "") -> bool:
        missing = [key for key in keys if key not in value]
        for key in missing:
            self.fault("missing-key", f"{prefix}{key} is missing")
        return bool(missing)


def _type(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    kind = {str: "text", int: "number", float: "number"}.get(type(value), type(value).__name__)
    return f"the {kind} {_short(value)}"


def _validate(top: _Top, body: str) -> Page:
    faults, unknown = _Faults(), _Unknown()
    values, lines = top.values, top.lines
    if _is_old(values):
        _refuse(1, "old-format", "the page was made before pages had spec_details")
    if _Check(faults, 1).missing(values, grammar.TOP_REQUIRED):
        raise RefusedError(*faults.refusals())
    unknown.add("front matter", (key for key in values if key not in grammar.TOP_KEYS))
    package = _Check(faults, lines["title"]).name("title", values["title"])
    release = _release(_Check(faults, lines["categories"]), values["categories"])
    meta = _meta(_Check(faults, lines["meta"]), values["meta"], unknown)
    found = _specs(values["spec_details"], lines["spec_details"])
    faults.extend(found.faults)
    unknown.extend(found.unknown)
    layout = values.get("layout", "cache")
    layout = _Check(faults, lines.get("layout", 1)).text("layout", layout)
    names = grammar.names_of(found.specs)
    if (size := names.size) > grammar.MAX_NAMES:
        most = f"expected at most {grammar.MAX_NAMES:,}"
        text = f"the specs name versions, stacks and so on of {size:,} bytes, {most}"
        faults.add(lines["spec_details"], "too-large", text, "")
    if faults:
        raise RefusedError(*faults.refusals())
    return Page(
        release=release,
        package=package,
        specs=tuple(found.specs),
        names=names,
        meta=meta,
        meta_line=lines["meta"],
        specs_line=lines["spec_details"],
        unknown=dict(unknown.named),
        unknown_more=unknown.more,
        layout=layout,
        body=sum(not character.isspace() for character in body),
    )


def _is_old(values: dict[str, Any]) -> bool:
    """Whether it is a page of stages A to B: no `spec_details`, other lists or a smaller `meta`."""
    if "spec_details" in values:
        return False
    meta = values.get("meta")
    small = isinstance(meta, dict) and "num_specs" not in meta
    return small or not values.keys().isdisjoint({"spec_files", "spec_names"})


def _release(check: _Check, value: object) -> str:
    categories = check.texts("categories", value, check.text)
    if len(categories) != 2 or categories[0] != "package":
        check.fault("categories", f"categories is {_short(value)}, expected [package, <release>]")
        return ""
    release = check.name("release", categories[1])
    if release and not bounds.fault_of_name(release) and parse_release(release) is None:
        check.fault(
            "release",
            f"release {_short(release)}, expected develop, develop-YYYY-MM-DD "
            "or a version such as v0.23.1",
        )
    return release


def _meta(check: _Check, value: object, unknown: _Unknown) -> Meta:
    empty: frozenset[str] = frozenset()
    nothing = Meta(0, {}, *[empty] * 6)
    if not isinstance(value, dict):
        check.fault("type", f"meta is {_type(value)}, expected an object")
        return nothing
    if check.missing(value, sorted(grammar.META_KEYS), "meta."):
        return nothing
    unknown.add("meta", (key for key in value if key not in grammar.META_KEYS))
    by_stack = value["num_specs_by_stack"]
    if not isinstance(by_stack, dict):
        check.fault("type", f"meta.num_specs_by_stack is {_type(by_stack)}, expected an object")
        by_stack = {}
    lists = {
        key: frozenset(check.texts(f"meta.{key}", value[key], check.text))
        for key in grammar.META_LISTS
    }
    lists["compilers"] = frozenset(map(spell_compiler, lists["compilers"]))
    return Meta(
        check.number("meta.num_specs", value["num_specs"]),
        {
            check.text("meta.num_specs_by_stack: a key", stack): check.number(
                f"meta.num_specs_by_stack[{_short(stack)}]", count
            )
            for stack, count in by_stack.items()
        },
        **lists,
    )


def _specs(value: object, line: int) -> _Specs:
    if isinstance(value, _Specs):
        return value
    if isinstance(value, list):
        return _read_specs(iter(value), line)
    found = _Specs()
    found.faults.add(line, "type", f"spec_details is {_type(value)}, expected a list", "")
    return found


def _read_specs(items: Iterator[Any], line: int) -> _Specs:
    """Validate the objects of `spec_details` as they come."""
    found = _Specs()
    first: dict[str, int] = {}
    lists = _Lists(line)
    for number, item in enumerate(items, start=1):
        check = _Check(found.faults, line, _where(number, item))
        if not isinstance(item, dict):
            check.fault("type", f"is {_type(item)}, expected an object")
            continue
        found.unknown.add("spec_details", (key for key in item if key not in grammar.SPEC_KEYS))
        if check.missing(item, grammar.SPEC_REQUIRED):
            continue
        spec = _spec(check, item, lists)
        if spec.hash and first.setdefault(spec.hash, number) != number:
            check.fault("repeated-hash", f"the same hash as spec {first[spec.hash]}")
        found.specs.append(spec)
    return found


def _where(number: int, item: object) -> str:
    spec = item.get("hash") if isinstance(item, dict) else None
    return (
        f"spec {number}"
        + (f" ({_short(spec)})" if isinstance(spec, str | int | float) else "")
        + ": "
    )


class _Lists:
    """The lists of variants and stacks of a page, each spelled and kept once."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._variants: dict[tuple[str, ...], Variants] = {}
        self._weight = 0

    def variants(self, check: _Check, listed: tuple[str, ...]) -> Variants:
        if found := self._variants.get(listed):
            return found
        if sum(text.count(",") + 1 for text in listed) > bounds.MAX_VALUES:
            check.fault("too-large", f"variants have more than {bounds.MAX_VALUES:,} values")
            return spell_variants(())
        spelled = spell_variants(listed)
        if bounds.is_longer(spelled.json, bounds.MAX_VARIANTS):
            check.fault("too-large", f"variants have more than {bounds.MAX_VARIANTS:,} bytes")
            return spell_variants(())
        self._weight += grammar.weight(spelled)
        if self._weight > grammar.MAX_LISTED:
            _refuse(self._line, "too-large", "the specs have too many different variants")
        self._variants[listed] = spelled
        return spelled

    @staticmethod
    def stacks(check: _Check, listed: tuple[str, ...]) -> Stacks:
        if len(listed) > grammar.MAX_STACKS:
            check.fault("too-large", f"stacks have more than {grammar.MAX_STACKS:,} values")
            return spell_stacks(())
        return spell_stacks(listed)


def _spec(check: _Check, item: dict[str, Any], lists: _Lists) -> Spec:
    dag_hash = _hash(check, item["hash"])
    version = _version(check, item["versions"])
    compiler = _compiler(check, item["compiler"])
    os, platform, target = (check.name(key, item[key]) for key in ("os", "platform", "target"))
    listed = check.texts("variants", item["variants"], _variant(check))
    variants = lists.variants(check, tuple(filter(None, listed)))
    stacks = lists.stacks(check, check.texts("stacks", item["stacks"], check.name))
    size = _size(check, item["size"])
    tarball = None
    if "tarball" in item:
        tarball = check.text("tarball", item["tarball"], grammar.MAX_TARBALL)
    facts = Facts(version, compiler, os, platform, target, variants, size)
    return Spec(dag_hash, facts, stacks, tarball)


def _hash(check: _Check, value: object) -> str:
    text = check.text("hash", value)
    if isinstance(value, str) and not bounds.HASH.fullmatch(text):
        check.fault("hash", f"hash is {_short(value)}, expected 32 characters of a-z and 2-7")
        return ""
    return text


def _version(check: _Check, value: object) -> str:
    versions = check.texts("versions", value, check.text)
    if isinstance(value, list) and len(versions) != 1:
        check.fault("versions", f"versions has {len(versions)} values, expected exactly one")
        return ""
    if versions and not versions[0] and value == [""]:
        check.fault("name", "the version is empty")
    return versions[0] if versions else ""


def _compiler(check: _Check, value: object) -> str:
    text = check.text("compiler", value)
    if text == value and not grammar.COMPILER.fullmatch(text):
        check.fault("name", f"compiler is {_short(value)}, expected name@version or none")
    return spell_compiler(text)


def _variant(check: _Check) -> Callable[[str, object], str]:
    def variant(key: str, value: object) -> str:
        text = check.text(key, value, bounds.MAX_VARIANTS)
        if text == value and not grammar.VARIANT.fullmatch(text):
            check.fault("variant", f"variant {_short(value)}, expected +name, ~name or name=value")
            return ""
        return text

    return variant


def _size(check: _Check, value: object) -> int | None:
    if value == "-":
        return None
    if type(value) is int and 0 <= value <= bounds.MAX_SIZE:
        return value
    kind = "size" if type(value) in (int, float) else "type"
    check.fault(kind, f'size is {_type(value)}, expected "-" or a whole number of bytes')
    return None
