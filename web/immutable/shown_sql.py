"""SQL of a table page, as it is shown, that runs in any SQLite.

Datasette searches with a function of its own, `escape_fts`, which no other program has. What it
makes of the words is shown as the parameter instead.

This depends on that function's calls in Datasette's SQL, `escape_fts(:search)` and such.
"""

import functools
from collections.abc import Mapping
from typing import Any

from datasette import hookimpl
from datasette.utils import escape_fts
from datasette.utils.asgi import Response

from web.immutable import table_page
from web.immutable.table_page import Data


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Stand around Datasette's table page."""
    table_page.wrap_data(_showing)


def _showing(data: Data) -> Data:
    @functools.wraps(data)
    async def showing(*arguments: Any, **options: Any) -> Any:
        answer = await data(*arguments, **options)
        # A query of the site's own, which can have the place of a table, is shown as it is.
        if not isinstance(answer, Response) and "facet_results" in answer[0]:
            answer[0]["query"] = _for_any_sqlite(**answer[0]["query"])
        return answer

    return showing


def _for_any_sqlite(sql: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query that finds the same without Datasette's function."""
    shown = dict(params)
    for name, words in params.items():
        call = f"escape_fts(:{name})"
        if call in sql:
            sql = sql.replace(call, f":{name}")
            shown[name] = escape_fts(words)
    return {"sql": sql, "params": shown}
