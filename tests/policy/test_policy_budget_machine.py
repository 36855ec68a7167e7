"""The retry budget against plain lists of what was paid in and taken out, under any order of events."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from policy_fakes import HandClock

from sidecar.policy.budget import RetryBudget

WINDOW = 10.0
BUCKET = 1.0


class BudgetMachine(RuleBasedStateMachine):
    """Requests come, retries are asked for, made, and not made after all; time passes."""

    @initialize(ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]), per_second=st.sampled_from([0.0, 0.3, 1.0]))
    def begin(self, ratio: float, per_second: float) -> None:
        """A new budget."""
        self.clock = HandClock()
        self.ratio, self.per_second = ratio, per_second
        self.budget = RetryBudget(ratio=ratio, per_second=per_second, window=WINDOW, clock=self.clock)
        self.began = self.clock.now
        self.deposits: list[float] = []
        self.taken: list[float] = []
        self.waiting: list[float] = []
        """Of those, the ones that may yet be given back."""

    @rule(count=st.sampled_from([1, 5, 40]))
    def requests(self, count: int) -> None:
        """Each pays in."""
        for _ in range(count):
            self.budget.deposit()
            self.deposits.append(self.clock.now)

    @rule(count=st.sampled_from([1, 3, 30]))
    def retries(self, count: int) -> None:
        """Each is granted exactly if there is a whole one left."""
        for _ in range(count):
            left = self.budget.balance()
            assert self.budget.withdraw() == (left >= 1.0 - 1e-9)
            if left >= 1.0 - 1e-9:
                self.taken.append(self.clock.now)
                self.waiting.append(self.clock.now)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 50))
    def gives_back(self, which: int) -> None:
        """One was not made: it was never taken."""
        when = self.waiting.pop(which % len(self.waiting))
        self.taken.remove(when)
        self.budget.give_back(when)

    @precondition(lambda self: self.waiting)
    @rule()
    def are_made(self) -> None:
        """All that were granted."""
        self.waiting.clear()

    @rule(seconds=st.sampled_from([0.01, 0.5, BUCKET, 3.0, WINDOW, WINDOW + BUCKET, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        """What was paid in long ago buys nothing any more, and what was taken long ago is forgiven."""
        self.clock.now += seconds

    @invariant()
    def retries_never_exceed_the_share_and_the_floor(self) -> None:
        """Over all of the time, and over every window of it."""
        if not hasattr(self, "budget"):
            return
        now = self.clock.now
        for since in (self.began, now - WINDOW):
            taken = sum(at >= since for at in self.taken)
            # What pays for them may have come one window, and the bucket it began in, earlier.
            paid = sum(at >= since - WINDOW - BUCKET for at in self.deposits)
            floor = self.per_second * (min(now - since, now - self.began) + WINDOW)
            assert taken <= self.ratio * paid + floor + 1e-6

    @invariant()
    def the_balance_is_what_the_window_says(self) -> None:
        """Between the sums over a window and over one bucket more: how finely it forgets is its own."""
        if not hasattr(self, "budget"):
            return
        bucket = self.clock.now // BUCKET
        deposits = sum(at // BUCKET >= bucket - WINDOW / BUCKET for at in self.deposits)
        taken = sum(at // BUCKET >= bucket - WINDOW / BUCKET for at in self.taken)
        assert abs(self.budget.balance() - (self.ratio * deposits + self.per_second * WINDOW - taken)) < 1e-6

    def teardown(self) -> None:
        """Nothing is owed for ever, and nothing is saved: after a window and a bucket only the floor is there."""
        if hasattr(self, "budget"):
            self.clock.now += WINDOW + BUCKET
            assert abs(self.budget.balance() - self.per_second * WINDOW) < 1e-6


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
