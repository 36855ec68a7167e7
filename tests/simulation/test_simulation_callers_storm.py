"""The retry storm: two thousand callers, an upstream that fails for half a minute, and what their retries make of it.

The upstream works on eight requests at a time, 160 a second; its callers ask a hundred. While it fails, a request is
three attempts, and half of the callers ask once more on their own: six times the load. What is worked off then was
asked by callers that have left, so that nobody is answered in time, although nothing is wrong any more. With
budgets that cannot happen from our retries; with breakers it cannot happen.

`failing`: every answer is 503, at the price of a good one. `hanging`: requests are taken and not worked on. `refusing`:
nobody listens.
"""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

import pytest
from fixtures.simulated import Simulated

from sidecar.simulation.callers import Habits, arrive, crowd
from sidecar.simulation.exchange import Request
from sidecar.simulation.server import WELL, Condition, Server
from sidecar.simulation.world import World

ROUTE: Final = """\
upstreams: {u: {endpoints: ["http://u.test"]}}
routes:
  - name: r
    match: {prefix: /}
    upstream: u
    timeout: {attempt: 1s, total: 4s}
    retry: {attempts: 3, budget: {%s}}
    breaker: {%s}
"""
UNBOUNDED: Final = "ratio: 100%, per_second: 1000"
"""As many retries as there can be: without budgets."""
BUDGET: Final = "ratio: 20%, per_second: 1"
"""The default."""
CONTROL: Final = ROUTE % (UNBOUNDED, "enabled: false")
BUDGETS: Final = ROUTE % (BUDGET, "enabled: false")
BREAKERS: Final = ROUTE % (BUDGET, "open_for: 5s")
"""All defaults: from opening to opening the time doubles."""
STEADY: Final = ROUTE % (BUDGET, "open_for: 5s, open_for_max: 5s")
"""Where it does not."""

FAILS, RETURNS, ENDS = 10.0, 40.0, 100.0
TOTAL = 4.0
OUTAGES: Final = {
    "failing": Condition(fails=1.0),
    "hanging": Condition(hangs=True),
    "refusing": Condition(refuses=True),
}
CALLERS: Final = {"by chance": Habits(timeout=10.0, retries=1, pause=0.5), "patient": Habits(timeout=10.0)}


@dataclass(frozen=True)
class Figures:
    """Attempts per request while the upstream failed; the same from the first opening on; seconds to recovery."""

    amplification: float
    once_open: float
    recovery: float
    last_opening: float
    """Planned seconds of the opening that was under way when it returned."""

    def __str__(self) -> str:
        return f"attempts per request {self.amplification:.3f}, 99% success after {self.recovery:g} s"


def storm(text: str, outage: str, tmp_path: Path, *, seed: int = 1, closed_loop: bool = False) -> Figures:
    """Plays it to its end, and checks that all of it is accounted for."""
    simulated = Simulated(text, tmp_path, seed=seed, serve=served)
    world, gateway, tally = simulated.world, simulated.gateway, simulated.tally
    habits = Habits(timeout=10.0, retries=1, pause=0.5)
    if closed_loop:
        crowd(gateway, tally, lambda _: Request(), count=2000, think=20.0, until=ENDS, habits=habits)
    else:
        arrive(gateway, tally, lambda _: Request(), rate=100.0, until=ENDS, habits=habits)
    (server,) = simulated.servers.values()
    world.at(FAILS, lambda: server.become(OUTAGES[outage]))
    world.at(RETURNS, lambda: server.become(WELL))
    world.run()
    for entry in tally.entries:
        assert entry.answers == 1
        assert entry.ended - entry.asked <= TOTAL + 1e-9
    simulated.at_rest()
    opened = [change for change in simulated.watch.changes if change.new == "open" and change.at < RETURNS]
    first = opened[0].at if opened else inf
    made = [at for at in gateway.attempts if first < at < RETURNS]
    return Figures(
        amplification=sum(FAILS <= at < RETURNS for at in gateway.attempts) / tally.figures(FAILS, RETURNS).requests,
        once_open=len(made) / max(1, tally.figures(first, RETURNS).requests),
        recovery=tally.well_from(RETURNS) - RETURNS,
        last_opening=opened[-1].open_for if opened else 0.0,
    )


def served(world: World, name: str) -> Server:
    """Eight workers, 50 ms an answer: 145 a second. A backlog that takes ten seconds to work off."""
    return Server(world, name=name, median=0.05, workers=8, backlog=1500)


SEEDS = [1, 2, 3]
