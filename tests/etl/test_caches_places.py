"""Where a cache is, what it is called, and how it is stored."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import build
from tests.etl import mirror
from tests.etl.cache_builds import Site, compare, one, problems, prove, query, run
from tests.etl.cache_oracle import Index
from tests.etl.mirror import index, record
from tests.pages import dag_hash


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


FOLDERS: list[tuple[list[str], str, list[tuple[str, str]]]] = [
    (["develop"], ".", [("develop", "root")]),
    (["develop"], "develop", [("develop", "root")]),
    (["develop-2025-07-13"], "develop-2025-07-13", [("develop-2025-07-13", "root")]),
    (["v2025.07.0"], ".", [("v2025.07.0", "root")]),
    (["v0.23.1/e4s"], ".", [("v0.23.1", "e4s")]),
    (["v0.23.1/e4s"], "v0.23.1/e4s", [("v0.23.1", "e4s")]),
    (["develop", "develop/e4s"], "develop", [("develop", "root"), ("develop", "e4s")]),
    (["our-cache"], ".", [("our-cache", "root")]),
    (["deep/er/our-cache"], ".", [("our-cache", "root")]),
    (["ours", "ours/gpu"], ".", [("ours", "root"), ("ours", "gpu")]),
    (["ours", "ours/gpu"], "ours/gpu", [("ours", "gpu")]),
    (["plain/gpu"], ".", [("gpu", "root")]),
    (["ours", "other"], ".", [("ours", "root"), ("other", "root")]),
    (["ours", "ours/develop"], ".", [("ours", "root"), ("develop", "root")]),
]
"""Folders with an index, the one that is named, and the releases and stacks that are found."""


@pytest.mark.parametrize(
    ("layout", "folders", "named", "expected"),
    [
        *((None, *case) for case in FOLDERS),
        *((layout, *case) for layout in (2, 3) for case in FOLDERS if len(case[0]) > 1),
    ],
    ids=lambda value: "+".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_release_and_stack_of_a_folder(
    tmp_path: Path,
    layout: int | None,
    folders: list[str],
    named: str,
    expected: list[tuple[str, str]],
) -> None:
    write = {2: mirror.write_layout2, 3: mirror.write_layout3, None: mirror.write_bare}[layout]
    top = tmp_path / "top"
    files = {}
    for number, folder in enumerate(folders):
        version = "8" if layout == 3 else "7"
        content = index(record("zlib", "1.3", "abc"[number]), version=version)
        files[top / folder] = write(top / folder, content)
    indexes = [
        Index(release, stack, layout, file, folder)
        for (release, stack), (folder, file) in zip(
            expected, [*files.items()][-len(expected) :], strict=True
        )
    ]
    prove(tmp_path / "a.db", [top / named], indexes)


@pytest.mark.parametrize("layout", [2, None], ids=["layout 2", "bare"])
@pytest.mark.parametrize(
    ("folder", "release", "stack"),
    [("develop", "develop", "root"), ("v0.23.1/e4s", "v0.23.1", "e4s"), ("ours", "ours", "root")],
)
def test_an_index_that_is_named_itself(
    tmp_path: Path, layout: int | None, folder: str, release: str, stack: str
) -> None:
    write = mirror.write_layout2 if layout else mirror.write_bare
    file = write(tmp_path / folder, index(record("zlib"), version="7"))
    prove(tmp_path / "a.db", [file], [Index(release, stack, layout, file, tmp_path / folder)])


def test_a_link_counts_by_what_it_leads_to(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    file = mirror.write_bare(folder, index(record("zlib")))
    (tmp_path / "v0.23.1").symlink_to(folder)
    prove(
        tmp_path / "a.db",
        [tmp_path / "v0.23.1"],
        [Index("ours", "root", None, file, folder)],
    )


def test_the_name_of_a_cache_can_be_given(tmp_path: Path) -> None:
    top = tmp_path / "some" / "folder"
    root = mirror.write_layout3(top, index(record("zlib", "1.3")))
    gpu = mirror.write_layout3(top / "gpu", index(record("xz", "5.6")), sizes={dag_hash("xz"): 9})
    indexes = [
        Index("our-site", "root", 3, root, top),
        Index("our-site", "gpu", 3, gpu, top / "gpu"),
    ]
    tables = prove(tmp_path / "a.db", [f"our-site={top}"], indexes)
    (release,) = tables["releases"]
    assert (release["name"], release["kind"], release["mirror"]) == ("our-site", "mirror", str(top))
    checksum = mirror.tarball_checksum(dag_hash("xz"))
    tarball = f"{top}/gpu/blobs/sha256/{checksum[:2]}/{checksum}"
    assert one(tables["spec_releases"], spec=dag_hash("xz"))["tarball"] == tarball


def test_the_name_of_a_cache_can_be_a_release_of_spack(tmp_path: Path) -> None:
    top = tmp_path / "copy"
    file = mirror.write_layout2(top, index(record("zlib"), version="7"), {dag_hash("zlib"): 5})
    tables = prove(tmp_path / "a.db", [f"v0.23.1={top}"], [Index("v0.23.1", "root", 2, file, top)])
    (release,) = tables["releases"]
    assert release["mirror"] == "https://binaries.spack.io/v0.23.1"


def test_caches_named_relative_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = mirror.write_bare(tmp_path / "ours", index(record("zlib")))
    monkeypatch.chdir(tmp_path)
    indexes = [Index("ours", "root", None, file, tmp_path / "ours")]
    assert prove(tmp_path / "a.db", ["ours"], indexes)["releases"][0]["mirror"] == str(
        tmp_path / "ours"
    )
    monkeypatch.chdir(tmp_path / "ours")
    prove(tmp_path / "b.db", ["."], indexes)


def test_other_caches_stand_behind_spacks_releases_by_name(tmp_path: Path) -> None:
    names = ["zeta", "v0.20.0", "alpha-2", "develop-2025-07-13", "alpha-10", "develop", "v0.23.1"]
    indexes = []
    for number, name in enumerate(names):
        file = mirror.write_bare(tmp_path / name, index(record("xz", "5.6", "abcdefg"[number])))
        indexes.append(Index(name, "root", None, file, tmp_path / name))
    prove(tmp_path / "a.db", [tmp_path / name for name in names], indexes)
    sql = "SELECT name, kind, date FROM releases ORDER BY position"
    assert query(tmp_path / "a.db", sql) == [
        ("develop", "develop", None),
        ("develop-2025-07-13", "snapshot", "2025-07-13"),
        ("v0.23.1", "version", None),
        ("v0.20.0", "version", None),
        ("alpha-10", "mirror", None),
        ("alpha-2", "mirror", None),
        ("zeta", "mirror", None),
    ]
    sql = "SELECT releases FROM packages"
    assert json.loads(query(tmp_path / "a.db", sql)[0][0])[-4:] == [
        *("v0.20.0", "alpha-10", "alpha-2", "zeta")
    ]


def test_a_folder_with_nothing_to_read_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("build", tmp_path / "a.db", tmp_path / "empty").exit_code == 2
    assert run("build", tmp_path / "a.db", f"name={tmp_path / 'nothing'}").exit_code == 2
    assert not (tmp_path / "a.db").exists()


def test_views_are_stacks(tmp_path: Path) -> None:
    top = tmp_path / "develop"
    zlib, xz = record("zlib"), record("xz")
    sizes = {dag_hash("zlib"): 5, dag_hash("xz"): 6}
    root = mirror.write_layout3(top, index(zlib, xz), sizes=sizes)
    view = mirror.write_layout3(top, index(zlib), view="gpu")
    indexes = [
        Index("develop", "root", 3, root, top),
        Index("develop", "gpu", 3, view, top, view=True),
    ]
    tables = prove(tmp_path / "a.db", [tmp_path], indexes)
    assert [row["path"] for row in tables["sources"]] == [
        "develop/gpu/index.json",
        "develop/index.json",
    ]
    assert one(tables["stacks"], name="gpu")["num_specs"] == 1


def test_a_mirror_with_views_only(tmp_path: Path) -> None:
    top = tmp_path / "develop"
    file = mirror.write_layout3(top, index(record("zlib")), view="gpu", sizes={dag_hash("zlib"): 5})
    indexes = [Index("develop", "gpu", 3, file, top, view=True)]
    tables = prove(tmp_path / "a.db", [tmp_path], indexes)
    checksum = mirror.tarball_checksum(dag_hash("zlib"))
    assert one(tables["spec_releases"])["tarball"] == (
        f"https://binaries.spack.io/develop/blobs/sha256/{checksum[:2]}/{checksum}"
    )


# How it is stored.


def test_a_compressed_index(tmp_path: Path) -> None:
    top = tmp_path / "develop"
    file = mirror.write_layout3(top, index(record("zlib")), compression="gzip")
    tables = prove(tmp_path / "a.db", [top], [Index("develop", "root", 3, file, top)])
    (source,) = tables["sources"]
    assert source["bytes"] == file.stat().st_size
    assert source["sha256"] == file.name


def test_the_newest_index_that_can_be_read_counts(tmp_path: Path) -> None:
    top = tmp_path / "develop"
    older = mirror.as_bytes(index(record("old"), version="7"))
    mirror.put(top / mirror.blob_path(mirror.sha256(older)), older)
    others = [
        mirror.blob(older, "application/vnd.spack.db.v7+json"),
        mirror.blob(b"unknown", "application/vnd.spack.db.v10+json"),
        mirror.blob(b"something", "application/x-something-else"),
    ]
    file = mirror.write_layout3(top, index(record("zlib")), others=others)
    prove(tmp_path / "a.db", [top], [Index("develop", "root", 3, file, top)])


@pytest.mark.parametrize("signed", [True, False])
def test_sizes_by_the_manifests_of_specs(tmp_path: Path, signed: bool) -> None:
    top = tmp_path / "develop"
    content = index(record("zlib"), record("xz"), record("gcc", in_buildcache=False))
    file = mirror.write_layout3(top, content, sizes={dag_hash("zlib"): 12345678901}, signed=signed)
    # That of a spec which is no binary of the index, or of none at all, is of no use.
    specs = content["database"]["installs"]
    mirror.write_size(top, specs[dag_hash("gcc")]["spec"], dag_hash("gcc"), 5)
    mirror.write_size(top, specs[dag_hash("gcc")]["spec"], dag_hash("stranger"), 6)
    tables = prove(tmp_path / "a.db", [top], [Index("develop", "root", 3, file, top)])
    assert {row["package"]: row["size"] for row in tables["specs"]} == {
        "zlib": 12345678901,
        "xz": None,
    }
    assert one(tables["spec_releases"], spec=dag_hash("xz"))["tarball"] is None
    assert problems(tmp_path / "a.db") == []


def test_a_manifest_with_crlf(tmp_path: Path) -> None:
    top = tmp_path / "develop"
    content = index(record("zlib"))
    mirror.write_layout3(top, content)
    spec = content["database"]["installs"][dag_hash("zlib")]["spec"]
    manifest = mirror.write_size(top, spec, dag_hash("zlib"), 77)
    manifest.write_bytes(manifest.read_bytes().replace(b"\n", b"\r\n"))
    database = build(tmp_path / "a.db", top)
    assert query(database, "SELECT size FROM specs") == [(77,)]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b'{"version": 3, "data": "x"}',
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n",
    ],
)
def test_a_damaged_manifest_of_a_spec_is_a_warning(tmp_path: Path, damage: bytes) -> None:
    top = tmp_path / "develop"
    content = index(record("zlib"), record("xz"))
    mirror.write_layout3(top, content, sizes={dag_hash("xz"): 5})
    spec = content["database"]["installs"][dag_hash("zlib")]["spec"]
    mirror.write_size(top, spec, dag_hash("zlib"), 77).write_bytes(damage)
    database = build(tmp_path / "a.db", top)
    assert query(database, "SELECT package, size FROM specs ORDER BY package") == [
        ("xz", 5),
        ("zlib", None),
    ]
    ((source, kind, message),) = query(database, "SELECT source, kind, message FROM problems")
    assert (source, kind) == ("develop/index.json", "size-unknown")
    assert dag_hash("zlib") in message
    assert run("verify", database, top).exit_code == 0


def test_sizes_and_tarballs_of_the_whole_mirror_come_first(site: Site) -> None:
    zlib, xz, hdf = record("zlib"), record("xz"), record("hdf")
    site.cache("develop", "alpha", zlib, xz, hdf, sizes={"zlib": 1, "xz": 2})
    site.cache("develop", "beta", zlib, xz, hdf, sizes={"zlib": 1, "xz": 2, "hdf": 3})
    site.cache("develop", "root", zlib, xz, hdf, sizes={"zlib": 1})
    tables = site.prove()
    tarballs = {row["spec"].rstrip("a"): row["tarball"] for row in tables["spec_releases"]}
    start = "https://binaries.spack.io/develop"
    assert {word: address.partition("/blobs")[0] for word, address in tarballs.items()} == {
        "zlib": start,
        "xz": f"{start}/alpha",
        "hdf": f"{start}/beta",
    }
    assert [row["size"] for row in tables["specs"]] == [3, 2, 1]
    assert site.problems() == []


def test_sizes_by_the_files_of_layout_2(site: Site) -> None:
    site.cache("v0.23.1", "root", record("zlib"), record("xz"), layout=2, sizes={"zlib": 77})
    site.cache("v0.23.1", "e4s", record("zlib"), record("xz"), layout=2, sizes={"xz": 88})
    tables = site.prove()
    assert {row["package"]: row["size"] for row in tables["specs"]} == {"zlib": 77, "xz": 88}
    below = "build_cache/linux-ubuntu22.04-x86_64_v3/gcc-12.2.0/{}-1.0"
    file = f"{below}/linux-ubuntu22.04-x86_64_v3-gcc-12.2.0-{{}}-1.0-{{}}.spack"
    start = "https://binaries.spack.io/v0.23.1"
    assert {row["tarball"] for row in tables["spec_releases"]} == {
        f"{start}/{file.format('zlib', 'zlib', dag_hash('zlib'))}",
        f"{start}/e4s/{file.format('xz', 'xz', dag_hash('xz'))}",
    }


def test_a_copied_cache_says_the_same_but_where_it_is(site: Site, tmp_path: Path) -> None:
    folder = site.cache("ours", "root", record("zlib"), sizes={"zlib": 5})
    build(tmp_path / "a.db", folder)
    shutil.copytree(folder, tmp_path / "copy" / "ours")
    database = build(tmp_path / "b.db", tmp_path / "copy")
    (found,) = site.indexes.values()
    moved = tmp_path / "copy" / "ours"
    compare(database, [found._replace(file=moved / found.file.relative_to(folder), mirror=moved)])
