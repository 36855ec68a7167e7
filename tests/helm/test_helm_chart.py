"""The chart, rendered by Helm's own engine and held against Kubernetes' own schemas."""

import dataclasses
import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import helm_chart as chart
import helm_python
import pytest
import yaml

from sidecar import __version__, config
from sidecar.inject import Settings, container

Object = dict[str, Any]
CONTAINER = """apiVersion: v1
kind: Pod
metadata:
  name: app
  annotations: {at: {{ include "sidecar.annotations" .Subcharts.sidecar | replace ": " "=" | squote }}}
spec:
  initContainers: {{- include "sidecar.container" .Subcharts.sidecar | nindent 4 }}
  volumes: {{- include "sidecar.volumes" .Subcharts.sidecar | nindent 4 }}
  containers: [{name: app, image: app}]
"""


@pytest.fixture
def consumer(tmp_path: Path) -> Path:
    """A chart with one pod that has the sidecar in it."""
    own = tmp_path / "own/app"
    (own / "templates").mkdir(parents=True)
    (own / "templates/pod.yaml").write_text(CONTAINER)
    (own / "Chart.yaml").write_text(
        "apiVersion: v2\nname: app\nversion: 1.0.0\n"
        "dependencies: [{name: sidecar, version: 0.1.0, repository: 'file://x', condition: sidecar.enabled}]\n"
    )
    return chart.vendored(own, tmp_path)


@pytest.mark.parametrize("case", chart.CASES)
def test_every_manifest_is_one_that_kubernetes_accepts(case: str) -> None:
    """Under three minor versions with unknown fields refused; pods are restricted; nothing is mounted by subPath.

    A file mounted by subPath never sees a change of its ConfigMap.
    """
    documents = chart.rendered(chart.CHART, chart.CASES[case])
    assert documents
    for document in documents.values():
        chart.assert_valid(document)
    for pod in chart.pod_specs(documents):
        assert chart.unrestricted(pod) == []
        assert not any("subPath" in mount for each in pod["containers"] for mount in each["volumeMounts"])


@pytest.mark.parametrize("case", chart.CASES)
def test_helm_has_nothing_to_complain_about(case: str) -> None:
    """`helm lint` finds neither an error nor a warning."""
    found = helm_python.lint(chart.CHART, chart.CASES[case])
    assert found["errors"] == []
    assert [message for message in found["messages"] if message["severity"] > 1] == []


def test_golden_files_are_what_helm_renders() -> None:
    """Every change of a rendering is seen in review: `make chart-golden` writes it."""
    kept = {path.stem: path.read_text() for path in chart.GOLDEN.glob("*.yaml")}
    assert dict(chart.golden_files()) == kept


@pytest.mark.parametrize("name", chart.example_names())
def test_an_example_is_valid_and_its_configuration_is_clean(name: str, tmp_path: Path) -> None:
    """Each of the five systems: manifests, restricted sidecar, and a configuration that the lint is silent about."""
    documents = chart.chart_example(name, tmp_path)
    for document in documents.values():
        chart.assert_valid(document)
    (pod,) = chart.pod_specs(documents)
    (sidecar,) = [each for each in (*pod.get("initContainers", ()), *pod["containers"]) if each["name"] == "sidecar"]
    assert chart.unrestricted({**pod, "initContainers": [], "containers": [sidecar]}) == []
    (mounted,) = [volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "sidecar-config"]
    text = documents[f"ConfigMap/{mounted}"]["data"]["sidecar.yaml"]
    env = {each["name"]: each["value"] for each in sidecar["env"]}
    loaded = config.parse(text.encode(), file="sidecar.yaml", env=env)
    assert config.lint(loaded) == []
    assert loaded.admin.listen.address == "0.0.0.0:9901"
    assert [listen.host for listen in loaded.listen] == ["127.0.0.1" if name != "commcare-webapps" else "0.0.0.0"]


@pytest.mark.parametrize(
    "name", [name for name in chart.example_names() if (chart.EXAMPLES / name / "Chart.yaml").exists()]
)
def test_the_sidecar_costs_an_existing_chart_ten_lines_at_most(name: str, tmp_path: Path) -> None:
    """Without them the chart renders as it did before; and the table of examples says how many they are."""
    copy = tmp_path / name
    shutil.copytree(chart.EXAMPLES / name, copy)
    ours = sum(_without_ours(path) for path in copy.rglob("*.yaml"))
    assert 0 < ours <= 10
    assert f"[{name}]({name})" in (page := (chart.EXAMPLES / "README.md").read_text())
    assert re.search(rf"^\| \[{name}\].* \| {ours} \|$", page, re.MULTILINE)
    (before,) = chart.rendered(copy, {}).values()
    chart.assert_valid(before)
    assert "sidecar" not in str(before)


def test_helm_itself_finds_the_dependency_of_an_example(tmp_path: Path) -> None:
    """`helm dependency update` and `helm template`, as the page of examples has it, from a checkout."""
    shutil.copytree(chart.ROOT / "helm", tmp_path / "helm")
    example = tmp_path / "helm/examples/connect-id"
    helm_python.dependency_update(example)
    text = (chart.ROOT / "config/examples/connect-id.yaml").read_text()
    found = chart.rendered(example, {"sidecar": {"config": text}})
    (tmp_path / "own").mkdir()
    assert found == chart.chart_example("connect-id", tmp_path / "own")


def test_the_page_for_helm_works_as_it_stands(tmp_path: Path) -> None:
    """Its three pieces of YAML, put where it says, are nine lines and make a valid pod with a clean configuration."""
    page = (chart.ROOT / "docs/deploy/helm.md").read_text()
    dependency, spec, values = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[:3]
    assert sum(len(piece.splitlines()) for piece in (dependency, spec, values)) == 9
    assert "\nNine lines" in page
    app = tmp_path / "own/web"
    (app / "templates").mkdir(parents=True)
    (app / "Chart.yaml").write_text(f"apiVersion: v2\nname: web\nversion: 1.0.0\n{dependency}")
    (app / "values.yaml").write_text(values)
    head = (chart.EXAMPLES / "connect-id/templates/deployment.yaml").read_text().partition("      initContainers:")[0]
    head = head.replace("{{ .Values.replicas }}", "1")
    (app / "templates/web.yaml").write_text(f"{head}{spec}      containers: [{{name: web, image: web}}]\n")
    documents = chart.rendered(chart.vendored(app, tmp_path), {})
    for document in documents.values():
        chart.assert_valid(document)
    (pod,) = chart.pod_specs(documents)
    assert [each["name"] for each in pod["initContainers"]] == ["sidecar"]
    loaded = config.parse(documents["ConfigMap/demo-sidecar"]["data"]["sidecar.yaml"].encode(), env={})
    assert config.lint(loaded) == []


def _without_ours(path: Path) -> int:
    """Takes our lines out of a file and counts them. A line that only leads to the sidecar counts, and stays."""
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line, ours in zip(lines, _ours(lines), strict=True) if not ours]
    path.write_text("".join(kept))
    return len(lines) - len(kept) + sum("//127.0.0.1:" in line for line in kept)


def _ours(lines: list[str]) -> list[bool]:
    """The dependency, the block of values, an include and the key above it."""
    found: list[bool] = []
    block = False
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        block = line.startswith("sidecar:") or (block and line.startswith(" "))
        found.append(block or line.startswith("dependencies:") or 'include "sidecar.' in line + following)
    return found


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({}, {}),
        ({"native": False}, {"native": False}),
        ({"adminPort": 9000}, {"admin_port": 9000}),
        ({"name": "egress", "secrets": ["a", "b"]}, {"name": "egress", "secrets": ("a", "b")}),
        ({"kept": {"enabled": True}}, {"kept": "/var/lib/sidecar"}),
        ({"image": {"repository": "r/s", "tag": "2"}}, {"image": "r/s:2"}),
        ({"existingConfigMap": "routes"}, {"config_map": "routes"}),
    ],
)
def test_the_chart_and_inject_add_the_same(values: Object, changes: Object, consumer: Path) -> None:
    """Container and volumes are equal, whatever is asked for: there is one sidecar."""
    settings = dataclasses.replace(Settings(image=f"resilience-sidecar:{__version__}"), **changes)
    documents = chart.rendered(consumer, {"sidecar": {"config": chart.CONFIG, **values}})
    pod = documents["Pod/app"]["spec"]
    assert pod["initContainers"] == [container.container(settings)]
    assert pod["volumes"] == container.volumes(settings, settings.config_map or "demo-sidecar")


def test_as_a_dependency_it_is_no_proxy_of_its_own(consumer: Path) -> None:
    """auto: only the ConfigMap; true: Deployment and Service too; a condition and globals are no unknown values."""
    values = {"config": chart.CONFIG, "enabled": True}
    alone = chart.rendered(consumer, {"sidecar": values, "global": {"team": "x"}})
    assert set(alone) == {"ConfigMap/demo-sidecar", "Pod/app"}
    both = chart.rendered(consumer, {"sidecar": {**values, "standalone": {"enabled": True}}})
    assert {"Deployment/demo-sidecar", "Service/demo-sidecar", "Pod/app"} < set(both)


def test_aliases_have_configurations_of_their_own(consumer: Path) -> None:
    """One chart, two sidecars: each include goes by its alias, and so does the ConfigMap."""
    entries = [f"{{name: sidecar, version: 0.1.0, alias: {alias}}}" for alias in ("first", "second")]
    head = (consumer / "Chart.yaml").read_text().partition("dependencies:")[0]
    (consumer / "Chart.yaml").write_text(f"{head}dependencies: [{', '.join(entries)}]\n")
    pod = (consumer / "templates/pod.yaml").read_text()
    both = "---\n".join(
        pod.replace("name: app\n", f"name: {alias}\n").replace("Subcharts.sidecar", f"Subcharts.{alias}")
        for alias in ("first", "second")
    )
    (consumer / "templates/pod.yaml").write_text(both)
    documents = chart.rendered(consumer, {"first": {"config": "a: 1"}, "second": {"config": "a: 2"}})
    for alias, text in (("first", "a: 1"), ("second", "a: 2")):
        (volume,) = documents[f"Pod/{alias}"]["spec"]["volumes"]
        assert documents[f"ConfigMap/{volume['configMap']['name']}"]["data"]["sidecar.yaml"] == text


@pytest.mark.parametrize(
    ("version", "values", "refusals"), [("1.28", {}, 1), ("1.29", {}, 0), ("1.28", {"native": False}, 0)]
)
def test_an_old_cluster_needs_a_classic_container(
    version: str, values: Object, refusals: int, consumer: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before 1.29 the API server drops restartPolicy, and the init container would block its pod for ever.

    Only `helm lint` can be told a cluster's version here; it prints what would stop an installation, and goes on.
    """
    helm_python.lint(consumer, {"sidecar": {"config": chart.CONFIG, **values}}, kube_version=version)
    assert capfd.readouterr().err.count("native sidecars need Kubernetes 1.29: set native: false") == refusals


def test_a_changed_configuration_rolls_the_pods(consumer: Path) -> None:
    """The annotation changes with the configuration and with the files beside it, and with nothing else."""

    def annotated(**values: Any) -> str:
        return str(
            chart.rendered(consumer, {"sidecar": {"config": chart.CONFIG, **values}})["Pod/app"]["metadata"][
                "annotations"
            ]
        )

    assert "resilience-sidecar/config" in annotated()
    assert annotated() == annotated(native=False)
    assert len({annotated(), annotated(config=f"{chart.CONFIG}#"), annotated(files={"x.json": "{}"})}) == 3
    assert annotated(existingConfigMap="own") == "{'at': ''}"


def test_any_text_is_delivered_as_it_is() -> None:
    """The configuration arrives byte for byte: indented, with template marks, without a final line break."""
    for text in ("  indented: 1\nb: 2", "a: '{{ .Values }}'\n\n# end\n\n", "a: 1\t\n", chart.CONFIG):
        made = chart.rendered(chart.CHART, {"config": text, "standalone": {"enabled": False}})
        assert made["ConfigMap/demo-sidecar"]["data"]["sidecar.yaml"] == text


def test_alerts_and_dashboards_are_delivered_as_their_files_say(tmp_path: Path) -> None:
    """Every rules file's groups in one PrometheusRule, Prometheus' own templates untouched; none: nothing is made."""
    copy = tmp_path / "sidecar"
    shutil.copytree(chart.CHART, copy, ignore=shutil.ignore_patterns("rules", "dashboards"))
    asked = {"config": chart.CONFIG, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}
    before = chart.rendered(copy, asked)
    assert not any(name.startswith("PrometheusRule") or name.endswith("dashboard") for name in before)
    (copy / "rules").mkdir()
    (copy / "dashboards").mkdir()
    rule = {"alert": "Open", "expr": "x > 0", "for": "5m", "annotations": {"summary": "{{ $labels.route }} is open"}}
    for name in ("a", "b"):
        (copy / f"rules/{name}.yaml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
    (copy / "dashboards/sidecar.json").write_text('{"title": "{{route}}"}')
    after = chart.rendered(copy, asked)
    chart.assert_valid(after["PrometheusRule/demo-sidecar"])
    groups = after["PrometheusRule/demo-sidecar"]["spec"]["groups"]
    assert groups == [{"name": name, "rules": [rule]} for name in ("a", "b")]
    board = after["ConfigMap/demo-sidecar-dashboard"]
    assert board["data"] == {"sidecar.json": '{"title": "{{route}}"}'}
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_shipped_alerts_are_ones_that_the_operator_accepts() -> None:
    """Whatever stands in rules/ becomes a valid PrometheusRule; without any there is none."""
    made = chart.rendered(chart.CHART, {"config": chart.CONFIG, **chart.MONITORED})
    rules = sorted((chart.CHART / "rules").glob("*.yaml"))
    names = [group["name"] for path in rules for group in yaml.safe_load(path.read_text())["groups"]]
    found = made.get("PrometheusRule/demo-sidecar", {"spec": {"groups": []}})
    assert [group["name"] for group in found["spec"]["groups"]] == names
    if names:
        chart.assert_valid(found)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "config is empty: --set-file config=sidecar.yaml"),
        ({"config": {"upstreams": {}}}, "/config"),
        ({"confg": ""}, "confg"),
        ({"standalone": {"replica": 3}}, "replica"),
        ({"standalone": {"enabled": "yes"}}, "/standalone/enabled"),
        ({"port": "8080"}, "/port"),
        ({"adminPort": 70000}, "/adminPort"),
        ({"image": {"digest": "sha256:1"}}, "/image/digest"),
        ({"secrets": ["a", "a"]}, "/secrets"),
        ({"env": [{"name": "SIDECAR_LISTEN", "value": "x"}]}, "/env/0/name"),
        ({"resources": {"limit": {}}}, "limit"),
        ({"podMonitor": {"interval": "often"}}, "/podMonitor/interval"),
        ({"config": "a: 1", "adminAddress": "127.0.0.1"}, "set probes: exec"),
        (
            {"config": "a: 1", "standalone": {"enabled": False}, "networkPolicy": {"enabled": True}},
            "networkPolicy is for",
        ),
        ({"config": "a: 1", "standalone": {"enabled": False}, "serviceMonitor": {"enabled": True}}, "use podMonitor"),
        ({"config": "a: 1", "standalone": {"enabled": False}, "podMonitor": {"enabled": True}}, "podMonitor.selector"),
    ],
)
def test_wrong_values_are_refused_by_name(values: Object, says: str) -> None:
    """Before anything is installed, and the message names the value."""
    with pytest.raises(helm_python.HelmError, match=re.escape(says)):
        chart.rendered(chart.CHART, values)


def test_pods_have_time_to_drain() -> None:
    """preStop, the drain's longest and two seconds fit into the grace period, as the chart comes."""
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())["standalone"]
    drain = config.parse(chart.CONFIG.encode(), env={}).drain
    assert values["preStopSeconds"] + drain.timeout + 2 <= values["terminationGracePeriodSeconds"]


def test_the_restricted_standard_is_checked() -> None:
    """The check that the tests above rely on finds what is wrong, rule by rule."""
    good = container.container(Settings(image="x"))
    assert chart.unrestricted({"containers": [good]}) == []
    for key in good["securityContext"]:
        context = {name: value for name, value in good["securityContext"].items() if name != key}
        missing = chart.unrestricted({"containers": [{**good, "securityContext": context}]})
        assert bool(missing) is (key not in {"runAsUser", "runAsGroup", "readOnlyRootFilesystem"}), key
    for bad in ({"runAsUser": 0}, {"privileged": True}, {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}):
        context = {**good["securityContext"], **bad}
        assert chart.unrestricted({"containers": [{**good, "securityContext": context}]})
    assert chart.unrestricted({"containers": [good], "volumes": [{"name": "h", "hostPath": {}}]}) == ["volume h"]
    assert chart.unrestricted({"containers": [good], "hostNetwork": True}) == ["hostNetwork"]
