"""Pages of what only indexes of build caches tell: dependencies, sizes, other caches than Spack's."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from tests.conftest import ROOT, build
from tests.etl.mirror import index, record, write_layout3
from tests.pages import REAL, SAMPLE
from tests.web.conftest import open_site
from tests.web.seen import Link, links, sections, tags
from tests.web.test_metadata import CHARTS
from web.spack.cells import size

CACHES = ROOT / "tests" / "etl" / "caches"

BERKELEY_DB = "t5j5f4nrsz3bxsdtry43izdjflxo5rpb"
MSGPACK = "6ppkddhfcx3snloumjilg7cgfmdf3whp"
GLIBC = "4xnl3xwvgcq4tykouo5llmzxf2sp56n7"
PIP = "3bxh3r3oekv7lvcjmrbwesmppameqxln"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build cache of layout 3 in a folder that has no name of a release."""
    folder = tmp_path_factory.mktemp("caches") / "our site"
    shutil.copytree(SAMPLE / "develop" / "e4s", folder)
    return folder


@pytest.fixture(scope="module")
def caches(ours: Path) -> Iterator[Datasette]:
    """The site of the sample, of pages, and of build caches of all kinds."""
    database = build(
        ours.parent / "spack-cache.db",
        *(SAMPLE, REAL, CACHES / "v0.23.1", ours),
        *(f"old={CACHES}/v0.23.1/e4s", f"alone={CACHES}/clingo-bootstrap"),
    )
    with open_site(database) as datasette:
        yield datasette


async def page(site: Datasette, path: str) -> str:
    response = await site.client.get(path)
    assert response.status_code == 200
    return str(response.text)


async def rows(site: Datasette, path: str) -> list[dict[str, object]]:
    answer: list[dict[str, object]] = json.loads(await page(site, f"{path}&_shape=array"))
    return answer


async def test_a_stack_without_binaries_has_a_page(tmp_path: Path) -> None:
    write_layout3(tmp_path / "develop" / "empty", index())
    write_layout3(tmp_path / "develop", index(record("zlib")))
    with open_site(build(tmp_path / "spack-cache.db", tmp_path / "develop")) as site:
        found = await page(site, "/spack-cache/stacks/empty")
        assert sections(found)["How it grew"].endswith("develop 0")
        assert "it holds 0 specs of 0 packages." in sections(found)["empty"]
        assert "1 spec" in await page(site, "/spack-cache/stacks/root")


def copied(html: str) -> list[str | None]:
    """What can be copied of a page."""
    return [attributes["data-copy"] for _, attributes in tags(html) if "data-copy" in attributes]


async def test_a_spec_shows_its_facts(caches: Datasette) -> None:
    html = await page(caches, f"/spack-cache/specs/{BERKELEY_DB}")
    shown = sections(html)

    assert shown["Facts"] == (
        "package berkeley-db version 18.1.40 compiler gcc@12.2.0 os ubuntu22.04 platform linux"
        " target neoverse_v2 size 6.3 kB variants build_system=autotools +cxx ~docs"
        " patches=26090f4,b231fcc +stl namespace builtin"
    )


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (GLIBC, "It was on the machine that built what depends on it, in /usr."),
        (PIP, "No build cache that was read has a binary of it."),
        (BERKELEY_DB, "There is a binary of it."),
    ],
)
async def test_a_node_says_what_it_is(caches: Datasette, key: str, said: str) -> None:
    heading, text = next(iter(sections(await page(caches, f"/spack-cache/nodes/{key}")).items()))

    assert heading.endswith(f"/{key[:7]}")
    assert text.startswith(said)


async def test_the_hash_of_what_is_no_spec_leads_to_its_node(caches: Datasette) -> None:
    answer = await caches.client.get(f"/spack-cache/specs/{GLIBC}")
    nothing = await caches.client.get(f"/spack-cache/specs/{'a' * 32}")

    assert (answer.status_code, answer.headers["location"]) == (302, f"/spack-cache/nodes/{GLIBC}")
    assert nothing.status_code == 404


async def test_rows_of_dependencies_name_both_ends(caches: Datasette) -> None:
    html = await page(caches, f"/spack-cache/dependencies?spec={BERKELEY_DB}&_size=1")

    assert [link for link in links(html) if "/specs/" in link.href] == [
        Link(key, f"/spack-cache/specs/{key}")
        for key in (BERKELEY_DB, "5bpfhlfke5tbkefq6bxndtl4bgegw5ca")
    ]
    assert "berkeley-db" in html
    assert "compiler-wrapper" in html


@pytest.mark.parametrize("path", ["nodes?", f"nodes/{GLIBC}?", "dependencies?"])
async def test_only_rows_of_specs_can_be_installed(caches: Datasette, path: str) -> None:
    html = await page(caches, f"/spack-cache/{path}")

    assert [link for link in links(html) if ".install" in link.href] == []


async def test_tables_can_be_narrowed_down_by_kind(caches: Datasette) -> None:
    found = {}
    for table in ("nodes", "releases", "sources"):
        answer = json.loads(await page(caches, f"/spack-cache/{table}.json?_size=0"))
        results = answer["facet_results"]["kind"]["results"]
        found[table] = {result["value"]: result["count"] for result in results}

    assert found == {
        "nodes": {"binary": 590, "missing": 44, "external": 30},
        "releases": {"mirror": 3, "develop": 1, "version": 1},
        "sources": {"page": 5, "index": 6},
    }


async def test_home_tells_other_build_caches_from_releases(caches: Datasette) -> None:
    assert (
        "With all other releases and build caches it is:"
        in (sections(await page(caches, "/"))["In numbers"])
    )


async def test_no_other_build_cache_comes_before_a_release(caches: Datasette) -> None:
    for release in ("develop", "v0~2E23~2E1"):
        shown = sections(await page(caches, f"/spack-cache/releases/{release}"))
        assert list(shown)[1:] == ["Use it", "Stacks"]
        assert "efore it" not in str(shown)


async def test_a_build_cache_in_a_folder(caches: Datasette, ours: Path) -> None:
    html = await page(caches, "/spack-cache/releases/our~20site")
    shown = sections(html)

    assert shown["our site"] == (
        "A build cache beside the releases of Spack: binaries of 40 packages in 40 specs."
        " More: how it differs from develop"
    )
    assert copied(html) == [
        f"spack mirror add 'our site' '{ours}'\nspack buildcache keys --install --trust"
    ]
    assert shown["Use it"].endswith(
        "The folder is on the computer that this database was built on."
    )
    assert list(shown) == ["our site", "Use it", "Stacks"]
    assert shown["Stacks"].startswith("Stack Specs root 40")


WARNING = "This build cache has layout 2, that of Spack 0.23 and older; Spack 1 warns of it."


@pytest.mark.parametrize(
    ("release", "warned"),
    [("develop", False), ("our~20site", False), ("v0~2E23~2E1", True), ("old", True)],
)
async def test_an_old_layout_is_told_where_commands_are(
    caches: Datasette, release: str, warned: bool
) -> None:
    shown = sections(await page(caches, f"/spack-cache/releases/{release}"))

    assert (WARNING in shown["Use it"]) == warned


async def test_an_index_alone_does_not_tell_where_binaries_are(caches: Datasette) -> None:
    shown = sections(await page(caches, "/spack-cache/releases/alone"))

    assert (
        "Only an index was read here, and it does not tell where the binaries are."
        in (shown["Use it"])
    )


async def test_a_spec_that_only_another_build_cache_has(caches: Datasette) -> None:
    (held,) = await rows(caches, "/spack-cache/spec_releases.json?release=alone&_size=1")
    shown = sections(await page(caches, f"/spack-cache/specs/{held['spec']}"))

    assert shown["Install exactly this binary"].startswith(
        "Once, for the mirror of alone: spack mirror add alone "
    )


async def test_install_scripts_say_where_binaries_are_from(caches: Datasette) -> None:
    public = await page(caches, f"/spack-cache/specs/{BERKELEY_DB}.install")
    other = await page(caches, "/spack-cache/specs.install?releases__arraycontains=alone")

    assert "# Installs 1 spec from Spack's public build cache.\n" in public
    assert "# Installs 59 specs from build caches of Spack.\n" in other


async def test_tarballs_are_linked_or_shown(caches: Datasette, ours: Path) -> None:
    (held,) = await rows(caches, "/spack-cache/spec_releases.json?release=our+site&_size=1")
    html = await page(caches, f"/spack-cache/specs/{held['spec']}")
    blob = str(held["tarball"]).removeprefix(f"{ours}/")

    assert blob.startswith("blobs/sha256/")
    assert Link("the binary itself", f"https://binaries.spack.io/develop/e4s/{blob}") in links(html)
    assert f"{ours}/{blob}" in sections(html)["Releases and stacks that hold it"]


async def test_another_build_cache_is_compared_with_the_current_release(caches: Datasette) -> None:
    implied = await rows(caches, "/spack-cache/release_changes.json?release=our+site")
    named = await rows(caches, "/spack-cache/release_changes.json?release=our+site&older=develop")

    assert implied == named
    assert len(implied) == 43
    assert {row["new_specs"] for row in implied} == {0}
    # No release comes before the last version, though other caches are listed after it.
    assert await rows(caches, "/spack-cache/release_changes.json?release=v0.23.1") == []


async def test_other_build_caches_did_not_grow(caches: Datasette) -> None:
    grown = await rows(caches, "/spack-cache/stack_growth.json?stack=root")

    assert [(row["release"], row["num_specs"], row["more_specs"]) for row in grown] == [
        ("develop", 414, None),
        ("alone", 59, None),
        ("old", 38, None),
        ("our site", 40, None),
    ]


@pytest.mark.parametrize("query", ["spec_differences", "package_variants", "twins"])
async def test_questions_about_a_package_have_a_default_without_any_page(
    caches: Datasette, query: str
) -> None:
    html = await page(caches, f"/spack-cache/{query}?release=alone")

    assert '<option value="">clingo-bootstrap (default)</option>' in html


async def test_missing_packages_are_found_without_pages(caches: Datasette) -> None:
    sought = "/spack-cache/missing_packages.json?release=our+site&os=ubuntu22.04&machine="

    assert len(await rows(caches, f"{sought}neoverse_v2")) == 40
    assert await rows(caches, f"{sought}zen4") == []


async def test_the_chart_of_packages_counts_indexes_too(caches: Datasette) -> None:
    sql = CHARTS["packages"]["query"]
    drawn = await rows(caches, f"/spack-cache.json?{urlencode({'sql': sql})}")

    # 67 of msgpack are on its page, and two in the sample.
    assert [(row["package"], row["specs"]) for row in drawn[:8]] == [
        ("py-safetensors", 116),
        ("py-filelock", 108),
        ("py-pdm-backend", 79),
        ("py-msgpack", 69),
        ("py-cloudpickle", 44),
        ("bzip2", 2),
        ("expat", 2),
        ("gcc-runtime", 2),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (6_339, "6.3 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_400_000, "12.4 MB"),
        (3_200_000_000, "3.2 GB"),
        (5_000_000_000_000_000, "5,000.0 TB"),
    ],
)
def test_sizes_have_a_unit_that_suits_them(value: int, shown: str) -> None:
    assert size(value).striptags() == shown


async def test_sizes_of_sources_have_units_for_people_only(caches: Datasette) -> None:
    html = await page(caches, "/spack-cache/sources?stack=e4s&release=develop")
    (row,) = await rows(caches, "/spack-cache/sources.json?stack=e4s&release=develop")

    assert '<span class="number" title="88,486 bytes">88.5 kB</span>' in html
    assert row["bytes"] == 88_486
