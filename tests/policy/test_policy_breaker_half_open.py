"""Laws of a half-open breaker: neither a stampede of probes nor one that is waited for in vain."""

from typing import Any

import pytest
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, THROTTLED, HandClock, admitted, ask, plain_breaker

from sidecar.policy.breaker import Breaker, PermitSettled
from sidecar.policy.outcome import Verdict


def half_open(clock: HandClock, **changed: Any) -> Breaker:
    """A breaker whose next permit is a probe."""
    breaker = plain_breaker(clock, **changed)
    ask(breaker, FAILURE, FAILURE, FAILURE)
    clock.now += breaker.retry_after()
    return breaker


@pytest.mark.parametrize("probes", [1, 3])
def test_it_grants_so_many_probes_at_once(probes: int) -> None:
    """Of fifty that ask together, `probes` get through."""
    breaker = half_open(HandClock(), probes=probes)
    granted = [permit for permit in (breaker.admit() for _ in range(50)) if permit is not None]
    assert len(granted) == probes
    granted[0].settle(SUCCESS, 0.0)
    assert breaker.admit() is not None
    assert breaker.admit() is None


def test_so_many_successes_close_it() -> None:
    """One good probe may be luck; no minimum of requests is asked for on the way back."""
    breaker = half_open(HandClock(), minimum_requests=1000)
    ask(breaker, SUCCESS)
    assert breaker.state == "half_open"
    ask(breaker, SUCCESS)
    assert breaker.state == "closed"


@pytest.mark.parametrize("verdict", [FAILURE, THROTTLED, Verdict.CUT_SHORT])
def test_a_probe_without_an_answer_opens_it(verdict: Verdict) -> None:
    """An upstream that throttles a single probe, or lets it wait in vain, is not ready for everybody."""
    breaker = half_open(HandClock(), successes_to_close=3)
    ask(breaker, SUCCESS, SUCCESS, verdict)
    assert breaker.state == "open"


def test_a_slow_probe_opens_it() -> None:
    """Where slowness trips, a slow answer is no recovery."""
    breaker = half_open(HandClock(), slow_longer_than=2.0)
    ask(breaker, SUCCESS, elapsed=2.1)
    assert breaker.state == "open"


def test_successes_of_an_earlier_round_do_not_count() -> None:
    """Every round of probes starts from nothing."""
    clock = HandClock()
    breaker = half_open(clock)
    ask(breaker, SUCCESS, FAILURE)
    clock.now += breaker.retry_after()
    ask(breaker, SUCCESS)
    assert breaker.state == "half_open"


def test_a_neutral_probe_gives_its_place_back_and_says_nothing() -> None:
    """A caller who leaves while probing neither closes, opens nor blocks."""
    breaker = half_open(HandClock())
    ask(breaker, SUCCESS, *[NEUTRAL] * 10)
    assert breaker.state == "half_open"
    ask(breaker, SUCCESS)
    assert breaker.state == "closed"


def test_a_probe_that_is_never_settled_is_taken_back() -> None:
    """Its lease ends; until then it holds its place."""
    clock = HandClock()
    breaker = half_open(clock)
    admitted(breaker)
    clock.now += 4.9
    assert breaker.admit() is None
    clock.now += 0.1
    assert breaker.admit() is not None


@pytest.mark.parametrize("taken_back", [True, False])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_probe_past_its_lease_is_a_straggler(verdict: Verdict, taken_back: bool) -> None:  # noqa: FBT001
    """Its verdict changes nothing, whether somebody else has its place by now or not; nor is a place lost."""
    clock = HandClock()
    breaker = half_open(clock, successes_to_close=1)
    lost = admitted(breaker)
    clock.now += 5.0
    second = admitted(breaker) if taken_back else None
    lost.settle(verdict, 5.0)
    assert breaker.state == "half_open"
    if second is None:
        second = admitted(breaker)
    assert breaker.admit() is None
    second.settle(SUCCESS, 0.0)
    assert breaker.state == "closed"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_probe_of_an_earlier_round_is_a_straggler(verdict: Verdict) -> None:
    """After a sibling opened the breaker again, and in the round after that, it is worth nothing."""
    clock = HandClock()
    breaker = half_open(clock, probes=2, lease=1000.0, successes_to_close=1)
    late, failed = admitted(breaker), admitted(breaker)
    failed.settle(FAILURE, 0.0)
    clock.now += breaker.retry_after()
    first, second = admitted(breaker), admitted(breaker)
    late.settle(verdict, 0.0)
    assert breaker.state == "half_open"
    assert breaker.admit() is None
    first.settle(NEUTRAL, 0.0)
    second.settle(SUCCESS, 0.0)
    assert breaker.state == "closed"


def test_permits_of_before_the_trip_are_stragglers_in_half_open_and_after() -> None:
    """A success that was asked for when all was well closes nothing; a failure opens nothing."""
    clock = HandClock()
    breaker = plain_breaker(clock, successes_to_close=1)
    old = [admitted(breaker) for _ in range(8)]
    ask(breaker, FAILURE, FAILURE, FAILURE)
    clock.now += breaker.retry_after()
    probe = admitted(breaker)
    old[0].settle(SUCCESS, 0.0)
    old[1].settle(FAILURE, 0.0)
    assert breaker.state == "half_open"
    probe.settle(SUCCESS, 0.0)
    for permit in old[2:]:
        permit.settle(FAILURE, 0.0)
    assert breaker.state == "closed"


def test_it_closes_with_a_clean_slate() -> None:
    """Neither the row nor the window of before the trip is held against a recovered upstream."""
    clock = HandClock()
    breaker = half_open(clock, failure_ratio=0.5, minimum_requests=4, window=1000.0)
    ask(breaker, SUCCESS, SUCCESS)
    ask(breaker, FAILURE, FAILURE)
    assert breaker.state == "closed"


def test_a_probe_is_settled_once() -> None:
    """As any permit."""
    probe = admitted(half_open(HandClock()))
    probe.settle(NEUTRAL, 0.0)
    with pytest.raises(PermitSettled):
        probe.settle(SUCCESS, 0.0)
