"""Laws of health: how many checks in a row turn it, and back."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.health import Health


def judged(health: Health, *results: str) -> list[bool]:
    """Whether each changed anything."""
    return [health.judge(why) for why in results]


def test_it_is_well_from_the_start() -> None:
    """Nobody waits for a first check, and a check that passes changes nothing."""
    health = Health(unhealthy_after=1, healthy_after=1)
    assert health.well
    assert judged(health, "", "") == [False, False]
    assert (health.well, health.why) == (True, "")


def test_so_many_in_a_row_turn_it_each_way() -> None:
    """Three down, two up; one of the other kind in between starts the row anew."""
    health = Health(unhealthy_after=3, healthy_after=2)
    assert judged(health, "x", "x", "", "x", "x", "x") == [False] * 5 + [True]
    assert not health.well
    assert judged(health, "", "x", "", "") == [False] * 3 + [True]
    assert health.well


def test_the_last_failure_is_kept() -> None:
    """Also after it has passed: what was wrong is what people ask."""
    health = Health(unhealthy_after=2, healthy_after=1)
    judged(health, "reset: a", "reset: b", "", "")
    assert (health.well, health.why) == (True, "reset: b")


@given(down=st.integers(1, 4), up=st.integers(1, 4), results=st.lists(st.booleans(), max_size=60))
def test_it_changes_exactly_where_a_row_is_long_enough(down: int, up: int, results: list[bool]) -> None:
    """Against a second way of counting: runs of equal results, each turning it at most once."""
    health = Health(unhealthy_after=down, healthy_after=up)
    well, turned = True, []
    for passed, run in groupby(results):
        length = len(list(run))
        needed = up if passed else down
        turns = passed != well and length >= needed
        turned += [turns and number == needed for number in range(1, length + 1)]
        well = well != turns
    assert judged(health, *("" if passed else "x" for passed in results)) == turned
    assert health.well == well


@pytest.mark.parametrize(("results", "shown"), [([], "well, 0"), (["x"], "well, 1"), (["x", "x", ""], "unwell, 1")])
def test_it_shows_itself(results: list[str], shown: str) -> None:
    """For failing tests."""
    health = Health(unhealthy_after=2, healthy_after=2)
    judged(health, *results)
    assert repr(health) == f"<Health {shown} checks against>"
