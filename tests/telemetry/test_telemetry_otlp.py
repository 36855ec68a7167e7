"""Facts become spans; the collector's address, who we say we are, and what is kept from the log."""

import logging
from pathlib import Path

import pytest
from fixtures import upstream as scripted
from fixtures.collector import PATH, TAKEN, Collector, read, spans_in

from sidecar.telemetry import otlp, process_log
from sidecar.telemetry.tracing import AttemptFacts, RequestFacts

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"


def facts(*, outcome: str = "ok", code: int = 200, attempts: tuple[AttemptFacts, ...] = ()) -> RequestFacts:
    """From 10 s to 12 s on the data plane's clock, which is 1000 s behind Unix time."""
    return RequestFacts(
        TRACE,
        b"00f067aa0ba902b7",
        b"",
        b"01",
        attempts=list(attempts),
        route="r",
        method=b"GET",
        code=code,
        outcome=outcome,
        began=10.0,
        ended=12.0,
        skew=1000.0,
    )


def an_attempt(result: str, status: int, endpoint: str = "https://api.example.com/v1") -> AttemptFacts:
    """The first of its request, half a second long."""
    return AttemptFacts(b"00000000000000aa", 1, "u", endpoint, result, status, 10.5, -1.0, -1.0, 0.5, is_hedge=False)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp", "https://c/otlp/v1/traces"),
        ("https://c/v1/traces", "https://c/v1/traces"),
    ],
)
def test_the_path_is_added_once(written: str, sent: str) -> None:
    """As for OTEL_EXPORTER_OTLP_ENDPOINT; an address that names it already stands."""
    assert otlp.endpoint(written) == sent


def test_the_environment_says_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own variables win over our defaults."""
    assert otlp.resource()["service.name"] == "sidecar"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "connect-sidecar")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-7")
    named = otlp.resource()
    assert (named["service.name"], named["k8s.pod.name"]) == ("connect-sidecar", "pod-7")


def test_times_are_unix_nanoseconds() -> None:
    """Of the request and of its attempts, by the one difference of the clocks."""
    request, attempt = read(otlp.message([facts(attempts=(an_attempt("ok", 200),))], otlp.resource()))
    assert (request.began, request.ended) == (1010 * 10**9, 1012 * 10**9)
    assert (attempt.began, attempt.ended) == (1010_500_000_000, 1011 * 10**9)


@pytest.mark.parametrize(
    ("result", "status", "error"),
    [
        ("ok", 200, None),
        ("ok", 404, "404"),
        ("upstream_error", 503, "503"),
        ("unexpected_response", 200, "unexpected_response"),
        ("attempt_timeout", 0, "attempt_timeout"),
        ("overtaken", 0, None),
        ("client_gone", 0, None),
    ],
)
def test_an_error_has_a_type_and_nobodys_fault_is_none(result: str, status: int, error: str | None) -> None:
    """`error.type` is the status where the answer was at fault, and otherwise a word of the closed vocabulary."""
    _, attempt = read(otlp.message([facts(attempts=(an_attempt(result, status),))], otlp.resource()))
    assert attempt.attributes.get("error.type") == error
    assert attempt.failed == (error is not None)


@pytest.mark.parametrize(
    ("endpoint", "address", "port"),
    [("https://api.example.com/v1", "api.example.com", 443), ("http://[::1]:8080", "::1", 8080), ("http://h", "h", 80)],
)
def test_the_address_is_the_configured_one(endpoint: str, address: str, port: int) -> None:
    """Host and port as written, the scheme's port where none was; never a path."""
    _, attempt = read(otlp.message([facts(attempts=(an_attempt("ok", 200, endpoint),))], otlp.resource()))
    assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == (address, port)
    assert not any("/v1" in str(value) for value in attempt.attributes.values())


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (scripted.status(400, b"quoted"), "it answered with 400"),
        (scripted.hang(), "it did not answer in time"),
        (scripted.reset(), "it can't be reached (ConnectionError)"),
    ],
)
def test_what_went_wrong_is_returned_and_not_logged(behaviour: scripted.Behaviour, why: str, tmp_path: Path) -> None:
    """OpenTelemetry's own log would have a line for each message, with what the collector said."""
    log = process_log.install(target=str(tmp_path / "log"))
    try:
        with Collector(behaviour) as sink:
            collector = otlp.Collector(sink.url, headers={}, timeout=0.3)
            assert collector.send([facts()]) == why
            collector.close()
        logging.getLogger("sidecar").warning("this is the log")
    finally:
        log.close()
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "this is the log" in line


def test_a_collector_that_is_busy_is_asked_once_more() -> None:
    """After a short while, whatever it says of when; then the spans are lost."""
    later = scripted.status(503, headers=[("Retry-After", "3600")])
    with Collector(scripted.in_turn(later, TAKEN, later, later, TAKEN)) as sink:
        collector = otlp.Collector(sink.url, headers={}, timeout=5.0)
        assert collector.send([facts()]) == ""
        assert sink.count(PATH) == 2
        assert collector.send([facts()]) == "it answered with 503"
        assert sink.count(PATH) == 4
        collector.close()


def test_it_goes_straight_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is the application's, and may be ourselves: a span of each span would never end."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Collector() as sink:
        collector = otlp.Collector(sink.url, headers={"X-Key": "k"}, timeout=5.0)
        assert collector.send([facts(), facts()]) == ""
        collector.close()
        (message,) = sink.requests(PATH)
    assert message.get("x-key") == "k"
    assert [span.name for span in spans_in(message)] == ["GET r", "GET r"]
