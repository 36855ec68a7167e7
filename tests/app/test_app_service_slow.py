"""Peers that are slow, or stop: memory stays bounded, whoever stopped is to blame, nobody else waits."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from app_caller import PATIENCE, Caller, request
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream, head

MIB = 1024 * 1024
MEANT = 48 * MIB
"""Larger than what sockets on both sides may hold together, so that somebody has to wait."""
HELD = 14.0
"""MB that the sidecar may grow by meanwhile: its own buffers on both sides, and slack of the allocator."""

CONFIG = """
limits: {{body: 64MiB}}
upstreams:
  main: {{endpoints: ["{main}"]}}
  raw: {{endpoints: ["{raw}"]}}
defaults: {{upstream: main, timeout: {{total: 60s}}}}
routes:
  - {{name: plain, match: {{prefix: /plain/}}}}
  - {{name: raw, match: {{prefix: /raw/}}, upstream: raw}}
  - name: hasty
    match: {{prefix: /hasty/}}
    upstream: raw
    timeout: {{attempt: 400ms}}
    breaker: {{consecutive_failures: 1, open_for: 60s}}
  - name: kept
    match: {{prefix: /kept/}}
    fallback: [{{last_known_good: {{max_age: 1h}}}}]
"""


@dataclass
class Slow:
    """A sidecar, an upstream that follows scripts, and one that is a bare listening socket."""

    sidecar: RunningSidecar
    upstream: Upstream
    raw: socket.socket

    def accept(self) -> socket.socket:
        """The next connection that the sidecar makes to the bare one."""
        connection, _ = self.raw.accept()
        connection.settimeout(PATIENCE)
        return connection

    @contextlib.contextmanager
    def bounded(self) -> Iterator[None]:
        """What happens meanwhile costs the sidecar no more memory than `HELD`."""
        process = Path(f"/proc/{self.sidecar.pid}")
        (process / "clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
        before = self._peak(process)
        yield
        assert self._peak(process) - before <= HELD

    def _peak(self, process: Path) -> float:
        lines = (process / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1000

    def wait_until_still(self, progress: Callable[[], int]) -> int:
        """Waits until nothing has moved for a quarter of a second; returns how far it came."""
        seen: list[int] = []

        def still() -> bool:
            seen.append(progress())
            return len(seen) > 25 and seen[-25] == seen[-1] > 0

        self.sidecar.until(still, within=30, what="standstill")
        return seen[-1]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slow]:
    """Once per module."""
    with Upstream() as main, socket.create_server(("127.0.0.1", 0)) as raw:
        raw.settimeout(PATIENCE)
        config = CONFIG.format(main=main.url, raw=f"http://127.0.0.1:{raw.getsockname()[1]}")
        running = RunningSidecar(config, tmp_path_factory.mktemp("slow"))
        try:
            yield Slow(running, main, raw)
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
        finally:
            running.kill()


class Flood:
    """Writes a long answer as fast as it is taken."""

    def __init__(self, framing: tuple[str, str]) -> None:
        self.framing = framing
        self.written = 0

    async def __call__(self, exchange: Exchange) -> None:
        piece = b"x" * 65536
        await exchange.write(head(200, [self.framing]))
        for _ in range(MEANT // len(piece)):
            await exchange.write(b"10000\r\n%b\r\n" % piece if self.framing[1] == "chunked" else piece)
            self.written += len(piece)
        if self.framing[1] == "chunked":
            await exchange.write(b"0\r\n\r\n")


@pytest.mark.parametrize("route", ["plain", "kept"])
@pytest.mark.parametrize("framing", [("Content-Length", str(MEANT)), ("Transfer-Encoding", "chunked")])
def test_a_caller_that_does_not_read_costs_no_memory(slow: Slow, route: str, framing: tuple[str, str]) -> None:
    """The upstream has to wait; in the end every byte is there. Also where answers are collected at first."""
    flood = Flood(framing)
    path = f"/{route}/{framing[1]}"
    slow.upstream.on(path, flood)
    with slow.bounded(), Caller(slow.sidecar.port) as caller:
        caller.send(request("GET", path))
        assert slow.wait_until_still(lambda: flood.written) < MEANT
        assert len(caller.answer().body) == MEANT


def test_a_caller_that_asks_on_and_never_reads_costs_no_memory(slow: Slow) -> None:
    """Pipelined requests wait for the answers before them to be taken."""
    slow.upstream.on("/plain/pipelined", scripted.answer(200, b"x" * 60_000))
    one = request("GET", "/plain/pipelined")
    with slow.bounded(), Caller(slow.sidecar.port) as caller:
        caller.send(one * 500)
        asked = slow.wait_until_still(lambda: slow.upstream.count("/plain/pipelined"))
        assert asked < 500
        for _ in range(500):
            assert len(caller.answer().body) == 60_000


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upstream_that_does_not_read_costs_no_memory(slow: Slow, chunked: bool) -> None:  # noqa: FBT001
    """The caller has to wait; in the end every byte is there."""
    piece = b"y" * 65536
    sent = 0

    def upload(caller: Caller) -> None:
        nonlocal sent
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(MEANT)}
        caller.send(request("POST", "/raw/upload", framing))
        for _ in range(MEANT // len(piece)):
            caller.send(b"10000\r\n%b\r\n" % piece if chunked else piece)
            sent += len(piece)
        if chunked:
            caller.send(b"0\r\n\r\n")

    with slow.bounded(), Caller(slow.sidecar.port) as caller:
        caller.socket.settimeout(60)
        sender = threading.Thread(target=upload, args=(caller,), daemon=True)
        sender.start()
        with slow.accept() as connection:
            assert slow.wait_until_still(lambda: sent) < MEANT
            assert received(connection) == MEANT
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert caller.answer().status == 204
        sender.join()


def received(connection: socket.socket) -> int:
    """Reads a request whose body is nothing but "y"; returns how many there were."""
    head_and_more = b""
    while b"\r\n\r\n" not in head_and_more:
        head_and_more += connection.recv(65536)
    count = head_and_more.partition(b"\r\n\r\n")[2].count(b"y")
    while count < MEANT:
        count += connection.recv(1 << 20).count(b"y")
    return count


def test_a_caller_that_stops_in_its_body_is_told_and_nobody_else_is_blamed(slow: Slow) -> None:
    """408 after the attempt's time; the upstream only waited: its breaker, which one failure opens, stays closed."""
    with Caller(slow.sidecar.port) as caller:
        caller.send(request("POST", "/hasty/a", {"Content-Length": "200000"}) + b"y" * 1000)
        with slow.accept() as connection:
            answer = caller.answer()
            assert (answer.status, answer.json["reason"]) == (408, "request_timeout")
            assert answer.get("connection") == "close"
            assert caller.at_end()
            while connection.recv(65536):
                pass  # the sidecar has let go of it
    assert slow.sidecar.metric('sidecar_breaker_state{route="hasty",state="closed"}') == 1
    assert (
        slow.sidecar.metric('sidecar_requests_total{route="hasty",method="POST",code="408",outcome="bad_request"}') == 1
    )


def test_an_answer_that_comes_before_the_body_is_complete_reaches_its_caller(slow: Slow) -> None:
    """An upstream that refuses a long body: what it says is passed on while the caller still sends."""
    with Caller(slow.sidecar.port) as caller:
        caller.send(request("POST", "/raw/early", {"Content-Length": str(MEANT)}) + b"y" * 100_000)
        with slow.accept() as connection:
            while not connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            answer = caller.answer()
    assert (answer.status, answer.body, answer.get("connection")) == (413, b"no", "close")
