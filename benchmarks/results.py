"""Write down what was measured, for people: tables, ratios, and the targets beside them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.building import Building, Step
from benchmarks.caches import CacheBuilding
from benchmarks.floor import STEPS
from benchmarks.indexes import Cost
from benchmarks.scale import Point
from benchmarks.serving import CLIENTS, Served, Serving
from publish.site import settings

_KINDS_NAMED = 3
_SMALLEST_SHARE = 0.001
_QUESTION_MS = int(settings()["sql_time_limit_ms"])


class Measured(NamedTuple):
    """All that was measured of one collection, in one run.

    Attributes:
        size: name of the collection's size.
        day: when, in ISO 8601.
        machine: what the figures depend on.
        building: the commands.
        serving: the pages.
        naive_serving: pages of the naive database; empty if it was not built.
        costs: tables and indexes.
    """

    size: str
    day: str
    machine: Mapping[str, str]
    building: Building
    serving: Serving
    naive_serving: Sequence[Served]
    costs: Sequence[Cost]


class Scale(NamedTuple):
    """Builds of ever larger collections, in one run."""

    day: str
    machine: Mapping[str, str]
    points: Sequence[Point]


def report(
    measured: Mapping[str, Measured], scale: Scale | None, caches: Sequence[CacheBuilding] = ()
) -> str:
    """The text of RESULTS.md, as Markdown.

    Args:
        measured: by the size's name, smallest first.
        scale: as far as it was measured.
        caches: builds from build caches.
    """
    lines = [_INTRODUCTION, *_targets(measured, caches)]
    for one in measured.values():
        lines += [f"\n## The {one.size} collection", *_machine(one.day, one.machine)]
        lines += [*_building(one.building), *_serving(one), *_costs(one)]
    for size in caches:
        lines += [*_caches(size)]
    if scale:
        lines += [*_scale(scale)]
    if full := measured.get("full"):
        lines += [_TEN_TIMES.format(**_tenfold(full))]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Measurements

`make bench` wrote this. The pages are made up, from a seed, in the shapes of the real ones
(`benchmarks/corpus.py`). Every command ran in fresh processes, with full checking on; the files
it read were in the machine's cache. Where a command ran several times, the middle time is given.

- **naive**: the build as one would write it first (`benchmarks/naive.py`), and Datasette on what
  it builds, with default settings.
- **floor**: reading and decoding all pages and inserting rows that are ready, with nothing checked
  or worked out, in one process (`benchmarks/floor.py`). A build cannot do less.
- **CPU**: seconds of computing, on all cores together.
- **memory**: of all processes together, at the worst moment, memory that they share counted once.
- **p50**, **p95**: milliseconds within which half, and 95 of 100, first visits were answered; one
  client, no answer from a cache, compressed as a browser asks for it. The first request of each
  kind of page does not count: Datasette loads its templates."""


_NAIVE = """
The floor is {times:.0f} times as fast as the naive build here, so a build of two floors is
{most:.0f} times as fast, and one that is 40 times as fast would have hardly any time to check
anything: most of the floor is inserting and indexing, which the naive build does too."""

_REASONS = """
If any page changed, everything is built anew, so 1 % takes as long as all. Counts, arrays and every
index can change with any page, and the same pages must give the same bytes. What could be kept,
the staging files of the other packages, would spare the reading, a third of the time, and cost a
copy as large as half the database and a second way through the build."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; columns whose head ends in `:` are aligned to the right."""
    yield ""
    yield f"| {' | '.join(head.removesuffix(':') for head in heads)} |"
    yield f"| {' | '.join('---:' if head.endswith(':') else '---' for head in heads)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


class _Target(NamedTuple):
    """Something to reach: what, at most or at least how much, and what was measured."""

    name: str
    limit: float
    measured: float | None
    unit: str = ""
    least: bool = False

    def row(self) -> tuple[str, str, str, str]:
        bound = f"at {'least' if self.least else 'most'} {self.limit:g}{self.unit}"
        if self.measured is None:
            return self.name, bound, "not measured", ""
        reached = self.measured >= self.limit if self.least else self.measured <= self.limit
        return self.name, bound, f"{self.measured:,.2f}{self.unit}", "yes" if reached else "**no**"


def _targets(measured: Mapping[str, Measured], caches: Sequence[CacheBuilding]) -> Iterator[str]:
    yield "\n## Targets"
    targets = [
        *_building_targets(measured),
        *_serving_targets(measured.get("full")),
        *_cache_targets(caches),
    ]
    yield from table(
        ["target", "limit:", "measured:", "reached"], (target.row() for target in targets)
    )
    medium = measured.get("medium")
    if medium and medium.building.naive:
        times = medium.building.naive.median / medium.building.floor.median
        yield _NAIVE.format(times=times, most=times / 2)
    yield _REASONS


def _building_targets(measured: Mapping[str, Measured]) -> Iterator[_Target]:
    medium, full = (
        one.building if (one := measured.get(size)) else None for size in ("medium", "full")
    )

    def of(one: Building | None, figure: Callable[[Building], float | None]) -> float | None:
        return figure(one) if one else None

    def other(name: str) -> Callable[[Building], float]:
        return lambda one: next(step.median for step in one.others if step.name == name)

    yield _Target("medium: naive ÷ build", 40, of(medium, _faster), least=True)
    yield _Target("medium: build", 2, of(medium, _floors), " floors")
    yield _Target("full: build", 45, of(full, lambda one: one.build.median), " s")
    yield _Target("full: memory", 200, of(full, lambda one: one.build.memory / 1e6), " MB")
    growth = full.build.memory / medium.build.memory - 1 if medium and full else None
    yield _Target("memory from medium to full: growth", 20, growth and growth * 100, " %")
    yield _Target("full: nothing changed", 3, of(full, other("build, nothing changed")), " s")
    yield _Target(
        "full: size, with integer keys being 1",
        4,
        of(full, lambda one: one.contents.database_bytes / one.integer_bytes),
    )


def _faster(building: Building) -> float | None:
    return building.naive.median / building.build.median if building.naive else None


def _floors(building: Building) -> float:
    return building.build.median / building.floor.median


def _serving_targets(full: Measured | None) -> Iterator[_Target]:
    kinds = full.serving.kinds if full else []
    for limit in sorted({kind.limit for kind in kinds if kind.limit}):
        slowest = max((kind for kind in kinds if kind.limit == limit), key=lambda kind: kind.p95)
        yield _Target(
            f"full: p95 of pages with this limit; slowest: {slowest.name}",
            limit,
            slowest.p95,
            " ms",
        )
    timed_out = sum(bool(kind.timed_out) for kind in kinds)
    yield _Target("full: kinds of page with a facet that timed out", 0, timed_out if full else None)
    hits = full.serving.hits if full else None
    yield _Target("full: p95 of pages asked for again", 2, hits and hits.p95, " ms")
    name = f"full: answers a second to {CLIENTS} clients that ask again"
    yield _Target(name, 500, hits and hits.a_second, least=True)
    stream = full.serving.stream if full else None
    speed = stream and stream.bytes / stream.seconds / 1e6
    yield _Target("full: CSV stream", 8, speed, " MB/s", least=True)
    grown = stream and (stream.most - stream.before) / 1e6
    yield _Target("full: memory that the CSV stream adds", 10, grown, " MB")


def _machine(day: str, machine: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield f"Measured on {day}. " + ". ".join(f"{name}: {value}" for name, value in machine.items())


def _building(building: Building) -> Iterator[str]:
    contents = building.contents
    yield ""
    yield (
        f"{contents.pages:,} pages ({_mb(contents.source_bytes)} MB), {contents.entries:,} "
        f"entries, {contents.specs:,} specs; database {_mb(contents.database_bytes)} MB, "
        f"{contents.database_bytes / building.integer_bytes:.1f} times the "
        f"{_mb(building.integer_bytes)} MB of the same facts with integer keys."
    )
    steps = [building.build, *building.others, building.floor]
    if building.naive:
        steps.append(building.naive)
    yield from table(
        [
            *("command", "runs:", "seconds:", "CPU:", "floors:", "naive ÷ this:", "µs an entry:"),
            *("memory, MB:", "each process, MB:"),
        ],
        (_step(step, building) for step in steps),
    )
    parts = ", ".join(
        f"{name} {seconds:.2f}" for name, seconds in zip(STEPS, building.floor_parts, strict=True)
    )
    yield f"\nThe floor's seconds: {parts}."


def _step(step: Step, building: Building) -> tuple[str, ...]:
    naive = f"{building.naive.median / step.median:.1f}" if building.naive else "-"
    return (
        step.name,
        str(len(step.seconds)),
        f"{step.median:.2f}",
        "-" if step is building.floor else f"{median(step.cpu):.2f}",
        f"{step.median / building.floor.median:.2f}",
        naive,
        f"{step.median / building.contents.entries * 1e6:.1f}",
        _mb(step.memory),
        " + ".join(map(_mb, step.each)),
    )


def _caches(one: CacheBuilding) -> Iterator[str]:
    contents = one.contents
    yield f"\n## Build caches: {one.size}"
    yield from _machine(one.day, one.machine)
    yield ""
    yield (
        f"{contents.indexes:,} indexes ({_mb(contents.source_bytes)} MB), {contents.records:,} "
        f"records, {contents.specs:,} different binaries, {contents.edges:,} dependencies; "
        f"database {_mb(contents.database_bytes)} MB. The caches are made up in the shapes of real "
        "ones (`benchmarks/mirrors.py`); naive is `benchmarks/naive_caches.py`."
    )
    steps = [one.build, *one.others, *([one.naive] if one.naive else [])]
    yield from table(
        [
            *("command", "runs:", "seconds:", "CPU:", "naive ÷ this:", "memory, MB:"),
            "each process, MB:",
        ],
        (
            [
                each.name,
                str(len(each.seconds)),
                f"{each.median:.2f}",
                f"{median(each.cpu):.2f}",
                f"{one.naive.median / each.median:.1f}" if one.naive else "",
                _mb(each.memory),
                " + ".join(map(_mb, each.each)),
            ]
            for each in steps
        ),
    )


def _cache_targets(caches: Sequence[CacheBuilding]) -> Iterator[_Target]:
    for one in caches:
        steps = {each.name: each for each in one.others}
        if one.size == "today":
            if one.naive:
                faster = one.naive.median / one.build.median
                yield _Target("caches of today: naive ÷ build", 5, faster, least=True)
            yield _Target("caches of today: memory", 250, one.build.memory / 1e6, " MB")
            for name, limit in (("build, nothing changed", 3), ("fetch, nothing changed", 2)):
                yield _Target(f"caches of today: {name}", limit, steps[name].median, " s")
        if one.size == "july-2025":
            yield _Target("caches of july-2025: build", 60, one.build.median, " s")
            yield _Target("caches of july-2025: memory", 300, one.build.memory / 1e6, " MB")


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f}"


def _serving(one: Measured) -> Iterator[str]:
    naive = {kind.name: kind for kind in one.naive_serving}
    stream, hits = one.serving.stream, one.serving.hits
    yield f"\n### Pages of the {one.size} collection\n"
    yield (
        f"First answer {one.serving.start:.1f} s after the start, first page of specs with all "
        f"facets after {one.serving.ready:.1f} s. CSV of all specs: "
        f"{stream.bytes / stream.seconds / 1e6:.1f} MB/s over {_mb(stream.bytes)} MB; the server's "
        f"memory went from {_mb(stream.before)} to at most {_mb(stream.most)} MB, and was "
        f"{_mb(stream.after)} MB afterwards. A page asked for again: p50 {hits.p50:.1f}, "
        f"p95 {hits.p95:.1f} ms; {CLIENTS} clients had {hits.a_second:,.0f} answers a second."
    )
    heads = ["page", "limit:", "p50:", "p95:", "visits:"]
    if naive:
        heads += ["naive p95:", "naive ÷ this:"]
    rows = (
        [*_times(kind), *(_beside(kind, naive.get(kind.name)) if naive else ()), _notes(kind)]
        for kind in one.serving.kinds
    )
    yield from table([*heads, "note"], rows)


def _times(kind: Served) -> tuple[str, ...]:
    limit = str(kind.limit or "-")
    return kind.name, limit, f"{kind.p50:.1f}", f"{kind.p95:.1f}", str(kind.visits)


def _beside(kind: Served, naive: Served | None) -> tuple[str, str]:
    return (f"{naive.p95:.1f}", f"{naive.p95 / kind.p95:.1f}") if naive else ("-", "-")


def _notes(kind: Served) -> str:
    notes = []
    if kind.limit and kind.p95 > kind.limit:
        notes.append(f"**beyond its limit**, slowest: `{kind.slowest}`")
    if kind.failed:
        notes.append(f"**{len(kind.failed)} failed**, the first: `{kind.failed[0]}`")
    if kind.timed_out:
        notes.append(f"**facets timed out**: {', '.join(kind.timed_out)}")
    return "; ".join(notes)


def _costs(one: Measured) -> Iterator[str]:
    total = sum(cost.bytes for cost in one.costs)
    yield f"\n### What the tables and indexes of the {one.size} collection cost"
    yield "\nOf SQLite's own indexes and of tables, those below 0.1 % are left out."
    rows = (
        (
            f"`{cost.name}`",
            f"{cost.bytes / 1000:,.0f}",
            f"{cost.bytes / total:.1%}",
            cost.serves,
            _shortened(cost.read_by) or ("**no page**" if cost.serves else ""),
        )
        for cost in one.costs
        if cost.serves or cost.bytes / total >= _SMALLEST_SHARE
    )
    yield from table(["table or index", "kB:", "share:", "is there for", "read by"], rows)


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _KINDS_NAMED
    return "; ".join([*names[:_KINDS_NAMED], *([f"{more} more"] if more > 0 else [])])


def _scale(scale: Scale) -> Iterator[str]:
    yield "\n## From 10,000 to 4 million entries"
    yield from _machine(scale.day, scale.machine)
    yield "\n![Time for an entry, memory, and size for an entry](scale.svg)"
    yield from table(
        ["entries:", "seconds:", "µs an entry:", "memory, MB:", "database, MB:", "bytes an entry:"],
        (
            (
                f"{point.entries:,}",
                f"{point.seconds:.1f}",
                f"{point.microseconds:.1f}",
                _mb(point.memory),
                _mb(point.database_bytes),
                f"{point.bytes:,.0f}",
            )
            for point in scale.points
        ),
    )


def _tenfold(full: Measured) -> dict[str, str]:
    building = full.building
    names = [kind.name for kind in full.serving.kinds if kind.p50 * 10 > _QUESTION_MS]
    unchanged = next(step for step in building.others if step.name == "build, nothing changed")
    return {
        "entries": f"{building.contents.entries * 10 / 1e6:.0f} million",
        "specs": f"{building.contents.specs * 10 / 1e6:.1f} million",
        "pages": f"{building.contents.pages * 10 / 1e6:.1f} million",
        "kinds": "; ".join(names) or "none",
        "database": f"{building.contents.database_bytes * 10 / 1e9:.0f} GB",
        "integer": f"{building.integer_bytes * 10 / 1e9:.0f} GB",
        "build": f"{building.build.median * 10 / 60:.0f} minutes",
        "memory": f"{_mb(building.build.memory)} MB",
        "ready": f"{full.serving.ready * 10:.0f} seconds",
        "unchanged": f"{unchanged.median * 10:.0f} seconds",
    }


_TEN_TIMES = """
## What breaks first at ten times the full collection

On paper: {entries} entries, {specs} specs, {pages} pages. Time and size go with the entries, as the
plot shows, and memory does not.

1. **Questions about the whole table.** Those without a narrow filter read an index from end to
   end, so their time goes with the specs, and Datasette ends a question after 3 seconds with an
   error. More than 3 seconds is ten times what these take here: {kinds}. What is asked of one
   package or spec takes as long as before. Facets are counted by bitmaps, which stay fast, but
   would be ready only {ready} after the start: the build would have to write them into a file
   beside the database.
2. **The file.** {database} no longer fit the hosts that take the database as a part of the image,
   nor the memory in which a small machine keeps its indexes at hand. Integer keys would make it
   {integer}, and SQL that needs joins to be read. Before that: one database for the releases of
   each year, side by side on one site.
3. **The build's time.** {build}, with memory still at {memory}: rows wait on disk, in staging files
   about as large as the database. Its last part, sorting and writing, is one SQLite connection's
   work on one core.
4. **Looking for changes.** {pages} pages are read and hashed each time, which takes {unchanged}
   when nothing changed. A list of hashes such as git keeps would spare that.

SQLite's own limits (281 TB, 2^64 rows) are far away."""
