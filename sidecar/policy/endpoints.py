"""An upstream's endpoints, and which of them the next attempt goes to."""

from collections.abc import Callable, Collection, Sequence
from random import Random

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection, Standing
from sidecar.policy.outcome import Verdict


class Endpoint:
    """One address. Subclasses add how it is reached."""

    __slots__ = ("name", "pending", "standing")

    def __init__(self, *, name: str) -> None:
        self.name = name
        self.pending = 0
        """Attempts under way: whoever attempts counts up, and down again."""
        self.standing = Standing()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} pending={self.pending} {self.standing!r}>"


class Upstream:
    """A named group of endpoints that serve the same, with its retry budget.

    Raises:
        ValueError: there are no endpoints.
    """

    __slots__ = (
        "_clock",
        "_ejection",
        "_in",
        "_only",
        "_review",
        "_rng",
        "_standings",
        "budget",
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
    ) -> None:
        if not endpoints:
            raise ValueError("an upstream needs an endpoint")
        self.name = name
        self.endpoints = tuple(endpoints)
        self.budget = budget
        self._only = self.endpoints[0] if len(self.endpoints) == 1 else None
        self._ejection = None if self._only else ejection
        self._standings = [endpoint.standing for endpoint in self.endpoints]
        self._clock = clock
        self._rng = rng
        self._in: Sequence[Endpoint] = self.endpoints
        self._review = float("inf")
        """When the next ejected endpoint comes back: until then `_in` holds."""

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint of the next attempt; None if all are ejected.

        The less busy of two drawn at random (power of two choices: near the best of all at a constant
        price, and without the herd that always follows the least busy one). Those in `tried` only when
        there are no others.
        """
        if self._only is not None:
            return self._only
        if self._clock() >= self._review:
            self._recount()
        choice = self._in
        if tried:
            choice = [endpoint for endpoint in choice if endpoint not in tried] or choice
        count = len(choice)
        if count <= 1:
            return choice[0] if choice else None
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

    def ejected(self) -> list[Endpoint]:
        """Those that are away now."""
        now = self._clock()
        return [endpoint for endpoint in self.endpoints if now < endpoint.standing.until]

    def _recount(self) -> None:
        now = self._clock()
        away = [endpoint.standing.until for endpoint in self.endpoints if now < endpoint.standing.until]
        self._in = [endpoint for endpoint in self.endpoints if now >= endpoint.standing.until]
        self._review = min(away, default=float("inf"))

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {len(self.endpoints)} endpoints, {len(self.ejected())} ejected>"
