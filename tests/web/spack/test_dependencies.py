"""What pages say of dependencies and of what needs them, compared with a plain reader."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.database import Database

from etl.order import newest_first
from tests.web.seen import links, sections
from tests.web.spack.told import TYPES, Edge, of_sample
from web.spack.dependencies import dependencies_of, users_of_package
from web.spack.names import DATABASE

TOLD = of_sample()
HDF5 = TOLD.key("hdf5", stack="e4s")
GLIBC = "4xnl3xwvgcq4tykouo5llmzxf2sp56n7"
BERKELEY_DB = "t5j5f4nrsz3bxsdtry43izdjflxo5rpb"


async def page(site: Datasette, path: str) -> str:
    response = await site.client.get(path)
    assert response.status_code == 200, path
    return str(response.text)


async def rows(site: Datasette, query: str, **parameters: str) -> list[dict[str, Any]]:
    response = await site.client.get(
        f"/spack-cache/{query}.json?{urlencode({**parameters, '_shape': 'array'})}"
    )
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()
    return found


async def database(site: Datasette) -> Database:
    await site.invoke_startup()
    return site.get_database(DATABASE)


def types(edges: Iterable[Edge]) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return {
        (each.hash, tuple(t for t in TYPES if t in each.types), tuple(sorted(each.virtuals)))
        for each in edges
    }


async def test_every_node_has_the_dependencies_that_indexes_tell_of(cache_site: Datasette) -> None:
    for key, node in TOLD.nodes.items():
        known = await dependencies_of(await database(cache_site), key)
        shown = [*known.level.to_run, *known.level.others]

        assert {
            (each.node.hash, tuple(each.purposes), tuple(sorted(each.virtuals))) for each in shown
        } == types(node.edges)
        assert {each.node.hash for each in known.level.to_run} == {
            edge.hash for edge in node.edges if edge.is_to_run
        }
        assert {each.node.hash: each.number for each in shown} == {
            edge.hash: len(TOLD.nodes[edge.hash].edges) for edge in node.edges
        }
        assert known.level.number == len(node.edges)
        assert [each.node.hash for each in known.flat] == sorted(
            TOLD.to_run(key), key=lambda each: (*TOLD.nodes[each][:2], each)
        )
        assert {(each.node.hash, each.node.kind, each.node.version) for each in known.flat} == {
            (each, TOLD.nodes[each].kind, TOLD.nodes[each].version) for each in TOLD.to_run(key)
        }
        assert known.number == len(TOLD.below(key, lambda _: True))


async def test_every_node_has_its_users(cache_site: Datasette) -> None:
    for key in TOLD.nodes:
        known = await dependencies_of(await database(cache_site), key)
        direct = TOLD.having(lambda edge, key=key: edge.hash == key, is_direct=True)  # type: ignore[misc]
        users = TOLD.having(lambda edge, key=key: edge.hash == key)  # type: ignore[misc]

        for told, expected in ((known.direct, direct), (known.users, users)):
            assert told is not None
            assert dict(told.packages) == TOLD.by_package(expected)
            assert told.number == len(expected)
            counts = [count for _, count in told.packages]
            assert counts == sorted(counts, reverse=True)


async def test_every_spec_can_be_installed_from_what_a_release_has(cache_site: Datasette) -> None:
    lacking_some = 0
    for release in ("develop", "v0.23.1", "clingo-bootstrap"):
        for key in TOLD.held[release, ""]:
            known = await dependencies_of(await database(cache_site), key)
            to_install = {k for k in TOLD.to_run(key) if TOLD.nodes[k].kind != "external"}
            lacking = to_install - TOLD.held[release, ""]
            lacking_some += bool(lacking)

            assert {each.node.hash for each in known.lacking(release)} == lacking
            assert known.num_binaries == len(to_install)
            assert len(known.externals) == len(TOLD.to_run(key)) - len(to_install)
    assert lacking_some == 0


@pytest.mark.parametrize("release", ["", "develop", "v0.23.1", "clingo-bootstrap"])
async def test_packages_know_the_packages_that_need_them(
    release: str, cache_site: Datasette
) -> None:
    held = TOLD.held[release, ""] if release else TOLD.binaries
    for package in sorted({node.package for node in TOLD.nodes.values()}):
        users: dict[str, set[str]] = {}
        versions: dict[str, set[str]] = {}
        for key in held:
            for edge in TOLD.nodes[key].edges:
                needed = TOLD.nodes[edge.hash]
                if needed.package == package:
                    users.setdefault(TOLD.nodes[key].package, set()).add(key)
                    versions.setdefault(TOLD.nodes[key].package, set()).add(needed.version)

        found = await users_of_package(await database(cache_site), package, release)

        assert {(each.package, each.specs) for each in found} == {
            (user, len(keys)) for user, keys in users.items()
        }
        assert all(list(each.versions) == newest_first(versions[each.package]) for each in found)
        assert list(found) == sorted(found, key=lambda each: (-each.specs, each.package))


async def test_a_spec_shows_its_dependencies_as_a_tree(cache_site: Datasette) -> None:
    shown = sections(await page(cache_site, f"/spack-cache/specs/{HDF5}"))
    below = "Its dependencies are on a page of their own."

    assert shown["Dependencies"].startswith(
        "9 direct, 45 in all, with what is needed to build them. It links with or needs to run"
        " 25 of them."
        f" gcc-runtime@12.2.0 /yp5vkqk link fortran-rt libgfortran 2 below {below}"
        " glibc@2.36 /4xnl3xw external: /usr link libc"
        f" openmpi@5.0.8 /vcihfhz build, link mpi 17 below {below}"
        f" pkgconf@2.5.1 /b5gsv3c run pkgconfig 5 below {below}"
        f" zlib-ng@2.2.4 /lhm764r build, link zlib-api 5 below {below}"
        f" 4 only to build or to test cmake@3.31.9 /i4o6y3t no binary build 8 below {below}"
        " compiler-wrapper@1.0 /ntccuj2 no binary build"
        " gcc@12.2.0 /hbannzh external: /usr build c fortran"
        f" gmake@4.4.1 /vf4n27z no binary build 4 below {below}"
        " What it needs to run, to the end, each once bzip2@1.0.8 /"
    )
    assert (
        "The build cache of develop alone can install it: all 23 dependencies that it links with"
        " or needs to run are there. 2 others were on the machine that built it (external)."
    ) in shown["Install exactly this binary"]
    assert shown["Releases and stacks that hold it"].startswith(
        "Release Stacks What it needs to run develop e4s the binary itself all there"
    )
    assert shown["What needs it"] == "Nothing that any index tells of."


async def test_a_spec_shows_what_needs_it(cache_site: Datasette) -> None:
    bzip2 = TOLD.key("bzip2", stack="e4s")
    html = await page(cache_site, f"/spack-cache/specs/{bzip2}")
    counted = [link for link in links(html) if re.fullmatch(r"\d+ binar(y|ies)", link.text)]

    assert sections(html)["What needs it"] == (
        "3 binaries of 3 packages depend directly on it: gettext 1 python 1 tar 1"
        " In all, 12 binaries of 12 packages depend on it: directly, or by what they link with or"
        " need to run, to the end. fftw 1 gettext 1 hdf5 1 krb5 1 libfabric 1 openmpi 1 openssh 1"
        " py-msgpack 1 python 1 python-venv 1 rdma-core 1 tar 1"
    )
    for link, number in zip(counted, (3, 12), strict=True):
        answer = await cache_site.client.get(link.href.replace("/specs?", "/specs.json?"))
        assert answer.json()["filtered_table_rows_count"] == number


async def test_what_only_one_package_needs(cache_site: Datasette) -> None:
    shown = sections(await page(cache_site, f"/spack-cache/specs/{BERKELEY_DB}"))

    assert shown["What needs it"] == (
        "1 binary of 1 package depends directly on it: perl 1"
        " Nothing else links with it or needs it to run, to the end."
    )


async def test_what_is_no_binary_has_dependencies_and_users(cache_site: Datasette) -> None:
    shown = sections(await page(cache_site, f"/spack-cache/nodes/{GLIBC}"))
    missing = TOLD.nodes[HDF5].edges[0].hash
    other = sections(await page(cache_site, f"/spack-cache/nodes/{missing}"))

    assert shown["Dependencies"] == "It depends on nothing."
    assert shown["What needs it"].startswith("39 binaries of 39 packages depend directly on it:")
    assert other["Dependencies"].startswith("8 direct, 18 in all")


async def test_a_level_of_the_tree_is_a_part_of_a_page(cache_site: Datasette) -> None:
    part = await page(cache_site, f"/-/dependencies/{HDF5}")
    whole = await page(cache_site, f"/spack-cache/specs/{HDF5}")

    assert "<html" not in part
    assert re.sub(r"\s+", " ", part).strip() in re.sub(r"\s+", " ", whole)
    opened = re.findall(r'data-load="([^"]+)"', part)
    assert opened == re.findall(r'data-load="([^"]+)"', whole)
    assert f"/-/dependencies/{TOLD.key('openmpi')}" in opened
    for path in opened:
        assert "<li>" in await page(cache_site, path)


@pytest.mark.parametrize("key", ["a" * 32, "x"])
async def test_there_is_no_level_below_what_is_not_there(key: str, cache_site: Datasette) -> None:
    assert (await cache_site.client.get(f"/-/dependencies/{key}")).status_code == 404


async def test_a_package_shows_the_packages_that_need_it(cache_site: Datasette) -> None:
    html = await page(cache_site, "/spack-cache/packages/ncurses?release=develop")
    shown = sections(html)["Packages that need it"]

    assert shown == (
        "Packages whose binaries in develop depend directly on ncurses. Package Binaries On versions"
        " gettext 2 6.5-20250705 python 2 6.5-20250705 readline 2 6.5-20250705 cmake 1 6.5-20250705"
        " hwloc 1 6.5-20250705 libedit 1 6.5-20250705 openssh 1 6.5-20250705 The same as an answer"
        " that can be taken along, all that do to the end More: all variants of ncurses, how its"
        " specs differ, twins among them For programs: JSON, CSV of the specs, install commands,"
        " spack.yaml, list of hashes"
    )
    for link in links(html):
        if "_needs=" in link.href:
            answer = await cache_site.client.get(link.href.replace("/specs?", "/specs.json?"))
            assert str(answer.json()["filtered_table_rows_count"]) == link.text


async def test_only_pages_tell_nothing_of_dependencies(site: Datasette) -> None:
    (spec, *_) = await rows(site, "specs", package="hdf5")
    shown = sections(await page(site, f"/spack-cache/specs/{spec['hash']}"))
    package = sections(await page(site, "/spack-cache/packages/hdf5"))

    assert shown["Dependencies"] == (
        "Not known: only pages tell of this spec, and they do not list dependencies."
    )
    assert "can install it" not in shown["Install exactly this binary"]
    assert "Packages that need it" not in package
