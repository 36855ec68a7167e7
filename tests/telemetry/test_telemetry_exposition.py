"""Laws of the two text formats, as their own parsers read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from sidecar.telemetry.exposition import Counts, Family, labels, number

FAMILY = Family("things_total", "counter", ("route", "kind"), "Things.")

words = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(st.tuples(words), st.integers(0, 10**12), min_size=1))
def test_any_label_value_comes_back_from_both_parsers(counted: dict[tuple[str], int]) -> None:
    """Escaping loses nothing: quotes, backslashes, newlines, percent signs, any Unicode."""
    counts = Counts(FAMILY, "a route")
    counts.update(counted)
    for openmetrics, parse in ((False, text_families), (True, openmetrics_families)):
        text = (FAMILY.head(openmetrics) + counts.lines()).decode() + ("# EOF\n" if openmetrics else "")
        (family,) = parse(text)
        read = {(sample.labels["kind"],): sample.value for sample in family.samples}
        assert read == counted
        assert {sample.labels["route"] for sample in family.samples} == {"a route"}


def test_counters_are_named_as_each_format_wants() -> None:
    """The family has `_total` in the text format and not in OpenMetrics; samples always have it."""
    assert b"# TYPE things_total counter" in FAMILY.head(openmetrics=False)
    assert b"# TYPE things counter" in FAMILY.head(openmetrics=True)


def test_help_is_one_line() -> None:
    """Whatever a help text says, it can't end its line; OpenMetrics escapes quotes there too."""
    family = Family("x", "gauge", (), 'a\nb\\c "d"')
    assert family.head(openmetrics=False) == b'# HELP x a\\nb\\\\c "d"\n# TYPE x gauge\n'
    assert family.head(openmetrics=True) == b'# HELP x a\\nb\\\\c \\"d\\"\n# TYPE x gauge\n'


@given(st.floats(allow_nan=False))
def test_a_number_loses_nothing(value: float) -> None:
    """What is printed reads as the very same float, infinities included."""
    assert float(number(value)) == value


def test_what_is_no_number_is_spelt_as_the_formats_spell_it() -> None:
    """NaN and the infinities are not written as Python writes them."""
    assert [number(value) for value in (math.nan, math.inf, -math.inf)] == [b"NaN", b"+Inf", b"-Inf"]


def test_without_labels_there_are_no_braces() -> None:
    """`name 1`, not `name{} 1`."""
    assert labels((), ()) == ""


def test_labels_and_values_must_match() -> None:
    """A value without a label is a defect, not a series."""
    with pytest.raises(ValueError, match="longer"):
        labels(("a",), ("1", "2"))


def test_a_key_counted_later_joins_the_series() -> None:
    """The ready-made text follows what is counted; nothing shows before it was counted."""
    counts = Counts(FAMILY, "r")
    assert counts.lines() == b""
    counts[("a",)] += 2
    assert counts.lines() == b'things_total{route="r",kind="a"} 2\n'
    counts[("b",)] += 1
    counts[("a",)] += 1
    assert counts.lines() == b'things_total{route="r",kind="a"} 3\nthings_total{route="r",kind="b"} 1\n'


def test_reading_a_count_makes_no_series() -> None:
    """What was never counted reads as 0 and stays out of the scrape."""
    counts = Counts(FAMILY, "r")
    assert counts[("a",)] == 0
    assert counts.lines() == b""


def test_sums_over_the_rest_of_the_key() -> None:
    """`by` adds up all counts that share one part of the key."""
    counts = Counts(Family("x_total", "counter", ("m", "c"), ""))
    counts.update({(b"GET", 200): 2, (b"GET", 503): 3, (b"POST", 200): 4})
    assert counts.by(0) == {"GET": 5, "POST": 4}
    assert counts.by(1) == {"200": 6, "503": 3}
