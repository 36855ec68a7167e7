"""An origin that records what reaches it, by case: the intermediary in front of it tells the case in `X-Case`."""

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, cast

from conformance import strict

_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_CASE: Final = re.compile(rb"\r\nX-Case: ([0-9]+)\r\n", re.IGNORECASE)


@dataclass
class Passed:
    """What became of one case: the requests that reached the origin, and the statuses that the caller got."""

    requests: list[tuple[tuple[bytes, bytes], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What a strict parser says of bytes that reached the origin and are no request."""


class Origin:
    """Records what comes on its port, by case."""

    def __init__(self) -> None:
        self.passed: dict[int, Passed] = defaultdict(Passed)
        self.port = 0
        self.lines: set[asyncio.Transport] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Origin"]:
        """Until the block ends."""
        server = await asyncio.get_running_loop().create_server(lambda: _Line(self), "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for line in self.lines.copy():
                line.abort()
            while self.lines:  # noqa: ASYNC110 - a turn or two of the loop
                await asyncio.sleep(0)

    def record(self, data: bytes, opinion: strict.Opinion) -> None:
        """What came on one connection."""
        found = _CASE.search(data)
        passed = self.passed[int(found[1]) if found else 0]
        passed.requests += [(read.line, read.body) for read in opinion.messages if read.whole]
        if opinion.refusal not in ("", strict.CLOSED):
            passed.faults.append(opinion.refusal)


class _Line(asyncio.Protocol):
    """One connection to the origin: one request, one answer."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._origin.lines.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._origin.lines.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        opinion = strict.requests(self._data)
        if opinion.refusal not in ("", strict.CLOSED) or any(read.whole for read in opinion.messages):
            self._origin.record(self._data, opinion)
            self._data = b""
            self._transport.write(_ANSWER)
            self._transport.close()
