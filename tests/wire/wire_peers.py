"""Peers on loopback for tests of dialling: certificates of our own authority, servers that misbehave."""

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trustme

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
AUTHORITY = trustme.CA()


def server_context(
    *names: str, authority: trustme.CA = AUTHORITY, not_before: dt.datetime | None = None, days: int = 1
) -> ssl.SSLContext:
    """A server's context with a certificate for these names. `days`: from now until it expires."""
    certificate = authority.issue_cert(*names, not_before=not_before or NOW - 9 * DAY, not_after=NOW + days * DAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


class Ear(asyncio.Protocol):
    """Listens and says nothing."""


@asynccontextmanager
async def listening(
    context: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    protocol: type[asyncio.Protocol] = Ear,
) -> AsyncIterator[int]:
    """A server that accepts, and with a context shakes hands; gives its port."""
    server = await asyncio.get_running_loop().create_server(protocol, host, port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if hasattr(server, "close_clients"):  # from Python 3.13 on
            server.close_clients()


@asynccontextmanager
async def refusing(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server for one connection that says why it breaks off a handshake (the loops' own just hang up)."""

    def serve() -> None:
        accepted, _ = listener.accept()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        with accepted, suppress(ssl.SSLError):
            while data := accepted.recv(65536):
                incoming.write(data)
                try:
                    session.do_handshake()
                except ssl.SSLWantReadError:
                    accepted.sendall(outgoing.read())
                except ssl.SSLError:
                    accepted.sendall(outgoing.read())
                    accepted.shutdown(socket.SHUT_WR)
                    while accepted.recv(65536):
                        pass
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        await asyncio.to_thread(thread.join)


def full_backlog(host: str = "127.0.0.1") -> list[socket.socket]:
    """A port that lets nobody in: the first is the listener, the others fill its queue."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen(0)
    crowd = [listener]
    for _ in range(3):
        sock = socket.socket(family)
        sock.settimeout(0)
        sock.connect_ex(listener.getsockname())
        crowd.append(sock)
    return crowd
