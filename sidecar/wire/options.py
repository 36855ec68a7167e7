"""Socket options of connections: when the kernel gives up on a peer that says nothing any more.

Deadlines bound exchanges. What has none, a tunnel or a stream that rests, would otherwise wait for a peer that vanished
for two hours (no bytes to send) or a quarter of an hour (bytes that nobody acknowledges).
"""

import socket
from typing import Final

IDLE: Final = 30
"""Seconds without a byte after which the kernel asks whether the peer is there."""
BETWEEN: Final = 10
"""Seconds between two such questions."""
QUESTIONS: Final = 3
"""How many go unanswered before the connection is lost: after a minute in all."""
UNACKNOWLEDGED: Final = 60_000
"""Milliseconds for which sent bytes may go unacknowledged, or a peer may refuse to take more (RFC 5482)."""

_PROBES: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, BETWEEN),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, QUESTIONS),
)


def probe_silence(sock: socket.socket) -> None:
    """Has the kernel probe an idle peer. What a listening socket accepts takes its options over, at no further cost."""
    for level, option, value in _PROBES:
        sock.setsockopt(level, option, value)


def give_up_on_silence(sock: socket.socket) -> None:
    """The same, and bytes that nobody acknowledges end the connection, too. Once per connection: five system calls."""
    probe_silence(sock)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
