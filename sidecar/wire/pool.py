"""The connections to one endpoint: which is idle, how many there may be, who waits for one.

Every decision is synchronous: between choosing a connection and handing it over there is no await, so no two exchanges
can be given the same one. Only dialling is a task.

Invariants, kept by tests: `open + dialing <= connections`; a waiter is told exactly one thing, or cancelled; who waits
longest is served first; as many dials are under way as waiters need, where the cap allows; a connection that has ended
is never handed out.
"""

from collections import OrderedDict
from typing import Protocol

from sidecar.clock import Clock
from sidecar.tasks import spawn
from sidecar.wire.client import ClientConnection
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import ConnectFailure, UpstreamError
from sidecar.wire.known import KnownResponses
from sidecar.wire.parse import ResponseParser


class Lessee(Protocol):
    """Who asked for a connection."""

    def connected(self, connection: ClientConnection) -> None:
        """Here it is; it is yours until the exchange's end."""

    def connect_failed(self, error: UpstreamError) -> None:
        """None could be made."""


class Pool:
    """Connections to one address.

    connections: at most, idle and dialling ones included. idle: at most, between exchanges. idle_timeout: seconds
    without an exchange after which a connection is closed; shorter than the peer's own limit is best. max_age: seconds
    after which it is closed even if it is busy, as soon as its exchange is over: names come to mean other addresses.
    """

    __slots__ = (
        "_clock",
        "_connections",
        "_dialer",
        "_idle",
        "_idle_limit",
        "_idle_timeout",
        "_known",
        "_max_age",
        "_open",
        "_parser",
        "_waiters",
        "closed",
        "dialing",
        "name",
    )

    def __init__(
        self,
        *,
        name: str,
        dialer: Dialer,
        connections: int,
        idle: int,
        idle_timeout: float,
        max_age: float,
        clock: Clock,
    ) -> None:
        self.name = name
        self._dialer = dialer
        self._connections = connections
        self._idle_limit = idle
        self._idle_timeout = idle_timeout
        self._max_age = max_age
        self._clock = clock
        self._idle: list[ClientConnection] = []
        self._open: set[ClientConnection] = set()
        self._waiters: OrderedDict[Lessee, None] = OrderedDict()
        self._known = KnownResponses()
        self._parser = ResponseParser()  # heads come whole, so one is enough for all connections
        self.dialing = 0
        self.closed = False

    def __repr__(self) -> str:
        counts = f"idle={self.idle} active={self.active} dialing={self.dialing} waiting={self.waiting}"
        return f"<Pool {self.name} {counts}>"

    @property
    def idle(self) -> int:
        """Connections between exchanges."""
        return len(self._idle)

    @property
    def active(self) -> int:
        """Connections that carry an exchange."""
        return len(self._open) - len(self._idle)

    @property
    def waiting(self) -> int:
        """Exchanges that wait for a connection."""
        return len(self._waiters)

    def lease(self, lessee: Lessee) -> ClientConnection | None:
        """The most recently used idle connection, or None: then the lessee will be told."""
        idle = self._idle
        if idle:
            return idle.pop()  # `sweep` closes those past their age: asking here would cost a clock a request
        self._waiters[lessee] = None
        self._dial_as_needed()
        return None

    def cancel(self, lessee: Lessee) -> None:
        """It waits no more. A dial made for it goes on: its connection will serve somebody."""
        self._waiters.pop(lessee, None)

    def release(self, connection: ClientConnection) -> None:
        """An exchange is over: hand the connection to who waits longest, or keep it."""
        if self._waiters:
            self._waiters.popitem(last=False)[0].connected(connection)
        elif len(self._idle) < self._idle_limit:
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: ClientConnection) -> None:
        """A connection closed; there may be room for a waiter's now."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._dial_as_needed()

    def drop_idle(self) -> None:
        """Closes every idle connection: one of them turned out to be dead, so the peer may have restarted."""
        for connection in self._idle.copy():
            connection.close()

    def sweep(self, now: float) -> None:
        """Closes what has been idle or alive for too long. To be called about once a second."""
        for connection in self._open.copy():
            if now - connection.made_at >= self._max_age:
                connection.retire()
        for connection in self._idle.copy():
            # Noticed here rather than noted at each release: that would cost a clock a request.
            if connection.exchanges != connection.exchanges_seen:
                connection.exchanges_seen = connection.exchanges
                connection.idle_since = now
            elif now - connection.idle_since >= self._idle_timeout:
                connection.close()

    def close(self) -> None:
        """Keeps nothing from now on. Exchanges under way end in their own time."""
        self.closed = True
        self._idle_limit = 0
        self.drop_idle()

    def _dial_as_needed(self) -> None:
        while self.dialing < len(self._waiters) and len(self._open) + self.dialing < self._connections:
            self.dialing += 1
            spawn(self._dial(), name=f"dial {self.name}")

    async def _dial(self) -> None:
        started = self._clock()
        try:
            connection = await self._connect()
        except UpstreamError as error:
            self._fail_one(error)
        except Exception:
            # A defect of ours: whoever waits must not have to find out by its timeout.
            self._fail_one(ConnectFailure("dialling broke off"))
            raise
        else:
            connection.connect_seconds = self._clock() - started
            self._welcome(connection)

    async def _connect(self) -> ClientConnection:
        try:
            _, connection = await self._dialer.dial(self._connection)
        finally:
            self.dialing -= 1
        return connection

    def _connection(self) -> ClientConnection:
        return ClientConnection(self, self._parser, self._known, self._clock)

    def _welcome(self, connection: ClientConnection) -> None:
        if connection.closed:
            self._fail_one(ConnectFailure("the connection was closed before its first request"))
            return
        self._open.add(connection)
        try:
            self.release(connection)
        except BaseException:  # outside of a protocol's callback nobody else would close it
            connection.close()
            raise

    def _fail_one(self, error: UpstreamError) -> None:
        # One dial is evidence for one waiter: a single lost packet must not fail a whole queue.
        if self._waiters:
            self._waiters.popitem(last=False)[0].connect_failed(error)
        self._dial_as_needed()
