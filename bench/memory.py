"""`python -m bench.memory`: what the sidecar's memory comes to with many connections, long bodies and slow peers.

The callers and the upstream share this process and its loop; only the sidecar's resident set is read, at its peak.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench.child import Child
from bench.place import choose_cores, free_port
from bench.procfs import resident_mb
from bench.setting import allow_descriptors

MIB: Final = 1 << 20
GIB: Final = 1 << 30
LIMIT_MB: Final = 80
"""What none of the figures should exceed."""
CONNECTIONS: Final = 1000
SLOW: Final = 100
_SLOW_ANSWER: Final = 100 * MIB
_SLOW_SECONDS: Final = 10
_PIECE: Final = b"x" * 65536
_CONFIG: Final = """
listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin}}}
limits: {{body: 2GiB, connections: 3000}}
access_log: {{path: {log}}}
upstreams:
  main: {{endpoints: ["http://127.0.0.1:{upstream}"], pool: {{connections: 1500}}}}
routes:
  - {{name: all, match: {{prefix: /}}, upstream: main, timeout: {{total: 5m}}}}
"""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class _Upstream:
    """Answers with as many bytes as the path says; a path with "held" waits for `released`; "slow" reads slowly."""

    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                await self._answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        writer.transport.abort()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ", 2)[1]
        await _swallow(reader, _length(head), slowly=b"slow" in path)
        if b"held" in path:
            self.held.release()
            await self.released.wait()
        size = int(path.rpartition(b"/")[2])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await _pour(writer, size)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")


async def _swallow(reader: asyncio.StreamReader, left: int, *, slowly: bool = False) -> None:
    while left:
        left -= len(data := await reader.read(min(left, 1024 if slowly else MIB)))
        if not data:
            raise ConnectionResetError
        if slowly:
            await asyncio.sleep(1)


async def _pour(writer: asyncio.StreamWriter, size: int) -> None:
    for start in range(0, size, len(_PIECE)):
        writer.write(_PIECE[: size - start])
        await writer.drain()


@dataclass(frozen=True)
class _Scene:
    """The sidecar under test, and whom it calls."""

    port: int
    pid: int
    upstream: _Upstream

    async def ask(self, streams: Streams, path: str, body: int = 0) -> None:
        """One request and all of its answer."""
        reader, writer = streams
        await self.send(writer, path, body)
        await _swallow(reader, _length(await reader.readuntil(b"\r\n\r\n")))

    async def send(self, writer: asyncio.StreamWriter, path: str, body: int = 0) -> None:
        """One request."""
        length = f"Content-Length: {body}\r\n" if body else ""
        writer.write(f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n".encode())
        await _pour(writer, body)

    @asynccontextmanager
    async def callers(self, count: int, *, window: int = 65536) -> AsyncIterator[list[Streams]]:
        """So many connections. `window`: bytes that their kernel holds for them."""
        streams = []
        for _ in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.settimeout(0)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            streams.append(await asyncio.open_connection(sock=sock, limit=min(window, 65536)))
        try:
            yield streams
        finally:
            for _, writer in streams:
                writer.transport.abort()
            await asyncio.sleep(0.2)  # the sidecar shall notice before the next figure


async def _idle_and_active(scene: _Scene) -> None:
    async with scene.callers(CONNECTIONS) as idle, scene.callers(CONNECTIONS) as active:
        for streams in idle:
            await scene.ask(streams, "/2")
        for _, writer in active:
            await scene.send(writer, "/held/2")
        for _ in active:
            await scene.upstream.held.acquire()
        scene.upstream.released.set()


async def _download(scene: _Scene) -> None:
    async with scene.callers(1, window=4 * MIB) as (streams,):
        await scene.ask(streams, f"/{GIB}")


async def _upload(scene: _Scene) -> None:
    async with scene.callers(1) as (streams,):
        await scene.ask(streams, "/2", body=GIB)


async def _slow_readers(scene: _Scene) -> None:
    async with scene.callers(SLOW, window=8192) as callers:
        for _, writer in callers:
            await scene.send(writer, f"/{_SLOW_ANSWER}")
        for _ in range(_SLOW_SECONDS):
            await asyncio.gather(*(reader.readexactly(1024) for reader, _ in callers))
            await asyncio.sleep(1)


async def _slow_uploads(scene: _Scene) -> None:
    async with scene.callers(SLOW) as callers:
        sending = [scene.send(writer, "/slow/2", _SLOW_ANSWER) for _, writer in callers]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*sending), _SLOW_SECONDS)


_SCENES: Final[dict[str, Callable[[_Scene], Awaitable[None]]]] = {
    f"{CONNECTIONS:,} idle and {CONNECTIONS:,} active connections": _idle_and_active,
    "1 GiB down": _download,
    "1 GiB up": _upload,
    f"{SLOW} callers that read 100 MiB at 1 kB/s": _slow_readers,
    f"{SLOW} uploads that the upstream reads at 1 kB/s": _slow_uploads,
}


def main() -> int:
    """0, whatever the figures are."""
    allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="sidecar-memory-") as name:
        for title, scene in _SCENES.items():
            idle, peak = uvloop.run(_measure(Path(name), scene))
            print(f"{title:<50} {idle:5.1f} MB idle, {peak:5.1f} MB at its peak; at most {LIMIT_MB}")
    return 0


async def _measure(folder: Path, play: Callable[[_Scene], Awaitable[None]]) -> tuple[float, float]:
    """Resident set in MB of a fresh sidecar, before a scene and at its peak."""
    upstream = _Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=4096)
    port = free_port()
    config = folder / "sidecar.yaml"
    at = {"port": port, "admin": free_port(), "upstream": server.sockets[0].getsockname()[1]}
    config.write_text(_CONFIG.format(**at, log=folder / "access.log"), encoding="utf-8")
    command = [sys.executable, "-m", "sidecar", "run", "-c", str(config)]
    with Child("sidecar", command, core=choose_cores().proxy, folder=folder) as child:
        await asyncio.to_thread(child.wait_for_answer, port, "/2")
        await asyncio.sleep(0.5)
        idle = resident_mb(child.pid)
        await play(_Scene(port, child.pid, upstream))
        peak = _peak_mb(child.pid)
    server.close()
    return idle, peak


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
