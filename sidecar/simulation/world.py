"""Time that jumps from one event to the next, and chance that can be repeated."""

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from random import Random
from typing import Final

EPOCH: Final = 1_700_000_000.0
"""Unix time at which a world begins."""


class Timer:
    """Something that will happen, unless it is cancelled."""

    __slots__ = ("_call", "when")

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self._call: Callable[[], object] | None = call

    @property
    def pending(self) -> bool:
        """Whether it is yet to happen."""
        return self._call is not None

    def cancel(self) -> None:
        """It will not happen. No harm if it has."""
        self._call = None

    def strike(self) -> None:
        """It happens now, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class World:
    """One history. `seed`: which one.

    What is due at the same time happens in the order in which it was planned.
    """

    __slots__ = ("_number", "_plan", "now", "seed")

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.now = 0.0
        self._plan: list[tuple[float, int, Timer]] = []
        self._number = count()

    def clock(self) -> float:
        """Seconds since its beginning."""
        return self.now

    def wall(self) -> float:
        """Unix time."""
        return EPOCH + self.now

    def rng(self, purpose: str) -> Random:
        """A source of chance of its own for each purpose: what one draws does not change what another meets."""
        return Random(f"{self.seed}:{purpose}")  # noqa: S311 - chance, not secrets; and to be repeated

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Plans `call` for then; for right after what happens now if that is past."""
        timer = Timer(max(when, self.now), call)
        heapq.heappush(self._plan, (timer.when, next(self._number), timer))
        return timer

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Plans `call` for `seconds` from now."""
        return self.at(self.now + seconds, call)

    @property
    def pending(self) -> int:
        """Things planned and not cancelled."""
        return sum(timer.pending for _, _, timer in self._plan)

    def run(self, until: float = inf) -> None:
        """Lets happen all that is due by `until`, in its order; by default until nothing is planned any more."""
        plan = self._plan
        while plan and plan[0][0] <= until:
            when, _, timer = heapq.heappop(plan)
            if timer.pending:
                self.now = max(self.now, when)
                timer.strike()
        if until < inf:
            self.now = max(self.now, until)

    def stall(self, seconds: float) -> None:
        """Time passes while nothing can happen, as where a process does not get the processor: what is due is late."""
        self.now += seconds
        self.run(self.now)
