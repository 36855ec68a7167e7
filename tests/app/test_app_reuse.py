"""What a new configuration takes over from the one before it, object by object, and what it lets go of."""

import gc
import weakref
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sidecar import config
from sidecar.app.build import Builder
from sidecar.app.built import Built
from sidecar.app.reuse import Before
from sidecar.observer import Silent
from sidecar.policy.breaker import Breaker
from sidecar.policy.outcome import Verdict

BASE = """
upstreams:
  a: {endpoints: ["http://a.test:1", "http://a.test:2"], health_check: {}, headers: {set: {X-Key: {file: token}}}}
  b: {endpoints: ["http://b.test"]}
  s: {endpoints: ["https://s.test"], tls: {server_name: s.test}}
routes:
  - name: one
    match: {path: /one}
    upstream: a
    breaker: {consecutive_failures: 2}
    bulkhead: {in_flight: 3}
    rate_limit: {per_second: 1, burst: 2}
    fallback: [{upstream: b}]
  - {name: two, match: {path: /two}, upstream: b}
  - {name: left, match: {path: /left}, upstream: b, breaker: {share: upstream}}
  - {name: right, match: {path: /right}, upstream: b, breaker: {share: upstream}}
  - {name: safe, match: {path: /safe}, upstream: s}
"""


class Moves(Silent):
    """An observer that takes down how breakers moved."""

    def __init__(self, name: str = "", moves: list[tuple[str, str, str]] | None = None) -> None:
        self.name = name
        self.moves: list[tuple[str, str, str]] = [] if moves is None else moves

    def route(self, name: str) -> "Moves":
        return Moves(name, self.moves)

    def breaker_changed(self, old: str, new: str, open_for: float) -> None:
        self.moves.append((self.name, old, new))


class World:
    """Configurations that follow one another. `old`: what serves."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "sidecar.yaml"
        (tmp_path / "token").write_text("s3cret")
        self.now = 0.0
        self.observer = Moves()
        self.built = self.built_from(BASE, Before())

    def built_from(self, text: str, before: Before) -> Built:
        """The objects of that text, after `before`."""
        self.path.write_text(text)
        builder = Builder(observer=self.observer, clock=lambda: self.now, rng=Random(1), before=before)
        loaded = config.load(self.path)
        builder.prepare(loaded)
        return builder.build(loaded)

    def then(self, old: str = "", new: str = "") -> Built:
        """What comes after the base, with `new` for `old`."""
        assert not old or BASE.count(old) == 1
        return self.built_from(BASE.replace(old, new) if old else BASE, Before(self.built))

    def follow(self, built: Built) -> None:
        """Makes it what serves."""
        self.built.become(built).retire(self.built)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The base, served."""
    return World(tmp_path)


def route(built: Built, name: str) -> Any:
    """A route by its name."""
    return next(one for one in built.routes if one.name == name)


def breaker(built: Built, name: str) -> Breaker:
    """A route's breaker."""
    found = route(built, name).breaker
    assert isinstance(found, Breaker)
    return found


def parts(built: Built, name: str) -> list[Any]:
    """What a route's state lies in: its own part, then its upstream's."""
    one = route(built, name)
    pools = [endpoint.pool for endpoint in one.upstream.endpoints]
    return [one.breaker, one.bulkhead, one.rate_limit, one.upstream.budget, *pools]


def trip(world: World, name: str) -> None:
    """Opens a route's breaker."""
    while breaker(world.built, name).state != "open":
        permit = breaker(world.built, name).admit()
        assert permit is not None
        permit.settle(Verdict.FAILURE, 0.1)


def test_the_same_file_again_makes_nothing_new(world: World) -> None:
    """Every route, upstream, pool and check is the very object it was."""
    new = world.then()
    assert [id(one) for one in new.routes] == [id(one) for one in world.built.routes]
    assert all(new.upstreams[name] is one for name, one in world.built.upstreams.items())
    assert new.checks == world.built.checks
    assert new.checks
    assert new.renewals == world.built.renewals
    assert new.renewals


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("match: {path: /one}", "match: {path: /1}"),
        ("match: {path: /one}", "match: {path: /one}\n    timeout: {total: 5s}"),
        ("match: {path: /one}", "match: {path: /one}\n    critical: true"),
        ('"http://a.test:2"]', '"http://a.test:2"], ejection: {for: 1s}'),
        ("{file: token}", "changed"),
        ("http://b.test", "http://b2.test"),
    ],
    ids=["match", "timeout", "critical", "ejection", "secret", "another-upstream"],
)
def test_a_change_elsewhere_in_it_leaves_a_route_its_state(world: World, old: str, new: str) -> None:
    """The route is another, its breaker, bulkhead, rate limit, budget and connections are not."""
    built = world.then(old, new)
    assert route(built, "one") is not route(world.built, "one")
    assert all(a is b for a, b in zip(parts(built, "one"), parts(world.built, "one"), strict=True))


@pytest.mark.parametrize(
    ("old", "new", "fresh"),
    [
        ("consecutive_failures: 2", "consecutive_failures: 3", {0}),
        ("in_flight: 3", "in_flight: 4", {1}),
        ("burst: 2", "burst: 3", {2}),
        ("bulkhead:", "retry: {budget: {ratio: 50%}}\n    bulkhead:", {3}),
        ('"http://a.test:2"]', '"http://a.test:2"], connect_timeout: 2s', {4, 5}),
        ('"http://a.test:2"]', '"http://a.test:2"], pool: {idle: 3}', {4, 5}),
        ("http://a.test:2", "http://a.test:3", {5}),
        ("upstream: a", "upstream: s", {0, 3, 4, 5}),
    ],
    ids=["breaker", "bulkhead", "rate-limit", "budget", "connect", "pool", "endpoint", "upstream"],
)
def test_what_has_other_settings_begins_anew(world: World, old: str, new: str, fresh: set[int]) -> None:
    """That, and nothing else."""
    before, after = parts(world.built, "one"), parts(world.then(old, new), "one")
    found = {place for place, one in enumerate(before) if place >= len(after) or one is not after[place]}
    assert found == fresh


def test_a_breaker_of_other_endpoints_begins_anew(world: World) -> None:
    """What it has learned was about machines that are not asked any more."""
    text = BASE.replace('["http://a.test:1", "http://a.test:2"]', '["http://elsewhere.test"]')
    built = world.built_from(text, Before(world.built))
    assert route(built, "one").breaker is not route(world.built, "one").breaker


def test_an_open_breaker_stays_open(world: World) -> None:
    """For the time that it has left; its probes still have their lease, of the new attempt timeout."""
    trip(world, "one")
    left = breaker(world.built, "one").retry_after()
    built = world.then("match: {path: /one}", "match: {path: /one}\n    timeout: {total: 60s}")
    assert breaker(built, "one").state == "open"
    assert breaker(built, "one").retry_after() == left
    assert breaker(built, "one").lease > 60.0


def test_a_shared_breaker_is_still_one(world: World) -> None:
    """Of the routes that are left, and those that come; it reports as the first of them."""
    trip(world, "left")
    text = BASE.replace("name: left, match: {path: /left}", "name: new, match: {path: /new}")
    built = world.built_from(text, Before(world.built))
    world.follow(built)
    assert breaker(built, "new") is breaker(built, "right")
    assert breaker(built, "new").state == "open"
    world.observer.moves.clear()
    breaker(built, "new").force("closed", 1.0)
    assert world.observer.moves == [("new", "open", "closed")]


def test_endpoints_keep_their_standing_and_health(world: World) -> None:
    """An endpoint that was ejected, or found unwell, still is; what stragglers say is not said of the new one."""
    old = world.built.upstreams["a"]
    first, second = old.endpoints
    for _ in range(5):
        old.judge(second, Verdict.FAILURE)
    for _ in range(3):
        old.checked(first, "down")
    new = world.then('"http://a.test:2"]', '"http://a.test:2"], slow_start: 1s').upstreams["a"]
    assert [one.name for one in new.ejected()] == [second.name]
    assert new.endpoints[0].health is not None
    assert not new.endpoints[0].health.well
    assert new.pick(()) is None or new.pick(()) is new.endpoints[1]
    old.checked(first, "")
    old.checked(first, "")
    assert first.health is not None
    assert first.health.well
    assert not new.endpoints[0].health.well


def test_an_endpoint_that_is_not_checked_any_more_is_well(world: World) -> None:
    """Nobody would ever find it well again."""
    old = world.built.upstreams["a"]
    for endpoint in old.endpoints:
        for _ in range(3):
            old.checked(endpoint, "down")
    assert old.pick(()) is None
    built = world.then(", health_check: {}", "")
    assert built.upstreams["a"].pick(()) is not None
    assert built.checks == []


def test_what_is_removed_is_closed_and_said_to_be_over(world: World) -> None:
    """Its pools keep nothing; an open breaker does not stay open for whoever is told of breakers, nor move again."""
    trip(world, "two")
    straggler = breaker(world.built, "one").admit()
    assert straggler is not None
    breakers = breaker(world.built, "two"), breaker(world.built, "one")
    pool = world.built.pools["b"][0]
    text = 'upstreams: {n: {endpoints: ["http://n.test"]}}\nroutes: [{name: n, match: {path: /n}, upstream: n}]\n'
    world.observer.moves.clear()
    world.follow(world.built_from(text, Before(world.built)))
    assert pool.closed
    assert world.observer.moves == [("two", "open", "closed")]
    straggler.settle(Verdict.FAILURE, 0.1)
    for one in breakers:
        one.force("open", 1.0)
    assert world.observer.moves == [("two", "open", "closed")]


def test_what_an_operator_did_by_hand_stays(world: World) -> None:
    """A hold, for the rest of its time, also where the breaker is another; a fault, where the route is another."""
    breaker(world.built, "one").force("open", 60.0)
    fault = object()
    route(world.built, "one").fault = fault
    world.now = 20.0
    world.follow(world.then("consecutive_failures: 2", "consecutive_failures: 3"))
    assert breaker(world.built, "one").forced() == ("open", 40.0)
    assert route(world.built, "one").fault is fault


def test_containers_are_the_same_after_a_change(world: World) -> None:
    """Whoever shows them holds on to them."""
    built = world.built
    held = built.routes, built.upstreams.values(), built.pools
    world.follow(world.then("name: two", "name: three"))
    assert [one.name for one in held[0]] == ["one", "three", "left", "right", "safe"]
    assert {one.name for one in held[1]} == {"a", "b", "s"}
    assert set(held[2]) == {"a", "b", "s"}


def test_a_generation_that_nobody_uses_is_freed_at_once(world: World) -> None:
    """Without the collector: what lived when the process had started is frozen, and never looked at again."""
    old = world.built
    left = [*old.routes, *old.upstreams.values(), *(pool for pools in old.pools.values() for pool in pools)]
    left += [*old.checks, *(one.bulkhead for one in old.routes if one.bulkhead), *old.renewals]
    left += {one.breaker for one in old.routes}
    sizes = [one.__class__ for one in left]
    text = 'upstreams: {n: {endpoints: ["http://n.test"]}}\nroutes: [{name: n, match: {path: /n}, upstream: n}]\n'
    gc.collect()
    gc.disable()
    try:
        world.follow(world.built_from(text, Before(world.built)))
        counts = {kind: sum(type(one) is kind for one in gc.get_objects()) for kind in set(sizes)}
        del left
        remaining = {kind: sum(type(one) is kind for one in gc.get_objects()) for kind in set(sizes)}
    finally:
        gc.enable()
    gone = {kind: counts[kind] - remaining[kind] for kind in counts}
    assert gone == {kind: sizes.count(kind) for kind in counts}, gone


def test_fifty_generations_leave_one(world: World) -> None:
    """Configurations, and what they made, do not pile up."""
    seen: list[weakref.ref[config.Config]] = []
    for number in range(50):
        text = BASE.replace("http://b.test", f"http://b{number}.test").replace("path: /one", f"path: /{number}")
        world.follow(world.built_from(text, Before(world.built)))
        seen.append(weakref.ref(world.built.loaded))
    gc.collect()
    assert sum(one() is not None for one in seen) == 1
