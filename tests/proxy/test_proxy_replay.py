"""The bounded copy of a request's body."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.proxy.replay import KEPT, Replay


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=8))
def test_what_was_sent_on_can_be_sent_again_as_long_as_it_fits(pieces: list[bytes]) -> None:
    """Either all of it is kept, or it is known to be lost and costs nothing."""
    replay = Replay()
    for piece in pieces:
        replay.sent(piece)
    whole = b"".join(pieces)
    assert replay.lost == (len(whole) > KEPT)
    assert b"".join(replay.pieces) == (b"" if replay.lost else whole)


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=4))
def test_what_waits_is_kept_whatever_its_size_until_it_was_sent(pieces: list[bytes]) -> None:
    """`full` tells the caller to stop; what came nevertheless must not be lost before somebody has sent it."""
    replay = Replay()
    for piece in pieces:
        replay.keep(piece)
    whole = b"".join(pieces)
    assert b"".join(replay.pieces) == whole
    assert replay.full == (len(whole) >= KEPT)
    assert not replay.lost
    replay.forget_overflow()
    assert replay.lost == (len(whole) > KEPT)
