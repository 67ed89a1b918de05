"""Going through an index record by record, however large it is."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from etl.errors import RefusedError
from etl.fetching.web import FetchError
from etl.sorting import unpacked
from etl.sources.caches import general, read_record
from etl.sources.caches.listing import ListedIndex
from etl.sources.caches.spans import Span
from etl.sources.content import FileBytes


def binaries(file: Path, compression: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and hash of each binary of an index, in its order.

    Args:
        file: the index.
        compression: `none` or `gzip`.

    Raises:
        FetchError: it is no index, or damaged.
        OSError: it cannot be read.
    """
    with _opened(file, compression) as data:
        version = general.read_version(data)
        for span in general.spans(data, Counter()):
            record = read_record(data[span.start : span.end], version, Counter())
            if record.is_binary:
                yield record.package, record.facts.version, record.hash


def records(file: Path, compression: str) -> Iterator[Span]:
    """Where each record of an index is; what is in it is not looked into.

    Args:
        file: the index.
        compression: `none` or `gzip`.

    Raises:
        FetchError: it is no index, or damaged.
        OSError: it cannot be read.
    """
    with _opened(file, compression) as data:
        yield from general.spans(data, Counter())


@contextmanager
def _opened(file: Path, compression: str) -> Iterator[FileBytes]:
    listed = ListedIndex("", str(file), real=os.fsencode(file.resolve()), compression=compression)
    try:
        with TemporaryDirectory() as folder, unpacked(Path(folder), 0, listed) as data:
            yield data
    except RefusedError as error:
        why = error.refusals[0].message
        raise FetchError(f"it is no index of a build cache, or a damaged one: {why}") from None
