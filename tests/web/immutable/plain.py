"""Datasette on databases that have nothing to do with Spack, with some of the general plugins."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from datasette.app import Datasette
from datasette.plugins import pm

from tests.web.conftest import opened


@contextmanager
def registered(*plugins: ModuleType) -> Iterator[None]:
    """Register plugins in this order, but for those that are already."""
    before = [plugin for plugin in plugins if pm.is_registered(plugin)]
    for plugin in plugins:
        if plugin not in before:
            pm.register(plugin)
    try:
        yield
    finally:
        for plugin in plugins:
            if plugin not in before:
                pm.unregister(plugin)


@contextmanager
def served(
    path: Path,
    *plugins: ModuleType,
    tables: Mapping[str, Any] | None = None,
    is_fixed: bool = True,
    **settings: object,
) -> Iterator[Datasette]:
    """Datasette on one file.

    Args:
        path: The database.
        plugins: Those that it needs, in the order of registration.
        tables: The metadata of its tables.
        is_fixed: Whether Datasette is told that the file cannot change.
        settings: Other settings than Datasette's own.
    """
    with (
        registered(*plugins),
        opened(
            [] if is_fixed else [str(path)],
            immutables=[str(path)] if is_fixed else [],
            metadata={"databases": {path.stem: {"tables": tables or {}}}},
            settings={"suggest_facets": False, **settings},
        ) as datasette,
    ):
        yield datasette


async def answer(datasette: Datasette, path: str) -> Any:
    """What JSON says of a page that exists."""
    response = await datasette.client.get(path.removeprefix("http://localhost"))
    assert response.status_code == 200, response.text
    return response.json()
