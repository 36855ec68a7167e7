"""What can be seen of a route from outside: its breaker, and what its callers were given."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from sidecar.policy.route import Route
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.route import RouteMetrics

FAIL_CLOSED: Final = "fail_closed"


class Watched(Protocol):
    """One route."""

    @property
    def upstream(self) -> str:
        """Whom it calls."""

    def broken(self) -> bool | None:
        """Whether its breaker keeps callers away. None where that says nothing: see `WatchedRoute`."""

    def failed_closed(self) -> int:
        """Requests so far that failed closed."""

    def answers(self) -> Mapping[str, int]:
        """Requests so far, by outcome."""


Subjects = Mapping[str, Watched]
"""All routes that are configured now, by name."""


class WatchedRoute:
    """Implements `Watched` over the living objects."""

    __slots__ = ("_metrics", "_route", "upstream")

    def __init__(self, route: Route, metrics: RouteMetrics) -> None:
        self._route = route
        self._metrics = metrics
        self.upstream = route.upstream.name

    def broken(self) -> bool | None:
        """False too in dry run: it refuses nothing.

        None while an operator holds it, who knows; and while it is open with its time over and half-open: that is no
        news, neither of an outage nor of its end.
        """
        breaker = self._route.breaker
        if breaker is None or breaker.dry_run:
            return False
        if breaker.forced() is not None:
            return None
        if breaker.state == "closed":
            return False
        return True if breaker.retry_after() > 0.0 else None

    def failed_closed(self) -> int:
        """See `Watched`. Only critical routes do."""
        if not self._route.critical:
            return 0
        return sum(count for key, count in self._metrics.requests.items() if key[2] == FAIL_CLOSED)

    def answers(self) -> Mapping[str, int]:
        """See `Watched`."""
        return self._metrics.requests.by(2)


class Watch:
    """All routes of the configuration that is served. `routes`: read each time, for a reload changes what is in it."""

    def __init__(self, routes: Sequence[Route], prometheus: Prometheus) -> None:
        self._routes = routes
        self._prometheus = prometheus
        self._of: Sequence[Route] = ()
        self._subjects: Subjects = {}

    def __call__(self) -> Subjects:
        """As of now."""
        routes = tuple(self._routes)
        if routes != self._of:
            self._of = routes
            self._subjects = {route.name: WatchedRoute(route, self._prometheus.route(route.name)) for route in routes}
        return self._subjects

    def broken(self, route: str) -> bool:
        """Whether the route still is one whose breaker is not known to be well."""
        found = self().get(route)
        return found is not None and found.broken() is not False
