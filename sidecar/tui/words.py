"""Numbers as people read them, in few columns."""

from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "-"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def rate(value: float | None) -> str:
    """Per second: 3.2, 512, 12k. At most 5 columns."""
    if value is None:
        return UNKNOWN
    if value >= 9_999.5:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 9.95 or value == 0.0 else f"{value:.1f}"


def share(value: float | None) -> str:
    """0%, 0.4%, 12%. At most 5 columns."""
    if value is None:
        return UNKNOWN
    percent = value * 100
    return f"{percent:.0f}%" if percent == 0.0 or percent >= 9.95 else f"{percent:.1f}%"


def seconds(value: float | None) -> str:
    """A latency: 0.4 ms, 12 ms, 1.2 s. At most 7 columns."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.00995 else f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 99.95 else f"{value:.0f} s"


def duration(value: float | None) -> str:
    """How long something has lasted: 5 s, 12 min, 3 h, 2 d. At most 6 columns for ten years."""
    if value is None:
        return UNKNOWN
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if value >= size:
            return f"{value // size:.0f} {unit}"
    return f"{max(0.0, value):.0f} s"


def count(value: float | None) -> str:
    """1,234,567."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def clock(unix: float | None) -> str:
    """12:00:05 UTC, as the logs have it."""
    if unix is None:
        return UNKNOWN
    try:
        return f"{datetime.fromtimestamp(unix, UTC):%H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
