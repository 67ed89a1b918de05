"""What every reader yields: the facts of specs, and where they are from."""

from typing import NamedTuple

from etl.spelling import Stacks, Variants


class Facts(NamedTuple):
    """What is true of a spec in every release, in one spelling.

    Attributes:
        version: the package's version.
        compiler: `gcc@13.2.0`, or `none`.
        os: operating system.
        platform: `linux`, `darwin` or `windows`.
        target: CPU microarchitecture.
        variants: its variants.
        size: bytes of the binary, or None where unknown.
    """

    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: Variants
    size: int | None


class Spec(NamedTuple):
    """A concrete spec that has a binary in a release.

    Attributes:
        hash: Spack's DAG hash, 32 characters of a-z and 2-7.
        facts: what is true of it in every release.
        stacks: the stacks of the release that hold it.
        tarball: address of the binary, or None where the source has none.
    """

    hash: str
    facts: Facts
    stacks: Stacks
    tarball: str | None


class Source(NamedTuple):
    """What one source says of one package in one release.

    Attributes:
        path: the source's path in the database.
        line: where its specs are in the file, for problems; 0 for none.
        release: the release.
        specs: the specs in the source's order, each hash once.
    """

    path: str
    line: int
    release: str
    specs: tuple[Spec, ...]
