"""Two attempts of one exchange: which of them answers, and that nothing is left of the other."""

import pytest
from proxy_fakes import HELLO, Caller, Line, World

from sidecar.policy.delay import Delay
from sidecar.proxy.exchange import Exchange
from sidecar.wire.errors import ConnectFailure, Reset

BAD = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"
LONG = 100_000
BIG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG
BIG_BAD = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n" % LONG


def hedging() -> World:
    """A second attempt after 300 ms, at the same endpoint: there is one."""
    return World(retry={"attempts": 2, "hedge": Delay(0.3)})


def race() -> tuple[World, Exchange, Caller, Line, Line]:
    """Two lines, both asked."""
    world = hedging()
    first, second = world.lines.add_idle(), world.lines.add_idle()
    world.lines.idle.reverse()
    exchange, caller = world.ask()
    assert (first.sink is not None, second.sink is not None) == (True, False)
    world.advance(0.29)
    assert second.sink is None
    world.advance(0.03)
    assert second.sink is not None
    return world, exchange, caller, first, second


def reset() -> Reset:
    """A connection that ended too early."""
    return Reset("connection closed", reused=False, silent=False)


def test_a_quick_answer_is_the_only_attempt() -> None:
    """And no timer is left."""
    world = hedging()
    line = world.lines.add_idle()
    _, caller = world.ask()
    line.answer(HELLO)
    assert caller.status == 200
    assert world.results == ["ok"]
    world.at_rest()


@pytest.mark.parametrize("winner", [0, 1])
def test_the_first_answer_is_the_caller_s_and_the_other_connection_is_closed(winner: int) -> None:
    """At once: before its answer could come. Each said its number."""
    world, _, caller, *lines = race()
    for number, line in enumerate(lines, 1):
        assert b"X-Sidecar-Attempt: %d\r\n" % number in line.sent
    loser = lines[1 - winner]
    lines[winner].answer(HELLO)
    assert loser.abandoned
    assert (caller.status, caller.body, caller.ends) == (200, b"hello", ["finished"])
    assert caller.field(b"x-sidecar-attempts") == b"2"
    assert sorted(world.results) == ["ok", "overtaken"]
    assert world.told.of("hedged") == [[["lost", "won"][winner]]]
    world.at_rest()


@pytest.mark.parametrize("winner", [0, 1])
def test_a_long_answer_is_relayed_from_its_connection(winner: int) -> None:
    """The one that stands goes on, with back-pressure; the other is gone before the first byte."""
    world, exchange, caller, *lines = race()
    line, loser = lines[winner], lines[1 - winner]
    line.begin(BIG)
    assert loser.abandoned
    exchange.caller_full()
    assert line.paused
    exchange.caller_ready()
    line.go_on(b"x" * LONG)
    line.end()
    assert len(caller.body) == LONG
    world.at_rest()


def test_a_first_attempt_that_still_connects_keeps_its_number() -> None:
    """Whatever was begun meanwhile."""
    world = hedging()
    world.ask()
    world.advance(0.32)
    assert len(world.lines.waiters) == 2
    first, second = world.lines.connect(), world.lines.connect()
    assert b"X-Sidecar-Attempt: 1\r\n" in first.sent
    assert b"X-Sidecar-Attempt: 2\r\n" in second.sent
    second.answer(HELLO)
    assert first.abandoned
    world.at_rest()


def test_one_that_waits_for_its_connection_waits_no_more() -> None:
    """When the other has answered."""
    world = hedging()
    line = world.lines.add_idle()
    world.ask()
    world.advance(0.32)
    assert len(world.lines.waiters) == 1
    line.answer(HELLO)
    world.at_rest()


@pytest.mark.parametrize("survivor", [0, 1])
def test_when_one_fails_the_other_answers(survivor: int) -> None:
    """Nobody hears of it."""
    world, _, caller, *lines = race()
    lines[1 - survivor].fail(reset())
    assert not caller.written
    lines[survivor].answer(HELLO)
    assert caller.status == 200
    assert sorted(world.results) == ["ok", "reset"]
    world.at_rest()


@pytest.mark.parametrize("answer", [BAD, BIG_BAD])
@pytest.mark.parametrize("answered", [0, 1])
def test_of_two_failures_the_answer_is_passed_on(answer: bytes, answered: int) -> None:
    """Also when it was held while the other was waited for, and too long to be collected."""
    world, _, caller, *lines = race()
    line = lines[answered]
    if answer is BAD:
        line.answer(BAD)
    else:
        line.begin(answer)
    assert not caller.written
    lines[1 - answered].fail(reset())
    if answer is BIG_BAD:
        line.go_on(b"x" * LONG)
        line.end()
    assert caller.status == 500
    assert world.outcome == (500, "upstream_error", "upstream_error")
    assert world.told.of("hedged") == [["failed"]]
    world.at_rest()


def test_a_held_failure_is_let_go_of_when_the_other_succeeds() -> None:
    """Its connection is closed: its rest will never be read."""
    world, _, caller, first, second = race()
    first.begin(BIG_BAD)
    second.answer(HELLO)
    assert first.abandoned
    assert caller.status == 200
    assert sorted(world.results) == ["ok", "upstream_error"]
    world.at_rest()


def test_a_second_one_that_cannot_begin_is_a_failure_like_any() -> None:
    """Refused while the first still runs."""
    world = hedging()
    line = world.lines.add_idle()
    _, caller = world.ask()
    world.advance(0.32)
    world.lines.refuse(ConnectFailure("refused"))
    assert not caller.written
    line.answer(HELLO)
    assert caller.status == 200
    world.at_rest()


def test_a_caller_that_leaves_takes_both_along() -> None:
    """Both connections are closed, no timer is left, the outcome is its own."""
    world, exchange, _, first, second = race()
    exchange.caller_gone()
    assert first.abandoned
    assert second.abandoned
    assert world.outcome == (499, "client_gone", "client_gone")
    assert world.results == ["client_gone", "client_gone"]
    assert world.told.of("hedged") == [["client_gone"]]
    world.at_rest()


def test_a_caller_that_leaves_before_the_second_leaves_no_timer() -> None:
    """Nor does its time come."""
    world = hedging()
    world.lines.add_idle()
    exchange, _ = world.ask()
    exchange.caller_gone()
    world.advance(1.0)
    assert exchange.attempts == 1
    world.at_rest()


def test_both_may_time_out() -> None:
    """Each after its own time; the caller hears of it once."""
    world, _, caller, *_ = race()
    world.advance(4.0)
    assert world.results == ["attempt_timeout"]
    world.advance(0.4)
    assert world.results == ["attempt_timeout", "attempt_timeout"]
    assert caller.status == 504
    world.at_rest()


def test_a_body_that_is_here_goes_twice_and_one_that_is_not_goes_once() -> None:
    """A safe method may have one."""
    head = b"GET /a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\n"
    world = hedging()
    lines = [world.lines.add_idle(), world.lines.add_idle()]
    world.ask(head + b"hello")
    world.advance(0.32)
    assert [line.sent.endswith(b"\r\n\r\nhello") for line in lines] == [True, True]
    lines[0].answer(HELLO)
    world.at_rest()

    world = hedging()
    line = world.lines.add_idle()
    exchange, _ = world.ask(b"GET /a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n")
    world.advance(0.32)
    assert exchange.attempts == 1
    exchange.request_body(b"hello")
    exchange.request_end([])
    line.answer(HELLO)
    world.at_rest()


def test_another_protocol_is_asked_for_once() -> None:
    """Two handshakes would be two tunnels."""
    world = hedging()
    world.lines.add_idle()
    exchange, _ = world.ask(b"GET /a HTTP/1.1\r\nHost: app\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    world.advance(0.32)
    assert exchange.attempts == 1
    exchange.caller_gone()
    world.at_rest()
