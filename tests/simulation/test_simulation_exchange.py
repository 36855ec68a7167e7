"""One request performed in virtual time: what each command comes to."""

import pytest
from fixtures.simulated import Simulated

from sidecar.policy.fault import Fault
from sidecar.simulation.exchange import Exchange, Request
from sidecar.simulation.server import WELL, Condition, Response, Server

TEXT = """\
upstreams:
  u: {endpoints: ["http://u.test"], ejection: {consecutive_failures: 0}}
  spare: {endpoints: ["http://spare.test"]}
routes:
  - name: plain
    match: {path: /plain}
    upstream: u
    timeout: {attempt: 1s, total: 3s}
    breaker: {enabled: false}
    retry: {attempts: 2}
  - name: hedged
    match: {path: /hedged}
    upstream: u
    timeout: {total: 3s}
    retry: {attempts: 2, hedge: {after: 200ms}}
  - name: kept
    match: {path: /kept}
    upstream: u
    fallback: [{last_known_good: {max_age: 1m, identity: [Authorization]}}, {upstream: spare}]
  - name: narrow
    match: {path: /narrow}
    upstream: u
    bulkhead: {in_flight: 1, queue: 1, queue_timeout: 100ms}
"""


class World(Simulated):
    """The routes above; everything that ended, in order."""

    def __init__(self) -> None:
        super().__init__(TEXT, serve=lambda world, name: Server(world, name=name, median=0.02))
        self.ended: list[Exchange] = []
        self.server, self.spare = self.servers.values()
        assert isinstance(self.server, Server)

    def ask(self, path: bytes, **asked: object) -> Exchange:
        """A request comes."""
        return self.gateway.accept(Request(path=path, **asked), self.ended.append)  # type: ignore[arg-type]

    def answer(self, path: bytes, **asked: object) -> Exchange:
        """A request, played to its end: its own, and that of all it has begun."""
        exchange = self.ask(path, **asked)
        self.world.run()
        self.at_rest()
        assert self.ended[-1] is exchange
        return exchange


def test_an_answer_is_passed_on() -> None:
    """With the time that it took."""
    exchange = World().answer(b"/plain")
    assert (exchange.label, exchange.status, exchange.attempts, exchange.answers) == ("ok", 200, 1, 1)
    assert 0.01 < exchange.ended < 1.0


def test_what_no_route_matches_is_answered_by_itself() -> None:
    """Without an attempt."""
    exchange = World().answer(b"/nobody")
    assert (exchange.status, exchange.reason, exchange.attempts) == (404, "no_route", 0)


@pytest.mark.parametrize(
    ("condition", "reason", "attempts"),
    [
        (Condition(refuses=True), "connect_failure", 2),
        (Condition(resets=1.0), "reset", 2),
        (Condition(fails=1.0), "upstream_error", 2),
        (Condition(hangs=True), "attempt_timeout", 2),
    ],
)
def test_failures_are_tried_again_and_named(condition: Condition, reason: str, attempts: int) -> None:
    """By the words that they have on sockets."""
    world = World()
    world.server.become(condition)
    exchange = world.answer(b"/plain")
    assert (exchange.reason, exchange.attempts) == (reason, attempts)
    assert exchange.label == "upstream_error"


def test_a_hedge_joins_what_takes_long_and_one_of_the_two_stands() -> None:
    """After 200 ms a second attempt; who is first has the word, and nothing is left of the other."""
    world = World()
    world.server.become(Condition(hangs=True))
    exchange = world.ask(b"/hedged")
    world.world.run(0.3)
    assert exchange.attempts == 2
    world.server.become(WELL)
    world.world.run()
    world.at_rest()
    assert (exchange.label, exchange.answers) == ("ok", 1)


def test_what_was_good_is_kept_for_who_asked_and_failover_helps_the_others() -> None:
    """The rungs of the ladder, by the store and the key of the proxy itself."""
    world = World()

    def whose(who: bytes) -> tuple[tuple[bytes, bytes, bytes], ...]:
        return ((b"authorization", b"Authorization", who),)

    assert world.answer(b"/kept", headers=whose(b"ada")).label == "ok"
    world.server.become(Condition(refuses=True))
    assert world.answer(b"/kept", headers=whose(b"ada")).label == "last_known_good"
    assert world.answer(b"/kept", headers=whose(b"bob")).label == "failover"


def test_the_queue_of_a_bulkhead_is_waited_in_and_left() -> None:
    """The second waits for the first, the third finds no place; who waits too long is told so."""
    world = World()
    world.server.become(Condition(added=0.5))
    first, second, third = (world.ask(b"/narrow") for _ in range(3))
    world.world.run()
    assert (first.label, second.reason, third.reason) == ("ok", "queue_timeout", "bulkhead_full")
    assert abs(second.ended - 0.1) < 1e-6
    world.at_rest()


def test_a_slot_that_comes_is_taken() -> None:
    """Before the time in the queue is over."""
    world = World()
    first, second = world.ask(b"/narrow"), world.ask(b"/narrow")
    world.world.run()
    assert (first.label, second.label) == ("ok", "ok")
    assert second.ended > first.ended
    world.at_rest()


def test_a_body_that_comes_late_is_waited_for_and_one_that_does_not_is_not_waited_for_ever() -> None:
    """Until the deadline of the request."""
    world = World()
    assert world.answer(b"/plain", method=b"POST", body_in=0.5).label == "ok"
    began = world.world.now
    exchange = world.answer(b"/plain", method=b"POST", body_in=100.0)
    assert exchange.reason == "request_timeout"
    assert exchange.ended - began == pytest.approx(3.0)


@pytest.mark.parametrize("after", [0.0, 0.0003, 0.03, 1.5])
def test_a_caller_may_leave_at_any_moment(after: float) -> None:
    """Nothing of it is left, and a second leave does no harm."""
    world = World()
    world.server.become(Condition(hangs=True))
    exchange = world.ask(b"/hedged")
    world.world.run(after)
    exchange.leave()
    exchange.leave()
    assert (exchange.label, exchange.answers) == ("client_gone", 0)
    assert world.ended == [exchange]
    world.world.run()
    world.at_rest()


@pytest.mark.parametrize(
    ("kind", "label", "reason"),
    [("abort", "upstream_error", "fault_injected"), ("delay", "ok", ""), ("reset", "client_gone", "")],
)
def test_an_operators_fault_stands_in_the_way(kind: str, label: str, reason: str) -> None:
    """Answered in the upstream's place, late, or cut off."""
    world = World()
    (route,) = [route for route in world.built.routes if route.name == "plain"]
    route.fault = Fault(
        abort=503 * (kind == "abort"),
        delay=0.2 * (kind == "delay"),
        reset=kind == "reset",
        ratio=1.0,
        until=10.0,
        clock=world.world.clock,
        rng=world.world.rng("fault"),
    )
    exchange = world.answer(b"/plain")
    assert (exchange.label, exchange.reason) == (label, reason)
    assert (exchange.ended >= 0.2) == (kind == "delay")


def test_a_streamed_answer_takes_its_time() -> None:
    """From its head to its last byte; the slot is held until then."""
    world = World()
    world.servers[world.endpoints[0]]._answer = lambda _: Response(200, streams=5.0)
    exchange = world.ask(b"/narrow")
    world.world.run(2.0)
    (route,) = [route for route in world.built.routes if route.name == "narrow"]
    assert route.bulkhead is not None
    assert (exchange.answers, route.bulkhead.in_flight) == (1, 1)
    world.world.run()
    world.at_rest()
    assert exchange.ended > 5.0
