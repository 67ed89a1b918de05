"""Every kind of page that is served, with addresses spread over the data.

A kind's addresses come once each, so that all requests are first visits. A seed decides them.
"""

import json
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import yaml
from datasette.utils import tilde_encode

from etl.schema import TABLES
from publish.site import METADATA

_DATABASE = "/spack-cache"
_SPECS = f"{_DATABASE}/specs"
_COLUMNS = ("version", "compiler", "os", "platform", "target")
_ARRAYS = ("stacks", "releases", "variants")
ALL_FACETS = f"{_SPECS}?_facet_array=variants"
"""A page that needs every bitmap which the server makes when it starts."""

_FIVE_FACETS = "".join(f"&_facet={column}" for column in _COLUMNS)

# Where values repeat, new addresses run out: this many repeats in a row are taken as the end.
_REPEATS = 500

Parameters = list[tuple[str, str]]


class Kind(NamedTuple):
    """A kind of page.

    Attributes:
        name: for a person; tables, queries and charts stand in backquotes.
        limit: within how many milliseconds 95 of 100 first visits should be answered, or None.
        addresses: where it is.
        naive: what is added to an address for the same page of the naive database, served
            without metadata; None if it has no such page.
    """

    name: str
    limit: int | None
    addresses: Iterable[str]
    naive: str | None = None


class Data:
    """What to ask for: values of a database, at random.

    Attributes:
        packages: their names, those with the most specs first.
        stacks: their names.
        releases: their names.
        variants: their values.
    """

    def __init__(self, connection: sqlite3.Connection, seed: int) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._random = random.Random(seed)
        (self._num_specs,) = connection.execute("SELECT max(rowid) FROM specs").fetchone()
        self.packages = self.values("SELECT name FROM packages ORDER BY num_specs DESC, name")
        self.stacks = self.values("SELECT name FROM stacks ORDER BY name")
        self.releases = self.values("SELECT name FROM releases ORDER BY position")
        self.variants = self.values("SELECT variant FROM variants ORDER BY variant")

    def values(self, sql: str) -> list[str]:
        """The first column of what a query finds."""
        return [row[0] for row in self._connection.execute(sql)]

    def shuffled(self, values: Sequence[str]) -> Iterator[str]:
        """The values in another order."""
        return iter(self._random.sample(values, len(values)))

    def shuffled_rows(self, sql: str) -> Iterator[Parameters]:
        """The rows that a query finds, in another order, as names and values of its columns."""
        rows = self._connection.execute(sql).fetchall()
        return (
            [*zip(row.keys(), row, strict=True)] for row in self._random.sample(rows, len(rows))
        )

    def specs(self) -> Iterator[sqlite3.Row]:
        """Specs without end, any of them as likely as another."""
        while True:
            number = self._random.randint(1, self._num_specs)
            yield self._connection.execute(
                "SELECT * FROM specs WHERE rowid = ?", [number]
            ).fetchone()

    def filters(self, columns: Sequence[str], number: int) -> Iterator[Parameters]:
        """Filters of `specs` by that many of the columns, each of which some spec passes."""
        for spec in self.specs():
            chosen = self._random.sample(columns, number)
            yield [self._filter(spec, column) for column in chosen]

    def _filter(self, spec: sqlite3.Row, column: str) -> tuple[str, str]:
        if column in _ARRAYS:
            # Few arrays are empty. `root` is in nearly all others, and stands in for a variant.
            return f"{column}__arraycontains", self._element(spec[column]) or "root"
        return column, spec[column]

    def _element(self, array: str) -> str | None:
        elements = json.loads(array)
        return str(self._random.choice(elements)) if elements else None

    def parameters(
        self, names: Sequence[str], described: Mapping[str, Any]
    ) -> Iterator[Parameters]:
        """Values for one or more parameters of a query, as a spec has them where one can."""
        for spec in self.specs():
            own = {
                **{name: spec[name] for name in ("package", "hash", *_COLUMNS)},
                "machine": spec["target"],
                "versions": f":{spec['version']}",
                "stack": self._element(spec["stacks"]),
                "release": self._element(spec["releases"]),
                "variant": self._element(spec["variants"]),
            }
            chosen = self._random.sample(names, self._random.randint(1, len(names)))
            yield [(name, own.get(name) or self._option(described[name])) for name in chosen]

    def _option(self, parameter: Mapping[str, Any]) -> str:
        options = parameter.get("options", [])
        if isinstance(options, str):
            options = self.values(options)
        return self._random.choice(options) if options else ""


def page_kinds(connection: sqlite3.Connection, most: int, seed: int = 1) -> list[Kind]:
    """All kinds of page of a database, as `make serve` serves it, of which it has one.

    Args:
        connection: to a database of ours that holds a spec.
        most: how many addresses of each kind; fewer where there are no more.
        seed: decides what is asked for.
    """
    data = Data(connection, seed)
    metadata = yaml.safe_load(METADATA.read_text())
    kinds = [
        *_pages(data),
        *_tables(data),
        *_dependencies(data),
        *_systems(data),
        *_faceted(data),
        *_searches(data),
        *_exports(data),
        *_queries(data, metadata["databases"]["spack-cache"]),
        *_charts(metadata["plugins"]["datasette-dashboards"]),
    ]
    asked = [kind._replace(addresses=[*islice(_once(kind.addresses), most)]) for kind in kinds]
    return [kind for kind in asked if kind.addresses]


def _once(addresses: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    repeats = 0
    for address in addresses:
        if address in seen:
            repeats += 1
            if repeats == _REPEATS:
                return
        else:
            repeats = 0
            seen.add(address)
            yield address


def _visits(address: str) -> Iterator[str]:
    """One page under many addresses: Datasette passes over parameters like this one."""
    mark = "&" if "?" in address else "?"
    return (f"{address}{mark}_visit={number}" for number in count(1))


def _rows(table: str, keys: Iterator[str], ending: str = "") -> Iterator[str]:
    return (f"{_DATABASE}/{table}/{tilde_encode(key)}{ending}" for key in keys)


def _asked(address: str, parameters: Iterator[Parameters]) -> Iterator[str]:
    mark = "&" if "?" in address else "?"
    return (f"{address}{mark}{urlencode(some)}" for some in parameters)


def _pages(data: Data) -> Iterator[Kind]:
    largest = iter(data.packages[: len(data.packages) // 20 + 1])
    machines = (
        f"{tilde_encode(spec['package'])}?{urlencode({'machine': spec['target']})}"
        for spec in data.specs()
    )
    hashes = (spec["hash"] for spec in data.specs())
    yield Kind("home", 40, _visits("/"), naive="")
    yield Kind("package, of the 5 % with the most specs", 40, _rows("packages", largest))
    yield Kind("package, any", 40, _rows("packages", data.shuffled(data.packages)))
    yield Kind("package, for a machine", 40, (f"{_DATABASE}/packages/{one}" for one in machines))
    yield Kind("spec", 40, _rows("specs", hashes), naive="")
    yield Kind("release", 40, _rows("releases", data.shuffled(data.releases)))
    yield Kind("stack", 40, _rows("stacks", data.shuffled(data.stacks)))
    yield Kind("variant", 40, _rows("variants", data.shuffled(data.variants)))


def _tables(data: Data) -> Iterator[Kind]:
    yield Kind("the database", 40, _visits(_DATABASE), naive="")
    for table in TABLES:
        if table.name != "specs":
            yield Kind(f"`{table.name}`", 40, _visits(f"{_DATABASE}/{table.name}"))
    after = (f"{_SPECS}?_nofacet=1&_next={spec['hash']}" for spec in data.specs())
    yield Kind("`specs` without facets", 40, after, naive="")
    # What other pages link to.
    held = ([("releases__arraycontains", name)] for name in data.shuffled(data.releases))
    yield Kind("`packages` in a release", 40, _asked(f"{_DATABASE}/packages", held))
    for name, columns in (("spec_stacks", "stack, release"), ("variants", "name")):
        filters = data.shuffled_rows(f"SELECT DISTINCT {columns} FROM {name} ORDER BY {columns}")
        yield Kind(f"`{name}` by {columns}", 40, _asked(f"{_DATABASE}/{name}", filters))
    for name, key in (("sources", "path"), ("targets", "name")):
        keys = data.shuffled(data.values(f"SELECT {key} FROM {name} ORDER BY {key}"))
        yield Kind(f"row of `{name}`", 40, _rows(name, keys))


def _dependencies(data: Data) -> Iterator[Kind]:
    most_needed = data.values(_MOST_NEEDED)
    if not most_needed:
        return
    binaries = [key for key in most_needed if data.values(_IS_BINARY.format(key))]
    others = [key for key in most_needed if key not in binaries]
    hashes = (spec["hash"] for spec in data.specs())
    yield Kind("spec, of the 100 most needed", 40, _rows("specs", iter(binaries)))
    yield Kind("node, of the 100 most needed", 40, _rows("nodes", iter(others)))
    yield Kind("a level of a tree", 40, (f"/-/dependencies/{key}" for key in hashes))
    yield Kind(
        "two specs of a package compared", 60, _asked("/-/compare", data.shuffled_rows(_PAIRS))
    )
    for ending in ("json", "txt"):
        compared = _asked(f"/-/compare.{ending}", data.shuffled_rows(_PAIRS))
        yield Kind(f"two specs of a package compared, {ending}", 60, compared)
    name = "`specs` with its facets, of what needs"
    packages = data.values(_NEEDED_PACKAGES)
    for sigil, way in (("^", "to the end"), ("%", "directly")):
        needs = [[("_needs", f"{sigil}{package}")] for package in packages]
        yield Kind(f"{name} a package {way}", 200, _asked(_SPECS, iter(needs)))
    needed = ([("_needed_by", spec["hash"])] for spec in data.specs())
    yield Kind("`specs` with its facets, of what a spec needs to run", 200, _asked(_SPECS, needed))


def _systems(data: Data) -> Iterator[Kind]:
    yield Kind("systems", 40, _asked("/systems", data.shuffled_rows(_MACHINES)))
    yield Kind("system", 40, _system_pages(data, _SYSTEMS))
    yield Kind("system, searched", 40, _system_pages(data, _SYSTEMS, q="py"))
    yield Kind("system, CSV", 40, _system_pages(data, _SYSTEMS, ".csv"))
    yield Kind(
        "how many packages run on a system",
        20,
        (f"/systems.json?{urlencode(pairs)}" for pairs in data.shuffled_rows(_SYSTEMS)),
    )


def _system_pages(data: Data, sql: str, form: str = "", **others: str) -> Iterator[str]:
    for (_, os), *pairs in data.shuffled_rows(sql):
        yield f"/systems/{tilde_encode(os)}{form}?{urlencode([*pairs, *others.items()])}"


_MACHINES = """
    SELECT DISTINCT target AS machine, name AS "release" FROM releases, target_compatibility
"""
_SYSTEMS = """
    SELECT os, target_compatibility.target AS machine, name AS "release"
    FROM releases, (SELECT DISTINCT os, target FROM specs) AS built
    JOIN target_compatibility ON runs = built.target
"""
_MOST_NEEDED = """
    SELECT dependency FROM dependencies GROUP BY dependency ORDER BY count(*) DESC LIMIT 100
"""
_IS_BINARY = "SELECT 1 FROM specs WHERE hash = '{}'"
_NEEDED_PACKAGES = """
    SELECT package FROM dependencies JOIN specs ON hash = dependency
    GROUP BY package ORDER BY count(*) DESC, package LIMIT 200
"""
_PAIRS = """
    SELECT a.hash AS a, b.hash AS b FROM specs AS a JOIN specs AS b ON b.rowid = a.rowid + 1
    WHERE a.package = b.package AND a.rowid % 50 = 0 LIMIT 1000
"""


def _faceted(data: Data) -> Iterator[Kind]:
    name = "`specs` with its facets"
    of_packages = ([("package", package)] for package in data.shuffled(data.packages))
    yield Kind(name, 200, _visits(f"{_SPECS}?_size=50"), naive=_FIVE_FACETS)
    yield Kind(f"{name}, a package", 200, _asked(_SPECS, of_packages), naive=_FIVE_FACETS)
    in_releases = (
        [("package", spec["package"]), *releases]
        for spec, releases in zip(data.specs(), data.filters(["releases"], 1), strict=False)
    )
    yield Kind(f"{name}, a package in a release", 200, _asked(_SPECS, in_releases))
    by_column, by_array = data.filters(_COLUMNS, 1), data.filters(_ARRAYS[:2], 1)
    yield Kind(f"{name}, one column", 200, _asked(_SPECS, by_column), naive=_FIVE_FACETS)
    yield Kind(f"{name}, one array", 200, _asked(_SPECS, by_array))
    for number in (2, 3):
        filters = data.filters((*_COLUMNS, *_ARRAYS[:2]), number)
        yield Kind(f"{name}, {number} filters", 200, _asked(_SPECS, filters))
    through = (
        [("_through", json.dumps({"table": "spec_variants", "column": "variant", "value": value}))]
        for value in data.shuffled(data.variants)
    )
    yield Kind(f"{name}, `_through` a variant", 200, _asked(_SPECS, through), naive=_FIVE_FACETS)
    yield Kind(f"{name} and variants", 1000, _visits(ALL_FACETS))
    for number in (1, 2):
        filters = data.filters((*_COLUMNS, *_ARRAYS), number)
        yield Kind(f"{name} and variants, filters: {number}", 1000, _asked(ALL_FACETS, filters))


def _searches(data: Data) -> Iterator[Kind]:
    def for_specs(
        address: str, parameter: str, words: Callable[[sqlite3.Row], str]
    ) -> Iterator[str]:
        return _asked(address, ([(parameter, words(spec))] for spec in data.specs()))

    def part(spec: sqlite3.Row) -> str:
        package: str = spec["package"]
        return package[len(package) // 3 :][:5]

    def words(spec: sqlite3.Row) -> str:
        return f"{spec['package']} {spec['os']}"

    find = "/-/find"
    yield Kind("find: a package", 40, for_specs(find, "q", lambda spec: str(spec["package"])))
    yield Kind("find: part of a name", 40, for_specs(find, "q", part))
    yield Kind("find: words of a spec", 40, for_specs(find, "q", words))
    yield Kind("find: part of a hash", 40, for_specs(find, "q", lambda spec: spec["hash"][:9]))
    some = for_specs("/-/suggest", "q", lambda spec: str(spec["package"])[:4])
    yield Kind("suggestions", 20, some)
    machine = for_specs(_SPECS, "_runs_on", lambda spec: str(spec["target"]))
    yield Kind("`specs` that run on a machine", 40, machine)
    nothing = ([("package", spec["package"]), ("os", "nonesuch")] for spec in data.specs())
    yield Kind("`specs` without rows", 40, _asked(_SPECS, nothing))
    packages, specs = f"{_DATABASE}/packages", f"{_SPECS}?_nofacet=1"
    yield Kind("`packages`, searched", 40, for_specs(packages, "_search", part))
    yield Kind("`specs` without facets, searched", 40, for_specs(specs, "_search", words), naive="")


def _exports(data: Data) -> Iterator[Kind]:
    hashes = (spec["hash"] for spec in data.specs())
    yield Kind("JSON of a row of `specs`", 10, _rows("specs", hashes, ".json"), naive="")
    for number, limit in ((100, 10), (1000, None)):
        rows = f"{_SPECS}.json?_nofacet=1&_size={number}"
        after = ([("_next", spec["hash"])] for spec in data.specs())
        name = f"JSON of {number} rows of `specs`, no facets"
        yield Kind(name, limit, _asked(rows, after), naive="")
    packages = data.values("SELECT name FROM packages ORDER BY abs(num_specs - 100), name")
    for ending in ("install", "spack_yaml", "hashes"):
        of_package = ([("package", package)] for package in packages)
        name = f"{ending} of a package's specs, about 100"
        yield Kind(name, None, _asked(f"{_SPECS}.{ending}", of_package))


def _queries(data: Data, metadata: Mapping[str, Any]) -> Iterator[Kind]:
    described = metadata["plugins"]["queries"]["parameters"]
    for name, query in metadata["queries"].items():
        address = f"{_DATABASE}/{name}"
        parameters = data.parameters(query["params"], described)
        yield Kind(f"query `{name}`", 1000, _visits(address))
        yield Kind(f"query `{name}` with parameters", 1000, _asked(address, parameters))


def _charts(dashboards: Mapping[str, Any]) -> Iterator[Kind]:
    for slug, dashboard in dashboards.items():
        yield Kind(f"charts `{slug}`", 40, _visits(f"/-/dashboards/{slug}"))
        for name, chart in dashboard["charts"].items():
            if "query" in chart:
                sql = quote(chart["query"], safe="")
                address = f"/{chart['db']}.json?sql={sql}&_shape=objects"
                yield Kind(f"data of chart `{name}`", 1000, _visits(address))
