"""What is read off living objects when a scrape comes: breakers, bulkheads, endpoints, connections."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from sidecar.figures import Connections, Disk, Kept
from sidecar.policy.endpoints import Upstream
from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.route import Route
from sidecar.telemetry.prometheus import Prometheus

STATES: Final = ("closed", "open", "half_open")

_Samples = Iterator[tuple[Sequence[str], float]]


class Losing(Protocol):
    """A log that may lose lines."""

    @property
    def dropped(self) -> int:
        """How many so far."""


def show(
    prometheus: Prometheus,
    *,
    routes: Iterable[Route],
    upstreams: Iterable[Upstream],
    pools: Mapping[str, Sequence[Connections]],
    access_log: Losing | None = None,
    kept: Kept | None = None,
    disk: Disk | None = None,
    tls_reloads: Callable[[], _Samples] = lambda: iter(()),
    handshake_failures: Callable[[], Mapping[str, tuple[int, str]]] = dict,
    admin_actions: Callable[[], _Samples] = lambda: iter(()),
    notifications: Callable[[], _Samples] = lambda: iter(()),
) -> None:
    """Adds their series to the scrape, in place of those shown before. `pools`: by the upstream's name.

    `tls_reloads`: times that changed files were taken or not, by result. `handshake_failures`: how many, by listener.
    `admin_actions`: how many were asked for, by action and result. `notifications`: the same, by receiver and result.
    """
    every = tuple(routes)
    for route in every:
        counters = prometheus.route(route.name)  # shows the route from now on, at 0
        if route.breaker is not None:
            counters.expect_transitions()
    _show_breakers(prometheus, every)
    _show_bulkheads(prometheus, every)
    _show_endpoints(prometheus, tuple(upstreams))
    _show_connections(prometheus, pools)
    _show_ladders(prometheus, every)
    if kept is not None:
        _show_kept(prometheus, kept)
    if disk is not None:
        _show_disk(prometheus, disk)
    _show_tls(prometheus, tls_reloads, handshake_failures)
    _show_actions(prometheus, every, admin_actions)
    _show_notifications(prometheus, notifications)
    if access_log is not None:
        _show_access_log(prometheus, access_log)


def _show_breakers(prometheus: Prometheus, routes: Sequence[Route]) -> None:
    prometheus.gauge(
        "sidecar_breaker_state",
        "1 for the state the route's breaker is in, 0 for the others.",
        ("route", "state"),
        lambda: _states(routes),
    )
    prometheus.gauge(
        "sidecar_breaker_forced",
        "1 while an operator holds the route's breaker open or closed, otherwise 0.",
        ("route",),
        lambda: (
            ((route.name,), int(route.breaker.forced() is not None)) for route in routes if route.breaker is not None
        ),
    )


def _show_bulkheads(prometheus: Prometheus, routes: Sequence[Route]) -> None:
    prometheus.gauge(
        "sidecar_queued",
        "Requests that wait for a slot of the route's bulkhead.",
        ("route",),
        lambda: (((route.name,), _queued(route)) for route in routes),
    )
    prometheus.gauge(
        "sidecar_bulkhead_limit",
        "Slots of the route's bulkhead; an adaptive one moves with the upstream's latency.",
        ("route",),
        lambda: (((route.name,), route.bulkhead.limit) for route in routes if route.bulkhead is not None),
    )


def _show_endpoints(prometheus: Prometheus, upstreams: Sequence[Upstream]) -> None:
    prometheus.gauge(
        "sidecar_endpoint_ejected",
        "1 while the endpoint is ejected, otherwise 0.",
        ("upstream", "endpoint"),
        lambda: _ejected(upstreams),
    )
    prometheus.gauge(
        "sidecar_endpoint_healthy",
        "1 while health checks find the endpoint well, otherwise 0; it is well until they have failed.",
        ("upstream", "endpoint"),
        lambda: _healthy(upstreams),
    )


def _show_connections(prometheus: Prometheus, pools: Mapping[str, Sequence[Connections]]) -> None:
    prometheus.gauge(
        "sidecar_connections",
        "Connections to the upstream's endpoints: idle ones wait in the pool, active ones carry an exchange.",
        ("upstream", "state"),
        lambda: _connections(pools),
    )


def _show_ladders(prometheus: Prometheus, routes: Sequence[Route]) -> None:
    bounds = [
        ((route.name,), rung.max_age) for route in routes for rung in route.ladder if isinstance(rung, LastKnownGood)
    ]
    prometheus.gauge(
        "sidecar_last_known_good_max_age_seconds",
        "How old a kept answer may be to be given on the route.",
        ("route",),
        lambda: bounds,
    )


def _show_actions(prometheus: Prometheus, routes: Sequence[Route], admin_actions: Callable[[], _Samples]) -> None:
    prometheus.gauge(
        "sidecar_fault_active",
        "1 while an operator injects a fault into the route, otherwise 0.",
        ("route",),
        lambda: (((route.name,), int(route.fault is not None and route.fault.left > 0.0)) for route in routes),
    )
    prometheus.counter(
        "sidecar_admin_actions_total",
        "Actions asked for on the admin port, and what came of it: ok, invalid, denied.",
        ("action", "result"),
        admin_actions,
    )


def _show_notifications(prometheus: Prometheus, notifications: Callable[[], _Samples]) -> None:
    prometheus.counter(
        "sidecar_notifications_total",
        "Notifications that a receiver took (sent), tries that it did not take (failed), those given up (dropped).",
        ("receiver", "result"),
        notifications,
    )


def _show_tls(
    prometheus: Prometheus,
    reloads: Callable[[], _Samples],
    handshake_failures: Callable[[], Mapping[str, tuple[int, str]]],
) -> None:
    prometheus.counter(
        "sidecar_tls_reloads_total",
        "Times that changed certificates, keys or authorities were taken (ok) or could not be used (rejected).",
        ("result",),
        reloads,
    )
    prometheus.counter(
        "sidecar_tls_handshake_failures_total",
        "TLS handshakes of callers that were refused, by either side.",
        ("listener",),
        lambda: (((name,), count) for name, (count, _) in handshake_failures().items()),
    )


def _show_access_log(prometheus: Prometheus, access_log: Losing) -> None:
    prometheus.counter(
        "sidecar_access_log_dropped_total",
        "Access-log lines lost because nobody read them or the disk was full.",
        (),
        lambda: [((), access_log.dropped)],
    )


def _show_kept(prometheus: Prometheus, kept: Kept) -> None:
    prometheus.gauge(
        "sidecar_last_known_good_entries",
        "Answers kept in memory for when the upstream fails.",
        (),
        lambda: [((), len(kept))],
    )
    prometheus.gauge(
        "sidecar_last_known_good_bytes",
        "Memory they take; state.last_known_good.max_bytes is the bound.",
        (),
        lambda: [((), kept.bytes_used)],
    )


def _show_disk(prometheus: Prometheus, disk: Disk) -> None:
    prometheus.gauge(
        "sidecar_last_known_good_store",
        "1 for where answers are kept now, 0 for the other; memory: they would not outlive the process.",
        ("state",),
        lambda: [((state,), int(state == disk.state)) for state in ("disk", "memory")],
    )
    prometheus.counter(
        "sidecar_last_known_good_writes_total",
        "Kept answers that reached the disk (ok), did not and are tried again (failed), or were given up (dropped).",
        ("result",),
        lambda: [(("ok",), disk.written), (("failed",), disk.failed), (("dropped",), disk.dropped)],
    )


def _states(routes: Iterable[Route]) -> _Samples:
    for route in routes:
        if route.breaker is None:
            continue
        now = route.breaker.state
        for state in STATES:
            yield (route.name, state), int(state == now)


def _queued(route: Route) -> int:
    return 0 if route.bulkhead is None else route.bulkhead.queued


def _ejected(upstreams: Iterable[Upstream]) -> _Samples:
    for upstream in upstreams:
        away = upstream.ejected()
        for endpoint in upstream.endpoints:
            yield (upstream.name, endpoint.name), int(endpoint in away)


def _healthy(upstreams: Iterable[Upstream]) -> _Samples:
    for upstream in upstreams:
        for endpoint in upstream.endpoints:
            if endpoint.health is not None:
                yield (upstream.name, endpoint.name), int(endpoint.health.well)


def _connections(pools: Mapping[str, Sequence[Connections]]) -> _Samples:
    for upstream, each in pools.items():
        yield (upstream, "idle"), sum(pool.idle for pool in each)
        yield (upstream, "active"), sum(pool.active for pool in each)
