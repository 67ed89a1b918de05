"""What a release's page says beside its row: its stacks, and what changed since the one before."""

import sqlite3
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from datasette.database import Database

from etl.order import newest_first
from web.spack.names import CURRENT_RELEASE_SQL, LISTS_RELEASE, STACK_COUNTS_SQL, Count

# develop and its snapshots are one row of releases, the versions another; any other build cache
# has nothing before or after it.
NEIGHBOURS_SQL = """
    with one as (select kind from releases where name = :release)
    select name from releases
    where name = :release or kind <> 'mirror'
        and (select kind <> 'mirror' from one)
        and (kind = 'version') = (select kind = 'version' from one)
    order by position
"""

PACKAGES_SQL = f"""
    select name from packages where {LISTS_RELEASE.format(":one")}
    and not {LISTS_RELEASE.format(":other")} order by name
"""

# Without bitmaps, whose function is NULL then, the specs are counted one by one.
MORE_SPECS_SQL = """
    select coalesce(
        bitmap_count(
            'specs', 'releases', 'arraycontains', :one, 'releases', 'arraynotcontains', :other
        ),
        (
            select count(*) from (
                select spec from spec_releases where release = :one
                except select spec from spec_releases where release = :other
            )
        )
    )
"""

VERSIONS_SQL = """
    select distinct package, version
    from spec_releases join specs on hash = spec_releases.spec where release = :{}
"""
NEW_VERSIONS_SQL = f"{VERSIONS_SQL.format('release')} except {VERSIONS_SQL.format('before')}"

# Of a release that has most specs, one spec of each version that the other lacks is soon found.
MANY_SPECS = 50_000
NEW_VERSIONS_AMONG_MANY_SQL = f"""
    with old as ({VERSIONS_SQL.format("before")})
    select name as package, value as version from packages, json_each(versions)
    where (name, value) not in old and exists (
        select 1 from specs join spec_releases on spec_releases.spec = hash
        where package = name and version = value and release = :release
    )
"""

MOST_VERSIONS = 1_000
"""So many new versions are listed on the page of a release."""

FIRST_SQL = """
    select package, version, count(*) over () as number from ({}) order by package limit :most
"""


class Changes(NamedTuple):
    """What a release has and another does not, and the other way around.

    Attributes:
        before: The release before.
        added_specs: How many specs are new.
        removed_specs: How many specs are gone.
        added_packages: The packages that are new, sorted.
        removed_packages: The packages that are gone, sorted.
        new_versions: Packages and versions of which the release before has no spec, by package
            and newest first; the first ones.
        num_new_versions: How many there are.
    """

    before: str
    added_specs: int
    removed_specs: int
    added_packages: list[str]
    removed_packages: list[str]
    new_versions: list[tuple[str, str]]
    num_new_versions: int


class ReleasePage(NamedTuple):
    """What is known of a release.

    Attributes:
        name: Its name.
        kind: develop, snapshot, version, or mirror (any other build cache).
        date: Of a snapshot (ISO 8601), or None.
        num_packages: How many packages it has.
        num_specs: How many specs it has.
        mirror: The address or folder of its build cache.
        layout: The layout of its build cache, or None where nothing tells.
        current: The current release if it is another one, or "".
        stacks: Its stacks, the largest first.
        newer: The release after it, or "".
        changes: What changed since the one before, or None for the first.
    """

    name: str
    kind: str
    date: str | None
    num_packages: int
    num_specs: int
    mirror: str
    layout: int | None
    current: str
    stacks: list[Count]
    newer: str
    changes: Changes | None


async def release_page(db: Database, name: str) -> ReleasePage:
    """Return what is known of a release, which must be in the database."""
    release = {"release": name}
    row = (await db.execute("select * from releases where name = :release", release)).first()
    current = (await db.execute_once(CURRENT_RELEASE_SQL)).first()["name"]
    line = [other for (other,) in await db.execute(NEIGHBOURS_SQL, release)]
    place = line.index(name)
    before = line[place + 1 :]
    return ReleasePage(
        name=name,
        kind=row["kind"],
        date=row["date"],
        num_packages=row["num_packages"],
        num_specs=row["num_specs"],
        mirror=row["mirror"],
        layout=row["layout"],
        current="" if current == name else current,
        stacks=await stacks(db, name),
        newer=line[place - 1] if place else "",
        changes=await changes(db, row, before[0]) if before else None,
    )


async def stacks(db: Database, release: str) -> list[Count]:
    """Return the stacks of a release, the largest first."""
    counted = await db.execute_once(STACK_COUNTS_SQL)
    found = [Count(stack, specs) for one, stack, specs in counted if one == release]
    return sorted(found, key=lambda stack: (-stack.specs, stack.value))


async def changes(db: Database, release: sqlite3.Row, before: str) -> Changes:
    """Return what a release, a row of `releases`, has that another has not, and the reverse."""
    name = release["name"]
    versions = await _new_versions(db, release, before)
    return Changes(
        before=before,
        added_specs=await _more_specs(db, name, before),
        removed_specs=await _more_specs(db, before, name),
        added_packages=await _more_packages(db, name, before),
        removed_packages=await _more_packages(db, before, name),
        new_versions=[
            (package, version)
            for package, rows in groupby(versions, key=itemgetter("package"))
            for version in newest_first(row["version"] for row in rows)
        ],
        num_new_versions=versions[0]["number"] if versions else 0,
    )


async def _new_versions(db: Database, release: sqlite3.Row, before: str) -> list[sqlite3.Row]:
    sql = NEW_VERSIONS_SQL if release["num_specs"] < MANY_SPECS else NEW_VERSIONS_AMONG_MANY_SQL
    values = {"release": release["name"], "before": before, "most": MOST_VERSIONS}
    return list(await db.execute(FIRST_SQL.format(sql), values))


async def _more_specs(db: Database, one: str, other: str) -> int:
    counted = await db.execute(MORE_SPECS_SQL, {"one": one, "other": other})
    specs: int = counted.single_value()
    return specs


async def _more_packages(db: Database, one: str, other: str) -> list[str]:
    return [name for (name,) in await db.execute(PACKAGES_SQL, {"one": one, "other": other})]
