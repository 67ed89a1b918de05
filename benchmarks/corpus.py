"""Made-up page collections of any size, in the source's own layout.

    python -m benchmarks.corpus OUT --size medium

The seed and the arguments decide every byte. What varies between real pages varies here too:
all stages that hold facts, heavy-tailed packages, specs that stay from release to release,
and what is in their variants, stacks, compilers, operating systems and targets.
"""

import datetime
import hashlib
import json
import os
import random
from base64 import b32encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from operator import attrgetter, mul
from pathlib import Path
from typing import Literal, NamedTuple, NotRequired, TypedDict, get_args

import click

Stage = Literal["C1", "C2", "C3", "D", "E", "F", "G"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Shape(NamedTuple):
    """How the pages of one stage are written.

    Attributes:
        mirrors: what a tarball's URL begins with; None where pages hold no tarball.
        root: whether `root`, the release's whole mirror, is among the stacks.
        sorted_keys: whether keys and stacks are sorted.
        sorted_specs: whether specs are sorted by hash.
        exact: whether it says `gcc@=13.2.0` and `x=a` rather than `gcc@13.2.0` and `x:=a`.
    """

    mirrors: str | None
    root: bool = True
    sorted_keys: bool = True
    sorted_specs: bool = True
    exact: bool = True


_MIRRORS = "https://binaries.spack.io"
SHAPES: dict[Stage, Shape] = {
    "C1": Shape(f"{_MIRRORS}/releases", root=False, sorted_keys=False, sorted_specs=False),
    "C2": Shape(f"{_MIRRORS}/releases", sorted_keys=False, sorted_specs=False),
    "C3": Shape(_MIRRORS, sorted_keys=False, sorted_specs=False),
    "D": Shape(_MIRRORS, sorted_specs=False),
    "E": Shape(_MIRRORS),
    "F": Shape(None),
    "G": Shape(None, exact=False),
}


class Spec(NamedTuple):
    """One concrete spec, spelled as on a page of stage G.

    Attributes:
        hash: 32 characters of a-z2-7.
        version: the package's version.
        compiler: `gcc@13.2.0`, or `none`.
        os: operating system.
        platform: `linux`, `darwin` or `windows`.
        target: microarchitecture.
        variants: in the order of the page; a multi-valued one with `:=`.
        stacks: in the order of the page, `root` included.
        size: bytes; None where unknown.
    """

    hash: str
    version: str
    compiler: str
    os: str
    platform: str
    target: str
    variants: tuple[str, ...]
    stacks: tuple[str, ...]
    size: int | None = None


class _Details(TypedDict):
    """An object of `spec_details`."""

    hash: str
    compiler: str
    versions: list[str]
    os: str
    platform: str
    target: str
    variants: list[str]
    stacks: list[str]
    size: int | str
    tarball: NotRequired[str]


def page_text(stage: Stage, package: str, release: str, specs: Sequence[Spec]) -> str:
    """The page of one package in one release, as that stage wrote it.

    Stacks are written as given: for C1, leave `root` out. Names are written unescaped.
    """
    shape = SHAPES[stage]
    if shape.sorted_specs:
        specs = sorted(specs, key=attrgetter("hash"))
    details = [_details(shape, package, release, spec) for spec in specs]
    meta = json.dumps(_meta(details), sort_keys=shape.sorted_keys)
    spec_details = json.dumps(details, sort_keys=shape.sorted_keys)
    return (
        f'---\ntitle: "{package}"\nlayout: cache\ncategories: [package, {release}]\n'
        f"meta: {meta}\nspec_details: {spec_details}\n---"
    )


def tarball(stage: Stage, package: str, release: str, spec: Spec) -> str | None:
    """The URL of a spec's binary on a page of that stage; None from stage F on."""
    return _tarball(SHAPES[stage], package, release, spec)


def _details(shape: Shape, package: str, release: str, spec: Spec) -> _Details:
    details: _Details = {
        "hash": spec.hash,
        "compiler": spec.compiler.replace("@", "@=", 1) if shape.exact else spec.compiler,
        "versions": [spec.version],
        "os": spec.os,
        "platform": spec.platform,
        "target": spec.target,
        "variants": _exact(spec.variants) if shape.exact else list(spec.variants),
        "stacks": sorted(spec.stacks) if shape.sorted_keys else list(spec.stacks),
        "size": "-" if spec.size is None else spec.size,
    }
    if url := _tarball(shape, package, release, spec):
        details["tarball"] = url
    return details


def _exact(variants: Iterable[str]) -> list[str]:
    # Only the first `=` of a variant belongs to its syntax.
    parted = (variant.partition("=") for variant in variants)
    return [name.removesuffix(":") + sign + value for name, sign, value in parted]


def _tarball(shape: Shape, package: str, release: str, spec: Spec) -> str | None:
    if shape.mirrors is None:
        return None
    arch = f"{spec.platform}-{spec.os}-{spec.target}"
    compiler = spec.compiler.replace("@", "-", 1)
    name = f"{package}-{spec.version}"
    folder = f"{shape.mirrors}/{release}/build_cache/{arch}/{compiler}/{name}"
    return f"{folder}/{arch}-{compiler}-{name}-{spec.hash}.spack"


def _meta(details: Sequence[_Details]) -> dict[str, object]:
    num_specs_by_stack = Counter(stack for spec in details for stack in spec["stacks"])
    return {
        "versions": _unique(spec["versions"][0] for spec in details),
        "compilers": _unique(spec["compiler"] for spec in details),
        "oss": _unique(spec["os"] for spec in details),
        "platforms": _unique(spec["platform"] for spec in details),
        "targets": _unique(spec["target"] for spec in details),
        "stacks": _unique(num_specs_by_stack),
        "num_specs": len(details),
        "num_specs_by_stack": num_specs_by_stack,
    }


def _unique(values: Iterable[str]) -> list[str]:
    return sorted(set(values))


class Size(NamedTuple):
    """How large a collection is.

    Attributes:
        releases: how many releases, develop included.
        packages: how many packages there are; a release holds nearly all of them.
        entries: about how many specs, each counted once for each release that holds it.
        develop: about which share of the entries is in develop.
    """

    releases: int
    packages: int
    entries: int
    develop: float


SIZES = {
    "small": Size(releases=16, packages=75, entries=10_000, develop=0.15),
    "medium": Size(releases=20, packages=1_500, entries=390_000, develop=0.065),
    "full": Size(releases=101, packages=1_230, entries=1_100_000, develop=0.344),
    "huge": Size(releases=101, packages=4_470, entries=4_000_000, develop=0.344),
}


def resized(
    size: Size,
    releases: int | None = None,
    packages: int | None = None,
    entries: int | None = None,
) -> Size:
    """A size with other numbers; the entries go with the pages unless they are given."""
    new = size._replace(releases=releases or size.releases, packages=packages or size.packages)
    pages = new.releases * new.packages / (size.releases * size.packages)
    return new._replace(entries=entries or round(size.entries * pages))


class Release(NamedTuple):
    """One release of the collection.

    Attributes:
        name: as on the pages.
        stage: the stage of most of its pages.
        age: when it was made, from just above 0 for the oldest to 1 for develop.
    """

    name: str
    stage: Stage
    age: float


# Spack's releases with the month they were made in.
_VERSIONS = {
    "v0.18": "2022-05",
    "v0.18.0": "2022-05",
    "v0.18.1": "2022-07",
    "v0.19.0": "2022-11",
    "v0.19.1": "2023-02",
    "v0.19.2": "2023-04",
    "v0.20.0": "2023-05",
    "v0.20.1": "2023-07",
    "v0.20.2": "2023-10",
    "v0.20.3": "2023-10",
    "v0.21.0": "2023-11",
    "v0.21.1": "2024-01",
    "v0.21.2": "2024-03",
    "v0.22.0": "2024-05",
    "v0.22.1": "2024-07",
    "v0.22.2": "2024-09",
    "v0.23.0": "2024-11",
    "v0.23.1": "2025-02",
    "v2025.07.0": "2025-07",
}
_NEWEST_SNAPSHOT = datetime.date(2025, 7, 20)

# The stages of releases from the oldest to develop: from fifteen releases on, each occurs.
_STAGE_LINE: tuple[Stage, ...] = (
    *("C1", "C2", "C3", "D", "E"),
    *("F", "F", "F", "F"),
    *("G", "G", "G", "G", "G", "G"),
)


def timeline(releases: int) -> tuple[Release, ...]:
    """That many releases, oldest first: up to a quarter versions, weekly snapshots, develop."""
    versions = _spread(list(_VERSIONS), min(len(_VERSIONS), releases // 4))
    weeks = range(releases - 1 - len(versions))
    snapshots = [str(_NEWEST_SNAPSHOT - datetime.timedelta(weeks=week)) for week in weeks]
    dated = {version: _VERSIONS[version] for version in versions}
    dated |= {f"develop-{date}": date for date in snapshots}
    names = [*sorted(dated, key=lambda name: dated[name]), "develop"]
    return tuple(
        Release(
            name,
            _STAGE_LINE[-1 - (releases - place) * len(_STAGE_LINE) // releases],
            place / releases,
        )
        for place, name in enumerate(names, start=1)
    )


def _spread(names: list[str], wanted: int) -> list[str]:
    return [names[place * (len(names) - 1) // max(1, wanted - 1)] for place in range(wanted)]


class Environment(NamedTuple):
    """Where specs are built: one machine of the CI, its compilers and its stacks."""

    platform: str
    os: str
    targets: tuple[str, ...]
    compilers: tuple[str, ...]
    stacks: tuple[str, ...]


ENVIRONMENTS = (
    Environment(
        "linux", "ubuntu22.04", ("x86_64_v3",), ("gcc@11.4.0", "gcc@12.3.0"),
        (
            "e4s", "e4s-rocm-external", "hep", "tutorial", "data-vis-sdk", "radiuss",
            "build_systems", "developer-tools",
        ),
    ),
    Environment(
        "linux", "ubuntu24.04", ("x86_64_v3",), ("gcc@13.2.0",),
        ("ml-linux-x86_64-cpu", "ml-linux-x86_64-cuda", "ml-linux-x86_64-rocm"),
    ),
    Environment(
        "linux", "ubuntu24.04", ("aarch64",), ("gcc@13.2.0",),
        ("ml-linux-aarch64-cpu", "ml-linux-aarch64-cuda"),
    ),
    Environment(
        "darwin", "sequoia", ("aarch64",), ("apple-clang@16.0.0",),
        ("ml-darwin-aarch64-mps", "developer-tools-darwin"),
    ),
    Environment(
        "darwin", "ventura", ("aarch64",), ("apple-clang@15.0.0",), ("ml-darwin-aarch64-mps",)
    ),
    Environment("linux", "ubuntu22.04", ("neoverse_v2",), ("gcc@11.4.0",), ("e4s-neoverse-v2",)),
    Environment("linux", "ubuntu22.04", ("neoverse_v1",), ("gcc@11.4.0",), ("e4s-neoverse_v1",)),
    Environment(
        "linux", "ubuntu22.04", ("x86_64_v3",),
        ("oneapi@2024.2.1", "intel-oneapi-compilers@2025.1.0"), ("e4s-oneapi",),
    ),
    Environment("linux", "ubuntu20.04", ("ppc64le",), ("gcc@9.4.0",), ("e4s-power",)),
    Environment(
        "linux", "ubuntu20.04", ("x86_64_v3", "x86_64"), ("gcc@11.1.0", "gcc@9.4.0"),
        ("e4s", "data-vis-sdk", "tutorial"),
    ),
    Environment(
        "linux", "ubuntu18.04", ("x86_64", "x86_64_v3"), ("gcc@7.5.0", "gcc@8.4.0"),
        ("build_systems", "radiuss", "developer-tools", "e4s", "tutorial"),
    ),
    Environment(
        "linux", "amzn2", ("x86_64_v3", "x86_64_v4"),
        ("gcc@7.3.1", "gcc@12.4.0", "intel@2021.10.0"),
        ("aws-isc", "aws-pcluster-x86_64_v4", "radiuss-aws", "aws-ahug"),
    ),
    Environment(
        "linux", "amzn2", ("aarch64", "neoverse_n1", "neoverse_v1", "graviton2"),
        ("gcc@7.3.1", "gcc@12.4.0"),
        (
            "aws-isc-aarch64", "aws-pcluster-neoverse_v1", "radiuss-aws-aarch64",
            "aws-ahug-aarch64",
        ),
    ),
    Environment(
        "linux", "centos7", ("x86_64_v3",), ("gcc@10.2.1", "gcc@10.5.0"),
        ("developer-tools-manylinux2014", "developer-tools-x86_64_v3-linux-gnu"),
    ),
    Environment(
        "linux", "rhel8", ("aarch64",), ("gcc@13.3.0",), ("developer-tools-aarch64-linux-gnu",)
    ),
    Environment(
        "linux", "rhel8", ("x86_64_v3", "zen4"), ("cce@15.0.1", "cce@18.0.0"), ("e4s-cray-rhel",)
    ),
    Environment("linux", "sle_hpc15", ("x86_64_v3", "zen4"), ("cce@15.0.1",), ("e4s-cray-sles",)),
    Environment(
        "windows", "windows10.0.20348", ("x86_64",), ("msvc@19.39.33523",), ("windows-vis",)
    ),
)  # fmt: skip

# From which age and until which age a stack is built; the others always are.
_LIVES = {
    "aws-ahug": (0.0, 0.4),
    "aws-ahug-aarch64": (0.0, 0.4),
    "radiuss-aws": (0.0, 0.7),
    "radiuss-aws-aarch64": (0.0, 0.7),
    "build_systems": (0.0, 0.9),
    "e4s-cray-sles": (0.3, 0.8),
    "e4s-cray-rhel": (0.3, 2.0),
    "e4s-neoverse_v1": (0.2, 2.0),
    "e4s-neoverse-v2": (0.4, 2.0),
    "e4s-rocm-external": (0.3, 2.0),
    "ml-linux-x86_64-rocm": (0.1, 2.0),
    "ml-linux-aarch64-cpu": (0.5, 2.0),
    "ml-linux-aarch64-cuda": (0.5, 2.0),
    "hep": (0.7, 2.0),
    "windows-vis": (0.5, 2.0),
    "developer-tools": (0.4, 2.0),
    "developer-tools-manylinux2014": (0.6, 2.0),
    "developer-tools-x86_64_v3-linux-gnu": (0.7, 2.0),
    "developer-tools-aarch64-linux-gnu": (0.8, 2.0),
    "developer-tools-darwin": (0.9, 2.0),
}


def is_built(stack: str, age: float) -> bool:
    """Whether releases of that age have the stack."""
    since, until = _LIVES.get(stack, (0.0, 2.0))
    return since <= age < until


def words(text: str) -> tuple[str, ...]:
    """What stands between white space."""
    return tuple(text.split())


FLAGS = words("""
    adios2 atomics blas build-tests cereal cfitsio cuda curl cxx cxx_exceptions docs double examples
    fortran gdal hdf5 hip hl hwloc hypre icu int64 internal-hwloc java jpeg json level_zero libxml2
    map metis mpi ncurses netcdf nls numpy opencl openmp openssl optimize parmetis pic plugins png
    profiling python rocm shared sigsegv static szip tests threadsafe tiff tools trilinos
    unit_tests visit wrapper-rpath x11 zfp zlib
""")
_VALUED = {
    "abi": ("abi=none", "abi=6"),
    "amdgpu_target": (
        "amdgpu_target:=none",
        "amdgpu_target:=gfx90a",
        "amdgpu_target:=gfx906,gfx908,gfx90a",
    ),
    "api": ("api=default", "api=v18", "api=v112"),
    "build_type": ("build_type='dm+sm'", "build_type=dmpar", "build_type=serial"),
    "cache_base": ("cache_base=/dev/shm", "cache_base=/tmp"),
    "certs": ("certs=mozilla", "certs=system"),
    "cuda_arch": ("cuda_arch:=none", "cuda_arch:=80", "cuda_arch:=70,80,90"),
    "cxxstd": ("cxxstd=14", "cxxstd=11", "cxxstd=17", "cxxstd=20"),
    "datatype-engine": ("datatype-engine=auto", "datatype-engine=dataloop"),
    "fabrics": ("fabrics:=none", "fabrics:=ofi,ucx", "fabrics:=auto"),
    "languages": (
        "languages:='c,c++,fortran'",
        "languages:='c,c++'",
        "languages:=c",
    ),
    "libs": ("libs:=shared,static", "libs:=shared", "libs:=static"),
    "log_failure_threshold": ("log_failure_threshold=MAX",),
    "schedulers": ("schedulers:=none", "schedulers:=slurm", "schedulers:=auto"),
    "targets": ("targets:=all", "targets:=host", "targets:=aarch64,x86"),
    "threads": ("threads=none", "threads=openmp", "threads=pthreads"),
    "visibility": ("visibility=hidden", "visibility=global"),
}
_CMAKE = {
    "build_type": ("build_type=Release", "build_type=RelWithDebInfo", "build_type=Debug"),
    "generator": ("generator=make", "generator=ninja"),
    "ipo": ("~ipo", "+ipo"),
}

# Packages with versions that no rule makes up, oldest first.
_ODD_VERSIONS = (
    ("master",),
    ("develop",),
    ("2.26-t9b_atlas",),
    ("2024.1.0", "2025.2.0-snapshot"),
    ("22-11-2-1", "23-02-4-1"),
    ("2206", "2312", "2412"),
    ("2022.05.16", "2023.08.25"),
    ("1.1.1o", "1.1.1w"),
    ("9.0p1", "9.9p1"),
    ("7.3.1", "9.4.0", "10.5.0"),
)

_KNOWN_PACKAGES = words("""
    abseil-cpp adios2 amrex arborx autoconf berkeley-db boost bzip2 ca-certificates-mozilla cmake
    curl fftw gcc gmake hdf5 hypre kokkos libxml2 llvm mpich ncurses netcdf-c openblas openmpi
    openssl paraview perl petsc py-cloudpickle py-filelock py-msgpack py-numpy py-torch python r
    slepc sundials trilinos xz zlib
""")
_HEADS = words("""
    aero agile astro bayes binary bio cell chem cloud cosmo data deep dense edge fast field finite
    flow fluid geo grid hyper ion lattice linear mesh meta micro multi neuro node open optic para
    photo plasma proto quant rapid ray shear solar sparse star tensor thermo trace ultra vector wave
""")
_TAILS = words("""
    base bench bridge build cache calc check code core craft cut db dock engine fit flow forge fs
    gate graph io kit lab lib link log map mark math mesh net pack path pipe plot pool port scope
    seq set shape sim solve sort stat sync tools tree view ware zip
""")
_PREFIXES = ("", "py-", "", "py-", "r-", "", "py-", "perl-")


class Package(NamedTuple):
    """One package of the collection.

    Attributes:
        name: as on the pages.
        weight: how many specs it has, as a multiple of what a middling one has.
        first: the index of the first release that holds it.
        last: the index of the last one.
    """

    name: str
    weight: float
    first: int
    last: int


class Plan(NamedTuple):
    """What all packages of a collection have in common.

    Attributes:
        seed: decides all that is random.
        releases: oldest first.
        extra: for each release, how many specs a package of weight 1 has beyond its first.
    """

    seed: int
    releases: tuple[Release, ...]
    extra: tuple[float, ...]


def make_plan(size: Size, seed: int) -> tuple[Plan, list[Package]]:
    """Decide the packages of a collection, and how they add up to the entries asked for.

    Raises:
        ValueError: too few entries for the pages, a release without a package, or more
            packages than there are names.
    """
    rng = random.Random(f"{seed}")
    releases = timeline(size.releases)
    packages = [_package(rng, name, size.releases) for name in package_names(size.packages)]
    return Plan(seed, releases, _extra(size, releases, packages)), packages


def package_names(wanted: int) -> list[str]:
    """That many names of packages: some real ones, then made-up ones.

    Raises:
        ValueError: there are not so many.
    """
    stems = [head + tail for head in _HEADS for tail in _TAILS]
    made_up = (
        _PREFIXES[(place + turn) % len(_PREFIXES)] + stem
        for turn in range(len(_PREFIXES))
        for place, stem in enumerate(stems)
    )
    names = list(dict.fromkeys([*_KNOWN_PACKAGES, *made_up]))
    if wanted > len(names):
        raise ValueError(f"{wanted} packages asked for, but there are only {len(names)} names")
    return names[:wanted]


def _package(rng: random.Random, name: str, releases: int) -> Package:
    # A median of 1, and some fifty times that for the largest of a thousand packages.
    weight = rng.lognormvariate(0, 1.2)
    first, last = 0, releases - 1
    if rng.random() < 0.06:
        if rng.random() < 0.5:
            first = rng.randrange(1, releases)
        else:
            last = rng.randrange(releases - 1)
    return Package(name, weight, first, last)


def _extra(
    size: Size, releases: Sequence[Release], packages: Sequence[Package]
) -> tuple[float, ...]:
    held = [[p for p in packages if p.first <= place <= p.last] for place in range(len(releases))]
    pages = [len(packages) for packages in held]
    if not all(pages):
        raise ValueError(f"too few packages ({size.packages}): a release would have none")
    weights = [sum(package.weight for package in packages) for packages in held]
    # A collection grows: the newest snapshot is about twice the size of the oldest release.
    growth = [0.7 + 0.6 * release.age for release in releases[:-1]]
    develop = size.entries * size.develop
    rest = size.entries - develop - sum(pages[:-1])
    if develop < pages[-1] or rest < 0:
        raise ValueError(f"{size.entries} entries are too few for {sum(pages)} pages")
    scale = rest / sum(map(mul, growth, weights[:-1]))
    return (*(scale * grown for grown in growth), (develop - pages[-1]) / weights[-1])


class _Builder:
    """Makes up the specs of one package, each of them new."""

    def __init__(self, seed: int, package: Package, rng: random.Random) -> None:
        self._rng = rng
        self._hashes = (_dag_hash(f"{seed}/{package.name}/{number}") for number in count())
        places = min(len(ENVIRONMENTS), 1 + rng.randrange(3) + int(2 * package.weight))
        self._environments = rng.sample(ENVIRONMENTS, places)
        self._versions = make_versions(rng)
        self._options = _options(rng, python=package.name.startswith("py-"))
        self._configurations = [tuple(options[0] for options in self._options)]

    def spec(self, age: float) -> Spec:
        """A spec that is built for the first time at that age, with all stacks of its own."""
        rng = self._rng
        environment = self._environment(age)
        return Spec(
            hash=next(self._hashes),
            version=self._version(age),
            compiler=rng.choice(environment.compilers),
            os=environment.os,
            platform=environment.platform,
            target=rng.choice(environment.targets),
            variants=tuple(filter(None, self._configuration())),
            stacks=self._stacks(environment, age),
        )

    def _environment(self, age: float) -> Environment:
        running = [
            environment
            for environment in self._environments
            if any(is_built(stack, age) for stack in environment.stacks)
        ]
        return self._rng.choice(running or ENVIRONMENTS[:1])

    def _version(self, age: float) -> str:
        newest = min(len(self._versions) - 1, int(age * len(self._versions)))
        return self._versions[max(0, newest - self._rng.randrange(2))]

    def _configuration(self) -> tuple[str, ...]:
        # Tuned so that about a quarter of all hashes have variants of their own.
        configuration = self._rng.choice(self._configurations)
        if self._rng.random() < 0.8:
            configuration = tuple(
                self._rng.choice(options) if self._rng.random() < 0.3 else value
                for value, options in zip(configuration, self._options, strict=True)
            )
            self._configurations.append(configuration)
        return configuration

    def _stacks(self, environment: Environment, age: float) -> tuple[str, ...]:
        built = [stack for stack in environment.stacks if is_built(stack, age)]
        number = 1 + int(self._rng.expovariate(0.75))
        return tuple(self._rng.sample(built, min(len(built), number)))


def _dag_hash(name: str) -> str:
    return b32encode(hashlib.sha256(name.encode()).digest()[:20]).decode().lower()


def make_versions(rng: random.Random) -> tuple[str, ...]:
    """The versions of a package, oldest first."""
    if rng.random() < 0.12:
        return rng.choice(_ODD_VERSIONS)
    major, minor, patch = rng.randrange(9), rng.randrange(20), 0
    versions = []
    for _ in range(1 + int(rng.expovariate(0.5))):
        versions.append(f"{major}.{minor}.{patch}")
        if rng.random() < 0.6:
            minor, patch = minor + 1, 0
        else:
            patch += 1
    return tuple(versions)


def _options(rng: random.Random, *, python: bool) -> list[tuple[str, ...]]:
    """What each variant of a package can be, in the order of the page; empty for left out."""
    if rng.random() < 0.03:
        return []
    systems = ("python_pip",) if python else ("cmake", "cmake", "autotools", "generic")
    system = rng.choice(systems)
    options: dict[str, tuple[str, ...]] = {"build_system": (f"build_system={system}",)}
    if not python or rng.random() < 0.1:
        flags = rng.sample(FLAGS, rng.randrange(2, 10))
        options |= {flag: (f"{rng.choice('+~')}{flag}", f"~{flag}", f"+{flag}") for flag in flags}
        options |= {name: _VALUED[name] for name in rng.sample(list(_VALUED), rng.randrange(3))}
        options |= _CMAKE if system == "cmake" else {}
        options |= _sources(rng)
    return [options[name] for name in sorted(options)]


def _sources(rng: random.Random) -> dict[str, tuple[str, ...]]:
    """Variants that say what was built from: patches and commits."""
    options: dict[str, tuple[str, ...]] = {}
    if rng.random() < 0.25:
        patches = [f"{rng.getrandbits(28):07x}" for _ in range(rng.randrange(1, 4))]
        options["patches"] = (f"patches:={','.join(sorted(patches))}", "")
    if rng.random() < 0.05:
        options["commit"] = tuple(f"commit={rng.getrandbits(160):040x}" for _ in range(4))
    return options


# A release's specs that are in the next one too, and its other specs that come back from
# before, so that a spec's releases can have gaps.
_KEPT = 0.7
_REVIVED = 0.02


def _history(
    plan: Plan, package: Package, rng: random.Random
) -> Iterator[tuple[Release, list[Spec]]]:
    """The releases that hold a package, oldest first, each with its specs in no order."""
    builder = _Builder(plan.seed, package, rng)
    fraction = rng.random()
    known: list[Spec] = []
    specs: list[Spec] = []
    for place in range(package.first, package.last + 1):
        release = plan.releases[place]
        wanted = 1 + int(plan.extra[place] * package.weight + fraction)
        specs = _kept(rng, release, wanted, specs, known)
        specs += _added(rng, builder, release, wanted - len(specs), specs, known)
        rng.shuffle(specs)
        yield release, specs


def _kept(
    rng: random.Random,
    release: Release,
    wanted: int,
    specs: Sequence[Spec],
    known: Sequence[Spec],
) -> list[Spec]:
    # Upstream adds to develop's mirror all the time and prunes only what is old.
    if release.name == "develop" and wanted > len(known):
        return list(known[len(known) // 10 :])
    return [spec for spec in specs if rng.random() < _KEPT][:wanted]


def _added(
    rng: random.Random,
    builder: _Builder,
    release: Release,
    wanted: int,
    kept: Sequence[Spec],
    known: list[Spec],
) -> list[Spec]:
    """Specs to fill a release up with; the new ones are noted in `known`."""
    hashes = {spec.hash for spec in kept}
    added = []
    for _ in range(wanted):
        spec = rng.choice(known) if known and rng.random() < _REVIVED else None
        if spec is None or spec.hash in hashes:
            spec = builder.spec(release.age)
            known.append(spec)
        hashes.add(spec.hash)
        added.append(spec)
    return added


class Totals(NamedTuple):
    """What was written.

    Attributes:
        pages: number of pages.
        bytes: their size together.
        entries: number of specs, each counted once for each release that holds it.
        hashes: number of distinct specs.
    """

    pages: int
    bytes: int
    entries: int
    hashes: int


def write_corpus(out: Path, size: Size, seed: int, jobs: int) -> Totals:
    """Write a collection to `out/_cache`, with that many processes.

    Raises:
        FileExistsError: there is one already.
        ValueError: as `make_plan` says.
    """
    plan, packages = make_plan(size, seed)
    cache = out / "_cache"
    cache.mkdir(parents=True)
    for release in plan.releases:
        (cache / release.name).mkdir()
    write = partial(_write_package, cache, plan)
    if jobs == 1:
        return _sum(map(write, packages))
    with ProcessPoolExecutor(jobs) as pool:
        return _sum(pool.map(write, packages, chunksize=8))


def _sum(parts: Iterable[Totals]) -> Totals:
    return Totals(*map(sum, zip(*parts, strict=True)))


def _write_package(cache: Path, plan: Plan, package: Package) -> Totals:
    rng = random.Random(f"{plan.seed}/{package.name}")
    # Built without a compiler: stage G says so, older pages name one all the same.
    pure = package.name.startswith("py-") and rng.random() < 0.7
    hashes: set[str] = set()
    pages = size = entries = 0
    for release, specs in _history(plan, package, rng):
        stage = _page_stage(rng, release)
        on_page = [_on_page(rng, stage, release.age, spec, pure=pure) for spec in specs]
        text = page_text(stage, package.name, release.name, on_page)
        folder = cache / release.name / package.name
        folder.mkdir()
        size += (folder / "specs.md").write_bytes(text.encode())
        hashes.update(spec.hash for spec in specs)
        entries += len(specs)
        pages += 1
    return Totals(pages, size, entries, len(hashes))


def _page_stage(rng: random.Random, release: Release) -> Stage:
    # Some pages were not generated again when the others were.
    older = rng.random() < 0.05
    return STAGES[max(0, STAGES.index(release.stage) - older)]


def _on_page(rng: random.Random, stage: Stage, age: float, spec: Spec, *, pure: bool) -> Spec:
    """A spec as its page tells it: the stacks it is in by then, and no compiler if G says so."""
    stacks = [s for s in spec.stacks if is_built(s, age) and rng.random() < 0.97]
    if SHAPES[stage].root:
        stacks.insert(rng.randrange(len(stacks) + 1), "root")
    compiler = "none" if pure and stage == "G" else spec.compiler
    return spec._replace(compiler=compiler, stacks=tuple(stacks))


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--size", "name", type=click.Choice(list(SIZES)), default="medium", show_default=True)
@click.option("--releases", type=click.IntRange(2), help="Instead of the size's own number.")
@click.option("--packages", type=click.IntRange(1), help="Instead of the size's own number.")
@click.option("--entries", type=click.IntRange(1), help="About how many; else in proportion.")
@click.option("--seed", default=1, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Processes.")
def main(
    out: Path,
    name: str,
    releases: int | None,
    packages: int | None,
    entries: int | None,
    seed: int,
    jobs: int,
) -> None:
    """Write a made-up page collection to OUT/_cache."""
    size = resized(SIZES[name], releases, packages, entries)
    try:
        totals = write_corpus(out, size, seed, jobs)
    except (FileExistsError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(", ".join(f"{value:,} {what}" for what, value in totals._asdict().items()))


if __name__ == "__main__":
    main()
