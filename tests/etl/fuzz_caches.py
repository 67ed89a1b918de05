"""Damage build caches at random: both readers agree, and what is built can be proved.

python -m tests.etl.fuzz_caches records 100000 --seed 1
python -m tests.etl.fuzz_caches indexes 10000
python -m tests.etl.fuzz_caches builds 1000
"""

import gzip
import json
import os
import random
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click

from etl import sorting
from etl.build import Request, build, check
from etl.errors import RefusedError, WrongUseError
from etl.problems import KINDS
from etl.sources.caches import fast, general, grammar
from etl.sources.caches.grammar import Record
from etl.verify import verify
from tests.etl import mirror
from tests.etl.fuzz import RAW, TEXTS, as_json, slots
from tests.etl.mirror import dep, record, spell
from tests.etl.samples import ALL
from tests.pages import dag_hash, spec, write_specs

if TYPE_CHECKING:
    from etl.problems import Problem
    from etl.sources.caches.spans import Span


PARTS = (1, 7, 40, 64, 100, 333, 1000, 5000, sorting._PART)
"""Sizes of parts of an index: some are smaller than a record, or than a key."""

_HASH = dag_hash("a")
_OTHER = dag_hash("b")


def compact(value: Any) -> bytes:
    """JSON as Spack writes an index."""
    return json.dumps(value, separators=(",", ":")).encode()


def _samples() -> list[tuple[str, bytes]]:
    """Every record of the sample caches, with the version of its index."""
    found = []
    for sample in ALL:
        database = json.loads(sample.file.read_bytes())["database"]
        found += [(database["version"], compact(one)) for one in database["installs"].values()]
    return found


def _made_up() -> list[tuple[str, bytes]]:
    """Records with every key that one can have, as each version has them."""
    edges = [
        dep("zlib", "b", ["build", "link", "run", "test"], ["zlib-api", "mpi"]),
        dep("gcc", "c", ["build"], ["c", "cxx", "fortran"]),
        dep("old", "d", key="full_hash"),
        dep("zlib", "b", ["run"]),
    ]
    target = {
        "name": "neoverse_v2",
        "vendor": "ARM",
        "features": ["aes", "asimd"],
        "generation": 0,
        "parents": ["neoverse_n1"],
        "cpupart": "0xd4f",
    }
    parameters = {
        "build_system": "cmake",
        "shared": True,
        "static": False,
        "langs": ["c", "c++"],
        "none": [],
        "patches": ["0123456789abcdef" * 4],
        "cuda_arch": "none",
    } | mirror.NO_FLAGS
    records = [
        record("a", "1.0", deps=edges, parameters=parameters, target=target),
        record("a", "1.0", deps=edges, compiler=None, patches=["0" * 64]),
        record("a", "1.0", external={"path": "/usr", "module": None, "extra_attributes": {}}),
        record("a", external={"path": None, "module": ["a", "b"]}),
        record("a", external={"path": "/usr", "extra_attributes": {"c": {"d": [1, "e"]}}}),
        record("a", build_spec={"name": "a", "hash": _OTHER}, compiler=None),
        record("a", in_buildcache=None, parameters={"cflags": ["-O2", "-g"], "x": "a b"}),
        record("a", namespace=None, package_hash=None, parameters={}),
        record("a", full_hash="x", build_hash="y", process_hash="z", concrete=True),
    ]
    return [
        (version, compact(spell(one, version))) for one in records for version in mirror.VERSIONS
    ]


RECORDS: Sequence[tuple[str, bytes]] = [*_samples(), *_made_up()]

_START = re.compile(rb'"[a-z2-7]{32}":(?=\{"spec":\{)')

_KEYS = (
    *grammar.RawRecord.__struct_fields__,
    *grammar.RawSpec.__struct_fields__,
    *grammar.RawDependency.__struct_fields__,
    *grammar.RawExternal.__struct_fields__,
    *grammar.RawTarget.__struct_fields__,
    *grammar.RawAnnotations.__struct_fields__,
    *("deptypes", "virtuals", "concrete", "propagate", "abstract", "path", "installed", "explicit"),
    *("origin", "patches", "cflags", "ldlibs", "x", "X-y.z", "new", "\x7f", "\x1b[31m", "\n", "é"),
)
_VALUES = (
    *TEXTS,
    *(
        _HASH,
        _OTHER,
        "c",
        "cxx",
        "\x7f",
        "a\x7fb",
        "\x9b31m",
        "\u202e",
        "a b",
        "a'b",
        'a"b',
        "a\\b",
    ),
    *("gcc@=12.2.0", "=gcc@1", "@=1", "gcc@@1", "/usr", "build", "link", "x" * 251, "é" * 126),
)
_RAW = (
    *RAW,
    *('""', '"\\u0041"', '"\\/"', '["c"]', '["build"]', '["build","build"]', '["c","c"]', "4.0"),
    *("4", "5", "-4", "1E2", "[null]", "[true]", '{"name":"a"}', '{"a":{"a":1,"a":2}}', '{"path":"/"}'),
    *(f'{{"name":"a","hash":"{_HASH}"}}', '{"name":"gcc","version":"1"}', "[{}]", " [ ] ", "\t{}\n"),
    *('"a\x7fb"', '"a\x01b"', '"é"', '"\\ud83d\\ude00"', '"\\ud800"', '{"compiler":"gcc@1"}', "[[],[]]"),
)  # fmt: skip
_BITS = (
    *(b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b" ", b"\n", b"\t", b"\x7f", b"\xff", b"\0"),
    *(b'"":1,', b'"name":"a",', b'"hash":', b"null", b"true", b"1", b"-", b".", b"e", b"\\u0022"),
    *(b"\xc3\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"NaN", b"/**/", b"{}", b"[]", b'""', b"'"),
)  # fmt: skip


def damaged_record(chance: random.Random, data: bytes) -> bytes:
    """A record after one to three accidents."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = _damage_tree(chance, data) if chance.random() < 0.8 else _damage_bytes(chance, data)
    return data


def _damage_bytes(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    end = at + chance.choice((0, 0, 1, 2, chance.randrange(100)))
    how = chance.randrange(5)
    if how == 0:
        return data[:at] + chance.choice(_BITS) + data[end:]
    if how == 1:
        return data[:at] + data[end:]
    if how == 2:
        return data[:end] + data[at:]
    if how == 3:
        return data[:at]
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _damage_tree(chance: random.Random, data: bytes) -> bytes:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return _damage_bytes(chance, data)
    places = list(slots(told)) if isinstance(told, list | dict) else []
    if not places:
        return chance.choice(_RAW).encode(errors="surrogatepass")
    holder, key = chance.choice(places)
    _CHANGES[chance.randrange(len(_CHANGES))](chance, holder, key)
    data = as_json(told, ascii_only=chance.random() < 0.5)
    # As Spack writes it, which the fast reader need not insist on.
    return data.replace(b'": ', b'":').replace(b", ", b",") if chance.random() < 0.9 else data


def _new(chance: random.Random) -> Any:
    how = chance.randrange(4)
    if how == 0:
        return chance.choice(_VALUES)
    if how == 1:
        return f"@raw@{chance.choice(_RAW)}@"
    if how == 2:
        return chance.choice((True, False, None, [], {}, ["a"], {"a": "b"}))
    return chance.choice((_HASH, "a", "1.0", {"name": "a", "hash": _HASH, "type": ["link"]}))


def _replace(chance: random.Random, holder: Any, key: Any) -> None:
    holder[key] = _new(chance)


def _remove(_chance: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _add(chance: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(key, chance.choice((holder[key], _new(chance))))
    else:
        new = chance.choice((f"@twice@{key}", chance.choice(_KEYS), chance.choice(_KEYS)))
        holder[new] = chance.choice((holder[key], _new(chance)))


def _rename(chance: random.Random, holder: Any, key: Any) -> None:
    value = holder.pop(key)
    if isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), value)
    else:
        holder[chance.choice(_KEYS)] = value


def _move(chance: random.Random, holder: Any, key: Any) -> None:
    """The same in another order."""
    if isinstance(holder, list):
        chance.shuffle(holder)
    else:
        holder[key] = holder.pop(key)


_CHANGES = (_replace, _replace, _remove, _add, _add, _rename, _move)


def comparable(found: Record) -> tuple[Any, ...]:
    """A record whose variants are compared by what they hold."""
    variants = found.facts.variants
    held = (variants.listed, variants.json, variants.values, variants.repeated)
    return (*found[:3], *found.facts._replace(variants=None), held, found.compiler_from)  # type: ignore[arg-type]


def agree(data: bytes, version: str) -> str:
    """See that both readers agree on a record.

    Returns:
        What became of it: `fast`, `general`, or the kind of the refusal.
    """
    found = fast.read_record(data) if version != general.NODES_BY_NAME else None
    unknown: general.Unknown = Counter()
    refusal = None
    try:
        expected = general.read_record(data, version, unknown)
    except RefusedError as error:
        (refusal,) = error.refusals
    if refusal:
        assert found is None, refusal
        assert_plain(refusal.message)
        return refusal.kind
    if found is None:
        return "general"
    assert not unknown
    assert comparable(found) == comparable(expected)
    return "fast"


def shuffled(chance: random.Random, told: Any) -> Any:
    """The same with keys in another order."""
    if not isinstance(told, dict):
        return told
    keys = list(told)
    if not {"database", "version"} & {*keys}:
        chance.shuffle(keys)
    # But for those that make an index ordinary.
    keys.sort(key=lambda key: key != "spec")
    return {key: shuffled(chance, told[key]) for key in keys}


def assert_plain(message: str) -> None:
    """A message is one line that a terminal shows as it is, and not too long."""
    assert message
    assert message.isprintable(), ascii(message)
    assert len(message) < 1_000, message


def read_fast(data: bytes, part: int) -> list[tuple[str, bytes, Any]] | None:
    """An index as `sorting` reads an ordinary one, in parts; None if it is not ordinary."""
    header = fast.read_header(data)  # type: ignore[arg-type]
    if header is None or header.version not in mirror.VERSIONS:
        return None
    found: list[Span] = []
    for start in range(header.start, max(header.end, header.start + 1), part):
        spans = fast.spans(data, header, start, min(start + part, header.end))  # type: ignore[arg-type]
        if spans is None:
            return None
        found += spans
    return _read(data, found, header.version)


def read_general(data: bytes) -> list[tuple[str, bytes, Any]] | None:
    """An index as the general reader reads it; None if it refuses it."""
    try:
        version = general.read_version(data)  # type: ignore[arg-type]
        return _read(data, list(general.spans(data, Counter())), version)  # type: ignore[arg-type]
    except RefusedError as error:
        assert_plain(error.refusals[0].message)
        return None


def _read(
    data: bytes, found: Sequence["Span"], version: str
) -> list[tuple[str, bytes, Any]] | None:
    records = []
    for span in found:
        own = data[span.start : span.end]
        try:
            one = general.read_record(own, version, Counter())
        except RefusedError:
            return None
        if one.hash != span.hash:
            return None
        records.append((span.hash, own.strip(), comparable(one)))
    return records


def agree_on_index(data: bytes, parts: Sequence[int] = PARTS) -> str:
    """See that both readers find the same records in an index, whatever its parts."""
    expected = read_general(data)
    ends = set()
    for part in parts:
        found = read_fast(data, part)
        ends.add(found is not None)
        assert found is None or found == expected, part
    if expected is None:
        return "refused"
    return "fast" if ends == {True} else "in part" if True in ends else "general"


def small_index(chance: random.Random) -> bytes:
    """An index of some records, as Spack writes it."""
    version = chance.choice(("6", "7", "8", "9"))
    installs = {}
    for number in range(chance.randrange(6)):
        told = spell(record("abcdef"[number], deps=[dep("zlib")]), version)
        installs[dag_hash("abcdef"[number])] = told
    return compact({"database": {"version": version, "installs": installs}})


def damaged_index(chance: random.Random, data: bytes) -> bytes:
    """An index after one or two accidents."""
    for _ in range(chance.choice((0, 1, 1, 2))):
        data = _INDEX_DAMAGES[chance.randrange(len(_INDEX_DAMAGES))](chance, data)
    return data


def _swap(chance: random.Random, data: bytes) -> bytes:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(4))
    a, b, c, d = cuts
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _repeat_record(chance: random.Random, data: bytes) -> bytes:
    starts = [found.start() for found in _START.finditer(data)]
    if not starts:
        return data
    one = chance.randrange(len(starts))
    end = starts[one + 1] if one + 1 < len(starts) else len(data) - 3
    text = data[starts[one] : end].rstrip(b",")
    at = chance.choice(starts)
    return data[:at] + text + b"," + data[at:]


def _between(chance: random.Random, data: bytes) -> bytes:
    """Put something where a record begins or ends."""
    starts = [found.start() for found in _START.finditer(data)]
    at = chance.choice([*starts, len(data), 0, max(0, len(data) - 3), max(0, len(data) - 2)])
    bit = chance.choice(
        (
            *(b" ", b"\n", b",", b'"x":1,', b'"x":{"spec":{}},', b"{", b"}", b"}}", b'","', b"\0"),
            f'"{_HASH}":'.encode(),
            f'"{_HASH}":{{"spec":{{}}}},'.encode(),
            f'"x":{{"{_HASH}":{{"spec":{{'.encode(),
            b'"deprecated":[],',
            b'},"more":{',
        )
    )
    return data[:at] + bit + data[at:]


def _nest(chance: random.Random, data: bytes) -> bytes:
    """Put an index, or the start of a record, inside a value of another."""
    at = data.find(b'"builtin"')
    inner = chance.choice((data, b'{"' + _HASH.encode() + b'":{"spec":{}}}', b"1"))
    return data[:at] + inner + data[at + 9 :] if at >= 0 else data


_INDEX_DAMAGES: Sequence[Callable[[random.Random, bytes], bytes]] = (
    _damage_bytes,
    _damage_tree,
    _swap,
    _repeat_record,
    _between,
    _between,
    _nest,
)


_RELEASES = ("develop", "develop-2025-07-13", "v1.0.0", "v0.23.1", "ours")
_STACKS = ("e4s", "gpu", "hep")
_PACKAGES = ("zlib", "cmake", "gcc", "mpich")
_WORDS = ("a", "b", "c", "d", "e", "f", "g", "h")


class Collection:
    """Some mirrors and pages that agree in most and contradict each other in some."""

    def __init__(self, chance: random.Random, folder: Path) -> None:
        self._chance = chance
        self.folder = folder
        self.paths: list[Path] = []
        self._write()

    def _write(self) -> None:
        chance = self._chance
        releases = chance.sample(_RELEASES, chance.choice((1, 2, 2, 3)))
        for release in releases:
            stacks = chance.sample(_STACKS, chance.choice((0, 1, 1, 2)))
            for stack in ["", *stacks] if chance.random() < 0.7 or not stacks else stacks:
                self._mirror(self.folder / release / stack)
            for package in chance.sample(_PACKAGES, chance.choice((0, 0, 1, 2))):
                self._page(release, package)
        self.paths = [self.folder]
        how = chance.random()
        if how < 0.4:
            self.paths = [self.folder / release for release in releases]
        elif how < 0.5:
            # One folder under two names, or a second index of a stack.
            other = chance.choice(releases)
            self.paths.append(Path(f"{chance.choice(_RELEASES)}={self.folder / other}"))
        if chance.random() < 0.5:
            self._damage()

    def _mirror(self, folder: Path) -> None:
        chance = self._chance
        layout = chance.choice((2, 3, 3, None))
        version = chance.choice({2: "67", 3: "89", None: "56789"}[layout])
        # Any order of keys says the same.
        in_order = chance.random() < 0.9
        words = chance.sample(_WORDS, chance.randrange(len(_WORDS) + 1))
        records = [self._record(word) for word in words]
        content = mirror.index(*records, version=version)
        installs = content["database"]["installs"]
        data: Any = content
        if not in_order:
            content = data = shuffled(chance, content)
        if chance.random() < 0.8:
            data = compact(content)
        data = self._damaged(content, data, records)
        sizes = {key: chance.randrange(3) for key in installs if chance.random() < 0.5}
        if layout == 3:
            self._layout3(folder, data, version, installs, sizes)
        elif layout == 2:
            self._layout2(folder, data, installs, sizes)
        else:
            data = mirror.as_bytes(data)
            mirror.write_bare(folder, gzip.compress(data) if chance.random() < 0.2 else data)

    def _damaged(self, content: Any, data: Any, records: Sequence[mirror.Record]) -> Any:
        chance, version = self._chance, content["database"]["version"]
        if chance.random() < 0.1:
            data = damaged_index(chance, mirror.as_bytes(data))
        if chance.random() < 0.1 and records and version != "5":
            # A hash under two names in one index.
            one = dict(records[0].spec)
            twice = mirror.index(mirror.Record("twin", records[0].hash, one), version=version)
            text = compact(twice["database"]["installs"])[1:-1]
            data = compact(content)[:-3] + b"," + text + b"}}}"
        return data

    def _layout3(
        self, folder: Path, data: Any, version: str, installs: Any, sizes: Mapping[str, int]
    ) -> None:
        chance = self._chance
        compression = chance.choice(("none", "gzip"))
        view = chance.choice(("", "", "", "", "view"))
        options = {"compression": compression, "view": view, "media_version": version}
        mirror.write_layout3(folder, data, **options)
        for key, size in sizes.items():
            mirror.write_size(folder, installs[key]["spec"], key, size)
        if chance.random() < 0.1 and sizes:
            one = chance.choice(sorted(folder.glob("v3/manifests/spec/*/*")))
            one.write_bytes(chance.choice((b"", b"{}", one.read_bytes()[:-200])))

    def _layout2(self, folder: Path, data: Any, installs: Any, sizes: Mapping[str, int]) -> None:
        mirror.write_layout2(folder, data)
        for key, size in sizes.items():
            name = installs[key]["spec"]["name"]
            mirror.put(folder / f"build_cache/x/{name}-1-{key}.spack", b"\0" * size)
        if self._chance.random() < 0.1:
            (folder / "build_cache/index.json.hash").write_bytes(b"0" * 64)

    def _record(self, word: str) -> mirror.Record:
        chance = self._chance
        number = _WORDS.index(word)
        odd = chance.random() < 0.15
        package = _PACKAGES[number % len(_PACKAGES)]
        if chance.random() < 0.02:
            package = chance.choice((*_PACKAGES, "other"))
        deps = [
            dep(
                _PACKAGES[_WORDS.index(other) % len(_PACKAGES)]
                if chance.random() < 0.95
                else "odd",
                other,
                chance.choice((["build"], ["link", "run"])) if odd else ["build", "link"],
                ["c"] if other == "c" else ["zlib-api"] if odd else [],
            )
            for other in _WORDS[number + 1 : number + 4]
            if not odd or chance.random() < 0.5
        ]
        if chance.random() < 0.05:
            deps.append(dep("nowhere", "n" + word))
        kind = chance.random()
        changes: dict[str, Any] = {}
        if kind < 0.1:
            changes["external"] = {"path": chance.choice((None, "/usr", "/opt")), "module": None}
            changes["in_buildcache"] = chance.choice((True, False, None))
        elif kind < 0.3:
            changes["in_buildcache"] = chance.choice((False, False, None))
        if odd:
            key, values = chance.choice(_ODD)
            changes[key] = chance.choice(values)
        compiler = None if number % 2 or chance.random() < 0.2 else "gcc@12.2.0"
        changes = {"compiler": compiler} | changes
        version = chance.choice(("1.0", "2.0")) if odd else "1.0"
        return record(package, version, word, deps=deps, **changes)

    def _page(self, release: str, package: str) -> None:
        chance = self._chance
        of_package = [w for n, w in enumerate(_WORDS) if _PACKAGES[n % len(_PACKAGES)] == package]
        if chance.random() < 0.1:
            of_package = ["a", "b"]
        specs = [
            spec(
                word,
                compiler=chance.choice(("none", "gcc@12.2.0", "gcc@12.2.0")),
                os="ubuntu22.04",
                stacks=chance.choice((["root"], ["e4s", "root"], ["gpu"], ["hep", "e4s"], [])),
                variants=["build_system=generic"],
                size=chance.choice(("-", 1, 2)),
            )
            for word in of_package
            if chance.random() < 0.8
        ]
        write_specs(self.folder, release, package, *specs)

    def _damage(self) -> None:
        """Change one file so that it is another than what is said of it, or can be no file."""
        chance = self._chance
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        file = chance.choice(files)
        data = file.read_bytes()
        how = chance.randrange(6)
        if how == 0:
            file.write_bytes(_damage_bytes(chance, data))
        elif how == 1:
            file.unlink()
        elif how == 2:
            file.unlink()
            file.mkdir()
        elif how == 3:
            file.unlink()
            file.symlink_to("/etc/passwd")
        elif how == 4:
            file.unlink()
            os.mkfifo(file)
        else:
            file.write_bytes(b"")


_ODD: Sequence[tuple[str, Sequence[Any]]] = (
    ("target", ("x86_64", "zen4", {"name": "neoverse_v2", "features": []})),
    ("os", ("rhel8", "sles15")),
    ("platform", ("linux", "darwin")),
    ("namespace", ("builtin", "ours", None)),
    ("compiler", ("gcc@13.1", "clang@1", None)),
    ("build_spec", ({"name": "zlib", "hash": _OTHER}, {"name": "zlib", "hash": _HASH})),
    ("parameters", ({"x": True}, {"x": ["a", "b"]}, {"x": "b,a", "cflags": ["-g"]}, {})),
    ("new_key", (1, [], {"a": 1})),
)


def _told(request: Request, database: Path, part: int) -> tuple[Any, ...]:
    """Build: the problems, and the report; or why it cannot be."""
    problems: list[Problem] = []
    with patch.object(sorting, "_PART", part):
        try:
            report = build(
                database, request, problems.append, lambda *_: None, skip_bad=True, force=True
            )
        except WrongUseError as error:
            assert_plain(str(error))
            return ("wrong", str(error))
    assert report is not None
    return report.refused, [(one.source, one.line, one.kind, one.message) for one in problems]


def attempt(chance: random.Random, folder: Path, jobs: int = 1) -> str:
    """Build a database of a random collection, and prove it by all ways there are.

    Returns:
        What became of it.
    """
    site, database, again = folder / "site", folder / "a.db", folder / "b.db"
    for left in (site, database, again):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    made = Collection(chance, site)
    releases = chance.sample(_RELEASES, 1) if chance.random() < 0.2 else ()
    packages = chance.sample(_PACKAGES, chance.choice((1, 2))) if chance.random() < 0.25 else ()
    request = Request(tuple(made.paths), releases, packages)
    said = _told(request, database, chance.choice(PARTS[2:]))
    shuffled = chance.sample(made.paths, len(made.paths))
    other = Request(tuple(shuffled), releases, packages, jobs)
    assert _told(other, again, chance.choice(PARTS[2:])) == said
    if said[0] == "wrong":
        return "nothing of what was asked for"
    refused, found = said
    for _, _, _, message in found:
        assert_plain(message)
    assert bool(refused) == any(kind in _ERRORS for _, _, kind, _ in found)
    problems: list[Problem] = []
    report = check(request, problems.append, lambda *_: None)
    assert report.refused == refused
    assert [(one.source, one.line, one.kind, one.message) for one in problems] == found
    assert database.read_bytes() == again.read_bytes()
    assert list(verify(database, request)) == []
    return "with bad ones left out" if refused else "whole"


_ERRORS = frozenset(kind.name for kind in KINDS.values() if kind.severity == "error")


def _each(number: int, seed: int, turn: Callable[[random.Random, int], str]) -> None:
    ends: Counter[str] = Counter()
    faults = 0
    for one in range(number):
        try:
            ends[turn(random.Random(f"{seed}/{one}"), one)] += 1
        except Exception:
            faults += 1
            click.echo(f"turn {one}:\n{traceback.format_exc()}")
    for end, count in sorted(ends.items(), key=lambda item: -item[1]):
        click.echo(f"{count:7,} {end}")
    click.echo(f"{faults:7,} faults")
    sys.exit(faults > 0)


@click.command()
@click.argument("what", type=click.Choice(["records", "indexes", "builds"]))
@click.argument("number", type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
def main(what: str, number: int, seed: int) -> None:
    """Damage NUMBER records or indexes, or build of so many collections; say what became of them."""
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"):
        turns: Mapping[str, Callable[[random.Random, int], str]] = {
            "records": lambda chance, _: record_turn(chance),
            "indexes": lambda chance, _: index_turn(chance),
            "builds": lambda chance, one: attempt(chance, Path(folder), 2 if one % 50 == 0 else 1),
        }
        _each(number, seed, turns[what])


def record_turn(chance: random.Random) -> str:
    """Damage one record, and see that both readers agree on it."""
    version, data = chance.choice(RECORDS)
    return agree(damaged_record(chance, data), version)


def index_turn(chance: random.Random) -> str:
    """Damage one index, and see that both readers find the same in it."""
    data = damaged_index(chance, small_index(chance))
    return agree_on_index(data, chance.sample(PARTS[1:], 3))


if __name__ == "__main__":
    main()
