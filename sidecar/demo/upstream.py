"""Serves the demo's upstream on its own thread and loop: it and the sidecar never wait for each other."""

import asyncio
import socket
import threading
from typing import Self

from aiohttp import web

from sidecar.demo.connect import application
from sidecar.demo.faults import Switch


class Upstream:
    """The played service, listening from the moment it exists.

    Raises:
        OSError: the address is taken, or not ours.
    """

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port))
        self.port = int(self._listener.getsockname()[1])
        """As bound: port 0 becomes a real one."""
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        switch = Switch()
        # Without an access log: it would print the query. What hangs at the end is not waited for.
        runner = web.AppRunner(application(switch), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, self._listener).start()
        await self._ended.wait()
        switch.turn("off")
        await runner.cleanup()
