"""What a spec's page says beside its row: where it is, how to install it, what it needs, twins."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from datasette.database import Database

from web.spack.commands import spec_words
from web.spack.dependencies import Dependencies, dependencies_of
from web.spack.twins import Explained, explained

HELD_SQL = """
    select releases.name, releases.kind, releases.mirror, releases.layout, spec_releases.tarball, (
        select json_group_array(stack) from spec_stacks
        where spec = spec_releases.spec and release = releases.name
    ) as stacks
    from spec_releases join releases on releases.name = spec_releases.release
    where spec = :hash order by releases.position
"""

KIND = "package, version, compiler, os, platform, target"

# Pages list the same variants in different orders, which are as long as each other.
SORTED = (
    "(select group_concat(value, char(0)) from (select value from json_each({}) order by value))"
)
TWINS_SQL = f"""
    with mine as (select * from specs where hash = :hash),
    alike as (
        select variants from specs where ({KIND}) = (select {KIND} from mine)
        and length(variants) = (select length(variants) from mine)
        group by variants
        having {SORTED.format("variants")} = (select {SORTED.format("variants")} from mine)
    )
    select hash, stacks, releases, count(*) over () as number from specs
    where ({KIND}) = (select {KIND} from mine) and variants in alike and hash != :hash
    order by hash limit :most
"""

MOST_TWINS = 100
"""So many twins are listed on the page of a spec."""

LONGEST_FILTER = 1_000
"""Characters of variants that a link can filter by."""


class Held(NamedTuple):
    """A release that has the spec.

    Attributes:
        release: Its name.
        kind: Its kind.
        mirror: The address or folder of its build cache.
        layout: The layout of its build cache, or None where nothing tells.
        tarball: The address of the binary, where a source tells it.
        stacks: The stacks of the release that hold the spec, sorted.
    """

    release: str
    kind: str
    mirror: str
    layout: int | None
    tarball: str | None
    stacks: list[str]


class Twin(NamedTuple):
    """Another spec that is the same in all but its hash.

    Attributes:
        hash: Its hash.
        stacks: The stacks that hold it in any release.
        releases: The releases that have it, newest first.
        explained: What it differs in; None of those that come too late to be looked at.
    """

    hash: str
    stacks: list[str]
    releases: list[str]
    explained: Explained | None


class SpecPage(NamedTuple):
    """What is known of a spec.

    Attributes:
        row: Its row of `specs`.
        variants: Its variants.
        to_copy: The spec in one line, quoted if a shell would act on it.
        flags: Its compiler flags, or None where only pages tell of it.
        held: The releases that have it, newest first.
        dependencies: What it depends on and what depends on it, as far as indexes tell.
        twins: Specs that differ from it in nothing that is known but the hash; the first ones.
        num_twins: How many there are.
    """

    row: Mapping[str, Any]
    variants: list[str]
    to_copy: str
    flags: list[str] | None
    held: list[Held]
    dependencies: Dependencies
    twins: list[Twin]
    num_twins: int

    @property
    def quoted(self) -> bool:
        """Whether a shell would act on the spec."""
        return bool(self.to_copy != self.row["spec"])

    @property
    def kind(self) -> dict[str, str | list[str]]:
        """What finds the spec and its twins, and others where its variants are too many."""
        filters = {column: self.row[column] for column in KIND.split(", ")}
        short = len(self.row["variants"]) <= LONGEST_FILTER
        return filters | ({"variants": self.variants} if short else {})


async def spec_page(db: Database, spec: str) -> SpecPage:
    """Return what is known of the spec with this hash, which must be in the database."""
    row = (await db.execute("select * from specs where hash = :hash", {"hash": spec})).first()
    held = [
        Held(release, kind, mirror, layout, tarball, sorted(json.loads(stacks)))
        for release, kind, mirror, layout, tarball, stacks in await db.execute(
            HELD_SQL, {"hash": spec}
        )
    ]
    twins = await db.execute(TWINS_SQL, {"hash": spec, "most": MOST_TWINS})
    told = await explained(db, spec, [twin["hash"] for twin in twins])
    return SpecPage(
        row=dict(row),
        variants=json.loads(row["variants"]),
        to_copy=spec_words(row["spec"]),
        # Indexes tell the flags of every spec, be there none.
        flags=None if row["flags"] is None else json.loads(row["flags"]),
        held=held,
        dependencies=await dependencies_of(db, spec),
        twins=[
            Twin(
                hash=twin["hash"],
                stacks=json.loads(twin["stacks"]),
                releases=json.loads(twin["releases"]),
                explained=told.get(twin["hash"]),
            )
            for twin in twins
        ],
        num_twins=twins.rows[0]["number"] if twins.rows else 0,
    )
