"""Laws of how an access-log line is spelt: whatever a caller sends, one line comes out that can be read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.line import FORMATS, Format, escape_json, escape_text

anything = st.binary(max_size=50)
formats = st.sampled_from(sorted(FORMATS))


@given(anything)
def test_json_is_valid_whatever_the_bytes(text: bytes) -> None:
    """Quotes, controls, obs-text, broken UTF-8: the result is the inside of one ASCII string on one line."""
    escaped = escape_json(text)
    assert all(0x20 <= byte < 0x7F for byte in escaped)
    assert json.loads(b'"' + escaped + b'"') == text.decode("utf-8", "backslashreplace")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_utf_8_reads_as_it_was_written(text: str) -> None:
    """A path in any script comes back from a JSON parser unchanged."""
    assert json.loads(b'"' + escape_json(text.encode()) + b'"') == text


@given(anything)
def test_text_keeps_its_columns(text: bytes) -> None:
    """No byte from outside can make a space, a new line or a colour on somebody's terminal."""
    assert all(0x20 < byte < 0x7F for byte in escape_text(text))


@given(formats, st.booleans(), anything)
def test_what_the_table_leaves_alone_needs_no_escape(format: Format, no_query: bool, text: bytes) -> None:  # noqa: A002, FBT001 - as in the code
    """The fast path is taken only for text that the slow one would not change."""
    spelling = FORMATS[format]
    if text.translate(spelling.same(no_query)) == text:
        assert spelling.escape(text) == text
        assert not (no_query and b"?" in text)


@given(formats)
def test_plain_text_takes_the_fast_path(format: Format) -> None:  # noqa: A002 - as in the code
    """Ordinary paths and identifiers are left alone by the table: otherwise every line would be slow."""
    text = b"/api/v1/toggles/~user_name/%20;a=b,c:d@e!$&'()*+-.[]{}|^`<>#5f0c2a0e-9d1c"
    assert text.translate(FORMATS[format].same(True)) == text  # noqa: FBT003 - the only parameter
