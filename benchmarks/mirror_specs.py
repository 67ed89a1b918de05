"""The specs of made-up mirrors, and which of them each release has.

A spec depends only on specs that were made before it, so a spec's number, counted as they are
made, is also an order in which dependencies come first: the order of a real index. Unlike Spack,
one spec may reach two specs of one package by way of different dependencies.
"""

import hashlib
import random
from array import array
from base64 import b32encode
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import BinaryIO

import msgspec

from benchmarks.mirror_recipes import Environment, External, Need, Recipe, Target, Value

FLAG_KINDS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")
_FLAGS = ({"cflags": ["-O3", "-g"], "cxxflags": ["-O3"]}, {"ldflags": ["-Wl,--as-needed"]})
_NAMES_BEFORE = {"intel-oneapi-compilers": "oneapi"}
_WITHOUT_FORTRAN = ("cce", "llvm")
_GIVING_UP = 2_000
"""So many specs in a row that there are already are a sign that no new ones can be made."""

Spec = dict[str, object]
"""A spec as an index has it, its hash left out."""

_encode = msgspec.json.Encoder().encode


class Specs:
    """All specs ever made, by number: their text in a file, the rest in memory.

    The text of a spec is its entry of an index up to the number of its dependents, which follows:
    all that an entry says of a spec is the same in every index.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._numbers: dict[bytes, int] = {}
        self.offsets = array("Q", [0])
        self.hashes: list[str] = []
        self.names: list[str] = []
        self.dependencies: list[tuple[int, ...]] = []
        self.stacks: list[tuple[str, ...]] = []

    def add(self, spec: Spec, dependencies: Sequence[int]) -> int:
        """The number of the spec that says this; a new one unless there is one."""
        text = _encode(spec)
        digest = hashlib.sha256(text).digest()[:20]
        number = self._numbers.setdefault(digest, len(self.hashes))
        if number == len(self.hashes):
            self._write(text, b32encode(digest).lower())
            self.names.append(str(spec["name"]))
            self.dependencies.append(tuple(dependencies))
            self.stacks.append(())
        return number

    def _write(self, text: bytes, dag_hash: bytes) -> None:
        entry = b'"%b":{"spec":%b,"hash":"%b"},"ref_count":' % (dag_hash, text[:-1], dag_hash)
        self._file.write(entry)
        self.offsets.append(self.offsets[-1] + len(entry))
        self.hashes.append(dag_hash.decode())

    def flush(self) -> None:
        """Let other processes read the texts."""
        self._file.flush()


class Place:
    """One environment, and the specs of it that the release in hand has, by package."""

    def __init__(self, environment: Environment, specs: Specs, seed: int) -> None:
        self.environment = environment
        arch = {
            "platform": environment.platform,
            "platform_os": environment.os,
            "target": _target(environment.target),
        }
        self.arch = msgspec.Raw(_encode(arch))
        self.externals = {
            external.name: specs.add(_external(external, self.arch, seed), ())
            for external in environment.externals
        }
        compiler = environment.externals[0]
        name = _NAMES_BEFORE.get(compiler.name, compiler.name)
        self.old_compiler = f"{name}@={compiler.version}"
        self.live: dict[str, list[int]] = defaultdict(list)


class Builder:
    """Makes specs, and lets them go, from release to release."""

    def __init__(
        self,
        specs: Specs,
        recipes: Sequence[Recipe],
        environments: Sequence[Environment],
        seed: int,
    ) -> None:
        self._rng = random.Random(f"{seed}/specs")
        self._seed = seed
        self._specs = specs
        self._recipes = {recipe.name: recipe for recipe in recipes}
        self._by_weight = list(accumulate(recipe.weight for recipe in recipes))
        self._places = [Place(environment, specs, seed) for environment in environments]
        # An environment with many stacks builds more.
        sizes = [1 + len(environment.stacks) for environment in environments]
        self._by_size = list(accumulate(sizes))
        self._left = 0
        self.present: dict[int, list[Place]] = {}
        """The specs of the release in hand that are no externals, and where they are used."""

    def grow(self, number: int, age: float) -> None:
        """Add so many specs that never were before to the release, and what they depend on.

        Raises:
            ValueError: there are too few packages for so many specs.
        """
        recipes, failed = list(self._recipes.values()), 0
        self._left = number
        while self._left:
            before = self._left
            [place] = self._rng.choices(self._places, cum_weights=self._by_size)
            [recipe] = self._rng.choices(recipes, cum_weights=self._by_weight)
            self._build(place, recipe, age)
            failed = failed + 1 if self._left == before else 0
            if failed == _GIVING_UP:
                raise ValueError(f"{len(recipes)} packages are too few for so many specs")

    def shrink(self, number: int) -> None:
        """Let so many specs go, each of them when nothing in the release depends on it."""
        dependencies = self._specs.dependencies
        dependents = Counter(one for spec in self.present for one in dependencies[spec])
        free = [spec for spec in sorted(self.present) if not dependents[spec]]
        for _ in range(number):
            chosen = self._rng.randrange(len(free))
            free[chosen], free[-1] = free[-1], free[chosen]
            spec = free.pop()
            for place in self.present.pop(spec):
                place.live[self._specs.names[spec]].remove(spec)
            dependents.subtract(dependencies[spec])
            free += [
                one for one in dependencies[spec] if not dependents[one] and one in self.present
            ]

    def _build(self, place: Place, recipe: Recipe, age: float) -> int:
        """The number of a spec of a package, which the release now has."""
        # Counted before its dependencies are made, so that they leave room for it.
        self._left -= 1
        spec, dependencies = self._make(place, recipe, age)
        made = len(self._specs.hashes)
        number = self._specs.add(spec, dependencies)
        if number == made:
            self._specs.stacks[number] = self._stacks(place)
        else:
            self._left += 1
        # One that does not depend on the compiler is the same wherever the system is the same.
        places = self.present.setdefault(number, [])
        if place not in places:
            places.append(place)
            place.live[recipe.name].append(number)
        return number

    def _make(self, place: Place, recipe: Recipe, age: float) -> tuple[Spec, list[int]]:
        """A spec, and the numbers of what it depends on."""
        parameters = self._parameters(recipe)
        # Spack before 1.0 had no compilers among the nodes; such specs are still in use.
        old = bool(recipe.languages) and self._rng.random() < 0.02
        compiler = None if old else self._compiler(place, recipe)
        needs = [need for need in recipe.needs if not need.when or parameters[need.when]]
        needs += _needs_of_languages(place, recipe.languages, compiler)
        found = [(need, self._find(place, need.package, age)) for need in needs]
        nodes = sorted((need, number) for need, number in found if number is not None)
        version = self._version(recipe, age)
        spec: Spec = {
            "name": recipe.name,
            "version": version,
            "arch": place.arch,
            "namespace": "builtin",
            "parameters": parameters | self._flags(recipe),
        }
        if "patches" in parameters:
            spec["patches"] = recipe.patches
        spec["package_hash"] = _package_hash(self._seed, recipe.name, version)
        if nodes:
            spec["dependencies"] = [self._dependency(need, number) for need, number in nodes]
        before = {"compiler": place.old_compiler} if old else {}
        spec["annotations"] = {"original_specfile_version": 4 if old else 5} | before
        return spec, [number for _, number in nodes]

    def _find(self, place: Place, package: str, age: float) -> int | None:
        """A spec of a package in an environment; None if there is none and no room for one."""
        if package in place.externals:
            return place.externals[package]
        if live := place.live[package]:
            return live[-1] if self._rng.random() < 0.6 else self._rng.choice(live)
        if package in self._recipes and self._left:
            return self._build(place, self._recipes[package], age)
        return None

    def _compiler(self, place: Place, recipe: Recipe) -> str:
        usable = [
            name
            for name in place.environment.compilers
            if name in place.externals or self._recipes[name].rank < recipe.rank
        ]
        return self._rng.choice(usable)

    def _version(self, recipe: Recipe, age: float) -> str:
        newest = min(len(recipe.versions) - 1, int(age * len(recipe.versions)))
        return recipe.versions[max(0, newest - self._rng.randrange(3))]

    def _parameters(self, recipe: Recipe) -> dict[str, Value]:
        chosen = {
            name: self._rng.choice(values) if self._rng.random() < 0.2 else values[0]
            for name, values in recipe.options.items()
        }
        return {name: value for name, value in chosen.items() if value is not None}

    def _flags(self, recipe: Recipe) -> dict[str, Value]:
        flags: dict[str, Value] = {kind: [] for kind in FLAG_KINDS}
        if recipe.languages and self._rng.random() < 0.03:
            flags |= self._rng.choice(_FLAGS)
        return flags

    def _stacks(self, place: Place) -> tuple[str, ...]:
        # Some are built only for others, and are in the release's whole mirror alone.
        number = self._rng.choices((0, 1, 2), (2, 11, 7))[0]
        stacks = place.environment.stacks
        return tuple(self._rng.sample(stacks, min(number, len(stacks))))

    def _dependency(self, need: Need, number: int) -> Spec:
        parameters = {"deptypes": need.types, "virtuals": need.virtuals}
        return {
            "name": need.package,
            "hash": self._specs.hashes[number],
            "parameters": parameters,
        }


def _needs_of_languages(
    place: Place, languages: Sequence[str], compiler: str | None
) -> Iterator[Need]:
    """What compiled specs need; without a compiler, what they needed before Spack 1.0."""
    if not languages:
        return
    if compiler:
        yield Need("compiler-wrapper", ("build",))
        elsewhere = {"fortran"}.intersection(languages) if compiler in _WITHOUT_FORTRAN else set()
        if elsewhere:
            yield Need("gcc", ("build",), ("fortran",))
        if own := sorted({*languages} - elsewhere):
            yield Need(compiler, ("build",), tuple(own))
    if "glibc" in place.externals:
        fortran = ("fortran-rt", "libgfortran") if "fortran" in languages else ()
        yield Need("gcc-runtime", ("link",), fortran)
        yield Need("glibc", ("link",), ("libc",))


def _target(target: str | Target) -> str | dict[str, object]:
    return target if isinstance(target, str) else target._asdict()


def _external(external: External, arch: msgspec.Raw, seed: int) -> Spec:
    languages: Spec = {"languages": ["c", "c++", "fortran"]} if external.name == "gcc" else {}
    compilers = {"compilers": external.programs} if external.programs else {}
    return {
        "name": external.name,
        "version": external.version,
        "arch": arch,
        "namespace": "builtin",
        "parameters": {"build_system": "generic"} | languages | {kind: [] for kind in FLAG_KINDS},
        "external": {
            "path": external.path,
            "module": external.module,
            "extra_attributes": compilers,
        },
        "package_hash": _package_hash(seed, external.name, external.version),
        "annotations": {"original_specfile_version": 5},
    }


def _package_hash(seed: int, name: str, version: str) -> str:
    return b32encode(hashlib.sha256(f"{seed}/{name}/{version}".encode()).digest()).decode().lower()
