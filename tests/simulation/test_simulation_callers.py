"""Callers: how many come, what they do when they wait too long, and whether they ask again."""

from fixtures.simulated import Simulated

from sidecar.simulation.callers import Habits, arrive, crowd
from sidecar.simulation.exchange import Request
from sidecar.simulation.server import Condition

TEXT = """\
upstreams: {u: {endpoints: ["http://u.test"]}}
routes: [{name: r, match: {prefix: /}, upstream: u, timeout: {total: 5s}, breaker: {enabled: false}}]
"""


def asks(number: int) -> Request:
    """Each its own question."""
    return Request(path=b"/%d" % number)


def test_by_chance_so_many_come_per_second_whatever_becomes_of_them() -> None:
    """A thousand, give or take three standard deviations; as many while nobody is answered."""
    for condition in (Condition(), Condition(hangs=True)):
        simulated = Simulated(TEXT)
        for server in simulated.servers.values():
            server.become(condition)
        arrive(simulated.gateway, simulated.tally, asks, rate=50.0, until=20.0)
        simulated.world.run()
        assert 905 < len(simulated.tally.entries) < 1095
        simulated.at_rest()


def test_in_a_crowd_nobody_asks_before_it_has_its_answer() -> None:
    """Never more under way than there are callers, and fewer requests where answers take longer."""
    counts = []
    for condition in (Condition(), Condition(hangs=True)):
        simulated = Simulated(TEXT)
        for server in simulated.servers.values():
            server.become(condition)
        crowd(simulated.gateway, simulated.tally, asks, count=20, think=1.0, until=20.0)
        while simulated.world.pending:
            simulated.world.run(simulated.world.now + 0.5)
            assert len(simulated.gateway.under_way) <= 20
        counts.append(len(simulated.tally.entries))
        simulated.at_rest()
    assert 300 < counts[0] < 500
    assert counts[1] < counts[0] / 3


def test_who_has_waited_long_enough_leaves() -> None:
    """And is counted as gone, after exactly that time."""
    simulated = Simulated(TEXT)
    for server in simulated.servers.values():
        server.become(Condition(hangs=True))
    arrive(simulated.gateway, simulated.tally, asks, rate=5.0, until=5.0, habits=Habits(timeout=2.0))
    simulated.world.run()
    assert {entry.label for entry in simulated.tally.entries} == {"client_gone"}
    assert all(abs(entry.ended - entry.asked - 2.0) < 1e-9 for entry in simulated.tally.entries)
    simulated.at_rest()


def test_who_asks_again_does_so_after_anything_but_a_success() -> None:
    """Three times in all where nothing helps; once where the first answer was good."""
    for condition, times in ((Condition(fails=1.0), 3), (Condition(), 1)):
        simulated = Simulated(TEXT)
        for server in simulated.servers.values():
            server.become(condition)
        numbers: list[int] = []
        arrive(
            simulated.gateway,
            simulated.tally,
            lambda number, numbers=numbers: numbers.append(number) or asks(number),  # type: ignore[misc, func-returns-value]
            rate=5.0,
            until=5.0,
            habits=Habits(retries=2),
        )
        simulated.world.run()
        assert len(simulated.tally.entries) == times * len(numbers)
