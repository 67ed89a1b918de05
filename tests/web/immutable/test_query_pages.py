"""Answers to the site's own questions: pages, totals, all rows; visitors' SQL keeps its bounds."""

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from datasette.app import Datasette

from tests.web.immutable.plain import answer, served
from web.immutable import query_pages

NUMBERS = list(range(12_345, 0, -1))

QUERIES = {
    "numbers": "select n, 'text ' || n as text from numbers order by n desc",
    "few": "select n from numbers where n <= cast(coalesce(nullif(:most, ''), 250) as integer)",
    "slow": """
        with recursive forever(n) as (select 1 union all select n + 1 from forever)
        select sum(n) from forever
    """,
    "wrong": "select missing from numbers",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    path = tmp_path_factory.mktemp("numbers") / "shelf.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table numbers (n integer primary key)")
        connection.executemany("insert into numbers values (?)", [(n,) for n in NUMBERS])
    with served(path, query_pages, queries=QUERIES, sql_time_limit_ms=300) as datasette:
        yield datasette


async def csv_of(site: Datasette, path: str) -> list[list[str]]:
    response = await site.client.get(path)
    assert response.status_code == 200, response.text
    return list(csv.reader(response.text.splitlines()))


async def test_json_has_the_first_rows_and_says_that_there_are_more(site: Datasette) -> None:
    told = await answer(site, "/shelf/numbers.json")

    assert [row[0] for row in told["rows"]] == NUMBERS[:5000]
    assert (told["truncated"], told["total"], told["next"]) == (True, 12_345, "5000")
    assert told["next_url"] == "http://localhost/shelf/numbers.json?_next=5000"


@pytest.mark.parametrize("size", [1000, 4999, 5000, "max"])
async def test_the_next_pages_of_json_have_all_the_others(site: Datasette, size: object) -> None:
    path, found = f"/shelf/numbers.json?_size={size}", list[int]()
    while path:
        told = await answer(site, path)
        found += [row[0] for row in told["rows"]]
        assert told["total"] == 12_345
        assert told["truncated"] == ("next_url" in told)
        path = told.get("next_url", "")

    assert found == NUMBERS


async def test_an_array_of_rows_leads_to_the_next_by_its_header(site: Datasette) -> None:
    response = await site.client.get("/shelf/numbers.json?_shape=array&_size=2")

    assert [row["n"] for row in response.json()] == [12_345, 12_344]
    assert response.headers["link"] == (
        '<http://localhost/shelf/numbers.json?_shape=array&_size=2&_next=2>; rel="next"'
    )


async def test_an_answer_that_is_whole_says_so(site: Datasette) -> None:
    told = await answer(site, "/shelf/few.json?most=7")

    assert [row[0] for row in told["rows"]] == [1, 2, 3, 4, 5, 6, 7]
    assert (told["truncated"], told["total"]) == (False, 7)
    assert "next" not in told


@pytest.mark.parametrize("arguments", ["", "?_stream=1", "?_size=max", "?_next=5&_page=2&_dl=1"])
async def test_csv_has_all_rows(site: Datasette, arguments: str) -> None:
    head, *rows = await csv_of(site, f"/shelf/numbers.csv{arguments}")

    assert head == ["n", "text"]
    assert [int(row[0]) for row in rows] == NUMBERS


async def test_csv_has_the_parameters_of_the_question(site: Datasette) -> None:
    assert await csv_of(site, "/shelf/few.csv?most=2") == [["n"], ["1"], ["2"]]


async def test_a_page_ends_where_its_rows_are_long(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_pages, "PAGE_BYTES", 100)

    # Each text has ten characters; with the eleventh there are more than 100.
    told = await answer(site, "/shelf/numbers.json")
    assert ([row[0] for row in told["rows"]], told["next"]) == (NUMBERS[:11], "11")
    assert [int(row[0]) for row in (await csv_of(site, "/shelf/numbers.csv"))[1:]] == NUMBERS


@pytest.mark.parametrize(
    "arguments", ["_next=-1", "_next=x", "_size=0", "_size=5001", "_size=²", "_next=" + "9" * 30]
)
async def test_a_number_that_is_none_is_refused(site: Datasette, arguments: str) -> None:
    response = await site.client.get(f"/shelf/numbers.json?{arguments}")

    assert response.status_code == 400
    assert "has to be a number from" in response.json()["error"]


async def test_csv_of_a_question_that_fails_is_an_error(site: Datasette) -> None:
    response = await site.client.get("/shelf/wrong.csv")

    assert response.status_code == 400
    assert "no such column: missing" in response.text


@pytest.mark.parametrize("path", ["/shelf/slow", "/shelf/slow.csv", "/shelf/slow.json"])
async def test_a_question_has_no_more_time_than_any_query(site: Datasette, path: str) -> None:
    response = await site.client.get(path)

    assert response.status_code in {400, 500}
    assert "too long" in response.text or "interrupted" in response.text


async def test_sql_of_visitors_keeps_its_bound(site: Datasette) -> None:
    response = await site.client.get("/shelf.csv?sql=select+n+from+numbers+order+by+n")
    told = await answer(site, "/shelf.json?sql=select+n+from+numbers+order+by+n")

    assert [int(n) for n in response.text.split()[1:]] == list(range(1, 1001))
    assert response.headers["x-truncated"] == "true"
    assert (len(told["rows"]), told["truncated"]) == (1000, True)
    assert "total" not in told


async def test_csv_that_is_whole_does_not_say_that_it_is_cut(site: Datasette) -> None:
    sql = await site.client.get("/shelf.csv?sql=select+n+from+numbers+limit+1000")
    question = await site.client.get("/shelf/numbers.csv")

    assert "x-truncated" not in sql.headers
    assert "x-truncated" not in question.headers


def test_columns_that_say_nothing_are_left_out() -> None:
    rows = [["a", "&nbsp;", "&nbsp;"], ["b", "&nbsp;", 0]]

    assert query_pages.said_columns(["one", "two", "three"], rows) == (
        ["one", "three"],
        [["a", "&nbsp;"], ["b", 0]],
    )
