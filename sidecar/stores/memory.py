"""Last known good answers in memory, the least recently used leaving first."""

from collections import OrderedDict
from typing import Final

from sidecar.policy.last_known_good import Stored

ENTRY: Final = 512
"""Bytes an entry takes beside its content: the map's slot, the objects, the allocator's rounding."""
HEADER: Final = 192
"""The same for one header: a tuple and three byte strings."""


class MemoryStore:
    """Implements `policy.last_known_good.Store`: at most `max_bytes`, overhead included.

    An answer that alone exceeds the bound is not kept, and an older one under its key stays: it was usable,
    its own age still bounds it, and without it there would be nothing to fall back on.
    """

    __slots__ = ("_entries", "_max_bytes", "bytes_used")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[Stored, int]] = OrderedDict()
        self.bytes_used = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Stored | None:
        """The answer under the key, which thereby becomes the last to leave; None if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keys(self) -> list[bytes]:
        """All of them, the first to leave first."""
        return list(self._entries)

    def peek(self, key: bytes) -> Stored | None:
        """The same, without a change of who leaves next."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: bytes, stored: Stored) -> bool:
        """Keeps the answer, in place of an older one under the key; others leave until it fits. False: too big."""
        entry = self._entries.get(key)
        if entry is not None and entry[0].headers is stored.headers and len(entry[0].body) == len(stored.body):
            self._entries[key] = stored, entry[1]  # as most often: a third of the time
            self._entries.move_to_end(key)
            return True
        weight = weigh(key, stored)
        if weight > self._max_bytes:
            return False
        self.forget(key)
        while self.bytes_used + weight > self._max_bytes:
            self.forget(next(iter(self._entries)))
        self._entries[key] = (stored, weight)
        self.bytes_used += weight
        return True

    def put_below(self, key: bytes, stored: Stored) -> bool:
        """Keeps an answer from before all that are here, as the first to leave. False: there is no room for it.

        One that is here under the same key stays.
        """
        weight = weigh(key, stored)
        if self.bytes_used + weight > self._max_bytes:
            return False
        if key not in self._entries:
            self._entries[key] = (stored, weight)
            self._entries.move_to_end(key, last=False)
            self.bytes_used += weight
        return True

    def forget(self, key: bytes) -> bool:
        """Removes the answer under the key. False: there was none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes_used -= entry[1]
        return True


def weigh(key: bytes, stored: Stored) -> int:
    """What an entry counts for, in bytes."""
    weight = ENTRY + len(key) + len(stored.body)
    for name, value in stored.headers:  # half of what sums take
        weight += HEADER + len(name) + len(value)
    return weight
