"""Laws of faults on purpose."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import HandClock

from sidecar.policy.fault import Fault


def a_fault(clock: HandClock, **changed: Any) -> Fault:
    """Every attempt aborted for 60 s, unless told otherwise."""
    settings: dict[str, Any] = {
        "abort": 503,
        "delay": 0.0,
        "reset": False,
        "ratio": 1.0,
        "until": clock.now + 60.0,
        "clock": clock,
        "rng": Random(7),
    }
    return Fault(**(settings | changed))


def test_it_is_over_when_its_time_is() -> None:
    """To the moment, and for good: nobody has to lift it."""
    clock = HandClock()
    fault = a_fault(clock)
    clock.now += 59.999
    assert fault.strikes()
    assert fault.left > 0.0
    clock.now += 0.001
    assert not fault.strikes()
    assert fault.left == 0.0


@given(ratio=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
def test_it_strikes_the_share_that_was_asked_for(ratio: float, seed: int) -> None:
    """Of 2000, within five standard deviations; all of them at a ratio of 1."""
    fault = a_fault(HandClock(), ratio=ratio, rng=Random(seed))
    struck = sum(fault.strikes() for _ in range(2000))
    assert abs(struck - 2000 * ratio) <= 5.0 * (2000 * ratio * (1.0 - ratio)) ** 0.5
