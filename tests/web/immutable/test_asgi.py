"""The headers of requests and answers."""

import pytest

from web.immutable.asgi import Headers, header, headers_by_name


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        ([(b"Host", b"a")], {b"host": b"a"}),
        ([(b"vary", b"a"), (b"x", b""), (b"VARY", b"b, c")], {b"vary": b"a, b, c", b"x": b""}),
        ([(b"a", b""), (b"a", b"1"), (b"A", b"")], {b"a": b", 1, "}),
    ],
)
def test_headers_of_one_name_are_a_list(headers: Headers, found: dict[bytes, bytes]) -> None:
    assert headers_by_name(headers) == found
    assert {name: header(headers, name) for name in found} == found
    assert header(headers, b"none") == b""
