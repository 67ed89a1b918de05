"""Pages made to crash, fill or stall whoever reads them are refused quickly, in little memory."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from etl.errors import RefusedError
from etl.sources import bounds
from etl.sources.pages import fast, general, grammar
from tests.pages import dag_hash, page, spec, write, write_specs

ROOT = Path(__file__).parents[2]

# As many characters as a page may have of YAML, and as many bytes as it may have at all, but for
# the few of the lines around them.
YAML = grammar.MAX_YAML - 2000
ALL = grammar.MAX_BYTES - 2000

_, TITLE, LAYOUT, CATEGORIES, META, SPECS, _ = page("zlib", "develop", [spec("a")]).split("\n")
GOOD = (TITLE, LAYOUT, CATEGORIES, META, SPECS)

BOMB = ["a0: &a0 [x, x]", *[f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]]


def front(*lines: str) -> str:
    return "\n".join(("---", *lines, "---"))


def with_specs(changes: Iterable[dict[str, object]]) -> str:
    """A page of specs that each have these values, and a hash of their own."""
    specs = [
        json.dumps(spec("a", **values, hash=_hash(number)), separators=(",", ":"))
        for number, values in enumerate(changes)
    ]
    return front(*GOOD[:4], f"spec_details: [{','.join(specs)}]")


def _hash(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return dag_hash("".join(letters[number >> shift & 31] for shift in (15, 10, 5, 0)))


HOSTILE: dict[str, tuple[Callable[[], str], str]] = {
    "python tag": (
        lambda: front(*GOOD, "note: !!python/object/apply:os.system [exit]"),
        "7: a tag ('tag:yaml.org,2002:python/object/apply:os.system'), which no page has [yaml]",
    ),
    "python name": (
        lambda: front(*GOOD, "note: !!python/name:os.system x"),
        "7: a tag ('tag:yaml.org,2002:python/name:os.system'), which no page has [yaml]",
    ),
    "own tag": (lambda: front(*GOOD, "note: !x y"), "7: a tag ('!x'), which no page has [yaml]"),
    "alias bomb": (
        lambda: front(*BOMB, *GOOD),
        "2: an anchor (&'a0'), which no page has [yaml]",
    ),
    "alias": (lambda: front(*GOOD, "note: *x"), "7: an alias (*'x'), which no page has [yaml]"),
    "nested lists": (
        lambda: front(*GOOD, "note: " + "[" * 200_000 + "]" * 200_000),
        "7: nested deeper than 16 levels [yaml]",
    ),
    "nested lists, never closed": (
        lambda: front(*GOOD, "note: " + "[" * 200_000),
        "7: nested deeper than 16 levels [yaml]",
    ),
    "nested lists of lines": (
        lambda: front(*GOOD, "note: " + "[\n  " * 200_000),
        "22: nested deeper than 16 levels [yaml]",
    ),
    "nested objects": (
        lambda: front(*GOOD, "note: " + "{a: " * 200_000),
        "7: nested deeper than 16 levels [yaml]",
    ),
    "nested block lists": (lambda: front("- " * 200_000), "2: nested deeper than 16 levels [yaml]"),
    "nested block keys": (
        lambda: front("? " * 200_000),
        "2: front matter: a key is not a text [type]",
    ),
    "nested block values": (
        lambda: front(*(f"{' ' * n}a:" for n in range(1000))),
        "18: nested deeper than 16 levels [yaml]",
    ),
    "nested JSON": (
        lambda: front(*GOOD[:4], "spec_details: " + "[" * 200_000 + "]" * 200_000),
        "6: spec_details is nested too deeply [json]",
    ),
    "long key": (
        lambda: front(*GOOD, "k" * YAML + ": 1"),
        "7: the front matter is not valid YAML at column 1046577: could not find expected ':' [yaml]",
    ),
    "long quoted key": (
        lambda: front(*GOOD, '"' + "k" * YAML + '": 1'),
        "7: the front matter is not valid YAML at column 1046579: could not find expected ':' [yaml]",
    ),
    "many documents": (
        lambda: front(*GOOD, *["--- a"] * (YAML // 6)),
        "7: there is another YAML document [yaml]",
    ),
    "directive": (lambda: front("%YAML 1.1", "--- {}"), "2: a directive (%), which no page has [yaml]"),
    "many directives": (
        lambda: front(*(f"%TAG !{n}! x" for n in range(YAML // 16)), "--- {}"),
        "2: a directive (%), which no page has [yaml]",
    ),
    "directive on a line of YAML's own": (
        lambda: front(*GOOD, "...\u2028%TAG ! x"),
        "7: a directive (%), which no page has [yaml]",
    ),
    "number in base 60": (
        lambda: front(*GOOD, "note: 1" + ":1" * (YAML // 2)),
        "7: a number of more than 500 characters [type]",
    ),
    "fraction in base 60": (
        lambda: front(*GOOD, "note: 1" + ":1" * 200 + ".5"),
        "7: unreadable value: int too large to convert to float [type]",
    ),
    "long number": (
        lambda: front(*GOOD, "note: 0x" + "f" * 10_000),
        "7: a number of more than 500 characters [type]",
    ),
    "long number of JSON": (
        lambda: front(*GOOD[:4], SPECS.replace('"-"', "9" * 100_000)),
        "6: spec_details holds a number that is too long [type]",
    ),
    "JSON inside a text": (
        lambda: front(*GOOD[:3], "note: 'x", META, SPECS, "'"),
        "2: a line of meta is inside another value [yaml]",
    ),
    "JSON inside an object": (
        lambda: front(*GOOD[:3], "note: {", META, "}", SPECS),
        "2: a line of meta is inside another value [yaml]",
    ),
}  # fmt: skip
LARGE: dict[str, tuple[Callable[[], str], str]] = {
    "too much YAML": (
        lambda: front(*GOOD, "note: [" + "a," * (YAML // 2 + 2000) + "]"),
        "2: 1,050,742 characters of YAML, expected at most 1,048,576 [too-large]",
    ),
    "too many lines of YAML": (
        lambda: front(*GOOD, "#\n" * (grammar.MAX_YAML + 1)),
        "2: more than 1,048,576 lines of YAML [too-large]",
    ),
    "many lists": (
        lambda: front(*GOOD[:4], "spec_details: [" + "[]," * (ALL // 3) + "[]]"),
        "6: spec_details has more values, expected at most 200,000 [too-large]",
    ),
    "many texts in one spec": (
        lambda: with_specs([{"stacks": ["ab"] * (ALL // 6)}]),
        "6: spec 1 has more bytes, expected at most 250,000 [too-large]",
    ),
    "many texts in keys nobody knows": (
        lambda: with_specs([{"more": ["ab"] * 38_000, "size": -1}] * 40),
        '6: spec 1 (\'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\'): size is the number -1, expected "-" or a '
        "whole number of bytes (and 39 more specs) [size]",
    ),
    "many commas": (
        lambda: with_specs([{"variants": ["x=" + "," * (30 * 1024 * 1024)]}]),
        "6: spec 1 has more bytes, expected at most 250,000 [too-large]",
    ),
    "many commas in each spec": (
        lambda: with_specs([{"variants": ["x=" + "," * 24_000]}] * 1_200),
        f"6: spec 1 ('{dag_hash('a')}'): variants have more than {bounds.MAX_VALUES} values"
        " (and 1,199 more specs) [too-large]",
    ),
    "many values": (
        lambda: with_specs(
            {"variants": [f"x{n}={','.join(str(n * 1000 + k) for k in range(400))}"]}
            for n in range(5_000)
        ),
        "6: the specs have too many different variants [too-large]",
    ),
    "many different bad variants": (
        lambda: with_specs(
            {"variants": [f"{n}!{k}" for k in range(10_000)]} for n in range(30)
        ),
        "6: … and 299,980 more of this kind [variant]",
    ),
    "many stacks": (
        lambda: with_specs({"stacks": [f"{n}/{k}" for k in range(99)]} for n in range(2_000)),
        "6: … and 197,980 more of this kind [name]",
    ),
    "many lines": (lambda: "ab\n" * (ALL // 3), "1: found 'ab', expected --- as the first line [front-matter]"),
    "many lines, never closed": (
        lambda: "---\n" + "ab\n" * (ALL // 3),
        "11184146: the page ends before the --- that closes the front matter [front-matter]",
    ),
}  # fmt: skip

# Runs commands; says how much memory they took at most.
DRIVER = """
import re, shlex, sys
from pathlib import Path
from etl.cli import main

try:
    for command in sys.argv[1:]:
        main(shlex.split(command), standalone_mode=False)
except Exception as error:
    if not hasattr(error, "exit_code"):
        raise
    error.show()
    sys.exit(error.exit_code)
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def limits() -> None:
    gigabyte = 1024**3
    resource.setrlimit(resource.RLIMIT_AS, (gigabyte, gigabyte))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))


class Said(NamedTuple):
    """What commands said: their exit status, what they wrote, the most memory they took in MB."""

    status: int
    output: str
    messages: str
    megabytes: int

    @property
    def problems(self) -> list[str]:
        return [line for line in self.messages.splitlines() if line.endswith("]")]


def run(*commands: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *commands],
        env=os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limits,
    )
    assert "Traceback" not in done.stderr, done.stderr
    output, _, kilobytes = done.stdout.rstrip("\n").rpartition("\n")
    return Said(done.returncode, output, done.stderr, int(kilobytes) // 1024)


def write_all(folder: Path, pages: Mapping[str, tuple[Callable[[], str], str]]) -> None:
    for name, (text, _) in pages.items():
        write(folder, "develop", name, text())


def expected(folder: Path, pages: Mapping[str, tuple[Callable[[], str], str]]) -> list[str]:
    said = {f"{folder}/develop/{name}/specs.md": message for name, (_, message) in pages.items()}
    return [f"{file}:{message}" for file, message in sorted(said.items())]


def test_hostile_pages_are_refused_in_little_memory(tmp_path: Path) -> None:
    write_all(tmp_path, HOSTILE)
    said = run(f"check --jobs 1 '{tmp_path}'")
    assert said.problems == expected(tmp_path, HOSTILE)
    assert said.status == 1
    assert said.megabytes < 150


def test_the_largest_pages_are_left_out_in_little_memory_and_proved_to_be(tmp_path: Path) -> None:
    pages, database = tmp_path / "pages", tmp_path / "a.db"
    write_all(pages, LARGE)
    write_specs(pages, "develop", "zlib", spec("a"))
    said = run(
        f"build --skip-bad --jobs 1 '{database}' '{pages}'", f"verify '{database}' '{pages}'"
    )
    # Of a page with many faults twenty of a kind are told, and how many more.
    told = Counter(line.partition("/specs.md:")[0].rpartition("/")[2] for line in said.problems)
    assert told == dict.fromkeys(LARGE, 1) | {"many different bad variants": 21, "many stacks": 22}
    assert {*expected(pages, LARGE)} <= {*said.problems}
    assert (said.status, said.output.count("\n")) == (0, 1)
    assert said.output.split("\n")[1].startswith(f"{database} holds what the sources say (")
    assert len(said.messages) < 20_000
    assert database.stat().st_size < 1_000_000
    assert said.megabytes <= 300
    with closing(sqlite3.connect(database)) as connection:
        most = "SELECT max(n) FROM (SELECT count(*) n FROM problems GROUP BY source, kind)"
        assert connection.execute(most).fetchall() == [(21,)]
        assert connection.execute("SELECT hash FROM specs").fetchall() == [(dag_hash("a"),)]


@pytest.mark.parametrize("name", [*HOSTILE, *LARGE])
def test_the_fast_reader_leaves_hostile_pages_alone(name: str) -> None:
    text, _ = (HOSTILE | LARGE)[name]
    assert fast.read_page(text().encode()) is None


def test_a_line_of_a_gigabyte(tmp_path: Path) -> None:
    file = tmp_path / "develop" / "zlib" / "specs.md"
    file.parent.mkdir(parents=True)
    file.write_text("---\n")
    os.truncate(file, 1024**3)
    said = run(f"check --jobs 1 '{tmp_path}'")
    assert said.problems == [
        f"{file}: 1,073,741,824 bytes, expected at most 33,554,432 [too-large]"
    ]
    assert said.megabytes < 100


def test_as_much_yaml_as_may_be() -> None:
    most = front(*GOOD, "note: " + "a" * (grammar.MAX_YAML - 200))
    assert general.read_page(most.encode()).unknown == {("front matter", "note"): 1}
    with pytest.raises(RefusedError, match="characters of YAML"):
        general.read_page(most.replace("note: ", "note: " + "a" * 200).encode())
