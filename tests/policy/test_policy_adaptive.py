"""Laws of the adaptive limit, and what it does beside an upstream of a known capacity, in virtual time."""

import heapq
import math
from collections import deque
from collections.abc import Iterator
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, THROTTLED, HandClock, Middle

from sidecar.policy import reasons
from sidecar.policy.adaptive import FLOOR, AdaptiveLimit
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.outcome import Outcome

TIMEOUT = 2.0


def a_limit(clock: HandClock, *, ceiling: int = 100, start: int | None = None) -> AdaptiveLimit:
    """At its ceiling unless told otherwise."""
    return AdaptiveLimit(ceiling=ceiling, start=start, clock=clock, rng=Middle())


def feed(limit: AdaptiveLimit, clock: HandClock, elapsed: float, times: int, **more: bool) -> None:
    """Attempts one after another, 10 ms apart."""
    for _ in range(times):
        clock.now += 0.01
        limit.sample(elapsed, 1, **more)


def window(limit: AdaptiveLimit, clock: HandClock, elapsed: float, *, lost: int = 0) -> int:
    """Twenty attempts, as soon as they may close a window; the limit after it."""
    clock.now = max(clock.now, limit._window_ends)
    for number in range(20):
        limit.sample(elapsed, 1, dropped=number < lost)
    assert not limit._times
    return limit.limit


def measured(clock: HandClock, elapsed: float = 0.1, **more: int) -> AdaptiveLimit:
    """A limit that has its baseline, has measured it once more, and is at the beginning of a window."""
    limit = a_limit(clock, **more)
    while clock.now < 1010.0 or limit._times:
        feed(limit, clock, elapsed, 1)
    assert limit.baseline == elapsed
    assert not limit._measuring
    return limit


# Laws.


@given(
    ceiling=st.integers(1, 50),
    samples=st.lists(
        st.tuples(st.sampled_from([0.0, 0.005, 0.1, 3.0]), st.floats(0.0, 10.0), st.integers(0, 60), st.booleans()),
        max_size=300,
    ),
)
def test_it_stays_between_floor_and_ceiling(ceiling: int, samples: list[tuple[float, float, int, bool]]) -> None:
    """Whatever it is told, a nonsense of latencies and losses included; the change it reports is one."""
    clock = HandClock()
    limit = a_limit(clock, ceiling=ceiling)
    for step, elapsed, in_flight, dropped in samples:
        clock.now += step
        before = limit.limit
        assert limit.sample(elapsed, in_flight, dropped=dropped) == (limit.limit != before)
        assert min(FLOOR, ceiling) <= limit.limit <= ceiling


def test_one_slow_answer_moves_nothing() -> None:
    """Nor one reset: a median of twenty, and a tenth may be lost."""
    clock = HandClock()
    limit = measured(clock)
    for _ in range(30):
        feed(limit, clock, 0.1, 20)
        limit.sample(60.0, 1)
        limit.sample(0.0, 1, dropped=True)
        assert limit.limit == 100


def test_latency_above_the_baseline_lowers_it_step_by_step() -> None:
    """By half and its root at most, however slow; by less if it is a little slower."""
    clock = HandClock()
    limit = measured(clock)
    assert [window(limit, clock, 10.0) for _ in range(3)] == [60, 37, 25]
    clock = HandClock()
    limit = measured(clock)
    assert window(limit, clock, 0.15) == 93, "125 / 150, and the root of a hundred"


@given(st.integers(3, 100), st.floats(0.001, 0.1))
def test_at_the_baseline_it_never_falls(start: int, elapsed: float) -> None:
    """It grows by at least the root of itself, up to the ceiling."""
    clock = HandClock()
    limit = measured(clock)
    limit._limit = limit._measured_limit = float(start)
    limit._baseline = elapsed
    before = start
    for _ in range(12):
        after = window(limit, clock, elapsed)
        assert after >= min(100, before + int(math.sqrt(before)))
        before = after
    assert before == 100


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, elapsed=4.0, sent=True),
        Outcome(FAILURE, reasons.DEADLINE, elapsed=4.0, sent=True),
        Outcome(FAILURE, reasons.RESET, elapsed=0.0, sent=True),
        Outcome(FAILURE, reasons.CONNECT_FAILURE),
        Outcome(FAILURE, reasons.CONNECT_TIMEOUT),
        Outcome(THROTTLED, reasons.UPSTREAM_ERROR, status=429, sent=True),
    ],
    ids=repr,
)
def test_what_is_lost_shrinks_it_and_is_never_taken_for_fast(outcome: Outcome) -> None:
    """A refusal in no time at all is not a sign of room."""
    clock = HandClock()
    limit = measured(clock)
    for _ in range(200):
        clock.now += 0.01
        limit.judge(outcome, 1)
    assert limit.limit == FLOOR


def test_a_share_of_losses_takes_a_tenth_off() -> None:
    """Three in twenty, though the others are as fast as ever."""
    clock = HandClock()
    limit = measured(clock)
    assert window(limit, clock, 0.1, lost=2) == 100
    assert window(limit, clock, 0.1, lost=3) == 90


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(NEUTRAL, reasons.CLIENT_GONE, elapsed=9.0),
        Outcome(NEUTRAL, reasons.DEADLINE, elapsed=9.0),
        Outcome(FAILURE, reasons.UPSTREAM_ERROR, status=500, sent=True),
        Outcome(FAILURE, reasons.UNEXPECTED_RESPONSE, status=200, sent=True),
        Outcome(FAILURE, reasons.DNS_FAILURE),
    ],
    ids=repr,
)
def test_what_says_nothing_of_load_moves_nothing(outcome: Outcome) -> None:
    """Leavers, callers in a hurry, errors that came as answers."""
    clock = HandClock()
    limit = measured(clock)
    before = repr(limit)
    for _ in range(200):
        clock.now += 0.01
        assert not limit.judge(outcome, 1)
    assert repr(limit) == before == "<AdaptiveLimit 100 of 100, baseline 0.100s>"


def test_a_success_is_judged_by_its_time() -> None:
    """The outcome's own, as the sample's."""
    clock = HandClock()
    limit = measured(clock)
    clock.now += 1.0
    for _ in range(20):
        limit.judge(Outcome(SUCCESS, status=200, elapsed=10.0), 1)
    assert limit.limit == 60


def test_the_baseline_is_measured_with_half_of_the_limit_by_attempts_that_began_with_room() -> None:
    """Those that began before it fell, or while more were under way, were slowed by what it is to be rid of."""
    clock = HandClock()
    limit = a_limit(clock, ceiling=40)
    feed(limit, clock, 1.0, 20)
    assert limit.limit == 20
    for _ in range(100):
        clock.now += 0.01
        limit.sample(1.0, 30)  # still more under way
    assert limit.baseline == math.inf
    for _ in range(60):
        clock.now += 0.01
        limit.sample(1.0, 20)  # began before there was room
    assert limit.baseline == math.inf
    clock.now += 1.0
    feed(limit, clock, 0.3, 50)
    assert limit.baseline == 0.3
    assert limit.limit == 40


def test_a_measurement_that_finds_no_room_is_given_up() -> None:
    """Answers that stream for minutes hold their slots: others get theirs back after five seconds."""
    clock = HandClock()
    limit = a_limit(clock, ceiling=40)
    feed(limit, clock, 1.0, 20)
    assert limit.limit == 20
    clock.now += 5.0
    assert limit.sample(1.0, 30)
    assert (limit.limit, limit.baseline) == (40, math.inf)


def test_it_is_measured_anew_every_minute() -> None:
    """An upstream that became slower for good gets its slots back."""
    clock = HandClock()
    limit = measured(clock)
    halved = 0
    while clock.now < 1080.0:
        before = limit.limit
        feed(limit, clock, 0.5, 1)
        halved += limit._measuring and limit.limit < before
    assert limit.baseline == 0.5
    assert limit._limit == 100
    assert halved


# Beside an upstream.


class Simulation:
    """Callers at random, a bulkhead with an adaptive limit, and an upstream that works on `capacity` at once.

    What is more waits inside of the upstream, first come, first served; `service`: seconds of work for one, give or
    take; `up`: False, and nothing is ever answered. An attempt that takes `TIMEOUT` is lost.
    """

    def __init__(
        self, *, capacity: int, rate: float, service: float = 0.05, ceiling: int = 200, start: int = 0
    ) -> None:
        self.rng = Random(7)
        self.clock = HandClock(0.0)
        self.capacity, self.rate, self.service, self.up = capacity, rate, service, True
        self.limit = AdaptiveLimit(ceiling=ceiling, start=start or None, clock=self.clock, rng=self.rng)
        self.bulkhead = Bulkhead(ceiling, adaptive=self.limit, clock=self.clock)
        self.inside: deque[tuple[int, float]] = deque()
        self.working = self.answered = self.lost = self.refused = 0
        self.slots = 0.0
        """Integral of the limit over time."""
        self.open: set[int] = set()
        self._number = count()
        self._events: list[tuple[float, int, str]] = [(0.0, next(self._number), "come")]
        self._begun: dict[int, float] = {}

    def run(self, seconds: float) -> "Simulation":
        """Plays, and counts from zero."""
        self.answered = self.lost = self.refused = 0
        self.slots = 0.0
        until = self.clock.now + seconds
        while self._events[0][0] <= until:
            when, number, what = heapq.heappop(self._events)
            self.slots += self.limit.limit * (when - self.clock.now)
            self.clock.now = when
            getattr(self, what)(number)
        return self

    def later(self, seconds: float, number: int, what: str) -> None:
        """Something happens then."""
        heapq.heappush(self._events, (self.clock.now + seconds, number, what))

    def come(self, _: int) -> None:
        """A caller."""
        self.later(self.rng.expovariate(self.rate), next(self._number), "come")
        if not self.bulkhead.enter():
            self.refused += 1
            return
        number = next(self._number)
        self.open.add(number)
        self.later(TIMEOUT, number, "give_up")
        self.inside.append((number, self.clock.now))
        self._work()

    def done(self, number: int) -> None:
        """A worker of the upstream is free."""
        self.working -= 1
        if self.up and number in self.open:
            self._end(number, Outcome(SUCCESS, status=200, elapsed=self.clock.now - self._begun[number]))
            self.answered += 1
        self._work()

    def give_up(self, number: int) -> None:
        """An attempt has taken too long."""
        if number in self.open:
            self._end(number, Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, elapsed=TIMEOUT, sent=True))
            self.lost += 1

    def _work(self) -> None:
        while self.working < self.capacity and self.inside:
            number, self._begun[number] = self.inside.popleft()
            if number in self.open:
                self.working += 1
                self.later(self.service * self.rng.uniform(0.6, 1.4), number, "done")

    def _end(self, number: int, outcome: Outcome) -> None:
        self.open.discard(number)
        self.bulkhead.judge(outcome)
        self.bulkhead.leave()


def figures(simulation: Simulation, seconds: float) -> Iterator[float]:
    """Over the next seconds: mean limit by capacity, answers by what is possible."""
    simulation.run(seconds)
    yield simulation.slots / seconds / simulation.capacity
    yield simulation.answered / (seconds * simulation.capacity / simulation.service)


@pytest.mark.parametrize("capacity", [5, 20, 40])
@pytest.mark.parametrize("start", [3, 200])
def test_it_settles_near_what_the_upstream_can_do_at_once(capacity: int, start: int) -> None:
    """From below and from above, under half as much again as it can bear: the upstream is busy, and little waits."""
    simulation = Simulation(capacity=capacity, rate=1.5 * capacity / 0.05, start=start)
    simulation.run(30.0)
    limit, busy = figures(simulation, 10.0)
    assert 1.0 <= limit <= (2.0 if capacity > 5 else 2.4)  # the root that is added weighs more on a small limit
    assert busy >= 0.95
    assert simulation.lost == 0


def test_without_it_the_same_load_times_out() -> None:
    """What it is good for: two hundred slots on an upstream that can do two at once, and nearly all is lost."""
    simulation = Simulation(capacity=2, rate=200.0, service=0.05)
    simulation.bulkhead = Bulkhead(200)
    simulation.run(30.0)
    assert simulation.run(30.0).lost > 0.5 * simulation.answered
    adaptive = Simulation(capacity=2, rate=200.0, service=0.05).run(30.0)
    assert adaptive.run(30.0).lost == 0


def test_without_load_it_stays_at_its_ceiling() -> None:
    """Nobody is refused where latency does not rise, but for what a measurement may cost."""
    simulation = Simulation(capacity=20, rate=100.0, ceiling=40)
    simulation.run(120.0)
    assert simulation.refused == 0
    assert simulation.limit.limit == 40


def test_it_recovers_from_an_outage() -> None:
    """Down to the floor while everything times out; within five seconds of the return as before."""
    simulation = Simulation(capacity=20, rate=600.0)
    simulation.run(30.0)
    simulation.up = False
    simulation.run(30.0)
    assert simulation.limit.limit <= FLOOR + 1
    simulation.up = True
    simulation.run(5.0)
    limit, busy = figures(simulation, 20.0)
    assert 1.0 <= limit <= 2.0
    assert busy >= 0.95


def test_it_follows_an_upstream_that_changes() -> None:
    """Half of its workers go, then come back; then each answer takes three times as long: 15 s later all is well."""
    simulation = Simulation(capacity=40, rate=1600.0)
    simulation.run(30.0)
    for capacity, service in ((20, 0.05), (40, 0.05), (40, 0.15)):
        simulation.capacity, simulation.service = capacity, service
        simulation.run(15.0)
        limit, busy = figures(simulation, 15.0)
        assert 0.9 <= limit <= 2.0
        assert busy >= 0.85
