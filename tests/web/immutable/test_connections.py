"""A server that waits for nobody too long, and ends when it is told to."""

import asyncio
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.publish.servers import Server, free_port, running
from tests.web.conftest import ROOT
from tests.web.immutable.shelves import FILE_BYTES, make_shelf
from web.immutable.connections import Connection, Times

PATIENCE = 20
"""Seconds after which something that should happen has not."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("shelf") / "shelf.db")


@contextmanager
def serving(shelf: Path, **times: float) -> Iterator[Server]:
    """`datasette serve` with these times."""
    metadata = shelf.with_name("metadata.json")
    metadata.write_text(json.dumps({"plugins": {"connections": times}}))
    port = free_port()
    command = [sys.executable, "-m", "datasette", "serve", "--immutable", str(shelf)]
    options = ["--metadata", str(metadata), "--plugins-dir", str(ROOT / "web" / "plugins")]
    with running([*command, *options, "--port", str(port)], ROOT, port) as server:
        yield server


@pytest.fixture(scope="module")
def server(shelf: Path) -> Iterator[Server]:
    """One whose clients must not dawdle."""
    with serving(shelf, request_seconds=2, stalled_seconds=2) as served:
        yield served


def connected(server: Server, sent: bytes = b"") -> socket.socket:
    """A connection whose system puts little aside for it."""
    url = httpx.URL(server.address)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect((url.host, url.port))
    client.sendall(sent)
    return client


def is_closed(client: socket.socket) -> bool:
    """Whether the server closes a connection that it sends nothing on."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_request_that_is_not_finished_is_not_waited_for(server: Server) -> None:
    begun = (
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: shop\r\nX-Long: ",
        b"POST /shelf HTTP/1.1\r\nHost: shop\r\nCookie: ds_csrftoken=a\r\nContent-Length: 9\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=",
    )
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server, sent)) for sent in begun]
        assert [is_closed(client) for client in clients] == [True] * 4


def test_a_request_that_comes_letter_by_letter_is_not_waited_for(server: Server) -> None:
    client = connected(server, b"GET / HTTP/1.1\r\nX-Long: ")
    with client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        send_letters(client)


def send_letters(client: socket.socket) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        client.sendall(b"a")
        time.sleep(0.1)


def test_who_reads_nothing_of_an_answer_is_not_waited_for(server: Server) -> None:
    seen = threading.Event()
    threading.Thread(target=_await_line, args=(server, "/stalled", seen), daemon=True).start()
    request = b"GET /shelf.db?/stalled HTTP/1.1\r\nHost: shop\r\n\r\n"
    with connected(server, request):
        assert seen.wait(PATIENCE)


def _await_line(server: Server, text: str, seen: threading.Event) -> None:
    assert server.process.stderr
    for line in server.process.stderr:
        if text in line.decode() and line.endswith(b" cut=true\n"):
            seen.set()
            return


def test_the_server_ends_while_somebody_reads_nothing(shelf: Path) -> None:
    with serving(shelf, closing_seconds=1) as server:
        request = b"GET /shelf.db HTTP/1.1\r\nHost: shop\r\n\r\n"
        with connected(server, request) as client, connected(server):
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
            server.process.send_signal(signal.SIGTERM)
            # uvicorn ends with the signal that stopped it.
            assert server.process.wait(PATIENCE) in {0, -signal.SIGTERM}
        assert server.process.stderr
        assert "Traceback" not in server.process.stderr.read().decode()


def test_a_download_is_resumed_where_it_stopped(server: Server, shelf: Path) -> None:
    content = shelf.read_bytes()
    assert len(content) > FILE_BYTES
    address = f"{server.address}/shelf.db"
    head = httpx.head(address)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert "transfer-encoding" not in head.headers
    got = b""
    with httpx.stream("GET", address) as answer:
        assert answer.headers["content-length"] == str(len(content))
        tag = answer.headers["etag"]
        for part in answer.iter_raw():
            got += part
            if len(got) > 1_000_000:
                break
    headers = {"range": f"bytes={len(got)}-", "if-range": tag}
    rest = httpx.get(address, headers=headers)
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes {len(got)}-{len(content) - 1}/{len(content)}"
    assert got + rest.content == content


def test_a_stream_that_is_cut_is_a_broken_transfer(server: Server) -> None:
    address = f"{server.address}/shelf/torn.csv?_stream=1"
    for _ in range(2):
        lines = []
        with httpx.stream("GET", address, headers={"accept-encoding": "identity"}) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                lines.extend(answer.iter_lines())
        assert lines[:1400] == ["id,page", *(f"{number},[]" for number in range(1, 1400))]


class Transport(asyncio.Transport):
    """One that has not sent everything."""

    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Clock:
    """An event loop's, which a test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def test_who_reads_slowly_has_all_the_time(clock: Clock) -> None:
    transport = Transport()
    connection = Connection(transport)
    times = Times(request_seconds=30, stalled_seconds=120)
    late = []
    # The answer is made, and its client reads a bit of it each minute and a half, then nothing.
    for second, unsent in ((1, 900), (90, 800), (180, 700), (299, 700), (301, 700)):
        clock.now, transport.unsent = second, unsent
        late.append(connection.is_late(times))
    assert late == [False, False, False, False, True]


def test_who_asks_nothing_more_is_late_from_when_all_was_sent(clock: Clock) -> None:
    transport = Transport()
    connection = Connection(transport)
    times = Times(request_seconds=30, stalled_seconds=120)
    late = []
    for second, unsent in ((29, 0), (31, 0), (32, 500), (100, 500), (101, 0), (130, 0), (132, 0)):
        clock.now, transport.unsent = second, unsent
        late.append(connection.is_late(times))
    assert late == [False, True, False, False, False, False, True]


async def test_nobody_is_late_while_an_answer_is_made() -> None:
    connection = Connection(Transport())
    times = Times(request_seconds=-1)
    late = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        late.append(connection.is_late(times))
        await receive()
        late.append(connection.is_late(times))
        # A plugin can ask the site itself.
        if _scope["nested"]:
            await connection.answer(app, {"nested": False}, receive, send)
        late.append(connection.is_late(times))

    async def receive() -> dict[str, object]:
        late.append(connection.is_late(times))
        return {"type": "http.request", "more_body": False}

    await connection.answer(app, {"nested": True}, receive, receive)  # type: ignore[arg-type]
    late.append(connection.is_late(times))
    nested = [False, True, False, False]
    assert late == [False, True, False, *nested, False, True]


async def test_nothing_is_made_for_who_is_gone() -> None:
    connection = Connection(Transport())
    rows = 0

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal rows
        while True:
            rows += 1
            connection.is_lost = rows == 3
            await send({})

    async def send(_message: Any) -> None:
        pass

    await connection.answer(app, {}, send, send)  # type: ignore[arg-type]
    assert rows == 3
