"""RFC 9110: trailers, expectations, interim responses, dates, and what methods and statuses ask of a gateway."""

import re

import pytest
from rfc_world import OK, Message, World, get, response

TRAILED = response(
    b"Transfer-Encoding: chunked", b"Trailer: X-Sum", body=b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
)
SUMS = [(b"X-Sum", b"1"), (b"x-sum", b"2")]
CHUNKED = b"Transfer-Encoding: chunked"


def post(body: bytes, *lines: bytes, path: bytes = b"/a") -> bytes:
    """A POST whose chunked body is these bytes."""
    return get(CHUNKED, *lines, start=b"POST " + path + b" HTTP/1.1", body=body)


# Trailers.


def test_te_trailers_goes_on_with_its_connection_option(world: World) -> None:
    """RFC 9110 section 10.1.4: a sender of TE MUST list it in Connection; no other coding is asked for."""
    for line in (b"TE: trailers", b"TE: gzip;q=0.5, Trailers", b"te:trailers , deflate"):
        seen = world.sent(get(line, b"Connection: TE"))
        assert (seen.get(b"te"), seen.get(b"connection")) == (b"trailers", b"TE")


@pytest.mark.parametrize("line", [b"TE: gzip", b"TE:", b"TE: trailersx", b"TE: x-trailers", b"TE: deflate;q=0.5"])
def test_other_te_ends_here(world: World, line: bytes) -> None:
    """RFC 9110 section 10.1.4: TE is of one connection, and we understand no coding but chunked."""
    seen = world.sent(get(line, b"Connection: TE"))
    assert (seen.get(b"te"), seen.get(b"connection")) == (None, None)


@pytest.mark.parametrize("path", [b"/a", b"/expected/a"])
def test_trailers_come_down_to_whoever_takes_them(world: World, path: bytes) -> None:
    """RFC 9110 section 6.5.1: in order and case, after the body, also where all of it was looked at first."""
    answer = world.got(TRAILED, get(b"TE: trailers", b"Connection: TE", start=b"GET %b HTTP/1.1" % path))
    assert (answer.body, answer.trailers) == (b"ok", SUMS)
    assert answer.get(b"trailer") == b"X-Sum"


@pytest.mark.parametrize("path", [b"/a", b"/expected/a"])
def test_trailers_are_dropped_for_whoever_does_not(world: World, path: bytes) -> None:
    """RFC 9110 section 6.5.1, 6.5.2: they are lost, and MUST NOT become header fields instead."""
    answer = world.got(TRAILED, get(start=b"GET %b HTTP/1.1" % path))
    assert (answer.body, answer.trailers, answer.get(b"x-sum")) == (b"ok", [], None)


def test_trailers_are_nothing_to_an_http_1_0_caller(world: World) -> None:
    """RFC 9110 section 6.5: they need chunks; so they are not even asked for."""
    seen, answer = world.ask(get(b"TE: trailers", start=b"GET /a HTTP/1.0"), TRAILED)
    assert seen.get(b"te") is None
    assert (answer.body, answer.get(b"x-sum")) == (b"ok", None)


def test_trailers_of_a_request_go_up(world: World) -> None:
    """RFC 9110 section 6.5: in order and case, with the Trailer field that announces them."""
    seen = world.sent(post(b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n", b"Trailer: X-Sum"))
    assert (seen.body, seen.trailers, seen.get(b"trailer")) == (b"ok", SUMS, b"X-Sum")


FORBIDDEN = [
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Host: other.test",
    b"Authorization: Basic eDp5",
    b"Content-Type: text/plain",
    b"Content-Encoding: gzip",
    b"Content-Range: bytes 0-1/2",
    b"Cookie: a=1",
    b"Set-Cookie: a=1",
    b"Connection: close",
    b"Trailer: X",
    b"TE: trailers",
    b"Max-Forwards: 0",
    b"Expect: 100-continue",
]


@pytest.mark.parametrize("line", FORBIDDEN)
def test_a_request_trailer_that_belongs_before_the_body_is_400(world: World, line: bytes) -> None:
    """RFC 9110 section 6.5.1: framing, routing, authentication and content format MUST NOT be sent so."""
    with world.caller() as caller:
        caller.send(post(b"2\r\nok\r\n0\r\n" + line + b"\r\n\r\n", path=b"/late/trailer"))
        assert caller.message().status == 400
    assert not world.late.count("/late/trailer")


@pytest.mark.parametrize("line", FORBIDDEN)
def test_a_response_trailer_that_belongs_before_the_body_is_dropped(world: World, line: bytes) -> None:
    """RFC 9110 section 6.5.1: nobody can be misled by what nobody gets; the answer and its other trailers are good."""
    body = b"2\r\nok\r\n0\r\nX-Sum: 1\r\n" + line + b"\r\nx-sum: 2\r\n\r\n"
    answer = world.got(response(CHUNKED, body=body), get(b"TE: trailers"))
    assert (answer.body, answer.trailers) == (b"ok", SUMS)


def test_trailers_are_no_way_round_the_rules_for_headers(world: World) -> None:
    """RFC 9110 section 7.6.1: `Connection` names trailers too. And what a header may not say, a trailer may not."""
    listed = b"0\r\nX-Hop: 1\r\nX-Sum: 1\r\nx-sum: 2\r\nVia: 1.1 x\r\nX-Request-Id: x\r\n\r\n"
    seen = world.sent(post(b"2\r\nok\r\n" + listed, b"Connection: X-Hop"))
    assert seen.trailers == SUMS
    down = b"0\r\nX-Hop: 1\r\nX-Sum: 1\r\nx-sum: 2\r\nX-Request-Id: x\r\n\r\n"
    answer = world.got(response(CHUNKED, b"Connection: X-Hop", body=b"2\r\nok\r\n" + down), get(b"TE: trailers"))
    assert answer.trailers == SUMS
    private = b"0\r\nX-Private: 1\r\nX-Team: evil\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
    seen = world.sent(post(b"2\r\nok\r\n" + private, path=b"/based/a"))
    assert (seen.trailers, seen.get(b"x-team")) == (SUMS, b"app")


# Expectations and interim responses.


def test_expect_100_continue_is_met_here(world: World) -> None:
    """RFC 9110 section 10.1.1: the server's part: 100 before the body is sent, then the final response."""
    with world.caller() as caller:
        caller.send(get(b"Content-Length: 5", b"Expect: 100-Continue", start=b"POST /a HTTP/1.1"))
        assert caller.message().start == b"HTTP/1.1 100 Continue"
        caller.send(b"hello")
        with world.accept() as upstream:
            seen = upstream.message()
            assert (seen.body, seen.get(b"expect")) == (b"hello", None)
            upstream.send(OK)
        assert caller.message().status == 200


def test_a_refusal_needs_no_body_first(world: World) -> None:
    """RFC 9110 section 10.1.1: a final status instead of 100, where the head alone decides it."""
    with world.caller() as caller:
        caller.send(
            get(b"Content-Length: 5", b"Expect: 100-continue", start=b"POST /a HTTP/1.1", host=b"Host: no.test")
        )
        answer = caller.message()
        assert (answer.status, answer.get(b"connection")) == (404, b"close")
        assert caller.at_end()


def test_no_100_without_a_body_to_come(world: World) -> None:
    """RFC 9110 section 10.1.1: MAY be left out when some of the body is here; without one there is nothing to ask."""
    assert world.got(OK, get(b"Expect: 100-continue")).status == 200
    assert world.got(OK, get(b"Expect: 100-continue", b"Content-Length: 0", start=b"POST /a HTTP/1.1")).status == 200


def test_expect_is_ignored_in_http_1_0(world: World) -> None:
    """RFC 9110 section 10.1.1: a server MUST ignore a 100-continue in an HTTP/1.0 request."""
    start = b"POST /a HTTP/1.0"
    request = get(b"Content-Length: 5", b"Expect: 100-continue", start=start, body=b"hello")
    assert world.got(OK, request).start == b"HTTP/1.1 200 OK"


def test_another_expectation_is_for_the_upstream_to_meet(world: World) -> None:
    """RFC 9110 section 10.1.1: 417 is a MAY: what we do not know goes on, without the part that we met."""
    lines = [b"Expect: 100-continue, x=1", b"Content-Length: 2"]
    with world.caller() as caller:
        caller.send(get(*lines, start=b"POST /a HTTP/1.1"))
        assert caller.message().status == 100
        caller.send(b"ok")
        with world.accept() as upstream:
            assert upstream.message().get(b"expect") == b"x=1"
            upstream.send(response(b"Content-Length: 0", start=b"HTTP/1.1 417 No"))
        assert caller.message().status == 417
    assert world.sent(get(b"Expect: x")).get(b"expect") == b"x"


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Early: 1\r\n\r\n"


@pytest.mark.parametrize("start", [b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 102 Processing", b"HTTP/1.1 199 What"])
def test_interim_responses_pass(world: World, start: bytes) -> None:
    """RFC 9110 section 15.2: a proxy MUST forward 1xx responses that it did not ask for itself."""
    with world.caller() as caller:
        caller.send(get())
        with world.accept() as upstream:
            upstream.message()
            upstream.send(start + b"\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n" + EARLY)
            interim = caller.head()  # before the final one is even written
            assert interim.start.split(b" ")[1] == start.split(b" ")[1]
            assert interim.fields == [(b"Link", b"</a>")]
            assert caller.head().get(b"x-early") == b"1"
            upstream.send(OK)
        assert caller.message().status == 200


def test_interim_responses_are_not_for_http_1_0(world: World) -> None:
    """RFC 9110 section 15.2: MUST NOT be sent to an HTTP/1.0 client."""
    answer = world.got(EARLY + OK, get(start=b"GET /a HTTP/1.0"))
    assert (answer.status, answer.body) == (200, b"ok")


def test_a_100_of_the_upstream_is_ours(world: World) -> None:
    """RFC 9110 section 15.2.1: it only asks for the body, which it gets anyway; our caller was asked by us."""
    request = get(b"Content-Length: 2", start=b"POST /a HTTP/1.1", body=b"ok")
    assert world.got(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, request).status == 200


def test_a_flood_of_interim_responses_is_502(world: World) -> None:
    """RFC 9110 section 15.2: one or more may come, but not without end."""
    with world.caller() as caller:
        caller.send(get())
        with world.accept() as upstream:
            upstream.message()
            upstream.send(EARLY * 50 + OK)
            heads: list[Message] = []
            while not heads or heads[-1].status < 200:
                heads.append(caller.message())
    assert heads[-1].status == 502
    assert len(heads) < 12


@pytest.mark.parametrize("framing", [b"Content-Length: 5", CHUNKED])
def test_an_interim_response_cannot_have_a_body(world: World, framing: bytes) -> None:
    """RFC 9110 section 15.2, 8.6: it ends with its head; a length in it is wrong and does not pass."""
    with world.caller() as caller:
        caller.send(get())
        with world.accept() as upstream:
            upstream.message()
            upstream.send(b"HTTP/1.1 103 Early\r\n" + framing + b"\r\nX: 1\r\n\r\n" + OK)
        assert caller.head().fields == [(b"X", b"1")]
        assert caller.message().body == b"ok"


def test_a_101_that_nobody_asked_for_is_502(world: World) -> None:
    """RFC 9110 section 7.8: a server MUST NOT switch to a protocol that was not asked for."""
    switching = response(b"Upgrade: websocket", b"Connection: Upgrade", start=b"HTTP/1.1 101 Switching Protocols")
    assert world.got(switching).status == 502


def test_upgrade_is_ignored_in_http_1_0(world: World) -> None:
    """RFC 9110 section 7.8: a server that gets Upgrade in an HTTP/1.0 request MUST ignore it."""
    lines = [b"Connection: Upgrade", b"Upgrade: websocket"]
    seen = world.sent(get(*lines, start=b"GET /a HTTP/1.0"))
    assert (seen.get(b"upgrade"), seen.get(b"connection")) == (None, None)


# Methods and dates.


@pytest.mark.parametrize("method", [b"PATCH", b"PROPFIND", b"REPORT", b"QUERY", b"PURGE", b"TRACE", b"OPTIONS"])
def test_registered_methods_pass(world: World, method: bytes) -> None:
    """RFC 9110 section 9.1: what a method means is between caller and upstream."""
    assert world.sent(get(start=method + b" /a HTTP/1.1")).start == method + b" /a HTTP/1.1"


def test_trace_has_no_body(world: World) -> None:
    """RFC 9110 section 9.3.8: a client MUST NOT send content in a TRACE request, also where POST sent the same."""
    line = b"Content-Length: 5"
    for _ in range(3):
        assert world.sent(get(line, start=b"POST /a HTTP/1.1", body=b"hello")).body == b"hello"
        assert world.refused(get(line, start=b"TRACE /a HTTP/1.1", body=b"hello")).status == 400
    assert world.refused(get(CHUNKED, start=b"TRACE /a HTTP/1.1", body=b"0\r\n\r\n")).status == 400


def test_our_own_answers_to_head_have_no_body(world: World) -> None:
    """RFC 9110 section 9.3.2: MUST NOT send content in a response to HEAD, not even a refusal."""
    answer = world.answered(get(start=b"HEAD /a HTTP/1.1", host=b"Host: nobody.test"))
    assert (answer.status, int(answer.get(b"content-length") or 0) > 0) == (404, True)
    assert world.refused(get(b"X : 1", start=b"HEAD /a HTTP/1.1")).status == 400


DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] 20\d\d \d\d:\d\d:\d\d GMT")


def test_a_date_is_passed_as_it_is(world: World) -> None:
    """RFC 9110 section 6.6.1: it is the origin's, also when it looks wrong or old."""
    for value in (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"x"):
        assert world.got(response(b"date: " + value, b"Content-Length: 0")).all(b"date") == [value]


@pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
def test_a_response_without_a_date_gets_one(world: World, framing: bytes) -> None:
    """RFC 9110 section 6.6.1: a recipient with a clock MUST append it when it forwards the response."""
    body = b"ok" if b"Length" in framing else b"2\r\nok\r\n0\r\n\r\n"
    assert DATE.fullmatch(world.got(response(framing, body=body)).get(b"date") or b"")


def test_our_own_answers_have_a_date(world: World) -> None:
    """RFC 9110 section 6.6.1: an origin server with a clock MUST send it in 2xx, 3xx and 4xx responses."""
    for answer in (
        world.refused(get(b"X : 1")),
        world.answered(get(host=b"Host: nobody.test")),
        world.answered(get(b"Max-Forwards: 0", start=b"OPTIONS /a HTTP/1.1")),
    ):
        assert DATE.fullmatch(answer.get(b"date") or b"")
