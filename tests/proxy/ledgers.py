"""Books kept beside a breaker and a retry budget: what was taken, by whom it is held, and whether it comes back.

Each stands in front of the real one and passes everything on; what the real one says is compared with the books.
"""

from collections.abc import Callable
from typing import Any, cast

from sidecar.policy.breaker import Breaker, Permit
from sidecar.policy.budget import RetryBudget
from sidecar.policy.endpoints import Upstream
from sidecar.policy.outcome import Verdict
from sidecar.policy.route import Route

Clock = Callable[[], float]


class Held:
    """A permit in somebody's hands."""

    would_have_refused = False

    def __init__(self, book: "PermitBook", permit: Permit, *, is_probe: bool) -> None:
        self._book = book
        self._permit = permit
        self.round = book.moves
        """Moves that its breaker had made when it was granted."""
        self.is_probe = is_probe
        self.granted = book.clock()

    def settle(self, verdict: Verdict, elapsed: float) -> None:
        """Back to the breaker: once."""
        self._book.held.remove(self)
        self._permit.settle(verdict, elapsed)


class PermitBook:
    """A breaker's. `bound`: the longest it may stay open by itself. `lease`: of a probe."""

    def __init__(self, breaker: Breaker, clock: Clock, *, probes: int, lease: float, bound: float) -> None:
        self._breaker = breaker
        self.clock = clock
        self._probes = probes
        self.lease = lease
        self._bound = bound
        self.moves = 0
        self.open_until = float("-inf")
        self._forcing = False
        self.held: list[Held] = []
        self.lost: list[Held] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._breaker, name)

    def moved(self, _old: str, new: str, open_for: float) -> None:
        """The breaker says so."""
        self.moves += 1
        if new == "open":
            assert self._forcing or 0.0 < open_for <= self._bound + 1e-9, "it will stay open for too long"
            self.open_until = self.clock() + open_for

    def admit(self) -> Held | None:
        """Grants or refuses as the breaker does, if the books agree."""
        now, before = self.clock(), self._breaker.state
        would_refuse = self._breaker.would_refuse()
        permit = self._breaker.admit()
        assert would_refuse == (permit is None)
        if before == "open" and now < self.open_until:
            assert permit is None, "granted while open"
            return None
        if before == "closed":
            assert permit is not None, "refused while closed"
        probing = sum(now < one.granted + self.lease for one in self._out_on_probes())
        if permit is None:
            assert probing >= self._probes, f"wedged: refused while {before} with {probing} probes out"
            return None
        one = Held(self, permit, is_probe=before != "closed")
        assert not one.is_probe or probing < self._probes, "a stampede"
        self.held.append(one)
        return one

    def _out_on_probes(self) -> list[Held]:
        return [one for one in (*self.held, *self.lost) if one.is_probe and one.round == self.moves]

    def lose(self) -> None:
        """Somebody takes a permit and is never heard of again."""
        if one := self.admit():
            self.held.remove(one)
            self.lost.append(one)

    def force(self, state: str, seconds: float) -> None:
        """An operator holds it."""
        self._forcing = True
        self._breaker.force(state, seconds)
        self._forcing = False
        if state == "open":
            self.open_until = self.clock() + seconds

    def release(self) -> None:
        """And lets go."""
        if self._breaker.forced() is not None:
            self.open_until = min(self.open_until, self.clock())
        self._breaker.release()


class BudgetBook:
    """A retry budget's."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self.requests = self.spent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._budget, name)

    def deposit(self) -> None:
        """A request began."""
        self.requests += 1
        self._budget.deposit()

    def withdraw(self) -> bool:
        """A retry, or a hedge."""
        had = self._budget.withdraw()
        self.spent += had
        return had

    def give_back(self, withdrawn: float) -> None:
        """Which was not made."""
        self.spent -= 1
        self._budget.give_back(withdrawn)


def keep_books(
    routes: list[Route], upstreams: list[Upstream], clock: Clock, *, probes: int, bound: float
) -> tuple[list[PermitBook], dict[str, BudgetBook]]:
    """Puts a book in front of every breaker and every budget. Returns them, budgets by their upstream's name."""
    permits: dict[int, PermitBook] = {}
    for route in routes:
        if (breaker := route.breaker) is not None:
            book = permits.setdefault(
                id(breaker), PermitBook(breaker, clock, probes=probes, lease=breaker.lease, bound=bound)
            )
            route.breaker = cast("Breaker", book)
    budgets = {upstream.name: BudgetBook(upstream.budget) for upstream in upstreams}
    for upstream in upstreams:
        upstream.budget = cast("RetryBudget", budgets[upstream.name])
    for route in routes:
        route.retry._budget = route.upstream.budget
    return list(permits.values()), budgets
