"""RFC 9110 section 7: what an intermediary removes, adds and leaves alone."""

import re

import pytest
from rfc_world import OK, Message, World, get, response

OURS = {b"via", b"x-request-id", b"traceparent", b"x-sidecar-attempt", b"x-envoy-expected-rq-timeout-ms"}
"""What every request gets on its way (the sidecar's own promises)."""


def theirs(seen: Message) -> list[tuple[bytes, bytes]]:
    """The caller's own fields, as they came upstream."""
    return [pair for pair in seen.fields if pair[0].lower() not in OURS | {b"host"}]


HOP_BY_HOP = [
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"TE: gzip",
    b"Upgrade: x",
]


@pytest.mark.parametrize("line", HOP_BY_HOP)
def test_fields_of_one_connection_do_not_go_up(world: World, line: bytes) -> None:
    """RFC 9110 section 7.6.1, 11.7.2: SHOULD remove these even where `Connection` does not list them."""
    assert theirs(world.sent(get(line, b"X-Kept: 1"))) == [(b"X-Kept", b"1")]


def test_credentials_for_a_proxy_behind_us_go_up(world: World) -> None:
    """RFC 9110 section 11.7.2: consumed by the first proxy that expects them, which a gateway with no lock does not."""
    line = (b"Proxy-Authorization", b"Basic eDp5")
    assert theirs(world.sent(get(b": ".join(line)))) == [line]
    assert theirs(world.sent(get(b": ".join(line), b"Connection: Proxy-Authorization"))) == []


@pytest.mark.parametrize("line", HOP_BY_HOP)
def test_fields_of_one_connection_do_not_come_down(world: World, line: bytes) -> None:
    """RFC 9110 section 7.6.1: the same for responses."""
    answer = world.got(response(line, b"X-Kept: 1", b"Content-Length: 0"))
    assert answer.get(line.partition(b":")[0]) is None
    assert answer.get(b"x-kept") == b"1"


def test_what_connection_lists_does_not_go_up(world: World) -> None:
    """RFC 9110 section 7.6.1: MUST remove each field that it names, in any case, from every line, and itself."""
    lines = [
        b"Connection: X-One, x-two",
        b"x-one: 1",
        b"X-Two: 2",
        b"x-ONE: 3",
        b"connection: , X-Three ,",
        b"X-Three: 4",
    ]
    assert theirs(world.sent(get(*lines, b"X-Four: 5"))) == [(b"X-Four", b"5")]


def test_what_connection_lists_does_not_come_down(world: World) -> None:
    """RFC 9110 section 7.6.1: the same for responses."""
    lines = [b"Connection: X-One, close", b"X-One: 1", b"X-Two: 2", b"Content-Length: 0"]
    answer = world.got(response(*lines))
    assert (answer.get(b"x-one"), answer.get(b"x-two")) == (None, b"2")


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"Via", b"Max-Forwards"])
def test_connection_cannot_take_away_what_a_message_needs(world: World, name: bytes) -> None:
    """RFC 9110 section 7.6.1: MUST NOT list fields meant for everybody; so nobody can be led round or misled so."""
    lines = [b"Connection: " + name, b"Content-Length: 5", b"Via: 1.1 a", b"Max-Forwards: 5"]
    seen = world.sent(get(*lines, start=b"OPTIONS /a HTTP/1.1", body=b"hello"))
    assert seen.body == b"hello"
    assert (seen.get(b"via") or b"").startswith(b"1.1 a, 1.1 sidecar-")
    assert seen.get(b"max-forwards") == b"4"
    assert seen.get(b"host") is not None


def test_connection_takes_away_what_we_would_have_read(world: World) -> None:
    """RFC 9110 section 7.6.1: a listed field is not ours to use for the next hop either."""
    seen = world.sent(get(b"Connection: X-Request-Id", b"X-Request-Id: theirs"))
    assert seen.get(b"x-request-id") != b"theirs"


def test_connection_cannot_hide_a_body_in_an_answer(world: World) -> None:
    """RFC 9110 section 7.6.1: framing is ours to say, whatever it lists."""
    answer = world.got(response(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"))
    assert (answer.get(b"content-length"), answer.body) == (b"5", b"hello")


# Via.


def test_via_names_us_to_the_upstream(world: World) -> None:
    """RFC 9110 section 7.6.3: MUST append the version that was received and a name, here a pseudonym."""
    value = world.sent(get()).get(b"via") or b""
    assert re.fullmatch(rb"1\.1 sidecar-[0-9a-f]{8}", value)
    assert world.sent(get(start=b"GET /a HTTP/1.0")).get(b"via") == value.replace(b"1.1 ", b"1.0 ")


def test_via_is_appended_to(world: World) -> None:
    """RFC 9110 section 7.6.3: entries are in the order of the hops, none is taken out or merged."""
    value = world.sent(get(b"Via: 1.0 fred", b"X: 1", b"via: 1.1 p.example.net (Apache/1.1), HTTP/2 a:80")).get(b"via")
    assert (value or b"").startswith(b"1.0 fred, 1.1 p.example.net (Apache/1.1), HTTP/2 a:80, 1.1 sidecar-")


def test_responses_get_no_via(world: World) -> None:
    """RFC 9110 section 7.6.3: a gateway MAY leave it out of responses; what upstreams say of their own passes."""
    assert world.got(OK).get(b"via") is None
    assert world.got(response(b"Via: 1.1 cdn", b"Content-Length: 0")).all(b"via") == [b"1.1 cdn"]


def test_a_loop_is_refused_where_it_closes(world: World) -> None:
    """RFC 9110 section 7.6.3, RFC 9209 section 2.3.18: an infinite loop is found by one's own name in Via."""
    before = world.sidecar.metric('sidecar_refused_total{route="round",reason="loop_detected"}')
    answer = world.answered(get(start=b"GET /round/a HTTP/1.1", host=b"Host: round.test"))
    assert (answer.status, b'"loop_detected"' in answer.body) == (502, True)
    assert answer.get(b"proxy-status") == b'sidecar; error=proxy_loop_detected; details="loop_detected"'
    after = world.sidecar.metric('sidecar_refused_total{route="round",reason="loop_detected"}')
    assert after - before == 1


def test_a_loop_on_a_critical_route_fails_closed(world: World) -> None:
    """RFC 9110 section 7.6.3: the status is the one that such a route always has."""
    answer = world.answered(get(start=b"GET /round-critical/a HTTP/1.1", host=b"Host: round.test"))
    assert answer.status == 503


@pytest.mark.parametrize("before", [b"1.1 sidecar", b"1.1 sidecar-00000000", b"1.1 a (%b)", b"%b", b"1.1 x%b"])
def test_another_name_is_no_loop(world: World, before: bytes) -> None:
    """RFC 9110 section 7.6.3: only the received-by of a hop is its name, and other sidecars have others."""
    own = (world.sent(get()).get(b"via") or b"").partition(b" ")[2]
    value = before % own if b"%b" in before else before
    assert (world.sent(get(b"Via: " + value)).get(b"via") or b"").startswith(value)


def test_our_own_name_is_a_loop_wherever_it_stands(world: World) -> None:
    """RFC 9110 section 7.6.3: with others before and after, in another line, in another case, over another version."""
    own = (world.sent(get()).get(b"via") or b"").partition(b" ")[2]
    for lines in (
        [b"Via: 1.1 " + own],
        [b"Via: 1.0 a, HTTP/1.1 " + own.upper() + b" (comment), 1.1 b"],
        [b"Via: 1.1 a", b"via:1.1\t" + own],
        [b"Connection: Via", b"Via: 1.1 " + own],
    ):
        assert world.answered(get(*lines)).status == 502


# Max-Forwards.


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
def test_a_hop_is_counted(world: World, method: bytes) -> None:
    """RFC 9110 section 7.6.2: MUST check and update it before forwarding: one less."""
    seen = world.sent(get(b"max-FORWARDS: 10", start=method + b" /a HTTP/1.1"))
    assert [pair for pair in seen.fields if pair[0].lower() == b"max-forwards"] == [(b"max-FORWARDS", b"9")]


def test_the_last_hop_of_options_is_answered_here(world: World) -> None:
    """RFC 9110 section 7.6.2, 9.3.7: at zero MUST NOT forward and MUST answer as the final recipient."""
    answer = world.answered(get(b"Max-Forwards: 0", start=b"OPTIONS /a HTTP/1.1"))
    assert (answer.status, answer.get(b"content-length"), answer.body) == (200, b"0", b"")
    assert b"OPTIONS" in (answer.get(b"allow") or b"").split(b", ")
    assert (
        world.answered(get(b"Max-Forwards: 0", start=b"OPTIONS /a HTTP/1.1", host=b"Host: nobody.test")).status == 200
    )


def test_a_body_that_nobody_gets_is_read_all_the_same(world: World) -> None:
    """RFC 9110 section 7.6.2, RFC 9112 section 6.3: what follows it on the connection is the next request."""
    last = get(b"Max-Forwards: 0", b"Content-Length: 5", start=b"OPTIONS /a HTTP/1.1", body=b"hello")
    with world.caller() as caller:
        caller.send(last + last)
        assert [caller.message().status, caller.message().status] == [200, 200]
        assert caller.is_silent()
    assert world.is_untouched()


def test_the_last_hop_of_trace_shows_the_request(world: World) -> None:
    """RFC 9110 section 9.3.8: the final recipient reflects the message, and MUST leave out what is sensitive."""
    secret = [b"Authorization: Basic eDp5", b"Cookie: a=1", b"Proxy-Authorization: Basic eDp5", b"X-Api-Key: k"]
    lines = [b"Max-Forwards: 0", b"X-Shown: 1", *secret, b"Via: 1.1 a"]
    answer = world.answered(get(*lines, start=b"TRACE /a?b=1 HTTP/1.1"))
    assert (answer.status, answer.get(b"content-type")) == (200, b"message/http")
    assert answer.body == (
        b"TRACE /a?b=1 HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 0\r\nX-Shown: 1\r\nVia: 1.1 a\r\n\r\n"
    )


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1, 2", b"0x1", b"1.0", b"9999999999"])
def test_what_is_no_count_of_hops_passes_as_it_is(world: World, value: bytes) -> None:
    """RFC 9110 section 7.6.2: the field is a number; what is none says nothing to us."""
    seen = world.sent(get(b"Max-Forwards: " + value, start=b"OPTIONS /a HTTP/1.1"))
    assert seen.get(b"max-forwards") == value


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"DELETE"])
def test_other_methods_are_not_counted(world: World, method: bytes) -> None:
    """RFC 9110 section 7.6.2: MAY be ignored with any other method, also where OPTIONS came with the same fields."""
    for _ in range(3):
        assert world.answered(get(b"Max-Forwards: 0", start=b"OPTIONS /a HTTP/1.1")).status == 200
        assert world.sent(get(b"Max-Forwards: 0", start=method + b" /a HTTP/1.1")).get(b"max-forwards") == b"0"
        assert world.sent(get(b"Max-Forwards: 3", start=method + b" /a HTTP/1.1")).get(b"max-forwards") == b"3"


# What is left alone.


def test_order_case_and_number_of_request_fields_stay(world: World) -> None:
    """RFC 9110 section 5.3: MUST NOT change the order of lines with the same name; we change none."""
    lines = [(b"X-B", b"1"), (b"x-a", b"2"), (b"X-b", b"3"), (b"ACCEPT", b"*/*"), (b"X-B", b"1"), (b"Empty", b"")]
    seen = world.sent(get(*[name + b": " + value for name, value in lines]))
    assert theirs(seen) == lines
    assert seen.fields[0][0] == b"Host"  # RFC 9110 section 7.2: SHOULD be the first


def test_order_case_and_number_of_response_fields_stay(world: World) -> None:
    """RFC 9110 section 5.3: `Set-Cookie` above all, whose lines cannot be joined."""
    lines = [b"X-B: 1", b"set-cookie: a=1", b"Set-Cookie: b=2", b"X-b: 3", b"set-cookie: a=1", b"Content-Length: 0"]
    answer = world.got(response(b"Date: Sun, 06 Nov 1994 08:49:37 GMT", *lines))
    got = [name + b": " + value for name, value in answer.fields]
    assert got[1:7] == lines


def test_obs_text_passes(world: World) -> None:
    """RFC 9110 section 5.5: bytes beyond ASCII are opaque data, both ways."""
    text = bytes(range(0x80, 0x100)) + "ü€".encode()
    seen, answer = world.ask(get(b"X: " + text), response(b"X: " + text, b"Content-Length: 0"))
    assert (seen.get(b"x"), answer.get(b"x")) == (text, text)


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Digest a=b",
        b"Accept-Encoding: br;q=1.0, *;q=0",
        b"Cache-Control: no-transform",
        b'If-None-Match: W/"x", *',
        b"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
        b"Range: bytes=0-4, -1",
        b'If-Range: "x"',
        b"Content-Encoding: gzip",
        b"Forwarded: for=192.0.2.60",
        b"X-Forwarded-For: 192.0.2.60",
        b"Cookie: a=1; b=2",
        b"Unknown-Field: , ,",
    ],
)
def test_end_to_end_fields_go_up_as_they_are(world: World, line: bytes) -> None:
    """RFC 9110 section 5.1, 7.7, 11.6.2: unknown fields MUST be forwarded, Authorization MUST NOT be modified."""
    assert theirs(world.sent(get(line))) == [tuple(line.split(b": ", 1))]


@pytest.mark.parametrize(
    "line",
    [
        b'WWW-Authenticate: Basic realm="x", Digest a=b',
        b"Content-Encoding: gzip",
        b"Content-Range: bytes 0-1/2",
        b"Cache-Control: no-transform",
        b'Warning: 214 - "x"',
        b"Server: one/1 two/2",
        b"Age: 5",
        b"Location: /relative?x#y",
        b"Retry-After: 120",
        b"Trailer: X",
        b"Unknown-Field: , ,",
    ],
)
def test_end_to_end_fields_come_down_as_they_are(world: World, line: bytes) -> None:
    """RFC 9110 section 7.7, 11.6.1: nothing is transformed, WWW-Authenticate MUST NOT be modified."""
    name, value = line.split(b": ", 1)
    assert world.got(response(line, b"Content-Length: 2", body=b"ok")).all(name) == [value]


def test_bodies_are_not_transformed(world: World) -> None:
    """RFC 9110 section 7.7: not a byte, either way."""
    body = bytes(range(256)) * 8
    request = get(b"Content-Length: %d" % len(body), start=b"PUT /a HTTP/1.1", body=body)
    seen, answer = world.ask(request, response(b"Content-Length: %d" % len(body), body=body))
    assert (seen.body, answer.body) == (body, body)


@pytest.mark.parametrize(
    "status", [200, 201, 206, 299, 301, 304, 399, 401, 404, 407, 416, 418, 426, 451, 499, 501, 505]
)
def test_any_status_passes(world: World, status: int) -> None:
    """RFC 9110 section 15: unknown ones too; a client reads them by their class."""
    assert world.got(response(b"Content-Length: 0", start=b"HTTP/1.1 %d What" % status)).status == status
