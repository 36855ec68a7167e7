"""Laws of message heads: what is refused and how, and that what is accepted means the same to everybody."""

import re
from collections.abc import Iterable, Sequence

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.wire.errors import BadRequest, MalformedResponse
from sidecar.wire.framing import METHODS
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from sidecar.wire.parse import RequestParser, ResponseParser

HOST = b"Host: a.example"


def head(line: bytes, *fields: bytes) -> bytes:
    """A head of these lines."""
    return b"\r\n".join((line, *fields)) + b"\r\n\r\n"


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request with a Host and these fields."""
    return head(line, HOST, *fields)


def parse(data: bytes) -> RequestHead:
    """Reads a request with a new parser."""
    return RequestParser().parse(data)


def attributes(head: RequestHead | ResponseHead, *, but: str = "") -> dict[str, object]:
    """All that a head says. `but`: what whoever passes it on keeps there."""
    unsaid = {but, "asking", "kept", "kin", "own"}
    return {name.strip("_"): getattr(head, name) for name in head.__slots__ if name not in unsaid}


def refused(data: bytes) -> BadRequest:
    """The refusal of a request."""
    with pytest.raises(BadRequest) as caught:
        parse(data)
    return caught.value


def answer(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    """Reads a response with a new parser."""
    return ResponseParser().parse(head(line, *fields), method)


def distrusted(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> str:
    """Why a response is refused."""
    with pytest.raises(MalformedResponse) as caught:
        answer(*fields, line=line, method=method)
    return caught.value.detail


# Requests that are served.


def test_a_plain_request_has_everything_the_path_asks_for() -> None:
    """Every attribute of a head is set, whatever the request leaves out."""
    request = parse(get(b"Accept:  */* \t", b"X_Y: 1", b"x-empty:", line=b"GET /a/b?c=d?e HTTP/1.1"))
    expected = {
        "method": b"GET",
        "target": b"/a/b?c=d?e",
        "path": b"/a/b",
        "query": b"c=d?e",
        "host": b"a.example",
        "headers": [
            (b"host", b"Host", b"a.example"),
            (b"accept", b"Accept", b"*/*"),
            (b"x_y", b"X_Y", b"1"),
            (b"x-empty", b"x-empty", b""),
        ],
        "length": 0,
        "http10": False,
        "keep_alive": True,
        "expects_continue": False,
        "connection_tokens": frozenset(),
        "upgrade": b"",
    }
    assert attributes(request, but="sorted") == expected


def test_order_case_and_duplicates_of_fields_are_kept() -> None:
    """A field section is a list, not a mapping (RFC 9110 section 5.3)."""
    request = parse(get(b"B: 2", b"a: 1", b"b: 3", b"COOKIE: x", b"Cookie: y"))
    names = [name for _, name, _ in request.headers]
    assert names == [b"Host", b"B", b"a", b"b", b"COOKIE", b"Cookie"]


def test_obs_text_in_values_passes() -> None:
    """Bytes above 127 in values are opaque data (RFC 9110 section 5.5)."""
    assert parse(get(b"X: \x80\xff")).get(b"x") == b"\x80\xff"


@pytest.mark.parametrize(
    "target",
    [
        b"//double//slash",
        b"/%2e%2e/%zz",
        b'/"<>\\^`{|}',
        b"/a?",
        b"/?a=b&a=/?",
        b"/a;b=c",
        b"/a:b@c",
        b"/../x",
        b"/*",
    ],
)
def test_targets_pass_byte_for_byte(target: bytes) -> None:
    """An intermediary does not rewrite the path and query (RFC 9110 section 4.2.3 leaves that to origins)."""
    request = parse(get(line=b"GET " + target + b" HTTP/1.1"))
    assert request.target == target
    assert request.path + (b"?" if b"?" in target else b"") + request.query == target


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_served_method_is_one_the_judge_knows(method: bytes) -> None:
    """METHODS names no method that httptools would refuse."""
    assert parse(get(line=method + b" / HTTP/1.1")).method == method


@pytest.mark.parametrize(
    ("line", "host", "target"),
    [
        (b"GET http://b.example:81/x?y HTTP/1.1", b"b.example:81", b"/x?y"),
        (b"GET HTTP://b.example HTTP/1.1", b"b.example", b"/"),
        (b"GET https://b.example?y=/ HTTP/1.1", b"b.example", b"/?y=/"),
        (b"GET http://[::1]:81/ HTTP/1.1", b"[::1]:81", b"/"),
        (b"OPTIONS http://b.example HTTP/1.1", b"b.example", b"*"),
        (b"OPTIONS http://b.example/ HTTP/1.1", b"b.example", b"/"),
        (b"OPTIONS http://b.example?q HTTP/1.1", b"b.example", b"/?q"),
    ],
)
def test_absolute_form_wins_over_host(line: bytes, host: bytes, target: bytes) -> None:
    """Its authority replaces the `Host` received, everywhere (RFC 9112 sections 3.2.2 and 3.2.4)."""
    request = parse(get(b"X: y", line=line))
    assert (request.host, request.target) == (host, target)
    assert request.headers == [(b"host", b"Host", host), (b"x", b"X", b"y")]


def test_asterisk_form_is_for_options() -> None:
    """`OPTIONS *` is kept as it is (RFC 9112 section 3.2.4)."""
    request = parse(get(line=b"OPTIONS * HTTP/1.1"))
    assert (request.target, request.path, request.query) == (b"*", b"*", b"")


@pytest.mark.parametrize(
    ("line", "fields", "keeps"),
    [
        (b"GET / HTTP/1.1", [], True),
        (b"GET / HTTP/1.1", [b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: CLOSE"], False),
        (b"GET / HTTP/1.1", [b"Connection: keep-alive, close"], False),
        (b"GET / HTTP/1.1", [b"Connection: keep-alive", b"connection: close"], False),
        (b"GET / HTTP/1.1", [b"Proxy-Connection: close"], True),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
        (b"GET / HTTP/1.0", [b"Connection: x, keep-alive"], True),
        (b"GET / HTTP/1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_persistence_follows_version_and_connection(line: bytes, fields: list[bytes], *, keeps: bool) -> None:
    """RFC 9112 section 9.3; `Proxy-Connection` says nothing (appendix C.2.2)."""
    assert parse(get(*fields, line=line)).keep_alive is keeps


def test_connection_names_the_fields_to_remove() -> None:
    """Its options are lower-cased names, close and keep-alive left out (RFC 9110 section 7.6.1)."""
    request = parse(get(b"Connection: X-Foo ,, keep-alive,\tTE", b"Connection: x-bar"))
    assert request.connection_tokens == {b"x-foo", b"te", b"x-bar"}


@pytest.mark.parametrize("value", [b"", b"keep-alive", b"close", b"Keep-Alive, Close"])
def test_nothing_to_remove_is_one_shared_set(value: bytes) -> None:
    """The usual requests allocate no set."""
    fields = [b"Connection: " + value] if value else []
    assert parse(get(*fields)).connection_tokens is parse(get()).connection_tokens


def test_http10_may_lack_a_host() -> None:
    """`Host` is a field of HTTP/1.1."""
    request = parse(head(b"GET /x HTTP/1.0"))
    assert (request.host, request.http10, request.headers) == (b"", True, [])


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 5"], 5),
        ([b"Content-Length: 9223372036854775807"], 2**63 - 1),
        ([b"Transfer-Encoding: chunked"], CHUNKED),
        ([b"transfer-encoding: \t Chunked "], CHUNKED),
    ],
)
def test_body_lengths(fields: list[bytes], length: int) -> None:
    """RFC 9112 section 6.3."""
    assert parse(get(*fields, line=b"POST / HTTP/1.1")).length == length


def test_lengths_are_written_one_way() -> None:
    """Trailing white space and leading zeros, which others read otherwise, do not go upstream (finding 9)."""
    for written in (b"3 ", b"003", b"003\t"):
        request = parse(get(b"Content-Length: " + written, b"A: 003"))
        assert request.length == 3
        assert request.headers[1:] == [(b"content-length", b"Content-Length", b"3"), (b"a", b"A", b"003")]
    assert answer(b"content-length: 07").get(b"content-length") == b"7"


@pytest.mark.parametrize(
    ("line", "fields", "expects"),
    [
        (b"POST / HTTP/1.1", [b"Expect: 100-continue", b"Content-Length: 1"], True),
        (b"POST / HTTP/1.1", [b"Expect: 100-Continue ", b"Transfer-Encoding: chunked"], True),
        (b"POST / HTTP/1.1", [b"Expect: x, 100-continue", b"Content-Length: 1"], True),
        (b"POST / HTTP/1.1", [b"Expect: 100-continue"], False),  # there is no body to wait with
        (b"POST / HTTP/1.0", [b"Expect: 100-continue", b"Content-Length: 1"], False),
        (b"POST / HTTP/1.1", [b"Expect: 200-maybe", b"Content-Length: 1"], False),
    ],
)
def test_expectations(line: bytes, fields: list[bytes], *, expects: bool) -> None:
    """RFC 9110 section 10.1.1: ignored in HTTP/1.0; one that is unknown is the upstream's to refuse."""
    assert parse(get(*fields, line=line)).expects_continue is expects


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        ([b"Connection: Upgrade", b"Upgrade: websocket"], b"websocket"),
        ([b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket"], b"WebSocket"),
        ([b"Connection: upgrade", b"Upgrade: a/1", b"Upgrade: b", b"Content-Length: 0"], b"a/1, b"),
        ([b"Upgrade: websocket"], b""),  # not listed in Connection
        ([b"Connection: Upgrade"], b""),
        ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"], b""),
        ([b"Connection: Upgrade", b"Upgrade: h2c, websocket"], b"websocket"),
    ],
)
def test_upgrades(fields: list[bytes], upgrade: bytes) -> None:
    """Asked for with both fields (RFC 9110 section 7.8); h2c is ignored (RFC 9113 section 3.1)."""
    assert parse(get(*fields)).upgrade == upgrade


def test_http10_cannot_upgrade() -> None:
    """RFC 9110 section 7.8: it MUST be ignored there."""
    fields = (b"Connection: Upgrade", b"Upgrade: websocket")
    assert parse(get(*fields, line=b"GET / HTTP/1.0")).upgrade == b""


def test_an_offer_of_h2c_with_a_body_is_a_plain_request() -> None:
    """Java's client makes it with every first request; the body is framed like any other."""
    fields = (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AA",
        b"Content-Length: 4",
    )
    request = parse(get(*fields, line=b"POST / HTTP/1.1"))
    assert (request.length, request.upgrade) == (4, b"")


# Requests that are refused. The numbers are those of the findings about httptools.


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([b"Transfer-Encoding: identity"], 501),
        ([b"Transfer-Encoding: xchunked"], 501),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: gzip"], 501),
        ([b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"], 501),
        ([b"Transfer-Encoding: chunked;x"], 400),
        ([b"Transfer-Encoding: chunked;x=y"], 400),
        ([b'Transfer-Encoding: "chunked"'], 400),
        ([b"Transfer-Encoding: chunked, identity"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked,"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: chunked\t"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b"Transfer-Encoding: chunked\x00"], 400),
        ([b"Transfer-Encoding: chunked\r"], 400),
        ([b"Transfer-Encoding:\r\n chunked"], 400),
        ([b"Transfer-Encoding : chunked"], 400),
        ([b" Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 3"], 400),
        ([b"Content-Length: 3", b"Transfer-Encoding: chunked"], 400),
        ([b"Content-Length: 0", b"Transfer-Encoding: chunked"], 400),
        ([b"Content-Length: 3", b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: x", b"Content-Length: 3"], 400),
    ],
)
def test_transfer_codings_other_than_chunked(fields: list[bytes], status: int) -> None:
    """Findings 1 and 2: only `chunked`; other codings are 501, faulty framing 400 (RFC 9112 section 6)."""
    error = refused(get(*fields, line=b"POST / HTTP/1.1"))
    assert error.status == status
    assert error.reason == {400: "bad_request", 501: "not_implemented"}[status]


def test_a_transfer_coding_in_http10() -> None:
    """Finding 3: the framing is faulty (RFC 9112 section 6.1)."""
    fields = (b"Transfer-Encoding: chunked", b"Connection: keep-alive")
    assert refused(get(*fields, line=b"POST / HTTP/1.0")).status == 400


@pytest.mark.parametrize("framing", [b"Content-Length: 20", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("protocol", [b"websocket", b"h2c, websocket", b"x"])
def test_a_body_under_upgrade(framing: bytes, protocol: bytes) -> None:
    """Finding 4: a body that could be taken for another protocol, or a request, is refused."""
    fields = (b"Connection: Upgrade", b"Upgrade: " + protocol, framing)
    assert refused(get(*fields, line=b"POST / HTTP/1.1")).status == 400


@pytest.mark.parametrize("line", [b"CONNECT a.example:443 HTTP/1.1", b"CONNECT / HTTP/1.1", b"CONNECT * HTTP/1.0"])
def test_connect(line: bytes) -> None:
    """Finding 4: no tunnels."""
    error = refused(get(line=line))
    assert (error.status, error.reason) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"X: y"],
        [b"Host:"],
        [b"Host: a", b"Host: a"],
        [b"Host: a", b"host: b"],
        [b"Host: ", b"Host: b"],
        [b"Host: a b"],
        [b"Host: a, b"],
        [b"Host: u@a"],
        [b"Host: a/b"],
        [b"Host: a\\b"],
        [b"Host: a?b"],
        [b"Host: a#b"],
        [b"Host: http://a"],
        [b"Host: a:b"],
        [b"Host: a:1:2"],
        [b"Host: :80"],
        [b"Host: a:123456"],
        [b"Host: ::1"],
        [b"Host: [::1"],
        [b"Host: [::1]x"],
        [b"Host: []"],
        [b"Host: a%zz"],
        [b"Host: \x80"],
        [b"Host: " + b"a" * 262],
    ],
)
def test_host_rules(fields: list[bytes]) -> None:
    """Finding 5: exactly one, and one that is a host (RFC 9112 section 3.2, RFC 9110 section 7.2)."""
    assert refused(head(b"GET / HTTP/1.1", *fields)).status == 400


@pytest.mark.parametrize("fields", [[b"Host: a", b"Host: a"], [b"Host: a b"], [b"Host:"]])
def test_host_rules_hold_in_http10(fields: list[bytes]) -> None:
    """Where HTTP/1.0 has a Host it is a proper one."""
    assert refused(head(b"GET / HTTP/1.0", *fields)).status == 400


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"A.example:80",
        b"a:",
        b"127.0.0.1",
        b"[::1]",
        b"[fe80::1]:8080",
        b"[v1.x:y]",
        b"a_b-c.d~e",
        b"%41",
        b"a.",
    ],
)
def test_hosts_are_kept_as_they_are(host: bytes) -> None:
    """The grammar's `uri-host [":" port]`, case and all."""
    assert parse(head(b"GET / HTTP/1.1", b"Host: " + host)).host == host


def test_header_count() -> None:
    """Finding 6: more lines than allowed are 431, as many are fine."""
    parser = RequestParser(max_headers=3)
    assert len(parser.parse(get(b"a: b", b"c: d")).headers) == 3
    with pytest.raises(BadRequest) as caught:
        parser.parse(get(b"a: b", b"c: d", b"e:"))
    assert (caught.value.status, caught.value.reason) == (431, "headers_too_large")


def test_target_length() -> None:
    """Finding 6: a longer target than allowed is 414."""
    parser = RequestParser(max_target=10)
    assert parser.parse(get(line=b"GET /234567890 HTTP/1.1")).target == b"/234567890"
    with pytest.raises(BadRequest) as caught:
        parser.parse(get(line=b"GET /2345678901 HTTP/1.1"))
    assert (caught.value.status, caught.value.reason) == (414, "uri_too_long")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/9.9", 505),
        (b"PRI * HTTP/2.0", 505),  # finding 20: the preface of HTTP/2
        (b"GET /", 400),
        (b"GET", 400),
        (b"", 400),
        (b"GET / ", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1", 400),
        (b"GET / HTTP/01.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET / ICE/1.0", 400),
        (b"GET / HTTP/1,1", 400),
    ],
)
def test_versions(line: bytes, status: int) -> None:
    """Finding 7: HTTP/1.1 and 1.0 are served; another version is 505, something else no request."""
    assert refused(get(line=line)).status == status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"\r\nGET / HTTP/1.1", 400),  # the connection takes empty lines away
        (b"\nGET / HTTP/1.1", 400),
        (b"GET /#f HTTP/1.1", 400),
        (b"GET http://a/#f HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET  HTTP/1.1", 400),
        (b"GET a.example:80 HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET http://u:p@a/ HTTP/1.1", 400),
        (b"GET http://a b/ HTTP/1.1", 400),
        (b"GET http:/a HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /a\r\nX: HTTP/1.1", 400),  # httptools reads a request of HTTP/0.9 and a field
        (b"GET /a\nX: HTTP/1.1", 400),
        (b"GET http://a/\nX: HTTP/1.1", 400),
        (b"GET /a\rX: HTTP/1.1", 400),
        (b"FOO / HTTP/1.1", 501),
        (b"LIST / HTTP/1.1", 501),
        (b"get / HTTP/1.1", 501),
        (b"DESCRIBE / HTTP/1.1", 501),
        (b"PRI / HTTP/1.1", 501),
        (b"G\x00T / HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"\x16\x03\x01 / HTTP/1.1", 400),
    ],
)
def test_request_lines(line: bytes, status: int) -> None:
    """Findings 8 and 18: one space, a target of a known form without a fragment, a method that is known."""
    assert refused(get(line=line)).status == status


MALFORMED_FIELDS = [
    b"Content-Length: 3, 3",
    b"Content-Length: 3\r\nContent-Length: 3",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Content-Length: +3",
    b"Content-Length: -3",
    b"Content-Length: 0x3",
    b"Content-Length: 3 4",
    b"Content-Length: 3_0",
    b"Content-Length: 3.0",
    b"Content-Length: \xb2",
    b"Content-Length:",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: " + b"9" * 5000,
    b"Content-Length : 3",
    b"X: y\r\n folded",
    b"X: y\r\n\tfolded",
    b" X: y",
    b"X : y",
    b"X\t: y",
    b": y",
    b"X",
    b"X: y\nZ: z",
    b"X: y\rZ: z",
    b"X: y\r\r\nZ: z",
    b"X: \x00",
    b"X: \x07",
    b"X: \x0b",
    b"X: \x7f",
    b"X: a\x00b",
    b"X\x00: y",
    b"X\x80: y",
    b"X(: y",
    b"X[]: y",
    b'"X": y',
    b"X y: z",
    b"GET /smuggled HTTP/1.1",
]


@pytest.mark.parametrize("field", MALFORMED_FIELDS)
def test_malformed_fields(field: bytes) -> None:
    """What httptools refuses by itself stays refused, in requests and responses alike."""
    assert refused(get(field, b"X-After: z", line=b"POST / HTTP/1.1")).status == 400
    assert refused(get(field, line=b"POST / HTTP/1.0")).status == 400
    assert distrusted(field, b"X-After: z")
    assert distrusted(field, line=b"HTTP/1.0 304 Not Modified")


@pytest.mark.parametrize("end", [b"\n", b"\n\n", b"\r\n", b"\r\n\n", b"\n\r\n", b"\r\r\n", b"\r\n\r", b""])
def test_a_head_without_its_end(end: bytes) -> None:
    """Only an empty line ends a head, and a line ends with CR LF (RFC 9112 section 2.2)."""
    assert refused(b"GET / HTTP/1.1\r\nHost: a" + end).status == 400
    with pytest.raises(MalformedResponse):
        ResponseParser().parse(b"HTTP/1.1 200 OK\r\nA: b" + end, b"GET")


# Responses.


def test_a_plain_response_has_everything_the_path_asks_for() -> None:
    """Every attribute of a head is set; fields keep order, case and duplicates."""
    response = answer(b"Set-Cookie: a", b"content-length: 5 ", b"Set-Cookie: b", b"Connection: X, close")
    expected = {
        "status": 200,
        "headers": [
            (b"set-cookie", b"Set-Cookie", b"a"),
            (b"content-length", b"content-length", b"5"),
            (b"set-cookie", b"Set-Cookie", b"b"),
            (b"connection", b"Connection", b"X, close"),
        ],
        "length": 5,
        "http10": False,
        "keep_alive": False,
        "connection_tokens": frozenset({b"x"}),
        "dated": False,
    }
    assert attributes(response, but="relayed") == expected


@pytest.mark.parametrize(
    ("line", "method", "fields", "length"),
    [
        (b"HTTP/1.1 200 OK", b"GET", [b"Content-Length: 7"], 7),
        (b"HTTP/1.1 200 OK", b"GET", [b"Transfer-Encoding: Chunked"], CHUNKED),
        (b"HTTP/1.1 200 OK", b"GET", [], UNTIL_CLOSE),
        (b"HTTP/1.1 205 Reset Content", b"GET", [], UNTIL_CLOSE),
        (b"HTTP/1.1 200 OK", b"HEAD", [b"Content-Length: 7"], 0),
        (b"HTTP/1.1 200 OK", b"HEAD", [b"Transfer-Encoding: chunked"], 0),
        (b"HTTP/1.1 200 OK", b"HEAD", [], 0),
        (b"HTTP/1.1 204 No Content", b"GET", [], 0),
        (b"HTTP/1.1 204 No Content", b"GET", [b"Content-Length: 7"], 0),
        (b"HTTP/1.1 204 No Content", b"GET", [b"Transfer-Encoding: chunked"], 0),
        (b"HTTP/1.1 304 Not Modified", b"GET", [b"Content-Length: 7"], 0),
        (b"HTTP/1.1 304 Not Modified", b"GET", [b"Transfer-Encoding: chunked"], 0),
        (b"HTTP/1.1 100 Continue", b"POST", [], 0),
        (b"HTTP/1.1 103 Early Hints", b"GET", [b"Link: </x>"], 0),
        (b"HTTP/1.1 199 ", b"GET", [], 0),
    ],
)
def test_response_lengths(line: bytes, method: bytes, fields: list[bytes], length: int) -> None:
    """Findings 10, 11 and 16: told by the head and the request's method alone (RFC 9112 section 6.3)."""
    assert answer(*fields, line=line, method=method).length == length


@pytest.mark.parametrize(
    ("line", "fields", "keeps"),
    [
        (b"HTTP/1.1 200 OK", [b"Content-Length: 1"], True),
        (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], True),
        (b"HTTP/1.1 204 No Content", [], True),
        (b"HTTP/1.1 200 OK", [], False),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 1", b"Connection: close"], False),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 1"], False),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 1", b"Connection: keep-alive"], True),
        (b"HTTP/1.0 200 OK", [b"Connection: keep-alive"], False),
        (b"HTTP/1.0 200 OK", [b"Transfer-Encoding: chunked", b"Connection: keep-alive"], False),  # finding 3
    ],
)
def test_response_persistence(line: bytes, fields: list[bytes], *, keeps: bool) -> None:
    """Finding 13: decided by us, from version, `Connection` and framing."""
    assert answer(*fields, line=line).keep_alive is keeps


def test_persistence_after_head_is_decided_from_the_fields() -> None:
    """Finding 10: a HEAD without a length ends with its head, and the connection stays."""
    assert answer(method=b"HEAD").keep_alive


@pytest.mark.parametrize("line", [b"HTTP/1.1 204 No Content", b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 "])
def test_a_response_that_has_no_length_tells_none(line: bytes) -> None:
    """RFC 9110 section 8.6: with 1xx and 204 it MUST NOT be sent on."""
    assert answer(b"Content-Length: 7", b"A: b", line=line).headers == [(b"a", b"A", b"b")]


def test_not_modified_tells_the_length_of_what_was_not_sent() -> None:
    """RFC 9110 section 8.6 again: in a 304, as in an answer to HEAD, it is meant."""
    assert answer(b"Content-Length: 7", line=b"HTTP/1.1 304 Not Modified").get(b"content-length") == b"7"


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 Everything is fine \xe4\t!",
        b"HTTP/1.0 200 Ok",
        b"HTTP/1.1 299 ",
        b"HTTP/1.1 599 x",
    ],
)
def test_status_lines(line: bytes) -> None:
    """Any reason phrase, or none."""
    assert answer(line=line).status == int(line[9:12])


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 1000 x",
        b"HTTP/1.1 20 x",
        b"HTTP/1.1 2x0 x",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 200 \x00",
        b"HTTP/1.1 200 \x1b[0m",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 OK\rX: y",
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"RTSP/1.0 200 OK",
        b" HTTP/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"HTTP/1.1",
        b"<html>",
        b"",
        b"GET / HTTP/1.1",
    ],
)
def test_status_lines_that_are_none(line: bytes) -> None:
    """Finding 16: HTTP/1.x and a status of 100 to 599, no control characters."""
    assert distrusted(line=line)


@pytest.mark.parametrize(
    "fields",
    [
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked, gzip"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked;x"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
        [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
    ],
)
def test_response_codings(fields: list[bytes]) -> None:
    """Finding 2: exactly `chunked`; anything else would be read until close by some and not by others."""
    assert distrusted(*fields)
    assert distrusted(*fields, line=b"HTTP/1.0 200 OK")


@pytest.mark.parametrize("status", [204, 304, 100])
def test_conflicting_framing_of_no_body(status: int) -> None:
    """Two framings in one response are refused, body or not: the next hop may see one."""
    line = b"HTTP/1.1 %d x" % status
    assert distrusted(b"Content-Length: 3", b"Transfer-Encoding: chunked", line=line)


def test_switching_protocols_says_to_what() -> None:
    """Finding 16: a 101 needs both fields to be a head like another (RFC 9110 section 7.8)."""
    line = b"HTTP/1.1 101 Switching Protocols"
    response = answer(b"Connection: upgrade", b"Upgrade: websocket", line=line)
    assert (response.status, response.length) == (101, 0)
    for fields in (
        [],
        [b"Upgrade: websocket"],
        [b"Connection: upgrade"],
        [b"Connection: upgrade", b"Upgrade:"],
    ):
        assert distrusted(*fields, line=line)


def test_response_header_count() -> None:
    """Finding 6, of responses."""
    parser = ResponseParser(max_headers=2)
    assert len(parser.parse(head(b"HTTP/1.1 200 OK", b"a: b", b"c: d"), b"GET").headers) == 2
    with pytest.raises(MalformedResponse):
        parser.parse(head(b"HTTP/1.1 200 OK", b"a: b", b"c: d", b"e: f"), b"GET")


# Laws over all heads.

REQUESTS = [
    get(),
    get(b"Accept: */*", b"Connection: keep-alive"),
    get(b"Connection: close"),
    get(b"Proxy-Connection: close"),
    get(b"Content-Length: 5", line=b"POST /x HTTP/1.1"),
    get(b"Content-Length: 0", line=b"POST /x HTTP/1.1"),
    get(b"Content-Length: 100000", line=b"POST /x HTTP/1.1"),
    get(b"Transfer-Encoding: chunked", line=b"POST /x HTTP/1.1"),
    get(b"Connection: Upgrade", b"Upgrade: websocket"),
    get(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3"),
    get(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    get(b"X : y"),
    get(b"Host: b"),
    get(line=b"GET / HTTP/1.0"),
    head(b"GET / HTTP/1.0"),
    get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"),
    get(line=b"CONNECT a:1 HTTP/1.1"),
    get(line=b"OPTIONS * HTTP/1.1"),
    get(line=b"GET http://b.example/x HTTP/1.1"),
    get(b"Transfer-Encoding: identity"),
    get(b"Expect: 100-continue", b"Content-Length: 1", line=b"PUT /p?q=1 HTTP/1.1"),
]
RESPONSES = [
    head(b"HTTP/1.1 200 OK", b"Content-Length: 5"),
    head(b"HTTP/1.1 200 OK", b"Connection: close"),
    head(b"HTTP/1.1 200 OK", b"Proxy-Connection: close", b"Content-Length: 1"),
    head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"),
    head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip"),
    head(b"HTTP/1.1 100 Continue"),
    head(b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"),
    head(b"HTTP/1.1 101 Switching Protocols"),
    head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 9"),
    head(b"HTTP/1.0 200 OK"),
    head(b"HTTP/1.1 200 OK", b"X : y"),
    head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 5"),
    b"HTTP/1.1 200 OK\r\n",
    b"junk\r\n\r\n",
]


def told(parser: RequestParser | ResponseParser, data: bytes) -> object:
    """Everything a parser says about a head: its attributes, or the refusal."""
    try:
        message = parser.parse(data) if isinstance(parser, RequestParser) else parser.parse(data, b"GET")
    except BadRequest as error:
        return error.status, error.reason, error.detail
    except MalformedResponse as error:
        return error.detail
    return attributes(message)


@given(st.lists(st.sampled_from(REQUESTS), max_size=8))
def test_no_request_changes_how_the_next_is_read(heads: Sequence[bytes]) -> None:
    """Whatever a parser has read before, it says of a head what a new one says."""
    parser = RequestParser()
    assert [told(parser, data) for data in heads] == [told(RequestParser(), data) for data in heads]


@given(st.lists(st.sampled_from(RESPONSES), max_size=8))
def test_no_response_changes_how_the_next_is_read(heads: Sequence[bytes]) -> None:
    """The same of responses."""
    parser = ResponseParser()
    assert [told(parser, data) for data in heads] == [told(ResponseParser(), data) for data in heads]


def test_the_heads_of_a_message_are_its_own() -> None:
    """A head that was handed out does not change when the next is read."""
    parser = RequestParser()
    first = parser.parse(get(b"A: b"))
    parser.parse(get(b"C: d"))
    assert first.headers == [(b"host", b"Host", b"a.example"), (b"a", b"A", b"b")]


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELDS = rb"(?:" + TOKEN + rb":[\t \x21-\x7e\x80-\xff]*\r\n)*\r\n"
REQUEST_GRAMMAR = re.compile(TOKEN + rb" [\x21-\x7e]+ HTTP/1\.[01]\r\n" + FIELDS)
RESPONSE_GRAMMAR = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [\t \x21-\x7e\x80-\xff]*)?\r\n" + FIELDS)

SPICE = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\x0b", b"\x80", b",", b"#", b"\r\n ", b"0",
    b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n",
    b"Host: b\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: x\r\n", b"HTTP/1.1",
    b"GET / HTTP/1.1\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"http://", b"\r\n\r\n",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """A head with a few bytes put in, taken out or replaced."""
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 3)))
        data = data[:start] + draw(st.sampled_from(SPICE) | st.binary(max_size=2)) + data[stop:]
    return data


def cut(data: bytes) -> bytes:
    """What a connection hands over: up to and with the first empty line."""
    return data[: data.find(b"\r\n\r\n") + 4] if b"\r\n\r\n" in data else data


@given(st.binary(max_size=200) | mutated(REQUESTS + RESPONSES))
def test_nothing_but_refusals_escapes(data: bytes) -> None:
    """Any bytes at all, cut or not, are a head or the one error of their kind."""
    told(RequestParser(), data)
    told(ResponseParser(), data)


@given(mutated(REQUESTS).map(cut))
@example(b"GET /a\r\nX: HTTP/1.1\r\nHost: a\r\n\r\n")
def test_an_accepted_request_is_in_the_grammar(data: bytes) -> None:
    """Nothing outside RFC 9112's grammar gets through, and what gets through is framed as h11 frames it."""
    try:
        request = parse(data)
    except BadRequest:
        return
    assert REQUEST_GRAMMAR.fullmatch(data)
    assert re.fullmatch(rb"[\x21-\x7e]+", request.target)
    assert not request.target.startswith((b"http:", b"https:"))
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(data)
    event = peer.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == request.method
    assert len(event.headers) == len(request.headers)
    assert length_by(event.headers) == request.length
    goes_on = peer.next_event()
    assert isinstance(goes_on, h11.EndOfMessage) is (request.length == 0)


def length_by(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """What a list of fields says about a body's length, read as simply as can be."""
    named = dict(fields)
    return CHUNKED if b"transfer-encoding" in named else int(named.get(b"content-length", b"0"))


@given(mutated(RESPONSES).map(cut))
def test_an_accepted_response_is_in_the_grammar(data: bytes) -> None:
    """The same of responses."""
    try:
        response = ResponseParser().parse(data, b"GET")
    except MalformedResponse:
        return
    assert RESPONSE_GRAMMAR.fullmatch(data)
    assert 100 <= response.status <= 599
    named = [low for low, _, _ in response.headers]
    assert not (b"content-length" in named and b"transfer-encoding" in named)


names = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True)
values = st.from_regex(
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]{0,10}[\x21-\x7e\x80-\xff])?)?", fullmatch=True
)
spaces = st.sampled_from([b"", b" ", b"\t", b"  \t "])


@given(st.lists(st.tuples(names, spaces, values, spaces), max_size=10))
def test_fields_come_out_as_they_went_in(fields: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
    """Any well-formed field that says nothing to us is kept to the byte, but for space around its value."""
    telling = {b"host", b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
    kept = [field for field in fields if field[0].lower() not in telling | {b"proxy-connection"}]
    lines = [name + b":" + before + value + after for name, before, value, after in kept]
    expected = [(name.lower(), name, value) for name, _, value, _ in kept]
    assert parse(get(*lines)).headers[1:] == expected
    assert answer(*lines).headers == expected


def test_our_reading_of_field_lines_is_httptools_own() -> None:
    """Names and values are those httptools reported, so no second tokenizer can disagree with it."""
    seen: list[tuple[bytes, bytes]] = []

    class Reference:
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append((name, value.rstrip(b" \t")))

    data = get(b"A:b", b"C: \t d e \t", b"f:")
    httptools.HttpRequestParser(Reference()).feed_data(data)
    assert [(name, value) for _, name, value in parse(data).headers] == seen
