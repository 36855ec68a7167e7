"""The file of a JSON Schema, read and compiled when the configuration is loaded.

jsonschema-rs is an extra, imported only by who uses it. Nothing is fetched: a schema stands in one file, and what it
refers to is in it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from sidecar.config.files import noted, readable
from sidecar.config.scalars import shown

MAX_BYTES: Final = 1024 * 1024
_BACKTRACKS: Final = 10_000
"""Steps back that a pattern may take in one text, half a millisecond's worth: a body must not hold up the loop."""
_LONGEST: Final = 160
"""Characters of a library's complaint."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A usable one. Equal when path and content are: a reload must see a change."""

    path: str
    content: bytes
    document: Any = field(compare=False, repr=False)
    validator: Any = field(compare=False, repr=False)


def _schema(value: Any, info: ValidationInfo) -> Schema:
    if isinstance(value, str):
        noted(value, info, MAX_BYTES + 1, None)
    path = readable(value, info)
    with Path(path).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    noted(value, info, MAX_BYTES + 1, content)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{shown(value)} is larger than {MAX_BYTES // 1024} KiB")
    try:
        document = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(value)} is not JSON: {_short(error)}") from None
    return Schema(path, content, document, _compiled(value, document))


def _compiled(value: Any, document: Any) -> Any:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra
    except ImportError:
        raise ValueError("needs an extra that is not installed: pip install 'resilience-sidecar[schema]'") from None
    patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS)
    try:
        return jsonschema_rs.validator_for(document, offline=True, pattern_options=patterns)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{part}" for part in error.instance_path)
        hint = "; nothing is fetched: put what is referred to into the same file" if _refers(error) else ""
        where = f" at {shown(place)}" if place else ""
        raise ValueError(f"{shown(value)} is no usable JSON Schema{where}: {_short(error)}{hint}") from None
    except ValueError as error:
        raise ValueError(f"{shown(value)} is no usable JSON Schema: {_short(error)}") from None


def _refers(error: Any) -> bool:
    return bool(error.kind.name == "$ref")


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:_LONGEST]


SchemaFile = Annotated[
    Schema,
    PlainValidator(_schema),
    PlainSerializer(lambda schema: schema.path, return_type=str),
    WithJsonSchema({"type": "string", "x-unit": "file"}),
]
"""A file with a JSON Schema; relative to the configuration's directory."""
