"""What is read where not all is asked for, and what two sources say that cannot both be right."""

from pathlib import Path

import pytest

from tests.etl.cache_builds import Site, query, run
from tests.etl.mirror import dep, index, record, write_bare, write_layout2, write_layout3
from tests.pages import dag_hash, spec


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def build(site: Site, *options: str) -> None:
    result = run("build", site.database, site.folder, *options)
    assert result.exit_code == 0, result.output
    result = run("verify", site.database, site.folder, *options)
    assert result.exit_code == 0, result.output


@pytest.fixture
def two_packages(site: Site) -> Site:
    usr = {"path": "/usr", "module": None, "extra_attributes": {"a": 1}}
    deps = [dep("zlib"), dep("glibc"), dep("gone")]
    records = (record("hdf", deps=deps), record("zlib", "1.3", deps=[dep("glibc")]))
    site.cache("develop", "root", *records, record("glibc", "2.28", external=usr))
    site.cache("develop", "e4s", record("zlib", "1.3", deps=[dep("glibc")]))
    site.cache("v0.23.1", "root", record("zlib", "1.3", deps=[dep("glibc")]))
    site.page("develop", "zlib", spec("other"))
    site.page("develop", "xz", spec("xz"))
    return site


def test_what_a_chosen_package_depends_on_is_known_by_its_record(two_packages: Site) -> None:
    build(two_packages, "-p", "hdf")
    database = two_packages.database
    assert query(database, "SELECT hash, package, version, kind, external FROM nodes") == [
        (dag_hash("glibc"), "glibc", "2.28", "external", "/usr"),
        (dag_hash("gone"), "gone", None, "missing", None),
        (dag_hash("hdf"), "hdf", "1.0", "binary", None),
        # Whether there is a binary of it was not asked.
        (dag_hash("zlib"), "zlib", "1.3", "missing", None),
    ]
    assert query(database, "SELECT spec, dependency FROM dependencies") == [
        (dag_hash("hdf"), dag_hash(name)) for name in ("glibc", "gone", "zlib")
    ]
    assert query(database, "SELECT name, num_specs FROM packages") == [("hdf", 1)]
    assert query(database, "SELECT path, num_records, num_specs FROM sources") == [
        ("develop/e4s/index.json", 1, 0),
        ("develop/index.json", 3, 1),
        ("v0.23.1/index.json", 1, 0),
    ]
    assert query(database, "SELECT kind, message FROM problems") == [
        (
            "missing-record",
            f"record {dag_hash('hdf')}: no index has a record of its dependency "
            f"gone/{dag_hash('gone')}",
        )
    ]


def test_a_chosen_release_is_read_alone(two_packages: Site) -> None:
    build(two_packages, "-r", "v0.23.1")
    database = two_packages.database
    assert query(database, "SELECT path FROM sources") == [("v0.23.1/index.json",)]
    assert query(database, "SELECT package, kind FROM nodes ORDER BY 1") == [
        ("glibc", "missing"),
        ("zlib", "binary"),
    ]


def test_nothing_changed_is_of_the_same_choice(two_packages: Site) -> None:
    def said(*options: str) -> str:
        return run("build", two_packages.database, two_packages.folder, *options).stdout

    assert "wrote" in said("-p", "zlib")
    assert "nothing changed" in said("-p", "zlib")
    assert "wrote" in said("-p", "zlib", "-p", "hdf")
    assert "nothing changed" in said("-p", "hdf", "-p", "zlib")
    assert "wrote" in said()
    assert "nothing changed" in said()
    assert "wrote" in said("-r", "develop")


def test_a_package_that_is_not_there_is_wrong_use(two_packages: Site) -> None:
    result = run("build", two_packages.database, two_packages.folder, "-p", "nosuch")
    assert (result.exit_code, "nothing of package nosuch" in result.stderr) == (2, True)
    # One that is only a dependency is there, and of no use.
    assert run("check", two_packages.folder, "-p", "glibc").exit_code == 0


def test_a_hash_of_two_packages_is_of_the_index_that_counts(site: Site) -> None:
    site.cache("develop", "root", record("zlib"))
    site.cache("develop", "e4s", record("xz", word="zlib"), record("more"))
    site.page("develop", "bzip", spec("zlib"))
    site.page("develop", "good", spec("good"))
    result = run("build", site.database, site.folder)
    assert result.exit_code == 1
    why = f"hash {dag_hash('zlib')} is of package zlib in develop/index.json [two-packages]"
    blob = site.indexes["develop/e4s/index.json"].file
    assert [line for line in result.stderr.splitlines() if "two-packages" in line] == [
        f"{site.folder}/develop/bzip/specs.md:6: {why}",
        f"{blob}: {why}",
    ]
    build_skipping(site)
    assert query(site.database, "SELECT package FROM specs ORDER BY 1") == [("good",), ("zlib",)]
    assert query(site.database, "SELECT path, release FROM sources ORDER BY 1") == [
        ("develop/bzip/specs.md", None),
        ("develop/e4s/index.json", None),
        ("develop/good/specs.md", "develop"),
        ("develop/index.json", "develop"),
    ]


def build_skipping(site: Site) -> None:
    result = run("build", "--skip-bad", site.database, site.folder)
    assert result.exit_code == 0, result.output
    result = run("verify", site.database, site.folder)
    assert result.exit_code == 0, result.output


def test_a_hash_under_two_names_in_one_index(site: Site) -> None:
    told = index(record("zlib"), record("xz"))
    text = str(told).replace("'", '"').replace("True", "true")
    name = '"name": "xz"'
    twice = text.replace(dag_hash("xz"), dag_hash("zlib"))
    assert name in twice
    write_bare(site.folder / "develop", twice)
    result = run("build", site.database, site.folder)
    assert result.exit_code == 1
    assert f"record {dag_hash('zlib')}: it is there twice [duplicate-key]" in result.stderr


def test_a_dependency_that_is_named_otherwise_than_its_record(site: Site) -> None:
    site.cache("develop", "root", record("zlib"), record("hdf", deps=[dep("zlib-ng", "zlib")]))
    build(site)
    assert query(site.database, "SELECT package FROM nodes ORDER BY 1") == [("hdf",), ("zlib",)]
    assert site.problems() == [
        (
            "develop/index.json",
            "conflict",
            f"record {dag_hash('hdf')}: dependency {dag_hash('zlib')} is named 'zlib-ng', and its "
            "record says 'zlib', which counts",
        )
    ]


def test_of_two_layouts_in_one_mirror_the_newer_is_read(site: Site) -> None:
    folder = site.folder / "develop"
    write_layout2(folder, index(record("old"), version="7"))
    write_layout3(folder, index(record("new")))
    build(site)
    assert query(site.database, "SELECT path, layout FROM sources") == [("develop/index.json", 3)]


def test_two_indexes_of_one_stack_that_differ(site: Site, tmp_path: Path) -> None:
    site.cache("develop", "root", record("zlib"))
    other = Site(tmp_path / "other")
    other.cache("develop", "root", record("xz"))
    both = (site.folder, other.folder)
    result = run("build", site.database, *both)
    assert result.exit_code == 1
    assert "is another index of this stack, and differs [two-indexes]" in result.stderr
    assert run("build", "--skip-bad", site.database, *both).exit_code == 0
    assert run("verify", site.database, *reversed(both)).exit_code == 0
    assert query(site.database, "SELECT path, release FROM sources") == [
        ("develop/index.json", "develop"),
        ("develop/index.json (2)", None),
    ]
    # A copy is the same index.
    copy = Site(tmp_path / "copy")
    copy.cache("develop", "root", record("zlib"))
    assert run("build", site.database, site.folder, copy.folder).exit_code == 0
    assert query(site.database, "SELECT path FROM sources") == [("develop/index.json",)]


def test_an_index_without_binaries_is_a_stack_all_the_same(site: Site) -> None:
    site.cache("develop", "empty")
    site.cache("develop", "holes", record("zlib", in_buildcache=False))
    build(site)
    assert query(site.database, "SELECT name, num_packages, num_specs, releases FROM stacks") == [
        ("empty", 0, 0, '["develop"]'),
        ("holes", 0, 0, '["develop"]'),
    ]
    assert query(site.database, "SELECT name, num_specs, layout FROM releases") == [
        ("develop", 0, 3)
    ]
    assert query(site.database, "SELECT kind FROM nodes") == [("missing",)]


def test_what_is_provided_is_known_from_an_index_that_tells_it(site: Site) -> None:
    # Databases up to 6 do not tell it.
    plain = record("hdf", deps=[dep("openmpi", types=["link"])])
    write_layout2(site.folder / "develop", index(plain, record("openmpi"), version="6"))
    told = record("hdf", deps=[dep("openmpi", types=["link"], virtuals=["mpi"])])
    write_layout2(site.folder / "v0.23.1", index(told, record("openmpi"), version="7"))
    build(site)
    assert query(site.database, "SELECT link, virtuals FROM dependencies") == [(1, '["mpi"]')]
    assert site.problems() == []


def test_edges_that_differ_are_a_conflict(site: Site) -> None:
    site.cache("develop", "root", record("hdf", deps=[dep("zlib")]), record("zlib"), record("xz"))
    site.cache("v2025.07.0", "root", record("hdf", deps=[dep("xz", types=["run"])]), record("xz"))
    build(site)
    assert query(site.database, "SELECT dependency FROM dependencies") == [(dag_hash("zlib"),)]
    assert site.problems() == [
        (
            "v2025.07.0/index.json",
            "conflict",
            f'hash {dag_hash("hdf")}: dependencies is ["xz/{dag_hash("xz")} run"] here and '
            f'["zlib/{dag_hash("zlib")} build,link"] in develop, which is newer and counts',
        )
    ]
