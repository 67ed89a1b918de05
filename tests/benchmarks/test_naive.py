"""The naive build tells the same of the real pages as the pages do."""

from pathlib import Path

from click.testing import CliRunner
from sqlite_utils import Database

from benchmarks import naive

CACHE = Path(__file__).parents[2] / "data/_cache"


def test_real_pages_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "naive.db"
    result = CliRunner().invoke(naive.main, [str(path), str(CACHE)], catch_exceptions=False)
    with Database(path) as database:
        counts = {table.name: table.count for table in database.tables if "_fts" not in table.name}
        hits = [row["name"] for row in database.table("packages").search("msgpack")]
    assert result.output.startswith("5 pages in ")
    assert counts == {
        "packages": 5,
        "releases": 1,
        "specs": 414,
        "stacks": 20,
        "variants": 1,
        "spec_releases": 414,
        "spec_stacks": 1053,
        "spec_variants": 414,
    }
    assert hits == ["py-msgpack"]
