"""What all exchanges share: counts and lines of what was never a request, and of what is over."""

import json
from typing import cast

import pytest
from proxy_fakes import HELLO, Caller, World

from sidecar.policy.reasons import REASONS
from sidecar.policy.router import Match, Router
from sidecar.wire import errors
from sidecar.wire.server import ServerConnection


def test_what_is_no_request_is_answered_counted_and_logged_without_what_it_said() -> None:
    """Under the route "-"; nothing of it can be trusted, so nothing of it is repeated."""
    world = World()
    error = errors.BadRequest(431, "headers_too_large", "request head larger than limits.header_bytes")
    data = world.gateway.reject(cast("ServerConnection", Caller()), error)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["reason"] == "headers_too_large"
    (line,) = world.log
    assert line[:7] == ("-", b"-", b"-", b"", 431, "bad_request", "headers_too_large")
    assert line[8:12] == (-1.0, 0, 0, len(data))
    assert line[12].decode() == json.loads(body)["request_id"]
    assert world.told.of("request_finished") == [[b"", 431, "bad_request", 0.0]]
    assert (world.gateway.active, world.gateway.accepted) == (0, 0)


def test_requests_under_way_keep_their_route_when_the_router_is_replaced() -> None:
    """The next one gets the new one."""
    world = World()
    _, before = world.ask()
    world.gateway.router = Router([(Match(path=b"/other"), world.route)])
    _, after = world.ask()
    assert after.status == 404
    world.lines.connect().answer(HELLO)
    assert before.status == 200
    world.at_rest()


def test_what_is_under_way_is_counted() -> None:
    """For the drain: how many, and how many ever."""
    world = World()
    world.ask()
    world.ask()
    assert (world.gateway.active, world.gateway.accepted) == (2, 2)
    world.lines.connect().answer(HELLO)
    assert (world.gateway.active, world.gateway.accepted) == (1, 2)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.UpstreamError)],
)
def test_the_wire_speaks_the_vocabulary(kind: type[errors.UpstreamError]) -> None:
    """It knows no policy and spells its reasons out: they are words of the closed vocabulary all the same."""
    assert kind.reason in REASONS
