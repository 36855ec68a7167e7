"""Laws of retrying: what is repeated, what is not and why, and after how long."""

from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, THROTTLED, HandClock

from sidecar.policy import reasons
from sidecar.policy.budget import RetryBudget
from sidecar.policy.outcome import Outcome, judge_status
from sidecar.policy.retry import WORDS, Again, Denied, Retry

ON = ("connect_failure", "reset", "timeout", 408, 429, 502, 503, 504)
SAFE = (b"GET", b"HEAD", b"OPTIONS")
YES_NO = (True, False)
METHODS = (*SAFE, b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"get")

REPEATED = {
    reasons.CONNECT_FAILURE, reasons.CONNECT_TIMEOUT, reasons.DNS_FAILURE, reasons.TLS_FAILURE,
    reasons.ATTEMPT_TIMEOUT, reasons.RESET,
}  # fmt: skip
"""What the words of the default list cover, spelt out once more."""


def budget(retries: float = 1e9) -> RetryBudget:
    """One with so many retries in it."""
    return RetryBudget(ratio=0.0, per_second=retries / 10.0, clock=HandClock())


def retry(**changed: Any) -> Retry:
    """The defaults, with 3 attempts."""
    settings: dict[str, Any] = {
        "attempts": 3,
        "on": ON,
        "methods": SAFE,
        "idempotency_key": False,
        "base": 0.025,
        "factor": 2.0,
        "cap": 0.25,
        "jitter": True,
        "respect_retry_after": True,
        "budget": budget(),
        "rng": Random(1),
    }
    return Retry(**(settings | changed))


def decide(policy: Retry, outcome: Outcome, attempt: int = 1, **changed: Any) -> Again | Denied | None:
    """For a GET without a body and with plenty of time, unless told otherwise."""
    call: dict[str, Any] = {
        "method": b"GET",
        "has_key": False,
        "replayable": True,
        "remaining": 10.0,
    } | changed
    return policy.decide(outcome, attempt, **call)


def denied(policy: Retry, outcome: Outcome, attempt: int = 1, **changed: Any) -> str:
    """The reason of a denial; "" if there was none."""
    decision = decide(policy, outcome, attempt, **changed)
    return decision.reason if isinstance(decision, Denied) else ""


FAILED = Outcome(FAILURE, reasons.RESET, sent=True)


@pytest.mark.parametrize("reason", list(reasons.REASONS))
def test_which_reasons_are_repeated_for_whom(reason: str) -> None:
    """The whole table: reason, method, bytes sent, body at hand, key, key allowed."""
    for method, sent, replayable, has_key, keyed in product(METHODS, YES_NO, YES_NO, YES_NO, YES_NO):
        decision = decide(
            retry(idempotency_key=keyed),
            Outcome(FAILURE, reason, sent=sent),
            method=method,
            replayable=replayable,
            has_key=has_key,
        )
        may = not sent or method in SAFE or (has_key and keyed)
        if reason not in REPEATED:
            assert decision is None
        elif not may:
            assert decision == Denied("method")
        elif sent and not replayable:
            assert decision == Denied("body")
        else:
            assert isinstance(decision, Again)


@pytest.mark.parametrize("reason", [reasons.OK, reasons.UPSTREAM_ERROR, reasons.UNEXPECTED_RESPONSE])
def test_an_answer_is_repeated_by_its_status(reason: str) -> None:
    """Listed ones and no others, whatever they say about the upstream."""
    policy = retry()
    outcomes = [Outcome(judge_status(status, None), reason, status=status, sent=True) for status in range(200, 600)]
    repeated = {outcome.status for outcome in outcomes if isinstance(decide(policy, outcome), Again)}
    assert repeated == {408, 429, 502, 503, 504}


def test_a_status_that_came_before_a_reset_does_not_count() -> None:
    """Half an answer is judged by how it ended."""
    outcome = Outcome(FAILURE, reasons.MALFORMED_RESPONSE, status=503, sent=True)
    assert decide(retry(), outcome) is None


@pytest.mark.parametrize("word", WORDS)
def test_a_word_covers_its_reasons_alone(word: str) -> None:
    """Each word of the YAML, one at a time."""
    for reason in reasons.REASONS:
        decision = decide(retry(on=[word]), Outcome(FAILURE, reason))
        assert isinstance(decision, Again) == (reason in WORDS[word])


def test_an_unknown_word_is_refused() -> None:
    """When it is built, not when it is needed."""
    with pytest.raises(ValueError, match="'gateway_error' is none of connect_failure, timeout, reset"):
        retry(on=["gateway_error"])


def test_one_attempt_is_no_retry() -> None:
    """With `attempts: 1` there is nothing to deny, and nothing is counted as denied."""
    assert decide(retry(attempts=1), FAILED) is None


def test_the_last_attempt_is_the_last() -> None:
    """Of three, two are repeated."""
    policy = retry(attempts=3)
    assert isinstance(decide(policy, FAILED, 2), Again)
    assert denied(policy, FAILED, 3) == denied(policy, FAILED, 4) == "attempts"


def test_neither_success_nor_neutral_is_repeated() -> None:
    """What was answered was answered; who left does not come back for a retry."""
    assert decide(retry(), Outcome(SUCCESS, status=200)) is None
    assert decide(retry(), Outcome(NEUTRAL, reasons.CLIENT_GONE)) is None
    assert decide(retry(), Outcome(NEUTRAL, reasons.DEADLINE, sent=True)) is None


def test_reasons_of_denial_come_in_their_order() -> None:
    """attempts, method, body, retry_after, deadline, budget: with each cause removed the next one shows."""
    call: dict[str, Any] = {"method": b"POST", "replayable": False, "remaining": 0.01}
    policy = retry(budget=budget(0.0), jitter=False)
    slow = Outcome(THROTTLED, reasons.OK, status=429, sent=True, retry_after=5.0)
    soon = Outcome(THROTTLED, reasons.OK, status=429, sent=True)
    found = [
        denied(policy, slow, 3, **call),
        denied(policy, slow, 2, **call),
        denied(policy, slow, 2, **call | {"method": b"GET"}),
        denied(policy, slow, 2, **call | {"method": b"GET", "replayable": True}),
        denied(policy, soon, 2, **call | {"method": b"GET", "replayable": True}),
        denied(policy, soon, 2, method=b"GET"),
    ]
    assert found == ["attempts", "method", "body", "retry_after", "deadline", "budget"]


def test_a_retry_that_is_denied_costs_nothing() -> None:
    """The budget is asked last: its single retry is still there after every other denial."""
    policy = retry(budget=budget(1.0))
    waiting = Outcome(THROTTLED, reasons.OK, status=503, sent=True, retry_after=60.0)
    assert denied(policy, FAILED, 3) == "attempts"
    assert denied(policy, FAILED, method=b"POST") == "method"
    assert denied(policy, FAILED, replayable=False) == "body"
    assert denied(policy, waiting) == "retry_after"
    assert denied(policy, FAILED, remaining=0.0) == "deadline"
    assert isinstance(decide(policy, FAILED), Again)
    assert denied(policy, FAILED) == "budget"


@given(attempt=st.integers(1, 9), seed=st.integers())
def test_full_jitter_stays_below_a_growing_bound(attempt: int, seed: int) -> None:
    """Between nothing and base * factor^(n-1), at most the cap."""
    bound = min(0.25, 0.025 * 2.0 ** (attempt - 1))
    assert 0.0 <= retry(attempts=10, rng=Random(seed)).backoff(attempt) <= bound
    assert retry(attempts=10, jitter=False).backoff(attempt) == bound


def test_full_jitter_uses_its_whole_range() -> None:
    """From near nothing to near the bound: that is what spreads a herd."""
    policy = retry()
    delays = [policy.backoff(1) for _ in range(1000)]
    assert min(delays) < 0.001
    assert max(delays) > 0.024


@pytest.mark.parametrize("factor", [1.0, 1e300])
def test_no_backoff_overflows(factor: float) -> None:
    """However large the factor and the number of attempts."""
    policy = retry(attempts=2000, factor=factor, jitter=False)
    assert policy.backoff(1999) <= 0.25


@given(asked=st.floats(0.0, 20.0), remaining=st.floats(0.0, 20.0), seed=st.integers(0, 99))
def test_never_before_the_upstream_says_nor_after_the_deadline(asked: float, remaining: float, seed: int) -> None:
    """`Retry-After` is a lower bound; longer than the time left, it ends the retries and is passed on."""
    outcome = Outcome(THROTTLED, reasons.OK, status=503, sent=True, retry_after=asked)
    decision = decide(retry(rng=Random(seed)), outcome, remaining=remaining)
    if isinstance(decision, Again):
        assert asked <= decision.delay < remaining
        assert decision.delay <= asked + 0.025
    else:
        assert decision == Denied("retry_after" if asked > remaining else "deadline")
        assert asked + 0.025 >= remaining


def test_a_retry_that_could_only_begin_at_the_deadline_is_denied() -> None:
    """It would have no time left at all."""
    policy = retry(jitter=False)
    assert denied(policy, FAILED, remaining=0.025) == "deadline"
    assert isinstance(decide(policy, FAILED, remaining=0.026), Again)


def test_a_retry_after_can_be_overruled() -> None:
    """`respect_retry_after: false` waits as if it had not been said."""
    outcome = Outcome(THROTTLED, reasons.OK, status=503, sent=True, retry_after=60.0)
    decision = decide(retry(respect_retry_after=False), outcome)
    assert isinstance(decision, Again)
    assert decision.delay <= 0.025


def test_it_says_which_methods_are_safe() -> None:
    """For whoever else must know, the failover to another upstream among them."""
    policy = retry()
    assert all(policy.is_safe(method) for method in SAFE)
    assert not policy.is_safe(b"POST")


@pytest.mark.parametrize(("on", "lists"), [((503, "reset"), False), ((408,), True), ((429,), False), ((501,), True)])
def test_it_says_whether_successes_are_of_interest(on: tuple[str | int, ...], lists: bool) -> None:  # noqa: FBT001
    """A 408 is an answer like any other 4xx, and may be listed all the same."""
    assert retry(on=on).lists_successes == lists
