"""An upstream's endpoints, and which of them the next attempt goes to.

Out are those that are ejected, that health checks found unwell, and for good those of weight 0. Of the others the best
priority is asked, and within it weights share the load.
"""

from bisect import bisect
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from random import Random
from typing import Final

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection, Standing
from sidecar.policy.health import Health
from sidecar.policy.outcome import Verdict

FIRST_SHARE: Final = 0.1
"""Of its weight, that an endpoint has when it comes back (Envoy's slow start has the same)."""
_STEPS: Final = 10
"""Of a slow start: between two of them nothing has to be worked out."""
_NEVER: Final = float("inf")


class Endpoint:
    """One address. Subclasses add how it is reached.

    `weight`: its share of the load, relative to others of its priority; 0 takes no new requests. `priority`: the lowest
    number that has an endpoint to offer is asked. `health`: what checks find, None if there are none.
    """

    __slots__ = ("health", "name", "pending", "priority", "share", "standing", "weight")

    def __init__(self, *, name: str, weight: int = 1, priority: int = 0, health: Health | None = None) -> None:
        self.name = name
        self.weight = weight
        self.priority = priority
        self.health = health
        self.share = float(weight)
        """Its weight as it counts now: less of it for a while after it came back."""
        self.pending = 0
        """Attempts under way: whoever attempts counts up, and down again."""
        self.standing = Standing()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} pending={self.pending} {self.standing!r}>"


class Upstream:
    """A named group of endpoints that serve the same, with its retry budget.

    `slow_start`: seconds in which one that comes back grows from a tenth of its weight to all of it; 0 is at once.
    `check_every`: seconds between two health checks, 0 if there are none.

    Raises:
        ValueError: there are no endpoints, or all of them are of weight 0.
    """

    __slots__ = (
        "_alike",
        "_bounds",
        "_check_every",
        "_clock",
        "_ejection",
        "_in",
        "_levels",
        "_only",
        "_review",
        "_rng",
        "_slow_start",
        "_standings",
        "_used",
        "budget",
        "changes",
        "endpoints",
        "name",
    )

    def __init__(
        self,
        *,
        name: str,
        endpoints: Sequence[Endpoint],
        ejection: Ejection | None,
        budget: RetryBudget,
        clock: Callable[[], float],
        rng: Random,
        slow_start: float = 0.0,
        check_every: float = 0.0,
    ) -> None:
        self.name = name
        self.endpoints = tuple(endpoints)
        self.budget = budget
        self.changes = 0
        """Requests that may have changed something there and are through, so that what was read before may be old."""
        self._used = [endpoint for endpoint in endpoints if endpoint.weight]
        if not self._used:
            raise ValueError("an upstream needs an endpoint of a weight above 0")
        self._standings = [endpoint.standing for endpoint in self._used]
        self._ejection = ejection if len(self._used) > 1 else None
        self._slow_start = slow_start
        self._check_every = check_every
        self._clock = clock
        self._rng = rng
        self._only: Endpoint | None = None
        """The one there is, where there is one at all and it is well: found by one look."""
        self._levels: list[list[Endpoint]] = []
        """Those that are in, by priority."""
        self._in: Sequence[Endpoint] = ()
        """The first level."""
        self._alike = True
        """All that are in count the same."""
        self._bounds: list[float] = []
        """Sums of the first level's shares: for drawing by them (a quarter of the time of `Random.choices`)."""
        self._review = _NEVER
        """When what is known of them changes by time alone."""
        self._recount()

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint of the next attempt; None if all are out.

        The less busy of two drawn at random (power of two choices: near the best of all at a constant
        price, and without the herd that always follows the least busy one). Those in `tried` only when
        there are no others, not even of a lower priority.
        """
        if self._only is not None:
            return self._only
        if self._clock() >= self._review:
            self._recount()
        choice = self._in
        if tried:
            choice = self._untried(tried) or choice
        count = len(choice)
        if count <= 1:
            return choice[0] if choice else None
        if not self._alike:
            return self._weighed(choice)
        first = int(self._rng.random() * count)
        second = int(self._rng.random() * (count - 1))
        a, b = choice[first], choice[second + (second >= first)]
        return a if a.pending <= b.pending else b

    def judge(self, endpoint: Endpoint, verdict: Verdict) -> None:
        """What an attempt said about its endpoint."""
        if self._ejection is None:
            return
        if self._ejection.judge(endpoint.standing, verdict, self._standings):
            self._recount()

    def checked(self, endpoint: Endpoint, why: str) -> bool:
        """What a health check found: why it failed, "" if it passed. True if that took `endpoint` out, or back in."""
        health = endpoint.health
        assert health is not None
        if not health.judge(why):
            return False
        if health.well:
            endpoint.standing.recover(self._clock())
        else:
            endpoint.standing.sicken()
        self._recount()
        return True

    def ejected(self) -> list[Endpoint]:
        """Those that are away now."""
        now = self._clock()
        return [endpoint for endpoint in self.endpoints if now < endpoint.standing.until]

    def retry_after(self) -> float:
        """Seconds until there may be one to pick again, where there is none: a return, or the next check."""
        now = self._clock()
        return min(max(s.until - now, 0.0 if s.well else self._check_every) for s in self._standings)

    def _untried(self, tried: Collection[Endpoint]) -> Sequence[Endpoint]:
        for level in self._levels:
            if left := [endpoint for endpoint in level if endpoint not in tried]:
                return left
        return ()

    def _weighed(self, choice: Sequence[Endpoint]) -> Endpoint:
        bounds = self._bounds if choice is self._in else _sums(choice)
        last, total, draw = len(bounds) - 1, bounds[-1], self._rng.random
        # Drawn with replacement: idle endpoints then share exactly by weight, since of equals the first one wins.
        a = choice[bisect(bounds, draw() * total, 0, last)]
        b = choice[bisect(bounds, draw() * total, 0, last)]
        return a if a.pending * b.share <= b.pending * a.share else b

    def _recount(self) -> None:
        now = self._clock()
        fit = [endpoint for endpoint in self._used if not endpoint.standing.is_out(now)]
        if not fit and self._ejection is not None and self._ejection.spares:
            # Checks have taken out those that ejection had spared: a suspicion gives way to a fact.
            fit = [endpoint for endpoint in self._used if endpoint.standing.well]
        for endpoint in fit:
            endpoint.share = endpoint.weight * self._grown(endpoint.standing, now)
        self._alike = len({endpoint.share for endpoint in fit}) <= 1
        priorities = sorted({endpoint.priority for endpoint in fit})
        self._levels = [[one for one in fit if one.priority == priority] for priority in priorities]
        self._in = self._levels[0] if fit else ()
        self._bounds = _sums(self._in)
        self._only = fit[0] if fit and len(self._used) == 1 else None
        self._review = min(self._next(standing, now) for standing in self._standings)

    def _grown(self, standing: Standing, now: float) -> float:
        """The part of its weight that an endpoint counts with."""
        served = max(0.0, now - standing.since())  # one that is asked although it is ejected has not begun
        if served >= self._slow_start:
            return 1.0
        return FIRST_SHARE + (1.0 - FIRST_SHARE) * served / self._slow_start

    def _next(self, standing: Standing, now: float) -> float:
        """When it comes back, or grows."""
        if now < standing.until:
            return standing.until
        return now + self._slow_start / _STEPS if now - standing.since() < self._slow_start else _NEVER

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {len(self.endpoints)} endpoints, {len(self.ejected())} ejected>"


def _sums(choice: Sequence[Endpoint]) -> list[float]:
    return list(accumulate(endpoint.share for endpoint in choice))
