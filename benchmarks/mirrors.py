"""Made-up build caches of any size, in layout 3, as Spack 1.0 and 1.1 write them.

    python -m benchmarks.mirrors OUT --size today

The seed and the arguments decide every byte. `OUT/<release>` is a release's whole mirror,
`OUT/<release>/<stack>` that of a stack, and OUT/cache_spack_io_index.json lists their indexes.
"""

import datetime
import gzip
import hashlib
import json
import os
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate, chain, compress, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import click

from benchmarks.mirror_recipes import count_externals, make_recipes, with_stacks
from benchmarks.mirror_specs import Builder, Specs

LIST_NAME = "cache_spack_io_index.json"
COMPRESSIONS = ("none", "gzip")


class MirrorSize(NamedTuple):
    """How large the mirrors are.

    Attributes:
        releases: how many releases, develop included.
        stacks: how many stacks each release has, beside its whole mirror.
        binaries: how many different specs there are binaries of, in all releases together.
        packages: of how many packages, at least the basic ones.
    """

    releases: int
    stacks: int
    binaries: int
    packages: int


SIZES = {
    "small": MirrorSize(releases=3, stacks=5, binaries=3_000, packages=150),
    "today": MirrorSize(releases=13, stacks=30, binaries=145_000, packages=1_400),
    # 378,565 records; every external is among them, there are so many specs.
    "july-2025": MirrorSize(
        releases=1, stacks=0, binaries=378_565 - count_externals(), packages=1_400
    ),
}


class Counts(NamedTuple):
    """What was written.

    Attributes:
        releases: number of releases.
        indexes: number of indexes.
        records: number of records in all indexes together.
        binaries: how many of them are binaries.
        different_binaries: how many different specs are a binary in some index.
        edges: number of dependencies of all records together.
        bytes: size of all indexes together, as they are stored.
    """

    releases: int
    indexes: int
    records: int
    binaries: int
    different_binaries: int
    edges: int
    bytes: int


class Index(NamedTuple):
    """One index, before it is written.

    Attributes:
        release: its release.
        stack: its stack; `root` for the release's whole mirror.
        starts: where the text of each record starts in the file of all texts.
        ends: where it ends.
        dependents: of each record, how many records depend on it.
        binaries: 1 for each record that is a binary, else 0.
        edges: number of dependencies of all records together.
    """

    release: str
    stack: str
    starts: Sequence[int]
    ends: Sequence[int]
    dependents: Sequence[int]
    binaries: bytes
    edges: int

    @property
    def mirror(self) -> str:
        """The folder of its mirror, below that of all mirrors."""
        return self.release if self.stack == "root" else f"{self.release}/{self.stack}"


_VERSIONS = ("v2025.07.0", "v2025.11.0", "v2026.02.0", "v2026.06.0")
_NEWEST_SNAPSHOT = datetime.date(2026, 6, 21)


def release_names(releases: int) -> list[str]:
    """That many releases, oldest first: up to a third versions, weekly snapshots, develop."""
    versions = _VERSIONS[: releases * len(_VERSIONS) // 13]
    weeks = reversed(range(releases - 1 - len(versions)))
    snapshots = [_NEWEST_SNAPSHOT - datetime.timedelta(weeks=week) for week in weeks]
    return [*versions, *(f"develop-{date}" for date in snapshots), "develop"]


def _additions(names: Sequence[str], binaries: int) -> list[int]:
    """How many specs each release has that none before had; in the first one, all are such."""
    # Snapshots are a week apart, versions months; all have the same number of specs.
    since = [0.25 if before.startswith("develop") else 0.6 for before in names[:-1]]
    shares = [1.0, *since]
    sums = [0, *(round(binaries * share / sum(shares)) for share in accumulate(shares))]
    return [after - before for before, after in pairwise(sums)]


def _plan(size: MirrorSize, seed: int, texts: BinaryIO) -> Iterator[Index]:
    """All indexes, release by release; each can be written when it comes."""
    recipes = make_recipes(random.Random(f"{seed}/recipes"), size.packages)
    environments = with_stacks(size.stacks)
    specs = Specs(texts)
    builder = Builder(specs, recipes, environments, seed)
    names = release_names(size.releases)
    stacks = sorted(stack for environment in environments for stack in environment.stacks)
    additions = _additions(names, size.binaries)
    for place, (name, added) in enumerate(zip(names, additions, strict=True)):
        # Specs can come back, so a release would grow if only as many went as are added.
        builder.shrink(len(builder.present) + added - additions[0])
        builder.grow(added, age=(place + 1) / len(names))
        specs.flush()
        yield _index(specs, name, "root", builder.present)
        for stack in stacks:
            binaries = {spec for spec in builder.present if stack in specs.stacks[spec]}
            yield _index(specs, name, stack, binaries)


def _index(specs: Specs, release: str, stack: str, binaries: Iterable[int]) -> Index:
    """The index of a mirror that has these binaries: they and all that they depend on."""
    has = set(binaries)
    numbers = sorted(_with_dependencies(specs, has))
    dependents = Counter(chain.from_iterable(specs.dependencies[number] for number in numbers))
    return Index(
        release,
        stack,
        starts=array("Q", (specs.offsets[number] for number in numbers)),
        ends=array("Q", (specs.offsets[number + 1] for number in numbers)),
        dependents=array("I", (dependents[number] for number in numbers)),
        binaries=bytes(number in has for number in numbers),
        edges=dependents.total(),
    )


def _with_dependencies(specs: Specs, numbers: Iterable[int]) -> set[int]:
    found = set(numbers)
    waiting = list(found)
    while waiting:
        for number in specs.dependencies[waiting.pop()]:
            if number not in found:
                found.add(number)
                waiting.append(number)
    return found


class _Blob:
    """A file that is named by the SHA-256 of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.length = 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.length += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def checksum(self) -> str:
        return self._digest.hexdigest()


class Written(NamedTuple):
    """One index that was written: its release, its stack, its size and where it is."""

    release: str
    stack: str
    bytes: int
    path: str


def _write(out: Path, texts: Path, compression: str, index: Index) -> Written:
    mirror = out / index.mirror
    mirror.mkdir(parents=True, exist_ok=True)
    part = mirror / "index.part"
    with part.open("wb") as file:
        blob = _Blob(file)
        if compression == "gzip":
            # Without name and time: they would be in the bytes.
            with gzip.GzipFile("", "wb", 6, blob, mtime=0) as compressed:
                compressed.writelines(_pieces(texts, index))
        else:
            for piece in _pieces(texts, index):
                blob.write(piece)
    path = f"blobs/sha256/{blob.checksum[:2]}/{blob.checksum}"
    (mirror / path).parent.mkdir(parents=True)
    part.rename(mirror / path)
    _write_manifest(mirror, blob, compression)
    return Written(index.release, index.stack, blob.length, f"{index.mirror}/{path}")


def _pieces(texts: Path, index: Index) -> Iterator[bytes]:
    yield b'{"database":{"version":"8","installs":{'
    comma = b""
    with texts.open("rb") as file:
        rows = zip(index.starts, index.ends, index.dependents, index.binaries, strict=True)
        for start, end, dependents, binary in rows:
            text = os.pread(file.fileno(), end - start, start)
            flag = b"true" if binary else b"false"
            yield b'%b%b%d,"in_buildcache":%b}' % (comma, text, dependents, flag)
            comma = b","
    yield b"}}}"


def _write_manifest(mirror: Path, blob: _Blob, compression: str) -> None:
    entry = {
        "contentLength": blob.length,
        "mediaType": "application/vnd.spack.db.v8+json",
        "compression": compression,
        "checksumAlgorithm": "sha256",
        "checksum": blob.checksum,
    }
    manifest = mirror / "v3/manifests/index/index.manifest.json"
    manifest.parent.mkdir(parents=True)
    text = json.dumps({"version": 3, "data": [entry]}, indent=0, separators=(",", ":"))
    manifest.write_text(text)


def generate(
    out: Path, size: MirrorSize, *, seed: int = 1, compression: str = "none", jobs: int = 1
) -> Counts:
    """Write mirrors and their list into a folder, with that many processes.

    Args:
        out: the folder; it need not be there.
        size: how much.
        seed: decides all that is random.
        compression: of the indexes, `none` or `gzip`.
        jobs: how many processes; one of them decides what all others write.

    Raises:
        FileExistsError: the folder is not empty.
        ValueError: such a size is impossible.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    texts = out / "specs.part"
    tally = _Tally()
    with texts.open("wb") as file:
        indexes = tally.count(_plan(size, seed, file))
        write = partial(_write, out, texts, compression)
        if jobs == 1:
            written = [write(index) for index in indexes]
        else:
            with ProcessPoolExecutor(jobs - 1) as pool:
                written = list(pool.map(write, indexes))
    texts.unlink()
    _write_list(out, written)
    return tally.counts(written)


class _Tally:
    """Counts what passes."""

    def __init__(self) -> None:
        self._records = self._binaries = self._edges = 0
        self._different: set[int] = set()

    def count(self, indexes: Iterable[Index]) -> Iterator[Index]:
        for index in indexes:
            self._records += len(index.starts)
            self._binaries += sum(index.binaries)
            self._edges += index.edges
            self._different.update(compress(index.starts, index.binaries))
            yield index

    def counts(self, written: Sequence[Written]) -> Counts:
        return Counts(
            releases=len({one.release for one in written}),
            indexes=len(written),
            records=self._records,
            binaries=self._binaries,
            different_binaries=len(self._different),
            edges=self._edges,
            bytes=sum(one.bytes for one in written),
        )


def _write_list(out: Path, written: Iterable[Written]) -> None:
    listed: dict[str, list[dict[str, str]]] = {}
    for one in written:
        entry = {"label": one.stack, "url": f"s3://spack-binaries/{one.path}"}
        listed.setdefault(one.release, []).append(entry)
    (out / LIST_NAME).write_text(json.dumps(listed, indent=1))


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--size", "name", type=click.Choice(list(SIZES)), default="small", show_default=True)
@click.option("--releases", type=click.IntRange(1), help="Instead of the size's own number.")
@click.option("--stacks", type=click.IntRange(0), help="Instead of the size's own number.")
@click.option("--binaries", type=click.IntRange(1), help="Instead of the size's own number.")
@click.option("--packages", type=click.IntRange(1), help="Instead of the size's own number.")
@click.option("--compression", type=click.Choice(COMPRESSIONS), default="none", show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Processes.")
def main(
    out: Path, name: str, compression: str, seed: int, jobs: int, **numbers: int | None
) -> None:
    """Write made-up mirrors, and the list of their indexes, to OUT."""
    given = {what: number for what, number in numbers.items() if number is not None}
    size = SIZES[name]._replace(**given)
    try:
        counts = generate(out, size, seed=seed, compression=compression, jobs=jobs)
    except (FileExistsError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(json.dumps(counts._asdict()))


if __name__ == "__main__":
    main()
