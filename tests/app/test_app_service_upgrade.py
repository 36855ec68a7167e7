"""Requests to switch protocols, through a sidecar that runs as its own process: handshakes, bytes and ends."""

import signal
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from app_caller import PATIENCE, Caller
from fixtures.process import RunningSidecar

AUTHORITY = trustme.CA()
CONFIG = """
limits: {{connections: 50}}
drain: {{timeout: 700ms, quiet: 100ms}}
upstreams:
  raw: {{endpoints: ["http://127.0.0.1:{port}"], pool: {{connections: 4}}}}
  secure: {{endpoints: ["https://localhost:{port}"], tls: {{ca: "{ca}"}}}}
defaults:
  upstream: raw
  timeout: {{total: 8s}}
  breaker: {{enabled: false}}
routes:
  - {{name: ws, match: {{prefix: /ws/}}}}
  - {{name: secure, match: {{prefix: /secure/}}, upstream: secure}}
  - {{name: none, match: {{prefix: /none/}}, upgrade: []}}
  - {{name: other, match: {{prefix: /other/}}, upgrade: [Chat, tls/1.3]}}
  - {{name: brief, match: {{prefix: /brief/}}, timeout: {{total: 400ms}}}}
  - {{name: quiet, match: {{prefix: /quiet/}}, timeout: {{idle: 300ms}}}}
  - {{name: fragile, match: {{prefix: /fragile/}}, breaker: {{enabled: true, consecutive_failures: 1, open_for: 60s}}}}
  - {{name: narrow, match: {{prefix: /narrow/}}, bulkhead: {{in_flight: 1}}}}
  - {{name: again, match: {{prefix: /again/}}, retry: {{attempts: 2, budget: {{per_second: 1000}}}}}}
  - {{name: picky, match: {{prefix: /picky/}}, expect: {{status: [200], content_type: application/json}}}}
  - {{name: fixed, match: {{prefix: /fixed/}}, fallback: [{{static: {{status: 200, json: {{}}}}}}]}}
"""

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: abc=\r\n\r\n"
)
TUNNELLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\xff"


@dataclass
class World:
    """A sidecar, and the socket to which all its routes lead."""

    sidecar: RunningSidecar
    raw: socket.socket

    def caller(self) -> Caller:
        """A connection to the sidecar."""
        return Caller(self.sidecar.port)

    def accept(self) -> "Peer":
        """The next connection that the sidecar opens."""
        connection, _ = self.raw.accept()
        connection.settimeout(PATIENCE)
        return Peer(connection)

    def open(self, path: str, context: ssl.SSLContext | None = None) -> "tuple[Caller, Peer]":
        """A tunnel and its two ends; the upstream's is TLS with a `context`."""
        caller = self.caller()
        caller.send(asking(path))
        peer = self.accept()
        if context is not None:
            peer = Peer(context.wrap_socket(peer.socket, server_side=True))
        peer.head()
        peer.send(ANSWER)
        assert caller.head().status == 101
        return caller, peer

    def line(self, path: str) -> dict[str, Any]:
        """The access log's line about a path."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.sidecar.access_log() if str(line["path"]).partition("?")[0] == path]

        self.sidecar.until(lambda: bool(found()), what=f"a line about {path}")
        (line,) = found()
        return line

    def nothing_comes(self) -> None:
        """No connection waits to be accepted."""
        self.raw.settimeout(0.05)
        with pytest.raises(TimeoutError):
            self.raw.accept()
        self.raw.settimeout(PATIENCE)


class Peer(Caller):
    """The upstream's end of a connection; reads bytes as a caller does."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._here = b""

    def head(self) -> list[bytes]:  # type: ignore[override]
        """Lines of the next request's head."""
        return self.some(b"\r\n\r\n").split(b"\r\n")[:-2]


def asking(path: str, upgrade: str = "websocket", *, more: str = "", version: str = "1.1") -> bytes:
    """A handshake."""
    return (
        f"GET {path} HTTP/{version}\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {upgrade}\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ).encode()


def break_off(connection: Caller) -> None:
    """A TCP reset."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def is_reset(connection: Caller) -> bool:
    """Whether the other side broke off, rather than ended."""
    try:
        return bool(connection.socket.recv(1)) and False
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Once per module."""
    directory = tmp_path_factory.mktemp("upgrade")
    AUTHORITY.cert_pem.write_to_path(str(directory / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as raw:
        raw.settimeout(PATIENCE)
        text = CONFIG.format(port=raw.getsockname()[1], ca=directory / "ca.pem")
        running = RunningSidecar(text, directory)
        try:
            yield World(running, raw)
            running.stop()
            assert "Traceback" not in running.log_text(), running.log_text()
            assert "failed" not in running.stderr(), running.stderr()
        finally:
            running.kill()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """With nothing left over from the test before, nor for the one after."""
    yield shared

    def at_rest() -> bool:
        status = shared.sidecar.status()
        connections = status["upstreams"][0]["connections"]
        return connections["active"] == 0 == sum(route["in_flight"] + route["tunnels"] for route in status["routes"])

    shared.sidecar.until(at_rest, what="nothing is under way")
    shared.nothing_comes()


# What is asked.


def test_a_handshake_passes_and_then_any_bytes(world: World) -> None:
    """The fields of the handshake are the caller's; what follows the 101 is not looked at, in either direction."""
    with world.caller() as caller:
        caller.send(asking("/ws/chat?room=1"))
        with world.accept() as peer:
            lines = peer.head()
            assert lines[0] == b"GET /ws/chat?room=1 HTTP/1.1"
            assert [line for line in lines if line.lower().startswith((b"connection:", b"upgrade:"))] == [
                b"Connection: Upgrade",
                b"Upgrade: websocket",
            ]
            assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" in lines
            assert b"Sec-WebSocket-Version: 13" in lines
            peer.send(ANSWER + b"\x00first")  # in one segment with the head
            head = caller.head()
            assert (head.status, head.get("connection"), head.get("upgrade")) == (101, "Upgrade", "websocket")
            assert (head.get("sec-websocket-accept"), head.attempts) == ("abc=", 1)
            assert caller.exactly(6) == b"\x00first"
            caller.send(TUNNELLED)
            assert peer.exactly(len(TUNNELLED)) == TUNNELLED
            assert world.sidecar.metric('sidecar_tunnels{route="ws"}') == 1
            assert world.sidecar.metric('sidecar_in_flight{route="ws"}') == 1
            assert world.sidecar.status()["upstreams"][0]["connections"] == {"idle": 0, "active": 1}
    line = world.line("/ws/chat")
    assert (line["status"], line["outcome"], line["reason"]) == (101, "ok", "")
    assert (line["bytes_in"], line["attempts"]) == (len(TUNNELLED), 1)
    assert world.sidecar.metric('sidecar_tunnels{route="ws"}') == 0
    assert world.sidecar.metric('sidecar_requests_total{route="ws",method="GET",code="101",outcome="ok"}') >= 1


def test_what_comes_early_is_held_for_the_101(world: World) -> None:
    """More than we hold, even: the upstream gets nothing of it before its 101, and all of it after."""
    early = b"POST /smuggled HTTP/1.1\r\n\r\n" * 10_000
    with world.caller() as caller:
        caller.send(asking("/ws/early") + early[:50_000])
        with world.accept() as peer:
            peer.head()
            peer.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                peer.socket.recv(1)
            peer.socket.settimeout(PATIENCE)
            peer.send(ANSWER)
            assert caller.head().status == 101
            caller.send(early[50_000:])
            assert peer.exactly(len(early)) == early


@pytest.mark.parametrize(
    ("path", "asked", "passed"),
    [
        pytest.param("/none/x", "websocket", None, id="none-allowed"),
        pytest.param("/ws/x", "TLS/1.2", None, id="another-than-allowed"),
        pytest.param("/ws/x", "h2c", None, id="h2c"),
        pytest.param("/other/x", "websocket, chat, TLS/1.3, tls/1.2", b"chat, TLS/1.3", id="some-of-several"),
        pytest.param("/ws/x", "WebSocket", b"WebSocket", id="in-any-case"),
        pytest.param("/other/x", "chat/7", b"chat/7", id="any-version"),
    ],
)
def test_only_what_the_route_allows_is_asked_for(world: World, path: str, asked: str, passed: bytes | None) -> None:
    """The rest is left out; with nothing left it is a plain request, and its connection goes on."""
    with world.caller() as caller:
        caller.send(asking(path, asked))
        with world.accept() as peer:
            lines = peer.head()
            found = [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"upgrade:")]
            assert found == ([] if passed is None else [passed])
            assert (b"Connection: Upgrade" in lines) == (passed is not None)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answer = caller.answer()
            assert (answer.status, answer.body) == (200, b"ok")
            if passed is None:
                caller.send(asking(path, asked))
                peer.head()
                peer.send(b"HTTP/1.1 204 No\r\n\r\n")
                assert caller.answer().status == 204
            else:
                assert answer.get("connection") == "close"
                assert caller.at_end()


def test_http_1_0_switches_to_nothing(world: World) -> None:
    """Its `Upgrade` must be ignored (RFC 9110 section 7.8)."""
    with world.caller() as caller:
        caller.send(asking("/ws/old", version="1.0"))
        with world.accept() as peer:
            assert not [line for line in peer.head() if line.lower().startswith((b"upgrade:", b"connection:"))]
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert caller.answer().status == 200


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Content-Length: 5\r\n", b"hello"),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
    ids=["length", "chunked"],
)
def test_a_body_is_refused(world: World, more: str, body: bytes) -> None:
    """It would stand between the request and the first byte of the other protocol: 400, and the end."""
    with world.caller() as caller:
        caller.send(asking("/ws/body", more=more) + body)
        answer = caller.answer()
        assert (answer.status, answer.json["reason"], answer.get("connection")) == (400, "bad_request", "close")
        assert caller.at_end()
    world.nothing_comes()


# What is answered.


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: Upgrade\r\nUpgrade: chat\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket, chat\r\n",
        b"Connection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"",
    ],
    ids=["another", "one-more", "to-nothing", "not-in-connection", "bare"],
)
def test_a_101_to_what_was_not_asked_for_is_malformed(world: World, fields: bytes) -> None:
    """502, and not a byte after it comes through in either direction."""
    with world.caller() as caller:
        caller.send(asking("/ws/odd") + b"early")
        with world.accept() as peer:
            peer.head()
            peer.send(b"HTTP/1.1 101 Odd\r\n" + fields + b"\r\nlater")
            answer = caller.answer()
            assert (answer.status, answer.json["reason"]) == (502, "malformed_response")
            assert (answer.get("connection"), answer.get("upgrade")) == ("close", None)
            assert caller.at_end()
            assert is_reset(peer) or peer.at_end()


def test_a_101_that_nobody_asked_for_is_malformed(world: World) -> None:
    """A plain request does not end in a tunnel."""
    with world.caller() as caller:
        caller.send(b"GET /ws/plain HTTP/1.1\r\nHost: a\r\n\r\n")
        with world.accept() as peer:
            peer.head()
            peer.send(ANSWER)
            assert (caller.answer().status, world.line("/ws/plain")["reason"]) == (502, "malformed_response")


@pytest.mark.parametrize("status", [200, 404, 426, 503])
def test_another_answer_is_an_ordinary_one(world: World, status: int) -> None:
    """It passes as it is. The connection closes: what was sent ahead is no request, for us or for the upstream."""
    with world.caller() as caller:
        caller.send(asking("/ws/no") + b"GET /ws/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        with world.accept() as peer:
            peer.head()
            peer.send(b"HTTP/1.1 %d Some\r\nContent-Length: 4\r\nX-Own: 1\r\n\r\nbody" % status)
            answer = caller.answer()
            assert (answer.status, answer.body, answer.get("x-own")) == (status, b"body", "1")
            assert answer.get("connection") == "close"
            assert caller.at_end()
            assert peer.at_end(), "a connection that was asked to switch must not serve others"


def test_our_own_answers_close_as_well(world: World) -> None:
    """A refusal is not an invitation to go on: what came ahead is not read as a request."""
    with world.caller() as caller:
        caller.send(asking("/nowhere") + b"GET /ws/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = caller.answer()
        assert (answer.status, answer.json["reason"], answer.get("connection")) == (404, "no_route", "close")
        assert caller.at_end()
    world.nothing_comes()


# Policies.


def test_the_deadline_counts_until_the_101_only(world: World) -> None:
    """A tunnel outlives the route's total; a handshake does not."""
    caller, peer = world.open("/brief/long")
    with caller, peer:
        with world.caller() as late:
            late.send(asking("/brief/late"))
            with world.accept() as silent:
                silent.head()
                answer = late.answer()
                assert (answer.status, answer.get("connection")) == (504, "close")
        peer.send(b"still here")
        assert caller.exactly(10) == b"still here"
    assert world.line("/brief/long")["duration_ms"] > 400


def test_silence_ends_a_tunnel(world: World) -> None:
    """Nothing for `timeout.idle` in either direction: both sides are closed, and the log says why."""
    caller, peer = world.open("/quiet/x")
    with caller, peer:
        assert caller.at_end()
        assert peer.at_end()
    line = world.line("/quiet/x")
    assert (line["status"], line["outcome"], line["reason"]) == (101, "ok", "deadline")
    assert 300 <= line["duration_ms"] < 3000


def test_the_breaker_judges_the_handshake(world: World) -> None:
    """101 is a success at once, however the tunnel ends; a 5xx is a failure."""
    for path in ("/fragile/1", "/fragile/2"):
        caller, peer = world.open(path)
        with caller:
            break_off(peer)
            assert is_reset(caller)
    state = 'sidecar_breaker_state{route="fragile",state="%s"}'
    assert world.sidecar.metric(state % "closed") == 1
    with world.caller() as caller:
        caller.send(asking("/fragile/3"))
        with world.accept() as peer:
            peer.head()
            peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            assert caller.answer().status == 500
    assert world.sidecar.metric(state % "open") == 1
    with world.caller() as caller:
        caller.send(asking("/fragile/4"))
        answer = caller.answer()
        assert (answer.json["reason"], answer.get("connection")) == ("breaker_open", "close")


def test_a_tunnel_holds_its_slot(world: World) -> None:
    """One connection is one connection: the bulkhead is full until it ends."""
    caller, peer = world.open("/narrow/1")
    with world.caller() as other:
        other.send(asking("/narrow/2"))
        assert other.answer().json["reason"] == "bulkhead_full"
    caller.socket.close()
    assert peer.at_end()
    peer.socket.close()
    world.sidecar.until(lambda: world.sidecar.metric('sidecar_tunnels{route="narrow"}') == 0, what="the tunnel ended")
    caller, peer = world.open("/narrow/3")
    with caller, peer:
        pass


def test_tunnels_count_against_the_pool(world: World) -> None:
    """`pool.connections` bounds them: one more handshake waits until one ends."""
    tunnels = [world.open(f"/ws/pool/{number}") for number in range(4)]
    with world.caller() as waiting:
        waiting.send(asking("/ws/pool/late"))
        world.nothing_comes()
        caller, peer = tunnels.pop()
        caller.socket.close()
        peer.socket.close()
        with world.accept() as peer:
            peer.head()
            peer.send(ANSWER)
            assert waiting.head().status == 101
    for caller, peer in tunnels:
        caller.socket.close()
        peer.socket.close()


def test_a_handshake_that_failed_is_tried_again(world: World) -> None:
    """It is a GET: nothing was done until its 101."""
    with world.caller() as caller:
        caller.send(asking("/again/x") + b"early")
        with world.accept() as first:
            first.head()
            break_off(first)
        with world.accept() as second:
            second.head()
            second.send(ANSWER)
            head = caller.head()
            assert (head.status, head.attempts) == (101, 2)
            assert second.exactly(5) == b"early"


def test_what_is_expected_of_answers_is_not_expected_of_a_101(world: World) -> None:
    """It has no body; an answer that is none of either is judged as ever."""
    caller, peer = world.open("/picky/x")
    with caller, peer:
        caller.send(b"hello")
        assert peer.exactly(5) == b"hello"
    with world.caller() as caller:
        caller.send(asking("/picky/y"))
        with world.accept() as peer:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno")
            assert caller.answer().json["reason"] == "unexpected_response"


def test_a_failed_handshake_may_be_rescued(world: World) -> None:
    """As any request: the ladder answers."""
    with world.caller() as caller:
        caller.send(asking("/fixed/x"))
        with world.accept() as peer:
            peer.head()
            break_off(peer)
            answer = caller.answer()
            assert (answer.status, answer.json, answer.get("connection")) == (200, {}, "close")


# How it ends.


def test_each_half_ends_by_itself(world: World) -> None:
    """The upstream sees the caller's end at once, and may still say what it has to say."""
    caller, peer = world.open("/ws/half")
    with caller, peer:
        caller.send(b"question")
        caller.socket.shutdown(socket.SHUT_WR)
        assert peer.exactly(8) == b"question"
        assert peer.at_end()
        answer = b"answer" * 100_000
        peer.send(answer)
        peer.socket.shutdown(socket.SHUT_WR)
        assert caller.exactly(len(answer)) == answer
        assert caller.at_end()
    assert world.line("/ws/half")["outcome"] == "ok"


@pytest.mark.parametrize(
    ("path", "outcome", "reason"),
    [("/ws/caller-breaks", "client_gone", "client_gone"), ("/ws/upstream-breaks", "upstream_error", "reset")],
)
def test_a_reset_is_a_reset(world: World, path: str, outcome: str, reason: str) -> None:
    """Nobody may take what was cut off for complete; the log says who it was."""
    caller, peer = world.open(path)
    one, other = (caller, peer) if reason == "client_gone" else (peer, caller)
    with other:
        break_off(one)
        assert is_reset(other)
    line = world.line(path)
    assert (line["status"], line["outcome"], line["reason"]) == (101, outcome, reason)


def test_a_goodbye_before_a_reset_arrives(world: World) -> None:
    """A server that says goodbye and closes at once: its caller still gets every byte of it, and an orderly end."""
    caller, peer = world.open("/ws/goodbye")
    with caller:
        goodbye = b"bye" * 30_000
        peer.send(goodbye)
        peer.socket.close()
        caller.send(b"an answer that nobody reads")
        assert caller.exactly(len(goodbye)) == goodbye
        caller.send(b"another")
        assert caller.at_end()


@pytest.fixture(scope="module")
def secure() -> ssl.SSLContext:
    """What the upstream shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


def test_tls_ends_in_order(world: World, secure: ssl.SSLContext) -> None:
    """The caller's end is a close_notify after the last byte; the upstream's close_notify is the caller's end."""
    caller, peer = world.open("/secure/caller-first", secure)
    with caller, peer:
        caller.send(b"x" * 100_000)
        caller.socket.shutdown(socket.SHUT_WR)
        assert peer.exactly(100_000) == b"x" * 100_000
        assert peer.at_end(), "an end without close_notify would raise"
    caller, peer = world.open("/secure/upstream-first", secure)
    with caller:
        peer.send(b"x" * 100_000)
        assert isinstance(peer.socket, ssl.SSLSocket)
        assert caller.exactly(100_000) == b"x" * 100_000
        with suppress(ssl.SSLError, OSError):
            peer.socket.unwrap()
        peer.socket.close()
        assert caller.at_end()
    for path in ("/secure/caller-first", "/secure/upstream-first"):
        assert (world.line(path)["outcome"], world.line(path)["reason"]) == ("ok", "")


def test_tls_that_is_cut_off_is_no_end(world: World, secure: ssl.SSLContext) -> None:
    """Without a close_notify nobody knows what is missing (RFC 8446 section 6.1): the caller sees a reset."""
    caller, peer = world.open("/secure/cut", secure)
    with caller:
        peer.send(b"half of a")
        assert caller.exactly(9) == b"half of a"
        plain = socket.socket(fileno=peer.socket.detach())
        plain.close()
        assert is_reset(caller)
    assert world.line("/secure/cut")["reason"] == "reset"


@pytest.mark.parametrize("hurried", [False, True])
def test_a_drain_waits_for_tunnels_and_then_closes_them(
    sidecar: Callable[..., RunningSidecar], tmp_path: Path, *, hurried: bool
) -> None:
    """Until `drain.timeout`, or a second SIGTERM; both sides see an end, and the log has its line."""
    with socket.create_server(("127.0.0.1", 0)) as raw:
        raw.settimeout(PATIENCE)
        AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        text = CONFIG.format(port=raw.getsockname()[1], ca=tmp_path / "ca.pem")
        running = sidecar(text.replace("timeout: 700ms", "timeout: 60s") if hurried else text)
        world = World(running, raw)
        caller, peer = world.open("/ws/drained")
        with caller, peer:
            running.send_signal(signal.SIGTERM)
            running.until(lambda: "draining" in running.stderr(), what="draining")
            caller.send(b"one more")
            assert peer.exactly(8) == b"one more"
            if hurried:
                running.send_signal(signal.SIGTERM)
            assert caller.at_end()
            assert peer.at_end()
            assert running.wait() == 0
        line = running.access_log()[-1]
        assert (line["path"], line["status"], line["outcome"], line["reason"]) == ("/ws/drained", 101, "ok", "draining")
        assert hurried or line["duration_ms"] >= 700
