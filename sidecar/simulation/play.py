"""Plays a scenario against one route, and says what became of its callers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, exp
from typing import Final

from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.last_known_good import Store
from sidecar.policy.route import Route
from sidecar.policy.router import Match, Router
from sidecar.simulation.callers import Asks, Habits, arrive
from sidecar.simulation.exchange import Request
from sidecar.simulation.gateway import Gateway
from sidecar.simulation.scenarios import Scenario
from sidecar.simulation.server import SPREAD, Server
from sidecar.simulation.tally import Change, Entry, Figures, Tally, Watch
from sidecar.simulation.world import World

ASKERS: Final = 20
"""Callers that are told apart by the headers a route declares as identity, each with a question of its own."""
HEADROOM: Final = 2.0
"""What an upstream can do, as a multiple of what it is asked for while all is well."""
BACKLOG: Final = 10.0
"""Seconds that a full backlog takes to work off; Linux keeps 4096 connections waiting, servers fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a route's callers ask, and what its upstream does.

    `rate`: requests per second. `latency`: median seconds of an answer. `patience`: seconds after which callers leave.
    `method`: what they ask with.
    """

    rate: float = 50.0
    latency: float = 0.05
    patience: float = float("inf")
    method: bytes = b"GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One phase as it went. `reasons`: of those that no upstream answered well, most frequent first."""

    name: str
    since: float
    until: float
    figures: Figures
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A scenario as it went. `recovered`: seconds from the last phase's begin until 99 % succeed; or infinite."""

    route: str
    spans: list[Span]
    changes: list[Change]
    recovered: float


def play(
    world: World,
    watch: Watch,
    store: Store,
    route: Route,
    upstreams: Iterable[Upstream],
    scenario: Scenario,
    load: Load,
) -> Story:
    """Plays it to its end.

    `route` and `upstreams` are made with the world's clock, `watch` is their observer. What is wrong is wrong with all
    endpoints of the route's own upstream; those it falls back on are well.
    """
    servers = _servers(world, upstreams, load)
    gateway = Gateway(world, Router([(Match(prefix=b"/"), route)]), store, servers)
    ends = sum(phase.seconds for phase in scenario.phases)
    tally = Tally()
    arrive(gateway, tally, _asks(route, load.method), rate=load.rate, until=ends, habits=Habits(timeout=load.patience))
    own = [servers[endpoint] for endpoint in route.upstream.endpoints]
    spans: list[tuple[str, float, float]] = []
    begins = 0.0
    for phase in scenario.phases:
        for server in own:
            world.at(begins, lambda server=server, phase=phase: server.become(phase.condition))  # type: ignore[misc]
        spans.append((phase.name, begins, begins + phase.seconds))
        begins += phase.seconds
    world.run()
    last = spans[-1][1]
    return Story(
        route=route.name,
        spans=[
            Span(
                name=name,
                since=since,
                until=until,
                figures=tally.figures(since, until),
                reasons=_reasons(tally.asked(since, until)),
            )
            for name, since, until in spans
        ],
        changes=list(watch.changes),  # nobody asks other routes: one that shares its breaker may be named
        recovered=tally.well_from(last) - last,
    )


def _servers(world: World, upstreams: Iterable[Upstream], load: Load) -> Mapping[Endpoint, Server]:
    """Each endpoint can do its share of what the whole upstream is asked for, and `HEADROOM` times that."""
    mean = load.latency * exp(SPREAD**2 / 2.0)
    servers: dict[Endpoint, Server] = {}
    for upstream in upstreams:
        each = load.rate / len(upstream.endpoints)
        for endpoint in upstream.endpoints:
            servers[endpoint] = Server(
                world,
                name=f"{upstream.name} {endpoint.name}",
                median=load.latency,
                workers=ceil(each * mean * HEADROOM),
                backlog=ceil(each * BACKLOG),
            )
    return servers


def _asks(route: Route, method: bytes) -> Asks:
    """What callers send: each of them the same question again and again."""
    identity = sorted({name for rung in route.keeps for name in rung.identity})

    def ask(number: int) -> Request:
        asker = b"%d" % (number % ASKERS)
        return Request(
            method=method, path=b"/%b" % asker, headers=tuple((name, name.title(), asker) for name in identity)
        )

    return ask


def _reasons(entries: Iterable[Entry]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.reason:
            counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
