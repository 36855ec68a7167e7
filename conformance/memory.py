"""Both ends of the sidecar without sockets, loop or time: thousands of whole exchanges a second, each the same again.

A transport keeps asyncio's contract as uvloop does. Nothing is waited for: what a loop would call later is called by
`World.settle`.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, cast

from sidecar import config
from sidecar.app.build import Builder
from sidecar.observer import Silent
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.proxy.target import Target
from sidecar.stores.memory import MemoryStore
from sidecar.wire.client import ClientConnection
from sidecar.wire.known import KnownRequests
from sidecar.wire.pool import Pool
from sidecar.wire.server import ServerConnection
from sidecar.wire.shared import Server
from sidecar.wire.timers import Timers

SETTINGS: Final = b"""\
upstreams:
  one: {endpoints: [http://one.example:80]}
routes:
  - name: all
    match: {prefix: /}
    upstream: one
    timeout: {total: 100s, attempt: 100s}
    retry: {attempts: 1}
    breaker: {enabled: false}
"""
_EVER: Final = 100_000.0
"""Seconds in which nothing is ejected any more."""


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Socket:
    """What is asked of a socket beneath a transport. To `poll` it is always quiet: bytes come through the transport."""

    _quiet, _other = socket.socketpair()

    def setsockopt(self, *_: Any) -> None:
        """Lingers, or not."""

    def fileno(self) -> int:
        """Of a socket on which nothing ever comes."""
        return self._quiet.fileno()


class Transport:
    """One side's end of a connection. `sent`: what was written; `ended`: the writer said that no more will come."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.sent = bytearray()
        self.ended = self.closed = self.cut = self.paused = self.told = False
        self.given = 0
        """Bytes that the protocol got."""
        self._coming: deque[bytes] = deque()
        self._pumping = False
        protocol.connection_made(self)

    # What a protocol calls.

    def write(self, data: Any) -> None:
        """Bytes to the peer."""
        if not self.closed:
            assert not self.ended, "written after the end"
            self.sent += data

    def write_eof(self) -> None:
        """No more of them."""
        self.ended = True

    def can_write_eof(self) -> bool:
        """As TCP, unlike TLS."""
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The peer takes everything."""

    def get_write_buffer_size(self) -> int:
        """The same."""
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Only the socket is there."""
        return Socket() if name == "socket" else default

    def is_closing(self) -> bool:
        """Whether anything written is lost."""
        return self.closed

    def is_reading(self) -> bool:
        """Whether bytes are taken."""
        return not self.paused and not self.closed

    def pause_reading(self) -> None:
        """Takes no bytes."""
        self.paused = True

    def resume_reading(self) -> None:
        """Takes them again; what waits comes in the loop's next turn."""
        self.paused = False

    def close(self) -> None:
        """An orderly end."""
        self.ended = self.closed = True

    def abort(self) -> None:
        """The other kind."""
        self.cut = self.cut or not self.closed
        self.closed = True

    # What a peer does.

    def receive(self, pieces: Iterable[bytes]) -> None:
        """Bytes from the peer, one call each, as long as the protocol reads."""
        self._coming.extend(pieces)
        self.pump()

    def pump(self) -> bool:
        """Delivers what waits; says whether there was something to do."""
        moved = False
        while self._coming and not self.paused and not self.closed:
            data = self._coming.popleft()
            self.given += len(data)
            self.protocol.data_received(data)
            moved = True
        if self.closed and not self.told:
            self.told = moved = True
            self.protocol.connection_lost(None)
        return moved

    def end(self) -> None:
        """The peer sends no more."""
        if not self.closed and not self.protocol.eof_received():
            self.close()
        self.pump()


class Peer:
    """A caller's connection to a responder. `known`: heads that came before on others. `limits`: the server's."""

    def __init__(self, responder: Any, clock: Clock, known: KnownRequests | None = None, **limits: int) -> None:
        self.later: list[Callable[[], None]] = []
        self.server = Server(responder=responder, clock=clock, soon=self.later.append, **cast("Any", limits))
        if known is not None:
            self.server.known = known
        self.connection = ServerConnection(self.server)
        self.transport = Transport(self.connection)

    def send(self, pieces: Iterable[bytes]) -> None:
        """Bytes to the sidecar, and everything that follows from them."""
        self.transport.receive(pieces)
        self.settle()

    def settle(self) -> bool:
        """Gives the loop its turns; says whether there was something to do."""
        moved = False
        while self.later or self.transport.pump():
            moved = True
            turn, self.later[:] = self.later.copy(), ()
            for call in turn:
                call()
        return moved


class Lines(Pool):
    """The sidecar's own pool, whose connections are made in the next turn, each to a new end of ours (`ends`)."""

    def __init__(self, clock: Clock, later: list[Callable[[], None]]) -> None:
        super().__init__(
            name="http://one.example",
            dialer=cast("Any", None),
            connections=1000,
            idle=1000,
            idle_timeout=_EVER,
            max_age=_EVER,
            clock=clock,
        )
        self.ends: list[tuple[ClientConnection, Transport]] = []
        self._later = later

    def is_free(self, connection: ClientConnection) -> bool:
        """Whether the next exchange may get it."""
        return connection in self._idle

    def make(self) -> ClientConnection:
        """A new one; our end of it is the last of `ends`."""
        connection = self._connection()
        self.ends.append((connection, Transport(connection)))
        return connection

    def _dial_as_needed(self) -> None:
        while self.dialing < len(self._waiters):
            self.dialing += 1
            self._later.append(self._dial_now)

    def _dial_now(self) -> None:
        self.dialing -= 1
        connection = self.make()
        connection.connect_seconds = 0.0
        self._welcome(connection)


class World:
    """A gateway with one route to one upstream, which `look` plays; callers are `Peer`s."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._built = Builder(observer=Silent(), clock=self.clock, rng=Random(1)).build(
            config.parse(SETTINGS, file="fuzz.yaml", env={})
        )
        (endpoint,) = self._built.upstreams["one"].endpoints
        self.target = cast("Target", endpoint)
        self.timers = Timers(_never, self.clock)
        self.log: list[tuple[Any, ...]] = []
        self.renew()

    def renew(self) -> None:
        """A new gateway, as after a start: nothing of the run before is left."""
        self.clock.now += _EVER
        self.log.clear()
        self.timers.close()
        self.later: list[Callable[[], None]] = []
        self.lines = Lines(self.clock, self.later)
        self.target.pool = cast("Any", self.lines)
        self.gateway = Gateway(
            router=self._built.router,
            timers=self.timers,
            ids=Ids(Random(1)),
            store=MemoryStore(1000),
            observer=Silent(),
            log=cast("Any", self),
            clock=self.clock,
            wall=self.clock,
        )

    def write(self, *line: Any) -> None:
        """Takes a line of the access log."""
        self.log.append(line)

    def caller(self) -> Peer:
        """A new connection from the application."""
        peer = Peer(self.gateway, self.clock)
        peer.later = self.later
        peer.server.soon = self.later.append
        return peer


def _never(*_: object) -> Any:
    return _Handle()


class _Handle:
    """Of a timer that never strikes."""

    def cancel(self) -> None:
        """It would not have."""
