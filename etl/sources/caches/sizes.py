"""Sizes of binaries, where a mirror has what tells them.

Rules of the source: in layout 3 the manifest of a spec names its tarball and the bytes of it, in
layout 2 the tarball itself is there; `fetch` writes a file of sizes. Both names end in the hash.
"""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from etl.errors import RefusedError
from etl.sources.bounds import MAX_SIZE
from etl.sources.caches import manifests
from etl.sources.caches.listing import ListedIndex
from etl.sources.content import open_source, read_content
from etl.sources.find import as_text

_FILES_IN_TASK = 500
_LONGEST_LINE = 2_000
_MANIFEST = re.compile(r".*-([a-z2-7]{32})\.spec\.manifest\.json", re.ASCII | re.DOTALL)
_TARBALL = re.compile(r".*-([a-z2-7]{32})\.spack", re.ASCII | re.DOTALL)
_FETCHED = re.compile(rb"([a-z2-7]{32}) (\d{1,19}) ([!-~]{1,1000})\n", re.ASCII)


class Size(NamedTuple):
    """The size of a binary.

    Attributes:
        hash: of the spec.
        size: bytes of the tarball; None if what tells it cannot be read.
        tarball: path of the tarball below the mirror; None as well.
        fault: why it cannot be read, in words, or None.
    """

    hash: str
    size: int | None
    tarball: str | None
    fault: str | None = None


class SizesTask(NamedTuple):
    """Files that tell sizes.

    Attributes:
        number: of the index that they belong to.
        mirror: its folder, of which the paths of tarballs are told.
        files: absolute paths.
    """

    number: int
    mirror: bytes
    files: Sequence[bytes]


def size_tasks(number: int, listed: ListedIndex) -> Iterator[SizesTask]:
    """The files that tell sizes of the binaries of an index, some at a time."""
    if listed.sizes is None:
        return
    if not os.path.isdir(listed.sizes):  # noqa: PTH112 - bytes
        yield SizesTask(number, b"", [listed.sizes])
        return
    above = manifests.SPECS_FOLDER.count("/") + 1 if listed.layout == 3 else 1
    mirror = listed.sizes
    for _ in range(above):
        mirror = os.path.dirname(mirror)  # noqa: PTH120
    files = _below(listed.sizes)
    while part := list(islice(files, _FILES_IN_TASK)):
        yield SizesTask(number, mirror, part)


def _below(folder: bytes) -> Iterator[bytes]:
    """All files below a folder, in the order of names; no link is followed."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        yield from (above + b"/" + name for name in sorted(names))


def read_sizes(task: SizesTask) -> list[Size]:
    """The sizes that files tell; those that are for something else tell none."""
    if not task.mirror:
        return list(_fetched(task.files[0]))
    return [size for file in task.files for size in _sizes(task.mirror, file)]


def _sizes(mirror: bytes, file: bytes) -> Iterator[Size]:
    name = as_text(os.fsdecode(file)).rsplit("/", 1)[-1]
    if found := _MANIFEST.fullmatch(name):
        yield _of_manifest(found[1], name, file)
    elif found := _TARBALL.fullmatch(name):
        status = os.lstat(file)
        if stat.S_ISREG(status.st_mode):
            yield Size(found[1], status.st_size, as_text(os.fsdecode(file[len(mirror) + 1 :])))


def _of_manifest(spec: str, name: str, file: bytes) -> Size:
    content = read_content(file, manifests.MAX_BYTES)
    if content.refusal:
        return Size(spec, None, None, f"{name}: {content.refusal.message}")
    try:
        blob = manifests.tarball_blob(manifests.read_manifest(content.data))
    except RefusedError as error:
        return Size(spec, None, None, f"{name}: {error.refusals[0].message}")
    if blob is None:
        return Size(spec, None, None, f"{name}: the manifest names no tarball")
    return Size(spec, blob.length, blob.path)


def _fetched(file: bytes) -> Iterator[Size]:
    try:
        with open_source(file) as lines:
            while line := lines.readline(_LONGEST_LINE):
                found = _FETCHED.fullmatch(line)
                if found and int(found[2]) <= MAX_SIZE:
                    yield Size(found[1].decode(), int(found[2]), found[3].decode())
    except (OSError, RefusedError):
        # Sizes can be fetched at any time; without them they are unknown.
        return
