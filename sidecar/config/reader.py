"""YAML to a `Document`.

What this file promises:

- scalars are YAML 1.2's (core schema): `on`, `yes`, `010` and `1:30` are not booleans, octals or minutes;
- nothing is taken silently: duplicate keys, tags, merge keys, several documents are errors with a place;
- no file, however hostile, costs more than its bytes: size, depth and the number of values, with every alias
  counted as what it stands for, are bounded *while* reading. (`yaml.compose` builds nested nodes in C by
  recursion: `[` 200,000 times ends the process with a segmentation fault. So this reads the parser's events.)
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from sidecar.config.document import Document, Where, fail, place_of
from sidecar.config.problem import ConfigError, Path, Place
from sidecar.config.scalars import FromEnvironment, PlainFromEnvironment, resolve

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
"""The deepest key of the contract stands at 6; free JSON documents need some more."""
MAX_VALUES: Final = 50_000

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""YAML 1.2.2 section 5.1, without the byte order mark."""
_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}$]|\$(?!\{))*))?\}|\$\{")
"""A default ends before the next `${`: one that never ends is not looked for to the end of the file, once per `${`."""
_MERGE: Final = "merge keys (<<) are not YAML 1.2: put what routes share under defaults, or alias a whole value"
_TAG: Final = "tags (!) are not supported: the key decides the type"


def read(raw: bytes, *, file: str, env: Mapping[str, str]) -> Document:
    """Parses one YAML document.

    Raises:
        ConfigError: what leaves nothing to go on with: syntax, encoding, size, depth. Everything else is in
            the document's `problems`, so that it can be reported together with what the models find.
    """
    return _Reader(file, _decoded(raw, file), env).document()


def _decoded(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise fail(file, Place(1, 1), f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(errors="replace")
        raise fail(file, _place_after(before), "is not UTF-8") from None
    if found := _UNPRINTABLE.search(text):
        code = f"U+{ord(found[0]):04X}"
        raise fail(file, _place_after(text[: found.start()]), f"has a character that YAML forbids: {code}")
    return text


def _place_after(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))


class _Reader:
    """Turns the parser's events into a document. Recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, file: str, text: str, env: Mapping[str, str]) -> None:
        self._text = text
        self._env = env
        self._document = Document(file)
        self._events: Iterator[Any] = yaml.parse(text, yaml.CBaseLoader)
        self._anchors: dict[str, tuple[Any, Where, int]] = {}
        self._path: list[str | int] = []
        self._values = 0

    def document(self) -> Document:
        try:
            self._read()
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except yaml.YAMLError as error:
            raise fail(self._document.file, Place(1, 1), f"is not YAML: {error}") from None
        return self._document

    def _read(self) -> None:
        file = self._document.file
        next(self._events)  # the stream starts
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise fail(file, Place(1, 1), "is empty")
        self._document.data, self._document.top = self._value(next(self._events), None)
        next(self._events)  # the document ends
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            place = place_of(after.start_mark)
            raise fail(file, place, "a second document starts here: write one per file")

    def _syntax(self, error: yaml.MarkedYAMLError) -> ConfigError:
        mark = error.problem_mark or error.context_mark
        place = place_of(mark) if mark else Place(1, 1)
        lines = self._text.splitlines()
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        if line[place.column - 1 : place.column] == "\t":
            return fail(self._document.file, place, "a tab cannot indent: use spaces")
        context = f"{error.context}: " if error.context else ""
        return fail(self._document.file, place, f"is not YAML: {context}{error.problem}")

    def _value(self, event: Any, key: Any) -> tuple[Any, Where]:
        """The value that starts with `event`, and where it stands. `key`: the mark of its key."""
        mark = event.start_mark
        self._count(1, mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark, key)
        before, where = self._values, Where(mark, key, scalar=isinstance(event, yaml.ScalarEvent))
        if event.tag is not None:
            self._note(mark, _TAG)
        if where.scalar:
            data = self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            data = self._mapping(where.inner)
        else:
            data = self._sequence(where.inner)
        if event.anchor is not None:
            self._anchors[event.anchor] = (data, where, self._values - before + 1)
        return data, where

    def _count(self, values: int, mark: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            message = f"holds more than {MAX_VALUES} values, each alias counted in full"
            raise fail(self._document.file, place_of(mark), message)
        if len(self._path) > MAX_DEPTH:
            message = f"is nested more than {MAX_DEPTH} levels deep"
            raise fail(self._document.file, place_of(mark), message)

    def _alias(self, name: str | None, mark: Any, key: Any) -> tuple[Any, Where]:
        if name is None or name not in self._anchors:
            self._note(mark, f"no complete value is anchored as {name!a} before this alias")
            return None, Where(mark, key, scalar=True)
        data, where, values = self._anchors[name]
        self._count(values - 1, mark)
        return data, where

    def _note(self, mark: Any, message: str, *, key: str | None = None) -> None:
        path: Path = (*self._path, key) if key is not None else tuple(self._path)
        problem = self._document.problem(path, message, place=place_of(mark))
        self._document.problems.setdefault(path, problem)

    def _sequence(self, inner: dict[str | int, Where]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            index = len(items)
            self._path.append(index)
            item, inner[index] = self._value(event, None)
            items.append(item)
            self._path.pop()
        return items

    def _mapping(self, inner: dict[str | int, Where]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._key(event)
            if name in data:
                line = place_of(inner[name].key).line
                self._note(event.start_mark, f"duplicate key: {name!a} is already on line {line}", key=name)
                self._skip()
                continue
            self._path.append(name)
            data[name], inner[name] = self._value(next(self._events), event.start_mark)
            self._path.pop()
        return data

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise fail(self._document.file, place_of(event.start_mark), "a key must be plain text")
        if event.value == "<<" and not event.style:
            self._note(event.start_mark, _MERGE, key="<<")
        return str(event.value)

    def _skip(self) -> None:
        depth = 0
        while True:
            event = next(self._events)
            starts = isinstance(event, yaml.CollectionStartEvent)
            depth += starts - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if "$" in text:
            text, used = self._substituted(text, event.start_mark)
            if used:  # what it is to be, only the model can say: a token may consist of digits
                return FromEnvironment(text) if event.style else PlainFromEnvironment(text)
        return text if event.style else resolve(text)

    def _substituted(self, text: str, mark: Any) -> tuple[str, bool]:
        """The text with its variables filled in, and whether there were any."""
        used = False

        def value(found: re.Match[str]) -> str:
            nonlocal used
            if found[0] == "$$":
                return "$"
            used = True
            return self._variable(found[1], found[2], mark)

        return _VARIABLE.sub(value, text), used

    def _variable(self, name: str | None, default: str | None, mark: Any) -> str:
        """As a shell has it: `:-` stands in for an unset and for an empty variable."""
        if name is None:
            self._note(mark, "a variable is ${NAME} or ${NAME:-default}; write $$ for a dollar sign")
            return ""
        value = self._env.get(name)
        if value is None and default is None:
            hint = f"set it, or write ${{{name}:-default}}"
            self._note(mark, f"environment variable {name} is not set: {hint}")
            return ""
        return value or default or ""
