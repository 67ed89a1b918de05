"""Addresses of a site below a prefix, on a database of any kind."""

import inspect
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import datasette.utils
import httpx
import pytest
from datasette.app import Datasette
from datasette.utils import PrefixedUrlString, StartupError

from tests.web.conftest import ROOT, opened
from web.immutable.prefix import path_below_prefix, startup


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """A shop, below /far/away/."""
    database = tmp_path_factory.mktemp("prefix") / "shop.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("""
            CREATE TABLE sales (id INTEGER PRIMARY KEY, day TEXT, photo BLOB);
            INSERT INTO sales VALUES (1, '2025-01-01', x'00'), (2, '2025-01-02', x'01');
        """)
    with opened(
        immutables=[str(database)],
        plugins_dir=str(ROOT / "web" / "plugins"),
        settings={"base_url": "/far/away/"},
    ) as datasette:
        yield datasette


async def get(site: Datasette, path: str) -> httpx.Response:
    # As Datasette's own client cannot: the path as it is.
    return await site.client.get(PrefixedUrlString(path))


ASKED = ["/far/away/shop", "/shop"]
"""The same page, where a proxy leaves the prefix as it is, and where it takes it away."""


@pytest.mark.parametrize("shop", ASKED)
async def test_facets_by_date_lead_below_the_prefix(site: Datasette, shop: str) -> None:
    facet = (await get(site, f"{shop}/sales.json?_facet_date=day")).json()["facet_results"]["day"]

    assert facet["toggle_url"] == "/far/away/shop/sales.json"
    assert facet["results"][0]["toggle_url"] == (
        "http://localhost/far/away/shop/sales.json?_facet_date=day&day__date=2025-01-01"
    )


@pytest.mark.parametrize("shop", ASKED)
async def test_binary_values_are_linked_below_the_prefix(site: Datasette, shop: str) -> None:
    table = await get(site, f"{shop}/sales.csv")
    query = await get(site, f"{shop}.csv?sql=select+photo+from+sales+limit+1")

    assert "http://localhost/far/away/shop/sales/1.blob?_blob_column=photo" in table.text
    assert "http://localhost/far/away/shop.blob?sql=" in query.text


@pytest.mark.parametrize("shop", ASKED)
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/sales/", "/far/away/shop/sales"),
        ("/sales/%2B", "/far/away/shop/sales/~2B"),
        ("/sales.jsono", "/far/away/shop/sales.json?_shape=objects"),
        ("/sales?_filter_column=id&_filter_op=gt&_filter_value=1", "/far/away/shop/sales?id__gt=1"),
    ],
)
async def test_redirections_lead_below_the_prefix(
    site: Datasette, shop: str, path: str, location: str
) -> None:
    answer = await get(site, shop + path)

    assert (answer.status_code, answer.headers["location"]) == (302, location)


@pytest.mark.parametrize("path", ["/far/away/", "/far/away", "/"])
async def test_the_first_page_is_at_the_prefix_with_and_without_its_end(
    site: Datasette, path: str
) -> None:
    answer = await get(site, path)

    assert answer.status_code == 200
    assert 'href="/far/away/shop"' in answer.text


def test_what_a_page_is_found_by_has_no_prefix(site: Datasette) -> None:
    assert path_below_prefix(site, "/far/away/shop/sales") == "/shop/sales"
    assert path_below_prefix(site, "/shop/sales") == "/shop/sales"


@pytest.mark.parametrize("text", ["/a b/c?d=1&d=2", "", "/Ü", "a\nb"])
def test_an_address_does_what_datasettes_own_does(text: str) -> None:
    # Datasette's own, whatever a site of this process has put in its place.
    source = textwrap.dedent(inspect.getsource(datasette.utils.PrefixedUrlString))
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    theirs, ours = namespace["PrefixedUrlString"](text), PrefixedUrlString(text)
    for name, arguments in (
        *(("split", ("/",)), ("partition", ("?",)), ("rsplit", ("/", 1)), ("splitlines", ())),
        *(("upper", ()), ("strip", ()), ("replace", ("/", "//")), ("join", (["a", "b"],))),
        *(("encode", ()), ("startswith", ("/",)), ("find", ("c",)), ("isascii", ())),
    ):
        expected, found = (getattr(each, name)(*arguments) for each in (theirs, ours))
        assert found == expected
        assert type(found).__name__ == type(expected).__name__
        if isinstance(expected, list | tuple):
            assert [type(part).__name__ for part in found] == [
                type(part).__name__ for part in expected
            ]
    assert type(ours + "x").__name__ == type(theirs + "x").__name__


@pytest.mark.parametrize("prefix", ["/shop", "shop/", "shop", "https://x.org/shop/", "/a b/"])
async def test_what_is_no_prefix_is_refused_at_the_start(prefix: str) -> None:
    site = Datasette([], settings={"base_url": prefix})
    with pytest.raises(StartupError, match="it begins and ends with a slash: /prefix/"):
        startup(site)
