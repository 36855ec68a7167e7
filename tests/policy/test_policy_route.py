"""Laws of a route as a bundle of policies."""

from random import Random

from policy_fakes import HandClock

from sidecar.observer import Silent
from sidecar.policy.answer import Answer
from sidecar.policy.budget import RetryBudget
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.expect import Expect
from sidecar.policy.fallback import LastKnownGood, Rung, Static
from sidecar.policy.retry import Retry
from sidecar.policy.route import Route

STATIC = Static(Answer(200, (), b"{}"))


def route(*ladder: Rung, expect: Expect | None = None) -> Route:
    """A route with that ladder."""
    clock = HandClock()
    budget = RetryBudget(ratio=0.2, per_second=1.0, clock=clock)
    group = Upstream(
        name="u",
        endpoints=[Endpoint(name="a")],
        ejection=None,
        budget=budget,
        clock=clock,
        rng=Random(1),
    )
    retry = Retry(
        attempts=1,
        on=(),
        methods=(),
        idempotency_key=False,
        base=0.0,
        factor=1.0,
        cap=0.0,
        jitter=True,
        respect_retry_after=True,
        budget=budget,
        rng=Random(1),
    )
    return Route(
        name="toggles",
        upstream=group,
        total=10.0,
        attempt_timeout=4.0,
        critical=True,
        bulkhead=None,
        breaker=None,
        retry=retry,
        expect=expect,
        ladder=ladder,
        unavailable=None,
        observer=Silent(),
    )


def test_it_knows_the_rungs_that_remember() -> None:
    """All of them, wherever they stand. Those that declare the same identity share: the first keeps for both."""
    kept = LastKnownGood(max_age=60.0, identity=())
    again = LastKnownGood(max_age=1.0, identity=())
    other = LastKnownGood(max_age=1.0, identity=(b"x-user",))
    assert route(STATIC, kept, again).keeps == (kept,)
    assert set(route(kept, STATIC, other, again).keeps) == {kept, other}
    assert route(STATIC).keeps == ()


def test_it_sees_whole_bodies_where_somebody_must_look_at_them() -> None:
    """To judge them or to keep them."""
    looks = Expect(status=None, content_type=None, json_equals={}, json_present=(), max_body=10)
    assert route(expect=looks).sees_bodies
    assert route(LastKnownGood(max_age=60.0, identity=())).sees_bodies
    assert not route(STATIC).sees_bodies


def test_two_routes_are_never_equal() -> None:
    """They are things, not values: breakers and counters belong to one of them."""
    assert route() != route()
