"""The real specs, sorted by columns that many of them share: each is there once."""

import csv
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette


def hashes(database: Path, where: str, order: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        sql = f"select hash from specs where {where} order by {order}, hash"
        return [row[0] for row in connection.execute(sql)]


@pytest.mark.parametrize("column", ["target", "os", "compiler", "stacks", "size"])
async def test_a_stream_of_all_specs(
    real_site: Datasette, real_database: Path, column: str
) -> None:
    path = f"/spack-cache/specs.csv?_stream=on&_sort={column}&_size=100"
    stream = (await real_site.client.get(path)).text
    found = [row["hash"] for row in csv.DictReader(io.StringIO(stream))]
    assert found == hashes(real_database, "true", column)
    assert len(found) == 414


async def test_the_pages_of_a_package(real_site: Datasette, real_database: Path) -> None:
    url, found = "specs.json?package=py-filelock&_sort_desc=os&_size=20&_shape=objects", []
    while url:
        page = (await real_site.client.get(f"/spack-cache/{url.rpartition('/')[2]}")).json()
        found += [row["hash"] for row in page["rows"]]
        url = page["next_url"] or ""
    assert found == hashes(real_database, "package = 'py-filelock'", "os desc")
    assert len(found) == 108
