"""A caller that sees every byte: it reads answers by their own framing, and takes nothing for granted."""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

PATIENCE = 15.0
"""Seconds without a byte after which a test fails rather than hangs."""


class BrokenOff(Exception):
    """The connection ended before the answer did; `so_far` is what there was of its body."""

    def __init__(self, so_far: bytes) -> None:
        super().__init__(f"{len(so_far)} bytes of the body came")
        self.so_far = so_far


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    trailers: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for low, value in self.headers if low.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of a header, None if it is absent; a header said twice fails the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def attempts(self) -> int | None:
        """`X-Sidecar-Attempts`; None if absent."""
        value = self.get("x-sidecar-attempts")
        return None if value is None else int(value)


def _fields(lines: list[bytes]) -> tuple[tuple[str, str], ...]:
    pairs = (line.decode("latin-1").split(": ", 1) for line in lines)
    return tuple((name, value) for name, value in pairs)


class Caller:
    """One connection to the sidecar."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._here = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Exactly these bytes."""
        self.socket.sendall(data)

    def ask(self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """A plain request on this connection, and its answer."""
        self.send(request(method, target, headers, body))
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, its body included.

        Raises:
            BrokenOff: its end never came.
        """
        head = self.head()
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            return head
        if head.get("transfer-encoding") == "chunked":
            assert head.get("content-length") is None, "two framings"
            return self._chunked(head)
        length = head.get("content-length")
        body = self._until_end() if length is None else self._exactly(int(length), b"")
        return Answer(head.version, head.status, head.headers, body)

    def head(self) -> Answer:
        """The next answer's head; its body is left to `some` and `answer`'s likes."""
        lines = self._until(b"\r\n\r\n").split(b"\r\n")[:-2]
        version, status, _ = lines[0].decode().split(" ", 2)
        return Answer(version, int(status), _fields(lines[1:]))

    def some(self, ending: bytes) -> bytes:
        """Bytes up to and with `ending`."""
        return self._until(ending)

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        return self._exactly(size, b"")

    def at_end(self) -> bool:
        """Whether the sidecar has ended the connection in an orderly way, with no byte left to read."""
        return not self._here and not self.socket.recv(1)

    def _chunked(self, head: Answer) -> Answer:
        body = b""
        while size := int(self._line(body), 16):
            body = self._exactly(size, body)
            assert self._line(body) == b""
        lines = []
        while line := self._line(body):
            lines.append(line)
        return Answer(head.version, head.status, head.headers, body, _fields(lines))

    def _line(self, body: bytes) -> bytes:
        try:
            return self._until(b"\r\n")[:-2]
        except BrokenOff:
            raise BrokenOff(body) from None

    def _until(self, ending: bytes) -> bytes:
        while ending not in self._here:
            self._more()
        found, _, self._here = self._here.partition(ending)
        return found + ending

    def _exactly(self, size: int, before: bytes) -> bytes:
        pieces = [before]
        while size:
            try:
                if not self._here:
                    self._more()
            except BrokenOff:
                raise BrokenOff(b"".join(pieces)) from None
            pieces.append(self._here[:size])
            self._here = self._here[size:]
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise BrokenOff(self._here)
        self._here += data

    def _until_end(self) -> bytes:
        """The rest of the connection. A reset is no end."""
        while data := self.socket.recv(65536):
            self._here += data
        body, self._here = self._here, b""
        return body


def request(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A plain request, a length where it has a body."""
    fields = {"Host": "app.test", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def ask(port: int, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    with Caller(port) as caller:
        return caller.ask(method, target, headers, body)
