"""The measurements measure, cover every kind of page, and are written down exactly."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from benchmarks import __main__ as bench
from benchmarks.building import Building, Contents, Files, Step, measure_building
from benchmarks.indexes import Cost, costs
from benchmarks.measure import FailedError, describe_machine, run
from benchmarks.page_kinds import page_kinds
from benchmarks.results import Measured, Scale, report, table
from benchmarks.scale import Point, measure_point, plot
from benchmarks.serving import (
    Bounds,
    Hits,
    Served,
    Serving,
    Stream,
    measure_naive_serving,
    measure_serving,
    percentile,
)
from etl.schema import TABLES
from tests.pages import REAL

ROOT = Path(__file__).parents[2]
FEW = Bounds(requests=1, seconds=5, stream_seconds=5)


def test_run_measures_time_and_memory_of_all_processes() -> None:
    child = "import time; held = b'x' * 30_000_000; time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(1)"
    measured = run(sys.executable, "-c", parent)
    assert measured.output == "1\n"
    assert measured.seconds > 0.5
    assert measured.cpu > 0
    assert len(measured.each) == 2
    assert measured.memory > 30_000_000
    assert measured.each[0] > 30_000_000 > measured.each[1] > 0


def test_failed_command_is_not_a_measurement() -> None:
    with pytest.raises(FailedError, match=r"^no such thing\n$"):
        run(sys.executable, "-c", "raise SystemExit('no such thing')")


def test_machine_is_described() -> None:
    machine = describe_machine()
    assert [*machine] == ["CPU", "Cores", "Memory", "System", "Python", "SQLite", "Libraries"]
    assert machine["SQLite"] == sqlite3.sqlite_version
    assert all(machine.values())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(REAL, folder / "pages")
    names = ("pages", "spack-cache.db", "naive.db", "scratch.db")
    return Files(*(folder / name for name in names))


@pytest.fixture(scope="module")
def building(files: Files) -> Building:
    return measure_building(files, 1, lambda _: None, naive=True)


def test_every_command_is_measured(building: Building) -> None:
    steps = [building.build, building.floor, building.naive, *building.others]
    assert [step and step.name for step in steps] == [
        "build",
        "floor",
        "naive",
        "build, nothing changed",
        "check",
        "verify",
        "build --jobs 1",
        "build, one page changed",
        "build, 1 % of the pages changed",
    ]
    for step in filter(None, steps):
        assert min(*step.seconds, *step.cpu) > 0
        assert step.memory > 0
        assert min(step.each) > 0
    assert len(building.floor_parts) == 5
    assert building.contents[:4] == (5, 113_433, 414, 414)
    assert 0 < building.integer_bytes < building.contents.database_bytes


def test_pages_are_as_before(building: Building, files: Files) -> None:
    assert building
    for page in REAL.rglob("specs.md"):
        assert (files.pages / page.relative_to(REAL)).read_bytes() == page.read_bytes()
    assert not files.scratch.exists()


def test_point_of_the_plot_is_measured(files: Files, tmp_path: Path) -> None:
    point = measure_point(files._replace(database=tmp_path / "point.db"))
    assert point.entries == 414
    assert min(point.seconds, point.memory, point.database_bytes) > 0
    assert [*tmp_path.iterdir()] == []


def test_every_kind_of_page_is_served(made_database: Path) -> None:
    measured = measure_serving(made_database, FEW)
    names = [kind.name for kind in measured.kinds]
    metadata = yaml.safe_load((ROOT / "metadata.yml").read_text())
    queries = metadata["databases"]["spack-cache"]["queries"]
    charts = metadata["plugins"]["datasette-dashboards"]["spack-cache"]["charts"]
    assert set(names) >= {
        *("home", "spec", "release", "stack", "variant", "package, any", "the database"),
        *(f"`{table.name}`" for table in TABLES if table.name != "specs"),
        *("`specs` without facets", "`specs` with its facets", "find: a package"),
        *("JSON of a row of `specs`", "JSON of 100 rows of `specs`, no facets"),
        "`specs` with its facets and variants, filters: 2",
        "install of a package's specs, about 100",
        *("systems", "system", "system, searched", "system, CSV"),
        "how many packages run on a system",
        *(f"query `{name}`" for name in queries),
        *(f"query `{name}` with parameters" for name in queries),
        "charts `spack-cache`",
        *(f"data of chart `{name}`" for name, chart in charts.items() if "query" in chart),
    }
    assert len(names) == len(set(names))
    assert [(kind.name, kind.failed) for kind in measured.kinds if kind.failed] == []
    assert {kind.visits for kind in measured.kinds} == {1}
    assert all(0 < kind.p50 <= kind.p95 for kind in measured.kinds)
    assert [kind.name for kind in measured.kinds if kind.timed_out] == []
    assert measured.start > 0
    assert measured.stream.bytes > 0
    assert measured.stream.seconds > 0
    assert measured.stream.most >= measured.stream.before > 0
    assert 0 < measured.hits.p50 <= measured.hits.p95
    assert measured.hits.a_second > 0


def test_naive_database_is_asked_for_the_same_pages(building: Building, files: Files) -> None:
    assert building
    served = measure_naive_serving(files.naive, files.database, FEW)
    assert [(kind.name, kind.failed) for kind in served if kind.failed] == []
    assert [kind.name for kind in served] == [
        "home",
        "spec",
        "the database",
        "`specs` without facets",
        "`specs` with its facets",
        "`specs` with its facets, a package",
        "`specs` with its facets, one column",
        "`specs` with its facets, `_through` a variant",
        "`specs` without facets, searched",
        "JSON of a row of `specs`",
        "JSON of 100 rows of `specs`, no facets",
        "JSON of 1000 rows of `specs`, no facets",
    ]


def test_addresses_come_once_and_the_seed_decides_them(made_database: Path) -> None:
    def addresses(seed: int) -> list[list[str]]:
        with closing(sqlite3.connect(made_database)) as connection:
            return [[*kind.addresses] for kind in page_kinds(connection, 20, seed)]

    first = addresses(1)
    assert first == addresses(1) != addresses(2)
    for of_kind in first:
        assert 1 <= len(of_kind) == len(set(of_kind)) <= 20


@pytest.mark.parametrize(
    ("values", "p50", "p95"), [([7], 7, 7), ([4, 1, 3, 2], 2, 4), (range(1, 101), 50, 95)]
)
def test_percentile_is_one_of_the_values(values: list[float], p50: float, p95: float) -> None:
    assert (percentile(values, 50), percentile(values, 95)) == (p50, p95)


def test_costs_are_those_of_the_file_with_the_pages_that_read_them(made_database: Path) -> None:
    found = {cost.name: cost for cost in costs(made_database, visits=2)}
    assert sum(cost.bytes for cost in found.values()) == made_database.stat().st_size
    assert [cost.bytes for cost in found.values()] == sorted(
        (cost.bytes for cost in found.values()), reverse=True
    )
    assert found["specs"][2:] == ("", ())
    assert found["idx_releases_position"].serves == "releases in order"
    assert found["idx_variants_name"].read_by == ["`variants` by name"]
    assert "spec" in found["sqlite_autoindex_specs_1"].read_by


MACHINE = {"CPU": "Fast", "Cores": "2"}
MEDIUM = Measured(
    size="medium",
    day="2025-07-13",
    machine=MACHINE,
    building=Building(
        contents=Contents(20, 3_000_000, 1_000, 400, 8_000_000),
        build=Step("build", [6, 5, 9], [8, 7, 9], 90_000_000, [50_000_000, 40_000_000]),
        floor=Step("floor", [4], [6], 30_000_000, [30_000_000]),
        floor_parts=[1, 0.5, 1.5, 0.75, 0.25],
        naive=Step("naive", [180], [170], 60_000_000, [60_000_000]),
        others=[
            Step("build, nothing changed", [0.5], [0.25], 1_000_000, [1_000_000]),
            Step("build, 1 % of the pages changed", [3], [4], 1_000_000, [1_000_000]),
        ],
        integer_bytes=2_500_000,
    ),
    serving=Serving(
        start=1.25,
        ready=2.5,
        kinds=[
            Served("home", 40, 3, 10, 41.25, "/?_visit=2", [], []),
            Served("spec", 40, 3, 5, 6, "/s", ["500 /s", "404 /t"], ["stacks", "os"]),
            Served("charts", None, 3, 2, 3, "/c", [], []),
        ],
        stream=Stream(16_000_000, 2, 100_000_000, 102_000_000, 101_000_000),
        hits=Hits(0.5, 2.5, 1234.5),
    ),
    naive_serving=[Served("home", 40, 3, 80, 165, "/?_visit=1", [], [])],
    costs=[
        Cost("specs", 5_999_000, "", []),
        Cost("idx_specs_stacks", 2_000_000, "the facet on stacks", ["a", "b", "c", "d", "e"]),
        Cost("idx_specs_size", 1_000, "the facet on size", []),
        Cost("stacks", 1_000, "", []),
    ],
)


def test_table_is_markdown() -> None:
    assert [*table(["a", "b:"], [["c", "1"], ["d", "2"]])] == [
        "",
        "| a | b |",
        "| --- | ---: |",
        "| c | 1 |",
        "| d | 2 |",
    ]


def test_figures_and_ratios_are_written_exactly() -> None:
    text = report({"medium": MEDIUM}, None)
    assert (
        text[text.index("## The medium") :]
        == """\
## The medium collection

Measured on 2025-07-13. CPU: Fast. Cores: 2

20 pages (3 MB), 1,000 entries, 400 specs; database 8 MB, 3.2 times the 2 MB of the same facts with integer keys.

| command | runs | seconds | CPU | floors | naive ÷ this | µs an entry | memory, MB | each process, MB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| build | 3 | 6.00 | 8.00 | 1.50 | 30.0 | 6000.0 | 90 | 50 + 40 |
| build, nothing changed | 1 | 0.50 | 0.25 | 0.12 | 360.0 | 500.0 | 1 | 1 |
| build, 1 % of the pages changed | 1 | 3.00 | 4.00 | 0.75 | 60.0 | 3000.0 | 1 | 1 |
| floor | 1 | 4.00 | - | 1.00 | 45.0 | 4000.0 | 30 | 30 |
| naive | 1 | 180.00 | 170.00 | 45.00 | 1.0 | 180000.0 | 60 | 60 |

The floor's seconds: read 1.00, decode 0.50, insert 1.50, index 0.75, analyze 0.25.

### Pages of the medium collection

First answer 1.2 s after the start, first page of specs with all facets after 2.5 s. CSV of all specs: 8.0 MB/s over 16 MB; the server's memory went from 100 to at most 102 MB, and was 101 MB afterwards. A page asked for again: p50 0.5, p95 2.5 ms; 16 clients had 1,234 answers a second.

| page | limit | p50 | p95 | visits | naive p95 | naive ÷ this | note |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
| home | 40 | 10.0 | 41.2 | 3 | 165.0 | 4.0 | **beyond its limit**, slowest: `/?_visit=2` |
| spec | 40 | 5.0 | 6.0 | 3 | - | - | **2 failed**, the first: `500 /s`; **facets timed out**: stacks, os |
| charts | - | 2.0 | 3.0 | 3 | - | - |  |

### What the tables and indexes of the medium collection cost

Of SQLite's own indexes and of tables, those below 0.1 % are left out.

| table or index | kB | share | is there for | read by |
| --- | ---: | ---: | --- | --- |
| `specs` | 5,999 | 75.0% |  |  |
| `idx_specs_stacks` | 2,000 | 25.0% | the facet on stacks | a; b; c; 2 more |
| `idx_specs_size` | 1 | 0.0% | the facet on size | **no page** |
"""
    )


def test_targets_stand_beside_what_was_measured() -> None:
    full = MEDIUM._replace(size="full", naive_serving=[])
    text = report({"medium": MEDIUM, "full": full}, None)
    begin = text.index("## Targets")
    assert text[begin : text.index("## The medium")].splitlines()[2:18] == [
        "| target | limit | measured | reached |",
        "| --- | ---: | ---: | --- |",
        "| medium: naive ÷ build | at least 40 | 30.00 | **no** |",
        "| medium: build | at most 2 floors | 1.50 floors | yes |",
        "| full: build | at most 45 s | 6.00 s | yes |",
        "| full: memory | at most 200 MB | 90.00 MB | yes |",
        "| memory from medium to full: growth | at most 20 % | 0.00 % | yes |",
        "| full: nothing changed | at most 3 s | 0.50 s | yes |",
        "| full: size, with integer keys being 1 | at most 4 | 3.20 | yes |",
        "| full: p95 of pages with this limit; slowest: home | at most 40 ms | 41.25 ms | **no** |",
        "| full: kinds of page with a facet that timed out | at most 0 | 1.00 | **no** |",
        "| full: p95 of pages asked for again | at most 2 ms | 2.50 ms | **no** |",
        "| full: answers a second to 16 clients that ask again | at least 500 | 1,234.50 | yes |",
        "| full: CSV stream | at least 8 MB/s | 8.00 MB/s | yes |",
        "| full: memory that the CSV stream adds | at most 10 MB | 2.00 MB | yes |",
        "",
    ]
    assert (
        "The floor is 45 times as fast as the naive build here, so a build of two floors is\n22"
        in (text)
    )


def test_ten_times_the_full_collection_is_reckoned_from_the_figures() -> None:
    slow = MEDIUM.serving.kinds[0]._replace(name="slow", p50=301)
    building = MEDIUM.building._replace(
        contents=Contents(120_000, 3_000_000, 1_100_000, 410_000, 1_500_000_000),
        build=MEDIUM.building.build._replace(seconds=[42]),
        integer_bytes=440_000_000,
    )
    serving = MEDIUM.serving._replace(kinds=[*MEDIUM.serving.kinds, slow])
    full = MEDIUM._replace(size="full", building=building, serving=serving)
    text = report({"full": full}, None)
    begin = text.index("## What breaks first")
    words = " ".join(text[begin:].split())
    for claim in (
        "On paper: 11 million entries, 4.1 million specs, 1.2 million pages.",
        "More than 3 seconds is ten times what these take here: slow.",
        "**The file.** 15 GB no longer fit",
        "Integer keys would make it 4 GB,",
        "**The build's time.** 7 minutes, with memory still at 90 MB:",
        "which takes 5 seconds when nothing changed.",
    ):
        assert claim in words


POINTS = [Point(10_000, 1, 50_000_000, 20_000_000), Point(1_000_000, 50, 75_000_000, 10**9)]


def test_plot_goes_with_the_figures() -> None:
    picture = ET.fromstring(plot(POINTS))
    lines = [line.get("points") for line in picture.findall(".//{*}polyline")]
    # 100 and 50 µs, 50 and 75 MB, 2,000 and 1,000 bytes; 150 pixels are 1.2 times the highest.
    assert lines == ["60,65 487,128", "60,297 487,255", "60,445 487,508"]
    texts = [text.text for text in picture.findall(".//{*}text")]
    assert texts[:3] == ["Time for an entry, microseconds", "100", "50"]
    assert texts[-1] == "10 million"


def test_figures_are_kept_from_run_to_run(tmp_path: Path) -> None:
    scale = Scale("2025-07-13", MACHINE, POINTS)
    bench.keep(tmp_path / "medium.json", MEDIUM)
    bench.keep(tmp_path / "scale.json", scale)
    bench.write_results(tmp_path, tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    assert text == report({"medium": MEDIUM}, scale)
    assert "| 1,000,000 | 50.0 | 50.0 | 75 | 1,000 | 1,000 |" in text.splitlines()
    assert (tmp_path / "scale.svg").read_text() == plot(POINTS)


def test_figures_of_another_form_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.json"
    file.write_text('["small", "2025-07-13"]')
    bench.write_results(tmp_path, tmp_path)
    assert (tmp_path / "RESULTS.md").read_text() == report({}, None)
    assert capsys.readouterr().out == (
        f"{file} is left out: what is measured has changed since; measure it again\n"
    )
