"""Two releases compared: the page, JSON and Markdown, against sets of what the releases hold."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from tests.conftest import build
from tests.pages import HOSTILE_PACKAGE, spec, write_specs
from tests.web.conftest import open_site
from tests.web.seen import links, sections, tags
from web.spack.changes import Chosen, choose


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases with every kind of change."""
    folder = tmp_path_factory.mktemp("changes")
    same = spec("same", versions=["1.10"])
    write_specs(
        folder,
        "develop",
        "xz",
        same,
        spec("rebuiltb", versions=["1.9"]),
        spec("rebuiltc", versions=["1.9"]),
        spec("newer", versions=["1.11"], stacks=["ml", "root"]),
        spec("newest", versions=["1.12"], os="rhel8"),
    )
    write_specs(folder, "develop", "added", spec("added", versions=["2.0"]))
    write_specs(
        folder,
        "develop-2025-07-13",
        "xz",
        same,
        spec("rebuilta", versions=["1.9"]),
        spec("gone", versions=["1.2"]),
    )
    write_specs(folder, "develop-2025-07-13", HOSTILE_PACKAGE, spec("evil", stacks=["a|`b"]))
    write_specs(folder, "v0.23.1", "xz", same)
    return build(folder / "spack-cache.db", folder)


@pytest.fixture(scope="module")
def releases(database: Path) -> Iterator[Datasette]:
    with open_site(database) as datasette:
        yield datasette


async def told(site: Datasette, **names: str) -> Any:
    response = await site.client.get("/changes.json", params=names)
    assert response.status_code == 200, response.text
    return response.json()


CHANGED = {
    "ok": True,
    "release": "develop",
    "older": "develop-2025-07-13",
    "packages": {"newer": 2, "older": 2, "added": 1, "removed": 1},
    "versions": {"newer": 5, "older": 4, "added": 3, "removed": 2},
    "specs": {"newer": 6, "older": 4, "added": 5, "removed": 3},
    "rebuilt_specs": 1,
    "added_packages": [{"package": "added", "versions": ["2.0"]}],
    "removed_packages": [{"package": HOSTILE_PACKAGE, "versions": ["1.0"]}],
    "new_versions": [{"package": "xz", "versions": ["1.12", "1.11"], "newest": "1.10"}],
    "removed_versions": [{"package": "xz", "versions": ["1.2"], "newest": "1.12"}],
    "rebuilt": [{"package": "xz", "version": "1.9", "systems": 1, "specs": 1}],
    "stacks": [
        {"stack": "a|`b", "newer": 0, "older": 1, "added": 0, "removed": 1},
        {"stack": "e4s", "newer": 5, "older": 3, "added": 4, "removed": 2},
        {"stack": "ml", "newer": 1, "older": 0, "added": 1, "removed": 0},
        {"stack": "root", "newer": 6, "older": 3, "added": 5, "removed": 2},
    ],
}


async def test_the_newest_release_is_compared_with_the_one_before(releases: Datasette) -> None:
    assert await told(releases) == CHANGED


async def test_a_release_has_not_changed_since_itself(releases: Datasette) -> None:
    same = await told(releases, release="v0.23.1", older="v0.23.1")

    assert [same[name] for name in ("new_versions", "rebuilt", "added_packages")] == [[], [], []]
    assert same["specs"] == {"newer": 1, "older": 1, "added": 0, "removed": 0}


def facts(connection: sqlite3.Connection, release: str) -> dict[str, tuple[str, ...]]:
    sql = """
        select hash, package, version, os, target from specs
        where hash in (select spec from spec_releases where release = ?)
    """
    return {key: tuple(others) for key, *others in connection.execute(sql, [release])}


def counted(newer: set[Any], older: set[Any]) -> dict[str, int]:
    return {
        "newer": len(newer),
        "older": len(older),
        "added": len(newer - older),
        "removed": len(older - newer),
    }


PAIRS = [
    ("develop", "develop-2025-07-13"),
    ("develop", "develop-2025-07-06"),
    ("develop", "v0.23.1"),
    ("v0.23.1", "develop"),
    ("develop-2025-07-13", "develop-2025-07-06"),
]


@pytest.mark.parametrize(("release", "older"), PAIRS)
async def test_totals_agree_with_sets(
    release: str, older: str, site: Datasette, made_database: Path
) -> None:
    found = await told(site, release=release, older=older)
    with closing(sqlite3.connect(made_database)) as connection:
        newer, before = facts(connection, release), facts(connection, older)
    came = Counter(newer[key] for key in newer.keys() - before.keys())
    went = Counter(before[key] for key in before.keys() - newer.keys())

    assert found["specs"] == counted(set(newer), set(before))
    assert found["packages"] == counted(
        *({kind[0] for kind in x.values()} for x in (newer, before))
    )
    assert found["versions"] == counted(
        *({kind[:2] for kind in x.values()} for x in (newer, before))
    )
    assert found["rebuilt_specs"] == (came & went).total()


async def test_the_page_shows_all_of_it(releases: Datasette) -> None:
    html = (await releases.client.get("/changes")).text
    shown = sections(html)

    assert shown["What changed between two releases"] == (
        "Release Compared with Compare From develop-2025-07-13 to develop: 1 new package,"
        " 1 package with new versions, 1 package gone."
    )
    assert shown["Totals"].startswith(
        "What develop-2025-07-13 develop New Gone Packages 2 2 +1 -1"
        " Versions of packages 4 5 +3 -2 Specs 4 6 +5 -3 1 new spec takes the place"
    )
    assert shown["New packages 1"] == "added 2.0"
    assert shown["Packages gone 1"] == f"{HOSTILE_PACKAGE} 1.0"
    assert shown["Packages with new versions 1"] == "xz 1.12 1.11 before 1.10"
    assert shown["Packages with versions gone 1"] == "xz 1.2 now 1.12"
    assert shown["Rebuilt versions 1"].endswith("xz@1.9 1")
    assert shown["Stacks"].endswith(" a|`b 1 0 0 -1 e4s 3 5 +4 -2 ml 0 1 +1 0 root 3 6 +5 -2")


async def test_every_link_of_the_page_leads_somewhere(releases: Datasette) -> None:
    html = (await releases.client.get("/changes")).text
    answers = {
        link.href: (await releases.client.get(link.href)).status_code for link in links(html)
    }

    assert {href: status for href, status in answers.items() if status != 200} == {}


MARKDOWN = """\
# What changed between `develop-2025-07-13` and `develop`

| | `develop-2025-07-13` | `develop` | new | gone |
| --- | ---: | ---: | ---: | ---: |
| packages | 2 | 2 | 1 | 1 |
| versions | 4 | 5 | 3 | 2 |
| specs | 4 | 6 | 5 | 3 |

Rebuilt, with another hash of the same version for the same system: 1.

## New packages (1)

- `added` 2.0

## Packages gone (1)

- `<img src=x onerror=alert(1)> 'reboot';` 1.0

## New versions (1)

- `xz` 1.12, 1.11 (before: 1.10)

## Versions gone (1)

- `xz` 1.2 (now: 1.12)

## Rebuilt (1)

- `xz@1.9` (1)

## Stacks

| stack | before | now | new | gone |
| --- | ---: | ---: | ---: | ---: |
| `a/'b` | 1 | 0 | 0 | 1 |
| `e4s` | 3 | 5 | 4 | 2 |
| `ml` | 0 | 1 | 1 | 0 |
| `root` | 3 | 6 | 5 | 2 |
"""


async def test_markdown_can_be_taken_along(releases: Datasette) -> None:
    response = await releases.client.get("/changes.md")
    html = (await releases.client.get("/changes")).text

    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text == MARKDOWN
    assert [each["data-copy"] for tag, each in tags(html) if "data-copy" in each] == [MARKDOWN]


@pytest.mark.parametrize("form", ["", ".json", ".md"])
async def test_a_release_that_is_none_is_named(form: str, releases: Datasette) -> None:
    response = await releases.client.get(f"/changes{form}?older=<b>")

    assert response.status_code == 404
    assert "is no release that is known here" in response.text
    assert "“<b>”" not in response.text or form


LISTED = [("develop", "develop"), ("v2", "version"), ("v1", "version"), ("site", "mirror")]


@pytest.mark.parametrize(
    ("release", "older", "expected"),
    [
        ("", "", Chosen("develop", "v2")),
        ("v2", "", Chosen("v2", "v1")),
        ("v1", "", Chosen("v1", "develop")),
        ("site", "", Chosen("site", "develop")),
        ("site", "v1", Chosen("site", "v1")),
        ("v1", "v2", Chosen("v1", "v2")),
        ("", "v3", Chosen("", "v3", unknown="v3")),
    ],
)
def test_what_is_compared_with_what(release: str, older: str, expected: Chosen) -> None:
    assert choose(LISTED, release, older) == expected


async def test_addresses_have_the_prefix_of_the_site(database: Path) -> None:
    with open_site(database, base_url="/cache/") as datasette:
        html = (await datasette.client.get("/changes")).text

    assert {link.href.startswith("/cache/") for link in links(html)} == {True}
