"""Laws of durations in buckets."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.exposition import Family
from sidecar.telemetry.histogram import BUCKETS, Histogram

FAMILY = Family("took_seconds", "histogram", ("route",), "Time.")

seconds = st.one_of(st.floats(0.0, 100.0), st.sampled_from(BUCKETS))


def filled(values: list[float]) -> Histogram:
    """A histogram of those values, counted as the hot path counts them."""
    histogram = Histogram(BUCKETS, FAMILY, "r")
    for value in values:
        histogram.counts[bisect_left(histogram.bounds, value)] += 1
        histogram.total += value
    return histogram


@given(st.lists(seconds))
def test_each_bucket_counts_what_is_not_above_its_bound(values: list[float]) -> None:
    """`le` means less or equal; the last bucket is `_count`; `_sum` is the sum, to the last digit."""
    head = FAMILY.head(openmetrics=False)
    histogram = filled(values)
    (family,) = text_string_to_metric_families((head + histogram.lines()).decode())
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    for end, count in buckets.items():
        assert count == sum(value <= float(end) for value in values)
    rest = {s.name: s.value for s in family.samples if not s.name.endswith("_bucket")}
    assert buckets["+Inf"] == rest["took_seconds_count"] == len(values)
    assert rest["took_seconds_sum"] == histogram.total == pytest.approx(sum(values))


@given(st.lists(st.floats(0.0, 59.0), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    """The estimate is never further off than the width of one bucket."""
    estimate = filled(values).quantile(share)
    assert estimate is not None
    rank = max(1, -int(-(share * len(values)) // 1))
    true = sorted(values)[rank - 1]
    index = bisect_left(BUCKETS, true)
    low = BUCKETS[index - 1] if index else 0.0
    assert low <= estimate <= BUCKETS[index]


def test_there_is_no_quantile_of_nothing() -> None:
    """No values, no estimate: never a made-up 0."""
    assert filled([]).quantile(0.5) is None


def test_beyond_the_last_bound_the_bound_is_the_estimate() -> None:
    """As PromQL does it: what is longer than 60 s reads as 60 s, not as infinity."""
    assert filled([3600.0]).quantile(0.99) == BUCKETS[-1]


def test_buckets_cover_a_millisecond_to_a_minute() -> None:
    """Bounds rise strictly; the default deadline of 15 s is one of them, so that timeouts show as a step."""
    assert list(BUCKETS) == sorted(set(BUCKETS))
    assert BUCKETS[0] == 0.001
    assert BUCKETS[-1] == 60.0
    assert 15.0 in BUCKETS


def test_a_percent_sign_in_a_label_is_just_a_character() -> None:
    """Text is filled in by `%`: a name with a percent sign must not be taken for a place."""
    assert b'{route="50% d",le="0.001"} 0\n' in Histogram(BUCKETS, FAMILY, "50% d").lines()
