"""The mirror of a release is where its tarballs are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from etl.mirrors import count_tarballs, mirror
from tests.conftest import build
from tests.pages import spec, write_specs

# As real pages have them.
EARLY = (
    "https://binaries.spack.io/releases/v0.18/build_cache/linux-amzn2-graviton2/gcc-7.3.1/"
    "cmake-3.23.3/linux-amzn2-graviton2-gcc-7.3.1-cmake-3.23.3-abc.spack"
)
PLAIN = (
    "https://binaries.spack.io/v0.18.1/build_cache/linux-amzn2-graviton2/gcc-7.3.1/"
    "cmake-3.23.3/linux-amzn2-graviton2-gcc-7.3.1-cmake-3.23.3-abc.spack"
)


@pytest.mark.parametrize(
    ("release", "tarballs", "counts", "address"),
    [
        ("v0.18", [EARLY], (1, 0), "https://binaries.spack.io/releases/v0.18"),
        ("v0.18.1", [PLAIN], (0, 1), "https://binaries.spack.io/v0.18.1"),
        # Another release's are no sign, though the name begins alike.
        ("v0.18", [PLAIN], (0, 0), "https://binaries.spack.io/v0.18"),
        ("v0.18.1", [EARLY], (0, 0), "https://binaries.spack.io/v0.18.1"),
        ("develop", [], (0, 0), "https://binaries.spack.io/develop"),
        (
            "v0.18",
            ["https://example.org/releases/v0.18/x"],
            (0, 0),
            "https://binaries.spack.io/v0.18",
        ),
        (
            "v0.18",
            [EARLY, EARLY, EARLY.replace("/releases/", "/")],
            (2, 1),
            "https://binaries.spack.io/releases/v0.18",
        ),
        (
            "v0.18",
            [EARLY, EARLY.replace("/releases/", "/")],
            (1, 1),
            "https://binaries.spack.io/v0.18",
        ),
    ],
)
def test_mirrors(release: str, tarballs: list[str], counts: tuple[int, int], address: str) -> None:
    assert count_tarballs(release, tarballs) == counts
    assert mirror(release, *counts) == address


def test_the_mirrors_of_releases_follow_from_all_their_pages(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    early, plain = (
        "https://binaries.spack.io/releases/v0.20.1/",
        "https://binaries.spack.io/v0.20.1/",
    )
    write_specs(pages, "v0.18", "cmake", spec("a", tarball=EARLY))
    write_specs(pages, "v0.18.1", "cmake", spec("b", tarball=PLAIN))
    # The majority of all packages counts, and not that of the first one, or of most packages.
    write_specs(pages, "v0.20.1", "aaa", spec("c", tarball=f"{plain}c"))
    write_specs(pages, "v0.20.1", "bbb", spec("d", tarball=f"{plain}d"))
    write_specs(pages, "v0.20.1", "ccc", *(spec(n, tarball=f"{early}{n}") for n in ("e", "f", "g")))
    write_specs(pages, "v0.23.0", "cmake", spec("a"))
    write_specs(pages, "develop", "cmake", spec("a"))
    # What a refused page says is no sign.
    other = "https://binaries.spack.io/releases/v0.23.0/x"
    write_specs(pages, "v0.23.0", "thief", spec("a", tarball=other), spec("h", tarball=other))
    write_specs(pages, "v0.23.0", "cut", spec("i", os="", tarball=other))
    database = build(tmp_path / "a.db", pages, "--skip-bad")
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name, mirror FROM releases ORDER BY name").fetchall()
    assert rows == [
        ("develop", "https://binaries.spack.io/develop"),
        ("v0.18", "https://binaries.spack.io/releases/v0.18"),
        ("v0.18.1", "https://binaries.spack.io/v0.18.1"),
        ("v0.20.1", "https://binaries.spack.io/releases/v0.20.1"),
        ("v0.23.0", "https://binaries.spack.io/v0.23.0"),
    ]
