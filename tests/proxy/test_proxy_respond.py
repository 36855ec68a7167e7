"""Our own answers, byte for byte."""

import json

import pytest
from proxy_fakes import UNAVAILABLE, request_head, stored

from sidecar.policy.answer import Answer
from sidecar.policy.reasons import REASONS
from sidecar.proxy.respond import (
    default_body,
    error_code,
    options,
    proxy_status,
    rejection,
    reply_lines,
    stored_lines,
    trace,
)
from sidecar.wire.errors import BadRequest
from sidecar.wire.framing import METHODS


def test_the_default_answer() -> None:
    """As the contract words it; `Retry-After` rounded up, in the body too."""
    lines, body = reply_lines("breaker_open", 503, None, "toggles", b"id-1", 3.2)
    assert json.loads(body) == {
        "error_code": "UPSTREAM_UNAVAILABLE",
        "reason": "breaker_open",
        "route": "toggles",
        "request_id": "id-1",
        "retry_after": 4,
    }
    assert lines == (
        b"HTTP/1.1 503 Service Unavailable\r\n"
        b"Content-Type: application/json\r\n"
        b'Proxy-Status: sidecar; error=destination_unavailable; details="breaker_open"\r\n'
        b"Retry-After: 4\r\n"
        b"Content-Length: %d\r\n" % len(body)
    )


def test_without_a_time_to_ask_again_none_is_named() -> None:
    """Neither in the head nor in the body."""
    lines, body = reply_lines("reset", 502, None, "toggles", b"id-1", 0.0)
    assert b"Retry-After" not in lines
    assert "retry_after" not in json.loads(body)


def test_what_exactly_was_wrong_is_told() -> None:
    """One sentence in the body, and the error type that fits it; neither changes what else is said."""
    plain, _ = reply_lines("tls_failure", 502, None, "r", b"i", 0.0)
    lines, body = reply_lines(
        "tls_failure", 502, None, "r", b"i", 0.0, detail='it has "100%"', error="tls_certificate_error"
    )
    assert json.loads(body) == {
        "error_code": "UPSTREAM_UNAVAILABLE",
        "reason": "tls_failure",
        "route": "r",
        "request_id": "i",
        "detail": 'it has "100%"',
    }
    assert b'error=tls_protocol_error; details="tls_failure"' in plain
    assert b'error=tls_certificate_error; details="tls_failure"' in lines
    assert reply_lines("tls_failure", 503, UNAVAILABLE, "r", b"i", 0.0, detail="x")[1] == UNAVAILABLE.body


def test_a_configured_answer_is_sent_exactly() -> None:
    """Its body byte for byte; what it says of Retry-After is not said again."""
    lines, body = reply_lines("deadline", 503, UNAVAILABLE, "toggles", b"id-1", 0.0)
    assert body == b'{"error_code": "X"}'
    assert lines == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        b'Proxy-Status: sidecar; error=http_response_timeout; details="deadline"\r\nContent-Length: 19\r\n'
    )
    own = Answer(503, ((b"retry-after", b"120"),), b"{}")
    assert reply_lines("breaker_open", 503, own, "r", b"i", 5.0)[0].lower().count(b"retry-after") == 1


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_gets_none(status: int) -> None:
    """And no length either."""
    lines, body = reply_lines("reset", status, Answer(status, (), b""), "r", b"i", 0.0)
    assert body == b""
    assert b"Content-Length" not in lines


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_can_be_told(reason: str) -> None:
    """Its `Proxy-Status` names a registered error type (RFC 9209 section 2.3) and the reason itself."""
    status = REASONS[reason].status
    if status != 499:
        lines, body = reply_lines(reason, status, None, "r", b"i", 0.0)
        assert lines.startswith(b"HTTP/1.1 %d " % status)
        assert json.loads(body)["reason"] == reason
    assert proxy_status(reason) == b'Proxy-Status: sidecar; error=%b; details="%b"\r\n' % (
        REASONS[reason].error.encode(),
        reason.encode(),
    )
    assert b"received-status=502" in proxy_status(reason, 502)


def test_programs_switch_on_one_word_for_an_upstream_that_cannot_be_had() -> None:
    """And on the reason for what is the caller's own fault."""
    assert error_code("breaker_open") == error_code("dns_failure") == "UPSTREAM_UNAVAILABLE"
    assert error_code("body_too_large") == "BODY_TOO_LARGE"
    assert json.loads(default_body("no_route", "-", b"i", 0.0))["error_code"] == "NO_ROUTE"


def test_a_kept_answer_is_marked_as_such() -> None:
    """Age, why it is served, and that nobody else may keep it."""
    assert stored_lines(stored(b"old"), "reset", 61.9, 503) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Tue, 14 Nov 2023 22:13:10 GMT\r\n"
        b"Age: 61\r\nCache-Control: no-store\r\n"
        b"Cache-Status: sidecar; hit; ttl=-61; detail=reset\r\n"
        b'Proxy-Status: sidecar; error=connection_terminated; received-status=503; details="reset"\r\n'
        b"Content-Length: 3\r\n"
    )


def test_a_kept_answer_from_the_future_has_no_age() -> None:
    """Wall clocks step."""
    assert b"\r\nAge: 0\r\n" in stored_lines(stored(), "reset", -5.0, 0)


def test_a_rejection_is_a_whole_response_and_closes() -> None:
    """One that nobody parsed has no route; how often it was tried is told if it was."""
    error = BadRequest(413, "body_too_large", "request body larger than limits.body")
    head, _, body = rejection(error, b"id-1", b"Date: now\r\n").partition(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\n"
        b'Proxy-Status: sidecar; error=http_request_error; details="body_too_large"\r\n'
        b"X-Request-Id: id-1\r\nDate: now\r\nContent-Length: %d\r\nConnection: close" % len(body)
    )
    assert json.loads(body) == {
        "error_code": "BODY_TOO_LARGE",
        "reason": "body_too_large",
        "route": "-",
        "request_id": "id-1",
        "detail": "request body larger than limits.body",
    }
    assert b"\r\nX-Sidecar-Attempts: 1\r\n" in rejection(error, b"id-1", b"", 1)


def test_a_refused_method_is_told_which_are_allowed() -> None:
    """A 405 must have Allow, and CONNECT is not in it (RFC 9110 section 15.5.6)."""
    error = BadRequest(405, "method_not_allowed", "no")
    allowed = rejection(error, b"id-1", b"").partition(b"\r\nAllow: ")[2].partition(b"\r\n")[0].split(b", ")
    assert allowed == sorted(METHODS)
    assert b"CONNECT" not in allowed


def test_a_rejected_head_gets_no_body() -> None:
    """But the length that it would have had (RFC 9110 section 9.3.2)."""
    error = BadRequest(400, "bad_request", "no")
    whole = rejection(error, b"id-1", b"")
    error.to_head = True
    assert whole.startswith(rejection(error, b"id-1", b""))
    assert rejection(error, b"id-1", b"").endswith(b"\r\n\r\n")


def test_options_says_what_can_be_asked() -> None:
    """And that no body follows."""
    lines, body = options()
    assert lines.startswith(b"HTTP/1.1 200 OK\r\nAllow: ")
    assert lines.endswith(b"\r\nContent-Length: 0\r\n")
    assert not body


@pytest.mark.parametrize(
    "name",
    [
        b"Authorization",
        b"Cookie",
        b"Cookie2",
        b"X-Api-Key",
        b"X-Auth",
        b"X-Session-Id",
        b"Proxy-Authorization",
        b"X-Token",
    ],
)
def test_trace_shows_no_secret(name: bytes) -> None:
    """What is likely to be sensitive is left out of the echo (RFC 9110 section 9.3.8)."""
    data = b"TRACE /a?b HTTP/1.0\r\nHost: app\r\n" + name + b": hidden\r\nX-B: 1\r\n\r\n"
    lines, body = trace(request_head(data))
    assert body == b"TRACE /a?b HTTP/1.0\r\nHost: app\r\nX-B: 1\r\n\r\n"
    assert lines.endswith(b"Content-Type: message/http\r\nContent-Length: %d\r\n" % len(body))
