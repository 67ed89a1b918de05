"""The floor writes what a build writes, so their times can be compared."""

import sqlite3
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks import floor, integer_keys
from etl.schema import TABLES
from tests.conftest import build
from tests.etl import mirror
from tests.pages import REAL


def read(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table, those of search and ANALYZE included, and what defines them."""
    with closing(sqlite3.connect(database)) as connection:
        schema = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
        tables = [name for kind, name, _ in schema if kind == "table"]
        ids = [
            connection.execute(f"PRAGMA {name}").fetchone()
            for name in ("application_id", "user_version")
        ]
        contents = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    return {"schema": sorted(schema), "ids": ids, **contents}


@pytest.fixture(scope="module")
def seconds(
    tmp_path_factory: pytest.TempPathFactory, real_database: Path
) -> tuple[floor.Seconds, Path]:
    new = tmp_path_factory.mktemp("floor") / "floor.db"
    arguments = [str(new), str(real_database), str(REAL)]
    result = CliRunner().invoke(floor.main, arguments, catch_exceptions=False)
    return msgspec.json.decode(result.output, type=floor.Seconds), new


def test_all_tables_are_those_of_the_build(
    seconds: tuple[floor.Seconds, Path], real_database: Path
) -> None:
    assert read(seconds[1]) == read(real_database)
    assert seconds[1].stat().st_size == real_database.stat().st_size


def test_every_step_takes_time_and_the_floor_is_their_sum(
    seconds: tuple[floor.Seconds, Path],
) -> None:
    steps = astuple(seconds[0])
    assert floor.STEPS == ("read", "decode", "insert", "index", "analyze")
    assert all(step > 0 for step in steps)
    assert seconds[0].total == sum(steps)


def test_integer_keys_hold_the_same_dependencies(tmp_path: Path) -> None:
    compiler = mirror.record("gcc", external={"path": "/usr"})
    deps = [mirror.dep("gcc", types=["build"], virtuals=["c"]), mirror.dep("missing")]
    content = mirror.index(compiler, mirror.record("zlib", deps=deps))
    mirror.write_layout3(tmp_path / "develop", content)
    database, new = build(tmp_path / "a.db", tmp_path / "develop"), tmp_path / "integers.db"
    integer_keys.build(new, database)
    edges = """
        SELECT spec.hash, dependency.hash, package.text, kind.text, build, link, virtuals
        FROM dependencies JOIN nodes AS spec ON spec.number = spec
        JOIN nodes AS dependency ON dependency.number = dependency
        JOIN texts AS package ON package.id = dependency.package
        JOIN texts AS kind ON kind.id = dependency.kind ORDER BY 1, 2
    """
    ours = """
        SELECT spec, dependency, package, kind, build, link, virtuals
        FROM dependencies JOIN nodes ON hash = dependency ORDER BY 1, 2
    """
    with closing(sqlite3.connect(new)) as integers, closing(sqlite3.connect(database)) as built:
        expected = built.execute(ours).fetchall()
        assert len(expected) == len(deps)
        assert integers.execute(edges).fetchall() == expected


def test_integer_keys_hold_the_same_facts_in_fewer_bytes(
    tmp_path: Path, made_database: Path, real_database: Path
) -> None:
    new = tmp_path / "integers.db"
    integer_keys.build(new, made_database)
    facts = """
        SELECT spec.hash, package.name, version.text, variants.text, stacks.text, releases.text
        FROM specs AS spec JOIN packages AS package ON package.number = spec.package
        JOIN texts AS version ON version.id = spec.version
        JOIN texts AS variants ON variants.id = spec.variants
        JOIN texts AS stacks ON stacks.id = spec.stacks
        JOIN texts AS releases ON releases.id = spec.releases
        ORDER BY spec.hash
    """
    links = """
        SELECT spec.hash, release.name, tarball FROM spec_releases AS present
        JOIN specs AS spec ON spec.number = present.spec
        JOIN releases AS release ON release.number = present.release
        ORDER BY 1, 2
    """
    with (
        closing(sqlite3.connect(new)) as integers,
        closing(sqlite3.connect(made_database)) as built,
    ):
        assert (
            integers.execute(facts).fetchall()
            == built.execute(
                "SELECT hash, package, version, variants, stacks, releases FROM specs ORDER BY hash"
            ).fetchall()
        )
        assert (
            integers.execute(links).fetchall()
            == built.execute(
                "SELECT spec, release, tarball FROM spec_releases ORDER BY 1, 2"
            ).fetchall()
        )
        for table in TABLES:
            count = f"SELECT count(*) FROM {table.name}"
            assert integers.execute(count).fetchall() == built.execute(count).fetchall()
        indexes = "SELECT name FROM sqlite_schema WHERE name LIKE 'idx%' ORDER BY name"
        assert integers.execute(indexes).fetchall() == built.execute(indexes).fetchall()
        search = "SELECT rowid FROM specs_fts WHERE specs_fts MATCH 'hdf5' ORDER BY rowid"
        assert integers.execute(search).fetchall() == built.execute(search).fetchall()
    smaller = integer_keys.build(tmp_path / "real.db", real_database)
    assert smaller == (tmp_path / "real.db").stat().st_size < real_database.stat().st_size
