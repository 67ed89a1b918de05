"""Damage real pages at random: each is loaded whole or refused with a message, never a traceback.

python -m tests.etl.fuzz 10000 --seed 1
"""

import json
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import yaml

from etl.build import Request, build
from etl.errors import RefusedError
from etl.sources.pages import fast, general
from etl.verify import verify
from tests.etl.oracle import comparable, read, told
from tests.pages import REAL, write

if TYPE_CHECKING:
    from etl.problems import Problem

PAGES: Sequence[bytes] = [file.read_bytes() for file in sorted(REAL.glob("*/*/specs.md"))]

Damage = Callable[[random.Random, bytes], bytes]

_BITS = (
    *(b"\0", b"\x07", b"\x7f", b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xc2\x85", b"\xef\xbb\xbf"),
    *(b"\n", b"\r", b"\r\n", b"\t", "\u2028".encode(), "é".encode(), b"---\n", b"\n---\n", b"..."),
    *(b'"', b"'", b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b": ", b"#"),
    *(b"&a ", b"*a", b"!!python/object:os.system ", b"!x ", b"%YAML 1.1\n", b"? ", b"- ", b"|", b"<<"),
    *(b"NaN", b"1e400", b"-1", b"true", b"null", b"@=", b"@", b"=", b":=", b"/", b"..", b"+", b"~"),
)  # fmt: skip
TEXTS = (
    *("", "-", "none", "x", "a/b", "..", "a..b", "a\0b", "a\x1bb", "a\x85b", "\ud800", "a\u2028b"),
    *("é", "😀", "gcc@", "@1", "gcc@=", "gcc@=1", "gcc@1@2", "+", "++x", "~~x", "+x=y", "x", "x="),
    *("x:=", "x:==a,b", "x==a", "x='a,b'", "x='a", "=a", ":=a", "x=,", "root", "develop", "v0.18"),
    *("a" * 32, "A" * 32, "a" * 33, "1" * 32, "'", '"', "\\", "{}", "a" * 5000),
)  # fmt: skip
# Written as they are, for some are no JSON.
RAW = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "-0", "1", "1.0", "1.5", "1e2", "1e+20"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "9" * 5000, "01"),
    *("true", "false", "null", "{}", "[]", "[[]]", '[""]', '{"a": 1}', '{"a": 1, "a": 2}', "[1]"),
    *("[" * 100 + "]" * 100, "[" * 5000 + "]" * 5000, "'x'", "[,]", "[1,]", "", "*a", "!!int 1"),
)  # fmt: skip
_LINES = (
    *("title: 0.23", "title: yes", "title: ~", "title: [a]", "title: {a: b}", "title: a: b"),
    *('title: "a\\tb"', 'title: "\\ud800"', "title: ''", "title: a/b", "title: |", "title: &a b"),
    *("title: !!python/object/apply:os.system [exit]", "title: *a", 'title: "é"', "title: .."),
    *("layout: page", "layout:", "layout: [cache]", "categories: [package, v0.18]"),
    *("categories: [package, 2025-03-23]", "categories: [package, develop-2025-02-30]"),
    *("categories: package", "categories: [develop, package]", "categories: [package]"),
    *("categories:\n- package\n- develop", "categories: [package, develop, more]", "mood: 1:30"),
    *("mood: 0x" + "f" * 5000, "mood: 1" + ":1" * 400 + ".", "mood: 2025-13-45", "mood: =", "mood:"),
    *('"\\x01": 1', "? a\n: b", "<<: {title: x}", "meta: {}", "meta: ''", "spec_details: []"),
    *("spec_details: 'x", "note: 'x", "'", "note: {", "}", "# note", "%TAG ! x", "...", "--- a"),
)  # fmt: skip


def damaged(chance: random.Random, page: bytes) -> bytes:
    """A page after one to three accidents."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if page:
            page = chance.choice(_DAMAGES)(chance, page)
    return page


def _flip(chance: random.Random, page: bytes) -> bytes:
    at = chance.randrange(len(page))
    return page[:at] + bytes([page[at] ^ (1 << chance.randrange(8))]) + page[at + 1 :]


def _cut(chance: random.Random, page: bytes) -> bytes:
    return page[: chance.randrange(len(page))]


def _insert(chance: random.Random, page: bytes) -> bytes:
    at = chance.randrange(len(page) + 1)
    # Half of them in the short lines, which are few among so many bytes.
    if chance.random() < 0.5:
        at %= 100
    return page[:at] + chance.choice(_BITS) + page[at:]


def _part(chance: random.Random, page: bytes) -> bytes:
    """Lose some bytes, or have them twice."""
    start = chance.randrange(len(page))
    end = start + chance.randrange(200)
    return page[: chance.choice((start, end))] + page[chance.choice((start, end)) :]


def _move_lines(chance: random.Random, page: bytes) -> bytes:
    lines = page.split(b"\n")
    line = lines.pop(chance.randrange(len(lines)))
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _end_lines(chance: random.Random, page: bytes) -> bytes:
    return page.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\n", b" \n", b"\t\n", b"\n ")))


def _other_line(chance: random.Random, page: bytes) -> bytes:
    """A line in the place of the one with its key, or between two others."""
    lines = page.split(b"\n")
    line = chance.choice(_LINES).encode(errors="surrogatepass")
    key = line.partition(b":")[0] + b":"
    places = [at for at, old in enumerate(lines) if old.startswith(key)]
    if places and chance.random() < 0.8:
        lines[places[0]] = line
    else:
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _other_value(chance: random.Random, page: bytes) -> bytes:
    """Change one thing inside a line of JSON."""

    def change(value: Any) -> bytes:
        places = list(slots(value))
        if places:
            holder, key = chance.choice(places)
            chance.choice(_CHANGES)(chance, holder, key)
        return as_json(value, ascii_only=chance.random() < 0.7)

    return _change_json(chance, page, change)


def as_json(value: Any, *, ascii_only: bool) -> bytes:
    """JSON, but `@raw@…@` stands for what is no JSON, `@twice@` for a key that is there already."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    text = re.sub('"@raw@(.*?)@"', lambda found: str(json.loads(f'"{found[1]}"')), text)
    return text.replace("@twice@", "").encode(errors="surrogatepass")


def _as_yaml(chance: random.Random, page: bytes) -> bytes:
    """Write a line of JSON as YAML, which may say the same."""
    flow = chance.choice((True, False, None))

    def change(value: Any) -> bytes:
        text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=chance.random() < 0.5)
        return b"\n  " + text.replace("\n", "\n  ").rstrip().encode(errors="surrogatepass")

    return _change_json(chance, page, change)


def _change_json(chance: random.Random, page: bytes, change: Callable[[Any], bytes]) -> bytes:
    lines = page.split(b"\n")
    places = [
        at for at, line in enumerate(lines) if line.startswith((b"meta: ", b"spec_details: "))
    ]
    if places:
        at = chance.choice(places)
        key, _, text = lines[at].partition(b" ")
        try:
            lines[at] = key + b" " + change(json.loads(text))
        except (ValueError, RecursionError):
            return page
    return b"\n".join(lines)


def slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value inside a JSON value, as the list or object and its key."""
    keys = range(len(value)) if isinstance(value, list) else list(value)
    for key in keys:
        yield value, key
        if isinstance(value[key], list | dict):
            yield from slots(value[key])


def _new(chance: random.Random) -> str:
    return chance.choice(TEXTS) if chance.random() < 0.5 else f"@raw@{chance.choice(RAW)}@"


def _replace(chance: random.Random, holder: Any, key: Any) -> None:
    holder[key] = _new(chance)


def _remove(chance: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _add(chance: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(key, chance.choice((holder[key], _new(chance))))
    else:
        new = chance.choice((f"@twice@{key}", str(key).upper(), chance.choice(TEXTS)))
        holder[new] = chance.choice((holder[key], _new(chance)))


def _rename(chance: random.Random, holder: Any, key: Any) -> None:
    value = holder.pop(key)
    if isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), value)
    else:
        holder[chance.choice(("tarball", "size", "hash", *TEXTS))] = value


_CHANGES = (_replace, _replace, _remove, _add, _rename)
_DAMAGES: Sequence[Damage] = (
    *(_flip, _cut, _insert, _part, _move_lines, _end_lines, _other_line, _as_yaml),
    *[_other_value] * 8,
)


def attempt(folder: Path, page: bytes) -> tuple[str, ...]:
    """Build a database of one page, and compare it with the page by all ways there are.

    Returns:
        The kinds of the errors for which it was refused; none if it was loaded and verified.

    Raises:
        AssertionError: the page was neither loaded whole nor refused with a message.
        Exception: nothing may raise another one, so this is a fault too.
    """
    found = fast.read_page(page)
    try:
        expected = general.read_page(page)
    except RefusedError:
        assert found is None
    else:
        assert told(expected) == read(page)
        assert found is None or comparable(found) == comparable(expected)

    pages, database = folder / "pages", folder / "a.db"
    write(pages, "develop", "py-msgpack", page)
    problems: list[Problem] = []
    request = Request((pages,))
    report = build(database, request, problems.append, lambda *_: None, skip_bad=True, force=True)
    errors = [problem for problem in problems if problem.severity == "error"]
    assert report is not None
    assert report.refused == bool(errors)
    assert all(problem.message for problem in problems)
    assert list(verify(database, request)) == []
    return tuple(sorted({problem.kind for problem in errors}))


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
def main(number: int, seed: int) -> None:
    """Damage NUMBER pages and say what became of them."""
    ends: Counter[str] = Counter()
    faults = 0
    # Nothing here must outlive a power cut.
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"):
        for turn in range(number):
            chance = random.Random(f"{seed}/{turn}")
            page = damaged(chance, chance.choice(PAGES))
            try:
                kinds = attempt(Path(folder), page)
            except Exception:
                faults += 1
                click.echo(f"page {turn}:\n{traceback.format_exc()}")
                continue
            ends["refused" if kinds else "loaded and verified"] += 1
            ends.update(f"  {kind}" for kind in kinds)
    for end, count in sorted(ends.items(), key=lambda item: (item[0][0] == " ", -item[1])):
        click.echo(f"{count:7,} {end}")
    click.echo(f"{faults:7,} faults")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
