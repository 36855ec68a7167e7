"""Laws of the floor under a body's speed: who could send and did not is found out, nobody else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.body import Body
from sidecar.wire.pace import LONGEST_STEP, Pace

FLOOR = 100
OVER = 4.0


class Watched:
    """A body whose pace is looked at twice a second."""

    def __init__(self, floor: float = FLOOR) -> None:
        self.pace = Pace(floor=floor, over=OVER)
        self.body = Body(1 << 30)
        self.now = 1000.0
        self.look()

    def look(self, *, may_send: bool = True) -> bool:
        """One look."""
        return self.pace.is_too_slow(self.body, self.now, may_send=may_send)

    def passes(self, seconds: float, *, rate: float, may_send: bool = True, step: float = 0.5) -> bool:
        """Time passes, and bytes come at that rate; whether it was found too slow."""
        found = False
        for _ in range(int(seconds / step)):
            self.now += step
            if rate:
                self.body.feed(b"x" * int(rate * step))
            found = self.look(may_send=may_send) or found
        return found


@given(rate=st.integers(0, 10).map(lambda tenth: FLOOR * tenth / 5))
def test_whoever_sends_below_the_floor_is_found_within_two_judgements(rate: float) -> None:
    """And whoever sends at the floor or above is not."""
    assert Watched().passes(2 * OVER + 1, rate=rate) is (rate < FLOOR)


def test_nobody_is_judged_before_its_time() -> None:
    """A body that has just begun may be late."""
    watched = Watched()
    assert not watched.passes(OVER - 0.5, rate=0)
    assert watched.passes(0.5, rate=0)


def test_what_came_quickly_once_does_not_excuse_what_comes_slowly_now() -> None:
    """Each judgement speaks of its own time: one that sent a megabyte may not drip for hours."""
    watched = Watched()
    assert not watched.passes(OVER, rate=1_000_000)
    assert watched.passes(OVER, rate=1)


def test_time_in_which_it_could_not_send_does_not_count() -> None:
    """Held back by a slow upstream, or waiting to be asked, for however long."""
    watched = Watched()
    assert not watched.passes(100 * OVER, rate=0, may_send=False)
    assert not watched.passes(OVER - 0.5, rate=0)


@given(st.lists(st.booleans(), min_size=20, max_size=200))
def test_only_time_between_two_looks_at_which_it_could_send_counts(looks: list[bool]) -> None:
    """It is found as soon as that much silence has been counted, not sooner."""
    watched = Watched()
    counted = 0.0
    last = True
    for may_send in looks:
        watched.now += 0.5
        counted += 0.5 if may_send and last else 0.0
        last = may_send
        found = watched.look(may_send=may_send)
        assert found is (counted >= OVER)
        if found:
            return


def test_a_body_is_not_judged_by_the_one_before_it() -> None:
    """On a connection that is kept, each begins anew."""
    watched = Watched()
    assert not watched.passes(OVER - 0.5, rate=0)
    watched.body = Body(10_000)
    assert not watched.passes(OVER, rate=0)
    assert watched.passes(0.5, rate=0)


@pytest.mark.parametrize("stall", [LONGEST_STEP, OVER, 60.0])
def test_our_own_stall_is_not_held_against_it(stall: float) -> None:
    """What came while the loop stood still is seen a turn later: a look after a stall counts as one second at most."""
    watched = Watched()
    assert not watched.passes(OVER - LONGEST_STEP - 0.5, rate=0)
    watched.now += stall
    assert not watched.look()
    assert watched.passes(0.5, rate=0)
