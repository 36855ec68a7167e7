"""Laws of ejection: who goes, for how long, and that enough of them stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, THROTTLED, HandClock

from sidecar.policy.ejection import Ejection, Standing
from sidecar.policy.outcome import Verdict


def ejection(clock: HandClock, **changed: float) -> Ejection:
    """After 3 in a row, for 30 s at a time up to 100 s, half of them at most."""
    settings = {"consecutive_failures": 3, "base": 30.0, "cap": 100.0, "max_share": 0.5} | changed
    return Ejection(clock=clock, **settings)  # type: ignore[arg-type]


def judge(policy: Ejection, standing: Standing, peers: list[Standing], *verdicts: Verdict) -> bool:
    """Whether any of the verdicts ejected it."""
    return sum(policy.judge(standing, verdict, peers) for verdict in verdicts) > 0


moves = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([FAILURE, FAILURE, FAILURE, *Verdict]),
        st.floats(0.0, 40.0) | st.just(0.0),
    ),
    max_size=150,
)


@given(
    count=st.integers(1, 6),
    max_share=st.sampled_from([0.0, 0.1, 0.34, 0.5, 0.67, 1.0]),
    consecutive=st.integers(0, 3),
    moves=moves,
)
def test_never_more_than_the_share_is_away_and_a_lone_endpoint_stays(
    count: int, max_share: float, consecutive: int, moves: list[tuple[int, Verdict, float]]
) -> None:
    """At every moment, whatever failed."""
    clock = HandClock()
    policy = ejection(clock, max_share=max_share, consecutive_failures=consecutive)
    peers = [Standing() for _ in range(count)]
    for index, verdict, seconds in moves:
        standing = peers[index % count]
        was_away = clock.now < standing.until
        went = policy.judge(standing, verdict, peers)
        assert went == (not was_away and clock.now < standing.until)
        assert not went or (verdict is FAILURE and consecutive)
        away = sum(clock.now < peer.until for peer in peers)
        assert away <= max_share * count
        assert count > 1 or away == 0
        clock.now += seconds


def test_a_lone_endpoint_stays_whatever_the_share() -> None:
    """Somebody has to try."""
    standing = Standing()
    assert not judge(ejection(HandClock(), max_share=1.0), standing, [standing], *[FAILURE] * 9)


def test_it_goes_after_so_many_failures_in_a_row() -> None:
    """A success in between starts the row anew."""
    policy, peers = ejection(HandClock()), [Standing(), Standing()]
    assert not judge(policy, peers[0], peers, FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE)
    assert judge(policy, peers[0], peers, FAILURE)


@pytest.mark.parametrize("between", [THROTTLED, NEUTRAL, Verdict.CUT_SHORT])
def test_throttled_and_neutral_say_nothing(between: Verdict) -> None:
    """They neither extend nor end a row."""
    policy, peers = ejection(HandClock()), [Standing(), Standing()]
    assert not judge(policy, peers[0], peers, FAILURE, FAILURE, *[between] * 9)
    assert judge(policy, peers[0], peers, FAILURE)


def test_what_fails_while_away_is_of_before() -> None:
    """Attempts that were under way when it went neither prolong its absence nor count after it."""
    clock = HandClock()
    policy, peers = ejection(clock), [Standing(), Standing()]
    judge(policy, peers[0], peers, *[FAILURE] * 3)
    until = peers[0].until
    assert not judge(policy, peers[0], peers, *[FAILURE] * 9)
    assert peers[0].until == until
    clock.now = until
    assert not judge(policy, peers[0], peers, FAILURE, FAILURE)


def test_it_stays_away_longer_each_time_up_to_the_cap() -> None:
    """30, 60, 90, 100, 100 seconds."""
    clock = HandClock()
    policy, peers = ejection(clock), [Standing(), Standing()]
    times = []
    for _ in range(5):
        judge(policy, peers[0], peers, *[FAILURE] * 3)
        times.append(peers[0].until - clock.now)
        clock.now = peers[0].until
    assert times == [30.0, 60.0, 90.0, 100.0, 100.0]


@pytest.mark.parametrize(("served", "next_time"), [(99.0, 60.0), (100.0, 30.0)])
def test_a_long_time_in_service_is_forgiven(served: float, next_time: float) -> None:
    """After `cap` seconds in service its past is past."""
    clock = HandClock()
    policy, peers = ejection(clock), [Standing(), Standing()]
    judge(policy, peers[0], peers, *[FAILURE] * 3)
    clock.now = peers[0].until + served
    judge(policy, peers[0], peers, *[FAILURE] * 3)
    assert peers[0].until - clock.now == next_time


def test_one_that_had_to_stay_goes_as_soon_as_it_may() -> None:
    """The share holds it back, not the row: its next failure after a peer's return ejects it."""
    clock = HandClock()
    policy, peers = ejection(clock), [Standing(), Standing()]
    judge(policy, peers[0], peers, *[FAILURE] * 3)
    assert not judge(policy, peers[1], peers, *[FAILURE] * 5)
    clock.now = peers[0].until
    assert judge(policy, peers[1], peers, FAILURE)


def test_a_standing_shows_itself() -> None:
    """For failing tests."""
    assert repr(Standing()) == "<Standing failures=0 ejections=0 until=-inf>"
