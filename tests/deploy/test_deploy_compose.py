"""deploy/compose: valid, pinned, and it does what its page says, with the real sidecar between its two scripts."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from fixtures.process import ROOT, Process, RunningSidecar, free_port

from sidecar import __version__, config

HERE = ROOT / "deploy/compose"
TEXT = (HERE / "compose.yaml").read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = DOCUMENT["services"]


def test_the_file_is_valid_compose() -> None:
    """Every key is one of the specification's, and what services refer to exists; a misspelt key would be an error."""
    PyCompose.from_yaml(TEXT).validate()
    with pytest.raises(ValueError, match="raed_only"):
        PyCompose.from_yaml(TEXT.replace("read_only", "raed_only"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_and_every_mounted_file_is_there(name: str) -> None:
    """No `latest`; nothing that a fresh checkout lacks."""
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", service["image"])
    sources = [volume.partition(":")[0] for volume in service.get("volumes", [])]
    assert [source for source in sources if source.startswith(".") and not (HERE / source).exists()] == []
    assert [source for source in sources if source[0] != "." and source not in DOCUMENT["volumes"]] == []


def test_the_sidecar_is_confined() -> None:
    """As the image allows: read-only, without capabilities, on the application's own loopback."""
    service = SERVICES["sidecar"]
    assert service["image"] == f"resilience-sidecar:{__version__}"
    assert (service["read_only"], service["cap_drop"], service["network_mode"]) == (True, ["ALL"], "service:app")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 30
    assert config.lint(config.load(HERE / "sidecar.yaml", env={})) == []


def test_prometheus_takes_its_configuration_and_finds_the_sidecar() -> None:
    """Promtool agrees, and the target is the admin port where it is to be reached."""
    promtool = str(Path(sys.executable).with_name("promtool"))
    done = subprocess.run([promtool, "check", "config", HERE / "prometheus.yml"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (job,) = yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]
    admin = config.load(HERE / "sidecar.yaml", env={}).admin.listen
    assert job["static_configs"] == [{"targets": [f"app:{admin.port}"]}]
    assert admin.host == "0.0.0.0"


def test_the_dashboard_shows_series_that_there_are() -> None:
    """Every metric in a panel is one of docs/metrics.md."""
    board = json.loads((HERE / "grafana/dashboards/sidecar.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"sidecar_\w+?(?=_bucket|[^\w])", target["expr"])
    }
    known = set(re.findall(r"`(sidecar_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    assert asked
    assert asked <= known


def get(port: int, path: str = "/") -> tuple[int, Any]:
    """Status and document."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def up(port: int) -> bool:
    """Whether something answers there."""
    try:
        return get(port)[0] > 0
    except OSError:
        return False


def test_the_outage_that_the_page_plays(
    command: Callable[..., Process], sidecar: Callable[..., RunningSidecar]
) -> None:
    """Good answers, a break, the kept answer and the breaker, and the healing: with the example's own files."""
    connect_port, app_port = free_port(), free_port()
    connect = command([sys.executable, str(HERE / "connect.py")], {"PORT": str(connect_port)})
    connect.until(lambda: up(connect_port), what="connect")
    text = re.sub(r"^(listen|admin|state):.*\n", "", (HERE / "sidecar.yaml").read_text(), flags=re.MULTILINE)
    proxy = sidecar(text, env={"CONNECT": f"http://127.0.0.1:{connect_port}"})
    app = command([sys.executable, str(HERE / "app.py")], {"PORT": str(app_port), "CONNECT_URL": proxy.url})
    app.until(lambda: up(app_port), what="the application")

    good = get(app_port)
    assert good[0] == 200
    trouble = urllib.request.Request(f"http://127.0.0.1:{connect_port}/break/500", method="POST")
    urllib.request.urlopen(trouble, timeout=5).close()
    proxy.until(lambda: proxy.metric('sidecar_breaker_state{route="toggles",state="open"}') == 1, what="open")
    assert get(app_port) == good, "the last known good answer"
    heal = urllib.request.Request(f"http://127.0.0.1:{connect_port}/break/nothing", method="POST")
    urllib.request.urlopen(heal, timeout=5).close()
    assert get(connect_port) == good
