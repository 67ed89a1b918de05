"""Where the build cache of a release is, for `spack mirror add`.

Rule of the source: below https://binaries.spack.io, but some of the first releases (v0.18, v0.20.1)
are below its folder `releases`. Nothing tells which but the tarballs on pages that name them.
"""

from collections.abc import Collection

from etl.order import parse_release

PUBLIC_CACHE = "https://binaries.spack.io"
"""Where Spack's own build cache is."""


def count_tarballs(release: str, tarballs: Collection[str]) -> tuple[int, int]:
    """How many tarballs are below the folder `releases`, and how many are where most are."""
    plain, early = f"{PUBLIC_CACHE}/{release}/", f"{PUBLIC_CACHE}/releases/{release}/"
    return (
        sum(tarball.startswith(early) for tarball in tarballs),
        sum(tarball.startswith(plain) for tarball in tarballs),
    )


def public_mirror(release: str) -> str | None:
    """Address of the mirror of a release of Spack, as most have it; None of any other cache."""
    return f"{PUBLIC_CACHE}/{release}" if parse_release(release) else None


def mirror(release: str, in_releases: int, elsewhere: int, home: str | None = None) -> str:
    """Address of the mirror of a release.

    Args:
        release: the release.
        in_releases: how many of its tarballs are below the folder `releases`.
        elsewhere: how many are where most are.
        home: where its index was read from, if one was.
    """
    usual = f"{PUBLIC_CACHE}/{release}"
    if home not in (None, usual):
        return str(home)
    return f"{PUBLIC_CACHE}/releases/{release}" if in_releases > elsewhere else usual
