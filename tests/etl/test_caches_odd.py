"""What random collections of build caches found: build and verify say the same of odd ones."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from etl import sorting
from tests.etl import mirror
from tests.etl.cache_builds import Site, query, run
from tests.etl.fuzz_caches import compact
from tests.etl.mirror import dep, index, record, spell
from tests.pages import dag_hash, spec


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def build(site: Site, *options: str) -> list[tuple[Any, ...]]:
    """Build and verify; the problems."""
    result = run("build", site.database, site.folder, "--skip-bad", "--quiet", *options)
    assert result.exit_code == 0, result.output
    result = run("verify", site.database, site.folder)
    assert result.exit_code == 0, result.output
    return site.problems()


def test_a_release_of_which_there_is_no_index(site: Site) -> None:
    site.cache("develop", "e4s", record("zlib"))
    for command in (["check"], ["build", site.database]):
        result = run(*map(str, command), site.folder, "-r", "v1.0.0")
        assert result.exit_code == 2
        assert "nothing of release v1.0.0 in these paths" in result.output


def test_a_link_stays_a_problem_when_an_index_is_left_out(site: Site) -> None:
    site.cache("develop", "root", record("zlib"))
    site.cache("v1.0.0", "root", record("zlob", word="zlib"))
    link = site.folder / "v1.0.0/cmake/specs.md"
    link.parent.mkdir()
    link.symlink_to("/etc/passwd")
    assert [row[:2] for row in build(site)] == [
        ("v1.0.0/cmake/specs.md", "unreadable"),
        ("v1.0.0/index.json", "two-packages"),
    ]


def test_a_dependency_that_one_record_of_a_package_names_wrongly(site: Site) -> None:
    site.cache(
        "develop",
        "root",
        record("cmake", word="a", deps=[dep("zlib")]),
        record("cmake", word="b", deps=[dep("zlob", "zlib")]),
        record("zlib"),
    )
    message = "record {}: dependency {} is named 'zlob', and its record says 'zlib', which counts"
    assert build(site) == [
        ("develop/index.json", "conflict", message.format(dag_hash("b"), dag_hash("zlib")))
    ]


def test_a_conflict_before_it_is_known_what_dependencies_provide(site: Site) -> None:
    a, b = dep("zlib", virtuals=["zlib-api"]), dep("gcc")
    content = index(record("cmake", deps=[dep("zlib")]), record("zlib"), record("gcc"), version="6")
    mirror.write_layout2(site.folder / "develop-2025-07-13", content)
    site.cache("v1.0.0", "root", record("cmake", deps=[b]), record("gcc"), record("zlib"))
    site.cache("v0.23.1", "root", record("cmake", deps=[a]), record("gcc"), record("zlib"))
    (source, kind, message), = build(site)  # fmt: skip
    assert (source, kind) == ("v1.0.0/index.json", "conflict")
    assert message.endswith("in develop-2025-07-13, which is newer and counts")
    assert query(site.database, "SELECT virtuals FROM dependencies") == [('["zlib-api"]',)]


def test_sizes_of_an_index_that_is_left_out(site: Site) -> None:
    site.cache("develop", "root", record("zlib"))
    folder = site.cache("v1.0.0", "root", record("zlob", word="zlib"), sizes={"zlib": 5})
    (manifest,) = folder.glob("v3/manifests/spec/*/*")
    manifest.write_bytes(b"{")
    assert [row[:2] for row in build(site)] == [("v1.0.0/index.json", "two-packages")]


def test_a_hash_belongs_to_the_first_source_that_has_it(site: Site) -> None:
    site.cache("develop", "root", record("zlib"))
    site.page("develop", "zlib", spec("other"))
    site.cache("v1.0.0", "root", record("zlob", word="zlib"))
    assert build(site) == [
        (
            "v1.0.0/index.json",
            "two-packages",
            f"hash {dag_hash('zlib')} is of package zlib in develop/index.json",
        )
    ]


@pytest.mark.parametrize("part", [100, 1000, 8_000, sorting._PART])
def test_many_keys_that_nobody_knows_in_parts(site: Site, part: int) -> None:
    words = [f"{a}{b}" for a in "abcd" for b in "abcdefg"]
    records = [record("zlib", word=word, **{f"key-{word}": 1}) for word in words]
    content = compact(index(*records))
    assert len(words) > 20
    mirror.write_layout3(site.folder / "develop", content)
    with patch.object(sorting, "_PART", part):
        found = build(site)
    assert [kind for _, kind, _ in found] == ["unknown-key"] * 21
    assert found[0][2] == "8 more keys nobody knows; not loaded"


@pytest.mark.parametrize("tail", ['"ref_count":1', '"ref_count":1,"in_buildcache":true'])
@pytest.mark.parametrize("said", [True, False])
def test_a_record_is_known_again_by_all_it_says(site: Site, tail: str, said: bool) -> None:
    told = spell(record("zlib"))
    for release, end in (("develop", '"ref_count":1'), ("v1.0.0", tail)):
        own = {"spec": told["spec"], "in_buildcache": said}
        text = f"{compact(own).decode()[:-1]},{end}}}"
        data = f'{{"database":{{"version":"8","installs":{{"{dag_hash("zlib")}":{text}}}}}}}'
        mirror.write_bare(site.folder / release, data)
    found = [row[:2] for row in build(site)]
    twice = "in_buildcache" in tail
    assert found == ([("v1.0.0/index.json", "duplicate-key")] if twice else [])
    releases = "SELECT release FROM spec_releases ORDER BY release"
    expected = ["develop"] if twice else ["develop", "v1.0.0"]
    assert query(site.database, releases) == [(release,) for release in expected if said]


def test_a_number_that_is_no_json_in_a_record_that_is_known(site: Site) -> None:
    data = compact(index(record("zlib")))
    mirror.write_bare(site.folder / "develop", data)
    mirror.write_bare(site.folder / "v1.0.0", data.replace(b'"ref_count":1', b'"ref_count":01'))
    assert [row[:2] for row in build(site)] == [("v1.0.0/index.json", "json")]


def test_a_flat_node_of_version_5(site: Site) -> None:
    content = json.loads(compact(index(record("zlib"), version="7")))
    content["database"]["version"] = "5"
    mirror.write_bare(site.folder / "develop", compact(content))
    assert [row[:2] for row in build(site)] == [("develop/index.json", "type")]
