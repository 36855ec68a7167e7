"""Edits of a YAML text, one key or item at a time, that leave every other byte alone.

Everything new is put *before* something that is there: then neither comments behind it nor a missing line break at the
end of the file matter, and what was put can be taken out again without a trace. In flow style (JSON too) new things are
written as JSON.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, NamedTuple

import yaml

from sidecar.inject.nodes import Node

_WIDE: Final = 1 << 30
_PLAIN: Final = re.compile(r"https?://[A-Za-z0-9._~%/:-]*[A-Za-z0-9._~%/-]")
"""What needs no quotes where there were none."""


class Edit(NamedTuple):
    """`text` in the place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits, none of which may overlap; those at the same place in the order given."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        parts += (text[at : edit.start], edit.text)
        at = max(at, edit.end)
    return "".join((*parts, text[at:]))


class Literal(str):
    """Text of several lines that is written as a block, not in quotes."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _block(dumper: yaml.SafeDumper, text: Literal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


_Dumper.add_representer(Literal, _block)


def dumped(value: Any) -> str:
    """A value in block style, as kubectl writes it."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE)


class Text:
    """A text and its tree. The methods return edits, and change nothing."""

    def __init__(self, text: str, root: Node) -> None:
        self._text = text
        self._root = root
        self._break = "\r\n" if "\r\n" in text else "\n"

    @cached_property
    def _ends(self) -> list[int]:
        return sorted(scalar.end for scalar in self._root.scalars)

    def put(self, mapping: Node, new: dict[str, Any], *, before: str | None = None) -> Edit:
        """New keys in a mapping, before a key of it or before its first."""
        if mapping.flow:
            return self._put_in_flow(mapping, json.dumps(new, ensure_ascii=False)[1:-1])
        pair = mapping.pair(before) if before else None
        key = pair[0] if pair else mapping.children[0]
        return self._put_in_block(key.start, key.column, dumped(new))

    def push(self, sequence: Node, new: list[Any]) -> Edit:
        """New items, the first of a list."""
        if sequence.flow:
            return self._put_in_flow(sequence, json.dumps(new, ensure_ascii=False)[1:-1])
        return self._put_in_block(sequence.start, sequence.column, dumped(new))

    def fill(self, null: Node, new: Any) -> Edit:
        """A value where nothing is written."""
        space = " " if null.start == null.end else ""
        return Edit(null.start, null.end, space + json.dumps(new, ensure_ascii=False))

    def empty(self, value: Node, was: str) -> Edit:
        """The opposite of `fill`: `was` is what stood there."""
        start = value.start if was else value.start - (self._text[value.start - 1] == " ")
        return Edit(start, value.end, was)

    def reword(self, scalar: Node, new: str) -> Edit:
        """Another text, in the quotes that the scalar has."""
        if scalar.style is None and _PLAIN.fullmatch(new):
            return Edit(scalar.start, scalar.end, new)
        quoted = f"'{new}'" if scalar.style == "'" and "'" not in new else json.dumps(new, ensure_ascii=False)
        return Edit(scalar.start, scalar.end, quoted)

    def raw(self, node: Node) -> str:
        """A node as it is written."""
        return self._text[node.start : node.end]

    def cut(self, first: Node, last: Node, *, item: bool, flow: bool) -> Edit:
        """What stands from `first` to `last`, a key and its value or (`item`) an item, is taken out."""
        if flow:
            return self._cut_from_flow(first.start, last.end)
        start, line = first.start, self._line(first.start)
        end = self._text.find("\n", last.end if self._text[last.end - 1] != "\n" else last.end - 1) + 1
        end = end or len(self._text)
        lead = self._text[line:start]
        if not lead.replace("-", "", 1).strip() and (item or "-" not in lead):
            return Edit(line, end, "")
        return Edit(start, end + first.column, "")  # it shares its line with a dash: what follows moves up

    def _cut_from_flow(self, start: int, end: int) -> Edit:
        if self._text.startswith(",", end):
            return Edit(start, end + 1 + self._text.startswith(" ", end + 1), "")
        if self._text[:start].endswith(", "):
            start -= 2
        return Edit(start, end, "")

    @staticmethod
    def _put_in_flow(collection: Node, new: str) -> Edit:
        at = collection.start + 1
        return Edit(at, at, f"{new}, " if collection.children else new)

    def _put_in_block(self, at: int, column: int, new: str) -> Edit:
        indent = " " * column
        lines = [f"{indent}{line}" if line else line for line in new.splitlines()]
        block = self._break.join(lines)
        line = self._line(at)
        if self._text[line:at].strip():  # it shares its line with a dash
            return Edit(at, at, f"{block[column:]}{self._break}{indent}")
        above = self._above_comments(line)
        return Edit(above, above, f"{block}{self._break}")

    def _line(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _above_comments(self, line: int) -> int:
        """Comments right above belong to what follows. A block of text may hold lines that only look like some."""
        index = bisect_right(self._ends, line)
        lowest = self._ends[index - 1] if index else 0
        while line > lowest:
            above = self._line(line - 1)
            if above < lowest or not self._text[above:line].lstrip().startswith("#"):
                break
            line = above
        return line
