"""The connections to one endpoint: which is idle, how many there may be, who waits for one.

Every decision is synchronous: between choosing a connection and handing it over there is no await, so no two exchanges
can be given the same one. Only dialling is a task.

Invariants, kept by tests: `open + dialing <= connections`; a waiter is told exactly one thing, or cancelled; as many
dials are under way as waiters need, where the cap allows.
"""

from collections import deque
from typing import Protocol

from sidecar.clock import Clock
from sidecar.tasks import spawn
from sidecar.wire.client import ClientConnection
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import UpstreamError
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

    connections: at most, idle and dialling ones included. idle: at most, between exchanges. idle_timeout, max_age:
    seconds after which an idle connection is closed; shorter than any peer's own limit is best.
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
        self._waiters: deque[Lessee] = deque()
        self._known = KnownResponses()
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
        self._waiters.append(lessee)
        self._dial_if_needed()
        return None

    def cancel(self, lessee: Lessee) -> None:
        """It waits no more. A dial made for it goes on: its connection will serve somebody."""
        if lessee in self._waiters:
            self._waiters.remove(lessee)

    def release(self, connection: ClientConnection) -> None:
        """An exchange is over: hand the connection to who waits longest, or keep it."""
        while self._waiters:
            self._waiters.popleft().connected(connection)
            return
        if self.closed or len(self._idle) >= self._idle_limit:
            connection.close()
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def forget(self, connection: ClientConnection) -> None:
        """A connection closed; there may be room for a waiter's now."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiters:
            self._dial_if_needed()

    def drop_idle(self) -> None:
        """Closes every idle connection: one of them turned out to be dead, so the peer may have restarted."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def sweep(self, now: float) -> None:
        """Closes what has been idle or alive for too long. To be called about once a second."""
        stale = [
            connection
            for connection in self._idle
            if now - connection.idle_since >= self._idle_timeout or now - connection.made_at >= self._max_age
        ]
        for connection in stale:
            self._idle.remove(connection)
            connection.close()

    def close(self) -> None:
        """Keeps nothing from now on. Exchanges under way end in their own time."""
        self.closed = True
        self.drop_idle()

    def _dial_if_needed(self) -> None:
        if self.dialing < len(self._waiters) and len(self._open) + self.dialing < self._connections:
            self.dialing += 1
            spawn(self._dial(), name=f"dial {self.name}")

    async def _dial(self) -> None:
        started = self._clock()
        try:
            connection = await self._connect()
        except UpstreamError as error:
            self.dialing -= 1
            if self._waiters:
                self._waiters.popleft().connect_failed(error)
            self._dial_if_needed()
            return
        except BaseException:
            self.dialing -= 1
            raise
        self.dialing -= 1
        connection.connect_seconds = self._clock() - started
        if not connection.closed:
            self._open.add(connection)
            self.release(connection)

    async def _connect(self) -> ClientConnection:
        _, connection = await self._dialer.dial(self._connection)
        return connection

    def _connection(self) -> ClientConnection:
        return ClientConnection(self, ResponseParser(), self._known, self._clock)
