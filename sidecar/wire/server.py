"""One connection from a caller: cuts requests out of the byte stream, one at a time, and writes what it is given.

Three rules:
1. A request's head is parsed only when it is whole, and the next one only when the response before it is finished.
   What a caller pipelines meanwhile waits as bytes, and reading stops when there are too many of them. So pipelining
   is bounded, and nothing is parsed that may turn out to be the body of what came before.
2. A request whose framing can't be trusted is answered once and the connection closed: what follows is not a request.
3. A sink hears exactly one end of its request's body (`request_end` or `request_failed`), unless `caller_gone`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from sidecar.clock import Clock
from sidecar.wire.chunked import ChunkedDecoder, ChunkError
from sidecar.wire.errors import BadRequest
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import CHUNKED, Header, RequestHead
from sidecar.wire.parse import RequestParser

HELD: Final = 65536
"""Bytes a caller may send ahead of the response it waits for before we stop reading."""
WRITE_HIGH: Final = 65536
"""Bytes of response that may wait for a slow caller before the upstream is told to pause."""
DISCARD: Final = 65536
"""Bytes of an unwanted request body that are read to keep the connection; more closes it."""
LINGER: Final = 2.0
"""Seconds a caller has to read our last answer after we shut our side (RFC 9112 section 9.6)."""

_NO_TRAILERS: list[Header] = []
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# What a connection waits for, for the sweep.
_IDLE, _HEAD, _ANSWER, _DISCARD, _LINGER = range(5)


class RequestSink(Protocol):
    """Who answers one request."""

    def request_body(self, data: bytes) -> None:
        """The next bytes of the body, never empty."""

    def request_end(self, trailers: list[Header]) -> None:
        """The body is complete. Not told for requests without one."""

    def request_failed(self, error: BadRequest) -> None:
        """The body is broken or too large; the connection will close after the answer."""

    def caller_gone(self) -> None:
        """The caller closed its connection. Nothing can be written any more."""

    def caller_full(self) -> None:
        """The caller reads slower than we write: pause."""

    def caller_ready(self) -> None:
        """It has caught up."""


class Responder(Protocol):
    """Who is asked to answer."""

    def accept(self, connection: "ServerConnection", head: RequestHead) -> RequestSink:
        """A request came. It may be answered, and `connection.finish` called, before this returns."""
        ...

    def reject(self, connection: "ServerConnection", error: BadRequest) -> bytes:
        """The whole response, `Connection: close` included, to a message that is no request."""
        ...


@dataclass(slots=True, kw_only=True)
class Server:
    """What the connections of a listener share. Sizes in bytes, times in seconds."""

    responder: Responder
    clock: Clock
    header_bytes: int = 32768
    headers: int = 100
    body: int = 10 * 1024 * 1024
    max_connections: int = 1000
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    connections: set["ServerConnection"] = field(default_factory=set)
    known: KnownRequests = field(default_factory=KnownRequests)

    def connection(self) -> "ServerConnection":
        """A protocol for one accepted connection."""
        return ServerConnection(self)

    def sweep(self, now: float) -> None:
        """Ends what has waited too long. To be called a few times per `header_timeout`."""
        for connection in list(self.connections):
            connection.sweep(now)


class ServerConnection(asyncio.Protocol):
    """A connection from a caller."""

    __slots__ = (
        "_advancing",
        "_body_left",
        "_body_seen",
        "_buffer",
        "_closing",
        "_decoder",
        "_expects_continue",
        "_parser",
        "_paused",
        "_persistent",
        "_server",
        "_since",
        "_sink",
        "_transport",
        "_waits_for",
    )

    def __init__(self, server: Server) -> None:
        # For the connection's life.
        self._server = server
        self._parser = RequestParser(max_headers=server.headers)
        self._transport: asyncio.Transport
        self._buffer = b""
        self._paused = False
        self._closing = False
        self._advancing = False
        self._waits_for = _IDLE
        self._since = 0.0
        # For one request.
        self._sink: RequestSink | None = None
        self._persistent = True
        self._expects_continue = False
        self._body_left = 0
        self._body_seen = 0
        self._decoder: ChunkedDecoder | None = None

    # The exchange's side.

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow this one's answer. Ask before writing the head."""
        if not self._body_left or not self._persistent:
            return self._persistent
        # A caller that waits for 100 Continue may send its body or not after a final answer (RFC 9110 section 10.1.1).
        return not self._expects_continue and 0 < self._body_left <= DISCARD

    def send_continue(self) -> None:
        """Asks for the body, if the caller waits to be asked. Idempotent."""
        if self._expects_continue:
            self._expects_continue = False
            self._transport.write(_CONTINUE)

    def write(self, data: bytes) -> None:
        """Bytes of the response."""
        self._transport.write(data)

    def pause(self) -> None:
        """Stops reading the caller's body. Idempotent."""
        if not self._paused and not self._closing:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again. Idempotent."""
        if self._paused and not self._closing:
            self._paused = False
            self._transport.resume_reading()

    def finish(self, now: float, *, close: bool = False) -> None:
        """The response is complete. Goes on with the next request, or closes gently.

        `close`: the head said `Connection: close`, or the body's end is the connection's.
        """
        self._sink = None
        self._since = now
        if close or not self._persistent or (self._body_left and not self.keeps_alive):
            self._linger()
        elif self._body_left:
            self._waits_for = _DISCARD
            self.resume()
        else:
            self._waits_for = _IDLE
            if self._buffer:
                self._advance()
            if self._paused and len(self._buffer) < HELD:
                self.resume()

    def abort(self) -> None:
        """Ends the connection in a way that no caller can take for a complete response."""
        self._sink = None
        self._closing = True
        self._waits_for = _LINGER
        self._transport.abort()

    def close_if_idle(self) -> None:
        """For the end of a drain: closes what carries no request."""
        if self._sink is None:
            self._close()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller connected."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._since = server.clock()
        server.connections.add(self)
        if len(server.connections) > server.max_connections:
            self._reject(BadRequest(503, "too_many_connections", "connection limit reached"))

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller."""
        if self._waits_for == _IDLE and not self._advancing:
            # Nearly every request: one whole head, whose field lines came before. 0.4 of what follows.
            head = self._server.known.recognise(data)
            if head is not None and not head.length:
                self._begin(head)
                return
        if self._closing:
            return
        if self._sink is None and self._waits_for != _DISCARD:
            if self._buffer:
                seen = len(self._buffer)
                self._buffer += data
                self._advance(seen)
            else:
                self._buffer = data
                self._advance()
        elif self._body_left:
            self._read_body(data)
        else:
            self._hold(data)

    def eof_received(self) -> bool:
        """The caller will send no more: it has left. (A half-closed caller can't be told from one that is gone.)"""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._closing = True
        self._waits_for = _LINGER
        self._server.connections.discard(self)
        sink = self._sink
        self._sink = None
        if sink is not None:
            sink.caller_gone()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._sink is not None:
            self._sink.caller_full()

    def resume_writing(self) -> None:
        """It has drained."""
        if self._sink is not None:
            self._sink.caller_ready()

    def sweep(self, now: float) -> None:
        """Ends what has waited too long for the caller's next byte."""
        waited = now - self._since
        if self._waits_for == _IDLE:
            if waited >= self._server.idle_timeout:
                self._close()
        elif self._waits_for == _HEAD or self._waits_for == _DISCARD:
            if waited >= self._server.header_timeout:
                self._time_out()
        elif self._waits_for == _LINGER and waited >= LINGER:
            self._transport.abort()

    def _time_out(self) -> None:
        if self._waits_for == _DISCARD:
            self._close()
        else:
            self._reject(BadRequest(408, "request_timeout", "request head not received in time"))

    # Reading requests.

    def _advance(self, seen: int = 0) -> None:
        # A loop, not recursion: a thousand pipelined requests that are answered at once must not deepen the stack.
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._sink is None and self._buffer and not self._closing:
                if not self._next_request(seen):
                    break
                seen = 0
        finally:
            self._advancing = False

    def _next_request(self, seen: int) -> bool:
        data = self._buffer
        if data[0] <= 13:  # empty lines before a request are ignored (RFC 9112 section 2.2)
            data = self._buffer = data.lstrip(b"\r\n")
            seen = 0
            if not data:
                return False
        end = data.find(b"\r\n\r\n", seen - 3 if seen > 3 else 0) + 4
        if end < 4 or end > self._server.header_bytes:
            self._keep_partial_head(data, end)
            return False
        if end == len(data):
            self._buffer = b""
        else:
            self._buffer = data[end:]
            data = data[:end]
        head = self._server.known.recognise(data)
        try:
            if head is None:
                head = self._parser.parse(data)
                self._server.known.learn(data, head)
            if head.length > self._server.body:
                raise BadRequest(413, "body_too_large", "request body larger than limits.body")
        except BadRequest as error:
            self._reject(error)
            return False
        self._begin(head)
        return True

    def _keep_partial_head(self, data: bytes, end: int) -> None:
        if end >= 4 or len(data) > self._server.header_bytes:
            self._reject(BadRequest(431, "headers_too_large", "request head larger than limits.header_bytes"))
        elif self._waits_for != _HEAD:
            self._waits_for = _HEAD
            self._since = self._server.clock()

    def _begin(self, head: RequestHead) -> None:
        self._waits_for = _ANSWER
        self._persistent = head.keep_alive
        length = self._body_left = head.length
        if length:
            self._expects_continue = head.expects_continue
            self._body_seen = 0
            self._decoder = ChunkedDecoder() if length == CHUNKED else None
        sink = self._server.responder.accept(self, head)
        if self._waits_for == _ANSWER and not self._closing:
            self._sink = sink
        if self._body_left and self._buffer and not self._closing:
            data, self._buffer = self._buffer, b""
            self._read_body(data)

    def _hold(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= HELD:
            self.pause()

    def _read_body(self, data: bytes) -> None:
        self._expects_continue = False
        try:
            if self._decoder is None:
                self._read_counted(data)
            else:
                self._read_chunks(self._decoder, data)
        except BadRequest as error:
            self._persistent = False
            self._body_left = 0
            self._buffer = b""
            if self._sink is not None:
                self._sink.request_failed(error)
            else:
                self._close()

    def _read_counted(self, data: bytes) -> None:
        size = len(data)
        left = self._body_left
        if size > left:
            self._buffer = data[left:]
            data = data[:left]
            size = left
        self._body_left = left - size
        if self._sink is not None:
            self._sink.request_body(data)
        if size == left:
            self._end_body(_NO_TRAILERS)

    def _read_chunks(self, decoder: ChunkedDecoder, data: bytes) -> None:
        try:
            pieces = decoder.feed(data)
        except ChunkError as error:
            raise BadRequest(400, "bad_request", error.detail) from None
        for piece in pieces:
            self._body_seen += len(piece)
            if self._body_seen > self._server.body:
                raise BadRequest(413, "body_too_large", "request body larger than limits.body")
            if self._sink is not None:
                self._sink.request_body(piece)
        if decoder.done:
            self._body_left = 0
            self._decoder = None
            self._buffer = decoder.rest
            self._end_body(decoder.trailers)

    def _end_body(self, trailers: list[Header]) -> None:
        if self._sink is not None:
            self._sink.request_end(trailers)
        elif self._waits_for == _DISCARD:
            self._waits_for = _IDLE
            self._advance()

    # Ending it.

    def _reject(self, error: BadRequest) -> None:
        self._transport.write(self._server.responder.reject(self, error))
        self._linger()

    def _linger(self) -> None:
        # Closing with unread bytes in our socket's buffer makes the kernel reset the connection, and the reset can
        # overtake the answer on its way to the caller. So: shut our side, read on for a moment, then close.
        if self._closing:
            return
        self._closing = True
        self._buffer = b""
        self._waits_for = _LINGER
        self._since = self._server.clock()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _close(self) -> None:
        self._closing = True
        self._waits_for = _LINGER
        self._transport.close()
