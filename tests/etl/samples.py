"""The build caches that are kept in the repository."""

import json
from pathlib import Path

from tests.etl.cache_oracle import Index

SAMPLE = Path(__file__).parents[2] / "data" / "sample-mirror"
"""Two stacks of layout 3."""

CACHES = Path(__file__).parent / "caches"
"""A bare index and a mirror of layout 2."""


def _of_layout3(release: str, stack: str) -> Index:
    mirror = SAMPLE / release / stack
    manifest = json.loads((mirror / "v3/manifests/index/index.manifest.json").read_bytes())
    checksum = manifest["data"][0]["checksum"]
    return Index(release, stack, 3, mirror / f"blobs/sha256/{checksum[:2]}" / checksum, mirror)


E4S = _of_layout3("develop", "e4s")
NEOVERSE = _of_layout3("develop", "e4s-neoverse-v2")
V2_E4S = Index(
    "v0.23.1",
    "e4s",
    2,
    CACHES / "v0.23.1/e4s/build_cache/index.json",
    CACHES / "v0.23.1/e4s",
)
BOOTSTRAP = Index(
    "clingo-bootstrap",
    "root",
    None,
    CACHES / "clingo-bootstrap/index.json",
    CACHES / "clingo-bootstrap",
)
ALL = (E4S, NEOVERSE, V2_E4S, BOOTSTRAP)
