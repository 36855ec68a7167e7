"""A bounded copy of a request's body, so that it can be sent again.

Up to 64 KiB are kept (Linkerd's bound, and what most JSON and form posts fit into). A longer body streams: once a byte
beyond the copy has gone out, the request can't be repeated.
"""

from typing import Final

from sidecar.wire.message import Header

KEPT: Final = 65536
"""Bytes of request body that are kept."""


class Replay:
    """What has come of the body, as long as it fits."""

    __slots__ = ("complete", "lost", "pieces", "size", "trailers")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.complete = False
        """The caller has sent all of it."""
        self.trailers: list[Header] = []
        """What it sent after the body."""
        self.lost = False
        """Some of it was sent on and not kept: there is no second time."""

    def keep(self, data: bytes) -> None:
        """More of the body came, and nobody has sent it on yet."""
        self.pieces.append(data)
        self.size += len(data)

    def sent(self, data: bytes) -> None:
        """More of the body came and went straight on; it is kept too while it fits."""
        if self.lost:
            return
        if self.size + len(data) > KEPT:
            self.lost = True
            self.pieces.clear()
        else:
            self.keep(data)

    @property
    def full(self) -> bool:
        """As much waits here as may wait for somebody to send it on."""
        return self.size >= KEPT

    def forget_overflow(self) -> None:
        """Everything here was sent on: what is beyond the bound need not be kept any longer."""
        if self.size > KEPT:
            self.lost = True
            self.pieces.clear()
