"""Second attempts end to end: real sockets, a first endpoint that does not answer, many callers at once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_caller import ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

from sidecar.clock import MONOTONIC

CALLERS = 200
CONFIG = """
upstreams:
  two: {{endpoints: ["{first}", "{second}"], ejection: {{consecutive_failures: 0}}}}
  pair: {{endpoints: ["{first}", "{second}"], ejection: {{consecutive_failures: 0}}}}
  one: {{endpoints: ["{first}"]}}
defaults:
  timeout: {{total: 8s}}
  breaker: {{enabled: false}}
routes:
  - name: pair
    match: {{prefix: /pair/}}
    upstream: pair
    retry: {{attempts: 2, hedge: {{after: 100ms}}, budget: {{ratio: 100%, per_second: 1000}}}}
  - name: poor
    match: {{prefix: /poor/}}
    upstream: one
    timeout: {{total: 1s}}
    retry: {{attempts: 2, hedge: {{after: 50ms}}, budget: {{ratio: 20%, per_second: 0}}}}
  - name: judged
    match: {{prefix: /judged/}}
    upstream: two
    bulkhead: {{in_flight: 1}}
    breaker: {{enabled: true, consecutive_failures: 1, open_for: 60s}}
    retry: {{attempts: 2, hedge: {{after: 100ms}}, budget: {{ratio: 100%, per_second: 1000}}}}
"""


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    """Two endpoints."""
    with Upstream() as first, Upstream() as second:
        yield first, second


@pytest.fixture(scope="module")
def sidecar(upstreams: tuple[Upstream, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One for all: each test has a route of its own."""
    directory: Path = tmp_path_factory.mktemp("hedging")
    first, second = upstreams
    running = RunningSidecar(CONFIG.format(first=first.url, second=second.url), directory)
    try:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log_text(), running.log_text()
        assert "exchange failed" not in running.log_text(), running.log_text()
    finally:
        running.kill()


def hedges(sidecar: RunningSidecar, route: str) -> dict[str, float]:
    """Counts by result; only those there are."""
    found = {}
    for result in ("won", "lost", "failed", "denied", "client_gone"):
        value = sidecar.metric(f'sidecar_hedges_total{{route="{route}",result="{result}"}}')
        if value:
            found[result] = value
    return found


def at_rest(sidecar: RunningSidecar, route: str, upstream: str = "pair") -> None:
    """Nothing is under way: one that was connecting when it was no longer wanted may lie idle in the pool."""
    active = f'sidecar_connections{{upstream="{upstream}",state="active"}}'
    sidecar.until(lambda: sidecar.metric(active) == 0, what="nothing is under way")
    assert sidecar.metric(f'sidecar_in_flight{{route="{route}"}}') == 0


async def _one(port: int, path: str) -> tuple[int, bool]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1]), f'"target": "{path}"'.encode() in answer


def all_at_once(port: int, prefix: str) -> list[tuple[int, bool]]:
    """Two hundred callers, each with a path of its own: the status, and whether it is the answer to that path."""

    async def play() -> list[tuple[int, bool]]:
        return await asyncio.gather(*(_one(port, f"{prefix}{number}") for number in range(CALLERS)))

    return asyncio.run(play())


def test_a_slow_endpoint_costs_the_time_before_the_second_attempt(
    sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream]
) -> None:
    """Whichever endpoint was asked first: the other's answer comes, and the hanging connection is closed."""
    slow, quick = upstreams
    slow.on("/judged/x", scripted.hang())
    quick.on("/judged/x", scripted.ok({"from": "quick"}))
    for number in range(1, 60):
        started = MONOTONIC()
        answer = ask(sidecar.port, "GET", "/judged/x")
        took = MONOTONIC() - started
        assert (answer.status, answer.json) == (200, {"from": "quick"})
        if answer.attempts == 2:
            break
        assert number < 50, "the slow one was never asked first"
    assert 0.1 <= took < 4.0
    assert slow.count("/judged/x") == 1
    assert quick.requests("/judged/x")[-1].get("x-sidecar-attempt") == "2"
    slow.wait_until_open(0)
    assert hedges(sidecar, "judged") == {"won": 1}
    assert sidecar.metric('sidecar_attempts_total{route="judged",upstream="two",result="overtaken"}') == 1
    assert sidecar.metric('sidecar_breaker_state{route="judged",state="closed"}') == 1, "the loser was counted"


def test_two_hundred_at_once_are_all_answered(sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream]) -> None:
    """Half of them were at the endpoint that hangs; nothing is mixed up, and nothing is left open there."""
    slow, quick = upstreams
    slow.otherwise(scripted.hang())
    quick.otherwise(scripted.echo())
    try:
        assert all_at_once(sidecar.port, "/pair/") == [(200, True)] * CALLERS
        at_rest(sidecar, "pair")
        assert hedges(sidecar, "pair")["won"] > CALLERS // 10
    finally:
        slow.otherwise(scripted.status(404))


def test_an_upstream_that_hangs_for_all_is_not_asked_twice_by_all(
    sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream]
) -> None:
    """The budget bounds what hedging adds: a fifth."""
    slow, _ = upstreams
    slow.otherwise(scripted.hang())
    before = slow.count()
    try:
        assert all_at_once(sidecar.port, "/poor/") == [(504, False)] * CALLERS
    finally:
        slow.otherwise(scripted.status(404))
    counts = hedges(sidecar, "poor")
    assert counts["failed"] <= CALLERS * 0.2
    assert counts["failed"] + counts["denied"] == CALLERS
    assert slow.count() - before <= CALLERS * 1.2
    at_rest(sidecar, "poor", "one")


def test_two_attempts_hold_one_slot(sidecar: RunningSidecar, upstreams: tuple[Upstream, Upstream]) -> None:
    """The bulkhead counts requests; after a race its slot is free."""
    slow, quick = upstreams
    slow.on("/judged/slot", scripted.delayed(0.3, scripted.ok({"n": 1})))
    quick.on("/judged/slot", scripted.delayed(0.3, scripted.ok({"n": 2})))
    answers = [ask(sidecar.port, "GET", "/judged/slot") for _ in range(3)]
    assert [(answer.status, answer.attempts) for answer in answers] == [(200, 2)] * 3
