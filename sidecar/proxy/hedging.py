"""A second attempt beside one that takes long: of those two the first success is the answer.

Most requests are quick, and the slow ones are slow by chance: a pause, a queue, a lost packet. Whoever asks a second
time after what most answers take has cut off the tail at the price of a few attempts more (Dean and Barroso, "The Tail
at Scale", 2013; gRPC's hedging, proposal A6; Envoy's hedge policy). The price is bounded three times: by the time
before it, by one per request, and by the retry budget, so that an upstream that is slow for all is not asked by all
twice.

Pure, as the path it is a part of. The hedge holds what an attempt holds, a permit and a place at its endpoint, and
settles both itself; whichever of the two is no longer wanted says nothing about its upstream.
"""

from collections.abc import Generator
from typing import Final

from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.breaker import Permit
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.route import Route
from sidecar.proxy.commands import Alone, Await, Beside, Command, Sent, Settle

_OVERTAKEN: Final = Outcome(Verdict.NEUTRAL, reasons.OVERTAKEN)
_SUCCESS: Final = Verdict.SUCCESS

Both = tuple[Outcome, Outcome]
"""What came of the first attempt itself, and the outcome that stands for the two."""


class Hedge:
    """What a second attempt holds while it is under way. Give it back exactly once."""

    __slots__ = ("_endpoint", "_left", "_permit", "_route", "command")

    def __init__(self, route: Route, endpoint: Endpoint, permit: Permit | None, left: float, until: float) -> None:
        self._route = route
        self._endpoint = endpoint
        self._permit = permit
        self._left = left
        endpoint.pending += 1
        timeout = route.attempt_timeout
        self.command = Beside(route.upstream, endpoint, timeout if timeout < left else left, until)

    def judge(self, outcome: Outcome, *, hurried: bool) -> None:
        """Whose fault it is that no answer came in time."""
        if self._route.attempt_timeout >= self._left and outcome.reason == reasons.ATTEMPT_TIMEOUT:
            outcome.cut_off(hurried=hurried, given=self._left)

    def give_back(self, outcome: Outcome) -> None:
        """Its attempt came to that."""
        route = self._route
        self._endpoint.pending -= 1
        if self._permit is not None:
            self._permit.settle(outcome.verdict, outcome.elapsed)
        if not outcome.invented:
            route.upstream.judge(self._endpoint, outcome.verdict)
        if route.adapts is not None:  # last, as for every attempt
            route.adapts.judge(outcome)


def hedged(
    first: Alone, route: Route, clock: Clock, tried: list[Endpoint], *, hurried: bool
) -> Generator[Command, Sent, Both]:
    """Makes `first`, and another attempt if that one takes long.

    `tried`: endpoints so far; that of the hedge is added. `hurried`: whether the caller gave less time than the route.
    """
    sent = yield first
    if sent is None:
        hedge = _begin(route, clock, tried, first.until)
        if hedge is not None:
            return (yield from _race(hedge, route, hurried=hurried))
        route.observer.hedged("denied")
        sent = yield Await()
    assert isinstance(sent, Outcome)
    yield Settle(sent)
    return sent, sent


def _begin(route: Route, clock: Clock, tried: list[Endpoint], until: float) -> Hedge | None:
    """A hedge with all that it needs; None, and nothing taken, if any of it is not to be had."""
    left = until - clock()
    permit = None
    if route.breaker is not None:
        permit = route.breaker.admit()
        if permit is None:
            return None
        if permit.would_have_refused:
            route.observer.would_refuse(reasons.BREAKER_OPEN)
    endpoint = route.upstream.pick(tried) if left > 0.0 else None
    # The budget is asked last: a hedge that is denied anyway must not be paid for.
    if endpoint is None or not route.upstream.budget.withdraw():
        if permit is not None:
            permit.settle(Verdict.NEUTRAL, 0.0)
        return None
    tried.append(endpoint)
    return Hedge(route, endpoint, permit, left, until)


def _race(hedge: Hedge, route: Route, *, hurried: bool) -> Generator[Command, Sent, Both]:
    """Until one has succeeded, or both have failed."""
    first = second = _OVERTAKEN
    result = reasons.CLIENT_GONE
    try:
        sent = yield hedge.command
        while True:
            assert isinstance(sent, Outcome)
            if sent.is_hedge:
                second = sent
                hedge.judge(second, hurried=hurried)
            else:
                first = sent
            if sent.verdict is _SUCCESS or (first is not _OVERTAKEN and second is not _OVERTAKEN):
                break
            sent = yield Await()
        stands = sent if sent.verdict is _SUCCESS else _better(first, second)
        stands.sent = first.sent or second.sent
        result = "failed" if stands.verdict is not _SUCCESS else "won" if stands.is_hedge else "lost"
        yield Settle(stands)
        return first, stands
    finally:
        route.observer.hedged(result)
        hedge.give_back(second)


def _better(first: Outcome, second: Outcome) -> Outcome:
    """Of two failures: the one that is an answer. It says more than that none came."""
    return second if second.reason in reasons.ANSWERED and first.reason not in reasons.ANSWERED else first
