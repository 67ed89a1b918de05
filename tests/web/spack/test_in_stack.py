"""What a stack holds in one release: the filter of specs, and the links to it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from tests.conftest import build
from tests.pages import spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import links, tags


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that is in a stack in one release, and outside of it in another."""
    folder = tmp_path_factory.mktemp("stacks")
    moved = spec("moved", stacks=["e4s"])
    write_specs(folder, "develop", "xz", moved | {"stacks": ["a@b"]}, spec("stays"))
    write_specs(folder, "v0.23.1", "xz", moved, spec("older"))
    return build(folder / "spack-cache.db", folder)


@pytest.fixture(scope="module")
def stacks(database: Path) -> Iterator[Datasette]:
    with open_site(database) as datasette:
        yield datasette


def held(database: Path, stack: str, release: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        sql = "select spec from spec_stacks where stack = ? and release = ? order by spec"
        return [key for (key,) in connection.execute(sql, [stack, release])]


async def found(site: Datasette, *filters: tuple[str, str]) -> list[str]:
    response = await site.client.get(f"/spack-cache/specs.json?{urlencode(filters)}&_sort=hash")
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["filtered_table_rows_count"] == len(told["rows"])
    return [row[0] for row in told["rows"]]


@pytest.mark.parametrize(
    ("stack", "release", "number"),
    [("e4s", "develop", 1), ("e4s", "v0.23.1", 2), ("a@b", "develop", 1), ("root", "v0.23.1", 1)],
)
async def test_specs_of_a_stack_in_a_release(
    stack: str, release: str, number: int, stacks: Datasette, database: Path
) -> None:
    expected = held(database, stack, release)

    assert len(expected) == number
    assert await found(stacks, ("_in_stack", f"{stack}@{release}")) == expected


async def test_it_tells_what_the_two_lists_cannot(stacks: Datasette) -> None:
    both = ("stacks__arraycontains", "e4s"), ("releases__arraycontains", "develop")

    assert len(await found(stacks, *both)) == 2
    assert len(await found(stacks, ("_in_stack", "e4s@develop"))) == 1


async def test_other_filters_and_a_second_one_narrow_it(stacks: Datasette, database: Path) -> None:
    first, second = ("_in_stack", "e4s@v0.23.1"), ("_in_stack", "root@v0.23.1")
    expected = sorted(
        set(held(database, "e4s", "v0.23.1")) & set(held(database, "root", "v0.23.1"))
    )

    assert await found(stacks, first, second) == expected
    assert await found(stacks, first, ("package", "nothing")) == []


async def test_it_is_shown_and_can_be_taken_away(stacks: Datasette) -> None:
    html = (await stacks.client.get("/spack-cache/specs?_in_stack=e4s@develop&os=x")).text
    (away,) = [
        each["href"]
        for _, each in tags(html)
        if each.get("aria-label") == "Remove filter: in the stack e4s of develop"
    ]

    assert away == "/spack-cache/specs?os=x"


@pytest.mark.parametrize("text", ["e4s", "e4s@nothing", "@", " ", "e4s@develop@", "<b>@develop"])
async def test_what_names_no_stack_of_a_release_is_refused(text: str, stacks: Datasette) -> None:
    response = await stacks.client.get("/spack-cache/specs.json", params={"_in_stack": text})

    assert response.status_code == 400
    assert response.json()["error"].startswith(
        "_in_stack takes a stack and a release that has it, such as e4s@develop, not"
    )


async def test_nothing_is_no_filter(stacks: Datasette) -> None:
    assert len(await found(stacks, ("_in_stack", ""))) == 3


@pytest.mark.parametrize(
    ("path", "number"),
    [("/spack-cache/stacks/e4s", 1), ("/spack-cache/stacks/e4s?release=v0.23.1", 2)],
)
async def test_the_specs_of_a_stack_are_the_list_of_specs(
    path: str, number: int, stacks: Datasette
) -> None:
    html = (await stacks.client.get(path)).text
    (href,) = {link.href for link in links(html) if "_in_stack" in link.href}
    rows = (await stacks.client.get(href.replace("/specs?", "/specs.json?"))).json()["rows"]

    assert len(rows) == number


async def test_a_package_counts_its_stacks_in_the_release(
    stacks: Datasette, database: Path
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        sql = """
            select stack, count(*) from spec_stacks join specs on hash = spec_stacks.spec
            where package = 'xz' and release = ? group by stack order by 2 desc, 1
        """
        for release in ("develop", "v0.23.1"):
            html = (await stacks.client.get(f"/spack-cache/packages/xz?release={release}")).text
            shown = [link for link in links(html) if "_in_stack" in link.href]
            expected = [f"{stack} {n}" for stack, n in connection.execute(sql, [release])]
            assert [link.text for link in shown] == expected
            for link in shown:
                listed = await stacks.client.get(link.href.replace("/specs?", "/specs.json?"))
                assert len(json.loads(listed.text)["rows"]) == int(link.text.split()[1])
