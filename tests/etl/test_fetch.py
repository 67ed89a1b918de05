"""Fetching build caches: only what changed, whole or not at all, whatever a server does."""

import gzip
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.errors import FailedError, WrongUseError
from etl.fetch import Report, Request, Speech, fetch
from etl.fetching import indexes, records, sizes, web
from etl.fetching.addresses import PUBLIC_LIST, Refused, Wanted, read_argument, read_list
from etl.fetching.sizes import manifest_path
from etl.fetching.web import FetchError, Patience
from etl.lock import locked
from etl.sources.caches.fetched import FetchedIndex, read_fetched
from tests.etl.server import (
    Fault,
    Handler,
    Server,
    blob_path,
    cut_off,
    encoded,
    instead,
    labelled,
    manifest,
    ordinary,
    redirect,
    serving,
    slow,
    status,
    stuck,
    without_length,
)

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
INDEX = (DATA / "index.json").read_bytes()
"""Four records of a real index: a hole, an external and two binaries."""

RECORDS = json.loads(INDEX)["database"]["installs"]
VENV, RUNTIME = "mptkrvw3yolkbbq2f4jpvaru5qcecour", "yp5vkqk2ysgbd34xg6d2c5oohjcruihs"
SIGNED = (DATA / "signed.spec.manifest.json").read_bytes()
"""The real manifest of the first binary."""

TARBALL = "application/vnd.spack.install.v2.tar+gzip"
OF_VENV = f"/v3/manifests/spec/python-venv/python-venv-1.0-{VENV}.spec.manifest.json"
OF_RUNTIME = f"/v3/manifests/spec/gcc-runtime/gcc-runtime-12.2.0-{RUNTIME}.spec.manifest.json"
LIST = "/cache_spack_io_index.json"
BROKE_OFF = "the connection broke off; tried 4 times"

HASTY = Patience(pauses=(0, 0, 0), longest_pause=0.02)
IMPATIENT = Patience(read=0.05, pauses=(0, 0, 0))


@dataclass
class Fetched:
    """What a fetch said."""

    report: Report
    said: list[str]
    faults: list[str]
    steps: list[str]


@dataclass
class Place:
    """A server, and a folder to fetch into."""

    server: Server
    folder: Path

    def fetch(self, *urls: str, **request: Any) -> Fetched:
        said: list[str] = []
        faults: list[str] = []
        steps: list[str] = []
        speech = Speech(
            said.append,
            lambda text: faults.append(self.short(text)),
            lambda *of: steps.append(of[0]),
        )
        wanted = Request(urls, **{"public": self.server.address, "patience": HASTY} | request)
        report = fetch(self.folder, wanted, speech)
        assert report.failed == len(faults)
        return Fetched(report, [self.short(text) for text in said], faults, steps)

    def short(self, text: str) -> str:
        return text.replace(self.server.address, "http:/")

    def files(self) -> dict[str, bytes]:
        """What is in the folder, but for the list."""
        found = (file for file in self.folder.rglob("*") if file.is_file())
        return {
            file.relative_to(self.folder).as_posix(): file.read_bytes()
            for file in sorted(found)
            if file.name != "fetched.json"
        }

    def listed(self) -> list[FetchedIndex]:
        return read_fetched(self.folder)

    def folders(self) -> list[str]:
        return sorted(
            file.relative_to(self.folder).as_posix()
            for file in self.folder.rglob("*")
            if file.is_dir()
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        yield Place(server, tmp_path / "caches")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def name_of(data: bytes, suffix: str = ".json") -> str:
    return f"index-{sha256(data)[:12]}{suffix}"


def index(number: int) -> bytes:
    """Other indexes, of a kilobyte and more."""
    return INDEX.replace(b'"ref_count":53', b'"ref_count":%d' % (1000 + number))


def two_releases(server: Server) -> str:
    return server.put_list(
        LIST,
        {
            "develop": {
                "root": server.put_v3("/develop", index(1)),
                "e4s": server.put_v3("/develop/e4s", index(2)),
            },
            "v0.23.1": {"root": server.put_v2("/v0.23.1", index(3))},
            "v0.22.0": {},
        },
    )


# ---- what is fetched, and what is not asked for again -------------------------------------------


def test_the_public_list_is_fetched(place: Place) -> None:
    address = two_releases(place.server)
    fetched = place.fetch()
    assert fetched.report == Report(fetched=3, bytes=3 * len(index(1)))
    assert place.files() == {
        f"develop/{name_of(index(1))}": index(1),
        f"develop/e4s/{name_of(index(2))}": index(2),
        f"v0.23.1/{name_of(index(3))}": index(3),
    }
    size, server = len(index(1)), place.server.address

    def entry(
        release: str, stack: str, at: str, data: bytes, url: str, layout: int
    ) -> FetchedIndex:
        file = f"{at}/{name_of(data)}"
        digest = sha256(data)
        return FetchedIndex(
            *(release, stack, file, server + url, f"{server}/{at}", layout, "none", size, digest),
            listed_by=address,
        )

    assert place.listed() == [
        entry("develop", "e4s", "develop/e4s", index(2), blob_path("/develop/e4s", index(2)), 3),
        entry("develop", "root", "develop", index(1), blob_path("/develop", index(1)), 3),
        entry("v0.23.1", "root", "v0.23.1", index(3), "/v0.23.1/build_cache/index.json", 2),
    ]
    assert fetched.steps[:2] == ["Reading the list", "Fetching 3 indexes"]
    assert place.server.asked_now() == sorted(
        [
            LIST,
            blob_path("/develop", index(1)),
            blob_path("/develop/e4s", index(2)),
            "/v0.23.1/build_cache/index.json",
            "/v0.23.1/build_cache/index.json.hash",
        ]
    )


def test_what_did_not_change_is_not_fetched_again(place: Place) -> None:
    two_releases(place.server)
    place.fetch()
    before = place.files(), place.listed(), (place.folder / "fetched.json").stat().st_ino
    place.server.asked_now()
    assert place.fetch().report == Report(unchanged=3)
    assert place.server.asked_now() == [LIST, "/v0.23.1/build_cache/index.json.hash"]
    assert (place.files(), place.listed(), (place.folder / "fetched.json").stat().st_ino) == before


def test_only_what_changed_is_fetched_and_the_old_file_removed(place: Place) -> None:
    two_releases(place.server)
    place.fetch()
    place.server.asked_now()
    place.server.put_v3("/develop/e4s", index(4))
    place.server.files[LIST] = place.server.files[LIST].replace(
        blob_path("", index(2)).encode(), blob_path("", index(4)).encode()
    )
    assert place.fetch().report == Report(fetched=1, bytes=len(index(4)), unchanged=2)
    assert place.server.asked_now() == [
        LIST,
        blob_path("/develop/e4s", index(4)),
        "/v0.23.1/build_cache/index.json.hash",
    ]
    assert sorted(place.files()) == sorted(
        [
            f"develop/{name_of(index(1))}",
            f"develop/e4s/{name_of(index(4))}",
            f"v0.23.1/{name_of(index(3))}",
        ]
    )
    assert {one.file for one in place.listed()} == set(place.files())


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("etags", [True, False])
def test_an_index_of_layout_2(place: Place, checksum: bool, etags: bool) -> None:
    path = place.server.put_v2("/v0.20.0", index(1), checksum=checksum)
    url = f"{place.server.address}/v0.20.0"
    place.server.etags = etags
    assert place.fetch(url).report == Report(fetched=1, bytes=len(index(1)))
    (one,) = place.listed()
    assert (one.layout, one.compression, one.mirror) == (2, "none", url)
    place.server.asked_now()
    assert place.fetch(url).report == Report(unchanged=1)
    no_manifest = "/v0.20.0/v3/manifests/index/index.manifest.json"
    if etags:
        assert place.server.asked_now() == [f"{path} {one.etag}", no_manifest]
    elif checksum:
        assert place.server.asked_now() == [f"{path}.hash", no_manifest]
    else:
        # There is no other way than to fetch and compare it.
        asked = [path, f"{path}.hash", f"{path}.hash", no_manifest]
        assert place.server.asked_now() == asked
    place.server.put_v2("/v0.20.0", index(2), checksum=checksum)
    assert place.fetch(url).report == Report(fetched=1, bytes=len(index(2)))
    assert place.files() == {f"v0.20.0/{name_of(index(2))}": index(2)}


def test_a_file_that_was_lost_or_cut_is_fetched_again(place: Place) -> None:
    two_releases(place.server)
    place.server.etags = True
    place.fetch()
    for one in place.listed():
        (place.folder / one.file).write_bytes(b"")
    (place.folder / f"develop/{name_of(index(1))}").unlink()
    assert place.fetch().report.fetched == 3
    assert set(place.files().values()) == {index(1), index(2), index(3)}


def test_a_mirror_of_layout_3(place: Place) -> None:
    place.server.put_v3("/mine", index(1))
    url = f"{place.server.address}/mine/"
    assert place.fetch(url).report.fetched == 1
    assert place.files() == {f"mine/{name_of(index(1))}": index(1)}
    place.server.asked_now()
    assert place.fetch(url).report == Report(unchanged=1)
    assert place.server.asked_now() == ["/mine/v3/manifests/index/index.manifest.json"]
    place.server.put_v3("/mine", index(2))
    place.fetch(url)
    assert place.files() == {f"mine/{name_of(index(2))}": index(2)}
    assert place.listed() == [
        FetchedIndex(
            *("mine", "root", f"mine/{name_of(index(2))}"),
            place.server.address + blob_path("/mine", index(2)),
            *(f"{place.server.address}/mine", 3, "none", len(index(2)), sha256(index(2))),
        )
    ]


def test_a_compressed_blob_stays_compressed(place: Place) -> None:
    packed = gzip.compress(index(1))
    place.server.put_v3("/develop", packed, "gzip")
    place.fetch(f"{place.server.address}/develop")
    assert place.files() == {f"develop/{name_of(packed, '.json.gz')}": packed}
    (one,) = place.listed()
    assert (one.compression, one.bytes, one.sha256) == ("gzip", len(packed), sha256(packed))


def test_indexes_asked_for_by_their_own_addresses(place: Place) -> None:
    blob = place.server.put_v3("/develop", index(1))
    view = "/develop/v3/manifests/index/e4s/index.manifest.json"
    place.server.files[view] = manifest(index(2), "application/vnd.spack.db.v8+json", "none")
    place.server.files[blob_path("/develop", index(2))] = index(2)
    urls = (place.server.address + blob, place.server.address + view)
    assert place.fetch(*urls).report.fetched == 2
    assert place.files() == {
        f"develop/{name_of(index(1))}": index(1),
        f"develop/e4s/{name_of(index(2))}": index(2),
    }


def test_the_same_index_at_another_address_is_not_fetched(place: Place) -> None:
    place.server.put_v3("/a", index(1))
    place.server.put_v3("/b", index(1))
    place.fetch(f"x={place.server.address}/a")
    assert place.fetch(f"x={place.server.address}/b").report == Report(unchanged=1)
    (one,) = place.listed()
    assert one.mirror == f"{place.server.address}/b"


def test_a_mirror_that_lost_its_manifest_does_not_fall_back_to_layout_2(place: Place) -> None:
    place.server.put_v3("/develop", index(2))
    place.server.put_v2("/develop", index(1))
    url = f"{place.server.address}/develop"
    place.fetch(url)
    del place.server.files["/develop/v3/manifests/index/index.manifest.json"]
    assert place.fetch(url).faults == [
        "develop: http://develop: it is not there (HTTP status 404); the old copy stays"
    ]
    assert place.files() == {f"develop/{name_of(index(2))}": index(2)}


def test_several_are_fetched_at_a_time(place: Place) -> None:
    together = threading.Barrier(3, timeout=2)

    def wait(handler: Handler, data: bytes | None) -> None:
        together.wait()
        ordinary(handler, data)

    for name in ("a", "b", "c"):
        place.server.always[place.server.put_v3(f"/{name}", index(1))] = wait
    urls = [f"{place.server.address}/{name}" for name in ("a", "b", "c")]
    assert place.fetch(*urls, jobs=3).report.fetched == 3


# ---- choosing ------------------------------------------------------------------------------------


def test_only_some_releases_and_stacks(place: Place) -> None:
    two_releases(place.server)
    place.fetch(releases=("develop",), stacks=("e4s",))
    assert list(place.files()) == [f"develop/e4s/{name_of(index(2))}"]
    place.fetch(stacks=("root",))
    assert len(place.files()) == 3


def test_names_that_nothing_has_are_wrong_use(place: Place) -> None:
    two_releases(place.server)
    with pytest.raises(WrongUseError) as error:
        place.fetch(releases=("v9", "develop"))
    assert str(error.value) == "no release v9 at these addresses; there are: develop, v0.23.1"
    with pytest.raises(WrongUseError) as error:
        place.fetch(stacks=("e5s",))
    assert str(error.value) == "no stack e5s at these addresses; there are: e4s, root"
    assert place.files() == {}


def test_one_stack_at_two_addresses_is_wrong_use(place: Place) -> None:
    two_releases(place.server)
    with pytest.raises(WrongUseError, match=r"^develop is at two of these addresses; fetch one"):
        place.fetch(place.server.address + LIST, f"{place.server.address}/develop")


def test_stacks_that_vanished_from_the_list_are_removed(place: Place) -> None:
    address = two_releases(place.server)
    place.server.put_v3("/mine", index(5))
    place.fetch(address, f"{place.server.address}/mine")
    place.server.put_list(LIST, {"develop": {"root": blob_path("/develop", index(1))}})
    # Where only a part is asked for, the others stay.
    assert place.fetch(address, releases=("develop",)).said == []
    assert len(place.files()) == 4
    assert place.fetch(address).said == [
        "develop/e4s: no longer in http://cache_spack_io_index.json; removed",
        "v0.23.1: no longer in http://cache_spack_io_index.json; removed",
    ]
    assert list(place.files()) == [f"develop/{name_of(index(1))}", f"mine/{name_of(index(5))}"]
    assert [one.release for one in place.listed()] == ["develop", "mine"]
    assert place.folders() == ["develop", "mine"]


@pytest.mark.parametrize(
    ("text", "release", "stack", "url", "mirror", "kind"),
    [
        ("http://h/develop", "develop", "root", "http://h/develop", "http://h/develop", "mirror"),
        ("http://h/develop/e4s/", "develop", "e4s", *["http://h/develop/e4s"] * 2, "mirror"),
        ("http://h/develop/v1.0", "v1.0", "root", *["http://h/develop/v1.0"] * 2, "mirror"),
        ("http://h/a/my%20b", "my b", "root", *["http://h/a/my%20b"] * 2, "mirror"),
        ("http://h:80", "h", "root", *["http://h:80"] * 2, "mirror"),
        ("x=http://h/develop/e4s", "x", "root", *["http://h/develop/e4s"] * 2, "mirror"),
        ("s3://spack-binaries/v1.0", "v1.0", "root", *["https://p/v1.0"] * 2, "mirror"),
        (
            *("http://h/develop/e4s/build_cache/index.json", "develop", "e4s"),
            *("http://h/develop/e4s/build_cache/index.json", "http://h/develop/e4s", "plain"),
        ),
        ("http://h/x/index.json", "x", "root", "http://h/x/index.json", "http://h/x", "plain"),
        (
            *("http://h/x/v3/manifests/index/index.manifest.json", "x", "root"),
            *("http://h/x/v3/manifests/index/index.manifest.json", "http://h/x", "manifest"),
        ),
        (
            *("http://h/x/v3/manifests/index/e4s/index.manifest.json", "x", "e4s"),
            *("http://h/x/v3/manifests/index/e4s/index.manifest.json", "http://h/x", "manifest"),
        ),
        (
            *(f"http://h/x{blob_path('', b'')}", "x", "root"),
            *(f"http://h/x{blob_path('', b'')}", "http://h/x", "blob"),
        ),
    ],
)  # fmt: skip
def test_what_an_address_stands_for(
    text: str, release: str, stack: str, url: str, mirror: str, kind: Any
) -> None:
    assert read_argument(text, "https://p") == Wanted(release, stack, url, mirror, kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("caches", "not an address that begins with https:// or http://"),
        ("file:///x", "not an address that begins with https:// or http://"),
        ("http://", "not an address that begins with https:// or http://"),
        ("s3://mine/x", "only s3://spack-binaries/ can be fetched of S3; give the https:// address"),
        ("http://me:pw@h/x", "an address with a user or a password is not taken"),
        ("http://h/x?a=b", "an address with ? or # is not taken"),
        ("http://h/x y", "not an address of the web: it is too long, or holds blanks"),
        ("http://h:x/", "not an address of the web: Port could not be cast to integer value as 'x'"),
        ("http://h/.x", "the name '.x' begins with a dot; give it another with NAME=http://h/.x"),
        ("http://h/a%2Fb", "the name 'a/b' holds a slash; give it another with NAME=http://h/a%2Fb"),
        ("x=http://h/y.json", "a list has names of its own, so none can be given"),
    ],
)  # fmt: skip
def test_what_is_no_address(text: str, message: str) -> None:
    with pytest.raises(WrongUseError) as error:
        read_argument(text)
    assert str(error.value) == f"{text}: {message}"


@pytest.mark.parametrize(
    ("release", "label", "message"),
    [
        ("", "e4s", "the name '' is empty"),
        ("../x", "e4s", "the name '../x' holds a slash"),
        ("develop", "..", "the name '..' holds .."),
        ("develop", ".git", "the name '.git' begins with a dot"),
        ("develop", "a\nb", "the name 'a\\nb' holds characters that cannot be shown"),
        ("develop", "\ud800", "the name '\\ud800' holds characters that cannot be shown"),
        ("develop", "é" * 126, f"the name {'é' * 126!r:.60} has more than 250 bytes"),
        ("develop", "sizes.txt", "the name 'sizes.txt' is one of fetch's own files"),
        ("fetched.json", "root", "the name 'fetched.json' is one of fetch's own files"),
    ],
)
def test_names_that_a_list_cannot_have(
    place: Place, release: str, label: str, message: str
) -> None:
    good = place.server.put_v3("/good", index(1))
    place.server.put_list(LIST, {release: {label: good}, "good": {"root": good}})
    fetched = place.fetch()
    assert fetched.faults == [f"http:/{LIST}: {message}; it is left out"]
    assert fetched.report == Report(fetched=1, bytes=len(index(1)), failed=1)
    assert list(place.files()) == [f"good/{name_of(index(1))}"]


def test_entries_of_a_list_that_cannot_be_fetched() -> None:
    blob = f"http://h/x{blob_path('', b'')}"
    listed = {
        "develop": [
            {"label": "a", "url": blob},
            {"label": "a", "url": blob},
            {"label": "b", "url": "s3://others/b/build_cache/index.json"},
            {"label": "c", "url": "http://h/c"},
            {"label": "d"},
            "e",
        ]
    }
    found = list(read_list(json.dumps(listed).encode(), "http://h/l.json"))
    assert found == [
        Wanted("develop", "a", blob, "http://h/x", "blob", "http://h/l.json"),
        Refused("develop", "a", "develop/a is listed twice"),
        Refused("develop", "b", "develop/b: only s3://spack-binaries/ can be fetched of S3; give the https:// address: 's3://others/b/build_cache/index.json'"),
        Refused("develop", "c", "develop/c: not the address of an index: 'http://h/c'"),
        Refused("develop", "", "an entry of develop has no label and url"),
        Refused("develop", "", "an entry of develop has no label and url"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "it is not valid JSON, so no list of build caches"),
        (b"[" * 100_000, "it is not valid JSON, so no list of build caches"),
        (b"\xff", "it is not valid JSON, so no list of build caches"),
        (b"[]", "it is no list of build caches ({release: [{label, url}]})"),
        (INDEX, "it is no list of build caches ({release: [{label, url}]})"),
        (b"{}", "it lists 0 indexes, expected 1 to 5,000"),
        (b'{"x": [%s]}' % b",".join([b"0"] * 5001), "it lists 5,001 indexes, expected 1 to 5,000"),
    ],
)  # fmt: skip
def test_a_bad_list_leaves_everything_as_it_was(place: Place, data: bytes, message: str) -> None:
    two_releases(place.server)
    place.server.files[LIST], good = data, place.server.files[LIST]
    assert place.fetch().faults == [f"http:/{LIST}: {message}; nothing was fetched of it"]
    assert (place.files(), place.folders()) == ({}, [])
    place.server.files[LIST] = good
    place.fetch()
    before = place.files(), place.listed()
    place.server.files[LIST] = data
    assert place.fetch().faults == [f"http:/{LIST}: {message}; the old copy stays"]
    assert (place.files(), place.listed()) == before


# ---- servers that fail ---------------------------------------------------------------------------


FAILURES = [
    (status(404), "it is not there (HTTP status 404)"),
    (status(403), "access is refused (HTTP status 403)"),
    (status(410), "it is not there any more (HTTP status 410)"),
    (status(400), "the server gave an answer of no use (HTTP status 400)"),
    (status(304), "the server gave an answer of no use (HTTP status 304)"),
    (status(206), "the server gave an answer of no use (HTTP status 206)"),
    (status(500), "the server failed (HTTP status 500); tried 4 times"),
    (status(503), "the server failed (HTTP status 503); tried 4 times"),
    (status(429), "too many requests (HTTP status 429); tried 4 times"),
    (slow, "nothing came for 0.05 s; tried 4 times"),
    (stuck(100), "nothing came for 0.05 s; tried 4 times"),
    (instead(b"<html>"), "what came (6 bytes{of}) is not what its SHA-256 tells"),
    (instead(index(7)), f"what came ({len(index(7)):,} bytes) is not what its SHA-256 tells"),
    (instead(index(7) + b" "), "what came (1 byte more) is not what its SHA-256 tells"),
    (labelled("br"), "it is sent as 'br', which this tool cannot read"),
    (redirect("ftp://other/x"), "it leads to ftp://other/x, which is neither http nor https"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "message"), FAILURES, ids=lambda of: str(of)[:20] if isinstance(of, str) else ""
)
def test_a_blob_that_fails(place: Place, fault: Fault, message: str) -> None:
    length = len(index(1))
    message = message.replace("{of}", f" instead of {length:,}")
    message = message.replace("1 byte more", f"{length + 1:,} bytes instead of {length:,}")
    old = place.server.put_v3("/develop", index(0))
    url = f"{place.server.address}/develop"
    place.server.always[old] = fault
    patience = IMPATIENT if "nothing came" in message else HASTY
    assert place.fetch(url, patience=patience).faults == [
        f"develop: http://develop: {message}; nothing was fetched of it"
    ]
    assert not [name for name in place.files() if not Path(name).name.startswith(".")]
    assert not (place.folder / "fetched.json").exists()

    place.server.always.clear()
    place.fetch(url)
    before = place.files(), place.listed()
    place.server.always[place.server.put_v3("/develop", index(1))] = fault
    assert place.fetch(url, patience=patience).faults == [
        f"develop: http://develop: {message}; the old copy stays"
    ]
    seen = {name: data for name, data in place.files().items() if ".part" not in name}
    assert (seen, place.listed()) == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (instead(b"<html>"), "the manifest is not valid JSON"),
        (instead(b"[]"), "the manifest is not of version 3"),
        (
            instead(manifest(INDEX, "application/vnd.spack.db.v99+json")),
            "the manifest has an index of version 99, expected one of 5 to 9",
        ),
        (
            instead(manifest(INDEX, "application/vnd.spack.db.v8+json", contentLength=10**10)),
            "its manifest says that it has more than 4,000,000,000 bytes",
        ),
        (instead(b" " * 1024**2 + b"1"), "it has more than 1,048,576 bytes"),
        (
            status(404),
            "no index of a build cache is there, of layout 3 or 2; of the last it is not there (HTTP status 404)",
        ),
        (cut_off(10), BROKE_OFF),
    ],
)
def test_a_manifest_that_fails(place: Place, fault: Fault, message: str) -> None:
    place.server.put_v3("/develop", index(1))
    place.server.always["/develop/v3/manifests/index/index.manifest.json"] = fault
    assert place.fetch(f"{place.server.address}/develop").faults == [
        f"develop: http://develop: {message}; nothing was fetched of it"
    ]
    assert (place.files(), place.folders()) == ({}, [])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(404), "it is not there (HTTP status 404)"),
        (cut_off(100), BROKE_OFF),
        (instead(b"<html>"), "it is no index of a build cache, or a damaged one: not valid JSON: Expecting value"),
        (instead(b"{}"), "it is no index of a build cache, or a damaged one: the index has no `database` with `installs`"),
        (instead(INDEX + b"x"), "it is no index of a build cache, or a damaged one: not valid JSON: there is text behind the index"),
        (instead(b"{" + b"[" * 1_000_000), "it is no index of a build cache, or a damaged one: not valid JSON: a value is nested too deeply"),
        (instead(b'{"database": \xff'), "it is no index of a build cache, or a damaged one: not valid JSON: Expecting value"),
    ],
)  # fmt: skip
def test_an_index_of_layout_2_that_fails(place: Place, fault: Fault, message: str) -> None:
    path = place.server.put_v2("/v0.20.0", index(1), checksum=False)
    url = place.server.address + path
    place.server.always[path] = fault
    assert place.fetch(url).faults == [
        f"v0.20.0: http:/{path}: {message}; nothing was fetched of it"
    ]
    assert (place.files(), place.folders()) == ({}, [])
    place.server.always.clear()
    place.fetch(url)
    place.server.always[path] = fault
    assert place.fetch(url).faults == [f"v0.20.0: http:/{path}: {message}; the old copy stays"]
    assert place.files() == {f"v0.20.0/{name_of(index(1))}": index(1)}


def test_half_an_index_that_nobody_said_the_length_of(place: Place) -> None:
    path = place.server.put_v2("/v0.20.0", index(1), checksum=False)
    place.server.always[path] = without_length
    (fault,) = place.fetch(place.server.address + path).faults
    assert "a damaged one" in fault
    assert place.files() == {}


def test_an_index_of_layout_2_that_is_not_what_its_checksum_says(place: Place) -> None:
    path = place.server.put_v2("/v0.20.0", index(1))
    place.server.files[f"{path}.hash"] = sha256(b"").encode()
    assert place.fetch(place.server.address + path).faults == [
        f"v0.20.0: http:/{path}: what came is not what index.json.hash beside it tells; "
        "nothing was fetched of it"
    ]
    assert place.files() == {}


def test_an_index_whose_checksum_is_replaced_a_moment_later(place: Place) -> None:
    path = place.server.put_v2("/v0.20.0", index(1))
    place.server.faults[f"{path}.hash"] = [instead(sha256(b"").encode())]
    assert place.fetch(place.server.address + path).report.fetched == 1


def test_a_page_in_place_of_a_checksum_is_none(place: Place) -> None:
    path = place.server.put_v2("/v0.20.0", index(1))
    place.server.files[f"{path}.hash"] = b"<html>"
    assert place.fetch(place.server.address + path).report.fetched == 1


def test_a_server_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        place = Place(server, tmp_path / "caches")
        server.put_v3("/develop", index(1))
        url = f"{server.address}/develop"
        place.fetch(url)
    before = place.files()
    (fault,) = place.fetch(url).faults
    assert re.fullmatch(
        r"develop: http://develop: the server cannot be reached \(.+\); tried 4 times; "
        "the old copy stays",
        fault,
    )
    assert place.files() == before


def test_a_host_that_cannot_be(place: Place) -> None:
    assert place.fetch("x=http://☃-.☃/y").faults == [
        "x: http://☃-.☃/y: it cannot be asked for (Invalid IDNA hostname: '☃-.☃'); "
        "nothing was fetched of it"
    ]


def test_one_that_fails_does_not_keep_the_others(place: Place) -> None:
    two_releases(place.server)
    place.server.always[blob_path("/develop", index(1))] = status(404)
    fetched = place.fetch()
    assert fetched.report == Report(fetched=2, bytes=2 * len(index(1)), failed=1)
    assert fetched.faults == [
        f"develop: http:/{blob_path('/develop', index(1))}: it is not there (HTTP status 404); "
        "nothing was fetched of it"
    ]
    place.server.always.clear()
    place.server.asked_now()
    assert place.fetch().report == Report(fetched=1, bytes=len(index(1)), unchanged=2)


def test_an_index_that_is_too_large(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "MAX_INDEX", 1000)
    url = place.server.address + place.server.put_v3("/x", b" " * 1001)
    message = "it has more than 1,000 bytes; nothing was fetched of it"
    assert place.fetch(f"x={url}").faults == [f"x: {place.short(url)}: {message}"]
    place.server.files[place.server.put_v2("/y", b"")] = b"x"
    place.server.always["/y/build_cache/index.json"] = instead(
        gzip.compress(b" " * 1001), Content_Encoding="gzip"
    )
    assert place.fetch(f"{place.server.address}/y/build_cache/index.json").faults == [
        f"y: http://y/build_cache/index.json: {message}"
    ]


# ---- trying again, going on ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        [status(500)],
        [status(503), status(502), status(500)],
        [status(429, Retry_After="1")],
        [status(503, Retry_After="Wed, 21 Oct 2037 07:28:00 GMT")],
        [status(503, Retry_After="soon")],
        [slow],
        [stuck(100), cut_off(0)],
        [cut_off(50), cut_off(100), cut_off(200)],
    ],
)
def test_what_passes_is_tried_again(place: Place, faults: list[Fault]) -> None:
    path = place.server.put_v3("/develop", index(1))
    place.server.faults[path] = list(faults)
    patience = Patience(read=0.3, pauses=(0, 0, 0), longest_pause=0.02)
    assert place.fetch(f"{place.server.address}/develop", patience=patience).report.fetched == 1
    assert place.files() == {f"develop/{name_of(index(1))}": index(1)}
    assert len([one for one in place.server.asked if path in one]) == len(faults) + 1


def test_the_pauses_grow_and_a_server_can_ask_for_longer_ones(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(web.asyncio, "sleep", sleep)
    path = place.server.put_v3("/develop", index(1))
    place.server.faults[path] = [
        status(429, Retry_After="7"),
        status(503, Retry_After="99999"),
        status(500),
    ]
    patience = Patience()
    place.fetch(f"{place.server.address}/develop", patience=patience)
    assert slept == [7, 30, 2]
    assert patience == Patience(connect=10, read=30, pauses=(0.5, 1, 2), longest_pause=30)


def test_what_will_not_pass_is_not_tried_again(place: Place) -> None:
    path = place.server.put_v3("/develop", index(1))
    place.server.always[path] = status(404)
    place.fetch(f"{place.server.address}/develop")
    assert [one for one in place.server.asked if one == path] == [path]


def test_a_blob_is_continued_where_it_was_cut_off(place: Place) -> None:
    place.server.ranges = True
    path = place.server.put_v3("/develop", index(1))
    place.server.faults[path] = [cut_off(300), cut_off(200)]
    place.fetch(f"{place.server.address}/develop")
    assert place.server.asked[1:] == [path, f"{path} bytes=300-", f"{path} bytes=500-"]
    assert place.files() == {f"develop/{name_of(index(1))}": index(1)}


@pytest.mark.parametrize("ranges", [True, False])
def test_the_next_run_goes_on_where_the_last_one_was_cut_off(place: Place, ranges: bool) -> None:
    path = place.server.put_v3("/develop", index(1))
    place.server.always[path] = cut_off(100)
    place.server.ranges = ranges
    url = f"{place.server.address}/develop"
    assert place.fetch(url).faults == [
        f"develop: http://develop: {BROKE_OFF}; nothing was fetched of it"
    ]
    part = f"develop/.index-{sha256(index(1))[:12]}.part"
    assert place.files() == {part: index(1)[:400]}
    place.server.always.clear()
    place.server.asked_now()
    assert place.fetch(url).report.fetched == 1
    assert place.server.asked[1:] == [f"{path} bytes=400-"]
    assert place.files() == {f"develop/{name_of(index(1))}": index(1)}


@pytest.mark.parametrize("left", [b"something else", index(1) + b"more", index(1)])
def test_a_part_that_is_no_beginning_is_not_continued(place: Place, left: bytes) -> None:
    place.server.ranges = True
    path = place.server.put_v3("/develop", index(1))
    part = place.folder / f"develop/.index-{sha256(index(1))[:12]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert place.fetch(f"{place.server.address}/develop").report.fetched == 1
    anew = [] if left == index(1) else [path]
    assert place.server.asked[1:] == [f"{path} bytes={len(left)}-", *anew]
    assert place.files() == {f"develop/{name_of(index(1))}": index(1)}


def test_another_part_than_was_asked_for(place: Place) -> None:
    path = place.server.put_v3("/develop", index(1))

    def wrong_part(handler: Handler, _: bytes | None) -> None:
        handler.answer(206, index(1)[50:], Content_Range="bytes 50-")

    place.server.faults[path] = [cut_off(100), wrong_part]
    assert place.fetch(f"{place.server.address}/develop").report.fetched == 1
    assert place.files() == {f"develop/{name_of(index(1))}": index(1)}


def test_a_complete_file_that_a_killed_run_left_is_taken_up(place: Place) -> None:
    two_releases(place.server)
    place.fetch()
    (place.folder / "fetched.json").unlink()
    place.server.asked_now()
    assert place.fetch().report == Report(fetched=1, bytes=len(index(3)), unchanged=2)
    assert blob_path("/develop", index(1)) not in place.server.asked
    assert len(place.listed()) == 3


def test_a_damaged_list_of_what_was_fetched(place: Place) -> None:
    two_releases(place.server)
    place.fetch()
    (place.folder / "fetched.json").write_text("oops")
    faults: list[str] = []
    speech = Speech(lambda _: None, faults.append, lambda *_: None)
    fetch(place.folder, Request(public=place.server.address, patience=HASTY), speech)
    assert faults == [
        f"{place.folder}: fetched.json is damaged: it is not what `fetch` writes; it is begun anew"
    ]
    assert len(place.listed()) == 3


# ---- encodings and redirects ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "packed"),
    [
        (encoded, False),
        (encoded, True),
        (labelled("gzip"), True),
        (labelled("gzip"), False),
        (labelled("aws-chunked"), False),
        (labelled("identity"), True),
    ],
)
def test_an_encoding_of_a_blob_on_its_way(place: Place, fault: Fault, packed: bool) -> None:
    data = gzip.compress(index(1)) if packed else index(1)
    path = place.server.put_v3("/develop", data, "gzip" if packed else "none")
    place.server.always[path] = fault
    assert place.fetch(f"{place.server.address}/develop").report.fetched == 1
    assert place.files() == {f"develop/{name_of(data, '.json.gz' if packed else '.json')}": data}


def test_an_encoded_blob_is_begun_anew_when_it_is_cut_off(place: Place) -> None:
    path = place.server.put_v3("/develop", index(1))

    def half(handler: Handler, data: bytes | None) -> None:
        assert data is not None
        headers = {"Content-Encoding": "gzip", "Content-Length": "9999"}
        handler.answer(200, gzip.compress(data)[:200], **headers)
        handler.close_connection = True

    place.server.faults[path] = [half, encoded]
    assert place.fetch(f"{place.server.address}/develop").report.fetched == 1
    assert place.server.asked[1:] == [path, path]


@pytest.mark.parametrize("fault", [encoded, labelled("gzip"), labelled("x-gzip")])
@pytest.mark.parametrize("checksum", [True, False])
def test_an_encoding_of_an_index_of_layout_2(place: Place, fault: Fault, checksum: bool) -> None:
    path = place.server.put_v2("/v0.20.0", index(1), checksum=checksum)
    place.server.always[path] = fault
    assert place.fetch(place.server.address + path).report.fetched == 1
    assert place.files() == {f"v0.20.0/{name_of(index(1))}": index(1)}


@pytest.mark.parametrize("fault", [encoded, labelled("gzip")])
def test_an_encoding_of_lists_and_manifests(place: Place, fault: Fault) -> None:
    two_releases(place.server)
    place.server.always[LIST] = fault
    place.server.put_v3("/mine", index(5))
    place.server.always["/mine/v3/manifests/index/index.manifest.json"] = fault
    urls = (place.server.address + LIST, f"{place.server.address}/mine")
    assert place.fetch(*urls).report.fetched == 4


def test_a_small_list_that_unpacks_to_a_large_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.fetch.MAX_LIST", 1000)
    place.server.files[LIST] = b" " * 1001
    place.server.always[LIST] = encoded
    assert place.fetch().faults == [
        f"http:/{LIST}: it has more than 1,000 bytes; nothing was fetched of it"
    ]


def test_redirects_are_followed(place: Place) -> None:
    path = place.server.put_v3("/develop", index(1))
    for number in range(5):
        place.server.files[f"/{number}"] = b""
        place.server.always[f"/{number}"] = redirect(f"/{number + 1}" if number < 4 else "/there")
    place.server.files["/there"] = index(1)
    place.server.always[path] = redirect("/0")
    (fault,) = place.fetch(f"{place.server.address}/develop").faults
    assert "it is redirected more than 5 times" in fault
    place.server.always[path] = redirect("/1")
    assert place.fetch(f"{place.server.address}/develop").report.fetched == 1


# ---- sizes ---------------------------------------------------------------------------------------


def with_sizes(server: Server) -> str:
    """A mirror with the manifests of its two binaries."""
    server.put_v3("/develop", INDEX)
    server.files[f"/develop{OF_VENV}"] = SIGNED
    server.files[f"/develop{OF_RUNTIME}"] = manifest(b"tarball", TARBALL)
    return f"{server.address}/develop"


def specs_asked(server: Server) -> list[str]:
    return [path for path in server.asked_now() if "/spec/" in path]


VENV_LINE = f"{VENV} 6956 blobs/sha256/72/7231eecf90108c38e5787b58dc11b94833b4788f200a5c591e6792470ede5cb5\n"
RUNTIME_LINE = f"{RUNTIME} 7 blobs/sha256/{sha256(b'tarball')[:2]}/{sha256(b'tarball')}\n"


def test_sizes(place: Place) -> None:
    url = with_sizes(place.server)
    fetched = place.fetch(url, sizes=True)
    assert fetched.said == ["2 manifests to fetch for develop"]
    assert fetched.steps[-1] == "Fetching sizes of develop"
    assert place.files() == {
        f"develop/{name_of(INDEX)}": INDEX,
        "develop/sizes.txt": (VENV_LINE + RUNTIME_LINE).encode(),
    }
    assert [one.sizes for one in place.listed()] == ["develop/sizes.txt"]
    assert specs_asked(place.server) == [f"/develop{OF_RUNTIME}", f"/develop{OF_VENV}"]
    assert place.fetch(url, sizes=True).said == ["0 manifests to fetch for develop"]
    assert specs_asked(place.server) == []


def test_sizes_stay_when_the_index_changes_and_are_completed(place: Place) -> None:
    url = with_sizes(place.server)
    place.fetch(url, sizes=True)
    fewer = {one: RECORDS[one] for one in RECORDS if one != VENV}
    other = {"spec": RECORDS[VENV]["spec"] | {"hash": "a" * 32}, "in_buildcache": True}
    database = {"version": "8", "installs": fewer | {"a" * 32: other}}
    place.server.put_v3("/develop", json.dumps({"database": database}).encode())
    new = f"/develop/v3/manifests/spec/python-venv/python-venv-1.0-{'a' * 32}.spec.manifest.json"
    place.server.files[new] = SIGNED
    place.server.asked_now()
    place.fetch(url)
    assert [one.sizes for one in place.listed()] == ["develop/sizes.txt"]
    place.fetch(url, sizes=True)
    assert specs_asked(place.server) == [new]
    lines = VENV_LINE.replace(VENV, "a" * 32) + RUNTIME_LINE
    assert place.files()["develop/sizes.txt"].decode() == lines


def test_sizes_are_continued(place: Place) -> None:
    url = with_sizes(place.server)
    place.fetch(url)
    journal = place.folder / "develop/.sizes.journal"
    journal.write_text(f"{url!a}\n{VENV_LINE}{RUNTIME_LINE[:50]}")
    place.server.asked_now()
    assert place.fetch(url, sizes=True).said == ["1 manifest to fetch for develop"]
    assert specs_asked(place.server) == [f"/develop{OF_RUNTIME}"]
    assert place.files()["develop/sizes.txt"].decode() == VENV_LINE + RUNTIME_LINE
    assert not journal.exists()
    # The answers of another mirror are not this one's.
    journal.write_text(f"'http://other'\n{VENV_LINE}")
    (place.folder / "develop/sizes.txt").unlink()
    assert place.fetch(url, sizes=True).said == ["2 manifests to fetch for develop"]


def test_each_size_is_written_down_at_once(place: Place) -> None:
    url = with_sizes(place.server)
    seen: list[str] = []

    def last(handler: Handler, data: bytes | None) -> None:
        seen.append((place.folder / "develop/.sizes.journal").read_text())
        ordinary(handler, data)

    place.server.always[f"/develop{OF_RUNTIME}"] = last
    place.fetch(url, sizes=True, jobs=1)
    assert seen == [f"{url!a}\n{VENV_LINE}"]


def test_sizes_of_a_stack_are_those_of_the_whole_mirror(place: Place) -> None:
    url = with_sizes(place.server)
    place.server.put_v3("/develop/e4s", INDEX)
    place.server.put_v2("/v0.20.0", index(1))
    urls = (url, f"{url}/e4s", f"{place.server.address}/v0.20.0")
    assert place.fetch(*urls, sizes=True).said == [
        "no sizes of v0.20.0: layout 2 has no manifests of specs",
        "2 manifests to fetch for develop",
    ]
    place.server.files[f"/develop/e4s{OF_VENV}"] = SIGNED
    assert place.fetch(f"{url}/e4s", sizes=True).said == [
        "2 manifests to fetch for develop/e4s",
        "develop/e4s: 1 manifest of 2 not at the mirror",
    ]
    assert place.files()["develop/e4s/sizes.txt"].decode() == VENV_LINE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"oops", "the manifest is not valid JSON"),
        (b'{"version": 3, "data": []}', "the manifest names no tarball"),
    ],
)
def test_a_spec_manifest_that_fails(place: Place, data: bytes, message: str) -> None:
    url = with_sizes(place.server)
    place.server.files[f"/develop{OF_RUNTIME}"] = data
    assert place.fetch(url, sizes=True).faults == [
        f"develop: 1 of 2 manifests failed, the first: http://develop{OF_RUNTIME}: {message}; "
        "fetch again to go on"
    ]
    assert place.files()["develop/sizes.txt"].decode() == VENV_LINE
    place.server.files[f"/develop{OF_RUNTIME}"] = manifest(b"tarball", TARBALL)
    place.server.asked_now()
    assert place.fetch(url, sizes=True).faults == []
    assert specs_asked(place.server) == [f"/develop{OF_RUNTIME}"]


def test_a_server_that_fails_is_not_asked_for_every_size(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "_MOST_FAILURES", 1)
    url = with_sizes(place.server)
    place.server.always |= dict.fromkeys([f"/develop{OF_VENV}", f"/develop{OF_RUNTIME}"], slow)
    patience = Patience(read=0.05, pauses=())
    assert place.fetch(url, sizes=True, jobs=1, patience=patience).faults == [
        f"develop: 2 of 2 manifests failed, the first: http://develop{OF_VENV}: nothing came for "
        "0.05 s; tried 1 times; fetch again to go on"
    ]
    assert specs_asked(place.server) == [f"/develop{OF_VENV}"]


def test_a_damaged_index_has_no_sizes(place: Place) -> None:
    place.server.put_v3("/develop", b"{}")
    assert place.fetch(f"{place.server.address}/develop", sizes=True).faults == [
        "develop: it is no index of a build cache, or a damaged one: the index has no `database`; "
        "no sizes were fetched"
    ]


def test_the_manifest_of_an_unusual_version() -> None:
    assert manifest_path("c++", "git.a/b=1.0+x", "h") == (
        "v3/manifests/spec/c%2B%2B/c%2B%2B-git.a_b_1.0%2Bx-h.spec.manifest.json"
    )


# ---- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_binaries_of_an_index(tmp_path: Path, compression: str) -> None:
    text = json.dumps(
        {"x": [1], "database": {"installs": RECORDS, "version": "8", "z": {}}, "y": 12}, indent=1
    )
    file = tmp_path / "index"
    file.write_bytes(gzip.compress(text.encode()) if compression == "gzip" else text.encode())
    assert list(records.binaries(file, compression)) == [
        ("python-venv", "1.0", VENV),
        ("gcc-runtime", "12.2.0", RUNTIME),
    ]
    assert [span.hash for span in records.records(file, compression)] == list(RECORDS)


@pytest.mark.parametrize("length", range(0, len(INDEX), 97))
def test_half_an_index(tmp_path: Path, length: int) -> None:
    file = tmp_path / "index"
    file.write_bytes(INDEX[:length])
    with pytest.raises(FetchError, match=r"^it is no index of a build cache, or a damaged one: "):
        list(records.records(file, "none"))
    file.write_bytes(gzip.compress(INDEX)[: length // 4])
    with pytest.raises(FetchError, match=r"^it is no index of a build cache, or a damaged one: "):
        list(records.records(file, "gzip"))


# ---- the folder and the command ------------------------------------------------------------------


def test_one_fetch_into_a_folder_at_a_time(place: Place) -> None:
    two_releases(place.server)
    place.folder.mkdir()
    with (
        locked(place.folder / ".fetch.lock", "it"),
        pytest.raises(FailedError, match=r"another run is writing it; wait for its end$"),
    ):
        place.fetch()
    place.fetch()
    assert not (place.folder / ".fetch.lock").exists()


def test_a_file_in_place_of_the_folder(place: Place) -> None:
    place.folder.write_text("")
    with pytest.raises(WrongUseError, match=r"not a folder; name the folder to fetch into$"):
        place.fetch()


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "etl", "fetch", *map(str, arguments)]


@pytest.mark.parametrize("kilobytes", [0, 3])
def test_files_that_may_not_grow(place: Place, kilobytes: int) -> None:
    place.folder.mkdir()
    old = index(1) + b" " * 500
    place.server.put_v3("/develop", old)
    place.fetch(f"{place.server.address}/develop")
    before = place.files(), place.listed()
    place.server.put_v3("/develop", index(2) + b" " * 5000)
    most = (kilobytes * 1024, kilobytes * 1024)
    done = subprocess.run(
        command("--quiet", place.folder, f"{place.server.address}/develop"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, most),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {place.folder}: cannot be written: File too large\n"
    assert (place.files(), place.listed()) == before


def test_no_room_for_the_list(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.server.put_v3("/develop", index(1))
    place.fetch(f"{place.server.address}/develop")
    place.server.put_v3("/develop", index(2))
    real = os.fsync
    done: list[int] = []

    def fsync(handle: int) -> None:
        # The file, its folder, the list.
        done.append(handle)
        if len(done) == 3:
            raise OSError(28, "No space left on device")
        real(handle)

    before = place.listed()
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FailedError, match=r"cannot be written: No space left on device$"):
        place.fetch(f"{place.server.address}/develop")
    assert place.listed() == before
    assert place.files()[before[0].file] == index(1)
    assert not list(place.folder.glob(".*"))
    place.server.asked_now()
    assert place.fetch(f"{place.server.address}/develop").report == Report(unchanged=1)
    assert place.files() == {f"develop/{name_of(index(2))}": index(2)}


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 1, "Error: Interrupted.\n"),
        (signal.SIGTERM, 128 + signal.SIGTERM, ""),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_ended_amid_a_download(place: Place, number: int, code: int, message: str) -> None:
    big = index(1) + b" " * 300_000
    path = place.server.put_v3("/develop", big)
    place.server.always[path] = stuck(200_000)
    url = f"{place.server.address}/develop"
    with subprocess.Popen(
        command("--quiet", place.folder, url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        part = place.folder / f"develop/.index-{sha256(big)[:12]}.part"
        deadline = time.monotonic() + 20
        while not part.exists() or not part.stat().st_size:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        started.send_signal(number)
        assert started.communicate(timeout=10) == ("", message)
    assert started.returncode == code
    left = part.stat().st_size
    assert 0 < left <= 200_000
    expected = {part.relative_to(place.folder).as_posix(): big[:left]}
    assert {name: data for name, data in place.files().items() if name != ".fetch.lock"} == expected
    place.server.always.clear()
    place.server.ranges = True
    place.server.asked_now()
    assert place.fetch(url).report.fetched == 1
    assert f"{path} bytes={left}-" in place.server.asked
    assert place.files() == {f"develop/{name_of(big)}": big}


def test_ctrl_c_again_and_again(place: Place) -> None:
    path = place.server.put_v3("/develop", index(1))
    place.server.always[path] = slow
    with subprocess.Popen(
        command("--quiet", place.folder, f"{place.server.address}/develop"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        deadline = time.monotonic() + 20
        while path not in place.server.asked:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while started.poll() is None:
            started.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert started.stderr
        assert "Traceback" not in started.stderr.read()
    assert not place.folder.joinpath("fetched.json").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HTTP_PROXY", "nonsense://x", "the proxy that the environment names is of no use: "),
        ("SSL_CERT_FILE", "/none", "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names are of no use: "),
    ],
)  # fmt: skip
def test_an_environment_of_no_use(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    web._certificates.cache_clear()
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv(name, value)
    with pytest.raises(FailedError, match=f"^{message}"):
        place.fetch(f"{place.server.address}/develop")


def test_the_public_list() -> None:
    assert f"{Request().public}/{PUBLIC_LIST}" == (
        "https://binaries.spack.io/cache_spack_io_index.json"
    )


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command in a folder where `caches` is fetched into."""
    monkeypatch.chdir(place.folder.parent)

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["fetch", *arguments])
        seconds = re.compile(r"\d+\.\d s\b")
        said = (seconds.sub("N s", place.short(text)) for text in (result.stdout, result.stderr))
        return (result.exit_code, *said)

    return run


def test_the_command_says_what_it_fetched(place: Place, run: Callable[..., Any]) -> None:
    url = with_sizes(place.server)
    arguments = ("caches", url, f"{place.server.address}/gone", "--sizes")
    assert run(*arguments) == (
        1,
        "2 manifests to fetch for develop\n"
        "Fetched 1 index (0.0 MB), 0 unchanged, 1 failed into caches in N s\n",
        "Fetching 2 indexes…\n"
        "gone: http://gone: no index of a build cache is there, of layout 3 or 2; of the last it "
        "is not there (HTTP status 404); nothing was fetched of it\n"
        "Fetching sizes of develop…\n"
        "Error: Not everything was fetched; run the command again to go on.\n",
    )
    assert run("caches", url) == (
        0,
        "Fetched 0 indexes (0.0 MB), 1 unchanged, 0 failed into caches in N s\n",
        "Fetching 1 index…\n",
    )
    assert run("caches", url, "--quiet") == (0, "", "")


def test_the_command_used_wrongly(place: Place, run: Callable[..., Any]) -> None:
    for arguments in ((), ("caches", "x"), ("caches", "--jobs", "0"), ("caches", "--oops")):
        code, said, _ = run(*arguments)
        assert (code, said) == (2, "")
    code, _, message = run("caches", f"{place.server.address}/develop", "-r", "v9")
    assert code == 2
    assert message.endswith("Error: no release v9 at these addresses; there are: develop\n")
