"""deploy/one-container/with-sidecar: the sidecar lives from before the command to after it."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import upstream as scripted
from fixtures.process import ROOT, Process, free_port
from fixtures.upstream import Upstream

SCRIPT = ROOT / "deploy/one-container/with-sidecar"

APP = """
import os, signal, sys, urllib.request
def call():
    with urllib.request.urlopen(os.environ["URL"], timeout=5) as answer:
        return answer.status
print("first", call(), flush=True)
def terminate(*_):
    print("last", call(), flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, terminate)
while True:
    signal.pause()
"""


class Container:
    """What a container would be: the script, a configuration, a command."""

    def __init__(self, command: Callable[..., Process], directory: Path, upstream: Upstream) -> None:
        self.port, self.admin = free_port(), free_port()
        self.config = directory / "sidecar.yaml"
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\nadmin: {{listen: '127.0.0.1:{self.admin}'}}\ndrain: {{quiet: 100ms}}\n"
            f"upstreams: {{u: {{endpoints: ['{upstream.url}']}}}}\n"
            "routes: [{name: r, match: {path: /r}, upstream: u}]\n"
        )
        self._command = command

    def run(self, *arguments: str) -> Process:
        """Starts it."""
        env = {
            "SIDECAR_CONFIG": str(self.config),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "URL": f"http://127.0.0.1:{self.port}/r",
        }
        return self._command(["/bin/sh", str(SCRIPT), *arguments], env)


@pytest.fixture
def container(command: Callable[..., Process], tmp_path: Path, upstream: Upstream) -> Container:
    """With an upstream that answers."""
    upstream.on("/r", scripted.ok())
    return Container(command, tmp_path, upstream)


def sidecars(process: Process) -> list[int]:
    """The sidecars that run below the script."""
    below = [child for keeper in children(process.pid) for child in children(keeper)]
    return [pid for pid in below if b"run" in command_line(pid)]


def command_line(pid: int) -> list[bytes]:
    """Of a process that may be gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Of a process that may be gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def test_it_serves_before_the_command_and_after_its_end(container: Container) -> None:
    """The first call and the one made while shutting down both arrive; the exit code is the command's."""
    process = container.run(sys.executable, "-c", APP)
    process.until(lambda: "first 200" in process.stdout(), what="the first call")
    assert process.stop() == 7
    assert "last 200" in process.stdout()
    assert sidecars(process) == []


def test_a_sidecar_that_dies_is_replaced(container: Container) -> None:
    """The command goes on, and its next call arrives."""
    process = container.run(sys.executable, "-c", APP)
    process.until(lambda: "first 200" in process.stdout(), what="the first call")
    (before,) = sidecars(process)
    os.kill(before, signal.SIGKILL)
    (after,) = process.until(lambda: [pid for pid in sidecars(process) if pid != before], what="another one")
    process.until(lambda: process.stderr().count("serving on") == 2, what="serves")
    assert after != before
    assert process.stop() == 7
    assert "last 200" in process.stdout()


def test_without_a_sidecar_the_command_is_not_started(container: Container) -> None:
    """A configuration that cannot be used: its errors, exit code 78, and no command that would fail at every call."""
    container.config.write_text("routes: 3\n")
    process = container.run("/bin/sh", "-c", "echo started")
    assert process.wait() == 78
    assert "started" not in process.stdout()
    assert "routes" in process.stderr()


def test_it_ends_with_its_command(container: Container) -> None:
    """A command that ends by itself takes the sidecar with it."""
    process = container.run("/bin/sh", "-c", "exit 3")
    assert process.wait() == 3
    assert "ended" in process.stderr()
