"""Laws of judging an answer by its status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.outcome import Outcome, Verdict, judge_status


@given(status=st.integers(200, 599), retry_after=st.none() | st.floats(0.0, 100.0))
def test_every_5xx_but_two_is_a_failure_and_nothing_else_is(status: int, retry_after: float | None) -> None:
    """501 and 505 say what the upstream does not do; a 503 that says when to come back is throttling."""
    verdict = judge_status(status, retry_after)
    if status == 429 or (status == 503 and retry_after is not None):
        assert verdict is Verdict.THROTTLED
    elif status >= 500 and status not in {501, 505}:
        assert verdict is Verdict.FAILURE
    else:
        assert verdict is Verdict.SUCCESS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 451])
def test_a_4xx_is_a_success(status: int) -> None:
    """The upstream is alive and said no."""
    assert judge_status(status, None) is Verdict.SUCCESS


def test_its_repr_names_no_answer() -> None:
    """It may hold a body: logs and failing tests must not show it."""
    outcome = Outcome(Verdict.FAILURE, "reset", status=200, sent=True, answer=b"phone", detail="+44")
    assert repr(outcome) == "Outcome(failure, reset, status=200, sent=True)"
