"""Connections to the upstream are used again, and it costs nobody an answer, nor an upstream a request twice."""

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import Callable

import pytest
from app_caller import Caller, request
from app_peers import Line, Restless, after_some, at_any_moment, in_flight, read_answer, when_idle
from app_world import World
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream, ok

CALLERS = 40
EACH = 40
CONFIG = """
upstreams:
  main: {{endpoints: ["{url}"], pool: {{connections: {connections}}}}}
routes:
  - {{name: all, match: {{prefix: /}}, upstream: main, breaker: {{enabled: false}}}}
"""


async def ask(port: int, caller: int, method: str, seen: Counter[str], wrong: list[str]) -> None:
    """One caller: asks so often on one connection, each time for something else."""
    rng = random.Random(f"{method} {caller}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(EACH):
        target = f"/{method}/{caller}/{number}"
        body = f"body of {target}" if method == "POST" else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}".encode())
        answer = await read_answer(reader)
        seen[f"{method} {answer.status}"] += 1
        if answer.status == 200:
            if answer.body.decode() != f"{target}|{body}":
                wrong.append(f"{target}: got {answer.body!r}")
        else:
            seen[target] = answer.status
        await asyncio.sleep(rng.random() * 0.012)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("after", "connections", "share"),
    [
        pytest.param(at_any_moment(random.Random(3)), 100, 0.1, id="at any moment"),
        pytest.param(at_any_moment(random.Random(4)), 8, 0.1, id="at any moment, crowded"),
        pytest.param(after_some(1), 100, 0.1, id="after each answer"),
        # Here a connection goes from one request to the next before its end can have come.
        pytest.param(after_some(1), 8, 0.4, id="after each answer, crowded"),
        pytest.param(after_some(3), 100, 0.1, id="after three answers"),
        pytest.param(when_idle(0.005), 100, 0.1, id="after 5 ms"),
    ],
)
async def test_an_upstream_that_leaves_costs_no_answer_and_nothing_is_done_twice(
    sidecar: Callable[..., RunningSidecar],
    record_property: Callable[[str, object], None],
    after: Callable[[Line], None],
    connections: int,
    share: float,
) -> None:
    """No POST is acted upon twice, and hardly one fails: its end was on its way already. Every GET is answered.

    A machine that stalls for longer than 0.2 s hears of an end too late to take it for that of a stale connection, and
    sends that GET no second time: so one in a hundred may be told 502 here.
    """
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    async with Restless(after) as upstream:
        running = await asyncio.to_thread(sidecar, CONFIG.format(url=upstream.url, connections=connections))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(ask(running.port, caller, "POST" if caller % 2 else "GET", seen, wrong))
        await asyncio.to_thread(running.until, lambda: in_flight(running) == 0, what="nothing is in flight")
    asked = CALLERS * EACH // 2
    posts = Counter({target: count for target, count in upstream.processed.items() if target.startswith("/POST/")})
    lost = sum(1 for target, status in seen.items() if status == 502 and target.startswith("/") and not posts[target])
    record_property(
        "figure", f"{asked} POSTs, {upstream.lines} connections: {seen['POST 502']} times 502, {lost} never arrived"
    )
    assert wrong == []
    assert seen["GET 200"] + seen["GET 502"] == asked
    assert seen["GET 502"] <= asked // 100
    assert seen["POST 200"] + seen["POST 502"] == asked
    assert set(posts.values()) == {1}
    assert len(posts) >= seen["POST 200"]
    assert upstream.lines > 50, "it hardly ever left"
    assert seen["POST 502"] <= asked * share


@pytest.mark.parametrize("route", ["plain", "secure"])
def test_a_connection_that_is_quiet_is_used_again_for_every_method(world: World, route: str) -> None:
    """Looking at it first does not cost it: TLS leaves nothing unread behind that would look like news."""
    upstream = world.secure if route == "secure" else world.upstream
    path = f"/{route}/again"
    upstream.on(path, ok())
    with world.caller() as caller:
        for _ in range(10):
            assert caller.ask("POST", path, body=b"hello").status == 200
            assert caller.ask("DELETE", path).status == 200
    lines = {request.connection for request in upstream.requests(path)}
    assert len(lines) <= 2  # the first may have had its session tickets still unread


# What comes without having been asked for.

FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
UNASKED = [
    pytest.param("GET", FIRST, b"x", id="bytes after a body"),
    pytest.param("GET", FIRST, EVIL, id="a second response"),
    pytest.param(
        "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n", EVIL, id="chunked"
    ),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", EVIL, id="after 204"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"body", id="a body after 204"),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", b"body", id="a body after 304"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body", id="a body after HEAD"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", EVIL, id="a response after HEAD"),
]


class Told:
    """An upstream whose every byte the test says; a sidecar in front of it; a caller."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.caller = world.caller()

    def exchange(self, method: str, line: socket.socket | None, answer: bytes) -> socket.socket:
        """A request that is answered so, on the connection it comes on: this one, or a new one."""
        self.caller.send(request(method, "/raw/x"))
        line = line or self._world.accept()
        assert read_head(line).startswith(method.encode() + b" /raw/x ")
        line.sendall(answer)
        return line


def read_head(line: socket.socket) -> bytes:
    """A request without a body, as the upstream sees it."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = line.recv(65536)
        assert piece, "it was closed"
        data += piece
    return data


def ended(line: socket.socket) -> bool:
    """Whether the sidecar closes it, and sends nothing more on it."""
    try:
        return line.recv(65536) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("when", ["same segment", "while idle"])
@pytest.mark.parametrize(("method", "answer", "more"), UNASKED)
def test_what_nobody_asked_for_is_nobodys_answer(
    world: World, method: str, answer: bytes, more: bytes, when: str
) -> None:
    """The connection is closed, and the next request goes on another: with its answer, or a moment after it."""
    told = Told(world)
    line = told.exchange(method, None, answer + more if when == "same segment" else answer)
    with told.caller, line:
        assert told.caller.answer(method).status in (200, 204, 304)
        if when == "while idle":
            line.sendall(more)
        assert ended(line)
        with told.exchange("GET", None, FIRST):
            assert told.caller.answer().body == b"first"


def test_a_response_before_its_request_is_complete_ends_the_connection(world: World) -> None:
    """An upstream that answers a body it has not read: the answer passes, and nobody uses the connection again."""
    with world.caller() as caller:
        caller.send(request("POST", "/raw/early", {"Content-Length": "100000"}) + b"y" * 70_000)
        with world.accept() as line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            assert caller.answer().status == 403
            with contextlib.suppress(ConnectionResetError):
                while line.recv(65536):
                    pass
    with world.caller() as caller:
        caller.send(request("GET", "/raw/x"))
        with world.accept() as line:
            read_head(line)
            line.sendall(FIRST)
            assert caller.answer().body == b"first"
            line.close()


def test_a_peer_that_says_how_long_it_keeps_a_connection_is_believed(world: World) -> None:
    """`Keep-Alive: timeout=2`: closed by us before that, so that nobody meets its end."""
    told = Told(world)
    with told.caller:
        line = told.exchange("GET", None, FIRST.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=2\r\n\r\n"))
        assert told.caller.answer().body == b"first"
        line.settimeout(2)
        assert ended(line)
        line.close()


def test_a_connection_that_is_old_is_not_used_again(sidecar: Callable[..., RunningSidecar]) -> None:
    """`max_age`, though it is never idle: names come to mean other addresses."""
    with Upstream() as upstream:
        upstream.on("/x", ok())
        config = CONFIG.format(url=upstream.url, connections=1).replace("connections: 1", "connections: 1, max_age: 1s")
        running = sidecar(config)
        with Caller(running.port) as caller:

            def on_another() -> bool:
                assert caller.ask("GET", "/x").status == 200
                return upstream.accepted > 1

            running.until(on_another, what="a second connection")
        upstream.wait_until_open(1)
