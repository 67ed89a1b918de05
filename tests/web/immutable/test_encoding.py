"""Who is sent gzip, and what caches are told of it."""

import gzip
import json

import httpx
import pytest
from datasette.app import Datasette

from web.immutable.encoding import accepts_gzip


@pytest.mark.parametrize(
    ("accept", "wants_gzip"),
    [
        (b"", False),
        (b"gzip", True),
        (b"GZIP", True),
        (b"deflate, gzip;q=0.5, br", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"gzip;q=0, *", False),
        (b"x-gzip", True),
        (b"notgzip", False),
        (b"identity", False),
        (b"identity;q=0.5, gzip;q=0.4", False),
        (b"identity;q=0.5, gzip", True),
        (b"gzip;q=much", False),
        (b";;,,q=1", False),
    ],
)
def test_who_wants_gzip(accept: bytes, wants_gzip: bool) -> None:
    assert accepts_gzip(accept) == wants_gzip


@pytest.mark.parametrize("accept", ["gzip;q=0", "identity", "br", "notgzip"])
async def test_who_does_not_want_gzip_gets_none(site: Datasette, accept: str) -> None:
    await site.invoke_startup()
    plain = await site.client.get("/spack-cache", headers={"accept-encoding": accept})
    assert "content-encoding" not in plain.headers
    assert "spec_stacks" in plain.content.decode()


async def test_both_are_one_page(site: Datasette) -> None:
    await site.invoke_startup()
    pages = []
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
        for accept in ("gzip", "identity", "gzip", "*", "identity"):
            headers = {"accept-encoding": accept}
            async with visitor.stream("GET", "/spack-cache/stacks.json", headers=headers) as answer:
                raw = b"".join([part async for part in answer.aiter_raw()])
            is_packed = answer.headers.get("content-encoding") == "gzip"
            assert is_packed == (accept != "identity")
            page = json.loads(gzip.decompress(raw) if is_packed else raw)
            pages.append(page["rows"])
    assert all(page == pages[0] for page in pages)


@pytest.mark.parametrize(
    ("path", "vary"),
    [
        ("/spack-cache", "Cookie, Authorization, Accept-Encoding"),
        ("/spack-cache/stacks.json?_size=1&_shape=array", "Cookie, Authorization, Accept-Encoding"),
        ("/nowhere", "Cookie, Authorization, Accept-Encoding"),
        ("/static/site.css", "Accept-Encoding"),
    ],
)
@pytest.mark.parametrize("accept", ["gzip", "identity"])
@pytest.mark.parametrize("method", ["get", "head"])
async def test_every_answer_says_what_it_differs_by(
    site: Datasette, path: str, vary: str, accept: str, method: str
) -> None:
    await site.invoke_startup()
    ask = getattr(site.client, method)
    for _ in range(2):
        answer = await ask(path, headers={"accept-encoding": accept})
        assert answer.headers.get_list("vary") == [vary]
