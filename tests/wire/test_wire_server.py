"""Laws of a caller's connection: one request at a time, one end for each, nothing without bounds."""

import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import READ, Answerer, Caller, Sink, at_end, at_once, cuts

from sidecar.wire.encode import chunk, last_chunk
from sidecar.wire.errors import BadRequest
from sidecar.wire.server import DISCARD, HELD, LINGER, TURN, WRITE_HIGH

GET = b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /%b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n%b"
CHUNKED = b"PUT /%b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%b"


@dataclass
class Sent:
    """A request, and what of it must arrive."""

    wire: bytes
    body: bytes = b""
    trailers: int = 0


@st.composite
def requests(draw: st.DrawFn, number: int) -> Sent:
    """One whose target is its number."""
    target = b"%d" % number
    kind = draw(st.sampled_from(["none", "empty", "counted", "chunked", "continue"]))
    if kind == "none":
        return Sent(GET % target)
    if kind == "empty":
        return Sent(POST % (target, 0, b"", b""))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4))
    body = b"".join(pieces)
    if kind == "chunked":
        trailers = draw(st.sampled_from([[], [(b"x-a", b"X-A", b"1")]]))
        return Sent(CHUNKED % (target, b"".join(map(chunk, pieces)) + last_chunk(trailers)), body, len(trailers))
    expect = b"Expect: 100-continue\r\n" if kind == "continue" else b""
    return Sent(POST % (target, len(body), expect, body), body)


@st.composite
def pipelines(draw: st.DrawFn) -> list[Sent]:
    """Several in a row."""
    return [draw(requests(number)) for number in range(draw(st.integers(1, 6)))]


def responses(data: bytes) -> list[bytes]:
    """The targets that the responses of an `Answerer` name, in order; interim ones are skipped."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            continue
        length = int(head.rpartition(b"Content-Length: ")[2])
        found.append(data[:length])
        data = data[length:]
    return found


# What comes, in order.


@given(st.data(), pipelines(), st.booleans())
def test_bytes_out_are_bytes_in(data: st.DataObject, sent: list[Sent], late: bool) -> None:  # noqa: FBT001 - drawn
    """Any cut of a pipeline gives the same heads, bodies and trailers, one request at a time, answers in order."""
    answerer = Answerer() if late else Answerer(accept=at_end, end=at_once)
    caller = Caller(answerer)
    for piece in data.draw(cuts(b"".join(request.wire for request in sent), most=20)):
        caller.send(piece)
        while late and answerer.sinks and not answerer.last.answered and is_whole(answerer.last):
            answerer.last.answer()
    assert [sink.head.target for sink in answerer.sinks] == [b"/%d" % number for number in range(len(sent))]
    for sink, request in zip(answerer.sinks, sent, strict=True):
        assert sink.body == request.body
        assert len(sink.trailers) == request.trailers
        assert sink.ends == (["end"] if request.body else [])
    assert responses(caller.transport.sent) == [sink.head.target for sink in answerer.sinks]
    assert caller.state == "open"


def is_whole(sink: Sink) -> bool:
    """Whether all of its request came."""
    return not sink.head.length or "end" in sink.told


@given(st.data(), pipelines(), st.sampled_from(["accept", "body", "end"]))
def test_a_sink_may_answer_whenever_it_likes(data: st.DataObject, sent: list[Sent], when: str) -> None:
    """Before the body, within it or after: nothing of one request is told to another's sink, and answers keep order.

    `Sink` itself fails when it is told anything after it answered.
    """

    def answer(sink: Sink) -> None:
        if not sink.answered:
            sink.answer()

    answerer = Answerer(**{"accept": at_end, "end": answer, when: answer})
    caller = Caller(answerer)
    for piece in data.draw(cuts(b"".join(request.wire for request in sent), most=20)):
        caller.send(piece)
    answered = [sink.head.target for sink in answerer.sinks if sink.answered]
    assert answered == [b"/%d" % number for number in range(len(answered))]
    assert responses(caller.transport.sent) == answered
    assert len(answered) == len(sent) or caller.state == "shut"


def test_pipelined_requests_do_not_deepen_the_stack() -> None:
    """Ten thousand that are answered at once are answered in a loop, and others get their turn in between."""
    depths = []

    def answer(sink: Sink) -> None:
        frame, depth = sys._getframe(), 0
        while frame := frame.f_back:  # type: ignore[assignment]
            depth += 1
        depths.append(depth)
        sink.answer()

    answerer = Answerer(accept=answer)
    caller = Caller(answerer)
    data = GET % b"x" * 10_000
    turns = 0
    for start in range(0, len(data), READ):
        caller.send(data[start : start + READ])
        while caller.later:
            turns += 1
            caller.run()
    assert len(depths) == 10_000
    assert max(depths) - min(depths) < 10
    assert turns


def test_a_turn_is_bounded() -> None:
    """One segment of pipelined requests is answered `TURN` at a time."""
    answerer = Answerer(accept=at_once)
    caller = Caller(answerer)
    caller.send(GET % b"x" * (3 * TURN))
    assert len(answerer.sinks) == TURN
    caller.later.pop(0)()
    assert len(answerer.sinks) == 2 * TURN
    caller.send(GET % b"y")  # it must not overtake
    caller.run()
    assert [sink.head.target for sink in answerer.sinks] == [b"/x"] * (3 * TURN) + [b"/y"]


def test_a_late_answer_lets_the_next_request_in() -> None:
    """What waits behind a request is read when its response is finished, and not before."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(GET % b"a" + GET % b"b" + b"not HTTP")
    assert len(answerer.sinks) == 1
    answerer.last.answer()
    assert len(answerer.sinks) == 2
    assert not answerer.rejected
    answerer.last.answer()
    assert answerer.rejected == []
    caller.send(b"\r\n\r\n")
    assert [error.status for error in answerer.rejected] == [400]


# Ends.


@given(st.data(), pipelines(), st.sampled_from(["eof", "lost", "reset"]))
def test_a_caller_may_leave_at_every_byte(data: st.DataObject, sent: list[Sent], how: str) -> None:
    """Whoever was asked hears so once, is told nothing more, and the server forgets the connection."""
    answerer = Answerer(end=at_once)
    caller = Caller(answerer)
    wire = b"".join(request.wire for request in sent)
    for piece in data.draw(cuts(wire[: data.draw(st.integers(0, len(wire)))])):
        caller.send(piece)
    waiting = [sink for sink in answerer.sinks if not sink.answered]
    if how == "eof":
        caller.transport.end()
        assert caller.transport.is_closing()
    caller.transport.lose(ConnectionResetError() if how == "reset" else None)
    for sink in answerer.sinks:
        assert sink.answered
        assert sink.told.count("gone") == (sink in waiting)
    assert not caller.server.connections
    assert not caller.server.leaving
    caller.connection.finish(0.0)  # a sink that did not know yet
    assert answerer.rejected == []


def test_a_caller_that_ends_its_half_is_gone() -> None:
    """Its request is given up at once, and what was written of the answer does not end like a whole one."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(GET % b"a")
    caller.connection.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
    caller.transport.end()
    assert answerer.last.told == ["accept", "gone"]
    assert caller.state == "reset"


def test_an_answer_on_its_way_survives_the_callers_end() -> None:
    """A caller that asks, ends its half and reads gets what was answered by then, in an orderly way."""
    caller = Caller(Answerer(accept=at_once), window=5)
    caller.send(GET % b"a")
    caller.transport.end()
    assert caller.state == "closed"
    assert responses(caller.transport.sent) == [b"/a"]


def test_abort_is_a_reset() -> None:
    """Nobody can take it for the end of a body, and the sink that asked for it hears nothing more."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(GET % b"a")
    caller.connection.abort()
    assert caller.state == "reset"
    caller.transport.lose()
    assert answerer.last.told == ["accept"]


def test_aborting_what_is_closed_touches_no_socket() -> None:
    """Its descriptor may belong to another connection by then."""
    caller = Caller(Answerer())
    caller.transport.close()
    caller.connection.abort()
    assert not caller.transport.socket.resets


@pytest.mark.parametrize("when", ["accept", "body", "end"])
def test_a_sink_may_abort_whenever_it_likes(when: str) -> None:
    """Also within a call: nothing that follows is a request."""

    def abort(sink: Sink) -> None:
        sink.answered = True
        sink.connection.abort()

    answerer = Answerer(**{when: abort})
    caller = Caller(answerer)
    caller.send(POST % (b"a", 3, b"", b"abc") + GET % b"b")
    assert len(answerer.sinks) == 1
    assert caller.state == "reset"


@pytest.mark.parametrize(
    ("request_", "close", "state"),
    [
        (GET % b"a", False, "open"),
        (GET % b"a", True, "shut"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False, "shut"),
        (b"GET / HTTP/1.0\r\n\r\n", False, "shut"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False, "open"),
    ],
)
def test_a_connection_lives_while_both_sides_want_it(request_: bytes, state: str, *, close: bool) -> None:
    """RFC 9112 section 9.3."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(request_)
    answerer.last.answer(close=close)
    assert caller.state == state


def test_what_follows_the_last_request_is_not_read() -> None:
    """After `Connection: close`, bytes are not a request, and do not wait in memory."""
    answerer = Answerer(accept=at_once)
    caller = Caller(answerer)
    caller.send(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET % b"b")
    caller.send(GET % b"c")
    assert [sink.head.target for sink in answerer.sinks] == [b"/a"]
    assert not caller.connection._reader.waiting


# Bodies that nobody wants.


@pytest.mark.parametrize(
    ("request_", "alive"),
    [
        (POST % (b"a", 10, b"", b"123"), True),
        (POST % (b"a", DISCARD + 3, b"", b"123"), True),
        (POST % (b"a", DISCARD + 4, b"", b"123"), False),
        (POST % (b"a", 10, b"Expect: 100-continue\r\n", b""), False),
        (POST % (b"a", 10, b"Expect: 100-continue\r\n", b"123"), True),
        (CHUNKED % (b"a", b"3\r\n123\r\n"), False),
        (CHUNKED % (b"a", b"3\r\n123\r\n0\r\n\r\n"), True),
    ],
)
def test_a_small_unread_body_does_not_cost_the_connection(request_: bytes, *, alive: bool) -> None:
    """What is little and known is read and dropped; else the head says `Connection: close`, and it is meant."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(request_)
    assert caller.connection.keeps_alive is alive
    answerer.last.answer()
    assert (caller.state == "open") is alive
    if alive:
        body = caller.connection._reader.body
        caller.send(b"x" * (0 if body is None else body.left) + GET % b"b")
        assert [sink.head.target for sink in answerer.sinks] == [b"/a", b"/b"]
        assert answerer.sinks[0].told[-1] != "gone"


def test_a_caller_that_stalls_an_unwanted_body_is_closed() -> None:
    """It has its answer; the rest of its body is not waited for longer than a head."""
    caller = Caller(Answerer(accept=at_once))
    caller.send(POST % (b"a", 10, b"", b"123"))
    caller.sweep(9.9)
    assert caller.state == "open"
    caller.sweep(0.2)
    assert caller.state == "closed"


def test_the_next_requests_time_begins_after_an_unwanted_body() -> None:
    """A connection is idle from the end of what was dropped, not from the answer."""
    caller = Caller(Answerer(accept=at_once), header_timeout=10.0, idle_timeout=10.0)
    caller.send(POST % (b"a", 10, b"", b"123"))
    caller.clock.now += 9
    caller.send(b"4567890")
    caller.sweep(9)
    assert caller.state == "open"


@pytest.mark.parametrize(
    ("request_", "status"),
    [(CHUNKED % (b"a", b"zz\r\n"), 400), (CHUNKED % (b"a", b"b\r\n12345678901\r\n0\r\n\r\n"), 413)],
)
def test_a_bad_body_ends_the_request_and_the_connection(request_: bytes, status: int) -> None:
    """Its sink hears of it once and answers; nothing that came with it is a request."""

    def refuse(sink: Sink) -> None:
        assert not sink.connection.keeps_alive
        sink.answer()

    answerer = Answerer(failed=refuse)
    caller = Caller(answerer, body=10)
    caller.send(request_ + GET % b"b")
    assert answerer.last.ends == ["failed"]
    assert isinstance(answerer.last.error, BadRequest)
    assert answerer.last.error.status == status
    assert caller.state == "shut"
    assert len(answerer.sinks) == 1


def test_a_sink_may_answer_a_bad_body_later() -> None:
    """Until it does, nothing more is told, and what comes is bounded."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(CHUNKED % (b"a", b"zz\r\n"))
    while not caller.transport.paused:
        caller.send(b"x" * 1000)
    assert len(caller.connection._reader.waiting) < HELD + 1000
    answerer.last.answer()
    assert answerer.last.told == ["accept", "failed"]
    assert caller.state == "shut"
    assert not caller.transport.paused


def test_a_caller_is_asked_for_its_body_once() -> None:
    """`send_continue` is for who waits to be asked, and only before its body comes (RFC 9110 section 10.1.1)."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(POST % (b"a", 6, b"Expect: 100-continue\r\n", b""))
    caller.connection.send_continue()
    caller.connection.send_continue()
    assert caller.transport.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.send(b"abcdef")
    answerer.last.answer()
    caller.send(POST % (b"a", 6, b"Expect: 100-continue\r\n", b"abc"))
    caller.connection.send_continue()
    assert caller.transport.sent.count(b"100 Continue") == 1


# Pace and memory.


def test_a_body_is_read_at_its_sinks_pace() -> None:
    """Paused, nothing is read; resumed, it goes on; all here, leaving is noticed again whatever the sink wants."""
    answerer = Answerer(body=lambda sink: sink.connection.pause())
    caller = Caller(answerer)
    caller.send(POST % (b"a", 6, b"", b"abc"))
    assert caller.transport.paused
    caller.connection.resume()
    caller.send(b"def")
    assert not caller.transport.paused
    assert answerer.last.ends == ["end"]
    caller.connection.pause()
    assert not caller.transport.paused


@pytest.mark.parametrize("request_", [POST % (b"a", 100, b"", b"abc"), CHUNKED % (b"a", b"3\r\nabc\r\n")])
def test_a_paused_caller_is_read_again_after_its_answer(request_: bytes) -> None:
    """Whether the rest is dropped or the connection closes: who is not read can't be heard leaving."""
    answerer = Answerer(body=lambda sink: sink.connection.pause())
    caller = Caller(answerer)
    caller.send(request_)
    assert caller.transport.paused
    answerer.last.answer()
    assert not caller.transport.paused


def flood(caller: Caller, data: bytes, segment: int = READ) -> int:
    """Sends as long as somebody reads, `data` at most; returns the most that waited."""
    most = 0
    for start in range(0, len(data), segment):
        if caller.transport.paused or caller.transport.is_closing():
            break
        caller.send(data[start : start + segment])
        most = max(most, len(caller.connection._reader.waiting))
    return most


@pytest.mark.parametrize("segment", [100, 4096, READ])
def test_what_is_sent_ahead_is_bounded(segment: int) -> None:
    """Behind a request that is not answered yet, `HELD` and one read wait, no more; then all of it is served."""
    answerer = Answerer()
    caller = Caller(answerer)
    count = 2 * READ // len(GET % b"x")
    assert HELD <= flood(caller, GET % b"x" * count, segment) < HELD + segment
    assert caller.transport.paused
    waiting = len(caller.connection._reader.waiting)
    while waiting >= len(GET % b"x"):
        answerer.last.answer()
        waiting -= len(GET % b"x")
    answerer.last.answer()
    assert not caller.transport.paused


def test_a_head_is_read_on_however_much_was_sent_ahead() -> None:
    """A partial head longer than `HELD` is not what reading stops for: its own limit bounds it."""
    answerer = Answerer()
    caller = Caller(answerer, header_bytes=2 * HELD)
    caller.send(GET % b"a")
    long = b"GET /b HTTP/1.1\r\nHost: h\r\nX: " + b"x" * HELD
    flood(caller, long)
    assert caller.transport.paused
    answerer.last.answer()
    assert not caller.transport.paused
    caller.send(b"\r\n\r\n")
    assert answerer.last.head.target == b"/b"


def test_nobody_has_more_answered_than_it_takes() -> None:
    """A caller that pipelines and does not read: `WRITE_HIGH` and one answer wait for it, then its requests do."""
    size = 10_000
    answerer = Answerer(accept=lambda sink: sink.answer(b"x" * size))
    caller = Caller(answerer, window=0)
    caller.send(GET % b"x" * 100)
    caller.run()
    assert len(caller.transport.unsent) <= WRITE_HIGH + size
    served = len(answerer.sinks)
    caller.send(GET % b"x" * 10)
    caller.run()
    assert len(answerer.sinks) == served
    for _ in range(110):
        caller.transport.read(size)
        caller.run()
        assert len(caller.transport.unsent) <= WRITE_HIGH + size
    assert len(answerer.sinks) == 110
    assert len(caller.transport.sent) == 110 * size


def test_a_sink_hears_of_a_full_caller() -> None:
    """Once when it is full, once when it has caught up; also if it wrote that much within `accept`."""
    answerer = Answerer(accept=lambda sink: sink.connection.write(b"x" * (WRITE_HIGH + 1)))
    caller = Caller(answerer, window=0)
    caller.send(GET % b"a")
    assert answerer.last.told == ["accept", "full"]
    caller.transport.read()
    assert answerer.last.told == ["accept", "full", "ready"]


def test_ten_thousand_tiny_chunks_are_told_as_one() -> None:
    """A sink is called once a read, however many chunks are in it."""
    answerer = Answerer(end=at_once)
    caller = Caller(answerer)
    caller.send(CHUNKED % (b"a", chunk(b"x") * 10_000 + b"0\r\n\r\n"))
    assert answerer.last.told == ["accept", "body", "end"]
    assert len(answerer.last.body) == 10_000


# Time.


def test_an_idle_connection_is_closed_in_its_time() -> None:
    """`idle_timeout` after its last answer, empty lines or not."""
    caller = Caller(Answerer(accept=at_once))
    caller.send(GET % b"a")
    caller.sweep(74)
    caller.send(b"\r\n")
    assert caller.state == "open"
    caller.sweep(1.1)
    assert caller.state == "closed"


def test_a_slow_head_is_refused_in_its_time() -> None:
    """`header_timeout` after its first byte, however many follow: 408, and the connection closes."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.sweep(20)
    for byte in b"GET / HTTP":
        caller.send(bytes([byte]))
        assert caller.state == "open"
        caller.sweep(1)
    assert [error.status for error in answerer.rejected] == [408]
    assert caller.state == "shut"


def test_half_an_empty_line_is_no_head() -> None:
    """However the empty line before a request is cut: nobody is told that its head did not come in time."""
    caller = Caller(Answerer(accept=at_once), header_timeout=10.0, idle_timeout=60.0)
    for piece in (b"\r", b"\n"):
        caller.send(piece)
    caller.sweep(11.0)
    assert caller.state == "open"
    caller.send(b"\r")
    caller.sweep(11.0)
    assert [error.status for error in caller.answerer.rejected] == [408]


def test_a_request_under_way_has_no_time_of_ours() -> None:
    """Its sink's deadline bounds it."""
    caller = Caller(Answerer())
    caller.send(GET % b"a")
    caller.sweep(1e6)
    assert caller.state == "open"


def test_lingering_ends() -> None:
    """After its last answer a caller may go on sending for `LINGER` seconds; nobody listens."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(b"no request\r\n\r\n")
    assert caller.state == "shut"
    caller.sweep(LINGER - 0.1)
    caller.send(b"x" * READ)
    assert caller.state == "shut"
    caller.sweep(0.2)
    assert caller.state == "aborted"
    assert len(answerer.rejected) == 1


@pytest.mark.parametrize("close", [False, True])
def test_a_slow_reader_gets_its_answer_to_the_end(*, close: bool) -> None:
    """As long as it takes some of it within `idle_timeout`, its time has not begun; when it stops, it has."""
    answerer = Answerer(accept=lambda sink: sink.answer(b"x" * 50_000, close=close))
    caller = Caller(answerer, window=0)
    caller.send(GET % b"a")
    for _ in range(49):
        caller.transport.read(1000)
        caller.sweep(70)
        assert not caller.transport.is_closing()
    caller.sweep(76)
    assert caller.transport.is_closing()


def test_who_never_reads_is_cut_off() -> None:
    """What waits for it is given up after `idle_timeout`; an orderly close would wait for ever."""
    caller = Caller(Answerer(accept=lambda sink: sink.answer(b"x" * 500_000)), window=0)
    caller.send(GET % b"a" * 3)
    caller.sweep(0.5)
    caller.sweep(75)
    assert caller.state == "aborted"


# Many connections.


def crowd(answerer: Answerer, count: int, **settings: Any) -> list[Caller]:
    """Callers of one server."""
    first = Caller(answerer, **settings)
    return [first, *(Caller(answerer, server=first.server) for _ in range(count - 1))]


def test_too_many_connections_are_refused_politely() -> None:
    """The one beyond `max_connections` gets a 503 and may read it; the others are served."""
    answerer = Answerer(accept=at_once)
    callers = crowd(answerer, 4, max_connections=3)
    assert [error.status for error in answerer.rejected] == [503]
    assert [caller.state for caller in callers] == ["open", "open", "open", "shut"]
    callers[3].send(GET % b"a")
    callers[0].send(GET % b"a")
    assert len(answerer.sinks) == 1


def test_a_refused_crowd_keeps_nobody_out() -> None:
    """Those who are leaving don't count: as soon as one place is free, the next is let in."""
    answerer = Answerer(accept=at_once)
    callers = crowd(answerer, 6, max_connections=3)
    assert len(answerer.rejected) == 3
    callers[0].transport.lose()
    late = Caller(answerer, server=callers[0].server)
    assert late.state == "open"
    assert Caller(answerer, server=callers[0].server).transport.is_closing()


def test_a_crowd_that_leaves_is_bounded() -> None:
    """No more linger than may be connected; the others are closed without waiting for them."""
    callers = crowd(Answerer(), 10, max_connections=2)
    assert [caller.state for caller in callers] == ["open"] * 2 + ["shut"] * 2 + ["closed"] * 6
    for caller in callers:
        caller.transport.lose()
    assert not callers[0].server.connections
    assert not callers[0].server.leaving


@pytest.mark.parametrize(
    ("data", "state"),
    [(b"", "closed"), (b"GET", "closed"), (GET % b"a", "open"), (POST % (b"skip", 9, b"", b""), "shut")],
)
def test_a_drain_closes_what_carries_no_request(data: bytes, state: str) -> None:
    """Idle, in mid-head, or done but for a body that nobody wants. What awaits its answer stays."""

    def answer_skips(sink: Sink) -> None:
        if sink.head.target == b"/skip":
            sink.answer()

    caller = Caller(Answerer(accept=answer_skips))
    caller.send(data)
    caller.connection.close_if_idle()
    assert caller.state == state


def test_an_answerer_that_fails_does_not_jam_the_loop() -> None:
    """An exception passes to the loop, which closes the connection; another segment is still read."""

    def fail(sink: Sink) -> None:
        raise ZeroDivisionError

    answerer = Answerer(accept=fail)
    caller = Caller(answerer)
    with pytest.raises(ZeroDivisionError):
        caller.send(GET % b"a" + GET % b"b")
    assert caller.connection._advancing is False


@pytest.mark.parametrize("data", [b"", b"GET", GET % b"a"])
def test_the_end_of_the_process_is_told_to_who_is_being_answered(data: bytes) -> None:
    """It answers, or cuts its answer off; nobody else hears of it."""
    answerer = Answerer(failed=lambda sink: sink.answer(close=True))
    caller = Caller(answerer)
    caller.send(data)
    caller.connection.drop()
    caller.connection.drop()
    assert [sink.told for sink in answerer.sinks] == ([["accept", "failed"]] if data == GET % b"a" else [])
    assert caller.state == ("shut" if answerer.sinks else "open")
