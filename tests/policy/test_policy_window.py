"""Laws of counting in time buckets."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.window import Window

steps = st.lists(st.floats(0.0, 3.0) | st.sampled_from([1.0, 4.0, 5.0, 1000.0]), max_size=40)


def count(window: Window, now: float, counter: int) -> None:
    """As the hot path does it."""
    if now >= window.ends:
        window.roll(now)
    window.bucket[counter] += 1


@given(steps=steps, start=st.floats(-5.0, 1e9))
def test_it_counts_what_falls_in_its_last_buckets(steps: list[float], start: float) -> None:
    """The sums are those of the present bucket and the four before it, no matter how time went on."""
    window = Window(width=1.0, buckets=5, counters=2)
    now = max(0.0, start)
    counted: list[tuple[int, int]] = []
    for number, step in enumerate(steps):
        now += step
        count(window, now, number % 2)
        counted.append((int(now // 1.0), number % 2))
        recent = [counter for bucket, counter in counted if bucket > int(now // 1.0) - 5]
        assert window.sums() == [recent.count(0), recent.count(1)]


def test_a_clock_that_steps_back_loses_nothing() -> None:
    """What is counted then goes into the present bucket: only reaching its end begins another."""
    window = Window(width=1.0, buckets=5, counters=1)
    for now in (10.0, 7.0, 10.5, 2.0):
        count(window, now, 0)
    assert window.sums() == [4]


@given(steps=steps, undone=st.integers(0, 40), start=st.floats(0.0, 1e9))
def test_a_count_that_is_taken_back_was_never_made(steps: list[float], undone: int, start: float) -> None:
    """Whenever that is: in its own bucket, later, or when it is long forgotten."""
    window = Window(width=1.0, buckets=5, counters=1)
    now, at = start, start
    counted: list[int] = []
    for number, step in enumerate(steps):
        now += step
        count(window, now, 0)
        if number == undone:
            at = now
        else:
            counted.append(int(now // 1.0))
    if undone < len(steps):
        window.take_back(0, at)
    for later in range(3):
        now += later
        if now >= window.ends:
            window.roll(now)
        assert window.sums() == [sum(bucket > int(now // 1.0) - 5 for bucket in counted)]


def test_clearing_forgets_everything() -> None:
    """As if it were new."""
    window = Window(width=1.0, buckets=5, counters=1)
    count(window, 10.0, 0)
    count(window, 11.0, 0)
    window.clear()
    assert window.sums() == [0]
    count(window, 11.0, 0)
    assert window.sums() == [1]
