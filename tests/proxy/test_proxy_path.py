"""The request path as a play: each test sends what came of a command and reads the next one."""

from typing import Any, TypeVar, cast

import pytest
from proxy_fakes import (
    FAILURE,
    NEUTRAL,
    SUCCESS,
    THROTTLED,
    UNAVAILABLE,
    Call,
    HandClock,
    Middle,
    Recorder,
    a_breaker,
    a_route,
    an_upstream,
    stored,
    trip,
)

from sidecar.policy import reasons
from sidecar.policy.adaptive import AdaptiveLimit
from sidecar.policy.answer import Answer
from sidecar.policy.budget import RetryBudget
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.fallback import Failover, LastKnownGood, Static
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.rate_limit import RateLimit
from sidecar.policy.router import Match, Router
from sidecar.proxy.commands import Attempt, Collect, Command, Keep, Own, Queue, Recall, Relay, Reply, Sent, Serve, Wait
from sidecar.proxy.hops import HOPS
from sidecar.proxy.path import request_path

C = TypeVar("C", bound=Command)

LKG = LastKnownGood(3600.0, (b"authorization",))
STATIC = Static(Answer(200, (), b"{}"))


class Play:
    """One request on its path. `a`, `b`: endpoints of the route's upstream; `spare`: of the one to fall back on."""

    def __init__(
        self,
        *,
        retry: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
        breaker: dict[str, Any] | None = None,
        **route: Any,
    ) -> None:
        self.clock = HandClock()
        self.told = Recorder()
        self.a, self.b, self.spare = (Endpoint(name=name) for name in ("a", "b", "spare"))
        self.upstream = an_upstream(self.clock, [self.a, self.b])
        self.replica = an_upstream(self.clock, [self.spare], name="replica")
        if breaker is not None:
            route["breaker"] = a_breaker(self.clock, **breaker)
        if "ladder" in route:
            route["ladder"] = tuple(Failover(self.replica) if rung is Failover else rung for rung in route["ladder"])
        self.route = a_route(self.clock, self.upstream, self.told, retry=retry, **route)
        self.call = Call(**(call or {}))
        self.path = self.again(self.call)
        self._next: Command | None = None
        self._begun = False
        self.ended = False

    def again(self, call: Call) -> Any:
        """Another request on the same route."""
        return request_path(call, Router([(Match(prefix=b"/"), self.route)]), self.clock)

    def send(self, sent: Sent = None) -> "Play":
        """What came of the last command."""
        try:
            self._next = self.path.send(sent)
        except StopIteration:
            self._next = None
            self.ended = True
        return self

    def expect(self, kind: type[C]) -> C:
        """The next command, which must be of that kind. The first one begins the path."""
        if not self._begun:
            self._begun = True
            self.send()
        assert type(self._next) is kind, self._next
        return cast("C", self._next)

    def ends(self) -> None:
        """Sends the end of an answer; nothing follows, and everything is given back."""
        self.send()
        assert self.ended, self._next
        assert [self.a.pending, self.b.pending, self.spare.pending] == [0, 0, 0]
        assert self.route.bulkhead is None or self.route.bulkhead.in_flight == 0

    def replies(self, reason: str, label: str, status: int) -> Reply:
        """The last command is this answer of our own."""
        reply = self.expect(Reply)
        assert (reply.reason, reply.label, reply.status) == (reason, label, status)
        self.ends()
        return reply

    def relays(self, outcome: Outcome, label: str = "ok", rescued: str = "") -> None:
        """The last command is to pass this answer on."""
        relay = self.expect(Relay)
        assert (relay.outcome, relay.label, relay.rescued) == (outcome, label, rescued)
        self.ends()


def ok(status: int = 200) -> Outcome:
    """An answer that is no failure."""
    return Outcome(SUCCESS, status=status, sent=True, elapsed=0.1)


def error(status: int = 503, verdict: Verdict = FAILURE, *, retry_after: float | None = None) -> Outcome:
    """An answer that is one."""
    return Outcome(verdict, reasons.UPSTREAM_ERROR, status=status, sent=True, elapsed=0.1, retry_after=retry_after)


def lost(reason: str = reasons.RESET, *, sent: bool = True) -> Outcome:
    """No answer."""
    return Outcome(FAILURE, reason, sent=sent, elapsed=0.1)


def timed_out() -> Outcome:
    """No answer in time."""
    return lost(reasons.ATTEMPT_TIMEOUT)


# The plain way.


def test_what_matches_no_route_is_404_and_touches_nothing() -> None:
    """Every policy belongs to a route."""
    play = Play()
    play.path = request_path(play.call, Router([]), play.clock)
    reply = play.expect(Reply)
    assert (reply.reason, reply.label, reply.status, reply.answer) == ("no_route", "refused", 404, None)
    play.ends()
    assert play.call.route is None
    assert not play.told.told


def test_a_success_is_relayed_while_its_slot_is_held_to_the_last_byte() -> None:
    """The endpoint is free at the commit point, the bulkhead's slot only after the last byte."""
    play = Play(bulkhead=Bulkhead(1), breaker={})
    attempt = play.expect(Attempt)
    assert (attempt.upstream, attempt.timeout, attempt.until) == (play.upstream, 4.0, 1010.0)
    assert cast("Endpoint", attempt.endpoint).pending == 1
    assert not attempt.in_doubt
    good = ok()
    play.send(good).expect(Relay)
    assert (play.a.pending, play.b.pending) == (0, 0)
    assert play.route.bulkhead is not None
    assert play.route.bulkhead.in_flight == 1
    play.relays(good)
    assert play.told.told == [("request_started",)]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 408, 410, 422, 501, 505])
def test_an_answer_that_is_no_failure_is_never_masked(status: int) -> None:
    """Whatever the route could fall back on, and however critical it is."""
    play = Play(critical=True, unavailable=UNAVAILABLE, ladder=(LKG, Failover, STATIC))
    play.expect(Attempt)
    answer = ok(status)
    relay = play.send(answer).expect(Relay)
    assert (relay.outcome, relay.label, relay.rescued) == (answer, "ok", "")


def test_429_counts_as_throttled_and_is_passed_on_all_the_same() -> None:
    """It is the upstream's word to the caller."""
    play = Play(critical=True, unavailable=UNAVAILABLE, ladder=(LKG, Failover, STATIC))
    play.expect(Attempt)
    answer = error(429, THROTTLED, retry_after=3.0)
    play.send(answer).relays(answer)


def test_a_small_body_is_waited_for_before_anything_is_tried() -> None:
    """Until the deadline; the attempt's time begins after it."""
    play = Play(call={"body_to_come": True}, breaker={"consecutive_failures": 1})
    assert play.expect(Collect).until == 1010.0
    play.clock.now += 2.0
    play.send(True).expect(Attempt)  # noqa: FBT003 - what a Collect is sent


def test_a_caller_that_does_not_send_its_body_gets_408() -> None:
    """Its own fault: no fallback, no attempt, and the slot goes back."""
    play = Play(call={"body_to_come": True}, bulkhead=Bulkhead(1), critical=True, ladder=(STATIC,))
    play.expect(Collect)
    play.send(False).replies("request_timeout", "bad_request", 408)  # noqa: FBT003 - the same


def test_an_upload_that_the_caller_does_not_finish_is_its_own_fault_too() -> None:
    """The attempt says so: neutral, nothing retried, nothing rescued, nothing counted against the upstream."""
    play = Play(
        critical=True,
        unavailable=UNAVAILABLE,
        ladder=(STATIC,),
        retry={"attempts": 3},
        breaker={"consecutive_failures": 1},
    )
    play.expect(Attempt)
    play.send(Outcome(NEUTRAL, reasons.REQUEST_TIMEOUT, sent=True)).replies("request_timeout", "bad_request", 408)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "closed"


# Retries.


def test_a_listed_failure_is_tried_again_after_its_wait_at_another_endpoint() -> None:
    """Counted by the reason of the attempt before; each attempt's endpoint is judged."""
    play = Play(retry={"attempts": 3})
    first = play.expect(Attempt)
    assert play.send(error()).expect(Wait).seconds == 0.1
    play.clock.now += 0.1
    second = play.send().expect(Attempt)
    assert {first.endpoint, second.endpoint} == {play.a, play.b}
    good = ok()
    play.send(good).relays(good)
    assert play.told.of("retried") == [["upstream_error"]]
    assert play.upstream.ejected() == [first.endpoint]


def test_without_a_wait_the_next_attempt_follows_at_once() -> None:
    """A delay of nothing is no command."""
    play = Play(retry={"attempts": 2, "base": 0.0})
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)


def test_an_answer_that_is_no_failure_may_be_listed_too() -> None:
    """408 is retried, and stands when it is the last word."""
    play = Play(retry={"attempts": 2, "base": 0.0})
    play.expect(Attempt)
    play.send(ok(408)).expect(Attempt)
    last = ok(408)
    play.send(last).relays(last)
    assert play.told.of("retry_denied") == [["attempts"]]


Denial = tuple[dict[str, Any], dict[str, Any], Outcome, str]


@pytest.mark.parametrize(
    ("retry", "call", "outcome", "reason"),
    [
        ({"attempts": 2}, {"method": b"POST"}, error(), "method"),
        ({"attempts": 2}, {"replayable": False}, error(), "body"),
        ({"attempts": 2}, {}, error(503, THROTTLED, retry_after=11.0), "retry_after"),
        ({"attempts": 2, "base": 11.0, "cap": 11.0}, {}, error(), "deadline"),
        ({"attempts": 2, "budget": RetryBudget(ratio=0.0, per_second=0.0, clock=HandClock())}, {}, error(), "budget"),
        ({"attempts": 2}, {"already_retrying": True}, error(), "attempts"),
    ],
)
def test_a_retry_that_is_denied_is_counted_and_the_answer_stands(
    retry: dict[str, Any], call: dict[str, Any], outcome: Outcome, reason: str
) -> None:
    """For each of the reasons; the upstream's own 5xx passes."""
    play = Play(retry=retry, call=call)
    play.expect(Attempt)
    play.send(outcome).relays(outcome, "upstream_error")
    assert play.told.of("retry_denied") == [[reason]]
    assert not play.told.of("retried")


def test_a_caller_that_retries_itself_costs_the_budget_nothing() -> None:
    """A retry that is denied anyway must not be paid for."""
    play = Play(retry={"attempts": 3}, call={"already_retrying": True})
    before = play.upstream.budget.balance()
    play.expect(Attempt)
    outcome = error()
    play.send(outcome).relays(outcome, "upstream_error")
    assert play.upstream.budget.balance() == pytest.approx(before + 0.2)


def test_post_goes_again_only_while_not_a_byte_was_sent() -> None:
    """RFC 9110 section 9.2.2."""
    play = Play(retry={"attempts": 3, "base": 0.0}, call={"method": b"POST"})
    play.expect(Attempt)
    play.send(lost(reasons.CONNECT_FAILURE, sent=False)).expect(Attempt)
    play.send(lost()).replies("reset", "upstream_error", 502)
    assert play.told.of("retry_denied") == [["method"]]


def test_what_an_earlier_attempt_sent_stays_sent() -> None:
    """With a key a POST goes again at the same upstream; another one must not get it, whatever came last."""
    play = Play(
        retry={"attempts": 2, "idempotency_key": True, "base": 0.0},
        call={"method": b"POST", "has_key": True},
        ladder=(Failover,),
    )
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)
    play.send(lost(reasons.CONNECT_FAILURE, sent=False)).replies("connect_failure", "upstream_error", 502)


# The breaker.


def test_an_open_breaker_refuses_before_anything_is_tried() -> None:
    """503 with the open time that is left; nothing was asked of the upstream."""
    play = Play(breaker={})
    assert play.route.breaker is not None
    trip(play.route.breaker)
    play.clock.now += 1.5
    play.call.started = play.clock.now
    assert play.replies("breaker_open", "refused", 503).retry_after == pytest.approx(3.5)
    assert play.told.of("refused") == [["breaker_open"]]
    assert not play.told.of("attempt_finished")


def test_a_breaker_that_opens_between_attempts_lets_the_last_answer_stand() -> None:
    """It says more than our refusal would. A retry that is not made is none, and costs nothing."""
    play = Play(breaker={"consecutive_failures": 1}, retry={"attempts": 2})
    play.expect(Attempt)
    before = play.upstream.budget.balance()
    last = error()
    play.send(last).expect(Wait)
    assert play.upstream.budget.balance() == pytest.approx(before - 1.0)
    play.send().relays(last, "upstream_error")
    assert play.told.of("retry_denied") == [["breaker_open"]]
    assert not play.told.of("refused")
    assert not play.told.of("retried")
    assert play.upstream.budget.balance() == pytest.approx(before)


def test_who_leaves_before_its_retry_gets_it_back() -> None:
    """It was paid for, and never made."""
    play = Play(retry={"attempts": 2})
    play.expect(Attempt)
    before = play.upstream.budget.balance()
    play.send(error()).expect(Wait)
    play.path.close()
    assert play.upstream.budget.balance() == pytest.approx(before)
    assert not play.told.of("retried")


def test_an_open_breaker_refuses_before_a_body_is_waited_for() -> None:
    """Nobody is asked for what would go nowhere; the fallback may still help, with the body as it comes."""
    play = Play(breaker={}, call={"body_to_come": True, "method": b"POST"}, ladder=(Failover,))
    assert play.route.breaker is not None
    trip(play.route.breaker)
    assert play.expect(Attempt).upstream is play.replica
    good = ok()
    play.send(good).relays(good, "failover", "breaker_open")
    assert play.told.of("refused") == [["breaker_open"]]


def test_a_probe_is_not_out_while_its_body_is_waited_for() -> None:
    """The look takes no permit; whose body comes second is refused then."""
    play = half_open(call={"body_to_come": True})
    play.expect(Collect)
    assert not probing(play)
    assert play.route.breaker is not None
    permit = play.route.breaker.admit()
    assert permit is not None
    other = play.again(Call(body_to_come=True, started=play.clock.now))
    assert isinstance(next(other), Reply), "its body would come in vain"
    play.send(True).replies("breaker_open", "refused", 503)  # noqa: FBT003 - what a Collect is sent


def test_a_breaker_in_dry_run_counts_and_lets_pass() -> None:
    """Its permits do not feed it."""
    play = Play(breaker={"dry_run": True})
    assert play.route.breaker is not None
    trip(play.route.breaker)
    play.expect(Attempt)
    good = ok()
    play.send(good).relays(good)
    assert play.told.of("would_refuse") == [["breaker_open"]]
    assert play.route.breaker.state == "open"


def test_success_of_a_probe_closes_the_breaker() -> None:
    """The verdict reaches it with the attempt's end."""
    play = Play(breaker={})
    breaker = play.route.breaker
    assert breaker is not None
    trip(breaker)
    play.clock.now += 5.0
    play.call.started = play.clock.now
    play.expect(Attempt)
    assert breaker.state == "half_open"
    good = ok()
    play.send(good).relays(good)
    assert breaker.state == "closed"


def probing(play: Play) -> bool:
    """Whether the half-open breaker's only probe is out."""
    assert play.route.breaker is not None
    permit = play.route.breaker.admit()
    if permit is not None:
        permit.settle(NEUTRAL, 0.0)
    return permit is None


def half_open(**more: Any) -> Play:
    """A play whose breaker lets one probe through."""
    play = Play(breaker={}, **more)
    assert play.route.breaker is not None
    trip(play.route.breaker)
    play.clock.now += 5.0
    play.call.started = play.clock.now
    return play


# Time and endpoints.


def test_with_no_time_left_nothing_is_tried() -> None:
    """The caller gave none; the probe it would have been is free again."""
    play = half_open(call={"patience": 0.0})
    play.replies("deadline", "upstream_error", 504)
    assert not probing(play)


def test_a_wait_that_takes_the_rest_of_the_time_ends_the_tries() -> None:
    """Timers strike late: the last answer stands."""
    play = Play(retry={"attempts": 2})
    play.expect(Attempt)
    last = error()
    play.send(last).expect(Wait)
    play.clock.now = 1010.0
    play.send().relays(last, "upstream_error")


def test_without_an_endpoint_nothing_is_tried() -> None:
    """All are ejected: 503, until the first is back; and the probe it would have been is free again."""
    play = half_open()
    for endpoint in (play.a, play.b):
        play.upstream.judge(endpoint, FAILURE)
    assert play.replies("no_endpoint", "refused", 503).retry_after == 30.0
    assert play.told.of("refused") == [["no_endpoint"]]
    assert not probing(play)


def test_an_attempt_never_outlives_the_deadline() -> None:
    """Clipped to what is left, and then it is the deadline that struck."""
    play = Play(retry={"attempts": 2, "base": 0.0}, breaker={"consecutive_failures": 2})
    play.expect(Attempt)
    play.clock.now += 7.0
    attempt = play.send(lost()).expect(Attempt)
    assert attempt.timeout == pytest.approx(3.0)
    play.clock.now += 3.0
    play.send(timed_out()).replies("deadline", "upstream_error", 504)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "open", "an upstream that let the route's time pass has failed"


def test_an_attempt_that_used_its_own_timeout_says_so() -> None:
    """504, and a failure."""
    play = Play(breaker={"consecutive_failures": 1})
    play.expect(Attempt)
    play.clock.now += 4.0
    play.send(timed_out()).replies("attempt_timeout", "upstream_error", 504)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "open"


def hurried(play: Play, patience: float) -> None:
    """A caller with less time than the route waits in vain."""
    path = play.again(Call(patience=patience, started=play.clock.now))
    assert next(path).timeout == pytest.approx(patience)
    play.clock.now += patience
    reply = path.send(timed_out())
    assert (reply.reason, reply.label, reply.status) == ("deadline", "upstream_error", 504)
    path.close()


def test_callers_in_a_hurry_open_the_breaker_by_their_share_alone() -> None:
    """No row of them does, and no endpoint goes: but an upstream that hangs for half of all is one that hangs."""
    play = Play(breaker={"consecutive_failures": 1, "failure_ratio": 0.5})
    breaker = play.route.breaker
    assert breaker is not None
    for _ in range(9):
        hurried(play, 0.5)
        assert breaker.state == "closed"
    hurried(play, 0.5)
    assert breaker.state == "open"
    assert not play.upstream.ejected()


def test_a_few_callers_in_a_hurry_open_nothing() -> None:
    """However many there are in all."""
    play = Play(breaker={"consecutive_failures": 1, "failure_ratio": 0.5})
    breaker = play.route.breaker
    assert breaker is not None
    for _ in range(20):
        hurried(play, 0.5)
        for _ in range(2):
            path = play.again(Call(started=play.clock.now))
            next(path)
            path.send(ok())
            path.close()
    assert breaker.state == "closed"


def test_who_gives_next_to_nothing_says_nothing() -> None:
    """Hardly any upstream answers in that time: neutral, also for a probe, which goes to the next."""
    play = Play(breaker={"failure_ratio": 0.5, "minimum_requests": 1})
    for _ in range(20):
        hurried(play, 0.09)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "closed"
    play = half_open()
    hurried(play, 0.09)
    assert not probing(play)


def test_a_probe_that_its_caller_cut_short_opens_the_breaker_again() -> None:
    """It was to find an answer, and found none."""
    play = half_open()
    hurried(play, 0.5)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "open"


def test_an_answer_that_was_cut_short_is_not_passed_on() -> None:
    """Its status was here, the rest was not."""
    play = Play(call={"patience": 0.5}, ladder=(STATIC,))
    play.expect(Attempt)
    play.clock.now += 0.5
    half = Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, status=200, sent=True)
    play.send(half).replies("deadline", "static", 200)


def test_patience_shortens_and_never_stretches() -> None:
    """A caller with more time than the route gets the route's."""
    assert Play(call={"patience": 60.0}).expect(Attempt).until == 1010.0


# The bulkhead.


def test_a_full_bulkhead_refuses_and_takes_no_slot() -> None:
    """503, counted; the ladder may still help."""
    full = Bulkhead(1)
    assert full.enter()
    play = Play(bulkhead=full)
    reply = play.expect(Reply)
    assert (reply.reason, reply.label, reply.status) == ("bulkhead_full", "refused", 503)
    play.send()
    assert play.ended
    assert full.in_flight == 1
    assert play.told.of("refused") == [["bulkhead_full"]]

    play = Play(bulkhead=full, ladder=(LKG,))
    play.expect(Recall)
    play.send(stored()).expect(Serve)


def full(play: Play | None = None, **more: Any) -> Bulkhead:
    """One slot, taken; two may wait for 0.5 s."""
    clock = HandClock() if play is None else play.clock
    bulkhead = Bulkhead(1, **({"queue": 2, "queue_timeout": 0.5, "clock": clock} | more))
    assert bulkhead.enter()
    return bulkhead


def queued(**route: Any) -> Play:
    """A request on a route whose one slot somebody else has."""
    play = Play(**route)
    play.route.bulkhead = full(play)
    return play


def test_who_waits_gets_the_slot_when_it_is_free_and_goes_on() -> None:
    """The wait is part of the deadline; nothing was asked of breaker, budget or upstream meanwhile."""
    play = queued(breaker={})
    command = play.expect(Queue)
    assert command.until == 1000.5
    bulkhead = play.route.bulkhead
    assert bulkhead is not None
    assert (bulkhead.queued, bulkhead.in_flight) == (1, 1)
    assert (play.a.pending, play.b.pending) == (0, 0)
    play.clock.now += 0.4
    bulkhead.leave()
    assert command.ticket.given
    attempt = play.send(True).expect(Attempt)  # noqa: FBT003 - what a Queue is sent
    assert attempt.until == 1010.0
    good = ok()
    play.send(good).relays(good)
    assert play.told.told == [("request_started",)]


def test_who_waits_too_long_is_refused_and_frees_its_place() -> None:
    """503 queue_timeout, counted; no attempt was made."""
    play = queued()
    play.expect(Queue)
    play.clock.now += 0.5
    reply = play.send(False).expect(Reply)  # noqa: FBT003 - the same
    assert (reply.reason, reply.label, reply.status) == ("queue_timeout", "refused", 503)
    assert play.route.bulkhead is not None
    assert play.route.bulkhead.queued == 0
    assert play.told.of("refused") == [["queue_timeout"]]
    play.route.bulkhead.leave()
    play.ends()


def test_a_slot_that_comes_too_late_is_passed_on() -> None:
    """When the loop was held up: who has waited too long is refused, whatever the order in which it hears of it."""
    play = queued()
    play.expect(Queue)
    bulkhead = play.route.bulkhead
    assert bulkhead is not None
    play.clock.now += 0.5
    bulkhead.leave()
    reply = play.send(True).expect(Reply)  # noqa: FBT003 - what a Queue is sent
    assert reply.reason == "queue_timeout"
    assert bulkhead.in_flight == 0
    play.ends()


def test_a_critical_route_says_503_and_a_rung_for_refusals_helps() -> None:
    """As with every refusal."""
    play = queued(
        critical=True, unavailable=UNAVAILABLE, ladder=(Static(Answer(200, (), b"{}"), on=frozenset({"open"})),)
    )
    play.expect(Queue)
    reply = play.send(False).expect(Reply)  # noqa: FBT003 - the same
    assert (reply.reason, reply.label, reply.status) == ("queue_timeout", "fail_closed", 503)
    play = queued(ladder=(Static(Answer(200, (), b"{}"), on=frozenset({"refused"})),))
    play.expect(Queue)
    reply = play.send(False).expect(Reply)  # noqa: FBT003 - the same
    assert (reply.reason, reply.label, reply.status) == ("queue_timeout", "static", 200)


def test_a_caller_with_less_time_waits_less() -> None:
    """Not longer than it would listen; and not at all if that is over."""
    play = queued(call={"patience": 0.2})
    assert play.expect(Queue).until == 1000.2
    play = queued(call={"patience": 0.2})
    play.clock.now += 0.2
    assert play.expect(Reply).reason == "queue_timeout"


def test_closing_in_the_queue_gives_the_place_back() -> None:
    """Also when the slot has come and the path has not heard of it: it goes to the next."""
    play = queued()
    play.expect(Queue)
    bulkhead = play.route.bulkhead
    assert bulkhead is not None
    play.path.close()
    assert bulkhead.queued == 0

    play = queued()
    play.expect(Queue)
    bulkhead = play.route.bulkhead
    assert bulkhead is not None
    bulkhead.leave()
    assert bulkhead.in_flight == 1
    play.path.close()
    assert bulkhead.in_flight == 0


def test_a_body_is_waited_for_with_the_slot_not_for_it() -> None:
    """First its turn, then its body."""
    play = queued(call={"body_to_come": True})
    play.expect(Queue)
    assert play.route.bulkhead is not None
    play.route.bulkhead.leave()
    play.send(True).expect(Collect)  # noqa: FBT003 - what a Queue is sent


def test_an_adaptive_limit_hears_of_every_attempt() -> None:
    """Of retries too, and after the endpoint was judged; not of one that was abandoned."""
    heard: list[tuple[Outcome, int]] = []

    class Listening(AdaptiveLimit):
        def judge(self, outcome: Outcome, in_flight: int) -> bool:
            heard.append((outcome, in_flight))
            return False

    clock = HandClock()
    limit = Listening(ceiling=5, clock=clock, rng=Middle())
    play = Play(bulkhead=Bulkhead(5, adaptive=limit, clock=clock), retry={"attempts": 2})
    play.expect(Attempt)
    first, second = lost(), ok()
    play.send(first).expect(Wait)
    play.send().expect(Attempt)
    play.send(second).relays(second)
    assert heard == [(first, 1), (second, 1)]


# The rate limit.


def test_over_the_rate_is_429_with_the_time_of_the_next_token() -> None:
    """It comes before the bulkhead: no slot, no place, no attempt."""
    play = Play(bulkhead=Bulkhead(5))
    play.route.rate_limit = RateLimit(per_second=0.5, burst=1, clock=play.clock)
    assert play.route.rate_limit.admit()
    reply = play.expect(Reply)
    assert (reply.reason, reply.label, reply.status) == ("rate_limited", "refused", 429)
    assert reply.retry_after == pytest.approx(2.0)
    assert play.told.of("refused") == [["rate_limited"]]
    play.ends()


def test_over_the_rate_is_503_on_a_critical_route() -> None:
    """Whoever reads 429 there would take it for the upstream's."""
    play = Play(critical=True)
    play.route.rate_limit = RateLimit(per_second=0.5, burst=1, clock=play.clock)
    play.route.rate_limit.admit()
    reply = play.replies("rate_limited", "fail_closed", 503)
    assert reply.retry_after == pytest.approx(2.0)


def test_a_token_is_taken_per_request_and_not_per_attempt() -> None:
    """Retries have a budget of their own."""
    play = Play(retry={"attempts": 2})
    limit = play.route.rate_limit = RateLimit(per_second=0.001, burst=2, clock=play.clock)
    play.expect(Attempt)
    play.send(lost()).expect(Wait)
    play.send().expect(Attempt)
    good = ok()
    play.send(good).relays(good)
    assert limit.admit()
    assert not limit.admit()


# The ladder.


def test_rungs_are_tried_in_their_order_until_one_helps() -> None:
    """Nothing kept, a replica that fails too, then the fixed answer: only that one is counted."""
    play = Play(ladder=(LKG, Failover, STATIC))
    play.expect(Attempt)
    assert play.send(lost()).expect(Recall).rung is LKG
    other = play.send(None).expect(Attempt)
    assert (other.upstream, other.endpoint, other.in_doubt) == (play.replica, play.spare, True)
    assert play.spare.pending == 1
    assert play.send(error(500)).replies("reset", "static", 200).answer is STATIC.answer
    assert play.told.of("fell_back") == [["static", "reset"]]
    assert play.replica.endpoints == (play.spare,)


@pytest.mark.parametrize(
    ("on", "reason", "covered"),
    [
        ("timeout", reasons.ATTEMPT_TIMEOUT, True),
        ("timeout", reasons.RESET, False),
        ("connect", reasons.TLS_FAILURE, True),
        ("response", reasons.UNEXPECTED_RESPONSE, True),
        ("response", reasons.CONNECT_FAILURE, False),
    ],
)
def test_a_rung_answers_only_for_the_kinds_it_names(on: str, reason: str, covered: bool) -> None:  # noqa: FBT001
    """What it does not cover goes past it."""
    play = Play(ladder=(Static(STATIC.answer, frozenset({on})),))
    play.expect(Attempt)
    reply = play.send(lost(reason)).expect(Reply)
    assert (reply.label == "static") is covered


def test_a_good_answer_is_kept_after_it_was_relayed() -> None:
    """Remembering must not delay the answer."""
    play = Play(ladder=(LKG,))
    play.expect(Attempt)
    good = ok()
    play.send(good).expect(Relay)
    keep = play.send().expect(Keep)
    assert (keep.rung, keep.outcome) == (LKG, good)
    play.ends()


@pytest.mark.parametrize("status", [304, 401, 403, 404, 410])
def test_what_bears_on_the_kept_answer_is_noted_for_every_rung(status: int) -> None:
    """It still holds, or is gone, or is no longer for this caller: each rung that keeps must know, once."""
    other, again = LastKnownGood(60.0, ()), LastKnownGood(1.0, LKG.identity)
    play = Play(ladder=(LKG, STATIC, other, again))
    play.expect(Attempt)
    answer = ok(status)
    play.send(answer).expect(Relay)
    keeps = [play.send().expect(Keep) for _ in range(2)]
    assert {keep.rung for keep in keeps} == {LKG, other}
    assert {keep.outcome for keep in keeps} == {answer}
    play.send().ends()


@pytest.mark.parametrize(("method", "status"), [(b"GET", 203), (b"GET", 400), (b"POST", 200), (b"HEAD", 404)])
def test_nothing_else_is_noted(method: bytes, status: int) -> None:
    """Nothing else answers the same question again."""
    play = Play(ladder=(LKG,), call={"method": method})
    play.expect(Attempt)
    answer = ok(status)
    play.send(answer).relays(answer)


def test_what_was_kept_is_served_to_get_alone() -> None:
    """A POST has asked for something to be done."""
    play = Play(ladder=(LKG,))
    play.expect(Attempt)
    play.send(lost()).expect(Recall)
    kept = stored()
    serve = play.send(kept).expect(Serve)
    assert (serve.stored, serve.rung, serve.reason) == (kept, LKG, "reset")
    play.ends()
    assert play.told.of("fell_back") == [["last_known_good", "reset"]]

    play = Play(ladder=(LKG,), call={"method": b"POST"})
    play.expect(Attempt)
    play.send(lost()).replies("reset", "upstream_error", 502)


@pytest.mark.parametrize(
    ("method", "replayable", "sent", "tried"),
    [
        (b"GET", True, True, True),
        (b"GET", False, True, False),
        (b"POST", True, True, False),
        (b"POST", True, False, True),
        (b"POST", False, False, True),
    ],
)
def test_failover_repeats_only_what_may_be_repeated(
    method: bytes,
    replayable: bool,  # noqa: FBT001 - parameters
    sent: bool,  # noqa: FBT001
    tried: bool,  # noqa: FBT001
) -> None:
    """The first upstream may have acted on what was sent to it."""
    play = Play(ladder=(Failover,), call={"method": method, "replayable": replayable})
    play.expect(Attempt)
    play.send(lost(sent=sent))
    if tried:
        good = ok()
        play.expect(Attempt)
        play.send(good).relays(good, "failover", "reset")
        assert play.told.of("fell_back") == [["failover", "reset"]]
    else:
        play.replies("reset", "upstream_error", 502)


@pytest.mark.parametrize("answer", [ok(404), error(429, THROTTLED)])
def test_what_the_other_upstream_tells_the_caller_is_passed_on(answer: Outcome) -> None:
    """A 4xx of the replica is an answer like any other."""
    play = Play(ladder=(Failover, STATIC))
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)
    play.send(answer).relays(answer, "failover", "reset")


def test_failover_gets_the_time_that_is_left_and_is_judged() -> None:
    """Beyond the attempt timeout: it is the last chance. A failure counts for its endpoint."""
    play = Play(ladder=(Failover,))
    play.expect(Attempt)
    play.clock.now += 1.0
    assert play.send(lost()).expect(Attempt).timeout == pytest.approx(9.0)
    play.send(timed_out()).replies("reset", "upstream_error", 502)


def test_failover_without_time_or_endpoint_is_passed_over() -> None:
    """The next rung has its turn."""
    play = Play(ladder=(Failover, STATIC))
    play.expect(Attempt)
    play.clock.now += 10.0
    play.send(timed_out()).replies("attempt_timeout", "static", 200)


def test_a_hurried_caller_does_not_blame_the_other_upstream_either() -> None:
    """Its endpoints are judged by the route's time, not by the caller's."""
    spares = [Endpoint(name="x"), Endpoint(name="y")]
    play = Play(ladder=(Failover,), call={"patience": 1.0})
    play.replica = an_upstream(play.clock, spares, name="replica")
    play.route.ladder = (Failover(play.replica),)
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)
    play.clock.now += 1.0
    play.send(timed_out()).replies("reset", "upstream_error", 502)
    assert not play.replica.ejected()


# The last word.


@pytest.mark.parametrize(
    ("reason", "status", "label"),
    [
        (reasons.CONNECT_FAILURE, 502, "upstream_error"),
        (reasons.CONNECT_TIMEOUT, 504, "upstream_error"),
        (reasons.DNS_FAILURE, 502, "upstream_error"),
        (reasons.TLS_FAILURE, 502, "upstream_error"),
        (reasons.MALFORMED_RESPONSE, 502, "upstream_error"),
        (reasons.UNEXPECTED_RESPONSE, 502, "upstream_error"),
        (reasons.ATTEMPT_TIMEOUT, 504, "upstream_error"),
    ],
)
def test_each_failure_has_its_status(reason: str, status: int, label: str) -> None:
    """The contract's table; `unavailable` and `critical` overrule it."""
    play = Play()
    play.expect(Attempt)
    assert play.send(lost(reason)).replies(reason, label, status).answer is None

    play = Play(unavailable=UNAVAILABLE)
    play.expect(Attempt)
    assert play.send(lost(reason)).replies(reason, label, 503).answer is UNAVAILABLE

    play = Play(critical=True)
    play.expect(Attempt)
    play.send(lost(reason)).replies(reason, "fail_closed", 503)


def test_a_critical_route_fails_closed_with_its_own_answer() -> None:
    """Also where the upstream did answer, with a 5xx; its Retry-After is passed on."""
    play = Play(critical=True, unavailable=UNAVAILABLE)
    play.expect(Attempt)
    reply = play.send(error(503, THROTTLED, retry_after=7.0)).replies("upstream_error", "fail_closed", 503)
    assert (reply.answer, reply.retry_after) == (UNAVAILABLE, 7.0)


def test_a_5xx_that_nobody_rescued_passes_as_it_came() -> None:
    """`unavailable` speaks for nobody who has spoken."""
    play = Play(unavailable=UNAVAILABLE)
    play.expect(Attempt)
    answer = error(500)
    play.send(answer).relays(answer, "upstream_error")


def test_a_held_answer_that_broke_off_meanwhile_is_no_answer() -> None:
    """Its reason is read when it is to be relayed, not before."""
    play = Play(ladder=(Failover,))
    play.expect(Attempt)
    first = error(500)
    play.send(first).expect(Attempt)
    first.reason = reasons.RESET
    play.send(lost()).replies("reset", "upstream_error", 502)


# Closing.

Script = list[tuple[type[Command], Sent]]

PASSED_ON: Script = [
    (Collect, True),
    (Attempt, error(429, THROTTLED)),  # of a probe: opens the breaker again
    (Wait, None),
    (Relay, None),
]
RESCUED: Script = [
    (Collect, True),
    (Attempt, ok(408)),  # of a probe: closes the breaker
    (Wait, None),
    (Attempt, lost()),
    (Recall, None),
    (Attempt, error()),
    (Reply, None),
]
KEPT: Script = [(Collect, True), (Attempt, ok()), (Relay, None), (Keep, None)]
SERVED: Script = [(Collect, True), (Attempt, lost(reasons.MALFORMED_RESPONSE)), (Recall, stored()), (Serve, None)]


@pytest.mark.parametrize(
    ("script", "stop"),
    [(script, stop) for script in (PASSED_ON, RESCUED, KEPT, SERVED) for stop in range(len(script))],
)
def test_closing_at_any_command_gives_everything_back(script: Script, stop: int) -> None:
    """Slot, endpoint, probe: wherever the caller leaves, and also if it stays."""
    play = half_open(
        bulkhead=Bulkhead(1),
        ladder=(LKG, Failover, STATIC),
        retry={"attempts": 2},
        call={"body_to_come": True},
    )
    for kind, sent in script[:stop]:
        play.expect(kind)
        play.send(sent)
    play.expect(script[stop][0])
    play.path.close()
    assert [play.a.pending, play.b.pending, play.spare.pending] == [0, 0, 0]
    assert play.route.bulkhead is not None
    assert play.route.bulkhead.in_flight == 0
    assert play.route.breaker is not None
    if play.route.breaker.state == "half_open":
        assert not probing(play)


def test_closing_during_a_probe_frees_it_and_says_nothing() -> None:
    """A leaver neither trips nor closes."""
    play = half_open()
    play.expect(Attempt)
    assert probing(play)
    play.path.close()
    assert not probing(play)
    assert play.route.breaker is not None
    assert play.route.breaker.state == "half_open"


def test_every_request_pays_into_the_budget_once() -> None:
    """However often it is tried; each retry takes one out."""
    play = Play(retry={"attempts": 3, "base": 0.0})
    before = play.upstream.budget.balance()
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)
    good = ok()
    play.send(good).relays(good)
    assert play.upstream.budget.balance() == pytest.approx(before + 0.2 - 1)


def test_a_lone_endpoint_is_tried_again() -> None:
    """There is no other."""
    play = Play(retry={"attempts": 2, "base": 0.0})
    play.route.upstream = an_upstream(play.clock, [play.a])
    assert play.expect(Attempt).endpoint is play.a
    assert play.send(lost()).expect(Attempt).endpoint is play.a


def test_when_the_last_endpoint_leaves_between_attempts_the_last_answer_stands() -> None:
    """As with a breaker that opens."""
    play = Play(retry={"attempts": 3, "base": 0.0})
    play.expect(Attempt)
    play.send(lost()).expect(Attempt)
    last = error()
    play.send(last).relays(last, "upstream_error")


def test_a_request_that_went_round_is_refused_before_any_policy() -> None:
    """No slot, no permit, no deposit, and no rung: another upstream could lead round again."""
    play = Play(call={"ends_here": reasons.LOOP_DETECTED}, ladder=(STATIC, Failover), bulkhead=Bulkhead(1), breaker={})
    play.replies(reasons.LOOP_DETECTED, "refused", 502)
    assert play.told.of("refused") == [[reasons.LOOP_DETECTED]]
    critical = Play(call={"ends_here": reasons.LOOP_DETECTED}, critical=True, unavailable=UNAVAILABLE)
    critical.replies(reasons.LOOP_DETECTED, "fail_closed", 503)


def test_a_request_without_a_hop_left_is_answered_as_by_the_one_asked() -> None:
    """Whether a route takes it or not."""
    play = Play(call={"ends_here": HOPS})
    play.expect(Own)
    play.ends()
    assert not play.told.of("refused")
    nowhere = request_path(Call(ends_here=HOPS), Router([]), HandClock())
    assert isinstance(next(nowhere), Own)


def test_everything_goes_where_the_root_goes_or_is_answered_here() -> None:
    """A route that names * itself comes first; one for another path does not take it."""
    play = Play(call={"method": b"OPTIONS", "path": b"*"})
    play.expect(Attempt)
    play.path.close()
    call = Call(method=b"OPTIONS", path=b"*")
    other = Router([(Match(path=b"/other"), play.route)])
    assert isinstance(next(request_path(call, other, play.clock)), Own)
    assert call.route is None
    named = Router([(Match(regex=rb"\*"), play.route)])
    path = request_path(call, named, play.clock)
    assert isinstance(next(path), Attempt)
    path.close()
