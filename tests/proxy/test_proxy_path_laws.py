"""The request path's laws, over whatever order of requests, outcomes, waits, timeouts and leavers.

Many paths run at once in virtual time, on real policies; only what performs their commands is made up.
"""

import re
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from proxy_fakes import (
    FAILURE,
    SUCCESS,
    THROTTLED,
    Call,
    HandClock,
    Middle,
    Recorder,
    a_breaker,
    a_retry,
    a_route,
    an_upstream,
    stored,
)

from sidecar.policy import reasons
from sidecar.policy.adaptive import AdaptiveLimit
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.fallback import Failover, LastKnownGood
from sidecar.policy.outcome import Outcome, judge_status
from sidecar.policy.rate_limit import RateLimit
from sidecar.policy.router import Match, Router
from sidecar.proxy.commands import Attempt, Collect, Command, Keep, Queue, Recall, Relay, Reply, Sent, Serve, Wait
from sidecar.proxy.path import Path, request_path

PROBES = 2
LIMIT = 6
PLACES = 3
QUEUE_TIMEOUT = 0.5
RATE, BURST = 5.0, 15
RATIO, PER_SECOND, WINDOW = 0.1, 0.1, 10.0
ANY = st.integers(0, 20)
LISTED = ("connect_failure", "reset", "timeout", 408, 429, 503)


@dataclass(eq=False)
class Running:
    """One request under way: what its path waits for, and when that is over by itself."""

    path: Path
    call: Call
    command: Command
    due: float = float("inf")
    holds_slot: bool = False
    generation: int = -1
    """Moves the breaker had made when it let the present attempt through; -1: that one needed no leave."""
    is_probe: bool = False
    gone: bool = False


@dataclass(eq=False)
class Waiting:
    """A request's place in the bulkhead's queue."""

    machine: "RequestPaths"
    one: Running

    def slot_given(self) -> None:
        """It goes on with its slot, while another one leaves."""
        assert isinstance(self.one.command, Queue)
        self.machine.handed += 1
        self.one.holds_slot = self.machine.clock.now < self.one.due  # too late, and it passes the slot on
        self.machine._go_on(self.one, True)  # noqa: FBT003 - what a Queue is sent

    def withdrawn(self) -> None:
        """It waits no more."""


class RequestPaths(RuleBasedStateMachine):
    """One route with everything on: rate limit, bulkhead and queue, breaker, budget, endpoints, replica, memory."""

    consecutive_failures = 3
    failure_ratio = 0.6
    adaptive = False

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock(0.0)
        self.moves = 0
        self.told = Recorder()
        self.endpoints = [Endpoint(name=name) for name in "abc"]
        self.spare = Endpoint(name="spare")
        self.upstream = an_upstream(self.clock, self.endpoints, ratio=RATIO, per_second=PER_SECOND)
        self.upstream._ejection = Ejection(consecutive_failures=4, base=3.0, cap=30.0, max_share=0.5, clock=self.clock)
        self.replica = an_upstream(self.clock, [self.spare], name="replica")
        self.breaker = a_breaker(
            self.clock,
            consecutive_failures=self.consecutive_failures,
            failure_ratio=self.failure_ratio,
            minimum_requests=5,
            probes=PROBES,
            successes_to_close=2,
            lease=20.0,
            on_change=self._moved,
        )
        follows = AdaptiveLimit(ceiling=LIMIT, clock=self.clock, rng=Middle()) if self.adaptive else None
        self.bulkhead = Bulkhead(LIMIT, queue=PLACES, queue_timeout=QUEUE_TIMEOUT, adaptive=follows, clock=self.clock)
        self.handed = 0
        """Slots given to who waited."""
        self.route = a_route(
            self.clock,
            self.upstream,
            self.told,
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            rate_limit=RateLimit(per_second=RATE, burst=BURST, clock=self.clock),
            ladder=(LastKnownGood(60.0, ()), Failover(self.replica)),
        )
        self.route.retry = a_retry(self.upstream.budget, attempts=3, on=LISTED, idempotency_key=True)
        self.router = Router([(Match(prefix=b"/"), self.route)])
        self.requests = self.attempts = self.firsts = 0
        self.live: list[Running] = []

    def _moved(self, *_: object) -> None:
        self.moves += 1

    # What is played.

    @rule(
        count=st.sampled_from([1, 1, 1, 4]),
        method=st.sampled_from([b"GET", b"GET", b"POST"]),
        has_key=st.booleans(),
        body_to_come=st.sampled_from([False, False, True]),
        replayable=st.sampled_from([True, True, False]),
        patience=st.sampled_from([float("inf"), 1.5]),
        already_retrying=st.sampled_from([False, False, True]),
    )
    def ask(self, count: int, **asked: Any) -> None:
        """Requests come."""
        for _ in range(count):
            call = Call(started=self.clock.now, **asked)
            held = self.bulkhead.in_flight
            one = Running(request_path(call, self.router, self.clock), call, Wait(0.0))
            self.live.append(one)
            self.requests += 1
            self._go_on(one, None)
            one.holds_slot = self.bulkhead.in_flight > held

    @rule(which=ANY, came=st.booleans())
    def body(self, which: int, came: bool) -> None:  # noqa: FBT001 - drawn
        """Somebody's body is here, or will not come."""
        for one in self._one(which, Collect):
            self._go_on(one, came)

    @rule(which=ANY, end=st.sampled_from([200, 200, 404, 408, 422, 429, 501, 500, 503, 5030]))
    def answered(self, which: int, end: int) -> None:
        """Somebody's attempt brings an answer; 5030 is 503 with Retry-After."""
        for one in self._one(which, Attempt):
            self._answer(one, end)

    @rule(end=st.sampled_from([200, 429, 500, 503]))
    def all_answered(self, end: int) -> None:
        """Every attempt under way brings the same."""
        for one in [one for one in self.live if isinstance(one.command, Attempt)]:
            self._answer(one, end)

    @rule(
        which=ANY,
        reason=st.sampled_from(
            [reasons.CONNECT_FAILURE, reasons.RESET, reasons.MALFORMED_RESPONSE, reasons.UNEXPECTED_RESPONSE]
        ),
    )
    def failed(self, which: int, reason: str) -> None:
        """Somebody's attempt brings none."""
        for one in self._one(which, Attempt):
            sent = reason != reasons.CONNECT_FAILURE
            self._end(one, Outcome(FAILURE, reason, elapsed=0.1, sent=sent))

    @rule(which=ANY)
    def last_byte(self, which: int) -> None:
        """Somebody's answer has been passed on."""
        for one in self._one(which, Relay):
            self._go_on(one, None)

    @rule(which=ANY)
    def leave(self, which: int) -> None:
        """A caller leaves, wherever it stands: which says nothing about the upstream."""
        for one in self._one(which, Command):
            before, handed = self._standing(), self.handed
            ejected = self.upstream.ejected()
            one.path.close()
            self._gone(one)
            assert self._standing() == before or self.handed > handed, "a leaver moved the breaker"
            assert self.upstream.ejected() == ejected, "a leaver ejected an endpoint"

    @rule(seconds=st.sampled_from([0.05, 0.1, 0.3, 1.0, 4.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        """What is due on the way happens in its order, and on time."""
        until = self.clock.now + seconds
        while due := [one for one in self.live if one.due <= until]:
            one = min(due, key=lambda one: one.due)
            self.clock.now = max(self.clock.now, one.due)
            self._strike(one)
        self.clock.now = until

    @rule(seconds=st.sampled_from([0.2, 2.0]))
    def the_loop_stalls(self, seconds: float) -> None:
        """What is due on the way happens late."""
        self.clock.now += seconds
        while due := [one for one in self.live if one.due <= self.clock.now]:
            self._strike(min(due, key=lambda one: one.due))

    # How it is played.

    def _one(self, which: int, kind: Any) -> list[Running]:
        """Somebody whose path waits for that, if there is anybody."""
        fitting = [one for one in self.live if isinstance(one.command, kind)]
        return [fitting[which % len(fitting)]] if fitting else []

    def _answer(self, one: Running, end: int) -> None:
        after = 0.4 if end == 5030 else None
        status = min(end, 503)
        verdict = judge_status(status, after)
        reason = reasons.OK if verdict is SUCCESS else reasons.UPSTREAM_ERROR
        outcome = Outcome(verdict, reason, status=status, elapsed=0.1, sent=True, retry_after=after)
        assert isinstance(one.command, Attempt)
        in_ladder = one.command.in_doubt
        self._end(one, outcome)
        if 400 <= status < 500:
            passed = isinstance(one.command, Relay) and one.command.outcome is outcome
            again = isinstance(one.command, Wait) and status in LISTED and not in_ladder
            assert passed or again, "a 4xx was masked"

    def _strike(self, one: Running) -> None:
        if isinstance(one.command, Attempt):
            took = one.command.timeout
            hurried = one.call.patience < self.route.total and took < self.route.attempt_timeout
            moves, row, handed = self.moves, self._row, self.handed
            self._end(one, Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, elapsed=took, sent=True))
            blamed = hurried and self.moves == moves and self._row > row and self.handed == handed
            assert not blamed, "a caller in a hurry was counted as one of a row"
            moved = self.moves > moves and self.handed == handed
            assert not (hurried and took < 0.1 and moved), "next to no time moved the breaker"
        else:
            self._go_on(one, False if isinstance(one.command, Collect | Queue) else None)

    def _end(self, one: Running, outcome: Outcome) -> None:
        """An attempt ends. One that was let through before the breaker moved is a straggler."""
        before, handed = self._standing(), self.handed
        straggler = one.generation not in (self.moves, -1)
        self._go_on(one, outcome)
        if straggler and self.handed == handed:
            assert self._standing() == before, "a straggler changed something"

    def _go_on(self, one: Running, sent: Sent) -> None:
        while True:
            try:
                one.command = one.path.send(sent)
            except StopIteration:
                self._gone(one)
                return
            self._look(one)
            if not isinstance(one.command, Recall | Keep | Serve | Reply):
                return
            sent = stored() if isinstance(one.command, Recall) and self.requests % 2 else None

    def _look(self, one: Running) -> None:
        command = one.command
        one.due, one.generation, one.is_probe = float("inf"), -1, False
        if isinstance(command, Attempt):
            assert 0.0 < command.timeout <= command.until - self.clock.now + 1e-9
            one.due = self.clock.now + command.timeout
            if command.upstream is self.upstream:
                self.attempts += 1
                one.generation = self.moves
                one.is_probe = self.breaker.state == "half_open"
        elif isinstance(command, Wait):
            one.due = self.clock.now + command.seconds
        elif isinstance(command, Queue):
            assert self.clock.now < command.until <= self.clock.now + QUEUE_TIMEOUT
            one.due = command.until
            command.ticket.waiter = Waiting(self, one)
        elif isinstance(command, Collect):
            one.due = command.until

    @property
    def _row(self) -> int:
        """Failures in a row."""
        return self.breaker._storage.counter

    def _gone(self, one: Running) -> None:
        one.gone = True
        self.live.remove(one)

    def _standing(self) -> tuple[str, int, str, float]:
        """All that the breaker knows, but for who is out on a probe."""
        return (
            self.breaker.state,
            self.moves,
            re.sub(r" probing=\d+", "", repr(self.breaker)),
            self.breaker.retry_after(),
        )

    # What always holds.

    @invariant()
    def slots_are_held_by_those_under_way(self) -> None:
        """And never more than there are."""
        assert self.bulkhead.in_flight == sum(one.holds_slot for one in self.live) <= LIMIT

    @invariant()
    def the_queue_is_who_waits_and_no_slot_is_free_meanwhile(self) -> None:
        """Bounded; nobody in it holds a slot, and nobody is kept waiting for nothing."""
        waiting = [one for one in self.live if isinstance(one.command, Queue)]
        assert self.bulkhead.queued == len(waiting) <= PLACES
        assert not any(one.holds_slot for one in waiting)
        assert not waiting or self.bulkhead.in_flight >= self.bulkhead.limit

    @invariant()
    def no_more_start_than_the_rate_allows(self) -> None:
        """A token each, however often they are tried."""
        refused = self.told.of("refused").count([reasons.RATE_LIMITED])  # type: ignore[arg-type]
        assert self.requests - refused <= BURST + RATE * self.clock.now + 1e-6

    @invariant()
    def endpoints_count_their_attempts(self) -> None:
        """Neither more nor fewer than are under way."""
        for endpoint in (*self.endpoints, self.spare):
            at_it = [one for one in self.live if isinstance(one.command, Attempt) and one.command.endpoint is endpoint]
            assert endpoint.pending == len(at_it)

    @invariant()
    def probes_are_few(self) -> None:
        """At most as many at once as the breaker allows."""
        assert sum(one.is_probe and one.generation == self.moves for one in self.live) <= PROBES

    @invariant()
    def retries_stay_within_their_budget(self) -> None:
        """Attempts <= requests * (1 + ratio) + floor * time, the window's floor included."""
        floor = PER_SECOND * (self.clock.now + WINDOW)
        assert self.attempts <= self.requests * (1.0 + RATIO) + floor + 1e-6

    @invariant()
    def nobody_outlives_its_deadline_unanswered(self) -> None:
        """Who still waits for an answer has time left."""
        for one in self.live:
            if not isinstance(one.command, Relay):
                assert self.clock.now <= one.call.started + min(self.route.total, one.call.patience) + 1e-9

    @precondition(lambda self: not self.live)
    @invariant()
    def nothing_survives(self) -> None:
        """With nobody under way nothing is held."""
        assert (self.bulkhead.in_flight, self.bulkhead.queued) == (0, 0)
        assert not any(endpoint.pending for endpoint in (*self.endpoints, self.spare))

    def teardown(self) -> None:
        """Everybody leaves: nothing is held, and the breaker lets its probes through again."""
        while self.live:  # who leaves may give its slot to another, who then comes to its own end
            one = self.live[0]
            one.path.close()
            self._gone(one)
        self.nothing_survives()
        self.clock.now += 1000.0
        permits = [self.breaker.admit() for _ in range(PROBES)]
        assert None not in permits, "the breaker is wedged"
        for permit in permits:
            assert permit is not None
            permit.settle(THROTTLED, 0.0)


class PathsWithoutBreaker(RequestPaths):
    """The same, with nothing but the budget between an outage and its retries; the limit follows latency."""

    consecutive_failures = 0
    failure_ratio = 0.0
    adaptive = True


TestRequestPaths = RequestPaths.TestCase
TestRequestPaths.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestPathsWithoutBreaker = PathsWithoutBreaker.TestCase
TestPathsWithoutBreaker.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
