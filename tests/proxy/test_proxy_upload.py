"""A request's body on its way: while attempts change, while the upstream is slow, while the caller is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_fakes import BAD_GATEWAY, HELLO, Caller, Line, World, a_breaker

from sidecar.proxy.exchange import Exchange
from sidecar.proxy.replay import KEPT
from sidecar.wire.chunked import ChunkedDecoder
from sidecar.wire.errors import ConnectFailure, Reset

RETRIES = {"attempts": 3, "methods": (b"GET", b"PUT"), "on": ("connect_failure", "reset", "timeout", 502)}
STALE = Reset("closed", reused=True, silent=True)


def put(length: int | None, method: bytes = b"PUT", *more: bytes) -> bytes:
    """A request's head with a body to come; None: chunked."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"\r\n".join([method + b" /a HTTP/1.1", b"Host: app", framing, *more]) + b"\r\n\r\n"


def body_of(line: Line) -> bytes:
    """What was sent on a connection after the head of its request, chunks undone."""
    head, _, body = line.sent.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in head:
        return body
    return b"".join(ChunkedDecoder().feed(body))


def asked(length: int | None, method: bytes = b"PUT", **route: Any) -> tuple[World, Exchange, Caller]:
    """A request of which only the head has come."""
    world = World(**({"retry": RETRIES} | route))
    exchange, caller = world.ask(put(length, method))
    return world, exchange, caller


def test_a_small_body_is_waited_for_and_sent_with_its_head() -> None:
    """In one piece, and again in one piece."""
    world, exchange, caller = asked(5)
    assert caller.continued
    assert not world.lines.waiters
    exchange.request_body(b"hel")
    exchange.request_body(b"lo")
    exchange.request_end([])
    first = world.lines.connect()
    assert (body_of(first), first.whole) == (b"hello", True)
    first.fail(Reset("closed"))
    world.advance(0.2)
    second = world.lines.connect()
    assert (body_of(second), second.whole) == (b"hello", True)
    second.answer(HELLO)
    assert world.log[-1][10] == 5
    world.at_rest()


@pytest.mark.parametrize("length", [200_000, None])
def test_a_long_body_streams_before_its_end(length: int | None) -> None:
    """Every byte once, in order, framed as it came."""
    world, exchange, caller = asked(length)
    exchange.request_body(b"a" * 1000)
    line = world.lines.connect()
    assert caller.continued
    assert (body_of(line), line.whole) == (b"a" * 1000, False)
    exchange.request_body(b"b" * 199_000)
    assert body_of(line) == b"a" * 1000 + b"b" * 199_000
    exchange.request_end([(b"x-sum", b"X-Sum", b"1")] if length is None else [])
    assert line.whole
    if length is None:
        assert line.sent.endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n")
    line.answer(HELLO)
    world.at_rest()


def test_while_nobody_takes_it_no_more_than_64_kib_are_read() -> None:
    """Then the caller waits, until there is a connection."""
    world, exchange, caller = asked(200_000)
    exchange.request_body(b"a" * (KEPT - 1))
    assert not caller.paused
    exchange.request_body(b"a" * 2)
    assert caller.paused
    line = world.lines.connect()
    assert not caller.paused
    assert body_of(line) == b"a" * (KEPT + 1)
    exchange.request_body(b"b")
    assert body_of(line).endswith(b"ab")


def test_what_had_to_be_kept_beyond_64_kib_is_let_go_of_once_it_was_sent() -> None:
    """It came in one segment with what fitted."""
    world, exchange, _ = asked(200_000)
    exchange.request_body(b"a" * (KEPT + 1))
    world.lines.connect().fail(Reset("closed"))
    assert world.told.of("retry_denied") == [["body"]]


@pytest.mark.parametrize("sent", [KEPT, KEPT + 1])
def test_up_to_64_kib_it_can_be_sent_again(sent: int) -> None:
    """A byte more, and there is no second time: denied, counted, 502."""
    world, exchange, caller = asked(200_000)
    first = world.lines.connect()
    exchange.request_body(b"a" * sent)
    first.fail(Reset("closed"))
    if sent > KEPT:
        assert caller.status == 502
        assert world.told.of("retry_denied") == [["body"]]
    else:
        world.advance(0.2)
        second = world.lines.connect()
        assert body_of(second) == b"a" * sent
        exchange.request_body(b"b" * (200_000 - sent))
        exchange.request_end([])
        assert body_of(second) == b"a" * sent + b"b" * (200_000 - sent)
        second.answer(HELLO)
    world.at_rest()


def test_trailers_are_sent_again_too() -> None:
    """Whatever came of the request."""
    world, exchange, _ = asked(None)
    exchange.request_body(b"a")
    exchange.request_end([(b"x-sum", b"X-Sum", b"1")])
    world.lines.connect().fail(Reset("closed"))
    world.advance(0.2)
    line = world.lines.connect()
    assert line.sent.endswith(b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
    line.answer(HELLO)


def test_a_slow_upstream_slows_the_caller() -> None:
    """Back-pressure, and its end."""
    world, exchange, caller = asked(200_000)
    line = world.lines.connect()
    exchange.request_body(b"a")
    line.sink.upstream_full()
    assert caller.paused
    line.sink.upstream_ready()
    assert not caller.paused


def test_an_upstream_that_is_full_at_once_slows_the_caller_too() -> None:
    """What had been kept may be more than it takes: told while it is being written."""
    world, exchange, caller = asked(200_000)
    exchange.request_body(b"a" * KEPT)
    world.lines.connect(full_at_once=True)
    assert caller.paused


def test_a_stale_connection_does_not_cost_the_body() -> None:
    """What comes while a new one is made is kept for it, however much it is."""
    world = World(retry=RETRIES)
    stale = world.lines.add_idle()
    exchange, caller = world.ask(put(200_000, b"GET"))
    exchange.request_body(b"a" * 1000)
    stale.fail(STALE)
    exchange.request_body(b"b" * KEPT)
    assert caller.paused
    line = world.lines.connect()
    exchange.request_body(b"c" * (199_000 - KEPT))
    exchange.request_end([])
    assert body_of(line) == b"a" * 1000 + b"b" * KEPT + b"c" * (199_000 - KEPT)
    line.answer(HELLO)
    world.at_rest()


def test_a_body_that_ended_while_a_new_connection_is_made_goes_whole() -> None:
    """Its end is not lost."""
    world = World(retry=RETRIES)
    stale = world.lines.add_idle()
    exchange, _ = world.ask(put(None, b"GET"))
    exchange.request_body(b"a")
    stale.fail(STALE)
    exchange.request_body(b"b")
    exchange.request_end([])
    line = world.lines.connect()
    assert (body_of(line), line.whole) == (b"ab", True)
    assert line.sent.endswith(b"0\r\n\r\n")
    line.answer(HELLO)


def test_a_caller_that_stops_in_the_middle_is_its_own_fault() -> None:
    """408, closed, and the upstream, which only waits, is not blamed for it."""
    world, exchange, caller = asked(200_000)
    world.route.breaker = a_breaker(world.clock, consecutive_failures=1)
    world.lines.connect()
    exchange.request_body(b"a")
    world.advance(4.1)
    assert (caller.status, caller.field(b"connection"), caller.ends) == (408, b"close", ["closed"])
    assert world.outcome == (408, "bad_request", "request_timeout")
    assert world.route.breaker.state == "closed"
    assert world.results == ["request_timeout"]
    world.at_rest()


def test_an_upstream_that_stops_taking_it_is_to_blame() -> None:
    """It has been full all the time: the caller would have sent more."""
    world, exchange, caller = asked(200_000, retry={"attempts": 1})
    line = world.lines.connect()
    exchange.request_body(b"a")
    line.sink.upstream_full()
    world.advance(4.1)
    assert world.outcome == (504, "upstream_error", "attempt_timeout")
    assert caller.status == 504


def test_an_upstream_that_has_begun_to_answer_is_to_blame_for_the_rest() -> None:
    """Whether or not it waits for more of the request."""
    world, exchange, _ = asked(200_000, retry={"attempts": 1})
    line = world.lines.connect()
    exchange.request_body(b"a")
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    world.advance(4.1)
    assert world.outcome == (504, "upstream_error", "attempt_timeout")


def test_an_answer_that_comes_before_the_body_is_complete_is_the_answer() -> None:
    """What comes of the body after it goes nowhere, and disturbs nobody."""
    world, exchange, caller = asked(200_000)
    caller.keeps_alive = False
    line = world.lines.connect()
    exchange.request_body(b"a" * 1000)
    line.begin(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    line.end()
    assert (caller.status, caller.field(b"connection"), caller.body) == (413, b"close", b"no")
    assert caller.ends == ["closed"]
    world.at_rest()


def test_a_long_answer_may_overtake_the_body() -> None:
    """Both go on at once."""
    world, exchange, caller = asked(200_000)
    line = world.lines.connect()
    exchange.request_body(b"a" * 1000)
    line.begin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.request_body(b"b" * 1000)
    line.go_on(b"one")
    exchange.request_body(b"c" * 198_000)
    exchange.request_end([])
    assert len(body_of(line)) == 200_000
    line.end()
    assert caller.body == b"3\r\none\r\n0\r\n\r\n"
    world.at_rest()


def test_a_retry_before_the_body_is_complete_begins_with_what_was_kept() -> None:
    """A 502 that came early."""
    world, exchange, caller = asked(200_000)
    first = world.lines.connect()
    exchange.request_body(b"a" * 1000)
    first.begin(BAD_GATEWAY)
    first.end()
    exchange.request_body(b"b" * 1000)
    world.advance(0.2)
    second = world.lines.connect()
    assert body_of(second) == b"a" * 1000 + b"b" * 1000
    exchange.request_body(b"c" * 198_000)
    exchange.request_end([])
    assert len(body_of(second)) == 200_000
    second.answer(HELLO)
    assert caller.status == 200
    world.at_rest()


EVENTS = st.sampled_from(["body", "body", "body", "connect", "refuse", "reset", "stale", "time"])


@settings(deadline=None, max_examples=200)
@given(
    chunked=st.booleans(),
    sizes=st.lists(st.integers(1, 30_000), min_size=1, max_size=8),
    events=st.lists(EVENTS, max_size=25),
    method=st.sampled_from([b"PUT", b"GET"]),
)
def test_bytes_out_are_bytes_in_whatever_happens_to_the_attempts(
    chunked: bool,  # noqa: FBT001 - drawn
    sizes: list[int],
    events: list[str],
    method: bytes,
) -> None:
    """Every connection got a beginning of the body; the one that was answered got all of it, or nobody was."""
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    whole = b"".join(pieces)
    world = World(retry=RETRIES | {"attempts": 4, "base": 0.0})
    caller = Caller()
    exchange, _ = world.ask(put(None if chunked else len(whole), method), caller)
    left = list(pieces)
    for event in [*events, *["body"] * len(pieces)]:
        if caller.ends:
            break
        _happen(world, exchange, event, left)
    while not caller.ends and world.lines.waiters:
        world.lines.connect()
    for line in world.lines.all:
        assert whole.startswith(body_of(line))
    if not caller.ends:
        (open_line,) = [line for line in world.lines.all if line.sink is not None]
        assert (body_of(open_line), open_line.whole) == (whole, True)
        open_line.answer(HELLO)
    world.at_rest()


def _happen(world: World, exchange: Exchange, event: str, left: list[bytes]) -> None:
    line = next((line for line in world.lines.all if line.sink is not None), None)
    if event == "body" and left:
        exchange.request_body(left.pop(0))
        if not left:
            exchange.request_end([])
    elif event == "connect" and world.lines.waiters:
        world.lines.connect()
    elif event == "refuse" and world.lines.waiters:
        world.lines.refuse(ConnectFailure("refused"))
    elif event == "reset" and line is not None:
        line.fail(Reset("closed"))
    elif event == "stale" and line is not None:
        line.fail(STALE)
    elif event == "time":
        world.advance(0.02)
