"""Specs by what they depend on, compared with a plain reader of the same indexes."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from datasette.app import Datasette

from etl.order import satisfies
from tests.conftest import build
from tests.etl.mirror import dep, index, record, write_layout3
from tests.pages import dag_hash
from tests.web.conftest import open_site
from tests.web.seen import links, sections
from tests.web.spack.told import Edge, Node, of_sample

TOLD = of_sample()

HDF5 = TOLD.key("hdf5", stack="e4s")
ZLIB = TOLD.key("zlib-ng", stack="e4s")
PYTHON = TOLD.key("python", stack="e4s")
GLIBC = "4xnl3xwvgcq4tykouo5llmzxf2sp56n7"


async def hashes(site: Datasette, **filters: str | list[str]) -> list[str]:
    """The hashes of the specs that filters find."""
    query = urlencode({**filters, "_shape": "array", "_size": "max"}, doseq=True)
    response = await site.client.get(f"/spack-cache/specs.json?{query}")
    assert response.status_code == 200, response.text
    return [row["hash"] for row in response.json()]


def node(edge: Edge) -> Node:
    return TOLD.nodes[edge.hash]


def is_a(package: str, versions: str = ":") -> Callable[[Edge], bool]:
    return lambda edge: node(edge).package == package and satisfies(node(edge).version, versions)


def gives(*virtuals: str) -> Callable[[Edge], bool]:
    return lambda edge: edge.virtuals >= set(virtuals)


def both(*conditions: Callable[[Edge], bool]) -> Callable[[Edge], bool]:
    return lambda edge: all(condition(edge) for condition in conditions)


def has(**facts: object) -> Callable[[Edge], bool]:
    return lambda edge: (
        node(edge).kind == "binary"
        and all(node(edge).facts[name] == value for name, value in facts.items())
    )


def with_variants(*variants: str) -> Callable[[Edge], bool]:
    return lambda edge: node(edge).kind == "binary" and node(edge).variants >= set(variants)


NEEDS = [
    ("^zlib-ng", is_a("zlib-ng"), 50),
    ("%zlib-ng", is_a("zlib-ng"), 25),
    ("^zlib-ng@2.2.1", is_a("zlib-ng", "2.2.1"), 15),
    ("^zlib-ng@2.2.2:", is_a("zlib-ng", "2.2.2:"), 35),
    ("^zlib-ng@=2.2", is_a("zlib-ng", "=2.2"), 0),
    ("^openmpi@5", is_a("openmpi", "5"), 4),
    ("^openmpi@4", is_a("openmpi", "4"), 0),
    ("^hdf5", is_a("hdf5"), 0),
    ("^nosuch", is_a("nosuch"), 0),
    ("^cmake", is_a("cmake"), 6),
    ("%gcc-runtime", is_a("gcc-runtime"), 106),
    ("^glibc@2.36", is_a("glibc", "2.36"), 114),
    ("^python@3.11:", is_a("python", "3.11:"), 12),
    ("^mpi", gives("mpi"), 4),
    ("%mpi", gives("mpi"), 4),
    ("^zlib-api", gives("zlib-api"), 50),
    ("^mpi=openmpi", both(gives("mpi"), is_a("openmpi")), 4),
    ("^mpi=zlib-ng", both(gives("mpi"), is_a("zlib-ng")), 0),
    ("%pkgconfig", gives("pkgconfig"), 32),
    ("%pkgconfig=pkgconf@2.5.1", both(gives("pkgconfig"), is_a("pkgconf", "2.5.1")), 20),
    (f"^/{ZLIB}", lambda edge: edge.hash == ZLIB, 18),
    (f"%/{ZLIB[:5].upper()}", lambda edge: edge.hash == ZLIB, 8),
    (f"^/{GLIBC}", lambda edge: edge.hash == GLIBC, 40),
    ("^ncurses+termlib", both(is_a("ncurses"), with_variants("+termlib")), 46),
    ("^ncurses~termlib", both(is_a("ncurses"), with_variants("~termlib")), 0),
    (
        "^zlib-ng build_system=autotools",
        both(is_a("zlib-ng"), with_variants("build_system=autotools")),
        50,
    ),
    ("^zlib-ng target=neoverse_v2", both(is_a("zlib-ng"), has(target="neoverse_v2")), 17),
    ("^zlib-ng target=aarch64:", both(is_a("zlib-ng"), has(target="neoverse_v2")), 17),
    ("^ZLIB-NG target=m1,neoverse_v2", both(is_a("zlib-ng"), has(target="neoverse_v2")), 17),
    ("^builtin.zlib-ng build_system:=autotools", both(is_a("zlib-ng"), has(package="zlib-ng")), 50),
    ("^ncurses termlib=True", both(is_a("ncurses"), with_variants("+termlib")), 46),
    ("^python os=nosuch", both(is_a("python"), has(os="nosuch")), 0),
    # An external and what has no binary have no variants that anybody knows.
    ("^glibc build_system=autotools", both(is_a("glibc"), with_variants("x")), 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "is_meant", "number"), NEEDS)
async def test_specs_are_found_by_what_they_depend_on(
    text: str, is_meant: Callable[[Edge], bool], number: int, cache_site: Datasette
) -> None:
    found = await hashes(cache_site, _needs=text)

    assert set(found) == TOLD.having(is_meant, is_direct=text.startswith("%"))
    assert len(found) == number
    assert len(set(found)) == len(found)


# A compiler is a dependency from Spack 1.0, and before a fact of the spec.
COMPILED = [
    ("%gcc", is_a("gcc"), "gcc", ":", 83),
    ("%gcc@12", is_a("gcc", "12"), "gcc", "12", 38),
    ("%gcc@9", is_a("gcc", "9"), "gcc", "9", 45),
    ("%gcc@13:", is_a("gcc", "13:"), "gcc", "13:", 0),
    ("%c=gcc", both(gives("c"), is_a("gcc")), "gcc", ":", 83),
    ("%fortran=gcc", both(gives("fortran"), is_a("gcc")), "gcc", ":", 83),
    ("%c,cxx=apple-clang", both(gives("c", "cxx"), is_a("apple-clang")), "apple-clang", ":", 14),
]


@pytest.mark.parametrize(("text", "is_meant", "compiler", "versions", "number"), COMPILED)
async def test_a_compiler_can_be_a_fact_of_an_old_spec(
    text: str,
    is_meant: Callable[[Edge], bool],
    compiler: str,
    versions: str,
    number: int,
    cache_site: Datasette,
) -> None:
    new = TOLD.having(is_meant, is_direct=True)
    languages = ("c", "cxx", "fortran")
    has_one = TOLD.having(lambda edge: bool(edge.virtuals & {*languages}), is_direct=True)
    old = set()
    for key in TOLD.binaries - has_one:
        name, _, version = str(TOLD.nodes[key].facts["compiler"]).partition("@")
        if name == compiler and satisfies(version, versions):
            old.add(key)

    assert set(await hashes(cache_site, _needs=text)) == new | old
    assert len(old) == number


async def test_a_dependency_can_have_a_compiler(cache_site: Datasette) -> None:
    direct = TOLD.having(is_a("gcc", "12"), is_direct=True)
    old = [key for key in TOLD.binaries if TOLD.nodes[key].facts["compiler"] == "gcc@12.2.0"]
    expected = TOLD.having(
        lambda edge: node(edge).package == "bzip2" and edge.hash in direct | {*old}
    )

    assert set(await hashes(cache_site, _needs="^bzip2 %gcc@12")) == expected
    assert len(expected) == 32
    assert await hashes(cache_site, _needs="^bzip2 %gcc@11") == []


async def test_all_dependencies_are_wanted(cache_site: Datasette) -> None:
    zlib, openmpi = TOLD.having(is_a("zlib-ng", "2.2.4")), TOLD.having(is_a("openmpi"))
    both_of_them = zlib & openmpi

    assert set(await hashes(cache_site, _needs=["^zlib-ng@2.2.4", "^openmpi"])) == both_of_them
    assert set(await hashes(cache_site, _needs="^zlib-ng@2.2.4 ^openmpi")) == both_of_them
    assert both_of_them == {HDF5, TOLD.key("fftw")}


async def test_a_spec_and_all_that_it_needs_to_run(cache_site: Datasette) -> None:
    expected = ({HDF5} | TOLD.to_run(HDF5)) & TOLD.binaries

    assert set(await hashes(cache_site, _needed_by=HDF5)) == expected
    assert len(expected) == 24
    assert set(await hashes(cache_site, _needed_by=f"/{HDF5.upper()}", _needs="^zlib-ng")) == (
        expected & TOLD.having(is_a("zlib-ng"))
    )
    assert await hashes(cache_site, _needed_by="a" * 32) == []


async def test_facets_and_counts_are_of_what_is_found(cache_site: Datasette) -> None:
    query = urlencode(
        {"_needs": "^zlib-ng", "target": "neoverse_v2", "_facet": "package", "_size": 2}
    )
    answer = (await cache_site.client.get(f"/spack-cache/specs.json?{query}")).json()
    found = await hashes(cache_site, _needs="^zlib-ng", target="neoverse_v2")
    counts = {
        result["value"]: result["count"] for result in answer["facet_results"]["package"]["results"]
    }

    assert answer["filtered_table_rows_count"] == len(found) == 17
    assert counts.items() <= TOLD.by_package(found).items()
    assert len(answer["rows"]) == 2
    assert "_needs=%5Ezlib-ng" in answer["next_url"]
    # Later pages, which SQL makes, are of the same rows.
    seen = [row[0] for row in answer["rows"]]
    while answer["next_url"]:
        path = answer["next_url"].removeprefix("http://localhost")
        answer = (await cache_site.client.get(path)).json()
        seen += [row[0] for row in answer["rows"]]
    assert seen == found


async def test_a_filter_can_be_taken_away(cache_site: Datasette) -> None:
    path = f"/spack-cache/specs?_needs=%5Empi&_needs=%25cmake&_needed_by={HDF5}"
    html = (await cache_site.client.get(path)).text
    crosses = [link.href for link in links(html) if link.text == "✖"]
    text = " ".join(sections(html).values())

    assert (
        f"where depends on ^mpi ✖ and depends on %cmake ✖ and is needed to run /{HDF5[:7]} ✖"
        in text
    )
    assert [parse_qsl(urlsplit(href).query) for href in crosses] == [
        [("_needs", "%cmake"), ("_needed_by", HDF5)],
        [("_needs", "^mpi"), ("_needed_by", HDF5)],
        [("_needs", "^mpi"), ("_needs", "%cmake")],
    ]


async def test_csv_and_sql_have_the_same_rows(cache_site: Datasette) -> None:
    csv = (await cache_site.client.get("/spack-cache/specs.csv?_needs=%5Empi&_stream=on")).text
    sql = "select hash from specs where needs(rowid, '^mpi') order by hash"
    listed = (
        "select hash from specs where rowid in (select value from json_each(needs_rows('^mpi')))"
        " order by hash"
    )
    expected = sorted(TOLD.having(gives("mpi")))

    assert sorted(line.split(",")[0] for line in csv.splitlines()[1:]) == expected
    for text in (sql, listed):
        path = f"/spack-cache.json?{urlencode({'sql': text, '_shape': 'arrayfirst'})}"
        assert (await cache_site.client.get(path)).json() == expected


MEANINGLESS = [
    ("xz", "“xz” is no dependency in Spack's syntax."),
    ("", "“” is no dependency in Spack's syntax."),
    ("^xz@!!", "“^xz@!!” is no dependency in Spack's syntax."),
    ("^" + "x" * 600, f"“^{'x' * 499}” is no dependency in Spack's syntax."),
    ("^mpi@3", "mpi is a virtual, and no source tells which versions or variants of it a package"),
    ("^mpi+cuda", "mpi is a virtual"),
    ("^+mpi", "Say which package a dependency is of, and one at a time: “+mpi” is none."),
    ("^xz zlib", "Say which package a dependency is of, and one at a time: “xz zlib” is none."),
]


@pytest.mark.parametrize(("text", "said"), MEANINGLESS)
async def test_what_means_nothing_is_said(text: str, said: str, cache_site: Datasette) -> None:
    query = urlencode({"_needs": text})
    of_table = await cache_site.client.get(f"/spack-cache/specs.json?{query}")
    sql = f"select needs(rowid, '{text}') from specs"
    of_sql = await cache_site.client.get(f"/spack-cache.json?{urlencode({'sql': sql})}")

    assert (of_table.status_code, of_sql.status_code) == (400, 400)
    assert said in of_table.json()["error"]
    assert said in of_sql.json()["error"]


async def test_a_hash_can_have_a_version(cache_site: Datasette) -> None:
    assert len(await hashes(cache_site, _needs=f"^/{ZLIB}@2.2")) == 18
    assert await hashes(cache_site, _needs=f"^/{ZLIB}@9") == []


async def test_only_a_whole_hash_is_needed_by(cache_site: Datasette) -> None:
    answer = await cache_site.client.get("/spack-cache/specs.json?_needed_by=abc")

    assert answer.status_code == 400
    assert answer.json()["error"] == "_needed_by takes a hash of 32 characters, not “abc”."


async def test_other_tables_have_no_such_filter(cache_site: Datasette) -> None:
    plain = (await cache_site.client.get("/spack-cache/packages.json?_shape=array")).json()
    asked = await cache_site.client.get("/spack-cache/packages.json?_needs=%5Empi&_shape=array")

    assert asked.json() == plain


@pytest.mark.parametrize("text", ["^hdf5", "%gcc", "^mpi"])
async def test_pages_tell_of_no_dependencies(text: str, site: Datasette) -> None:
    found = await hashes(site, _needs=text)

    # But of compilers they do.
    assert bool(found) == (text == "%gcc")


async def test_a_file_that_can_change_is_not_read_once_for_all(cache_database: Path) -> None:
    with open_site(cache_database, is_fixed=False) as site:
        answer = await site.client.get("/spack-cache/specs.json?_needs=%5Empi")
        row = await site.client.get(f"/spack-cache/specs/{HDF5}")

    assert answer.status_code == 400
    assert "start Datasette with --immutable" in answer.json()["error"]
    assert row.status_code == 200
    assert "What needs it" not in sections(row.text)
    assert "9 direct, 45 in all" in sections(row.text)["Dependencies"]


async def searched(site: Datasette, text: str) -> list[tuple[str, str]]:
    response = await site.client.get(f"/-/find?{urlencode({'q': text, 'release': 'all'})}")
    assert response.status_code == 302, response.text
    pairs = parse_qsl(urlsplit(response.headers["location"]).query)
    return [pair for pair in pairs if pair != ("_sort_desc", "version")]


SEARCHES: list[tuple[str, list[tuple[str, str]]]] = [
    ("hdf5 ^openmpi@5 ^zlib-ng", [("package", "hdf5"), ("_needs", "^openmpi@5"), ("_needs", "^zlib-ng")]),
    ("%c=gcc", [("_needs", "%c=gcc")]),
    ("^mpi", [("_needs", "^mpi")]),
    ("%c=oneapi@2024", [("_needs", "%c=intel-oneapi-compilers@2024")]),
    ("hdf5 gcc", [("package", "hdf5"), ("_needs", "%gcc")]),
    ("hdf5 %gcc@12", [("package", "hdf5"), ("_needs", "%gcc@12")]),
    ("hdf5 +mpi ^openmpi +cuda", [
        ("package", "hdf5"), ("variants__arraycontains", "+mpi"), ("_needs", "^openmpi+cuda")
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pairs"), SEARCHES)
async def test_a_search_is_a_filter_for_each_dependency(
    text: str, pairs: list[tuple[str, str]], cache_site: Datasette
) -> None:
    assert await searched(cache_site, text) == pairs


@pytest.mark.parametrize("text", ["^+mpi", "hdf5 %@5"])
async def test_a_dependency_without_a_name_is_asked_for(text: str, cache_site: Datasette) -> None:
    response = await cache_site.client.get(f"/-/find?{urlencode({'q': text})}")

    assert response.status_code == 200
    said = " ".join(sections(response.text).values())
    assert f"Say which package the dependency {text.rpartition(' ')[2]} is of." in said


async def test_the_search_of_the_table_takes_dependencies(cache_site: Datasette) -> None:
    query = urlencode({"_search": "hdf5 ^openmpi@5", "os": "ubuntu22.04"})
    response = await cache_site.client.get(f"/spack-cache/specs.json?{query}")

    assert response.status_code == 302
    assert parse_qsl(urlsplit(response.headers["location"]).query) == [
        ("os", "ubuntu22.04"),
        ("package", "hdf5"),
        ("_needs", "^openmpi@5"),
        ("releases__arraycontains", "develop"),
        ("_sort_desc", "version"),
    ]


async def rows_of(site: Datasette, query: str, **parameters: str) -> list[dict[str, Any]]:
    asked = urlencode({**parameters, "_shape": "array"})
    response = await site.client.get(f"/spack-cache/{query}.json?{asked}")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which dependencies go in a circle, as no source can say."""
    folder = tmp_path_factory.mktemp("damaged")
    write_layout3(
        folder / "develop",
        index(
            record("a", deps=[dep("b")]),
            record("b", deps=[dep("c")]),
            record("c", deps=[dep("d", types=["run"])]),
            record("d"),
        ),
    )
    database = build(folder / "spack-cache.db", folder / "develop")
    with closing(sqlite3.connect(database)) as connection, connection:
        edge = (dag_hash("d"), dag_hash("a"), 0, 1, 1, 0, "[]")
        connection.execute("INSERT INTO dependencies VALUES (?, ?, ?, ?, ?, ?, ?)", edge)
    return database


async def test_a_circle_ends(damaged: Path) -> None:
    everyone = [dag_hash(name) for name in "abcd"]
    with open_site(damaged) as site:
        assert await hashes(site, _needs="^a") == everyone
        assert await hashes(site, _needed_by=dag_hash("c")) == everyone
        needed = await rows_of(site, "needed_to_run", hash=dag_hash("b"))
        for name in "abcd":
            html = (await site.client.get(f"/spack-cache/specs/{dag_hash(name)}")).text
            assert "1 direct, 3 in all" in sections(html)["Dependencies"]

    assert [row["hash"] for row in needed] == everyone
    assert json.dumps(everyone)
