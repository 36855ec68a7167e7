"""Deadlines from caller to upstream, and callers that are in a hurry, retry by themselves, or leave."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_caller import Answer, Caller, ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

LEAVERS = 50
CONFIG = """
upstreams: {{main: {{endpoints: ["{main}"]}}}}
defaults:
  upstream: main
  timeout: {{total: 8s}}
  retry: {{budget: {{ratio: 100%, per_second: 1000}}, backoff: {{base: 1ms, max: 1ms}}}}
routes:
  - name: told
    match: {{prefix: /told/}}
    retry: {{attempts: 3}}
    timeout: {{attempt: 300ms, total: 8s}}
    breaker: {{enabled: false}}
  - {{name: hangs, match: {{prefix: /hangs/}}, breaker: {{minimum_requests: 10, open_for: 60s}}}}
  - {{name: edge, match: {{prefix: /edge/}}, breaker: {{consecutive_failures: 5, minimum_requests: 6, open_for: 60s}}}}
  - {{name: open, match: {{prefix: /open/}}, breaker: {{consecutive_failures: 1, open_for: 60s}}}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One for all."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One for all: each test has a route of its own."""
    directory: Path = tmp_path_factory.mktemp("deadlines")
    running = RunningSidecar(CONFIG.format(main=upstream.url), directory)
    try:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log_text(), running.log_text()
        assert "exchange failed" not in running.log_text(), running.log_text()
    finally:
        running.kill()


def state(sidecar: RunningSidecar, route: str) -> str:
    """The breaker's."""
    names = ("closed", "open", "half_open")
    (found,) = [
        name for name in names if sidecar.metric(f'sidecar_breaker_state{{route="{route}",state="{name}"}}') == 1
    ]
    return found


def test_every_attempt_is_told_what_is_left(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Less each time, and never more than a caller, or a sidecar before us, has left."""
    upstream.on("/told/less", scripted.in_turn(scripted.hang(), scripted.reset(), scripted.ok()))
    answer = ask(sidecar.port, "GET", "/told/less", {"X-Envoy-Expected-Rq-Timeout-Ms": "5000"})
    assert (answer.status, answer.attempts) == (200, 3)
    left = [int(one.get("x-envoy-expected-rq-timeout-ms") or 0) for one in upstream.requests("/told/less")]
    assert 4500 < left[0] <= 5000
    assert 3000 < left[1] <= left[0] - 300
    assert 3000 < left[2] <= left[1]


@pytest.mark.parametrize("header", ["X-Envoy-Attempt-Count", "X-Sidecar-Attempt"])
def test_a_caller_that_retries_by_itself_gets_no_retries_of_ours(
    sidecar: RunningSidecar, upstream: Upstream, header: str
) -> None:
    """Its second attempt is one attempt upstream; its first one is tried three times."""
    path = f"/told/{header}"
    upstream.on(path, scripted.status(503))
    assert ask(sidecar.port, "GET", path, {header: "2"}).attempts == 1
    assert upstream.count(path) == 1
    assert ask(sidecar.port, "GET", path, {header: "1"}).attempts == 3
    assert upstream.count(path) == 4


def test_an_upstream_that_hangs_opens_the_breaker_though_every_caller_gives_less_than_the_route(
    sidecar: RunningSidecar, upstream: Upstream
) -> None:
    """Not by a row of them, but by their share; from then on nobody waits."""
    upstream.on("/hangs/x", scripted.hang())
    answers: list[Answer] = []

    def call() -> None:
        answers.append(ask(sidecar.port, "GET", "/hangs/x", {"X-Sidecar-Timeout": "200ms"}))

    threads = [threading.Thread(target=call) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.json["reason"] for answer in answers] == ["deadline"] * 9
    assert state(sidecar, "hangs") == "closed"
    call()
    assert state(sidecar, "hangs") == "open"
    call()
    assert answers[-1].json["reason"] == "breaker_open"


def test_fifty_leavers_do_not_open_a_breaker_that_one_failure_more_would(
    sidecar: RunningSidecar, upstream: Upstream
) -> None:
    """Each of them takes its upstream connection along; then one failure does."""
    upstream.on("/edge/bad", scripted.status(500)).on("/edge/hang", scripted.hang())
    for _ in range(4):
        assert ask(sidecar.port, "GET", "/edge/bad").status == 500
    callers = [Caller(sidecar.port) for _ in range(LEAVERS)]
    for caller in callers:
        caller.send(b"GET /edge/hang HTTP/1.1\r\nHost: a\r\n\r\n")
    upstream.wait_for(LEAVERS, "/edge/hang")
    for caller in callers:
        caller.socket.close()
    gone = 'sidecar_requests_total{route="edge",method="GET",code="499",outcome="client_gone"}'
    sidecar.until(lambda: sidecar.metric(gone) == LEAVERS, what="all have left")
    assert sidecar.metric('sidecar_in_flight{route="edge"}') == 0
    assert state(sidecar, "edge") == "closed"
    assert ask(sidecar.port, "GET", "/edge/bad").status == 500
    assert state(sidecar, "edge") == "open"


def test_an_open_breaker_asks_for_no_body(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """A caller that waits for 100 Continue gets its 503 instead, and keeps its body."""
    upstream.on("/open/x", scripted.status(500))
    assert ask(sidecar.port, "GET", "/open/x").status == 500
    with Caller(sidecar.port) as caller:
        caller.send(b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = caller.answer()
    assert (answer.status, answer.json["reason"]) == (503, "breaker_open")
    assert upstream.count("/open/x") == 1
