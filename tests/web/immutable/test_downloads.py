"""The file of a database: with its length, in parts, never compressed."""

from pathlib import Path

import httpx
import pytest
from datasette.inspect import inspect_hash

from tests.web.immutable.shelves import Sent, ask, make_shelf, open_shelf
from web.immutable import downloads


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("shelf") / "shelf.db")


@pytest.fixture(scope="module")
def content(shelf: Path) -> bytes:
    return shelf.read_bytes()


@pytest.mark.parametrize("address", ["/shel~66.db", "/~73helf.db", "/%73helf.db"])
async def test_another_spelling_of_the_name_is_no_way_to_a_broken_answer(
    shelf: Path, content: bytes, address: str
) -> None:
    with open_shelf(shelf) as datasette:
        sent = await ask(datasette, address, accept_encoding="gzip")
    assert sent.is_complete
    assert "content-encoding" not in sent.headers
    assert (sent.status, b"".join(sent.bodies) == content) in {(200, True), (404, False)}


async def download(shelf: Path, **headers: str) -> Sent:
    with open_shelf(shelf) as datasette:
        return await ask(datasette, "/shelf.db", **headers)


@pytest.mark.parametrize("accept", ["gzip", "identity"])
async def test_the_whole_file_has_its_length(shelf: Path, content: bytes, accept: str) -> None:
    sent = await download(shelf, accept_encoding=accept)
    assert (sent.status, sent.is_complete) == (200, True)
    assert (
        sent.headers
        | {
            "content-length": str(len(content)),
            "content-type": "application/octet-stream",
            "content-disposition": 'attachment; filename="shelf.db"',
            "accept-ranges": "bytes",
            "etag": f'"{inspect_hash(shelf)}"',
            "access-control-allow-origin": "*",
            "access-control-expose-headers": (
                "Link, Accept-Ranges, Content-Range, Content-Length, Etag"
            ),
        }
        == sent.headers
    )
    assert sent.headers.keys().isdisjoint({"content-encoding", "transfer-encoding"})
    assert b"".join(sent.bodies) == content
    assert max(map(len, sent.bodies)) <= 128 * 1024


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=1000000-", 1_000_000, None),
        ("bytes=-500", -500, None),
        ("bytes=-99999999999", 0, None),
        ("bytes=5-99999999999", 5, None),
    ],
)
async def test_a_part(
    shelf: Path, content: bytes, asked: str, first: int, last: int | None
) -> None:
    sent = await download(shelf, range=asked, accept_encoding="gzip")
    size = len(content)
    begin, end = first % size, size - 1 if last is None else last
    assert (sent.status, sent.is_complete) == (206, True)
    assert sent.headers["content-range"] == f"bytes {begin}-{end}/{size}"
    assert sent.headers["content-length"] == str(end - begin + 1)
    assert sent.headers["etag"] == f'"{inspect_hash(shelf)}"'
    assert b"".join(sent.bodies) == content[begin : end + 1]


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-5", "bytes=", "bytes=a-b", "lines=1-2", "bytes=-", "1-2"]
)
async def test_what_is_no_range_of_ours_is_the_whole(
    shelf: Path, content: bytes, asked: str
) -> None:
    sent = await download(shelf, range=asked)
    assert sent.status == 200
    assert b"".join(sent.bodies) == content


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes={size}-", "bytes=-0"])
async def test_behind_the_end(shelf: Path, content: bytes, asked: str) -> None:
    sent = await download(shelf, range=asked.format(size=len(content)))
    assert sent.status == 416
    assert sent.headers["content-range"] == f"bytes */{len(content)}"
    assert b"".join(sent.bodies) == b"This range is not in the file."


async def test_a_part_only_of_the_same_file(shelf: Path, content: bytes) -> None:
    tag = f'"{inspect_hash(shelf)}"'
    for condition, status in (
        (tag, 206),
        ('"another"', 200),
        (f"W/{tag}", 200),
        ("Fri, 27 Nov 2026 06:00:00 GMT", 200),
    ):
        sent = await download(shelf, range="bytes=0-9", if_range=condition)
        assert sent.status == status
        assert b"".join(sent.bodies) == (content[:10] if status == 206 else content)


async def test_head(shelf: Path, content: bytes) -> None:
    sent = await download(shelf, method="HEAD", range="bytes=0-9", accept_encoding="gzip")
    assert (sent.status, sent.bodies, sent.is_complete) == (200, [b""], True)
    assert sent.headers["content-length"] == str(len(content))
    assert sent.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("method", "asked", "length"),
    [
        ("GET", "", None),
        ("GET", "bytes=0-9", "10"),
        ("GET", "bytes=100-", None),
        ("HEAD", "", "{size}"),
    ],
)
async def test_cloud_run_refuses_long_answers_of_known_length(
    shelf: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    asked: str,
    length: str | None,
) -> None:
    monkeypatch.setenv("K_SERVICE", "shop")
    monkeypatch.setattr(downloads, "CLOUD_RUN_BYTES", len(content) // 2)
    sent = await download(shelf, method=method, range=asked)
    assert sent.headers.get("content-length") == (length and length.format(size=len(content)))
    assert sent.headers["accept-ranges"] == "bytes"


async def test_who_has_it(shelf: Path) -> None:
    tag = f'"{inspect_hash(shelf)}"'
    for condition, status in (
        (tag, 304),
        (f'"x", W/{tag}', 304),
        ("*", 304),
        (tag[:-2] + '"', 200),
        (tag.strip('"'), 200),
    ):
        sent = await download(shelf, if_none_match=condition)
        assert (sent.status, sent.is_complete) == (status, True)
        assert sent.headers["etag"] == tag
        assert bool(b"".join(sent.bodies)) == (status == 200)


async def test_datasette_says_who_may_have_it(shelf: Path) -> None:
    with open_shelf(shelf, allow_download=False) as datasette:
        assert (await ask(datasette, "/shelf.db", range="bytes=0-9")).status == 403
    with open_shelf(shelf) as datasette:
        assert (await ask(datasette, "/none.db")).status == 404
        datasette._metadata_local = {"allow": {"id": "me"}}
        assert (await ask(datasette, "/shelf.db", range="bytes=0-9")).status == 403


async def test_other_methods_are_datasettes(shelf: Path) -> None:
    with open_shelf(shelf) as datasette:
        transport = httpx.ASGITransport(datasette.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as visitor:
            assert (await visitor.options("/shelf.db")).text == "ok"
            assert (await visitor.post("/shelf.db")).status_code == 405


async def test_a_file_that_was_replaced_is_not_mixed_with_the_old_one(tmp_path: Path) -> None:
    shelf = make_shelf(tmp_path / "shelf.db")
    with open_shelf(shelf) as datasette:
        assert (await ask(datasette, "/shelf.db", range="bytes=0-9")).status == 206
        make_shelf(tmp_path / "new.db").replace(shelf)
        sent = await ask(datasette, "/shelf.db", range="bytes=10-19")
    assert sent.status == 503
    assert b"was replaced" in b"".join(sent.bodies)


async def test_a_file_that_is_cut_off_breaks_off(tmp_path: Path) -> None:
    shelf = make_shelf(tmp_path / "shelf.db")
    with open_shelf(shelf) as datasette:
        await datasette.invoke_startup()
        app = datasette.app()

        def cut_off(*request: object) -> object:
            async def send(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    with shelf.open("r+b") as file:
                        file.truncate(300_000)
                await request[2](message)  # type: ignore[operator]

            return app(request[0], request[1], send)

        datasette.app = lambda: cut_off
        sent = await ask(datasette, "/shelf.db")
    assert (sent.status, sent.is_complete) == (200, False)
    assert len(b"".join(sent.bodies)) == 300_000
