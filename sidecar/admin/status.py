"""What `/status` says: every route and upstream as it is now.

    {"version", "at", "uptime_seconds", "ready", "draining",
     "routes": [{"name", "upstream", "critical", "in_flight", "tunnels",
                 "since", "callers_get", "when_open",
                 "breaker": {"state", "since_seconds", "open_since", "retry_after", "dry_run",
                             "forced": {"state", "until"} | null, "shared_with": [route]} | null,
                 "fault": {"abort", "delay", "reset", "ratio", "until"} | null,
                 "bulkhead": {"limit", "in_flight", "queued"} | null,
                 "rates": {"seconds", "requests_per_second", "error_share", "fallback_share",
                           "refused_share", "p50", "p99", "outcomes"},
                 "totals": {"requests", "by_outcome", "refused_by_reason", "would_refuse_by_reason",
                            "fallbacks"},
                 "latency": {"p50", "p99"},
                 "last_known_good": {"newest_age_seconds"}}],
     "upstreams": [{"name", "endpoints": [{"name", "weight", "priority", "pending",
                                           "ejected", "ejected_until",
                                           "health": {"healthy", "last_failure"} | null}],
                    "connections": {"idle", "active"}, "budget": {"available", "ratio"}}],
     "last_known_good": {"entries", "bytes", "state", "written", "failed", "dropped"} | null,
     "config": {"loaded_at", "reloads": {"ok", "rejected"}, "rejected": {"at", "problems"} | null} | null,
     "journal": [{"number", "at", "kind", "subject", "text", "fields"}]}

Times are seconds, to the millisecond; `until`, `since`, `at` are dates in UTC. `latency` is estimated from the
histogram's buckets since the start; its members, and `newest_age_seconds`, are null while there is nothing to tell.
The route "-" holds what matched none. `rates` look back ten seconds: `seconds` says how far exactly, and shares and
quantiles are null where nothing came. `since` is when the breaker last moved, `open_since` when it was last closed;
`callers_get` says in a sentence what callers are given now, `when_open` what they would be given by an open breaker.
The journal is the newest hundred entries, newest last. `health` is null without health checks; its `last_failure`, a
reason and a sentence, is "" until a check has failed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, Final, Protocol

from sidecar import __version__
from sidecar.admin.entries import BLANK, Journal, date, newest
from sidecar.admin.parts import breaker_now, bulkhead_now, endpoint_now, fault_now, kept_now, rounded
from sidecar.admin.sentences import UNMATCHED, Rates, callers_get, when_open
from sidecar.clock import WALL, Clock
from sidecar.figures import Connections, Disk, Kept
from sidecar.policy.breaker import Breaker
from sidecar.policy.endpoints import Upstream
from sidecar.policy.route import Route

AT_ONCE: Final = 10
"""Routes that are looked at without a break: half a millisecond."""

UNKNOWN: Final[Rates] = {
    "seconds": 0,
    "requests_per_second": 0.0,
    **dict.fromkeys(("error_share", "fallback_share", "refused_share", "p50", "p99")),
    "outcomes": {},
}
"""Of a route that nothing is known of."""


class Totals(Protocol):
    """What was counted about a route since the start."""

    @property
    def in_flight(self) -> int:
        """Started and not finished."""

    @property
    def tunnels(self) -> int:
        """Connections that switched to another protocol, and have not ended."""

    @property
    def requests(self) -> int:
        """Finished."""

    @property
    def by_outcome(self) -> Mapping[str, int]:
        """Finished requests by outcome."""

    @property
    def refused_by_reason(self) -> Mapping[str, int]:
        """Refusals by reason."""

    @property
    def would_refuse_by_reason(self) -> Mapping[str, int]:
        """What a dry run would have refused, by reason."""

    @property
    def fallbacks(self) -> Mapping[str, int]:
        """Answers of the ladder by kind of rung."""

    @property
    def p50(self) -> float | None:
        """Seconds; None while nothing finished."""

    @property
    def p99(self) -> float | None:
        """Seconds; None while nothing finished."""

    @property
    def newest_age(self) -> float | None:
        """Seconds since the newest answer was kept; None if there is none."""


class Status:
    """Called for each `/status`, and for each push to those who watch.

    totals: what was counted about the route of a name. rates: the same over the last seconds. pools: by the
    upstream's name. clock: the one the breakers run on; the uptime counts from the construction. ready: empty
    when ready. draining: whether the process is on its way out. kept, disk: the store of last known good answers, and
    its file if it has one. config: what became of the file since the start. routes, upstreams: read anew each time.
    """

    def __init__(
        self,
        *,
        routes: Collection[Route],
        upstreams: Collection[Upstream],
        pools: Mapping[str, Sequence[Connections]],
        totals: Callable[[str], Totals],
        ready: Callable[[], str],
        draining: Callable[[], bool],
        clock: Clock,
        wall: Clock = WALL,
        kept: Kept | None = None,
        disk: Disk | None = None,
        rates: Callable[[str], Rates] = lambda _: UNKNOWN,
        journal: Journal | None = None,
        config: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._pools = pools
        self._totals = totals
        self._rates = rates
        self._ready = ready
        self._draining = draining
        self._clock = clock
        self._wall = wall
        self._kept = kept
        self._disk = disk
        self._journal = BLANK if journal is None else journal
        self._config = config
        self._started = clock()
        self._known: tuple[Route, ...] = ()
        self._when_open: dict[Route, str] = {}
        self._sharing: Mapping[Route, list[str]] = {}

    def __call__(self) -> dict[str, Any]:
        """The document."""
        steps = self.steps()
        try:
            while True:
                next(steps)
        except StopIteration as end:
            made: dict[str, Any] = end.value
            return made

    def steps(self) -> Generator[None, None, dict[str, Any]]:
        """The same, but what calls may wait for it: yields after every few routes, and returns the document."""
        now = self._clock()
        offset = self._wall() - now
        self._learn()
        routes = []
        for number, route in enumerate(self._known, 1):
            routes.append(self._route(route, now, offset))
            if number % AT_ONCE == 0:
                yield
        return {
            "version": __version__,
            "at": date(now + offset, "milliseconds"),
            "uptime_seconds": round(now - self._started, 3),
            "ready": not self._ready(),
            "draining": self._draining(),
            "routes": [*routes, self._unmatched()],
            "upstreams": [self._upstream(upstream, now, offset) for upstream in self._upstreams],
            "last_known_good": None if self._kept is None else kept_now(self._kept, self._disk),
            "config": self._config(),
            "journal": newest(self._journal),
        }

    def _learn(self) -> None:
        """What is the same for as long as the routes are."""
        known = tuple(self._routes)
        if known != self._known:
            self._known = known
            self._when_open = {route: when_open(route) for route in known if route.breaker is not None}
            self._sharing = _sharing(known)

    def _route(self, route: Route, now: float, offset: float) -> dict[str, Any]:
        breaker = route.breaker
        rates = self._rates(route.name)
        shown = None
        if breaker is not None:
            shown = {**breaker_now(breaker, now, now + offset), "shared_with": self._sharing[route]}
        return {
            "name": route.name,
            "upstream": route.upstream.name,
            "critical": route.critical,
            "since": None if breaker is None else date(breaker.since + offset),
            "callers_get": callers_get(route, rates),
            "when_open": self._when_open.get(route),
            "breaker": shown,
            "fault": fault_now(route.fault, now + offset),
            "bulkhead": None if route.bulkhead is None else bulkhead_now(route.bulkhead),
            **self._counted(route.name, rates),
        }

    def _unmatched(self) -> dict[str, Any]:
        nothing = dict.fromkeys(("upstream", "since", "when_open", "breaker", "fault", "bulkhead"))
        return {
            "name": "-",
            "critical": False,
            "callers_get": UNMATCHED,
            **nothing,
            **self._counted("-", self._rates("-")),
        }

    def _counted(self, route: str, rates: Rates) -> dict[str, Any]:
        totals = self._totals(route)
        return {
            "in_flight": totals.in_flight,
            "tunnels": totals.tunnels,
            "rates": rates,
            "totals": {
                "requests": totals.requests,
                "by_outcome": totals.by_outcome,
                "refused_by_reason": totals.refused_by_reason,
                "would_refuse_by_reason": totals.would_refuse_by_reason,
                "fallbacks": totals.fallbacks,
            },
            "latency": {"p50": rounded(totals.p50), "p99": rounded(totals.p99)},
            "last_known_good": {"newest_age_seconds": rounded(totals.newest_age)},
        }

    def _upstream(self, upstream: Upstream, now: float, offset: float) -> dict[str, Any]:
        pools = self._pools.get(upstream.name, ())
        return {
            "name": upstream.name,
            "endpoints": [endpoint_now(endpoint, now, offset) for endpoint in upstream.endpoints],
            "connections": {
                "idle": sum(pool.idle for pool in pools),
                "active": sum(pool.active for pool in pools),
            },
            "budget": {"available": round(upstream.budget.balance(), 1), "ratio": upstream.budget.ratio},
        }


def _sharing(routes: Sequence[Route]) -> Mapping[Route, list[str]]:
    """With which others each route shares its breaker."""
    names: dict[Breaker | None, list[str]] = defaultdict(list)
    for route in routes:
        names[route.breaker].append(route.name)
    return {route: [name for name in names[route.breaker] if name != route.name] for route in routes if route.breaker}
