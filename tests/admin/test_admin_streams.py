"""Laws of `/events`, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from sidecar import tasks
from sidecar.admin import push as push_module
from sidecar.admin import streams
from sidecar.admin.front import Running, start
from sidecar.admin.push import LIMIT
from sidecar.admin.views import Views
from sidecar.telemetry.journal import Journal


class Told:
    """What is shown: a status of any size."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.filling = ""
        self.made = 0

    def status(self) -> dict[str, Any]:
        """A document."""
        self.made += 1
        return {"made": self.made, "filling": self.filling}

    def views(self) -> Views:
        """As the application composes them."""
        return Views(
            ready=str,
            metrics=lambda _: b"",
            metrics_type=lambda _: "text/plain",
            status=self.status,
            config=dict,
            journal=self.journal,
        )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Pushed often, so that tests do not wait."""
    monkeypatch.setattr(push_module, "EVERY", 0.02)
    return Told()


@pytest.fixture
async def running(told: Told) -> AsyncIterator[Running]:
    """The port."""
    server = await start(told.views(), "127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
async def session(running: Running) -> AsyncIterator[ClientSession]:
    """A client of it."""
    timeout = ClientTimeout(total=20)
    async with ClientSession(f"http://127.0.0.1:{running.port}", timeout=timeout) as opened:
        yield opened


async def test_events_as_a_browser_reads_them(session: ClientSession, told: Told) -> None:
    """`text/event-stream`: how soon to come again, a status, and entries under their number."""
    told.journal.add("config", "", "before")
    async with session.get("/events", headers={"Last-Event-ID": "0"}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        blocks = [await response.content.readuntil(b"\n\n") for _ in range(3)]
    assert blocks[0] == b"retry: 2000\n\n"
    number, event, data = blocks[1].decode().strip().split("\n")
    assert (number, event) == ("id: 1", "event: journal")
    assert json.loads(data.removeprefix("data: "))["text"] == "before"
    assert blocks[2].startswith(b'event: status\ndata: {"made":')


@pytest.mark.parametrize(
    ("site", "code"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
async def test_a_page_of_another_origin_gets_none(session: ClientSession, site: str, code: int) -> None:
    """It could not read it, but it could take the places of those who may; another port is another origin."""
    async with session.get("/events", headers={"Sec-Fetch-Site": site}) as response:
        assert response.status == code


async def test_beyond_the_limit_is_503_until_somebody_leaves(session: ClientSession, told: Told) -> None:
    """Streams are held open: without a bound they would be a way to hold everything."""
    opened = [await session.get("/events") for _ in range(LIMIT)]
    async with session.get("/events") as refused:
        assert (refused.status, await refused.json()) == (503, {"error": "too many watch already"})
        assert refused.headers["Retry-After"] == "10"
    for response in opened:
        response.close()
    async with asyncio.timeout(10):
        status = 503
        while status == 503:
            async with session.get("/events") as response:
                status = response.status
    assert status == 200


async def rests(told: Told) -> bool:
    """Whether, within a while, no status is made any more."""
    made = -1
    for _ in range(100):
        if told.made == made:
            return True
        made = told.made or -1
        await asyncio.sleep(0.1)
    return False


async def test_a_browser_that_died_is_forgotten(running: Running, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads nothing and does not leave: after a while its connection is cut, and nothing was kept for it."""
    monkeypatch.setattr(streams, "PATIENCE", 0.2)
    told.filling = "x" * 200_000
    dead = socket.create_connection(("127.0.0.1", running.port))
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await rests(told), "nobody watches any more: nothing is made"
    dead.close()


async def test_one_that_does_not_read_holds_up_nobody(session: ClientSession, running: Running, told: Told) -> None:
    """The others get theirs as if it were not there."""
    told.filling = "x" * 200_000
    dead = socket.create_connection(("127.0.0.1", running.port))
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with session.get("/events") as response:
        for _ in range(10):
            while b"event: status" not in await response.content.readline():
                pass
    dead.close()


async def test_closing_does_not_wait_for_browsers(told: Told) -> None:
    """Streams end, and no task is left behind."""
    before = tasks.running()
    server = await start(told.views(), "127.0.0.1", 0)
    async with ClientSession(f"http://127.0.0.1:{server.port}") as client, client.get("/events") as response:
        await response.content.readuntil(b"\n\n")
        async with asyncio.timeout(0.9):
            await server.close()
        async with asyncio.timeout(5):
            await response.content.read()
    assert tasks.running() == before
