"""The systems: which packages have a binary that runs on one, held against SQL on the tables."""

import csv
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from datasette.app import Datasette

from tests.conftest import build
from tests.pages import HOSTILE_PACKAGE, spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import Link, links, sections

# The newest version is the one whose rank is lowest.
HAVE_SQL = """
    select package, version, count(*) over (partition by package) as specs
    from (
        select * from specs
        where (:os = '' or os = :os)
            and hash in (select spec from spec_releases where "release" = :release)
            and (:machine = '' or target in (
                select runs from target_compatibility where target = :machine
            ))
    )
    order by package, version_rank
"""
IN_RELEASE_SQL = """
    select distinct package from specs join spec_releases on spec_releases.spec = hash
    where "release" = ? order by package
"""
SYSTEMS = [
    ("ubuntu22.04", "", "develop"),
    ("ubuntu22.04", "zen4", "develop"),
    ("ubuntu22.04", "x86_64_v2", "develop"),
    ("ubuntu22.04", "zen4", "develop-2025-07-06"),
    ("ubuntu22.04", "zen4", "v0.23.1"),
    ("ubuntu24.04", "neoverse_v2", "develop"),
    ("sequoia", "m2", "develop"),
    ("sequoia", "m2", "v0.23.1"),
    ("o's", "", "develop"),
]


def first_of_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row of each package."""
    return list({row["package"]: row for row in reversed(rows)}.values())[::-1]


def expected(database: Path, **system: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What SQL finds: the packages that have a binary, and those that have none."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        have = first_of_each([dict(row) for row in connection.execute(HAVE_SQL, system)])
        all_packages = [name for (name,) in connection.execute(IN_RELEASE_SQL, [system["release"]])]
    names = {row["package"] for row in have}
    return have, [name for name in all_packages if name not in names]


async def get(site: Datasette, path: str, status: int = 200, **pairs: str) -> httpx.Response:
    response = await site.client.get(f"{path}?{urlencode(pairs)}")
    assert response.status_code == status, response.text
    return response


async def told(site: Datasette, path: str, status: int = 200, **pairs: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await get(site, path, status, **pairs)).json()
    return answer


def path_of(os: str, form: str = "") -> str:
    """The path of a system's page, for the names of these tests."""
    name = os.replace(".", "~2E").replace("'", "~27")
    return f"/systems/{name}{form}"


@pytest.mark.parametrize("is_fixed", [True, False], ids=["bitmaps", "no bitmaps"])
async def test_the_lists_of_each_system_are_what_sql_finds(
    made_database: Path, is_fixed: bool
) -> None:
    with open_site(made_database, is_fixed=is_fixed) as site:
        await site.invoke_startup()
        for os, machine, release in SYSTEMS:
            page = await told(site, path_of(os, ".json"), machine=machine, release=release)
            have, missing = expected(made_database, os=os, machine=machine, release=release)
            assert page["have"] == have
            assert page["missing"] == missing
            assert page["num_have"] == len(have)
            assert page["num_packages"] == len(have) + len(missing)
            assert page["num_specs"] == sum(row["specs"] for row in have)


async def test_of_the_build_caches_in_the_repository_too(
    cache_site: Datasette, cache_database: Path
) -> None:
    with closing(sqlite3.connect(cache_database)) as connection:
        systems = connection.execute(
            'select distinct os, target, "release" from specs'
            " join spec_releases on spec_releases.spec = hash"
        ).fetchall()
    assert len(systems) > 2
    for os, machine, release in systems:
        page = await told(cache_site, path_of(os, ".json"), machine=machine, release=release)
        have, missing = expected(cache_database, os=os, machine=machine, release=release)
        assert (page["have"], page["missing"]) == (have, missing)
        assert have


async def test_a_system_tells_more_than_its_lists(site: Datasette) -> None:
    page = await told(site, "/systems/ubuntu22~2E04.json", machine="zen4")

    assert page["release"] == "develop"
    assert page["targets"] == [{"name": "x86_64_v3", "specs": 6, "runs": True}]
    assert page["stacks"] == [
        {"name": "root", "have": 3, "packages": 4},
        {"name": "e4s", "have": 2, "packages": 2},
        {"name": "developer-tools-darwin", "have": 1, "packages": 1},
        {"name": "e4s-neoverse-v2", "have": 1, "packages": 1},
        {"name": "ml-linux-x86_64-cpu", "have": 1, "packages": 1},
        {"name": "a'b\"c", "have": 0, "packages": 1},
        {"name": "x<b>y", "have": 0, "packages": 1},
    ]
    assert page["releases"] == [
        {"name": "develop", "specs": 6},
        {"name": "develop-2025-07-13", "specs": 3},
        {"name": "develop-2025-07-06", "specs": 3},
        {"name": "v0.23.1", "specs": 2},
    ]


async def test_a_system_as_csv_has_both_lists(site: Datasette) -> None:
    response = await get(site, "/systems/ubuntu22~2E04.csv", machine="zen4")

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(io.StringIO(response.text))) == [
        ["package", "specs", "newest_version"],
        [HOSTILE_PACKAGE, "0", ""],
        ["hdf5", "3", "1.14.5"],
        ["py-numpy", "2", "2.2.6"],
        ["xz", "1", "5.6.3"],
    ]


@pytest.mark.parametrize(
    ("pairs", "have", "missing"),
    [
        ({"q": "NUM py"}, ["py-numpy"], []),
        ({"q": "reboot"}, [], [HOSTILE_PACKAGE]),
        ({"q": "nothing"}, [], []),
        ({"stack": "e4s"}, ["hdf5", "xz"], []),
        ({"stack": "x<b>y"}, [], [HOSTILE_PACKAGE]),
        ({"stack": "e4s", "q": "x"}, ["xz"], []),
    ],
)
async def test_the_lists_can_be_searched_in_every_format(
    site: Datasette, pairs: dict[str, str], have: list[str], missing: list[str]
) -> None:
    page = await told(site, "/systems/ubuntu22~2E04.json", machine="zen4", **pairs)
    assert [row["package"] for row in page["have"]] == have
    assert page["missing"] == missing

    lines = (await get(site, "/systems/ubuntu22~2E04.csv", machine="zen4", **pairs)).text
    assert [row[0] for row in csv.reader(io.StringIO(lines))][1:] == sorted(have + missing)

    html = (await get(site, "/systems/ubuntu22~2E04", machine="zen4", **pairs)).text
    shown = {link.text for link in links(html) if link.href.startswith("/spack-cache/packages/")}
    assert shown == {*have, *missing}


async def test_a_search_is_said_with_the_whole(site: Datasette) -> None:
    read = sections((await get(site, "/systems/ubuntu22~2E04", machine="zen4", q="xz")).text)

    assert read["What runs on ubuntu22.04 and zen4"].startswith(
        "3 of 4 packages in develop have a binary that runs there: 6 specs."
    )
    assert read["Have a binary 1 of 3: newest version, number of specs"] == "xz 5.6.3 1"
    assert (
        read["Missing 0 of 1: in develop, but with no binary that runs there"]
        == "None with “xz” in the name."
    )


async def test_a_system_leads_to_packages_specs_and_others_like_it(site: Datasette) -> None:
    found = links((await get(site, "/systems/ubuntu22.04", machine="zen4")).text)

    specs = "/spack-cache/specs?os=ubuntu22.04&_runs_on=zen4&releases__arraycontains=develop"
    assert Link("6 specs", specs) in found
    assert Link("3", f"{specs}&package=hdf5") in found
    of_system = "?os=ubuntu22.04&machine=zen4&release=develop"
    assert Link("hdf5", f"/spack-cache/packages/hdf5{of_system}") in found
    assert (
        Link(
            HOSTILE_PACKAGE,
            "/spack-cache/packages/~3Cimg+src~3Dx+onerror~3Dalert~281~29~3E+~60reboot~60~3B"
            "?release=develop",
        )
        in found
    )
    page = "/systems/ubuntu22~2E04"
    assert Link("x86_64_v3 6", f"{page}?machine=x86_64_v3&release=develop") in found
    assert Link("any CPU", f"{page}?release=develop") in found
    assert Link("e4s", f"{page}?machine=zen4&release=develop&stack=e4s") in found
    assert Link("v0.23.1 2", f"{page}?machine=zen4&release=v0.23.1") in found
    assert Link("CSV", f"{page}.csv?machine=zen4&release=develop") in found
    assert Link("JSON", f"{page}.json?machine=zen4&release=develop") in found


async def test_every_link_of_the_systems_leads_somewhere(site: Datasette) -> None:
    for start in ("/systems", "/systems/o~27s?stack=x%3Cb%3Ey&q=re", "/systems/sequoia?machine=m2"):
        html = (await site.client.get(start)).text
        for link in links(html):
            if link.href.startswith("/"):
                response = await site.client.get(link.href)
                assert response.status_code in {200, 302}, link.href


async def test_all_systems_are_listed_with_what_they_have(site: Datasette) -> None:
    page = await told(site, "/systems.json")

    assert page["release"] == "develop"
    assert (page["num_packages"], page["num_have"]) == (4, 4)
    assert [
        (system["os"], system["packages"], system["specs"], system["targets"])
        for system in page["systems"]
    ] == [
        ("ubuntu22.04", 3, 6, [{"name": "x86_64_v3", "specs": 6, "runs": True}]),
        ("o's", 1, 1, [{"name": "<i>t", "specs": 1, "runs": True}]),
        ("sequoia", 1, 1, [{"name": "m1", "specs": 1, "runs": True}]),
        ("ubuntu24.04", 1, 1, [{"name": "neoverse_v2", "specs": 1, "runs": True}]),
    ]
    read = sections((await get(site, "/systems")).text)
    assert read["Systems with binaries"].endswith(
        "Operating system Packages Specs Built for"
        " ubuntu22.04 3 6 x86_64_v3 6 o's 1 1 <i>t 1 sequoia 1 1 m1 1"
        " ubuntu24.04 1 1 neoverse_v2 1 For programs: JSON"
    )


async def test_the_list_of_systems_is_of_one_release_and_machine(site: Datasette) -> None:
    page = await told(site, "/systems.json", release="v0.23.1", machine="ZEN4")
    assert page["machine"] == "zen4"
    assert [(each["os"], each["packages"], each["specs"]) for each in page["systems"]] == [
        ("ubuntu22.04", 2, 2)
    ]

    page = await told(site, "/systems.json", os="sequoia", machine="zen4")
    assert (page["num_packages"], page["num_have"]) == (4, 0)
    assert page["systems"] == [
        {
            "os": "sequoia",
            "packages": 0,
            "specs": 0,
            "targets": [{"name": "m1", "specs": 1, "runs": False}],
        }
    ]


async def test_the_form_leads_to_the_page_of_the_system(site: Datasette) -> None:
    response = await get(site, "/systems", 302, os="ubuntu22.04", machine="zen4", release="")
    assert response.headers["location"] == "/systems/ubuntu22~2E04?machine=zen4"
    assert (await get(site, "/systems", os="", machine="zen4")).status_code == 200


@pytest.mark.parametrize("os", ["ubuntu22.04", "ubuntu22~2E04", "Ubuntu22.04", "%75buntu22.04"])
async def test_a_system_is_found_however_it_is_written(site: Datasette, os: str) -> None:
    assert (await told(site, f"/systems/{os}.json"))["os"] == "ubuntu22.04"


@pytest.mark.parametrize(
    ("path", "message", "meant"),
    [
        (
            "/systems/ubuntu2204{}?machine=zen4&release=develop",
            "No operating system that is known here is called “ubuntu2204”."
            " Did you mean ubuntu22.04 or ubuntu24.04?",
            Link("ubuntu22.04", "/systems/ubuntu22~2E04?machine=zen4&release=develop"),
        ),
        (
            "/systems/o~27s{}?machine=zen44",
            "No CPU target that is known here is called “zen44”. Did you mean zen4 or zen?",
            Link("zen4", "/systems/o~27s?machine=zen4"),
        ),
        (
            "/systems/o~27s{}?release=develo",
            "No release that is known here is called “develo”."
            " Did you mean develop, develop-2025-07-13 or develop-2025-07-06?",
            Link("develop", "/systems/o~27s?release=develop"),
        ),
        (
            "/systems/o~27s{}?stack=%3Cb%3E",
            "No stack that is known here is called “<b>”. Did you mean x<b>y?",
            Link("x<b>y", "/systems/o~27s?stack=x%3Cb%3Ey"),
        ),
    ],
)
async def test_an_unknown_name_is_said_with_what_may_have_been_meant(
    site: Datasette, path: str, message: str, meant: Link
) -> None:
    response = await site.client.get(path.format(""))
    assert response.status_code == 404
    (read,) = sections(response.text).values()
    assert read.startswith(message)
    assert meant in links(response.text)

    as_json = await site.client.get(path.format(".json"))
    assert as_json.status_code == 404
    assert as_json.json() == {"ok": False, "error": message, "status": 404, "title": None}

    as_csv = await site.client.get(path.format(".csv"))
    assert (as_csv.status_code, as_csv.text) == (404, f"{message}\n")


async def test_a_name_of_thousands_of_characters_is_refused_soon(site: Datasette) -> None:
    response = await site.client.get(f"/systems/o~27s?machine={'z' * 6_000}")
    assert response.status_code == 404
    assert "z" * 260 not in response.text


async def test_a_system_without_binaries_in_a_release_leads_to_releases_that_have(
    site: Datasette,
) -> None:
    html = (await get(site, "/systems/sequoia", release="v0.23.1")).text
    assert "There is no binary for sequoia in v0.23.1." in sections(html)["What runs on sequoia"]
    assert Link("develop 1", "/systems/sequoia?release=develop") in links(html)


async def test_titles_and_descriptions_say_how_much_runs(site: Datasette) -> None:
    html = (await get(site, "/systems/ubuntu22.04", machine="zen4")).text
    assert "<title>ubuntu22.04 and zen4: 3 of 4 Spack packages in develop · Spack" in html
    assert (
        '<meta name="description" content="3 of 4 Spack packages in develop have a ready binary'
        ' that runs on ubuntu22.04 and zen4; 1 have none.">'
    ) in html


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """A package for rhel8 and for zen4, never for both at once; another for both."""
    folder = tmp_path_factory.mktemp("crossed")
    pages = folder / "pages"
    old = spec("old", os="rhel8", target="zen4")
    apart = [spec("arm", os="rhel8", target="aarch64"), spec("zen", os="amzn2", target="zen4")]
    write_specs(pages, "develop", "apart", *apart)
    write_specs(pages, "develop", "both", spec("both", os="rhel8", target="zen4"))
    write_specs(pages, "develop", "once", spec("now", os="amzn2", target="zen4"))
    write_specs(pages, "v0.23.1", "once", old)
    with open_site(build(folder / "spack-cache.db", pages)) as datasette:
        yield datasette


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            {"oses__arraycontains": "rhel8", "targets__arraycontains": "zen4"},
            "2 have one binary for all of it: rhel8, built for zen4."
            " Which packages run on rhel8 and zen4",
        ),
        (
            {
                "oses__arraycontains": "rhel8",
                "targets__arraycontains": "zen4",
                "releases__arraycontains": "develop",
            },
            "1 has one binary for all of it: rhel8, built for zen4, in develop."
            " Which packages run on rhel8 and zen4",
        ),
        (
            {"oses__arraycontains": "rhel8", "releases__arraycontains": "develop"},
            "2 have one binary for all of it: rhel8, in develop. Which packages run on rhel8",
        ),
        ({"oses__arraycontains": "rhel8"}, None),
        ({"targets__arraycontains": "zen4", "releases__arraycontains": "develop"}, None),
    ],
)
async def test_filters_that_do_not_belong_together_lead_to_what_is_true(
    crossed: Datasette, filters: dict[str, str], said: str | None
) -> None:
    html = (await get(crossed, "/spack-cache/packages", **filters)).text
    note = "The filters find packages that have all of these, perhaps each in another binary."
    assert (f"{note} {said}" in sections(html)["Packages"]) if said else (note not in html)
    if said:
        assert any(link.href.startswith("/systems/rhel8?") for link in links(html))


async def test_a_package_can_be_seen_for_an_operating_system(site: Datasette) -> None:
    path = "/spack-cache/packages/hdf5"
    html = (await get(site, path, os="ubuntu24.04", release="develop")).text
    read = sections(html)
    assert read["hdf5"].startswith("1 binary that runs on ubuntu24.04 in develop.")
    assert read["Compilers"] == "gcc@12.3.0 1"
    assert Link(
        "1 binary",
        "/spack-cache/specs?package=hdf5&releases__arraycontains=develop&os=ubuntu24.04",
    ) in links(html)
    assert Link("✖", "?os=&machine=&release=develop") in links(html)
    assert Link("What else runs there", "/systems?os=ubuntu24.04&machine=&release=develop") in (
        links(html)
    )

    read = sections((await get(site, path, os="ubuntu24.04", machine="zen4")).text)
    assert read["hdf5"].startswith("No binary that runs on ubuntu24.04 and zen4 in develop.")
