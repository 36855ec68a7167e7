"""Whole lines to a file, a pipe or a terminal, without ever waiting for whoever reads them.

Logs go to standard output, often a pipe into a collector that may stall or die. A proxy that waits for it
stops serving. So lines are kept in a bounded buffer, written in batches, and counted as dropped when there
is no room.

What keeps a write from blocking depends on what the descriptor is:

- Pipe or terminal: opened anew through /proc/self/fd with O_NONBLOCK. The flag belongs to the open file
  description, which inherited descriptors share: set on descriptor 1 itself it would change the user's
  shell and every sibling that writes to the same terminal. The new description is ours alone.
- Whatever cannot be opened that way (a pipe made by another user, a socket of systemd's journal): asked
  with poll first, then given at most PIPE_BUF bytes, which a pipe that polls writable takes at once
  (pipe(7)). More calls, and a second writer to the same pipe can still take the room in between.
- Regular file: written as it is. There is no way to ask a disk.
"""

import os
import select
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

BATCH: Final = 64 * 1024
"""Bytes that are written at once, without waiting for the next flush."""
LIMIT: Final = 1024 * 1024
"""Bytes kept for a reader that stalls: about four thousand lines."""

_Write = Callable[[bytearray], int]
"""Writes what is taken of a buffer; raises BlockingIOError where that is nothing."""

_NEWLINE: Final = 0x0A
_FLAGS: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_LAST_CALLS: Final = 4
_LAST_WAIT_MS: Final = 50


class Sink:
    """A bounded buffer of lines before a descriptor.

    target: a path, or the number of an inherited descriptor (1 is standard output).
    Raises OSError when it cannot be opened, or opened again; writing never raises.
    """

    __slots__ = (
        "_descriptor",
        "_limit",
        "_stalled",
        "_target",
        "_torn",
        "_write",
        "buffer",
        "dropped",
        "failure",
        "full",
    )

    def __init__(self, target: str | int, *, batch: int = BATCH, limit: int = LIMIT) -> None:
        self._target = target
        self._limit = limit
        self.full = min(batch, limit)
        """A buffer longer than this wants `make_room`."""
        self.buffer = bytearray()
        """What waits to be written. Always the same object, so that a hot writer can hold it."""
        self._stalled = False
        self._torn = False  # the last byte written was not the end of a line
        self._descriptor, self._write = _open(target)
        self.dropped = 0
        self.failure = ""
        """Why the last write failed; empty since one succeeded."""

    def write(self, line: bytes) -> None:
        """Takes one line, its newline included. It is written at the next flush, or when a batch is full."""
        self.buffer += line
        if len(self.buffer) > self.full:
            self.make_room(len(line))

    def make_room(self, size: int) -> None:
        """Follows a write beyond `full`, of a line of that size: takes the line back, or flushes."""
        if len(self.buffer) > self._limit:
            del self.buffer[-size:]
            self.dropped += 1
        if not self._stalled:  # else the next flush asks again: not every line, each with a system call
            self.flush()

    def flush(self) -> None:
        """Writes what is buffered, as far as it is taken; the rest waits for the next flush."""
        buffer = self.buffer
        if not buffer:
            return
        try:
            self._took(self._write(buffer))
        except BlockingIOError:
            self.failure = "nobody reads it"
        except OSError as error:
            self._lose(error.strerror or type(error).__name__)
        self._stalled = bool(buffer)

    def reopen(self) -> None:
        """Opens the path anew, for log rotation. An inherited descriptor stays as it is."""
        if isinstance(self._target, int):
            return
        descriptor, write = _open(self._target)  # first: if this raises, the old file goes on
        self.flush()
        self._lose_torn_line()
        os.close(self._descriptor)
        self._descriptor, self._write = descriptor, write

    def close(self) -> None:
        """Writes what it can, waiting a fifth of a second at most, and closes. The rest counts as dropped."""
        if self._descriptor < 0:
            return
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        for _ in range(_LAST_CALLS):
            self.flush()
            if not self.buffer:
                break
            ready.poll(_LAST_WAIT_MS)
        if self.buffer:
            self._lose(self.failure)
        os.close(self._descriptor)
        self._descriptor = -1
        self._write = partial(os.write, -1)  # a late line is dropped, not sent to a stranger

    def _took(self, taken: int) -> None:
        self._torn = self.buffer[taken - 1] != _NEWLINE
        del self.buffer[:taken]
        self.failure = ""

    def _lose(self, why: str) -> None:
        # The newline that is all there is left of a torn line stays: it ends that line before the next.
        ends_torn_line = self._torn and self.buffer.startswith(b"\n")
        self.dropped += self.buffer.count(b"\n") - ends_torn_line
        self.buffer[:] = b"\n" if self._torn else b""
        self.failure = why

    def _lose_torn_line(self) -> None:
        if self._torn:
            rest = self.buffer.index(b"\n")
            self.dropped += rest > 0
            del self.buffer[: rest + 1]
            self._torn = False


def _open(target: str | int) -> tuple[int, _Write]:
    if isinstance(target, str):
        descriptor = os.open(target, _FLAGS | os.O_APPEND | os.O_CREAT, 0o640)
        return descriptor, partial(os.write, descriptor)
    kind = os.fstat(target).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        try:
            descriptor = os.open(f"/proc/self/fd/{target}", _FLAGS)
        except OSError:
            pass  # made by another user, or no /proc here
        else:
            return descriptor, partial(os.write, descriptor)
    descriptor = os.dup(target)
    return descriptor, partial(os.write if stat.S_ISREG(kind) else _ask_first, descriptor)


def _ask_first(descriptor: int, buffer: bytearray) -> int:
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    taken = 0
    while taken < len(buffer) and ready.poll(0):
        try:
            taken += os.write(descriptor, buffer[taken : taken + select.PIPE_BUF])
        except OSError:
            if taken:
                break  # what was taken is taken; the next flush meets the error again
            raise
    if not taken:
        raise BlockingIOError
    return taken
