"""What a list of specs says of other releases, and what would be found where it has nothing."""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from datasette.app import Datasette

from tests.web.seen import links
from web.spack.advice import Advice, Way, advice

Filters = Mapping[str, str]


async def told(site: Datasette, filters: Filters) -> Advice:
    await site.invoke_startup()
    found = await advice(site, list(filters.items()))
    assert found
    return found


async def page(site: Datasette, filters: Filters) -> str:
    response = await site.client.get(f"/spack-cache/specs?{urlencode(filters)}")
    assert response.status_code == 200
    return response.text


def texts(html: str, name: str = "elsewhere") -> list[str]:
    """What the paragraphs of a class say."""
    found = re.findall(rf'<p class="{name}">(.*?)</p>', html, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", "", text).split()) for text in found]


def counted(database: Path, where: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM specs WHERE {where}").fetchone()[0]
        return found


async def test_every_way_has_as_many_specs_as_it_says(
    real_site: Datasette, real_database: Path
) -> None:
    found = await told(
        real_site, {"package": "py-msgpack", "os": "ubuntu22.04", "target": "ppc64le"}
    )
    ways = [*found.without, *found.systems, *found.targets]

    assert [(way.text, way.specs) for way in ways] == [
        ("without target=ppc64le", 34),
        ("without os=ubuntu22.04", 1),
        ("ubuntu20.04", 1),
        ("x86_64_v3", 24),
        ("neoverse_v2", 8),
        ("neoverse_v1", 2),
    ]
    for way in ways:
        where = " AND ".join(
            f"{column} = '{value}'" for column, value in parse_qsl(urlsplit(way.url).query)
        )
        assert way.specs == counted(real_database, where)


async def test_a_target_without_binaries_of_its_own_runs_others(
    real_site: Datasette, real_database: Path
) -> None:
    html = await page(real_site, {"package": "py-msgpack", "target": "zen4"})
    runs = "target IN (SELECT runs FROM target_compatibility WHERE target = 'zen4')"

    assert counted(real_database, f"package = 'py-msgpack' AND {runs}") == 43
    assert texts(html) == ["None built for exactly zen4; 43 run on it"]
    assert ("43 run on it", "/spack-cache/specs?package=py-msgpack&_runs_on=zen4") in links(html)


async def test_a_list_with_rows_says_nothing_of_what_would_be(real_site: Datasette) -> None:
    html = await page(real_site, {"package": "py-msgpack", "os": "ubuntu22.04"})

    assert texts(html) == []
    assert 'class="nothing"' not in html


RELEASES: list[tuple[Filters, list[str]]] = [
    (
        {
            "package": "hdf5",
            "variants__arraycontains": "+mpi",
            "releases__arraycontains": "develop",
        },
        ["1 more in older releases"],
    ),
    ({"package": "py-numpy", "releases__arraycontains": "develop"}, []),
    (
        {"package": "hdf5", "version": "1.12.2", "releases__arraycontains": "v0.23.1"},
        ["None of these is in develop, the newest release."],
    ),
    (
        {"package": "hdf5", "releases__arraycontains": "develop-2025-07-06"},
        ["5 in develop, the newest release; 6 in all"],
    ),
    ({"package": "hdf5"}, []),
    ({}, []),
]


@pytest.mark.parametrize(("filters", "said"), RELEASES)
async def test_a_list_of_one_release_tells_of_the_others(
    filters: Filters, said: list[str], site: Datasette
) -> None:
    assert texts(await page(site, filters)) == said


async def test_more_leads_to_the_list_of_all_releases(site: Datasette) -> None:
    html = await page(
        site, {"package": "hdf5", "_sort_desc": "version", "releases__arraycontains": "develop"}
    )

    address = "/spack-cache/specs?package=hdf5&_sort_desc=version"
    assert ("1 more in older releases", address) in links(html)


SPELLINGS: list[tuple[str, str, list[str]]] = [
    ("os", "ubunutu22.04", ["ubuntu22.04"]),
    ("target", "x86_64_v33", ["x86_64_v3"]),
    ("package", "hdff5", ["hdf5"]),
    ("stacks__arraycontains", "e4ss", ["e4s"]),
    ("releases__arraycontains", "develop-2025-07-14", ["develop-2025-07-13"]),
]


@pytest.mark.parametrize(("key", "value", "alike"), SPELLINGS)
async def test_a_name_that_nobody_knows_gets_one_that_is_alike(
    key: str, value: str, alike: list[str], site: Datasette
) -> None:
    found = await told(site, {"version": "1.14.5", key: value})

    assert [way.text for way in found.alike][:1] == alike


async def test_where_a_release_has_nothing_others_are_asked(site: Datasette) -> None:
    found = await told(
        site,
        {"version": "1.12.2", "os": "sequoia", "releases__arraycontains": "develop-2025-07-06"},
    )

    assert found.without == [
        Way(
            "without os=sequoia",
            1,
            "/spack-cache/specs?version=1.12.2&releases__arraycontains=develop-2025-07-06",
        )
    ]


@pytest.mark.parametrize(
    "filters",
    [
        {"_where": "1 = 0"},
        {"_needs": "^nonsense"},
        {"_through": "{}", "os": "nonesuch"},
        {"os": "<script>alert(1)</script>", "package": "hdf5"},
        {"_search": 'hdf5 "', "os": "sequoia"},
        {"version__glob": "[", "os": "sequoia"},
        {"os__in": "nonesuch", "target": "zen4"},
        {"os": "", "package__isnull": "1"},
    ],
)
async def test_whatever_finds_nothing_has_a_page(filters: Filters, site: Datasette) -> None:
    response = await site.client.get(f"/spack-cache/specs?{urlencode(filters)}")

    assert response.status_code in {200, 400}
    assert "<script>alert" not in response.text
