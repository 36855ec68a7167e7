"""Peers for tests of what happens on connections: an upstream that leaves when it likes, callers that are quick."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fixtures.process import RunningSidecar

_AT_ONCE = struct.pack("ii", 1, 0)


def reset(sock: socket.socket) -> None:
    """Ends a connection by a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    sock.close()


@dataclass
class Answer:
    """One answer, as far as tests of connections look at it."""

    status: int
    head: bytes
    body: bytes


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer, of known length.

    Raises:
        asyncio.IncompleteReadError: the connection ended first.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return Answer(status, head, await reader.readexactly(int(length or b"0")))


class Line(asyncio.Protocol):
    """One connection to a `Restless` upstream: answers with each request's own target and body."""

    def __init__(self, upstream: "Restless") -> None:
        self.upstream = upstream
        self.answered = 0
        self._here = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.upstream.lines += 1
        self.upstream.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.upstream.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._here += data
        while not self._transport.is_closing() and (end := self._here.find(b"\r\n\r\n") + 4) >= 4:
            head = self._here[:end]
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            if len(self._here) < end + length:
                return
            body = self._here[end : end + length]
            self._here = self._here[end + length :]
            self.answered += 1
            target = head.split(b" ", 2)[1]
            self.upstream.processed[target.decode()] += 1
            answer = target + b"|" + body
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
            self.upstream.after(self)

    def leave_when_idle(self, seconds: float, *, by_reset: bool) -> None:
        """Ends it later, if nothing has come until then."""
        count = self.answered

        def leave() -> None:
            if self.answered == count and not self._here:
                self.leave(by_reset=by_reset)

        asyncio.get_running_loop().call_later(seconds, leave)

    def leave(self, *, by_reset: bool) -> None:
        """Ends it."""
        if self._transport.is_closing():
            return
        if by_reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._transport.abort()
        else:
            self._transport.close()


@dataclass
class Restless:
    """An upstream that keeps no connection for long. `after`: what it does once it has answered."""

    after: Callable[[Line], None]
    processed: Counter[str] = field(default_factory=Counter)
    """How often each target was asked for, and acted upon."""
    lines: int = 0
    open: set[Line] = field(default_factory=set)
    port: int = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for line in list(self.open):
            line.leave(by_reset=True)
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def at_any_moment(rng: random.Random) -> Callable[[Line], None]:
    """Leaves with the answer, or a little later, or stays; in order or by a reset."""

    def after(line: Line) -> None:
        chance = rng.random()
        if chance < 0.15:
            line.leave(by_reset=False)
        elif chance < 0.8:
            line.leave_when_idle(rng.random() * 0.01, by_reset=rng.random() < 0.5)

    return after


def after_some(count: int) -> Callable[[Line], None]:
    """Leaves after so many answers, and does not say so."""

    def after(line: Line) -> None:
        if line.answered == count:
            line.leave(by_reset=False)

    return after


def when_idle(seconds: float) -> Callable[[Line], None]:
    """Leaves when nothing has come for so long."""
    return lambda line: line.leave_when_idle(seconds, by_reset=False)


def peak(running: RunningSidecar) -> float:
    """MB that the process has had at most since `bounded` began."""
    lines = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1000


@contextmanager
def bounded(running: RunningSidecar, megabytes: float) -> Iterator[None]:
    """What happens meanwhile costs the sidecar no more memory than that."""
    Path(f"/proc/{running.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    before = peak(running)
    yield
    grown = peak(running) - before
    assert grown <= megabytes, f"{grown:.1f} MB"


def processor_seconds(running: RunningSidecar) -> float:
    """Processor time that the process has used so far."""
    fields = Path(f"/proc/{running.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def in_flight(running: RunningSidecar) -> int:
    """Requests that have not ended, and connections to upstreams that carry one."""
    status = running.status()
    active = sum(upstream["connections"]["active"] for upstream in status["upstreams"])
    return int(sum(route["in_flight"] for route in status["routes"]) + active)
