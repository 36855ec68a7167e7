"""Laws of reading `Retry-After`."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.retry_after import LONGEST, parse

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

moments = st.integers(0, 99 * 365 * 86400).map(
    lambda seconds: datetime(1977, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def imf(at: datetime) -> str:
    """IMF-fixdate."""
    return f"{DAYS[at.weekday()][:3]}, {at.day:02} {MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} GMT"


def rfc850(at: datetime) -> str:
    """The obsolete form with two digits of the year."""
    return f"{DAYS[at.weekday()]}, {at.day:02}-{MONTHS[at.month - 1]}-{at.year % 100:02} {at:%H:%M:%S} GMT"


def asctime(at: datetime) -> str:
    """The obsolete form of C."""
    return f"{DAYS[at.weekday()][:3]} {MONTHS[at.month - 1]} {at.day:2} {at:%H:%M:%S} {at.year}"


def read(value: str, now: datetime = NOW) -> float | None:
    """As a header's value."""
    return parse(value.encode(), now.timestamp())


@given(moments)
@pytest.mark.parametrize("form", [imf, rfc850, asctime])
def test_every_form_of_a_date_says_how_long_it_is_until_then(form: object, at: datetime) -> None:
    """All three of RFC 9110 section 5.6.7; what has passed is no wait."""
    assert callable(form)
    assert read(form(at)) == max(0.0, (at - NOW).total_seconds())


def test_the_rfc_examples() -> None:
    """The three spellings of one moment in section 5.6.7."""
    before = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)
    for text in (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ):
        assert read(text, before) == 7.0


def test_two_digits_of_a_year_are_never_fifty_years_ahead() -> None:
    """Seen from 2026, 76 is ahead and 77 was in the last century."""
    assert read("Sunday, 01-Nov-76 00:00:00 GMT") == (datetime(2076, 11, 1, tzinfo=UTC) - NOW).total_seconds()
    assert read("Sunday, 01-Nov-77 00:00:00 GMT") == 0.0


def test_a_leap_second_is_a_second() -> None:
    """23:59:60 is grammatical, and one second after 23:59:59."""
    before = datetime(2016, 12, 31, 23, 59, 50, tzinfo=UTC)
    assert read("Sat, 31 Dec 2016 23:59:60 GMT", before) == 10.0


@given(st.integers(0, 2**31))
def test_seconds_are_seconds(seconds: int) -> None:
    """With white space around them or not, and with zeros before them."""
    assert read(f"{seconds}") == read(f" \t{seconds} ") == read(f"000{seconds}") == float(seconds)


@pytest.mark.parametrize("value", ["9" * 10, "9" * 5000, imf(NOW + timedelta(days=365 * 200))])
def test_what_is_too_long_is_cut(value: str) -> None:
    """No digits, however many, overflow or take long to read."""
    assert read(value) == LONGEST


@pytest.mark.parametrize(
    "value",
    [
        "", "soon", "-1", "+1", "1.5", "1e3", "0x10", "\u0661\u0662", "1 2", "1,2", "1;2",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 6 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
        "Sun, 06-Nov-1994 08:49:37 GMT", "2026-11-22T12:00:00Z",
    ],
)  # fmt: skip
def test_garbage_says_nothing(value: str) -> None:
    """None, and never an exception."""
    assert read(value) is None


@given(st.binary(max_size=60))
def test_nothing_raises(value: bytes) -> None:
    """Upstreams send what they like."""
    found = parse(value, NOW.timestamp())
    assert found is None or 0.0 <= found <= LONGEST
