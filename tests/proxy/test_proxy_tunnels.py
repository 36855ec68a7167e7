"""Requests to switch protocols: what is asked, what a 101 means to the policies, how a tunnel is told of."""

import asyncio

import pytest
from proxy_fakes import Caller, Line, World, a_breaker

from sidecar.policy.answer import Answer
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.expect import Expect
from sidecar.policy.fallback import Failover, LastKnownGood, Static
from sidecar.proxy.tunnels import allowed
from sidecar.wire.errors import BadRequest, Reset

ASKING = (
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, chat\r\nSec-WebSocket-Key: k\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("value", "protocols", "passed"),
    [
        (b"websocket", {b"websocket"}, b"websocket"),
        (b"WebSocket , chat/2,x", {b"websocket", b"chat"}, b"WebSocket, chat/2"),
        (b"chat/2, chat/3", {b"chat/3"}, b"chat/3"),
        (b"chat", {b"chat/3"}, b""),
        (b"websocket", set(), b""),
    ],
)
def test_what_is_allowed_is_named_with_or_without_its_version(
    value: bytes, protocols: set[bytes], passed: bytes
) -> None:
    """In any case of letters, in the caller's order; a name stands for all its versions."""
    assert allowed(value, frozenset(protocols)) == passed


def tunnel(**route: object) -> tuple[World, Caller, Line]:
    """Opened; both sides had something to say already."""
    world = World(**({"idle": 60.0} | route))  # type: ignore[arg-type]
    caller = Caller()
    caller.ahead = b"early"
    world.ask(ASKING, caller)
    line = world.lines.connect()
    line.switch(SWITCHED + b"first")
    return world, caller, line


def protocol(side: Caller | Line) -> asyncio.Protocol:
    """What the loop tells."""
    return side.pipe.protocol


def test_a_handshake_and_its_tunnel() -> None:
    """The 101 is passed on with our fields; then bytes are, and count; the line is written when both sides are gone."""
    world, caller, line = tunnel()
    assert line.asked == b"websocket"
    assert b"\r\nSec-WebSocket-Key: k\r\n" in line.sent
    assert line.sent.endswith(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (caller.status, caller.field(b"X-Own"), caller.field(b"Connection")) == (101, b"1", b"Upgrade")
    assert (caller.field(b"Upgrade"), caller.field(b"X-Sidecar-Attempts")) == (b"websocket", b"1")
    assert caller.field(b"X-Request-Id") is not None
    assert (line.pipe.written, caller.pipe.written) == (b"early", b"first")
    assert world.gateway.active == 1
    assert (len(world.told.of("tunnel_opened")), len(world.told.of("tunnel_closed"))) == (1, 0)
    assert world.results == ["ok"], "the attempt is measured at its 101"

    protocol(caller).data_received(b"more")
    protocol(caller).eof_received()
    protocol(line).data_received(b"a lot more")
    protocol(line).eof_received()
    protocol(line).connection_lost(None)
    assert not world.log
    protocol(caller).connection_lost(None)
    assert world.outcome == (101, "ok", "")
    assert len(world.told.of("tunnel_closed")) == 1
    (logged,) = world.log
    bytes_in, bytes_out = logged[10:12]
    assert (bytes_in, bytes_out) == (len("early") + len("more"), len(caller.written) + len("first") + len("a lot more"))
    world.at_rest()


@pytest.mark.parametrize(("who", "outcome"), [("caller", "client_gone"), ("upstream", "upstream_error")])
def test_how_a_tunnel_breaks_off_is_told(who: str, outcome: str) -> None:
    """Whose fault it was; the upstream is not judged by it any more."""
    world, caller, line = tunnel(breaker=(breaker := a_breaker(lambda: 0.0, consecutive_failures=1)))
    protocol(caller if who == "caller" else line).connection_lost(ConnectionResetError())
    assert world.outcome == (101, outcome, "client_gone" if who == "caller" else "reset")
    assert (line if who == "caller" else caller).pipe.end == "aborted"
    assert breaker.state == "closed"
    assert world.results == ["ok"]


def test_silence_and_the_end_of_the_process_are_ends_like_any() -> None:
    """Outcome ok, with the reason; the total deadline has no say after the 101."""
    world, caller, line = tunnel()
    for _ in range(5):
        world.advance(59.0)
        protocol(line).data_received(b".")
    world.advance(60.1)
    assert world.outcome == (101, "ok", "deadline")
    assert (caller.pipe.end, line.pipe.end) == ("closed", "closed")
    world.at_rest()

    world = World()
    exchange, caller = world.ask(ASKING)
    world.lines.connect().switch(SWITCHED)
    exchange.request_failed(BadRequest(503, "draining", ""))
    assert world.outcome == (101, "ok", "draining")
    world.at_rest()


def test_a_101_is_a_success_when_it_comes() -> None:
    """The breaker hears of it, `expect` and the memory of good answers see nothing of it; the slot is kept."""
    breaker = a_breaker(lambda: 0.0)
    expect = Expect(status=None, content_type="application/json", json_equals={}, json_present=(), max_body=10)
    world, caller, line = tunnel(
        breaker=breaker, expect=expect, bulkhead=Bulkhead(1), ladder=(LastKnownGood(60.0, ()),)
    )
    assert breaker.state == "closed"
    assert world.route.bulkhead is not None
    assert world.route.bulkhead.in_flight == 1
    assert world.target.pending == 0
    for side in (caller, line):
        protocol(side).eof_received()
    for side in (caller, line):
        protocol(side).connection_lost(None)
    assert len(world.store) == 0
    world.at_rest()


def test_a_handshake_is_retried_and_rescued_like_any_request() -> None:
    """A GET, until its 101; every attempt asks the same."""
    world = World(retry={"attempts": 2}, ladder=(Static(answer=Answer(200, (), b"{}")),))
    _, caller = world.ask(ASKING)
    first = world.lines.connect()
    first.fail(Reset())
    world.advance(0.2)
    second = world.lines.connect()
    assert first.asked == second.asked == b"websocket"
    second.fail(Reset())
    assert (caller.status, caller.ends) == (200, ["closed"])
    assert caller.field(b"Connection") == b"close"
    world.at_rest()


@pytest.mark.parametrize("switches", [True, False])
def test_nothing_of_the_first_upstream_is_held_while_the_second_serves(*, switches: bool) -> None:
    """Its failure, too long to be collected, was kept until it was clear that nobody wants it; not for hours after."""
    world = World()
    world.route.ladder = (Failover(upstream=world.spare_upstream),)
    _, caller = world.ask(ASKING)
    first = world.lines.connect()
    first.begin(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n")
    assert first.paused
    assert not first.abandoned
    second = world.spare.connect()
    if switches:
        second.switch(SWITCHED)
    else:
        second.begin(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    assert caller.status == (101 if switches else 200)
    assert first.abandoned
    assert world.log == []


@pytest.mark.parametrize("protocols", [frozenset[bytes](), frozenset({b"tls"})])
def test_what_is_not_allowed_is_a_plain_request(protocols: frozenset[bytes]) -> None:
    """RFC 9110 section 7.8: `Upgrade` may be ignored, and the connection goes on."""
    world = World(upgrades=protocols)
    _, caller = world.ask(ASKING)
    line = world.lines.connect()
    assert b"pgrade" not in line.sent
    assert not line.asked
    line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (caller.status, caller.ends) == (200, ["finished"])
    world.at_rest()


def test_heads_that_came_before_ask_the_same() -> None:
    """What is known of a head from its bytes is not the endpoint's answer to it: each request asks anew."""
    world = World()
    for _ in range(2):
        _, caller = world.ask(ASKING)
        line = world.lines.connect()
        assert line.asked == b"websocket"
        line.begin(b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n")
        line.end()
        assert (caller.status, caller.ends) == (426, ["closed"])
    world.at_rest()
