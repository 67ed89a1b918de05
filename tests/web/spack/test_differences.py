"""Why two specs differ: facts, dependencies, what is below, and what is not known."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from tests.conftest import build
from tests.etl.mirror import NO_FLAGS, Dep, Record, dep, index, record, write_layout3
from tests.etl.samples import E4S, NEOVERSE
from tests.pages import SAMPLE, dag_hash, spec, write_specs
from tests.web.conftest import open_site
from web.spack import dags as dags_module
from web.spack import differences as differences_module
from web.spack.dags import Edge, read_dags
from web.spack.diff_text import diff_text
from web.spack.differences import Cause, Differences, paired, words

NAMES = ("a", "b")


def app(word: str, *deps: Dep, **facts: Any) -> Record:
    return record("app", word=word, deps=deps, **facts)


def variants(**values: Any) -> dict[str, Any]:
    return {"build_system": "generic"} | values | NO_FLAGS


RECORDS = [
    # A dependency of another version.
    record("openmpi", "5.0.3", "mpifive"),
    record("openmpi", "4.1.6", "mpifour"),
    app("vera", dep("openmpi", "mpifive", virtuals=["mpi"])),
    app("verb", dep("openmpi", "mpifour", virtuals=["mpi"])),
    # Variants two steps below; the app's own order of variants is no difference.
    record("zlib-ng", word="za", parameters=variants(shared=True, opt=True, pic=True)),
    record("zlib-ng", word="zb", parameters=variants(pic=True, shared=False)),
    record("lib", word="la", deps=[dep("zlib-ng", "za")]),
    record("lib", word="lb", deps=[dep("zlib-ng", "zb")]),
    app("deepa", dep("lib", "la"), parameters=variants(x=True, y="1")),
    app("deepb", dep("lib", "lb"), parameters=variants(y="1", x=True)),
    # The app differs itself, and so does what is two steps below.
    app("owna", dep("lib", "la"), target="zen4"),
    app("ownb", dep("lib", "lb"), namespace="mine"),
    # What only one has.
    record("curl", "8.1"),
    record("cmake", word="cmakea", deps=[dep("curl")]),
    record("cmake", word="cmakeb"),
    app("lonea", dep("curl"), dep("openmpi", "mpifive")),
    app("loneb", dep("openmpi", "mpifour")),
    app("lonec", dep("cmake", "cmakea")),
    app("loned", dep("cmake", "cmakeb")),
    # The same hash, for another purpose, and as something else.
    app("needa", dep("curl", types=["build", "link"])),
    app("needb", dep("curl", types=["link"], virtuals=["web"])),
    # Compilers: of Spack 1 they are dependencies.
    record("gcc", "12.2.0", "gcctwelve", external={"path": "/usr", "module": None}),
    record("gcc", "13.1.0", "gccnew", compiler=None),
    record("gcc", "12.2.0", "gccown", compiler=None, deps=[dep("curl")]),
    app("compa", dep("gcc", "gcctwelve", ["build"], ["c"]), compiler=None),
    app("compb", dep("gcc", "gccnew", ["build"], ["c"]), compiler=None),
    app("compc", dep("gcc", "gccown", ["build"], ["c"]), compiler=None),
    app("oldc", compiler="gcc@12.2.0"),
    app("oldd", compiler="gcc@13.1.0"),
    # Flags, and what a spec was spliced from.
    app("flaga", parameters=variants() | {"cflags": ["-O2"]}),
    app("flagb"),
    app("spliced", build_spec={"name": "app", "hash": dag_hash("flagb")}),
    # Known as well as not at all.
    record("tool", word="toola", target="zen4", parameters=variants(x=True), deps=[dep("curl")]),
    record("tool", word="toolb", in_buildcache=False),
    app("missa", dep("tool", "toola")),
    app("missb", dep("tool", "toolb")),
    # Nothing that is listed.
    app("samea"),
    app("sameb"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differences")
    write_layout3(folder / "develop", index(*RECORDS))
    write_specs(
        folder,
        "v0.23.1",
        "page",
        spec("pagea", compiler="gcc@12.2.0"),
        spec("pageb", compiler="gcc@13.1.0"),
        spec("pagec", compiler="gcc@13.1.0"),
    )
    return build(folder / "spack-cache.db", folder)


@pytest.fixture(scope="module")
def site(database: Path) -> Iterator[Datasette]:
    with open_site(database) as datasette:
        yield datasette


async def differences(site: Datasette, *roots: str) -> Differences:
    return Differences(await read_dags(site.get_database("spack-cache"), roots))


async def nearest(site: Datasette, a: str, b: str) -> list[str]:
    """The nearest differences of two made-up specs, in words."""
    pair = dag_hash(a), dag_hash(b)
    looks = (await differences(site, *pair)).nearest(pair)
    return [
        said for look in looks for said in words(look, is_root=look.a.hash == pair[0], names=NAMES)
    ]


async def causes(site: Datasette, a: str, b: str) -> list[Cause]:
    pair = dag_hash(a), dag_hash(b)
    return (await differences(site, *pair)).causes(pair)


def told(causes: list[Cause]) -> list[tuple[str, int, bool]]:
    return [(cause.look.a.package, cause.depth, cause.is_first) for cause in causes]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("vera", "verb", ["openmpi 5.0.3 / 4.1.6"]),
        ("deepa", "deepb", ["zlib-ng +shared +opt / ~shared"]),
        ("owna", "ownb", ["app target zen4 / x86_64_v3", "app namespace builtin / mine"]),
        ("lonea", "loneb", ["only a: curl@8.1"]),
        ("loneb", "lonea", ["only b: curl@8.1"]),
        ("lonec", "loned", ["only cmake of a: curl@8.1"]),
        ("needa", "needb", ["curl build link / link as web"]),
        ("compa", "compb", ["gcc 12.2.0 / 13.1.0", "gcc external /usr / no"]),
        ("compa", "compc", ["gcc external /usr / no"]),
        ("oldc", "oldd", ["app compiler gcc@12.2.0 / gcc@13.1.0"]),
        ("flaga", "flagb", ["app cflags=-O2 / none"]),
        ("spliced", "flagb", [f"app build_spec app/{dag_hash('flagb')} / none"]),
        ("missa", "missb", ["tool@1.0, of which no more is known"]),
        ("samea", "sameb", ["app@1.0, in nothing that is listed"]),
        ("pagea", "pageb", ["page compiler gcc@12.2.0 / gcc@13.1.0"]),
        ("pageb", "pagec", ["page@1.0, of which no more is known"]),
    ],
)
async def test_the_nearest_differences(
    site: Datasette, a: str, b: str, expected: list[str]
) -> None:
    assert await nearest(site, a, b) == expected


async def test_causes_are_all_differences_and_those_with_none_below_come_first(
    site: Datasette,
) -> None:
    assert told(await causes(site, "owna", "ownb")) == [("zlib-ng", 2, True), ("app", 0, False)]
    assert told(await causes(site, "lonea", "loneb")) == [("openmpi", 1, True), ("app", 0, False)]
    assert told(await causes(site, "deepa", "deepb")) == [("zlib-ng", 2, True)]
    assert told(await causes(site, "samea", "sameb")) == [("app", 0, True)]


async def test_what_only_pages_tell_is_compared_with_what_an_index_tells(site: Datasette) -> None:
    pair = dag_hash("pagea"), dag_hash("compb")
    look = (await differences(site, *pair)).look(pair)

    # Of the page's spec neither the namespace nor flags are known, nor its dependencies.
    assert [fact.name for fact in look.facts] == ["package", "compiler"]
    assert look.dependencies is None


def edge(word: str, version: str = "1.0", *virtuals: str) -> Edge:
    return Edge(dag_hash(word), "x", version, "binary", ("build",), virtuals)


def test_of_several_of_a_package_hashes_are_paired_then_virtuals_then_versions() -> None:
    a = [edge("same"), edge("ac", "2.0", "c"), edge("anew", "1.10"), edge("aold", "1.9")]
    b = [edge("bfirst", "1.11"), edge("bc", "1.0", "c"), edge("same"), edge("blone", "1.9")]
    found = paired([*a, edge("alast", "3.0")], b)

    assert found.same == [(a[0], b[2])]
    assert found.different == [(a[3], b[3]), (a[2], b[0]), (a[1], b[1])]
    assert found.only_a == [edge("alast", "3.0")]
    assert found.only_b == []


async def test_a_cycle_ends(database: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(database, tmp_path / "spack-cache.db"))
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.executemany(
            "insert into dependencies values (?, ?, 1, 0, 0, 0, '[]')",
            [
                (dag_hash("za"), dag_hash("deepa")),
                (dag_hash("zb"), dag_hash("deepb")),
                (dag_hash("samea"), dag_hash("samea")),
            ],
        )
    with open_site(damaged) as site:
        assert await nearest(site, "deepa", "deepb") == ["zlib-ng +shared +opt / ~shared"]
        assert told(await causes(site, "deepa", "deepb")) == [("zlib-ng", 2, False)]
        assert await nearest(site, "samea", "sameb") == ["only a: app@1.0"]


async def test_a_cycle_without_any_difference_ends(database: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copy(database, tmp_path / "spack-cache.db"))
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.executemany(
            "insert into dependencies values (?, ?, 1, 0, 0, 0, '[]')",
            [(dag_hash(word), dag_hash(word)) for word in ("samea", "sameb")],
        )
    with open_site(damaged) as site:
        assert await nearest(site, "samea", "sameb") == []
        assert await causes(site, "samea", "sameb") == []


async def test_what_is_too_much_to_read_is_no_difference(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NODES_SQL", "EDGES_SQL"):
        few = re.sub(r"limit 2001\b", "limit 4", getattr(dags_module, name))
        monkeypatch.setattr(dags_module, name, few)
    found = await differences(site, dag_hash("deepa"), dag_hash("deepb"))

    assert found.is_cut
    assert found.causes((dag_hash("deepa"), dag_hash("deepb"))) == []


async def test_edges_that_are_not_read_are_not_known(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dags_module, "MOST_EDGES", 1)
    dags = await read_dags(site.get_database("spack-cache"), [dag_hash("deepa")])

    assert dags.is_cut
    assert dags[dag_hash("deepa")].edges is not None
    assert dags[dag_hash("la")].edges is None
    assert dags[dag_hash("za")].edges is None


async def test_so_many_pairs_are_looked_at(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences_module, "MOST_PAIRS", 2)
    found = await differences(site, dag_hash("deepa"), dag_hash("deepb"))

    assert not found.is_cut
    assert found.causes((dag_hash("deepa"), dag_hash("deepb"))) == []
    assert found.is_cut


# What is read of the sample without any code of the site or of the build.

Facts = dict[tuple[str, str], set[str] | None]


def read_index() -> dict[str, Any]:
    """The records of both stacks of the sample; of a hash that both have, that of a binary."""
    found: dict[str, Any] = {}
    for one in (E4S, NEOVERSE):
        installs = json.loads(Path(one.file).read_bytes())["database"]["installs"]
        for key, told in installs.items():
            if key not in found or told["in_buildcache"]:
                found[key] = told
    return found


def variant(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{'+' if value else '~'}{name}"
    texts = [value] if isinstance(value, str) else value
    return f"{name}={','.join(text[:7] if name == 'patches' else text for text in texts)}"


def flag(name: str, flags: list[str]) -> str:
    return f"{name}={flags[0]}" if len(flags) == 1 else f"{name}='{' '.join(flags)}'"


def known(told: Any) -> dict[str, set[str] | None]:
    """What a record tells, by the attributes of `spack diff`."""
    spec = told["spec"]
    deps = spec.get("dependencies", [])
    is_binary = told["in_buildcache"]
    parameters = spec["parameters"].items()
    external = (spec.get("external") or {}).get("path")
    lists_any = bool(deps) or is_binary or external
    facts: dict[str, set[str] | None] = {
        "node": {""},
        "version": {spec["version"]},
        "namespace": {spec["namespace"]},
        "node_os": {spec["arch"]["platform_os"]},
        "node_platform": {spec["arch"]["platform"]},
        "node_target": {
            target if isinstance(target := spec["arch"]["target"], str) else target["name"]
        },
        "variant_value": {variant(n, v) for n, v in parameters if n not in NO_FLAGS},
        "node_flag": {flag(name, v) for name, v in parameters if name in NO_FLAGS and v},
        "hash": {spec["hash"]},
        "depends_on": {f"{d['name']} {t}" for d in deps for t in d["parameters"]["deptypes"]},
        "virtual_on_edge": {f"{d['name']} {v}" for d in deps for v in d["parameters"]["virtuals"]},
        "external": {external} if external else set() if is_binary else None,
    }
    unknown = {*facts} - {"node", "version", "hash", "depends_on", "virtual_on_edge", "external"}
    for name in () if is_binary else unknown:
        facts[name] = None
    for name in () if lists_any else ("depends_on", "virtual_on_edge"):
        facts[name] = None
    return facts


def facts_below(records: dict[str, Any], root: str) -> Facts:
    """What is true of a spec and of all below it, by attribute and package."""
    facts: Facts = {}
    seen = {root}
    for key in (waiting := [root]):
        for name, values in known(records[key]).items():
            place = name, records[key]["spec"]["name"]
            before = facts.get(place, set())
            facts[place] = None if before is None or values is None else before | values
        deps = {each["hash"] for each in records[key]["spec"].get("dependencies", [])}
        waiting.extend(sorted(deps - seen))
        seen |= deps
    return facts


def lines(a: Facts, b: Facts, sign: str) -> set[tuple[str, str]]:
    """What is true of the first only, with its attribute."""
    return {
        (name, f"{sign}  {package} {value}".strip())
        for (name, package), values in a.items()
        if values is not None and (other := b.get((name, package), set())) is not None
        for value in values - other
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    database = build(tmp_path_factory.mktemp("sample") / "spack-cache.db", SAMPLE)
    with open_site(database) as datasette:
        yield datasette


async def test_the_text_is_what_another_reader_of_the_index_finds(sample: Datasette) -> None:
    records = read_index()
    by_package: dict[str, list[str]] = {}
    for key, one in records.items():
        if one["in_buildcache"]:
            by_package.setdefault(one["spec"]["name"], []).append(key)
    pairs = [(keys[0], keys[1]) for keys in by_package.values() if len(keys) == 2]
    assert len(pairs) == 24
    for a, b in [*pairs, (pairs[0][0], pairs[5][0])]:
        below = facts_below(records, a), facts_below(records, b)
        dags = await read_dags(sample.get_database("spack-cache"), (a, b))
        head, *shown = diff_text(dags, Differences(dags), (a, b)).splitlines()

        assert head == "--- {name}@{version}/{hash:.7}".format(**records[a]["spec"])
        found, section = set(), ""
        for line in shown[1:]:
            section = line.strip("@ ") if line.startswith("@@ ") else section
            if not line.startswith("@@ "):
                found.add((section, line))
        assert found == lines(*below, "-") | lines(below[1], below[0], "+")
        assert found


async def test_differences_of_two_real_specs(sample: Datasette) -> None:
    (a,) = [key for key in read_index() if key.startswith("xzhi4kg")]
    (b,) = [key for key in read_index() if key.startswith("dcx5txi")]
    found = await differences(sample, a, b)
    root, *_ = found.nearest((a, b))

    assert words(root, is_root=True, names=NAMES) == [
        "hdf5 target neoverse_v2 / x86_64_v3",
        "hdf5 ~fortran ~mpi / +fortran +mpi ~subfiling",
        "only b: openmpi@5.0.8",
        "gcc build as c / build as c fortran",
        "gcc-runtime link / link as fortran-rt libgfortran",
    ]
    first = [cause for cause in found.causes((a, b)) if cause.is_first]
    assert [words(one.look, is_root=False, names=NAMES) for one in first] == [
        ["openssl 3.6.0 / 3.0.17", "openssl external no / /usr"],
        ["compiler-wrapper@1.0, of which no more is known"],
        ["gcc@12.2.0, of which no more is known"],
        ["glibc@2.36, of which no more is known"],
    ]
