"""The edits that put the sidecar into one pod."""

from typing import Any

from sidecar.inject import container, state
from sidecar.inject.container import Settings
from sidecar.inject.nodes import Node
from sidecar.inject.splice import Edit, Text
from sidecar.inject.workloads import Workload


class Injection:
    """Of one pod, in which no sidecar is. `config_map`: the name of the ConfigMap."""

    def __init__(self, text: Text, workload: Workload, settings: Settings, config_map: str) -> None:
        self._text = text
        self._workload = workload
        self._settings = settings
        volumes = container.volumes(settings, config_map)
        self._volumes = volumes
        self._state = state.State(settings.name, [volume["name"] for volume in volumes], [])
        self.renamed: set[str] = set()
        """The variables that got a new value."""

    def edits(self) -> list[Edit]:
        """All of them.

        Raises:
            ManifestError: what is there is in the way.
        """
        self._look()
        spec, settings = self._workload.spec, self._settings
        listed = "initContainers" if settings.native else "containers"
        edits = [
            self._added("volumes", spec, "volumes", self._volumes, before="containers"),
            self._added(listed, spec, listed, [container.container(settings)], before="containers"),
            *self._env(),
        ]
        return [*edits, self._annotated()]  # at last: the annotation says what was done

    def _look(self) -> None:
        workload, settings = self._workload, self._settings
        if workload.ends and not settings.native:
            raise workload.refused("a classic sidecar would keep it from ever ending; leave out --classic")
        if not self._list("containers"):
            raise workload.refused("has no containers")
        taken = {settings.name, *(volume["name"] for volume in self._volumes)}
        for item in (*self._list("containers"), *self._list("initContainers"), *self._list("volumes")):
            if item.value("name") in taken:
                raise workload.refused(
                    f"has {item.value('name')!r} already, which inject did not add: use --name", item
                )

    def _list(self, key: str) -> list[Node]:
        node = self._workload.spec.get(key)
        return node.children if node is not None and node.kind == "list" else []

    def _added(self, name: str, parent: Node, key: str, new: Any, *, before: str | None = None) -> Edit:
        """`new` in a collection, which is made if it is missing. `name`: the collection's, for the state."""
        pair = parent.pair(key)
        if pair is None:
            self._state.made.append(name)
            return self._text.put(self._editable(parent), {key: new}, before=before)
        value = pair[1]
        if value.null:
            self._state.nulls[name] = self._text.raw(value)
            return self._text.fill(value, new)
        if value.kind != ("list" if isinstance(new, list) else "mapping"):
            raise self._workload.refused(f"{key} is written in a way that cannot be edited", pair[0])
        if isinstance(new, list):
            return self._text.push(self._editable(value), new)
        return self._text.put(self._editable(value), new)

    def _editable(self, node: Node) -> Node:
        if node.marked:
            raise self._workload.refused("has an anchor or a tag where something must be changed: write it out", node)
        return node

    def _annotated(self) -> Edit:
        workload = self._workload
        metadata = workload.holder.pair("metadata")
        old = workload.holder.get("metadata", "annotations")
        new: dict[str, str] = {}
        if self._settings.checksum:
            new[state.CHECKSUM] = self._settings.checksum
        if not self._settings.native and not (old and old.get(state.DEFAULT)):
            new[state.DEFAULT] = self._list("containers")[0].value("name")
        self._state.annotations = [*new, state.STATE]
        if metadata is None or metadata[1].null:
            inner = {"annotations": new}
            return self._noted(workload.holder, "metadata", inner, new, before="spec" if metadata is None else None)
        return self._noted(metadata[1], "annotations", new, new)

    def _noted(self, parent: Node, key: str, value: Any, new: dict[str, str], *, before: str | None = None) -> Edit:
        """Like `_added`, in two steps: only when it is known what is made can the state be written into `new`."""
        self._added(key, parent, key, value, before=before)
        new[state.STATE] = state.written(self._state)
        self._state = state.State(self._settings.name, [], [])
        return self._added(key, parent, key, value, before=before)

    def _env(self) -> list[Edit]:
        edits: list[Edit] = []
        settings = self._settings
        # Init containers run before a classic sidecar.
        for each in (*self._list("containers"), *(self._list("initContainers") if settings.native else ())):
            missing: list[dict[str, str]] = []
            chosen = each.value("name") in settings.containers
            if settings.containers and not chosen:
                continue
            for variable, value in settings.env:
                found = self._variable(each, variable)
                if found is not None:
                    edits.append(self._reworded(each, variable, found, value))
                elif chosen:
                    missing.append({"name": variable, "value": value})
                    self._note(each, variable, None)
            if missing:
                edits.append(self._added(f"env:{each.value('name')}", each, "env", missing, before="image"))
        return edits

    @staticmethod
    def _variable(each: Node, variable: str) -> Node | None:
        env = each.get("env")
        found = [item for item in env.children if item.value("name") == variable] if env is not None else []
        return found[-1] if found else None  # the last one holds

    def _reworded(self, each: Node, variable: str, item: Node, value: str) -> Edit:
        scalar = item.get("value")
        if scalar is None or scalar.kind != "scalar" or scalar.style in {"|", ">"} or scalar.null:
            raise self._workload.refused(f"{variable} must have its value in one line, as text, to be replaced", item)
        for node in (self._workload.spec.get("containers"), each, each.get("env"), item, scalar):
            if node is not None:
                self._editable(node)  # what has an anchor may be another's too
        self._note(each, variable, self._text.raw(scalar))
        return self._text.reword(scalar, value)

    def _note(self, each: Node, variable: str, was: str | None) -> None:
        self._state.env.append(state.Renamed(each.value("name"), variable, was))
        self.renamed.add(variable)
