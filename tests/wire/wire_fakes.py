"""What tests of connections share: a transport whose peer reads as told, a clock set by hand, sinks that remember."""

import asyncio
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from sidecar.wire.client import ClientConnection
from sidecar.wire.errors import BadRequest, UpstreamError
from sidecar.wire.known import KnownResponses
from sidecar.wire.message import Header, RequestHead, ResponseHead
from sidecar.wire.parse import ResponseParser
from sidecar.wire.server import ServerConnection
from sidecar.wire.shared import Server

READ = 256_000
"""Bytes that uvloop reads at once, at most."""


class HandClock:
    """Stands still until `now` is changed."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, as a clock's."""
        return self.now


class FakeSocket:
    """Remembers whether closing it was set to reset. Its descriptor can be asked whether anything came."""

    def __init__(self) -> None:
        self.resets = False
        self._events = -1

    def __del__(self) -> None:
        if self._events >= 0:
            os.close(self._events)

    def fileno(self) -> int:
        """As a socket's."""
        if self._events < 0:
            self._events = os.eventfd(0)
        return self._events

    def stir(self) -> None:
        """Bytes came, or the end, and the loop has not looked yet."""
        os.eventfd_write(self.fileno(), 1)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """As a socket's; the only option anybody sets here is SO_LINGER."""
        self.resets = struct.unpack("ii", value) == (1, 0)


class FakeTransport(asyncio.Transport):
    """Takes what is written, and keeps the contract of asyncio's transports as strictly as uvloop does.

    `window`: bytes the peer takes before it stops reading; None: all. `read(count)`: it takes more. `halves`: whether
    each way can end by itself, as in TLS it can't. The end is told when the test says so (`lose`), as the loop tells it
    later, not within the call that caused it.
    """

    def __init__(self, protocol: asyncio.Protocol, window: int | None = None, *, halves: bool = True) -> None:
        super().__init__()
        self.halves = halves
        self.protocol = protocol
        self.window = window
        self.taken = b""
        self.unsent = b""
        self.socket = FakeSocket()
        self.aborted = self.closed = self.ended = self.paused = self.lost = False
        self.full = False
        self.high = 65536
        protocol.connection_made(self)

    # What a protocol calls.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high
        if not self.full and len(self.unsent) > high:
            self.full = True
            self.protocol.pause_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def is_closing(self) -> bool:
        return self.aborted or self.closed or self.lost

    def can_write_eof(self) -> bool:
        return self.halves

    def write(self, data: Any) -> None:
        assert not self.ended, "uvloop raises after write_eof"
        if self.is_closing():
            return
        self.unsent += data
        self.read(0)

    def write_eof(self) -> None:
        assert self.halves
        assert not self.lost, "uvloop raises when the handle is closed"
        self.ended = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
        self.unsent = b""

    # What a test does.

    @property
    def sent(self) -> bytes:
        """Everything written, on its way or arrived."""
        return self.taken + self.unsent

    def read(self, count: int | None = None) -> None:
        """The peer takes so many bytes more; None: all, and all that come."""
        if count is None:
            self.window = None
        elif self.window is not None:
            self.window += count
        room = len(self.unsent) if self.window is None else max(0, self.window - len(self.taken))
        self.taken += self.unsent[:room]
        self.unsent = self.unsent[room:]
        if not self.full and len(self.unsent) > self.high:
            self.full = True
            self.protocol.pause_writing()
        elif self.full and len(self.unsent) <= self.high // 4:
            self.full = False
            self.protocol.resume_writing()

    def receive(self, data: bytes) -> None:
        """Bytes from the peer, if anybody reads."""
        assert not self.paused
        if data and not self.is_closing():
            self.protocol.data_received(data)

    def end(self) -> None:
        """The peer sends no more."""
        if not self.is_closing() and not self.protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone."""
        assert not self.lost
        self.lost = True
        self.protocol.connection_lost(error)


class Sink:
    """A request's sink: remembers what it is told. `on`: what it does when it is told (event name → call)."""

    def __init__(
        self, connection: ServerConnection, head: RequestHead, on: "dict[str, Callable[[Sink], None]]"
    ) -> None:
        self.connection = connection
        self.head = head
        self.body = b""
        self.told: list[str] = []
        self.trailers: list[Header] = []
        self.error: BadRequest | None = None
        self.answered = False
        self.on = on

    def _tell(self, event: str) -> None:
        assert not self.answered or event == "accept", f"{event} after it finished"
        self.told.append(event)
        if event in self.on:
            self.on[event](self)

    def request_body(self, data: bytes) -> None:
        assert data
        self.body += data
        self._tell("body")

    def request_end(self, trailers: list[Header]) -> None:
        self.trailers = trailers
        self._tell("end")

    def request_failed(self, error: BadRequest) -> None:
        self.error = error
        self._tell("failed")

    def caller_gone(self) -> None:
        self._tell("gone")
        self.answered = True

    def caller_full(self) -> None:
        self._tell("full")

    def caller_ready(self) -> None:
        self._tell("ready")

    @property
    def ends(self) -> list[str]:
        """The ends of its request's body that it heard of."""
        return [event for event in self.told if event in ("end", "failed")]

    def answer(self, data: bytes = b"", *, close: bool = False) -> None:
        """Answers, and is told nothing any more."""
        data = data or answer_to(self.head, close=close or not self.connection.keeps_alive)
        close = close or not self.connection.keeps_alive
        self.connection.write(data)
        self.answered = True
        self.connection.finish(1000.0, close=close)


def answer_to(head: RequestHead, *, close: bool) -> bytes:
    """A response that names its request."""
    last = b"Connection: close\r\n" if close else b""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (last, len(head.target), head.target)


def at_once(sink: Sink) -> None:
    """Answers now."""
    sink.answer()


def at_end(sink: Sink) -> None:
    """As "accept": answers now unless a body comes."""
    if not sink.head.length:
        sink.answer()


class Answerer:
    """A responder whose sinks do what `on` says."""

    def __init__(self, **on: Callable[[Sink], None]) -> None:
        self.on = on
        self.sinks: list[Sink] = []
        self.rejected: list[BadRequest] = []

    def accept(self, connection: ServerConnection, head: RequestHead) -> Sink:
        sink = Sink(connection, head, self.on)
        self.sinks.append(sink)
        sink._tell("accept")
        return sink

    def reject(self, connection: ServerConnection, error: BadRequest) -> bytes:
        self.rejected.append(error)
        return b"HTTP/1.1 %d Rejected\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % error.status

    @property
    def last(self) -> Sink:
        """The sink of the latest request."""
        return self.sinks[-1]


class Caller:
    """One caller's connection to a server whose responder is an `Answerer`. Settings are the server's."""

    def __init__(
        self, answerer: Answerer, *, window: int | None = None, server: Server | None = None, **set_: Any
    ) -> None:
        self.answerer = answerer
        self.clock = HandClock()
        self.later: list[Callable[[], None]] = []
        self.server = server or Server(responder=answerer, clock=self.clock, soon=self.later.append, **set_)
        self.connection = ServerConnection(self.server)
        self.transport = FakeTransport(self.connection, window)

    def send(self, data: bytes) -> None:
        """One segment."""
        self.transport.receive(data)

    def run(self) -> None:
        """Gives the loop its turns."""
        while self.later:
            self.later.pop(0)()

    def sweep(self, seconds: float) -> None:
        """Time passes, and is noticed."""
        self.clock.now += seconds
        self.server.sweep(self.clock.now)

    @property
    def state(self) -> str:
        """How the connection stands with the caller."""
        transport = self.transport
        if transport.aborted:
            return "reset" if transport.socket.resets else "aborted"
        return "closed" if transport.closed else "shut" if transport.ended else "open"


class Exchange:
    """A response's sink: remembers what it is told. `on`: what it does when it is told (event name → call)."""

    def __init__(self, **on: "Callable[[Exchange], None]") -> None:
        self.on = on
        self.told: list[str] = []
        self.body = b""
        self.interims: list[ResponseHead] = []
        self.trailers: list[Header] = []

    head: ResponseHead | None = None
    error: UpstreamError | None = None
    connection: ClientConnection
    pool: "Keeping"

    def _tell(self, event: str) -> None:
        assert not self.ends, f"{event} after the end"
        self.told.append(event)
        if event in self.on:
            self.on[event](self)

    @property
    def ends(self) -> list[str]:
        """The ends it heard of."""
        return [event for event in self.told if event in ("whole", "switched", "end", "failed", "abandoned")]

    def response_interim(self, head: ResponseHead) -> None:
        self.interims.append(head)
        self._tell("interim")

    def response_switched(self, head: ResponseHead) -> None:
        self.head = head
        self._tell("switched")

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.head, self.body = head, body
        self._tell("whole")

    def response_head(self, head: ResponseHead) -> None:
        self.head = head
        self._tell("head")

    def response_body(self, data: bytes) -> None:
        assert data
        self.body += data
        self._tell("body")

    def response_end(self, trailers: list[Header]) -> None:
        self.trailers = trailers
        self._tell("end")

    def response_failed(self, error: UpstreamError) -> None:
        self.error = error
        self._tell("failed")

    def upstream_full(self) -> None:
        self._tell("full")

    def upstream_ready(self) -> None:
        self._tell("ready")

    def abandon(self) -> None:
        """Lets go."""
        self.told.append("abandoned")
        self.connection.abandon()


class Keeping:
    """A keeper: remembers what comes back and what is gone."""

    def __init__(self) -> None:
        self.free: list[ClientConnection] = []
        self.gone: list[ClientConnection] = []

    def release(self, connection: ClientConnection) -> None:
        assert connection not in self.gone
        self.free.append(connection)

    def forget(self, connection: ClientConnection) -> None:
        assert connection not in self.gone, "told twice"
        self.gone.append(connection)
        if connection in self.free:
            self.free.remove(connection)


class Upstream:
    """A connection to an upstream, as seen from there."""

    def __init__(self, known: KnownResponses | None = None, *, window: int | None = None) -> None:
        self.keeper = Keeping()
        self.clock = HandClock()
        self.connection = ClientConnection(self.keeper, ResponseParser(), known or KnownResponses(), self.clock)
        self.transport = FakeTransport(self.connection, window)

    def ask(
        self, method: bytes = b"GET", *, data: bytes = b"", whole: bool = True, **on: Callable[[Exchange], None]
    ) -> Exchange:
        """Starts an exchange."""
        exchange = Exchange(**on)
        exchange.connection = self.connection
        exchange.pool = self.keeper
        if self.connection in self.keeper.free:
            self.keeper.free.remove(self.connection)
        self.connection.send(exchange, method, data or method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", whole=whole)
        return exchange

    def send(self, data: bytes) -> None:
        """One segment."""
        self.transport.receive(data)

    @property
    def free(self) -> bool:
        """Whether it can serve another exchange."""
        return self.connection in self.keeper.free


@st.composite
def cuts(draw: st.DrawFn, data: bytes, most: int = 8) -> list[bytes]:
    """The same bytes in any segments."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=most)))
    pieces = [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]
    return [piece for piece in pieces if piece]


def singly(data: bytes) -> Iterator[bytes]:
    """Byte by byte."""
    return (data[index : index + 1] for index in range(len(data)))
