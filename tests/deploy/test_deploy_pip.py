"""Installed from a wheel into an empty environment, as `pip install` and `pipx install` do it, it works."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.process import ROOT, Process, free_port

from release import locked
from sidecar import __version__


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that holds the wheel and what the wheel asks for, at the locked versions."""
    work = tmp_path_factory.mktemp("pip")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = work.glob("*.whl")
    uv = [str(Path(sys.executable).with_name("uv")), "--no-config", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(work / "environment")], check=True)
    # Constraints by their hashes would ask for the wheel's as well: versions are all that is wanted here.
    pinned = work / "constraints.txt"
    pinned.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in locked.pins()))
    into = ["pip", "install", "--python", str(work / "environment"), "--constraint", str(pinned), str(wheel)]
    subprocess.run([*uv, *into], check=True)
    return work / "environment/bin"


def test_a_first_user_gets_along(installed: Path, command: Callable[..., Process], tmp_path: Path) -> None:
    """Version, check, run, health, SIGTERM: with the command alone, from a directory of the user's own."""
    sidecar = str(installed / "sidecar")
    version = subprocess.run([sidecar, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert version.stdout.startswith(f"sidecar {__version__}")
    port, admin = free_port(), free_port()
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        f"listen: 127.0.0.1:{port}\nadmin: {{listen: '127.0.0.1:{admin}'}}\n"
        "upstreams: {u: {endpoints: ['http://127.0.0.1:9'], retries_beyond: 0}}\n"
        "routes: [{name: r, match: {path: /}, upstream: u}]\n"
    )
    checked = subprocess.run([sidecar, "check", file], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, f"{file}: ok: 1 route, 1 upstream\n")
    running = command([sidecar, "run", "-c", str(file)])

    def healthy() -> bool:
        return subprocess.run([sidecar, "health", "-c", file], capture_output=True, check=False).returncode == 0

    running.until(healthy, what="sidecar health")
    assert running.stop() == 0


def test_what_an_extra_brings_is_asked_for_by_name(installed: Path, tmp_path: Path) -> None:
    """A configuration that needs an extra which is not there: one line that says what to install."""
    (tmp_path / "toggles.json").write_text("{}")
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "upstreams: {u: {endpoints: ['http://127.0.0.1:9'], retries_beyond: 0}}\n"
        "routes: [{name: r, match: {path: /}, upstream: u, expect: {json_schema: toggles.json}}]\n"
    )
    done = subprocess.run([installed / "sidecar", "run", "-c", file], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'resilience-sidecar[schema]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
