"""Which filters of the table of specs a search stands for.

What has a sigil says so itself. A plain word is looked up among the names that the database knows:
an operating system, a CPU target (what runs on a machine of that kind), a release, a stack, a
compiler; then a version or a variant of the package that the search is for.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from datasette.app import Datasette
from datasette.database import Database

from etl.order import satisfies
from etl.spelling import variant_values
from web.spack.found import (
    Pair,
    UntellableError,
    having_all,
    lists_with,
    rows_by_value,
    rows_of_pairs,
)
from web.spack.known import Known, known_names, variants_of
from web.spack.names import DATABASE, OTHER_NODES
from web.spack.runs_on import ARGUMENT as RUNS_ON
from web.spack.syntax import Need, Sought, parse
from web.spack.targets import meant, targets_of

MOST_VALUES = 100
"""How many versions, or compilers, may fit before a filter's address is too long."""

ALL = "all"
"""Instead of a release: all of them."""

RELEASES = "releases__arraycontains"
STACKS = "stacks__arraycontains"

NEWEST_FIRST = ("_sort_desc", "version")

VERSION = re.compile(r"[vV]?(?P<version>\d[\w.:-]*)")

Pairs = list[Pair]

VERSIONS_SQL = """
    select distinct listed.value from packages cross join json_each(versions) as listed
    where :package in ('', packages.name) order by listed.value
"""

COMPILERS_SQL = """
    select distinct listed.value from packages cross join json_each(compilers) as listed
    where :package in ('', packages.name) order by listed.value
"""

IS_DEPENDENCY_SQL = f"""
    select exists (
        select 1 from dependencies where dependency in (
            select hash from specs where package in (select value from json_each(:names))
            union all
            select hash from {OTHER_NODES} where package in (select value from json_each(:names))
        )
    )
"""


class UnanswerableError(Exception):
    """A search that is no filter; the message says why."""


class Meaning(NamedTuple):
    """What a search stands for.

    Attributes:
        package: The package that it names, or "".
        pairs: The filters, without those of its unknown words.
        unknown: The words that are no known names.
    """

    package: str
    pairs: Pairs
    unknown: Sequence[str]


async def meaning(datasette: Datasette, sought: Sought) -> Meaning:
    """Return what a search stands for.

    Args:
        datasette: Where the table is served.
        sought: The search.

    Raises:
        UnanswerableError: it is for something that no filter can say.
    """
    known = await known_names(datasette)
    words = list(sought.words)
    package = ""
    for word in words:
        if name := known.named("packages", word):
            package = name
            words.remove(word)
            break
    pairs = [("package", package)] if package else []
    unknown: list[str] = []
    for word in words:
        named, sought = await _named(datasette, known, package, word, sought)
        pairs += named or []
        unknown += [] if named is not None else [word]
    return Meaning(package, pairs + await filters(datasette, sought, package), unknown)


async def _named(
    datasette: Datasette, known: Known, package: str, word: str, sought: Sought
) -> tuple[Pairs | None, Sought]:
    """Return the filters that a plain word means, None if it means nothing; and what is sought."""
    if pair := known_pair(known, word):
        return [pair], sought
    if known.compiler_names(word.lower()):
        return [], sought._replace(needs=(*sought.needs, *parse(f"%{word}").needs))
    if not package:
        return None, sought
    if await _has_version(datasette, package, word):
        version = VERSION.sub(r"\g<version>", word)
        return [], sought._replace(versions=(*sought.versions, version))
    flag = f"+{word.lower()}"
    if flag in await variants_of(datasette, package, [word.lower()]):
        return [], sought._replace(flags=(*sought.flags, flag))
    return None, sought


def known_pair(known: Known, word: str) -> Pair | None:
    """Return the filter that the name of a system, a release or a stack means.

    Args:
        known: The names that the database knows.
        word: The name, in capitals or not.
    """
    for kind, key in (
        ("oses", "os"),
        ("platforms", "platform"),
        ("targets", RUNS_ON),
        ("releases", RELEASES),
        ("stacks", STACKS),
    ):
        if name := known.named(kind, word):
            return (key, name)
    return None


async def _has_version(datasette: Datasette, package: str, word: str) -> bool:
    found = VERSION.fullmatch(word)
    if not found:
        return False
    rows = await datasette.get_database(DATABASE).execute(VERSIONS_SQL, {"package": package})
    return any(satisfies(version, found["version"]) for (version,) in rows)


async def filters(datasette: Datasette, sought: Sought, package: str) -> Pairs:
    """Return the filters that the parts of a search with sigils stand for.

    Args:
        datasette: Where the table is served.
        sought: The search; its words are left to the caller.
        package: The package whose versions and compilers are meant, or "" for all.

    Raises:
        UnanswerableError: the search is for something that no filter can say.
    """
    db = datasette.get_database(DATABASE)
    known = await known_names(datasette)
    sought, own = _without_own(known, sought)
    compilers = [need for need in sought.needs if await _is_fact(db, known, need)]
    others = [need for need in sought.needs if need not in compilers]
    if others and not (await db.execute("select 1 from dependencies limit 1")).rows:
        raise UnanswerableError(
            f"The pages do not tell what a spec depends on, so {others[0]} cannot be searched for."
        )
    for need in others:
        if not (need.name or need.node.hashes):
            raise UnanswerableError(f"Say which package the dependency {need} is of.")
    return [
        *[await _versions(db, each, package) for each in sought.versions],
        *[
            await _compiler(db, known, need, versions, package)
            for need in compilers
            for versions in need.node.versions or ("",)
        ],
        *[await _column(datasette, known, *pair) for pair in sought.columns],
        *own,
        *(("variants__arraycontains", _spelled_as_known(known, each)) for each in sought.flags),
        *[await _value(datasette, _spelled_as_known(known, each)) for each in sought.values],
        *[("variants__arraycontains", await _exactly(datasette, each)) for each in sought.exactly],
        *(("hash__startswith", start) for start in sought.hashes),
        *(("_needs", str(need)) for need in others),
    ]


def _without_own(known: Known, sought: Sought) -> tuple[Sought, Pairs]:
    """Take out what looks like values of variants and is of this site: `stack=e4s`."""
    names = {variant.partition("=")[0] for variant in known.variants}
    kinds = {"stack": "stacks", "release": "releases", "machine": "targets"}
    keys = {"stack": STACKS, "release": RELEASES, "machine": RUNS_ON}
    own, others = Pairs(), list[str]()
    needs, versions = list(sought.needs), list(sought.versions)
    for variant in sought.values:
        name, _, value = variant.partition("=")
        key = name.lower().removesuffix("s")
        if name in names or key not in {*kinds, "compiler", "version"}:
            others.append(variant)
        elif key == "compiler":
            needs += parse(f"%{value}").needs
        elif key == "version":
            versions.append(value)
        elif (key, value.lower()) != ("release", ALL):
            own.append((keys[key], known.named(kinds[key], value) or value))
    sought = sought._replace(values=tuple(others), needs=tuple(needs), versions=tuple(versions))
    return sought, own


async def _is_fact(db: Database, known: Known, need: Need) -> bool:
    """Tell whether all that was built with a compiler has it as a fact, none as a dependency.

    From Spack 1.0 compilers are dependencies, and a spec can have two.
    """
    named = Sought(words=(need.name,), versions=need.node.versions)
    names = known.compiler_names(need.name)
    if not names or not need.is_direct or need.virtuals or need.node != named:
        return False
    found = await db.execute(IS_DEPENDENCY_SQL, {"names": json.dumps(names)})
    return not found.single_value()


async def _versions(db: Database, constraint: str, package: str) -> Pair:
    """Return the filter on `version` for a constraint such as `1.14`."""
    rows = await db.execute(VERSIONS_SQL, {"package": package})
    fitting = [version for (version,) in rows if satisfies(version, constraint)]
    return _one_of("version", fitting, f"@{constraint}", constraint)


async def _compiler(db: Database, known: Known, need: Need, constraint: str, package: str) -> Pair:
    """Return the filter on the compiler, which can have several names."""
    names = known.compiler_names(need.name)
    if not constraint:
        return _one_of("compiler_name", names, str(need), need.name)
    rows = await db.execute(COMPILERS_SQL, {"package": package})
    fitting = [
        compiler
        for (compiler,) in rows
        if compiler.partition("@")[0] in names and satisfies(compiler.partition("@")[2], constraint)
    ]
    return _one_of("compiler", fitting, str(need), f"{names[0]}@{constraint}")


def _one_of(column: str, values: Sequence[str], text: str, otherwise: str) -> Pair:
    """Return the filter for one of some values; what fits no row stays a filter, to be told of."""
    if len(values) > MOST_VALUES:
        raise UnanswerableError(
            f"{len(values):,} different {column}s fit {text}. Add the name of a package, or more of"
            f" the {column}."
        )
    if len(values) == 1:
        return (column, values[0])
    return (f"{column}__in", json.dumps(values)) if values else (column, otherwise)


async def _column(datasette: Datasette, known: Known, column: str, value: str) -> Pair:
    """Return the filter for a part of the system."""
    if column == "os":
        return (column, known.named("oses", value) or value)
    if column != "target":
        return (column, value.lower())
    runs = await targets_of(datasette)
    if value.startswith(":") and len(below := value.removeprefix(":").split(",")) == 1:
        return (RUNS_ON, known.named("targets", below[0]) or below[0])
    found = sorted(meant(value, runs))
    if ":" in value or "," in value:
        found = [target for target in found if known.targets.get(target)]
    return _one_of(column, found, f"target={value}", value)


def _spelled_as_known(known: Known, variant: str) -> str:
    return known.named("variants", variant) or variant


async def _value(datasette: Datasette, value: str) -> Pair:
    """Return the filter for one value of a variant, of which a spec can have several."""
    lists = await lists_with(datasette, value)
    if len(lists) == 1:
        return ("variants__arraycontains", next(iter(lists)))
    return ("_through", json.dumps({"table": "spec_variants", "column": "variant", "value": value}))


async def _exactly(datasette: Datasette, variant: str) -> str:
    """Return a variant as the specs spell it that have these values and no others."""
    values = set(variant_values(variant))
    name = variant.partition("=")[0]
    rows_of = await rows_by_value(datasette, "array", "variants")
    same = [
        spelled
        for spelled in rows_of
        if spelled.startswith(f"{name}=") and set(variant_values(spelled)) == values
    ]
    return max(same, key=lambda spelled: len(rows_of[spelled]), default=variant)


def release_said(sought: Sought) -> str:
    """Return `all` if a search says `release=all`, else "": another release is a filter."""
    said = {value.lower() for value in sought.values}
    return ALL if f"release={ALL}" in said else ""


async def in_release(
    datasette: Datasette, pairs: Pairs, release: str, *, is_for_package: bool
) -> Pairs:
    """Return filters with that of a release, unless they say something of releases themselves.

    Args:
        datasette: Where the table is served.
        pairs: The filters.
        release: The release; "all" for none, "" for the newest, or if that has no such specs, the
            newest that has.
        is_for_package: Whether they are of one package, so that its newest version comes first.
    """
    known = await known_names(datasette)
    order = [NEWEST_FIRST] if is_for_package else []
    if release == ALL or not known.current or any(key == RELEASES for key, _ in pairs):
        return [*pairs, *order]
    if release:
        return [*pairs, (RELEASES, known.named("releases", release) or release), *order]
    return [*pairs, (RELEASES, await _newest_with(datasette, known, pairs)), *order]


async def _newest_with(datasette: Datasette, known: Known, pairs: Pairs) -> str:
    """Return the newest release that has such specs; if that cannot be told, the newest of all."""
    try:
        rows_of = await rows_of_pairs(datasette, pairs)
        for release in known.releases if rows_of else ():
            held = await rows_of_pairs(datasette, [(RELEASES, release)])
            if having_all(rows_of.values(), *held.values()):
                return release
    except UntellableError:
        pass
    return known.current
