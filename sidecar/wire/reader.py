"""Requests out of the bytes of one caller: heads, and the bodies they announce. Knows no transport and no sink.

A head is parsed when it is whole, and only when it is asked for: until then what a caller sends ahead is bytes.
"""

import re
from typing import Final, cast

from sidecar.wire.body import Body
from sidecar.wire.chunked import ChunkError
from sidecar.wire.errors import BadRequest
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import RequestHead
from sidecar.wire.parse import RequestParser

_END: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = (b"\r", b"\n")
_LINE_ENDS: Final = re.compile(rb"(?:\r?\n)*").match
"""A carriage return alone ends no line: HAProxy and h11 refuse it too (RFC 9112 section 2.2)."""


class RequestReader:
    """Reads the requests of one connection.

    `header_bytes`, `body`: the most that a head, and the payload of a body, may have. `parser` and `known` may be
    shared with other connections, because heads come whole.
    """

    __slots__ = ("_body_bytes", "_header_bytes", "_known", "_parser", "_seen", "body", "waiting")

    def __init__(self, *, header_bytes: int, body: int, parser: RequestParser, known: KnownRequests) -> None:
        self._header_bytes = header_bytes
        self._body_bytes = body
        self._parser = parser
        self._known = known
        self._seen = 0
        self.waiting = bytearray()
        """What came and was not asked for yet."""
        self.body: Body | None = None
        """The body that is being read, until it has ended."""

    def is_head(self, data: bytes) -> bool:
        """Whether `data` is one whole head and nothing else."""
        return (
            data.find(_END) == len(data) - len(_END) >= 0
            and len(data) <= self._header_bytes
            and not data.startswith(_EMPTY_LINES)
        )

    def head(self) -> RequestHead | None:
        """The next head of what waits, if it is whole. Its body is expected then.

        Raises:
            BadRequest: there is none that can be served, and nothing can be known of what comes after it.
        """
        waiting = self.waiting
        if waiting.startswith(_EMPTY_LINES):  # ignored before a request (RFC 9112 section 2.2)
            del waiting[: cast("re.Match[bytes]", _LINE_ENDS(waiting)).end()]
        if not waiting or waiting == b"\r":
            return None
        end = waiting.find(_END, self._seen) + len(_END)
        if not len(_END) <= end <= self._header_bytes:
            self._check_start(end)
            # Each byte is looked at once, however slowly a head comes.
            self._seen = max(0, len(waiting) - len(_END) + 1)
            return None
        self._seen = 0
        data = bytes(waiting[:end])
        del waiting[:end]
        return self.read(data)

    def read(self, data: bytes) -> RequestHead:
        """Reads one whole head, and expects its body.

        Raises:
            BadRequest: as `head`.
        """
        head = self._known.recognise(data)
        if head is None:
            head = self._parse(data)
            self._known.learn(data, head)
        if head.length:
            self._check_size(head.length)
            self.body = Body(head.length)
        return head

    def _parse(self, data: bytes) -> RequestHead:
        try:
            return self._parser.parse(data)
        except BadRequest as error:
            error.to_head = data.startswith(b"HEAD ")
            raise

    def payload(self, body: Body, data: bytes) -> bytes:
        """The payload of `body` in its next bytes. When it has ended, `body` is None and what comes after it waits.

        Raises:
            BadRequest: the body is broken or too large.
        """
        try:
            data = body.feed(data)
        except ChunkError as error:
            raise BadRequest(400, "bad_request", error.detail) from None
        self._check_size(body.size)
        if not body.left:
            self.body = None
            self.waiting += body.rest
        return data

    def rest(self) -> bytes:
        """Takes all that waits."""
        rest = bytes(self.waiting)
        self.waiting.clear()
        return rest

    def clear(self) -> None:
        """Forgets what came."""
        self.body = None
        self.waiting.clear()
        self._seen = 0

    def _check_start(self, end: int) -> None:
        waiting = self.waiting
        if end >= len(_END) or len(waiting) > self._header_bytes:
            if waiting.find(b"\r\n", 0, self._header_bytes) < 0:
                raise BadRequest(414, "uri_too_long", "request line larger than limits.header_bytes")
            raise BadRequest(431, "headers_too_large", "request head larger than limits.header_bytes")
        if not b" " < waiting[:1] < b"\x7f":
            # Why wait for the rest? A TLS handshake has no empty line, and its sender deserves an answer.
            raise BadRequest(400, "bad_request", "no request line")

    def _check_size(self, size: int) -> None:
        if size > self._body_bytes:
            raise BadRequest(413, "body_too_large", "request body larger than limits.body")
