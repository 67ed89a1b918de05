"""Answers are kept while they stay right, and within bounds."""

from typing import Any

import httpx
import pytest
from datasette.app import Datasette

from web.immutable import answers_cache


class CountingApp:
    """Answers with the number of times it was asked, after the body of its choice."""

    def __init__(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.asked = 0
        self.body = body
        self.status = status
        self.headers = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b"%03d" % self.asked})


def client(app: CountingApp, capacity: int = 1024 * 1024) -> httpx.AsyncClient:
    cached = answers_cache.cache_responses(app, answers_cache.ResponseCache(capacity))
    transport = httpx.ASGITransport(app=cached)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_an_answer_is_made_once() -> None:
    async with client(CountingApp(b"a", x_kind="one")) as get:
        first, second = await get.get("/specs?a=1"), await get.get("/specs?a=1")
        assert (first.text, second.text, second.headers["x-kind"]) == ("a001", "a001", "one")
        assert (await get.get("/specs?a=2")).text == "a002"
        assert (await get.get("/specs?a=1", headers={"accept-encoding": "none"})).text == "a003"


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("/specs", {"cookie": "ds_actor=me"}),
        ("/specs", {"authorization": "Bearer x"}),
        ("/specs", {"if-none-match": '"x"'}),
        ("/-/health", {}),
        ("/spack-cache?sql=select+datetime('now')", {}),
        ("/spack-cache/specs?_where=random()", {}),
    ],
)
async def test_what_may_differ_next_time_is_not_kept(address: str, headers: dict[str, str]) -> None:
    app = CountingApp()
    async with client(app) as get:
        for _ in range(2):
            await get.get(address, headers=headers)
    assert app.asked == 2


@pytest.mark.parametrize(
    "app",
    [
        CountingApp(status=404),
        CountingApp(status=302),
        CountingApp(set_cookie="a=b"),
        CountingApp(cache_control="no-store"),
    ],
)
async def test_only_plain_good_answers_are_kept(app: CountingApp) -> None:
    async with client(app) as get:
        for _ in range(2):
            await get.get("/specs")
    assert app.asked == 2


async def test_posts_are_not_kept() -> None:
    app = CountingApp()
    async with client(app) as get:
        for _ in range(2):
            await get.post("/specs")
    assert app.asked == 2


async def test_the_answers_asked_for_longest_ago_go_first() -> None:
    app = CountingApp(b"x" * 97)
    # Bodies of 100 bytes: 16 of them fit, and none may be larger than a sixteenth.
    async with client(app, capacity=1600) as get:
        for number in range(16):
            await get.get(f"/{number}")
        await get.get("/0")
        await get.get("/16")
        assert app.asked == 17
        await get.get("/0")
        assert app.asked == 17
        await get.get("/1")
        assert app.asked == 18


async def test_large_answers_pass_through() -> None:
    app = CountingApp(b"x" * 100)
    async with client(app, capacity=1600) as get:
        for number in (1, 2):
            assert (await get.get("/")).text == "x" * 100 + f"00{number}"


async def test_the_site_keeps_answers_of_an_immutable_database(real_site: Datasette) -> None:
    asked = []
    wrapped = answers_cache.asgi_wrapper(real_site)(CountingApp())
    changing = answers_cache.asgi_wrapper(Datasette(memory=True))(CountingApp())
    for app in (wrapped, changing):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as get:
            asked.append([(await get.get("/")).text for _ in range(2)])
    assert asked == [["001", "001"], ["001", "002"]]
