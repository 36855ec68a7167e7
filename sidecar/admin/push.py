"""What is pushed to those who watch: the status once a second, and each entry of the journal at once.

The document is made and encoded once per tick, however many watch, and not at all while nobody does. Nothing queues up
for anybody: a watcher has one newest status and the number of the last entry it was given. Who reads slowly misses
what was superseded meanwhile, and costs no memory.
"""

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from sidecar.admin.entries import Entry, Journal, shown
from sidecar.tasks import spawn

EVERY: Final = 1.0
"""Seconds between two pushes."""
AT_ONCE: Final = 0.05
"""Seconds after an entry of the journal; what follows in that time goes with it."""
HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment says that somebody is still there."""
LIMIT: Final = 50
"""Streams at once."""

_COMMENT: Final = b":\n\n"

Steps = Callable[[], Generator[None, None, Mapping[str, Any]]]
"""Begins to make a document, and returns it in the end."""


class Watcher:
    """One stream's place. `seen`: the last entry that it was given."""

    __slots__ = ("_awake", "_journal", "_newest", "closed", "seen")

    def __init__(self, journal: Journal, seen: int, newest: bytes) -> None:
        self._journal = journal
        self._newest = newest
        self._awake = asyncio.Event()
        if newest or any(True for _ in journal.since(seen)):
            self._awake.set()
        self.seen = seen
        self.closed = False
        """The port is closing: nothing more will come."""

    async def next(self) -> bytes:
        """What to send next: entries, the newest status, or a comment if nothing came for long; b"" at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT):
                await self._awake.wait()
        except TimeoutError:
            return _COMMENT
        self._awake.clear()
        if self.closed:
            return b""
        pieces = []
        for entry in self._journal.since(self.seen):
            self.seen = entry.number
            pieces.append(_event("journal", shown(entry), entry.number))
        status, self._newest = self._newest, b""
        return b"".join([*pieces, status])

    def wake(self, status: bytes = b"") -> None:
        """There is something: a status, in place of one that was not taken yet, or an entry."""
        self._newest = status or self._newest
        self._awake.set()

    def close(self) -> None:
        """Ends it."""
        self.closed = True
        self._awake.set()


class Push:
    """To all who watch. Called on the loop.

    steps: makes the document of `/status`, a piece at a time: between two of them calls are served.
    """

    def __init__(self, steps: Steps, journal: Journal) -> None:
        self._steps = steps
        self._journal = journal
        self._watchers: set[Watcher] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._making = False
        self._hurried = False
        self._newest = b""
        self._unlisten: Callable[[], None] | None = None

    @property
    def full(self) -> bool:
        """Whether no more may join."""
        return len(self._watchers) >= LIMIT

    @contextmanager
    def watching(self, last_id: str) -> Iterator[Watcher]:
        """A place from now on, with a status at once. `last_id`: the number of the last entry that came before; ""."""
        numbers = [entry.number for entry in self._journal.since()]
        newest = numbers[-1] if numbers else 0
        seen = int(last_id) if last_id.isascii() and last_id.isdigit() and len(last_id) < 16 else newest
        watcher = Watcher(self._journal, min(seen, newest), self._newest)  # a greater one is an earlier process's
        self._watchers.add(watcher)
        if self._unlisten is None:
            self._unlisten = self._journal.listen(self._hurry)
            self._schedule(0.0)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._rest()

    def close(self) -> None:
        """Ends every stream."""
        for watcher in self._watchers:
            watcher.close()
        self._rest()

    def _rest(self) -> None:
        self._newest = b""
        if self._timer is not None:
            self._timer.cancel()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _hurry(self, _: Entry) -> None:
        if self._making or self._hurried:
            self._hurried = True  # what is being made may be of before: another follows
            return
        self._hurried = True
        self._schedule(AT_ONCE)

    def _tick(self) -> None:
        if self._making:
            return  # for those who were there before; it is pushed to all, and schedules the next
        self._making = True
        spawn(self._push(), name="status push")

    async def _push(self) -> None:
        self._hurried = False
        try:
            status = _event("status", await self._made())
        finally:
            self._making = False
            if self._unlisten is not None:
                self._schedule(AT_ONCE if self._hurried else EVERY)
        if self._unlisten is not None:
            self._newest = status
        for watcher in self._watchers:
            watcher.wake(status)

    async def _made(self) -> Mapping[str, Any]:
        steps = self._steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made: Mapping[str, Any] = end.value
                return made
            await asyncio.sleep(0)


def at_once(status: Callable[[], Mapping[str, Any]]) -> Steps:
    """What makes a document in one go, as `Push` takes it."""

    def steps() -> Generator[None, None, Mapping[str, Any]]:
        yield
        return status()

    return steps


def _event(name: str, document: Mapping[str, Any], number: int = 0) -> bytes:
    identity = b"id: %d\n" % number if number else b""
    return b"%bevent: %b\ndata: %b\n\n" % (identity, name.encode(), msgspec.json.encode(document))
