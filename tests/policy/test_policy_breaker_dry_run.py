"""Laws of a breaker in dry run: it goes through everything and refuses nothing."""

import pytest
from policy_fakes import FAILURE, SUCCESS, HandClock, admitted, ask, plain_breaker

from sidecar.policy.breaker import PermitSettled


def test_it_says_what_it_would_have_refused() -> None:
    """Open, it grants everything, and every permit says that it should not have been."""
    breaker = plain_breaker(HandClock(), dry_run=True)
    ask(breaker, FAILURE, FAILURE, FAILURE)
    assert breaker.state == "open"
    assert all(admitted(breaker).would_have_refused for _ in range(20))


def test_what_it_would_have_refused_tells_it_nothing() -> None:
    """The real breaker would never have seen those answers: they must not open, close or count."""
    clock = HandClock()
    breaker = plain_breaker(clock, dry_run=True, successes_to_close=1)
    ask(breaker, FAILURE, FAILURE, FAILURE)
    ask(breaker, *[SUCCESS] * 10, *[FAILURE] * 10)
    assert breaker.retry_after() == 10.0
    clock.now += 10.0
    probe = admitted(breaker)
    assert not probe.would_have_refused
    beyond = admitted(breaker)
    assert beyond.would_have_refused
    beyond.settle(SUCCESS, 0.0)
    assert breaker.state == "half_open"
    probe.settle(SUCCESS, 0.0)
    assert breaker.state == "closed"


def test_its_permits_are_settled_once_too() -> None:
    """Also the one that says nothing."""
    breaker = plain_breaker(HandClock(), dry_run=True)
    ask(breaker, FAILURE, FAILURE, FAILURE)
    permit = admitted(breaker)
    permit.settle(SUCCESS, 0.0)
    assert permit.would_have_refused
    with pytest.raises(PermitSettled):
        permit.settle(SUCCESS, 0.0)


def test_it_shows_that_it_is_dry() -> None:
    """In its repr, and as an attribute for the status page."""
    assert "dry" in repr(plain_breaker(HandClock(), dry_run=True))
    assert plain_breaker(HandClock(), dry_run=True).dry_run
    assert "dry" not in repr(plain_breaker(HandClock()))
