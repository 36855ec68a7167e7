"""The edits that take the sidecar out of one pod again."""

from sidecar.inject import state
from sidecar.inject.nodes import Node
from sidecar.inject.splice import Edit, Text
from sidecar.inject.workloads import Workload


def removal(text: Text, workload: Workload) -> list[Edit]:
    """All of them; none if the pod has no sidecar of ours.

    Raises:
        ManifestError: the annotation that says what was done is not as it was written.
    """
    noted = workload.holder.get("metadata", "annotations", state.STATE)
    if noted is None:
        return []
    done = state.read(noted.text)
    if done is None:
        raise workload.refused(f"the annotation {state.STATE} was changed: cannot tell what to take out", noted)
    return list(_Removal(text, workload, done).edits())


class _Removal:
    def __init__(self, text: Text, workload: Workload, done: state.State) -> None:
        self._text = text
        self._workload = workload
        self._state = done

    def edits(self) -> list[Edit]:
        spec, holder = self._workload.spec, self._workload.holder
        found = [
            *self._without("containers", spec, {self._state.name}),
            *self._without("initContainers", spec, {self._state.name}),
            *self._without("volumes", spec, set(self._state.volumes)),
        ]
        for key in ("containers", "initContainers"):
            for each in getattr(spec.get(key), "children", ()):
                found += self._env(each)
        return [*found, *self._annotations(holder)]

    def _annotations(self, holder: Node) -> list[Edit]:
        metadata = holder.get("metadata")
        ours = set(self._state.annotations)
        if metadata is None:
            return []
        annotations = metadata.get("annotations")
        alone = annotations is not None and {key.text for key, _ in annotations.pairs} <= ours
        if alone and len(metadata.children) == 2 and self._is_ours("metadata"):
            return self._whole("metadata", holder)
        return self._without("annotations", metadata, ours)

    def _is_ours(self, name: str) -> bool:
        return name in self._state.made or name in self._state.nulls

    def _without(self, key: str, parent: Node, ours: set[str], name: str = "") -> list[Edit]:
        """A collection without what is ours in it; without itself if it was made for that."""
        collection = parent.get(key)
        if collection is None or collection.kind == "scalar":
            return []
        mapping = collection.kind == "mapping"
        entries = [*collection.pairs] if mapping else [(item, item) for item in collection.children]
        mine = [pair for pair in entries if (pair[0].text if mapping else pair[0].value("name")) in ours]
        if mine and len(mine) == len(entries) and (self._is_ours(name or key) or not collection.flow):
            return self._whole(key, parent, name)
        return self._cut(mine, entries, flow=collection.flow, item=not mapping)

    def _cut(
        self, mine: list[tuple[Node, Node]], entries: list[tuple[Node, Node]], *, flow: bool, item: bool
    ) -> list[Edit]:
        """Neighbours at once: in flow style they share a comma."""
        runs: list[list[tuple[Node, Node]]] = []
        last = -2
        for index, pair in enumerate(entries):
            if pair not in mine:
                continue
            if index != last + 1:
                runs.append([])
            runs[-1].append(pair)
            last = index
        return [self._text.cut(run[0][0], run[-1][1], item=item, flow=flow) for run in runs]

    def _whole(self, key: str, parent: Node, name: str = "") -> list[Edit]:
        pair = parent.pair(key)
        assert pair is not None
        if (was := self._state.nulls.get(name or key)) is not None:
            return [self._text.empty(pair[1], was)]
        return [self._text.cut(*pair, item=False, flow=parent.flow)]

    def _env(self, each: Node) -> list[Edit]:
        name = each.value("name")
        noted = [renamed for renamed in self._state.env if renamed.container == name]
        added = {renamed.variable for renamed in noted if renamed.was is None}
        edits = self._without("env", each, added, f"env:{name}") if added else []
        for renamed in noted:
            item = _last(each.get("env"), renamed.variable)
            scalar = item and item.get("value")
            if renamed.was is not None and scalar is not None:
                edits.append(Edit(scalar.start, scalar.end, renamed.was))
        return edits


def _last(env: Node | None, variable: str) -> Node | None:
    found = [item for item in env.children if item.value("name") == variable] if env is not None else []
    return found[-1] if found else None
