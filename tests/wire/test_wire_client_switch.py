"""Laws of a connection that is asked to switch: a 101 hands it over, and no other exchange ever uses it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import Exchange, Upstream, cuts, singly

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"


class Ear(asyncio.Protocol):
    """Whoever takes the connection over."""

    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        """Bytes of the other protocol."""
        self.heard += data


def asked(protocols: bytes = b"websocket") -> tuple[Upstream, Exchange]:
    """A request that asks for protocols was sent."""
    upstream = Upstream()
    exchange = upstream.ask()
    upstream.connection.may_switch(protocols)
    return upstream, exchange


@given(st.binary(max_size=30), st.data())
def test_what_follows_a_101_is_no_http(first: bytes, data: st.DataObject) -> None:
    """Whatever the segments: the head is told, the rest is kept for whoever takes over, and then tells it itself."""
    upstream, exchange = asked()
    ear = Ear()
    rest: list[bytes] = []
    exchange.on["switched"] = lambda _: rest.append(upstream.connection.hand_over(ear)[1])
    for piece in data.draw(cuts(SWITCHED + first)):
        upstream.send(piece)
    assert (exchange.told, exchange.head and exchange.head.status) == (["switched"], 101)
    assert rest[0] + ear.heard == first


def test_an_interim_answer_may_come_before() -> None:
    """A 101 ends the exchange, the others do not."""
    upstream, exchange = asked()
    for byte in singly(b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCHED):
        upstream.send(byte)
    assert exchange.told == ["interim", "switched"]


@pytest.mark.parametrize(
    ("protocols", "answer"),
    [
        (b"", SWITCHED),
        (b"chat", SWITCHED),
        (b"websocket/13", SWITCHED),
        (b"websocket", SWITCHED.replace(b"WebSocket", b"websocket, tls")),
        (b"websocket", SWITCHED.replace(b"WebSocket\r\n", b"websocket\r\nUpgrade: tls\r\n")),
        (b"websocket", SWITCHED.replace(b"WebSocket", b"")),
        (b"websocket", SWITCHED.replace(b"HTTP/1.1", b"HTTP/1.0")),
    ],
)
def test_a_101_to_what_was_not_asked_for_is_malformed(protocols: bytes, answer: bytes) -> None:
    """RFC 9110 section 7.8: only what the request names, and by HTTP/1.1."""
    upstream, exchange = asked(protocols)
    upstream.send(answer)
    assert exchange.told == ["failed"]
    assert exchange.error is not None
    assert exchange.error.reason == "malformed_response"
    assert upstream.connection.closed


@pytest.mark.parametrize("pieces", [1, 1000])
def test_after_another_answer_it_serves_nobody_else(pieces: int) -> None:
    """Complete and kept alive, in one segment or many: closed all the same."""
    upstream, exchange = asked()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    for piece in singly(answer) if pieces > 1 else [answer]:
        upstream.send(piece)
    assert exchange.body == b"ok"
    assert exchange.ends == ["end"]
    assert not upstream.keeper.free
    assert upstream.keeper.gone == [upstream.connection]


def test_it_is_its_pools_until_it_is_closed() -> None:
    """Handed over it counts as active: neither retiring nor a sweep closes it, and its end is told once."""
    upstream, exchange = asked()
    exchange.on["switched"] = lambda _: upstream.connection.hand_over(Ear())
    upstream.send(SWITCHED)
    upstream.connection.retire()
    assert not upstream.connection.closed
    upstream.connection.lost()
    upstream.connection.lost()
    assert upstream.keeper.gone == [upstream.connection]
    assert exchange.told == ["switched"]
