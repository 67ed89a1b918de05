"""The search box, and the search of the table of specs: what is found, compared with SQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from datasette.app import Datasette

from tests.conftest import build
from tests.pages import HOSTILE_PACKAGE, dag_hash, spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import links, sections


async def find(site: Datasette, text: str, **chosen: str) -> str:
    """Where a search leads, or the page of its results."""
    response = await site.client.get(f"/-/find?{urlencode({'q': text, **chosen})}")
    if response.status_code == 302:
        return str(response.headers["location"])
    assert response.status_code == 200
    return response.text


async def hashes_at(site: Datasette, address: str) -> list[str]:
    """The hashes of the specs that an address of the table lists, without filling letters."""
    path, _, query = address.partition("?")
    response = await site.client.get(f"{path}.json?{query}&_shape=array&_nofacet=1&_size=max")
    assert response.status_code == 200, response.text
    return [name.rstrip("a") for name in sorted(row["hash"] for row in response.json())]


def pairs(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


def selected(database: Path, where: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(f"SELECT hash FROM specs WHERE {where} ORDER BY hash")
        return [name.rstrip("a") for (name,) in rows]


@pytest.mark.parametrize("text", ["hdf5", " hdf5 ", "HDF5"])
async def test_the_name_of_a_package_leads_to_its_page(text: str, site: Datasette) -> None:
    assert await find(site, text) == "/spack-cache/packages/hdf5"


async def test_two_letters_are_a_name_too(site: Datasette) -> None:
    assert await find(site, "xz") == "/spack-cache/packages/xz"


async def test_a_name_full_of_signs_is_a_name(site: Datasette) -> None:
    address = await find(site, HOSTILE_PACKAGE)

    assert (await site.client.get(address)).status_code == 200
    assert address.startswith("/spack-cache/packages/~3Cimg")


PARTS = [
    ("py", ["py-numpy", "py-cloudpickle"]),
    ("PY", ["py-numpy", "py-cloudpickle"]),
    ("p", ["py-numpy", "py-cloudpickle"]),
    ("pickle", ["py-cloudpickle"]),
    ("pickle py", ["py-cloudpickle"]),
    ("df", ["hdf5"]),
    ("img", [HOSTILE_PACKAGE]),
]


@pytest.mark.parametrize(("text", "expected"), PARTS)
async def test_parts_of_names_find_packages(
    text: str, expected: list[str], site: Datasette
) -> None:
    html = await find(site, text)

    found = [link.text for link in links(html) if "/packages/" in link.href]
    assert found == expected
    assert "Packages" in sections(html)


async def test_packages_come_with_what_is_newest(site: Datasette) -> None:
    assert sections(await find(site, "pickle"))["Packages"] == (
        "1 package has this in the name. package newest version newest release specs"
        " py-cloudpickle 3.0.0 develop-2025-07-06 1"
    )


@pytest.mark.parametrize(
    "text", [dag_hash("htwin"), "htwinaa", "/htwinaa", "/ht", "hdf5/htwin", "hdf5 /htwin"]
)
async def test_a_hash_leads_to_its_spec(text: str, site: Datasette) -> None:
    assert await find(site, text) == f"/spack-cache/specs/{dag_hash('htwin')}"


async def test_the_beginning_of_several_hashes_lists_them(site: Datasette) -> None:
    html = await find(site, "/h")

    assert [link.text for link in links(html)] == [
        dag_hash(name) for name in ("harm", "hmac", "hmpi", "hold", "hser", "htwin")
    ]
    assert list(sections(html)) == ["Search for “/h”", "Specs", "What can be searched for"]


@pytest.mark.parametrize("text", ["htwina", "/zzzzzzz", "xz/htwin", "aaaaaaaaaaaaaaaa"])
async def test_what_is_no_hash_of_a_spec_finds_nothing(text: str, site: Datasette) -> None:
    html = await find(site, text)

    assert "No package has this in its name" in html
    assert "Specs" not in sections(html)


@pytest.fixture(scope="module")
def ambiguous_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """Names of packages that hashes begin with too, and a package with 120 versions."""
    folder = tmp_path_factory.mktemp("ambiguous")
    write_specs(folder / "pages", "develop", "openssl3", spec("opensslx"), spec("opensslz"))
    write_specs(folder / "pages", "develop", "libfabric", spec("libfabrico"))
    versions = [
        spec(f"v{chr(ord('b') + i // 20)}{chr(ord('b') + i % 20)}", versions=[f"1.{i}"])
        for i in range(120)
    ]
    write_specs(folder / "pages", "develop", "many", *versions)
    with open_site(build(folder / "spack-cache.db", folder / "pages")) as datasette:
        yield datasette


async def test_a_word_that_is_a_name_and_a_hash_finds_both(ambiguous_site: Datasette) -> None:
    html = await find(ambiguous_site, "openssl")

    assert list(sections(html)) == [
        "Search for “openssl”",
        "Packages",
        "Specs",
        "What can be searched for",
    ]
    assert await find(ambiguous_site, "libfabric") == "/spack-cache/packages/libfabric"
    assert (
        await find(ambiguous_site, "/libfabric") == f"/spack-cache/specs/{dag_hash('libfabrico')}"
    )


async def test_too_many_versions_ask_for_a_package(ambiguous_site: Datasette) -> None:
    html = await find(ambiguous_site, "many @1")

    assert "120 different versions fit @1. Add the name of a package" in html
    assert pairs(await find(ambiguous_site, "many @1.7")) == [
        ("package", "many"),
        ("version", "1.7"),
        ("releases__arraycontains", "develop"),
        ("_sort_desc", "version"),
    ]


SPECS = [
    ("hdf5 +mpi", "package = 'hdf5' AND variants LIKE '%\"+mpi\"%'"),
    ("hdf5 ~mpi", "package = 'hdf5' AND variants LIKE '%\"~mpi\"%'"),
    ("hdf5 -mpi", "package = 'hdf5' AND variants LIKE '%\"~mpi\"%'"),
    ("+mpi ~cxx", "variants LIKE '%\"+mpi\"%' AND variants LIKE '%\"~cxx\"%'"),
    ("++mpi", "variants LIKE '%\"+mpi\"%'"),
    ("hdf5@1.14", "package = 'hdf5' AND version = '1.14.5'"),
    ("hdf5 @1.14.5", "package = 'hdf5' AND version = '1.14.5'"),
    ("hdf5@1.1", "0"),
    ("hdf5@1.140", "0"),
    ("hdf5@=1.14", "0"),
    ("hdf5@=1.14.5", "package = 'hdf5' AND version = '1.14.5'"),
    ("hdf5@1.12:", "package = 'hdf5'"),
    ("hdf5@:1.12", "package = 'hdf5' AND version = '1.12.2'"),
    ("hdf5@1.12,1.13:1.14", "package = 'hdf5'"),
    ("@2:", "version IN ('2.2.6', '3.0.0', '5.6.3')"),
    ("hdf5 %gcc", "package = 'hdf5' AND compiler_name = 'gcc'"),
    ("hdf5 %gcc@12", "package = 'hdf5' AND compiler = 'gcc@12.3.0'"),
    ("hdf5 %gcc@9:12", "package = 'hdf5' AND compiler IN ('gcc@9.4.0', 'gcc@12.3.0')"),
    ("%apple-clang@16.0.0", "compiler = 'apple-clang@16.0.0'"),
    ("%none", "compiler = 'none'"),
    ("os=ubuntu24.04", "os = 'ubuntu24.04'"),
    ("hdf5 target=m1", "target = 'm1'"),
    ("platform=darwin", "platform = 'darwin'"),
    (
        "arch=linux-ubuntu22.04-x86_64_v3",
        "platform = 'linux' AND os = 'ubuntu22.04' AND target = 'x86_64_v3'",
    ),
    ("build_type=Release", "variants LIKE '%\"build_type=Release\"%'"),
    ("build_type:=Release", "variants LIKE '%\"build_type=Release\"%'"),
    ("languages=c", "variants LIKE '%languages=%'"),
    ("languages='c,c++'", "variants LIKE '%languages=''c,c++''%'"),
    ("hdf5+mpi~cxx@1.14%gcc@13", "hash LIKE 'hmpi%' OR hash LIKE 'htwin%'"),
    ("df +mpi", "package = 'hdf5' AND variants LIKE '%\"+mpi\"%'"),
    ("hdf5 ubuntu24.04", "package = 'hdf5' AND os = 'ubuntu24.04'"),
    ("sequoia ~mpi", "os = 'sequoia'"),
    ("hdf5 /h +cxx", "hash LIKE 'harm%'"),
    ("+nonesuch", "0"),
    ("hdf5 +mpi os=", "package = 'hdf5' AND variants LIKE '%\"+mpi\"%'"),
]


@pytest.mark.parametrize(("text", "where"), SPECS)
async def test_words_with_sigils_are_filters(
    text: str, where: str, site: Datasette, made_database: Path
) -> None:
    address = await find(site, text, release="all")

    assert address.startswith("/spack-cache/specs?")
    assert await hashes_at(site, address) == selected(made_database, where)


REAL = [
    ("py-msgpack@1.0 %gcc", "package = 'py-msgpack' AND compiler_name = 'gcc'", 52),
    (
        "py-msgpack %gcc@13: target=x86_64_v3",
        "package = 'py-msgpack' AND compiler IN ('gcc@13.2.0', 'gcc@13.3.0')"
        " AND target = 'x86_64_v3'",
        8,
    ),
    ("os=centos7", "os = 'centos7'", 7),
]


@pytest.mark.parametrize(("text", "where", "count"), REAL)
async def test_filters_find_the_same_as_sql_on_the_real_pages(
    text: str, where: str, count: int, real_site: Datasette, real_database: Path
) -> None:
    found = await hashes_at(real_site, await find(real_site, text, release="all"))

    assert found == selected(real_database, where)
    assert len(found) == count


async def test_a_spec_s_own_text_finds_it(real_site: Datasette, real_database: Path) -> None:
    with closing(sqlite3.connect(real_database)) as connection:
        name, text = connection.execute(
            "SELECT hash, spec FROM specs WHERE compiler <> 'none' ORDER BY hash"
        ).fetchone()

    assert name.rstrip("a") in await hashes_at(real_site, await find(real_site, text))


async def test_filters_are_those_that_a_person_would_choose(site: Datasette) -> None:
    address = await find(
        site, "hdf5 +mpi ~cxx @1.14 %gcc target=x86_64_v3 os=ubuntu22.04 build_type=Release"
    )

    assert pairs(address) == [
        ("package", "hdf5"),
        ("version", "1.14.5"),
        ("compiler_name", "gcc"),
        ("target", "x86_64_v3"),
        ("os", "ubuntu22.04"),
        ("variants__arraycontains", "+mpi"),
        ("variants__arraycontains", "~cxx"),
        (
            "_through",
            '{"table": "spec_variants", "column": "variant", "value": "build_type=Release"}',
        ),
        ("releases__arraycontains", "develop"),
        ("_sort_desc", "version"),
    ]


async def test_dependencies_cannot_be_searched_for(site: Datasette) -> None:
    html = await find(site, "hdf5 ^openmpi@4 +cuda")

    assert "The pages do not tell what a spec depends on, so ^openmpi@4+cuda cannot be" in html


async def test_a_misspelled_name_gets_a_suggestion(site: Datasette) -> None:
    html = await find(site, "hdf55")

    assert ("hdf5", "/spack-cache/packages/hdf5") in links(html)
    assert "Did you mean hdf5?" in sections(html)["Search for “hdf55”"]


@pytest.mark.parametrize("text", ["", "   ", "???", "<script>alert(1)</script>", "x" * 3000, "\0"])
async def test_a_search_for_nothing_explains_the_search(text: str, site: Datasette) -> None:
    html = await find(site, text)

    assert "What can be searched for" in sections(html)
    assert "<script>alert" not in html


SEARCHES = [
    ("hdf5 +mpi", "package = 'hdf5' AND variants LIKE '%\"+mpi\"%' AND newest = 1"),
    ("hdf5 ~mpi", "package = 'hdf5' AND variants LIKE '%\"~mpi\"%' AND newest = 1"),
    ("+mpi", "variants LIKE '%\"+mpi\"%' AND newest = 1"),
    ("hdf5 @1.12", "version = '1.12.2'"),
    ("hdf5 os=ubuntu24.04", "package = 'hdf5' AND os = 'ubuntu24.04'"),
    ("hdf5 build_type=Debug", "hash LIKE 'hmac%'"),
]


@pytest.mark.parametrize(("text", "where"), SEARCHES)
@pytest.mark.parametrize("extension", ["", ".json", ".csv"])
async def test_the_table_s_search_heeds_sigils_in_every_format(
    text: str, where: str, extension: str, site: Datasette, made_database: Path
) -> None:
    query = urlencode({"_search": text, "_size": 50})
    response = await site.client.get(f"/spack-cache/specs{extension}?{query}")
    address = response.headers["location"]

    assert response.status_code == 302
    assert response.headers["access-control-allow-origin"] == "*"
    assert address.startswith(f"/spack-cache/specs{extension}?")
    assert ("_size", "50") in pairs(address)
    json_address = address.replace(f"specs{extension}?", "specs?")
    assert await hashes_at(site, json_address) == selected(made_database, where)


async def test_the_table_s_search_keeps_words_and_filters(site: Datasette) -> None:
    query = urlencode({"_search": "release +mpi", "os": "ubuntu22.04", "_next": "htwin"})
    response = await site.client.get(f"/spack-cache/specs?{query}")

    assert pairs(response.headers["location"]) == [
        ("_search", "release"),
        ("os", "ubuntu22.04"),
        ("variants__arraycontains", "+mpi"),
        ("releases__arraycontains", "develop"),
    ]


async def test_the_table_s_search_explains_what_it_cannot_answer(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/specs?_search=hdf5+%5Empich")

    assert response.headers["location"] == "/-/find?q=hdf5+%5Empich"


@pytest.mark.parametrize(
    "path",
    [
        "/spack-cache/specs.json?_search=hdf5",
        "/spack-cache/specs.json?_search=mpi+AND+hdf5&_searchmode=raw",
        "/spack-cache/packages.json?_search=%2Bmpi",
    ],
)
async def test_other_searches_are_datasette_s(path: str, site: Datasette) -> None:
    assert (await site.client.get(path)).status_code == 200


MEANT = [
    ("hdf5 zen4", [("package", "hdf5"), ("_runs_on", "zen4")]),
    ("hdf5 machine=Zen4", [("package", "hdf5"), ("_runs_on", "zen4")]),
    ("hdf5 target=:zen4", [("package", "hdf5"), ("_runs_on", "zen4")]),
    ("zen4", [("_runs_on", "zen4")]),
    ("HDF5 Ubuntu22.04", [("package", "hdf5"), ("os", "ubuntu22.04")]),
    ("hdf5 os=Ubuntu22.04 target=X86_64_V3", [
        ("package", "hdf5"), ("os", "ubuntu22.04"), ("target", "x86_64_v3")
    ]),
    ("hdf5 target=x86_64:", [("package", "hdf5"), ("target", "x86_64_v3")]),
    ("hdf5 target=m1,neoverse_v2", [
        ("package", "hdf5"), ("target__in", '["m1", "neoverse_v2"]')
    ]),
    ("hdf5 target=aarch64:", [("package", "hdf5"), ("target__in", '["m1", "neoverse_v2"]')]),
    ("hdf5 arch=linux-None-x86_64_v3", [
        ("package", "hdf5"), ("platform", "linux"), ("target", "x86_64_v3")
    ]),
    ("hdf5 mpi", [("package", "hdf5"), ("variants__arraycontains", "+mpi")]),
    ("hdf5 MPI=True", [("package", "hdf5"), ("variants__arraycontains", "+mpi")]),
    ("hdf5 mpi=false", [("package", "hdf5"), ("variants__arraycontains", "~mpi")]),
    ("hdf5 GCC", [("package", "hdf5"), ("compiler_name", "gcc")]),
    ("hdf5 compiler=gcc@13", [("package", "hdf5"), ("compiler", "gcc@13.2.0")]),
    ("hdf5 1.14", [("package", "hdf5"), ("version", "1.14.5")]),
    ("hdf5 version=1.14", [("package", "hdf5"), ("version", "1.14.5")]),
    ("hdf5 =1.14.5", [("package", "hdf5"), ("version", "1.14.5")]),
    ("hdf5 e4s", [("package", "hdf5"), ("stacks__arraycontains", "e4s")]),
    ("gcc", [("compiler_name", "gcc")]),
    ("Darwin", [("platform", "darwin")]),
    ("stack=e4s", [("stacks__arraycontains", "e4s")]),
    ("e4s ubuntu22.04", [("stacks__arraycontains", "e4s"), ("os", "ubuntu22.04")]),
    ("hdf5 build_type=release", [("package", "hdf5"), (
        "_through",
        '{"table": "spec_variants", "column": "variant", "value": "build_type=Release"}',
    )]),
    ("$ spack spec -I hdf5 -mpi", [("package", "hdf5"), ("variants__arraycontains", "~mpi")]),
    ("builtin.hdf5@1.14", [("package", "hdf5"), ("version", "1.14.5")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), MEANT)
async def test_words_as_people_type_them_are_filters_of_the_newest_release(
    text: str, meant: list[tuple[str, str]], site: Datasette
) -> None:
    of_package = [("_sort_desc", "version")] if meant[0][0] == "package" else []

    address = await find(site, text)

    assert pairs(address) == [*meant, ("releases__arraycontains", "develop"), *of_package]


PAGES = [
    ("spack install hdf5", "/spack-cache/packages/hdf5"),
    ("$ spack install --cache-only -j 8 hdf5", "/spack-cache/packages/hdf5"),
    ("builtin.HDF5", "/spack-cache/packages/hdf5"),
    ("ubuntu22.04", "/systems/ubuntu22~2E04"),
    ("Ubuntu22.04 zen4 develop", "/systems/ubuntu22~2E04?machine=zen4&release=develop"),
    ("e4s", "/spack-cache/stacks/e4s"),
    ("develop", "/spack-cache/releases/develop"),
    ("v0.23.1", "/spack-cache/releases/v0~2E23~2E1"),
    ("release=develop", "/spack-cache/specs?releases__arraycontains=develop"),
]


@pytest.mark.parametrize(("text", "address"), PAGES)
async def test_a_known_name_leads_to_its_page(text: str, address: str, site: Datasette) -> None:
    assert await find(site, text) == address


async def test_the_system_and_the_release_of_the_address_are_filters(site: Datasette) -> None:
    chosen = {"os": "ubuntu22.04", "machine": "zen4", "release": "v0.23.1"}

    assert await find(site, "hdf5", **chosen) == (
        "/spack-cache/packages/hdf5?os=ubuntu22.04&machine=zen4&release=v0.23.1"
    )
    assert pairs(await find(site, "hdf5 +mpi", **chosen)) == [
        ("package", "hdf5"),
        ("variants__arraycontains", "+mpi"),
        ("os", "ubuntu22.04"),
        ("_runs_on", "zen4"),
        ("releases__arraycontains", "v0.23.1"),
        ("_sort_desc", "version"),
    ]


async def test_what_a_search_says_counts_more_than_the_address(site: Datasette) -> None:
    chosen = {"os": "ubuntu22.04", "machine": "zen4", "release": "v0.23.1"}

    assert pairs(await find(site, "hdf5 os=sequoia target=m1 release=develop", **chosen)) == [
        ("package", "hdf5"),
        ("os", "sequoia"),
        ("target", "m1"),
        ("releases__arraycontains", "develop"),
        ("_sort_desc", "version"),
    ]


async def test_what_only_older_releases_have_leads_to_the_newest_of_them(site: Datasette) -> None:
    assert ("releases__arraycontains", "develop-2025-07-13") in pairs(
        await find(site, "hdf5 @1.12")
    )


async def test_a_value_with_one_spelling_is_a_value_of_the_facet(real_site: Datasette) -> None:
    assert ("variants__arraycontains", "build_system=python_pip") in pairs(
        await find(real_site, "py-msgpack build_system=python_pip")
    )


async def test_a_misspelled_package_beside_a_filter_gets_a_suggestion(site: Datasette) -> None:
    html = await find(site, "hdff5 +mpi", os="ubuntu22.04")

    assert ("hdf5 +mpi", "/-/find?q=hdf5+%2Bmpi&os=ubuntu22.04") in links(html)
    assert "No package has “hdff5” in its name" in html


async def test_a_second_package_asks_whether_it_is_a_dependency(site: Datasette) -> None:
    html = await find(site, "hdf5 xz")

    assert ("hdf5 ^xz", "/-/find?q=hdf5+%5Exz") in links(html)
    assert (
        "without “xz”: 5",
        "/spack-cache/specs?package=hdf5&releases__arraycontains=develop&_sort_desc=version",
    ) in links(html)


async def test_a_variant_that_is_not_just_on_asks_for_its_value(site: Datasette) -> None:
    html = await find(site, "hdf5 build_type")

    assert {link.text for link in links(html)} >= {
        "hdf5 build_type=Debug",
        "hdf5 build_type=Release",
    }


@pytest.fixture(scope="module")
def compilers_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """Specs of Spack 0 and of Spack 1, which calls the same compilers otherwise."""
    folder = tmp_path_factory.mktemp("compilers")
    specs = {
        "old": "clang@15.0.0",
        "new": "llvm@18.1.0",
        "one": "oneapi@2024.0.0",
        "gnu": "gcc@13.2.0",
    }
    write_specs(
        folder / "pages",
        "develop",
        "zlib",
        *(spec(name, compiler=compiler) for name, compiler in specs.items()),
    )
    with open_site(build(folder / "spack-cache.db", folder / "pages")) as datasette:
        yield datasette


COMPILERS = [
    ("zlib %clang", ["new", "old"]),
    ("zlib %llvm", ["new", "old"]),
    ("zlib clang", ["new", "old"]),
    ("Clang", ["new", "old"]),
    ("zlib %clang@:16", ["old"]),
    ("zlib %llvm@18", ["new"]),
    ("zlib %oneapi", ["one"]),
    ("zlib %intel-oneapi-compilers@2024", ["one"]),
    ("zlib compiler=intel-oneapi-compilers", ["one"]),
]


@pytest.mark.parametrize(("text", "expected"), COMPILERS)
async def test_a_compiler_is_found_by_all_its_names(
    text: str, expected: list[str], compilers_site: Datasette
) -> None:
    address = await find(compilers_site, text)

    assert await hashes_at(compilers_site, address) == expected


@pytest.mark.parametrize(
    ("compiler", "expected"),
    [("clang", 2), ("LLVM", 2), ("%clang@15", 1), ("intel-oneapi-compilers", 1), ("arm", 0)],
)
async def test_a_question_knows_all_names_of_a_compiler(
    compiler: str, expected: int, compilers_site: Datasette
) -> None:
    query = urlencode({"compiler": compiler})
    answer = await compilers_site.client.get(f"/spack-cache/find_a_binary.json?{query}")

    assert len(answer.json()["rows"]) == expected


class Boxes(HTMLParser):
    """The names of the fields of the form that leads to the search."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str | None] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "form":
            self._inside = dict(attrs).get("action") == "/-/find"
        if tag == "input" and self._inside:
            self.names.append(dict(attrs).get("name"))


@pytest.mark.parametrize("path", ["/", "/spack-cache", "/spack-cache/specs", "/-/find?q=py"])
async def test_the_box_is_on_every_page(path: str, site: Datasette) -> None:
    assert Boxes((await site.client.get(path)).text).names == ["q"]


async def test_a_list_without_rows_has_no_facets_to_narrow_down(site: Datasette) -> None:
    nothing = (await site.client.get("/spack-cache/specs?package=hdf5&os=nosuch")).text
    something = (await site.client.get("/spack-cache/specs?package=hdf5")).text

    assert ('id="facets"' in nothing, 'id="facets"' in something) == (False, True)
