"""Which packages have a binary that runs on a system, and which have none: what pages say of it.

A system is an operating system and the CPU target of a machine, in a release.
"""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pyroaring import BitMap

from web.spack.inventory import Inventory, Stacks
from web.spack.names import Count, Places
from web.spack.not_found import close

LONGEST_WORD = 250
"""No name has more characters, nor what is looked for in one."""


class Chosen(NamedTuple):
    """A system, as somebody asks for it.

    Attributes:
        os: The operating system, or "" for any.
        machine: The CPU target of the machine, or "" for any.
        release: The release; "" where it is not said, which means the newest.
    """

    os: str
    machine: str
    release: str

    @property
    def name(self) -> str:
        """What it is called: `rhel8 and zen4`."""
        return " and ".join(filter(None, (self.os, self.machine)))

    def pairs(self, **changes: str) -> dict[str, str]:
        """Return what an address says of it, with some of it changed."""
        return {key: value for key, value in (self._asdict() | changes).items() if value}

    def specs(self, places: Places, **filters: str) -> str:
        """Return the address of the specs that run there, and are as filters say."""
        os = {"os": self.os} if self.os else {}
        machine = {"_runs_on": self.machine} if self.machine else {}
        return places.specs(**filters, **os, **machine, releases=self.release)


class Unknown(NamedTuple):
    """A name that nothing here has.

    Attributes:
        kind: What it should be of: operating system, CPU target, release or stack.
        name: The name.
        like: Names that may have been meant.
        known: All names there are.
    """

    kind: str
    name: str
    like: Sequence[str]
    known: Sequence[str]

    @property
    def message(self) -> str:
        """What is wrong, for a person."""
        *others, last = ["", *self.like]
        listed = f"{', '.join(others[1:])} or {last}" if others[1:] else last
        meant = f" Did you mean {listed}?" if last else ""
        return f"No {self.kind} that is known here is called “{self.name}”.{meant}"


class UnknownNameError(Exception):
    """Somebody asks for what there is not; its `unknown` says what."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.message)
        self.unknown = unknown


class Target(NamedTuple):
    """What binaries were built for.

    Attributes:
        name: The target.
        specs: How many of the system and release were built for it.
        runs: Whether they run on the machine that is asked for.
    """

    name: str
    specs: int
    runs: bool


class OfStack(NamedTuple):
    """A stack: how many packages it has in the release, and how many of them have a binary."""

    name: str
    have: int
    packages: int


class Having(NamedTuple):
    """A package that has a binary: its newest version among them, and their number."""

    package: str
    version: str
    specs: int


class System(NamedTuple):
    """One operating system of a release, in a list of them.

    Attributes:
        os: Its name.
        packages: How many packages have a binary that runs there.
        specs: How many binaries that is.
        targets: What its binaries were built for, most of them first.
    """

    os: str
    packages: int
    specs: int
    targets: Sequence[Target]


class SystemsPage(NamedTuple):
    """The operating systems of a release.

    Attributes:
        chosen: What was asked for.
        num_packages: How many packages the release has.
        num_have: How many of them have a binary for one of these systems.
        systems: The systems, with the most packages first.
    """

    chosen: Chosen
    num_packages: int
    num_have: int
    systems: Sequence[System]


class SystemPage(NamedTuple):
    """Which packages have a binary that runs on a system.

    Attributes:
        chosen: The system.
        stack: The stack whose packages alone are meant, or "".
        q: The words that a listed package has in its name, or "".
        num_packages: How many packages the release, or the stack, has.
        num_have: How many of them have a binary that runs there.
        num_specs: How many binaries that is.
        have: Those packages, by name.
        missing: Those that have none, by name.
        stacks: The stacks of the release, those with the most such packages first.
        targets: What the binaries of the operating system were built for, most of them first.
        releases: In how many binaries of each release something runs there, newest first.
    """

    chosen: Chosen
    stack: str
    q: str
    num_packages: int
    num_have: int
    num_specs: int
    have: Sequence[Having]
    missing: Sequence[str]
    stacks: Sequence[OfStack]
    targets: Sequence[Target]
    releases: Sequence[Count]


class Choices(NamedTuple):
    """What a form offers, and what of it is chosen.

    Attributes:
        oses: The operating systems.
        families: The targets of machines, by the family of their CPUs.
        releases: The releases, newest first.
        chosen: What the address says.
    """

    oses: Sequence[str]
    families: Mapping[str, Sequence[str]]
    releases: Sequence[str]
    chosen: Chosen


class Apart(NamedTuple):
    """What is true of the lists that a page of packages is filtered by.

    Attributes:
        chosen: What the filters name; its machine is the target.
        packages: How many packages have one binary that is as all of them say.
    """

    chosen: Chosen
    packages: int


def named(kind: str, name: str, names: Collection[str]) -> str:
    """Return a name as it is spelled, in whatever case it is asked for; "" for "".

    Raises:
        UnknownNameError: there is none like that.
    """
    name = name.strip()
    if not name or name in names:
        return name
    lower = name.lower()
    for known in names:
        if known.lower() == lower:
            return known
    like = close(name, names) if len(name) <= LONGEST_WORD else []
    raise UnknownNameError(Unknown(kind, name[: LONGEST_WORD + 1], like, sorted(names)))


def chosen_in(inventory: Inventory, os: str, machine: str, release: str) -> Chosen:
    """Return the system that three texts mean; the newest release where none is named.

    Raises:
        UnknownNameError: one of them means nothing.
    """
    return Chosen(
        named("operating system", os, inventory.oses),
        named("CPU target", machine, inventory.runs),
        named("release", release, inventory.releases) or next(iter(inventory.releases), ""),
    )


def systems_page(inventory: Inventory, chosen: Chosen) -> SystemsPage:
    """Return the operating systems of a release, or the one that is chosen."""
    held = inventory.held(chosen.release)
    usable = inventory.usable(held, chosen.os, chosen.machine)
    systems = [
        _system(inventory, chosen._replace(os=os))
        for os in ([chosen.os] if chosen.os else inventory.oses)
    ]
    return SystemsPage(
        chosen=chosen,
        num_packages=len(inventory.by_package(held)),
        num_have=len(inventory.by_package(usable)),
        systems=sorted(
            (system for system in systems if system.targets),
            key=lambda system: (-system.packages, system.os),
        ),
    )


def _system(inventory: Inventory, chosen: Chosen) -> System:
    usable = inventory.usable(inventory.held(chosen.release), chosen.os, chosen.machine)
    return System(
        chosen.os, len(inventory.by_package(usable)), len(usable), targets(inventory, chosen)
    )


def targets(inventory: Inventory, chosen: Chosen) -> list[Target]:
    """Return what the binaries of an operating system were built for, most of them first."""
    rows = inventory.usable(inventory.held(chosen.release), chosen.os, "")
    runs = inventory.runs.get(chosen.machine, frozenset())
    found = [
        Target(name, specs, not chosen.machine or name in runs)
        for name, having in inventory.rows["target"].items()
        if (specs := rows.intersection_cardinality(having))
    ]
    return sorted(found, key=lambda target: (-target.specs, target.name))


def system_page(
    inventory: Inventory, stacks: Stacks, chosen: Chosen, *, stack: str = "", q: str = ""
) -> SystemPage:
    """Return which packages of a release have a binary that runs on a system.

    Args:
        inventory: What the database holds.
        stacks: The stacks of the release.
        chosen: The system.
        stack: The stack whose packages alone are meant, or "".
        q: Words that the name of a listed package has.
    """
    usable = inventory.usable(inventory.held(chosen.release), chosen.os, chosen.machine)
    counts = inventory.by_package(usable)
    packages: Sequence[str] = list(inventory.by_package(inventory.held(chosen.release)))
    if stack:
        packages = inventory.named(stacks[stack])
    listed = [name for name in packages if is_meant(name, q)]
    return SystemPage(
        chosen=chosen,
        stack=stack,
        q=q,
        num_packages=len(packages),
        num_have=sum(name in counts for name in packages),
        num_specs=sum(counts.get(name, 0) for name in packages),
        have=[
            Having(name, inventory.newest(name, usable), counts[name])
            for name in listed
            if name in counts
        ],
        missing=[name for name in listed if name not in counts],
        stacks=_of_stacks(stacks, inventory.numbers(counts)),
        targets=targets(inventory, chosen),
        releases=_releases(inventory, chosen),
    )


def is_meant(name: str, q: str) -> bool:
    """Tell whether a name has all words of a text in it, in capitals or not."""
    name = name.lower()
    return all(word in name for word in q.lower().split())


def _of_stacks(stacks: Stacks, having: BitMap) -> list[OfStack]:
    found = [
        OfStack(name, numbers.intersection_cardinality(having), len(numbers))
        for name, numbers in stacks.items()
    ]
    return sorted(found, key=lambda stack: (-stack.have, stack.packages, stack.name))


def _releases(inventory: Inventory, chosen: Chosen) -> list[Count]:
    everywhere = inventory.usable(inventory.all_rows, chosen.os, chosen.machine)
    return [
        Count(release, specs)
        for release in inventory.releases
        if (specs := everywhere.intersection_cardinality(inventory.held(release)))
    ]


def systems_json(page: SystemsPage) -> dict[str, Any]:
    """Return the list of systems as texts, numbers, lists and objects."""
    return {
        "ok": True,
        **page.chosen._asdict(),
        "num_packages": page.num_packages,
        "num_have": page.num_have,
        "systems": [
            each._asdict() | {"targets": [target._asdict() for target in each.targets]}
            for each in page.systems
        ],
    }


def system_json(page: SystemPage) -> dict[str, Any]:
    """Return the page of a system as texts, numbers, lists and objects."""
    return {
        "ok": True,
        **page.chosen._asdict(),
        "stack": page.stack,
        "q": page.q,
        "num_packages": page.num_packages,
        "num_have": page.num_have,
        "num_specs": page.num_specs,
        "have": [each._asdict() for each in page.have],
        "missing": list(page.missing),
        "stacks": [each._asdict() for each in page.stacks],
        "targets": [each._asdict() for each in page.targets],
        "releases": [{"name": each.value, "specs": each.specs} for each in page.releases],
    }


def system_csv(page: SystemPage) -> str:
    """Return the packages of both lists as CSV; those that are missing have no specs."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(["package", "specs", "newest_version"])
    having = {each.package: each for each in page.have}
    for name in sorted([*having, *page.missing]):
        found = having.get(name)
        writer.writerow([name, found.specs if found else 0, found.version if found else ""])
    return lines.getvalue()


def apart(inventory: Inventory, chosen: Chosen) -> Apart:
    """Return what is true of a system that two lists of packages name.

    Args:
        inventory: What the database holds.
        chosen: The system; its machine is a target, its release "" if none is named.
    """
    rows = inventory.held(chosen.release) if chosen.release else inventory.all_rows
    built = inventory.rows["target"].get(chosen.machine, BitMap())
    rows = inventory.usable(rows, chosen.os, "")
    return Apart(chosen, len(inventory.by_package(rows & built if chosen.machine else rows)))
