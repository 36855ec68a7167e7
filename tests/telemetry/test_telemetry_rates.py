"""Laws of the rates: true of the last seconds, cheap, bounded, and silent about what did not happen."""

import pytest

from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.rates import FIGURES, POINTS, SELDOM, WATCHED, Rates


class Watch:
    """Counters of one route, in virtual time, ticked every second as the application does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.copies = 0
        self.prometheus = Prometheus()
        self.route = self.prometheus.route("toggles")
        self.rates = Rates(self.prometheus, clock=lambda: self.now, wall=lambda: 5e5 + self.now)

    def answer(self, outcome: str = "ok", times: int = 1, seconds: float = 0.004) -> None:
        """So many requests finish."""
        for _ in range(times):
            self.route.request_started()
            self.route.request_finished(b"GET", 200, outcome, seconds)

    def live(self, seconds: int, *outcomes: str, asking: bool = True) -> None:
        """Each second one request of each outcome finishes, and somebody asks."""
        for _ in range(seconds):
            for outcome in outcomes:
                self.answer(outcome)
            self.now += 1.0
            self.rates.tick()
            if asking:
                self.rates("toggles")


@pytest.fixture
def watch() -> Watch:
    """Nothing happened yet."""
    return Watch()


def test_nothing_came(watch: Watch) -> None:
    """No share and no quantile of nothing; a rate of 0 is a fact."""
    watch.live(12)
    assert watch.rates("toggles") == {
        "seconds": 10,
        "requests_per_second": 0.0,
        "error_share": None,
        "fallback_share": None,
        "refused_share": None,
        "p50": None,
        "p99": None,
        "outcomes": {},
    }


def test_shares_are_of_the_last_ten_seconds(watch: Watch) -> None:
    """What was before is forgotten, whatever it was."""
    watch.live(30, "upstream_error")
    watch.live(12, "ok", "ok", "last_known_good", "fail_closed")
    said = watch.rates("toggles")
    assert (said["seconds"], said["requests_per_second"]) == (10, 4.0)
    assert (said["error_share"], said["fallback_share"]) == (0.25, 0.25)
    assert said["outcomes"] == {"ok": 20, "last_known_good": 10, "fail_closed": 10}


@pytest.mark.parametrize("outcome", ["upstream_error", "fail_closed", "refused"])
def test_callers_without_a_usable_answer_are_errors(watch: Watch, outcome: str) -> None:
    """Whose fault it was makes no difference to them."""
    watch.live(12, "ok", outcome)
    assert watch.rates("toggles")["error_share"] == 0.5


@pytest.mark.parametrize("outcome", ["ok", "bad_request", "client_gone"])
def test_what_callers_do_is_no_error_of_the_route(watch: Watch, outcome: str) -> None:
    """Or anybody could turn the page red."""
    watch.live(12, outcome)
    assert watch.rates("toggles")["error_share"] == 0.0


def test_refused_is_what_was_not_sent_whoever_answered(watch: Watch) -> None:
    """An open breaker in front of kept answers refuses all, and no caller notices; a share is never above 1."""
    watch.live(12)
    watch.answer("last_known_good", 4)
    for _ in range(9):
        watch.route.refused("breaker_open")
    said = watch.rates("toggles")
    assert (said["refused_share"], said["error_share"], said["fallback_share"]) == (1.0, 0.0, 1.0)


def test_quantiles_are_of_the_last_seconds_too(watch: Watch) -> None:
    """An hour of quick answers does not hide that it is slow now."""
    watch.answer(times=10_000, seconds=0.002)
    watch.live(12)
    watch.answer(times=50, seconds=3.0)
    said = watch.rates("toggles")
    assert 2.5 <= said["p50"] <= 5.0
    assert 2.5 <= said["p99"] <= 5.0


def test_the_first_who_asks_is_told_something(watch: Watch) -> None:
    """Nobody has watched for an hour: there is a comparison all the same, not much older than ten seconds."""
    watch.live(3600, "ok", "refused", asking=False)
    said = watch.rates("toggles")
    assert 9 <= said["seconds"] <= 15
    assert (said["requests_per_second"], said["error_share"]) == (2.0, 0.5)


def test_a_question_in_the_first_second(watch: Watch) -> None:
    """No time has passed: nothing is divided by it."""
    watch.answer(times=3)
    assert watch.rates("toggles")["requests_per_second"] == 0.0
    watch.now += 1.0
    assert watch.rates("toggles")["requests_per_second"] == 3.0


def test_a_route_that_came_later(watch: Watch) -> None:
    """A reload may bring one: before it there was nothing of it."""
    watch.live(12)
    watch.prometheus.route("new").request_finished(b"GET", 200, "ok", 0.1)
    assert watch.rates("new")["outcomes"] == {"ok": 1}


def test_counters_are_copied_seldom_while_nobody_watches(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a second for a minute after a question, every few seconds otherwise."""
    copied: list[float] = []
    plain = Rates._snapshot
    monkeypatch.setattr(Rates, "_snapshot", lambda rates: copied.append(watch.now) or plain(rates))
    watch.rates("toggles")
    watch.live(60, asking=False)
    assert len(copied) >= WATCHED - 2
    copied.clear()
    watch.live(100, asking=False)
    assert len(copied) == 100 / SELDOM


def test_the_past_is_ten_minutes_and_no_more(watch: Watch) -> None:
    """Kept whether somebody looks or not: whoever opens the page in an outage sees how it began."""
    watch.live(900, "ok", "refused", asking=False)
    watch.prometheus.route("new")
    watch.live(10, "ok", "refused", asking=False)
    past = watch.rates.past()
    assert len(past["times"]) == POINTS
    assert past["times"][-1] == 5e5 + watch.now
    assert past["times"][1] - past["times"][0] == SELDOM
    toggles, new = past["routes"]["toggles"], past["routes"]["new"]
    assert tuple(toggles) == FIGURES
    assert all(len(points) == POINTS for route in (toggles, new) for points in route.values())
    assert (toggles["requests_per_second"][-1], toggles["error_share"][-1]) == (2.0, 0.5)
    assert new["p50"] == [None] * POINTS
    assert new["requests_per_second"] == [None] * (POINTS - 2) + [0.0, 0.0]


def test_the_past_of_a_start(watch: Watch) -> None:
    """Nothing yet is an empty list, not an error."""
    assert watch.rates.past() == {"times": [], "routes": {}}
