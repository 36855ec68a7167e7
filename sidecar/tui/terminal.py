"""The terminal taken over for a while, and given back as it was, whatever ends us."""

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Self

# Alternate screen, no cursor; and back.
_ENTER: Final = b"\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"
_FALLBACK: Final = os.terminal_size((80, 24))


class Terminal:
    """Keys come one by one and unechoed, lines go to places on a screen of their own.

    Ctrl-C and Ctrl-Z stay signals: they work when nothing else does.
    """

    def __init__(self, keyboard: int, screen: int) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._before: list[Any] = []
        self._shown: list[str] = []
        self._size = _FALLBACK

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._keyboard)
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def take(self) -> None:
        """Ours from now on."""
        tty.setcbreak(self._keyboard, termios.TCSADRAIN)
        self._write(_ENTER)
        self._shown = []

    def give_back(self) -> None:
        """As it was. A terminal that is gone needs nothing."""
        with contextlib.suppress(OSError):
            self._write(_LEAVE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)

    def size(self) -> os.terminal_size:
        """Columns and lines; 80 x 24 where it does not say."""
        try:
            size = os.get_terminal_size(self._screen)
        except OSError:
            return _FALLBACK
        return size if size.columns and size.lines else _FALLBACK

    def show(self, lines: Sequence[str], size: os.terminal_size) -> None:
        """Puts a frame on the screen. Only lines that changed travel: it may be far away."""
        if size != self._size:
            self._size, self._shown = size, []
        changed = [] if self._shown else ["\x1b[2J"]
        for place, line in enumerate(lines):
            if place >= len(self._shown) or self._shown[place] != line:
                changed.append(f"\x1b[{place + 1};1H\x1b[0m\x1b[2K{line}")
        if len(lines) < len(self._shown):
            changed.append(f"\x1b[{len(lines) + 1};1H\x1b[0m\x1b[J")
        self._shown = list(lines)
        self._write("".join(changed).encode(errors="replace"))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._screen, data) :]


class Signals:
    """Signals as bytes on a descriptor, so that one `select` waits for everything; the handlers before come back."""

    HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP)

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, _heard) for number in self.HEARD}
        self._fd_before = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reads)
        # The other end stays: a thread that wakes us late must not write to somebody else's descriptor.

    def fileno(self) -> int:
        """To be waited for."""
        return self._reads

    def wake(self) -> None:
        """Ends the wait, from any thread."""
        with contextlib.suppress(OSError):
            os.write(self._writes, b"\0")

    def heard(self) -> set[int]:
        """What came since the last call."""
        with contextlib.suppress(BlockingIOError):
            return set(os.read(self._reads, 4096)) - {0}
        return set()


def _heard(number: int, frame: FrameType | None) -> None:
    """The byte on the descriptor says it."""
