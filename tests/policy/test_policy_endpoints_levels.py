"""Laws of weights, priorities, health and slow start: which of several endpoints is asked."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_fakes import FAILURE, SUCCESS, HandClock

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import FIRST_SHARE, Endpoint, Upstream
from sidecar.policy.health import Health

Spec = tuple[int, int]
"""Weight and priority."""


def upstream(
    clock: HandClock, *specs: Spec, max_share: float = 0.5, slow_start: float = 0.0, seed: int = 1
) -> Upstream:
    """Endpoints "0", "1", ... ejected for 30 s by one failure; one check that fails, or passes, turns them."""
    return Upstream(
        name="u",
        endpoints=[
            Endpoint(
                name=str(number),
                weight=weight,
                priority=priority,
                health=Health(unhealthy_after=1, healthy_after=1),
            )
            for number, (weight, priority) in enumerate(specs)
        ],
        ejection=Ejection(consecutive_failures=1, base=30.0, cap=100.0, max_share=max_share, clock=clock),
        budget=RetryBudget(ratio=0.2, per_second=1.0, clock=clock),
        clock=clock,
        rng=Random(seed),
        slow_start=slow_start,
        check_every=5.0,
    )


def picks(group: Upstream, count: int) -> Counter[str]:
    """Who is asked, one after another, each idle again before the next."""
    found: Counter[str] = Counter()
    for _ in range(count):
        endpoint = group.pick(())
        assert endpoint is not None
        found[endpoint.name] += 1
    return found


def running(group: Upstream, count: int) -> Counter[str]:
    """Where so many requests are when they are all under way at once."""
    for _ in range(count):
        endpoint = group.pick(())
        assert endpoint is not None
        endpoint.pending += 1
    return Counter({endpoint.name: endpoint.pending for endpoint in group.endpoints})


# Weights.


@settings(max_examples=20)
@given(weights=st.lists(st.integers(1, 100), min_size=2, max_size=5), seed=st.integers())
def test_shares_converge_to_weights(weights: list[int], seed: int) -> None:
    """One request at a time: each gets its weight's share, within five standard deviations."""
    group = upstream(HandClock(), *((weight, 0) for weight in weights), seed=seed)
    count = 2000
    found = picks(group, count)
    for number, weight in enumerate(weights):
        share = weight / sum(weights)
        spread = 5.0 * (count * share * (1.0 - share)) ** 0.5
        assert abs(found[str(number)] - count * share) <= spread + 1.0


def test_many_at_once_are_spread_by_weight() -> None:
    """What is under way, not only what is drawn, follows the weights."""
    found = running(upstream(HandClock(), (3, 0), (1, 0)), 400)
    assert 285 <= found["0"] <= 305


def test_one_that_is_slow_gets_less_than_its_weight() -> None:
    """Ten times as much under way as its weight says: it is not asked."""
    group = upstream(HandClock(), (3, 0), (1, 0))
    group.endpoints[0].pending = 30
    assert picks(group, 200)["0"] < 150  # both drawn are the heavy one in 9 of 16


def test_weight_0_is_never_asked() -> None:
    """Not as a last resort either: somebody has drained it on purpose."""
    group = upstream(HandClock(), (1, 0), (0, 0))
    drained = group.endpoints[1]
    assert set(picks(group, 50)) == {"0"}
    assert group.pick([group.endpoints[0]]) is group.endpoints[0]
    group.checked(group.endpoints[0], "x")
    assert group.pick(()) is None
    group.judge(drained, FAILURE)
    assert group.ejected() == []  # the only one that is left is a lone one


def test_an_upstream_has_somebody_to_ask() -> None:
    """All drained is refused when it is built."""
    with pytest.raises(ValueError, match="weight above 0"):
        upstream(HandClock(), (0, 0), (0, 1))


# Priorities.


def test_the_next_priority_is_asked_only_while_the_first_is_out() -> None:
    """Ejected: the next; back: the first again, all of it."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 1), (1, 1))
    assert set(picks(group, 50)) == {"0"}
    group.judge(group.endpoints[0], FAILURE)
    assert set(picks(group, 50)) == {"1", "2"}
    clock.now += 30.0
    assert set(picks(group, 50)) == {"0"}


def test_a_retry_goes_through_the_priorities_in_order() -> None:
    """First those of the same one that were not tried, then the next, then the first again."""
    group = upstream(HandClock(), (1, 1), (1, 0), (1, 0), (1, 7))
    tried: list[Endpoint] = []
    for _ in range(5):
        endpoint = group.pick(tried)
        assert endpoint is not None
        tried.append(endpoint)
    names = [endpoint.name for endpoint in tried]
    assert set(names[:2]) == {"1", "2"}
    assert names[2:4] == ["0", "3"]
    assert names[4] in ("1", "2")


# Health.


def test_one_that_is_unwell_is_not_asked_until_it_is_well() -> None:
    """However long that takes: time alone does not bring it back."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 0))
    assert group.checked(group.endpoints[0], "reset: gone")
    clock.now += 10_000.0
    assert set(picks(group, 50)) == {"1"}
    assert not group.checked(group.endpoints[0], "reset: gone")
    assert group.checked(group.endpoints[0], "")
    assert set(picks(group, 50)) == {"0", "1"}


def test_a_lone_endpoint_that_is_unwell_is_not_asked() -> None:
    """Nobody else is there, and a refusal at once is worth more than a timeout; it comes back with its health."""
    group = upstream(HandClock(), (1, 0))
    group.checked(group.endpoints[0], "x")
    assert group.pick(()) is None
    assert group.retry_after() == 5.0
    group.checked(group.endpoints[0], "")
    assert group.pick(()) is group.endpoints[0]


def test_health_that_returns_ends_the_ejection_of_the_same_outage() -> None:
    """The checks saw it go and come back. One that only ever passed ends nothing: it misses what callers see."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 0))
    bad = group.endpoints[0]
    group.judge(bad, FAILURE)
    group.checked(bad, "")
    assert group.ejected() == [bad]
    group.checked(bad, "x")
    clock.now += 1.0
    group.checked(bad, "")
    assert group.ejected() == []
    assert set(picks(group, 50)) == {"0", "1"}


def test_failures_of_one_that_is_unwell_say_nothing_more() -> None:
    """It is out already; what was under way must not prolong that."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 0))
    group.checked(group.endpoints[0], "x")
    group.judge(group.endpoints[0], FAILURE)
    assert group.ejected() == []


def test_ejection_gives_way_where_health_has_taken_all_others() -> None:
    """A suspicion against a fact: better the one that failed of late than nobody, unless `max_share` is all."""
    for max_share, expected in ((0.5, {"0"}), (1.0, None)):
        group = upstream(HandClock(), (1, 0), (1, 0), max_share=max_share)
        group.judge(group.endpoints[0], FAILURE)
        group.checked(group.endpoints[1], "x")
        assert (None if group.pick(()) is None else set(picks(group, 50))) == expected


def test_how_long_until_somebody_can_be_asked() -> None:
    """The soonest of: an ejection's end, the next check."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 0), max_share=1.0)
    group.judge(group.endpoints[0], FAILURE)
    clock.now += 1.0
    group.judge(group.endpoints[1], FAILURE)
    assert group.pick(()) is None
    assert group.retry_after() == 29.0
    group.checked(group.endpoints[0], "x")
    assert group.retry_after() == 29.0  # the first is ejected as long as that too
    clock.now += 28.0
    assert group.retry_after() == 2.0
    group.checked(group.endpoints[1], "x")
    assert group.retry_after() == 5.0


# Slow start.


def test_it_grows_from_a_tenth_to_all_and_never_shrinks() -> None:
    """In virtual time, over the window, in steps no coarser than a tenth of it."""
    clock = HandClock()
    group = upstream(clock, (10, 0), (10, 0), slow_start=10.0)
    back = group.endpoints[0]
    group.judge(back, FAILURE)
    clock.now += 30.0
    group.pick(())
    assert back.share == pytest.approx(10 * FIRST_SHARE)
    before = back.share
    for tick in range(1, 111):
        clock.now = 1030.0 + tick / 10
        group.pick(())
        assert back.share >= before
        exact = 10 * min(1.0, FIRST_SHARE + (1 - FIRST_SHARE) * tick / 100)
        assert exact - 1.0 <= back.share <= exact + 1e-9
        before = back.share
    assert back.share == 10.0
    assert group.endpoints[1].share == 10.0


def test_one_that_comes_back_is_not_given_all_at_once() -> None:
    """Of a hundred under way it has a tenth of what the others have: idle, it would have drawn them all."""
    clock = HandClock()
    group = upstream(clock, (1, 0), (1, 0), (1, 0), slow_start=10.0)
    group.checked(group.endpoints[0], "x")
    group.checked(group.endpoints[0], "")
    found = running(group, 210)
    assert found["0"] <= 20
    assert min(found["1"], found["2"]) >= 90


def test_nothing_is_slow_at_the_start_of_the_process() -> None:
    """Who never was away has all of its weight; without a window, everybody."""
    assert {endpoint.share for endpoint in upstream(HandClock(), (4, 0), (4, 0), slow_start=60.0).endpoints} == {4.0}
    clock = HandClock()
    group = upstream(clock, (4, 0), (4, 0))
    group.judge(group.endpoints[0], FAILURE)
    clock.now += 30.0
    group.pick(())
    assert group.endpoints[0].share == 4.0


# All of it together.


@settings(max_examples=200)
@given(
    specs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=5).filter(
        lambda specs: any(weight for weight, _ in specs)
    ),
    max_share=st.sampled_from([0.34, 0.5, 1.0]),
    slow_start=st.sampled_from([0.0, 7.0]),
    moves=st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["fail", "fail", "check fails", "check fails", "succeed", "check passes"]),
            st.sampled_from([0.0, 0.0, 0.5, 3.0, 30.0]),
            st.sets(st.integers(0, 4)),
        ),
        min_size=5,
        max_size=40,
    ),
    seed=st.integers(),
)
def test_at_every_moment_the_best_that_is_fit_is_asked(
    specs: list[Spec],
    max_share: float,
    slow_start: float,
    moves: list[tuple[int, str, float, set[int]]],
    seed: int,
) -> None:
    """Against the rules written down a second time: nobody who is out, drained or tried while another is not."""
    clock = HandClock()
    group = upstream(clock, *specs, max_share=max_share, slow_start=slow_start, seed=seed)
    ends = group.endpoints
    for number, move, seconds, tried_numbers in moves:
        endpoint = ends[number % len(ends)]
        if move in ("fail", "succeed"):
            group.judge(endpoint, FAILURE if move == "fail" else SUCCESS)
        else:
            group.checked(endpoint, "x" if move == "check fails" else "")
        clock.now += seconds
        well = [one for one in ends if one.weight and one.standing.well]
        fit = [one for one in well if clock.now >= one.standing.until]
        if not fit and max_share < 1.0:
            fit = well
        tried = [ends[index] for index in tried_numbers if index < len(ends)]
        left = [one for one in fit if one not in tried] or fit
        best = [one for one in left if one.priority == min(other.priority for other in left)]
        picked = group.pick(tried)
        assert (picked in best) if best else (picked is None)
        if picked is None:
            assert group.retry_after() > 0.0
