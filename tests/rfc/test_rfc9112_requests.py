"""RFC 9112: request lines, field lines, and how a request's body is framed."""

import pytest
from rfc_world import OK, World, get


def test_empty_lines_before_a_request_are_ignored(world: World) -> None:
    """RFC 9112 section 2.2: SHOULD ignore at least one empty line before the request line."""
    assert world.sent(b"\r\n\r\n" + get()).start == b"GET /a HTTP/1.1"


def test_white_space_before_the_first_field_is_refused(world: World) -> None:
    """RFC 9112 section 2.2: MUST reject it or discard such lines; nobody may take them for fields."""
    assert world.refused(get(host=b" Host: app.test")).status == 400
    assert world.refused(b"GET /a HTTP/1.1\r\n X: 1\r\nHost: app.test\r\n\r\n").status == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /a HTTP/1.1\nHost: app.test\n\n",
        b"GET /a HTTP/1.1\r\nHost: app.test\nX: 1\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: app.test\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: app.test\r\nX: 1\n\r\n\r\n",
    ],
)
def test_a_bare_lf_ends_no_line(world: World, request_bytes: bytes) -> None:
    """RFC 9112 section 2.2: a lone LF MAY be taken for a line end; two readers who differ are a smuggler's tool."""
    assert world.refused(request_bytes + b"\r\n\r\n").status == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /a\r HTTP/1.1\r\nHost: app.test\r\n\r\n",
        b"GET /a HTTP/1.1\rHost: app.test\r\n\r\n",
        get(b"X: a\rb"),
        get(b"X: a\r\rb"),
        get(b"X\r: a"),
        get(b"X: a\r"),
    ],
)
def test_a_bare_cr_is_refused(world: World, request_bytes: bytes) -> None:
    """RFC 9112 section 2.2: MUST consider a CR without LF invalid, or replace it."""
    assert world.refused(request_bytes).status == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET  /a HTTP/1.1",
        b"GET /a  HTTP/1.1",
        b"GET /a HTTP/1.1 ",
        b" GET /a HTTP/1.1",
        b"GET\t/a HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /a\x0b HTTP/1.1",
        b"G\xc3\x84T /a HTTP/1.1",
        b"G(T /a HTTP/1.1",
        b"get /a http/1.1",
        b"GET /a HTTP/1,1",
        b"GET /a HTTP/11",
        b"GET /a HTTP/1.1.1",
        b"GET /a HTTP/01.1",
        b"GET /a HTTP/1.10",
        b"GET /a HTTPS/1.1",
        b"GET /a ICY/1.0",
    ],
)
def test_a_malformed_request_line_is_400(world: World, line: bytes) -> None:
    """RFC 9112 section 3: SHOULD answer 400, and SHOULD NOT try to guess what was meant."""
    assert world.refused(get(start=line)).status == 400


@pytest.mark.parametrize("method", [b"FOO", b"get", b"Get", b"X-Y", b"GE", b"GETT"])
def test_an_unknown_method_is_501(world: World, method: bytes) -> None:
    """RFC 9110 section 9.1, RFC 9112 section 3.1: methods are case-sensitive; not recognised is 501."""
    answer = world.refused(get(start=method + b" /a HTTP/1.1"))
    assert (answer.status, b'"not_implemented"' in answer.body) == (501, True)


def test_a_target_beyond_the_limit_is_414(world: World) -> None:
    """RFC 9112 section 3: a target longer than one wants to parse MUST be 414; 8000 bytes are to be taken."""
    assert world.sent(get(start=b"GET /" + b"a" * 8100 + b" HTTP/1.1")).start[:5] == b"GET /"
    assert world.refused(get(start=b"GET /" + b"a" * 8200 + b" HTTP/1.1")).status == 414


def test_a_head_beyond_the_limit_is_431(world: World) -> None:
    """RFC 9110 section 5.4: fields larger than one wants to process MUST be answered with a 4xx."""
    assert world.refused(get(b"X: " + b"a" * 20000)).status == 431
    assert world.refused(get(*[b"X: 1"] * 101)).status == 431


@pytest.mark.parametrize(
    "target",
    [
        b"/%7Euser/./a/../b//c?x=%20&y=%zz;~|{}",
        b"/a;b=c,d",
        b"/?",
        b"/a??b",
        b"//double",
        b"/a%00b",
        b"/'()*!",
        b"/a?b=http://c/d?e",
        b'/"<>^`\\',
    ],
)
def test_the_target_travels_byte_for_byte(world: World, target: bytes) -> None:
    """RFC 9112 section 3.2, RFC 9110 section 7.7: MUST NOT modify path and query of what is forwarded."""
    assert world.sent(get(start=b"GET " + target + b" HTTP/1.1")).start == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize(
    "target", [b"/a#b", b"/#", b"/a?b#c", b"http://app.test/a#b", b"a", b"?a", b"*", b"app.test:80"]
)
def test_a_target_of_no_form_is_400(world: World, target: bytes) -> None:
    """RFC 9112 section 3.2: origin-form, absolute-form, or * with OPTIONS; none of them has a fragment."""
    assert world.refused(get(start=b"GET " + target + b" HTTP/1.1")).status == 400


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\t", b"\x7f", b"\x80", b"\xff", "ä".encode()])
def test_a_target_is_visible_ascii(world: World, byte: bytes) -> None:
    """RFC 9112 section 3.2, RFC 3986 section 2: nothing else is in a URI, and readers would differ on it."""
    assert world.refused(get(start=b"GET /a" + byte + b"b HTTP/1.1")).status == 400


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Host: app.test", b"Host: app.test"],
        [b"Host: app.test", b"host: other.test"],
        [b"Host: app.test, other.test"],
        [b"Host:"],
        [b"Host: app.test/a"],
        [b"Host: user@app.test"],
        [b"Host: app.test:80x"],
        [b"Host: app test"],
        [b"Host: [::1"],
        [b"Host: app.test:80:80"],
        [b"Host: a\x80b"],
        [b"Host: http://app.test"],
    ],
)
def test_not_exactly_one_valid_host_is_400(world: World, lines: list[bytes]) -> None:
    """RFC 9112 section 3.2: MUST answer 400 to an HTTP/1.1 request without Host, with two, or with an invalid one."""
    assert world.refused(get(*lines, host=b"")).status == 400


def test_http_1_0_needs_no_host(world: World) -> None:
    """RFC 9112 section 3.2: the rule is of HTTP/1.1."""
    with world.caller() as caller:
        caller.send(b"GET /nowhere HTTP/1.0\r\n\r\n")
        assert caller.message().status == 404


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/1.2"])
def test_another_version_is_505(world: World, version: bytes) -> None:
    """RFC 9110 section 15.6.6: not supported, or refused, is 505; 1.2 SHOULD be read as 1.1, but nobody sends it."""
    answer = world.refused(get(start=b"GET /a " + version))
    assert (answer.status, b'"version_not_supported"' in answer.body) == (505, True)


def test_the_preface_of_http_2_is_505(world: World) -> None:
    """RFC 9113 section 3.4: it is made so that servers of HTTP/1.1 refuse it as a request."""
    assert world.refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 505


@pytest.mark.parametrize("line", [b"X : 1", b"X\t: 1", b"Host : app.test", b"Content-Length : 1", b" X: 1", b"\tX: 1"])
def test_white_space_around_a_field_name_is_400(world: World, line: bytes) -> None:
    """RFC 9112 section 5.1: a server MUST refuse white space between name and colon with 400."""
    assert world.refused(get(line)).status == 400


@pytest.mark.parametrize(
    "line", [b": 1", b"X", b"X(: 1", b"X\x00: 1", b"X\x80: 1", b'"X": 1', b"X\x7f: 1", b"X,Y: 1", b"X Y: 1"]
)
def test_a_field_name_is_a_token(world: World, line: bytes) -> None:
    """RFC 9110 section 5.1, RFC 9112 section 5: a name is a token and a colon follows it."""
    assert world.refused(get(line)).status == 400


@pytest.mark.parametrize("fold", [b"X: 1\r\n 2", b"X: 1\r\n\t2", b"X: 1\r\n ", b"X:\r\n 1"])
def test_a_folded_line_in_a_request_is_400(world: World, fold: bytes) -> None:
    """RFC 9112 section 5.2: a server MUST refuse obs-fold with 400, or replace it."""
    assert world.refused(get(fold)).status == 400


@pytest.mark.parametrize("value", [b"a\x00b", b"a\nb", b"\x00", b"a\r\n\x00"])
def test_nul_cr_and_lf_in_a_value_are_refused(world: World, value: bytes) -> None:
    """RFC 9110 section 5.5: dangerous; MUST be refused or replaced before anything is forwarded."""
    assert world.refused(get(b"X: " + value)).status == 400


def test_a_control_character_in_a_value_is_refused(world: World) -> None:
    """RFC 9110 section 5.5: invalid; they MAY be kept, but nobody needs them."""
    for control in (b"\x01", b"\x08", b"\x0b", b"\x1b", b"\x7f"):
        assert world.refused(get(b"X: a" + control + b"b")).status == 400


def test_surrounding_white_space_is_no_part_of_a_value(world: World) -> None:
    """RFC 9112 section 5.1: OWS around a value is excluded from it; inside it stays."""
    assert world.sent(get(b"X: \t a \t b\t ")).get(b"x") == b"a \t b"
    assert world.sent(get(b"X:a")).get(b"x") == b"a"
    assert world.sent(get(b"X:")).get(b"x") == b""


# Framing.


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        [b"transfer-encoding: gzip, chunked", b"content-length: 5"],
    ],
)
def test_two_framings_are_400(world: World, lines: list[bytes]) -> None:
    """RFC 9112 section 6.1, 6.3: ought to be handled as an error: the mark of a smuggled request."""
    assert world.refused(get(*lines, body=b"0\r\n\r\n")).status == 400


def test_a_transfer_coding_in_http_1_0_is_400(world: World) -> None:
    """RFC 9112 section 6.1: the framing MUST be treated as faulty, even with a Content-Length."""
    start = b"POST /a HTTP/1.0"
    assert world.refused(get(b"Transfer-Encoding: chunked", start=start, body=b"0\r\n\r\n")).status == 400


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"gzip, chunked", 501),
        (b"gzip", 501),
        (b"identity", 501),
        (b"x-custom", 501),
        (b"xchunked", 501),
        (b"chunked, gzip", 400),
        (b"chunked, chunked", 400),
        (b"chunked, identity", 400),
        (b"", 400),
        (b",chunked", 400),
        (b"chunked,", 400),
        (b'"chunked"', 400),
        (b"chunked\x0b", 400),
        (b"\x0bchunked", 400),
        (b"chun ked", 400),
        (b"chunked;q=1", 400),
    ],
)
def test_a_coding_that_is_not_chunked_alone_is_refused(world: World, coding: bytes, status: int) -> None:
    """RFC 9112 section 6.1, 6.3 rule 4: unknown codings SHOULD be 501; not ending in one chunked MUST be 400."""
    answer = world.refused(get(b"Transfer-Encoding: " + coding, start=b"POST /a HTTP/1.1", body=b"0\r\n\r\n"))
    assert answer.status == status


def test_a_coding_in_two_lines_is_a_list(world: World) -> None:
    """RFC 9112 section 6.1, RFC 9110 section 5.3: chunked twice is chunked applied twice, which MUST NOT be."""
    lines = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"]
    assert world.refused(get(*lines, start=b"POST /a HTTP/1.1", body=b"0\r\n\r\n")).status == 400


def test_the_name_of_a_coding_has_no_case(world: World) -> None:
    """RFC 9112 section 7: all transfer-coding names are case-insensitive."""
    seen = world.sent(get(b"Transfer-Encoding: CHUNKED", start=b"POST /a HTTP/1.1", body=b"1\r\na\r\n0\r\n\r\n"))
    assert (seen.body, seen.all(b"transfer-encoding")) == (b"a", [b"chunked"])


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -5"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5 5"],
        [b"Content-Length: 5a"],
        [b"Content-Length: 5.0"],
        [b"Content-Length:"],
        [b"Content-Length: 18446744073709551621"],
        [b"Content-Length: \xd9\xa5"],
        [b"Content-Length: 1_0"],
        [b'Content-Length: "5"'],
    ],
)
def test_a_length_that_is_not_one_number_is_400(world: World, lines: list[bytes]) -> None:
    """RFC 9112 section 6.3 rule 5, RFC 9110 section 8.6: MUST be 400; a repeated value MAY be refused as well."""
    assert world.refused(get(*lines, start=b"POST /a HTTP/1.1", body=b"hello")).status == 400


def test_a_length_has_one_spelling_upstream(world: World) -> None:
    """RFC 9110 section 8.6: leading zeros are digits, and octal to somebody: they do not travel."""
    seen = world.sent(get(b"Content-Length: 005", start=b"POST /a HTTP/1.1", body=b"hello"))
    assert (seen.get(b"content-length"), seen.body) == (b"5", b"hello")


def test_without_length_and_coding_there_is_no_body(world: World) -> None:
    """RFC 9112 section 6.3 rule 7: and nothing is added that speaks of one."""
    seen = world.sent(get(start=b"POST /a HTTP/1.1"))
    assert (seen.get(b"content-length"), seen.get(b"transfer-encoding")) == (None, None)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
def test_a_body_is_framed_the_same_under_every_method(world: World, method: bytes) -> None:
    """RFC 9112 section 6: a body is signalled by its framing alone, not by the method."""
    seen = world.sent(get(b"Content-Length: 5", start=method + b" /a HTTP/1.1", body=b"hello"))
    assert seen.body == b"hello"


def test_what_follows_a_body_is_the_next_request(world: World) -> None:
    """RFC 9112 section 6.3, 9.3.2: exactly so many bytes are the body, and not one more."""
    first = get(b"Content-Length: 5", start=b"POST /one HTTP/1.1", body=b"hello")
    with world.caller() as caller:
        caller.send(first + get(start=b"GET /two HTTP/1.1"))
        for start, body in ((b"POST /one HTTP/1.1", b"hello"), (b"GET /two HTTP/1.1", b"")):
            with world.accept() as upstream:
                seen = upstream.message()
                assert (seen.start, seen.body) == (start, body)
                upstream.send(OK)
                assert caller.message().body == b"ok"


# Chunks.


def chunked(body: bytes, *lines: bytes, start: bytes = b"POST /a HTTP/1.1") -> bytes:
    """A POST whose chunked body is these bytes."""
    return get(b"Transfer-Encoding: chunked", *lines, start=start, body=body)


def test_unknown_chunk_extensions_are_ignored_and_end_here(world: World) -> None:
    """RFC 9112 section 7.1.1: MUST ignore unrecognised ones; they belong to the connection that they came on."""
    seen = world.sent(chunked(b'3;a=b;c="d;\\"e\\r\\n";f\r\nabc\r\n1 ; g = h\r\nd\r\n0;last\r\n\r\n'))
    assert seen.body == b"abcd"


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\rX\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5g\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5;\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        b"5;a=\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX: 1\r\n 2\r\n\r\n",
        b"0\r\nbad\r\n\r\n",
    ],
)
def test_a_malformed_chunked_body_is_400(world: World, body: bytes) -> None:
    """RFC 9112 section 7.1: no size, extension or trailer is read that the grammar does not have."""
    with world.caller() as caller:
        caller.send(chunked(body, start=b"POST /late/malformed HTTP/1.1"))
        answer = caller.message()
        assert (answer.status, answer.get(b"connection")) == (400, b"close")
        assert caller.at_end()
    assert not world.late.count("/late/malformed"), "it looks complete upstream"


@pytest.mark.parametrize("size", [b"ffffffffffffffff", b"8000000000000000", b"7fffffffffffffff"])
def test_a_chunk_size_that_overflows_is_no_surprise(world: World, size: bytes) -> None:
    """RFC 9112 section 7.1: MUST anticipate potentially large numerals, and lose no digit of them."""
    with world.caller() as caller:
        caller.send(chunked(size + b"\r\n" + b"a" * (1 << 20), start=b"POST /late/large HTTP/1.1"))
        caller.send(b"a")
        assert caller.message().status == 413
    assert not world.late.count("/late/large")
