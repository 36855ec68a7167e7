"""Bytes that are the same in every message: status lines and the framing of chunks."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from sidecar.wire.message import Header

REASONS: Final[dict[int, bytes]] = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    # RFC 9110 section 15; Python's own phrases depend on its version.
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    418: b"",
    422: b"Unprocessable Content",
}
"""Standard reason phrases by status."""

STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"")) for status in range(100, 600)
}
"""The status line of every status that may be sent. A reason phrase is not relayed but made anew, or left
empty: nothing but people reads it (RFC 9112 section 4), and an upstream could fill it with anything."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
"""Ends a chunked body that has no trailers."""


def chunk(data: bytes) -> bytes:
    """Frames a piece of a chunked body (RFC 9112 section 7.1). Of no data nothing: an empty chunk ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Iterable[Header]) -> bytes:
    """Ends a chunked body with trailers."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in trailers])
