"""Chunked bodies (RFC 9112 section 7.1), decoded strictly and as the bytes come."""

import re
from typing import TYPE_CHECKING, Final

from sidecar.wire.framing import FORBIDDEN_TRAILERS

if TYPE_CHECKING:
    from sidecar.wire.message import Header

# At every place at most one part of these can match, so a hostile line is read once and given up, never searched for
# other ways to read it. Not possessive quantifiers: up to Python 3.11.3 they accept what they should refuse.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION: Final = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:%b)*\r\n" % _EXTENSION)
_TRAILER_LINE: Final = re.compile(rb"(%b):([\t \x21-\x7e\x80-\xff]*)\r\n" % _TOKEN)

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3
_DONE: Final = 4

_PER_CHUNK: Final = 32
"""Bytes of framing that each chunk may have of its own. Sixteen are what a size can take."""


class ChunkError(ValueError):
    """Not a chunked body, or one beyond the limits. `detail`: one sentence that quotes nothing."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ChunkedDecoder:
    """Takes a chunked body in any pieces and gives its payload.

    `lenient`: trailer fields that belong before the body are dropped, as whoever reads a response may, and not refused.
    `max_overhead`: bytes that may be other than payload, beside 32 for each chunk: extensions and tiny chunks
    are to cost their sender more than us. `max_trailer_bytes`, `max_trailers`: of the trailer section. No
    more than these limits is ever held, and each byte is looked at once, however the body is cut.
    """

    __slots__ = (
        "_left",
        "_lenient",
        "_line",
        "_max_trailers",
        "_overhead",
        "_state",
        "_trailer_bytes",
        "rest",
        "trailers",
    )

    def __init__(
        self,
        *,
        max_overhead: int = 16384,
        max_trailer_bytes: int = 8192,
        max_trailers: int = 100,
        lenient: bool = False,
    ) -> None:
        self._lenient = lenient
        self._state = _SIZE
        self._left = 0
        self._line = bytearray()
        self._overhead = max_overhead
        self._trailer_bytes = max_trailer_bytes
        self._max_trailers = max_trailers
        self.trailers: list[Header] = []
        """Fields that came after the body; all of them when `done`."""
        self.rest = b""
        """Bytes that came after the end of the body."""

    @property
    def done(self) -> bool:
        """Whether the body has ended. What comes then is added to `rest`."""
        return self._state == _DONE

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the next bytes; returns the payload among them, in order, in pieces that are not empty.

        Raises:
            ChunkError: the body cannot be read any further, nor anything after it on the connection.
        """
        pieces: list[bytes] = []
        position, end = 0, len(data)
        while position < end:
            if self._state == _SIZE and not self._line:
                whole = self._read_chunks(data, position, pieces)
                if whole != position:
                    position = whole
                    continue
            if self._state == _DATA:
                position = self._read_data(data, position, pieces)
            elif self._state == _DONE:
                self.rest += data[position:]
                break
            else:
                position = self._read_line(data, position)
        return pieces

    def _read_chunks(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Takes the chunks that are here as a whole, as most are: in half the time of line by line."""
        while match := _SIZE_LINE.match(data, position):
            start = match.end()
            stop = start + int(match[1], 16)
            if data[stop : stop + 2] != b"\r\n":
                break
            self._charge(start - position)
            self._overhead += _PER_CHUNK - 2
            position = stop + 2
            if start == stop:
                self._state = _DONE
                break
            pieces.append(data[start:stop])
        return position

    def _read_data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        stop = position + self._left
        piece = data[position:stop]  # no copy, where it is all of it
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._state = _DATA_END
        return position + len(piece)

    def _read_line(self, data: bytes, position: int) -> int:
        stop = data.find(b"\n", position) + 1
        line = data[position:stop] if stop else data[position:]
        self._charge(len(line))
        if not stop:
            self._line += line
            if self._state == _DATA_END and self._line != b"\r":
                raise ChunkError("a chunk is longer than its size")
            return len(data)
        if self._line:
            line = bytes(self._line + line)
            self._line.clear()
        self._take(line)
        return stop

    def _charge(self, count: int) -> None:
        if self._state == _TRAILER:
            self._trailer_bytes -= count
            if self._trailer_bytes < 0:
                raise ChunkError("the trailer section is too large")
        else:
            self._overhead -= count
            if self._overhead < 0:
                raise ChunkError("too much chunk framing for the payload")

    def _take(self, line: bytes) -> None:
        if self._state == _SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise ChunkError("malformed chunk size or extension")
            self._left = int(match[1], 16)
            self._overhead += _PER_CHUNK
            self._state = _DATA if self._left else _TRAILER
        elif self._state == _DATA_END:
            if line != b"\r\n":
                raise ChunkError("a chunk is longer than its size")
            self._state = _SIZE
        elif line == b"\r\n":
            self._state = _DONE
        else:
            self._take_trailer(line)

    def _take_trailer(self, line: bytes) -> None:
        match = _TRAILER_LINE.fullmatch(line)
        if match is None:
            raise ChunkError("malformed trailer field")
        if len(self.trailers) >= self._max_trailers:
            raise ChunkError("too many trailer fields")
        name = match[1]
        low = name.lower()
        if low not in FORBIDDEN_TRAILERS:
            self.trailers.append((low, name, match[2].strip(b" \t")))
        elif not self._lenient:
            raise ChunkError("a trailer field that belongs before the body")
