"""One attempt: its connection, its time, its verdict, and that it ends once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy_fakes import FAILURE, GET, HELLO, NEUTRAL, SUCCESS, THROTTLED, Caller, Line, World

from sidecar.policy.expect import Expect
from sidecar.policy.fallback import LastKnownGood
from sidecar.proxy.attempt import COLLECTED
from sidecar.wire.errors import (
    ConnectFailure,
    ConnectTimeout,
    DnsFailure,
    MalformedResponse,
    Reset,
    TlsFailure,
    UpstreamError,
)

HEAD = GET.replace(b"GET", b"HEAD")
POST = b"POST /a HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\nhi"
STALE = Reset("closed", reused=True, silent=True)
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def expecting(**more: Any) -> Expect:
    """A JSON object with a code of 0, at most 100 bytes."""
    settings: dict[str, Any] = {
        "status": None,
        "content_type": "application/json",
        "json_equals": {"/code": 0},
        "json_present": (),
        "max_body": 100,
    }
    return Expect(**(settings | more))


def whole(status: bytes, body: bytes = b"{}", *lines: bytes) -> bytes:
    """A response of known length."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


# Connections.


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectFailure("refused"), 502),
        (ConnectTimeout("too slow"), 504),
        (DnsFailure("no such name"), 502),
        (TlsFailure("expired"), 502),
    ],
)
def test_without_a_connection_nothing_was_sent(error: UpstreamError, status: int) -> None:
    """Its reason is the attempt's; even a POST may go again."""
    world = World(retry={"attempts": 2})
    _, caller = world.ask(POST)
    world.lines.refuse(error)
    world.advance(0.2)
    world.lines.refuse(error)
    assert caller.status == status
    assert world.outcome == (status, "upstream_error", error.reason)
    assert world.results == [error.reason, error.reason]
    assert world.told.of("attempt_finished")[0][2:4] == [-1.0, -1.0]
    world.at_rest()


def test_a_request_that_could_not_be_sent_fails_once() -> None:
    """However often the pool says so, and whatever the attempt had come to by then."""
    world = World()
    _, caller = world.ask()
    (lessee,) = world.lines.waiters
    world.lines.connect()
    lessee.connect_failed(ConnectFailure("the request could not be sent"))
    lessee.connect_failed(ConnectFailure("the request could not be sent"))
    assert caller.status == 502
    assert world.results == ["connect_failure"]
    assert world.lines.all[0].abandoned
    world.at_rest()


def test_waiting_for_a_connection_counts_as_the_attempt_s_time() -> None:
    """And ends with it: nobody connects for who does not wait any more."""
    world = World()
    _, caller = world.ask()
    world.advance(4.1)
    assert world.outcome == (504, "upstream_error", "attempt_timeout")
    assert caller.status == 504
    world.at_rest()


def test_a_safe_request_on_a_stale_connection_goes_once_more_unseen() -> None:
    """The peer had closed it before it could know: no attempt, no failure; the other idle ones are dropped."""
    world = World()
    world.lines.add_idle()
    stale = world.lines.add_idle()
    _, caller = world.ask()
    stale.fail(STALE)
    assert not world.lines.idle
    world.lines.connect().answer(HELLO)
    assert (caller.status, caller.field(b"x-sidecar-attempts")) == (200, b"1")
    assert world.results == ["ok"]
    world.at_rest()


def test_a_reset_that_comes_late_is_the_upstream_s() -> None:
    """It had begun to work on the request: to send that again would be a retry, and nobody asked for one."""
    for after, again in ((0.6, True), (0.8, False)):  # two round trips of 0.25 s, and 0.2 s
        world = World()
        used = world.lines.add_idle()
        world.ask()
        world.advance(after)
        used.fail(STALE)
        assert bool(world.lines.waiters) is again
        if again:
            world.lines.connect().answer(HELLO)
        assert world.outcome[0] == (200 if again else 502)
        world.at_rest()


def test_only_once() -> None:
    """A second connection that dies silently is a failure."""
    world = World()
    stale = world.lines.add_idle()
    world.ask()
    stale.fail(STALE)
    world.lines.connect().fail(STALE)
    assert world.outcome == (502, "upstream_error", "reset")
    world.at_rest()


def test_a_post_on_a_stale_connection_is_not_sent_twice() -> None:
    """Nobody can know that it was not acted upon."""
    world = World()
    stale = world.lines.add_idle()
    world.ask(POST)
    stale.fail(STALE)
    assert not world.lines.waiters
    assert world.outcome == (502, "upstream_error", "reset")
    world.at_rest()


@pytest.mark.parametrize(
    ("data", "careful"),
    [
        (GET, 0),
        (GET.replace(b"GET", b"HEAD"), 0),
        (GET.replace(b"GET", b"DELETE"), 1),
        (POST, 1),
        (POST.replace(b"POST", b"GET"), 1),
    ],
)
def test_what_may_be_lost_is_sent_on_a_connection_that_was_looked_at(data: bytes, careful: int) -> None:
    """What can simply go once more is not worth a system call."""
    world = World()
    world.lines.add_idle()
    world.ask(data)
    assert world.lines.careful == careful


def test_the_second_connection_has_only_the_time_that_is_left() -> None:
    """The attempt's timer goes on."""
    world = World()
    stale = world.lines.add_idle()
    world.ask()
    world.advance(0.5)
    stale.fail(STALE)
    world.advance(3.4)
    assert world.lines.waiters
    world.advance(0.2)
    assert world.outcome == (504, "upstream_error", "attempt_timeout")
    world.at_rest()


# Verdicts.


class Witness:
    """Stands in for a breaker: grants everything, remembers verdicts."""

    def __init__(self) -> None:
        self.verdicts: list[Any] = []
        self.would_have_refused = False

    def admit(self) -> "Witness":
        return self

    def settle(self, verdict: Any, elapsed: float) -> None:
        self.verdicts.append(verdict)


def judged(response: bytes, request: bytes = GET, **route: Any) -> tuple[World, Caller, Any]:
    """What one response in one piece is taken for."""
    witness = Witness()
    world = World(breaker=witness, **route)
    _, caller = world.ask(request)
    world.lines.connect().answer(response, request.partition(b" ")[0])
    world.at_rest()
    return world, caller, witness.verdicts[0]


@pytest.mark.parametrize(
    ("status", "more", "verdict"),
    [
        (b"200 OK", (), SUCCESS),
        (b"302 Found", (), SUCCESS),
        (b"404 Not Found", (), SUCCESS),
        (b"429 Too Many", (), THROTTLED),
        (b"500 No", (), FAILURE),
        (b"501 Not Implemented", (), SUCCESS),
        (b"503 No", (), FAILURE),
        (b"503 No", (b"Retry-After: 3",), THROTTLED),
        (b"503 No", (b"Retry-After: soon",), FAILURE),
        (b"505 Version", (), SUCCESS),
    ],
)
def test_verdict_by_status(status: bytes, more: tuple[bytes, ...], verdict: Any) -> None:
    """And the answer passes, whatever it is."""
    _, caller, found = judged(whole(status, b"{}", *more))
    assert found is verdict
    assert (caller.status, caller.body) == (int(status[:3]), b"{}")


@pytest.mark.parametrize(
    ("response", "usable"),
    [
        (whole(b"200 OK", b'{"code": 0}', b"Content-Type: application/json; charset=utf-8"), True),
        (whole(b"200 OK", b'{"code": 1}', b"Content-Type: application/json"), False),
        (whole(b"200 OK", b"", b"Content-Type: application/json"), False),
        (whole(b"200 OK", b"<html>", b"Content-Type: text/html"), False),
        (whole(b"200 OK", b'{"code": 0' + b" " * 100 + b"}", b"Content-Type: application/json"), False),
        (whole(b"404 Not Found", b"<html>"), True),
        (whole(b"422 No", b"{}"), True),
        (whole(b"302 Found", b""), False),
        (whole(b"304 Not Modified", b""), True),
    ],
)
def test_what_is_not_expected_is_a_failure(response: bytes, usable: bool) -> None:  # noqa: FBT001 - a parameter
    """4xx are the upstream's word and never looked into; 304 speaks of a body that the caller has."""
    world, caller, verdict = judged(response, expect=expecting())
    assert verdict is (SUCCESS if usable else FAILURE)
    if not usable:
        assert world.outcome == (502, "upstream_error", "unexpected_response")
        assert caller.status == 502


def test_head_is_not_expected_to_have_a_body() -> None:
    """Else every HEAD would be a failure."""
    _, caller, verdict = judged(JSON + b"Content-Length: 11\r\n\r\n", HEAD, expect=expecting())
    assert verdict is SUCCESS
    assert caller.field(b"content-length") == b"11"


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_stream_that_must_be_seen_is_collected(pieces: int) -> None:
    """In however many pieces; it leaves with its length."""
    world = World(expect=expecting())
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(JSON + b"Transfer-Encoding: chunked\r\n\r\n")
    body = b'{"code": 0}'
    for piece in [body] if pieces == 1 else [body[:1], body[1:7], body[7:]]:
        line.go_on(piece)
    assert caller.written == b""
    line.end()
    assert (caller.body, caller.field(b"content-length")) == (body, b"11")
    world.at_rest()


def test_trailers_of_what_was_collected_are_passed_on() -> None:
    """To who takes them; then in chunks."""
    world = World(expect=expecting())
    _, caller = world.ask(b"GET /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
    line = world.lines.connect()
    line.begin(JSON + b"Transfer-Encoding: chunked\r\n\r\n")
    line.go_on(b'{"code": 0}')
    line.end([(b"x-sum", b"X-Sum", b"1")])
    assert caller.field(b"transfer-encoding") == b"chunked"
    assert caller.field(b"content-length") is None
    assert caller.body == b'b\r\n{"code": 0}\r\n0\r\nX-Sum: 1\r\n\r\n'
    world.at_rest()


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 101\r\n\r\n"])
def test_more_than_may_be_expected_is_given_up_at_once(head: bytes) -> None:
    """The connection goes, and nothing that still comes of it is looked at."""
    world = World(expect=expecting())
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(JSON + head)
    line.go_on(b"x" * 101)
    assert line.abandoned
    assert caller.status == 502
    assert world.outcome == (502, "upstream_error", "unexpected_response")
    world.at_rest()


def test_what_is_too_large_to_be_remembered_streams_after_all() -> None:
    """Every byte of it, from the first; only the memory of it is lost."""
    world = World(ladder=(LastKnownGood(60.0, ()),))
    world.gateway.seen_bytes = 1000
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.go_on(b"a" * 600)
    line.go_on(b"b" * 600)
    line.go_on(b"c" * 600)
    line.end()
    assert b"".join(caller.body.split(b"\r\n")[1:-3:2]) == b"a" * 600 + b"b" * 600 + b"c" * 600
    assert len(world.store) == 0
    world.at_rest()


def test_an_event_stream_is_not_collected_to_be_remembered() -> None:
    """It would reach nobody before its end."""
    world = World(ladder=(LastKnownGood(60.0, ()),))
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.go_on(b"data: 1\n\n")
    assert caller.body == b"9\r\ndata: 1\n\n\r\n"
    line.end()
    world.at_rest()


@pytest.mark.parametrize(("length", "held_back"), [(COLLECTED, True), (COLLECTED + 1, False)])
def test_what_is_collected_without_need_is_at_most_64_kib(length: int, held_back: bool) -> None:  # noqa: FBT001
    """The commit point."""
    world = World()
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % length)
    assert (caller.written == b"") is held_back


def test_a_timeout_in_the_middle_of_what_is_collected_is_a_failure() -> None:
    """It was no complete answer in time."""
    witness = Witness()
    world = World(breaker=witness)
    _, caller = world.ask()
    line = world.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
    world.advance(4.1)
    assert line.abandoned
    assert (caller.status, witness.verdicts) == (504, [FAILURE])
    world.at_rest()


@pytest.mark.parametrize("error", [Reset("closed"), MalformedResponse("not an HTTP response")])
def test_an_answer_that_is_none_is_a_failure(error: UpstreamError) -> None:
    """502 with its reason."""
    witness = Witness()
    world = World(breaker=witness)
    _, caller = world.ask()
    world.lines.connect().fail(error)
    assert (caller.status, witness.verdicts) == (502, [FAILURE])
    assert world.outcome == (502, "upstream_error", error.reason)
    world.at_rest()


def test_a_long_answer_is_judged_at_its_head() -> None:
    """The breaker hears of a success before the last byte; what happens after it is no verdict any more."""
    witness = Witness()
    world = World(breaker=witness)
    exchange, _ = world.ask()
    line = world.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    assert witness.verdicts == [SUCCESS]
    exchange.caller_gone()
    assert witness.verdicts == [SUCCESS]
    assert NEUTRAL not in witness.verdicts
    world.at_rest()


@given(
    st.lists(st.integers(1, 40_000), max_size=6),
    st.sampled_from(["end", "reset", "timeout", "leave"]),
    st.sampled_from(["length", "chunked"]),
)
def test_an_attempt_ends_once_however_its_answer_comes(sizes: list[int], end: str, framing: str) -> None:
    """And the caller gets all of it, or sees that it did not."""
    world = World()
    exchange, caller = world.ask()
    line: Line = world.lines.connect()
    body = b"x" * sum(sizes)
    said = b"Transfer-Encoding: chunked" if framing == "chunked" else b"Content-Length: %d" % len(body)
    line.begin(b"HTTP/1.1 200 OK\r\n" + said + b"\r\n\r\n")
    for size in sizes:
        line.go_on(b"x" * size)
    if end == "end":
        line.end()
    elif end == "reset":
        line.fail(Reset("closed"))
    elif end == "timeout":
        world.advance(20.0)
    else:
        exchange.caller_gone()
    assert len(world.results) == 1
    assert len(caller.ends) == (end != "leave")
    if end == "end":
        assert caller.ends == ["finished"]
        assert caller.body.count(b"x") == len(body)
    elif end != "leave":
        assert caller.ends == ["aborted"] or caller.status in (502, 504)
    world.at_rest()
