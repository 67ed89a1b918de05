"""The fast and the general reader of indexes agree; more of the same: `tests.etl.fuzz_caches`."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from etl.errors import RefusedError
from etl.sources.caches import fast, general, grammar, read_record
from tests.etl import fuzz_caches, mirror
from tests.etl.fuzz_caches import RECORDS, agree, agree_on_index, compact, read_fast
from tests.etl.mirror import dep, index, record, spell
from tests.etl.samples import ALL
from tests.pages import dag_hash

HASH = dag_hash("a")


def test_every_record_of_the_samples_and_of_the_made_up_ones() -> None:
    ends = Counter((version, agree(data, version)) for version, data in RECORDS)
    # Records of version 5, external ones with more, and those of old hashes are for the general one.
    assert {end for _, end in ends} == {"fast", "general"}
    assert ends["5", "fast"] == 0
    assert ends["8", "fast"] > 100
    assert ends["7", "fast"] > 60


def test_damaged_records() -> None:
    ends = Counter(fuzz_caches.record_turn(random.Random(f"suite/{turn}")) for turn in range(2_500))
    assert ends["fast"] > 300
    assert ends["general"] > 300
    assert {"type", "json", "encoding", "missing-key", "duplicate-key", "hash"} <= {*ends}


def test_damaged_indexes() -> None:
    ends = Counter(fuzz_caches.index_turn(random.Random(f"suite/{turn}")) for turn in range(250))
    assert ends["fast"] > 30
    assert ends["refused"] > 50


@pytest.mark.parametrize("part", fuzz_caches.PARTS[1:])
def test_an_ordinary_index_is_ordinary_in_parts_of_any_size(part: int) -> None:
    data = compact(index(*(record(f"x{n}", word=f"x{'abcdefg'[n]}") for n in range(7))))
    found = read_fast(data, part)
    assert found is not None
    assert [key for key, *_ in found] == [dag_hash(f"x{'abcdefg'[n]}") for n in range(7)]


@pytest.mark.parametrize("sample", ALL, ids=lambda sample: str(sample.path))
def test_the_samples_in_small_parts(sample: Any) -> None:
    data = compact(json.loads(sample.file.read_bytes()))
    is_old = b'"version":"5"' in data
    assert agree_on_index(data, [100, 5000]) == ("general" if is_old else "fast")


SHAPES: dict[str, tuple[str, str]] = {
    "number as a float": ('"ref_count":1', '"ref_count":1.0'),
    "large number": ('"ref_count":1', '"ref_count":99999999999999999999'),
    "too long number": ('"ref_count":1', f'"ref_count":{"9" * 5000}'),
    "negative zero": ('"ref_count":1', '"ref_count":-0'),
    "leading zero": ('"ref_count":1', '"ref_count":01'),
    "infinite": ('"ref_count":1', '"ref_count":1e400'),
    "NaN": ('"ref_count":1', '"ref_count":NaN'),
    "null": ('"ref_count":1', '"ref_count":null'),
    "DEL": ("builtin", "built\x7fin"),
    "DEL in a key": ('"namespace"', '"name\x7fspace"'),
    "escape": ("builtin", "built\\u0069n"),
    "escaped slash": ("x86_64_v3", "x86\\/64"),
    "unicode": ("builtin", "builtén"),
    "lone surrogate": ("builtin", "\\ud800"),
    "control character": ("builtin", "a\x01b"),
    "key twice in the record": ('"ref_count":1', '"ref_count":1,"ref_count":1'),
    "key twice in arch": ('"platform":', '"platform":"linux","platform":'),
    "key twice in parameters": ('"x":true', '"x":true,"x":true'),
    "key twice, escaped": ('"x":true', '"x":true,"\\u0078":true'),
    "key twice in a dependency": ('"deptypes":', '"deptypes":[],"deptypes":'),
    "unknown key in a target": ('"x86_64_v3"', '{"name":"zen4","more":1}'),
    "unknown key in an edge": ('"deptypes":', '"more":1,"deptypes":'),
    "junk in extra_attributes": ('"ref', '"x":0,"ref'),
    "type and parameters": ('"parameters":{"deptypes"', '"type":["run"],"parameters":{"deptypes"'),
    "no hash": ('"hash":"baaa', '"was":"baaa'),
    "old hash": ('"hash":"baaa', '"full_hash":"baaa'),
    "two hashes": ('"hash":"baaa', f'"build_hash":"{HASH}","hash":"baaa'),
    "flag as a text": ('"cflags":[]', '"cflags":"-g"'),
    "virtuals as null": ('"virtuals":[]', '"virtuals":null'),
    "long text": ("builtin", "b" * 251),
    "long parameter": ('"x":true', f'"x":"{"v" * 5000}"'),
    "many virtuals": ('"virtuals":[]', f'"virtuals":{json.dumps(["c"] * 101)}'),
    "long virtuals": ('"virtuals":[]', f'"virtuals":{json.dumps(["v" * 200] * 20)}'),
    "spaces": (":", " : "),
    "newlines": (",", ",\n"),
    "behind": ("}}", "}} "),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("version", ["6", "7", "8"])
def test_shapes(shape: str, version: str) -> None:
    one = record("a", deps=[dep("b", "b")], parameters={"x": True, "cflags": []})
    data = compact(spell(one, version)).replace(*map(str.encode, SHAPES[shape]))
    agree(data, version)


def test_a_flat_node_of_version_5_is_refused_as_the_general_reader_does() -> None:
    data = compact(spell(record("a"), "7"))
    assert fast.read_record(data) is not None
    with pytest.raises(RefusedError, match="names, expected one"):
        read_record(data, "5", Counter())


def refusal(change: str, value: str) -> str:
    one = record("a", deps=[dep("b", "b")], external={"path": "/usr"})
    data = compact(spell(one)).replace(change.encode(), value.encode())
    with pytest.raises(RefusedError) as refused:
        general.read_record(data, "8", Counter())
    return refused.value.refusals[0].message


def test_messages_show_no_control_characters_of_keys() -> None:
    said = refusal('"deptypes":', '"\\u001b[31m\\n\x7f":1,"deptypes":')
    assert said.startswith("Object contains unknown field `\\x1b[31m\\n\\x7f`")
    said = refusal('"path":', f'"{"k" * 5000}":1,"path":')
    assert len(said) < 300


def test_a_lone_surrogate_in_the_place_of_another_value() -> None:
    assert refusal('{"name":"b"', '"\\ud800",{"name":"b"') == "it holds a lone surrogate"
    assert refusal('"build"', '"\\ud800"') == "it holds a lone surrogate"


def test_an_index_of_many_keys_is_refused() -> None:
    keys = ",".join(f'"k{n}":0' for n in range(2_000))
    for data in (f"{{{keys}}}", f'{{"database":{{"version":"8",{keys}}}}}'):
        with pytest.raises(RefusedError, match="more than 1,000 keys"):
            list(general.spans(data.encode(), Counter()))  # type: ignore[arg-type]


def test_what_is_wrong_in_the_middle_of_a_large_index_is_told() -> None:
    good = compact(index(*(record("a", word="a" + word) for word in "bcdefghij")))
    data = good.replace(b'"version":"1.0"', b'"version" "1.0"', 5) + b" " * grammar.MAX_RECORD
    with pytest.raises(RefusedError, match=r"^.*record ab.*: not valid JSON: Expecting ':'"):
        list(general.spans(data, Counter()))  # type: ignore[arg-type]


def test_much_white_space_takes_no_time() -> None:
    data = b" " * 10_000_000 + b'{"database":' + b"\n" * 10_000_000
    with pytest.raises(RefusedError, match="ends too early"):
        general.read_version(data)  # type: ignore[arg-type]
    assert fast.read_header(data) is None  # type: ignore[arg-type]


def test_long_parts_are_not_kept_in_memory() -> None:
    parts = [
        ('"ubuntu22.04"', f'"ubuntu22.04"{" " * 5000}'),
        ('"deptypes"', f'{" " * 5000}"deptypes"'),
        ('"original_specfile_version"', f'{" " * 5000}"original_specfile_version"'),
    ]
    for part in parts:
        data = compact(spell(record("a", deps=[dep("b", "b")])))
        long = data.replace(*map(str.encode, part))
        assert fast.read_record(data) is not None
        assert fast.read_record(long) is None
        assert agree(long, "8") == "general"


def test_random_collections_are_built_alike_and_proved(tmp_path: Path) -> None:
    with patch("os.fsync"):
        ends = Counter(
            fuzz_caches.attempt(random.Random(f"suite/{turn}"), tmp_path) for turn in range(6)
        )
    assert len(ends) > 1


def test_the_ways_of_versions() -> None:
    assert {version for version, _ in RECORDS} == {*mirror.VERSIONS}
