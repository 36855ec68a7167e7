"""The retry budget: retries may be a share of recent requests, and a few per second besides.

A retry helps against a blip and feeds an outage. Counting attempts per request bounds neither: three
attempts each are three times the load on an upstream that is down. So every request pays a share of a retry
in, every retry takes a whole one out (Finagle's RetryBudget, tower's `budget`, Linkerd), and what was paid
in long ago is gone.
"""

from collections.abc import Callable
from typing import Final

from sidecar.policy.window import Window

_BUCKETS: Final = 10
_DEPOSITS: Final = 0
_WITHDRAWALS: Final = 1

_ONE: Final = 1.0 - 1e-9
"""A retry, less what five times 0.2 may lack of it."""


class RetryBudget:
    """One upstream's budget, shared by its routes.

    `ratio`: retries per request. `per_second`: retries per second on top, for upstreams with little traffic;
    those of a whole `window` may come at once. `window`: seconds after which deposits and withdrawals are
    forgotten.

    Law: withdrawals <= ratio * deposits + per_second * (time + window), over any time.
    """

    __slots__ = ("_clock", "_ratio", "_reserve", "_window")

    def __init__(self, *, ratio: float, per_second: float, window: float = 10.0, clock: Callable[[], float]) -> None:
        self._ratio = ratio
        self._reserve = per_second * window
        self._clock = clock
        # One bucket more than make up the window, since the present one has only begun: a withdrawal must not
        # be forgotten, and its retry be had once more, before the window is over.
        self._window = Window(width=window / _BUCKETS, buckets=_BUCKETS + 1, counters=2)

    def deposit(self) -> None:
        """A request began. Once per request, not per attempt."""
        window = self._window
        now = self._clock()
        if now >= window.ends:
            window.roll(now)
        window.bucket[_DEPOSITS] += 1

    def withdraw(self) -> bool:
        """Takes one retry out; False, and nothing taken, if there is none."""
        if self.balance() < _ONE:
            return False
        self._window.bucket[_WITHDRAWALS] += 1
        return True

    def give_back(self, withdrawn: float) -> None:
        """Puts one retry back that was not made after all. `withdrawn`: when it was taken, on the budget's clock."""
        window = self._window
        now = self._clock()
        if now >= window.ends:
            window.roll(now)
        window.take_back(_WITHDRAWALS, withdrawn)

    @property
    def ratio(self) -> float:
        """Retries per request."""
        return self._ratio

    def balance(self) -> float:
        """Retries that could be withdrawn now; negative while withdrawals outlive the deposits they took."""
        window = self._window
        now = self._clock()
        if now >= window.ends:
            window.roll(now)
        deposits, withdrawals = window.sums()
        return self._ratio * deposits + self._reserve - withdrawals

    def __repr__(self) -> str:
        return f"<RetryBudget {self.balance():.1f} left>"
