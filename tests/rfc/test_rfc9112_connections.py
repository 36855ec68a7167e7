"""RFC 9112 section 9: when connections go on, and when they end."""

import pytest
from rfc_world import OK, World, get, response


def served(
    world: World, *lines: bytes, start: bytes = b"GET /a HTTP/1.1", answer: bytes = OK
) -> tuple[bool, list[bytes]]:
    """Whether the caller's connection lives on after an answer, and what `Connection` said in it."""
    with world.caller() as caller:
        caller.send(get(*lines, start=start))
        with world.accept() as upstream:
            upstream.message()
            upstream.send(answer)
        said = caller.message().all(b"connection")
        if said == [b"close"]:
            assert caller.at_end()
            return False, said
        assert caller.is_silent()
        return True, said


def test_http_1_1_persists(world: World) -> None:
    """RFC 9112 section 9.3: without `close`, HTTP/1.1 persists."""
    assert served(world) == (True, [])
    assert served(world, b"Connection: keep-alive") == (True, [])


@pytest.mark.parametrize("line", [b"Connection: close", b"Connection: x, CLOSE", b"connection: keep-alive, close"])
def test_close_from_the_caller_closes(world: World, line: bytes) -> None:
    """RFC 9112 section 9.6: MUST close after the final response, SHOULD say so in it; case does not matter."""
    assert served(world, line) == (False, [b"close"])


def test_close_in_a_second_line_counts_too(world: World) -> None:
    """RFC 9110 section 5.3: lines of a list are one list."""
    assert served(world, b"Connection: keep-alive", b"Connection: close") == (False, [b"close"])


def test_close_is_not_passed_on_either_way(world: World) -> None:
    """RFC 9110 section 7.6.1: options are of one connection. The upstream's `close` does not end the caller's."""
    seen = world.sent(get(b"Connection: close"))
    assert seen.get(b"connection") is None
    answer = response(b"Connection: close", b"Content-Length: 2", body=b"ok")
    assert served(world, answer=answer) == (True, [])


def test_after_close_nothing_more_is_processed(world: World) -> None:
    """RFC 9112 section 9.6: a server that got `close` MUST NOT process further requests on that connection."""
    with world.caller() as caller:
        caller.send(get(b"Connection: close") + get(start=b"GET /b HTTP/1.1"))
        with world.accept() as upstream:
            assert upstream.message().start == b"GET /a HTTP/1.1"
            upstream.send(OK)
        assert caller.message().status == 200
        assert caller.at_end()
    assert world.is_untouched()


def test_a_connection_whose_upstream_said_close_is_not_used_again(world: World) -> None:
    """RFC 9112 section 9.6: a client that got `close` MUST NOT send further requests on that connection."""
    with world.caller() as caller:
        for index in range(2):
            caller.send(get(start=b"GET /pooled/%d HTTP/1.1" % index))
            with world.accept() as upstream:  # each on a new one, though idle ones are kept here
                upstream.message()
                upstream.send(response(b"Connection: close", b"Content-Length: 0"))
                assert caller.message().status == 200


def test_a_connection_of_an_http_1_0_upstream_is_not_used_again(world: World) -> None:
    """RFC 9112 section 9.3: HTTP/1.0 persists only with keep-alive."""
    with world.caller() as caller:
        for index in range(2):
            caller.send(get(start=b"GET /pooled/%d HTTP/1.1" % index))
            with world.accept() as upstream:
                upstream.message()
                upstream.send(response(b"Content-Length: 0", start=b"HTTP/1.0 200 OK"))
                assert caller.message().status == 200


def test_a_coding_in_an_http_1_0_response_ends_its_connection(world: World) -> None:
    """RFC 9112 section 6.1: its framing MUST be taken for faulty: read, but never trusted with another response."""
    answer = response(
        b"Connection: keep-alive", b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK", body=b"2\r\nok\r\n0\r\n\r\n"
    )
    with world.caller() as caller:
        for index in range(2):
            caller.send(get(start=b"GET /pooled/%d HTTP/1.1" % index))
            with world.accept() as upstream:
                upstream.message()
                upstream.send(answer)
                assert caller.message().body == b"ok"


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"PUT", b"DELETE"])
def test_what_may_have_been_done_is_not_sent_twice(world: World, method: bytes) -> None:
    """RFC 9112 section 9.3.1: a proxy MUST NOT automatically retry non-idempotent requests; nor do we PUT."""
    with world.caller() as caller:
        caller.send(get(start=b"GET /pooled/1 HTTP/1.1"))
        with world.accept() as upstream:
            upstream.message()
            upstream.send(response(b"Content-Length: 2", body=b"ok"))
            assert caller.message().status == 200
            caller.send(get(start=method + b" /pooled/2 HTTP/1.1"))
            assert upstream.message().start == method + b" /pooled/2 HTTP/1.1"
        answer = caller.message()
        assert (answer.status, b'"reset"' in answer.body) == (502, True)
    assert world.is_untouched()


def test_a_safe_request_that_met_a_closing_connection_goes_again(world: World) -> None:
    """RFC 9112 section 9.3.1: MAY be repeated when the connection was closed before any of its response came."""
    with world.caller() as caller:
        caller.send(get(start=b"GET /pooled/1 HTTP/1.1"))
        with world.accept() as upstream:
            upstream.message()
            upstream.send(response(b"Content-Length: 2", body=b"ok"))
            assert caller.message().status == 200
            caller.send(get(start=b"GET /pooled/2 HTTP/1.1"))
            assert upstream.message().start == b"GET /pooled/2 HTTP/1.1"
        with world.accept() as upstream:
            assert upstream.message().start == b"GET /pooled/2 HTTP/1.1"
            upstream.send(response(b"Connection: close", b"Content-Length: 2", body=b"ok"))
            assert caller.message().status == 200


def test_http_1_0_closes_unless_asked_to_persist(world: World) -> None:
    """RFC 9112 section 9.3, appendix C.2.2: to a gateway's caller the old keep-alive may be granted, and is said."""
    assert served(world, start=b"GET /a HTTP/1.0") == (False, [b"close"])
    assert served(world, b"Connection: Keep-Alive", start=b"GET /a HTTP/1.0") == (True, [b"keep-alive"])


def test_a_proxy_does_not_persist_with_http_1_0(world: World) -> None:
    """RFC 9112 section 9.3: a proxy MUST NOT maintain a persistent connection with an HTTP/1.0 client."""
    start = b"GET http://app.test/a HTTP/1.0"
    assert served(world, b"Connection: keep-alive", start=start) == (False, [b"close"])
    assert served(world, b"Proxy-Connection: keep-alive", start=start) == (False, [b"close"])


def test_proxy_connection_means_nothing(world: World) -> None:
    """RFC 9112 appendix C.2.2: it is not a connection option, and it does not travel."""
    assert served(world, b"Proxy-Connection: close") == (True, [])
    assert world.sent(get(b"Proxy-Connection: close")).get(b"proxy-connection") is None


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """RFC 9112 section 9.3.2: MUST send the responses in the order of the requests."""
    paths = [b"/1", b"/2", b"/3"]
    with world.caller() as caller:
        caller.send(b"".join(get(start=b"GET %b HTTP/1.1" % path) for path in paths))
        for path in paths:
            with world.accept() as upstream:
                assert upstream.message().start == b"GET %b HTTP/1.1" % path
                upstream.send(response(b"Content-Length: 2", body=path))
            assert caller.message().body == path


def test_a_refusal_ends_the_connection_gently(world: World) -> None:
    """RFC 9112 section 9.6: closing in stages, so that a reset does not overtake the answer; what follows is unread."""
    assert world.refused(get(b"bad line") + get() * 3).status == 400


def test_a_caller_that_sends_garbage_instead_of_the_next_request(world: World) -> None:
    """RFC 9112 section 2.2, 9.6: the first is answered as ever, what is no request with 400."""
    with world.caller() as caller:
        caller.send(get() + b"\x16\x03\x01\x02\x00\r\n\r\n")
        with world.accept() as upstream:
            upstream.message()
            upstream.send(OK)
        assert caller.message().status == 200
        assert caller.message().status == 400
        assert caller.at_end()
