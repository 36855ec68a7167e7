"""Ending a connection so that nobody can take its end for a message's."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)


def cut(transport: asyncio.Transport) -> None:
    """Ends it by a TCP reset. An orderly end would be the body's, to who reads until the connection closes."""
    if not transport.is_closing():  # else its descriptor may be somebody else's by now
        raw = transport.get_extra_info("socket")
        with suppress(OSError):  # the peer did the same a moment earlier
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
