"""YAML as a tree that knows where in the text each node stands.

Made from the parser's events: `yaml.compose` follows aliases silently, and in C it recurses without a bound.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from sidecar.inject.problem import ManifestError

MAX_DEPTH: Final = 100
_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_BEGIN: Final = re.compile(r"^---(?:\s|$)", re.MULTILINE)
_FIRST: Final = re.compile(r"(?:\s*(?:#.*|%.*)?\n)*(---(?:\s|$))?")
_NULL: Final = {"", "~", "null", "Null", "NULL"}


@dataclass(slots=True, eq=False)
class Node:
    """One node. `start` and `end` are offsets in the text; those of a block collection end with its last scalar.

    `marked`: it has an anchor or a tag, which stand at its start.
    """

    kind: Literal["mapping", "list", "scalar", "alias"]
    start: int
    end: int
    line: int
    column: int
    flow: bool = False
    marked: bool = False
    style: str | None = None
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    @property
    def pairs(self) -> Iterator[tuple["Node", "Node"]]:
        """Keys and values of a mapping."""
        return zip(self.children[::2], self.children[1::2], strict=True)

    def pair(self, key: str) -> tuple["Node", "Node"] | None:
        """A key and its value."""
        if self.kind != "mapping":
            return None
        return next((pair for pair in self.pairs if pair[0].text == key), None)

    def get(self, *keys: str) -> "Node | None":
        """The value at a path of keys."""
        node: Node | None = self
        for key in keys:
            found = None if node is None else node.pair(key)
            node = found and found[1]
        return node

    def value(self, *keys: str) -> str:
        """The text of the scalar at a path of keys; "" if there is none."""
        node = self.get(*keys)
        return node.text if node is not None and node.kind == "scalar" else ""

    @property
    def null(self) -> bool:
        """Whether it is written as nothing: `key:`, `null` or `~`."""
        return self.kind == "scalar" and self.style is None and self.text in _NULL

    @property
    def scalars(self) -> Iterator["Node"]:
        """Every scalar inside, in order."""
        stack = [self]
        while stack:
            node = stack.pop()
            if node.kind == "scalar":
                yield node
            stack.extend(reversed(node.children))


@dataclass(slots=True)
class Document:
    """One document of a stream. `number` counts from 1; an empty one has no node."""

    number: int
    root: Node | None


def documents(text: str) -> list[Document]:
    """Every document of a stream.

    Raises:
        ManifestError: it is not YAML.
    """
    found: list[Document] = []
    try:
        builder = _Builder(found)
        for event in yaml.parse(text, _LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = error.problem or error.context or "cannot be read"
        raise ManifestError(f"is not YAML: {what}", line=line, document=_number(text, line)) from None
    except (yaml.YAMLError, UnicodeError) as error:
        what = str(error).partition("\n")[0]
        raise ManifestError(f"is not YAML: {what}", line=1) from None
    return found


def _number(text: str, line: int) -> int:
    """Of the document at a line. The parser reads ahead: it cannot tell."""
    before = "\n".join(text.split("\n")[:line])
    first = _FIRST.match(before)
    return len(_BEGIN.findall(before)) + (not (first and first[1]))


class _Builder:
    def __init__(self, found: list[Document]) -> None:
        self._found = found
        self._open: list[Node] = []

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._found.append(Document(len(self._found) + 1, None))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(self._open.pop(), event)
        elif isinstance(event, yaml.NodeEvent):
            self._add(_leaf(event))

    def _begin(self, event: Any) -> None:
        kind: Literal["mapping", "list"] = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
        node = _placed(event, kind)
        node.flow = bool(event.flow_style)
        self._add(node)
        self._open.append(node)
        if len(self._open) > MAX_DEPTH:
            raise ManifestError("is nested too deeply", line=node.line, document=len(self._found))

    @staticmethod
    def _end(node: Node, event: Any) -> None:
        node.end = event.end_mark.index if node.flow else node.children[-1].end

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._found[-1].root = node


def _leaf(event: Any) -> Node:
    if isinstance(event, yaml.AliasEvent):
        return _placed(event, "alias")
    node = _placed(event, "scalar")
    node.text = event.value
    node.style = event.style or None
    return node


def _placed(event: Any, kind: Literal["mapping", "list", "scalar", "alias"]) -> Node:
    mark = event.start_mark
    marked = kind != "alias" and bool(event.anchor or event.tag)
    return Node(kind, mark.index, event.end_mark.index, mark.line + 1, mark.column, marked=marked)
