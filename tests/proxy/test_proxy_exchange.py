"""One request being answered: what is written to whom, and that it ends once and leaves nothing behind."""

import gc
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from proxy_fakes import GET, HELLO, UNAVAILABLE, Caller, Line, World, a_breaker, trip

from sidecar.policy.answer import Answer
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.fallback import Failover, LastKnownGood, Static
from sidecar.proxy.exchange import Exchange
from sidecar.wire.errors import BadRequest, ConnectFailure, Reset

LONG = 100_000
POST = b"POST /a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nTransfer-Encoding: chunked\r\n\r\n"
BIG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG
BAD = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"
BIG_BAD = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n" % LONG


def reset(*, reused: bool = False, silent: bool = False) -> Reset:
    """A connection that ended too early."""
    return Reset("connection closed", reused=reused, silent=silent)


# The plain way.


def test_an_idle_connection_serves_at_once() -> None:
    """Every byte out and back, one count, one line."""
    world = World()
    line = world.lines.add_idle()
    _, caller = world.ask(b"GET /a?q=1 HTTP/1.1\r\nHost: app\r\nX-Request-Id: r-1\r\n\r\n")
    trace = line.sent.partition(b"traceparent: ")[2].partition(b"\r\n")[0]
    assert line.sent == (
        b"GET /a?q=1 HTTP/1.1\r\nHost: one.example\r\nVia: 1.1 "
        + world.gateway.ids.pseudonym
        + b"\r\nX-Request-Id: r-1\r\ntraceparent: "
        + trace
        + b"\r\nX-Sidecar-Attempt: 1\r\nX-Envoy-Expected-Rq-Timeout-Ms: 10000\r\n\r\n"
    )
    world.clock.now += 0.5
    line.answer(HELLO)
    assert caller.written == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        b"X-Request-Id: r-1\r\nX-Sidecar-Attempts: 1\r\n\r\nhello"
    )
    assert caller.ends == ["finished"]
    (logged,) = world.log
    assert logged[:14] == (
        *("toggles", b"GET", b"/a", b"q=1", 200, "ok", "", 0.5, 0.5, 1, 0, len(caller.written), b"r-1", ""),
    )
    assert b"\r\ntraceparent: %b\r\n" % logged[14] in line.sent
    assert logged[15] == [(b"host", b"Host", b"app"), (b"x-request-id", b"X-Request-Id", b"r-1")]
    assert world.told.of("attempt_finished") == [["connect", "ok", -1.0, 0.5, 0.5]]
    assert world.told.of("request_finished") == [[b"GET", 200, "ok", 0.5, trace]]
    world.at_rest()


def test_a_new_connection_is_told_how_much_time_is_left_when_it_is_there() -> None:
    """And its connect time is counted; the attempt's own began before."""
    world = World()
    world.ask()
    world.advance(1.5)
    line = world.lines.connect()
    assert b"X-Envoy-Expected-Rq-Timeout-Ms: 8500\r\n" in line.sent
    world.clock.now += 0.5
    line.answer(HELLO)
    assert world.told.of("attempt_finished") == [["connect", "ok", 0.25, 2.0, 2.0]]
    world.at_rest()


def test_the_caller_s_own_limit_is_what_is_left() -> None:
    """If it is shorter than the route's."""
    world = World()
    line = world.lines.add_idle()
    world.ask(b"GET /a HTTP/1.1\r\nHost: app\r\nX-Sidecar-Timeout: 800ms\r\n\r\n")
    left = line.sent.partition(b"X-Envoy-Expected-Rq-Timeout-Ms: ")[2]
    assert 799 <= int(left.partition(b"\r\n")[0]) <= 800
    line.answer(HELLO)


def test_each_attempt_says_its_number_and_the_answer_how_many_there_were() -> None:
    """The id and the trace stay the same."""
    world = World(retry={"attempts": 2})
    world.ask()
    first = world.lines.connect()
    first.fail(reset())
    world.advance(0.2)
    second = world.lines.connect()
    assert b"X-Sidecar-Attempt: 2\r\n" in second.sent
    for name in (b"X-Request-Id: ", b"traceparent: "):
        one, other = (line.sent.partition(name)[2].partition(b"\r\n")[0] for line in (first, second))
        assert one == other
    second.answer(HELLO)
    assert world.log[-1][9] == 2
    assert world.results == ["reset", "ok"]
    world.at_rest()


def test_what_matches_no_route_is_told_so() -> None:
    """404 under the route "-", without a count of attempts."""
    world = World()
    world.gateway.router = type(world.gateway.router)([])
    _, caller = world.ask(b"GET /a HTTP/1.1\r\nHost: app\r\nX-Request-Id: r\r\n\r\n")
    assert caller.status == 404
    assert json.loads(caller.body) == {
        "error_code": "NO_ROUTE",
        "reason": "no_route",
        "route": "-",
        "request_id": "r",
    }
    assert caller.field(b"x-sidecar-attempts") is None
    assert world.log[0][:7] == ("-", b"GET", b"/a", b"", 404, "refused", "no_route")
    world.at_rest()


def test_a_refusal_says_when_to_come_back_and_counts_no_attempt() -> None:
    """Remaining open time, rounded up."""
    world = World()
    world.route.breaker = a_breaker(world.clock)
    trip(world.route.breaker)
    world.clock.now += 1.5
    _, caller = world.ask()
    assert (caller.status, caller.field(b"retry-after")) == (503, b"4")
    assert caller.field(b"x-sidecar-attempts") is None
    assert json.loads(caller.body)["retry_after"] == 4
    assert caller.ends == ["finished"]
    world.at_rest()


def test_a_refusal_without_a_time_asks_for_a_second() -> None:
    """Whoever asks again at once would only be refused again. A fixed answer asks for nothing."""
    full = Bulkhead(1)
    full.enter()
    world = World(bulkhead=full)
    _, caller = world.ask()
    assert (caller.status, caller.field(b"retry-after")) == (503, b"1")
    world.route.ladder = (Static(Answer(200, (), b"{}")),)
    _, caller = world.ask()
    assert (caller.status, caller.field(b"retry-after"), caller.body) == (200, None, b"{}")
    assert caller.field(b"proxy-status") == b'sidecar; error=connection_limit_reached; details="bulkhead_full"'


def test_a_head_request_gets_no_body_of_ours() -> None:
    """But its length, as a GET would have had."""
    world = World(unavailable=UNAVAILABLE)
    _, caller = world.ask(b"HEAD /a HTTP/1.1\r\nHost: app\r\n\r\n")
    world.lines.refuse(ConnectFailure("refused"))
    assert (caller.field(b"content-length"), caller.body) == (b"19", b"")
    world.at_rest()


@pytest.mark.parametrize(
    ("start", "keeps", "line"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", True, None),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", False, b"close"),
        (b"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True, b"keep-alive"),
        (b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n", False, b"close"),
    ],
)
def test_the_answer_says_whether_the_connection_stays(
    start: bytes,
    keeps: bool,  # noqa: FBT001 - a parameter
    line: bytes | None,
) -> None:
    """In the words of the caller's version."""
    world = World()
    upstream = world.lines.add_idle()
    caller = Caller()
    caller.keeps_alive = keeps
    _, caller = world.ask(start, caller)
    upstream.answer(HELLO)
    assert caller.field(b"connection") == line
    assert caller.ends == ["finished" if keeps else "closed"]


# Streaming.


def streaming(head: bytes = STREAM, request: bytes = GET, **route: Any) -> tuple[World, Exchange, Caller, Line]:
    """An answer of which the head has been passed on."""
    world = World(**route)
    exchange, caller = world.ask(request)
    line = world.lines.connect()
    line.begin(head)
    return world, exchange, caller, line


def test_a_long_answer_is_passed_on_as_it_comes() -> None:
    """Head first; with its own length."""
    world, _, caller, line = streaming(BIG)
    assert caller.head[1] == b"Content-Length: %d" % LONG
    line.go_on(b"x" * 60_000)
    assert len(caller.body) == 60_000
    assert world.gateway.active == 1
    line.go_on(b"y" * 40_000)
    line.end()
    assert caller.body == b"x" * 60_000 + b"y" * 40_000
    assert caller.ends == ["finished"]
    assert world.outcome == (200, "ok", "")
    world.at_rest()


@pytest.mark.parametrize(("te", "end"), [(b"", b"0\r\n\r\n"), (b"TE: trailers\r\n", b"0\r\nX-Sum: 1\r\n\r\n")])
def test_a_chunked_answer_is_framed_anew_with_its_trailers(te: bytes, end: bytes) -> None:
    """Trailers only for who takes them (RFC 9110 section 6.5.1)."""
    _, _, caller, line = streaming(STREAM, b"GET /a HTTP/1.1\r\nHost: a\r\n" + te + b"\r\n")
    line.go_on(b"hello")
    line.go_on(b" you")
    line.end([(b"x-sum", b"X-Sum", b"1")])
    assert caller.field(b"transfer-encoding") == b"chunked"
    assert caller.body == b"5\r\nhello\r\n4\r\n you\r\n" + end


def test_a_caller_of_http_1_0_gets_a_stream_until_the_end() -> None:
    """It knows no chunks: the end of the connection is the end of the body."""
    _, _, caller, line = streaming(STREAM, b"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    line.go_on(b"hello")
    line.end()
    assert (caller.field(b"transfer-encoding"), caller.field(b"connection")) == (None, b"close")
    assert (caller.body, caller.ends) == (b"hello", ["closed"])


def test_a_stream_that_breaks_off_breaks_the_caller_s_connection() -> None:
    """It must not look complete: no last chunk, no orderly end."""
    world, _, caller, line = streaming()
    line.go_on(b"half")
    line.fail(reset())
    assert caller.body == b"4\r\nhalf\r\n"
    assert caller.ends == ["aborted"]
    assert world.outcome == (200, "upstream_error", "reset")
    assert world.results == ["reset"]
    world.at_rest()


def test_a_stream_ends_with_the_request_s_time() -> None:
    """The total deadline counts to the last byte."""
    world, _, caller, line = streaming(bulkhead=Bulkhead(1))
    world.advance(9.9)
    line.go_on(b"on time")
    assert caller.ends == []
    world.advance(0.2)
    assert caller.ends == ["aborted"]
    assert line.abandoned
    assert world.outcome == (200, "upstream_error", "deadline")
    world.at_rest()


def test_an_event_stream_lives_as_long_as_it_speaks() -> None:
    """Its bound is the silence between two events, not the deadline."""
    events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    world, _, caller, line = streaming(events, idle=30.0)
    for _ in range(5):
        world.advance(29.0)
        line.go_on(b"data: x\n\n")
    assert caller.ends == []
    world.advance(30.1)
    assert caller.ends == ["aborted"]
    world.at_rest()


def test_a_slow_caller_pauses_the_upstream_and_the_other_way_round() -> None:
    """Back-pressure reaches through."""
    _, exchange, _, line = streaming()
    assert not line.paused
    exchange.caller_full()
    assert line.paused
    exchange.caller_ready()
    assert not line.paused


def test_a_caller_that_is_full_when_the_relay_begins_stays_waited_for() -> None:
    """What was collected may already be more than it takes: the upstream stays paused until it has caught up."""
    world = World(ladder=(LastKnownGood(60.0, ()),))
    world.gateway.seen_bytes = 1000
    exchange, caller = world.ask()
    caller.full_from = 1500
    caller.exchange = exchange
    line = world.lines.connect()
    line.begin(STREAM)
    line.go_on(b"x" * 900)
    assert caller.written == b""
    line.go_on(b"x" * 900)
    assert exchange.caller_is_full
    assert line.paused
    exchange.caller_ready()
    assert not line.paused


@pytest.mark.parametrize(("request_start", "seen"), [(b"GET /a HTTP/1.1", True), (b"GET /a HTTP/1.0", False)])
def test_what_comes_before_the_answer_is_passed_on(request_start: bytes, seen: bool) -> None:  # noqa: FBT001
    """1xx, for callers that know what that is."""
    world = World()
    _, caller = world.ask(request_start + b"\r\nHost: a\r\n\r\n")
    line = world.lines.connect()
    line.interim(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert caller.written == (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if seen else b"")
    caller.written = b""
    line.answer(HELLO)
    assert caller.status == 200


# The commit point.


def test_a_short_answer_that_breaks_off_was_never_begun() -> None:
    """Up to 64 KiB nothing reaches the caller before all of it is here; so it can be tried again."""
    world = World(retry={"attempts": 2})
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n")
    first.go_on(b"x" * 65_535)
    assert caller.written == b""
    first.fail(reset())
    world.advance(0.2)
    world.lines.connect().answer(HELLO)
    assert (caller.status, caller.body) == (200, b"hello")
    world.at_rest()


def test_a_held_answer_makes_way_for_the_next_attempt() -> None:
    """A long 500 that is retried: its connection goes, its result is counted once."""
    world = World(retry={"attempts": 2, "on": (500,)})
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(BIG_BAD)
    assert first.paused
    world.advance(0.2)
    assert first.abandoned
    world.lines.connect().answer(HELLO)
    assert caller.body == b"hello"
    assert world.results == ["upstream_error", "ok"]
    world.at_rest()


def test_a_held_answer_is_passed_on_when_nobody_did_better() -> None:
    """What of it came meanwhile too, and the replica's own long failure is let go of."""
    world = World()
    world.route.ladder = (Failover(world.spare_upstream),)
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(BIG_BAD + b"begun, ")
    other = world.spare.connect()
    other.begin(BIG_BAD)
    assert other.abandoned
    assert caller.status == 500
    assert caller.body == b"begun, "
    first.go_on(b"x" * (LONG - 7))
    first.end()
    assert caller.ends == ["finished"]
    assert world.outcome == (500, "upstream_error", "upstream_error")
    assert world.results == ["upstream_error", "upstream_error"]
    world.at_rest()


def test_a_held_answer_that_ended_meanwhile_is_passed_on_whole() -> None:
    """Its end came with its beginning."""
    world = World()
    world.route.ladder = (Failover(world.spare_upstream),)
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    first.go_on(b"sorry")
    first.end()
    world.spare.refuse(ConnectFailure("refused"))
    assert (caller.status, caller.body, caller.field(b"content-length")) == (500, b"sorry", b"5")
    world.at_rest()


def test_a_held_answer_that_broke_off_meanwhile_is_told_as_that() -> None:
    """502, not half a 500."""
    world = World()
    world.route.ladder = (Failover(world.spare_upstream),)
    _, caller = world.ask()
    world.lines.connect().begin(BIG_BAD)
    world.lines.all[0].fail(reset())
    world.spare.refuse(ConnectFailure("refused"))
    assert caller.status == 502
    assert world.outcome == (502, "upstream_error", "reset")
    world.at_rest()


def test_two_replicas_that_fail_leave_nothing_behind() -> None:
    """The first upstream's answer is the one that is held."""
    world = World()
    world.route.ladder = (Failover(world.spare_upstream), Failover(world.spare_upstream))
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(BIG_BAD)
    world.spare.connect().begin(BIG_BAD)
    world.spare.connect().begin(BIG_BAD)
    first.go_on(b"x" * LONG)
    first.end()
    assert len(caller.body) == LONG
    assert [line.abandoned for line in world.spare.all] == [True, True]
    world.at_rest()


def test_two_replicas_of_which_the_second_helps_leave_nothing_behind() -> None:
    """Whatever was held is let go of when the answer is another's."""
    world = World()
    world.route.ladder = (Failover(world.spare_upstream), Failover(world.spare_upstream))
    _, caller = world.ask()
    first = world.lines.connect()
    first.begin(BIG_BAD)
    world.spare.connect().begin(BIG_BAD)
    world.spare.connect().answer(HELLO)
    assert caller.body == b"hello"
    assert caller.field(b"proxy-status") == b'sidecar; error=http_protocol_error; details="upstream_error"'
    assert first.abandoned
    assert world.outcome == (200, "failover", "upstream_error")
    world.at_rest()


# Leaving.


def _connecting(world: World) -> Exchange:
    return world.ask()[0]


def _awaiting(world: World) -> Exchange:
    exchange, _ = world.ask()
    world.lines.connect()
    return exchange


def _collecting(world: World) -> Exchange:
    exchange, _ = world.ask()
    world.lines.connect().begin(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    return exchange


def _relaying(world: World) -> Exchange:
    exchange, _ = world.ask()
    world.lines.connect().begin(BIG)
    return exchange


def _waiting(world: World) -> Exchange:
    exchange, _ = world.ask()
    world.lines.connect().fail(reset())
    return exchange


def _sending(world: World) -> Exchange:
    exchange, _ = world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    world.lines.connect()
    exchange.request_body(b"some")
    return exchange


def _not_sending(world: World) -> Exchange:
    return world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")[0]


def _in_doubt(world: World) -> Exchange:
    world.route.ladder = (Failover(world.spare_upstream),)
    exchange, _ = world.ask()
    world.lines.connect().begin(BIG_BAD)
    world.spare.connect()
    return exchange


PLACES = [_connecting, _awaiting, _collecting, _relaying, _waiting, _sending, _not_sending, _in_doubt]


@pytest.mark.parametrize("place", PLACES)
def test_a_caller_that_leaves_takes_everything_with_it(place: Callable[[World], Exchange]) -> None:
    """Wherever it was: nothing is held, one line says so, and nothing comes after it."""
    world = World(retry={"attempts": 2}, bulkhead=Bulkhead(1))
    place(world).caller_gone()
    status = 200 if place is _relaying else 499
    assert world.outcome == (status, "client_gone", "client_gone")
    assert all(line.abandoned or line.sink is None for line in (*world.lines.all, *world.spare.all))
    world.at_rest()
    world.advance(100.0)
    assert len(world.log) == 1


def test_a_leaver_says_nothing_about_the_upstream() -> None:
    """Its attempt is neutral: neither breaker nor endpoint hears of it; the count says who left."""
    world = World()
    world.route.breaker = a_breaker(world.clock, consecutive_failures=1)
    exchange, _ = world.ask()
    world.lines.connect()
    exchange.caller_gone()
    assert world.route.breaker.state == "closed"
    assert world.results == ["client_gone"]


# Bodies that go wrong.


def test_a_broken_body_is_rejected_and_the_attempt_is_not_counted_as_good() -> None:
    """The caller's fault: 4xx, closed; the upstream's connection can't be used again."""
    world = World()
    exchange, caller = world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    line = world.lines.connect()
    exchange.request_body(b"some")
    exchange.request_failed(BadRequest(413, "body_too_large", "too large"))
    assert (caller.status, caller.field(b"connection"), caller.ends) == (413, b"close", ["closed"])
    assert caller.field(b"x-sidecar-attempts") == b"1"
    assert line.abandoned
    assert world.results == ["body_too_large"]
    assert world.outcome == (413, "bad_request", "body_too_large")
    world.at_rest()


@pytest.mark.parametrize("critical", [False, True])
def test_the_end_of_the_process_is_told_as_the_route_tells_everything(critical: bool) -> None:  # noqa: FBT001
    """A caller that waits gets an answer it can parse; one that has half of one gets no other half."""
    ending = BadRequest(503, "draining", "the sidecar is ending")
    world = World(unavailable=UNAVAILABLE, critical=critical)
    exchange, caller = world.ask()
    line = world.lines.connect()
    exchange.request_failed(ending)
    assert (caller.status, caller.body, caller.ends) == (503, UNAVAILABLE.body, ["closed"])
    assert (caller.field(b"connection"), caller.field(b"retry-after")) == (b"close", b"1")
    assert line.abandoned
    assert world.outcome == (503, "fail_closed" if critical else "refused", "draining")
    assert world.told.of("refused") == [["draining"]]
    world.at_rest()

    world, exchange, caller, line = streaming()
    exchange.request_failed(ending)
    assert (caller.ends, line.abandoned) == (["aborted"], True)
    world.at_rest()


def test_a_body_that_breaks_while_the_answer_streams_breaks_it_off() -> None:
    """There is no second status line."""
    world = World()
    exchange, caller = world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    line = world.lines.connect()
    line.begin(STREAM)
    exchange.request_failed(BadRequest(400, "bad_request", "malformed"))
    assert caller.ends == ["aborted"]
    assert line.abandoned
    world.at_rest()


def test_a_small_body_that_does_not_come_is_408_and_the_end_of_the_connection() -> None:
    """RFC 9110 section 15.5.9. Nothing was asked of the upstream."""
    world = World(total=2.0)
    _, caller = world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    assert caller.continued
    world.advance(2.1)
    assert (caller.status, caller.field(b"connection"), caller.ends) == (408, b"close", ["closed"])
    assert not world.lines.waiters
    assert world.outcome == (408, "bad_request", "request_timeout")
    world.at_rest()


def test_a_defect_of_ours_costs_one_answer_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Logged with its place; the caller's connection ends, everything is given back."""
    world = World(bulkhead=Bulkhead(1), ladder=(LastKnownGood(60.0, ()),))
    world.gateway.store = None  # type: ignore[assignment]
    _, caller = world.ask()
    with caplog.at_level(logging.ERROR, "sidecar"):
        world.lines.refuse(ConnectFailure("refused"))
    assert caller.ends == ["aborted"]
    assert "exchange failed: AttributeError" in caplog.text
    world.at_rest()


def test_a_finished_request_leaves_no_cycle() -> None:
    """Whatever became of it: the collector has nothing to find."""
    world = World(retry={"attempts": 2}, bulkhead=Bulkhead(5))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            _plain(world)
            _retried(world)
            _streamed(world)
            _left(world)
            _answered_early(world)
        world.told.told.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()


def _plain(world: World) -> None:
    world.ask()
    world.lines.connect().answer(HELLO)
    world.lines.idle.clear()
    world.lines.all.clear()


def _retried(world: World) -> None:
    world.ask()
    world.lines.connect().fail(reset())
    world.advance(0.2)
    world.lines.connect().answer(BAD)
    world.lines.idle.clear()
    world.lines.all.clear()


def _streamed(world: World) -> None:
    world.ask()
    line = world.lines.connect()
    line.begin(BIG)
    line.go_on(b"x" * LONG)
    line.end()
    world.lines.all.clear()


def _answered_early(world: World) -> None:
    world.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    line = world.lines.connect()
    line.begin(BAD)
    line.end()
    world.lines.all.clear()


def _left(world: World) -> None:
    exchange, _ = world.ask()
    world.lines.connect()
    exchange.caller_gone()
    world.lines.all.clear()
