"""What tests of policies share: a clock that is set by hand, and a breaker with plain settings."""

from collections.abc import Callable
from random import Random
from typing import Any

from sidecar.policy.breaker import Breaker, Permit
from sidecar.policy.outcome import Verdict

SUCCESS, FAILURE, THROTTLED, NEUTRAL = Verdict.SUCCESS, Verdict.FAILURE, Verdict.THROTTLED, Verdict.NEUTRAL


class HandClock:
    """Stands still until `now` is changed."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, as a clock's."""
        return self.now


class Middle(Random):
    """Draws the middle of every range: jitter that adds nothing."""

    def random(self) -> float:
        """Never anything else."""
        return 0.5


Change = tuple[str, str, float]


def plain_breaker(clock: Callable[[], float], *, heard: list[Change] | None = None, **changed: Any) -> Breaker:
    """Trips after 3 in a row; 10 s open, 40 s at most; one probe, two successes; other rules off."""
    changes = [] if heard is None else heard
    settings: dict[str, Any] = {
        "consecutive_failures": 3,
        "failure_ratio": 0.0,
        "window": 10.0,
        "minimum_requests": 10,
        "slow_longer_than": None,
        "slow_ratio": 0.5,
        "open_for": 10.0,
        "jitter": 0.2,
        "open_for_max": 40.0,
        "probes": 1,
        "successes_to_close": 2,
        "lease": 5.0,
        "dry_run": False,
        "clock": clock,
        "rng": Middle(),
        "on_change": lambda *change: changes.append(change),
    }
    return Breaker(**(settings | changed))


def admitted(breaker: Breaker) -> Permit:
    """A permit that is expected to be granted."""
    permit = breaker.admit()
    assert permit is not None
    return permit


def ask(breaker: Breaker, *verdicts: Verdict, elapsed: float = 0.0) -> None:
    """Attempts that each end before the next one begins."""
    for verdict in verdicts:
        admitted(breaker).settle(verdict, elapsed)
