"""What made-up mirrors are made of: machines of the CI, packages, and what packages need.

The basic packages need what they need in the caches that Spack wrote; all others are made up.
"""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.corpus import FLAGS, make_versions, package_names, words

Value = bool | str | list[str] | None
"""What a variant can be; None where the spec does not have it."""


class Target(NamedTuple):
    """A microarchitecture that an index describes rather than only names."""

    name: str
    vendor: str
    features: Sequence[str]
    generation: int
    parents: Sequence[str]
    cpupart: str


class External(NamedTuple):
    """A package that was on the machine.

    Attributes:
        name: the package.
        version: its version.
        path: where it is.
        module: what is loaded to use it.
        programs: of a compiler, by language.
    """

    name: str
    version: str
    path: str
    module: Sequence[str] | None = None
    programs: dict[str, str] | None = None


class Environment(NamedTuple):
    """Where specs are built: one kind of machine of the CI, and its stacks.

    Attributes:
        platform: `linux`, `darwin` or `windows`.
        os: operating system.
        target: microarchitecture; generic ones are only named.
        externals: what is on the machine.
        compilers: names of externals or packages; the first one is external.
        stacks: the stacks that are built there.
    """

    platform: str
    os: str
    target: str | Target
    externals: tuple[External, ...]
    compilers: tuple[str, ...]
    stacks: tuple[str, ...]


def _gcc(version: str, glibc: str) -> tuple[External, ...]:
    programs = {"c": "/usr/bin/gcc", "cxx": "/usr/bin/g++", "fortran": "/usr/bin/gfortran"}
    return External("gcc", version, "/usr", None, programs), External("glibc", glibc, "/usr")


_ARM = words("""
    aes asimd asimddp asimdhp asimdrdm atomics bf16 cpuid crc32 dcpodp dcpop evtstrm fcma flagm fp
    fphp i8mm ilrcpc jscvt lrcpc pmull sha1 sha2 sha3 sha512 sve svebf16 svei8mm uscat
""")
_NEOVERSE_V1 = Target(
    "neoverse_v1",
    "ARM",
    sorted((*_ARM, "asimdfhm", "dgh", "dit", "rng")),
    0,
    ("neoverse_n1", "armv8.4a"),
    "0xd40",
)
_NEOVERSE_V2 = Target(
    "neoverse_v2",
    "ARM",
    sorted((*_ARM, "asimdfhm", "flagm2", "frint", "sb", "sve2")),
    0,
    ("neoverse_n1", "armv9.0a"),
    "0xd4f",
)
_ZEN4 = Target(
    "zen4",
    "AuthenticAMD",
    words("""
        abm aes avx avx2 avx512_bf16 avx512_bitalg avx512_vbmi2 avx512_vnni avx512_vpopcntdq
        avx512bw avx512cd avx512dq avx512f avx512ifma avx512vbmi avx512vl bmi1 bmi2 clflushopt clwb
        clzero cx16 f16c flush_l1d fma fsgsbase gfni lahf_lm mmx movbe pclmulqdq pku popcnt rdseed
        sse sse2 sse3 sse4_1 sse4_2 sse4a ssse3 vaes vpclmulqdq xsave xsavec xsaveopt
    """),
    0,
    ("zen3", "x86_64_v4"),
    "",
)
_ONEAPI = External(
    "intel-oneapi-compilers",
    "2025.1.0",
    "/opt/intel/oneapi",
    None,
    {
        "c": "/opt/intel/oneapi/compiler/2025.1/bin/icx",
        "cxx": "/opt/intel/oneapi/compiler/2025.1/bin/icpx",
        "fortran": "/opt/intel/oneapi/compiler/2025.1/bin/ifx",
    },
)
_CCE = External(
    "cce",
    "18.0.0",
    "/opt/cray/pe/cce/18.0.0",
    ("PrgEnv-cray/8.5.0", "cce/18.0.0"),
    {"c": "/opt/cray/pe/cce/18.0.0/bin/cc", "cxx": "/opt/cray/pe/cce/18.0.0/bin/CC"},
)
_APPLE = External(
    "apple-clang", "16.0.0", "/usr", None, {"c": "/usr/bin/clang", "cxx": "/usr/bin/clang++"}
)
_MSVC_PATH = "C:/Program Files/Microsoft Visual Studio/2022/Community"
_MSVC = External("msvc", "19.39.33523", _MSVC_PATH, None, {"c": "cl.exe", "cxx": "cl.exe"})

ENVIRONMENTS = (
    Environment(
        "linux", "ubuntu22.04", "x86_64_v3", _gcc("11.4.0", "2.35"), ("gcc",),
        ("e4s", "hep", "data-vis-sdk", "radiuss", "tutorial", "build_systems", "developer-tools"),
    ),
    Environment(
        "linux", "ubuntu22.04", _NEOVERSE_V2, _gcc("12.3.0", "2.35"), ("gcc",),
        ("e4s-neoverse-v2",),
    ),
    Environment(
        "linux", "ubuntu24.04", "x86_64_v3", _gcc("13.2.0", "2.39"), ("gcc", "llvm"),
        (
            "ml-linux-x86_64-cpu", "ml-linux-x86_64-cuda", "ml-linux-x86_64-rocm",
            "bootstrap-x86_64-linux-gnu",
        ),
    ),
    Environment(
        "linux", "ubuntu22.04", "x86_64_v3",
        (_ONEAPI, *_gcc("12.3.0", "2.35"), External("openssl", "3.0.2", "/usr")),
        ("intel-oneapi-compilers",), ("e4s-oneapi",),
    ),
    Environment(
        "linux", "ubuntu24.04", "aarch64", _gcc("13.2.0", "2.39"), ("gcc", "llvm"),
        ("ml-linux-aarch64-cpu", "ml-linux-aarch64-cuda"),
    ),
    Environment(
        "linux", "rhel8", _ZEN4,
        (
            _CCE, *_gcc("13.3.0", "2.28"),
            External("openmpi", "5.0.3", "/opt/openmpi", ("openmpi/5.0.3",)),
        ),
        ("cce", "gcc"), ("e4s-cray-rhel", "e4s-cray-sles"),
    ),
    Environment(
        "linux", "amzn2", _NEOVERSE_V1, _gcc("12.4.0", "2.26"), ("gcc",),
        ("aws-pcluster-neoverse_v1", "aws-isc-aarch64", "e4s-neoverse_v1"),
    ),
    Environment(
        "linux", "amzn2", "x86_64_v4", _gcc("12.4.0", "2.26"), ("gcc",),
        ("aws-pcluster-x86_64_v4", "aws-isc"),
    ),
    Environment(
        "darwin", "sequoia", "aarch64", (_APPLE,), ("apple-clang",),
        ("ml-darwin-aarch64-mps", "developer-tools-darwin"),
    ),
    Environment(
        "linux", "ubuntu22.04", "x86_64_v3", _gcc("12.2.0", "2.36"), ("gcc", "llvm"),
        ("e4s-rocm-external",),
    ),
    Environment(
        "linux", "centos7", "x86_64_v3", _gcc("10.2.1", "2.17"), ("gcc",),
        ("developer-tools-manylinux2014", "developer-tools-x86_64_v3-linux-gnu"),
    ),
    Environment(
        "linux", "ubuntu20.04", "ppc64le", _gcc("9.4.0", "2.31"), ("gcc",), ("e4s-power",),
    ),
    Environment(
        "linux", "rhel8", "aarch64", _gcc("13.3.0", "2.28"), ("gcc",),
        ("developer-tools-aarch64-linux-gnu",),
    ),
    Environment(
        "windows", "windows10.0.20348", "x86_64", (_MSVC,), ("msvc",), ("windows-vis",),
    ),
)  # fmt: skip

_COMPILERS = {compiler for environment in ENVIRONMENTS for compiler in environment.compilers}


def with_stacks(number: int) -> tuple[Environment, ...]:
    """The environments of that many stacks; of 0, all of them without any stack.

    Raises:
        ValueError: there are not so many.
    """
    if not number:
        return tuple(environment._replace(stacks=()) for environment in ENVIRONMENTS)
    # The first of each before the second of any, so that few stacks differ much.
    turns = range(max(len(environment.stacks) for environment in ENVIRONMENTS))
    names = [one.stacks[turn] for turn in turns for one in ENVIRONMENTS if turn < len(one.stacks)]
    if number > len(names):
        raise ValueError(f"{number} stacks asked for, but there are only {len(names)}")
    kept = set(names[:number])
    left = [
        one._replace(stacks=tuple(filter(kept.__contains__, one.stacks))) for one in ENVIRONMENTS
    ]
    return tuple(one for one in left if one.stacks)


def count_externals() -> int:
    """How many different externals all environments have; some have the same system."""
    return len(
        {
            (environment.os, str(environment.target), external.name, external.version)
            for environment in ENVIRONMENTS
            for external in environment.externals
        }
    )


class Need(NamedTuple):
    """What a package depends on.

    Attributes:
        package: the package.
        types: `build`, `link`, `run`.
        virtuals: what it is needed as.
        when: the variant that it is needed for; None if always.
    """

    package: str
    types: tuple[str, ...]
    virtuals: tuple[str, ...] = ()
    when: str | None = None


class Recipe(NamedTuple):
    """A package.

    Attributes:
        name: its name.
        rank: its place; it needs only packages of lower rank.
        weight: how many specs it has, as a multiple of what a middling one has.
        versions: oldest first.
        options: what each variant can be, by name, the usual value first.
        languages: what it is written in: `c`, `cxx`, `fortran`; none if nothing is compiled.
        needs: what it depends on, beside what its languages need.
        patches: SHA-256 of its patches, in the order in which they are applied.
    """

    name: str
    rank: int
    weight: float
    versions: tuple[str, ...]
    options: dict[str, tuple[Value, ...]]
    languages: tuple[str, ...]
    needs: tuple[Need, ...]
    patches: tuple[str, ...]


# Name, build system, languages, needs: how (b, l, r: build, link, run) and as which virtuals.
_BASIC = """
    compiler-wrapper generic -
    gcc-runtime generic - gcc=b glibc=l/libc
    gmake generic c
    gnuconfig generic -
    zlib-ng autotools c,cxx gmake=b
    libiconv autotools c gmake=b
    pkgconf autotools c gmake=b
    xz autotools c gmake=b
    diffutils autotools c gmake=b libiconv=bl/iconv
    bzip2 generic c diffutils=b gmake=b
    zstd makefile c,cxx gmake=b
    ncurses autotools c,cxx gmake=b pkgconf=b/pkgconfig
    readline autotools c gmake=b ncurses=bl
    libxml2 autotools c gmake=b libiconv=bl/iconv pkgconf=b/pkgconfig xz=bl zlib-ng=bl/zlib-api
    pigz makefile c gmake=b zlib-ng=bl/zlib-api
    tar autotools c bzip2=r gmake=b libiconv=bl/iconv pigz=r xz=r zstd=r
    gettext autotools c,cxx bzip2=bl gmake=b libiconv=bl/iconv libxml2=bl ncurses=bl tar=r xz=blr
    gdbm autotools c gmake=b readline=bl
    berkeley-db autotools c,cxx gmake=b
    perl generic c berkeley-db=bl bzip2=bl gdbm=bl gmake=b zlib-ng=bl/zlib-api
    ca-certificates-mozilla generic -
    openssl generic c,cxx ca-certificates-mozilla=b gmake=b perl=b zlib-ng=bl/zlib-api
    libffi autotools c gmake=b
    expat autotools c,cxx gmake=b
    sqlite autotools c gmake=b readline=bl zlib-ng=bl/zlib-api
    util-linux-uuid autotools c gmake=b pkgconf=b/pkgconfig
    python generic c,cxx bzip2=bl expat=bl gdbm=bl gettext=bl gmake=b libffi=bl ncurses=bl
        openssl=bl pkgconf=b/pkgconfig readline=bl sqlite=bl util-linux-uuid=bl/uuid xz=bl
        zlib-ng=bl/zlib-api zstd=bl
    python-venv generic - python=br
    py-pip generic - python=br python-venv=br
    py-setuptools generic - py-pip=b python=br python-venv=br
    py-wheel generic - py-pip=b python=br python-venv=br
    py-cython python_pip c,cxx py-pip=b py-setuptools=br py-wheel=b python=blr python-venv=br
    m4 autotools c,cxx diffutils=b gmake=b
    autoconf autotools - gmake=b m4=br perl=br
    automake autotools c autoconf=b gmake=b perl=br
    libtool autotools c gmake=b m4=b
    nghttp2 autotools c,cxx diffutils=b gmake=b pkgconf=b/pkgconfig
    curl autotools c,cxx gmake=b nghttp2=bl openssl=bl perl=b pkgconf=b/pkgconfig
        zlib-ng=bl/zlib-api
    cmake generic c,cxx curl=bl gmake=br ncurses=bl zlib-ng=bl/zlib-api
    ninja generic cxx python=b
    llvm cmake c,cxx cmake=b gmake=b libxml2=bl ncurses=bl ninja=b perl=br pkgconf=b/pkgconfig
        python=b zlib-ng=bl/zlib-api zstd=bl
    hwloc autotools c gmake=b libxml2=bl ncurses=bl pkgconf=b/pkgconfig
    libevent autotools c gmake=b openssl=bl
    pmix autotools c gmake=b hwloc=bl libevent=bl libtool=b pkgconf=b/pkgconfig
        zlib-ng=bl/zlib-api
    openmpi autotools c,cxx,fortran autoconf=b automake=b gmake=b hwloc=bl libevent=bl libtool=b
        perl=b pkgconf=b/pkgconfig pmix=bl zlib-ng=bl/zlib-api
    openblas makefile c,cxx,fortran gmake=b perl=b
    boost generic cxx bzip2=bl xz=bl zlib-ng=bl/zlib-api zstd=bl
    hdf5 cmake c,fortran cmake=b gmake=b openmpi=bl/mpi pkgconf=r/pkgconfig zlib-ng=bl/zlib-api
    fftw autotools c,fortran gmake=b openmpi=bl/mpi
    py-numpy python_pip c,cxx ninja=b openblas=bl/blas,lapack py-cython=b py-pip=b
        py-setuptools=b py-wheel=b python=blr python-venv=br
    kokkos cmake cxx cmake=b gmake=b
    r autotools c,cxx,fortran bzip2=bl curl=bl gmake=b libtool=b openblas=bl/blas,lapack
        pkgconf=b/pkgconfig readline=bl xz=bl zlib-ng=bl/zlib-api
"""
_TYPES = {"b": "build", "l": "link", "r": "run"}

# What made-up packages of a build system need in any case, and what they are written in.
_SYSTEMS = {
    "cmake": ("cmake=b gmake=b", ("c,cxx", "cxx", "c,cxx,fortran", "c")),
    "autotools": ("autoconf=b automake=b gmake=b libtool=b", ("c", "c,cxx", "c,fortran")),
    "makefile": ("gmake=b", ("c", "c,cxx")),
    "python_pip": (
        "py-pip=b py-setuptools=b py-wheel=b python=br python-venv=br",
        ("-", "-", "-", "c", "c,cxx"),
    ),
    "generic": ("r=br", ("-", "c")),
    "perl": ("perl=br", ("-", "c")),
}
# What many of them need beside that, the most wanted first.
_WANTED = words("""
    zlib-ng=bl/zlib-api pkgconf=b/pkgconfig openmpi=bl/mpi python=br hdf5=bl
    openblas=bl/blas,lapack boost=bl openssl=bl libxml2=bl fftw=bl/fftw-api perl=b curl=bl zstd=bl
    ncurses=bl bzip2=bl hwloc=bl xz=bl kokkos=bl sqlite=bl libiconv=bl/iconv
""")
_WANTED_BY_PYTHON = words("py-numpy=br py-cython=b ninja=b pkgconf=b/pkgconfig openmpi=bl/mpi")

_VALUED: dict[str, tuple[Value, ...]] = {
    "abi": ("none", "6"),
    "amdgpu_target": (["none"], ["gfx90a"], ["gfx906", "gfx908", "gfx90a"]),
    "api": ("default", "v18", "v112"),
    "cuda_arch": (["none"], ["80"], ["70", "80", "90"]),
    "cxxstd": ("17", "11", "14", "20"),
    "fabrics": (["none"], ["ofi", "ucx"], ["auto"]),
    "languages": (["c", "c++", "fortran"], ["c", "c++"], ["c"]),
    "libs": (["shared", "static"], ["shared"], ["static"]),
    "precision": (["double", "float"], ["double"]),
    "schedulers": (["none"], ["slurm"], ["auto"]),
    "threads": ("none", "openmp", "pthreads"),
    "visibility": ("hidden", "global"),
}
_CMAKE: dict[str, tuple[Value, ...]] = {
    "build_type": ("Release", "RelWithDebInfo", "Debug"),
    "generator": ("make", "ninja"),
    "ipo": (False, True),
}


def make_recipes(rng: random.Random, number: int) -> list[Recipe]:
    """Make up that many packages, by rank; the basic ones are always among them.

    Raises:
        ValueError: there are not so many names.
    """
    recipes = [_basic(rng, rank, line) for rank, line in enumerate(_basic_lines())]
    known = {recipe.name for recipe in recipes}
    # What is an external somewhere is never built, so no name is both.
    known |= {one.name for environment in ENVIRONMENTS for one in environment.externals}
    wanted = max(0, number - len(recipes))
    names = [name for name in package_names(wanted + len(known)) if name not in known]
    for name in names[:wanted]:
        recipes.append(_made_up(rng, name, recipes))
    return recipes


def _basic_lines() -> list[str]:
    return _BASIC.strip().replace("\n        ", " ").splitlines()


def _basic(rng: random.Random, rank: int, line: str) -> Recipe:
    name, system, languages, *needs = line.split()
    options = _options(rng, system, plain=languages == "-")
    return _recipe(rng, rank, name, languages, options, [_need(text) for text in needs])


def _need(text: str) -> Need:
    package, _, how = text.partition("=")
    types, _, virtuals = how.partition("/")
    as_virtuals = tuple(virtuals.split(",")) if virtuals else ()
    return Need(package, tuple(_TYPES[letter] for letter in types), as_virtuals)


def _made_up(rng: random.Random, name: str, others: Sequence[Recipe]) -> Recipe:
    system = _system(rng, name)
    always, languages = _SYSTEMS[system]
    python = system == "python_pip"
    options = _options(rng, system, plain=python and rng.random() < 0.8)
    needs = {need.package: need for need in map(_need, always.split())}
    more = [*_wanted(rng, _WANTED_BY_PYTHON if python else _WANTED), *_related(rng, name, others)]
    for need in map(_need, more):
        needs.setdefault(need.package, _perhaps(rng, need, options))
    return _recipe(rng, len(others), name, rng.choice(languages), options, needs.values())


def _system(rng: random.Random, name: str) -> str:
    systems = {"py": "python_pip", "r": "generic", "perl": "perl"}
    return systems.get(_family(name)) or rng.choice(("cmake", "cmake", "autotools", "makefile"))


def _family(name: str) -> str:
    """Of Python, R or Perl; empty for all others."""
    prefix, dash, _ = name.partition("-")
    return prefix if dash and prefix in ("py", "r", "perl") else ""


def _wanted(rng: random.Random, texts: Sequence[str]) -> list[str]:
    weights = [1 / place for place in range(1, len(texts) + 1)]
    return rng.choices(texts, weights, k=min(8, int(rng.expovariate(0.3))))


def _related(rng: random.Random, name: str, others: Sequence[Recipe]) -> list[str]:
    """Other packages that one needs: Python's need Python's, compiled ones compiled ones."""
    family = _family(name)
    near = [one for one in rng.sample(others, min(40, len(others))) if one.name not in _COMPILERS]
    alike = [one.name for one in near if _family(one.name) == family and (family or one.languages)]
    return [other + ("=br" if family else "=bl") for other in alike[: int(rng.expovariate(0.6))]]


def _perhaps(rng: random.Random, need: Need, options: dict[str, tuple[Value, ...]]) -> Need:
    """Let a variant decide over every third need, as `+mpi` and `~mpi` do."""
    if rng.random() < 0.67:
        return need
    variant = need.virtuals[0].removesuffix("-api") if need.virtuals else need.package
    options[variant] = rng.choice(((True, False), (False, True)))
    return need._replace(when=variant)


def _options(rng: random.Random, system: str, *, plain: bool) -> dict[str, tuple[Value, ...]]:
    options: dict[str, tuple[Value, ...]] = {"build_system": (system,)}
    if not plain:
        for flag in rng.sample(FLAGS, rng.randrange(1, 7)):
            options[flag] = rng.choice(((True, False), (False, True)))
        options |= {name: _VALUED[name] for name in rng.sample(list(_VALUED), rng.randrange(3))}
        options |= _CMAKE if system == "cmake" else {}
    return options


def _recipe(
    rng: random.Random,
    rank: int,
    name: str,
    languages: str,
    options: dict[str, tuple[Value, ...]],
    needs: Iterable[Need],
) -> Recipe:
    patches = [f"{rng.getrandbits(256):064x}" for _ in range(rng.choice((0,) * 17 + (1, 2, 3)))]
    if patches:
        options["patches"] = (sorted(patches), None)
    return Recipe(
        name=name,
        rank=rank,
        # A median of 1, and some fifty times that for the largest of a thousand packages.
        weight=rng.lognormvariate(0, 1.2),
        versions=make_versions(rng),
        options={option: options[option] for option in sorted(options)},
        languages=() if languages == "-" else tuple(languages.split(",")),
        needs=tuple(needs),
        patches=tuple(patches),
    )
