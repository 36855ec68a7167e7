"""Laws of the rate limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import HandClock

from sidecar.policy.rate_limit import RateLimit

STEPS = st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1, 0.25, 1.0, 60.0]), max_size=60)


class Bucket:
    """The same as a count of tokens: what the limit must agree with."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self.tokens = float(burst)

    def wait(self, seconds: float) -> None:
        """Tokens drip in, as many as there is room for."""
        self.tokens = min(float(self.burst), self.tokens + seconds * self.per_second)

    def admit(self) -> bool:
        """Takes one if there is a whole one."""
        if self.tokens < 1.0 - 1e-6:
            return False
        self.tokens -= 1.0
        return True


@given(per_second=st.sampled_from([0.1, 1.0, 7.0, 50.0]), burst=st.integers(1, 5), steps=STEPS)
def test_it_is_a_bucket_of_tokens(per_second: float, burst: int, steps: list[float]) -> None:
    """Whatever the rate, the burst and the rests between: each request is admitted exactly when a token is left."""
    clock = HandClock()
    limit, bucket = RateLimit(per_second=per_second, burst=burst, clock=clock), Bucket(per_second, burst)
    for rest in steps:
        clock.now += rest
        bucket.wait(rest)
        assert limit.admit() == bucket.admit()


@given(per_second=st.sampled_from([0.1, 1.0, 7.0, 50.0]), burst=st.integers(1, 5), steps=STEPS)
def test_no_more_pass_than_burst_and_rate(per_second: float, burst: int, steps: list[float]) -> None:
    """Over every stretch of time between two requests, not only from the start."""
    clock = HandClock()
    limit = RateLimit(per_second=per_second, burst=burst, clock=clock)
    passed: list[float] = []
    for rest in steps:
        clock.now += rest
        if limit.admit():
            passed.append(clock.now)
    for first, since in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + per_second * (passed[last] - since) + 1e-6


@given(per_second=st.sampled_from([0.1, 1.0, 7.0, 50.0]), burst=st.integers(1, 5))
def test_retry_after_is_when_there_is_a_token_and_not_before(per_second: float, burst: int) -> None:
    """Who waits that long is admitted, who waits less is not; asking takes nothing."""
    clock = HandClock()
    limit = RateLimit(per_second=per_second, burst=burst, clock=clock)
    assert limit.retry_after() == 0.0
    while limit.admit():
        pass
    wait = limit.retry_after()
    assert wait == pytest.approx(1.0 / per_second)
    clock.now += wait * 0.99
    assert not limit.admit()
    assert limit.retry_after() == pytest.approx(wait * 0.01)
    clock.now += wait * 0.01 + 1e-9
    assert limit.admit()
    assert not limit.admit()


def test_a_refusal_takes_nothing() -> None:
    """However many are refused, the next token comes when it would have come."""
    clock = HandClock()
    limit = RateLimit(per_second=10.0, burst=1, clock=clock)
    assert limit.admit()
    for _ in range(1000):
        assert not limit.admit()
    clock.now += 0.1
    assert limit.admit()


def test_its_repr_shows_its_rate() -> None:
    """For failing tests."""
    limit = RateLimit(per_second=2.0, burst=1, clock=HandClock())
    assert repr(limit) == "<RateLimit 2/s, next in 0.000s>"
    limit.admit()
    assert repr(limit) == "<RateLimit 2/s, next in 0.500s>"
