"""Laws of upstream connections that only real sockets can show."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
import uvloop
from wire_fakes import Exchange, Keeping
from wire_peers import AUTHORITY, server_context

from sidecar.clock import MONOTONIC
from sidecar.wire.client import ClientConnection
from sidecar.wire.known import KnownResponses
from sidecar.wire.parse import ResponseParser

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhalf"


def peer(serve: Callable[[socket.socket], None]) -> tuple[int, threading.Thread]:
    """Accepts one connection and serves it in a thread; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener:
            accepted, _ = listener.accept()
            with accepted:
                serve(accepted)

    thread = threading.Thread(target=run)
    thread.start()
    return cast("int", listener.getsockname()[1]), thread


async def exchange_with(port: int, tls: ssl.SSLContext | None) -> Exchange:
    """Sends a request there and waits for its end."""
    keeper = Keeping()
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: ClientConnection(keeper, ResponseParser(), KnownResponses(), MONOTONIC),
        "127.0.0.1",
        port,
        ssl=tls,
        server_hostname="localhost" if tls else None,
    )
    exchange = Exchange()
    exchange.connection = connection
    connection.send(exchange, b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", whole=True)
    async with asyncio.timeout(10):
        while not keeper.gone:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)  # whatever else the loop may tell
    assert keeper.gone == [connection]
    return exchange


def run(port: int, tls: ssl.SSLContext | None = None) -> Exchange:
    """On the loop that serves."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(exchange_with(port, tls))


@pytest.mark.parametrize("orderly", [True, False])
def test_only_an_orderly_end_of_tls_ends_a_body(*, orderly: bool) -> None:
    """Without the peer's farewell anybody between us could have cut it off (RFC 9112 section 9.8)."""
    context = server_context("localhost")

    def serve(accepted: socket.socket) -> None:
        with context.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=True) as wrapped:
            wrapped.recv(1000)
            wrapped.sendall(UNTIL_CLOSE)
            if orderly:
                with suppress(OSError):  # the sidecar does not stay for the farewell
                    wrapped.unwrap()
            else:
                socket.socket(fileno=wrapped.detach()).close()

    port, thread = peer(serve)
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    exchange = run(port, trusting)
    thread.join(10)
    assert exchange.body == b"half"
    assert exchange.ends == (["end"] if orderly else ["failed"])


def test_a_half_closed_upstream_ends_a_body() -> None:
    """Its end of file is the end; that it still reads is no reason to wait."""
    gone = threading.Event()

    def serve(accepted: socket.socket) -> None:
        accepted.recv(1000)
        accepted.sendall(UNTIL_CLOSE)
        accepted.shutdown(socket.SHUT_WR)
        assert accepted.recv(1000) == b""
        gone.set()

    port, thread = peer(serve)
    exchange = run(port)
    thread.join(10)
    assert exchange.ends == ["end"]
    assert gone.is_set()
