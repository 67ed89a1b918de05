"""What an address stands for: a list of build caches, a cache, or one index of a cache.

Names in a list come from strangers and become names of folders, so they are looked at first.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from etl.errors import WrongUseError
from etl.fetching.web import FetchError
from etl.mirrors import PUBLIC_CACHE
from etl.order import parse_release
from etl.sources.bounds import MAX_NAME, fault_of_name, is_longer
from etl.sources.caches.fetched import LIST_NAME
from etl.sources.caches.listing import ROOT

PUBLIC_LIST = "cache_spack_io_index.json"
"""The list of its caches, below it."""

MAX_LIST = 32 * 1024 * 1024
"""Most bytes of a list; the real one has some kilobytes."""

MAX_INDEXES = 5_000
"""Most indexes of a list, each of which is asked for; the real one has some hundreds."""

_MAX_ADDRESS = 1_000
_BUCKET = "s3://spack-binaries"
_NAMED = re.compile(r"([^=:/?#]+)=(.+://.*)", re.DOTALL)
_BLOB = re.compile(r"(.+)/blobs/sha256/[0-9a-f]{2}/([0-9a-f]{64})", re.ASCII)
_MANIFEST = re.compile(r"(.+)/v3/manifests/index/(?:([^/]+)/)?index\.manifest\.json")
_PLAIN = re.compile(r"(.+?)(?:/build_cache)?/index\.json")
_OWN_NAME = re.compile(rf"{re.escape(LIST_NAME)}|index-.*\.json(\.gz)?|sizes\.txt")

Kind = Literal["blob", "manifest", "plain", "mirror"]


class Wanted(NamedTuple):
    """An index to fetch.

    Attributes:
        release: its release.
        stack: its stack; `root` for the release's whole mirror.
        url: the address that was given.
        mirror: address of its mirror.
        kind: what is at the address: a blob of layout 3, a manifest of one, an index of layout 2,
            or a mirror of either layout.
        listed_by: address of the list that named it, if one did.
    """

    release: str
    stack: str
    url: str
    mirror: str
    kind: Kind
    listed_by: str | None = None

    @property
    def name(self) -> str:
        """As messages name it: `develop`, `develop/e4s`."""
        return name_of(self.release, self.stack)


class Listing(NamedTuple):
    """A list to read."""

    url: str


class Refused(NamedTuple):
    """What a list names and nobody can fetch.

    Attributes:
        release: as the list names it.
        stack: the label; empty if the release as a whole is refused.
        message: what is wrong with it.
    """

    release: str
    stack: str
    message: str


def name_of(release: str, stack: str) -> str:
    """As messages name a stack of a release."""
    return release if stack == ROOT else f"{release}/{stack}"


def read_argument(text: str, public: str = PUBLIC_CACHE) -> Wanted | Listing:
    """What somebody asks for on the command line.

    Args:
        text: an address, or `NAME=address`.
        public: address of Spack's public bucket.

    Raises:
        WrongUseError: it is neither.
    """
    named = _NAMED.fullmatch(text)
    name, url = named.groups() if named else (None, text)
    try:
        url = _checked(url, public)
        return _with_names(_index_at(url) or _mirror_at(url), name)
    except FetchError as error:
        shown = text if text.isprintable() else repr(text)
        raise WrongUseError(f"{shown:.500}: {error}") from None


def _with_names(found: Wanted | Listing, name: str | None) -> Wanted | Listing:
    if isinstance(found, Listing):
        if name is not None:
            raise FetchError("a list has names of its own, so none can be given")
        return found
    release, stack = (name, ROOT) if name is not None else _names_of(found.mirror)
    found = found._replace(release=release, stack=found.stack or stack)
    if fault := _fault_of(release) or _fault_of(found.stack):
        raise FetchError(f"{fault}; give it another with NAME={found.url}")
    return found


def _checked(url: str, public: str) -> str:
    """An address of the web.

    Raises:
        FetchError: it is none.
    """
    if url == _BUCKET or url.startswith(f"{_BUCKET}/"):
        url = public + url.removeprefix(_BUCKET)
    if is_longer(url, _MAX_ADDRESS) or not url.isprintable() or " " in url:
        raise FetchError("not an address of the web: it is too long, or holds blanks")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise FetchError(f"not an address of the web: {error}") from None
    if parts.scheme == "s3":
        raise FetchError(f"only {_BUCKET}/ can be fetched of S3; give the https:// address")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("not an address that begins with https:// or http://")
    if parts.username is not None:
        # It would be written into the list, and from there into the database.
        raise FetchError("an address with a user or a password is not taken")
    if parts.query or parts.fragment:
        raise FetchError("an address with ? or # is not taken")
    return url.rstrip("/")


def _index_at(url: str) -> Wanted | None:
    """The index that an address leads to, by its form; not yet with names."""
    if found := _BLOB.fullmatch(url):
        return Wanted("", "", url, found[1], "blob")
    if found := _MANIFEST.fullmatch(url):
        # A view is one of the mirror's stacks.
        return Wanted("", unquote(found[2] or ""), url, found[1], "manifest")
    if found := _PLAIN.fullmatch(url):
        return Wanted("", "", url, found[1], "plain")
    return None


def _mirror_at(url: str) -> Wanted | Listing:
    if urlsplit(url).path.endswith(".json"):
        return Listing(url)
    return Wanted("", "", url, url, "mirror")


def _names_of(mirror: str) -> tuple[str, str]:
    """Release and stack that the address of a mirror tells."""
    parts = urlsplit(mirror)
    folders = [unquote(part) for part in parts.path.split("/") if part]
    match folders:
        case [*_, release, stack] if not parse_release(stack) and parse_release(release):
            return release, stack
        case [*_, last]:
            return last, ROOT
    return parts.hostname or "", ROOT


def _fault_of(name: str) -> str | None:
    """What is wrong with a name that is to become that of a folder, if anything."""
    shown = f"the name {name!r:.60}"
    if fault := fault_of_name(name):
        return f"{shown} {fault}"
    if name.startswith("."):
        return f"{shown} begins with a dot"
    if not name.isprintable():
        return f"{shown} holds characters that cannot be shown"
    if is_longer(name, MAX_NAME):
        return f"{shown} has more than {MAX_NAME} bytes"
    if _OWN_NAME.fullmatch(name):
        return f"{shown} is one of fetch's own files"
    return None


def read_list(data: bytes, url: str, public: str = PUBLIC_CACHE) -> Iterator[Wanted | Refused]:
    """The indexes that a list names, in its order, and what cannot be fetched of it.

    Args:
        data: the list.
        url: its address.
        public: address of Spack's public bucket.

    Raises:
        FetchError: it is no list, is empty, or has too many entries.
    """
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError):
        raise FetchError("it is not valid JSON, so no list of build caches") from None
    if not isinstance(listed, dict) or not all(isinstance(of, list) for of in listed.values()):
        raise FetchError("it is no list of build caches ({release: [{label, url}]})")
    total = sum(map(len, listed.values()))
    if not total or total > MAX_INDEXES:
        raise FetchError(f"it lists {total:,} indexes, expected 1 to {MAX_INDEXES:,}")
    return _entries(listed, url, public)


def _entries(listed: dict[str, list[Any]], url: str, public: str) -> Iterator[Wanted | Refused]:
    seen = set()
    for release, entries in listed.items():
        if fault := _fault_of(release):
            yield Refused(release, "", fault)
            continue
        for entry in entries:
            found = _entry(release, entry, url, public)
            key = found[:2]
            if isinstance(found, Wanted) and key in seen:
                found = Refused(*key, f"{name_of(*key)} is listed twice")
            seen.add(key)
            yield found


def _entry(release: str, entry: Any, listed_by: str, public: str) -> Wanted | Refused:
    label, url = (entry.get(key) if isinstance(entry, dict) else None for key in ("label", "url"))
    if not isinstance(label, str) or not isinstance(url, str):
        return Refused(release, "", f"an entry of {release} has no label and url")
    if fault := _fault_of(label):
        return Refused(release, label, fault)
    fault, found = "not the address of an index", None
    try:
        found = _index_at(_checked(url, public))
    except FetchError as error:
        fault = str(error)
    if found is None:
        return Refused(release, label, f"{name_of(release, label)}: {fault}: {url!r:.200}")
    return found._replace(release=release, stack=label, listed_by=listed_by)
