"""One spelling for each fact."""

import pytest

from etl.spelling import (
    VariantValue,
    spec_text,
    spell_compiler,
    spell_stacks,
    spell_variant,
    spell_variants,
    split_compiler,
    variant_values,
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


def test_stacks_keep_the_order_of_the_page_and_each_once() -> None:
    found = spell_stacks(("root", "e4s", "root", "root"))
    assert found.names == ("root", "e4s")
    assert found.repeated == ("root",)


def test_a_spec_in_one_line() -> None:
    system = ("linux", "ubuntu22.04", "x86_64_v3")
    variants = ("build_system=python_pip",)
    assert spec_text("py-msgpack", "1.0.5", variants, system, "gcc@13.2.0") == (
        "py-msgpack@1.0.5 build_system=python_pip arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0"
    )
    assert spec_text("zlib", "1.0", (), system, "none") == (
        "zlib@1.0 arch=linux-ubuntu22.04-x86_64_v3"
    )
