"""WebSockets of a real client to a real server through the sidecar: what they agreed on is what arrives."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import WSMsgType, web
from fixtures.process import RunningSidecar

MIB = 1024 * 1024
CROWD = 200
PER_TUNNEL = 65536 + 256_000
"""Bytes that a tunnel may hold in one direction: what waits to be sent, and one read."""

CONFIG = """
limits: {{connections: 500}}
upstreams:
  ws: {{endpoints: ["{url}"], connect_timeout: 5s, pool: {{connections: 300}}{tls}}}
routes:
  - {{name: ws, match: {{prefix: /}}, upstream: ws, timeout: {{total: 15s}}}}
"""

CODES: web.AppKey[list[int | None]] = web.AppKey("codes")


async def _converse(request: web.Request) -> web.WebSocketResponse:
    """Echoes messages; does what some of them say."""
    ws = web.WebSocketResponse(protocols=("chat.v2", "chat.v1"), max_msg_size=4 * MIB, autoping=True)
    await ws.prepare(request)
    async for message in ws:
        if message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.data.startswith("close "):
            await ws.close(code=int(message.data.split()[1]), message=b"as you said")
        elif message.data == "ping me":
            await ws.ping(b"are you there")
        elif message.data == "who am I":
            await ws.send_str(request.headers.get("X-Caller", "nobody"))
        else:
            await ws.send_str(message.data)
    request.app[CODES].append(ws.close_code)
    return ws


@dataclass
class World:
    """A sidecar in front of the server."""

    sidecar: RunningSidecar
    session: aiohttp.ClientSession
    codes: list[int | None]
    """With which each WebSocket was closed, as the server saw it."""

    def connect(self, **more: object) -> "aiohttp.client._WSRequestContextManager":
        """A WebSocket through the sidecar."""
        return self.session.ws_connect(f"{self.sidecar.url}/ws", max_msg_size=4 * MIB, **more)  # type: ignore[arg-type]

    async def until(self, series: str, value: float) -> None:
        """Waits until a series has that value."""
        await asyncio.to_thread(self.sidecar.until, lambda: self.sidecar.metric(series) == value, what=series)


@asynccontextmanager
async def between(directory: Path, *, secure: bool) -> AsyncIterator[World]:
    """A client, a sidecar, a server."""
    authority = trustme.CA()
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context, tls = None, ""
    if secure:
        tls = f', tls: {{ca: "{ca}"}}'
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
    app = web.Application()
    app[CODES] = []
    app.router.add_get("/ws", _converse)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening, ssl_context=context).start()
    url = f"http{'s' if secure else ''}://{'localhost' if secure else '127.0.0.1'}:{listening.getsockname()[1]}"
    try:
        running = await asyncio.to_thread(RunningSidecar, CONFIG.format(url=url, tls=tls), directory)
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                yield World(running, session, app[CODES])
            assert await asyncio.to_thread(running.stop) == 0
            assert "Traceback" not in running.log_text(), running.log_text()
            assert "warning" not in running.stderr(), running.stderr()
        finally:
            running.kill()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_conversation_is_the_same_through_the_sidecar(tmp_path: Path, *, secure: bool) -> None:
    """Subprotocol, text, 1 MiB messages, fragments, ping and pong, close codes both ways; over TLS as well."""
    async with between(tmp_path, secure=secure) as world:
        async with world.connect(protocols=("chat.v1",), headers={"X-Caller": "me"}) as ws:
            assert ws.protocol == "chat.v1"
            await ws.send_str("who am I")
            assert await ws.receive_str() == "me"
            for size in (0, 1, 125, 126, 65535, 65536, MIB):
                await ws.send_bytes(bytes(size))
                assert await ws.receive_bytes() == bytes(size)
            for number in range(1000):
                await ws.send_str(str(number))
            assert [await ws.receive_str() for _ in range(1000)] == [str(number) for number in range(1000)]
            await ws.send_str("ping me")
            await ws.ping(b"and you")
            await ws.send_str("close 4321")
            message = await ws.receive()
            assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4321, "as you said")
        async with world.connect() as ws:
            await ws.close(code=4100)
        assert world.codes == [1000, 4100]  # the first is how the client confirms a 4321
        await world.until('sidecar_tunnels{route="ws"}', 0)
        lines = await asyncio.to_thread(world.sidecar.wait_for_access, 2)
        assert {(line["status"], line["outcome"], line["reason"]) for line in lines} == {(101, "ok", "")}


async def test_frames_may_come_in_any_pieces(tmp_path: Path) -> None:
    """A message in two fragments with a ping between them, byte by byte: the server reads what was sent."""
    frames = b"\x01\x83\0\0\0\0in \x89\x81\0\0\0\0?\x80\x86\0\0\0\0pieces"  # the mask is zero
    async with between(tmp_path, secure=False) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.sidecar.port)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        for index in range(len(frames)):
            writer.write(frames[index : index + 1])
            await writer.drain()
        assert await reader.readexactly(14) == b"\x8a\x01?\x81\x09in pieces"
        writer.close()
        await writer.wait_closed()


async def test_many_tunnels_never_mix(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """200 at once, each message names its sender; what they cost at rest is bounded."""

    async def talk(world: World, name: int, ready: asyncio.Semaphore, go: asyncio.Event) -> None:
        async with world.connect(headers={"X-Caller": str(name)}) as ws:
            for number in range(10):
                text = f"{name}/{number}/" + "x" * (97 * name % 5000)
                await ws.send_str(text)
                assert await ws.receive_str() == text
            await ws.send_str("who am I")
            assert await ws.receive_str() == str(name)
            ready.release()
            await go.wait()

    async with between(tmp_path, secure=False) as world:
        before = resident(world.sidecar.pid)
        ready, go = asyncio.Semaphore(0), asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as talks:
            for name in range(CROWD):
                talks.create_task(talk(world, name, ready, go))
            for _ in range(CROWD):
                await ready.acquire()
            await world.until('sidecar_tunnels{route="ws"}', CROWD)
            each = (resident(world.sidecar.pid) - before) / CROWD
            record_property("figure", f"{each / 1024:.1f} KiB for each of {CROWD} tunnels at rest")
            assert each < 100 * 1024
            go.set()
        await world.until('sidecar_tunnels{route="ws"}', 0)


async def test_a_slow_reader_slows_its_writer_down(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """64 MiB for a caller that does not read: the sidecar holds a bounded part; when it reads, all of it arrives."""
    size = 64 * MIB
    seen = asyncio.get_running_loop().create_future()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        written = 0
        while written < size:
            writer.write(bytes(MIB))
            try:
                await asyncio.wait_for(writer.drain(), 1.0)
            except TimeoutError:
                seen.set_result(written)
                await writer.drain()
            written += MIB
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = CONFIG.format(url=f"http://127.0.0.1:{port}", tls="")
    running = await asyncio.to_thread(RunningSidecar, text, tmp_path)
    try:
        before = resident(running.pid)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=65536)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        stuck = await asyncio.wait_for(seen, 20)
        assert stuck < size / 2, "nothing was ever held back"
        grown = resident(running.pid) - before
        record_property("figure", f"{grown / MIB:.1f} MiB more while {size // MIB} MiB wait")
        assert grown < 8 * MIB + 2 * PER_TUNNEL
        await reader.readuntil(b"\r\n\r\n")
        taken = 0
        while data := await reader.read(MIB):
            taken += len(data)
        assert taken == size
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(ended.wait(), 10)
    finally:
        running.kill()
        server.close()
        await server.wait_closed()


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
