"""Specs that run on a machine, compared with SQL."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from tests.web.conftest import open_site
from tests.web.seen import links


async def found(site: Datasette, **filters: str | list[str]) -> set[str]:
    query = urlencode({**filters, "_shape": "array", "_size": "max"}, doseq=True)
    response = await site.client.get(f"/spack-cache/specs.json?{query}")
    assert response.status_code == 200, response.text
    return {row["hash"] for row in response.json()}


def running(database: Path, *machines: str, where: str = "1") -> set[str]:
    conditions = " AND ".join(
        "target IN (SELECT runs FROM target_compatibility WHERE target = ?)" for _ in machines
    )
    with closing(sqlite3.connect(database)) as connection:
        sql = f"SELECT hash FROM specs WHERE {conditions} AND {where}"
        return {name for (name,) in connection.execute(sql, machines)}


@pytest.mark.parametrize(
    ("machine", "number"),
    [("zen4", 208), ("x86_64_v3", 208), ("x86_64", 0), ("neoverse_v2", 203), ("nonesuch", 0)],
)
async def test_what_runs_on_a_machine(
    machine: str, number: int, real_site: Datasette, real_database: Path
) -> None:
    specs = await found(real_site, _runs_on=machine)

    assert specs == running(real_database, machine)
    assert len(specs) == number


async def test_capitals_do_not_matter(real_site: Datasette, real_database: Path) -> None:
    assert await found(real_site, _runs_on="Zen4") == running(real_database, "zen4")


async def test_it_stands_beside_other_filters(real_site: Datasette, real_database: Path) -> None:
    specs = await found(real_site, _runs_on=["zen4", "zen3"], os="ubuntu22.04")

    assert specs == running(real_database, "zen4", "zen3", where="os = 'ubuntu22.04'")
    assert specs


async def test_a_file_that_can_change_is_asked_with_sql(real_database: Path) -> None:
    with open_site(real_database, is_fixed=False) as site:
        assert await found(site, _runs_on="zen4") == running(real_database, "zen4")


async def test_the_page_says_so_and_lets_take_it_away(real_site: Datasette) -> None:
    html = (await real_site.client.get("/spack-cache/specs?_runs_on=zen4&os=centos7")).text

    assert "<strong>runs on zen4</strong>" in html
    assert "/spack-cache/specs?os=centos7" in {link.href for link in links(html)}


async def test_facets_and_the_count_heed_it(real_site: Datasette, real_database: Path) -> None:
    response = await real_site.client.get("/spack-cache/specs.json?_runs_on=neoverse_v2")
    answer = response.json()
    facet = answer["facet_results"]["os"]["results"]

    assert answer["filtered_table_rows_count"] == len(running(real_database, "neoverse_v2"))
    assert {each["value"]: each["count"] for each in facet} == {
        os: len(running(real_database, "neoverse_v2", where=f"os = '{os}'"))
        for os in ("rhel8", "sequoia", "ubuntu22.04", "ubuntu24.04")
    }


@pytest.mark.parametrize("machine", ["'; drop table specs; --", "<b>", "\N{BOMB}", "x" * 3000])
async def test_what_is_no_target_finds_nothing(machine: str, real_site: Datasette) -> None:
    response = await real_site.client.get(f"/spack-cache/specs?{urlencode({'_runs_on': machine})}")

    assert response.status_code == 200
    assert "<b>" not in response.text
    assert await found(real_site, _runs_on=machine) == set()
