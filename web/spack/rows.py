"""The pages of rows that say more than the row has: packages, specs, stacks, releases, nodes."""

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import urlsafe_components
from datasette.utils.asgi import NotFound, Request

from web.spack.dependencies import dependencies_of
from web.spack.names import DATABASE
from web.spack.package import package_page
from web.spack.release import release_page
from web.spack.spec import spec_page
from web.spack.stack import stack_page


async def _package(db: Database, key: str, request: Request) -> object:
    names = ("release", "machine", "os")
    release, machine, os = ((request.args.get(name) or "").strip() for name in names)
    return await package_page(db, key, release=release, machine=machine, os=os)


async def _spec(db: Database, key: str, _: Request) -> object:
    return await spec_page(db, key)


async def _stack(db: Database, key: str, request: Request) -> object:
    return await stack_page(db, key, release=request.args.get("release") or "")


async def _release(db: Database, key: str, _: Request) -> object:
    return await release_page(db, key)


async def _node(db: Database, key: str, _: Request) -> object:
    return await dependencies_of(db, key)


PAGES: dict[str, Callable[[Database, str, Request], Awaitable[object]]] = {
    "packages": _package,
    "specs": _spec,
    "stacks": _stack,
    "releases": _release,
    "nodes": _node,
}
"""What makes the page of a row, by table; its template knows it as the table's singular."""


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    database: str | None, table: str | None, view_name: str, request: Request, datasette: Datasette
) -> dict[str, Any] | Callable[[], Awaitable[dict[str, Any]]]:
    """Give the page of a row what is known of it."""
    if view_name != "row" or database != DATABASE or table not in PAGES:
        return {}

    async def variables() -> dict[str, Any]:
        # Datasette takes the first part of a key for the row, however many there are.
        key, *others = urlsafe_components(request.url_vars["pks"])
        if others:
            raise NotFound("Record not found")
        page = PAGES[table]
        return {table.removesuffix("s"): await page(datasette.get_database(DATABASE), key, request)}

    return variables
