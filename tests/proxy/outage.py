"""Ten minutes of outage in virtual time: a real gateway, real policies, callers, an upstream that hangs for a while."""

from collections.abc import Iterator
from typing import Any, cast

from fixtures.policies import Pool as Figures
from proxy_fakes import HELLO, Caller, HandClock, Line, Lines, Middle, World

from sidecar import config
from sidecar.app.build import Builder
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.proxy.target import Target
from sidecar.stores.memory import MemoryStore
from sidecar.telemetry import gauges
from sidecar.telemetry.prometheus import Prometheus
from sidecar.wire.known import KnownRequests
from sidecar.wire.pool import Pool
from sidecar.wire.timers import Timers

YAML = """
upstreams:
  connect: {endpoints: ["http://connect.test"]}
routes:
  - {name: toggles, match: {path: /toggles}, upstream: connect, critical: true, timeout: {total: 4s}}
  - name: search
    match: {path: /search}
    upstream: connect
    timeout: {total: 4s}
    fallback: [last_known_good: {max_age: 1h}]
"""
SCRAPE = 15
BEFORE, OUTAGE, BLIP, AFTER = 300, 600, 60, 900
"""Seconds."""
BETWEEN = 0.5
"""Seconds between two requests on each route."""


class Answering(Line):
    """A connection to an upstream that answers after 20 ms, or hangs while it is ill."""

    def send(self, sink: Any, method: bytes, data: bytes, *, whole: bool) -> None:
        super().send(sink, method, data, whole=whole)
        pool = cast("Always", self.pool)
        if not pool.ill:
            pool.world._call_later(0.02, lambda: self.answer(HELLO) if self.sink is sink else None)


class Always(Lines):
    """A pool that never runs out of connections."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.ill = False

    def lease(self, lessee: Any) -> Line | None:
        return self.idle.pop() if self.idle else Answering(self, exchanges=1)

    def lease_new(self, lessee: Any) -> None:
        lessee.connected(Answering(self))


class Outage(World):
    """The gateway of a configuration, its callers, its upstream, and whoever scrapes it."""

    def __init__(self) -> None:
        self.clock, self.wall = HandClock(), HandClock(1_700_000_000.0)
        self._later: list[Any] = []
        self.log: list[tuple[Any, ...]] = []
        self.known = KnownRequests()
        self.timers = Timers(self._call_later, self.clock)
        self.prometheus = Prometheus(wall=self.wall)
        self.connections = Always(self)
        loaded = config.parse(YAML.encode())
        built = self.built = Builder(observer=self.prometheus, clock=self.clock, rng=Middle()).build(loaded)
        for upstream in built.upstreams.values():
            for endpoint in upstream.endpoints:
                cast("Target", endpoint).pool = cast("Pool", self.connections)
        gauges.show(
            self.prometheus,
            routes=built.routes,
            upstreams=built.upstreams.values(),
            pools={"connect": [Figures(1, 2)]},
            access_log=NoLoss(),
        )
        self.gateway = Gateway(
            router=built.router,
            timers=self.timers,
            ids=Ids(Middle(1)),
            store=MemoryStore(1_000_000),
            observer=self.prometheus,
            log=self,
            clock=self.clock,
            wall=self.wall,
        )
        self.callers: dict[str, list[Caller]] = {"toggles": [], "search": []}

    def play(self, ill: int) -> Iterator[str]:
        """The upstream is well, ill for so many seconds, and well again; a scrape every 15 s."""
        for moment in range(0, BEFORE + ill + AFTER + 1, SCRAPE):
            yield self.prometheus.render(openmetrics=False).decode()
            self.connections.ill = BEFORE <= moment < BEFORE + ill
            for _ in range(int(SCRAPE / BETWEEN)):
                for name, callers in self.callers.items():
                    callers.append(self.ask(f"GET /{name} HTTP/1.1\r\nHost: app\r\n\r\n".encode())[1])
                self.advance(BETWEEN)
                self.watch()

    def watch(self) -> None:
        """Half a second has passed."""


class NoLoss:
    """An access log that lost nothing."""

    dropped = 0
