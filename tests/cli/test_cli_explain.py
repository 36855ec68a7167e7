"""`sidecar explain`: the route, the policies, the clock."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.cli import main

Output = pytest.CaptureFixture[str]
File = Callable[[str], str]

TEXT = """\
caller: {timeout: 30s, reserve: 5s}
upstreams:
  u: {endpoints: ["http://127.0.0.1:9000"], retries_beyond: 0}
  spare: {endpoints: ["http://127.0.0.1:9001"]}
routes:
  - name: toggles
    match: {path: /toggles}
    upstream: u
    timeout: {attempt: 4s, total: 10s}
    retry: {attempts: 2}
    fallback:
      - last_known_good: {identity: [Authorization]}
      - {static: {json: {}}, on: [open]}
      - upstream: spare
    unavailable: {json: {error_code: DOWN}}
  - name: tenant
    match: {prefix: /, host: tenant.example, headers: {X-Tenant: a}}
    upstream: u
    rewrite: {prefix: /t/}
    critical: true
    bulkhead: {in_flight: 3}
    expect: {status: [200], json_equals: {/code: 0}, json_present: [/data]}
  - name: writes
    match: {prefix: /orders, methods: [POST]}
    upstream: u
    retry: {attempts: 3, on: [connect_failure, 503], hedge: {after: 100ms}}
    breaker: {enabled: false}
    fallback: [{upstream: spare}, {static: {status: 202, json: {queued: true}}}]
"""


@pytest.fixture
def explain(tmp_path: Path, capsys: Output) -> Callable[..., str]:
    """`explain(METHOD, URL, ...)`: what is printed; the exit code must be 0."""
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)

    def run(*arguments: str) -> str:
        assert main(["explain", str(file), *arguments]) == 0
        return capsys.readouterr().out.replace(str(tmp_path), "")

    return run


def test_the_route_its_policies_and_the_timeline(explain: Callable[..., str]) -> None:
    """A page by hand: defaults are marked, times add up, the last line is what the caller gets."""
    assert (
        explain("GET", "/toggles?user=1")
        == """\
GET /toggles: route toggles (/c.yaml:6)

  match        path /toggles
  upstream     u: http://127.0.0.1:9000, connect_timeout 1s (default)
  rewrite      none (default)
  critical     no (default)
  timeout      attempt 4s, total 10s, idle 1m (default)
  retry        attempts 2, on connect_failure reset timeout 408 429 502 503 504 (default), methods GET HEAD OPTIONS \
(default), backoff base 25ms (default) max 250ms (default) factor 2 (default), budget ratio 20% (default)
  breaker      consecutive_failures 5 (default), failure_ratio 50% (default), minimum_requests 20 (default), \
window 30s (default), open_for 5s (default), open_for_max 1m (default), probes 1 (default), \
successes_to_close 2 (default)
  rate_limit   none (default)
  bulkhead     none (default)
  upgrade      websocket (default)
  expect       none: any answer that is not a failure will do (default)
  fallback     1. last known good, max_age 1h (default), identity Authorization; 2. static 200 (default) {} (on open); \
3. upstream spare
  unavailable  503 (default) {"error_code": "DOWN"}

Worst case: every attempt takes as long as it may:
      0.000s  attempt 1 of 2 at u
      4.000s  attempt 1 times out
      4.025s  attempt 2 of 2 at u, after a backoff of up to 25ms
      8.025s  attempt 2 times out
      8.025s  the caller gets the last known good, max_age 1h (default), identity Authorization; if there is none:
      8.025s  static 200 (default) {} (on open): not for timeouts
      8.025s  upstream spare: one attempt of up to 1.975s
     10.000s  the caller gets 503 (default) {"error_code": "DOWN"}

  The caller has 25s (timeout minus reserve): 15s to spare.
"""
    )


def test_the_query_is_not_repeated(explain: Callable[..., str]) -> None:
    """It may hold personal data, and no route looks at it."""
    assert "+4477" not in explain("GET", "http://127.0.0.1:8080/toggles?phone=+4477")


def test_host_and_headers_choose_the_route(explain: Callable[..., str]) -> None:
    """From the URL, or from -H as the application would send them."""
    for arguments in (
        ("GET", "http://tenant.example:8080/x", "-H", "x-tenant: a"),
        ("get", "/x", "-H", "Host: TENANT.example", "-H", "X-Tenant:a"),
    ):
        text = explain(*arguments)
        assert "route tenant (/c.yaml:16)" in text
        assert "match        prefix /, host tenant.example, headers X-Tenant\n" in text
        assert "rewrite      path /t/, host upstream (default)\n" in text
        assert "critical     yes: fails closed\n" in text
        assert "bulkhead     in_flight 3, queue 0 (default)\n" in text
        assert "expect       status 200, /code is 0, /data is there, max_body 1MiB (default)\n" in text
        assert "     15.000s  the caller gets 503 with the sidecar's own document\n" in text


def test_the_wait_in_the_queue_is_inside_the_total(tmp_path: Path, capsys: Output) -> None:
    """It comes first, moves the attempts, and does not move the end."""
    file = tmp_path / "c.yaml"
    file.write_text(
        """\
upstreams: {u: {endpoints: ["http://h:1"]}}
routes:
  - name: r
    match: {prefix: /}
    upstream: u
    timeout: {attempt: 2s, total: 4s}
    retry: {attempts: 2}
    rate_limit: {per_second: 5}
    bulkhead: {in_flight: 7, queue: 20, queue_timeout: 500ms, adaptive: true}
"""
    )
    assert main(["explain", str(file), "GET", "/x"]) == 0
    text = capsys.readouterr().out
    assert "  rate_limit   per_second 5, burst 100 (default)\n" in text
    assert "  bulkhead     in_flight 7, queue 20, queue_timeout 500ms, adaptive: in_flight is the most\n" in text
    assert (
        text.partition("it may:\n")[2]
        == """\
      0.000s  waits for a slot of the bulkhead, up to 500ms of timeout.total
      0.500s  attempt 1 of 2 at u
      2.500s  attempt 1 times out
      2.525s  attempt 2 of 2 at u, after a backoff of up to 25ms
      4.000s  attempt 2 is cut off by timeout.total
      4.000s  the caller gets 504 (503 when the breaker is open) with the sidecar's own document
"""
    )


def test_what_an_unsafe_method_cannot_do(explain: Callable[..., str]) -> None:
    """A POST is repeated only when it could not connect, and does not fail over once bytes were sent."""
    text = explain("POST", "/orders/7")
    assert (
        text.partition("Worst case")[2]
        == """\
: every attempt takes as long as it may:
      0.000s  attempt 1 of 3 at u
      1.000s  attempt 1 cannot connect
      1.025s  attempt 2 of 3 at u, after a backoff of up to 25ms
      2.025s  attempt 2 cannot connect
      2.075s  attempt 3 of 3 at u, after a backoff of up to 50ms
     15.000s  attempt 3 is cut off by timeout.total
     15.000s  upstream spare: no time is left for it
     15.000s  the caller gets static 202 {"queued": true}

  The caller has 25s (timeout minus reserve): 10s to spare.
"""
    )
    assert "breaker      off\n" in text
    assert ", hedge after 100ms\n" in text


def test_no_route(tmp_path: Path, capsys: Output) -> None:
    """Exit code 1, what the caller gets, and what there is."""
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    assert main(["explain", str(file), "GET", "/orders"]) == 1
    output = capsys.readouterr().out
    assert output.startswith("GET /orders matches no route: the caller gets 404 no_route.\n")
    assert "  writes   prefix /orders, methods POST\n" in output


@pytest.mark.parametrize(
    "arguments",
    [["GET", "toggles"], ["GET", "/tögg"], ["G T", "/x"], ["GET", "/", "-H", "no colon"], ["GET", "http://[::1/x"]],
)
def test_what_is_no_request_is_one_line_and_exit_2(arguments: list[str], minimal_file: File, capsys: Output) -> None:
    """A relative path, another alphabet, a broken header or URL."""
    assert main(["explain", minimal_file(""), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1


def test_an_invalid_file_is_told_as_check_does(minimal_file: File, capsys: Output) -> None:
    """On standard error, with exit code 2."""
    assert main(["explain", minimal_file("    timeout: {totl: 1s}\n"), "GET", "/r"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "unknown key; did you mean 'total'?" in output.err


def test_several_endpoints_and_what_is_known_of_their_health(tmp_path: Path, capsys: Output) -> None:
    """What decides who is asked stands beside the addresses; of one address alone there is nothing to decide."""
    asked = """\
upstreams:
  u:
    endpoints: ["http://127.0.0.1:9000", {url: "http://127.0.0.1:9001", weight: 3, priority: 1}]
    health_check: {interval: 2s}
    slow_start: 0s
  v: {endpoints: ["http://127.0.0.1:9000", "http://127.0.0.1:9001"], ejection: {consecutive_failures: 0}}
routes:
  - {name: u, match: {path: /u}, upstream: u, retry: {attempts: 2}}
  - {name: v, match: {path: /v}, upstream: v}
"""
    file = tmp_path / "c.yaml"
    file.write_text(asked)
    assert main(["explain", str(file), "GET", "/u"]) == 0
    assert (
        "  upstream     u: http://127.0.0.1:9000 http://127.0.0.1:9001 (weight 3, priority 1), connect_timeout 1s "
        "(default), ejection consecutive_failures 5 (default) for 30s (default) for_max 5m (default), health_check "
        "path /healthz (default) interval 2s timeout 1s (default) unhealthy_after 3 (default) healthy_after 2 "
        "(default), slow_start 0s\n"
    ) in capsys.readouterr().out
    assert main(["explain", str(file), "GET", "/v"]) == 0
    assert "ejection off, health_check none (default), slow_start 10s (default)\n" in capsys.readouterr().out


def test_a_schema_is_named_by_its_file(tmp_path: Path, capsys: Output) -> None:
    """With its whole path, as it was found."""
    (tmp_path / "s.json").write_text("{}")
    file = tmp_path / "c.yaml"
    file.write_text(
        "upstreams: {u: {endpoints: [http://127.0.0.1:9]}}\n"
        "routes: [{name: r, match: {prefix: /}, upstream: u, expect: {json_schema: s.json}}]\n"
    )
    assert main(["explain", str(file), "GET", "/x"]) == 0
    assert f"status 2xx (default), json_schema {tmp_path / 's.json'}, max_body" in capsys.readouterr().out
