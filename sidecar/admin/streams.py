"""`GET /events`: server-sent events (WHATWG HTML section 9.2) to browsers and `sidecar top`."""

import asyncio
from typing import Final

from aiohttp import web

from sidecar.admin.push import Push, Watcher

PATIENCE: Final = 20.0
"""Seconds that a peer has to take what was sent; after that its connection is cut."""
_RETRY: Final = b"retry: 2000\n\n"
"""Milliseconds after which a browser comes again."""
_OWN: Final = ("same-origin", "none")
"""What browsers say of our own page, and of an address that somebody typed. Another port is the same site."""
_HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class Streams:
    """All that are open."""

    def __init__(self, push: Push) -> None:
        self._push = push

    async def opened(self, request: web.Request) -> web.StreamResponse:
        """Serves one until its peer leaves, or takes nothing any more."""
        if request.headers.get("Sec-Fetch-Site", "none") not in _OWN:
            raise web.HTTPForbidden(reason="Not for a page of another origin")
        if self._push.full:
            return web.json_response({"error": "too many watch already"}, status=503, headers={"Retry-After": "10"})
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        with self._push.watching(request.headers.get("Last-Event-ID", "")) as watcher:
            try:
                await _serve(response, watcher)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
            except ConnectionError:
                pass  # it left: nobody is there to be told
        return response


async def _serve(response: web.StreamResponse, watcher: Watcher) -> None:
    await response.write(_RETRY)
    while data := await watcher.next():
        async with asyncio.timeout(PATIENCE):
            await response.write(data)
