"""The file behind the disk store: SQLite in WAL mode, used by one thread.

Every change is a transaction: a process killed at any moment leaves it done or not begun. `synchronous=NORMAL`: a
power cut may lose the newest transactions, never the file. Two processes may have it open, as in a rolling restart;
each waits up to `BUSY` for the other's transaction.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

from sidecar.policy.last_known_good import Stored
from sidecar.stores.memory import weigh
from sidecar.stores.record import Row, from_row, to_row

NAME: Final = "last-known-good.sqlite3"
VERSION: Final = 1
"""Of the tables; stands in the file. A file of any other is set aside, not guessed at."""
BUSY: Final = 2.0
"""Seconds to wait for another process's transaction."""
SET_ASIDE: Final = 2
"""Damaged files that are kept for whoever wants to know why."""

_SCHEMA: Final = """
CREATE TABLE kept (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    stored_at REAL NOT NULL,
    used_at REAL NOT NULL,
    weight INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX by_use ON kept (used_at, weight);
CREATE INDEX by_age ON kept (stored_at);
"""
_WRITE: Final = """
INSERT INTO kept (key, stored_at, used_at, weight, checksum, head, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET stored_at = excluded.stored_at, used_at = excluded.used_at, weight = excluded.weight,
    checksum = excluded.checksum, head = excluded.head, body = excluded.body
"""
# No join and no sorting of bodies: the index gives the order, each body is fetched when its turn comes.
_READ: Final = "SELECT key, head, body, checksum FROM kept INDEXED BY by_use ORDER BY used_at DESC, weight DESC"


class Damaged(Exception):
    """The file is no database of ours. The message says in what way."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, as against a disk that is full, read-only or gone."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # SQLITE_ERROR: our statements never change, so what is wrong is the tables.
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class Database:
    """The open file in `directory`, which is made if it is missing: 0700, its files 0600.

    Raises:
        Damaged: from any method: set it aside, begin a new one.
        OSError, sqlite3.Error: from any method: it cannot be used now, perhaps later.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made before SQLite does, which gives its other files the same mode: what people ask is nobody else's business.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._inode = self.path.stat().st_ino
        self._connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
        with self._guarded(close=True):
            self._prepare()
            self.weight = self._sum()

    def read(self) -> Iterator[tuple[bytes, Stored | None]]:
        """Every key with its answer, None where it is not what was written. The last used come first."""
        with self._guarded():
            for row in map(Row._make, self._connection.execute(_READ)):
                yield row.key, from_row(row)

    def write(
        self, answers: Iterable[tuple[bytes, Stored]], gone: Iterable[bytes], used: Iterable[bytes], now: float
    ) -> None:
        """Writes answers, removes those that are gone, and notes use: all of it or nothing."""
        with self._transaction() as connection:
            for key, stored in answers:
                row, weight = to_row(key, stored), weigh(key, stored)
                connection.execute(_WRITE, (key, stored.stored_at, now, weight, row.checksum, row.head, row.body))
                self.weight += weight  # at least: the row that it replaces is counted as well, until the next `trim`
            connection.executemany("DELETE FROM kept WHERE key = ?", ((key,) for key in gone))
            connection.executemany("UPDATE kept SET used_at = ? WHERE key = ?", ((now, key) for key in used))

    def expire(self, oldest: float, newest: float) -> None:
        """Removes what was stored before `oldest`, or after `newest`: by a clock that was wrong."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM kept WHERE stored_at < ? OR stored_at > ?", (oldest, newest))

    def trim(self, max_bytes: int) -> None:
        """Removes the least recently used until the rest weigh at most `max_bytes`; looks only if they may weigh more.

        Then a little more, so that a full store is not looked through after every write.
        """
        if self.weight <= max_bytes:
            return
        self.weight = self._sum()
        if self.weight <= max_bytes:
            return
        with self._transaction() as connection:
            excess = self.weight - max_bytes * 15 // 16
            doomed = []
            for number, weight in connection.execute("SELECT id, weight FROM kept ORDER BY used_at, weight"):
                if excess <= 0:
                    break
                doomed.append((number,))
                excess -= weight
            connection.executemany("DELETE FROM kept WHERE id = ?", doomed)
        self.weight = self._sum()

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file: somebody may have removed or replaced it."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Moves what is in the log into the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA cache_size = -1024")  # KiB: everything is read once, at the start
        self._connection.execute("PRAGMA journal_size_limit = 4194304")
        self._connection.execute("PRAGMA secure_delete = FAST")
        with self._transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and not tables:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise Damaged(f"tables of version {version}, not {VERSION}")

    def _sum(self) -> int:
        with self._guarded():
            (total,) = self._connection.execute("SELECT coalesce(sum(weight), 0) FROM kept").fetchone()
        return int(total)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _guarded(self, *, close: bool = False) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if close:
                self.close()
            if is_damage(error):
                raise Damaged(str(error)) from error
            raise
        except BaseException:
            if close:
                self.close()
            raise


class Frozen:
    """A file on a disk that takes no more writes: still good to read from. Raises as `Database` does."""

    def __init__(self, directory: Path) -> None:
        path = directory / NAME
        path.stat()
        # Without `immutable` SQLite would want to write its shared memory beside it. What the last process left in the
        # log is not read then; what a half-done checkpoint left is caught by the checksums.
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    def read(self) -> Iterator[tuple[bytes, Stored | None]]:
        """See `Database.read`."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            for row in map(Row._make, self._connection.execute(_READ)):
                yield row.key, from_row(row)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()


def set_aside(directory: Path, now: float) -> Path:
    """Renames the file so that a new one can be begun, and removes all but the newest of earlier ones.

    Raises OSError.
    """
    path = directory / NAME
    names = (directory / f"{NAME}.corrupt-{second}" for second in count(int(now)))
    aside = next(name for name in names if not name.exists())
    # The log first: a new file must never be taken for the one that the old log belongs to.
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.rename(aside)
    earlier = sorted(directory.glob(f"{NAME}.corrupt-*"), key=lambda each: (each.stat().st_mtime_ns, each.name))
    for each in earlier[:-SET_ASIDE]:
        if each != aside:
            each.unlink(missing_ok=True)
    return aside
