"""docs/configuration.md, made from the JSON Schema and the lint's codes."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from sidecar.config.base import VARIABLE_PATTERN
from sidecar.config.lint import CODES

_Schema = dict[str, Any]

_HEAD: Final = """\
# Configuration

Made by `sidecar schema --markdown` from the models that load the file; do not edit. For completion and checks
in your editor, save `sidecar schema` as `sidecar.schema.json` and begin the YAML with
`# yaml-language-server: $schema=sidecar.schema.json`. Before a deployment: `sidecar check --strict FILE`.

## How to write values

- **Durations** `250ms` `1.5s` `30s` `5m` `1h` `1d`, also `1m30s`. A number without a unit is an error, except
  `0`.
- **Sizes** `512B` `64KiB` `1MiB` `1GiB` (powers of 1024), `10KB` `10MB` `10GB` (powers of 1000). Again only
  `0` may stand without a unit.
- **Ratios** `0.2` or `20%`, from 0 to 1.
- **Variables** `${VAR}`, or `${VAR:-default}` for when it is unset or empty; `$$` is a dollar sign. They are
  filled in inside values, never in keys, after the YAML is read: a variable cannot add structure.
- **Secrets** `{file: path}`: the content of the file, without one final line break. No log, dump or message
  shows it. Relative paths count from the directory of the configuration.
- **YAML 1.2**: `on`, `yes` and `010` are what they look like. Duplicate keys, tags (`!x`), merge keys (`<<`)
  and a second document are errors. Anchors and aliases may repeat whole values.
- **Null** (`~`, or nothing after the colon) means absent where absent is the default, and is an error
  elsewhere.
- Every error names file, line, column and path, all of them at once; an unknown key names the one you
  probably meant.
- A key marked *not yet supported* is known and refused: it is never ignored.

`defaults` holds any key of a route but `name` and `match`. It is merged key by key under each route, and the
route wins. Lists are replaced, not joined, and so are free documents: `json`, `json_equals`, and an answer's
`headers`.
"""

_LINT: Final = """
## Lint

`sidecar check` and `sidecar run` print these. Errors stop `run`; warnings do not.

| code | what it means |
|---|---|
"""


def markdown(schema: _Schema) -> str:
    """The whole page. `schema`: of `sidecar.cli.schema.build`."""
    sections = "\n".join(_Reference(schema).lines())
    codes = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in CODES.items())
    return f"{_HEAD}\n{sections}\n{_LINT}{codes}"


class _Reference:
    """Walks from the top to every model once, in the order of the file."""

    def __init__(self, schema: _Schema) -> None:
        self._schema = schema
        self._definitions: dict[str, _Schema] = schema["$defs"]
        self._rules: dict[str, Callable[[Any], str]] = {
            "$ref": self._referred,
            "anyOf": self._choice,
            "patternProperties": self._mapping,
            "items": lambda items: f"list of {self._type(items)}",
            "enum": lambda choices: ", ".join(f"`{choice}`" for choice in choices),
        }
        """How a keyword of the schema reads, the most telling first."""

    def lines(self) -> Iterator[str]:
        yield "## Top level"
        yield from self._table(self._schema)
        seen = {"Defaults"}  # its keys are the routes'
        yield from self._below("", self._schema, seen)

    def _below(self, path: str, schema: _Schema, seen: set[str]) -> Iterator[str]:
        for key, value in schema["properties"].items():
            name = _reference_in(value)
            if name is None or name in seen:
                continue
            seen.add(name)
            inner = self._object(name)
            title = f"{path}{key}{_brackets(value)}"
            yield ""
            yield f"## `{title}`"
            yield ""
            yield str(self._definitions[name]["description"])
            yield from self._table(inner)
            yield from self._below(f"{title}.", inner, seen)

    def _object(self, name: str) -> _Schema:
        """The mapping among the forms that a model may take."""
        definition = self._definitions[name]
        forms = definition.get("anyOf", [definition])
        return next(form for form in forms if "properties" in form)

    def _table(self, schema: _Schema) -> Iterator[str]:
        yield ""
        yield "| key | type | default | meaning |"
        yield "|---|---|---|---|"
        for key, value in schema["properties"].items():
            default = "required" if key in schema.get("required", ()) else _default(value)
            note = _not_yet(value)
            yield f"| `{key}` | {self._type(value)} | {default} | {_cell(value['description'])}{note} |"

    def _type(self, schema: _Schema) -> str:
        if "x-unit" in schema:
            return str(schema["x-unit"])
        for rule, describe in self._rules.items():
            if rule in schema:
                return describe(schema[rule])
        kind = schema.get("type", "any")
        return _WORDS[kind if isinstance(kind, str) else kind[0]]

    def _mapping(self, patterns: _Schema) -> str:
        return f"mapping of names to {self._type(next(iter(patterns.values())))}"

    def _referred(self, reference: str) -> str:
        forms = self._definitions[reference.rpartition("/")[2]].get("anyOf", [])
        texts = [self._type(form) for form in forms if "properties" not in form]
        return " or ".join([*texts, "mapping"])

    def _choice(self, forms: list[_Schema]) -> str:
        variable = {"type": "string", "pattern": VARIABLE_PATTERN}
        return " or ".join(self._type(form) for form in forms if form not in (variable, {"type": "null"}))


_WORDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "any": "any",
}


def _reference_in(schema: Any) -> str | None:
    """The name of the model somewhere inside a schema."""
    if isinstance(schema, list):
        return next((name for item in schema if (name := _reference_in(item)) is not None), None)
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    return next((name for item in schema.values() if (name := _reference_in(item)) is not None), None)


def _brackets(schema: _Schema) -> str:
    if "patternProperties" in schema:
        return ".<name>"
    return "[]" if schema.get("type") == "array" else ""


def _not_yet(schema: _Schema) -> str:
    what = schema.get("x-not-yet-supported")
    if what is None:
        return ""
    return " *Not yet supported.*" if what is True else f" *Not yet supported: {what}.*"


def _default(schema: _Schema) -> str:
    if "default" not in schema:
        return "absent"
    value = schema["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return "its keys' defaults" if value == {} and "$ref" in str(schema) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
