"""The image, built from the Dockerfile a moment ago, takes connect-id through its outage.

As nobody, without a capability, on a root that is read-only and has no shell.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import image
import pytest
from examples import example
from fixtures import upstream as scripted
from fixtures.process import Process, RunningSidecar
from fixtures.upstream import Upstream
from image import ImagedSidecar
from test_scenarios_connect_id import (
    ALICE,
    BOB,
    TOGGLES,
    UNAVAILABLE,
    App,
    broken,
    connect_id,  # noqa: F401 - a fixture
    healthy,
    toggles,
)

from release.image import digest
from sidecar import __version__

ON_DISK = "state: {last_known_good: {store: disk}}\n"
MEGABYTE = 1_000_000
MOST = 120 * MEGABYTE


@pytest.fixture
def imaged(tmp_path: Path) -> Iterator[Callable[[str], ImagedSidecar]]:
    """Starts the image with a configuration; the address of connect is in it, for an image has no environment."""
    started: list[ImagedSidecar] = []

    def run(config: str) -> ImagedSidecar:
        directory = tmp_path / f"run-{len(started)}"
        directory.mkdir()
        started.append(ImagedSidecar(config, directory))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        assert "Traceback" not in process.log_text(), process.log_text()


def configured(upstream: Upstream) -> str:
    """connect-id's example with the store on disk."""
    text, count = re.subn(r'"\$\{CONNECT_URL[^"]*"', upstream.url, example("connect-id"))
    assert count == 1
    return text + ON_DISK


def of_process(pid: int) -> dict[str, list[str]]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def test_connect_id_s_outage_in_the_image(
    upstream: Upstream,
    connect_id: Callable[[str], App],  # noqa: F811 - pytest's way
    imaged: Callable[[str], ImagedSidecar],
    command: Callable[[list[str]], Process],
) -> None:
    """Good answers are kept, hangs end in the one known answer, and a restart in the outage still knows them."""
    proxy = imaged(configured(upstream))
    app = connect_id(proxy.url)
    healthy(upstream)
    assert app.configuration(ALICE) == (200, json.dumps({"invited": True, **TOGGLES}).encode())
    broken(upstream, scripted.hang())
    assert app.configuration(BOB) == (503, UNAVAILABLE)
    assert toggles(proxy, ALICE).json() == TOGGLES
    check_confinement(proxy)
    asked = image.run(proxy.config, proxy.state, "health", proxy.admin_url)
    assert (asked.returncode, asked.stdout) == (0, f"{proxy.admin_url}/healthz: 200\n")
    assert proxy.stop() == 0, "not by the signal that the image names"
    assert "Errno" not in proxy.log_text()
    assert "ead-only file system" not in proxy.log_text()
    again = command(image.inside(proxy.config, proxy.state))
    again.until(proxy.ready, what="another container on the same volume")
    assert toggles(proxy, ALICE).json() == TOGGLES
    assert again.stop() == 0


def check_confinement(proxy: RunningSidecar) -> None:
    """The process is the image's user, has no capability and no way to one, and its root is read-only."""
    status = of_process(proxy.pid)
    assert (status["Uid"], status["Gid"], status["Groups"]) == (["65532"] * 4, ["65532"] * 4, ["65532"])
    assert [int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0, 0, 0, 0]
    assert status["NoNewPrivs"] == ["1"]
    mounts = [line.split() for line in Path(f"/proc/{proxy.pid}/mountinfo").read_text().splitlines()]
    options = {mount[4]: mount[5].split(",") for mount in mounts}
    assert "ro" in options["/"]
    assert "ro" in options["/etc/sidecar"]
    assert "rw" in options["/var/lib/sidecar"]


def test_the_image_is_small_has_no_shell_and_nothing_to_install_with() -> None:
    """At most 120 MB above the base; what could change it is not there; it names its commit."""
    made = image.made()
    root = Path(made["root"])
    assert made["bytes"] < MOST
    names = {path.name for path in (root / "opt/sidecar").rglob("*")}
    assert not names & {"pip", "uv", "setuptools", "hatchling", "tests", "RECORD"}
    assert not [place for place in ("bin/sh", "bin/bash", "usr/bin/env") if (root / place).exists()]
    writable = [path for path in (root / "opt/sidecar").rglob("*") if path.lstat().st_uid != 0]
    assert writable == []


def test_what_the_engine_is_told(tmp_path: Path) -> None:
    """Labels, user, signal, health check, volume and command arrive in the image's configuration."""
    told: dict[str, Any] = image.made()["config"]
    labels = {name.rpartition(".")[2]: value for name, value in told["Labels"].items()}
    assert (labels["version"], labels["licenses"], labels["title"]) == (__version__, "Apache-2.0", "resilience-sidecar")
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert (told["User"], told["StopSignal"], list(told["Volumes"])) == ("65532:65532", "SIGTERM", ["/var/lib/sidecar"])
    assert told["Healthcheck"]["Test"] == ["CMD", "sidecar", "health"]
    version = image.run(*image.prepare(tmp_path), "--version")
    assert version.stdout == f"sidecar {__version__} (commit {labels['revision'][:12]})\n"


def test_two_builds_are_the_same_to_the_byte() -> None:
    """From other time stamps, under another umask and time zone: the environment has the same digest."""
    made = image.made()
    assert made["environment"] == made["again"] == digest(Path(made["root"]) / "opt/sidecar")
