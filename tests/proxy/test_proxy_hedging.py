"""A second attempt beside the first, as a play: each test says which of the two ends when, and how."""

from typing import Any

import pytest
from proxy_fakes import FAILURE, NEUTRAL, SUCCESS, Call, HandClock, Recorder, a_breaker, a_route, an_upstream, trip

from sidecar.policy import reasons
from sidecar.policy.budget import RetryBudget
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.delay import Delay
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.router import Match, Router
from sidecar.proxy.commands import Alone, Attempt, Await, Beside, Command, Relay, Reply, Sent, Settle, Wait
from sidecar.proxy.path import request_path


class Play:
    """One GET on a route with two endpoints that asks a second time after 300 ms."""

    def __init__(
        self, *, breaker: dict[str, Any] | None = None, call: dict[str, Any] | None = None, **retry: Any
    ) -> None:
        self.clock = HandClock()
        self.told = Recorder()
        self.endpoints = [Endpoint(name=name) for name in "ab"]
        self.upstream = an_upstream(self.clock, self.endpoints)
        self.breaker = a_breaker(self.clock, **({"consecutive_failures": 9} | (breaker or {})))
        retry = {"attempts": 2, "hedge": Delay(0.3)} | retry
        bulkhead = Bulkhead(1)
        self.route = a_route(self.clock, self.upstream, self.told, retry=retry, breaker=self.breaker, bulkhead=bulkhead)
        self.call = Call(**(call or {}))
        self.path = request_path(self.call, Router([(Match(prefix=b"/"), self.route)]), self.clock)
        self.next: Command | None = None

    def begin(self, kind: type[Command]) -> Any:
        """The first command."""
        return self.send(None, kind)

    def send(self, sent: Sent, kind: type[Command]) -> Any:
        """What came of the last command; the next one, which must be of that kind."""
        self.next = self.path.send(sent)
        assert type(self.next) is kind, self.next
        return self.next

    def race(self) -> tuple[Alone, Beside]:
        """Both are under way, 300 ms apart."""
        first = self.begin(Alone)
        self.clock.now += 0.3
        return first, self.send(None, Beside)

    def relays(self, outcome: Outcome, label: str = "ok") -> None:
        """That one stands and is passed on; after it nothing is held."""
        assert isinstance(self.next, Settle)
        assert self.next.outcome is outcome
        relay = self.send(None, Relay)
        assert (relay.outcome, relay.label) == (outcome, label)
        self.ends()

    def ends(self) -> None:
        """The answer has been given."""
        with pytest.raises(StopIteration):
            self.path.send(None)
        assert [endpoint.pending for endpoint in self.endpoints] == [0, 0]
        assert self.route.bulkhead is not None
        assert self.route.bulkhead.in_flight == 0
        assert not self.breaker._probing

    @property
    def hedges(self) -> list[Any]:
        """What was counted."""
        return [result for (result,) in self.told.of("hedged")]

    @property
    def row(self) -> int:
        """Failures in a row, as the breaker counts them."""
        return self.breaker._storage.counter


def ok(*, hedge: bool = False, status: int = 200) -> Outcome:
    """A success, of the first attempt or of the second."""
    return said(Outcome(SUCCESS, status=status, sent=True, elapsed=0.1), hedge=hedge)


def lost(reason: str = reasons.RESET, *, hedge: bool = False, sent: bool = True) -> Outcome:
    """No answer."""
    return said(Outcome(FAILURE, reason, sent=sent, elapsed=0.1), hedge=hedge)


def error(*, hedge: bool = False) -> Outcome:
    """An answer that is a failure."""
    return said(Outcome(FAILURE, reasons.UPSTREAM_ERROR, status=503, sent=True, elapsed=0.1), hedge=hedge)


def said(outcome: Outcome, *, hedge: bool) -> Outcome:
    """With whose it is."""
    if hedge:
        outcome.is_hedge = True
    return outcome


def test_a_quick_answer_needs_no_second_attempt() -> None:
    """Nothing is paid or counted."""
    play = Play()
    before = play.upstream.budget.balance()
    first = play.begin(Alone)
    assert (first.alone, first.timeout, first.until) == (0.3, 4.0, 1010.0)
    good = ok()
    play.send(good, Settle)
    play.relays(good)
    assert not play.hedges
    assert play.upstream.budget.balance() == pytest.approx(before + 0.2)


def test_a_slow_one_gets_company_at_another_endpoint_and_the_first_success_stands() -> None:
    """The second has its own timeout, permit and place; the loser says nothing; one retry is paid for."""
    play = Play(breaker={"consecutive_failures": 1})
    before = play.upstream.budget.balance()
    first, second = play.race()
    assert {first.endpoint, second.endpoint} == set(play.endpoints)
    assert [endpoint.pending for endpoint in play.endpoints] == [1, 1]
    assert (second.timeout, second.until) == (4.0, 1010.0)
    good = ok(hedge=True)
    play.send(good, Settle)
    play.relays(good)
    assert play.hedges == ["won"]
    assert play.breaker.state == "closed"
    assert not play.upstream.ejected()
    assert play.upstream.budget.balance() == pytest.approx(before + 0.2 - 1.0)
    assert not play.told.of("retried")


def test_the_first_may_still_be_first() -> None:
    """Then it was for nothing, and is counted as such."""
    play = Play()
    play.race()
    good = ok()
    play.send(good, Settle)
    play.relays(good)
    assert play.hedges == ["lost"]


@pytest.mark.parametrize("hedge", [True, False])
def test_a_failure_waits_for_the_other(hedge: bool) -> None:  # noqa: FBT001 - a parameter
    """It is judged, and a success after it is the answer."""
    play = Play()
    first, second = play.race()
    play.send(lost(hedge=hedge), Await)
    good = ok(hedge=not hedge)
    play.send(good, Settle)
    play.relays(good)
    assert play.hedges == ["lost" if hedge else "won"]
    assert play.upstream.ejected() == [second.endpoint if hedge else first.endpoint]


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [(lost(), error(hedge=True), 1), (error(), lost(hedge=True), 0), (error(), error(hedge=True), 0)],
)
def test_of_two_failures_the_one_that_is_an_answer_stands(first: Outcome, second: Outcome, stands: int) -> None:
    """Whichever came last; both are judged, and both attempts are used up."""
    for order in ((first, second), (second, first)):
        play = Play()
        play.race()
        play.send(order[0], Await)
        play.send(order[1], Settle)
        play.relays((first, second)[stands], "upstream_error")
        assert play.hedges == ["failed"]
        assert play.told.of("retry_denied") == [["attempts"]]
        assert play.row == 2
        assert len(play.upstream.ejected()) == 2


def test_after_two_failures_an_ordinary_retry_follows() -> None:
    """If attempts are left; it gets no company."""
    play = Play(attempts=3)
    play.upstream._ejection = None
    play.race()
    play.send(lost(), Await)
    play.send(lost(hedge=True), Settle)
    assert play.send(None, Wait).seconds == pytest.approx(0.2)
    play.clock.now += 0.2
    play.send(None, Attempt)
    good = ok()
    play.next = play.path.send(good)
    assert isinstance(play.next, Relay)
    play.ends()


def test_what_either_sent_was_sent() -> None:
    """Another upstream must not be asked for it as if it had gone nowhere."""
    play = Play()
    play.race()
    never = lost(reasons.CONNECT_FAILURE, sent=False)
    play.send(never, Await)
    settle = play.send(lost(hedge=True), Settle)
    assert settle.outcome is never
    assert settle.outcome.sent
    play.path.close()


Without = tuple[dict[str, Any], dict[str, Any]]


@pytest.mark.parametrize(
    ("call", "retry"),
    [
        ({"method": b"POST"}, {"methods": (b"GET", b"POST")}),
        ({"method": b"POST", "has_key": True}, {"idempotency_key": True}),
        ({"method": b"OPTIONS"}, {"methods": (b"GET",)}),
        ({"may_go_twice": False}, {}),
        ({"already_retrying": True}, {}),
        ({}, {"attempts": 1}),
        ({}, {"hedge": None}),
    ],
)
def test_some_requests_never_get_company(call: dict[str, Any], retry: dict[str, Any]) -> None:
    """What is not safe, not here or not kept, of a caller that retries itself, or where one attempt is all."""
    play = Play(call=call, **retry)
    play.begin(Attempt)
    play.path.close()


@pytest.mark.parametrize("why", ["budget", "breaker", "endpoint", "time"])
def test_a_hedge_that_is_denied_costs_nothing_and_the_first_goes_on(why: str) -> None:
    """No token, no permit, no place; counted."""
    play = Play(budget=RetryBudget(ratio=0.0, per_second=0.0, clock=HandClock())) if why == "time" else Play()
    play.begin(Alone)
    if why == "budget":
        while play.upstream.budget.withdraw():
            pass
    elif why == "breaker":
        trip(play.breaker, 9)
    elif why == "endpoint":
        for endpoint in play.endpoints:
            play.upstream.judge(endpoint, FAILURE)
    before = play.upstream.budget.balance()
    play.clock.now += 10.0 if why == "time" else 0.3
    play.send(None, Await)
    assert play.upstream.budget.balance() == pytest.approx(before, abs=2.1 if why == "time" else 1e-6)
    assert sum(endpoint.pending for endpoint in play.endpoints) == 1
    good = ok()
    play.send(good, Settle)
    play.relays(good)
    assert play.hedges == ["denied"]


def test_a_half_open_breaker_lets_no_more_out_than_its_probes() -> None:
    """The first is the probe; a second one needs leave of its own."""
    play = Play()
    trip(play.breaker, 9)
    play.clock.now += 5.0
    play.call.started = play.clock.now
    play.begin(Alone)
    play.send(None, Await)
    assert play.hedges == ["denied"]
    play.path.close()


def test_leave_that_is_of_no_use_is_given_back() -> None:
    """A second probe that the budget denies is free for the next request."""
    play = Play(breaker={"probes": 2})
    trip(play.breaker, 9)
    play.clock.now += 5.0
    play.call.started = play.clock.now
    play.begin(Alone)
    while play.upstream.budget.withdraw():
        pass
    play.send(None, Await)
    assert len(play.breaker._probing) == 1
    play.path.close()


def test_the_deadline_is_not_the_second_attempts_fault_either() -> None:
    """Cut short by a caller in a hurry: counted as that, not as a failure in a row."""
    play = Play(call={"patience": 1.0})
    _, second = play.race()
    assert second.timeout == pytest.approx(0.7)
    play.clock.now += 0.7
    play.send(lost(reasons.ATTEMPT_TIMEOUT, hedge=True), Await)
    settle = play.send(lost(reasons.ATTEMPT_TIMEOUT), Settle)
    reply = play.send(None, Reply)
    assert (reply.reason, reply.status) == ("deadline", 504)
    assert settle.outcome.verdict is Verdict.CUT_SHORT
    assert play.row == 0
    play.ends()


@pytest.mark.parametrize("ended", [None, lost(), lost(hedge=True)])
def test_a_leaver_takes_both_along(ended: Outcome | None) -> None:
    """Everything is given back once, and whoever was under way says nothing."""
    play = Play(breaker={"consecutive_failures": 1})
    play.race()
    if ended is not None:
        play.send(ended, Await)
    play.path.close()
    assert [endpoint.pending for endpoint in play.endpoints] == [0, 0]
    assert play.route.bulkhead is not None
    assert play.route.bulkhead.in_flight == 0
    assert play.hedges == ["client_gone"]


def test_leaving_before_there_are_two_counts_no_hedge() -> None:
    """There was none."""
    play = Play()
    play.begin(Alone)
    play.path.close()
    assert not play.hedges
    permit = play.breaker.admit()
    assert permit is not None
    permit.settle(NEUTRAL, 0.0)
    assert [endpoint.pending for endpoint in play.endpoints] == [0, 0]
