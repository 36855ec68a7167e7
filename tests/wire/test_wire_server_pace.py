"""A caller that sends its body too slowly is told, once; one that may not send is not blamed."""

from collections.abc import Callable

import pytest
from wire_fakes import Answerer, Caller, Sink

HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n%b\r\n"
COUNTED = HEAD % b"Content-Length: 100000\r\n"
CHUNKED = HEAD % b"Transfer-Encoding: chunked\r\n"
OVER = 10.0
"""The server's `header_timeout`."""


def slow(**on: Callable[[Sink], None]) -> tuple[Caller, Answerer]:
    """A caller of a server with a floor."""
    answerer = Answerer(**on)
    return Caller(answerer, body_rate=100, header_timeout=OVER), answerer


def pass_by(caller: Caller, seconds: float, data: bytes = b"") -> None:
    """Time passes, and is looked at twice a second; before each look so much is sent."""
    for _ in range(int(seconds * 2)):
        if caller.state == "open" and data:
            caller.send(data)
        caller.sweep(0.5)


@pytest.mark.parametrize(
    ("head", "drip"),
    [(COUNTED, b""), (COUNTED, b"x"), (CHUNKED, b""), (CHUNKED, b"1\r\nx\r\n"), (CHUNKED, b"1;" + b"e" * 60)],
    ids=["silence", "drip", "chunked silence", "chunked drip", "nothing but framing"],
)
def test_a_slow_body_ends_the_request(head: bytes, drip: bytes) -> None:
    """408 by way of its sink, whose answer is the connection's last."""
    caller, answerer = slow(failed=lambda sink: sink.answer(close=True))
    caller.send(head)
    pass_by(caller, OVER, drip)
    assert caller.state == "open"
    pass_by(caller, 1, drip)
    error = answerer.last.error
    assert error is not None
    assert (error.status, error.reason) == (408, "request_timeout")
    assert answerer.last.ends == ["failed"]
    assert caller.state == "shut"
    assert caller.transport.sent.count(b"HTTP/1.1 200") == 1


def test_a_body_at_the_floor_passes() -> None:
    """For as long as it takes."""
    caller, answerer = slow()
    caller.send(COUNTED)
    pass_by(caller, 999, b"x" * 50)
    assert answerer.last.ends == []
    caller.send(b"x" * 100)
    assert answerer.last.ends == ["end"]


def test_a_caller_that_is_held_back_is_not_blamed() -> None:
    """The upstream takes nothing for an hour: it is the sink's deadline that ends this."""
    caller, answerer = slow()
    caller.send(COUNTED + b"x" * 5000)
    caller.connection.pause()
    pass_by(caller, 3600)
    assert answerer.last.ends == []
    caller.connection.resume()
    pass_by(caller, OVER)
    assert answerer.last.ends == []
    pass_by(caller, 0.5)
    assert answerer.last.ends == ["failed"]


def test_a_caller_that_waits_to_be_asked_is_not_blamed() -> None:
    """Its time begins when it is."""
    caller, answerer = slow()
    caller.send(HEAD % b"Content-Length: 5\r\nExpect: 100-continue\r\n")
    pass_by(caller, 3600)
    assert answerer.last.ends == []
    caller.connection.send_continue()
    pass_by(caller, OVER + 0.5)
    assert answerer.last.ends == ["failed"]


def test_without_a_floor_any_pace_will_do() -> None:
    """0 switches it off."""
    answerer = Answerer()
    caller = Caller(answerer, body_rate=0)
    caller.send(COUNTED)
    pass_by(caller, 3600)
    assert answerer.last.ends == []


def test_a_request_without_a_body_has_no_pace() -> None:
    """Nor has one whose body is complete."""
    caller, answerer = slow()
    caller.send(HEAD % b"Content-Length: 2\r\n" + b"hi")
    pass_by(caller, 3600)
    assert answerer.last.ends == ["end"]
    assert caller.state == "open"
