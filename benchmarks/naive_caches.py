"""The build from build caches as one would write it first, for measurements to be compared with.

    python -m benchmarks.naive_caches DB FOLDER

Every index is read whole by `json` and written with sqlite-utils before the next one is read.
Nothing is checked, a spec keeps what the index said that was read last, and what is counted or
gathered over all indexes (ranks, numbers of specs, lists of stacks) is left out.
"""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import sqlite_utils

from benchmarks import naive

Row = dict[str, Any]

_MANIFEST = Path("v3/manifests/index/index.manifest.json")
_FLAGS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")


def build(db: sqlite_utils.Database, folder: Path) -> int:
    """Read all indexes of mirrors in a folder into a database; the number of indexes read."""
    found = [(mirror.name, "root", mirror) for mirror in _mirrors(folder)]
    found += [
        (release, mirror.name, mirror)
        for release, _, whole in list(found)
        for mirror in _mirrors(whole)
    ]
    for release, stack, mirror in sorted(found):
        save(db, release, stack, read(mirror))
    # What one index only depends on, another may have.
    db.execute("UPDATE nodes SET kind = 'binary' WHERE hash IN (SELECT hash FROM specs)")
    naive.index(db)
    return len(found)


def _mirrors(folder: Path) -> list[Path]:
    return [manifest.parents[3] for manifest in sorted(folder.glob(f"*/{_MANIFEST}"))]


def read(mirror: Path) -> dict[str, Row]:
    """The records of a mirror's index, by hash."""
    manifest = json.loads((mirror / _MANIFEST).read_bytes())
    [blob] = manifest["data"]
    data = (mirror / "blobs/sha256" / blob["checksum"][:2] / blob["checksum"]).read_bytes()
    if blob["compression"] == "gzip":
        data = gzip.decompress(data)
    records: dict[str, Row] = json.loads(data)["database"]["installs"]
    return records


def save(db: sqlite_utils.Database, release: str, stack: str, records: dict[str, Row]) -> None:
    """Write what an index says: nodes, dependencies, and the specs that are binaries."""
    specs = [record["spec"] for record in records.values() if record["in_buildcache"]]
    db.table("packages").upsert_all([{"name": spec["name"]} for spec in specs], pk="name")
    db.table("releases").upsert({"name": release}, pk="name")
    db.table("stacks").upsert({"name": stack}, pk="name")
    db.table("specs").upsert_all(
        [_spec(spec, records) for spec in specs],
        pk="hash",
        foreign_keys=[("package", "packages", "name")],
    )
    _save_links(db, release, stack, specs)
    _save_variants(db, specs)
    _save_graph(db, records)


def _spec(spec: Row, records: dict[str, Row]) -> Row:
    compiler = _compiler(spec, records)
    name, _, version = compiler.partition("@")
    arch, target = spec["arch"], spec["arch"]["target"]
    target = target["name"] if isinstance(target, dict) else target
    variants = _variants(spec)
    system = f"arch={arch['platform']}-{arch['platform_os']}-{target}"
    using = [] if compiler == "none" else [f"%{compiler}"]
    return {
        "hash": spec["hash"],
        "package": spec["name"],
        "version": spec["version"],
        "compiler": compiler,
        "compiler_name": name,
        "compiler_version": version or None,
        "os": arch["platform_os"],
        "platform": arch["platform"],
        "target": target,
        "variants": variants,
        "size": None,
        "spec": " ".join([f"{spec['name']}@{spec['version']}", *variants, system, *using]),
        "namespace": spec["namespace"],
        "flags": [
            f"{flag}='{' '.join(spec['parameters'][flag])}'"
            for flag in _FLAGS
            if spec["parameters"].get(flag)
        ],
        "build_spec": None,
    }


def _compiler(spec: Row, records: dict[str, Row]) -> str:
    if named := spec["annotations"].get("compiler"):
        return str(named).replace("@=", "@", 1)
    for language in ("c", "cxx", "fortran"):
        for dependency in spec.get("dependencies", []):
            if language in dependency["parameters"]["virtuals"]:
                compiler = records[dependency["hash"]]["spec"]
                return f"{compiler['name']}@{compiler['version']}"
    return "none"


def _variants(spec: Row) -> list[str]:
    parameters = spec["parameters"].items()
    return [_variant(name, value) for name, value in parameters if name not in _FLAGS]


def _variant(name: str, value: bool | str | list[str]) -> str:
    if isinstance(value, bool):
        return f"{'+' if value else '~'}{name}"
    if isinstance(value, str):
        return f"{name}={value}"
    return f"{name}={','.join(one[:7] if name == 'patches' else one for one in value)}"


def _save_links(db: sqlite_utils.Database, release: str, stack: str, specs: list[Row]) -> None:
    db.table("spec_releases").upsert_all(
        [{"spec": spec["hash"], "release": release, "tarball": None} for spec in specs],
        pk=("spec", "release"),
        foreign_keys=[("spec", "specs", "hash"), ("release", "releases", "name")],
    )
    db.table("spec_stacks").upsert_all(
        [{"spec": spec["hash"], "stack": stack, "release": release} for spec in specs],
        pk=("spec", "stack", "release"),
        foreign_keys=[
            ("spec", "specs", "hash"),
            ("stack", "stacks", "name"),
            ("release", "releases", "name"),
        ],
    )


def _save_variants(db: sqlite_utils.Database, specs: list[Row]) -> None:
    rows = [row for spec in specs for row in _values(spec)]
    db.table("variants").upsert_all(
        [{"variant": row["variant"], "name": row["name"], "value": row["value"]} for row in rows],
        pk="variant",
    )
    db.table("spec_variants").upsert_all(
        [{"spec": row["spec"], "variant": row["variant"]} for row in rows],
        pk=("spec", "variant"),
        foreign_keys=[("spec", "specs", "hash"), ("variant", "variants", "variant")],
    )


def _values(spec: Row) -> Iterator[Row]:
    """Each value of each variant; a list is one for each of its values."""
    for name, value in spec["parameters"].items():
        if name in _FLAGS:
            continue
        if isinstance(value, bool):
            values = [(_variant(name, value), "true" if value else "false")]
        elif isinstance(value, list):
            values = [(_variant(name, [one]), one) for one in value]
        else:
            values = [(_variant(name, value), value)]
        for variant, text in values:
            yield {"spec": spec["hash"], "variant": variant, "name": name, "value": text}


def _save_graph(db: sqlite_utils.Database, records: dict[str, Row]) -> None:
    db.table("nodes").upsert_all([_node(record) for record in records.values()], pk="hash")
    db.table("dependencies").upsert_all(
        [
            _dependency(record["spec"], dependency)
            for record in records.values()
            for dependency in record["spec"].get("dependencies", [])
        ],
        pk=("spec", "dependency"),
        foreign_keys=[("spec", "nodes", "hash"), ("dependency", "nodes", "hash")],
    )


def _node(record: Row) -> Row:
    spec = record["spec"]
    external = spec.get("external")
    kind = "binary" if record["in_buildcache"] else "external" if external else "missing"
    path = external["path"] or str(external["module"]) if external else None
    return {
        "hash": spec["hash"],
        "package": spec["name"],
        "version": spec["version"],
        "kind": kind,
        "external": path,
    }


def _dependency(spec: Row, dependency: Row) -> Row:
    types, virtuals = dependency["parameters"]["deptypes"], dependency["parameters"]["virtuals"]
    return {
        "spec": spec["hash"],
        "dependency": dependency["hash"],
        **{kind: int(kind in types) for kind in ("build", "link", "run", "test")},
        "virtuals": virtuals,
    }


@click.command()
@click.argument("db_path", metavar="DB", type=click.Path(dir_okay=False))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(db_path: str, folder: Path) -> None:
    """Build DB from the mirrors in FOLDER, the naive way."""
    start = time.perf_counter()
    with sqlite_utils.Database(db_path) as db:
        indexes = build(db, folder)
    click.echo(f"{indexes:,} indexes in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
