"""Ejection: an endpoint that keeps failing leaves its upstream for a while.

The breaker asks whether a route is worth trying at all; ejection asks which endpoint is not (Envoy's
outlier detection). One without the other either refuses everything for one bad address or hammers it on
every second try.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sidecar.policy.outcome import Verdict

_SUCCESS: Final = Verdict.SUCCESS
_FAILURE: Final = Verdict.FAILURE


class Standing:
    """What an upstream remembers of one endpoint."""

    __slots__ = ("_recovered", "ejections", "failures", "until", "well")

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self.ejections = 0
        """Of late: starts anew after a long time in service."""
        self.until = float("-inf")
        """When it came or comes back, on the clock of its `Ejection`."""
        self.well = True
        """What health checks say."""
        self._recovered = float("-inf")

    def is_out(self, now: float) -> bool:
        """Ejected, or found unwell."""
        return now < self.until or not self.well

    def since(self) -> float:
        """When it last came back, from either; minus infinity if it never was away."""
        return max(self.until, self._recovered)

    def sicken(self) -> None:
        """Checks found it unwell: out until they find otherwise."""
        self.well = False

    def recover(self, now: float) -> None:
        """Checks found it well again. That ends an ejection too: they saw what had caused it, and saw it end."""
        self.well = True
        self._recovered = now
        self.until = min(self.until, now)
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Standing failures={self.failures} ejections={self.ejections} until={self.until:g}>"


class Ejection:
    """When an endpoint goes, and for how long.

    After `consecutive_failures` in a row (0: never), for `base` seconds times the number of its ejections,
    at most `cap`. That number starts anew after `cap` seconds in service. Never more than `max_share` of
    the peers at once, and never a lone one: somebody has to try.
    """

    __slots__ = ("_base", "_cap", "_clock", "_consecutive", "_max_share")

    def __init__(
        self,
        *,
        consecutive_failures: int,
        base: float,
        cap: float,
        max_share: float,
        clock: Callable[[], float],
    ) -> None:
        self._consecutive = consecutive_failures or float("inf")
        self._base = base
        self._cap = cap
        self._max_share = max_share
        self._clock = clock

    @property
    def spares(self) -> bool:
        """Whether some always stay: it may not take all."""
        return self._max_share < 1.0

    def judge(self, standing: Standing, verdict: Verdict, peers: Sequence[Standing]) -> bool:
        """Takes an attempt's verdict into account; True if that ejected the endpoint.

        `peers`: all standings of the upstream, this one included. Other verdicts than success and failure
        neither extend nor end a row. What comes back while the endpoint is away is of before, and says nothing new.
        """
        if verdict is _SUCCESS:
            standing.failures = 0
            return False
        if verdict is not _FAILURE:
            return False
        now = self._clock()
        if standing.is_out(now):
            return False
        standing.failures += 1
        if standing.failures < self._consecutive or not self._may_go(peers, now):
            return False
        self._eject(standing, now)
        return True

    def _may_go(self, peers: Sequence[Standing], now: float) -> bool:
        away = sum(now < peer.until for peer in peers)
        return len(peers) > 1 and away + 1 <= self._max_share * len(peers)

    def _eject(self, standing: Standing, now: float) -> None:
        if now - standing.until >= self._cap:
            standing.ejections = 0
        standing.ejections += 1
        standing.failures = 0
        standing.until = now + min(self._base * standing.ejections, self._cap)
