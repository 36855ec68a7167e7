"""RFC 9112 section 3.2: the forms of a target, and where a request goes by it. What a forward proxy's caller sends."""

import pytest
from rfc_world import World, get

ALLOW = b"OPTIONS"


def absolute(target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"Host: connect.example.com") -> bytes:
    """A request with a target in absolute-form."""
    return get(*lines, start=method + b" " + target + b" HTTP/1.1", host=host)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://connect.example.com/a?b=%20c", b"/a?b=%20c"),
        (b"http://connect.example.com", b"/"),
        (b"http://connect.example.com/", b"/"),
        (b"http://connect.example.com?b=1", b"/?b=1"),
        (b"http://connect.example.com:80/a", b"/a"),
        (b"http://connect.example.com:8443/a", b"/a"),
        (b"http://connect.example.com:/a", b"/a"),
        (b"HTTP://CONNECT.example.COM/A", b"/A"),
        (b"https://connect.example.com/a", b"/a"),
        (b"http://connect.example.com//a//", b"//a//"),
        (b"http://connect.example.com/http://other/", b"/http://other/"),
        (b"http://connect.example.com/a@b", b"/a@b"),
        (b"http://[::1]:8080/six", b"/six"),
    ],
)
def test_absolute_form_is_accepted_and_goes_on_as_origin_form(world: World, target: bytes, path: bytes) -> None:
    """RFC 9112 section 3.2.1, 3.2.2: MUST accept absolute-form; to the server itself goes path and query."""
    assert world.sent(absolute(target)).start == b"GET " + path + b" HTTP/1.1"


def test_the_host_of_the_target_wins(world: World) -> None:
    """RFC 9112 section 3.2.2: a proxy MUST ignore the received Host and replace it with the target's."""
    seen = world.sent(absolute(b"http://connect.example.com/a", host=b"Host: nobody.test"))
    assert seen.get(b"host") == b"127.0.0.1:%d" % world.listener.getsockname()[1]
    answer = world.answered(absolute(b"http://nobody.test/a", host=b"Host: app.test"))
    assert (answer.status, b'"no_route"' in answer.body) == (404, True)


def test_absolute_form_needs_a_host_field_all_the_same(world: World) -> None:
    """RFC 9112 section 3.2: MUST be 400 in any HTTP/1.1 request without it, or with two."""
    assert world.refused(absolute(b"http://connect.example.com/a", host=b"")).status == 400
    assert world.refused(absolute(b"http://connect.example.com/a", b"Host: other.test")).status == 400


@pytest.mark.parametrize(
    "target",
    [
        b"http://user@connect.example.com/a",
        b"http://user:secret@connect.example.com/a",
        b"http://@connect.example.com/a",
        b"http://app.test\\@connect.example.com/a",
        b"http:///a",
        b"http://",
        b"http://?a",
        b"http://:80/a",
        b"http:/a",
        b"http:a",
        b"ftp://connect.example.com/a",
        b"ws://connect.example.com/a",
        b"://connect.example.com/a",
        b"//connect.example.com:80x/../a b",
        b"http://connect.example.com:port/a",
        b"http://connect.example.com:999999/a",
        b"http://[::1/a",
        b"http://::1/a",
        b"http://connect.example.com#a",
        b"http://connect .example.com/a",
        b"http://connect.example.com\\a",
        b"http://connect.ex\xc3\xa4mple.com/a",
    ],
)
def test_a_malformed_absolute_target_is_400(world: World, target: bytes) -> None:
    """RFC 9110 section 4.2.1, 4.2.4: an empty host is invalid; user information is to be treated as an error."""
    assert world.refused(absolute(target)).status == 400


def test_credentials_for_a_proxy_end_here(world: World) -> None:
    """RFC 9110 section 11.7.2: a target in absolute-form is addressed to a proxy, us, and its credentials with it."""
    lines = [b"Proxy-Authorization: Basic eDp5", b"Proxy-Connection: Keep-Alive", b"Authorization: Basic eDp5"]
    seen = world.sent(absolute(b"http://connect.example.com/a", *lines))
    assert (seen.get(b"proxy-authorization"), seen.get(b"proxy-connection")) == (None, None)
    assert seen.get(b"authorization") == b"Basic eDp5"


# CONNECT.


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"CONNECT connect.example.com:443 HTTP/1.1\r\nHost: connect.example.com:443\r\n\r\n",
        b"CONNECT connect.example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT connect.example.com:443 HTTP/1.0\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_connect_is_405_and_says_what_to_do(world: World, request_bytes: bytes) -> None:
    """RFC 9110 section 9.3.6, 15.5.6: tunnels are not made here; a 405 MUST have Allow."""
    answer = world.refused(request_bytes)
    assert answer.status == 405
    allowed = (answer.get(b"allow") or b"").split(b", ")
    assert {b"GET", b"POST", b"OPTIONS"} < set(allowed)
    assert b"CONNECT" not in allowed
    assert b"http://" in answer.body


# The server as a whole.


def test_options_of_everything_goes_where_the_root_goes(world: World) -> None:
    """RFC 9112 section 3.2.4: it travels as * to the upstream whose route takes the host's root."""
    assert world.sent(get(start=b"OPTIONS * HTTP/1.1")).start == b"OPTIONS * HTTP/1.1"


def test_options_of_everything_has_no_path_to_rewrite(world: World) -> None:
    """RFC 9112 section 3.2.4: * is no path: neither the endpoint's own nor a rewritten one stands before it."""
    for start in (b"OPTIONS * HTTP/1.1", b"OPTIONS http://based.test HTTP/1.1"):
        seen = world.sent(get(start=start, host=b"Host: based.test"))
        assert (seen.start, seen.get(b"x-team")) == (b"OPTIONS * HTTP/1.1", b"app")
    seen = world.sent(get(start=b"OPTIONS / HTTP/1.1", host=b"Host: based.test"))
    assert seen.start == b"OPTIONS /base/v1/ HTTP/1.1"


def test_options_of_a_host_without_a_path_is_of_everything(world: World) -> None:
    """RFC 9112 section 3.2.4: the last proxy MUST send * for an absolute target without path and query."""
    start = b"OPTIONS * HTTP/1.1"
    assert world.sent(absolute(b"http://connect.example.com", method=b"OPTIONS")).start == start
    assert world.sent(absolute(b"http://connect.example.com:8001", method=b"OPTIONS")).start == start
    for target, path in ((b"/", b"/"), (b"?a", b"/?a")):
        seen = world.sent(absolute(b"http://connect.example.com" + target, method=b"OPTIONS"))
        assert seen.start == b"OPTIONS %b HTTP/1.1" % path


def test_options_of_everything_that_nobody_takes_is_answered_here(world: World) -> None:
    """RFC 9110 section 9.3.7: a ping of the server in general, which is then the sidecar."""
    answer = world.answered(get(start=b"OPTIONS * HTTP/1.1", host=b"Host: nobody.test"))
    assert (answer.status, answer.get(b"content-length")) == (200, b"0")
    assert ALLOW in (answer.get(b"allow") or b"")


@pytest.mark.parametrize("method", [b"GET", b"TRACE", b"POST"])
def test_everything_is_for_options_alone(world: World, method: bytes) -> None:
    """RFC 9112 section 3.2.4: asterisk-form is only used for a server-wide OPTIONS."""
    assert world.refused(get(start=method + b" * HTTP/1.1")).status == 400
