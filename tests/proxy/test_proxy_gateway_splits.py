"""Bytes out are bytes in: whole gateways between real connections, whatever the pieces and whoever pauses.

The sockets are made up, and h11 speaks for both peers; everything between them is the sidecar's own.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, cast

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_fakes import Recorder, a_route, an_upstream

from sidecar.clock import MONOTONIC, WALL
from sidecar.policy.router import Match, Router
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.proxy.target import Target
from sidecar.stores.memory import MemoryStore
from sidecar.wire.dial import Dialer
from sidecar.wire.pool import Pool
from sidecar.wire.server import ServerConnection
from sidecar.wire.shared import Server
from sidecar.wire.timers import Timers

LONG = 70_000
NOTHING_CAME = os.eventfd(0)
"""Stands for a socket with nothing to read. Open as long as the process, as a module is."""


class Wire:
    """A transport: what was written, and the peer's bytes that have not been delivered yet."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.written = bytearray()
        self.taken = 0
        self.coming: list[bytes] = []
        self.ends = False
        """The peer ends its side after `coming`."""
        self.paused = self.closed = self.full = False
        protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> int:
        return NOTHING_CAME

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def deliver(self) -> bool:
        """The next piece, or the end, reaches the sidecar, if it reads."""
        if self.closed or self.paused or not (self.coming or self.ends):
            return False
        if self.coming:
            self.protocol.data_received(self.coming.pop(0))
        else:
            self.ends = False
            if not self.protocol.eof_received():
                self.close()
        return True

    def fill(self) -> None:
        """The peer stops reading, or has caught up."""
        self.full = not self.full and not self.closed
        if self.full:
            self.protocol.pause_writing()
        elif not self.closed:
            self.protocol.resume_writing()

    def new(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self.written[self.taken :])
        self.taken = len(self.written)
        return data


@dataclass
class Endpoint:
    """An HTTP server on the other side of each connection that is dialled; answers as the script says, in order."""

    answers: list["Scripted"]
    cut: Callable[[bytes], list[bytes]]
    lines: list[tuple[Wire, h11.Connection]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _body: bytes = b""

    async def dial(self, factory: Callable[[], Any]) -> tuple[Any, Any]:
        protocol = factory()
        self.lines.append((Wire(protocol), h11.Connection(h11.SERVER)))
        return self.lines[-1][0], protocol

    def look(self) -> None:
        """Reads what has come, and answers what is whole."""
        for wire, parser in self.lines:
            if data := wire.new():  # nothing at all would be the end to h11
                parser.receive_data(data)
            while (event := parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._answer(wire, parser)
                    break

    def _answer(self, wire: Wire, parser: h11.Connection) -> None:
        self.bodies.append(self._body)
        self._body = b""
        answer = self.answers[len(self.bodies) - 1]
        wire.coming += self.cut(answer.wire)
        wire.ends = answer.until_close
        # h11 must only know that the cycle is over.
        parser.send(h11.Response(status_code=204, headers=[]))
        parser.send(h11.EndOfMessage())
        parser.start_next_cycle()


@dataclass(frozen=True)
class Scripted:
    """One answer: its bytes, and what must be left of it for the caller."""

    wire: bytes
    status: int
    body: bytes
    until_close: bool = False


def pattern(size: int) -> bytes:
    """So many bytes that tell their place."""
    return (b"%06d." * (size // 7 + 1) % tuple(range(size // 7 + 1)))[:size]


def in_chunks(body: bytes, size: int) -> bytes:
    """A chunked body."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


SIZES = st.sampled_from([0, 1, 5, 900, 65_536, 65_537, LONG])


@st.composite
def answers(draw: st.DrawFn, method: bytes) -> Scripted:
    """Any answer that is one."""
    status = draw(st.sampled_from([200, 200, 200, 404, 500, 204, 304]))
    start = draw(
        st.sampled_from([b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
    )
    start += b"HTTP/1.1 %d Whatever\r\nX-A: 1\r\n" % status
    body = pattern(draw(SIZES))
    if method == b"HEAD" or status in (204, 304):
        more = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
        return Scripted(start + more + b"\r\n", status, b"")
    framing = draw(st.sampled_from(["length", "length", "chunks", "close"]))
    if framing == "length":
        return Scripted(start + b"Content-Length: %d\r\n\r\n%b" % (len(body), body), status, body)
    if framing == "chunks":
        size = draw(st.sampled_from([1000, 30_000]))
        return Scripted(start + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, size), status, body)
    return Scripted(start + b"\r\n" + body, status, body, until_close=True)


@st.composite
def exchanges(draw: st.DrawFn) -> list[tuple[bytes, bytes, bytes, Scripted]]:
    """Requests (method, bytes, body) and their answers."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD"]))
        body = pattern(draw(SIZES)) if method in (b"POST", b"PUT") else b""
        head = method + b" /a HTTP/1.1\r\nHost: app\r\n"
        if body and draw(st.booleans()):
            wire = head + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, draw(st.sampled_from([700, 40_000])))
        else:
            wire = head + (b"Content-Length: %d\r\n\r\n" % len(body) if body else b"\r\n") + body
        found.append((method, wire, body, draw(answers(method))))
    return found


def cutter(rng: Random) -> Callable[[bytes], list[bytes]]:
    """Cuts bytes into up to a dozen pieces, some of a single byte."""

    def cut(data: bytes) -> list[bytes]:
        places = {rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 1, 3, 10)))}
        places |= {place + 1 for place in places if rng.random() < 0.3}
        marks = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
        return [data[one:other] for one, other in pairwise(marks) if data[one:other]]

    return cut


class Stage:
    """A gateway, one caller, one endpoint."""

    def __init__(self, script: list[tuple[bytes, bytes, bytes, Scripted]], rng: Random) -> None:
        self.rng = rng
        self.endpoint = Endpoint([answer for *_, answer in script], cutter(rng))
        self.pool = Pool(
            name="one",
            dialer=cast("Dialer", self.endpoint),
            connections=10,
            idle=10,
            idle_timeout=30.0,
            max_age=600.0,
            clock=MONOTONIC,
        )
        target = Target(name="http://one", pool=self.pool, authority=b"one.example")
        upstream = an_upstream(MONOTONIC, [target])
        route = a_route(MONOTONIC, upstream, Recorder(), total=300.0, attempt_timeout=300.0)
        self.timers = Timers(asyncio.get_running_loop().call_later, MONOTONIC)
        self.lines: list[tuple[Any, ...]] = []
        self.gateway = Gateway(
            router=Router([(Match(prefix=b"/"), route)]),
            timers=self.timers,
            ids=Ids(Random(1)),
            store=MemoryStore(1000),
            observer=Recorder(),
            log=self,
            clock=MONOTONIC,
            wall=WALL,
        )
        self.caller = Wire(ServerConnection(Server(responder=self.gateway, clock=MONOTONIC)))
        self.caller.coming = cutter(rng)(b"".join(wire for _, wire, _, _ in script))

    def write(self, *line: Any) -> None:
        """Takes a line of the access log."""
        self.lines.append(line)

    async def play(self, steps: int) -> None:
        """Pieces arrive and peers pause in any order; in the end all of it arrives."""
        for _ in range(steps):
            wires = [self.caller, *[wire for wire, _ in self.endpoint.lines]]
            wire = self.rng.choice(wires)
            if self.rng.random() < 0.2:
                wire.fill()
            else:
                wire.deliver()
            await self._turn()
        moved = True
        while moved:
            wires = [self.caller, *[wire for wire, _ in self.endpoint.lines]]
            for wire in wires:
                if wire.full:
                    wire.fill()
            before = len(self.endpoint.bodies)
            moved = sum(wire.deliver() for wire in wires) > 0
            await self._turn()
            moved = moved or len(self.endpoint.bodies) > before

    async def _turn(self) -> None:
        for _ in range(4):  # a dial takes a few turns
            await asyncio.sleep(0)
        self.endpoint.look()

    def close(self) -> None:
        """Ends what is left open."""
        assert self.gateway.active == 0
        assert self.timers.pending == 0
        assert (self.pool.active, self.pool.waiting, self.pool.dialing) == (0, 0, 0)
        self.timers.close()
        self.pool.close()


def understood(written: bytes, methods: list[bytes]) -> list[tuple[int, bytes]]:
    """Status and body of each answer, as h11 reads them; what is left over fails."""
    found = []
    for method in methods:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(written)
        status, body = 0, b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, "an answer is missing or cut short"
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        found.append((status, body))
        written = parser.trailing_data[0]
    assert written == b""
    return found


@settings(deadline=None, max_examples=150)
@given(script=exchanges(), seed=st.integers(0, 2**32), steps=st.integers(0, 60))
def test_bytes_out_are_bytes_in_under_every_split(
    script: list[tuple[bytes, bytes, bytes, Scripted]], seed: int, steps: int
) -> None:
    """Pipelined or not, both ways; every request once, every answer in its order; nothing is left anywhere."""

    async def run() -> Stage:
        stage = Stage(script, Random(seed))
        await stage.play(steps)
        stage.close()
        return stage

    with asyncio.Runner() as runner:
        stage = runner.run(run())
    assert stage.endpoint.bodies == [body for _, _, body, _ in script]
    got = understood(bytes(stage.caller.written), [method for method, *_ in script])
    assert got == [(answer.status, answer.body) for *_, answer in script]
    assert [line[4] for line in stage.lines] == [answer.status for *_, answer in script]
