"""The breaker against a reference that keeps everything and recounts it, under any order of events.

Two breakers are driven alike, one in earnest and one in dry run: what the first refuses the second grants and
marks, and they are never in different states.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, HandClock, plain_breaker

from sidecar.policy.breaker import Breaker, Permit
from sidecar.policy.outcome import Verdict

WIDTH = 1.0  # of a bucket: a tenth of the window
SLOW = 2.0


@dataclass(eq=False)
class Leave:
    """A permit as the reference sees it."""

    round: int
    probe: bool = False
    expires: float = 0.0


@dataclass
class Reference:
    """The rules once more, as plainly as they can be written."""

    consecutive: int
    ratio: float
    minimum: int
    slow_ratio: float
    probes: int
    successes: int
    lease: float
    opening: Callable[[], float]
    state: str = "closed"
    round: int = 0
    since: float = 0.0
    until: float = 0.0
    held: float = float("-inf")
    planned: float = 10.0
    bucket: int = 0
    row: int = 0
    good: int = 0
    counted: list[tuple[int, bool, bool]] = field(default_factory=list)
    probing: list[Leave] = field(default_factory=list)

    def admit(self, now: float) -> Leave | None:
        """Who would get through."""
        if self.state == "closed":
            return Leave(self.round)
        if self.state == "open":
            if now < self.until:
                return None
            self.enter("half_open", now)
        holding = [leave for leave in self.probing if now < leave.expires]
        if len(self.probing) >= self.probes and len(holding) >= self.probes:
            return None
        if len(self.probing) >= self.probes:
            self.probing = holding
        leave = Leave(self.round, probe=True, expires=now + self.lease)
        self.probing.append(leave)
        return leave

    def settle(self, leave: Leave, verdict: Verdict, elapsed: float, now: float) -> None:
        """What a verdict does."""
        if leave.round != self.round or (leave.probe and leave not in self.probing):
            return
        if leave.probe:
            self.probing.remove(leave)
            if now < leave.expires and verdict is not NEUTRAL:
                self.probed(verdict is SUCCESS and elapsed <= SLOW, now)
        elif verdict is not NEUTRAL:
            self.count(verdict, elapsed > SLOW, now)

    def probed(self, well: bool, now: float) -> None:  # noqa: FBT001 - a word in a model
        """A probe came back."""
        if not well:
            self.planned = min(self.planned * 2.0, 40.0)
            self.enter("open", now)
            return
        self.good += 1
        if self.good == self.successes:
            self.enter("closed", now)

    def count(self, verdict: Verdict, slow: bool, now: float) -> None:  # noqa: FBT001 - the same
        """An attempt of a closed breaker ended."""
        self.bucket = max(self.bucket, int(now // WIDTH))  # a clock that steps back begins no bucket
        self.counted.append((self.bucket, verdict is not SUCCESS, slow))
        if verdict is SUCCESS:
            self.row = 0
        elif verdict is FAILURE:
            self.row += 1
        if (verdict is not SUCCESS or slow) and self.due() and now >= self.held:
            if now - self.since >= 40.0:
                self.planned = 10.0
            self.enter("open", now)

    def due(self) -> bool:
        """Whether any rule trips."""
        recent = [(failed, slow) for bucket, failed, slow in self.counted if bucket > self.bucket - 10]
        total = len(recent)
        if self.consecutive and self.row >= self.consecutive:
            return True
        if total < self.minimum:
            return False
        failed, slow = sum(f for f, _ in recent), sum(s for _, s in recent)
        return (self.ratio > 0 and failed >= self.ratio * total) or 0 < slow >= self.slow_ratio * total

    def force(self, state: str, seconds: float, now: float) -> None:
        """An operator holds it."""
        self.held = now + seconds
        if state != self.state:
            self.enter(state, now, self.held)
        elif state == "open":
            self.until = self.held

    def release(self, now: float) -> None:
        """Nobody does any more."""
        if now < self.held:
            self.held, self.until = float("-inf"), min(self.until, now)

    def enter(self, state: str, now: float, until: float | None = None) -> None:
        """A move."""
        self.state, self.since = state, now
        self.round += 1
        self.probing, self.good = [], 0
        if state == "closed":
            self.row, self.bucket, self.counted = 0, 0, []
        if state == "open":
            self.until = now + self.opening() if until is None else until


class BreakerMachine(RuleBasedStateMachine):
    """Any interleaving of asking, answering, leaving, forgetting and time."""

    @initialize(
        consecutive=st.integers(0, 3),
        ratio=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        minimum=st.integers(1, 6),
        slow_ratio=st.sampled_from([0.3, 0.8]),
        probes=st.integers(1, 3),
        successes=st.integers(1, 3),
        lease=st.sampled_from([3.0, 15.0]),
        seed=st.integers(0, 100),
    )
    def begin(
        self,
        *,
        consecutive: int,
        ratio: float,
        minimum: int,
        slow_ratio: float,
        probes: int,
        successes: int,
        lease: float,
        seed: int,
    ) -> None:
        """Two breakers and their reference, with the same rules."""
        self.clock = HandClock()
        self.forcing = False
        self.openings: list[float] = []
        self.reference = Reference(
            consecutive, ratio, minimum, slow_ratio, probes, successes, lease, lambda: self.openings[-1]
        )
        self.reference.since = self.clock.now

        def make(*, dry_run: bool) -> Breaker:
            return plain_breaker(
                self.clock,
                consecutive_failures=consecutive,
                failure_ratio=ratio,
                minimum_requests=minimum,
                slow_longer_than=SLOW,
                slow_ratio=slow_ratio,
                probes=probes,
                successes_to_close=successes,
                lease=lease,
                dry_run=dry_run,
                rng=Random(seed),
                on_change=self.changed,
            )

        self.earnest, self.dry = make(dry_run=False), make(dry_run=True)
        self.live: list[tuple[Leave, Permit, Permit]] = []
        self.refused: list[Permit] = []

    def changed(self, _old: str, new: str, open_for: float) -> None:
        """Notes each opening of its own, and that its length is the planned one within the jitter."""
        assert (new == "open") == (open_for > 0.0)
        if new == "open" and not self.forcing:
            self.openings.append(open_for)

    @rule(seconds=st.floats(0.0, 12.0))
    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @rule(to=st.sampled_from(["until", "lease", "held", "window", "far", "back"]))
    def jump(self, to: str) -> None:
        """Time lands on an edge, or leaps; a clock that is forced back must not break anything either."""
        edges = [leave.expires for leave in self.reference.probing]
        leap = {
            "until": self.reference.until,
            "lease": min(edges, default=self.clock.now),
            "held": max(self.clock.now, self.reference.held),
            "window": (self.clock.now // WIDTH + 10.0) * WIDTH,
            "far": self.clock.now + 1e6,
            "back": self.clock.now - 3.0,
        }[to]
        self.clock.now = leap if to == "back" else max(self.clock.now, leap)

    @rule(state=st.sampled_from(["open", "closed"]), seconds=st.floats(0.1, 30.0))
    def force(self, state: str, seconds: float) -> None:
        """An operator holds it open or closed, from whatever state."""
        self.forcing = True
        for breaker in (self.earnest, self.dry):
            breaker.force(state, seconds)
        self.forcing = False
        self.reference.force(state, seconds, self.clock.now)

    @rule()
    def release(self) -> None:
        """And lets go of it, whether it was held or not."""
        for breaker in (self.earnest, self.dry):
            breaker.release()
        self.reference.release(self.clock.now)

    @rule(times=st.integers(1, 4))
    def admit(self, times: int) -> None:
        """Somebody asks: the same ones get through everywhere, and dry run marks the others."""
        for _ in range(times):
            before = repr(self.earnest), self.earnest.since
            would_refuse = self.earnest.would_refuse()
            assert (repr(self.earnest), self.earnest.since) == before, "a look changed something"
            assert not self.dry.would_refuse()
            leave = self.reference.admit(self.clock.now)
            earnest, dry = self.earnest.admit(), self.dry.admit()
            assert dry is not None
            assert (earnest is None) == (leave is None) == dry.would_have_refused == would_refuse
            if earnest is None or leave is None:
                self.refused.append(dry)
            else:
                assert not earnest.would_have_refused
                self.live.append((leave, earnest, dry))

    verdicts = st.sampled_from([FAILURE, *Verdict])
    elapsed = st.sampled_from([0.1, SLOW, 2.1])

    @precondition(lambda self: self.live)
    @rule(index=st.integers(0, 30), verdict=verdicts, elapsed=elapsed)
    def settle(self, index: int, verdict: Verdict, elapsed: float) -> None:
        """An attempt ends: the newest, the oldest, any."""
        leave, earnest, dry = self.live.pop(-1 - index % len(self.live))
        straggler = leave.round != self.reference.round
        before = repr(self.earnest), self.earnest.since
        earnest.settle(verdict, elapsed)
        dry.settle(verdict, elapsed)
        self.reference.settle(leave, verdict, elapsed, self.clock.now)
        if straggler:
            assert (repr(self.earnest), self.earnest.since) == before

    @precondition(lambda self: self.refused)
    @rule(verdict=verdicts)
    def settle_refused(self, verdict: Verdict) -> None:
        """What dry run let through in vain ends: it says nothing."""
        before = repr(self.dry)
        self.refused.pop().settle(verdict, 0.1)
        assert repr(self.dry) == before

    @precondition(lambda self: self.reference.state == "open")
    @rule()
    def another_round_fails(self) -> None:
        """Its time is over, and its first probe fails: by chance alone hardly ever so often that the cap is reached."""
        self.jump("until")
        self.admit(1)
        self.settle(0, FAILURE, 0.1)

    @precondition(lambda self: len(self.live) > 1)
    @rule()
    def forget(self) -> None:
        """A permit is lost: nobody will ever settle it."""
        self.live.pop()

    @invariant()
    def all_agree(self) -> None:
        """One state, one time, one set of probes."""
        if not hasattr(self, "reference"):
            return
        for breaker in (self.earnest, self.dry):
            assert breaker.state == self.reference.state
            assert breaker.since == self.reference.since
            assert (breaker.forced() is not None) == (self.clock.now < self.reference.held)
            if self.reference.state == "open":
                assert breaker.retry_after() == max(0.0, self.reference.until - self.clock.now)
            assert len(breaker._probing) == len(self.reference.probing) <= self.reference.probes

    @invariant()
    def open_times_are_planned_ones(self) -> None:
        """Between 10 and 40 seconds, give or take the jitter."""
        if hasattr(self, "openings") and self.openings:
            planned = self.reference.planned
            assert 10.0 <= planned <= 40.0
            assert planned * 0.8 <= self.openings[-1] <= planned * 1.2


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
