"""Laws of a closed breaker: what trips it and what does not."""

import pytest
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, THROTTLED, HandClock, admitted, ask, plain_breaker

from sidecar.policy.breaker import Event, IllegalMove, PermitSettled
from sidecar.policy.outcome import Verdict


def test_it_starts_closed_and_grants() -> None:
    """Nothing is refused before anything failed, and a permit in earnest says so."""
    breaker = plain_breaker(HandClock())
    assert breaker.state == "closed"
    assert breaker.retry_after() == 0.0
    assert not admitted(breaker).would_have_refused


def test_so_many_failures_in_a_row_trip_it() -> None:
    """The consecutive rule needs no minimum of requests."""
    breaker = plain_breaker(HandClock())
    ask(breaker, FAILURE, FAILURE)
    assert breaker.state == "closed"
    ask(breaker, FAILURE)
    assert breaker.state == "open"


def test_a_success_ends_the_row() -> None:
    """Failures count in a row only while nothing succeeds in between."""
    breaker = plain_breaker(HandClock())
    ask(breaker, FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE)
    assert breaker.state == "closed"


@pytest.mark.parametrize("between", [THROTTLED, NEUTRAL, Verdict.CUT_SHORT])
def test_throttled_and_neutral_neither_extend_nor_end_the_row(between: Verdict) -> None:
    """A 429 is no proof of health, nor of its opposite; a caller who leaves is proof of nothing."""
    breaker = plain_breaker(HandClock())
    ask(breaker, FAILURE, FAILURE, *[between] * 5)
    assert breaker.state == "closed"
    ask(breaker, FAILURE)
    assert breaker.state == "open"


def test_zero_turns_the_row_off() -> None:
    """`consecutive_failures: 0` never trips, however long the row."""
    breaker = plain_breaker(HandClock(), consecutive_failures=0)
    ask(breaker, *[FAILURE] * 100)
    assert breaker.state == "closed"


def test_a_share_of_failures_trips_it() -> None:
    """The ratio rule trips at its share exactly, and only with the minimum of requests."""
    breaker = plain_breaker(HandClock(), consecutive_failures=0, failure_ratio=0.5)
    ask(breaker, *[SUCCESS, FAILURE] * 4, SUCCESS)
    assert breaker.state == "closed"
    ask(breaker, FAILURE)
    assert breaker.state == "open"


def test_a_lesser_share_does_not_trip_it() -> None:
    """Below the ratio any number of failures is borne."""
    breaker = plain_breaker(HandClock(), consecutive_failures=0, failure_ratio=0.5)
    ask(breaker, *[SUCCESS, FAILURE, SUCCESS] * 50)
    assert breaker.state == "closed"


@pytest.mark.parametrize("verdict", [THROTTLED, Verdict.CUT_SHORT])
def test_throttled_counts_in_the_ratio(verdict: Verdict) -> None:
    """An upstream that throttles most of what it is asked, or lets it wait in vain, needs a rest."""
    breaker = plain_breaker(HandClock(), failure_ratio=0.5)
    ask(breaker, *[verdict] * 9)
    assert breaker.state == "closed"
    ask(breaker, verdict)
    assert breaker.state == "open"


def test_neutral_does_not_count_in_the_ratio() -> None:
    """Callers who leave are no requests: they neither reach the minimum nor thin the share."""
    breaker = plain_breaker(HandClock(), consecutive_failures=0, failure_ratio=0.5)
    ask(breaker, *[NEUTRAL] * 100, *[FAILURE] * 9)
    assert breaker.state == "closed"
    ask(breaker, *[NEUTRAL] * 100, FAILURE)
    assert breaker.state == "open"


def test_the_window_forgets() -> None:
    """Failures older than the window are no longer held against anybody."""
    clock = HandClock()
    breaker = plain_breaker(clock, consecutive_failures=0, failure_ratio=0.5)
    ask(breaker, *[FAILURE] * 9)
    clock.now += 10.0
    ask(breaker, FAILURE)
    assert breaker.state == "closed"
    ask(breaker, *[FAILURE] * 9)
    assert breaker.state == "open"


def test_slow_successes_trip_it() -> None:
    """The slow-call rule counts what took longer than its bound, succeed as it may."""
    breaker = plain_breaker(HandClock(), slow_longer_than=2.0)
    ask(breaker, *[SUCCESS] * 100, elapsed=2.0)
    assert breaker.state == "closed"
    ask(breaker, *[SUCCESS] * 99, elapsed=2.1)
    assert breaker.state == "closed"
    ask(breaker, SUCCESS, elapsed=2.1)
    assert breaker.state == "open"


def test_slow_failures_count_as_slow() -> None:
    """An upstream that times out is slow as well: the rule must not wait for slow successes."""
    breaker = plain_breaker(HandClock(), consecutive_failures=0, slow_longer_than=2.0)
    ask(breaker, *[FAILURE] * 10, elapsed=3.0)
    assert breaker.state == "open"


def test_without_the_slow_rule_nothing_is_slow() -> None:
    """`slow_longer_than: None` never trips."""
    breaker = plain_breaker(HandClock())
    ask(breaker, *[SUCCESS] * 100, elapsed=1e9)
    assert breaker.state == "closed"


def test_a_permit_is_settled_once() -> None:
    """A second settlement is a defect of its holder and is told so; it counts nothing."""
    breaker = plain_breaker(HandClock())
    permit = admitted(breaker)
    permit.settle(FAILURE, 0.0)
    with pytest.raises(PermitSettled):
        permit.settle(FAILURE, 0.0)
    ask(breaker, FAILURE)
    assert breaker.state == "closed"


def test_a_move_that_the_table_does_not_know_is_an_error() -> None:
    """States change along the table or not at all."""
    breaker = plain_breaker(HandClock())
    with pytest.raises(IllegalMove, match="recovered while closed"):
        breaker._move(Event.RECOVERED)
    assert breaker.state == "closed"


def test_its_repr_shows_state_and_counts() -> None:
    """What an operator or a failing test reads first."""
    breaker = plain_breaker(HandClock())
    ask(breaker, SUCCESS, FAILURE)
    assert "closed" in repr(breaker)
    assert "row=1" in repr(breaker)
    assert "window=1/2" in repr(breaker)
