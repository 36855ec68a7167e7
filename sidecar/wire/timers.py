"""Coarse timers that many requests share.

Nearly every deadline is cancelled before it strikes, so what must be cheap is setting and forgetting one. Entries lie
in slots of 10 ms; only the slots are known to the event loop. Setting and cancelling together cost about 0.4 us where
`loop.call_later` and `cancel` cost 1.4 us on uvloop. The idea is the hashed timing wheel of Varghese and Lauck (1987).

Invariants: an entry never strikes early, and at most one slot plus the loop's own delay late; an entry that was
discarded never strikes; one that fails costs no other its time.
"""

import asyncio
import logging
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from sidecar.clock import Clock

_PER_SECOND = 100
_HAIR = 0.0001
"""Seconds by which the loop is asked to call too late: rounded, the very time of a slot can lie before it."""
_EMPTY = 1024
"""Slots with nothing in them that may lie about. Each is some 350 bytes, and a deadline can be hours ahead."""

_log = logging.getLogger("sidecar")


class Expirable(Protocol):
    """What can be put into a slot. Compared by identity."""

    def expire(self) -> None:
        """Its time has come. Called once, unless it was discarded from its slot before."""


Slot = set[Expirable]


class Timers:
    """Slots of entries, by the time they strike on `clock` (seconds, never stepping)."""

    __slots__ = ("_armed", "_call_later", "_clock", "_crowd", "_handle", "_order", "_slots", "_struck")

    def __init__(self, call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle], clock: Clock) -> None:
        self._call_later = call_later
        self._clock = clock
        self._slots: dict[int, Slot] = {}
        self._order: list[int] = []
        self._armed = 0
        self._struck = 0
        self._crowd = _EMPTY
        self._handle: asyncio.TimerHandle | None = None

    def add(self, entry: Expirable, when: float) -> Slot:
        """Puts `entry` into the slot that strikes at or just after `when`. To cancel: discard it from the slot."""
        number = int(when * _PER_SECOND) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._open(number)
        slot.add(entry)
        return slot

    @property
    def pending(self) -> int:
        """Entries that have neither struck nor been discarded."""
        return sum(len(slot) for slot in self._slots.values())

    def close(self) -> None:
        """Forgets every entry."""
        for slot in self._slots.values():
            slot.clear()
        self._slots.clear()
        self._order.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _open(self, number: int) -> Slot:
        # What should have struck already does so in the next slot: struck in the running one, an entry that sets itself
        # again could keep the loop from everything else.
        number = max(number, self._struck + 1)
        slot = self._slots.get(number)
        if slot is None:
            if len(self._order) >= self._crowd:
                self._drop_empty()
            slot = self._slots[number] = set()
            heappush(self._order, number)
            if self._handle is None or number < self._armed:
                self._arm()
        return slot

    def _drop_empty(self) -> None:
        self._slots = {number: slot for number, slot in self._slots.items() if slot}
        self._order = sorted(self._slots)
        self._crowd = 2 * len(self._order) + _EMPTY

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed = self._order[0]
        delay = self._armed / _PER_SECOND - self._clock()
        self._handle = self._call_later(max(0.0, delay) + _HAIR, self._strike)

    def _strike(self) -> None:
        self._handle = None
        self._struck = now = int(self._clock() * _PER_SECOND)
        while self._order and self._order[0] <= now:
            slot = self._slots.pop(heappop(self._order))
            # Popped one by one: an entry that strikes may discard or add others meanwhile.
            while slot:
                _expire(slot.pop())
        if self._order and self._handle is None:
            self._arm()


def _expire(entry: Expirable) -> None:
    try:
        entry.expire()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and the others strike
        _log.exception("timer failed: %s", type(error).__name__)
