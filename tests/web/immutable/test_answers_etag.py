"""What caches are told, and what they are answered."""

from pathlib import Path
from types import ModuleType

import httpx
import pytest
from datasette.app import Datasette
from datasette.plugins import pm

from tests.conftest import build
from tests.pages import spec, write_specs
from tests.web.conftest import open_site


async def visit(site: Datasette) -> httpx.Response:
    """An answer of the site as it has become, in place of what it was made as."""
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
        return await visitor.get("/spack-cache")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/spack-cache",
        "/spack-cache/packages/hdf5",
        "/spack-cache/specs.json",
        "/static/site.css",
    ],
)
async def test_an_answer_is_fresh_for_an_hour_and_then_asked_for_again(
    site: Datasette, path: str
) -> None:
    await site.invoke_startup()
    first = await site.client.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "max-age=3600"
    assert first.headers["etag"].startswith('W/"')
    again = await site.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == "max-age=3600"


async def test_another_tag_is_answered_in_full(site: Datasette) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/spack-cache", headers={"if-none-match": 'W/"0123"'})
    assert answer.status_code == 200


async def test_the_tag_changes_with_the_database(site: Datasette, tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "xz", spec("xz"))
    database = build(tmp_path / "spack-cache.db", tmp_path / "pages")
    await site.invoke_startup()
    old = await site.client.get("/spack-cache")
    with open_site(database) as other:
        new = await other.client.get("/spack-cache", headers={"if-none-match": old.headers["etag"]})
    assert new.status_code == 200
    assert new.headers["etag"] != old.headers["etag"]


async def test_the_tag_changes_with_the_site(site: Datasette, made_database: Path) -> None:
    await site.invoke_startup()
    old = await site.client.get("/spack-cache")
    with open_site(made_database) as other:
        other._metadata_local["title"] = "Another title"
        new = await visit(other)
    assert new.headers["etag"] != old.headers["etag"]


async def test_the_tag_changes_with_code_that_a_plugin_names(
    made_database: Path, tmp_path: Path
) -> None:
    plugin = ModuleType("elsewhere")
    vars(plugin)["SOURCES"] = [tmp_path]
    pm.register(plugin)
    tags = []
    try:
        for text in ("one", "two", "two"):
            (tmp_path / "code.py").write_text(text)
            with open_site(made_database) as site:
                tags.append((await visit(site)).headers["etag"])
    finally:
        pm.unregister(plugin)
    assert tags[0] != tags[1] == tags[2]


@pytest.mark.parametrize(
    "path", ["/-/versions.json", "/spack-cache.json?sql=select+datetime('now')", "/nowhere"]
)
async def test_what_can_change_has_no_tag(site: Datasette, path: str) -> None:
    await site.invoke_startup()
    assert "etag" not in (await site.client.get(path)).headers


async def test_people_with_cookies_are_left_alone(site: Datasette) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/spack-cache", headers={"cookie": "a=b"})
    assert answer.headers["cache-control"] == "private, no-store"
    assert "etag" not in answer.headers


async def test_the_database_file_keeps_its_own_tag(site: Datasette) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/spack-cache.db")
    assert answer.headers.get_list("etag") == [f'"{site.databases["spack-cache"].hash}"']


async def test_a_database_that_can_change_is_left_alone(made_database: Path) -> None:
    with open_site(made_database) as site:
        site.databases["spack-cache"].is_mutable = True
        answer = await visit(site)
    assert "etag" not in answer.headers
