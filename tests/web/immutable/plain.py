"""Datasette on databases that have nothing to do with Spack, with some of the general plugins."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.plugins import pm

from tests.web.conftest import opened


@contextmanager
def registered(*plugins: object) -> Iterator[None]:
    """Have these plugins registered, in this order, and no other of the project's."""
    aside = [plugin for name, plugin in pm.list_name_plugin() if plugin and name.startswith("web.")]
    for plugin in aside:
        pm.unregister(plugin)
    for plugin in plugins:
        pm.register(plugin)
    try:
        yield
    finally:
        for plugin in plugins:
            pm.unregister(plugin)
        for plugin in aside:
            pm.register(plugin)


@contextmanager
def served(
    path: Path,
    *plugins: object,
    tables: Mapping[str, Any] | None = None,
    queries: Mapping[str, str] | None = None,
    is_fixed: bool = True,
    **settings: object,
) -> Iterator[Datasette]:
    """Datasette on one file.

    Args:
        path: The database.
        plugins: Those that it needs, in the order of registration.
        tables: The metadata of its tables.
        queries: Its own queries.
        is_fixed: Whether Datasette is told that the file cannot change.
        settings: Other settings than Datasette's own.
    """
    with (
        registered(*plugins),
        opened(
            [] if is_fixed else [str(path)],
            immutables=[str(path)] if is_fixed else [],
            metadata={"databases": {path.stem: {"tables": tables or {}, "queries": queries or {}}}},
            settings={"suggest_facets": False, **settings},
        ) as datasette,
    ):
        yield datasette


async def answer(datasette: Datasette, path: str) -> Any:
    """What JSON says of a page that exists."""
    response = await datasette.client.get(path.removeprefix("http://localhost"))
    assert response.status_code == 200, response.text
    return response.json()
