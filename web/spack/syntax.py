"""What people write of specs, as Spack's own parser splits it.

    hdf5 +mpi ~cxx @1.14 %gcc@13 target=zen4 os=ubuntu22.04 build_type=Release ^openmpi@5 ^zlib-ng

What stands behind a `^` is of that dependency, up to the next one. `%gcc@13` is a dependency of
its own, and what follows it is of the spec before: as Spack 0.23 and older have it, whose specs
people still write. (For Spack 1 what follows is of the compiler.)

A command is read too, of which only the specs count: `spack install --cache-only hdf5 +mpi`.

Rules: https://spack.readthedocs.io/en/latest/spec_syntax.html, the tokens of Spack 1's
`spec_parser.py`, and its `aliases.py`: Spack 1 calls compilers as their packages, `%clang` is
`%llvm`.
"""

import re
from typing import Any, NamedTuple

from etl.spelling import variant_values

MOST_CHARACTERS = 500
"""Longer texts are cut off."""

COLUMNS = {"os": "os", "operating_system": "os", "target": "target", "platform": "platform"}

COMPILER_PACKAGES = {
    "clang": "llvm",
    "oneapi": "intel-oneapi-compilers",
    "rocmcc": "llvm-amdgpu",
    "intel": "intel-oneapi-compilers-classic",
    "arm": "acfl",
}
"""The package of each compiler that Spack 0.23 and older call otherwise."""

BOOLEANS = {"true": "+", "false": "~"}

VERSIONS = r"git\.[\w./-]+(?:=[\w.-]+)?|[\w.:=-]+(?:\s*,\s*[\w.:=-]+)*"

# Parts with a sigil may follow each other without a space, a value ends only at one.
PART = re.compile(
    rf"""
    (?P<sigil>%%?|\^)\s*(?:\[(?P<edge>[^\]]*)\]\s*)?(?:(?P<virtuals>\w[\w,.-]*)=(?=[\w"'/]))?
        (?:(?P<name>[\w-][\w.-]*)|/(?P<start>\w+))?(?:@\s*(?P<name_versions>{VERSIONS}))?
    | (?P<key>[\w.-]+)(?P<equals>:?==?)(?P<value>'[^']*'|"[^"]*"|[^\s'"]*)
    | (?P<sign>\+\+?|~~?|(?<!\S)--?)\s*(?P<variant>\w[\w-]*)
    | (?:@\s*|(?<!\S)(?==\w))(?P<versions>{VERSIONS})
    | (?<![^\s\w])/(?P<hash>\w+)
    | (?P<word>[\w.-]*\w[\w.-]*)
    """,
    re.VERBOSE,
)

COMMAND = re.compile(
    r"""
    \s* (?:[$>%\#]\s+)? spack (?=\s)
    (?:\s+(?:(?:-e|-D|-C|-c|--env|--env-dir|--config-scope)\s+\S+|--?[a-z][\w-]*(?:=\S*)?))*
    \s+(?:(?:buildcache|mirror)\s+)?[a-z][\w-]*
    (?:\s+(?:-[jpuo]\s*\d+|--(?:jobs|concurrent-packages)\s+\d+|--?[A-Za-z][\w-]*(?:=\S*)?))*
    (?:\s+|$)
    """,
    re.VERBOSE,
)
"""What stands before the specs of a command, from a prompt to its options."""

NAMESPACE = re.compile(r"(?:spack_repo\.)?builtin\.(?:[\w-]+\.)*(?=[\w-])", re.IGNORECASE)
"""What stands before the name of one of Spack's own packages."""

EDGE_VIRTUALS = re.compile(r"""virtuals\s*=\s*["']?([\w.-]+(?:\s*,\s*[\w.-]+)*)""")


class Sought(NamedTuple):
    """What a search asks for.

    Attributes:
        words: Words without a sigil: package names, or parts of them.
        flags: Variants such as `+mpi` and `~mpi`.
        values: Variants such as `build_type=Release`, one for each value.
        exactly: Variants such as `patches=a,b` that were marked with `:=`: no other values.
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
    exactly: tuple[str, ...] = ()
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
            *(f" {_in_quotes(value)}" for value in self.values),
            *(f" {_in_quotes(value.replace('=', ':=', 1))}" for value in self.exactly),
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
                is_exact = part["equals"].startswith(":")
                self._add_pair(part["key"], part["value"].strip("'\""), is_exact=is_exact)
            case "variant":
                sign = "+" if part["sign"].startswith("+") else "~"
                self.found["flags"].append(sign + part["variant"])
            case "versions":
                self.found["versions"].append(_without_blanks(part["versions"]))
            case "word":
                self.found["words"].append(_without_namespace(part["word"]))
            case "hash":
                self.found["hashes"].append(part["hash"])

    def _add_pair(self, key: str, value: str, *, is_exact: bool) -> None:
        if not value:
            return
        if key.lower() in COLUMNS:
            self.found["columns"].append((COLUMNS[key.lower()], value))
        elif key.lower() in {"arch", "architecture"} and value.count("-") > 1:
            self.found["columns"].extend(_system(value))
        elif value.lower() in BOOLEANS:
            self.found["flags"].append(BOOLEANS[value.lower()] + key)
        elif is_exact:
            self.found["exactly"].append(f"{key}={value}")
        else:
            values = variant_values(f"{key}={value}")
            self.found["values"].extend(each.variant for each in values)


def parse(text: str) -> Sought:
    """Split a text into its parts."""
    text = without_command(text[:MOST_CHARACTERS])
    root = node = _Node()
    below: list[tuple[tuple[str, ...], _Node]] = []
    for part in PART.finditer(text):
        if not part["sigil"]:
            node.add(part)
        elif part["sigil"].startswith("%"):
            node.found["needs"].extend(_told(Need(True, _virtuals(part), _named(part).sought())))
        else:
            node = _named(part)
            below.append((_virtuals(part), node))
    for virtuals, each in below:
        root.found["needs"].extend(_told(Need(False, virtuals, each.sought())))
    return root.sought()


def _told(need: Need) -> list[Need]:
    """Return a dependency, or none where nothing stands behind its sigil."""
    return [need] if need.virtuals or need.node != Sought() else []


def is_read_whole(text: str) -> bool:
    """Tell whether `parse` reads all of a text, and passes over nothing."""
    return len(text) <= MOST_CHARACTERS and not PART.sub("", text).strip()


def without_command(text: str) -> str:
    """Return what a command such as `$ spack install -j 8 hdf5` says of specs; else the text."""
    return COMMAND.sub("", text, count=1) if COMMAND.match(text) else text


def names_of_compiler(name: str) -> tuple[str, ...]:
    """Return all names of a compiler: that of its package, and how Spack called it before."""
    package = COMPILER_PACKAGES.get(name, name)
    return (package, *(old for old, new in COMPILER_PACKAGES.items() if new == package))


def _system(arch: str) -> list[tuple[str, str]]:
    """Split `linux-ubuntu22.04-zen4`, of which `None` and `*` stand for anything."""
    platform, _, system = arch.partition("-")
    os, _, target = system.rpartition("-")
    columns = [("platform", platform), ("os", os), ("target", target)]
    return [(column, value) for column, value in columns if value.lower() not in ("", "none", "*")]


def _in_quotes(variant: str) -> str:
    """Return a variant that is read as one, whatever is in its value."""
    name, _, value = variant.partition("=")
    if not re.search(r"[\s'\"]", value):
        return variant
    quote = '"' if "'" in value else "'"
    return f"{name}={quote}{value}{quote}"


def _without_blanks(text: str) -> str:
    return "".join(text.split())


def _without_namespace(name: str) -> str:
    return NAMESPACE.sub("", name, count=1) if NAMESPACE.match(name) else name


def _named(part: re.Match[str]) -> _Node:
    node = _Node()
    if part["name"]:
        name = _without_namespace(part["name"]).lower()
        is_direct = part["sigil"].startswith("%")
        node.found["words"].append(COMPILER_PACKAGES.get(name, name) if is_direct else name)
    if part["start"]:
        node.found["hashes"].append(part["start"])
    if part["name_versions"]:
        node.found["versions"].append(_without_blanks(part["name_versions"]))
    return node


def _virtuals(part: re.Match[str]) -> tuple[str, ...]:
    """Return what a dependency is to provide: `c,cxx=gcc`, `[virtuals=c,cxx] gcc`."""
    listed = EDGE_VIRTUALS.search(part["edge"] or "")
    texts = f"{part['virtuals'] or ''},{listed[1] if listed else ''}".split(",")
    return tuple(sorted({text.strip() for text in texts if text.strip()}))
