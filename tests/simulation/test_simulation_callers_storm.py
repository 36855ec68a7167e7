"""The retry storm: two thousand callers, an upstream that fails for half a minute, and what their retries make of it.

The upstream works on eight requests at a time, about 145 a second; its callers ask a hundred. While it fails, a request
is three attempts, and each caller asks once more on its own: six times the load. What is worked off then was asked by
callers that have left, so nobody is answered in time, although nothing is wrong any more. Budgets bound our part of it,
not the callers'; breakers end it.

failing: every answer is 503, at the price of a good one. hanging: requests are taken and not worked on. refusing:
nobody listens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

import pytest
from fixtures.simulated import Simulated

from sidecar.simulation.callers import Habits, arrive, crowd
from sidecar.simulation.exchange import Request
from sidecar.simulation.server import WELL, Condition, Server
from sidecar.simulation.tally import Entry
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

FAILS, RETURNS, ENDS = 10.0, 40.0, 80.0
TOTAL = 4.0
OUTAGES: Final = {
    "failing": Condition(fails=1.0),
    "hanging": Condition(hangs=True),
    "refusing": Condition(refuses=True),
}
BY_CHANCE, ONE_BY_ONE = "by chance", "one by one"
both_ways = pytest.mark.parametrize(("callers", "seed"), [(BY_CHANCE, 1), (ONE_BY_ONE, 2)])
"""Callers that come whatever happens, or that each wait for the answer before they ask again."""
each_outage = pytest.mark.parametrize("outage", OUTAGES)
Property = Callable[[str, object], None]


@dataclass(frozen=True)
class Figures:
    """What one storm came to."""

    amplification: float
    """Attempts per request asked from the first second of the outage to its last."""
    once_open: float
    """The same from the breaker's first opening on."""
    recovery: float
    """Seconds from the upstream's return until 99 % of each second's requests succeed, and go on to."""
    last_opening: float
    """Seconds planned for the opening that was under way when it returned."""

    def __str__(self) -> str:
        end = "no recovery" if self.recovery == inf else f"99 % success {self.recovery:g} s after the return"
        opening = f" (into an opening of {self.last_opening:.1f} s)" if self.last_opening else ""
        return f"{self.amplification:.4f} attempts per request; {end}{opening}"


def storm(text: str, outage: str, *, callers: str = BY_CHANCE, seed: int = 1) -> Figures:
    """Plays it to its end, and checks that all of it is accounted for."""
    simulated = Simulated(text, seed=seed, serve=served)
    world, gateway, tally = simulated.world, simulated.gateway, simulated.tally
    habits = Habits(timeout=10.0, retries=1, pause=0.5)
    if callers == ONE_BY_ONE:
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
    assert not any(route.breaker._probing for route in simulated.built.routes if route.breaker is not None)
    opened = [change for change in simulated.watch.changes if change.new == "open" and FAILS <= change.at < RETURNS]
    first = opened[0].at if opened else inf

    def per_request(since: float) -> float:
        made = sum(since <= at < RETURNS for at in gateway.attempts)
        return made / max(1, tally.figures(since, RETURNS).requests)

    return Figures(
        amplification=per_request(FAILS),
        once_open=per_request(first + 1e-9),
        recovery=tally.well_from(RETURNS) - RETURNS,
        last_opening=opened[-1].open_for if opened else 0.0,
    )


def served(world: World, name: str) -> Server:
    """Eight workers, a median of 50 ms an answer, and a backlog that takes ten seconds to work off."""
    return Server(world, name=name, median=0.05, workers=8, backlog=1500)


@pytest.mark.parametrize("outage", ["failing", "hanging"])
def test_without_budgets_and_breakers_it_goes_on_after_its_cause_is_gone(
    outage: str, record_property: Property
) -> None:
    """The control: three attempts for each request, and forty seconds after the return nobody is served."""
    figures = storm(CONTROL, outage)
    record_property("figure", str(figures))
    assert figures.amplification > 2.9
    assert figures.recovery == inf


@each_outage
def test_budgets_bound_what_retries_add(outage: str, record_property: Property) -> None:
    """At most 1.25 attempts per request over the whole outage, where three would be allowed for each.

    What callers ask again on their own is requests, not attempts of ours: budgets alone do not end this storm.
    """
    figures = storm(BUDGETS, outage)
    record_property("figure", str(figures))
    assert 1.0 < figures.amplification <= 1.25


@each_outage
@both_ways
def test_breakers_all_but_end_it_and_let_the_upstream_return(
    outage: str,
    callers: str,
    seed: int,
    record_property: Property,
) -> None:
    """All defaults: at most 0.02 attempts per request; 99 % succeed within twice the opening at the return.

    Over the whole outage where failures come at once. Where requests hang, nothing is known before the first has timed
    out: there, from the first opening on.
    """
    figures = storm(BREAKERS, outage, callers=callers, seed=seed)
    record_property("figure", str(figures))
    assert (figures.once_open if outage == "hanging" else figures.amplification) <= 0.02
    assert figures.recovery <= 2.0 * figures.last_opening


@each_outage
@both_ways
def test_where_the_open_time_does_not_grow_recovery_takes_two_of_it_at_most(
    outage: str,
    callers: str,
    seed: int,
    record_property: Property,
) -> None:
    """`open_for_max` as short as `open_for`: 99 % succeed within ten seconds, still at 0.02 attempts per request."""
    figures = storm(STEADY, outage, callers=callers, seed=seed)
    record_property("figure", str(figures))
    assert (figures.once_open if outage == "hanging" else figures.amplification) <= 0.02
    assert figures.recovery <= 2.0 * 5.0


def test_the_same_seed_is_the_same_history_and_another_is_another() -> None:
    """To the last decision: when each request came, what it was told, when, and how often it was tried."""

    def history(seed: int) -> list[Entry]:
        simulated = Simulated(BREAKERS, seed=seed, serve=served)
        arrive(simulated.gateway, simulated.tally, lambda _: Request(), rate=50.0, until=10.0)
        (server,) = simulated.servers.values()
        simulated.world.at(3.0, lambda: server.become(Condition(fails=0.5, slower=3.0)))
        simulated.world.run()
        return simulated.tally.entries

    once = history(7)
    assert len({entry.label for entry in once}) > 1
    assert history(7) == once
    assert history(8) != once
