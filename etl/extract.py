"""Read one page: split the front matter, parse it, validate every value → `Page`.

This is the general way, which explains whatever is wrong. `etl.quick` reads ordinary pages
faster with the same result and leaves all others to this module.

Rules of the source: a page is YAML front matter between two `---` lines. `meta` and
`spec_details` are one line of JSON each, written by `json.dumps`; where they are, a JSON parser
reads them, because YAML parsers are slow and read surrogate pairs and `1e+20` differently.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import yaml

from etl.order import parse_release

MAX_BYTES = 32 * 1024 * 1024
"""Largest page that is read at all; the largest real ones have a few megabytes."""

MAX_YAML = 1024 * 1024
"""Most characters given to a YAML parser, which needs some 150 times as many bytes of memory."""

MAX_CONTAINERS = 1_000_000
"""Most lists and objects in one value of JSON; four make a spec, which is never below 200 bytes."""

MAX_SCALAR = 500
"""Longest number or date in YAML, which has spellings that take hours to work out."""

MAX_DEPTH = 16
"""Deepest nesting given to a YAML composer, which is recursive; a real page has 5 levels."""

MAX_SIZE = 2**63 - 1
"""Largest number of bytes that SQLite's INTEGER holds."""

TOP_KEYS = frozenset({"title", "layout", "categories", "meta", "spec_details"})
META_LISTS = ("compilers", "oss", "platforms", "stacks", "targets", "versions")
META_KEYS = frozenset({"num_specs", "num_specs_by_stack", *META_LISTS})
SPEC_TEXTS = ("compiler", "hash", "os", "platform", "target")
SPEC_LISTS = ("versions", "variants", "stacks")
SPEC_REQUIRED = (*SPEC_TEXTS, *SPEC_LISTS, "size")
SPEC_KEYS = frozenset({*SPEC_REQUIRED, "tarball"})

HASH = re.compile(r"[a-z2-7]{32}", re.ASCII)
VARIANT = re.compile(r"(\+\+?|~~?)[\w.-]+|[\w.-]+:?==?.*", re.ASCII)
COMPILER = re.compile(r"[^@]+(@=?[^@=]+)?")
_ONE_LINE = re.compile(r"(meta|spec_details):[ \t]+([{\[].*)")
_STAND_IN = "the value stands on one line of JSON"
_FENCE = re.compile(r"^---[^\S\n]*$", re.MULTILINE)
# In a page as a whole, tabs and both ends of lines (\n, \r\n) may stand.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n|\Z)")
# YAML knows more ends of lines than \n. Its parser compares every directive with all others.
_DIRECTIVE = re.compile(r"(?<![^\n\u2028\u2029])%")


class Entry(NamedTuple):
    """One concrete spec on one page, in the page's own spelling.

    Attributes:
        hash: DAG hash.
        version: the package's version.
        compiler: `gcc@=13.2.0`, `gcc@13.2.0` or `none`.
        os: operating system.
        platform: `linux`, `darwin` or `windows`.
        target: CPU microarchitecture.
        variants: in the page's order.
        stacks: in the page's order.
        size: bytes, or None where the page says "-".
        tarball: address of the binary, or None where the page has none.
    """

    hash: str
    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: tuple[str, ...]
    stacks: tuple[str, ...]
    size: int | None
    tarball: str | None


class Meta(NamedTuple):
    """The page's own summary of its specs, as the generator counted it."""

    num_specs: int
    num_specs_by_stack: Mapping[str, int]
    compilers: frozenset[str]
    oss: frozenset[str]
    platforms: frozenset[str]
    stacks: frozenset[str]
    targets: frozenset[str]
    versions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Page:
    """One page that holds what a page must hold.

    Attributes:
        release: the second of `categories`.
        package: the `title`.
        entries: its specs in the page's order.
        meta: its summary of them.
        meta_line: line of `meta` in the file.
        specs_line: line of `spec_details` in the file.
        unknown: (place, key) → how often a key nobody knows occurs.
        layout: what `layout` says, None without one.
        body: number of characters but white space behind the front matter.
    """

    release: str
    package: str
    entries: tuple[Entry, ...]
    meta: Meta
    meta_line: int
    specs_line: int
    unknown: Mapping[tuple[str, str], int] = field(default_factory=dict)
    layout: str | None = "cache"
    body: int = 0


class Refusal(NamedTuple):
    """One reason why a page is refused: line in the file (0 for none), kind, what was found."""

    line: int
    kind: str
    message: str


class PageError(Exception):
    """A page that cannot be loaded.

    Attributes:
        refusals: every reason that was found, at least one.
    """

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__(*refusals)
        self.refusals = refusals


def _refuse(line: int, kind: str, message: str) -> NoReturn:
    raise PageError(Refusal(line, kind, message))


def read_page(data: bytes) -> Page:
    """Read the bytes of a page.

    Raises:
        PageError: with every reason why it cannot be loaded.
    """
    text = _decode(data)
    front, body = _split(text)
    top = _parse(front)
    return _validate(top, body)


def too_large(size: int) -> Refusal:
    """Why a page of this many bytes is refused."""
    return Refusal(0, "too-large", f"{size:,} bytes, expected at most {MAX_BYTES:,}")


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise PageError(too_large(len(data)))
    if not data.strip():
        _refuse(0, "empty", "the page is empty, expected front matter between two --- lines")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(line, "encoding", f"byte 0x{data[error.start]:02x} is not UTF-8: {error.reason}")
    if found := _CONTROL.search(text):
        name = "a NUL" if found[0] == "\0" else f"the control character U+{ord(found[0]):04X}"
        line = text.count("\n", 0, found.start()) + 1
        _refuse(line, "encoding", f"the line holds {name}")
    return text


def _control(text: str) -> str | None:
    """The first control character or lone surrogate of a text, if any."""
    if text.isprintable():
        return None
    return next((c for c in text if unicodedata.category(c) in ("Cc", "Cs")), None)


def _split(text: str) -> tuple[str, str]:
    # By lines that end at \n only, and without a list of them: there can be millions.
    first = _FENCE.match(text)
    if not first:
        found = _short(text.partition("\n")[0])
        _refuse(1, "front-matter", f"found {found}, expected --- as the first line")
    last = _FENCE.search(text, first.end())
    if not last:
        line = text.count("\n") + 1
        _refuse(line, "front-matter", "the page ends before the --- that closes the front matter")
    return text[first.end() + 1 : last.start()], text[last.end() :]


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


@dataclass(frozen=True, slots=True)
class _Top:
    """The front matter: the values of its keys and the lines on which the keys stand."""

    values: dict[str, Any]
    lines: dict[str, int]


def _parse(front: str) -> _Top:
    if front.count("\n") > MAX_YAML:
        _refuse(2, "too-large", f"more than {MAX_YAML:,} lines of YAML")
    cut: dict[str, Any] = {}
    broken: Refusal | None = None
    short: list[str] = []
    for number, line in enumerate(front.split("\n"), start=2):
        one_line = _ONE_LINE.fullmatch(line.rstrip())
        if one_line and one_line[1] not in cut:
            try:
                cut[one_line[1]] = _parse_json(one_line[1], one_line[2], number)
                # A text instead of the value: YAML then refuses lines that would continue it.
                line = f'{one_line[1]}: "{_STAND_IN}"'
            except json.JSONDecodeError as error:
                broken = broken or Refusal(
                    number,
                    "json",
                    f"{one_line[1]} is not valid JSON at column "
                    f"{one_line.start(2) + error.colno}: {error.msg}",
                )
        short.append(line)
    try:
        top = _parse_yaml("\n".join(short))
    except PageError as bad:
        # A value that looks like JSON and is no YAML either was meant as JSON.
        raise PageError(broken) if broken else bad from None
    for key in cut:
        if top.values.get(key) != _STAND_IN:
            _refuse(top.lines.get(key, 2), "yaml", f"a line of {key} is inside another value")
    return _Top({**top.values, **cut}, top.lines)


def _parse_json(key: str, text: str, line: int) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            twice = next(name for name, count in Counter(k for k, _ in items).items() if count > 1)
            _refuse(line, "duplicate-key", f"{key} has an object with two keys {_short(twice)}")
        return found

    def constant(name: str) -> NoReturn:
        _refuse(line, "type", f"{key} holds {name}, which is no JSON")

    if (containers := text.count("[") + text.count("{")) > MAX_CONTAINERS:
        most = f"expected at most {MAX_CONTAINERS:,}"
        _refuse(line, "too-large", f"{key} has {containers:,} lists and objects, {most}")
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        _refuse(line, "json", f"{key} is nested too deeply")
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        _refuse(line, "type", f"{key} holds a number that is too long: {error}")


def _parse_yaml(text: str) -> _Top:
    if len(text) > MAX_YAML:
        _refuse(2, "too-large", f"{len(text):,} characters of YAML, expected at most {MAX_YAML:,}")
    if found := _DIRECTIVE.search(text):
        line = text.count("\n", 0, found.start()) + 2
        _refuse(line, "yaml", "a directive (%), which no page has")
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line, where = 2, ""
        if mark := error.problem_mark or error.context_mark:
            line, where = int(mark.line) + 2, f" at column {mark.column + 1}"
        what = error.problem or error.context
        _refuse(line, "yaml", f"the front matter is not valid YAML{where}: {what}")
    except yaml.YAMLError as error:
        _refuse(2, "yaml", f"the front matter is not valid YAML: {_one_line(error)}")
    if not isinstance(node, yaml.MappingNode):
        _refuse(2, "front-matter", "the front matter is not a list of `key: value` lines")
    lines = {str(key.value): _line_of(key) for key, _ in node.value}
    return _Top(_construct_top(node), lines)


def _line_of(found: yaml.Event | yaml.Node) -> int:
    """Line in the file: the front matter starts on its second, and YAML counts from 0."""
    return (found.start_mark.line if found.start_mark else 0) + 2


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_events(text: str) -> None:
    """Refuse what only hostile YAML has, on the parser's stream, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = _line_of(event)
        if isinstance(event, yaml.AliasEvent):
            _refuse(line, "yaml", f"an alias (*{_short(event.anchor)}), which no page has")
        if isinstance(event, yaml.NodeEvent):
            if event.anchor:
                _refuse(line, "yaml", f"an anchor (&{_short(event.anchor)}), which no page has")
            if tag := getattr(event, "tag", None):
                _refuse(line, "yaml", f"a tag ({_short(tag)}), which no page has")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            _refuse(line, "yaml", f"nested deeper than {MAX_DEPTH} levels")


def _construct_top(node: yaml.MappingNode) -> dict[str, Any]:
    """Build the values; `title`, `layout` and `categories` are text whatever they look like."""
    texts = {"title", "layout", "categories"}
    return {
        key: _construct(value, as_text=key in texts) for key, value in _pairs(node, "front matter")
    }


def _pairs(node: yaml.MappingNode, place: str) -> Iterator[tuple[str, yaml.Node]]:
    seen = set()
    for key, value in node.value:
        line = _line_of(key)
        if not isinstance(key, yaml.ScalarNode):
            _refuse(line, "type", f"{place}: a key is not a text")
        if key.value in seen:
            _refuse(line, "duplicate-key", f"{place}: two keys {_short(key.value)}")
        seen.add(key.value)
        yield key.value, value


def _construct(node: yaml.Node, *, as_text: bool = False) -> Any:
    if isinstance(node, yaml.MappingNode):
        line = _line_of(node)
        return {key: _construct(value) for key, value in _pairs(node, f"object on line {line}")}
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, as_text=as_text) for item in node.value]
    if as_text or node.tag == "tag:yaml.org,2002:str":
        return node.value
    if len(node.value) > MAX_SCALAR:
        _refuse(_line_of(node), "type", f"a number of more than {MAX_SCALAR} characters")
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        _refuse(_line_of(node), "type", f"unreadable value: {_one_line(error)}")


class _Faults:
    """Collects what is wrong with a page; the same fault of many specs becomes one line."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, str, str], str] = {}
        self._more: Counter[tuple[int, str, str]] = Counter()

    def add(self, line: int, kind: str, text: str, where: str) -> None:
        fault = (line, kind, text)
        if fault in self._first:
            self._more[fault] += 1
        else:
            self._first[fault] = where

    def refusals(self) -> Iterator[Refusal]:
        for fault, where in self._first.items():
            line, kind, text = fault
            more = f" (and {self._more[fault]:,} more specs)" if self._more[fault] else ""
            yield Refusal(line, kind, f"{where}{text}{more}")

    def __bool__(self) -> bool:
        return bool(self._first)


@dataclass(frozen=True, slots=True)
class _Check:
    """Validates the values of one object; `where` is how messages name it."""

    faults: _Faults
    line: int
    where: str = ""

    def fault(self, kind: str, text: str) -> None:
        self.faults.add(self.line, kind, text, self.where)

    def text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self.fault("type", f"{key} is {_type(value)}, expected a text")
            return ""
        if found := _control(value):
            self.fault("encoding", f"{key} holds the character U+{ord(found):04X}")
            return ""
        return value

    def name(self, key: str, value: object) -> str:
        name = self.text(key, value)
        if isinstance(value, str) and (reason := _bad_name(name)):
            self.fault("name", f"{key} {_short(value)} {reason}")
        return name

    def texts(self, key: str, value: object, check: Callable[[str, object], str]) -> list[str]:
        if not isinstance(value, list):
            self.fault("type", f"{key} is {_type(value)}, expected a list of texts")
            return []
        return [check(f"{key}: a value", item) for item in value]

    def number(self, key: str, value: object) -> int:
        if type(value) is not int:
            self.fault("type", f"{key} is {_type(value)}, expected a whole number")
            return 0
        if not 0 <= value <= MAX_SIZE:
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


def _bad_name(name: str) -> str | None:
    if not name:
        return "is empty"
    if "/" in name:
        return "holds a slash"
    if ".." in name:
        return "holds .."
    return None


def _validate(top: _Top, body: str) -> Page:
    faults = _Faults()
    values, lines = top.values, top.lines
    check = _Check(faults, 1)
    if _is_old(values):
        _refuse(1, "old-format", "the page was made before pages had spec_details")
    if check.missing(values, ("title", "categories", "meta", "spec_details")):
        raise PageError(*faults.refusals())
    unknown: Counter[tuple[str, str]] = Counter(
        ("front matter", _readable(key)) for key in values if key not in TOP_KEYS
    )
    package = _Check(faults, lines["title"]).name("title", values["title"])
    release = _release(_Check(faults, lines["categories"]), values["categories"])
    meta = _meta(_Check(faults, lines["meta"]), values["meta"], unknown)
    entries = _entries(faults, lines["spec_details"], values["spec_details"], unknown)
    layout = values.get("layout", "cache")
    layout = _Check(faults, lines.get("layout", 1)).text("layout", layout)
    if faults:
        raise PageError(*faults.refusals())
    return Page(
        release=release,
        package=package,
        entries=tuple(entries),
        meta=meta,
        meta_line=lines["meta"],
        specs_line=lines["spec_details"],
        unknown=dict(unknown),
        layout=layout,
        body=len("".join(body.split())),
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
    if release and not _bad_name(release) and parse_release(release) is None:
        check.fault(
            "release",
            f"release {_short(release)}, expected develop, develop-YYYY-MM-DD "
            "or a version such as v0.23.1",
        )
    return release


def _meta(check: _Check, value: object, unknown: Counter[tuple[str, str]]) -> Meta:
    empty: frozenset[str] = frozenset()
    nothing = Meta(0, {}, *[empty] * 6)
    if not isinstance(value, dict):
        check.fault("type", f"meta is {_type(value)}, expected an object")
        return nothing
    if check.missing(value, sorted(META_KEYS), "meta."):
        return nothing
    unknown.update(("meta", _readable(key)) for key in value if key not in META_KEYS)
    by_stack = value["num_specs_by_stack"]
    if not isinstance(by_stack, dict):
        check.fault("type", f"meta.num_specs_by_stack is {_type(by_stack)}, expected an object")
        by_stack = {}
    return Meta(
        check.number("meta.num_specs", value["num_specs"]),
        {
            check.text("meta.num_specs_by_stack: a key", stack): check.number(
                f"meta.num_specs_by_stack[{_short(stack)}]", count
            )
            for stack, count in by_stack.items()
        },
        *(frozenset(check.texts(f"meta.{key}", value[key], check.text)) for key in META_LISTS),
    )


def _readable(key: str) -> str:
    """A key as it can be stored: one that nobody knows may hold anything."""
    return key.encode("unicode_escape").decode() if _control(key) else key


def _entries(
    faults: _Faults, line: int, value: object, unknown: Counter[tuple[str, str]]
) -> list[Entry]:
    if not isinstance(value, list):
        faults.add(line, "type", f"spec_details is {_type(value)}, expected a list", "")
        return []
    if len(value) > MAX_CONTAINERS:
        faults.add(line, "type", f"spec_details has {len(value):,} values that are no objects", "")
        return []
    entries: list[Entry] = []
    first: dict[str, int] = {}
    for number, item in enumerate(value, start=1):
        check = _Check(faults, line, _where(number, item))
        if not isinstance(item, dict):
            check.fault("type", f"is {_type(item)}, expected an object")
            continue
        unknown.update(("spec_details", _readable(key)) for key in item if key not in SPEC_KEYS)
        if check.missing(item, SPEC_REQUIRED):
            continue
        entry = _entry(check, item)
        if entry.hash and first.setdefault(entry.hash, number) != number:
            check.fault("repeated-hash", f"the same hash as spec {first[entry.hash]}")
        entries.append(entry)
    return entries


def _where(number: int, item: object) -> str:
    spec = item.get("hash") if isinstance(item, dict) else None
    return (
        f"spec {number}"
        + (f" ({_short(spec)})" if isinstance(spec, str | int | float) else "")
        + ": "
    )


def _entry(check: _Check, item: dict[str, Any]) -> Entry:
    return Entry(
        _hash(check, item["hash"]),
        _version(check, item["versions"]),
        _compiler(check, item["compiler"]),
        check.name("os", item["os"]),
        check.name("platform", item["platform"]),
        check.name("target", item["target"]),
        tuple(check.texts("variants", item["variants"], _variant(check))),
        tuple(check.texts("stacks", item["stacks"], check.name)),
        _size(check, item["size"]),
        check.text("tarball", item["tarball"]) if "tarball" in item else None,
    )


def _hash(check: _Check, value: object) -> str:
    text = check.text("hash", value)
    if isinstance(value, str) and not HASH.fullmatch(text):
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
    if isinstance(value, str) and not COMPILER.fullmatch(text):
        check.fault("name", f"compiler is {_short(value)}, expected name@version or none")
    return text


def _variant(check: _Check) -> Callable[[str, object], str]:
    def variant(key: str, value: object) -> str:
        text = check.text(key, value)
        if isinstance(value, str) and text == value and not VARIANT.fullmatch(text):
            check.fault("variant", f"variant {_short(value)}, expected +name, ~name or name=value")
        return text

    return variant


def _size(check: _Check, value: object) -> int | None:
    if value == "-":
        return None
    if type(value) is int and 0 <= value <= MAX_SIZE:
        return value
    kind = "size" if type(value) in (int, float) else "type"
    check.fault(kind, f'size is {_type(value)}, expected "-" or a whole number of bytes')
    return None
