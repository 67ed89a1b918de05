"""Measure building and serving, and write RESULTS.md: `python -m benchmarks`.

What was measured of each size of collection stays in the work folder, so sizes can be measured
one after the other, and RESULTS.md tells of all of them.
"""

import datetime
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from benchmarks import corpus, mirrors
from benchmarks.building import Files, measure_building
from benchmarks.caches import CacheBuilding, CacheFiles, measure_caches, read_cache_contents
from benchmarks.indexes import costs
from benchmarks.measure import FailedError, describe_machine
from benchmarks.results import Measured, Scale, report
from benchmarks.scale import PACKAGES, measure_point, plot
from benchmarks.serving import Bounds, measure_naive_serving, measure_serving

_HERE = Path(__file__).parent
_REPEATS = {"small": 5, "medium": 3, "full": 2}
_NAIVE_SIZE = "medium"
_SCALE = "scale"
_CACHES = "caches"
_CACHE_REPEATS = {"small": 3, "today": 1, "july-2025": 1}
_NAIVE_CACHES = ("small", "today")

Record = TypeVar("Record", Measured, Scale, CacheBuilding)


@click.command()
@click.option(
    "--size",
    "sizes",
    type=click.Choice(list(_REPEATS)),
    multiple=True,
    help="Measure this collection; can be given several times. [default: small and medium]",
)
@click.option(
    "--caches",
    type=click.Choice(list(_CACHE_REPEATS)),
    multiple=True,
    help="Measure builds from build caches of this size; can be given several times.",
)
@click.option("--scale", is_flag=True, help="Measure builds from 10,000 to 4 million entries.")
@click.option(
    "--naive/--no-naive",
    default=True,
    help="Measure the naive way too, on the medium collection and the caches of today.",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    default=_HERE / "work",
    help="Folder for collections, databases and figures. [default: benchmarks/work]",
)
@click.option(
    "--out",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_HERE,
    help="Folder to write RESULTS.md to. [default: benchmarks]",
)
def main(
    sizes: Sequence[str],
    caches: Sequence[str],
    scale: bool,
    naive: bool,
    work: Path,
    out: Path,
) -> None:
    """Measure building and serving, and write RESULTS.md.

    Small and medium take about ten minutes on two cores, four of them the naive way; full takes
    about as long; --scale takes as long again and 15 GB of disk.
    """
    if not sizes and not scale and not caches:
        sizes = ["small", "medium"]
    work.mkdir(parents=True, exist_ok=True)
    try:
        for size in sizes:
            measured = _measure(size, work, naive=naive and size == _NAIVE_SIZE)
            keep(work / f"{size}.json", measured)
        for size in caches:
            keep(work / f"{_CACHES}-{size}.json", _measure_caches(size, work, naive=naive))
        if scale:
            keep(work / f"{_SCALE}.json", _measure_scale(work))
    except FailedError as error:
        raise click.ClickException(str(error)) from error
    write_results(work, out)
    click.echo(f"wrote {out / 'RESULTS.md'}")


def _measure(name: str, work: Path, *, naive: bool) -> Measured:
    files = _files(work, name, corpus.SIZES[name])

    def tell(what: str) -> None:
        click.echo(f"{datetime.datetime.now():%H:%M:%S} {name}: {what}")

    building = measure_building(files, _REPEATS[name], tell, naive=naive)
    tell("pages")
    serving = measure_serving(files.database, Bounds())
    naive_serving = []
    if naive:
        tell("pages of the naive database")
        naive_serving = measure_naive_serving(files.naive, files.database, Bounds())
    tell("what reads the indexes")
    return Measured(
        name, _today(), describe_machine(), building, serving, naive_serving, costs(files.database)
    )


def _measure_caches(size: str, work: Path, *, naive: bool) -> CacheBuilding:
    made = work / f"{_CACHES}-{size}-made"
    made.mkdir(exist_ok=True)
    files = CacheFiles(
        work / f"{_CACHES}-{size}", made / "spack-cache.db", made / "naive.db", made / "fetched"
    )
    if not files.caches.exists():
        click.echo(f"caches of {size}: writing them")
        unfinished = work / f"{_CACHES}-{size}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        mirrors.generate(unfinished, mirrors.SIZES[size], jobs=os.cpu_count() or 1)
        unfinished.rename(files.caches)
    shutil.rmtree(files.fetched, ignore_errors=True)

    def tell(what: str) -> None:
        click.echo(f"{datetime.datetime.now():%H:%M:%S} caches of {size}: {what}")

    build, plain, others = measure_caches(
        files, _CACHE_REPEATS[size], tell, naive=naive and size in _NAIVE_CACHES
    )
    contents = read_cache_contents(files.database)
    return CacheBuilding(size, _today(), describe_machine(), contents, build, plain, others)


def _measure_scale(work: Path) -> Scale:
    points = []
    for packages in PACKAGES:
        size = corpus.resized(corpus.SIZES["full"], packages=packages)
        click.echo(f"{datetime.datetime.now():%H:%M:%S} about {size.entries:,} entries")
        points.append(measure_point(_files(work, f"packages-{packages}", size)))
    return Scale(_today(), describe_machine(), points)


def _files(work: Path, name: str, size: corpus.Size) -> Files:
    """The files of a collection, which is written if it is not there."""
    folder = work / name
    if not folder.exists():
        click.echo(f"{name}: writing the collection")
        unfinished = work / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        corpus.write_corpus(unfinished, size, seed=1, jobs=os.cpu_count() or 1)
        unfinished.rename(folder)
    made = work / f"{name}-made"
    made.mkdir(exist_ok=True)
    scratch = made / "scratch.db"
    scratch.unlink(missing_ok=True)
    return Files(folder / "_cache", made / "spack-cache.db", made / "naive.db", scratch)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def keep(file: Path, record: Measured | Scale | CacheBuilding) -> None:
    """Write figures where `write_results` finds them."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def _kept(file: Path, form: type[Record]) -> Record | None:
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=form)
    except msgspec.ValidationError:
        click.echo(f"{file} is left out: what is measured has changed since; measure it again")
        return None


def write_results(work: Path, out: Path) -> None:
    """Write RESULTS.md, and the plot if there is one, from all figures in the work folder."""
    kept = {size: _kept(work / f"{size}.json", Measured) for size in _REPEATS}
    scale = _kept(work / f"{_SCALE}.json", Scale)
    measured = {size: one for size, one in kept.items() if one}
    caches = [_kept(work / f"{_CACHES}-{size}.json", CacheBuilding) for size in _CACHE_REPEATS]
    (out / "RESULTS.md").write_text(report(measured, scale, [one for one in caches if one]))
    if scale:
        (out / "scale.svg").write_text(plot(scale.points))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
