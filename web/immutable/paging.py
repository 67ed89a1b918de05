"""Pages of a sorted table that hold every row once, and columns sorted by their ranks.

Datasette 0.65 orders the later pages of a sorted table by the column and then by the primary key,
but the first page by the column alone. So the first page ends at any of the rows that are equal
there, and the second goes on behind its key: rows between are on no page, others on two. This
plugin gives the first page the same order: in HTML, JSON and CSV. (docs/upstream/ of this project
has the report.) A view has no key; its rows are ordered by all its columns instead. And a later
page continues from the value that the last row has, not from its text: a column of no type that
holds numbers would begin anew for ever.

A column whose order as text says little (`1.9` before `1.10`) can be sorted by another one, which
the table's metadata names. That column must be one that Datasette may sort by::

    plugins:
      paging:
        sort_by:
          size: bytes                     # _sort=size sorts by bytes
          version: {sort_desc: rank}      # rank 1 is the largest version

Addresses, links, arrows and descriptions go on to say `size` and `version`; the tokens of `_next`
hold values of the other column.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import path_with_replaced_args, tilde_decode
from datasette.utils.asgi import Request, Response
from datasette.views.table import TableView

from web.immutable import table_page
from web.immutable.table_page import Data, Sort, SortedRequest


class Paging(NamedTuple):
    """How the rows of one page are sorted.

    Attributes:
        table: The table's name.
        asked: What the page says that it is sorted by.
        done: What it is sorted by.
        then_by: The columns that decide between rows that are equal there.
    """

    table: str
    asked: Sort
    done: Sort
    then_by: Sequence[str]

    def shown(self, sql: str) -> str:
        """Return the page's own statement in the full order."""
        return table_page.ordered_by(sql, self.table, self.done, self.then_by)

    def run(self, sql: str, is_own: bool) -> str:
        """Return what to run in place of a statement."""
        if not is_own:
            return sql
        return table_page.after_row(self.shown(sql), self.table, self.done, self.then_by)


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Stand around Datasette's table page."""
    table_page.wrap_data(_paged)


def _paged(data: Data) -> Data:
    @functools.wraps(data)
    async def paged(view: TableView, request: Request, *arguments: Any, **options: Any) -> Any:
        paging = await _paging(view.ds, request)
        if paging is None:
            return await data(view, request, *arguments, **options)
        table_page.run_instead(paging.run)
        sorted_request = SortedRequest(request, paging.done)
        answer = await data(view, sorted_request, *arguments, **options)
        return answer if isinstance(answer, Response) else _told(view.ds, request, paging, answer)

    return paged


async def _paging(datasette: Datasette, request: Request) -> Paging | None:
    """Return how a page is sorted; None if by its key, or if it is no page of a table."""
    table = tilde_decode(request.url_vars["table"])
    try:
        database = datasette.get_database(route=tilde_decode(request.url_vars["database"]))
    except KeyError:
        return None
    asked = table_page.sort_of(request, datasette.table_metadata(database.name, table))
    if asked is None or await datasette.get_canned_query(database.name, table, request.actor):
        return None
    done = _ranked(asked, datasette.plugin_config("paging", database=database.name, table=table))
    return Paging(table, asked, done, await _tie_break(database, table))


def _ranked(asked: Sort, config: Mapping[str, Any] | None) -> Sort:
    """Return what to sort by where something is asked for."""
    rank = (config or {}).get("sort_by", {}).get(asked.column, asked.column)
    if isinstance(rank, str):
        return Sort(rank, asked.descending)
    ((order, column),) = rank.items()
    return Sort(column, asked.descending != (order == "sort_desc"))


async def _tie_break(database: Database, table: str) -> Sequence[str]:
    """Return the columns whose values no two rows share; of a view all that it has.

    There are none if there is no such table, as Datasette is about to say.
    """
    if await database.table_exists(table):
        return await database.primary_keys(table) or ["rowid"]
    is_view = table in await database.view_names()
    return await database.table_columns(table) if is_view else []


def _told(
    datasette: Datasette, request: Request, paging: Paging, answer: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return what Datasette made, saying how it is sorted as the address does."""
    data, for_html, *rest = answer
    data["query"]["sql"] = paging.shown(data["query"]["sql"])
    text = data["human_description_en"].removesuffix(paging.done.text)
    data["human_description_en"] = f"{text}{paging.asked.text}"
    if data["next"]:
        data["next_url"] = _next_url(datasette, request, paging.asked, data["next"])

    async def told_for_html() -> dict[str, Any]:
        names = {"sort": None, "sort_desc": None, paging.asked.argument[1:]: paging.asked.column}
        return {**await for_html(), **names, "request": request}

    return data, told_for_html, *rest


def _next_url(datasette: Datasette, request: Request, sort: Sort, token: str) -> str:
    """Return the address of the next page."""
    arguments = {"_next": token, "_sort": None, "_sort_desc": None, sort.argument: sort.column}
    path = datasette.urls.path(path_with_replaced_args(request, arguments))
    url: str = datasette.absolute_url(request, path)
    return url
