"""The sidecar's own port: is it alive, is it ready, what has it seen.

An aiohttp application. Importing this module costs about 130 ms and 13 MB, so the application does it in a
thread once the data listener serves.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from sidecar.admin.negotiation import wants_openmetrics
from sidecar.admin.page import PAGE
from sidecar.admin.protocol import Protocol

_log = logging.getLogger("sidecar.admin")
_LAST_ANSWERS: Final = 1.0
"""Seconds that answers under way have when the server closes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the server shows. Each is called on the loop, once per request."""

    ready: Callable[[], str]
    """Empty when ready, otherwise why not."""
    metrics: Callable[[bool], bytes]
    """The scrape; True asks for OpenMetrics."""
    metrics_type: Callable[[bool], str]
    """Its media type."""
    status: Callable[[], Mapping[str, Any]]
    config: Callable[[], Mapping[str, Any]]
    """The effective configuration. Whoever makes it has hidden its secrets."""


class Running:
    """A server that listens."""

    __slots__ = ("_listener", "_runner", "port")

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server) -> None:
        self._runner = runner
        self._listener = listener
        self.port: int = listener.sockets[0].getsockname()[1]
        """The port it listens on: the one asked for, or the one the system chose for 0."""

    async def close(self) -> None:
        """Stops listening, gives answers under way a second, and closes every connection."""
        self._listener.close()
        await self._runner.cleanup()


async def start(views: Views, host: str, port: int) -> Running:
    """Listens on host and port. Raises OSError if it cannot."""
    runner = web.AppRunner(application(views), shutdown_timeout=_LAST_ANSWERS)
    await runner.setup()
    server = runner.server
    assert server is not None
    try:
        listener = await asyncio.get_running_loop().create_server(lambda: Protocol(server), host, port)
    except OSError:
        await runner.cleanup()
        raise
    return Running(runner, listener)


def application(views: Views) -> web.Application:
    """The routes. What changes state (POST) joins them here."""
    pages = _Pages(views)
    made = web.Application(middlewares=[_plain_errors])
    made.router.add_get("/", pages.index)
    made.router.add_get("/healthz", pages.alive)
    made.router.add_get("/readyz", pages.ready)
    made.router.add_get("/metrics", pages.metrics)
    made.router.add_get("/status", pages.status)
    made.router.add_get("/config", pages.config)
    made.on_response_prepare.append(_headers)
    return made


class _Pages:
    def __init__(self, views: Views) -> None:
        self._views = views

    async def index(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def alive(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        why_not = self._views.ready()
        if why_not:
            return _json({"status": "not ready", "reason": why_not}, 503)
        return _json({"status": "ready"})

    async def metrics(self, request: web.Request) -> web.Response:
        openmetrics = wants_openmetrics(request.headers.getall("Accept", []))
        body = self._views.metrics(openmetrics)
        return web.Response(body=body, headers={"Content-Type": self._views.metrics_type(openmetrics)})

    async def status(self, _: web.Request) -> web.Response:
        return _json(self._views.status())

    async def config(self, _: web.Request) -> web.Response:
        return _json(self._views.config())


def _json(content: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as JSON. What went wrong inside goes to the log, not to whoever asked."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        answer = _json({"error": "method not allowed"}, 405)
        answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except web.HTTPException as error:
        return _json({"error": error.reason.lower()}, error.status)
    except Exception:  # noqa: BLE001 - whatever failed, the port answers
        _log.exception("the answer to %s %s failed", request.method, request.path)
        return _json({"error": "internal error"}, 500)


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)  # versions of what runs here are nobody's business
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
