"""Defects that proxies have had, planted in the sidecar: the fuzzer finds each within seconds.

A fuzzer that finds nothing says little until it is known what it would have found.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from conformance.fuzz import Fuzzer
from sidecar.wire import chunked, framing, parse
from sidecar.wire.client import ClientConnection
from sidecar.wire.message import CHUNKED
from sidecar.wire.reader import RequestReader
from sidecar.wire.server import ServerConnection

Patch = pytest.MonkeyPatch

LIMIT = 5.0


def size_lines(pattern: bytes) -> Callable[[Patch], None]:
    """Chunk sizes read by another pattern."""
    return lambda patch: patch.setattr(chunked, "_SIZE_LINE", re.compile(pattern))


def any_coding(patch: Patch) -> None:
    """`xchunked` counts as chunked."""
    patch.setattr(framing, "_request_coding", lambda value: CHUNKED)


def any_host(patch: Patch) -> None:
    """Nothing is asked of Host."""
    patch.setattr(parse, "check_host", lambda host: None)


def leftovers(patch: Patch) -> None:
    """A connection with bytes left over goes back to its pool."""
    right = ClientConnection._finish
    patch.setattr(ClientConnection, "_finish", lambda self, trailers, rest: right(self, trailers, b""))


def early_ends(patch: Patch) -> None:
    """The end of the connection completes any response."""

    def eof_received(self: Any) -> bool:
        if self._sink is not None and self._body is not None:
            self._finish([], b"")
        return False

    patch.setattr(ClientConnection, "eof_received", eof_received)


def forgetful(patch: Patch) -> None:
    """What follows a request in the same segment is lost."""
    right = RequestReader.payload

    def payload(self: Any, body: Any, data: bytes) -> bytes:
        found = right(self, body, data)
        if self.body is None:
            self.waiting.clear()
        return found

    patch.setattr(RequestReader, "payload", payload)


def greedy(patch: Patch) -> None:
    """A caller is read however much it sends ahead."""
    patch.setattr(ServerConnection, "_stop_reading", lambda self: None)


DEFECTS: list[tuple[str, str, Callable[[Patch], None]]] = [
    ("requests", "a chunk size may end in a bare line feed", size_lines(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?\r?\n")),
    ("requests", "what follows a body is lost", forgetful),
    ("requests", "any host will do", any_host),
    ("requests", "a caller is read however much it sends ahead", greedy),
    ("requests", "any coding is chunked", any_coding),
    ("responses", "an end completes any response", early_ends),
    ("responses", "bytes left over do not matter", leftovers),
    ("answers", "an end completes any response", early_ends),
    ("proxy", "what follows a body is lost", forgetful),
    ("chunks", "a chunk size may end anywhere", size_lines(rb"([0-9A-Fa-f]{1,16})")),
]


@pytest.mark.parametrize(("target", "defect", "plant"), DEFECTS, ids=[f"{one[0]}: {one[1]}" for one in DEFECTS])
def test_it_is_found(target: str, defect: str, plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Within seconds, and not before it was planted."""
    plant(monkeypatch)
    fuzzer = Fuzzer(target, seed=1)
    for _ in range(int(LIMIT / 0.1)):
        fuzzer.run(0.1)
        if fuzzer.findings:
            break
    assert fuzzer.findings, f"{defect}: not found in {fuzzer.line}"
