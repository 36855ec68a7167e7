"""Breakers that are open, and since when: one warning when it begins, one error if it lasts, one line when it is over.

A breaker that probes in vain is still the same outage.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar.clock import Clock

ESCALATE_AFTER: Final = 600.0
"""Seconds, where nobody said otherwise."""
_SOON: Final = 0.9
"""Of that time: the routes of one upstream open one after another, and are one error."""
_APART: Final = 0.25
"""Of that time, that two errors are apart at least."""


class _Open(NamedTuple):
    since: float
    answers: dict[str, int]
    escalated: bool


class Outages:
    """Of all breakers, by route.

    after: seconds until one is an error. broken: whether it still is; a reload may have replaced the breaker. answers:
    what a route's callers were given so far, by outcome.
    """

    def __init__(
        self,
        *,
        after: float,
        clock: Clock,
        broken: Callable[[str], bool],
        answers: Callable[[str], dict[str, int]],
    ) -> None:
        self._after = after
        self._clock = clock
        self._broken = broken
        self._answers = answers
        self._open: dict[str, _Open] = {}
        self._told_at = float("-inf")

    def opened(self, route: str) -> None:
        """Its breaker opened, for the first time or again."""
        if route not in self._open:
            self._open[route] = _Open(self._clock(), self._answers(route), escalated=False)

    def closed(self, route: str) -> tuple[float, dict[str, int]] | None:
        """Its breaker closed: the seconds since it first opened, and what callers were given meanwhile."""
        outage = self._open.pop(route, None)
        return None if outage is None else self._told(route, outage)

    def late(self) -> dict[str, tuple[float, dict[str, int]]]:
        """Those that have now lasted too long, each once, and with them those that soon will have."""
        now = self._clock()
        for route in [route for route in self._open if not self._broken(route)]:
            del self._open[route]
        waiting = {route: outage for route, outage in self._open.items() if not outage.escalated}
        due = any(now - outage.since >= self._after for outage in waiting.values())
        if not due or now - self._told_at < self._after * _APART:
            return {}
        self._told_at = now
        found = {route: one for route, one in waiting.items() if now - one.since >= self._after * _SOON}
        self._open |= {route: outage._replace(escalated=True) for route, outage in found.items()}
        return {route: self._told(route, outage) for route, outage in found.items()}

    def _told(self, route: str, outage: _Open) -> tuple[float, dict[str, int]]:
        after = self._answers(route)
        risen = {outcome: count - outage.answers.get(outcome, 0) for outcome, count in after.items()}
        return self._clock() - outage.since, {outcome: count for outcome, count in risen.items() if count > 0}
