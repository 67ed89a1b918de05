"""Pages made to crash, fill or stall whoever reads them are refused quickly, in little memory."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from etl import extract, quick
from etl.extract import PageError
from tests.pages import page, spec

ROOT = Path(__file__).parents[2]

# As many characters as a page may have of YAML, and as many bytes as it may have at all, but for
# the few of the lines around them.
YAML = extract.MAX_YAML - 2000
ALL = extract.MAX_BYTES - 2000

_, TITLE, LAYOUT, CATEGORIES, META, SPECS, _ = page("zlib", "develop", [spec("a")]).split("\n")
GOOD = (TITLE, LAYOUT, CATEGORIES, META, SPECS)

BOMB = ["a0: &a0 [x, x]", *[f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]]


def front(*lines: str) -> str:
    return "\n".join(("---", *lines, "---"))


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
    "nested block keys": (lambda: front("? " * 200_000), "2: nested deeper than 16 levels [yaml]"),
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
        "7: the front matter is not valid YAML at column 1: but found another document [yaml]",
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
        "6: spec_details holds a number that is too long: Exceeds the limit (4300 digits) for "
        "integer string conversion: value has 100000 digits; use sys.set_int_max_str_digits() "
        "to increase the limit [type]",
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
        lambda: front(*GOOD, "#\n" * (extract.MAX_YAML + 1)),
        "2: more than 1,048,576 lines of YAML [too-large]",
    ),
    "many lists": (
        lambda: front(*GOOD[:4], "spec_details: [" + "[]," * (ALL // 3) + "[]]"),
        "6: spec_details has 11,184,146 lists and objects, expected at most 1,000,000 [too-large]",
    ),
    "many texts": (
        lambda: front(*GOOD[:4], "spec_details: [" + '"ab",' * (ALL // 5) + '"ab"]'),
        "6: spec_details has 6,710,487 values that are no objects [type]",
    ),
    "many lines": (lambda: "ab\n" * (ALL // 3), "1: found 'ab', expected --- as the first line [front-matter]"),
    "many lines, never closed": (
        lambda: "---\n" + "ab\n" * (ALL // 3),
        "11184146: the page ends before the --- that closes the front matter [front-matter]",
    ),
}  # fmt: skip

# The command; says how much memory it took at most.
DRIVER = """
import re, sys
from pathlib import Path
from etl.cli import main

try:
    main(["check", "--jobs", "1", sys.argv[1]])
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def limits() -> None:
    gigabyte = 1024**3
    resource.setrlimit(resource.RLIMIT_AS, (gigabyte, gigabyte))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))


def check(pages: Path) -> tuple[dict[str, str], int]:
    """What is said of each page, by package, and the most memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, pages],
        env=os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limits,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = re.findall(r"^.*/develop/(.*)/specs\.md:(.*)$", done.stderr, re.MULTILINE)
    assert len(said) == done.stderr.count("\n") - len(("Finding", "Reading", "Error"))
    return dict(said), int(done.stdout.splitlines()[-1]) // 1024


@pytest.mark.parametrize(
    ("hostile", "most"), [(HOSTILE, 150), (LARGE, 700)], ids=["small", "large"]
)
def test_hostile_pages_are_refused_in_little_memory(
    hostile: dict[str, tuple[Callable[[], str], str]], most: int, tmp_path: Path
) -> None:
    for name, (text, _) in hostile.items():
        file = tmp_path / "develop" / name / "specs.md"
        file.parent.mkdir(parents=True)
        file.write_text(text())
    said, megabytes = check(tmp_path)
    assert said == {name: message for name, (_, message) in hostile.items()}
    assert megabytes < most


@pytest.mark.parametrize("name", [*HOSTILE, *LARGE])
def test_the_quick_way_leaves_hostile_pages_alone(name: str) -> None:
    text, _ = (HOSTILE | LARGE)[name]
    assert quick.read_page(text().encode()) is None


def test_a_line_of_a_gigabyte(tmp_path: Path) -> None:
    file = tmp_path / "develop" / "zlib" / "specs.md"
    file.parent.mkdir(parents=True)
    file.write_text("---\n")
    os.truncate(file, 1024**3)
    said, megabytes = check(tmp_path)
    assert said == {"zlib": " 1,073,741,824 bytes, expected at most 33,554,432 [too-large]"}
    assert megabytes < 100


def test_as_much_yaml_as_may_be() -> None:
    most = front(*GOOD, "note: " + "a" * (extract.MAX_YAML - 200))
    assert extract.read_page(most.encode()).unknown == {("front matter", "note"): 1}
    with pytest.raises(PageError, match="characters of YAML"):
        extract.read_page(most.replace("note: ", "note: " + "a" * 200).encode())
