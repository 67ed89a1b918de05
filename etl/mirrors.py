"""Where the build cache of a release is, for `spack mirror add`.

Rule of the source: below https://binaries.spack.io, but some of the first releases (v0.18, v0.20.1)
are below its folder `releases`. Nothing tells which but the tarballs on pages that name them.
"""

from collections.abc import Collection

_PUBLIC = "https://binaries.spack.io"


def count_tarballs(release: str, tarballs: Collection[str]) -> tuple[int, int]:
    """How many tarballs are below the folder `releases`, and how many are where most are."""
    plain, early = f"{_PUBLIC}/{release}/", f"{_PUBLIC}/releases/{release}/"
    return (
        sum(tarball.startswith(early) for tarball in tarballs),
        sum(tarball.startswith(plain) for tarball in tarballs),
    )


def mirror(release: str, in_releases: int, elsewhere: int) -> str:
    """Address of the mirror, given how many of its tarballs are in each of the two places."""
    return f"{_PUBLIC}/releases/{release}" if in_releases > elsewhere else f"{_PUBLIC}/{release}"
