"""Laws of the scrape: both formats, read by the parsers of prometheus_client and by promtool."""

import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from sidecar import __version__
from sidecar.revision import revision
from sidecar.telemetry import families
from sidecar.telemetry.prometheus import PIECE, Prometheus

NOW = 1_800_000_000.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def used() -> Prometheus:
    """Counters after a little of everything has happened, on a route whose name needs escaping."""
    prometheus = Prometheus(wall=lambda: NOW)
    prometheus.config_loaded(ok=True)
    for name in ("toggles", 'a "quoted"\\route\n50%', "-"):
        route = prometheus.route(name)
        route.expect_transitions()
        for _ in range(3):
            route.request_started()
        route.attempt_finished("connect", "ok", 0.002, 0.02, 0.03)
        route.attempt_finished("connect", "attempt_timeout", -1.0, -1.0, 4.0)
        route.request_finished(b"GET", 200, "ok", 0.03)
        route.request_finished(b"BREW", 503, "fail_closed", 4.1)
        route.retried("attempt_timeout")
        route.retry_denied("budget")
        route.refused("breaker_open")
        route.would_refuse("breaker_open")
        route.fell_back("last_known_good", "breaker_open")
        route.kept(NOW - 12.5)
        route.breaker_changed("closed", "open", 5.0)
    prometheus.gauge("sidecar_x", "X.", ("route",), lambda: [(("toggles",), 1.5)])
    prometheus.counter("sidecar_y_total", "Y.", (), lambda: [((), 7)])
    return prometheus


def flat(found: Iterable[Any]) -> Samples:
    """All samples by name and labels. Raises if one is there twice."""
    samples: Samples = {}
    for family in found:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples


def read(prometheus: Prometheus, *, openmetrics: bool) -> Samples:
    """The scrape, parsed."""
    parse = openmetrics_families if openmetrics else text_families
    return flat(parse(prometheus.render(openmetrics).decode()))


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample."""
    return samples[name, frozenset(labels.items())]


def without_process(samples: Samples) -> Samples:
    """All that does not change by itself from one scrape to the next."""
    return {key: number for key, number in samples.items() if not key[0].startswith("process_")}


def test_a_route_bound_again_goes_on_counting() -> None:
    """After a reload a route of the same name has the same counters."""
    prometheus = Prometheus()
    prometheus.route("a").refused("breaker_open")
    prometheus.route("a").refused("breaker_open")
    assert prometheus.totals("a").refused_by_reason == {"breaker_open": 2}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_scrape_says_what_happened(openmetrics: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Every fact is one sample of the contract's name and labels."""
    samples = read(used(), openmetrics=openmetrics)
    on = {"route": "toggles"}
    expected = {
        ("sidecar_requests_total", ("method", "GET"), ("code", "200"), ("outcome", "ok")): 1,
        ("sidecar_requests_total", ("method", "OTHER"), ("code", "503"), ("outcome", "fail_closed")): 1,
        ("sidecar_request_duration_seconds_bucket", ("le", "0.05")): 1,
        ("sidecar_request_duration_seconds_sum",): 4.13,
        ("sidecar_request_duration_seconds_count",): 2,
        ("sidecar_attempts_total", ("upstream", "connect"), ("result", "attempt_timeout")): 1,
        ("sidecar_upstream_duration_seconds_count", ("upstream", "connect"), ("phase", "connect")): 1,
        ("sidecar_upstream_duration_seconds_count", ("upstream", "connect"), ("phase", "first_byte")): 1,
        ("sidecar_upstream_duration_seconds_count", ("upstream", "connect"), ("phase", "total")): 2,
        ("sidecar_retries_total", ("reason", "attempt_timeout")): 1,
        ("sidecar_retries_denied_total", ("reason", "budget")): 1,
        ("sidecar_breaker_transitions_total", ("from", "closed"), ("to", "open")): 1,
        ("sidecar_breaker_transitions_total", ("from", "half_open"), ("to", "closed")): 0,
        ("sidecar_refused_total", ("reason", "breaker_open")): 1,
        ("sidecar_would_refuse_total", ("reason", "breaker_open")): 1,
        ("sidecar_fallbacks_total", ("kind", "last_known_good"), ("reason", "breaker_open")): 1,
        ("sidecar_last_known_good_age_seconds",): 12.5,
        ("sidecar_in_flight",): 1,
        ("sidecar_x",): 1.5,
    }
    for (name, *labels), number in expected.items():
        assert value(samples, name, **on, **dict(labels)) == pytest.approx(number), name
    assert value(samples, "sidecar_config_reloads_total", result="ok") == 1
    assert value(samples, "sidecar_config_reloads_total", result="rejected") == 0
    assert value(samples, "sidecar_y_total") == 7


def test_both_formats_say_the_same() -> None:
    """A scraper's choice of format changes no sample."""
    prometheus = used()
    text, openmetrics = (read(prometheus, openmetrics=choice) for choice in (False, True))
    assert without_process(text) == without_process(openmetrics)
    assert {name for name, _ in text} == {name for name, _ in openmetrics}


def test_a_scrape_in_pieces_is_the_scrape() -> None:
    """Whoever makes it bit by bit has small bits, and the same in the end, whatever is counted in between."""
    prometheus = used()
    for number in range(100):
        prometheus.route(f"route-{number}").attempt_finished("a", "ok", 0.1, 0.1, 0.1)
    whole = read(prometheus, openmetrics=True)
    pieces = []
    for number, piece in enumerate(prometheus.pieces(openmetrics=True)):
        pieces.append(piece)
        prometheus.route(f"late-{number}").refused("breaker_open")
        prometheus.gauge(f"sidecar_late_{number}", "Late.", ("route",), lambda: [(("a",), 1)])
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 2 * PIECE
    found = without_process(flat(openmetrics_families(b"".join(pieces).decode())))
    assert {key: number for key, number in found.items() if "late" not in key[0]} == without_process(whole)


def test_a_histogram_that_moved_after_a_scrape_shows_it_in_the_next() -> None:
    """What is kept of a scrape is never older than the counts."""
    prometheus = used()
    for expected in (3, 4):
        prometheus.route("toggles").request_finished(b"GET", 200, "ok", 0.0)
        samples = read(prometheus, openmetrics=False)
        assert value(samples, "sidecar_request_duration_seconds_count", route="toggles") == expected
        assert read(prometheus, openmetrics=False).keys() == samples.keys()


def test_promtool_finds_nothing_to_complain_about() -> None:
    """Prometheus's own checker accepts the scrape, its conventions on names and types included."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: it comes with Debian's package `prometheus` (make test installs it)"
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=used().render(openmetrics=False),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_openmetrics_ends_once() -> None:
    """`# EOF` is the last line and the only one of its kind."""
    text = used().render(openmetrics=True)
    assert text.endswith(b"\n# EOF\n")
    assert text.count(b"# EOF") == 1
    assert b"# EOF" not in used().render(openmetrics=False)


def test_each_family_is_headed_once() -> None:
    """A family whose lines stand in two places is refused by OpenMetrics parsers."""
    text = used().render(openmetrics=False).decode()
    headed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(headed) == len(set(headed))
    assert {family.name for family in families.COUNTED} <= set(headed)


def test_the_process_is_shown() -> None:
    """Build information and the process's own figures come from prometheus_client."""
    samples = read(Prometheus(), openmetrics=False)
    build = [labels for name, labels in samples if name == "sidecar_build_info"]
    assert [(dict(labels)["version"], dict(labels)["revision"]) for labels in build] == [(__version__, revision())]
    assert samples["process_resident_memory_bytes", frozenset()] > 1_000_000


def test_what_matched_no_route_has_no_gauges() -> None:
    """Requests under "-" are answered at once: there is nothing to be in flight or queued."""
    samples = read(used(), openmetrics=False)
    assert ("sidecar_in_flight", frozenset({("route", "-")})) not in samples
    labels = {"method": "GET", "code": "200", "outcome": "ok"}
    assert value(samples, "sidecar_requests_total", route="-", **labels) == 1


def test_no_age_before_an_answer_was_kept() -> None:
    """Absent, not 0: an alert on age must not see a fresh answer where there is none."""
    prometheus = Prometheus()
    prometheus.route("toggles")
    assert b"\nsidecar_last_known_good_age_seconds{" not in prometheus.render(openmetrics=False)


def test_an_age_is_never_negative() -> None:
    """A wall clock that stepped back makes an answer new, not from the future."""
    prometheus = Prometheus(wall=lambda: NOW)
    prometheus.route("toggles").kept(NOW + 100)
    samples = read(prometheus, openmetrics=False)
    assert value(samples, "sidecar_last_known_good_age_seconds", route="toggles") == 0


def test_a_gauge_is_read_at_the_scrape_and_replaced_by_its_name() -> None:
    """Values are those of the moment; after a reload the new objects are read, and only they."""
    prometheus = Prometheus()
    now = {"a": 1.0}
    prometheus.gauge("sidecar_x", "X.", ("route",), lambda: [((name,), v) for name, v in now.items()])
    assert value(read(prometheus, openmetrics=True), "sidecar_x", route="a") == 1
    now["a"] = float("inf")
    assert value(read(prometheus, openmetrics=True), "sidecar_x", route="a") == float("inf")
    prometheus.gauge("sidecar_x", "X.", ("route",), lambda: [(("b",), 2)])
    found = {key: number for key, number in read(prometheus, openmetrics=True).items() if key[0] == "sidecar_x"}
    assert found == {("sidecar_x", frozenset({("route", "b")})): 2}


def test_configurations_are_counted() -> None:
    """Each that was taken while serving, and each that was rejected; both show before either."""
    prometheus = Prometheus()
    samples = read(prometheus, openmetrics=False)
    assert value(samples, "sidecar_config_reloads_total", result="ok") == 0
    for _ in range(2):
        prometheus.config_loaded(ok=True)
    prometheus.config_loaded(ok=False)
    samples = read(prometheus, openmetrics=False)
    assert prometheus.reloads() == {"ok": 2, "rejected": 1}
    assert value(samples, "sidecar_config_reloads_total", result="ok") == 2
    assert value(samples, "sidecar_config_reloads_total", result="rejected") == 1


def test_a_rejected_configuration_shows_until_one_is_taken() -> None:
    """What runs is not what is written: true for as long as it is, however long ago it was rejected."""
    prometheus = Prometheus()
    for taken in (True, False, False, True):
        prometheus.config_loaded(ok=taken)
        assert value(read(prometheus, openmetrics=False), "sidecar_config_last_reload_successful") == taken


def test_totals_agree_with_the_scrape() -> None:
    """/status and /metrics are two views of the same counters."""
    totals = used().totals("toggles")
    assert totals.requests == 2
    assert totals.by_outcome == {"ok": 1, "fail_closed": 1}
    assert totals.refused_by_reason == totals.would_refuse_by_reason == {"breaker_open": 1}
    assert totals.fallbacks == {"last_known_good": 1}
    assert totals.in_flight == 1
    assert totals.newest_age == 12.5
    assert totals.p50 is not None
    assert totals.p99 is not None
    assert totals.p50 <= totals.p99


def test_totals_of_a_silent_route_are_nothing() -> None:
    """Zeros and None, so that /status can show a route before its first request."""
    totals = Prometheus().totals("quiet")
    assert (totals.requests, totals.p50, totals.p99, totals.newest_age) == (0, None, None, None)


def test_a_transition_nobody_listens_to_is_still_counted() -> None:
    """Reporting is somebody else's business: without a listener nothing breaks."""
    prometheus = Prometheus()
    prometheus.route("a").breaker_changed("closed", "open", 1.0)
    assert prometheus.route("a").transitions["closed", "open"] == 1


@pytest.mark.parametrize("openmetrics", [False, True])
def test_content_types_name_their_version(openmetrics: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A scraper chooses its parser by them."""
    kind = Prometheus.content_type(openmetrics)
    assert kind.startswith(
        "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
    )
