"""`sidecar schema`: says what `load` accepts, and describes every key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from sidecar.cli import main, reference, schema
from sidecar.config import ConfigError, parse
from sidecar.config.reader import read
from sidecar.config.scalars import parse_duration, parse_ratio, parse_size

Output = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config").rglob("*.yaml"))


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """The schema."""
    return schema.build()


@pytest.fixture(scope="module")
def accepts(built: dict[str, Any]) -> Callable[[str], bool]:
    """Whether the schema accepts a YAML text."""
    validator = jsonschema_rs.validator_for(built)

    def check(text: str) -> bool:
        document = read(text.encode(), file="c.yaml", env={"X": "${X}"})
        return validator.is_valid(json.loads(json.dumps(document.data)))

    return check


def _properties(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, list):
        for item in part:
            yield from _properties(item)
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for item in part.values():
            yield from _properties(item)


def test_it_is_a_schema_of_its_dialect(capsys: Output) -> None:
    """`sidecar schema` prints a valid JSON Schema 2020-12."""
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(printed)


def test_every_key_is_described(built: dict[str, Any]) -> None:
    """Each key has a sentence; durations, sizes and ratios say that they are, and have a default that parses."""
    parsers: dict[str, Callable[[Any], float]] = {"duration": parse_duration, "size": parse_size, "ratio": parse_ratio}
    units = set()
    for key, value in _properties(built):
        assert value["description"].endswith(".") or value["description"].endswith("quotes."), key
        units.add(value.get("x-unit"))
        if value.get("x-unit") in parsers and "default" in value:
            assert parsers[value["x-unit"]](value["default"]) >= 0, key
    assert units >= parsers.keys()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_valid(file: Path, accepts: Callable[[str], bool]) -> None:
    """Editors show no errors in what is shipped."""
    assert accepts(file.read_text())


BASE = 'upstreams: {u: {endpoints: ["http://h:1"]}}\nroutes: [{name: r, match: {path: /r}, upstream: u%s}]\n%s'
BOTH = [
    ("", "", True),
    (", timeout: {total: 1m30s}", "", True),
    (", timeout: {total: 0}", "", True),
    (", timeout: {total: 5}", "", False),
    (", timeout: {total: 5x}", "", False),
    (", timeout: {totl: 5s}", "", False),
    (", retry: {attempts: 2, on: [503, reset]}", "", True),
    (", retry: {attempts: two}", "", False),
    (", retry: {on: [200]}", "", False),
    (", retry: {on: [whatever]}", "", False),
    (", critical: 'yes'", "", False),
    (", breaker: {failure_ratio: 20%}", "", True),
    (", breaker: {failure_ratio: 2}", "", False),
    (", breaker: {failure_ratio: 0}", "", False),
    (", breaker: {share: nobody}", "", False),
    (", bulkhead: ~", "", True),
    (", bulkhead: {in_flight: 0}", "", False),
    (", fallback: [{last_known_good: {}}, {static: {json: [1]}}]", "", True),
    (", fallback: [{}]", "", False),
    (", fallback: [{last_known_good: {}, static: {json: 1}}]", "", False),
    (", expect: {json_equals: {/a: {b: [~]}}, max_body: 1KiB}", "", True),
    (", expect: {json_equals: {a: 1}}", "", False),
    (", unavailable: {json: {a: ~}}", "", True),
    ("", "listen: [127.0.0.1:80, {address: '[::1]:80'}]\n", True),
    ("", "listen: {address: 'h:1'}\n", True),
    ("", "listen: 80\n", False),
    ("", "limits: {body: 10MB, headers: 5}\n", True),
    ("", "limits: {body: 10}\n", False),
    ("", "access_log: {sample: 0.5}\n", True),
    ("", "access_log: {sample: 5}\n", False),
    ("", "defaults: {timeout: {total: 5s}}\n", True),
    ("", "defaults: {name: x}\n", False),
    ("", "caller: {in_sequence: [[r]]}\n", True),
    ("", "caller: {in_sequence: [r]}\n", False),
    ("", "limits: {headers: '${X}'}\n", True),
    ("", "nonsense: 1\n", False),
]


@pytest.mark.parametrize(("route", "top", "good"), BOTH)
def test_schema_and_loader_agree(route: str, top: str, *, good: bool, accepts: Callable[[str], bool]) -> None:
    """What one takes the other takes, what one refuses the other refuses."""
    text = BASE % (route, top)
    assert accepts(text) == good
    try:
        parse(text.encode(), env={"X": "5"})
    except ConfigError:
        assert not good
    else:
        assert good


def test_what_is_not_yet_supported_is_marked(built: dict[str, Any]) -> None:
    """Keys that are refused say so in the schema."""
    marked = {key for key, value in _properties(built) if "x-not-yet-supported" in value}
    assert marked == {
        *("store", "shared"),
    }


def test_the_reference_is_current(capsys: Output) -> None:
    """docs/configuration.md is what `sidecar schema --markdown` prints: run that again after changing a model."""
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "configuration.md").read_text()


def test_the_reference_has_every_key(built: dict[str, Any]) -> None:
    """Each key of each model has a row with its type, default and meaning."""
    text = reference.markdown(built)
    rows = set(re.findall(r"^\| `([a-z_]+)` \| [^|]+ \| [^|]+ \| [^|]{5,} \|$", text, re.MULTILINE))
    assert rows >= {key for key, _ in _properties(built) if key != "file"}
