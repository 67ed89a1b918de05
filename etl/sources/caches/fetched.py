"""What `fetch` wrote: a list of indexes with their releases and stacks, and their files.

The list, `fetched.json`, is replaced when a file of it is complete, and a file's name tells its
content; so what the list names is always whole, whenever fetching was broken off.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from etl.errors import Refusal, RefusedError
from etl.files import write_whole
from etl.sources.bounds import MAX_SIZE, has_control
from etl.sources.content import open_source

LIST_NAME = "fetched.json"
MAX_BYTES = 8 * 1024 * 1024
"""Most bytes of the list; a real one has some hundreds for each index."""

_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class FetchedIndex(NamedTuple):
    """One index that was fetched.

    Attributes:
        release: the release.
        stack: the stack; `root` for the release's whole mirror.
        file: the index, relative to the folder of the list, with `/`.
        url: where it was fetched from.
        mirror: address of the mirror.
        layout: 2 or 3.
        compression: `none` or `gzip`.
        bytes: of the file.
        sha256: of the file.
        etag: what the server said, to ask whether it changed; None if it said none.
        sizes: a file with sizes, relative to the folder of the list; None if there is none. One
            line for each binary: hash, bytes, and the tarball's path below the mirror.
        listed_by: address of the list that named it; None if it was asked for by its own address.
    """

    release: str
    stack: str
    file: str
    url: str
    mirror: str
    layout: int
    compression: str
    bytes: int
    sha256: str
    etag: str | None = None
    sizes: str | None = None
    listed_by: str | None = None


def read_fetched(folder: Path) -> list[FetchedIndex]:
    """The indexes that the list in a folder names, by release and stack.

    Raises:
        RefusedError: the list is damaged.
        OSError: it cannot be read.
    """
    with open_source(os.fsencode(os.path.realpath(folder / LIST_NAME))) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _damaged(f"it has more than {MAX_BYTES:,} bytes")
    try:
        listed = json.loads(data)
        if listed["version"] != _VERSION:
            raise _damaged(f"expected version {_VERSION}")
        found = [_index(entry) for entry in listed["indexes"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged("it is not what `fetch` writes") from None
    if len({(one.release, one.stack) for one in found}) != len(found):
        raise _damaged("it names a stack of a release twice")
    return sorted(found)


def _damaged(why: str) -> RefusedError:
    return RefusedError(Refusal(0, "fetched", f"{LIST_NAME} is damaged: {why}; fetch again"))


def _index(entry: dict[str, Any]) -> FetchedIndex:
    one = FetchedIndex(**entry)
    texts = (one.release, one.stack, one.file, one.url, one.mirror, one.sha256)
    optional = [text for text in (one.etag, one.sizes, one.listed_by) if text is not None]
    if not all(isinstance(text, str) for text in (*texts, *optional)):
        raise TypeError
    if one.layout not in (2, 3) or one.compression not in ("none", "gzip"):
        raise ValueError
    shown = (one.file, one.url, one.mirror, one.sizes or "", one.listed_by or "")
    if any(map(has_control, shown)):
        raise ValueError
    if (
        type(one.bytes) is not int
        or not 0 <= one.bytes <= MAX_SIZE
        or not _SHA256.fullmatch(one.sha256)
    ):
        raise ValueError
    for path in (one.file, one.sizes or ""):
        # What a list names must not lead out of its folder.
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise ValueError
    return one


def write_fetched(folder: Path, indexes: "list[FetchedIndex]") -> None:
    """Replace the list in one step.

    Raises:
        OSError: it cannot be written.
    """
    listed = {"version": _VERSION, "indexes": [one._asdict() for one in sorted(indexes)]}
    write_whole(folder / LIST_NAME, json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
