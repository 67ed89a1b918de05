"""The site's pages, which bitmaps answer: what they count, and the SQL that they show."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from tests.web.conftest import open_site


async def answer(datasette: Datasette, path: str) -> Any:
    response = await datasette.client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_count_and_the_facets_of_a_real_filter(real_site: Datasette) -> None:
    found = await answer(
        real_site,
        "/spack-cache/specs.json?platform=linux&stacks__arraycontains=e4s&_size=1"
        "&_facet_array=variants&_facet_size=3",
    )
    facets = {
        name: [(value["value"], value["count"]) for value in facet["results"]]
        for name, facet in found["facet_results"].items()
    }
    assert found["filtered_table_rows_count"] == 55
    assert facets == {
        "version": [("3.12.4", 18), ("3.0.0", 12), ("2.4.3", 9)],
        "compiler": [("none", 39), ("gcc@11.4.0", 16)],
        "os": [("ubuntu22.04", 55)],
        "platform": [("linux", 55)],
        "target": [("x86_64_v3", 55)],
        "stacks": [("e4s", 55), ("root", 55)],
        "releases": [("develop", 55)],
        "variants": [("build_system=python_pip", 55)],
    }


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("os=rhel8", 6),
        ("stacks__arraycontains=e4s&os=ubuntu22.04&_sort_desc=version", 55),
        ("stacks__arraynotcontains=e4s&package=py-filelock&_sort=target", 90),
        ("_search=filelock&variants__arraycontains=build_system%3Dpython_pip", 108),
    ],
)
async def test_the_sql_of_a_page_finds_its_rows_in_plain_sqlite(
    real_site: Datasette, real_database: Path, query: str, rows: int
) -> None:
    page = await answer(real_site, f"/spack-cache/specs.json?{query}&_size=max")
    with closing(sqlite3.connect(real_database)) as connection:
        alone = connection.execute(page["query"]["sql"], page["query"]["params"]).fetchall()
    assert [list(row) for row in alone] == page["rows"]
    assert len(alone) == rows


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/spack-cache/packages/hdf5"),
        *("/spack-cache/releases/develop", "/spack-cache/releases/v0~2E23~2E1"),
        "/spack-cache/stacks/e4s",
    ],
)
async def test_pages_are_the_same_where_the_database_could_change(
    made_database: Path, path: str
) -> None:
    pages = []
    for is_fixed in (True, False):
        with open_site(made_database, is_fixed=is_fixed) as site:
            response = await site.client.get(path)
            assert response.status_code == 200
            pages.append(re.sub(r"took \d+ ms", "", response.text))
    assert pages[0] == pages[1]
