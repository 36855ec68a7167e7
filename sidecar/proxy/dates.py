"""The `Date` of what is sent now (RFC 9110 section 6.6.1), written once a second."""

import time
from typing import Final

from sidecar.clock import Clock

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_line(seconds: float) -> bytes:
    """The field line for a Unix time, as an IMF-fixdate (RFC 9110 section 5.6.7), whatever the locale."""
    at = time.gmtime(seconds)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    text = f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    return b"Date: " + text.encode() + b"\r\n"


class Dates:
    """Knows the line of now. `wall`: Unix time."""

    __slots__ = ("_line", "_second", "_wall")

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        """The field line, its end included."""
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._line = date_line(second)
        return self._line
