"""`reread` reads pages its own way, refuses what `extract` refuses, and survives hostile pages."""

import hashlib
import json
import os
import random
import re
import textwrap
from pathlib import Path

import pytest

from etl import extract, reread
from etl.reread import BadPage, Entry, Page, find_files, read_file, read_page, variant_rows
from tests.pages import REAL, dag_hash, meta_of, page, spec, write, write_specs

GOOD = page("zlib", "develop", [spec("one"), spec("two", size=7, tarball="https://x.org/two")])
BLOCK = textwrap.dedent(f"""\
    ---
    title: "zlib"
    categories:
    - package
    - develop
    meta:
      compilers: [gcc@13.2.0]
      num_specs: 1
      num_specs_by_stack: {{e4s: 1}}
      oss: [ubuntu22.04]
      platforms: [linux]
      stacks: [e4s]
      targets: [x86_64_v3]
      versions: ["1.10"]
    spec_details:
    - hash: {dag_hash("one")}
      versions: ["1.10"]
      compiler: gcc@13.2.0
      os: ubuntu22.04
      platform: linux
      target: x86_64_v3
      variants: [+pic]
      stacks: [e4s]
      size: 12
    ---
""")


def test_a_page_of_json_lines() -> None:
    assert read_page(GOOD.encode()) == Page(
        release="develop",
        package="zlib",
        entries=[
            Entry(
                hash=dag_hash("one"),
                version="1.0",
                compiler="gcc@13.2.0",
                os="ubuntu22.04",
                platform="linux",
                target="x86_64_v3",
                variants='["build_system=generic"]',
                size=None,
                stacks='["e4s","root"]',
                tarball=None,
            ),
            Entry(
                hash=dag_hash("two"),
                version="1.0",
                compiler="gcc@13.2.0",
                os="ubuntu22.04",
                platform="linux",
                target="x86_64_v3",
                variants='["build_system=generic"]',
                size=7,
                stacks='["e4s","root"]',
                tarball="https://x.org/two",
            ),
        ],
        specs_line=6,
        remarks=[],
        unknown={},
    )


def test_a_page_of_block_yaml() -> None:
    found = read_page(BLOCK.encode())
    (entry,) = found.entries
    assert (found.release, found.package, found.specs_line) == ("develop", "zlib", 15)
    assert (entry.version, entry.variants, entry.size) == ("1.10", '["+pic"]', 12)
    assert found.remarks == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\N{BYTE ORDER MARK}"])
def test_marks_and_ends_of_lines_do_not_matter(start: str, end: str) -> None:
    text = start + GOOD.replace("\n", end) + end
    assert read_page(text.encode()) == read_page(GOOD.encode())


def test_title_and_categories_are_text() -> None:
    text = GOOD.replace('"zlib"', "2025-03-23").replace("[package, develop]", "[package, v0.20]")
    found = read_page(text.encode())
    assert (found.package, found.release) == ("2025-03-23", "v0.20")


def test_a_line_of_a_text_is_no_key() -> None:
    text = GOOD.replace("\n---", '\nnote: "\nmeta: {}\n"\n---')
    found = read_page(text.encode())
    assert (len(found.entries), found.unknown) == (2, {("front matter", "note"): 1})


@pytest.mark.parametrize(
    ("variant", "rows"),
    [
        ("+mpi", [("+mpi", "mpi", "true")]),
        ("~mpi", [("~mpi", "mpi", "false")]),
        ("++mpi", [("+mpi", "mpi", "true")]),
        ("~~mpi", [("~mpi", "mpi", "false")]),
        ("a=b", [("a=b", "a", "b")]),
        ("a==b", [("a=b", "a", "b")]),
        ("a=b=c", [("a=b=c", "a", "b=c")]),
        ("a='b,c'", [("a=b", "a", "b"), ("a=c", "a", "c")]),
        ('a="b+c"', [("a=b+c", "a", "b+c")]),
        ("a='", [("a='", "a", "'")]),
        ("a='b\"", [("a='b\"", "a", "'b\"")]),
        ("a=''", [("a=", "a", "")]),
        ("a=,b", [("a=", "a", ""), ("a=b", "a", "b")]),
    ],
)
def test_variant_values(variant: str, rows: list[tuple[str, str, str]]) -> None:
    assert list(variant_rows(variant)) == rows


def changed(**changes: object) -> str:
    return page("zlib", "develop", [spec("one") | changes], meta_of([spec("one")]))


def without(key: str) -> str:
    one = spec("one")
    del one[key]
    return page("zlib", "develop", [one], meta_of([spec("one")]))


def with_meta(**changes: object) -> str:
    return page("zlib", "develop", [spec("one")], meta_of([spec("one")]) | changes)


NESTED = 200_000

BAD_PAGES: dict[str, dict[str, str | bytes]] = {
    "not UTF-8": {"a byte": b"\xff"},
    "holds a control character": {
        "NUL": GOOD + "\0",
        "C1": GOOD.replace("e4s", "e4\x85"),
        "lone CR": GOOD.replace("\n", "\r"),
    },
    "no front matter between two --- lines": {
        "empty": "",
        "text first": "text\n" + GOOD,
        "unclosed": GOOD.removesuffix("---"),
    },
    "the front matter is not a mapping": {"nothing": "---\n---", "a list": "---\n- a\n---"},
    "not YAML: while scanning a quoted scalar": {"unclosed": GOOD.replace('"zlib"', '"zlib')},
    "not YAML: while parsing a flow node": {"cut off": GOOD[:400] + "\n---"},
    "more than one YAML document": {"two": GOOD.removesuffix("---") + "--- {}\n---"},
    "a directive": {"version": GOOD.replace("---\ntitle", "---\n%YAML 1.1\ntitle")},
    "an anchor, an alias or a tag": {
        "tag": GOOD.replace('"zlib"', "!!python/name:os.system zlib"),
        "non-specific tag": GOOD.replace('"zlib"', "! zlib"),
        "anchor": GOOD.replace('"zlib"', "&a zlib"),
        "alias": GOOD.replace("layout: cache", "layout: *a"),
        "alias as key": GOOD.replace("layout: cache", "? *a\n: b"),
    },
    "YAML nested too deeply": {
        "list": f"---\ntitle: {'[' * NESTED}\n---",
        "mapping": f"---\ntitle: {'{a: ' * NESTED}\n---",
        "block": f"---\ntitle:\n  {'- ' * NESTED}\n---",
    },
    "JSON nested too deeply": {
        "open": GOOD.replace("spec_details: [", f"spec_details: {'[' * NESTED}"),
        "closed": f"---\nmeta: {'[' * NESTED}{']' * NESTED}\n---",
    },
    "too many lists and objects": {"lists": f"---\nmeta: [{'[],' * 1_000_001}[]]\n---"},
    "too much YAML": {"one line": f"---\ntitle: {'a' * 1_100_000}\n---"},
    "too many lines of YAML": {"empty ones": "---\n" + "\n" * 1_100_000 + "---"},
    "a number of too many characters": {
        "base 60": BLOCK.replace("size: 12", f"size: {'1:' * 300}1")
    },
    "a number is too long": {"5,000 digits": GOOD.replace('"size": 7', f'"size": {"9" * 5000}')},
    "an unreadable value": {"no such date": BLOCK.replace("[e4s]", "[2025-02-30]")},
    "a line of JSON is not the whole value of its key": {
        "in a text": GOOD.replace("layout: cache", 'a: "\nmeta: {}\n"\nlayout: cache'),
        "goes on": GOOD.replace("\nspec_details", "\n  more\nspec_details"),
    },
    "a key occurs twice": {
        "title": GOOD.replace("layout", 'title: "zlib"\nlayout'),
        "meta": GOOD.replace("spec_details", "meta: {}\nspec_details"),
        "in JSON": GOOD.replace('"os": ', '"os": "a", "os": ', 1),
        "in YAML": BLOCK.replace("size: 12", "size: 12\n  size: 12"),
    },
    "NaN is no number": {"size": changed(size=float("nan"))},
    "Infinity is no number": {"size": changed(size=float("inf"))},
    "a key is not a text": {"a list": GOOD.replace("layout: cache", "[a]: cache")},
    "the front matter lacks a key": {
        "title": GOOD.replace("title", "name"),
        "stage B": '---\ntitle: "a"\ncategories: [package, v0.18]\nmeta: {}\nspec_files: []\n---',
    },
    "title is not a text": {"a list": GOOD.replace('"zlib"', "[zlib]")},
    "title is no name": {
        "empty": GOOD.replace('"zlib"', '""'),
        "slash": GOOD.replace('"zlib"', '"a/b"'),
        "two dots": GOOD.replace('"zlib"', '".."'),
    },
    "layout is not a text": {"a list": GOOD.replace("layout: cache", "layout: [cache]")},
    "categories is not [package, release]": {
        "other": GOOD.replace("[package, develop]", "[tag, develop]"),
        "three": GOOD.replace("[package, develop]", "[package, develop, more]"),
        "text": GOOD.replace("[package, develop]", "package"),
    },
    "no such kind of release": {
        "a day that was not": GOOD.replace(", develop]", ", develop-2025-02-30]")
    },
    "meta is not an object": {"a list": GOOD.replace("meta: {", 'meta: [] # {"')},
    "meta lacks a key": {"oss": GOOD.replace('"oss"', '"osses"')},
    "meta.num_specs is not a whole number": {
        "a half": with_meta(num_specs=0.5),
        "a truth": with_meta(num_specs=True),
    },
    "a count in meta is not a whole number": {"below 0": with_meta(num_specs_by_stack={"a": -1})},
    "meta.num_specs_by_stack is not an object": {"a list": with_meta(num_specs_by_stack=[])},
    "a value of meta.versions is not a text": {"a number": with_meta(versions=[1])},
    "a value of meta.versions holds a control character or half a character": {
        "half": with_meta(versions=["\ud800"])
    },
    "spec_details is not a list": {
        "an object": GOOD.replace("spec_details: [", "spec_details: {} # [")
    },
    "a spec is not an object": {"a text": GOOD.replace("spec_details: [", 'spec_details: ["a", ')},
    "a spec lacks a key": {key: without(key) for key in spec("one")},
    "a hash occurs twice": {"one": page("zlib", "develop", [spec("one"), spec("one")])},
    **{
        f"{key} is not a text": {"null": changed(**{key: None}), "number": changed(**{key: 1})}
        for key in ("compiler", "hash", "os", "platform", "target", "tarball")
    },
    **{
        f"{key} holds a control character": {"bell": changed(**{key: "\x07"})}
        for key in ("compiler", "hash", "os", "platform", "target", "tarball")
    },
    **{
        f"{key} is no name": {"empty": changed(**{key: ""}), "slash": changed(**{key: "a/b"})}
        for key in ("os", "platform", "target")
    },
    "no hash": {
        "empty": changed(hash=""),
        "capitals": changed(hash=dag_hash("one").upper()),
        "other alphabet": changed(hash="1" * 32),
    },
    "versions is not a list": {"text": changed(versions="1")},
    "versions does not hold exactly one": {
        "none": changed(versions=[]),
        "two": changed(versions=["1", "2"]),
    },
    "a version is empty": {"empty": changed(versions=[""])},
    "no compiler": {
        "empty": changed(compiler=""),
        "no name": changed(compiler="@1"),
        "no version": changed(compiler="gcc@"),
    },
    "a list of a spec is not a list": {
        "variants": changed(variants=None),
        "stacks": changed(stacks="root"),
    },
    "a list of a spec holds a list or an object": {"stacks": changed(stacks=[["a"]])},
    "a stack is no name": {"slash": changed(stacks=["a/b"]), "empty": changed(stacks=[""])},
    "a variant is not a text": {"a truth": changed(variants=[True])},
    "no variant": {
        "no sign": changed(variants=["mpi"]),
        "no name": changed(variants=["+"]),
        "no name before a value": changed(variants=["=a"]),
        "three signs": changed(variants=["+++a"]),
        "other letters": changed(variants=["+\N{LATIN SMALL LETTER E WITH ACUTE}"]),
    },
    "size is not a whole number from 0 to 2^63-1": {
        "null": changed(size=None),
        "below 0": changed(size=-1),
        "too large": changed(size=2**63),
        "a half": changed(size=0.5),
        "text": changed(size="12"),
    },
}


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        pytest.param(reason, content, id=f"{reason}: {name}")
        for reason, contents in BAD_PAGES.items()
        for name, content in contents.items()
    ],
)
def test_a_bad_page_is_refused_on_both_ways(reason: str, content: str | bytes) -> None:
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    with pytest.raises(BadPage, match=f"^{re.escape(reason)}"):
        read_page(content)
    with pytest.raises(extract.PageError):
        extract.read_page(content)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A page with a byte changed, a piece cut out, its end lost, or two lines exchanged."""
    at, length = chance.randrange(len(content)), chance.choice([1, 1, 10, 1000])
    kind = chance.randrange(4)
    if kind == 0:
        return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
    if kind == 1:
        return content[:at] + content[at + length :]
    if kind == 2:
        return content[:at]
    lines = content.split(b"\n")
    lines.insert(chance.randrange(len(lines)), lines.pop(chance.randrange(len(lines))))
    return b"\n".join(lines)


def is_good(read: object, content: bytes, bad: type[Exception]) -> bool:
    assert callable(read)
    try:
        read(content)
    except bad:
        return False
    return True


def test_damaged_pages_are_good_or_bad_on_both_ways() -> None:
    chance = random.Random(0)
    pages = [file.read_bytes() for file in sorted(REAL.glob("*/*/specs.md"))] + [GOOD.encode()]
    verdicts = set()
    for _ in range(500):
        content = damaged(chance.choice(pages), chance)
        good = is_good(read_page, content, BadPage)
        assert good == is_good(extract.read_page, content, extract.PageError), content
        verdicts.add(good)
    assert verdicts == {True, False}


def test_the_limits_are_those_of_the_build() -> None:
    assert (
        reread.MAX_BYTES,
        reread.MAX_YAML,
        reread.MAX_CONTAINERS,
        reread.MAX_SCALAR,
        reread.MAX_DEPTH,
        reread.MAX_NUMBER,
    ) == (
        extract.MAX_BYTES,
        extract.MAX_YAML,
        extract.MAX_CONTAINERS,
        extract.MAX_SCALAR,
        extract.MAX_DEPTH,
        extract.MAX_SIZE,
    )


def test_what_is_odd_about_a_page() -> None:
    specs = [
        spec("one", new=1, stacks=["root", "root"], variants=["x:=1", "x=1"]),
        spec("two", new=2),
    ]
    meta = meta_of(specs) | {"newer": [], "num_specs": 3}
    text = page("zlib", "develop", specs, meta).replace("layout: cache", "layout: x\n'a\tb': 1")
    found = read_page(f"{text}\n more \n".encode())
    assert found.remarks == [
        (0, "layout", "layout is 'x', expected 'cache'"),
        (0, "body", "4 characters behind the front matter are not read"),
        (6, "meta", "meta says num_specs 3, spec_details has 2"),
        (
            7,
            "repeated-value",
            f"hash {dag_hash('one')}: variants names 'x=1' more than once; kept once",
        ),
        (
            7,
            "repeated-value",
            f"hash {dag_hash('one')}: stacks names 'root' more than once; kept once",
        ),
    ]
    assert found.unknown == {
        ("front matter", "a\\tb"): 1,
        ("meta", "newer"): 1,
        ("spec_details", "new"): 2,
    }


def test_finding_files_through_links_and_once(tmp_path: Path) -> None:
    file = write_specs(tmp_path / "pages", "develop", "zlib")
    other = write(tmp_path / "pages", "develop", "specs.md", "")
    (tmp_path / "pages" / "notes.md").write_text("not a page")
    (tmp_path / "pages" / "up").symlink_to(tmp_path)
    (tmp_path / "pages" / "loop").symlink_to("loop")
    (tmp_path / "linked").symlink_to(tmp_path / "pages")
    found = list(find_files([tmp_path / "linked", file, tmp_path]))
    assert sorted(found) == sorted([str(other), str(file)])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "develop" / "zlib"
    folder.mkdir(parents=True)
    pipe = folder / "specs.md"
    os.mkfifo(pipe)
    loop = folder / "loop.md"
    loop.symlink_to("loop.md")
    large = folder / "large.md"
    large.touch()
    os.truncate(large, reread.MAX_BYTES + 1)
    nothing = hashlib.sha256().hexdigest()
    for file, path, folders, reason in (
        (pipe, "develop/zlib/specs.md", ("develop", "zlib"), "not a regular file"),
        (loop, "loop.md", ("", ""), "cannot be read: Too many levels of symbolic links"),
        (large, "large.md", ("", ""), "too large"),
    ):
        *found, page = read_file(str(file))
        assert (*found, str(page)) == (path, folders, 0, nothing, reason)


def test_the_real_pages_hold_what_their_meta_counts() -> None:
    for file in sorted(REAL.glob("*/*/specs.md")):
        found = read_page(file.read_bytes())
        line = next(line for line in file.read_text().split("\n") if line.startswith("meta: "))
        assert len(found.entries) == json.loads(line.removeprefix("meta: "))["num_specs"]
        assert (found.remarks, found.unknown) == ([], {})
