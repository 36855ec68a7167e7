"""The sidecar between a caller and an upstream that both hold raw sockets: every byte is the test's."""

import select
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

PATIENCE = 10.0
"""Seconds without a byte after which a test fails rather than hangs."""

OK = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok"

CONFIG = """
listen: 127.0.0.1:{port}
limits: {{header_bytes: 16KiB, body: 1MiB}}
upstreams:
  raw: {{endpoints: ["{raw}"], pool: {{idle: 0}}}}
  pooled: {{endpoints: ["{raw}"], pool: {{idle: 1}}}}
  based: {{endpoints: ["{raw}/base"], pool: {{idle: 0}}, headers: {{remove: [X-Private], set: {{X-Team: app}}}}}}
  late: {{endpoints: ["{late}"]}}
  itself: {{endpoints: ["http://127.0.0.1:{port}"]}}
defaults:
  upstream: raw
  timeout: {{total: 8s}}
  breaker: {{enabled: false}}
routes:
  - {{name: all, match: {{prefix: /, host: app.test}}}}
  - {{name: proxied, match: {{prefix: /, host: connect.example.com}}}}
  - {{name: six, match: {{prefix: /, host: "::1"}}}}
  - {{name: late, match: {{prefix: /late/}}, upstream: late}}
  - {{name: pooled, match: {{prefix: /pooled/}}, upstream: pooled}}
  - {{name: based, match: {{prefix: /based/}}, upstream: based}}
  - {{name: whole, match: {{path: "/", host: based.test}}, upstream: based, rewrite: {{prefix: /v1/}}}}
  - {{name: expected, match: {{prefix: /expected/}}, expect: {{status: [200], max_body: 1KiB}}}}
  - {{name: round, match: {{prefix: /round/}}, upstream: itself}}
  - {{name: round-critical, match: {{prefix: /round-critical/}}, upstream: itself, critical: true}}
"""


@dataclass(frozen=True)
class Message:
    """One message as it came: its first line, its fields in order and case, its payload, its trailers."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(b" ")[1])

    @property
    def names(self) -> list[bytes]:
        """Lower-case names of the fields, in order."""
        return [name.lower() for name, _ in self.fields]

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field, in order."""
        return [value for found, value in self.fields if found.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The only value of a field, None if it is absent; one that came twice fails the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name!r} came {len(values)} times"
        return values[0] if values else None


class Peer:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE)
        self._here = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Exactly these bytes."""
        self.socket.sendall(data)

    def head(self) -> Message:
        """The next head."""
        start, *lines = self._until(b"\r\n\r\n").split(b"\r\n")[:-2]
        return Message(start, _fields(lines))

    def message(self, *, to: bytes = b"GET") -> Message:
        """The next request or response, its body included. `to`: the method of the request that is answered."""
        head = self.head()
        if head.start.startswith(b"HTTP/") and (to == b"HEAD" or head.status < 200 or head.status in (204, 304)):
            return head
        if head.get(b"transfer-encoding") is not None:
            assert head.all(b"transfer-encoding") == [b"chunked"]
            assert head.get(b"content-length") is None, "two framings"
            return self._chunked(head)
        length = head.get(b"content-length")
        if length is None:
            body = self.rest() if head.start.startswith(b"HTTP/") else b""
        else:
            body = self.exactly(int(length))
        return Message(head.start, head.fields, body)

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._here) < size:
            self._more()
        data, self._here = self._here[:size], self._here[size:]
        return data

    def rest(self) -> bytes:
        """All that comes until the end. A reset is no end, and fails the test."""
        while data := self.socket.recv(65536):
            self._here += data
        data, self._here = self._here, b""
        return data

    def at_end(self) -> bool:
        """Whether nothing is left to read, and the other side has ended the connection in an orderly way."""
        return not self._here and not self.socket.recv(1)

    def is_silent(self) -> bool:
        """Whether nothing is here to read just now, not even an end."""
        return not self._here and not select.select([self.socket], [], [], 0)[0]

    def _chunked(self, head: Message) -> Message:
        body = b""
        while size := int(self._until(b"\r\n")[:-2], 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        lines = []
        while line := self._until(b"\r\n")[:-2]:
            lines.append(line)
        return Message(head.start, head.fields, body, _fields(lines))

    def _until(self, ending: bytes) -> bytes:
        while ending not in self._here:
            self._more()
        found, _, self._here = self._here.partition(ending)
        return found + ending

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended after {self._here!r}"
        self._here += data


def _fields(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    pairs = [line.split(b": ", 1) for line in lines]
    return [(name, value) for name, value in pairs]


def get(*lines: bytes, start: bytes = b"GET /a HTTP/1.1", host: bytes = b"Host: app.test", body: bytes = b"") -> bytes:
    """A request with these field lines."""
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", body])


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """A response with these field lines, and no others."""
    return b"\r\n".join([start, *lines, b"", body])


@dataclass
class World:
    """`sidecar`: under test, listening on `port`. `listener`: where its upstream is.

    `late`: the upstream of requests that may turn out to be broken when they are under way.
    """

    sidecar: RunningSidecar
    port: int
    listener: socket.socket
    late: Upstream

    def caller(self) -> Peer:
        """A connection to the sidecar."""
        return Peer(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def accept(self) -> Peer:
        """The next connection that the sidecar opens to its upstream."""
        return Peer(self.listener.accept()[0])

    def ask(self, request: bytes, answer: bytes = OK, *, ends: bool = False) -> tuple[Message, Message]:
        """One request that is passed on and answered: what the upstream saw, and what the caller got.

        `ends`: the upstream closes after its answer.
        """
        to = request.partition(b" ")[0]
        with self.caller() as caller:
            caller.send(request)
            with self.accept() as upstream:
                seen = upstream.message()
                upstream.send(answer)
                if ends:
                    upstream.socket.shutdown(socket.SHUT_WR)
                return seen, caller.message(to=to)

    def sent(self, request: bytes) -> Message:
        """What the upstream sees of a request."""
        return self.ask(request)[0]

    def got(self, answer: bytes, request: bytes = get(), *, ends: bool = False) -> Message:
        """What the caller gets of an answer."""
        return self.ask(request, answer, ends=ends)[1]

    def refused(self, request: bytes) -> Message:
        """The sidecar's own answer to a request of which not a byte may reach the upstream; then the end."""
        with self.caller() as caller:
            caller.send(request)
            answer = caller.message(to=request.partition(b" ")[0])
            assert caller.at_end()
        assert self.is_untouched(), "it was passed on"
        assert answer.get(b"connection") == b"close"
        return answer

    def answered(self, request: bytes) -> Message:
        """The sidecar's own answer to a request that it does not pass on, on a connection that lives on."""
        with self.caller() as caller:
            caller.send(request)
            answer = caller.message(to=request.partition(b" ")[0])
            assert self.is_untouched(), "it was passed on"
            assert caller.is_silent()
            return answer

    def is_untouched(self) -> bool:
        """Whether no connection to the upstream waits to be accepted."""
        return not select.select([self.listener], [], [], 0)[0]
