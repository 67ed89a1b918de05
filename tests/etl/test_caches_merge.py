"""What indexes and pages say together: one row for each hash, and whose word counts."""

from pathlib import Path

import pytest

from tests.etl import mirror
from tests.etl.cache_builds import Site, one
from tests.etl.mirror import dep, record
from tests.pages import dag_hash, spec


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_a_binary_of_one_stack_is_a_hole_of_another(site: Site) -> None:
    site.cache("develop", "root", record("zlib"), record("hdf", deps=[dep("zlib")]))
    site.cache("develop", "gpu", record("zlib", in_buildcache=False))
    site.cache("develop", "cpu", record("zlib"))
    tables = site.prove()
    assert [(row["spec"].rstrip("a"), row["stack"]) for row in tables["spec_stacks"]] == [
        ("hdf", "root"),
        ("zlib", "cpu"),
        ("zlib", "root"),
    ]
    assert {row["kind"] for row in tables["nodes"]} == {"binary"}
    assert site.problems() == []


def test_a_binary_of_another_release_is_no_hole(site: Site) -> None:
    site.cache("develop", "root", record("zlib", in_buildcache=False))
    site.cache("v0.23.1", "root", record("zlib"))
    tables = site.prove()
    assert [row["kind"] for row in tables["nodes"]] == ["binary"]
    assert [row["release"] for row in tables["spec_releases"]] == ["v0.23.1"]


def test_a_page_and_an_index_of_one_hash_are_one_row(site: Site) -> None:
    site.cache(
        "develop",
        "root",
        record("zlib", "1.3", parameters={"build_system": "makefile", "pic": True}),
        sizes={"zlib": 77},
    )
    site.page(
        "develop",
        "zlib",
        spec(
            "zlib",
            versions=["1.3"],
            compiler="gcc@=12.2.0",
            variants=["build_system:=makefile", "+pic"],
            stacks=["e4s", "root"],
            tarball="https://binaries.spack.io/develop/build_cache/zlib.spack",
        ),
        spec("other"),
    )
    tables = site.prove()
    row = one(tables["specs"], hash=dag_hash("zlib"))
    assert (row["size"], row["namespace"], row["flags"]) == (77, "builtin", "[]")
    assert row["stacks"] == '["e4s","root"]'
    other = one(tables["specs"], hash=dag_hash("other"))
    assert (other["namespace"], other["flags"], other["build_spec"]) == (None, None, None)
    checksum = mirror.tarball_checksum(dag_hash("zlib"))
    address = f"https://binaries.spack.io/develop/blobs/sha256/{checksum[:2]}/{checksum}"
    assert one(tables["spec_releases"], spec=dag_hash("zlib"))["tarball"] == address
    assert [(row["kind"], row["package"]) for row in tables["sources"]] == [
        ("index", None),
        ("page", "zlib"),
    ]
    assert site.problems() == []


def test_an_index_beats_a_page_of_its_release(site: Site) -> None:
    site.cache("develop", "root", record("zlib", "1.3"), sizes={"zlib": 77})
    site.page(
        "develop", "zlib", spec("zlib", versions=["1.2"], compiler="gcc@11.1.0", size=5, os="rhel8")
    )
    tables = site.prove()
    (row,) = tables["specs"]
    assert (row["version"], row["compiler"], row["size"], row["os"]) == (
        *("1.3", "gcc@12.2.0"),
        *(77, "ubuntu22.04"),
    )
    found = site.problems()
    assert {row[:2] for row in found} == {("develop/zlib/specs.md", "conflict")}
    assert all(dag_hash("zlib") in message for _, _, message in found)
    for column in ("version", "compiler", "size", "os"):
        assert [row for row in found if f"{column} is" in row[2]] != [], column


def test_a_newer_page_beats_the_index_of_an_older_release(site: Site) -> None:
    site.page("develop", "zlib", spec("zlib", versions=["1.2"], compiler="gcc@12.2.0"))
    site.cache("v0.23.1", "root", record("zlib", "1.3"))
    (row,) = site.prove()["specs"]
    assert (row["version"], row["namespace"], row["flags"]) == ("1.2", "builtin", "[]")
    ((source, kind, message),) = site.problems()
    assert (source, kind) == ("v0.23.1/index.json", "conflict")
    assert dag_hash("zlib") in message
    assert "version" in message


def test_what_an_index_does_not_know_a_page_tells(site: Site) -> None:
    site.cache("develop", "root", record("zlib", compiler=None))
    site.page("develop", "zlib", spec("zlib", compiler="gcc@13.2.0", size=512))
    (row,) = site.prove()["specs"]
    assert (row["compiler"], row["compiler_version"], row["size"]) == ("gcc@13.2.0", "13.2.0", 512)
    assert row["spec"].endswith(" %gcc@13.2.0")
    assert site.problems() == []


def test_stacks_that_only_depend_on_a_spec_are_overruled(site: Site) -> None:
    site.cache("develop", "root", record("zlib"), record("hdf"))
    site.cache(
        "develop", "e4s", record("zlib", in_buildcache=False), record("xz", in_buildcache=False)
    )
    site.cache("develop", "gpu", record("zlib", external={"path": "/usr", "module": None}))
    site.cache("develop", "cpu", record("other"))
    stacks = ["cpu", "e4s", "gpu", "old", "root"]
    site.page("develop", "zlib", spec("zlib", compiler="gcc@12.2.0", stacks=stacks))
    site.page("develop", "xz", spec("xz", stacks=["e4s"]), spec("xztoo", stacks=["e4s"]))
    # An index tells only of its own release.
    site.page("v0.23.1", "zlib", spec("zlib", compiler="gcc@12.2.0", stacks=["e4s"]))
    tables = site.prove()
    found = [
        (row["stack"], row["release"])
        for row in tables["spec_stacks"]
        if row["spec"] == dag_hash("zlib")
    ]
    # That of cpu has no record of it, and old has no index at all.
    assert found == [
        ("cpu", "develop"),
        ("e4s", "v0.23.1"),
        ("old", "develop"),
        ("root", "develop"),
    ]
    warnings = [row for row in site.problems() if row[1] == "stack"]
    assert [row[0] for row in warnings] == [
        "develop/xz/specs.md",
        "develop/zlib/specs.md",
        "develop/zlib/specs.md",
    ]
    assert "e4s" in warnings[0][2]
    assert sorted(stack for stack in ("e4s", "gpu") for row in warnings[1:] if stack in row[2]) == [
        "e4s",
        "gpu",
    ]


def test_two_specs_of_a_page_in_one_stack_are_one_warning(site: Site) -> None:
    words = ("one", "two", "three")
    site.cache("develop", "e4s", *(record("xz", "1.0", w, in_buildcache=False) for w in words))
    site.page(
        "develop", "xz", *(spec(word, compiler="gcc@12.2.0", stacks=["e4s"]) for word in words)
    )
    assert site.prove()["spec_stacks"] == []
    assert [row[:2] for row in site.problems()] == [("develop/xz/specs.md", "stack")]


def test_indexes_of_two_releases_that_disagree(site: Site) -> None:
    of = {"name": "zlib", "hash": dag_hash("before")}
    new = record("zlib", "1.3", parameters={"pic": True, "cflags": ["-O3"]}, build_spec=of)
    old = record(
        "zlib",
        "1.2",
        parameters={"pic": False},
        compiler="gcc@11.1.0",
        target="zen4",
        os="rhel8",
        namespace="old",
    )
    site.cache("develop", "root", new)
    site.cache("v0.23.1", "root", old)
    (row,) = site.prove()["specs"]
    assert row["spec"] == "zlib@1.3 +pic arch=linux-ubuntu22.04-x86_64_v3 %gcc@12.2.0"
    assert (row["namespace"], row["flags"]) == ("builtin", '["cflags=-O3"]')
    assert row["releases"] == '["develop","v0.23.1"]'
    found = site.problems()
    assert {row[:2] for row in found} == {("v0.23.1/index.json", "conflict")}
    told = " ".join(row[2] for row in found)
    for column in ("version", "compiler", "os", "target", "variants", "namespace", "flags"):
        assert f"{column} is" in told, column
    assert dag_hash("zlib") in told


def test_indexes_of_two_stacks_that_disagree(site: Site) -> None:
    # The whole mirror first, then by the stacks' names.
    site.cache("develop", "beta", record("zlib", "1.1"), record("xz", "5.1"))
    site.cache("develop", "alpha", record("zlib", "1.2"), record("xz", "5.2"))
    site.cache("develop", "root", record("zlib", "1.3"))
    tables = site.prove()
    assert [row["version"] for row in tables["specs"]] == ["5.2", "1.3"]
    assert [row[:2] for row in site.problems()] == [
        ("develop/alpha/index.json", "conflict"),
        ("develop/beta/index.json", "conflict"),
        ("develop/beta/index.json", "conflict"),
    ]


def test_indexes_that_say_the_same_in_two_versions(site: Site) -> None:
    site.cache("develop", "root", record("zlib"), layout=3)
    site.cache("v0.23.1", "root", record("zlib"), layout=2)
    tables = site.prove()
    assert [row["layout"] for row in tables["releases"]] == [3, 2]
    assert site.problems() == []
