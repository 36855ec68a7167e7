"""What `/status` says: every route and upstream as it is now.

    {"version", "uptime_seconds", "ready", "draining",
     "routes": [{"name", "upstream", "critical", "in_flight", "tunnels",
                 "breaker": {"state", "since_seconds", "retry_after", "dry_run"} | null,
                 "bulkhead": {"limit", "in_flight", "queued"} | null,
                 "totals": {"requests", "by_outcome", "refused_by_reason", "would_refuse_by_reason",
                            "fallbacks"},
                 "latency": {"p50", "p99"},
                 "last_known_good": {"newest_age_seconds"}}],
     "upstreams": [{"name", "endpoints": [{"name", "ejected", "pending"}],
                    "connections": {"idle", "active"}}],
     "last_known_good": {"entries", "bytes", "state", "written", "failed", "dropped"} | null}

Times are seconds, to the millisecond. `latency` is estimated from the histogram's buckets since the start;
its members, and `newest_age_seconds`, are null while there is nothing to tell. The route "-" holds what
matched none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.policy.breaker import Breaker
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Upstream
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
    """

    def __init__(
        self,
        *,
        routes: Iterable[Route],
        upstreams: Iterable[Upstream],
        pools: Mapping[str, Sequence[Connections]],
        totals: Callable[[str], Totals],
        ready: Callable[[], str],
        draining: Callable[[], bool],
        clock: Clock,
        kept: Kept | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._routes = tuple(routes)
        self._upstreams = tuple(upstreams)
        self._pools = pools
        self._totals = totals
        self._ready = ready
        self._draining = draining
        self._clock = clock
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
        }

    def _route(self, route: Route, now: float) -> dict[str, Any]:
        return {
            "name": route.name,
            "upstream": route.upstream.name,
            "critical": route.critical,
            "breaker": None if route.breaker is None else _breaker(route.breaker, now),
            "bulkhead": None if route.bulkhead is None else _bulkhead(route.bulkhead),
            **self._counted(route.name),
        }

    def _unmatched(self) -> dict[str, Any]:
        nothing = {"upstream": None, "critical": False, "breaker": None, "bulkhead": None}
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
            "endpoints": [
                {"name": endpoint.name, "ejected": endpoint in away, "pending": endpoint.pending}
                for endpoint in upstream.endpoints
            ],
            "connections": {
                "idle": sum(pool.idle for pool in pools),
                "active": sum(pool.active for pool in pools),
            },
        }


def _breaker(breaker: Breaker, now: float) -> dict[str, Any]:
    return {
        "state": breaker.state,
        "since_seconds": _rounded(now - breaker.since),
        "retry_after": _rounded(breaker.retry_after()),
        "dry_run": breaker.dry_run,
    }


def _kept(kept: Kept, disk: Disk | None) -> dict[str, Any]:
    held = {"entries": len(kept), "bytes": kept.bytes_used, "state": "memory" if disk is None else disk.state}
    if disk is None:
        return held
    return {**held, "written": disk.written, "failed": disk.failed, "dropped": disk.dropped}


def _bulkhead(bulkhead: Bulkhead) -> dict[str, Any]:
    return {"limit": bulkhead.limit, "in_flight": bulkhead.in_flight, "queued": bulkhead.queued}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
