"""A damaged index is refused whole, with a message that helps, and the others are loaded."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result

from tests.etl import mirror
from tests.etl.cache_builds import problems, query, run
from tests.etl.mirror import dep, index, record, spell
from tests.pages import dag_hash

BAD = dag_hash("bad")
JSON = {"json"}
TYPE = {"type"}
MISSING = {"missing-key"}
NUMBER = {"json", "type"}
"""NaN is no JSON, and no value of any key."""
DEEP = {"json", "too-large", "type"}
VERSION = {"database-version"}
CHECKSUM = {"checksum"}
MANIFEST = {"manifest"}
ANY = {"checksum", "encoding", "json", "manifest", "too-large", "unreadable"}

Change = Callable[[dict[str, Any]], object]


class Case(NamedTuple):
    """A cache that cannot be loaded.

    Attributes:
        name: of the folder it is written to.
        write: writes it there.
        kinds: what the problem can be called.
        names_hash: whether it is one record's fault, which the message names.
    """

    name: str
    write: Callable[[Path], object]
    kinds: set[str]
    names_hash: bool = False


def bare(name: str, content: Any, kinds: set[str], *, names_hash: bool = False) -> Case:
    return Case(name, lambda folder: mirror.write_bare(folder, content), kinds, names_hash)


def one_record(
    name: str, change: Change, kinds: set[str], version: str = "8", *, names_hash: bool = True
) -> Case:
    """An index with a good record and a bad one, which is a good one with a change."""
    told = spell(record("zlib", word="bad", deps=[dep("good")]), version)
    change(told)
    content = index(record("good"), version=version, changes={BAD: told})
    return bare(name, content, kinds, names_hash=names_hash)


def put_in(*path: str, value: Any) -> Change:
    """Sets a value somewhere below a record."""

    def change(told: dict[str, Any]) -> None:
        *above, last = path
        for key in above:
            told = told[key]
        told[last] = value

    return change


def take(*path: str) -> Change:
    """Takes a key away somewhere below a record."""

    def change(told: dict[str, Any]) -> None:
        *above, last = path
        for key in above:
            told = told[key]
        del told[last]

    return change


def needs(**changes: Any) -> Change:
    """Changes the only dependency of a record; None takes a key away."""

    def change(told: dict[str, Any]) -> None:
        (needed,) = told["spec"]["dependencies"]
        needed |= changes
        for key in [key for key, value in changes.items() if value is None]:
            del needed[key]

    return change


def needs_as(**changes: Any) -> Change:
    """Changes how a record needs its only dependency."""
    return needs(parameters={"deptypes": ["build"], "virtuals": []} | changes)


def wrong_types() -> Iterator[Case]:
    for number, (path, value) in enumerate(
        [
            (("spec",), "text"),
            (("spec",), 5),
            (("spec", "version"), 1.5),
            (("spec", "version"), ["1.5"]),
            (("spec", "name"), 5),
            (("spec", "hash"), 5),
            (("spec", "namespace"), 5),
            (("spec", "namespace"), ["builtin"]),
            (("spec", "arch"), "linux-ubuntu22.04-x86_64"),
            (("spec", "arch", "platform"), 5),
            (("spec", "arch", "platform_os"), []),
            (("spec", "arch", "target"), 5),
            (("spec", "arch", "target"), ["zen4"]),
            (("spec", "arch", "target"), {"name": 5}),
            (("spec", "parameters"), []),
            (("spec", "parameters"), "+mpi"),
            (("spec", "parameters", "x"), 5),
            (("spec", "parameters", "x"), 1.5),
            (("spec", "parameters", "x"), None),
            (("spec", "parameters", "x"), {"a": "b"}),
            (("spec", "parameters", "x"), ["a", 5]),
            (("spec", "parameters", "x"), [["a"]]),
            (("spec", "parameters", "x"), [True]),
            (("spec", "parameters", "patches"), [5]),
            (("spec", "parameters", "cflags"), "-O2"),
            (("spec", "parameters", "cflags"), True),
            (("spec", "parameters", "ldlibs"), [5]),
            (("spec", "dependencies"), "zlib"),
            (("spec", "dependencies"), 5),
            (("spec", "dependencies"), [5]),
            (("spec", "dependencies"), [["zlib"]]),
            (("spec", "external"), "/usr"),
            (("spec", "external"), {"path": 5, "module": None}),
            (("spec", "external"), {"path": None, "module": 5}),
            (("spec", "external"), {"path": None, "module": [5]}),
            (("spec", "build_spec"), "zlib"),
            (("spec", "build_spec"), {"name": "zlib", "hash": 5}),
            (("spec", "build_spec"), {"name": 5, "hash": BAD}),
            (("spec", "annotations"), []),
            (("spec", "annotations", "compiler"), 5),
            (("in_buildcache",), "true"),
            (("in_buildcache",), 1),
        ]
    ):
        yield one_record(f"type-{number}-{path[-1]}", put_in(*path, value=value), TYPE)
    for number, change in enumerate(
        [
            needs(name=5),
            needs(hash=5),
            needs(parameters=[]),
            needs_as(deptypes="build"),
            needs_as(deptypes=[5]),
            needs_as(virtuals="mpi"),
            needs_as(virtuals=[5]),
        ]
    ):
        yield one_record(f"type-dependency-{number}", change, TYPE)
    for version, number, path, value in [
        ("7", 1, ("spec", "compiler"), "gcc@12.2.0"),
        ("7", 2, ("spec", "compiler", "version"), 12.2),
        ("7", 3, ("spec", "compiler", "name"), 5),
        ("6", 4, ("spec", "dependencies"), [{"name": "good", "hash": BAD, "type": "build"}]),
        ("5", 5, ("spec", "zlib"), 5),
        ("5", 6, ("spec", "zlib", "dependencies"), {"good": BAD}),
        ("5", 7, ("spec",), {}),
        ("5", 8, ("spec", "another"), {}),
    ]:
        change = put_in(*path, value=value)
        yield one_record(f"type-v{version}-{number}", change, TYPE | MISSING, version)
    yield bare("type-record", index(changes={BAD: []}), TYPE, names_hash=True)
    yield bare("type-record-text", index(changes={BAD: "x"}), TYPE, names_hash=True)
    for number, content in enumerate(
        [
            [],
            "null",
            "5",
            {"database": []},
            {"database": "x"},
            {"database": {"version": "8", "installs": []}},
            {"database": {"version": "8", "installs": None}},
        ]
    ):
        yield bare(f"type-whole-{number}", content, TYPE | MISSING)


def missing_keys() -> Iterator[Case]:
    for path in [
        ("spec",),
        ("spec", "version"),
        ("spec", "arch"),
        ("spec", "arch", "platform"),
        ("spec", "arch", "platform_os"),
        ("spec", "arch", "target"),
    ]:
        yield one_record(f"no-{path[-1]}", take(*path), MISSING)
    yield one_record("no-name", take("spec", "name"), MISSING | TYPE)
    yield one_record("no-version-5", take("spec", "zlib", "version"), MISSING, "5")
    target = {"vendor": "ARM"}
    yield one_record("no-target-name", put_in("spec", "arch", "target", value=target), MISSING)
    yield one_record("no-dependency-name", needs(name=None), MISSING)
    yield one_record("no-dependency-hash", needs(hash=None), MISSING)
    yield one_record("no-dependency-types", needs(parameters={"virtuals": []}), MISSING)
    yield one_record("no-spliced-hash", put_in("spec", "build_spec", value={"name": "a"}), MISSING)
    yield one_record("no-compiler-version", take("spec", "compiler", "version"), MISSING, "7")
    yield bare("no-database", {}, MISSING)
    yield bare("no-installs", {"database": {"version": "8"}}, MISSING)


def versions() -> Iterator[Case]:
    for number, version in enumerate(["4", "10", "x", "", "8.0", " 8", "-5", "9" * 5000]):
        content = {"database": {"version": version, "installs": {}}}
        yield bare(f"version-{number}", content, VERSION)
    for number, value in enumerate([None, 4, 10, 8.5, ["8"], {}]):
        content = {"database": {"version": value, "installs": {}}}
        yield bare(f"version-type-{number}", content, VERSION | TYPE)
    yield bare("version-missing", {"database": {"installs": {}}}, VERSION | MISSING)
    # The version can also stand behind the records.
    behind = {"database": {"installs": index(record("good"))["database"]["installs"]}}
    behind["database"]["version"] = "10"
    yield bare("version-behind", behind, VERSION)


def hashes() -> Iterator[Case]:
    other = dag_hash("other")
    for version, path in (("5", ("zlib", "hash")), ("7", ("hash",)), ("8", ("hash",))):
        change = put_in("spec", *path, value=other)
        yield one_record(f"another-hash-{version}", change, {"record-hash"}, version)
    for number, wrong in enumerate(["short", BAD.upper(), f"{BAD[:-1]}1", f"{BAD}a", ""]):
        yield one_record(f"dependency-hash-{number}", needs(hash=wrong), {"hash"})
        told = spell(record("zlib"))
        told["spec"]["hash"] = wrong
        yield bare(f"key-{number}", index(changes={wrong: told}), {"hash", "record-hash"})
    for word in ("full_hash", "build_hash"):
        change = needs(**{"hash": None, word: "short"})
        yield one_record(f"dependency-{word}", change, {"hash"})


def abstract() -> Iterator[Case]:
    for key, value in (
        ("concrete", False),
        ("propagate", ["cflags"]),
        ("abstract", ["x"]),
    ):
        yield one_record(f"abstract-{key}", put_in("spec", key, value=value), {"abstract"})
    change = put_in("spec", "zlib", "concrete", value=False)
    yield one_record("abstract-5", change, {"abstract"}, "5")


def values() -> Iterator[Case]:
    for number, value in enumerate([float("nan"), float("inf"), float("-inf")]):
        for path in (("version",), ("parameters", "x"), ("namespace",)):
            change = put_in("spec", *path, value=value)
            yield one_record(f"number-{number}-{path[-1]}", change, NUMBER, names_hash=False)
    for number, name in enumerate(["", "..", "../x", "a/b"]):
        yield one_record(f"name-{number}", put_in("spec", "name", value=name), {"name"})
        yield one_record(f"name-dependency-{number}", needs(name=name), {"name"})
    for number, text in enumerate(["a\0b", "a\nb", "\x1b[31m", "\ud800"]):
        for path in (("version",), ("name",), ("arch", "target"), ("parameters", "x")):
            change = put_in("spec", *path, value=text)
            kinds = {"encoding", "name", "variant"}
            yield one_record(f"text-{number}-{path[-1]}", change, kinds)
    large = "v" * 1_000_000
    for path in (("version",), ("name",), ("arch", "platform_os"), ("parameters", "x")):
        change = put_in("spec", *path, value=large)
        yield one_record(f"large-{path[-1]}", change, {"too-large", "name"})
    many = {f"x{number}": "v" * 100 for number in range(10_000)}
    yield one_record("large-parameters", put_in("spec", "parameters", value=many), {"too-large"})
    flags = ["-g"] * 200_000
    change = put_in("spec", "parameters", "cflags", value=flags)
    yield one_record("large-flags", change, {"too-large"})
    outside = record("zlib", word="bad", external={"path": f"/{large}", "module": None})
    yield bare("large-path", index(outside), {"too-large"}, names_hash=True)


def texts() -> Iterator[Case]:
    good = json.dumps(index(record("good"), record("zlib", word="bad")))
    yield bare("empty", b"", {"empty"})
    yield bare("blank", b" \n", {"empty", "json"})
    yield bare("no-json", "<html>Not found</html>", JSON)
    for number, length in enumerate((1, len(good) // 2, len(good) - 1)):
        yield bare(f"cut-off-{number}", good[:length], JSON)
    yield bare("more-behind", f"{good} {{}}", JSON)
    yield bare("no-comma", good.replace(", ", " ", 1), JSON)
    yield bare("no-utf8", good.replace("generic", "gen\xe9ric").encode("latin-1"), {"encoding"})
    yield bare("utf16", good.encode("utf-16"), {"encoding", "json"})
    yield bare("deep", "[" * 200_000, DEEP)
    deep = "[" * 100_000 + "]" * 100_000
    yield bare("deep-variant", good.replace('"generic"', deep), DEEP)
    yield bare("deep-object", '{"database":' * 100_000, DEEP)


def twice() -> Iterator[Case]:
    kinds = {"duplicate-key"}
    told = json.dumps(spell(record("zlib", word="bad", deps=[dep("good")])))
    good = json.dumps(spell(record("good")))

    def whole(text: str, more: str = "") -> str:
        installs = f'{{"{dag_hash("good")}": {good}, "{BAD}": {text}{more}}}'
        return f'{{"database": {{"version": "8", "installs": {installs}}}}}'

    yield bare("twice-record", whole(told, f', "{BAD}": {told}'), kinds, names_hash=True)
    for key, value in (
        ("namespace", '"builtin"'),
        ("build_system", '"generic"'),
        ("platform", '"linux"'),
        ("deptypes", '["build", "link"]'),
        ("ref_count", "1"),
    ):
        pair = f'"{key}": {value}'
        assert told.count(pair) == 1
        text = told.replace(pair, f"{pair}, {pair}")
        yield bare(f"twice-{key}", whole(text), kinds, names_hash=True)
    text = whole(told)
    version = '"version": "8"'
    yield bare("twice-version", text.replace(version, f"{version}, {version}", 1), kinds)
    yield bare("twice-database", f'{text[:-1]}, "database": {{}}}}', kinds)


def _another_hash(said: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        mirror.write_layout2(folder, index(record("good"), version="7"))
        (folder / "build_cache/index.json.hash").write_bytes(said)

    return write


def _changed_blob(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        file = mirror.write_layout3(folder, index(record("good")))
        file.write_bytes(change(file.read_bytes()))

    return write


def _without_blob(folder: Path) -> None:
    mirror.write_layout3(folder, index(record("good"))).unlink()


def _entry(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: mirror.write_layout3(folder, index(record("good")), **changes)


def _manifest(data: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        mirror.write_layout3(folder, index(record("good")))
        (folder / "v3/manifests/index/index.manifest.json").write_bytes(data)

    return write


def _gzip(data: bytes) -> Callable[[Path], object]:
    """A blob as its manifest says, that is not a whole gzip file."""

    def write(folder: Path) -> None:
        entry = mirror.blob(data, "application/vnd.spack.db.v8+json", "gzip")
        mirror.write_layout3(folder, data)
        manifest = folder / "v3/manifests/index/index.manifest.json"
        mirror.put(manifest, mirror.manifest(entry))

    return write


def stored() -> Iterator[Case]:
    packed = gzip.compress(mirror.as_bytes(index(record("good"))), mtime=0)
    yield Case("hash-file-other", _another_hash(b"0" * 64), CHECKSUM)
    yield Case("hash-file-text", _another_hash(b"<html>"), CHECKSUM)
    yield Case("blob-changed", _changed_blob(lambda data: data.replace(b"1.0", b"1.1")), CHECKSUM)
    yield Case("blob-cut-off", _changed_blob(lambda data: data[:-1]), CHECKSUM)
    yield Case("blob-longer", _changed_blob(lambda data: data + b"\n"), CHECKSUM)
    yield Case("blob-gone", _without_blob, MANIFEST)
    yield Case("length-wrong", _entry(contentLength=5), CHECKSUM)
    yield Case("length-negative", _entry(contentLength=-1), MANIFEST)
    yield Case("length-text", _entry(contentLength="5"), MANIFEST)
    yield Case("checksum-text", _entry(checksum="../../secret"), MANIFEST)
    yield Case("algorithm", _entry(checksumAlgorithm="md5"), MANIFEST)
    yield Case("compression", _entry(compression="zstd"), MANIFEST)
    yield Case("media-10", _entry(media_version="10"), VERSION)
    yield Case("media-4", _entry(media_version="4"), VERSION)
    yield Case("media-other", _entry(mediaType="application/json"), VERSION)
    for number, data in enumerate(
        [b"", b"{", b"[]", b"{}", b'{"version": 2, "data": []}', b"\xff"]
    ):
        yield Case(f"manifest-{number}", _manifest(data), MANIFEST | {"empty"})
    yield Case("manifest-without-entries", _manifest(mirror.manifest()), VERSION)
    yield Case("gzip-none", _gzip(mirror.as_bytes(index(record("good")))), ANY)
    yield Case("gzip-cut-off", _gzip(packed[:-9]), ANY)
    yield Case("gzip-changed", _gzip(packed[:30] + b"\0\0\0\0" + packed[34:]), ANY)


CASES = [
    *versions(),
    *hashes(),
    *missing_keys(),
    *wrong_types(),
    *abstract(),
    *values(),
    *texts(),
    *twice(),
    *stored(),
]


class Refused(NamedTuple):
    """What the commands made of one good cache and all bad ones."""

    folder: Path
    database: Path
    untouched: Path
    skipped: Result
    stopped: Result
    checked: Result


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Refused:
    top = tmp_path_factory.mktemp("bad")
    folder = top / "caches"
    mirror.write_bare(folder / "good", index(record("zlib")))
    for case in CASES:
        case.write(folder / case.name)
    database, untouched = top / "a.db", top / "b.db"
    return Refused(
        folder,
        database,
        untouched,
        run("build", "--skip-bad", database, folder),
        run("build", untouched, folder),
        run("check", folder),
    )


def lines_of(refused: Refused, result: Result, name: str) -> list[str]:
    """What a command said of a cache."""
    start = f"{refused.folder / name}/"
    return [line for line in result.stderr.splitlines() if line.startswith(start)]


def test_the_names_of_the_cases_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_build_stops_at_bad_indexes(refused: Refused) -> None:
    assert refused.stopped.exit_code == 1, refused.stopped.output
    assert not refused.untouched.exists()
    assert refused.checked.exit_code == 1, refused.checked.output
    assert isinstance(refused.checked.exception, SystemExit)


def test_the_good_indexes_are_loaded(refused: Refused) -> None:
    assert refused.skipped.exit_code == 0, refused.skipped.output
    assert query(refused.database, "SELECT name, num_specs FROM releases") == [("good", 1)]
    assert query(refused.database, "SELECT hash FROM specs") == [(dag_hash("zlib"),)]
    assert query(refused.database, "SELECT hash FROM nodes") == [(dag_hash("zlib"),)]
    counted = query(refused.database, "SELECT count(*), count(release) FROM sources")
    assert counted == [(len(CASES) + 1, 1)]


def test_a_database_without_bad_indexes_is_right(refused: Refused) -> None:
    result = run("verify", refused.database, refused.folder)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_index(refused: Refused, case: Case) -> None:
    source = f"{case.name}/index.json"
    sql = "SELECT severity, kind, message FROM problems WHERE source = ?"
    found = [row for row in query(refused.database, sql, source) if row[0] == "error"]
    assert found != []
    assert {kind for _, kind, _ in found} <= case.kinds, found
    assert not case.names_hash or any(BAD in message for _, _, message in found), found
    columns = "kind, release, package, num_specs"
    assert query(refused.database, f"SELECT {columns} FROM sources WHERE path = ?", source) == [
        ("index", None, None, None)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_said_of_a_bad_index(refused: Refused, case: Case) -> None:
    said = lines_of(refused, refused.stopped, case.name)
    errors = [line for line in said if ": warning: " not in line]
    assert any(line.endswith(tuple(f"[{kind}]" for kind in case.kinds)) for line in errors), said
    assert not case.names_hash or any(BAD in line for line in errors), said
    assert all(line.isprintable() and len(line) < 3_000 for line in said)
    assert lines_of(refused, refused.skipped, case.name) == said
    assert lines_of(refused, refused.checked, case.name) == said


def test_only_the_bad_stack_of_a_release_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "develop"
    mirror.write_layout3(folder, index(record("zlib"), record("xz")))
    mirror.write_layout3(folder / "e4s", index(record("zlib"), record("hdf")))
    bad = mirror.write_layout3(folder / "gpu", index(record("zlib"), record("cuda")))
    bad.write_bytes(bad.read_bytes()[:-2])
    assert run("build", tmp_path / "a.db", folder).exit_code == 1
    assert not (tmp_path / "a.db").exists()
    assert run("build", "--skip-bad", tmp_path / "a.db", folder).exit_code == 0
    assert query(tmp_path / "a.db", "SELECT name, num_specs FROM stacks") == [
        ("e4s", 2),
        ("root", 2),
    ]
    assert problems(tmp_path / "a.db") == [("develop/gpu/index.json", "error", "checksum")]
    assert query(tmp_path / "a.db", "SELECT path, release FROM sources ORDER BY path") == [
        ("develop/e4s/index.json", "develop"),
        ("develop/gpu/index.json", None),
        ("develop/index.json", "develop"),
    ]
    assert run("verify", tmp_path / "a.db", folder).exit_code == 0


def test_what_a_bad_index_says_is_no_record(tmp_path: Path) -> None:
    # Neither for nodes nor for stacks of pages or compilers of others.
    folder = tmp_path / "develop"
    mirror.write_bare(folder, index(record("hdf", deps=[dep("zlib")])))
    bad = index(record("zlib", "1.3"), record("gcc", external={"path": "/usr", "module": None}))
    bad["database"]["version"] = "10"
    mirror.write_bare(folder / "e4s", bad)
    assert run("build", "--skip-bad", tmp_path / "a.db", folder).exit_code == 0
    assert query(tmp_path / "a.db", "SELECT package, version, kind FROM nodes ORDER BY hash") == [
        ("hdf", "1.0", "binary"),
        ("zlib", None, "missing"),
    ]
    assert problems(tmp_path / "a.db") == [
        ("develop/e4s/index.json", "error", "database-version"),
        ("develop/index.json", "warning", "missing-record"),
    ]


def test_the_first_problems_of_many_are_told(tmp_path: Path) -> None:
    words = [f"{a}{b}" for a in "bcdefghijk" for b in "bcdefghijk"]
    needed = [record("zlib", word=word, deps=[dep("xz", f"x{word}")]) for word in words]
    mirror.write_bare(tmp_path / "develop", index(*needed))
    result = run("build", tmp_path / "a.db", tmp_path / "develop")
    assert result.exit_code == 0, result.output
    found = problems(tmp_path / "a.db")
    assert set(found) == {("develop/index.json", "warning", "missing-record")}
    assert len(found) <= 21
    assert query(tmp_path / "a.db", "SELECT count(*) FROM nodes WHERE kind = 'missing'") == [(100,)]
    assert run("verify", tmp_path / "a.db", tmp_path / "develop").exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        put_in("spec", "new_key", value={"deep": [1, 2.5, None, True]}),
        put_in("new_key", value="x"),
        put_in("ref_count", value=0),
        put_in("spec", "package_hash", value=None),
        put_in("spec", "annotations", "new", value=5),
        put_in("spec", "arch", "target", value={"name": "zen4", "new": []}),
        put_in("explicit", value=True),
        put_in("installation_time", value=1732700000.5),
        put_in("path", value=None),
        put_in("spec", "concrete", value=True),
    ],
)
def test_what_is_of_no_use_here_does_no_harm(tmp_path: Path, change: Change) -> None:
    told = spell(record("zlib", word="bad"))
    change(told)
    folder = tmp_path / "develop"
    mirror.write_bare(folder, index(changes={BAD: told}))
    result = run("build", tmp_path / "a.db", folder)
    assert result.exit_code == 0, result.output
    assert query(tmp_path / "a.db", "SELECT hash FROM specs") == [(BAD,)]
    assert run("verify", tmp_path / "a.db", folder).exit_code == 0


@pytest.mark.parametrize("digits", [5_000, 50_000])
def test_a_number_of_many_digits_ends_in_a_message(tmp_path: Path, digits: int) -> None:
    text = json.dumps(index(record("zlib"))).replace(
        '"ref_count": 1', f'"ref_count": 1{"0" * digits}'
    )
    mirror.write_bare(tmp_path / "develop", text)
    result = run("check", tmp_path / "develop")
    assert result.exit_code in (0, 1), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_an_index_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    secret = mirror.write_bare(tmp_path / "secret", index(record("xz")))
    mirror.write_bare(tmp_path / "caches" / "develop", index(record("zlib")))
    link = tmp_path / "caches" / "v0.23.1" / "index.json"
    link.parent.mkdir()
    link.symlink_to(secret)
    assert run("build", "--skip-bad", tmp_path / "a.db", tmp_path / "caches").exit_code == 0
    assert problems(tmp_path / "a.db") == [("v0.23.1/index.json", "error", "unreadable")]
    assert query(tmp_path / "a.db", "SELECT package FROM specs") == [("zlib",)]
