"""A request's body on its way from the caller to whichever attempt is under way.

While no attempt takes it, it is kept, and the caller must wait once 64 KiB are here. What goes straight on is kept too
as long as it fits (replay.py), so that the next attempt can send it again.
"""

from typing import TYPE_CHECKING

from sidecar.proxy.replay import KEPT, Replay
from sidecar.wire.client import ClientConnection
from sidecar.wire.encode import chunk, last_chunk
from sidecar.wire.message import CHUNKED, Header
from sidecar.wire.server import ServerConnection

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt


class Upload:
    """One request's body. `length`: as its head says, never 0."""

    __slots__ = ("_attempt", "_caller", "_chunked", "_kept", "_upstream_is_full", "is_small")

    def __init__(self, caller: ServerConnection, length: int) -> None:
        self._caller = caller
        self._chunked = length == CHUNKED
        self._kept = Replay()
        self._attempt: LiveAttempt | None = None
        self._upstream_is_full = False
        self.is_small = 0 < length <= KEPT
        """All of it can be kept, and is waited for before the first attempt."""

    @property
    def lost(self) -> bool:
        """Whether it can't be sent again."""
        return self._kept.lost

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here, and kept."""
        return self._kept.complete and not self._kept.lost

    def send(self, attempt: "LiveAttempt", connection: ClientConnection, head: bytes, method: bytes) -> None:
        """Begins with an attempt: its head, and what has come of the body. The rest follows as it comes."""
        kept = self._kept
        body = b"".join(kept.pieces)
        if self._chunked:
            body = chunk(body) + (_last_chunk(kept.trailers, attempt) if kept.complete else b"")
        if not kept.complete:
            # Before the first byte is written: writing it may already tell that the upstream is full.
            self._attempt = attempt
            self._upstream_is_full = False
            kept.forget_overflow()
            self._caller.send_continue()
            self._caller.resume()
        connection.send(attempt, method, head + body, whole=kept.complete)

    def receive(self, data: bytes) -> None:
        """More of it came."""
        connection = None if self._attempt is None else self._attempt.connection
        if connection is None:
            self._kept.keep(data)
            if self._kept.full and not self.is_small:
                self._caller.pause()
        else:
            self._kept.sent(data)
            connection.send_body(chunk(data) if self._chunked else data)

    def end(self, trailers: list[Header]) -> None:
        """All of it is here."""
        self._kept.complete = True
        self._kept.trailers = trailers
        attempt, self._attempt = self._attempt, None
        if attempt is not None and (connection := attempt.connection) is not None:
            if self._chunked:
                connection.send_body(_last_chunk(trailers, attempt))
            connection.sent_all()

    def leave(self) -> None:
        """Nobody takes it any more."""
        self._attempt = None

    def keeps_waiting(self, attempt: "LiveAttempt") -> bool:
        """Whether it is the caller that is slow: the upstream takes all that comes, and waits for the rest."""
        return self._attempt is attempt and not self._upstream_is_full

    def pause(self) -> None:
        """The upstream takes it slower than it comes."""
        self._upstream_is_full = True
        self._caller.pause()

    def resume(self) -> None:
        """It has caught up."""
        self._upstream_is_full = False
        self._caller.resume()


def _last_chunk(trailers: list[Header], attempt: "LiveAttempt") -> bytes:
    """What must not go to this upstream in the head must not go there after the body."""
    return last_chunk([field for field in trailers if field[0] not in attempt.target.removed])
