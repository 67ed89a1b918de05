"""Fetching one index: asking whether it changed, checking what came, putting it in its place.

Of a blob the checksum is known before it is asked for, so that a part of it can be continued. Of an
index of layout 2 it stands beside it, in `index.json.hash`, and may be the previous one for a
moment; where it is missing, the index is read through instead.
"""

import asyncio
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from etl.errors import RefusedError
from etl.fetching.addresses import Wanted
from etl.fetching.keeping import Store, index_name, is_gzip, sha256
from etl.fetching.records import records
from etl.fetching.web import NOT_GZIP, FetchError, NotThereError, Patience, Sent, Web
from etl.sources.caches.fetched import FetchedIndex
from etl.sources.caches.manifests import INDEX_PATH, MAX_BYTES, index_blob, read_manifest

MAX_INDEX = 4_000_000_000
"""Most bytes of an index; 400,000 records have half a gigabyte."""

_SUM = re.compile(rb"\s*([0-9a-f]{64})\s*")
_MAX_SUM = 1024 * 1024
_RECORDS_AT_ONCE = 500
_CHUNK = 2**20

Told = Callable[[float], None]
"""Told how much of an index is there, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches indexes.

    Attributes:
        web: connections to servers.
        store: where to keep them.
        patience: how long to wait for a checksum that is being replaced.
    """

    web: Web
    store: Store
    patience: Patience

    async def fetch(self, wanted: Wanted, told: Told) -> int | None:
        """Fetch an index if it changed.

        Returns:
            Its bytes; None if nothing changed.

        Raises:
            FetchError: it cannot be fetched; nothing changed.
            OSError: it cannot be written.
        """
        try:
            match wanted.kind:
                case "blob":
                    return await self._blob(wanted, wanted.url, told)
                case "manifest":
                    return await self._manifest(wanted, wanted.url, told)
                case "plain":
                    return await self._plain(wanted, wanted.url, told)
                case "mirror":
                    return await self._mirror(wanted, told)
        except RefusedError as error:
            raise FetchError(error.refusals[0].message) from None
        except OSError:
            # Room for others.
            self.store.discard_parts(wanted.release, wanted.stack)
            raise
        finally:
            self.store.tidy(wanted.release, wanted.stack)

    async def _mirror(self, wanted: Wanted, told: Told) -> int | None:
        try:
            return await self._manifest(wanted, f"{wanted.mirror}/{INDEX_PATH}", told)
        except _NoManifestError:
            old = self.store.get(wanted.release, wanted.stack)
            if old and old.layout == 3 and old.mirror == wanted.mirror:
                # An index of layout 2 that was left there is older than this copy.
                raise
        try:
            return await self._plain(wanted, f"{wanted.mirror}/build_cache/index.json", told)
        except NotThereError as error:
            message = f"no index of a build cache is there, of layout 3 or 2; of the last {error}"
            raise NotThereError(message) from None

    async def _manifest(self, wanted: Wanted, url: str, told: Told) -> int | None:
        try:
            data = await self.web.read(url, MAX_BYTES)
        except NotThereError as error:
            raise _NoManifestError(str(error)) from None
        blob = index_blob(read_manifest(data))
        return await self._blob(wanted, f"{wanted.mirror}/{blob.path}", told, blob.length)

    async def _blob(
        self, wanted: Wanted, url: str, told: Told, length: int | None = None
    ) -> int | None:
        if length is not None and length > MAX_INDEX:
            raise FetchError(f"its manifest says that it has more than {MAX_INDEX:,} bytes")
        checksum = url[-64:]
        old = self.store.get(wanted.release, wanted.stack)
        if old and old.sha256 == checksum and self.store.holds(old):
            self._note(old, wanted, url)
            return None
        if file := await self.store.find(wanted.release, wanted.stack, checksum):
            self.store.note(self._entry(wanted, url, 3, file, checksum, None))
            return None
        part = self._part(wanted, checksum[:12])
        whole = await self._checked_blob(url, part, told, checksum, length)
        return self._keep(self._entry(wanted, url, 3, whole, checksum, None), whole)

    async def _checked_blob(
        self, url: str, part: Path, told: Told, checksum: str, length: int | None
    ) -> Path:
        sent = await self._download(url, part, told, proceed=True)
        if whole := await _with_sum(part, sent, checksum):
            return whole
        if sent.continued:
            # What was there before was no beginning of it.
            part.unlink(missing_ok=True)
            sent = await self._download(url, part, told, proceed=True)
            if whole := await _with_sum(part, sent, checksum):
                return whole
        size = part.stat().st_size
        came = f"{size:,} bytes"
        if length is not None and size != length and not sent.gzipped:
            came = f"{size:,} bytes instead of {length:,}"
        part.unlink()
        part.with_suffix(".decoded").unlink(missing_ok=True)
        raise FetchError(f"what came ({came}) is not what its SHA-256 tells")

    async def _download(self, url: str, part: Path, told: Told, *, proceed: bool) -> Sent:
        sent = await self.web.download(url, part, MAX_INDEX, told, proceed=proceed)
        if sent is None:  # Only a question with a version gets that answer.
            raise FetchError("the server says that it did not change, which was not asked")
        return sent

    async def _plain(self, wanted: Wanted, url: str, told: Told) -> int | None:
        old = self.store.get(wanted.release, wanted.stack)
        if old and not (old.url == url and self.store.holds(old)):
            old = None
        if old and not old.etag and await self._told_sum(url) == old.sha256:
            self._note(old, wanted, url)
            return None
        part = self._part(wanted, "new")
        try:
            sent = await self.web.download(
                url, part, MAX_INDEX, told, etag=old.etag if old else None
            )
            if sent is None and old:
                self._note(old, wanted, url)
            if sent is None:
                return None
            whole = await self._checked_plain(url, part, sent)
            entry = self._entry(wanted, url, 2, whole, await sha256(whole), sent.etag)
            if old and old.sha256 == entry.sha256:
                self.store.note(entry._replace(file=old.file))
                return None
            return self._keep(entry, whole)
        finally:
            part.unlink(missing_ok=True)
            part.with_suffix(".decoded").unlink(missing_ok=True)

    async def _checked_plain(self, url: str, part: Path, sent: Sent) -> Path:
        for pause in (*self.patience.pauses, None):
            checksum = await self._told_sum(url)
            if checksum is None:
                whole = await _unpacked(part) if sent.gzipped else None
                await _read_through(whole or part)
                return whole or part
            if whole := await _with_sum(part, sent, checksum):
                return whole
            if pause is not None:
                # The server may be replacing both.
                await asyncio.sleep(pause)
        raise FetchError("what came is not what index.json.hash beside it tells")

    async def _told_sum(self, url: str) -> str | None:
        try:
            found = _SUM.fullmatch(await self.web.read(f"{url}.hash", _MAX_SUM))
        except NotThereError:
            return None
        return found[1].decode() if found else None

    def _part(self, wanted: Wanted, name: str) -> Path:
        return self.store.place(wanted.release, wanted.stack) / f".index-{name}.part"

    def _entry(
        self, wanted: Wanted, url: str, layout: int, file: Path, checksum: str, etag: str | None
    ) -> FetchedIndex:
        release, stack = wanted.release, wanted.stack
        compression, suffix = ("gzip", ".json.gz") if is_gzip(file) else ("none", ".json")
        old = self.store.get(release, stack)
        return FetchedIndex(
            release=release,
            stack=stack,
            file=self.store.named(release, stack, index_name(checksum, suffix)),
            url=url,
            mirror=wanted.mirror,
            layout=layout,
            compression=compression,
            bytes=file.stat().st_size,
            sha256=checksum,
            etag=etag,
            # They are of that mirror's files.
            sizes=old.sizes if old and old.mirror == wanted.mirror else None,
            listed_by=wanted.listed_by,
        )

    def _note(self, old: FetchedIndex, wanted: Wanted, url: str) -> None:
        """The same index, perhaps at another address."""
        sizes = old.sizes if old.mirror == wanted.mirror else None
        self.store.note(
            old._replace(url=url, mirror=wanted.mirror, listed_by=wanted.listed_by, sizes=sizes)
        )

    def _keep(self, entry: FetchedIndex, whole: Path) -> int:
        self.store.keep(entry, whole)
        return entry.bytes


class _NoManifestError(NotThereError):
    """A mirror has no manifest of layout 3."""


async def _with_sum(part: Path, sent: Sent, checksum: str) -> Path | None:
    """The file with a checksum: what came, or what that holds compressed."""
    if await sha256(part) == checksum:
        return part
    whole = await _unpacked(part) if sent.gzipped else None
    return whole if whole and await sha256(whole) == checksum else None


async def _unpacked(part: Path) -> Path | None:
    """What a file holds that was compressed on the way; None if it is not so.

    Raises:
        FetchError: it holds more than an index can have.
    """
    whole, size = part.with_suffix(".decoded"), 0
    try:
        with gzip.open(part) as packed, whole.open("wb") as file:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > MAX_INDEX:
                    raise FetchError(f"it has more than {MAX_INDEX:,} bytes")
                file.write(chunk)
                await asyncio.sleep(0)
    except NOT_GZIP:
        whole.unlink()
        return None
    return whole


async def _read_through(file: Path) -> None:
    """See that a file is an index, and whole; others go on meanwhile.

    Raises:
        FetchError: it is not.
    """
    compression = "gzip" if is_gzip(file) else "none"
    for number, _ in enumerate(records(file, compression)):
        if number % _RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
