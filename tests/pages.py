"""Made-up pages for tests, written as upstream writes them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[1] / "data" / "_cache"
"""The real pages."""

SAMPLE = REAL.parent / "sample-mirror"
"""Two stacks of a build cache that Spack made."""


def dag_hash(name: str) -> str:
    """A DAG hash made from a word of a-z and 2-7, so that tests can tell hashes apart."""
    return name.ljust(32, "a")


def spec(name: str, **changes: Any) -> dict[str, Any]:
    """One object of `spec_details`, as stage G has it; `changes` replace or add keys."""
    return {
        "compiler": "gcc@13.2.0",
        "hash": dag_hash(name),
        "os": "ubuntu22.04",
        "platform": "linux",
        "size": "-",
        "stacks": ["e4s", "root"],
        "target": "x86_64_v3",
        "variants": ["build_system=generic"],
        "versions": ["1.0"],
    } | changes


def meta_of(specs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary that agrees with the specs."""
    specs = list(specs)

    def values(key: str) -> list[str]:
        return sorted({spec[key] for spec in specs})

    stacks = Counter(stack for spec in specs for stack in set(spec["stacks"]))
    return {
        "compilers": values("compiler"),
        "num_specs": len(specs),
        "num_specs_by_stack": dict(sorted(stacks.items())),
        "oss": values("os"),
        "platforms": values("platform"),
        "stacks": sorted(stacks),
        "targets": values("target"),
        "versions": sorted({spec["versions"][0] for spec in specs}),
    }


def page(
    package: str,
    release: str,
    specs: Iterable[Mapping[str, Any]],
    meta: Mapping[str, Any] | None = None,
) -> str:
    """The text of a page; its `meta` agrees with the specs unless another one is given."""
    specs = list(specs)
    return (
        f'---\ntitle: "{package}"\nlayout: cache\ncategories: [package, {release}]\n'
        f"meta: {json.dumps(meta or meta_of(specs))}\nspec_details: {json.dumps(specs)}\n---"
    )


def write(folder: Path, release: str, package: str, text: str | bytes) -> Path:
    """Write a page where upstream's layout has it, below `folder`."""
    file = folder / release / package / "specs.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def write_specs(folder: Path, release: str, package: str, *specs: Mapping[str, Any]) -> Path:
    """Write a page with these specs where upstream's layout has it."""
    return write(folder, release, package, page(package, release, specs))


def write_made(folder: Path) -> Path:
    """A small collection with what the real pages lack: several releases, variants, twins.

    Four releases; hdf5 with +mpi and ~mpi specs and a pair of twins; a package for one target
    only; names of two letters; values that would be harmful if they were not escaped.
    """
    hdf5 = {
        "hmpi": {"variants": ["+mpi", "~cxx", "build_type=Release", "languages='c,c++'"]},
        "htwin": {"variants": ["+mpi", "~cxx", "build_type=Release", "languages='c,c++'"]},
        "hser": {"variants": ["~mpi", "~cxx", "build_type=Release", "languages=c"]},
        "harm": {
            "variants": ["+mpi", "+cxx", "build_type=Release", "languages=c"],
            "os": "ubuntu24.04",
            "target": "neoverse_v2",
            "stacks": ["e4s-neoverse-v2", "root"],
            "compiler": "gcc@12.3.0",
        },
        "hmac": {
            "variants": ["~mpi", "~cxx", "build_type=Debug", "languages=c"],
            "os": "sequoia",
            "platform": "darwin",
            "target": "m1",
            "stacks": ["developer-tools-darwin", "root"],
            "compiler": "apple-clang@16.0.0",
        },
    }
    new = {name: spec(name, versions=["1.14.5"], **values) for name, values in hdf5.items()}
    old = spec("hold", versions=["1.12.2"], variants=["+mpi", "languages=c"], compiler="gcc@9.4.0")
    write_specs(folder, "develop", "hdf5", *new.values())
    write_specs(folder, "develop-2025-07-13", "hdf5", new["hmpi"], new["hser"], old)
    write_specs(folder, "develop-2025-07-06", "hdf5", new["hser"], old)
    write_specs(
        folder,
        "v0.23.1",
        "hdf5",
        old | {"tarball": "https://binaries.spack.io/v0.23.1/build_cache/hdf5.spack"},
    )
    write_specs(folder, "develop", "xz", spec("xz", versions=["5.6.3"], compiler="none"))
    write_specs(folder, "v0.23.1", "xz", spec("xz", versions=["5.6.3"], compiler="none"))
    write_specs(
        folder,
        "develop",
        "py-numpy",
        spec("np2", versions=["2.2.6"], stacks=["ml-linux-x86_64-cpu", "root"]),
        spec("np", versions=["1.26.4"], stacks=["ml-linux-x86_64-cpu", "root"]),
    )
    write_specs(
        folder, "develop-2025-07-06", "py-cloudpickle", spec("pickle", versions=["3.0.0"], size=512)
    )
    write_specs(
        folder,
        "develop",
        HOSTILE_PACKAGE,
        spec(
            "evil",
            versions=["1.0;reboot"],
            stacks=["a'b\"c", "root", "x<b>y"],
            variants=["flags=$(reboot)", 'note="<script>alert(1)</script>"', "yaml=- a: &b"],
            os="o's",
            target="<i>t",
        ),
    )
    return folder


HOSTILE_PACKAGE = "<img src=x onerror=alert(1)> `reboot`;"
"""A package name full of what HTML, SQL, shells and YAML could take for their own syntax."""
