"""Serving a configuration until a signal says otherwise: SIGTERM drains, SIGINT or a second SIGTERM ends at once."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from sidecar import config
from sidecar.app.service import Service

_log = logging.getLogger("sidecar")

Started = Callable[[Service], Awaitable[None]]
"""Told once the service serves."""


async def serve(loaded: config.Config, *, started: Started | None = None) -> None:
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
        if started is not None:
            await started(service)
        await asked.wait()
        await service.drain(loaded.drain.timeout, loaded.drain.quiet)
    finally:
        await service.stop()
        _log.info("ended")


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
    # Its default would end the process, and operators send it to everything that has a configuration.
    loop.add_signal_handler(signal.SIGHUP, _log.warning, "SIGHUP: reloading is not yet supported")
