"""Ordinary pages are read fast with the same result; all others are left to the general reader."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.corpus import STAGES, Spec, page_text
from etl.errors import RefusedError
from etl.sources.pages import fast, general, read_page
from tests.etl import fuzz
from tests.etl.oracle import comparable, read, told
from tests.pages import REAL, dag_hash, page, spec

REAL_PAGES = sorted(REAL.glob("*/*/specs.md"))

# What the real pages lack: variants of all kinds, a size, names with all that a name can hold.
SPECS = (
    Spec(
        hash="b" * 32,
        version="2.26-t9b_atlas",
        compiler="intel-oneapi-compilers@2025.1.0",
        os="windows10.0.20348",
        platform="windows",
        target="x86_64_v3",
        variants=(
            "build_type='dm+sm'",
            "languages:='c,c++'",
            "+mpi",
            "~cxx",
            "cache_base=/dev/shm",
        ),
        stacks=("e4s-neoverse_v1", "e4s-neoverse-v2", "root"),
        size=2**63 - 1,
    ),
    Spec(
        hash="2345672345672345672345672345672a",
        version="2412",
        compiler="none",
        os="ventura",
        platform="darwin",
        target="m1",
        variants=(),
        stacks=(),
    ),
)


@pytest.mark.parametrize("file", REAL_PAGES, ids=lambda file: file.parent.name)
def test_real_pages_are_read_alike(file: Path) -> None:
    data = file.read_bytes()
    found = fast.read_page(data)
    assert comparable(found) == comparable(general.read_page(data))
    assert found is not None
    assert told(found) == read(data)


@pytest.mark.parametrize("stage", STAGES)
def test_pages_of_every_stage_are_read_alike(stage: str) -> None:
    data = page_text(stage, "r-a.b+c", "v0.23.1", SPECS).encode()
    found = fast.read_page(data)
    assert comparable(found) == comparable(general.read_page(data))
    assert found is not None
    assert told(found) == read(data)


def test_a_page_that_is_not_ordinary_is_read_by_the_general_reader() -> None:
    data = page("zlib", "develop", [spec("a", os="ünï")]).encode()
    assert fast.read_page(data) is None
    assert told(read_page(data)) == told(general.read_page(data)) == read(data)


@pytest.mark.parametrize("line", [b"meta", b"spec_details"])
def test_every_odd_value_in_every_place_is_read_alike(line: bytes) -> None:
    one = spec("a", size=1, tarball="https://a.b", variants=["+a", "b:=c"])
    lines = page("zlib", "develop", [one, spec("b")]).encode().split(b"\n")
    at, before = next((at, text) for at, text in enumerate(lines) if text.startswith(line))
    verdicts = Counter()
    for place in range(len(list(fuzz.slots(json.loads(before.partition(b" ")[2]))))):
        for odd in (*fuzz.TEXTS, *(f"@raw@{raw}@" for raw in fuzz.RAW)):
            value = json.loads(before.partition(b" ")[2])
            holder, key = list(fuzz.slots(value))[place]
            holder[key] = odd
            lines[at] = line + b": " + fuzz.as_json(value, ascii_only=True)
            content = b"\n".join(lines)
            found = fast.read_page(content)
            try:
                expected = general.read_page(content)
            except RefusedError:
                assert found is None, lines[at]
                verdicts["refused"] += 1
                continue
            assert told(expected) == read(content), lines[at]
            assert found is None or comparable(found) == comparable(expected), lines[at]
            verdicts["left to general" if found is None else "fast"] += 1
    assert set(verdicts) == {"refused", "left to general", "fast"}


def test_hashes_that_are_good_only_together() -> None:
    text = page("zlib", "develop", [spec("a"), spec("b")])
    content = text.replace(f'"{dag_hash("a")}"', f'"{dag_hash("a")}c"')
    content = content.replace(f'"{dag_hash("b")}"', f'"{dag_hash("b")[1:]}"')
    assert fast.read_page(text.encode()) is not None
    assert fast.read_page(content.encode()) is None
