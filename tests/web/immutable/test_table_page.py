"""What web/immutable/table_page.py takes for granted of Datasette: if this fails, read that first."""

import inspect
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import CustomRow
from datasette.utils.asgi import Request
from datasette.views.table import TableView

from tests.web.immutable.plain import answer, served
from web.immutable import table_page
from web.immutable.table_page import Sort

Statements = list[tuple[str, dict[str, Any], bool]]


@pytest.fixture
def datasette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Datasette]:
    """Datasette as it is, whatever other tests let stand around its pages."""
    table_page.install()
    monkeypatch.setattr(table_page, "_wraps", [])
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "create table things (a text, b text, [big size] integer, primary key (a, b))"
        )
        database.executemany("insert into things values ('a', ?, 1)", [(f"{n}",) for n in range(5)])
        database.execute("create view seen as select * from things")
    with served(path, tables={"things": {"facets": ["a"]}}) as site:
        yield site


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """What Datasette asks of tables while a page is made: SQL, parameters, whether truncated."""
    seen: Statements = []
    execute = Database.execute

    async def watched(
        self: Database, sql: str, params: Any = None, truncate: bool = False, **rest: Any
    ) -> Any:
        if "from things" in sql or "from seen" in sql:
            seen.append((sql, params, truncate))
        return await execute(self, sql, params, truncate, **rest)

    monkeypatch.setattr(Database, "execute", watched)
    return seen


async def test_the_statements_of_a_page(datasette: Datasette, statements: Statements) -> None:
    query = "big+size=1&b__gt=0&_sort_desc=big+size&_size=2&_where=1"
    page = await answer(datasette, f"/shelf/things.json?{query}")
    where = table_page.from_where("things", ['"b" > :p0', "[big size] = :p1", "1"])
    assert where == 'from things where "b" > :p0 and [big size] = :p1 and 1 '
    own, count, facet = statements
    select = "select a, b, [big size] "
    params = {"p0": 0, "p1": "1"}
    assert own == (f"{select}{where}order by [big size] desc limit 3", params, True)
    assert count == (f"select count(*) {where}", params, False)
    assert f"from (\n                    {select}{where}\n" in facet[0]
    assert facet[2] is False
    assert page["query"] == {"sql": own[0], "params": params}

    statements.clear()
    await answer(datasette, page["next_url"])
    later = statements[0]
    condition = (
        "([big size] < :p4 or [big size] is null or ([big size] = :p4"
        " and ((a > :p2)\n  or\n(a = :p2 and b > :p3))))"
    )
    order = "order by [big size] desc, a, b limit 3"
    assert later[0] == f"{select}{where.rstrip()} and {condition} {order}"
    assert later[1] == {**params, "p2": "a", "p3": "2", "p4": "1"}


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("things.json", "from things order by a, b limit 101"),
        ("things.json?_sort=a", "from things order by a limit 101"),
        ("seen.json?_sort=a&_next=2", "from seen order by a limit 101 offset 2"),
    ],
)
async def test_the_end_of_the_pages_own_statement(
    datasette: Datasette, statements: Statements, query: str, end: str
) -> None:
    await answer(datasette, f"/shelf/{query}")
    (own,) = [sql for sql, _, is_truncated in statements if is_truncated]
    assert own.endswith(end)


async def test_what_makes_a_page_and_what_it_returns(datasette: Datasette) -> None:
    assert [*inspect.signature(TableView.data).parameters] == [
        *("self", "request", "default_labels", "_next", "_size")
    ]
    request = Request.fake(
        "/shelf/things?_sort=a&_size=2", url_vars={"database": "shelf", "table": "things"}
    )
    data, for_html, _ = await TableView(datasette).data(request)
    assert data["human_description_en"] == Sort("a", False).text == "sorted by a"
    assert data["next"] == "a,a,1"
    assert data["next_url"] == "http://localhost/shelf/things?_size=2&_next=a%2Ca%2C1&_sort=a"
    shown = await for_html()
    assert (shown["sort"], shown["sort_desc"], shown["request"]) == ("a", None, request)


async def test_a_row_with_labels_tells_what_it_lacks_as_others_do(datasette: Datasette) -> None:
    await answer(datasette, "/shelf/things.json")
    with pytest.raises(IndexError):
        CustomRow(["a"])["b"]


async def test_statements_are_changed_for_one_page_only(datasette: Datasette) -> None:
    def none(sql: str, is_own: bool) -> str:
        return sql.replace(" limit 101", " limit 0") if is_own else sql

    table_page.run_instead(none)  # no page is being made
    assert len((await answer(datasette, "/shelf/things.json"))["rows"]) == 5
