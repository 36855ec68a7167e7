"""Laws of what is seen of a route: when its breaker keeps callers away, and when that says nothing."""

import pytest
from fixtures.policies import World

from sidecar.policy.breaker import Breaker
from sidecar.policy.outcome import Verdict
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.watched import Watch, WatchedRoute


@pytest.fixture
def world() -> World:
    """A route whose breaker opens at the first failure for 5 s, and one without."""
    return World()


def seen(world: World, route: int = 0) -> WatchedRoute:
    """One of its routes."""
    return WatchedRoute(world.routes[route], Prometheus().route("r"))


def settle(breaker: Breaker, verdict: Verdict) -> None:
    """One attempt comes to that."""
    permit = breaker.admit()
    assert permit is not None
    permit.settle(verdict, 0.1)


def test_a_route_is_broken_from_its_opening_to_its_close(world: World) -> None:
    """Open with its time over, and half-open: neither news of an outage nor of its end."""
    route = seen(world)
    assert route.broken() is False
    world.trip()
    assert route.broken() is True
    world.now += 5.0
    assert (world.breaker.state, route.broken()) == ("open", None)
    settle(world.breaker, Verdict.NEUTRAL)
    assert (world.breaker.state, route.broken()) == ("half_open", None)
    settle(world.breaker, Verdict.FAILURE)
    assert route.broken() is True
    world.now += 10.0
    settle(world.breaker, Verdict.SUCCESS)
    assert (world.breaker.state, route.broken()) == ("closed", False)


def test_what_an_operator_holds_is_no_news(world: World) -> None:
    """Open or closed, for as long as it is held; nor is the open breaker that is left when the hold is over."""
    route = seen(world)
    world.breaker.force("open", 60.0)
    assert route.broken() is None
    world.now += 61.0
    assert (world.breaker.state, route.broken()) == ("open", None)
    settle(world.breaker, Verdict.FAILURE)
    assert route.broken() is True
    world.breaker.force("closed", 60.0)
    assert route.broken() is None


def test_what_keeps_nobody_away_is_not_broken(world: World) -> None:
    """A breaker that is not there, or that runs dry."""
    assert seen(world, 1).broken() is False
    dry = World(dry_run=True)
    dry.trip()
    assert (dry.breaker.state, seen(dry).broken()) == ("open", False)


def test_only_critical_routes_fail_closed(world: World) -> None:
    """Counted by outcome, whatever method and status."""
    metrics = Prometheus().route("r")
    for method in (b"GET", b"POST"):
        metrics.request_finished(method, 503, "fail_closed", 0.1)
    metrics.request_finished(b"GET", 200, "ok", 0.1)
    route = WatchedRoute(world.routes[0], metrics)
    assert route.failed_closed() == 0
    world.routes[0].critical = True
    assert route.failed_closed() == 2
    assert route.answers() == {"fail_closed": 2, "ok": 1}


def test_the_watch_follows_the_configuration(world: World) -> None:
    """A reload changes what is in the list of routes; as long as it does not, nothing is made anew."""
    routes = list(world.routes)
    watch = Watch(routes, Prometheus())
    assert list(watch()) == ["guarded", "open"]
    assert watch() is watch()
    assert not watch.broken("guarded")
    world.trip()
    assert watch.broken("guarded")
    routes.clear()
    assert not watch()
    assert not watch.broken("guarded")
