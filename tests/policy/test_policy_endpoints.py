"""Laws of picking an endpoint."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, SUCCESS, HandClock

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint, Upstream


def upstream(count: int, clock: HandClock, *, max_share: float = 0.5, seed: int = 1) -> Upstream:
    """Endpoints "0", "1", ... that are ejected for 30 s after 2 failures in a row."""
    return Upstream(
        name="u",
        endpoints=[Endpoint(name=str(number)) for number in range(count)],
        ejection=Ejection(consecutive_failures=2, base=30.0, cap=100.0, max_share=max_share, clock=clock),
        budget=RetryBudget(ratio=0.2, per_second=1.0, clock=clock),
        clock=clock,
        rng=Random(seed),
    )


def eject(group: Upstream, *numbers: int) -> None:
    """Fails them until they are gone."""
    for number in numbers:
        group.judge(group.endpoints[number], FAILURE)
        group.judge(group.endpoints[number], FAILURE)


def test_a_lone_endpoint_is_always_picked() -> None:
    """Tried or failing: there is no other."""
    group = upstream(1, HandClock(), max_share=1.0)
    (only,) = group.endpoints
    eject(group, 0)
    assert group.pick(()) is only
    assert group.pick([only]) is only
    assert group.ejected() == []


@given(count=st.integers(2, 6), tried=st.sets(st.integers(0, 5)), seed=st.integers())
def test_those_not_tried_yet_come_first(count: int, tried: set[int], seed: int) -> None:
    """A retry goes elsewhere while there is an elsewhere; then anywhere."""
    group = upstream(count, HandClock(), seed=seed)
    done = [group.endpoints[number] for number in tried if number < count]
    picked = group.pick(done)
    assert picked is not None
    assert picked not in done or len(done) == count


@given(
    seed=st.integers(),
    moves=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from([0.0, 1.0, 29.0, 30.0]))),
)
def test_no_ejected_endpoint_is_picked_and_one_is_whenever_one_is_in(
    seed: int, moves: list[tuple[int, bool, float]]
) -> None:
    """At every moment: exactly those whose time is over take part."""
    clock = HandClock()
    group = upstream(5, clock, max_share=1.0, seed=seed)
    for number, fails, seconds in moves:
        group.judge(group.endpoints[number], FAILURE if fails else SUCCESS)
        clock.now += seconds
        away = {endpoint for endpoint in group.endpoints if clock.now < endpoint.standing.until}
        assert set(group.ejected()) == away
        picked = group.pick(())
        assert (picked is None) == (len(away) == 5)
        assert picked not in away


def test_one_comes_back_when_its_time_is_over() -> None:
    """To the moment, without anybody failing or succeeding in between."""
    clock = HandClock()
    group = upstream(2, clock)
    eject(group, 0)
    clock.now += 29.9
    assert {group.pick(()) for _ in range(50)} == {group.endpoints[1]}
    clock.now += 0.1
    assert {group.pick(()) for _ in range(50)} == set(group.endpoints)


def test_when_only_tried_ones_are_in_they_are_tried_again() -> None:
    """An ejected endpoint is worse than one that just failed once."""
    group = upstream(2, HandClock())
    eject(group, 0)
    assert group.pick([group.endpoints[1]]) is group.endpoints[1]


def test_it_prefers_the_less_busy_of_two() -> None:
    """Of two endpoints the busier one is never picked."""
    group = upstream(2, HandClock())
    group.endpoints[0].pending = 1
    assert {group.pick(()) for _ in range(50)} == {group.endpoints[1]}


def test_idle_endpoints_share_the_load() -> None:
    """None is starved, none gets twice its part."""
    group = upstream(4, HandClock())
    picks = [group.pick(()) for _ in range(4000)]
    for endpoint in group.endpoints:
        assert 700 < picks.count(endpoint) < 1300


def test_the_busiest_of_all_is_never_picked() -> None:
    """Drawn together with any other, it loses."""
    group = upstream(3, HandClock())
    group.endpoints[2].pending = 9
    assert group.endpoints[2] not in {group.pick(()) for _ in range(200)}


def test_without_ejection_nobody_goes() -> None:
    """`ejection: None` judges nothing."""
    clock = HandClock()
    group = Upstream(
        name="u",
        endpoints=[Endpoint(name="a"), Endpoint(name="b")],
        ejection=None,
        budget=RetryBudget(ratio=0.2, per_second=1.0, clock=clock),
        clock=clock,
        rng=Random(1),
    )
    eject(group, 0, 0, 0, 1)
    assert group.ejected() == []


def test_an_upstream_has_an_endpoint() -> None:
    """An empty group is refused when it is built, not when it is asked."""
    with pytest.raises(ValueError, match="needs an endpoint"):
        upstream(0, HandClock())


def test_what_it_is_shows_in_its_repr() -> None:
    """For failing tests."""
    group = upstream(3, HandClock())
    eject(group, 0)
    assert repr(group) == "<Upstream u 3 endpoints, 1 ejected>"
    assert repr(group.endpoints[1]).startswith("<Endpoint 1 pending=0")
