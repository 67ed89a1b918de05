"""A list of specs as one would search for it: what the search box says there.

package=hdf5&variants__arraycontains=+mpi&_runs_on=zen4     hdf5+mpi machine=zen4
"""

import json
import re
from collections.abc import Callable, Iterable

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

from web.spack.found import Pair, is_filter
from web.spack.known import Known, known_names
from web.spack.meaning import ALL, RELEASES, STACKS
from web.spack.names import DATABASE
from web.spack.runs_on import ARGUMENT as RUNS_ON
from web.spack.syntax import parse

WRITTEN: dict[str, str] = {
    "package": "{}",
    "version": "@={}",
    "hash__startswith": "/{}",
    "_search": " {}",
    "variants__arraycontains": " {}",
    "compiler": " %{}",
    "compiler_name": " %{}",
    "os": " os={}",
    "platform": " platform={}",
    "target": " target={}",
    RUNS_ON: " machine={}",
    STACKS: " stack={}",
    RELEASES: " release={}",
    # What follows a dependency is of it.
    "_needs": " {}",
}
"""How each filter is written in a search, in this order."""

HAS_BLANK = re.compile(r"\s")


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    request: Request | None, database: str, table: str | None, view_name: str, datasette: Datasette
) -> Callable[[], object]:
    """Give lists of specs their `q`."""

    async def variables() -> dict[str, str]:
        if request is None or (database, table, view_name) != (DATABASE, "specs", "table"):
            return {}
        pairs = [(key, value) for key in request.args for value in request.args.getlist(key)]
        return {"q": search_text(pairs, await known_names(datasette))}

    return variables


def search_text(pairs: Iterable[Pair], known: Known) -> str:
    """Return the search that leads to a list of specs; "" if a search cannot say all of it.

    Args:
        pairs: The arguments of the list's address.
        known: The names that the database knows.
    """
    said = [_said(*pair) for pair in pairs if is_filter(pair[0]) and pair[1]]
    if not said or None in said:
        return ""
    keys = list(WRITTEN)
    parts = [part for part in said if part]
    if not any(key == RELEASES for key, _ in parts):
        parts.append((RELEASES, ALL))
    parts = [part for part in parts if part != (RELEASES, known.current)]
    in_order = sorted(parts, key=lambda part: keys.index(part[0]))
    return "".join(WRITTEN[key].format(value) for key, value in in_order).strip()


def _said(key: str, value: str) -> Pair | None:
    """Return a filter as a search says it; None if that would be read as something else."""
    if key == "_through":
        return _value_said(value)
    if key not in WRITTEN or (key == "_search" and not parse(value).is_plain):
        return None
    if key == "variants__arraycontains":
        is_list = "," in value and "=" in value
        return key, value.replace("=", ":=", 1) if is_list else value
    if key == "compiler":
        return key, value.replace("@", "@=", 1)
    return None if HAS_BLANK.search(value) and not key.startswith("_") else (key, value)


def _value_said(through: str) -> Pair | None:
    """Return the filter for a value of a variant as a search says it."""
    try:
        sought = json.loads(through)
        table, value = sought["table"], str(sought["value"])
    except (ValueError, LookupError, TypeError):
        return None
    is_simple = table == "spec_variants" and not re.search(r"[\s,'\"]", value)
    return ("variants__arraycontains", value) if is_simple else None
