"""What a spec's page says beside its row: where it is, how to install it, and its twins."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_decode
from datasette.utils.asgi import Request

from web.spack.names import DATABASE

TEMPLATE = "row-spack-cache-specs.html"

HELD_SQL = """
    select releases.name, releases.mirror, spec_releases.tarball, (
        select json_group_array(stack) from spec_stacks
        where spec = spec_releases.spec and release = releases.name
    ) as stacks
    from spec_releases join releases on releases.name = spec_releases.release
    where spec = :hash order by releases.position
"""

ALIKE_SQL = """
    select hash, variants, stacks, releases from specs
    where (package, version, compiler, os, platform, target) = (
        select package, version, compiler, os, platform, target from specs where hash = :hash
    ) and hash != :hash order by hash
"""

SHELL_SAFE = re.compile(r"[\w@%+~=:.,/' -]+", re.ASCII)
"""What a shell takes as it is, or, inside of quotes, takes away."""


class Held(NamedTuple):
    """A release that has the spec.

    Attributes:
        release: Its name.
        mirror: The address of its build cache.
        tarball: The address of the binary, where the page tells it.
        stacks: The stacks of the release that hold the spec, sorted.
    """

    release: str
    mirror: str
    tarball: str | None
    stacks: list[str]


class Twin(NamedTuple):
    """Another spec that is the same in all but its hash.

    Attributes:
        hash: Its hash.
        stacks: The stacks that hold it in any release.
        releases: The releases that have it, newest first.
    """

    hash: str
    stacks: list[str]
    releases: list[str]


class SpecPage(NamedTuple):
    """What is known of a spec.

    Attributes:
        row: Its row of `specs`.
        variants: Its variants.
        to_copy: The spec in one line, quoted if a shell would act on it.
        quoted: Whether it is.
        held: The releases that have it, newest first.
        twins: The specs that differ from it in nothing that is known but the hash.
    """

    row: Mapping[str, Any]
    variants: list[str]
    to_copy: str
    quoted: bool
    held: list[Held]
    twins: list[Twin]


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    template: str, request: Request, datasette: Datasette
) -> dict[str, SpecPage] | Callable[[], Awaitable[dict[str, SpecPage]]]:
    """Give the page of a spec its `spec`."""
    if template != TEMPLATE:
        return {}

    async def variables() -> dict[str, SpecPage]:
        db = datasette.get_database(DATABASE)
        return {"spec": await spec_page(db, tilde_decode(request.url_vars["pks"]))}

    return variables


async def spec_page(db: Database, spec: str) -> SpecPage:
    """Return what is known of the spec with this hash, which must be in the database."""
    row = (await db.execute("select * from specs where hash = :hash", {"hash": spec})).first()
    held = [
        Held(release, mirror, tarball, sorted(json.loads(stacks)))
        for release, mirror, tarball, stacks in await db.execute(HELD_SQL, {"hash": spec})
    ]
    safe = SHELL_SAFE.fullmatch(row["spec"]) and row["spec"].count("'") % 2 == 0
    return SpecPage(
        row=dict(row),
        variants=json.loads(row["variants"]),
        to_copy=row["spec"] if safe else shlex.quote(row["spec"]),
        quoted=not safe,
        held=held,
        twins=await _twins(db, spec, row["variants"]),
    )


async def _twins(db: Database, spec: str, variants: str) -> list[Twin]:
    # Pages list variants in different orders.
    same = set(json.loads(variants))
    return [
        Twin(alike["hash"], json.loads(alike["stacks"]), json.loads(alike["releases"]))
        for alike in await db.execute(ALIKE_SQL, {"hash": spec})
        if set(json.loads(alike["variants"])) == same
    ]
