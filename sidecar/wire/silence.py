"""A bound on silence, where bytes come without an end in sight: event streams and tunnels."""

from collections.abc import Callable

from sidecar.clock import Clock
from sidecar.wire.timers import Timers


class Silence:
    """Strikes once nothing has moved for `seconds`: nothing was heard, and nothing that waits to be read was taken.

    waiting: bytes that wait for whoever reads slowly. As long as they become fewer it is not silent, however long the
    other side must hold its tongue meanwhile. struck: called once, unless stopped before.

    Hearing something is only noting when: 0.1 of the time of setting a timer anew. The timer is set again when it
    strikes in vain. Looks at `waiting` only then, so that a reader that stalls is found out after one to two times
    `seconds`.
    """

    __slots__ = ("_clock", "_last", "_seconds", "_slot", "_struck", "_timers", "_waited", "_waiting")

    def __init__(
        self,
        timers: Timers,
        clock: Clock,
        seconds: float,
        *,
        waiting: Callable[[], int],
        struck: Callable[[], None],
    ) -> None:
        self._timers = timers
        self._clock = clock
        self._seconds = seconds
        self._waiting = waiting
        self._waited = 0
        self._struck = struck
        self._last = now = clock()
        self._slot = timers.add(self, now + seconds)

    def heard(self) -> None:
        """Something moved."""
        self._last = self._clock()

    def shorten(self, seconds: float) -> None:
        """From now on no more than `seconds`."""
        self.stop()
        self._seconds = min(seconds, self._seconds)
        self.heard()
        self._slot = self._timers.add(self, self._last + self._seconds)

    def stop(self) -> None:
        """It does not strike any more."""
        self._slot.discard(self)

    def expire(self) -> None:
        """Its time may have come."""
        waiting = self._waiting()
        if waiting != self._waited:
            self._waited = waiting
            self.heard()
        until = self._last + self._seconds
        if until > self._clock():
            self._slot = self._timers.add(self, until)
        else:
            self._struck()
