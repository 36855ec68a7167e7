"""Bytes of a terminal become keys."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tui.keys import Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"jk/", ["j", "k", "/"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F", ["page_up", "page_down", "home", "end"]),
        (b"\r\n\x7f\b", ["enter", "enter", "backspace", "backspace"]),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{EURO SIGN}".encode(), ["\xfc", "\u20ac"]),
        (b"\x1b[<0;10;5M\x1b[15~\x1b[1;5Aq", ["q"]),  # the mouse, F5, Ctrl-up: they mean nothing here
        (b"\x1bq", ["escape", "q"]),
        (b"\xff\xfeq\x00\x01", ["q"]),
    ],
)
def test_whole_sequences_are_keys(data: bytes, keys: list[str]) -> None:
    """Names for what has no character; nothing for what means nothing."""
    assert Keys().feed(data) == keys


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_it_does_not_matter_how_they_are_cut(data: bytes, cuts: list[int]) -> None:
    """A slow line brings a sequence byte by byte."""
    whole, pieces = Keys(), Keys()
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    found = [key for begin, end in itertools.pairwise(places) for key in pieces.feed(data[begin:end])]
    assert found == whole.feed(data)


def test_an_escape_alone_is_one_after_a_while() -> None:
    """Only what follows, or that nothing does, tells a key from the beginning of a sequence."""
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waiting
    assert keys.settle() == ["escape"]
    assert not keys.waiting
    assert keys.feed(b"\x1b[") == []
    assert keys.settle() == []
    assert keys.feed(b"A") == ["A"]
