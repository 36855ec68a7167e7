"""Event streams: relayed as they come, judged by their head, bounded by silence."""

import pytest
from proxy_fakes import GET, Caller, Line, World

from sidecar.policy.expect import Expect
from sidecar.proxy.exchange import Exchange

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def expecting(content_type: str | None = None, **more: object) -> Expect:
    """What the route takes for usable."""
    settings = {"status": None, "content_type": content_type, "json_equals": {}, "json_present": (), "max_body": 1000}
    return Expect(**(settings | more))  # type: ignore[arg-type]


def streaming(head: bytes = EVENTS, **route: object) -> tuple[World, Exchange, Caller, Line]:
    """A stream that may be silent for 30 s; its head has come, and nothing else."""
    world = World(**({"idle": 30.0} | route))  # type: ignore[arg-type]
    exchange, caller = world.ask(GET)
    line = world.lines.connect()
    line.begin(head)
    return world, exchange, caller, line


def test_the_head_is_passed_on_before_any_event() -> None:
    """Whoever opened the stream hears at once that it is open."""
    _, _, caller, line = streaming()
    assert caller.status == 200
    assert caller.body == b""
    assert not line.paused


def test_one_whose_length_is_known_is_no_less_a_stream() -> None:
    """However short: its events are wanted one by one."""
    world, _, caller, line = streaming(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 18\r\n\r\n"
    )
    line.go_on(b"data: 1\n\n")
    assert caller.body == b"data: 1\n\n"
    line.go_on(b"data: 2\n\n")
    line.end()
    assert (caller.body, caller.ends) == (b"data: 1\n\ndata: 2\n\n", ["finished"])
    world.at_rest()


@pytest.mark.parametrize("sign_of_life", [b"data: x\n\n", b":\n\n", b"\n"])
def test_any_byte_is_a_sign_of_life(sign_of_life: bytes) -> None:
    """Comments keep a stream open: that is what they are for."""
    world, _, caller, line = streaming()
    for _ in range(10):
        world.advance(29.0)
        line.go_on(sign_of_life)
    assert caller.ends == []
    world.advance(30.1)
    assert caller.ends == ["aborted"]
    assert world.outcome == (200, "upstream_error", "deadline")
    world.at_rest()


def test_an_upstream_that_may_not_speak_is_not_silent() -> None:
    """While the caller reads slowly the upstream is paused; its time begins when it is read again, or a look later."""
    world, exchange, caller, line = streaming()
    exchange.caller_full()
    assert line.paused
    caller.backlog = 70_000
    for _ in range(10):
        world.advance(29.0)
        caller.backlog -= 1000
    assert caller.ends == []
    caller.backlog = 0
    exchange.caller_ready()
    assert not line.paused
    world.advance(29.0)
    assert caller.ends == []
    world.advance(31.1)
    assert world.outcome == (200, "upstream_error", "deadline")
    world.at_rest()


def test_a_caller_that_takes_nothing_any_more_is_given_up() -> None:
    """After one to two times `timeout.idle`, and nobody blames the upstream."""
    world, exchange, caller, line = streaming()
    exchange.caller_full()
    caller.backlog = 70_000
    world.advance(29.0)
    assert caller.ends == []
    world.advance(31.5)
    assert caller.ends == ["aborted"]
    assert line.abandoned
    assert world.outcome == (200, "client_gone", "client_gone")
    assert world.results == ["client_gone"]
    world.at_rest()


def test_what_is_expected_is_seen_in_the_head() -> None:
    """Status and type; the body has no end to wait for."""
    world, _, caller, line = streaming(expect=expecting("text/event-stream", status=frozenset({200})))
    assert caller.status == 200
    line.go_on(b"data: 1\n\n")
    line.end()
    assert world.outcome == (200, "ok", "")
    world.at_rest()


@pytest.mark.parametrize(
    "expect",
    [expecting("application/json"), expecting(status=frozenset({201})), expecting(json_present=("/a",))],
    ids=["another-type", "another-status", "json"],
)
def test_a_stream_where_something_else_is_expected_is_no_answer(expect: Expect) -> None:
    """It fails at its head: waiting for its end would only fail later."""
    world, _, caller, line = streaming(expect=expect)
    assert caller.status == 502
    assert line.abandoned
    assert world.outcome == (502, "upstream_error", "unexpected_response")
    world.at_rest()


def test_the_head_of_a_stream_alone_is_an_answer_like_any() -> None:
    """HEAD: complete with its head, whatever is expected of bodies."""
    world = World(expect=expecting("application/json"))
    _, caller = world.ask(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
    line = world.lines.connect()
    line.begin(EVENTS, b"HEAD")
    line.end()
    assert (caller.status, caller.ends) == (200, ["finished"])
    world.at_rest()
