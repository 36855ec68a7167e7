"""What the kernel tells of who listens at an address, and that it can be told whom to choose."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sidecar.wire.handover import sharers, steer


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test opens."""
    with ExitStack() as found:
        yield found


def listening(stack: ExitStack, host: str, port: int = 0) -> socket.socket:
    """A socket that shares its address with whoever says the same."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = stack.enter_context(socket.create_server((host, port), family=family, reuse_port=True))
    sock.setblocking(False)  # noqa: FBT003 - socket's own signature
    return sock


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_all_that_listen_at_the_address_are_counted(stack: ExitStack, host: str) -> None:
    """Whatever the family; not those at other ports, nor connections."""
    first = listening(stack, host)
    port = first.getsockname()[1]
    listening(stack, host)
    assert sharers(first) == 1
    caller = "::1" if ":" in host else "127.0.0.1"
    stack.enter_context(socket.create_connection((caller, port)))
    assert sharers(first) == 1
    listening(stack, host, port)
    assert sharers(first) == 2


def test_what_has_no_such_table_is_alone(stack: ExitStack) -> None:
    """A unix socket, say."""
    assert sharers(stack.enter_context(socket.socket(socket.AF_UNIX))) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_new_connections_go_where_they_are_steered(stack: ExitStack, host: str) -> None:
    """All of them, from the moment it is said; in the order in which they began to listen."""
    first = listening(stack, host)
    port = first.getsockname()[1]
    sockets = [first, listening(stack, host, port)]
    for number in (1, 0):
        assert steer(first, number)
        for _ in range(20):
            stack.enter_context(socket.create_connection((host, port)))
        taken = [sum(1 for _ in accepted(stack, sock)) for sock in sockets]
        assert taken == ([0, 20] if number else [20, 0])


def accepted(stack: ExitStack, sock: socket.socket) -> Iterator[socket.socket]:
    """Everything that waits there."""
    while True:
        try:
            yield stack.enter_context(sock.accept()[0])
        except BlockingIOError:
            return


def test_a_socket_that_cannot_be_steered_says_so(stack: ExitStack) -> None:
    """And is none the worse for it."""
    assert not steer(stack.enter_context(socket.socket(socket.AF_UNIX)), 1)
