"""Laws of the bound on silence: it strikes once, when nothing has moved for so long, and never before."""

from hypothesis import given
from hypothesis import strategies as st
from test_wire_timers import SLOT, FakeLoop

from sidecar.wire.silence import Silence


class Quiet:
    """A silence of 10 s, the bytes that wait, and when it struck."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.waiting = 0
        self.struck: list[float] = []
        self.silence = Silence(
            self.loop.timers,
            lambda: self.loop.now,
            10.0,
            waiting=lambda: self.waiting,
            struck=lambda: self.struck.append(self.loop.now),
        )

    def passes(self, seconds: float) -> None:
        """Time."""
        self.loop.run(self.loop.now + seconds)


@given(st.lists(st.floats(0.1, 9.9), max_size=20))
def test_it_strikes_once_so_long_after_what_was_heard_last(pauses: list[float]) -> None:
    """However often and when something was heard; the timer itself is set again only when it strikes."""
    quiet = Quiet()
    for pause in pauses:
        quiet.passes(pause)
        quiet.silence.heard()
    last = quiet.loop.now
    quiet.passes(100.0)
    (struck,) = quiet.struck
    assert last + 10.0 <= struck <= last + 10.0 + SLOT
    assert quiet.loop.timers.pending == 0


def test_what_is_being_taken_is_no_silence() -> None:
    """As long as what waits becomes less; when it does not any more, its time begins at the look that finds out."""
    quiet = Quiet()
    quiet.waiting = 100_000
    for _ in range(8):
        quiet.passes(9.0)
        quiet.waiting -= 1
    assert not quiet.struck
    stalled = quiet.loop.now
    quiet.passes(100.0)
    (struck,) = quiet.struck
    assert stalled + 10.0 <= struck <= stalled + 20.0 + 3 * SLOT


def test_it_can_be_shortened_and_stopped() -> None:
    """Shorter from now on, never longer; stopped, it does not strike."""
    quiet = Quiet()
    quiet.passes(9.0)
    quiet.silence.shorten(2.0)
    quiet.silence.shorten(60.0)
    quiet.passes(1.9)
    assert not quiet.struck
    quiet.passes(0.2)
    assert len(quiet.struck) == 1

    other = Quiet()
    other.silence.stop()
    other.passes(100.0)
    assert not other.struck
    assert other.loop.timers.pending == 0
