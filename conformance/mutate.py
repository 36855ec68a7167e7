"""New inputs out of old ones: a corpus, a dictionary, and a source of chance that decides everything."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Final

LONGEST: Final = 6000
"""Bytes of a mutated input: beyond what any seed needs, and small enough to run thousands a second."""
_MOST: Final = 4
"""Mutations of one input."""


class Mutator:
    """Makes inputs. `seeds`: where it starts from; what proves interesting is added with `add`.

    The same seeds, words and chance give the same inputs.
    """

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], rng: Random) -> None:
        self._seeds = list(seeds)
        self._words = words
        self._rng = rng
        self._ways: Sequence[Callable[[bytes], bytes]] = (
            self._insert_word,
            self._insert_word,
            self._replace_by_word,
            self._splice,
            self._join,
            self._flip,
            self._set,
            self._delete,
            self._repeat,
            self._swap_lines,
            self._copy_line,
            self._change_digit,
        )

    def __len__(self) -> int:
        return len(self._seeds)

    def add(self, data: bytes) -> None:
        """An input that did something new: others start from it."""
        self._seeds.append(data)

    def next(self) -> bytes:
        """The next input."""
        rng = self._rng
        data = rng.choice(self._seeds)
        for _ in range(rng.randrange(_MOST + 1)):
            data = rng.choice(self._ways)(data)
        return data[:LONGEST]

    def _place(self, data: bytes) -> int:
        """Half of the time where a line ends: that is where parsers differ."""
        at = self._rng.randrange(len(data) + 1)
        if self._rng.random() < 0.5:
            found = data.find(b"\r\n", at)
            at = at if found < 0 else found + self._rng.choice((0, 2))
        return at

    def _span(self, data: bytes) -> tuple[int, int]:
        start = self._rng.randrange(len(data) + 1)
        return start, min(len(data), start + self._rng.choice((1, 1, 2, 4, 16, 64)))

    def _insert_word(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._rng.choice(self._words) + data[at:]

    def _replace_by_word(self, data: bytes) -> bytes:
        start, stop = self._span(data)
        return data[:start] + self._rng.choice(self._words) + data[stop:]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._seeds)
        return data[: self._place(data)] + other[self._place(other) :]

    def _join(self, data: bytes) -> bytes:
        return data + self._rng.choice(self._seeds)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._rng.randrange(8)]) + data[at + 1 :]

    def _set(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._rng.randrange(len(data))
        return data[:at] + bytes([self._rng.randrange(256)]) + data[at + 1 :]

    def _delete(self, data: bytes) -> bytes:
        start, stop = self._span(data)
        return data[:start] + data[stop:]

    def _repeat(self, data: bytes) -> bytes:
        start, stop = self._span(data)
        return data[:stop] + data[start:stop] * self._rng.choice((1, 2, 40)) + data[stop:]

    def _lines(self, data: bytes) -> list[bytes]:
        return data.split(b"\r\n")

    def _swap_lines(self, data: bytes) -> bytes:
        lines = self._lines(data)
        one, other = self._rng.randrange(len(lines)), self._rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"\r\n".join(lines)

    def _copy_line(self, data: bytes) -> bytes:
        lines = self._lines(data)
        lines.insert(self._rng.randrange(len(lines) + 1), self._rng.choice(lines))
        return b"\r\n".join(lines)

    def _change_digit(self, data: bytes) -> bytes:
        digits = [at for at, byte in enumerate(data) if byte in b"0123456789"]
        if not digits:
            return data
        at = self._rng.choice(digits)
        return data[:at] + self._rng.choice((b"0", b"1", b"9", b"", b"10")) + data[at + 1 :]


def segments(data: bytes, rng: Random) -> list[bytes]:
    """The same bytes as a network might deliver them: in up to a dozen pieces, some of a single byte."""
    places = {rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 4, 10)))}
    places |= {place + 1 for place in places if rng.random() < 0.3}
    marks = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
    return [data[one:other] for one, other in pairwise(marks) if one < other]


def minimised(data: bytes, fails: Callable[[bytes], bool], tries: int = 2000) -> bytes:
    """The smallest input found that still fails: halves, then less and less, are left out (Zeller's ddmin)."""
    size = len(data) // 2
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data
