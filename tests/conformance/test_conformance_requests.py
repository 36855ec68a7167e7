"""Requests whole, broken off and wrong, as h1spec has them, and a few that it has not, through a whole sidecar.

The upstream counts: a request that is refused must not have reached it in any shape.
"""

import http.client
import re
import select
import socket
from collections.abc import Iterator

import pytest
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream, head

LIMIT = 5.0


async def mirror(exchange: Exchange) -> None:
    """Answers with the body that came."""
    body = exchange.request.body
    await exchange.write(head(200, [("Content-Length", str(len(body)))]) + body)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One for all cases."""
    with Upstream() as server:
        yield server.otherwise(mirror)


@pytest.fixture(scope="module")
def sidecar(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One in front of it."""
    config = (
        f"upstreams: {{up: {{endpoints: ['{upstream.url}']}}}}\n"
        "routes: [{name: all, match: {prefix: /}, upstream: up}]"
    )
    running = RunningSidecar(config, tmp_path_factory.mktemp("sidecar"))
    yield running
    running.kill()


def connected(sidecar: RunningSidecar) -> socket.socket:
    """A connection of our own."""
    return socket.create_connection(("127.0.0.1", sidecar.port), LIMIT)


def answered(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next final answer."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def until_close(connection: socket.socket) -> bytes:
    """Everything until the other side has ended."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


H = b"Host: origin.example\r\n"
PLAIN = b"GET /whole HTTP/1.1\r\nHost: origin.example\r\n\r\n"


def test_part_of_a_request_is_waited_for(sidecar: RunningSidecar) -> None:
    """Broken off at any byte, a request gets no answer, and the right one once the rest has come."""
    connections = [(cut, connected(sidecar)) for cut in range(1, len(PLAIN))]
    try:
        for cut, connection in connections:
            connection.sendall(PLAIN[:cut])
        with connected(sidecar) as another:
            another.sendall(PLAIN)
            assert answered(another) == (200, b"")  # the sidecar has gone round since
        waiting = [connection for _, connection in connections]
        assert select.select(waiting, [], [], 0)[0] == []
        for cut, connection in connections:
            connection.sendall(PLAIN[cut:])
            assert answered(connection) == (200, b""), PLAIN[:cut]
    finally:
        for _, connection in connections:
            connection.close()


SERVED = {
    "a plain GET": (b"GET / HTTP/1.1\r\n" + H + b"\r\n", b""),
    "a tab before a value, a field without one": (b"GET / HTTP/1.1\r\nhOsT:\torigin.example\r\nnothing:\r\n\r\n", b""),
    "a value of one space": (b"GET / HTTP/1.1\r\n" + H + b"X-Nothing: \r\n\r\n", b""),
    "an expectation without a body": (b"GET / HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\n\r\n", b""),
    "a body of a known length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nthree", b"three"),
    "a body in chunks": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"transfer-ENCODING: chunked\r\n\r\n5\r\nthree\r\nA;x=1\r\n and seven\r\n0\r\n\r\n",
        b"three and seven",
    ),
    "a method in common use": (b"PROPFIND / HTTP/1.1\r\n" + H + b"\r\n", b""),
    "a request of HTTP/1.0": (b"GET / HTTP/1.0\r\n" + H + b"\r\n", b""),
    "an empty line in front": (b"\r\nGET / HTTP/1.1\r\n" + H + b"\r\n", b""),
}


@pytest.mark.parametrize("name", SERVED)
def test_a_request_that_is_right_is_served(sidecar: RunningSidecar, upstream: Upstream, name: str) -> None:
    """However odd it looks: one request arrives, and its body comes back."""
    request, body = SERVED[name]
    before = upstream.count()
    with connected(sidecar) as connection:
        connection.sendall(request)
        assert answered(connection) == (200, body)
    assert upstream.count() == before + 1
    assert upstream.requests()[-1].body == body


REFUSED = {
    "no version": (b"GET / \r\n\r\n", {400}),
    "a version there is not": (b"GET / HTTP/9.9\r\n" + H + b"\r\n", {400, 505}),
    "a version of another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "words in front of the method": (b"Further wordsGET / HTTP/1.1\r\n" + H + b"\r\n", {400, 501}),
    "brackets in a name": (b"GET / HTTP/1.1\r\n" + H + b"X-Odd[]: value\r\n\r\n", {400}),
    "a space before the colon": (b"GET / HTTP/1.1\r\n" + H + b"X-Odd : value\r\n\r\n", {400}),
    "a bell in a value": (b"GET / HTTP/1.1\r\n" + H + b"X-Odd: ding\x07\r\n\r\n", {400}),
    "a line that is folded": (b"GET / HTTP/1.1\r\n" + H + b"X-Odd: one\r\n two\r\n\r\n", {400}),
    "no Host": (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", {400}),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + H + b"Host: other.example\r\n\r\n", {400}),
    "the same Host twice": (b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", {400}),
    "a length below nothing": (b"GET / HTTP/1.1\r\n" + H + b"Content-Length: -1234\r\n\r\n", {400}),
    "a length far below nothing": (b"GET / HTTP/1.1\r\n" + H + b"Content-Length: -" + b"9" * 27 + b"\r\n\r\n", {400}),
    "a length in letters": (b"GET / HTTP/1.1\r\n" + H + b"Content-Length: abc\r\n\r\n", {400}),
    "two lengths": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nthree", {400}),
    "half a line's end": (b"GET / HTTP/1.1\r\n" + H + b"\rX-Odd: value\r\n\r\n", {400}),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\n" + H + b"content-lengTH: 5\r\nTRANSFER-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n",
        {400},
    ),
    "chunks in HTTP/1.0": (
        b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n",
        {400},
    ),
    "a coding after chunks": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, gzip\r\n\r\n5\r\nthree\r\n0\r\n\r\n",
        {400, 501},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_wrong_goes_no_further(sidecar: RunningSidecar, upstream: Upstream, name: str) -> None:
    """One refusal, then the end of the connection: nothing behind it is read as a request."""
    request, statuses = REFUSED[name]
    before = upstream.count()
    with connected(sidecar) as connection:
        connection.sendall(request + PLAIN)
        answer = until_close(connection)
    found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
    assert len(found) == 1
    assert found[0] in statuses
    assert upstream.count() == before
