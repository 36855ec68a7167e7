"""Many callers with one question, end to end: real sockets, two hundred at once, an upstream that is slow or hangs."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_caller import ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

CALLERS = 200
CONFIG = """
upstreams:
  toggles: {{endpoints: ["{url}"], ejection: {{consecutive_failures: 0}}}}
  quick: {{endpoints: ["{url}", "{other}"], ejection: {{consecutive_failures: 0}}}}
limits: {{connections: 2000}}
defaults:
  breaker: {{enabled: false}}
routes:
  - name: toggles
    match: {{prefix: /toggles/}}
    upstream: toggles
    timeout: {{total: 3s}}
    fallback: [{{last_known_good: {{identity: [Authorization]}}}}]
  - name: measured
    match: {{prefix: /measured/}}
    upstream: quick
    timeout: {{total: 8s}}
    retry: {{attempts: 2, hedge: {{after: p95}}, budget: {{ratio: 100%, per_second: 1000}}}}
"""


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    """Two endpoints."""
    with Upstream() as first, Upstream() as second:
        yield first, second


@pytest.fixture(scope="module")
def sidecar(upstreams: tuple[Upstream, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One for all: each test has a path of its own."""
    directory: Path = tmp_path_factory.mktemp("coalescing")
    first, second = upstreams
    running = RunningSidecar(CONFIG.format(url=first.url, other=second.url), directory)
    try:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log_text(), running.log_text()
        assert "exchange failed" not in running.log_text(), running.log_text()
    finally:
        running.kill()


async def _one(port: int, path: str, who: str) -> tuple[int, bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: app.test\r\nAuthorization: Basic {who}\r\nConnection: close\r\n\r\n".encode()
    )
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"Cache-Status:")]
    return int(head.split(b" ", 2)[1]), lines[0] if lines else b"", body


def all_at_once(port: int, path: str, *people: str) -> list[tuple[int, bytes, bytes]]:
    """Two hundred callers, so many of each: status, `Cache-Status` and body of each one's answer."""

    async def play() -> list[tuple[int, bytes, bytes]]:
        return await asyncio.gather(*(_one(port, path, people[n % len(people)]) for n in range(CALLERS)))

    return asyncio.run(play())


def learn(sidecar: RunningSidecar, path: str, *people: str) -> None:
    """There is an answer for each."""
    for who in people:
        answer = ask(sidecar.port, "GET", path, {"Authorization": f"Basic {who}"})
        assert answer.status == 200


def test_two_hundred_callers_cost_a_slow_upstream_one_attempt_each_identity(
    sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream], record_property: Callable[[str, object], None]
) -> None:
    """Everybody gets the answer to who asks, and those who waited are told so."""
    upstream, _ = upstreams
    for name in ("alice", "bob"):
        upstream.on(f"/toggles/{name}", scripted.ok({"for": name}))
        learn(sidecar, f"/toggles/{name}", name, "bob" if name == "alice" else "alice")
    upstream.on("/toggles/alice", scripted.delayed(0.4, scripted.ok({"for": "now"})))
    before = upstream.count("/toggles/alice")
    answers = all_at_once(sidecar.port, "/toggles/alice", "alice", "bob")
    assert {(status, body) for status, _, body in answers} == {(200, b'{"for": "now"}')}
    asked = upstream.requests("/toggles/alice")[before:]
    counts = Counter(request.get("authorization") for request in asked)
    sent = sum(counts.values())
    record_property("figure", f"{CALLERS} callers of two identities, an upstream of 0.4 s: {sent} attempts")
    assert set(counts) == {"Basic alice", "Basic bob"}
    assert sent <= 4, "a connection may have taken longer than the first answers"
    collapsed = sum(status == b"sidecar; fwd=stale; collapsed" for _, status, _ in answers)
    assert collapsed == CALLERS - sent
    assert sidecar.metric('sidecar_coalesced_total{route="toggles"}') == collapsed


def test_an_upstream_that_hangs_is_asked_once_a_second(
    sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream], record_property: Callable[[str, object], None]
) -> None:
    """And all are given what is kept, none later than the deadline."""
    upstream, _ = upstreams
    upstream.on("/toggles/hung", scripted.ok({"is": "kept"}))
    learn(sidecar, "/toggles/hung", "alice")
    upstream.on("/toggles/hung", scripted.hang())
    before = upstream.count("/toggles/hung")
    answers = all_at_once(sidecar.port, "/toggles/hung", "alice")
    sent = upstream.count("/toggles/hung") - before
    record_property("figure", f"{CALLERS} callers, an upstream that hangs for 3 s: {sent} attempts")
    assert {(status, body) for status, _, body in answers} == {(200, b'{"is": "kept"}')}
    assert 1 <= sent <= 4


def test_a_measured_tail_sends_the_second_attempt(
    sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream]
) -> None:
    """None before enough is known; then what hangs at one endpoint is soon answered by the other."""
    slow, _ = upstreams
    for upstream in upstreams:
        upstream.on("/measured/x", scripted.ok({"is": "quick"}))
    for _ in range(60):
        assert ask(sidecar.port, "GET", "/measured/x").attempts == 1
    slow.on("/measured/x", scripted.hang())
    for number in range(50):
        answer = ask(sidecar.port, "GET", "/measured/x")
        assert (answer.status, answer.json) == (200, {"is": "quick"})
        if answer.attempts == 2:
            break
        assert number < 49, "the slow one was never asked first"
    assert (sidecar.metric('sidecar_hedges_total{route="measured",result="won"}') or 0) >= 1
