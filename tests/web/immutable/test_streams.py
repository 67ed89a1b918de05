"""What goes wrong while it is sent breaks off; of HEAD nothing is made that is not sent."""

from pathlib import Path
from typing import Any

import pytest

from tests.web.immutable.shelves import ask, make_shelf, open_shelf
from web.immutable.streams import asgi_wrapper


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("shelf") / "shelf.db")


@pytest.mark.parametrize("accept", ["identity", "gzip"])
async def test_a_stream_that_fails_breaks_off(
    shelf: Path, accept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_shelf(shelf) as datasette:
        for _ in range(2):
            sent = await ask(datasette, "/shelf/torn.csv?_stream=1", accept_encoding=accept)
            assert not sent.is_complete
            assert sent.bodies
            log = capsys.readouterr().err
            # Made anew each time, and what was wrong stands in the log.
            assert "Caught this error: malformed JSON" in log
            assert " cut=true\n" in log
            if accept == "identity":
                lines = b"".join(sent.bodies).decode().split("\r\n")
                assert lines == ["id,page", *(f"{number},[]" for number in range(1, 1401)), ""]


async def test_a_stream_that_takes_too_much_time_breaks_off(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_shelf(shelf, sql_time_limit_ms=1000) as datasette:
        sent = await ask(datasette, "/shelf/slow.csv?_stream=1")
    assert (sent.status, sent.is_complete) == (200, False)
    lines = b"".join(sent.bodies).decode().split("\r\n")
    assert lines == ["id,pages", *(f"{number},0" for number in range(1, 1401)), ""]
    assert "OperationalError('interrupted')" in capsys.readouterr().err


async def test_a_stream_that_is_too_long_breaks_off(shelf: Path) -> None:
    with open_shelf(shelf, max_csv_mb=1) as datasette:
        await datasette.invoke_startup()
        whole = await ask(datasette, "/shelf/books.csv?_stream=1")
        assert whole.is_complete
        datasette._settings["max_csv_mb"] = 0.01
        part = await ask(datasette, "/shelf/books.csv?_stream=1")
    assert not part.is_complete
    assert b"".join(whole.bodies).startswith(b"".join(part.bodies))


async def test_a_stream_that_goes_well_is_whole_and_kept(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{number},Book {number}" for number in range(1, 2501)]
    with open_shelf(shelf) as datasette:
        app = datasette.app()
        datasette.app = lambda: app
        for parts_are_many in (True, False):
            sent = await ask(datasette, "/shelf/books.csv?_stream=1")
            assert sent.is_complete
            assert (len(sent.bodies) > 2) == parts_are_many
            assert b"".join(sent.bodies).decode().split("\r\n") == ["id,title", *rows, ""]
    assert "cut=true" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["/shelf.json?sql=select+none", "/shelf?sql=select+none", "/shelf/torn.csv?_size=9"]
)
async def test_a_page_about_an_error_is_whole(shelf: Path, address: str) -> None:
    with open_shelf(shelf) as datasette:
        sent = await ask(datasette, address)
    assert sent.is_complete
    assert sent.status == (200 if "torn" in address else 400)
    assert b"".join(sent.bodies)


async def test_head_of_a_stream_makes_no_rows(shelf: Path) -> None:
    with open_shelf(shelf) as datasette:
        # Would fail on the second page of rows.
        sent = await ask(datasette, "/shelf/torn.csv?_stream=1", method="HEAD")
    assert (sent.status, sent.bodies, sent.is_complete) == (200, [b""], True)
    assert sent.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_second_beginning_is_never_sent() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"b"})

    messages = []

    async def send(message: Any) -> None:
        messages.append(message)

    await asgi_wrapper()(app)({"type": "http", "method": "GET"}, send, send)  # type: ignore[arg-type]
    assert [message.get("body") for message in messages] == [None, b"a"]
