"""What an upstream can be told to do instead of answering, and the switch that tells it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

OFF: Final = "off"
FAULTS: Final = {
    OFF: "answers as it should",
    "hang": "takes the request and never answers",
    "500": "answers 500",
    "empty": "answers 200 with an empty body",
    "reset": "resets the connection",
    "slow": "sends its answer a byte every 200 ms",
}
"""Each fault by the word that switches it on, with what the upstream then does."""

_PAUSE = 0.2


class Switch:
    """Which fault is on."""

    def __init__(self) -> None:
        self.fault = OFF
        self._turned = asyncio.Event()

    def turn(self, fault: str) -> None:
        """Switches to one of FAULTS, and lets go of everything that hangs."""
        self.fault = fault
        self._turned.set()
        self._turned = asyncio.Event()

    async def turned(self) -> None:
        """Returns when the switch is next turned."""
        await self._turned.wait()


def misbehaviour(switch: Switch) -> Middleware:
    """An application with this middleware does what the switch says."""

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        if switch.fault == OFF:
            return await handler(request)
        return await _ACTIONS[switch.fault](switch, request, handler)

    return misbehave


async def _hang(switch: Switch, request: web.Request, handler: Handler) -> web.StreamResponse:
    await switch.turned()
    return await handler(request)


async def _error(_switch: Switch, _request: web.Request, _handler: Handler) -> web.StreamResponse:
    return web.json_response({"detail": "Internal Server Error"}, status=500)


async def _empty(_switch: Switch, _request: web.Request, _handler: Handler) -> web.StreamResponse:
    return web.Response(content_type="application/json")


async def _reset(_switch: Switch, request: web.Request, handler: Handler) -> web.StreamResponse:
    if (transport := request.transport) is not None:
        # Lingering for 0 s turns the close into a reset (socket(7), SO_LINGER).
        lingering = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
        transport.abort()
    return await handler(request)  # goes nowhere: aiohttp wants an answer to drop


async def _slow(_switch: Switch, request: web.Request, handler: Handler) -> web.StreamResponse:
    whole = await handler(request)
    body = bytes(whole.body) if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    slow = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await slow.prepare(request)
    for byte in body:
        await slow.write(bytes((byte,)))
        await asyncio.sleep(_PAUSE)
    return slow


_ACTIONS: Final[dict[str, Callable[[Switch, web.Request, Handler], Awaitable[web.StreamResponse]]]] = {
    "hang": _hang,
    "500": _error,
    "empty": _empty,
    "reset": _reset,
    "slow": _slow,
}
