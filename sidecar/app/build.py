"""Configuration to objects: the one translator. Policies know no pydantic, the wire knows no YAML.

Everything that can be worked out at load is worked out here: request-line parts, header lines, sets of names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import cast

from sidecar import config
from sidecar.app import shares
from sidecar.app.built import Built, TlsSetting
from sidecar.app.health import Check
from sidecar.app.reuse import Before
from sidecar.clock import Clock
from sidecar.observer import Observer
from sidecar.policy.adaptive import AdaptiveLimit
from sidecar.policy.answer import Answer
from sidecar.policy.breaker import Breaker
from sidecar.policy.budget import RetryBudget
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.delay import Delay, Tail
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Upstream
from sidecar.policy.expect import Expect
from sidecar.policy.fallback import Failover, LastKnownGood, Rung, Static
from sidecar.policy.flight import Flights
from sidecar.policy.health import Health
from sidecar.policy.rate_limit import RateLimit
from sidecar.policy.retry import Retry
from sidecar.policy.route import Route
from sidecar.policy.router import Match, Router
from sidecar.policy.schema import Schema
from sidecar.proxy.target import Rewrite, Target
from sidecar.wire import tls
from sidecar.wire.dial import Dialer
from sidecar.wire.pool import Pool
from sidecar.wire.renewal import Renewal, Resuming


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds on the given clocks and source of chance. `before`: what unchanged things are taken over from."""

    observer: Observer
    clock: Clock
    rng: Random
    before: Before = field(default_factory=Before)
    _settings: dict[TlsSetting, Renewal] = field(default_factory=dict)

    def prepare(self, loaded: config.Config) -> None:
        """Does what takes long, and may fail: reads certificates, keys and authorities. May be called in a thread.

        Raises:
            TlsSettingError: one of the files cannot be used.
        """
        for upstream in loaded.upstreams.values():
            if upstream.endpoints[0].scheme == "https":
                self._renewal(upstream.tls)

    def build(self, loaded: config.Config) -> Built:
        """The objects that serve `loaded`."""
        pools: dict[str, list[Pool]] = {}
        upstreams: dict[str, Upstream] = {}
        renewals: dict[Renewal, list[str]] = {}
        checks: list[Check] = []
        budgets = shares.budgets(loaded)
        for name, upstream in loaded.upstreams.items():
            if upstream.endpoints[0].scheme == "https":
                renewals.setdefault(self._renewal(upstream.tls), []).append(name)
            kept = self.before.upstream(name, upstream, budgets[name])
            if kept is not None:
                upstreams[name], pools[name] = kept, self.before.pools(name)
                checks += self.before.checks(kept)
                continue
            targets = [self._target(name, endpoint, upstream) for endpoint in upstream.endpoints]
            pools[name] = [target.pool for target in targets]
            upstreams[name] = self._upstream(name, upstream, targets, budgets[name])
            checks += self._checks(upstream, upstreams[name], targets)
        shared: dict[str, Breaker] = {}
        leases = shares.leases(loaded)
        routes = [self._route(route, upstreams, shared, leases[route.name]) for route in loaded.routes]
        matches = [(_match(route), built) for route, built in zip(loaded.routes, routes, strict=True)]
        return Built(
            loaded=loaded,
            router=Router(matches),
            routes=routes,
            upstreams=upstreams,
            budgets=budgets,
            pools=pools,
            renewals=renewals,
            settings=self._settings,
            checks=checks,
        )

    def _target(self, name: str, endpoint: config.Endpoint, upstream: config.Upstream) -> Target:
        added = _header_lines(upstream.headers.set)
        removed = {name.lower().encode() for name in (*upstream.headers.remove, *upstream.headers.set)}
        target = Target(
            name=endpoint.url,
            pool=self.before.pool(name, endpoint, upstream) or self._pool(endpoint, upstream),
            authority=_authority(endpoint).encode(),
            base_path=endpoint.base_path.encode(),
            added=added,
            removed=frozenset(removed),
            weight=endpoint.weight,
            priority=endpoint.priority,
            health=_health(upstream.health_check),
        )
        self.before.remember(name, target, endpoint, upstream)
        return target

    def _checks(self, asked: config.Upstream, upstream: Upstream, targets: list[Target]) -> list[Check]:
        how = asked.health_check
        if how is None:
            return []
        return [
            Check(
                upstream=upstream,
                target=target,
                dialer=self._dialer(endpoint, asked),  # of its own: checks must not take real traffic's turns
                path=how.path.encode(),
                interval=how.interval,
                timeout=how.timeout,
                clock=self.clock,
                rng=self.rng,
            )
            for endpoint, target in zip(asked.endpoints, targets, strict=True)
        ]

    def _pool(self, endpoint: config.Endpoint, upstream: config.Upstream) -> Pool:
        limits = upstream.pool
        return Pool(
            name=endpoint.url,
            dialer=self._dialer(endpoint, upstream),
            connections=limits.connections,
            idle=limits.idle,
            idle_timeout=limits.idle_timeout,
            max_age=limits.max_age,
            clock=self.clock,
        )

    def _dialer(self, endpoint: config.Endpoint, upstream: config.Upstream) -> Dialer:
        secure = endpoint.scheme == "https"
        asked = upstream.tls
        return Dialer(
            host=endpoint.host,
            port=endpoint.port,
            tls=Resuming(self._renewal(asked), self.clock) if secure else None,
            server_name=(asked.server_name or endpoint.host) if secure else None,
            connect_timeout=upstream.connect_timeout,
            clock=self.clock,
        )

    def _renewal(self, asked: config.Tls) -> Renewal:
        setting = (asked.ca, asked.cert, asked.key, asked.min_version)  # the server name is its dialer's
        if setting not in self._settings:
            make = partial(
                tls.client_context, ca=asked.ca, cert=asked.cert, key=asked.key, min_version=asked.min_version
            )
            self._settings[setting] = self.before.renewal(setting) or Renewal(make, setting[:3])
        return self._settings[setting]

    def _upstream(
        self, name: str, upstream: config.Upstream, targets: list[Target], budget: tuple[float, float]
    ) -> Upstream:
        ejection = upstream.ejection
        return Upstream(
            name=name,
            endpoints=targets,
            ejection=Ejection(
                consecutive_failures=ejection.consecutive_failures,
                base=ejection.for_,
                cap=ejection.for_max,
                max_share=ejection.max_share,
                clock=self.clock,
            ),
            budget=self.before.budget(name, budget)
            or RetryBudget(ratio=budget[0], per_second=budget[1], clock=self.clock),
            clock=self.clock,
            rng=self.rng,
            slow_start=upstream.slow_start,
            check_every=0.0 if upstream.health_check is None else upstream.health_check.interval,
        )

    def _route(
        self, route: config.Route, upstreams: Mapping[str, Upstream], shared: dict[str, Breaker], lease: float
    ) -> Route:
        upstream = upstreams[route.upstream]
        breaker = self._breaker(route, upstream, lease, shared)
        kept = self.before.route(route, upstreams)
        if kept is not None and kept.breaker is breaker:
            return kept
        observer = self.observer.route(route.name)
        built = Route(
            name=route.name,
            upstream=upstream,
            total=route.timeout.total,
            attempt_timeout=route.timeout.attempt,
            idle=route.timeout.idle,
            upgrades=frozenset(name.encode() for name in route.upgrade),
            critical=route.critical,
            rate_limit=self.before.rate_limit(route) or self._rate_limit(route.rate_limit),
            bulkhead=self.before.bulkhead(route) or self._bulkhead(route.bulkhead),
            breaker=breaker,
            retry=self._retry(route.retry, upstream),
            expect=_expect(route.expect),
            ladder=tuple(_rung(rung, upstreams, _unseen(upstream)) for rung in route.fallback),
            unavailable=None if route.unavailable is None else _answer(route.unavailable),
            observer=observer,
        )
        built.plan = _rewrite(route, built.expect)
        built.flights = self._flights(route)
        return built

    def _flights(self, route: config.Route) -> Flights | None:
        kept = [rung.last_known_good for rung in route.fallback if rung.last_known_good is not None]
        return Flights(kept[0].coalesce, self.clock) if kept and kept[0].coalesce else None

    def _rate_limit(self, asked: config.RateLimit | None) -> RateLimit | None:
        if asked is None:
            return None
        return RateLimit(per_second=asked.per_second, burst=asked.burst, clock=self.clock)

    def _bulkhead(self, asked: config.Bulkhead | None) -> Bulkhead | None:
        if asked is None:
            return None
        adaptive = AdaptiveLimit(ceiling=asked.in_flight, clock=self.clock, rng=self.rng) if asked.adaptive else None
        return Bulkhead(
            asked.in_flight,
            queue=asked.queue,
            queue_timeout=asked.queue_timeout,
            adaptive=adaptive,
            clock=self.clock,
        )

    def _breaker(
        self, route: config.Route, upstream: Upstream, lease: float, shared: dict[str, Breaker]
    ) -> Breaker | None:
        asked = route.breaker
        if not asked.enabled:
            return None
        if asked.share == "upstream" and route.upstream in shared:
            return shared[route.upstream]
        breaker = self.before.breaker(route, upstream) or self._new_breaker(asked, lease)
        breaker.lease = lease
        breaker.report_to(self.observer.route(route.name).breaker_changed)
        if asked.share == "upstream":
            shared[route.upstream] = breaker
        return breaker

    def _new_breaker(self, asked: config.Breaker, lease: float) -> Breaker:
        slow = asked.slow_calls
        return Breaker(
            consecutive_failures=asked.consecutive_failures,
            failure_ratio=asked.failure_ratio,
            window=asked.window,
            minimum_requests=asked.minimum_requests,
            slow_longer_than=None if slow is None else slow.longer_than,
            slow_ratio=1.0 if slow is None else slow.ratio,
            open_for=asked.open_for,
            jitter=asked.jitter,
            open_for_max=asked.open_for_max,
            probes=asked.probes,
            successes_to_close=asked.successes_to_close,
            lease=lease,
            dry_run=asked.dry_run,
            clock=self.clock,
            rng=self.rng,
            on_change=_unheard,
        )

    def _retry(self, asked: config.Retry, upstream: Upstream) -> Retry:
        return Retry(
            attempts=asked.attempts,
            on=frozenset(asked.on),
            methods=frozenset(method.encode() for method in asked.methods),
            idempotency_key=asked.idempotency_key,
            base=asked.backoff.base,
            factor=asked.backoff.factor,
            cap=asked.backoff.max,
            jitter=asked.backoff.jitter == "full",
            respect_retry_after=asked.respect_retry_after,
            hedge=None if asked.hedge is None else _delay(asked.hedge.after),
            budget=upstream.budget,
            rng=self.rng,
        )


def _delay(after: float | str) -> Delay:
    return Tail() if isinstance(after, str) else Delay(after)


def _unheard(old: str, new: str, open_for: float) -> None:
    """Until its breaker has a route."""


def _health(asked: config.HealthCheck | None) -> Health | None:
    if asked is None:
        return None
    return Health(unhealthy_after=asked.unhealthy_after, healthy_after=asked.healthy_after)


def _match(route: config.Route) -> Match:
    asked = route.match
    return Match(
        path=None if asked.path is None else asked.path.encode(),
        prefix=None if asked.prefix is None else asked.prefix.encode(),
        regex=None if asked.regex is None else asked.regex,
        methods=frozenset(method.encode() for method in asked.methods),
        host=None if asked.host is None else asked.host.lower().encode(),
        headers={name.lower().encode(): value.encode() for name, value in asked.headers.items()},
    )


def _rewrite(route: config.Route, expect: Expect | None) -> Rewrite | None:
    asked = route.rewrite
    looks_inside = expect is not None and expect.reads_json
    if asked is None:
        return Rewrite(looks_inside=True) if looks_inside else None
    keep_host = asked.host == "keep"
    if asked.prefix is None:
        return Rewrite(keep_host=keep_host, looks_inside=looks_inside)
    matched = route.match.prefix or route.match.path or ""
    return Rewrite(
        matched=len(matched.encode()),
        replacement=asked.prefix.encode(),
        keep_host=keep_host,
        looks_inside=looks_inside,
    )


def _unseen(upstream: Upstream) -> frozenset[bytes]:
    """Headers of the caller that no endpoint gets to see: answers can't depend on them."""
    return frozenset.intersection(*(cast("Target", endpoint).removed for endpoint in upstream.endpoints))


def _rung(rung: config.Rung, upstreams: Mapping[str, Upstream], unseen: frozenset[bytes]) -> Rung:
    on = frozenset[str](rung.on)
    if rung.last_known_good is not None:
        kept = rung.last_known_good
        identity = tuple(sorted(name.lower().encode() for name in kept.identity))
        return LastKnownGood(
            max_age=kept.max_age,
            identity=identity,
            on=on,
            overrule=frozenset(kept.overrule),
            unseen=unseen.difference(identity),
        )
    if rung.upstream is not None:
        return Failover(upstream=upstreams[rung.upstream], on=on)
    assert rung.static is not None
    return Static(answer=_answer(rung.static), on=on)


def _answer(asked: config.Answer) -> Answer:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in asked.headers.items()]
    if asked.body and not any(name.lower() == b"content-type" for name, _ in headers):
        headers.insert(0, (b"Content-Type", b"application/json"))
    return Answer(status=asked.status, headers=tuple(headers), body=asked.body)


def _expect(asked: config.Expect | None) -> Expect | None:
    if asked is None:
        return None
    schema = asked.json_schema
    return Expect(
        status=None if asked.status is None else frozenset(asked.status),
        content_type=asked.content_type,
        json_equals=asked.json_equals,
        json_present=asked.json_present,
        json_schema=None if schema is None else Schema(schema.validator, schema.document),
        max_body=asked.max_body,
    )


def _header_lines(headers: Mapping[str, str | config.Secret]) -> bytes:
    lines = []
    for name, value in headers.items():
        text = value if isinstance(value, str) else value.reveal()
        lines.append(f"{name}: {text}\r\n".encode("latin-1"))
    return b"".join(lines)


def _authority(endpoint: config.Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    default = 443 if endpoint.scheme == "https" else 80
    return host if endpoint.port == default else f"{host}:{endpoint.port}"
