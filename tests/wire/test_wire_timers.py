"""Laws of coarse timers: never early, at most a slot late, and what was discarded stays so."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.wire.timers import Slot, Timers

SLOT = 0.0102
"""And a hair."""
BIT = 1e-6
"""More than a float of this size is off by."""


class Handle:
    """What a loop gives for a call."""

    cancelled = False

    def cancel(self) -> None:
        """The call is not made."""
        self.cancelled = True


class FakeLoop:
    """Calls at the second it was asked to, and counts what it was asked."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.calls: list[tuple[float, int, Handle, Callable[[], None]]] = []
        self.asked = 0
        self._number = itertools.count()
        self.timers = Timers(self.call_later, lambda: self.now)

    def call_later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """As a loop's."""
        assert delay >= 0.0
        self.asked += 1
        handle = Handle()
        heapq.heappush(self.calls, (self.now + delay, next(self._number), handle, call))
        return cast("asyncio.TimerHandle", handle)

    def run(self, until: float) -> None:
        """Time passes."""
        steps = 0
        while self.calls and self.calls[0][0] <= until:
            steps += 1
            assert steps < 10_000, "the loop does nothing else"
            when, _, handle, call = heapq.heappop(self.calls)
            if not handle.cancelled:
                self.now = max(self.now, when)
                call()
        self.now = max(self.now, until)

    @property
    def armed(self) -> int:
        """Calls that are still to be made."""
        return sum(not handle.cancelled for _, _, handle, _ in self.calls)


class Entry:
    """Remembers when it struck."""

    def __init__(self, loop: FakeLoop, when: float, on_expire: "Callable[[Entry], None] | None" = None) -> None:
        self.loop = loop
        self.when = when
        self.struck: list[float] = []
        self.on_expire = on_expire
        self.slot: Slot = loop.timers.add(self, when)

    def expire(self) -> None:
        """Its time has come."""
        self.struck.append(self.loop.now)
        if self.on_expire is not None:
            self.on_expire(self)

    def discard(self) -> None:
        """It is not to strike."""
        self.slot.discard(self)


times = st.floats(0.0, 3.0, allow_nan=False)


@given(st.lists(st.tuples(times, times, st.one_of(st.none(), times)), max_size=30), st.floats(0.0, 1e7))
@example([(0.0, 0.29, None)], 0.0)
@example([(0.0, 0.01, None), (0.0, 0.02, None)], 0.0)
def test_never_early_and_at_most_a_slot_late(plan: list[tuple[float, float, float | None]], start: float) -> None:
    """Set at any time for any time, discarded or not: each strikes once, in its slot, unless it was discarded first."""
    loop = FakeLoop(start)
    entries: list[tuple[Entry, float | None, float]] = []
    events: list[tuple[float, int, Callable[[], None]]] = []
    for at, delay, discarded in plan:

        def add(at: float = at, delay: float = delay, discarded: float | None = discarded) -> None:
            entry = Entry(loop, loop.now + delay)
            entries.append((entry, discarded, loop.now))
            if discarded is not None:
                heapq.heappush(events, (loop.now + discarded, len(entries) + 100, entry.discard))

        heapq.heappush(events, (start + at, len(events), add))
    while events:
        when, _, call = heapq.heappop(events)
        loop.run(when)
        call()
    loop.run(loop.now + 10)
    for entry, discarded, added in entries:
        if entry.struck:
            (struck,) = entry.struck
            assert entry.when <= struck + BIT
            assert struck <= entry.when + SLOT + BIT
        else:
            assert discarded is not None
        if discarded is not None and added + discarded < entry.when - BIT:
            assert not entry.struck
    assert loop.timers.pending == 0
    assert loop.armed == 0


def test_what_was_discarded_never_strikes() -> None:
    """Whenever before its time; discarding it again, or after it struck, is nothing."""
    loop = FakeLoop()
    kept, dropped = Entry(loop, 1001.0), Entry(loop, 1001.0)
    assert kept.slot is dropped.slot
    loop.run(1000.9)
    dropped.discard()
    dropped.discard()
    loop.run(1002)
    kept.discard()
    assert (len(kept.struck), len(dropped.struck)) == (1, 0)


def test_never_early_on_a_loop_that_is() -> None:
    """A loop that calls too soon (whole milliseconds, say) only makes it look again."""
    loop = FakeLoop()
    entry = Entry(loop, 1001.0)
    (_, _, _, strike) = loop.calls[0]
    loop.now = 1000.5
    strike()
    assert not entry.struck
    loop.run(1002)
    assert len(entry.struck) == 1


def test_an_entry_that_strikes_may_discard_the_others() -> None:
    """Also those of its own slot, whose turn would be next."""
    loop = FakeLoop()
    entries: list[Entry] = []

    def discard_all(_: Entry) -> None:
        for entry in entries:
            entry.discard()

    entries += [Entry(loop, 1001.0 + later, discard_all) for later in (0.0, 0.001, 0.5)]
    loop.run(1010)
    assert sum(len(entry.struck) for entry in entries) == 1


@pytest.mark.parametrize("delay", [-100.0, -0.01, 0.0, 0.001, 0.01, 1.0])
def test_an_entry_that_strikes_may_set_itself_again(delay: float) -> None:
    """Every time it strikes anew, never early; one set for the past leaves the loop to others in between."""
    loop = FakeLoop()

    def again(entry: Entry) -> None:
        if len(entry.struck) < 5:
            entry.slot = loop.timers.add(entry, loop.now + delay)

    entry = Entry(loop, 1001.0, again)
    loop.run(1020)
    assert len(entry.struck) == 5
    gaps = [later - earlier for earlier, later in itertools.pairwise(entry.struck)]
    assert all(max(delay, 0.0) - BIT <= gap <= max(delay, 0.0) + SLOT + BIT for gap in gaps)
    assert all(gap > BIT for gap in gaps)


def test_what_lies_in_the_past_strikes_soon() -> None:
    """Though no earlier entry has ever struck."""
    loop = FakeLoop()
    entry = Entry(loop, 5.0)
    loop.run(1000.02)
    assert len(entry.struck) == 1


def test_a_failing_entry_costs_no_other_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """Neither those of its slot nor later ones; it is logged."""
    loop = FakeLoop()

    def fail(_: Entry) -> None:
        raise ZeroDivisionError

    entries = [Entry(loop, when, fail) for when in (1001.0, 1001.0, 1001.0, 1002.0)]
    loop.run(1003)
    assert [len(entry.struck) for entry in entries] == [1, 1, 1, 1]
    assert caplog.text.count("timer failed: ZeroDivisionError") == 4


def test_the_loop_knows_one_timer() -> None:
    """A thousand entries in a slot ask it once, and a sooner one moves it."""
    loop = FakeLoop()
    for _ in range(1000):
        Entry(loop, 1005.0)
    assert (loop.asked, loop.armed) == (1, 1)
    Entry(loop, 1001.0)
    assert (loop.asked, loop.armed) == (2, 1)
    Entry(loop, 1009.0)
    assert (loop.asked, loop.armed) == (2, 1)


def test_discarded_deadlines_are_not_remembered_until_their_time() -> None:
    """An hour's deadline, set and discarded a hundred times a second, leaves a bounded number of empty slots."""
    loop = FakeLoop()
    kept = [Entry(loop, 1000.0 + 7200 + number) for number in range(10)]
    most = 0
    for _ in range(20_000):
        loop.now += 0.01
        Entry(loop, loop.now + 3600).discard()
        most = max(most, len(loop.timers._slots), len(loop.timers._order))
    assert most <= 1024 + 2 * 10
    loop.run(1000 + 7300)
    assert all(len(entry.struck) == 1 for entry in kept)


def test_closed_timers_strike_no_more() -> None:
    """Nor are they called again."""
    loop = FakeLoop()
    entry = Entry(loop, 1001.0)
    loop.timers.close()
    assert (loop.timers.pending, loop.armed) == (0, 0)
    loop.run(1010)
    assert not entry.struck
    assert not entry.slot
