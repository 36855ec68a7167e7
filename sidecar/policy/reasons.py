"""Why a request was not simply answered by its upstream: one closed vocabulary.

The same words stand in bodies, logs, metric labels, `Proxy-Status` details and the documentation. A word that
is not in `REASONS` is a defect.
"""

from typing import Final, NamedTuple

# A policy refused before anything was sent.
BREAKER_OPEN: Final = "breaker_open"
NO_ENDPOINT: Final = "no_endpoint"
BULKHEAD_FULL: Final = "bulkhead_full"
QUEUE_TIMEOUT: Final = "queue_timeout"
RATE_LIMITED: Final = "rate_limited"
DRAINING: Final = "draining"
LOOP_DETECTED: Final = "loop_detected"
# Time ran out.
CONNECT_TIMEOUT: Final = "connect_timeout"
ATTEMPT_TIMEOUT: Final = "attempt_timeout"
DEADLINE: Final = "deadline"
# The upstream could not be reached, or did not give a usable answer.
CONNECT_FAILURE: Final = "connect_failure"
DNS_FAILURE: Final = "dns_failure"
TLS_FAILURE: Final = "tls_failure"
RESET: Final = "reset"
MALFORMED_RESPONSE: Final = "malformed_response"
UNEXPECTED_RESPONSE: Final = "unexpected_response"
UPSTREAM_ERROR: Final = "upstream_error"
FAULT_INJECTED: Final = "fault_injected"
# The caller's own request.
NO_ROUTE: Final = "no_route"
BAD_REQUEST: Final = "bad_request"
REQUEST_TIMEOUT: Final = "request_timeout"
BODY_TOO_LARGE: Final = "body_too_large"
URI_TOO_LONG: Final = "uri_too_long"
HEADERS_TOO_LARGE: Final = "headers_too_large"
METHOD_NOT_ALLOWED: Final = "method_not_allowed"
NOT_IMPLEMENTED: Final = "not_implemented"
VERSION_NOT_SUPPORTED: Final = "version_not_supported"
TOO_MANY_CONNECTIONS: Final = "too_many_connections"
CLIENT_GONE: Final = "client_gone"
# An attempt that is not wanted any more: only ever the result of one.
OVERTAKEN: Final = "overtaken"

EXPLAINED: Final = frozenset({TLS_FAILURE, DNS_FAILURE, CONNECT_FAILURE, MALFORMED_RESPONSE, UNEXPECTED_RESPONSE})
"""Those that leave the question what exactly was wrong: bodies and the process log say it."""

OK: Final = "ok"
"""The result of an attempt that was answered. Not a reason: nothing needs one."""

ANSWERED: Final = frozenset({OK, UPSTREAM_ERROR, UNEXPECTED_RESPONSE, FAULT_INJECTED})
"""Results of attempts that brought a whole answer, whatever it was worth."""


class Reason(NamedTuple):
    """What a reason means to the caller."""

    status: int
    """Of our own answer on a route that is not critical and has no `unavailable`."""
    error: str
    """The `error` parameter of `Proxy-Status` (RFC 9209 section 2.3)."""
    kinds: frozenset[str]
    """Which `on` words of a fallback rung cover it: open, timeout, connect, response, refused."""


def _reason(status: int, error: str, *kinds: str) -> Reason:
    return Reason(status, error, frozenset(kinds))


REASONS: Final[dict[str, Reason]] = {
    BREAKER_OPEN: _reason(503, "destination_unavailable", "open"),
    NO_ENDPOINT: _reason(503, "destination_unavailable", "refused"),
    BULKHEAD_FULL: _reason(503, "connection_limit_reached", "refused"),
    QUEUE_TIMEOUT: _reason(503, "connection_limit_reached", "refused"),
    RATE_LIMITED: _reason(429, "http_request_denied", "refused"),
    DRAINING: _reason(503, "destination_unavailable", "refused"),
    LOOP_DETECTED: _reason(502, "proxy_loop_detected", "refused"),
    CONNECT_TIMEOUT: _reason(504, "connection_timeout", "connect", "timeout"),
    ATTEMPT_TIMEOUT: _reason(504, "http_response_timeout", "timeout"),
    DEADLINE: _reason(504, "http_response_timeout", "timeout"),
    CONNECT_FAILURE: _reason(502, "connection_refused", "connect"),
    DNS_FAILURE: _reason(502, "dns_error", "connect"),
    TLS_FAILURE: _reason(502, "tls_protocol_error", "connect"),
    RESET: _reason(502, "connection_terminated", "response"),
    MALFORMED_RESPONSE: _reason(502, "http_protocol_error", "response"),
    UNEXPECTED_RESPONSE: _reason(502, "http_protocol_error", "response"),
    UPSTREAM_ERROR: _reason(502, "http_protocol_error", "response"),
    # Its status is the one that was asked for; this one stands for it where nothing says which.
    FAULT_INJECTED: _reason(503, "proxy_internal_response", "response"),
    NO_ROUTE: _reason(404, "destination_not_found"),
    BAD_REQUEST: _reason(400, "http_request_error"),
    REQUEST_TIMEOUT: _reason(408, "http_request_error"),
    BODY_TOO_LARGE: _reason(413, "http_request_error"),
    URI_TOO_LONG: _reason(414, "http_request_error"),
    HEADERS_TOO_LARGE: _reason(431, "http_request_error"),
    METHOD_NOT_ALLOWED: _reason(405, "http_request_error"),
    NOT_IMPLEMENTED: _reason(501, "http_request_error"),
    VERSION_NOT_SUPPORTED: _reason(505, "http_request_error"),
    TOO_MANY_CONNECTIONS: _reason(503, "connection_limit_reached"),
    CLIENT_GONE: _reason(499, "http_request_error"),
    OVERTAKEN: _reason(503, "proxy_internal_response"),
}
