"""What a configuration becomes: the objects that serve it, and how one set of them follows another."""

from dataclasses import dataclass, field, fields

from sidecar import config
from sidecar.app.health import Check
from sidecar.policy.breaker import Breaker
from sidecar.policy.endpoints import Upstream
from sidecar.policy.route import Route
from sidecar.policy.router import Router
from sidecar.wire.pool import Pool
from sidecar.wire.renewal import Renewal

TlsSetting = tuple[str | None, ...]
"""What tells the TLS settings of two upstreams apart: ca, cert, key, min_version."""


@dataclass(slots=True, kw_only=True)
class Built:
    """Everything that serves one configuration.

    Whoever shows or sweeps these objects holds on to the containers: `become` changes what is in them.
    """

    loaded: config.Config
    router: Router[Route]
    routes: list[Route]
    upstreams: dict[str, Upstream]
    budgets: dict[str, tuple[float, float]]
    """Ratio and retries per second of each upstream's budget."""
    pools: dict[str, list[Pool]] = field(default_factory=dict)
    renewals: dict[Renewal, list[str]] = field(default_factory=dict)
    """The TLS settings of upstreams, each once, and who has it."""
    settings: dict[TlsSetting, Renewal] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    """Of the health of endpoints, where that is asked for."""

    def become(self, other: "Built") -> "Left":
        """Takes the place of what was here, and says what has no place any more."""
        pools = {pool for each in other.pools.values() for pool in each}
        breakers = {route.breaker for route in other.routes}
        left = Left(
            pools=[pool for each in self.pools.values() for pool in each if pool not in pools],
            breakers={route.breaker: route for route in reversed(self.routes) if route.breaker not in breakers},
            routes=list(self.routes),
        )
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, list):
                mine[:] = theirs
            elif isinstance(mine, dict):
                mine.clear()
                mine.update(theirs)
            else:
                setattr(self, one.name, theirs)
        return left


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What nothing new comes to. breakers: each with the first of the routes that had it. routes: as they were."""

    pools: list[Pool]
    breakers: dict[Breaker | None, Route]
    routes: list[Route]

    def retire(self, now: Built) -> None:
        """Exchanges under way end in their own time; what was open is told to be over.

        What an operator did by hand goes over to the routes of the same names.
        """
        for pool in self.pools:
            pool.close()
        for breaker, route in self.breakers.items():
            if breaker is None:
                continue
            breaker.report_to(_nobody)  # its stragglers must not announce moves of what is not there any more
            if breaker.state != "closed":
                route.observer.breaker_changed(breaker.state, "closed", 0.0)
        by_name = {route.name: route for route in now.routes}
        for route in self.routes:
            if (heir := by_name.get(route.name)) is not None and heir is not route:
                _bequeath(route, heir)


def _bequeath(route: Route, heir: Route) -> None:
    heir.fault = route.fault
    old, new = route.breaker, heir.breaker
    if old is None or new is None or old is new or new.dry_run:
        return
    held = old.forced()
    if held is not None and new.forced() is None:
        new.force(*held)


def _nobody(old: str, new: str, open_for: float) -> None:
    """Hears of it."""
