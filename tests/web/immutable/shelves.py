"""A database for tests that stands for any other, and how it is asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from datasette.app import Datasette

from tests.web.conftest import ROOT, opened

FILE_BYTES = 16_000_000
"""Larger than all that two ends of a connection and the system between them put aside."""

FILL = "with recursive n(i) as (select 1 union all select i + 1 from n limit 2500)"


def make_shelf(file: Path) -> Path:
    """A database of 2,500 books, views that fail or never end at row 1,500, and many bytes."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table books (id integer primary key, title text)")
        database.execute(f"{FILL} insert into books select i, 'Book ' || i from n")
        database.execute(
            "create view torn as select id, json(iif(id = 1500, 'torn', '[]')) as page from books"
        )
        database.execute(
            "create view slow as select id, iif(id = 1500, (with recursive n(i) as (select id "
            "union all select i + 1 from n limit 1000000000) select count(*) from n), 0) as pages "
            "from books"
        )
        database.execute("create table bytes (b)")
        database.execute("insert into bytes values (zeroblob(?))", (FILE_BYTES,))
    return file


@contextmanager
def open_shelf(file: Path, **settings: int) -> Iterator[Datasette]:
    """Datasette on it, with all plugins."""
    with opened(
        immutables=[str(file)],
        plugins_dir=str(ROOT / "web" / "plugins"),
        cors=True,
        settings={"suggest_facets": False, **settings},
    ) as datasette:
        yield datasette


class Sent(NamedTuple):
    """What an application sent.

    Attributes:
        status: HTTP's.
        headers: by name.
        bodies: the parts of the body, as they were sent.
        is_complete: whether the body has its end.
    """

    status: int
    headers: dict[str, str]
    bodies: list[bytes]
    is_complete: bool


async def ask(datasette: Datasette, address: str, **headers: str) -> Sent:
    """Ask the application itself, whose answer need not be complete."""
    path, _, query = address.partition("?")
    messages: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": headers.pop("method", "GET"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }
    await datasette.app()(scope, receive, send)
    start, *rest = messages
    return Sent(
        start["status"],
        {bytes(name).decode().lower(): bytes(value).decode() for name, value in start["headers"]},
        [message.get("body", b"") for message in rest],
        bool(rest) and not rest[-1].get("more_body", False),
    )
