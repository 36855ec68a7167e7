"""Waiting for a request that asks the same, where an answer to it is kept. Pure, as the path it is a part of."""

from collections.abc import Generator
from typing import Final

from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.fallback import covers
from sidecar.policy.flight import Flight
from sidecar.policy.last_known_good import Stored
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.route import Route
from sidecar.proxy.call import Call
from sidecar.proxy.commands import Command, Queue, Recall, Sent

Found = Stored | Outcome | Flight | None
"""What another request brought; what it failed with; the flight that the request is now part of; nothing to share."""

_REFUSALS: Final = frozenset({reasons.BREAKER_OPEN, reasons.NO_ENDPOINT})


def shared(call: Call, route: Route, clock: Clock, until: float) -> Generator[Command, Sent, Found]:
    """What is to be done with a GET on a route that keeps answers. A flight that is returned must be left."""
    rung = route.keeps[0]
    flights = route.flights
    assert flights is not None
    question = call.question(rung)
    if question is None or not isinstance((yield Recall(rung)), Stored):
        return None  # whether its answers are the same for all who ask is known of what is kept
    changes = route.upstream.changes  # before the wait: what changes after it came need not be in its answer
    while True:
        flight = flights.to_wait_for(question, changes)
        if flight is None:
            return flights.board(question, changes)
        yield from _wait(flight, until)
        if clock() >= until:
            return Outcome(Verdict.NEUTRAL, reasons.DEADLINE)
        if flight.outcome is None:  # it takes long, or its caller left: another sets out, and the others wait for that
            continue
        if flight.renewed:
            found = yield Recall(rung)
            return found if isinstance(found, Stored) else None
        failure = flight.outcome
        if is_everybodys(failure) and covers(rung, failure.reason) and isinstance((yield Recall(rung)), Stored):
            return Outcome(Verdict.NEUTRAL, failure.reason, retry_after=failure.retry_after)
        return None  # an answer for its caller alone


def _wait(flight: Flight, until: float) -> Generator[Command, Sent, None]:
    ticket = flight.line_up(until)
    came = False
    try:
        came = (yield Queue(ticket)) is True
    finally:
        if not came:
            flight.withdraw(ticket)


def is_everybodys(outcome: Outcome) -> bool:
    """Whether it is a failure, and would have been that of whoever asks: not of a caller with little time alone."""
    if outcome.reason in _REFUSALS:
        return True
    return outcome.verdict is Verdict.FAILURE or (outcome.verdict is Verdict.THROTTLED and outcome.status >= 500)
