"""Where the pods are in a document: the kinds that have one, and lists of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.inject.container import MANAGED
from sidecar.inject.nodes import Document, Node
from sidecar.inject.problem import ManifestError

_TEMPLATE: Final = ("spec", "template")
_PODS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): _TEMPLATE,
}
"""Group and kind, and the way to what has the pod's metadata and spec."""
_RUN_TO_THE_END: Final = {"Job", "CronJob"}
_ITEMS: Final = re.compile(r"(DaemonSet|Deployment|ReplicaSet|StatefulSet|CronJob|Job|Pod|ConfigMap)?List")


@dataclass(frozen=True, slots=True)
class Workload:
    """One pod to be. `holder` is the mapping with its metadata and spec."""

    kind: str
    name: str
    namespace: str | None
    holder: Node
    spec: Node
    document: int

    @property
    def ends(self) -> bool:
        """Whether its pods are to end by themselves."""
        return self.kind in _RUN_TO_THE_END

    def refused(self, message: str, node: Node | None = None) -> ManifestError:
        """What is wrong with it, at a node."""
        line = (node or self.spec).line
        return ManifestError(f"{self.kind} {self.name}: {message}", line=line, document=self.document)


def workloads(document: Document) -> Iterator[Workload]:
    """Every pod of a document. Documents of other kinds have none.

    Raises:
        ManifestError: a kind that has a pod, without one.
    """
    for thing in _things(document.root):
        way = _PODS.get((_group(thing), thing.value("kind")))
        if way is not None:
            yield _workload(thing, way, document.number)


def config_maps(document: Document) -> Iterator[Node]:
    """The ConfigMaps of a document that `inject` made."""
    for thing in _things(document.root):
        labels = thing.get("metadata", "labels")
        if thing.value("kind") == "ConfigMap" and labels is not None and _ours(labels):
            yield thing


def _ours(labels: Node) -> bool:
    return all(labels.value(name) == value for name, value in MANAGED.items())


def _things(root: Node | None) -> Iterator[Node]:
    if root is None or root.kind != "mapping":
        return
    items = root.get("items")
    if _ITEMS.fullmatch(root.value("kind")) and items is not None:
        for item in items.children:
            yield from _things(item)
    else:
        yield root


def _group(thing: Node) -> str:
    group, slash, _ = thing.value("apiVersion").partition("/")
    return group if slash else ""


def _workload(thing: Node, way: tuple[str, ...], document: int) -> Workload:
    kind = thing.value("kind")
    name = thing.value("metadata", "name") or thing.value("metadata", "generateName").rstrip("-") or "unnamed"
    holder = thing
    for key in way:
        holder = _inside(holder, key, f"{kind} {name}", document)
    spec = _inside(holder, "spec", f"{kind} {name}", document)
    return Workload(kind, name, thing.value("metadata", "namespace") or None, holder, spec, document)


def _inside(node: Node, key: str, whose: str, document: int) -> Node:
    pair = node.pair(key)
    if pair is None:
        raise ManifestError(f"{whose}: has no {key} here", line=node.line, document=document)
    if pair[1].kind != "mapping" or not pair[1].children:
        raise ManifestError(f"{whose}: {key} must be a mapping", line=pair[0].line, document=document)
    return pair[1]
