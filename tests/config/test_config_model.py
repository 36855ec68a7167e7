"""The whole contract is understood, and what is not written is what the contract says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.config import Config, Secret
from sidecar.policy.fallback import KINDS
from sidecar.policy.retry import WORDS

Accepted = Callable[..., Config]
Refused = Callable[..., list[str]]

WHOLE = """\
listen: ["127.0.0.1:8080", "[::1]:8081"]
admin: {listen: 127.0.0.1:9901}
caller:
  timeout: 30s
  reserve: 5s
  in_sequence: [[invited-user, toggles]]
limits:
  {header_bytes: 16KiB, headers: 50, body: 1MiB, connections: 10, header_timeout: 1s, idle_timeout: 7s, body_rate: 1KiB}
access_log: {path: /tmp/a.log, format: text, sample: 50%, redact_query: false, redact: [id], headers: [X-Tenant]}
drain: {timeout: 12s}
upstreams:
  connect:
    endpoints: ["https://Connect.example.com/api/", {url: "https://[2001:DB8::1]:8443", weight: 3, priority: 1}]
    connect_timeout: 500ms
    retries_beyond: 0
    pool: {connections: 10, idle: 3, idle_timeout: 3s, max_age: 1m}
    tls: {ca: ca.pem, cert: ca.pem, key: ca.pem, server_name: Name.example, min_version: "1.3"}
    health_check: {path: /up, interval: 4s, timeout: 2s, unhealthy_after: 5, healthy_after: 6}
    ejection: {consecutive_failures: 3, for: 3s, for_max: 30s, max_share: 25%}
    slow_start: 3s
    headers: {set: {Authorization: {file: token}, X-Plain: text}, remove: [Cookie]}
  replica: {endpoints: ["http://10.0.0.7:8080"]}
defaults: {critical: true}
routes:
  - name: toggles
    match: {path: /api/toggles/, methods: [get, POST], host: Example.COM, headers: {X-App: "1"}}
    upstream: connect
    rewrite: {prefix: /v1/, host: keep}
    timeout: {attempt: 4s, total: 10s, idle: 5s}
    retry:
      attempts: 2
      on: [connect_failure, 503]
      methods: [GET]
      idempotency_key: true
      backoff: {base: 10ms, factor: 1.5, max: 1s, jitter: none}
      budget: {ratio: 0.1, per_second: 0.5}
      respect_retry_after: false
    breaker:
      share: upstream
      consecutive_failures: 0
      failure_ratio: 0.25
      window: 10s
      minimum_requests: 5
      slow_calls: {longer_than: 1s, ratio: 50%}
      open_for: 1s
      jitter: 0
      open_for_max: 10s
      probes: 2
      successes_to_close: 1
      dry_run: true
    bulkhead: {in_flight: 5, queue: 0, queue_timeout: 1s}
    expect:
      status: [200, 203]
      content_type: application/json
      json_equals: {/code: 0, "": {a: [1]}}
      max_body: 1KiB
    fallback:
      - last_known_good: {max_age: 2h, identity: [Authorization]}
        on: [open, timeout]
      - upstream: replica
    unavailable: {status: 502, json: {error_code: DOWN}, headers: {X-Why: down}}
  - name: invited-user
    match: {prefix: /api/users/}
    upstream: replica
    critical: false
    fallback: [{static: {json: []}}]
state: {last_known_good: {store: disk, path: /var/lib/kept, max_bytes: 1MiB}}
notify: [{name: on-call, webhook: 'https://h/s3cret', format: json, window: 1m, on: [fail_closed], after: 1h}]
log: {format: text, level: warning, escalate_after: 5m}
"""


@pytest.fixture
def whole(tmp_path: Path, accepted: Accepted, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Every key that works by now, with a value that is not its default."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text("not read here\n")
    (tmp_path / "token").write_text("Basic s3cret\r\n")
    return accepted(WHOLE)


def test_every_key_of_the_contract_is_read(whole: Config) -> None:
    """What is written is what the attributes hold: seconds, bytes, shares, whatever the unit was."""
    assert [(listen.host, listen.port) for listen in whole.listen] == [("127.0.0.1", 8080), ("::1", 8081)]
    assert whole.caller is not None
    assert whole.caller.in_sequence == (("invited-user", "toggles"),)
    assert whole.limits.model_dump() == {
        "header_bytes": 16384,
        "headers": 50,
        "body": 1 << 20,
        "connections": 10,
        "header_timeout": 1.0,
        "idle_timeout": 7.0,
        "body_rate": 1024,
    }
    assert (whole.access_log.redact, whole.access_log.headers) == (("id",), ("X-Tenant",))
    assert (whole.log.format, whole.log.level, whole.log.escalate_after) == ("text", "warning", 300.0)
    (receiver,) = whole.notify
    assert (receiver.name, receiver.webhook.reveal(), receiver.format) == ("on-call", "https://h/s3cret", "json")
    assert (receiver.window, receiver.on, receiver.after) == (60.0, ("fail_closed",), 3600.0)
    assert "s3cret" not in whole.model_dump_json() + repr(whole)
    assert (whole.access_log.path, whole.access_log.format, whole.access_log.sample) == (
        "/tmp/a.log",
        "text",
        0.5,
    )
    assert whole.drain.timeout == 12.0
    store = whole.state.last_known_good
    assert (store.store, store.path, store.max_bytes) == ("disk", "/var/lib/kept", 1 << 20)


def test_an_upstream_of_the_contract(whole: Config) -> None:
    """URLs come in parts, hosts in lower case, secrets as a type that hides them."""
    upstream = whole.upstreams["connect"]
    first, second = upstream.endpoints
    assert (first.scheme, first.host, first.port, first.base_path) == (
        "https",
        "connect.example.com",
        443,
        "/api",
    )
    assert (second.scheme, second.host, second.port, second.base_path) == ("https", "2001:db8::1", 8443, "")
    assert (upstream.connect_timeout, upstream.retries_beyond) == (0.5, 0)
    assert (upstream.ejection.for_, upstream.ejection.for_max, upstream.ejection.max_share) == (
        3.0,
        30.0,
        0.25,
    )
    assert [(one.weight, one.priority) for one in upstream.endpoints] == [(1, 0), (3, 1)]
    check = upstream.health_check
    assert check is not None
    assert (check.path, check.interval, check.timeout) == ("/up", 4.0, 2.0)
    assert (check.unhealthy_after, check.healthy_after, upstream.slow_start) == (5, 6, 3.0)
    assert upstream.tls.ca is not None
    assert Path(upstream.tls.ca).name == "ca.pem"
    assert (upstream.tls.server_name, upstream.tls.min_version) == ("name.example", "1.3")
    assert upstream.headers.set == {"Authorization": Secret("Basic s3cret"), "X-Plain": "text"}
    assert upstream.headers.remove == ("Cookie",)


def test_a_route_of_the_contract(whole: Config) -> None:
    """Every policy of a route, and what defaults add to another."""
    route, other = whole.routes
    assert route.critical
    assert not other.critical
    assert route.match.model_dump(exclude_none=True) == {
        "path": "/api/toggles/",
        "methods": ("GET", "POST"),
        "host": "example.com",
        "headers": {"X-App": "1"},
    }
    assert (route.timeout.attempt, route.timeout.total, route.timeout.idle) == (4.0, 10.0, 5.0)
    assert (route.retry.attempts, route.retry.on, route.retry.methods) == (
        2,
        ("connect_failure", 503),
        ("GET",),
    )
    assert (route.retry.backoff.factor, route.retry.budget.per_second) == (1.5, 0.5)
    assert route.breaker.slow_calls is not None
    assert (route.breaker.jitter, route.breaker.slow_calls.ratio) == (0.0, 0.5)
    assert route.bulkhead is not None
    assert route.bulkhead.in_flight == 5
    assert route.expect is not None
    assert (route.expect.status, route.expect.json_equals) == ((200, 203), {"/code": 0, "": {"a": [1]}})
    kept, failover = route.fallback
    assert kept.last_known_good is not None
    assert (kept.last_known_good.max_age, kept.last_known_good.identity, kept.on) == (
        7200.0,
        ("Authorization",),
        ("open", "timeout"),
    )
    assert failover.upstream == "replica"
    assert route.unavailable is not None
    assert (route.unavailable.status, route.unavailable.body) == (502, b'{"error_code": "DOWN"}')
    static = other.fallback[0].static
    assert static is not None
    assert (static.status, static.body) == (200, b"[]")


def test_a_route_of_three_lines_has_the_contracts_defaults(minimal: str, accepted: Accepted) -> None:
    """What is not written is exactly what the contract says: a deadline, a breaker, no retry."""
    config = accepted(minimal)
    absent = ("caller", "tracing")
    assert [getattr(config, key) for key in absent] == [None, None]
    dumped: dict[str, Any] = json.loads(config.model_dump_json(exclude_none=True))
    assert dumped == {
        "listen": [{"address": "127.0.0.1:8080", "reuse_port": False}],
        "admin": {"listen": {"address": "127.0.0.1:9901"}},
        "limits": {
            "header_bytes": 32 * 1024,
            "headers": 100,
            "body": 10 << 20,
            "connections": 1000,
            "header_timeout": 10.0,
            "idle_timeout": 75.0,
            "body_rate": 128,
        },
        "log": {"format": "json", "level": "info", "escalate_after": 600.0},
        "access_log": {"path": "-", "format": "json", "sample": 1.0, "redact_query": True, "headers": []},
        "drain": {"timeout": 30.0, "quiet": 1.0},
        "upstreams": {
            "u": {
                "endpoints": [{"url": "http://127.0.0.1:9000", "weight": 1, "priority": 0}],
                "connect_timeout": 1.0,
                "retries_beyond": 2,
                "pool": {"connections": 100, "idle": 32, "idle_timeout": 30.0, "max_age": 600.0},
                "tls": {"min_version": "1.2"},
                "ejection": {"consecutive_failures": 5, "for": 30.0, "for_max": 300.0, "max_share": 0.5},
                "slow_start": 10.0,
                "headers": {"set": {}, "remove": []},
            }
        },
        "defaults": dumped["defaults"],
        "routes": [
            {
                "name": "r",
                "match": {"path": "/r", "methods": [], "headers": {}},
                "upstream": "u",
                "critical": False,
                "timeout": {"total": 15.0, "attempt": 15.0, "idle": 60.0},
                "retry": {
                    "attempts": 1,
                    "on": ["connect_failure", "reset", "timeout", 408, 429, 502, 503, 504],
                    "methods": ["GET", "HEAD", "OPTIONS"],
                    "idempotency_key": False,
                    "backoff": {"base": 0.025, "factor": 2.0, "max": 0.25, "jitter": "full"},
                    "budget": {"ratio": 0.2, "per_second": 1.0},
                    "respect_retry_after": True,
                },
                "breaker": {
                    "enabled": True,
                    "share": "route",
                    "consecutive_failures": 5,
                    "failure_ratio": 0.5,
                    "window": 30.0,
                    "minimum_requests": 20,
                    "open_for": 5.0,
                    "jitter": 0.2,
                    "open_for_max": 60.0,
                    "probes": 1,
                    "successes_to_close": 2,
                    "dry_run": False,
                },
                "upgrade": ["websocket"],
                "fallback": [],
            }
        ],
        "state": {"last_known_good": {"store": "memory", "path": "/var/lib/sidecar", "max_bytes": 64 << 20}},
        "notify": [],
    }


def test_keys_of_policies_that_are_absent_have_defaults_too(minimal: str, accepted: Accepted) -> None:
    """Once `bulkhead: {}` is written, its keys are the contract's; so with the others."""
    more = """\
    bulkhead: {}
    breaker: {slow_calls: {}}
    expect: {}
    fallback: [{last_known_good: {}}]
caller: {}
"""
    config = accepted(minimal + more)
    (route,) = config.routes
    assert config.caller is not None
    assert route.bulkhead is not None
    assert route.breaker.slow_calls is not None
    assert route.expect is not None
    assert route.fallback[0].last_known_good is not None
    assert (config.caller.timeout, config.caller.reserve, config.caller.in_sequence) == (30.0, 5.0, ())
    assert (route.bulkhead.in_flight, route.bulkhead.queue, route.bulkhead.queue_timeout) == (100, 0, 0.1)
    assert (route.breaker.slow_calls.longer_than, route.breaker.slow_calls.ratio) == (2.0, 0.8)
    assert (route.expect.status, route.expect.content_type, route.expect.max_body) == (None, None, 1 << 20)
    assert (route.fallback[0].last_known_good.max_age, route.fallback[0].last_known_good.identity) == (
        3600.0,
        (),
    )


def test_the_attempt_timeout_follows_the_total(minimal: str, accepted: Accepted) -> None:
    """Without one, an attempt may take the whole deadline; it does not count as written."""
    (route,) = accepted(f"{minimal}    timeout: {{total: 1500ms}}\n").routes
    assert route.timeout.attempt == 1.5
    assert not route.timeout.written("attempt")


LATER = {
    "state: {last_known_good: {store: redis}}": "state.last_known_good.store",
    "state: {shared: {redis: 'redis://h', quorum: 50%}}": "state.shared",
}


@pytest.mark.parametrize(("text", "path"), [(f"{text}\n", path) for text, path in LATER.items()])
def test_what_does_not_work_yet_is_refused(
    text: str, path: str, minimal: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of the contract without behaviour is valid, and refused as not yet supported: never ignored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("content")
    (problem,) = refused(minimal + text)
    assert f" {path}: " in problem
    assert "not yet supported" in problem


def test_models_are_frozen(minimal: str, accepted: Accepted) -> None:
    """Nothing changes a configuration once it is loaded."""
    config = accepted(minimal)
    with pytest.raises(ValidationError):
        config.routes[0].timeout.total = 1.0


def test_the_words_are_the_policies_own() -> None:
    """`retry.on` and a rung's `on` know exactly the words that the policies know."""
    schema = json.dumps(Config.model_json_schema())
    assert all(word in schema for word in [*WORDS, *KINDS])


def test_body_is_the_documents_plain_json(minimal: str, accepted: Accepted) -> None:
    """Exact bytes: Python's default separators, ASCII escapes, keys in file order."""
    json_text = 'json: {error_code: X, b: [1, 2.5, ~, true, "é"], a: {}}'
    (route,) = accepted(f"{minimal}    unavailable: {{{json_text}}}\n").routes
    assert route.unavailable is not None
    assert route.unavailable.body == b'{"error_code": "X", "b": [1, 2.5, null, true, "\\u00e9"], "a": {}}'


def test_an_answer_without_body(minimal: str, accepted: Accepted) -> None:
    """204 has no document and no bytes; a null document is the text `null`."""
    (route,) = accepted(f"{minimal}    fallback: [{{static: {{status: 204}}}}, {{static: {{json: ~}}}}]\n").routes
    bodies = [rung.static.body for rung in route.fallback if rung.static is not None]
    assert bodies == [b"", b"null"]


def test_protocols_to_switch_to_are_read_in_any_case(minimal: str, accepted: Accepted) -> None:
    """Names, with versions where they matter; none is a choice as well."""
    (route,) = accepted(minimal + "    upgrade: [WebSocket, TLS/1.3]\n").routes
    assert route.upgrade == ("websocket", "tls/1.3")
    (route,) = accepted(minimal + "    upgrade: []\n").routes
    assert route.upgrade == ()
