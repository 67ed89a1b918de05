"""Rows as input for Spack: `.install` (commands), `.spack_yaml` (an environment), `.hashes`.

They are there for every table, row and query of the database that has a column `hash` (or
`spec`) of DAG hashes. They hold the specs of all rows, not of one page of them or of the first
thousand, or refuse if these are too many. Of dependencies that are no binaries nothing is written
but that they were left out. In commands and environments each spec comes from the mirror of the
newest release that has it.

In an environment a spec is `<package>/<hash>`: with `unify: false` Spack 0.22 takes no hash alone,
and without it none takes two specs of one package.

A list of hashes has no other line: where Spack reads a file of specs (`spack mirror create --file`)
it knows no comments.

Metadata can set the bounds:

    plugins:
      formats:
        max_specs: 500      # of commands, and of an environment
        max_hashes: 10000
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils import escape_sqlite, path_with_removed_args
from datasette.utils.asgi import Request
from datasette.utils.sqlite import sqlite3

from etl.mirrors import PUBLIC_CACHE
from etl.schema import DEPENDENCIES, NODES
from web.spack.commands import TRUST, add_mirror
from web.spack.commands import install as install_command
from web.spack.names import DAG_HASH, DATABASE

MAX_SPECS = 1000
"""How many specs commands or an environment have at most, unless metadata says otherwise."""

MAX_HASHES = 300_000
"""The same for a list of hashes. They are the result of one query, which has a bound in bytes
(`web.immutable.limits.RESULT_BYTES`)."""

PACKAGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
"""What Spack allows as the name of a package. Other names are never written."""

HASHES_SQL = """
    select wanted.hash, specs.hash is not null,
        specs.hash is null and exists (select 1 from nodes where nodes.hash = wanted.hash)
    from (select distinct {column} as hash from ({sql}
    )) as wanted
    left join specs on specs.hash = wanted.hash
    order by specs.package, wanted.hash limit {most}
"""
"""The hashes of all rows, whether they are of specs, and whether of other nodes; those that are of
no specs come first."""

ROWS_SQL = "select value as {column} from json_each(:hashes)"

SPECS_SQL = f"""
    select specs.hash, specs.package, releases.name as "release", releases.mirror,
        min(releases.position) as position
    from ({ROWS_SQL.format(column="hash")}) as wanted
    cross join specs on specs.hash = wanted.hash
    cross join spec_releases on spec_releases.spec = specs.hash
    cross join releases on releases.name = spec_releases."release"
    group by specs.hash order by specs.package, specs.hash
"""

OF_NODES = {NODES.name, DEPENDENCIES.name}
"""Tables with hashes of more than specs."""

PUBLIC = f"{PUBLIC_CACHE}/"
"""How the addresses of mirrors of Spack's own build cache begin."""

NO_HASH = "Not all rows have the hash of a spec."

EXAMPLE = "select+hash+from+specs+where+package='hdf5'"

TEXT = "text/plain; charset=utf-8"

Answer = dict[str, Any]
"""Datasette's form of an answer: body, content_type, status_code, headers."""


class Spec(NamedTuple):
    """A spec to install, and the newest release that has it."""

    hash: str
    package: str
    release: str
    mirror: str
    position: int

    @property
    def name(self) -> str:
        """The spec as Spack finds it: by package and hash."""
        package = self.package if PACKAGE.fullmatch(self.package) else ""
        return f"{package}/{self.hash}"


class Hashes(NamedTuple):
    """What all rows hold.

    Attributes:
        specs: The hashes of specs, sorted by package and hash.
        left_out: How many others are of dependencies that are no binaries.
    """

    specs: Sequence[str]
    left_out: int


class RefusedError(Exception):
    """There is no such answer; the message says why, and what to do instead."""


class Rows(NamedTuple):
    """What Datasette gives a format to write: often the first rows only."""

    datasette: Datasette
    data: Mapping[str, Any]
    view_name: str

    def query(self, column: str) -> tuple[str, Mapping[str, Any]]:
        """Return SQL that gives all rows, or at least this column of them, and its parameters.

        Raises:
            RefusedError: not all are hashes.
        """
        query = self.data.get("query")
        # The view of a canned query has the name of a table's.
        if query and self.view_name == "table" and "table" in self.data:
            return query["sql"].rpartition(" limit ")[0], query["params"]
        if query and self.data.get("truncated"):
            # As a part of another query it can end in a comment, but not in a semicolon.
            return query["sql"].rstrip("; \r\n\t"), query["params"]
        values = [_value(row[column]) for row in self.data["rows"]]
        if not all(_is_hash(value) for value in values):  # JSON knows no bytes
            raise RefusedError(NO_HASH)
        return ROWS_SQL.format(column=escape_sqlite(column)), {"hashes": json.dumps(values)}


@hookimpl  # type: ignore[untyped-decorator]
def register_output_renderer() -> list[dict[str, Any]]:
    """Offer the three formats."""
    return [
        {"extension": "install", "render": install, "can_render": can_render},
        {"extension": "spack_yaml", "render": spack_yaml, "can_render": can_render},
        {"extension": "hashes", "render": hashes, "can_render": can_render},
    ]


def can_render(
    database: str, table: str | None, columns: Sequence[str], rows: Sequence[Any]
) -> bool:
    """Tell whether these are rows of specs."""
    column = _hash_column(columns)
    if database != DATABASE or table in OF_NODES:
        return False
    return bool(column and rows) and _is_hash(_value(rows[0][column]))


async def install(
    datasette: Datasette, request: Request, data: Mapping[str, Any], view_name: str
) -> Answer:
    """Answer with a shell script that installs the specs."""
    rows = Rows(datasette, data, view_name)
    headers = {"content-disposition": 'inline; filename="install.sh"'}
    return await _answer(request, rows, _commands, headers)


async def spack_yaml(
    datasette: Datasette, request: Request, data: Mapping[str, Any], view_name: str
) -> Answer:
    """Answer with an environment that holds the specs, to be saved as spack.yaml."""
    rows = Rows(datasette, data, view_name)
    headers = {"content-disposition": 'attachment; filename="spack.yaml"'}
    return await _answer(request, rows, _environment, headers)


async def hashes(
    datasette: Datasette, request: Request, data: Mapping[str, Any], view_name: str
) -> Answer:
    """Answer with the hashes of the specs, one a line, as the commands of Spack take them."""
    rows = Rows(datasette, data, view_name)
    headers = {"content-disposition": 'inline; filename="hashes.txt"'}
    return await _answer(request, rows, _list, headers)


def install_script(specs: Sequence[Spec], left_out: int = 0) -> str:
    """Return the shell commands that install specs.

    Args:
        specs: The specs.
        left_out: How many others are no binaries.
    """
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Installs {_count(specs)} from {_caches(specs)}.",
            *_left_out(left_out),
            "# A mirror that is there already is reported and does no harm.",
            *(add_mirror(name, url) for name, url in _mirrors(specs)),
            TRUST,
            *(install_command(spec.hash) for spec in specs),
            "",
        ]
    )


def environment(specs: Sequence[Spec], left_out: int = 0) -> str:
    """Return the text of a spack.yaml that holds specs.

    Every text from the database is a JSON string, which YAML reads as it is meant.

    Args:
        specs: The specs.
        left_out: How many others are no binaries.
    """
    return "\n".join(
        [
            f"# {_count(specs)} of {_caches(specs)}. In the folder of this file:",
            "#   spack -D . buildcache keys --install --trust",
            "#   spack -D . install --cache-only",
            *_left_out(left_out),
            "spack:",
            "  specs:",
            *(f"  - {json.dumps(spec.name)}" for spec in specs),
            "  mirrors:",
            *(f"    {json.dumps(name)}: {json.dumps(url)}" for name, url in _mirrors(specs)),
            "  concretizer:",
            "    unify: false",
            "  view: false",
            "",
        ]
    )


def _count(specs: Sequence[Spec]) -> str:
    return f"{len(specs):,} spec{'' if len(specs) == 1 else 's'}"


def _left_out(number: int) -> list[str]:
    if not number:
        return []
    others = "1 dependency that is" if number == 1 else f"{number:,} dependencies that are"
    return [f"# Left out: {others} no binary here, but external or not in any build cache."]


def _caches(specs: Sequence[Spec]) -> str:
    is_public = all(spec.mirror.startswith(PUBLIC) for spec in specs)
    return "Spack's public build cache" if is_public else "build caches of Spack"


def _mirrors(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Return the names and addresses of the specs' mirrors, newest release first."""
    mirrors = {(spec.position, spec.release, spec.mirror) for spec in specs}
    return [(name, url) for _, name, url in sorted(mirrors)]


async def _answer(
    request: Request,
    rows: Rows,
    write: Callable[[Rows], Awaitable[str]],
    headers: dict[str, str],
) -> Answer:
    if "_next" in request.args:
        first_page = path_with_removed_args(request, {"_next"})
        return {"body": "", "status_code": 302, "headers": {"location": first_page}}
    try:
        return {"body": await write(rows), "content_type": TEXT, "headers": headers}
    except RefusedError as refusal:
        return {"body": f"{refusal}\n", "content_type": TEXT, "status_code": 400}


async def _commands(rows: Rows) -> str:
    return install_script(*await _specs(rows))


async def _environment(rows: Rows) -> str:
    return environment(*await _specs(rows))


async def _list(rows: Rows) -> str:
    # Nobody else is answered meanwhile, so it is joined at once, not line by line.
    return "/" + "\n/".join((await _hashes(rows, "max_hashes", MAX_HASHES)).specs) + "\n"


async def _specs(rows: Rows) -> tuple[list[Spec], int]:
    wanted = await _hashes(rows, "max_specs", MAX_SPECS)
    db = rows.datasette.get_database(DATABASE)
    found = await db.execute(SPECS_SQL, {"hashes": json.dumps(wanted.specs)})
    return [Spec(*row) for row in found], wanted.left_out


async def _hashes(rows: Rows, setting: str, default: int) -> Hashes:
    """Return the hashes of all rows.

    Args:
        rows: The rows.
        setting: The name, in metadata, of the bound on their number.
        default: The bound itself, where metadata says nothing.

    Raises:
        RefusedError: there are none, too many, or these are rows of something else.
    """
    data = rows.data
    if data["database"] != DATABASE or data.get("error"):
        raise RefusedError(data.get("error") or "No specs are in this database.")
    if "columns" not in data:
        raise RefusedError(f"No SQL was given. An example: ?sql={EXAMPLE}")
    column = _hash_column(data["columns"])
    if column is None:
        raise RefusedError("These rows have no column hash.")
    most = int((rows.datasette.plugin_config("formats") or {}).get(setting, default))
    found = await _of_all_rows(rows, column, most)
    if not found:
        raise RefusedError("No specs were found.")
    if len(found) > most:
        raise RefusedError(
            f"These are more than {most:,} specs, too many for one file. "
            "Filter by package, version, os, target, stack or release, and try again."
        )
    others = list(takewhile(lambda row: not row[1], found))
    if not all(_is_hash(value) for value, *_ in others):
        raise RefusedError(NO_HASH)
    if not all(is_node for *_, is_node in others):
        raise RefusedError("Not all hashes are of specs in this database.")
    if len(others) == len(found):
        raise RefusedError("None of these has a binary.")
    return Hashes([row[0] for row in found[len(others) :]], len(others))


async def _of_all_rows(rows: Rows, column: str, most: int) -> list[Any]:
    """Return what HASHES_SQL finds: all values of a column, or one more than `most`."""
    sql, parameters = rows.query(column)
    sql = HASHES_SQL.format(column=escape_sqlite(column), sql=sql, most=most + 1)
    try:
        found = await rows.datasette.get_database(DATABASE).execute(sql, parameters)
        return list(found.rows)
    except QueryInterrupted as interrupted:
        raise RefusedError("It took too long to find all rows. Filter more.") from interrupted
    except sqlite3.Error as error:
        raise RefusedError(f"Not all rows could be found: {error}") from error


def _hash_column(columns: Sequence[str]) -> str | None:
    return next((column for column in ("hash", "spec") if column in columns), None)


def _value(cell: object) -> object:
    """Return a cell's value; a foreign key with a label is a pair."""
    return cell["value"] if isinstance(cell, Mapping) else cell


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(DAG_HASH.fullmatch(value))
