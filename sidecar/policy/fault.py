"""Faults on purpose: what an operator injects into a route to see whether callers and fallbacks hold.

A fault stands in for the upstream, attempt by attempt: an aborted one is answered by us as if the upstream had said
so, a delayed one begins late, within its timeout. Breaker, retries and the fallback ladder then do what they would do
in a real outage; that is what is to be rehearsed. (Envoy's fault filter answers the caller in their place.) Only a
reset is the caller's alone: its connection is cut.
"""

from random import Random
from typing import Final

from sidecar.clock import Clock

ABORT: Final = "abort"
DELAY: Final = "delay"
RESET: Final = "reset"
KINDS: Final = (ABORT, DELAY, RESET)


class Fault:
    """One route's fault, until `until` on `clock`.

    `abort`: status of the answer, 0 for none. `delay`: seconds before the attempt begins. `reset`: the caller's
    connection is cut instead. `ratio`: share of attempts that it strikes, each by itself.
    """

    __slots__ = ("_clock", "_rng", "abort", "delay", "ratio", "reset", "until")

    def __init__(
        self, *, abort: int, delay: float, reset: bool, ratio: float, until: float, clock: Clock, rng: Random
    ) -> None:
        self.abort = abort
        self.delay = delay
        self.reset = reset
        self.ratio = ratio
        self.until = until
        self._clock = clock
        self._rng = rng

    @property
    def left(self) -> float:
        """Seconds until it is over; 0.0 once it is."""
        return max(0.0, self.until - self._clock())

    def strikes(self) -> bool:
        """Whether the next attempt is hit. Never once it is over."""
        return self._clock() < self.until and self._rng.random() < self.ratio

    def __repr__(self) -> str:
        return f"<Fault abort={self.abort} delay={self.delay:g} reset={self.reset} {self.ratio:.0%} {self.left:.3f}s>"
