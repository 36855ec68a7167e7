"""The laws of hedged requests, over whatever order of answers, failures, waits, timeouts and leavers.

Many paths run at once in virtual time, on real policies, up to two attempts of each under way.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from proxy_fakes import FAILURE, SUCCESS, THROTTLED, Call, HandClock, Recorder, a_breaker, a_route, an_upstream

from sidecar.policy import reasons
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.delay import Delay
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.outcome import Outcome, judge_status
from sidecar.policy.router import Match, Router
from sidecar.proxy.commands import Alone, Attempt, Await, Beside, Command, Relay, Reply, Sent, Settle, Wait
from sidecar.proxy.path import Path, request_path

PROBES = 2
LIMIT = 6
ATTEMPTS = 3
RATIO, PER_SECOND, WINDOW = 0.1, 0.2, 10.0
NEVER = float("inf")
ANY = st.integers(0, 20)


@dataclass(eq=False)
class UnderWay:
    """One attempt."""

    command: Attempt
    due: float
    generation: int
    is_probe: bool


@dataclass(eq=False)
class Running:
    """One request under way, with what its path waits for."""

    path: Path
    call: Call
    command: Command
    due: float = NEVER
    """When it goes on by itself: a wait that is over, or the time for a second attempt."""
    attempts: dict[bool, UnderWay] = field(default_factory=dict)
    """Under way, by whether it is the hedge."""
    begun: int = 0
    hedges: int = 0


class HedgedPaths(RuleBasedStateMachine):
    """One route: bulkhead, breaker, budget, three endpoints, a second attempt after 300 ms."""

    consecutive_failures = 4
    failure_ratio = 0.6

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock(0.0)
        self.moves = self.requests = self.attempts = 0
        self.told = Recorder()
        self.endpoints = [Endpoint(name=name) for name in "abc"]
        self.upstream = an_upstream(self.clock, self.endpoints, ratio=RATIO, per_second=PER_SECOND)
        self.upstream._ejection = Ejection(consecutive_failures=4, base=3.0, cap=30.0, max_share=0.5, clock=self.clock)
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
        self.bulkhead = Bulkhead(LIMIT)
        self.route = a_route(
            self.clock,
            self.upstream,
            self.told,
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            retry={"attempts": ATTEMPTS, "hedge": Delay(0.3)},
        )
        self.router = Router([(Match(prefix=b"/"), self.route)])
        self.live: list[Running] = []

    def _moved(self, *_: object) -> None:
        self.moves += 1

    # What is played.

    @rule(
        count=st.sampled_from([1, 1, 4]),
        method=st.sampled_from([b"GET", b"GET", b"GET", b"POST"]),
        may_go_twice=st.sampled_from([True, True, False]),
        patience=st.sampled_from([NEVER, 1.5, 0.35]),
        already_retrying=st.sampled_from([False, False, False, True]),
    )
    def ask(self, count: int, **asked: Any) -> None:
        """Requests come."""
        for _ in range(count):
            call = Call(started=self.clock.now, **asked)
            one = Running(request_path(call, self.router, self.clock), call, Wait(0.0))
            self.live.append(one)
            self.requests += 1
            self._go_on(one, None)

    @rule(which=ANY, hedge=st.booleans(), end=st.sampled_from([200, 200, 404, 408, 429, 500, 503, 5030]))
    def answered(self, which: int, hedge: bool, end: int) -> None:  # noqa: FBT001 - drawn
        """One of somebody's attempts brings an answer; 5030 is 503 with Retry-After."""
        if one := self._one(which, hedge=hedge):
            after = 0.4 if end == 5030 else None
            status = min(end, 503)
            verdict = judge_status(status, after)
            reason = reasons.OK if verdict is SUCCESS else reasons.UPSTREAM_ERROR
            self._end(one, hedge, Outcome(verdict, reason, status=status, sent=True, retry_after=after))

    @rule(which=ANY, hedge=st.booleans(), reason=st.sampled_from([reasons.CONNECT_FAILURE, reasons.RESET]))
    def failed(self, which: int, hedge: bool, reason: str) -> None:  # noqa: FBT001 - drawn
        """It brings none."""
        if one := self._one(which, hedge=hedge):
            self._end(one, hedge, Outcome(FAILURE, reason, sent=reason == reasons.RESET))

    @rule(which=ANY)
    def last_byte(self, which: int) -> None:
        """Somebody's answer has been passed on."""
        if fitting := [one for one in self.live if isinstance(one.command, Relay)]:
            self._go_on(fitting[which % len(fitting)], None)

    @rule(which=ANY)
    def leave(self, which: int) -> None:
        """A caller leaves, wherever it stands: which says nothing about what was under way."""
        if self.live:
            one = self.live[which % len(self.live)]
            before = self.moves, self.breaker.state, self.breaker._storage.counter, self.upstream.ejected()
            one.path.close()
            self.live.remove(one)
            after = self.moves, self.breaker.state, self.breaker._storage.counter, self.upstream.ejected()
            known = len(one.attempts) < one.begun  # one of two had failed already, and says so now
            assert after == before or known, "a leaver moved something"

    @rule(seconds=st.sampled_from([0.05, 0.3, 0.31, 1.0, 4.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        """What is due on the way happens in its order."""
        until = self.clock.now + seconds
        while due := [one for one in self.live if self._due(one) <= until]:
            one = min(due, key=self._due)
            self.clock.now = max(self.clock.now, self._due(one))
            self._strike(one)
        self.clock.now = until

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def the_loop_stalls(self, seconds: float) -> None:
        """It happens late."""
        self.clock.now += seconds
        while due := [one for one in self.live if self._due(one) <= self.clock.now]:
            self._strike(min(due, key=self._due))

    # How it is played.

    def _one(self, which: int, *, hedge: bool) -> Running | None:
        fitting = [one for one in self.live if hedge in one.attempts]
        return fitting[which % len(fitting)] if fitting else None

    def _due(self, one: Running) -> float:
        return min([one.due, *(attempt.due for attempt in one.attempts.values())])

    def _strike(self, one: Running) -> None:
        for hedge, attempt in list(one.attempts.items()):
            if attempt.due <= self.clock.now:
                took = attempt.command.timeout
                self._end(one, hedge, Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, elapsed=took, sent=True))
                return
        one.due = NEVER
        self._go_on(one, None)

    def _end(self, one: Running, hedge: bool, outcome: Outcome) -> None:  # noqa: FBT001 - as drawn
        del one.attempts[hedge]
        if hedge:
            outcome.is_hedge = True
        self._go_on(one, outcome)

    def _go_on(self, one: Running, sent: Sent) -> None:
        while True:
            try:
                command = one.command = one.path.send(sent)
            except StopIteration:
                self.live.remove(one)
                return
            self._look(one, command)
            if not isinstance(command, Settle | Reply):
                return
            sent = None

    def _look(self, one: Running, command: Command) -> None:
        one.due = NEVER
        now = self.clock.now
        if isinstance(command, Attempt):
            assert 0.0 < command.timeout <= command.until - now + 1e-9
            hedge = isinstance(command, Beside)
            assert hedge not in one.attempts
            one.attempts[hedge] = UnderWay(
                command, now + command.timeout, self.moves, self.breaker.state == "half_open"
            )
            one.begun += 1
            one.hedges += hedge
            self.attempts += 1
            if isinstance(command, Alone):
                one.due = now + command.alone
        elif isinstance(command, Await):
            assert one.attempts, "waits for nothing"
        elif isinstance(command, Settle):
            one.attempts.clear()
        elif isinstance(command, Wait):
            one.due = now + command.seconds

    # What always holds.

    @invariant()
    def one_request_is_bounded(self) -> None:
        """Two attempts at once, one hedge, and as many in all as the route allows; none for who must not."""
        for one in self.live:
            assert len(one.attempts) <= 2
            assert one.hedges <= 1
            assert one.begun <= ATTEMPTS
            unsafe = one.call.method == b"POST" or one.call.already_retrying or not one.call.may_go_twice
            assert not (unsafe and one.hedges)

    @invariant()
    def places_are_held_by_what_is_under_way(self) -> None:
        """One slot per request however many attempts, and each attempt at its endpoint."""
        for endpoint in self.endpoints:
            at_it = [a for one in self.live for a in one.attempts.values() if a.command.endpoint is endpoint]
            failed = [one for one in self.live if isinstance(one.command, Await) and len(one.attempts) < one.begun]
            assert len(at_it) <= endpoint.pending <= len(at_it) + len(failed)
        assert self.bulkhead.in_flight == len(self.live) <= LIMIT

    @invariant()
    def probes_are_few(self) -> None:
        """Hedges of probes are probes."""
        probing = [a for one in self.live for a in one.attempts.values() if a.is_probe and a.generation == self.moves]
        assert len(probing) <= PROBES

    @invariant()
    def second_attempts_stay_within_the_budget(self) -> None:
        """Retries and hedges together: a slow upstream is not asked twice by all."""
        floor = PER_SECOND * (self.clock.now + WINDOW)
        assert self.attempts <= self.requests * (1.0 + RATIO) + floor + 1e-6

    @invariant()
    def nobody_outlives_its_deadline(self) -> None:
        """Whoever has no answer yet has time left."""
        for one in self.live:
            if not isinstance(one.command, Relay):
                assert self.clock.now <= one.call.started + min(self.route.total, one.call.patience) + 1e-9

    @precondition(lambda self: not self.live)
    @invariant()
    def nothing_survives(self) -> None:
        """With nobody under way nothing is held."""
        assert self.bulkhead.in_flight == 0
        assert not any(endpoint.pending for endpoint in self.endpoints)
        assert not self.breaker._probing

    def teardown(self) -> None:
        """Everybody leaves: nothing is held, every hedge was counted, and the breaker lets its probes through again."""
        while self.live:
            self.live.pop().path.close()
        self.nothing_survives()
        self.clock.now += 1000.0
        permits = [self.breaker.admit() for _ in range(PROBES)]
        assert None not in permits, "the breaker is wedged"
        for permit in permits:
            assert permit is not None
            permit.settle(THROTTLED, 0.0)


class HedgedPathsWithoutBreaker(HedgedPaths):
    """The same, with nothing but the budget between a slow upstream and twice its load."""

    consecutive_failures = 0
    failure_ratio = 0.0


TestHedgedPaths = HedgedPaths.TestCase
TestHedgedPaths.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestHedgedPathsWithoutBreaker = HedgedPathsWithoutBreaker.TestCase
TestHedgedPathsWithoutBreaker.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
