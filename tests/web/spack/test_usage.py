"""The questions about dependencies, compared with a plain reader of the same indexes."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from etl.order import satisfies
from tests.conftest import build
from tests.etl.mirror import dep, index, record, write_layout3
from tests.web.conftest import open_site
from tests.web.spack.told import Edge, of_sample
from tests.web.test_metadata import CHARTS
from web.spack import graph, usage

TOLD = of_sample()
HDF5 = TOLD.key("hdf5", stack="e4s")

PLACES = [("develop", ""), ("develop", "e4s"), ("v0.23.1", "e4s"), ("develop", "nosuch"), ("x", "")]


async def rows(site: Datasette, query: str, **parameters: str) -> list[dict[str, Any]]:
    asked = urlencode({**parameters, "_shape": "array"})
    response = await site.client.get(f"/spack-cache/{query}.json?{asked}")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


def held(release: str, stack: str) -> set[str]:
    return TOLD.held.get((release, stack), set())


def users(key: str, release: str, stack: str) -> set[str]:
    """The binaries of a stack that depend directly on a node."""
    return held(release, stack) & TOLD.having(lambda edge: edge.hash == key, is_direct=True)


DEPENDENTS = [
    ({}, ("xz", ":", False), ("develop", "")),
    ({"package": "zlib-ng"}, ("zlib-ng", ":", False), ("develop", "")),
    ({"package": "zlib-ng", "how": "directly"}, ("zlib-ng", ":", True), ("develop", "")),
    ({"package": "xz", "versions": "5.6.0:5.6.1"}, ("xz", "5.6.0:5.6.1", False), ("develop", "")),
    ({"package": "xz", "versions": " :5.6 , 6 "}, ("xz", ":5.6,6", False), ("develop", "")),
    ({"package": "xz", "release": "v0.23.1"}, ("xz", ":", False), ("v0.23.1", "")),
    ({"package": "openssl", "stack": "e4s"}, ("openssl", ":", False), ("develop", "e4s")),
    ({"package": "openssl", "versions": ":3.0.12"}, ("openssl", ":3.0.12", False), ("develop", "")),
    ({"package": "gmake"}, ("gmake", ":", False), ("develop", "")),
    ({"package": "nosuch"}, ("nosuch", ":", False), ("develop", "")),
    ({"release": "nosuch"}, ("xz", ":", False), ("nosuch", "")),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "wanted", "place"), DEPENDENTS)
async def test_what_depends_on_a_package(
    parameters: dict[str, str],
    wanted: tuple[str, str, bool],
    place: tuple[str, str],
    cache_site: Datasette,
) -> None:
    package, versions, is_direct = wanted

    def is_meant(edge: Edge) -> bool:
        node = TOLD.nodes[edge.hash]
        return node.package == package and satisfies(node.version, versions)

    expected = TOLD.having(is_meant, is_direct=is_direct) & held(*place)
    packages = await rows(cache_site, "dependents", **parameters)
    specs = await rows(cache_site, "dependent_specs", **parameters)

    assert [(row["package"], row["num_specs"]) for row in packages] == sorted(
        TOLD.by_package(expected).items(), key=lambda count: (-count[1], count[0])
    )
    assert [row["hash"] for row in specs] == sorted(
        expected, key=lambda key: (TOLD.nodes[key].package, key)
    )
    for row in specs:
        facts = TOLD.nodes[row["hash"]].facts
        named = ("package", "version", "compiler", "os", "target")
        assert {name: row[name] for name in named} == {name: facts[name] for name in named}


async def test_xz_is_needed_by_exactly_these(cache_site: Datasette) -> None:
    found = await rows(cache_site, "dependents", package="xz", versions="5.6", stack="e4s")

    assert {row["package"]: row["num_specs"] for row in found} == dict.fromkeys(
        [
            *("fftw", "gettext", "hdf5", "hwloc", "krb5", "libfabric", "libxml2", "openmpi"),
            *("openssh", "pmix", "prrte", "py-msgpack", "python", "python-venv", "rdma-core"),
            *("tar",),
        ],
        1,
    )


async def test_versions_that_are_none_are_told(cache_site: Datasette) -> None:
    answer = await cache_site.client.get("/spack-cache/dependents.json?package=xz&versions=5.6!!")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("“5.6!!” are no versions in Spack's syntax.")


@pytest.mark.parametrize("asked", [HDF5, HDF5[:9], f" /{HDF5[:9].upper()} "])
async def test_what_a_spec_needs_to_run(asked: str, cache_site: Datasette) -> None:
    found = await rows(cache_site, "needed_to_run", hash=asked)

    assert {row["hash"] for row in found} == {HDF5} | TOLD.to_run(HDF5)
    assert len(found) == 26
    for row in found:
        node = TOLD.nodes[row["hash"]]
        assert (row["package"], row["version"], row["kind"]) == (
            node.package,
            node.version,
            node.kind,
        )
        assert row["release"] == "develop"
        assert row["has_binary"] == (row["hash"] in held("develop", ""))
        assert (row["size"] is None) == (node.kind != "binary")
        assert row["external"] == ("/usr" if node.kind == "external" else None)
    elsewhere = await rows(cache_site, "needed_to_run", hash=asked, release="v0.23.1")
    assert {row["has_binary"] for row in elsewhere} == {0}


async def test_what_a_spec_needs_can_be_taken_along(cache_site: Datasette) -> None:
    async def told(extension: str, query: str) -> tuple[int, str]:
        response = await cache_site.client.get(f"/spack-cache/{query}.{extension}?hash={HDF5}")
        return response.status_code, response.text

    binaries = {HDF5} | (TOLD.to_run(HDF5) & TOLD.binaries)
    by_package = sorted(binaries, key=lambda key: (TOLD.nodes[key].package, key))
    left_out = "# Left out: 2 dependencies that are no binary here, but external or not in any"
    status, listed = await told("hashes", "needed_to_run")
    assert (status, listed) == (200, "".join(f"/{key}\n" for key in by_package))
    for extension, line in (("install", "spack install --cache-only /"), ("spack_yaml", '  - "')):
        status, text = await told(extension, "needed_to_run")
        assert status == 200
        assert f"{left_out} build cache.\n" in text
        lines = [each for each in text.splitlines() if each.startswith(line)]
        assert [each.strip('"').rpartition("/")[2] for each in lines] == by_package
    no_binary = await cache_site.client.get("/spack-cache/needed_to_run.hashes?hash=4xnl3xwvgcq4")
    assert (no_binary.status_code, no_binary.text) == (400, "None of these has a binary.\n")


async def test_what_a_spec_needs_has_a_default(cache_site: Datasette, site: Datasette) -> None:
    def needs_some(key: str) -> bool:
        return any(edge.is_to_run for edge in TOLD.nodes[key].edges)

    first = min(filter(needs_some, held("develop", "")))

    assert {row["hash"] for row in await rows(cache_site, "needed_to_run")} == (
        {first} | TOLD.to_run(first)
    )
    assert await rows(cache_site, "needed_to_run", hash="zzzz") == []
    # Where only pages tell, it is at least there itself.
    assert len(await rows(site, "needed_to_run")) == 1


@pytest.mark.parametrize(("release", "stack"), PLACES)
async def test_what_is_needed_most(release: str, stack: str, cache_site: Datasette) -> None:
    counts = {key: len(users(key, release, stack)) for key in TOLD.nodes}
    expected = {key: count for key, count in counts.items() if count}
    by_package: dict[str, set[str]] = {}
    for key in expected:
        by_package.setdefault(TOLD.nodes[key].package, set()).update(users(key, release, stack))
    place = {"release": release, "stack": stack}

    nodes = await rows(cache_site, "most_needed_dependencies", **place)
    packages = await rows(cache_site, "most_needed_packages", **place)

    assert [(row["dependency"], row["num_specs"]) for row in nodes] == sorted(
        expected.items(), key=lambda count: (-count[1], count[0])
    )
    assert all(row["kind"] == TOLD.nodes[row["dependency"]].kind for row in nodes)
    assert [tuple(row.values()) for row in packages] == sorted(
        ((name, len(TOLD.by_package(keys)), len(keys)) for name, keys in by_package.items()),
        key=lambda count: (-count[1], -count[2], count[0]),
    )
    for kind in ("binary", "external", "missing"):
        of_kind = await rows(cache_site, "most_needed_dependencies", node_kind=kind, **place)
        assert of_kind == [row for row in nodes if row["kind"] == kind]


async def test_the_dependencies_that_are_needed_most(cache_site: Datasette) -> None:
    found = await rows(cache_site, "most_needed_packages")

    assert [tuple(row.values()) for row in found[:4]] == [
        ("gcc", 48, 71),
        ("glibc", 48, 71),
        ("compiler-wrapper", 47, 69),
        ("gcc-runtime", 47, 69),
    ]


@pytest.mark.parametrize(
    ("release", "stack"), [*PLACES, ("develop", "e4s-neoverse-v2"), ("clingo-bootstrap", "root")]
)
async def test_what_a_stack_lacks(release: str, stack: str, cache_site: Datasette) -> None:
    lacking: dict[str, set[str]] = {}
    for key in held(release, stack) if stack else ():
        for edge in TOLD.nodes[key].edges:
            there = edge.hash in held(release, stack) or TOLD.nodes[edge.hash].kind == "external"
            if edge.is_to_run and not there:
                lacking.setdefault(edge.hash, set()).add(key)

    found = await rows(cache_site, "stack_holes", release=release, stack=stack) if stack else []

    assert {row["dependency"]: row["num_specs"] for row in found} == {
        key: len(keys) for key, keys in lacking.items()
    }


@pytest.fixture(scope="module")
def holed_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """A stack that has not all that its binaries need to run."""
    folder = tmp_path_factory.mktemp("holed")
    zlib, gone = record("zlib"), record("gone", in_buildcache=False)
    cmake = record("cmake", in_buildcache=False)
    hdf5 = record(
        "hdf5", deps=[dep("zlib"), dep("gone", types=["run"]), dep("cmake", types=["build"])]
    )
    curl = record("curl", deps=[dep("zlib"), dep("libc", types=["link"])])
    libc = record("libc", external={"path": "/usr", "module": None, "extra_attributes": {}})
    no_zlib = record("zlib", in_buildcache=False)
    write_layout3(folder / "develop", index(zlib, gone, cmake, hdf5, curl, libc))
    write_layout3(folder / "develop" / "some", index(no_zlib, gone, cmake, hdf5, curl, libc))
    write_layout3(folder / "develop" / "other", index(zlib))
    database = build(folder / "spack-cache.db", folder / "develop")
    with open_site(database) as datasette:
        yield datasette


async def test_a_stack_with_holes(holed_site: Datasette) -> None:
    found = await rows(holed_site, "stack_holes", stack="some")

    assert [
        (row["package"], row["kind"], row["num_specs"], row["packages"], row["stacks"])
        for row in found
    ] == [
        ("zlib", "binary", 2, '["curl","hdf5"]', '["other","root"]'),
        ("gone", "missing", 1, '["hdf5"]', "[]"),
    ]
    assert [row["dependency"].rstrip("a") for row in found] == ["zlib", "gone"]
    drawn = await rows_of_chart(holed_site, "holes")
    assert drawn == [
        {"stack": "some", "lacking": 2},
        {"stack": "root", "lacking": 1},
        {"stack": "other", "lacking": 0},
    ]


async def rows_of_chart(site: Datasette, name: str) -> list[dict[str, Any]]:
    query = urlencode({"sql": CHARTS[name]["query"], "_shape": "array"})
    response = await site.client.get(f"/spack-cache.json?{query}")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


async def test_the_chart_of_what_is_needed_most(cache_site: Datasette) -> None:
    drawn = await rows_of_chart(cache_site, "needed")
    listed = await rows(cache_site, "most_needed_packages")

    assert drawn == [
        {"package": row["package"], "packages": row["num_packages"]} for row in listed[:20]
    ]


@pytest.mark.parametrize(("release", "stack"), PLACES)
@pytest.mark.parametrize("external", ["glibc", "gcc", "openssl", "nosuch"])
async def test_what_was_built_against_an_external(
    release: str, stack: str, external: str, cache_site: Datasette
) -> None:
    expected = {
        (key, edge.hash)
        for key in held(release, stack)
        for edge in TOLD.nodes[key].edges
        if TOLD.nodes[edge.hash].kind == "external" and TOLD.nodes[edge.hash].package == external
    }
    asked = {"external": external, "release": release, "stack": stack}
    found = await rows(cache_site, "built_against_externals", **asked)

    assert len(found) == len(expected)
    assert {row["hash"] for row in found} == {key for key, _ in expected}
    assert all((row["external"], row["path"]) == (external, "/usr") for row in found)
    versions = {TOLD.nodes[key].version for _, key in expected}
    assert {row["external_version"] for row in found} == versions


SQL = "select needs(1, '^xz') as x"

QUERIES = (
    *("dependents", "dependent_specs", "stack_holes", "most_needed_dependencies"),
    *("most_needed_packages", "built_against_externals"),
)


@pytest.mark.parametrize("query", QUERIES)
async def test_of_pages_there_is_no_answer(query: str, site: Datasette) -> None:
    assert await rows(site, query) == []


async def test_no_chart_says_that_nothing_is_lacking_where_only_pages_tell(site: Datasette) -> None:
    assert await rows_of_chart(site, "holes") == []


async def test_questions_wait_until_the_dependencies_are_read(
    cache_site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cache_site.invoke_startup()
    read = await graph.graph_of(cache_site)
    being_read: Future[graph.Graph] = Future()
    monkeypatch.setitem(graph._graphs, cache_site, being_read)
    paths = [
        "/spack-cache/most_needed_packages.json?_shape=array&release=v0.23.1",
        f"/spack-cache.json?{urlencode({'sql': SQL})}",
    ]

    asked = [asyncio.ensure_future(cache_site.client.get(path)) for path in paths]
    other = await cache_site.client.get("/spack-cache/releases.json?_shape=array")
    await asyncio.sleep(0.05)
    waiting = [each.done() for each in asked]
    assert read is not None
    being_read.set_result(read)
    answers = [await each for each in asked]

    assert other.status_code == 200
    assert waiting == [False, False]
    assert answers[0].json()[0]["package"] == "glibc"
    assert answers[1].status_code == 200


async def test_names_that_bitmaps_cannot_hold_are_counted_all_the_same(tmp_path: Path) -> None:
    hdf5, zlib = record("hdf5", deps=[dep("zlib")]), record("zlib")
    write_layout3(tmp_path / "ours", index(hdf5, zlib))
    write_layout3(tmp_path / "theirs", index(zlib))
    database = build(
        tmp_path / "spack-cache.db", f"a\\b={tmp_path / 'ours'}", f"c={tmp_path / 'theirs'}"
    )
    with open_site(database) as site:
        for release, number in (("a\\b", 1), ("c", 0)):
            found = await rows(site, "dependents", package="zlib", release=release)
            assert [row["num_specs"] for row in found] == [1] * number
        everywhere = await site.client.get("/spack-cache/packages/zlib?release=all")
        assert "any release depend directly on zlib" in everywhere.text


ODD = [
    ("needs(null, '^xz')", None),
    ("needs(1, null)", None),
    ("needs(-1, '^xz')", 0),
    ("needs(1e300, '^xz')", 0),
    ("needs('1', '^xz')", 0),
    ("needs(9223372036854775807, '^xz')", 0),
    ("needs_rows(null)", None),
    ("most_needed_packages(null, '')", None),
    ("most_needed_packages('develop', null)", None),
    ("most_needed_packages(5, x'00')", "[]"),
    ("num_holes('develop', 1.5)", 0),
    ("most_needed_nodes('develop', '', 'no such kind')", "[]"),
    ("specs_needing('develop', '', 'xz', '', 'otherwise', 0)", "[]"),
    ("specs_needing('develop', '', 'xz', '', 'to the end', 9223372036854775807)", "[]"),
    ("packages_needing('develop', '', '', '', 'directly')", "[]"),
]


@pytest.mark.parametrize("most", [1, 2, 7])
async def test_specs_that_depend_on_a_package_are_told_in_parts(
    most: int, cache_site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await rows(cache_site, "dependent_specs", package="zlib-ng")
    monkeypatch.setattr(usage, "MOST_ROWS", most)
    told = {"package": "zlib-ng", "_part": str(most)}  # no answer that is kept

    assert len(expected) > 7
    assert await rows(cache_site, "dependent_specs", **told) == expected


async def test_a_row_that_is_no_number_is_refused(cache_site: Datasette) -> None:
    sql = "select specs_needing('develop', '', 'xz', '', 'directly', 'first')"
    response = await cache_site.client.get(f"/spack-cache.json?{urlencode({'sql': sql})}")

    assert (response.status_code, response.json()["error"]) == (
        400,
        "“first” is no number of a row.",
    )


@pytest.mark.parametrize(("sql", "value"), ODD)
async def test_functions_take_whatever_sql_gives_them(
    sql: str, value: object, cache_site: Datasette
) -> None:
    query = urlencode({"sql": f"select {sql} as x", "_shape": "array"})
    response = await cache_site.client.get(f"/spack-cache.json?{query}")

    assert response.status_code == 200, response.text
    assert response.json() == [{"x": value}]
