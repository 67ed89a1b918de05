"""Made-up mirrors are whole and have the shapes of real ones; the naive build reads all of them."""

import gzip
import hashlib
import json
import re
from base64 import b32encode
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from benchmarks import mirror_specs, mirrors, naive_caches
from benchmarks.mirror_recipes import ENVIRONMENTS, count_externals, with_stacks
from benchmarks.mirrors import SIZES, Counts, MirrorSize, generate, release_names

SIZE = MirrorSize(releases=2, stacks=2, binaries=400, packages=80)
RELEASES = ["develop-2026-06-21", "develop"]
STACKS = ["root", "e4s", "e4s-neoverse-v2"]
MANIFEST = "v3/manifests/index/index.manifest.json"

Records = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    folder = tmp_path_factory.mktemp("mirrors")
    return folder, generate(folder, SIZE)


@pytest.fixture(scope="module")
def folder(made: tuple[Path, Counts]) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def indexes(folder: Path) -> dict[tuple[str, str], Records]:
    return {
        (release, stack): read(folder / release / ("" if stack == "root" else stack))
        for release in RELEASES
        for stack in STACKS
    }


@pytest.fixture(scope="module")
def records(indexes: dict[tuple[str, str], Records]) -> Records:
    """The records of all indexes."""
    return {spec: record for index in indexes.values() for spec, record in index.items()}


def blob(mirror: Path) -> tuple[dict[str, Any], Path]:
    [entry] = json.loads((mirror / MANIFEST).read_text())["data"]
    return entry, mirror / "blobs/sha256" / entry["checksum"][:2] / entry["checksum"]


def read(mirror: Path) -> Records:
    return json.loads(blob(mirror)[1].read_bytes())["database"]["installs"]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def dependencies(record: dict[str, Any]) -> list[dict[str, Any]]:
    return record["spec"].get("dependencies", [])


def binaries(index: Records) -> set[str]:
    return {spec for spec, record in index.items() if record["in_buildcache"]}


def test_the_seed_decides_every_byte(tmp_path: Path, folder: Path) -> None:
    generate(tmp_path / "again", SIZE, jobs=2)
    assert files(tmp_path / "again") == files(folder)
    generate(tmp_path / "other", SIZE, seed=2)
    assert files(tmp_path / "other").keys() != files(folder).keys()


def test_there_is_nothing_but_indexes_their_manifests_and_the_list(folder: Path) -> None:
    expected = {"cache_spack_io_index.json"}
    for release in RELEASES:
        for mirror in (release, f"{release}/e4s", f"{release}/e4s-neoverse-v2"):
            expected |= {f"{mirror}/{MANIFEST}", str(blob(folder / mirror)[1].relative_to(folder))}
    assert files(folder).keys() == expected


def test_the_list_names_every_blob(folder: Path) -> None:
    text = (folder / "cache_spack_io_index.json").read_text()
    listed = json.loads(text)
    assert list(listed) == RELEASES
    for release, entries in listed.items():
        assert [entry["label"] for entry in entries] == STACKS
        for entry in entries:
            path = entry["url"].removeprefix("s3://spack-binaries/")
            mirror = folder / release / entry["label"].replace("root", "")
            assert folder / path == blob(mirror)[1]
    assert text.startswith(
        '{\n "develop-2026-06-21": [\n  {\n   "label": "root",\n'
        '   "url": "s3://spack-binaries/develop-2026-06-21/blobs/sha256/'
    )
    assert text.endswith('"\n  }\n ]\n}')


def test_manifests_are_as_spack_writes_them_and_true(folder: Path) -> None:
    manifests = [*folder.rglob("index.manifest.json")]
    assert len(manifests) == 6
    for manifest in manifests:
        entry, path = blob(manifest.parents[3])
        data = path.read_bytes()
        assert manifest.read_text() == (
            '{\n"version":3,\n"data":[\n{\n'
            f'"contentLength":{len(data)},\n'
            '"mediaType":"application/vnd.spack.db.v8+json",\n"compression":"none",\n'
            f'"checksumAlgorithm":"sha256",\n"checksum":"{hashlib.sha256(data).hexdigest()}"\n'
            "}\n]\n}"
        )
        assert entry["checksum"] == path.name


def test_indexes_are_compact_json(folder: Path) -> None:
    for manifest in folder.rglob("index.manifest.json"):
        data = blob(manifest.parents[3])[1].read_bytes()
        assert data.startswith(b'{"database":{"version":"8","installs":{"')
        assert json.dumps(json.loads(data), separators=(",", ":")).encode() == data


def test_compressed_indexes_hold_the_same(tmp_path: Path, folder: Path) -> None:
    generate(tmp_path, SIZE, compression="gzip")
    for manifest in folder.rglob("index.manifest.json"):
        mirror = manifest.parents[3]
        entry, path = blob(tmp_path / mirror.relative_to(folder))
        data = path.read_bytes()
        assert gzip.decompress(data) == blob(mirror)[1].read_bytes()
        assert (entry["compression"], entry["contentLength"]) == ("gzip", len(data))
        assert entry["checksum"] == hashlib.sha256(data).hexdigest()


def test_counts_are_exact(
    made: tuple[Path, Counts], indexes: dict[tuple[str, str], Records]
) -> None:
    folder, counts = made
    assert counts == Counts(
        releases=2,
        indexes=6,
        records=sum(len(index) for index in indexes.values()),
        binaries=sum(len(binaries(index)) for index in indexes.values()),
        different_binaries=len(set().union(*map(binaries, indexes.values()))),
        edges=sum(
            len(dependencies(record)) for index in indexes.values() for record in index.values()
        ),
        bytes=sum(file.stat().st_size for file in folder.rglob("blobs/*/*/*")),
    )
    assert counts.different_binaries == SIZE.binaries


def test_a_hash_says_what_is_in_the_spec_and_is_the_same_everywhere(
    indexes: dict[tuple[str, str], Records], records: Records
) -> None:
    for index in indexes.values():
        for spec, record in index.items():
            assert re.fullmatch(r"[a-z2-7]{32}", spec)
            assert list(record) == ["spec", "ref_count", "in_buildcache"]
            assert json.dumps(record["spec"]) == json.dumps(records[spec]["spec"])
            content = dict(record["spec"])
            assert content.pop("hash") == spec
            text = json.dumps(content, separators=(",", ":"))
            digest = hashlib.sha256(text.encode()).digest()[:20]
            assert b32encode(digest).decode().lower() == spec


def test_dependencies_have_records_before_those_of_their_dependents(
    indexes: dict[tuple[str, str], Records],
) -> None:
    for index in indexes.values():
        earlier: set[str] = set()
        dependents: Counter[str] = Counter()
        for spec, record in index.items():
            hashes = [dependency["hash"] for dependency in dependencies(record)]
            assert earlier.issuperset(hashes)
            assert len(set(hashes)) == len(hashes)
            for dependency in dependencies(record):
                assert index[dependency["hash"]]["spec"]["name"] == dependency["name"]
            dependents.update(hashes)
            earlier.add(spec)
        assert all(record["ref_count"] == dependents[spec] for spec, record in index.items())


def test_a_release_has_what_its_stacks_have_and_more(
    indexes: dict[tuple[str, str], Records],
) -> None:
    for release in RELEASES:
        root, *stacks = (indexes[release, stack] for stack in STACKS)
        of_stacks = set().union(*map(binaries, stacks))
        assert of_stacks < binaries(root)
        assert {spec for spec in root if "external" not in root[spec]["spec"]} == binaries(root)
        holes = {
            spec
            for stack in stacks
            for spec, record in stack.items()
            if not record["in_buildcache"] and "external" not in record["spec"]
        }
        assert holes
        assert holes <= binaries(root)


def test_a_release_keeps_three_quarters_of_the_one_before(
    indexes: dict[tuple[str, str], Records],
) -> None:
    before, after = (binaries(indexes[release, "root"]) for release in RELEASES)
    assert 0.7 < len(before & after) / len(before) < 0.8


# Of real records of Spack 1.1, in this order.
SPEC_KEYS = [
    *("name", "version", "arch", "namespace", "parameters", "external", "patches"),
    *("package_hash", "dependencies", "annotations", "hash"),
]
FLAGS = ["cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs"]


def test_specs_have_the_keys_of_real_ones(records: Records) -> None:
    seen: set[str] = set()
    for record in records.values():
        spec = record["spec"]
        seen.update(spec)
        assert list(spec) == [key for key in SPEC_KEYS if key in spec]
        assert {*SPEC_KEYS} - {*spec} <= {"external", "patches", "dependencies"}
        assert list(spec["arch"]) == ["platform", "platform_os", "target"]
        names = list(spec["parameters"])
        assert names == [*sorted(names[:-6]), *FLAGS]
        assert "build_system" in names
        assert sorted(spec.get("patches", [])) == spec["parameters"].get("patches", [])
        assert re.fullmatch(r"[a-z2-7]{52}====", spec["package_hash"])
    assert seen == set(SPEC_KEYS)


def test_dependencies_have_the_keys_of_real_ones(records: Records) -> None:
    seen = set()
    for record in records.values():
        edges = dependencies(record)
        assert [edge["name"] for edge in edges] == sorted(edge["name"] for edge in edges)
        for edge in edges:
            assert list(edge) == ["name", "hash", "parameters"]
            assert list(edge["parameters"]) == ["deptypes", "virtuals"]
            seen.add(
                (edge["name"], *edge["parameters"]["deptypes"], *edge["parameters"]["virtuals"])
            )
    assert seen >= {
        ("gcc", "build", "c"),
        ("gcc", "build", "c", "cxx"),
        ("gcc-runtime", "link", "fortran-rt", "libgfortran"),
        ("glibc", "link", "libc"),
        ("compiler-wrapper", "build"),
        ("openmpi", "build", "link", "mpi"),
        ("openblas", "build", "link", "blas", "lapack"),
        ("zlib-ng", "build", "link", "zlib-api"),
        ("python", "build", "run"),
    }


def test_values_are_of_all_kinds(records: Records) -> None:
    specs = [record["spec"] for record in records.values()]
    values = [value for spec in specs for value in spec["parameters"].values()]
    assert {type(value) for value in values} == {bool, str, list}
    assert any(spec["parameters"]["cflags"] == ["-O3", "-g"] for spec in specs)
    assert any(len(spec.get("patches", [])) > 1 for spec in specs)
    targets = [spec["arch"]["target"] for spec in specs]
    assert {json.dumps(target)[:24] for target in targets} == {
        '"x86_64_v3"',
        '{"name": "neoverse_v2", ',
    }
    described = next(target for target in targets if isinstance(target, dict))
    assert list(described) == ["name", "vendor", "features", "generation", "parents", "cpupart"]
    assert {json.dumps(spec["annotations"]) for spec in specs} == {
        '{"original_specfile_version": 5}',
        '{"original_specfile_version": 4, "compiler": "gcc@=11.4.0"}',
        '{"original_specfile_version": 4, "compiler": "gcc@=12.3.0"}',
    }


def test_externals_are_no_binaries(records: Records) -> None:
    externals = [record for record in records.values() if "external" in record["spec"]]
    assert Counter(one["spec"]["name"] for one in externals) == {"gcc": 2, "glibc": 2}
    assert not any(one["in_buildcache"] for one in externals)
    gcc = next(one["spec"] for one in externals if one["spec"]["name"] == "gcc")
    assert json.dumps(gcc["external"]) == (
        '{"path": "/usr", "module": null, "extra_attributes": {"compilers":'
        ' {"c": "/usr/bin/gcc", "cxx": "/usr/bin/g++", "fortran": "/usr/bin/gfortran"}}}'
    )


def test_records_are_as_large_as_real_ones(folder: Path, records: Records) -> None:
    edges = sum(len(dependencies(record)) for record in records.values())
    assert 6 < edges / len(records) < 9
    data = blob(folder / "develop")[1].read_bytes()
    assert 1_300 < len(data) / data.count(b'"in_buildcache"') < 1_900


def test_some_packages_have_many_specs_and_some_are_needed_by_most(records: Records) -> None:
    specs = Counter(record["spec"]["name"] for record in records.values())
    counts = sorted(specs.values())
    assert counts[-1] > 4 * counts[len(counts) // 2]
    needed = Counter(edge["name"] for record in records.values() for edge in dependencies(record))
    for hub in ("zlib-ng", "cmake", "python"):
        assert needed[hub] > len(records) // 10


def test_today_has_13_releases_of_30_stacks_and_july_2025_every_external() -> None:
    assert SIZES["today"] == MirrorSize(13, 30, 145_000, 1_400)
    assert SIZES["july-2025"] == MirrorSize(1, 0, 378_565 - 29, 1_400)
    assert count_externals() == 29
    assert release_names(13) == [
        "v2025.07.0",
        "v2025.11.0",
        "v2026.02.0",
        "v2026.06.0",
        "develop-2026-05-03",
        "develop-2026-05-10",
        "develop-2026-05-17",
        "develop-2026-05-24",
        "develop-2026-05-31",
        "develop-2026-06-07",
        "develop-2026-06-14",
        "develop-2026-06-21",
        "develop",
    ]
    stacks = {stack for environment in with_stacks(30) for stack in environment.stacks}
    assert len(stacks) == 30 == sum(len(environment.stacks) for environment in ENVIRONMENTS)


def test_without_stacks_there_is_only_the_whole_mirror(tmp_path: Path) -> None:
    counts = generate(tmp_path, SIZE._replace(releases=1, stacks=0))
    assert (counts.indexes, counts.binaries, counts.different_binaries) == (1, 400, 400)
    systems = {
        record["spec"]["arch"]["platform_os"] for record in read(tmp_path / "develop").values()
    }
    assert systems == {environment.os for environment in ENVIRONMENTS}


def test_the_command_prints_the_counts(tmp_path: Path) -> None:
    options = ["--releases=1", "--stacks=1", "--binaries=100", "--packages=60", "--jobs=1"]
    result = CliRunner().invoke(mirrors.main, [str(tmp_path), *options], catch_exceptions=False)
    counts = json.loads(result.output)
    assert list(counts) == [*Counts._fields]
    assert (counts["releases"], counts["indexes"], counts["different_binaries"]) == (1, 2, 100)
    again = CliRunner().invoke(mirrors.main, [str(tmp_path), *options])
    assert again.exit_code == 2
    assert "is not empty" in again.output


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (SIZE._replace(stacks=31), "31 stacks asked for, but there are only 30"),
        (SIZE._replace(packages=99_999), "names"),
    ],
)
def test_impossible_size_is_refused(tmp_path: Path, size: MirrorSize, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(tmp_path, size)


def test_more_specs_than_packages_give_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_specs, "_GIVING_UP", 1)
    with pytest.raises(ValueError, match=r"^80 packages are too few for so many specs$"):
        generate(tmp_path, SIZE)


def variants(specs: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each spec with each variant, a list's values apart, as the database has them."""
    for spec in specs:
        for name, value in list(spec["parameters"].items())[:-6]:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, bool):
                    yield spec["hash"], f"{'+' if one else '~'}{name}"
                else:
                    yield spec["hash"], f"{name}={one[:7] if name == 'patches' else one}"


def test_the_naive_build_reads_everything(
    tmp_path: Path, folder: Path, indexes: dict[tuple[str, str], Records], records: Records
) -> None:
    path = tmp_path / "naive.db"
    result = CliRunner().invoke(naive_caches.main, [str(path), str(folder)], catch_exceptions=False)
    assert result.output.startswith("6 indexes in ")
    specs = set().union(*map(binaries, indexes.values()))
    edges = [edge for record in records.values() for edge in dependencies(record)]
    values = [*variants(records[spec]["spec"] for spec in specs)]
    with Database(path) as database:
        counts = {table.name: table.count for table in database.tables if "_fts" not in table.name}
        kinds = dict(database.execute("SELECT kind, count(*) FROM nodes GROUP BY kind").fetchall())
        types = database.execute(
            "SELECT sum(build), sum(link), sum(run), sum(test) FROM dependencies"
        ).fetchone()
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
    assert counts == {
        "packages": len({records[spec]["spec"]["name"] for spec in specs}),
        "releases": 2,
        "stacks": 3,
        "specs": SIZE.binaries,
        "spec_releases": sum(len(binaries(indexes[release, "root"])) for release in RELEASES),
        "spec_stacks": sum(len(binaries(index)) for index in indexes.values()),
        "variants": len({variant for _, variant in values}),
        "spec_variants": len({*values}),
        "nodes": len(records),
        "dependencies": len(edges),
    }
    assert kinds == {"binary": SIZE.binaries, "external": 4}
    deptypes = Counter(kind for edge in edges for kind in edge["parameters"]["deptypes"])
    assert types == (deptypes["build"], deptypes["link"], deptypes["run"], 0)
    assert broken == []
