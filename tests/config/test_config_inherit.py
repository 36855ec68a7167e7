"""`defaults` under each route: what is merged, what is replaced, where mistakes are told."""

from collections.abc import Callable

from sidecar.config import Config

TEXT = """\
upstreams: {u: {endpoints: ["http://h:1"]}}
defaults:
  upstream: u
  critical: true
  timeout: {total: 8s, attempt: 3s}
  retry: {on: [reset, 503], backoff: {base: 10ms}}
  bulkhead: {in_flight: 7}
  expect: {json_equals: {/code: 0, /ok: true}}
  unavailable: {status: 502, json: {error_code: SHARED, more: 1}}
routes:
  - {name: plain, match: {path: /a}}
  - name: own
    match: {path: /b}
    critical: false
    timeout: {attempt: 2s}
    retry: {on: [504], backoff: {max: 5s}}
    bulkhead: ~
    expect: {json_equals: {/code: 1}}
    unavailable: {json: {error_code: OWN}}
"""


def test_the_route_wins_key_by_key(accepted: Callable[..., Config]) -> None:
    """Mappings are merged to any depth; lists and free documents are replaced whole; null takes away."""
    plain, own = accepted(TEXT).routes
    assert (plain.upstream, plain.critical, plain.timeout.attempt, plain.timeout.total) == (
        "u",
        True,
        3.0,
        8.0,
    )
    assert (own.upstream, own.critical, own.timeout.attempt, own.timeout.total) == ("u", False, 2.0, 8.0)
    assert own.retry.on == (504,)
    assert (own.retry.backoff.base, own.retry.backoff.max) == (0.01, 5.0)
    assert plain.bulkhead is not None
    assert own.bulkhead is None
    assert own.expect is not None
    assert own.expect.json_equals == {"/code": 1}
    assert own.unavailable is not None
    assert (own.unavailable.status, own.unavailable.body) == (502, b'{"error_code": "OWN"}')


def test_what_defaults_say_counts_as_written(accepted: Callable[..., Config]) -> None:
    """A number under `defaults` is no default of ours, and its place is there."""
    config = accepted(TEXT)
    assert config.routes[1].timeout.written("total")
    assert not config.routes[1].timeout.written("idle")
    path = ("routes", 1, "timeout", "total")
    assert (config.place(path), config.path(path)) == ((5, 20), "defaults.timeout.total")
    path = ("routes", 1, "timeout", "attempt")
    assert (config.place(path), config.path(path)) == ((15, 24), "routes[1].timeout.attempt")


def test_mistakes_in_defaults_are_told_once(refused: Callable[..., list[str]]) -> None:
    """A wrong default is told where it stands, not once per route; also when every route overrides it."""
    problems = refused(TEXT.replace("total: 8s", "total: 8").replace("upstream: u", "upstream: w"))
    assert [problem.split(": ")[:2] for problem in problems] == [
        ["c.yaml:3:13", "defaults.upstream"],
        ["c.yaml:5:20", "defaults.timeout.total"],
    ]
    (problem,) = refused(TEXT.replace("in_flight: 7", "in_flight: 0").replace("/a}", "/a}, bulkhead: ~"))
    assert problem.startswith("c.yaml:7:25: defaults.bulkhead.in_flight: must be at least 1")


def test_a_merge_never_changes_what_aliases_share(accepted: Callable[..., Config]) -> None:
    """An aliased mapping that is completed in one route is not completed in the next."""
    text = """\
upstreams: {u: {endpoints: ["http://h:1"]}}
defaults: {timeout: {total: 8s}}
routes:
  - {name: a, match: {path: /a}, upstream: u, timeout: &t {attempt: 1s}}
  - {name: b, match: {path: /b}, upstream: u, timeout: *t}
"""
    config = accepted(text)
    assert [route.timeout.total for route in config.routes] == [8.0, 8.0]
    assert config.place(("routes", 1, "timeout", "attempt")) == (4, 69)
