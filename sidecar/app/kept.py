"""Where last known good answers are kept, as `state.last_known_good` says, from the start of the process to its end."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar import config
from sidecar.clock import MONOTONIC, WALL
from sidecar.stores.memory import MemoryStore

if TYPE_CHECKING:
    from sidecar.stores.disk import DiskStore

READ_WITHIN: Final = 5.0
"""Seconds that a start waits for the file: long for a disk that works, short for an application that waits for us."""
WRITE_WITHIN: Final = 2.0
"""Seconds that an end gives to what is not written yet."""

_log = logging.getLogger("sidecar")


class Kept:
    """The store, and what must be done with it before and after. `disk` is None where memory is all there is."""

    def __init__(self, loaded: config.Config) -> None:
        asked = loaded.state.last_known_good
        self.disk = _disk(loaded) if asked.store == "disk" else None
        self.store: MemoryStore | DiskStore = MemoryStore(asked.max_bytes) if self.disk is None else self.disk

    async def open(self) -> None:
        """Reads what an earlier process kept. Before the listeners bind: in an outage it is needed at once."""
        if self.disk is not None and not await asyncio.to_thread(self.disk.open, READ_WITHIN):
            _log.warning("last known good: not all read within %g s; serving meanwhile", READ_WITHIN)

    def follow(self, loaded: config.Config) -> None:
        """Other routes may serve older answers. The store itself stays as it was opened."""
        if self.disk is not None:
            self.disk.keep_for(_oldest(loaded))

    async def close(self) -> None:
        """Writes what is not written yet."""
        if self.disk is not None:
            await asyncio.to_thread(self.disk.close, WRITE_WITHIN)


def _disk(loaded: config.Config) -> "DiskStore":
    from sidecar.stores.disk import DiskStore  # noqa: PLC0415 - SQLite costs 0.9 MB, and most configurations need none

    asked = loaded.state.last_known_good
    return DiskStore(
        path=Path(asked.path), max_bytes=asked.max_bytes, max_age=_oldest(loaded), wall=WALL, clock=MONOTONIC
    )


def _oldest(loaded: config.Config) -> float:
    """The age beyond which no route serves an answer; 0 if none serves any."""
    rungs = (rung.last_known_good for route in loaded.routes for rung in route.fallback)
    return max((rung.max_age for rung in rungs if rung is not None), default=0.0)
