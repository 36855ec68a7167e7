"""How long an attempt is left alone: a fixed time, or the measured tail."""

from collections import deque
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, NEUTRAL, SUCCESS

from sidecar.policy import reasons
from sidecar.policy.delay import FEWEST, REMEMBERED, SHARE, Delay, Tail, quantile
from sidecar.policy.outcome import Outcome, Verdict

TIMES = st.floats(0.0, 100.0)


def answered(seconds: float) -> Outcome:
    """A success that took so long."""
    return Outcome(SUCCESS, elapsed=seconds)


def overtaken() -> Outcome:
    """Its hedge was quicker."""
    return Outcome(NEUTRAL, reasons.OVERTAKEN)


def tail_after(*outcomes: Outcome) -> Tail:
    """What these attempts, one after another, made of it."""
    tail = Tail()
    for outcome in outcomes:
        tail.judge(outcome)
    return tail


def test_a_fixed_time_is_what_it_is() -> None:
    """Whatever attempts come to."""
    delay = Delay(0.3)
    delay.judge(answered(9.0))
    assert delay.after == 0.3


def test_nothing_is_hedged_before_enough_is_known() -> None:
    """One attempt fewer than `FEWEST` leaves it infinite, and one more does not."""
    assert tail_after(*[answered(0.1)] * (FEWEST - 1)).after == inf
    assert tail_after(*[answered(0.1)] * FEWEST).after == 0.1


def test_it_is_the_time_that_95_in_100_need() -> None:
    """Of 200 attempts of which 10 are slow it is the quick ones' time; with 11 it is the slow ones'."""
    quick, slow = [answered(0.1)] * (REMEMBERED - 10), [answered(3.0)] * 10
    assert tail_after(*slow, *quick).after == 0.1
    assert tail_after(*slow, answered(3.0), *quick[1:]).after == 3.0


def test_old_attempts_are_forgotten() -> None:
    """After `REMEMBERED` quick ones nothing is left of a slow time."""
    tail = tail_after(*[answered(3.0)] * REMEMBERED)
    assert tail.after == 3.0
    for _ in range(REMEMBERED):
        tail.judge(answered(0.1))
    assert tail.after == 0.1


def test_who_was_overtaken_counts_as_slower_than_all() -> None:
    """A twentieth of them moves nothing; more ends hedging until real times are known again."""
    quick = [answered(0.1)] * (REMEMBERED - 10)
    assert tail_after(*[overtaken()] * 10, *quick).after == 0.1
    assert tail_after(*[overtaken()] * 11, *quick[1:]).after == inf


def test_timeouts_are_slow_and_what_says_nothing_of_time_is_left_out() -> None:
    """A refused connection is quick without being an answer; a caller that left, or hurried, was not patient enough."""
    said_nothing = [
        Outcome(FAILURE, reasons.CONNECT_FAILURE),
        Outcome(FAILURE, reasons.UPSTREAM_ERROR, status=503, elapsed=0.001),
        Outcome(NEUTRAL, reasons.CLIENT_GONE),
        Outcome(Verdict.CUT_SHORT, reasons.DEADLINE, elapsed=0.01),
    ]
    known = [answered(0.1)] * FEWEST
    assert tail_after(*known, *said_nothing * 50).after == 0.1
    assert tail_after(*known, *[Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT)] * 20).after == inf


@given(st.lists(TIMES, min_size=1, max_size=REMEMBERED))
def test_the_quantile_is_one_of_the_values_and_covers_its_share(values: list[float]) -> None:
    """At least that share does not exceed it, and of any smaller value that is not so."""
    found = quantile(deque(values), SHARE)
    assert found in values
    assert sum(value <= found for value in values) >= SHARE * len(values)
    for smaller in [value for value in values if value < found]:
        assert sum(value <= smaller for value in values) < SHARE * len(values)


@given(st.lists(TIMES, min_size=REMEMBERED, max_size=2 * REMEMBERED))
def test_no_more_than_a_twentieth_is_slower_than_it(times: list[float]) -> None:
    """What hedging costs is bounded: of the attempts that it was reckoned from, at most 5 % would be hedged."""
    tail = tail_after(*map(answered, times))
    reckoned = len(times) - (len(times) - FEWEST) % 20
    newest = times[:reckoned][-REMEMBERED:]
    assert sum(time > tail.after for time in newest) <= (1 - SHARE) * len(newest) + 1e-9
