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

    def put(self, key: bytes, stored: Stored) -> None:
        """Keeps the answer, in place of an older one under the key; others leave until it fits."""
        weight = weigh(key, stored)
        if weight > self._max_bytes:
            return
        self._remove(key)
        while self.bytes_used + weight > self._max_bytes:
            self._remove(next(iter(self._entries)))
        self._entries[key] = (stored, weight)
        self.bytes_used += weight

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_used -= entry[1]


def weigh(key: bytes, stored: Stored) -> int:
    """What an entry counts for, in bytes."""
    headers = sum(HEADER + sum(map(len, header)) for header in stored.headers)
    return ENTRY + len(key) + headers + len(stored.body)
