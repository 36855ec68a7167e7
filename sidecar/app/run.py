"""Serving a configuration until a signal says otherwise.

SIGTERM drains, SIGINT or a second SIGTERM ends at once, SIGHUP reads the configuration anew.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Literal

import uvloop

from sidecar import config
from sidecar.app.bind import CannotStart
from sidecar.app.service import Service
from sidecar.telemetry import process_log

_log = logging.getLogger("sidecar")


def run(
    loaded: config.Config,
    *,
    on_ready: Callable[[], None] | None = None,
    log_format: Literal["json", "text"] | None = None,
) -> int:
    """Serves until a signal, then returns the exit code: 2 if it could not start, after one line that says why.

    `on_ready` is called once callers are served. `log_format`: in place of the configuration's.
    """
    handler = process_log.install(format=log_format or loaded.log.format, level=loaded.log.level.upper())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(loaded, on_ready=on_ready))
    except CannotStart as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201 - before there is anything to log about
        return 2
    finally:
        handler.close()
    return 0


async def serve(loaded: config.Config, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serves until a signal.

    Raises:
        CannotStart: before anything was served.
    """
    service = Service(loaded)
    asked = asyncio.Event()
    _on_signals(service, asked)
    try:
        await service.start()
        _log.info("serving on %s, admin on %s", ", ".join(service.addresses), service.admin_address)
        if on_ready is not None:
            on_ready()
        await asked.wait()
        await service.drain(service.drains.timeout, service.drains.quiet)
    finally:
        await service.stop()
    _log.info("ended")  # not when it could not start: that is one line, and not this one


def _on_signals(service: Service, asked: asyncio.Event) -> None:
    def terminate() -> None:
        if asked.is_set():
            service.hurry()
        asked.set()

    def interrupt() -> None:
        service.hurry()
        asked.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
