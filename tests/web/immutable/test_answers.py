"""Answers are kept while they stay right, here and elsewhere, and within bounds."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from datasette.app import Datasette
from datasette.plugins import pm

from tests.conftest import build
from tests.pages import spec, write_specs
from tests.web.conftest import measured, open_site
from web.immutable import answers

TAGS = answers.Tags(b"site", b"max-age=60")


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


def client(app: Any, capacity: int = 1024 * 1024, **options: Any) -> httpx.AsyncClient:
    kept = answers.keep_answers(app, TAGS, capacity, lambda _: True)
    transport = httpx.ASGITransport(app=kept, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def visit(site: Datasette, path: str = "/spack-cache", **headers: str) -> httpx.Response:
    """An answer of the site as it has become, in place of what it was made as."""
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as visitor:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await visitor.get(path, headers=sent)


# What is kept in memory


async def test_an_answer_is_made_once() -> None:
    async with client(CountingApp(b"a", x_kind="one")) as get:
        first, second = await get.get("/specs?a=1"), await get.get("/specs?a=1")
        assert (first.text, second.text, second.headers["x-kind"]) == ("a001", "a001", "one")
        assert (await get.get("/specs?a=2")).text == "a002"
        assert (await get.get("/specs?a=1", headers={"accept-encoding": "none"})).text == "a003"


async def test_all_that_an_answer_can_hold_tells_it_from_others() -> None:
    # A page names its own address, with scheme and host, in links.
    async with client(CountingApp()) as get:
        for number, (address, headers) in enumerate(
            [
                ("http://one/a", {}),
                ("http://two/a", {}),
                ("https://one/a", {}),
                ("http://one/a", {"host": "three"}),
                ("http://one/b", {}),
                ("http://one/a?b", {}),
                ("http://one/a", {"accept-encoding": "gzip;q=0"}),
            ],
            start=1,
        ):
            for _ in range(2):
                assert (await get.get(address, headers=headers)).text == f"{number:03}"


async def test_the_host_of_one_visitor_is_not_shown_to_another(site: Datasette) -> None:
    await site.invoke_startup()
    path = "/spack-cache/specs.json?_facet=os&_size=1"
    evil = await site.client.get(path, headers={"host": "evil.example"})
    good = await site.client.get(path, headers={"host": "good.example"})
    assert "http://evil.example/" in evil.text
    assert evil.text.count("http://evil.example/") == good.text.count("http://good.example/")
    assert "evil.example" not in good.text


@pytest.mark.parametrize(
    "app",
    [
        CountingApp(status=404),
        CountingApp(status=302),
        CountingApp(status=206),
        CountingApp(status=500),
        CountingApp(set_cookie="a=b"),
        CountingApp(cache_control="private, No-Store"),
        CountingApp(vary="*"),
        CountingApp(etag='"its own"'),
    ],
)
async def test_only_plain_good_answers_are_kept_and_tagged(app: CountingApp) -> None:
    async with client(app) as get:
        for _ in range(2):
            answer = await get.get("/specs", headers={"if-none-match": "*"})
            assert answer.status_code == app.status
            assert not answer.headers.get("etag", "").startswith("W/")
    assert app.asked == 2


async def test_the_answers_asked_for_longest_ago_go_first() -> None:
    app = CountingApp(b"x" * 20_000)
    async with client(app, capacity=400_000) as get:
        for number in range(10):
            await get.get(f"/{number}")
        for number in range(10, 25):
            await get.get("/0")
            await get.get(f"/{number}")
        assert app.asked == 25
        await get.get("/0")
        assert app.asked == 25
        await get.get("/1")
        assert app.asked == 26


async def test_large_answers_pass_through() -> None:
    app = CountingApp(b"x" * 2_000)
    async with client(app, capacity=16_000) as get:
        for number in (1, 2):
            assert (await get.get("/")).text == "x" * 2_000 + f"00{number}"


async def test_addresses_and_headers_count_as_much_as_bodies() -> None:
    app = CountingApp(b"", link="x" * 3_000)
    kept = answers.keep_answers(app, TAGS, 1_000_000, lambda _: True)

    async def send(_message: Any) -> None:
        pass

    async def ask(number: int) -> None:
        # Made here, because httpx itself keeps addresses.
        path, host = b"/%05d" % number * 3_000, b"%05d" % number * 2_000
        scope = {"type": "http", "method": "GET", "raw_path": path, "query_string": b""}
        await kept({**scope, "headers": [(b"host", host)]}, send, send)

    with measured() as grown:
        for number in range(300):
            await ask(number)
        assert 500_000 < grown() < 1_100_000
    await ask(299)
    assert app.asked == 300


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_kept_is_sent_with_its_length(method: str) -> None:
    async with client(CountingApp(b"in parts")) as get:
        first = await get.get("/")
        again = await get.request(method, "/")
        assert "content-length" not in first.headers
        assert again.headers["content-length"] == str(len(first.content)) == "11"


@pytest.mark.parametrize(
    ("name", "value"), [("content_length", "4"), ("transfer_encoding", "chunked")]
)
async def test_a_length_is_told_once(name: str, value: str) -> None:
    async with client(CountingApp(b"a", **{name: value})) as get:
        for _ in range(2):
            answer = await get.get("/")
            told = [
                answer.headers.get_list(each) for each in ("content-length", "transfer-encoding")
            ]
            assert sorted(told) == [[], [value]]


async def test_an_answer_that_breaks_off_is_not_kept() -> None:
    asked = []

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})

    async with client(broken) as get:
        for _ in range(2):
            with pytest.raises(AssertionError):
                await get.get("/")
    assert asked == ["/", "/"]


# What browsers and CDNs keep


async def test_who_has_an_answer_is_told_so_without_asking_the_site() -> None:
    app = CountingApp(vary="Cookie, Authorization, Accept-Encoding", x_kind="one")
    async with client(app, capacity=0) as get:
        first = await get.get("/")
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "max-age=60"
        for condition in (tag, tag.removeprefix("W/"), f'"x", {tag}'):
            again = await get.get("/", headers={"if-none-match": condition})
            assert (again.status_code, again.content) == (304, b"")
            assert dict(again.headers) == {
                "etag": tag,
                "cache-control": "max-age=60",
                "vary": "Cookie, Authorization, Accept-Encoding",
            }
        assert app.asked == 1
        for condition in (tag[:-2] + '0"', f'"{tag}"', tag.strip('W/"')):
            again = await get.get("/", headers={"if-none-match": condition})
            assert again.status_code == 200


@pytest.mark.parametrize("capacity", [0, 1_000_000])
async def test_unusual_headers_are_said_again(capacity: int) -> None:
    app = CountingApp(cache_control="no-cache", vary="Accept-Encoding", x_kind="one")
    async with client(app, capacity) as get:
        first = await get.get("/")
        again = await get.get("/", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert dict(again.headers) == {
            "etag": first.headers["etag"],
            "cache-control": "no-cache",
            "vary": "Accept-Encoding",
        }


async def test_whatever_there_is() -> None:
    async with client(CountingApp()) as get:
        for _ in range(2):
            answer = await get.get("/", headers={"if-none-match": "*"})
            assert (answer.status_code, answer.content) == (304, b"")


async def test_a_tag_is_of_one_address() -> None:
    app = CountingApp(vary="Cookie, Authorization, Accept-Encoding")
    async with client(app) as get:
        tag = (await get.get("/a")).headers["etag"]
        app.status = 404
        assert (await get.get("/b", headers={"if-none-match": tag})).status_code == 404
        other = await get.get("http://other/a", headers={"if-none-match": tag})
        assert other.status_code == 404
        # What was good once is good: nothing it is made of can change.
        assert (await get.get("/a", headers={"if-none-match": tag})).status_code == 304


async def test_gzip_and_plain_are_the_same_to_a_weak_tag(site: Datasette) -> None:
    await site.invoke_startup()
    tags = {
        (await site.client.get("/spack-cache", headers={"accept-encoding": each})).headers["etag"]
        for each in ("gzip", "identity")
    }
    assert len(tags) == 1


async def test_head_is_answered_from_memory_and_never_kept() -> None:
    app = CountingApp(b"a", content_length="4")
    async with client(app) as get:
        head = await get.head("/")
        page = await get.get("/")
        again = await get.head("/")
        assert app.asked == 2
        assert (head.content, page.content, again.content) == (b"", b"a002", b"")
        assert dict(again.headers) == dict(page.headers)
        assert again.headers["content-length"] == "4"
        condition = {"if-none-match": page.headers["etag"]}
        assert (await get.head("/", headers=condition)).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/spack-cache",
        "/spack-cache/packages/hdf5",
        "/spack-cache/specs.json",
        "/static/site.css",
        "/-/static/app.css",
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
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]


async def test_the_usual_headers_are_those_of_datasettes_pages(site: Datasette) -> None:
    # Otherwise nobody who asks again is answered without SQL.
    usual = answers.USUAL_VARY.decode()
    for path in ("/spack-cache", "/spack-cache/specs.json?_size=1", "/spack-cache/specs.csv"):
        for accept in ("gzip", "identity"):
            answer = await visit(site, path, accept_encoding=accept)
            assert answer.headers["vary"] == usual


@pytest.mark.parametrize("path", ["/nowhere", "/spack-cache/specs/none", "/spack-cache/none.json"])
async def test_what_is_not_there_is_never_unmodified(site: Datasette, path: str) -> None:
    await site.invoke_startup()
    tag = (await site.client.get("/spack-cache")).headers["etag"]
    for condition in (tag, "*"):
        answer = await site.client.get(path, headers={"if-none-match": condition})
        assert answer.status_code == 404
        assert "etag" not in answer.headers


async def test_the_tag_changes_with_the_database(site: Datasette, tmp_path: Path) -> None:
    write_specs(tmp_path / "pages", "develop", "xz", spec("xz"))
    database = build(tmp_path / "spack-cache.db", tmp_path / "pages")
    await site.invoke_startup()
    old = await site.client.get("/spack-cache")
    with open_site(database) as other:
        new = await other.client.get("/spack-cache", headers={"if-none-match": old.headers["etag"]})
    assert new.status_code == 200
    assert new.headers["etag"] != old.headers["etag"]


def _other_title(site: Datasette) -> None:
    site._metadata_local["title"] = "Another title"


def _other_settings(site: Datasette) -> None:
    site._settings["default_page_size"] = 7


def _same(_site: Datasette) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "is_other"), [(_other_title, True), (_other_settings, True), (_same, False)]
)
async def test_the_tag_changes_with_the_site(
    site: Datasette, made_database: Path, change: Callable[[Datasette], None], is_other: bool
) -> None:
    old = await visit(site)
    with open_site(made_database) as other:
        change(other)
        new = await visit(other)
    assert (new.headers["etag"] != old.headers["etag"]) == is_other


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


# What may differ next time


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/specs", {"cookie": "ds_actor=me"}),
        ("GET", "/specs", {"authorization": "Bearer x"}),
        ("POST", "/specs", {}),
        ("GET", "/-/health", {}),
        ("GET", "/spack-cache?sql=select+datetime('now')", {}),
        ("GET", "/spack-cache?%73ql=select+random()", {}),
        ("GET", "/spack-cache/specs?_where=random()", {}),
        ("GET", "/spack-cache/specs?_wher%65=random()", {}),
    ],
)
async def test_what_may_differ_next_time_is_not_kept(
    site: Datasette, method: str, path: str, headers: dict[str, str]
) -> None:
    app = CountingApp()
    kept = answers._kept_answers(site, app)
    transport = httpx.ASGITransport(app=kept)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as visitor:
        for _ in range(2):
            answer = await visitor.request(method, path, headers=headers)
            assert "etag" not in answer.headers
    assert app.asked == 2


async def test_datasettes_own_pages_are_known_below_a_prefix(made_database: Path) -> None:
    with open_site(made_database) as site:
        site._settings["base_url"] = "/builds/"
        assert "etag" not in (await visit(site, "/builds/-/versions.json")).headers
        assert "etag" in (await visit(site, "/builds/-/static/app.css")).headers
        assert "etag" in (await visit(site, "/builds/spack-cache.json")).headers


async def test_what_charts_ask_for_is_kept(real_site: Datasette) -> None:
    await real_site.invoke_startup()
    (chart, *_) = next(iter(real_site.metadata()["plugins"]["datasette-dashboards"].values()))[
        "charts"
    ].values()
    params = {"sql": chart["query"], "_shape": "array"}
    answer = await real_site.client.get("/spack-cache.json", params=params)
    assert answer.status_code == 200
    assert answer.headers["etag"].startswith('W/"')


@pytest.mark.parametrize("spelling", ["sql", "%73ql"])
async def test_sql_of_a_visitor_is_run_each_time(site: Datasette, spelling: str) -> None:
    await site.invoke_startup()
    path = f"/spack-cache.json?{spelling}=select+random()&_shape=arrayfirst"
    texts = {(await site.client.get(path)).text for _ in range(5)}
    assert len(texts) == 5


async def test_people_with_cookies_are_left_alone(site: Datasette) -> None:
    await site.invoke_startup()
    answer = await site.client.get("/spack-cache", headers={"cookie": "a=b"})
    assert answer.headers["cache-control"] == "private, no-store"
    assert "etag" not in answer.headers


# Where it acts


async def test_a_database_that_can_change_is_left_alone(made_database: Path) -> None:
    with open_site(made_database) as site:
        site.databases["spack-cache"].is_mutable = True
        answer = await visit(site)
    assert "etag" not in answer.headers


@pytest.mark.parametrize("cache_headers", [True, False])
async def test_who_edits_the_site_sees_it_change(made_database: Path, cache_headers: bool) -> None:
    with open_site(made_database) as site:
        site.cache_headers = cache_headers  # off with `datasette serve --reload`
        assert ("etag" in (await visit(site)).headers) == cache_headers


def test_databases_that_cannot_change(tmp_path: Path) -> None:
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table books (name)")
    for options, is_immutable in (
        ({"immutables": [str(path)]}, True),
        ({"immutables": [str(path)], "memory": True}, True),
        ({"files": [str(path)]}, False),
        ({"memory": True}, False),
    ):
        datasette = Datasette(**options)  # type: ignore[arg-type]
        assert answers._is_immutable(datasette) == is_immutable
        datasette.executor.shutdown()
