"""Laws of a caller's connection that is handed over: what came ahead goes with it, and its place stays taken."""

import asyncio

from wire_fakes import Answerer, Caller

from sidecar.wire.server import HELD

ASKING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Ear(asyncio.Protocol):
    """Whoever takes the connection over."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        """Bytes of the other protocol."""
        self.heard += data


def test_what_was_sent_ahead_is_never_a_request() -> None:
    """It is held, up to the limit; then it goes with the transport, which is read again."""
    answerer = Answerer()
    caller = Caller(answerer)
    ahead = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    caller.send(ASKING + ahead)
    caller.send(b"x" * HELD)
    assert caller.transport.paused
    ear = Ear()
    transport, early = caller.connection.hand_over(ear)
    assert early == ahead + b"x" * HELD
    assert transport is caller.transport
    assert not caller.transport.paused
    caller.send(b"more")
    assert ear.heard == b"more"
    assert len(answerer.sinks) == 1


def test_time_is_not_ours_any_more() -> None:
    """No limit of HTTP closes it; its place is taken until it is lost."""
    caller = Caller(Answerer(), idle_timeout=10.0, header_timeout=1.0)
    caller.send(ASKING)
    caller.connection.hand_over(Ear())
    caller.sweep(10_000.0)
    caller.connection.close_if_idle()
    assert caller.state == "open"
    assert caller.server.connections == {caller.connection}
    caller.connection.lost()
    assert not caller.server.connections


def test_nobody_is_told_of_its_end_but_who_took_it() -> None:
    """The sink hears of the process's end, and neither of the connection's nor of its own answer's."""
    answerer = Answerer()
    caller = Caller(answerer)
    caller.send(ASKING)
    caller.connection.hand_over(Ear())
    caller.connection.drop()
    assert answerer.last.told == ["accept", "failed"]
    assert answerer.last.error is not None
    assert answerer.last.error.reason == "draining"
    caller.connection.finish(1000.0)
    caller.connection.lost()
    assert answerer.last.told == ["accept", "failed"]
    assert caller.state == "open"
