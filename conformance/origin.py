"""`python -m conformance.origin PORT`: an origin that shows what arrived, and answers in every form there is.

It reads requests with h11, as strict as it is, and writes its answers byte by byte, since a library would not write
some of them. Any target that it does not know is answered with the request's own body.
"""

import asyncio
import gzip
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import h11

PATTERN = bytes(range(256)) * 400
"""What `/range` is a part of: 102,400 bytes, each telling where it is."""
_READ = 256 * 1024
_QUIET = 120.0
"""Seconds after which a connection on which nothing comes is closed."""
_FIELDS = dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, its body complete."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    def number(self, name: str, default: int) -> int:
        """A whole number from the query."""
        return int(self.text(name, str(default)))

    def text(self, name: str, default: str) -> str:
        """A value from the query."""
        return parse_qs(urlsplit(self.target).query).get(name, [default])[0]

    def field(self, name: str) -> str:
        """The first value of a header, by its lower-case name."""
        return next((value for low, value in self.headers if low == name), "")


Write = Callable[[bytes], Awaitable[None]]


async def serve(port: int) -> None:
    """Until cancelled."""
    server = await asyncio.start_server(_connection, "127.0.0.1", port, limit=_READ, backlog=1024)
    async with server:
        await server.serve_forever()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=256 * 1024)
    try:
        while (asked := await _read(parser, reader, write)) is not None:
            keep = await _answer(asked, write)
            if not keep or parser.their_state is not h11.DONE:
                break
            parser = _next(parser)
    except h11.RemoteProtocolError as wrong:
        writer.write(_head(wrong.error_status_hint, {"Content-Length": "0", "Connection": "close"}))
    except (OSError, TimeoutError):
        pass  # the peer is gone
    finally:
        writer.close()


async def _read(parser: h11.Connection, reader: asyncio.StreamReader, write: Write) -> Asked | None:
    """The next request. None at the end of the connection, or once it was answered before its body."""
    head: h11.Request | None = None
    body: list[bytes] = []
    told = False
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            if parser.they_are_waiting_for_100_continue and not told:
                await write(b"HTTP/1.1 100 Continue\r\n\r\n")
                told = True
            parser.receive_data(await asyncio.wait_for(reader.read(_READ), _QUIET))
        elif isinstance(event, h11.Request):
            head = event
            if head.target.startswith(b"/refuse"):
                await write(_head(403, {"Content-Length": "7", "Connection": "close"}) + b"refused")
                return None
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return _asked(head, b"".join(body))
        else:
            return None


def _asked(head: h11.Request, body: bytes) -> Asked:
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return Asked(head.method.decode(), head.target.decode("latin-1"), fields, body)


def _next(parser: h11.Connection) -> h11.Connection:
    """h11 counts on seeing answers too. These it does not see: a new parser takes over what was read ahead."""
    ahead, ended = parser.trailing_data
    following = h11.Connection(h11.SERVER, max_incomplete_event_size=256 * 1024)
    if ahead or ended:
        following.receive_data(ahead)
    return following


async def _answer(asked: Asked, write: Write) -> bool:
    """Writes the answer; whether the connection is kept."""
    special = _WRITTEN.get(asked.path)
    if special is not None:
        return await special(asked, write)
    status, fields, body = _ANSWERS.get(asked.path, _echo)(asked)
    fields = {"Content-Length": str(len(body)), **fields} if status not in {204, 304} else fields
    await write(_head(status, fields) + (b"" if asked.method == "HEAD" or status in {204, 304} else body))
    return asked.field("connection").lower() != "close"


def _head(status: int, fields: _FIELDS) -> bytes:
    lines = [f"HTTP/1.1 {status} Answered", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _echo(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    return 200, {"Content-Type": "application/octet-stream"}, asked.body


def _inspect(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/inspect…`: what arrived."""
    seen = {
        "method": asked.method,
        "target": asked.target,
        "headers": asked.headers,
        "length": len(asked.body),
        "sha256": hashlib.sha256(asked.body).hexdigest(),
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(seen).encode()


def _bytes(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/bytes?n=`: that many."""
    return 200, {}, b"x" * asked.number("n", 10)


def _status(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/status?code=`: that one."""
    return asked.number("code", 200), {}, b"status"


def _redirect(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/redirect?code=&to=`."""
    return asked.number("code", 302), {"Location": asked.text("to", "/inspect")}, b""


def _gzip(_asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/gzip`: the pattern, compressed."""
    return 200, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}, gzip.compress(PATTERN)


def _headers(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/headers?size=`: one header as large as that."""
    return 200, {"X-Large": "v" * asked.number("size", 1)}, b"large"


def _range(asked: Asked) -> tuple[int, _FIELDS, bytes]:
    """`/range`: the pattern, or the part of it that was asked for."""
    offered = {"Accept-Ranges": "bytes", "ETag": '"pattern"'}
    unit, _, interval = asked.field("range").partition("=")
    if unit != "bytes":
        return 200, offered, PATTERN
    first, _, last = interval.partition("-")
    start, end = int(first), int(last or len(PATTERN) - 1)
    if start >= len(PATTERN):
        return 416, {**offered, "Content-Range": f"bytes */{len(PATTERN)}"}, b""
    return 206, {**offered, "Content-Range": f"bytes {start}-{end}/{len(PATTERN)}"}, PATTERN[start : end + 1]


async def _chunked(asked: Asked, write: Write) -> bool:
    """`/chunked?n=`: so many chunks of a thousand bytes, each written on its own."""
    await write(_head(200, {"Transfer-Encoding": "chunked"}))
    for _ in range(asked.number("n", 3)):
        await write(b"3e8\r\n" + b"c" * 1000 + b"\r\n")
    await write(b"0\r\n\r\n")
    return True


async def _until_close(_asked: Asked, write: Write) -> bool:
    """`/close`: a body that ends with the connection."""
    await write(_head(200, {"Connection": "close"}) + PATTERN)
    return False


async def _early(_asked: Asked, write: Write) -> bool:
    """`/early`: hints, then the answer."""
    await write(_head(103, {"Link": "</style.css>; rel=preload"}))
    await write(_head(200, {"Content-Length": "5"}) + b"final")
    return True


async def _cookies(_asked: Asked, write: Write) -> bool:
    """`/cookies`: one field twice."""
    fields = b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\n"
    await write(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok")
    return True


_ANSWERS: dict[str, Callable[[Asked], tuple[int, _FIELDS, bytes]]] = {
    "/inspect": _inspect,
    "/bytes": _bytes,
    "/status": _status,
    "/redirect": _redirect,
    "/gzip": _gzip,
    "/headers": _headers,
    "/range": _range,
}
_WRITTEN: dict[str, Callable[[Asked, Write], Awaitable[bool]]] = {
    "/chunked": _chunked,
    "/close": _until_close,
    "/early": _early,
    "/cookies": _cookies,
}


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
