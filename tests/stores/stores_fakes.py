"""A disk store in virtual time, without its thread: a test says when it writes."""

from pathlib import Path
from typing import ClassVar

from sidecar.policy.last_known_good import Stored
from sidecar.stores.disk import DiskStore
from sidecar.stores.writer import Writer

NOW = 1_700_000_000.0
KEYS = [bytes([letter]) * 32 for letter in b"abcdef"]


class HandClock:
    """Advances when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def answer(body: bytes = b"on", stored_at: float = NOW) -> Stored:
    """A kept answer."""
    return Stored(200, ((b"Content-Type", b"text/plain"), (b"X", body[:8])), body, stored_at)


class World:
    """A directory, clocks, and one store after another. `tests/stores/conftest.py` closes the last one."""

    made: ClassVar[list["World"]] = []

    def __init__(self, path: Path, *, max_bytes: int = 1_000_000, max_age: float = 3600.0) -> None:
        self.path = path
        self.clock, self.wall = HandClock(), HandClock(NOW)
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.store = self.restarted()
        World.made.append(self)

    @property
    def writer(self) -> Writer:
        """The thread's work."""
        return self.store._writer

    def restarted(self) -> DiskStore:
        """A new process that has read the file."""
        self.store = DiskStore(
            path=self.path, max_bytes=self.max_bytes, max_age=self.max_age, wall=self.wall, clock=self.clock
        )
        self.writer.load()
        return self.store

    def crash(self) -> DiskStore:
        """The process is gone, what it had not written with it; another begins."""
        self.writer._let_go()
        return self.restarted()

    def end(self) -> DiskStore:
        """The process ends in order; another begins."""
        self.writer.finish()
        return self.restarted()

    def later(self, seconds: float) -> None:
        """Time passes, then a round of the writer."""
        self.clock.now += seconds
        self.wall.now += seconds
        self.writer.round()
