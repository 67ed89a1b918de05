"""Caches made to crash, fill or stall whoever reads them are refused quickly, in little memory."""

import gzip
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from etl import reading, sorting
from etl.errors import ChangedError, RefusedError
from etl.sources.caches import grammar
from etl.sources.content import FileBytes
from tests.etl import mirror
from tests.etl.cache_builds import run
from tests.etl.fuzz_caches import assert_plain, compact
from tests.etl.mirror import index, record, spell
from tests.etl.test_hostile import run as run_apart
from tests.pages import dag_hash

Write = Callable[[Path], object]

RECORD = compact(spell(record("zlib", word="bad")))
GOOD = compact(index(record("good")))
MANIFEST = "v3/manifests/index/index.manifest.json"


def one(value: bytes) -> Write:
    """An index with one record."""
    key = dag_hash("bad").encode()
    data = b'{"database":{"version":"8","installs":{"%b":%b}}}' % (key, value)
    return lambda folder: mirror.write_bare(folder, data)


def with_external(value: bytes) -> Write:
    return one(
        RECORD.replace(b'"builtin"', b'"builtin","external":{"extra_attributes":%b}' % value)
    )


def instead(below: str, make: Callable[[Path], object]) -> Write:
    """A mirror with something else in the place of one of its files or folders."""

    def write(folder: Path) -> None:
        blob = mirror.write_layout3(folder, GOOD)
        file = blob if below == "blob" else folder / below
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        make(file)

    return write


def bare(make: Callable[[Path], object]) -> Write:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        make(folder / "index.json")

    return write


def out(file: Path) -> None:
    file.symlink_to("/etc/passwd")


def listens(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(file))


def fetched(**changes: Any) -> Write:
    """What `fetch` writes, with changes in the entry of the only index."""

    def write(folder: Path) -> None:
        mirror.put(folder / "a.json", GOOD)
        entry = {
            "release": "develop",
            "stack": "root",
            "file": "a.json",
            "url": "https://example.org/a.json",
            "mirror": "https://example.org",
            "layout": 3,
            "compression": "none",
            "bytes": len(GOOD),
            "sha256": mirror.sha256(GOOD),
        }
        listed = {"version": 1, "indexes": [entry | changes]}
        mirror.put(folder / "fetched.json", json.dumps(listed).encode())

    return write


def listed(make: Callable[[Path], object]) -> Write:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        make(folder / "fetched.json")

    return write


def many_members(folder: Path) -> None:
    mirror.write_bare(folder, gzip.compress(b"", mtime=0) * (sorting._MAX_MEMBERS + 1))


DAMAGED = "fetched.json is damaged"
DEEP = "a value is nested too deeply"
NO_FILE = "not a regular file"
LEADS_OUT = "is a link that leads out of the folder that was named"

HOSTILE: dict[str, tuple[Write, str]] = {
    "nested lists": (one(b"[" * 200_000), DEEP),
    "nested objects": (one(b'{"a":' * 200_000), DEEP),
    "nested junk": (with_external(b"[" * 200_000 + b"]" * 200_000), DEEP),
    "long number": (one(RECORD.replace(b":1,", b":" + b"9" * 900_000 + b",")), "too long"),
    "longer number": (one(b"9" * 10_000_000), "a number is too long"),
    "long key": (lambda folder: mirror.write_bare(folder, b'{"' + b"k" * 10_000_000), "more than"),
    "many keys": (
        lambda folder: mirror.write_bare(
            folder, b"{" + b",".join(b'"%d":0' % n for n in range(500_000)) + b"}"
        ),
        "more than 1,000 keys",
    ),
    "many junk records": (
        lambda folder: mirror.write_bare(
            folder,
            b'{"database":{"version":"8","installs":{'
            + b",".join(b'"%032d":{}' % n for n in range(200_000)).translate(
                bytes.maketrans(b"0123456789", b"abcdefghij")
            )
            + b"}}}",
        ),
        "and 199,980 more of this kind",
    ),
    "gzip of many": (many_members, "more than 100,000 gzip files in one"),
    "index is a pipe": (bare(os.mkfifo), NO_FILE),
    "index is a socket": (bare(listens), "cannot be read"),
    "index leads out": (bare(out), LEADS_OUT),
    "index leads nowhere": (instead("blob", lambda f: f.symlink_to(f)), "cannot be read"),
    "manifest is a pipe": (instead(MANIFEST, os.mkfifo), NO_FILE),
    "manifest is a folder": (instead(MANIFEST, Path.mkdir), "Is a directory"),
    "manifest leads out": (instead(MANIFEST, out), LEADS_OUT),
    "manifests are a file": (instead("v3/manifests/index", Path.touch), "Not a directory"),
    "manifests lead out": (
        instead("v3/manifests/index", lambda f: f.symlink_to("/etc")),
        LEADS_OUT,
    ),
    "blob is a pipe": (instead("blob", os.mkfifo), NO_FILE),
    "blob is a folder": (instead("blob", Path.mkdir), "Is a directory"),
    "blob leads out": (instead("blob", out), LEADS_OUT),
    "list is a pipe": (listed(os.mkfifo), NO_FILE),
    "list is nested": (listed(lambda f: f.write_bytes(b"[" * 200_000)), DAMAGED),
    "list is large": (listed(lambda f: f.write_bytes(b"[" + b"[]," * 5_000_000)), DAMAGED),
    "list leads out": (listed(out), LEADS_OUT),
    "list of no text": (fetched(file="\ud800"), DAMAGED),
    "list of another file": (fetched(file="../../etc/passwd"), DAMAGED),
    "list of escapes": (fetched(mirror="\x1b[31m"), DAMAGED),
    "list of a huge file": (fetched(bytes=10**30), DAMAGED),
    "list of a folder": (fetched(file="."), "Is a directory"),
    "list of a red release": (fetched(release="\x1b[31m"), "'\\x1b[31m' holds a control"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_cache_is_refused(tmp_path: Path, name: str) -> None:
    write, message = HOSTILE[name]
    with pytest.MonkeyPatch.context() as patched:
        # The address of a socket is short.
        patched.chdir(tmp_path)
        write(tmp_path / "develop")
    result = run("check", tmp_path, "--quiet")
    assert result.exit_code == 1
    assert message in result.stderr
    for line in result.stderr.splitlines():
        assert_plain(line.replace(str(tmp_path), ""))


def test_hostile_caches_take_little_memory(tmp_path: Path) -> None:
    names = [
        n for n in HOSTILE if n.startswith(("nested", "long", "many", "gzip", "list is large"))
    ]
    for name in names:
        HOSTILE[name][0](tmp_path / name / "develop")
    said = run_apart(f"check --quiet --jobs 1 '{tmp_path}'")
    assert said.status == 1
    assert said.megabytes < 100


def test_a_gzip_bomb_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    packed = mirror.write_bare(tmp_path, gzip.compress(b" " * 2_000_000))
    listed = sorting.ListedIndex("", "", real=os.fsencode(packed))
    with patch.object(grammar, "MAX_BYTES", 1_000_000), pytest.raises(RefusedError) as refused:
        sorting.unpack(tmp_path, 1, listed)
    assert refused.value.refusals[0].message.endswith("bytes, expected at most 1,000,000")
    packed.write_bytes(packed.read_bytes()[:-5])
    with pytest.raises(RefusedError, match="cannot be unpacked"):
        sorting.unpack(tmp_path, 1, listed)
    assert [file.name for file in tmp_path.iterdir()] == ["index.json"]


@pytest.mark.parametrize("number", [1, 3, 500])
def test_a_gzip_file_of_several_is_unpacked(tmp_path: Path, number: int) -> None:
    parts = [GOOD[n * len(GOOD) // number : (n + 1) * len(GOOD) // number] for n in range(number)]
    mirror.write_bare(tmp_path / "develop", b"".join(map(gzip.compress, parts)))
    assert run("check", tmp_path, "--quiet").output == ""


SIZES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "one long line": lambda file: file.write_bytes(b"\0" * 50_000_000),
    "nothing": lambda file: None,
    "empty": Path.touch,
}


@pytest.mark.parametrize("name", SIZES)
def test_hostile_sizes_tell_none(tmp_path: Path, name: str) -> None:
    fetched(sizes="sizes")(tmp_path)
    SIZES[name](tmp_path / "sizes")
    assert run("build", tmp_path / "a.db", tmp_path, "--quiet").output == ""
    assert run("verify", tmp_path / "a.db", tmp_path, "--quiet").output == ""


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, out, listens])
def test_a_hostile_manifest_of_a_binary(
    tmp_path: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = dag_hash("zlib")
    mirror.write_layout3(tmp_path / "develop", index(record("zlib")), sizes={key: 5})
    (manifest,) = tmp_path.glob("develop/v3/manifests/spec/*/*")
    manifest.unlink()
    make(manifest)
    result = run("build", tmp_path / "a.db", tmp_path / "develop")
    assert result.exit_code == 0
    assert make is Path.mkdir or "[size-unknown]" in result.stderr
    assert run("verify", tmp_path / "a.db", tmp_path / "develop", "--quiet").output == ""


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    file.write_bytes(b"x" * 1_000_000)
    with file.open("rb") as opened:
        data = FileBytes(opened.fileno(), "index.json")
        assert data[:3] == b"xxx"
        os.truncate(file, 500_000)
        assert data[400_000:400_003] == b"xxx"
        with pytest.raises(ChangedError, match=r"^index.json changed while it was read"):
            data[900_000:900_001]


CHANGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda file: os.truncate(file, 0),
    "cut short": lambda file: os.truncate(file, len(GOOD) // 2),
    "another": lambda file: file.write_bytes(GOOD.replace(b'"1.0"', b'"2.0"')),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


@pytest.mark.parametrize("command", ["check", "build"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_index_that_changes_after_it_was_sorted(
    tmp_path: Path, command: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mirror.write_bare(tmp_path / "develop", GOOD)
    really = reading.sort_records

    def sort_records(*arguments: Any) -> Any:
        found = yield from really(*arguments)
        CHANGES[change](file)
        return found

    monkeypatch.setattr(reading, "sort_records", sort_records)
    database = [tmp_path / "a.db"] if command == "build" else []
    result = run(command, *database, file.parent, "--quiet")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {file} changed while it was read; run the command again\n"
    assert not (tmp_path / "a.db").exists()
