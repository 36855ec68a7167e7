"""The body of one message: which of the bytes that come are it, and when it has ended."""

from typing import Final

from sidecar.wire.chunked import ChunkedDecoder
from sidecar.wire.message import CHUNKED, Header

_NO_TRAILERS: Final[list[Header]] = []


class Body:
    """Takes a body of `length` bytes, or CHUNKED, or UNTIL_CLOSE, in any pieces and gives its payload.

    `lenient`: as ChunkedDecoder's.
    """

    __slots__ = ("_decoder", "left", "rest", "size", "trailers")

    def __init__(self, length: int, *, lenient: bool = False) -> None:
        self._decoder = ChunkedDecoder(lenient=lenient) if length == CHUNKED else None
        self.left = length
        """Bytes to come; CHUNKED or UNTIL_CLOSE as long as nobody can know; 0 when it has ended."""
        self.size = 0
        """Bytes of payload so far."""
        self.trailers = _NO_TRAILERS
        """Fields that came after it."""
        self.rest = b""
        """Bytes that came after it, in the same piece."""

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes of a body that has not ended; returns the payload among them, if any.

        Raises:
            ChunkError: nothing that comes on this connection can be told apart any more.
        """
        left = self.left
        if left > 0:
            if len(data) > left:
                self.rest = data[left:]
                data = data[:left]
            self.left = left - len(data)
        elif self._decoder is not None:
            data = self._decode(self._decoder, data)
        self.size += len(data)
        return data

    def _decode(self, decoder: ChunkedDecoder, data: bytes) -> bytes:
        # One piece, however many chunks it came in: ten thousand tiny ones must not become as many writes.
        payload = b"".join(decoder.feed(data))
        if decoder.done:
            self.left = 0
            self.rest = decoder.rest
            self.trailers = decoder.trailers
        return payload
