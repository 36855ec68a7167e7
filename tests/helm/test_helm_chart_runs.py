"""What the manifests say is done, as a kubelet would: configuration mounted, container started, probes asked."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_chart as chart
import yaml
from fixtures.process import Process, free_port
from fixtures.upstream import Upstream, ok

from sidecar.inject import Settings, inject

Object = dict[str, Any]


def started(pod: Object, config_map: Object, directory: Path, command: Callable[..., Process]) -> Process:
    """The sidecar of a pod, with this as its volume. ConfigMaps are mounted as links to a directory."""
    (container,) = [each for each in (*pod.get("initContainers", ()), *pod["containers"]) if each["name"] == "sidecar"]
    real = directory / "..data"
    real.mkdir()
    for name, text in config_map["data"].items():
        (real / name).write_text(text)
        (directory / name).symlink_to(Path("..data") / name)
    arguments = [each.replace("/etc/sidecar", str(directory)) for each in container["args"]]
    env = {each["name"]: each["value"] for each in container["env"]}
    process = command([sys.executable, "-m", "sidecar", *arguments], env=env)
    port = next(each["containerPort"] for each in container["ports"] if each["name"] == "sidecar-admin")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == "sidecar-admin"
        url = f"http://127.0.0.1:{port}{asked['path']}"
        process.until(lambda url=url: answers(url), what=f"{probe} of {url}")
    return process


def answers(url: str) -> bool:
    """Whether it says 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def test_the_shared_proxy_serves(tmp_path: Path, upstream: Upstream, command: Callable[..., Process]) -> None:
    """The chart's Deployment, with a configuration that was written for loopback: others reach it all the same."""
    upstream.on("/x", ok({"a": 1}))
    port, admin = free_port(), free_port()
    text = f"""
listen: 127.0.0.1:1
admin: {{listen: 127.0.0.1:1}}
upstreams: {{u: {{endpoints: ["{upstream.url}"], retries_beyond: 0}}}}
routes: [{{name: r, match: {{prefix: /}}, upstream: u}}]
"""
    documents = chart.rendered(chart.CHART, {"config": text, "port": port, "adminPort": admin})
    (pod,) = chart.pod_specs(documents)
    process = started(pod, documents["ConfigMap/demo-sidecar"], tmp_path, command)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/x", timeout=5) as answer:
        assert json.load(answer) == {"a": 1}
    assert f"serving on 0.0.0.0:{port}, admin on 0.0.0.0:{admin}" in process.stderr()
    assert process.stop() == 0


def test_the_injected_container_serves(tmp_path: Path, upstream: Upstream, command: Callable[..., Process]) -> None:
    """What `sidecar inject` delivers: the app's new address leads to the upstream, nobody else is served."""
    upstream.on("/x", ok({"a": 1}))
    port, admin = free_port(), free_port()
    text = f"""
listen: 127.0.0.1:{port}
upstreams: {{u: {{endpoints: ["{upstream.url}"], retries_beyond: 0}}}}
routes: [{{name: r, match: {{prefix: /}}, upstream: u}}]
"""
    app = {"name": "app", "image": "app", "env": [{"name": "API", "value": upstream.url}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": {"containers": [app]}}
    settings = Settings(
        image="x",
        admin_port=admin,
        files=(("sidecar.yaml", text),),
        env=(("API", f"http://127.0.0.1:{port}/x"),),
    )
    pod, config_map = yaml.safe_load_all(inject(yaml.safe_dump(manifest), settings).text)
    process = started(pod["spec"], config_map, tmp_path, command)
    with urllib.request.urlopen(pod["spec"]["containers"][0]["env"][0]["value"], timeout=5) as answer:
        assert json.load(answer) == {"a": 1}
    assert f"serving on 127.0.0.1:{port}, admin on 0.0.0.0:{admin}" in process.stderr()
    assert process.stop() == 0
