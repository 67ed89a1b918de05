"""What people write of specs, as Spack's own parser splits it.

    hdf5 +mpi ~cxx @1.14 %gcc@13 target=zen4 os=ubuntu22.04 build_type=Release ^openmpi@5 ^zlib-ng

What stands behind a `^` is of that dependency, up to the next one. `%gcc@13` is a dependency of
its own, and what follows it is of the spec before: as Spack 0.23 and older have it, whose specs
people still write. (For Spack 1 what follows is of the compiler.)

Rules: https://spack.readthedocs.io/en/latest/spec_syntax.html
"""

import re
from typing import Any, NamedTuple

from etl.spelling import variant_values

MOST_CHARACTERS = 500
"""Longer texts are cut off."""

COLUMNS = {"os": "os", "operating_system": "os", "target": "target", "platform": "platform"}

# Parts with a sigil may follow each other without a space, a value ends only at one.
PART = re.compile(
    r"""
    (?P<sigil>[%^])\s*(?:\[(?P<edge>[^\]]*)\]\s*)?(?:(?P<virtuals>\w[\w,.-]*)=(?=[\w"'/]))?
        (?:(?P<name>[\w-][\w.-]*)|/(?P<start>\w+))?(?:@(?P<name_versions>[\w.,:=-]+))?
    | (?P<key>[\w-]+)(?::=|==?)(?P<value>'[^']*'|"[^"]*"|[^\s'"]*)
    | (?P<sign>\+\+?|~~?|(?<!\S)-)(?P<variant>\w[\w-]*)
    | @(?P<versions>[\w.,:=-]+)
    | (?<![^\s\w])/(?P<hash>\w+)
    | (?P<word>[\w.-]*\w[\w.-]*)
    """,
    re.VERBOSE,
)

EDGE_VIRTUALS = re.compile(r"""virtuals\s*=\s*["']?([\w.-]+(?:\s*,\s*[\w.-]+)*)""")


class Sought(NamedTuple):
    """What a search asks for.

    Attributes:
        words: Words without a sigil: package names, or parts of them.
        flags: Variants such as `+mpi` and `~mpi`.
        values: Variants such as `build_type=Release`, one for each value.
        columns: Columns of `specs` and the value each must have.
        versions: Version constraints as Spack writes them, such as `1.12:1.14`.
        hashes: Beginnings of hashes that were marked with `/`.
        needs: What was marked with `%` and `^`.
    """

    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    needs: tuple["Need", ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether no word has a sigil."""
        return not any(self[1:])

    def __str__(self) -> str:
        """Return it in Spack's syntax, the same text whenever the same is asked for."""
        attributes = [
            *(f"@{versions}" for versions in self.versions),
            *(f"/{start}" for start in self.hashes),
            *self.flags,
            *(f" {value}" for value in self.values),
            *(f" {column}={value}" for column, value in self.columns),
            *(f" {need}" for need in self.needs),
        ]
        return " ".join(self.words) + "".join(attributes)


class Need(NamedTuple):
    """A dependency that a spec is to have.

    Attributes:
        is_direct: Whether it was marked with `%`: as a direct one; with `^` it can be anywhere.
        virtuals: What it is to provide, such as `c` and `mpi`.
        node: What is known of it; its only word is its name, of a package or of a virtual.
    """

    is_direct: bool
    virtuals: tuple[str, ...]
    node: Sought

    @property
    def name(self) -> str:
        """The name of its package, or of a virtual; "" where only its hash is known."""
        return self.node.words[0] if self.node.words else ""

    @property
    def is_anything(self) -> bool:
        """Whether it says nothing but its name."""
        return not any(self.node[1:])

    def __str__(self) -> str:
        """Return it in Spack's syntax."""
        virtuals = f"{','.join(self.virtuals)}=" if self.virtuals else ""
        return f"{'%' if self.is_direct else '^'}{virtuals}{self.node}"


class _Node:
    """What is read of a spec, or of a dependency behind a `^`."""

    def __init__(self) -> None:
        self.found: dict[str, list[Any]] = {field: [] for field in Sought._fields}

    def sought(self) -> Sought:
        return Sought(*(tuple(dict.fromkeys(values)) for values in self.found.values()))

    def add(self, part: re.Match[str]) -> None:
        match part.lastgroup:
            case "value":
                self._add_pair(part["key"], part["value"].strip("'\""))
            case "variant":
                sign = "+" if part["sign"].startswith("+") else "~"
                self.found["flags"].append(sign + part["variant"])
            case "versions" | "word":
                self.found[f"{part.lastgroup.removesuffix('s')}s"].append(part[part.lastgroup])
            case "hash":
                self.found["hashes"].append(part["hash"])

    def _add_pair(self, key: str, value: str) -> None:
        platform, _, system = value.partition("-")
        os, _, target = system.rpartition("-")
        if not value:
            return
        if key in COLUMNS:
            self.found["columns"].append((COLUMNS[key], value))
        elif key in {"arch", "architecture"} and os:
            columns = [("platform", platform), ("os", os), ("target", target)]
            self.found["columns"].extend(columns)
        else:
            values = variant_values(f"{key}={value}")
            self.found["values"].extend(each.variant for each in values)


def parse(text: str) -> Sought:
    """Split a text into its parts."""
    root = node = _Node()
    below: list[tuple[tuple[str, ...], _Node]] = []
    for part in PART.finditer(text[:MOST_CHARACTERS]):
        if not part["sigil"]:
            node.add(part)
        elif part["sigil"] == "%":
            node.found["needs"].append(Need(True, _virtuals(part), _named(part).sought()))
        else:
            node = _named(part)
            below.append((_virtuals(part), node))
    needs = [Need(False, virtuals, each.sought()) for virtuals, each in below]
    root.found["needs"].extend(needs)
    return root.sought()


def is_read_whole(text: str) -> bool:
    """Tell whether `parse` reads all of a text, and passes over nothing."""
    return len(text) <= MOST_CHARACTERS and not PART.sub("", text).strip()


def _named(part: re.Match[str]) -> _Node:
    node = _Node()
    for field, group in (("words", "name"), ("hashes", "start"), ("versions", "name_versions")):
        if part[group]:
            node.found[field].append(part[group])
    return node


def _virtuals(part: re.Match[str]) -> tuple[str, ...]:
    """Return what a dependency is to provide: `c,cxx=gcc`, `[virtuals=c,cxx] gcc`."""
    listed = EDGE_VIRTUALS.search(part["edge"] or "")
    texts = f"{part['virtuals'] or ''},{listed[1] if listed else ''}".split(",")
    return tuple(sorted({text.strip() for text in texts if text.strip()}))
