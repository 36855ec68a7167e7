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

import h11
import pytest
from fixtures.process import RunningSidecar

from sidecar.clock import MONOTONIC

SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
CALLERS = 500
IDENTITIES = 50
"""Callers of the same one may be served what another of them asked for: few enough that all of it can be kept."""
THINKING = 0.8
"""Seconds at most between an answer and the next request: what keeps the load within what a small machine bears."""
TOTAL = 2.0
"""The routes' deadline."""
MARGIN = 1.5
"""What a busy machine may add to it as the callers see it: 500 of them share one loop with the upstream."""
OWN_MARGIN = 0.5
"""The same as the sidecar's own log sees it."""
GROWTH = 20.0
"""MB that 500 connections, their exchanges and what is kept may have left behind, against a fresh process."""
LEAK = 5.0
"""MB by which the process may be larger at the end than a third of the way through."""
COLLECTED = 65536
"""Answers up to this length are whole or not given at all."""

CONFIG = """
upstreams:
  wild: {{endpoints: ["http://127.0.0.1:{port}"], connect_timeout: 500ms, pool: {{connections: 200}}}}
defaults:
  upstream: wild
  timeout: {{total: 2s}}
routes:
  - name: reads
    match: {{prefix: /read}}
    timeout: {{attempt: 1s}}
    retry: {{attempts: 2}}
    breaker: {{dry_run: true}}
  - name: kept
    match: {{prefix: /kept}}
    breaker: {{failure_ratio: 40%, window: 5s, minimum_requests: 20, open_for: 500ms, open_for_max: 1s}}
    fallback: [{{last_known_good: {{max_age: 1h, identity: [Authorization]}}}}]
  - name: writes
    match: {{prefix: /write}}
    breaker: {{consecutive_failures: 0, failure_ratio: 90%}}
    bulkhead: {{in_flight: 50}}
"""


class Wild:
    """An upstream whose answers name the request they are for, when it answers at all. Its chance is seeded."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._server: asyncio.Server | None = None
        self.port = 0
        self.calm = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        if "Content-Length" in fields:
            await reader.readexactly(int(fields["Content-Length"]))
        padding = "x" * self._rng.choice((0, 10, 10, 500, 5000, 5000, 30_000, 70_000, 200_000))
        body = json.dumps({"tag": fields["X-Request-Id"], "by": fields["Authorization"], "padding": padding}).encode()
        return await self._misbehave(reader, writer, body)

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bool:
        """One answer, or something else; False when the connection is over."""
        chance = self._rng.random() if not self.calm else 0.0
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if chance < 0.40:
            writer.write(whole)
        elif chance < 0.55:
            writer.write(in_chunks(body))
        elif chance < 0.60:
            writer.write(in_chunks(body)[: -self._rng.randrange(1, 12)])
            return False
        elif chance < 0.67:
            writer.transport.abort()
            return False
        elif chance < 0.72:
            await reader.read(1)  # hangs until whoever asked has left
            return False
        elif chance < 0.77:
            writer.write(b"garbage \x00\x01 not http\r\n\r\n")
        elif chance < 0.85:
            writer.write(whole[: len(whole) - len(body) // 2 - 1])
            await writer.drain()
            if chance < 0.81:
                writer.transport.abort()
            return False
        elif chance < 0.92:
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            await asyncio.sleep(self._rng.random() * 0.8)  # slow
            writer.write(whole)
        return True


def in_chunks(body: bytes) -> bytes:
    """A chunked answer."""
    pieces = [body[at : at + 20_000] for at in range(0, len(body), 20_000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@dataclass
class Seen:
    """What the callers got."""

    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


@dataclass
class Answer:
    """As much of one as came."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    @property
    def streams(self) -> bool:
        """Whether its head came, and promised more than is held back until it is whole."""
        return "transfer-encoding" in self.fields or int(self.fields.get("content-length", 0)) > COLLECTED


class Caller:
    """Asks again and again on one connection, and now and then leaves in the middle."""

    def __init__(self, number: int, port: int, seen: Seen) -> None:
        self._number = number
        self._identity = str(number % IDENTITIES)
        self._port = port
        self._seen = seen
        self._rng = random.Random(number)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, until: float) -> None:
        count = 0
        while MONOTONIC() < until:
            count += 1
            self._seen.asked += 1
            await self._once(f"{self._number}-{count}")
            await asyncio.sleep(self._rng.random() * THINKING)
        self._drop()

    async def _once(self, tag: str) -> None:
        answer = Answer()
        try:
            async with asyncio.timeout(TOTAL + MARGIN):
                await self._ask(tag, answer)
        except (EOFError, ConnectionError):
            self._drop()
            if answer.streams:  # committed before it broke: the caller must see that it did, and does
                self._seen.outcomes["broken off"] += 1
            else:
                self._seen.wrong.append(f"{tag}: no whole answer, {answer.status}, {len(answer.body)} bytes")
        except (TimeoutError, h11.RemoteProtocolError) as error:
            self._drop()
            self._seen.wrong.append(f"{tag}: {error!r}")

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _ask(self, tag: str, answer: Answer) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        started = MONOTONIC()
        path, request = self._request(tag)
        writer.write(request)
        if self._rng.random() < 0.02:
            self._drop()
            self._seen.outcomes["left"] += 1
            return
        await read(reader, answer)
        self._seen.slowest = max(self._seen.slowest, MONOTONIC() - started)
        self._judge(tag, path, answer)
        if answer.fields.get("connection") == "close":
            self._drop()

    def _request(self, tag: str) -> tuple[str, bytes]:
        path = self._rng.choice(("/read", "/read", "/kept", "/write"))
        body = b"y" * self._rng.choice((10, 10, 1000, 70_000)) if path == "/write" else b""
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {tag}\r\nAuthorization: {self._identity}\r\n"
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        return path, head.encode() + b"\r\n" + body

    def _judge(self, tag: str, path: str, answer: Answer) -> None:
        if answer.fields["x-request-id"] != tag:
            self._seen.wrong.append(f"{tag}: the answer is for {answer.fields['x-request-id']}")
        document = json.loads(answer.body)
        if "cache-status" in answer.fields:
            kind, right = "last known good", path == "/kept" and document["by"] == self._identity
        elif answer.status in (200, 500):
            kind, right = f"upstream's {answer.status}", document["tag"] == tag
        else:
            kind, right = document["reason"], document["request_id"] == tag
        self._seen.outcomes[kind] += 1
        if not right:
            self._seen.wrong.append(f"{tag}: got somebody else's {kind}")


async def read(reader: asyncio.StreamReader, answer: Answer) -> None:
    """One whole answer, and not a byte more, as h11 understands it."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    parser.send(h11.EndOfMessage())
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data:
                raise EOFError
            parser.receive_data(data)
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.fields = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            answer.body += event.data
    if parser.trailing_data[0] or reader._buffer:  # type: ignore[attr-defined]
        raise h11.RemoteProtocolError("more than one answer")


def resident(running: RunningSidecar) -> float:
    """MB."""
    lines = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


def busy(running: RunningSidecar) -> float:
    """Seconds of processor time the process has used."""
    ticks = Path(f"/proc/{running.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def in_flight(running: RunningSidecar) -> int:
    """Requests and attempts that have not ended, by every count there is."""
    status = running.status()
    pending = sum(endpoint["pending"] for upstream in status["upstreams"] for endpoint in upstream["endpoints"])
    active = sum(upstream["connections"]["active"] for upstream in status["upstreams"])
    gauges = [line for line in running.metrics().splitlines() if line.startswith("sidecar_in_flight{")]
    assert len(gauges) == 3, gauges
    return int(sum(route["in_flight"] for route in status["routes"]) + pending + active) + sum(
        int(float(line.rpartition(" ")[2])) for line in gauges
    )


def answered(running: RunningSidecar) -> int:
    """Requests that have been counted."""
    lines = running.metrics().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith("sidecar_requests_total{"))


async def recover(port: int) -> int:
    """Asks each route, one at a time, until its breaker has closed and it answers. Returns how often it asked."""
    asked = 0
    for path in ("/read", "/kept", "/write"):
        seen = Seen()
        caller = Caller(0, port, seen)
        caller._request = lambda tag, path=path: (  # type: ignore[method-assign,misc]
            path,
            f"GET {path}?new={tag} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {tag}\r\nAuthorization: 0\r\n\r\n".encode(),
        )
        async with asyncio.timeout(20):
            while not seen.outcomes["upstream's 200"]:
                asked += 1
                await caller._once("0-0")
                await asyncio.sleep(0.05)
        caller._drop()
    return asked


@pytest.mark.timeout(SECONDS + 90)
async def test_every_caller_gets_one_whole_answer_in_time(
    sidecar: Callable[..., RunningSidecar], record_property: Callable[[str, object], None]
) -> None:
    """Whatever the upstream does: one well-formed answer each, its own, in time; and nothing stays behind."""
    upstream = Wild(seed=7)
    await upstream.start()
    running = await asyncio.to_thread(sidecar, CONFIG.format(port=upstream.port))
    before = resident(running)
    seen = Seen()
    callers = [Caller(number, running.port, seen) for number in range(1, CALLERS + 1)]
    started = MONOTONIC()
    crowd = asyncio.gather(*(caller.run(started + SECONDS) for caller in callers))
    await asyncio.wait([crowd], timeout=SECONDS / 3)
    level = resident(running)
    await crowd

    assert seen.wrong == []
    assert seen.slowest <= TOTAL + MARGIN
    upstream.calm = True
    asked_again = await recover(running.port)
    await asyncio.to_thread(running.until, lambda: in_flight(running) == 0, what="nothing is in flight")
    after = resident(running)
    assert after <= min(before + GROWTH, level + LEAK)

    left = seen.outcomes["left"]  # some of them before their request was read
    assert seen.asked + asked_again - left <= answered(running) <= seen.asked + asked_again
    lines = await asyncio.to_thread(running.wait_for_access, seen.asked - left)
    longest = max(line["duration_ms"] for line in lines) / 1000
    assert longest <= TOTAL + OWN_MARGIN
    expected = {"upstream's 200", "upstream's 500", "last known good", "broken off", "reset", "malformed_response"}
    assert expected <= set(seen.outcomes), "this was no chaos"
    record_property(
        "figure",
        f"{CALLERS} callers, {SECONDS:.0f} s, {seen.asked} requests: {dict(seen.outcomes.most_common())};"
        f" slowest {longest:.2f} s, {seen.slowest:.2f} s as its caller saw it; resident {before:.0f} MB fresh,"
        f" {level:.0f} MB after a third, {after:.0f} MB at the end; {busy(running):.1f} s of processor time",
    )
    await upstream.stop()
