"""One row for each hash, the newest known value."""

import json
from dataclasses import asdict
from itertools import chain
from types import SimpleNamespace
from typing import Any

from etl.merge import SpecRows, merge, package_rows, spec_rows
from etl.problems import Problem
from etl.records import Source
from etl.schema import SPECS
from etl.sources.pages import read_page
from tests.pages import dag_hash, page, spec

A = dag_hash("a")
NEWEST = SPECS.column_names.index("newest")


def merged(*pages: tuple[str, list[dict[str, Any]]]) -> SimpleNamespace:
    """The rows and problems of pages of the package zlib, given newest release first."""
    package = merge("zlib", [source(release, specs) for release, specs in pages])
    (specs,) = spec_rows(package) if package.nodes else [SpecRows([], [], [], [], [], [])]
    return SimpleNamespace(
        **asdict(specs), **asdict(package_rows(package)), problems=package.problems
    )


def value(rows: SimpleNamespace, column: str) -> object:
    """A column of the first row of `specs`."""
    return dict(zip(SPECS.column_names, rows.specs[0], strict=True))[column]


def source(release: str, specs: list[dict[str, Any]]) -> Source:
    found = read_page(page("zlib", release, specs).encode())
    return Source(f"{release}/zlib/specs.md", found.specs_line, release, found.specs)


def test_one_spec_of_one_release() -> None:
    rows = merged(
        ("v0.23.1", [spec("a", compiler="gcc@=13.2.0", variants=["+b", "x:='1,2'"], size=7)])
    )
    assert rows.specs == [
        (
            A,
            "zlib",
            "1.0",
            1,
            "gcc@13.2.0",
            "gcc",
            "13.2.0",
            "ubuntu22.04",
            "linux",
            "x86_64_v3",
            '["+b","x=\'1,2\'"]',
            7,
            "zlib@1.0 +b x='1,2' arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0",
            '["e4s","root"]',
            '["v0.23.1"]',
            "v0.23.1",
            *(None, None, None),
        )
    ]
    assert rows.nodes == [(A, "zlib", "1.0", "binary", None)]
    assert rows.edges == []
    assert rows.spec_lists == [(A, "zlib/0")]
    assert rows.lists == [("zlib/0", "+b"), ("zlib/0", "x=1"), ("zlib/0", "x=2")]
    assert rows.spec_releases == [(A, "v0.23.1", None, "zlib")]
    assert rows.spec_stacks == [(A, "e4s", "v0.23.1"), (A, "root", "v0.23.1")]
    assert rows.problems == []


def test_both_spellings_of_one_hash_agree() -> None:
    rows = merged(
        ("develop", [spec("a", compiler="gcc@13.2.0", variants=["x=a,b", "+c"])]),
        ("v0.23.1", [spec("a", compiler="gcc@=13.2.0", variants=["+c", "x:='a,b'"])]),
    )
    assert rows.problems == []
    assert value(rows, "variants") == '["x=a,b","+c"]'
    assert value(rows, "releases") == '["develop","v0.23.1"]'


def test_a_known_value_beats_an_unknown_one_of_a_newer_release() -> None:
    rows = merged(
        ("develop", [spec("a", compiler="none")]),
        ("v0.23.1", [spec("a", size=512)]),
        ("v0.22.0", [spec("a", compiler="none", size=512)]),
    )
    assert (value(rows, "compiler"), value(rows, "size")) == ("gcc@13.2.0", 512)
    assert (value(rows, "newest"), rows.problems) == ("develop", [])


def test_of_two_known_values_the_newest_is_kept_and_the_other_recorded() -> None:
    rows = merged(
        ("develop", [spec("a", os="rhel8", compiler="none")]),
        ("develop-2025-07-13", [spec("a", os="rhel9", variants=["+z"])]),
        ("v0.23.1", [spec("a", os="rhel8", compiler="gcc@9.4.0")]),
    )
    assert value(rows, "os") == "rhel8"
    assert value(rows, "compiler") == "gcc@13.2.0"
    assert value(rows, "newest") == "develop"
    path = "develop-2025-07-13/zlib/specs.md"
    assert rows.problems == [
        Problem(path, 6, "conflict",
                f'hash {A}: os is "rhel9" here and "rhel8" in develop, which is newer and counts'),
        Problem(path, 6, "conflict",
                f'hash {A}: variants is ["+z"] here and ["build_system=generic"] in develop, '
                "which is newer and counts"),
        Problem("v0.23.1/zlib/specs.md", 6, "conflict",
                f'hash {A}: compiler is "gcc@9.4.0" here and "gcc@13.2.0" in develop-2025-07-13, '
                "which is newer and counts"),
    ]  # fmt: skip


def test_values_named_twice_are_kept_once() -> None:
    rows = merged(("develop", [spec("a", stacks=["e4s", "e4s"], variants=["x=1", "x:=1"])]))
    assert rows.spec_stacks == [(A, "e4s", "develop")]
    assert value(rows, "variants") == '["x=1"]'
    assert rows.problems == []


def test_stacks_and_tarballs_are_kept_for_each_release() -> None:
    rows = merged(
        ("develop", [spec("a", stacks=["root", "e4s"])]),
        ("v0.23.1", [spec("a", stacks=[], tarball="https://example.org/a")]),
    )
    assert rows.spec_stacks == [(A, "root", "develop"), (A, "e4s", "develop")]
    assert rows.spec_releases == [
        (A, "develop", None, "zlib"),
        (A, "v0.23.1", "https://example.org/a", "zlib"),
    ]
    assert value(rows, "stacks") == '["e4s","root"]'
    assert rows.package_stacks == [("zlib", "e4s", 1), ("zlib", "root", 1)]
    assert rows.package_releases == [
        ("zlib", "develop", 1, 0, 0),
        ("zlib", "v0.23.1", 1, 0, 0),
    ]


def test_tarballs_are_counted_by_where_they_are() -> None:
    public = "https://binaries.spack.io"
    places = (
        f"{public}/releases/v0.18/build_cache/a.spack",
        f"{public}/releases/v0.18/build_cache/b.spack",
        f"{public}/v0.18/build_cache/c.spack",
        f"{public}/releases/v0.18.1/build_cache/d.spack",
        "https://example.org/v0.18/e.spack",
    )
    specs = [spec(name, tarball=one) for name, one in zip("abcde", places, strict=True)]
    assert merged(("v0.18", specs)).package_releases == [("zlib", "v0.18", 5, 2, 1)]


def test_versions_have_ranks_within_their_package() -> None:
    rows = merged(
        ("develop", [spec("a", versions=["10.5.0"]), spec("b", versions=["7.3.1"])]),
        ("v0.23.1", [spec("c", versions=["main"]), spec("d", versions=["10.5.0"]), spec("a")]),
    )
    # The newest page's version of a counts, so 1.0 is no version of zlib.
    assert [row[:4] for row in rows.specs] == [
        (dag_hash("a"), "zlib", "10.5.0", 2),
        (dag_hash("b"), "zlib", "7.3.1", 3),
        (dag_hash("c"), "zlib", "main", 1),
        (dag_hash("d"), "zlib", "10.5.0", 2),
    ]
    assert [row[NEWEST] for row in rows.specs] == ["develop", "develop", "v0.23.1", "v0.23.1"]


def test_specs_are_given_out_some_at_a_time_in_the_order_of_their_hashes() -> None:
    names = [f"{a}{b}{c}" for a in "dcba" for b in "hgfedcba" for c in "rqponmlkjihgfedcba"]
    package = merge("zlib", [source("develop", [spec(name) for name in names])])
    parts = [[row[0] for row in rows.specs] for rows in spec_rows(package)]
    assert list(map(len, parts)) == [500, 76]
    assert list(chain(*parts)) == sorted(map(dag_hash, names))


def test_twins_are_two_specs() -> None:
    rows = merged(("develop", [spec("b"), spec("a")]))
    assert [row[0] for row in rows.specs] == [A, dag_hash("b")]
    assert rows.specs[0][1:] == rows.specs[1][1:]


def test_the_row_of_the_package() -> None:
    rows = merged(
        ("develop", [spec("a", versions=["10.5.0"]), spec("b", versions=["7.3.1"], os="rhel8")]),
        ("v0.23.1", [spec("c", versions=["master"], target="zen4", stacks=[])]),
    )
    assert rows.packages == [
        (
            "zlib",
            3,
            '["master","10.5.0","7.3.1"]',
            '["gcc@13.2.0"]',
            '["rhel8","ubuntu22.04"]',
            '["linux"]',
            '["x86_64_v3","zen4"]',
            '["e4s","root"]',
            '["develop","v0.23.1"]',
        )
    ]


def test_a_package_without_specs_keeps_its_release() -> None:
    rows = merged(("develop", []))
    assert rows.packages == [("zlib", 0, *["[]"] * 6, json.dumps(["develop"]))]
    assert rows.package_releases == [("zlib", "develop", 0, 0, 0)]


def test_values_that_disagree_are_told_in_few_words() -> None:
    variants = [f"x{number}=1" for number in range(500)]
    rows = merged(
        ("develop", [spec("a", variants=variants)]), ("v0.23.1", [spec("a", variants=["+b"])])
    )
    (found,) = rows.problems
    assert found.message.startswith(f'hash {A}: variants is ["+b"] here and ["x0=1","x1=1",')
    assert found.message.endswith("… in develop, which is newer and counts")
    assert len(found.message) < 700
