"""Releases and versions stand in the order in which Spack's people read them."""

import pytest

from etl.order import Release, newest_first, parse_release, releases_newest_first


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


def test_numbers_of_any_length_are_compared() -> None:
    assert newest_first(["9", "1" * 5000, "2" * 5000]) == ["2" * 5000, "1" * 5000, "9"]


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
