"""The part of the admin port that people use, and everything on it that is not answered at the door.

An aiohttp application. Importing this module costs about 250 ms and 13 MB: `front.py` does it in a thread, when
somebody first asks for what only it can answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from sidecar.admin import assets
from sidecar.admin.actions import BREAKER, DRAIN, FAULT, RELOAD, Actions, Asked
from sidecar.admin.negotiation import wants_openmetrics
from sidecar.admin.protocol import Protocol
from sidecar.admin.push import Push, at_once
from sidecar.admin.streams import Streams
from sidecar.admin.views import FIXED_HEADERS, JSON, Views

_log = logging.getLogger("sidecar.admin")
_LONGEST_BODY: Final = 4096
"""Bytes of what an action is asked for with."""
_ASSETS: Final = assets.load()  # while this module is imported: that happens in a thread
_LAST_ANSWERS: Final = 1.0
"""Seconds that answers under way have when the server closes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Made:
    """The application, ready to take connections over."""

    __slots__ = ("_runner",)

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner

    def protocol(self) -> asyncio.Protocol:
        """For one connection."""
        assert self._runner.server is not None
        return Protocol(self._runner.server)

    async def close(self) -> None:
        """Gives answers under way a second, then closes every connection."""
        await self._runner.cleanup()


async def make(views: Views, actions: Actions | None = None) -> Made:
    """Sets the application up. `actions`: what can be changed; None: nothing."""
    runner = web.AppRunner(application(views, actions), shutdown_timeout=_LAST_ANSWERS)
    await runner.setup()
    return Made(runner)


def application(views: Views, actions: Actions | None = None) -> web.Application:
    """The routes."""
    pages = _Pages(views)
    push = Push(views.status_steps or at_once(views.status), views.journal)
    made = web.Application(middlewares=[_plain_errors], client_max_size=_LONGEST_BODY)
    made.router.add_get("/", pages.index)
    for path in ("/healthz", "/readyz", "/metrics", "/status", "/history", "/config"):
        made.router.add_get(path, pages.shown)
    made.router.add_get("/assets/{path:.+}", pages.asset)
    made.router.add_get("/events", Streams(push).opened, allow_head=False)
    if actions is not None:
        _add_actions(made.router, _Levers(actions))
    made.on_response_prepare.append(_headers)
    made.on_shutdown.append(lambda _: _closed(push))
    return made


def _add_actions(router: web.UrlDispatcher, levers: "_Levers") -> None:
    for action in (BREAKER, FAULT):
        path = f"/routes/{{name}}/{action}"
        router.add_post(path, levers.pulled)
        router.add_delete(path, levers.pulled)
    for action in (DRAIN, RELOAD):
        router.add_post(f"/{action}", levers.pulled)


class _Levers:
    """What changes state."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions

    async def pulled(self, request: web.Request) -> web.Response:
        """Does it, after a look at who asks."""
        asked = _asked(request)
        told = self._actions.refused(asked)
        if told is None:
            body = await request.read() if asked.method == "POST" else b""
            reloads = asked.action == RELOAD
            told = await self._actions.reload(asked, body) if reloads else self._actions.perform(asked, body)
        status, document = told
        answer = _json(document, status)
        if status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 section 11.6.1
        return answer


def _asked(request: web.Request) -> Asked:
    return Asked(
        action=request.path.rpartition("/")[2],
        method=request.method,
        route=request.match_info.get("name", ""),
        peer=request.remote or "somebody",
        host=request.headers.get("Host", ""),
        origin=request.headers.get("Origin"),
        authorization=request.headers.get("Authorization", ""),
        content_type=request.content_type if "Content-Type" in request.headers else "",
    )


class _Pages:
    def __init__(self, views: Views) -> None:
        self._views = views

    async def index(self, _: web.Request) -> web.Response:
        page = _ASSETS[assets.PAGE]
        return web.Response(body=page.body, headers={"Content-Type": page.kind})

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the dashboard. Browsers keep it, and ask each time whether it is still the same."""
        found = _ASSETS.get(request.match_info["path"])
        if found is None:
            raise web.HTTPNotFound
        known = {tag.value for tag in request.if_none_match or ()}
        unchanged = bool(known & {found.etag, "*"})
        answer = web.Response(status=304) if unchanged else web.Response(body=found.body)
        if not unchanged:
            answer.headers["Content-Type"] = found.kind
        answer.headers["Cache-Control"] = "no-cache"
        answer.etag = found.etag
        return answer

    async def shown(self, request: web.Request) -> web.Response:
        """What machines ask for, asked for on a connection that is ours already."""
        openmetrics = wants_openmetrics(request.headers.getall("Accept", []))
        shown = self._views.show(request.path, openmetrics=openmetrics)
        assert shown is not None
        status, kind, body = shown
        return web.Response(status=status, body=body, headers={"Content-Type": kind})


def _json(content: Mapping[str, Any], status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type=JSON)


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
    for name, value in FIXED_HEADERS.items():
        response.headers.setdefault(name, value)


async def _closed(push: Push) -> None:
    push.close()
