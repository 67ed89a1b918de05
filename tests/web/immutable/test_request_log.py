"""One line for each request."""

import re
from pathlib import Path

import httpx
import pytest
from datasette.app import Datasette

from tests.web.conftest import open_site

LINE = re.compile(
    r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<rest>.*) bytes=(?P<bytes>\d+) ms=\d+\.\d\n"
)


async def test_a_request_is_one_line(site: Datasette, capsys: pytest.CaptureFixture[str]) -> None:
    await site.invoke_startup()
    answer = await site.client.get(
        "/spack-cache/packages.json?_size=1", headers={"accept-encoding": "identity"}
    )
    line = LINE.fullmatch(capsys.readouterr().err)
    assert line
    assert line["rest"] == 'method=GET path="/spack-cache/packages.json?_size=1" status=200'
    assert int(line["bytes"]) == len(answer.content)


async def test_bytes_are_those_that_were_sent(
    site: Datasette, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/spack-cache", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    line = LINE.fullmatch(capsys.readouterr().err)
    assert line
    assert int(line["bytes"]) < len(answer.content)


async def test_what_is_answered_from_a_cache_is_logged(
    site: Datasette, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.invoke_startup()
    first = await site.client.get("/spack-cache/stacks")
    await site.client.get("/spack-cache/stacks", headers={"if-none-match": first.headers["etag"]})
    first_line, second_line = map(LINE.fullmatch, capsys.readouterr().err.splitlines(keepends=True))
    assert first_line
    assert second_line
    assert first_line["rest"] == 'method=GET path="/spack-cache/stacks" status=200'
    assert second_line["rest"] == 'method=GET path="/spack-cache/stacks" status=304'
    assert second_line["bytes"] == "0"


async def test_a_path_cannot_forge_a_line(
    site: Datasette, capsys: pytest.CaptureFixture[str]
) -> None:
    await site.invoke_startup()
    scope = {
        "type": "http",
        "method": "GET",
        "path": '/a"\nb',
        "raw_path": b'/a"\nb',
        "query_string": "é".encode(),
        "headers": [],
    }
    await site.app()(scope, _receive, _send)
    line = LINE.fullmatch(capsys.readouterr().err)
    assert line
    assert line["rest"] == r'method=GET path="/a\"\nb?\u00c3\u00a9" status=404'


async def _receive() -> dict[str, object]:
    return {"type": "http.request"}


async def _send(_message: dict[str, object]) -> None:
    pass


async def test_it_can_be_turned_off(
    made_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_site(made_database) as site:
        site._metadata_local["plugins"]["request-log"] = {"enabled": False}
        transport = httpx.ASGITransport(site.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
            await visitor.get("/spack-cache/packages.json")
    assert capsys.readouterr().err == ""
