"""Health checks: what is sent, what passes, when they come, and that nothing ends them but their end."""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any, cast

import pytest
from fixtures import upstream as scripted
from fixtures.upstream import Upstream as Scripted

from sidecar import tasks
from sidecar.app.health import Check, Checks, request_bytes, waits
from sidecar.clock import MONOTONIC
from sidecar.policy.budget import RetryBudget
from sidecar.policy.endpoints import Upstream
from sidecar.policy.health import Health
from sidecar.proxy.target import Target
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import ConnectFailure
from sidecar.wire.pool import Pool


class Broken:
    """A dialer that fails in a way of its own."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def dial(self, factory: Callable[[], Any]) -> Any:
        """Never a connection."""
        raise self._error


def a_target(**changed: Any) -> Target:
    """An endpoint that one check turns; its pool is nobody's business here."""
    settings: dict[str, Any] = {
        "name": "http://a",
        "pool": cast("Pool", None),
        "authority": b"a.test:81",
        "health": Health(unhealthy_after=1, healthy_after=1),
    }
    return Target(**(settings | changed))


def a_check(dialer: object, target: Target | None = None, *, interval: float = 0.01, timeout: float = 5.0) -> Check:
    """Asks for /up."""
    target = target or a_target()
    upstream = Upstream(
        name="u",
        endpoints=[target],
        ejection=None,
        budget=RetryBudget(ratio=0.2, per_second=1.0, clock=MONOTONIC),
        clock=MONOTONIC,
        rng=Random(1),
    )
    return Check(
        upstream=upstream,
        target=target,
        dialer=cast("Dialer", dialer),
        path=b"/up",
        interval=interval,
        timeout=timeout,
        clock=MONOTONIC,
        rng=Random(1),
    )


def to(server: Scripted) -> Dialer:
    """A real one."""
    return Dialer(host=server.host, port=server.port, tls=None, connect_timeout=5.0, clock=MONOTONIC)


def test_the_first_comes_within_an_interval_and_the_others_about_one_apart() -> None:
    """A thousand replicas that start together are spread evenly, and do not fall into step."""
    firsts = sorted(next(waits(5.0, Random(seed))) for seed in range(1000))
    assert 0.0 <= firsts[0] < 0.1
    assert 4.9 < firsts[-1] < 5.0
    assert 2.0 < firsts[500] < 3.0
    later = list(islice(waits(5.0, Random(1)), 1, 1000))
    assert 4.5 <= min(later) < 4.6
    assert 5.4 < max(later) <= 5.5


def test_a_check_is_a_get_with_the_upstreams_own_headers() -> None:
    """After the base path, with its Host; a header of the configuration takes the place of ours."""
    assert request_bytes(a_target(base_path=b"/v1"), b"/up").startswith(b"GET /v1/up HTTP/1.1\r\nHost: a.test:81\r\n")
    target = a_target(added=b"User-Agent: probe\r\nX-Key: k\r\n", removed=frozenset({b"user-agent", b"x-key"}))
    assert request_bytes(target, b"/up") == (
        b"GET /up HTTP/1.1\r\nHost: a.test:81\r\nAccept: */*\r\nUser-Agent: probe\r\nX-Key: k\r\n"
        b"Connection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("behaviour", "found"),
    [
        (scripted.ok(), ""),
        (scripted.status(204), ""),
        (scripted.status(302), ""),
        (scripted.chunked(), ""),
        (scripted.until_close(), ""),
        (scripted.raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), ""),
        (scripted.status(404), "unexpected_response: status 404"),
        (scripted.status(503), "unexpected_response: status 503"),
        (scripted.reset(), "reset: connection closed before the response"),
        (scripted.raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "malformed_response: a 101 "),
    ],
)
def test_what_passes(behaviour: scripted.Behaviour, found: str) -> None:
    """A final status from 200 to 399, however its body is framed. No connection stays."""
    with Scripted() as server:
        server.otherwise(behaviour)
        told = asyncio.run(a_check(to(server)).ask())
        assert told.startswith(found)
        assert bool(told) == bool(found)
        assert server.faults == []
        server.wait_until_open(0)


def test_one_that_hangs_ends_with_its_timeout() -> None:
    """And lets go of its connection."""
    with Scripted() as server:
        server.otherwise(scripted.hang())
        assert asyncio.run(a_check(to(server), timeout=0.05).ask()) == "attempt_timeout: no answer within 0.05 s"
        server.wait_until_open(0)


def test_nothing_ends_the_checks(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a network's error nor a defect of ours: nothing else would bring the endpoint back."""
    assert asyncio.run(a_check(Broken(ConnectFailure("connection refused"))).ask()) == (
        "connect_failure: connection refused"
    )
    assert not caplog.records
    assert asyncio.run(a_check(Broken(KeyError("x"))).ask()) == "connect_failure: the check broke off"
    assert caplog.records[-1].getMessage() == "health check failed: KeyError"


def test_they_run_from_start_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    """Each turn of the endpoint is told once; after the stop no task is left."""
    caplog.set_level(logging.INFO, "sidecar")
    target = a_target()
    health = target.health
    assert health is not None

    async def play(server: Scripted) -> None:
        checks = Checks([a_check(to(server), target)])
        before = tasks.running()
        checks.start()
        for behaviour, well in ((scripted.status(500), False), (scripted.ok(), True)):
            server.otherwise(behaviour)
            async with asyncio.timeout(10.0):
                while health.well != well:  # noqa: ASYNC110 - it has no event: the metric polls it as well
                    await asyncio.sleep(0.005)
        checks.stop()
        while tasks.running() > before:  # noqa: ASYNC110 - a turn of the loop is what ends them
            await asyncio.sleep(0)

    with Scripted() as server:
        server.otherwise(scripted.ok())
        asyncio.run(play(server))
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("WARNING", "upstream u: http://a is unhealthy: unexpected_response: status 500"),
        ("INFO", "upstream u: http://a is healthy"),
    ]
