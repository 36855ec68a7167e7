"""Laws of the admin port, asked by a real client over a real socket."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from sidecar.admin.front import Running, start
from sidecar.admin.views import Views
from sidecar.telemetry.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from sidecar.telemetry.prometheus import Prometheus

PATHS = ["/", "/healthz", "/readyz", "/metrics", "/status", "/config"]


class Told:
    """What the views say, to be changed by tests."""

    def __init__(self) -> None:
        self.why_not_ready = ""
        self.config: dict[str, Any] = {"listen": "127.0.0.1:8080"}
        self.prometheus = Prometheus()

    def status(self) -> dict[str, Any]:
        """A document with a number that JSON has no word for."""
        return {"ready": not self.why_not_ready, "odd": float("nan")}

    def views(self) -> Views:
        """As the application composes them."""
        return Views(
            ready=lambda: self.why_not_ready,
            metrics=self.prometheus.render,
            metrics_type=self.prometheus.content_type,
            status=self.status,
            config=lambda: self.config,
        )


Ask = Callable[..., Awaitable[ClientResponse]]


@pytest.fixture
def told() -> Told:
    """What is shown."""
    return Told()


@pytest.fixture
async def running(told: Told) -> AsyncIterator[Running]:
    """The server on a free port."""
    server = await start(told.views(), "127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
async def ask(running: Running) -> AsyncIterator[Ask]:
    """`ask(path, method="GET", **more)`: the answer, its body read."""
    async with ClientSession(f"http://127.0.0.1:{running.port}") as session:

        async def run(path: str, method: str = "GET", **more: Any) -> ClientResponse:
            async with session.request(method, path, **more) as response:
                await response.read()
                return response

        yield run


async def test_it_is_alive(ask: Ask) -> None:
    """/healthz answers as long as the loop turns, ready or not."""
    response = await ask("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "ok"})


async def test_ready_or_why_not(ask: Ask, told: Told) -> None:
    """/readyz is 200 or 503; the body says why."""
    response = await ask("/readyz")
    assert (response.status, await response.json()) == (200, {"status": "ready"})
    told.why_not_ready = "draining"
    response = await ask("/readyz")
    assert (response.status, await response.json()) == (503, {"status": "not ready", "reason": "draining"})


async def test_metrics_in_the_format_that_was_asked_for(ask: Ask) -> None:
    """Plain text by default, OpenMetrics for who prefers it, each under its own media type."""
    plain = await ask("/metrics")
    assert plain.headers["Content-Type"] == TEXT_TYPE
    assert "# EOF" not in await plain.text()
    openmetrics = await ask("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["Content-Type"] == OPENMETRICS_TYPE
    assert (await openmetrics.text()).endswith("# EOF\n")


async def test_status_and_config_are_json(ask: Ask, told: Told) -> None:
    """What the views return, as it stands; what JSON has no number for is null."""
    status = await ask("/status")
    assert status.content_type == "application/json"
    assert await status.json() == {"ready": True, "odd": None}
    assert await (await ask("/config")).json() == told.config


async def test_the_page_links_to_everything(ask: Ask) -> None:
    """From / one finds every other address."""
    response = await ask("/")
    assert response.content_type == "text/html"
    text = await response.text()
    assert all(f'href="{path}"' in text for path in PATHS if path != "/")


@pytest.mark.parametrize("path", PATHS)
async def test_head_says_what_get_says_without_a_body(ask: Ask, path: str) -> None:
    """Same status, same type, and a length."""
    get, head = await ask(path), await ask(path, "HEAD")
    assert (head.status, head.content_type) == (get.status, get.content_type)
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/status/x", "/%2e%2e/etc/passwd"])
async def test_what_is_not_there_is_a_json_404(ask: Ask, path: str) -> None:
    """An address that does not exist is no reason for a page of HTML."""
    response = await ask(path)
    assert (response.status, await response.json()) == (404, {"error": "not found"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_another_method_is_a_json_405(ask: Ask, path: str, method: str) -> None:
    """RFC 9110 section 15.5.6: the answer lists what is allowed."""
    response = await ask(path, method)
    assert (response.status, await response.json()) == (405, {"error": "method not allowed"})
    assert {word.strip() for word in response.headers["Allow"].split(",")} == {"GET", "HEAD"}


async def test_a_failure_inside_is_told_to_the_log_alone(
    ask: Ask, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a fixed body: no traceback, no message, no path of ours."""
    del told.config
    response = await ask("/config")
    assert (response.status, await response.json()) == (500, {"error": "internal error"})
    (record,) = caplog.records
    assert record.exc_info is not None
    assert (await ask("/healthz")).status == 200


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
async def test_nobody_learns_what_runs_here(ask: Ask, path: str) -> None:
    """No `Server` header; nothing is cached or sniffed; no script may run."""
    headers = (await ask(path)).headers
    assert "Server" not in headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"GET /status?token=5550100 HTTP/9.9\r\n\r\n",
        b"GET /" + b"5550100" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header 5550100\r\n\r\n",
        b"BREW5550100 / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_without_an_echo(
    running: Running, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """400 and the connection closed; what was sent stands neither in the answer nor in the log."""
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b'{"error":"bad request"}' in answer
    for word in (b"Python", b"aiohttp", b"5550100", b"Traceback"):
        assert word not in answer
    assert "no request" in caplog.text
    assert "5550100" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_port_that_is_taken_is_an_error_for_whoever_starts(told: Told, running: Running) -> None:
    """The application decides what to do about it."""
    with pytest.raises(OSError, match="address already in use"):
        await start(told.views(), "127.0.0.1", running.port)


async def test_after_closing_nobody_listens(told: Told) -> None:
    """Idle connections are closed too; the port is free again."""
    server = await start(told.views(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in await reader.readline()
    async with asyncio.timeout(3):
        await server.close()
        await reader.read()
    writer.close()
    await writer.wait_closed()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
