"""The life of one request, top to bottom.

Pure: yields what it wants done and is sent what came of it. `exchange.py` does it on sockets; a test, or a simulation,
does it in virtual time. Closing the generator is the whole of cancellation: every slot and permit goes back.

The order of policies, outermost first: match, rate limit, bulkhead, total deadline, then per attempt breaker permit,
endpoint, attempt timeout, exchange, verdict, retry decision with its budget; then the fallback ladder; then
`unavailable`.
"""

from collections.abc import Generator
from typing import Final

from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.fallback import Failover, LastKnownGood, Static, covers
from sidecar.policy.last_known_good import NEWS, Stored
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.reasons import REASONS
from sidecar.policy.retry import SAFE, Denied
from sidecar.policy.route import Route
from sidecar.policy.router import Router
from sidecar.proxy.call import Call
from sidecar.proxy.commands import (
    Alone,
    Attempt,
    Collect,
    Command,
    Keep,
    Own,
    Queue,
    Recall,
    Relay,
    Reply,
    Sent,
    Serve,
    Share,
    Wait,
)
from sidecar.proxy.hedging import hedged
from sidecar.proxy.hops import ANY, HOPS
from sidecar.proxy.sharing import is_everybodys, shared

Path = Generator[Command, Sent, None]
Attempts = Generator[Command, Sent, Outcome]

_ABANDONED: Final = Outcome(Verdict.NEUTRAL, reasons.CLIENT_GONE)
_SUCCESS: Final = Verdict.SUCCESS
_ALL: Final = 1_000_000
"""More attempts than any route may make."""
_NEVER: Final = float("-inf")


def request_path(call: Call, router: Router[Route], clock: Clock) -> Path:
    """One request, from its head to its last byte."""
    # First, because every policy belongs to a route.
    route = router.match(call.method, call.host, call.path, call.headers) or _of_the_host(call, router)
    if route is None:
        yield _ended_here(call, None)
        return
    call.route = route
    route.observer.request_started()
    if call.ends_here:
        # Before any policy, and without the ladder: another upstream could lead round again.
        yield _ended_here(call, route)
        return
    # Started at the head: the caller waits from then on, whatever we do with the time.
    until = call.started + (route.total if route.total < call.patience else call.patience)
    bulkhead = route.bulkhead
    if bulkhead is not None or route.rate_limit is not None:
        refused = yield from _enter(route, clock, until)
        if refused is not None:
            yield from _rescued(call, route, refused, clock, until)
            return
    try:
        outcome = (yield from _body(route, until)) if call.body_to_come else None
        if outcome is None and route.keeps and call.method == b"GET":
            yield from _kept(call, route, clock, until)
            return
        if outcome is None:
            outcome = yield from _attempts(call, route, clock, until)
        if outcome.verdict is not _SUCCESS and not _is_passed_on(outcome):
            yield from _rescued(call, route, outcome, clock, until)
            return
        yield Relay(outcome, "ok")
    finally:
        if bulkhead is not None:
            bulkhead.leave()


def _of_the_host(call: Call, router: Router[Route]) -> Route | None:
    """Asked about a host as a whole is the one that answers for its root (RFC 9110 section 9.3.7)."""
    return router.match(call.method, call.host, b"/", call.headers) if call.path == ANY else None


def _ended_here(call: Call, route: Route | None) -> Command:
    if call.ends_here == HOPS or (route is None and call.path == ANY):
        return Own()
    if route is None:
        return Reply(reasons.NO_ROUTE, "refused", 404)
    route.observer.refused(call.ends_here)
    return told(route, call.ends_here)


def _enter(route: Route, clock: Clock, until: float) -> Generator[Command, Sent, Outcome | None]:
    """Nothing once the request is in, with a slot of the bulkhead if there is one; otherwise why it is not."""
    # Outside the retries, which have a budget: a token is one request. Before the bulkhead: who is over its rate must
    # not take a place from those who are not, not even in the queue.
    rate_limit = route.rate_limit
    if rate_limit is not None and not rate_limit.admit():
        route.observer.refused(reasons.RATE_LIMITED)
        return Outcome(Verdict.NEUTRAL, reasons.RATE_LIMITED, retry_after=rate_limit.retry_after())
    # Outside the retries: one request holds one slot however often it is tried, until its last byte.
    bulkhead = route.bulkhead
    if bulkhead is not None and not bulkhead.enter():
        why_not = yield from _turn(bulkhead, clock, until)
        if why_not:
            route.observer.refused(why_not)
            return _refusal(why_not)
    return None


def _turn(bulkhead: Bulkhead, clock: Clock, until: float) -> Generator[Command, Sent, str]:
    """Waits for a slot: empty if it came, otherwise why there is none."""
    ticket = bulkhead.line_up(until)
    if isinstance(ticket, str):
        return ticket
    came = False
    try:
        came = (yield Queue(ticket)) is True and clock() < ticket.until
    finally:
        if not came:  # too late, or the caller left: its place goes back, or the slot that came after all
            bulkhead.withdraw(ticket)
    return "" if came else reasons.QUEUE_TIMEOUT


def _body(route: Route, until: float) -> Generator[Command, Sent, Outcome | None]:
    """Nothing once the request's body is here; otherwise why it is not."""
    # Nobody is asked for a body that would go nowhere. The permit is only taken once it is here: a probe must not wait.
    if route.breaker is not None and route.breaker.would_refuse():
        return _refused_by_breaker(route, None)
    return None if (yield Collect(until)) else _refusal(reasons.REQUEST_TIMEOUT)


def _kept(call: Call, route: Route, clock: Clock, until: float) -> Path:
    """Attempts and answer where a good one is kept, and others who ask the same may be waiting for it."""
    # Before the attempts, which it may save; with a slot, as everybody has who waits for the upstream.
    found = (yield from shared(call, route, clock, until)) if route.flights is not None else None
    if isinstance(found, Stored):
        route.observer.coalesced()
        yield Share(found)
        return
    if isinstance(found, Outcome):
        route.observer.coalesced()
        yield from _rescued(call, route, found, clock, until)
        return
    try:
        outcome = yield from _attempts(call, route, clock, until)
        if outcome.verdict is not _SUCCESS and not _is_passed_on(outcome):
            if found is not None:
                found.land(outcome if is_everybodys(outcome) else None)
            yield from _rescued(call, route, outcome, clock, until)
            return
        if found is not None and not outcome.whole:
            found.land(outcome)  # it is too large to be kept, and may take long to its end
        yield Relay(outcome, "ok")
        renewed = False
        if outcome.status in NEWS:
            for rung in route.keeps[::-1]:  # after the relay: remembering must not delay the answer
                renewed = (yield Keep(rung, outcome)) is True
        if found is not None:
            found.land(outcome, renewed=renewed)  # of the first rung, whose question it is
    finally:
        if found is not None:
            found.leave()


def _attempts(  # noqa: C901, PLR0912, PLR0915 - one loop, in the order of the policies: cut up, it would hide it
    call: Call, route: Route, clock: Clock, until: float
) -> Attempts:
    """Tries until an outcome stands."""
    upstream = route.upstream
    retry = route.retry
    breaker = route.breaker
    observer = route.observer
    tried: list[Endpoint] = []
    outcome = _ABANDONED
    acted_upon = False
    hedge = retry.hedge
    if hedge is not None and not (retry.may_hedge(call.method) and call.may_go_twice and not call.already_retrying):
        hedge = None
    withdrawn = _NEVER  # when a retry was that has not been made yet
    upstream.budget.deposit()  # once per request: what retries may later be drawn from
    try:
        while True:
            # Inside the retries, so that each attempt is judged; before the pick, so that a refusal costs nothing.
            permit = None
            if breaker is not None:
                permit = breaker.admit()
                if permit is None:
                    return _refused_by_breaker(route, outcome if tried else None)
                if permit.would_have_refused:
                    observer.would_refuse(reasons.BREAKER_OPEN)
            left = until - clock()
            if left <= 0.0:  # the wait before this attempt took the rest
                if permit is not None:
                    permit.settle(Verdict.NEUTRAL, 0.0)
                return outcome if tried else _refusal(reasons.DEADLINE)
            # No yield may stand between the pick and `pending`: two requests must not see the same idle endpoint.
            endpoint = upstream.pick(tried)
            if endpoint is None:
                if permit is not None:
                    permit.settle(Verdict.NEUTRAL, 0.0)
                observer.refused(reasons.NO_ENDPOINT)
                return outcome if tried else _refusal(reasons.NO_ENDPOINT, upstream.retry_after())
            if tried:
                observer.retried(outcome.reason)
                withdrawn = _NEVER
            tried.append(endpoint)
            own = outcome = _ABANDONED
            endpoint.pending += 1
            timeout = route.attempt_timeout
            try:
                # Inside the permit: a timeout is a verdict. Clipped to what is left of the whole.
                given = timeout if timeout < left else left
                if hedge is not None and hedge.after < given:
                    first = Alone(upstream, endpoint, given, until, hedge.after)
                    own, outcome = yield from hedged(first, route, clock, tried, hurried=call.patience < route.total)
                else:
                    sent = yield Attempt(upstream, endpoint, given, until)
                    assert isinstance(sent, Outcome)
                    own = outcome = sent
                if timeout >= left and own.reason == reasons.ATTEMPT_TIMEOUT:
                    own.cut_off(hurried=call.patience < route.total, given=left)
                if hedge is not None:
                    hedge.judge(own)
                    hedge = None  # a retry is a second one already
                if acted_upon:  # by an earlier attempt: what this one did not send does not undo that
                    outcome.sent = True
            finally:
                endpoint.pending -= 1
                if permit is not None:
                    permit.settle(own.verdict, own.elapsed)
                if not own.invented:  # by a fault on purpose: endpoints are other routes' too
                    upstream.judge(endpoint, own.verdict)
                if route.adapts is not None:  # last: it may hand slots to others, who go on from here
                    route.adapts.judge(own)
            if outcome.verdict is _SUCCESS and not retry.lists_successes:
                return outcome
            now = clock()
            decision = retry.decide(
                outcome,
                # A caller that retries on its own has none left with us: ours on top would multiply.
                len(tried) if not call.already_retrying else _ALL,
                method=call.method,
                has_key=call.has_key,
                replayable=call.replayable,
                remaining=until - now,
            )
            if decision is None:
                return outcome
            if isinstance(decision, Denied):
                observer.retry_denied(decision.reason)
                return outcome
            acted_upon = outcome.sent
            withdrawn = now
            if decision.delay > 0.0:
                yield Wait(decision.delay)
    finally:
        if call.method not in SAFE:
            upstream.changes += 1  # done or not: nobody can say
        if withdrawn != _NEVER:  # refused after its wait, or the caller left: a retry that is not made costs nothing
            upstream.budget.give_back(withdrawn)


def _refused_by_breaker(route: Route, last: Outcome | None) -> Outcome:
    if last is not None:  # the attempt before this one opened it: its own answer says more than our refusal
        route.observer.retry_denied(reasons.BREAKER_OPEN)
        return last
    route.observer.refused(reasons.BREAKER_OPEN)
    assert route.breaker is not None
    return Outcome(Verdict.NEUTRAL, reasons.BREAKER_OPEN, retry_after=route.breaker.retry_after())


def _refusal(reason: str, retry_after: float | None = None) -> Outcome:
    return Outcome(Verdict.NEUTRAL, reason, retry_after=retry_after)


def _is_passed_on(outcome: Outcome) -> bool:
    """A 429 is the upstream's word to the caller: throttled, but not to be masked."""
    return outcome.verdict is Verdict.THROTTLED and outcome.status < 500


def _rescued(call: Call, route: Route, outcome: Outcome, clock: Clock, until: float) -> Path:
    """The fallback ladder, then failing clearly."""
    for rung in route.ladder:
        if not covers(rung, outcome.reason):
            continue
        if isinstance(rung, LastKnownGood):
            stored = (yield Recall(rung)) if call.method == b"GET" else None
            if isinstance(stored, Stored):
                route.observer.fell_back("last_known_good", outcome.reason)
                yield Serve(rung, stored, outcome.reason)
                return
        elif isinstance(rung, Failover):
            other = yield from _failover(call, route, rung, outcome, clock, until)
            if other is not None:
                route.observer.fell_back("failover", outcome.reason)
                yield Relay(other, "failover", outcome.reason)
                return
        elif isinstance(rung, Static):
            route.observer.fell_back("static", outcome.reason)
            yield Reply(outcome.reason, "static", rung.answer.status, rung.answer)
            return
    yield _last_word(route, outcome)


def _failover(
    call: Call, route: Route, rung: Failover, first: Outcome, clock: Clock, until: float
) -> Generator[Command, Sent, Outcome | None]:
    """One attempt at another upstream. Its breaker is not this route's: only the time left bounds it."""
    if first.sent and not (route.retry.is_safe(call.method) and call.replayable):
        return None  # the first upstream may have acted on it
    left = until - clock()
    endpoint = rung.upstream.pick(()) if left > 0.0 else None
    if endpoint is None:
        return None
    endpoint.pending += 1
    outcome = _ABANDONED
    try:
        sent = yield Attempt(rung.upstream, endpoint, left, until, in_doubt=True)
        assert isinstance(sent, Outcome)
        outcome = sent
        if outcome.reason == reasons.ATTEMPT_TIMEOUT:  # it had no timeout of its own
            outcome.cut_off(hurried=call.patience < route.total, given=left)
    finally:
        if call.method not in SAFE:
            rung.upstream.changes += 1
        endpoint.pending -= 1
        rung.upstream.judge(endpoint, outcome.verdict)
    return outcome if outcome.verdict is _SUCCESS or _is_passed_on(outcome) else None


def _last_word(route: Route, outcome: Outcome) -> Command:
    """Nobody could help: say so clearly, or pass the upstream's own failure on."""
    if outcome.reason in _ANSWERS and not route.critical:
        return Relay(outcome, "upstream_error")
    return told(route, outcome.reason, outcome.retry_after or 0.0)


def told(route: Route, reason: str, retry_after: float = 0.0) -> Reply:
    """What a route's caller is told where there is no answer, for that reason."""
    known = REASONS[reason]
    if not known.kinds:  # the caller's own fault: nobody is unavailable
        return Reply(reason, "bad_request", known.status)
    label = "refused" if known.kinds & _REFUSALS else "upstream_error"
    status = known.status
    if route.critical:
        label, status = "fail_closed", 503
    if route.unavailable is not None:
        status = route.unavailable.status
    return Reply(reason, label, status, route.unavailable, retry_after)


_ANSWERS: Final = frozenset({reasons.UPSTREAM_ERROR, reasons.FAULT_INJECTED})
"""Failures that are answers of their own; an injected one as well, or it would rehearse something else."""
_REFUSALS: Final = frozenset({"open", "refused"})
