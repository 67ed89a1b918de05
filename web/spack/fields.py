"""Fields of a question that take Spack's syntax: SQL asks these functions what a text means.

version_satisfies(version, '1.12:')         1 or 0
compiler_satisfies(compiler, 'gcc@12:')     1 or 0; all names of a compiler are one
targets_meant('x86_64_v3:', pairs)          a JSON array of targets; `pairs` is one of all rows
[target, runs] of target_compatibility
variants_meant('+mpi languages=c,c++')      a JSON array of values as in spec_variants
has_exactly(variants, 'patches:=a')         1 or 0; 1 too where nothing is marked with `:=`
"""

import functools
import json
from collections.abc import Iterable

from datasette import hookimpl
from datasette.utils.sqlite import sqlite3

from etl.order import satisfies
from etl.spelling import variant_values
from web.spack.names import DATABASE
from web.spack.syntax import MOST_CHARACTERS, Sought, names_of_compiler, parse
from web.spack.targets import grouped, meant

MOST_KEPT = 256
"""How many texts are read only once; each has some hundred bytes."""


@hookimpl  # type: ignore[untyped-decorator]
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Give SQL the functions."""
    if database != DATABASE:
        return
    for function in (
        version_satisfies,
        compiler_satisfies,
        targets_meant,
        variants_meant,
        has_exactly,
    ):
        number = function.__code__.co_argcount
        conn.create_function(function.__name__, number, function, deterministic=True)


def version_satisfies(version: str, text: str) -> bool:
    """Tell whether a version is one that a text means, with an `@` before it or not."""
    constraints = _read("@" + _cut(text).lstrip("@")).versions
    # What is no constraint is a version that nothing has.
    return _satisfies(version, constraints[0]) if constraints else not _cut(text)


def compiler_satisfies(compiler: str, text: str) -> bool:
    """Tell whether a compiler is one that a text means, with a `%` before it or not."""
    needs = _read("%" + _cut(text).lstrip("%")).needs
    name, _, version = compiler.partition("@")
    if not needs:
        return not _cut(text)
    return all(
        name in names_of_compiler(need.name)
        and all(satisfies(version, constraint) for constraint in need.node.versions)
        for need in needs
    )


def targets_meant(text: str, pairs: str) -> str:
    """Return the targets that a text means, with `target=` before it or not."""
    runs = grouped(json.loads(pairs))
    return json.dumps(sorted(meant(_cut(text).removeprefix("target="), runs)))


def variants_meant(text: str) -> str:
    """Return the values of variants that a text means; a bare word is a variant that is on."""
    sought = _read(_cut(text))
    exactly = [each.variant for text in sought.exactly for each in variant_values(text)]
    words = (f"+{word}" for word in sought.words)
    return json.dumps([*words, *sought.flags, *sought.values, *exactly])


def has_exactly(variants: str, text: str) -> bool:
    """Tell whether a spec has no other values of the variants that a text marks with `:=`."""
    exactly = _read(_cut(text)).exactly
    return not exactly or all(_is_same(json.loads(variants), each) for each in exactly)


# Many packages have the same versions.
_satisfies = functools.lru_cache(4096)(satisfies)


def _is_same(variants: Iterable[str], exact: str) -> bool:
    name = exact.partition("=")[0]
    found = (variant for variant in variants if variant.startswith(f"{name}="))
    return any(set(variant_values(each)) == set(variant_values(exact)) for each in found)


def _cut(text: str) -> str:
    return str(text).strip()[:MOST_CHARACTERS]


@functools.lru_cache(MOST_KEPT)
def _read(text: str) -> Sought:
    return parse(text)
