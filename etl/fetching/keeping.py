"""The folder that indexes are fetched into: its list, and the files that the list names.

Order matters: a new file is complete and named for its content before the list names it, and what
it replaces is removed after that. So whatever breaks in between, the list names whole files.
Names that begin with a dot are of what is not complete; nobody reads these but `fetch`.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from etl.errors import RefusedError
from etl.files import swap_in
from etl.lock import locked
from etl.sources.caches.fetched import FetchedIndex, read_fetched, write_fetched
from etl.sources.caches.listing import ROOT
from etl.sources.content import GZIP

SIZES = "sizes.txt"
"""Name of the file with the sizes of an index."""

JOURNAL = ".sizes.journal"
"""Name of the file with those asked for so far, beside it."""

_INDEX = re.compile(r"index-[0-9a-f]{12}\.json(\.gz)?|\.index-.*\.(part|decoded)", re.ASCII)


class Store:
    """What was fetched into a folder.

    Args:
        folder: the folder.
        indexes: what its list names.
    """

    def __init__(self, folder: Path, indexes: list[FetchedIndex]) -> None:
        self.folder = folder
        self._indexes = {(one.release, one.stack): one for one in indexes}

    @property
    def indexes(self) -> list[FetchedIndex]:
        """What the list names, sorted."""
        return sorted(self._indexes.values())

    def get(self, release: str, stack: str) -> FetchedIndex | None:
        """The index of a stack, if it was fetched."""
        return self._indexes.get((release, stack))

    def holds(self, one: FetchedIndex) -> bool:
        """Whether the file of an index is there, and as long as it was."""
        try:
            return (self.folder / one.file).stat().st_size == one.bytes
        except OSError:
            return False

    def place(self, release: str, stack: str) -> Path:
        """The folder of an index and its sizes; it need not exist."""
        return self.folder / release if stack == ROOT else self.folder / release / stack

    def named(self, release: str, stack: str, name: str) -> str:
        """A file beside an index, as the list names it."""
        return (self.place(release, stack) / name).relative_to(self.folder).as_posix()

    async def find(self, release: str, stack: str, checksum: str) -> Path | None:
        """A file that is complete, but not yet in the list, as a run that was killed leaves it."""
        for suffix in (".json", ".json.gz"):
            file = self.place(release, stack) / index_name(checksum, suffix)
            if file.is_file() and await sha256(file) == checksum:
                return file
        return None

    def keep(self, one: FetchedIndex, part: Path) -> None:
        """Give a complete file its name, and the list its new entry.

        Raises:
            OSError: something cannot be written.
        """
        swap_in(part, self.folder / one.file)
        self.note(one)

    def note(self, one: FetchedIndex) -> None:
        """Let the list say this of an index, whose file is there; remove those it had before.

        Raises:
            OSError: the list cannot be written.
        """
        if self.get(one.release, one.stack) != one:
            self._indexes[one.release, one.stack] = one
            write_fetched(self.folder, self.indexes)
            self._remove_old(self.folder / one.file)

    def forget(self, one: FetchedIndex) -> None:
        """Take an index from the list, then remove its files.

        Raises:
            OSError: something cannot be written.
        """
        del self._indexes[one.release, one.stack]
        write_fetched(self.folder, self.indexes)
        place = self.place(one.release, one.stack)
        for file in (self.folder / one.file, place / SIZES, place / JOURNAL):
            file.unlink(missing_ok=True)
        self.discard_parts(one.release, one.stack)
        self.tidy(one.release, one.stack)

    def discard_parts(self, release: str, stack: str) -> None:
        """Remove what came of an index and is not complete."""
        for part in self.place(release, stack).glob(".index-*"):
            part.unlink(missing_ok=True)

    def tidy(self, release: str, stack: str) -> None:
        """Remove the folder of an index if nothing is in it."""
        with suppress(OSError):
            self.place(release, stack).rmdir()
            (self.folder / release).rmdir()

    def _remove_old(self, new: Path) -> None:
        # Where capitals are all the same, stacks can share a folder.
        named = {one.file.casefold() for one in self._indexes.values()}
        for file in new.parent.iterdir():
            name = file.relative_to(self.folder).as_posix().casefold()
            if _INDEX.fullmatch(file.name) and name not in named:
                file.unlink()


@contextmanager
def opened(folder: Path, tell: Callable[[str], None]) -> Iterator[Store]:
    """What is in a folder, which nobody else fetches into meanwhile.

    Args:
        folder: the folder, which is made where it is missing.
        tell: called if its list is damaged; then it counts as empty.

    Raises:
        FailedError: another run fetches into it.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".fetch.lock", str(folder)):
        try:
            indexes = read_fetched(folder)
        except FileNotFoundError:
            indexes = []
        except RefusedError as error:
            # Its files are taken up again as they are asked for.
            tell(f"{folder}: {error.refusals[0].message.partition(';')[0]}; it is begun anew")
            indexes = []
        yield Store(folder, indexes)


def index_name(checksum: str, suffix: str) -> str:
    """The name of an index's file, which tells its content."""
    return f"index-{checksum[:12]}{suffix}"


def is_gzip(file: Path) -> bool:
    """Whether a file is compressed, by its first bytes."""
    with file.open("rb") as opened_file:
        return opened_file.read(len(GZIP)) == GZIP


async def sha256(file: Path) -> str:
    """SHA-256 of a file, worked out while others go on."""

    def digest() -> str:
        with file.open("rb") as opened_file:
            return hashlib.file_digest(opened_file, "sha256").hexdigest()

    return await asyncio.to_thread(digest)
