"""What every reader yields: the facts of specs, and where they are from."""

from typing import NamedTuple

from etl.spelling import Stacks, Variants


class Dependency(NamedTuple):
    """That a spec was built or runs with another.

    Attributes:
        hash: of the dependency.
        name: its package.
        build: 1 if it was needed to build, else 0; the others likewise.
        link: to link with.
        run: to run.
        test: to test.
        virtuals: what it provides, such as `mpi`; sorted, each once.
    """

    hash: str
    name: str
    build: int
    link: int
    run: int
    test: int
    virtuals: tuple[str, ...]


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
        namespace: the repository its recipe is of; this and what follows are None where only pages
            tell of it.
        flags: its compiler flags as a JSON array.
        build_spec: name and hash of what a spliced spec was built as; None of others too.
        external: where it was on the machine that built; None of what was not.
        dependencies: sorted by hash.
    """

    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: Variants
    size: int | None
    namespace: str | None = None
    flags: str | None = None
    build_spec: str | None = None
    external: str | None = None
    dependencies: tuple[Dependency, ...] | None = None


class Spec(NamedTuple):
    """A concrete spec of a release.

    Attributes:
        hash: Spack's DAG hash, 32 characters of a-z and 2-7.
        facts: what is true of it in every release.
        stacks: the stacks of the release that hold it.
        tarball: address of the binary, or None where the source has none.
        is_binary: whether the source has a binary of it; pages list no other.
    """

    hash: str
    facts: Facts
    stacks: Stacks
    tarball: str | None
    is_binary: bool = True


class Source(NamedTuple):
    """What one source says of one package in one release.

    Attributes:
        path: the source's path in the database.
        line: where its specs are in the file, for problems; 0 for none.
        release: the release.
        specs: the specs in the source's order, each hash once.
        stack: the stack whose index it is; None of a page.
        number: the order in which indexes count; 0 of a page.
    """

    path: str
    line: int
    release: str
    specs: tuple[Spec, ...]
    stack: str | None = None
    number: int = 0
