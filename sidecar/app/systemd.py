"""What a service manager hands in, and what it is told: sd_listen_fds(3) and sd_notify(3), without its library."""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

from sidecar import config
from sidecar.clock import MONOTONIC

FIRST: Final = 3
"""The first inherited descriptor."""
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - names of addresses, nothing is bound here


def inherited(env: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that were handed in; none if they are meant for another process. To be called once.

    What says so is taken out of the environment: no child of ours shall take them for its own.
    """
    count, pid = env.pop("LISTEN_FDS", ""), env.pop("LISTEN_PID", "")
    env.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal() or pid != str(os.getpid()):
        return []
    sockets = []
    for number in range(FIRST, FIRST + int(count)):
        with suppress(OSError):  # it is no socket
            found = socket.socket(fileno=number)
            found.set_inheritable(False)
            sockets.append(found)
    return sockets


def is_for(sock: socket.socket, asked: config.Listen) -> bool:
    """Whether it is bound to that address."""
    name = sock.getsockname()
    if isinstance(name, str):
        return name == asked.path
    if asked.path is not None or name[1] != asked.port:
        return False
    return bool(name[0] == asked.host or {name[0], asked.host} <= _ANY)


def reloading() -> str:
    """Said before a reload; `READY` follows it."""
    return f"RELOADING=1\nMONOTONIC_USEC={int(MONOTONIC() * 1e6)}"


def tell(state: str, env: MutableMapping[str, str] = os.environ) -> None:
    """Tells the service manager, if there is one. Never waits and never fails: it is news, not a request."""
    address = env.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect("\0" + address[1:] if address[0] == "@" else address)
        sock.send(state.encode())
