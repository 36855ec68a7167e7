"""What the objects of a configuration may be taken over from the one before it: unchanged things keep their state.

The rule is the same everywhere: an object is kept if the settings that made it are the same, and what it has learned is
still about the same thing. docs/reload.md says what that comes to.
"""

from collections.abc import Mapping
from copy import copy
from typing import cast

from sidecar import config
from sidecar.app.built import Built, TlsSetting
from sidecar.app.health import Check
from sidecar.policy.breaker import Breaker
from sidecar.policy.budget import RetryBudget
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Upstream
from sidecar.policy.fallback import Failover
from sidecar.policy.rate_limit import RateLimit
from sidecar.policy.route import Route
from sidecar.proxy.target import Target
from sidecar.wire.pool import Pool
from sidecar.wire.renewal import Renewal


class Before:
    """What there is already, asked by the builder of what comes after it. `built`: None at the start."""

    def __init__(self, built: Built | None = None) -> None:
        self._built = built
        loaded = None if built is None else built.loaded
        self._upstreams = {} if loaded is None else loaded.upstreams
        self._asked = {} if loaded is None else {route.name: route for route in loaded.routes}
        self._routes = {} if built is None else {route.name: route for route in built.routes}

    # Upstreams.

    def renewal(self, setting: TlsSetting) -> Renewal | None:
        """With the context, and the state of the files, that it has."""
        return None if self._built is None else self._built.settings.get(setting)

    def upstream(self, name: str, asked: config.Upstream, budget: tuple[float, float]) -> Upstream | None:
        """With everything in it, if nothing of it has changed."""
        if self._built is None or self._upstreams.get(name) != asked or self._built.budgets[name] != budget:
            return None
        return self._built.upstreams[name]

    def pools(self, name: str) -> list[Pool]:
        """Of an upstream that is kept."""
        assert self._built is not None
        return self._built.pools[name]

    def checks(self, upstream: Upstream) -> list[Check]:
        """The same."""
        assert self._built is not None
        return [check for check in self._built.checks if check.upstream is upstream]

    def budget(self, name: str, budget: tuple[float, float]) -> RetryBudget | None:
        """With what was paid in."""
        if self._built is None or self._built.budgets.get(name) != budget:
            return None
        return self._built.upstreams[name].budget

    def pool(self, name: str, endpoint: config.Endpoint, asked: config.Upstream) -> Pool | None:
        """With its connections, if new ones would be made as they were."""
        old, target = self._upstreams.get(name), self._target(name, endpoint)
        if old is None or target is None:
            return None
        same = (old.connect_timeout, old.pool, old.tls) == (asked.connect_timeout, asked.pool, asked.tls)
        return target.pool if same else None

    def remember(self, name: str, target: Target, endpoint: config.Endpoint, asked: config.Upstream) -> None:
        """Gives an endpoint the standing, and the health, that its address has.

        Copies: what stragglers find out about the old one is the old one's.
        """
        old, known = self._upstreams.get(name), self._target(name, endpoint)
        if old is None or known is None:
            return
        target.standing = copy(known.standing)
        if _thresholds(old) == _thresholds(asked):
            target.health = copy(known.health)
        else:
            target.standing.well = True  # as `Health` begins

    def _target(self, name: str, endpoint: config.Endpoint) -> Target | None:
        if self._built is None or name not in self._built.upstreams:
            return None
        found = (one for one in self._built.upstreams[name].endpoints if one.name == endpoint.url)
        return cast("Target | None", next(found, None))

    # Routes.

    def route(self, asked: config.Route, upstreams: Mapping[str, Upstream]) -> Route | None:
        """As it is, if nothing of it has changed, nor of the upstreams that it calls."""
        route = self._routes.get(asked.name)
        if route is None or self._asked[asked.name] != asked or upstreams[asked.upstream] is not route.upstream:
            return None
        others = [rung.upstream for rung in route.ladder if isinstance(rung, Failover)]
        return route if all(upstreams[other.name] is other for other in others) else None

    def breaker(self, asked: config.Route, upstream: Upstream) -> Breaker | None:
        """In the state it is in, if it would judge in the same way, and what it judged is still there."""
        for name, old in self._asked.items():
            if (name == asked.name or asked.breaker.share == "upstream") and (
                old.breaker == asked.breaker and old.upstream == asked.upstream and self._overlaps(upstream)
            ):
                return self._routes[name].breaker
        return None

    def bulkhead(self, asked: config.Route) -> Bulkhead | None:
        """With the requests that are in it."""
        old = self._asked.get(asked.name)
        return self._routes[asked.name].bulkhead if old is not None and old.bulkhead == asked.bulkhead else None

    def rate_limit(self, asked: config.Route) -> RateLimit | None:
        """With the tokens that are in it."""
        old = self._asked.get(asked.name)
        return self._routes[asked.name].rate_limit if old is not None and old.rate_limit == asked.rate_limit else None

    def _overlaps(self, upstream: Upstream) -> bool:
        assert self._built is not None
        before = self._built.upstreams.get(upstream.name)
        return before is not None and bool(_names(before) & _names(upstream))


def _names(upstream: Upstream) -> set[str]:
    return {endpoint.name for endpoint in upstream.endpoints}


def _thresholds(asked: config.Upstream) -> tuple[int, int] | None:
    check = asked.health_check
    return None if check is None else (check.unhealthy_after, check.healthy_after)
