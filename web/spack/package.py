"""What a package's page says of its binaries: which versions, systems, compilers and variants.

It speaks of one release at a time, the current one unless another is asked for, and, where a
machine's target or an operating system is given, only of the binaries that run on it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from datasette.database import Database

from etl.spelling import variant_values
from web.spack.dependencies import PackageUser, users_of_package
from web.spack.names import CURRENT_RELEASE_SQL, LISTS_RELEASE, Count

ALL = "all"
"""What to ask for to see all releases at once."""

FACTS = ("version", "compiler", "os", "platform", "target")

CHOSEN = f"""
    from specs where package = :package
    and (:release = '' or {LISTS_RELEASE.format(":release")})
    and (:os = '' or os = :os)
    and (:machine = '' or target in (
        select runs from target_compatibility where target = :machine
    ))
"""

# A page has no room for more different ones, and an answer to SQL none for their names.
MOST_KINDS = 7_500
MOST_VALUES = 5_000
MOST_CELLS = 50_000
LONGEST_VALUE = 1_000

FACTS_SQL = f"""
    select {", ".join(FACTS)}, count(*) as specs, sum(count(*)) over () as all_specs {CHOSEN}
    group by {", ".join(FACTS)} limit {MOST_KINDS + 1}
"""

# Different arrays are unfolded, not those of all specs.
VALUES_SQL = f"""
    select substr(value, 1, {LONGEST_VALUE + 1}) as value, sum(specs) as specs
    from (select {{column}} as listed, count(*) as specs {CHOSEN} group by {{column}}),
        json_each(listed)
    group by json_each.value order by 2 desc, 1 limit {MOST_VALUES + 1}
"""

STACKS_SQL = f"""
    select stack, count(*) as specs
    from (select hash {CHOSEN}) cross join spec_stacks on spec_stacks.spec = hash
    where spec_stacks.release = :release
    group by stack order by 2 desc, 1 limit {MOST_VALUES + 1}
"""
"""The stacks of one release: the column `stacks` has those of all."""

MACHINES_SQL = """
    select name, coalesce(family, 'other') as family from targets where exists (
        select 1 from target_compatibility
        where target = name and runs in (select value from json_each(:targets))
    )
    order by family is null, family, name
"""


class System(NamedTuple):
    """What a binary was built for: an operating system and a CPU target."""

    os: str
    target: str


class Version(NamedTuple):
    """A version, and the number of its specs for each system that has any."""

    name: str
    specs: Counter[System]


class Difference(NamedTuple):
    """A variant that not all specs have alike.

    Attributes:
        name: The variant's name.
        values: Its values as specs list them, the most frequent first.
        without: How many specs do not have the variant.
    """

    name: str
    values: list[Count]
    without: int


class PackagePage(NamedTuple):
    """What is known of a package's binaries in a release.

    Attributes:
        name: The package.
        release: The release that is shown, or "all".
        lacking: The release that was to be shown but has no binary of the package, or "".
        os: The operating system that was asked for, or "".
        oses: The operating systems that any binary of the package was built for.
        releases: The releases with the package, newest first, and the number of its specs.
        machine: The target of the machine that was asked for, or "".
        machines: The targets that run some binary of the package, by family.
        num_specs: How many specs it speaks of.
        is_crowded: Whether they are of more kinds than a page has room for, and not shown.
        systems: The operating systems and targets they were built for.
        versions: Their versions, newest first.
        compilers: Their compilers, the most frequent first.
        stacks: The stacks that hold them in the release, the most frequent first.
        common: What all of them have in common, by column of `specs`; empty if there is one.
        differences: The variants in which they differ, by name.
        users: The packages whose binaries in the release depend directly on it.
    """

    name: str
    release: str
    lacking: str
    os: str
    oses: list[str]
    releases: list[Count]
    machine: str
    machines: dict[str, list[str]]
    num_specs: int
    is_crowded: bool
    systems: dict[str, list[str]]
    versions: list[Version]
    compilers: list[Count]
    stacks: list[Count]
    common: dict[str, list[str]]
    differences: list[Difference]
    users: Sequence[PackageUser]

    @property
    def in_release(self) -> dict[str, str]:
        """What finds the package's specs in the release."""
        release = {} if self.release == ALL else {"releases": self.release}
        return {"package": self.name} | release

    @property
    def filters(self) -> dict[str, str]:
        """What finds the specs that are shown."""
        chosen = self.in_release | ({"os": self.os} if self.os else {})
        if not self.machine or self.is_crowded:
            return chosen
        targets = sorted({target for targets in self.systems.values() for target in targets})
        return chosen | {"target__in": json.dumps(targets)}

    def asked(self, **changes: str) -> str:
        """Return the query string of this page, with another os, machine or release.

        What is "" is in it too: the page's address says what it is of.
        """
        pairs = {"os": self.os, "machine": self.machine, "release": self.release}
        return urlencode(pairs | changes)


Group = tuple[dict[str, str], int]
"""The facts that some specs have in common, and how many these are."""


async def package_page(
    db: Database, name: str, *, release: str, machine: str, os: str = ""
) -> PackagePage:
    """Return what is known of a package.

    Args:
        db: The database.
        name: A package that is in it.
        release: The release to speak of; "" for the current one, "all" for all of them. If it
            has no binary of the package, the newest one that has is spoken of.
        machine: The target of the machine that the binaries are to run on, or "" for any.
        os: The operating system that they are for, or "" for any.
    """
    row = (await db.execute("select * from packages where name = ?", [name])).first()
    held: list[str] = json.loads(row["releases"])
    wanted = release or await _current(db)
    shown = wanted if wanted in {ALL, *held} else held[0]
    everywhere = {"package": name, "release": "", "machine": "", "os": ""}
    chosen = everywhere | {"machine": machine, "os": os}
    chosen["release"] = "" if shown == ALL else shown
    found = (await db.execute(FACTS_SQL, chosen)).rows
    groups = [(dict(zip(FACTS, each, strict=False)), each["specs"]) for each in found]
    num_specs = found[0]["all_specs"] if found else 0
    variants = await _values(db, "variants", chosen)
    is_crowded = _is_crowded(groups, variants)
    if is_crowded:
        groups, variants = [], []
    return PackagePage(
        name=name,
        release=shown,
        lacking="" if shown == wanted else wanted,
        os=os,
        oses=json.loads(row["oses"]),
        releases=_in_order(held, await _values(db, "releases", everywhere)),
        machine=machine,
        machines=await _machines(db, row["targets"]),
        num_specs=num_specs,
        is_crowded=is_crowded,
        systems=_systems(groups),
        versions=_versions(json.loads(row["versions"]), groups),
        compilers=_most_frequent(_column(groups, "compiler")),
        stacks=await _stacks(db, chosen),
        common=_common(groups, variants) if num_specs > 1 else {},
        differences=_differences(variants, num_specs),
        users=await users_of_package(db, name, chosen["release"]),
    )


async def _current(db: Database) -> str:
    release: str = (await db.execute_once(CURRENT_RELEASE_SQL)).first()["name"]
    return release


async def _values(db: Database, column: str, chosen: dict[str, str]) -> list[Count]:
    """Return the elements of the arrays in a column, the most frequent first."""
    return [Count(*row) for row in await db.execute(VALUES_SQL.format(column=column), chosen)]


async def _stacks(db: Database, chosen: dict[str, str]) -> list[Count]:
    """Return the stacks that hold the specs in the release, or in any if none is chosen."""
    if not chosen["release"]:
        return await _values(db, "stacks", chosen)
    return [Count(*row) for row in await db.execute(STACKS_SQL, chosen)]


def _is_crowded(groups: Sequence[Group], variants: Sequence[Count]) -> bool:
    versions = {facts["version"] for facts, _ in groups}
    systems = {_system(facts) for facts, _ in groups}
    return (
        len(groups) > MOST_KINDS
        or len(variants) > MOST_VALUES
        or len(versions) * len(systems) > MOST_CELLS
        or any(len(variant.value) > LONGEST_VALUE for variant in variants)
    )


async def _machines(db: Database, targets: str) -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name, family in await db.execute(MACHINES_SQL, {"targets": targets}):
        families.setdefault(family, []).append(name)
    return families


def _in_order(names: Iterable[str], counts: Iterable[Count]) -> list[Count]:
    specs = dict(counts)
    return [Count(name, specs[name]) for name in names]


def _column(groups: Iterable[Group], column: str) -> Counter[str]:
    counter: Counter[str] = Counter()
    for facts, specs in groups:
        counter[facts[column]] += specs
    return counter


def _systems(groups: Iterable[Group]) -> dict[str, list[str]]:
    systems: dict[str, list[str]] = {}
    for os, target in sorted({_system(facts) for facts, _ in groups}):
        systems.setdefault(os, []).append(target)
    return systems


def _system(facts: dict[str, str]) -> System:
    return System(facts["os"], facts["target"])


def _versions(newest_first: Iterable[str], groups: Iterable[Group]) -> list[Version]:
    versions = {name: Version(name, Counter()) for name in newest_first}
    for facts, specs in groups:
        versions[facts["version"]].specs[_system(facts)] += specs
    return [version for version in versions.values() if version.specs]


def _most_frequent(counter: Counter[str]) -> list[Count]:
    return [Count(*item) for item in sorted(counter.items(), key=lambda item: (-item[1], item[0]))]


def _common(groups: Sequence[Group], variants: Iterable[Count]) -> dict[str, list[str]]:
    specs = sum(count for _, count in groups)
    columns = {column: list(_column(groups, column)) for column in FACTS}
    columns = {column: values for column, values in columns.items() if len(values) == 1}
    shared = sorted(variant for variant, count in variants if count == specs)
    return columns | ({"variants": shared} if shared else {})


def _differences(variants: Iterable[Count], num_specs: int) -> list[Difference]:
    by_name: dict[str, Counter[str]] = {}
    for variant, specs in variants:
        if specs < num_specs:
            by_name.setdefault(variant_values(variant)[0].name, Counter())[variant] = specs
    return [
        Difference(name, _most_frequent(values), max(0, num_specs - values.total()))
        for name, values in sorted(by_name.items())
    ]
