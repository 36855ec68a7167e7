"""Every lint code: what triggers it, what does not, and that its message says why and how."""

from collections.abc import Callable

import pytest

from sidecar.config import Config, Finding, lint
from sidecar.config.lint import CODES

Accepted = Callable[..., Config]


@pytest.fixture
def linted(accepted: Accepted) -> Callable[[str], list[Finding]]:
    """Findings of a configuration that is valid."""
    return lambda text: lint(accepted(text))


Linted = Callable[[str], list[Finding]]


def _config(route: str = "", *, top: str = "", upstream: str = "retries_beyond: 0", match: str = "path: /r") -> str:
    return f"""\
upstreams: {{u: {{endpoints: ["http://h:1"], {upstream}}}}}
routes:
  - name: r
    match: {{{match}}}
    upstream: u
    {route}
{top}
"""


CLEAN = [
    _config(),
    _config(upstream="pool: {}"),  # every default at once
    _config(top="caller: {}"),
    _config("timeout: {total: 25s}\n    breaker: {window: 50s}", top="caller: {timeout: 30s, reserve: 5s}"),
    _config("timeout: {attempt: 4s, total: 10s}\n    retry: {attempts: 2}"),
    _config("timeout: {attempt: 4s, total: 8025ms}\n    retry: {attempts: 2}"),
    _config("timeout: {attempt: 4s, total: 9s}\n    retry: {attempts: 2, hedge: {after: 3.9s}}"),
    _config("timeout: {total: 10s, attempt: 3s}\n    retry: {attempts: 3}"),
    _config("retry: {attempts: 2, on: [connect_failure], methods: [POST]}\n    timeout: {total: 20s, attempt: 5s}"),
    _config("retry: {attempts: 2, methods: [POST], idempotency_key: true}\n    timeout: {total: 20s, attempt: 5s}"),
    _config("retry: {attempts: 2, methods: [GET, PUT, DELETE]}\n    timeout: {total: 20s, attempt: 5s}"),
    _config("retry: {attempts: 2, methods: [POST]}\n    timeout: {attempt: 1s}", match="path: /r, methods: [GET]"),
    _config("retry: {methods: [POST]}"),
    _config("critical: true\n    fallback: [{last_known_good: {identity: [Authorization]}}]"),
    _config("critical: true\n    unavailable: {json: 1}"),
    _config("critical: true\n    retry: {attempts: 2, on: [connect_failure, 503]}\n    timeout: {attempt: 1s}"),
    _config("fallback: [{static: {json: {}}}]"),
    _config("fallback: [{last_known_good: {identity: []}}]"),
    _config("breaker: {enabled: false, window: 1s}"),
    _config("timeout: {attempt: 5s}\n    breaker: {window: 10s}"),
    _config("retry: {attempts: 2}\n    timeout: {attempt: 5s}").replace(
        '["http://h:1"]', '["http://h:1", {url: "http://h:2", priority: 1}]'
    ),
    _config().replace('["http://h:1"]', '["http://h:1", {url: "http://h:2", priority: 1, weight: 0}]'),
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_wise_has_no_findings(text: str, linted: Linted) -> None:
    """Just inside every rule there is nothing to say."""
    assert linted(text) == []


FINDINGS = [
    (
        _config("timeout: {total: 26s}\n    breaker: {window: 60s}", top="caller: {timeout: 30s, reserve: 5s}"),
        "error[total-over-caller] routes[0].timeout.total 6:22",
        ["timeout.total 26s is too long", "caller.timeout 30s minus caller.reserve 5s leaves 25s", "Write at most 25s"],
    ),
    (
        _config(top="caller: {timeout: 12s}"),
        "error[total-over-caller] routes[0].timeout.total 3:5",
        ["timeout.total 15s (default) is too long", "caller.timeout 12s minus caller.reserve 5s (default) leaves 7s"],
    ),
    (
        _config(top="caller: {in_sequence: [[r, r]]}"),
        "error[total-over-caller] caller.in_sequence[0] 7:24",
        ["r timeout.total 15s (default) + r timeout.total 15s (default) = 30s", "25s"],
    ),
    (
        _config("retry: {attempts: 2}\n    timeout: {attempt: 6s, total: 10s}"),
        "warning[attempts-over-total] routes[0].retry.attempts 6:23",
        ["timeout.attempt 6s", "take up to 12.025s", "timeout.total 10s ends", "attempt 2 cannot run its full time"],
    ),
    (
        _config("retry: {attempts: 3}"),
        "warning[attempts-over-total] routes[0].retry.attempts 6:23",
        ["timeout.attempt 15s (default: total)", "timeout.total 15s (default)", "attempt 3 never starts"],
    ),
    (
        _config("timeout: {attempt: 11s, total: 10s}"),
        "error[attempt-over-total] routes[0].timeout.attempt 6:24",
        ["timeout.attempt 11s is longer than timeout.total 10s"],
    ),
    (
        _config("timeout: {attempt: 16s}\n    breaker: {window: 60s}"),
        "error[attempt-over-total] routes[0].timeout.attempt 6:24",
        ["timeout.total 15s (default)"],
    ),
    (
        _config("critical: true\n    fallback: [{static: {json: {}}}]"),
        "error[critical-invented] routes[0].fallback[0].static 7:17",
        ["must not invent an answer", "use unavailable"],
    ),
    (
        _config("critical: true\n    unavailable: {status: 200, json: {}}"),
        "error[critical-invented] routes[0].unavailable.status 7:27",
        ["status 200", "Write 503"],
    ),
    (
        _config("retry: {attempts: 2, methods: [GET, POST]}\n    timeout: {attempt: 1s}"),
        "error[unsafe-retry] routes[0].retry.methods 6:26",
        ["POST would be sent again", "RFC 9110", "idempotency_key: true"],
    ),
    (
        _config("retry: {attempts: 2, methods: [PATCH], on: [503]}\n    timeout: {attempt: 1s}"),
        "error[unsafe-retry] routes[0].retry.methods 6:26",
        ["PATCH"],
    ),
    (
        _config("retry: {attempts: 2}\n    timeout: {attempt: 1s}", upstream="retries_beyond: 1"),
        "warning[amplification] routes[0].retry.attempts 6:23",
        ["retry.attempts 2 times (1 + retries_beyond 1) makes up to 4 attempts"],
    ),
    (
        _config("retry: {attempts: 2}\n    timeout: {attempt: 1s}", upstream="pool: {}"),
        "warning[amplification] routes[0].retry.attempts 6:23",
        ["retries_beyond 2 (default)", "6 attempts", "write retries_beyond: 0"],
    ),
    (
        _config("critical: true\n    retry: {attempts: 2}\n    timeout: {attempt: 1s}"),
        "warning[slow-retry] routes[0].retry.on 7:5",
        ["retry.on with timeout (default) on a critical route", "Leave timeout out"],
    ),
    (
        _config(
            "fallback: [{last_known_good: {}}]",
            upstream='retries_beyond: 0, headers: {set: {Authorization: "Basic eDp5"}}',
        ),
        "error[identity] routes[0].fallback[0].last_known_good 6:17",
        ["carry credentials (Authorization)", "identity: [Authorization]"],
    ),
    (
        _config("fallback: [{last_known_good: {identity: []}}]", match="path: /r, headers: {X-Api-Key: k}"),
        "error[identity] routes[0].fallback[0].last_known_good 6:17",
        ["carry credentials (X-Api-Key)", "identity: [X-Api-Key]"],
    ),
    (
        _config("fallback: [{last_known_good: {}}]"),
        "warning[identity] routes[0].fallback[0].last_known_good 6:17",
        ["never kept", "or write identity: []"],
    ),
    (
        _config().replace('["http://h:1"]', '["http://h:1", {url: "http://h:2", priority: 1}]'),
        "warning[no-failover] routes[0].retry.attempts 3:5",
        ["more than one priority", "retry.attempts 1 (default)", "Write attempts: 2"],
    ),
    (
        _config("breaker: {window: 29s}"),
        "warning[window-too-short] routes[0].breaker.window 6:23",
        ["breaker.window 29s is shorter than twice timeout.attempt 15s (default: total)", "Write at least 30s"],
    ),
    (
        _config("timeout: {total: 20s}"),
        "warning[window-too-short] routes[0].breaker.window 3:5",
        ["breaker.window 30s (default)", "timeout.attempt 20s (default: total)"],
    ),
    (
        _config(top="  - {name: again, match: {path: /r}, upstream: u}"),
        "error[shadowed-route] routes[1].match 7:19",
        ["route 'again' can never match: 'r' (line 4)"],
    ),
    (
        _config("timeout: {total: 1s}\n    bulkhead: {queue: 5, queue_timeout: 1s}"),
        "error[queue-over-total] routes[0].bulkhead.queue_timeout 7:41",
        ["bulkhead.queue_timeout 1s is not below timeout.total 1s", "of which it is a part"],
    ),
    (
        _config("retry: {hedge: {after: 100ms}}"),
        "error[hedge-never] routes[0].retry.hedge 6:13",
        ["a hedge is one of retry.attempts", "retry.attempts 1 (default)", "Write at least 2"],
    ),
    (
        _config("timeout: {attempt: 200ms}\n    retry: {attempts: 2, hedge: {}}"),
        "error[hedge-never] routes[0].retry.hedge.after 7:26",
        ["retry.hedge.after 300ms (default)", "timeout.attempt 200ms", "timeout.total 15s (default)"],
    ),
    (
        _config("timeout: {total: 80ms}\n    bulkhead: {queue: 5}"),
        "error[queue-over-total] routes[0].bulkhead.queue_timeout 7:5",
        ["bulkhead.queue_timeout 100ms (default) is not below timeout.total 80ms"],
    ),
    (
        _config("timeout: {attempt: 5s, total: 10025ms}\n    retry: {attempts: 2}\n    bulkhead: {queue: 5}"),
        "warning[attempts-over-total] routes[0].retry.attempts 7:23",
        ["and the wait in the bulkhead's queue take up to 10.125s", "attempt 2 cannot run its full time"],
    ),
    (
        _config("timeout: {total: 0}"),
        "error[no-deadline] routes[0].timeout.total 6:22",
        ["timeout.total 0 is no deadline", "for ever"],
    ),
    (
        _config("timeout: {attempt: 0s}"),
        "error[no-deadline] routes[0].timeout.attempt 6:24",
        ["timeout.attempt 0 is no deadline"],
    ),
    (
        _config("timeout: {idle: 0}"),
        "error[no-deadline] routes[0].timeout.idle 6:21",
        ["event stream"],
    ),
]


@pytest.mark.parametrize(("text", "expected", "words"), FINDINGS, ids=[expected for _, expected, _ in FINDINGS])
def test_what_is_unwise_is_found(text: str, expected: str, words: list[str], linted: Linted) -> None:
    """One finding, of that severity, at that place; it names the numbers, and which of them nobody wrote."""
    found = linted(text)
    assert [f"{item.severity}[{item.code}] {item.path} {item.line}:{item.column}" for item in found] == [expected]
    assert not [word for word in words if word not in found[0].message]


def test_every_code_of_the_contract_is_tested() -> None:
    """No code without an example, none that is not documented."""
    tested = {expected.partition("[")[2].partition("]")[0] for _, expected, _ in FINDINGS}
    assert tested == set(CODES)
    assert tested == {
        "total-over-caller",
        "attempts-over-total",
        "hedge-never",
        "queue-over-total",
        "attempt-over-total",
        "critical-invented",
        "unsafe-retry",
        "amplification",
        "no-failover",
        "slow-retry",
        "identity",
        "window-too-short",
        "shadowed-route",
        "no-deadline",
    }


def test_every_message_is_sentences(linted: Linted) -> None:
    """Each says what, why and, last, what to write instead."""
    for text, _, _ in FINDINGS:
        (finding,) = linted(text)
        assert len(finding.message) > 60
        assert finding.message.isprintable()
        assert ". " in finding.message


def test_a_finding_under_defaults_is_told_once_and_there(linted: Linted) -> None:
    """Two routes that take the same number over make one finding, where the number stands."""
    text = """\
upstreams: {u: {endpoints: ["http://h:1"]}}
defaults: {timeout: {total: 40s}, breaker: {window: 2m}}
caller: {}
routes:
  - {name: a, match: {path: /a}, upstream: u}
  - {name: b, match: {path: /b}, upstream: u}
"""
    (finding,) = linted(text)
    assert (finding.code, finding.path, finding.line, finding.column) == (
        "total-over-caller",
        "defaults.timeout.total",
        2,
        29,
    )


def test_findings_come_in_file_order(linted: Linted) -> None:
    """The order of the file, not of the rules."""
    routes = "".join(
        f"  - {{name: r{index}, match: {{path: /{index}}}, upstream: u, timeout: {{total: {seconds}}}}}\n"
        for index, seconds in enumerate(("20s", "0", "20s", "0"))
    )
    found = linted(f'upstreams: {{u: {{endpoints: ["http://h:1"]}}}}\nroutes:\n{routes}')
    assert [finding.line for finding in found] == [3, 4, 5, 6]
