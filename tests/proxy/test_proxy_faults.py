"""A fault done to attempts, without sockets: what is made up, what waits, what is cut."""

import json
from random import Random
from typing import Any

import pytest
from proxy_fakes import HELLO, Caller, World, a_breaker

from sidecar.policy.fault import Fault


def struck(world: World, **changed: Any) -> World:
    """Every attempt of the route is hit for a minute."""
    settings: dict[str, Any] = {"abort": 0, "delay": 0.0, "reset": False, "ratio": 1.0}
    until = world.clock.now + 60.0
    world.route.fault = Fault(**(settings | changed), until=until, clock=world.clock, rng=Random(1))
    return world


def test_an_abort_is_an_answer_like_the_upstreams() -> None:
    """Status, a body that can be parsed, who made it up, and a place in every count; no connection was asked for."""
    world = struck(World(), abort=503)
    _, caller = world.ask()
    world.advance(0.02)
    assert caller.status == 503
    assert json.loads(caller.body)["reason"] == "fault_injected"
    assert caller.field(b"x-sidecar-fault") == b"abort"
    assert caller.field(b"proxy-status") == b'sidecar; error=proxy_internal_response; details="fault_injected"'
    assert world.outcome == (503, "upstream_error", "fault_injected")
    assert world.results == ["fault_injected"]
    assert world.lines.all == []
    world.at_rest()


def test_the_breaker_counts_it() -> None:
    """As a failure of the upstream: that it opens is what is to be seen."""
    world = World()
    world.route.breaker = a_breaker(world.clock)
    struck(world, abort=500)
    for _ in range(3):
        world.ask()
        world.advance(0.02)
    assert world.route.breaker.state == "open"


def test_a_delayed_attempt_begins_late_and_is_otherwise_itself() -> None:
    """Its time is the injected one and the upstream's."""
    world = struck(World(), delay=1.0)
    line = world.lines.add_idle()
    _, caller = world.ask()
    world.advance(0.99)
    assert line.sink is None
    world.advance(0.03)
    assert line.sink is not None
    line.answer(HELLO)
    assert (caller.status, caller.body, caller.field(b"x-sidecar-fault")) == (200, b"hello", b"delay")
    world.at_rest()


@pytest.mark.parametrize("fault", [{"delay": 5.0}, {"delay": 5.0, "abort": 503}, {"delay": 5.0, "reset": True}])
def test_a_delay_beyond_the_attempts_time_is_a_timeout(fault: dict[str, Any]) -> None:
    """4 s here; what was to come after the delay does not."""
    world = struck(World(), **fault)
    line = world.lines.add_idle()
    _, caller = world.ask()
    world.advance(4.02)
    assert world.outcome == (504, "upstream_error", "attempt_timeout")
    written = caller.written
    world.advance(5.0)
    assert line.sink is None
    assert caller.written == written
    world.at_rest()


def test_a_reset_is_neutral_and_writes_nothing() -> None:
    """The caller's connection ends; the breaker's permit comes back."""
    world = World()
    world.route.breaker = a_breaker(world.clock)
    struck(world, reset=True)
    for _ in range(4):
        _, caller = world.ask()
        world.advance(0.02)
        assert (caller.written, caller.ends) == (b"", ["aborted"])
    assert world.route.breaker.state == "closed"
    world.at_rest()


def test_once_it_is_over_nothing_is_hit() -> None:
    """Even if nobody has cleared it away."""
    world = struck(World(), abort=503)
    world.clock.now += 60.0
    line = world.lines.add_idle()
    _, caller = world.ask()
    line.answer(HELLO)
    assert (caller.status, caller.field(b"x-sidecar-fault")) == (200, None)


def test_a_tunnel_says_that_it_came_late() -> None:
    """A 101 is an answer as well."""
    world = struck(World(idle=60.0), delay=0.5)
    line = world.lines.add_idle()
    caller = Caller()
    caller.ahead = b""
    world.ask(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", caller)
    world.advance(0.52)
    line.switch(b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (caller.status, caller.field(b"x-sidecar-fault")) == (101, b"delay")
