"""What `/status` says: every route and upstream as it is now.

    {"version", "uptime_seconds", "ready", "draining",
     "routes": [{"name", "upstream", "critical", "in_flight", "tunnels",
                 "breaker": {"state", "since_seconds", "retry_after", "dry_run",
                             "forced": {"state", "until"} | null} | null,
                 "fault": {"abort", "delay", "reset", "ratio", "until"} | null,
                 "bulkhead": {"limit", "in_flight", "queued"} | null,
                 "totals": {"requests", "by_outcome", "refused_by_reason", "would_refuse_by_reason",
                            "fallbacks"},
                 "latency": {"p50", "p99"},
                 "last_known_good": {"newest_age_seconds"}}],
     "upstreams": [{"name", "endpoints": [{"name", "weight", "priority", "pending", "ejected",
                                           "health": {"healthy", "last_failure"} | null}],
                    "connections": {"idle", "active"}}],
     "last_known_good": {"entries", "bytes", "state", "written", "failed", "dropped"} | null,
     "config": {"loaded_at", "reloads": {"ok", "rejected"}, "rejected": {"at", "problems"} | null} | null}

Times are seconds, to the millisecond; `until` is a date in UTC. `latency` is estimated from the histogram's
buckets since the start; its members, and `newest_age_seconds`, are null while there is nothing to tell. The
route "-" holds what matched none. `health` is null without health checks; its `last_failure`, a reason and a
sentence, is "" until a check has failed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sidecar import __version__
from sidecar.clock import WALL, Clock
from sidecar.policy.breaker import Breaker
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.fault import Fault
from sidecar.policy.route import Route


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


class Connections(Protocol):
    """Connections to one endpoint."""

    @property
    def idle(self) -> int:
        """Waiting in the pool."""

    @property
    def active(self) -> int:
        """Carrying an exchange."""


class Kept(Protocol):
    """Last known good answers."""

    def __len__(self) -> int:
        """How many."""

    @property
    def bytes_used(self) -> int:
        """In memory."""


class Disk(Protocol):
    """Where they outlive the process."""

    @property
    def state(self) -> str:
        """disk, or memory while the disk can't be used."""

    @property
    def written(self) -> int:
        """Writes that reached the file."""

    @property
    def failed(self) -> int:
        """Writes that failed and are tried again."""

    @property
    def dropped(self) -> int:
        """Writes that were given up."""


class Status:
    """Called for each `/status`.

    totals: what was counted about the route of a name. pools: by the upstream's name. clock: the one the
    breakers run on; the uptime counts from the construction. ready: empty when ready. draining: whether the
    process is on its way out. kept, disk: the store of last known good answers, and its file if it has one.
    config: what became of the configuration file, see above. routes, upstreams: read anew each time.
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
        config: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._config = config
        self._pools = pools
        self._totals = totals
        self._ready = ready
        self._draining = draining
        self._clock = clock
        self._wall = wall
        self._kept = kept
        self._disk = disk
        self._started = clock()

    def __call__(self) -> dict[str, Any]:
        """The document."""
        now = self._clock()
        return {
            "version": __version__,
            "uptime_seconds": round(now - self._started, 3),
            "ready": not self._ready(),
            "draining": self._draining(),
            "routes": [*(self._route(route, now) for route in self._routes), self._unmatched()],
            "upstreams": [self._upstream(upstream) for upstream in self._upstreams],
            "last_known_good": None if self._kept is None else _kept(self._kept, self._disk),
            "config": self._config(),
        }

    def _route(self, route: Route, now: float) -> dict[str, Any]:
        return {
            "name": route.name,
            "upstream": route.upstream.name,
            "critical": route.critical,
            "breaker": None if route.breaker is None else breaker_now(route.breaker, now, self._wall()),
            "fault": fault_now(route.fault, self._wall()),
            "bulkhead": None if route.bulkhead is None else _bulkhead(route.bulkhead),
            **self._counted(route.name),
        }

    def _unmatched(self) -> dict[str, Any]:
        nothing = {"upstream": None, "critical": False, "breaker": None, "fault": None, "bulkhead": None}
        return {"name": "-", **nothing, **self._counted("-")}

    def _counted(self, route: str) -> dict[str, Any]:
        totals = self._totals(route)
        return {
            "in_flight": totals.in_flight,
            "tunnels": totals.tunnels,
            "totals": {
                "requests": totals.requests,
                "by_outcome": totals.by_outcome,
                "refused_by_reason": totals.refused_by_reason,
                "would_refuse_by_reason": totals.would_refuse_by_reason,
                "fallbacks": totals.fallbacks,
            },
            "latency": {"p50": _rounded(totals.p50), "p99": _rounded(totals.p99)},
            "last_known_good": {"newest_age_seconds": _rounded(totals.newest_age)},
        }

    def _upstream(self, upstream: Upstream) -> dict[str, Any]:
        away = upstream.ejected()
        pools = self._pools.get(upstream.name, ())
        return {
            "name": upstream.name,
            "endpoints": [_endpoint(endpoint, ejected=endpoint in away) for endpoint in upstream.endpoints],
            "connections": {
                "idle": sum(pool.idle for pool in pools),
                "active": sum(pool.active for pool in pools),
            },
        }


def breaker_now(breaker: Breaker, now: float, wall: float) -> dict[str, Any]:
    """A breaker at `now`, on its clock; `wall`: Unix time."""
    forced = breaker.forced()
    return {
        "state": breaker.state,
        "since_seconds": _rounded(now - breaker.since),
        "retry_after": _rounded(breaker.retry_after()),
        "dry_run": breaker.dry_run,
        "forced": None if forced is None else {"state": forced[0], "until": _date(wall + forced[1])},
    }


def fault_now(fault: Fault | None, wall: float) -> dict[str, Any] | None:
    """What is injected; None if nothing is, or not any more. `wall`: Unix time."""
    if fault is None or not fault.left:
        return None
    return {
        "abort": fault.abort or None,
        "delay": fault.delay,
        "reset": fault.reset,
        "ratio": fault.ratio,
        "until": _date(wall + fault.left),
    }


def _date(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _kept(kept: Kept, disk: Disk | None) -> dict[str, Any]:
    held = {"entries": len(kept), "bytes": kept.bytes_used, "state": "memory" if disk is None else disk.state}
    if disk is None:
        return held
    return {**held, "written": disk.written, "failed": disk.failed, "dropped": disk.dropped}


def _endpoint(endpoint: Endpoint, *, ejected: bool) -> dict[str, Any]:
    health = endpoint.health
    return {
        "name": endpoint.name,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "pending": endpoint.pending,
        "ejected": ejected,
        "health": None if health is None else {"healthy": health.well, "last_failure": health.why},
    }


def _bulkhead(bulkhead: Bulkhead) -> dict[str, Any]:
    return {"limit": bulkhead.limit, "in_flight": bulkhead.in_flight, "queued": bulkhead.queued}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
