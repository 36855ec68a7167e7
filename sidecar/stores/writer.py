"""The thread behind the disk store: the only one that touches the file.

Whatever goes wrong with the file costs the file, never an answer. A damaged one is set aside and a new one begun; a
disk that is full, read-only or away is left alone for a while, then tried again. Each is one line in the log.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sidecar.clock import Clock
from sidecar.policy.last_known_good import Stored
from sidecar.stores.database import Damaged, Database, Frozen, set_aside

if TYPE_CHECKING:
    from sidecar.stores.disk import DiskStore

ROUND: Final = 0.2
"""Seconds between two looks at what is to be written."""
REWRITE: Final = 5.0
"""Seconds in which a key is written once, however often it is put: a busy route would wear the disk for nothing."""
TIDY: Final = 60.0
"""Seconds between two looks at what is too old, and at what was used last."""
RETRY: Final = 10.0
"""Seconds between two tries to use a disk that failed."""
SKEW: Final = 300.0
"""Seconds by which the clock of whoever stored an answer may have been ahead of ours."""

_log = logging.getLogger("sidecar")


class Batch(NamedTuple):
    """One transaction's worth. gone: keys that have no answer any more."""

    kept: list[tuple[bytes, Stored]]
    gone: list[bytes]

    @property
    def keys(self) -> list[bytes]:
        """Of both."""
        return [*(key for key, _ in self.kept), *self.gone]


class Writer:
    """Reads the file into `store`, then writes what waits there. See `DiskStore` for the arguments."""

    def __init__(
        self, store: "DiskStore", *, path: Path, max_bytes: int, max_age: float, wall: Clock, clock: Clock, retry: float
    ) -> None:
        self._store = store
        self._path = path
        self._max_bytes = max_bytes
        self.max_age = max_age
        self._wall = wall
        self._clock = clock
        self._retry = retry
        self._database: Database | None = None
        self._lately: set[bytes] = set()
        self._rewrite_at = self._tidy_at = self._retry_at = self._anew_at = 0.0
        self._ends_at = float("inf")
        self._trouble = ""
        self._loaded = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="last-known-good", daemon=True)
        self.written = self.failed = 0

    @property
    def has_file(self) -> bool:
        """Whether there is one that could be used when it was last tried."""
        return self._database is not None

    def begin(self, within: float) -> bool:
        """Starts; True if the file was read within that many seconds."""
        self._thread.start()
        return self._loaded.wait(within)

    def end(self, within: float) -> None:
        """Writes what waits, as far as that many seconds allow, and ends."""
        self._ends_at = self._clock() + within
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(within)

    # The thread.

    def _run(self) -> None:
        self.load()
        self._loaded.set()
        while not self._ending.wait(ROUND):
            self.round()
        self.finish()

    def load(self) -> None:
        """Reads the file; one that is missing is made."""
        self._guarded(self._load)

    def round(self) -> None:
        """Writes what waits, but for keys that were written lately. Now and then tidies up."""
        self._guarded(self._round)

    def finish(self) -> None:
        """Writes all that waits, as far as the time allows, and lets go of the file."""
        self._guarded(self._last_round)
        self._let_go()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Damaged as error:
            self._begin_anew(str(error))
        except (OSError, sqlite3.Error) as error:
            self._lose(_said(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the writing for good, and unseen
            self._lose(type(error).__name__)

    def _load(self) -> None:
        now = self._wall()
        try:
            database = self._database = Database(self._path)
            damaged = self._adopt(database.read(), now)
        except (OSError, sqlite3.Error):
            self._adopt(self._frozen(), now)
            raise
        if damaged:
            database.write((), damaged, (), now)
            _log.warning("last known good: %d damaged answers removed from %s", len(damaged), self._path)
        self._tidy(database)

    def _adopt(self, answers: Iterable[tuple[bytes, Stored | None]], now: float) -> list[bytes]:
        """Takes answers of the file into memory until it is full. Returns the keys of damaged ones."""
        damaged = []
        for key, stored in answers:
            if stored is None:
                damaged.append(key)
            elif now - self.max_age <= stored.stored_at <= now + SKEW and not self._store.put_below(key, stored):
                break
        return damaged

    def _frozen(self) -> Iterator[tuple[bytes, Stored | None]]:
        """What can be read of a file that can't be written; nothing if that fails, too."""
        try:
            frozen = Frozen(self._path)
        except (OSError, sqlite3.Error):
            return
        try:
            yield from frozen.read()
        except sqlite3.Error:
            return
        finally:
            frozen.close()

    def _round(self) -> None:
        now = self._clock()
        database = self._database
        if database is None:
            if now < self._retry_at:
                return
            database = self._database = Database(self._path)
        elif not database.is_in_place():
            self._let_go()
            database = self._database = Database(self._path)
            self._lately.clear()
            self._store.write_again()
        if now >= self._rewrite_at:
            self._rewrite_at = now + REWRITE
            self._lately.clear()
        while not self._ending.is_set() and self._write_batch(database):
            pass
        if now >= self._tidy_at:
            self._tidy(database)

    def _last_round(self) -> None:
        database = self._database = self._database or Database(self._path)
        self._lately.clear()
        while self._clock() < self._ends_at and self._write_batch(database):
            pass
        database.write((), (), self._store.take_used(), self._wall())

    def _write_batch(self, database: Database) -> bool:
        """One transaction. False: nothing is left that may be written now."""
        batch = self._store.take(self._lately)
        keys = batch.keys
        if not keys:
            return False
        try:
            database.write(batch.kept, batch.gone, (), self._wall())
        except BaseException:
            self.failed += len(keys)
            self._store.write_again(keys)
            raise
        self.written += len(keys)
        self._lately.update(keys)
        if self._trouble:
            _log.info("last known good: %s is written to again", self._path)
            self._trouble = ""
        database.trim(self._max_bytes)
        return True

    def _tidy(self, database: Database) -> None:
        self._tidy_at = self._clock() + TIDY
        now = self._wall()
        if used := self._store.take_used():
            database.write((), (), used, now)
        database.expire(now - self.max_age, now + SKEW)
        database.trim(self._max_bytes)

    # When the file fails.

    def _begin_anew(self, why: str) -> None:
        self._let_go()
        now = self._clock()
        if now < self._anew_at:  # a disk that damages whatever is put on it
            self._lose(why)
            return
        self._anew_at = now + self._retry
        try:
            aside = set_aside(self._path, self._wall())
            self._database = Database(self._path)
        except (OSError, sqlite3.Error, Damaged) as error:
            self._lose(f"{why}; setting it aside: {_said(error)}")
            return
        self._lately.clear()
        self._store.write_again()
        _log.error("last known good: %s was damaged (%s): set aside as %s", self._path, why, aside.name)

    def _lose(self, why: str) -> None:
        self._let_go()
        self._retry_at = self._clock() + self._retry
        if not self._trouble:
            _log.warning(
                "last known good: %s can't be used (%s): memory only, trying again every %g s",
                self._path,
                why,
                self._retry,
            )
        self._trouble = why

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _said(error: Exception) -> str:
    """One phrase, without the path: the line names it already."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
