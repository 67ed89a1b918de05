"""What docs/dependencies.md and docs/systems.md say is true."""

import re
from pathlib import Path
from urllib.parse import urlencode

import yaml
from datasette.app import Datasette

from web.spack.usage import FUNCTIONS

ROOT = Path(__file__).parents[2]
DEPENDENCIES = (ROOT / "docs" / "dependencies.md").read_text()
SYSTEMS = (ROOT / "docs" / "systems.md").read_text()


async def test_the_addresses_of_systems_answer(site: Datasette) -> None:
    asked = re.findall(r"curl 'http://127.0.0.1:8001(\S+)'", SYSTEMS)
    assert len(asked) == 4
    for address in asked:
        response = await site.client.get(address)
        assert response.status_code == 200
        assert len(response.text) > 30


async def test_the_addresses_of_dependencies_answer(cache_site: Datasette) -> None:
    asked = re.findall(r"curl '(http://127.0.0.1:8001\S+)'", DEPENDENCIES)
    assert len(asked) == 4
    for address in asked:
        response = await cache_site.client.get(address.removeprefix("http://127.0.0.1:8001"))
        assert response.status_code == 200
        assert len(response.text) > 60


async def test_the_searches_of_dependencies_mean_something(cache_site: Datasette) -> None:
    for search in re.findall(r"^\| `([^`(]*[%^][^`(]*)` \|", DEPENDENCIES, re.MULTILINE):
        response = await cache_site.client.get(f"/-/find?{urlencode({'q': search})}")
        assert response.status_code == 302
        assert "_needs=" in response.headers["location"]
        found = await cache_site.client.get(response.headers["location"])
        assert found.status_code == 200


def test_questions_and_functions_are_those_that_there_are() -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yml").read_text())
    queries = metadata["databases"]["spack-cache"]["queries"]
    functions = {*FUNCTIONS, "needs", "needs_rows"}
    questions, sql = (
        set(re.findall(r"`(\w+)[(`]", part))
        for part in re.findall(
            r"## (?:Questions|In SQL)\n(.*?)(?=\n## |\Z)", DEPENDENCIES, re.DOTALL
        )
    )

    assert questions == {
        *("dependents", "dependent_specs", "needed_to_run", "stack_holes"),
        *("most_needed_dependencies", "most_needed_packages", "built_against_externals"),
    }
    assert questions <= set(queries)
    assert functions <= sql


async def test_the_sql_of_dependencies_answers(cache_site: Datasette) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", DEPENDENCIES, re.DOTALL)
    response = await cache_site.client.get(f"/spack-cache.json?{urlencode({'sql': sql})}")

    assert [row[0] for row in response.json()["rows"]] == ["berkeley-db", "gcc-runtime", "glibc"]
