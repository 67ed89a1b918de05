"""How stacks and packages grew over the releases, as lines and bars that need no JavaScript.

Templates find `stack_lines()`, each stack of the newest releases, `package_history(name)`, and
`current_release()`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database

from web.spack.names import CURRENT_RELEASE_SQL, DATABASE, RELEASES_SQL, STACK_COUNTS_SQL

MOST_RELEASES = 20
"""So many releases a line has."""

WIDTH, HEIGHT = 240, 32
"""Of a line, in units of its own: it is as wide as its place."""

KINDS_SQL = """
    select releases, version, count(*) from specs where package = ? group by releases, version
"""


class StackLine(NamedTuple):
    """How a stack grew.

    Attributes:
        stack: The stack.
        newest: The newest release that has it.
        specs: The number of its specs there.
        more: How many more than in the release before, or None where there is none.
        points: What `polyline` draws, the oldest release at the left.
        text: The numbers, newest first, for who cannot see the line.
    """

    stack: str
    newest: str
    specs: int
    more: int | None
    points: str
    text: str


class Lines(NamedTuple):
    """How all stacks grew: from the oldest release to the newest, and the stacks by name."""

    oldest: str
    newest: str
    stacks: Sequence[StackLine]


class Held(NamedTuple):
    """A package in a release.

    Attributes:
        release: The release.
        version: The newest version that it has there.
        specs: How many specs it has there.
        share: That in percent of where it has most.
    """

    release: str
    version: str
    specs: int
    share: float


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates the lines and the history."""

    async def lines() -> Lines:
        return await stack_lines(datasette.get_database(DATABASE))

    async def history(package: str) -> list[Held]:
        return await package_history(datasette.get_database(DATABASE), package)

    async def current() -> str:
        found = await datasette.get_database(DATABASE).execute_once(CURRENT_RELEASE_SQL)
        name: str = found.first()["name"] if found.rows else ""
        return name

    env.globals["stack_lines"] = lines
    env.globals["package_history"] = history
    env.globals["current_release"] = current


async def stack_lines(db: Database) -> Lines:
    """Return how each stack grew over the newest releases of Spack.

    A build cache that is no release of Spack has no place in a line.
    """
    rows = await db.execute_once(RELEASES_SQL)
    releases = [row["name"] for row in rows if row["kind"] != "mirror"][:MOST_RELEASES]
    counted: dict[str, dict[str, int]] = {}
    for release, stack, specs in await db.execute_once(STACK_COUNTS_SQL):
        if release in releases:
            counted.setdefault(stack, {})[release] = specs
    return Lines(
        oldest=releases[-1] if releases else "",
        newest=releases[0] if releases else "",
        stacks=[_line(stack, releases, counted[stack]) for stack in sorted(counted)],
    )


def _line(stack: str, releases: Sequence[str], specs: dict[str, int]) -> StackLine:
    held = [release for release in releases if release in specs]
    counts = [specs.get(release, 0) for release in releases]
    newest, before = held[0], held[1:2]
    return StackLine(
        stack=stack,
        newest=newest,
        specs=specs[newest],
        more=specs[newest] - specs[before[0]] if before else None,
        points=line(counts[::-1]),
        text=", ".join(f"{release} {specs[release]:,}" for release in held),
    )


def line(counts: Sequence[int]) -> str:
    """Return what `polyline` draws of numbers, from the left to the right, from zero up."""
    most = max(1, *counts)
    step = WIDTH / max(1, len(counts) - 1)
    points = [
        f"{place * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * count / most:.1f}"
        for place, count in enumerate(counts)
    ]
    # One point alone would be no line.
    return " ".join(points if len(points) > 1 else [*points, f"{WIDTH},{points[0].split(',')[1]}"])


async def package_history(db: Database, package: str) -> list[Held]:
    """Return a package's releases, newest first."""
    sql = "select releases, versions from packages where name = ?"
    row = (await db.execute(sql, [package])).first()
    if row is None:
        return []
    versions: list[str] = json.loads(row["versions"])
    rank = {version: place for place, version in enumerate(versions)}
    specs: Counter[str] = Counter()
    newest: dict[str, str] = {}
    for listed, version, count in await db.execute(KINDS_SQL, [package]):
        for release in json.loads(listed):
            specs[release] += count
            known = newest.get(release)
            if known is None or rank[version] < rank[known]:
                newest[release] = version
    most = max(specs.values(), default=1)
    return [
        Held(release, newest[release], specs[release], round(100 * specs[release] / most, 1))
        for release in json.loads(row["releases"])
    ]
