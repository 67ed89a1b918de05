"""What people write of specs, and what is read of it."""

import pytest

from web.spack.syntax import Need, Sought, is_read_whole, names_of_compiler, parse


def need(sigil: str, *words: str, virtuals: tuple[str, ...] = (), **node: object) -> Need:
    return Need(sigil == "%", virtuals, Sought(words=words, **node))  # type: ignore[arg-type]


READ = [
    ("^", Sought()),
    ("%%% ^ ^", Sought()),
    ("hdf5 ^", Sought(words=("hdf5",))),
    ("hdf5", Sought(words=("hdf5",))),
    ("hdf5+mpi~cxx", Sought(words=("hdf5",), flags=("+mpi", "~cxx"))),
    ("hdf5 ++mpi -cxx", Sought(words=("hdf5",), flags=("+mpi", "~cxx"))),
    ("hdf5@1.14:", Sought(words=("hdf5",), versions=("1.14:",))),
    ("hdf5/abc", Sought(words=("hdf5",), hashes=("abc",))),
    ("api=v18 os=rhel8", Sought(values=("api=v18",), columns=(("os", "rhel8"),))),
    ("%gcc@13.2", Sought(needs=(need("%", "gcc", versions=("13.2",)),))),
    ("%gcc +mpi", Sought(flags=("+mpi",), needs=(need("%", "gcc"),))),
    ("%c=gcc", Sought(needs=(need("%", "gcc", virtuals=("c",)),))),
    ("% cxx,c=gcc@12", Sought(needs=(need("%", "gcc", virtuals=("c", "cxx"), versions=("12",)),))),
    ('%[virtuals=c,cxx] gcc', Sought(needs=(need("%", "gcc", virtuals=("c", "cxx")),))),
    ("^[deptypes=link virtuals='mpi'] openmpi", Sought(needs=(need("^", "openmpi", virtuals=("mpi",)),))),
    ("^mpi=openmpi", Sought(needs=(need("^", "openmpi", virtuals=("mpi",)),))),
    ("%/abc ^/def", Sought(needs=(need("%", hashes=("abc",)), need("^", hashes=("def",))))),
    ("spack install hdf5", Sought(words=("hdf5",))),
    ("$ spack spec -I hdf5 +mpi", Sought(words=("hdf5",), flags=("+mpi",))),
    ("spack -e env install -j 8 --cache-only hdf5 -mpi", Sought(words=("hdf5",), flags=("~mpi",))),
    ("spack buildcache list --allarch hdf5", Sought(words=("hdf5",))),
    ("$ spack find", Sought()),
    ("spack", Sought(words=("spack",))),
    ("pnetcdf=True chem=false", Sought(flags=("+pnetcdf", "~chem"))),
    ("wrf --chem ~~x", Sought(words=("wrf",), flags=("~chem", "~x"))),
    ("+a~b", Sought(flags=("+a", "~b"))),
    ("build_type='dm+sm'", Sought(values=("build_type=dm+sm",))),
    ("languages='c,c++'", Sought(values=("languages=c", "languages=c++"))),
    ("patches=a,b", Sought(values=("patches=a", "patches=b"))),
    ("patches:=a,b", Sought(exactly=("patches=a,b",))),
    ("note='a b'", Sought(values=("note=a b",))),
    ("gcc@=12.5.0", Sought(words=("gcc",), versions=("=12.5.0",))),
    ("=12.5.0", Sought(versions=("=12.5.0",))),
    ("gcc@ 12, 14:", Sought(words=("gcc",), versions=("12,14:",))),
    ("x@git.dev/fix=1.2", Sought(words=("x",), versions=("git.dev/fix=1.2",))),
    ("target=x86_64: ", Sought(columns=(("target", "x86_64:"),))),
    ("OS=rhel8", Sought(columns=(("os", "rhel8"),))),
    ("arch=linux-None-zen4", Sought(columns=(("platform", "linux"), ("target", "zen4")))),
    ("builtin.gcc", Sought(words=("gcc",))),
    ("spack_repo.builtin.gcc%builtin.GCC", Sought(words=("gcc",), needs=(need("%", "gcc"),))),
    ("%oneapi", Sought(needs=(need("%", "intel-oneapi-compilers"),))),
    ("%%c=clang@17", Sought(needs=(need("%", "llvm", virtuals=("c",), versions=("17",)),))),
    ("^clang", Sought(needs=(need("^", "clang"),))),
    (
        "hdf5 ^openmpi@5 +cuda os=rhel8 ^zlib-ng",
        Sought(
            words=("hdf5",),
            needs=(
                need("^", "openmpi", versions=("5",), flags=("+cuda",), columns=(("os", "rhel8"),)),
                need("^", "zlib-ng"),
            ),
        ),
    ),
    (
        "hdf5 ^zlib %gcc ^cmake",
        Sought(
            words=("hdf5",),
            needs=(need("^", "zlib", needs=(need("%", "gcc"),)), need("^", "cmake")),
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sought"), READ)
def test_a_spec_is_split_as_spack_does(text: str, sought: Sought) -> None:
    assert parse(text) == sought


@pytest.mark.parametrize("text", [text for text, _ in READ])
def test_what_is_written_again_means_the_same(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("^openmpi @5 +cuda os=rhel8", "^openmpi@5+cuda os=rhel8"),
        ("%[virtuals=cxx,c] gcc@=12.2.0", "%c,cxx=gcc@=12.2.0"),
        ("^/ABC", "^/ABC"),
        ("^zlib build_type=Release %gcc", "^zlib build_type=Release %gcc"),
    ],
)
def test_a_dependency_has_one_spelling(text: str, written: str) -> None:
    (found,) = parse(text).needs

    assert str(found) == written


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("^openmpi@5:", True),
        (" ^mpi %gcc ", True),
        ("^xz@!!", False),
        ("^xz ?", False),
        ("^" + "x" * 500, False),
    ],
)
def test_what_is_passed_over_is_told(text: str, is_whole: bool) -> None:
    assert is_read_whole(text) == is_whole


@pytest.mark.parametrize(
    ("package", "legacy"),
    [
        ("intel-oneapi-compilers", "oneapi"),
        ("llvm", "clang"),
        ("llvm-amdgpu", "rocmcc"),
        ("intel-oneapi-compilers-classic", "intel"),
        ("acfl", "arm"),
    ],
)
def test_a_compiler_has_two_names(package: str, legacy: str) -> None:
    assert names_of_compiler(package) == names_of_compiler(legacy) == (package, legacy)


def test_most_compilers_have_one_name() -> None:
    assert names_of_compiler("gcc") == ("gcc",)
