"""The running process: listeners first, the admin port after them, ticks, drain, end.

Order of the start: the data listeners bind and serve, then what the admin port needs is imported in a thread, so that
the first call of the application never waits for libraries that it does not use.
"""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from sidecar import config
from sidecar.admin import front
from sidecar.admin.actions import Actions, Told
from sidecar.admin.guard import Guard
from sidecar.admin.status import Status
from sidecar.admin.views import Views
from sidecar.app import systemd, watch
from sidecar.app.bind import CannotStart, binding
from sidecar.app.build import Builder
from sidecar.app.built import Built
from sidecar.app.doors import Doors
from sidecar.app.health import Checks
from sidecar.app.kept import Kept
from sidecar.app.notify import TICK_EVERY, Notifier
from sidecar.app.reload import Reload
from sidecar.app.renewals import LOOK_EVERY, Renewals
from sidecar.app.reuse import Before
from sidecar.app.succession import Succession, limit
from sidecar.app.tracing import Tracing
from sidecar.clock import MONOTONIC, WALL
from sidecar.policy.endpoints import Upstream
from sidecar.policy.reasons import DRAINING
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.telemetry import gauges
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.ejections import Ejections
from sidecar.telemetry.events import Events
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.rates import EVERY as RATES_EVERY
from sidecar.telemetry.rates import Rates
from sidecar.telemetry.watched import Watch
from sidecar.wire.pool import Pool
from sidecar.wire.shared import Server
from sidecar.wire.timers import Timers

FLUSH_EVERY: Final = 0.2
"""Seconds between two writes of the access log."""
SWEEP_EVERY: Final = 0.5
"""Seconds between two looks at what has been idle too long."""
SUMMARY_EVERY: Final = 10.0
"""Seconds between two summaries of what was refused."""

_ASK_EVERY: Final = 0.5
"""Seconds, in a drain, between two looks at who else listens here by now, and at who has connected since."""

_log = logging.getLogger("sidecar")


class Service:
    """One configuration being served on the running loop."""

    def __init__(self, loaded: config.Config) -> None:
        loop = asyncio.get_running_loop()
        self._config = loaded
        self._rng = Random()  # noqa: S311 - backoff, jitter and request ids: chance, not secrets
        self._timers = Timers(loop.call_later, MONOTONIC)
        self._prometheus = Prometheus()
        self._journal = Journal(WALL)
        self._rates = Rates(self._prometheus)
        self._access_log = self._open_access_log()
        self._kept = Kept(loaded)
        self._renewals = Renewals()
        self._tracing = Tracing(loaded.tracing, self._rng, self._prometheus)
        self._built = self._build()
        subjects = Watch(self._built.routes, self._prometheus)
        self._ejections = Ejections(self._upstreams, journal=self._journal, clock=MONOTONIC)
        self._notifier = Notifier(loaded.notify, subjects=subjects, journal=self._journal, rng=self._rng)
        self._actions = self._make_actions()
        self._checks = Checks(self._built.checks)
        self._gateway = Gateway(
            router=self._built.router,
            timers=self._timers,
            ids=Ids(self._rng),
            store=self._kept.store,
            observer=self._prometheus,
            log=self._access_log,
            clock=MONOTONIC,
            wall=WALL,
            tracer=self._tracing.tracer,
        )
        self._server = Server(responder=self._gateway, clock=MONOTONIC)
        limit(self._server, loaded)
        self._doors = Doors(self._server, systemd.inherited())
        self._reload = self._make_reload()
        self._watch()
        self._events = Events(
            self._prometheus,
            access_log=self._access_log,
            handshakes=self._handshake_failures,
            journal=self._journal,
            escalate_after=loaded.log.escalate_after,
            broken=subjects.broken,
        )
        self._admin: front.Running | None = None
        self._ticks: list[asyncio.TimerHandle] = []
        self._draining = False
        self._hurry = False

    # What others ask.

    @property
    def addresses(self) -> list[str]:
        """Where callers are taken, as bound."""
        return [listener.address for listener in self._doors.listeners]

    @property
    def admin_address(self) -> str:
        """Where the admin port is, as bound; empty until it is."""
        asked = self._config.admin.listen
        return f"{_bracketed(asked.host)}:{self._admin.port}" if self._admin is not None else ""

    @property
    def drains(self) -> config.Drain:
        """How its end is to be, as the configuration says now."""
        return self._config.drain

    def why_not_ready(self) -> str:
        """Empty when ready. The health of upstreams has no say: a sidecar is ready to answer for them."""
        if self._draining:
            return DRAINING
        return "" if self._doors.listeners else "starting"

    # Its life.

    async def start(self) -> None:
        """Binds and serves.

        Raises:
            CannotStart: an address can't be bound.
        """
        await self._kept.open()
        self._doors.follow(await self._doors.plan(self._config.listen))
        self._watch()
        for name in self._doors.unasked():
            _log.warning("a socket was handed in for %s, and the configuration does not listen there", name)
        self._checks.start()
        self._every(FLUSH_EVERY, self._access_log.flush)
        self._every(SWEEP_EVERY, self._sweep)
        self._every(SUMMARY_EVERY, self._events.tick)
        self._every(LOOK_EVERY, self._renewals.look)
        self._every(SUMMARY_EVERY, self._tracing.tick)
        self._every(TICK_EVERY, self._ejections.look)
        self._every(TICK_EVERY, self._notifier.tick)
        self._every(RATES_EVERY, self._rates.tick)
        self._every(watch.LOOK_EVERY, self._reload.look)
        self._reload.begin()
        await self._start_admin()
        self._tracing.start()
        _settle_memory()
        systemd.tell(systemd.READY)

    async def drain(self, timeout: float, quiet: float) -> None:  # noqa: ASYNC109 - a bound to a whole loop
        """Stops being ready, and serves what still comes until nothing has come for `quiet` seconds, or `timeout`."""
        self._draining = True
        self._reload.end()
        systemd.tell(systemd.STOPPING)
        self._journal.add("drain", "", f"draining: serving for up to {timeout:g} s more", timeout=timeout)
        _log.info("draining: serving for up to %g s more", timeout)
        ends = MONOTONIC() + timeout
        quiet_since = asked = MONOTONIC()
        seen = self._gateway.accepted
        await self._doors.hand_over()
        while MONOTONIC() < ends and not self._hurry:
            now = MONOTONIC()
            if now - asked >= _ASK_EVERY:
                asked = now
                await self._doors.hand_over()
            if self._gateway.active or self._gateway.accepted != seen:
                seen = self._gateway.accepted
                quiet_since = now
            elif now - quiet_since >= quiet:
                break
            await asyncio.sleep(min(0.05, quiet / 4))

    def reload(self) -> None:
        """Reads the configuration anew, soon."""
        self._reload.soon()

    def hurry(self) -> None:
        """Ends a drain at once, also one that has not begun."""
        self._hurry = True

    async def stop(self) -> None:
        """Closes everything. Requests still under way are refused, or cut off if their answer has begun."""
        self._checks.stop()
        for tick in self._ticks:
            tick.cancel()
        self._doors.close()
        for route in self._built.routes:
            if route.bulkhead is not None:  # or each that is dropped would let the next in, to be cut off in its turn
                route.bulkhead.close()
            if route.flights is not None:
                route.flights.close()
        for connection in list(self._server.connections):
            connection.drop()
        for pools in self._built.pools.values():
            for pool in pools:
                pool.close()
        if self._admin is not None:
            await self._admin.close()
        self._timers.close()
        self._events.tick()
        await self._notifier.close()
        self._access_log.close()
        await self._kept.close()
        await self._tracing.close()

    # Inside.

    def _open_access_log(self) -> AccessLog:
        asked = self._config.access_log
        try:
            return AccessLog(
                path=asked.path,
                format=asked.format,
                sample=asked.sample,
                redact_query=asked.redact_query,
                redact=asked.redact,
                headers=asked.headers,
                wall=WALL,
                rng=self._rng,
            )
        except OSError as error:
            raise CannotStart(f"access_log.path {asked.path}: {error.strerror}") from None

    def _build(self) -> Built:
        try:
            return self._builder(Before()).build(self._config)
        except (OSError, ValueError) as error:
            raise CannotStart(str(error)) from None

    def _builder(self, before: Before) -> Builder:
        return Builder(observer=self._prometheus, clock=MONOTONIC, rng=self._rng, before=before)

    def _make_actions(self) -> Actions:
        return Actions(
            routes=self._built.routes,
            guard=Guard(self._config.admin.listen.host, self._config.admin.token),
            drain=self._withdraw,
            clock=MONOTONIC,
            rng=self._rng,
            reload=self._asked_to_reload,
            note=self._journal.add,
        )

    def _make_reload(self) -> Reload:
        succession = Succession(
            built=self._built,
            builder=self._builder,
            gateway=self._gateway,
            server=self._server,
            doors=self._doors,
            checks=self._checks,
            actions=self._actions,
            access_log=self._access_log,
            kept=self._kept,
            then=self._follow,
        )
        return Reload(self._config, take=succession, prometheus=self._prometheus, journal=self._journal, wall=WALL)

    async def _asked_to_reload(self) -> Told:
        return await self._reload.asked()

    def _follow(self, loaded: config.Config) -> None:
        """Everything serves `loaded`: what shows and watches it comes after."""
        self._config = loaded
        self._notifier.change(loaded.notify)
        self._watch()

    def _watch(self) -> None:
        """Shows and watches what there is now, in place of what was there before."""
        built = self._built
        gauges.show(
            self._prometheus,
            routes=built.routes,
            upstreams=built.upstreams.values(),
            pools=built.pools,
            access_log=self._access_log,
            kept=self._kept.store,
            disk=self._kept.disk,
            tls_reloads=self._renewals.counts,
            handshake_failures=self._handshake_failures,
            admin_actions=self._actions.counts,
            notifications=self._notifications,
        )
        self._renewals.clear()
        for listener, renewal in self._doors.renewals:
            self._renewals.watch(f"listener {listener.address}", renewal)
        for renewal, names in built.renewals.items():
            pools = [pool for name in names for pool in built.pools[name]]
            self._renewals.watch(f"upstream {', '.join(names)}", renewal, partial(_renew, pools))

    def _handshake_failures(self) -> dict[str, tuple[int, str]]:
        """How many there were, and why the last one was, by the listener's address."""
        found = {listener.address: listener.tls for listener in self._doors.listeners}
        return {name: (tls.failures, tls.last_failure) for name, tls in found.items() if tls is not None}

    def _upstreams(self) -> Iterable[Upstream]:
        return self._built.upstreams.values()

    def _notifications(self) -> Iterator[tuple[Sequence[str], float]]:
        return self._notifier.counts()

    async def _start_admin(self) -> None:
        await asyncio.to_thread(self._prometheus.load)
        status = Status(
            routes=self._built.routes,
            upstreams=self._built.upstreams.values(),
            pools=self._built.pools,
            totals=self._prometheus.totals,
            ready=self.why_not_ready,
            draining=lambda: self._draining,
            kept=self._kept.store,
            disk=self._kept.disk,
            clock=MONOTONIC,
            rates=self._rates,
            journal=self._journal,
            config=self._reload.status,
        )
        views = Views(
            ready=self.why_not_ready,
            metrics=self._prometheus.render,
            metrics_type=self._prometheus.content_type,
            metrics_pieces=self._prometheus.pieces,
            status=status,
            status_steps=status.steps,
            config=self._effective,
            history=self._rates.past,
            journal=self._journal,
        )
        asked = self._config.admin.listen
        with binding("admin.listen", asked.address):
            self._admin = await front.start(views, asked.host, asked.port, self._actions)

    def _withdraw(self) -> None:
        """Readiness alone: whoever leads callers here stops, and a signal ends it when they are gone."""
        if not self._draining:
            self._journal.add("drain", "", "not ready any more, as asked on the admin port; calls are served as before")
        self._draining = True

    def _effective(self) -> dict[str, Any]:
        return self._config.model_dump(mode="json", by_alias=True)

    def _sweep(self) -> None:
        now = MONOTONIC()
        self._actions.tick()
        self._server.sweep(now)
        for pools in self._built.pools.values():
            for pool in pools:
                pool.sweep(now)

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        place = len(self._ticks)

        def tick() -> None:
            self._ticks[place] = loop.call_later(seconds, tick)
            call()

        self._ticks.append(loop.call_later(seconds, tick))


def _settle_memory() -> None:
    # What lives now lives for ever: out of the collector's sight, it is never walked again.
    gc.collect()
    gc.freeze()
    # Requests leave no cycles behind (a test counts): looking for some every 700 objects was 2 % of the CPU.
    gc.set_threshold(20_000, 20, 20)
    # TLS reads into blocks of 256 KiB. glibc maps and unmaps each of them, which doubles the system's time per request,
    # until it has seen a larger one being freed; from then on it keeps that much.
    bytes(1 << 20)


def _renew(pools: Iterable[Pool]) -> None:
    for pool in pools:
        pool.renew()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
