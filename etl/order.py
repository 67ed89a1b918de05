"""In what order releases and versions stand: newest first means highest key first.

Rules of the source: a release is `develop`, a weekly snapshot `develop-YYYY-MM-DD`, or a version
such as `v0.23.1`.

Versions stand, and satisfy ranges, as Spack's own do
(https://spack.readthedocs.io/en/latest/packaging_guide.html#version-comparison): runs of digits
are numbers, runs of letters are words below every number, and a few names of branches are above
every number. `alpha`, `beta`, `rc` and `final` are no words at the end of a version that begins
otherwise: they put it below the same version without them. A reference of git is as old as the
version that follows its `=`.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

ReleaseKind = Literal["develop", "snapshot", "version", "mirror"]
Part = tuple[int, int, str]
"""A number, a word or a branch of a version; compares as these do."""

BRANCHES = ("stable", "nightly", "trunk", "head", "master", "main", "develop")
"""Names that are newer than every number, the oldest first; in capitals they are words."""

_PRERELEASES = {"alpha": 0, "beta": 1, "rc": 2, "final": 3}
_FINAL = (_PRERELEASES["final"], 0, "")
_WORD, _NUMBER, _BRANCH = 1, 2, 3

_LONGEST_CACHED = 100

_SNAPSHOT = re.compile(r"develop-(\d{4}-\d{2}-\d{2})", re.ASCII)
_RELEASE_VERSION = re.compile(r"v\d+(\.\d+)*(-?(alpha|beta|rc)\.?\d*)?", re.ASCII)
_PART = re.compile(r"\d+|[A-Za-z]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """What a release's name tells.

    Attributes:
        name: as on the pages.
        kind: `develop`, `snapshot` or `version`; `mirror` of any other cache.
        date: ISO date of a snapshot, otherwise None.
    """

    name: str
    kind: ReleaseKind
    date: str | None


@lru_cache(maxsize=4096)
def parse_release(name: str) -> Release | None:
    """Read the name of a release of Spack; None where it is of none of the three kinds."""
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


def release_of(name: str) -> Release:
    """Read a release's name; any other than Spack's own is a mirror's."""
    return parse_release(name) or Release(name, "mirror", None)


class Point(NamedTuple):
    """Where a version stands among others.

    Attributes:
        parts: its numbers, words and branches.
        prerelease: what kind of pre-release it is, and which; then its number, if any.
    """

    parts: tuple[Part, ...]
    prerelease: tuple[Part, ...]


class VersionKey(NamedTuple):
    """What sorts versions from oldest to newest; no two different texts have the same.

    Attributes:
        point: where the version stands; that of a git reference is of the version it names.
        reference: the git reference, which is newer than the version it names; otherwise "".
        text: the version, so that order never depends on the order of arrival.
    """

    point: Point
    reference: str
    text: str


_LOWEST = Point((), ((_PRERELEASES["alpha"], 0, ""),))
_HIGHEST = Point(((_BRANCH, len(BRANCHES) + 1, ""),), (_FINAL,))


def version_key(version: str) -> VersionKey:
    """A key that sorts versions from oldest to newest."""
    # Long ones are rare, and some thousands of them would take much memory.
    return _cached_key(version) if len(version) <= _LONGEST_CACHED else _key(version)


def _key(version: str) -> VersionKey:
    reference, stands_for = _split_reference(version)
    return VersionKey(_point(stands_for), reference, version)


_cached_key = lru_cache(maxsize=4096)(_key)


def _split_reference(version: str) -> tuple[str, str]:
    """A git reference, or "", and the version that stands for it.

    One that names none is as old as Spack makes it where it finds no tag: `0`.
    """
    name, equals, stands_for = version.removeprefix("git.").partition("=")
    if equals and name:
        return name, stands_for
    if version.startswith("git.") or _COMMIT.fullmatch(version):
        return name, "0"
    return "", version


def _point(version: str) -> Point:
    found = _PART.findall(version)
    match found:
        case [_, *_, word, number] if word in _PRERELEASES and number.isdigit():
            prerelease: tuple[Part, ...] = ((_PRERELEASES[word], 0, ""), _number(number))
            return Point(tuple(map(_part, found[:-2])), prerelease)
        case [_, *_, word] if word in _PRERELEASES:
            return Point(tuple(map(_part, found[:-1])), ((_PRERELEASES[word], 0, ""),))
    return Point(tuple(map(_part, found)), (_FINAL,))


def _part(text: str) -> Part:
    if text.isdigit():
        return _number(text)
    return (_BRANCH, BRANCHES.index(text), "") if text in BRANCHES else (_WORD, 0, text)


def _number(text: str) -> Part:
    # Digits by length, then as text: as numbers, without Python's limit of 4,300 digits.
    digits = text.lstrip("0")
    return (_NUMBER, len(digits), digits)


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version is one of those that a constraint means, as Spack reads it.

    Args:
        version: of a spec.
        constraint: what follows `@`: `1.14` is all that begins so, 1.14.5 but not 1.140; `=1.14`
            only itself; `1.12:1.14` a range with both its ends, each of which can be left out;
            commas separate alternatives.
    """
    key = version_key(version)
    return any(_is_in(key, part.strip()) for part in constraint.split(","))


def _is_in(version: VersionKey, constraint: str) -> bool:
    low, colon, high = constraint.partition(":")
    exact = constraint.removeprefix("=")
    if not constraint or (not colon and (exact != constraint or _split_reference(exact)[0])):
        return bool(constraint) and version[:2] == version_key(exact)[:2]
    lowest = _point(low) if low else _LOWEST
    end = _point(high if colon else low) if high or not colon else _HIGHEST
    return lowest <= version.point < _next(end)


def _next(version: Point) -> Point:
    """The first version that a range which ends with this one leaves out, as Spack counts on."""
    parts, prerelease = version
    if prerelease[0] != _FINAL:
        number = prerelease[1] if len(prerelease) > 1 else None
        return Point(parts, (prerelease[0], _next_number(number) if number else _number("0")))
    *start, last = parts or ((_WORD, 0, ""),)
    return Point((*start, _next_part(last)), prerelease)


def _next_part(part: Part) -> Part:
    rank, place, text = part
    if rank == _NUMBER:
        return _next_number(part)
    if rank == _BRANCH:
        return (rank, place + 1, "")
    while True:
        text = _next_word(text)
        if text not in BRANCHES:
            return (rank, place, text)


def _next_number(part: Part) -> Part:
    digits = part[2]
    kept = digits.rstrip("9")
    raised = kept[:-1] + chr(ord(kept[-1]) + 1) if kept else "1"
    return _number(raised + "0" * (len(digits) - len(kept)))


def _next_word(word: str) -> str:
    if not word or word[-1] == "z":
        return word + "A"
    return word[:-1] + ("a" if word[-1] == "Z" else chr(ord(word[-1]) + 1))


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
    """Releases: develop, then snapshots, then versions, newest first each; then others by name."""
    names = set(releases)
    others = {name for name in names if parse_release(name) is None}
    return [*sorted(names - others, key=release_key, reverse=True), *sorted(others)]
