"""Every mistake is told with file, line, column, path, and what to write instead; all mistakes at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config import Config, ConfigError, load, parse

Refused = Callable[..., list[str]]
Accepted = Callable[..., Config]

ROUTE = [  # on line 6, column 5: more of the route
    (
        "zzzzz: 1",
        "6:5: routes[0].zzzzz: unknown key; known here: upstream, rewrite, critical, timeout, retry",
    ),
    ("tiemout: {total: 1s}", "6:5: routes[0].tiemout: unknown key; did you mean 'timeout'?"),
    ("attempts: 2", "6:5: routes[0].attempts: unknown key; did you mean 'retry.attempts'?"),
    ("timeout: {total: 5}", "6:22: routes[0].timeout.total: needs a unit: write 5s or 5ms"),
    ("timeout: {total: -5s}", "6:22: routes[0].timeout.total: '-5s' is not a duration"),
    ("timeout: {total: 1d1d367d}", "6:22: routes[0].timeout.total: is longer than 366 days"),
    ("timeout: {attempt: soon}", "6:24: routes[0].timeout.attempt: 'soon' is not a duration"),
    ("timeout: {atempt: 1s}", "6:15: routes[0].timeout.atempt: unknown key; did you mean 'attempt'?"),
    ("timeout: 5s", "6:14: routes[0].timeout: must be a mapping (key: value)"),
    ("timeout:", "6:13: routes[0].timeout: has no value: write one, or leave the key out"),
    ("critical: yes", "6:15: routes[0].critical: must be true or false"),
    ("retry: {attempts: 0}", "6:23: routes[0].retry.attempts: must be at least 1"),
    ("retry: {attempts: 11}", "6:23: routes[0].retry.attempts: must be at most 10"),
    ("retry: {attempts: two}", "6:23: routes[0].retry.attempts: must be a whole number"),
    ("retry: {attempts: 2.5}", "6:23: routes[0].retry.attempts: must be a whole number"),
    ("retry: {attempts: true}", "6:23: routes[0].retry.attempts: must be a whole number"),
    (
        "retry: {on: [conect_failure]}",
        "6:18: routes[0].retry.on[0]: 'conect_failure' is neither a status from 400",
    ),
    ("retry: {on: [200]}", "6:18: routes[0].retry.on[0]: 200 is neither a status from 400 to 599 nor one of"),
    ("retry: {on: []}", "6:13: routes[0].retry.on: must not be empty"),
    ("retry: {methods: GET}", "6:22: routes[0].retry.methods: must be a list"),
    ("retry: {methods: ['G ET']}", "6:23: routes[0].retry.methods[0]: must be a method's name"),
    (
        "retry: {backoff: {jitter: half}}",
        "6:31: routes[0].retry.backoff.jitter: must be one of 'none' or 'full'",
    ),
    ("retry: {backoff: {factor: 0}}", "6:31: routes[0].retry.backoff.factor: must lie between 1 and 100"),
    (
        "retry: {backoff: {base: 1s, max: 10ms}}",
        "6:38: routes[0].retry.backoff.max: 10ms is shorter than base",
    ),
    (
        "retry: {budget: {ratio: 20}}",
        "6:29: routes[0].retry.budget.ratio: must lie between 0 and 1; for a perc",
    ),
    (
        "retry: {budget: {per_second: fast}}",
        "6:34: routes[0].retry.budget.per_second: 'fast' is not a number",
    ),
    ("retry: {hedge: {after: 0}}", "6:28: routes[0].retry.hedge.after: must be more than 0"),
    (
        "breaker: {share: upstreem}",
        "6:22: routes[0].breaker.share: must be one of 'route' or 'upstream'; did you mea",
    ),
    ("breaker: {failure_ratio: 0}", "6:30: routes[0].breaker.failure_ratio: must be more than 0"),
    (
        "breaker: {open_for: 2m}",
        "6:5: routes[0].breaker.open_for_max: 1m is shorter than open_for: raise it too",
    ),
    ("breaker: {window: 0}", "6:23: routes[0].breaker.window: must be more than 0"),
    (
        "breaker: {slow_calls: {longer: 1s}}",
        "6:28: routes[0].breaker.slow_calls.longer: unknown key; did you mean",
    ),
    ("bulkhead: {queue: -1}", "6:23: routes[0].bulkhead.queue: must be at least 0"),
    ("bulkhead: {queue_timeout: 0}", "6:31: routes[0].bulkhead.queue_timeout: must be more than 0"),
    ("bulkhead: {adaptive: often}", "6:26: routes[0].bulkhead.adaptive: must be true or false"),
    (
        "upgrade: [h2c]",
        "6:15: routes[0].upgrade[0]: HTTP/2 is not switched to by Upgrade any more (RFC 9113): the sidecar ignores it",
    ),
    (
        "upgrade: ['web socket']",
        "6:15: routes[0].upgrade[0]: must be the name of a protocol, e.g. websocket, not 'web socket'",
    ),
    ("bulkhead: {in_flight: 0}", "6:27: routes[0].bulkhead.in_flight: must be at least 1"),
    ("rate_limit: {per_second: 0}", "6:30: routes[0].rate_limit.per_second: must lie between 0.001 and 100000"),
    ("rate_limit: {burst: 0}", "6:25: routes[0].rate_limit.burst: must be at least 1"),
    ("expect: {json_schema: /none}", "6:27: routes[0].expect.json_schema: cannot read '/none': No such f"),
    ("expect: {json_schema: 5}", "6:27: routes[0].expect.json_schema: must be text: the path of a file"),
    ("expect: {json_equals: {code: 0}}", "6:28: routes[0].expect.json_equals.code: must be a JSON pointer"),
    ("expect: {status: 200}", "6:22: routes[0].expect.status: must be a list"),
    ("expect: {status: [99]}", "6:23: routes[0].expect.status[0]: must be at least 200"),
    (
        "expect: {content_type: json}",
        "6:28: routes[0].expect.content_type: must be a media type without parameters",
    ),
    ("expect: {max_body: 5}", "6:24: routes[0].expect.max_body: needs a unit: write 5B, 5KiB or 5MiB"),
    ("fallback: {static: {}}", "6:5: routes[0].fallback: must be a list"),
    ("fallback: [{}]", "6:16: routes[0].fallback[0]: needs exactly one of last_known_good, upstream, static"),
    ("fallback: [{upstream: u}]", "6:27: routes[0].fallback[0].upstream: is the route's own upstream"),
    ("fallback: [{upstream: w}]", "6:27: routes[0].fallback[0].upstream: no upstream is named 'w'"),
    (
        "fallback: [{upstream: w, static: {json: 1}}]",
        "6:16: routes[0].fallback[0]: needs exactly one of last_known",
    ),
    (
        "fallback: [{last_known_good: {max_age: 0}}]",
        "6:44: routes[0].fallback[0].last_known_good.max_age: must be m",
    ),
    (
        "fallback: [{last_known_good: {overrule: [private]}}]",
        "6:17: routes[0].fallback[0].last_known_good: overrule: private needs identity",
    ),
    (
        "fallback: [{last_known_good: {overrule: [no-store]}}]",
        "6:46: routes[0].fallback[0].last_known_good.overrule[0]: must be one of 'no-cache'",
    ),
    (
        "fallback: [{last_known_good: {identity: [a b]}}]",
        "6:46: routes[0].fallback[0].last_known_good.identity[0]: ",
    ),
    (
        "fallback: [{static: {json: 1}, on: [opn]}]",
        "6:41: routes[0].fallback[0].on[0]: must be one of 'open', 'timeo",
    ),
    ("unavailable: {status: 503}", "6:5: routes[0].unavailable: needs json"),
    ("unavailable: {status: 204, json: 1}", "6:5: routes[0].unavailable: status 204 has no body"),
    (
        'unavailable: {json: 1, headers: {X: "a\\nb"}}',
        "6:41: routes[0].unavailable.headers.X: a header's value must",
    ),
    (
        "unavailable: {json: 1, headers: {Content-Length: '1'}}",
        "6:28: routes[0].unavailable.headers: Content-Length i",
    ),
    (
        "unavailable: {json: 1, headers: {A: 'x', a: 'y'}}",
        "6:28: routes[0].unavailable.headers: names the same head",
    ),
    ("rewrite: {prefix: x}", "6:23: routes[0].rewrite.prefix: must be a path that starts with '/'"),
    ("rewrite: {host: keepit}", "6:21: routes[0].rewrite.host: must be one of 'keep' or 'upstream'"),
    ("name: again", "6:5: routes[0].name: duplicate key: 'name' is already on line 3"),
]

TOP = [  # on line 6, column 1: more of the file
    ("callr: {}", "6:1: callr: unknown key; did you mean 'caller'?"),
    ("listen: 8080", "6:9: listen: must be text: host:port"),
    ("listen: localhost", "6:9: listen: has no port: write host:port"),
    ("listen: 'host:99999'", "6:9: listen: '99999' is not a port from 0 to 65535"),
    ("listen: '::1:80'", "6:9: listen: '::1:80' is not host:port; an IPv6 address stands in brackets"),
    ("listen: unix:x.sock", "6:9: listen: a unix socket needs an absolute path: unix:/run/sidecar.sock"),
    (f"listen: unix:/{'x' * 107}", "6:9: listen: the path of a unix socket has at most 107 bytes"),
    ("listen: [unix:/x, a:1, unix:/x]", "6:1: listen: the same address is listed twice"),
    ("listen: {address: a:1, mode: '0600'}", "6:1: listen: mode is for unix sockets: leave it out"),
    ("listen: {address: unix:/x, reuse_port: true}", "6:1: listen: reuse_port is for host:port: leave it out"),
    ("listen: {address: unix:/x, mode: 0600}", "6:34: listen.mode: must be an octal mode such as '0660', not 600; wri"),
    ("admin: {listen: unix:/x}", "6:17: admin.listen: must be host:port: a unix socket does not serve here"),
    ("admin: {listen: {address: a:1, tls: {}}}", "6:32: admin.listen.tls: unknown key"),
    ("listen: [a:1, b:2, a:1]", "6:1: listen: the same address is listed twice"),
    (
        "listen: {address: a:1, tls: {cert: /none, key: /none}}",
        "6:36: listen.tls.cert: cannot read '/none': No such f",
    ),
    ("listen: {adress: a:1}", "6:10: listen.adress: unknown key; did you mean 'address'?"),
    ("admin: {token: abc}", "6:16: admin.token: must be 8 to 4096 printable ASCII characters"),
    ("admin: {token: 'two words'}", "6:16: admin.token: must be 8 to 4096 printable ASCII characters"),
    ("admin: {token: {file: /none}}", "6:9: admin.token: cannot read '/none': No such f"),
    ("caller: {timeout: 5s}", "6:1: caller.reserve: 5s leaves nothing of caller.timeout"),
    ("caller: {in_sequence: [[r, s]]}", "6:28: caller.in_sequence[0][1]: no route is named 's'"),
    ("caller: {in_sequence: [[]]}", "6:24: caller.in_sequence[0]: must not be empty"),
    ("limits: {header_bytes: 10B}", "6:24: limits.header_bytes: must be at least 1KiB"),
    ("limits: {connections: many}", "6:23: limits.connections: must be a whole number"),
    ("access_log: {format: xml}", "6:22: access_log.format: must be one of 'json' or 'text'"),
    (
        "access_log: {sample: 5}",
        "6:22: access_log.sample: must lie between 0 and 1; for a percentage write 5%",
    ),
    ("access_log: {path: ''}", "6:20: access_log.path: must not be empty"),
    ("drain: {timeout: 5}", "6:18: drain.timeout: needs a unit"),
    ("defaults: {name: x}", "6:12: defaults.name: belongs to a route alone"),
    ("defaults: {timeout: {total: 1}}", "6:29: defaults.timeout.total: needs a unit"),
    ("defaults: {breaker: {windw: 1s}}", "6:22: defaults.breaker.windw: unknown key; did you mean 'window'?"),
    ("defaults: []", "6:1: defaults: must be a mapping"),
    (
        "state: {last_known_good: {store: redis}}",
        "6:34: state.last_known_good.store: redis is not yet supported",
    ),
    (
        "state: {last_known_good: {store: disk, path: state}}",
        "6:46: state.last_known_good.path: must be a directory's whole path",
    ),
    ("state: {shared: {redis: 'redis://h'}}", "6:9: state.shared: this key is not yet supported"),
    ("tracing: {otlp: 'c:4318'}", "6:17: tracing.otlp: is not a URL"),
    ("tracing: {otlp: 'http://u:p@c:4318'}", "6:17: tracing.otlp: holds credentials"),
    ('tracing: {headers: {X: "a\\nb"}}', "6:24: tracing.headers.X: a header's value must not hold line breaks"),
    ("notify: [{webhook: 'ftp://h/x'}]", "6:20: notify[0].webhook: is not a URL of http or https"),
    ("notify: [{webhook: 'https:///x'}]", "6:20: notify[0].webhook: is not a URL of http or https"),
    ("notify: [{webhook: 'https://[h/x'}]", "6:20: notify[0].webhook: is not a URL of http or https"),
    ("notify: [{webhook: 'https://h/a b'}]", "6:20: notify[0].webhook: is not a URL of http or https"),
    (
        "notify: [{webhook: 'https://h/x'}, {webhook: 'https://h/y', name: '0'}]",
        "6:1: notify: two receivers have the same name",
    ),
    (
        "access_log: {headers: [X-Tenant, Cookie]}",
        "6:14: access_log.headers: Cookie holds credentials by its name: it is never logged",
    ),
    ("log: {level: loud}", "6:14: log.level: must be one of"),
    ("upstreams: {}", "6:1: upstreams: duplicate key"),
]

UPSTREAM = [  # on line 3, column 5: more of the upstream
    ("endpoints: []", "3:5: upstreams.u.endpoints: must not be empty"),
    ("endpoints: [ftp://h]", "3:17: upstreams.u.endpoints[0]: the scheme must be http or https"),
    ("endpoints: [example.com]", "3:17: upstreams.u.endpoints[0]: is not a URL"),
    ("endpoints: ['http://u:p@h']", "3:17: upstreams.u.endpoints[0]: holds credentials"),
    ("endpoints: ['http://h?q=1']", "3:17: upstreams.u.endpoints[0]: has a query or fragment"),
    ("endpoints: ['http://h:0']", "3:17: upstreams.u.endpoints[0]: '0' is not a port from 1 to 65535"),
    ("endpoints: ['http://']", "3:17: upstreams.u.endpoints[0]: has no host"),
    ("endpoints: ['http://[::g]']", "3:17: upstreams.u.endpoints[0]: '::g' is not an IP address"),
    ("endpoints: ['http://1.2.3']", "3:17: upstreams.u.endpoints[0]: '1.2.3' is not an IP address"),
    (
        "endpoints: ['http://h/a b']",
        "3:17: upstreams.u.endpoints[0]: the path holds a character that must be",
    ),
    ("endpoints: ['http://h', 'https://h']", "3:5: upstreams.u.endpoints: mixes http and https"),
    ("endpoints: ['http://h', 'http://H:80/']", "3:5: upstreams.u.endpoints: lists the same endpoint twice"),
    (
        "endpoints: [{url: 'http://h', weight: 101}]",
        "3:43: upstreams.u.endpoints[0].weight: must be at most 100",
    ),
    (
        "endpoints: [{url: 'http://h', priority: -1}]",
        "3:45: upstreams.u.endpoints[0].priority: must be at least 0",
    ),
    (
        "endpoints: [{url: 'http://h', weight: 0}, {url: 'http://i', weight: 0}]",
        "3:5: upstreams.u.endpoints: gives every endpoint weight 0: nobody would be asked",
    ),
    ("endpoints: [{weight: 1}]", "3:17: upstreams.u.endpoints[0].url: is required"),
    ("conect_timeout: 1s", "3:5: upstreams.u.conect_timeout: unknown key; did you mean 'connect_timeout'?"),
    ("connect_timeout: 0", "3:22: upstreams.u.connect_timeout: must be more than 0"),
    ("retries_beyond: -1", "3:21: upstreams.u.retries_beyond: must be at least 0"),
    ("pool: {conections: 5}", "3:12: upstreams.u.pool.conections: unknown key; did you mean 'connections'?"),
    ("tls: {ca: /none.pem}", "3:15: upstreams.u.tls.ca: cannot read '/none.pem': No such file or directory"),
    ("tls: {cert: /dev/null}", "3:17: upstreams.u.tls.cert: cannot read '/dev/null': not a regular file"),
    (
        "tls: {min_version: 1.2}",
        "3:24: upstreams.u.tls.min_version: must be one of '1.2' or '1.3', not 1.2; write",
    ),
    ("tls: {server_name: 'a b'}", "3:24: upstreams.u.tls.server_name: 'a b' is not a host name"),
    ("health_check: {path: h}", "3:26: upstreams.u.health_check.path: must be a path that starts with '/'"),
    (
        "health_check: {interval: 1s, timeout: 2s}",
        "3:43: upstreams.u.health_check.timeout: 2s is longer than interval: lower it, or raise interval",
    ),
    ("ejection: {for: 1h}", "3:5: upstreams.u.ejection.for_max: 5m is shorter than for"),
    ("ejection: {max_share: 0%}", "3:27: upstreams.u.ejection.max_share: must be more than 0"),
    ("headers: {set: {A: 1}}", "3:24: upstreams.u.headers.set.A: must be text: write it in quotes"),
    ("headers: {set: {'A B': x}}", "3:21: upstreams.u.headers.set['A B']: must be a header's name"),
    (
        "headers: {set: {Host: x}}",
        "3:15: upstreams.u.headers.set: Host is chosen per route: use rewrite.host",
    ),
    (
        "headers: {remove: [Connection]}",
        "3:15: upstreams.u.headers.remove: Connection belongs to the connection",
    ),
    (
        "headers: {set: {A: {file: none}}}",
        "3:21: upstreams.u.headers.set.A: cannot read 'none': No such file",
    ),
    ("headers: {set: {A: {fil: x}}}", "3:21: upstreams.u.headers.set.A: must be text or {file: path}"),
]

MATCH = [  # the value of match, on line 4, column 12
    ("{}", "4:5: routes[0].match: needs exactly one of path, prefix, regex"),
    (
        "{path: /a, prefix: /b}",
        "4:5: routes[0].match: needs exactly one of path, prefix, regex; path and prefix are w",
    ),
    ("{path: a}", "4:19: routes[0].match.path: must be a path that starts with '/'"),
    ("{path: '/a?b'}", "4:19: routes[0].match.path: must be a path that starts with '/', percent-encoded"),
    ("{regex: '('}", "4:20: routes[0].match.regex: is not a regular expression: missing )"),
    ("{regex: '[[a]'}", "4:20: routes[0].match.regex: is not a regular expression"),
    ("{path: /a, methods: GET}", "4:32: routes[0].match.methods: must be a list"),
    ("{path: /a, host: 'a:80'}", "4:29: routes[0].match.host: 'a:80' is not an IP address"),
    ("{path: /a, headers: {X: 1}}", "4:36: routes[0].match.headers.X: must be text"),
    ("{pth: /a}", "4:13: routes[0].match.pth: unknown key; did you mean 'path'?"),
    ("/a", "4:12: routes[0].match: must be a mapping (key: value)"),
]


def _expect(problems: list[str], expected: str) -> None:
    assert any(problem.startswith(f"c.yaml:{expected}") for problem in problems), problems


@pytest.mark.parametrize(("text", "expected"), ROUTE)
def test_mistakes_in_a_route(text: str, expected: str, minimal: str, refused: Refused) -> None:
    """A mistake in a route is told where it stands, with its path."""
    _expect(refused(f"{minimal}    {text}\n"), expected)


@pytest.mark.parametrize(("text", "expected"), TOP)
def test_mistakes_at_the_top(text: str, expected: str, minimal: str, refused: Refused) -> None:
    """So is one in any section of the file."""
    _expect(refused(f"{minimal}{text}\n"), expected)


@pytest.mark.parametrize(("text", "expected"), UPSTREAM)
def test_mistakes_in_an_upstream(text: str, expected: str, refused: Refused) -> None:
    """So is one in an upstream."""
    endpoints = "" if text.startswith("endpoints") else '    endpoints: ["https://h"]\n'
    routes = "routes: [{name: r, match: {path: /}, upstream: u}]\n"
    _expect(refused(f"upstreams:\n  u:\n    {text}\n{endpoints}{routes}"), expected)


@pytest.mark.parametrize(("text", "expected"), MATCH)
def test_mistakes_in_a_match(text: str, expected: str, minimal: str, refused: Refused) -> None:
    """So is one in a match."""
    _expect(refused(minimal.replace("{path: /r}", text)), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", ["c.yaml:1:1: routes: is required", "c.yaml:1:1: upstreams: is required"]),
        ("[]", ["c.yaml:1:1: must be a mapping (key: value)"]),
        ("just text", ["c.yaml:1:1: must be a mapping (key: value)"]),
        ("~", ["c.yaml:1:1: has no value: write one, or leave the key out"]),
    ],
)
def test_a_file_of_another_kind(text: str, expected: list[str], refused: Refused) -> None:
    """A file that is no configuration at all still gets located lines."""
    assert refused(text) == expected


def test_all_mistakes_come_at_once_in_file_order(refused: Refused) -> None:
    """Syntax apart, one run shows everything: reading, models and references together, each once."""
    problems = refused(
        """\
upstreams:
  connect: {endpoints: ["http://h:1"], pool: {idel: 1}}
defaults:
  timeout: {total: 5}
routes:
  - {name: a, match: {path: /a}, upstream: conect}
  - {name: a, match: {path: /b}, upstream: connect, critical: "${NOPE}"}
  - {name: c, match: {path: /c}, upstream: connect, timeout: {attempt: 1x}, retry: {attempts: 1, attempts: 2}}
"""
    )
    assert [problem.partition(" ")[0] + " " + problem.split(": ")[1] for problem in problems] == [
        "c.yaml:2:47: upstreams.connect.pool.idel",
        "c.yaml:4:20: defaults.timeout.total",
        "c.yaml:6:44: routes[0].upstream",
        "c.yaml:7:12: routes[1].name",
        "c.yaml:7:63: routes[1].critical",
        "c.yaml:8:72: routes[2].timeout.attempt",
        "c.yaml:8:98: routes[2].retry.attempts",
    ]
    assert "did you mean 'connect'?" in problems[2]


def test_breakers_that_are_shared_must_agree(accepted: Accepted, refused: Refused) -> None:
    """`share: upstream` makes one breaker for several routes: their settings cannot differ."""
    text = """\
upstreams: {u: {endpoints: ["http://h:1"]}}
routes:
  - {name: a, match: {path: /a}, upstream: u, breaker: {share: upstream, open_for: 5s}}
  - {name: b, match: {path: /b}, upstream: u, breaker: {share: upstream, open_for: %s}}
"""
    accepted(text % "5000ms")
    (problem,) = refused(text % "6s")
    assert problem.startswith(
        "c.yaml:4:47: routes[1].breaker: shares one breaker with route 'a' but has other settings"
    )


def test_a_flood_of_mistakes_is_cut_off(minimal: str, refused: Refused) -> None:
    """Nobody reads ten thousand lines, and making them must not take long."""
    problems = refused(minimal + "".join(f"unknown{index}: 1\n" for index in range(10_000)))
    assert len(problems) == 101
    assert problems[-1].endswith("and more from here on")


def test_messages_hold_no_control_characters(minimal: str, refused: Refused) -> None:
    """What a file holds cannot steer the terminal that shows the message."""
    problems = refused(minimal + '"\\e[31mred\\u202e": "\\e[2J"\naccess_log: {format: "\\e[2J"}\n')
    assert all(problem.isascii() and problem.isprintable() for problem in problems)


@pytest.mark.parametrize("make", ["missing", "directory", "unreadable name"])
def test_what_is_no_readable_file(make: str, tmp_path: Path) -> None:
    """A missing file, a directory or an impossible name is one line, as any other problem."""
    path = {"missing": str(tmp_path / "none"), "directory": str(tmp_path), "unreadable name": "a\0b"}[make]
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load(path)
    assert len(caught.value.problems) == 1


def test_relative_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimal: str) -> None:
    """Wherever the process starts, `{file: token}` is beside the configuration."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "token").write_text("s3cret\n")
    secret = minimal.replace('9000"]', '9000"], headers: {set: {A: {file: token}}}')
    (tmp_path / "etc" / "c.yaml").write_text(secret)
    monkeypatch.chdir(tmp_path)
    value = load("etc/c.yaml").upstreams["u"].headers.set["A"]
    assert not isinstance(value, str)
    assert value.reveal() == "s3cret"


def test_the_environment_is_the_process_own_by_default(monkeypatch: pytest.MonkeyPatch, minimal: str) -> None:
    """`load` and `parse` read os.environ unless they are given another one."""
    monkeypatch.setenv("SIDECAR_TEST_NAME", "from-env")
    assert parse(minimal.replace("name: r", "name: ${SIDECAR_TEST_NAME}").encode()).routes[0].name == "from-env"
