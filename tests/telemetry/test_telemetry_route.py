"""Laws of what is counted about one route."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observer import RouteObserver
from sidecar.policy.reasons import REASONS
from sidecar.telemetry.histogram import BUCKETS
from sidecar.telemetry.route import METHODS, MOVES, RouteMetrics

Moves = list[tuple[str, str, str, float]]


@pytest.fixture
def moves() -> Moves:
    """The breaker's moves that were reported."""
    return []


@pytest.fixture
def route(moves: Moves) -> RouteMetrics:
    """A route that nothing has happened to."""
    return RouteMetrics("toggles", BUCKETS, lambda *move: moves.append(move))


def test_every_fact_of_the_data_plane_has_its_method() -> None:
    """What `RouteObserver` names, with the same parameters in the same order."""
    facts = {name: fact for name, fact in vars(RouteObserver).items() if not name.startswith("_")}
    assert len(facts) > 8
    for name, fact in facts.items():
        assert inspect.signature(getattr(RouteMetrics, name)) == inspect.signature(fact), name


def test_methods_that_a_caller_made_up_share_one_series(route: RouteMetrics) -> None:
    """However many methods callers invent, the number of series stays bounded."""
    for number in range(1000):
        route.request_finished(b"X%d" % number, 501, "bad_request", 0.0)
    for method in METHODS:
        route.request_finished(method, 200, "ok", 0.0)
    assert len(route.requests) == len(METHODS) + 1
    assert route.requests[b"OTHER", 501, "bad_request"] == 1000


@given(st.lists(st.booleans()))
def test_in_flight_is_what_started_and_did_not_finish(steps: list[bool]) -> None:
    """Whatever the order, it is the difference, and never negative."""
    route = RouteMetrics("r", BUCKETS, lambda *_: None)
    started = finished = 0
    for start in steps:
        if start:
            route.request_started()
            started += 1
        else:
            route.request_finished(b"GET", 200, "ok", 0.1)
            finished += 1
    assert route.in_flight == max(0, started - finished)


def test_a_time_of_minus_one_is_no_time(route: RouteMetrics) -> None:
    """What an attempt did not get to is not counted as instantaneous; what took 0 seconds is."""
    route.attempt_finished("a", "connect_failure", -1.0, -1.0, 0.5)
    route.attempt_finished("a", "ok", -1.0, 0.0, 0.0)
    times = route.upstreams["a"]
    assert (times.connect.count, times.first_byte.count, times.total.count) == (0, 1, 2)
    assert times.total.total == 0.5


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (60.0, 15), (61.0, 16)])
def test_a_time_lands_in_the_bucket_whose_bound_includes_it(route: RouteMetrics, seconds: float, bucket: int) -> None:
    """For requests and for each phase of an attempt alike, up to what is beyond every bound."""
    route.request_finished(b"GET", 200, "ok", seconds)
    route.attempt_finished("a", "ok", seconds, seconds, seconds)
    times = route.upstreams["a"]
    for histogram in (route.duration, times.connect, times.first_byte, times.total):
        assert histogram.counts[bucket] == histogram.count == 1


def test_each_upstream_of_a_route_has_its_own_times(route: RouteMetrics) -> None:
    """The failover's attempts are not mixed with the first upstream's."""
    route.attempt_finished("a", "reset", 0.1, 0.2, 0.3)
    route.attempt_finished("b", "ok", 0.01, 0.02, 0.03)
    assert route.upstreams["a"].results == {("reset",): 1}
    assert route.upstreams["b"].results == {("ok",): 1}
    assert route.upstreams["b"].total.total == 0.03


def test_a_move_is_counted_and_reported(route: RouteMetrics, moves: Moves) -> None:
    """One count and one call per transition."""
    route.breaker_changed("closed", "open", 5.0)
    assert route.transitions == {("closed", "open"): 1}
    assert moves == [("toggles", "closed", "open", 5.0)]


def test_the_first_opening_is_a_rise_from_zero(route: RouteMetrics) -> None:
    """A breaker's transitions show as 0 before the first, and announcing them again resets nothing."""
    route.expect_transitions()
    assert route.transitions == dict.fromkeys(MOVES, 0)
    route.breaker_changed("closed", "open", 5.0)
    route.expect_transitions()
    assert route.transitions["closed", "open"] == 1


def test_every_reason_counts_under_its_own_word(route: RouteMetrics) -> None:
    """The closed vocabulary arrives in the labels unchanged."""
    for reason in REASONS:
        route.refused(reason)
        route.would_refuse(reason)
        route.retried(reason)
        route.retry_denied(reason)
        route.fell_back("static", reason)
    for counts in (route.refusals, route.would_refuse_counts, route.retries, route.denied):
        assert counts.by(0) == dict.fromkeys(REASONS, 1)
    assert route.fallbacks.by(1) == dict.fromkeys(REASONS, 1)


def test_the_newest_answer_is_the_last_kept(route: RouteMetrics) -> None:
    """Only the newest age is told."""
    route.kept(100.0)
    route.kept(200.0)
    assert route.newest == 200.0


def test_tunnels_are_those_that_have_not_ended(route: RouteMetrics) -> None:
    """Up with each 101, down with each end."""
    for _ in range(3):
        route.tunnel_opened()
    route.tunnel_closed()
    assert route.tunnels == 2
