"""Requests that nobody would make: that they are odd, the same each time, and written as meant."""

import asyncio
from itertools import islice

from benchmarks.odd_requests import Odd, ask_oddly, odd_faults, odd_requests, report_odd


def test_the_requests_are_the_same_each_time() -> None:
    first, again, other = (list(islice(odd_requests(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 190


def test_the_requests_are_requests() -> None:
    for request in islice(odd_requests(3), 500):
        line, *headers, end, body = request.split(b"\r\n")
        assert line.count(b" ") == 2
        assert line.split()[1].startswith(b"/")
        assert line.endswith(b" HTTP/1.1")
        assert headers[0].startswith(b"Host: ")
        assert (end, body) == (b"", b"")


async def test_what_a_server_answers_is_counted() -> None:
    answers = iter([b"HTTP/1.1 200 OK", b"HTTP/1.1 500 No", b"HTTP/1.1 503 No", b""])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers) + b"\r\n\r\nbody")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        odd = await ask_oddly(server.sockets[0].getsockname()[1], 4)
    assert odd.statuses == {200: 1, 500: 1, 503: 1, 0: 1}
    assert [fault[:7] for fault in odd_faults(odd)] == ["500 b'G"]


def test_the_report() -> None:
    odd = Odd()
    odd.statuses.update({404: 1200, 200: 34})
    assert list(report_odd(odd)) == ["\nOf 1,234 odd requests: 34 of 200, 1200 of 404"]
