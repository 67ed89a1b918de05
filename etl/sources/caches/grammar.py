"""What a record of an index is: its keys, what each value may be, and what it means.

The one place that both readers of records take this from: `fast` reads ordinary records, `general`
reads any and explains what is wrong. Both give a `RawRecord`; `record_of` makes the facts of it.

Rules of the source: Spack's `file_formats/{specfile,database}.rst`. The bounds are there for
indexes made to fill or stall whoever reads them, far beyond what real ones hold.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from etl.errors import Refusal, RefusedError
from etl.records import Dependency, Facts
from etl.sources.bounds import (
    HASH,
    MAX_NAME,
    MAX_VALUES,
    MAX_VARIANTS,
    fault_of_name,
    has_control,
    is_longer,
    shortened,
)
from etl.spelling import (
    FLAGS,
    NO_COMPILER,
    Variants,
    as_json,
    spell_compiler,
    spell_flag,
    spell_parameter,
    spell_variants,
)

MAX_BYTES = 2 * 1024**3
"""Largest index that is read, unpacked; the largest real ones have half a gigabyte."""

MAX_RECORD = 1024 * 1024
"""Most bytes of a record; real ones have a few thousand."""

MAX_RECORDS = 10_000_000
"""Most records of an index; the largest real one has 378,565."""

MAX_DEPENDENCIES = 2_000
"""Most dependencies of a record; real ones have some dozens."""

MAX_VIRTUALS = 100
"""Most virtuals, or types, that a record names of a dependency; real ones have a few."""

MAX_TEXT = 4_000
"""Most bytes of the path of an external spec, and of all flags of a spec."""

_TYPES = ("build", "link", "run", "test")
_VARIANT_NAME = re.compile(r"[\w.-]+", re.ASCII)
_COMPILERS = ("c", "cxx", "fortran")
_SPECFILE_WITH_COMPILER_NODES = 5
_PATCH_LENGTH = 7

Value = bool | str | list[str]


class RawTarget(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A target that is described, not only named."""

    name: str
    vendor: str | UnsetType = UNSET
    features: list[str] | UnsetType = UNSET
    generation: int | UnsetType = UNSET
    parents: list[str] | UnsetType = UNSET
    cpupart: str | UnsetType = UNSET


class RawArch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The system that a spec is for."""

    platform: str
    platform_os: str
    target: str | RawTarget


class RawEdge(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """How a dependency is needed, from database 7."""

    deptypes: list[Literal["build", "link", "run", "test"]]
    virtuals: list[str] | UnsetType = UNSET


class RawDependency(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A dependency; its hash has had three names."""

    name: str
    hash: str | UnsetType = UNSET
    parameters: RawEdge | UnsetType = UNSET
    type: list[Literal["build", "link", "run", "test"]] | UnsetType = UNSET
    full_hash: str | UnsetType = UNSET
    build_hash: str | UnsetType = UNSET


class RawExternal(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Where an external spec was found."""

    path: str | UnsetType | None = UNSET
    module: str | list[str] | UnsetType | None = UNSET
    extra_attributes: msgspec.Raw | UnsetType = UNSET


class RawCompiler(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The compiler, up to database 7."""

    name: str
    version: str


class RawAnnotations(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What Spack 1.0 noted of a spec of an older version."""

    original_specfile_version: int | UnsetType = UNSET
    compiler: str | UnsetType | None = UNSET


class RawBuildSpec(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a spliced spec was built as."""

    name: str
    hash: str


class RawSpec(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A node of a spec file, of which the parameters were taken out."""

    name: str
    version: str
    arch: RawArch
    hash: str
    namespace: str | UnsetType | None = UNSET
    dependencies: list[RawDependency] | UnsetType = UNSET
    annotations: RawAnnotations | UnsetType = UNSET
    compiler: RawCompiler | UnsetType = UNSET
    external: RawExternal | UnsetType | None = UNSET
    build_spec: RawBuildSpec | UnsetType = UNSET


class RawRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of `installs`, of which the keys that are not loaded were taken out."""

    spec: RawSpec
    in_buildcache: bool | UnsetType = UNSET


class Record(NamedTuple):
    """What a record tells.

    Attributes:
        hash: the spec's DAG hash.
        package: its package.
        in_buildcache: whether there is a binary; None where the record does not say.
        facts: what is true of it. Where `compiler_from` is given, `compiler` is the name alone.
        compiler_from: hash of the dependency that is its compiler and has its version; None
            where `facts.compiler` is whole.
    """

    hash: str
    package: str
    in_buildcache: bool | None
    facts: Facts
    compiler_from: str | None

    @property
    def is_binary(self) -> bool:
        """Whether it is a binary: where it does not say, it is one unless it is external."""
        if self.in_buildcache is None:
            return self.facts.external is None
        return self.in_buildcache

    def facts_with(self, versions: Mapping[str, str]) -> Facts:
        """The facts, given the versions of the specs that are compilers, by hash."""
        version = versions.get(self.compiler_from) if self.compiler_from else None
        if version is None:
            return self.facts
        return self.facts._replace(compiler=f"{self.facts.compiler}@{version}")


def refuse(kind: str, message: str) -> RefusedError:
    """The reason why a record cannot be loaded."""
    return RefusedError(Refusal(0, kind, message))


def record_of(raw: RawRecord, parameters: Mapping[str, Value]) -> Record:
    """Make the facts of a record.

    Args:
        raw: the record.
        parameters: of its spec.

    Raises:
        RefusedError: a value is not what it must be.
    """
    spec = raw.spec
    compiler = compiler_of(spec.compiler) or compiler_noted(spec.annotations)
    return make_record(
        (spec.hash, spec.name, spec.version, spec.namespace, raw.in_buildcache),
        system_of(spec.arch),
        spell_parameters(parameters),
        compiler,
        [dependency_of(one) for one in spec.dependencies or ()],
        (build_spec_of(spec.build_spec), external_of(spec.external)),
    )


def make_record(
    own: tuple[str, str, str, object, object],
    system: tuple[str, str, str],
    parameters: tuple[Variants, str],
    compiler: str | None,
    dependencies: Sequence[Dependency],
    rare: tuple[str | None, str | None],
) -> Record:
    """Put the parts of a record together.

    Args:
        own: hash, package, version, namespace and `in_buildcache`, as they are in the record; the
            last two can be absent.
        system: operating system, platform and target.
        parameters: variants and flags, as `spell_parameters` spells them.
        compiler: as the record itself says, or None.
        dependencies: as the record has them.
        rare: `build_spec_of` and `external_of` it.

    Raises:
        RefusedError: a value is not what it must be.
    """
    spec, package, version, namespace, in_buildcache = own
    check_hash(spec)
    edges = _sorted(dependencies)
    compiler_from = None
    if compiler is None:
        compiler, compiler_from = _compiler_among(edges)
    variants, flags = parameters
    facts = Facts(
        text(version, "version"),
        compiler,
        *system,
        variants,
        None,
        name(namespace, "namespace") if isinstance(namespace, str) else None,
        flags,
        *rare,
        edges,
    )
    told = in_buildcache if isinstance(in_buildcache, bool) else None
    return Record(spec, name(package, "package"), told, facts, compiler_from)


# Names repeat from record to record: one text serves for all.


@lru_cache(maxsize=8192)
def name(value: str, what: str) -> str:
    """A name that is as it must be.

    Raises:
        RefusedError: it is not.
    """
    if fault := fault_of_name(value):
        raise refuse("name", f"the {what} {shortened(value)!r} {fault}")
    return text(value, what)


@lru_cache(maxsize=8192)
def text(value: str, what: str, most: int = MAX_NAME) -> str:
    """A text that is as it must be.

    Raises:
        RefusedError: it is empty, too long, or holds a control character.
    """
    if not value:
        raise refuse("name", f"the {what} is empty")
    if is_longer(value, most):
        raise refuse("too-large", f"the {what} has more than {most:,} bytes")
    if has_control(value):
        raise refuse("encoding", f"the {what} {shortened(value)!r} holds a control character")
    return value


def check_hash(value: str) -> None:
    """Make sure that a hash is one.

    Raises:
        RefusedError: it is not.
    """
    if not HASH.fullmatch(value):
        raise refuse("hash", f"{shortened(value)!r} is no hash: 32 characters of a-z and 2-7")


def _sorted(found: Sequence[Dependency]) -> tuple[Dependency, ...]:
    """Dependencies, sorted by hash; one that is named twice has the types of both."""
    if len(found) > MAX_DEPENDENCIES:
        most = f"expected at most {MAX_DEPENDENCIES:,}"
        raise refuse("too-large", f"{len(found):,} dependencies, {most}")
    by_hash = {one.hash: one for one in found}
    if len(by_hash) < len(found):
        by_hash = {}
        for one in found:
            other = by_hash.get(one.hash)
            by_hash[one.hash] = one if other is None else _joined(other, one)
    return tuple([by_hash[key] for key in sorted(by_hash)])


def dependency_of(raw: RawDependency) -> Dependency:
    """A dependency.

    Raises:
        RefusedError: it is not what it must be.
    """
    hashes = [h for h in (raw.hash, raw.full_hash, raw.build_hash) if isinstance(h, str)]
    if not hashes:
        raise refuse("missing-key", f"the dependency {shortened(raw.name)!r} has no hash")
    check_hash(hashes[0])
    if isinstance(raw.parameters, RawEdge):
        types, virtuals = raw.parameters.deptypes, raw.parameters.virtuals or []
    elif isinstance(raw.type, list):
        types, virtuals = raw.type, []
    else:
        raise refuse("missing-key", f"the dependency {shortened(raw.name)!r} has no types")
    if max(len(types), len(virtuals)) > MAX_VIRTUALS:
        most = f"of the dependency {shortened(raw.name)!r}, expected at most {MAX_VIRTUALS}"
        raise refuse("too-large", f"{max(len(types), len(virtuals)):,} types or virtuals {most}")
    flags = _types(tuple(types))
    return Dependency(hashes[0], name(raw.name, "dependency"), *flags, _virtuals(tuple(virtuals)))


@lru_cache(maxsize=64)
def _types(types: Sequence[str]) -> tuple[int, int, int, int]:
    build, link, run, test = (int(one in types) for one in _TYPES)
    return build, link, run, test


@lru_cache(maxsize=1024)
def _virtuals(virtuals: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({name(virtual, "virtual") for virtual in virtuals}))


def _joined(one: Dependency, other: Dependency) -> Dependency:
    return Dependency(
        one.hash,
        one.name,
        one.build | other.build,
        one.link | other.link,
        one.run | other.run,
        one.test | other.test,
        tuple(sorted({*one.virtuals, *other.virtuals})),
    )


def system_of(raw: RawArch) -> tuple[str, str, str]:
    """Operating system, platform and target.

    Raises:
        RefusedError: one is not what it must be.
    """
    target = raw.target if isinstance(raw.target, str) else raw.target.name
    return (
        name(raw.platform_os, "os"),
        name(raw.platform, "platform"),
        name(target, "target"),
    )


def compiler_of(raw: RawCompiler | UnsetType) -> str | None:
    """The compiler that a record of a database up to 7 has; None of any other record."""
    return _spelled(raw.name, raw.version) if isinstance(raw, RawCompiler) else None


def compiler_noted(raw: RawAnnotations | UnsetType) -> str | None:
    """The compiler that Spack 1 noted of a spec of an older version; None of any other."""
    if isinstance(raw, RawAnnotations) and isinstance(raw.compiler, str):
        original = raw.original_specfile_version
        if isinstance(original, int) and original < _SPECFILE_WITH_COMPILER_NODES:
            return _spelled(*raw.compiler.partition("@")[::2])
    return None


def _compiler_among(dependencies: Iterable[Dependency]) -> tuple[str, str | None]:
    """The compiler of a spec that depends on it, and its hash, for its record has the version."""
    virtuals = {v: one for one in dependencies for v in one.virtuals if v in _COMPILERS}
    for language in _COMPILERS:
        if one := virtuals.get(language):
            return one.name, one.hash
    return NO_COMPILER, None


@lru_cache(maxsize=1024)
def _spelled(compiler: str, version: str) -> str:
    """A compiler by its name and version, which can begin with `=`."""
    if "@" in compiler or "@" in version or "=" in compiler:
        raise refuse("type", f"{shortened(f'{compiler}@{version}')!r} is no compiler")
    found = f"{name(compiler, 'compiler')}@{version}" if version else name(compiler, "compiler")
    return text(spell_compiler(found), "compiler")


def build_spec_of(raw: RawBuildSpec | UnsetType) -> str | None:
    """What a spliced spec was built as, `name/hash`; None of any other."""
    if not isinstance(raw, RawBuildSpec):
        return None
    check_hash(raw.hash)
    return f"{name(raw.name, 'build_spec')}/{raw.hash}"


def external_of(raw: RawExternal | UnsetType | None) -> str | None:
    """Path or module of an external spec, "" where neither is known; None of any other spec."""
    if not isinstance(raw, RawExternal):
        return None
    modules = [raw.module] if isinstance(raw.module, str) else raw.module or []
    found = raw.path or ",".join(modules)
    return text(found, "external path", MAX_TEXT) if found else ""


def spell_parameters(parameters: Mapping[str, Value]) -> tuple[Variants, str]:
    """The variants, in the order of the parameters, and the flags as a JSON array.

    Raises:
        RefusedError: one is not what it must be.
    """
    listed = tuple(_variant(key, value) for key, value in parameters.items() if key not in FLAGS)
    variants = spell_variants(listed, is_spelled=True)
    if is_longer(variants.json, MAX_VARIANTS):
        raise refuse("too-large", f"the variants have more than {MAX_VARIANTS:,} bytes")
    if len(variants.values) > MAX_VALUES:
        raise refuse("too-large", f"the variants have more than {MAX_VALUES:,} values")
    return variants, _flags(parameters)


def _variant(key: str, value: Value) -> str:
    if not _VARIANT_NAME.fullmatch(key):
        raise refuse("variant", f"{shortened(key)!r} is no name of a variant")
    if key == "patches" and isinstance(value, list):
        value = [one[:_PATCH_LENGTH] for one in value]
    spelled = spell_parameter(key, value)
    if has_control(spelled):
        raise refuse("encoding", f"the variant {shortened(spelled)!r} holds a control character")
    return spelled


def _flags(parameters: Mapping[str, Value]) -> str:
    found = []
    for flag in FLAGS:
        values = parameters.get(flag, [])
        if not isinstance(values, list):
            raise refuse("type", f"{flag} is {shortened(repr(values))}, expected a list")
        if values:
            found.append(text(spell_flag(flag, values), flag, MAX_TEXT))
    return as_json(found)
