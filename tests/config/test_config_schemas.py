"""Laws of a JSON Schema's file: usable when it is loaded, or a problem with its place."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import ConfigError, load
from sidecar.config.schemas import MAX_BYTES

ROUTE = """
upstreams: {a: {endpoints: ["http://127.0.0.1:9"]}}
routes:
  - name: r
    match: {prefix: /}
    upstream: a
    expect: {json_schema: toggles.json}
"""


def loaded(directory: Path, schema: Any) -> Any:
    """The configuration beside a schema: a document, or the file's very bytes."""
    content = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    (directory / "toggles.json").write_bytes(content)
    (directory / "sidecar.yaml").write_text(ROUTE)
    return load(directory / "sidecar.yaml")


def problem(directory: Path, schema: Any) -> str:
    """The one thing that is wrong."""
    with pytest.raises(ConfigError) as raised:
        loaded(directory, schema)
    (only,) = raised.value.problems
    assert (only.line, only.column, only.path) == (7, 27, "routes[0].expect.json_schema")
    return only.message


def test_it_is_found_beside_the_configuration_and_shown_by_its_path(tmp_path: Path) -> None:
    """And compiled: what is loaded can be asked at once."""
    config = loaded(tmp_path, {"type": "object"})
    schema = config.routes[0].expect.json_schema
    assert schema.validator.is_valid({})
    assert not schema.validator.is_valid([])
    shown = config.model_dump(mode="json", by_alias=True)
    assert shown["routes"][0]["expect"]["json_schema"] == str(tmp_path / "toggles.json")


def test_a_reload_sees_that_it_changed(tmp_path: Path) -> None:
    """Equal by what it says, not by when it was read."""
    first = loaded(tmp_path, {"type": "object"}).routes[0].expect
    assert loaded(tmp_path, {"type": "object"}).routes[0].expect == first
    assert loaded(tmp_path, {"type": "array"}).routes[0].expect != first


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        ({"type": "nonsense"}, "no usable JSON Schema at '/type': "),
        ({"properties": {"a": {"minimum": "1"}}}, "no usable JSON Schema at '/properties/a/minimum': "),
        ({"pattern": "("}, "no usable JSON Schema at '/pattern': "),
        (5, "no usable JSON Schema: "),
        ({"$ref": "#/nowhere"}, "Pointer '/nowhere' does not exist"),
        ({"$schema": "http://127.0.0.1:1/meta"}, "Unknown meta-schema"),
        (b" " * (MAX_BYTES + 1), "is larger than 1024 KiB"),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(tmp_path: Path, schema: Any, said: str) -> None:
    """In the configuration, and in the schema itself."""
    assert said in problem(tmp_path, schema)


@pytest.mark.parametrize(
    "other", ["http://127.0.0.1:1/x.json", "https://example.com/x.json", "file:///etc/hosts", "x.json"]
)
def test_nothing_is_fetched(tmp_path: Path, other: str) -> None:
    """A start must not depend on somebody else's server, nor read files that nobody named."""
    (tmp_path / "x.json").write_text("{}")
    assert "nothing is fetched: put what is referred to into the same file" in problem(tmp_path, {"$ref": other})


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the package, ready to be pasted; who uses no schema needs none."""
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    assert "pip install 'resilience-sidecar[schema]'" in problem(tmp_path, {})
    (tmp_path / "sidecar.yaml").write_text(ROUTE.replace("json_schema: toggles.json", "status: [200]"))
    assert load(tmp_path / "sidecar.yaml").routes[0].expect is not None
