"""Laws of the bulkhead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.bulkhead import Bulkhead


@given(limit=st.integers(0, 5), moves=st.lists(st.booleans()))
def test_never_more_than_the_limit_are_under_way(limit: int, moves: list[bool]) -> None:
    """A slot is granted exactly when one is free, whatever came and went before."""
    bulkhead = Bulkhead(limit)
    inside = 0
    for enters in moves:
        if enters:
            granted = bulkhead.enter()
            assert granted == (inside < limit)
            inside += granted
        elif inside:
            bulkhead.leave()
            inside -= 1
        assert bulkhead.in_flight == inside <= limit


def test_whoever_leaves_must_have_entered() -> None:
    """A slot given back twice would let too many in: it is a defect, not a number."""
    with pytest.raises(AssertionError):
        Bulkhead(3).leave()


def test_its_repr_shows_how_full_it_is() -> None:
    """For the status page and failing tests."""
    bulkhead = Bulkhead(3)
    bulkhead.enter()
    assert repr(bulkhead) == "<Bulkhead 1/3>"
