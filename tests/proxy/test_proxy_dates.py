"""The date of what is sent now."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from proxy_fakes import HandClock

from sidecar.proxy.dates import Dates, date_line


@given(st.integers(0, 4_102_444_800))
def test_a_date_is_an_imf_fixdate(seconds: int) -> None:
    """As the standard library writes it (RFC 9110 section 5.6.7)."""
    assert date_line(seconds + 0.9) == f"Date: {formatdate(seconds, usegmt=True)}\r\n".encode()


def test_a_date_is_written_once_a_second() -> None:
    """And is never older than that, also when the clock is set back."""
    wall = HandClock(1_700_000_000.2)
    dates = Dates(wall)
    first = dates.line()
    wall.now += 0.7
    assert dates.line() is first
    for step in (0.2, -5.0):
        wall.now += step
        assert dates.line() == date_line(wall.now) != first
