"""The proxies of a run: the bench's lineup, each configured to pass on whatever a suite sends."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.child import START_LIMIT, Child, Unusable
from bench.lineup import BY_NAME, Proxy, fill
from bench.origin import user_directive
from bench.place import free_port, render
from conformance.row import Command
from sidecar.clock import MONOTONIC

TEMPLATES = Path(__file__).parent / "peers"
DIRECT = "direct"
"""Nothing between the suite and its origin: what fails there is no proxy's doing."""
SIDECAR = "sidecar"
PEERS = ("haproxy", "nginx")
_HOST_KEPT = {"sidecar": "keep", "haproxy": "", "nginx": "$http_host"}
_HOST_REPLACED = {
    "sidecar": "upstream",
    "haproxy": "http-request set-header Host 127.0.0.1:@origin_port@",
    "nginx": "127.0.0.1:@origin_port@",
}
"""How each is told what the origin shall see in `Host`: the caller's, or the origin's own."""


@contextmanager
def origin(command: Command, port: int, folder: Path) -> Iterator[None]:
    """A suite's origin, until the block ends.

    Raises:
        Unusable: it did not come up.
    """
    with Child("origin", command.arguments, core=None, folder=folder, env=command.environment) as child:
        _wait_for_listener(child, port)
        yield


@contextmanager
def running(name: str, origin_port: int, folder: Path, *, keep_host: bool = True) -> Iterator[int]:
    """The port of the proxy in front of the origin, until the block ends.

    `keep_host`: the origin sees the caller's `Host`, else its own.

    Raises:
        Unusable: it is not installed, or did not come up.
    """
    proxy = BY_NAME[name]
    program = proxy.find()
    if program is None:
        raise Unusable(f"{name} is not installed: {proxy.package}")
    port = free_port()
    rule = (_HOST_KEPT if keep_host else _HOST_REPLACED)[name].replace("@origin_port@", str(origin_port))
    values = {**_values(proxy, port, origin_port, folder), "host_rule": rule}
    render(name, Path(values["config"]), values, TEMPLATES)
    arguments = [fill(argument, values) for argument in proxy.arguments]
    with Child(name, [program, *arguments], core=None, folder=folder, env=proxy.environment) as child:
        _wait_for_listener(child, port)
        yield port


def _values(proxy: Proxy, port: int, origin_port: int, folder: Path) -> dict[str, str]:
    return {
        "port": str(port),
        "admin_port": str(free_port()),
        "origin_port": str(origin_port),
        "work": str(folder),
        "config": str(folder / f"{proxy.name}.d"),
        "access_log": str(folder / f"{proxy.name}.access.log"),
        "user": user_directive(),
    }


def _wait_for_listener(child: Child, port: int) -> None:
    while not listens(port):
        if child.ended:
            raise Unusable(f"{child.name} ended at start: {child.last_words()}")
        if MONOTONIC() - child.started > START_LIMIT:
            raise Unusable(f"{child.name} does not listen after {START_LIMIT:.0f} s: {child.last_words()}")
        time.sleep(0.01)


def listens(port: int) -> bool:
    """Whether somebody does, on 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
