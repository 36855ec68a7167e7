"""A body held against a JSON Schema, and what is wrong with it told without quoting it.

The validator is made where the configuration is loaded; this only asks it. 54 KB of JSON cost about 0.25 ms, beside
0.65 ms to build the document.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

_HIDDEN: Final = "*"
_LONGEST: Final = 200
"""Characters of a place that are told."""


class Kind(Protocol):
    """What sort of error."""

    @property
    def name(self) -> str:
        """The schema's keyword."""


class Failure(Protocol):
    """One place where the document is not as the schema says."""

    @property
    def instance_path(self) -> Sequence[str | int]:
        """The way there, through the document."""

    @property
    def kind(self) -> Kind:
        """What is wrong there."""


class Validator(Protocol):
    """jsonschema-rs's, by what is used of it."""

    def is_valid(self, instance: Any) -> bool:
        """Stops at the first error."""

    def iter_errors(self, instance: Any) -> Iterable[Failure]:
        """Every error."""


class Schema:
    """`schema`: the document that `validator` was made of."""

    __slots__ = ("_names", "_validator")

    def __init__(self, validator: Validator, schema: Any) -> None:
        self._validator = validator
        self._names = frozenset(_names(schema))

    def wrong(self, document: Any) -> str:
        """What is wrong with a document, in one sentence; "" if nothing is."""
        try:
            if self._validator.is_valid(document):
                return ""
            first = next(iter(self._validator.iter_errors(document)))
        except ValueError:  # too deep for it, or beyond its patterns' limit
            return "body cannot be held against expect.json_schema"
        return f"{self._place(document, first.instance_path)} breaks {first.kind.name!r} of expect.json_schema"

    def _place(self, document: Any, path: Sequence[str | int]) -> str:
        """A JSON pointer (RFC 6901). Names that the schema does not have are the body's own, and become *."""
        parts = []
        for part in path:
            if isinstance(document, list):
                parts.append(str(part))
                document = document[int(part)]
                continue
            name = str(part)
            parts.append(name.replace("~", "~0").replace("/", "~1") if name in self._names else _HIDDEN)
            document = document.get(name) if isinstance(document, dict) else None
        text = "".join(f"/{part}" for part in parts)
        return f"what stands at {text[:_LONGEST]!r}" if text else "the document as a whole"


def _names(schema: Any) -> Iterable[str]:
    """Every key of every mapping in it: those under `properties` are among them."""
    if isinstance(schema, dict):
        yield from schema
        schema = schema.values()
    elif not isinstance(schema, list):
        return
    for inner in schema:
        yield from _names(inner)
