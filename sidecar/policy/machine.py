"""pybreaker, loaded lean and behind our own storage: it holds each breaker's state, counters and listeners.

Only its public interface is used, and never `call`: that one holds a lock while the call runs, admits
everyone in half-open and reads the wall clock. `sidecar.policy.breaker` decides who may ask and when a
state ends.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Makes modules look uninstalled for a while; afterwards `sys.modules` is as it was."""
    modules: dict[str, Any] = sys.modules  # None in place of a module is what makes its import fail
    kept = {name: modules[name] for name in names if name in modules}
    modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del modules[name]
        modules.update(kept)


# pybreaker imports both where they are installed and uses neither here: 80 ms and 9 MB for redis alone.
with _absent("tornado", "redis"):
    import pybreaker

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half_open"

_WORDS: Final = {
    pybreaker.STATE_CLOSED: CLOSED,
    pybreaker.STATE_OPEN: OPEN,
    pybreaker.STATE_HALF_OPEN: HALF_OPEN,
}
_NAMES: Final = {word: name for name, word in _WORDS.items()}

OnChange = Callable[[str, str, float], None]
"""Told the old state, the new one, and for how many seconds the breaker stays open: 0 if it does not open."""


class Storage(pybreaker.CircuitBreakerStorage):
    """What a breaker must remember, in plain attributes: pybreaker's own storage hides them in properties."""

    counter: int = 0
    """Failures in a row."""
    success_counter: int = 0
    """Probes that came back well in this half-open round."""
    state: str = pybreaker.STATE_CLOSED
    opened_at: datetime | None = None
    """Wall time, as pybreaker writes it. Nothing is decided by it."""
    open_for: float = 0.0
    """Seconds the present (or last) opening lasts."""

    def __init__(self) -> None:
        super().__init__("sidecar")

    def increment_counter(self) -> None:
        """One more failure in a row."""
        self.counter += 1

    def reset_counter(self) -> None:
        """The row ended."""
        self.counter = 0

    def increment_success_counter(self) -> None:
        """One more good probe."""
        self.success_counter += 1

    def reset_success_counter(self) -> None:
        """A new round."""
        self.success_counter = 0


class _Announcer(pybreaker.CircuitBreakerListener):
    """Turns pybreaker's event into ours. An exception of the callback would abort pybreaker's transition."""

    def __init__(self, storage: Storage, on_change: OnChange) -> None:
        self._storage = storage
        self.on_change = on_change

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:  # noqa: ARG002 - pybreaker's signature
        old, new = _WORDS[old_state.name], _WORDS[new_state.name]
        with suppress(Exception):
            self.on_change(old, new, self._storage.open_for if new == OPEN else 0.0)


class Machine:
    """A state holder that moves where it is told to, and tells its listener."""

    __slots__ = ("_announcer", "_breaker", "_moves", "storage")

    def __init__(self, *, fail_max: int, reset_timeout: float, success_threshold: int, on_change: OnChange) -> None:
        self.storage = Storage()
        self._announcer = _Announcer(self.storage, on_change)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=fail_max,
            reset_timeout=reset_timeout,
            success_threshold=success_threshold,
            state_storage=self.storage,
            listeners=[self._announcer],
        )
        self._moves: dict[str, Callable[[], object]] = {
            CLOSED: self._breaker.close,
            OPEN: self._breaker.open,
            HALF_OPEN: self._breaker.half_open,
        }

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        return _WORDS[self.storage.state]

    def report_to(self, on_change: OnChange) -> None:
        """Another listener, in place of the one before."""
        self._announcer.on_change = on_change

    def move(self, state: str) -> None:
        """Enters `state`. pybreaker resets the counters that belong to it.

        pybreaker tells its listeners first and stores the state last; here it is stored already, so that one
        who asks back sees the new one.
        """
        self.storage.state = _NAMES[state]
        self._moves[state]()
