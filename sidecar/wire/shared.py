"""What the connections of one listener share: their limits, what reads their requests, how many there may be."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.clock import Clock
from sidecar.wire.known import KnownRequests
from sidecar.wire.parse import RequestParser
from sidecar.wire.reader import RequestReader
from sidecar.wire.sinks import Responder

if TYPE_CHECKING:
    from sidecar.wire.server import ServerConnection


@dataclass(slots=True, kw_only=True)
class Server:
    """What the connections of a listener share. Sizes in bytes, times in seconds."""

    responder: "Responder[ServerConnection]"
    clock: Clock
    header_bytes: int = 32768
    headers: int = 100
    body: int = 10 * 1024 * 1024
    max_connections: int = 1000
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    body_rate: float = 0.0
    """Bytes of a body that must come per second, over any `header_timeout` in which they could; 0: any pace will do."""
    soon: Callable[[Callable[[], None]], object] = lambda call: asyncio.get_running_loop().call_soon(call)
    """Has the loop call something when others have had their turn."""
    connections: set["ServerConnection"] = field(default_factory=set)
    leaving: set["ServerConnection"] = field(default_factory=set)
    """Those of `connections` that got their last answer: a crowd that was turned away must not keep others out."""
    known: KnownRequests = field(init=False)
    _parser: RequestParser | None = None

    def __post_init__(self) -> None:
        self.known = KnownRequests(header_bytes=self.header_bytes)

    def reader(self) -> RequestReader:
        """What reads the requests of one connection. Heads come whole, so all share a parser: it has 3.5 KB."""
        parser = self._parser = self._parser or RequestParser(max_headers=self.headers)
        return RequestReader(header_bytes=self.header_bytes, body=self.body, parser=parser, known=self.known)

    def limit(
        self,
        *,
        header_bytes: int,
        headers: int,
        body: int,
        max_connections: int,
        header_timeout: float,
        idle_timeout: float,
        body_rate: float,
    ) -> None:
        """Other limits from now on. Connections that are open keep those of a request's size."""
        self.header_bytes = header_bytes
        self.headers = headers
        self.body = body
        self.max_connections = max_connections
        self.header_timeout = header_timeout
        self.idle_timeout = idle_timeout
        self.body_rate = body_rate
        self.known.forget(header_bytes=header_bytes)
        self._parser = None

    @property
    def crowded(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self.connections) - len(self.leaving) > self.max_connections

    def sweep(self, now: float) -> None:
        """Ends what has waited too long. To be called a few times per `header_timeout`."""
        for connection in list(self.connections):
            connection.sweep(now)
