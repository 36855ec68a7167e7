"""Laws of exemplars: which request stands for a bucket or for a failure, and how it is written."""

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sidecar.telemetry.exemplars import Exemplars
from sidecar.telemetry.histogram import BUCKETS
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.route import RouteMetrics

NOW = 1_800_000_000.25


def traced(number: int, *, recorded: bool) -> bytes:
    """A traceparent of its own number."""
    return b"00-%032x-b7ad6b7169203331-%02x" % (number, recorded)


@pytest.fixture
def prometheus() -> Prometheus:
    """Counters of one route, at one moment."""
    return Prometheus(wall=lambda: NOW)


@pytest.fixture
def route(prometheus: Prometheus) -> RouteMetrics:
    """That route."""
    return prometheus.route("toggles")


def ok(route: RouteMetrics, seconds: float, traceparent: bytes | None) -> None:
    """A request that went well."""
    route.request_finished(b"GET", 200, "ok", seconds, traceparent)


def shown(prometheus: Prometheus) -> dict[tuple[Any, ...], tuple[int, float, float]]:
    """Trace, value and time of every exemplar, by its sample's name and last label value."""
    found = {}
    for family in text_string_to_metric_families(prometheus.render(openmetrics=True).decode()):
        for sample in family.samples:
            if sample.exemplar is not None:
                assert set(sample.exemplar.labels) == {"trace_id"}
                key = (sample.name, [*sample.labels.values()][-1])
                trace = int(sample.exemplar.labels["trace_id"], 16)
                found[key] = (trace, sample.exemplar.value, float(sample.exemplar.timestamp))
    return found


BUCKET = "sidecar_request_duration_seconds_bucket"


def test_a_bucket_shows_a_request_that_fell_into_it(prometheus: Prometheus, route: RouteMetrics) -> None:
    """With its trace, its own seconds and the time: in the bucket that its seconds belong to, and in no other."""
    ok(route, 0.02, traced(7, recorded=True))
    ok(route, 90.0, traced(8, recorded=True))
    assert shown(prometheus) == {(BUCKET, "0.025"): (7, 0.02, NOW), (BUCKET, "+Inf"): (8, 90.0, NOW)}


def test_plain_text_has_none(prometheus: Prometheus, route: RouteMetrics) -> None:
    """Only OpenMetrics has a place for them; a parser of the older format would refuse the scrape."""
    ok(route, 0.02, traced(7, recorded=True))
    assert b"trace_id" not in prometheus.render(openmetrics=False)


def test_a_request_without_a_trace_leaves_none(prometheus: Prometheus, route: RouteMetrics) -> None:
    """A refusal made no attempt, and so no trace."""
    ok(route, 0.02, None)
    route.request_finished(b"GET", 503, "refused", 0.0)
    assert shown(prometheus) == {}


def test_the_first_since_the_last_scrape_stands_for_its_bucket(prometheus: Prometheus, route: RouteMetrics) -> None:
    """So that each scrape brings news, and the thousandth request of a bucket costs nothing; silence keeps the old."""
    for recorded in (False, True):
        for number in (1, 2):
            ok(route, 0.02, traced(number, recorded=recorded))
        assert shown(prometheus)[BUCKET, "0.025"][0] == 1
        assert shown(prometheus)[BUCKET, "0.025"][0] == 1
        ok(route, 0.02, traced(3, recorded=recorded))
        assert shown(prometheus)[BUCKET, "0.025"][0] == 3


def test_once_a_trace_is_recorded_only_such_are_shown(prometheus: Prometheus, route: RouteMetrics) -> None:
    """Where traces can be opened, an exemplar is one that can; those of before are forgotten."""
    ok(route, 0.02, traced(1, recorded=False))
    ok(route, 3.0, traced(2, recorded=False))
    ok(route, 0.02, traced(3, recorded=True))
    for number in (4, 5):
        assert shown(prometheus) == {(BUCKET, "0.025"): (3, 0.02, NOW)}
        ok(route, 0.02, traced(number, recorded=False))
        ok(route, 3.0, traced(number, recorded=False))


def test_what_went_wrong_is_shown_at_its_count(prometheus: Prometheus, route: RouteMetrics) -> None:
    """Among many quick successes of the same bucket, a failure has an exemplar of its own."""
    for recorded in (False, True):
        ok(route, 0.02, traced(1, recorded=recorded))
        route.request_finished(b"GET", 502, "upstream_error", 0.02, traced(2, recorded=recorded))
        ok(route, 0.02, traced(3, recorded=recorded))
        assert shown(prometheus) == {
            (BUCKET, "0.025"): (1, 0.02, NOW),
            ("sidecar_requests_total", "upstream_error"): (2, 1.0, NOW),
        }
        route.request_finished(b"GET", 502, "upstream_error", 0.02, traced(1, recorded=recorded))
        assert shown(prometheus)["sidecar_requests_total", "upstream_error"][0] == 1


def test_a_failure_of_a_trace_that_nobody_records_gives_way(prometheus: Prometheus, route: RouteMetrics) -> None:
    """The same rule as for buckets."""
    route.request_finished(b"GET", 502, "upstream_error", 0.02, traced(1, recorded=True))
    shown(prometheus)
    route.request_finished(b"GET", 502, "upstream_error", 0.02, traced(2, recorded=False))
    assert shown(prometheus)["sidecar_requests_total", "upstream_error"][0] == 1


@pytest.mark.parametrize("flags", range(256))
def test_the_lowest_bit_of_the_flags_says_recorded(flags: int) -> None:
    """Whatever the others say (W3C Trace Context section 3.2.2.5), in every version."""
    exemplars = Exemplars(len(BUCKETS) + 1, lambda: NOW)
    exemplars.take(0, 0.0, b"cc-%032x-b7ad6b7169203331-%02x-later" % (1, flags), None)
    assert exemplars.wanted[1] is not bool(flags & 1)
    assert len(list(exemplars.by_bucket())) == 1
