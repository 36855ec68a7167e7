"""Laws of a body held against a JSON Schema."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.schema import Schema

TOGGLES: dict[str, Any] = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {
            "type": "array",
            "items": {"type": "object", "required": ["a/b~c"], "properties": {"a/b~c": {"type": "integer"}}},
        },
        "extra": {"additionalProperties": {"type": "integer"}},
    },
}


def schema(document: Any = None) -> Schema:
    """As the configuration makes it."""
    document = TOGGLES if document is None else document
    return Schema(jsonschema_rs.validator_for(document, offline=True), document)


def test_what_is_as_the_schema_says_is_not_wrong() -> None:
    """The empty sentence."""
    assert schema().wrong({"items": [{"a/b~c": 1}], "more": True}) == ""


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "the document as a whole breaks 'required' of expect.json_schema"),
        ([], "the document as a whole breaks 'type' of expect.json_schema"),
        ({"items": 5}, "what stands at '/items' breaks 'type' of expect.json_schema"),
        ({"items": [{"a/b~c": 1}, {}]}, "what stands at '/items/1' breaks 'required' of expect.json_schema"),
        ({"items": [{"a/b~c": "x"}]}, "what stands at '/items/0/a~1b~0c' breaks 'type' of expect.json_schema"),
    ],
)
def test_the_sentence_names_place_and_keyword(document: Any, said: str) -> None:
    """A JSON pointer (RFC 6901) and the schema's own word."""
    assert schema().wrong(document) == said


def test_names_that_only_the_body_has_are_not_told() -> None:
    """A telephone number may be a key: it is hidden, also where it looks like an index."""
    said = schema().wrong({"items": [], "extra": {"+491705550100": "x"}})
    assert said == "what stands at '/extra/*' breaks 'type' of expect.json_schema"
    said = schema().wrong({"items": [], "extra": {"491705550100": "x"}})
    assert said == "what stands at '/extra/*' breaks 'type' of expect.json_schema"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(document=JSON)
def test_it_never_fails_and_never_quotes(document: Any) -> None:
    """Whatever the body is: agreement with the validator, and nothing of its text in the sentence."""
    nested = {"items": [], "extra": {"secret-in-a-name": document, "other": "secret-in-a-value"}}
    said = schema().wrong(nested)
    assert said
    assert "secret" not in said


def test_a_pattern_that_never_ends_is_given_up() -> None:
    """The body counts as unusable; the loop is not held up by it."""
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)
    slow = {"pattern": "^(a|aa)+(?=x)$"}
    held = Schema(jsonschema_rs.validator_for(slow, offline=True, pattern_options=options), slow)
    assert held.wrong("a" * 5000 + "!")
