"""What made-up pages say is in the database, and nothing else; damaged pages never surprise."""

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.corpus import SHAPES, STAGES, Spec, Stage, page_text, tarball
from etl.build import Request, build
from etl.verify import verify
from tests.etl import fuzz
from tests.pages import dag_hash, meta_of, page, spec, write

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Newest first.
RELEASES = (
    *("develop", "develop-2025-07-13", "develop-2025-03-23", "develop-2024-12-29"),
    *("v2025.07.0", "v0.23.1", "v0.18.0", "v0.18"),
)
VERSIONS = ("develop", "master", "2412", "2023.08.25", "10.5.0", "7.3.1", "7.3", "1.2-t9b_atlas")
_PACKAGES = ("py-msgpack", "zlib", "7zip", "r-a.b", "c++", "<b>", "x y", "ünï", "日本")


@dataclass(frozen=True)
class Variant:
    """A variant and its values; without a sign it is a switch.

    `several` says that it could have several values, as stage G writes it.
    """

    name: str
    switch: str = ""
    values: tuple[str, ...] = ()
    several: bool = False
    quote: str = ""

    def spelled(self, *, several: bool) -> str:
        if self.switch:
            return self.switch + self.name
        sign = ":=" if several and self.several else "="
        return f"{self.name}{sign}{self.quote}{','.join(self.values)}{self.quote}"

    def rows(self) -> Iterator[tuple[str, str, str]]:
        if self.switch:
            value = {"+": "true", "~": "false"}[self.switch]
            yield self.switch + self.name, self.name, value
        for value in self.values:
            yield f"{self.name}={value}", self.name, value


@dataclass(frozen=True)
class Facts:
    """What is true of a spec, whether a page knows it or not."""

    version: str
    compiler: tuple[str, str | None]
    os: str
    platform: str
    target: str
    variants: tuple[Variant, ...]
    size: int


@dataclass(frozen=True)
class Presence:
    """What the page of one release says of a spec beside its facts."""

    stacks: tuple[str, ...]
    knows_compiler: bool
    knows_size: bool


@dataclass(frozen=True)
class Binary:
    """A spec, and by release what its page says."""

    hash: str
    facts: Facts
    present: dict[str, Presence]


@dataclass(frozen=True)
class Package:
    name: str
    stages: dict[str, Stage]
    binaries: tuple[Binary, ...]

    def page(self, release: str) -> bytes:
        stage = self.stages[release]
        specs = [
            on_page(stage, binary, binary.present[release])
            for binary in self.binaries
            if release in binary.present
        ]
        return page_text(stage, self.name, release, specs).encode()


def on_page(stage: Stage, binary: Binary, presence: Presence) -> Spec:
    facts = binary.facts
    name, version = facts.compiler
    compiler = f"{name}@{version}" if version else name
    return Spec(
        binary.hash,
        facts.version,
        compiler if knows_compiler(stage, presence) else "none",
        facts.os,
        facts.platform,
        facts.target,
        tuple(variant.spelled(several=True) for variant in facts.variants),
        presence.stacks if SHAPES[stage].root else without_root(presence.stacks),
        facts.size if presence.knows_size else None,
    )


def knows_compiler(stage: Stage, presence: Presence) -> bool:
    # Only the pages of the last stage ever say `none`.
    return presence.knows_compiler or stage != "G"


def without_root(stacks: Sequence[str]) -> tuple[str, ...]:
    return tuple(stack for stack in stacks if stack != "root")


# ---- making pages up ---------------------------------------------------------------------------


def texts(without: str = "", min_size: int = 1) -> st.SearchStrategy[str]:
    """Any text that a page may hold, without these characters."""
    characters = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=without)
    plain = st.text("abcXYZ019_.-", min_size=min_size, max_size=6)
    return plain | st.text(characters, min_size=min_size, max_size=6)


names = texts("/").filter(lambda name: ".." not in name)
switches = st.builds(
    Variant, st.text("abc_-.1", min_size=1, max_size=4), switch=st.sampled_from("+~")
)
valued = st.builds(
    Variant,
    st.text("abc_-.1", min_size=1, max_size=4),
    values=st.lists(
        texts(",'\"=", min_size=0), min_size=1, max_size=3
    ).map(tuple),
    several=st.booleans(),
    quote=st.sampled_from(["", "'", '"']),
)  # fmt: skip
compilers = st.one_of(
    st.sampled_from([("gcc", "13.2.0"), ("intel-oneapi-compilers", "2025.1.0"), ("none", None)]),
    st.tuples(texts("@/").filter(lambda name: name != "none"), st.none() | texts("@=/")),
)
facts = st.builds(
    Facts,
    st.sampled_from(VERSIONS),
    compilers,
    st.sampled_from(["ubuntu22.04", "windows10.0.20348"]) | names,
    st.sampled_from(["linux", "darwin"]) | names,
    st.sampled_from(["x86_64_v3", "zen4"]) | names,
    st.lists(switches | valued, max_size=4, unique_by=lambda variant: variant.name).map(tuple),
    st.integers(0, 2**63 - 1),
)
stacks = st.lists(
    st.sampled_from(["root", "e4s", "e4s-neoverse_v1", "yes", "0.5"]) | names, unique=True
)
presences = st.builds(Presence, stacks.map(tuple), st.booleans(), st.booleans())
releases = st.sampled_from(RELEASES)


@st.composite
def collections(draw: st.DrawFn) -> list[Package]:
    """Packages whose pages are of any stage in any release, some of their specs twins."""
    numbers = iter(range(32**2))
    packages = []
    for name in draw(st.lists(st.sampled_from(_PACKAGES), min_size=1, max_size=3, unique=True)):
        stages = draw(st.dictionaries(releases, st.sampled_from(STAGES), min_size=1, max_size=4))
        held = st.dictionaries(st.sampled_from(sorted(stages)), presences, min_size=1)
        binaries: list[Binary] = []
        for of_binary in draw(st.lists(facts, max_size=4)):
            twins = draw(st.lists(held, min_size=1, max_size=2))
            binaries.extend(Binary(hash_of(next(numbers)), of_binary, present) for present in twins)
        packages.append(Package(name, stages, tuple(binaries)))
    return packages


def hash_of(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return dag_hash(letters[number // 32] + letters[number % 32])


# ---- what must be in the tables ----------------------------------------------------------------

Rows = list[tuple[Any, ...]]


def newest_first(found: set[str]) -> list[str]:
    return sorted(found, key=[*RELEASES, *VERSIONS].index)


def in_stacks(package: Package, binary: Binary, release: str) -> tuple[str, ...]:
    stacks = binary.present[release].stacks
    return stacks if SHAPES[package.stages[release]].root else without_root(stacks)


def all_stacks(package: Package, binary: Binary) -> set[str]:
    return {stack for release in binary.present for stack in in_stacks(package, binary, release)}


def known_compiler(package: Package, binary: Binary) -> tuple[str, str | None, str]:
    """Name, version and both as text."""
    if not any(
        knows_compiler(package.stages[release], presence)
        for release, presence in binary.present.items()
    ):
        return "none", None, "none"
    name, version = binary.facts.compiler
    return name, version, f"{name}@{version}" if version else name


def version_rank(package: Package, version: str) -> int:
    versions = newest_first({binary.facts.version for binary in package.binaries})
    return versions.index(version) + 1


def spec_row(packages: Sequence[Package], package: Package, binary: Binary) -> tuple[Any, ...]:
    facts = binary.facts
    name, version, compiler = known_compiler(package, binary)
    variants = [variant.spelled(several=False) for variant in facts.variants]
    arch = f"arch={facts.platform}-{facts.os}-{facts.target}"
    words = [f"{package.name}@{facts.version}", *variants, arch]
    if compiler != "none":
        words.append(f"%{compiler}")
    known_size = any(presence.knows_size for presence in binary.present.values())
    return (
        *(binary.hash, package.name, facts.version, version_rank(package, facts.version)),
        *(compiler, name, version),
        *(facts.os, facts.platform, facts.target, variants),
        facts.size if known_size else None,
        " ".join(words),
        sorted(all_stacks(package, binary)),
        newest_first(set(binary.present)),
        1 + all_releases(packages).index(newest_first(set(binary.present))[0]),
        *(None, None, None),
    )


def all_releases(packages: Sequence[Package]) -> list[str]:
    return newest_first({release for package in packages for release in package.stages})


def package_row(package: Package) -> tuple[Any, ...]:
    all_facts = [binary.facts for binary in package.binaries]
    return (
        package.name,
        len(package.binaries),
        newest_first({facts.version for facts in all_facts}),
        sorted({known_compiler(package, binary)[2] for binary in package.binaries}),
        sorted({facts.os for facts in all_facts}),
        sorted({facts.platform for facts in all_facts}),
        sorted({facts.target for facts in all_facts}),
        sorted({stack for one in package.binaries for stack in all_stacks(package, one)}),
        newest_first(set(package.stages)),
    )


def release_rows(packages: Sequence[Package]) -> Iterator[tuple[Any, ...]]:
    for position, release in enumerate(all_releases(packages), start=1):
        holding = [
            sum(release in binary.present for binary in package.binaries) for package in packages
        ]
        kind = "version" if release.startswith("v") else "snapshot"
        yield (
            release,
            "develop" if release == "develop" else kind,
            release.removeprefix("develop-") if kind == "snapshot" and "-" in release else None,
            position,
            sum(count > 0 for count in holding),
            sum(holding),
            mirror(packages, release),
            None,
        )


def mirror(packages: Sequence[Package], release: str) -> str:
    tarballs = [address or "" for _, one, address in spec_releases(packages) if one == release]
    early = sum("/releases/" in address for address in tarballs)
    plain = sum(address != "" for address in tarballs) - early
    return f"https://binaries.spack.io/{'releases/' if early > plain else ''}{release}"


def spec_stacks(packages: Sequence[Package]) -> Iterator[tuple[str, str, str]]:
    for package in packages:
        for binary in package.binaries:
            for release in binary.present:
                for stack in in_stacks(package, binary, release):
                    yield binary.hash, stack, release


def stack_rows(packages: Sequence[Package]) -> Iterator[tuple[Any, ...]]:
    rows = list(spec_stacks(packages))
    owner = {binary.hash: package.name for package in packages for binary in package.binaries}
    for name in {stack for _, stack, _ in rows}:
        specs = {spec for spec, stack, _ in rows if stack == name}
        in_releases = {release for _, stack, release in rows if stack == name}
        yield name, len({owner[spec] for spec in specs}), len(specs), newest_first(in_releases)


def spec_releases(packages: Sequence[Package]) -> Iterator[tuple[Any, ...]]:
    for package in packages:
        for binary in package.binaries:
            for release, presence in binary.present.items():
                stage = package.stages[release]
                spec = on_page(stage, binary, presence)
                yield binary.hash, release, tarball(stage, package.name, release, spec)


def source_rows(packages: Sequence[Package]) -> Iterator[tuple[Any, ...]]:
    for package in packages:
        for release in package.stages:
            page = package.page(release)
            yield (
                f"{release}/{package.name}/specs.md",
                "page",
                release,
                package.name,
                *(None, None, None, None),
                sum(release in binary.present for binary in package.binaries),
                len(page),
                hashlib.sha256(page).hexdigest(),
            )


def expected_rows(packages: Sequence[Package]) -> dict[str, Rows]:
    binaries = [binary for package in packages for binary in package.binaries]
    values = [
        (binary.hash, row)
        for binary in binaries
        for row in {row for variant in binary.facts.variants for row in variant.rows()}
    ]
    targets = [binary.facts.target for binary in binaries]
    return {
        "packages": [package_row(package) for package in packages],
        "specs": [
            spec_row(packages, package, one) for package in packages for one in package.binaries
        ],
        "stacks": list(stack_rows(packages)),
        "releases": list(release_rows(packages)),
        "spec_stacks": list(spec_stacks(packages)),
        "spec_releases": list(spec_releases(packages)),
        "variants": [
            (*row, sum(row == other for _, other in values)) for row in {row for _, row in values}
        ],
        "spec_variants": [(spec, row[0]) for spec, row in values],
        "nodes": [
            (binary.hash, package.name, binary.facts.version, "binary", None)
            for package in packages
            for binary in package.binaries
        ],
        "dependencies": [],
        "sources": list(source_rows(packages)),
        "problems": [],
        "targets": [(target, targets.count(target)) for target in set(targets)],
    }


_ARRAYS = {
    "packages": (2, 3, 4, 5, 6, 7, 8),
    "specs": (10, 13, 14),
    "stacks": (3,),
}


def found_rows(database: Path) -> dict[str, Rows]:
    sql = dict.fromkeys(expected_rows([]), "*") | {
        "targets": "name, num_specs",
    }
    with closing(sqlite3.connect(database)) as connection:
        found = {
            table: [list(row) for row in connection.execute(f"SELECT {columns} FROM {table}")]
            for table, columns in sql.items()
        }
    for table, columns in _ARRAYS.items():
        for row in found[table]:
            for column in columns:
                row[column] = json.loads(row[column])
    found["targets"] = [row for row in found["targets"] if row[1]]
    return {table: [tuple(row) for row in rows] for table, rows in found.items()}


# ---- the properties ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for one example after the other."""
    # Nothing here must outlive a power cut.
    with patch("os.fsync"):
        yield tmp_path_factory.mktemp("examples")


@settings(SETTINGS, max_examples=50)
@given(collections())
def test_the_facts_of_the_pages_are_the_facts_of_the_database(
    folder: Path, packages: list[Package]
) -> None:
    pages, database = folder / "pages", folder / "a.db"
    shutil.rmtree(pages, ignore_errors=True)
    for package in packages:
        for release in package.stages:
            write(pages, release, package.name, package.page(release))
    report = build(database, Request((pages,)), print, lambda *_: None, force=True)
    assert report is not None
    assert report.written
    found = found_rows(database)
    for table, rows in expected_rows(packages).items():
        assert sorted(found[table], key=repr) == sorted(rows, key=repr), table
    assert list(verify(database, Request((pages,)))) == []


@dataclass(frozen=True)
class Claim:
    """A page that says little, of which others may say otherwise."""

    root: str
    folders: tuple[str, str]
    release: str
    package: str
    specs: tuple[dict[str, Any], ...]
    tail: str

    def write(self, folder: Path) -> None:
        text = page(self.package, self.release, self.specs, {**meta_of(self.specs), "mood": 1})
        write(folder / self.root, *self.folders, text + self.tail)


few_releases = st.sampled_from(["develop", "develop-2025-03-23", "v0.18"])
few_packages = st.sampled_from(["xz", "zlib"])
claims = st.builds(
    Claim,
    root=st.sampled_from(["one", "two"]),
    folders=st.tuples(few_releases, few_packages),
    release=few_releases,
    package=few_packages,
    specs=st.lists(
        st.builds(
            spec,
            st.sampled_from("abc"),
            compiler=st.sampled_from(["none", "gcc@=1", "gcc@1", "gcc@2"]),
            os=st.sampled_from(["amzn2", "ventura"]),
            size=st.sampled_from(["-", 1, 2]),
            stacks=st.lists(st.sampled_from(["e4s", "root"]), max_size=3),
            variants=st.lists(st.sampled_from(["+a", "~a", "b='c,d'", "b:=d,c"]), max_size=3),
        ),
        max_size=2,
        unique_by=lambda one: one["hash"],
    ).map(tuple),
    tail=st.sampled_from(["", "\n", "\nbody"]),
)


@settings(SETTINGS, max_examples=100)
@given(st.lists(claims, min_size=1, max_size=7))
def test_pages_that_contradict_each_other_are_settled_by_the_rules(
    folder: Path, pages: list[Claim]
) -> None:
    roots, database = folder / "claims", folder / "a.db"
    shutil.rmtree(roots, ignore_errors=True)
    for claim in pages:
        claim.write(roots)
    request = Request((roots,))
    build(database, request, lambda _: None, lambda *_: None, skip_bad=True, force=True)
    assert list(verify(database, request)) == []


@settings(SETTINGS, max_examples=100)
@given(st.randoms(use_true_random=False))
def test_a_damaged_page_is_loaded_whole_or_refused_with_a_message(
    folder: Path, chance: random.Random
) -> None:
    fuzz.attempt(folder, fuzz.damaged(chance, chance.choice(fuzz.PAGES)))
