"""What is going on, how long it will still take: one rewritten line on a terminal, plain lines elsewhere."""

import sys
from typing import TextIO

from sidecar.clock import MONOTONIC


class Progress:
    """Counts parts of about equal length against `parts`."""

    def __init__(self, parts: int, expected: float, stream: TextIO = sys.stderr) -> None:
        self._parts = parts
        self._done = 0
        self._began = MONOTONIC()
        self._expected = expected
        self._stream = stream
        self._terminal = stream.isatty()
        self._text = ""

    def begin(self, text: str) -> None:
        """A part begins; off a terminal that is a line."""
        left = self._left()
        self._text = f"{text} ({left // 60:.0f}:{left % 60:02.0f} left)"
        if not self._terminal:
            print(self._text, file=self._stream, flush=True)

    def step(self, text: str) -> None:
        """What the part is doing now; only a terminal shows it."""
        if self._terminal:
            print(f"\r\033[K{self._text}  {text}", end="", file=self._stream, flush=True)

    def end(self) -> None:
        """The part is done."""
        self._done += 1

    def clear(self) -> None:
        """Before anything else is printed."""
        if self._terminal:
            print("\r\033[K", end="", file=self._stream, flush=True)

    def note(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def _left(self) -> float:
        """Seconds, from what the parts took so far; before the first, from what was expected."""
        if not self._done:
            return self._expected
        return (MONOTONIC() - self._began) / self._done * (self._parts - self._done)
