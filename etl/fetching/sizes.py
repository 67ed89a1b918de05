"""The sizes of a cache's tarballs, one request for each binary: they stand in the specs' manifests.

That takes long for a large cache, so each answer is written to a journal at once, and a run that
was broken off goes on with what is missing there. The journal's first line is the mirror, so that
another one's answers are not taken for its own.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO
from urllib.parse import quote

from etl.errors import RefusedError
from etl.fetching.addresses import name_of
from etl.fetching.keeping import JOURNAL, SIZES, Store
from etl.fetching.records import binaries
from etl.fetching.several import each
from etl.fetching.web import FetchError, NotThereError, Web
from etl.files import write_whole
from etl.sources.caches.fetched import FetchedIndex
from etl.sources.caches.manifests import MAX_BYTES, SPECS_FOLDER, Blob, read_manifest, tarball_blob

_LINE = re.compile(r"([a-z2-7]{32}) \d{1,19} blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}\n", re.ASCII)
_NOT_POLITE = re.compile(r"[^A-Za-z0-9_+.-]")
"""What Spack replaces by `_` in the name of a file."""

_MOST_FAILURES = 10
"""After so many failures in a row the server is taken to be gone."""

_RECORDS_AT_ONCE = 500


class Result(NamedTuple):
    """What came of asking for the sizes of an index.

    Attributes:
        found: how many were found just now.
        missing: how many binaries have no manifest at the mirror.
        failed: how many could not be asked for, or gave no useful answer.
        fault: what happened to the first of these.
    """

    found: int = 0
    missing: int = 0
    failed: int = 0
    fault: str = ""


class Asking:
    """Asks for the sizes of one index.

    Args:
        web: connections to servers.
        store: where the index is, and the sizes will be.
        index: the index, of layout 3.
        at_once: how many manifests are asked for at a time.
    """

    def __init__(self, web: Web, store: Store, index: FetchedIndex, at_once: int) -> None:
        self._web = web
        self._store = store
        self._index = index
        self._at_once = at_once
        place = store.place(index.release, index.stack)
        self._file = place / SIZES
        self._journal = place / JOURNAL
        self._lines: dict[str, str] = {}
        self._unknown = 0
        self._result = Result()
        self._failures = 0

    @property
    def name(self) -> str:
        """As messages name the index."""
        return name_of(self._index.release, self._index.stack)

    async def count(self) -> int:
        """Look up what is known already; the number of requests for the rest.

        Raises:
            FetchError: the index is damaged.
            OSError: it cannot be read.
        """
        if self._index.sizes is not None:
            self._lines |= _read_lines(self._file)
        if _first_line(self._journal) == self._head:
            self._lines |= _read_lines(self._journal)
        else:
            self._journal.unlink(missing_ok=True)
        wanted = set()
        for number, (_, _, dag_hash) in enumerate(self._binaries()):
            wanted.add(dag_hash)
            if number % _RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._lines = {one: line for one, line in self._lines.items() if one in wanted}
        self._unknown = len(wanted) - len(self._lines)
        return self._unknown

    async def ask(self, told: Callable[[int], None]) -> Result:
        """Ask for what is not known, and write all sizes.

        Args:
            told: called with the number of answers so far.

        Raises:
            FetchError: the index is damaged.
            OSError: something cannot be written.
        """
        if self._unknown:
            with self._journal.open("a", encoding="ascii") as journal:
                # The last line may have been cut off.
                journal.write("\n" if journal.tell() else self._head)
                await self._ask_all(journal, told)
        self._write()
        return self._result

    @property
    def _head(self) -> str:
        return f"{self._index.mirror!a}\n"

    def _binaries(self) -> Iterator[tuple[str, str, str]]:
        return binaries(self._store.folder / self._index.file, self._index.compression)

    async def _ask_all(self, journal: TextIO, told: Callable[[int], None]) -> None:
        unknown = (one for one in self._binaries() if one[2] not in self._lines)
        done = 0

        async def one(binary: tuple[str, str, str]) -> None:
            nonlocal done
            if self._failures < _MOST_FAILURES:
                await self._ask_for(*binary, journal)
            else:
                self._result = self._result._replace(failed=self._result.failed + 1)
            done += 1
            told(done)

        await each(unknown, one, self._at_once)

    async def _ask_for(self, name: str, version: str, dag_hash: str, journal: TextIO) -> None:
        url = f"{self._index.mirror}/{manifest_path(name, version, dag_hash)}"
        try:
            tarball = _tarball(await self._web.read(url, MAX_BYTES))
        except NotThereError:
            self._failures = 0
            self._result = self._result._replace(missing=self._result.missing + 1)
            return
        except FetchError as error:
            self._failures += 1
            result = self._result
            fault = result.fault or f"{url}: {error}"
            self._result = result._replace(failed=result.failed + 1, fault=fault)
            return
        self._failures = 0
        self._lines[dag_hash] = line = f"{dag_hash} {tarball.length} {tarball.path}\n"
        journal.write(line)
        journal.flush()
        self._result = self._result._replace(found=self._result.found + 1)

    def _write(self) -> None:
        text = "".join(self._lines[one] for one in sorted(self._lines))
        if not self._file.exists() or self._file.read_text(encoding="ascii") != text:
            write_whole(self._file, text)
        named = self._store.named(self._index.release, self._index.stack, SIZES)
        self._store.note(self._index._replace(sizes=named))
        self._journal.unlink(missing_ok=True)


def manifest_path(name: str, version: str, dag_hash: str) -> str:
    """Where the manifest of a spec is, below its mirror, as part of an address."""
    file = _NOT_POLITE.sub("_", f"{name}-{version}-{dag_hash}")
    return (
        f"{SPECS_FOLDER}/{quote(name, '', errors='replace')}/{quote(file, '')}.spec.manifest.json"
    )


def _tarball(manifest: bytes) -> Blob:
    try:
        tarball = tarball_blob(read_manifest(manifest))
    except RefusedError as error:
        raise FetchError(error.refusals[0].message) from None
    if tarball is None:
        raise FetchError("the manifest names no tarball")
    return tarball


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            return opened.readline()
    except FileNotFoundError:
        return ""


def _read_lines(file: Path) -> dict[str, str]:
    """Lines of sizes by their hash; others, such as a last one that was cut off, are left out."""
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            return {match[1]: line for line in opened if (match := _LINE.fullmatch(line))}
    except FileNotFoundError:
        return {}
