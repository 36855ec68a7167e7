"""The loop of `sidecar top`: whatever comes first, a key, an answer or a signal, is dealt with, and a frame drawn."""

import os
import select
import signal
import sys
import time
from typing import Final

from sidecar.clock import MONOTONIC, WALL
from sidecar.tui.frame import Screen, draw
from sidecar.tui.keys import Keys
from sidecar.tui.poll import EVERY, NoAnswer, Polled, Poller, fetch
from sidecar.tui.reading import Reader, Reading
from sidecar.tui.terminal import Signals, Terminal
from sidecar.tui.view import View

ESCAPE_AFTER: Final = 0.05
"""Seconds without another byte after which an escape was the key of that name."""


def speaks_only_ascii() -> bool:
    """Whether the locale's encoding has no word for more."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"


class Live:
    """One person looking. Times on the screen are Unix times."""

    def __init__(self, url: str, signals: Signals) -> None:
        self._url = url
        self._signals = signals
        self._view = View()
        self._keys = Keys()
        self._reader = Reader()
        self._reading: Reading | None = None
        self._polled = Polled()
        self._poller = Poller(url, signals.wake)
        self._ascii = speaks_only_ascii()

    def run(self, terminal: Terminal, keyboard: int) -> int:
        """Until a key or a signal ends it: the exit code."""
        self._poller.start()
        try:
            while True:
                self._draw(terminal)
                self._wait(keyboard)
                code = self._obey(terminal)
                if code is not None:
                    return code
                if self._view.quit:
                    return 0
                self._look()
        finally:
            self._poller.close()

    def _draw(self, terminal: Terminal) -> None:
        size = terminal.size()
        screen = Screen(columns=size.columns, lines=size.lines, ascii=self._ascii)
        lines = draw(self._reading, self._polled, self._view, url=self._url, now=WALL(), screen=screen)
        terminal.show(screen.painted(lines), size)

    def _wait(self, keyboard: int) -> None:
        """For anything at all, and takes what was typed."""
        patience = ESCAPE_AFTER if self._keys.waiting else EVERY
        ready, _, _ = select.select([keyboard, self._signals.fileno()], [], [], patience)
        if keyboard in ready:
            data = os.read(keyboard, 4096)
            if not data:  # nobody can type any more
                self._view.quit = True
            self._press(self._keys.feed(data))
        elif self._keys.waiting:
            self._press(self._keys.settle())

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            rows = self._reading.rows if self._reading is not None else ()
            self._view.press(key, self._view.rows(rows))

    def _obey(self, terminal: Terminal) -> int | None:
        """What signals ask for: the exit code, if it is the end."""
        heard = self._signals.heard()
        if signal.SIGINT in heard:
            return 0
        for number in (signal.SIGTERM, signal.SIGHUP):
            if number in heard:
                return 128 + number
        if signal.SIGTSTP in heard:
            terminal.give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            terminal.take()  # here again
        return None

    def _look(self) -> None:
        """Takes the newest answer, unless the person wants to look at this one."""
        latest = self._poller.latest
        if latest is self._polled or self._view.paused:
            return
        if latest.document is not None and latest.at != self._polled.at:
            self._reading = self._reader.read(latest.document, MONOTONIC(), latest.at)
        self._polled = latest


def watch(url: str) -> int:
    """Shows it until the person has seen enough. Standard input and output must be a terminal."""
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    with Signals() as signals, Terminal(keyboard, screen) as terminal:
        return Live(url, signals).run(terminal, keyboard)


def once(url: str, screen: Screen) -> list[str]:
    """One frame, of as many lines as it takes.

    Raises:
        NoAnswer: there is nothing to show.
    """
    reader = Reader()
    reading = reader.read(fetch(url), MONOTONIC(), WALL())
    if all(row.rate is None for row in reading.rows):  # older than the rates: two answers have to tell
        time.sleep(EVERY)
        reading = reader.read(fetch(url), MONOTONIC(), WALL())
    lines = draw(reading, Polled(), View(), url=url, now=WALL(), screen=screen)
    return screen.painted(lines)


__all__ = ["NoAnswer", "once", "speaks_only_ascii", "watch"]
