"""Asking servers: bounded, retried, continued, and one clear sentence for whatever goes wrong.

Bodies are taken as they come (`aiter_raw`): the checksum of a blob is that of its bytes as they
are stored, and a server may say `Content-Encoding: gzip` of a blob that is gzip itself. Redirects
are followed here, because httpx would read their bodies whole.
"""

import asyncio
import gzip
import io
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import httpx

from etl.errors import FailedError

MAX_REDIRECTS = 5
NOT_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
"""What Python raises for a gzip file that is none, or damaged."""

_NOT_THERE = {403: "access is refused", 404: "it is not there", 410: "it is not there any more"}
_NOT_MODIFIED, _PARTIAL, _BEYOND = 304, 206, 416
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{1,200}"', re.ASCII)
_NO_ENCODING = {"", "identity", "aws-chunked"}
"""What S3 says of uploads that came in chunks is no encoding of what it sends."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, in seconds.

    Attributes:
        connect: for a connection.
        read: for the next bytes.
        pauses: before each further attempt.
        longest_pause: the most that a server may ask to wait before the next attempt.
    """

    connect: float = 10
    read: float = 30
    pauses: tuple[float, ...] = (0.5, 1, 2)
    longest_pause: float = 30


class FetchError(Exception):
    """Why something was not fetched: a sentence about it, without its name."""


class NotThereError(FetchError):
    """A server does not have it, or gives it to nobody."""


class _PassingError(FetchError):
    """What may be better at the next attempt, after so many seconds."""

    def __init__(self, message: str, pause: float = 0) -> None:
        super().__init__(message)
        self.pause = pause


class Sent(NamedTuple):
    """How a file was sent.

    Attributes:
        gzipped: whether the server says that it is compressed on the way.
        etag: what the server calls this version of it; None if it says nothing.
        continued: whether only the rest was sent.
    """

    gzipped: bool
    etag: str | None
    continued: bool


class Web:
    """Connections to servers, for as long as the block runs.

    Args:
        patience: how long to wait.
        connections: most of them at a time.

    Raises:
        FailedError: the environment names certificates or a proxy that are of no use.
    """

    def __init__(self, patience: Patience, connections: int) -> None:
        self._patience = patience
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        try:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": "spack-cache-to-sqlite"},
                verify=_certificates(),
                timeout=httpx.Timeout(patience.read, connect=patience.connect, pool=None),
                limits=limits,
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise FailedError(
                f"the proxy that the environment names is of no use: {error}"
            ) from None

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def read(self, url: str, most: int) -> bytes:
        """What is at an address.

        Args:
            url: the address.
            most: bytes that it may have.

        Raises:
            NotThereError: nothing is there.
            FetchError: it has more bytes, or the server failed each time.
        """

        async def once() -> bytes:
            async with self._answer(url, {"Accept-Encoding": "gzip"}) as response:
                gzipped, data = _is_gzipped(response), bytearray()
                async for chunk in response.aiter_raw():
                    data += chunk
                    _check_size(len(data), most)
                return _unzipped(bytes(data), most) if gzipped else bytes(data)

        return await self.patiently(once)

    async def download(
        self,
        url: str,
        part: Path,
        most: int,
        told: Callable[[float], None],
        *,
        etag: str | None = None,
        proceed: bool = False,
    ) -> Sent | None:
        """Write what is at an address to a file, as it is sent.

        Args:
            url: the address.
            part: the file; its folder is made where it is missing.
            most: bytes that it may have.
            told: called with how much of it is there, from 0 to 1, where that is known.
            etag: the version that is known already.
            proceed: go on where the file ends.

        Returns:
            How it was sent; None if it is still the version known.

        Raises:
            NotThereError: nothing is there.
            FetchError: it has more bytes, or the server failed each time.
            OSError: the file cannot be written; it is removed.
        """

        async def once() -> Sent | None:
            have = part.stat().st_size if proceed and part.exists() else 0
            headers = {"Accept-Encoding": "identity" if proceed else "gzip"}
            headers |= {"Range": f"bytes={have}-"} if have else {}
            headers |= {"If-None-Match": etag} if etag else {}
            async with self._answer(url, headers) as response:
                match response.status_code:
                    case 304:
                        return None
                    case 416:
                        # Nothing is left to send; its checksum tells whether that is so.
                        return Sent(gzipped=False, etag=None, continued=True)
                    case 206 if not _goes_on_at(response, have):
                        part.unlink(missing_ok=True)
                        raise _PassingError("the server sent another part than was asked for")
                continued = response.status_code == _PARTIAL
                sent = Sent(_is_gzipped(response), _etag(response), continued)
                await _write(response, part, most, told, sent)
                return sent

        return await self.patiently(once)

    async def patiently(self, once: Callable[[], Awaitable[Result]]) -> Result:
        """Do something, again and again if need be, with growing pauses.

        Raises:
            FetchError: as `once` does.
        """
        for pause in self._patience.pauses:
            try:
                return await once()
            except _PassingError as error:
                await asyncio.sleep(max(pause, error.pause))
        try:
            return await once()
        except _PassingError as error:
            times = len(self._patience.pauses) + 1
            raise FetchError(f"{error}; tried {times} times") from None

    @asynccontextmanager
    async def _answer(self, url: str, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        with self._clear_errors():
            response = await self._open(url, headers)
            try:
                self._check_status(response)
                yield response
            finally:
                await response.aclose()

    async def _open(self, url: str, headers: dict[str, str]) -> httpx.Response:
        request = self._client.build_request("GET", url, headers=headers)
        for _ in range(MAX_REDIRECTS + 1):
            if request.url.scheme not in ("http", "https"):
                raise FetchError(f"it leads to {request.url}, which is neither http nor https")
            response = await self._client.send(request, stream=True)
            if response.next_request is None:
                return response
            await response.aclose()
            request = response.next_request
        raise FetchError(f"it is redirected more than {MAX_REDIRECTS} times")

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectTimeout:
            raise _PassingError(f"no connection within {self._patience.connect:g} s") from None
        except httpx.TimeoutException:
            raise _PassingError(f"nothing came for {self._patience.read:g} s") from None
        except httpx.ConnectError as error:
            raise _PassingError(f"the server cannot be reached ({error})") from None
        except httpx.UnsupportedProtocol as error:
            raise FetchError(str(error)) from None
        except httpx.TransportError:
            raise _PassingError("the connection broke off") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(f"it cannot be asked for ({error})") from None

    def _check_status(self, response: httpx.Response) -> None:
        status, asked = response.status_code, response.request.headers
        if status in _NOT_THERE:
            raise NotThereError(f"{_NOT_THERE[status]} (HTTP status {status})")
        if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
            pause = min(_asked_pause(response), self._patience.longest_pause)
            what = "too many requests" if status == _TOO_MANY_REQUESTS else "the server failed"
            raise _PassingError(f"{what} (HTTP status {status})", pause)
        expected = {httpx.codes.OK: True, _NOT_MODIFIED: "If-None-Match" in asked}
        expected |= {_PARTIAL: "Range" in asked, _BEYOND: "Range" in asked}
        if not expected.get(status):
            raise FetchError(f"the server gave an answer of no use (HTTP status {status})")


@cache
def _certificates() -> ssl.SSLContext:
    # Reading them takes longer than all else that is done before the first request.
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        message = (
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names are of no use: {error}"
        )
        raise FailedError(message) from None


def _asked_pause(response: httpx.Response) -> float:
    """Seconds that a server asks to wait for."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0


def _goes_on_at(response: httpx.Response, start: int) -> bool:
    given: str = response.headers.get("Content-Range", "")
    return given.startswith(f"bytes {start}-")


def _etag(response: httpx.Response) -> str | None:
    etag: str = response.headers.get("ETag", "")
    return etag if _ETAG.fullmatch(etag) else None


def _is_gzipped(response: httpx.Response) -> bool:
    said = response.headers.get("Content-Encoding", "").lower()
    encodings = [one for one in map(str.strip, said.split(",")) if one not in _NO_ENCODING]
    if not encodings:
        return False
    if encodings not in (["gzip"], ["x-gzip"]):
        raise FetchError(f"it is sent as {said!r:.60}, which this tool cannot read")
    return True


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise FetchError(f"it has more than {most:,} bytes")


def _unzipped(data: bytes, most: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unzipped = file.read(most + 1)
    except NOT_GZIP:
        # The label was wrong.
        return data
    _check_size(len(unzipped), most)
    return unzipped


async def _write(
    response: httpx.Response, part: Path, most: int, told: Callable[[float], None], sent: Sent
) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    written = part.stat().st_size if sent.continued else 0
    total = written + int(response.headers.get("Content-Length", 0))
    whole = False
    try:
        with part.open("ab" if sent.continued else "wb") as file:
            async for chunk in response.aiter_raw():
                written += len(chunk)
                _check_size(written, most)
                file.write(chunk)
                told(min(written / total, 1) if total else 0)
        whole = True
    except OSError:
        part.unlink(missing_ok=True)
        raise
    finally:
        # The rest of it could be compressed in another way.
        if sent.gzipped and not whole:
            part.unlink(missing_ok=True)
