"""A bound socket that accepts callers."""

import asyncio
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.wire.farewell import bid, reached
from sidecar.wire.handover import sharers, steer
from sidecar.wire.options import probe_silence
from sidecar.wire.renewal import Presenting
from sidecar.wire.server import ServerConnection
from sidecar.wire.shared import Server
from sidecar.wire.unix import UnixSocket

BACKLOG: Final = 2048
FAREWELL: Final = 2.0
"""Seconds that a closing TLS connection reads on for its caller's farewell: its half-close, as plain ones linger."""
_TURNS: Final = 1000
"""Of the loop, at most, in which a listener that retires accepts who waits: new ones might come for ever."""
_BETWEEN: Final = 2
"""Turns of the loop from the moment it accepts a connection to the one in which its protocol hears of it."""


_TWO: Final = 2
"""Sockets of a group, this one included, between which the kernel can be told to choose the other."""
_SETTLE: Final = 0.05
"""Seconds in which a handshake that had begun ends, as a rule; and then, in which somebody new would come."""


class Arrivals:
    """Makes the protocol of each connection that is accepted, and counts them."""

    __slots__ = ("_server", "count")

    def __init__(self, server: Server) -> None:
        self._server = server
        self.count = 0

    def __call__(self) -> ServerConnection:
        """For the loop, when it has accepted one."""
        self.count += 1
        return ServerConnection(self._server)


@dataclass(slots=True, kw_only=True)
class Listener:
    """One address we listen on."""

    server: Server
    host: str = ""
    port: int = 0
    """As bound: port 0 in the configuration becomes a real one."""
    unix: UnixSocket | None = None
    path: str = ""
    """Of a unix socket that is not ours to remove."""
    shared: bool = False
    """Other processes may listen at the same address."""
    adopted: bool = False
    """Whoever started us holds the socket, too: who waits there is not lost when we stop."""
    tls: Presenting | None = None
    arrivals: "Arrivals"
    _bound: asyncio.Server

    @classmethod
    async def bind(
        cls, server: Server, host: str, port: int, tls: Presenting | None = None, *, reuse_port: bool = False
    ) -> "Listener":
        """Listens on host and port. `reuse_port`: where others do as well, if they say the same.

        Raises:
            OSError: the address is taken, not ours, or not allowed.
        """
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(
            arrivals := Arrivals(server),
            host,
            port,
            backlog=BACKLOG,
            reuse_port=reuse_port or None,
            **_secured(server, tls),
        )
        for sock in bound.sockets:
            probe_silence(sock)
        port = bound.sockets[0].getsockname()[1]
        return cls(server=server, host=host, port=port, tls=tls, shared=reuse_port, arrivals=arrivals, _bound=bound)

    @classmethod
    async def bind_unix(cls, server: Server, path: str, mode: int, tls: Presenting | None = None) -> "Listener":
        """Listens on a unix socket. `mode`: of its file.

        Raises:
            OSError: somebody listens there, it is something else than a socket, or the directory does not let us.
        """
        unix = UnixSocket(path, mode)
        loop = asyncio.get_running_loop()
        try:
            bound = await loop.create_unix_server(
                arrivals := Arrivals(server), sock=unix.sock, backlog=BACKLOG, **_secured(server, tls)
            )
        except BaseException:
            unix.remove()
            unix.sock.close()
            raise
        return cls(server=server, unix=unix, tls=tls, arrivals=arrivals, _bound=bound)

    @classmethod
    async def adopt(cls, server: Server, sock: socket.socket, tls: Presenting | None = None) -> "Listener":
        """Listens on a socket that whoever started us has bound, and keeps: it is shared, not taken.

        Raises:
            OSError: it is no socket that can listen.
        """
        loop = asyncio.get_running_loop()
        own, name = sock.dup(), sock.getsockname()
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        bound = await create(arrivals := Arrivals(server), sock=own, backlog=BACKLOG, **_secured(server, tls))
        if sock.family == socket.AF_UNIX:
            return cls(server=server, path=name, tls=tls, adopted=True, arrivals=arrivals, _bound=bound)
        probe_silence(own)
        return cls(server=server, host=name[0], port=name[1], tls=tls, adopted=True, arrivals=arrivals, _bound=bound)

    @property
    def address(self) -> str:
        """As it is written: host:port, an IPv6 address in brackets, or unix:/path."""
        if path := self.unix.path if self.unix is not None else self.path:
            return f"unix:{path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stop(self) -> None:
        """Stops accepting. Idempotent."""
        self._bound.close()
        if self.unix is not None:
            self.unix.remove()

    async def retire(self, *, leave_waiting: bool = False) -> None:
        """Takes those whom the kernel has let in already (unless another will), then stops accepting.

        Connections that came in here end with the answer to their next request; what is under way goes on.
        """
        names = [sock.getsockname() for sock in self._bound.sockets]
        if not leave_waiting:
            await self._take_waiting()
        self.stop()
        for _ in range(_BETWEEN):
            await asyncio.sleep(0)
        self._bid(names)
        if self.tls is not None:  # those that shake hands now are not among the connections yet
            asyncio.get_running_loop().call_later(self.server.header_timeout, self._bid, names)

    def _bid(self, names: Sequence[Any]) -> None:
        for connection in list(self.server.connections):
            if any(reached(connection, name) for name in names):
                bid(connection)

    async def hand_over(self) -> bool:
        """Leaves callers to come to whoever else listens here, and retires; False, and nothing done, if nobody does."""
        if self.adopted:
            await self.retire(leave_waiting=True)
            return True
        sockets = list(self._bound.sockets) if self.shared else []
        counts = [sharers(sock) for sock in sockets]
        if not sockets or min(counts) < _TWO:
            return False
        if counts == [_TWO] * len(sockets):
            await self._steer(sockets)
        await self.retire()
        return True

    async def _steer(self, sockets: Sequence[socket.socket]) -> None:
        # Of two the one that leaves is the older as a rule, and so 0. If it is not, they go on coming here.
        for number in (1, 0):
            if not all(steer(sock, number) for sock in sockets):
                return
            await asyncio.sleep(_SETTLE)
            seen = self.arrivals.count
            await asyncio.sleep(_SETTLE)
            if self.arrivals.count == seen:
                return

    async def _take_waiting(self) -> None:
        # Closed with connections in its queue, the kernel would reset them.
        waiting = select.poll()
        for sock in self._bound.sockets:
            waiting.register(sock.fileno(), select.POLLIN)
        for _ in range(_TURNS):
            if not waiting.poll(0):
                break
            await asyncio.sleep(0)

    def close(self) -> None:
        """Stops accepting and closes every connection that carries no request."""
        self.stop()
        for connection in list(self.server.connections):
            connection.close_if_idle()


def _secured(server: Server, tls: Presenting | None) -> dict[str, Any]:
    """What the loop is told about TLS. Until its end the handshake is all that a caller can delay."""
    if tls is None:
        return {}
    return {"ssl": tls, "ssl_handshake_timeout": server.header_timeout, "ssl_shutdown_timeout": FAREWELL}
