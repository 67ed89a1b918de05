"""What is odd about a page that loads is told, in the wording of the table of problems."""

from etl.problems import Problem
from etl.sources.pages import read_page
from etl.sources.pages.review import review
from tests.pages import dag_hash, meta_of, page, spec

A = dag_hash("a")


def told(
    text: str, path: str = "develop/zlib/specs.md", *, in_layout: bool = True
) -> list[Problem]:
    return list(review(path, read_page(text.encode()), in_layout=in_layout))


def test_an_ordinary_page_has_nothing_odd() -> None:
    assert told(page("zlib", "develop", [spec("a")])) == []


def test_what_is_odd_about_a_page() -> None:
    specs = [spec("a", stacks=["root", "root"], variants=["x:=1", "x=1"]), spec("b")]
    text = page("zlib", "develop", specs, meta_of(specs) | {"num_specs": 3})
    text = text.replace("layout: cache", "layout: x") + "\n more \n"
    path = "v9/hdf/specs.md"
    assert told(text, path) == [
        Problem(path, 0, "path-release",
                "the folder says release 'v9', the front matter 'develop', which counts"),
        Problem(path, 0, "path-package",
                "the folder says package 'hdf', the front matter 'zlib', which counts"),
        Problem(path, 0, "layout", "layout is 'x', expected 'cache'"),
        Problem(path, 0, "body", "4 characters behind the front matter are not read"),
        Problem(path, 5, "meta", "meta says num_specs 3, spec_details has 2"),
        Problem(path, 6, "repeated-value", f"hash {A}: variants names 'x=1' more than once; kept once"),
        Problem(path, 6, "repeated-value", f"hash {A}: stacks names 'root' more than once; kept once"),
    ]  # fmt: skip


def test_folders_count_only_in_the_layout() -> None:
    assert told(page("zlib", "develop", [spec("a")]), "v9/hdf/one.md", in_layout=False) == []


def test_tarballs_that_cannot_be_linked_to() -> None:
    addresses = (
        *("https://a.b/c", "HTTP://a.b", "ftp://a.b", "javascript:alert(1)", "//a.b", ""),
        *("https:///c", "https:// a"),
    )
    specs = [
        spec(f"a{place}", tarball=one) for place, one in zip("abcdefgh", addresses, strict=True)
    ]
    found = told(page("zlib", "develop", specs))
    assert {one.kind for one in found} == {"tarball"}
    assert [one.message for one in found] == [
        f"hash {dag_hash('ac')}: tarball 'ftp://a.b' is no http or https address; kept as text",
        f"hash {dag_hash('ad')}: tarball 'javascript:alert(1)' is no http or https address; kept as text",
        f"hash {dag_hash('ae')}: tarball '//a.b' is no http or https address; kept as text",
        f"hash {dag_hash('af')}: tarball '' is no http or https address; kept as text",
        f"hash {dag_hash('ag')}: tarball 'https:///c' is no http or https address; kept as text",
        f"hash {dag_hash('ah')}: tarball 'https:// a' is no http or https address; kept as text",
    ]


def test_of_many_odd_values_the_first_are_told_and_how_many_more() -> None:
    names = [f"{one}{other}" for one in "abcdef" for other in "abcdef"]
    found = told(page("zlib", "develop", [spec(name, stacks=["e4s", "e4s"]) for name in names]))
    assert len(found) == 21
    assert [one.message for one in found[:20]] == [
        f"hash {dag_hash(name)}: stacks names 'e4s' more than once; kept once"
        for name in names[:20]
    ]
    assert found[20] == Problem(
        "develop/zlib/specs.md", 6, "repeated-value", "… and 16 more of this kind"
    )


def test_of_many_names_in_meta_the_first_are_told_and_how_many_more() -> None:
    names = [f"v{number:03}" for number in range(25)]
    specs = [spec("a")]
    meta = meta_of(specs) | {
        "versions": ["1.0", *names],
        "num_specs_by_stack": dict.fromkeys(names, 1),
    }
    first = ",".join(f'"{name}"' for name in names[:20])
    said = ",".join(f'"{name}":1' for name in names[:18])
    none = ",".join(f'"{name}":0' for name in names[:18])
    assert [one.message for one in told(page("zlib", "develop", specs, meta))] == [
        f'meta says num_specs_by_stack {{"e4s":0,"root":0,{said}}}, '
        f'spec_details has {{"e4s":1,"root":1,{none}}} and 7 more',
        f"meta lists 26 versions, spec_details has 1; only in meta: [{first}] and 5 more; "
        "only in spec_details: []",
    ]
