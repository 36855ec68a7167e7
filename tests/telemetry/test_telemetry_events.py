"""Laws of the event log: what matters at once, the rest as one line per interval."""

import logging
from typing import Any

import pytest

from sidecar.telemetry.events import Events
from sidecar.telemetry.prometheus import Prometheus


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Lossy:
    """A log that loses lines."""

    def __init__(self) -> None:
        self.dropped = 0
        self.failure = ""


@pytest.fixture
def clock() -> Clock:
    """Virtual time."""
    return Clock()


@pytest.fixture
def prometheus() -> Prometheus:
    """The counters that are summed up."""
    return Prometheus()


@pytest.fixture
def lossy() -> Lossy:
    """The access log that is watched."""
    return Lossy()


@pytest.fixture
def events(prometheus: Prometheus, lossy: Lossy, clock: Clock, caplog: pytest.LogCaptureFixture) -> Events:
    """The events of those counters; what they say is in `caplog`."""
    caplog.set_level(logging.INFO, logger="sidecar")
    return Events(prometheus, lossy, clock=clock)


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of every record since the last look."""
    fields = [vars(record)["fields"] for record in caplog.records]
    caplog.clear()
    return fields


def test_nothing_happened_nothing_is_said(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    """A quiet sidecar writes no line."""
    for _ in range(5):
        events.tick()
    assert said(caplog) == []


def test_ten_thousand_refusals_are_one_line(
    events: Events, prometheus: Prometheus, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts by route and reason, of this interval alone; then silence."""
    for _ in range(10_000):
        prometheus.route("toggles").refused("breaker_open")
    prometheus.route("toggles").refused("no_endpoint")
    prometheus.route("search").would_refuse("breaker_open")
    prometheus.route("search").request_finished(b"GET", 503, "fail_closed", 0.1)
    clock.now = 10.0
    events.tick()
    (fields,) = said(caplog)
    assert fields == {
        "event": "summary",
        "seconds": 10.0,
        "refused": {"toggles": {"breaker_open": 10_000, "no_endpoint": 1}},
        "would_refuse": {"search": {"breaker_open": 1}},
        "fail_closed": {"search": {"requests": 1}},
    }
    events.tick()
    assert said(caplog) == []
    prometheus.route("toggles").refused("breaker_open")
    events.tick()
    assert said(caplog)[0]["refused"] == {"toggles": {"breaker_open": 1}}


def test_the_sum_of_all_summaries_is_the_counter(
    events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """No refusal is told twice and none is left out, wherever the intervals fall."""
    route = prometheus.route("r")
    for step in range(200):
        for _ in range(step % 7):
            route.refused("breaker_open")
        if step % 5 == 0:
            events.tick()
    events.tick()
    told = sum(fields["refused"]["r"]["breaker_open"] for fields in said(caplog))
    assert told == route.refusals["breaker_open",] > 0


def test_what_happened_before_the_start_is_not_told(prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """Counters may be older than the event log."""
    prometheus.route("r").refused("breaker_open")
    Events(prometheus).tick()
    assert said(caplog) == []


def test_a_breaker_that_opens_is_told_at_once_with_what_opened_it(
    events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per transition, a warning when it opens, with the failures counted just before."""
    route = prometheus.route("toggles")
    for _ in range(5):
        route.attempt_finished("connect", "attempt_timeout", -1.0, -1.0, 4.0)
    route.attempt_finished("connect", "ok", -1.0, 0.1, 0.1)
    events.tick()  # a summary in between hides nothing
    route.breaker_changed("closed", "open", 5.25)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = "breaker of toggles: closed to open for 5.2 s, after 5 connect attempt_timeout"
    assert record.getMessage() == text
    assert said(caplog) == [
        {
            "event": "breaker",
            "route": "toggles",
            "from": "closed",
            "to": "open",
            "open_for": 5.25,
            "failures": {"connect attempt_timeout": 5},
        }
    ]


def test_old_failures_are_not_blamed(events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """What failed more than two summaries ago did not open this breaker; another route's failures neither."""
    prometheus.route("r").attempt_finished("u", "reset", -1.0, -1.0, 0.1)
    events.tick()
    events.tick()
    prometheus.route("other").attempt_finished("u", "reset", -1.0, -1.0, 0.1)
    prometheus.route("r").breaker_changed("half_open", "open", 5.0)
    assert "failures" not in said(caplog)[0]


def test_a_breaker_that_recovers_is_news_and_no_warning(
    events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """Half-open and closed are told as they happen, at a level that pages nobody."""
    route = prometheus.route("r")
    route.breaker_changed("open", "half_open", 0.0)
    route.breaker_changed("half_open", "closed", 0.0)
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.INFO]
    assert [fields["to"] for fields in said(caplog)] == ["half_open", "closed"]


def test_lost_lines_are_told_at_once_and_then_every_ten_minutes(
    events: Events, lossy: Lossy, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that loses lines says so in the other one: how many since the last time, and why. A disk stays full."""
    lossy.dropped, lossy.failure = 40, "No space left on device"
    events.tick()
    events.tick()
    (told,) = said(caplog)
    assert (told["lines"], told["reason"]) == (40, "No space left on device")
    for _ in range(60):
        clock.now += 10.0
        lossy.dropped += 1
        events.tick()
    assert [fields["lines"] for fields in said(caplog)] == [60]


def test_an_outage_is_one_error_when_it_lasts_and_one_line_when_it_is_over(
    prometheus: Prometheus, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """However often the breaker probes in vain; the last line says how long it took and what callers got."""
    caplog.set_level(logging.INFO, logger="sidecar")
    events = Events(prometheus, clock=clock, escalate_after=60.0)
    route = prometheus.route("toggles")
    route.request_finished(b"GET", 200, "ok", 0.1)
    route.breaker_changed("closed", "open", 5.0)
    for _ in range(20):
        clock.now += 10.0
        route.request_finished(b"GET", 503, "fail_closed", 0.1)
        route.breaker_changed("open", "half_open", 0.0)
        route.breaker_changed("half_open", "open", 10.0)
        events.tick()
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    text = "breaker of toggles: not closed for 1 min; callers got since: 6 failed closed"
    assert error.getMessage() == text
    caplog.clear()
    route.breaker_changed("half_open", "closed", 0.0)
    (record,) = caplog.records
    text = (
        "breaker of toggles: half_open to closed, well again after 3 min 20 s; callers got meanwhile: 20 failed closed"
    )
    assert (record.levelno, record.getMessage()) == (logging.INFO, text)
    assert said(caplog)[0]["callers"] == {"fail_closed": 20}
    clock.now += 3600.0
    events.tick()
    assert said(caplog) == []


def test_a_breaker_that_is_no_more_is_no_error(
    prometheus: Prometheus, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A reload took the route away, or made its breaker anew: nobody waits for the old one to close."""
    broken = {"toggles"}
    events = Events(prometheus, clock=clock, escalate_after=60.0, broken=broken.__contains__)
    prometheus.route("toggles").breaker_changed("closed", "open", 5.0)
    broken.clear()
    events.tick()
    broken.add("toggles")
    clock.now += 3600.0
    events.tick()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_text_reader_is_told_the_same(
    events: Events, prometheus: Prometheus, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The message alone says it all: the text format has no fields."""
    for _ in range(3):
        prometheus.route("a").refused("breaker_open")
    prometheus.route("b").refused("no_endpoint")
    clock.now = 10.0
    events.tick()
    (record,) = caplog.records
    assert record.getMessage() == "in 10 s: refused a (3 breaker_open), b (1 no_endpoint)"


def test_what_exactly_was_wrong_is_told_once_per_interval(
    events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, one line per upstream and sentence, however often it happens and on whatever route."""
    for _ in range(1000):
        prometheus.route("r").explained("connect", "tls_failure", "certificate has expired")
        prometheus.route("s").explained("connect", "tls_failure", "certificate has expired")
    prometheus.route("r").explained("other", "tls_failure", "certificate has expired")
    assert [record.getMessage() for record in caplog.records] == [
        "upstream connect: tls_failure: certificate has expired",
        "upstream other: tls_failure: certificate has expired",
    ]
    assert said(caplog)[0] == {
        "event": "failure",
        "upstream": "connect",
        "reason": "tls_failure",
        "detail": "certificate has expired",
    }
    events.tick()
    prometheus.route("r").explained("connect", "tls_failure", "certificate has expired")
    assert len(said(caplog)) == 1


def test_failures_that_are_all_different_are_bounded(
    events: Events, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """A log that is flooded hides what it is for."""
    for number in range(1000):
        prometheus.route("r").explained("connect", "unexpected_response", f"{number}")
    assert len(said(caplog)) == 100
    events.tick()


def test_failed_handshakes_are_one_line(prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """Per listener and interval: how many, and why the last one; none where there were none."""
    failed = {"127.0.0.1:1": (0, ""), "unix:/s": (2, "before")}
    events = Events(prometheus, handshakes=lambda: failed)
    events.tick()
    said(caplog)
    failed["127.0.0.1:1"] = (7, "the peer does not speak TLS")
    events.tick()
    assert said(caplog) == [
        {"event": "handshakes", "listener": "127.0.0.1:1", "count": 7, "last": "the peer does not speak TLS"}
    ]
    events.tick()
    assert said(caplog) == []
