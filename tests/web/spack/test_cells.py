"""Cells: what people see of a value, and that programs get it as it is."""

import csv
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from markupsafe import escape

from tests.pages import HOSTILE_PACKAGE, dag_hash
from tests.web.conftest import open_site
from tests.web.seen import links, sections, tags
from web.spack import cells

LETTERS = list("abcdefghijkl")
HOSTILE = "<script>alert('1')</script>\"&"
HARMLESS = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34;&amp;"


async def cell(site: Datasette, value: str | int | None, column: str) -> str:
    """The HTML of the one cell of a query's answer."""
    literal = ":value" if isinstance(value, str) else json.dumps(value)
    query = urlencode({"sql": f"select {literal} as {column}", "value": value or ""})
    html = (await site.client.get(f"/spack-cache?{query}")).text
    (shown,) = re.findall("<tbody>\n<tr><td class=[^>]*>(.*?)</td></tr>", html, re.DOTALL)
    return str(shown)


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("package", "hdf5", '<a href="/spack-cache/packages/hdf5">hdf5</a>'),
        ("stack", "e4s", '<a href="/spack-cache/stacks/e4s">e4s</a>'),
        ("release", "v0.23.1", '<a href="/spack-cache/releases/v0~2E23~2E1">v0.23.1</a>'),
        ("variant", "+mpi", '<a href="/spack-cache/variants/~2Bmpi">+mpi</a>'),
        ("version", "1.14.5", "1.14.5"),
        ("num_specs", 1234567, '<span class="number">1,234,567</span>'),
        ("position", 1234, "1234"),
        ("id", 1234, "1234"),
        ("package", "", "&nbsp;"),
        ("package", None, "&nbsp;"),
        ("hash", "too short", "too short"),
        ("version", HOSTILE, HARMLESS),
        ("message", HOSTILE, HARMLESS),
        ("stacks", "[1, ", "[1, "),
        ("stacks", '{"a": 1}', "{&#34;a&#34;: 1}"),
        ("stacks", "[[1]]", "[[1]]"),
        ("stacks", '["\\ud800"]', "[&#34;\\ud800&#34;]"),
        ("version", "[" * 2000, "[" * 2000),
        ("stacks", "[]", '<span class="values"></span>'),
    ],
)
async def test_a_value_is_shown(
    site: Datasette, column: str, value: str | int | None, shown: str
) -> None:
    assert await cell(site, value, column) == shown


@pytest.mark.parametrize("column", ["hash", "spec", "twin", "other_hash"])
async def test_of_a_hash_all_is_there_to_copy_and_the_beginning_is_seen(
    site: Datasette, column: str
) -> None:
    spec = dag_hash("hmpi")

    assert await cell(site, spec, column) == (
        f'<span class="copied"><a class="hash" href="/spack-cache/specs/{spec}">{spec}</a>'
        f'<button class="copy icon" type="button" data-copy="{spec}"'
        ' aria-label="Copy hash hmpiaaa"></button></span>'
    )


async def test_a_word_of_32_letters_is_no_hash_in_other_columns(site: Datasette) -> None:
    assert await cell(site, dag_hash("hmpi"), "version") == dag_hash("hmpi")


def value(text: str) -> str:
    return f'<span class="value">{text}</span>'


@pytest.mark.parametrize("length", [1, 4, 5])
async def test_a_short_list_is_shown_as_a_whole(site: Datasette, length: int) -> None:
    letters = LETTERS[:length]

    assert await cell(site, json.dumps(letters), "versions") == (
        f'<span class="values">{" ".join(map(value, letters))}</span>'
    )


async def test_a_long_list_unfolds(site: Datasette) -> None:
    assert await cell(site, json.dumps(LETTERS), "versions") == (
        f'<span class="values">{" ".join(map(value, LETTERS[:4]))}</span>'
        '<details class="more"><summary><span class="when-closed">4 of 12 shown</span>'
        '<span class="when-open">Show fewer</span></summary>'
        f'<span class="values">{" ".join(map(value, LETTERS[4:]))}</span></details>'
    )


async def test_elements_that_are_no_text_are_shown_as_json_has_them(site: Datasette) -> None:
    assert await cell(site, '[1, 1.5, true, null, "é"]', "versions") == (
        f'<span class="values">{" ".join(map(value, ["1", "1.5", "true", "null", "é"]))}</span>'
    )


async def rows(site: Datasette, sql: str) -> str:
    """The HTML of the rows of a query's answer."""
    html = (await site.client.get(f"/spack-cache?{urlencode({'sql': sql})}")).text
    return str(html[html.index("<tbody>") : html.index("</tbody>")])


COUNT = "with recursive c(n) as (select 1 union all select n + 1 from c limit {})"
LONG_LIST = """'["' || replace(hex(zeroblob(15000)), '0', 'a","') || 'z"]'"""
"""A JSON array of 30,001 elements, 120 kB, in SQL."""


async def test_long_lists_leave_room_for_each_other(site: Datasette) -> None:
    html = await rows(site, f"{COUNT.format(30)} select {LONG_LIST} as stacks from c")

    assert html.count("<tr>") == html.count("4 of 30,001 shown") == 30
    assert html.count('<a class="value" href="/spack-cache/stacks/a">a</a>') == 30 * 128
    assert html.count("and 29,873 more") == 30
    assert len(html) < 250_000


async def test_a_long_list_by_itself_unfolds_further(site: Datasette) -> None:
    html = await rows(site, f"select {LONG_LIST} as stacks")

    assert html.count('<a class="value"') == 1_024
    assert "and 28,977 more" in html


@pytest.mark.parametrize(
    ("count", "cell"),
    [
        (400, '<span class="values">{}</span> and 4 more'),
        (1_000, "[1,2,3,4,5,6,7,8…"),
    ],
)
async def test_lists_without_room_show_their_first_elements_or_become_texts(
    site: Datasette, count: int, cell: str
) -> None:
    columns = [f"c{number}" for number in range(40)]
    values = ", ".join(f"'[1,2,3,4,5,6,7,8]' as {column}" for column in columns)
    html = await rows(site, f"{COUNT.format(count)} select {values} from c")

    shown = cell.format(" ".join(map(value, "1234")))
    row = "".join(f'<td class="col-{column}">{shown}</td>' for column in columns)
    assert html.splitlines()[1:-1] == [f"<tr>{row}</tr>"] * count + [""]


@pytest.mark.parametrize(("count", "seen"), [(1, 2_048), (1_000, 16)])
async def test_long_texts_are_cut(site: Datasette, count: int, seen: int) -> None:
    size = 1_500 if count == 1 else 120
    long = f"(select replace(hex(zeroblob({size})), '0', '<') as t)"
    values = ", ".join(f"t as c{number}" for number in range(40))
    html = await rows(site, f"{COUNT.format(count)} select {values} from {long}, c")

    assert html.count("…") == 40 * count
    assert html.count("&lt;") == 40 * count * seen


async def test_an_element_that_is_too_long_for_an_address_is_no_link(site: Datasette) -> None:
    shown = await cell(site, json.dumps(["e4s", "x" * 3_000]), "stacks")

    assert shown == (
        '<span class="values"><a class="value" href="/spack-cache/stacks/e4s">e4s</a>'
        f' <span class="value">{"x" * 2_048}…</span></span>'
    )


async def test_a_long_name_of_a_column_stands_once(site: Datasette) -> None:
    query = f'{COUNT.format(1000)} select n as "{"y" * 3_000}" from c'
    html = (await site.client.get(f"/spack-cache?{urlencode({'sql': query})}")).text

    assert len(html) < 200_000


async def test_nothing_that_a_visitor_made_is_kept(site: Datasette) -> None:
    await site.client.get("/spack-cache/specs?_nofacet=1&_size=max")
    kept = cells._kept_element.cache_info().currsize

    assert "/spack-cache/stacks/mine" in await cell(site, '["mine"]', "stacks")
    assert cells._kept_element.cache_info().currsize == kept > 10


TARBALLS = [
    ("https://example.org/a b", True),
    ("HTTP://example.org/", True),
    ("javascript:alert(1)", False),
    ("JaVaScRiPt://x/%0aalert(1)", False),
    (" https://example.org/", False),
    ("data:text/html,<script>alert(1)</script>", False),
    ("//evil.example/x", False),
    ("https:///x", False),
    ("mirror/x.spack", False),
]


@pytest.mark.parametrize(("address", "is_link"), TARBALLS)
async def test_only_addresses_of_the_web_are_links(
    site: Datasette, address: str, is_link: bool
) -> None:
    html = await cell(site, address, "tarball")

    assert [link.href for link in links(f"<main>{html}</main>")] == [address] * is_link
    assert str(escape(address)) in html


async def test_tarballs_of_a_spec_are_links_or_text(made_database: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(made_database, tmp_path / "spack-cache.db"))
    address = f"/spack-cache/specs/{dag_hash('hold')}"
    for tarball, is_link in TARBALLS:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE spec_releases SET tarball = ? WHERE tarball IS NOT NULL", [tarball]
            )
        with open_site(database) as site:
            html = (await site.client.get(address)).text
        hrefs = [link.href for link in links(html) if link.text == "the binary itself"]
        assert hrefs == [tarball] * is_link
        assert str(escape(tarball)) in html


@pytest.mark.parametrize(
    ("variant", "address"),
    [
        ("+mpi", "/spack-cache/variants/~2Bmpi"),
        ("build_type=Release", "/spack-cache/variants/build_type~3DRelease"),
        ("cflags=-D=1", "/spack-cache/variants/cflags~3D-D~3D1"),
        ("languages='c,c++'", "variants__arraycontains=languages%3D%27c%2Cc%2B%2B%27"),
        ("libs=shared,static", "variants__arraycontains=libs%3Dshared%2Cstatic"),
        ("++mpi", "variants__arraycontains=%2B%2Bmpi"),
        ("x==y", "variants__arraycontains=x%3D%3Dy"),
    ],
)
async def test_a_variant_leads_to_its_row_or_a_list_of_values_to_the_specs_that_have_it(
    site: Datasette, variant: str, address: str
) -> None:
    if address.startswith("variants__"):
        address = f"/spack-cache/specs?{address}"

    assert f'<a class="value" href="{address}">' in await cell(
        site, json.dumps([variant]), "variants"
    )


async def test_every_link_of_the_cells_of_specs_leads_somewhere(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/specs?_nofacet=1")).text
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    addresses = {link.href for link in links(f"<main>{table}</main>")}

    statuses = {href: (await site.client.get(href)).status_code for href in addresses}

    assert len(addresses) == 39
    assert set(statuses.values()) == {200}


async def test_the_list_of_specs_leaves_out_the_columns_that_repeat_others(
    site: Datasette,
) -> None:
    html = (await site.client.get("/spack-cache/specs?package=xz")).text

    assert (
        sections(html)["Specs"].count(" hash ▲ package version compiler os target variants ") == 1
    )
    assert "linux-ubuntu22.04-x86_64_v3" not in html[: html.index("</tbody>")]


async def test_columns_that_are_asked_for_are_shown(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/specs?package=xz&_col=spec&_col=size")).text

    assert [tag["class"] for name, tag in tags(html) if name == "th"] == [
        "col-hash",
        "col-spec",
        "col-size number",
    ]
    assert "xz@5.6.3 build_system=generic arch=linux-ubuntu22.04-x86_64_v3" in html


async def test_a_foreign_key_is_shown_with_what_it_leads_to(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/spec_releases?release=v0.23.1")).text

    assert "xz@5.6.3 build_system=generic arch=linux-ubuntu22.04-x86_64_v3" in html
    assert '<a href="/spack-cache/releases/v0~2E23~2E1">v0.23.1</a>' in html
    assert "Link" not in [tag.get("data-column") for _, tag in tags(html)]


async def test_json_and_csv_have_the_values_as_they_are(
    site: Datasette, made_database: Path
) -> None:
    connection = sqlite3.connect(made_database)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute("select * from specs order by hash")]
    connection.close()

    as_json = (await site.client.get("/spack-cache/specs.json?_shape=array")).json()
    as_csv = (await site.client.get("/spack-cache/specs.csv")).text

    assert as_json == rows
    assert list(csv.DictReader(io.StringIO(as_csv))) == [
        {column: "" if value is None else str(value) for column, value in row.items()}
        for row in rows
    ]


HOSTILE_PATHS = [
    "/",
    "/spack-cache",
    "/spack-cache/packages",
    "/spack-cache/specs",
    "/spack-cache/specs?_facet_array=variants",
    "/spack-cache/specs?version=1.0;reboot&os=o%27s&target=%3Ci%3Et",
    "/spack-cache/specs?stacks__arraycontains=x%3Cb%3Ey",
    "/spack-cache/specs?_search=%3Cscript%3Ealert(1)%3C/script%3E",
    "/spack-cache/stacks",
    "/spack-cache/spec_stacks",
    "/spack-cache/spec_variants",
    "/spack-cache/variants",
    "/spack-cache/sources",
    "/spack-cache/targets",
    f"/spack-cache/specs/{dag_hash('evil')}",
    "/spack-cache/stacks/x~3Cb~3Ey",
    "/spack-cache/stacks/a~27b~22c",
    "/spack-cache/targets/~3Ci~3Et",
    "/spack-cache/releases/develop",
    "/spack-cache/variants/note~3D~3Cscript~3Ealert~281~29~3C~2Fscript~3E",
    "/spack-cache/packages/~3Cimg+src~3Dx+onerror~3Dalert~281~29~3E+~60reboot~60~3B",
    "/spack-cache/packages/hdf5?release=%3Cscript%3Ealert(1)%3C/script%3E&machine=%3Ci%3Et",
    "/spack-cache/packages/%3Cscript%3Ealert(1)",
    "/spack-cache/specs/%3Cscript%3Ealert(1)",
    "/%3Cscript%3Ealert(1)%3C~2Fscript%3E",
    "/spack-cache?sql=select+%27%3Cscript%3E%27+as+%22%3Cimg%3E%22",
    "/spack-cache?sql=%3C/textarea%3E%3Cscript%3Ealert(1)",
]


def scripts(html: str) -> set[str]:
    return set(re.findall("<script.*?</script>", html, re.DOTALL | re.IGNORECASE))


@pytest.mark.parametrize("path", HOSTILE_PATHS)
async def test_hostile_values_are_shown_harmlessly(site: Datasette, path: str) -> None:
    response = await site.client.get(path, follow_redirects=True)
    elements = list(tags(response.text))

    assert {tag for tag, _ in elements}.isdisjoint({"img", "i"})
    assert scripts(response.text) <= scripts((await site.client.get("/about")).text)
    assert [name for _, attributes in elements for name in attributes if name[:2] == "on"] == []
    assert "alert(1)" not in "".join(
        str(attributes.get("href", "")).partition("?")[0] for _, attributes in elements
    )


async def test_a_hostile_package_has_a_page_like_any_other(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/packages")).text
    (href,) = [link.href for link in links(html) if link.text == HOSTILE_PACKAGE]

    page = (await site.client.get(href)).text

    assert sections(page)[HOSTILE_PACKAGE].startswith("1 binary in develop.")
