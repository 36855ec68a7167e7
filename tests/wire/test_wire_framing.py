"""Laws of framing and hop-by-hop, over field values; over whole heads they are in test_wire_parse.py."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.errors import BadRequest, MalformedResponse
from sidecar.wire.framing import (
    FORBIDDEN_TRAILERS,
    HOP_BY_HOP,
    METHODS,
    NO_OPTIONS,
    absolute_form,
    check_host,
    connection_options,
    expects_continue,
    is_token,
    request_length,
    response_length,
    upgrade,
)
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE

T = TypeVar("T")

anything = st.binary(max_size=30) | st.sampled_from([b"chunked", b"Chunked", b"gzip", b"3", b"03", b"3, 3", b""])


def attempt(function: Callable[..., T], *args: object, **kwargs: object) -> T | BadRequest:
    """What it returns, or its refusal."""
    try:
        return function(*args, **kwargs)
    except BadRequest as error:
        return error


def test_what_ends_at_this_hop() -> None:
    """The names of RFC 9110 section 7.6.1 are all there, lower-case; nothing that is end to end is."""
    named = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
    assert named <= HOP_BY_HOP
    assert all(name == name.lower() for name in HOP_BY_HOP)
    assert not HOP_BY_HOP & {
        b"trailer",
        b"content-length",
        b"date",
        b"via",
        b"authorization",
        b"www-authenticate",
    }


def test_what_never_comes_after_a_body() -> None:
    """Framing, routing and authentication (RFC 9110 section 6.5.1); what trailers are for may come."""
    assert HOP_BY_HOP | {b"host", b"content-length", b"authorization", b"set-cookie"} <= FORBIDDEN_TRAILERS
    assert not FORBIDDEN_TRAILERS & {b"grpc-status", b"grpc-message", b"digest", b"etag", b"server-timing"}


def test_methods_are_tokens_and_no_tunnel() -> None:
    """CONNECT is not among them."""
    assert all(map(is_token, METHODS))
    assert b"CONNECT" not in METHODS


@pytest.mark.parametrize("value", [b"", b"a b", b"a:", b"\x00", b"a,b", b"\x80", b'"a"'])
def test_what_is_no_token(value: bytes) -> None:
    """RFC 9110 section 5.6.2: not empty, no delimiters, no white space."""
    assert not is_token(value)


def test_no_connection_field_asks_for_nothing() -> None:
    """The default of a message without one is that of an empty one."""
    assert connection_options(b"") == NO_OPTIONS


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive", b"Keep-Alive", b"upgrade", b"Upgrade"])
def test_usual_values_are_read_like_any_other(value: bytes) -> None:
    """The table of usual values changes nothing but the time."""
    assert connection_options(value) == connection_options(value + b" ")


@given(st.lists(st.sampled_from([b"close", b"Keep-Alive", b"x-a", b"X-B", b"UPGRADE", b""]), max_size=6))
def test_connection_is_a_list_without_order(options: list[bytes]) -> None:
    """Each option counts wherever it stands, in any case, with any white space around."""
    low = {option.lower() for option in options}
    told = connection_options(b" ,\t".join(options))
    assert told.close is (b"close" in low)
    assert told.keep_alive is (b"keep-alive" in low and b"close" not in low)
    assert told.upgrade is (b"upgrade" in low)
    assert told.tokens == low - {b"close", b"keep-alive", b""}


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"gzip", 501),
        (b"gzip, chunked", 501),
        (b"identity", 501),
        (b"chunked, gzip", 400),
        (b"chunked, chunked", 400),
        (b"chunked;q=1", 400),
        (b"", 400),
    ],
)
def test_codings_that_are_unknown_and_codings_that_are_wrong(coding: bytes, status: int) -> None:
    """Unknown ones are 501; where the end cannot be told, or nothing is named, 400 (RFC 9112 sections 6.1, 6.3)."""
    refusal = attempt(request_length, coding, None, http10=False)
    assert isinstance(refusal, BadRequest)
    assert refusal.status == status


@given(st.none() | anything, st.none() | anything, st.booleans())
def test_a_request_has_one_length_or_is_refused(
    coding: bytes | None,
    length: bytes | None,
    http10: bool,  # noqa: FBT001 - drawn
) -> None:
    """A length only where one field says it in one way; chunked only where nothing else is said."""
    told = attempt(request_length, coding, length, http10=http10)
    if isinstance(told, BadRequest):
        assert told.status in (400, 501)
        assert coding is not None or length is not None
    elif told == CHUNKED:
        assert coding is not None
        assert (coding.lower(), length, http10) == (b"chunked", None, False)
    else:
        assert coding is None
        assert told == int(length or b"0")


@given(
    st.integers(100, 599),
    st.sampled_from([b"GET", b"HEAD", b"POST"]),
    st.none() | anything,
    st.none() | anything,
)
def test_a_response_has_one_length_or_is_refused(
    status: int, method: bytes, coding: bytes | None, length: bytes | None
) -> None:
    """RFC 9112 section 6.3, whatever the fields hold."""
    try:
        told = response_length(status, method, coding, length)
    except MalformedResponse:
        assert coding is not None or length is not None
        return
    assert coding is None or length is None
    if method == b"HEAD" or status < 200 or status in (204, 304):
        assert told == 0
    elif coding is not None:
        assert told == CHUNKED
        assert coding.lower() == b"chunked"
    else:
        assert told == (UNTIL_CLOSE if length is None else int(length))


@pytest.mark.parametrize("digits", [20, 5000])
def test_lengths_that_no_machine_counts(digits: int) -> None:
    """Refused before a number is made of it: that takes quadratic time, or raises."""
    with pytest.raises(BadRequest):
        request_length(None, b"9" * digits, http10=False)
    with pytest.raises(MalformedResponse):
        response_length(200, b"GET", None, b"9" * digits)


@given(st.binary(max_size=20))
def test_a_host_is_clean_or_refused(host: bytes) -> None:
    """What passes holds no byte that would end it anywhere: in a field, a URI, a log line."""
    refusal = attempt(check_host, host)
    if isinstance(refusal, BadRequest):
        assert refusal.status == 400
        return
    assert host
    assert not set(host) & set(b' \t\r\n\x00/\\?#@"<>{}|^`')
    assert all(0x21 <= byte <= 0x7E for byte in host)


def test_a_refused_host_is_refused_again() -> None:
    """Only what passed is remembered."""
    for _ in range(2):
        with pytest.raises(BadRequest):
            check_host(b"a b")


@given(st.binary(max_size=20), st.sampled_from([b"GET", b"OPTIONS"]))
def test_absolute_form_yields_a_host_and_a_path(rest: bytes, method: bytes) -> None:
    """Nothing is lost or made up between the two parts."""
    try:
        host, target = absolute_form(b"http://" + rest, method)
    except BadRequest:
        return
    check_host(host)
    assert target[:1] == b"/" or (target == b"*" and method == b"OPTIONS")
    assert rest in (host + target, host + target[1:])


def test_expectations_need_somebody_who_waits() -> None:
    """With a body, in HTTP/1.1, in any case and place of the list (RFC 9110 section 10.1.1)."""
    assert expects_continue(b"x, 100-CONTINUE", http10=False, length=CHUNKED)
    assert not expects_continue(b"100-continue", http10=True, length=1)
    assert not expects_continue(b"100-continue", http10=False, length=0)
    assert not expects_continue(b"100-continued", http10=False, length=1)


def test_upgrades_leave_out_h2c() -> None:
    """RFC 9113 section 3.1; a body under what is left is refused."""
    assert upgrade(b"h2c,, H2C ,websocket", length=0) == b"websocket"
    assert upgrade(b"h2c", length=5) == b""
    with pytest.raises(BadRequest):
        upgrade(b"h2c, websocket", length=CHUNKED)
