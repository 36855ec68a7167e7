"""Heads on their way through, byte for byte."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from proxy_fakes import a_target, parsed, request_head

from sidecar.proxy.heads import ids_of, request_bytes, response_lines, sorted_request
from sidecar.proxy.target import Rewrite
from sidecar.wire.errors import MalformedResponse
from sidecar.wire.framing import HOP_BY_HOP
from sidecar.wire.known import KnownRequests, KnownResponses
from sidecar.wire.message import RequestHead
from sidecar.wire.parse import RequestParser, ResponseParser

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def sent(
    *lines: bytes, target: dict[str, Any] | None = None, rewrite: Rewrite | None = None, start: bytes = b""
) -> bytes:
    """What an endpoint gets for a request with these header lines."""
    head = request_head(
        b"\r\n".join([start or b"GET /a/b?c=%20d HTTP/1.1", b"Host: caller.example:8080", *lines]) + b"\r\n\r\n"
    )
    endpoint, _ = a_target(**(target or {}))
    return request_bytes(head, sorted_request(head, b"sidecar-0"), endpoint, rewrite, b"id-1", TRACE, 2, 1.2345)


def fields(data: bytes) -> list[bytes]:
    """Header lines of a request, without ours at the end and `Host`."""
    return data.partition(b"\r\n\r\n")[0].split(b"\r\n")[2:-5]


def test_the_whole_of_a_plain_request() -> None:
    """Order, case and duplicates are kept; ours come last; the target travels byte for byte."""
    assert sent(b"User-Agent: x", b"accept:  */* ", b"X-Two: 1", b"x-two: 2") == (
        b"GET /a/b?c=%20d HTTP/1.1\r\n"
        b"Host: one.example\r\n"
        b"User-Agent: x\r\n"
        b"accept: */*\r\n"
        b"X-Two: 1\r\n"
        b"x-two: 2\r\n"
        b"Via: 1.1 sidecar-0\r\n"
        b"X-Request-Id: id-1\r\n"
        b"traceparent: " + TRACE + b"\r\n"
        b"X-Sidecar-Attempt: 2\r\n"
        b"X-Envoy-Expected-Rq-Timeout-Ms: 1234\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"TE: gzip",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
        b"Expect: 100-continue",
        b"X-Sidecar-Timeout: 1s",
        b"X-Envoy-Upstream-Rq-Timeout-Ms: 5",
        b"X-Envoy-Expected-Rq-Timeout-Ms: 5",
        b"X-Sidecar-Attempt: 1",
        b"X-Request-Id: theirs",
        b"traceparent: theirs",
    ],
)
def test_what_is_for_us_alone_does_not_go_on(line: bytes) -> None:
    """Hop-by-hop fields (RFC 9110 section 7.6.1), what we answer, what we say anew."""
    assert fields(sent(line)) == []


def test_what_connection_lists_does_not_go_on() -> None:
    """But framing and `Host` can't be taken away so."""
    got = sent(
        b"Connection: close, X-Hop, content-length, host",
        b"X-Hop: 1",
        b"x-hop: 2",
        b"X-End: 3",
        b"Content-Length: 0",
    )
    assert fields(got) == [b"X-End: 3", b"Content-Length: 0"]
    assert b"\r\nHost: one.example\r\n" in got


@pytest.mark.parametrize("line", [b"grpc-timeout: 1S", b"Idempotency-Key: k", b"x-envoy-attempt-count: 1"])
def test_what_is_for_us_and_the_upstream_goes_on(line: bytes) -> None:
    """Read, not taken."""
    assert fields(sent(line)) == [line]


def test_lengths_travel_in_our_own_spelling() -> None:
    """`003` is read as 3 by some and as octal by others."""
    post = b"POST / HTTP/1.1"
    assert fields(sent(b"content-length: 003", start=post)) == [b"content-length: 3"]
    assert fields(sent(b"Transfer-Encoding: Chunked", start=post)) == [b"Transfer-Encoding: chunked"]


def test_via_continues_the_caller_s() -> None:
    """In one line, ours last (RFC 9110 section 7.6.3)."""
    got = sent(b"Via: 1.0 a", b"X: 1", b"via: 1.1 b")
    assert fields(got) == [b"X: 1"]
    assert b"\r\nVia: 1.0 a, 1.1 b, 1.1 sidecar-0\r\n" in got


def test_a_trace_s_state_goes_only_with_a_trace_that_was_understood() -> None:
    """W3C Trace Context section 3.3: with another parent it must be discarded."""
    state = b"tracestate: vendor=1"
    assert fields(sent(b"traceparent: " + TRACE, state)) == [state]
    assert fields(sent(b"traceparent: nonsense", state)) == []
    assert fields(sent(state)) == []


def test_an_upstream_s_own_headers_replace_the_caller_s() -> None:
    """`headers.set` and `headers.remove`; what depends on the endpoint is not shared with another one."""
    head = request_head(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: theirs\r\nCookie: c\r\nX: 1\r\n\r\n")
    with_token, _ = a_target(added=b"Authorization: Bearer ours\r\n", removed=frozenset({b"authorization", b"cookie"}))
    plain, _ = a_target("http://two")
    lines = sorted_request(head, b"sidecar-0")
    for _ in range(2):
        ours = request_bytes(head, lines, with_token, None, b"i", TRACE, 1, 1.0)
        assert fields(ours) == [b"X: 1", b"Authorization: Bearer ours"]
        theirs = request_bytes(head, lines, plain, None, b"i", TRACE, 1, 1.0)
        assert fields(theirs) == [b"Authorization: theirs", b"Cookie: c", b"X: 1"]


@pytest.mark.parametrize(
    ("rewrite", "target", "line", "host"),
    [
        (None, {}, b"GET /a/b?c=%20d HTTP/1.1", b"one.example"),
        (Rewrite(matched=3, replacement=b"/v1/"), {}, b"GET /v1/b?c=%20d HTTP/1.1", b"one.example"),
        (Rewrite(matched=4, replacement=b"/x"), {}, b"GET /x?c=%20d HTTP/1.1", b"one.example"),
        (Rewrite(keep_host=True), {}, b"GET /a/b?c=%20d HTTP/1.1", b"caller.example:8080"),
        (None, {"base_path": b"/base"}, b"GET /base/a/b?c=%20d HTTP/1.1", b"one.example"),
        (
            Rewrite(matched=3, replacement=b"/v1/"),
            {"base_path": b"/base"},
            b"GET /base/v1/b?c=%20d HTTP/1.1",
            b"one.example",
        ),
    ],
)
def test_target_and_host_as_the_route_says(
    rewrite: Rewrite | None, target: dict[str, Any], line: bytes, host: bytes
) -> None:
    """The matched prefix is replaced, the endpoint's own path comes first, the query stays."""
    first, second = sent(target=target, rewrite=rewrite).split(b"\r\n")[:2]
    assert (first, second) == (line, b"Host: " + host)


@pytest.mark.parametrize(
    ("asked", "understood"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"br;q=1.0, gzip;q=0.8, *;q=0.1", b"gzip;q=0.8"),
        (b"br", b"identity"),
        (b"*", b"identity"),
        (b"", b"identity"),
        (b"GZIP", b"GZIP"),
    ],
)
def test_answers_that_must_be_looked_into_are_asked_for_readable(asked: bytes, understood: bytes) -> None:
    """Else an encoding that the caller knows and we don't would turn every good answer into a failure."""
    inside = Rewrite(looks_inside=True)
    line = b"Accept-Encoding: " + asked
    assert fields(sent(line, b"X: 1", rewrite=inside)) == [b"Accept-Encoding: " + understood, b"X: 1"]
    assert fields(sent(line, b"X: 1")) == [line, b"X: 1"]
    assert fields(sent(b"X: 1", rewrite=inside)) == [b"X: 1"]


def test_what_a_request_says_to_us_is_read() -> None:
    """Patience, keys, ids, retries of its own, trailers."""
    said = sorted_request(
        request_head(
            b"POST / HTTP/1.1\r\nHost: a\r\nX-Sidecar-Timeout: 2s\r\nIdempotency-Key: k\r\nX-Request-Id: r\r\n"
            b"traceparent: " + TRACE + b"\r\nTE: Trailers\r\nContent-Length: 0\r\n\r\n"
        ),
        b"sidecar-0",
    )
    assert (said.patience, said.has_key, said.ids) == (2.0, True, (b"r", TRACE))
    assert (said.trailers, said.retried) == (True, False)


@pytest.mark.parametrize(
    ("line", "retried"),
    [
        (b"X-Envoy-Attempt-Count: 1", False),
        (b"X-Envoy-Attempt-Count: 2", True),
        (b"X-Sidecar-Attempt: 1", False),
        (b"X-Sidecar-Attempt: 2", True),
    ],
)
def test_a_caller_that_retries_is_known_by_its_count(line: bytes, retried: bool) -> None:  # noqa: FBT001 - a parameter
    """Ours on top of its own would multiply."""
    head = request_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
    assert sorted_request(head, b"sidecar-0").retried is retried


TOKEN = st.text("abcXYZ0189-_", min_size=1, max_size=12).map(str.encode)
VALUE = st.text("abc XYZ019;=/*,.", max_size=20).map(lambda text: text.strip().encode())


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=12))
def test_no_other_field_is_lost_changed_or_moved(given_fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever it is called."""
    ours = {b"host", b"content-length", b"via", b"te", b"upgrade", b"expect", b"tracestate", *HOP_BY_HOP}
    kept = [(name, value) for name, value in given_fields if name.lower() not in ours]
    got = sent(*[name + b": " + value for name, value in kept])
    assert fields(got) == [name + b": " + value for name, value in kept]


# Responses.


def answered(data: bytes, method: bytes = b"GET") -> bytes:
    """What the caller gets of a response's head."""
    return response_lines(parsed(data + b"\r\n\r\n", method)[0])


def test_an_answer_s_head_passes_in_order() -> None:
    """Its reason phrase is made anew; hop-by-hop fields, and what we say ourselves, stay behind."""
    assert answered(
        b"HTTP/1.1 404 Nope <script>\r\nServer: s\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, X-Hop\r\n"
        b"X-Hop: 1\r\nKeep-Alive: 5\r\nX-Request-Id: theirs\r\nX-Sidecar-Attempts: 9\r\nVia: 1.1 cdn\r\n"
        b"Content-Length: 0007"
    ) == (
        b"HTTP/1.1 404 Not Found\r\nServer: s\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 cdn\r\n"
        b"Content-Length: 7\r\n"
    )


@pytest.mark.parametrize(
    ("data", "method", "lines"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"GET", b""),
        (b"HTTP/1.1 200 OK", b"GET", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12", b"HEAD", b"Content-Length: 12\r\n"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12", b"GET", b"Content-Length: 12\r\n"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0", b"GET", b""),
    ],
)
def test_lengths_of_answers(data: bytes, method: bytes, lines: bytes) -> None:
    """Streams are framed by who sends them; 204 has no length to state (RFC 9110 section 8.6)."""
    assert answered(data, method).partition(b"\r\n")[2] == lines


def test_heads_of_the_same_bytes_share_the_work() -> None:
    """What was made of one is remembered with it."""
    head, _ = parsed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert response_lines(head) is response_lines(head)
    request = request_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert sorted_request(request, b"sidecar-0") is sorted_request(request, b"sidecar-0")


def remembered(heads: list[bytes]) -> Iterator[tuple[RequestHead, RequestHead]]:
    """Each as a connection reads it that has seen those before twice, and as the parser reads it alone."""
    known = KnownRequests()
    for data in heads:
        parsed = RequestParser().parse(data)
        yield known.recognise(data) or parsed, RequestParser().parse(data)
        known.learn(data, parsed)
        known.learn(data, parsed)


OTHER = TRACE.replace(b"4bf9", b"0000")
OWN = [
    b"traceparent: " + TRACE,
    b"traceparent: no",
    b"tracestate: a=1",
    b"traceparent: " + OTHER,
    b"X-Request-Id: r",
    b"X-Request-Id: s",
]
LISTED = [b"Connection: traceparent, x-request-id", b"Connection: close", b"Accept: */*"]


@given(st.lists(st.lists(st.sampled_from(OWN + LISTED), max_size=4), min_size=2, max_size=4))
@example([[OWN[0], OWN[2]], [OWN[1], OWN[2]]])
@example([[OWN[0], OWN[2]], [OWN[3], OWN[2]]])
@example([[LISTED[0], OWN[0]], [LISTED[0], OWN[0]]])
def test_a_request_is_sent_on_alike_whether_its_lines_are_known_or_not(requests: list[list[bytes]]) -> None:
    """Also where it goes by other names than the one its lines were learned from."""
    to, _ = a_target()
    heads = [b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(o + b"\r\n" for o in own) + b"\r\n" for own in requests]
    for known, alone in remembered(heads):
        lines, expected = sorted_request(known, b"s"), sorted_request(alone, b"s")
        ids = lines.ids if known.own is None else ids_of(known.own)
        assert (lines.passed(to), ids) == (expected.passed(to), expected.ids)


USUAL = [b"ETag: a", b"etag: b", b"Date: then", b"X-Request-Id: r", b"Last-Modified: now", b"Content-Length: 5"]
HOPS = [b"Connection: ETag", b"Connection: close", b"Keep-Alive: timeout=5", b"Set-Cookie: a=1"]


@given(st.lists(st.lists(st.sampled_from(USUAL + HOPS), max_size=5), min_size=2, max_size=4))
@example([[HOPS[0], USUAL[0]], [HOPS[0], USUAL[0]]])
def test_an_answer_is_relayed_alike_whether_its_head_is_known_or_not(answers: list[list[bytes]]) -> None:
    """Also where some of its values are its own."""
    known = KnownResponses()
    for number, lines in enumerate(answers):
        own = [line if line in HOPS else line + b"%d" % number for line in lines]
        data = b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in own) + b"\r\n"
        try:
            parsed, alone = (ResponseParser().parse(data, b"GET") for _ in range(2))
        except MalformedResponse:
            continue
        found = known.recognise(data) or known.resemble(data) or parsed
        assert response_lines(found) == response_lines(alone)
        assert found.dated == alone.dated
        known.learn(data, parsed)
        known.learn(data, parsed)
