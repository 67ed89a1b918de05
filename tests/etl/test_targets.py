"""Which binaries run where: as archspec says, and what Spack said of names that it dropped."""

import sqlite3
from contextlib import closing
from pathlib import Path

import archspec.cpu
import pytest

from etl.targets import Target, all_targets
from tests.conftest import build
from tests.pages import spec, write_specs


def runs(*names: str) -> dict[str, tuple[str, ...]]:
    return {target.name: target.runs for target in all_targets(names)}


def test_every_target_of_archspec_is_there_and_those_that_are_named() -> None:
    found = [target.name for target in all_targets(["graviton2", "my_own"])]
    assert found == sorted({"graviton2", "my_own", *archspec.cpu.TARGETS})


def test_a_known_target_runs_itself_and_its_ancestors() -> None:
    assert runs()["x86_64_v3"] == ("x86_64", "x86_64_v2", "x86_64_v3")
    assert "haswell" in runs()["skylake"]
    assert "skylake" not in runs()["haswell"]


def test_any_other_name_runs_only_itself() -> None:
    assert [
        one for one in all_targets(["my_own", "<i>t"]) if one.vendor is None and not one.family
    ] == [
        Target("<i>t", None, None, ("<i>t",)),
        Target("my_own", None, None, ("my_own",)),
    ]
    assert not [
        name for name, found in runs("my_own").items() if "my_own" in found and name != "my_own"
    ]


@pytest.mark.parametrize(
    ("name", "same"),
    [("graviton", "cortex_a72"), ("graviton2", "neoverse_n1"), ("graviton3", "neoverse_v1")],
)
def test_a_dropped_name_and_the_one_it_stands_for_run_each_other(name: str, same: str) -> None:
    found = runs(name)
    assert name in found[same]
    assert same in found[name]
    assert set(found[name]) == set(found[same])
    known = {one.name: one for one in all_targets([name])}
    assert (known[name].vendor, known[name].family) == (known[same].vendor, "aarch64")


def test_all_three_dropped_names_together() -> None:
    found = runs("graviton", "graviton2", "graviton3")
    assert found["graviton"] == ("aarch64", "cortex_a72", "graviton")
    for machine in ("neoverse_n1", "graviton2"):
        assert {"neoverse_n1", "graviton2", "cortex_a72", "graviton", "aarch64"} <= {
            *found[machine]
        }
        assert not {"neoverse_v1", "graviton3"} & {*found[machine]}
    for machine in ("neoverse_v1", "graviton3"):
        assert {"neoverse_v1", "graviton3", "graviton2", "neoverse_n1", "graviton"} <= {
            *found[machine]
        }
    # A machine of a later kind runs what its ancestors run, under either name.
    assert {"graviton", "graviton2"} <= {*found["neoverse_n2"]}
    assert "graviton3" not in found["neoverse_n2"]
    assert not {"graviton", "graviton2", "graviton3"} & {*found["x86_64_v3"]}


def test_a_dropped_name_that_no_page_has_is_no_target() -> None:
    assert not {"graviton", "graviton2", "graviton3"} & {*runs()}
    assert not [name for name, found in runs("graviton2").items() if "graviton3" in found]


def test_the_question_of_whoever_has_such_a_machine(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    targets = ("graviton2", "neoverse_n1", "graviton", "neoverse_v1", "graviton3", "aarch64", "m1")
    write_specs(pages, "develop", "zlib", *(
        spec(f"a{place}", target=target) for place, target in zip("abcdefg", targets, strict=True)
    ))  # fmt: skip
    database = build(tmp_path / "a.db", pages)

    def binaries(machine: str) -> list[str]:
        sql = (
            "SELECT specs.target FROM target_compatibility AS c JOIN specs ON specs.target = c.runs"
            " WHERE c.target = ? ORDER BY 1"
        )
        with closing(sqlite3.connect(database)) as connection:
            return [row[0] for row in connection.execute(sql, [machine])]

    assert binaries("neoverse_n1") == ["aarch64", "graviton", "graviton2", "neoverse_n1"]
    assert binaries("graviton2") == ["aarch64", "graviton", "graviton2", "neoverse_n1"]
    assert binaries("neoverse_v1") == [
        *("aarch64", "graviton", "graviton2", "graviton3", "neoverse_n1", "neoverse_v1"),
    ]
    assert binaries("graviton3") == binaries("neoverse_v1")
    assert binaries("cortex_a72") == ["aarch64", "graviton"]
    assert binaries("aarch64") == ["aarch64"]
    assert binaries("m1") == ["aarch64", "m1"]
