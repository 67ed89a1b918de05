"""One spelling for each fact, one row for each hash, the newest known value."""

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from etl import extract, problems
from etl.transform import (
    Source,
    SpecRows,
    VariantValue,
    merge,
    package_rows,
    spec_rows,
    spell_compiler,
    spell_variant,
    spell_variants,
    split_compiler,
    variant_values,
)
from tests.pages import dag_hash, page, spec

A = dag_hash("a")


def merged(*pages: tuple[str, list[dict[str, Any]]]) -> SimpleNamespace:
    """The rows and problems of pages of the package zlib, given newest release first."""
    package = merge(
        "zlib",
        (
            Source(
                f"{release}/zlib/specs.md",
                extract.read_page(page("zlib", release, specs).encode()),
            )
            for release, specs in pages
        ),
    )
    (specs,) = spec_rows(package) if package.specs else [SpecRows([], [], [], [])]
    return SimpleNamespace(
        **asdict(specs), **asdict(package_rows(package)), problems=package.problems
    )


@pytest.mark.parametrize(
    ("found", "spelled", "parts"),
    [
        ("gcc@=13.2.0", "gcc@13.2.0", ("gcc", "13.2.0")),
        ("gcc@13.2.0", "gcc@13.2.0", ("gcc", "13.2.0")),
        ("apple-clang@16.0.0", "apple-clang@16.0.0", ("apple-clang", "16.0.0")),
        (
            "intel-oneapi-compilers@=2025.1.0",
            "intel-oneapi-compilers@2025.1.0",
            ("intel-oneapi-compilers", "2025.1.0"),
        ),
        ("none", "none", ("none", None)),
        ("cce", "cce", ("cce", None)),
    ],
)
def test_compilers(found: str, spelled: str, parts: tuple[str, str | None]) -> None:
    assert spell_compiler(found) == spelled
    assert split_compiler(spelled) == parts


@pytest.mark.parametrize(
    ("found", "spelled", "values"),
    [
        ("+mpi", "+mpi", [("+mpi", "mpi", "true")]),
        ("~mpi", "~mpi", [("~mpi", "mpi", "false")]),
        ("++mpi", "++mpi", [("+mpi", "mpi", "true")]),
        ("~~mpi", "~~mpi", [("~mpi", "mpi", "false")]),
        (
            "build_type=Release",
            "build_type=Release",
            [("build_type=Release", "build_type", "Release")],
        ),
        ("x==a", "x==a", [("x=a", "x", "a")]),
        ("x:==a", "x==a", [("x=a", "x", "a")]),
        (
            "libs=shared,static",
            "libs=shared,static",
            [("libs=shared", "libs", "shared"), ("libs=static", "libs", "static")],
        ),
        (
            "languages:='c,c++,fortran'",
            "languages='c,c++,fortran'",
            [
                ("languages=c", "languages", "c"),
                ("languages=c++", "languages", "c++"),
                ("languages=fortran", "languages", "fortran"),
            ],
        ),
        ("build_type='dm+sm'", "build_type='dm+sm'", [("build_type=dm+sm", "build_type", "dm+sm")]),
        ("targets:=all", "targets=all", [("targets=all", "targets", "all")]),
        (
            "patches:=0f6940d,3e6448a",
            "patches=0f6940d,3e6448a",
            [("patches=0f6940d", "patches", "0f6940d"), ("patches=3e6448a", "patches", "3e6448a")],
        ),
        (
            "cache_base=/dev/shm",
            "cache_base=/dev/shm",
            [("cache_base=/dev/shm", "cache_base", "/dev/shm")],
        ),
        (
            "datatype-engine=auto",
            "datatype-engine=auto",
            [("datatype-engine=auto", "datatype-engine", "auto")],
        ),
        ("x=a:=b", "x=a:=b", [("x=a:=b", "x", "a:=b")]),
        ("x=", "x=", [("x=", "x", "")]),
        ("x='", "x='", [("x='", "x", "'")]),
    ],
)
def test_variants(found: str, spelled: str, values: list[tuple[str, str, str]]) -> None:
    assert spell_variant(found) == spelled
    assert list(variant_values(spelled)) == [VariantValue(*value) for value in values]


def test_variants_keep_the_order_of_the_page_and_each_once() -> None:
    found = spell_variants(("~b", "x:=2", "+a", "x=2"))
    assert found.listed == ("~b", "x=2", "+a")
    assert found.json == '["~b","x=2","+a"]'
    assert [value.variant for value in found.values] == ["+a", "x=2", "~b"]
    assert found.repeated == ("x=2",)


def test_one_spec_of_one_release() -> None:
    rows = merged(
        ("v0.23.1", [spec("a", compiler="gcc@=13.2.0", variants=["+b", "x:='1,2'"], size=7)])
    )
    assert rows.specs == [
        (
            A,
            "zlib",
            "1.0",
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
        )
    ]
    assert rows.spec_variants == [(A, "+b"), (A, "x=1"), (A, "x=2")]
    assert rows.spec_releases == [(A, "v0.23.1", None, "zlib")]
    assert rows.spec_stacks == [(A, "e4s", "v0.23.1"), (A, "root", "v0.23.1")]
    assert rows.problems == []


def test_the_example_of_a_spec_in_one_line() -> None:
    one = spec("a", versions=["1.0.5"], variants=["build_system=python_pip"])
    source = Source("p", extract.read_page(page("py-msgpack", "develop", [one]).encode()))
    expected = (
        "py-msgpack@1.0.5 build_system=python_pip arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0"
    )
    assert next(spec_rows(merge("py-msgpack", [source]))).specs[0][11] == expected
    built_without = spec("a", compiler="none", variants=[])
    assert merged(("develop", [built_without])).specs[0][11] == (
        "zlib@1.0 arch=linux-ubuntu22.04-x86_64_v3"
    )


def test_both_spellings_of_one_hash_agree() -> None:
    rows = merged(
        ("develop", [spec("a", compiler="gcc@13.2.0", variants=["x=a,b", "+c"])]),
        ("v0.23.1", [spec("a", compiler="gcc@=13.2.0", variants=["+c", "x:='a,b'"])]),
    )
    assert rows.problems == []
    assert rows.specs[0][9] == '["x=a,b","+c"]'
    assert rows.specs[0][13] == '["develop","v0.23.1"]'


def test_a_known_value_beats_an_unknown_one_of_a_newer_release() -> None:
    rows = merged(
        ("develop", [spec("a", compiler="none")]),
        ("v0.23.1", [spec("a", size=512)]),
        ("v0.22.0", [spec("a", compiler="none", size=512)]),
    )
    assert (rows.specs[0][3], rows.specs[0][10], rows.problems) == ("gcc@13.2.0", 512, [])


def test_of_two_known_values_the_newest_is_kept_and_the_other_recorded() -> None:
    rows = merged(
        ("develop", [spec("a", os="rhel8", compiler="none")]),
        ("develop-2025-07-13", [spec("a", os="rhel9", variants=["+z"])]),
        ("v0.23.1", [spec("a", os="rhel8", compiler="gcc@9.4.0")]),
    )
    assert rows.specs[0][6] == "rhel8"
    assert rows.specs[0][3] == "gcc@13.2.0"
    assert [(found.page, found.line, found.kind, found.message) for found in rows.problems] == [
        (
            "develop-2025-07-13/zlib/specs.md",
            6,
            "conflict",
            f'hash {A}: os is "rhel9" here and "rhel8" in develop, which is newer and counts',
        ),
        (
            "develop-2025-07-13/zlib/specs.md",
            6,
            "conflict",
            f'hash {A}: variants is ["+z"] here and ["build_system=generic"] in develop, '
            "which is newer and counts",
        ),
        (
            "v0.23.1/zlib/specs.md",
            6,
            "conflict",
            f'hash {A}: compiler is "gcc@9.4.0" here and "gcc@13.2.0" in develop-2025-07-13, '
            "which is newer and counts",
        ),
    ]


def test_values_named_twice_are_kept_once_and_recorded() -> None:
    rows = merged(("develop", [spec("a", stacks=["e4s", "e4s"], variants=["x=1", "x:=1"])]))
    assert rows.spec_stacks == [(A, "e4s", "develop")]
    assert rows.specs[0][9] == '["x=1"]'
    assert [found.message for found in rows.problems] == [
        problems.repeated_value(A, "variants", "x=1"),
        problems.repeated_value(A, "stacks", "e4s"),
    ]


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
    assert rows.specs[0][12] == '["e4s","root"]'
    assert rows.package_stacks == [("zlib", "e4s", 1), ("zlib", "root", 1)]
    assert rows.package_releases == [("zlib", "develop", 1), ("zlib", "v0.23.1", 1)]


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
