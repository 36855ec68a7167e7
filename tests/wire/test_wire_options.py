"""Laws of socket options: a peer that vanished is noticed within about a minute, on either side."""

import socket

import pytest

from sidecar.wire.options import BETWEEN, IDLE, QUESTIONS, UNACKNOWLEDGED, give_up_on_silence, probe_silence

PROBES = [1, IDLE, BETWEEN, QUESTIONS]


def probes(sock: socket.socket) -> list[int]:
    """When the kernel asks whether the peer is there."""
    return [
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    ]


def test_about_a_minute() -> None:
    """Both bounds are the same: with the user timeout set, Linux ends probes by it, not by their number."""
    assert IDLE + BETWEEN * QUESTIONS == UNACKNOWLEDGED / 1000 == 60


def test_what_a_listener_accepts_is_probed() -> None:
    """Options of the listening socket are those of its connections: no system call for each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        probe_silence(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert probes(accepted) == PROBES


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_we_send_is_acknowledged_in_time(family: socket.AddressFamily) -> None:
    """To an upstream: bytes that nobody acknowledges end the connection."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        give_up_on_silence(sock)
        assert probes(sock) == PROBES
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED
