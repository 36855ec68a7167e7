"""A breaker that an operator holds: open or closed, for a time, whatever its rules say."""

import pytest
from policy_fakes import FAILURE, SUCCESS, Change, HandClock, admitted, ask, plain_breaker

from sidecar.policy.breaker import MOVES, Event


def test_held_open_it_refuses_until_the_time_is_over_and_then_probes() -> None:
    """Not for its own open time but for the one that was said; afterwards it finds out, as after any opening."""
    clock, heard = HandClock(), list[Change]()
    breaker = plain_breaker(clock, heard=heard)
    breaker.force("open", 100.0)
    assert heard == [("closed", "open", 100.0)]
    assert breaker.forced() == ("open", 100.0)
    clock.now += 99.9
    assert breaker.admit() is None
    assert breaker.retry_after() == pytest.approx(0.1)
    clock.now += 0.1
    assert breaker.forced() is None
    probe = admitted(breaker)
    assert breaker.state == "half_open"
    assert breaker.admit() is None, "one probe at a time"
    probe.settle(SUCCESS, 0.0)
    ask(breaker, SUCCESS)
    assert breaker.state == "closed"


def test_held_closed_it_counts_and_does_not_trip_until_the_time_is_over() -> None:
    """What it counted has its say afterwards: the next failure opens it."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    breaker.force("closed", 5.0)
    ask(breaker, *[FAILURE] * 50)
    assert breaker.state == "closed"
    assert breaker.forced() == ("closed", 5.0)
    clock.now += 5.0
    assert breaker.forced() is None
    assert breaker.state == "closed"
    ask(breaker, FAILURE)
    assert breaker.state == "open"
    assert breaker.retry_after() == 10.0, "its own time, the shortest"


def test_held_closed_in_an_outage_it_lets_everyone_through() -> None:
    """From open at once, and with no open time left to speak of."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *[FAILURE] * 3)
    assert breaker.admit() is None
    breaker.force("closed", 5.0)
    assert breaker.retry_after() == 0.0
    assert all(breaker.admit() is not None for _ in range(20))


@pytest.mark.parametrize("state", ["open", "closed"])
def test_who_was_let_through_before_it_was_moved_says_nothing(state: str) -> None:
    """Stragglers, as after any move; and each permit is still settled once."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    if state == "closed":
        ask(breaker, *[FAILURE] * 3)
        clock.now += 10.0
    before = admitted(breaker)
    breaker.force(state, 60.0)
    seen = repr(breaker)
    before.settle(FAILURE, 0.1)
    assert repr(breaker) == seen


def test_released_from_open_it_probes_at_once() -> None:
    """And from closed it trips by its rules again."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    breaker.force("open", 3600.0)
    breaker.release()
    assert breaker.forced() is None
    assert breaker.retry_after() == 0.0
    admitted(breaker).settle(FAILURE, 0.0)
    assert breaker.state == "open"
    breaker.force("closed", 3600.0)
    breaker.release()
    ask(breaker, *[FAILURE] * 3)
    assert breaker.state == "open"


def test_releasing_what_nobody_holds_changes_nothing() -> None:
    """An opening of its own stands."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    ask(breaker, *[FAILURE] * 3)
    breaker.release()
    assert breaker.retry_after() == 10.0
    assert breaker.admit() is None


def test_the_last_word_counts() -> None:
    """Held again, for longer or shorter or the other way: that is how it is held, and one move is told of one move."""
    clock, heard = HandClock(), list[Change]()
    breaker = plain_breaker(clock, heard=heard)
    breaker.force("open", 50.0)
    breaker.force("open", 2.0)
    assert breaker.retry_after() == 2.0
    breaker.force("closed", 7.0)
    assert breaker.forced() == ("closed", 7.0)
    assert [(old, new) for old, new, _ in heard] == [("closed", "open"), ("open", "closed")]


def test_holding_leaves_the_time_of_its_own_openings_alone() -> None:
    """A rehearsal of an hour must not make the next real opening an hour long."""
    clock = HandClock()
    breaker = plain_breaker(clock)
    breaker.force("open", 3600.0)
    clock.now += 3600.0
    ask(breaker, SUCCESS, SUCCESS)
    ask(breaker, *[FAILURE] * 3)
    assert breaker.retry_after() == 10.0


def test_every_move_that_an_operator_makes_is_in_the_table() -> None:
    """To open and to closed, from each of the two other states."""
    forced = {old for (old, event) in MOVES if event in (Event.FORCED_OPEN, Event.FORCED_CLOSED)}
    assert forced == {"closed", "half_open", "open"}
