"""Many at once, and much at once: memory stays bounded, and whoever asks for little is served meanwhile."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from app_caller import request
from app_peers import bounded, in_flight, read_answer
from fixtures.process import RunningSidecar

MIB = 1 << 20
PIECE = b"x" * 65536
CONFIG = """
limits: {{body: 1GiB, connections: 2000}}
upstreams:
  main: {{endpoints: ["{url}"], pool: {{connections: 1000}}}}
routes:
  - {{name: all, match: {{prefix: /a/}}, upstream: main, timeout: {{total: 60s}}}}
"""


@dataclass
class Busy:
    """An upstream: a small answer to most, a long one at `/a/long`, one that waits for `release` at `/a/held`."""

    long: int = 64 * MIB
    held: int = 0
    received: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or b"0")
        while left:
            left -= len(piece := await reader.read(min(left, MIB)))
            self.received += len(piece)
        if b" /a/long" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.long)
            for _ in range(self.long // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
            return
        if b" /a/held" in head:
            self.held += 1
            await self.released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@asynccontextmanager
async def busy(start: Callable[..., RunningSidecar]) -> AsyncIterator[tuple[Busy, RunningSidecar]]:
    """The upstream and a sidecar in front of it."""
    upstream = Busy()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # the kernel shall not hold all of it
        server = await asyncio.start_server(upstream.serve, sock=listener, backlog=2048)
        upstream.port = listener.getsockname()[1]
        running = await asyncio.to_thread(start, CONFIG.format(url=f"http://127.0.0.1:{upstream.port}"))
        try:
            yield upstream, running
        finally:
            upstream.released.set()
            await asyncio.to_thread(running.until, lambda: in_flight(running) == 0, what="nothing is in flight")
            await asyncio.to_thread(running.stop)
            server.close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int, count: int = 1) -> AsyncIterator[list[Streams]]:
    """So many callers, who read little at a time unless they ask for more."""
    streams = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        streams.append(await asyncio.open_connection(sock=sock, limit=4096))
    try:
        yield streams
    finally:
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for _, writer in streams), return_exceptions=True)


async def served_while(port: int, slow: Awaitable[object], *, at_least: int) -> None:
    """Asks and is answered, again and again, while something else is under way; so often at least."""
    under_way = asyncio.ensure_future(slow)  # noqa: TID251 - a test's own loop
    served = 0
    async with connected(port) as ((reader, writer),):
        while not under_way.done():
            writer.write(request("GET", "/a/small"))
            assert (await read_answer(reader)).status == 200
            served += 1
    await under_way
    assert served >= at_least


@pytest.mark.parametrize(("target", "count", "status"), [("/none", 10_000, 404), ("/a/small", 2000, 200)])
async def test_a_pipeline_of_thousands_starves_nobody(
    sidecar: Callable[..., RunningSidecar], target: str, count: int, status: int
) -> None:
    """Each of them is answered, in turns with others, and what waits is bounded."""

    async def answered(reader: asyncio.StreamReader) -> None:
        for _ in range(count):
            assert (await read_answer(reader)).status == status

    async def sent(writer: asyncio.StreamWriter) -> None:
        for _ in range(10):
            writer.write(request("GET", target) * (count // 10))
            await writer.drain()

    async with busy(sidecar) as (_, running), connected(running.port) as ((reader, writer),):
        with bounded(running, 10):
            await served_while(running.port, asyncio.gather(sent(writer), answered(reader)), at_least=10)


async def test_ten_thousand_tiny_chunks_each_way_are_passed_on_in_bulk(sidecar: Callable[..., RunningSidecar]) -> None:
    """What came in chunks of one byte does not leave in as many, or as many writes."""
    tiny = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
    lines = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += await reader.read(65536)
        lines = data.count(b"\r\n")
        assert data.count(b"x") >= 10_000
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        running = await asyncio.to_thread(sidecar, CONFIG.format(url=f"http://127.0.0.1:{port}"))
        async with connected(running.port) as ((reader, writer),):
            with bounded(running, 5):
                writer.write(b"POST /a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny)
                data = b""
                while not data.endswith(b"0\r\n\r\n"):
                    piece = await reader.read(65536)
                    assert piece, "the answer has no end"
                    data += piece
        _, _, body = data.partition(b"\r\n\r\n")
        assert body.count(b"x") == 10_000
        assert body.count(b"\r\n") < 1000
        assert lines < 1000
        await asyncio.to_thread(running.stop)


async def test_slow_readers_cost_no_memory_and_nobody_else_time(sidecar: Callable[..., RunningSidecar]) -> None:
    """Each may have a read of the loop and `WRITE_HIGH` waiting, however long its answer is."""
    readers, seconds = 40, 2

    async def trickle(reader: asyncio.StreamReader) -> None:
        for _ in range(seconds * 5):
            assert await reader.readexactly(200)  # a kilobyte per second
            await asyncio.sleep(0.2)

    async with busy(sidecar) as (_, running), connected(running.port, readers) as slow:
        with bounded(running, readers * (256_000 + 65536 + 30_000) / 1e6):
            for _, writer in slow:
                writer.write(request("GET", "/a/long"))
            await served_while(running.port, asyncio.gather(*(trickle(reader) for reader, _ in slow)), at_least=50)


async def test_hundreds_of_requests_under_way_cost_little(
    sidecar: Callable[..., RunningSidecar], record_property: Callable[[str, object], None]
) -> None:
    """300 connections that rest, and 300 that wait for a slow upstream."""
    async with (
        busy(sidecar) as (upstream, running),
        connected(running.port, 300) as idle,
        connected(running.port, 300) as active,
    ):
        with bounded(running, 8):
            for reader, writer in idle:
                writer.write(request("GET", "/a/small"))
                assert (await read_answer(reader)).status == 200
            for _, writer in active:
                writer.write(request("GET", "/a/held"))
            await asyncio.to_thread(running.until, lambda: upstream.held == 300, what="300 requests upstream")
            upstream.released.set()
            for reader, _ in active:
                assert (await read_answer(reader)).status == 200


async def test_what_streams_through_is_not_kept(sidecar: Callable[..., RunningSidecar]) -> None:
    """64 MiB each way, as fast as both sides can."""
    async with busy(sidecar) as (upstream, running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        with bounded(running, 4):
            writer.write(request("GET", "/a/long"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            left = upstream.long
            while left:
                left -= len(await reader.read(min(left, MIB)))
            writer.write(request("POST", "/a/up", {"Content-Length": str(64 * MIB)}))
            for _ in range(64 * MIB // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
            assert (await read_answer(reader)).status == 200
            assert upstream.received == 64 * MIB
        writer.close()
        await writer.wait_closed()
