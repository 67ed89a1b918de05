"""Specs by what they depend on: `^openmpi@5`, `%c=gcc`, `^mpi`.

`_needs` filters the table of specs by a dependency in Spack's syntax; given twice, by both.
`_needed_by` with a hash finds that spec and all that it links with or needs to run, to the end:

    /spack-cache/specs?_needs=^openmpi@5&_needs=^zlib-ng
    /spack-cache/specs?_needed_by=t5j5f4nrsz3bxsdtry43izdjflxo5rpb

SQL can ask too: `needs(specs.rowid, '^openmpi@5')` is 1 or 0, and `needs_rows('^openmpi@5')` a JSON
array of the rowids.

What satisfies a dependency is Spack's own rule (`Spec.satisfies` of Spack 1): `^` is anywhere below
the spec by links and needs to run, or a direct dependency to build; `%` a direct one for whatever
purpose, and the compiler of a spec from before Spack 1.0, which has it as a fact. Of externals and
of what has no binary only package, version and hash are known, so they satisfy nothing else.
"""

import functools
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3
from datasette.views.base import DatasetteError
from pyroaring import BitMap

from etl.order import satisfies
from etl.spelling import variant_values
from web.immutable.plugin_filters import PluginFilter, PluginFilters
from web.immutable.sql_turns import running_job
from web.spack.graph import Graph, graph_of, known_graph
from web.spack.names import DAG_HASH, DATABASE, HASH_LENGTH, OTHER_NODES, SHORT_HASH
from web.spack.syntax import (
    MOST_CHARACTERS,
    Need,
    Sought,
    is_read_whole,
    names_of_compiler,
    parse,
)
from web.spack.targets import meant, read_targets

MOST_KEPT = 64
"""So many answers are kept; one has some 50 kB at most."""

FEW_ROWS = 5_000
"""So few rows SQL takes by their numbers; more of them it meets soon enough in the page's order."""

LANGUAGES = ("c", "cxx", "fortran")
"""What a compiler provides to the specs of Spack 1.0 and newer."""

VERSIONS_SQL = "select distinct value from packages, json_each(versions) where ? in ('', name)"

COMPILERS_SQL = """
    select distinct listed.value from packages, json_each(compilers) as listed
    where exists (
        select 1 from json_each(:names) as name
        where substr(listed.value, 1, length(name.value) + 1) = name.value || '@'
    )
"""

NO_OTHER_SQL = """
    not exists (
        select 1 from spec_variants join variants using (variant)
        where spec = specs.hash and variants.name = ?
            and variant not in (select value from json_each(?))
    )
"""
"""Whether a spec has no other values of a variant than some."""

OTHERS_SQL = f"""
    select hash, version from {OTHER_NODES}
    where :package in ('', package)
        and hash >= :start and hash < :start || '{{'
"""

BELOW_SQL = """
    with recursive below(hash) as (
        select {}
        union
        select dependency from below cross join dependencies on spec = below.hash
        where link or run
    )
    select hash from below
"""
"""A spec, and all that it links with or needs to run; `union` ends what a damaged file has in
circles."""


class MeaninglessError(DatasetteError):  # type: ignore[misc]
    """What a dependency is searched for by has no meaning; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=400)


class Needs:
    """The specs that depend on something.

    Args:
        path: The database.
        graph: Its dependencies.
    """

    def __init__(self, path: Path, graph: Graph) -> None:
        self._path = path
        self._graph = graph
        self._kept: OrderedDict[tuple[Need, ...], BitMap] = OrderedDict()
        self._lock = Lock()

    def rows(self, needs: Sequence[Need]) -> BitMap:
        """Return the rows of the specs that have all of these dependencies.

        Raises:
            MeaninglessError: one cannot be told.
        """
        key = tuple(needs)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        rows = self._graph.binaries(self._all(needs))
        with self._lock:
            self._kept[key] = rows
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return rows

    def _all(self, needs: Sequence[Need]) -> BitMap:
        # One of Datasette's connections is busy with the statement that asks.
        uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            users = [self._users(connection, need) for need in needs]
            return BitMap.intersection(*users)

    def _users(self, connection: sqlite3.Connection, need: Need) -> BitMap:
        """Return all nodes that have a dependency."""
        nodes = self._nodes(connection, need.node)
        if nodes or need.name not in self._graph.virtuals:
            found = self._having(nodes, need.virtuals, is_direct=need.is_direct)
            return found | self._built_with(connection, need) if need.is_direct else found
        if not need.is_anything:
            raise MeaninglessError(
                f"{need.name} is a virtual, and no source tells which versions or variants of it a"
                f" package provides: search for the package, as in ^{need.name}=PACKAGE@VERSION."
            )
        return self._having(None, (*need.virtuals, need.name), is_direct=need.is_direct)

    def _having(self, nodes: BitMap | None, virtuals: Sequence[str], *, is_direct: bool) -> BitMap:
        if is_direct:
            return self._graph.needing(nodes, virtuals=virtuals)
        return self._graph.users(nodes, virtuals)

    def _built_with(self, connection: sqlite3.Connection, need: Need) -> BitMap:
        """Return the specs that have a compiler as a fact and not as a dependency."""
        versions = need.node.versions
        if need.node._replace(words=(), versions=()) != Sought():
            return BitMap()
        names = json.dumps(names_of_compiler(need.name))
        compilers = [
            compiler
            for (compiler,) in connection.execute(COMPILERS_SQL, {"names": names})
            if _fits(compiler.rpartition("@")[2], versions)
        ]
        rows = _numbers(
            connection.execute(
                "select rowid from specs where compiler in (select value from json_each(?))",
                [json.dumps(compilers)],
            )
        )
        for language in LANGUAGES:
            rows -= self._graph.needing(None, virtuals=(language,))
        return rows

    def _nodes(self, connection: sqlite3.Connection, node: Sought) -> BitMap:
        """Return the nodes that are as a text says."""
        if len(node.words) > 1 or not (node.words or node.hashes):
            raise MeaninglessError(
                f"Say which package a dependency is of, and one at a time: “{node}” is none."
            )
        found = self._binaries(connection, node)
        for need in node.needs:
            found &= self._users(connection, need)
        if node._replace(words=(), versions=(), hashes=()) == Sought():
            found |= self._others(connection, node)
        return found

    def _binaries(self, connection: sqlite3.Connection, node: Sought) -> BitMap:
        clauses, values = ["1"], list[str]()
        if node.words:
            clauses.append("package = ?")
            values.append(node.words[0])
        if node.versions:
            listed = connection.execute(VERSIONS_SQL, node.words or ("",))
            fitting = [version for (version,) in listed if _fits(version, node.versions)]
            clauses.append("version in (select value from json_each(?))")
            values.append(json.dumps(fitting))
        for column, value in node.columns:
            listed = [value]
            if column == "target":
                listed = sorted(meant(value, read_targets(connection)))
            clauses.append(f"lower({column}) in (select value from json_each(?))")
            values.append(json.dumps([each.lower() for each in listed]))
        for clause, parameters in _variant_clauses(node):
            clauses.append(clause)
            values.extend(parameters)
        for start in node.hashes:
            clauses.append("hash >= ? and hash < ? || '{'")
            values.extend([start.lower()] * 2)
        sql = f"select rowid from specs where {' and '.join(clauses)}"
        return _numbers(connection.execute(sql, values))

    def _others(self, connection: sqlite3.Connection, node: Sought) -> BitMap:
        package = node.words[0] if node.words else ""
        start, *more = [each.lower() for each in node.hashes] or [""]
        others = connection.execute(OTHERS_SQL, {"package": package, "start": start})
        return BitMap(
            self._graph.others[key]
            for key, version in others
            if (not node.versions or (version is not None and _fits(version, node.versions)))
            and all(key.startswith(each) for each in more)
        )


def needs_in(text: str) -> Sequence[Need]:
    """Return the dependencies that a text names.

    Raises:
        MeaninglessError: it names none, or has something else in it.
    """
    sought = parse(text)
    if not is_read_whole(text) or not sought.needs or any(sought[:-1]):
        raise MeaninglessError(
            f"“{text[:MOST_CHARACTERS]}” is no dependency in Spack's syntax. Such as these are:"
            f" ^openmpi@5, ^hdf5+mpi, %c=gcc, ^mpi; with at most {MOST_CHARACTERS} characters."
        )
    return sought.needs


def _variant_clauses(node: Sought) -> Iterator[tuple[str, Sequence[str]]]:
    """Return conditions in SQL for the variants of a node, and their parameters."""
    exactly = [variant_values(variant) for variant in node.exactly]
    each = [value.variant for values in exactly for value in values]
    for variant in (*node.flags, *node.values, *each):
        yield "hash in (select spec from spec_variants where variant = ?)", [variant]
    for values in exactly:
        listed = json.dumps([value.variant for value in values])
        yield NO_OTHER_SQL, [values[0].name, listed]


def _fits(version: str, constraints: Iterable[str]) -> bool:
    return all(satisfies(version, constraint) for constraint in constraints)


def _numbers(rows: Iterable[Sequence[int]]) -> BitMap:
    return BitMap([row[0] for row in rows])


_needs: WeakKeyDictionary[Datasette, Needs] = WeakKeyDictionary()


def needs_with(datasette: Datasette, graph: Graph) -> Needs:
    """Return what tells which specs of a site depend on something.

    Args:
        datasette: The site.
        graph: Its dependencies.
    """
    if datasette not in _needs:
        _needs[datasette] = Needs(Path(datasette.get_database(DATABASE).path), graph)
    return _needs[datasette]


def needed_graph(datasette: Datasette) -> Graph:
    """Return the dependencies of a site, waiting for them.

    Raises:
        MeaninglessError: the server does not keep them.
    """
    return _needed(known_graph(datasette))


def _needed(graph: Graph | None) -> Graph:
    if graph is None:
        raise MeaninglessError(
            "What depends on what is known only where the database cannot change: start Datasette"
            " with --immutable."
        )
    return graph


async def needs_of(datasette: Datasette) -> Needs:
    """Return what tells which specs of a site depend on something, once it can.

    Raises:
        DatasetteError: the server does not keep the dependencies.
    """
    return needs_with(datasette, _needed(await graph_of(datasette)))


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str, datasette: Datasette) -> None:
    """Give SQL the functions `needs` and `needs_rows`."""
    if database != DATABASE:
        return

    # A query asks for each of its rows, and hardly ever for two things.
    @functools.lru_cache(maxsize=2)
    def rows(text: str) -> BitMap:
        return needs_with(datasette, needed_graph(datasette)).rows(needs_in(text))

    def needs(rowid: object, text: object) -> bool:
        # SQL knows no types of arguments, and bitmaps no other numbers.
        return isinstance(rowid, int) and 0 <= rowid < 2**32 and rowid in rows(str(text))

    def needs_rows(text: object) -> str:
        return json.dumps(rows(str(text)).to_array().tolist())

    for function in (needs, needs_rows):
        number = function.__code__.co_argcount
        conn.create_function(function.__name__, number, explaining(function), deterministic=True)


def explaining(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for SQL that is NULL where an argument is, as SQL's own mostly are.

    Its `DatasetteError` is what the query ends in: of an error of a function SQLite tells only that
    there was one.
    """

    @functools.wraps(function)
    def explained(*arguments: Any) -> Any:
        if None in arguments:
            return None
        try:
            return function(*arguments)
        except DatasetteError as error:
            if job := running_job():
                job.refuse(sqlite3.OperationalError(str(error)))
                return None
            raise

    return explained


@hookimpl  # type: ignore[untyped-decorator]
def filters_from_request(
    request: Request, database: str, table: str, datasette: Datasette
) -> Callable[[], Any] | None:
    """Filter the table of specs by `_needs` and `_needed_by`."""
    if database != DATABASE or table != "specs":
        return None
    texts, keys = request.args.getlist("_needs"), request.args.getlist("_needed_by")
    if not texts and not keys:
        return None

    async def filters() -> PluginFilters:
        db = datasette.get_database(DATABASE)
        needs = await needs_of(datasette) if texts else None
        found = [await _needing(db, needs, *each) for each in enumerate(texts) if needs]
        found += [await _needed_by(db, *each) for each in enumerate(keys)]
        return PluginFilters(found)

    return filters


async def _needing(db: Database, needs: Needs, number: int, text: str) -> PluginFilter:
    wanted = needs_in(text)
    rows = await db.execute_fn(lambda _: needs.rows(wanted))
    name = f"needs{number}"
    clause = (
        f"specs.rowid in (select value from json_each(needs_rows(:{name})))"
        if len(rows) <= FEW_ROWS
        else f"needs(specs.rowid, :{name})"
    )
    return PluginFilter(("_needs", text), f"depends on {text}", clause, name, text, rows)


async def _needed_by(db: Database, number: int, text: str) -> PluginFilter:
    key, name = _hash(text), f"needed_by{number}"
    clause = f"specs.hash in ({BELOW_SQL.format(f':{name}')})"
    rows = await _rows_below(db, key)
    words = f"is needed to run /{key[:SHORT_HASH]}"
    return PluginFilter(("_needed_by", text), words, clause, name, key, rows)


async def needed_rows(datasette: Datasette, text: str) -> BitMap:
    """Return the rows of a spec and of all that it needs to run.

    Args:
        datasette: Where the table is served.
        text: The spec's hash.

    Raises:
        MeaninglessError: it is none.
    """
    return await _rows_below(datasette.get_database(DATABASE), _hash(text))


async def _rows_below(db: Database, key: str) -> BitMap:
    sql = f"select rowid from specs where hash in ({BELOW_SQL.format(':key')})"
    rows: BitMap = await db.execute_fn(
        lambda connection: _numbers(connection.execute(sql, {"key": key}))
    )
    return rows


def _hash(text: str) -> str:
    key = text.strip().lower().removeprefix("/")
    if not DAG_HASH.fullmatch(key):
        raise MeaninglessError(
            f"_needed_by takes a hash of {HASH_LENGTH} characters, not “{text}”."
        )
    return key
