"""The worst case: arithmetic by hand, and nothing that the retry policy can do takes longer."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Config, Route
from sidecar.config.policies import Backoff
from sidecar.config.worst_case import Step, backoff_bounds, steps
from sidecar.policy.budget import RetryBudget
from sidecar.policy.retry import Retry

Accepted = Callable[..., Config]


def _route(accepted: Accepted, minimal: str, more: str) -> Route:
    return accepted(f"{minimal}    {more}\n").routes[0]


def test_each_attempt_and_each_wait_takes_its_longest(accepted: Accepted, minimal: str) -> None:
    """Attempts of 2 s with backoffs of 100, 200, 250 ms (capped)."""
    backoff = "{base: 100ms, factor: 2, max: 250ms}"
    more = f"timeout: {{attempt: 2s}}\n    retry: {{attempts: 4, backoff: {backoff}}}"
    route = _route(accepted, minimal, more)
    found = steps(route, connect_timeout=1.0)
    assert [(step.starts, step.ends) for step in found] == [
        (0.0, 2.0),
        (pytest.approx(2.1), pytest.approx(4.1)),
        (pytest.approx(4.3), pytest.approx(6.3)),
        (pytest.approx(6.55), pytest.approx(8.55)),
    ]
    assert {step.failure for step in found} == {"times out"}


@pytest.mark.parametrize(
    ("on", "repeatable", "ends", "failure"),
    [
        ("[timeout]", True, 4.0, "times out"),
        ("[503, reset]", True, 4.0, "fails at the last moment (503, reset)"),
        ("[connect_failure]", True, 1.0, "cannot connect"),
        ("[connect_failure, 503]", False, 1.0, "cannot connect"),
        ("[timeout]", False, 1.0, "cannot connect"),
    ],
)
def test_only_what_is_repeated_counts(
    on: str, ends: float, failure: str, accepted: Accepted, minimal: str, *, repeatable: bool
) -> None:
    """An attempt that is repeated only when it could not connect ends after connect_timeout."""
    route = _route(accepted, minimal, f"timeout: {{attempt: 4s}}\n    retry: {{attempts: 2, on: {on}}}")
    first, last = steps(route, connect_timeout=1.0, repeatable=repeatable)
    assert (first.ends, first.failure) == (ends, failure)
    assert last.ends == pytest.approx(ends + 0.025 + 4.0)


def test_what_is_never_repeated_has_one_attempt(accepted: Accepted, minimal: str) -> None:
    """A POST whose bytes were sent is not repeated for a 503."""
    route = _route(accepted, minimal, "timeout: {attempt: 4s}\n    retry: {attempts: 3, on: [503]}")
    assert steps(route, connect_timeout=1.0, repeatable=False) == [Step(3 - 2, 0.0, 0.0, 4.0, "times out")]


@given(
    base=st.integers(0, 10**6).map(lambda micros: micros / 1e6),
    factor=st.floats(1, 5),
    cap=st.integers(10**6, 10**7).map(lambda micros: micros / 1e6),
    attempts=st.integers(1, 10),
    jitter=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_no_backoff_is_longer_than_its_bound(
    *, base: float, factor: float, cap: float, attempts: int, jitter: bool, seed: int
) -> None:
    """The policy that serves never waits longer than the lint reckons."""
    written = {"base": f"{base:.6f}s", "factor": factor, "max": f"{cap:.6f}s"}
    bounds = backoff_bounds(Backoff.model_validate(written), attempts)
    retry = Retry(
        attempts=attempts,
        on=frozenset(),
        methods=frozenset(),
        idempotency_key=False,
        base=base,
        factor=factor,
        cap=cap,
        jitter=jitter,
        respect_retry_after=False,
        budget=RetryBudget(ratio=1.0, per_second=1.0, clock=lambda: 0.0),
        rng=Random(seed),
    )
    assert len(bounds) == attempts - 1
    assert all(retry.backoff(number) <= bound + 1e-5 for number, bound in enumerate(bounds, 1))
