"""The search box above a list of specs says what leads to the list."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette


async def typed_at(site: Datasette, address: str) -> str:
    """What the search box says on a page."""
    html = (await site.client.get(address)).text
    box = re.search(r'<input id="find"[^>]* value="([^"]*)"', html)
    assert box
    return unescape(box[1])


async def found_at(site: Datasette, text: str) -> str:
    response = await site.client.get(f"/-/find?{urlencode({'q': text})}")
    assert response.status_code == 302, text
    return str(response.headers["location"])


TYPED = [
    ("hdf5 +mpi", "hdf5 +mpi"),
    ("hdf5@1.14 os=Ubuntu22.04 -cxx", "hdf5@=1.14.5 ~cxx os=ubuntu22.04"),
    ("hdf5 %gcc@13 zen4", "hdf5 %gcc@=13.2.0 machine=zen4"),
    ("hdf5 e4s build_type=Release", "hdf5 build_type=Release stack=e4s"),
    ("hdf5 +mpi release=v0.23.1", "hdf5 +mpi release=v0.23.1"),
    ("hdf5 +mpi release=all", "hdf5 +mpi release=all"),
    ("hdf5 @1.12", "hdf5@=1.12.2 release=develop-2025-07-13"),
    ("target=zen4", "target=zen4"),
    ("hdf5 /h +cxx", "hdf5/h +cxx"),
]


@pytest.mark.parametrize(("text", "expected"), TYPED)
async def test_what_the_box_says_leads_to_the_same_list(
    text: str, expected: str, site: Datasette
) -> None:
    address = await found_at(site, text)
    typed = await typed_at(site, address)

    assert typed == expected
    again = await found_at(site, typed)
    assert sorted(again.partition("?")[2].split("&")) == sorted(
        address.partition("?")[2].split("&")
    )


async def test_dependencies_are_last(cache_site: Datasette) -> None:
    address = await found_at(cache_site, "hdf5 ^openmpi@5 ^zlib-ng")

    assert await typed_at(cache_site, f"{address}&os=rhel8") == (
        "hdf5 os=rhel8 ^openmpi@5 ^zlib-ng"
    )


@pytest.mark.parametrize(
    "query",
    [
        "",
        "_sort=version",
        "version__contains=1",
        "version__in=[1]",
        "_where=1",
        "package=a+b",
    ],
)
async def test_what_a_search_cannot_say_leaves_the_box_empty(query: str, site: Datasette) -> None:
    assert await typed_at(site, f"/spack-cache/specs?{query}") == ""


async def test_words_are_said_too(site: Datasette) -> None:
    assert await typed_at(site, "/spack-cache/specs?_search=hdf5") == "hdf5 release=all"
