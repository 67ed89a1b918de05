"""What a list of specs says of what it leaves out: other releases, and what would be found instead.

A list of one release says how many more there are in others. A list without rows says which filter
to drop and what that gives, what runs on the machine where nothing is built for exactly its target,
for which systems there is some, and which names are spelled alike. Templates call
`list_advice(request)`; where a filter's rows cannot be told in time there is none.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.filters import Filters
from datasette.utils.asgi import Request
from pyroaring import BitMap

from web.spack.found import (
    Pair,
    UntellableError,
    all_rows,
    having_all,
    is_filter,
    rows_by_value,
    rows_of_pairs,
)
from web.spack.known import Known, known_names
from web.spack.meaning import RELEASES, STACKS
from web.spack.names import DATABASE
from web.spack.not_found import close
from web.spack.runs_on import ARGUMENT as RUNS_ON
from web.spack.runs_on import rows_running_on

MOST = 6
"""How many systems, and spellings, are named at most."""

NOT_KEPT = ("_next", "_size")

Rows = Mapping[Pair, BitMap]


class Way(NamedTuple):
    """Another list.

    Attributes:
        text: What it is, such as `without os = rhel8`.
        specs: How many specs it has.
        url: Its address.
    """

    text: str
    specs: int
    url: str


class Advice(NamedTuple):
    """What a list says of what it leaves out.

    Attributes:
        is_empty: Whether it has no rows.
        current: The newest release.
        newer: The same list in the newest release, where it is of another; else None.
        all_releases: The same list of all releases, where it is of one; else None.
        more: How many specs that has more.
        target: The target for which nothing is built exactly, or "".
        running: What runs on a machine of that target, or None.
        without: The list without one of its filters, the most first.
        systems: The list on other systems, the likest first.
        targets: The list on other targets.
        alike: Lists with a name in place of one that nobody knows.
        number: How many filters there are.
    """

    is_empty: bool
    current: str
    newer: Way | None
    all_releases: Way | None
    more: int
    target: str
    running: Way | None
    without: Sequence[Way]
    systems: Sequence[Way]
    targets: Sequence[Way]
    alike: Sequence[Way]
    number: int


class Listed(NamedTuple):
    """A list of specs.

    Attributes:
        path: The address of the table.
        pairs: The arguments of its address.
        rows_of: What each filter finds by itself.
        every: The rows of all specs.
        known: The names that the database knows.
    """

    path: str
    pairs: Sequence[Pair]
    rows_of: Rows
    every: BitMap
    known: Known

    def rows(self, *without: str, plus: BitMap | None = None) -> BitMap:
        """Return the rows of the list without the filters of some names, and in others."""
        left = [rows for (key, _), rows in self.rows_of.items() if key not in without]
        return having_all(left if plus is None else [*left, plus], self.every)

    def way(self, text: str, rows: BitMap, drop: Iterable[str], *add: Pair) -> Way:
        """Return the list with other filters."""
        dropped = {*drop, *NOT_KEPT}
        pairs = [pair for pair in self.pairs if pair[0] not in dropped]
        return Way(text, len(rows), f"{self.path}?{urlencode([*pairs, *add])}")

    def values(self, key: str) -> list[str]:
        """Return the values of a filter."""
        return [value for (name, value) in self.rows_of if name == key]


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates `list_advice(request)`."""

    async def list_advice(request: Request) -> Advice | None:
        return await advice(datasette, parse_qsl(request.query_string, keep_blank_values=True))

    env.globals["list_advice"] = list_advice


async def advice(datasette: Datasette, pairs: Sequence[Pair]) -> Advice | None:
    """Return what a list of specs says of what it leaves out; None if that cannot be told.

    Args:
        datasette: Where it is served.
        pairs: The arguments of its address.
    """
    if not any(is_filter(key) for key, _ in pairs):
        return None
    try:
        rows_of = await rows_of_pairs(datasette, pairs)
        every = await all_rows(datasette)
    except UntellableError:
        return None
    known = await known_names(datasette)
    path = str(datasette.urls.table(DATABASE, "specs"))
    listed = Listed(path, pairs, rows_of, every, known)
    rows = listed.rows()
    is_empty = not rows
    in_all = listed.rows(RELEASES)
    is_of_one = len(listed.values(RELEASES)) == 1 and len(known.releases) > 1
    target, running = await _running(datasette, listed)
    return Advice(
        is_empty=is_empty,
        current=known.current,
        newer=await _newer(datasette, listed) if is_of_one else None,
        all_releases=listed.way("all releases", in_all, [RELEASES]) if is_of_one else None,
        more=len(in_all) - len(rows),
        target=target,
        running=running,
        without=_without(listed) if is_empty else [],
        systems=await _elsewhere(datasette, listed, "os") if is_empty else [],
        targets=await _elsewhere(datasette, listed, "target") if is_empty else [],
        alike=await _alike(datasette, listed) if is_empty else [],
        number=len(rows_of),
    )


async def _newer(datasette: Datasette, listed: Listed) -> Way | None:
    """Return the same list in the newest release, with nothing in it or not."""
    current = (RELEASES, listed.known.current)
    if listed.values(RELEASES) == [listed.known.current]:
        return None
    held = await rows_of_pairs(datasette, [current])
    rows = listed.rows(RELEASES, plus=held[current])
    return listed.way(listed.known.current, rows, [RELEASES], current)


async def _running(datasette: Datasette, listed: Listed) -> tuple[str, Way | None]:
    """Return what runs on a machine, where nothing is built for exactly its target.

    In the newest release, if the list is of an older one.
    """
    targets = listed.values("target")
    if len(targets) != 1 or listed.known.named("targets", targets[0]) is None:
        return "", None
    of_release = [(RELEASES, listed.known.current)] if listed.values(RELEASES) else []
    held = await rows_of_pairs(datasette, of_release)
    others = listed.rows("target", RELEASES)
    in_release = having_all(held.values(), others)
    if in_release & listed.rows_of["target", targets[0]]:
        return "", None
    rows = in_release & await rows_running_on(datasette, targets[0])
    way = listed.way("", rows, ["target", RELEASES], *of_release, (RUNS_ON, targets[0]))
    return targets[0], way if rows else None


def _without(listed: Listed) -> Sequence[Way]:
    """Return the lists without one of the filters that have rows, or else in all releases so."""
    for release in ((), (RELEASES,)):
        ways = [
            Way(f"without {_said(pair)}", len(rows), _url(listed, pair, release))
            for pair in listed.rows_of
            if pair[0] not in release and pair[0] != "package"
            if (rows := _rows_without(listed, pair, release))
        ]
        if ways:
            return sorted(ways, key=lambda way: -way.specs)
    return []


def _rows_without(listed: Listed, pair: Pair, release: Sequence[str]) -> BitMap:
    left = [
        rows for each, rows in listed.rows_of.items() if each != pair and each[0] not in release
    ]
    return having_all(left, listed.every) if left else BitMap()


def _url(listed: Listed, pair: Pair, release: Sequence[str]) -> str:
    left = [each for each in listed.pairs if each != pair and each[0] not in (*release, *NOT_KEPT)]
    return f"{listed.path}?{urlencode(left)}"


def _said(pair: Pair) -> str:
    """Return a filter in few words."""
    key, value = pair
    match key:
        case "variants__arraycontains":
            return value
        case "_through":
            return re.sub(r'.*"value": "(.*)".*', r"\1", value)
        case "_needs":
            return value
        case _ if key == RUNS_ON:
            return f"“runs on {value}”"
        case _ if key == RELEASES:
            return f"release={value}"
        case _ if key == STACKS:
            return f"stack={value}"
        case "_search":
            return f"“{value}”"
        case _ if key.endswith("__in"):
            return key.removesuffix("__in").replace("_", " ")
    if "__" in key:
        return str(Filters([pair]).human_description_en()).removeprefix("where ")
    return f"{key}={value}"


async def _elsewhere(datasette: Datasette, listed: Listed, column: str) -> Sequence[Way]:
    """Return the list for other values of `os` or `target`, the likest first."""
    dropped = [column] if column == "os" else [column, RUNS_ON]
    if not any(key in dropped for key, _ in listed.rows_of):
        return []
    rows = listed.rows(*dropped)
    rows_of = await rows_by_value(datasette, "column", column)
    ways = [
        listed.way(value, found, dropped, (column, value))
        for value, having in rows_of.items()
        if (found := rows & having)
    ]
    asked = next(value for key in dropped for value in [*listed.values(key), ""] if value)
    return sorted(ways, key=lambda way: (_family(way.text) != _family(asked), -way.specs))[:MOST]


def _family(name: str) -> str:
    """Return what the names of alike systems begin with: `ubuntu` of `ubuntu22.04`."""
    return re.split(r"[\d_]", name, maxsplit=1)[0].lower()


async def _alike(datasette: Datasette, listed: Listed) -> Sequence[Way]:
    """Return lists with another name in place of one that no spec has."""
    ways = []
    for pair, names in _unknown(listed):
        key, value = pair
        for name in await asyncio.to_thread(close, value, names):
            pairs = [(key, name) if each == pair else each for each in listed.pairs]
            rows_of = await rows_of_pairs(datasette, pairs)
            rows = having_all(rows_of.values(), listed.every)
            ways.append(Way(name, len(rows), f"{listed.path}?{urlencode(pairs)}"))
    return ([way for way in ways if way.specs] or ways)[:MOST]


def _unknown(listed: Listed) -> Iterable[tuple[Pair, Iterable[str]]]:
    """Return the filters by a name that nobody knows, and what is known in its place."""
    known = listed.known
    kinds = {
        "package": known.packages,
        "os": known.oses,
        "target": known.targets,
        RUNS_ON: known.targets,
        STACKS: known.stacks,
        RELEASES: known.releases,
        "compiler_name": known.compilers,
        "variants__arraycontains": known.variants,
    }
    for pair, rows in listed.rows_of.items():
        names = kinds.get(pair[0], {})
        if not rows and pair[1] not in names:
            yield pair, list(names)
