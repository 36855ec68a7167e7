"""A bound socket that accepts callers."""

import asyncio
import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.wire.farewell import bid, reached
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


@dataclass(slots=True, kw_only=True)
class Listener:
    """One address we listen on."""

    server: Server
    host: str = ""
    port: int = 0
    """As bound: port 0 in the configuration becomes a real one."""
    unix: UnixSocket | None = None
    tls: Presenting | None = None
    _bound: asyncio.Server

    @classmethod
    async def bind(cls, server: Server, host: str, port: int, tls: Presenting | None = None) -> "Listener":
        """Listens on host and port.

        Raises:
            OSError: the address is taken, not ours, or not allowed.
        """
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(
            lambda: ServerConnection(server), host, port, backlog=BACKLOG, **_secured(server, tls)
        )
        for sock in bound.sockets:
            probe_silence(sock)
        return cls(server=server, host=host, port=bound.sockets[0].getsockname()[1], tls=tls, _bound=bound)

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
                lambda: ServerConnection(server), sock=unix.sock, backlog=BACKLOG, **_secured(server, tls)
            )
        except BaseException:
            unix.remove()
            unix.sock.close()
            raise
        return cls(server=server, unix=unix, tls=tls, _bound=bound)

    @property
    def address(self) -> str:
        """As it is written: host:port, an IPv6 address in brackets, or unix:/path."""
        if self.unix is not None:
            return f"unix:{self.unix.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stop(self) -> None:
        """Stops accepting. Idempotent."""
        self._bound.close()
        if self.unix is not None:
            self.unix.remove()

    async def retire(self) -> None:
        """Takes those whom the kernel has let in already, then stops accepting.

        Connections that came in here end with the answer to their next request; what is under way goes on.
        """
        names = [sock.getsockname() for sock in self._bound.sockets]
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
