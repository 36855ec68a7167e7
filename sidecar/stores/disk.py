"""Last known good answers that outlive the process: memory in front, a file behind.

Requests only ever touch memory; a thread (`stores/writer.py`) reads the file once, at the start, and from then on
writes to it what was put. So the loop never waits for a disk, and a slow disk costs newness on disk, nothing else.

Everything in the file fits into memory (`max_bytes` bounds both), so it is read at the start rather than at each miss:
a rescue needs no I/O, and the request path no further state in which it waits.

Rules:
1. `_lock` is held for a few look-ups, never across I/O. Memory and what waits change only under it.
2. What waits is keys; their answers are looked up in memory when their turn comes. So the queue holds no answer that
   memory has given up, and of several puts under one key only the last is written.
3. What the file holds under a key is what memory holds, or something older that was put as well.
"""

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from sidecar.clock import Clock
from sidecar.policy.last_known_good import Stored
from sidecar.stores.memory import MemoryStore
from sidecar.stores.writer import RETRY, Batch, Writer

QUEUE: Final = 16_384
"""Keys that may wait to be written, a hundred bytes each."""
BATCH: Final = 64
"""Answers in one transaction."""
BATCH_BYTES: Final = 1024 * 1024
"""Bytes of bodies after which a transaction takes no more."""


class DiskStore:
    """Implements `policy.last_known_good.Store`, with a file in the directory `path`.

    max_bytes: of memory, and of the file's content. max_age: seconds after which no route would serve an answer; it is
    then removed from the file. wall: Unix time. clock: never stepping. retry: seconds between two tries to use a disk
    that failed.

    `open` before, `close` after; `get`, `put` and `forget` in between, from one thread.
    """

    def __init__(
        self, *, path: Path, max_bytes: int, max_age: float, wall: Clock, clock: Clock, retry: float = RETRY
    ) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._memory = MemoryStore(max_bytes)
        self._waiting: dict[bytes, None] = {}  # ordered: who waits longest is written first
        self._used: dict[bytes, None] = {}
        self._writer = Writer(
            self, path=path, max_bytes=max_bytes, max_age=max_age, wall=wall, clock=clock, retry=retry
        )
        self.dropped = 0
        """Writes that were given up because too many waited."""

    # What requests ask.

    def get(self, key: bytes) -> Stored | None:
        """The answer under the key, which thereby becomes the last to leave; None if there is none."""
        with self._lock:
            stored = self._memory.get(key)
            if stored is not None and len(self._used) < QUEUE:
                self._used[key] = None
        return stored

    def put(self, key: bytes, stored: Stored) -> None:
        """Keeps the answer, in place of an older one; it is written a moment later."""
        with self._lock:
            if self._memory.put(key, stored):
                self._wait(key)

    def forget(self, key: bytes) -> None:
        """Removes the answer under the key, from the file a moment later."""
        with self._lock:
            if self._memory.forget(key):
                self._wait(key)

    def _wait(self, key: bytes) -> None:
        if key in self._waiting or len(self._waiting) < QUEUE:
            self._waiting[key] = None
        else:
            self.dropped += 1

    # Its life.

    def open(self, within: float) -> bool:
        """Reads the file, for at most so many seconds. False: it is still being read, and answers go on coming in."""
        return self._writer.begin(within)

    def keep_for(self, max_age: float) -> None:
        """Seconds after which no route would serve an answer, from now on."""
        self._writer.max_age = max_age

    def close(self, within: float) -> None:
        """Writes what waits, as far as that many seconds allow."""
        self._writer.end(within)

    # What is told of it.

    def __len__(self) -> int:
        return len(self._memory)

    @property
    def bytes_used(self) -> int:
        """Of memory."""
        return self._memory.bytes_used

    @property
    def state(self) -> Literal["disk", "memory"]:
        """memory: what is put now would not outlive the process."""
        return "disk" if self._writer.has_file else "memory"

    @property
    def written(self) -> int:
        """Writes that reached the file."""
        return self._writer.written

    @property
    def failed(self) -> int:
        """Writes that failed; they are tried again."""
        return self._writer.failed

    # What the thread asks.

    def put_below(self, key: bytes, stored: Stored) -> bool:
        """Takes an answer of the file, as older than all that are here. False: memory is full."""
        with self._lock:
            return self._memory.put_below(key, stored)

    def take(self, but: set[bytes]) -> Batch:
        """What is to be written now: answers, and keys that have none any more. Not of the keys `but`."""
        kept: list[tuple[bytes, Stored]] = []
        gone: list[bytes] = []
        with self._lock:
            size = 0
            for key in list(islice(self._due(but), BATCH)):
                if size >= BATCH_BYTES:
                    break
                del self._waiting[key]
                stored = self._memory.peek(key)
                if stored is None:
                    gone.append(key)
                else:
                    kept.append((key, stored))
                    size += len(stored.body)
        return Batch(kept, gone)

    def _due(self, but: set[bytes]) -> Iterator[bytes]:
        # What was forgotten is not held back as what was put again is: it goes at once.
        return (key for key in self._waiting if key not in but or self._memory.peek(key) is None)

    def take_used(self) -> list[bytes]:
        """Keys asked for since the last call."""
        with self._lock:
            used, self._used = self._used, {}
        return list(used)

    def write_again(self, keys: Iterable[bytes] | None = None) -> None:
        """What could not be written waits once more; without `keys`, all there is, for a file that begins empty."""
        with self._lock:
            for key in self._memory.keys() if keys is None else keys:
                self._wait(key)
