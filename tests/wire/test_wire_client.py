"""Laws of a connection to an upstream: one exchange, one end, and free again only when nothing can be mistaken."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import READ, Exchange, Upstream, cuts, singly

from sidecar.wire.client import MAX_HEAD, MAX_INTERIM, WRITE_HIGH
from sidecar.wire.encode import chunk, last_chunk
from sidecar.wire.errors import MalformedResponse, Reset
from sidecar.wire.known import KnownResponses

OK = b"HTTP/1.1 200 OK\r\n%b\r\n%b"
PLAIN = OK % (b"Content-Length: 2\r\n", b"hi")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass
class Answer:
    """A response, and what of it must arrive."""

    wire: bytes
    status: int = 200
    body: bytes = b""
    trailers: int = 0
    keeps: bool = True
    until_close: bool = False
    interims: int = 0


@st.composite
def answers(draw: st.DrawFn, *, until_close: bool = True) -> Answer:
    """Any framing, with or without interim responses before it."""
    interims = draw(st.lists(st.sampled_from([HINTS, CONTINUE]), max_size=3))
    kinds = ["none", "empty", "counted", "chunked", "close", *(["until_close"] if until_close else [])]
    kind = draw(st.sampled_from(kinds))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4))
    body = b"".join(pieces)
    if kind == "none":
        found = Answer(b"HTTP/1.1 204 No Content\r\n\r\n", status=204)
    elif kind == "empty":
        found = Answer(OK % (b"Content-Length: 0\r\n", b""))
    elif kind == "chunked":
        trailers = draw(st.sampled_from([[], [(b"x-a", b"X-A", b"1")]]))
        wire = b"".join(map(chunk, pieces)) + last_chunk(trailers)
        found = Answer(OK % (b"Transfer-Encoding: chunked\r\n", wire), body=body, trailers=len(trailers))
    elif kind == "until_close":
        found = Answer(OK % (b"", body), body=body, keeps=False, until_close=True)
    else:
        more = b"Connection: close\r\n" if kind == "close" else b""
        found = Answer(OK % (more + b"Content-Length: %d\r\n" % len(body), body), body=body, keeps=not more)
    found.wire = b"".join(interims) + found.wire
    found.interims = interims.count(HINTS)
    return found


def assert_answered(exchange: Exchange, answer: Answer) -> None:
    """All of it arrived, and one end."""
    assert exchange.head is not None
    assert exchange.ends in (["whole"], ["end"])
    assert (exchange.head.status, exchange.body, len(exchange.trailers)) == (
        answer.status,
        answer.body,
        answer.trailers,
    )
    assert len(exchange.interims) == answer.interims


# What comes.


@given(st.data(), st.lists(answers(), min_size=1, max_size=4), st.booleans())
def test_bytes_out_are_bytes_in(data: st.DataObject, sent: list[Answer], known: bool) -> None:  # noqa: FBT001 - drawn
    """Any cut of a response gives the same head, body and trailers, also where its head came before."""
    memory = KnownResponses()
    if known:
        for answer in sent:
            upstream = Upstream(memory)
            upstream.ask()
            upstream.send(answer.wire)
    upstream = Upstream(memory)
    for answer in sent:
        exchange = upstream.ask()
        for piece in data.draw(cuts(answer.wire, most=12)):
            assert not exchange.ends
            upstream.send(piece)
        if answer.until_close:
            assert not exchange.ends
            upstream.transport.end()
        assert_answered(exchange, answer)
        assert upstream.free is answer.keeps
        if not answer.keeps:
            break


@given(st.data(), answers(), st.binary(min_size=1, max_size=40))
def test_leftover_bytes_poison_a_connection(data: st.DataObject, answer: Answer, rest: bytes) -> None:
    """The response stands, but the connection serves nobody else: the rest could be taken for an answer."""
    if answer.until_close:
        return
    upstream = Upstream()
    exchange = upstream.ask()
    for piece in data.draw(cuts(answer.wire + rest)):
        upstream.send(piece)
    assert_answered(exchange, answer)
    assert not upstream.free
    assert upstream.transport.aborted
    assert upstream.keeper.gone == [upstream.connection]


@given(st.data(), answers(), st.sampled_from(["eof", "lost", "reset"]))
def test_an_upstream_may_leave_at_every_byte(data: st.DataObject, answer: Answer, how: str) -> None:
    """Exactly one end: complete only if it was complete, and what has no length only if its end was an orderly one."""
    upstream = Upstream()
    exchange = upstream.ask()
    count = data.draw(st.integers(0, len(answer.wire)))
    for piece in data.draw(cuts(answer.wire[:count])):
        upstream.send(piece)
    if how == "eof":
        upstream.transport.end()
    upstream.transport.lose(ConnectionResetError() if how == "reset" else None)
    head_came = exchange.head is not None
    complete = count == len(answer.wire) and not answer.until_close
    if complete or (answer.until_close and how == "eof" and head_came):
        assert exchange.ends in (["whole"], ["end"])
    else:
        assert exchange.ends == ["failed"]
        assert isinstance(exchange.error, Reset)
        assert exchange.error.silent is (count == 0)
    assert answer.body.startswith(exchange.body)
    assert upstream.keeper.gone == [upstream.connection]
    assert upstream.connection.closed
    assert not upstream.free


def test_a_cut_stream_is_no_end() -> None:
    """A body until close that is lost without an orderly end has failed: over TLS anybody can cut a connection."""
    upstream = Upstream()
    exchange = upstream.ask()
    upstream.send(OK % (b"", b"half"))
    upstream.transport.lose(None)
    assert exchange.ends == ["failed"]


@pytest.mark.parametrize("status", [b"200", b"204", b"304", b"404"])
def test_head_has_no_body(status: bytes) -> None:
    """Whatever its fields say, and although the same head came with a body before."""
    wire = b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\n" % status
    known = KnownResponses()
    before = Upstream(known)
    before.ask()
    before.send(wire + (b"hello" if status in (b"200", b"404") else b""))
    assert before.free
    upstream = Upstream(known)
    for method in (b"HEAD", b"HEAD"):
        exchange = upstream.ask(method)
        upstream.send(wire)
        assert exchange.ends == ["end"]
        assert exchange.body == b""
        assert upstream.free
    exchange = upstream.ask()
    upstream.send(wire + b"hello" if status in (b"200", b"404") else wire)
    assert exchange.ends == ["whole"]


def test_what_answers_head_is_not_remembered() -> None:
    """Its length is not what the same bytes mean elsewhere."""
    known = KnownResponses()
    upstream = Upstream(known)
    upstream.ask(b"HEAD")
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert not known._heads
    exchange = upstream.ask()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert exchange.told == ["head"]


# What must not come.


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01",
        b"HTTX",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        HINTS * (MAX_INTERIM + 1),
        CONTINUE * (MAX_INTERIM + 1),
    ],
)
@pytest.mark.parametrize("segment", [1, 7, READ])
def test_hostile_responses_fail(wire: bytes, segment: int) -> None:
    """Once, at the latest with their last byte, and the connection is gone."""
    upstream = Upstream()
    exchange = upstream.ask()
    for start in range(0, len(wire), segment):
        if upstream.transport.is_closing():
            break
        upstream.send(wire[start : start + segment])
    assert exchange.ends == ["failed"]
    assert isinstance(exchange.error, MalformedResponse)
    assert upstream.keeper.gone == [upstream.connection]
    upstream.transport.lose()


def test_some_interim_responses_are_allowed() -> None:
    """As many as `MAX_INTERIM` for each exchange: the count starts anew with the next."""
    upstream = Upstream()
    for _ in range(3):
        exchange = upstream.ask()
        upstream.send(HINTS * MAX_INTERIM)
        upstream.send(PLAIN)
        assert exchange.body == b"hi"
        assert len(exchange.interims) == MAX_INTERIM
        assert upstream.free


def test_bytes_on_an_idle_connection_close_it() -> None:
    """A 408 that nobody asked for must not answer the next request; it is forgotten before anybody can lease it."""
    upstream = Upstream()
    upstream.ask()
    upstream.send(PLAIN)
    assert upstream.free
    upstream.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert not upstream.free
    assert upstream.connection.closed


def test_an_idle_connection_that_ends_is_forgotten_at_once() -> None:
    """At its end of file, not when the loop has closed it: in between somebody could be given it."""
    upstream = Upstream()
    upstream.ask()
    upstream.send(PLAIN)
    upstream.transport.end()
    assert not upstream.free
    upstream.transport.lose()
    assert upstream.keeper.gone == [upstream.connection]


@pytest.mark.parametrize("count", [1, 2])
def test_a_reset_tells_whether_the_connection_was_used_before(count: int) -> None:
    """Reused and silent together are what a peer looks like that closed an idle connection (RFC 9112 section 9.3.1)."""
    upstream = Upstream()
    for _ in range(count - 1):
        upstream.ask()
        upstream.send(PLAIN)
    exchange = upstream.ask()
    upstream.transport.lose()
    assert isinstance(exchange.error, Reset)
    assert (exchange.error.reused, exchange.error.silent) == (count == 2, True)


@pytest.mark.parametrize("wire", [b"H", HINTS, CONTINUE])
def test_a_reset_after_any_byte_is_not_silent(wire: bytes) -> None:
    """The upstream has read the request then, and may have acted on it."""
    upstream = Upstream()
    exchange = upstream.ask()
    upstream.send(wire)
    upstream.transport.lose()
    assert isinstance(exchange.error, Reset)
    assert not exchange.error.silent


def test_a_slow_head_is_looked_at_once() -> None:
    """A head that comes byte by byte is found, and no more of it is held than it has."""
    upstream = Upstream()
    exchange = upstream.ask()
    for piece in singly(HINTS + OK % (b"X: " + b"x" * 5000 + b"\r\nContent-Length: 2\r\n", b"")):
        upstream.send(piece)
    assert exchange.told == ["interim", "head"]
    assert not upstream.connection._buffer


# Sinks that do something about it.


def abandon(exchange: Exchange) -> None:
    """Lets go, within a call."""
    exchange.abandon()


@pytest.mark.parametrize("event", ["interim", "head", "body"])
@pytest.mark.parametrize("segment", [1, READ])
@pytest.mark.parametrize(
    "wire",
    [
        HINTS + OK % (b"Content-Length: 0\r\n", b""),
        HINTS + PLAIN,
        HINTS + OK % (b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n"),
        HINTS + OK % (b"", b"hi"),
    ],
)
def test_a_sink_may_let_go_whenever_it_likes(wire: bytes, event: str, segment: int) -> None:
    """Within a call too: it hears nothing more, and the connection is closed."""
    upstream = Upstream()
    exchange = upstream.ask(**{event: abandon})
    for start in range(0, len(wire), segment):
        upstream.send(wire[start : start + segment])
    if "abandoned" in exchange.told:
        assert exchange.told[-1] == "abandoned"
        assert upstream.keeper.gone == [upstream.connection]
        upstream.transport.lose()
    else:
        assert event == "body"  # of the one that has none


@pytest.mark.parametrize("segment", [5, READ])
def test_the_next_exchange_may_begin_before_the_end_is_told(segment: int) -> None:
    """The connection is free when its sink hears of the end, so the sink may lead to the next request on it."""
    upstream = Upstream()
    seen: list[Exchange] = []

    def ask_again(exchange: Exchange) -> None:
        assert upstream.free
        seen.append(upstream.ask())

    exchange = upstream.ask(end=ask_again)
    exchange.on["whole"] = ask_again
    for _ in range(2):
        for start in range(0, len(PLAIN), segment):
            upstream.send(PLAIN[start : start + segment])
    assert exchange.body == b"hi"
    assert len(seen) == 1
    assert seen[0].body == b"hi"


def test_whole_needs_no_steps() -> None:
    """A head with its body in one segment is told in one call, known or not."""
    upstream = Upstream()
    told = []
    for _ in range(3):
        exchange = upstream.ask()
        upstream.send(PLAIN)
        told.append(exchange.told)
    assert told == [["whole"]] * 3


@pytest.mark.parametrize("pause_at", ["interim", "head", "body"])
def test_a_free_connection_is_read(pause_at: str) -> None:
    """However its exchange paused it: else nobody would notice that the peer closes it, nor read the next answer."""
    for wire in (HINTS + PLAIN, HINTS + OK % (b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n0\r\n\r\n")):
        upstream = Upstream()
        upstream.ask()
        upstream.send(PLAIN)
        upstream.ask(**{pause_at: lambda exchange: exchange.connection.pause()})
        upstream.send(wire)
        assert upstream.free
        assert not upstream.transport.paused
        exchange = upstream.ask()
        upstream.send(PLAIN)
        assert exchange.ends == ["whole"]


def test_a_pause_before_any_answer_is_undone_too() -> None:
    """The sink that paused may be answered by what was read before."""
    upstream = Upstream()
    for _ in range(2):
        exchange = upstream.ask()
        exchange.connection.pause()
        upstream.transport.paused = False  # the loop had read it already
        upstream.send(PLAIN)
        upstream.transport.paused = upstream.connection._paused
        assert upstream.free
        assert not upstream.transport.paused


def test_an_answer_before_the_whole_request_frees_nobody() -> None:
    """What is still to be sent would be the start of the next request."""
    upstream = Upstream()
    for early in (True, False):
        exchange = upstream.ask(b"POST", whole=False)
        exchange.connection.send_body(b"abc")
        if not early:
            exchange.connection.sent_all()
        upstream.send(PLAIN)
        assert exchange.body == b"hi"
        assert upstream.free is not early
        upstream = Upstream()


def test_a_connection_that_is_full_is_not_free() -> None:
    """The next request's sink would not hear that it is, and would go on writing."""
    upstream = Upstream(window=0)
    exchange = upstream.ask(b"POST", data=b"x" * (WRITE_HIGH + 1))
    assert exchange.told == ["full"]
    upstream.send(PLAIN)
    assert exchange.ends == ["end"]
    assert upstream.connection.closed
    upstream = Upstream(window=0)
    exchange = upstream.ask(b"POST", data=b"x" * (WRITE_HIGH + 1))
    upstream.transport.read()
    assert exchange.told == ["full", "ready"]
    upstream.send(PLAIN)
    assert upstream.free


def test_a_retired_connection_serves_its_exchange_and_no_other() -> None:
    """Idle, it is closed; busy, when it is done, however fast the answer is."""
    upstream = Upstream()
    upstream.ask()
    upstream.send(PLAIN)
    exchange = upstream.ask()
    upstream.connection.retire()
    upstream.send(PLAIN)
    assert exchange.ends == ["end"]
    assert upstream.connection.closed
    idle = Upstream()
    idle.ask()
    idle.send(PLAIN)
    idle.connection.retire()
    assert idle.connection.closed
    assert not idle.free


@pytest.mark.parametrize(
    "wire",
    [
        PLAIN,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
def test_both_sides_must_want_to_keep_it(wire: bytes) -> None:
    """RFC 9112 section 9.3: each time the head says so, known or not."""
    known = KnownResponses()
    keeps = b"1.0 200 OK\r\nContent" not in wire and b"close" not in wire
    for _ in range(2):
        upstream = Upstream(known)
        upstream.ask()
        upstream.send(wire)
        assert upstream.free is keeps


# Memory.


def test_what_waits_of_a_head_is_bounded() -> None:
    """A head that does not end fails at `MAX_HEAD`; what is held then is that and one read."""
    upstream = Upstream()
    exchange = upstream.ask()
    upstream.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD - 30))
    assert len(upstream.connection._buffer) <= MAX_HEAD
    upstream.send(b"x" * READ)
    assert exchange.ends == ["failed"]


def test_a_body_is_passed_on_as_it_comes() -> None:
    """Nothing of it is held back, whatever its framing."""
    for wire, body in ((PLAIN[:-1], b"h"), (OK % (b"Transfer-Encoding: chunked\r\n", b"5\r\nhel"), b"hel")):
        upstream = Upstream()
        exchange = upstream.ask()
        upstream.send(wire)
        assert exchange.body == body
        assert not upstream.connection._buffer


def test_ten_thousand_tiny_chunks_are_told_as_one() -> None:
    """A sink is called once a read, however many chunks are in it."""
    upstream = Upstream()
    exchange = upstream.ask()
    upstream.send(OK % (b"Transfer-Encoding: chunked\r\n", chunk(b"x") * 10_000 + b"0\r\n\r\n"))
    assert exchange.told == ["head", "body", "end"]
    assert len(exchange.body) == 10_000


@pytest.mark.parametrize(("count", "sent"), [(1, b""), (2, b""), (1, b"H")])
def test_a_late_refusal_of_our_certificate(count: int, sent: bytes) -> None:
    """TLS 1.3 tells it after the handshake, before the first byte of the first response; later it is a reset."""
    upstream = Upstream()
    for _ in range(count - 1):
        upstream.ask()
        upstream.send(PLAIN)
    exchange = upstream.ask()
    if sent:
        upstream.send(sent)
    alert = ssl.SSLError(1, "x")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    upstream.transport.lose(alert)
    assert exchange.error is not None
    if count == 1 and not sent:
        assert exchange.error.reason == "tls_failure"
        assert exchange.error.detail == "the peer requires a client certificate"
    else:
        assert exchange.error.reason == "reset"


def test_closing_is_idempotent() -> None:
    """However often it is closed, lost or let go of, it is forgotten once."""
    calls: list[Callable[[Upstream], None]] = [
        lambda upstream: upstream.connection.close(),
        lambda upstream: upstream.connection.abandon(),
        lambda upstream: upstream.connection.retire(),
        lambda upstream: upstream.transport.end(),
    ]
    for first in calls:
        for second in calls:
            upstream = Upstream()
            first(upstream)
            second(upstream)
            upstream.transport.lose()
            assert upstream.keeper.gone == [upstream.connection]
            assert "closed" in repr(upstream.connection)
