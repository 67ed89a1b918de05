"""How stacks and packages grew: lines, and a package's releases."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette

from tests.web.seen import links, sections, tags
from web.spack.growth import Held, StackLine, line, package_history, stack_lines


async def test_a_line_of_each_stack(site: Datasette, made_database: Path) -> None:
    await site.invoke_startup()
    lines = await stack_lines(site.get_database("spack-cache"))
    with closing(sqlite3.connect(made_database)) as connection:
        sql = "select stack, count(*) from spec_stacks where release = 'develop' group by stack"
        counted = dict(connection.execute(sql))

    assert (lines.oldest, lines.newest) == ("v0.23.1", "develop")
    assert {one.stack: one.specs for one in lines.stacks} == counted
    (e4s,) = [one for one in lines.stacks if one.stack == "e4s"]
    assert e4s == StackLine(
        stack="e4s",
        newest="develop",
        specs=4,
        more=1,
        points="0.0,16.0 80.0,9.0 160.0,9.0 240.0,2.0",
        text="develop 4, develop-2025-07-13 3, develop-2025-07-06 3, v0.23.1 2",
    )


@pytest.mark.parametrize(
    ("counts", "points"),
    [
        ([0, 10], "0.0,30.0 240.0,2.0"),
        ([7], "0.0,2.0 240,2.0"),
        ([0, 0, 0], "0.0,30.0 120.0,30.0 240.0,30.0"),
    ],
)
def test_a_line_begins_at_zero_and_ends_at_the_most(counts: list[int], points: str) -> None:
    assert line(counts) == points


async def test_the_charts_page_has_the_lines_without_javascript(site: Datasette) -> None:
    html = (await site.client.get("/-/dashboards/spack-cache")).text

    assert "developer-tools-darwin 1 e4s 4 +1" in sections(html)["How the stacks grew"]
    assert ("e4s", "/spack-cache/stacks/e4s") in links(html)
    assert [tag for tag, _ in tags(html)].count("polyline") == 7


async def test_a_package_s_releases(site: Datasette) -> None:
    await site.invoke_startup()
    assert await package_history(site.get_database("spack-cache"), "hdf5") == [
        Held("develop", "1.14.5", 5, 100.0),
        Held("develop-2025-07-13", "1.14.5", 3, 60.0),
        Held("develop-2025-07-06", "1.14.5", 2, 40.0),
        Held("v0.23.1", "1.12.2", 1, 20.0),
    ]


async def test_every_package_s_releases_agree_with_sql(
    real_site: Datasette, real_database: Path
) -> None:
    await real_site.invoke_startup()
    with closing(sqlite3.connect(real_database)) as connection:
        packages = connection.execute("select name, versions from packages").fetchall()
        for package, versions in packages:
            expected = connection.execute(
                """
                select release, count(*) from spec_releases join specs on hash = spec_releases.spec
                join releases on name = release where package = ? group by release
                order by position
                """,
                [package],
            ).fetchall()
            held = await package_history(real_site.get_database("spack-cache"), package)
            assert [(one.release, one.specs) for one in held] == expected
            assert held[0].version in json.loads(versions)


async def test_a_release_keeps_the_machine(site: Datasette) -> None:
    html = (await site.client.get("/spack-cache/packages/hdf5?machine=zen4")).text

    assert ("v0.23.1", "?os=&machine=zen4&release=v0.23.1") in links(html)
    assert ("3", "/spack-cache/specs?package=hdf5&releases__arraycontains=develop-2025-07-13") in (
        links(html)
    )
