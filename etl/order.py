"""In what order releases and versions stand: newest first means highest key first.

Rules of the source: a release is `develop`, a weekly snapshot `develop-YYYY-MM-DD`, or a version
such as `v0.23.1`. Versions are compared as Spack compares them (its `version` module): runs of
digits as numbers, words below numbers, and names of branches above every number.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

ReleaseKind = Literal["develop", "snapshot", "version"]
VersionKey = tuple[tuple[int, int, str], ...]

_SNAPSHOT = re.compile(r"develop-(\d{4}-\d{2}-\d{2})", re.ASCII)
_RELEASE_VERSION = re.compile(r"v\d+(\.\d+)*(-?(alpha|beta|rc)\.?\d*)?", re.ASCII)
_PART = re.compile(r"\d+|[A-Za-z]+", re.ASCII)
_BRANCHES = {
    name: rank
    for rank, name in enumerate(("stable", "trunk", "head", "master", "main", "develop"), start=1)
}
_PRERELEASES = {"alpha": -3, "beta": -2, "rc": -1}


@dataclass(frozen=True, slots=True)
class Release:
    """What a release's name tells.

    Attributes:
        name: as on the pages.
        kind: `develop`, `snapshot` or `version`.
        date: ISO date of a snapshot, otherwise None.
    """

    name: str
    kind: ReleaseKind
    date: str | None


@lru_cache(maxsize=4096)
def parse_release(name: str) -> Release | None:
    """Read a release's name; None where it is of none of the three kinds."""
    if name == "develop":
        return Release(name, "develop", None)
    if snapshot := _SNAPSHOT.fullmatch(name):
        try:
            datetime.date.fromisoformat(snapshot[1])
        except ValueError:
            return None
        return Release(name, "snapshot", snapshot[1])
    if _RELEASE_VERSION.fullmatch(name):
        return Release(name, "version", None)
    return None


@lru_cache(maxsize=4096)
def version_key(version: str) -> VersionKey:
    """A key that sorts versions from oldest to newest.

    Each part becomes (rank, number, word): a part before the end of the version is a
    pre-release (`rc`), then the end itself, words, numbers, and branches above all.
    The text itself comes last, so that no two versions are equal and order never depends on
    the order of arrival.
    """
    parts = [_part_key(part) for part in _PART.findall(version)]
    return (*parts, (0, 0, ""), (0, 0, version))


def _part_key(part: str) -> tuple[int, int, str]:
    if part.isdigit():
        # Digits by length, then as text: as numbers, without Python's limit of 4,300 digits.
        digits = part.lstrip("0")
        return (2, len(digits), digits)
    word = part.lower()
    if word in _BRANCHES:
        return (3, _BRANCHES[word], "")
    if word in _PRERELEASES:
        return (-1, _PRERELEASES[word], "")
    return (1, 0, part)


@lru_cache(maxsize=4096)
def release_key(name: str) -> tuple[int, VersionKey]:
    """A key that sorts releases from oldest to newest.

    Versions are older than every snapshot, snapshots than `develop`. A name that is none of
    these (only a refused page can have one) is oldest of all.
    """
    release = parse_release(name)
    rank = 0 if release is None else ("version", "snapshot", "develop").index(release.kind) + 1
    return (rank, version_key(name.removeprefix("v")))


def newest_first(versions: Iterable[str]) -> list[str]:
    """Versions of a package, newest first."""
    return sorted(versions, key=version_key, reverse=True)


def releases_newest_first(releases: Iterable[str]) -> list[str]:
    """Releases: develop, then snapshots, then versions, newest first each."""
    return sorted(releases, key=release_key, reverse=True)
