"""The comparison of two specs: its page, JSON and text, and the ways that lead to it."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from datasette.app import Datasette
from markupsafe import escape

from tests.conftest import build
from tests.etl.mirror import NO_FLAGS, dep, index, record, write_layout3
from tests.pages import HOSTILE_PACKAGE, SAMPLE, dag_hash, spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import Link, links, sections, tags
from web.spack import compare, twins

TAR = "evudgtwhzzhn2ffymhxmwopmbxtyjff6"
OTHER_TAR = "ktm4omxccy2wvsmw7kfwcumfghr6xeyr"
XZ = "ifd3lpfkhwr5fedydji7dkgtzylqzhnr"
GCC, OTHER_GCC = "mllbmpxchdwx7brsnwv3uua7ihqzbe3y", "hbannzhuyz6zggso3gist2ec5lud27ke"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """The site of the sample and of pages."""
    folder = tmp_path_factory.mktemp("sample")
    write_specs(folder, "v0.23.1", "xz", spec("pagea"), spec("pageb"))
    write_specs(folder, "v0.23.1", "many", *(spec(f"more{each}") for each in "abcdefghi"))
    with open_site(build(folder / "spack-cache.db", SAMPLE, folder / "v0.23.1")) as datasette:
        yield datasette


async def get(site: Datasette, path: str, **fields: str) -> httpx.Response:
    return await site.client.get(f"{path}?{urlencode(fields)}")


async def seen(site: Datasette, a: str, b: str) -> dict[str, str]:
    """The sections of a comparison's page."""
    answer = await get(site, "/-/compare", a=a, b=b)
    assert answer.status_code == 200
    return sections(answer.text)


async def test_two_specs_side_by_side(sample: Datasette) -> None:
    html = (await get(sample, "/-/compare", a=TAR, b=OTHER_TAR)).text
    shown = sections(html)

    assert list(shown) == [
        "Compare two specs",
        "Facts that differ",
        "Where it begins",
        "Direct dependencies",
    ]
    assert shown["Compare two specs"] == (
        "tar@1.35 /evudgtw and tar@1.35 /ktm4omx. Swap them The first The second Compare"
    )
    assert shown["Facts that differ"] == (
        "Fact tar@1.35 /evudgtw tar@1.35 /ktm4omx target neoverse_v2 x86_64_v3"
        " What is alike package tar version 1.35 os ubuntu22.04 platform linux"
        " variants build_system=autotools zip=pigz flags none namespace builtin"
        " build spec none external no"
    )
    assert shown["Where it begins"].startswith(
        "Nothing below these differs in itself, the deepest first. What depends on them has another"
        " hash for that alone: Package Differs in Of the first Of the second Steps below"
        " compiler-wrapper compiler-wrapper@1.0, of which no more is known"
        " compiler-wrapper@1.0 /5bpfhlf compiler-wrapper@1.0 /ntccuj2 no binary"
        " Compare compiler-wrapper@1.0 /5bpfhlf and /ntccuj2 1"
    )
    assert (
        "zlib-ng target neoverse_v2 / x86_64_v3 zlib-ng none / cflags='-O3 -g' cxxflags=-O3"
        " only zlib-ng of the first: gnuconfig@2024-07-27" in shown["Where it begins"]
    )
    assert shown["Direct dependencies"].endswith(
        "gnuconfig gnuconfig@2024-07-27 /fpongg3 build none"
        " For programs: JSON, text like that of spack diff"
    )


async def test_every_link_of_a_comparison_leads_somewhere(sample: Datasette) -> None:
    html = (await get(sample, "/-/compare", a=TAR[:7], b=OTHER_TAR[:7])).text
    found = links(html)
    statuses = {link.href: (await sample.client.get(link.href)).status_code for link in found}

    assert set(statuses.values()) == {200}
    assert Link("tar@1.35", f"/spack-cache/specs/{TAR}") in found
    assert Link("gcc@12.2.0", f"/spack-cache/nodes/{GCC}") in found
    assert Link("Swap them", f"/-/compare?a={OTHER_TAR}&b={TAR}") in found
    assert Link("JSON", f"/-/compare.json?a={TAR}&b={OTHER_TAR}") in found


async def test_what_is_no_binary_can_be_compared_too(sample: Datasette) -> None:
    shown = await seen(sample, GCC, OTHER_GCC)

    assert shown["Compare two specs"].endswith(
        "The dependencies of one of them are not known: facts alone are compared."
        " What is known of both is the same. What differs is not in the sources of this database:"
        " perhaps the recipe of gcc, which no source holds."
    )
    assert "Not known of both: compiler, os, platform, target" in shown["Facts that differ"]
    assert shown["Direct dependencies"].startswith("Not compared:")


async def test_a_page_does_not_tell_dependencies(sample: Datasette) -> None:
    shown = await seen(sample, dag_hash("pagea"), XZ)

    assert (
        "Only pages tell of /pageaaa, and they do not list dependencies: facts alone are compared."
        in shown["Compare two specs"]
    )
    assert shown["Direct dependencies"].startswith("Not compared:")
    assert "Not known of both: flags, namespace, build spec." in shown["Facts that differ"]
    assert shown["Where it begins"].count("Steps below xz ") == 1
    text = (await get(sample, "/-/compare.txt", a=dag_hash("pagea"), b=XZ)).text
    # That the other depends on something is no difference.
    assert "depends_on" not in text
    assert "gcc-runtime" not in text


async def test_json_has_the_same(sample: Datasette) -> None:
    answer = await get(sample, "/-/compare.json", a=TAR, b=OTHER_TAR)
    told = answer.json()

    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (told["ok"], told["a"]["hash"], told["b"]["hash"]) == (True, TAR, OTHER_TAR)
    assert told["facts"] == [{"name": "target", "only_a": ["neoverse_v2"], "only_b": ["x86_64_v3"]}]
    assert told["a"]["variants"] == ["build_system=autotools", "zip=pigz"]
    assert told["dependencies"]["same"] == []
    assert told["dependencies"]["only_a"] == [
        {
            "hash": "fpongg3e5ymfx43uxzhtek25iq6afev7",
            "package": "gnuconfig",
            "version": "2024-07-27",
            "kind": "binary",
            "purposes": ["build"],
            "virtuals": [],
        }
    ]
    causes = [(each["a"]["package"], each["depth"], each["is_first"]) for each in told["causes"]]
    assert [each for each in causes if each[2]] == [
        ("compiler-wrapper", 1, True),
        ("gcc", 1, True),
        ("glibc", 1, True),
    ]
    assert causes[-1] == ("tar", 0, False)
    assert (told["notes"], told["is_cut"]) == ([], False)


async def test_text_is_in_the_manner_of_spack_diff(sample: Datasette) -> None:
    answer = await get(sample, "/-/compare.txt", a=TAR, b=OTHER_TAR)

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.text.startswith(
        "--- tar@1.35/evudgtw\n+++ tar@1.35/ktm4omx\n@@ node @@\n-  gnuconfig\n@@ namespace @@\n"
    )
    assert (
        "@@ node_flag @@\n+  zlib-ng cflags='-O3 -g'\n+  zlib-ng cxxflags=-O3\n@@ depends_on @@\n"
        "-  diffutils gnuconfig build\n" in answer.text
    )
    assert f"-  tar {TAR}\n" in answer.text


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (TAR[:7], OTHER_TAR[:7]),
        (f"/{TAR}", f"/{OTHER_TAR}"),
        (f" {TAR.upper()} ", f"/{OTHER_TAR[:9].upper()}"),
        (f"tar@1.35/{TAR[:7]}", f"tar /{OTHER_TAR[:7]}"),
    ],
)
async def test_hashes_can_be_written_in_several_ways(sample: Datasette, a: str, b: str) -> None:
    told = (await get(sample, "/-/compare.json", a=a, b=b)).json()

    assert (told["a"]["hash"], told["b"]["hash"]) == (TAR, OTHER_TAR)


ENDLESS = "a" * 5_000


@pytest.mark.parametrize(
    ("a", "b", "status", "message"),
    [
        (TAR, "zzzzzzz", 404, "No spec that is known here has a hash that begins with zzzzzzz."),
        (TAR, "page", 400, "2 hashes begin with page. Type more of the one you mean."),
        ("mo", TAR, 400, "More than 8 hashes begin with mo. Type more of the one you mean."),
        (TAR, TAR[:8], 400, "Both are the same spec, /evudgtw: there is nothing to compare."),
        ("hdf5", TAR, 404, "No spec that is known here has a hash that begins with hdf5."),
        ("h1", TAR, 400, "“h1” is no hash: hashes have the letters a-z and the digits 2-7 only."),
        ("/", TAR, 400, "“/” is no hash: hashes have the letters a-z and the digits 2-7 only."),
        ("a%_'\0", TAR, 400, "“a%_'\0” is no hash: hashes have the letters a-z and the digits 2-7"),
        (ENDLESS, TAR, 400, f"“{'a' * 40}…” is too long for a hash, which has 32 characters."),
        (f"{TAR}a", TAR, 400, f"“{TAR}a” is too long for a hash, which has 32 characters."),
    ],
)
async def test_what_is_no_spec_is_said(
    sample: Datasette, a: str, b: str, status: int, message: str
) -> None:
    page = await get(sample, "/-/compare", a=a, b=b)
    as_json = await get(sample, "/-/compare.json", a=a, b=b)
    as_text = await get(sample, "/-/compare.txt", a=a, b=b)

    assert {page.status_code, as_json.status_code, as_text.status_code} == {status}
    assert as_json.json()["error"].startswith(message)
    # As Datasette's own have it.
    assert as_json.json() | {"error": ""} == {
        "ok": False,
        "error": "",
        "status": status,
        "title": None,
    }
    assert as_text.text.startswith(message)
    assert as_json.headers["access-control-allow-origin"] == "*"
    # The form keeps what was typed, as far as it can be meant.
    fields = [attributes["value"] for tag, attributes in tags(page.text) if "size" in attributes]
    assert fields == [a.strip()[:101], b]
    if "\0" not in message:
        assert message in sections(page.text)["Compare two specs"]
    assert len(page.text) < 20_000


async def test_what_may_have_been_meant_is_listed(sample: Datasette) -> None:
    html = (await get(sample, "/-/compare", a="page", b=TAR)).text

    assert [link for link in links(html) if "pagea" in link.href] == [
        Link(dag_hash("pagea"), f"/-/compare?a={dag_hash('pagea')}&b={TAR}")
    ]


@pytest.mark.parametrize("typed", [{}, {"a": TAR}, {"b": "nonsense!"}, {"a": "", "b": " "}])
async def test_without_two_there_is_a_form(sample: Datasette, typed: dict[str, str]) -> None:
    page = await get(sample, "/-/compare", **typed)
    as_json = await get(sample, "/-/compare.json", **typed)

    assert page.status_code == 200
    assert list(sections(page.text)) == ["Compare two specs"]
    fields = {tag["name"]: tag["value"] for _, tag in tags(page.text) if "size" in tag}
    assert fields == {name: typed.get(name, "").strip() for name in ("a", "b")}
    assert 'role="alert"' not in page.text
    assert as_json.status_code == 400
    assert as_json.json()["error"] == "Two specs are needed: a=<hash>&b=<hash>."


@pytest.mark.parametrize("form", ["", ".json", ".txt"])
async def test_two_that_are_ticked_are_compared(sample: Datasette, form: str) -> None:
    answer = await sample.client.get(f"/-/compare{form}?spec={TAR}&spec={OTHER_TAR}")

    assert answer.status_code == 302
    assert answer.headers["location"] == f"/-/compare{form}?a={TAR}&b={OTHER_TAR}"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (1, "Tick two specs to compare: only one is ticked."),
        (3, "Tick two specs to compare: 3 are ticked."),
    ],
)
async def test_other_numbers_of_ticks_are_not_compared(
    sample: Datasette, number: int, message: str
) -> None:
    query = urlencode([("spec", each) for each in (TAR, OTHER_TAR, GCC)[:number]])
    page = await sample.client.get(f"/-/compare?{query}")
    text = await sample.client.get(f"/-/compare.txt?{query}")

    assert (page.status_code, text.status_code) == (400, 400)
    assert message in sections(page.text)["Compare two specs"]
    assert text.text == f"{message}\n"
    assert f'value="{TAR}"' in page.text


async def test_there_are_no_other_formats(sample: Datasette) -> None:
    assert (await get(sample, "/-/compare.csv", a=TAR, b=OTHER_TAR)).status_code == 404


async def test_addresses_have_the_prefix_of_the_site(sample: Datasette) -> None:
    database = Path(sample.databases["spack-cache"].path)
    with open_site(database, base_url="/pre-fix/") as below:
        html = (await below.client.get(f"/-/compare?a={TAR}&b={OTHER_TAR}")).text
        ticked = await below.client.get(f"/-/compare?spec={TAR}&spec={OTHER_TAR}")
        table = (await below.client.get("/spack-cache/specs?package=tar")).text

    assert {link.href for link in links(html) if not link.href.startswith("/pre-fix/")} == set()
    assert ticked.headers["location"] == f"/pre-fix/-/compare?a={TAR}&b={OTHER_TAR}"
    assert '<form id="compare" class="compare" action="/pre-fix/-/compare">' in table


EVIL = "<script>alert(1)</script>"


async def test_what_is_typed_and_what_is_told_is_escaped(
    sample: Datasette, site: Datasette
) -> None:
    typed = (await get(sample, "/-/compare", a=f'"{EVIL}', b=TAR)).text
    hostile = (await get(site, "/-/compare", a=dag_hash("evil"), b=dag_hash("hmpi"))).text

    assert EVIL not in typed
    assert "&lt;script&gt;" in typed
    assert str(escape(f"{HOSTILE_PACKAGE}@")) in hostile
    assert not re.search("<img|<script>alert|<b>|<i>", hostile)


def many(word: str, number: int) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return [f"{word}{letters[n // 32]}{letters[n % 32]}" for n in range(number)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """Twins with hundreds of dependencies, and a spec with many twins."""
    folder = tmp_path_factory.mktemp("large")
    libs = [
        record(word, "1.0", f"{word}{side}", target=target)
        for word in many("lib", 400)
        for side, target in (("x", "zen4"), ("y", "zen3"))
    ]
    tops = [
        record("top", word=f"top{side}", deps=[dep(w, f"{w}{side}") for w in many("lib", 400)])
        for side in "xy"
    ]
    twin_records = [
        record("twin", word=word, deps=[dep("choice", f"c{word}")]) for word in many("twin", 30)
    ]
    choices = [
        record("choice", f"1.{number}", f"c{word}", parameters={"x": number % 2 == 0} | NO_FLAGS)
        for number, word in enumerate(many("twin", 30))
    ]
    write_layout3(folder / "develop", index(*libs, *tops, *twin_records, *choices))
    with open_site(build(folder / "spack-cache.db", folder / "develop")) as datasette:
        yield datasette


async def test_of_many_differences_the_first_are_shown(large: Datasette) -> None:
    pair = {"a": dag_hash("topx"), "b": dag_hash("topy")}
    html = (await get(large, "/-/compare", **pair)).text
    told = (await get(large, "/-/compare.json", **pair)).json()

    assert sections(html)["Where it begins"].endswith(
        "The first 300 of 400 are listed; JSON has all."
    )
    assert "The first 300 of 400 are listed; JSON has all." in sections(html)["Direct dependencies"]
    assert len(told["causes"]) == len(told["dependencies"]["different"]) == 400
    assert compare.MOST_LINES == 300


async def test_twins_say_in_what_they_differ(large: Datasette) -> None:
    first, *others = words = many("twin", 30)
    # As their hashes are listed, in which digits come before letters.
    others.sort()
    html = (await large.client.get(f"/spack-cache/specs/{dag_hash(first)}")).text
    rows = re.findall(r"<tr>(.*?)</tr>", html[html.index('<h2 id="twins">') :], re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows[1:]]
    said = [re.findall(r'<span class="value">(.*?)</span>', row[1]) for row in cells]

    assert said[: twins.MOST_EXPLAINED] == [
        [f"choice 1.0 / 1.{number}"] + ["choice +x / ~x"] * (number % 2)
        for number in map(words.index, others[:20])
    ]
    assert {row[1].strip() for row in cells[twins.MOST_EXPLAINED :]} == {"see the comparison"}
    assert "Of the first 20 it is told what they differ in." in sections(html)["Twins"]
    assert [link.href for link in links(html) if link.text.startswith("Compare with")] == [
        f"/-/compare?a={dag_hash(first)}&b={dag_hash(word)}" for word in others
    ]


async def test_of_twins_on_pages_nobody_knows_the_difference(sample: Datasette) -> None:
    html = (await sample.client.get(f"/spack-cache/specs/{dag_hash('pagea')}")).text

    assert f"{dag_hash('pageb')} not known Compare with /pagebaa" in sections(html)["Twins"]


async def test_a_cycle_below_twins_does_not_keep_their_pages(
    large: Datasette, tmp_path: Path
) -> None:
    damaged = Path(shutil.copy(large.databases["spack-cache"].path, tmp_path / "spack-cache.db"))
    first, second, *_ = many("twin", 2)
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.executemany(
            "insert into dependencies values (?, ?, 1, 0, 0, 0, '[]')",
            [(dag_hash(f"c{word}"), dag_hash(word)) for word in (first, second)],
        )
    with open_site(damaged) as site:
        html = (await site.client.get(f"/spack-cache/specs/{dag_hash(first)}")).text
        text = (await get(site, "/-/compare.txt", a=dag_hash(first), b=dag_hash(second))).text

    assert "choice 1.0 / 1.1" in sections(html)["Twins"]
    assert "-  choice 1.0\n+  choice 1.1\n" in text


async def test_a_cycle_in_which_nothing_differs_is_said(large: Datasette, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(large.databases["spack-cache"].path, tmp_path / "spack-cache.db"))
    first, second = map(dag_hash, many("twin", 2))
    with closing(sqlite3.connect(damaged)) as connection, connection:
        for one in (first, second):
            connection.execute("delete from dependencies where spec = ?", [one])
            connection.execute(
                "insert into dependencies values (?, ?, 1, 0, 0, 0, '[]')", [one, one]
            )
    with open_site(damaged) as site:
        shown = await seen(site, first, second)

    assert shown["Where it begins"] == "Of what was compared nothing differs but the hashes."


def ticks(html: str) -> list[str | None]:
    """The hashes that can be ticked."""
    found = [tag for _, tag in tags(html) if tag.get("class") == "tick"]
    assert all(tag["form"] == "compare" and tag["name"] == "spec" for tag in found)
    assert all(tag["aria-label"] == f"Compare /{str(tag['value'])[:7]}" for tag in found)
    assert html.count('<form id="compare"') == bool(found)
    return [tag["value"] for tag in found]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("specs?package=tar", [TAR, OTHER_TAR]),
        ("specs?package=tar&_col=os", [TAR, OTHER_TAR]),
        ("specs?package=perl&_size=1", []),
        ("specs?package=nothing", []),
        ("nodes?package=tar", []),
        (f"dependencies?spec={TAR}", []),
        ("spec_releases?release=v0.23.1", []),
        ("?sql=select+os,+hash+from+specs+where+package='tar'", [TAR, OTHER_TAR]),
        ("?sql=select+hash+as+spec+from+specs+where+package='tar'", [TAR, OTHER_TAR]),
        (f"?sql=select+hash+from+specs+where+hash='{TAR}'", []),
        (f"?sql=select+'{TAR}'+as+hash+union+all+select+'{TAR}'", []),
        (f"?sql=select+'{TAR}'+as+hash+union+all+select+'tar'", []),
        (f"?sql=select+'{TAR}'+as+hash+union+all+select+null", []),
        (f"?sql=select+'{TAR}'+as+dependency+union+all+select+'{OTHER_TAR}'", []),
        ("find_a_binary?package=tar&os=&release=develop", [TAR, OTHER_TAR]),
    ],
)
async def test_two_rows_of_specs_can_be_ticked(
    sample: Datasette, path: str, expected: list[str]
) -> None:
    answer = await sample.client.get(
        f"/spack-cache/{path}" if path[0] != "?" else f"/spack-cache{path}"
    )

    assert answer.status_code == 200
    assert sorted(map(str, ticks(answer.text))) == expected


async def test_what_is_ticked_leads_to_the_comparison(sample: Datasette) -> None:
    html = (await sample.client.get("/spack-cache/specs?package=tar")).text
    (form,) = [tag for _, tag in tags(html) if tag.get("id") == "compare"]
    query = urlencode([("spec", str(each)) for each in ticks(html)])
    answer = await sample.client.get(f"{form['action']}?{query}", follow_redirects=True)

    assert answer.status_code == 200
    assert dict(parse_qsl(urlsplit(str(answer.url)).query)) == {"a": TAR, "b": OTHER_TAR}
    assert "Facts that differ" in sections(answer.text)


async def test_a_hash_that_is_none_is_never_ticked(sample: Datasette, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(sample.databases["spack-cache"].path, tmp_path / "spack-cache.db"))
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.execute("update specs set hash = ? where hash = ?", [f'">{EVIL}', TAR])
    with open_site(damaged) as site:
        table = (await site.client.get("/spack-cache/specs?package=tar")).text

    assert ticks(table) == [OTHER_TAR]
    assert EVIL not in table
