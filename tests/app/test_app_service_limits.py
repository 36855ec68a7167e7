"""Every limit: who goes beyond it is told which one, once, by status and reason; who does not is served."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from app_caller import PATIENCE, BrokenOff, Caller, request
from app_peers import in_flight
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream, answer, head, ok

KIB = 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONFIG = """
limits:
  header_bytes: 4KiB
  headers: 20
  body: 256KiB
  connections: 400
  header_timeout: 1s
  idle_timeout: 1s
  body_rate: 1KiB
upstreams:
  main: {{endpoints: ["{main}"]}}
  raw: {{endpoints: ["{raw}"]}}
defaults: {{upstream: main, timeout: {{total: 12s}}}}
routes:
  - {{name: plain, match: {{prefix: /plain/}}}}
  - {{name: half, match: {{prefix: /half/}}, breaker: {{enabled: false}}}}
  - {{name: quick, match: {{prefix: /quick/}}, timeout: {{total: 2s}}}}
  - {{name: raw, match: {{prefix: /raw/}}, upstream: raw, breaker: {{consecutive_failures: 1, open_for: 60s}}}}
"""


@dataclass
class Limited:
    """A sidecar with tight limits, an upstream that follows scripts, and one that is a bare listening socket."""

    sidecar: RunningSidecar
    upstream: Upstream
    raw: socket.socket

    def caller(self) -> Caller:
        return Caller(self.sidecar.port)

    def accept(self) -> socket.socket:
        """The next connection that the sidecar makes to the bare one."""
        connection, _ = self.raw.accept()
        connection.settimeout(PATIENCE)
        return connection

    def line(self, path: str) -> dict[str, Any]:
        """The access log's line about a path, as soon as it is there."""

        def here() -> list[dict[str, Any]]:
            return [line for line in self.sidecar.access_log() if line["path"] == path]

        return self.sidecar.until(here, what=f"a line about {path}")[0]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    """Once per module; at the end nothing of it is left, and nobody was blamed who was not at fault."""
    with Upstream() as main, socket.create_server(("127.0.0.1", 0)) as raw:
        main.otherwise(ok())
        raw.settimeout(PATIENCE)
        config = CONFIG.format(main=main.url, raw=f"http://127.0.0.1:{raw.getsockname()[1]}")
        running = RunningSidecar(config, tmp_path_factory.mktemp("limited"))
        try:
            yield Limited(running, main, raw)
            running.until(lambda: in_flight(running) == 0, what="nothing is in flight")
            assert running.metric('sidecar_breaker_state{route="raw",state="closed"}') == 1
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
        finally:
            running.kill()


def refused(caller: Caller, status: int, reason: str) -> None:
    """The one answer: it says which limit, and that the connection closes; then it does."""
    told = caller.answer()
    assert (told.status, told.json["reason"]) == (status, reason)
    assert told.get("connection") == "close"
    assert f'details="{reason}"' in (told.get("proxy-status") or "")
    assert caller.at_end()


HEAD = b"GET /plain/x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /plain/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
COUNTED = b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
KIBIBYTE = b"400\r\n" + b"x" * KIB + b"\r\n"


@pytest.mark.parametrize(
    ("message", "status", "reason"),
    [
        pytest.param(HEAD + b"X: " + b"y" * 4 * KIB + b"\r\n\r\n", 431, "headers_too_large", id="header bytes"),
        pytest.param(HEAD + b"X: y\r\n" * 1000, 431, "headers_too_large", id="header bytes without an end"),
        pytest.param(HEAD + b"X: y\r\n" * 20 + b"\r\n", 431, "headers_too_large", id="header count"),
        pytest.param(b"GET /" + b"x" * 4 * KIB + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long", id="url"),
        pytest.param(b"GET /" + b"x" * 8 * KIB, 414, "uri_too_long", id="url without an end"),
        pytest.param(COUNTED % (256 * KIB + 1), 413, "body_too_large", id="announced body"),
        pytest.param(CHUNKED + KIBIBYTE * 256 + b"1\r\n", 200, "", id="chunked body at the limit"),
        pytest.param(CHUNKED + KIBIBYTE * 256 + b"1\r\nx\r\n", 413, "body_too_large", id="chunked body"),
        pytest.param(CHUNKED + b"0\r\nX: " + b"y" * 8192 + b"\r\n\r\n", 400, "bad_request", id="trailer section bytes"),
        pytest.param(CHUNKED + b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n", 400, "bad_request", id="trailer count"),
        pytest.param(CHUNKED + b"1;" + b"x" * 20_000, 400, "bad_request", id="one long chunk extension"),
        pytest.param(
            CHUNKED + (b"1;" + b"x" * 100 + b"\r\nx\r\n") * 400, 400, "bad_request", id="many chunk extensions"
        ),
    ],
)
def test_what_is_too_much_is_refused_by_name(limited: Limited, message: bytes, status: int, reason: str) -> None:
    """At once, not after a time; and the next caller is served."""
    with limited.caller() as caller:
        if status == 200:
            caller.send(message.removesuffix(b"1\r\n") + b"0\r\n\r\n")
            assert caller.answer().status == 200
        else:
            caller.send(message)
            refused(caller, status, reason)
    with limited.caller() as caller:
        assert caller.ask("GET", "/plain/after").status == 200


def test_a_body_that_grows_too_large_while_it_streams_is_refused(limited: Limited) -> None:
    """The upstream has had most of it: its exchange is cut short, so that it can't take it for whole."""
    with limited.caller() as caller:
        caller.send(CHUNKED.replace(b"/plain/", b"/raw/") + KIBIBYTE * 100)
        with limited.accept() as line:
            got = b""
            while got.count(b"x") < 100 * KIB:
                got += line.recv(65536)
            caller.send(KIBIBYTE * 157)
            refused(caller, 413, "body_too_large")
            with contextlib.suppress(ConnectionResetError):
                while more := line.recv(65536):
                    got += more
            assert not got.endswith(b"0\r\n\r\n")


def test_a_body_that_grows_too_large_after_the_answer_began_ends_the_connection(limited: Limited) -> None:
    """Nothing can be said any more: the answer breaks off, and does not look whole."""
    with limited.caller() as caller:
        caller.send(CHUNKED.replace(b"/plain/", b"/raw/") + KIBIBYTE * 100)
        with limited.accept() as line:
            while b"x" not in line.recv(65536):
                pass
            line.sendall(head(200, [("Content-Length", "100000")]) + b"z" * 70_000)
            assert caller.head().status == 200
            with contextlib.suppress(ConnectionError):
                caller.send(KIBIBYTE * 157)
            with pytest.raises(BrokenOff):
                caller.exactly(100_000)


# Time.


def test_a_head_that_does_not_end_is_refused(limited: Limited) -> None:
    """408 after `header_timeout`, however steadily its bytes come."""
    with limited.caller() as caller:
        caller.send(b"GET /plain/x HTTP/1.1\r\n")
        refused(caller, 408, "request_timeout")


def test_a_connection_that_rests_too_long_is_closed_cleanly(limited: Limited) -> None:
    """Without a word: nobody asked for anything. Also before a first request."""
    with limited.caller() as caller:
        assert caller.ask("GET", "/plain/x").status == 200
        assert caller.at_end()
    with limited.caller() as caller:
        assert caller.at_end()


@pytest.mark.parametrize("size", [1000, 200_000], ids=["collected", "streamed"])
def test_a_body_that_comes_too_slowly_is_refused(limited: Limited, size: int) -> None:
    """408 long before the request's time is over: before an attempt where all of it is waited for, else in mid-body."""
    path = f"/plain/slow-{size}"
    with limited.caller() as caller:
        caller.send(request("POST", path, {"Content-Length": str(size)}) + b"y" * 999)
        refused(caller, 408, "request_timeout")
    line = limited.line(path)
    assert (line["status"], line["outcome"], line["reason"]) == (408, "bad_request", "request_timeout")
    assert line["attempts"] == (0 if size == 1000 else 1)
    assert line["duration_ms"] < 8000
    assert limited.upstream.count(path) == 0


def test_a_caller_that_is_held_back_is_not_too_slow(sidecar: Callable[..., RunningSidecar]) -> None:
    """The upstream takes nothing for longer than any judgement takes: the caller waits, and is served."""
    size = 24 << 20  # more than sockets on both sides hold
    with socket.create_server(("127.0.0.1", 0)) as raw:
        url = f"http://127.0.0.1:{raw.getsockname()[1]}"
        running = sidecar(CONFIG.format(main=url, raw=url).replace("body: 256KiB", "body: 64MiB"))
        with Caller(running.port) as caller:
            caller.send(request("POST", "/plain/held", {"Content-Length": str(size)}))
            sender = threading.Thread(target=caller.send, args=(b"y" * size,), daemon=True)
            sender.start()
            with raw.accept()[0] as line:
                line.settimeout(PATIENCE)
                sender.join(2.5)
                assert sender.is_alive(), "nobody was held back"
                left = size
                while left > 0:
                    piece = line.recv(1 << 20)
                    assert piece, "the caller was blamed"
                    left -= piece.count(b"y")
                line.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                assert caller.answer().status == 204
            sender.join()


def test_a_caller_that_waits_to_be_asked_is_not_too_slow(limited: Limited) -> None:
    """It is our 100 that is late: a request with a long body is asked for it only when there is a connection."""
    limited.upstream.on("/plain/asked", ok())
    with limited.caller() as caller:
        caller.send(request("POST", "/plain/asked", {"Content-Length": "5", "Expect": "100-continue"}))
        assert caller.answer().status == 100
        caller.send(b"hello")
        assert caller.answer().status == 200


# Answers that nobody reads.


def closed(caller: Caller) -> bool:
    """Whether the sidecar has given it up: what is sent to it comes back as an error, a moment later."""
    try:
        caller.socket.send(b"\r\n")
    except ConnectionError:
        return True
    return False


def test_an_answer_that_nobody_reads_ends_with_its_request(limited: Limited) -> None:
    """The request's deadline bounds what is passed on as it comes; it breaks off, and the upstream is let go of."""
    size = 64 << 20

    async def flood(exchange: Exchange) -> None:
        await exchange.write(head(200, [("Content-Length", str(size))]))
        while not exchange.gone.is_set():
            await exchange.write(b"x" * 65536)

    limited.upstream.on("/quick/flood", flood)
    with limited.caller() as caller:
        caller.send(request("GET", "/quick/flood"))
        limited.sidecar.until(lambda: closed(caller), what="the caller is given up")
    line = limited.line("/quick/flood")
    assert (line["outcome"], line["reason"]) == ("upstream_error", "deadline")


def test_answers_that_are_complete_and_that_nobody_reads_are_given_up(limited: Limited) -> None:
    """`idle_timeout` after the caller took anything last: nothing else would ever end this."""
    limited.upstream.on("/plain/large", answer(200, b"x" * 60_000))
    with limited.caller() as caller:
        caller.send(request("GET", "/plain/large") * 500)
        limited.sidecar.until(lambda: closed(caller), what="the caller is given up")
    assert limited.upstream.count("/plain/large") < 500


# Connections.


@contextlib.asynccontextmanager
async def held(port: int, count: int, first: bytes) -> AsyncIterator[list[Streams]]:
    """So many connections, each with so much of a request."""
    streams = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(count)))
    try:
        for _, writer in streams:
            writer.write(first)
        yield list(streams)
    finally:
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for _, writer in streams), return_exceptions=True)


async def drip(writers: list[asyncio.StreamWriter], piece: bytes) -> None:
    """A little more on each, five times a second, for as long as it is taken."""
    while True:
        for writer in writers:
            if not writer.is_closing():
                writer.write(piece)
        await asyncio.sleep(0.2)


async def test_hundreds_that_drip_keep_nobody_from_being_served(limited: Limited) -> None:
    """Heads and bodies, a few bytes at a time: each is told 408; meanwhile others ask and are answered."""
    port = limited.sidecar.port
    async with (
        held(port, 150, b"GET /plain/x HTTP/1.1\r\nX: ") as heads,
        held(port, 150, COUNTED % 60_000) as bodies,
    ):
        slow = heads + bodies
        dripper = asyncio.get_running_loop().create_task(drip([writer for _, writer in slow], b"y" * 3))
        served = 0
        ends = asyncio.gather(*(reader.read(400) for reader, _ in slow))
        while not ends.done():
            assert (await asyncio.to_thread(ask_once, port)) == 200
            served += 1
        dripper.cancel()
        assert [told[:12] for told in await ends] == [b"HTTP/1.1 408"] * 300
        assert served > 20


def ask_once(port: int) -> int:
    """A request on a connection of its own."""
    with Caller(port) as caller:
        return caller.ask("GET", "/plain/quick").status


async def test_one_connection_too_many_is_told_so(sidecar: Callable[..., RunningSidecar]) -> None:
    """503 at once, with a time to come again; those that are there stay, and one that leaves makes room."""
    with Upstream() as upstream:
        upstream.otherwise(ok())
        config = CONFIG.format(main=upstream.url, raw=upstream.url)
        config = config.replace("connections: 400", "connections: 50").replace("idle_timeout: 1s", "idle_timeout: 30s")
        running = await asyncio.to_thread(sidecar, config)
        port = running.port
        async with held(port, 50, request("GET", "/plain/x")) as inside:
            for reader, _ in inside:
                assert (await reader.read(65536)).startswith(b"HTTP/1.1 200")
            async with held(port, 3, b"") as outside:
                for reader, _ in outside:
                    told = await reader.read()
                    assert told.startswith(b"HTTP/1.1 503 ")
                    assert b'"reason":"too_many_connections"' in told
                    assert b"\r\nConnection: close\r\n" in told
                    assert b"\r\nRetry-After: 1\r\n" in told
            inside[0][1].write(request("GET", "/plain/x"))
            assert (await inside[0][0].read(65536)).startswith(b"HTTP/1.1 200")
            inside[1][1].transport.abort()
            await asyncio.to_thread(running.until, lambda: ask_once(port) == 200, what="room for another")


# Ends.


@pytest.mark.parametrize("when", ["before the answer", "in mid-answer"])
def test_a_caller_that_closes_its_half_has_left(limited: Limited, when: str) -> None:
    """It can't be told from one that is gone: its request ends, upstream too, as with nginx and Envoy."""
    with limited.caller() as caller:
        caller.send(request("GET", "/raw/half"))
        with limited.accept() as line:
            line.recv(65536)
            if when == "in mid-answer":
                line.sendall(head(200, [("Content-Length", "100000")]) + b"z" * 70_000)
                assert caller.head().status == 200
            caller.socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert line.recv(65536) == b""
            if when == "before the answer":
                with contextlib.suppress(ConnectionResetError):
                    assert caller.socket.recv(1) == b""


def test_answers_before_a_callers_end_reach_it(limited: Limited) -> None:
    """What was complete when it closed its half arrives."""
    with limited.caller() as caller:
        assert caller.ask("GET", "/plain/x").status == 200
        caller.socket.shutdown(socket.SHUT_WR)
        assert caller.at_end()


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 502),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 502),
        (b"", 502),
    ],
)
def test_an_upstream_that_closes_its_half(limited: Limited, wire: bytes, status: int) -> None:
    """After a complete answer nothing is lost; before its end there is none, and what was streamed is cut off."""

    async def half(exchange: Exchange) -> None:
        await exchange.write(wire)
        exchange.writer.write_eof()
        await exchange.gone.wait()

    limited.upstream.on("/half/x", half)
    with limited.caller() as caller:
        if not status:
            with pytest.raises(BrokenOff):
                caller.ask("GET", "/half/x")
        else:
            got = caller.ask("GET", "/half/x")
            assert got.status == status
            assert got.body == b"hello" if status == 200 else got.json["reason"] == "reset"
