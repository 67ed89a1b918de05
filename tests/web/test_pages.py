"""Home, package, spec, release, stack pages and pages that are not there: what a person reads."""

import re
import sqlite3
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from datasette.app import Datasette

from tests.pages import dag_hash
from tests.web.conftest import open_site
from tests.web.seen import Link, links, sections, tags

METADATA = yaml.safe_load((Path(__file__).parents[2] / "metadata.yml").read_text())
QUERIES = METADATA["databases"]["spack-cache"]["queries"]

MADE_SPECS = ["harm", "hmac", "hmpi", "hold", "hser", "htwin", "np", "np2", "pickle", "xz", "evil"]


async def page(site: Datasette, path: str, status: int = 200) -> str:
    response = await site.client.get(path)
    assert response.status_code == status
    return str(response.text)


async def read(site: Datasette, path: str, status: int = 200) -> dict[str, str]:
    return sections(await page(site, path, status))


async def test_home_says_how_much_there_is_and_of_when(site: Datasette) -> None:
    read_home = await read(site, "/")

    assert read_home["In numbers"] == (
        "The current release is develop, as of the snapshot of 2025-07-13. It has binaries of"
        " 4 packages, in 9 specs. With all older releases it is:"
        " 5 packages 11 specs 7 stacks 4 releases"
        " By operating system: o's sequoia ubuntu22.04 ubuntu24.04"
    )


async def test_home_lists_every_question_of_the_metadata_in_its_order(site: Datasette) -> None:
    html = await page(site, "/")

    listed = [link for link in links(html) if link.href.removeprefix("/spack-cache/") in QUERIES]

    assert listed == [
        Link(query["title"], f"/spack-cache/{name}") for name, query in QUERIES.items()
    ]
    assert all(
        re.sub(r"\s+", " ", query["description"]) in sections(html)["Questions it answers"]
        for query in QUERIES.values()
    )


async def test_home_says_how_to_use_the_build_cache(site: Datasette) -> None:
    assert (await read(site, "/"))["Use the build cache"] == (
        "Tell Spack of the mirror, and to trust its keys:"
        " spack mirror add develop https://binaries.spack.io/develop"
        " spack buildcache keys --install --trust Copy"
        " Find a spec with the search box or in the list of specs, and copy its hash."
        " Install exactly that binary, or nothing: spack install --cache-only /hash"
    )


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Spack build cache"),
        ("/about", "About and API · Spack build cache"),
        ("/spack-cache", "Questions and tables · Spack build cache"),
        (
            "/spack-cache/specs?os=ubuntu22.04&stacks__arraycontains=e4s",
            "specs where os = ubuntu22.04 and stacks contains e4s · Spack build cache",
        ),
        ("/spack-cache/packages/hdf5", "hdf5 · Spack build cache"),
        (f"/spack-cache/specs/{dag_hash('hmpi')}", "hdf5@1.14.5 /hmpiaaa · Spack build cache"),
        ("/spack-cache/releases/develop", "Release develop · Spack build cache"),
        ("/spack-cache/stacks/e4s", "Stack e4s · Spack build cache"),
        ("/spack-cache/variants/~2Bmpi", "Variant +mpi · Spack build cache"),
        ("/spack-cache/targets/zen4", "zen4 · targets · Spack build cache"),
        ("/spack-cache/find_a_binary", "Is there a binary? · Spack build cache"),
        ("/spack-cache?sql=select+1", "SQL · Spack build cache"),
        ("/nothing", "Not found · Spack build cache"),
    ],
)
async def test_each_page_says_what_it_is_in_its_title(
    site: Datasette, path: str, title: str
) -> None:
    html = (await site.client.get(path)).text

    assert re.findall("<title>(.*?)</title>", html, re.DOTALL) == [title]


@pytest.mark.parametrize(
    "path", ["/", "/about", "/spack-cache", "/spack-cache/packages/hdf5", "/nothing"]
)
async def test_every_page_names_its_source_and_claims_no_licence_for_it(
    site: Datasette, path: str
) -> None:
    html = (await site.client.get(path)).text
    footer = re.sub(r"<[^>]+>|\s+", " ", html[html.index("<footer") : html.index("</footer>")])

    assert "binaries.spack.io" in footer
    assert "cache.spack.io" in footer
    assert "No licence was found for either, and none is claimed for the data." in re.sub(
        r"\s+", " ", footer
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/about",
        "/spack-cache",
        "/spack-cache/packages",
        "/spack-cache/specs?os=ubuntu22.04",
        "/spack-cache/packages/hdf5",
        "/spack-cache/packages/hdf5?machine=zen4&release=all",
        f"/spack-cache/specs/{dag_hash('hold')}",
        "/spack-cache/releases/develop",
        "/spack-cache/stacks/e4s",
        "/spack-cache/variants/~2Bmpi",
        "/spack-cache/targets/zen4",
        "/spack-cache/find_a_binary?package=hdf5",
        "/spack-cache/packages/hdf",
    ],
)
async def test_every_link_within_the_site_leads_somewhere(site: Datasette, path: str) -> None:
    html = (await site.client.get(path)).text
    addresses = {
        attributes["href"] for tag, attributes in tags(html) if tag == "a" and attributes["href"]
    }
    inside = {
        f"{path.partition('?')[0]}{address}" if address.startswith("?") else address
        for address in addresses
        if address.startswith(("/", "?"))
    }

    statuses = {
        address: (await site.client.get(address, follow_redirects=True)).status_code
        for address in inside
    }

    assert len(statuses) > 8
    assert {address: status for address, status in statuses.items() if status != 200} == {}


async def test_a_package_shows_the_current_release_first(site: Datasette) -> None:
    assert await read(site, "/spack-cache/packages/hdf5") == {
        "hdf5": "5 binaries in develop. About it on packages.spack.io Release Operating system My machine Show",
        "Versions and systems": (
            "How many binaries there are of each version, for each operating system and target."
            " System Target 1.14.5"
            " sequoia m1 1 ubuntu22.04 x86_64_v3 3 ubuntu24.04 neoverse_v2 1"
        ),
        "What they have in common": "version 1.14.5",
        "Variants in which they differ": (
            "Variant Values, and how many have them"
            " build_type build_type=Release 4 build_type=Debug 1"
            " cxx ~cxx 4 +cxx 1"
            " languages languages=c 3 languages='c,c++' 2"
            " mpi +mpi 3 ~mpi 2"
        ),
        "Compilers": "gcc@13.2.0 3 apple-clang@16.0.0 1 gcc@12.3.0 1",
        "Stacks": "root 5 e4s 3 developer-tools-darwin 1 e4s-neoverse-v2 1",
        "Releases": (
            "Release Newest version Specs develop 1.14.5 5 develop-2025-07-13 1.14.5 3"
            " develop-2025-07-06 1.14.5 2 v0.23.1 1.12.2 1"
            " More: all variants of hdf5, how its specs differ, twins among them"
            " For programs: JSON, CSV of the specs, install commands, spack.yaml, list of hashes"
        ),
    }


async def test_older_releases_of_a_package_are_one_click_away(site: Datasette) -> None:
    html = await page(site, "/spack-cache/packages/hdf5")
    (href,) = [link.href for link in links(html) if link.text == "develop-2025-07-06"]

    older = await read(site, f"/spack-cache/packages/hdf5{href}")

    assert href == "?release=develop-2025-07-06"
    assert older["hdf5"].startswith("2 binaries in develop-2025-07-06.")
    assert older["Versions and systems"].endswith(
        "System Target 1.14.5 1.12.2 ubuntu22.04 x86_64_v3 1 1"
    )
    assert older["What they have in common"] == (
        "os ubuntu22.04 platform linux target x86_64_v3 variants languages=c"
    )
    assert older["Variants in which they differ"] == (
        "Variant Values, and how many have them"
        " build_type build_type=Release 1 without it 1 cxx ~cxx 1 without it 1"
        " mpi +mpi 1 ~mpi 1"
    )


async def test_a_package_in_all_releases_at_once(site: Datasette) -> None:
    everything = await read(site, "/spack-cache/packages/hdf5?release=all")

    assert everything["hdf5"].startswith("6 binaries in all releases.")
    assert everything["Compilers"] == "gcc@13.2.0 3 apple-clang@16.0.0 1 gcc@12.3.0 1 gcc@9.4.0 1"


@pytest.mark.parametrize(
    ("machine", "counted", "systems"),
    [
        ("zen4", "3 binaries that run on zen4 in develop.", "ubuntu22.04 x86_64_v3 3"),
        ("x86_64_v3", "3 binaries that run on x86_64_v3 in develop.", "ubuntu22.04 x86_64_v3 3"),
        ("neoverse_v2", "1 binary that runs on neoverse_v2 in develop.", "neoverse_v2 1"),
        ("m2", "1 binary that runs on m2 in develop.", "sequoia m1 1"),
    ],
)
async def test_what_runs_on_a_machine(
    site: Datasette, machine: str, counted: str, systems: str
) -> None:
    shown = await read(site, f"/spack-cache/packages/hdf5?machine={machine}")

    assert shown["hdf5"].startswith(counted)
    assert shown["Versions and systems"].endswith(f"1.14.5 {systems}") or systems == "neoverse_v2 1"
    assert shown["Versions and systems"].endswith(systems)


@pytest.mark.parametrize("machine", ["x86_64_v2", "power9le", "no_such_target"])
async def test_nothing_runs_on_a_machine(site: Datasette, machine: str) -> None:
    html = await page(site, f"/spack-cache/packages/hdf5?machine={machine}")

    assert list(sections(html)) == ["hdf5"]
    assert sections(html)["hdf5"].startswith(f"No binary that runs on {machine} in develop.")
    assert Link(
        "Show the binaries for other systems",
        "/spack-cache/packages/hdf5?os=&machine=&release=develop",
    ) in links(html)


async def test_only_machines_that_run_some_binary_are_offered(site: Datasette) -> None:
    html = await page(site, "/spack-cache/packages/hdf5")
    offered = re.findall(r"<option>([^<]+)</option>", html)

    assert {"zen4", "x86_64_v3", "neoverse_v2", "m1", "m2"} <= set(offered)
    assert {"x86_64", "x86_64_v2", "power9le", "<i>t"}.isdisjoint(offered)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/spack-cache/packages/py-cloudpickle",
            "1 binary in develop-2025-07-06. There is none in develop.",
        ),
        (
            "/spack-cache/packages/xz?release=develop-2025-07-06",
            "1 binary in develop. There is none in develop-2025-07-06.",
        ),
        (
            "/spack-cache/packages/hdf5?release=nothing",
            "5 binaries in develop. There is none in nothing.",
        ),
    ],
)
async def test_a_release_without_the_package(site: Datasette, path: str, said: str) -> None:
    first = next(iter((await read(site, path)).values()))

    assert first.startswith(said)


async def test_what_a_single_binary_has_in_common_is_not_said(site: Datasette) -> None:
    assert "What they have in common" not in await read(site, "/spack-cache/packages/xz")


@pytest.mark.parametrize("choice", ["", "?release=all", "?machine=zen4", "?release=v0.23.1"])
async def test_each_count_of_a_package_is_that_of_the_specs_it_leads_to(
    site: Datasette, choice: str
) -> None:
    html = await page(site, f"/spack-cache/packages/hdf5{choice}")
    counted = [
        (int(count[1]), link.href)
        for link in links(html)
        if link.href.startswith("/spack-cache/specs?")
        and (count := re.search(r"(?:^| )([\d,]+)(?:$| binar)", link.text))
    ]

    found = [
        (await site.client.get(href.replace("specs?", "specs.json?_size=0&"))).json()
        for _, href in counted
    ]

    assert len(counted) >= 5
    assert [answer["filtered_table_rows_count"] for answer in found] == [n for n, _ in counted]


async def test_a_spec_can_be_copied_and_installed(site: Datasette) -> None:
    html = await page(site, f"/spack-cache/specs/{dag_hash('hold')}")
    copied = [attributes["data-copy"] for _, attributes in tags(html) if "data-copy" in attributes]

    assert copied == [
        "hdf5@1.12.2 +mpi languages=c arch=linux-ubuntu22.04-x86_64_v3 %gcc@9.4.0",
        dag_hash("hold"),
        "spack mirror add develop-2025-07-13 https://binaries.spack.io/develop-2025-07-13\n"
        "spack buildcache keys --install --trust",
        f"spack install --cache-only /{dag_hash('hold')}",
    ]


async def test_a_spec_shows_its_facts_and_where_it_is(site: Datasette) -> None:
    html = await page(site, f"/spack-cache/specs/{dag_hash('hold')}")
    shown = sections(html)

    assert list(shown) == [
        "hdf5@1.12.2 /holdaaa",
        "The spec",
        "Install exactly this binary",
        "Facts",
        "Releases and stacks that hold it",
        "Dependencies",
        "Twins",
    ]
    assert shown["Dependencies"] == (
        "Not known: only pages tell of this spec, and they do not list dependencies."
    )
    assert shown["Facts"] == (
        "package hdf5 version 1.12.2 compiler gcc@9.4.0 os ubuntu22.04 platform linux"
        " target x86_64_v3 size unknown variants +mpi languages=c"
    )
    assert shown["Releases and stacks that hold it"] == (
        "Release Stacks develop-2025-07-13 e4s root develop-2025-07-06 e4s root"
        " v0.23.1 e4s root the binary itself"
    )
    assert Link(
        "the binary itself", "https://binaries.spack.io/v0.23.1/build_cache/hdf5.spack"
    ) in links(html)
    assert shown["Twins"].startswith(
        "No other spec says the same in everything but the hash: it is the only one of its kind"
    )


async def test_a_size_that_is_known_and_a_compiler_that_is_not(site: Datasette) -> None:
    pickle = await read(site, f"/spack-cache/specs/{dag_hash('pickle')}")
    xz = await read(site, f"/spack-cache/specs/{dag_hash('xz')}")

    assert " size 512 bytes " in pickle["Facts"]
    assert " compiler none: it was built without one, or this is not known " in xz["Facts"]


@pytest.mark.parametrize(("spec", "twin"), [("hmpi", "htwin"), ("htwin", "hmpi")])
async def test_twins_are_told_apart(site: Datasette, spec: str, twin: str) -> None:
    html = await page(site, f"/spack-cache/specs/{dag_hash(spec)}")

    assert sections(html)["Twins"].startswith(
        "1 other spec says the same in everything but the hash."
        " Their dependencies differ, and no source lists those."
    )
    assert Link(dag_hash(twin), f"/spack-cache/specs/{dag_hash(twin)}") in links(html)


@pytest.mark.parametrize("name", [name for name in MADE_SPECS if name not in {"hmpi", "htwin"}])
async def test_other_specs_have_no_twins(site: Datasette, name: str) -> None:
    shown = await read(site, f"/spack-cache/specs/{dag_hash(name)}")

    assert shown["Twins"].startswith("No other spec")


async def test_a_spec_that_a_shell_would_act_on_is_quoted(site: Datasette) -> None:
    html = await page(site, f"/spack-cache/specs/{dag_hash('evil')}")
    copied = [attributes["data-copy"] for _, attributes in tags(html) if "data-copy" in attributes]

    assert copied[0] == (
        "'<img src=x onerror=alert(1)> `reboot`;@1.0;reboot flags=$(reboot)"
        ' note="<script>alert(1)</script>" yaml=- a: &b'
        " arch=linux-o'\"'\"'s-<i>t %gcc@13.2.0'"
    )
    assert (
        "It is quoted, since a shell would act on some of its characters."
        in sections(html)["The spec"]
    )


async def test_every_real_spec_has_its_page(real_site: Datasette, real_database: Path) -> None:
    connection = sqlite3.connect(real_database)
    specs = list(connection.execute("select hash, package, version, spec from specs limit 60"))
    connection.close()

    for spec, package, version, text in specs:
        html = await page(real_site, f"/spack-cache/specs/{spec}")
        assert next(iter(sections(html))) == f"{package}@{version} /{spec[:7]}"
        assert text in [attributes.get("data-copy") for _, attributes in tags(html)]


async def test_a_release_shows_its_stacks_and_what_changed(site: Datasette) -> None:
    assert await read(site, "/spack-cache/releases/develop") == {
        "develop": (
            "What Spack’s develop branch has now: binaries of 4 packages in 9 specs."  # noqa: RUF001
            " Before it: develop-2025-07-13."
        ),
        "Use it": (
            "spack mirror add develop https://binaries.spack.io/develop"
            " spack buildcache keys --install --trust Copy"
        ),
        "Stacks": (
            "Stack Specs root 9 e4s 4 ml-linux-x86_64-cpu 2 a'b\"c 1 developer-tools-darwin 1"
            " e4s-neoverse-v2 1 x<b>y 1"
        ),
        "What changed since develop-2025-07-13": (
            "All changes, by version and stack, and what was rebuilt New specs 7 Specs gone 1"
            " New packages 3 <img src=x onerror=alert(1)> `reboot`; py-numpy xz Packages gone 0"
            " New versions 4 <img src=x onerror=alert(1)> `reboot`;@1.0;reboot py-numpy@2.2.6"
            " py-numpy@1.26.4 xz@5.6.3 For programs: JSON"
        ),
    }


async def test_a_snapshot_is_compared_with_the_one_before(site: Datasette) -> None:
    shown = await read(site, "/spack-cache/releases/develop-2025-07-13")

    assert shown["develop-2025-07-13"] == (
        "The snapshot of 2025-07-13: binaries of 1 package in 3 specs."
        " Before it: develop-2025-07-06. After it: develop."
    )
    assert shown["What changed since develop-2025-07-06"] == (
        "All changes, by version and stack, and what was rebuilt New specs 1 Specs gone 1 New packages 0"
        " Packages gone 1 py-cloudpickle New versions 0 For programs: JSON"
    )


@pytest.mark.parametrize("path", ["develop-2025-07-06", "v0~2E23~2E1"])
async def test_the_first_of_its_line_has_nothing_before_it(site: Datasette, path: str) -> None:
    assert list(await read(site, f"/spack-cache/releases/{path}"))[1:] == ["Use it", "Stacks"]


async def test_the_counts_of_a_release_are_those_of_the_rows_they_lead_to(site: Datasette) -> None:
    html = await page(site, "/spack-cache/releases/develop")
    counted = [
        (int(link.text.split()[0]), link.href)
        for link in links(html)
        if re.match(r"\d", link.text) and "?" in link.href
    ]

    found = [
        (await site.client.get(re.sub(r"\?", ".json?_size=0&", href))).json() for _, href in counted
    ]

    assert len(counted) == 9
    assert [answer["filtered_table_rows_count"] for answer in found] == [n for n, _ in counted]


async def test_a_stack_shows_its_growth_and_what_it_holds_now(site: Datasette) -> None:
    shown = await read(site, "/spack-cache/stacks/e4s")

    assert shown["e4s"].startswith(
        "A stack of Spack’s CI: in develop it holds 4 specs of 2 packages."  # noqa: RUF001
    )
    assert shown["How it grew"] == (
        "Release Specs develop 4 develop-2025-07-13 3 develop-2025-07-06 3 v0.23.1 2"
    )
    assert shown["Packages in develop"] == "hdf5 3 xz 1 For programs: JSON"


async def test_a_stack_in_an_older_release_is_one_click_away(site: Datasette) -> None:
    assert Link("v0.23.1", "?release=v0.23.1") in links(await page(site, "/spack-cache/stacks/e4s"))

    shown = await read(site, "/spack-cache/stacks/e4s?release=v0.23.1")

    assert "in v0.23.1 it holds 2 specs of 2 packages." in shown["e4s"]
    assert shown["Packages in v0.23.1"] == "hdf5 1 xz 1 For programs: JSON"


async def test_a_stack_that_the_release_does_not_have(site: Datasette) -> None:
    shown = await read(site, "/spack-cache/stacks/e4s-neoverse-v2?release=v0.23.1")

    assert (
        "in develop it holds 1 spec of 1 package. It is not in v0.23.1." in shown["e4s-neoverse-v2"]
    )


async def test_a_variant_leads_to_all_specs_that_have_it_in_a_list_too(site: Datasette) -> None:
    html = await page(site, "/spack-cache/variants/languages~3Dc")
    (specs,) = [link for link in links(html) if link.text == "6 specs"]

    answer = (await site.client.get(specs.href.replace("specs?", "specs.json?"))).json()

    assert answer["filtered_table_rows_count"] == 6


@pytest.mark.parametrize(
    "path", ["variants/~2Bmpi", "targets/m1", "sources/develop~2Fhdf5~2Fspecs~2Emd"]
)
async def test_the_rows_of_other_tables_are_as_many_as_counted(site: Datasette, path: str) -> None:
    counted = {
        link.href: int(link.text.split()[0])
        for link in links(await page(site, f"/spack-cache/{path}"))
        if re.fullmatch(r"\d+ rows?", link.text)
    }

    found = {href: (await site.client.get(href.replace("?", ".json?"))).json() for href in counted}

    assert counted or path.startswith("sources")
    assert counted == {href: answer["filtered_table_rows_count"] for href, answer in found.items()}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/spack-cache/packages/hdf", [Link("hdf5", "/spack-cache/packages/hdf5")]),
        ("/spack-cache/packages/HDF5", [Link("hdf5", "/spack-cache/packages/hdf5")]),
        ("/spack-cache/packages/numpy", [Link("py-numpy", "/spack-cache/packages/py-numpy")]),
        ("/hdf5", [Link("hdf5", "/spack-cache/packages/hdf5")]),
        ("/spack-cache/hdf5", [Link("hdf5", "/spack-cache/packages/hdf5")]),
        ("/spack-cache/spec", [Link("specs", "/spack-cache/specs")]),
        ("/spack-cache/stacks/e4", [Link("e4s", "/spack-cache/stacks/e4s")]),
        (
            "/spack-cache/find_binary",
            [Link(QUERIES["find_a_binary"]["title"], "/spack-cache/find_a_binary")],
        ),
        (
            "/spack-cache/specs/hmpiaaaaXX",
            [
                Link(
                    "hdf5@1.14.5 +mpi ~cxx build_type=Release languages='c,c++'"
                    " arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0",
                    f"/spack-cache/specs/{dag_hash('hmpi')}",
                )
            ],
        ),
    ],
)
async def test_a_page_that_is_not_there_tells_what_was_probably_meant(
    site: Datasette, path: str, meant: list[Link]
) -> None:
    html = await page(site, path, 404)
    word = unquote(path.rpartition("/")[2])

    assert list(sections(html)) == ["There is no page here"]
    assert links(html)[: len(meant)] == meant
    assert links(html)[-2:] == [
        Link(f"Search for “{word}”", f"/-/find?q={word}"),
        Link("the start page", "/"),
    ]


async def test_a_page_that_is_like_nothing_says_so(site: Datasette) -> None:
    shown = await read(site, "/spack-cache/specs/zzzzzzz", 404)

    assert shown["There is no page here"].startswith(
        "Nothing that is known here has a name like “zzzzzzz”."
        " A spec goes when no build cache has its binary any more."
    )


async def test_a_page_that_is_not_there_is_an_error_for_programs(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/packages/hdf.json")

    assert response.status_code == 404
    assert response.json() == {
        "ok": False,
        "error": "Record not found",
        "status": 404,
        "title": None,
    }


async def test_a_name_with_a_dot_leads_to_its_page(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/releases/v0.23.1")

    assert response.status_code == 302
    assert response.headers["location"] == "/spack-cache/releases/v0~2E23~2E1"


async def test_a_mistake_in_an_address_is_explained_on_a_page(site: Datasette) -> None:
    html = await page(site, "/spack-cache/packages?_sort=nothing", 400)

    assert sections(html) == {"This did not work": "Cannot sort table by nothing To the start page"}


async def test_a_mistake_in_sql_is_explained_on_the_page(site: Datasette) -> None:
    html = await page(site, "/spack-cache?sql=select+*+from+no_such", 400)

    assert sections(html)["Ask in SQL"].startswith("no such table: no_such")


async def test_the_searches_that_the_home_page_suggests_find_something(site: Datasette) -> None:
    html = await page(site, "/")
    suggested = re.findall(r'href="(/-/find\?q=[^"]*)"><code>([^<]*)</code>', html)
    assert [words for _, words in suggested] == [
        "hdf5",
        "hdf5 os=ubuntu22.04",
        "hdf5 %gcc target=x86_64_v3",
    ]
    for address, _ in suggested[1:]:
        answer = await site.client.get(unescape(address), follow_redirects=True)
        assert "releases contains develop" in " ".join(sections(answer.text).values())
        assert dag_hash("hmpi") in answer.text


async def test_a_dependency_is_suggested_where_indexes_tell_of_them(cache_site: Datasette) -> None:
    html = await page(cache_site, "/")
    suggested = re.findall(r'href="(/-/find\?q=[^"]*)"><code>([^<]*)</code>', html)
    assert [words for _, words in suggested][3:] == ["hdf5 ^zlib-ng"]
    answer = await cache_site.client.get(unescape(suggested[3][0]), follow_redirects=True)
    assert "depends on ^zlib-ng" in " ".join(sections(answer.text).values())
    assert "No rows match" not in answer.text


@pytest.mark.parametrize(
    ("path", "name", "current"),
    [
        ("/spack-cache/packages", "Packages", "page"),
        ("/spack-cache/packages/hdf5?release=all", "Packages", "true"),
        ("/systems", "Systems", "page"),
        ("/systems/ubuntu22.04", "Systems", "true"),
        ("/about", "About and API", "page"),
    ],
)
async def test_the_menu_says_where_one_is(
    path: str, name: str, current: str, site: Datasette
) -> None:
    nav = (await page(site, path)).partition('<nav aria-label="Main">')[2].partition("</nav>")[0]

    assert re.findall(r'aria-current="(\w+)">([^<]+)<', nav) == [(current, name)]


async def test_the_menu_of_home_points_nowhere(site: Datasette) -> None:
    assert "aria-current" not in (await page(site, "/")).partition("</nav>")[0]


async def test_what_is_kept_of_one_database_is_not_used_for_another(
    made_database: Path, real_database: Path
) -> None:
    async def count(datasette: Datasette, stack: str) -> int:
        address = f"/spack-cache/specs.json?stacks__arraycontains={stack}&_size=0"
        return int((await datasette.client.get(address)).json()["filtered_table_rows_count"])

    with open_site(real_database) as real, open_site(made_database) as made:
        for _ in range(2):
            assert await count(real, "e4s") == 55
            assert await count(made, "e4s") == 6
            assert await count(made, "nothing") == 0
