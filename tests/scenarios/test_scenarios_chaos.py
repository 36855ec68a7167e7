"""Many callers, an upstream that misbehaves in every way it can, and what must hold all the same.

`CHAOS_SECONDS` sets how long; 30 by default.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fixtures.process import RunningSidecar

from sidecar.clock import MONOTONIC

SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
CALLERS = 500
TOTAL = 2.0
"""The routes' deadline."""
MARGIN = 1.5
"""What scheduling of 500 callers and a busy machine may add to it."""
GROWTH = 40.0
"""MB that the process may have gained once it is idle again: allocators keep some of what 500 exchanges took."""

CONFIG = """
upstreams:
  wild: {{endpoints: ["http://127.0.0.1:{port}"], connect_timeout: 500ms, pool: {{connections: 200}}}}
routes:
  - name: reads
    match: {{prefix: /read}}
    upstream: wild
    timeout: {{attempt: 1s, total: 2s}}
    retry: {{attempts: 2}}
    breaker: {{dry_run: true}}
  - name: writes
    match: {{prefix: /write}}
    upstream: wild
    timeout: {{total: 2s}}
    breaker: {{consecutive_failures: 0, failure_ratio: 90%}}
    bulkhead: {{in_flight: 50}}
"""


class Wild:
    """An upstream that echoes each request's tag, when it answers at all. Its chance is seeded."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Content-Length: " in head:
                    await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
                tag = head.split(b"tag=")[1].split(b" ")[0].decode()
                body = json.dumps({"tag": tag, "pad": "x" * self._rng.choice((0, 10, 5000, 70_000, 300_000))}).encode()
                if not await self._misbehave(writer, body):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _misbehave(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        """One answer, or something else; False when the connection is over."""
        chance = self._rng.random()
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if chance < 0.40:
            writer.write(whole)
        elif chance < 0.60:
            pieces = [body[at : at + 20_000] for at in range(0, len(body), 20_000)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        elif chance < 0.67:
            writer.transport.abort()
            return False
        elif chance < 0.72:
            await asyncio.sleep(30)  # hangs
        elif chance < 0.77:
            writer.write(b"garbage \x00\x01 not http\r\n\r\n")
        elif chance < 0.85:
            writer.write(whole[: len(whole) - len(body) // 2 - 1])
            await writer.drain()
            if chance < 0.81:
                writer.transport.abort()
            return False
        elif chance < 0.92:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
        else:
            await asyncio.sleep(self._rng.random() * 0.5)  # slow
            writer.write(whole)
        await writer.drain()
        return True


@dataclass
class Seen:
    """What the callers got."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Caller:
    """Asks again and again on one connection, and now and then leaves in the middle."""

    def __init__(self, number: int, port: int, seen: Seen) -> None:
        self._number = number
        self._port = port
        self._seen = seen
        self._rng = random.Random(number)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, until: float) -> None:
        count = 0
        while MONOTONIC() < until:
            count += 1
            try:
                await self._ask(f"{self._number}-{count}")
            except (asyncio.IncompleteReadError, ConnectionError):
                self._seen.outcomes["broken off"] += 1
                self._drop()
            except TimeoutError:
                self._seen.wrong.append(f"{self._number}-{count}: no answer in time")
                self._drop()
        self._drop()

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _ask(self, tag: str) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        started = MONOTONIC()
        writer.write(self._request(tag))
        if self._rng.random() < 0.02:
            self._drop()
            self._seen.outcomes["left"] += 1
            return
        async with asyncio.timeout(TOTAL + MARGIN):
            head, body = await read_answer(reader)
        self._seen.slowest = max(self._seen.slowest, MONOTONIC() - started)
        self._judge(tag, int(head.split(b" ")[1]), body)
        if b"\r\nconnection: close" in head.lower():
            self._drop()

    def _request(self, tag: str) -> bytes:
        if self._rng.random() < 0.8:
            return f"GET /read?tag={tag} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        body = b"y" * self._rng.choice((10, 70_000))
        head = f"POST /write?tag={tag} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _judge(self, tag: str, status: int, body: bytes) -> None:
        if status == 200:
            got = json.loads(body)["tag"]
            if got != tag:
                self._seen.wrong.append(f"{tag}: got the answer of {got}")
            self._seen.outcomes["ok"] += 1
        elif status == 500:
            self._seen.outcomes["upstream's own 500"] += 1
        else:
            self._seen.outcomes[json.loads(body)["reason"]] += 1


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One whole answer, by its own framing; anything that is not well-formed raises."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    low = head.lower()
    if b"\r\ntransfer-encoding: chunked\r\n" not in low:
        return head, await reader.readexactly(int(low.split(b"content-length: ")[1].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return head, body


def resident(pid: int) -> float:
    """MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


@pytest.mark.timeout(SECONDS + 90)
async def test_every_caller_gets_one_whole_answer_in_time(
    sidecar: Callable[..., RunningSidecar], record_property: Callable[[str, object], None]
) -> None:
    """Whatever the upstream does: one well-formed answer each, its own, in time; and nothing stays behind."""
    upstream = Wild(seed=7)
    await upstream.start()
    running = await asyncio.to_thread(sidecar, CONFIG.format(port=upstream.port))
    before = resident(running.pid)
    seen = Seen()
    until = MONOTONIC() + SECONDS
    await asyncio.gather(*(Caller(number, running.port, seen).run(until) for number in range(CALLERS)))

    assert seen.wrong == []
    assert seen.outcomes["ok"] > CALLERS
    assert seen.slowest <= TOTAL + MARGIN
    await asyncio.to_thread(running.until, lambda: in_flight(running) == 0, what="nothing is in flight")
    after = resident(running.pid)
    assert after - before <= GROWTH
    assert "Traceback" not in running.log_text()
    record_property(
        "figure",
        f"{CALLERS} callers, {SECONDS:.0f} s: {dict(seen.outcomes.most_common())}, slowest {seen.slowest:.2f} s,"
        f" resident {before:.0f} MB before and {after:.0f} MB after",
    )
    await upstream.stop()


def in_flight(running: RunningSidecar) -> int:
    """Requests and attempts that have not ended."""
    status = running.status()
    pending = sum(endpoint["pending"] for upstream in status["upstreams"] for endpoint in upstream["endpoints"])
    active = sum(upstream["connections"]["active"] for upstream in status["upstreams"])
    return int(sum(route["in_flight"] for route in status["routes"]) + pending + active)
