"""A server on 127.0.0.1 that serves build caches, and misbehaves when told to."""

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

WAIT = 5
"""Seconds that a slow answer takes at most."""


class Server:
    """What is served, and what was asked for.

    Attributes:
        address: where it answers, without a slash at the end.
        files: content by path.
        faults: for a path what to do instead of answering it as usual: one for each request.
        always: the same for every request of a path.
        asked: the paths asked for, with the headers that matter.
        etags: whether it knows versions.
        ranges: whether it sends parts.
        closing: set when the server ends.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.etags = False
        self.ranges = False
        self.closing = threading.Event()

    def fault(self, path: str) -> "Fault":
        """What to do with the next request of a path."""
        if self.faults.get(path):
            return self.faults[path].pop(0)
        return self.always.get(path, ordinary)

    def asked_now(self) -> list[str]:
        """What was asked for since this was called last, sorted."""
        asked, self.asked = sorted(self.asked), []
        return asked

    def put_list(self, path: str, listed: dict[str, dict[str, str]]) -> str:
        """Serve a list; stacks and their paths by release. Returns its address."""
        self.files[path] = json.dumps(
            {
                release: [
                    {"label": label, "url": f"s3://spack-binaries{where}"}
                    for label, where in stacks.items()
                ]
                for release, stacks in listed.items()
            }
        ).encode()
        return self.address + path

    def put_v3(self, mirror: str, index: bytes, compression: str = "none") -> str:
        """Serve a mirror of layout 3 with this blob; its path."""
        blob = blob_path(mirror, index)
        self.files[blob] = index
        media_type = "application/vnd.spack.db.v8+json"
        self.files[f"{mirror}/v3/manifests/index/index.manifest.json"] = manifest(
            index, media_type, compression
        )
        return blob

    def put_v2(self, mirror: str, index: bytes, *, checksum: bool = True) -> str:
        """Serve a mirror of layout 2; the path of its index."""
        path = f"{mirror}/build_cache/index.json"
        self.files[path] = index
        if checksum:
            self.files[f"{path}.hash"] = hashlib.sha256(index).hexdigest().encode()
        return path


def blob_path(mirror: str, data: bytes) -> str:
    """Where a blob of a mirror is."""
    checksum = hashlib.sha256(data).hexdigest()
    return f"{mirror}/blobs/sha256/{checksum[:2]}/{checksum}"


def manifest(data: bytes, media_type: str, compression: str = "gzip", **other: object) -> bytes:
    """A manifest of one blob."""
    entry = {
        "contentLength": len(data),
        "mediaType": media_type,
        "compression": compression,
        "checksumAlgorithm": "sha256",
        "checksum": hashlib.sha256(data).hexdigest(),
    }
    return json.dumps({"version": 3, "data": [entry | other]}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served: Server

    def do_GET(self) -> None:
        path = unquote(self.path)
        headers = [self.headers.get(name) for name in ("Range", "If-None-Match")]
        self.served.asked.append(" ".join([path, *filter(None, headers)]))
        self.served.fault(path)(self, self.served.files.get(path))

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


Fault = Callable[[Handler, bytes | None], None]


def ordinary(handler: Handler, data: bytes | None) -> None:
    """As a good server answers."""
    served, headers = handler.served, handler.headers
    if data is None:
        return handler.answer(404, b"no such file")
    etag = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if served.etags else {}
    if etag and headers.get("If-None-Match") == etag["ETag"]:
        return handler.answer(304, **etag)
    if not served.ranges or "Range" not in headers:
        return handler.answer(200, data, **etag)
    start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
    if start >= len(data):
        return handler.answer(416, Content_Range=f"bytes */{len(data)}")
    of = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return handler.answer(206, data[start:], Content_Range=of, **etag)


def status(number: int, **headers: str) -> Fault:
    """An answer with another status."""
    return lambda handler, _: handler.answer(number, b"oops", **headers)


def instead(data: bytes, **headers: str) -> Fault:
    """Another content."""
    return lambda handler, _: handler.answer(200, data, **headers)


def cut_off(after: int) -> Fault:
    """The connection ends amid the answer."""

    def fault(handler: Handler, data: bytes | None) -> None:
        assert data is not None
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        rest = data[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(rest)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(rest[:after])
        handler.close_connection = True

    return fault


def without_length(handler: Handler, data: bytes | None) -> None:
    """Half of the content, which ends with the connection."""
    assert data is not None
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True


def slow(handler: Handler, _: bytes | None) -> None:
    """No answer at all."""
    handler.served.closing.wait(WAIT)
    handler.close_connection = True


def stuck(after: int) -> Fault:
    """Nothing more after so many bytes."""

    def fault(handler: Handler, data: bytes | None) -> None:
        assert data is not None
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:after])
        handler.wfile.flush()
        handler.served.closing.wait(WAIT)
        handler.close_connection = True

    return fault


def encoded(handler: Handler, data: bytes | None) -> None:
    """Compressed on the way."""
    assert data is not None
    handler.answer(200, gzip.compress(data), Content_Encoding="gzip")


def labelled(encoding: str) -> Fault:
    """As it is, whatever the label says."""

    def fault(handler: Handler, data: bytes | None) -> None:
        assert data is not None
        handler.answer(200, data, Content_Encoding=encoding)

    return fault


def redirect(to: str) -> Fault:
    """It is elsewhere."""
    return lambda handler, _: handler.answer(302, b"there", Location=to)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server for as long as the block runs."""
    handler = type("OfServer", (Handler,), {})
    with _Quiet(("127.0.0.1", 0), handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}")
        handler.served = server  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            http.shutdown()
            thread.join()
