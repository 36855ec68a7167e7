"""A sidecar whose configuration changes while it serves, and callers that never stop."""

import asyncio
import contextlib
import json
import random
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from app_peers import read_answer
from fixtures.process import RunningSidecar

from sidecar.clock import MONOTONIC


def reload(running: RunningSidecar, token: str = "") -> tuple[int, Any]:
    """`POST /reload`: status and document."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(running.admin_url + "/reload", data=b"{}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def rewritten(running: RunningSidecar, old: str, new: str) -> None:
    """The configuration with `new` for `old`, put in place at once as careful editors do."""
    text = running.config_path.read_text()
    assert text.count(old) == 1, text
    beside = running.config_path.with_name("new.yaml")
    beside.write_text(text.replace(old, new))
    beside.replace(running.config_path)


def taken(running: RunningSidecar) -> list[str]:
    """What the last configuration that changed anything changed, as the log has it: whoever noticed it first."""
    records = [json.loads(line) for line in running.stderr().splitlines() if line.startswith("{")]
    found = [record["changes"] for record in records if record.get("event") == "config" and record.get("changes")]
    changes: list[str] = found[-1] if found else []
    return changes


@dataclass
class Crowd:
    """Callers at one address, each with its own way. `wrong`: everything that was not the answer it had to be."""

    port: int
    path: str
    answered: int = 0
    closed: int = 0
    """Connections that ended with an answer that said so."""
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _rng: random.Random = field(default_factory=lambda: random.Random(1))

    async def keep_alive(self, pause: float) -> None:
        """Asks again and again on one connection, and connects anew only where it was told to."""
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while await self._ask(reader, writer, b""):
                    await self._pause(pause)
                self.closed += 1
            finally:
                writer.close()

    async def connect_anew(self, pause: float) -> None:
        """A connection for every request."""
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                await self._ask(reader, writer, b"Connection: close\r\n")
            finally:
                writer.close()
            await self._pause(pause)

    async def answers(self, more: int) -> None:
        """Until that many more have come."""
        wanted = self.answered + more
        async with asyncio.timeout(20):
            while self.answered < wanted:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    async def _pause(self, pause: float) -> None:
        """Until it is this caller's turn again, give or take; an answer takes some of the time as well."""
        await asyncio.sleep(pause * self._rng.uniform(0.3, 1.1))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes) -> bool:
        """One request; whether another may follow on the connection."""
        target = f"{self.path}{self._rng.getrandbits(40)}".encode()
        started = MONOTONIC()
        writer.write(b"GET %b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (target, more))
        answer = await read_answer(reader)
        self.slowest = max(self.slowest, MONOTONIC() - started)
        if answer.status != 200 or not answer.body.startswith(target + b"|"):
            self.wrong.append(f"{answer.status} {answer.body!r}")
        self.answered += 1
        return b"connection: close" not in answer.head.lower()


@contextlib.asynccontextmanager
async def crowded(crowd: Crowd, *, per_second: float, lines: int = 16, fresh: int = 4) -> AsyncIterator[None]:
    """That many callers at work meanwhile, together `per_second` requests a second or what the machine can do."""
    pause = (lines + fresh) / per_second
    callers = [crowd.keep_alive(pause) for _ in range(lines)] + [crowd.connect_anew(pause) for _ in range(fresh)]

    async def watched(number: int, caller: Any) -> None:
        try:
            await caller
        except (OSError, EOFError) as error:
            crowd.wrong.append(f"caller {number}: {type(error).__name__} {error}")

    tasks = [asyncio.get_running_loop().create_task(watched(number, one)) for number, one in enumerate(callers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
