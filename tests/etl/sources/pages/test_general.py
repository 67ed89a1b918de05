"""Any page is read whole, or refused with every reason, which the fast reader leaves to it."""

import json

import pytest

from etl.errors import Refusal, RefusedError
from etl.sources import bounds
from etl.sources.pages import fast, general, grammar
from tests.etl.oracle import comparable, told
from tests.pages import REAL, dag_hash, page, spec

MSGPACK = (REAL / "develop/py-msgpack/specs.md").read_bytes()


def refusals(text: str | bytes) -> list[Refusal]:
    """Why a page is refused; the fast reader must leave it to the general one."""
    data = text.encode() if isinstance(text, str) else text
    assert fast.read_page(data) is None
    with pytest.raises(RefusedError) as caught:
        general.read_page(data)
    return list(caught.value.refusals)


def refused(text: str | bytes) -> tuple[int, str, str]:
    """The one reason why a page is refused."""
    (found,) = refusals(text)
    return tuple(found)


def with_spec(**changes: object) -> str:
    """A page of one spec with these values."""
    return page("zlib", "develop", [spec("a")]).replace(
        json.dumps([spec("a")]), json.dumps([spec("a") | changes])
    )


def without(key: str) -> str:
    """A page of one spec that lacks a key."""
    one = spec("a")
    del one[key]
    return page("zlib", "develop", [spec("a")]).replace(json.dumps([spec("a")]), json.dumps([one]))


def test_a_real_page() -> None:
    found = general.read_page(MSGPACK)
    assert (found.release, found.package, len(found.specs)) == ("develop", "py-msgpack", 67)
    assert told(found).specs[0] == {
        "hash": "255hkvjjlmt7je7ljqabxkt4rcdwlcbh",
        "version": "1.0.3",
        "compiler": "gcc@7.5.0",
        "os": "ubuntu18.04",
        "platform": "linux",
        "target": "x86_64_v3",
        "variants": ["build_system=python_pip"],
        "values": [("build_system=python_pip", "build_system", "python_pip")],
        "size": None,
        "stacks": ["developer-tools", "root"],
        "tarball": None,
    }
    assert found.names.stacks["e4s"] == 16
    assert (found.meta_line, found.specs_line) == (5, 6)
    assert found.meta.num_specs_by_stack["e4s"] == 16
    assert found.meta.targets == {"aarch64", "neoverse_v1", "neoverse_v2", "ppc64le", "x86_64_v3"}
    assert (found.unknown, found.layout, found.body) == ({}, "cache", 0)


def test_yaml_that_is_not_one_line_of_json_reads_alike() -> None:
    import yaml

    front = yaml.safe_load(MSGPACK.decode().split("---")[1])
    block = yaml.safe_dump(front, default_flow_style=False)
    flow = yaml.safe_dump(front, default_flow_style=True, width=10**9)
    expected = general.read_page(MSGPACK)
    for text in (block, flow):
        data = f"---\n{text}---\n".encode()
        assert fast.read_page(data) is None
        found = general.read_page(data)
        assert (told(found), found.meta) == (told(expected), expected.meta)
        assert (found.release, found.package) == ("develop", "py-msgpack")


def test_title_and_categories_are_text_whatever_they_look_like() -> None:
    text = page("x", "develop", [spec("a")])
    for title in ("0.23", "yes", "2025-03-23", "~", "1e3"):
        assert general.read_page(text.replace('"x"', title).encode()).package == title
    snapshot = page("x", "develop-2025-03-23", [spec("a")])
    assert general.read_page(snapshot.encode()).release == "develop-2025-03-23"


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    text = page("zlib", "develop", [spec("a")])
    plain = general.read_page(text.encode())
    for data in (text.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + text.encode()):
        assert comparable(general.read_page(data)) == comparable(plain)


def test_json_is_read_as_json_writes_it() -> None:
    data = with_spec(variants=["note=\U0001f600", "x=1e+20"]).encode()
    assert b"\\ud83d\\ude00" in data
    assert general.read_page(data).specs[0].facts.variants.listed == ("note=\U0001f600", "x=1e+20")


def test_only_a_newline_ends_a_line() -> None:
    text = with_spec(variants=["note=a\u2028b"]).replace("\\u2028", "\u2028")
    assert general.read_page(text.encode()).specs[0].facts.variants.listed == ("note=a\u2028b",)


def test_three_dashes_inside_a_value_do_not_end_the_front_matter() -> None:
    assert general.read_page(with_spec(variants=["x=---"]).encode()).specs[
        0
    ].facts.variants.listed == ("x=---",)


def test_keys_nobody_knows_are_counted_by_place() -> None:
    text = with_spec(colour="red").replace("layout: cache", "layout: cache\nmood: good")
    text = text.replace('{"compilers"', '{"weather": 1, "compilers"')
    assert fast.read_page(text.encode()) is None
    assert general.read_page(text.encode()).unknown == {
        ("front matter", "mood"): 1,
        ("meta", "weather"): 1,
        ("spec_details", "colour"): 1,
    }


def test_text_behind_the_front_matter_is_counted() -> None:
    text = page("zlib", "develop", [spec("a")]) + "\n\nHello you\n"
    assert general.read_page(text.encode()).body == len("Helloyou")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", (0, "empty", "the page is empty, expected front matter between two --- lines")),
        (b" \n", (0, "empty", "the page is empty, expected front matter between two --- lines")),
        (b"# Hi\n", (1, "front-matter", "found '# Hi', expected --- as the first line")),
        (
            b"---\ntitle: x\n",
            (3, "front-matter", "the page ends before the --- that closes the front matter"),
        ),
        (b"---\nabc\n---", (2, "front-matter", "the front matter is not a list of `key: value` lines")),
        (b"---\ntitle: \xff\n---", (2, "encoding", "byte 0xff is not UTF-8: invalid start byte")),
        (b"---\ntitle: a\0b\n---", (2, "encoding", "the line holds a NUL")),
        (b"---\n\ntitle: a\x07\n---", (3, "encoding", "the line holds the control character U+0007")),
        (
            b"---\ntitle: [\n---",
            (3, "yaml", "the front matter is not valid YAML at column 1: did not find expected node content"),
        ),
        (
            b"---\ntitle: a\ntitle: b\n---",
            (3, "duplicate-key", "front matter: two keys 'title'"),
        ),
        (b"---\ntitle: &a b\n---", (2, "yaml", "an anchor (&'a'), which no page has")),
        (b"---\ntitle: *a\n---", (2, "yaml", "an alias (*'a'), which no page has")),
        (
            b"---\ntitle: !!python/object/apply:os.system [ls]\n---",
            (2, "yaml", "a tag ('tag:yaml.org,2002:python/object/apply:os.system'), which no page has"),
        ),
        (b"---\na: " + b"[" * 200_000 + b"\n---", (2, "yaml", "nested deeper than 16 levels")),
        (b"---\na: " + b"- " * 200_000 + b"\n---", (2, "yaml", "the front matter is not valid YAML at column 4: block sequence entries are not allowed in this context")),
        (
            b"---\nmeta: [" + b"[" * 200_000 + b"\n---",
            (2, "json", "meta is nested too deeply"),
        ),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_pages_that_cannot_be_parsed(text: bytes, expected: tuple[int, str, str]) -> None:
    assert refused(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            with_spec().split('eric"')[0] + "\n---",
            (6, "json", "spec_details is not valid JSON at column 205: Unterminated string starting at"),
        ),
        (
            with_spec().replace('"os": "ubuntu22.04"', '"os": "a", "os": "b"'),
            (6, "duplicate-key", "spec_details has an object with two keys 'os'"),
        ),
        (
            with_spec().replace('"num_specs": 1', '"num_specs": 1, "num_specs": 1'),
            (5, "duplicate-key", "meta has an object with two keys 'num_specs'"),
        ),
        (with_spec(size=float("nan")), (6, "type", "spec_details holds NaN, which is no JSON")),
        (
            with_spec(size=float("-inf")),
            (6, "type", "spec_details holds -Infinity, which is no JSON"),
        ),
        (
            with_spec().replace('"num_specs": 1', '"num_specs": ' + "9" * 5000),
            (5, "type", "meta holds a number that is too long"),
        ),
    ],
)  # fmt: skip
def test_json_that_cannot_be_read(text: str, expected: tuple[int, str, str]) -> None:
    line, kind, message = refused(text)
    assert (line, kind) == expected[:2]
    assert message.startswith(expected[2]), message


@pytest.mark.parametrize("key", ["title", "categories", "meta", "spec_details"])
def test_a_missing_key_of_the_front_matter(key: str) -> None:
    lines = [line for line in with_spec().split("\n") if not line.startswith(f"{key}:")]
    assert refused("\n".join(lines)) == (1, "missing-key", f"{key} is missing")


@pytest.mark.parametrize("key", sorted(grammar.META_KEYS))
def test_a_missing_key_of_meta(key: str) -> None:
    text = page("zlib", "develop", [spec("a")]).replace(f'"{key}": ', '"other": ', 1)
    assert refused(text) == (5, "missing-key", f"meta.{key} is missing")


@pytest.mark.parametrize("key", grammar.SPEC_REQUIRED)
def test_a_missing_key_of_a_spec(key: str) -> None:
    where = "spec 1: " if key == "hash" else f"spec 1 ({dag_hash('a')!r}): "
    assert refused(without(key)) == (6, "missing-key", f"{where}{key} is missing")


A = f"spec 1 ({dag_hash('a')!r}): "


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"hash": "abc"}, "hash", "spec 1 ('abc'): hash is 'abc', expected 32 characters of a-z and 2-7"),
        ({"hash": 5}, "type", "spec 1 (5): hash is the number 5, expected a text"),
        ({"versions": []}, "versions", f"{A}versions has 0 values, expected exactly one"),
        ({"versions": ["1", "2"]}, "versions", f"{A}versions has 2 values, expected exactly one"),
        ({"versions": "1.0"}, "type", f"{A}versions is the text '1.0', expected a list of texts"),
        ({"versions": [1.0]}, "type", f"{A}versions: a value is the number 1.0, expected a text"),
        ({"versions": [""]}, "name", f"{A}the version is empty"),
        ({"compiler": None}, "type", f"{A}compiler is null, expected a text"),
        ({"compiler": "@1"}, "name", f"{A}compiler is '@1', expected name@version or none"),
        ({"compiler": "gcc@"}, "name", f"{A}compiler is 'gcc@', expected name@version or none"),
        ({"os": ""}, "name", f"{A}os '' is empty"),
        ({"platform": "a/b"}, "name", f"{A}platform 'a/b' holds a slash"),
        ({"target": "a..b"}, "name", f"{A}target 'a..b' holds .."),
        ({"target": True}, "type", f"{A}target is true or false, expected a text"),
        ({"variants": {}}, "type", f"{A}variants is an object, expected a list of texts"),
        ({"variants": ["oops"]}, "variant", f"{A}variant 'oops', expected +name, ~name or name=value"),
        ({"variants": ["x=a\nb"]}, "encoding", f"{A}variants: a value holds the character U+000A"),
        ({"variants": ["x=\ud800"]}, "encoding", f"{A}variants: a value holds the character U+D800"),
        ({"stacks": [["e4s"]]}, "type", f"{A}stacks: a value is a list, expected a text"),
        ({"stacks": ["../e4s"]}, "name", f"{A}stacks: a value '../e4s' holds a slash"),
        ({"size": -1}, "size", f'{A}size is the number -1, expected "-" or a whole number of bytes'),
        ({"size": 1.5}, "size", f'{A}size is the number 1.5, expected "-" or a whole number of bytes'),
        ({"size": 2**63}, "size", f'{A}size is the number {2**63}, expected "-" or a whole number of bytes'),
        ({"size": True}, "type", f'{A}size is true or false, expected "-" or a whole number of bytes'),
        ({"size": "12"}, "type", f"{A}size is the text '12', expected \"-\" or a whole number of bytes"),
        ({"tarball": 1}, "type", f"{A}tarball is the number 1, expected a text"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_spec(changes: dict[str, object], kind: str, message: str) -> None:
    assert refused(with_spec(**changes)) == (6, kind, message)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"zlib"', '""', (2, "name", "title '' is empty")),
        ('"zlib"', "../x", (2, "name", "title '../x' holds a slash")),
        ('"zlib"', "[a]", (2, "type", "title is a list, expected a text")),
        (
            "[package, develop]",
            "[develop]",
            (4, "categories", "categories is ['develop'], expected [package, <release>]"),
        ),
        (
            "[package, develop]",
            "[package, develop, x]",
            (
                4,
                "categories",
                "categories is ['package', 'develop', 'x'], expected [package, <release>]",
            ),
        ),
        (
            "develop]",
            "nightly]",
            (
                4,
                "release",
                "release 'nightly', expected develop, develop-YYYY-MM-DD "
                "or a version such as v0.23.1",
            ),
        ),
        (
            "develop]",
            "develop-2025-13-01]",
            (
                4,
                "release",
                "release 'develop-2025-13-01', expected develop, develop-YYYY-MM-DD "
                "or a version such as v0.23.1",
            ),
        ),
        (
            '"num_specs": 1',
            '"num_specs": "1"',
            (5, "type", "meta.num_specs is the text '1', expected a whole number"),
        ),
        (
            '"num_specs": 1',
            '"num_specs": -1',
            (5, "size", "meta.num_specs is -1, expected 0 to 2^63-1"),
        ),
    ],
)
def test_a_wrong_value_above_the_specs(old: str, new: str, expected: tuple[int, str, str]) -> None:
    assert refused(with_spec().replace(old, new, 1)) == expected


def test_one_hash_twice_on_a_page() -> None:
    text = page("zlib", "develop", [spec("a"), spec("a", os="rhel8")])
    message = f"spec 2 ({dag_hash('a')!r}): the same hash as spec 1"
    assert refused(text) == (6, "repeated-hash", message)


def test_every_fault_of_a_page_is_reported_and_alike_ones_once() -> None:
    specs = [spec(name) | {"os": "", "size": -1} for name in ("a", "b", "c")]
    del specs[1]["target"]
    assert refusals(page("a/b", "develop", [spec("a")]).replace(
        json.dumps([spec("a")]), json.dumps(specs)
    )) == [
        (2, "name", "title 'a/b' holds a slash"),
        (6, "name", f"{A}os '' is empty (and 1 more specs)"),
        (6, "size", f'{A}size is the number -1, expected "-" or a whole number of bytes (and 1 more specs)'),
        (6, "missing-key", f"spec 2 ({dag_hash('b')!r}): target is missing"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '---\ntitle: "zlib"\nlayout: cache\ncategories: [package, v0.18.0]\n'
        'meta: {"versions": ["1.0"], "compilers": ["gcc@9"]}\n'
        'spec_files: ["a.json"]\nspec_names: ["zlib"]\n---',
        '---\ntitle: "zlib"\nlayout: cache\ncategories: [package, v0.18.0]\n'
        'meta: {"versions": ["1.0"], "compilers": ["gcc@9"]}\n---',
    ],
)
def test_pages_of_stages_a_and_b_are_too_old(text: str) -> None:
    assert refused(text) == (1, "old-format", "the page was made before pages had spec_details")


def test_a_page_without_specs_is_a_page() -> None:
    data = page("zlib", "develop", []).encode()
    found = general.read_page(data)
    assert fast.read_page(data) == found
    assert found.specs == ()


def accepted(text: str) -> bool:
    """Whether a page is loaded, by both readers that can."""
    data = text.encode()
    try:
        found = general.read_page(data)
    except RefusedError:
        assert fast.read_page(data) is None
        return False
    assert comparable(fast.read_page(data)) in (None, comparable(found))
    return True


def test_a_value_may_have_as_many_bytes_as_the_site_can_show() -> None:
    for key, most in (("os", bounds.MAX_NAME), ("tarball", grammar.MAX_TARBALL)):
        assert accepted(with_spec(**{key: "a" * most}))
        assert refused(with_spec(**{key: "a" * (most + 1)})) == (
            6,
            "too-large",
            f"{A}{key} '{'a' * 59}… has more than {most:,} bytes",
        )
        # Bytes of UTF-8 are counted, not characters.
        assert not accepted(with_spec(**{key: "ü" * (most // 2 + 1)}))
    assert accepted(with_spec(versions=["1" * bounds.MAX_NAME], compiler="g" * bounds.MAX_NAME))
    assert not accepted(with_spec(versions=["1" * (bounds.MAX_NAME + 1)]))
    assert not accepted(with_spec(compiler="g" * (bounds.MAX_NAME + 1)))
    assert not accepted(with_spec(stacks=["s" * (bounds.MAX_NAME + 1)]))


def test_the_variants_of_a_spec_are_bounded_in_bytes_and_in_values() -> None:
    room = bounds.MAX_VARIANTS - len('["x="]')
    assert accepted(with_spec(variants=[f"x={'a' * room}"]))
    more = f"{A}variants have more than {bounds.MAX_VARIANTS:,} bytes"
    assert refused(with_spec(variants=[f"x={'a' * (room + 1)}"])) == (6, "too-large", more)
    # Quotes and backslashes take two bytes in JSON.
    assert refused(with_spec(variants=["x=" + '"' * (room // 2 + 1)])) == (6, "too-large", more)
    values = ",".join("a" * (bounds.MAX_VALUES - 1))
    assert accepted(with_spec(variants=["+b", f"x={values}"]))
    assert refused(with_spec(variants=["+b", f"x={values},a"])) == (
        6,
        "too-large",
        f"{A}variants have more than {bounds.MAX_VALUES:,} values",
    )
    assert not accepted(with_spec(variants=["+b"] * (bounds.MAX_VALUES + 1)))


def test_the_stacks_of_a_spec_are_bounded() -> None:
    assert accepted(with_spec(stacks=["e4s"] * grammar.MAX_STACKS))
    assert refused(with_spec(stacks=["e4s"] * (grammar.MAX_STACKS + 1))) == (
        6,
        "too-large",
        f"{A}stacks have more than {grammar.MAX_STACKS:,} values",
    )


def test_what_all_specs_of_a_page_name_is_bounded() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    names = [f"{one}{other}" for one in letters for other in letters]
    few = [spec(name, versions=[name * 40]) for name in names[:280]]
    many = [spec(name, versions=[name * 40]) for name in names[:320]]
    assert grammar.MAX_NAMES == 25_000
    assert accepted(page("zlib", "develop", few))
    assert refused(page("zlib", "develop", many)) == (
        6,
        "too-large",
        "the specs name versions, stacks and so on of 26,620 bytes, expected at most 25,000",
    )


def test_an_object_of_spec_details_is_bounded_with_all_that_nobody_knows() -> None:
    assert accepted(with_spec(more="a" * (grammar.MAX_RECORD - 500)))
    assert refused(with_spec(more="a" * grammar.MAX_RECORD)) == (
        6,
        "too-large",
        "spec 1 has more bytes, expected at most 250,000",
    )


@pytest.mark.parametrize("size", [4000, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("text", ["a", "ü", "\U0001f600", "\\", '"'])
def test_objects_of_any_size_are_read_whole(size: int, text: str) -> None:
    one = spec("a", more=text * (size // len(json.dumps(text)) + 1))
    for ascii_only in (True, False):
        details = json.dumps([one, spec("b")], ensure_ascii=ascii_only)
        written = page("zlib", "develop", [spec("a")]).split("spec_details: ")[0]
        found = general.read_page(f"{written}spec_details: {details}\n---".encode())
        assert [one.hash for one in found.specs] == [dag_hash("a"), dag_hash("b")]


@pytest.mark.parametrize("most", [4096, 65_536])
def test_what_is_wrong_behind_a_long_object_is_found_in_its_place(most: int) -> None:
    text = with_spec(more="a" * most)
    line = text.split("\n")[5]
    column = len(line) - len("}]") + 1
    assert refused(text.replace("}]\n", "]]\n")) == (
        6,
        "json",
        f"spec_details is not valid JSON at column {column}: Expecting ',' delimiter",
    )
    assert refused(text.replace("}]\n", "}\n")) == (
        6,
        "json",
        f"spec_details is not valid JSON at column {column + 1}: Expecting ',' delimiter",
    )
    assert refused(text.replace("}]\n", "}]]\n")) == (
        6,
        "json",
        f"spec_details is not valid JSON at column {column + 2}: Extra data",
    )


def test_of_many_faults_of_a_kind_the_first_are_told_and_how_many_more() -> None:
    variants = [f"bad!{number:03}" for number in range(100)]
    found = refusals(with_spec(variants=variants, stacks=["a/b"] * 3))
    assert found[:20] == [
        Refusal(6, "variant", f"{A}variant '{one}', expected +name, ~name or name=value")
        for one in variants[:20]
    ]
    assert found[20:] == [
        Refusal(6, "name", f"{A}stacks: a value 'a/b' holds a slash (and 2 more specs)"),
        Refusal(6, "variant", "… and 80 more of this kind"),
    ]


def test_of_many_keys_nobody_knows_the_first_are_named_and_how_many_more() -> None:
    specs = [
        spec("a") | {f"k{number:02}": 1 for number in range(30)},
        spec("b") | {"k00": 1, "k29": 1},
    ]
    found = general.read_page(page("zlib", "develop", specs).encode())
    assert found.unknown == {("spec_details", f"k{n:02}"): 1 + (n == 0) for n in range(20)}
    assert found.unknown_more == 11


def test_faults_of_the_front_matter_and_of_specs_are_limited_together() -> None:
    specs = [spec(name, os=f"{name}/") for name in "abcdefghijklmnopqrstuvwxyz"]
    text = page("zlib", "develop", [spec("a")]).replace(json.dumps([spec("a")]), json.dumps(specs))
    found = refusals(text.replace('"zlib"', "a/b"))
    assert found[0] == Refusal(2, "name", "title 'a/b' holds a slash")
    assert found[-1] == Refusal(6, "name", "… and 7 more of this kind")
    assert len(found) == 21


def test_yaml_is_read_as_it_stands() -> None:
    text = with_spec()
    tab = text.replace("layout: cache", "layout: cache\n\t")
    assert refused(tab) == (
        4,
        "yaml",
        "the front matter is not valid YAML at column 1: found a tab character that violates indentation",
    )
    assert accepted(text.replace("}]\n", "}] \t \n"))
