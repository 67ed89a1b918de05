"""The plain reader of build caches and the writer of made-up ones do what they say."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from tests.etl import mirror
from tests.etl.cache_oracle import KEYS, Counts, Index, counts, expected, records, sizes
from tests.etl.mirror import dep, record
from tests.etl.samples import BOOTSTRAP, E4S, NEOVERSE, SAMPLE, V2_E4S
from tests.pages import REAL, dag_hash


@pytest.mark.parametrize(
    ("index", "numbers", "version"),
    [
        (BOOTSTRAP, Counts(82, 59, 0, 23, 75), "5"),
        (V2_E4S, Counts(61, 38, 21, 2, 314), "7"),
        (E4S, Counts(66, 40, 23, 3, 436), "8"),
        (NEOVERSE, Counts(41, 39, 0, 2, 254), "8"),
    ],
    ids=lambda value: value.path if isinstance(value, Index) else "",
)
def test_the_samples_in_numbers(index: Index, numbers: Counts, version: str) -> None:
    assert counts(index.file) == numbers
    (source,) = expected([index])["sources"]
    assert source["database_version"] == version
    assert source["num_records"] == numbers.records
    assert source["num_specs"] == numbers.binaries


@pytest.mark.parametrize("index", [E4S, NEOVERSE], ids=lambda index: index.stack)
def test_every_binary_of_the_sample_mirror_has_a_manifest(index: Index) -> None:
    binaries = {key for key, record in records(index.file).items() if record.binary}
    assert set(sizes(index)) == binaries
    assert index.file.name == hashlib.sha256(index.file.read_bytes()).hexdigest()


def test_the_tables_of_the_sample_mirror_in_numbers() -> None:
    tables = expected([E4S, NEOVERSE])
    assert {name: len(tables[name]) for name in KEYS} == {
        "packages": 55,
        "specs": 79,
        "stacks": 2,
        "spec_stacks": 79,
        "releases": 1,
        "spec_releases": 79,
        "variants": 156,
        "spec_variants": 350,
        "nodes": 107,
        "dependencies": 690,
        "sources": 2,
    }


def test_hashes_and_signatures_of_the_samples_are_whole() -> None:
    for index in (BOOTSTRAP, V2_E4S):
        data = index.file.read_bytes()
        said = index.file.with_name("index.json.hash").read_text().strip()
        assert said == hashlib.sha256(data).hexdigest()
    signed = sorted((E4S.mirror / "v3/manifests/spec").rglob("*.json"))
    assert all(b"BEGIN PGP SIGNATURE" in file.read_bytes() for file in signed)
    assert not [file for file in SAMPLE.rglob("*") if file.is_file() and file.stat().st_size > 1e5]
    assert len(sizes(V2_E4S)) == 3


@pytest.mark.parametrize("version", mirror.VERSIONS)
def test_every_version_of_a_made_index_says_the_same(tmp_path: Path, version: str) -> None:
    made = [
        record("gcc", "12.2.0", external={"path": "/usr", "module": None}),
        record("zlib", "1.3", deps=[dep("gcc", types=["build"])], in_buildcache=False),
        record(
            "hdf",
            "1.14",
            deps=[dep("zlib"), dep("gcc", types=["build"])],
            parameters={"mpi": True, "patches": ["0123456789"], "cflags": ["-O2", "-g"]},
        ),
    ]
    file = mirror.write_bare(tmp_path, mirror.index(*made, version=version))
    assert counts(file) == Counts(3, 1, 1, 1, 3)
    found = records(file)[dag_hash("hdf")]
    assert found.facts == {
        "package": "hdf",
        "version": "1.14",
        "compiler": "gcc@12.2.0",
        "os": "ubuntu22.04",
        "platform": "linux",
        "target": "x86_64_v3",
        "variants": ["+mpi", "patches=0123456"],
        "namespace": "builtin",
        "flags": ["cflags='-O2 -g'"],
        "build_spec": None,
    }
    assert found.edges == {
        dag_hash("zlib"): ("zlib", {"build", "link"}, set()),
        dag_hash("gcc"): ("gcc", {"build"}, set()),
    }


def test_made_mirrors_are_laid_out_as_spacks(tmp_path: Path) -> None:
    content = mirror.index(record("zlib", "1.3"))
    key = dag_hash("zlib")
    file = mirror.write_layout3(tmp_path, content, compression="gzip", sizes={key: 7})
    assert json.loads(gzip.decompress(file.read_bytes())) == content
    manifest = json.loads((tmp_path / "v3/manifests/index/index.manifest.json").read_bytes())
    real = json.loads((E4S.mirror / "v3/manifests/index/index.manifest.json").read_bytes())
    assert manifest["data"][0].keys() == real["data"][0].keys()
    assert file == tmp_path / mirror.blob_path(manifest["data"][0]["checksum"])
    three = Index("develop", "root", 3, file, tmp_path)
    checksum = mirror.tarball_checksum(key)
    assert sizes(three) == {key: (7, f"blobs/sha256/{checksum[:2]}/{checksum}")}

    content = mirror.index(record("zlib", "1.3"), version="7")
    file = mirror.write_layout2(tmp_path, content, {key: 9})
    where = (
        "build_cache/linux-ubuntu22.04-x86_64_v3/gcc-12.2.0/zlib-1.3/"
        f"linux-ubuntu22.04-x86_64_v3-gcc-12.2.0-zlib-1.3-{key}.spack"
    )
    assert sizes(Index("develop", "root", 2, file, tmp_path)) == {key: (9, where)}


def test_a_page_counts_after_the_index_of_its_release() -> None:
    pages = sorted(REAL.glob("*/*/specs.md"))
    tables = expected([E4S], pages)
    assert len(tables["specs"]) == 414 + 40
    assert len(tables["sources"]) == 6
    told = {row["hash"]: row for row in tables["specs"]}
    assert told["255hkvjjlmt7je7ljqabxkt4rcdwlcbh"]["flags"] is None
    assert told["dcx5txiifptzw53fzzefdriu7yarnyag"]["flags"] == "[]"
