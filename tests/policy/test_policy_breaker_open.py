"""Laws of an open breaker: how long it refuses, and who hears of it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, SUCCESS, Change, HandClock, admitted, ask, plain_breaker

from sidecar.policy.breaker import Breaker

TRIP = [FAILURE] * 3


def fail_probe(breaker: Breaker, clock: HandClock) -> float:
    """Waits for the end of the open time, fails a probe, and says how long the next one lasts."""
    clock.now += breaker.retry_after()
    ask(breaker, FAILURE)
    assert breaker.state == "open"
    return breaker.retry_after()


def test_it_refuses_until_its_time_is_over() -> None:
    """Not one attempt before `open_for`; the first after it is a probe."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *TRIP)
    clock.now += 9.999
    assert breaker.admit() is None
    assert breaker.state == "open"
    clock.now += 0.001
    assert breaker.admit() is not None
    assert breaker.state == "half_open"


def test_it_tells_how_long_it_stays_open() -> None:
    """`retry_after` counts down to zero and is zero in every other state."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *TRIP)
    assert breaker.retry_after() == 10.0
    clock.now += 4.0
    assert breaker.retry_after() == 6.0
    clock.now += 100.0
    assert breaker.retry_after() == 0.0
    admitted(breaker)
    assert breaker.retry_after() == 0.0


def test_stragglers_do_not_extend_it() -> None:
    """Attempts that were under way when it tripped change nothing, however they end."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    late = [admitted(breaker) for _ in range(4)]
    ask(breaker, *TRIP)
    clock.now += 5.0
    for permit, verdict in zip(late, [FAILURE, SUCCESS, FAILURE, FAILURE], strict=True):
        permit.settle(verdict, 5.0)
    assert breaker.state == "open"
    assert breaker.retry_after() == 5.0


def test_the_time_doubles_with_every_failed_round_up_to_its_maximum() -> None:
    """10, 20, 40, 40: an upstream that stays down is asked ever more rarely."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *TRIP)
    times = [breaker.retry_after()] + [fail_probe(breaker, clock) for _ in range(3)]
    assert times == [10.0, 20.0, 40.0, 40.0]


def close_again(breaker: Breaker, clock: HandClock) -> None:
    """Waits for the end of the open time, then all goes well."""
    clock.now += breaker.retry_after()
    ask(breaker, SUCCESS, SUCCESS)
    assert breaker.state == "closed"


@pytest.mark.parametrize(("closed_for", "open_for"), [(39.9, 20.0), (40.0, 10.0)])
def test_the_time_falls_back_after_a_sustained_close(closed_for: float, open_for: float) -> None:
    """A close shorter than `open_for_max` was no recovery: the next opening lasts as long as the last one."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *TRIP)
    fail_probe(breaker, clock)
    close_again(breaker, clock)
    clock.now += closed_for
    ask(breaker, *TRIP)
    assert breaker.retry_after() == open_for


@given(seed=st.integers(), jitter=st.floats(0.0, 0.5))
def test_the_jitter_stays_within_its_share(seed: int, jitter: float) -> None:
    """Replicas that open together do not probe together, nor anywhere outside of ± `jitter`."""
    breaker = plain_breaker(HandClock(0.0), jitter=jitter, rng=Random(seed))
    ask(breaker, *TRIP)
    assert 10.0 * (1.0 - jitter) <= breaker.retry_after() <= 10.0 * (1.0 + jitter)


def test_the_jitter_spreads() -> None:
    """It uses most of its range."""
    times = []
    for seed in range(50):
        breaker = plain_breaker(HandClock(0.0), jitter=0.2, rng=Random(seed))
        ask(breaker, *TRIP)
        times.append(breaker.retry_after())
    assert max(times) - min(times) > 3.0


def test_every_move_is_announced_once() -> None:
    """Old state, new state, and the open time where it opens; what went on before is not repeated."""
    clock = HandClock()
    heard: list[Change] = []
    breaker = plain_breaker(clock, heard=heard)
    late = admitted(breaker)
    ask(breaker, *TRIP)
    late.settle(FAILURE, 0.0)
    fail_probe(breaker, clock)
    close_again(breaker, clock)
    assert heard == [
        ("closed", "open", 10.0),
        ("open", "half_open", 0.0),
        ("half_open", "open", 20.0),
        ("open", "half_open", 0.0),
        ("half_open", "closed", 0.0),
    ]


def test_whoever_hears_of_a_move_sees_it_done() -> None:
    """A listener that asks back is told the new state and its times."""
    clock = HandClock()
    seen: list[tuple[str, str, float, float]] = []

    def look(_old: str, new: str, _open_for: float) -> None:
        seen.append((new, breaker.state, breaker.retry_after(), breaker.since))

    breaker = plain_breaker(clock, on_change=look)
    clock.now = 2000.0
    ask(breaker, *TRIP)
    assert seen == [("open", "open", 10.0, 2000.0)]


def test_a_listener_that_fails_does_not_stop_the_move() -> None:
    """What watches must not decide: its exceptions end with it."""
    clock = HandClock()

    def fail(*_: object) -> None:
        raise RuntimeError

    breaker = plain_breaker(clock, on_change=fail)
    ask(breaker, *TRIP)
    assert breaker.state == "open"
    close_again(breaker, clock)


def test_it_knows_since_when() -> None:
    """`since` is the clock's time of the last move."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    assert breaker.since == 1000.0
    clock.now += 7.0
    ask(breaker, *TRIP)
    assert breaker.since == 1007.0


def test_a_clock_that_is_forced_back_does_not_open_it_again() -> None:
    """Once its time was over it is over."""
    clock = HandClock()
    breaker = plain_breaker(clock, probes=2)
    ask(breaker, *TRIP)
    clock.now += 10.0
    admitted(breaker)
    clock.now -= 5.0
    assert breaker.retry_after() == 0.0
    assert breaker.admit() is not None
