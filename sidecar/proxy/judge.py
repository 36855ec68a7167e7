"""What an answer is worth: its verdict, by its status, by `expect`, by whether it can be waited for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sidecar.policy import reasons, retry_after
from sidecar.policy.expect import Expect
from sidecar.policy.outcome import Verdict, judge_status
from sidecar.wire.message import ResponseHead

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt

_EVENT_STREAM: Final = b"text/event-stream"
_SUCCESS: Final = Verdict.SUCCESS


def is_event_stream(head: ResponseHead) -> bool:
    """Whether its body may never end, and each piece of it is wanted at once."""
    kind = head.get(b"content-type")
    return kind is not None and kind.lower().startswith(_EVENT_STREAM)


def must_see(head: ResponseHead, expect: Expect | None) -> bool:
    """Whether all of it must be here before it can be judged or kept, on a route that looks at bodies."""
    # A 4xx is the upstream's word to the caller and passes as it is; a 5xx is a failure without a look at its body.
    if head.status >= 400:
        return False
    # An event stream has no end to wait for: `expect` sees its head, and it is not kept.
    whole = not head.length or not is_event_stream(head)
    return whole and (expect is not None or head.status == 200)


def judge(
    attempt: "LiveAttempt", body: bytes | None, expect: Expect | None, method: bytes, wall: Callable[[], float]
) -> None:
    """Notes verdict, reason and detail. `body`: None where it is relayed as it comes."""
    head = attempt.head
    status = head.status
    if status >= 400:
        value = head.get(b"retry-after")
        if value is not None:
            attempt.retry_after = retry_after.parse(value, wall())
        attempt.verdict = judge_status(status, attempt.retry_after)
        if attempt.verdict is not _SUCCESS:
            attempt.reason = reasons.FAULT_INJECTED if attempt.invented else reasons.UPSTREAM_ERROR
        return
    attempt.verdict = _SUCCESS
    # A 304, or an answer to HEAD, only speaks of a body: there is nothing to look into.
    if expect is not None and status != 304 and method != b"HEAD":
        kind = head.get(b"content-type")
        if body is None:
            detail = expect.check_stream(status, kind)
        else:
            detail = expect.check(status, kind, body, head.get(b"content-encoding"))
        if detail:
            _refuse(attempt, detail)


def judge_too_large(attempt: "LiveAttempt", expect: Expect | None) -> None:
    """The same, for a body that is longer than may be looked at."""
    if expect is None:
        attempt.verdict = _SUCCESS  # only too large to be remembered
    else:
        _refuse(attempt, "body larger than expect.max_body")


def _refuse(attempt: "LiveAttempt", detail: str) -> None:
    attempt.verdict = Verdict.FAILURE
    attempt.reason = reasons.UNEXPECTED_RESPONSE
    attempt.detail = detail
