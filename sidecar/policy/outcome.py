"""What an attempt came to, in words a policy can judge. Knows no sockets."""

import enum
from typing import Final

from sidecar.policy import reasons

TELLING: Final = 0.1
"""Seconds: where a caller gave an attempt less, it says nothing about the upstream that no answer came."""


class Verdict(enum.Enum):
    """What an attempt says about its upstream."""

    SUCCESS = "success"
    """Any answer that is not a failure, 4xx included: the upstream is alive."""
    FAILURE = "failure"
    """No usable answer: 5xx but 501 and 505, connect, DNS, TLS, reset, protocol, timeout, unexpected body."""
    THROTTLED = "throttled"
    """429, or 503 with Retry-After: counts in the ratio, not in the consecutive count; fails a probe."""
    CUT_SHORT = "cut_short"
    """No answer within the time the caller gave, less than the route allows for: counts as throttled does. One hurried
    caller proves nothing; a share of all that would open the breaker does, for a hang looks no different."""
    NEUTRAL = "neutral"
    """Says nothing: the caller left, or we refused."""


class Outcome:
    """One attempt's end, at the commit point.

    verdict: what it says about the upstream.
    reason: "ok", or a word of `reasons`.
    status: of the upstream's final response head; 0 if none came.
    elapsed: seconds from the attempt's start to the commit point.
    sent: whether the upstream may have acted on the request (a byte of it was written).
    retry_after: the upstream's own `Retry-After`, in seconds from now; None if it sent none.
    answer: the response, for `Relay`; opaque to policies. None where there is none to relay.
    detail: one sentence for logs and bodies; never quotes what the upstream sent.
    is_hedge: whether its attempt was the second one beside another.
    error: the error type of RFC 9209 that fits better than the one of `reason`; "" if none does.
    whole: whether all of its answer is here; otherwise the rest is relayed as it comes.
    invented: whether the answer is an injected fault's: it says nothing about the endpoint, which others share.
    """

    # What few outcomes have lies in the class until it is set: half of the cost of making one was setting defaults.
    __slots__ = ("__dict__", "elapsed", "reason", "sent", "status", "verdict")

    retry_after: float | None = None
    answer: object = None
    detail: str = ""
    error: str = ""
    is_hedge: bool = False
    invented: bool = False
    whole: bool = True

    def __init__(
        self,
        verdict: Verdict,
        reason: str = reasons.OK,
        *,
        status: int = 0,
        elapsed: float = 0.0,
        sent: bool = False,
        retry_after: float | None = None,
        answer: object = None,
        detail: str = "",
    ) -> None:
        self.verdict = verdict
        self.reason = reason
        self.status = status
        self.elapsed = elapsed
        self.sent = sent
        if retry_after is not None:
            self.retry_after = retry_after
        if answer is not None:
            self.answer = answer
        if detail:
            self.detail = detail

    def cut_off(self, *, hurried: bool, given: float) -> None:
        """It was not the attempt's own timeout that struck, after `given` seconds, but the deadline of the request.

        `hurried`: the caller's own, which was shorter than the route's.
        """
        self.reason = reasons.DEADLINE
        if hurried:
            self.verdict = Verdict.NEUTRAL if given < TELLING else Verdict.CUT_SHORT

    def __repr__(self) -> str:
        return f"Outcome({self.verdict.value}, {self.reason}, status={self.status}, sent={self.sent})"


_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
_FORGIVEN = (501, 505)  # the upstream works; it was asked for what it does not do (HAProxy's observe)


def judge_status(status: int, retry_after: float | None) -> Verdict:
    """The verdict of a complete answer by its status alone."""
    if status < _SERVER_ERROR:
        return Verdict.THROTTLED if status == _TOO_MANY_REQUESTS else Verdict.SUCCESS
    if status == _UNAVAILABLE and retry_after is not None:
        return Verdict.THROTTLED
    return Verdict.SUCCESS if status in _FORGIVEN else Verdict.FAILURE
