"""Laws of the admin port's door, over real sockets."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from sidecar.admin.front import LONGEST, Running, start
from sidecar.admin.views import Views


def views() -> Views:
    """Views that say which they are."""
    return Views(
        ready=lambda: "",
        metrics=lambda openmetrics: b"open" if openmetrics else b"text",
        metrics_type=lambda openmetrics: "application/openmetrics-text" if openmetrics else "text/plain",
        status=lambda: {"status": "fine"},
        config=dict,
    )


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """The door, open."""
    door = await start(views(), "127.0.0.1", 0)
    yield door
    await door.close()


async def said(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back for bytes sent piece by piece, each after the one before was taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_machines_request_in_any_pieces_is_one_request(running: Running) -> None:
    """However the bytes are cut, the answer is the same and the connection ends after it."""
    request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    whole = await said(running.port, request)
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b'{"status":"ok"}')
    assert await said(running.port, *(request[i : i + 1] for i in range(len(request)))) == whole


async def test_head_has_the_length_and_no_body(running: Running) -> None:
    """HEAD says what GET would send, and sends none of it."""
    answer = await said(running.port, b"HEAD /status HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"Content-Length: 17\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_people_are_led_on_with_what_they_have_said(running: Running) -> None:
    """A page, an unknown path, another method, a body: aiohttp answers as if it had been there from the start."""
    async with ClientSession(f"http://127.0.0.1:{running.port}") as session:
        async with session.get("/") as page:
            assert page.status == 200
        async with session.get("/nothing") as nothing:
            assert (nothing.status, await nothing.json()) == (404, {"error": "not found"})
        async with session.post("/status", data=b"x" * 100) as posted:
            assert posted.status == 405
        async with session.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as metrics:
            assert await metrics.read() == b"open"


async def test_a_long_scrape_lets_others_have_their_turn() -> None:
    """Between two pieces the loop turns; what comes is whole, and has its length."""
    turns = 0
    made_at = []

    def pieces(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - a view's signature
        for number in range(4):
            made_at.append(turns)
            yield b"%d" % number

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn) if turns < 10_000 and len(made_at) < 4 else None

    door = await start(replace(views(), metrics_pieces=pieces), "127.0.0.1", 0)
    turn()
    answer = await said(door.port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    head = await said(door.port, b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    await door.close()
    assert len(set(made_at[:4])) == 4
    assert b"\r\nContent-Length: 4\r\n" in answer
    assert answer.endswith(b"\r\n\r\n0123")
    assert head == answer.removesuffix(b"0123")


async def test_a_scrape_that_fails_half_way_is_an_error() -> None:
    """Never half a scrape under a 200, and never a traceback to whoever asked."""

    def pieces(openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - a view's signature
        yield b"half"
        raise RuntimeError("a secret")

    door = await start(replace(views(), metrics_pieces=pieces), "127.0.0.1", 0)
    answer = await said(door.port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    await door.close()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'\r\n\r\n{"error":"internal error"}')


async def test_an_endless_head_is_refused(running: Running) -> None:
    """More than a head can hold is answered with an error, not kept."""
    answer = await said(running.port, b"GET / HTTP/1.1\r\nX: " + b"a" * (LONGEST * 2) + b"\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"


async def test_bytes_that_are_no_request_are_refused(running: Running) -> None:
    """Garbage gets a 400 and the end of its connection, and is not repeated to whoever sent it."""
    answer = await said(running.port, b"\x16\x03\x01 garbage\r\n\r\n")
    assert answer.split(b" ")[1] == b"400"
    assert b"garbage" not in answer


def test_probes_do_not_import_aiohttp() -> None:
    """A sidecar that only machines look at never pays for the web framework."""
    code = (
        "import asyncio, sys, urllib.request\n"
        "from sidecar.admin import front, views\n"
        "v = views.Views(ready=lambda: '', metrics=lambda o: b'', metrics_type=lambda o: 'text/plain',"
        " status=dict, config=dict)\n"
        "async def main():\n"
        "    door = await front.start(v, '127.0.0.1', 0)\n"
        "    for path in ('healthz', 'readyz', 'metrics', 'status', 'config'):\n"
        "        await asyncio.to_thread(urllib.request.urlopen, f'http://127.0.0.1:{door.port}/{path}')\n"
        "    await door.close()\n"
        "asyncio.run(main())\n"
        "assert 'aiohttp' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
