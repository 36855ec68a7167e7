"""What happened, newest last: the one place where the dashboard, the notifications and the timeline hear of it.

Only what people want to be told goes in: a breaker that moved, an endpoint ejected or back, a configuration taken or
rejected, something changed by hand. Requests are counted, not listed. Bounded: the oldest entries go first.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.clock import WALL, Clock

SIZE: Final = 500
"""Entries that are kept."""

_log = logging.getLogger("sidecar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact.

    number: rises by one with each. at: Unix time. kind: breaker, endpoint, config, action, drain. subject: the route
    or upstream it is about, "" for the process. text: one sentence. fields: the same for programs; names and numbers
    of ours, nothing that a caller or an upstream sent.
    """

    number: int
    at: float
    kind: str
    subject: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Entry], None]


class Journal:
    """Of one process. Called on the loop."""

    def __init__(self, wall: Clock = WALL, size: int = SIZE) -> None:
        self._wall = wall
        self._entries: deque[Entry] = deque(maxlen=size)
        self._listeners: list[Listener] = []
        self._number = 0

    def add(self, kind: str, subject: str, text: str, **fields: Any) -> Entry:
        """Takes it down and tells every listener. One that raises is logged, and harms neither the others nor us."""
        self._number += 1
        entry = Entry(number=self._number, at=self._wall(), kind=kind, subject=subject, text=text, fields=fields)
        self._entries.append(entry)
        for listener in tuple(self._listeners):
            try:
                listener(entry)
            except Exception:  # noqa: BLE001 - whoever listens must not break what it hears of
                _log.exception("a listener of the journal failed")
        return entry

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls it with every entry from now on; what is returned ends that, and may be called twice."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def since(self, number: int = 0) -> Iterator[Entry]:
        """What is kept of the entries after that number, oldest first."""
        return (entry for entry in tuple(self._entries) if entry.number > number)
