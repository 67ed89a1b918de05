"""A memory that is bounded by bytes; what was asked for longest ago goes first."""

from collections import OrderedDict
from collections.abc import Hashable
from sys import getsizeof
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

ENTRY_BYTES = 1_000
"""What an entry takes beside the texts in it: a place in the memory, its tuples and numbers."""


class Memory(Generic[Key, Value]):
    """Values by keys.

    Attributes:
        size: Bytes of all entries, by the word of those who put them in.
    """

    def __init__(self, capacity: int, largest: int) -> None:
        """Make an empty memory.

        Args:
            capacity: Bytes that all entries may have together.
            largest: Bytes that one key and its value may have.
        """
        self._capacity = capacity
        self._largest = largest
        self.size = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def __getitem__(self, key: Key) -> Value:
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value unless it is too large, and drop others until it fits.

        Args:
            key: Not in the memory yet, or nothing happens.
            value: What to keep.
            size: Bytes of the key and the value; those of the entry are added.
        """
        if size > self._largest or key in self._entries:
            return
        size += ENTRY_BYTES
        self._entries[key] = value, size
        self.size += size
        while self.size > self._capacity:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.size -= dropped


def bytes_of(*texts: str | bytes) -> int:
    """Return how much memory texts take, and not only how long they are."""
    return sum(map(getsizeof, texts))
