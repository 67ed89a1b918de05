"""Rows as input for Spack: `.install` (commands) and `.spack_yaml` (an environment).

Both are there for every table, row and query of the database that has a column `hash` (or
`spec`) of DAG hashes. They hold the specs of all rows of a filter, not of one page of them, or
refuse if these are too many. Each spec comes from the mirror of the newest release that has it.

In an environment a spec is `<package>/<hash>`: with `unify: false` Spack takes no hash alone,
and without it no two specs of one package.

Metadata can set the bound:

    plugins:
      formats:
        max_specs: 500
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted
from datasette.utils import escape_sqlite, path_with_removed_args
from datasette.utils.asgi import Request

from etl.mirrors import PUBLIC_CACHE
from etl.schema import DEPENDENCIES, NODES
from web.spack.commands import TRUST, add_mirror
from web.spack.commands import install as install_command
from web.spack.names import DAG_HASH, DATABASE

MAX_SPECS = 1000
"""How many specs one answer has at most, unless metadata says otherwise."""

PACKAGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
"""What Spack allows as the name of a package. Other names are never written."""

SPECS_SQL = """
    select specs.hash, specs.package, releases.name as "release", releases.mirror,
        min(releases.position) as position
    from json_each(:hashes) as wanted
    cross join specs on specs.hash = wanted.value
    cross join spec_releases on spec_releases.spec = specs.hash
    cross join releases on releases.name = spec_releases."release"
    group by specs.hash order by specs.package, specs.hash
"""

OF_NODES = {NODES.name, DEPENDENCIES.name}
"""Tables with hashes of more than specs."""

PUBLIC = f"{PUBLIC_CACHE}/"
"""How the addresses of mirrors of Spack's own build cache begin."""

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


class RefusedError(Exception):
    """There is no such answer; the message says why, and what to do instead."""


@hookimpl  # type: ignore[untyped-decorator]
def register_output_renderer() -> list[dict[str, Any]]:
    """Offer the two formats."""
    return [
        {"extension": "install", "render": install, "can_render": can_render},
        {"extension": "spack_yaml", "render": spack_yaml, "can_render": can_render},
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
    headers = {"content-disposition": 'inline; filename="install.sh"'}
    return await _answer(datasette, request, data, view_name, install_script, headers)


async def spack_yaml(
    datasette: Datasette, request: Request, data: Mapping[str, Any], view_name: str
) -> Answer:
    """Answer with an environment that holds the specs, to be saved as spack.yaml."""
    headers = {"content-disposition": 'attachment; filename="spack.yaml"'}
    return await _answer(datasette, request, data, view_name, environment, headers)


def install_script(specs: Sequence[Spec]) -> str:
    """Return the shell commands that install specs."""
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Installs {_count(specs)} from {_caches(specs)}.",
            "# A mirror that is there already is reported and does no harm.",
            *(add_mirror(name, url) for name, url in _mirrors(specs)),
            TRUST,
            *(install_command(spec.hash) for spec in specs),
            "",
        ]
    )


def environment(specs: Sequence[Spec]) -> str:
    """Return the text of a spack.yaml that holds specs.

    Every text from the database is a JSON string, which YAML reads as it is meant.
    """
    return "\n".join(
        [
            f"# {_count(specs)} of {_caches(specs)}. In the folder of this file:",
            "#   spack -D . buildcache keys --install --trust",
            "#   spack -D . install --cache-only",
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


def _caches(specs: Sequence[Spec]) -> str:
    is_public = all(spec.mirror.startswith(PUBLIC) for spec in specs)
    return "Spack's public build cache" if is_public else "build caches of Spack"


def _mirrors(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Return the names and addresses of the specs' mirrors, newest release first."""
    mirrors = {(spec.position, spec.release, spec.mirror) for spec in specs}
    return [(name, url) for _, name, url in sorted(mirrors)]


async def _answer(
    datasette: Datasette,
    request: Request,
    data: Mapping[str, Any],
    view_name: str,
    write: Callable[[Sequence[Spec]], str],
    headers: dict[str, str],
) -> Answer:
    if "_next" in request.args:
        first_page = path_with_removed_args(request, {"_next"})
        return {"body": "", "status_code": 302, "headers": {"location": first_page}}
    try:
        specs = await _specs(datasette, data, view_name)
    except RefusedError as refusal:
        return {"body": f"{refusal}\n", "content_type": TEXT, "status_code": 400}
    return {"body": write(specs), "content_type": TEXT, "headers": headers}


async def _specs(datasette: Datasette, data: Mapping[str, Any], view_name: str) -> list[Spec]:
    """Return the specs of all rows, sorted by package and hash.

    Raises:
        RefusedError: there are none, too many, or these are rows of something else.
    """
    if data["database"] != DATABASE or data.get("error"):
        raise RefusedError(data.get("error") or "No specs are in this database.")
    if "columns" not in data:
        raise RefusedError(f"No SQL was given. An example: ?sql={EXAMPLE}")
    column = _hash_column(data["columns"])
    if column is None:
        raise RefusedError("These rows have no column hash.")
    config = datasette.plugin_config("formats") or {}
    most = config.get("max_specs", MAX_SPECS)
    db = datasette.get_database(DATABASE)
    # The view of a canned query has the name of a table's.
    is_table = view_name == "table" and "table" in data
    if is_table:
        hashes = await _of_all_pages(db, data, column, most)
    else:
        hashes = {_value(row[column]) for row in data["rows"]}
    if not hashes:
        raise RefusedError("No specs were found.")
    if len(hashes) > most or (data.get("truncated") and not is_table):
        raise RefusedError(
            f"These are more than {most:,} specs, too many for one file. "
            "Filter by package, version, os, target, stack or release, and try again."
        )
    return await _newest(db, hashes)


async def _of_all_pages(
    db: Database, data: Mapping[str, Any], column: str, most: int
) -> set[object]:
    """Return the different values of a column in a table's rows: all, or one more than `most`."""
    sql, _, _ = data["query"]["sql"].rpartition(" limit ")
    try:
        rows = await db.execute(
            # The SQL can end in a comment.
            f"select distinct {escape_sqlite(column)} from ({sql}\n) limit {most + 1}",
            data["query"]["params"],
        )
    except QueryInterrupted as interrupted:
        raise RefusedError("It took too long to find all rows. Filter more.") from interrupted
    return {row[0] for row in rows}


async def _newest(db: Database, hashes: Collection[object]) -> list[Spec]:
    if not all(_is_hash(value) for value in hashes):
        raise RefusedError("Not all rows have the hash of a spec.")
    found = await db.execute(SPECS_SQL, {"hashes": json.dumps(list(hashes))})
    specs = [Spec(*row) for row in found]
    if len(specs) < len(hashes):
        raise RefusedError("Not all hashes are of specs in this database.")
    return specs


def _hash_column(columns: Sequence[str]) -> str | None:
    return next((column for column in ("hash", "spec") if column in columns), None)


def _value(cell: object) -> object:
    """Return a cell's value; a foreign key with a label is a pair."""
    return cell["value"] if isinstance(cell, Mapping) else cell


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(DAG_HASH.fullmatch(value))
