"""RFC 9112: what an upstream's response must be, and how its body is framed on its way to the caller."""

import pytest
from rfc_world import Message, World, get, response


def unfit(answer: Message) -> bool:
    """Whether it is our own word for a response that cannot be trusted."""
    return answer.status == 502 and b'"malformed_response"' in answer.body


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 999 What",
        b"HTTP/1.1 099 What",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200\tOK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 200 O\x00K",
        b"ICY 200 OK",
        b"GET / HTTP/1.1",
    ],
)
def test_a_malformed_status_line_is_502(world: World, start: bytes) -> None:
    """RFC 9112 section 4: HTTP-version SP three digits SP text; nothing else starts a response."""
    assert unfit(world.got(response(b"Content-Length: 0", start=start), ends=True))


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 Fine \xfcber alles", b"HTTP/1.0 200 OK"]
)
def test_the_reason_phrase_is_not_read(world: World, start: bytes) -> None:
    """RFC 9112 section 4: a client SHOULD ignore it; ours is the standard one, and the version our own."""
    assert world.got(response(b"Content-Length: 0", start=start), ends=True).start == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "line",
    [
        b"X : 1",
        b"X\t: 1",
        b"X",
        b": 1",
        b"X: 1\r\n 2",
        b"X: 1\r\n\t2",
        b"X: a\x00b",
        b"X: a\rb",
        b"X: 1\nY: 2",
        b"X\x80: 1",
    ],
)
def test_a_malformed_field_line_is_502(world: World, line: bytes) -> None:
    """RFC 9112 section 5: a proxy MUST remove white space before a colon, and replace obs-fold or answer 502."""
    assert unfit(world.got(response(line, b"Content-Length: 0")))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5, 6"],
        [b"Content-Length: -5"],
        [b"Content-Length: +5"],
        [b"Content-Length: 5x"],
        [b"Content-Length:"],
        [b"Content-Length: 99999999999999999999"],
    ],
)
def test_an_invalid_length_is_502(world: World, lines: list[bytes]) -> None:
    """RFC 9112 section 6.3 rule 5: a proxy MUST close to the server, discard the response and send 502."""
    assert unfit(world.got(response(*lines, body=b"hello")))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: \x0bchunked"],
    ],
)
def test_an_ambiguous_coding_is_502(world: World, lines: list[bytes]) -> None:
    """RFC 9112 section 6.1, 6.3 rule 3: two framings are an error; no coding but chunked was asked for (TE)."""
    assert unfit(world.got(response(*lines, body=b"5\r\nhello\r\n0\r\n\r\n")))


def test_chunks_are_taken_apart_and_made_anew(world: World) -> None:
    """RFC 9112 section 7.1: the payload passes; extensions and chunk borders are of one connection."""
    answer = world.got(response(b"Transfer-Encoding: chunked", body=b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"))
    assert (answer.status, answer.body) == (200, b"hello")


def test_a_body_that_ends_with_the_connection_passes(world: World) -> None:
    """RFC 9112 section 6.3 rule 8: neither length nor coding: all that comes until the end."""
    answer = world.got(response(b"Connection: close", body=b"hello"), ends=True)
    assert (answer.status, answer.body) == (200, b"hello")
    assert world.got(response(start=b"HTTP/1.0 200 OK", body=b"hello"), ends=True).body == b"hello"


CUT_EARLY = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    response(b"Content-Length: 5", body=b"hell"),
]
CUT_LATE = [
    response(b"Transfer-Encoding: chunked", body=b"5\r\nhell"),
    response(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    response(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
]


@pytest.mark.parametrize("data", CUT_EARLY)
def test_a_response_cut_off_before_anything_was_passed_on_is_502(world: World, data: bytes) -> None:
    """RFC 9112 section 8: it is incomplete if fewer bytes than promised came; a short one is collected first."""
    answer = world.got(data, get(start=b"POST /a HTTP/1.1"), ends=True)
    assert (answer.status, b'"reset"' in answer.body) == (502, True)


@pytest.mark.parametrize("data", CUT_LATE)
def test_a_response_cut_off_later_is_never_made_to_look_complete(world: World, data: bytes) -> None:
    """RFC 9112 section 8: its chunked body must not get the end that never came."""
    with world.caller() as caller:
        caller.send(get())
        with world.accept() as upstream:
            upstream.message()
            upstream.send(data)
            assert caller.head().status == 200
        try:
            end = caller.rest()
        except ConnectionResetError:
            end = b""
    assert not end.endswith(b"0\r\n\r\n")


def test_what_follows_a_response_is_nobodys(world: World) -> None:
    """RFC 9112 section 9.2: bytes after the last response asked for MUST NOT be taken for another's."""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    with world.caller() as caller:
        caller.send(get(start=b"GET /pooled/a HTTP/1.1"))
        with world.accept() as upstream:
            upstream.message()
            upstream.send(response(b"Content-Length: 4", body=b"good") + extra)
            assert caller.message().body == b"good"
        caller.send(get(start=b"GET /pooled/b HTTP/1.1"))
        with world.accept() as upstream:  # a new one: the other is poisoned
            assert upstream.message().start == b"GET /pooled/b HTTP/1.1"
            upstream.send(response(b"Content-Length: 2", b"Connection: close", body=b"ok"))
            assert caller.message().body == b"ok"


# Without a body.


@pytest.mark.parametrize("length", [b"Content-Length: 12", b"Transfer-Encoding: chunked"])
def test_an_answer_to_head_has_no_body(world: World, length: bytes) -> None:
    """RFC 9112 section 6.3 rule 1, RFC 9110 section 9.3.2: it ends with its head, whatever its fields say."""
    start = b"HEAD /a HTTP/1.1"
    with world.caller() as caller:
        for _ in range(2):
            caller.send(get(start=start))
            with world.accept() as upstream:
                assert upstream.message().start == start
                upstream.send(response(length))
                answer = caller.message(to=b"HEAD")
                assert answer.status == 200
                assert answer.get(b"content-length") == (b"12" if b"12" in length else None)
        assert caller.is_silent()


def test_304_keeps_its_length(world: World) -> None:
    """RFC 9110 section 8.6, 15.4.5: it says what a 200 would have had; no body follows it."""
    with world.caller() as caller:
        caller.send(get() * 2)
        for _ in range(2):
            with world.accept() as upstream:
                upstream.message()
                upstream.send(response(b"ETag: x", b"Content-Length: 12", start=b"HTTP/1.1 304 Not Modified"))
                answer = caller.message()
                assert (answer.status, answer.get(b"content-length"), answer.get(b"etag")) == (304, b"12", b"x")
        assert caller.is_silent()


@pytest.mark.parametrize("framing", [b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_204_has_neither_body_nor_length(world: World, framing: bytes) -> None:
    """RFC 9112 section 6.1, RFC 9110 section 8.6: MUST NOT send Transfer-Encoding or Content-Length in a 204."""
    answer = world.got(response(framing, b"X: 1", start=b"HTTP/1.1 204 No Content"))
    assert (answer.get(b"content-length"), answer.get(b"transfer-encoding"), answer.get(b"x")) == (None, None, b"1")


def test_205_is_framed_like_any_other(world: World) -> None:
    """RFC 9110 section 15.3.6: the server must say that nothing follows; so we read on as its framing says."""
    answer = world.got(response(b"Content-Length: 0", start=b"HTTP/1.1 205 Reset Content"))
    assert (answer.status, answer.get(b"content-length"), answer.body) == (205, b"0", b"")
    answer = world.got(response(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 205 Reset Content", body=b"0\r\n\r\n"))
    assert (answer.status, answer.body) == (205, b"")


# To callers of HTTP/1.0.


def test_no_transfer_coding_to_http_1_0(world: World) -> None:
    """RFC 9112 section 6.1: MUST NOT send a transfer coding unless the request indicates HTTP/1.1."""
    large = b"a" * 100_000
    with world.caller() as caller:
        caller.send(get(b"Connection: keep-alive", start=b"GET /a HTTP/1.0"))
        with world.accept() as upstream:
            upstream.message()
            upstream.send(response(b"Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)))
            answer = caller.message()
            assert answer.get(b"transfer-encoding") is None
            assert (answer.get(b"content-length"), answer.get(b"connection")) == (None, b"close")
            assert answer.body == large


def test_requests_go_on_in_our_own_version(world: World) -> None:
    """RFC 9110 section 2.5, 6.2: an intermediary sends its own version, up and down."""
    seen, answer = world.ask(get(start=b"GET /a HTTP/1.0"))
    assert (seen.start, answer.start) == (b"GET /a HTTP/1.1", b"HTTP/1.1 200 OK")
