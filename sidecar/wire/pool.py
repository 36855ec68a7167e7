"""The connections to one endpoint: which is idle, how many there may be, who waits for one.

Every decision is synchronous: between choosing a connection and handing it over there is no await, so no two exchanges
can be given the same one. Only dialling is a task.

Invariants, kept by tests: `open + dialing <= connections`; a waiter is told exactly one thing, or cancelled; who waits
longest is served first; as many dials are under way as waiters need, where the cap allows; a connection that has ended
is never handed out.
"""

import logging
import re
from collections import OrderedDict
from typing import Final, Protocol

from sidecar.clock import Clock
from sidecar.tasks import spawn
from sidecar.wire.client import ClientConnection
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import ConnectFailure, UpstreamError
from sidecar.wire.known import KnownResponses
from sidecar.wire.message import ResponseHead
from sidecar.wire.parse import ResponseParser

HINT_MARGIN: Final = 1.5
"""Seconds by which a connection is closed before its peer said it would: two sweeps late, and a round trip."""

_HINT: Final = re.compile(rb"(?i:timeout)[ \t]*=[ \t]*\"?([0-9]{1,9})").search

_log = logging.getLogger("sidecar")


class Lessee(Protocol):
    """Who asked for a connection."""

    def connected(self, connection: ClientConnection) -> None:
        """Here it is; it is yours until the exchange's end."""

    def connect_failed(self, error: UpstreamError) -> None:
        """None could be made."""


class Pool:
    """Connections to one address.

    connections: at most, idle and dialling ones included. idle: at most, between exchanges. idle_timeout: seconds
    without an exchange after which a connection is closed; where the peer names its own limit (`Keep-Alive: timeout=5`)
    and that is shorter, it holds, less `HINT_MARGIN`. max_age: seconds
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
        self._waiters: OrderedDict[Lessee, bool] = OrderedDict()  # to: whether only a new connection will do
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
        self._waiters[lessee] = False
        self._dial_as_needed()
        return None

    def lease_quiet(self, lessee: Lessee) -> ClientConnection | None:
        """As `lease`, for a request that must not be lost: no connection that the peer has ended in this very turn."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return self.lease(lessee)

    def lease_new(self, lessee: Lessee) -> None:
        """For who found an idle connection dead: it will be told of a new one.

        The other idle ones are closed, since the peer may have restarted.
        """
        self.drop_idle()
        self._waiters[lessee] = True
        self._dial_as_needed()

    def cancel(self, lessee: Lessee) -> None:
        """It waits no more. A dial made for it goes on: its connection will serve somebody."""
        self._waiters.pop(lessee, None)

    def release(self, connection: ClientConnection) -> None:
        """An exchange is over: hand the connection to who waits longest, or keep it."""
        if self._waiters:
            self._hand_over(connection)
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
        """Closes every idle connection."""
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
            elif now - connection.idle_since >= self._may_idle(connection.last_head):
                connection.close()

    def renew(self) -> None:
        """What connections are made with has changed: those there are serve their exchange, and no other."""
        for connection in self._open.copy():
            connection.retire()

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
        self.release(connection)

    def _hand_over(self, connection: ClientConnection) -> None:
        lessee, wants_new = next(iter(self._waiters.items()))
        if connection.exchanges and (wants_new or not connection.is_quiet()):
            connection.close()  # a new one takes its place
            return
        del self._waiters[lessee]
        try:
            lessee.connected(connection)
        except Exception as error:  # noqa: BLE001 - the waiter's defect is not that of the exchange before it
            _log.exception("lease failed: %s", type(error).__name__)
            connection.close()
            lessee.connect_failed(ConnectFailure("the request could not be sent"))

    def _may_idle(self, head: ResponseHead | None) -> float:
        hint = head.get(b"keep-alive") if head is not None else None
        seconds = _HINT(hint) if hint is not None else None
        if seconds is None:
            return self._idle_timeout
        return min(self._idle_timeout, int(seconds[1]) - HINT_MARGIN)

    def _fail_one(self, error: UpstreamError) -> None:
        # One dial is evidence for one waiter: a single lost packet must not fail a whole queue.
        if self._waiters:
            self._waiters.popitem(last=False)[0].connect_failed(error)
        self._dial_as_needed()
