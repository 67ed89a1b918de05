"""Made-up build caches for tests, written as Spack of any version writes them."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pages import dag_hash

VERSIONS = ("5", "6", "7", "8", "9")
"""Every version of an index's database."""

NO_FLAGS: dict[str, list[str]] = {
    name: [] for name in ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")
}

_SIGNATURE = """-----BEGIN PGP SIGNATURE-----

iQIzBAEBCgAdFiEEXmqwP4viyMWUhy34CiCFubBkIiMFAmsItkgACgkQCiCFubBk
=VXKw
-----END PGP SIGNATURE-----
"""


@dataclass(frozen=True)
class Dep:
    """A dependency: name and hash, or its hash under another key in very old indexes."""

    name: str
    hash: str
    types: Sequence[str] = ("build", "link")
    virtuals: Sequence[str] = ()
    key: str = "hash"


@dataclass(frozen=True)
class Record:
    """What is true of a record, whatever the version it is written in.

    Attributes:
        spec: keys that every version has.
        name: the package.
        hash: its DAG hash.
        deps: its dependencies.
        compiler: as `gcc@12.2.0`; None for a native spec of Spack 1.
        in_buildcache: None for a record that does not say.
        extra: more keys of the record, beside `spec`.
    """

    name: str
    hash: str
    spec: Mapping[str, Any]
    deps: Sequence[Dep] = ()
    compiler: str | None = None
    in_buildcache: Any = True
    extra: Mapping[str, Any] = field(default_factory=dict)


def dep(
    name: str,
    word: str = "",
    types: Sequence[str] = ("build", "link"),
    virtuals: Sequence[str] = (),
    key: str = "hash",
) -> Dep:
    """A dependency on the record whose hash is made of `word`, or of its name."""
    return Dep(name, dag_hash(word or name), types, virtuals, key)


def record(
    name: str,
    version: str = "1.0",
    word: str = "",
    *,
    deps: Sequence[Dep] = (),
    in_buildcache: Any = True,
    external: Mapping[str, Any] | None = None,
    compiler: str | None = "gcc@12.2.0",
    parameters: Mapping[str, Any] | None = None,
    target: Any = "x86_64_v3",
    os: str = "ubuntu22.04",
    platform: str = "linux",
    **changes: Any,
) -> Record:
    """A record; its hash is made of `word`, or of its name (letters a-z and digits 2-7 only).

    An external one is no binary. `changes` replace or add keys of the spec; None takes one away.
    """
    spec = {
        "version": version,
        "arch": {"platform": platform, "platform_os": os, "target": target},
        "namespace": "builtin",
        "parameters": {"build_system": "generic"} | NO_FLAGS
        if parameters is None
        else dict(parameters),
        "package_hash": "brmd47iexcajusyydhjj4hkqcorobvc6swc7g6px6hryjo3jjm4q====",
    }
    if external is not None:
        spec["external"] = dict(external)
        in_buildcache = False if in_buildcache is True else in_buildcache
    spec |= changes
    spec = {key: value for key, value in spec.items() if value is not None}
    return Record(name, dag_hash(word or name), spec, deps, compiler, in_buildcache)


def spell(one: Record, version: str = "8") -> dict[str, Any]:
    """A record as the database of this version has it."""
    spec = dict(one.spec)
    if one.compiler and version in ("5", "6", "7"):
        name, _, compiler_version = one.compiler.partition("@")
        spec.setdefault("compiler", {"name": name, "version": compiler_version})
    elif version in ("8", "9"):
        of_old = {"original_specfile_version": 4, "compiler": f"{one.compiler}".replace("@", "@=")}
        of_new = {"original_specfile_version": int(version) - 3}
        spec.setdefault("annotations", of_old if one.compiler else of_new)
    if one.deps:
        spec.setdefault("dependencies", _dependencies(one.deps, version))
    spec.setdefault("hash", one.hash)
    node = {one.name: spec} if version == "5" else {"name": one.name, **spec}
    told: dict[str, Any] = {"spec": node, "ref_count": 1}
    if one.in_buildcache is not None:
        told["in_buildcache"] = one.in_buildcache
    return told | dict(one.extra)


def _dependencies(deps: Sequence[Dep], version: str) -> Any:
    if version == "5":
        return {one.name: {one.key: one.hash, "type": list(one.types)} for one in deps}
    if version == "6":
        return [{"name": one.name, one.key: one.hash, "type": list(one.types)} for one in deps]
    return [
        {
            "name": one.name,
            one.key: one.hash,
            "parameters": {"deptypes": list(one.types), "virtuals": list(one.virtuals)},
        }
        for one in deps
    ]


def index(
    *records: Record, version: str = "8", changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """An index of a database version; `changes` replace or add records by their hash."""
    installs = {one.hash: spell(one, version) for one in records}
    return {"database": {"version": version, "installs": installs | dict(changes or {})}}


def as_bytes(content: Any) -> bytes:
    """An index as it is stored: bytes and texts as they are, anything else as JSON."""
    if isinstance(content, bytes):
        return content
    # Without spaces, as Spack writes it.
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return text.encode()


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def put(file: Path, data: bytes) -> Path:
    """Write a file and the folders it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def write_bare(folder: Path, content: Any) -> Path:
    """Write a bare index: its file."""
    return put(folder / "index.json", as_bytes(content))


def write_layout2(folder: Path, content: Any, spack: Mapping[str, int] | None = None) -> Path:
    """Write a mirror of layout 2: the file of its index.

    Args:
        folder: the mirror.
        content: the index.
        spack: hash → bytes of its binary, for the records that have one at hand.
    """
    data = as_bytes(content)
    for key, size in (spack or {}).items():
        put(folder / spack_path(content, key), b"\0" * size)
    put(folder / "build_cache/index.json.hash", sha256(data).encode())
    return put(folder / "build_cache/index.json", data)


def spack_path(content: Any, key: str) -> str:
    """Where the binary of a record is in a mirror of layout 2."""
    spec = content["database"]["installs"][key]["spec"]
    name = spec.get("name") or next(iter(spec))
    node = spec if "name" in spec else spec[name]
    target = node["arch"]["target"]
    target = target if isinstance(target, str) else target["name"]
    arch = f"{node['arch']['platform']}-{node['arch']['platform_os']}-{target}"
    compiler = f"{node['compiler']['name']}-{node['compiler']['version']}"
    package = f"{name}-{node['version']}"
    return f"build_cache/{arch}/{compiler}/{package}/{arch}-{compiler}-{package}-{key}.spack"


def blob(data: bytes, media_type: str, compression: str = "none") -> dict[str, Any]:
    """The entry of a manifest for a blob as it is stored."""
    return {
        "contentLength": len(data),
        "mediaType": media_type,
        "compression": compression,
        "checksumAlgorithm": "sha256",
        "checksum": sha256(data),
    }


def manifest(*blobs: Mapping[str, Any]) -> bytes:
    """A manifest of layout 3."""
    return json.dumps({"version": 3, "data": list(blobs)}).encode()


def blob_path(checksum: str) -> str:
    """Where a blob is below the mirror."""
    return f"blobs/sha256/{checksum[:2]}/{checksum}"


def write_layout3(
    folder: Path,
    content: Any,
    *,
    compression: str = "none",
    sizes: Mapping[str, int] | None = None,
    signed: bool = True,
    view: str = "",
    media_version: str = "8",
    others: Iterable[Mapping[str, Any]] = (),
    **changes: Any,
) -> Path:
    """Write a mirror of layout 3: the file of its index.

    Args:
        folder: the mirror.
        content: the index.
        compression: `none` or `gzip`.
        sizes: hash → bytes of its binary, for the records that shall have a manifest.
        signed: whether these manifests are signed.
        view: name of the view that the index is of.
        media_version: database version in the index's media type.
        others: more entries of the index's manifest, before its own.
        changes: replace keys of its own entry.
    """
    data = as_bytes(content)
    data = gzip.compress(data, mtime=0) if compression == "gzip" else data
    put(folder / "v3/layout.json", b'{"signing": "gpg"}')
    entry = blob(data, f"application/vnd.spack.db.v{media_version}+json", compression) | changes
    below = f"index/{view}/index" if view else "index/index"
    put(folder / f"v3/manifests/{below}.manifest.json", manifest(*others, entry))
    for key, size in (sizes or {}).items():
        write_size(folder, content["database"]["installs"][key]["spec"], key, size, signed=signed)
    return put(folder / blob_path(sha256(data)), data)


def write_size(
    folder: Path, spec: Mapping[str, Any], key: str, size: int, *, signed: bool = True
) -> Path:
    """Write the manifest of a binary: its file."""
    tarball = blob(b"", "application/vnd.spack.install.v2.tar+gzip", "gzip") | {
        "contentLength": size,
        "checksum": tarball_checksum(key),
    }
    told = manifest(blob(b"{}", "application/vnd.spack.spec.v5+json", "gzip"), tarball).decode()
    if signed:
        told = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{told}\n{_SIGNATURE}"
    name = f"{spec['name']}/{spec['name']}-{spec['version']}-{key}.spec.manifest.json"
    return put(folder / "v3/manifests/spec" / name, told.encode())


def tarball_checksum(key: str) -> str:
    """The checksum that `write_size` gives to the binary of a hash."""
    return sha256(key.encode())
