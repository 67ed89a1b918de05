"""Manifests of layout 3: which blob of a build cache holds what.

Rule of the source (Spack's `file_formats/buildcache.rst`): a manifest is `{version: 3, data: […]}`,
one entry for each blob; that of a spec is often clear-signed with PGP. Blobs stand beside the
folder `v3`, named by their checksum.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from etl.errors import Refusal, RefusedError

MAX_BYTES = 1024 * 1024
"""Most bytes of a manifest; real ones have some hundreds, and a signature."""

DATABASE_VERSIONS = range(5, 10)
"""Versions of an index that can be read."""

INDEX_PATH = "v3/manifests/index/index.manifest.json"
"""Where the manifest of a mirror's index is, below the mirror."""

SPECS_FOLDER = "v3/manifests/spec"
"""Where the manifests of specs are, below the mirror."""

_MANIFEST_VERSION = 3
_INDEX = re.compile(r"application/vnd\.spack\.db\.v(\d+)\+json", re.ASCII)
_TARBALL = "application/vnd.spack.install.v2.tar+gzip"
_CHECKSUM = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIGNED = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)"
    rb"\r?\n-----BEGIN PGP SIGNATURE-----",
    re.DOTALL,
)


class Blob(NamedTuple):
    """One entry of a manifest.

    Attributes:
        length: bytes of the blob.
        media_type: what it holds.
        compression: `none` or `gzip`.
        checksum: SHA-256 of its bytes as they are stored, 64 hexadecimal digits.
    """

    length: int
    media_type: str
    compression: str
    checksum: str

    @property
    def path(self) -> str:
        """Where the blob is, below the mirror."""
        return f"blobs/sha256/{self.checksum[:2]}/{self.checksum}"


def read_manifest(data: bytes) -> tuple[Blob, ...]:
    """Read a manifest, signed or not.

    Raises:
        RefusedError: it is none.
    """
    signed = _SIGNED.search(data)
    try:
        manifest = json.loads(signed[1] if signed else data)
    except (ValueError, RecursionError):
        raise _refused("the manifest is not valid JSON") from None
    if not isinstance(manifest, dict) or manifest.get("version") != _MANIFEST_VERSION:
        raise _refused(f"the manifest is not of version {_MANIFEST_VERSION}")
    entries = manifest.get("data")
    if not isinstance(entries, list):
        raise _refused("the manifest has no list `data`")
    return tuple(map(_blob, entries))


def _refused(message: str) -> RefusedError:
    return RefusedError(Refusal(0, "manifest", message))


def _blob(entry: Any) -> Blob:
    if not isinstance(entry, dict):
        raise _refused("an entry of the manifest is no object")
    length, checksum = entry.get("contentLength"), entry.get("checksum")
    media_type, compression = entry.get("mediaType"), entry.get("compression")
    if type(length) is not int or not 0 <= length < 2**63:
        raise _refused(f"contentLength is {_short(length)}, expected a number of bytes")
    if not isinstance(media_type, str):
        raise _refused(f"mediaType is {_short(media_type)}, expected a text")
    if compression not in ("none", "gzip"):
        raise _refused(f"compression is {_short(compression)}, expected none or gzip")
    if entry.get("checksumAlgorithm") != "sha256":
        raise _refused(
            f"checksumAlgorithm is {_short(entry.get('checksumAlgorithm'))}, expected sha256"
        )
    if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
        raise _refused(f"checksum is {_short(checksum)}, expected 64 hexadecimal digits")
    return Blob(length, media_type, compression, checksum)


def _short(value: object) -> str:
    return f"{value!r:.60}"


def index_blob(blobs: Sequence[Blob]) -> Blob:
    """The index of the newest version that can be read.

    Raises:
        RefusedError: there is none.
    """
    found = [(int(match[1]), blob) for blob in blobs if (match := _index_version(blob))]
    known = [(version, blob) for version, blob in found if version in DATABASE_VERSIONS]
    if known:
        return max(known)[1]
    versions = ", ".join(str(version) for version, _ in found) or "none at all"
    expected = f"{DATABASE_VERSIONS[0]} to {DATABASE_VERSIONS[-1]}"
    message = f"the manifest has an index of version {versions}, expected one of {expected}"
    raise RefusedError(Refusal(0, "database-version", message))


def _index_version(blob: Blob) -> "re.Match[str] | None":
    # Longer numbers than any version are none.
    return _INDEX.fullmatch(blob.media_type) if len(blob.media_type) < 100 else None


def tarball_blob(blobs: Sequence[Blob]) -> Blob | None:
    """The binary of a spec; None if the manifest names none."""
    return next((blob for blob in blobs if blob.media_type == _TARBALL), None)
