"""A memory holds what was asked for last, and no more than it may."""

from tests.web.conftest import measured
from web.immutable.memory import ENTRY_BYTES, Memory, bytes_of


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    memory: Memory[str, int] = Memory(3 * (ENTRY_BYTES + 10), 10)
    for number, key in enumerate("abc"):
        memory.put(key, number, 10)
    assert memory["a"] == 0
    memory.put("d", 3, 10)
    assert [key in memory for key in "abcd"] == [True, False, True, True]
    assert memory.size == 3 * (ENTRY_BYTES + 10)


def test_what_is_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    memory: Memory[str, int] = Memory(2_000, 10)
    memory.put("a", 1, 10)
    memory.put("b", 2, 11)
    assert ("a" in memory, "b" in memory) == (True, False)


def test_nothing_is_kept_without_room() -> None:
    memory: Memory[str, int] = Memory(0, 0)
    memory.put("a", 1, 0)
    assert ("a" in memory, memory.size) == (False, 0)


def test_what_is_counted_is_what_is_taken() -> None:
    with measured() as grown:
        memory: Memory[tuple[bytes, int], bytes] = Memory(1_000_000, 100_000)
        for number in range(2_000):
            key, value = b"%05d" % number * 300, b"%05d" % number
            memory.put((key, number), value, bytes_of(key, value))
        assert 500_000 < grown() < memory.size <= 1_000_000
