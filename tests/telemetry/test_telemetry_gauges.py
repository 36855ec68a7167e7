"""Laws of what is read off living objects."""

from dataclasses import dataclass
from typing import Any

import pytest
from fixtures.policies import KEPT, Pool, World
from prometheus_client.parser import text_string_to_metric_families

from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.health import Health
from sidecar.policy.outcome import Verdict
from sidecar.telemetry import gauges
from sidecar.telemetry.prometheus import Prometheus


@dataclass
class Losing:
    """A log that loses lines."""

    dropped: int


@pytest.fixture
def world() -> World:
    """Everything new."""
    return World()


def shown(prometheus: Prometheus) -> dict[tuple[Any, ...], float]:
    """Every sample by name and label values."""
    text = prometheus.render(openmetrics=False).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def prometheus(world: World) -> Prometheus:
    """Counters that show the world."""
    made = Prometheus()
    gauges.show(
        made,
        routes=world.routes,
        upstreams=[world.upstream],
        pools={"connect": [Pool(1, 2), Pool(3, 4)]},
        access_log=Losing(9),
        kept=KEPT,
        disk=KEPT,
    )
    return made


def test_kept_answers_and_where_they_are(prometheus: Prometheus) -> None:
    """How many, how large, what became of their writes; exactly one of the two places holds them."""
    found = {key: value for key, value in shown(prometheus).items() if key[0].startswith("sidecar_last_known_good")}
    assert found == {
        ("sidecar_last_known_good_entries",): 2,
        ("sidecar_last_known_good_bytes",): 3000,
        ("sidecar_last_known_good_store", "disk"): 1,
        ("sidecar_last_known_good_store", "memory"): 0,
        ("sidecar_last_known_good_writes_total", "ok"): 5,
        ("sidecar_last_known_good_writes_total", "failed"): 1,
        ("sidecar_last_known_good_writes_total", "dropped"): 0,
    }


def test_a_store_in_memory_has_no_disk_to_tell_about(world: World) -> None:
    """An alert on `state="memory"` must not strike where memory is what was asked for."""
    made = Prometheus()
    gauges.show(made, routes=world.routes, upstreams=(), pools={}, kept=KEPT)
    names = {key[0] for key in shown(made) if key[0].startswith("sidecar_last_known_good")}
    assert names == {"sidecar_last_known_good_entries", "sidecar_last_known_good_bytes"}


def test_a_breaker_is_in_exactly_one_state(world: World, prometheus: Prometheus) -> None:
    """One of three series is 1, whichever state it is in; a route without a breaker has none."""
    states = {}
    for expected, step in (
        ("closed", lambda: None),
        ("open", world.trip),
        ("half_open", lambda: setattr(world, "now", 106.0) or world.breaker.admit()),
    ):
        step()
        states = {key[2]: value for key, value in shown(prometheus).items() if key[0] == "sidecar_breaker_state"}
        assert states == {**dict.fromkeys(gauges.STATES, 0.0), expected: 1.0}


def test_transitions_of_a_guarded_route_begin_at_zero(prometheus: Prometheus) -> None:
    """So that the first opening is a rise that an alert can see."""
    found = [key[1:] for key in shown(prometheus) if key[0] == "sidecar_breaker_transitions_total"]
    assert len(found) == 4
    assert ("guarded", "closed", "open") in found


def test_a_bulkhead_shows_its_limit_and_who_waits(world: World) -> None:
    """Every route says how many wait, 0 without a queue; only a bulkhead has a limit, and that may move."""
    world.routes[0].bulkhead = bulkhead = Bulkhead(1, queue=4, queue_timeout=9.0)
    bulkhead.enter()
    for _ in range(2):
        bulkhead.line_up(9.0)
    made = Prometheus()
    gauges.show(made, routes=world.routes, upstreams=[], pools={})

    def about(name: str) -> dict[Any, float]:
        return {key[1]: value for key, value in shown(made).items() if key[0] == name}

    assert about("sidecar_queued") == {"guarded": 2, "open": 0}
    assert about("sidecar_bulkhead_limit") == {"guarded": 1}
    bulkhead.limit = 7
    assert about("sidecar_bulkhead_limit") == {"guarded": 7}


def test_how_old_an_answer_may_be(world: World) -> None:
    """The ladder's own bound, so that an age can be compared with it; nothing where no answer is kept."""
    world.routes[0].ladder = (LastKnownGood(max_age=3600.0, identity=()),)
    made = Prometheus()
    gauges.show(made, routes=world.routes, upstreams=[], pools={})
    name = "sidecar_last_known_good_max_age_seconds"
    assert {key: value for key, value in shown(made).items() if key[0] == name} == {(name, "guarded"): 3600}


def test_an_ejected_endpoint_shows_until_it_is_back(world: World, prometheus: Prometheus) -> None:
    """1 while it is away, then 0 again, without anybody being asked in between."""
    name = ("sidecar_endpoint_ejected", "connect", "http://a")
    assert shown(prometheus)[name] == 0
    world.upstream.judge(world.endpoints[0], Verdict.FAILURE)
    assert shown(prometheus)[name] == 1
    assert shown(prometheus)["sidecar_endpoint_ejected", "connect", "http://b"] == 0
    world.now += 31.0
    assert shown(prometheus)[name] == 0


def test_the_word_of_health_checks_shows(world: World, prometheus: Prometheus) -> None:
    """1 until they have failed; no series where nobody checks."""
    world.endpoints[0].health = Health(unhealthy_after=1, healthy_after=1)
    name = "sidecar_endpoint_healthy"
    for why, expected in (("", 1), ("reset: gone", 0), ("", 1)):
        world.upstream.checked(world.endpoints[0], why)
        assert {key: value for key, value in shown(prometheus).items() if key[0] == name} == {
            (name, "connect", "http://a"): expected
        }


def test_connections_are_summed_over_endpoints(prometheus: Prometheus) -> None:
    """One series per upstream and state, however many endpoints it has."""
    samples = shown(prometheus)
    assert samples["sidecar_connections", "connect", "idle"] == 4
    assert samples["sidecar_connections", "connect", "active"] == 6


def test_lost_lines_are_a_counter(prometheus: Prometheus) -> None:
    """The access log's losses can be alerted on."""
    assert shown(prometheus)["sidecar_access_log_dropped_total",] == 9


def test_a_route_shows_before_its_first_request(prometheus: Prometheus) -> None:
    """A configured route has its gauges and its histogram at 0; a missing one is not configured."""
    samples = shown(prometheus)
    for route in ("guarded", "open"):
        assert samples["sidecar_in_flight", route] == 0
        assert samples["sidecar_request_duration_seconds_count", route] == 0
