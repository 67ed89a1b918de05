"""Releases and versions stand in the order in which Spack itself reads them."""

from itertools import pairwise

import pytest

from etl.order import (
    Release,
    newest_first,
    parse_release,
    releases_newest_first,
    satisfies,
    version_key,
)


def test_releases() -> None:
    assert releases_newest_first(
        ["v0.18", "v0.18.0", "develop-2025-03-23", "v2025.07.0", "develop", "v0.23.1",
         "develop-2025-07-06", "v1.0.0-alpha.4", "v1.0.0", "v0.9.1"]
    ) == [
        "develop", "develop-2025-07-06", "develop-2025-03-23",
        "v2025.07.0", "v1.0.0", "v1.0.0-alpha.4", "v0.23.1", "v0.18.0", "v0.18", "v0.9.1",
    ]  # fmt: skip


def test_versions() -> None:
    oldest_first = [
        "2.26-t9b_atlas", "3.0rc1", "3.0", "3.0.0", "7.3.1", "10.5.0", "23-02-4-1", "2412",
        "2023.08.25", "2025.2.0", "2025.2.0-snapshot", "stable", "master", "main", "develop",
    ]  # fmt: skip
    expected = sorted(oldest_first, key=oldest_first.index, reverse=True)
    # 2412 is a larger number than 2023 and 2025.
    expected.remove("2412")
    expected.insert(expected.index("2025.2.0-snapshot"), "2412")
    assert newest_first(oldest_first) == expected


# Each line stands in order, the oldest first.
ORDERS = [
    "9 10 11",
    "1.2 1.2.0 1.2.1 1.3 1.10",
    "7.3 7.3.1 10.5.0",
    "1.0.0.1 1.0.1",
    "1 1.0 1.0.0",
    "01 2 010",
    "1.9 1.10 1.10.1",
    "2023.08.25 2023.9.1 2412",
    "23-02-1-1 23-02-4-1 23-11-10-1",
    # Letters are below every number.
    "1.a 1.0",
    "a 0",
    "1.0 1.0a 1.0b 1.1",
    "1.0.a 1.0.1",
    "9d 9e 9f",
    "1.1.1h 1.1.1w 1.1.2",
    "A B a b",
    "Z a",
    "2.26-t9b_atlas 2.26.1 2.27",
    "2025.2.0 2025.2.0-snapshot 2025.2.1",
    # Branches are above every number, in this order.
    "99999 stable nightly trunk head master main develop",
    "1.0 1.stable 1.nightly 1.trunk 1.head 1.master 1.main 1.develop",
    "1.develop-x develop",
    # Only in small letters: HEAD is a word.
    "HEAD 1 head",
    "Develop Master 0 master",
    "DEVELOP MAIN a 1",
    # Pre-releases are so only at the end, and below the same version without them.
    "1.0-alpha 1.0-alpha1 1.0-alpha2 1.0-beta 1.0-beta1 1.0-rc1 1.0-rc2 1.0-rc10 1.0",
    "1.0alpha 1.0beta 1.0rc1 1.0",
    "3.0rc1 3.0 3.0.0",
    "1.0 1.0-rc1-2",
    "1.0-final 1.0-dev",
    "0.9 1.0-rc1 1.0 1.0.1-rc1 1.0.1",
    "2.0.0-rc1 2.0.0 2.0.0.1",
    "1.0-alpha.4 1.0 1.0.1",
    # A leading one is a word.
    "alpha beta rc 1",
    "rc2 0.1",
    "alpha 0.1",
    "rc1 rc2 rc10",
    # Of a reference of git, what follows the = counts; one that names nothing is 0.
    "1.1 git.x=1.2 1.3",
    "1.4 0123456789abcdef0123456789abcdef01234567=1.5 1.6",
    "git.x 0.1",
    "0123456789abcdef0123456789abcdef01234567 0.1",
    "1.2 git.x=1.2",
    "git.a=1.2 git.b=1.2",
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_versions(order: str) -> None:
    versions = order.split(" ")
    for older, newer in pairwise(versions):
        assert version_key(older) < version_key(newer), (older, newer)
    assert newest_first(reversed(versions)) == versions[::-1]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["1.0", "1-0", "1_0"], ["1_0", "1.0", "1-0"]),
        (["01", "1", "001"], ["1", "01", "001"]),
        (["1.0rc1", "1.0-rc1", "1.0.rc.1"], ["1.0rc1", "1.0.rc.1", "1.0-rc1"]),
    ],
)
def test_versions_that_stand_alike_have_one_order_all_the_same(
    versions: list[str], expected: list[str]
) -> None:
    assert len({version_key(version).point for version in versions}) == 1
    assert newest_first(versions) == newest_first(versions[::-1]) == expected


# Version, constraint, whether the one is among the other.
SATISFIES = [
    ("1.14.5", "1.14", True),
    ("1.14", "1.14", True),
    ("1.140", "1.14", False),
    ("1.1", "1.14", False),
    ("1.14-rc1", "1.14", False),
    ("1.14.5", "=1.14", False),
    ("1.14", "=1.14", True),
    ("1.14.0", "=1.14", False),
    ("1-14", "=1.14", True),
    ("1.12", "1.12:1.14", True),
    ("1.14.5", "1.12:1.14", True),
    ("1.15", "1.12:1.14", False),
    ("1.11.9", "1.12:1.14", False),
    ("1.13", "1.12:", True),
    ("1.12", "1.12:", True),
    ("1.11", "1.12:", False),
    ("develop", "1.12:", True),
    ("1.14.99", ":1.14", True),
    ("1.15", ":1.14", False),
    ("0.1-alpha", ":1.14", True),
    ("develop", ":1.14", False),
    ("develop", ":", True),
    ("0", ":", True),
    ("1.2", "1.1,1.2", True),
    ("1.3", "1.1,1.2", False),
    ("1.3", "1.1, 1.3", True),
    ("2.5", "1.0:1.4,2:", True),
    ("main", "main", True),
    ("main", "=main", True),
    ("main", "develop", False),
    ("develop", "main:", True),
    ("master", "main:", False),
    ("3.0rc1", "3.0", False),
    ("3.0rc1", "3.0rc1", True),
    ("3.0rc1", ":3.0", True),
    ("3.0rc1", "3.0:", False),
    ("3.0rc2", "3.0rc1:", True),
    ("9e", "9", True),
    ("9e", "9e", True),
    ("9f", "9e", False),
    ("2.26-t9b_atlas", "2.26", True),
    ("2025.2.0-snapshot", "2025.2.0", True),
    ("git.x=1.2", "1.2", True),
    ("git.x=1.2", "1.1:1.3", True),
    ("git.x=1.2", "=1.2", False),
    ("git.x=1.2", "git.x=1.2", True),
    ("git.x=1.2", "git.y=1.2", False),
    ("1.2", "git.x=1.2", False),
    ("1.0", "", False),
]


@pytest.mark.parametrize(("version", "constraint", "expected"), SATISFIES)
def test_what_satisfies_a_constraint(version: str, constraint: str, expected: bool) -> None:
    assert satisfies(version, constraint) is expected


def test_numbers_of_any_length_are_compared() -> None:
    assert newest_first(["9", "1" * 5000, "2" * 5000]) == ["2" * 5000, "1" * 5000, "9"]
    assert satisfies("2" * 5000, f"{'1' * 5000}:")
    assert satisfies("1" * 5000, "9" * 4999 + ":")
    assert not satisfies("1" + "0" * 5000, "9" * 5000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("develop", Release("develop", "develop", None)),
        ("develop-2025-03-23", Release("develop-2025-03-23", "snapshot", "2025-03-23")),
        ("v0.18", Release("v0.18", "version", None)),
        ("v2025.07.0", Release("v2025.07.0", "version", None)),
        ("v1.0.0-alpha.4", Release("v1.0.0-alpha.4", "version", None)),
        ("develop-2025-02-30", None),
        ("develop-2025-3-23", None),
        ("0.18", None),
        ("v", None),
        ("nightly", None),
    ],
)
def test_what_a_name_tells(name: str, expected: Release | None) -> None:
    assert parse_release(name) == expected
