"""What an entry costs in ever larger collections: measurements, and a plot of them as SVG."""

from collections.abc import Callable, Sequence
from math import log10
from typing import NamedTuple

from benchmarks.building import Files, build_anew, read_contents, step

PACKAGES = (12, 40, 124, 400, 1_230, 4_470)
"""Numbers of packages: with the releases of the full size, 10,000 to 4 million entries."""

_REPEATS_UNTIL = 200_000


class Point(NamedTuple):
    """A build of one collection.

    Attributes:
        entries: number of specs, each counted once for each release that holds it.
        seconds: that it took.
        memory: bytes that all its processes had together at one time, at most.
        database_bytes: size of the database.
    """

    entries: int
    seconds: float
    memory: int
    database_bytes: int

    @property
    def microseconds(self) -> float:
        """Time for one entry."""
        return self.seconds / self.entries * 1e6

    @property
    def bytes(self) -> float:
        """Size for one entry."""
        return self.database_bytes / self.entries


def measure_point(files: Files) -> Point:
    """Build one collection, three times if it is small; removes the database again.

    Raises:
        FailedError: a build failed.
    """
    runs = [build_anew(files)]
    contents = read_contents(files.database)
    if contents.entries < _REPEATS_UNTIL:
        runs += [build_anew(files), build_anew(files)]
    files.database.unlink()
    built = step("build", runs)
    return Point(contents.entries, built.median, built.memory, contents.database_bytes)


class _Panel(NamedTuple):
    """One of the plots: its title, and what it shows of a point."""

    title: str
    value: Callable[[Point], float]


_PANELS = (
    _Panel("Time for an entry, microseconds", lambda point: point.microseconds),
    _Panel("Memory of all processes together, MB", lambda point: point.memory / 1e6),
    _Panel("Database for an entry, bytes", lambda point: point.bytes),
)
_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 150, 60, 40
_AXIS = (10_000, 100_000, 1_000_000, 10_000_000)
_AXIS_NAMES = ("10,000 entries", "100,000", "1 million", "10 million")


def plot(points: Sequence[Point]) -> str:
    """An SVG picture of the points: one line of them for each thing measured, from zero up."""
    height = len(_PANELS) * (_HEIGHT + _TOP) + _TOP
    width = _WIDTH + 2 * _LEFT
    box = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-labelledby="title">',
        '<title id="title">Time, memory and size from 10,000 to 4 million entries</title>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(_PANELS):
        parts += _draw(panel, points, top=_TOP + number * (_HEIGHT + _TOP))
    bottom = height - _TOP // 2
    for entries, name in zip(_AXIS, _AXIS_NAMES, strict=True):
        parts.append(f'<text x="{_x(entries)}" y="{bottom}" text-anchor="middle">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(entries: int) -> int:
    first, last = log10(_AXIS[0]), log10(_AXIS[-1])
    return _LEFT + round(_WIDTH * (log10(entries) - first) / (last - first))


def _draw(panel: _Panel, points: Sequence[Point], top: int) -> list[str]:
    values = [panel.value(point) for point in points]
    highest = max(values) * 1.2
    places = [
        (_x(point.entries), top + _HEIGHT - round(_HEIGHT * value / highest))
        for point, value in zip(points, values, strict=True)
    ]
    line = " ".join(f"{x},{y}" for x, y in places)
    base = top + _HEIGHT
    return [
        f'<text x="{_LEFT}" y="{top - 8}" font-weight="bold">{panel.title}</text>',
        f'<path d="M{_LEFT} {base}h{_WIDTH}" stroke="gray"/>',
        f'<polyline points="{line}" fill="none" stroke="#0b5fa5" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="4" fill="#0b5fa5"/>' for x, y in places),
        *(
            f'<text x="{x}" y="{y - 9}" text-anchor="middle">{value:,.0f}</text>'
            for (x, y), value in zip(places, values, strict=True)
        ),
    ]
