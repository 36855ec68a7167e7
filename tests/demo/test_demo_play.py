"""`sidecar demo` as a newcomer meets it: the printed lines are run in order and do what they promise."""

import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from fixtures.process import ROOT, Process, free_port, run_sidecar

UNAVAILABLE = b'{"error_code": "CONFIGURATION_TEMPORARILY_UNAVAILABLE"}'


def curl(line: str) -> requests.Response:
    """What curl does with such a line."""
    words = iter(shlex.split(line)[1:])
    method, url, auth = "GET", "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-u":
            user, _, password = next(words).partition(":")
            auth = (user, password)
        elif word != "-i":
            url = word
    return requests.request(method, url, auth=auth, timeout=10)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """config/sidecar.yaml on ports of the test's own, and quicker."""
    text = (ROOT / "config/sidecar.yaml").read_text().replace("total: 2s", "total: 500ms")
    for port in ("8080", "9901", "9000"):
        assert f":{port}" in text
        text = text.replace(f":{port}", f":{free_port()}")
    path = tmp_path / "sidecar.yaml"
    path.write_text(text.replace("open_for: 5s", "open_for: 2s"))
    return path


@pytest.fixture
def demo(command: Callable[..., Process], config: Path) -> Process:
    """The demo, its lines printed."""
    process = command([sys.executable, "-m", "sidecar", "demo", "-c", str(config)])
    process.until(lambda: "Ctrl-C" in process.stdout(), what="the lines to try")
    return process


def lines(demo: Process) -> Iterator[str]:
    """The curl lines, in order."""
    return iter(re.findall(r"^ +(curl .+)$", demo.stdout(), re.MULTILINE))


def test_the_printed_lines_play_an_outage(demo: Process) -> None:
    """Normal, hang, last known good, exact 503, open breaker, other credentials, recovery: as announced."""
    line = lines(demo)
    normal = curl(next(line))
    assert (normal.status_code, normal.headers.get("Cache-Status")) == (200, None)
    assert curl(next(line)).json()["fault"] == "hang"

    kept = curl(next(line))
    assert (kept.status_code, kept.content) == (200, normal.content)
    assert kept.headers["Cache-Status"].startswith("sidecar; hit")
    assert "Age" in kept.headers

    unknown = curl(next(line))
    assert (unknown.status_code, unknown.content) == (503, UNAVAILABLE)
    assert "Retry-After" not in unknown.headers

    refused = curl(next(line))
    assert (refused.status_code, refused.content) == (503, UNAVAILABLE)
    assert int(refused.headers["Retry-After"]) in (
        1,
        2,
        3,
    )  # 2 s and a fifth of jitter either way, rounded up
    assert "breaker_open" in refused.headers["Proxy-Status"]

    stranger = curl(next(line))
    assert (stranger.status_code, stranger.content) == (503, UNAVAILABLE)

    assert curl(next(line)).json()["fault"] == "off"
    again = next(line)
    demo.until(lambda: curl(again).status_code == 200, what="recovery")
    assert next(line, None) is None


def test_no_number_is_logged(demo: Process) -> None:
    """What follows the printed lines is a line per request, without its query."""
    line = next(lines(demo))
    curl(line)
    told, end, _ = demo.stdout().partition("left out.\n")
    demo.until(lambda: "toggles" in demo.stdout().removeprefix(told + end), what="a line per request")
    assert demo.stop() == 0
    assert "5550100" in line
    assert "5550100" not in demo.stdout().removeprefix(told) + demo.stderr()


@pytest.mark.parametrize("which", ["listen: ", "admin: {listen: ", "endpoints: [http://"])
def test_a_taken_port_is_one_line(config: Path, which: str) -> None:
    """Whichever of the three it is: its address, no traceback, exit code 2."""
    found = re.search(rf"^ *{re.escape(which)}127\.0\.0\.1:(\d+)", config.read_text(), re.MULTILINE)
    assert found is not None
    with socket.create_server(("127.0.0.1", int(found[1]))):
        code, _, error = run_sidecar("demo", "-c", str(config))
    assert code == 2
    assert len(error.splitlines()) == 1
    assert found[1] in error


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("http://127.0.0.1", "https://127.0.0.1"), "plays the upstream itself"),
        (("path: /api/toggles/", "path: /other/"), "no route matches the path /api/toggles/"),
        (("routes:", "rotues:"), "routes"),
    ],
)
def test_a_configuration_it_cannot_play_is_one_line(config: Path, change: tuple[str, str], why: str) -> None:
    """It says what is in the way, and exits with 2."""
    config.write_text(config.read_text().replace(*change))
    code, _, error = run_sidecar("demo", "-c", str(config))
    assert code == 2
    assert why in error
    assert "Traceback" not in error
