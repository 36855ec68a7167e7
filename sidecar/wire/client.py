"""One connection to an upstream: sends a request, cuts the response out of the byte stream.

Four rules:
1. A connection carries one exchange at a time, and tells only that exchange's sink, as `sinks.py` says.
2. It goes back to its pool only after a complete response to a completely sent request, when both sides agree to keep
   it, our bytes are on their way and not one of the peer's is left over. Anything else closes it: the next response
   could be taken for another's.
3. Whatever ends a connection, its pool forgets it before anybody else can be given it.
4. What one holds is bounded. Of what came: `MAX_HEAD` and one read of the loop. Of what is to go out: `WRITE_HIGH`, and
   what was sent last.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final, Protocol, cast

from sidecar.wire.body import Body
from sidecar.wire.chunked import ChunkError
from sidecar.wire.errors import MalformedResponse, Reset, UpstreamError
from sidecar.wire.framing import is_asked
from sidecar.wire.known import KnownResponses
from sidecar.wire.message import UNTIL_CLOSE, Header, ResponseHead
from sidecar.wire.parse import ResponseParser
from sidecar.wire.sinks import ResponseSink
from sidecar.wire.tls import alert

MAX_HEAD: Final = 65536
"""Bytes of one response head; longer is malformed. Envoy allows 60 KiB, nginx 4 to 8, HAProxy 16."""
MAX_INTERIM: Final = 8
"""1xx heads before the final one. A flood of them would hold a caller for ever."""
WRITE_HIGH: Final = 65536
"""Bytes of request body that may wait for a slow upstream before the caller is told to pause."""

_END: Final = b"\r\n\r\n"
_START: Final = b"HTTP/"
_CONTINUE: Final = 100
_SWITCHING_PROTOCOLS: Final = 101
_FINAL: Final = 200


class Keeper(Protocol):
    """Who owns connections between exchanges: the pool."""

    def release(self, connection: "ClientConnection") -> None:
        """Its exchange is over and it may serve another."""

    def forget(self, connection: "ClientConnection") -> None:
        """It is closed. Told once."""


class ClientConnection(asyncio.Protocol):
    """A connection to one endpoint. Public attributes are read by the pool and by metrics."""

    __slots__ = (
        "_asked",
        "_body",
        "_buffer",
        "_full",
        "_interim",
        "_keeper",
        "_known",
        "_method",
        "_now",
        "_parser",
        "_paused",
        "_plain",
        "_poll",
        "_reusable",
        "_sink",
        "_transport",
        "closed",
        "connect_seconds",
        "exchanges",
        "exchanges_seen",
        "idle_since",
        "last_head",
        "made_at",
        "request_sent",
        "worn",
    )

    def __init__(self, keeper: Keeper, parser: ResponseParser, known: KnownResponses, now: Callable[[], float]) -> None:
        # For the connection's life.
        self._keeper = keeper
        self._known = known
        self._parser = parser
        self._now = now
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._full = False
        self._paused = False
        self._poll: select.poll | None = None
        self.closed = False
        self.connect_seconds = -1.0
        self.exchanges = 0
        self.made_at = 0.0
        self.last_head: ResponseHead | None = None
        # The pool's notes.
        self.exchanges_seen = -1
        self.idle_since = 0.0
        self.worn = False
        # The protocols that its last exchange asks for.
        self._asked = b""
        # For one exchange.
        self._sink: ResponseSink | None = None
        self._method = b""
        self._body: Body | None = None  # once the final head came
        self._interim = 0
        self._reusable = True
        self._plain = True
        self.request_sent = True

    def __repr__(self) -> str:
        state = "closed" if self.closed else "idle" if self._sink is None else "active"
        return f"<ClientConnection {state} exchanges={self.exchanges}>"

    # The exchange's side.

    def send(self, sink: ResponseSink, method: bytes, data: bytes, *, whole: bool) -> None:
        """Starts an exchange. `data`: the head, and the body if `whole`; else `send_body` and `sent_all` follow."""
        self._sink = sink
        self._method = method
        self.exchanges += 1
        self.request_sent = whole
        self._plain = whole and method != b"HEAD"
        self._transport.write(data)

    def send_body(self, data: bytes) -> None:
        """More of the request, already framed."""
        self._transport.write(data)

    def sent_all(self) -> None:
        """The request's last byte was given to `send_body`."""
        self.request_sent = True

    def may_switch(self, asked: bytes) -> None:
        """The request just sent asks for other protocols, as its `Upgrade` says. No other exchange follows it."""
        self._asked = asked
        self.retire()

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """After `response_switched`: its transport, which tells `protocol` from now on, and what came after the 101.

        Whoever takes it says `lost` when it is closed. Until then it counts as active.
        """
        self.resume()
        self._transport.set_protocol(protocol)
        rest = bytes(self._buffer)
        self._buffer.clear()
        return self._transport, rest

    def lost(self) -> None:
        """What was handed over is closed."""
        self._sink = None
        self._forget()

    def pause(self) -> None:
        """Stops reading, so that the upstream's own window fills. Idempotent."""
        if not self._paused and not self.closed:
            self._paused = True
            self._plain = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again. Idempotent."""
        if self._paused and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    def abandon(self) -> None:
        """Lets go of an exchange that nobody wants any more. The connection can't be used again."""
        self._sink = None
        self.close()

    def is_quiet(self) -> bool:
        """Whether the peer has left an idle connection alone: neither ended it nor sent anything. One system call.

        The loop tells the same, a turn later: too late for a request that can't be repeated.
        """
        if self._transport.is_closing():  # its descriptor may be somebody else's by now
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not self._poll.poll(0)

    def retire(self) -> None:
        """Serves its exchange, if there is one, and no other."""
        self.worn = True
        self._plain = False
        if self._sink is None:
            self.close()

    def close(self) -> None:
        """Closes at once, without flushing. Idempotent."""
        if not self.closed:
            self._transport.abort()
            self._forget()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.made_at = self._now()

    def data_received(self, data: bytes) -> None:
        """Bytes from the upstream."""
        sink = self._sink
        if sink is None:
            self.close()  # bytes that nobody asked for: whose answer would they be?
        elif self._body is None and self._plain and not self._buffer:
            # Nearly every response: one segment, whose head came before. Half the price of reading it in steps.
            end = data.find(_END) + len(_END)
            known = self._known
            head = known.recognise(data[:end]) or known.resemble(data[:end])
            if head is not None and head.length == len(data) - end and head.keep_alive:
                # Free before the sink hears of it: it may answer its caller with the next request already.
                self._sink = None
                self.last_head = head
                self._keeper.release(self)
                sink.response_whole(head, data[end:])
            else:
                self._read(data)
        else:
            self._read(data)

    def eof_received(self) -> bool:
        """The upstream will send no more. Only this ends a body that ends with the connection.

        A connection that is merely lost does not: TLS tells an end from a cut (RFC 9112 section 9.8).
        """
        if self._sink is not None and self._body is not None and self._body.left == UNTIL_CLOSE:
            self._finish([], b"")
        else:
            self._fail(self._reset())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        self._forget()
        reset = self._reset()
        # In TLS 1.3 a peer that refuses our certificate says so after the handshake (RFC 8446 section 4.4.2.4).
        refusal = alert(exc) if reset.silent and not reset.reused else None
        self._fail(refusal or reset)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._full = True
        self._plain = False
        if self._sink is not None:
            self._sink.upstream_full()

    def resume_writing(self) -> None:
        """It has drained."""
        self._full = False
        if self._sink is not None:
            self._sink.upstream_ready()

    # Reading the response.

    def _read(self, data: bytes) -> None:
        try:
            if self._body is None:
                self._read_heads(data)
            else:
                self._read_body(self._body, data)
        except MalformedResponse as error:
            self._fail(error)

    def _read_heads(self, data: bytes) -> None:
        buffer = self._buffer
        if buffer:
            start = max(0, len(buffer) - len(_END) + 1)  # each byte is looked at once, however slowly they come
            buffer += data
            if buffer.find(_END, start) < 0:
                self._check_start(buffer)
                return
            data = bytes(buffer)
            buffer.clear()
        while (end := data.find(_END) + len(_END)) >= len(_END):
            head = self._parse(data[:end])
            data = data[end:]
            if head.status >= _FINAL:
                self._take_head(head, data)
                return
            if head.status == _SWITCHING_PROTOCOLS:
                self._switch(head, data)
                return
            self._take_interim(head)
            if self._sink is None:
                return
        buffer += data
        self._check_start(buffer)

    def _parse(self, data: bytes) -> ResponseHead:
        # What answers HEAD has the head of another response, but not its body.
        known = self._known if self._method != b"HEAD" else None
        head = None if known is None else known.recognise(data) or known.resemble(data)
        if head is None:
            if len(data) > MAX_HEAD:
                raise MalformedResponse("response head too large")
            head = self._parser.parse(data, self._method)
            if known is not None and head.status >= _FINAL:
                known.learn(data, head)
        return head

    def _check_start(self, buffer: bytearray) -> None:
        if len(buffer) > MAX_HEAD:
            raise MalformedResponse("response head too large")
        if not _START.startswith(buffer[: len(_START)]):
            raise MalformedResponse("not an HTTP response")

    def _take_interim(self, head: ResponseHead) -> None:
        self._interim += 1
        self._plain = False
        if self._interim > MAX_INTERIM:
            raise MalformedResponse("too many interim responses")
        if head.status != _CONTINUE and self._sink is not None:
            self._sink.response_interim(head)

    def _switch(self, head: ResponseHead, rest: bytes) -> None:
        if head.http10 or not is_asked(head, self._asked):
            raise MalformedResponse("a 101 to what was not asked for")
        self._buffer += rest
        cast("ResponseSink", self._sink).response_switched(head)

    def _take_head(self, head: ResponseHead, rest: bytes) -> None:
        sink = cast("ResponseSink", self._sink)
        self.last_head = head
        if self._plain and head.length == len(rest) and head.keep_alive:
            self._sink = None
            self.last_head = head
            self._keeper.release(self)
            sink.response_whole(head, rest)
            return
        body = self._body = Body(head.length, lenient=True)
        self._reusable = head.keep_alive
        sink.response_head(head)
        if not body.left:
            self._finish(body.trailers, rest)
        elif rest and self._sink is sink:
            self._read_body(body, rest)

    def _read_body(self, body: Body, data: bytes) -> None:
        sink = cast("ResponseSink", self._sink)
        try:
            payload = body.feed(data)
        except ChunkError as error:
            raise MalformedResponse(error.detail) from None
        if payload:
            sink.response_body(payload)
        if not body.left:
            self._finish(body.trailers, body.rest)

    # Ending it.

    def _finish(self, trailers: list[Header], rest: bytes) -> None:
        sink = self._sink
        if sink is None:
            return  # let go while the last bytes were handed over
        reusable = self._reusable and self.request_sent and not self._full and not self.worn
        self._sink = None
        self._body = None
        self._interim = 0
        # Before the sink hears of the end: it may answer its caller with the next request already.
        if reusable and not rest and not self.closed:
            self.resume()
            self._keeper.release(self)
        else:
            self.close()
        sink.response_end(trailers)

    def _fail(self, error: UpstreamError) -> None:
        sink, self._sink = self._sink, None
        self.close()
        if sink is not None:
            sink.response_failed(error)

    def _forget(self) -> None:
        if not self.closed:
            self.closed = True
            self._keeper.forget(self)

    def _reset(self) -> Reset:
        silent = self._body is None and not self._buffer and not self._interim
        where = "before the response" if silent else "in mid-response"
        return Reset(f"connection closed {where}", reused=self.exchanges > 1, silent=silent)
