"""Active health checks: asks each endpoint in its turn, and tells its upstream what was found.

A check is asked on a connection of its own, as a new caller would meet the endpoint: name resolution, TCP, TLS with the
upstream's settings, `Host` and `headers.set` as in real traffic. Only the status is read.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from random import Random
from typing import Final

from sidecar import __version__, tasks
from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.endpoints import Upstream
from sidecar.proxy.target import Target
from sidecar.wire.client import ClientConnection
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import UpstreamError
from sidecar.wire.known import KnownResponses
from sidecar.wire.message import Header, ResponseHead
from sidecar.wire.parse import ResponseParser

_JITTER: Final = 0.1
"""Of the interval, by which each is longer or shorter: a thousand replicas must not fall into step."""
_OWN: Final = {b"user-agent": b"User-Agent: sidecar/%b\r\n" % __version__.encode(), b"accept": b"Accept: */*\r\n"}

_log = logging.getLogger("sidecar")


class Check:
    """Asks one endpoint of an upstream, for `timeout` seconds at most, with the `waits` of `interval` between."""

    __slots__ = ("_clock", "_dialer", "_interval", "_request", "_rng", "_target", "_timeout", "name", "upstream")

    def __init__(
        self,
        *,
        upstream: Upstream,
        target: Target,
        dialer: Dialer,
        path: bytes,
        interval: float,
        timeout: float,
        clock: Clock,
        rng: Random,
    ) -> None:
        self.name = f"check {target.name}"
        self.upstream = upstream
        self._target = target
        self._dialer = dialer
        self._request = request_bytes(target, path)
        self._interval = interval
        self._timeout = timeout
        self._clock = clock
        self._rng = rng

    async def run(self) -> None:
        """Until it is cancelled."""
        for wait in waits(self._interval, self._rng):
            await asyncio.sleep(wait)
            if self.upstream.checked(self._target, await self.ask()):
                self._tell()

    async def ask(self) -> str:
        """One check: "" if the endpoint is well, otherwise the reason why not, and one sentence."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._exchange()
        except TimeoutError:
            return f"{reasons.ATTEMPT_TIMEOUT}: no answer within {self._timeout:g} s"
        except UpstreamError as error:
            return f"{error.reason}: {error.detail}" if error.detail else error.reason
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the checks: nothing would bring it back
            _log.exception("health check failed: %s", type(error).__name__)
            return f"{reasons.CONNECT_FAILURE}: the check broke off"
        return "" if 200 <= status < 400 else f"{reasons.UNEXPECTED_RESPONSE}: status {status}"

    async def _exchange(self) -> int:
        answer = _Answer()
        _, connection = await self._dialer.dial(
            lambda: ClientConnection(answer, ResponseParser(), KnownResponses(), self._clock)
        )
        try:
            connection.send(answer, b"GET", self._request, whole=True)
            found = await answer.found
        finally:
            connection.abandon()
        if isinstance(found, UpstreamError):
            raise found
        return found

    def _tell(self) -> None:
        health = self._target.health
        assert health is not None
        fields = {"event": "health", "upstream": self.upstream.name, "endpoint": self._target.name}
        text = f"upstream {self.upstream.name}: {self._target.name} is"
        if health.well:
            _log.info("%s healthy", text, extra={"fields": {**fields, "healthy": True}})
        else:
            told = {**fields, "healthy": False, "why": health.why}
            _log.warning("%s unhealthy: %s", text, health.why, extra={"fields": told})


class Checks:
    """All of them, from start to stop."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = tuple(checks)
        self._running: dict[Check, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begins to ask."""
        self._running = {check: tasks.spawn(check.run(), name=check.name) for check in self._checks}

    def become(self, checks: Iterable[Check]) -> None:
        """Asks these from now on: those that are asked already go on, others that were asked are broken off."""
        self._checks = tuple(checks)
        for check in self._running.keys() - set(self._checks):
            self._running.pop(check).cancel()
        for check in self._checks:
            if check not in self._running:
                self._running[check] = tasks.spawn(check.run(), name=check.name)

    def stop(self) -> None:
        """Asks no more; what is under way is broken off."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()


class _Answer:
    """The sink of one check, and the keeper of its connection: nobody uses that again."""

    def __init__(self) -> None:
        self.found: asyncio.Future[int | UpstreamError] = asyncio.get_running_loop().create_future()

    def _take(self, found: int | UpstreamError) -> None:
        if not self.found.done():
            self.found.set_result(found)

    def release(self, connection: ClientConnection) -> None:
        connection.close()

    def forget(self, connection: ClientConnection) -> None: ...

    def response_whole(self, head: ResponseHead, body: bytes) -> None:  # noqa: ARG002 - only the status counts
        self._take(head.status)

    def response_head(self, head: ResponseHead) -> None:
        self._take(head.status)

    def response_failed(self, error: UpstreamError) -> None:
        self._take(error)

    def response_interim(self, head: ResponseHead) -> None: ...
    def response_switched(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, trailers: list[Header]) -> None: ...
    def upstream_full(self) -> None: ...
    def upstream_ready(self) -> None: ...


def waits(interval: float, rng: Random) -> Iterator[float]:
    """Seconds before each check, for ever: first a part of the interval, then all of it, give or take a tenth.

    Replicas that start together do not ask together.
    """
    yield interval * rng.random()
    while True:
        yield interval * (1.0 + _JITTER * (2.0 * rng.random() - 1.0))


def request_bytes(target: Target, path: bytes) -> bytes:
    """What a check sends: a GET with the upstream's own headers, which may replace ours."""
    own = b"".join(line for name, line in _OWN.items() if name not in target.removed)
    line = b"GET %b%b HTTP/1.1\r\nHost: %b\r\n" % (target.base_path, path, target.authority)
    return b"%b%b%bConnection: close\r\n\r\n" % (line, own, target.added)
