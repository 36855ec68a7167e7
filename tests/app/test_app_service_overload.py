"""Overload, end to end: more callers at once than the upstream can bear, and more per second than it allows."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from app_caller import PATIENCE, Caller, ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

CALLERS = 300
SLOTS = 20

CONFIG = """
upstreams:
  main: {{endpoints: ["{main}"], pool: {{connections: 400}}, connect_timeout: 8s}}
defaults: {{upstream: main, timeout: {{total: 8s}}, breaker: {{enabled: false}}}}
routes:
  - {{name: open, match: {{prefix: /open/}}}}
  - {{name: patient, match: {{prefix: /patient/}}, bulkhead: {{in_flight: 20, queue: 300, queue_timeout: 6s}}}}
  - {{name: brisk, match: {{prefix: /brisk/}}, bulkhead: {{in_flight: 20, queue: 5, queue_timeout: 400ms}}}}
  - {{name: single, match: {{prefix: /single/}}, bulkhead: {{in_flight: 1, queue: 50, queue_timeout: 6s}}}}
  - {{name: adaptive, match: {{prefix: /adaptive/}}, bulkhead: {{in_flight: 50, adaptive: true}}}}
  - {{name: quota, match: {{prefix: /quota/}}, rate_limit: {{per_second: 0.1, burst: 3}}}}
  - name: quota-critical
    match: {{prefix: /quota-critical/}}
    critical: true
    rate_limit: {{per_second: 0.1, burst: 1}}
"""


class Busy:
    """A behaviour that counts who is inside at once; each stays for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.most = self._inside = 0
        self._then = scripted.delayed(seconds, scripted.ok({"done": True}))

    async def __call__(self, exchange: scripted.Exchange) -> None:
        """Answers late."""
        self._inside += 1
        self.most = max(self.most, self._inside)
        await self._then(exchange)
        self._inside -= 1


class Gathering:
    """A behaviour that answers nobody until all callers but a few are inside, or `PATIENCE` is over."""

    def __init__(self) -> None:
        self.most = 0
        self._all = asyncio.Event()

    async def __call__(self, exchange: scripted.Exchange) -> None:
        """Answers once they are there."""
        self.most += 1
        if self.most == CALLERS - SLOTS:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), PATIENCE)
        await scripted.ok()(exchange)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One for all."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One for all: each test has a route of its own."""
    directory: Path = tmp_path_factory.mktemp("overload")
    running = RunningSidecar(CONFIG.format(main=upstream.url), directory)
    try:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log_text(), running.log_text()
        assert "exchange failed" not in running.log_text(), running.log_text()
    finally:
        running.kill()


async def _one(port: int, path: str) -> tuple[int, dict[str, Any], float]:
    """Status, body and seconds of one request on a connection of its own."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = loop.time()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ", 2)[1]), msgspec.json.decode(body), loop.time() - started


def all_at_once(port: int, prefix: str) -> list[tuple[int, dict[str, Any], float]]:
    """Three hundred callers, each with a path of its own."""

    async def play() -> list[tuple[int, dict[str, Any], float]]:
        return await asyncio.gather(*(_one(port, f"{prefix}{number}") for number in range(CALLERS)))

    return asyncio.run(play())


def script(upstream: Upstream, prefix: str, behaviour: scripted.Behaviour) -> None:
    """The same for every caller's path."""
    for number in range(CALLERS):
        upstream.on(f"{prefix}{number}", behaviour)


def status_of(sidecar: RunningSidecar, route: str) -> dict[str, Any]:
    """A route's part of /status."""
    (found,) = (one for one in sidecar.status()["routes"] if one["name"] == route)
    return found  # type: ignore[no-any-return]


def test_without_a_bulkhead_the_upstream_gets_all_of_them_at_once(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """The damage, so that what follows is known to prevent something."""
    gathering = Gathering()
    script(upstream, "/open/", gathering)
    answers = all_at_once(sidecar.port, "/open/")
    assert Counter(status for status, _, _ in answers) == {200: CALLERS}
    assert gathering.most >= CALLERS - SLOTS


def test_a_queue_that_is_long_enough_serves_all_of_them(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Never more than the slots at the upstream; nobody is lost, refused, served twice or too late."""
    busy = Busy(0.05)
    script(upstream, "/patient/", busy)
    answers = all_at_once(sidecar.port, "/patient/")
    assert Counter(status for status, _, _ in answers) == {200: CALLERS}
    assert all(body == {"done": True} for _, body, _ in answers)
    assert max(seconds for _, _, seconds in answers) < 8.0
    assert busy.most == SLOTS
    assert {upstream.count(f"/patient/{number}") for number in range(CALLERS)} == {1}
    assert status_of(sidecar, "patient")["bulkhead"] == {"limit": SLOTS, "in_flight": 0, "queued": 0}


def test_a_short_queue_refuses_the_rest_and_says_why(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Each of them is either served once or refused with a reason; the counts agree everywhere."""
    busy = Busy(1.0)
    script(upstream, "/brisk/", busy)
    answers = all_at_once(sidecar.port, "/brisk/")
    statuses = Counter(status for status, _, _ in answers)
    reasons = Counter(body.get("reason") for status, body, _ in answers if status == 503)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= SLOTS
    assert statuses.total() == CALLERS
    assert set(reasons) == {"bulkhead_full", "queue_timeout"}
    assert busy.most <= SLOTS
    for number, (status, _, seconds) in enumerate(answers):
        assert upstream.count(f"/brisk/{number}") == (status == 200)
        assert seconds < 8.0
    for reason, refused in reasons.items():
        assert sidecar.metric(f'sidecar_refused_total{{route="brisk",reason="{reason}"}}') == refused
    assert sidecar.metric('sidecar_queued{route="brisk"}') == 0
    assert sidecar.metric('sidecar_bulkhead_limit{route="brisk"}') == SLOTS


def test_first_come_first_served(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Thirty callers behind one: they reach the upstream in the order they came; one that left does not."""
    upstream.on("/single/first", scripted.held(scripted.ok()))
    callers = [Caller(sidecar.port) for _ in range(30)]
    try:
        with Caller(sidecar.port) as first:
            first.send(b"GET /single/first HTTP/1.1\r\nHost: a\r\n\r\n")
            upstream.wait_for(1, "/single/first")
            for number, caller in enumerate(callers):
                upstream.on(f"/single/{number}", scripted.ok({"number": number}))
                caller.send(f"GET /single/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                sidecar.until(
                    lambda waiting=number + 1: status_of(sidecar, "single")["bulkhead"]["queued"] == waiting,  # type: ignore[misc]
                    what="it is in the queue",
                )
            callers[7].socket.close()
            sidecar.until(lambda: status_of(sidecar, "single")["bulkhead"]["queued"] == 29, what="it is out of it")
            upstream.release()
            assert first.answer().status == 200
        stayed = [number for number in range(30) if number != 7]
        assert [callers[number].answer().json for number in stayed] == [{"number": number} for number in stayed]
        seen = [request.path for request in upstream.requests() if request.path.startswith("/single/")]
        assert seen == ["/single/first", *(f"/single/{number}" for number in stayed)]
    finally:
        for caller in callers:
            caller.socket.close()


def test_an_adaptive_limit_falls_with_what_is_lost(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Twenty resets halve it, and a measurement halves that; `/status` and the gauge say so."""
    upstream.on("/adaptive/x", scripted.reset())
    assert status_of(sidecar, "adaptive")["bulkhead"]["limit"] == 50
    for number in range(1, 200):
        assert ask(sidecar.port, "GET", "/adaptive/x").status == 502
        limit = status_of(sidecar, "adaptive")["bulkhead"]["limit"]
        assert (limit < 50) <= (number >= 20), "before there was a window"
        if limit < 50:
            break
    assert 3 <= limit <= 25
    assert sidecar.metric('sidecar_bulkhead_limit{route="adaptive"}') == limit


def test_over_the_rate_is_429_and_when_to_come_back(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """Three at once, then one in ten seconds; the upstream hears nothing of the rest."""
    upstream.on("/quota/x", scripted.ok())
    answers = [ask(sidecar.port, "GET", "/quota/x") for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    refused = answers[3]
    wait = int(refused.get("retry-after") or 0)
    assert 1 <= wait <= 10
    assert refused.json["reason"] == "rate_limited"
    assert refused.json["retry_after"] == wait
    assert refused.get("proxy-status") == 'sidecar; error=http_request_denied; details="rate_limited"'
    assert refused.attempts is None
    assert upstream.count("/quota/x") == 3
    assert sidecar.metric('sidecar_refused_total{route="quota",reason="rate_limited"}') == 3
    assert sidecar.metric('sidecar_requests_total{route="quota",method="GET",code="429",outcome="refused"}') == 3


def test_a_critical_route_over_its_rate_is_503(sidecar: RunningSidecar, upstream: Upstream) -> None:
    """As everything that it says itself."""
    upstream.on("/quota-critical/x", scripted.ok())
    first, second = (ask(sidecar.port, "GET", "/quota-critical/x") for _ in range(2))
    assert (first.status, second.status, second.json["reason"]) == (200, 503, "rate_limited")
    assert 1 <= int(second.get("retry-after") or 0) <= 10
