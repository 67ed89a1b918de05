"""The tables hold what the pages hold, in the shape that is promised."""

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from etl.cli import main
from etl.schema import MAX_ROW, TABLES, Table
from etl.sources import bounds
from etl.sources.pages import grammar
from tests.conftest import build
from tests.pages import REAL, dag_hash, page, spec, write, write_specs


def query(database: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql, parameters).fetchall()


def test_the_real_pages_in_numbers(real_database: Path) -> None:
    counts = {
        table.name: query(real_database, f"SELECT count(*) FROM {table.name}")[0][0]
        for table in TABLES
    }
    del counts["targets"], counts["target_compatibility"]  # archspec's number, not the pages'
    assert counts == {
        "packages": 5,
        "specs": 414,
        "stacks": 20,
        "releases": 1,
        "spec_stacks": 1053,
        "spec_releases": 414,
        "variants": 1,
        "spec_variants": 414,
        "nodes": 414,
        "dependencies": 0,  # pages do not tell
        "sources": 5,
        "problems": 0,
    }


@pytest.mark.parametrize("file", sorted(REAL.glob("*/*/specs.md")), ids=lambda f: f.parent.name)
def test_every_count_of_a_real_page_is_in_the_database(real_database: Path, file: Path) -> None:
    text = file.read_text()
    meta = json.loads(next(x for x in text.split("\n") if x.startswith("meta: "))[6:])
    meta["versions"].reverse()  # newest first
    package = file.parent.name
    assert query(
        real_database,
        "SELECT num_specs, versions, oses, platforms, targets, stacks FROM packages WHERE name = ?",
        package,
    ) == [
        (
            meta["num_specs"],
            *(
                json.dumps(meta[key], separators=(",", ":"))
                for key in ("versions", "oss", "platforms", "targets", "stacks")
            ),
        )
    ]
    assert (
        dict(
            query(
                real_database,
                "SELECT stack, count(*) FROM spec_stacks s JOIN specs ON hash = s.spec"
                " WHERE package = ? GROUP BY stack",
                package,
            )
        )
        == meta["num_specs_by_stack"]
    )


def test_a_real_package(real_database: Path) -> None:
    assert query(real_database, "SELECT * FROM packages WHERE name = 'py-msgpack'") == [
        (
            "py-msgpack",
            67,
            '["1.0.5","1.0.3"]',
            '["apple-clang@16.0.0","gcc@10.2.1","gcc@10.5.0","gcc@11.4.0","gcc@13.2.0",'
            '"gcc@13.3.0","gcc@7.5.0","gcc@9.4.0","oneapi@2024.2.1"]',
            '["centos7","rhel8","sequoia","ubuntu18.04","ubuntu20.04","ubuntu22.04","ubuntu24.04"]',
            '["darwin","linux"]',
            '["aarch64","neoverse_v1","neoverse_v2","ppc64le","x86_64_v3"]',
            '["developer-tools","developer-tools-aarch64-linux-gnu","developer-tools-darwin",'
            '"developer-tools-manylinux2014","developer-tools-x86_64_v3-linux-gnu","e4s",'
            '"e4s-neoverse-v2","e4s-neoverse_v1","e4s-oneapi","e4s-power","ml-linux-x86_64-rocm",'
            '"root"]',
            '["develop"]',
        )
    ]


def test_a_real_spec(real_database: Path) -> None:
    sql = "SELECT * FROM specs WHERE hash = '255hkvjjlmt7je7ljqabxkt4rcdwlcbh'"
    assert query(real_database, sql) == [
        (
            "255hkvjjlmt7je7ljqabxkt4rcdwlcbh",
            "py-msgpack",
            "1.0.3",
            2,
            *("gcc@7.5.0", "gcc", "7.5.0"),
            *("ubuntu18.04", "linux", "x86_64_v3"),
            '["build_system=python_pip"]',
            None,
            "py-msgpack@1.0.3 build_system=python_pip arch=linux-ubuntu18.04-x86_64_v3 %gcc@7.5.0",
            '["developer-tools","root"]',
            '["develop"]',
            1,
            *(None, None, None),
        )
    ]


def test_versions_and_releases_sort_by_number(made_database: Path) -> None:
    sql = (
        "SELECT substr(hash, 1, 5), version, version_rank, newest FROM specs"
        " WHERE package IN ('hdf5', 'py-numpy', 'py-cloudpickle') ORDER BY package, hash"
    )
    assert query(made_database, sql) == [
        ("harma", "1.14.5", 1, 1),
        ("hmaca", "1.14.5", 1, 1),
        ("hmpia", "1.14.5", 1, 1),
        ("holda", "1.12.2", 2, 2),
        ("hsera", "1.14.5", 1, 1),
        ("htwin", "1.14.5", 1, 1),
        ("pickl", "3.0.0", 1, 3),
        ("np2aa", "2.2.6", 1, 1),
        ("npaaa", "1.26.4", 2, 1),
    ]


def test_the_versions_of_a_package_sort_as_spack_sorts_them(tmp_path: Path) -> None:
    versions = ["1.10", "1.9", "1.0-rc1", "1.0", "HEAD", "develop", "nightly", "git.x=1.9.5", "1.9"]
    specs = [
        spec(f"v{place}", versions=[one]) for place, one in zip("abcdefghi", versions, strict=True)
    ]
    write_specs(tmp_path / "pages", "develop", "rust", *specs)
    database = build(tmp_path / "a.db", tmp_path / "pages")
    sql = "SELECT version, version_rank FROM specs ORDER BY version_rank, hash"
    assert query(database, sql) == [
        ("develop", 1),
        ("nightly", 2),
        ("1.10", 3),
        ("git.x=1.9.5", 4),
        ("1.9", 5),
        ("1.9", 5),
        ("1.0", 6),
        ("1.0-rc1", 7),
        ("HEAD", 8),
    ]
    assert query(database, "SELECT versions FROM packages") == [
        ('["develop","nightly","1.10","git.x=1.9.5","1.9","1.0","1.0-rc1","HEAD"]',)
    ]


def test_a_real_stack_and_the_release(real_database: Path) -> None:
    assert query(real_database, "SELECT * FROM stacks WHERE name IN ('e4s', 'root')") == [
        ("e4s", 4, 55, '["develop"]'),
        ("root", 5, 414, '["develop"]'),
    ]
    assert query(real_database, "SELECT * FROM releases") == [
        ("develop", "develop", None, 1, 5, 414, "https://binaries.spack.io/develop", None)
    ]


def test_a_real_page(real_database: Path) -> None:
    assert query(real_database, "SELECT * FROM sources WHERE package = 'py-msgpack'") == [
        (
            "develop/py-msgpack/specs.md",
            "page",
            "develop",
            "py-msgpack",
            *(None, None, None, None),
            67,
            18215,
            "66c7a5487b80344fac01b95ad63f25520d31d9352ef681e7f45aefab8e8efd77",
        )
    ]


def test_of_a_refused_page_only_what_was_learnt_is_told(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    write_specs(pages, "develop", "zlib", spec("a"))
    write(pages, "develop", "bad", "no page")
    write_specs(pages, "v0.1", "thief", spec("a"))
    (pages / "develop/pipe").mkdir()
    os.mkfifo(pages / "develop/pipe/specs.md")
    database = build(tmp_path / "a.db", pages, "--skip-bad")
    found = query(database, "SELECT * FROM sources ORDER BY path")
    text = page("zlib", "develop", [spec("a")]).encode()
    thief = page("thief", "v0.1", [spec("a")]).encode()
    nothing = (None, None, None, None, None, None, None)
    assert found == [
        ("develop/bad/specs.md", "page", *nothing, 7, hashlib.sha256(b"no page").hexdigest()),
        ("develop/pipe/specs.md", "page", *nothing, 0, hashlib.sha256(b"").hexdigest()),
        (
            *("develop/zlib/specs.md", "page", "develop", "zlib", None, None, None, None, 1),
            *(len(text), hashlib.sha256(text).hexdigest()),
        ),
        ("v0.1/thief/specs.md", "page", *nothing, len(thief), hashlib.sha256(thief).hexdigest()),
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_columns_keys_and_indexes(real_database: Path, table: Table) -> None:
    with closing(sqlite3.connect(real_database)) as connection:
        found = Database(connection).table(table.name)
        columns = {column.name: column for column in found.columns}
        assert tuple(columns) == table.column_names
        assert {name: column.type for name, column in columns.items()} == {
            column.name: column.type for column in table.columns
        }
        key = sorted((c for c in columns.values() if c.is_pk), key=lambda c: c.is_pk)
        assert tuple(column.name for column in key) == table.key
        assert {(k.column, k.other_table) for k in found.foreign_keys} == {
            (column.name, column.references) for column in table.columns if column.references
        }
        indexed = {index.columns[0] for index in found.indexes} | {table.key[0]}
        # A release's specs are found in the index by stack, of which there are a few dozen.
        without = {"release"} if table.name == "spec_stacks" else set()
        references = {column.name for column in table.columns if column.references}
        assert references - without == references & indexed


def test_the_file_is_sound_and_has_no_holes(real_database: Path, made_database: Path) -> None:
    for database in (real_database, made_database):
        assert query(database, "PRAGMA integrity_check") == [("ok",)]
        assert query(database, "PRAGMA foreign_key_check") == []
        assert query(database, "PRAGMA freelist_count") == [(0,)]


def test_search(real_database: Path) -> None:
    def packages(words: str) -> list[str]:
        sql = "SELECT p.name FROM packages p JOIN packages_fts f ON f.rowid = p.rowid WHERE "
        return [row[0] for row in query(real_database, sql + "packages_fts MATCH ?", words)]

    assert packages("pickle") == ["py-cloudpickle"]
    assert packages("ilelo") == ["py-filelock"]
    (count,) = query(
        real_database, "SELECT count(*) FROM specs_fts WHERE specs_fts MATCH 'msgpack sequoia'"
    )[0]
    assert count == query(
        real_database, "SELECT count(*) FROM specs WHERE package='py-msgpack' AND os='sequoia'"
    )[0][0]  # fmt: skip


def test_several_releases(made_database: Path) -> None:
    assert query(made_database, "SELECT * FROM releases ORDER BY position") == [
        ("develop", "develop", None, 1, 4, 9, "https://binaries.spack.io/develop", None),
        ("develop-2025-07-13", "snapshot", "2025-07-13", 2, 1, 3,
         "https://binaries.spack.io/develop-2025-07-13", None),
        ("develop-2025-07-06", "snapshot", "2025-07-06", 3, 2, 3,
         "https://binaries.spack.io/develop-2025-07-06", None),
        ("v0.23.1", "version", None, 4, 2, 2, "https://binaries.spack.io/v0.23.1", None),
    ]  # fmt: skip
    assert query(made_database, "SELECT * FROM spec_releases WHERE spec = ?", dag_hash("hold")) == [
        (dag_hash("hold"), "develop-2025-07-06", None),
        (dag_hash("hold"), "develop-2025-07-13", None),
        (
            dag_hash("hold"),
            "v0.23.1",
            "https://binaries.spack.io/v0.23.1/build_cache/hdf5.spack",
        ),
    ]
    assert query(
        made_database, "SELECT * FROM variants WHERE name IN ('mpi', 'languages') ORDER BY 1"
    ) == [
        ("+mpi", "mpi", "true", 4),
        ("languages=c", "languages", "c", 6),
        ("languages=c++", "languages", "c++", 2),
        ("~mpi", "mpi", "false", 2),
    ]
    assert query(made_database, "SELECT name, releases FROM stacks WHERE name = 'e4s'") == [
        ("e4s", '["develop","develop-2025-07-13","develop-2025-07-06","v0.23.1"]')
    ]


def test_which_binaries_run_where(made_database: Path) -> None:
    def runs(target: str) -> set[str]:
        sql = "SELECT runs FROM target_compatibility WHERE target = ?"
        return {row[0] for row in query(made_database, sql, target)}

    assert runs("x86_64_v3") == {"x86_64_v3", "x86_64_v2", "x86_64"}
    assert "x86_64_v3" in runs("zen4")
    assert "zen4" not in runs("x86_64_v3")
    assert runs("<i>t") == {"<i>t"}
    assert query(made_database, "SELECT * FROM targets WHERE name IN ('zen4', '<i>t')") == [
        ("<i>t", None, None, 1),
        ("zen4", "AuthenticAMD", "x86_64", 0),
    ]


def test_pages_of_every_stage_and_every_warning(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    newest = spec("a", variants=["x=1"])
    write_specs(pages, "develop", "zlib", newest)
    write_specs(pages, "v0.18", "zlib", newest | {"stacks": [], "tarball": "https://e.org/a"})
    write_specs(pages, "v0.18.0", "zlib", newest | {"os": "rhel8", "stacks": ["e4s", "e4s"]})
    text = page("hdf5", "develop", [spec("b") | {"colour": 1}], meta=None)
    text = text.replace('"num_specs": 1', '"num_specs": 2').replace("layout: cache", "layout: new")
    write(pages, "v9", "hdf", text + "\n\nhello")
    database = build(tmp_path / "a.db", pages)
    assert query(database, "SELECT source, severity, kind, message FROM problems") == [
        ("v0.18.0/zlib/specs.md", "warning", "conflict",
         f'hash {dag_hash("a")}: os is "rhel8" here and "ubuntu22.04" in develop, which is newer and counts'),
        ("v0.18.0/zlib/specs.md", "warning", "repeated-value",
         f"hash {dag_hash('a')}: stacks names 'e4s' more than once; kept once"),
        ("v9/hdf/specs.md", "warning", "body", "5 characters behind the front matter are not read"),
        ("v9/hdf/specs.md", "warning", "layout", "layout is 'new', expected 'cache'"),
        ("v9/hdf/specs.md", "warning", "path-package",
         "the folder says package 'hdf', the front matter 'hdf5', which counts"),
        ("v9/hdf/specs.md", "warning", "path-release",
         "the folder says release 'v9', the front matter 'develop', which counts"),
        ("v9/hdf/specs.md", "warning", "unknown-key",
         "spec_details has a key nobody knows, 'colour'; in this build: 1; not loaded"),
        ("v9/hdf/specs.md", "warning", "meta", "meta says num_specs 2, spec_details has 1"),
    ]  # fmt: skip
    assert query(database, "SELECT * FROM spec_releases WHERE spec = ?", dag_hash("a")) == [
        (dag_hash("a"), "develop", None),
        (dag_hash("a"), "v0.18", "https://e.org/a"),
        (dag_hash("a"), "v0.18.0", None),
    ]
    assert query(database, "SELECT releases FROM packages WHERE name = 'zlib'") == [
        ('["develop","v0.18.0","v0.18"]',)
    ]


def test_meta_is_compared_in_all_its_keys(tmp_path: Path) -> None:
    meta = {
        "compilers": ["gcc@=13.2.0", "gcc@9"],
        "num_specs": 3,
        "num_specs_by_stack": {"e4s": 2, "radiuss": 1, "root": 1},
        "oss": [],
        "platforms": ["linux", "darwin"],
        "stacks": ["e4s", "root", "radiuss"],
        "targets": ["zen4"],
        "versions": ["1.1"],
    }
    write(tmp_path, "develop", "zlib", page("zlib", "develop", [spec("a")], meta))
    database = build(tmp_path / "a.db", tmp_path)
    assert [row[0] for row in query(database, "SELECT message FROM problems")] == [
        'meta lists 0 oss, spec_details has 1; only in meta: []; only in spec_details: ["ubuntu22.04"]',
        'meta lists 1 targets, spec_details has 1; only in meta: ["zen4"]; only in spec_details: ["x86_64_v3"]',
        'meta lists 1 versions, spec_details has 1; only in meta: ["1.1"]; only in spec_details: ["1.0"]',
        'meta lists 2 compilers, spec_details has 1; only in meta: ["gcc@9"]; only in spec_details: []',
        'meta lists 2 platforms, spec_details has 1; only in meta: ["darwin"]; only in spec_details: []',
        'meta lists 3 stacks, spec_details has 2; only in meta: ["radiuss"]; only in spec_details: []',
        "meta says num_specs 3, spec_details has 1",
        'meta says num_specs_by_stack {"e4s":2,"radiuss":1}, spec_details has {"e4s":1,"radiuss":0}',
    ]  # fmt: skip


def test_a_key_nobody_knows_is_named_once_with_its_count(tmp_path: Path) -> None:
    for package in ("b", "a"):
        specs = [spec(package + letter) | {"colour": 1} for letter in "xy"]
        write_specs(tmp_path, "develop", package, *specs)
    database = build(tmp_path / "a.db", tmp_path)
    assert query(database, "SELECT source, message FROM problems") == [
        (
            "develop/a/specs.md",
            "spec_details has a key nobody knows, 'colour'; in this build: 4; not loaded",
        )
    ]


def largest_row(database: Path, table: Table) -> int:
    size = " + ".join(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in table.column_names)
    return int(query(database, f"SELECT coalesce(max({size}), 0) FROM {table.name}")[0][0])


def test_the_largest_spec_and_package_that_are_accepted_can_be_shown(tmp_path: Path) -> None:
    # Its variants have as many bytes as they may have, and the package names as much as it may.
    longest = [f"x=ü{'v' * (bounds.MAX_VARIANTS - len('x=ü') - 5)}"]
    most = 250
    names = [
        f"{number:02}{'n' * (most - 2)}" for number in range((grammar.MAX_NAMES - 2_000) // 255)
    ]
    specs = [
        spec(f"{a}{b}", versions=[name], variants=longest, stacks=names[60:], os="o" * most)
        for (a, b), name in zip(product("abcdefghij", repeat=2), names[:60], strict=False)
    ]
    for release in ("develop", "v0.23.1", "v0.22.0"):
        write_specs(tmp_path / "pages", release, "p" * most, *specs)
    database = build(tmp_path / "a.db", tmp_path / "pages")
    sizes = {table.name: largest_row(database, table) for table in TABLES}
    assert {name: size for name, size in sizes.items() if size > MAX_ROW} == {}
    assert sizes["specs"] > 2 * bounds.MAX_VARIANTS
    assert MAX_ROW == 250_000


def test_a_package_that_could_not_be_shown_is_not_written(tmp_path: Path) -> None:
    database = build(tmp_path / "a.db", REAL)
    before = database.read_bytes()
    for number in range(9):
        names = [f"{number}{a}{b}{'n' * 240}" for a, b in product("abcdefgh", repeat=2)]
        specs = [
            spec(name[:3].replace(str(number), "v" + "abcdefghi"[number]), versions=[name])
            for name in names
        ]
        write_specs(tmp_path / "pages", f"v0.{number}", "zlib", *specs)
    arguments = ["build", "--quiet", str(database), str(tmp_path / "pages")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output == (
        "Error: packages zlib: a row of 141,833 bytes, and at most 62,500 can be shown; "
        "leave releases out: name the others with --release\n"
    )
    assert database.read_bytes() == before
    few = [f"--release=v0.{number}" for number in range(3)]
    assert CliRunner().invoke(main, [*arguments, *few]).exit_code == 0
