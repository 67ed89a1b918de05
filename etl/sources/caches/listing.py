"""List the indexes of build caches, with the release and the stack that each is of.

Rules of the source: which release and stack an index is of, the list tells that named it when it
was fetched; else a folder with the name of a release of Spack is that release, a folder below it,
or below another build cache, is a stack of it, and any other folder is a release by itself. Length
and checksum are those of the manifest, of `index.json.hash`, or of the list.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from etl.errors import Refusal, RefusedError
from etl.mirrors import public_mirror
from etl.order import parse_release
from etl.sources.bounds import MAX_NAME, fault_of_name, has_control, is_longer
from etl.sources.caches import fetched, grammar, manifests
from etl.sources.content import open_source, read_content, too_large
from etl.sources.find import FoundCache, as_text, holds_cache

ROOT = "root"
"""The stack that a release's whole mirror is."""

_CHUNK = 1024 * 1024
_MAX_HASH_FILE = 4096


class ListedIndex(NamedTuple):
    """An index of a build cache.

    Attributes:
        path: its path in the database.
        file: as the person who named it would name it, for messages.
        release: the release it is of; None if that cannot be told.
        stack: the stack it is of, as `release`.
        layout: of the build cache; None of an index by itself.
        real: absolute path of the index as it is stored, as bytes since it need not be UTF-8.
        compression: `none` or `gzip`; None where only its first bytes tell.
        mirror: address or folder of the mirror whose index it is.
        home: the same of the release's whole mirror.
        sizes: folder or file that tells sizes of its binaries; None if there is none.
        bytes: of the index as it is stored.
        sha256: of the same.
        stamp: tells whether the file is still the one that was hashed.
        unread_kind: of the refusal, if it cannot be read.
        unread_message: of the refusal, if it cannot be read.
    """

    path: str
    file: str
    release: str | None = None
    stack: str | None = None
    layout: int | None = None
    real: bytes = b""
    compression: str | None = None
    mirror: str = ""
    home: str = ""
    sizes: bytes | None = None
    bytes: int = 0
    sha256: str = hashlib.sha256(b"").hexdigest()
    stamp: str = ""
    unread_kind: str | None = None
    unread_message: str | None = None

    @property
    def refusal(self) -> Refusal | None:
        """Why it cannot be read, or None."""
        if self.unread_kind is None:
            return None
        return Refusal(0, self.unread_kind, self.unread_message or "")

    def refused(self, refusal: Refusal) -> "ListedIndex":
        """The same index, which cannot be read."""
        return self._replace(unread_kind=refusal.kind, unread_message=refusal.message)


class _Expected(NamedTuple):
    """What an index is said to be: length and SHA-256, None where nothing says so."""

    length: int | None = None
    sha256: str | None = None


class _Place(NamedTuple):
    """Release and stack of a cache, its mirror, and the release's whole mirror."""

    release: str
    stack: str
    mirror: str
    home: str


def indexes_of(cache: FoundCache) -> Iterator[ListedIndex]:
    """The indexes of a build cache, hashed and held against what is said of them."""
    if cache.below == fetched.LIST_NAME:
        yield from _fetched(cache)
        return
    place = _place(cache)
    path, shown = _path(place.release, place.stack), _shown(cache, cache.below)
    listed = ListedIndex(path, shown, *place[:2], layout=cache.layout)
    listed = listed._replace(mirror=place.mirror, home=place.home)
    if fault := _fault_of(place):
        yield listed._replace(release=None, stack=None).refused(Refusal(0, "name", fault))
    elif cache.layout == 3:
        for view in _views(cache):
            listed = listed._replace(file=_shown(cache, f"{cache.below}/{view}"))
            yield _guarded(listed, partial(_of_manifest, cache, listed, view))
    else:
        yield _guarded(listed, partial(_of_file, cache, listed))


def _guarded(listed: ListedIndex, read: Callable[[], ListedIndex]) -> ListedIndex:
    try:
        return read()
    except RefusedError as error:
        return listed.refused(error.refusals[0])


def _place(cache: FoundCache) -> _Place:
    folder = cache.folder
    above, _, own = folder.real.rpartition("/")
    own, parent = as_text(own), as_text(above.rpartition("/")[2])
    if folder.release is not None:
        if folder.real == folder.top:
            return _root(folder.release, folder.real)
        return _stack(folder.release, own, folder.real, folder.top)
    if parse_release(own) or not (parse_release(parent) or holds_cache(above)):
        return _root(own, folder.real)
    return _stack(parent, own, folder.real, above)


def _root(release: str, folder: str) -> _Place:
    mirror = public_mirror(release) or as_text(folder)
    return _Place(release, ROOT, mirror, mirror)


def _stack(release: str, stack: str, folder: str, home: str) -> _Place:
    public = public_mirror(release)
    if public:
        return _Place(release, stack, f"{public}/{stack}", public)
    return _Place(release, stack, as_text(folder), as_text(home))


def _fault_of(place: _Place) -> str | None:
    for what, name in (("release", place.release), ("stack", place.stack)):
        fault = fault_of_name(name)
        if not fault and has_control(name):
            fault = "holds a control character"
        if not fault and is_longer(name, MAX_NAME):
            fault = f"has more than {MAX_NAME} bytes"
        if fault:
            return f"the {what} {name[:MAX_NAME]!r} {fault}; name it: NAME=PATH"
    return None


def _path(release: str, stack: str) -> str:
    return f"{release}/index.json" if stack == ROOT else f"{release}/{stack}/index.json"


def _shown(cache: FoundCache, below: str) -> str:
    folder = cache.folder.file
    return as_text(below if folder == "." else f"{folder.rstrip('/')}/{below}")


def _views(cache: FoundCache) -> Iterator[str]:
    """The manifests of the indexes of a mirror, below the folder of manifests."""
    name = manifests.INDEX_PATH.rpartition("/")[2]
    folder = Path(cache.folder.real, cache.below)
    try:
        views = sorted(each.name for each in folder.iterdir() if (each / name).exists())
    except OSError:
        # What is wrong is told when the manifest cannot be read.
        views = []
    if (folder / name).exists() or not views:
        yield name
    yield from (f"{view}/{name}" for view in views)


def _of_manifest(cache: FoundCache, listed: ListedIndex, manifest: str) -> ListedIndex:
    view = manifest.rpartition("/")[0]
    if view:
        place = _Place(listed.release or "", as_text(view), "", "")
        if fault := _fault_of(place):
            raise RefusedError(Refusal(0, "name", fault))
    real = _inside(cache, f"{cache.below}/{manifest}")
    content = read_content(real, manifests.MAX_BYTES)
    if content.refusal:
        raise RefusedError(content.refusal)
    blob = manifests.index_blob(manifests.read_manifest(content.data))
    if view:
        listed = listed._replace(
            path=_path(listed.release or "", as_text(view)), stack=as_text(view)
        )
    sizes = _existing(cache, manifests.SPECS_FOLDER)
    listed = listed._replace(compression=blob.compression, sizes=sizes)
    real = _inside(cache, blob.path)
    if not os.path.lexists(real):
        message = f"the manifest names {blob.path}, which is not there"
        raise RefusedError(Refusal(0, "manifest", message))
    listed = listed._replace(real=real, file=_shown(cache, blob.path))
    return _hashed(listed, _Expected(blob.length, blob.checksum))


def _of_file(cache: FoundCache, listed: ListedIndex) -> ListedIndex:
    real = _inside(cache, cache.below)
    expected = _Expected(None, _hash_beside(cache))
    sizes = _existing(cache, "build_cache") if cache.layout == 2 else None
    return _hashed(listed._replace(real=real, sizes=sizes), expected)


def _hash_beside(cache: FoundCache) -> str | None:
    """The SHA-256 that stands beside an index, if there is one."""
    name = f"{cache.below}.hash"
    if not os.path.lexists(f"{cache.folder.real}/{name}"):
        return None
    content = read_content(_inside(cache, name), _MAX_HASH_FILE)
    found = content.data.decode("ascii", "replace").strip()
    if content.refusal or len(found) != 64 or not set(found) <= set("0123456789abcdef"):
        raise RefusedError(Refusal(0, "checksum", f"{name} does not hold a SHA-256"))
    return found


def _existing(cache: FoundCache, below: str) -> bytes | None:
    real = os.fsencode(f"{cache.folder.real}/{below}")
    return real if os.path.isdir(real) and not os.path.islink(real) else None  # noqa: PTH112, PTH114


def _inside(cache: FoundCache, below: str) -> bytes:
    """The path of a file of a cache.

    Raises:
        RefusedError: it is a link that leads out of what was named.
    """
    real = os.path.realpath(f"{cache.folder.real}/{below}")
    if not f"{real}/".startswith(f"{cache.folder.top.rstrip('/')}/"):
        message = f"{below} is a link that leads out of the folder that was named"
        raise RefusedError(Refusal(0, "unreadable", message))
    return os.fsencode(real)


def _hashed(listed: ListedIndex, expected: _Expected) -> ListedIndex:
    """The index with its length and SHA-256.

    Raises:
        RefusedError: it cannot be read, or they are not those that are expected.
    """
    try:
        with open_source(listed.real) as file:
            status = os.fstat(file.fileno())
            if status.st_size > grammar.MAX_BYTES:
                return listed.refused(too_large(status.st_size, grammar.MAX_BYTES))
            digest, length = hashlib.sha256(), 0
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                length += len(chunk)
    except OSError as error:
        return listed.refused(Refusal(0, "unreadable", f"cannot be read: {error.strerror}"))
    listed = listed._replace(bytes=length, sha256=digest.hexdigest(), stamp=_stamp(status))
    if expected.length not in (None, length):
        message = f"it has {length:,} bytes, expected {expected.length:,}"
        return listed.refused(Refusal(0, "checksum", message))
    if expected.sha256 not in (None, listed.sha256):
        message = f"its SHA-256 is {listed.sha256}, expected {expected.sha256}"
        return listed.refused(Refusal(0, "checksum", message))
    return listed


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def is_as_hashed(listed: ListedIndex) -> bool:
    """Whether an index is the file that was hashed."""
    try:
        return _stamp(os.stat(listed.real)) == listed.stamp  # noqa: PTH116 - bytes
    except OSError:
        return False


def _fetched(cache: FoundCache) -> Iterator[ListedIndex]:
    shown = _shown(cache, fetched.LIST_NAME)
    try:
        _inside(cache, cache.below)
        entries = fetched.read_fetched(Path(cache.folder.real))
    except RefusedError as error:
        yield ListedIndex(fetched.LIST_NAME, shown).refused(error.refusals[0])
        return
    except OSError as error:
        reason = Refusal(0, "unreadable", f"cannot be read: {error.strerror}")
        yield ListedIndex(fetched.LIST_NAME, shown).refused(reason)
        return
    for entry in entries:
        listed = _listed_of(cache, entry)
        yield _guarded(listed, partial(_of_fetched, cache, listed, entry))


def _listed_of(cache: FoundCache, entry: fetched.FetchedIndex) -> ListedIndex:
    home = entry.mirror
    if entry.stack != ROOT:
        home = home.rstrip("/").removesuffix(f"/{entry.stack}")
    return ListedIndex(
        _path(entry.release, entry.stack),
        _shown(cache, entry.file),
        entry.release,
        entry.stack,
        layout=entry.layout,
        mirror=entry.mirror.rstrip("/"),
        home=home,
    )


def _of_fetched(cache: FoundCache, listed: ListedIndex, entry: fetched.FetchedIndex) -> ListedIndex:
    if fault := _fault_of(_Place(entry.release, entry.stack, "", "")):
        listed = listed._replace(release=None, stack=None, path=fetched.LIST_NAME)
        return listed.refused(Refusal(0, "name", fault))
    sizes = _inside(cache, entry.sizes) if entry.sizes else None
    if sizes and os.path.isdir(sizes):  # noqa: PTH112 - bytes
        sizes = None
    listed = listed._replace(
        real=_inside(cache, entry.file), compression=entry.compression, sizes=sizes
    )
    return _hashed(listed, _Expected(entry.bytes, entry.sha256))
