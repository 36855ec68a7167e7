"""A disk that is full costs lines, never an answer. /dev/full says ENOSPC to every write, as such a disk does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from app_caller import Caller
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, addressed, free_port
from fixtures.upstream import Upstream

from sidecar.clock import MONOTONIC

CONFIG = """
upstreams: {{u: {{endpoints: ["{upstream}"]}}}}
routes: [{{name: r, match: {{prefix: /}}, upstream: u}}]
access_log: {{path: {path}}}
"""
REQUESTS = 200


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Well."""
    with Upstream(otherwise=scripted.ok()) as server:
        yield server


def answered(port: int) -> int:
    """How many of many requests on one connection are answered well."""
    with Caller(port) as caller:
        return sum(caller.ask("GET", "/x").status == 200 for _ in range(REQUESTS))


def test_a_full_disk_under_the_access_log_costs_its_lines_alone(upstream: Upstream, tmp_path: Path) -> None:
    """They are counted, and are one error in the other log however many they are."""
    sidecar = RunningSidecar(CONFIG.format(upstream=upstream.url, path="/dev/full"), tmp_path)
    try:
        assert answered(sidecar.port) == REQUESTS
        dropped = "sidecar_access_log_dropped_total"
        sidecar.until(lambda: sidecar.metric(dropped) == REQUESTS, what="every line is counted as lost")
        assert sidecar.stop() == 0
    finally:
        sidecar.kill()
    errors = [line for line in map(json.loads, sidecar.stderr().splitlines()) if line["level"] == "error"]
    assert [(line["event"], line["lines"], line["reason"]) for line in errors] == [
        ("access_log", REQUESTS, "No space left on device")
    ]


def test_a_full_disk_under_both_logs_costs_no_answer(upstream: Upstream, tmp_path: Path) -> None:
    """Standard output and standard error both lead there: it starts, serves and ends as ever."""
    port, admin = free_port(), free_port()
    config = tmp_path / "sidecar.yaml"
    config.write_text(addressed(CONFIG.format(upstream=upstream.url, path='"-"'), port, admin))
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "sidecar", "run", "-c", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    try:
        assert answered(_bound(port, process)) == REQUESTS
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def _bound(port: int, process: "subprocess.Popen[bytes]") -> int:
    """The port, once somebody listens there."""
    ends = MONOTONIC() + 10.0
    while MONOTONIC() < ends and process.poll() is None:
        try:
            with Caller(port):
                return port
        except ConnectionRefusedError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    raise AssertionError("it does not serve")
