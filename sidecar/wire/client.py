"""One connection to an upstream: sends a request, cuts the response out of the byte stream.

Three rules:
1. A connection carries one exchange at a time, and tells only that exchange's sink.
2. It goes back to its pool only after a complete response to a completely sent request, when both sides agree to keep
   it and not a byte is left over. Anything else closes it: the next response could be taken for another's.
3. A sink is told exactly one end: `response_end` or `response_failed`, unless it let go by `abandon`.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from sidecar.wire.chunked import ChunkedDecoder, ChunkError
from sidecar.wire.errors import MalformedResponse, Reset, UpstreamError
from sidecar.wire.known import KnownResponses
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, Header, ResponseHead
from sidecar.wire.parse import ResponseParser

MAX_HEAD: Final = 65536
"""Bytes of one response head; longer is malformed. Envoy allows 60 KiB, nginx 4 to 8, HAProxy 16."""
MAX_INTERIM: Final = 8
"""1xx heads before the final one. A flood of them would hold a caller for ever."""
WRITE_HIGH: Final = 65536
"""Bytes of request body that may wait for a slow upstream before the caller is told to pause."""

_NO_TRAILERS: list[Header] = []


class ResponseSink(Protocol):
    """Who hears what comes back."""

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx other than 100 came (103 Early Hints, say)."""

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """All of the response came at once, and the connection is not the sink's any more."""

    def response_head(self, head: ResponseHead) -> None:
        """The final head came."""

    def response_body(self, data: bytes) -> None:
        """The next bytes of the body, never empty."""

    def response_end(self, trailers: list[Header]) -> None:
        """The response is complete; the connection is not the sink's any more."""

    def response_failed(self, error: UpstreamError) -> None:
        """It will never be complete; the connection is gone."""

    def upstream_full(self) -> None:
        """The upstream takes the request body slower than it comes: pause the caller."""

    def upstream_ready(self) -> None:
        """It can take more."""


class Keeper(Protocol):
    """Who owns connections between exchanges: the pool."""

    def release(self, connection: "ClientConnection") -> None:
        """Its exchange is over and it may serve another."""

    def forget(self, connection: "ClientConnection") -> None:
        """It is closed."""


class ClientConnection(asyncio.Protocol):
    """A connection to one endpoint. Public attributes are read by the pool and by metrics."""

    __slots__ = (
        "_body_left",
        "_buffer",
        "_decoder",
        "_head",
        "_interim",
        "_keeper",
        "_known",
        "_method",
        "_now",
        "_parser",
        "_paused",
        "_reusable",
        "_sink",
        "_transport",
        "closed",
        "connect_seconds",
        "exchanges",
        "idle_since",
        "made_at",
        "request_sent",
    )

    def __init__(
        self, keeper: Keeper, parser: ResponseParser, known: KnownResponses, now: Callable[[], float]
    ) -> None:
        # For the connection's life.
        self._keeper = keeper
        self._known = known
        self._parser = parser
        self._now = now
        self._transport: asyncio.Transport
        self.closed = False
        self.exchanges = 0
        self.connect_seconds = -1.0
        self.made_at = 0.0
        self.idle_since = 0.0
        # For one exchange.
        self._sink: ResponseSink | None = None
        self._method = b""
        self._head: ResponseHead | None = None
        self._body_left = 0
        self._decoder: ChunkedDecoder | None = None
        self._interim = 0
        self._buffer = b""
        self._paused = False
        self._reusable = True
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
        self._transport.write(data)

    def send_body(self, data: bytes) -> None:
        """More of the request, already framed."""
        self._transport.write(data)

    def sent_all(self) -> None:
        """The request's last byte was given to `send_body`."""
        self.request_sent = True

    def pause(self) -> None:
        """Stops reading, so that the upstream's own window fills. Idempotent."""
        if not self._paused and not self.closed:
            self._paused = True
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

    def close(self) -> None:
        """Closes at once, without flushing. Idempotent."""
        if not self.closed:
            self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.made_at = self._now()

    def data_received(self, data: bytes) -> None:
        """Bytes from the upstream."""
        if self._head is None and self._answered_at_once(data):
            return
        if self._sink is None:
            self.close()  # bytes that nobody asked for: whose answer would they be?
            return
        try:
            if self._head is None:
                self._read_head(data)
            else:
                self._read_body(data)
        except MalformedResponse as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        self.closed = True
        sink = self._sink
        if sink is not None:
            if exc is None and self._head is not None and self._body_left == UNTIL_CLOSE:
                self._sink = None
                sink.response_end(_NO_TRAILERS)
            else:
                self._fail(self._reset())
        self._keeper.forget(self)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        if self._sink is not None:
            self._sink.upstream_full()

    def resume_writing(self) -> None:
        """It has drained."""
        if self._sink is not None:
            self._sink.upstream_ready()

    # Reading the response.

    def _answered_at_once(self, data: bytes) -> bool:
        """Nearly every response: one segment, whose head came before. Half the price of reading it in steps."""
        sink = self._sink
        end = data.find(b"\r\n\r\n") + 4
        head = self._known.recognise(data[:end])
        if head is None or sink is None or self._method == b"HEAD" or self._buffer:
            return False
        if head.length != len(data) - end or not head.keep_alive or not self.request_sent:
            return False
        # Nobody may get this connection before the sink has taken its bytes, nor the sink answer before it is free.
        self._sink = None
        if self._interim or self._paused:
            self._interim = 0
            self.resume()
        self._keeper.release(self)
        sink.response_whole(head, data[end:])
        return True

    def _read_head(self, data: bytes) -> None:
        seen = len(self._buffer)
        if seen:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(b"\r\n\r\n", max(0, seen - 3)) + 4
            if end < 4 or end > MAX_HEAD:
                self._keep_partial_head(data, end)
                return
            whole = end == len(data)
            head = self._parse(data if whole else data[:end])
            data = b"" if whole else data[end:]
            if head.status >= 200:
                break
            self._take_interim(head)
            if whole or self._sink is None:
                return
            seen = 0
        self._take_head(head, data)

    def _parse(self, data: bytes) -> ResponseHead:
        head = self._parser.parse(data, self._method)
        if head.status >= 200 and self._method != b"HEAD":
            self._known.learn(data, head)
        return head

    def _keep_partial_head(self, data: bytes, end: int) -> None:
        if end > MAX_HEAD or len(data) > MAX_HEAD:
            raise MalformedResponse("response head too large")
        if len(data) >= 5 and not data.startswith(b"HTTP/"):
            raise MalformedResponse("not an HTTP response")
        self._buffer = data

    def _take_interim(self, head: ResponseHead) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM or head.status == 101:
            raise MalformedResponse("unexpected interim response")
        if head.status != 100 and self._sink is not None:
            self._sink.response_interim(head)

    def _take_head(self, head: ResponseHead, rest: bytes) -> None:
        self._head = head
        self._body_left = length = head.length
        self._reusable = head.keep_alive
        sink = cast("ResponseSink", self._sink)
        if length == CHUNKED:
            self._decoder = ChunkedDecoder()
        sink.response_head(head)
        if length == 0:
            self._finish(_NO_TRAILERS, rest)
        elif rest and self._sink is sink:
            self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        left = self._body_left
        sink = cast("ResponseSink", self._sink)
        if left > 0:
            size = len(data)
            if size < left:
                self._body_left = left - size
                sink.response_body(data)
            elif size == left:
                sink.response_body(data)
                self._finish(_NO_TRAILERS, b"")
            else:
                sink.response_body(data[:left])
                self._finish(_NO_TRAILERS, data[left:])
        elif left == UNTIL_CLOSE:
            sink.response_body(data)
        else:
            self._read_chunks(data, sink)

    def _read_chunks(self, data: bytes, sink: ResponseSink) -> None:
        decoder = cast("ChunkedDecoder", self._decoder)
        try:
            pieces = decoder.feed(data)
        except ChunkError as error:
            raise MalformedResponse(error.detail) from None
        for piece in pieces:
            sink.response_body(piece)
            if self._sink is not sink:
                return
        if decoder.done:
            self._finish(decoder.trailers, decoder.rest)

    # Ending it.

    def _finish(self, trailers: list[Header], rest: bytes) -> None:
        sink = self._sink
        if sink is None:
            return  # let go while the last bytes were handed over
        self._sink = None
        self._head = None
        self._decoder = None
        self._interim = 0
        # Back to the pool before the sink hears of the end: it may answer its caller with the next request already.
        if self._reusable and self.request_sent and not rest and not self.closed:
            self.resume()
            self._keeper.release(self)
        else:
            self.close()
        sink.response_end(trailers)

    def _fail(self, error: UpstreamError) -> None:
        sink = self._sink
        self._sink = None
        self.close()
        if sink is not None:
            sink.response_failed(error)

    def _reset(self) -> Reset:
        silent = self._head is None and not self._buffer and not self._interim
        where = "before the response" if silent else "in mid-response"
        return Reset(f"connection closed {where}", reused=self.exchanges > 1, silent=silent)
