"""Every spelling of every version of an index says what it means."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.etl import mirror
from tests.etl.cache_builds import one, problems, prove, query
from tests.etl.cache_oracle import Index, Tables
from tests.etl.mirror import Dep, Record, dep, index, record
from tests.pages import dag_hash

GCC = record("gcc", "12.2.0", external={"path": "/usr", "module": None}, compiler=None)

Tell = Callable[..., Tables]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Writes a bare index of develop, builds it, proves the database: its tables."""

    def tell(*records: Record, version: str = "8") -> Tables:
        folder = tmp_path / "develop"
        file = mirror.write_bare(folder, index(*records, version=version))
        indexes = [Index("develop", "root", None, file, folder)]
        return prove(tmp_path / "a.db", [folder], indexes)

    return tell


def edges(tables: Tables, word: str) -> list[tuple[Any, ...]]:
    """The dependencies of a record: the hash's word, build, link, run, test, virtuals."""
    return sorted(
        (
            row["dependency"].rstrip("a"),
            *(row[kind] for kind in ("build", "link", "run", "test")),
            *json.loads(row["virtuals"]),
        )
        for row in tables["dependencies"]
        if row["spec"] == dag_hash(word)
    )


# What one record says.


@pytest.mark.parametrize("version", mirror.VERSIONS)
def test_every_version_of_the_database(tell: Tell, version: str) -> None:
    tables = tell(
        GCC,
        record("zlib", "1.3", deps=[dep("gcc", types=["build"])], in_buildcache=False),
        record(
            "mpich",
            "4.1",
            deps=[dep("zlib", types=["link", "run"]), dep("gcc", types=["build", "test"])],
            parameters={"build_system": "autotools", "fortran": False} | mirror.NO_FLAGS,
        ),
        record("hdf", "1.14", deps=[dep("mpich", virtuals=["mpi"])], target="zen4"),
        version=version,
    )
    assert [row["spec"] for row in tables["specs"]] == [
        "hdf@1.14 build_system=generic arch=linux-ubuntu22.04-zen4 %gcc@12.2.0",
        "mpich@4.1 build_system=autotools ~fortran arch=linux-ubuntu22.04-x86_64_v3 %gcc@12.2.0",
    ]
    assert edges(tables, "mpich") == [("gcc", 1, 0, 0, 1), ("zlib", 0, 1, 1, 0)]
    virtuals = ("mpi",) if version in ("7", "8", "9") else ()
    assert edges(tables, "hdf") == [("mpich", 1, 1, 0, 0, *virtuals)]
    assert edges(tables, "zlib") == [("gcc", 1, 0, 0, 0)]
    assert [(row["package"], row["version"], row["kind"]) for row in tables["nodes"]] == [
        ("gcc", "12.2.0", "external"),
        ("hdf", "1.14", "binary"),
        ("mpich", "4.1", "binary"),
        ("zlib", "1.3", "missing"),
    ]
    (source,) = tables["sources"]
    assert source["database_version"] == version
    assert (source["num_records"], source["num_specs"], source["layout"]) == (4, 2, None)


@pytest.mark.parametrize("version", mirror.VERSIONS)
@pytest.mark.parametrize("key", ["full_hash", "build_hash"])
def test_old_keys_of_a_dependencys_hash(tell: Tell, version: str, key: str) -> None:
    needed = dep("zlib", types=["link"], key=key)
    tables = tell(record("zlib"), record("hdf", deps=[needed]), version=version)
    assert edges(tables, "hdf") == [("zlib", 0, 1, 0, 0)]


@pytest.mark.parametrize("version", ["6", "7", "8", "9"])
def test_a_name_with_two_hashes(tell: Tell, version: str) -> None:
    tables = tell(
        record("python", "3.11", "pold"),
        record("python", "3.12", "pnew"),
        record(
            "hdf",
            deps=[
                dep("python", "pnew", ["build"], ["interpreter"]),
                dep("python", "pold", ["link", "run"], []),
            ],
        ),
        version=version,
    )
    virtuals = () if version == "6" else ("interpreter",)
    assert edges(tables, "hdf") == [("pnew", 1, 0, 0, 0, *virtuals), ("pold", 0, 1, 1, 0)]


@pytest.mark.parametrize("version", ["6", "7", "8", "9"])
def test_one_hash_twice_joins_types_and_virtuals(tell: Tell, version: str) -> None:
    tables = tell(
        record("zlib"),
        record(
            "hdf",
            deps=[
                dep("zlib", types=["run"], virtuals=["z", "a"]),
                dep("zlib", virtuals=["m", "z"]),
            ],
        ),
        version=version,
    )
    virtuals = () if version == "6" else ("a", "m", "z")
    assert edges(tables, "hdf") == [("zlib", 1, 1, 1, 0, *virtuals)]


def test_records_in_any_order(tell: Tell) -> None:
    # What depends on a record can stand before it.
    tables = tell(record("hdf", deps=[dep("zlib")]), record("zlib"))
    assert edges(tables, "hdf") == [("zlib", 1, 1, 0, 0)]
    assert [row["kind"] for row in tables["nodes"]] == ["binary", "binary"]


@pytest.mark.parametrize("version", mirror.VERSIONS)
def test_a_target_as_an_object(tell: Tell, version: str) -> None:
    target = {
        "name": "neoverse_v2",
        "vendor": "ARM",
        "features": ["aes", "asimd"],
        "generation": 0,
        "parents": ["neoverse_n1", "armv9.0a"],
        "cpupart": "0xd4f",
    }
    (row,) = tell(record("zlib", target=target), version=version)["specs"]
    assert row["target"] == "neoverse_v2"
    assert row["spec"].endswith("arch=linux-ubuntu22.04-neoverse_v2 %gcc@12.2.0")


def language(name: str, *virtuals: str) -> Dep:
    return dep(name, types=["build"], virtuals=virtuals)


LLVM = record("llvm", "18.1", compiler=None)
OF_OLD = {"original_specfile_version": 4, "compiler": "oneapi@=2024.1.0"}


@pytest.mark.parametrize("version", ["8", "9"])
@pytest.mark.parametrize(
    ("deps", "changes", "compiler", "named", "compiler_version"),
    [
        ([], {"annotations": OF_OLD}, "oneapi@2024.1.0", "oneapi", "2024.1.0"),
        ([language("gcc", "c")], {"annotations": OF_OLD}, "oneapi@2024.1.0", "oneapi", "2024.1.0"),
        (
            [language("gcc", "c")],
            {"annotations": {"original_specfile_version": 5}},
            *("gcc@12.2.0", "gcc", "12.2.0"),
        ),
        ([language("gcc", "c", "cxx", "fortran")], {}, "gcc@12.2.0", "gcc", "12.2.0"),
        ([language("llvm", "cxx"), language("gcc", "c")], {}, "gcc@12.2.0", "gcc", "12.2.0"),
        ([language("gcc", "fortran"), language("llvm", "cxx")], {}, "llvm@18.1", "llvm", "18.1"),
        ([language("gcc", "fortran")], {}, "gcc@12.2.0", "gcc", "12.2.0"),
        ([language("gcc", "fortran-rt"), language("llvm")], {}, "none", "none", None),
        ([], {}, "none", "none", None),
    ],
    ids=["annotation", "annotation first", "native", "all", "c", "cxx", "fortran", "other", "none"],
)
def test_the_compiler_of_a_spec(
    tell: Tell,
    version: str,
    deps: list[Dep],
    changes: dict[str, Any],
    compiler: str,
    named: str,
    compiler_version: str | None,
) -> None:
    zlib = record("zlib", deps=deps, compiler=None, **changes)
    row = one(tell(GCC, LLVM, zlib, version=version)["specs"], package="zlib")
    found = (row["compiler"], row["compiler_name"], row["compiler_version"])
    assert found == (compiler, named, compiler_version)
    built = "" if compiler == "none" else f" %{compiler}"
    assert row["spec"] == f"zlib@1.0 build_system=generic arch=linux-ubuntu22.04-x86_64_v3{built}"


def test_a_compiler_without_a_record_is_its_name(tell: Tell, tmp_path: Path) -> None:
    intel = "intel-oneapi-compilers"
    deps = [Dep(intel, dag_hash("intel"), ["build"], ["c"])]
    (row,) = tell(record("zlib", deps=deps, compiler=None))["specs"]
    assert (row["compiler"], row["compiler_name"], row["compiler_version"]) == (intel, intel, None)
    assert row["spec"].endswith(f" %{intel}")
    assert problems(tmp_path / "a.db") == [("develop/index.json", "warning", "missing-record")]


def test_a_compiler_that_is_a_hole_or_listed_later(tell: Tell) -> None:
    zlib = record("zlib", deps=[language("gcc", "c")], compiler=None)
    hole = record("gcc", "14.1", compiler=None, in_buildcache=False)
    (row,) = tell(zlib, hole)["specs"]
    assert row["compiler"] == "gcc@14.1"


VARIANTS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"mpi": True, "cxx": False}, ["+mpi", "~cxx"], ["+mpi", "~cxx"]),
    ({"z": "1", "b": True, "a": "2"}, ["z=1", "+b", "a=2"], ["+b", "a=2", "z=1"]),
    ({"libs": ["shared", "static"]}, ["libs=shared,static"], ["libs=shared", "libs=static"]),
    ({"tls": ["openssl"]}, ["tls=openssl"], ["tls=openssl"]),
    (
        {"languages": ["c", "c++", "fortran"]},
        ["languages='c,c++,fortran'"],
        ["languages=c", "languages=c++", "languages=fortran"],
    ),
    ({"cache_base": "/dev/shm"}, ["cache_base=/dev/shm"], ["cache_base=/dev/shm"]),
    ({"x": "a-b_c.d[0]"}, ["x=a-b_c.d[0]"], ["x=a-b_c.d[0]"]),
    ({"x": "two words"}, ["x='two words'"], ["x=two words"]),
    ({"x": "a=b"}, ["x='a=b'"], ["x=a=b"]),
    ({"x": "*"}, ["x='*'"], ["x=*"]),
    ({"x": "a:b"}, ["x='a:b'"], ["x=a:b"]),
    ({"x": "ü"}, ["x='ü'"], ["x=ü"]),
    ({"x": 'say "hi"'}, ["""x='say "hi"'"""], ['x=say "hi"']),
    ({"x": "it's"}, ['''x="it's"'''], ["x=it's"]),
    ({"x": ["it's", "so"]}, ['''x="it's,so"'''], ["x=it's", "x=so"]),
    ({"x": ""}, ["x=''"], ["x="]),
    ({"x": []}, ["x=''"], ["x="]),
    ({"x": "none"}, ["x=none"], ["x=none"]),
    (
        {"patches": ["7a351bc4953a4ab7" + 48 * "0", "0f6940d" + 57 * "1"], "x": "0123456789"},
        ["patches=7a351bc,0f6940d", "x=0123456789"],
        ["patches=0f6940d", "patches=7a351bc", "x=0123456789"],
    ),
    ({"commit": 5 * "01234567"}, [f"commit={5 * '01234567'}"], [f"commit={5 * '01234567'}"]),
    ({"cflags": ["-O2"], "x": "1", "ldlibs": []}, ["x=1"], ["x=1"]),
    ({}, [], []),
]
FLAGS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    (mirror.NO_FLAGS, []),
    ({"cflags": ["-O2"]}, ["cflags=-O2"]),
    ({"cflags": ["-O2", "-g"]}, ["cflags='-O2 -g'"]),
    ({"cflags": ["-mmacosx-version-min=10.13"]}, ["cflags='-mmacosx-version-min=10.13'"]),
    ({"cflags": ["-DNAME='x'"]}, ['''cflags="-DNAME='x'"''']),
    (
        {
            "ldlibs": ["-lm"],
            "x": "1",
            "ldflags": ["-Wl"],
            "fflags": ["-f"],
            "cxxflags": ["-w"],
            "cppflags": ["-p"],
            "cflags": ["-c"],
        },
        ["cflags=-c", "cppflags=-p", "cxxflags=-w", "fflags=-f", "ldflags=-Wl", "ldlibs=-lm"],
    ),
]


def word(number: int) -> str:
    """Of two letters, for the hash of a record."""
    return "bcdefghijk"[number // 10] + "bcdefghijk"[number % 10]


@pytest.fixture(scope="module")
def spelled(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of one index with every one of `VARIANTS` and `FLAGS`."""
    folder = tmp_path_factory.mktemp("spelled") / "develop"
    every = [parameters for parameters, *_ in (*VARIANTS, *FLAGS)]
    made = [
        record("zlib", word=word(number), parameters=parameters)
        for number, parameters in enumerate(every)
    ]
    file = mirror.write_bare(folder, index(*made))
    database = folder.parent / "a.db"
    return prove(database, [folder], [Index("develop", "root", None, file, folder)])


@pytest.mark.parametrize("number", range(len(VARIANTS)), ids=lambda n: str(VARIANTS[n][1]))
def test_variants(spelled: Tables, number: int) -> None:
    _, listed, values = VARIANTS[number]
    key = dag_hash(word(number))
    row = one(spelled["specs"], hash=key)
    assert json.loads(row["variants"]) == listed
    text = "".join(f" {variant}" for variant in listed)
    assert row["spec"] == f"zlib@1.0{text} arch=linux-ubuntu22.04-x86_64_v3 %gcc@12.2.0"
    assert [row["variant"] for row in spelled["spec_variants"] if row["spec"] == key] == values


@pytest.mark.parametrize("number", range(len(FLAGS)), ids=lambda n: str(FLAGS[n][1]))
def test_flags(spelled: Tables, number: int) -> None:
    row = one(spelled["specs"], hash=dag_hash(word(len(VARIANTS) + number)))
    assert json.loads(row["flags"]) == FLAGS[number][1]


def test_names_and_values_of_variants(spelled: Tables) -> None:
    found = {row["variant"]: (row["name"], row["value"]) for row in spelled["variants"]}
    assert found["+mpi"] == ("mpi", "true")
    assert found["~cxx"] == ("cxx", "false")
    assert found["languages=c++"] == ("languages", "c++")
    assert found["x="] == ("x", "")
    assert found["x=a=b"] == ("x", "a=b")
    assert one(spelled["variants"], variant="x=1")["num_specs"] == 2


def test_a_spliced_spec(tell: Tell) -> None:
    of = {"name": "hdf", "hash": dag_hash("before")}
    tables = tell(record("hdf", build_spec=of), record("zlib"))
    assert one(tables["specs"], package="hdf")["build_spec"] == f"hdf/{dag_hash('before')}"
    assert one(tables["specs"], package="zlib")["build_spec"] is None


def test_a_namespace_that_is_unknown(tell: Tell) -> None:
    tables = tell(record("hdf", namespace=None), record("zlib", namespace="site.own"))
    assert [row["namespace"] for row in tables["specs"]] == [None, "site.own"]


# Which records are binaries, and what the others are.


def test_nodes_of_every_kind(tell: Tell, tmp_path: Path) -> None:
    tables = tell(
        record("a", "1", external={"path": "/opt/a", "module": ["a/1"], "extra_attributes": {}}),
        record("b", "2", external={"path": None, "module": "b/2", "extra_attributes": {}}),
        record("c", "3", external={"path": None, "module": ["c/3"], "extra_attributes": {}}),
        record("d", "4", external={"path": None, "module": None}),
        record("e", "5", external={"path": "/opt/e", "module": "e/5"}),
        record("f", "6", in_buildcache=False),
        record("g", "7", deps=[dep(name) for name in "abcdefh"]),
    )
    assert [(row["package"], *list(row.values())[2:]) for row in tables["nodes"]] == [
        ("a", "1", "external", "/opt/a"),
        ("b", "2", "external", "b/2"),
        ("c", "3", "external", "c/3"),
        ("d", "4", "external", None),
        ("e", "5", "external", "/opt/e"),
        ("f", "6", "missing", None),
        ("g", "7", "binary", None),
        ("h", None, "missing", None),
    ]
    assert [row["package"] for row in tables["specs"]] == ["g"]
    ((source, kind, message),) = query(
        tmp_path / "a.db", "SELECT source, kind, message FROM problems"
    )
    assert (source, kind) == ("develop/index.json", "missing-record")
    assert dag_hash("h") in message


def test_an_external_of_the_cache_is_a_binary(tell: Tell) -> None:
    zlib = record("zlib", external={"path": "/usr", "module": None})
    tables = tell(Record(**{**vars(zlib), "in_buildcache": True}))
    assert [(row["kind"], row["external"]) for row in tables["nodes"]] == [("binary", None)]
    assert len(tables["specs"]) == 1


@pytest.mark.parametrize("version", ["5", "6"])
def test_an_index_that_does_not_say_what_is_a_binary(
    tell: Tell, tmp_path: Path, version: str
) -> None:
    tables = tell(
        record("gcc", external={"path": "/usr", "module": None}, in_buildcache=None),
        record("zlib", in_buildcache=None),
        record("hdf", in_buildcache=None),
        version=version,
    )
    assert [row["package"] for row in tables["specs"]] == ["hdf", "zlib"]
    assert problems(tmp_path / "a.db") == [("develop/index.json", "warning", "in-buildcache")]


def test_edges_of_records_that_are_no_binaries(tell: Tell) -> None:
    tables = tell(
        record("gcc", external={"path": "/usr", "module": None}, deps=[dep("glibc")]),
        record("glibc", in_buildcache=False, deps=[dep("linux", types=["test"])]),
        record("linux", in_buildcache=False),
    )
    assert edges(tables, "gcc") == [("glibc", 1, 1, 0, 0)]
    assert edges(tables, "glibc") == [("linux", 0, 0, 0, 1)]
    assert tables["specs"] == tables["packages"] == []


def test_an_index_without_records(tell: Tell) -> None:
    tables = tell()
    (release,) = tables["releases"]
    assert (release["num_packages"], release["num_specs"]) == (0, 0)
