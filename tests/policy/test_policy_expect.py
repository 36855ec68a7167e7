"""Laws of what a usable answer looks like."""

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.expect import Expect, tokens
from sidecar.policy.schema import Schema

JSON = b"application/json"


def expect(**changed: Any) -> Expect:
    """Any 2xx up to 1000 bytes, unless told otherwise."""
    settings: dict[str, Any] = {
        "status": None,
        "content_type": None,
        "json_equals": {},
        "json_present": (),
        "max_body": 1000,
    }
    return Expect(**(settings | changed))


def usable(policy: Expect, body: bytes = b"", status: int = 200, content_type: bytes | None = JSON) -> bool:
    """Whether there is nothing wrong."""
    return not policy.check(status, content_type, body)


def test_any_2xx_is_usable_unless_statuses_are_listed() -> None:
    """And listed ones only, if they are."""
    assert {status for status in range(100, 600) if usable(expect(), status=status)} == set(range(200, 300))
    listed = expect(status=frozenset({200, 404}))
    assert {status for status in range(100, 600) if usable(listed, status=status)} == {200, 404}


@pytest.mark.parametrize(
    ("sent", "matches"),
    [
        (b"text/html", True),
        (b"Text/HTML; charset=utf-8", True),
        (b" text/html ;q=1", True),
        (b"text/htmlx", False),
        (b"application/json", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_media_type_is_compared_without_its_parameters(sent: bytes | None, matches: bool) -> None:  # noqa: FBT001
    """And without regard to case (RFC 9110 section 8.3.1)."""
    assert usable(expect(content_type="text/HTML; charset=latin-1"), content_type=sent) == matches


def test_a_body_may_be_so_long() -> None:
    """`max_body` itself is allowed."""
    assert usable(expect(), b"x" * 1000)
    assert expect().check(200, None, b"x" * 1001) == "body has more than 1000 bytes"
    assert expect().max_body == 1000


def test_nobody_looks_into_a_body_without_being_asked_to() -> None:
    """A route that expects a status alone takes any body."""
    assert usable(expect(), b"<html>")
    assert not expect().reads_json
    assert not expect(content_type="text/html").reads_json


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json", "text/json"])
def test_a_json_type_means_json(content_type: str) -> None:
    """A 200 with an error page in it is a failure: it is said to be JSON and is not."""
    policy = expect(content_type=content_type)
    assert policy.reads_json
    assert policy.check(200, content_type.encode(), b"") == "body is empty"
    assert policy.check(200, content_type.encode(), b"<html>") == "body is not JSON"
    assert not policy.check(200, content_type.encode(), b"{}")


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(document=documents, ascii_only=st.booleans(), cut=st.integers(1, 30))
def test_every_json_document_passes_and_no_half_of_one_does(
    document: Any, ascii_only: bool, cut: int  # noqa: FBT001 - drawn
) -> None:  # fmt: skip
    """In brackets, so that no half is a document too; in any script, with a byte order mark or not."""
    policy = expect(content_type="application/json", max_body=10**6)
    body = json.dumps([document], ensure_ascii=ascii_only).encode()
    assert usable(policy, body)
    assert usable(policy, b"\xef\xbb\xbf" + body)
    assert not usable(policy, body[:-cut])


@pytest.mark.parametrize(
    "body",
    [
        b"NaN", b"{'a': 1}", b"[1,]", b"{} x", b"tru", b'"\xff"', b'"\\ud800"', b"01",
        b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("present", [(), ("",)])
def test_what_is_no_json_is_said_to_be_none(body: bytes, present: tuple[str, ...]) -> None:
    """Also broken text and nesting beyond reason, and whether values are looked up or not."""
    policy = expect(content_type="application/json", json_present=present, max_body=10**6)
    assert policy.check(200, JSON, body) == "body is not JSON"


def test_a_value_at_a_pointer() -> None:
    """GOV.UK Notify's provider: a 200 whose code is not 0 is a failure."""
    policy = expect(json_equals={"/code": 0})
    assert usable(policy, b'{"code": 0, "reference": "x"}', content_type=None)
    for body in (b'{"code": 1}', b'{"code": "0"}', b'{"code": false}', b'{"code": null}', b"{}", b"[]", b"0"):
        assert policy.check(200, None, body) == "value at '/code' is not the expected one"


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        (0, "0", True), (0, "0.0", True), (0, "-0", True), (0, "false", False), (False, "0", False),
        (1, "true", False), (True, "true", True), (None, "null", True), (None, "0", False),
        ("a", '"a"', True), ("a", '"b"', False), ({}, "{}", True), ({}, "[]", False),
        ([1, True], "[1, true]", True), ([1, True], "[1, 1]", False), ([1], "[1, 2]", False),
        ({"a": [0]}, '{"a": [0]}', True), ({"a": [0]}, '{"a": [false]}', False),
        ({"a": 1}, '{"a": 1, "b": 2}', False), ({"a": None}, '{"b": null}', False),
        (12345678901234567890123, "12345678901234567890123", True),
    ],
)  # fmt: skip
def test_values_are_equal_as_json(expected: Any, found: str, same: bool) -> None:  # noqa: FBT001
    """Numbers by value; true is not 1, at any depth; objects and arrays as a whole."""
    policy = expect(json_equals={"/x": expected})
    assert usable(policy, b'{"x": ' + found.encode() + b"}") == same


RFC = b"""{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\\\j": 5, "k\\"l": 6,
" ": 7, "m~n": 8}"""


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", json.loads(RFC)), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1),
        ("/c%d", 2), ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_pointers_lead_where_rfc_6901_says(pointer: str, value: Any) -> None:
    """The examples of its section 5."""
    assert usable(expect(json_equals={pointer: value}, json_present=[pointer]), RFC)


@pytest.mark.parametrize(
    "pointer",
    [
        "/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/+0", "/foo/ 0", "/foo/1e0", "/foo/\u0661", "/foo/x",
        "/foo/", "/bar", "//", "/foo/0/0", "/foo/" + "9" * 10_000,
    ],
)  # fmt: skip
def test_pointers_to_nothing_find_nothing(pointer: str) -> None:
    """Array indices are written one way only (section 4), and "-" never exists."""
    assert expect(json_present=[pointer]).check(200, None, RFC) == f"nothing at {pointer!r}"


def test_null_is_present() -> None:
    """What is there is there."""
    assert usable(expect(json_present=["/a"]), b'{"a": null}')


@pytest.mark.parametrize("pointer", ["a", "a/b", "/a~", "/~2", "/a~b", "#/a"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """When it is built, not when an answer comes."""
    with pytest.raises(ValueError, match="JSON pointer"):
        expect(json_present=[pointer])
    with pytest.raises(ValueError, match="JSON pointer"):
        expect(json_equals={pointer: 1})


def test_tilde_one_is_undone_before_tilde_zero() -> None:
    """Or "~01" would become a slash (section 4)."""
    assert tokens("/~01/~10") == ("~1", "/0")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        (b"gzip", gzip.compress), (b"x-gzip", gzip.compress), (b"GZIP ", gzip.compress),
        (b"deflate", zlib.compress), (b"identity", bytes), (b"", bytes), (None, bytes),
    ],
)  # fmt: skip
def test_compression_is_looked_through(encoding: bytes | None, pack: Any) -> None:
    """Clients ask for gzip by themselves: its answers are no garbage."""
    policy = expect(json_equals={"/code": 0})
    assert not policy.check(200, JSON, pack(b'{"code": 0}'), encoding)
    assert policy.check(200, JSON, pack(b'{"code": 1}'), encoding)


def test_compression_that_is_none_is_a_failure() -> None:
    """Cut short, broken, unknown: the caller could not read it either, or we cannot know."""
    policy = expect(content_type="application/json")
    packed = gzip.compress(b'{"code": 0}')
    for length in range(len(packed)):
        assert policy.check(200, JSON, packed[:length], b"gzip")
    assert policy.check(200, JSON, b"{}", b"gzip") == "body is not what its content encoding says"
    assert policy.check(200, JSON, packed, b"br") == "body has a content encoding that cannot be looked into"


def test_a_small_body_does_not_blow_up() -> None:
    """Decompression stops at `max_body`: ten megabytes of nothing are ten kilobytes on the wire."""
    bomb = zlib.compress(b"[" + b" " * 10_000_000 + b"]")
    assert len(bomb) < 12_000
    policy = expect(content_type="application/json", max_body=12_000)
    tracemalloc.start()
    try:
        said = policy.check(200, JSON, bomb, b"deflate")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert said == "body has more than 12000 bytes when decompressed"
    assert peak < 1_000_000


@given(body=st.binary(max_size=60), encoding=st.sampled_from([None, b"gzip", b"deflate", b"zstd"]))
def test_it_never_raises_and_never_quotes(body: bytes, encoding: bytes | None) -> None:
    """Whatever comes; and what it says is for logs, where no body may be."""
    policy = expect(content_type="application/json", json_equals={"/a": 1}, json_present=["/b"])
    said = policy.check(200, JSON, b'{"secret-phone-number' + body, encoding)
    assert said
    assert "secret" not in said


def test_a_stream_is_judged_by_its_head() -> None:
    """Its body has no end to wait for, and is no JSON document."""
    stream = b"text/event-stream; charset=utf-8"
    assert not expect(content_type="text/event-stream").check_stream(200, stream)
    assert expect(content_type="text/event-stream").check_stream(500, stream)
    assert expect(content_type="text/event-stream").check_stream(200, b"text/html")
    assert expect(json_present=["/a"]).check_stream(200, stream) == "a stream is no JSON document"


def a_schema() -> Schema:
    """An object with a number at `/code`."""
    document = {"type": "object", "required": ["code"], "properties": {"code": {"type": "number"}}}
    return Schema(jsonschema_rs.validator_for(document, offline=True), document)


def test_a_schema_is_one_more_condition() -> None:
    """The body must be JSON and satisfy it; compressed or not, and whatever its media type says."""
    policy = expect(json_schema=a_schema())
    assert policy.reads_json
    assert usable(policy, b'{"code": 0}', content_type=b"text/plain")
    assert policy.check(200, JSON, gzip.compress(b'{"code": 0}'), b"gzip") == ""
    assert (
        policy.check(200, JSON, b'{"code": "secret"}') == "what stands at '/code' breaks 'type' of expect.json_schema"
    )
    assert policy.check(200, JSON, b"{code}") == "body is not JSON"
    assert policy.check(200, JSON, b"") == "body is empty"
    assert policy.check_stream(200, b"text/event-stream") == "a stream is no JSON document"


def test_a_schema_is_asked_last() -> None:
    """What is said of a body that breaks everything is the simplest of it."""
    policy = expect(json_schema=a_schema(), json_present=("/a",), json_equals={"/code": 0})
    assert "nothing at '/a'" in policy.check(200, JSON, b"{}")
    assert "value at '/code'" in policy.check(200, JSON, b'{"a": 1, "code": "x"}')
    assert usable(policy, b'{"a": 1, "code": 0}')


def test_a_body_of_any_depth_is_judged() -> None:
    """As deep as the parser goes; deeper, it is no JSON to us, and nothing overflows."""
    policy = expect(json_schema=a_schema(), max_body=1_000_000)
    for depth in (10, 500, 900, 100_000):
        assert policy.check(200, JSON, b"[" * depth + b"]" * depth)
