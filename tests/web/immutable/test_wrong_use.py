"""What nobody can mean ends in 400 to 414 and words that help, whatever Datasette does."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from datasette.app import Datasette
from datasette.utils.sqlite import sqlite3

from tests.web.conftest import opened
from web.immutable import wrong_use

THROUGH = '_through has to be JSON such as {"table": "a", "column": "b", "value": "c"}'
NUL = "The character NUL is in no name and in no SQL here"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """A Datasette of some shop's goods, with the plugins of this project (see conftest)."""
    path = tmp_path_factory.mktemp("shop") / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            create table goods (name text primary key, price integer);
            create table tags (goods text references goods(name), tag text, primary key(goods, tag));
            insert into goods values ('tea', 3), ('milk', 2), ('42', 1);
            insert into tags values ('tea', 'hot'), ('milk', 'cold');
        """)
    queries = {"cheap": {"sql": "select name from goods where price < :most"}}
    metadata = {"databases": {"shop": {"queries": queries}}}
    web = Path(__file__).parents[3] / "web"
    folders = {"plugins_dir": str(web / "plugins"), "template_dir": str(web / "templates")}
    settings = {"suggest_facets": False}
    with opened([], [str(path)], metadata=metadata, settings=settings, **folders) as datasette:
        yield datasette


async def ask(
    datasette: Datasette, address: str, method: str = "GET", **more: str
) -> httpx.Response:
    """The answer to an address that nothing encodes again."""
    await datasette.invoke_startup()
    transport = httpx.ASGITransport(datasette.client.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, address, headers=more)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("_sort=bad", "Cannot sort table by bad"),
        ("_sort_desc=bad", "Cannot sort table by bad"),
        ("_sort=name&_sort_desc=name", "Cannot use _sort and _sort_desc at the same time"),
        ("_through=garbage", THROUGH),
        ("_through=[]", THROUGH),
        ("_through=" + "[" * 3000, THROUGH),
        ("_through=" + quote('{"table": "tags", "column": "tag"}'), THROUGH),
        ("_through=" + quote('{"table": "tags", "column": 1, "value": "hot"}'), THROUGH),
        (
            "_through=" + quote('{"table": "goods", "column": "name", "value": "x"}'),
            "Invalid _through - could not find corresponding foreign key",
        ),
        ("_facet={", '_facet has to be the name of a column, or JSON such as {"column": "a"}'),
        (
            "_facet_array=" + quote('{"column": []}'),
            '_facet_array has to be the name of a column, or JSON such as {"column": "a"}',
        ),
        ("_timelimit=x", "_timelimit has to be a number of milliseconds"),
        ("_timelimit=" + "9" * 5000, "_timelimit has to be a number of milliseconds"),
        (
            "price__in=[1",
            "price__in has to be values with commas between them, or a JSON array of them",
        ),
        ("price__gt=" + "9" * 19, "price__gt has to be a number of at most 18 digits"),
        ("price__lte=%C2%B2", "price__lte has to be a number of at most 18 digits"),
        ("%00=", NUL),
        ("a%00b__contains=1", NUL),
        ("_facet=a%00", NUL),
        ("_where=1%00", NUL),
        ("_sort=%00", NUL),
        ("_where=1%3B+select+1", "This address cannot be answered: "),
        ("_facetx=name", "There is no argument _facetx"),
        ("_size=x", "_size must be a positive integer"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".json", ".csv"])
async def test_wrong_arguments_of_a_table(
    shop: Datasette, arguments: str, error: str, ending: str
) -> None:
    answer = await ask(shop, f"/shop/goods{ending}?{arguments}")
    assert answer.status_code == 400
    if ending == ".json":
        assert answer.json()["error"].startswith(error)
        assert answer.json()["status"] == 400
    else:
        assert error.replace('"', "&#34;") in answer.text or error in answer.text


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("price__gt=" + "9" * 18, []),
        ("price__gt=-9", ["42", "milk", "tea"]),
        ("price__in=[2,3]", ["milk", "tea"]),
        ("price__in=[%22x%22]", []),
        ("name=%00", []),
        ("_timelimit=", ["42", "milk", "tea"]),
        ("_timelimit=1000", ["42", "milk", "tea"]),
        ("_facet=" + quote('{"column": "price"}'), ["42", "milk", "tea"]),
        ("_through=" + quote('{"table": "tags", "column": "tag", "value": "hot"}'), ["tea"]),
    ],
)
async def test_right_arguments_of_a_table(
    shop: Datasette, arguments: str, names: list[str]
) -> None:
    answer = await ask(shop, f"/shop/goods.json?_shape=objects&{arguments}")
    assert [row["name"] for row in answer.json()["rows"]] == names


@pytest.mark.parametrize(
    ("address", "status", "error"),
    [
        ("/shop/cheap.json?_timelimit=x", 400, "_timelimit has to be a number of milliseconds"),
        ("/shop.json?sql=select+1&_timelimit=x", 400, "_timelimit has to be a number"),
        ("/shop.json?sql=select+1%00", 400, "the query contains a null character"),
        ("/shop.json?sql=select+1%3Bselect+2", 400, "You can only execute one statement at a time"),
        ("/shop/tags/tea.json", 404, "The address of a row has one value for each column"),
        ("/shop.csv", 404, "Not found"),
        ("/shop/none/1", 404, "Not found"),
        ("/shop/none/1.json", 404, "There is no table none."),
    ],
)
async def test_other_wrong_addresses(
    shop: Datasette, address: str, status: int, error: str
) -> None:
    answer = await ask(shop, address)
    assert answer.status_code == status
    assert error in answer.text


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "DATA", "RENDER", "AS_CSV"])
async def test_methods_that_nothing_has(shop: Datasette, method: str) -> None:
    answer = await ask(shop, "/shop/goods", method)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.text == "The methods here are GET, HEAD, OPTIONS, POST.\n"


@pytest.mark.parametrize("address", ["/shop/goods", "/shop/goods.json", "/shop/nonesuch"])
async def test_nothing_can_be_posted_to_a_table(shop: Datasette, address: str) -> None:
    answer = await ask(shop, address, "POST", Authorization="Bearer x")
    assert answer.status_code == 405
    assert "Nothing can be posted to this address." in answer.text


@pytest.mark.parametrize(
    "host",
    ["[::1", "[x]", "[:::]", "a b", "a/b", "a:b", "a:0", "a:99999", 'a"', "<a>", "a, b", "@"],
)
async def test_hosts_that_are_none(shop: Datasette, host: str) -> None:
    answer = await ask(shop, "/shop/goods", Host=host)
    assert answer.status_code == 400
    assert answer.text == "The header Host has to be a name, and perhaps a port.\n"


@pytest.mark.parametrize("host", ["a", "a.b-c_d:80", "127.0.0.1:8001", "[::1]", "[::1]:8001"])
async def test_hosts_that_are_some(shop: Datasette, host: str) -> None:
    answer = await ask(shop, f"/shop/goods.json?_facet=price&_x={quote(host)}", Host=host)
    links = [each["toggle_url"] for each in answer.json()["facet_results"]["price"]["results"]]
    assert len(links) == 3
    assert all(link.startswith(f"http://{host}/shop/goods.json?") for link in links)


async def test_an_address_has_a_bounded_length(shop: Datasette) -> None:
    address = "/shop/goods.json?name="
    left = wrong_use.ADDRESS_BYTES - len(address.replace("?", ""))
    assert (await ask(shop, address + "x" * left)).json()["rows"] == []
    for too_long in (f"{address}{'x' * (left + 1)}", "/" + "x" * wrong_use.ADDRESS_BYTES):
        answer = await ask(shop, too_long)
        assert answer.status_code == 414
        assert answer.text == "An address has at most 8,000 bytes here.\n"


async def test_an_address_has_a_bounded_number_of_arguments(shop: Datasette) -> None:
    assert (await ask(shop, f"/shop/goods.json?{'&'.join(['_x=1'] * 100)}")).status_code == 200
    answer = await ask(shop, f"/shop/goods.json?{'&'.join(['_x=1'] * 101)}")
    assert answer.status_code == 400
    assert answer.text == "An address has at most 100 arguments here.\n"


@pytest.mark.parametrize("blank", ["+", "%0A", "%09"])
async def test_sql_has_a_bounded_number_of_blanks_in_a_row(shop: Datasette, blank: str) -> None:
    answer = await ask(shop, f"/shop.json?s%71l=select{blank * 200}1&_shape=arrays")
    assert answer.json()["rows"] == [[1]]
    answer = await ask(shop, f"/shop.json?s%71l=/**/{blank * 201}x")
    assert answer.status_code == 400
    assert answer.text == "SQL has at most 200 blanks in a row here.\n"


async def test_an_error_of_a_plugin_is_a_fault_of_the_server(
    shop: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("This plugin is broken")

    monkeypatch.setattr(shop, "table_metadata", broken)
    answer = await ask(shop, "/shop/goods.json?_x=500")
    assert answer.status_code == 500


async def test_a_broken_database_is_a_fault_of_the_server(
    shop: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(shop.databases["shop"], "execute", broken)
    assert (await ask(shop, "/shop/goods.json?_x=501")).status_code == 500
