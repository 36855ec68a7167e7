"""Streams and long polls through a sidecar that runs as its own process: at once, and to their true end."""

import socket
import struct
from contextlib import suppress

import pytest
from app_caller import BrokenOff, request
from app_world import World
from fixtures import upstream as scripted

EVENT_STREAM = ("Content-Type", "text/event-stream")


def break_off(connection: socket.socket) -> None:
    """A TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_stream_is_open_before_its_first_event(world: World) -> None:
    """The head is with the caller while the upstream has nothing to say yet; `Last-Event-ID` is with the upstream."""
    with world.caller() as caller:
        caller.send(request("GET", "/raw/open", {"Last-Event-ID": "41", "Accept": "text/event-stream"}))
        with world.accept() as peer:
            assert b"\r\nLast-Event-ID: 41\r\n" in peer.recv(65536)
            peer.sendall(scripted.head(200, [EVENT_STREAM, ("Transfer-Encoding", "chunked")]))
            assert caller.head().status == 200
            for number in range(50):
                piece = b"data: %02d\n\n" % number
                peer.sendall(b"a\r\n" + piece + b"\r\n")
                assert caller.some(piece + b"\r\n") == b"a\r\n" + piece + b"\r\n"
            peer.sendall(b"0\r\n\r\n")
            assert caller.some(b"0\r\n\r\n") == b"0\r\n\r\n"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_that_ends_with_its_connection(world: World, version: str) -> None:
    """Chunked for HTTP/1.1, until the connection closes for 1.0; each event as it comes, and an orderly end."""
    with world.caller() as caller:
        caller.send(f"GET /raw/until-close HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        with world.accept() as peer:
            peer.recv(65536)
            peer.sendall(scripted.head(200, [EVENT_STREAM]))
            head = caller.head()
            assert head.get("transfer-encoding") == ("chunked" if version == "1.1" else None)
            assert head.get("connection") == (None if version == "1.1" else "close")
            peer.sendall(b"data: 1\n\n")
            assert caller.some(b"data: 1\n\n")
        if version == "1.1":
            assert caller.some(b"0\r\n\r\n")
            world.upstream.on("/plain/next", scripted.ok())
            assert caller.ask("GET", "/plain/next").status == 200
        else:
            assert caller.at_end()


@pytest.mark.parametrize(
    "framing", [[("Transfer-Encoding", "chunked")], [("Content-Length", "1000")]], ids=["chunked", "length"]
)
def test_a_stream_that_breaks_off_is_not_made_to_look_complete(world: World, framing: list[tuple[str, str]]) -> None:
    """An orderly end of the connection in mid-message is no end of the message."""
    with world.caller() as caller:
        caller.send(request("GET", "/raw/broken"))
        with world.accept() as peer:
            peer.recv(65536)
            peer.sendall(scripted.head(200, [EVENT_STREAM, *framing]) + b"9\r\ndata: 1\n\n\r\n")
            assert caller.head().status == 200
            assert caller.some(b"data: 1\n\n")
        with pytest.raises(BrokenOff):
            caller.some(b"0\r\n\r\n")
    line = world.lines("/raw/broken", 2 if framing[0][0] == "Content-Length" else 1)[-1]
    assert (line["status"], line["outcome"], line["reason"]) == (200, "upstream_error", "reset")


def test_a_caller_that_leaves_a_stream_ends_it(world: World) -> None:
    """The upstream hears of it at once, though nobody says anything."""
    with world.caller() as caller:
        caller.send(request("GET", "/raw/left"))
        with world.accept() as peer:
            peer.recv(65536)
            peer.sendall(scripted.head(200, [EVENT_STREAM, ("Transfer-Encoding", "chunked")]))
            assert caller.head().status == 200
            break_off(caller.socket)
            with suppress(ConnectionResetError):
                assert peer.recv(1) == b""
    assert world.lines("/raw/left")[0]["outcome"] == "client_gone"


def test_a_long_poll_is_answered_when_it_is(world: World) -> None:
    """Nothing is added to the time that the upstream takes."""
    world.upstream.on("/plain/poll", scripted.delayed(0.5, scripted.ok({"news": 1})))
    assert world.get("/plain/poll").json == {"news": 1}
    line = world.lines("/plain/poll")[0]
    assert 500 <= float(str(line["duration_ms"])) < float(str(line["upstream_ms"])) + 50
