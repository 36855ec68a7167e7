"""A whole outage of ten minutes in virtual time: real breakers, real counters, everything that tells people.

What the on-call person gets: at most three messages and five error lines, for twelve routes and 60,000 requests.
"""

import logging
from dataclasses import dataclass, field
from random import Random
from typing import Final

import pytest

from sidecar.policy.breaker import Breaker
from sidecar.policy.outcome import Verdict
from sidecar.telemetry.digest import Digest
from sidecar.telemetry.events import INTERVAL, Events
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.message import Message, payload
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.watched import FAIL_CLOSED

ROUTES: Final = 12
EPOCH: Final = 1_790_000_000.0


@dataclass
class Seen:
    """A route of this play, as the digest sees it."""

    breaker: Breaker
    prometheus: Prometheus
    name: str
    upstream: str = "connect"

    def broken(self) -> bool | None:
        """As the real one."""
        if self.breaker.state == "closed":
            return False
        return True if self.breaker.retry_after() > 0.0 else None

    def failed_closed(self) -> int:
        """As counted."""
        return self.answers().get(FAIL_CLOSED, 0)

    def answers(self) -> dict[str, int]:
        """As counted."""
        return self.prometheus.route(self.name).requests.by(2)


@dataclass
class Play:
    """Twelve routes of one upstream, each asked about eight times a second, and all who watch."""

    now: float = 0.0
    down: bool = False
    rng: Random = field(default_factory=lambda: Random(7))
    messages: list[tuple[float, Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prometheus = Prometheus(wall=self.wall)
        self.journal = Journal(self.wall)
        self.routes = {name: self.route(name) for name in (f"route-{number}" for number in range(ROUTES))}
        self.events = Events(self.prometheus, clock=self.clock, journal=self.journal, escalate_after=600.0)
        self.digest = Digest(
            on=("breaker_open", "fail_closed", "config_rejected"),
            window=30.0,
            after=600.0,
            subjects=lambda: self.routes,
            clock=self.clock,
            wall=self.wall,
        )
        self.journal.listen(self.digest.heard)
        self.digest.tick()

    def clock(self) -> float:
        """Virtual."""
        return self.now

    def wall(self) -> float:
        """The same as Unix time."""
        return EPOCH + self.now

    def route(self, name: str) -> Seen:
        """With the default breaker."""
        breaker = Breaker(
            consecutive_failures=5,
            failure_ratio=0.5,
            window=30.0,
            minimum_requests=20,
            slow_longer_than=None,
            slow_ratio=1.0,
            open_for=5.0,
            jitter=0.2,
            open_for_max=60.0,
            probes=1,
            successes_to_close=2,
            lease=10.0,
            dry_run=False,
            clock=self.clock,
            rng=self.rng,
            on_change=self.prometheus.route(name).breaker_changed,
        )
        return Seen(breaker, self.prometheus, name)

    def run(self, seconds: int) -> None:
        """Callers call, and everything ticks."""
        for _ in range(seconds * 8):
            self.now += 0.125
            for name, seen in self.routes.items():
                self.request(name, seen)
            if self.now % 1.0 == 0.0 and (message := self.digest.tick()) is not None:
                self.messages.append((self.now, message))
            if self.now % INTERVAL == 0.0:
                self.events.tick()

    def request(self, name: str, seen: Seen) -> None:
        """One caller of a critical route."""
        metrics = self.prometheus.route(name)
        permit = seen.breaker.admit()
        if permit is None:
            metrics.refused("breaker_open")
        elif self.down:
            metrics.attempt_finished("connect", "attempt_timeout", -1.0, -1.0, 4.0)
            permit.settle(Verdict.FAILURE, 4.0)
        else:
            permit.settle(Verdict.SUCCESS, 0.01)
            metrics.request_finished(b"GET", 200, "ok", 0.01)
            return
        metrics.request_finished(b"GET", 503, FAIL_CLOSED, 0.01)


def test_an_outage_of_ten_minutes_is_three_messages_and_one_error_per_breaker_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Told after half a minute; over; told to be over, with its duration and what callers were given."""
    caplog.set_level(logging.INFO, logger="sidecar")
    play = Play()
    play.run(60)
    play.down = True
    play.run(600)
    play.down = False
    play.run(600)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(play.messages) <= 3
    assert len(errors) <= 5
    at, first = play.messages[0]
    assert 90.0 <= at <= 92.0
    assert [line.route for line in first.opened] == list(play.routes)
    _, final = play.messages[-1]
    assert {line.route for line in final.recovered} == set(play.routes)
    assert all(590.0 <= line.seconds <= 720.0 for line in final.recovered)
    refused = sum(line.callers["fail_closed"] for line in final.recovered)
    counted = sum(seen.failed_closed() for seen in play.routes.values())
    assert counted - ROUTES * 5 <= refused <= counted  # the failures that opened the breakers came before
    assert payload(first, "slack", "web-1")["text"].startswith("connect is failing (12 routes)")


def test_an_outage_of_twenty_minutes_is_told_again_once_and_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Opened, still open after ten minutes, over: three messages; and one error."""
    caplog.set_level(logging.INFO, logger="sidecar")
    play = Play()
    play.down = True
    play.run(1200)
    play.down = False
    play.run(600)
    told = [(bool(m.opened), bool(m.escalated), bool(m.recovered)) for _, m in play.messages]
    assert told == [(True, False, False), (False, True, False), (False, False, True)]
    assert len(play.messages[1][1].escalated) == ROUTES
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("breaker of route-0, route-1, ")
