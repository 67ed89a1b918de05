"""One spelling for each fact.

Rules of the source: `gcc@=13.2.0` and `gcc@13.2.0` are one compiler, `x:=a,b` and `x=a,b` one
variant, and a quoted list of values is each of its values.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgspec

NO_COMPILER = "none"
"""The compiler of what was built without one."""

FLAGS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")
"""Parameters of a spec that are no variants, in Spack's order."""

_LONGEST_CACHED = 500
_NEEDS_NO_QUOTES = re.compile(r"[a-zA-Z0-9,/_.\-\[\]]+")

_encode = msgspec.json.Encoder().encode


def as_json(value: object) -> str:
    """A value as compact JSON, characters as they are; the spelling of every array we write."""
    return _encode(value).decode()


class VariantValue(NamedTuple):
    """One value of one variant, a row of `variants`."""

    variant: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """A spec's list of variants in one spelling.

    Compared by identity, which is fast: lists are spelled once and shared. Whether two lists say
    the same is for `values` to tell.

    Attributes:
        listed: the variants in the source's order, each once.
        json: `listed` as in `specs.variants`.
        values: the values they stand for, sorted, each once.
        repeated: the variants that the source names more than once.
    """

    listed: tuple[str, ...]
    json: str
    values: tuple[VariantValue, ...]
    repeated: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stacks:
    """The stacks that hold a spec in a release.

    Attributes:
        names: in the source's order, each once.
        repeated: those that the source names more than once.
    """

    names: tuple[str, ...]
    repeated: tuple[str, ...]


@lru_cache(maxsize=1024)
def spell_compiler(compiler: str) -> str:
    """`gcc@=13.2.0` → `gcc@13.2.0`: the `=` only says "exactly"."""
    return compiler.replace("@=", "@", 1)


@lru_cache(maxsize=1024)
def split_compiler(compiler: str) -> tuple[str, str | None]:
    """Name and version of a compiler in our spelling; the version of `none` is None."""
    name, _, version = compiler.partition("@")
    return name, version or None


# Lists of variants differ in a few of many: what they share is kept once, not once for each list.


@lru_cache(maxsize=1024)
def spell_variant(variant: str) -> str:
    """`x:=a,b` → `x=a,b`; everything else stays as it is."""
    name, equals, value = variant.partition("=")
    return f"{name.removesuffix(':')}={value}" if equals else variant


def variant_values(variant: str) -> tuple[VariantValue, ...]:
    """The values of a variant in our spelling: one each for `+x`, `~x`, and each of a list.

    A doubled sign (`++x`, `x==v`) says that dependencies get the variant too; the value is the
    same.
    """
    # Of long ones, which are rare, a thousand would take much memory.
    return _short_values(variant) if len(variant) <= _LONGEST_CACHED else _values(variant)


def _values(variant: str) -> tuple[VariantValue, ...]:
    if variant[0] in "+~":
        name = variant.lstrip("+~")
        value = "true" if variant[0] == "+" else "false"
        return (VariantValue(variant[0] + name, name, value),)
    name, _, text = variant.partition("=")
    text = text.removeprefix("=")
    if text[:1] == '"' and (unquoted := _from_json(text)) is not None:
        text = unquoted
    elif len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return tuple(VariantValue(f"{name}={value}", name, value) for value in text.split(","))


def _from_json(text: str) -> str | None:
    """What a text in double quotes stands for, as Spack writes what holds a single quote."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


_short_values = lru_cache(maxsize=1024)(_values)


def spell_variants(variants: tuple[str, ...], *, is_spelled: bool = False) -> Variants:
    """A list of variants in our spelling, which they may have already."""
    spelled = variants if is_spelled else [spell_variant(variant) for variant in variants]
    listed = tuple(dict.fromkeys(spelled))
    values = {value for variant in listed for value in variant_values(variant)}
    return Variants(listed, as_json(listed), tuple(sorted(values)), _repeated(spelled))


def spell_parameter(name: str, value: bool | str | Sequence[str]) -> str:
    """A variant of an index as pages spell it: `+x`, `~x`, `x=v`, `x=a,b`, in quotes if need be."""
    if isinstance(value, bool):
        return f"{'+' if value else '~'}{name}"
    return f"{name}={_quoted(value if isinstance(value, str) else ','.join(value))}"


def spell_flag(name: str, values: Sequence[str]) -> str:
    """Flags of a compiler in Spack's syntax: `cflags='-O2 -g'`."""
    return f"{name}={_quoted(' '.join(values))}"


def _quoted(value: str) -> str:
    """A value in quotes where Spack would read it otherwise without (its `quote_if_needed`)."""
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    return as_json(value) if "'" in value else f"'{value}'"


def spell_stacks(stacks: tuple[str, ...]) -> Stacks:
    """A list of stacks, each once."""
    return Stacks(tuple(dict.fromkeys(stacks)), _repeated(stacks))


def _repeated(values: Sequence[str]) -> tuple[str, ...]:
    if len(set(values)) == len(values):
        return ()
    return tuple(value for value, count in Counter(values).items() if count > 1)


def spec_text(
    package: str,
    version: str,
    variants: Sequence[str],
    system: tuple[str, str, str],
    compiler: str,
) -> str:
    """A spec in one line of Spack's syntax.

    The compiler is last, since Spack 1.0 binds what follows it to the compiler.

    Args:
        package: its name.
        version: its version.
        variants: in our spelling.
        system: platform, operating system and target.
        compiler: in our spelling.
    """
    built = [] if compiler == NO_COMPILER else [f"%{compiler}"]
    return " ".join([f"{package}@{version}", *variants, f"arch={'-'.join(system)}", *built])
