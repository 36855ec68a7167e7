"""Time as an argument: the only module that names a real clock."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds, as a float. Which zero they count from depends on the clock."""

MONOTONIC: Clock = time.monotonic  # noqa: TID251 - the one place where the real one is named
"""Never steps. Every duration and deadline is measured on it. (uvloop's own clock has whole milliseconds.)"""

WALL: Clock = time.time  # noqa: TID251 - the same
"""Unix time. For what people and other processes read: logs, `Age` across a restart, HTTP-dates."""
