"""What all models are made with: the base class, keys, keys still to come, texts of a given form."""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from sidecar.config.scalars import shown

VARIABLE_PATTERN: Final = r"\$\{"
"""In the JSON Schema, a value that the environment fills in passes for any type."""


class Model(BaseModel):
    """Frozen, knows its keys and no others, and remembers which of them were written.

    Defaults are written as the YAML would have them and go through the same validation. `defer_build`
    spares every model but the outermost its own validator: a sixth of the CPU time of a start.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_default=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    short: ClassVar[str | None] = None
    """The key for which a plain text may stand instead of the mapping."""

    def written(self, attribute: str) -> bool:
        """Whether the file has the key, in the route itself or under `defaults`.

        `attribute`: its Python name.
        """
        return attribute in self.model_fields_set


def setting(default: Any, description: str, *, alias: str | None = None) -> Any:
    """One key of a model: its default as the YAML would have it, and what it means."""
    return Field(default, description=description, alias=alias)


def required(description: str) -> Any:
    """One key that has no default."""
    return Field(description=description)


class NotYet:
    """Marks a key of the contract whose behaviour is still to come: any value but `allowed` is refused.

    Refused, never ignored: a configuration must not promise what nobody keeps.
    """

    def __init__(self, what: str = "", *, allowed: tuple[Any, ...] = (None, ())) -> None:
        self.what = what
        self.allowed = allowed

    def _refused(self, value: Any) -> Any:
        if any(value == other for other in self.allowed):
            return value
        raise ValueError(f"{self.what or 'this key'} is not yet supported: leave it out")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The type's own schema, with the refusal after it: what is wrong inside is reported first."""
        return core_schema.no_info_after_validator_function(self._refused, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """For editors and the reference."""
        return {**handler(schema), "x-not-yet-supported": self.what or True}


NOT_YET: Final = NotYet()


class Matching:
    """A string that matches `pattern` whole.

    `wanted` completes the sentence "must be ...". `unit` is its word in the reference. `change` comes last.
    """

    def __init__(self, pattern: str, wanted: str, *, unit: str, change: Callable[[str], str] = str) -> None:
        self._unit = unit
        self._pattern = re.compile(pattern)
        self._wanted = wanted
        self._change = change

    def check(self, value: Any) -> str:
        """The text, changed.

        Raises:
            ValueError: not a text of that form.
        """
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return self._change(value)
        hint = "; write it in quotes" if isinstance(value, int | float) else ""
        raise ValueError(f"must be {self._wanted}, not {shown(value)}{hint}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A plain function: the error is ours."""
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """For editors and the reference."""
        pattern = f"^(?:{self._pattern.pattern})$|{VARIABLE_PATTERN}"
        return {"type": "string", "pattern": pattern, "x-unit": self._unit}
