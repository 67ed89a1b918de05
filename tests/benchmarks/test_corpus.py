"""The made-up pages have the shapes of the real ones, and a seed decides every byte."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from benchmarks import corpus

ROOT = Path(__file__).parents[2]
SIZE = corpus.Size(releases=16, packages=40, entries=2_500, develop=0.15)

SPECS = (
    corpus.Spec(
        hash="b" * 32,
        version="1.0.3",
        compiler="gcc@13.2.0",
        os="ubuntu24.04",
        platform="linux",
        target="x86_64_v3",
        variants=("build_type='dm+sm'", "languages:='c,c++'", "+mpi", "path='a:=b'"),
        stacks=("hep", "e4s"),
    ),
    corpus.Spec(
        hash="a" * 32,
        version="1.0.10",
        compiler="none",
        os="ventura",
        platform="darwin",
        target="aarch64",
        variants=(),
        stacks=("e4s",),
        size=2048,
    ),
)
UNSORTED = "hash compiler versions os platform target variants stacks size tarball"
SORTED = "compiler hash os platform size stacks tarball target variants versions"
WITHOUT_TARBALL = SORTED.replace("tarball ", "")
EXACT = ["build_type='dm+sm'", "languages='c,c++'", "+mpi", "path='a:=b'"]
FOLDER = "develop/build_cache/linux-ubuntu24.04-x86_64_v3/gcc-13.2.0/zlib-1.0.3"
FILE = f"linux-ubuntu24.04-x86_64_v3-gcc-13.2.0-zlib-1.0.3-{'b' * 32}.spack"


class Page(NamedTuple):
    package: str
    release: str
    meta: dict[str, Any]
    specs: list[dict[str, Any]]


def parse(text: str) -> Page:
    lines = text.split("\n")
    package = lines[1].removeprefix('title: "').removesuffix('"')
    release = lines[3].removeprefix("categories: [package, ").removesuffix("]")
    meta = json.loads(lines[4].removeprefix("meta: "))
    return Page(package, release, meta, json.loads(lines[5].removeprefix("spec_details: ")))


def one_spelling(texts: list[str]) -> list[str]:
    return [text.replace("@=", "@", 1).replace(":=", "=", 1) for text in texts]


def stage_of(page: Page) -> str:
    spec = page.specs[0]
    keys = list(spec)
    if "tarball" not in spec:
        return "F" if any("@=" in spec["compiler"] for spec in page.specs) else "G"
    if keys == sorted(keys):
        hashes = [spec["hash"] for spec in page.specs]
        return "E" if hashes == sorted(hashes) else "D"
    if spec["tarball"].startswith("https://binaries.spack.io/releases/"):
        return "C2" if "root" in page.meta["stacks"] else "C1"
    return "C3"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write_corpus(out, SIZE, seed=1, jobs=1)
    return out


@pytest.fixture(scope="module")
def pages(written: Path) -> list[Page]:
    return [parse(path.read_text()) for path in sorted(written.glob("_cache/*/*/specs.md"))]


@pytest.mark.parametrize(
    ("package", "stage"),
    [
        ("py-cloudpickle", "G"),
        ("py-filelock", "G"),
        ("py-msgpack", "F"),
        ("py-pdm-backend", "G"),
        ("py-safetensors", "G"),
    ],
)
def test_real_page_is_written_byte_for_byte(package: str, stage: corpus.Stage) -> None:
    real = (ROOT / "data/_cache/develop" / package / "specs.md").read_text()
    specs = [
        corpus.Spec(
            hash=spec["hash"],
            version=spec["versions"][0],
            compiler=spec["compiler"].replace("@=", "@"),
            os=spec["os"],
            platform=spec["platform"],
            target=spec["target"],
            variants=tuple(spec["variants"]),
            stacks=tuple(spec["stacks"]),
        )
        for spec in parse(real).specs
    ]
    assert corpus.page_text(stage, package, "develop", specs[::-1]) == real


@pytest.mark.parametrize(
    ("stage", "keys", "hashes", "stacks", "compiler", "variants", "mirrors"),
    [
        ("C1", UNSORTED, "ba", "hep e4s", "gcc@=13.2.0", EXACT, "/releases"),
        ("C2", UNSORTED, "ba", "hep e4s", "gcc@=13.2.0", EXACT, "/releases"),
        ("C3", UNSORTED, "ba", "hep e4s", "gcc@=13.2.0", EXACT, ""),
        ("D", SORTED, "ba", "e4s hep", "gcc@=13.2.0", EXACT, ""),
        ("E", SORTED, "ab", "e4s hep", "gcc@=13.2.0", EXACT, ""),
        ("F", WITHOUT_TARBALL, "ab", "e4s hep", "gcc@=13.2.0", EXACT, None),
        ("G", WITHOUT_TARBALL, "ab", "e4s hep", "gcc@13.2.0", list(SPECS[0].variants), None),
    ],
)
def test_stage_has_its_shape(
    stage: corpus.Stage,
    keys: str,
    hashes: str,
    stacks: str,
    compiler: str,
    variants: list[str],
    mirrors: str | None,
) -> None:
    page = parse(corpus.page_text(stage, "zlib", "develop", SPECS))
    spec = page.specs[hashes.index("b")]
    url = None if mirrors is None else f"https://binaries.spack.io{mirrors}/{FOLDER}/{FILE}"
    assert [" ".join(spec) for spec in page.specs] == [keys, keys]
    assert [spec["hash"][0] for spec in page.specs] == list(hashes)
    assert (spec["stacks"], spec["compiler"]) == (stacks.split(), compiler)
    assert (spec["variants"], spec["size"]) == (variants, "-")
    assert spec.get("tarball") == corpus.tarball(stage, "zlib", "develop", SPECS[0]) == url


def test_whole_page_of_the_oldest_stage() -> None:
    tarball = (
        "https://binaries.spack.io/releases/v0.18/build_cache/darwin-ventura-aarch64/none/"
        f"zlib-1.0.10/darwin-ventura-aarch64-none-zlib-1.0.10-{'a' * 32}.spack"
    )
    assert corpus.page_text("C1", "zlib", "v0.18", SPECS[1:]) == (
        '---\ntitle: "zlib"\nlayout: cache\ncategories: [package, v0.18]\n'
        'meta: {"versions": ["1.0.10"], "compilers": ["none"], "oss": ["ventura"], '
        '"platforms": ["darwin"], "targets": ["aarch64"], "stacks": ["e4s"], "num_specs": 1, '
        '"num_specs_by_stack": {"e4s": 1}}\n'
        f'spec_details: [{{"hash": "{"a" * 32}", "compiler": "none", "versions": ["1.0.10"], '
        '"os": "ventura", "platform": "darwin", "target": "aarch64", "variants": [], '
        f'"stacks": ["e4s"], "size": 2048, "tarball": "{tarball}"}}]\n---'
    )


def test_same_seed_writes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    options = ["--releases=16", "--packages=40", "--entries=2500", "--size=small", "--jobs=2"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus", str(tmp_path), *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "625 pages, 1,266,220 bytes, 2,462 entries, 983 hashes\n"
    assert contents(tmp_path) == contents(written)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_another_seed_writes_other_hashes(pages: list[Page], tmp_path: Path) -> None:
    corpus.write_corpus(tmp_path, SIZE, seed=2, jobs=1)
    others = [parse(path.read_text()) for path in tmp_path.glob("_cache/*/*/specs.md")]
    assert hashes_of(others).isdisjoint(hashes_of(pages))


def hashes_of(pages: list[Page]) -> set[str]:
    return {spec["hash"] for page in pages for spec in page.specs}


def test_meta_agrees_with_the_specs(pages: list[Page]) -> None:
    for page in pages:
        specs = page.specs
        assert page.meta == {
            "compilers": sorted({spec["compiler"] for spec in specs}),
            "num_specs": len(specs),
            "num_specs_by_stack": Counter(stack for spec in specs for stack in spec["stacks"]),
            "oss": sorted({spec["os"] for spec in specs}),
            "platforms": sorted({spec["platform"] for spec in specs}),
            "stacks": sorted({stack for spec in specs for stack in spec["stacks"]}),
            "targets": sorted({spec["target"] for spec in specs}),
            "versions": sorted({version for spec in specs for version in spec["versions"]}),
        }


def test_page_says_where_it_is_and_is_written_as_upstream_does(written: Path) -> None:
    for path in written.glob("_cache/*/*/specs.md"):
        text = path.read_text()
        page = parse(text)
        assert text == (
            f'---\ntitle: "{path.parts[-2]}"\nlayout: cache\n'
            f"categories: [package, {path.parts[-3]}]\n"
            f"meta: {json.dumps(page.meta)}\nspec_details: {json.dumps(page.specs)}\n---"
        )


def test_every_stage_occurs_and_most_pages_of_a_release_are_of_one(pages: list[Page]) -> None:
    by_release: dict[str, Counter[str]] = defaultdict(Counter)
    # Too few specs can be in order by chance.
    for page in (page for page in pages if len(page.specs) > 4):
        by_release[page.release][stage_of(page)] += 1
    assert {stage for stages in by_release.values() for stage in stages} == set(corpus.STAGES)
    assert all(max(stages.values()) > stages.total() / 2 for stages in by_release.values())


def test_hash_is_well_formed_once_on_a_page_and_of_one_package(pages: list[Page]) -> None:
    packages = defaultdict(set)
    for page in pages:
        assert len({spec["hash"] for spec in page.specs}) == len(page.specs)
        for spec in page.specs:
            packages[spec["hash"]].add(page.package)
    assert all(re.fullmatch("[a-z2-7]{32}", dag_hash) for dag_hash in packages)
    assert all(len(names) == 1 for names in packages.values())


def test_spec_keeps_its_facts_in_all_releases(pages: list[Page]) -> None:
    facts = defaultdict(set)
    for page in pages:
        for spec in page.specs:
            words = [*spec["versions"], spec["os"], spec["platform"], spec["target"]]
            facts[spec["hash"]].add((*words, *one_spelling(spec["variants"])))
    assert all(len(told) == 1 for told in facts.values())


def test_compiler_is_spelled_in_two_ways_and_unknown_to_some_pages(pages: list[Page]) -> None:
    compilers = defaultdict(set)
    for page in pages:
        for spec in page.specs:
            compilers[spec["hash"]].add(spec["compiler"])
    assert all(len({*one_spelling([*told])} - {"none"}) <= 1 for told in compilers.values())
    assert {"gcc@=13.2.0", "gcc@13.2.0"} in compilers.values()
    assert any("none" in told and len(told) > 1 for told in compilers.values())


def test_seven_tenths_of_a_release_are_in_the_next_one(pages: list[Page]) -> None:
    held: dict[str, set[str]] = defaultdict(set)
    for page in pages:
        held[page.release] |= {spec["hash"] for spec in page.specs}
    names = [release.name for release in corpus.timeline(SIZE.releases)]
    kept = sum(len(held[old] & held[new]) for old, new in pairwise(names))
    assert 0.65 < kept / sum(len(held[name]) for name in names[:-1]) < 0.75


def test_only_the_oldest_stage_has_specs_without_a_stack(pages: list[Page]) -> None:
    without = {stage_of(page) for page in pages for spec in page.specs if not spec["stacks"]}
    assert without == {"C1"}


def test_timeline_ends_with_develop() -> None:
    assert [(release.name, release.stage) for release in corpus.timeline(8)] == [
        ("v0.18", "C2"),
        ("develop-2025-06-22", "D"),
        ("develop-2025-06-29", "F"),
        ("v2025.07.0", "F"),
        ("develop-2025-07-06", "G"),
        ("develop-2025-07-13", "G"),
        ("develop-2025-07-20", "G"),
        ("develop", "G"),
    ]


def test_no_release_has_more_than_28_stacks() -> None:
    stacks = {stack for environment in corpus.ENVIRONMENTS for stack in environment.stacks}
    ages = [release.age for release in corpus.timeline(101)]
    assert max(1 + sum(corpus.is_built(stack, age) for stack in stacks) for age in ages) == 28


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, corpus.Size(20, 1_500, 390_000, 0.065)),
        ({"packages": 750}, corpus.Size(20, 750, 195_000, 0.065)),
        ({"releases": 40, "packages": 750}, corpus.Size(40, 750, 390_000, 0.065)),
        ({"packages": 750, "entries": 20_000}, corpus.Size(20, 750, 20_000, 0.065)),
    ],
)
def test_entries_go_with_the_pages_unless_said(options: dict[str, int], size: corpus.Size) -> None:
    assert corpus.resized(corpus.SIZES["medium"], **options) == size


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (SIZE._replace(entries=100), "100 entries are too few for 599 pages"),
        (SIZE._replace(packages=1), r"too few packages \(1\): a release would have none"),
        (
            SIZE._replace(packages=99_999),
            "99999 packages asked for, but there are only 10239 names",
        ),
    ],
)
def test_impossible_size_is_refused(size: corpus.Size, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        corpus.make_plan(size, seed=11)


def test_collection_is_never_mixed_with_another(tmp_path: Path) -> None:
    (tmp_path / "_cache").mkdir()
    result = CliRunner().invoke(corpus.main, [str(tmp_path), "--size=small"])
    assert result.exit_code == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "_cache"]
