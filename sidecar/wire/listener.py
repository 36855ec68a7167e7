"""A bound socket that accepts callers."""

import asyncio
from dataclasses import dataclass

from sidecar.wire.server import Server

BACKLOG = 2048


@dataclass(slots=True, kw_only=True)
class Listener:
    """One address we listen on."""

    server: Server
    host: str
    port: int
    """As bound: port 0 in the configuration becomes a real one."""
    _bound: asyncio.Server

    @classmethod
    async def bind(cls, server: Server, host: str, port: int) -> "Listener":
        """Listens on host and port.

        Raises:
            OSError: the address is taken, not ours, or not allowed.
        """
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(server.connection, host, port, backlog=BACKLOG)
        return cls(server=server, host=host, port=bound.sockets[0].getsockname()[1], _bound=bound)

    def close(self) -> None:
        """Stops accepting and closes every connection that carries no request."""
        self._bound.close()
        for connection in list(self.server.connections):
            connection.close_if_idle()
