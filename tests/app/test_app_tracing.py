"""Spans end to end: a caller, the sidecar, upstreams that fail, and a collector that reads what it is sent."""

import itertools
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_caller import Caller, ask
from fixtures import upstream as scripted
from fixtures.collector import PATH, Collector, Seen
from fixtures.process import RunningSidecar, free_port, run_sidecar
from fixtures.upstream import Upstream

from sidecar.clock import MONOTONIC

SECRET = "otlp-key-of-the-tests"
CONFIG = """
upstreams:
  main: {{endpoints: ["{main}/base"]}}
  backup: {{endpoints: ["{backup}"]}}
  pair: {{endpoints: ["{main}", "{backup}"], ejection: {{consecutive_failures: 0}}}}
  dead: {{endpoints: ["http://127.0.0.1:{dead}"]}}
defaults:
  upstream: main
  timeout: {{total: 5s}}
  breaker: {{enabled: false}}
  retry: {{budget: {{ratio: 100%, per_second: 1000}}, backoff: {{base: 1ms, max: 1ms}}}}
routes:
  - {{name: plain, match: {{prefix: /plain/}}}}
  - {{name: again, match: {{prefix: /again/}}, retry: {{attempts: 3}}}}
  - {{name: rescued, match: {{prefix: /rescued/}}, fallback: [{{upstream: backup}}]}}
  - {{name: hedged, match: {{prefix: /hedged/}}, upstream: pair, retry: {{attempts: 2, hedge: {{after: 50ms}}}}}}
  - {{name: dead, match: {{prefix: /dead/}}, upstream: dead}}
  - {{name: fragile, match: {{prefix: /fragile/}}, breaker: {{enabled: true, consecutive_failures: 1, open_for: 60s}}}}
  - {{name: limited, match: {{prefix: /limited/}}, rate_limit: {{per_second: 0.001, burst: 1}}}}
drain: {{quiet: 50ms}}
tracing: {{otlp: "{collector}", sample: {sample}, headers: {{X-Key: {{file: "{key}"}}}}}}
"""

_ids = itertools.count(1)


class World:
    """One sidecar that traces, its upstreams and its collector."""

    def __init__(self, directory: Path, collector: Collector, *, sample: str = "0%") -> None:
        self.main, self.backup, self.collector = Upstream(), Upstream(), collector
        key = directory / "key"
        key.write_text(SECRET)
        config = CONFIG.format(
            main=self.main.url,
            backup=self.backup.url,
            dead=free_port(),
            collector=collector.url,
            sample=sample,
            key=key,
        )
        self.sidecar = RunningSidecar(config, directory)

    def get(self, path: str, *, flags: str = "01") -> tuple[str, str, int]:
        """A GET within a trace of its own: its id, the caller's span, the status."""
        trace, span = new_trace()
        answer = ask(self.sidecar.port, "GET", path, {"traceparent": f"00-{trace}-{span}-{flags}"})
        return trace, span, answer.status

    def close(self) -> None:
        """Ends the upstreams; the sidecar is the test's to stop."""
        self.sidecar.kill()
        self.main.close()
        self.backup.close()


def new_trace() -> tuple[str, str]:
    """Ids of a trace and of a caller's span that no other test has."""
    number = next(_ids)
    return f"{number:032x}", f"{number:016x}"


def trace_of(upstream: Upstream, path: str) -> list[tuple[str, str, str]]:
    """Trace, span and flags that arrived with each request to a path."""
    values = [str(request.get("traceparent")) for request in upstream.requests(path)]
    return [tuple(re.fullmatch("00-(.{32})-(.{16})-(..)", value).groups()) for value in values]


def one_family(spans: list[Seen], caller: str) -> tuple[Seen, list[Seen]]:
    """The request's span, the caller's child, and those of its attempts, its own children, in time and in order."""
    (request,) = [span for span in spans if span.kind == "SERVER"]
    attempts = sorted(
        (span for span in spans if span.kind == "CLIENT"), key=lambda span: span.attributes["sidecar.attempt"]
    )
    assert len(attempts) == len(spans) - 1
    assert request.parent == caller
    assert all(attempt.parent == request.span for attempt in attempts)
    assert all(request.began <= a.began <= a.ended <= request.ended for a in attempts)
    assert len({span.span for span in spans} | {caller}) == len(spans) + 1
    return request, attempts


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Records what its callers ask it to, and nothing of its own accord."""
    with Collector() as collector:
        world = World(tmp_path_factory.mktemp("tracing"), collector)
        try:
            yield world
            assert world.sidecar.stop() == 0
            assert "Traceback" not in world.sidecar.log_text(), world.sidecar.log_text()
            assert "exchange failed" not in world.sidecar.log_text(), world.sidecar.log_text()
            assert SECRET not in world.sidecar.log_text()
        finally:
            world.close()


def test_a_request_and_its_attempt_are_spans_of_the_callers_trace(world: World) -> None:
    """Parent and child are right, the attempt's id is what the upstream got, and nothing personal is in either."""
    world.main.on("/base/plain/07700900123", scripted.ok())
    trace, caller = new_trace()
    answer = ask(
        world.sidecar.port,
        "GET",
        "/plain/07700900123?phone=07700900456",
        {
            "traceparent": f"00-{trace}-{caller}-01",
            "tracestate": "vendor=opaque, other=1",
            "Authorization": "Bearer personal",
            "X-Name": "Ada",
        },
    )
    request, (attempt,) = one_family(world.collector.wait_for_spans(trace, 2), caller)
    assert answer.status == 200
    assert trace_of(world.main, "/base/plain/07700900123") == [(trace, attempt.span, "01")]
    assert world.main.requests("/base/plain/07700900123")[0].get("tracestate") == "vendor=opaque, other=1"
    assert request.name == attempt.name == "GET plain"
    assert request.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "sidecar.route": "plain",
        "sidecar.upstream": "main",
        "sidecar.outcome": "ok",
        "sidecar.attempts": 1,
    }
    times = {name: attempt.attributes.pop(name) for name in ("sidecar.connect_seconds", "sidecar.first_byte_seconds")}
    assert all(0.0 < seconds < 5.0 for seconds in times.values())
    assert attempt.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": world.main.port,
        "sidecar.route": "plain",
        "sidecar.upstream": "main",
        "sidecar.attempt": 1,
    }
    assert not request.failed
    assert not attempt.failed
    assert request.resource["service.name"] == "sidecar"
    for secret in (b"07700900", b"phone", b"personal", b"Ada", b"X-Name", b"/plain/", b"/base"):
        assert secret not in request.raw + attempt.raw
    assert {message.get("x-key") for message in world.collector.requests(PATH)} == {SECRET}
    assert SECRET.encode() not in world.sidecar.admin("/config")[1]


def test_each_retry_is_a_span(world: World) -> None:
    """In order, numbered, each with its own result, and each sent with its own id."""
    world.main.on("/base/again/x", scripted.in_turn(scripted.status(503), scripted.half_body(), scripted.ok()))
    trace, caller, status = world.get("/again/x")
    request, attempts = one_family(world.collector.wait_for_spans(trace, 4), caller)
    assert status == 200
    assert [span for _, span, _ in trace_of(world.main, "/base/again/x")] == [attempt.span for attempt in attempts]
    told = [(a.attributes.get("http.request.resend_count"), a.attributes.get("error.type"), a.failed) for a in attempts]
    assert told == [(None, "503", True), (1, "reset", True), (2, None, False)]
    assert request.attributes["sidecar.attempts"] == 3
    assert not request.failed


def test_what_is_sent_again_on_another_connection_is_the_same_attempt(world: World) -> None:
    """The upstream had closed an idle connection: nobody retried, and one span says so."""
    world.main.on("/base/plain/stale", scripted.in_turn(scripted.ok(), scripted.reset(), scripted.ok()))
    world.get("/plain/stale", flags="00")
    trace, caller, status = world.get("/plain/stale")
    _, (attempt,) = one_family(world.collector.wait_for_spans(trace, 2), caller)
    assert status == 200
    assert [span for _, span, _ in trace_of(world.main, "/base/plain/stale")[1:]] == [attempt.span, attempt.span]


def test_a_hedge_is_a_sibling(world: World) -> None:
    """Two attempts at once, both recorded: the one that won, and the one that was overtaken, which is no error."""
    world.main.on("/hedged/y", scripted.delayed(3.0, scripted.ok()))
    world.backup.on("/hedged/y", scripted.delayed(0.3, scripted.ok()))
    trace, caller, status = world.get("/hedged/y")
    _, (first, second) = one_family(world.collector.wait_for_spans(trace, 3), caller)
    assert status == 200
    assert [first.attributes.get("sidecar.hedge"), second.attributes.get("sidecar.hedge")] == [None, True]
    overtaken, won = sorted((first, second), key=lambda span: span.attributes.get("sidecar.reason") != "overtaken")
    assert (won.attributes["http.response.status_code"], won.failed) == (200, False)
    assert (overtaken.attributes["sidecar.reason"], overtaken.failed) == ("overtaken", False)
    sent = trace_of(world.main, "/hedged/y") + trace_of(world.backup, "/hedged/y")
    assert {span for _, span, _ in sent} == {first.span, second.span}


def test_a_failover_is_an_attempt_too(world: World) -> None:
    """The failure and the rescue, each with its upstream; the request was answered, and says why it needed help."""
    world.main.on("/base/rescued/x", scripted.status(500))
    world.backup.on("/rescued/x", scripted.ok())
    trace, caller, status = world.get("/rescued/x")
    request, attempts = one_family(world.collector.wait_for_spans(trace, 3), caller)
    assert status == 200
    assert [(a.attributes["sidecar.upstream"], a.attributes["http.response.status_code"]) for a in attempts] == [
        ("main", 500),
        ("backup", 200),
    ]
    assert (request.attributes["sidecar.outcome"], request.attributes["sidecar.reason"]) == (
        "failover",
        "upstream_error",
    )
    assert not request.failed


def test_an_attempt_that_never_sent_anything_is_a_span(world: World) -> None:
    """Nobody listens: no status, no first byte, the reason as error; the same for the request."""
    trace, caller, status = world.get("/dead/x")
    request, (attempt,) = one_family(world.collector.wait_for_spans(trace, 2), caller)
    assert status == 502
    assert (attempt.failed, attempt.attributes["error.type"]) == (True, "connect_failure")
    assert "http.response.status_code" not in attempt.attributes
    assert (request.failed, request.attributes["error.type"]) == (True, "connect_failure")


def test_a_refusal_has_no_attempt(world: World) -> None:
    """A request that no upstream saw is one span, which says who refused it."""
    world.main.on("/base/fragile/x", scripted.status(500))
    assert world.get("/fragile/x", flags="00")[2] == 500
    trace, caller, status = world.get("/fragile/x")
    request, attempts = one_family(world.collector.wait_for_spans(trace, 1), caller)
    assert (status, attempts) == (503, [])
    assert (request.attributes["sidecar.reason"], request.failed) == ("breaker_open", True)
    assert "sidecar.upstream" not in request.attributes


def test_a_client_error_is_no_error_of_ours(world: World) -> None:
    """4xx: the attempt's span, a client's, is an error by OpenTelemetry's conventions; the request's is not."""
    world.main.on("/base/plain/none", scripted.status(404))
    trace, caller, _ = world.get("/plain/none")
    request, (attempt,) = one_family(world.collector.wait_for_spans(trace, 2), caller)
    assert (request.failed, attempt.failed, attempt.attributes["error.type"]) == (False, True, "404")


def test_a_caller_that_leaves_is_recorded(world: World) -> None:
    """Its request ends with it: outcome client_gone, no status, since none was ever sent."""
    world.main.on("/base/plain/gone", scripted.hang())
    trace, caller = new_trace()
    with Caller(world.sidecar.port) as connection:
        connection.send(
            f"GET /plain/gone HTTP/1.1\r\nHost: app\r\ntraceparent: 00-{trace}-{caller}-01\r\n\r\n".encode()
        )
        world.main.wait_for(1, "/base/plain/gone")
    request, (attempt,) = one_family(world.collector.wait_for_spans(trace, 2), caller)
    assert (request.attributes["sidecar.outcome"], attempt.attributes["sidecar.reason"]) == ("client_gone",) * 2
    assert "http.response.status_code" not in request.attributes
    assert not request.failed


def test_what_matches_no_route_has_no_path_in_its_name(world: World) -> None:
    """The name of a span comes from a closed set: methods known and routes configured."""
    trace, caller = new_trace()
    ask(world.sidecar.port, "PROPFIND", "/personal/07700900789", {"traceparent": f"00-{trace}-{caller}-01"})
    request, _ = one_family(world.collector.wait_for_spans(trace, 1), caller)
    assert (request.name, request.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert request.attributes["sidecar.reason"] == "no_route"
    assert b"personal" not in request.raw
    assert b"PROPFIND" not in request.raw


def test_what_is_not_sampled_passes_as_it_came(world: World) -> None:
    """Not a byte of its context changes, and nothing of it is ever exported."""
    world.main.on("/base/plain/quiet", scripted.ok())
    quiet, caller, _ = world.get("/plain/quiet", flags="00")
    assert trace_of(world.main, "/base/plain/quiet") == [(quiet, caller, "00")]
    ask(world.sidecar.port, "GET", "/plain/quiet")
    own, _, flags = trace_of(world.main, "/base/plain/quiet")[1]
    assert flags == "00"
    later, _, _ = world.get("/plain/quiet")  # whatever came before it has been exported before it
    world.collector.wait_for_spans(later, 2)
    assert world.collector.spans(quiet) == world.collector.spans(own) == []


def test_what_is_exported_is_counted(world: World) -> None:
    """The collector's count and ours agree; nothing was dropped."""
    world.main.on("/base/plain/counted", scripted.ok())
    trace, _, _ = world.get("/plain/counted")
    world.collector.wait_for_spans(trace, 2)
    seen = len(world.collector.spans())
    world.sidecar.until(lambda: world.sidecar.metric("sidecar_spans_exported_total") == seen, what="the same count")
    assert world.sidecar.metric("sidecar_spans_dropped_total") == 0


def test_with_a_ratio_of_one_a_trace_begins_here(tmp_path: Path) -> None:
    """No caller asked for it: the root is ours, the upstream sees its trace, and the end waits for the last spans."""
    with Collector() as collector:
        world = World(tmp_path, collector, sample="100%")
        try:
            world.main.on("/base/plain/x", scripted.ok())
            assert ask(world.sidecar.port, "GET", "/plain/x").status == 200
            assert world.get("/plain/x", flags="00")[2] == 200  # the caller has decided: not this one
            assert world.sidecar.stop() == 0
            request, attempt = collector.spans()
        finally:
            world.close()
    (sent, unsampled) = trace_of(world.main, "/base/plain/x")
    assert sent == (request.trace, attempt.span, "01")
    assert unsampled[2] == "00"
    assert (request.parent, attempt.parent) == ("", request.span)


@pytest.mark.parametrize("collector", ["hung", "refusing", "failing"])
def test_a_collector_that_does_not_take_them_costs_nobody_anything(tmp_path: Path, collector: str) -> None:
    """Every request is answered as fast as ever, the end of the process waits 2 s at most, and the log has one line."""
    behaviour = scripted.hang() if collector == "hung" else scripted.status(400, b"personal words")
    with Collector(behaviour) as sink:
        if collector == "refusing":
            sink.close()
        world = World(tmp_path, sink, sample="100%")
        try:
            world.main.otherwise(scripted.ok())
            began = MONOTONIC()
            with Caller(world.sidecar.port) as caller:
                statuses = [caller.ask("GET", f"/plain/{number}").status for number in range(300)]
            took = MONOTONIC() - began
            if collector == "failing":
                sink.wait_for(1)
            assert statuses == [200] * 300
            assert took < 5.0, took
            began = MONOTONIC()
            assert world.sidecar.stop(within=10.0) == 0
            assert MONOTONIC() - began < 3.0, "2 s for the last spans, and the drain"
        finally:
            world.close()
    log = world.sidecar.stderr()
    assert log.count("spans lost") == 1, log
    assert "opentelemetry" not in log
    assert "personal words" not in log
    assert "Traceback" not in log


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """One line and exit code 2, before anything is served; without `tracing` nobody misses it."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    config = tmp_path / "sidecar.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = (
            f"listen: 127.0.0.1:{taken.getsockname()[1]}\nadmin: {{listen: '127.0.0.1:0'}}\n"
            "upstreams: {u: {endpoints: ['http://127.0.0.1:1']}}\n"
            "routes: [{name: r, match: {prefix: /}, upstream: u}]\n"
        )
        env = {"PYTHONPATH": str(tmp_path)}
        config.write_text(base + "tracing: {otlp: 'http://127.0.0.1:4318'}\n")
        code, out, err = run_sidecar("run", "-c", str(config), env=env)
        config.write_text(base)
        without = run_sidecar("run", "-c", str(config), env=env)
    wanted = "sidecar: tracing needs an extra that is not installed: pip install 'resilience-sidecar[otel]'\n"
    assert (code, out, err) == (2, "", wanted)
    assert "otel" not in without[2]
    assert "in use" in without[2]
