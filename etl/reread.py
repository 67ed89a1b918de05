"""Find and read pages by other means than the build's, for `verify` to compare with.

PyYAML's events give the short values, Python's json the two long ones (YAML where a long value is
not one line of JSON). The first thing that is wrong with a page is enough to call it bad.
"""

import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from etl import problems
from etl.order import parse_release
from etl.problems import as_json

# What only hostile pages exceed; `extract` says why each limit is there.
MAX_BYTES = 32 * 1024 * 1024
MAX_YAML = 1024 * 1024
MAX_CONTAINERS = 1_000_000
MAX_SCALAR = 500
MAX_DEPTH = 16
MAX_NUMBER = 2**63 - 1

_PAGE_NAME = "specs.md"
_TEXT_KEYS = frozenset({"title", "layout", "categories"})
_TOP_KEYS = frozenset({"title", "categories", "meta", "spec_details"})
_KNOWN_TOP_KEYS = _TOP_KEYS | {"layout"}
_META_FIELDS = {
    "compilers": "compiler",
    "oss": "os",
    "platforms": "platform",
    "targets": "target",
    "versions": "version",
}
_META_KEYS = frozenset({*_META_FIELDS, "stacks", "num_specs", "num_specs_by_stack"})
_SPEC_KEYS = frozenset(
    {"hash", "versions", "compiler", "os", "platform", "target", "variants", "stacks", "size"}
)
_KNOWN_SPEC_KEYS = _SPEC_KEYS | {"tarball"}

_LONG_LINE = re.compile(r"(meta|spec_details):[ \t]+([{\[].*)")
_FENCE = re.compile(r"^---[^\S\n]*$", re.MULTILINE)
_DIRECTIVE = re.compile(r"(?:\A|[\n\u2028\u2029])%")
_STAND_IN = "the value stands on one line of JSON"
_NO_JSON = object()
_HASH = re.compile(r"[a-z2-7]{32}", re.ASCII)
_COMPILER = re.compile(r"([^@]+)(?:@=?([^@=]+))?")
_SWITCH = re.compile(r"([+~])\1?([\w.-]+)", re.ASCII)
_SETTING = re.compile(r"([\w.-]+):?(==?)(.*)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# In a page as a whole, tabs and the ends of lines (\n and \r\n) may stand.
_CONTROL_IN_PAGE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n|\Z)")

Remark = tuple[int, str, str]
"""Line in the page's file (0 for the whole page), kind, message."""


class BadPage(Exception):  # noqa: N818 (a verdict, not a failure)
    """The page must be refused; the message says why."""


class Entry(NamedTuple):
    """One spec of one page in the database's spelling; `variants` and `stacks` as JSON."""

    hash: str
    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: str
    size: int | None
    stacks: str
    tarball: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says.

    Attributes:
        release: the second of `categories`.
        package: the `title`.
        entries: its specs.
        specs_line: line of `spec_details` in the file.
        remarks: what is odd about it, apart from keys nobody knows.
        unknown: (place, key) → how often a key nobody knows occurs.
    """

    release: str
    package: str
    entries: Sequence[Entry]
    specs_line: int
    remarks: Sequence[Remark]
    unknown: Mapping[tuple[str, str], int]


_ENDS_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class File(NamedTuple):
    """A file that should be a page.

    Attributes:
        path: its path in the database.
        folders: release and package as its folders name them, empty outside upstream's layout.
        bytes: its size; 0 where it cannot be read or is too large.
        sha256: of its content, or of no bytes where it cannot be read or is too large.
        page: what it says, or why it is bad.
    """

    path: str
    folders: tuple[str, str]
    bytes: int
    sha256: str
    page: Page | BadPage


def find_files(paths: Sequence[Path]) -> Iterator[str]:
    """The real path of every page in or below the paths, each once.

    Raises:
        OSError: a path does not exist, or a folder cannot be read.
    """
    seen: set[str] = set()
    for path in paths:
        for file in _walk(path) if path.is_dir() else [str(path.resolve(strict=True))]:
            if file not in seen:
                seen.add(file)
                yield file


def _walk(top: Path) -> Iterator[str]:
    searched: set[str] = set()
    waiting = [os.path.realpath(top)]
    while waiting:
        folder = waiting.pop()
        if folder in searched:
            continue
        searched.add(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                if _is_folder(entry):
                    waiting.append(real)
                elif entry.name == _PAGE_NAME:
                    yield real


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def read_file(file: str) -> File:
    """Read and validate one file.

    Rule of the source: a page is `<release>/<package>/specs.md`. A page of another name has a
    path made from its front matter.
    """
    content = b""
    page: Page | BadPage
    try:
        content = _content(Path(file))
        page = read_page(content)
    except OSError as error:
        page = BadPage(f"cannot be read: {error.strerror}")
    except BadPage as bad:
        page = bad
    # A name need not be UTF-8 nor one line, a path in the database must be both.
    readable = "".join(
        c.encode("unicode_escape").decode() if _ENDS_LINE.match(c) else c
        for c in os.fsencode(file).decode(errors="backslashreplace")
    )
    *_, release, package, name = ("", "", *readable.split("/"))
    folders, path = ("", ""), name
    if name == _PAGE_NAME and release and package:
        folders, path = (release, package), f"{release}/{package}/{name}"
    elif isinstance(page, Page):
        path = f"{page.release}/{page.package}/{name}"
    return File(path, folders, len(content), hashlib.sha256(content).hexdigest(), page)


def _content(file: Path) -> bytes:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadPage("not a regular file")
    if status.st_size > MAX_BYTES:
        raise BadPage("too large")
    return file.read_bytes()


def read_page(content: bytes) -> Page:
    """Read and validate the bytes of a page.

    Raises:
        BadPage: it does not hold what a page must hold.
    """
    front, body = _split(content)
    values, lines = _parse(front)
    _mapping(values, _TOP_KEYS, "the front matter")
    package = _name(values["title"], "title")
    release = _release(values["categories"])
    layout = _text(values.get("layout", "cache"), "layout")
    details = _list(values["spec_details"], "spec_details")
    found = [_entry(spec) for spec in details]
    entries = [entry for entry, _ in found]
    if len({entry.hash for entry in entries}) < len(entries):
        raise BadPage("a hash occurs twice")
    remarks = [
        *_page_warnings(layout, body),
        *((lines["meta"], "meta", text) for text in _meta_warnings(values["meta"], entries)),
        *(
            (lines["spec_details"], "repeated-value", text)
            for _, repeats in found
            for text in repeats
        ),
    ]
    unknown = Counter(
        [
            *_unknown("front matter", values, _KNOWN_TOP_KEYS),
            *_unknown("meta", values["meta"], _META_KEYS),
            *(key for spec in details for key in _unknown("spec_details", spec, _KNOWN_SPEC_KEYS)),
        ]
    )
    return Page(release, package, entries, lines["spec_details"], remarks, unknown)


def _split(content: bytes) -> tuple[str, str]:
    """The front matter, and what is behind it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadPage("not UTF-8") from None
    if _CONTROL_IN_PAGE.search(text):
        raise BadPage("holds a control character")
    first = _FENCE.match(text)
    last = first and _FENCE.search(text, first.end())
    if not first or not last:
        raise BadPage("no front matter between two --- lines")
    return text[first.end() + 1 : last.start()], text[last.end() :]


def _parse(front: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The values of the front matter's keys, and the lines of the file on which the keys stand."""
    if front.count("\n") > MAX_YAML:
        raise BadPage("too many lines of YAML")
    long: dict[str, object] = {}
    short = []
    for line in front.split("\n"):
        match = _LONG_LINE.fullmatch(line.rstrip())
        # A second line for a key is left to YAML, which tells a repeated key from a line of text.
        value = _json(match[2]) if match and match[1] not in long else _NO_JSON
        if match and value is not _NO_JSON:
            long[match[1]] = value
            short.append(f"{match[1]}: {_STAND_IN}")
        else:
            short.append(line)
    values, lines = _yaml("\n".join(short))
    if any(values.get(key) != _STAND_IN for key in long):
        raise BadPage("a line of JSON is not the whole value of its key")
    return {**values, **long}, lines


def _json(text: str) -> object:
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise BadPage("too many lists and objects")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError:
        # It may still be YAML, which may do without quotes.
        return _NO_JSON
    except RecursionError:
        raise BadPage("JSON nested too deeply") from None
    except ValueError:
        raise BadPage("a number is too long") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadPage("a key occurs twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise BadPage(f"{name} is no number")


def _yaml(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a mapping from the parser's events, so that nothing hostile is ever built."""
    if len(text) > MAX_YAML:
        raise BadPage("too much YAML")
    if _DIRECTIVE.search(text):
        raise BadPage("a directive")
    events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    try:
        _stream, _document = next(events), next(events)
        mapping = next(events, None)
        if not isinstance(mapping, yaml.MappingStartEvent):
            raise BadPage("the front matter is not a mapping")
        _refuse_tricks(mapping, 1)
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _key(event, values)
            # The first line of the front matter is the second of the file.
            lines[key] = event.start_mark.line + 2
            values[key] = _node(next(events), events, 2, as_text=key in _TEXT_KEYS)
        # The ends of the document and of the stream are left.
        if len(list(events)) > 2:
            raise BadPage("more than one YAML document")
    except yaml.YAMLError as error:
        raise BadPage(f"not YAML: {' '.join(str(error).split())}") from None
    return values, lines


def _node(event: Any, events: Iterator[Any], depth: int, *, as_text: bool) -> object:
    _refuse_tricks(event, depth)
    if isinstance(event, yaml.ScalarEvent):
        return event.value if as_text else _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_node(event, events, depth + 1, as_text=as_text))
        return items
    found: dict[str, object] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _key(event, found)
        found[key] = _node(next(events), events, depth + 1, as_text=as_text)
    return found


def _key(event: Any, seen: Collection[str]) -> str:
    _refuse_tricks(event, 0)
    if not isinstance(event, yaml.ScalarEvent):
        raise BadPage("a key is not a text")
    if event.value in seen:
        raise BadPage("a key occurs twice")
    return str(event.value)


def _refuse_tricks(event: Any, depth: int) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
        raise BadPage("an anchor, an alias or a tag")
    if isinstance(event, yaml.CollectionStartEvent) and depth > MAX_DEPTH:
        raise BadPage("YAML nested too deeply")


def _scalar(event: Any) -> object:
    """What PyYAML's safe loader makes of a scalar; in quotes it is always a text."""
    if not event.implicit[0]:
        return event.value
    loader: Any = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, event.value, (True, False))
    if tag == "tag:yaml.org,2002:str":
        return event.value
    if len(event.value) > MAX_SCALAR:
        raise BadPage("a number of too many characters")
    try:
        return loader.construct_object(yaml.ScalarNode(tag, event.value))
    except (ValueError, OverflowError):
        raise BadPage("an unreadable value") from None


def _mapping(value: object, keys: AbstractSet[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadPage(f"{what} is not an object")
    if not keys <= value.keys():
        raise BadPage(f"{what} lacks a key")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise BadPage(f"{what} is not a text")
    # Asking for printable text first is many times as fast.
    if not value.isprintable() and _CONTROL.search(value):
        raise BadPage(f"{what} holds a control character or half a character")
    return value


def _name(value: object, what: str) -> str:
    name = _text(value, what)
    if not name or "/" in name or ".." in name:
        raise BadPage(f"{what} is no name")
    return name


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadPage(f"{what} is not a list")
    return value


def _number(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise BadPage(f"{what} is not a whole number from 0 to 2^63-1")
    return value


def _release(categories: object) -> str:
    if not isinstance(categories, list) or len(categories) != 2 or categories[0] != "package":
        raise BadPage("categories is not [package, release]")
    release = _name(categories[1], "release")
    if parse_release(release) is None:
        raise BadPage("no such kind of release")
    return release


def _entry(item: object) -> tuple[Entry, list[str]]:
    """A spec, and the warnings of values that its lists name more than once."""
    spec = _mapping(item, _SPEC_KEYS, "a spec")
    versions = _list(spec["versions"], "versions")
    if len(versions) != 1:
        raise BadPage("versions does not hold exactly one")
    if not _HASH.fullmatch(_text(spec["hash"], "hash")):
        raise BadPage("no hash")
    variants, repeated_variants = _once(spec["variants"], _variant)
    stacks, repeated_stacks = _once(spec["stacks"], _stack)
    entry = Entry(
        spec["hash"],
        _version(versions[0]),
        _compiler(_text(spec["compiler"], "compiler")),
        _name(spec["os"], "os"),
        _name(spec["platform"], "platform"),
        _name(spec["target"], "target"),
        variants,
        None if spec["size"] == "-" else _number(spec["size"], "size"),
        stacks,
        _text(spec["tarball"], "tarball") if "tarball" in spec else None,
    )
    repeated = [("variants", value) for value in repeated_variants]
    repeated += [("stacks", value) for value in repeated_stacks]
    return entry, [problems.repeated_value(entry.hash, *one) for one in repeated]


def _version(value: object) -> str:
    version = _text(value, "version")
    if not version:
        raise BadPage("a version is empty")
    return version


@lru_cache(maxsize=1024)
def _compiler(text: str) -> str:
    """`gcc@=13.2.0` → `gcc@13.2.0`."""
    match = _COMPILER.fullmatch(text)
    if not match:
        raise BadPage("no compiler")
    return f"{match[1]}@{match[2]}" if match[2] else match[1]


def _once(value: object, spelled: Callable[[object], str]) -> tuple[str, tuple[str, ...]]:
    """A list of a spec without repeats, as JSON, and the values that were repeated."""
    try:
        return _once_cached(tuple(_list(value, "a list of a spec")), spelled)
    except TypeError:
        raise BadPage("a list of a spec holds a list or an object") from None


# Only texts get past `spelled`, so the cache never takes 1 for True.
@lru_cache(maxsize=8192)
def _once_cached(
    items: tuple[object, ...], spelled: Callable[[object], str]
) -> tuple[str, tuple[str, ...]]:
    counts = Counter(spelled(item) for item in items)
    return as_json(list(counts)), tuple(value for value, count in counts.items() if count > 1)


def _stack(value: object) -> str:
    return _name(value, "a stack")


def _variant(value: object) -> str:
    return _spelled(_text(value, "a variant"))


@lru_cache(maxsize=8192)
def _spelled(variant: str) -> str:
    """`x:=a` → `x=a`, `x:==a` → `x==a`."""
    if _SWITCH.fullmatch(variant):
        return variant
    if match := _SETTING.fullmatch(variant):
        return f"{match[1]}{match[2]}{match[3]}"
    raise BadPage("no variant")


@lru_cache(maxsize=8192)
def variant_rows(variant: str) -> tuple[tuple[str, str, str], ...]:
    """The variant, name and value in `variants` of each value that a spelled variant stands for."""
    if match := _SWITCH.fullmatch(variant):
        sign, name = match[1], match[2]
        return ((f"{sign}{name}", name, "true" if sign == "+" else "false"),)
    name, value = re.split("==?", variant, maxsplit=1)
    quoted = len(value) > 1 and value[0] in "'\"" and value[0] == value[-1]
    values = (value[1:-1] if quoted else value).split(",")
    return tuple((f"{name}={one}", name, one) for one in values)


def _page_warnings(layout: str, body: str) -> Iterator[Remark]:
    if layout != "cache":
        yield 0, "layout", problems.layout(layout)
    if behind := sum(not character.isspace() for character in body):
        yield 0, "body", problems.body(behind)


def _meta_warnings(value: object, entries: Sequence[Entry]) -> Iterator[str]:
    meta = _mapping(value, _META_KEYS, "meta")
    number = _number(meta["num_specs"], "meta.num_specs")
    if number != len(entries):
        yield problems.meta_number("num_specs", number, len(entries))
    in_stacks = _specs_by_stack(entries)
    said_counts = _said_counts(meta["num_specs_by_stack"])
    if any(said_counts.get(name, 0) != in_stacks[name] for name in {*said_counts, *in_stacks}):
        yield problems.meta_counts("num_specs_by_stack", said_counts, in_stacks)
    found = {key: {getattr(one, field) for one in entries} for key, field in _META_FIELDS.items()}
    found["stacks"] = set(in_stacks)
    for key, names in found.items():
        said = {_text(item, f"a value of meta.{key}") for item in _list(meta[key], f"meta.{key}")}
        if key == "compilers":
            said = {text.replace("@=", "@", 1) for text in said}
        if said != names:
            yield problems.meta_list(key, said, names)


def _said_counts(value: object) -> dict[str, int]:
    return {
        _text(stack, "a stack in meta"): _number(count, "a count in meta")
        for stack, count in _mapping(value, frozenset(), "meta.num_specs_by_stack").items()
    }


def _specs_by_stack(entries: Sequence[Entry]) -> Counter[str]:
    found: Counter[str] = Counter()
    for stacks, times in Counter(entry.stacks for entry in entries).items():
        found.update(dict.fromkeys(json.loads(stacks), times))
    return found


def _unknown(
    place: str, item: Mapping[str, object], known: AbstractSet[str]
) -> Iterator[tuple[str, str]]:
    """The keys nobody knows, written so that they can be stored, whatever they hold."""
    for key in item.keys() - known:
        yield place, key.encode("unicode_escape").decode() if _CONTROL.search(key) else key
