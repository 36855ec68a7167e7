"""Whether a failed attempt is made again, and after how long.

RFC 9110 section 9.2.2: a proxy must not repeat a request that is not idempotent unless it knows that the
first was not acted upon. So: safe methods; any method when not one byte was sent; and, switched on by hand,
requests with an `Idempotency-Key`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from sidecar.policy import reasons
from sidecar.policy.budget import RetryBudget
from sidecar.policy.delay import Delay
from sidecar.policy.outcome import Outcome, Verdict, judge_status

WORDS: Final[dict[str, frozenset[str]]] = {
    "connect_failure": frozenset(
        {reasons.CONNECT_FAILURE, reasons.CONNECT_TIMEOUT, reasons.DNS_FAILURE, reasons.TLS_FAILURE}
    ),
    "timeout": frozenset({reasons.ATTEMPT_TIMEOUT, reasons.CONNECT_TIMEOUT}),
    "reset": frozenset({reasons.RESET}),
}
"""Which reasons a word of `retry.on` covers."""

_SUCCESS: Final = Verdict.SUCCESS
SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""Methods whose requests may be sent twice (RFC 9110 section 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Denied:
    """The attempt could have been repeated, but for `reason`: a label of `sidecar_retries_denied_total`."""

    reason: str


_ATTEMPTS: Final = Denied("attempts")
_METHOD: Final = Denied("method")
_BODY: Final = Denied("body")
_RETRY_AFTER: Final = Denied("retry_after")
_DEADLINE: Final = Denied("deadline")
_BUDGET: Final = Denied("budget")


def _reasons(words: Iterable[str]) -> frozenset[str]:
    covered: set[str] = set()
    for word in words:
        if word not in WORDS:
            raise ValueError(f"{word!r} is none of {', '.join(WORDS)}")
        covered |= WORDS[word]
    return frozenset(covered)


def _bounds(attempts: int, base: float, factor: float, cap: float) -> tuple[float, ...]:
    """The longest wait after each attempt but the last. Multiplied step by step: a power would overflow."""
    bounds = []
    bound = min(base, cap)
    for _ in range(attempts - 1):
        bounds.append(bound)
        bound = min(bound * factor, cap)
    return tuple(bounds)


class Retry:
    """One route's retries.

    `attempts`: in all, the first included; 1 never retries. `on`: statuses and `WORDS`. `methods`: those
    that may go again after bytes were sent. `idempotency_key`: whether others may, with an
    `Idempotency-Key`. The n-th wait is drawn between 0 and base * factor^(n-1) <= cap seconds ("full
    jitter"; without `jitter` it is that bound itself). `respect_retry_after`: whether the upstream's own
    word is a lower bound of it. `hedge`: when another attempt joins a first one that is still under way; None never
    hedges.

    Raises:
        ValueError: `on` holds a word that is not in `WORDS`.
    """

    __slots__ = (
        "_attempts",
        "_bounds",
        "_budget",
        "_jitter",
        "_keyed",
        "_methods",
        "_reasons",
        "_respect",
        "_rng",
        "_statuses",
        "hedge",
        "lists_successes",
    )

    def __init__(
        self,
        *,
        attempts: int,
        on: Collection[str | int],
        methods: Collection[bytes],
        idempotency_key: bool,
        base: float,
        factor: float,
        cap: float,
        jitter: bool,
        respect_retry_after: bool,
        budget: RetryBudget,
        rng: Random,
        hedge: Delay | None = None,
    ) -> None:
        self._attempts = attempts
        self._statuses = frozenset(status for status in on if isinstance(status, int))
        self._reasons = _reasons(word for word in on if isinstance(word, str))
        self._methods = frozenset(methods)
        self._keyed = idempotency_key
        self._bounds = _bounds(attempts, base, factor, cap)
        self._jitter = jitter
        self._respect = respect_retry_after
        self._budget = budget
        self._rng = rng
        self.lists_successes = attempts > 1 and any(judge_status(status, None) is _SUCCESS for status in self._statuses)
        """Whether an answer that is no failure (a 408, say) may be worth another attempt."""

        self.hedge = hedge

    def may_hedge(self, method: bytes) -> bool:
        """Whether the first attempt may have another beside it, which is then one of those that are allowed."""
        return method in SAFE and method in self._methods and self._attempts > 1

    def is_safe(self, method: bytes) -> bool:
        """Whether the method may be sent again after bytes of it were."""
        return method in self._methods

    def decide(
        self,
        outcome: Outcome,
        attempt: int,
        *,
        method: bytes,
        has_key: bool,
        replayable: bool,
        remaining: float,
    ) -> Again | Denied | None:
        """What follows the `attempt`-th attempt (from 1), with `remaining` seconds of the deadline left.

        `has_key`: the request carries an `Idempotency-Key`. `replayable`: its body is at hand to be sent
        again. None: nothing to repeat. The budget is asked last, so that what is denied anyway costs
        nothing.
        """
        if not self._listed(outcome) or self._attempts <= 1:
            return None
        if attempt >= self._attempts:
            return _ATTEMPTS
        if outcome.sent:
            if method not in self._methods and not (has_key and self._keyed):
                return _METHOD
            if not replayable:
                return _BODY
        return self._when(outcome, attempt, remaining)

    def _listed(self, outcome: Outcome) -> bool:
        if outcome.reason in reasons.ANSWERED:
            return outcome.status in self._statuses
        return outcome.reason in self._reasons

    def _when(self, outcome: Outcome, attempt: int, remaining: float) -> Again | Denied:
        delay = self.backoff(attempt)
        if self._respect and outcome.retry_after is not None:
            if outcome.retry_after > remaining:
                return _RETRY_AFTER
            # Added, not the larger of the two: all whom the upstream told "2" would come back at second 2.
            delay += outcome.retry_after
        if delay >= remaining:
            return _DEADLINE
        if not self._budget.withdraw():
            return _BUDGET
        return Again(delay)

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the `attempt`-th attempt."""
        bound = self._bounds[attempt - 1]
        return self._rng.random() * bound if self._jitter else bound
