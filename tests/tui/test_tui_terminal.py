"""The terminal is given back as it was, whatever happens in between."""

import os
import select
import signal
import termios
from collections.abc import Iterator

import pytest

from sidecar.tui.terminal import Signals, Terminal


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal: ours, and that of the program."""
    ours, theirs = os.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        os.close(end)


def written(descriptor: int) -> bytes:
    """All that was written to the other end so far."""
    data = b""
    while select.select([descriptor], [], [], 0.05)[0]:
        data += os.read(descriptor, 65536)
    return data


def test_an_exception_gives_it_back(pair: tuple[int, int]) -> None:
    """The same attributes, the cursor and the screen that was there; the exception passes."""
    ours, theirs = pair
    before = termios.tcgetattr(theirs)

    def fail() -> None:
        with Terminal(theirs, theirs):
            assert termios.tcgetattr(theirs) != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(theirs) == before
    data = written(ours)
    assert data.startswith(b"\x1b[?1049h\x1b[?25l")
    assert data.endswith(b"\x1b[?25h\x1b[?1049l")


def test_only_what_changed_travels(pair: tuple[int, int]) -> None:
    """A line that stays is not sent again; another size begins anew; what is gone is wiped."""
    ours, theirs = pair
    size = os.terminal_size((80, 24))
    with Terminal(theirs, theirs) as terminal:
        written(ours)
        terminal.show(["one", "two", "three"], size)
        assert b"three" in written(ours)
        terminal.show(["one", "TWO", "three"], size)
        data = written(ours)
        assert b"\x1b[2;1H" in data
        assert b"TWO" in data
        assert b"one" not in data
        terminal.show(["one"], size)
        assert written(ours) == b"\x1b[2;1H\x1b[0m\x1b[J"
        terminal.show(["one"], os.terminal_size((70, 24)))
        assert b"one" in written(ours)


def test_a_terminal_that_does_not_know_its_size_has_a_usual_one(pair: tuple[int, int]) -> None:
    """A new pseudo-terminal says 0 x 0."""
    _, theirs = pair
    assert Terminal(theirs, theirs).size() == (80, 24)


def test_signals_are_bytes_and_the_handlers_come_back() -> None:
    """They end a wait, and nothing else; afterwards everything is as before."""
    before = {number: signal.getsignal(number) for number in Signals.HEARD}
    with Signals() as signals:
        assert select.select([signals.fileno()], [], [], 0)[0] == []
        os.kill(os.getpid(), signal.SIGWINCH)
        os.kill(os.getpid(), signal.SIGTERM)
        signals.wake()
        assert select.select([signals.fileno()], [], [], 5)[0]
        assert signals.heard() == {signal.SIGWINCH, signal.SIGTERM}
        assert signals.heard() == set()
    assert {number: signal.getsignal(number) for number in Signals.HEARD} == before
    signals.wake()  # a thread that is late
