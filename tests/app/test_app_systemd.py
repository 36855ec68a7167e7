"""What a service manager hands in, and what it is told."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import config
from sidecar.app import systemd


def listen(address: str) -> config.Listen:
    """As it stands in a file."""
    return config.Listen.model_validate(address)


@pytest.mark.parametrize(
    ("bound", "asked", "fits"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "[::]", True),
        ("0.0.0.0", "127.0.0.1", False),
    ],
)
def test_a_socket_is_for_its_address(bound: str, asked: str, *, fits: bool) -> None:
    """And for that alone: neither for another port nor for less than it covers."""
    with socket.create_server((bound, 0)) as sock:
        port = sock.getsockname()[1]
        assert systemd.is_for(sock, listen(f"{asked}:{port}")) is fits
        assert not systemd.is_for(sock, listen(f"{asked}:{port ^ 1}"))
        assert not systemd.is_for(sock, listen("unix:/run/x.sock"))


def test_a_unix_socket_is_for_its_path(tmp_path: Path) -> None:
    """To the letter."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "a.sock"))
        assert systemd.is_for(sock, listen(f"unix:{tmp_path}/a.sock"))
        assert not systemd.is_for(sock, listen(f"unix:{tmp_path}/b.sock"))
        assert not systemd.is_for(sock, listen("127.0.0.1:80"))


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getppid())},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_is_meant_for_another_is_left_alone(env: dict[str, str]) -> None:
    """And nobody below is told of it."""
    assert systemd.inherited(env) == []
    assert env == {}


def test_what_is_handed_in_is_taken_once(tmp_path: Path) -> None:
    """Descriptors from 3 on; what is no socket among them is passed over; children do not get them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, socket, sys\n"
        "own, other = int(sys.argv[1]), os.open('/dev/null', os.O_RDONLY)\n"
        "a, b = os.dup(own), os.dup(other)\n"
        "os.dup2(b, 3), os.dup2(a, 4)\n"
        "os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='a:b')\n"
        "from sidecar.app import systemd\n"
        "found = systemd.inherited()\n"
        "print([s.getsockname()[1] for s in found], os.get_inheritable(4), systemd.inherited())\n"
        "os._exit(not sys.stdout.flush() and any(name.startswith('LISTEN') for name in os.environ))\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        done = subprocess.run(
            [sys.executable, str(script), str(sock.fileno())],
            pass_fds=[sock.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"[{sock.getsockname()[1]}] False []"


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, *, abstract: bool) -> None:
    """One datagram per state, to a path or an abstract name."""
    name = f"sidecar-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(5)
        env = {"NOTIFY_SOCKET": f"@{name}" if abstract else name}
        systemd.tell(systemd.READY, env)
        systemd.tell(systemd.reloading(), env)
        assert manager.recv(100) == b"READY=1"
        first, second = manager.recv(100).split(b"\n")
        assert first == b"RELOADING=1"
        assert int(second.removeprefix(b"MONOTONIC_USEC=")) > 0


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@nobody-there"])
def test_no_manager_is_no_trouble(address: str) -> None:
    """Nothing is raised."""
    systemd.tell(systemd.READY, {"NOTIFY_SOCKET": address} if address else {})
