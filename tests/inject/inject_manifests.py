"""Manifests as people and machines write them: any kind, any style of YAML."""

import json
import random
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]

TEXTS = [
    "plain",
    "with 'quotes'",
    'with "others"',
    "a: b # c",
    "é 😀",
    "- dash",
    "many\nlines\n",
    "# not\n# a comment\n",
]


@st.composite
def pods(draw: st.DrawFn) -> Object:
    """A pod's metadata and spec; what may be left out is left out at times, or written as nothing."""
    template: Object = {}
    if draw(st.booleans()):
        template["metadata"] = draw(_metadata())
    spec: Object = {"restartPolicy": "Never"} if draw(st.booleans()) else {}
    spec |= draw(_maybe("volumes", [{"name": "own", "emptyDir": {}}]))
    spec |= draw(_maybe("initContainers", [_container("first", draw(_env()))]))
    spec["containers"] = [_container(name, draw(_env())) for name in draw(st.sampled_from([["app"], ["app", "more"]]))]
    template["spec"] = spec
    return template


@st.composite
def _metadata(draw: st.DrawFn) -> Object | None:
    metadata: Object = {"creationTimestamp": None} if draw(st.booleans()) else {}
    metadata |= draw(_maybe("annotations", {"note": draw(st.sampled_from(TEXTS))}))
    if draw(st.booleans()):
        metadata["labels"] = {"app": "web"}
    return metadata or draw(st.sampled_from([None, {}]))


@st.composite
def _maybe(draw: st.DrawFn, key: str, value: Any) -> Object:
    found = draw(st.sampled_from(["absent", "there", "null", "empty"]))
    return {"absent": {}, "there": {key: value}, "null": {key: None}, "empty": {key: type(value)()}}[found]


@st.composite
def _env(draw: st.DrawFn) -> Object:
    url = {"name": "API_URL", "value": draw(st.sampled_from(["https://api.example.com/v1/", "x", "with 'quotes'"]))}
    return draw(_maybe("env", draw(st.sampled_from([[url], [{"name": "A", "value": "1"}, url], [{"name": "A"}]]))))


def _container(name: str, env: Object) -> Object:
    return {"name": name, "image": f"registry.example.com/{name}:1", **env, "args": ["# not\n# a comment\n"]}


@st.composite
def workloads(draw: st.DrawFn) -> Object:
    """Something that has a pod."""
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"]))
    metadata = {"name": draw(st.sampled_from(["web", "worker"]))} | draw(st.sampled_from([{}, {"namespace": "apps"}]))
    pod = draw(pods())
    if kind == "Pod":
        inner = {**(pod.get("metadata") or {}), **metadata}
        return {"apiVersion": "v1", "kind": kind, "metadata": inner, "spec": pod["spec"]}
    group = "batch/v1" if kind.endswith("Job") else "apps/v1"
    spec: Object = {"template": pod}
    if group == "apps/v1":
        spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    if kind == "StatefulSet":
        spec["serviceName"] = "web"
    if kind == "CronJob":
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": spec}}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}


OTHERS: list[Object] = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"note": TEXTS[-1]}},
    {"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": {"name": "not-ours"}, "spec": "anything"},
]


@st.composite
def streams(draw: st.DrawFn) -> str:
    """Some documents as text: block and flow style mixed, or all JSON; lists of kubectl's among them."""
    things = draw(st.lists(st.one_of(workloads(), st.sampled_from(OTHERS)), min_size=1, max_size=3))
    if draw(st.booleans()):
        things = [{"apiVersion": "v1", "kind": "List", "items": things}]
    text = Style(random.Random(draw(st.integers(0, 1 << 16)))).stream(things)
    return text.replace("\n", "\r\n") if draw(st.integers(0, 5)) == 0 else text


class Style:
    """One way to write YAML, by chance: a draw for every line would cost more than what is tested."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def stream(self, things: list[Object]) -> str:
        """All of them, with what stands before, between and behind documents."""
        texts = ["\n".join(self._mapping(thing, 0)) + "\n" for thing in things]
        head = self._chance.choice(["", "---\n", "# head\n", "# head\n---\n", "%YAML 1.2\n---\n", "\ufeff"])
        text = head + "---\n".join(texts) + self._chance.choice(["", "", "# end\n", "---\n", "\n\n", "...\n"])
        return text.removesuffix("\n") if self._one_in(5) else text

    def _one_in(self, count: int) -> bool:
        return self._chance.randrange(count) == 0

    def _mapping(self, value: Object, indent: int) -> list[str]:
        lines: list[str] = []
        keys = list(value)
        if self._one_in(4):
            self._chance.shuffle(keys)
        for key in keys:
            if lines and self._one_in(6):
                lines.append(" " * self._chance.choice([0, indent, indent + 3]) + "# why")
            lines += self._entry(f"{' ' * indent}{key}:", value[key], indent)
        return lines

    def _entry(self, head: str, value: Any, indent: int) -> list[str]:
        if isinstance(value, str) and "\n" in value and self._one_in(2):
            return [f"{head} |", *(f"{' ' * (indent + 2)}{line}" for line in value.splitlines())]
        if not value or not isinstance(value, dict | list) or self._one_in(8):
            return [f"{head} {self._flow(value)}".rstrip()]
        if isinstance(value, dict):
            return [head, *self._mapping(value, indent + self._chance.choice([2, 4]))]
        return [head, *self._items(value, indent + self._chance.choice([0, 2]))]

    def _items(self, value: list[Any], indent: int) -> list[str]:
        lines: list[str] = []
        for item in value:
            if self._one_in(6):
                lines.append(" " * indent + "# item")
            if isinstance(item, str) and "\n" in item and self._one_in(2):
                lines += [f"{' ' * indent}- |", *(f"{' ' * (indent + 2)}{line}" for line in item.splitlines())]
                continue
            if not isinstance(item, dict) or self._one_in(6):
                lines.append(f"{' ' * indent}- {self._flow(item)}")
                continue
            width = self._chance.choice([2, 2, 4])
            inner = self._mapping(item, indent + width)
            lines += [f"{' ' * indent}-{' ' * (width - 1)}{inner[0].lstrip()}", *inner[1:]]
        return lines

    def _flow(self, value: Any) -> str:
        if value is None:
            return self._chance.choice(["", "null", "~"])
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False, separators=self._chance.choice([(", ", ": "), (" ,  ", ": ")]))
        if isinstance(value, str) and not set("'\n") & set(value) and self._one_in(2):
            return f"'{value}'"
        if isinstance(value, str) and value.replace(":/", "").replace(".", "").isalpha():
            return value
        return json.dumps(value, ensure_ascii=False)
