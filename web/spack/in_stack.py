"""The specs that a stack holds in one release: `_in_stack=e4s@develop` filters the table of specs.

The columns `stacks` and `releases` are two lists: a spec can be in a stack in one release only, and
in another release outside of it. So both filters together find more than the stack holds.
"""

from collections.abc import Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

from web.immutable.plugin_filters import PluginFilter, PluginFilters
from web.spack.held import rows_held
from web.spack.names import DATABASE, IN_STACK, STACK_COUNTS_SQL
from web.spack.needs import MeaninglessError

RELEASES_OF_STACKS_SQL = """
    select value, name from stacks, json_each(releases)
"""
"""Stacks that have no binary in a release are listed there too."""


@hookimpl  # type: ignore[untyped-decorator]
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Callable[[], Any] | None:
    """Filter the table of specs by `_in_stack`."""
    texts = [text for text in request.args.getlist(IN_STACK) if text]
    if database != DATABASE or table != "specs" or not texts:
        return None

    async def filters() -> PluginFilters:
        return PluginFilters([await _filter(datasette, *each) for each in enumerate(texts)])

    return filters


async def _filter(datasette: Datasette, number: int, text: str) -> PluginFilter:
    release, stack = await _release_and_stack(datasette, text)
    db = datasette.get_database(DATABASE)
    rows = await db.execute_fn(lambda connection: rows_held(datasette, connection, release, stack))
    name = f"in_stack{number}"
    clause = f"""specs.hash in (
        select spec from spec_stacks
        where stack = substr(:{name}, 1, {len(stack)})
            and "release" = substr(:{name}, {len(stack) + 2})
    )"""
    words = f"in the stack {stack} of {release}"
    return PluginFilter((IN_STACK, text), words, clause, name, f"{stack}@{release}", rows)


async def _release_and_stack(datasette: Datasette, text: str) -> tuple[str, str]:
    """Return the release and the stack that a text names.

    Raises:
        MeaninglessError: it names none.
    """
    db = datasette.get_database(DATABASE)
    # Both kinds of names can have an @ in them.
    for release, stack, *_ in [
        *await db.execute_once(STACK_COUNTS_SQL),
        *await db.execute_once(RELEASES_OF_STACKS_SQL),
    ]:
        if text.strip() == f"{stack}@{release}":
            return release, stack
    raise MeaninglessError(
        f"{IN_STACK} takes a stack and a release that has it, such as e4s@develop, not “{text}”."
    )
