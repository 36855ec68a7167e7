"""Sockets that a service manager holds: the process may come and go, callers wait and do not notice."""

import asyncio
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_caller import ask
from app_peers import Restless
from app_reloading import Crowd, crowded
from fixtures import upstream as scripted
from fixtures.process import Process, free_port
from fixtures.upstream import Upstream

LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""As systemd does it: the descriptor has to be 3, and the variable to name the process that is to have it."""

TEXT = """
listen: {address}
admin: {{listen: 127.0.0.1:{admin}}}
access_log: {{sample: 0%}}
drain: {{timeout: 10s, quiet: 200ms}}
upstreams: {{main: {{endpoints: ["{url}"]}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: main, timeout: {{total: 10s}}}}]
"""


class Manager:
    """Holds a socket, and starts sidecars that are given it."""

    def __init__(self, directory: Path, sock: socket.socket) -> None:
        self.directory = directory
        self.sock = sock
        self.processes: list[Process] = []
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(directory / "notify"))
        self.told.settimeout(20)

    def start(self, address: str, url: str) -> Process:
        """One that is ready, as it says itself."""
        admin = free_port()
        path = self.directory / "sidecar.yaml"
        path.write_text(TEXT.format(address=address, admin=admin, url=url))
        own = self.directory / str(len(self.processes))
        own.mkdir()
        number = str(self.sock.fileno())
        command = [sys.executable, "-c", LAUNCH, number, sys.executable, "-m", "sidecar", "run", "-c", str(path)]
        env = {"NOTIFY_SOCKET": str(self.directory / "notify")}
        self.processes.append(Process(command, own, env, pass_fds=[self.sock.fileno()]))
        assert self.state() == "READY=1"
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5) as answer:
            assert answer.status == 200
        return self.processes[-1]

    def state(self) -> str:
        """What it is told next."""
        return self.told.recv(200).decode()

    def close(self) -> None:
        """Ends everything."""
        for process in self.processes:
            process.kill()
        self.told.close()


@pytest.fixture
def manage(tmp_path: Path) -> Iterator[Callable[[socket.socket], Manager]]:
    """A manager for a socket."""
    managers: list[Manager] = []

    def made(sock: socket.socket) -> Manager:
        managers.append(Manager(tmp_path, sock))
        return managers[-1]

    yield made
    for manager in managers:
        manager.close()


async def test_a_restart_under_load_loses_nothing(
    manage: Callable[[socket.socket], Manager], record_property: Callable[[str, object], None]
) -> None:
    """Nobody serves for as long as a start takes: who calls meanwhile waits in the socket's queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as sock:
        manager, port = manage(sock), sock.getsockname()[1]
        async with Restless(after=lambda line: None) as upstream:
            running = await asyncio.to_thread(manager.start, f"127.0.0.1:{port}", upstream.url)
            crowd = Crowd(port, "/r/")
            async with crowded(crowd, per_second=500.0, lines=12, fresh=8):
                for _ in range(2):
                    await crowd.answers(200)
                    assert await asyncio.to_thread(running.stop) == 0
                    assert manager.state() == "STOPPING=1"
                    running = await asyncio.to_thread(manager.start, f"127.0.0.1:{port}", upstream.url)
                await crowd.answers(200)
            assert crowd.wrong == []
            record_property(
                "figure",
                f"2 restarts with the socket held: {crowd.answered} answered, 0 failed, 0 reset; slowest "
                f"{crowd.slowest:.2f} s, {crowd.closed} connections told to end",
            )


def test_a_unix_socket_is_left_where_it_is(
    manage: Callable[[socket.socket], Manager], tmp_path: Path, upstream: Upstream
) -> None:
    """Its file belongs to the manager."""
    upstream.otherwise(scripted.ok())
    path = Path(f"/tmp/sidecar-activation-{tmp_path.parent.name}.sock")  # pytest's own names are too long for a socket
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(16)
        try:
            running = manage(sock).start(f"unix:{path}", upstream.url)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(10)
                caller.connect(str(path))
                caller.sendall(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert caller.recv(12) == b"HTTP/1.1 200"
            assert running.stop() == 0
            assert path.exists()
        finally:
            path.unlink()


def test_a_socket_that_nobody_asks_for_is_named(
    manage: Callable[[socket.socket], Manager], upstream: Upstream, port: int
) -> None:
    """A slip in either of the two files would otherwise be a caller's riddle."""
    upstream.otherwise(scripted.ok())
    with socket.create_server(("127.0.0.1", 0)) as sock:
        running = manage(sock).start(f"127.0.0.1:{port}", upstream.url)
        assert str(sock.getsockname()[1]) in running.stderr()
        assert ask(port, "GET", "/x", {}, b"").status == 200
        assert running.stop() == 0


def test_a_reload_is_announced(manage: Callable[[socket.socket], Manager], upstream: Upstream) -> None:
    """As `Type=notify-reload` asks for: that it begins, by the manager's clock, and that it is over."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        manager = manage(sock)
        running = manager.start(f"127.0.0.1:{sock.getsockname()[1]}", upstream.url)
        running.send_signal(signal.SIGHUP)
        assert manager.state().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert manager.state() == "READY=1"
        assert running.stop() == 0
        assert manager.state() == "STOPPING=1"
