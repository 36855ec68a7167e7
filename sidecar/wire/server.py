"""One connection from a caller: cuts requests out of the byte stream, one at a time, and writes what it is given.

Four rules:
1. A request's head is parsed only when it is whole, and only when the response before it is finished and the
   caller reads. What a caller pipelines meanwhile waits as bytes, and reading stops when there are too many of
   them. So nothing is parsed that may turn out to be the body of what came before, and nobody can have more
   answered than it takes.
2. A request whose framing can't be trusted is answered once and the connection closed: what follows is not a
   request.
3. A sink is told what `sinks.py` says, whenever it answers: also within `accept`, also in mid-body.
4. What one connection holds is bounded: of what came, `HELD` or `header_bytes` and one read of the loop (uvloop
   reads at most 256,000 bytes); of what is to go out, `WRITE_HIGH` and the last thing written.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from sidecar.clock import Clock
from sidecar.wire.body import Body
from sidecar.wire.chunked import ChunkError
from sidecar.wire.encode import CONTINUE
from sidecar.wire.errors import BadRequest
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import RequestHead
from sidecar.wire.parse import RequestParser
from sidecar.wire.sinks import RequestSink

HELD: Final = 65536
"""Bytes a caller may send ahead of the response it waits for before we stop reading."""
WRITE_HIGH: Final = 65536
"""Bytes of response that may wait for a slow caller before the upstream is told to pause."""
DISCARD: Final = 65536
"""Bytes of an unwanted request body that are read to keep the connection; more closes it."""
LINGER: Final = 2.0
"""Seconds a caller has to go on sending after it has got our last answer (RFC 9112 section 9.6)."""
TURN: Final = 32
"""Pipelined requests that are answered before other connections get their turn."""

_END: Final = b"\r\n\r\n"
_RESET: Final = struct.pack("ii", 1, 0)

# What a connection waits for: a request's first byte, the rest of its head, its answer, the end of a body that nobody
# wants, the caller to read or others to have had their turn, its end.
_IDLE, _HEAD, _ANSWER, _DISCARD, _BLOCKED, _OVER = range(6)


class Responder(Protocol):
    """Who is asked to answer."""

    def accept(self, connection: "ServerConnection", head: RequestHead) -> RequestSink:
        """A request came. It may be answered, and `connection.finish` called, before this returns."""
        ...

    def reject(self, connection: "ServerConnection", error: BadRequest) -> bytes:
        """The whole response, `Connection: close` included, to a message that is no request."""
        ...


def _soon(call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(call)


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
    soon: Callable[[Callable[[], None]], None] = _soon
    """Has the loop call something when others have had their turn."""
    connections: set["ServerConnection"] = field(default_factory=set)
    leaving: set["ServerConnection"] = field(default_factory=set)
    """Those of `connections` that got their last answer. They don't count as connections: a crowd that is refused
    must not keep others out while it leaves."""
    known: KnownRequests = field(default_factory=KnownRequests)
    parser: RequestParser = field(init=False)
    """Heads come whole, so one is enough for all, and saves 3.5 KB for each."""

    def __post_init__(self) -> None:
        self.parser = RequestParser(max_headers=self.headers)

    def connection(self) -> "ServerConnection":
        """A protocol for one accepted connection."""
        return ServerConnection(self)

    def sweep(self, now: float) -> None:
        """Ends what has waited too long. To be called a few times per `header_timeout`."""
        for connection in list(self.connections):
            connection.sweep(now)

    @property
    def crowded(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self.connections) - len(self.leaving) > self.max_connections


class ServerConnection(asyncio.Protocol):
    """A connection from a caller."""

    __slots__ = (
        "_advancing",
        "_body",
        "_buffer",
        "_expects_continue",
        "_full",
        "_known",
        "_paused",
        "_persistent",
        "_responder",
        "_server",
        "_since",
        "_sink",
        "_transport",
        "_unsent",
        "_waits_for",
    )

    def __init__(self, server: Server) -> None:
        # For the connection's life.
        self._server = server
        self._known = server.known
        self._responder = server.responder
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._paused = False
        self._full = False
        self._advancing = False
        self._waits_for = _IDLE
        self._since = 0.0
        self._unsent = 0
        # For one request.
        self._sink: RequestSink | None = None
        self._persistent = True
        self._expects_continue = False
        self._body: Body | None = None  # as long as it has not ended

    # The exchange's side.

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow this one's answer. Ask before writing the head."""
        body = self._body
        if body is None or not self._persistent:
            return self._persistent
        # A caller that waits for a 100 may send its body or not after a final answer (RFC 9110 section 10.1.1).
        return not self._expects_continue and 0 < body.left <= DISCARD

    def send_continue(self) -> None:
        """Asks for the body, if the caller waits to be asked. Idempotent."""
        if self._expects_continue:
            self._expects_continue = False
            self._transport.write(CONTINUE)

    def write(self, data: bytes) -> None:
        """Bytes of the response."""
        self._transport.write(data)

    def pause(self) -> None:
        """Stops reading the caller's body. Idempotent; nothing when all of it is here, so that leaving is noticed."""
        if self._body is not None:
            self._stop_reading()

    def resume(self) -> None:
        """Reads again. Idempotent."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def finish(self, now: float, *, close: bool = False) -> None:
        """The response is complete. Goes on with the next request, or closes gently. Nothing if the caller has left.

        `close`: the head said `Connection: close`, or the body's end is the connection's.
        """
        if self._waits_for != _ANSWER:
            return
        self._sink = None
        self._since = now
        if self._body is None and self._persistent and not close:
            self._next()
        elif close or not self.keeps_alive:
            self._linger()
        else:
            self._waits_for = _DISCARD
            self.resume()

    def abort(self) -> None:
        """Ends the connection in a way that no caller can take for a complete response.

        That is a TCP reset: an orderly end would be the body's to who reads until the connection closes.
        """
        self._sink = None
        self._end()
        if not self._transport.is_closing():  # else its descriptor may be somebody else's by now
            raw = self._transport.get_extra_info("socket")
            with suppress(OSError):  # it was reset by the caller in this moment
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def close_if_idle(self) -> None:
        """For the end of a drain: closes what carries no request."""
        if self._waits_for in (_IDLE, _HEAD, _BLOCKED):
            self._close()
        elif self._waits_for == _DISCARD:
            self._linger()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller connected."""
        server = self._server
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._since = server.clock()
        server.connections.add(self)
        if server.crowded:
            self._reject(BadRequest(503, "too_many_connections", "connection limit reached"))

    def data_received(self, data: bytes) -> None:
        """Bytes from the caller."""
        waits_for = self._waits_for
        if waits_for == _IDLE:
            # Nearly every request: one whole head, whose field lines came before. 0.4 of what follows.
            head = self._known.recognise(data)
            if head is not None:
                self._admit(head)
            else:
                self._read_segment(data)
        elif self._body is not None:
            self._read_body(self._body, data)
        elif waits_for == _HEAD:
            seen = len(self._buffer)
            self._buffer += data
            self._advance(seen)
        elif waits_for != _OVER:
            self._buffer += data
            self._regulate()

    def eof_received(self) -> bool:
        """The caller will send no more: it has left, as nginx and Envoy see it too.

        One that has closed only its half can't be told from one that is gone, and whoever waits for an answer that
        nobody will read holds a place that others need.
        """
        if self._waits_for == _ANSWER:
            self._transport.abort()  # what is left of an answer must not end like a whole one
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature  # noqa: ARG002 - a caller may leave as it likes
        """The connection is gone."""
        self._server.connections.discard(self)
        self._server.leaving.discard(self)
        self._leave()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._full = True
        if self._sink is not None:
            self._sink.caller_full()

    def resume_writing(self) -> None:
        """It has drained."""
        self._full = False
        if self._sink is not None:
            self._sink.caller_ready()
        else:
            self._unblock()

    # What waits too long.

    def sweep(self, now: float) -> None:
        """Ends what has waited too long for the caller's next byte, or for the caller to read."""
        waits_for = self._waits_for
        if waits_for == _ANSWER:
            return  # its sink's deadline bounds it
        unsent = self._transport.get_write_buffer_size()
        if waits_for == _HEAD or waits_for == _DISCARD:  # noqa: PLR1714 - for every connection, twice a second
            limit = self._server.header_timeout
        else:
            if unsent != self._unsent:  # slow, but it reads: its time begins when it stops
                self._unsent = unsent
                self._since = now
            limit = LINGER if waits_for == _OVER and not unsent else self._server.idle_timeout
        if now - self._since >= limit:
            self._time_out(unsent)

    def _time_out(self, unsent: int) -> None:
        if self._waits_for == _HEAD:
            self._reject(BadRequest(408, "request_timeout", "request head not received in time"))
        elif unsent or self._waits_for == _OVER:
            self._transport.abort()
        else:
            self._close()

    # Reading requests.

    def _read_segment(self, data: bytes) -> None:
        """What comes when nothing of a request is here yet."""
        end = data.find(_END) + len(_END)
        if data[0] in b"\r\n" or not len(_END) <= end <= self._server.header_bytes:
            self._buffer += data
            self._advance()
        elif end == len(data):
            self._parse(data)
        else:
            # Cut from the segment, not by way of the buffer: the body behind the head is copied once.
            self._take_head(data[:end])
            self._go_on(data[end:])

    def _go_on(self, rest: bytes) -> None:
        """What follows a head or a body in the same segment."""
        if self._body is not None:
            self._read_body(self._body, rest)
        elif self._waits_for != _OVER:
            self._buffer += rest
            self._advance()

    def _next(self) -> None:
        """The answer before is written: on with the next request, if the caller reads."""
        if self._full:
            self._waits_for = _BLOCKED
        else:
            self._waits_for = _IDLE
            if self._buffer or self._paused:
                self._advance()

    def _unblock(self) -> None:
        if self._waits_for == _BLOCKED and not self._full:
            self._next()

    def _advance(self, seen: int = 0) -> None:
        """Takes requests from the buffer, of which `seen` bytes hold no end of a head."""
        # A loop, not recursion: a thousand pipelined requests that are answered at once must not deepen the stack.
        if self._advancing:
            return
        self._advancing = True
        try:
            for _ in range(TURN):
                if self._waits_for > _HEAD or not self._next_request(seen):
                    break
                seen = 0
            else:
                self._end_turn()
        finally:
            self._advancing = False
        self._regulate()

    def _end_turn(self) -> None:
        if self._waits_for == _IDLE and self._buffer:
            self._waits_for = _BLOCKED
            self._server.soon(self._unblock)

    def _next_request(self, seen: int) -> bool:
        buffer = self._buffer
        if buffer[:1] in (b"\r", b"\n"):  # empty lines before a request are ignored (RFC 9112 section 2.2)
            buffer[:] = buffer.lstrip(b"\r\n")
            seen = 0
        if not buffer:
            return False
        end = buffer.find(_END, max(0, seen - len(_END) + 1)) + len(_END)
        if not len(_END) <= end <= self._server.header_bytes:
            self._keep_partial_head(end)
            return False
        head = bytes(buffer[:end])
        del buffer[:end]
        self._take_head(head)
        if self._body is not None and buffer:
            rest = bytes(buffer)
            buffer.clear()
            self._read_body(self._body, rest)
        return True

    def _keep_partial_head(self, end: int) -> None:
        buffer = self._buffer
        limit = self._server.header_bytes
        if end >= len(_END) or len(buffer) > limit:
            if buffer.find(b"\r\n", 0, limit) < 0:
                self._reject(BadRequest(414, "uri_too_long", "request line larger than limits.header_bytes"))
            else:
                self._reject(BadRequest(431, "headers_too_large", "request head larger than limits.header_bytes"))
        elif not b" " < buffer[:1] < b"\x7f":
            # Why wait for the rest? A TLS handshake has no empty line, and its sender deserves an answer.
            self._reject(BadRequest(400, "bad_request", "no request line"))
        elif self._waits_for != _HEAD:
            self._waits_for = _HEAD
            self._since = self._server.clock()

    def _take_head(self, data: bytes) -> None:
        head = self._known.recognise(data)
        if head is None:
            self._parse(data)
        else:
            self._admit(head)

    def _parse(self, data: bytes) -> None:
        try:
            head = self._server.parser.parse(data)
        except BadRequest as error:
            self._reject(error)
        else:
            self._known.learn(data, head)
            self._admit(head)

    def _admit(self, head: RequestHead) -> None:
        self._persistent = head.keep_alive
        length = head.length
        if length:
            if length > self._server.body:
                self._reject(BadRequest(413, "body_too_large", "request body larger than limits.body"))
                return
            self._expects_continue = head.expects_continue
            self._body = Body(length)
        self._waits_for = _ANSWER
        sink = self._responder.accept(self, head)
        if self._waits_for == _ANSWER:
            self._sink = sink
            if self._full:
                sink.caller_full()

    def _read_body(self, body: Body, data: bytes) -> None:
        self._expects_continue = False
        try:
            payload = body.feed(data)
        except ChunkError as error:
            self._fail_body(BadRequest(400, "bad_request", error.detail))
            return
        if body.size > self._server.body:
            self._fail_body(BadRequest(413, "body_too_large", "request body larger than limits.body"))
            return
        ended = not body.left
        if ended:
            self._body = None  # before its sink hears of it: it may be finished then
        sink = self._sink
        if sink is None:
            self._end_discard(ended=ended)
        else:
            if payload:
                sink.request_body(payload)
            if ended and self._sink is sink:
                sink.request_end(body.trailers)
        if body.rest:
            self._go_on(body.rest)

    def _end_discard(self, *, ended: bool) -> None:
        if ended:
            self._since = self._server.clock()
            self._next()

    def _fail_body(self, error: BadRequest) -> None:
        self._persistent = False
        self._body = None
        if self._sink is not None:
            self._sink.request_failed(error)
        else:
            self._close()

    def _regulate(self) -> None:
        """Reads on, unless the caller sends ahead: of a body, its sink sets the pace."""
        if self._body is None:
            if len(self._buffer) >= HELD and self._waits_for > _HEAD:
                self._stop_reading()
            else:
                self.resume()

    def _stop_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # Ending it.

    def _reject(self, error: BadRequest) -> None:
        self._transport.write(self._responder.reject(self, error))
        self._linger()

    def _linger(self) -> None:
        # Closing with unread bytes in our socket's buffer makes the kernel reset the connection, and the reset can
        # overtake the answer on its way to the caller. So: shut our side, read on for a moment, then close.
        self._end()
        server = self._server
        server.leaving.add(self)
        self.resume()
        if self._transport.can_write_eof() and len(server.leaving) <= server.max_connections:
            self._transport.write_eof()
        else:
            self._transport.close()

    def _close(self) -> None:
        self._end()
        self._transport.close()

    def _leave(self) -> None:
        sink, self._sink = self._sink, None
        self._end()
        if sink is not None:
            sink.caller_gone()

    def _end(self) -> None:
        """Nothing that comes from now on is a request."""
        self._waits_for = _OVER
        self._since = self._server.clock()
        self._body = None
        self._buffer.clear()
