"""What the admin port says to bytes that are no request.

aiohttp answers those itself, outside of any application: its version in `Server`, what it read in the body,
and a traceback with the same in the log. Scanners ask this port too: it echoes nothing.
"""

import asyncio
import logging
from typing import Final

from aiohttp import web

_log = logging.getLogger("sidecar.admin")

_IDLE: Final = 75.0
"""Seconds that an idle connection is kept, as on the data listener."""


class Protocol(web.RequestHandler):
    """One connection to the admin port. `server`: the runner's, which knows the application."""

    __slots__ = ()

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE,
            access_log=None,  # type: ignore[arg-type] # None is none: annotated too narrowly
            logger=_log,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - quotes what was received
    ) -> web.StreamResponse:
        """The answer to what could not be parsed, or to what failed outside of every handler."""
        if request.writer.output_size > 0:
            raise ConnectionError("it failed after its answer had begun")  # aiohttp closes the connection
        if status >= 500:
            _log.error("an answer failed: %s", type(exc).__name__, exc_info=exc)
        else:
            _log.info("a connection sent what is no request: %s", type(exc).__name__)
        body = b'{"error":"bad request"}' if status < 500 else b'{"error":"internal error"}'
        answer = web.Response(status=status, body=body, content_type="application/json")
        answer.headers["Server"] = "sidecar"  # or aiohttp names itself
        answer.force_close()
        return answer
