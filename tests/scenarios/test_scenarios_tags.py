"""Whose answer is it: 500 callers that pipeline, an upstream that breaks off wherever it likes, a tag on everything.

`TAGS_SECONDS` sets how long; 5 by default.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from fixtures.process import RunningSidecar

from sidecar.clock import MONOTONIC

SECONDS = float(os.environ.get("TAGS_SECONDS", "5"))
CALLERS = 500
THINKING = 1.0
"""Seconds at most between two bursts of a caller: what keeps the load within what a small machine bears."""
CONFIG = """
limits: {{connections: 2000}}
upstreams:
  tagged: {{endpoints: ["http://127.0.0.1:{port}"], pool: {{connections: 60, idle: 20}}}}
routes:
  - name: all
    match: {{prefix: /}}
    upstream: tagged
    timeout: {{total: 20s}}
    retry: {{attempts: 2}}
    breaker: {{enabled: false}}
"""


def segments(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """The same bytes in pieces, mostly few."""
    while data:
        size = rng.choice((1, 7, 50, 500, len(data), len(data)))
        yield data[:size]
        data = data[size:]


def chunks(rng: random.Random, data: bytes) -> bytes:
    """The same bytes as a chunked body."""
    pieces = [data[at : at + 300] for at in range(0, len(data), 300)] if rng.random() < 0.5 else [data]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


async def message(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """First line, fields and body of the next message, however it is framed."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        assert await reader.readexactly(2) == b"\r\n"
    else:
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return first, fields, body


class Tagged:
    """An upstream: says in the body of each answer for which tag it is, and what came with it."""

    def __init__(self) -> None:
        self._rng = random.Random(11)
        self.tags: Counter[bytes] = Counter()  # by request line
        self.mixed: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, fields, body = await message(reader)
        tag = first.split(b" ")[1][1:]
        if fields[b"x-tag"] != tag or (body and body != b"body of " + tag):
            self.mixed.append(tag)
        self.tags[first] += 1
        rng = self._rng
        answer = tag + b"|" + b"p" * rng.choice((0, 0, 100, 3000, 70_000))
        wire = b"HTTP/1.1 200 OK\r\nX-Tag: %b\r\n" % tag
        if rng.random() < 0.5:
            wire += b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
        else:
            wire += b"Transfer-Encoding: chunked\r\n\r\n" + chunks(rng, answer)
        return self._write(writer, wire)

    def _write(self, writer: asyncio.StreamWriter, wire: bytes) -> bool:
        """All of it, or not; False when the connection is over."""
        rng = self._rng
        chance = rng.random()
        if chance < 0.05:
            writer.write(wire[: rng.randrange(len(wire))])
            if chance < 0.03:
                writer.transport.abort()
            return False
        if chance < 0.08:
            wire += b"HTTP/1.1 200 OK\r\nX-Tag: nobody\r\nContent-Length: 7\r\n\r\nnobody|"
        for piece in segments(rng, wire) if chance < 0.5 else [wire]:
            writer.write(piece)
        return chance < 0.9


@dataclass
class Seen:
    """What the callers got."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Caller:
    """Sends several requests at a time, in pieces, and expects their answers in that order."""

    def __init__(self, number: int, port: int, seen: Seen) -> None:
        self._number = number
        self._port = port
        self._seen = seen
        self._rng = random.Random(number)
        self._count = 0

    async def run(self, until: float) -> None:
        """Bursts until then, a new connection whenever one has ended."""
        while MONOTONIC() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._bursts(reader, writer, until)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _bursts(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, until: float) -> None:
        while await self._burst(reader, writer):
            await asyncio.sleep(self._rng.random() * THINKING)
            if MONOTONIC() >= until:
                return

    async def _burst(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        tags = [self._next() for _ in range(self._rng.randint(1, 5))]
        for piece in segments(self._rng, b"".join(self._request(tag) for tag in tags)):
            writer.write(piece)
        if self._rng.random() < 0.03:
            self._seen.outcomes["left"] += len(tags)
            return False
        for tag in tags:
            try:
                _, fields, body = await message(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                self._seen.outcomes["broken off"] += 1
                raise
            self._judge(tag, fields, body)
        return True

    def _next(self) -> bytes:
        self._count += 1
        return b"%d-%d" % (self._number, self._count)

    def _request(self, tag: bytes) -> bytes:
        method, body = self._rng.choice(((b"GET", b""), (b"GET", b""), (b"POST", b"body of " + tag)))
        head = b"%b /%b HTTP/1.1\r\nHost: a\r\nX-Tag: %b\r\nX-Request-Id: %b\r\n" % (method, tag, tag, tag)
        if not body:
            return head + b"\r\n"
        if self._rng.random() < 0.5:
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(self._rng, body)

    def _judge(self, tag: bytes, fields: dict[bytes, bytes], body: bytes) -> None:
        ours = b"proxy-status" in fields
        whose = {fields[b"x-request-id"], tag if ours else body.partition(b"|")[0], fields.get(b"x-tag", tag)}
        self._seen.outcomes["ours" if ours else "upstream's"] += 1
        if whose != {tag}:
            self._seen.wrong.append(f"{tag!r} got the answer of {whose!r}")


@pytest.mark.timeout(SECONDS + 60)
async def test_nobody_gets_what_is_anothers(
    sidecar: Callable[..., RunningSidecar], record_property: Callable[[str, object], None]
) -> None:
    """No answer, and no request's body, is ever taken for another's; what was sent by POST is acted upon once."""
    upstream = Tagged()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=2**20, backlog=1024)
    running = await asyncio.to_thread(sidecar, CONFIG.format(port=server.sockets[0].getsockname()[1]))
    seen = Seen()
    until = MONOTONIC() + SECONDS
    await asyncio.gather(*(Caller(number, running.port, seen).run(until) for number in range(CALLERS)))
    await asyncio.to_thread(running.stop)
    server.close()

    assert seen.wrong == []
    assert upstream.mixed == []
    assert {count for first, count in upstream.tags.items() if first.startswith(b"POST ")} == {1}
    assert seen.outcomes["upstream's"] > CALLERS
    assert {"ours", "broken off", "left"} <= set(seen.outcomes), "this was no chaos"
    record_property("figure", f"{sum(upstream.tags.values())} requests upstream: {dict(seen.outcomes)}")
