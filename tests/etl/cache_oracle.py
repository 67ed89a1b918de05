"""A plain reader of build caches, for tests to hold the real ones against.

It checks nothing, reads whole files with json, and the rules of spelling are written down once
more. Only the order of versions and of releases is the tool's own, which has tests of its own.
What it makes of an index counts only where the index is a good one.
"""

import gzip
import hashlib
import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from etl.order import newest_first, parse_release, releases_newest_first
from tests.etl import oracle

Row = dict[str, Any]
Tables = dict[str, list[Row]]

KEYS = {
    "packages": ["name"],
    "specs": ["hash"],
    "stacks": ["name"],
    "spec_stacks": ["spec", "stack", "release"],
    "releases": ["name"],
    "spec_releases": ["spec", "release"],
    "variants": ["variant"],
    "spec_variants": ["spec", "variant"],
    "nodes": ["hash"],
    "dependencies": ["spec", "dependency"],
    "sources": ["path"],
}
"""The tables that follow from the sources alone, and their keys."""

FLAGS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")
TYPES = ("build", "link", "run", "test")
SYSTEM = ("os", "platform", "target")

_UNQUOTED = re.compile(r"[a-zA-Z0-9,/_.\-\[\]]+")
_TARBALL = "application/vnd.spack.install.v2.tar+gzip"


class Index(NamedTuple):
    """An index and what follows from where it stands.

    Attributes:
        release: the release it is of.
        stack: the stack; `root` for the release's whole mirror.
        layout: 2, 3 or None for a bare one.
        file: the index as it is stored.
        mirror: the folder with the binaries or their manifests.
        view: whether it is a view, whose binaries are where those of the whole mirror are.
    """

    release: str
    stack: str
    layout: int | None
    file: Path
    mirror: Path
    view: bool = False

    @property
    def path(self) -> str:
        """As in `sources`."""
        stack = "" if self.stack == "root" else f"{self.stack}/"
        return f"{self.release}/{stack}index.json"

    @property
    def address(self) -> str:
        """What the paths of its tarballs are below."""
        if parse_release(self.release) is None:
            return str(self.mirror.resolve())
        own = self.stack != "root" and not self.view
        return f"https://binaries.spack.io/{self.release}" + (f"/{self.stack}" if own else "")

    @property
    def release_address(self) -> str:
        """As in `releases`."""
        if parse_release(self.release) is None:
            own = self.stack != "root" and not self.view
            return str((self.mirror.parent if own else self.mirror).resolve())
        return f"https://binaries.spack.io/{self.release}"


class Record(NamedTuple):
    """One record of an index, in our spelling.

    Attributes:
        facts: columns of `specs`, and `package`.
        binary: whether the index has it as a binary.
        external: None if it is not external; else its path, its module, or "".
        edges: hash of a dependency → its name, types and virtuals.
        values: its variant values: variant, name, value.
    """

    facts: Row
    binary: bool
    external: str | None
    edges: dict[str, tuple[str, set[str], set[str]]]
    values: list[tuple[str, str, str]]


class Counts(NamedTuple):
    """What the README of the sample caches counts."""

    records: int
    binaries: int
    holes: int
    externals: int
    edges: int


def array(values: Iterable[str]) -> str:
    """A JSON array as the database has it."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def stored(file: Path) -> Any:
    """The database of an index."""
    data = file.read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)["database"]


def records(file: Path) -> dict[str, Record]:
    """The records of an index by hash."""
    nodes = {
        key: (_node(record["spec"]), record.get("in_buildcache"))
        for key, record in stored(file)["installs"].items()
    }
    compiled = {key: _compiler(node, nodes) for key, (node, _) in nodes.items()}
    return {key: _record(node, in_cache, compiled[key]) for key, (node, in_cache) in nodes.items()}


def counts(file: Path) -> Counts:
    """What an index holds, in numbers."""
    found = records(file).values()
    return Counts(
        len(found),
        sum(record.binary for record in found),
        sum(not record.binary and record.external is None for record in found),
        sum(record.external is not None for record in found),
        sum(len(record.edges) for record in found),
    )


def _node(spec: Row) -> Row:
    if "name" not in spec:
        ((name, node),) = spec.items()
        return {**node, "name": name}
    return spec


def _edges(node: Row) -> Iterable[tuple[str, str, list[str], list[str]]]:
    dependencies = node.get("dependencies", [])
    if isinstance(dependencies, dict):
        dependencies = [{"name": name, **entry} for name, entry in dependencies.items()]
    for entry in dependencies:
        about = entry.get("parameters", {})
        types = about["deptypes"] if "deptypes" in about else entry["type"]
        key = next(key for key in ("hash", "full_hash", "build_hash") if key in entry)
        yield entry["name"], entry[key], types, about.get("virtuals", [])


def _compiler(node: Row, nodes: dict[str, tuple[Row, Any]]) -> str:
    if "compiler" in node:
        return f"{node['compiler']['name']}@{node['compiler']['version']}"
    if "compiler" in node.get("annotations", {}):
        return str(node["annotations"]["compiler"]).replace("@=", "@", 1)
    for language in ("c", "cxx", "fortran"):
        for name, key, _, virtuals in _edges(node):
            if language in virtuals:
                return f"{name}@{nodes[key][0]['version']}" if key in nodes else name
    return "none"


def _quoted(value: str) -> str:
    if _UNQUOTED.fullmatch(value):
        return value
    return json.dumps(value) if "'" in value else f"'{value}'"


def _variant(name: str, value: bool | str | list[str]) -> str:
    if isinstance(value, bool):
        return f"{'+' if value else '~'}{name}"
    values = [value] if isinstance(value, str) else value
    return f"{name}={_quoted(','.join(v[:7] if name == 'patches' else v for v in values))}"


def _values(name: str, value: bool | str | list[str]) -> Iterable[tuple[str, str, str]]:
    if isinstance(value, bool):
        yield _variant(name, value), name, "true" if value else "false"
        return
    text = value if isinstance(value, str) else ",".join(value)
    for part in text.split(","):
        part = part[:7] if name == "patches" else part
        yield f"{name}={part}", name, part


def _record(node: Row, in_buildcache: bool | None, compiler: str) -> Record:
    arch, parameters = node["arch"], node.get("parameters", {})
    target = arch["target"]
    external = node.get("external")
    variants = {name: value for name, value in parameters.items() if name not in FLAGS}
    edges: dict[str, tuple[str, set[str], set[str]]] = {}
    for name, key, types, virtuals in _edges(node):
        edge = edges.setdefault(key, (name, set(), set()))
        edge[1].update(types)
        edge[2].update(virtuals)
    built_from = node.get("build_spec")
    return Record(
        {
            "package": node["name"],
            "version": node["version"],
            "compiler": compiler,
            "os": arch["platform_os"],
            "platform": arch["platform"],
            "target": target if isinstance(target, str) else target["name"],
            "variants": [_variant(name, value) for name, value in variants.items()],
            "namespace": node.get("namespace"),
            "flags": [
                f"{name}={_quoted(' '.join(parameters[name]))}"
                for name in FLAGS
                if parameters.get(name)
            ],
            "build_spec": f"{built_from['name']}/{built_from['hash']}" if built_from else None,
        },
        external is None if in_buildcache is None else in_buildcache,
        _where(external),
        edges,
        sorted({value for item in variants.items() for value in _values(*item)}),
    )


def _where(external: Row | None) -> str | None:
    if external is None:
        return None
    module = external.get("module") or ""
    return external.get("path") or (module if isinstance(module, str) else ",".join(module))


def sizes(index: Index) -> dict[str, tuple[int, str]]:
    """Bytes of each binary of a mirror, and its tarball's path below the mirror."""
    if index.layout == 2:
        return {
            file.stem[-32:]: (file.stat().st_size, file.relative_to(index.mirror).as_posix())
            for file in (index.mirror / "build_cache").rglob("*.spack")
        }
    found = {}
    for file in (index.mirror / "v3/manifests/spec").rglob("*.spec.manifest.json"):
        text = file.read_text()
        if text.startswith("-----BEGIN PGP"):
            text = text.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
        for blob in json.loads(text)["data"]:
            if blob["mediaType"] == _TARBALL:
                checksum = blob["checksum"]
                where = f"blobs/sha256/{checksum[:2]}/{checksum}"
                found[file.name.removesuffix(".spec.manifest.json")[-32:]] = (
                    blob["contentLength"],
                    where,
                )
    return found


class _Found:
    """What all sources say, in the order in which they count."""

    def __init__(self) -> None:
        self.told: dict[str, list[Row]] = defaultdict(list)
        self.values: dict[str, list[tuple[str, str, str]]] = {}
        self.tarballs: dict[tuple[str, str], str | None] = {}
        self.in_stack: set[tuple[str, str, str]] = set()
        self.records: dict[str, list[Record]] = defaultdict(list)
        self.named: dict[str, str] = {}
        self.empty_stacks: set[tuple[str, str]] = set()
        self.mirrors: dict[str, str] = {}
        self.layouts: dict[str, int | None] = {}
        self.package_releases: set[tuple[str, str]] = set()
        self.sources: list[Row] = []


def expected(indexes: Sequence[Index], pages: Iterable[Path] = ()) -> Tables:
    """The rows of every table of `KEYS`, made from these indexes and pages."""
    found = _Found()
    read_pages = [(oracle.read(file.read_bytes()), file) for file in pages]
    releases = order_releases(
        {index.release for index in indexes} | {page.release for page, _ in read_pages}
    )
    for release in releases:
        of_release = [index for index in indexes if index.release == release]
        known: dict[str, dict[str, Record]] = {}
        for index in sorted(of_release, key=lambda one: (one.stack != "root", one.stack)):
            known[index.stack] = records(index.file)
            _take_index(found, index, known[index.stack])
        for page, file in read_pages:
            if page.release == release:
                _take_page(found, page, file, known)
    return {
        name: sorted(rows, key=lambda row: [row[column] for column in KEYS[name]])
        for name, rows in _tables(found, releases).items()
    }


def order_releases(names: Iterable[str]) -> list[str]:
    """Spack's releases, newest first, then all others by name."""
    names = set(names)
    spacks = {name for name in names if parse_release(name)}
    return releases_newest_first(spacks) + sorted(names - spacks)


def _take_index(found: _Found, index: Index, told: dict[str, Record]) -> None:
    known_sizes = sizes(index)
    binaries = [key for key, record in told.items() if record.binary]
    found.mirrors.setdefault(index.release, index.release_address)
    found.layouts.setdefault(index.release, index.layout)
    found.empty_stacks.add((index.stack, index.release))
    for key in binaries:
        size, tarball = known_sizes.get(key, (None, None))
        found.told[key].append({**told[key].facts, "size": size})
        found.values.setdefault(key, told[key].values)
        place = key, index.release
        found.tarballs[place] = found.tarballs.get(place) or (
            f"{index.address}/{tarball}" if tarball else None
        )
        found.in_stack.add((key, index.stack, index.release))
        found.package_releases.add((told[key].facts["package"], index.release))
    for key, record in told.items():
        found.records[key].append(record)
        for dependency, (name, _, _) in record.edges.items():
            found.named.setdefault(dependency, name)
    data = index.file.read_bytes()
    found.sources.append(
        {
            "path": index.path,
            "kind": "index",
            "release": index.release,
            "package": None,
            "stack": index.stack,
            "layout": index.layout,
            "database_version": str(stored(index.file)["version"]),
            "num_records": len(told),
            "num_specs": len(binaries),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )


def _take_page(
    found: _Found, page: oracle.Told, file: Path, known: dict[str, dict[str, Record]]
) -> None:
    release = page.release
    found.mirrors.setdefault(release, f"https://binaries.spack.io/{release}")
    found.layouts.setdefault(release, None)
    found.package_releases.add((page.package, release))
    for spec in page.specs:
        key = spec["hash"]
        found.told[key].append(
            {
                "package": page.package,
                **{name: spec[name] for name in ("version", "compiler", *SYSTEM, "variants")},
                "size": spec["size"],
                **dict.fromkeys(("namespace", "flags", "build_spec")),
            }
        )
        found.values.setdefault(key, spec["values"])
        place = key, release
        found.tarballs[place] = found.tarballs.get(place) or spec["tarball"]
        for stack in spec["stacks"]:
            record = known.get(stack, {}).get(key)
            if record is None or record.binary:
                found.in_stack.add((key, stack, release))
    data = file.read_bytes()
    found.sources.append(
        {
            "path": file.relative_to(file.parents[2]).as_posix(),
            "kind": "page",
            "release": release,
            "package": page.package,
            **dict.fromkeys(("stack", "layout", "database_version", "num_records")),
            "num_specs": len(page.specs),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )


def _known(told: list[Row], column: str) -> Any:
    unknown = "none" if column == "compiler" else None
    return next((row[column] for row in told if row[column] != unknown), unknown)


def _tables(found: _Found, releases: list[str]) -> Tables:
    specs = _specs(found, releases)
    packages = {key: row["package"] for key, row in specs.items()}
    values = [(key, value) for key in specs for value in found.values[key]]
    value_counts = Counter(value for _, value in values)
    return {
        "packages": _packages(found, specs, releases),
        "specs": list(specs.values()),
        "stacks": _stacks(found, packages, releases),
        "spec_stacks": [
            {"spec": key, "stack": stack, "release": release}
            for key, stack, release in found.in_stack
        ],
        "releases": [
            {
                "name": name,
                "kind": getattr(parse_release(name), "kind", "mirror"),
                "date": getattr(parse_release(name), "date", None),
                "position": position,
                "num_packages": len(
                    {packages[key] for key, release in found.tarballs if release == name}
                ),
                "num_specs": sum(release == name for _, release in found.tarballs),
                "mirror": found.mirrors[name],
                "layout": found.layouts[name],
            }
            for position, name in enumerate(releases, start=1)
        ],
        "spec_releases": [
            {"spec": key, "release": release, "tarball": tarball}
            for (key, release), tarball in found.tarballs.items()
        ],
        "variants": [
            {"variant": variant, "name": name, "value": value, "num_specs": count}
            for (variant, name, value), count in value_counts.items()
        ],
        "spec_variants": [{"spec": key, "variant": value[0]} for key, value in values],
        "nodes": _nodes(found, specs),
        "dependencies": _dependencies(found),
        "sources": found.sources,
    }


def _specs(found: _Found, releases: list[str]) -> dict[str, Row]:
    versions: dict[str, set[str]] = defaultdict(set)
    facts = {}
    for key, told in found.told.items():
        facts[key] = {column: _known(told, column) for column in told[0]}
        versions[facts[key]["package"]].add(facts[key]["version"])
    ranked = {package: newest_first(known) for package, known in versions.items()}
    specs = {}
    for key, row in facts.items():
        name, _, version = row["compiler"].partition("@")
        built = [] if name == "none" else [f"%{row['compiler']}"]
        mine = [release for release in releases if (key, release) in found.tarballs]
        text = [
            f"{row['package']}@{row['version']}",
            *row["variants"],
            f"arch={row['platform']}-{row['os']}-{row['target']}",
            *built,
        ]
        specs[key] = {
            "hash": key,
            **row,
            "version_rank": ranked[row["package"]].index(row["version"]) + 1,
            "compiler_name": name,
            "compiler_version": version or None,
            "variants": array(row["variants"]),
            "spec": " ".join(text),
            "stacks": array(sorted({stack for one, stack, _ in found.in_stack if one == key})),
            "releases": array(mine),
            "newest": releases.index(mine[0]) + 1,
            "flags": None if row["flags"] is None else array(row["flags"]),
        }
    return specs


def _packages(found: _Found, specs: dict[str, Row], releases: list[str]) -> list[Row]:
    rows = []
    for name in {package for package, _ in found.package_releases}:
        mine = [row for row in specs.values() if row["package"] == name]
        arrays = {
            f"{column}es" if column == "os" else f"{column}s": array(
                sorted({row[column] for row in mine})
            )
            for column in ("compiler", *SYSTEM)
        }
        stacks = {stack for row in mine for stack in json.loads(row["stacks"])}
        rows.append(
            {
                "name": name,
                "num_specs": len(mine),
                "versions": array(newest_first({row["version"] for row in mine})),
                **arrays,
                "stacks": array(sorted(stacks)),
                "releases": array(
                    release for release in releases if (name, release) in found.package_releases
                ),
            }
        )
    return rows


def _stacks(found: _Found, packages: dict[str, str], releases: list[str]) -> list[Row]:
    present = found.empty_stacks | {(stack, release) for _, stack, release in found.in_stack}
    rows = []
    for name in {stack for stack, _ in present}:
        keys = {key for key, stack, _ in found.in_stack if stack == name}
        rows.append(
            {
                "name": name,
                "num_packages": len({packages[key] for key in keys}),
                "num_specs": len(keys),
                "releases": array(release for release in releases if (name, release) in present),
            }
        )
    return rows


def _nodes(found: _Found, specs: dict[str, Row]) -> list[Row]:
    rows = []
    for key in {*found.named, *found.records, *specs}:
        told = found.records[key]
        first = specs.get(key) or (told[0].facts if told else {})
        where = None
        if key in specs:
            kind = "binary"
        elif any(record.external is not None for record in told):
            kind = "external"
            where = next((record.external for record in told if record.external), None)
        else:
            kind = "missing"
        rows.append(
            {
                "hash": key,
                "package": first.get("package") or found.named[key],
                "version": first.get("version"),
                "kind": kind,
                "external": where,
            }
        )
    return rows


def _dependencies(found: _Found) -> list[Row]:
    joined: dict[tuple[str, str], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for key, told in found.records.items():
        for record in told:
            for dependency, (_, types, virtuals) in record.edges.items():
                edge = joined[key, dependency]
                edge[0].update(types)
                edge[1].update(virtuals)
    return [
        {
            "spec": spec,
            "dependency": dependency,
            **{kind: int(kind in types) for kind in TYPES},
            "virtuals": array(sorted(virtuals)),
        }
        for (spec, dependency), (types, virtuals) in joined.items()
    ]


def actual(database: Path) -> Tables:
    """The rows of the tables of `KEYS` in a database."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            name: [
                dict(row)
                for row in connection.execute(f"SELECT * FROM {name} ORDER BY {', '.join(key)}")
            ]
            for name, key in KEYS.items()
        }
