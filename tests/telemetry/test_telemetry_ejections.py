"""Laws of what is told about endpoints: each move once, in the log and in the journal, however short it was."""

import logging
from random import Random

import pytest

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.health import Health
from sidecar.policy.outcome import Verdict
from sidecar.telemetry.ejections import Ejections
from sidecar.telemetry.journal import Journal


class World:
    """An upstream of two endpoints, one of them ejected after a single failure, for 30 s."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.journal = Journal(lambda: 0.0)
        health = Health(unhealthy_after=1, healthy_after=1)
        self.ill = Endpoint(name="http://a", health=health)
        self.upstream = self.made([self.ill, Endpoint(name="http://b")])
        self.upstreams = [self.upstream]
        self.ejections = Ejections(lambda: self.upstreams, journal=self.journal, clock=lambda: self.now)

    def made(self, endpoints: list[Endpoint]) -> Upstream:
        """On this world's clock."""
        ejection = Ejection(consecutive_failures=1, base=30.0, cap=300.0, max_share=0.5, clock=lambda: self.now)
        budget = RetryBudget(ratio=0.2, per_second=1.0, clock=lambda: self.now)
        return Upstream(
            name="u", endpoints=endpoints, ejection=ejection, budget=budget, clock=lambda: self.now, rng=Random(1)
        )

    def look(self, later: float = 1.0) -> list[str]:
        """What the journal hears after so many seconds."""
        before = max((entry.number for entry in self.journal.since()), default=0)
        self.now += later
        self.ejections.look()
        entries = list(self.journal.since(before))
        assert all((entry.kind, entry.subject) == ("endpoint", "u") for entry in entries)
        return [entry.fields["state"] for entry in entries]


@pytest.fixture
def world() -> World:
    """Well, and looked at."""
    world = World()
    assert world.look() == []
    return world


def test_an_ejection_and_its_end_are_told_once_each(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A warning with the time it has left, then one line when it is back."""
    caplog.set_level(logging.INFO, logger="sidecar")
    world.upstream.judge(world.ill, Verdict.FAILURE)
    assert world.look() == ["ejected"]
    assert world.look() == []
    assert world.look(30.0) == ["back"]
    assert world.look(30.0) == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "upstream u: http://a is ejected, for another 29 s"),
        ("INFO", "upstream u: http://a is back"),
    ]


def test_one_that_was_over_before_anybody_looked_is_told_too(world: World) -> None:
    """Both at once; and a second ejection right after the first is a second one."""
    world.upstream.judge(world.ill, Verdict.FAILURE)
    assert world.look(31.0) == ["ejected", "back"]
    world.upstream.judge(world.ill, Verdict.FAILURE)
    world.look(0.0)
    world.now += 60.0
    world.upstream.judge(world.ill, Verdict.FAILURE)
    assert world.look(0.0) == ["ejected"]


def test_a_check_that_ends_an_ejection_brings_it_back(world: World) -> None:
    """Health checks found it well: it is back before its time."""
    world.upstream.judge(world.ill, Verdict.FAILURE)
    assert world.look() == ["ejected"]
    world.upstream.checked(world.ill, "attempt_timeout")
    assert world.look() == ["unhealthy"]
    world.upstream.checked(world.ill, "")
    assert world.look() == ["back", "healthy"]
    assert world.look() == []


def test_nothing_is_kept_of_upstreams_that_are_gone(world: World) -> None:
    """A reload makes them anew, and says nothing of the old."""
    world.upstream.judge(world.ill, Verdict.FAILURE)
    assert world.look() == ["ejected"]
    world.upstreams = [world.made([Endpoint(name="http://a"), Endpoint(name="http://b")])]
    assert world.look(100.0) == []
    world.upstreams = [world.upstream]
    assert world.look(0.0) == ["ejected", "back"]
