"""Laws of /status: the document says what the objects are."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from fixtures.policies import KEPT, Pool, World

from sidecar import __version__
from sidecar.admin.status import Status
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.fault import Fault
from sidecar.policy.health import Health
from sidecar.policy.outcome import Verdict
from sidecar.telemetry.prometheus import Prometheus


@pytest.fixture
def world() -> World:
    """Everything new."""
    return World()


@pytest.fixture
def prometheus() -> Prometheus:
    """Counters at zero; kept answers are dated from 1,000."""
    return Prometheus(wall=lambda: 1000.0)


@pytest.fixture
def why() -> list[str]:
    """Why it is not ready: the last word counts."""
    return [""]


@pytest.fixture
def status(world: World, prometheus: Prometheus, why: list[str]) -> Status:
    """The document's maker."""
    return Status(
        routes=world.routes,
        upstreams=[world.upstream],
        pools={"connect": [Pool(1, 2), Pool(3, 4)]},
        totals=prometheus.totals,
        ready=lambda: why[-1],
        wall=lambda: 1000.0,
        draining=lambda: why[-1] == "draining",
        clock=world.clock,
        kept=KEPT,
        disk=KEPT,
    )


def test_the_whole_document(world: World, prometheus: Prometheus, status: Status) -> None:
    """Dashboards read these names: the shape is a contract."""
    route = prometheus.route("guarded")
    route.request_started()
    route.request_started()
    route.request_finished(b"GET", 200, "ok", 0.004)
    route.refused("breaker_open")
    route.would_refuse("no_endpoint")
    route.fell_back("static", "breaker_open")
    route.kept(940.0)
    world.trip()
    world.upstream.judge(world.endpoints[1], Verdict.FAILURE)
    world.endpoints[0].pending = 2
    world.endpoints[0].health = Health(unhealthy_after=2, healthy_after=2)
    world.upstream.checked(world.endpoints[0], "reset: gone")
    world.now += 1.0
    world.routes[0].bulkhead = bulkhead = Bulkhead(1, queue=4, queue_timeout=9.0)
    bulkhead.enter()
    for _ in range(2):
        bulkhead.line_up(9.0)
    nothing = {
        "requests": 0,
        "by_outcome": {},
        "refused_by_reason": {},
        "would_refuse_by_reason": {},
        "fallbacks": {},
    }
    quiet = {
        "critical": False,
        "breaker": None,
        "fault": None,
        "bulkhead": None,
        "in_flight": 0,
        "tunnels": 0,
        "totals": nothing,
        "latency": {"p50": None, "p99": None},
        "last_known_good": {"newest_age_seconds": None},
    }
    assert status() == {
        "version": __version__,
        "uptime_seconds": 1.0,
        "ready": True,
        "draining": False,
        "routes": [
            {
                "name": "guarded",
                "upstream": "connect",
                "critical": False,
                "breaker": {
                    "state": "open",
                    "since_seconds": 1.0,
                    "retry_after": 4.0,
                    "dry_run": False,
                    "forced": None,
                },
                "fault": None,
                "bulkhead": {"limit": 1, "in_flight": 1, "queued": 2},
                "in_flight": 1,
                "tunnels": 0,
                "totals": {
                    "requests": 1,
                    "by_outcome": {"ok": 1},
                    "refused_by_reason": {"breaker_open": 1},
                    "would_refuse_by_reason": {"no_endpoint": 1},
                    "fallbacks": {"static": 1},
                },
                "latency": {"p50": 0.004, "p99": 0.005},
                "last_known_good": {"newest_age_seconds": 60.0},
            },
            {"name": "open", "upstream": "connect", **quiet},
            {"name": "-", "upstream": None, **quiet},
        ],
        "upstreams": [
            {
                "name": "connect",
                "endpoints": [
                    {
                        "name": "http://a",
                        "weight": 1,
                        "priority": 0,
                        "pending": 2,
                        "ejected": False,
                        "health": {"healthy": True, "last_failure": "reset: gone"},
                    },
                    {
                        "name": "http://b",
                        "weight": 1,
                        "priority": 0,
                        "pending": 0,
                        "ejected": True,
                        "health": None,
                    },
                ],
                "connections": {"idle": 4, "active": 6},
            }
        ],
        "last_known_good": {
            "entries": 2,
            "bytes": 3000,
            "state": "disk",
            "written": 5,
            "failed": 1,
            "dropped": 0,
        },
        "config": None,
    }


def test_a_store_without_a_disk(world: World, prometheus: Prometheus) -> None:
    """It is in memory, and writes nothing that could fail."""
    status = Status(
        routes=(),
        upstreams=(),
        pools={},
        totals=prometheus.totals,
        ready=str,
        draining=bool,
        clock=world.clock,
        kept=KEPT,
    )
    assert status()["last_known_good"] == {"entries": 2, "bytes": 3000, "state": "memory"}


def test_it_is_json(status: Status) -> None:
    """Every value has a word in JSON; encoding loses nothing."""
    said: dict[str, Any] = status()
    assert json.loads(msgspec.json.encode(said)) == said


@pytest.mark.parametrize(("reason", "ready", "draining"), [("", True, False), ("draining", False, True)])
def test_it_says_whether_it_is_ready(
    status: Status,
    why: list[str],
    reason: str,
    ready: bool,  # noqa: FBT001 - a parameter of the test
    draining: bool,  # noqa: FBT001 - the same
) -> None:
    """The same answers as /readyz gives."""
    why.append(reason)
    said = status()
    assert (said["ready"], said["draining"]) == (ready, draining)


def test_a_half_open_breaker_asks_nobody_to_wait(world: World, status: Status) -> None:
    """`retry_after` is open time left: none while probes are out."""
    world.trip()
    world.probe()
    breaker = status()["routes"][0]["breaker"]
    assert (breaker["state"], breaker["retry_after"]) == ("half_open", 0.0)


def test_an_upstream_without_connections_yet(world: World, prometheus: Prometheus) -> None:
    """No pool is no error: it has no connections."""
    status = Status(
        routes=(),
        upstreams=[world.upstream],
        pools={},
        totals=prometheus.totals,
        ready=str,
        draining=bool,
        clock=world.clock,
    )
    assert status()["upstreams"][0]["connections"] == {"idle": 0, "active": 0}


def test_what_an_operator_did_is_shown_until_it_is_over(world: World, status: Status) -> None:
    """Whoever comes on call later must see at once that an outage is an exercise."""
    world.breaker.force("closed", 30.0)
    world.routes[0].fault = Fault(
        abort=0, delay=2.0, reset=True, ratio=0.25, until=world.now + 90.0, clock=world.clock, rng=Random(1)
    )
    shown = status()["routes"][0]
    assert shown["breaker"]["forced"] == {"state": "closed", "until": "1970-01-01T00:17:10Z"}
    assert shown["fault"] == {
        "abort": None,
        "delay": 2.0,
        "reset": True,
        "ratio": 0.25,
        "until": "1970-01-01T00:18:10Z",
    }
    world.now += 30.0
    assert status()["routes"][0]["breaker"]["forced"] is None
    world.now += 60.0
    assert status()["routes"][0]["fault"] is None
