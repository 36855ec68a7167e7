"""`Retry-After` (RFC 9110 section 10.2.3): seconds, or a date in any of its three forms (section 5.6.7)."""

import re
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH: Final = rb"(?P<month>%b)" % b"|".join(_MONTHS)
_FORMS: Final = (
    # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(rb"\w{3}, (?P<day>\d\d) %b (?P<year>\d{4}) %b GMT" % (_MONTH, _TIME)),
    # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(rb"\w{6,9}, (?P<day>\d\d)-%b-(?P<year>\d\d) %b GMT" % (_MONTH, _TIME)),
    # asctime-date: Sun Nov  6 08:49:37 1994
    re.compile(rb"\w{3} %b (?P<day>[ \d]\d) %b (?P<year>\d{4})" % (_MONTH, _TIME)),
)

_LEAP_SECOND: Final = 60
_FIFTY_YEARS: Final = 50

LONGEST: Final = 2.0**31
"""Seconds that anything longer is cut to, as caches do with ages (RFC 9111 section 1.2.2)."""


def parse(value: bytes, now: float) -> float | None:
    """Seconds from `now` (Unix time) that the field asks to wait; 0 for a past date, None for garbage."""
    value = value.strip(b" \t")
    if value.isdigit():
        return min(float(value), LONGEST)
    for form in _FORMS:
        if (match := form.fullmatch(value)) is not None:
            at = _unix(match, now)
            return None if at is None else min(max(0.0, at - now), LONGEST)
    return None


def _unix(match: re.Match[bytes], now: float) -> float | None:
    year, day, hour, minute, second = (int(match[part]) for part in ("year", "day", "hour", "minute", "second"))
    month = _MONTHS.index(match["month"]) + 1
    if len(match["year"]) == len("94"):
        year = _century(year, now)
    # A leap second is a valid one (section 5.6.7), but datetime does not know it.
    leap = second == _LEAP_SECOND
    try:
        return datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC).timestamp() + leap
    except ValueError:
        return None


def _century(year: int, now: float) -> int:
    """Two digits that look over fifty years ahead are the latest such year in the past (section 5.6.7)."""
    this = datetime.fromtimestamp(now, UTC).year
    year += this - this % 100
    return year - 100 if year > this + _FIFTY_YEARS else year
