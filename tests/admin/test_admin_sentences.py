"""Laws of what is said about callers: true of what is configured, and of what was seen."""

from typing import Any

import pytest
from fixtures.policies import World

from sidecar.admin.sentences import OWN_ANSWERS, callers_get, duration, when_open
from sidecar.policy.answer import Answer
from sidecar.policy.fallback import Failover, LastKnownGood, Rung, Static
from sidecar.policy.route import Route

KEPT = LastKnownGood(max_age=3600.0, identity=())
STATIC = Static(Answer(status=200, headers=(), body=b"{}"))


@pytest.fixture
def world() -> World:
    """Everything new."""
    return World()


def routed(world: World, *ladder: Rung, critical: bool = False) -> Route:
    """The route with a breaker, and these rungs."""
    route = world.routes[0]
    route.ladder = ladder
    route.critical = critical
    return route


def rates(**outcomes: int) -> dict[str, Any]:
    """Of the last seconds, as telemetry says them."""
    total = sum(outcomes.values())
    errors = sum(outcomes.get(word, 0) for word in ("upstream_error", "fail_closed", "refused"))
    rescued = sum(outcomes.get(word, 0) for word in ("last_known_good", "failover", "static"))
    return {
        "error_share": errors / total if total else None,
        "fallback_share": rescued / total if total else None,
        "outcomes": outcomes,
    }


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        ([], "Callers get 503"),
        ([KEPT], "Callers get the last good answer, up to 1 h old, or 503 where none is kept"),
        ([KEPT, STATIC], "Callers get the last good answer, up to 1 h old, or a fixed answer (200)"),
        ([STATIC, KEPT], "Callers get a fixed answer (200)"),
        ([Static(STATIC.answer, on=frozenset({"timeout"}))], "Callers get 503"),
    ],
)
def test_what_an_open_breaker_lets_expect(world: World, ladder: list[Rung], said: str) -> None:
    """The rungs that cover it, in order, up to the one that always answers; then the route's refusal."""
    assert when_open(routed(world, *ladder)) == said
    world.trip()
    assert callers_get(world.routes[0], None) == said


def test_a_failover_is_called_by_its_name(world: World) -> None:
    """Whoever is on call knows the upstream by the name in the file."""
    assert when_open(routed(world, Failover(world.upstream))) == "Callers get answers of connect, or 503"


def test_the_status_is_the_routes_own(world: World) -> None:
    """`unavailable` may have another."""
    route = routed(world)
    route.unavailable = Answer(status=429, headers=(), body=b"")
    assert when_open(route) == "Callers get 429"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"last_known_good": 9}, "Callers get the last good answer, up to 1 h old"),
        (
            {"last_known_good": 9, "fail_closed": 1},
            "Callers get the last good answer, up to 1 h old, or 503 where none is kept",
        ),
        ({"fail_closed": 3}, "Callers get 503: no fallback has an answer for them"),
        ({"ok": 20}, "Callers get the last good answer, up to 1 h old, or 503 where none is kept"),
        ({}, "Callers get the last good answer, up to 1 h old, or 503 where none is kept"),
    ],
)
def test_what_was_seen_is_believed_more_than_what_was_configured(world: World, seen: dict[str, int], said: str) -> None:
    """A rung that answered nobody is not promised."""
    route = routed(world, KEPT, critical=True)
    world.trip()
    assert callers_get(route, rates(**seen)) == said


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({}, OWN_ANSWERS),
        ({"ok": 100}, OWN_ANSWERS),
        ({"ok": 999, "upstream_error": 1}, OWN_ANSWERS),
        ({"ok": 90, "upstream_error": 10}, f"{OWN_ANSWERS}; 10 % get errors"),
        (
            {"ok": 90, "last_known_good": 8, "fail_closed": 2},
            f"{OWN_ANSWERS}; 8 % get the last good answer, up to 1 h old, 2 % get errors",
        ),
        ({"ok": 992, "refused": 8}, f"{OWN_ANSWERS}; under 1 % get errors"),
        ({"upstream_error": 7}, "Callers get errors"),
        ({"last_known_good": 7}, "Callers get the last good answer, up to 1 h old"),
    ],
)
def test_with_a_closed_breaker_only_what_was_seen_counts(world: World, seen: dict[str, int], said: str) -> None:
    """Shares of the last seconds; nothing is said of what rounds to nothing, and nothing untrue of what is all."""
    assert callers_get(routed(world, KEPT), rates(**seen)) == said


def test_a_dry_run_gives_callers_what_there_is(world: World) -> None:
    """Its breaker refuses nobody."""
    world.breaker._dry_run = True
    world.trip()
    assert callers_get(routed(world), None) == OWN_ANSWERS


@pytest.mark.parametrize(
    ("seconds", "said"), [(3600.0, "1 h"), (5400.0, "90 min"), (45.0, "45 s"), (86400.0, "1 d"), (0.5, "0.5 s")]
)
def test_durations_are_said_in_the_largest_unit_without_a_fraction(seconds: float, said: str) -> None:
    """As somebody would have written them."""
    assert duration(seconds) == said
