"""What is fuzzed. Each target takes one input, holds it against its laws, and says what kind of thing happened.

requests.py      a caller's bytes, as the listener reads them
responses.py     an upstream's bytes, as the connection to it reads them
proxy.py         a caller's bytes, or an upstream's, through the whole proxy
pieces.py        chunks, field values, configuration files

A target is deterministic: where it needs chance (where to cut its input, say), the input itself is the seed.
"""

import zlib
from collections.abc import Hashable, Sequence
from random import Random
from typing import Protocol


class Broken(Exception):
    """An input broke a law. The message says which, and how."""


class Target(Protocol):
    """One thing that is fuzzed."""

    @property
    def seeds(self) -> Sequence[bytes]:
        """Inputs to start from."""
        ...

    @property
    def words(self) -> Sequence[bytes]:
        """Pieces to insert."""
        ...

    def run(self, data: bytes) -> Hashable:
        """Holds one input against the laws. Returns its kind: inputs of a new kind are worth keeping.

        Raises:
            Broken: a law does not hold. Any other exception is a finding too.
        """
        ...


def hold(law: str, *, given: bool, detail: object = "") -> None:
    """Raises Broken with the law's name unless it is given."""
    if not given:
        raise Broken(f"{law}: {detail}" if detail != "" else law)


def chance(data: bytes) -> Random:
    """A source of chance that the input decides."""
    return Random(zlib.crc32(data))
