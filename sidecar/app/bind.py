"""Binding what the configuration asks for, and what stops it, in one line."""

import os
import socket
from types import TracebackType
from typing import Final

from sidecar import config
from sidecar.wire import tls
from sidecar.wire.listener import Listener
from sidecar.wire.renewal import Presenting, Renewal
from sidecar.wire.shared import Server

MODE: Final = "0660"
"""Of the file of a unix socket, unless another is asked for: its owner and its group may connect."""


class CannotStart(Exception):
    """The process can't serve; the message is one line that says what to do about it."""


async def bind(
    asked: config.Listen, server: Server, inherited: socket.socket | None = None
) -> tuple[Listener, Renewal | None]:
    """A listener, and what keeps its certificate fresh. `inherited`: the socket, if it was handed in.

    Raises:
        CannotStart: the address can't be bound, or the certificate not be used.
    """
    renewal = None if asked.tls is None else renewal_of(asked.tls)
    presenting = None if renewal is None else Presenting(renewal)
    with binding("listen", asked.address):
        if inherited is not None:
            return await Listener.adopt(server, inherited, presenting), renewal
        if asked.path is not None:
            return await Listener.bind_unix(server, asked.path, int(asked.mode or MODE, 8), presenting), renewal
        listener = await Listener.bind(server, asked.host, asked.port, presenting, reuse_port=asked.reuse_port)
        return listener, renewal


def renewal_of(asked: config.ListenTls) -> Renewal:
    """A listener's certificate, and its key.

    Raises:
        CannotStart: they can't be used.
    """
    try:
        return Renewal(lambda: tls.server_context(asked.cert, asked.key), (asked.cert, asked.key))
    except tls.TlsSettingError as error:
        raise CannotStart(f"listen.tls: {error}") from None


class binding:  # noqa: N801 - reads as a statement
    """Turns a bind error into one line."""

    def __init__(self, key: str, address: str) -> None:
        self._what = f"{key}: cannot listen on {address}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            # asyncio puts the address into `strerror` once more. A name that does not resolve is numbered below 0.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror or type(error).__name__
            raise CannotStart(f"{self._what}: {why}") from None
