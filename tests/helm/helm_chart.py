"""The chart as Helm renders it, by Helm's own engine; and what a rendering is held against.

`python tests/helm/helm_chart.py` (`make chart-golden`) writes the golden files anew: read their difference before it
is committed.
"""

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/sidecar"
EXAMPLES = ROOT / "helm/examples"
GOLDEN = Path(__file__).parent / "golden"
CRDS = Path(__file__).parent / "crds"
VERSIONS = ("1.35", "1.36", "1.37")
"""The last three minor versions that kubernetes-validate knows."""
CONFIG = """upstreams: {u: {endpoints: [http://u:80], retries_beyond: 0}}
routes: [{name: r, match: {prefix: /}, upstream: u}]
"""

Object = dict[str, Any]

MONITORED: Object = {
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceMonitor": {"enabled": True, "interval": "15s"},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
CASES: dict[str, Object] = {
    "standalone": {"config": CONFIG},
    "standalone-everything": {
        **MONITORED,
        "config": CONFIG,
        "files": {"toggles.schema.json": "{}"},
        "image": {"repository": "registry.example.com/sidecar", "digest": "sha256:" + "a" * 64, "pullPolicy": "Always"},
        "env": [{"name": "CONNECT_URL", "value": "https://connect.example.com"}],
        "envFrom": [{"secretRef": {"name": "tokens"}}],
        "secrets": ["connect"],
        "kept": {"enabled": True, "sizeLimit": "1Gi"},
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
        "adminAddress": "[::]",
        "standalone": {
            "replicas": 3,
            "podAnnotations": {"team": "platform"},
            "podLabels": {"tier": "egress"},
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "egress", "operator": "Exists"}],
            "priorityClassName": "high",
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "service": {"type": "NodePort", "annotations": {"note": "egress"}},
            "podDisruptionBudget": {"maxUnavailable": "25%"},
        },
        "networkPolicy": {
            "enabled": True,
            "from": [{"namespaceSelector": {"matchLabels": {"egress": "yes"}}}],
            "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
        },
    },
    "standalone-existing-config": {"existingConfigMap": "routes", "standalone": {"preStopSeconds": 0}},
    "network-policy": {"config": CONFIG, "networkPolicy": {"enabled": True}},
    "config-only": {"config": CONFIG, "standalone": {"enabled": False}},
    "exec-probes": {"config": CONFIG, "probes": "exec", "adminAddress": "127.0.0.1", "adminPort": 9999},
}
"""Values that together go through every branch of every template."""


def rendered(chart: Path, values: Object, *, name: str = "demo") -> dict[str, Object]:
    """Every manifest, by `kind/name`."""
    with helm_python.Chart.load(chart) as loaded:
        texts = loaded.render(values, name=name, namespace="apps")
    documents = [document for file in sorted(texts) if file.endswith(".yaml") for document in _parsed(texts[file])]
    found = {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}
    assert len(found) == len(documents), "two manifests of one name"
    return found


class _Strict(yaml.CSafeLoader):
    """Refuses a key that is there twice: the API server takes the last one, and says nothing."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice the same key in {keys}"
        return super().construct_mapping(node, deep=deep)


_Strict.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True))


def _parsed(text: str) -> Iterator[Object]:
    return (document for document in yaml.load_all(text, _Strict) if document)


def vendored(chart: Path, directory: Path) -> Path:
    """A chart with its dependency in place, as `helm dependency update` leaves it."""
    copy = directory / chart.name
    shutil.copytree(chart, copy)
    shutil.copytree(CHART, copy / "charts/sidecar")
    return copy


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    return Resource.from_contents(_schema(version, "_definitions")) @ Registry()


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    """What `kubernetes_validate.validate(..., strict=True)` makes anew for every document, made once."""
    group, slash, rest = api_version.partition("/")
    schema = _schema(version, f"{kind.lower()}-{group.partition('.')[0]}{'-' if slash else ''}{rest}")
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


def _schema(version: str, name: str) -> Any:
    found = files(kubernetes_validate) / f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json"
    return json.loads(found.read_text())


def assert_valid(document: Object) -> None:
    """What the API servers of the last three minor versions would accept, unknown fields refused."""
    kind, api_version = document["kind"], document["apiVersion"]
    crd = CRDS / f"{kind.lower()}.json"
    if crd.exists():
        jsonschema.validate(document, json.loads(crd.read_text()))
        return
    for version in VERSIONS:
        _validator(kind, api_version, version).validate(document)


def pod_specs(documents: dict[str, Object]) -> Iterator[Object]:
    """Of everything that makes pods."""
    for document in documents.values():
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield spec["template"]["spec"]


def unrestricted(pod: Object) -> list[str]:
    """What the restricted Pod Security Standard (Kubernetes, 1.29 and later) has against a pod's containers."""
    return (
        [
            f"{container['name']}: {rule}"
            for container in (*pod.get("initContainers", ()), *pod["containers"])
            for rule, kept in _rules(container.get("securityContext", {}), pod.get("securityContext", {})).items()
            if not kept
        ]
        + [
            f"volume {volume['name']}"
            for volume in pod.get("volumes", ())
            if not {
                "configMap",
                "csi",
                "downwardAPI",
                "emptyDir",
                "ephemeral",
                "persistentVolumeClaim",
                "projected",
                "secret",
            }
            & volume.keys()
        ]
        + [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    )


def _rules(own: Object, pod: Object) -> dict[str, bool]:
    either = {**pod, **own}
    capabilities = own.get("capabilities", {})
    return {
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities": "ALL" in capabilities.get("drop", ())
        and set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
        "privileged": not own.get("privileged"),
        "runAsNonRoot": either.get("runAsNonRoot") is True,
        "runAsUser": either.get("runAsUser") != 0,
        "seccompProfile": either.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"},
    }


def golden_text(documents: dict[str, Object]) -> str:
    """A rendering as it is kept, without what other files say: alerts, dashboards, the examples' configurations."""
    kept = [document for name, document in documents.items() if not name.endswith("-dashboard")]
    kept = [document for document in kept if document["kind"] != "PrometheusRule"]
    text = yaml.dump_all(kept, Dumper=_Readable, sort_keys=False, width=120)
    return re.sub(r"(resilience-sidecar/config: ).*", r"\1CHECKSUM", text)


class _Readable(yaml.SafeDumper):
    """The configuration of an example is named, others stand as they are."""

    def represent_str(self, text: str) -> Any:
        text = _named().get(text, text)
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _Readable.represent_str)


@functools.cache
def _named() -> dict[str, str]:
    return {path.read_text(): f"(config/examples/{path.name})" for path in (ROOT / "config/examples").glob("*.yaml")}


def chart_example(name: str, directory: Path) -> dict[str, Object]:
    """An example with the configuration of its system, rendered as helm/examples/README.md says."""
    example = EXAMPLES / name
    config = (ROOT / f"config/examples/{name}.yaml").read_text()
    if not (example / "Chart.yaml").exists():
        values = yaml.safe_load((example / "values.yaml").read_text())
        return rendered(CHART, {**values, "config": config})
    inline = "config:" in (example / "values.yaml").read_text()
    return rendered(vendored(example, directory), {} if inline else {"sidecar": {"config": config}})


def example_names() -> list[str]:
    """The five systems."""
    return sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def golden_files() -> Iterator[tuple[str, str]]:
    """Name and content of every golden file."""
    for name, values in CASES.items():
        yield name, golden_text(rendered(CHART, values))
    for name in example_names():
        with tempfile.TemporaryDirectory() as directory:
            yield f"example-{name}", golden_text(chart_example(name, Path(directory)))


def main() -> None:
    """Writes all golden files."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for name, text in golden_files():
        (GOLDEN / f"{name}.yaml").write_text(text)


if __name__ == "__main__":
    main()
