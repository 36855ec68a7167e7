"""The same bytes through a reference intermediary and through the sidecar, on real sockets, to one recording origin.

Every case has a port of its own, and whatever is in front of the origin tells it that port in `X-Case`: so all cases
run at once, and what arrives is known by where it came from, however mangled it is.
"""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from conformance.recorder import Origin, Passed
from sidecar import config
from sidecar.app.build import Builder
from sidecar.clock import MONOTONIC, WALL
from sidecar.observer import Silent
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.stores.memory import MemoryStore
from sidecar.wire.pool import Pool
from sidecar.wire.server import ServerConnection
from sidecar.wire.shared import Server
from sidecar.wire.timers import Timers

QUIET: Final = 0.5
"""Seconds without a byte after which nothing more is expected of an open connection."""
_AT_ONCE: Final = 100
"""Cases under way."""
_START: Final = 10.0
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})")
_NGINX: Final = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 10m;
    proxy_http_version 1.1;
    proxy_set_header X-Case $server_port;
    server {{
        listen 127.0.0.1:{first}-{last};
        location / {{ proxy_pass http://127.0.0.1:{origin}; }}
    }}
}}
"""

_HAPROXY: Final = """\
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend cases
    bind 127.0.0.1:{first}-{last}
    http-request set-header X-Case %[dst_port]
    default_backend origin
backend origin
    server one 127.0.0.1:{origin}
"""
REFERENCES: Final = {
    "nginx": (_NGINX, ("-p", "{folder}", "-e", "{folder}/error.log", "-c", "{path}")),
    "haproxy": (_HAPROXY, ("-db", "-f", "{path}")),
}
"""By name: configuration and arguments."""


class Missing(Exception):
    """The reference is not on this machine."""


@contextlib.contextmanager
def intermediary(name: str, folder: Path, origin: int, cases: int) -> Iterator[int]:
    """The reference in front of `origin`, on `cases` ports in a row, of which the first is yielded.

    Raises:
        Missing: it is not installed, or did not come up.
    """
    program = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if program is None:
        raise Missing(f"{name} not found: Debian has it in the package {name}; see .ci/program")
    first = free_ports(cases)
    path = folder / f"{name}.conf"
    text, arguments = REFERENCES[name]
    user = "user root;\n" if os.geteuid() == 0 and name == "nginx" else ""
    path.write_text(user + text.format(folder=folder, first=first, last=first + cases - 1, origin=origin))
    command = [program, *(argument.format(folder=folder, path=path) for argument in arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        try:
            _wait_until_it_listens(name, run, first + cases - 1)
            yield first
        finally:
            run.kill()


def _wait_until_it_listens(name: str, run: "subprocess.Popen[bytes]", port: int) -> None:
    until = MONOTONIC() + _START
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if run.poll() is not None:
            assert run.stderr is not None
            raise Missing(f"{name} did not start: " + run.stderr.read().decode(errors="replace").strip())
        if MONOTONIC() > until:
            raise Missing(f"{name} does not listen after {_START:.0f} s")
        time.sleep(0.01)


def free_ports(count: int) -> int:
    """The first of so many ports in a row on which nobody listens, below those that the kernel gives away."""
    rng = Random(os.getpid() ^ int(WALL()))
    for _ in range(100):
        first = rng.randrange(10_000, 32_000 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise Missing(f"no {count} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.asynccontextmanager
async def sidecar(origin: int, cases: int) -> AsyncIterator[list[int]]:
    """As many listeners of the sidecar's as there are cases, each with a gateway of its own: their ports."""
    timers = Timers(asyncio.get_running_loop().call_later, MONOTONIC)
    fronts = [await _Front.bound(origin, case, timers) for case in range(1, cases + 1)]
    try:
        yield [front.port for front in fronts]
    finally:
        for front in fronts:
            await front.close()
        timers.close()


@dataclass
class _Front:
    """One listener with its gateway, built as `sidecar run` builds it."""

    bound_to: asyncio.Server
    server: Server
    pools: list[Pool]

    @classmethod
    async def bound(cls, origin: int, case: int, timers: Timers) -> "_Front":
        """Listens on any port."""
        loaded = config.parse(
            b"upstreams: {one: {endpoints: [http://127.0.0.1:%d], headers: {set: {X-Case: '%d'}}}}\n"
            b"routes: [{name: all, match: {prefix: /}, upstream: one, retry: {attempts: 1}}]\n" % (origin, case),
            env={},
        )
        built = Builder(observer=Silent(), clock=MONOTONIC, rng=Random(case)).build(loaded)
        gateway = Gateway(
            router=built.router,
            timers=timers,
            ids=Ids(Random(case)),
            store=MemoryStore(1000),
            observer=Silent(),
            log=cast("Any", _NoLog()),
            clock=MONOTONIC,
            wall=WALL,
        )
        server = Server(responder=gateway, clock=MONOTONIC)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: ServerConnection(server), "127.0.0.1", 0)
        return cls(listening, server, built.pools["one"])

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.bound_to.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Leaves no connection open."""
        self.bound_to.close()
        for pool in self.pools:
            pool.close()
        for connection in list(self.server.connections):
            connection.drop()
            connection.abort()
        while self.server.connections or any(pool.dialing or pool.active for pool in self.pools):  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)


class _NoLog:
    """Takes lines of the access log."""

    def write(self, *_: Any) -> None:
        """Not one is kept."""


async def ask(ports: Sequence[int], wires: Sequence[bytes], quiet: float = QUIET) -> list[list[int]]:
    """Sends each of `wires` to its port; the statuses of what came back."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(port: int, wire: bytes) -> list[int]:
        async with gate:
            return await _ask(port, wire, quiet)

    return await asyncio.gather(*(one(port, wire) for port, wire in zip(ports, wires, strict=True)))


async def _ask(port: int, wire: bytes, quiet: float) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(wire)
        while piece := await asyncio.wait_for(reader.read(65536), quiet):
            data += piece
    writer.transport.abort()
    return [int(status) for status in _STATUS.findall(data)]


async def compare(name: str, folder: Path, wires: Sequence[bytes], quiet: float = QUIET) -> list[tuple[Passed, Passed]]:
    """What the reference and the sidecar made of each of `wires`, in this order.

    Raises:
        Missing: as `intermediary`.
    """
    count = len(wires)
    async with Origin().running() as theirs, Origin().running() as ours, sidecar(ours.port, count) as ports:
        with intermediary(name, folder, theirs.port, count) as first:
            their_ports = range(first, first + count)
            told = await asyncio.gather(ask(their_ports, wires, quiet), ask(ports, wires, quiet))
    found = []
    for number in range(count):
        pair = theirs.passed[first + number], ours.passed[number + 1]
        pair[0].statuses, pair[1].statuses = told[0][number], told[1][number]
        found.append(pair)
    return found
