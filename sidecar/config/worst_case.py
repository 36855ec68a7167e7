"""How long a request takes when everything goes wrong: for the lint and for `sidecar explain`."""

from typing import NamedTuple

from sidecar.config.policies import Backoff, Retry
from sidecar.config.route import Route


class Step(NamedTuple):
    """One attempt of the worst case. Seconds since the request came.

    `failure`: how it ends when it takes longest and may still be repeated; of the last, how it ends at all.
    """

    attempt: int
    backoff: float
    """The longest wait before it."""
    starts: float
    ends: float
    failure: str


def queued(route: Route) -> float:
    """Seconds that a request may wait for a slot before its first attempt."""
    bulkhead = route.bulkhead
    return bulkhead.queue_timeout if bulkhead is not None and bulkhead.queue else 0.0


def backoff_bounds(backoff: Backoff, attempts: int) -> list[float]:
    """The longest wait after each attempt but the last."""
    bounds = []
    bound = min(backoff.base, backoff.max)
    for _ in range(attempts - 1):
        bounds.append(bound)
        bound = min(bound * backoff.factor, backoff.max)
    return bounds


def slowest_repeatable(
    retry: Retry, *, attempt: float, connect_timeout: float, repeatable: bool
) -> tuple[float, str] | None:
    """The longest that an attempt may take and still be repeated, and how it then ends; None if none may be.

    `repeatable`: whether the request may go out again after bytes of it were sent.
    """
    if repeatable and "timeout" in retry.on:
        return attempt, "times out"
    if repeatable and (later := [str(on) for on in retry.on if on != "connect_failure"]):
        return attempt, f"fails at the last moment ({', '.join(later)})"
    if "connect_failure" in retry.on or "timeout" in retry.on:
        return min(attempt, connect_timeout), "cannot connect"
    return None


def steps(route: Route, *, connect_timeout: float, repeatable: bool = True) -> list[Step]:
    """The attempts of the worst case, not cut off at the deadline.

    Every wait is the longest, that in the bulkhead's queue included, every attempt but the last takes as long as one
    can that is still repeated, and the last attempt times out. `Retry-After` is left aside: it only ever ends a request
    sooner, or waits for what fits.
    """
    attempt = route.timeout.attempt
    slowest = slowest_repeatable(route.retry, attempt=attempt, connect_timeout=connect_timeout, repeatable=repeatable)
    attempts = route.retry.attempts if slowest is not None else 1
    result: list[Step] = []
    now, wait = queued(route), 0.0
    for number, bound in enumerate(backoff_bounds(route.retry.backoff, attempts), 1):
        assert slowest is not None
        lasts, failure = slowest
        result.append(Step(number, wait, now, now + lasts, failure))
        now, wait = now + lasts + bound, bound
    result.append(Step(attempts, wait, now, now + attempt, "times out"))
    return result
