"""Which CPU targets there are, and whose binaries run on which.

From archspec, the library Spack itself uses. Spack once had names that archspec dropped; a machine
of such a name is one of the other, both ways (what Spack said of them: `graviton` in its 0.14,
`graviton2` and `graviton3` in archspec 0.1).
"""

from collections.abc import Iterable
from typing import NamedTuple

import archspec.cpu

_DROPPED = {"graviton": "cortex_a72", "graviton2": "neoverse_n1", "graviton3": "neoverse_v1"}


class Target(NamedTuple):
    """A CPU target.

    Attributes:
        name: for example `zen4`.
        vendor: who makes it; None where unknown.
        family: for example `x86_64`; None where unknown.
        runs: the targets whose binaries run on it: itself and all its ancestors, sorted.
    """

    name: str
    vendor: str | None
    family: str | None
    runs: tuple[str, ...]


def all_targets(names: Iterable[str]) -> list[Target]:
    """The targets that archspec knows and those of these names, sorted."""
    every = {*names, *archspec.cpu.TARGETS}
    dropped = {name: known for name, known in _DROPPED.items() if name in every}
    return [_target(name, dropped) for name in sorted(every)]


def _target(name: str, dropped: dict[str, str]) -> Target:
    known = archspec.cpu.TARGETS.get(dropped.get(name, name))
    if known is None:
        return Target(name, None, None, (name,))
    runs = {name, known.name, *(str(ancestor) for ancestor in known.ancestors)}
    runs |= {other for other, stands_for in dropped.items() if stands_for in runs}
    return Target(name, known.vendor, str(known.family), tuple(sorted(runs)))
