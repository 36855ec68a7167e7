"""Two connections that became one after a 101: what comes on either goes out on the other.

Four rules:
1. Bytes pass as they are, in order, both ways. Nothing here knows what they mean.
2. Who reads slowly is waited for: its peer is not read while more than `WRITE_HIGH` bytes wait. So each way holds that
   much and one read of the loop (uvloop reads at most 256,000 bytes) and no more; a tunnel at rest holds none.
3. How one side ends is how the other is ended, without delay. An end of its bytes follows the last of them, and the
   other way stays open. A reset is a reset: nobody may take what was cut off for complete. TLS has no half of a
   connection to end (`can_write_eof`), so there an end is of both ways, once the last byte is out.
4. It ends on its own when nothing has moved for `idle` seconds, and it tells that it ended once.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from sidecar.clock import Clock
from sidecar.wire.cut import cut
from sidecar.wire.silence import Silence
from sidecar.wire.timers import Timers

LINGER: Final = 2.0
"""Seconds that one side has to end, without having anybody to talk to, when the other is gone."""

ENDED, IDLE, CLOSED, CALLER_RESET, UPSTREAM_RESET = "ended", "idle", "closed", "caller_reset", "upstream_reset"
"""How a tunnel ends: both sides were done, nothing moved, we closed it, or one side broke off."""


class Connection(Protocol):
    """Who had the transport until now, and answers for it still."""

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Its transport, which tells `protocol` from now on, and what came ahead of its time."""
        ...

    def lost(self) -> None:
        """The transport is closed."""


class Tunnel:
    """Begins when it is made; the caller must have been sent the head of the 101 by then.

    ended: called once, when no byte can pass any more; `how` says in which way. idle: seconds.
    """

    __slots__ = ("_caller", "_ended", "_over", "_silence", "_upstream", "how")

    def __init__(
        self,
        caller: Connection,
        upstream: Connection,
        *,
        timers: Timers,
        clock: Clock,
        idle: float,
        ended: Callable[["Tunnel"], None],
    ) -> None:
        self.how = ENDED
        self._ended = ended
        self._over = False
        self._silence = Silence(timers, clock, idle, waiting=self._waiting, struck=self._strike)
        self._caller = from_caller = _End(self, caller, CALLER_RESET)
        self._upstream = from_upstream = _End(self, upstream, UPSTREAM_RESET)
        from_caller.peer = from_upstream
        from_upstream.peer = from_caller
        from_caller.transport, early = caller.hand_over(from_caller)
        from_upstream.transport, first = upstream.hand_over(from_upstream)
        from_caller.pass_on(early)
        from_upstream.pass_on(first)

    @property
    def bytes_in(self) -> int:
        """From the caller, so far."""
        return self._caller.count

    @property
    def bytes_out(self) -> int:
        """From the upstream, so far."""
        return self._upstream.count

    def close(self, how: str = CLOSED) -> None:
        """Ends both sides now: with an end where everything was sent, with a reset where not. Idempotent."""
        if self._over:
            return
        self._finish(how)
        for end in (self._caller, self._upstream):
            end.close()

    # What its ends tell.

    def heard(self) -> None:
        """Bytes came."""
        self._silence.heard()

    def half_gone(self) -> None:
        """One side is gone, in order: the other is to end as well."""
        if not self._over and not self._waiting():
            self._silence.shorten(LINGER)

    def broken(self, how: str) -> None:
        """One side broke off."""
        self._finish(how)

    def gone(self) -> None:
        """Both sides are gone."""
        self._finish(ENDED)
        # Unless the circles are broken, all this stays until the collector comes by, which is seldom.
        del self._caller.peer, self._upstream.peer
        del self._caller, self._upstream, self._silence

    def _finish(self, how: str) -> None:
        if not self._over:
            self._over = True
            self._silence.stop()
            self.how = how
            self._ended(self)

    def _strike(self) -> None:
        self.close(ENDED if self._caller.lost or self._upstream.lost else IDLE)

    def _waiting(self) -> int:
        return self._caller.unsent + self._upstream.unsent


class _End(asyncio.Protocol):
    """One side: reads what its peer is to write. `reset`: how the tunnel ends if this side breaks off."""

    __slots__ = ("_closing", "_done", "_home", "_reset", "_tunnel", "count", "ended", "lost", "peer", "transport")

    peer: "_End"
    transport: asyncio.Transport

    def __init__(self, tunnel: Tunnel, home: Connection, reset: str) -> None:
        self._tunnel = tunnel
        self._home = home
        self._reset = reset
        self.count = 0
        self.ended = False
        """It sends no more."""
        self._done = False
        """It is sent no more."""
        self._closing = False
        self.lost = False

    @property
    def unsent(self) -> int:
        """Bytes it has not taken yet."""
        return 0 if self.lost else self.transport.get_write_buffer_size()

    def pass_on(self, data: bytes) -> None:
        """Bytes from this side, to the other."""
        self.count += len(data)
        peer = self.peer
        if data and not peer._done:  # noqa: SLF001 - two of a kind
            peer.transport.write(data)

    # The transport's side.

    def data_received(self, data: bytes) -> None:
        """Bytes from this side."""
        if not self.peer.lost:  # else nobody is there to have them, and they keep nothing alive
            self._tunnel.heard()
            self.pass_on(data)

    def eof_received(self) -> bool:
        """This side sends no more. It may go on reading."""
        self.ended = True
        halves = self.transport.can_write_eof()
        self._done = self._done or not halves
        self.peer.finish()
        if self.peer.ended or self.peer.lost:
            self.peer.close_gently()
            self.close_gently()
        return halves

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """This side is gone, for whatever reason."""
        self.lost = self._done = True
        self._home.lost()
        peer = self.peer
        if peer.lost:
            self._tunnel.gone()
        elif peer.ended and self._closing:
            peer.close_gently()  # both have said all they had to say
        elif self.ended or self._closing:
            # Said its last word, or was told ours: what the other has not read yet is still complete.
            peer.finish()
            peer.resume_reading()  # it is to be heard that it ends
            self._tunnel.half_gone()
        else:
            self._tunnel.broken(self._reset)
            cut(peer.transport)

    def pause_writing(self) -> None:
        """This side reads slowly."""
        if not self.peer.lost:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._done and not self.transport.can_write_eof():
            self.close_gently()
        self.peer.resume_reading()

    # What its peer, and the tunnel, do with it.

    def resume_reading(self) -> None:
        """Reads on."""
        if not self.lost and not self.ended:
            self.transport.resume_reading()

    def finish(self) -> None:
        """Nothing more will be written: says so, after what is still on its way. Idempotent."""
        if self._done or self.transport.is_closing():
            return
        self._done = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        elif not self.unsent:
            self.close_gently()
        else:
            self.transport.set_write_buffer_limits(high=0)  # `resume_writing` tells when all is out

    def close_gently(self) -> None:
        """Closes, after what is still on its way. Idempotent."""
        if not self.lost:
            self._done = self._closing = True
            self.transport.close()

    def close(self) -> None:
        """Closes now."""
        if self.unsent:
            self._done = self._closing = True
            cut(self.transport)
        else:
            self.close_gently()
