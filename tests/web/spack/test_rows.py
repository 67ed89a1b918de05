"""Pages of rows: keys of any form, and the largest rows that a build accepts."""

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette

from etl.schema import MAX_ROW
from etl.sources import bounds
from tests.conftest import build
from tests.etl import mirror
from tests.pages import dag_hash, spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import links, sections, tags
from web.spack import commands

VARIANTS = [
    f"option_{number:04}=value_with_a_long_name_{number:04}" for number in range(bounds.MAX_VALUES)
]
VERSIONS = [f"1.{number}.{'0' * 30}" for number in range(600)]
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def made_hash(start: str, number: int) -> str:
    """A name for a hash that tells a number."""
    return start + LETTERS[number // 32] + LETTERS[number % 32]


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """Three packages with much of something, and the longest row that there can be."""
    folder = tmp_path_factory.mktemp("large")
    pages = folder / "pages"
    write_specs(
        pages,
        "develop",
        "long",
        spec("manyvariants", versions=["1.0"], variants=VARIANTS),
        *(
            spec(made_hash("v", number), versions=[version], os=f"os{number % 10}")
            for number, version in enumerate(VERSIONS)
        ),
    )
    write_specs(
        pages,
        "develop",
        "wide",
        *(
            spec(made_hash("w", number), versions=[f"{number}"], os=f"os{number}")
            for number in range(300)
        ),
    )
    flags = ["+mpi", "~cxx", "build_type=Release"]
    write_specs(
        pages,
        "develop",
        "twins",
        *(
            spec(made_hash("t", number), variants=flags[:: 1 if number % 2 else -1])
            for number in range(301)
        ),
        spec("other", variants=[*flags, "+hl"]),
        spec("another", variants=["~mpi", "~cxx", "build_type=Release"]),
    )
    database = build(folder / "spack-cache.db", pages)
    with closing(sqlite3.connect(database)) as connection, connection:
        row = connection.execute("SELECT * FROM packages WHERE name = 'long'").fetchone()
        room = MAX_ROW - 100 - sum(len(str(value)) for value in row)
        longer = [*reversed(VERSIONS), "1.0", *("9" * 40 for _ in range(room // 44))]
        connection.execute(
            "UPDATE packages SET versions = ? WHERE name = 'long'",
            [json.dumps(longer, separators=(",", ":"))],
        )
    with open_site(database) as datasette:
        yield datasette


SPEC = f"/spack-cache/specs/{dag_hash('manyvariants')}"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/spack-cache/packages",
        "/spack-cache/packages?_facet_array=versions",
        "/spack-cache/packages.json?_labels=on",
        "/spack-cache/packages.csv?_stream=on",
        "/spack-cache/packages/long",
        "/spack-cache/packages/long?release=all&machine=zen4",
        "/spack-cache/packages/long.json",
        "/spack-cache/specs?package=long&_sort_desc=variants",
        "/spack-cache/specs?package=long&_facet_array=variants",
        "/spack-cache/specs.json?package=long&_size=max",
        "/spack-cache/specs.csv?package=long&_stream=on",
        "/spack-cache/specs.install?package=long",
        "/spack-cache/specs.hashes?package=long",
        "/spack-cache/spec_variants?_labels=on",
        SPEC,
        f"{SPEC}.json",
        f"{SPEC}.install",
        "/spack-cache/variants?_size=max",
        "/spack-cache/variants/option_0001~3Dvalue_with_a_long_name_0001",
        "/spack-cache/releases/develop",
        "/spack-cache/stacks/e4s",
        "/spack-cache/find_a_binary?package=long",
        "/spack-cache/package_variants?package=long",
        "/spack-cache/spec_differences?package=long",
        "/spack-cache/twins?package=long",
        "/-/find?q=long@1.5:",
        "/-/find?q=lon",
        f"/-/compare?a={dag_hash('manyvariants')}&b={dag_hash('other')}",
    ],
)
async def test_each_page_shows_the_largest_rows(large_site: Datasette, path: str) -> None:
    answer = await large_site.client.get(path, follow_redirects=True)

    assert (answer.status_code, sections(answer.text).get("This did not work")) == (200, None)
    assert len(answer.text) < 2_000_000


async def test_all_variants_of_a_spec_are_on_its_page(large_site: Datasette) -> None:
    html = (await large_site.client.get(SPEC)).text

    shown = [link.text for link in links(html) if "/variants/option" in link.href]
    assert shown == VARIANTS


async def test_all_versions_of_a_package_are_on_its_page(large_site: Datasette) -> None:
    html = (await large_site.client.get("/spack-cache/packages/long")).text

    newest_first = re.findall(r'<th scope="col">(1\.[\d.]*)</th>', html)
    assert newest_first == [*reversed(VERSIONS), "1.0"]


async def test_a_package_that_no_page_has_room_for_leads_to_its_specs(
    large_site: Datasette,
) -> None:
    html = (await large_site.client.get("/spack-cache/packages/wide?machine=zen4")).text

    assert "300 binaries that run on zen4 in develop." in sections(html)["wide"]
    assert "They differ in more than one page can show." in sections(html)["wide"]
    assert list(sections(html)) == ["wide"]
    (href,) = [link.href for link in links(html) if link.text.startswith("Narrow them down")]
    assert href == "/spack-cache/specs?package=wide&releases__arraycontains=develop"


async def test_of_many_twins_the_first_are_listed(large_site: Datasette) -> None:
    html = (await large_site.client.get(f"/spack-cache/specs/{dag_hash(made_hash('t', 1))}")).text

    twins = sections(html)["Twins"]
    assert twins.startswith("300 other specs say the same in everything but the hash.")
    assert "The first 100 are listed. All specs of this kind" in twins
    expected = sorted(dag_hash(made_hash("t", number)) for number in range(301) if number != 1)
    table = html[html.index('<h2 id="twins">') :]
    assert re.findall(r'data-copy="([a-z2-7]{32})"', table) == expected[:100]


async def test_the_list_of_twins_has_all_that_have_the_same_variants(
    large_site: Datasette,
) -> None:
    html = (await large_site.client.get(f"/spack-cache/specs/{dag_hash(made_hash('t', 1))}")).text
    (href,) = [link.href for link in links(html) if link.text == "All specs of this kind"]

    answer = (await large_site.client.get(href.replace("specs?", "specs.json?_size=max&"))).json()

    # Also the one that has one variant more.
    assert answer["filtered_table_rows_count"] == 302


async def test_long_variants_are_cut_and_no_addresses(tmp_path: Path) -> None:
    long = [f"flags={letter * 12_000}" for letter in "ab"]
    write_specs(tmp_path / "pages", "develop", "p", spec("p", variants=[*long, "+mpi"]))
    with open_site(build(tmp_path / "spack-cache.db", tmp_path / "pages")) as site:
        table = (await site.client.get("/spack-cache/variants?_sort=variant")).text
        package = (await site.client.get("/spack-cache/packages/p")).text
        row = (await site.client.get(f"/spack-cache/specs/{dag_hash('p')}")).text

    shown = re.findall(r'<td class="col-variant type-pk">(.*?)</td>', table)
    assert shown == [
        '<a href="/spack-cache/variants/~2Bmpi">+mpi</a>',
        *(f"{variant[:2_048]}…" for variant in long),
    ]
    assert "They differ in more than one page can show." in sections(package)["p"]
    assert all(variant in sections(row)["Facts"] for variant in long)
    assert [link.text for link in links(row) if "/variants/" in link.href] == ["+mpi"]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (f"specs/{dag_hash('hmpi')},x", f"/spack-cache/specs/{dag_hash('hmpi')}"),
        ("packages/hdf5,x", "/spack-cache/packages/hdf5"),
        ("releases/develop,x", "/spack-cache/releases/develop"),
        ("stacks/e4s,", "/spack-cache/stacks/e4s"),
    ],
)
async def test_a_key_of_two_parts_is_no_row(site: Datasette, path: str, meant: str) -> None:
    answer = await site.client.get(f"/spack-cache/{path}")

    assert answer.status_code == 404
    assert list(sections(answer.text)) == ["There is no page here"]
    assert links(answer.text)[0].href == meant


def words_of(shell: str, command: str) -> list[str]:
    """What a shell makes of an argument."""
    done = subprocess.run(
        [shell, "-c", f"printf '%s\\n' {command}"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    return done.stdout.splitlines()


SPECS = [
    "hdf5@1.14.5 +mpi build_type=Release %gcc@13.2.0",
    "hdf5@1.14.5 ~root",
    "~root",
    "hdf5 prefix=~root",
    "hdf5 path=/a:~root",
    "hdf5 ~root languages='c,c++'",
    "hdf5 languages='c,c++' +root",
    "hdf5 ~root note='a\"b'",
    "hdf5 note='$HOME' ~root",
    "hdf5 note='it",
    "a;b `id` $(id) \\ * ! & | < > ( ) [a] {a,b} #",
]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("text", SPECS)
def test_a_shell_leaves_a_spec_that_is_copied_as_it_is(shell: str, text: str) -> None:
    # A shell's own quotes around a value may go, as Spack needs none there.
    copied = " ".join(words_of(shell, commands.spec_words(text)))

    assert copied in {text, text.replace("'", "")}


def test_only_what_needs_quotes_gets_them() -> None:
    assert [commands.spec_words(text) == text for text in SPECS] == [
        *(True, False, False, False, False),
        *(False, True, False, False, False, False),
    ]


async def test_a_variant_that_could_be_a_user_is_quoted(site: Datasette) -> None:
    html = (await site.client.get(f"/spack-cache/specs/{dag_hash('hser')}")).text
    copied = [attributes["data-copy"] for _, attributes in tags(html) if "data-copy" in attributes]

    assert copied[0] == (
        '"hdf5@1.14.5 ~mpi ~cxx build_type=Release languages=c'
        ' arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0"'
    )


def test_names_and_addresses_of_mirrors_are_quoted_for_a_shell() -> None:
    assert commands.use_mirror("my mirror", "/srv/a b") == (
        "spack mirror add 'my mirror' '/srv/a b'\nspack buildcache keys --install --trust"
    )


async def test_new_versions_of_a_release_are_newest_first(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    write_specs(pages, "develop-2025-07-06", "hdf5", spec("old", versions=["1.2"]))
    write_specs(
        pages,
        "develop",
        "hdf5",
        *(spec(f"v{'bcd'[i]}", versions=[v]) for i, v in enumerate(["1.9", "1.10", "1.8.2"])),
    )
    with open_site(build(tmp_path / "spack-cache.db", pages)) as site:
        html = (await site.client.get("/spack-cache/releases/develop")).text

    versions = [link.text for link in links(html) if link.text.startswith("hdf5@")]
    assert versions == ["hdf5@1.10", "hdf5@1.9", "hdf5@1.8.2"]


async def test_another_build_cache_is_no_release_before_or_after_others(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    write_specs(folder, "develop-2025-07-13", "hdf5", spec("a"))
    write_specs(folder, "v0.23.1", "hdf5", spec("b"))
    for name in ("ours", "theirs"):
        mirror.write_layout3(folder / name, mirror.index(mirror.record("zlib", word=name)))
    with open_site(build(tmp_path / "spack-cache.db", folder)) as site:
        pages = [
            (await site.client.get(f"/spack-cache/releases/{name}")).text
            for name in ("ours", "theirs", "v0~2E23~2E1", "develop-2025-07-13")
        ]

    texts = [" ".join(" ".join(sections(html).values()).split()) for html in pages]
    for text in texts:
        assert "Before it: " not in text
        assert "After it: " not in text
        assert "What changed since" not in text
    mirrors = "A build cache beside the releases of Spack: binaries of 1 package in 1 spec."
    assert [mirrors in text for text in texts] == [True, True, False, False]
    assert "A release of Spack: binaries of" in texts[2]


async def test_of_many_new_versions_the_first_are_listed(
    large_site: Datasette, tmp_path: Path
) -> None:
    database = Path(
        shutil.copy(large_site.databases["spack-cache"].path, tmp_path / "spack-cache.db")
    )
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO releases SELECT 'develop-2025-01-01', 'snapshot', '2025-01-01', 2, 0, 0, mirror,"
            " layout FROM releases"
        )
        connection.execute("UPDATE specs SET version = rowid WHERE package = 'twins'")
    with open_site(database) as site:
        html = (await site.client.get("/spack-cache/releases/develop")).text

    assert (
        "New versions 1,204, the first of them:"
        in sections(html)["What changed since develop-2025-01-01"]
    )
    assert sum("@" in link.text for link in links(html)) == 1_000
