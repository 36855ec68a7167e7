"""A limit that follows latency: as many requests at once as the upstream answers without making them wait.

The gradient controller of Envoy's adaptive concurrency filter (envoyproxy.io, "Adaptive Concurrency"; Gradient2 of
Netflix's concurrency-limits is akin to it): requests above what an upstream can do at once only wait inside of it, so
its latency rises above what it is when there is room. Per window of answers

    gradient  = baseline * (1 + buffer) / median, between 0.5 and 2
    limit     = limit * gradient + sqrt(limit), between floor and ceiling

The baseline is the latency with room, measured anew every minute. Envoy goes down to three requests for that. Here the
limit is halved: it settles at some 1.5 times what the upstream can do, so that half of it leaves room, and callers lose
fewer slots. Where half is still too much, the next limit is lower, and the next measurement comes soon; so it does when
a third of the limit is gone (in Envoy: after five windows at the least), lest an upstream that became slower by nature
be taken for one that is overloaded.

Not in Envoy: attempts that were lost (timeout, reset, refused, throttled) have no latency but count in the median as
slower than all others, and more than one in ten takes a tenth off the limit (multiplicative decrease, as of TCP).
"""

import math
from random import Random
from typing import Final

from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.outcome import Outcome, Verdict

FLOOR: Final = 3
"""Lower it never goes, unless the ceiling is lower. Envoy's min_concurrency."""
_BUFFER: Final = 0.25
"""Envoy's default, as are the median, the jitter and the answers that make a baseline."""
_LEAST: Final = 0.5
_MOST: Final = 2.0
_SHORTEST: Final = 0.1
_LONGEST_SPAN: Final = 1.0
"""Seconds that a window lasts."""
_ANSWERS: Final = 20
"""The fewest that make a window: one slow answer must not be a trend."""
_MEASURED: Final = 50
"""Answers that make a baseline."""
_EVERY: Final = 60.0
_JITTER: Final = 0.15
"""Of `_EVERY`, at most: sidecars that started together must not measure together."""
_SOON: Final = 3.0
_LONGEST: Final = 5.0
"""Seconds after which a measurement is given up: answers that stream for long can keep slots from becoming free."""
_BETTER: Final = 0.9
_FALLEN: Final = 0.7
_LOST_SHARE: Final = 0.1
_DECREASE: Final = 0.9
_LOST: Final = frozenset(
    {
        reasons.ATTEMPT_TIMEOUT,
        reasons.DEADLINE,
        reasons.CONNECT_TIMEOUT,
        reasons.CONNECT_FAILURE,
        reasons.RESET,
    }
)


class AdaptiveLimit:
    """The limit of one bulkhead. Starts at `ceiling`, and goes back there while latency allows.

    `limit`: slots, from `floor` to `ceiling`; half of what it would be during a measurement. `start`: another
    first limit. `rng`: when to measure again.

    Laws: floor <= limit <= ceiling; a window without losses whose median is at most the baseline never lowers it; one
    answer never moves it by itself.
    """

    __slots__ = (
        "_baseline",
        "_ceiling",
        "_clock",
        "_floor",
        "_limit",
        "_lost",
        "_measure_at",
        "_measured_limit",
        "_measuring",
        "_measuring_until",
        "_rng",
        "_settled",
        "_span",
        "_times",
        "_window_ends",
        "limit",
    )

    def __init__(
        self, *, ceiling: int, clock: Clock, rng: Random, floor: int = FLOOR, start: int | None = None
    ) -> None:
        self._ceiling = ceiling
        self._floor = min(floor, ceiling)
        self._limit = float(max(self._floor, min(ceiling, start or ceiling)))
        self.limit = int(self._limit)
        self._measured_limit = self._limit
        self._baseline = math.inf  # nothing is too slow before it was measured
        self._clock = clock
        self._rng = rng
        self._times: list[float] = []
        self._lost = 0
        self._span = _SHORTEST
        self._window_ends = self._measure_at = clock()
        self._measuring = False
        self._measuring_until = math.inf
        self._settled = math.inf

    @property
    def baseline(self) -> float:
        """Seconds that an attempt takes where there is room; infinite until measured."""
        return self._baseline

    def judge(self, outcome: Outcome, in_flight: int) -> bool:
        """Takes an attempt into account; whether the limit is another one now."""
        verdict = outcome.verdict
        if verdict is Verdict.SUCCESS:
            return self.sample(outcome.elapsed, in_flight)
        if verdict is Verdict.THROTTLED or (verdict is Verdict.FAILURE and outcome.reason in _LOST):
            return self.sample(outcome.elapsed, in_flight, dropped=True)
        return False  # a leaver or a hurried caller says nothing; an error that came quickly says nothing of load

    def sample(self, elapsed: float, in_flight: int, *, dropped: bool = False) -> bool:
        """The same in figures: seconds it took, requests under way, whether there was no answer."""
        now = self._clock()
        before = self.limit
        if self._measuring and not self._begun_with_room(now, elapsed, in_flight):
            if now >= self._measuring_until:
                self._open_window(now)  # without a result
            return self.limit != before
        if dropped:
            self._lost += 1
        else:
            self._times.append(elapsed)
        seen = len(self._times) + self._lost
        if now < self._window_ends or seen < (_MEASURED if self._measuring else _ANSWERS):
            return False
        self._close_window(now, seen)
        return self.limit != before

    def _begun_with_room(self, now: float, elapsed: float, in_flight: int) -> bool:
        """Whether an attempt began after so many were done that the halved limit held."""
        if self._settled == math.inf and in_flight <= self.limit:
            self._settled = now
            self._window_ends = now + self._span
        return now - elapsed >= self._settled

    def _close_window(self, now: float, seen: int) -> None:
        before = self._limit
        times = sorted(self._times)
        median = times[seen // 2] if seen // 2 < len(times) else math.inf
        if self._measuring and median < math.inf:
            better = median < self._baseline * _BETTER
            self._baseline = median
            self._measured_limit = self._limit
            self._measure_at = now + (_SOON if better else self._interval())
        else:
            self._follow(median)
            # Faster than with room, or much of the limit gone: perhaps it is the baseline that is wrong.
            if median < self._baseline * _BETTER or self._limit < self._measured_limit * _FALLEN:
                self._measured_limit = self._limit
                self._measure_at = min(self._measure_at, now + _SOON)
        if self._lost > seen * _LOST_SHARE:
            self._limit = max(float(self._floor), min(self._limit, before * _DECREASE))
        # Twice as long as an answer takes, so that most of the next window is what came of this one's limit: a shorter
        # one would go on lowering it for what has long been put right.
        self._span = min(max(2.0 * median, _SHORTEST), _LONGEST_SPAN) if median < math.inf else _SHORTEST
        self._open_window(now)

    def _follow(self, median: float) -> None:
        limit = self._limit
        if median == math.inf:
            limit *= _LEAST
        elif self._baseline < math.inf:
            gradient = self._baseline * (1.0 + _BUFFER) / max(median, 1e-6)
            limit = limit * max(_LEAST, min(gradient, _MOST)) + math.sqrt(limit)
        self._limit = max(float(self._floor), min(limit, float(self._ceiling)))

    def _open_window(self, now: float) -> None:
        if self._measuring:
            self._measure_at = max(self._measure_at, now + _SOON)
        self._measuring = now >= self._measure_at
        self._measuring_until = now + _LONGEST
        self._settled = math.inf
        self._times = []
        self._lost = 0
        self._window_ends = now + self._span
        self.limit = max(self._floor, int(self._limit / 2 if self._measuring else self._limit))

    def _interval(self) -> float:
        return _EVERY * (1.0 + _JITTER * self._rng.random())

    def __repr__(self) -> str:
        return f"<AdaptiveLimit {self.limit} of {self._ceiling}, baseline {self._baseline:.3f}s>"
