"""Numbers in few columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tui import words


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (words.rate(None), "-"),
        (words.rate(0.0), "0"),
        (words.rate(3.24), "3.2"),
        (words.rate(9.96), "10"),
        (words.rate(9999.6), "10k"),
        (words.share(0.0), "0%"),
        (words.share(0.004), "0.4%"),
        (words.share(0.996), "100%"),
        (words.seconds(0.0004), "0.4 ms"),
        (words.seconds(0.0123), "12 ms"),
        (words.seconds(0.9996), "1.0 s"),
        (words.duration(59.9), "60 s"),
        (words.duration(61), "1 min"),
        (words.duration(7260), "2 h"),
        (words.duration(200_000), "2 d"),
        (words.count(1234567.0), "1,234,567"),
        (words.clock(0.0), "00:00:00 UTC"),
        (words.clock(1e300), "-"),
    ],
)
def test_as_people_read_them(said: str, text: str) -> None:
    """Rounded, with a unit; a dash for what is not known."""
    assert said == text


@given(st.floats(0, 99_999))
def test_a_rate_fits(value: float) -> None:
    """Five columns."""
    assert len(words.rate(value)) <= 5


@given(st.floats(0, 1))
def test_a_share_fits(value: float) -> None:
    """Five columns."""
    assert len(words.share(value)) <= 5


@given(st.floats(0, 9_999))
def test_a_latency_fits(value: float) -> None:
    """Seven columns."""
    assert len(words.seconds(value)) <= 7
