"""Build caches that Spack itself made are in the tables, every fact of them and nothing else."""

from pathlib import Path

import pytest

from tests.conftest import build
from tests.etl.cache_builds import compare, one, problems, prove, query
from tests.etl.cache_oracle import Index
from tests.etl.samples import ALL, BOOTSTRAP, CACHES, E4S, NEOVERSE, SAMPLE, V2_E4S
from tests.pages import REAL

HDF5 = "dcx5txiifptzw53fzzefdriu7yarnyag"
ZLIB = "lhm764r2hlrytgbbufdtbmorh75nyz7t"


@pytest.fixture(scope="module")
def sample_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the sample mirror; only for reading."""
    return build(tmp_path_factory.mktemp("sample") / "a.db", SAMPLE)


@pytest.fixture(scope="module")
def whole_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of all samples and of the real pages; only for reading."""
    return build(tmp_path_factory.mktemp("whole") / "a.db", SAMPLE, CACHES, REAL)


@pytest.mark.parametrize("index", ALL, ids=lambda index: index.path)
def test_every_table_of_one_index(tmp_path: Path, index: Index) -> None:
    prove(tmp_path / "a.db", [index.mirror], [index])
    assert problems(tmp_path / "a.db") == []


def test_every_table_of_the_sample_mirror(sample_database: Path) -> None:
    compare(sample_database, [E4S, NEOVERSE])
    assert problems(sample_database) == []


def test_every_table_of_pages_and_indexes_together(tmp_path: Path) -> None:
    pages = sorted(REAL.glob("*/*/specs.md"))
    prove(tmp_path / "a.db", [REAL, SAMPLE, CACHES], ALL, pages)
    assert problems(tmp_path / "a.db") == []


@pytest.mark.parametrize(
    ("index", "numbers"),
    [
        # Records, binaries, dependency-only, externals, edges: the table of the mirrors' README.
        (BOOTSTRAP, (82, 59, 0, 23, 75)),
        (V2_E4S, (61, 38, 21, 2, 314)),
        (E4S, (66, 40, 23, 3, 436)),
        (NEOVERSE, (41, 39, 0, 2, 254)),
    ],
    ids=lambda value: value.path if isinstance(value, Index) else "",
)
def test_what_an_index_holds_in_numbers(
    tmp_path: Path, index: Index, numbers: tuple[int, ...]
) -> None:
    database = build(tmp_path / "a.db", index.mirror)
    records, binaries, holes, externals, edges = numbers
    assert query(database, "SELECT num_records, num_specs FROM sources") == [(records, binaries)]
    kinds = {"binary": binaries, "external": externals, "missing": holes}
    assert dict(query(database, "SELECT kind, count(*) FROM nodes GROUP BY kind")) == {
        kind: number for kind, number in kinds.items() if number
    }
    assert query(database, "SELECT count(*) FROM specs") == [(binaries,)]
    assert query(database, "SELECT count(*) FROM dependencies") == [(edges,)]


def test_the_sample_mirror_in_numbers(sample_database: Path) -> None:
    # The peer shows 107 builds, of which 79 are binaries.
    tables = ("specs", "nodes", "dependencies", "spec_stacks", "spec_releases", "sources")
    counted = {
        table: query(sample_database, f"SELECT count(*) FROM {table}")[0][0] for table in tables
    }
    assert counted == {
        "specs": 79,
        "nodes": 107,
        "dependencies": 690,
        "spec_stacks": 79,
        "spec_releases": 79,
        "sources": 2,
    }
    assert query(sample_database, "SELECT name, num_packages, num_specs, releases FROM stacks") == [
        ("e4s", 40, 40, '["develop"]'),
        ("e4s-neoverse-v2", 39, 39, '["develop"]'),
    ]


def test_the_releases_of_all_samples(whole_database: Path) -> None:
    sql = "SELECT name, kind, date, position, num_specs, mirror, layout FROM releases"
    assert query(whole_database, f"{sql} ORDER BY position") == [
        ("develop", "develop", None, 1, 493, "https://binaries.spack.io/develop", 3),
        ("v0.23.1", "version", None, 2, 38, "https://binaries.spack.io/v0.23.1", 2),
        ("clingo-bootstrap", "mirror", None, 3, 59, str(CACHES / "clingo-bootstrap"), None),
    ]


def test_the_sources_of_all_samples(whole_database: Path) -> None:
    columns = "path, release, package, stack, layout, database_version, num_records, num_specs"
    sql = f"SELECT {columns}, bytes, sha256 FROM sources WHERE kind = 'index' ORDER BY path"
    assert query(whole_database, sql) == [
        (
            "clingo-bootstrap/index.json",
            *("clingo-bootstrap", None, "root", None, "5", 82, 59, 84833),
            "5d465a2418aeaad6ddf4bb191058a6f8b31290fea81f1a1a6da87bfcc793a82d",
        ),
        (
            "develop/e4s-neoverse-v2/index.json",
            *("develop", None, "e4s-neoverse-v2", 3, "8", 41, 39, 68439),
            "5185af42bc971b34d51bdf0e109f035af377cfd1c50f8da4537745f69ccda4b1",
        ),
        (
            "develop/e4s/index.json",
            *("develop", None, "e4s", 3, "8", 66, 40, 88486),
            "46e517f7e4588c95142c2d42c1129e5f3bba712dc7c852a5fa22c23e05abcff9",
        ),
        (
            "v0.23.1/e4s/index.json",
            *("v0.23.1", None, "e4s", 2, "7", 61, 38, 72265),
            V2_E4S.file.with_name("index.json.hash").read_text().strip(),
        ),
    ]
    assert query(whole_database, "SELECT kind, count(*) FROM sources GROUP BY kind") == [
        ("index", 4),
        ("page", 5),
    ]


def test_hdf5_of_the_sample_mirror(sample_database: Path) -> None:
    columns = (
        "package, version, version_rank, compiler, compiler_name, compiler_version, os, platform,"
        " target, variants, size, spec, stacks, releases, newest, namespace, flags, build_spec"
    )
    assert query(sample_database, f"SELECT {columns} FROM specs WHERE hash = ?", HDF5) == [
        (
            *("hdf5", "1.14.6", 1, "gcc@12.2.0", "gcc", "12.2.0"),
            *("ubuntu22.04", "linux", "x86_64_v3"),
            '["api=default","build_system=cmake","build_type=Release","~cxx","+fortran",'
            '"generator=make","~hl","~ipo","~java","~map","+mpi","+shared","~subfiling","~szip",'
            '"~threadsafe","+tools"]',
            26865,
            "hdf5@1.14.6 api=default build_system=cmake build_type=Release ~cxx +fortran "
            "generator=make ~hl ~ipo ~java ~map +mpi +shared ~subfiling ~szip ~threadsafe +tools "
            "arch=linux-ubuntu22.04-x86_64_v3 %gcc@12.2.0",
            *('["e4s"]', '["develop"]', 1, "builtin", "[]", None),
        )
    ]
    sql = "SELECT release, tarball FROM spec_releases WHERE spec = ?"
    assert query(sample_database, sql, HDF5) == [
        (
            "develop",
            "https://binaries.spack.io/develop/e4s/blobs/sha256/68/"
            "687e0578a9eeed960ce3eef05763eaefc1f2e5b767b0540f72843f4d53e6461c",
        )
    ]


def test_what_hdf5_of_the_sample_mirror_depends_on(sample_database: Path) -> None:
    sql = (
        "SELECT package, version, kind, external, dependency, build, link, run, test, virtuals"
        " FROM dependencies JOIN nodes ON hash = dependency WHERE spec = ? ORDER BY package"
    )
    build_only, link_only, run_only, both = (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (1, 1, 0, 0)
    external, missing, binary = ("external", "/usr"), ("missing", None), ("binary", None)
    assert query(sample_database, sql, HDF5) == [
        ("cmake", "3.31.9", *missing, "i4o6y3tmlhlq7w6huml6eh36psefo64g", *build_only, "[]"),
        ("compiler-wrapper", "1.0", *missing, "ntccuj2fi3y7asqifeq3i4iylrbxakw2", *build_only, "[]"),
        (
            *("gcc", "12.2.0", *external, "hbannzhuyz6zggso3gist2ec5lud27ke", *build_only),
            '["c","fortran"]',
        ),
        (
            *("gcc-runtime", "12.2.0", *binary, "yp5vkqk2ysgbd34xg6d2c5oohjcruihs", *link_only),
            '["fortran-rt","libgfortran"]',
        ),
        ("glibc", "2.36", *external, "4xnl3xwvgcq4tykouo5llmzxf2sp56n7", *link_only, '["libc"]'),
        ("gmake", "4.4.1", *missing, "vf4n27zyeimqhj2poeteqtbqdnzdzavt", *build_only, "[]"),
        ("openmpi", "5.0.8", *binary, "vcihfhzk26v5hsb3h23zezfuorrk4i6n", *both, '["mpi"]'),
        ("pkgconf", "2.5.1", *binary, "b5gsv3c22u5jv74hg4vg64cftingbx3z", *run_only, '["pkgconfig"]'),
        ("zlib-ng", "2.2.4", *binary, ZLIB, *both, '["zlib-api"]'),
    ]  # fmt: skip


def test_what_depends_on_zlib_in_the_sample_mirror(sample_database: Path) -> None:
    sql = "SELECT flags, size FROM specs WHERE hash = ?"
    assert query(sample_database, sql, ZLIB) == [("""["cflags='-O3 -g'","cxxflags=-O3"]""", 5393)]
    sql = "SELECT package FROM dependencies JOIN nodes ON hash = spec WHERE dependency = ?"
    needed_by = [row[0] for row in query(sample_database, f"{sql} ORDER BY package", ZLIB)]
    assert "hdf5" in needed_by
    assert "zlib-ng" not in needed_by


def test_a_target_that_is_an_object_is_its_name(sample_database: Path) -> None:
    sql = "SELECT target, count(*) FROM specs GROUP BY target"
    assert query(sample_database, sql) == [("neoverse_v2", 39), ("x86_64_v3", 40)]


def test_hdf5_of_two_releases(whole_database: Path) -> None:
    sql = "SELECT version, version_rank, target, newest, size FROM specs WHERE package = 'hdf5'"
    assert query(whole_database, f"{sql} ORDER BY version, target") == [
        ("1.14.5", 2, "x86_64_v3", 2, None),
        ("1.14.6", 1, "neoverse_v2", 1, 23716),
        ("1.14.6", 1, "x86_64_v3", 1, 26865),
    ]


def test_sizes_and_tarballs_of_layout_2(whole_database: Path) -> None:
    sql = (
        "SELECT package, size, tarball FROM specs JOIN spec_releases AS r ON r.spec = hash"
        " WHERE release = 'v0.23.1' AND size IS NOT NULL ORDER BY package"
    )
    folder = "https://binaries.spack.io/v0.23.1/e4s/build_cache/linux-ubuntu22.04-x86_64_v3"
    start = f"{folder}/gcc-12.2.0/{{}}/linux-ubuntu22.04-x86_64_v3-gcc-12.2.0-{{}}".format
    assert query(whole_database, sql) == [
        (
            *("gcc-runtime", 4212),
            start(*["gcc-runtime-12.2.0"] * 2) + "-cenmbeilqxr3ntzxyllujqfi5h35ont4.spack",
        ),
        (
            *("zlib-ng", 9844),
            start(*["zlib-ng-2.2.1"] * 2) + "-y5dly2a4wofuicxage23hvpejoqxq4vs.spack",
        ),
        (
            *("zstd", 9751),
            start(*["zstd-1.5.6"] * 2) + "-7a64fyriwb5snfjj3k47kvxiiw5qau6e.spack",
        ),
    ]


def test_a_public_index_of_2021(whole_database: Path) -> None:
    spec = "rfu4la457mdbpoffk2g5hikj2hhoek4s"
    sql = "SELECT spec, stacks, releases, newest, namespace, flags FROM specs WHERE hash = ?"
    assert query(whole_database, sql, spec) == [
        (
            "clingo-bootstrap@spack build_type=Release ~docs ~ipo +python "
            "arch=linux-centos7-ppc64le %gcc@9.3.1",
            *('["root"]', '["clingo-bootstrap"]', 3, "builtin", "[]"),
        )
    ]
    sql = "SELECT dependency, build, link, run, test, virtuals FROM dependencies WHERE spec = ?"
    python = "wvnrbl3rtcxeexr3ynyelfhoegf57ngv"
    assert query(whole_database, sql, spec) == [(python, 1, 1, 1, 0, "[]")]
    assert query(whole_database, "SELECT * FROM nodes WHERE hash = ?", python) == [
        (python, "python", "3.6", "external", "/opt/python/cp36-cp36m")
    ]
    sql = "SELECT DISTINCT compiler, flags FROM specs WHERE package = 'npth' AND os = 'catalina'"
    assert query(whole_database, sql) == [
        ("apple-clang@12.0.0", """["cflags='-mmacosx-version-min=10.13'"]""")
    ]


def test_pages_tell_less_than_indexes(whole_database: Path) -> None:
    sql = "SELECT hash, namespace, flags, build_spec, stacks FROM specs WHERE hash = ?"
    page_only = "255hkvjjlmt7je7ljqabxkt4rcdwlcbh"
    assert query(whole_database, sql, page_only) == [
        (page_only, None, None, None, '["developer-tools","root"]')
    ]
    assert query(whole_database, "SELECT * FROM nodes WHERE hash = ?", page_only) == [
        (page_only, "py-msgpack", "1.0.3", "binary", None)
    ]


def test_only_some_releases(tmp_path: Path) -> None:
    database = build(tmp_path / "a.db", SAMPLE, CACHES, "--release", "v0.23.1")
    compare(database, [V2_E4S])


def test_only_some_packages(tmp_path: Path) -> None:
    database = build(tmp_path / "a.db", SAMPLE, "--package", "hdf5", "--package", "zlib-ng")
    sql = "SELECT package, count(*) FROM specs GROUP BY package"
    assert query(database, sql) == [("hdf5", 2), ("zlib-ng", 2)]


def test_an_index_that_lies_below_several_names(tmp_path: Path) -> None:
    # Named itself, by its stack, its release and the folder above: it is one.
    link = tmp_path / "v9.9"
    link.symlink_to(SAMPLE / "develop" / "e4s")
    paths = [SAMPLE, SAMPLE / "develop", SAMPLE / "develop" / "e4s", link]
    tables = prove(tmp_path / "a.db", paths, [E4S, NEOVERSE])
    assert one(tables["releases"], name="develop")["num_specs"] == 79
