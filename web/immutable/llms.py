"""`/llms.txt`: what a program, or a language model, needs to know to use the API.

The form is that of https://llmstxt.org/. Tables, columns, canned queries and their parameters
come from Datasette's metadata, as do the examples:

    plugins:
      llms:
        database: mydb
        examples:
          - question: What was bought last?
            query: a_canned_query
            parameters: {shop: Leeds}
          - question: How many orders are there?
            sql: select count(*) from orders
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

HOW_TO_ASK = """
Every table, row and question is a page; with `.json` or `.csv` behind its path it is data.
Any origin may ask (CORS). Send no key.

- `{base}/TABLE.json?_shape=array&COLUMN=VALUE`: rows as objects, filtered. Other filters are
  `COLUMN__contains=`, `COLUMN__in=A,B`, `COLUMN__gt=`, and `COLUMN__arraycontains=` for columns
  that hold JSON arrays. `_size={most}` is the most rows of one answer; without `_shape` the
  answer has a `next_url` for the next rows.
- `{base}/TABLE.csv?_stream=on&_size=max`: all rows, without that limit.
- `{base}/TABLE/KEY.json`: one row.
- `{base}/QUESTION.json?_shape=array&PARAMETER=VALUE`: the answer to one of the questions below.
  A parameter that is left out takes its default. Without `_shape` the answer has `total`, and a
  `next_url` if there are more rows; `{base}/QUESTION.csv` has all rows.
- `{base}.json?_shape=array&sql=SELECT…&PARAMETER=VALUE`: SQLite's SQL, read-only, with
  `:PARAMETER` for values. An answer has at most {most} rows and takes at most {seconds:g} s.
- `{base}.db`: the whole database, a SQLite file.
"""


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the text."""
    return [(r"^/llms\.txt$", llms_txt)]


async def llms_txt(datasette: Datasette, request: Request) -> Response:
    """Answer with the text, as Markdown."""
    config = datasette.plugin_config("llms") or {}
    name = config.get("database") or next(iter(datasette.databases))
    base = datasette.absolute_url(request, datasette.urls.database(name))
    queries = await datasette.get_canned_queries(name, request.actor)
    lines = [
        *_introduction(datasette, base),
        *_examples(base, config.get("examples", [])),
        *_tables(base, datasette.metadata("tables", database=name) or {}),
        *_questions(base, queries, datasette.plugin_config("queries", database=name) or {}),
    ]
    return Response.text("\n".join(lines) + "\n")


def _introduction(datasette: Datasette, base: str) -> Iterator[str]:
    yield f"# {datasette.metadata('title') or base}"
    for about in ("description", "about"):
        if text := datasette.metadata(about):
            yield f"\n> {text}" if about == "description" else f"\n{text}"
    yield HOW_TO_ASK.format(
        base=base,
        most=datasette.setting("max_returned_rows"),
        seconds=datasette.setting("sql_time_limit_ms") / 1000,
    )


def _examples(base: str, examples: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Examples\n"
    for example in examples:
        yield f"- [{example['question']}]({base}{_example_path(example)})"


def _example_path(example: Mapping[str, Any]) -> str:
    parameters = {"_shape": "array", **example.get("parameters", {})}
    if sql := example.get("sql"):
        return f".json?{urlencode({**parameters, 'sql': sql})}"
    return f"/{example['query']}.json?{urlencode(parameters)}"


def _tables(base: str, tables: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Tables\n"
    for name, table in tables.items():
        yield f"- [{name}]({base}/{name}.json): {table.get('description', '')}"
        for column, description in table.get("columns", {}).items():
            yield f"  - `{column}`: {description}"


def _questions(
    base: str, queries: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> Iterator[str]:
    yield "\n## Questions\n"
    described = config.get("parameters", {})
    for name, query in queries.items():
        yield (
            f"- [{query.get('title', name)}]({base}/{name}.json?_shape=array): "
            f"{query.get('description', '')}"
        )
        for parameter in query.get("params", []):
            about = described.get(parameter, {})
            text = f"{about.get('label', parameter)}. {about.get('description', '')}".strip()
            yield f"  - `{parameter}`: {text}"
