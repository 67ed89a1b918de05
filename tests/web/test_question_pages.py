"""The pages of a question's answer, as people see them."""

from pathlib import Path

import pytest
from datasette.app import Datasette

from tests.web.conftest import open_site
from tests.web.seen import links, sections, tags
from web.immutable import query_pages

TITLE = "Is there a binary?"


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a page: of nine specs the last page has one."""
    monkeypatch.setattr(query_pages, "HTML_ROWS", 2)


PAGES = [
    ("_two=a", "9 rows, 1 to 2 on this page; CSV has all", ["evil", "hmac"], {"Next page": 2}),
    (
        "_two=a&_page=2",
        "9 rows, 3 to 4 on this page; CSV has all",
        ["hmpi", "hser"],
        {"Previous page": 1, "Next page": 3},
    ),
    ("_two=a&_page=5", "9 rows, 9 to 9 on this page; CSV has all", ["xz"], {"Previous page": 4}),
]


@pytest.mark.usefixtures("two_a_page")
@pytest.mark.parametrize(("arguments", "count", "hashes", "pages"), PAGES)
async def test_an_answer_has_pages(
    arguments: str, count: str, hashes: list[str], pages: dict[str, int], site: Datasette
) -> None:
    html = (await site.client.get(f"/spack-cache/find_a_binary?{arguments}")).text
    shown = [each["data-copy"] for _, each in tags(html) if "data-copy" in each]

    assert count in sections(html)[TITLE]
    assert [str(key).rstrip("a") for key in shown] == hashes
    assert {link.text: link.href for link in links(html) if "page" in link.text} == {
        text: "http://localhost/spack-cache/find_a_binary?_two=a"
        + (f"&_page={number}" if number > 1 else "")
        for text, number in pages.items()
    }


@pytest.mark.usefixtures("two_a_page")
async def test_a_page_behind_the_last_leads_back(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/find_a_binary?_two=a&_page=77")).text

    assert "The answer has 9 rows, and so no page 77. Its last page" in sections(html)[TITLE]
    assert ("Its last page", "http://localhost/spack-cache/find_a_binary?_two=a&_page=5") in links(
        html
    )


async def test_an_answer_on_one_page_has_its_total(site: Datasette) -> None:
    shown = sections((await site.client.get("/spack-cache/find_a_binary")).text)[TITLE]

    assert "9 rows" in shown
    assert "on this page" not in shown


@pytest.mark.usefixtures("two_a_page")
async def test_formats_begin_with_the_first_row_on_any_page(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/find_a_binary?_two=b&_page=2")).text
    hrefs = {link.text: link.href for link in links(html)}

    rows = (await site.client.get(hrefs["JSON"])).json()["rows"]
    assert len(rows) == 9
    assert len((await site.client.get(hrefs["CSV"])).text.splitlines()) == 10
    assert (await site.client.get(hrefs["list of hashes"])).text.count("/") == 9


@pytest.mark.parametrize(("by", "columns"), [("package", 2), ("spec", 4)])
async def test_stacks_that_differ_have_no_empty_columns(
    by: str, columns: int, site: Datasette
) -> None:
    path = f"/spack-cache/stack_difference?stack=e4s&other_stack=e4s-neoverse-v2&by={by}"
    html = (await site.client.get(path)).text

    assert [tag for tag, _ in tags(html)].count("th") == columns


@pytest.mark.usefixtures("two_a_page")
async def test_pages_have_the_prefix_of_the_site(made_database: Path) -> None:
    with open_site(made_database, base_url="/cache/") as prefixed:
        html = (await prefixed.client.get("/spack-cache/find_a_binary?package=hdf5")).text
        told = (await prefixed.client.get("/spack-cache/find_a_binary.json?_size=2")).json()

    base = "http://localhost/cache/spack-cache/find_a_binary"
    assert ("Next page", f"{base}?package=hdf5&_page=2") in links(html)
    assert told["next_url"] == f"{base}.json?_size=2&_next=2"
