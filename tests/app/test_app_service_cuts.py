"""A connection may end after any byte, on either side: nobody takes half of anything for whole, and nothing stays."""

from collections.abc import Iterator

import pytest
from app_caller import Answer, BrokenOff, Caller, request
from app_peers import in_flight, reset
from fixtures.process import RunningSidecar
from fixtures.upstream import Behaviour, Exchange, Upstream, ok

CONFIG = """
upstreams:
  main: {{endpoints: ["{url}"], ejection: {{consecutive_failures: 0}}}}
routes:
  - {{name: all, match: {{prefix: /}}, upstream: main, breaker: {{enabled: false}}}}
"""

CHUNKS = b"5\r\nhello\r\n3\r\nyou\r\n0\r\nX-A: 1\r\n\r\n"
REQUESTS = {
    "plain": b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "counted": b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
}
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES = {
    "counted": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": CHUNKED_HEAD + CHUNKS,
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "bodiless": b"HTTP/1.1 204 No Content\r\n\r\n",
}

World = tuple[RunningSidecar, Upstream]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sidecar and its upstream, once per module; in the end nothing is under way."""
    with Upstream() as upstream:
        running = RunningSidecar(CONFIG.format(url=upstream.url), tmp_path_factory.mktemp("cut"))
        try:
            yield running, upstream
            running.until(lambda: in_flight(running) == 0, what="nothing is in flight")
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
        finally:
            running.kill()


@pytest.mark.parametrize("by_reset", [True, False], ids=["reset", "end"])
@pytest.mark.parametrize("kind", REQUESTS)
def test_a_caller_may_leave_after_any_byte(cut: World, kind: str, by_reset: bool) -> None:  # noqa: FBT001
    """The upstream is never given half of a request as a whole one; the next caller is served."""
    running, upstream = cut
    upstream.on("/a", ok())
    wire = REQUESTS[kind]
    before = upstream.count("/a")
    for end in range(len(wire)):
        caller = Caller(running.port)
        caller.send(wire[:end])
        if by_reset:
            reset(caller.socket)
        else:
            caller.socket.close()
    with Caller(running.port) as caller:
        caller.send(wire)
        assert caller.answer().status == 200
    running.until(lambda: in_flight(running) == 0, what="nothing is in flight")
    whole = upstream.requests("/a")[before:]
    assert [one.body for one in whole] == [{"plain": b"", "counted": b"hello", "chunked": b"helloyou"}[kind]]
    assert not upstream.faults or all("incomplete" in fault or "closed" in fault for fault in upstream.faults)


@pytest.mark.parametrize("by_reset", [True, False], ids=["reset", "end"])
def test_a_caller_may_leave_while_it_is_answered(cut: World, by_reset: bool) -> None:  # noqa: FBT001
    """After any byte of the answer that it has read."""
    running, upstream = cut
    upstream.on("/b", ok({"a": "b" * 30}))
    with Caller(running.port) as caller:
        caller.send(request("GET", "/b", {"Connection": "close"}))
        length = len(caller.some(b'"}'))
    for end in range(1, length, 3):
        caller = Caller(running.port)
        caller.send(request("GET", "/b") * 2)
        caller.exactly(end)
        if by_reset:
            reset(caller.socket)
        else:
            caller.socket.close()
    running.until(lambda: in_flight(running) == 0, what="nothing is in flight")


def until(wire: bytes, end: int, *, by_reset: bool) -> Behaviour:
    """So many bytes of an answer, then the end of the connection."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(wire[:end])
        if by_reset:
            exchange.reset()
        else:
            exchange.close()

    return behave


def final(caller: Caller) -> Answer:
    """The next answer that is not an interim one."""
    while (answer := caller.answer()).status < 200:
        pass
    return answer


@pytest.mark.parametrize("by_reset", [True, False], ids=["reset", "end"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", RESPONSES)
def test_an_upstream_may_leave_after_any_byte(cut: World, kind: str, method: str, by_reset: bool) -> None:  # noqa: FBT001
    """502 as long as nothing of it was promised; what was begun breaks off; only all of it is an answer."""
    running, upstream = cut
    wire = RESPONSES[kind]
    caller = Caller(running.port)
    for end in range(len(wire)):
        path = f"/{kind}/{method}/{by_reset}/{end}"
        upstream.on(path, until(wire, end, by_reset=by_reset))
        caller.send(request(method, path, body=b"body" if method == "POST" else b""))
        if kind == "chunked" and end >= len(CHUNKED_HEAD):
            # A reset may overtake what was sent before it.
            assert broken_off(caller) or by_reset
            caller.socket.close()
            caller = Caller(running.port)
        else:
            answer = final(caller)
            assert (answer.status, answer.json["reason"]) == (502, "reset"), end
        if method == "POST":
            assert upstream.count(path) <= 1
    path = f"/{kind}/{method}/{by_reset}/whole"
    upstream.on(path, until(wire, len(wire), by_reset=False))
    caller.send(request(method, path))
    answer = final(caller)
    assert answer.status in (200, 204)
    assert answer.body == {"bodiless": b"", "chunked": b"helloyou"}.get(kind, b"hello")
    caller.socket.close()


def broken_off(caller: Caller) -> bool:
    """Whether the answer has no end; else it is a 502."""
    try:
        assert caller.answer().status == 502
    except BrokenOff:
        return True
    return False


def test_the_end_of_many_at_once_leaves_nothing(cut: World) -> None:
    """Hundreds of callers that reset in the middle of everything: every count returns to where it was."""
    running, upstream = cut
    upstream.on("/c", ok({"a": "b" * 30_000}))
    callers = [Caller(running.port) for _ in range(300)]
    for index, caller in enumerate(callers):
        caller.send((REQUESTS["counted"].replace(b"/a", b"/c") * 3)[: 30 + index])
    for caller in callers:
        reset(caller.socket)
    running.until(lambda: in_flight(running) == 0, what="nothing is in flight")
    with Caller(running.port) as caller:
        assert caller.ask("GET", "/c").status == 200
