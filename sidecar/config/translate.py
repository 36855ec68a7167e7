"""The models' complaints in our own words, each with its place, and the key that was probably meant."""

import difflib
import typing
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sidecar.config.document import Document
from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem
from sidecar.config.scalars import shown
from sidecar.config.upstream import Upstream

_SENTENCES: Final = {
    "missing": "is required",
    "string_type": "must be text; write it in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "dict_type": "must be a mapping (key: value)",
    "mapping_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_EMPTY: Final = "has no value: write one, or leave the key out"


def problem(document: Document, error: ErrorDetails) -> Problem:
    """One complaint of pydantic's, located and reworded.

    Nothing of the input is in it but what `shown` allows.
    """
    path = document.written(tuple(part for part in error["loc"] if part != "[key]"))
    kind = error["type"]
    if kind == "extra_forbidden":
        return document.problem(path, unknown_key(path), place=document.key_place(path))
    if error["loc"][-1:] == ("[key]",):
        return document.problem(path, _sentence(error), place=document.key_place(path))
    if error.get("input") is None and kind != "missing" and "default" not in kind:
        return document.problem(path, _EMPTY)
    return document.problem(path, _sentence(error))


def _sentence(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    sentence = _SENTENCES.get(error["type"], error["msg"])
    if error["type"] == "literal_error":
        return sentence.format(**context) + _meant(error.get("input"), context["expected"])
    return sentence.format(**context) if error["type"] in _SENTENCES else sentence


def _meant(written: Any, expected: str) -> str:
    words = [word.strip("' ") for word in expected.replace(" or ", ",").split(",")]
    if not isinstance(written, str):
        return f", not {shown(written)}; write it in quotes" if str(written) in words else ""
    return f"; did you mean {close[0]!r}?" if (close := difflib.get_close_matches(written, words, 1)) else ""


def nearest(written: str, known: Iterable[str]) -> str:
    """A clause that names the nearest of `known`; "" if none is near."""
    close = difflib.get_close_matches(written[:100], list(known), 1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown_key(path: Path) -> str:
    """Says so, and names the key of that place, or of one level deeper, that was probably meant."""
    written = str(path[-1])
    model = _model_at(path[:-1])
    if path[0] == "defaults" and path[1:] in {("name",), ("match",)}:
        return f"belongs to a route alone: {written} cannot be a default"
    keys = _keys(model)
    deeper = [f"{key}.{written}" for key, inner in keys.items() if inner is not None and written in _keys(inner)]
    if deeper and not difflib.get_close_matches(written, keys, 1, cutoff=0.8):
        return f"unknown key; did you mean {deeper[0]!r}?"
    return "unknown key" + (nearest(written, keys) or f"; known here: {', '.join(keys)}")


def _keys(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    return {field.alias or name: _inner(field.annotation) for name, field in model.model_fields.items()}


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model somewhere inside a type: `tuple[Annotated[Rung, ...], ...] | None` holds Rung."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(part) for part in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _model_at(path: Path) -> type[BaseModel]:
    model: type[BaseModel] = Config
    named = False
    for part in path:
        if named or isinstance(part, int):  # the name of an upstream, a position in a list
            named = False
            continue
        inner = _keys(model).get(part)
        named = inner is Upstream
        model = inner or model
    return model
