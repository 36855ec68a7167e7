"""Laws of the retry budget: what it never allows, and that it allows the rest."""

from hypothesis import given
from hypothesis import strategies as st
from policy_fakes import HandClock

from sidecar.policy.budget import RetryBudget

WINDOW = 10.0
SLACK = 1.0  # a bucket: deposits are remembered that much longer than the window

history = st.lists(
    st.tuples(st.floats(0.0, 12.0) | st.sampled_from([0.0, 1.0, 9.5, 10.0, 60.0]), st.sampled_from("dw")),
    max_size=120,
)
ratios = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0])
floors = st.sampled_from([0.0, 0.1, 0.3, 1.0])


@given(history=history, ratio=ratios, per_second=floors)
def test_over_any_window_withdrawals_stay_below_the_share_and_the_floor(
    history: list[tuple[float, str]], ratio: float, per_second: float
) -> None:
    """In any stretch: retries <= ratio * requests + per_second * window, per window begun."""
    clock = HandClock()
    budget = RetryBudget(ratio=ratio, per_second=per_second, window=WINDOW, clock=clock)
    deposits: list[float] = []
    granted: list[float] = []
    for step, what in history:
        clock.now += step
        if what == "d":
            deposits.append(clock.now)
            budget.deposit()
        elif budget.withdraw():
            granted.append(clock.now)
    for last in granted:
        within = [at for at in granted if last - WINDOW < at <= last]
        paid = [at for at in deposits if last - WINDOW - SLACK < at <= last]
        assert len(within) <= ratio * len(paid) + per_second * WINDOW + 1e-6
    if granted:
        windows = (granted[-1] - granted[0]) // WINDOW + 1
        assert len(granted) <= ratio * len(deposits) + per_second * WINDOW * windows + 1e-6


@given(requests=st.integers(0, 300), ratio=st.sampled_from([0.1, 0.2, 0.29, 0.5]), per_second=st.integers(0, 2))
def test_what_was_paid_in_can_be_had(requests: int, ratio: float, per_second: int) -> None:
    """Exactly the share of the requests and the floor, to the last whole retry."""
    budget = RetryBudget(ratio=ratio, per_second=per_second, clock=HandClock())
    for _ in range(requests):
        budget.deposit()
    granted = sum(budget.withdraw() for _ in range(requests + 30))
    assert granted == int(requests * ratio + 1e-9) + per_second * 10


@given(history=history, ratio=ratios, per_second=floors, kept=st.lists(st.booleans(), max_size=120))
def test_what_is_given_back_was_never_taken(
    history: list[tuple[float, str]], ratio: float, per_second: float, kept: list[bool]
) -> None:
    """After any waits: the balance is that of a budget which was never asked for it, and no law is bent by it."""
    clock = HandClock()
    budget = RetryBudget(ratio=ratio, per_second=per_second, window=WINDOW, clock=clock)
    other = RetryBudget(ratio=ratio, per_second=per_second, window=WINDOW, clock=clock)
    waiting: list[float] = []
    for (step, what), keep in zip(history, kept, strict=False):
        clock.now += step
        if what == "d":
            budget.deposit()
            other.deposit()
        elif budget.withdraw():
            if keep:
                assert other.withdraw()
            else:
                waiting.append(clock.now)
        elif waiting:
            budget.give_back(waiting.pop(0))
    for withdrawn in waiting:
        budget.give_back(withdrawn)
    assert budget.balance() == other.balance()
    clock.now += 1.0
    assert budget.balance() == other.balance()


def test_a_floor_keeps_quiet_upstreams_retrying() -> None:
    """One request an hour may be retried, though a fifth of it would not be a retry."""
    clock = HandClock()
    budget = RetryBudget(ratio=0.2, per_second=1.0, clock=clock)
    for _ in range(5):
        clock.now += 3600.0
        budget.deposit()
        assert budget.withdraw()


def test_old_deposits_buy_nothing() -> None:
    """A quiet night does not pay for a storm in the morning."""
    clock = HandClock()
    budget = RetryBudget(ratio=0.5, per_second=0.0, clock=clock)
    for _ in range(100):
        budget.deposit()
    clock.now += WINDOW + SLACK
    assert not budget.withdraw()


def test_a_refused_withdrawal_costs_nothing() -> None:
    """Asking in vain does not make it worse."""
    budget = RetryBudget(ratio=0.5, per_second=0.0, clock=HandClock())
    for _ in range(50):
        assert not budget.withdraw()
    budget.deposit()
    budget.deposit()
    assert budget.withdraw()


def test_its_repr_shows_what_is_left() -> None:
    """For the status page and failing tests."""
    assert repr(RetryBudget(ratio=0.2, per_second=1.0, clock=HandClock())) == "<RetryBudget 10.0 left>"


def test_what_arithmetic_lacks_is_no_debt() -> None:
    """A hundred times 0.29 is a little less than 29 to a computer."""
    assert 100 * 0.29 < 29.0
    budget = RetryBudget(ratio=0.29, per_second=0.0, clock=HandClock())
    for _ in range(100):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 29


def test_a_withdrawal_is_remembered_for_a_whole_window() -> None:
    """However the buckets lie: the floor is not had twice within one."""
    clock = HandClock(1000.99)
    budget = RetryBudget(ratio=0.0, per_second=0.1, window=WINDOW, clock=clock)
    assert budget.withdraw()
    clock.now += WINDOW - 0.01
    assert not budget.withdraw()
    clock.now += 0.01 + SLACK
    assert budget.withdraw()
