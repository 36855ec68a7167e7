"""The admin port's door: answers what machines ask by itself, and leads people to aiohttp.

Probes and scrapers come every few seconds to every sidecar, people rarely to one. `aiohttp.web` costs 13 MB and a
quarter of a second to import, so it is imported, in a thread, when somebody first asks for what only it can answer.
Machines' answers close the connection: whoever comes next on it might ask for something else.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from sidecar.admin.actions import Actions
from sidecar.admin.negotiation import wants_openmetrics
from sidecar.admin.views import FIXED_HEADERS, Views
from sidecar.tasks import spawn
from sidecar.wire.encode import STATUS_LINES
from sidecar.wire.errors import BadRequest
from sidecar.wire.message import RequestHead
from sidecar.wire.parse import RequestParser

LONGEST: Final = 16384
"""Bytes of a request's head; who sends more is led to aiohttp, which says so politely."""
PATIENCE: Final = 10.0
"""Seconds for a request's head to come."""

_log = logging.getLogger("sidecar.admin")
_FIXED: Final = b"".join(f"{name}: {value}\r\n".encode() for name, value in FIXED_HEADERS.items())
_FAILED: Final = 500, "application/json", b'{"error":"internal error"}'

Pieces = Callable[[bool], Iterator[bytes]]


class Running:
    """A port that listens."""

    __slots__ = ("_connections", "_listener", "_people", "port")

    def __init__(self, listener: asyncio.Server, people: "People", connections: "set[Front]") -> None:
        self._listener = listener
        self._people = people
        self._connections = connections
        self.port: int = listener.sockets[0].getsockname()[1]
        """The port it listens on: the one asked for, or the one the system chose for 0."""

    async def close(self) -> None:
        """Stops listening, gives answers under way a second, and closes every connection."""
        self._listener.close()
        for connection in list(self._connections):
            connection.close()
        await self._people.close()


async def start(views: Views, host: str, port: int, actions: Actions | None = None) -> Running:
    """Listens on host and port. `actions`: what can be changed there; None: nothing. Raises OSError if it cannot."""
    people = People(views, actions)
    connections: set[Front] = set()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Front(views, people, connections), host, port)
    return Running(listener, people, connections)


class People:
    """The aiohttp application, once somebody needs it."""

    __slots__ = ("_actions", "_made", "_starting", "_views")

    def __init__(self, views: Views, actions: Actions | None) -> None:
        self._views = views
        self._actions = actions
        self._made: Any = None
        self._starting = asyncio.Lock()

    async def protocol(self) -> asyncio.Protocol:
        """A connection's protocol on aiohttp's side."""
        async with self._starting:
            if self._made is None:
                module = await asyncio.to_thread(importlib.import_module, "sidecar.admin.server")
                self._made = await module.make(self._views, self._actions)
        return cast("asyncio.Protocol", self._made.protocol())

    async def close(self) -> None:
        """Closes its connections, if there ever was one."""
        async with self._starting:
            if self._made is not None:
                await self._made.close()


class Front(asyncio.Protocol):
    """One connection, until it is known who asks."""

    __slots__ = ("_buffer", "_connections", "_impatient", "_people", "_transport", "_views")

    def __init__(self, views: Views, people: People, connections: "set[Front]") -> None:
        self._views = views
        self._people = people
        self._connections = connections
        self._buffer = b""
        self._transport: asyncio.Transport
        self._impatient: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._impatient = asyncio.get_running_loop().call_later(PATIENCE, self.close)

    def data_received(self, data: bytes) -> None:
        """The request comes."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4 and len(self._buffer) <= LONGEST:
            return
        self._impatient.cancel()
        self._transport.pause_reading()
        head = _for_machines(self._buffer[:end]) if end >= 4 else None
        if head is not None and head.path == b"/metrics" and self._views.metrics_pieces is not None:
            spawn(self._scraped(head, self._views.metrics_pieces), name="scrape")
            return
        answer = None if head is None else self._answer(head)
        if answer is None:
            spawn(self._lead_on(), name="admin connection")
        else:
            self._transport.write(answer)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """It is gone."""
        self._connections.discard(self)
        self._impatient.cancel()

    def close(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def _answer(self, head: RequestHead) -> bytes | None:
        openmetrics = wants_openmetrics(_accepted(head))
        try:
            shown = self._views.show(head.path.decode("latin-1"), openmetrics=openmetrics)
        except Exception:  # noqa: BLE001 - whatever failed, the port answers
            _log.exception("the answer to %s failed", head.path)
            shown = _FAILED
        if shown is None:
            return None
        status, kind, body = shown
        lines = _lines(status, kind, len(body))
        return lines if head.method == b"HEAD" else lines + body

    async def _scraped(self, head: RequestHead, pieces: Pieces) -> None:
        """The scrape, made between other things: thousands of series would keep every caller waiting for ms."""
        openmetrics = wants_openmetrics(_accepted(head))
        status, kind, body = 200, self._views.metrics_type(openmetrics), []
        try:
            for piece in pieces(openmetrics):
                body.append(piece)
                await asyncio.sleep(0)
        except Exception:  # noqa: BLE001 - whatever failed, the port answers
            _log.exception("the answer to %s failed", head.path)
            status, kind, body = _FAILED[0], _FAILED[1], [_FAILED[2]]
        if self._transport.is_closing():
            return
        lines = _lines(status, kind, sum(map(len, body)))
        self._transport.writelines([lines] if head.method == b"HEAD" else [lines, *body])
        self._transport.close()

    async def _lead_on(self) -> None:
        """From here on the connection is aiohttp's, with everything that came on it."""
        protocol = await self._people.protocol()
        if self._transport.is_closing():
            return
        self._connections.discard(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        self._transport.resume_reading()
        protocol.data_received(self._buffer)


def _for_machines(data: bytes) -> RequestHead | None:
    try:
        head = RequestParser().parse(data)
    except BadRequest:
        return None
    return None if head.length or head.method not in (b"GET", b"HEAD") else head


def _accepted(head: RequestHead) -> list[str]:
    return [value.decode("latin-1") for low, _, value in head.headers if low == b"accept"]


def _lines(status: int, kind: str, length: int) -> bytes:
    return b"%bContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n%b\r\n" % (
        STATUS_LINES[status],
        kind.encode(),
        length,
        _FIXED,
    )
