"""An exchange in the bulkhead's queue: with its slot, too late, or gone."""

import json
from typing import Any

import pytest
from proxy_fakes import GET, HELLO, Caller, World, a_breaker, trip

from sidecar.policy.bulkhead import Bulkhead
from sidecar.proxy.exchange import Exchange
from sidecar.wire.errors import BadRequest

POST = b"POST /a HTTP/1.1\r\nHost: app\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
ENDING = BadRequest(503, "draining", "the sidecar is ending")


def a_world(*, limit: int = 1, queue: int = 5, **route: Any) -> World:
    """One slot unless told otherwise; who waits does so for up to 0.5 s."""
    world = World(**route)
    world.route.bulkhead = Bulkhead(limit, queue=queue, queue_timeout=0.5, clock=world.clock)
    return world


def bulkhead(world: World) -> Bulkhead:
    """The route's."""
    assert world.route.bulkhead is not None
    return world.route.bulkhead


def busy(**more: Any) -> tuple[World, Exchange, Caller]:
    """Somebody has the slot and waits for its answer."""
    world = a_world(**more)
    world.lines.add_idle()
    exchange, caller = world.ask()
    assert bulkhead(world).in_flight == 1
    return world, exchange, caller


def answer(world: World) -> None:
    """The upstream answers whoever is being served."""
    (line,) = (line for line in world.lines.all if line.sink is not None)
    line.answer(HELLO)


def test_who_waits_is_served_when_the_slot_is_free() -> None:
    """In the order they came, one at a time, on the same connection; their wait is not the upstream's time."""
    world, _, first = busy()
    second, third = world.ask()[1], world.ask()[1]
    assert bulkhead(world).queued == 2
    assert (second.written, third.written) == (b"", b"")
    for done, caller in enumerate((first, second, third), start=1):
        world.advance(0.1)
        answer(world)
        assert caller.status == 200
        assert len(world.log) == done
        assert bulkhead(world).queued == max(0, 2 - done)
    assert len(world.lines.all) == 1
    assert [line[7] for line in world.log] == pytest.approx([0.1, 0.2, 0.3]), "the caller's time"
    assert [line[8] for line in world.log] == pytest.approx([0.1, 0.1, 0.1]), "the upstream's"
    world.at_rest()


def test_who_waits_too_long_is_refused() -> None:
    """503 queue_timeout, and when to come back; no attempt was made."""
    world, _, _ = busy()
    _, late = world.ask()
    world.advance(0.49)
    assert late.written == b""
    world.advance(0.03)
    assert (late.status, late.field(b"retry-after"), late.field(b"x-sidecar-attempts")) == (503, b"1", None)
    assert json.loads(late.body)["reason"] == "queue_timeout"
    assert world.outcome == (503, "refused", "queue_timeout")
    assert bulkhead(world).queued == 0
    answer(world)
    world.at_rest()


def test_a_full_queue_refuses_at_once() -> None:
    """503 bulkhead_full."""
    world, _, _ = busy(queue=1)
    world.ask()
    _, refused = world.ask()
    assert world.outcome == (503, "refused", "bulkhead_full")
    assert refused.ends == ["finished"]


def test_a_caller_that_leaves_frees_its_place() -> None:
    """The one behind it moves up; no timer and no place stays behind."""
    world, _, _ = busy(queue=2)
    leaver, _ = world.ask()
    _, behind = world.ask()
    leaver.caller_gone()
    assert bulkhead(world).queued == 1
    assert world.outcome == (499, "client_gone", "client_gone")
    answer(world)
    answer(world)
    assert behind.status == 200
    world.at_rest()


def test_a_caller_that_is_being_served_and_leaves_makes_room() -> None:
    """Its slot goes straight to the next."""
    world, served, _ = busy()
    _, next_one = world.ask()
    served.caller_gone()
    assert bulkhead(world).queued == 0
    assert bulkhead(world).in_flight == 1
    world.lines.connect()
    answer(world)
    assert next_one.status == 200
    world.at_rest()


@pytest.mark.parametrize("early", [True, False], ids=["in the queue", "with the slot"])
def test_a_body_may_come_at_any_time(early: bool) -> None:  # noqa: FBT001 - when
    """While the request is still in the queue, or after it got its slot: sent on once, whole."""
    world, _, _ = busy()
    exchange, caller = world.ask(POST)
    assert not caller.continued, "asked for before there was a slot"
    if early:
        exchange.request_body(b"body")
        exchange.request_end([])
        assert bulkhead(world).queued == 1
    answer(world)
    if not early:
        assert caller.continued
        exchange.request_body(b"body")
        exchange.request_end([])
    line = world.lines.all[0]
    assert line.sent.endswith(b"\r\n\r\nbody")
    assert line.sent.count(b"POST") == 1
    line.answer(HELLO, b"POST")
    assert caller.status == 200
    world.at_rest()


def test_a_body_that_does_not_come_is_waited_for_after_the_queue() -> None:
    """408 at the deadline, which the queue was a part of, and the slot is free."""
    world, _, _ = busy()
    _, silent = world.ask(POST)
    world.advance(0.4)
    answer(world)
    world.advance(9.5)
    assert bulkhead(world).in_flight == 1
    world.advance(0.2)
    assert silent.status == 408
    _, behind = world.ask()
    answer(world)
    assert behind.status == 200
    world.at_rest()


def test_who_would_wait_in_vain_is_refused_without_waiting() -> None:
    """The one slot has been held for so long that the next turn is not near."""
    world, _, _ = busy(attempt_timeout=10.0)
    world.advance(9.0)
    _, refused = world.ask()
    assert (refused.status, world.outcome[2]) == (503, "queue_timeout")
    assert bulkhead(world).queued == 0


def test_a_broken_body_ends_the_wait() -> None:
    """400, and the place is free."""
    world, _, _ = busy()
    exchange, caller = world.ask(POST)
    exchange.request_failed(BadRequest(400, "bad_request", "broken"))
    assert caller.status == 400
    assert bulkhead(world).queued == 0
    answer(world)
    world.at_rest()


def test_an_open_breaker_refuses_the_whole_queue_at_once() -> None:
    """Whoever gets the slot is done with it: a thousand of them in one go, in their order."""
    world = a_world(queue=1000)
    world.route.breaker = a_breaker(world.clock)
    world.lines.add_idle()
    world.ask()
    callers = [world.ask()[1] for _ in range(1000)]
    trip(world.route.breaker)
    answer(world)
    assert {caller.status for caller in callers} == {503}
    assert [line[6] for line in world.log[:-1]] == ["breaker_open"] * 1000
    world.at_rest()


def test_at_the_end_of_the_process_nobody_is_started_to_be_cut_off() -> None:
    """All are refused, and nothing more is sent to the upstream."""
    world, served, first = busy()
    waiting = [world.ask() for _ in range(3)]
    sent = world.lines.all[0].sent
    bulkhead(world).close()
    for exchange in (served, *(exchange for exchange, _ in waiting)):
        exchange.request_failed(ENDING)
    assert [caller.status for caller in (first, *(caller for _, caller in waiting))] == [503] * 4
    assert world.lines.all[0].sent == sent
    assert sent.count(b"GET") == GET.count(b"GET")
    world.at_rest()
