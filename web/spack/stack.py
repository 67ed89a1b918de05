"""What a stack's page says beside its row: how it grew, and what it holds in a release."""

import json
from typing import NamedTuple

from datasette.database import Database

from web.spack.names import RELEASES_SQL, STACK_COUNTS_SQL, Count

PACKAGES_SQL = """
    select package, count(*) from spec_stacks join specs on hash = spec_stacks.spec
    where stack = :stack and release = :release group by package order by package
"""


INDEXES_SQL = """
    select 1 from sources where stack = :stack and "release" = :release and kind = 'index' limit 1
"""


class StackPage(NamedTuple):
    """What is known of a stack.

    Attributes:
        name: Its name.
        release: The release whose packages are shown.
        lacking: The release that was to be shown but does not have the stack, or "".
        packages: The stack's packages in that release.
        growth: The releases that have the stack, newest first.
        has_index: Whether an index tells of it in the release, and so of dependencies.
    """

    name: str
    release: str
    lacking: str
    packages: list[Count]
    growth: list[Count]
    has_index: bool

    @property
    def num_specs(self) -> int:
        """How many specs the stack holds in the release."""
        return sum(package.specs for package in self.packages)

    @property
    def most(self) -> int:
        """The number of specs of the stack where it is largest; at least 1, to divide by."""
        return max(1, *(release.specs for release in self.growth))


async def stack_page(db: Database, name: str, *, release: str) -> StackPage:
    """Return what is known of a stack.

    Args:
        db: The database.
        name: A stack that is in it.
        release: The release to speak of, or "" for the current one. If it does not have the
            stack, the newest one that has is spoken of.
    """
    counted = await db.execute_once(STACK_COUNTS_SQL)
    specs = {one: number for one, stack, number in counted if stack == name}
    releases = [row["name"] for row in await db.execute_once(RELEASES_SQL)]
    # A release can have the stack, and the stack no binary there.
    having = (await db.execute("select releases from stacks where name = ?", [name])).single_value()
    growth = [Count(one, specs.get(one, 0)) for one in json.loads(having)]
    wanted = release or releases[0]
    held = [count.value for count in growth]
    shown = wanted if wanted in held else held[0]
    place = {"stack": name, "release": shown}
    packages = await db.execute(PACKAGES_SQL, place)
    indexes = await db.execute(INDEXES_SQL, place)
    return StackPage(
        name=name,
        release=shown,
        lacking="" if shown == wanted else wanted,
        packages=[Count(*row) for row in packages],
        growth=growth,
        has_index=bool(indexes.rows),
    )
