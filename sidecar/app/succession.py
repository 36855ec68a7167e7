"""One configuration follows another while requests are under way: all of it, or nothing.

What can fail or takes long comes first and touches nothing that serves. Then everything changes within one turn of the
loop: no request sees one half of the old and one of the new. Requests that have begun keep the objects they began with.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sidecar import config
from sidecar.admin.actions import Actions
from sidecar.admin.guard import Guard
from sidecar.app.bind import CannotStart
from sidecar.app.build import Builder
from sidecar.app.built import Built
from sidecar.app.doors import Doors
from sidecar.app.health import Checks
from sidecar.app.kept import Kept
from sidecar.app.reuse import Before
from sidecar.proxy.gateway import Gateway
from sidecar.telemetry.access_log import AccessLog
from sidecar.wire.shared import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """What of a process follows its configuration. `then`: called at the end of the turn in which all changes."""

    built: Built
    builder: Callable[[Before], Builder]
    gateway: Gateway
    server: Server
    doors: Doors
    checks: Checks
    actions: Actions
    access_log: AccessLog
    kept: Kept
    then: Callable[[config.Config], None]

    async def __call__(self, loaded: config.Config) -> None:
        """Serves `loaded` from now on.

        Raises:
            CannotStart: it can't be served, and nothing has changed; the message is one line.
        """
        builder = self.builder(Before(self.built))
        try:
            await asyncio.to_thread(builder.prepare, loaded)  # authorities take 40 ms to read
            plan = await self.doors.plan(loaded.listen)
        except (OSError, ValueError) as error:
            raise CannotStart(str(error)) from None
        try:
            built = builder.build(loaded)
            log_as(self.access_log, loaded.access_log)
        except (OSError, ValueError) as error:
            plan.give_up()
            raise CannotStart(str(error)) from None
        self._change(loaded, built)
        left = self.doors.follow(plan)
        self.then(loaded)
        for listener in left:
            await listener.retire()

    def _change(self, loaded: config.Config, built: Built) -> None:
        left = self.built.become(built)
        self.gateway.router = built.router
        self.checks.become(built.checks)
        left.retire(built)
        self.actions.follow(built.routes, Guard(loaded.admin.listen.host, loaded.admin.token))
        limit(self.server, loaded)
        self.kept.follow(loaded)


def limit(server: Server, loaded: config.Config) -> None:
    """Gives the connections of callers the limits that are configured."""
    asked = loaded.limits
    server.limit(
        header_bytes=asked.header_bytes,
        headers=asked.headers,
        body=asked.body,
        max_connections=asked.connections,
        header_timeout=asked.header_timeout,
        idle_timeout=asked.idle_timeout,
        body_rate=asked.body_rate,
    )


def log_as(log: AccessLog, asked: config.AccessLog) -> None:
    """Has the access log go on as `asked`.

    Raises:
        OSError: its file can't be opened; the log goes on as before.
    """
    try:
        log.change(
            asked.path,
            format=asked.format,
            sample=asked.sample,
            redact_query=asked.redact_query,
            redact=asked.redact,
            headers=asked.headers,
        )
    except OSError as error:
        raise OSError(f"access_log.path {asked.path}: {error.strerror}") from None
