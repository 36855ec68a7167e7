"""Configuration to objects: what is written arrives, and nothing that is written is without effect."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from sidecar import config
from sidecar.app import build
from sidecar.app.build import Builder, Built
from sidecar.config import policies, route, upstream
from sidecar.config.base import NotYet
from sidecar.observer import Silent
from sidecar.policy.answer import Answer
from sidecar.policy.fallback import Failover, LastKnownGood, Static

UPSTREAMS = """
upstreams:
  a: {endpoints: ["http://a.test:8001/v1", "http://[::1]:80"]}
  b: {endpoints: ["http://b.test"]}
"""

PARTS = (
    "AdaptiveLimit",
    "Bulkhead",
    "Breaker",
    "Dialer",
    "Ejection",
    "Expect",
    "Match",
    "Pool",
    "RateLimit",
    "Retry",
    "RetryBudget",
    "Rewrite",
)
"""What a builder makes, by the name it knows it under."""

Made = dict[str, list[dict[str, Any]]]


class World:
    """A builder whose parts are real, and whose calls are on record."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: Made = {name: [] for name in PARTS}
        self._path = tmp_path / "sidecar.yaml"
        (tmp_path / "schema.json").write_text('{"type": "object"}')
        for name in PARTS:
            monkeypatch.setattr(build, name, self._recorded(name, getattr(build, name)))

    def _recorded(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def record(*args: Any, **kwargs: Any) -> Any:
            told = {key: value for key, value in kwargs.items() if key not in ("clock", "rng", "on_change", "budget")}
            self.made[name].append({**told, **({"": args[0]} if args else {})})
            return make(*args, **kwargs)

        return record

    def build(self, text: str) -> Built:
        """The objects of a configuration; forgets what was made before."""
        for calls in self.made.values():
            calls.clear()
        self._path.write_text(text)
        return Builder(observer=Silent(), clock=lambda: 0.0, rng=Random(1)).build(config.load(self._path))

    def route(self, more: str) -> Built:
        """The objects of one route with these keys."""
        return self.build(f"{UPSTREAMS}routes: [{{name: r, match: {{prefix: /p/}}, upstream: a, {more}}}]\n")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A recording builder."""
    return World(tmp_path, monkeypatch)


def test_a_breaker_gets_every_number(world: World) -> None:
    """All of them, in seconds and shares; the lease outlives the longest attempt."""
    world.route(
        "timeout: {attempt: 4s, total: 10s}, breaker: {consecutive_failures: 7, failure_ratio: 40%, window: 20s,"
        " minimum_requests: 9, slow_calls: {longer_than: 3s, ratio: 70%}, open_for: 6s, jitter: 10%,"
        " open_for_max: 50s, probes: 2, successes_to_close: 3, dry_run: true}"
    )
    (told,) = world.made["Breaker"]
    assert told.pop("lease") > 4.0
    assert told == {
        "consecutive_failures": 7,
        "failure_ratio": 0.4,
        "window": 20.0,
        "minimum_requests": 9,
        "slow_longer_than": 3.0,
        "slow_ratio": 0.7,
        "open_for": 6.0,
        "jitter": 0.1,
        "open_for_max": 50.0,
        "probes": 2,
        "successes_to_close": 3,
        "dry_run": True,
    }


def test_retries_get_every_number(world: World) -> None:
    """What, which methods, how long to wait; and the budget is the upstream's."""
    built = world.route(
        "retry: {attempts: 3, on: [reset, 503], methods: [GET, PUT], idempotency_key: true, backoff: {base: 10ms,"
        " factor: 3, max: 1s, jitter: none}, budget: {ratio: 30%, per_second: 4}, respect_retry_after: false}"
    )
    assert world.made["Retry"] == [
        {
            "attempts": 3,
            "on": frozenset({"reset", 503}),
            "methods": frozenset({b"GET", b"PUT"}),
            "idempotency_key": True,
            "base": 0.01,
            "factor": 3.0,
            "cap": 1.0,
            "jitter": False,
            "respect_retry_after": False,
            "hedge": None,
        }
    ]
    assert world.made["RetryBudget"][0] == {"ratio": 0.3, "per_second": 4.0}
    assert built.routes[0].retry._budget is built.upstreams["a"].budget


def test_a_route_gets_its_times_and_its_ladder(world: World) -> None:
    """Times in seconds; rungs in order, identity in lower case; answers with their exact bytes."""
    built = world.route(
        "timeout: {attempt: 1s, total: 3s, idle: 7s}, critical: false, bulkhead: {in_flight: 5},"
        " fallback: [{last_known_good: {max_age: 2m, identity: [X-User, Authorization]}, on: [open, timeout]},"
        " {upstream: b, on: [connect]}, {static: {status: 203, json: [1], headers: {X-A: b}}}],"
        " unavailable: {status: 599, json: {a: 1}, headers: {Content-Type: text/plain}}"
    ).routes[0]
    assert (built.name, built.total, built.attempt_timeout, built.idle, built.critical) == ("r", 3.0, 1.0, 7.0, False)
    (bulkhead,) = world.made["Bulkhead"]
    assert bulkhead == {"": 5, "queue": 0, "queue_timeout": 0.1, "adaptive": None}
    kept, other, fixed = built.ladder
    assert isinstance(kept, LastKnownGood)
    assert (kept.max_age, kept.identity, kept.on) == (120.0, (b"authorization", b"x-user"), {"open", "timeout"})
    assert (kept.overrule, kept.unseen) == (frozenset(), frozenset())
    assert isinstance(other, Failover)
    assert (other.upstream.name, other.on) == ("b", {"connect"})
    assert isinstance(fixed, Static)
    assert fixed.answer == Answer(203, ((b"Content-Type", b"application/json"), (b"X-A", b"b")), b"[1]")
    assert built.unavailable == Answer(599, ((b"Content-Type", b"text/plain"),), b'{"a": 1}')
    assert world.route("critical: true").routes[0].critical


def test_a_rung_knows_what_the_upstream_never_sees(world: World) -> None:
    """Headers that the configuration removes or replaces can't bear on the answer, unless they are declared to."""
    headers = "headers: {remove: [Cookie], set: {X-Team: t, X-User: u}}"
    built = world.build(
        f'upstreams: {{a: {{endpoints: ["http://a.test"], {headers}}}}}\n'
        "routes: [{name: r, match: {prefix: /}, upstream: a, fallback: [{last_known_good:"
        " {identity: [X-User], overrule: [no-cache, private]}}]}]\n"
    )
    (kept,) = built.routes[0].ladder
    assert isinstance(kept, LastKnownGood)
    assert kept.unseen == {b"cookie", b"x-team"}
    assert kept.overrule == {"no-cache", "private"}


def test_expect_gets_every_condition(world: World) -> None:
    """Statuses, type, pointers, schema, size."""
    conditions = "content_type: text/x, json_equals: {/a: 1}, json_present: [/b], json_schema: schema.json"
    world.route(f"expect: {{status: [200, 201], {conditions}, max_body: 1KiB}}")
    (told,) = world.made["Expect"]
    schema = told.pop("json_schema")
    assert (schema.wrong({}), schema.wrong([]) != "") == ("", True)
    assert told == {
        "status": frozenset({200, 201}),
        "content_type": "text/x",
        "json_equals": {"/a": 1},
        "json_present": ("/b",),
        "max_body": 1024,
    }


def test_a_match_gets_every_condition(world: World) -> None:
    """One of the three forms, and the conditions in the spelling that requests are compared with."""
    conditions = "methods: [GET, PUT], host: App.test, headers: {X-Kind: v}"
    for form in ("path: /x", "prefix: /x", 'regex: "/x.*"'):
        world.build(f"{UPSTREAMS}routes: [{{name: r, match: {{{form}, {conditions}}}, upstream: a}}]\n")
        (told,) = world.made["Match"]
        given = {key: value for key, value in told.items() if value is not None}
        key, value = form.split(": ")
        expected = value.strip('"')
        assert given == {
            key: expected if key == "regex" else expected.encode(),
            "methods": frozenset({b"GET", b"PUT"}),
            "host": b"app.test",
            "headers": {b"x-kind": b"v"},
        }


def test_a_rewrite_knows_what_it_replaces(world: World) -> None:
    """The length of what matched, the bytes that stand in for it, and whose Host is sent."""
    assert world.route("rewrite: {prefix: /new/, host: keep}").routes[0].plan is not None
    assert world.made["Rewrite"] == [
        {"matched": 3, "replacement": b"/new/", "keep_host": True, "looks_inside": False},
    ]
    assert world.route("critical: false").routes[0].plan is None
    assert world.route("expect: {content_type: application/json}").routes[0].plan is not None
    assert world.made["Rewrite"][-1] == {"looks_inside": True}
    assert world.route("expect: {content_type: text/plain}").routes[0].plan is None


def test_an_upstream_gets_everything_about_its_endpoints(world: World, tmp_path: Path) -> None:
    """Addresses, connections, ejection and header lines of each endpoint."""
    (tmp_path / "secret").write_text("s3cret")
    built = world.build(
        f"""
upstreams:
  a:
    endpoints: ["http://a.test:8001/v1", "http://[::1]:80", "http://b.test"]
    connect_timeout: 2s
    pool: {{connections: 11, idle: 3, idle_timeout: 4s, max_age: 5m}}
    ejection: {{consecutive_failures: 6, for: 7s, for_max: 80s, max_share: 20%}}
    headers: {{set: {{X-Key: {{file: "{tmp_path}/secret"}}, X-B: c}}, remove: [Cookie]}}
routes: [{{name: r, match: {{prefix: /}}, upstream: a}}]
"""
    )
    pool = {"connections": 11, "idle": 3, "idle_timeout": 4.0, "max_age": 300.0}
    assert [{key: told[key] for key in pool} for told in world.made["Pool"]] == [pool] * 3
    dialled = [(told["host"], told["port"], told["connect_timeout"], told["tls"]) for told in world.made["Dialer"]]
    assert dialled == [("a.test", 8001, 2.0, None), ("::1", 80, 2.0, None), ("b.test", 80, 2.0, None)]
    assert world.made["Ejection"] == [{"consecutive_failures": 6, "base": 7.0, "cap": 80.0, "max_share": 0.2}]
    targets: Any = built.upstreams["a"].endpoints
    assert [target.authority for target in targets] == [b"a.test:8001", b"[::1]", b"b.test"]
    assert [target.base_path for target in targets] == [b"/v1", b"", b""]
    assert {target.added for target in targets} == {b"X-Key: s3cret\r\nX-B: c\r\n"}
    assert {target.removed for target in targets} == {frozenset({b"cookie", b"x-key", b"x-b"})}
    assert [pool.name for pool in built.pools["a"]] == ["http://a.test:8001/v1", "http://[::1]:80", "http://b.test"]


def test_an_upstream_gets_everything_about_who_is_asked(world: World) -> None:
    """Weights, priorities, slow start; and a check of each endpoint, on a dialer of its own."""
    built = world.build(
        """
upstreams:
  a:
    endpoints: [{url: "http://a.test/v1", weight: 0}, {url: "http://b.test", weight: 7, priority: 2}]
    health_check: {path: /up, interval: 4s, timeout: 3s, unhealthy_after: 5, healthy_after: 6}
    slow_start: 9s
  b: {endpoints: ["http://c.test"]}
routes: [{name: r, match: {prefix: /}, upstream: a}]
"""
    )
    upstream = built.upstreams["a"]
    assert [(one.weight, one.priority) for one in upstream.endpoints] == [(0, 0), (7, 2)]
    assert (upstream._slow_start, upstream._check_every) == (9.0, 4.0)
    healths = [one.health for one in upstream.endpoints]
    assert [(one._unhealthy_after, one._healthy_after) for one in healths if one is not None] == [(5, 6)] * 2
    assert healths[0] is not healths[1]
    assert [check.name for check in built.checks] == ["check http://a.test/v1", "check http://b.test"]
    assert {(check._interval, check._timeout) for check in built.checks} == {(4.0, 3.0)}
    assert [check._request.partition(b" HTTP")[0] for check in built.checks] == [b"GET /v1/up", b"GET /up"]
    assert [told["host"] for told in world.made["Dialer"]] == ["a.test", "b.test", "a.test", "b.test", "c.test"]
    assert [one.health for one in built.upstreams["b"].endpoints] == [None]
    assert (built.upstreams["b"]._slow_start, built.upstreams["b"]._check_every) == (10.0, 0.0)


def test_an_https_endpoint_is_verified_by_the_name_it_should_have(world: World) -> None:
    """SNI and verification use the endpoint's host, or `server_name`; contexts are shared between equal settings."""
    built = world.build(
        """
upstreams:
  a: {endpoints: ["https://a.test"]}
  b: {endpoints: ["https://b.test:444"], tls: {server_name: c.test, min_version: "1.3"}}
  c: {endpoints: ["https://c.test"]}
routes: [{name: r, match: {prefix: /}, upstream: a}]
"""
    )
    told = world.made["Dialer"]
    assert [(one["server_name"], one["port"]) for one in told] == [("a.test", 443), ("c.test", 444), ("c.test", 443)]
    contexts = [one["tls"]._renewal.context for one in told]
    assert contexts[0] is contexts[2] is not contexts[1]
    assert len({one["tls"] for one in told}) == 3  # sessions are each dialer's own
    assert list(built.renewals.values()) == [["a", "c"], ["b"]]


def test_breakers_are_shared_only_by_routes_that_say_so(world: World) -> None:
    """`share: upstream` is one breaker for all that say it, its lease outlives the slowest; others have their own."""
    lines = [
        f"  - {{name: {name}, match: {{path: /{name}}}, upstream: {target}, timeout: {{total: {total}}},"
        f" breaker: {breaker}}}"
        for name, target, total, breaker in (
            ("one", "a", "1s", "{share: upstream}"),
            ("two", "a", "9s", "{share: upstream}"),
            ("three", "b", "1s", "{share: upstream}"),
            ("own", "a", "1s", "{}"),
            ("none", "a", "1s", "{enabled: false}"),
        )
    ]
    built = world.build(UPSTREAMS + "routes:\n" + "\n".join(lines) + "\n")
    one, two, three, own, none = (route.breaker for route in built.routes)
    assert one is two
    assert len({id(breaker) for breaker in (one, three, own)}) == 3
    assert none is None
    assert [told["lease"] > least for told, least in zip(world.made["Breaker"], (9.0, 1.0, 1.0), strict=True)] == [
        True
    ] * 3


def test_the_strictest_route_sets_an_upstreams_budget(world: World) -> None:
    """Retries to one upstream share a budget: no route may loosen what another asked for."""
    budgets = ("{ratio: 50%, per_second: 1}", "{ratio: 10%, per_second: 3}")
    lines = [
        f"  - {{name: r{number}, match: {{path: /{number}}}, upstream: a, retry: {{budget: {budget}}}}}\n"
        for number, budget in enumerate(budgets)
    ]
    world.build(UPSTREAMS + "routes:\n" + "".join(lines))
    assert world.made["RetryBudget"][0] == {"ratio": 0.1, "per_second": 1.0}


# No key is without effect.

CHANGES = {
    "critical": "true",
    "upstream": "b",
    "timeout": {"total": "3s", "attempt": "1s", "idle": "1s"},
    "rewrite": {"prefix": "/x/", "host": "keep"},
    "rate_limit": {"per_second": "9", "burst": "9"},
    "bulkhead": {"in_flight": "3", "queue": "3", "queue_timeout": "9ms", "adaptive": "true"},
    "unavailable": {"status": "599", "json": "{a: 2}", "headers": "{X-A: b}"},
    "expect": {
        "status": "[201]",
        "content_type": "text/x",
        "json_equals": "{/a: 1}",
        "json_present": "[/a]",
        "json_schema": "schema.json",
        "max_body": "2KiB",
    },
    "retry": {
        "attempts": "2",
        "on": "[500]",
        "methods": "[PUT]",
        "idempotency_key": "true",
        "respect_retry_after": "false",
        "backoff": {"base": "1ms", "factor": "3", "max": "9s", "jitter": "none"},
        "budget": {"ratio": "1%", "per_second": "9"},
        "hedge": {"after": "9ms"},
    },
    "breaker": {
        "enabled": "false",
        "consecutive_failures": "9",
        "failure_ratio": "9%",
        "window": "9s",
        "minimum_requests": "9",
        "open_for": "9s",
        "jitter": "9%",
        "open_for_max": "99s",
        "probes": "9",
        "successes_to_close": "9",
        "dry_run": "true",
        "slow_calls": {"longer_than": "9s", "ratio": "9%"},
    },
}
"""A value other than the default for every key of a route but the ladder's and the match's (tested above)."""

NEEDS = {"unavailable": "json: 1", "rate_limit": "", "bulkhead": "", "expect": "", "rewrite": ""}
"""What an optional policy needs besides, to be compared with."""


def _keys(changes: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    found = []
    for key, value in changes.items():
        if isinstance(value, dict):
            found += _keys(value, (*path, key))
        else:
            found.append(((*path, key), value))
    return found


def _nested(path: tuple[str, ...], value: str) -> str:
    text = value
    for key in reversed(path[1:]):
        text = f"{{{key}: {text}}}"
    base = NEEDS.get(path[0], "")
    if base and path[-1] != base.partition(":")[0]:
        text = f"{{{base}, {text[1:]}"
    return f"{path[0]}: {text}"


def _without(path: tuple[str, ...]) -> str:
    """The same policy, there but with its defaults."""
    if path[0] in NEEDS:
        return f"{path[0]}: {{{NEEDS[path[0]]}}}"
    return "breaker: {slow_calls: {}}" if "slow_calls" in path else "critical: false"


def _shape(world: World, built: Built) -> Any:
    one = built.routes[0]
    values = (one.upstream.name, one.total, one.attempt_timeout, one.idle, one.critical, one.unavailable)
    return values, {name: [dict(told) for told in calls] for name, calls in world.made.items()}


@pytest.mark.parametrize(
    ("path", "value"), _keys(CHANGES), ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
def test_every_key_of_a_route_has_an_effect(world: World, path: tuple[str, ...], value: str) -> None:
    """Written with another value than its default, something that is built is different."""
    head = f"{UPSTREAMS}routes: [{{name: r, match: {{prefix: /p/}}, "
    upstream_key = "" if path == ("upstream",) else "upstream: a, "
    before = _shape(world, world.route(_without(path)))
    after = _shape(world, world.build(f"{head}{upstream_key}{_nested(path, value)}}}]\n"))
    assert after != before


def _supported(model: type[BaseModel]) -> set[str]:
    """The keys of a model, as written, but for those that are refused as not yet supported."""
    return {
        info.alias or name
        for name, info in model.model_fields.items()
        if not any(isinstance(mark, NotYet) for mark in _marks(info))
    }


def _marks(info: Any) -> list[Any]:
    return [*info.metadata, *(mark for part in get_args(info.annotation) for mark in get_args(part))]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (route.Rewrite, ("rewrite",)),
        (route.Expect, ("expect",)),
        (route.Answer, ("unavailable",)),
        (policies.Timeout, ("timeout",)),
        (policies.Retry, ("retry",)),
        (policies.Backoff, ("retry", "backoff")),
        (policies.Budget, ("retry", "budget")),
        (policies.Hedge, ("retry", "hedge")),
        (policies.SlowCalls, ("breaker", "slow_calls")),
        (policies.Bulkhead, ("bulkhead",)),
        (policies.RateLimit, ("rate_limit",)),
    ],
)
def test_no_key_is_forgotten_above(model: type[BaseModel], path: tuple[str, ...]) -> None:
    """A key that is added to a model fails here until it is shown to have an effect."""
    changes: Any = CHANGES
    for key in path:
        changes = changes[key]
    assert set(changes) == _supported(model)


def test_the_breakers_keys_are_all_there() -> None:
    """As above; `share` is about several routes and has a test of its own."""
    assert {*CHANGES["breaker"], "share"} == _supported(policies.Breaker)
    assert {"connections", "idle", "idle_timeout", "max_age"} == _supported(upstream.Pool)
    assert {"consecutive_failures", "for", "for_max", "max_share"} == _supported(upstream.Ejection)
    assert {"path", "interval", "timeout", "unhealthy_after", "healthy_after"} == _supported(upstream.HealthCheck)
    assert {"url", "weight", "priority"} == _supported(upstream.Endpoint)
