"""Everybody who watches at once: ten dashboards, and receivers of notifications and traces that never answer.

What they do to the traffic is what is measured; they do next to nothing themselves.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

DASHBOARDS = 10
_OPEN = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
_PIECE = 65536


@contextmanager
def silence(port: int) -> Iterator[None]:
    """Takes connections on that port of loopback, as many as come, and never says a word."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        yield


@contextmanager
def dashboards(admin_port: int, count: int = DASHBOARDS) -> Iterator[None]:
    """So many streams of events that are read as they come.

    Raises:
        OSError: one cannot be opened, or is not a stream of events.
    """
    with ExitStack() as stack:
        for _ in range(count):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", admin_port), timeout=20))
            stream.sendall(_OPEN)
            begun = stream.recv(_PIECE)
            if b"text/event-stream" not in begun.partition(b"\r\n\r\n")[0].lower():
                raise ConnectionRefusedError(f"/events is no stream: {begun[:60]!r}")
            threading.Thread(target=_read, args=(stream,), daemon=True).start()
            stack.callback(stream.shutdown, socket.SHUT_RDWR)
        yield


def _read(stream: socket.socket) -> None:
    try:
        stream.settimeout(None)
        while stream.recv(_PIECE):
            pass
    except OSError:
        return  # the run is over
