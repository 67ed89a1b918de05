"""metadata.yml: it describes all that is there and nothing else, and its settings take effect."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from datasette.app import Datasette

from etl.describe import describe
from etl.schema import TABLES as SCHEMA
from tests.web.seen import links, sections, tags

METADATA = yaml.safe_load((Path(__file__).parents[2] / "metadata.yml").read_text())
DATABASE = METADATA["databases"]["spack-cache"]
TABLES = DATABASE["tables"]
QUERIES = DATABASE["queries"]
PARAMETERS = DATABASE["plugins"]["queries"]["parameters"]
CHARTS = METADATA["plugins"]["datasette-dashboards"]["spack-cache"]["charts"]

SEARCH_TABLE = re.compile(r".+_fts(_\w+)?|sqlite_\w+")


def columns_of(database: Path) -> dict[str, list[str]]:
    """The tables that people see, and their columns."""
    with closing(sqlite3.connect(database)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not SEARCH_TABLE.fullmatch(name)
        ]
        return {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            for name in names
        }


def test_every_table_and_column_is_described_and_nothing_else(real_database: Path) -> None:
    described = {name: list(table["columns"]) for name, table in TABLES.items()}

    assert described == columns_of(real_database)


def test_no_description_is_empty() -> None:
    texts = [text for table in TABLES.values() for text in table["columns"].values()]
    texts += [described["description"] for described in (*TABLES.values(), *QUERIES.values())]

    assert min(map(len, texts)) > len("The page")


def test_tables_are_described_as_the_schema_says() -> None:
    told = {
        name: {key: table[key] for key in ("description", "columns")}
        for name, table in TABLES.items()
    }
    assert told == {table.name: describe(table.name) for table in SCHEMA}


@pytest.mark.parametrize("name", TABLES)
async def test_a_table_s_page_shows_its_descriptions(name: str, real_site: Datasette) -> None:
    html = (await real_site.client.get(f"/spack-cache/{name}")).text
    text = " ".join(sections(html).values())

    assert TABLES[name]["description"] in text
    assert all(description in text for description in TABLES[name]["columns"].values())


def test_the_source_is_named_and_no_licence_claimed_for_the_data() -> None:
    about = {key: METADATA[key] for key in ("source", "source_url", "about_url")}

    assert about == {
        "source": "binaries.spack.io and cache.spack.io",
        "source_url": "https://binaries.spack.io/",
        "about_url": "https://github.com/spack/cache.spack.io",
    }
    assert "https://binaries.spack.io/" in METADATA["about"]
    assert "https://cache.spack.io/" in METADATA["about"]
    assert "none is claimed for the data" in METADATA["about"]
    assert "Apache License 2.0" in METADATA["about"]
    assert not [key for key in (*METADATA, *DATABASE) if "licen" in key]


def test_every_parameter_is_described_and_no_other() -> None:
    used = {parameter for query in QUERIES.values() for parameter in query["params"]}

    assert set(PARAMETERS) == used
    assert all(described["label"] for described in PARAMETERS.values())


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_s_parameters_are_those_of_its_sql(name: str) -> None:
    in_sql = set(re.findall(r":(\w+)", QUERIES[name]["sql"]))

    assert set(QUERIES[name]["params"]) == in_sql


ROBOTS = [
    ("/", True),
    ("/spack-cache", True),
    ("/spack-cache/packages", True),
    ("/spack-cache/packages?_next=hdf5%2Chdf5", True),
    ("/spack-cache/packages/hdf5", True),
    ("/spack-cache/stacks/e4s", True),
    ("/spack-cache/releases/develop", True),
    ("/spack-cache/find_a_binary", True),
    ("/-/dashboards/spack-cache", True),
    ("/static/site.css", True),
    ("/llms.txt", True),
    ("/spack-cache?sql=select+1", False),
    ("/spack-cache.db", False),
    ("/spack-cache/specs?os=rhel8&_facet=target", False),
    ("/spack-cache/specs/htwinaaaaaaaaaaaaaaaaaaaaaaaaaaa", False),
    ("/spack-cache/packages?_sort=num_specs", False),
    ("/spack-cache/packages/hdf5?machine=zen4", False),
    ("/spack-cache/packages.json", False),
    ("/spack-cache/specs.install", False),
    ("/spack-cache/specs.hashes", False),
    ("/spack-cache/spec_stacks", False),
    ("/spack-cache/variants/+mpi", False),
    ("/spack-cache/nodes/htwinaaaaaaaaaaaaaaaaaaaaaaaaaaa", False),
    ("/spack-cache/dependencies", False),
    ("/-/find?q=hdf5", False),
]


@pytest.mark.parametrize(("path", "allowed"), ROBOTS)
async def test_robots_are_kept_from_what_is_endless(
    path: str, allowed: bool, site: Datasette
) -> None:
    rules = (await site.client.get("/robots.txt")).text.splitlines()

    assert rules[0] == "User-agent: *"
    assert longest_rule(rules[1:], path) == ("Allow" if allowed else "Disallow")


def longest_rule(rules: list[str], path: str) -> str:
    """What RFC 9309 makes of rules: the longest that matches counts, and allows if there is none."""
    matching = [("", "Allow")]
    for rule in rules:
        verb, pattern = rule.split(": ")
        if re.match(re.escape(pattern).replace(r"\*", ".*"), path):
            matching.append((pattern, verb))
    return max(matching, key=lambda match: (len(match[0]), match[1] == "Allow"))[1]


async def test_answers_are_compressed_and_for_any_origin(real_site: Datasette) -> None:
    response = await real_site.client.get(
        "/spack-cache/specs.json", headers={"accept-encoding": "gzip"}
    )

    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["access-control-allow-origin"] == "*"


CHART_ROWS = {
    "oses": [
        {"os": "ubuntu22.04", "specs": 6},
        {"os": "o's", "specs": 1},
        {"os": "sequoia", "specs": 1},
        {"os": "ubuntu24.04", "specs": 1},
    ],
    "targets": [
        {"target": "x86_64_v3", "specs": 6},
        {"target": "<i>t", "specs": 1},
        {"target": "m1", "specs": 1},
        {"target": "neoverse_v2", "specs": 1},
    ],
    "compilers": [
        {"compiler": "gcc@13.2.0", "specs": 6},
        {"compiler": "apple-clang@16.0.0", "specs": 1},
        {"compiler": "gcc@12.3.0", "specs": 1},
        {"compiler": "none", "specs": 1},
    ],
    "packages": [
        {"package": "hdf5", "specs": 5},
        {"package": "py-numpy", "specs": 2},
        {"package": "<img src=x onerror=alert(1)> `reboot`;", "specs": 1},
        {"package": "xz", "specs": 1},
    ],
    # Only pages tell of these specs: test_usage.py has what is drawn of indexes.
    "needed": [],
    "holes": [],
}


@pytest.mark.parametrize("name", CHARTS)
async def test_a_chart_draws_exact_numbers(name: str, site: Datasette) -> None:
    query = urlencode({"sql": CHARTS[name]["query"], "_shape": "array"})

    assert (await site.client.get(f"/spack-cache.json?{query}")).json() == CHART_ROWS[name]


def encoded_fields(chart: dict[str, Any]) -> set[str]:
    return {channel["field"] for channel in chart["display"]["encoding"].values()}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_draws_columns_that_it_has(name: str) -> None:
    of_indexes = {"needed": {"package", "packages"}, "holes": {"stack", "lacking"}}
    columns = of_indexes.get(name) or set(CHART_ROWS[name][0])

    assert encoded_fields(CHARTS[name]) <= columns


async def test_the_charts_page_shows_every_chart_and_leads_to_its_numbers(site: Datasette) -> None:
    html = (await site.client.get("/-/dashboards/spack-cache")).text

    assert list(sections(html)) == [
        "Charts",
        *(chart["title"] for chart in CHARTS.values()),
        "How the stacks grew",
    ]
    numbers = [link for link in links(html) if link.text.startswith("The numbers")]
    assert [link.text for link in numbers] == [
        *(f"The numbers of {chart['title']}" for chart in CHARTS.values()),
        "The numbers of the growth of a stack",
    ]
    for link in numbers:
        assert (await site.client.get(link.href)).status_code == 200


async def test_one_chart_has_a_page_of_its_own(site: Datasette) -> None:
    html = (await site.client.get("/-/dashboards/spack-cache/targets")).text

    assert list(sections(html)) == ["Charts", "Specs by target"]
    assert ("Charts", "/-/dashboards/spack-cache") in links(html)


async def test_charts_load_nothing_from_elsewhere(site: Datasette) -> None:
    html = (await site.client.get("/-/dashboards/spack-cache")).text
    loaded = [
        attributes.get("src") or attributes.get("href")
        for tag, attributes in tags(html)
        if tag in {"script", "link", "img"} and attributes.get("rel") != "alternate"
    ]

    assert [path for path in loaded if path and not path.startswith("/")] == []
