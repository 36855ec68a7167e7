"""Endpoints, ejection, health checks and slow start, under any order of attempts, checks and time."""

from collections.abc import Iterator
from math import floor
from random import Random
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from policy_fakes import HandClock

from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.health import Health
from sidecar.policy.outcome import Verdict

BASE, CAP = 3.0, 9.0
SLOW_START: Final = 4.0


class EndpointsMachine(RuleBasedStateMachine):
    """One upstream of one to five endpoints."""

    @initialize(
        kinds=st.lists(st.sampled_from([(1, 0), (3, 0), (1, 1), (0, 0)]), max_size=4),
        max_share=st.sampled_from([0.3, 0.5, 1.0]),
        failures=st.integers(1, 3),
        checked=st.booleans(),
        seed=st.integers(0, 20),
    )
    def begin(
        self,
        *,
        kinds: list[tuple[int, int]],
        max_share: float,
        failures: int,
        checked: bool,
        seed: int,
    ) -> None:
        """Endpoints of these weights and priorities, beside a plain one."""
        self.clock = HandClock()
        self.max_share = max_share
        self.checked = checked
        self.endpoints = [
            Endpoint(
                name=str(number),
                weight=weight,
                priority=priority,
                health=Health(unhealthy_after=2, healthy_after=2) if checked else None,
            )
            for number, (weight, priority) in enumerate([(1, 0), *kinds])
        ]
        self.used = [endpoint for endpoint in self.endpoints if endpoint.weight]
        self.upstream = Upstream(
            name="u",
            endpoints=self.endpoints,
            ejection=Ejection(consecutive_failures=failures, base=BASE, cap=CAP, max_share=max_share, clock=self.clock),
            budget=RetryBudget(ratio=0.2, per_second=1.0, clock=self.clock),
            clock=self.clock,
            rng=Random(seed),
            slow_start=SLOW_START,
            check_every=1.0 if checked else 0.0,
        )
        self.under_way: list[Endpoint] = []

    @rule(tried=st.integers(0, 2))
    def attempt(self, tried: int) -> None:
        """Who is picked is in, and of the best priority that is; None only where nobody is in."""
        before = self.endpoints[:tried]
        picked = self.upstream.pick(before)
        fit = list(self._fit())
        if picked is None:
            assert not fit
            return
        assert picked in fit, "one that is out was picked"
        fresh = [endpoint for endpoint in fit if endpoint not in before] or fit
        assert picked.priority == min(endpoint.priority for endpoint in fresh)
        picked.pending += 1
        self.under_way.append(picked)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 20), verdict=st.sampled_from([Verdict.FAILURE, Verdict.FAILURE, *Verdict]))
    def ends(self, which: int, verdict: Verdict) -> None:
        """An attempt comes to something; only failures eject."""
        endpoint = self.under_way.pop(which % len(self.under_way))
        endpoint.pending -= 1
        before = self.upstream.ejected()
        self.upstream.judge(endpoint, verdict)
        assert verdict is Verdict.FAILURE or self.upstream.ejected() == before

    @precondition(lambda self: self.checked)
    @rule(which=st.integers(0, 4), passed=st.booleans())
    def check(self, which: int, passed: bool) -> None:  # noqa: FBT001 - drawn
        """A health check finds something."""
        endpoint = self.endpoints[which % len(self.endpoints)]
        self.upstream.checked(endpoint, "" if passed else "connect_failure")

    @rule(seconds=st.sampled_from([0.1, 1.0, BASE, CAP, 100.0]))
    def time_passes(self, seconds: float) -> None:
        """Those that were away return."""
        self.clock.now += seconds

    @rule()
    def until_the_next_return(self) -> None:
        """Exactly when the first is back."""
        self.clock.now = min((one.standing.until for one in self.upstream.ejected()), default=self.clock.now)

    def _fit(self) -> Iterator[Endpoint]:
        """Who may be picked: those that are in; where checks took out the last of them, those that only failed."""
        now = self.clock.now
        fit = [endpoint for endpoint in self.used if not endpoint.standing.is_out(now)]
        if not fit and self.max_share < 1.0 and len(self.used) > 1:
            fit = [endpoint for endpoint in self.used if endpoint.standing.well]
        yield from fit

    @invariant()
    def few_are_away_and_not_for_long(self) -> None:
        """Never more than the share at once, each for at most the cap; a lone one never."""
        if not hasattr(self, "upstream"):
            return
        away = self.upstream.ejected()
        assert len(away) <= floor(self.max_share * len(self.used))
        assert not away or len(self.used) > 1
        assert all(endpoint.standing.until - self.clock.now <= CAP + 1e-9 for endpoint in away)

    @invariant()
    def a_refusal_says_when(self) -> None:
        """Where nobody can be picked, there is a time after which somebody may: no later than the last return."""
        if hasattr(self, "upstream") and not list(self._fit()):
            assert self.upstream.retry_after() <= CAP + 1e-9

    def teardown(self) -> None:
        """Nobody fails any more: all are back within the cap, at their whole weight after the slow start."""
        if not hasattr(self, "upstream"):
            return
        for endpoint in self.under_way:
            endpoint.pending -= 1
        for _ in range(2 * self.checked):
            for endpoint in self.endpoints:
                self.upstream.checked(endpoint, "")
        self.clock.now += CAP
        self.upstream.pick(())
        self.clock.now += SLOW_START
        self.upstream.pick(())
        assert list(self._fit()) == self.used
        if len(self.used) > 1:  # of one alone nobody asks how much of the load is its
            assert [endpoint.share for endpoint in self.used] == [endpoint.weight for endpoint in self.used]
        best = min(endpoint.priority for endpoint in self.used)
        first = {endpoint for endpoint in self.used if endpoint.priority == best}
        assert {self.upstream.pick(()) for _ in range(200)} == first, "one never came back"


TestEndpointsMachine = EndpointsMachine.TestCase
TestEndpointsMachine.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
