"""One connection from a caller: takes its requests one at a time, and writes what it is given.

Four rules:
1. A request is read only when the response before it is finished, and the caller reads. What a caller sends ahead waits
   as bytes, and reading stops when there are too many of them: nothing is parsed that may turn out to be the body of
   what came before, and nobody can have more answered than it takes.
2. A request whose framing can't be trusted is answered once and the connection closed: what follows is not a request.
3. A sink is told what `sinks.py` says whenever it answers: within `accept`, in mid-body, or late.
4. What one connection holds is bounded. Of what came: `HELD` or `header_bytes`, and one read of the loop (uvloop reads
   at most 256,000 bytes). Of what is to go out: `WRITE_HIGH`, and what was written last.
"""

import asyncio
from typing import Final, cast

from sidecar.wire.body import Body
from sidecar.wire.cut import cut
from sidecar.wire.encode import CONTINUE
from sidecar.wire.errors import BadRequest
from sidecar.wire.message import RequestHead
from sidecar.wire.pace import Pace
from sidecar.wire.shared import Server
from sidecar.wire.sinks import RequestSink

HELD: Final = 65536
"""Bytes a caller may send ahead of the response it waits for before we stop reading."""
WRITE_HIGH: Final = 65536
"""Bytes of response that may wait for a slow caller before the upstream is told to pause."""
DISCARD: Final = 65536
"""Bytes of an unwanted request body that are read to keep the connection; more closes it."""
LINGER: Final = 2.0
"""Seconds a caller has to end its side once our last answer is on its way (RFC 9112 section 9.6)."""
TURN: Final = 32
"""Pipelined requests that are answered before other connections get their turn."""

# What a connection waits for: a request's first byte, the rest of its head, its answer, the end of a body that nobody
# wants, the caller to read (or others to have their turn), its own end; or nothing, because it was handed over.
_IDLE, _HEAD, _ANSWER, _DISCARD, _BLOCKED, _OVER, _HANDED_OVER = range(7)


class ServerConnection(asyncio.Protocol):
    """A connection from a caller."""

    __slots__ = (
        "_advancing",
        "_expects_continue",
        "_full",
        "_known",
        "_pace",
        "_paused",
        "_persistent",
        "_reader",
        "_server",
        "_since",
        "_sink",
        "_transport",
        "_unsent",
        "_waits_for",
        "responder",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known = server.known
        self.responder = server.responder
        self._reader = server.reader()
        self._transport: asyncio.Transport
        self._advancing = False
        self._full = False
        self._pace: Pace | None = None
        self._paused = False
        self._since = 0.0
        self._unsent = 0
        self._waits_for = _IDLE
        self._sink: RequestSink | None = None
        self._persistent = True
        self._expects_continue = False

    # The exchange's side.

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow this one's answer. Ask before writing the head."""
        body = self._reader.body
        if body is None or not self._persistent:
            return self._persistent
        # A caller that waits for a 100 may send its body or not after a final answer (RFC 9110 section 10.1.1).
        return not self._expects_continue and 0 < body.left <= DISCARD

    def last(self) -> None:
        """The answer to come, of which nothing is written yet, is its last."""
        self._persistent = False

    def send_continue(self) -> None:
        """Asks for the body, if the caller waits to be asked. Idempotent."""
        if self._expects_continue:
            self._expects_continue = False
            self._transport.write(CONTINUE)

    def write(self, data: bytes) -> None:
        """Bytes of the response."""
        self._transport.write(data)

    def unsent(self) -> int:
        """Bytes of the response that the caller has not taken yet."""
        return self._transport.get_write_buffer_size()

    def pause(self) -> None:
        """Stops reading the caller's body. Idempotent. Once all of it is here, reads on: the caller may leave."""
        if self._reader.body is not None:
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
        if self._reader.body is None and self._persistent and not close:
            self._next()
        elif close or not self.keeps_alive:
            self._linger()
        else:
            self._waits_for = _DISCARD
            self.resume()

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Its transport, which tells `protocol` from now on, and what the caller sent ahead: no request any more.

        Whoever takes it says `lost` when it is closed. Until then `drop` is told to the sink as before.
        """
        self._waits_for = _HANDED_OVER
        self.resume()
        self._transport.set_protocol(protocol)
        return self._transport, self._reader.rest()

    def lost(self) -> None:
        """What was handed over is closed."""
        self._sink = None
        self.connection_lost(None)

    def abort(self) -> None:
        """Ends the connection in a way that no caller can take for a complete response."""
        self._end()
        cut(self._transport)

    def drop(self) -> None:
        """The process ends: a request under way is refused, or cut off if its answer has begun."""
        if self._sink is not None:
            self._sink.request_failed(BadRequest(503, "draining", "the sidecar is ending"))

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
        if self._waits_for == _IDLE:
            # Nearly every request: one whole head without a body, whose field lines came before.
            if (head := self._known.recognise(data)) is not None and not head.length:
                self._begin(head)
                return
            if head is not None or self._reader.is_head(data):
                self._take(data)
                return
        reader = self._reader
        if reader.body is not None:
            self._read_body(reader.body, data)
        elif self._waits_for != _OVER:
            reader.waiting += data
            self._advance()

    def eof_received(self) -> bool:
        """The caller will send no more: it has left, as nginx and Envoy see it too.

        One that closed only its half can't be told from one that is gone, whose place others need.
        """
        if self._waits_for == _ANSWER:
            cut(self._transport)
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
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
        if waits_for == _ANSWER:  # its sink's deadline bounds it
            self._check_pace(now)
            return
        if waits_for == _HANDED_OVER:
            return
        unsent = self._transport.get_write_buffer_size()
        if waits_for in (_HEAD, _DISCARD):
            limit = self._server.header_timeout
        else:
            if unsent != self._unsent:  # it reads, however slowly: its time begins when it stops
                self._unsent = unsent
                self._since = now
            limit = LINGER if waits_for == _OVER and not unsent else self._server.idle_timeout
        if now - self._since < limit:
            return
        if waits_for == _HEAD:
            self._reject(BadRequest(408, "request_timeout", "request head not received in time"))
        elif unsent or waits_for == _OVER:
            self._transport.abort()
        else:
            self._close()

    def _check_pace(self, now: float) -> None:
        body = self._reader.body
        server = self._server
        if body is None or not server.body_rate:
            return
        pace = self._pace = self._pace or Pace(floor=server.body_rate, over=server.header_timeout)
        if pace.is_too_slow(body, now, may_send=not self._paused and not self._expects_continue):
            self._spoil(BadRequest(408, "request_timeout", "request body slower than limits.body_rate"))

    # Reading requests.

    def _next(self) -> None:
        """The answer before is written: on with the next request, if the caller reads."""
        if self._full:
            self._waits_for = _BLOCKED
        else:
            self._waits_for = _IDLE
            if self._reader.waiting or self._paused:
                self._advance()

    def _unblock(self) -> None:
        if self._waits_for == _BLOCKED and not self._full:
            self._next()

    def _advance(self) -> None:
        # A loop, not recursion: a thousand pipelined requests that are answered at once must not deepen the stack.
        if self._advancing:
            return
        self._advancing = True
        try:
            for _ in range(TURN):
                if self._waits_for > _HEAD or not self._take():
                    break
        finally:
            self._advancing = False
        if self._waits_for == _IDLE and self._reader.waiting:
            self._waits_for = _BLOCKED
            self._server.soon(self._unblock)
        self._regulate()

    def _take(self, alone: bytes = b"") -> bool:
        """Begins the next request, if its head is whole. `alone`: that head, where nothing else is here."""
        reader = self._reader
        try:
            head = reader.read(alone) if alone else reader.head()
        except BadRequest as error:
            self._reject(error)
            return False
        if head is None:
            if not reader.waiting:
                self._waits_for = _IDLE  # what looked like the beginning of a head was half an empty line
            elif self._waits_for == _IDLE:
                self._waits_for = _HEAD
                self._since = self._server.clock()
            return False
        self._begin(head)
        if reader.body is not None and reader.waiting:
            self._read_body(reader.body, reader.rest())
        return True

    def _begin(self, head: RequestHead) -> None:
        self._persistent = head.keep_alive
        self._expects_continue = head.expects_continue
        self._waits_for = _ANSWER
        sink = self.responder.accept(self, head)
        if self._waits_for == _ANSWER:
            self._sink = sink
            if self._full:
                sink.caller_full()

    def _read_body(self, body: Body, data: bytes) -> None:
        reader = self._reader
        sink = self._sink
        self._expects_continue = False
        try:
            payload = reader.payload(body, data)
        except BadRequest as error:
            self._spoil(error)
            return
        if sink is not None:
            if payload:
                sink.request_body(payload)
            if not body.left and self._sink is sink:  # it may have answered without waiting for the end
                sink.request_end(body.trailers)
        elif not body.left:
            self._since = self._server.clock()
            self._next()
        if reader.waiting:
            self._advance()

    def _spoil(self, error: BadRequest) -> None:
        """The rest of a body will not be read, nor anything after it."""
        self._persistent = False
        self._reader.clear()
        if self._sink is None:
            self._close()
        else:
            self._sink.request_failed(error)

    def _regulate(self) -> None:
        """Reads on, unless the caller sends ahead: of a body, its sink sets the pace."""
        if self._reader.body is None:
            if len(self._reader.waiting) >= HELD and self._waits_for > _HEAD:
                self._stop_reading()
            else:
                self.resume()

    def _stop_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # Ending it.

    def _reject(self, error: BadRequest) -> None:
        self._transport.write(self.responder.reject(self, error))
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
        sink = self._sink
        self._end()
        if sink is not None:
            sink.caller_gone()

    def _end(self) -> None:
        """Nothing that comes from now on is a request, and nobody hears of it."""
        self._sink = None
        self._waits_for = _OVER
        self._since = self._server.clock()
        self._reader.clear()
