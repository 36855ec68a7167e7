"""`sidecar schema`: the JSON Schema (2020-12) of the configuration for editors, or its reference for people.

Made from the models, so that neither can say anything else than what `load` accepts. What only a look at the
whole file can tell (a name that must exist elsewhere) is not in it: `sidecar check` knows.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from sidecar.config import Address, Config, Listen, Match, Route, Rung
from sidecar.config.base import VARIABLE_PATTERN, Model
from sidecar.config.upstream import Endpoint

_Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FIRST: Final = ("name", "match", "upstream")
_ONE_OF: Final = {
    Match.__name__: ("path", "prefix", "regex"),
    Rung.__name__: ("last_known_good", "upstream", "static"),
}
"""Models of which exactly one of these keys must be written."""
_FILLED_IN: Final = {"integer", "number", "boolean"}
"""Types whose values the environment may fill in: then they are text in the file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print the reference of all keys instead (docs/configuration.md)",
    )


def main(args: argparse.Namespace) -> int:
    """Prints one or the other."""
    if args.markdown:
        from sidecar.cli import reference  # noqa: PLC0415 - only this form of the command needs it

        print(reference.markdown(build()), end="")
    else:
        print(json.dumps(build(), indent=2))
    return 0


def build() -> _Schema:
    """The JSON Schema."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    for part in _all(schema):
        _tidy(part)
        _described(part, definitions)
    for name, kinds in _ONE_OF.items():
        definitions[name]["oneOf"] = [{"required": [kind]} for kind in kinds]
    for model in (Address, Listen, Endpoint):
        definitions[model.__name__] = _with_short(model, definitions[model.__name__])
    route = definitions[Route.__name__]
    route["required"].remove("upstream")  # it may stand under defaults
    keys = route["properties"]
    route["properties"] = {**{key: keys[key] for key in _FIRST}, **keys}
    listen = schema["properties"]["listen"]
    schema["properties"]["listen"] = {
        "anyOf": [listen.pop("items"), {"type": listen.pop("type"), "items": {"$ref": "#/$defs/Listen"}}],
        **listen,
    }
    head = {"$schema": DIALECT, "title": "Configuration of the sidecar"}
    return {**head, **schema}


def _all(schema: Any) -> Iterator[_Schema]:
    """Every schema inside a schema, the innermost first."""
    if isinstance(schema, list):
        for item in schema:
            yield from _all(item)
    if isinstance(schema, dict):
        for key, inner in schema.items():
            if key not in ("default", "enum", "required"):
                yield from _all(inner)
        yield schema


def _tidy(schema: _Schema) -> None:
    if isinstance(schema.get("title"), str):
        del schema["title"]  # made up from the key
    if schema.get("default", ...) is None:
        del schema["default"]
    for rule in (_named, _variable):
        rule(schema)


def _described(schema: _Schema, definitions: dict[str, _Schema]) -> None:
    """A key that means what its model does has lost its description on the way."""
    if "default" in schema and "$ref" in schema:
        schema.setdefault("description", definitions[schema["$ref"].rpartition("/")[2]]["description"])


def _named(schema: _Schema) -> None:
    """Names in a mapping must fit; no variable stands for them."""
    if isinstance(patterns := schema.get("patternProperties"), dict):
        schema["patternProperties"] = {
            pattern.removesuffix(f"|{VARIABLE_PATTERN}"): inner for pattern, inner in patterns.items()
        }
        schema["additionalProperties"] = False


def _variable(schema: _Schema) -> None:
    """A number or a choice may be a variable in the file."""
    if isinstance(kind := schema.get("type"), str) and kind in _FILLED_IN:
        schema["type"] = [kind, "string"]
        schema["pattern"] = VARIABLE_PATTERN
    elif isinstance(choices := schema.get("enum"), list):
        schema.pop("type", None)
        del schema["enum"]
        schema["anyOf"] = [{"enum": choices}, {"type": "string", "pattern": VARIABLE_PATTERN}]


def _with_short(model: type[Model], schema: _Schema) -> _Schema:
    """A plain text may stand for the mapping."""
    assert model.short is not None
    text = {**schema["properties"][model.short]}
    del text["description"]
    return {"description": schema.pop("description"), "anyOf": [text, schema]}
