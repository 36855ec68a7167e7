"""Certificates of all kinds, and servers that shake hands badly, for the end-to-end tests of TLS."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
NAME = "upstream.test"


def server_context(
    authority: trustme.CA,
    *names: str,
    since: dt.timedelta = -2 * DAY,
    until: dt.timedelta = DAY,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """A server's context. Its certificate is valid from `since` until `until`, counted from now."""
    issued = authority.issue_cert(*(names or (NAME,)), not_before=NOW + since, not_after=NOW + until)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    issued.configure_cert(context)
    return context


def by_itself(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody but itself has signed."""
    lonely = trustme.CA()
    cert, key = directory / "lonely.pem", directory / "lonely.key"
    lonely.cert_pem.write_to_path(str(cert))
    lonely.private_key_pem.write_to_path(str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def asking(authority: trustme.CA, context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, which from now on requires a client certificate of `authority`."""
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def written(directory: Path, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """Files with a certificate and its key, replaced in one step each if they were there before."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    for path, blobs in ((cert, issued.cert_chain_pems), (key, [issued.private_key_pem])):
        new = path.with_suffix(".new")
        new.write_bytes(b"".join(blob.bytes() for blob in blobs))
        new.rename(path)
    return cert, key


def alert(description: int) -> bytes:
    """A fatal TLS alert (RFC 8446 section 6)."""
    return bytes([21, 3, 3, 0, 2, 2, description])


Serve = Callable[[socket.socket], None]


def saying(data: bytes) -> Serve:
    """Answers whatever comes first with these bytes, and waits for the peer to leave."""

    def serve(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass

    return serve


def leaving(peer: socket.socket) -> None:
    """Reads the peer's first bytes and hangs up."""
    peer.recv(65536)


def silent(peer: socket.socket) -> None:
    """Says nothing until the peer has had enough."""
    while peer.recv(65536):
        pass


def refusing(context: ssl.SSLContext) -> Serve:
    """Shakes hands, and stays until the peer has heard why not: closing a socket at once may swallow an alert."""

    def serve(peer: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        while data := peer.recv(65536):
            incoming.write(data)
            with suppress(ssl.SSLError):
                session.do_handshake()
            peer.sendall(outgoing.read())

    return serve


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A port where each connection is served so."""

    def one(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            serve(peer)

    def accept() -> None:
        with suppress(OSError):  # it was shut
            while True:
                threading.Thread(target=one, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
